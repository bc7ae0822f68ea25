/* SPDX-License-Identifier: MIT */
/* CPU pools. */
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/ctrl/private.h"

/* Moving a CPU while its scheduler is busy fails with EBUSY for a moment: tries, 1 ms apart. */
#define BUSY_TRIES 20

static int cpupool_op(xc_interface *xch, struct xen_sysctl_cpupool_op *op)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_cpupool_op, .u.cpupool_op = *op };
    int rc = do_sysctl(xch, &s);

    *op = s.u.cpupool_op;
    return rc;
}

int xc_cpupool_create(xc_interface *xch, uint32_t *ppoolid, uint32_t sched_id)
{
    struct xen_sysctl_cpupool_op op = {
        .op = XEN_SYSCTL_CPUPOOL_OP_CREATE, .cpupool_id = *ppoolid, .sched_id = sched_id,
    };

    if (cpupool_op(xch, &op)) {
        return -1;
    }
    *ppoolid = op.cpupool_id;
    return 0;
}

int xc_cpupool_destroy(xc_interface *xch, uint32_t poolid)
{
    struct xen_sysctl_cpupool_op op = {
        .op = XEN_SYSCTL_CPUPOOL_OP_DESTROY, .cpupool_id = poolid,
    };

    return cpupool_op(xch, &op);
}

/* The operations that answer with a map. The map is malloc()ed. */
static xc_cpumap_t get_map(xc_interface *xch, struct xen_sysctl_cpupool_op *op)
{
    int size = xc_get_cpumap_size(xch);
    xc_cpumap_t map = size > 0 ? calloc(1, (size_t)size) : NULL;
    DECLARE_HYPERCALL_BOUNCE_OUT(map, size > 0 ? (size_t)size : 0);
    int rc;

    if (!map || xc_hypercall_bounce_pre(xch, map)) {
        free(map);
        return NULL;
    }
    set_xen_guest_handle(op->cpumap.bitmap, map);
    op->cpumap.nr_bits = (uint32_t)size * 8;
    rc = cpupool_op(xch, op);
    xc_hypercall_bounce_post(xch, map);
    if (rc) {
        int saved = errno;

        free(map);
        errno = saved;
        return NULL;
    }
    return map;
}

xc_cpupoolinfo_t *xc_cpupool_getinfo(xc_interface *xch, uint32_t poolid)
{
    struct xen_sysctl_cpupool_op op = {
        .op = XEN_SYSCTL_CPUPOOL_OP_INFO, .cpupool_id = poolid,
    };
    xc_cpumap_t map = get_map(xch, &op);
    xc_cpupoolinfo_t *info = map ? malloc(sizeof(*info)) : NULL;

    if (!info) {
        free(map);
        return NULL;
    }
    info->cpupool_id = op.cpupool_id;
    info->sched_id = op.sched_id;
    info->n_dom = op.n_dom;
    info->cpumap = map;
    return info;
}

void xc_cpupool_infofree(xc_interface *xch, xc_cpupoolinfo_t *info)
{
    if (info) {
        free(info->cpumap);
        free(info);
    }
}

static int move_cpu(xc_interface *xch, uint32_t cmd, uint32_t poolid, int cpu)
{
    struct xen_sysctl_cpupool_op op = {
        .op = cmd, .cpupool_id = poolid,
        .cpu = cpu < 0 ? XEN_SYSCTL_CPUPOOL_PAR_ANY : (uint32_t)cpu,
    };
    int rc = 0;

    for (int i = 0; i < BUSY_TRIES; i++) {
        struct xen_sysctl_cpupool_op try = op;

        rc = cpupool_op(xch, &try);
        if (!rc || errno != EBUSY) {
            break;
        }
        usleep(1000);
    }
    return rc;
}

int xc_cpupool_addcpu(xc_interface *xch, uint32_t poolid, int cpu)
{
    return move_cpu(xch, XEN_SYSCTL_CPUPOOL_OP_ADDCPU, poolid, cpu);
}

int xc_cpupool_removecpu(xc_interface *xch, uint32_t poolid, int cpu)
{
    return move_cpu(xch, XEN_SYSCTL_CPUPOOL_OP_RMCPU, poolid, cpu);
}

int xc_cpupool_movedomain(xc_interface *xch, uint32_t poolid, uint32_t domid)
{
    struct xen_sysctl_cpupool_op op = {
        .op = XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, .cpupool_id = poolid, .domid = domid,
    };

    return cpupool_op(xch, &op);
}

xc_cpumap_t xc_cpupool_freeinfo(xc_interface *xch)
{
    struct xen_sysctl_cpupool_op op = { .op = XEN_SYSCTL_CPUPOOL_OP_FREEINFO };

    return get_map(xch, &op);
}
