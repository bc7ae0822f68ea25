/* SPDX-License-Identifier: MIT */
/*
 * Events for the program, and the loop that runs inside synchronous calls.
 */
#ifndef LX_EVENT_H
#define LX_EVENT_H

#include <poll.h>

#include "libxl/ctx.h"
#include "libxl/ev.h"

/* An event of its type, initialised. */
libxl_event *lx_event_new(libxl_event_type type, uint32_t domid, uint64_t for_user);
/* Queues it or marks it for the program's callback. Takes it over. */
void lx_event_occurred(struct lx_egc *egc, libxl_event *event);

/* One thread's poll(). woken: an eventfd by which others end it. */
struct lx_poller {
    int woken;
    struct pollfd *fds;
    int n_fds, room;
    unsigned fds_gone; /* ctx's when fds was filled in */
    LIST_ENTRY(lx_poller) entry;
};

/* NULL with a line in the log. */
struct lx_poller *lx_poller_get(libxl_ctx *ctx);
void lx_poller_put(libxl_ctx *ctx, struct lx_poller *p);
void lx_poller_wake(struct lx_poller *p);
/* What is waited for has changed: everyone in poll() must look again. */
void lx_pollers_wake(libxl_ctx *ctx);
void lx_pollers_free(libxl_ctx *ctx);

/* Waits for something to happen, dispatches it, runs the program's callbacks. The lock is held once
 * before and after, not while waiting. */
int lx_loop_once(libxl_ctx *ctx, struct lx_poller *p);

#endif
