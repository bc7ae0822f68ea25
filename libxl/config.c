/* SPDX-License-Identifier: MIT */
/* A domain's configuration: what was kept when it was made, brought up to date by what is now. */
#include <stdlib.h>

#include "libxl/ao.h"
#include "libxl/domain.h"

#include <libxl_utils.h>

static int merge_name(struct lx_gc *gc, uint32_t domid, libxl_domain_config *config)
{
    char *name = libxl_domid_to_name(gc->ctx, domid);

    if (!name) {
        LX_LOGD(ERROR, domid, "has no name in xenstore");
        return ERROR_FAIL;
    }
    free(config->c_info.name);
    config->c_info.name = name;
    return 0;
}

static int merge_memory(struct lx_gc *gc, uint32_t domid, libxl_domain_config *config)
{
    const char *dom = lx_dom_path(gc, domid);
    const char *max = lx_xs_peek(gc, lx_sprintf(gc, "%s/memory/static-max", dom));
    uint64_t target;
    int rc = libxl_get_memory_target(gc->ctx, domid, &target);

    if (rc)
        return rc;
    config->b_info.target_memkb = target;
    if (max)
        config->b_info.max_memkb = strtoull(max, NULL, 10);
    return 0;
}

static int merge_vcpus(struct lx_gc *gc, uint32_t domid, libxl_domain_config *config)
{
    libxl_bitmap *map = &config->b_info.avail_vcpus;

    libxl_bitmap_dispose(map);
    libxl_bitmap_alloc(gc->ctx, map, config->b_info.max_vcpus);
    for (int i = 0; i < config->b_info.max_vcpus; i++) {
        const char *s = lx_xs_peek(gc, lx_sprintf(gc, "%s/cpu/%d/availability",
                                                  lx_dom_path(gc, domid), i));

        if (s && !strcmp(s, "online"))
            libxl_bitmap_set(map, i);
    }
    return 0;
}

/* Pinning that is the same as "anywhere" is left out, as it is when it is never given. */
static int merge_affinity(struct lx_gc *gc, uint32_t domid, libxl_domain_config *config)
{
    libxl_domain_build_info *b = &config->b_info;
    int n, n_cpus;
    libxl_vcpuinfo *vcpus;

    if (!b->num_vcpu_hard_affinity && !b->num_vcpu_soft_affinity)
        return 0;
    vcpus = libxl_list_vcpu(gc->ctx, domid, &n, &n_cpus);
    if (!vcpus)
        return ERROR_FAIL;
    for (int i = 0; i < n; i++) {
        if (i < b->num_vcpu_hard_affinity) {
            libxl_bitmap_dispose(&b->vcpu_hard_affinity[i]);
            libxl_bitmap_copy_alloc(gc->ctx, &b->vcpu_hard_affinity[i], &vcpus[i].cpumap);
        }
        if (i < b->num_vcpu_soft_affinity) {
            libxl_bitmap_dispose(&b->vcpu_soft_affinity[i]);
            libxl_bitmap_copy_alloc(gc->ctx, &b->vcpu_soft_affinity[i], &vcpus[i].cpumap_soft);
        }
    }
    libxl_vcpuinfo_list_free(vcpus, n);
    return 0;
}

int libxl_retrieve_domain_configuration(libxl_ctx *ctx, uint32_t domid,
                                        libxl_domain_config *config,
                                        const libxl_asyncop_how *ao_how)
{
    struct lx_ao *ao = lx_ao_begin(ctx, domid, ao_how);
    struct lx_gc *gc = &ao->gc;
    libxl_domain_config kept;
    int lock, rc;

    libxl_domain_config_init(&kept);
    lock = lx_userdata_lock(gc, domid);
    if (lock < 0) {
        rc = ERROR_LOCK_FAIL;
        goto out;
    }
    rc = lx_config_kept(gc, domid, &kept);
    if (rc == ERROR_JSON_CONFIG_EMPTY)
        LX_LOGD(ERROR, domid, "its configuration was not kept");
    if (!rc)
        rc = merge_name(gc, domid, &kept);
    if (!rc)
        rc = merge_memory(gc, domid, &kept);
    if (!rc)
        rc = merge_vcpus(gc, domid, &kept);
    if (!rc)
        rc = merge_affinity(gc, domid, &kept);
    if (!rc)
        rc = libxl_domain_sched_params_get(ctx, domid, &kept.b_info.sched_params);
    if (!rc) {
        libxl_domain_config_dispose(config);
        *config = kept;
        libxl_domain_config_init(&kept);
    }
 out:
    lx_userdata_unlock(lock);
    libxl_domain_config_dispose(&kept);
    if (rc)
        return lx_ao_fail(ao, rc);
    lx_ao_complete(&ao->egc, ao, 0);
    return lx_ao_inprogress(ao);
}
