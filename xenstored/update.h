/* SPDX-License-Identifier: MIT */
/*
 * Live update: the daemon writes its state to a file (state.h), and becomes another program by exec().
 * Sockets and event channels are open there as they were here; rings are mapped anew. Requests that
 * have not been handled wait in the dump, in the sockets and in the rings.
 *
 * As Xen's: CONTROL live-update -f FILE, [-c CMDLINE], then -s [-t SECONDS] [-F] [-v VERSION], each
 * answered by "OK" or by what is wrong; -a gives up. The last "OK" is sent by the new program.
 *
 * Transactions go along. Only a program that is told to read an older version of the stream (-v) is
 * taken to be another implementation, which does not know how: then the update waits until there
 * are none, for so many seconds, and ends those that are left with -F.
 */
#ifndef XENSTORED_UPDATE_H
#define XENSTORED_UPDATE_H

#include "xenstored/state.h"

struct update_host {
    char **argv;            /* what this program was started with */
    const char *dir;        /* where the dump goes */
    struct state_fds fds;
    /* Lets go of what the next program must bind for itself, and takes it again. 0 or -errno. */
    int (*release)(void *arg);
    int (*reclaim)(void *arg);
    /* For another implementation: the event channel of domain 0's kernel, bound here; 0: there is none. */
    int (*dom0_port)(void *arg);
    void *arg;
    int (*exec)(const char *path, char *const argv[]); /* execv(), but for tests */
};

/* NULL: there can be no live update. The host must stay valid. */
void update_allow(struct store *s, const struct update_host *host);
void update_free(struct store *s);
/* Whether one is to be done now; done by update_run(), which returns only if it fails. */
bool update_due(struct store *s);
void update_run(struct store *s);

/* The dump's name, in buf. 0 or ENAMETOOLONG. */
int update_dump_path(const char *dir, char *buf, size_t len);
/* Loads the dump and removes it, in two steps. 0 or errno. */
struct update_dump {
    void *data;
    size_t len;
    struct state_found found;
};
int update_dump_open(struct update_dump *d, const char *dir);
void update_dump_close(struct update_dump *d);

#endif
