/* SPDX-License-Identifier: MIT */
/* Descriptors and times: registration and dispatch. */
#include "libxl/ev.h"

#include "libxl/ao.h"
#include "libxl/ctx.h"
#include "libxl/event.h"

/* ---- descriptors */

void lx_fd_idle(struct lx_ev_fd *ev)
{
    memset(ev, 0, sizeof(*ev));
    ev->fd = -1;
}

int lx_fd_register(struct lx_gc *gc, struct lx_ev_fd *ev, lx_fd_callback *func, int fd,
                   short events)
{
    int rc;

    ev->fd = fd;
    ev->events = events;
    ev->func = func;
    ev->nexus = NULL;
    rc = lx_hook_fd_register(gc, ev);
    if (rc) {
        ev->fd = -1;
        return rc;
    }
    LIST_INSERT_HEAD(&gc->ctx->efds, ev, entry);
    lx_pollers_wake(gc->ctx);
    return 0;
}

void lx_fd_deregister(struct lx_gc *gc, struct lx_ev_fd *ev)
{
    if (!lx_fd_active(ev))
        return;
    lx_hook_fd_deregister(gc, ev);
    LIST_REMOVE(ev, entry);
    gc->ctx->fds_gone++;
    ev->fd = -1;
}

/* ---- times */

struct timeval lx_now(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return now;
}

void lx_time_idle(struct lx_ev_time *ev)
{
    memset(ev, 0, sizeof(*ev));
}

int lx_time_register(struct lx_gc *gc, struct lx_ao *ao, struct lx_ev_time *ev,
                     lx_time_callback *func, unsigned milliseconds)
{
    struct timeval wait = { milliseconds / 1000, (milliseconds % 1000) * 1000 };
    struct timeval now = lx_now();
    struct lx_ev_time *later;
    int rc;

    if (ao && ao->aborting)
        return ERROR_ABORTED;
    timeradd(&now, &wait, &ev->abs);
    ev->func = func;
    ev->ao = ao;
    ev->nexus = NULL;
    rc = lx_hook_time_register(gc, ev);
    if (rc) {
        ev->func = NULL;
        return rc;
    }
    TAILQ_FOREACH(later, &gc->ctx->etimes, entry)
        if (timercmp(&ev->abs, &later->abs, <))
            break;
    if (later)
        TAILQ_INSERT_BEFORE(later, ev, entry);
    else
        TAILQ_INSERT_TAIL(&gc->ctx->etimes, ev, entry);
    if (ao)
        LIST_INSERT_HEAD(&ao->times, ev, ao_entry);
    lx_pollers_wake(gc->ctx);
    return 0;
}

static void unlink_time(libxl_ctx *ctx, struct lx_ev_time *ev)
{
    TAILQ_REMOVE(&ctx->etimes, ev, entry);
    if (ev->ao)
        LIST_REMOVE(ev, ao_entry);
    ev->func = NULL;
}

void lx_time_deregister(struct lx_gc *gc, struct lx_ev_time *ev)
{
    if (!ev->func)
        return;
    lx_hook_time_deregister(gc, ev, false);
    unlink_time(gc->ctx, ev);
}

void lx_time_fire(struct lx_egc *egc, struct lx_ev_time *ev, int rc)
{
    lx_time_callback *func = ev->func;

    lx_time_deregister(&egc->gc, ev);
    func(egc, ev, rc);
}

void lx_time_dispatch(struct lx_egc *egc, struct timeval now)
{
    libxl_ctx *ctx = egc->gc.ctx;
    struct lx_ev_time *ev;

    while ((ev = TAILQ_FIRST(&ctx->etimes)) && !timercmp(&ev->abs, &now, >))
        lx_time_fire(egc, ev, ERROR_TIMEDOUT);
}
