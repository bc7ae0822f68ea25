/* SPDX-License-Identifier: MIT */
/*
 * xenconsoled: finds guests in the store, gives each a console (guest.h), and says in the store
 * where it is. Functions return 0 or a negative errno.
 *
 * Never: follows a node that a guest can write.
 */
#ifndef CONSOLE_DAEMON_H
#define CONSOLE_DAEMON_H

#include <systemd/sd-event.h>
#include <xenstore.h>

#include "console/guest.h"

struct daemon_options {
    bool log_guests;
    const char *log_dir;    /* must exist */
    bool timestamps;
};

struct daemon;

/*
 * Takes over the store's handle, if it succeeds: a store that goes away is waited for, and has its watches
 * again from another handle when it is back.
 */
int daemon_new(struct daemon **out, sd_event *e, struct xs_handle *xs, const struct host *host,
               const struct daemon_options *o);
void daemon_free(struct daemon *d);
/* An event channel port is pending. */
void daemon_port(struct daemon *d, uint32_t port);
/* Opens all log files anew, after they have been moved away. */
void daemon_reopen_logs(struct daemon *d);

#endif
