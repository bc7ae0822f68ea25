/* SPDX-License-Identifier: MIT */
/*
 * CPU policies as lists of CPUID leaves and MSRs, and the places of Xen's featureset in them.
 * xenguest.h says what the public functions over them do.
 */
#ifndef XG_CPU_POLICY_H
#define XG_CPU_POLICY_H

#include "libxenctrl/ctrl/private.h"

#include <xenguest.h>

/* Ordered by leaf and subleaf, and by index. Room grows as needed. */
struct xc_cpu_policy {
    xen_cpuid_leaf_t *leaves;
    uint32_t nr_leaves, max_leaves;
    xen_msr_entry_t *msrs;
    uint32_t nr_msrs, max_msrs;
};

/* Words of Xen 4.17's featureset (xen/arch-x86/cpufeatureset.h). */
#define POLICY_FEATURE_WORDS 19

enum policy_reg { REG_A, REG_B, REG_C, REG_D };

/* Where a word of the featureset is: in a leaf, or (msr not 0) the low or high half of an MSR. */
struct policy_word {
    uint32_t leaf;
    uint32_t subleaf;
    enum policy_reg reg;
    uint32_t msr;
};

extern const struct policy_word policy_words[POLICY_FEATURE_WORDS];

/* NULL if there is none. Subleaf XEN_CPUID_NO_SUBLEAF for leaves without any. */
xen_cpuid_leaf_t *policy_leaf(const xc_cpu_policy_t *p, uint32_t leaf, uint32_t subleaf);
xen_msr_entry_t *policy_msr(const xc_cpu_policy_t *p, uint32_t index);

/* The register of a leaf. */
uint32_t *policy_reg(xen_cpuid_leaf_t *leaf, enum policy_reg reg);

/* Sets a word of the featureset, if the policy has the leaf or MSR that it is in. */
void policy_set_word(xc_cpu_policy_t *p, unsigned int word, uint32_t value);

#endif
