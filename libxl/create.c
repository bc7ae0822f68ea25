/* SPDX-License-Identifier: MIT */
/*
 * libxl_domain_create_new. Building happens within the call; what then takes time is xenconsoled
 * opening a terminal for the guest, and that is awaited asynchronously. Whatever fails, everything
 * made so far is taken back.
 */
#include <stdlib.h>

#include "libxl/ao.h"
#include "libxl/domain.h"
#include "libxl/event.h"

#include <libxl_utils.h>

/* As long as Xen's libxl gives any daemon to do its part (LIBXL_INIT_TIMEOUT). */
#define TTY_TIMEOUT_MS 10000
#define RANDOM_DOMID_TRIES 100

static int make_domain(struct lx_gc *gc, struct lx_create *cr);
static int build_all(struct lx_gc *gc, struct lx_create *cr);
static int await_tty(struct lx_egc *egc, struct lx_create *cr);
static void tty_changed(struct lx_egc *egc, struct lx_ev_xswatch *ev, const char *watched,
                        const char *path);
static void tty_late(struct lx_egc *egc, struct lx_ev_time *ev, int rc);
static void finish(struct lx_egc *egc, struct lx_create *cr, int rc);

static int check_name_free(struct lx_gc *gc, const char *name)
{
    uint32_t other;

    if (libxl_name_to_domid(gc->ctx, name, &other))
        return 0;
    LX_LOG(ERROR, "the name \"%s\" is in use by domain %u", name, other);
    return ERROR_INVAL;
}

int libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *config, uint32_t *domid,
                            const libxl_asyncop_how *ao_how,
                            const libxl_asyncprogress_how *console_how)
{
    struct lx_ao *ao = lx_ao_begin(ctx, LX_NO_DOMID, ao_how);
    struct lx_gc *gc = &ao->gc;
    struct lx_create *cr = LX_NEW(gc, struct lx_create);
    int rc;

    cr->ao = ao;
    cr->config = config;
    cr->domid = LX_NO_DOMID;
    cr->domid_out = domid;
    cr->creation.fd = -1;
    cr->report_console = console_how != NULL;
    if (console_how)
        cr->console_how = *console_how;
    lx_watch_idle(&cr->tty_watch);
    lx_time_idle(&cr->tty_time);
    *domid = LX_NO_DOMID;

    libxl_domain_config_init(&cr->as_given);
    libxl_domain_config_dispose(&cr->as_given);
    libxl_domain_config_copy(ctx, &cr->as_given, config);
    lx_creation_reap(gc);
    rc = lx_config_setdefault(gc, config);
    if (!rc)
        rc = check_name_free(gc, config->c_info.name);
    if (!rc)
        rc = lx_check_memory(gc, &config->b_info);
    if (!rc)
        rc = make_domain(gc, cr);
    if (!rc)
        rc = build_all(gc, cr);
    if (!rc)
        rc = await_tty(&ao->egc, cr);
    if (rc)
        finish(&ao->egc, cr, rc);
    return lx_ao_inprogress(ao);
}

/* ---- the hypervisor's side */

static void fill_in_createdomain(const libxl_domain_config *config,
                                 struct xen_domctl_createdomain *c)
{
    const libxl_domain_build_info *b = &config->b_info;

    memset(c, 0, sizeof(*c));
    c->ssidref = config->c_info.ssidref;
    memcpy(c->handle, config->c_info.uuid.uuid, sizeof(c->handle));
    c->flags = XEN_DOMCTL_CDF_hvm;
    if (libxl_defbool_val(config->c_info.hap))
        c->flags |= XEN_DOMCTL_CDF_hap;
    if (!libxl_defbool_val(config->c_info.oos))
        c->flags |= XEN_DOMCTL_CDF_oos_off;
    c->max_vcpus = (uint32_t)b->max_vcpus;
    c->max_evtchn_port = b->event_channels;
    c->max_grant_frames = (int32_t)b->max_grant_frames; /* -1: the hypervisor's default */
    c->max_maptrack_frames = (int32_t)b->max_maptrack_frames;
    c->grant_opts = XEN_DOMCTL_GRANT_version((uint32_t)b->max_grant_version);
    c->vmtrace_size = b->vmtrace_buf_kb > 0 ? (uint32_t)b->vmtrace_buf_kb << 10 : 0;
    c->cpupool_id = config->c_info.poolid;
    c->arch.emulation_flags = XEN_X86_EMU_LAPIC;
    if (libxl_defbool_val(b->arch_x86.msr_relaxed))
        c->arch.misc_flags = XEN_X86_MSR_RELAXED;
}

/* Any number, the one that was asked for, or a random one that is free. */
static int create_with_domid(struct lx_gc *gc, struct lx_create *cr,
                             struct xen_domctl_createdomain *c)
{
    uint32_t wanted = cr->config->c_info.domid, domid = 0;

    if (wanted != (uint32_t)RANDOM_DOMID) {
        domid = libxl_domid_valid_guest(wanted) ? wanted : 0;
        if (xc_domain_create(gc->ctx->xch, &domid, c))
            return -1;
        cr->domid = domid;
        return 0;
    }
    for (int i = 0; i < RANDOM_DOMID_TRIES; i++) {
        uint16_t r;

        if (getentropy(&r, sizeof(r)))
            return -1;
        domid = 1 + r % (DOMID_FIRST_RESERVED - 1);
        if (!xc_domain_create(gc->ctx->xch, &domid, c)) {
            cr->domid = domid;
            return 0;
        }
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

static uint32_t daemon_domid(struct lx_gc *gc, const char *daemon)
{
    const char *s = lx_xs_peek(gc, lx_sprintf(gc, "/tool/%s/domid", daemon));

    return s ? (uint32_t)strtoul(s, NULL, 10) : 0;
}

static int make_domain(struct lx_gc *gc, struct lx_create *cr)
{
    struct xen_domctl_createdomain c;
    int rc;

    if (!lx_xs(gc)) /* before there is a domain to take back */
        return ERROR_FAIL;
    rc = lx_creation_begin(gc, &cr->config->c_info.uuid, &cr->creation);
    if (rc)
        return rc;
    fill_in_createdomain(cr->config, &c);
    LX_LOG(DETAIL, "passthrough: %s",
           libxl_passthrough_to_string(cr->config->c_info.passthrough));
    if (create_with_domid(gc, cr, &c)) {
        LX_LOGE(ERROR, "the hypervisor does not create the domain");
        return errno == ENOMEM ? ERROR_NOMEM : ERROR_FAIL;
    }
    cr->ao->domid = cr->domid;
    rc = lx_creation_domid(gc, &cr->creation, cr->domid);
    if (rc)
        return rc;
    cr->path = lx_dom_path(gc, cr->domid);
    cr->libxl_path = lx_libxl_path(gc, cr->domid);
    cr->uuid = lx_sprintf(gc, LIBXL_UUID_FMT, LIBXL_UUID_BYTES(cr->config->c_info.uuid));
    cr->vm_path = lx_sprintf(gc, "/vm/%s", cr->uuid);
    cr->store_domid = daemon_domid(gc, "xenstored");
    cr->console_domid = daemon_domid(gc, "xenconsoled");
    return lx_store_skeleton(gc, cr);
}

/* What was left to libxl and must stay the same if the domain is made again from what is kept. */
static int keep_config(struct lx_gc *gc, struct lx_create *cr)
{
    libxl_domain_config *kept = &cr->as_given;
    const libxl_domain_config *now = cr->config;

    libxl_uuid_copy(gc->ctx, &kept->c_info.uuid, &now->c_info.uuid);
    kept->b_info.video_memkb = now->b_info.video_memkb;
    kept->b_info.arch_x86.msr_relaxed = now->b_info.arch_x86.msr_relaxed;
    return lx_config_keep(gc, cr->domid, kept);
}

static int build_all(struct lx_gc *gc, struct lx_create *cr)
{
    int rc = lx_build_pre(gc, cr);

    if (!rc)
        rc = lx_build(gc, cr);
    if (!rc)
        rc = lx_store_built(gc, cr);
    if (!rc)
        rc = lx_console_add(gc, cr);
    if (!rc)
        rc = keep_config(gc, cr);
    return rc;
}

/* ---- the console's terminal */

static int await_tty(struct lx_egc *egc, struct lx_create *cr)
{
    struct lx_gc *gc = &cr->ao->gc;
    int rc = lx_watch_register(gc, &cr->tty_watch, tty_changed,
                               lx_sprintf(gc, "%s/console/tty", cr->path));

    if (!rc)
        rc = lx_time_register(gc, cr->ao, &cr->tty_time, tty_late, TTY_TIMEOUT_MS);
    return rc;
}

static void tty_changed(struct lx_egc *egc, struct lx_ev_xswatch *ev, const char *watched,
                        const char *path)
{
    struct lx_create *cr =
        (struct lx_create *)((char *)ev - offsetof(struct lx_create, tty_watch));
    struct lx_gc *gc = &egc->gc;
    const char *tty;
    int rc = lx_xs_read(gc, XBT_NULL, watched, &tty);

    if (!rc && (!tty || !*tty))
        return; /* not yet */
    if (!rc && cr->report_console)
        lx_ao_progress(egc, cr->ao, &cr->console_how,
                       lx_event_new(LIBXL_EVENT_TYPE_DOMAIN_CREATE_CONSOLE_AVAILABLE, cr->domid,
                                    0));
    finish(egc, cr, rc);
}

static void tty_late(struct lx_egc *egc, struct lx_ev_time *ev, int rc)
{
    struct lx_create *cr = (struct lx_create *)((char *)ev - offsetof(struct lx_create, tty_time));
    struct lx_gc *gc = &egc->gc;

    if (rc == ERROR_TIMEDOUT)
        LX_LOGD(ERROR, cr->domid, "no console appeared within %d s (is xenconsoled running?)",
                TTY_TIMEOUT_MS / 1000);
    finish(egc, cr, rc);
}

/* ---- the end, good or bad */

static void finish(struct lx_egc *egc, struct lx_create *cr, int rc)
{
    struct lx_gc *gc = &cr->ao->gc;

    lx_watch_deregister(gc, &cr->tty_watch);
    lx_time_deregister(gc, &cr->tty_time);
    if (rc && cr->domid != LX_NO_DOMID) {
        LX_LOGD(DEBUG, cr->domid, "creation failed (rc=%d), removing what there is", rc);
        lx_destroy(gc, cr->domid);
        if (cr->vm_path) /* the domain's own node may not have been there yet to lead to it */
            lx_xs_rm(gc, XBT_NULL, cr->vm_path);
        cr->domid = LX_NO_DOMID;
    }
    lx_creation_end(&cr->creation);
    *cr->domid_out = cr->domid;
    libxl_domain_config_dispose(&cr->as_given);
    lx_ao_complete(egc, cr->ao, rc);
}
