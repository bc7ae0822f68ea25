/* SPDX-License-Identifier: MIT */
/* A PVH domain's vCPUs, policy, memory, kernel and ACPI tables. */
#include <stdlib.h>

#include "libxl/builtins.h"
#include "libxl/domain.h"

#include <xenguest.h>

#include "firmware/pvh.h"

#include <libxl_utils.h>

/* Whether the container starts a shim, and that the guest's kernel. */
static bool shimmed(const libxl_domain_build_info *b)
{
    return libxl_defbool_val(b->u.pvh.pvshim);
}

/* ---- before the memory */

static int set_affinity(struct lx_gc *gc, struct lx_create *cr)
{
    const libxl_domain_build_info *b = &cr->config->b_info;

    for (int i = 0; i < b->max_vcpus; i++) {
        const libxl_bitmap *hard = NULL, *soft = NULL;

        if (i < b->num_vcpu_hard_affinity && b->vcpu_hard_affinity[i].size)
            hard = &b->vcpu_hard_affinity[i];
        else if (b->cpumap.size)
            hard = &b->cpumap;
        if (i < b->num_vcpu_soft_affinity && b->vcpu_soft_affinity[i].size)
            soft = &b->vcpu_soft_affinity[i];
        if ((hard || soft) && libxl_set_vcpuaffinity(gc->ctx, cr->domid, (uint32_t)i, hard, soft))
            return ERROR_FAIL;
    }
    if (b->nodemap.size && libxl_domain_set_nodeaffinity(gc->ctx, cr->domid,
                                                         &cr->config->b_info.nodemap))
        return ERROR_FAIL;
    return 0;
}

static int alloc_ports(struct lx_gc *gc, struct lx_create *cr)
{
    xc_interface *xch = gc->ctx->xch;
    int store = xc_evtchn_alloc_unbound(xch, cr->domid, cr->store_domid);
    int console = store < 0 ? -1 : xc_evtchn_alloc_unbound(xch, cr->domid, cr->console_domid);

    if (store < 0 || console < 0) {
        LX_LOGED(ERROR, cr->domid, "cannot make the store's and the console's event channels");
        return ERROR_FAIL;
    }
    cr->store_port = (uint32_t)store;
    cr->console_port = (uint32_t)console;
    return 0;
}

static int apply_cpu_policy(struct lx_gc *gc, struct lx_create *cr)
{
    const libxl_domain_build_info *b = &cr->config->b_info;
    const struct libxl__cpu_policy *p = b->cpuid;
    bool itsc = b->tsc_mode == LIBXL_TSC_MODE_NATIVE || libxl_defbool_val(b->disable_migrate);

    if (!xc_cpuid_apply_policy(gc->ctx->xch, cr->domid, false, NULL, 0, true, itsc, false,
                               p ? p->cpuid : NULL, p ? p->msr : NULL))
        return 0;
    LX_LOGED(ERROR, cr->domid, "cannot give the domain its CPU policy");
    return ERROR_FAIL;
}

/* XEN_CPUID_TSC_MODE_* of libxl_tsc_mode are one and the same but for NATIVE_PARAVIRT's removal. */
static uint32_t tsc_mode(libxl_tsc_mode m)
{
    switch (m) {
    case LIBXL_TSC_MODE_ALWAYS_EMULATE: return 1;
    case LIBXL_TSC_MODE_NATIVE: return 2;
    default: return 0;
    }
}

/* While it is built the domain may be filled up to its maximum, on demand or at once; then its
 * balloon driver brings it down to the target, above which the limit keeps it from growing again.
 * */
static int set_limit(struct lx_gc *gc, uint32_t domid, uint64_t memkb)
{
    if (!xc_domain_setmaxmem(gc->ctx->xch, domid, memkb + LX_MAXMEM_SLACK_KB))
        return 0;
    LX_LOGED(ERROR, domid, "cannot set the domain's memory limit");
    return ERROR_FAIL;
}

int lx_build_pre(struct lx_gc *gc, struct lx_create *cr)
{
    const libxl_domain_build_info *b = &cr->config->b_info;
    xc_interface *xch = gc->ctx->xch;
    uint32_t d = cr->domid;
    int rc;

    if (xc_domain_max_vcpus(xch, d, (unsigned)b->max_vcpus)) {
        LX_LOGED(ERROR, d, "cannot make %d vCPUs", b->max_vcpus);
        return ERROR_FAIL;
    }
    rc = set_affinity(gc, cr);
    if (rc)
        return rc;
    rc = set_limit(gc, d, b->max_memkb);
    if (rc)
        return rc;
    if (xc_domain_set_tsc_info(xch, d, tsc_mode(b->tsc_mode), 0, 0, 0)) {
        LX_LOGED(ERROR, d, "cannot set the domain's TSC mode");
        return ERROR_FAIL;
    }
    if (b->rtc_timeoffset && xc_domain_set_time_offset(xch, d, (int32_t)b->rtc_timeoffset)) {
        LX_LOGED(ERROR, d, "cannot set the domain's time offset");
        return ERROR_FAIL;
    }
    /* Only a hypervisor that keeps page tables of its own for a guest has such a pool. */
    if (xc_set_paging_mempool_size(xch, d, b->shadow_memkb << 10) && errno != EOPNOTSUPP &&
        errno != ENOSYS) {
        LX_LOGED(ERROR, d, "cannot set the domain's paging pool to %llu KiB",
                 (unsigned long long)b->shadow_memkb);
        return ERROR_FAIL;
    }
    rc = apply_cpu_policy(gc, cr);
    if (!rc)
        rc = alloc_ports(gc, cr);
    if (!rc && (b->sched_params.sched != LIBXL_SCHEDULER_UNKNOWN ||
                b->sched_params.weight != LIBXL_DOMAIN_SCHED_PARAM_WEIGHT_DEFAULT ||
                b->sched_params.cap != LIBXL_DOMAIN_SCHED_PARAM_CAP_DEFAULT))
        rc = libxl_domain_sched_params_set(gc->ctx, d, &b->sched_params);
    return rc;
}

/* The builder's own words are the cause; ours say what was being done. */
static int builder_failed(struct lx_gc *gc, struct lx_create *cr, const char *what)
{
    int err = errno;
    const xc_error *e = xc_get_last_error(gc->ctx->xch);
    const char *cause = e && e->code != XC_ERROR_NONE && e->message[0] ? e->message : strerror(err);

    LX_LOGD(ERROR, cr->domid, "%s: %s", what, cause);
    return err == ENOMEM ? ERROR_NOMEM : ERROR_FAIL;
}

/* ---- memory layout */

static void set_layout(const libxl_domain_build_info *b, struct xc_dom_image *dom)
{
    pvh_set_layout(dom, (b->max_memkb - b->video_memkb) << 10);
    dom->max_vcpus = (unsigned)b->max_vcpus;
    dom->target_pages = (b->target_memkb - b->video_memkb) >> 2;
    dom->claim_enabled = libxl_defbool_val(b->claim_mode);
}

static int add_acpi(struct lx_gc *gc, struct lx_create *cr, struct xc_dom_image *dom)
{
    const libxl_domain_build_info *b = &cr->config->b_info;
    uint8_t *online = lx_alloc(gc, (size_t)b->max_vcpus / 8 + 1);

    if (!libxl_defbool_val(b->acpi))
        return 0;
    /* A PV kernel starts all vCPUs and then stops those that the store has offline; the shim can
     * only start those that its MADT has enabled. */
    for (int i = 0; i < b->max_vcpus; i++)
        if (shimmed(b) || libxl_bitmap_test(&b->avail_vcpus, i))
            online[i / 8] |= (uint8_t)(1 << (i % 8));
    return pvh_add_acpi(dom, online) ? builder_failed(gc, cr, "cannot make ACPI tables") : 0;
}

/* ---- running the builder */

/* The first to run. */
static const char *first_what(const libxl_domain_build_info *b)
{
    return shimmed(b) ? "shim" : "kernel";
}

static const char *first_file(const libxl_domain_build_info *b)
{
    return shimmed(b) ? b->u.pvh.pvshim_path : b->kernel;
}

static const char *first_cmdline(struct lx_gc *gc, const libxl_domain_build_info *b)
{
    const char *extra = b->u.pvh.pvshim_extra;

    if (!shimmed(b))
        return b->cmdline;
    return lx_sprintf(gc, "%s%s%s", b->u.pvh.pvshim_cmdline, extra ? " " : "", extra ? extra : "");
}

/* The shim takes the first module and its command line for the guest's kernel, and the second for
 * the ramdisk. */
static int load_files(struct lx_gc *gc, struct lx_create *cr, struct xc_dom_image *dom)
{
    const libxl_domain_build_info *b = &cr->config->b_info;

    if (xc_dom_kernel_file(dom, first_file(b)))
        return builder_failed(gc, cr, lx_sprintf(gc, "%s %s", first_what(b), first_file(b)));
    if (shimmed(b) && xc_dom_module_file(dom, b->kernel, b->cmdline))
        return builder_failed(gc, cr, lx_sprintf(gc, "kernel %s", b->kernel));
    if (b->ramdisk && xc_dom_module_file(dom, b->ramdisk, NULL))
        return builder_failed(gc, cr, lx_sprintf(gc, "ramdisk %s", b->ramdisk));
    return 0;
}

static int load(struct lx_gc *gc, struct lx_create *cr, struct xc_dom_image *dom)
{
    const libxl_domain_build_info *b = &cr->config->b_info;
    xc_interface *xch = gc->ctx->xch;
    int rc;

    set_layout(b, dom);
    xc_clear_last_error(xch);
    rc = load_files(gc, cr, dom);
    if (rc)
        return rc;
    dom->console_evtchn = cr->console_port;
    dom->xenstore_evtchn = cr->store_port;
    dom->console_domid = cr->console_domid;
    dom->xenstore_domid = cr->store_domid;
    if (xc_dom_boot_xen_init(dom, xch, cr->domid))
        return builder_failed(gc, cr, "cannot begin building");
    if (xc_dom_parse_image(dom))
        return builder_failed(gc, cr, lx_sprintf(gc, "%s %s", first_what(b), first_file(b)));
    if (xc_dom_mem_init(dom, (unsigned)(b->target_memkb / 1024)) || xc_dom_boot_mem_init(dom))
        return builder_failed(gc, cr, "cannot give the domain its memory");
    rc = add_acpi(gc, cr, dom);
    if (!rc)
        rc = pvh_set_memory_map(dom) ? builder_failed(gc, cr, "cannot set the domain's memory map") : 0;
    if (rc)
        return rc;
    if (xc_dom_build_image(dom))
        return builder_failed(gc, cr, "cannot load the kernel");
    if (xc_dom_boot_image(dom))
        return builder_failed(gc, cr, "cannot prepare the first vCPU");
    if (xc_dom_gnttab_init(dom))
        return builder_failed(gc, cr, "cannot prepare the grant table");
    return 0;
}

static int set_param(struct lx_gc *gc, uint32_t domid, uint32_t param, uint64_t value)
{
    if (!xc_hvm_param_set(gc->ctx->xch, domid, param, value))
        return 0;
    LX_LOGED(ERROR, domid, "cannot set HVM parameter %u", param);
    return ERROR_FAIL;
}

/* Tells the guest, by its HVM parameters, where the store and the console are. */
static int set_params(struct lx_gc *gc, struct lx_create *cr)
{
    const libxl_domain_build_info *b = &cr->config->b_info;
    uint64_t store, console;
    int rc;

    if (xc_hvm_param_get(gc->ctx->xch, cr->domid, HVM_PARAM_STORE_PFN, &store) ||
        xc_hvm_param_get(gc->ctx->xch, cr->domid, HVM_PARAM_CONSOLE_PFN, &console)) {
        LX_LOGED(ERROR, cr->domid, "cannot find the store's and the console's pages");
        return ERROR_FAIL;
    }
    cr->store_gfn = (unsigned long)store;
    cr->console_gfn = (unsigned long)console;
    rc = set_param(gc, cr->domid, HVM_PARAM_STORE_EVTCHN, cr->store_port);
    if (!rc)
        rc = set_param(gc, cr->domid, HVM_PARAM_CONSOLE_EVTCHN, cr->console_port);
    if (!rc)
        rc = set_param(gc, cr->domid, HVM_PARAM_TIMER_MODE, (uint64_t)b->timer_mode);
    return rc;
}

int lx_build(struct lx_gc *gc, struct lx_create *cr)
{
    struct xc_dom_image *dom = xc_dom_allocate(gc->ctx->xch,
                                               first_cmdline(gc, &cr->config->b_info), NULL);
    int rc;

    if (!dom)
        return builder_failed(gc, cr, "cannot begin building");
    rc = load(gc, cr, dom);
    if (!rc)
        rc = set_params(gc, cr);
    if (!rc)
        rc = set_limit(gc, cr->domid, cr->config->b_info.target_memkb);
    xc_dom_release(dom);
    return rc;
}
