/* SPDX-License-Identifier: MIT */
/* Memory that is mapped by other names than frame numbers, and other domains' frames in one's own p2m. */
#ifndef KR_CORE_RESOURCE_H
#define KR_CORE_RESOURCE_H

#include "hypervisor/core/core.h"

/*
 * A resource of d (XENMEM_resource_*): frames [frame, frame + nr) of it are made to exist. Returns 0
 * with *first, the Xen-owned page of its frame 0, and *exist, how many frames it can have; nr 0 asks
 * for that alone. -EOPNOTSUPP: no such type; -EINVAL: no such id or frames.
 */
int resource_frames(struct domain *d, uint32_t type, uint32_t id, uint64_t frame, uint64_t nr,
                    uint64_t *first, uint64_t *exist);

/* XENMEM_acquire_resource: of a host client the size only, of a guest also maps into its p2m. */
long mem_acquire_resource(struct hcall *hc);

/* XENMAPSPACE_gmfn_foreign: frame `idx` of domain `from` at d's gfn. 0 or -errno as Xen has it. */
int mem_map_foreign(struct hcall *hc, struct domain *d, domid_t from, uint64_t idx, uint64_t gfn);

#endif
