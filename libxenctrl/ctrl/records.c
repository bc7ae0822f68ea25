/* SPDX-License-Identifier: MIT */
/* What the hypervisor records about itself: trace buffers, counters, lock statistics. */
#include <sys/mman.h>

#include "libxenctrl/ctrl/private.h"

#include <xen/trace.h>

/* ---- trace buffers ---------------------------------------------------------------------- */

static int tbuf_op(xc_interface *xch, struct xen_sysctl *s, uint32_t cmd)
{
    s->cmd = XEN_SYSCTL_tbuf_op;
    s->u.tbuf_op.cmd = cmd;
    return do_sysctl(xch, s);
}

int xc_tbuf_set_size(xc_interface *xch, unsigned long size)
{
    struct xen_sysctl s = { .u.tbuf_op.size = (uint32_t)size };

    return tbuf_op(xch, &s, XEN_SYSCTL_TBUFOP_set_size);
}

/* The size stands in a page of the hypervisor's; the operation says where that is. */
int xc_tbuf_get_size(xc_interface *xch, unsigned long *size)
{
    struct xen_sysctl s = { 0 };
    const struct t_info *info;

    if (tbuf_op(xch, &s, XEN_SYSCTL_TBUFOP_get_info)) {
        return -1;
    }
    info = xc_map_foreign_range(xch, DOMID_XEN, (int)s.u.tbuf_op.size, PROT_READ | PROT_WRITE,
                                (unsigned long)s.u.tbuf_op.buffer_mfn);
    if (!info) {
        return -1;
    }
    *size = info->tbuf_size;
    munmap((void *)(uintptr_t)info, s.u.tbuf_op.size);
    if (!*size) {
        errno = ENODATA;
        return -1;
    }
    return 0;
}

int xc_tbuf_enable(xc_interface *xch, unsigned long pages, unsigned long *mfn,
                   unsigned long *size)
{
    struct xen_sysctl enable = { 0 }, info = { 0 };
    int rc;

    /* Once it has a size it keeps it, and refuses another; what counts is that it is enabled. */
    (void)xc_tbuf_set_size(xch, pages);
    if (tbuf_op(xch, &enable, XEN_SYSCTL_TBUFOP_enable)) {
        return -1;
    }
    rc = tbuf_op(xch, &info, XEN_SYSCTL_TBUFOP_get_info);
    if (!rc) {
        *size = info.u.tbuf_op.size;
        *mfn = info.u.tbuf_op.buffer_mfn;
    }
    return rc;
}

int xc_tbuf_disable(xc_interface *xch)
{
    struct xen_sysctl s = { 0 };

    return tbuf_op(xch, &s, XEN_SYSCTL_TBUFOP_disable);
}

int xc_tbuf_set_cpu_mask(xc_interface *xch, xc_cpumap_t mask)
{
    DECLARE_HYPERCALL_BOUNCE(mask, 0, XC_HYPERCALL_BUFFER_BOUNCE_IN);
    struct xen_sysctl s = { 0 };
    int bits = xc_get_max_cpus(xch), rc;

    if (bits <= 0) {
        xc_perror(xch, "could not get the number of CPUs");
        return -1;
    }
    HYPERCALL_BUFFER(mask)->sz = ((size_t)bits + 7) / 8;
    if (xc_hypercall_bounce_pre(xch, mask)) {
        xc_perror(xch, "no memory for a map of %d CPUs", bits);
        return -1;
    }
    set_xen_guest_handle(s.u.tbuf_op.cpu_mask.bitmap, mask);
    s.u.tbuf_op.cpu_mask.nr_bits = (uint32_t)bits;
    rc = tbuf_op(xch, &s, XEN_SYSCTL_TBUFOP_set_cpu_mask);
    xc_hypercall_bounce_post(xch, mask);
    return rc;
}

int xc_tbuf_set_evt_mask(xc_interface *xch, uint32_t mask)
{
    struct xen_sysctl s = { .u.tbuf_op.evt_mask = mask };

    return tbuf_op(xch, &s, XEN_SYSCTL_TBUFOP_set_evt_mask);
}

/* ---- counters --------------------------------------------------------------------------- */

static int perfc_op(xc_interface *xch, struct xen_sysctl *s, uint32_t cmd)
{
    s->cmd = XEN_SYSCTL_perfc_op;
    s->u.perfc_op.cmd = cmd;
    return do_sysctl(xch, s);
}

int xc_perfc_reset(xc_interface *xch)
{
    struct xen_sysctl s = { 0 };

    return perfc_op(xch, &s, XEN_SYSCTL_PERFCOP_reset);
}

int xc_perfc_query_number(xc_interface *xch, int *nbr_desc, int *nbr_val)
{
    struct xen_sysctl s = { 0 };
    int rc = perfc_op(xch, &s, XEN_SYSCTL_PERFCOP_query);

    if (nbr_desc) {
        *nbr_desc = (int)s.u.perfc_op.nr_counters;
    }
    if (nbr_val) {
        *nbr_val = (int)s.u.perfc_op.nr_vals;
    }
    return rc;
}

int xc_perfc_query(xc_interface *xch, xc_hypercall_buffer_t *desc, xc_hypercall_buffer_t *val)
{
    DECLARE_HYPERCALL_BUFFER_ARGUMENT(desc);
    DECLARE_HYPERCALL_BUFFER_ARGUMENT(val);
    struct xen_sysctl s = { 0 };

    set_xen_guest_handle(s.u.perfc_op.desc, desc);
    set_xen_guest_handle(s.u.perfc_op.val, val);
    return perfc_op(xch, &s, XEN_SYSCTL_PERFCOP_query);
}

/* ---- locks ------------------------------------------------------------------------------ */

static int lockprof_op(xc_interface *xch, struct xen_sysctl *s, uint32_t cmd)
{
    s->cmd = XEN_SYSCTL_lockprof_op;
    s->u.lockprof_op.cmd = cmd;
    return do_sysctl(xch, s);
}

int xc_lockprof_reset(xc_interface *xch)
{
    struct xen_sysctl s = { 0 };

    return lockprof_op(xch, &s, XEN_SYSCTL_LOCKPROF_reset);
}

int xc_lockprof_query_number(xc_interface *xch, uint32_t *n_elems)
{
    struct xen_sysctl s = { 0 };
    int rc = lockprof_op(xch, &s, XEN_SYSCTL_LOCKPROF_query);

    *n_elems = s.u.lockprof_op.nr_elem;
    return rc;
}

int xc_lockprof_query(xc_interface *xch, uint32_t *n_elems, uint64_t *time,
                      xc_hypercall_buffer_t *data)
{
    DECLARE_HYPERCALL_BUFFER_ARGUMENT(data);
    struct xen_sysctl s = { .u.lockprof_op.max_elem = *n_elems };
    int rc;

    set_xen_guest_handle(s.u.lockprof_op.data, data);
    rc = lockprof_op(xch, &s, XEN_SYSCTL_LOCKPROF_query);
    *n_elems = s.u.lockprof_op.nr_elem;
    *time = s.u.lockprof_op.time;
    return rc;
}
