/* SPDX-License-Identifier: MIT */
/*
 * CPU pools: a partition of the host's CPUs. A CPU is in one pool or free; a domain is in one pool
 * and its vCPUs run on that pool's CPUs only. Pool 0 is there from the start, with every CPU and
 * domain 0, and never goes away.
 */
#ifndef KR_CORE_CPUPOOL_H
#define KR_CORE_CPUPOOL_H

#include "hypervisor/core/core.h"

struct xen_sysctl_cpupool_op;

struct cpupool {
    struct cpupool *next;        /* core->pools, by rising id */
    uint32_t id;
    cpu_set_t cpus;
    uint32_t n_dom;
    uint32_t ratelimit_us;       /* credit2's; kept and reported */
};

/* Makes pool 0 with all CPUs of core->host. 0 or -ENOMEM. */
int cpupool_init(struct core *core);
void cpupool_free_all(struct core *core);

/* NULL if there is none. Borrowed. */
struct cpupool *cpupool_find(const struct core *core, uint32_t id);
/* A new domain joins: 0, or Xen's -ESRCH (no such pool), -ENODEV (it has no CPU). */
int cpupool_add_domain(struct domain *d, uint32_t id);
void cpupool_remove_domain(struct domain *d);

/* XEN_SYSCTL_cpupool_op. */
long cpupool_sysctl(struct hcall *hc, struct xen_sysctl_cpupool_op *op);

#endif
