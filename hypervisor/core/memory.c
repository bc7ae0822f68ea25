/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <xen/memory.h>

#include "common/log.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/resource.h"

#define PAGE 4096u
/* What one turn may take: about a millisecond. Freeing is dearer than giving. */
#define PAGES_PER_SLICE 65536u
#define POPULATES_PER_SLICE 2048u
#define REMOVALS_PER_SLICE 256u
#define GUEST_MAX_ORDER 9        /* Xen's CONFIG_DOMU_MAX_ORDER */
#define CONTROL_MAX_ORDER 18     /* 1 GiB */
#define MEMOP_SHIFT 6

/* 32-bit callers' layouts (compat/memory.h in Xen): pointers and longs are 4 bytes. */
struct reservation32 {
    uint32_t extent_start, nr_extents, extent_order, mem_flags;
    uint16_t domid;
};
struct add_to_physmap32 { uint16_t domid, size; uint32_t space, idx, gpfn; };
struct remove_from_physmap32 { uint16_t domid; uint16_t pad; uint32_t gpfn; };
struct memory_map32 { uint32_t nr_entries, buffer; };

/* A reservation in one form, whoever sent it. */
struct resv { uint64_t list, nr; uint32_t order, flags; domid_t domid; };

static int read_resv(struct hcall *hc, struct resv *r)
{
    struct xen_memory_reservation n;
    struct reservation32 c;

    if (hc->compat) {
        if (copy_from_guest(hc, &c, hc->arg[1], sizeof(c))) {
            return -EFAULT;
        }
        *r = (struct resv){ c.extent_start, c.nr_extents, c.extent_order, c.mem_flags, c.domid };
        return 0;
    }
    if (copy_from_guest(hc, &n, hc->arg[1], sizeof(n))) {
        return -EFAULT;
    }
    *r = (struct resv){ (uint64_t)(uintptr_t)n.extent_start.p, n.nr_extents, n.extent_order,
                        n.mem_flags, n.domid };
    return 0;
}

static int read_gfn(struct hcall *hc, uint64_t list, uint64_t i, uint64_t *gfn)
{
    *gfn = 0;
    return copy_from_guest(hc, gfn, list + i * (hc->compat ? 4 : 8), hc->compat ? 4 : 8);
}

/* A guest domain that arguments name: the host has no p2m to work on. */
static int guest_target(struct hcall *hc, domid_t domid, struct domain **d)
{
    int rc = hc_target(hc, domid, d);

    if (!rc && ((*d)->host || (*d)->dying)) {
        rc = (*d)->host ? -EINVAL : -ESRCH;
    }
    return rc;
}

static int populate_one(struct domain *d, uint64_t gfn, uint64_t pages, bool on_demand)
{
    int rc;

    if (gfn & (pages - 1)) {
        return -EINVAL;
    }
    rc = on_demand ? p2m_populate_on_demand(d, gfn, pages) : p2m_populate(d, gfn, pages);
    if (rc == -ENOMEM) {
        kr_log_once(KR_NOTICE, "domain %u: no memory for it beyond %llu pages", d->domid,
                    (unsigned long long)d->tot_pages);
    }
    return rc;
}

/* populate_physmap and decrease_reservation: the number of extents done, as far as it went. */
static long op_reservation(struct hcall *hc, bool populate)
{
    uint64_t pages, budget = PAGES_PER_SLICE;
    bool on_demand;
    struct domain *d;
    struct resv r;
    int rc = read_resv(hc, &r);

    if (rc) {
        return rc;
    }
    if (!hc->stage++) {
        hc->progress = (uint32_t)hc->arg[0] >> MEMOP_SHIFT;
    }
    if (r.nr > (UINT64_MAX >> MEMOP_SHIFT) || hc->progress > r.nr) {
        return (long)hc->progress;
    }
    if (guest_target(hc, r.domid, &d)) {
        return (long)hc->progress;    /* Xen's answer: so many were done */
    }
    if (r.order > (hc->d->control ? CONTROL_MAX_ORDER : GUEST_MAX_ORDER)) {
        return (long)hc->progress;
    }
    /* A domain does not put off its own pages. */
    on_demand = populate && r.flags & XENMEMF_populate_on_demand;
    if (on_demand && d == hc->d) {
        return (long)hc->progress;
    }
    pages = 1ull << r.order;
    for (unsigned n = 0; hc->progress < r.nr; n++, hc->progress++) {
        uint64_t gfn;

        if (n == (populate ? POPULATES_PER_SLICE : REMOVALS_PER_SLICE) || (n && budget < pages)) {
            return HC_AGAIN;
        }
        budget -= budget < pages ? budget : pages;
        if (read_gfn(hc, r.list, hc->progress, &gfn)) {
            return hc->progress ? (long)hc->progress : -EFAULT;
        }
        if (populate ? populate_one(d, gfn, pages, on_demand) : p2m_remove_range(d, gfn, pages)) {
            break;
        }
    }
    return (long)hc->progress;
}

/*
 * exchange: the caller gives up frames and gets as much memory at others. Translated guests choose
 * the new frames; contents are lost, as in Xen.
 */
static long op_exchange(struct hcall *hc)
{
    struct xen_memory_exchange x;
    uint64_t in_pages, out_pages, gfn;
    struct domain *d;
    int rc;

    if (hc->compat) {
        return hc_enosys(hc, __HYPERVISOR_memory_op, XENMEM_exchange);
    }
    if (copy_from_guest(hc, &x, hc->arg[1], sizeof(x))) {
        return -EFAULT;
    }
    if (x.in.domid != x.out.domid || x.in.extent_order > GUEST_MAX_ORDER ||
        x.out.extent_order > GUEST_MAX_ORDER || x.in.nr_extents > UINT32_MAX ||
        x.out.nr_extents > UINT32_MAX || x.nr_exchanged > x.in.nr_extents) {
        return -EINVAL;
    }
    in_pages = x.in.nr_extents << x.in.extent_order;
    out_pages = x.out.nr_extents << x.out.extent_order;
    if (in_pages != out_pages || x.in.extent_order > x.out.extent_order || !in_pages) {
        return -EINVAL;
    }
    rc = guest_target(hc, x.in.domid, &d);
    if (rc) {
        return rc;
    }
    /* One output extent and the input extents that make it up at a time. */
    for (unsigned n = 0;; n++) {
        uint64_t per = 1ull << (x.out.extent_order - x.in.extent_order);
        uint64_t o = x.nr_exchanged / per;

        if (x.nr_exchanged + per > x.in.nr_extents) {
            break;
        }
        if (n == 64) {
            rc = copy_to_guest(hc, hc->arg[1] + offsetof(struct xen_memory_exchange, nr_exchanged),
                               &x.nr_exchanged, sizeof(x.nr_exchanged));
            return rc ? rc : HC_AGAIN;
        }
        for (uint64_t i = 0; i < per && !rc; i++) {
            rc = read_gfn(hc, (uint64_t)(uintptr_t)x.in.extent_start.p, x.nr_exchanged + i, &gfn);
            if (!rc && p2m_lookup(d, gfn).type != P2M_RAM) {
                rc = -EINVAL;
            }
            rc = rc ? rc : p2m_remove_range(d, gfn, 1ull << x.in.extent_order);
        }
        rc = rc ? rc : read_gfn(hc, (uint64_t)(uintptr_t)x.out.extent_start.p, o, &gfn);
        rc = rc ? rc : populate_one(d, gfn, 1ull << x.out.extent_order, false);
        if (rc) {
            break;
        }
        x.nr_exchanged += per;
    }
    if (copy_to_guest(hc, hc->arg[1] + offsetof(struct xen_memory_exchange, nr_exchanged),
                      &x.nr_exchanged, sizeof(x.nr_exchanged))) {
        return -EFAULT;
    }
    return rc;
}

static int add_to_physmap(struct hcall *hc, struct domain *d, uint32_t space, uint64_t idx,
                          uint64_t gfn)
{
    uint64_t frame;
    int rc;

    switch (space) {
    case XENMAPSPACE_shared_info:
        return idx ? -EINVAL : p2m_map_xen(d, gfn, KL_XEN_SHARED_INFO);
    case XENMAPSPACE_grant_table:
        frame = idx & ~(uint64_t)XENMAPIDX_grant_table_status;
        if (frame >= KL_XEN_MAX_GRANT_FRAMES) {
            return -EINVAL;
        }
        if (idx & XENMAPIDX_grant_table_status) {
            rc = gnt_grow_status(d, (uint32_t)frame + 1);
            return rc ? rc : p2m_map_xen(d, gfn, KL_XEN_STATUS_FRAMES + frame);
        }
        rc = gnt_grow(d, (uint32_t)frame + 1);
        return rc ? rc : p2m_map_xen(d, gfn, KL_XEN_GRANT_FRAMES + frame);
    case XENMAPSPACE_gmfn:
        return p2m_move(d, idx, gfn);
    default:
        return (int)hc_enosys(hc, __HYPERVISOR_memory_op, XENMEM_add_to_physmap | space << 8);
    }
}

static long op_add_to_physmap(struct hcall *hc)
{
    struct xen_add_to_physmap a;
    struct add_to_physmap32 c;
    struct domain *d;
    int rc;

    if (hc->compat) {
        if (copy_from_guest(hc, &c, hc->arg[1], sizeof(c))) {
            return -EFAULT;
        }
        a = (struct xen_add_to_physmap){ .domid = c.domid, .size = c.size, .space = c.space,
                                         .idx = c.idx, .gpfn = c.gpfn };
    } else if (copy_from_guest(hc, &a, hc->arg[1], sizeof(a))) {
        return -EFAULT;
    }
    rc = guest_target(hc, a.domid, &d);
    if (rc) {
        return rc;
    }
    /* foreign frames name their owner, which this form has no room for */
    if (a.space == XENMAPSPACE_gmfn_foreign) {
        return -ENOSYS;
    }
    return add_to_physmap(hc, d, a.space, a.idx, a.gpfn);
}

static long op_add_to_physmap_batch(struct hcall *hc)
{
    struct xen_add_to_physmap_batch b;
    struct domain *d;
    int rc;

    if (hc->compat) {
        return hc_enosys(hc, __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch);
    }
    if (copy_from_guest(hc, &b, hc->arg[1], sizeof(b))) {
        return -EFAULT;
    }
    rc = guest_target(hc, b.domid, &d);
    if (rc) {
        return rc;
    }
    for (unsigned n = 0; hc->progress < b.size; n++, hc->progress++) {
        uint64_t i = hc->progress, idx, gfn;
        int32_t err;

        if (n == 512) {
            return HC_AGAIN;
        }
        if (copy_from_guest(hc, &idx, (uint64_t)(uintptr_t)b.idxs.p + i * 8, 8) ||
            copy_from_guest(hc, &gfn, (uint64_t)(uintptr_t)b.gpfns.p + i * 8, 8)) {
            return -EFAULT;
        }
        err = b.space == XENMAPSPACE_gmfn_foreign
                  ? mem_map_foreign(hc, d, b.u.foreign_domid, idx, gfn)
                  : add_to_physmap(hc, d, b.space, idx, gfn);
        if (copy_to_guest(hc, (uint64_t)(uintptr_t)b.errs.p + i * 4, &err, 4)) {
            return -EFAULT;
        }
    }
    return 0;
}

static long op_remove_from_physmap(struct hcall *hc)
{
    struct xen_remove_from_physmap r;
    struct remove_from_physmap32 c;
    struct domain *d;
    int rc;

    if (hc->compat) {
        if (copy_from_guest(hc, &c, hc->arg[1], sizeof(c))) {
            return -EFAULT;
        }
        r.domid = c.domid;
        r.gpfn = c.gpfn;
    } else if (copy_from_guest(hc, &r, hc->arg[1], sizeof(r))) {
        return -EFAULT;
    }
    rc = guest_target(hc, r.domid, &d);
    return rc ? rc : p2m_remove(d, r.gpfn);
}

/* Ops whose argument begins with a domid. */
static long op_numbers(struct hcall *hc, uint32_t op)
{
    struct domain *d;
    domid_t domid;
    int rc;

    if (copy_from_guest(hc, &domid, hc->arg[1], sizeof(domid))) {
        return -EFAULT;
    }
    rc = hc_target(hc, domid, &d);
    if (rc) {
        return rc;
    }
    switch (op) {
    case XENMEM_current_reservation:
        return (long)(d->host ? hc->core->host.reserve_pages : d->tot_pages);
    case XENMEM_maximum_reservation:
        return (long)(d->host ? hc->core->host.total_pages : d->max_pages);
    default:
        if (d->host) {
            return (long)hc->core->host.total_pages - 1;
        }
        return d->p2m.max_gfn_plus1 ? (long)d->p2m.max_gfn_plus1 - 1 : 0;
    }
}

static int read_map(struct hcall *hc, uint64_t at, uint32_t *nr, uint64_t *buffer)
{
    struct xen_memory_map m;
    struct memory_map32 c;

    if (hc->compat) {
        if (copy_from_guest(hc, &c, at, sizeof(c))) {
            return -EFAULT;
        }
        *nr = c.nr_entries;
        *buffer = c.buffer;
        return 0;
    }
    if (copy_from_guest(hc, &m, at, sizeof(m))) {
        return -EFAULT;
    }
    *nr = m.nr_entries;
    *buffer = (uint64_t)(uintptr_t)m.buffer.p;
    return 0;
}

static long op_memory_map(struct hcall *hc)
{
    struct domain *d = hc->d;
    uint64_t buffer;
    uint32_t nr;

    if (!d->nr_e820) {
        return -ENOSYS;    /* Xen's answer for a domain that was given no map */
    }
    if (read_map(hc, hc->arg[1], &nr, &buffer)) {
        return -EFAULT;
    }
    nr = nr < d->nr_e820 ? nr : d->nr_e820;
    if (copy_to_guest(hc, buffer, d->e820, nr * sizeof(d->e820[0])) ||
        copy_to_guest(hc, hc->arg[1], &nr, sizeof(nr))) {
        return -EFAULT;
    }
    return 0;
}

static long op_set_memory_map(struct hcall *hc)
{
    struct xen_foreign_memory_map m;
    struct domain *d;
    int rc;

    if (copy_from_guest(hc, &m, hc->arg[1], sizeof(m))) {
        return -EFAULT;
    }
    if (m.map.nr_entries > KR_MAX_E820) {
        return -EINVAL;
    }
    rc = guest_target(hc, m.domid, &d);
    if (rc) {
        return rc;
    }
    d->nr_e820 = 0;
    if (copy_from_guest(hc, d->e820, (uint64_t)(uintptr_t)m.map.buffer.p,
                        m.map.nr_entries * sizeof(d->e820[0]))) {
        return -EFAULT;
    }
    d->nr_e820 = m.map.nr_entries;
    return 0;
}

/* The host as a machine has one range of memory, as far as anybody here can use it. */
static long op_machine_memory_map(struct hcall *hc)
{
    struct { uint64_t addr, size; uint32_t type; } __attribute__((packed)) e = {
        0, hc->core->host.total_pages * PAGE, 1
    };
    uint64_t buffer;
    uint32_t nr;

    if (read_map(hc, hc->arg[1], &nr, &buffer)) {
        return -EFAULT;
    }
    nr = nr ? 1 : 0;
    if (copy_to_guest(hc, buffer, &e, nr * sizeof(e)) ||
        copy_to_guest(hc, hc->arg[1], &nr, sizeof(nr))) {
        return -EFAULT;
    }
    return 0;
}

static long op_claim(struct hcall *hc)
{
    struct resv r;
    struct domain *d;
    int rc = read_resv(hc, &r);

    if (rc) {
        return rc;
    }
    if (r.list || r.order || r.flags) {
        return -EINVAL;
    }
    rc = guest_target(hc, r.domid, &d);
    return rc ? rc : domain_claim(d, r.nr);
}

static long op_pod(struct hcall *hc, bool set)
{
    struct xen_pod_target t;
    struct domain *d;
    int rc;

    if (copy_from_guest(hc, &t, hc->arg[1], sizeof(t))) {
        return -EFAULT;
    }
    rc = guest_target(hc, t.domid, &d);
    if (rc) {
        return rc;
    }
    if (set) {
        rc = t.target_pages > d->max_pages ? -EINVAL : pod_set_target(d, t.target_pages);
        if (rc) {
            return rc;
        }
    }
    t.tot_pages = d->tot_pages;
    pod_info(d, &t.pod_cache_pages, &t.pod_entries);
    return copy_to_guest(hc, hc->arg[1], &t, sizeof(t));
}

static long op_get_vnumainfo(struct hcall *hc)
{
    struct xen_vnuma_topology_info t;
    struct domain *d;
    int rc;

    if (copy_from_guest(hc, &t, hc->arg[1], sizeof(t))) {
        return -EFAULT;
    }
    rc = t.pad ? -EINVAL : hc_target(hc, t.domid, &d);
    return rc ? rc : -EOPNOTSUPP;    /* Xen's answer for a domain without virtual NUMA */
}

long do_memory_op(struct hcall *hc)
{
    uint32_t op = (uint32_t)hc->arg[0] & ((1u << MEMOP_SHIFT) - 1);

    switch (op) {
    case XENMEM_populate_physmap:
        return op_reservation(hc, true);
    case XENMEM_decrease_reservation:
        return op_reservation(hc, false);
    case XENMEM_exchange:
        return op_exchange(hc);
    case XENMEM_maximum_ram_page:
        return (long)hc->core->host.total_pages - 1;
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation:
    case XENMEM_maximum_gpfn:
        return op_numbers(hc, op);
    case XENMEM_add_to_physmap:
        return op_add_to_physmap(hc);
    case XENMEM_add_to_physmap_batch:
        return op_add_to_physmap_batch(hc);
    case XENMEM_remove_from_physmap:
        return op_remove_from_physmap(hc);
    case XENMEM_memory_map:
        return op_memory_map(hc);
    case XENMEM_machine_memory_map:
        return op_machine_memory_map(hc);
    case XENMEM_set_memory_map:
        return op_set_memory_map(hc);
    case XENMEM_set_pod_target:
    case XENMEM_get_pod_target:
        return op_pod(hc, op == XENMEM_set_pod_target);
    case XENMEM_get_sharing_freed_pages:
    case XENMEM_get_sharing_shared_pages:
        return 0;    /* nothing is ever shared */
    case XENMEM_claim_pages:
        return op_claim(hc);
    case XENMEM_reserved_device_memory_map:
        return 0;    /* no devices, so no reserved regions */
    case XENMEM_acquire_resource:
        return mem_acquire_resource(hc);
    case XENMEM_get_vnumainfo:
        return op_get_vnumainfo(hc);
    default:
        return hc_enosys(hc, __HYPERVISOR_memory_op, op);
    }
}
