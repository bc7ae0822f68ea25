/* SPDX-License-Identifier: MIT */
/* PUSH POP PUSHA POPA PUSHF POPF ENTER LEAVE. CALL and RET are in exec_branch.c. */
#include "hypervisor/engine/soft/stack.h"

/* 64-bit code, 64-bit operand: the common forms. */
SOFT_FN(push64_slow)
{
    soft_push(v, op, op->x ? op->imm : R64(op->s), 64);
    SOFT_NEXT;
}

SOFT_FN(push64_r)
{
    uint64_t sp = R64(SOFT_G(4)) - 8;

    if (soft_unlikely(!st64(v, op, HOW_ANY, sp, R64(op->s))))
        SOFT_TAIL return push64_slow(v, op);
    R64(SOFT_G(4)) = sp;
    SOFT_NEXT;
}

SOFT_FN(push64_i)
{
    uint64_t sp = R64(SOFT_G(4)) - 8;

    if (soft_unlikely(!st64(v, op, HOW_ANY, sp, op->imm)))
        SOFT_TAIL return push64_slow(v, op);
    R64(SOFT_G(4)) = sp;
    SOFT_NEXT;
}

SOFT_FN(pop64_slow)
{
    uint64_t x = soft_peek(v, op, 0, 64);

    soft_set_sp(v, R64(SOFT_G(4)) + 8);
    R64(op->d) = x;
    SOFT_NEXT;
}

SOFT_FN(pop64_r)
{
    uint64_t sp = R64(SOFT_G(4)), x;

    if (soft_unlikely(!ld64(v, op, HOW_ANY, sp, &x)))
        SOFT_TAIL return pop64_slow(v, op);
    R64(SOFT_G(4)) = sp + 8;
    R64(op->d) = x;
    SOFT_NEXT;
}

SOFT_FN(leave64_slow)
{
    uint64_t bp = R64(SOFT_G(5)), x = soft_ld_slow(v, op, soft_stack_va(v, op, bp, 8, false), 8);

    R64(SOFT_G(4)) = bp + 8;
    R64(SOFT_G(5)) = x;
    SOFT_NEXT;
}

SOFT_FN(leave64)
{
    uint64_t bp = R64(SOFT_G(5)), x;

    if (soft_unlikely(!ld64(v, op, HOW_ANY, bp, &x)))
        SOFT_TAIL return leave64_slow(v, op);
    R64(SOFT_G(4)) = bp + 8;
    R64(SOFT_G(5)) = x;
    SOFT_NEXT;
}

/* All other sizes: x = operand bits. */
static uint64_t reg_of(struct soft_vcpu *v, uint8_t off, unsigned bits)
{
    return bits == 16 ? R16(off) : bits == 32 ? R32(off) : R64(off);
}

static void set_reg(struct soft_vcpu *v, uint8_t off, unsigned bits, uint64_t x)
{
    if (bits == 16)
        R16(off) = (uint16_t)x;
    else
        R64(off) = bits == 32 ? (uint32_t)x : x;
}

SOFT_FN(push_r) { soft_push(v, op, reg_of(v, op->s, op->x), op->x); SOFT_NEXT; }
SOFT_FN(push_i) { soft_push(v, op, op->imm, op->x); SOFT_NEXT; }
SOFT_FN(push_m)
{
    uint64_t x = soft_ld_slow(v, op, soft_ea(v, op, op->x / 8, false), op->x / 8);

    soft_push(v, op, x, op->x);
    SOFT_NEXT;
}

SOFT_FN(pop_r)
{
    uint64_t x = soft_peek(v, op, 0, op->x);

    soft_set_sp(v, soft_sp(v) + op->x / 8);
    set_reg(v, op->d, op->x, x);
    SOFT_NEXT;
}

/* The address is computed with SP already incremented (matters when SP is the base). */
static __attribute__((noinline)) void pop_m_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t x = soft_peek(v, op, 0, op->x), old = R64(SOFT_G(4)), va;

    if (op->base == SOFT_G(4)) {
        uint64_t a = soft_ea_raw(v, op) + op->x / 8;
        va = op->ea <= SOFT_EA_BASED ? a + v->segbase[op->seg]
                                     : soft_ea_slow(v, op, a, op->x / 8, true);
    } else {
        va = soft_ea(v, op, op->x / 8, true);
    }
    (void)old;
    soft_st_slow(v, op, va, op->x / 8, x);
    soft_set_sp(v, soft_sp(v) + op->x / 8);
}

SOFT_FN(pop_m) { pop_m_do(v, op); SOFT_NEXT; }

SOFT_FN(push_seg) { soft_push(v, op, v->seg[op->s].sel, op->x); SOFT_NEXT; }

static __attribute__((noinline)) void pop_seg_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t x = soft_peek(v, op, 0, op->x), sp = soft_sp(v) + op->x / 8;
    bool wide = v->mode & SOFT_M_CODE64;
    uint32_t mode = v->mode;

    soft_load_seg(v, op, (enum engine_sreg)op->d, (uint16_t)x);
    /* POP SS moves the stack pointer of the old stack's size. */
    if (wide || mode & SOFT_M_STACK32)
        R64(SOFT_G(4)) = wide ? sp : (uint32_t)sp;
    else
        R16(SOFT_G(4)) = (uint16_t)sp;
    if (op->d == ENGINE_SS) {
        v->mov_ss_shadow = true;
        soft_attend(v, SOFT_ATT_EVENT);
    }
}

SOFT_FN(pop_seg) { pop_seg_do(v, op); SOFT_SYNC(v, op); }

static __attribute__((noinline)) void pusha_do(struct soft_vcpu *v, const struct soft_op *op)
{
    unsigned size = op->x / 8;
    uint64_t sp = soft_sp(v), old = R64(SOFT_G(4));

    soft_probe(v, op, soft_stack_va(v, op, sp - 8 * size, 8 * size, true), 8 * size, true);
    for (unsigned i = 0; i < 8; i++)
        soft_push(v, op, i == 4 ? old : R64(SOFT_G(i)), op->x);
}

static __attribute__((noinline)) void popa_do(struct soft_vcpu *v, const struct soft_op *op)
{
    unsigned size = op->x / 8;
    uint64_t x[8];

    for (unsigned i = 0; i < 8; i++)
        x[i] = soft_peek(v, op, i * size, op->x);
    soft_set_sp(v, soft_sp(v) + 8 * size);
    for (unsigned i = 0; i < 8; i++)
        if (i != 3)
            set_reg(v, (uint8_t)SOFT_G(7 - i), op->x, x[i]);
}

SOFT_FN(pusha) { pusha_do(v, op); SOFT_NEXT; }
SOFT_FN(popa) { popa_do(v, op); SOFT_NEXT; }

SOFT_FN(pushf)
{
    soft_push(v, op, soft_get_rflags(v) & ~(uint64_t)(FL_VM | FL_RF), op->x);
    SOFT_NEXT;
}

/* IOPL changes at CPL 0 only, IF when CPL <= IOPL. */
static __attribute__((noinline)) void popf_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t x = soft_peek(v, op, 0, op->x), mask = FL_ARITH | FL_TF | FL_DF | FL_NT;

    if (op->x > 16)
        mask |= FL_AC | FL_ID;
    if (v->cpl == 0)
        mask |= FL_IOPL | FL_IF;
    else if (v->cpl <= (v->rflags >> 12 & 3))
        mask |= FL_IF;
    soft_set_sp(v, soft_sp(v) + op->x / 8);
    if (op->x > 16)
        v->rflags &= ~(uint64_t)FL_RF;
    soft_set_rflags(v, x, mask);
}

SOFT_FN(popf) { popf_do(v, op); SOFT_SYNC(v, op); }

/* imm: frame size | nesting level << 16 */
static __attribute__((noinline)) void enter_do(struct soft_vcpu *v, const struct soft_op *op)
{
    unsigned bits = op->x, size = bits / 8, level = op->imm >> 16 & 31;
    uint64_t sp = soft_sp(v), bp = R64(SOFT_G(5)), frame, total = size * (1 + level);
    bool wide = v->mode & SOFT_M_CODE64, s32 = v->mode & SOFT_M_STACK32;

    /* All that can fault first: the pushes, and the word that the new frame ends with. */
    soft_probe(v, op, soft_stack_va(v, op, sp - total, (unsigned)total, true), (unsigned)total,
               true);
    for (unsigned i = 1; i < level; i++)
        (void)soft_ld_slow(v, op, soft_stack_va(v, op, bp - i * size, size, false), size);
    soft_probe(v, op, soft_stack_va(v, op, sp - total - (op->imm & 0xffff), size, true), size,
               true);
    soft_push(v, op, bp, bits);
    frame = soft_sp(v);
    for (unsigned i = 1; i < level; i++)
        soft_push(v, op, soft_ld_slow(v, op, soft_stack_va(v, op, bp - i * size, size, false),
                                      size), bits);
    if (level)
        soft_push(v, op, frame, bits);
    soft_set_sp(v, soft_sp(v) - (op->imm & 0xffff));
    if (wide)
        set_reg(v, SOFT_G(5), bits, frame);
    else if (s32)
        set_reg(v, SOFT_G(5), bits, frame);
    else
        R16(SOFT_G(5)) = (uint16_t)frame;
}

SOFT_FN(enter) { enter_do(v, op); SOFT_NEXT; }

SOFT_FN(leave)
{
    uint64_t bp = R64(SOFT_G(5));
    uint64_t x = soft_ld_slow(v, op, soft_stack_va(v, op, bp, op->x / 8, false), op->x / 8);

    soft_set_sp(v, bp + op->x / 8);
    set_reg(v, SOFT_G(5), op->x, x);
    SOFT_NEXT;
}

static soft_fn sel_push(struct soft_insn *in, struct soft_op *op)
{
    bool fast = in->mode & SOFT_M_CODE64 && in->bits == 64;

    op->x = in->bits;
    if (soft_is_mem(in, 0))
        return push_m;
    if (soft_is_imm(in, 0)) {
        if (fast)
            op->x = 1;
        return fast ? push64_i : push_i;
    }
    if (in->o[0].reg.value >= ZYDIS_REGISTER_ES && in->o[0].reg.value <= ZYDIS_REGISTER_GS) {
        op->s = (uint8_t)(in->o[0].reg.value - ZYDIS_REGISTER_ES);
        return push_seg;
    }
    op->s = soft_reg(in, 0);
    if (fast)
        op->x = 0;
    return fast ? push64_r : push_r;
}

static soft_fn sel_pop(struct soft_insn *in, struct soft_op *op)
{
    op->x = in->bits;
    if (soft_is_mem(in, 0))
        return pop_m;
    if (in->o[0].reg.value >= ZYDIS_REGISTER_ES && in->o[0].reg.value <= ZYDIS_REGISTER_GS) {
        op->d = (uint8_t)(in->o[0].reg.value - ZYDIS_REGISTER_ES);
        in->end = SOFT_END_SYNC;
        return pop_seg;
    }
    op->d = soft_reg(in, 0);
    return in->mode & SOFT_M_CODE64 && in->bits == 64 ? pop64_r : pop_r;
}

soft_fn soft_sel_stack(struct soft_insn *in, struct soft_op *op)
{
    op->x = in->bits;
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH: return sel_push(in, op);
    case ZYDIS_MNEMONIC_POP: return sel_pop(in, op);
    case ZYDIS_MNEMONIC_PUSHA:
    case ZYDIS_MNEMONIC_PUSHAD: return pusha;
    case ZYDIS_MNEMONIC_POPA:
    case ZYDIS_MNEMONIC_POPAD: return popa;
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFD:
    case ZYDIS_MNEMONIC_PUSHFQ: return pushf;
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_POPFQ: in->end = SOFT_END_SYNC; return popf;
    case ZYDIS_MNEMONIC_ENTER:
        op->imm = (in->o[0].imm.value.u & 0xffff) | (in->o[1].imm.value.u & 31) << 16;
        return enter;
    case ZYDIS_MNEMONIC_LEAVE: return in->mode & SOFT_M_CODE64 && in->bits == 64 ? leave64 : leave;
    default: return NULL;
    }
}
