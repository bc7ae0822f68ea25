/* SPDX-License-Identifier: MIT */
/* CPU pools: the hypervisor knows their CPUs and scheduler, xenstore their names (/local/pool/N).
 * */
#include <stdlib.h>

#include "libxl/domain.h"

#include <libxl_utils.h>

static char *pool_path(struct lx_gc *gc, uint32_t poolid)
{
    return lx_sprintf(gc, "/local/pool/%u", poolid);
}

/* NULL if there is no such pool. To be freed with xc_cpupool_infofree(). */
static xc_cpupoolinfo_t *find_pool(libxl_ctx *ctx, uint32_t poolid)
{
    xc_cpupoolinfo_t *x = xc_cpupool_getinfo(ctx->xch, poolid);

    if (x && x->cpupool_id == poolid)
        return x;
    if (x)
        xc_cpupool_infofree(ctx->xch, x);
    return NULL;
}

static int fill_in(libxl_ctx *ctx, const xc_cpupoolinfo_t *from, libxl_cpupoolinfo *to)
{
    int rc = libxl_cpu_bitmap_alloc(ctx, &to->cpumap, 0);

    if (rc)
        return rc;
    to->poolid = from->cpupool_id;
    to->pool_name = libxl_cpupoolid_to_name(ctx, from->cpupool_id);
    to->sched = (libxl_scheduler)from->sched_id;
    to->n_dom = from->n_dom;
    memcpy(to->cpumap.map, from->cpumap, to->cpumap.size);
    return 0;
}

int libxl_cpupool_info(libxl_ctx *ctx, libxl_cpupoolinfo *info, uint32_t poolid)
{
    LX_GC(ctx);
    xc_cpupoolinfo_t *x = find_pool(ctx, poolid);
    int rc;

    if (!x) {
        LX_LOG(ERROR, "there is no CPU pool %u", poolid);
        return ERROR_FAIL;
    }
    rc = fill_in(ctx, x, info);
    xc_cpupool_infofree(ctx->xch, x);
    return rc;
}

libxl_cpupoolinfo *libxl_list_cpupool(libxl_ctx *ctx, int *nb_pool_out)
{
    libxl_cpupoolinfo *list = NULL;
    xc_cpupoolinfo_t *x;
    int n = 0, rc = 0;

    *nb_pool_out = 0;
    for (uint32_t id = 0; !rc && (x = xc_cpupool_getinfo(ctx->xch, id)); id++) {
        id = x->cpupool_id;
        list = lx_realloc(NULL, list, (size_t)(n + 1) * sizeof(*list));
        libxl_cpupoolinfo_init(&list[n]);
        rc = fill_in(ctx, x, &list[n++]);
        xc_cpupool_infofree(ctx->xch, x);
    }
    if (rc) {
        libxl_cpupoolinfo_list_free(list, n);
        return NULL;
    }
    *nb_pool_out = n;
    return list;
}

void libxl_cpupoolinfo_list_free(libxl_cpupoolinfo *list, int nb_pool)
{
    for (int i = 0; list && i < nb_pool; i++)
        libxl_cpupoolinfo_dispose(&list[i]);
    free(list);
}

int libxl_get_freecpus(libxl_ctx *ctx, libxl_bitmap *cpumap)
{
    LX_GC(ctx);
    xc_cpumap_t map = xc_cpupool_freeinfo(ctx->xch);
    int rc;

    if (!map) {
        LX_LOGE(ERROR, "cannot ask for the CPUs in no pool");
        return ERROR_FAIL;
    }
    rc = libxl_cpu_bitmap_alloc(ctx, cpumap, 0);
    if (!rc)
        memcpy(cpumap->map, map, cpumap->size);
    free(map);
    return rc;
}

/* ---- names */

int libxl_cpupoolid_is_valid(libxl_ctx *ctx, uint32_t poolid)
{
    xc_cpupoolinfo_t *x = find_pool(ctx, poolid);

    if (!x)
        return 0;
    xc_cpupool_infofree(ctx->xch, x);
    return 1;
}

char *libxl_cpupoolid_to_name(libxl_ctx *ctx, uint32_t poolid)
{
    LX_GC(ctx);
    const char *s = lx_xs_peek(gc, lx_sprintf(gc, "%s/name", pool_path(gc, poolid)));

    if (!s && !poolid)
        s = "Pool-0"; /* what xen-init-dom0 calls it, should nobody have done so */
    return lx_strdup(NULL, s);
}

int libxl_name_to_cpupoolid(libxl_ctx *ctx, const char *name, uint32_t *poolid)
{
    int n, rc = ERROR_INVAL;
    libxl_cpupoolinfo *list = libxl_list_cpupool(ctx, &n);

    for (int i = 0; i < n; i++) {
        if (list[i].pool_name && !strcmp(list[i].pool_name, name)) {
            *poolid = list[i].poolid;
            rc = 0;
            break;
        }
    }
    libxl_cpupoolinfo_list_free(list, n);
    return rc;
}

int libxl_cpupool_qualifier_to_cpupoolid(libxl_ctx *ctx, const char *p, uint32_t *poolid_r,
                                         int *was_name_r)
{
    char *end;
    unsigned long v = strtoul(p, &end, 10);
    bool number = *p && !*end && v <= UINT32_MAX;

    if (was_name_r)
        *was_name_r = !number;
    if (number) {
        *poolid_r = (uint32_t)v;
        return 0;
    }
    return libxl_name_to_cpupoolid(ctx, p, poolid_r);
}

/* ---- changing pools */

int libxl_cpupool_create(libxl_ctx *ctx, const char *name, libxl_scheduler sched,
                         libxl_bitmap cpumap, libxl_uuid *uuid, uint32_t *poolid)
{
    LX_GC(ctx);
    uint32_t id = *poolid;
    int rc, i;

    if (xc_cpupool_create(ctx->xch, &id, (uint32_t)sched)) {
        LX_LOGE(ERROR, "cannot make CPU pool \"%s\"", name);
        return ERROR_FAIL;
    }
    *poolid = id;
    rc = libxl_cpupool_cpuadd_cpumap(ctx, id, &cpumap);
    if (!rc)
        rc = lx_xs_write(gc, XBT_NULL, lx_sprintf(gc, "%s/uuid", pool_path(gc, id)),
                         LIBXL_UUID_FMT, LIBXL_UUID_BYTES(*uuid));
    if (!rc)
        rc = lx_xs_write(gc, XBT_NULL, lx_sprintf(gc, "%s/name", pool_path(gc, id)), "%s", name);
    if (!rc)
        return 0;
    for (i = 0; i < (int)cpumap.size * 8; i++)
        if (libxl_bitmap_test(&cpumap, i))
            xc_cpupool_removecpu(ctx->xch, id, i);
    xc_cpupool_destroy(ctx->xch, id);
    lx_xs_rm(gc, XBT_NULL, pool_path(gc, id));
    return rc;
}

int libxl_cpupool_destroy(libxl_ctx *ctx, uint32_t poolid)
{
    LX_GC(ctx);
    libxl_cpupoolinfo info;
    int rc;

    libxl_cpupoolinfo_init(&info);
    rc = libxl_cpupool_info(ctx, &info, poolid);
    if (rc)
        goto out;
    if (info.n_dom) {
        LX_LOG(ERROR, "CPU pool %u still has %u domains", poolid, info.n_dom);
        rc = ERROR_INVAL;
        goto out;
    }
    rc = libxl_cpupool_cpuremove_cpumap(ctx, poolid, &info.cpumap);
    if (!rc && xc_cpupool_destroy(ctx->xch, poolid)) {
        LX_LOGE(ERROR, "cannot destroy CPU pool %u", poolid);
        rc = ERROR_FAIL;
    }
    if (!rc)
        rc = lx_xs_rm(gc, XBT_NULL, pool_path(gc, poolid));
 out:
    libxl_cpupoolinfo_dispose(&info);
    return rc;
}

int libxl_cpupool_rename(libxl_ctx *ctx, const char *name, uint32_t poolid)
{
    LX_GC(ctx);

    if (!libxl_cpupoolid_is_valid(ctx, poolid)) {
        LX_LOG(ERROR, "there is no CPU pool %u", poolid);
        return ERROR_FAIL;
    }
    return lx_xs_write(gc, XBT_NULL, lx_sprintf(gc, "%s/name", pool_path(gc, poolid)), "%s", name);
}

int libxl_cpupool_cpuadd(libxl_ctx *ctx, uint32_t poolid, int cpu)
{
    LX_GC(ctx);

    if (!xc_cpupool_addcpu(ctx->xch, poolid, cpu))
        return 0;
    LX_LOGE(ERROR, "cannot add CPU %d to pool %u", cpu, poolid);
    return ERROR_FAIL;
}

int libxl_cpupool_cpuremove(libxl_ctx *ctx, uint32_t poolid, int cpu)
{
    LX_GC(ctx);

    if (!xc_cpupool_removecpu(ctx->xch, poolid, cpu))
        return 0;
    LX_LOGE(ERROR, "cannot take CPU %d from pool %u", cpu, poolid);
    return ERROR_FAIL;
}

static int each_cpu(libxl_ctx *ctx, uint32_t poolid, const libxl_bitmap *map,
                    int (*f)(libxl_ctx *, uint32_t, int), int *done)
{
    int rc = 0;

    for (int i = 0; i < (int)map->size * 8; i++) {
        if (!libxl_bitmap_test(map, i))
            continue;
        if (f(ctx, poolid, i))
            rc = ERROR_FAIL;
        else
            ++*done;
    }
    return rc;
}

int libxl_cpupool_cpuadd_cpumap(libxl_ctx *ctx, uint32_t poolid, const libxl_bitmap *cpumap)
{
    int done = 0;

    return each_cpu(ctx, poolid, cpumap, libxl_cpupool_cpuadd, &done);
}

int libxl_cpupool_cpuremove_cpumap(libxl_ctx *ctx, uint32_t poolid, const libxl_bitmap *cpumap)
{
    int done = 0;

    return each_cpu(ctx, poolid, cpumap, libxl_cpupool_cpuremove, &done);
}

/* Of a node's CPUs, those that are in which (free ones, or a pool's). */
static int each_cpu_of_node(libxl_ctx *ctx, uint32_t poolid, int node, const libxl_bitmap *which,
                            int (*f)(libxl_ctx *, uint32_t, int), int *done)
{
    libxl_bitmap cpus, both;
    int rc;

    *done = 0;
    libxl_bitmap_init(&cpus);
    libxl_bitmap_init(&both);
    rc = libxl_cpu_bitmap_alloc(ctx, &cpus, 0);
    if (!rc)
        rc = libxl_node_to_cpumap(ctx, node, &cpus);
    if (!rc)
        rc = libxl_bitmap_and(ctx, &both, &cpus, which);
    if (!rc)
        rc = each_cpu(ctx, poolid, &both, f, done);
    libxl_bitmap_dispose(&cpus);
    libxl_bitmap_dispose(&both);
    return rc;
}

int libxl_cpupool_cpuadd_node(libxl_ctx *ctx, uint32_t poolid, int node, int *cpus)
{
    libxl_bitmap free_cpus;
    int rc;

    libxl_bitmap_init(&free_cpus);
    rc = libxl_get_freecpus(ctx, &free_cpus);
    if (!rc)
        rc = each_cpu_of_node(ctx, poolid, node, &free_cpus, libxl_cpupool_cpuadd, cpus);
    libxl_bitmap_dispose(&free_cpus);
    return rc;
}

int libxl_cpupool_cpuremove_node(libxl_ctx *ctx, uint32_t poolid, int node, int *cpus)
{
    libxl_cpupoolinfo info;
    int rc;

    libxl_cpupoolinfo_init(&info);
    rc = libxl_cpupool_info(ctx, &info, poolid);
    if (!rc)
        rc = each_cpu_of_node(ctx, poolid, node, &info.cpumap, libxl_cpupool_cpuremove, cpus);
    libxl_cpupoolinfo_dispose(&info);
    return rc;
}

int libxl_cpupool_movedomain(libxl_ctx *ctx, uint32_t poolid, uint32_t domid)
{
    LX_GC(ctx);

    if (!xc_cpupool_movedomain(ctx->xch, poolid, domid))
        return 0;
    LX_LOGED(ERROR, domid, "cannot be moved to CPU pool %u", poolid);
    return ERROR_FAIL;
}
