/* SPDX-License-Identifier: MIT */
/* DOMAIN_SHUTDOWN and DOMAIN_DEATH: xenstore's @releaseDomain says that some domain has changed. */
#include <stdlib.h>

#include "libxl/ctx.h"
#include "libxl/event.h"

struct libxl__evgen_domain_death {
    uint32_t domid;
    libxl_ev_user user;
    bool shutdown_reported;
    LIST_ENTRY(libxl__evgen_domain_death) entry; /* until its death is reported */
    bool listed;
};

static void report(struct lx_egc *egc, libxl_evgen_domain_death *ev, libxl_event_type type,
                   uint8_t reason)
{
    libxl_event *event = lx_event_new(type, ev->domid, ev->user);

    if (type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN)
        event->u.domain_shutdown.shutdown_reason = reason;
    lx_event_occurred(egc, event);
}

/* True if there is nothing more to hear about it. */
static bool look_at(struct lx_egc *egc, libxl_evgen_domain_death *ev)
{
    struct lx_gc *gc = &egc->gc;
    xc_domaininfo_t info;
    int r = xc_domain_getinfolist(gc->ctx->xch, ev->domid, 1, &info);

    if (r < 0) {
        LX_LOGED(ERROR, ev->domid, "cannot ask for the domain's state");
        return false;
    }
    if (!r || info.domain != ev->domid || (info.flags & XEN_DOMINF_dying)) {
        report(egc, ev, LIBXL_EVENT_TYPE_DOMAIN_DEATH, 0);
        return true;
    }
    if ((info.flags & XEN_DOMINF_shutdown) && !ev->shutdown_reported) {
        ev->shutdown_reported = true;
        report(egc, ev, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN,
               (info.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask);
    }
    return false;
}

static void some_domain_changed(struct lx_egc *egc, struct lx_ev_xswatch *watch,
                                const char *watched, const char *path)
{
    libxl_ctx *ctx = egc->gc.ctx;
    libxl_evgen_domain_death *ev, *next;

    for (ev = LIST_FIRST(&ctx->deaths); ev; ev = next) {
        next = LIST_NEXT(ev, entry);
        if (look_at(egc, ev)) {
            LIST_REMOVE(ev, entry);
            ev->listed = false;
        }
    }
    if (LIST_EMPTY(&ctx->deaths))
        lx_watch_deregister(&egc->gc, watch);
}

int libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid, libxl_ev_user user,
                                libxl_evgen_domain_death **evgen_out)
{
    LX_GC(ctx);
    libxl_evgen_domain_death *ev;
    int rc = 0;

    lx_lock(ctx);
    /* registered for each, so that the state at this moment is looked at; see lx_watch_register */
    lx_watch_deregister(gc, &ctx->death_watch);
    rc = lx_watch_register(gc, &ctx->death_watch, some_domain_changed, "@releaseDomain");
    if (!rc) {
        ev = LX_NEW(NULL, libxl_evgen_domain_death);
        ev->domid = domid;
        ev->user = user;
        ev->listed = true;
        LIST_INSERT_HEAD(&ctx->deaths, ev, entry);
        *evgen_out = ev;
    }
    lx_unlock(ctx);
    return rc;
}

void libxl_evdisable_domain_death(libxl_ctx *ctx, libxl_evgen_domain_death *ev)
{
    LX_GC(ctx);

    if (!ev)
        return;
    lx_lock(ctx);
    if (ev->listed)
        LIST_REMOVE(ev, entry);
    if (LIST_EMPTY(&ctx->deaths))
        lx_watch_deregister(gc, &ctx->death_watch);
    free(ev);
    lx_unlock(ctx);
}

/* There are no emulated CD drives yet, whose tray a guest could open. */

int libxl_evenable_disk_eject(libxl_ctx *ctx, uint32_t domid, const char *vdev, libxl_ev_user user,
                              libxl_evgen_disk_eject **evgen_out)
{
    LX_GC(ctx);

    LX_LOGD(ERROR, domid, "disk %s: eject events need an emulated CD drive, which this build lacks",
            vdev);
    return ERROR_NI;
}

void libxl_evdisable_disk_eject(libxl_ctx *ctx, libxl_evgen_disk_eject *evgen)
{
}
