/* SPDX-License-Identifier: MIT */
/* A domain's memory: reservations, physmap, memory map, limits. */
#include <string.h>

#include "libxenctrl/ctrl/private.h"

/* ---- reservations ----------------------------------------------------------------------- */

/* One of the extent operations. Returns the number of extents done, or -1. */
static int reservation(xc_interface *xch, unsigned int cmd, uint32_t domid,
                       unsigned long nr_extents, unsigned int extent_order,
                       unsigned int mem_flags, xen_pfn_t *extents)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(extents, nr_extents * sizeof(*extents));
    struct xen_memory_reservation r = {
        .nr_extents = nr_extents,
        .extent_order = extent_order,
        .mem_flags = mem_flags,
        .domid = (domid_t)domid,
    };
    long rc;

    if (xc_hypercall_bounce_pre(xch, extents)) {
        xc_perror(xch, "no memory for a list of %lu extents", nr_extents);
        return -1;
    }
    set_xen_guest_handle(r.extent_start, extents);
    rc = do_memory_op(xch, cmd, &r, sizeof(r));
    xc_hypercall_bounce_post(xch, extents);
    return (int)rc;
}

/* 0 if all extents were done, else -1 with errno err. */
static int all_done(xc_interface *xch, const char *what, uint32_t domid, int done,
                    unsigned long wanted, unsigned int order, int err)
{
    if (done >= 0 && (unsigned long)done == wanted) {
        return 0;
    }
    if (done >= 0) {
        xc_debug(xch, "%s for domain %u: %d of %lu extents of order %u", what, domid, done,
                 wanted, order);
        errno = err;
    }
    return -1;
}

int xc_domain_increase_reservation(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                                   unsigned int extent_order, unsigned int mem_flags,
                                   xen_pfn_t *extent_start)
{
    return reservation(xch, XENMEM_increase_reservation, domid, nr_extents, extent_order,
                       mem_flags, extent_start);
}

int xc_domain_increase_reservation_exact(xc_interface *xch, uint32_t domid,
                                         unsigned long nr_extents, unsigned int extent_order,
                                         unsigned int mem_flags, xen_pfn_t *extent_start)
{
    int n = xc_domain_increase_reservation(xch, domid, nr_extents, extent_order, mem_flags,
                                           extent_start);

    return all_done(xch, "allocation", domid, n, nr_extents, extent_order, ENOMEM);
}

int xc_domain_decrease_reservation(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                                   unsigned int extent_order, xen_pfn_t *extent_start)
{
    if (!extent_start) {
        errno = EINVAL;
        return -1;
    }
    return reservation(xch, XENMEM_decrease_reservation, domid, nr_extents, extent_order, 0,
                       extent_start);
}

int xc_domain_decrease_reservation_exact(xc_interface *xch, uint32_t domid,
                                         unsigned long nr_extents, unsigned int extent_order,
                                         xen_pfn_t *extent_start)
{
    int n = xc_domain_decrease_reservation(xch, domid, nr_extents, extent_order, extent_start);

    return all_done(xch, "release", domid, n, nr_extents, extent_order, EINVAL);
}

int xc_domain_populate_physmap(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                               unsigned int extent_order, unsigned int mem_flags,
                               xen_pfn_t *extent_start)
{
    return reservation(xch, XENMEM_populate_physmap, domid, nr_extents, extent_order, mem_flags,
                       extent_start);
}

int xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                                     unsigned int extent_order, unsigned int mem_flags,
                                     xen_pfn_t *extent_start)
{
    int n = xc_domain_populate_physmap(xch, domid, nr_extents, extent_order, mem_flags,
                                       extent_start);

    return all_done(xch, "allocation", domid, n, nr_extents, extent_order, EBUSY);
}

int xc_domain_claim_pages(xc_interface *xch, uint32_t domid, unsigned long nr_pages)
{
    struct xen_memory_reservation r = { .nr_extents = nr_pages, .domid = (domid_t)domid };

    long rc;

    set_xen_guest_handle(r.extent_start, HYPERCALL_BUFFER_NULL);
    rc = do_memory_op(xch, XENMEM_claim_pages, &r, sizeof(r));
    if (rc < 0 && errno == ENOSYS) {
        /* A claim only makes a later failure an early one: a host without them does as well. */
        xc_debug(xch, "the host knows no claims; domain %u goes without", domid);
        return 0;
    }
    return (int)rc;
}

int xc_domain_memory_exchange_pages(xc_interface *xch, uint32_t domid,
                                    unsigned long nr_in_extents, unsigned int in_order,
                                    xen_pfn_t *in_extents, unsigned long nr_out_extents,
                                    unsigned int out_order, xen_pfn_t *out_extents)
{
    DECLARE_HYPERCALL_BOUNCE_IN(in_extents, nr_in_extents * sizeof(*in_extents));
    DECLARE_HYPERCALL_BOUNCE_BOTH(out_extents, nr_out_extents * sizeof(*out_extents));
    struct xen_memory_exchange e = {
        .in = { .nr_extents = nr_in_extents, .extent_order = in_order,
                .domid = (domid_t)domid },
        .out = { .nr_extents = nr_out_extents, .extent_order = out_order,
                 .domid = (domid_t)domid },
    };
    int rc = -1;

    if (xc_hypercall_bounce_pre(xch, in_extents) || xc_hypercall_bounce_pre(xch, out_extents)) {
        goto out;
    }
    set_xen_guest_handle(e.in.extent_start, in_extents);
    set_xen_guest_handle(e.out.extent_start, out_extents);
    rc = (int)do_memory_op(xch, XENMEM_exchange, &e, sizeof(e));
 out:
    xc_hypercall_bounce_post(xch, in_extents);
    xc_hypercall_bounce_post(xch, out_extents);
    return rc;
}

/* ---- populate on demand ----------------------------------------------------------------- */

static int pod(xc_interface *xch, unsigned int cmd, uint32_t domid, uint64_t target,
               uint64_t *tot_pages, uint64_t *cache_pages, uint64_t *entries)
{
    struct xen_pod_target t = { .domid = (domid_t)domid, .target_pages = target };
    int rc = (int)do_memory_op(xch, cmd, &t, sizeof(t));

    if (rc < 0) {
        return -1;
    }
    if (tot_pages) {
        *tot_pages = t.tot_pages;
    }
    if (cache_pages) {
        *cache_pages = t.pod_cache_pages;
    }
    if (entries) {
        *entries = t.pod_entries;
    }
    return rc;
}

int xc_domain_set_pod_target(xc_interface *xch, uint32_t domid, uint64_t target_pages,
                             uint64_t *tot_pages, uint64_t *pod_cache_pages,
                             uint64_t *pod_entries)
{
    return pod(xch, XENMEM_set_pod_target, domid, target_pages, tot_pages, pod_cache_pages,
               pod_entries);
}

int xc_domain_get_pod_target(xc_interface *xch, uint32_t domid, uint64_t *tot_pages,
                             uint64_t *pod_cache_pages, uint64_t *pod_entries)
{
    return pod(xch, XENMEM_get_pod_target, domid, ~0ull, tot_pages, pod_cache_pages,
               pod_entries);
}

/* ---- the physmap ------------------------------------------------------------------------ */

int xc_domain_add_to_physmap(xc_interface *xch, uint32_t domid, unsigned int space,
                             unsigned long idx, xen_pfn_t gpfn)
{
    struct xen_add_to_physmap a = {
        .domid = (domid_t)domid, .space = space, .idx = idx, .gpfn = gpfn,
    };

    return (int)do_memory_op(xch, XENMEM_add_to_physmap, &a, sizeof(a));
}

int xc_domain_add_to_physmap_batch(xc_interface *xch, uint32_t domid, uint32_t foreign_domid,
                                   unsigned int space, unsigned int size, xen_ulong_t *idxs,
                                   xen_pfn_t *gfpns, int *errs)
{
    DECLARE_HYPERCALL_BOUNCE_IN(idxs, size * sizeof(*idxs));
    DECLARE_HYPERCALL_BOUNCE_IN(gfpns, size * sizeof(*gfpns));
    DECLARE_HYPERCALL_BOUNCE_OUT(errs, size * sizeof(*errs));
    struct xen_add_to_physmap_batch b = {
        .domid = (domid_t)domid, .space = (uint16_t)space, .size = (uint16_t)size,
        .u.foreign_domid = (domid_t)foreign_domid,
    };
    int rc = -1;

    if (size > UINT16_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (xc_hypercall_bounce_pre(xch, idxs) || xc_hypercall_bounce_pre(xch, gfpns) ||
        xc_hypercall_bounce_pre(xch, errs)) {
        goto out;
    }
    set_xen_guest_handle(b.idxs, idxs);
    set_xen_guest_handle(b.gpfns, gfpns);
    set_xen_guest_handle(b.errs, errs);
    rc = (int)do_memory_op(xch, XENMEM_add_to_physmap_batch, &b, sizeof(b));
 out:
    xc_hypercall_bounce_post(xch, idxs);
    xc_hypercall_bounce_post(xch, gfpns);
    xc_hypercall_bounce_post(xch, errs);
    return rc;
}

int xc_domain_remove_from_physmap(xc_interface *xch, uint32_t domid, xen_pfn_t gpfn)
{
    struct xen_remove_from_physmap r = { .domid = (domid_t)domid, .gpfn = gpfn };

    return (int)do_memory_op(xch, XENMEM_remove_from_physmap, &r, sizeof(r));
}

int xc_domain_maximum_gpfn(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns)
{
    domid_t d = (domid_t)domid;
    long rc = do_memory_op(xch, XENMEM_maximum_gpfn, &d, sizeof(d));

    if (rc < 0) {
        return -1;
    }
    *gpfns = (xen_pfn_t)rc;
    return 0;
}

int xc_domain_nr_gpfns(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns)
{
    int rc = xc_domain_maximum_gpfn(xch, domid, gpfns);

    if (!rc) {
        ++*gpfns;
    }
    return rc;
}

/* ---- memory maps ------------------------------------------------------------------------ */

int xc_domain_set_memory_map(xc_interface *xch, uint32_t domid, struct e820entry entries[],
                             uint32_t nr_entries)
{
    DECLARE_HYPERCALL_BOUNCE_IN(entries, nr_entries * sizeof(entries[0]));
    struct xen_foreign_memory_map m = {
        .domid = (domid_t)domid, .map.nr_entries = nr_entries,
    };
    int rc;

    if (!entries || xc_hypercall_bounce_pre(xch, entries)) {
        return -1;
    }
    set_xen_guest_handle(m.map.buffer, entries);
    rc = (int)do_memory_op(xch, XENMEM_set_memory_map, &m, sizeof(m));
    xc_hypercall_bounce_post(xch, entries);
    return rc;
}

int xc_get_machine_memory_map(xc_interface *xch, struct e820entry entries[],
                              uint32_t max_entries)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(entries, max_entries * sizeof(entries[0]));
    struct xen_memory_map m = { .nr_entries = max_entries };
    int rc;

    if (!entries || !max_entries || xc_hypercall_bounce_pre(xch, entries)) {
        return -1;
    }
    set_xen_guest_handle(m.buffer, entries);
    rc = (int)do_memory_op(xch, XENMEM_machine_memory_map, &m, sizeof(m));
    xc_hypercall_bounce_post(xch, entries);
    return rc < 0 ? -1 : (int)m.nr_entries;
}

int xc_domain_set_memmap_limit(xc_interface *xch, uint32_t domid, unsigned long map_limitkb)
{
    struct e820entry all = { .addr = 0, .size = (uint64_t)map_limitkb << 10, .type = E820_RAM };

    return xc_domain_set_memory_map(xch, domid, &all, 1);
}

int xc_reserved_device_memory_map(xc_interface *xch, uint32_t flags, uint16_t seg, uint8_t bus,
                                  uint8_t devfn, struct xen_reserved_device_memory entries[],
                                  uint32_t *max_entries)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(entries, *max_entries * sizeof(entries[0]));
    struct xen_reserved_device_memory_map m = {
        .flags = flags, .nr_entries = *max_entries,
        .dev.pci = { .seg = seg, .bus = bus, .devfn = devfn },
    };
    int rc;

    if (xc_hypercall_bounce_pre(xch, entries)) {
        return -1;
    }
    set_xen_guest_handle(m.buffer, entries);
    rc = (int)do_memory_op(xch, XENMEM_reserved_device_memory_map, &m, sizeof(m));
    xc_hypercall_bounce_post(xch, entries);
    *max_entries = m.nr_entries;
    return rc;
}

/* ---- limits and totals ------------------------------------------------------------------ */

int xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb)
{
    struct xen_domctl d = { .u.max_mem.max_memkb = max_memkb };

    return domctl(xch, &d, XEN_DOMCTL_max_mem, domid);
}

int xc_get_paging_mempool_size(xc_interface *xch, uint32_t domid, uint64_t *size)
{
    struct xen_domctl d = { 0 };
    int rc = domctl(xch, &d, XEN_DOMCTL_get_paging_mempool_size, domid);

    if (!rc) {
        *size = d.u.paging_mempool.size;
    }
    return rc;
}

int xc_set_paging_mempool_size(xc_interface *xch, uint32_t domid, uint64_t size)
{
    struct xen_domctl d = { .u.paging_mempool.size = size };

    return domctl(xch, &d, XEN_DOMCTL_set_paging_mempool_size, domid);
}

int xc_shadow_control(xc_interface *xch, uint32_t domid, unsigned int sop, unsigned int *mb,
                      unsigned int mode)
{
    struct xen_domctl d = { .u.shadow_op = { .op = sop, .mb = mb ? *mb : 0, .mode = mode } };
    int rc;

    if (sop == XEN_DOMCTL_SHADOW_OP_CLEAN || sop == XEN_DOMCTL_SHADOW_OP_PEEK) {
        /* These need a bitmap: xc_logdirty_control(). */
        errno = EINVAL;
        return -1;
    }
    rc = domctl(xch, &d, XEN_DOMCTL_shadow_op, domid);
    if (mb) {
        *mb = d.u.shadow_op.mb;
    }
    return rc;
}

long long xc_logdirty_control(xc_interface *xch, uint32_t domid, unsigned int sop,
                              xc_hypercall_buffer_t *dirty_bitmap, unsigned long pages,
                              unsigned int mode, xc_shadow_op_stats_t *stats)
{
    DECLARE_HYPERCALL_BUFFER_ARGUMENT(dirty_bitmap);
    struct xen_domctl d = { .u.shadow_op = { .op = sop, .pages = pages, .mode = mode } };
    int rc;

    if (dirty_bitmap) {
        set_xen_guest_handle(d.u.shadow_op.dirty_bitmap, dirty_bitmap);
    }
    rc = domctl(xch, &d, XEN_DOMCTL_shadow_op, domid);
    if (stats) {
        *stats = d.u.shadow_op.stats;
    }
    return rc ? rc : (long long)d.u.shadow_op.pages;
}

long xc_get_tot_pages(xc_interface *xch, uint32_t domid)
{
    xc_dominfo_t info;

    return get_dominfo(xch, domid, &info) ? -1 : (long)info.nr_pages;
}

int xc_maximum_ram_page(xc_interface *xch, unsigned long *max_mfn)
{
    long rc = do_memory_op(xch, XENMEM_maximum_ram_page, NULL, 0);

    if (rc < 0) {
        return -1;
    }
    *max_mfn = (unsigned long)rc;
    return 0;
}

int xc_machphys_mfn_list(xc_interface *xch, unsigned long max_extents, xen_pfn_t *extent_start)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(extent_start, max_extents * sizeof(*extent_start));
    struct xen_machphys_mfn_list l = { .max_extents = (unsigned int)max_extents };
    int rc;

    if (xc_hypercall_bounce_pre(xch, extent_start)) {
        return -1;
    }
    set_xen_guest_handle(l.extent_start, extent_start);
    rc = (int)do_memory_op(xch, XENMEM_machphys_mfn_list, &l, sizeof(l));
    if (!rc && l.nr_extents != max_extents) {
        errno = EFAULT;
        rc = -1;
    }
    xc_hypercall_bounce_post(xch, extent_start);
    return rc;
}

long xc_sharing_freed_pages(xc_interface *xch)
{
    return do_memory_op(xch, XENMEM_get_sharing_freed_pages, NULL, 0);
}

long xc_sharing_used_frames(xc_interface *xch)
{
    return do_memory_op(xch, XENMEM_get_sharing_shared_pages, NULL, 0);
}

int xc_domain_cacheflush(xc_interface *xch, uint32_t domid, xen_pfn_t start_pfn,
                         xen_pfn_t nr_pfns)
{
    return 0;
}
