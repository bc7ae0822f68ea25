/* SPDX-License-Identifier: MIT */
#include "libxenctrl/guest/cpu_policy.h"

#include <stdlib.h>
#include <string.h>

/* A host that claims more than this is not believed. */
#define MAX_ENTRIES 4096

#define MSR_ARCH_CAPABILITIES 0x10a

#define LEAF(leaf, subleaf, reg) { leaf, subleaf, reg, 0 }
#define MSR(msr, half)           { 0, 0, half, msr }

const struct policy_word policy_words[POLICY_FEATURE_WORDS] = {
    [0]  = LEAF(1, XEN_CPUID_NO_SUBLEAF, REG_D),
    [1]  = LEAF(1, XEN_CPUID_NO_SUBLEAF, REG_C),
    [2]  = LEAF(0x80000001, XEN_CPUID_NO_SUBLEAF, REG_D),
    [3]  = LEAF(0x80000001, XEN_CPUID_NO_SUBLEAF, REG_C),
    [4]  = LEAF(0xd, 1, REG_A),
    [5]  = LEAF(7, 0, REG_B),
    [6]  = LEAF(7, 0, REG_C),
    [7]  = LEAF(0x80000007, XEN_CPUID_NO_SUBLEAF, REG_D),
    [8]  = LEAF(0x80000008, XEN_CPUID_NO_SUBLEAF, REG_B),
    [9]  = LEAF(7, 0, REG_D),
    [10] = LEAF(7, 1, REG_A),
    [11] = LEAF(0x80000021, XEN_CPUID_NO_SUBLEAF, REG_A),
    [12] = LEAF(7, 1, REG_B),
    [13] = LEAF(7, 2, REG_D),
    [14] = LEAF(7, 1, REG_C),
    [15] = LEAF(7, 1, REG_D),
    [16] = MSR(MSR_ARCH_CAPABILITIES, REG_A),
    [17] = MSR(MSR_ARCH_CAPABILITIES, REG_D),
    [18] = LEAF(0x80000021, XEN_CPUID_NO_SUBLEAF, REG_C),
};

/* ---- lists ------------------------------------------------------------------------------ */

static int by_leaf(const void *a, const void *b)
{
    const xen_cpuid_leaf_t *x = a, *y = b;

    if (x->leaf != y->leaf) {
        return x->leaf < y->leaf ? -1 : 1;
    }
    return (x->subleaf > y->subleaf) - (x->subleaf < y->subleaf);
}

static int by_index(const void *a, const void *b)
{
    const xen_msr_entry_t *x = a, *y = b;

    return (x->idx > y->idx) - (x->idx < y->idx);
}

xen_cpuid_leaf_t *policy_leaf(const xc_cpu_policy_t *p, uint32_t leaf, uint32_t subleaf)
{
    xen_cpuid_leaf_t key = { .leaf = leaf, .subleaf = subleaf };

    return p->nr_leaves ? bsearch(&key, p->leaves, p->nr_leaves, sizeof(key), by_leaf) : NULL;
}

xen_msr_entry_t *policy_msr(const xc_cpu_policy_t *p, uint32_t index)
{
    xen_msr_entry_t key = { .idx = index };

    return p->nr_msrs ? bsearch(&key, p->msrs, p->nr_msrs, sizeof(key), by_index) : NULL;
}

uint32_t *policy_reg(xen_cpuid_leaf_t *leaf, enum policy_reg reg)
{
    switch (reg) {
    case REG_A:
        return &leaf->a;
    case REG_B:
        return &leaf->b;
    case REG_C:
        return &leaf->c;
    case REG_D:
        break;
    }
    return &leaf->d;
}

void policy_set_word(xc_cpu_policy_t *p, unsigned int word, uint32_t value)
{
    const struct policy_word *w = &policy_words[word];
    xen_cpuid_leaf_t *l = w->msr ? NULL : policy_leaf(p, w->leaf, w->subleaf);
    xen_msr_entry_t *m = w->msr ? policy_msr(p, w->msr) : NULL;

    if (l) {
        *policy_reg(l, w->reg) = value;
    } else if (m && w->reg == REG_D) {
        m->val = (uint64_t)value << 32 | (uint32_t)m->val;
    } else if (m) {
        m->val = (m->val >> 32) << 32 | value;
    }
}

/* Makes room for nr more. */
static int reserve(xc_cpu_policy_t *p, uint32_t leaves, uint32_t msrs)
{
    void *l, *m;

    if (leaves > MAX_ENTRIES - p->nr_leaves || msrs > MAX_ENTRIES - p->nr_msrs) {
        errno = ENOBUFS;
        return -1;
    }
    if (p->nr_leaves + leaves > p->max_leaves) {
        l = realloc(p->leaves, (p->nr_leaves + leaves) * sizeof(*p->leaves));
        if (!l) {
            return -1;
        }
        p->leaves = l;
        p->max_leaves = p->nr_leaves + leaves;
    }
    if (p->nr_msrs + msrs > p->max_msrs) {
        m = realloc(p->msrs, (p->nr_msrs + msrs) * sizeof(*p->msrs));
        if (!m) {
            return -1;
        }
        p->msrs = m;
        p->max_msrs = p->nr_msrs + msrs;
    }
    return 0;
}

static void sort(xc_cpu_policy_t *p)
{
    if (p->nr_leaves) {
        qsort(p->leaves, p->nr_leaves, sizeof(*p->leaves), by_leaf);
    }
    if (p->nr_msrs) {
        qsort(p->msrs, p->nr_msrs, sizeof(*p->msrs), by_index);
    }
}

xc_cpu_policy_t *xc_cpu_policy_init(void)
{
    return calloc(1, sizeof(xc_cpu_policy_t));
}

void xc_cpu_policy_destroy(xc_cpu_policy_t *policy)
{
    if (policy) {
        free(policy->leaves);
        free(policy->msrs);
        free(policy);
    }
}

/* ---- the host's calls ------------------------------------------------------------------- */

/* Fills leaves[*nr_leaves] and msrs[*nr_msrs]; with NULLs says the most that there are of each. */
static int get_system(xc_interface *xch, uint32_t index, xen_cpuid_leaf_t *leaves,
                      uint32_t *nr_leaves, xen_msr_entry_t *msrs, uint32_t *nr_msrs)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(leaves, leaves ? *nr_leaves * sizeof(*leaves) : 0);
    DECLARE_HYPERCALL_BOUNCE_OUT(msrs, msrs ? *nr_msrs * sizeof(*msrs) : 0);
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_get_cpu_policy };
    int rc = -1;

    if (xc_hypercall_bounce_pre(xch, leaves) || xc_hypercall_bounce_pre(xch, msrs)) {
        goto out;
    }
    s.u.cpu_policy.index = index;
    s.u.cpu_policy.nr_leaves = *nr_leaves;
    s.u.cpu_policy.nr_msrs = *nr_msrs;
    set_xen_guest_handle(s.u.cpu_policy.leaves, leaves);
    set_xen_guest_handle(s.u.cpu_policy.msrs, msrs);
    rc = xc_sysctl(xch, &s);
    if (!rc) {
        *nr_leaves = s.u.cpu_policy.nr_leaves;
        *nr_msrs = s.u.cpu_policy.nr_msrs;
    }
 out:
    xc_hypercall_bounce_post(xch, leaves);
    xc_hypercall_bounce_post(xch, msrs);
    return rc;
}

static int get_domain(xc_interface *xch, uint32_t domid, xen_cpuid_leaf_t *leaves,
                      uint32_t *nr_leaves, xen_msr_entry_t *msrs, uint32_t *nr_msrs)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(leaves, *nr_leaves * sizeof(*leaves));
    DECLARE_HYPERCALL_BOUNCE_OUT(msrs, *nr_msrs * sizeof(*msrs));
    struct xen_domctl d = { 0 };
    int rc = -1;

    if (xc_hypercall_bounce_pre(xch, leaves) || xc_hypercall_bounce_pre(xch, msrs)) {
        goto out;
    }
    d.u.cpu_policy.nr_leaves = *nr_leaves;
    d.u.cpu_policy.nr_msrs = *nr_msrs;
    set_xen_guest_handle(d.u.cpu_policy.leaves, leaves);
    set_xen_guest_handle(d.u.cpu_policy.msrs, msrs);
    rc = domctl(xch, &d, XEN_DOMCTL_get_cpu_policy, domid);
    if (!rc) {
        *nr_leaves = d.u.cpu_policy.nr_leaves;
        *nr_msrs = d.u.cpu_policy.nr_msrs;
    }
 out:
    xc_hypercall_bounce_post(xch, leaves);
    xc_hypercall_bounce_post(xch, msrs);
    return rc;
}

int xc_cpu_policy_get_size(xc_interface *xch, uint32_t *nr_leaves, uint32_t *nr_msrs)
{
    *nr_leaves = *nr_msrs = 0;
    return get_system(xch, XEN_SYSCTL_cpu_policy_raw, NULL, nr_leaves, NULL, nr_msrs);
}

/* Empties the policy and makes room for the largest. */
static int prepare(xc_interface *xch, xc_cpu_policy_t *p)
{
    uint32_t leaves, msrs;

    if (xc_cpu_policy_get_size(xch, &leaves, &msrs)) {
        xc_perror(xch, "could not get the size of CPU policies");
        return -1;
    }
    p->nr_leaves = p->nr_msrs = 0;
    return reserve(p, leaves, msrs);
}

int xc_cpu_policy_get_system(xc_interface *xch, unsigned int policy_idx,
                             xc_cpu_policy_t *policy)
{
    uint32_t leaves, msrs;

    if (prepare(xch, policy)) {
        return -1;
    }
    leaves = policy->max_leaves;
    msrs = policy->max_msrs;
    if (get_system(xch, policy_idx, policy->leaves, &leaves, policy->msrs, &msrs)) {
        xc_perror(xch, "could not get the host's CPU policy %u", policy_idx);
        return -1;
    }
    policy->nr_leaves = leaves;
    policy->nr_msrs = msrs;
    sort(policy);
    return 0;
}

int xc_cpu_policy_get_domain(xc_interface *xch, uint32_t domid, xc_cpu_policy_t *policy)
{
    uint32_t leaves, msrs;

    if (prepare(xch, policy)) {
        return -1;
    }
    leaves = policy->max_leaves;
    msrs = policy->max_msrs;
    if (get_domain(xch, domid, policy->leaves, &leaves, policy->msrs, &msrs)) {
        xc_perror(xch, "could not get domain %u's CPU policy", domid);
        return -1;
    }
    policy->nr_leaves = leaves;
    policy->nr_msrs = msrs;
    sort(policy);
    return 0;
}

int xc_set_domain_cpu_policy(xc_interface *xch, uint32_t domid, uint32_t nr_leaves,
                             xen_cpuid_leaf_t *leaves, uint32_t nr_msrs, xen_msr_entry_t *msrs,
                             uint32_t *err_leaf_p, uint32_t *err_subleaf_p, uint32_t *err_msr_p)
{
    DECLARE_HYPERCALL_BOUNCE_IN(leaves, nr_leaves * sizeof(*leaves));
    DECLARE_HYPERCALL_BOUNCE_IN(msrs, nr_msrs * sizeof(*msrs));
    struct xen_domctl d = { .u.cpu_policy = {
        .nr_leaves = nr_leaves, .nr_msrs = nr_msrs,
        .err_leaf = ~0u, .err_subleaf = ~0u, .err_msr = ~0u,
    } };
    int rc = -1;

    if (xc_hypercall_bounce_pre(xch, leaves) || xc_hypercall_bounce_pre(xch, msrs)) {
        goto out;
    }
    set_xen_guest_handle(d.u.cpu_policy.leaves, leaves);
    set_xen_guest_handle(d.u.cpu_policy.msrs, msrs);
    rc = domctl(xch, &d, XEN_DOMCTL_set_cpu_policy, domid);
 out:
    if (err_leaf_p) {
        *err_leaf_p = d.u.cpu_policy.err_leaf;
    }
    if (err_subleaf_p) {
        *err_subleaf_p = d.u.cpu_policy.err_subleaf;
    }
    if (err_msr_p) {
        *err_msr_p = d.u.cpu_policy.err_msr;
    }
    xc_hypercall_bounce_post(xch, leaves);
    xc_hypercall_bounce_post(xch, msrs);
    return rc;
}

int xc_cpu_policy_set_domain(xc_interface *xch, uint32_t domid, xc_cpu_policy_t *policy)
{
    uint32_t leaf, subleaf, msr;

    if (xc_set_domain_cpu_policy(xch, domid, policy->nr_leaves, policy->leaves, policy->nr_msrs,
                                 policy->msrs, &leaf, &subleaf, &msr)) {
        xc_perror(xch, "domain %u's CPU policy was refused (leaf %#x, subleaf %#x, MSR %#x)",
                  domid, leaf, subleaf, msr);
        return -1;
    }
    return 0;
}

/* ---- the hypercalls' form --------------------------------------------------------------- */

int xc_cpu_policy_serialise(xc_interface *xch, const xc_cpu_policy_t *policy,
                            xen_cpuid_leaf_t *leaves, uint32_t *nr_leaves, xen_msr_entry_t *msrs,
                            uint32_t *nr_msrs)
{
    bool fits = (!leaves || *nr_leaves >= policy->nr_leaves) &&
                (!msrs || *nr_msrs >= policy->nr_msrs);

    if (fits && leaves && policy->nr_leaves) {
        memcpy(leaves, policy->leaves, policy->nr_leaves * sizeof(*leaves));
    }
    if (fits && msrs && policy->nr_msrs) {
        memcpy(msrs, policy->msrs, policy->nr_msrs * sizeof(*msrs));
    }
    *nr_leaves = policy->nr_leaves;
    *nr_msrs = policy->nr_msrs;
    if (!fits) {
        xc_error(xch, "no room for %u CPUID leaves and %u MSRs", *nr_leaves, *nr_msrs);
        errno = ENOBUFS;
        return -1;
    }
    return 0;
}

int xc_cpu_policy_update_cpuid(xc_interface *xch, xc_cpu_policy_t *policy,
                               const xen_cpuid_leaf_t *leaves, uint32_t nr)
{
    if (reserve(policy, nr, 0)) {
        xc_perror(xch, "no room for %u more CPUID leaves", nr);
        return -1;
    }
    for (uint32_t i = 0; i < nr; i++) {
        xen_cpuid_leaf_t *l = policy_leaf(policy, leaves[i].leaf, leaves[i].subleaf);

        if (l) {
            *l = leaves[i];
        } else {
            policy->leaves[policy->nr_leaves++] = leaves[i];
            sort(policy);
        }
    }
    return 0;
}

int xc_cpu_policy_update_msrs(xc_interface *xch, xc_cpu_policy_t *policy,
                              const xen_msr_entry_t *msrs, uint32_t nr)
{
    if (reserve(policy, 0, nr)) {
        xc_perror(xch, "no room for %u more MSRs", nr);
        return -1;
    }
    for (uint32_t i = 0; i < nr; i++) {
        xen_msr_entry_t *m = policy_msr(policy, msrs[i].idx);

        if (m) {
            *m = msrs[i];
        } else {
            policy->msrs[policy->nr_msrs++] = msrs[i];
            sort(policy);
        }
    }
    return 0;
}

/* ---- features --------------------------------------------------------------------------- */

uint32_t xc_get_cpu_featureset_size(void)
{
    return POLICY_FEATURE_WORDS;
}

int xc_get_cpu_featureset(xc_interface *xch, uint32_t index, uint32_t *nr_features,
                          uint32_t *featureset)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(featureset, *nr_features * sizeof(*featureset));
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_get_cpu_featureset };
    int rc;

    if (xc_hypercall_bounce_pre(xch, featureset)) {
        return -1;
    }
    s.u.cpu_featureset.index = index;
    s.u.cpu_featureset.nr_features = *nr_features;
    set_xen_guest_handle(s.u.cpu_featureset.features, featureset);
    rc = xc_sysctl(xch, &s);
    xc_hypercall_bounce_post(xch, featureset);
    if (!rc) {
        *nr_features = s.u.cpu_featureset.nr_features;
    }
    return rc;
}

int xc_get_cpu_levelling_caps(xc_interface *xch, uint32_t *caps)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_get_cpu_levelling_caps };
    int rc = xc_sysctl(xch, &s);

    if (!rc) {
        *caps = s.u.cpu_levelling_caps.caps;
    }
    return rc;
}

/* A guest may have none of the leaves above the host's last one, in either range. */
static bool limits_fit(xc_interface *xch, const xc_cpu_policy_t *host,
                       const xc_cpu_policy_t *guest)
{
    static const uint32_t ranges[] = { 0, 0x80000000 };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        const xen_cpuid_leaf_t *h = policy_leaf(host, ranges[i], XEN_CPUID_NO_SUBLEAF);
        const xen_cpuid_leaf_t *g = policy_leaf(guest, ranges[i], XEN_CPUID_NO_SUBLEAF);

        if (g && (!h || g->a > h->a)) {
            xc_error(xch, "the guest's last CPUID leaf is %#x, the host's %#x", g->a,
                     h ? h->a : 0);
            return false;
        }
    }
    return true;
}

bool xc_cpu_policy_is_compatible(xc_interface *xch, xc_cpu_policy_t *host,
                                 xc_cpu_policy_t *guest)
{
    if (!limits_fit(xch, host, guest)) {
        return false;
    }
    for (uint32_t i = 0; i < guest->nr_msrs; i++) {
        if (!policy_msr(host, guest->msrs[i].idx)) {
            xc_error(xch, "the host does not have the guest's MSR %#x", guest->msrs[i].idx);
            return false;
        }
    }
    return true;
}
