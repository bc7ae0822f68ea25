/* SPDX-License-Identifier: MIT */
/*
 * Scheduling as the core has a say in it: which host CPUs a vCPU's thread may use. Weights and caps
 * are kept and reported; the host's own scheduler runs the threads.
 */
#ifndef KR_CORE_SCHED_H
#define KR_CORE_SCHED_H

#include "hypervisor/core/domain.h"

void sched_host_cpus(const struct core *core, cpu_set_t *set);
/* Applies v->hard to the vCPU's thread, once it has one. 0 or -errno. */
int sched_apply_affinity(struct vcpu *v);
/* The host CPU that a thread of d's process last ran on; 0 if it is none of them. */
uint32_t sched_last_cpu(const struct domain *d, int32_t tid);
/* For every vCPU that is not free to run anywhere; the threads exist from KL_READY on. */
void sched_apply_all(struct domain *d);

#endif
