/* SPDX-License-Identifier: MIT */
/*
 * The program's main loop watches descriptors and times for us.
 *
 * What it keeps (for_libxl) is never one of our ev structs, because its report may be on the way on
 * another thread while we deregister. It is a nexus: memory that lives as long as the ctx and
 * points to the ev, or to nothing once that is gone.
 */
#include <stdlib.h>

#include "libxl/ctx.h"

struct lx_nexus {
    void *ev; /* struct lx_ev_fd or lx_ev_time; NULL if it is no longer wanted */
    void *for_app;
    LIST_ENTRY(lx_nexus) entry; /* on an idle list */
};

static struct lx_nexus *nexus_get(struct lx_nexus_list *idle, void *ev)
{
    struct lx_nexus *n = LIST_FIRST(idle);

    if (n)
        LIST_REMOVE(n, entry);
    else
        n = LX_NEW(NULL, struct lx_nexus);
    n->ev = ev;
    n->for_app = NULL;
    return n;
}

static void nexus_put(struct lx_nexus_list *idle, struct lx_nexus *n)
{
    n->ev = NULL;
    LIST_INSERT_HEAD(idle, n, entry);
}

void lx_hooks_free(libxl_ctx *ctx)
{
    struct lx_nexus_list *lists[] = { &ctx->fds_idle, &ctx->times_idle };

    for (int i = 0; i < 2; i++) {
        struct lx_nexus *n;

        while ((n = LIST_FIRST(lists[i]))) {
            LIST_REMOVE(n, entry);
            free(n);
        }
    }
}

/* ---- descriptors */

int lx_hook_fd_register(struct lx_gc *gc, struct lx_ev_fd *ev)
{
    libxl_ctx *ctx = gc->ctx;

    if (!ctx->os_hooks)
        return 0;
    ev->nexus = nexus_get(&ctx->fds_idle, ev);
    if (!ctx->os_hooks->fd_register(ctx->os_user, ev->fd, &ev->nexus->for_app, ev->events,
                                    ev->nexus))
        return 0;
    LX_LOG(ERROR, "the program's main loop refuses to watch descriptor %d", ev->fd);
    nexus_put(&ctx->fds_idle, ev->nexus);
    return ERROR_OSEVENT_REG_FAIL;
}

void lx_hook_fd_deregister(struct lx_gc *gc, struct lx_ev_fd *ev)
{
    libxl_ctx *ctx = gc->ctx;

    if (!ev->nexus)
        return;
    ctx->os_hooks->fd_deregister(ctx->os_user, ev->fd, ev->nexus->for_app);
    nexus_put(&ctx->fds_idle, ev->nexus);
    ev->nexus = NULL;
}

void libxl_osevent_occurred_fd(libxl_ctx *ctx, void *for_libxl, int fd, short events,
                               short revents)
{
    struct lx_nexus *n = for_libxl;
    struct lx_ev_fd *ev;
    struct lx_egc egc;

    lx_lock(ctx);
    lx_egc_init(&egc, ctx);
    ev = n->ev;
    /* the nexus may have been given to another descriptor since */
    if (ev && ev->fd == fd && (revents & (ev->events | POLLERR | POLLHUP | POLLNVAL)))
        ev->func(&egc, ev, fd, ev->events, revents);
    lx_egc_unlock(&egc);
}

/* ---- times. The program is never asked to forget one: it is made due at once, and ignored */

int lx_hook_time_register(struct lx_gc *gc, struct lx_ev_time *ev)
{
    libxl_ctx *ctx = gc->ctx;

    if (!ctx->os_hooks)
        return 0;
    ev->nexus = nexus_get(&ctx->times_idle, ev);
    if (!ctx->os_hooks->timeout_register(ctx->os_user, &ev->nexus->for_app, ev->abs, ev->nexus))
        return 0;
    LX_LOG(ERROR, "the program's main loop refuses to set a timer");
    nexus_put(&ctx->times_idle, ev->nexus);
    return ERROR_OSEVENT_REG_FAIL;
}

void lx_hook_time_deregister(struct lx_gc *gc, struct lx_ev_time *ev, bool fired)
{
    libxl_ctx *ctx = gc->ctx;

    if (!ev->nexus)
        return;
    if (fired) {
        nexus_put(&ctx->times_idle, ev->nexus);
    } else {
        ev->nexus->ev = NULL; /* until the program reports it */
        ctx->os_hooks->timeout_modify(ctx->os_user, &ev->nexus->for_app,
                                      (struct timeval){ 0, 0 });
    }
    ev->nexus = NULL;
}

void libxl_osevent_occurred_timeout(libxl_ctx *ctx, void *for_libxl)
{
    struct lx_nexus *n = for_libxl;
    struct lx_ev_time *ev;
    struct lx_egc egc;

    lx_lock(ctx);
    lx_egc_init(&egc, ctx);
    ev = n->ev;
    if (ev) {
        lx_hook_time_deregister(&egc.gc, ev, true);
        lx_time_fire(&egc, ev, ERROR_TIMEDOUT);
    } else {
        nexus_put(&ctx->times_idle, n);
    }
    lx_egc_unlock(&egc);
}

void libxl_osevent_register_hooks(libxl_ctx *ctx, const libxl_osevent_hooks *hooks, void *user)
{
    lx_lock(ctx);
    ctx->os_hooks = hooks;
    ctx->os_user = user;
    lx_unlock(ctx);
}
