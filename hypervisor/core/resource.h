/* SPDX-License-Identifier: MIT */
/*
 * Resources of a domain that others may map: grant tables, the pages of I/O request servers. All lie
 * in the domain's Xen-owned memfd. And other domains' frames in one's own p2m.
 */
#ifndef KR_CORE_RESOURCE_H
#define KR_CORE_RESOURCE_H

#include "hypervisor/core/core.h"

/* How many frames a resource (XENMEM_resource_*, id) has: 0 or Xen's -errno (none: -EINVAL). */
int resource_size(const struct domain *d, uint32_t type, uint32_t id, uint64_t *frames);
/*
 * Makes frames [frame, frame + nr) exist, nr > 0, for domain `by`. *page: where the first one lies in
 * the memfd. 0 or Xen's -errno.
 */
int resource_acquire(struct domain *d, domid_t by, uint32_t type, uint32_t id, uint64_t frame,
                     uint64_t nr, uint64_t *page);

/* XENMEM_acquire_resource: of a host client the size only, of a guest also maps into its p2m. */
long mem_acquire_resource(struct hcall *hc);

/* XENMAPSPACE_gmfn_foreign: frame `idx` of domain `from` at d's gfn. 0 or -errno as Xen has it. */
int mem_map_foreign(struct hcall *hc, struct domain *d, domid_t from, uint64_t idx, uint64_t gfn);

#endif
