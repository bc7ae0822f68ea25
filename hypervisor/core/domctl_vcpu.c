/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/core/cpu_share.h"
#include "hypervisor/core/cpupool.h"
#include "hypervisor/core/domctl.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/sched.h"

/* A bitmap that a caller may give: more than any host's CPUs is a mistake. */
#define MAX_BITMAP_BITS 65536u

int bitmap_from_guest(struct hcall *hc, const struct xenctl_bitmap *map, cpu_set_t *set)
{
    uint8_t bytes[CPU_SETSIZE / 8];
    uint32_t bits = map->nr_bits < CPU_SETSIZE ? map->nr_bits : CPU_SETSIZE;

    memset(bytes, 0, sizeof(bytes));
    if (map->nr_bits > MAX_BITMAP_BITS ||
        copy_from_guest(hc, bytes, (uint64_t)(uintptr_t)map->bitmap.p, (bits + 7) / 8)) {
        return -EFAULT;
    }
    CPU_ZERO(set);
    for (uint32_t i = 0; i < bits; i++) {
        if (bytes[i / 8] >> (i % 8) & 1) {
            CPU_SET(i, set);
        }
    }
    return 0;
}

int bitmap_to_guest(struct hcall *hc, const struct xenctl_bitmap *map, const cpu_set_t *set,
                    uint32_t nr_bits)
{
    uint8_t bytes[MAX_BITMAP_BITS / 8];
    uint32_t bits = map->nr_bits;

    if (bits > MAX_BITMAP_BITS) {
        return -EFAULT;
    }
    memset(bytes, 0, (bits + 7) / 8);
    for (uint32_t i = 0; i < bits && i < nr_bits && i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, set)) {
            bytes[i / 8] |= (uint8_t)(1u << (i % 8));
        }
    }
    return copy_to_guest(hc, (uint64_t)(uintptr_t)map->bitmap.p, bytes, (bits + 7) / 8);
}

DOMCTL_HANDLER(domctl_max_vcpus)
{
    uint32_t max = op->u.max_vcpus.max;

    if (!max || max != d->max_vcpus || d->ever_unpaused) {
        return -EINVAL;
    }
    return domain_make_vcpus(d, max);
}

DOMCTL_HANDLER(domctl_getvcpuinfo)
{
    struct xen_domctl_getvcpuinfo *info = &op->u.getvcpuinfo;
    uint32_t id = info->vcpu;
    struct vcpu_report r;

    if (d->host) {
        if (id >= hc->core->host.nr_cpus) {
            return -ESRCH;
        }
        *info = (struct xen_domctl_getvcpuinfo){ .vcpu = id, .online = 1, .running = 1, .cpu = id };
        return 0;
    }
    if (id >= d->nr_vcpus) {
        return -ESRCH;
    }
    domain_vcpu_report(d, id, &r);
    memset(info, 0, sizeof(*info));
    info->vcpu = id;
    info->online = r.online;
    info->blocked = r.blocked;
    info->running = r.running;
    info->cpu_time = r.cpu_ns;
    info->cpu = sched_last_cpu(d, r.tid);
    return 0;
}

/* The registers of a stopped vCPU in the form that PV guests have; descriptors stay behind. */
static void fill_regs(const struct hvm_hw_cpu *c, struct vcpu_guest_context *out)
{
    struct cpu_user_regs *r = &out->user_regs;

    memcpy(&out->fpu_ctxt, c->fpu_regs, sizeof(out->fpu_ctxt));
    r->rax = c->rax;
    r->rbx = c->rbx;
    r->rcx = c->rcx;
    r->rdx = c->rdx;
    r->rbp = c->rbp;
    r->rsi = c->rsi;
    r->rdi = c->rdi;
    r->rsp = c->rsp;
    r->r8 = c->r8;
    r->r9 = c->r9;
    r->r10 = c->r10;
    r->r11 = c->r11;
    r->r12 = c->r12;
    r->r13 = c->r13;
    r->r14 = c->r14;
    r->r15 = c->r15;
    r->rip = c->rip;
    r->rflags = c->rflags;
    r->cs = (uint16_t)c->cs_sel;
    r->ss = (uint16_t)c->ss_sel;
    r->ds = (uint16_t)c->ds_sel;
    r->es = (uint16_t)c->es_sel;
    r->fs = (uint16_t)c->fs_sel;
    r->gs = (uint16_t)c->gs_sel;
    out->ctrlreg[0] = c->cr0;
    out->ctrlreg[2] = c->cr2;
    out->ctrlreg[3] = c->cr3;
    out->ctrlreg[4] = c->cr4;
    out->debugreg[6] = c->dr6;
    out->debugreg[7] = c->dr7;
    out->fs_base = c->fs_base;
    out->gs_base_kernel = c->gs_base;
    out->gs_base_user = c->shadow_gs;
}

DOMCTL_HANDLER(domctl_getvcpucontext)
{
    uint32_t id = op->u.vcpucontext.vcpu;
    struct vcpu_guest_context *ctx;
    struct hvm_hw_cpu cpu;
    long rc;

    if (id >= d->nr_vcpus) {
        return -ESRCH;
    }
    rc = hc_hold(hc, d);
    if (rc) {
        return rc;
    }
    ctx = calloc(1, sizeof(*ctx));
    memcpy(&cpu, &d->state->vcpu[id].cpu, sizeof(cpu));
    if (!d->ever_unpaused && !(d->state->vcpu[id].load & KL_LOAD_CPU)) {
        rc = -ENODATA;    /* Xen: the vCPU was never set up */
    } else if (!ctx) {
        rc = -ENOMEM;
    } else {
        fill_regs(&cpu, ctx);
        ctx->flags = VGCF_IN_KERNEL | (d->state->vcpu[id].online ? VGCF_online : 0) |
                     (cpu.flags & XEN_X86_FPU_INITIALISED ? VGCF_I387_VALID : 0);
        rc = copy_to_guest(hc, (uint64_t)(uintptr_t)op->u.vcpucontext.ctxt.p, ctx, sizeof(*ctx));
    }
    hc_release(hc);
    free(ctx);
    return rc;
}

/*
 * What libxl calls hard and soft affinity. The caller is told what is left of them within the pool;
 * only a hard one with nothing left is refused.
 */
static int set_one(struct hcall *hc, struct vcpu *v, cpu_set_t *which,
                   const struct xenctl_bitmap *map)
{
    cpu_set_t want, eff;

    if (bitmap_from_guest(hc, map, &want)) {
        return -EFAULT;
    }
    CPU_AND(&eff, &want, &v->d->pool->cpus);
    if (which == &v->hard && CPU_COUNT(&eff) == 0) {
        return -EINVAL;
    }
    *which = want;
    if (which == &v->hard) {
        sched_apply_affinity(v);
    } else {
        CPU_AND(&eff, &eff, &v->hard);
    }
    return bitmap_to_guest(hc, map, &eff, hc->core->host.nr_cpu_ids);
}

DOMCTL_HANDLER(domctl_vcpuaffinity)
{
    const struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    bool set = op->cmd == XEN_DOMCTL_setvcpuaffinity;
    struct vcpu all = { 0 }, *v = &all;
    int rc = 0;

    if (a->flags & ~(XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT | XEN_VCPUAFFINITY_FORCE) ||
        !(a->flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT))) {
        return -EINVAL;
    }
    if (d->host) {
        /* The host's own processes run where the host says. */
        if (set || a->vcpu >= hc->core->host.nr_cpus) {
            return set ? -EOPNOTSUPP : -ESRCH;
        }
        memset(&all.hard, 0xff, sizeof(all.hard));
        memset(&all.soft, 0xff, sizeof(all.soft));
    } else if (a->vcpu >= d->nr_vcpus) {
        return -ESRCH;
    } else {
        v = d->vcpu[a->vcpu];
    }
    if (a->flags & XEN_VCPUAFFINITY_HARD) {
        rc = set ? set_one(hc, v, &v->hard, &a->cpumap_hard) :
             bitmap_to_guest(hc, &a->cpumap_hard, &v->hard, CPU_SETSIZE);
    }
    if (!rc && (a->flags & XEN_VCPUAFFINITY_SOFT)) {
        rc = set ? set_one(hc, v, &v->soft, &a->cpumap_soft) :
             bitmap_to_guest(hc, &a->cpumap_soft, &v->soft, CPU_SETSIZE);
    }
    return rc;
}

/* One node: an affinity that has it is met, one that has not cannot be. */
DOMCTL_HANDLER(domctl_nodeaffinity)
{
    const struct xenctl_bitmap *map = &op->u.nodeaffinity.nodemap;
    cpu_set_t nodes;

    if (op->cmd == XEN_DOMCTL_getnodeaffinity) {
        CPU_ZERO(&nodes);
        CPU_SET(0, &nodes);
        return bitmap_to_guest(hc, map, &nodes, 1);
    }
    if (bitmap_from_guest(hc, map, &nodes)) {
        return -EFAULT;
    }
    return CPU_ISSET(0, &nodes) ? 0 : -EINVAL;
}

/*
 * As in Xen, a weight of 0 keeps the old one, and one is set although the cap that comes with it is
 * refused. The host's are kept only: its processes are not ours to schedule.
 */
static long put_credit2(struct domain *d, const struct xen_domctl_sched_credit2 *p)
{
    uint32_t vcpus = d->host ? d->core->host.nr_cpus : d->nr_vcpus;
    bool fits = p->cap <= 100 * vcpus;

    share_set(d, p->weight ? p->weight : d->weight, fits ? p->cap : d->cap);
    return fits ? 0 : -EINVAL;
}

DOMCTL_HANDLER(domctl_scheduler_op)
{
    struct xen_domctl_scheduler_op *s = &op->u.scheduler_op;

    if (s->sched_id != XEN_SCHEDULER_CREDIT2) {
        return -EINVAL;
    }
    switch (s->cmd) {
    case XEN_DOMCTL_SCHEDOP_getinfo:
        s->u.credit2.weight = d->weight;
        s->u.credit2.cap = d->cap;
        return 0;
    case XEN_DOMCTL_SCHEDOP_putinfo:
        return put_credit2(d, &s->u.credit2);
    default:
        return -EINVAL;    /* credit2 has no parameters per vCPU */
    }
}

DOMCTL_HANDLER(domctl_sendtrigger)
{
    struct kl_trigger m = { .trigger = op->u.sendtrigger.trigger, .vcpu = op->u.sendtrigger.vcpu };

    if (m.vcpu >= d->nr_vcpus && m.trigger != XEN_DOMCTL_SENDTRIGGER_POWER &&
        m.trigger != XEN_DOMCTL_SENDTRIGGER_SLEEP) {
        return -ESRCH;
    }
    switch (m.trigger) {
    case XEN_DOMCTL_SENDTRIGGER_NMI:
        domproc_send_control(d, KL_TRIGGER, &m, sizeof(m), NULL, 0);
        return 0;
    case XEN_DOMCTL_SENDTRIGGER_POWER:
    case XEN_DOMCTL_SENDTRIGGER_SLEEP:
        return -EINVAL;    /* ACPI buttons, which a PVH guest does not have */
    default:
        return -ENOSYS;
    }
}
