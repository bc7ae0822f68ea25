/* SPDX-License-Identifier: MIT */
/* How much memory a domain has, may have, should have. KiB throughout. */
#include <stdlib.h>
#include <unistd.h>

#include "libxl/domain.h"

#include <libxl_utils.h>

#define PAGES_TO_KB(n) ((uint64_t)(n) << (XC_PAGE_SHIFT - 10))
/* What a domain costs beyond its own memory: Xen's libxl reckons 10 MiB for an HVM container. */
#define OVERHEAD_KB (10 * 1024)

int lx_need_memory(const libxl_domain_build_info *b, uint64_t *need_memkb)
{
    uint64_t shadow = b->shadow_memkb == LIBXL_MEMKB_DEFAULT ? 0 : b->shadow_memkb;
    uint64_t iommu = b->iommu_memkb == LIBXL_MEMKB_DEFAULT ? 0 : b->iommu_memkb;

    *need_memkb = b->target_memkb + shadow + iommu + OVERHEAD_KB;
    if (*need_memkb % (2 * 1024))
        *need_memkb += 2 * 1024 - *need_memkb % (2 * 1024);
    return 0;
}

int lx_check_memory(struct lx_gc *gc, const libxl_domain_build_info *b)
{
    uint64_t free_kb;
    int rc = libxl_get_free_memory(gc->ctx, &free_kb);

    if (rc)
        return rc;
    if (b->target_memkb <= free_kb)
        return 0;
    LX_LOG(ERROR, "the domain is to have %llu MiB of memory, but only %llu MiB are free",
           (unsigned long long)(b->target_memkb >> 10), (unsigned long long)(free_kb >> 10));
    return ERROR_NOMEM;
}

int libxl_domain_need_memory(libxl_ctx *ctx, libxl_domain_config *config,
                             uint32_t domid_for_logging, uint64_t *need_memkb)
{
    LX_GC(ctx);
    int rc = lx_config_setdefault(gc, config);

    return rc ? rc : lx_need_memory(&config->b_info, need_memkb);
}

int libxl_domain_need_memory_0x041200(libxl_ctx *ctx, const libxl_domain_build_info *b_info_in,
                                      uint64_t *need_memkb)
{
    return lx_need_memory(b_info_in, need_memkb);
}

/* Interfaces of before memory could be larger than 4 TiB. */
static int narrow(libxl_ctx *ctx, int rc, uint64_t wide, uint32_t *out)
{
    LX_GC(ctx);

    if (rc)
        return rc;
    *out = (uint32_t)wide;
    if (*out == wide)
        return 0;
    LX_LOG(ERROR, "%llu KiB do not fit in this old interface", (unsigned long long)wide);
    return ERROR_FAIL;
}

int libxl_domain_need_memory_0x040700(libxl_ctx *ctx, const libxl_domain_build_info *b_info_in,
                                      uint32_t *need_memkb)
{
    uint64_t kb;
    int rc = lx_need_memory(b_info_in, &kb);

    return narrow(ctx, rc, kb, need_memkb);
}

int libxl_get_free_memory(libxl_ctx *ctx, uint64_t *memkb)
{
    LX_GC(ctx);
    xc_physinfo_t info = { 0 };
    uint64_t kb, claimed;

    if (xc_physinfo(ctx->xch, &info)) {
        LX_LOGE(ERROR, "cannot ask the hypervisor for free memory");
        return ERROR_FAIL;
    }
    kb = PAGES_TO_KB(info.free_pages + info.scrub_pages);
    claimed = PAGES_TO_KB(info.outstanding_pages);
    *memkb = kb > claimed ? kb - claimed : 0;
    return 0;
}

int libxl_get_free_memory_0x040700(libxl_ctx *ctx, uint32_t *memkb)
{
    uint64_t kb;
    int rc = libxl_get_free_memory(ctx, &kb);

    return narrow(ctx, rc, kb, memkb);
}

/* ---- a domain's limits and target */

static int read_kb(struct lx_gc *gc, xs_transaction_t t, uint32_t domid, const char *name,
                   uint64_t *kb)
{
    const char *s;
    char *end;
    int rc = lx_xs_read(gc, t, lx_sprintf(gc, "%s/memory/%s", lx_dom_path(gc, domid), name), &s);

    if (rc)
        return rc;
    if (!s) {
        LX_LOGD(ERROR, domid, "xenstore does not say what its memory/%s is", name);
        return ERROR_FAIL;
    }
    errno = 0;
    *kb = strtoull(s, &end, 10);
    if (*end || end == s || errno) {
        LX_LOGD(ERROR, domid, "memory/%s in xenstore is \"%s\", no number", name, s);
        return ERROR_FAIL;
    }
    return 0;
}

int libxl_get_memory_target(libxl_ctx *ctx, uint32_t domid, uint64_t *out_target)
{
    LX_GC(ctx);
    xc_domaininfo_t info;
    int rc = lx_domain_getinfo(gc, domid, &info);

    if (rc)
        return rc;
    return read_kb(gc, XBT_NULL, domid, "target", out_target);
}

int libxl_get_memory_target_0x040700(libxl_ctx *ctx, uint32_t domid, uint32_t *out_target)
{
    uint64_t kb = 0;
    int rc = libxl_get_memory_target(ctx, domid, &kb);

    return narrow(ctx, rc, kb, out_target);
}

struct target {
    uint32_t domid;
    int64_t kb;
    bool relative;
    uint64_t result;
};

static int target_body(struct lx_gc *gc, xs_transaction_t t, void *arg)
{
    struct target *g = arg;
    uint64_t now, max;
    int64_t want;
    int rc = read_kb(gc, t, g->domid, "target", &now);

    if (!rc)
        rc = read_kb(gc, t, g->domid, "static-max", &max);
    if (rc)
        return rc;
    want = g->relative ? (int64_t)now + g->kb : g->kb;
    if (want < 0 || (uint64_t)want > max) {
        LX_LOGD(ERROR, g->domid, "a memory target of %lld KiB is not possible: the most is %llu",
                (long long)want, (unsigned long long)max);
        return ERROR_INVAL;
    }
    g->result = (uint64_t)want;
    return lx_xs_write(gc, t, lx_sprintf(gc, "%s/memory/target", lx_dom_path(gc, g->domid)), "%lld",
                       (long long)want);
}

/* The kept configuration follows, so that a restart gives the domain what it has now. */
static int keep_memory(struct lx_gc *gc, uint32_t domid, const uint64_t *target,
                       const uint64_t *max)
{
    libxl_domain_config config;
    int lock = lx_userdata_lock(gc, domid), rc;

    if (lock < 0)
        return ERROR_LOCK_FAIL;
    rc = lx_config_kept(gc, domid, &config);
    if (!rc) {
        if (target)
            config.b_info.target_memkb = *target;
        if (max)
            config.b_info.max_memkb = *max;
        rc = lx_config_keep(gc, domid, &config);
    } else if (rc == ERROR_JSON_CONFIG_EMPTY) {
        rc = 0;
    }
    libxl_domain_config_dispose(&config);
    lx_userdata_unlock(lock);
    return rc;
}

int libxl_set_memory_target(libxl_ctx *ctx, uint32_t domid, int64_t target_memkb, int relative,
                            int enforce)
{
    LX_GC(ctx);
    struct target g = { domid, target_memkb, relative != 0, 0 };
    xc_domaininfo_t info;
    int rc = lx_domain_getinfo(gc, domid, &info);

    if (rc)
        return rc;
    rc = lx_xs_transaction(gc, target_body, &g);
    if (rc)
        return rc;
    if (enforce && xc_domain_setmaxmem(ctx->xch, domid, g.result + LX_MAXMEM_SLACK_KB)) {
        LX_LOGED(ERROR, domid, "cannot set the memory limit to %llu KiB",
                 (unsigned long long)g.result);
        return ERROR_FAIL;
    }
    return domid ? keep_memory(gc, domid, &g.result, NULL) : 0;
}

int libxl_domain_setmaxmem(libxl_ctx *ctx, uint32_t domid, uint64_t max_memkb)
{
    LX_GC(ctx);
    const char *node = lx_sprintf(gc, "%s/memory/static-max", lx_dom_path(gc, domid));
    uint64_t target;
    int rc = libxl_get_memory_target(ctx, domid, &target);

    if (rc)
        return rc;
    if (max_memkb < target) {
        LX_LOGD(ERROR, domid, "maxmem (%llu KiB) cannot be less than the memory target (%llu KiB)",
                (unsigned long long)max_memkb, (unsigned long long)target);
        return ERROR_FAIL;
    }
    if (xc_domain_setmaxmem(ctx->xch, domid, max_memkb + LX_MAXMEM_SLACK_KB)) {
        LX_LOGED(ERROR, domid, "cannot set the memory limit");
        return ERROR_FAIL;
    }
    rc = lx_xs_write(gc, XBT_NULL, node, "%llu", (unsigned long long)max_memkb);
    return rc || !domid ? rc : keep_memory(gc, domid, NULL, &max_memkb);
}

/* ---- waiting */

int libxl_wait_for_free_memory(libxl_ctx *ctx, uint32_t domid, uint64_t memory_kb, int wait_secs)
{
    for (int i = 0;; i++) {
        uint64_t free_kb;
        int rc = libxl_get_free_memory(ctx, &free_kb);

        if (rc)
            return rc;
        if (free_kb >= memory_kb)
            return 0;
        if (i >= wait_secs)
            return ERROR_NOMEM;
        sleep(1);
    }
}

int libxl_wait_for_memory_target(libxl_ctx *ctx, uint32_t domid, int wait_secs)
{
    uint64_t target, last = UINT64_MAX;
    int left = wait_secs, rc = libxl_get_memory_target(ctx, domid, &target);

    /* given up after wait_secs without progress, rather than in all */
    while (!rc) {
        LX_GC(ctx);
        xc_domaininfo_t info;
        uint64_t now;

        rc = lx_domain_getinfo(gc, domid, &info);
        if (rc)
            break;
        now = PAGES_TO_KB(info.tot_pages);
        if (now <= target + LX_MAXMEM_SLACK_KB)
            return 0;
        left = now < last ? wait_secs : left - 1;
        last = now;
        if (left <= 0)
            return ERROR_FAIL;
        sleep(1);
    }
    return rc;
}
