/* SPDX-License-Identifier: MIT */
/* Where vCPUs may run, which are in use, and maps of the host's CPUs, nodes and sockets. */
#include <stdlib.h>

#include "libxl/ao.h"
#include "libxl/domain.h"

#include <libxl_utils.h>

/* ---- maps */

int libxl_cpu_bitmap_alloc(libxl_ctx *ctx, libxl_bitmap *cpumap, int max_cpus)
{
    if (max_cpus == 0)
        max_cpus = libxl_get_max_cpus(ctx);
    return max_cpus < 0 ? ERROR_FAIL : libxl_bitmap_alloc(ctx, cpumap, max_cpus);
}

int libxl_node_bitmap_alloc(libxl_ctx *ctx, libxl_bitmap *nodemap, int max_nodes)
{
    if (max_nodes == 0)
        max_nodes = libxl_get_max_nodes(ctx);
    return max_nodes < 0 ? ERROR_FAIL : libxl_bitmap_alloc(ctx, nodemap, max_nodes);
}

/* Which part of the topology an entry's bit stands for. */
static uint32_t node_of(const libxl_cputopology *t) { return t->node; }
static uint32_t socket_of(const libxl_cputopology *t) { return t->socket; }

/* Sets in out the node or socket of each of the CPUs (all, if cpus is NULL) that fits there. */
static int map_from_cpus(libxl_ctx *ctx, const libxl_bitmap *cpus, libxl_bitmap *out,
                         uint32_t (*part)(const libxl_cputopology *))
{
    int n;
    libxl_cputopology *t = libxl_get_cpu_topology(ctx, &n);

    if (!t)
        return ERROR_FAIL;
    libxl_bitmap_set_none(out);
    for (int i = 0; i < n; i++)
        if ((!cpus || libxl_bitmap_test(cpus, i)) && part(&t[i]) < (1u << 20))
            libxl_bitmap_set(out, (int)part(&t[i]));
    libxl_cputopology_list_free(t, n);
    return 0;
}

int libxl_socket_bitmap_alloc(libxl_ctx *ctx, libxl_bitmap *socketmap, int max_sockets)
{
    int n;
    libxl_cputopology *t;

    if (max_sockets < 0)
        return ERROR_INVAL;
    if (max_sockets == 0) {
        t = libxl_get_cpu_topology(ctx, &n);
        if (!t)
            return ERROR_FAIL;
        for (int i = 0; i < n; i++)
            if (t[i].socket < (1u << 20) && (int)t[i].socket >= max_sockets)
                max_sockets = (int)t[i].socket + 1;
        libxl_cputopology_list_free(t, n);
    }
    return libxl_bitmap_alloc(ctx, socketmap, max_sockets);
}

int libxl_get_online_socketmap(libxl_ctx *ctx, libxl_bitmap *socketmap)
{
    return map_from_cpus(ctx, NULL, socketmap, socket_of);
}

int libxl_cpumap_to_nodemap(libxl_ctx *ctx, const libxl_bitmap *cpumap, libxl_bitmap *nodemap)
{
    return map_from_cpus(ctx, cpumap, nodemap, node_of);
}

int libxl_nodemap_to_cpumap(libxl_ctx *ctx, const libxl_bitmap *nodemap, libxl_bitmap *cpumap)
{
    int n;
    libxl_cputopology *t = libxl_get_cpu_topology(ctx, &n);

    if (!t)
        return ERROR_FAIL;
    libxl_bitmap_set_none(cpumap);
    for (int i = 0; i < n; i++)
        if (t[i].node < (1u << 20) && libxl_bitmap_test(nodemap, (int)t[i].node))
            libxl_bitmap_set(cpumap, i);
    libxl_cputopology_list_free(t, n);
    return 0;
}

int libxl_node_to_cpumap(libxl_ctx *ctx, int node, libxl_bitmap *cpumap)
{
    libxl_bitmap nodes;
    int rc;

    libxl_bitmap_init(&nodes);
    rc = node < 0 ? ERROR_INVAL : libxl_node_bitmap_alloc(ctx, &nodes, 0);
    if (!rc) {
        libxl_bitmap_set(&nodes, node);
        rc = libxl_nodemap_to_cpumap(ctx, &nodes, cpumap);
    }
    libxl_bitmap_dispose(&nodes);
    return rc;
}

/* ---- affinity */

static int set_affinity(libxl_ctx *ctx, uint32_t domid, uint32_t vcpuid, const libxl_bitmap *hard,
                        const libxl_bitmap *soft, uint32_t flags)
{
    LX_GC(ctx);
    libxl_bitmap h, s;
    int rc;

    libxl_bitmap_init(&h);
    libxl_bitmap_init(&s);
    /* The hypervisor tells in these what it made of our wishes. */
    rc = libxl_cpu_bitmap_alloc(ctx, &h, 0);
    if (!rc)
        rc = libxl_cpu_bitmap_alloc(ctx, &s, 0);
    if (rc)
        goto out;
    if (hard) {
        libxl_bitmap_copy(ctx, &h, hard);
        flags |= XEN_VCPUAFFINITY_HARD;
    }
    if (soft) {
        libxl_bitmap_copy(ctx, &s, soft);
        flags |= XEN_VCPUAFFINITY_SOFT;
    }
    if (libxl_bitmap_is_empty(&h) && hard) {
        LX_LOGD(ERROR, domid, "vCPU %u would have no CPU to run on", vcpuid);
        rc = ERROR_INVAL;
        goto out;
    }
    if (xc_vcpu_setaffinity(ctx->xch, domid, (int)vcpuid, hard ? h.map : NULL, soft ? s.map : NULL,
                            flags)) {
        LX_LOGED(ERROR, domid, "cannot say where vCPU %u may run", vcpuid);
        rc = ERROR_FAIL;
        goto out;
    }
    if (hard && !libxl_bitmap_equal(hard, &h, libxl_get_max_cpus(ctx)))
        LX_LOGD(WARN, domid, "vCPU %u can use only some of the CPUs asked for", vcpuid);
 out:
    libxl_bitmap_dispose(&h);
    libxl_bitmap_dispose(&s);
    return rc;
}

int libxl_set_vcpuaffinity(libxl_ctx *ctx, uint32_t domid, uint32_t vcpuid,
                           const libxl_bitmap *cpumap_hard, const libxl_bitmap *cpumap_soft)
{
    return set_affinity(ctx, domid, vcpuid, cpumap_hard, cpumap_soft, 0);
}

int libxl_set_vcpuaffinity_force(libxl_ctx *ctx, uint32_t domid, uint32_t vcpuid,
                                 const libxl_bitmap *cpumap_hard, const libxl_bitmap *cpumap_soft)
{
    return set_affinity(ctx, domid, vcpuid, cpumap_hard, cpumap_soft, XEN_VCPUAFFINITY_FORCE);
}

int libxl_set_vcpuaffinity_all(libxl_ctx *ctx, uint32_t domid, unsigned int max_vcpus,
                               const libxl_bitmap *cpumap_hard, const libxl_bitmap *cpumap_soft)
{
    int rc = 0;

    for (unsigned i = 0; i < max_vcpus; i++)
        if (libxl_set_vcpuaffinity(ctx, domid, i, cpumap_hard, cpumap_soft))
            rc = ERROR_FAIL;
    return rc;
}

int libxl_domain_set_nodeaffinity(libxl_ctx *ctx, uint32_t domid, libxl_bitmap *nodemap)
{
    LX_GC(ctx);

    if (!xc_domain_node_setaffinity(ctx->xch, domid, nodemap->map))
        return 0;
    LX_LOGED(ERROR, domid, "cannot say on which nodes it shall be");
    return ERROR_FAIL;
}

int libxl_domain_get_nodeaffinity(libxl_ctx *ctx, uint32_t domid, libxl_bitmap *nodemap)
{
    LX_GC(ctx);

    if (!xc_domain_node_getaffinity(ctx->xch, domid, nodemap->map))
        return 0;
    LX_LOGED(ERROR, domid, "cannot ask on which nodes it is");
    return ERROR_FAIL;
}

/* ---- online vCPUs */

struct online {
    uint32_t domid;
    int n;
    const libxl_bitmap *map;
};

static int online_body(struct lx_gc *gc, xs_transaction_t t, void *arg)
{
    const struct online *o = arg;
    int rc = 0;

    for (int i = 0; !rc && i < o->n; i++)
        rc = lx_xs_write(gc, t,
                         lx_sprintf(gc, "%s/cpu/%d/availability", lx_dom_path(gc, o->domid), i),
                         "%s", libxl_bitmap_test(o->map, i) ? "online" : "offline");
    return rc;
}

static int keep_online(struct lx_gc *gc, uint32_t domid, const libxl_bitmap *map)
{
    libxl_domain_config config;
    int rc = lx_config_kept(gc, domid, &config);

    if (!rc) {
        libxl_bitmap_dispose(&config.b_info.avail_vcpus);
        libxl_bitmap_copy_alloc(gc->ctx, &config.b_info.avail_vcpus, map);
        rc = lx_config_keep(gc, domid, &config);
    } else if (rc == ERROR_JSON_CONFIG_EMPTY) {
        rc = 0;
    }
    libxl_domain_config_dispose(&config);
    return rc;
}

int libxl_set_vcpuonline(libxl_ctx *ctx, uint32_t domid, libxl_bitmap *cpumap,
                         const libxl_asyncop_how *ao_how)
{
    struct lx_ao *ao = lx_ao_begin(ctx, domid, ao_how);
    struct lx_gc *gc = &ao->gc;
    struct online o = { .domid = domid, .map = cpumap };
    xc_domaininfo_t info;
    int lock = -1, rc = lx_domain_getinfo(gc, domid, &info);

    if (rc)
        goto out;
    o.n = (int)info.max_vcpu_id + 1;
    for (int i = o.n; i < (int)cpumap->size * 8; i++) {
        if (libxl_bitmap_test(cpumap, i)) {
            LX_LOGD(ERROR, domid, "has no vCPU %d: it was made with %d", i, o.n);
            rc = ERROR_INVAL;
            goto out;
        }
    }
    lock = lx_userdata_lock(gc, domid);
    rc = lock < 0 ? ERROR_LOCK_FAIL : lx_xs_transaction(gc, online_body, &o);
    if (!rc)
        rc = keep_online(gc, domid, cpumap);
 out:
    lx_userdata_unlock(lock);
    if (rc)
        return lx_ao_fail(ao, rc);
    lx_ao_complete(&ao->egc, ao, 0);
    return lx_ao_inprogress(ao);
}
