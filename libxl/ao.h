/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous operations. An API function with an asyncop_how reads
 *
 *     struct lx_ao *ao = lx_ao_begin(ctx, domid, how);
 *     ... start; what ends the operation calls lx_ao_complete(egc, ao, rc) once ...
 *     return lx_ao_inprogress(ao);          or, if it never got going, lx_ao_fail(ao, rc)
 *
 * ao->gc lives until the operation is over. lx_ao_complete may be called before lx_ao_inprogress.
 */
#ifndef LX_AO_H
#define LX_AO_H

#include "libxl/ctx.h"
#include "libxl/ev.h"

struct lx_ao {
    struct lx_gc gc;
    struct lx_egc egc;           /* of the call that began it */
    uint32_t domid;
    bool sync, constructing, complete, aborting;
    int rc;
    libxl_asyncop_how how;
    struct lx_poller *poller;    /* synchronous: who is waiting */
    unsigned progress_pending;   /* reports that are still to be given to the program */
    LIST_HEAD(, lx_ev_time) times; /* waits that an abort ends */
    LIST_ENTRY(lx_ao) entry;
    TAILQ_ENTRY(lx_ao) callback_entry;
};

/* Takes the lock. Never fails. */
struct lx_ao *lx_ao_begin(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how);
/* Both give up the lock, and with it possibly the ao. */
int lx_ao_inprogress(struct lx_ao *ao);
int lx_ao_fail(struct lx_ao *ao, int rc);

void lx_ao_complete(struct lx_egc *egc, struct lx_ao *ao, int rc);

/* Gives event (which it takes over) to how: callback, event queue, or nobody if how is NULL. */
void lx_ao_progress(struct lx_egc *egc, struct lx_ao *ao, const libxl_asyncprogress_how *how,
                    libxl_event *event);

#endif
