/* SPDX-License-Identifier: MIT */
#include "libxl/event.h"

#include <stdlib.h>

#include "libxl/ao.h"

/* A progress report on its way to the program. */
struct lx_progress {
    struct lx_ao *ao;
    libxl_asyncprogress_how how;
    libxl_event *event;
    TAILQ_ENTRY(lx_progress) entry;
};

/* ---- events */

libxl_event *lx_event_new(libxl_event_type type, uint32_t domid, uint64_t for_user)
{
    libxl_event *event = LX_NEW(NULL, libxl_event);

    libxl_event_init(event);
    libxl_event_init_type(event, type);
    event->domid = domid;
    event->for_user = for_user;
    return event;
}

void libxl_event_free(libxl_ctx *ctx, libxl_event *event)
{
    if (!event)
        return;
    libxl_event_dispose(event);
    free(event);
}

void lx_event_occurred(struct lx_egc *egc, libxl_event *event)
{
    libxl_ctx *ctx = egc->gc.ctx;

    if (ctx->event_hooks && (ctx->event_hooks->event_occurs_mask & (1UL << event->type))) {
        TAILQ_INSERT_TAIL(&egc->events, event, link);
    } else {
        TAILQ_INSERT_TAIL(&ctx->occurred, event, link);
        lx_pollers_wake(ctx);
    }
}

void libxl_event_register_callbacks(libxl_ctx *ctx, const libxl_event_hooks *hooks, void *user)
{
    lx_lock(ctx);
    ctx->event_hooks = hooks;
    ctx->event_user = user;
    lx_unlock(ctx);
}

static int take_event(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                      libxl_event_predicate *predicate, void *user)
{
    libxl_event *event;

    TAILQ_FOREACH(event, &ctx->occurred, link) {
        if (!(typemask & (1ULL << event->type)) || (predicate && !predicate(event, user)))
            continue;
        TAILQ_REMOVE(&ctx->occurred, event, link);
        *event_r = event;
        return 0;
    }
    return ERROR_NOT_READY;
}

int libxl_event_check(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                      libxl_event_predicate *predicate, void *user)
{
    int rc;

    lx_lock(ctx);
    rc = take_event(ctx, event_r, typemask, predicate, user);
    lx_unlock(ctx);
    return rc;
}

int libxl_event_wait(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                     libxl_event_predicate *predicate, void *user)
{
    struct lx_poller *poller;
    int rc;

    lx_lock(ctx);
    poller = lx_poller_get(ctx);
    if (!poller) {
        rc = ERROR_FAIL;
        goto out;
    }
    for (;;) {
        rc = take_event(ctx, event_r, typemask, predicate, user);
        if (rc != ERROR_NOT_READY)
            break;
        rc = lx_loop_once(ctx, poller);
        if (rc)
            break;
    }
 out:
    lx_poller_put(ctx, poller);
    lx_unlock(ctx);
    return rc;
}

/* ---- the egc: what the program is to hear once the lock is free */

void lx_egc_init(struct lx_egc *egc, libxl_ctx *ctx)
{
    memset(egc, 0, sizeof(*egc));
    egc->gc.ctx = ctx;
    TAILQ_INIT(&egc->events);
    TAILQ_INIT(&egc->aos);
    TAILQ_INIT(&egc->progress);
}

static void destroy_ao(libxl_ctx *ctx, struct lx_ao *ao)
{
    LX_LOGX(ctx, DEBUG, -1, ao->domid, "ao %p: over", (void *)ao);
    lx_gc_empty(&ao->gc);
    free(ao);
}

/* Tells whoever is to be told that ao is over, when the last report has been delivered. */
static void ao_check_complete(struct lx_egc *egc, struct lx_ao *ao)
{
    libxl_ctx *ctx = egc->gc.ctx;

    if (!ao->complete || ao->constructing || ao->progress_pending)
        return;
    if (ao->sync) {
        if (ao->poller)
            lx_poller_wake(ao->poller); /* the waiting thread sees for itself */
        return;
    }
    LIST_REMOVE(ao, entry);
    if (ao->how.callback) {
        TAILQ_INSERT_TAIL(&egc->aos, ao, callback_entry);
    } else {
        libxl_event *event = lx_event_new(LIBXL_EVENT_TYPE_OPERATION_COMPLETE, ao->domid,
                                          ao->how.u.for_event);

        event->u.operation_complete.rc = ao->rc;
        lx_event_occurred(egc, event);
        destroy_ao(ctx, ao);
    }
}

static void deliver_progress(struct lx_egc *egc, libxl_ctx *ctx)
{
    struct lx_progress *pr;

    while ((pr = TAILQ_FIRST(&egc->progress))) {
        TAILQ_REMOVE(&egc->progress, pr, entry);
        pr->how.callback(ctx, pr->event, pr->how.for_callback);
        lx_lock(ctx);
        pr->ao->progress_pending--;
        ao_check_complete(egc, pr->ao);
        lx_unlock(ctx);
        free(pr);
    }
}

void lx_egc_unlock(struct lx_egc *egc)
{
    libxl_ctx *ctx = egc->gc.ctx;
    libxl_event *event;
    struct lx_ao *ao;

    lx_unlock(ctx);
    deliver_progress(egc, ctx);
    while ((event = TAILQ_FIRST(&egc->events))) {
        TAILQ_REMOVE(&egc->events, event, link);
        ctx->event_hooks->event_occurs(ctx->event_user, event);
    }
    while ((ao = TAILQ_FIRST(&egc->aos))) {
        TAILQ_REMOVE(&egc->aos, ao, callback_entry);
        ao->how.callback(ctx, ao->rc, ao->how.u.for_callback);
        destroy_ao(ctx, ao);
    }
    lx_gc_empty(&egc->gc);
}

/* ---- operations */

struct lx_ao *lx_ao_begin(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
    struct lx_ao *ao = LX_NEW(NULL, struct lx_ao);

    lx_lock(ctx);
    ao->gc.ctx = ctx;
    ao->domid = domid;
    ao->constructing = true;
    lx_egc_init(&ao->egc, ctx);
    LIST_INIT(&ao->times);
    LIST_INSERT_HEAD(&ctx->aos, ao, entry);
    if (how)
        ao->how = *how;
    else
        ao->poller = lx_poller_get(ctx);
    ao->sync = !how;
    LX_LOGX(ctx, DEBUG, -1, domid, "ao %p: begun, %s", (void *)ao,
            how ? how->callback ? "will call back" : "will queue an event" : "waiting");
    return ao;
}

/* What the call itself has produced, moved out of the ao, which may go while callbacks run. */
static void take_over(struct lx_egc *egc, struct lx_egc *from)
{
    lx_egc_init(egc, from->gc.ctx);
    TAILQ_CONCAT(&egc->events, &from->events, link);
    TAILQ_CONCAT(&egc->progress, &from->progress, entry);
    egc->gc.blocks = from->gc.blocks;
    from->gc.blocks = NULL;
}

static int wait_for_ao(struct lx_ao *ao)
{
    libxl_ctx *ctx = ao->gc.ctx;
    int rc = 0;

    if (!ao->poller && !ao->complete)
        return ERROR_FAIL; /* as was said then; the ao stays for what refers to it */
    while (!rc && (!ao->complete || ao->progress_pending))
        rc = lx_loop_once(ctx, ao->poller);
    if (rc)
        return rc; /* poll() itself failed: the ao stays, as above */
    rc = ao->rc;
    lx_poller_put(ctx, ao->poller);
    LIST_REMOVE(ao, entry);
    destroy_ao(ctx, ao);
    return rc;
}

int lx_ao_inprogress(struct lx_ao *ao)
{
    libxl_ctx *ctx = ao->gc.ctx;
    struct lx_egc egc;
    bool sync = ao->sync;
    int rc = 0;

    take_over(&egc, &ao->egc);
    ao->constructing = false;
    ao_check_complete(&egc, ao);
    lx_egc_unlock(&egc); /* an asynchronous ao may be gone after this */
    if (!sync)
        return 0;
    lx_lock(ctx);
    rc = wait_for_ao(ao);
    lx_unlock(ctx);
    return rc;
}

int lx_ao_fail(struct lx_ao *ao, int rc)
{
    libxl_ctx *ctx = ao->gc.ctx;

    struct lx_egc egc;

    lx_poller_put(ctx, ao->poller);
    LIST_REMOVE(ao, entry);
    take_over(&egc, &ao->egc);
    lx_egc_unlock(&egc);
    destroy_ao(ctx, ao);
    return rc;
}

void lx_ao_complete(struct lx_egc *egc, struct lx_ao *ao, int rc)
{
    LX_LOGX(ao->gc.ctx, DEBUG, -1, ao->domid, "ao %p: complete, rc=%d", (void *)ao, rc);
    ao->complete = true;
    ao->rc = rc;
    ao_check_complete(egc, ao); /* which may be the end of it */
}

void lx_ao_progress(struct lx_egc *egc, struct lx_ao *ao, const libxl_asyncprogress_how *how,
                    libxl_event *event)
{
    struct lx_progress *pr;

    if (!how) {
        libxl_event_free(ao->gc.ctx, event);
        return;
    }
    event->for_user = how->for_event;
    if (!how->callback) {
        lx_event_occurred(egc, event);
        return;
    }
    pr = LX_NEW(NULL, struct lx_progress);
    pr->ao = ao;
    pr->how = *how;
    pr->event = event;
    ao->progress_pending++;
    TAILQ_INSERT_TAIL(&egc->progress, pr, entry);
}

static bool same_how(const libxl_asyncop_how *a, const libxl_asyncop_how *b)
{
    return a->callback == b->callback &&
           (a->callback ? a->u.for_callback == b->u.for_callback
                        : a->u.for_event == b->u.for_event);
}

int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
    struct lx_egc egc;
    struct lx_ev_time *ev;
    struct lx_ao *ao;
    int rc = ERROR_NOTFOUND;

    lx_lock(ctx);
    lx_egc_init(&egc, ctx);
    LIST_FOREACH(ao, &ctx->aos, entry)
        if (!ao->poller && !ao->complete && same_how(&ao->how, how))
            break;
    if (ao) {
        ao->aborting = true; /* from now on no wait is begun */
        rc = LIST_EMPTY(&ao->times) ? ERROR_NI : 0;
        /* waits of one operation end together; an ao has one at a time */
        ev = LIST_FIRST(&ao->times);
        if (ev)
            lx_time_fire(&egc, ev, ERROR_ABORTED);
    }
    lx_egc_unlock(&egc);
    return rc;
}
