/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/resource.h"

#include <errno.h>

#include <xen/memory.h>

#include "hypervisor/core/domain.h"
#include "hypervisor/core/foreign.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/ioreq.h"

#define MAX_FRAMES (UINT32_MAX >> 6)    /* what a continuation could count (MEMOP_EXTENT_SHIFT) */
#define FRAMES_PER_SLICE 512

static uint64_t grant_frames(const struct grant_table *gt, uint32_t id)
{
    switch (id) {
    case XENMEM_resource_grant_table_id_shared:
        return gt->max_frames;
    case XENMEM_resource_grant_table_id_status:
        return gt->version != 2 ? 0 : ((uint64_t)gt->max_frames * GNT_V2_PER_FRAME +
                                       GNT_STATUS_PER_FRAME - 1) / GNT_STATUS_PER_FRAME;
    default:
        return 0;
    }
}

int resource_size(const struct domain *d, uint32_t type, uint32_t id, uint64_t *frames)
{
    switch (type) {
    case XENMEM_resource_ioreq_server:
        *frames = ioreq_resource_size(d);
        break;
    case XENMEM_resource_grant_table:
        *frames = grant_frames(&d->gt, id);
        break;
    case XENMEM_resource_vmtrace_buf:
        *frames = 0;    /* no domain is made with one: createdomain refuses vmtrace_size */
        break;
    default:
        return -EOPNOTSUPP;
    }
    return *frames ? 0 : -EINVAL;
}

int resource_acquire(struct domain *d, domid_t by, uint32_t type, uint32_t id, uint64_t frame,
                     uint64_t nr, uint64_t *page)
{
    uint64_t frames, end;
    int rc = resource_size(d, type, id, &frames);

    if (rc) {
        return rc;
    }
    if (__builtin_add_overflow(frame, nr, &end) || end > frames) {
        return -EINVAL;
    }
    if (type == XENMEM_resource_ioreq_server) {
        rc = ioreq_resource(d, by, id, frame, nr, page);
    } else if (id == XENMEM_resource_grant_table_id_shared) {
        *page = KL_XEN_GRANT_FRAMES;
        rc = gnt_grow(d, (uint32_t)end);
    } else {
        *page = KL_XEN_STATUS_FRAMES;
        rc = gnt_grow_status(d, (uint32_t)end);
    }
    if (rc) {
        return rc;
    }
    *page += frame;
    return 0;
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
    if (!p2m_is_ram(e.type) && e.type != P2M_XEN) {
        return -EINVAL;    /* nothing there, or itself somebody else's */
    }
    what.mem = e.type == P2M_XEN ? FOREIGN_XEN : FOREIGN_RAM;
    what.readonly = e.type == P2M_RAM_RO;
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
        what.page = first + hc->progress;
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
    uint64_t first, frames;
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
        rc = r.nr_frames ? -EINVAL : resource_size(d, r.type, r.id, &frames);
        if (rc) {
            return rc;
        }
        r.nr_frames = (uint32_t)frames;
        return copy_to_guest(hc, hc->arg[1], &r, sizeof(r));
    }
    if (hc->d->host) {
        return -EOPNOTSUPP;    /* needs descriptors: a request of wire.h (KW_MAP_RESOURCE) */
    }
    if (r.nr_frames > MAX_FRAMES) {
        return -EINVAL;
    }
    if (!r.nr_frames) {
        return 0;
    }
    rc = resource_acquire(d, hc->d->domid, r.type, r.id, r.frame, r.nr_frames, &first);
    return rc ? rc : map_frames(hc, d, &r, first);
}
