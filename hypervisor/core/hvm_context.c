/* SPDX-License-Identifier: MIT */
/*
 * A domain's machine state in Xen's save format (hvm/save.h): records of a descriptor and a body, a
 * header first and an end last. Both directions go through the state area, which the domain's
 * process writes; a stream to be loaded comes from a file or another host. Neither is believed.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xen/hvm/save.h>

#include "common/log.h"
#include "hypervisor/core/cpu_policy.h"
#include "hypervisor/core/domctl.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"

#define MAX_STREAM (1u << 20)

/*
 * Control register bits that a loadable state may have (Intel SDM vol. 3, 2.5), and must not mix.
 */
#define CR0_PE 1ull
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)
#define CR4_PAE (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_KNOWN (1ull | EFER_LME | EFER_LMA | 1ull << 11 | 1ull << 12 | 1ull << 13 | 1ull << 14)

/* Per-vCPU records: where they lie in kl_vcpu_state, and which part of a context they are. */
static const struct record {
    uint16_t code;
    uint16_t length;
    uint32_t offset, load;
} records[] = {
    { HVM_SAVE_CODE(CPU), HVM_SAVE_LENGTH(CPU), offsetof(struct kl_vcpu_state, cpu), KL_LOAD_CPU },
    { HVM_SAVE_CODE(LAPIC), HVM_SAVE_LENGTH(LAPIC), offsetof(struct kl_vcpu_state, lapic),
      KL_LOAD_LAPIC },
    { HVM_SAVE_CODE(LAPIC_REGS), HVM_SAVE_LENGTH(LAPIC_REGS),
      offsetof(struct kl_vcpu_state, lapic_regs), KL_LOAD_LAPIC_REGS },
    { HVM_SAVE_CODE(MTRR), HVM_SAVE_LENGTH(MTRR), offsetof(struct kl_vcpu_state, mtrr),
      KL_LOAD_MTRR },
};

struct stream { uint8_t *data; size_t len, size; };

static void put_record(struct stream *s, uint16_t code, uint16_t instance, const void *body,
                       uint32_t length)
{
    struct hvm_save_descriptor desc = { code, instance, length };

    if (s->size - s->len < sizeof(desc) + length) {
        return;    /* sized for all records of all vCPUs */
    }
    memcpy(s->data + s->len, &desc, sizeof(desc));
    memcpy(s->data + s->len + sizeof(desc), body, length);
    s->len += sizeof(desc) + length;
}

static size_t stream_size(const struct domain *d)
{
    size_t per_vcpu = 0;

    for (unsigned i = 0; i < KR_ARRAY_SIZE(records); i++) {
        per_vcpu += sizeof(struct hvm_save_descriptor) + records[i].length;
    }
    return sizeof(struct hvm_save_descriptor) * 2 + sizeof(struct hvm_save_header) +
           per_vcpu * d->nr_vcpus;
}

static void fill_header(const struct domain *d, struct hvm_save_header *h)
{
    const struct kl_cpuid_leaf *l = cpu_policy_leaf(d->policy, 1, UINT32_MAX);

    *h = (struct hvm_save_header){
        .magic = HVM_FILE_MAGIC, .version = HVM_FILE_VERSION,
        .cpuid = l ? l->a : 0, .gtsc_khz = d->tsc.gtsc_khz,
    };
}

/*
 * Does this record of a vCPU mean anything yet? Xen leaves out the CPU record of a vCPU that is
 * down. What never ran and was never loaded has a reset local APIC, which is not saved.
 */
static bool worth_saving(const struct domain *d, uint32_t vcpu, const struct record *r)
{
    uint32_t load = d->state->vcpu[vcpu].load;

    if (r->load == KL_LOAD_MTRR) {
        return true;
    }
    if (load & r->load) {
        return true;
    }
    return d->ever_unpaused && (r->load != KL_LOAD_CPU || d->state->vcpu[vcpu].online);
}

/* One record as it is now: the body is copied once, so that the process cannot change it later. */
static void save_record(struct stream *s, const struct domain *d, uint32_t vcpu,
                        const struct record *r)
{
    uint8_t body[2048];

    memcpy(body, (const uint8_t *)&d->state->vcpu[vcpu] + r->offset, r->length);
    put_record(s, r->code, (uint16_t)vcpu, body, r->length);
}

static int save_all(const struct domain *d, struct stream *s)
{
    struct hvm_save_header h;

    s->len = 0;
    s->size = stream_size(d);
    s->data = malloc(s->size);
    if (!s->data) {
        return -ENOMEM;
    }
    fill_header(d, &h);
    put_record(s, HVM_SAVE_CODE(HEADER), 0, &h, sizeof(h));
    for (unsigned i = 0; i < KR_ARRAY_SIZE(records); i++) {
        for (uint32_t v = 0; v < d->nr_vcpus; v++) {
            if (worth_saving(d, v, &records[i])) {
                save_record(s, d, v, &records[i]);
            }
        }
    }
    put_record(s, HVM_SAVE_CODE(END), 0, "", 0);
    return 0;
}

DOMCTL_HANDLER(domctl_gethvmcontext)
{
    struct xen_domctl_hvmcontext *c = &op->u.hvmcontext;
    struct stream s;
    long rc;

    if (!c->buffer.p) {
        c->size = (uint32_t)stream_size(d);
        return 0;
    }
    rc = hc_hold(hc, d);
    if (rc) {
        return rc;
    }
    rc = save_all(d, &s);
    hc_release(hc);
    if (rc) {
        return rc;
    }
    if (c->size < s.len) {
        rc = -ENOSPC;
    } else {
        c->size = (uint32_t)s.len;
        rc = copy_to_guest(hc, (uint64_t)(uintptr_t)c->buffer.p, s.data, s.len);
    }
    free(s.data);
    return rc;
}

DOMCTL_HANDLER(domctl_gethvmcontext_partial)
{
    struct xen_domctl_hvmcontext_partial *p = &op->u.hvmcontext_partial;
    const struct record *r = NULL;
    uint8_t body[2048];
    long rc;

    for (unsigned i = 0; i < KR_ARRAY_SIZE(records); i++) {
        if (records[i].code == p->type) {
            r = &records[i];
        }
    }
    if (!r) {
        return p->type == HVM_SAVE_CODE(END) || p->type > HVM_SAVE_CODE_MAX ? -EINVAL : -ENOENT;
    }
    if (p->instance >= d->nr_vcpus) {
        return -ENOENT;
    }
    if (!p->buffer.p) {
        p->bufsz = r->length;
        return 0;
    }
    if (p->bufsz < r->length) {
        return -ENOSPC;
    }
    rc = hc_hold(hc, d);
    if (rc) {
        return rc;
    }
    if (!worth_saving(d, p->instance, r)) {
        hc_release(hc);
        return -ENODATA;
    }
    memcpy(body, (const uint8_t *)&d->state->vcpu[p->instance] + r->offset, r->length);
    hc_release(hc);
    p->bufsz = r->length;
    return copy_to_guest(hc, (uint64_t)(uintptr_t)p->buffer.p, body, r->length);
}

/* States that no CPU can be in are refused here; the engine looks again. */
static int check_cpu(const struct hvm_hw_cpu *c)
{
    bool paging = c->cr0 & CR0_PG, lma = c->msr_efer & EFER_LMA, lme = c->msr_efer & EFER_LME;

    if (c->cr0 >> 32 || ((c->cr0 & CR0_PG) && !(c->cr0 & CR0_PE)) ||
        ((c->cr0 & CR0_NW) && !(c->cr0 & CR0_CD))) {
        return -EINVAL;
    }
    if ((c->msr_efer & ~EFER_KNOWN) || lma != (lme && paging) || (lma && !(c->cr4 & CR4_PAE))) {
        return -EINVAL;
    }
    if (c->rflags >> 22 || (c->flags & ~XEN_X86_FPU_INITIALISED) || c->pad0) {
        return -EINVAL;
    }
    if ((c->dr6 >> 32) || (c->dr7 >> 32)) {
        return -EINVAL;
    }
    return 0;
}

static int check_lapic(const struct hvm_hw_lapic *l)
{
    /* timer divisors are powers of two up to 128; 0 stands for a timer never set up */
    if (l->timer_divisor > 128 || (l->timer_divisor & (l->timer_divisor - 1))) {
        return -EINVAL;
    }
    return (l->apic_base_msr & ~0xfffffffffull) ? -EINVAL : 0;
}

static int check_mtrr(const struct hvm_hw_mtrr *m)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned type = m->msr_pat_cr >> (8 * i) & 0xff;

        if (type > 7 || type == 2 || type == 3) {
            return -EINVAL;
        }
    }
    return m->msr_mtrr_def_type & ~0xcffull ? -EINVAL : 0;
}

static int check_body(const struct record *r, const void *body)
{
    union { struct hvm_hw_cpu cpu; struct hvm_hw_lapic lapic; struct hvm_hw_mtrr mtrr; } u;

    memcpy(&u, body, r->length < sizeof(u) ? r->length : sizeof(u));
    switch (r->load) {
    case KL_LOAD_CPU:
        return check_cpu(&u.cpu);
    case KL_LOAD_LAPIC:
        return check_lapic(&u.lapic);
    case KL_LOAD_MTRR:
        return check_mtrr(&u.mtrr);
    default:
        return 0;
    }
}

static int load_record(struct domain *d, const struct hvm_save_descriptor *desc,
                       const uint8_t *body, bool apply)
{
    for (unsigned i = 0; i < KR_ARRAY_SIZE(records); i++) {
        const struct record *r = &records[i];
        struct kl_vcpu_state *v;

        if (r->code != desc->typecode) {
            continue;
        }
        if (desc->instance >= d->nr_vcpus || desc->length != r->length || check_body(r, body)) {
            return -EINVAL;
        }
        if (apply) {
            v = &d->state->vcpu[desc->instance];
            memcpy((uint8_t *)v + r->offset, body, r->length);
            v->load |= r->load;
            if (r->load == KL_LOAD_CPU) {
                v->online = 1;
            }
        }
        return 0;
    }
    kr_log_once(KR_NOTICE, "sethvmcontext: record type %u is for devices that are not here",
                desc->typecode);
    return -ENODEV;
}

static int check_header(const struct hvm_save_descriptor *desc, const uint8_t *body)
{
    struct hvm_save_header h;

    if (desc->typecode != HVM_SAVE_CODE(HEADER) || desc->length != sizeof(h)) {
        return -EINVAL;
    }
    memcpy(&h, body, sizeof(h));
    return h.magic == HVM_FILE_MAGIC && h.version == HVM_FILE_VERSION ? 0 : -EINVAL;
}

/* Walks the stream; with apply it has been walked, and found good, before. */
static int load_all(struct domain *d, const uint8_t *data, size_t size, bool apply)
{
    struct hvm_save_descriptor desc;
    bool first = true;
    size_t at = 0;
    int rc;

    for (;; first = false, at += sizeof(desc) + desc.length) {
        if (size - at < sizeof(desc)) {
            return -ENODATA;    /* no end record */
        }
        memcpy(&desc, data + at, sizeof(desc));
        if (desc.length > size - at - sizeof(desc)) {
            return -ENODATA;
        }
        if (first) {
            rc = check_header(&desc, data + sizeof(desc));
        } else if (desc.typecode == HVM_SAVE_CODE(END)) {
            return 0;
        } else {
            rc = load_record(d, &desc, data + at + sizeof(desc), apply);
        }
        if (rc) {
            return rc;
        }
    }
}

DOMCTL_HANDLER(domctl_sethvmcontext)
{
    const struct xen_domctl_hvmcontext *c = &op->u.hvmcontext;
    uint8_t *data;
    long rc;

    if (c->size < sizeof(struct hvm_save_descriptor) || c->size > MAX_STREAM) {
        return -EINVAL;
    }
    rc = hc_hold(hc, d);
    if (rc) {
        return rc;
    }
    data = malloc(c->size);
    if (!data) {
        hc_release(hc);
        return -ENOMEM;
    }
    rc = copy_from_guest(hc, data, (uint64_t)(uintptr_t)c->buffer.p, c->size);
    if (!rc) {
        rc = load_all(d, data, c->size, false);
    }
    if (!rc) {
        rc = load_all(d, data, c->size, true);
    }
    free(data);
    hc_release(hc);
    return rc;
}
