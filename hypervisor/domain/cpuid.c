/* SPDX-License-Identifier: MIT */
/*
 * CPUID as the guest sees it: the domain's policy, the bits in it that depend on the vCPU and its
 * control registers, and Xen's own leaves (arch-x86/cpuid.h).
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xen/arch-x86/cpuid.h>

#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/lapic.h"
#include "hypervisor/domain/time.h"

#define NO_SUBLEAF      0xffffffffu
#define XEN_LEAVES      4               /* 0x40000001 to 0x40000004 */
#define XEN_VERSION     (4u << 16 | 17)
#define HYPERCALL_MSR   0x40000000u
#define TSC_RELIABLE    (1u << 1)
#define TSC_RDTSCP      (1u << 2)
#define L1_ECX_OSXSAVE  (1u << 27)
#define L1_ECX_HYPERVISOR (1u << 31)
#define L1_EDX_APIC     (1u << 9)
#define L7_ECX_OSPKE    (1u << 4)
#define CR4_OSXSAVE     (1u << 18)
#define CR4_PKE         (1u << 22)

static int compare(const void *a, const void *b)
{
    const struct kl_cpuid_leaf *x = a, *y = b;

    if (x->leaf != y->leaf) {
        return x->leaf < y->leaf ? -1 : 1;
    }
    return x->subleaf < y->subleaf ? -1 : x->subleaf > y->subleaf;
}

int cpuid_set_policy(struct machine *m, const struct kl_cpuid_leaf *leaf, unsigned nr)
{
    uint32_t vendor[4];

    if (nr > KL_MAX_CPUID) {
        errno = EINVAL;
        return -1;
    }
    m->nr_cpuid = 0;
    for (unsigned i = 0; i < nr; i++) {
        /* The range of hypervisors is answered here, whatever limits a toolstack stored for it. */
        if (leaf[i].leaf >> 16 != 0x4000) {
            m->cpuid[m->nr_cpuid++] = leaf[i];
        }
    }
    qsort(m->cpuid, m->nr_cpuid, sizeof(*m->cpuid), compare);
    cpuid_read(m, 0, 0, 0, vendor);
    m->amd = vendor[1] == 0x68747541 /* "Auth" */ || vendor[1] == 0x6f677948 /* "Hygo" */;
    return 0;
}

static const struct kl_cpuid_leaf *find(const struct machine *m, uint32_t leaf, uint32_t subleaf)
{
    unsigned lo = 0, hi = m->nr_cpuid;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        const struct kl_cpuid_leaf *l = &m->cpuid[mid];

        if (l->leaf == leaf && (l->subleaf == subleaf || l->subleaf == NO_SUBLEAF)) {
            return l;
        }
        if (l->leaf < leaf || (l->leaf == leaf && l->subleaf < subleaf)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

static unsigned bits_for(unsigned n)
{
    return n > 1 ? 32 - (unsigned)__builtin_clz(n - 1) : 0;
}

/* Extended topology: no threads (APIC ids are even, so one bit is theirs), nr_vcpus cores. */
static void topology(const struct machine *m, unsigned vcpu, uint32_t subleaf, uint32_t out[4])
{
    out[0] = subleaf == 0 ? 1 : subleaf == 1 ? bits_for(m->nr_vcpus) + 1 : 0;
    out[1] = subleaf == 0 ? 1 : subleaf == 1 ? m->nr_vcpus : 0;
    out[2] = (subleaf & 0xff) | (subleaf == 0 ? 1u << 8 : subleaf == 1 ? 2u << 8 : 0);
    out[3] = lapic_id(vcpu);
}

static void xen_leaf(const struct machine *m, unsigned vcpu, uint32_t leaf, uint32_t subleaf,
                     uint32_t out[4])
{
    const struct vcpu *v = &m->vcpu[vcpu];

    switch (leaf) {
    case XEN_CPUID_LEAF(0):
        out[0] = XEN_CPUID_LEAF(XEN_LEAVES);
        out[1] = XEN_CPUID_SIGNATURE_EBX;
        out[2] = XEN_CPUID_SIGNATURE_ECX;
        out[3] = XEN_CPUID_SIGNATURE_EDX;
        break;
    case XEN_CPUID_LEAF(1):
        out[0] = XEN_VERSION;
        break;
    case XEN_CPUID_LEAF(2):
        out[0] = 1;
        out[1] = HYPERCALL_MSR;
        break;
    case XEN_CPUID_LEAF(3):
        if (subleaf == 0) {
            out[0] = TSC_RELIABLE | TSC_RDTSCP;
            out[2] = m->tsc_khz;
        } else if (subleaf == 1) {
            out[0] = (uint32_t)v->tsc_offset;
            out[1] = (uint32_t)(v->tsc_offset >> 32);
            out[2] = m->clock.mul;
            out[3] = (uint32_t)(int32_t)m->clock.shift;
        } else if (subleaf == 2) {
            out[0] = m->tsc_khz;
        }
        break;
    case XEN_CPUID_LEAF(4):
        if (subleaf == 0) {
            out[0] = XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT |
                     XEN_HVM_CPUID_UPCALL_VECTOR;
            out[1] = vcpu;
            out[2] = m->domid;
        }
        break;
    }
}

/* The bits of a policy leaf that are the vCPU's own. */
static void dynamic(struct machine *m, unsigned vcpu, uint32_t leaf, uint32_t subleaf,
                    uint32_t out[4])
{
    struct vcpu *v = &m->vcpu[vcpu];
    uint64_t cr0, cr3, cr4, efer;

    switch (leaf) {
    case 1:
        m->ops->paging(v->ev, &cr0, &cr3, &cr4, &efer);
        out[1] = (out[1] & 0x00ffffff) | lapic_id(vcpu) << 24;
        out[2] = (out[2] & ~L1_ECX_OSXSAVE) | L1_ECX_HYPERVISOR |
                 (cr4 & CR4_OSXSAVE ? L1_ECX_OSXSAVE : 0);
        out[3] = (out[3] & ~L1_EDX_APIC) | (lapic_enabled(v) ? L1_EDX_APIC : 0);
        break;
    case 7:
        m->ops->paging(v->ev, &cr0, &cr3, &cr4, &efer);
        if (subleaf == 0) {
            out[2] = (out[2] & ~L7_ECX_OSPKE) | (cr4 & CR4_PKE ? L7_ECX_OSPKE : 0);
        }
        break;
    case 0x8000001e:
        out[0] = lapic_id(vcpu);
        out[1] = (out[1] & ~0xffu) | (vcpu & 0xff);
        break;
    }
}

void cpuid_read(void *opaque, unsigned vcpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    struct machine *m = opaque;
    const struct kl_cpuid_leaf *max, *l;

    memset(out, 0, 4 * sizeof(*out));
    if (leaf >> 16 == 0x4000) {
        xen_leaf(m, vcpu, leaf, subleaf, out);
        return;
    }
    max = find(m, leaf & 0x80000000u, 0);
    if (!max || leaf > max->a) {
        return;
    }
    if (leaf == 0xb) {
        topology(m, vcpu, subleaf, out);
        return;
    }
    l = find(m, leaf, subleaf);
    if (l) {
        out[0] = l->a;
        out[1] = l->b;
        out[2] = l->c;
        out[3] = l->d;
        dynamic(m, vcpu, leaf, subleaf, out);
    }
}
