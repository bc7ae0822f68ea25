/* SPDX-License-Identifier: MIT */
#include "libxl/ctx.h"

#include <stdio.h>
#include <stdlib.h>

#include "libxl/domain.h"
#include "libxl/event.h"

void lx_lock(libxl_ctx *ctx)
{
    pthread_mutex_lock(&ctx->lock);
}

void lx_unlock(libxl_ctx *ctx)
{
    pthread_mutex_unlock(&ctx->lock);
}

struct xs_handle *lx_xs(struct lx_gc *gc)
{
    libxl_ctx *ctx = gc->ctx;

    lx_lock(ctx);
    if (!ctx->xsh) {
        ctx->xsh = xs_open(0);
        if (!ctx->xsh && !ctx->xs_missed) {
            LX_LOGE(ERROR, "cannot reach xenstore (is xenstored running?)");
            ctx->xs_missed = true;
        }
    }
    lx_unlock(ctx);
    return ctx->xsh;
}

/* ---- the lower libraries' messages. They report each failure, and so does libxl, which knows
 * what was wanted and passes on the cause: theirs become detail, so that a person reads one line.
 * */

static libxl_ctx *ctx_of(xentoollog_logger *xc_lg)
{
    return (libxl_ctx *)((char *)xc_lg - offsetof(libxl_ctx, xc_lg));
}

static void xc_message(xentoollog_logger *lg, xentoollog_level level, int errnoval,
                       const char *context, const char *format, va_list al)
{
    libxl_ctx *ctx = ctx_of(lg);
    char *text = NULL;

    if (!ctx->lg || vasprintf(&text, format, al) < 0)
        return;
    xtl_log(ctx->lg, level >= XTL_WARN ? XTL_DETAIL : level, errnoval, context, "%s", text);
    free(text);
}

static void xc_progress(xentoollog_logger *lg, const char *context, const char *doing_what,
                        int percent, unsigned long done, unsigned long total)
{
    libxl_ctx *ctx = ctx_of(lg);

    if (ctx->lg && ctx->lg->progress)
        ctx->lg->progress(ctx->lg, context, doing_what, percent, done, total);
}

static void init_lock(libxl_ctx *ctx)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&ctx->lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

int libxl_ctx_alloc(libxl_ctx **pctx, int version, unsigned flags, xentoollog_logger *lg)
{
    libxl_ctx *ctx;

    *pctx = NULL;
    if (version != LIBXL_VERSION)
        return ERROR_VERSION;
    ctx = LX_NEW(NULL, libxl_ctx);
    ctx->lg = lg;
    init_lock(ctx);
    TAILQ_INIT(&ctx->occurred);
    LIST_INIT(&ctx->efds);
    TAILQ_INIT(&ctx->etimes);
    LIST_INIT(&ctx->fds_idle);
    LIST_INIT(&ctx->times_idle);
    LIST_INIT(&ctx->pollers_busy);
    LIST_INIT(&ctx->pollers_idle);
    LIST_INIT(&ctx->deaths);
    LIST_INIT(&ctx->aos);
    lx_fd_idle(&ctx->watch_efd);
    lx_children_init(ctx);
    libxl_version_info_init(&ctx->version);

    ctx->xc_lg.vmessage = xc_message;
    ctx->xc_lg.progress = xc_progress;
    ctx->xch = xc_interface_open(&ctx->xc_lg, &ctx->xc_lg, 0);
    if (!ctx->xch) {
        LX_LOGX(ctx, ERROR, errno, LX_NO_DOMID,
                "cannot reach the hypervisor (is kryptond running?)");
        libxl_ctx_free(ctx);
        return ERROR_FAIL;
    }
    *pctx = ctx;
    LX_GC(ctx);
    lx_creation_reap(gc);
    return 0;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
    libxl_event *event;

    if (!ctx)
        return 0;
    lx_children_free(ctx);
    if (ctx->xsh) {
        LX_GC(ctx);

        lx_watch_deregister(gc, &ctx->death_watch);
        lx_fd_deregister(gc, &ctx->watch_efd);
        xs_close(ctx->xsh);
    }
    if (ctx->xch)
        xc_interface_close(ctx->xch);
    while ((event = TAILQ_FIRST(&ctx->occurred))) {
        TAILQ_REMOVE(&ctx->occurred, event, link);
        libxl_event_free(ctx, event);
    }
    lx_pollers_free(ctx);
    lx_hooks_free(ctx);
    free(ctx->watch_slots);
    libxl_version_info_dispose(&ctx->version);
    pthread_mutex_destroy(&ctx->lock);
    free(ctx);
    return 0;
}
