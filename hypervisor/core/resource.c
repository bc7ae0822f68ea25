/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/resource.h"

#include <errno.h>

#include <xen/memory.h>

#include "hypervisor/core/domain.h"
#include "hypervisor/core/ioreq.h"

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
    *page += frame;
    return rc;
}
