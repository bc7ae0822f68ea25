/* SPDX-License-Identifier: MIT */
/* Scheduling parameters, per domain and per scheduler. Which there are depends on the scheduler. */
#include <stdlib.h>

#include "libxl/domain.h"

#include <libxl_utils.h>

int libxl_get_scheduler(libxl_ctx *ctx)
{
    LX_GC(ctx);
    int id;

    /* libxl_scheduler's numbers are Xen's XEN_SCHEDULER_* */
    if (!xc_sched_id(ctx->xch, &id))
        return id;
    LX_LOGE(ERROR, "cannot ask which scheduler is in use");
    return ERROR_FAIL;
}

static int pool_scheduler(libxl_ctx *ctx, uint32_t poolid, libxl_scheduler *sched)
{
    libxl_cpupoolinfo info;
    int rc;

    libxl_cpupoolinfo_init(&info);
    rc = libxl_cpupool_info(ctx, &info, poolid);
    *sched = info.sched;
    libxl_cpupoolinfo_dispose(&info);
    return rc;
}

static int domain_scheduler(struct lx_gc *gc, uint32_t domid, libxl_scheduler *sched)
{
    xc_domaininfo_t info;
    int rc = lx_domain_getinfo(gc, domid, &info);

    if (rc == ERROR_DOMAIN_NOTFOUND)
        LX_LOG(ERROR, "there is no domain %u", domid);
    return rc ? rc : pool_scheduler(gc->ctx, info.cpupool, sched);
}

static int failed(struct lx_gc *gc, const char *what)
{
    LX_LOGE(ERROR, "cannot %s", what);
    return ERROR_FAIL;
}

static int out_of_range(struct lx_gc *gc, const char *name, long value, long min, long max)
{
    LX_LOG(ERROR, "a %s of %ld is not possible: it must lie between %ld and %ld", name, value, min,
           max);
    return ERROR_INVAL;
}

/* ---- a domain's */

static int credit_get(struct lx_gc *gc, uint32_t domid, libxl_domain_sched_params *p)
{
    struct xen_domctl_sched_credit x;

    if (xc_sched_credit_domain_get(gc->ctx->xch, domid, &x))
        return failed(gc, "ask for the domain's scheduling parameters");
    p->weight = x.weight;
    p->cap = x.cap;
    return 0;
}

static int credit2_get(struct lx_gc *gc, uint32_t domid, libxl_domain_sched_params *p)
{
    struct xen_domctl_sched_credit2 x;

    if (xc_sched_credit2_domain_get(gc->ctx->xch, domid, &x))
        return failed(gc, "ask for the domain's scheduling parameters");
    p->weight = x.weight;
    p->cap = x.cap;
    return 0;
}

/* Xen's bounds, common/sched: weights are 16 bits wide and not 0, caps are per cent per vCPU. */
#define MAX_WEIGHT 65535

static int check_weight_cap(struct lx_gc *gc, uint32_t domid, const libxl_domain_sched_params *p)
{
    xc_domaininfo_t info;
    int rc;

    if (p->weight != LIBXL_DOMAIN_SCHED_PARAM_WEIGHT_DEFAULT &&
        (p->weight < 1 || p->weight > MAX_WEIGHT))
        return out_of_range(gc, "weight", p->weight, 1, MAX_WEIGHT);
    if (p->cap == LIBXL_DOMAIN_SCHED_PARAM_CAP_DEFAULT)
        return 0;
    rc = lx_domain_getinfo(gc, domid, &info);
    if (rc)
        return rc;
    if (p->cap < 0 || p->cap > (int)(info.max_vcpu_id + 1) * 100)
        return out_of_range(gc, "cap", p->cap, 0, (long)(info.max_vcpu_id + 1) * 100);
    return 0;
}

static int credit_set(struct lx_gc *gc, uint32_t domid, const libxl_domain_sched_params *p,
                      bool credit2)
{
    xc_interface *xch = gc->ctx->xch;
    libxl_domain_sched_params now = *p;
    int rc = check_weight_cap(gc, domid, p), r;

    if (!rc)
        rc = credit2 ? credit2_get(gc, domid, &now) : credit_get(gc, domid, &now);
    if (rc)
        return rc;
    if (p->weight != LIBXL_DOMAIN_SCHED_PARAM_WEIGHT_DEFAULT)
        now.weight = p->weight;
    if (p->cap != LIBXL_DOMAIN_SCHED_PARAM_CAP_DEFAULT)
        now.cap = p->cap;
    if (credit2) {
        struct xen_domctl_sched_credit2 x = { .weight = (uint16_t)now.weight,
                                              .cap = (uint16_t)now.cap };

        r = xc_sched_credit2_domain_set(xch, domid, &x);
    } else {
        struct xen_domctl_sched_credit x = { .weight = (uint16_t)now.weight,
                                             .cap = (uint16_t)now.cap };

        r = xc_sched_credit_domain_set(xch, domid, &x);
    }
    return r ? failed(gc, "set the domain's scheduling parameters") : 0;
}

static int rtds_get(struct lx_gc *gc, uint32_t domid, libxl_domain_sched_params *p)
{
    struct xen_domctl_sched_rtds x;

    if (xc_sched_rtds_domain_get(gc->ctx->xch, domid, &x))
        return failed(gc, "ask for the domain's scheduling parameters");
    p->period = (int)x.period;
    p->budget = (int)x.budget;
    return 0;
}

int libxl_domain_sched_params_get(libxl_ctx *ctx, uint32_t domid, libxl_domain_sched_params *params)
{
    LX_GC(ctx);
    int rc;

    libxl_domain_sched_params_init(params);
    rc = domain_scheduler(gc, domid, &params->sched);
    if (rc)
        return rc;
    switch (params->sched) {
    case LIBXL_SCHEDULER_CREDIT: return credit_get(gc, domid, params);
    case LIBXL_SCHEDULER_CREDIT2: return credit2_get(gc, domid, params);
    case LIBXL_SCHEDULER_RTDS: return rtds_get(gc, domid, params);
    case LIBXL_SCHEDULER_NULL: return 0;
    default:
        LX_LOG(ERROR, "scheduler %d is not known", params->sched);
        return ERROR_INVAL;
    }
}

int libxl_domain_sched_params_set(libxl_ctx *ctx, uint32_t domid,
                                  const libxl_domain_sched_params *params)
{
    LX_GC(ctx);
    libxl_scheduler sched = params->sched;
    int rc;

    if (sched == LIBXL_SCHEDULER_UNKNOWN) {
        rc = domain_scheduler(gc, domid, &sched);
        if (rc)
            return rc;
    }
    switch (sched) {
    case LIBXL_SCHEDULER_CREDIT: return credit_set(gc, domid, params, false);
    case LIBXL_SCHEDULER_CREDIT2: return credit_set(gc, domid, params, true);
    case LIBXL_SCHEDULER_NULL: return 0;
    default:
        LX_LOGD(ERROR, domid, "scheduler %s has no parameters that can be set here",
                libxl_scheduler_to_string(sched) ? libxl_scheduler_to_string(sched) : "unknown");
        return ERROR_INVAL;
    }
}

/* ---- a vCPU's: only rtds has any */

static int no_vcpu_params(libxl_ctx *ctx, uint32_t domid)
{
    LX_GC(ctx);
    libxl_scheduler sched;
    int rc = domain_scheduler(gc, domid, &sched);

    if (rc)
        return rc;
    LX_LOGD(ERROR, domid, "scheduler %s has no parameters per vCPU",
            libxl_scheduler_to_string(sched) ? libxl_scheduler_to_string(sched) : "unknown");
    return ERROR_INVAL;
}

int libxl_vcpu_sched_params_get(libxl_ctx *ctx, uint32_t domid, libxl_vcpu_sched_params *params)
{
    return no_vcpu_params(ctx, domid);
}

int libxl_vcpu_sched_params_get_all(libxl_ctx *ctx, uint32_t domid, libxl_vcpu_sched_params *params)
{
    return no_vcpu_params(ctx, domid);
}

int libxl_vcpu_sched_params_set(libxl_ctx *ctx, uint32_t domid,
                                const libxl_vcpu_sched_params *params)
{
    return no_vcpu_params(ctx, domid);
}

int libxl_vcpu_sched_params_set_all(libxl_ctx *ctx, uint32_t domid,
                                    const libxl_vcpu_sched_params *params)
{
    return no_vcpu_params(ctx, domid);
}

/* ---- a pool's */

int libxl_sched_credit_params_get(libxl_ctx *ctx, uint32_t poolid, libxl_sched_credit_params *p)
{
    LX_GC(ctx);
    struct xen_sysctl_credit_schedule x;

    if (xc_sched_credit_params_get(ctx->xch, poolid, &x))
        return failed(gc, "ask for the credit scheduler's parameters");
    p->tslice_ms = (int)x.tslice_ms;
    p->ratelimit_us = (int)x.ratelimit_us;
    p->vcpu_migr_delay_us = (int)x.vcpu_migr_delay_us;
    return 0;
}

int libxl_sched_credit_params_set(libxl_ctx *ctx, uint32_t poolid, libxl_sched_credit_params *p)
{
    LX_GC(ctx);
    struct xen_sysctl_credit_schedule x = {
        .tslice_ms = (unsigned)p->tslice_ms,
        .ratelimit_us = (unsigned)p->ratelimit_us,
        .vcpu_migr_delay_us = (unsigned)p->vcpu_migr_delay_us,
    };

    if (p->tslice_ms < XEN_SYSCTL_CSCHED_TSLICE_MIN || p->tslice_ms > XEN_SYSCTL_CSCHED_TSLICE_MAX)
        return out_of_range(gc, "time slice (ms)", p->tslice_ms, XEN_SYSCTL_CSCHED_TSLICE_MIN,
                            XEN_SYSCTL_CSCHED_TSLICE_MAX);
    if (p->ratelimit_us < 0 || p->ratelimit_us > XEN_SYSCTL_SCHED_RATELIMIT_MAX ||
        p->ratelimit_us > p->tslice_ms * 1000)
        return out_of_range(gc, "rate limit (us)", p->ratelimit_us, 0, (long)p->tslice_ms * 1000);
    if (xc_sched_credit_params_set(ctx->xch, poolid, &x))
        return failed(gc, "set the credit scheduler's parameters");
    return 0;
}

int libxl_sched_credit2_params_get(libxl_ctx *ctx, uint32_t poolid, libxl_sched_credit2_params *p)
{
    LX_GC(ctx);
    struct xen_sysctl_credit2_schedule x;

    if (xc_sched_credit2_params_get(ctx->xch, poolid, &x))
        return failed(gc, "ask for the credit2 scheduler's parameters");
    p->ratelimit_us = (int)x.ratelimit_us;
    return 0;
}

int libxl_sched_credit2_params_set(libxl_ctx *ctx, uint32_t poolid, libxl_sched_credit2_params *p)
{
    LX_GC(ctx);
    struct xen_sysctl_credit2_schedule x = { .ratelimit_us = (unsigned)p->ratelimit_us };

    if (p->ratelimit_us < 0 || p->ratelimit_us > XEN_SYSCTL_SCHED_RATELIMIT_MAX)
        return out_of_range(gc, "rate limit (us)", p->ratelimit_us, 0,
                            XEN_SYSCTL_SCHED_RATELIMIT_MAX);
    if (xc_sched_credit2_params_set(ctx->xch, poolid, &x))
        return failed(gc, "set the credit2 scheduler's parameters");
    return 0;
}
