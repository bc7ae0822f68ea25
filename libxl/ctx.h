/* SPDX-License-Identifier: MIT */
/*
 * The context: everything libxl knows between calls. One recursive mutex guards all of it; it is
 * taken by API functions that need it and by whatever enters from a main loop, and is never held
 * while a callback of the program runs.
 */
#ifndef LX_CTX_H
#define LX_CTX_H

#include <pthread.h>
#include <sys/queue.h>

#include <xenctrl.h>
#include <xenstore.h>

#include <libxl.h>
#include <libxl_event.h>

#include "libxl/ev.h"
#include "libxl/gc.h"
#include "libxl/log.h"

struct lx_ao;
struct lx_poller;

TAILQ_HEAD(lx_event_list, libxl_event);
LIST_HEAD(lx_nexus_list, lx_nexus);

struct libxl__ctx {
    xentoollog_logger *lg;
    xentoollog_logger xc_lg; /* what libxenctrl and libxenguest log to; see ctx.c */
    xc_interface *xch;
    struct xs_handle *xsh; /* opened when first needed: lx_xs() */
    bool xs_missed;        /* it could not be, and that was said */
    pthread_mutex_t lock;

    /* events that nobody has fetched, and who wants to be called instead */
    struct lx_event_list occurred;
    const libxl_event_hooks *event_hooks;
    void *event_user;

    /* what libxl waits for */
    LIST_HEAD(, lx_ev_fd) efds;
    TAILQ_HEAD(, lx_ev_time) etimes; /* soonest first */
    unsigned fds_gone;               /* counts deregistrations, so that a poller knows of them */
    const libxl_osevent_hooks *os_hooks;
    void *os_user;
    struct lx_nexus_list fds_idle; /* see osevent.c */
    struct lx_nexus_list times_idle;

    /* who is, or can be, inside poll() */
    LIST_HEAD(, lx_poller) pollers_busy, pollers_idle;
    struct lx_poller *poller_app;

    /* watches: a token "slot/count" finds its slot and proves that it is still the same watch */
    struct lx_ev_xswatch **watch_slots;
    unsigned n_watch_slots, n_watches;
    uint32_t watch_count;
    struct lx_ev_fd watch_efd;

    LIST_HEAD(, libxl__evgen_domain_death) deaths;
    struct lx_ev_xswatch death_watch;

    LIST_HEAD(, lx_ao) aos;

    /* children */
    const libxl_childproc_hooks *child_hooks;
    void *child_user;
    LIST_HEAD(, lx_ev_child) children;
    struct lx_ev_fd sigchld_efd; /* registered when SIGCHLD is ours; see child.c */
    int sigchld_slot;

    libxl_version_info version;
    bool version_known;
};

void lx_lock(libxl_ctx *ctx);
void lx_unlock(libxl_ctx *ctx);

/* The store, or NULL; the first time with a line in the log. */
struct xs_handle *lx_xs(struct lx_gc *gc);

#endif
