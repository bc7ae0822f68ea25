/* SPDX-License-Identifier: MIT */
/* libxl's own loop around poll(), and the parts of it that a program can use around its own. */
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libxl/event.h"

/* ---- pollers */

struct lx_poller *lx_poller_get(libxl_ctx *ctx)
{
    struct lx_poller *p = LIST_FIRST(&ctx->pollers_idle);
    int fd;

    if (p) {
        LIST_REMOVE(p, entry);
    } else {
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0) {
            LX_LOGX(ctx, ERROR, errno, LX_NO_DOMID, "cannot make an event descriptor");
            return NULL;
        }
        p = LX_NEW(NULL, struct lx_poller);
        p->woken = fd;
    }
    LIST_INSERT_HEAD(&ctx->pollers_busy, p, entry);
    return p;
}

void lx_poller_put(libxl_ctx *ctx, struct lx_poller *p)
{
    if (!p)
        return;
    LIST_REMOVE(p, entry);
    LIST_INSERT_HEAD(&ctx->pollers_idle, p, entry);
}

void lx_poller_wake(struct lx_poller *p)
{
    uint64_t one = 1;

    if (write(p->woken, &one, sizeof(one)) < 0) {
        /* EAGAIN: it is awake already */
    }
}

void lx_pollers_wake(libxl_ctx *ctx)
{
    struct lx_poller *p;

    LIST_FOREACH(p, &ctx->pollers_busy, entry)
        lx_poller_wake(p);
}

void lx_pollers_free(libxl_ctx *ctx)
{
    struct lx_poller *p;

    lx_poller_put(ctx, ctx->poller_app);
    ctx->poller_app = NULL;
    while ((p = LIST_FIRST(&ctx->pollers_idle))) {
        LIST_REMOVE(p, entry);
        close(p->woken);
        free(p->fds);
        free(p);
    }
}

/* ---- before poll() */

static int count_fds(libxl_ctx *ctx)
{
    struct lx_ev_fd *ev;
    int n = 1;

    LIST_FOREACH(ev, &ctx->efds, entry)
        n++;
    return n;
}

/* As many as fit in room; returns how many there are. */
static int fill_fds(libxl_ctx *ctx, struct lx_poller *p, struct pollfd *fds, int room)
{
    struct lx_ev_fd *ev;
    int n = 0;

    if (n < room)
        fds[n] = (struct pollfd){ .fd = p->woken, .events = POLLIN };
    n++;
    LIST_FOREACH(ev, &ctx->efds, entry) {
        if (n < room)
            fds[n] = (struct pollfd){ .fd = ev->fd, .events = ev->events };
        n++;
    }
    p->fds_gone = ctx->fds_gone;
    return n;
}

/* Milliseconds, rounded up so that the time has really come; timeout: -1 or an upper limit. */
static int until_next_time(libxl_ctx *ctx, int timeout, struct timeval now)
{
    const struct lx_ev_time *ev = TAILQ_FIRST(&ctx->etimes);
    struct timeval left;
    int ms;

    if (!ev)
        return timeout;
    timersub(&ev->abs, &now, &left);
    if (left.tv_sec < 0)
        ms = 0;
    else if (left.tv_sec >= INT_MAX / 1000 - 1)
        ms = INT_MAX;
    else
        ms = (int)left.tv_sec * 1000 + (int)(left.tv_usec + 999) / 1000;
    return timeout < 0 || ms < timeout ? ms : timeout;
}

/* ---- after poll() */

/* The answer for fd may stem from an earlier life of that number: ask again if any has gone. */
static short still_ready(libxl_ctx *ctx, struct lx_poller *p, const struct pollfd *answer)
{
    struct pollfd again = { .fd = answer->fd, .events = answer->events };

    if (p->fds_gone == ctx->fds_gone)
        return answer->revents;
    return poll(&again, 1, 0) > 0 ? again.revents : 0;
}

static struct lx_ev_fd *find_efd(libxl_ctx *ctx, int fd, short events)
{
    struct lx_ev_fd *ev;

    LIST_FOREACH(ev, &ctx->efds, entry)
        if (ev->fd == fd && ev->events == events)
            return ev;
    return NULL;
}

static void after_poll(struct lx_egc *egc, struct lx_poller *p, int n, const struct pollfd *fds,
                       struct timeval now)
{
    libxl_ctx *ctx = egc->gc.ctx;

    for (int i = 0; i < n; i++) {
        struct lx_ev_fd *ev;
        short revents;
        uint64_t count;

        if (!fds[i].revents)
            continue;
        if (fds[i].fd == p->woken) {
            if (read(p->woken, &count, sizeof(count)) < 0)
                continue;
            continue;
        }
        ev = find_efd(ctx, fds[i].fd, fds[i].events);
        revents = ev ? still_ready(ctx, p, &fds[i]) : 0;
        if (revents)
            ev->func(egc, ev, fds[i].fd, fds[i].events, revents);
    }
    lx_time_dispatch(egc, now);
}

int lx_loop_once(libxl_ctx *ctx, struct lx_poller *p)
{
    struct lx_egc egc;
    int need = count_fds(ctx), timeout, r, err;

    if (need > p->room) {
        p->fds = lx_realloc(NULL, p->fds, (size_t)need * sizeof(*p->fds));
        p->room = need;
    }
    p->n_fds = fill_fds(ctx, p, p->fds, p->room);
    timeout = until_next_time(ctx, -1, lx_now());
    lx_unlock(ctx);
    r = poll(p->fds, (nfds_t)p->n_fds, timeout);
    err = errno;
    lx_lock(ctx);
    if (r < 0 && err != EINTR) {
        LX_LOGX(ctx, ERROR, err, LX_NO_DOMID, "poll failed");
        return ERROR_FAIL;
    }
    lx_egc_init(&egc, ctx);
    after_poll(&egc, p, r < 0 ? 0 : p->n_fds, p->fds, lx_now());
    lx_egc_unlock(&egc);
    lx_lock(ctx);
    return 0;
}

/* ---- the same for a program's poll() */

int libxl_osevent_beforepoll(libxl_ctx *ctx, int *nfds_io, struct pollfd *fds, int *timeout_upd,
                             struct timeval now)
{
    int room = *nfds_io, rc = 0;

    lx_lock(ctx);
    if (!ctx->poller_app)
        ctx->poller_app = lx_poller_get(ctx);
    if (!ctx->poller_app) {
        rc = ERROR_FAIL;
        goto out;
    }
    *nfds_io = fill_fds(ctx, ctx->poller_app, fds, room);
    if (*nfds_io > room)
        rc = ERROR_BUFFERFULL;
    *timeout_upd = until_next_time(ctx, *timeout_upd, now);
 out:
    lx_unlock(ctx);
    return rc;
}

void libxl_osevent_afterpoll(libxl_ctx *ctx, int nfds, const struct pollfd *fds,
                             struct timeval now)
{
    struct lx_egc egc;

    lx_lock(ctx);
    lx_egc_init(&egc, ctx);
    if (ctx->poller_app)
        after_poll(&egc, ctx->poller_app, nfds, fds, now);
    lx_egc_unlock(&egc);
}
