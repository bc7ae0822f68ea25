/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/resource.h"

#include <errno.h>

#include <xen/memory.h>

#include "hypervisor/core/domain.h"
#include "hypervisor/core/foreign.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"

#define MAX_FRAMES (UINT32_MAX >> 6)    /* what a continuation could count (MEMOP_EXTENT_SHIFT) */
#define FRAMES_PER_SLICE 512

int resource_frames(struct domain *d, uint32_t type, uint32_t id, uint64_t frame, uint64_t nr,
                    uint64_t *first, uint64_t *exist)
{
    uint64_t end;

    if (type != XENMEM_resource_grant_table) {
        return -EOPNOTSUPP;
    }
    if (__builtin_add_overflow(frame, nr, &end)) {
        return -EINVAL;
    }
    if (id == XENMEM_resource_grant_table_id_shared) {
        *first = KL_XEN_GRANT_FRAMES;
        *exist = d->gt.max_frames;
    } else if (id == XENMEM_resource_grant_table_id_status && d->gt.version == 2) {
        *first = KL_XEN_STATUS_FRAMES;
        *exist = (d->gt.max_frames * GNT_V2_PER_FRAME + GNT_STATUS_PER_FRAME - 1) /
                 GNT_STATUS_PER_FRAME;
    } else {
        return -EINVAL;
    }
    if (end > *exist) {
        return -EINVAL;
    }
    if (!nr) {
        return 0;
    }
    return id == XENMEM_resource_grant_table_id_shared ? gnt_grow(d, (uint32_t)end)
                                                       : gnt_grow_status(d, (uint32_t)end);
}

/* Only a domain with control may have others' pages by number in its p2m, as in Xen. */
static bool may_have_foreign(const struct domain *d)
{
    return d->control && !d->host;
}

int mem_map_foreign(struct hcall *hc, struct domain *d, domid_t from, uint64_t idx, uint64_t gfn)
{
    struct foreign what = { 0 };
    struct domain *fd;
    struct p2m_entry e;

    if (!may_have_foreign(d)) {
        return -EPERM;
    }
    if (from == DOMID_SELF) {
        return -EINVAL;
    }
    fd = domain_find(hc->core, from);
    if (!fd || fd->dying) {
        return -ESRCH;
    }
    if (fd == d || fd->host) {
        return -EINVAL;
    }
    e = p2m_lookup(fd, idx);
    if (e.type != P2M_RAM && e.type != P2M_XEN) {
        return -EINVAL;    /* nothing there, or itself somebody else's */
    }
    what.mem = e.type == P2M_RAM ? FOREIGN_RAM : FOREIGN_XEN;
    what.owner = fd;
    what.page = e.page;
    return foreign_map(d, gfn, &what, NULL);
}

static long map_frames(struct hcall *hc, struct domain *d, const struct xen_mem_acquire_resource *r,
                       uint64_t first)
{
    struct foreign what = { .mem = FOREIGN_XEN, .owner = d };

    for (unsigned n = 0; hc->progress < r->nr_frames; n++, hc->progress++) {
        uint64_t gfn;
        int rc;

        if (n == FRAMES_PER_SLICE) {
            return HC_AGAIN;
        }
        if (copy_from_guest(hc, &gfn, (uint64_t)(uintptr_t)r->frame_list.p + hc->progress * 8, 8)) {
            return -EFAULT;
        }
        what.page = first + r->frame + hc->progress;
        rc = foreign_map(hc->d, gfn, &what, NULL);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

long mem_acquire_resource(struct hcall *hc)
{
    struct xen_mem_acquire_resource r;
    uint64_t first, exist;
    struct domain *d;
    int rc;

    if (!hc_is_control(hc)) {
        return -EACCES;    /* translated guests need a hardware domain's rights for it, in Xen */
    }
    if (hc->compat) {
        return hc_enosys(hc, __HYPERVISOR_memory_op, XENMEM_acquire_resource);
    }
    if (copy_from_guest(hc, &r, hc->arg[1], sizeof(r))) {
        return -EFAULT;
    }
    rc = r.pad ? -EINVAL : hc_target(hc, r.domid, &d);
    if (rc) {
        return rc;
    }
    if (d == hc->d || d->host) {
        return -EPERM;    /* its own: Xen has that by other ops */
    }
    if (d->dying) {
        return -ESRCH;
    }
    if (!r.frame_list.p) {
        rc = r.nr_frames ? -EINVAL : resource_frames(d, r.type, r.id, 0, 0, &first, &exist);
        if (rc) {
            return rc;
        }
        r.nr_frames = (uint32_t)exist;
        return copy_to_guest(hc, hc->arg[1], &r, sizeof(r));
    }
    if (hc->d->host) {
        return -EOPNOTSUPP;    /* needs descriptors: a request of wire.h (KW_MAP_RESOURCE) */
    }
    if (r.nr_frames > MAX_FRAMES) {
        return -EINVAL;
    }
    rc = resource_frames(d, r.type, r.id, r.frame, r.nr_frames, &first, &exist);
    return rc ? rc : map_frames(hc, d, &r, first);
}
