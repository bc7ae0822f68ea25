/* SPDX-License-Identifier: MIT */
/* Segments: limit and type checks outside 64-bit mode, descriptor loads, the TSS. SDM vol. 3 ch.
 * 3, 5, 7. */
#include "hypervisor/engine/soft/internal.h"

/* ---------------------------------------------------------------- addresses */

static SOFT_NORETURN void seg_fault(struct soft_vcpu *v, const struct soft_op *op,
                                    enum engine_sreg reg)
{
    soft_raise_err(v, op, reg == ENGINE_SS ? SOFT_SS : SOFT_GP, 0);
}

uint64_t soft_seg_linear(struct soft_vcpu *v, const struct soft_op *op, enum engine_sreg reg,
                         uint64_t off,
                         unsigned size, bool write)
{
    const struct engine_segment *s = &v->seg[reg];
    unsigned type = SEG_TYPE(s);
    uint64_t last = off + size - 1;
    bool ok;

    if (soft_code64(v)) {
        uint64_t va = reg == ENGINE_FS || reg == ENGINE_GS ? off + s->base : off;
        if (reg == ENGINE_SS && !soft_canonical(va))
            seg_fault(v, op, reg);
        return va;
    }
    if (v->cr0 & CR0_PE) {
        if (!(s->attr & SEG_P))
            seg_fault(v, op, reg);
        if (write ? (type & 8 || !(type & 2)) : (type & 8 && !(type & 2)))
            seg_fault(v, op, reg);
    }
    if ((type & 0xc) == 4)                   /* expand-down data */
        ok = off > s->limit && last <= (s->attr & SEG_DB ? 0xffffffff : 0xffff);
    else
        ok = last <= s->limit;
    if (!ok)
        seg_fault(v, op, reg);
    return (uint32_t)(s->base + off);
}

uint64_t soft_ea_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t a, unsigned size,
                      bool write)
{
    if (op->ea == SOFT_EA_PLAIN || op->ea == SOFT_EA_BASED)
        return a + v->segbase[op->seg];
    if (op->ea == SOFT_EA_ADDR32)
        return (uint32_t)a + v->segbase[op->seg];
    a = op->ea == SOFT_EA_SEG16 ? (uint16_t)a : (uint32_t)a;
    return soft_seg_linear(v, op, op->seg == SOFT_SEG_NONE ? ENGINE_DS : (enum engine_sreg)op->seg,
                           a, size,
                           write);
}

/* ---------------------------------------------------------------- descriptors */

struct engine_segment soft_unpack_desc(uint16_t sel, uint64_t desc)
{
    struct engine_segment s = { .sel = sel };

    s.base = (desc >> 16 & 0xffffff) | (desc >> 56 & 0xff) << 24;
    s.limit = (uint32_t)((desc & 0xffff) | (desc >> 32 & 0xf0000));
    s.attr = (uint16_t)((desc >> 40 & 0xff) | (desc >> 52 & 0xf) << 8);
    if (s.attr & SEG_G)
        s.limit = s.limit << 12 | 0xfff;
    return s;
}

/* Linear address of sel's descriptor; false: null or outside the table. */
static bool desc_va(struct soft_vcpu *v, uint16_t sel, unsigned size, uint64_t *va)
{
    uint64_t base = v->gdtr.base, limit = v->gdtr.limit;

    if (!(sel & ~3))
        return false;
    if (sel & 4) {
        if (!(v->ldtr.attr & SEG_P))
            return false;
        base = v->ldtr.base;
        limit = v->ldtr.limit;
    }
    if ((uint64_t)(sel & ~7) + size - 1 > limit)
        return false;
    *va = base + (sel & ~7u);
    return true;
}

bool soft_read_desc(struct soft_vcpu *v, const struct soft_op *op, uint16_t sel, uint64_t *desc)
{
    uint64_t va;

    if (!desc_va(v, sel, 8, &va))
        return false;
    *desc = soft_ld_as(v, op, SOFT_TLB_KERNEL, va, 8);
    return true;
}

void soft_set_accessed(struct soft_vcpu *v, const struct soft_op *op, uint16_t sel, uint64_t desc)
{
    uint64_t va;

    if (desc & 1ull << 40 || !desc_va(v, sel, 8, &va))
        return;
    soft_st_as(v, op, SOFT_TLB_KERNEL, va + 5, 1, (desc >> 40 | 1) & 0xff);
}

/* ---------------------------------------------------------------- segment registers */

void soft_set_seg(struct soft_vcpu *v, enum engine_sreg reg, const struct engine_segment *s)
{
    v->seg[reg] = *s;
    v->segbase[reg] = s->base;
}

void soft_null_seg(struct soft_vcpu *v, enum engine_sreg reg, uint16_t sel)
{
    soft_set_seg(v, reg, &(struct engine_segment){ .sel = sel });
}

void soft_real_seg(struct soft_vcpu *v, enum engine_sreg reg, uint16_t sel)
{
    struct engine_segment s = v->seg[reg];

    /* Limit and attributes stay what they were: "unreal mode" depends on it. */
    s.sel = sel;
    s.base = (uint32_t)sel << 4;
    if (reg == ENGINE_CS)
        s.attr = 0x93;
    else if (!(s.attr & SEG_P))
        s = (struct engine_segment){ .sel = sel, .base = s.base, .limit = 0xffff, .attr = 0x93 };
    soft_set_seg(v, reg, &s);
}

struct engine_segment soft_check_ss(struct soft_vcpu *v, const struct soft_op *op, uint16_t sel,
                                    unsigned cpl,
                                    unsigned err_vector, uint64_t *desc)
{
    struct engine_segment s;
    uint32_t err = sel & ~3u;

    if (!err)
        soft_raise_err(v, op, err_vector, 0);
    if (!soft_read_desc(v, op, sel, desc))
        soft_raise_err(v, op, err_vector, err);
    s = soft_unpack_desc(sel, *desc);
    if ((sel & 3) != cpl || SEG_DPL(&s) != cpl || !(s.attr & SEG_S) || SEG_TYPE(&s) & 8 ||
        !(SEG_TYPE(&s) & 2))
        soft_raise_err(v, op, err_vector, err);
    if (!(s.attr & SEG_P))
        soft_raise_err(v, op, SOFT_SS, err);
    return s;
}

void soft_load_seg(struct soft_vcpu *v, const struct soft_op *op, enum engine_sreg reg,
                   uint16_t sel)
{
    struct engine_segment s;
    uint32_t err = sel & ~3u;
    uint64_t desc;

    if (!(v->cr0 & CR0_PE)) {
        soft_real_seg(v, reg, sel);
        return;
    }
    if (reg == ENGINE_SS) {
        if (!err && soft_code64(v) && v->cpl < 3 && (sel & 3) == v->cpl) {
            soft_null_seg(v, reg, sel);
            return;
        }
        s = soft_check_ss(v, op, sel, v->cpl, SOFT_GP, &desc);
    } else {
        if (!err) {
            soft_null_seg(v, reg, sel);
            return;
        }
        if (!soft_read_desc(v, op, sel, &desc))
            soft_raise_err(v, op, SOFT_GP, err);
        s = soft_unpack_desc(sel, desc);
        if (!(s.attr & SEG_S) || (SEG_TYPE(&s) & 8 && !(SEG_TYPE(&s) & 2)))
            soft_raise_err(v, op, SOFT_GP, err);
        if ((SEG_TYPE(&s) & 0xc) != 0xc && ((sel & 3u) > SEG_DPL(&s) || v->cpl > SEG_DPL(&s)))
            soft_raise_err(v, op, SOFT_GP, err);
        if (!(s.attr & SEG_P))
            soft_raise_err(v, op, SOFT_NP, err);
    }
    soft_set_accessed(v, op, sel, desc);
    s.attr |= 1;
    soft_set_seg(v, reg, &s);
    if (reg == ENGINE_SS)
        soft_update_mode(v);
}

void soft_drop_inner_segs(struct soft_vcpu *v)
{
    static const enum engine_sreg regs[] = { ENGINE_ES, ENGINE_DS, ENGINE_FS, ENGINE_GS };

    for (unsigned i = 0; i < 4; i++) {
        struct engine_segment *s = &v->seg[regs[i]];
        bool conforming = (SEG_TYPE(s) & 0xc) == 0xc;
        /* Intel: a null selector's RPL goes, too; FS and GS keep their bases. */
        if (!v->e->amd && !(s->sel & ~3))
            s->sel = 0;
        if (!(s->attr & SEG_P) || conforming || SEG_DPL(s) >= v->cpl)
            continue;
        soft_null_seg(v, regs[i], 0);
    }
}

/* ---------------------------------------------------------------- TSS */

void soft_tss_stack(struct soft_vcpu *v, const struct soft_op *op, unsigned cpl, uint16_t *ss,
                    uint64_t *sp)
{
    uint32_t off;
    bool wide = SEG_TYPE(&v->tr) & 8;        /* 32- or 64-bit TSS */

    if (soft_long(v)) {
        off = 4 + 8 * cpl;
        if (off + 7 > v->tr.limit)
            soft_raise_err(v, op, SOFT_TS, v->tr.sel & ~3u);
        *sp = soft_ld_as(v, op, SOFT_TLB_KERNEL, v->tr.base + off, 8);
        *ss = (uint16_t)cpl;
        return;
    }
    off = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
    if (off + (wide ? 5 : 3) > v->tr.limit)
        soft_raise_err(v, op, SOFT_TS, v->tr.sel & ~3u);
    *sp = soft_ld_as(v, op, SOFT_TLB_KERNEL, v->tr.base + off, wide ? 4 : 2);
    *ss = (uint16_t)soft_ld_as(v, op, SOFT_TLB_KERNEL, v->tr.base + off + (wide ? 4 : 2), 2);
}

void soft_check_io(struct soft_vcpu *v, const struct soft_op *op, uint16_t port, unsigned size)
{
    uint32_t map, at, bits;

    if (!(v->cr0 & CR0_PE) || v->cpl <= (v->rflags >> 12 & 3))
        return;
    if (!(v->tr.attr & SEG_P) || !(SEG_TYPE(&v->tr) & 8) || v->tr.limit < 103)
        soft_raise_err(v, op, SOFT_GP, 0);
    map = (uint32_t)soft_ld_as(v, op, SOFT_TLB_KERNEL, v->tr.base + 102, 2);
    at = map + port / 8;
    if (at + 1 > v->tr.limit)                /* the CPU reads two bytes */
        soft_raise_err(v, op, SOFT_GP, 0);
    bits = (uint32_t)soft_ld_as(v, op, SOFT_TLB_KERNEL, v->tr.base + at, 2);
    if (bits >> (port & 7) & ((1u << size) - 1))
        soft_raise_err(v, op, SOFT_GP, 0);
}
