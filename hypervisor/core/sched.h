/* SPDX-License-Identifier: MIT */
/*
 * Scheduling as the core has a say in it: which host CPUs a vCPU's thread may use. How much of them
 * a domain gets is cpu_share.h's; the host's own scheduler runs the threads.
 */
#ifndef KR_CORE_SCHED_H
#define KR_CORE_SCHED_H

#include "hypervisor/core/domain.h"

/* Where v may run now: its hard affinity within its domain's pool. Never empty. */
void sched_effective(const struct vcpu *v, cpu_set_t *set);
/* Tells the host, once the vCPU has a thread; what is in effect already is not told again. */
void sched_apply_affinity(struct vcpu *v);
void sched_apply_all(struct domain *d);
/* Is that a thread of d's process? (The number comes from the process, which may lie.) */
bool sched_is_thread(const struct domain *d, int32_t tid);
/* The host CPU that a thread of d's process last ran on; 0 if it is none of them. */
uint32_t sched_last_cpu(const struct domain *d, int32_t tid);

/* The CPUs of d's pool have changed. As in Xen, an affinity that has none of them left is dropped. */
void sched_pool_changed(struct domain *d);
/* d is in another pool: another scheduler, in which it has the default parameters. */
void sched_pool_moved(struct domain *d);

#endif
