/* SPDX-License-Identifier: MIT */
/*
 * One guest's console: its ring on one side, a pty and a log file on the other.
 *
 * The guest's output goes to the log at once, and to the pty as far as someone reads there; what no
 * one has read is kept, the last `limit` bytes of it. Input from the pty goes to the guest as far
 * as its ring has room, and waits in the pty else. When the guest dies the pty stays until whoever
 * has it open has read everything.
 *
 * Functions return 0 or a negative errno. Never: talks to the store, or blocks.
 */
#ifndef CONSOLE_GUEST_H
#define CONSOLE_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <systemd/sd-event.h>

#include "common/host.h"
#include "console/buffer.h"
#include "console/ring.h"

/* Bytes kept for a guest when nothing else is said, and the most that can be asked for. */
#define GUEST_LIMIT_DEFAULT (1u << 20)
#define GUEST_LIMIT_MAX     (16u << 20)

struct guest {
    LIST_ENTRY(guest) link;
    uint16_t domid;
    uint8_t handle[16];
    bool listed;            /* the host has it, as of the last look */
    sd_event *event;
    const struct host *host;

    /* The guest's side; page NULL while there is none. */
    struct ring ring;
    void *page;
    bool granted;
    bool ring_wrong;        /* said so in the log already */
    uint64_t gfn;
    uint32_t remote_port, port;

    /* The clients' side; master -1 while there is none. */
    int master, slave;      /* the slave is held open so that the pty outlives its readers */
    char tty[64];
    sd_event_source *io, *timer;
    uint32_t io_events;
    struct buffer out;

    int log_fd;             /* -1: no log */
    bool log_bol;           /* at the beginning of a line */
    bool timestamps;

    /* Fairness: what is left of the present period, and whether it must wait for the next. */
    size_t allowance;
    bool throttled;

    bool dead;
    unsigned linger;        /* timer ticks since it died */
    void (*gone)(struct guest *g, void *arg); /* it died, and its pty has served its purpose */
    void *gone_arg;
};

/* NULL for want of memory. The host's table must outlive it. */
struct guest *guest_new(sd_event *e, const struct host *host, uint16_t domid);
void guest_free(struct guest *g);

/* Makes the pty. Its path is in g->tty then. */
int guest_open_pty(struct guest *g);
/* Maps the ring and binds the port; nothing happens if they are the same as before. */
int guest_connect(struct guest *g, uint64_t gfn, uint32_t port);
void guest_disconnect(struct guest *g);
/* The guest has rung. */
void guest_event(struct guest *g);
/* Appends to the file from now on; an earlier one is closed. fd -1: none. Takes over fd. */
void guest_set_log(struct guest *g, int fd);
/*
 * Takes what is left on the ring, lets go of it, and calls gone() when nobody reads any more. The
 * guest may be freed before that.
 */
void guest_die(struct guest *g, void (*gone)(struct guest *g, void *arg), void *arg);

#endif
