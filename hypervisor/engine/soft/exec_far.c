/* SPDX-License-Identifier: MIT */
/* Segment registers and descriptors: MOV/LDS.., far JMP CALL RET, IRET, LAR LSL VERR VERW ARPL,
 * LLDT LTR SLDT STR. */
#include "hypervisor/engine/soft/stack.h"

/* ---------------------------------------------------------------- MOV and LxS */

/* d: segment register; s: source register or 0xff for memory */
static __attribute__((noinline)) void mov_to_seg_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint16_t sel = op->s == 0xff ? soft_ld16(v, op, soft_ea(v, op, 2, false)) : R16(op->s);

    soft_load_seg(v, op, (enum engine_sreg)op->d, sel);
    if (op->d == ENGINE_SS) {
        v->mov_ss_shadow = true;
        soft_attend(v, SOFT_ATT_EVENT);
    }
}

SOFT_FN(mov_to_seg) { mov_to_seg_do(v, op); SOFT_SYNC(v, op); }

/* In 64-bit code DS and ES matter to nothing that is decoded: no need to end the block. */
SOFT_FN(mov_to_seg_data) { mov_to_seg_do(v, op); SOFT_NEXT; }

SOFT_FN(mov_from_seg)
{
    uint16_t sel = v->seg[op->s].sel;

    if (op->d == 0xff)
        soft_st16(v, op, soft_ea(v, op, 2, true), sel);
    else if (op->x == 16)
        R16(op->d) = sel;
    else
        R64(op->d) = sel;
    SOFT_NEXT;
}

/* Reads a far pointer from memory: offset then selector. */
static uint64_t far_pointer(struct soft_vcpu *v, const struct soft_op *op, unsigned bits,
                            uint16_t *sel)
{
    uint64_t va = soft_ea(v, op, bits / 8 + 2, false);
    uint64_t off = soft_ld_slow(v, op, va, bits / 8);

    *sel = (uint16_t)soft_ld_slow(v, op, va + bits / 8, 2);
    return off;
}

static __attribute__((noinline)) void lxs_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint16_t sel;
    uint64_t off = far_pointer(v, op, op->x, &sel);

    soft_load_seg(v, op, (enum engine_sreg)op->s, sel);
    if (op->x == 16)
        R16(op->d) = (uint16_t)off;
    else
        R64(op->d) = off;
}

SOFT_FN(lxs) { lxs_do(v, op); SOFT_SYNC(v, op); }

/* ---------------------------------------------------------------- far transfers */

static uint64_t next_of(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t rip = SOFT_RIP(v, op) + op->len;

    return soft_code64(v) ? rip : (uint32_t)rip;
}

static void far_real(struct soft_vcpu *v, const struct soft_op *op, bool call, uint16_t sel,
                     uint64_t off)
{
    uint64_t next = next_of(v, op);
    unsigned bits = op->x;

    if (off > 0xffff && off > v->seg[ENGINE_CS].limit)
        soft_raise_err(v, op, SOFT_GP, 0);
    if (call) {
        soft_probe(v, op, soft_stack_va(v, op, soft_sp(v) - bits / 4, bits / 4, true), bits / 4,
                   true);
        soft_push(v, op, v->seg[ENGINE_CS].sel, bits);
        soft_push(v, op, next, bits);
    }
    soft_real_seg(v, ENGINE_CS, sel);
    v->gpr[16] = off;
}

/* Checks that code segment `cs` may be entered directly from the present CPL. */
static void check_direct(struct soft_vcpu *v, const struct soft_op *op, uint16_t sel,
                         const struct engine_segment *cs)
{
    uint32_t err = sel & ~3u;

    if (SEG_TYPE(cs) & 4 ? SEG_DPL(cs) > v->cpl : ((sel & 3u) > v->cpl || SEG_DPL(cs) != v->cpl))
        soft_raise_err(v, op, SOFT_GP, err);
    if (soft_long(v) && cs->attr & SEG_L && cs->attr & SEG_DB)
        soft_raise_err(v, op, SOFT_GP, err);
    if (!(cs->attr & SEG_P))
        soft_raise_err(v, op, SOFT_NP, err);
}

static void enter_cs(struct soft_vcpu *v, const struct soft_op *op, struct engine_segment *cs,
                     uint16_t sel,
                     uint64_t desc, unsigned cpl, uint64_t off)
{
    soft_set_accessed(v, op, sel, desc);
    cs->sel = (uint16_t)((sel & ~3u) | cpl);
    cs->attr |= 1;
    soft_set_seg(v, ENGINE_CS, cs);
    v->cpl = (uint8_t)cpl;
    v->gpr[16] = off;
    soft_update_mode(v);
}

static void check_off(struct soft_vcpu *v, const struct soft_op *op,
                      const struct engine_segment *cs, uint64_t off)
{
    bool to64 = soft_long(v) && cs->attr & SEG_L;

    if (to64 ? !soft_canonical(off) : off > cs->limit)
        soft_raise_err(v, op, SOFT_GP, 0);
}

/* What a call gate says. */
struct call_gate {
    uint16_t sel;
    uint64_t off;
    unsigned bits, nr_params;
};

static struct call_gate read_gate(struct soft_vcpu *v, const struct soft_op *op, uint16_t gate_sel,
                                  uint64_t lo)
{
    bool lng = soft_long(v);
    unsigned dpl = lo >> 45 & 3;
    uint32_t err = gate_sel & ~3u;
    struct call_gate g;
    uint64_t hi;

    if (dpl < v->cpl || dpl < (gate_sel & 3u))
        soft_raise_err(v, op, SOFT_GP, err);
    if (!(lo >> 47 & 1))
        soft_raise_err(v, op, SOFT_NP, err);
    g.bits = lng ? 64 : (lo >> 40 & 15) == 4 ? 16 : 32;
    g.nr_params = lng ? 0 : lo >> 32 & 31;
    g.sel = lo >> 16 & 0xffff;
    g.off = (lo & 0xffff) | (g.bits == 16 ? 0 : lo >> 32 & 0xffff0000);
    if (lng) {
        if (!soft_read_desc(v, op, (uint16_t)(gate_sel + 8), &hi) || hi >> 40 & 31)
            soft_raise_err(v, op, SOFT_GP, err);
        g.off |= hi << 32;
    }
    return g;
}

/* The code segment behind a gate. */
static struct engine_segment gate_cs(struct soft_vcpu *v, const struct soft_op *op, bool call,
                                     const struct call_gate *g, uint64_t *desc)
{
    uint32_t err = g->sel & ~3u;
    struct engine_segment cs;

    if (!err)
        soft_raise_err(v, op, SOFT_GP, 0);
    if (!soft_read_desc(v, op, g->sel, desc))
        soft_raise_err(v, op, SOFT_GP, err);
    cs = soft_unpack_desc(g->sel, *desc);
    if (!(cs.attr & SEG_S) || !(SEG_TYPE(&cs) & 8) || SEG_DPL(&cs) > v->cpl ||
        (soft_long(v) && (!(cs.attr & SEG_L) || cs.attr & SEG_DB)))
        soft_raise_err(v, op, SOFT_GP, err);
    if (!call && !(SEG_TYPE(&cs) & 4) && SEG_DPL(&cs) != v->cpl)
        soft_raise_err(v, op, SOFT_GP, err);
    if (!(cs.attr & SEG_P))
        soft_raise_err(v, op, SOFT_NP, err);
    check_off(v, op, &cs, g->off);
    return cs;
}

/* Switches to ring cpl's stack with the caller's SS:SP, parameters and return address on it. */
static void gate_stack(struct soft_vcpu *v, const struct soft_op *op, const struct call_gate *g,
                       unsigned cpl)
{
    bool lng = soft_long(v);
    unsigned size = g->bits / 8, n = 4 + g->nr_params;
    uint64_t frame[4 + 31], sp, mask = ~0ull, at, ss_desc = 0;
    struct engine_segment ss = { .sel = (uint16_t)cpl };
    uint16_t ss_sel;

    soft_tss_stack(v, op, cpl, &ss_sel, &sp);
    if (!lng) {
        ss = soft_check_ss(v, op, ss_sel, cpl, SOFT_TS, &ss_desc);
        mask = ss.attr & SEG_DB ? 0xffffffff : 0xffff;
    }
    frame[0] = next_of(v, op);
    frame[1] = v->seg[ENGINE_CS].sel;
    for (unsigned i = 0; i < g->nr_params; i++)
        frame[2 + i] = soft_peek(v, op, i * size, g->bits);
    frame[n - 2] = v->gpr[ENGINE_RSP];
    frame[n - 1] = v->seg[ENGINE_SS].sel;
    at = (sp - n * size) & mask;
    if (!lng && at + n * size - 1 > ss.limit)
        soft_raise_err(v, op, SOFT_SS, ss_sel & ~3u);
    /* A fault half-way leaves some words below the stack, which nobody owns. */
    for (unsigned i = 0; i < n; i++)
        soft_st_as(v, op, SOFT_TLB_KERNEL, ss.base + at + i * size, size, frame[i]);
    if (ss_desc)
        soft_set_accessed(v, op, ss_sel, ss_desc);
    soft_set_seg(v, ENGINE_SS, &ss);
    v->gpr[ENGINE_RSP] = (sp & ~mask) | at;
}

/* A call or jump through a call gate: 16- or 32-bit, or the 16-byte one of long mode. */
static void far_gate(struct soft_vcpu *v, const struct soft_op *op, bool call, uint16_t gate_sel,
                     uint64_t gate)
{
    struct call_gate g = read_gate(v, op, gate_sel, gate);
    uint64_t desc, next = next_of(v, op);
    struct engine_segment cs = gate_cs(v, op, call, &g, &desc);
    unsigned cpl = call && !(SEG_TYPE(&cs) & 4) ? SEG_DPL(&cs) : v->cpl, n = 2 * g.bits / 8;

    if (call && cpl < v->cpl) {
        gate_stack(v, op, &g, cpl);
    } else if (call) {
        soft_probe(v, op, soft_stack_va(v, op, soft_sp(v) - n, n, true), n, true);
        soft_push(v, op, v->seg[ENGINE_CS].sel, g.bits);
        soft_push(v, op, next, g.bits);
    }
    enter_cs(v, op, &cs, g.sel, desc, cpl, g.off);
}

static __attribute__((noinline)) void far_to(struct soft_vcpu *v, const struct soft_op *op,
                                             bool call, uint16_t sel,
                                             uint64_t off)
{
    uint32_t err = sel & ~3u;
    struct engine_segment cs;
    uint64_t desc, next = next_of(v, op);
    unsigned bits = op->x, type;

    if (!(v->cr0 & CR0_PE)) {
        far_real(v, op, call, sel, off);
        return;
    }
    if (!err)
        soft_raise_err(v, op, SOFT_GP, 0);
    if (!soft_read_desc(v, op, sel, &desc))
        soft_raise_err(v, op, SOFT_GP, err);
    cs = soft_unpack_desc(sel, desc);
    type = SEG_TYPE(&cs);
    if (!(cs.attr & SEG_S)) {
        if (type == 12 || (type == 4 && !soft_long(v))) {
            far_gate(v, op, call, sel, desc);
            return;
        }
        if (!soft_long(v) && (type == 5 || type == 1 || type == 9))
            soft_fail(v, op, "far transfer to another task");
        soft_raise_err(v, op, SOFT_GP, err);
    }
    if (!(type & 8))
        soft_raise_err(v, op, SOFT_GP, err);
    check_direct(v, op, sel, &cs);
    check_off(v, op, &cs, off);
    if (call) {
        soft_probe(v, op, soft_stack_va(v, op, soft_sp(v) - bits / 4, bits / 4, true), bits / 4,
                   true);
        soft_push(v, op, v->seg[ENGINE_CS].sel, bits);
        soft_push(v, op, next, bits);
    }
    enter_cs(v, op, &cs, sel, desc, v->cpl, off);
}

/* d: call; disp, imm: selector and offset of the direct form (s = 0), or memory (s = 1); x: bits */
static __attribute__((noinline)) void far_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint16_t sel = (uint16_t)op->disp;
    uint64_t off = op->imm;

    if (op->s)
        off = far_pointer(v, op, op->x, &sel);
    far_to(v, op, op->d, sel, off);
}

SOFT_FN(far_) { far_do(v, op); SOFT_SYNC_AT(v, op); }

static __attribute__((noinline)) void retf_do(struct soft_vcpu *v, const struct soft_op *op)
{
    if (!(v->cr0 & CR0_PE)) {
        uint64_t rip = soft_peek(v, op, 0, op->x), cs = soft_peek(v, op, op->x / 8, op->x);
        if (rip > v->seg[ENGINE_CS].limit)
            soft_raise_err(v, op, SOFT_GP, 0);
        soft_set_sp(v, soft_sp(v) + op->x / 4 + op->imm);
        soft_real_seg(v, ENGINE_CS, (uint16_t)cs);
        v->gpr[16] = rip;
        return;
    }
    soft_return_far(v, op, op->x, 2, (unsigned)op->imm, 0, 0);
}

SOFT_FN(retf) { retf_do(v, op); SOFT_SYNC_AT(v, op); }
SOFT_FN(iret) { soft_iret(v, op, op->x); SOFT_SYNC_AT(v, op); }

/* ---------------------------------------------------------------- asking about selectors */

/* Is sel's descriptor visible from CPL and RPL? For LAR/LSL/VERR/VERW: failure is ZF = 0, not a
 * fault. */
static bool visible(struct soft_vcpu *v, const struct soft_op *op, uint16_t sel,
                    struct engine_segment *s,
                    uint64_t *desc)
{
    if (!soft_read_desc(v, op, sel, desc))
        return false;
    *s = soft_unpack_desc(sel, *desc);
    if (s->attr & SEG_S && (SEG_TYPE(s) & 0xc) == 0xc)
        return true;
    return SEG_DPL(s) >= v->cpl && SEG_DPL(s) >= (sel & 3u);
}

static void set_zf(struct soft_vcpu *v, bool zf)
{
    soft_set_flags(v, (soft_get_flags(v) & ~FL_ZF) | (zf ? FL_ZF : 0));
}

static uint16_t sel_operand(struct soft_vcpu *v, const struct soft_op *op)
{
    return op->s == 0xff ? soft_ld16(v, op, soft_ea(v, op, 2, false)) : R16(op->s);
}

enum { LAR, LSL, VERR, VERW };

static __attribute__((noinline)) void query_do(struct soft_vcpu *v, const struct soft_op *op,
                                               unsigned what)
{
    /* system types: 286 TSS, LDT, busy 286 TSS, call gate 16, task gate; 32/64-bit TSS, busy,
     * call gate */
    uint32_t sys_ok = what == LAR ? 0x1a3e : 0x0a0e;
    uint16_t sel = sel_operand(v, op);
    struct engine_segment s = { 0 };
    uint64_t desc = 0, x;
    bool ok;

    if (!(v->cr0 & CR0_PE))
        soft_raise(v, op, SOFT_UD);
    ok = visible(v, op, sel, &s, &desc);
    if (soft_long(v))
        sys_ok = what == LAR ? 0x1a04 : 0x0a04;
    if (ok && what <= LSL)
        ok = s.attr & SEG_S || sys_ok >> SEG_TYPE(&s) & 1;
    if (ok && what == VERR)
        ok = s.attr & SEG_S && (!(SEG_TYPE(&s) & 8) || SEG_TYPE(&s) & 2);
    if (ok && what == VERW)
        ok = s.attr & SEG_S && !(SEG_TYPE(&s) & 8) && SEG_TYPE(&s) & 2;
    set_zf(v, ok);
    if (!ok || what > LSL)
        return;
    x = what == LAR ? desc >> 32 & 0x00ffff00 : s.limit;
    if (op->x == 16)
        R16(op->d) = (uint16_t)x;
    else
        R64(op->d) = x;
}

SOFT_FN(lar) { query_do(v, op, LAR); SOFT_NEXT; }
SOFT_FN(lsl) { query_do(v, op, LSL); SOFT_NEXT; }
SOFT_FN(verr) { query_do(v, op, VERR); SOFT_NEXT; }
SOFT_FN(verw) { query_do(v, op, VERW); SOFT_NEXT; }

SOFT_FN(arpl)
{
    uint16_t src = R16(op->s), x;
    uint64_t va = 0;

    if (!(v->cr0 & CR0_PE))
        soft_raise(v, op, SOFT_UD);
    if (op->d == 0xff) {
        va = soft_ea(v, op, 2, false);
        x = soft_ld16(v, op, va);
    } else {
        x = R16(op->d);
    }
    if ((x & 3) < (src & 3)) {
        x = (uint16_t)((x & ~3) | (src & 3));
        if (op->d == 0xff)
            soft_st16(v, op, soft_ea(v, op, 2, true), x);
        else
            R16(op->d) = x;
        set_zf(v, true);
    } else {
        set_zf(v, false);
    }
    SOFT_NEXT;
}

/* ---------------------------------------------------------------- LDTR and TR */

static void load_system(struct soft_vcpu *v, const struct soft_op *op, bool tr)
{
    struct engine_segment s;
    uint64_t desc, hi = 0;
    unsigned type;
    uint16_t sel;
    uint32_t err;

    if (!(v->cr0 & CR0_PE))
        soft_raise(v, op, SOFT_UD);
    if (v->cpl)
        soft_raise_err(v, op, SOFT_GP, 0);
    sel = sel_operand(v, op);
    err = sel & ~3u;
    if (!err && !tr) {
        v->ldtr = (struct engine_segment){ .sel = sel };
        return;
    }
    if (!err || sel & 4 || !soft_read_desc(v, op, sel, &desc))
        soft_raise_err(v, op, SOFT_GP, err);
    s = soft_unpack_desc(sel, desc);
    type = SEG_TYPE(&s);
    if (s.attr & SEG_S || (tr ? type != 9 && (type != 1 || soft_long(v)) : type != 2))
        soft_raise_err(v, op, SOFT_GP, err);
    if (!(s.attr & SEG_P))
        soft_raise_err(v, op, SOFT_NP, err);
    if (soft_long(v)) {
        if (!soft_read_desc(v, op, (uint16_t)(sel + 8), &hi))
            soft_raise_err(v, op, SOFT_GP, err);
        s.base |= hi << 32;
        if (!soft_canonical(s.base))
            soft_raise_err(v, op, SOFT_GP, err);
    }
    if (tr) {
        soft_st_as(v, op, SOFT_TLB_KERNEL, v->gdtr.base + (sel & ~7u) + 5, 1,
                   (desc >> 40 & 0xff) | 2);
        s.attr |= 2;
        v->tr = s;
    } else {
        v->ldtr = s;
    }
}

SOFT_FN(lldt) { load_system(v, op, false); SOFT_SYNC(v, op); }
SOFT_FN(ltr) { load_system(v, op, true); SOFT_SYNC(v, op); }

/* SLDT and STR; x: register bits */
static void store_system(struct soft_vcpu *v, const struct soft_op *op, uint16_t sel)
{
    if (!(v->cr0 & CR0_PE))
        soft_raise(v, op, SOFT_UD);
    if (v->cr4 & CR4_UMIP && v->cpl)
        soft_raise_err(v, op, SOFT_GP, 0);
    if (op->d == 0xff)
        soft_st16(v, op, soft_ea(v, op, 2, true), sel);
    else if (op->x == 16)
        R16(op->d) = sel;
    else
        R64(op->d) = sel;
}

SOFT_FN(sldt) { store_system(v, op, v->ldtr.sel); SOFT_NEXT; }
SOFT_FN(str) { store_system(v, op, v->tr.sel); SOFT_NEXT; }

/* ---------------------------------------------------------------- selection */

static bool is_seg(const struct soft_insn *in, unsigned n)
{
    return soft_is_reg(in, n) && in->o[n].reg.value >= ZYDIS_REGISTER_ES &&
           in->o[n].reg.value <= ZYDIS_REGISTER_GS;
}

static soft_fn sel_mov_seg(struct soft_insn *in, struct soft_op *op)
{
    if (is_seg(in, 0)) {
        op->d = (uint8_t)(in->o[0].reg.value - ZYDIS_REGISTER_ES);
        op->s = soft_is_mem(in, 1) ? 0xff : soft_reg(in, 1);
        if (op->d == ENGINE_CS)
            return NULL;
        if (in->mode & SOFT_M_CODE64 && op->d != ENGINE_SS)
            return mov_to_seg_data;
        in->end = SOFT_END_SYNC;
        return mov_to_seg;
    }
    op->s = (uint8_t)(in->o[1].reg.value - ZYDIS_REGISTER_ES);
    op->d = soft_is_mem(in, 0) ? 0xff : soft_reg(in, 0);
    op->x = soft_is_mem(in, 0) ? 16 : (uint8_t)in->o[0].size;
    return mov_from_seg;
}

static soft_fn sel_far_jump(struct soft_insn *in, struct soft_op *op)
{
    in->end = SOFT_END_SYNC;
    op->x = in->bits;
    op->d = in->i.mnemonic == ZYDIS_MNEMONIC_CALL;
    if (in->o[0].type == ZYDIS_OPERAND_TYPE_POINTER) {
        op->s = 0;
        op->disp = in->o[0].ptr.segment;
        op->imm = in->o[0].ptr.offset;
    } else {
        op->s = 1;
    }
    return far_;
}

static soft_fn sel_lxs(struct soft_insn *in, struct soft_op *op, enum engine_sreg reg)
{
    op->d = soft_reg(in, 0);
    op->s = reg;
    op->x = in->bits;
    in->end = SOFT_END_SYNC;
    return lxs;
}

static soft_fn sel_query(struct soft_insn *in, struct soft_op *op, unsigned src, soft_fn fn)
{
    if (src == 1)
        op->d = soft_reg(in, 0);
    op->x = in->bits;
    op->s = soft_is_mem(in, src) ? 0xff : soft_reg(in, src);
    return fn;
}

static soft_fn sel_store_system(struct soft_insn *in, struct soft_op *op, soft_fn fn)
{
    op->d = soft_is_mem(in, 0) ? 0xff : soft_reg(in, 0);
    op->x = (uint8_t)in->o[0].size;
    return fn;
}

soft_fn soft_sel_far(struct soft_insn *in, struct soft_op *op)
{
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_MOV: return sel_mov_seg(in, op);
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_CALL: return sel_far_jump(in, op);
    case ZYDIS_MNEMONIC_RET:
        in->end = SOFT_END_SYNC;
        op->imm = in->n ? in->o[0].imm.value.u & 0xffff : 0;
        op->x = in->bits;
        return retf;
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
        in->end = SOFT_END_SYNC;
        op->x = in->i.mnemonic == ZYDIS_MNEMONIC_IRET ? 16
              : in->i.mnemonic == ZYDIS_MNEMONIC_IRETD ? 32 : 64;
        return iret;
    case ZYDIS_MNEMONIC_LDS: return sel_lxs(in, op, ENGINE_DS);
    case ZYDIS_MNEMONIC_LES: return sel_lxs(in, op, ENGINE_ES);
    case ZYDIS_MNEMONIC_LFS: return sel_lxs(in, op, ENGINE_FS);
    case ZYDIS_MNEMONIC_LGS: return sel_lxs(in, op, ENGINE_GS);
    case ZYDIS_MNEMONIC_LSS: return sel_lxs(in, op, ENGINE_SS);
    case ZYDIS_MNEMONIC_LAR: return sel_query(in, op, 1, lar);
    case ZYDIS_MNEMONIC_LSL: return sel_query(in, op, 1, lsl);
    case ZYDIS_MNEMONIC_VERR: return sel_query(in, op, 0, verr);
    case ZYDIS_MNEMONIC_VERW: return sel_query(in, op, 0, verw);
    case ZYDIS_MNEMONIC_ARPL:
        op->d = soft_is_mem(in, 0) ? 0xff : soft_reg(in, 0);
        op->s = soft_reg(in, 1);
        return arpl;
    case ZYDIS_MNEMONIC_LLDT: in->end = SOFT_END_SYNC; return sel_query(in, op, 0, lldt);
    case ZYDIS_MNEMONIC_LTR: in->end = SOFT_END_SYNC; return sel_query(in, op, 0, ltr);
    case ZYDIS_MNEMONIC_SLDT: return sel_store_system(in, op, sldt);
    case ZYDIS_MNEMONIC_STR: return sel_store_system(in, op, str);
    default: return NULL;
    }
}
