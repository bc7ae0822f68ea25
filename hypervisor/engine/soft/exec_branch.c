/* SPDX-License-Identifier: MIT */
/* Near JMP, Jcc, LOOP, JrCXZ, CALL, RET. Fused compare-and-branch is in exec_fused.c. */
#include "hypervisor/engine/soft/stack.h"

#define ALL_CC(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(a) F(b) F(c) F(d) F(e) F(f)

/* ---------------------------------------------------------------- 64-bit code */

SOFT_FN(jmp64) { SOFT_GOTO(v, op, taken); }

#define JCC(cc) \
SOFT_FN(jcc64_##cc) \
{ \
    if (soft_cond(v, 0x##cc)) \
        SOFT_GOTO(v, op, taken); \
    SOFT_GOTO(v, op, fall); \
}
ALL_CC(JCC)
#define JCC_TAB(cc) jcc64_##cc,
static const soft_fn jcc64[16] = { ALL_CC(JCC_TAB) };

SOFT_FN(call64_slow)
{
    soft_push(v, op, SOFT_RIP(v, op) + op->len, 64);
    SOFT_GOTO(v, op, taken);
}

SOFT_FN(call64)
{
    uint64_t sp = R64(SOFT_G(4)) - 8;

    if (soft_unlikely(!st64(v, op, HOW_ANY, sp, SOFT_RIP(v, op) + op->len)))
        SOFT_TAIL return call64_slow(v, op);
    R64(SOFT_G(4)) = sp;
    SOFT_GOTO(v, op, taken);
}

static inline bool canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

#define CHECK_TARGET(rip) do { \
    if (soft_unlikely(!canonical(rip))) \
        soft_raise_err(v, op, SOFT_GP, 0); \
} while (0)

/* imm: bytes to release above the return address */
SOFT_FN(ret64_slow)
{
    uint64_t rip = soft_peek(v, op, 0, 64);

    CHECK_TARGET(rip);
    R64(SOFT_G(4)) += 8 + op->imm;
    v->gpr[16] = rip;
    SOFT_JUMP64(v, op);
}

SOFT_FN(ret64)
{
    uint64_t sp = R64(SOFT_G(4)), rip;

    if (soft_unlikely(!ld64(v, op, HOW_ANY, sp, &rip)) || soft_unlikely(!canonical(rip)))
        SOFT_TAIL return ret64_slow(v, op);
    R64(SOFT_G(4)) = sp + 8 + op->imm;
    v->gpr[16] = rip;
    SOFT_JUMP64(v, op);
}

SOFT_FN(jmp64_r)
{
    uint64_t rip = R64(op->s);

    CHECK_TARGET(rip);
    v->gpr[16] = rip;
    SOFT_JUMP64(v, op);
}

SOFT_FN(jmp64_m)
{
    uint64_t rip = soft_ld64(v, op, soft_ea(v, op, 8, false));

    CHECK_TARGET(rip);
    v->gpr[16] = rip;
    SOFT_JUMP64(v, op);
}

/* An indirect CALL whose push faults says so first. */
static SOFT_COLD void call_bad_target(struct soft_vcpu *v, const struct soft_op *op)
{
    soft_probe(v, op, soft_stack_va(v, op, soft_sp(v) - 8, 8, true), 8, true);
    soft_raise_err(v, op, SOFT_GP, 0);
}

SOFT_FN(call64_r)
{
    uint64_t rip = R64(op->s);

    if (soft_unlikely(!canonical(rip)))
        call_bad_target(v, op);
    soft_push(v, op, SOFT_RIP(v, op) + op->len, 64);
    v->gpr[16] = rip;
    SOFT_JUMP64(v, op);
}

SOFT_FN(call64_m)
{
    uint64_t rip = soft_ld64(v, op, soft_ea(v, op, 8, false));

    if (soft_unlikely(!canonical(rip)))
        call_bad_target(v, op);
    soft_push(v, op, SOFT_RIP(v, op) + op->len, 64);
    v->gpr[16] = rip;
    SOFT_JUMP64(v, op);
}

/* ---------------------------------------------------------------- any mode, any operand size */

/* Goes to `rip`, checked and cut to the operand size (s, or x for CALL/RET/JMP: bits). */
static void near_to(struct soft_vcpu *v, const struct soft_op *op, uint64_t rip, unsigned bits)
{
    if (v->mode & SOFT_M_CODE64) {
        CHECK_TARGET(rip);
    } else {
        rip = bits == 16 ? (uint16_t)rip : (uint32_t)rip;
        if (rip > v->seg[ENGINE_CS].limit)
            soft_raise_err(v, op, SOFT_GP, 0);
    }
    v->gpr[16] = rip;
}

#define LEAVE_ANY(v, op) do { \
    if (soft_leave(v, op) || !SOFT_CHAIN) \
        return; \
    SOFT_TAIL return soft_find_go(v, op); \
} while (0)

/* In legacy modes the return address is an offset and SOFT_RIP is CS-relative already. */
static uint64_t next_rip(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t rip = SOFT_RIP(v, op) + op->len;

    return v->mode & SOFT_M_CODE64 ? rip : (uint32_t)rip;
}

/* x: operand bits; s: kind; imm: displacement */
enum { J_ALWAYS = 16, J_CXZ, J_LOOP, J_LOOPE, J_LOOPNE };    /* below 16: condition code */

static __attribute__((noinline)) void jump_any_do(struct soft_vcpu *v, const struct soft_op *op)
{
    unsigned abits = op->d;
    uint64_t mask = abits == 16 ? 0xffff : abits == 32 ? 0xffffffff : ~0ull;
    uint64_t cx = R64(SOFT_G(1)) & mask;
    uint64_t next = next_rip(v, op);
    bool yes;

    switch (op->s) {
    case J_ALWAYS: yes = true; break;
    case J_CXZ: yes = cx == 0; break;
    case J_LOOP: yes = cx != 1; break;
    case J_LOOPE: yes = cx != 1 && soft_zf(v); break;
    case J_LOOPNE: yes = cx != 1 && !soft_zf(v); break;
    default: yes = soft_cond(v, op->s); break;
    }
    near_to(v, op, yes ? next + op->imm : next, yes ? op->x : 64);
    if (op->s >= J_LOOP) {
        if (abits == 16)
            R16(SOFT_G(1))--;
        else
            R64(SOFT_G(1)) = (cx - 1) & mask;
    }
}

SOFT_FN(jump_any) { jump_any_do(v, op); LEAVE_ANY(v, op); }

/* d: 1 when s is a register, 2 memory, 0 displacement in imm */
static __attribute__((noinline)) uint64_t near_target(struct soft_vcpu *v, const struct soft_op *op)
{
    unsigned bits = op->x;

    if (op->d == 2)
        return soft_ld_slow(v, op, soft_ea(v, op, bits / 8, false), bits / 8);
    if (op->d == 1)
        return bits == 16 ? R16(op->s) : bits == 32 ? R32(op->s) : R64(op->s);
    return next_rip(v, op) + op->imm;
}

static __attribute__((noinline)) void call_any_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t rip = near_target(v, op), next = next_rip(v, op), old = v->gpr[16];
    uint64_t sp = soft_sp(v) - op->x / 8, va;

    /* The target is checked before the push, but must be taken after it: faults name this
     * instruction. */
    va = soft_stack_va(v, op, sp, op->x / 8, true);
    soft_probe(v, op, va, op->x / 8, true);
    near_to(v, op, rip, op->x);
    rip = v->gpr[16];
    v->gpr[16] = old;
    soft_st_slow(v, op, va, op->x / 8, next);
    soft_set_sp(v, sp);
    v->gpr[16] = rip;
}

static __attribute__((noinline)) void ret_any_do(struct soft_vcpu *v, const struct soft_op *op)
{
    near_to(v, op, soft_peek(v, op, 0, op->x), op->x);
    soft_set_sp(v, soft_sp(v) + op->x / 8 + op->imm);
}

SOFT_FN(jmp_any) { near_to(v, op, near_target(v, op), op->x); LEAVE_ANY(v, op); }
SOFT_FN(call_any) { call_any_do(v, op); LEAVE_ANY(v, op); }
SOFT_FN(ret_any) { ret_any_do(v, op); LEAVE_ANY(v, op); }

/* ---------------------------------------------------------------- selection */

static soft_fn sel_jmp_call(struct soft_insn *in, struct soft_op *op, bool call)
{
    bool wide = in->mode & SOFT_M_CODE64;

    in->end = SOFT_END_LINK;
    op->x = in->bits;
    if (soft_is_mem(in, 0)) {
        op->d = 2;
        if (wide && in->bits == 64)
            return call ? call64_m : jmp64_m;
    } else if (soft_is_reg(in, 0)) {
        op->s = soft_reg(in, 0);
        op->d = 1;
        if (wide && in->bits == 64)
            return call ? call64_r : jmp64_r;
    } else {
        op->imm = (uint64_t)in->o[0].imm.value.s;
        if (wide && !in->big_rel)
            return call ? call64 : jmp64;
        if (wide)
            op->x = 64;
    }
    return call ? call_any : jmp_any;
}

static soft_fn sel_jcc(struct soft_insn *in, struct soft_op *op)
{
    unsigned kind = in->i.opcode & 15;
    bool cond = true;

    in->end = SOFT_END_LINK;
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_JCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_JRCXZ: kind = J_CXZ; cond = false; break;
    case ZYDIS_MNEMONIC_LOOP: kind = J_LOOP; cond = false; break;
    case ZYDIS_MNEMONIC_LOOPE: kind = J_LOOPE; cond = false; break;
    case ZYDIS_MNEMONIC_LOOPNE: kind = J_LOOPNE; cond = false; break;
    default: break;
    }
    op->imm = (uint64_t)in->o[0].imm.value.s;
    if (cond && in->mode & SOFT_M_CODE64 && !in->big_rel)
        return jcc64[kind];
    op->s = (uint8_t)kind;
    op->d = in->abits;
    op->x = in->mode & SOFT_M_CODE64 ? 64 : in->bits;
    return jump_any;
}

soft_fn soft_sel_branch(struct soft_insn *in, struct soft_op *op)
{
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_JMP: return sel_jmp_call(in, op, false);
    case ZYDIS_MNEMONIC_CALL: return sel_jmp_call(in, op, true);
    case ZYDIS_MNEMONIC_RET:
        in->end = SOFT_END_LINK;
        op->imm = in->n ? in->o[0].imm.value.u & 0xffff : 0;
        op->x = in->bits;
        return in->mode & SOFT_M_CODE64 && in->bits == 64 ? ret64 : ret_any;
    default: return sel_jcc(in, op);
    }
}

/* The op that ends a block without a branch: op->ip is the next instruction's offset, len is 0. */
void soft_op_fall(struct soft_vcpu *v, const struct soft_op *op)
{
    SOFT_GOTO(v, op, fall);
}

/* The same for modes other than 64-bit, where nothing is linked and RIP wraps. */
void soft_op_fall_any(struct soft_vcpu *v, const struct soft_op *op)
{
    v->gpr[16] = (uint32_t)(v->gpr[16] + op->ip);
    LEAVE_ANY(v, op);
}

/*
 * After system instructions: on to whatever gpr[16] names, unless the run loop has something to
 * do. An interrupt window is its business, and so are events, HLT and steps.
 */
void soft_continue(struct soft_vcpu *v, const struct soft_op *op)
{
    if (soft_leave(v, op) || v->want_window || v->event.valid || v->halted || v->sti_shadow ||
        !SOFT_CHAIN)
        return;
    SOFT_TAIL return soft_find_go(v, op);
}

/* Put in place of the next op when its block has been overwritten: leaves before executing it. */
void soft_op_resume(struct soft_vcpu *v, const struct soft_op *op)
{
    v->gpr[16] += op->ip;
    v->budget -= op->idx;
}
