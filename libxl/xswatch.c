/* SPDX-License-Identifier: MIT */
/* Watches on xenstore. One descriptor serves all of them and is watched while there are any. */
#include <stdlib.h>
#include <stdio.h>

#include "libxl/ctx.h"

void lx_watch_idle(struct lx_ev_xswatch *ev)
{
    memset(ev, 0, sizeof(*ev));
}

/* NULL for a watch that has gone since its event was sent. */
static struct lx_ev_xswatch *find_watch(libxl_ctx *ctx, const char *token)
{
    struct lx_ev_xswatch *ev;
    unsigned slot;
    uint32_t count;
    int end = 0;

    if (sscanf(token, "%x/%x%n", &slot, &count, &end) != 2 || token[end] ||
        slot >= ctx->n_watch_slots)
        return NULL;
    ev = ctx->watch_slots[slot];
    return ev && ev->count == count ? ev : NULL;
}

static void watch_readable(struct lx_egc *egc, struct lx_ev_fd *efd, int fd, short events,
                           short revents)
{
    struct lx_gc *gc = &egc->gc;
    libxl_ctx *ctx = gc->ctx;
    struct lx_ev_xswatch *ev;
    char **event;

    if (revents & (POLLERR | POLLHUP | POLLNVAL)) {
        LX_LOG(ERROR, "the connection to xenstore is gone; watches on it no longer work");
        lx_fd_deregister(gc, efd);
        return;
    }
    /* a callback may end the last watch, and with it this loop */
    while (lx_fd_active(efd)) {
        event = xs_check_watch(ctx->xsh);
        if (!event) {
            if (errno != EAGAIN)
                LX_LOGE(ERROR, "reading watch events from xenstore");
            break;
        }
        ev = find_watch(ctx, event[XS_WATCH_TOKEN]);
        if (ev) {
            char *watched = lx_strdup(gc, ev->path);

            LX_LOG(DEBUG, "watch %s: %s", ev->path, event[XS_WATCH_PATH]);
            ev->func(egc, ev, watched, event[XS_WATCH_PATH]);
        }
        free(event);
    }
}

static unsigned free_slot(libxl_ctx *ctx)
{
    unsigned i;

    for (i = 0; i < ctx->n_watch_slots; i++)
        if (!ctx->watch_slots[i])
            return i;
    ctx->n_watch_slots = i ? 2 * i : 4;
    ctx->watch_slots = lx_realloc(NULL, ctx->watch_slots,
                                  ctx->n_watch_slots * sizeof(*ctx->watch_slots));
    memset(ctx->watch_slots + i, 0, (ctx->n_watch_slots - i) * sizeof(*ctx->watch_slots));
    return i;
}

int lx_watch_register(struct lx_gc *gc, struct lx_ev_xswatch *ev, lx_watch_callback *func,
                      const char *path)
{
    libxl_ctx *ctx = gc->ctx;
    struct xs_handle *xsh = lx_xs(gc);
    unsigned slot;
    int rc;

    if (!xsh)
        return ERROR_FAIL;
    if (!lx_fd_active(&ctx->watch_efd)) {
        rc = lx_fd_register(gc, &ctx->watch_efd, watch_readable, xs_fileno(xsh), POLLIN);
        if (rc)
            return rc;
    }
    slot = free_slot(ctx);
    ev->count = ctx->watch_count++;
    if (!xs_watch(xsh, path, lx_sprintf(gc, "%x/%x", slot, ev->count))) {
        LX_LOGE(ERROR, "cannot watch %s in xenstore", path);
        if (!ctx->n_watches)
            lx_fd_deregister(gc, &ctx->watch_efd);
        return ERROR_FAIL;
    }
    ctx->n_watches++;
    ctx->watch_slots[slot] = ev;
    ev->slot = slot;
    ev->func = func;
    ev->path = lx_strdup(NULL, path);
    return 0;
}

void lx_watch_deregister(struct lx_gc *gc, struct lx_ev_xswatch *ev)
{
    libxl_ctx *ctx = gc->ctx;

    if (!ev->path)
        return;
    if (!xs_unwatch(ctx->xsh, ev->path, lx_sprintf(gc, "%x/%x", ev->slot, ev->count)))
        LX_LOGE(WARN, "cannot end the watch on %s in xenstore", ev->path);
    ctx->watch_slots[ev->slot] = NULL;
    if (!--ctx->n_watches)
        lx_fd_deregister(gc, &ctx->watch_efd);
    free(ev->path);
    ev->path = NULL;
}
