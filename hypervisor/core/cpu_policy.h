/* SPDX-License-Identifier: MIT */
/*
 * CPU policies: what CPUID and two MSRs tell a domain. There is one source, the engine's
 * description; host, maximum and default policies are that, a domain's is a subset of it.
 */
#ifndef KR_CORE_CPU_POLICY_H
#define KR_CORE_CPU_POLICY_H

#include "hypervisor/core/core.h"

/* Takes the leaves of a description: known leaves only, each once, in order. */
void cpu_policy_from_leaves(struct cpu_policy *p, const struct kl_cpuid_leaf *leaf, uint32_t nr);
const struct kl_cpuid_leaf *cpu_policy_leaf(const struct cpu_policy *p, uint32_t leaf,
                                            uint32_t subleaf);
/* Xen's CPU featureset, XEN_NR_FEATURESET words of it. */
#define KR_FEATURE_WORDS 14
void cpu_policy_featureset(const struct cpu_policy *p, uint32_t out[KR_FEATURE_WORDS]);

/*
 * Guest buffers of xen_cpuid_leaf_t and xen_msr_entry_t, sizes in and out. 0, -ENOBUFS or -EFAULT.
 */
int cpu_policy_copy_out(struct hcall *hc, const struct cpu_policy *p, uint64_t leaves,
                        uint32_t *nr_leaves, uint64_t msrs, uint32_t *nr_msrs);
/*
 * Overlays what the caller gives on p and cuts it down to max. 0 or -errno; then *err_leaf,
 * *err_subleaf or *err_msr name the culprit.
 */
int cpu_policy_copy_in(struct hcall *hc, struct cpu_policy *p, const struct cpu_policy *max,
                       uint64_t leaves, uint32_t nr_leaves, uint64_t msrs, uint32_t nr_msrs,
                       uint32_t *err_leaf, uint32_t *err_subleaf, uint32_t *err_msr);
/* KL_CPUID. */
void cpu_policy_send(struct domain *d);

#endif
