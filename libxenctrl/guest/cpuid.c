/* SPDX-License-Identifier: MIT */
/* A new domain's CPU policy: the default, levelled and changed as its configuration says. */
#include "libxenctrl/guest/cpu_policy.h"

#include <stdlib.h>
#include <string.h>

/* Features that have switches of their own. */
#define LEAF1_EDX_PAE        (1u << 6)
#define LEAF1_ECX_VMX        (1u << 5)
#define EXT1_ECX_SVM         (1u << 2)
#define EXT7_EDX_ITSC        (1u << 8)

/* The policies that a change may refer to. */
struct sources {
    xc_cpu_policy_t *cur;     /* being made */
    xc_cpu_policy_t *def;     /* Xen's default for this kind of guest */
    xc_cpu_policy_t *host;
};

static void set_bits(xc_cpu_policy_t *p, uint32_t leaf, enum policy_reg reg, uint32_t bits,
                     bool on)
{
    xen_cpuid_leaf_t *l = policy_leaf(p, leaf, XEN_CPUID_NO_SUBLEAF);

    if (l) {
        uint32_t *r = policy_reg(l, reg);

        *r = on ? *r | bits : *r & ~bits;
    }
}

/* Words beyond those that the caller gave are off: the other host did not know them. */
static void apply_featureset(xc_cpu_policy_t *p, const uint32_t *featureset, unsigned int nr)
{
    for (unsigned int i = 0; i < POLICY_FEATURE_WORDS; i++) {
        policy_set_word(p, i, i < nr ? featureset[i] : 0);
    }
}

/* Bit `bit` of a text of `len` characters, most significant first, applied to a number. */
static int apply_char(char c, uint64_t *value, uint64_t bit, uint64_t def, uint64_t host)
{
    bool on;

    switch (c) {
    case '1':
        on = true;
        break;
    case '0':
        on = false;
        break;
    case 'x':
        on = def & bit;
        break;
    case 'k':
    case 's':
        on = host & bit;
        break;
    default:
        errno = EINVAL;
        return -1;
    }
    *value = on ? *value | bit : *value & ~bit;
    return 0;
}

static int apply_text(const char *text, unsigned int len, uint64_t *value, uint64_t def,
                      uint64_t host)
{
    if (strlen(text) != len) {
        errno = EINVAL;
        return -1;
    }
    for (unsigned int i = 0; i < len; i++) {
        if (apply_char(text[i], value, 1ull << (len - 1 - i), def, host)) {
            return -1;
        }
    }
    return 0;
}

static int apply_leaf(xc_interface *xch, const struct sources *s,
                      const struct xc_xend_cpuid *change)
{
    xen_cpuid_leaf_t none = { 0 };
    uint32_t subleaf = change->subleaf;
    xen_cpuid_leaf_t *cur = policy_leaf(s->cur, change->leaf, subleaf);
    xen_cpuid_leaf_t *def = policy_leaf(s->def, change->leaf, subleaf);
    xen_cpuid_leaf_t *host = policy_leaf(s->host, change->leaf, subleaf);

    if (!cur) {
        xc_error(xch, "CPUID leaf %#x subleaf %#x cannot be changed: the host does not have it",
                 change->leaf, subleaf);
        errno = EINVAL;
        return -1;
    }
    for (enum policy_reg r = REG_A; r <= REG_D; r++) {
        uint64_t value = *policy_reg(cur, r);

        if (!change->policy[r]) {
            continue;
        }
        if (apply_text(change->policy[r], 32, &value, *policy_reg(def ? def : &none, r),
                       *policy_reg(host ? host : &none, r))) {
            xc_error(xch, "bad change of CPUID leaf %#x: \"%s\"", change->leaf,
                     change->policy[r]);
            return -1;
        }
        *policy_reg(cur, r) = (uint32_t)value;
    }
    return 0;
}

static int apply_msr(xc_interface *xch, const struct sources *s, const struct xc_msr *change)
{
    xen_msr_entry_t none = { 0 };
    xen_msr_entry_t *cur = policy_msr(s->cur, change->index);
    xen_msr_entry_t *def = policy_msr(s->def, change->index);
    xen_msr_entry_t *host = policy_msr(s->host, change->index);

    if (!cur) {
        xc_error(xch, "MSR %#x cannot be changed: the host does not have it", change->index);
        errno = EINVAL;
        return -1;
    }
    if (strnlen(change->policy, sizeof(change->policy)) != 64 ||
        apply_text(change->policy, 64, &cur->val, (def ? def : &none)->val,
                   (host ? host : &none)->val)) {
        xc_error(xch, "bad change of MSR %#x", change->index);
        errno = EINVAL;
        return -1;
    }
    return 0;
}

static int apply_changes(xc_interface *xch, const struct sources *s,
                         const struct xc_xend_cpuid *xend, const struct xc_msr *msr)
{
    for (; xend && xend->leaf != XEN_CPUID_INPUT_UNUSED; xend++) {
        if (apply_leaf(xch, s, xend)) {
            return -1;
        }
    }
    for (; msr && msr->index != XC_MSR_INPUT_UNUSED; msr++) {
        if (apply_msr(xch, s, msr)) {
            return -1;
        }
    }
    return 0;
}

static int get_sources(xc_interface *xch, bool hvm, const struct sources *s)
{
    uint32_t def = hvm ? XEN_SYSCTL_cpu_policy_hvm_default : XEN_SYSCTL_cpu_policy_pv_default;

    if (!s->cur || !s->def || !s->host) {
        errno = ENOMEM;
        xc_error(xch, "no memory for a CPU policy");
        return -1;
    }
    if (xc_cpu_policy_get_system(xch, def, s->cur) || xc_cpu_policy_get_system(xch, def, s->def) ||
        xc_cpu_policy_get_system(xch, XEN_SYSCTL_cpu_policy_host, s->host)) {
        return -1;
    }
    return 0;
}

int xc_cpuid_apply_policy(xc_interface *xch, uint32_t domid, bool restore,
                          const uint32_t *featureset, unsigned int nr_features, bool pae,
                          bool itsc, bool nested_virt, const struct xc_xend_cpuid *xend,
                          const struct xc_msr *msr)
{
    struct sources s = {
        xc_cpu_policy_init(), xc_cpu_policy_init(), xc_cpu_policy_init(),
    };
    xc_dominfo_t info;
    int rc = -1, saved;

    if (get_dominfo(xch, domid, &info)) {
        xc_perror(xch, "could not get domain %u's state", domid);
        goto out;
    }
    if (get_sources(xch, info.hvm, &s)) {
        goto out;
    }
    if (featureset) {
        apply_featureset(s.cur, featureset, nr_features);
    } else {
        if (itsc) {
            set_bits(s.cur, 0x80000007, REG_D, EXT7_EDX_ITSC, true);
        }
        if (info.hvm && !pae) {
            set_bits(s.cur, 1, REG_D, LEAF1_EDX_PAE, false);
        }
        if (info.hvm && !nested_virt) {
            set_bits(s.cur, 1, REG_C, LEAF1_ECX_VMX, false);
            set_bits(s.cur, 0x80000001, REG_C, EXT1_ECX_SVM, false);
        }
    }
    if (!apply_changes(xch, &s, xend, msr)) {
        rc = xc_cpu_policy_set_domain(xch, domid, s.cur);
    }
 out:
    saved = errno;
    xc_cpu_policy_destroy(s.cur);
    xc_cpu_policy_destroy(s.def);
    xc_cpu_policy_destroy(s.host);
    errno = saved;
    return rc;
}
