/* SPDX-License-Identifier: MIT */
/*
 * Delivery of exceptions and interrupts through the IDT in every mode, double and triple faults,
 * and IRET. SDM vol. 3 ch. 6. Task gates and virtual-8086 mode are refused with an engine error.
 *
 * Nothing is committed until the last push has succeeded, so a fault during delivery finds the
 * state from before it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "hypervisor/engine/soft/stack.h"

/* ---------------------------------------------------------------- raising */

static SOFT_NORETURN void raise(struct soft_vcpu *v, const struct soft_op *op, unsigned vector,
                                bool has_error,
                                uint32_t error)
{
    v->fault.vector = (uint8_t)vector;
    v->fault.has_error = has_error;
    v->fault.error = error;
    v->fault.rip = op ? SOFT_RIP(v, op) : v->gpr[16];
    if (op)
        v->budget -= op->idx;
    if (v->split_held)
        soft_split_unlock(v);
    longjmp(*v->env, 1);
}

void soft_raise(struct soft_vcpu *v, const struct soft_op *op, unsigned vector)
{
    raise(v, op, vector, false, 0);
}

void soft_raise_err(struct soft_vcpu *v, const struct soft_op *op, unsigned vector, uint32_t error)
{
    /* EXT: the fault happened while delivering something that the program did not ask for. */
    if (v->in_delivery && v->event.type != SOFT_EV_SOFT && vector >= SOFT_TS && vector <= SOFT_GP)
        error |= 1;
    raise(v, op, vector, true, error);
}

void soft_fail(struct soft_vcpu *v, const struct soft_op *op, const char *fmt, ...)
{
    uint64_t rip = op ? SOFT_RIP(v, op) : v->gpr[16];
    uint8_t bytes[16];
    size_t n = soft_gva_copy(v, rip + (soft_code64(v) ? 0 : v->seg[ENGINE_CS].base), bytes, 15,
                             false);
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(v->error, sizeof(v->error), fmt, ap);
    va_end(ap);
    if (len > 0 && (size_t)len < sizeof(v->error))
        len += snprintf(v->error + len, sizeof(v->error) - (size_t)len, " at rip %#llx, bytes",
                        (unsigned long long)rip);
    for (size_t i = 0; i < n && len > 0 && (size_t)len + 4 < sizeof(v->error); i++)
        len += snprintf(v->error + len, sizeof(v->error) - (size_t)len, " %02x", bytes[i]);
    v->failed = true;
    v->gpr[16] = rip;
    if (v->split_held)
        soft_split_unlock(v);
    longjmp(*v->env, 1);
}

static bool contributory(unsigned vector)
{
    return vector == SOFT_DE || (vector >= SOFT_TS && vector <= SOFT_GP);
}

bool soft_combine(struct soft_vcpu *v)
{
    unsigned second = v->fault.vector;

    if (v->in_delivery && v->event.type == SOFT_EV_FAULT) {
        unsigned first = v->event.vector;
        if (first == SOFT_DF)
            return false;
        if ((contributory(first) && contributory(second)) ||
            (first == SOFT_PF && (contributory(second) || second == SOFT_PF))) {
            second = SOFT_DF;
            v->fault.has_error = true;
            v->fault.error = 0;
        }
    }
    if (v->in_delivery && v->event.type == SOFT_EV_SOFT)
        v->fault.rip = v->int_rip;
    v->in_delivery = false;
    v->gpr[16] = v->fault.rip;
    v->event.valid = true;
    v->event.vector = (uint8_t)second;
    v->event.type = SOFT_EV_FAULT;
    v->event.has_error = v->fault.has_error;
    v->event.error = v->fault.error;
    return true;
}

/* ---------------------------------------------------------------- delivery */

/* A stack being pushed to, perhaps another ring's. Only sp changes. */
struct push {
    enum soft_tlb_kind kind;
    uint64_t base, sp, mask;
    const struct engine_segment *ss;         /* NULL: no limit checks (64-bit) */
    unsigned size;
};

static void push_word(struct soft_vcpu *v, struct push *p, uint64_t x)
{
    uint64_t off = (p->sp - p->size) & p->mask;

    if (p->ss) {
        uint64_t last = off + p->size - 1;
        bool down = (SEG_TYPE(p->ss) & 0xc) == 4;
        if (down ? off <= p->ss->limit || last > p->mask : last > p->ss->limit)
            soft_raise_err(v, NULL, SOFT_SS, 0);
        soft_st_as(v, NULL, p->kind, (uint32_t)(p->base + off), p->size, x);
    } else {
        if (!soft_canonical(off))
            soft_raise_err(v, NULL, SOFT_SS, 0);
        soft_st_as(v, NULL, p->kind, off, p->size, x);
    }
    p->sp = (p->sp & ~p->mask) | off;
}

static enum soft_tlb_kind stack_kind(struct soft_vcpu *v, unsigned cpl)
{
    if (cpl == 3)
        return SOFT_TLB_USER;
    return v->rflags & FL_AC && v->cr4 & CR4_SMAP ? SOFT_TLB_KERNEL_AC : SOFT_TLB_KERNEL;
}

static void deliver_real(struct soft_vcpu *v, unsigned vector)
{
    struct push p = { .kind = SOFT_TLB_KERNEL, .base = v->seg[ENGINE_SS].base,
                      .sp = v->gpr[ENGINE_RSP],
                      .mask = 0xffff, .ss = &v->seg[ENGINE_SS], .size = 2 };
    uint32_t entry;

    if (vector * 4 + 3 > v->idtr.limit)
        soft_raise_err(v, NULL, SOFT_GP, 0);
    entry = (uint32_t)soft_ld_as(v, NULL, SOFT_TLB_KERNEL, v->idtr.base + vector * 4, 4);
    push_word(v, &p, soft_get_rflags(v));
    push_word(v, &p, v->seg[ENGINE_CS].sel);
    push_word(v, &p, v->gpr[16]);
    v->gpr[ENGINE_RSP] = p.sp;
    soft_real_seg(v, ENGINE_CS, (uint16_t)(entry >> 16));
    v->gpr[16] = entry & 0xffff;
    soft_set_rflags(v, 0, FL_IF | FL_TF | FL_AC | FL_RF);
}

struct gate {
    unsigned type, dpl, ist;
    bool present;
    uint16_t sel;
    uint64_t off;
};

/* err: error code that names the gate */
static struct gate read_gate(struct soft_vcpu *v, unsigned vector, uint32_t err)
{
    bool lng = soft_long(v);
    unsigned size = lng ? 16 : 8;
    struct gate g;
    uint64_t lo;

    if (vector * size + size - 1 > v->idtr.limit)
        soft_raise_err(v, NULL, SOFT_GP, err);
    lo = soft_ld_as(v, NULL, SOFT_TLB_KERNEL, v->idtr.base + vector * size, 8);
    g.type = lo >> 40 & 31;
    g.dpl = lo >> 45 & 3;
    g.present = lo >> 47 & 1;
    g.sel = lo >> 16 & 0xffff;
    g.off = (lo & 0xffff) | (lo >> 32 & 0xffff0000);
    g.ist = lo >> 32 & 7;
    if (lng)
        g.off |= soft_ld_as(v, NULL, SOFT_TLB_KERNEL, v->idtr.base + vector * size + 8, 4) << 32;
    else if (!(g.type & 8))
        g.off &= 0xffff;
    return g;
}

static void check_gate(struct soft_vcpu *v, const struct gate *g, enum soft_event type,
                       uint32_t err)
{
    unsigned t = g->type;

    if (t == 5 && !soft_long(v))
        soft_fail(v, NULL, "task gate in the IDT");
    if (soft_long(v) ? t != 14 && t != 15 : t != 6 && t != 7 && t != 14 && t != 15)
        soft_raise_err(v, NULL, SOFT_GP, err);
    if (type == SOFT_EV_SOFT && g->dpl < v->cpl)
        soft_raise_err(v, NULL, SOFT_GP, err);
    if (!g->present)
        soft_raise_err(v, NULL, SOFT_NP, err);
}

/* The handler's code segment; err without EXT is added by soft_raise_err. */
static struct engine_segment gate_cs(struct soft_vcpu *v, const struct gate *g, uint64_t *desc)
{
    struct engine_segment cs;
    uint32_t err = g->sel & ~3u;

    if (!err)
        soft_raise_err(v, NULL, SOFT_GP, 0);
    if (!soft_read_desc(v, NULL, g->sel, desc))
        soft_raise_err(v, NULL, SOFT_GP, err);
    cs = soft_unpack_desc(g->sel, *desc);
    if (!(cs.attr & SEG_S) || !(SEG_TYPE(&cs) & 8) || SEG_DPL(&cs) > v->cpl)
        soft_raise_err(v, NULL, SOFT_GP, err);
    if (soft_long(v) && (!(cs.attr & SEG_L) || cs.attr & SEG_DB))
        soft_raise_err(v, NULL, SOFT_GP, err);
    if (!(cs.attr & SEG_P))
        soft_raise_err(v, NULL, SOFT_NP, err);
    return cs;
}

static uint64_t ist_stack(struct soft_vcpu *v, unsigned ist)
{
    uint32_t off = 0x24 + 8 * (ist - 1);

    if (off + 7 > v->tr.limit)
        soft_raise_err(v, NULL, SOFT_TS, v->tr.sel & ~3u);
    return soft_ld_as(v, NULL, SOFT_TLB_KERNEL, v->tr.base + off, 8);
}

static void deliver_gate(struct soft_vcpu *v, unsigned vector, enum soft_event type, bool has_error,
                         uint32_t error)
{
    uint32_t err = vector * 8 + 2;
    struct gate g = read_gate(v, vector, err);
    bool lng = soft_long(v), inner;
    struct engine_segment cs, ss = v->seg[ENGINE_SS];
    uint64_t desc, ss_desc = 0, flags = soft_get_rflags(v);
    struct push p;
    unsigned cpl;

    check_gate(v, &g, type, err);
    cs = gate_cs(v, &g, &desc);
    cpl = SEG_TYPE(&cs) & 4 ? v->cpl : SEG_DPL(&cs);
    inner = cpl < v->cpl;
    p = (struct push){ .kind = stack_kind(v, cpl), .size = lng ? 8 : g.type & 8 ? 4 : 2 };
    if (lng) {
        uint16_t dummy;
        p.mask = ~0ull;
        p.sp = v->gpr[ENGINE_RSP];
        if (g.ist)
            p.sp = ist_stack(v, g.ist);
        else if (inner)
            soft_tss_stack(v, NULL, cpl, &dummy, &p.sp);
        p.sp &= ~15ull;
        if (inner)
            ss = (struct engine_segment){ .sel = (uint16_t)cpl };
    } else if (inner) {
        uint16_t sel;
        soft_tss_stack(v, NULL, cpl, &sel, &p.sp);
        ss = soft_check_ss(v, NULL, sel, cpl, SOFT_TS, &ss_desc);
        p.ss = &ss;
        p.base = ss.base;
        p.mask = ss.attr & SEG_DB ? 0xffffffff : 0xffff;
    } else {
        p.ss = &ss;
        p.base = ss.base;
        p.sp = v->gpr[ENGINE_RSP];
        p.mask = ss.attr & SEG_DB ? 0xffffffff : 0xffff;
    }
    if (type == SOFT_EV_FAULT && vector != SOFT_DB && vector != SOFT_DF)
        flags |= FL_RF;
    if (lng || inner) {
        push_word(v, &p, v->seg[ENGINE_SS].sel);
        push_word(v, &p, v->gpr[ENGINE_RSP]);
    }
    push_word(v, &p, flags);
    push_word(v, &p, v->seg[ENGINE_CS].sel);
    push_word(v, &p, v->gpr[16]);
    if (has_error)
        push_word(v, &p, error);
    if (!lng && g.off > cs.limit)
        soft_raise_err(v, NULL, SOFT_GP, 0);
    if (lng && !soft_canonical(g.off))
        soft_raise_err(v, NULL, SOFT_GP, 0);

    soft_set_accessed(v, NULL, g.sel, desc);
    cs.sel = (uint16_t)((g.sel & ~3u) | cpl);
    cs.attr |= 1;
    soft_set_seg(v, ENGINE_CS, &cs);
    if (inner)
        soft_set_seg(v, ENGINE_SS, &ss);
    v->cpl = (uint8_t)cpl;
    v->gpr[ENGINE_RSP] = p.sp;
    v->gpr[16] = g.off;
    soft_set_rflags(v, 0, FL_TF | FL_NT | FL_RF | FL_VM | (g.type & 1 ? 0 : FL_IF));
    soft_update_mode(v);
}

void soft_deliver(struct soft_vcpu *v, unsigned vector, enum soft_event type, bool has_error,
                  uint32_t error)
{
    if (v->trace && type == SOFT_EV_FAULT)
        soft_trace(v, "vector %u error %#x cr2 %#llx rip %#llx cpl %u", vector, error,
                   (unsigned long long)v->cr2, (unsigned long long)v->gpr[16], v->cpl);
    if (v->cr0 & CR0_PE)
        deliver_gate(v, vector, type, has_error, error);
    else
        deliver_real(v, vector);
}

/* ---------------------------------------------------------------- IRET */

static uint64_t peek(struct soft_vcpu *v, const struct soft_op *op, unsigned index, unsigned bits)
{
    return soft_peek(v, op, index * (bits / 8), bits);
}

static uint64_t iret_flags(struct soft_vcpu *v, unsigned bits)
{
    uint64_t mask = FL_ARITH | FL_TF | FL_DF | FL_NT;

    if (bits > 16)
        mask |= FL_RF | FL_AC | FL_ID;
    if (v->cpl == 0)
        mask |= FL_IOPL | FL_IF | (bits > 16 ? FL_VIF | FL_VIP : 0);
    else if (v->cpl <= (v->rflags >> 12 & 3))
        mask |= FL_IF;
    return mask;
}

static void iret_real(struct soft_vcpu *v, const struct soft_op *op, unsigned bits)
{
    uint64_t rip = peek(v, op, 0, bits), cs = peek(v, op, 1, bits), flags = peek(v, op, 2, bits);

    if (rip > v->seg[ENGINE_CS].limit)
        soft_raise_err(v, op, SOFT_GP, 0);
    soft_set_sp(v, soft_sp(v) + 3 * bits / 8);
    soft_real_seg(v, ENGINE_CS, (uint16_t)cs);
    v->gpr[16] = rip;
    soft_set_rflags(v, flags, iret_flags(v, bits));
}

/* The code segment to return to (also for far RET). */
static struct engine_segment return_cs(struct soft_vcpu *v, const struct soft_op *op, uint16_t sel,
                                       uint64_t *desc)
{
    struct engine_segment cs;
    uint32_t err = sel & ~3u;
    unsigned rpl = sel & 3;

    if (!err)
        soft_raise_err(v, op, SOFT_GP, 0);
    if (!soft_read_desc(v, op, sel, desc))
        soft_raise_err(v, op, SOFT_GP, err);
    cs = soft_unpack_desc(sel, *desc);
    if (!(cs.attr & SEG_S) || !(SEG_TYPE(&cs) & 8) || rpl < v->cpl ||
        (SEG_TYPE(&cs) & 4 ? SEG_DPL(&cs) > rpl : SEG_DPL(&cs) != rpl))
        soft_raise_err(v, op, SOFT_GP, err);
    if (soft_long(v) && cs.attr & SEG_L && cs.attr & SEG_DB)
        soft_raise_err(v, op, SOFT_GP, err);
    if (!(cs.attr & SEG_P))
        soft_raise_err(v, op, SOFT_NP, err);
    return cs;
}

void soft_return_far(struct soft_vcpu *v, const struct soft_op *op, unsigned bits, unsigned frame,
                     unsigned release, uint64_t flags, uint64_t flags_mask)
{
    uint64_t rip = peek(v, op, 0, bits), desc, ss_desc = 0, rsp;
    uint16_t cs_sel = (uint16_t)peek(v, op, 1, bits), ss_sel;
    struct engine_segment cs = return_cs(v, op, cs_sel, &desc), ss;
    unsigned cpl = cs_sel & 3, words = frame;
    bool to64 = soft_long(v) && cs.attr & SEG_L, outer = cpl > v->cpl;
    bool pops_ss = outer || (frame == 3 && soft_code64(v));
    uint64_t mask = soft_sp_mask(v);

    if (to64 ? !soft_canonical(rip) : rip > cs.limit)
        soft_raise_err(v, op, SOFT_GP, 0);
    if (pops_ss) {
        rsp = soft_peek(v, op, words * (bits / 8) + release, bits);
        ss_sel = (uint16_t)soft_peek(v, op, (words + 1) * (bits / 8) + release, bits);
        if (!(ss_sel & ~3) && to64 && cpl != 3 && (ss_sel & 3) == cpl)
            ss = (struct engine_segment){ .sel = ss_sel };
        else
            ss = soft_check_ss(v, op, ss_sel, cpl, SOFT_GP, &ss_desc);
        if (ss_desc)
            soft_set_accessed(v, op, ss_sel, ss_desc);
    } else {
        rsp = soft_sp(v) + words * (bits / 8) + release;
        ss = v->seg[ENGINE_SS];
    }
    soft_set_accessed(v, op, cs_sel, desc);
    cs.attr |= 1;
    soft_set_seg(v, ENGINE_CS, &cs);
    if (pops_ss) {
        if (ss.attr & SEG_P)
            ss.attr |= 1;
        soft_set_seg(v, ENGINE_SS, &ss);
        mask = to64 ? ~0ull : ss.attr & SEG_DB ? 0xffffffff : 0xffff;
    }
    if (outer && frame == 2)
        rsp += release;
    v->gpr[ENGINE_RSP] = mask == 0xffff ? (v->gpr[ENGINE_RSP] & ~mask) | (rsp & mask) : rsp & mask;
    v->gpr[16] = rip;
    v->cpl = (uint8_t)cpl;
    if (outer)
        soft_drop_inner_segs(v);
    soft_set_rflags(v, flags, flags_mask);
    soft_update_mode(v);
}

void soft_iret(struct soft_vcpu *v, const struct soft_op *op, unsigned bits)
{
    uint64_t flags;

    if (!(v->cr0 & CR0_PE)) {
        iret_real(v, op, bits);
        v->nmi_blocked = false;
        return;
    }
    if (v->rflags & FL_NT) {
        if (soft_long(v))
            soft_raise_err(v, op, SOFT_GP, 0);
        soft_fail(v, op, "IRET to another task");
    }
    flags = peek(v, op, 2, bits);
    if (flags & FL_VM && bits > 16 && v->cpl == 0 && !soft_long(v))
        soft_fail(v, op, "virtual-8086 mode");
    soft_return_far(v, op, bits, 3, 0, flags, iret_flags(v, bits));
    v->nmi_blocked = false;
}
