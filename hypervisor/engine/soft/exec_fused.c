/* SPDX-License-Identifier: MIT */
/*
 * CMP or TEST followed by Jcc, in 64-bit code, as one op. The flags are stored as the first
 * instruction would leave them; the condition is computed from the operands directly.
 */
#include "hypervisor/engine/soft/exec.h"

/* Conditions after x - y and after x & y, for those that compilers use. */
#define SUB_2(b, x, y) ((x) < (y))
#define SUB_3(b, x, y) ((x) >= (y))
#define SUB_4(b, x, y) ((x) == (y))
#define SUB_5(b, x, y) ((x) != (y))
#define SUB_6(b, x, y) ((x) <= (y))
#define SUB_7(b, x, y) ((x) > (y))
#define SUB_8(b, x, y) ((int##b##_t)((x) - (y)) < 0)
#define SUB_9(b, x, y) ((int##b##_t)((x) - (y)) >= 0)
#define SUB_c(b, x, y) ((int##b##_t)(x) < (int##b##_t)(y))
#define SUB_d(b, x, y) ((int##b##_t)(x) >= (int##b##_t)(y))
#define SUB_e(b, x, y) ((int##b##_t)(x) <= (int##b##_t)(y))
#define SUB_f(b, x, y) ((int##b##_t)(x) > (int##b##_t)(y))
#define AND_2(b, x, y) false
#define AND_3(b, x, y) true
#define AND_4(b, x, y) (((x) & (y)) == 0)
#define AND_5(b, x, y) (((x) & (y)) != 0)
#define AND_6(b, x, y) (((x) & (y)) == 0)
#define AND_7(b, x, y) (((x) & (y)) != 0)
#define AND_8(b, x, y) ((int##b##_t)((x) & (y)) < 0)
#define AND_9(b, x, y) ((int##b##_t)((x) & (y)) >= 0)
#define AND_c(b, x, y) ((int##b##_t)((x) & (y)) < 0)
#define AND_d(b, x, y) ((int##b##_t)((x) & (y)) >= 0)
#define AND_e(b, x, y) ((int##b##_t)((x) & (y)) <= 0)
#define AND_f(b, x, y) ((int##b##_t)((x) & (y)) > 0)

#define SET_SUB(b, x, y) soft_set_cc(v, CC_OP(CC_SUB, b), sx##b((uint##b##_t)((x) - (y))), (y))
#define SET_AND(b, x, y) soft_set_cc(v, CC_OP(CC_LOGIC, b), sx##b((uint##b##_t)((x) & (y))), 0)

#define BRANCH(K, b, cc, x, y) do { \
    SET_##K(b, x, y); \
    if (K##_##cc(b, x, y)) \
        SOFT_GOTO(v, op, taken); \
    SOFT_GOTO(v, op, fall); \
} while (0)

#define F_RR(K, b, cc) \
SOFT_FN(K##_rr##b##_##cc) \
{ const uint##b##_t x = RD##b(op->d), y = RD##b(op->s); BRANCH(K, b, cc, x, y); }
#define F_RI(K, b, cc) \
SOFT_FN(K##_ri##b##_##cc) \
{ const uint##b##_t x = RD##b(op->d), y = (uint##b##_t)op->imm; BRANCH(K, b, cc, x, y); }
/* name: rm (register, memory) mr (memory, register) mi (memory, immediate) */
#define F_MEM(K, name, b, cc, X, Y) \
static SOFT_COLD void K##_##name##b##_##cc##_slow(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    const uint##b##_t m = (uint##b##_t)soft_ld_slow(v, op, soft_ea(v, op, b / 8, false), b / 8); \
    const uint##b##_t x = X, y = Y; \
    BRANCH(K, b, cc, x, y); \
} \
SOFT_FN(K##_##name##b##_##cc##_any) \
{ \
    uint##b##_t m; \
    if (soft_unlikely(!ld##b(v, op, HOW_ANY, soft_ea_how(v, op, HOW_ANY, b / 8, false), &m))) \
        SOFT_TAIL return K##_##name##b##_##cc##_slow(v, op); \
    const uint##b##_t x = X, y = Y; \
    BRANCH(K, b, cc, x, y); \
} \
SOFT_FN(K##_##name##b##_##cc##_base) \
{ \
    uint##b##_t m; \
    if (soft_unlikely(!ld##b(v, op, HOW_BASE, soft_ea_how(v, op, HOW_BASE, b / 8, false), &m))) \
        SOFT_TAIL return K##_##name##b##_##cc##_slow(v, op); \
    const uint##b##_t x = X, y = Y; \
    BRANCH(K, b, cc, x, y); \
}
#define F_RM(K, b, cc) F_MEM(K, rm, b, cc, RD##b(op->d), m)
#define F_MR(K, b, cc) F_MEM(K, mr, b, cc, m, RD##b(op->s))
#define F_MI(K, b, cc) F_MEM(K, mi, b, cc, m, (uint##b##_t)op->imm)

#define ALL_CC(F, K, b) F(K, b, 2) F(K, b, 3) F(K, b, 4) F(K, b, 5) F(K, b, 6) F(K, b, 7) F(K, b, \
                                                                                            8) \
                        F(K, b, 9) F(K, b, c) F(K, b, d) F(K, b, e) F(K, b, f)
ALL_CC(F_RR, SUB, 8) ALL_CC(F_RR, SUB, 32) ALL_CC(F_RR, SUB, 64)
ALL_CC(F_RI, SUB, 8) ALL_CC(F_RI, SUB, 16) ALL_CC(F_RI, SUB, 32) ALL_CC(F_RI, SUB, 64)
ALL_CC(F_RR, AND, 8) ALL_CC(F_RR, AND, 16) ALL_CC(F_RR, AND, 32) ALL_CC(F_RR, AND, 64)
ALL_CC(F_RI, AND, 8) ALL_CC(F_RI, AND, 32) ALL_CC(F_RI, AND, 64)
ALL_CC(F_RM, SUB, 32) ALL_CC(F_RM, SUB, 64)
ALL_CC(F_MR, SUB, 8) ALL_CC(F_MR, SUB, 32) ALL_CC(F_MR, SUB, 64)
ALL_CC(F_MI, SUB, 8) ALL_CC(F_MI, SUB, 16) ALL_CC(F_MI, SUB, 32) ALL_CC(F_MI, SUB, 64)
ALL_CC(F_MI, AND, 8) ALL_CC(F_MI, AND, 32)

#define T_R(name, K, b, cc) [0x##cc] = K##_##name##b##_##cc,
#define T_M(name, K, b, cc) [0x##cc] = SOFT_MEM3(K##_##name##b##_##cc),
#define T_RR(K, b, cc) T_R(rr, K, b, cc)
#define T_RI(K, b, cc) T_R(ri, K, b, cc)
#define T_RM(K, b, cc) T_M(rm, K, b, cc)
#define T_MR(K, b, cc) T_M(mr, K, b, cc)
#define T_MI(K, b, cc) T_M(mi, K, b, cc)

/* [operand size][condition]; empty: not fused */
static const soft_fn sub_rr[4][16] = { [0] = { ALL_CC(T_RR, SUB, 8) },
                                       [2] = { ALL_CC(T_RR, SUB, 32) },
                                       [3] = { ALL_CC(T_RR, SUB, 64) } };
static const soft_fn sub_ri[4][16] = { [0] = { ALL_CC(T_RI, SUB, 8) },
                                       [1] = { ALL_CC(T_RI, SUB, 16) },
                                       [2] = { ALL_CC(T_RI, SUB, 32) }, [3] = { ALL_CC(T_RI, SUB,
                                                                                       64) } };
static const soft_fn and_rr[4][16] = { [0] = { ALL_CC(T_RR, AND, 8) },
                                       [1] = { ALL_CC(T_RR, AND, 16) },
                                       [2] = { ALL_CC(T_RR, AND, 32) }, [3] = { ALL_CC(T_RR, AND,
                                                                                       64) } };
static const soft_fn and_ri[4][16] = { [0] = { ALL_CC(T_RI, AND, 8) },
                                       [2] = { ALL_CC(T_RI, AND, 32) },
                                       [3] = { ALL_CC(T_RI, AND, 64) } };
static const struct soft_mem3 sub_rm[4][16] = { [2] = { ALL_CC(T_RM, SUB, 32) },
                                                [3] = { ALL_CC(T_RM, SUB, 64) } };
static const struct soft_mem3 sub_mr[4][16] = { [0] = { ALL_CC(T_MR, SUB, 8) },
                                                [2] = { ALL_CC(T_MR, SUB, 32) },
                                                [3] = { ALL_CC(T_MR, SUB, 64) } };
static const struct soft_mem3 sub_mi[4][16] = { [0] = { ALL_CC(T_MI, SUB, 8) },
                                                [1] = { ALL_CC(T_MI, SUB, 16) },
                                                [2] = { ALL_CC(T_MI, SUB, 32) },
                                                [3] = { ALL_CC(T_MI, SUB, 64) } };
static const struct soft_mem3 and_mi[4][16] = { [0] = { ALL_CC(T_MI, AND, 8) },
                                                [2] = { ALL_CC(T_MI, AND, 32) } };

soft_fn soft_sel_fused(const struct soft_insn *in, const struct soft_op *op, unsigned cc)
{
    bool cmp = in->i.mnemonic == ZYDIS_MNEMONIC_CMP;
    unsigned z = soft_szi(in->bits);
    const struct soft_mem3 *m = NULL;

    if (in->mem < 0) {
        if (soft_is_imm(in, 1))
            return cmp ? sub_ri[z][cc] : and_ri[z][cc];
        return cmp ? sub_rr[z][cc] : and_rr[z][cc];
    }
    if (in->mem == 1)
        m = cmp ? &sub_rm[z][cc] : NULL;
    else if (soft_is_imm(in, 1))
        m = cmp ? &sub_mi[z][cc] : &and_mi[z][cc];
    else
        m = cmp ? &sub_mr[z][cc] : NULL;
    return m && m->slow ? soft_pick(m, op) : NULL;
}
