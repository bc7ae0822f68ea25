/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/cpu_policy.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xen/arch-x86/xen.h>

#include "hypervisor/core/domain.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/guest_access.h"

#define NO_SUBLEAF XEN_CPUID_NO_SUBLEAF
#define HV_LEAF    0x40000000u
#define HV2_LEAF   0x40000100u
#define EXT_LEAF   0x80000000u
#define MSR_PLATFORM_INFO 0xceu
#define MSR_ARCH_CAPS     0x10au
#define PLATFORM_CPUID_FAULTING (1ull << 31)
#define NR_MSRS    2

/* The leaves that a policy holds, with the number of subleaves (0: none), as Xen 4.17's does. */
static const struct { uint32_t first, last, subleaves; } known[] = {
    { 0x0, 0x3, 0 },
    { 0x4, 0x4, 6 },
    { 0x5, 0x6, 0 },
    { 0x7, 0x7, 2 },
    { 0x8, 0xa, 0 },
    { 0xb, 0xb, 2 },
    { 0xc, 0xc, 0 },
    { 0xd, 0xd, 63 },
    { HV_LEAF, HV_LEAF, 0 },
    { HV2_LEAF, HV2_LEAF, 0 },
    { EXT_LEAF, EXT_LEAF + 0x22, 0 },
};

static bool is_known(uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < KR_ARRAY_SIZE(known); i++) {
        if (leaf >= known[i].first && leaf <= known[i].last) {
            return known[i].subleaves ? subleaf < known[i].subleaves : subleaf == NO_SUBLEAF;
        }
    }
    return false;
}

static bool has_subleaves(uint32_t leaf)
{
    return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd;
}

static int order(const struct kl_cpuid_leaf *a, uint32_t leaf, uint32_t subleaf)
{
    if (a->leaf != leaf) {
        return a->leaf < leaf ? -1 : 1;
    }
    return a->subleaf < subleaf ? -1 : a->subleaf > subleaf;
}

/* Puts a leaf in its place; false when the policy is full. */
static bool put(struct cpu_policy *p, const struct kl_cpuid_leaf *l)
{
    uint32_t i = 0;

    while (i < p->nr && order(&p->leaf[i], l->leaf, l->subleaf) < 0) {
        i++;
    }
    if (i < p->nr && order(&p->leaf[i], l->leaf, l->subleaf) == 0) {
        p->leaf[i] = *l;
        return true;
    }
    if (p->nr == KR_MAX_LEAVES) {
        return false;
    }
    memmove(&p->leaf[i + 1], &p->leaf[i], (p->nr - i) * sizeof(p->leaf[0]));
    p->leaf[i] = *l;
    p->nr++;
    return true;
}

const struct kl_cpuid_leaf *cpu_policy_leaf(const struct cpu_policy *p, uint32_t leaf,
                                            uint32_t subleaf)
{
    for (uint32_t i = 0; i < p->nr; i++) {
        if (order(&p->leaf[i], leaf, subleaf) == 0) {
            return &p->leaf[i];
        }
    }
    return NULL;
}

void cpu_policy_from_leaves(struct cpu_policy *p, const struct kl_cpuid_leaf *leaf, uint32_t nr)
{
    memset(p, 0, sizeof(*p));
    for (uint32_t i = 0; i < nr; i++) {
        struct kl_cpuid_leaf l = leaf[i];

        if (!has_subleaves(l.leaf)) {
            l.subleaf = NO_SUBLEAF;
        }
        if (is_known(l.leaf, l.subleaf) && (l.leaf & 0xf0000000u) != HV_LEAF) {
            put(p, &l);
        }
    }
    /*
     * How many hypervisor leaves there are is settled by the domain's process; 0 means its default.
     */
    put(p, &(struct kl_cpuid_leaf){ .leaf = HV_LEAF, .subleaf = NO_SUBLEAF });
    put(p, &(struct kl_cpuid_leaf){ .leaf = HV2_LEAF, .subleaf = NO_SUBLEAF });
}

/* Where each word of a featureset lies (cpufeatureset.h): leaf, subleaf, register. */
static const struct feature_word { uint32_t leaf, subleaf; char reg; } words[KR_FEATURE_WORDS] = {
    { 0x1, NO_SUBLEAF, 'd' },        { 0x1, NO_SUBLEAF, 'c' },
    { 0x80000001, NO_SUBLEAF, 'd' }, { 0x80000001, NO_SUBLEAF, 'c' },
    { 0xd, 1, 'a' },                 { 0x7, 0, 'b' },
    { 0x7, 0, 'c' },                 { 0x80000007, NO_SUBLEAF, 'd' },
    { 0x80000008, NO_SUBLEAF, 'b' }, { 0x7, 0, 'd' },
    { 0x7, 1, 'a' },                 { 0x80000021, NO_SUBLEAF, 'a' },
    { 0x7, 1, 'b' },                 { 0x7, 2, 'd' },
};

static uint32_t *reg_of(struct kl_cpuid_leaf *l, char reg)
{
    return reg == 'a' ? &l->a : reg == 'b' ? &l->b : reg == 'c' ? &l->c : &l->d;
}

void cpu_policy_featureset(const struct cpu_policy *p, uint32_t out[KR_FEATURE_WORDS])
{
    for (unsigned i = 0; i < KR_FEATURE_WORDS; i++) {
        const struct kl_cpuid_leaf *l = cpu_policy_leaf(p, words[i].leaf, words[i].subleaf);
        struct kl_cpuid_leaf copy = l ? *l : (struct kl_cpuid_leaf){ 0 };

        out[i] = *reg_of(&copy, words[i].reg);
    }
}

int cpu_policy_copy_out(struct hcall *hc, const struct cpu_policy *p, uint64_t leaves,
                        uint32_t *nr_leaves, uint64_t msrs, uint32_t *nr_msrs)
{
    const struct xen_msr_entry e[NR_MSRS] = {
        { .idx = MSR_PLATFORM_INFO, .val = p->platform_info },
        { .idx = MSR_ARCH_CAPS, .val = p->arch_caps },
    };

    /* A null buffer asks for the size. */
    if ((leaves && *nr_leaves < p->nr) || (msrs && *nr_msrs < NR_MSRS)) {
        return -ENOBUFS;
    }
    if (leaves && copy_to_guest(hc, leaves, p->leaf, p->nr * sizeof(p->leaf[0]))) {
        return -EFAULT;
    }
    if (msrs && copy_to_guest(hc, msrs, e, sizeof(e))) {
        return -EFAULT;
    }
    *nr_leaves = leaves ? p->nr : KR_MAX_LEAVES;
    *nr_msrs = NR_MSRS;
    return 0;
}

/* No feature beyond the maximum, and no leaf beyond its last. */
static void cut_down(struct cpu_policy *p, const struct cpu_policy *max)
{
    for (unsigned i = 0; i < KR_FEATURE_WORDS; i++) {
        const struct kl_cpuid_leaf *m = cpu_policy_leaf(max, words[i].leaf, words[i].subleaf);
        struct kl_cpuid_leaf *l = (struct kl_cpuid_leaf *)(uintptr_t)
                                  cpu_policy_leaf(p, words[i].leaf, words[i].subleaf);
        struct kl_cpuid_leaf top = m ? *m : (struct kl_cpuid_leaf){ 0 };

        if (l) {
            *reg_of(l, words[i].reg) &= *reg_of(&top, words[i].reg);
        }
    }
}

static int check_limits(const struct cpu_policy *p, const struct cpu_policy *max,
                        uint32_t *err_leaf)
{
    static const uint32_t limit[] = { 0, EXT_LEAF };

    for (unsigned i = 0; i < KR_ARRAY_SIZE(limit); i++) {
        const struct kl_cpuid_leaf *l = cpu_policy_leaf(p, limit[i], NO_SUBLEAF);
        const struct kl_cpuid_leaf *m = cpu_policy_leaf(max, limit[i], NO_SUBLEAF);

        if (l && m && l->a > m->a) {
            *err_leaf = limit[i];
            return -EINVAL;
        }
    }
    return 0;
}

int cpu_policy_copy_in(struct hcall *hc, struct cpu_policy *p, const struct cpu_policy *max,
                       uint64_t leaves, uint32_t nr_leaves, uint64_t msrs, uint32_t nr_msrs,
                       uint32_t *err_leaf, uint32_t *err_subleaf, uint32_t *err_msr)
{
    struct cpu_policy *new = malloc(sizeof(*new));
    int rc = 0;

    *err_leaf = *err_subleaf = *err_msr = UINT32_MAX;
    if (!new) {
        return -ENOMEM;
    }
    *new = *p;
    if (nr_leaves > 1024 || nr_msrs > 64) {
        rc = -E2BIG;
    }
    for (uint32_t i = 0; i < nr_leaves && !rc; i++) {
        struct kl_cpuid_leaf l;

        if (copy_from_guest(hc, &l, leaves + i * sizeof(l), sizeof(l))) {
            rc = -EFAULT;
        } else if (!is_known(l.leaf, l.subleaf) || !put(new, &l)) {
            *err_leaf = l.leaf;
            *err_subleaf = l.subleaf;
            rc = -ERANGE;
        }
    }
    for (uint32_t i = 0; i < nr_msrs && !rc; i++) {
        struct xen_msr_entry e;

        if (copy_from_guest(hc, &e, msrs + i * sizeof(e), sizeof(e))) {
            rc = -EFAULT;
        } else if (e.flags || (e.idx != MSR_PLATFORM_INFO && e.idx != MSR_ARCH_CAPS)) {
            *err_msr = e.idx;
            rc = e.flags ? -EINVAL : -ERANGE;
        } else if (e.idx == MSR_PLATFORM_INFO
                       ? e.val & ~(max->platform_info | PLATFORM_CPUID_FAULTING)
                       : e.val & ~max->arch_caps) {
            *err_msr = e.idx;
            rc = -EOVERFLOW;
        } else {
            *(e.idx == MSR_PLATFORM_INFO ? &new->platform_info : &new->arch_caps) = e.val;
        }
    }
    rc = rc ? rc : check_limits(new, max, err_leaf);
    if (!rc) {
        cut_down(new, max);
        *p = *new;
    }
    free(new);
    return rc;
}

void cpu_policy_send(struct domain *d)
{
    const struct cpu_policy *p = d->policy;
    size_t len = sizeof(struct kl_cpuid) + p->nr * sizeof(p->leaf[0]);
    struct kl_cpuid *m = calloc(1, len);

    if (!m) {
        domproc_kill(d, "out of memory for its CPU policy");
        return;
    }
    m->nr = p->nr;
    m->arch_caps = p->arch_caps;
    memcpy(m->leaf, p->leaf, p->nr * sizeof(p->leaf[0]));
    domproc_send_control(d, KL_CPUID, m, len, NULL, 0);
    free(m);
}
