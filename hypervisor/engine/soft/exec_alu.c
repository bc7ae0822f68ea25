/* SPDX-License-Identifier: MIT */
/* ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT, in every size and form. */
#include "hypervisor/engine/soft/alu.h"

/* All forms of one operation: register/memory destinations that are written back. */
#define FORMS(op_, b) \
SOFT_FN(op_##_rr##b) { WR##b(op->d, alu_##op_##b(v, RD##b(op->d), RD##b(op->s))); SOFT_NEXT; } \
SOFT_FN(op_##_ri##b) { WR##b(op->d, \
                             alu_##op_##b(v, RD##b(op->d), (uint##b##_t)op->imm)); SOFT_NEXT; } \
SOFT_INLINE bool op_##_rm_core##b(struct soft_vcpu *v, const struct soft_op *op, \
                                  enum soft_how how) \
{ \
    uint##b##_t x; \
    if (!ld##b(v, op, how, soft_ea_how(v, op, how, b / 8, false), &x)) \
        return false; \
    WR##b(op->d, alu_##op_##b(v, RD##b(op->d), x)); \
    return true; \
} \
SOFT_MEMFN(op_##_rm##b, op_##_rm_core##b(v, op, how)) \
SOFT_INLINE bool op_##_mx_core##b(struct soft_vcpu *v, const struct soft_op *op, \
                                  enum soft_how how, \
                                  uint##b##_t y) \
{ \
    uint64_t va = soft_ea_how(v, op, how, b / 8, true); \
    uint##b##_t x; \
    if (!ldw##b(v, op, how, va, &x)) \
        return false; \
    stw##b(v, op, how, va, alu_##op_##b(v, x, y)); \
    return true; \
} \
SOFT_MEMFN(op_##_mr##b, op_##_mx_core##b(v, op, how, RD##b(op->s))) \
SOFT_MEMFN(op_##_mi##b, op_##_mx_core##b(v, op, how, (uint##b##_t)op->imm))

/* The same for operations that only set flags. */
#define FORMS_RO(op_, alu, b) \
SOFT_FN(op_##_rr##b) { alu##b(v, RD##b(op->d), RD##b(op->s)); SOFT_NEXT; } \
SOFT_FN(op_##_ri##b) { alu##b(v, RD##b(op->d), (uint##b##_t)op->imm); SOFT_NEXT; } \
SOFT_INLINE bool op_##_ro_core##b(struct soft_vcpu *v, const struct soft_op *op, \
                                  enum soft_how how, \
                                  int form) \
{ \
    uint##b##_t x; \
    if (!ld##b(v, op, how, soft_ea_how(v, op, how, b / 8, false), &x)) \
        return false; \
    if (form == 0) \
        alu##b(v, RD##b(op->d), x); \
    else \
        alu##b(v, x, form == 1 ? RD##b(op->s) : (uint##b##_t)op->imm); \
    return true; \
} \
SOFT_MEMFN(op_##_rm##b, op_##_ro_core##b(v, op, how, 0)) \
SOFT_MEMFN(op_##_mr##b, op_##_ro_core##b(v, op, how, 1)) \
SOFT_MEMFN(op_##_mi##b, op_##_ro_core##b(v, op, how, 2))

#define SIZES(F, ...) F(__VA_ARGS__, 8) F(__VA_ARGS__, 16) F(__VA_ARGS__, 32) F(__VA_ARGS__, 64)
SIZES(FORMS, add)
SIZES(FORMS, or)
SIZES(FORMS, adc)
SIZES(FORMS, sbb)
SIZES(FORMS, and)
SIZES(FORMS, sub)
SIZES(FORMS, xor)
SIZES(FORMS_RO, cmp, alu_sub)
SIZES(FORMS_RO, test, alu_and)

/* XOR r,r and SUB r,r: the usual way to clear a register. */
SOFT_FN(zero)
{
    R64(op->d) = 0;
    soft_set_cc(v, CC_OP(CC_LOGIC, 32), 0, 0);
    SOFT_NEXT;
}

#define UNARY(op_, b) \
SOFT_FN(op_##_r##b) { WR##b(op->d, alu_##op_##b(v, RD##b(op->d))); SOFT_NEXT; } \
SOFT_INLINE bool op_##_m_core##b(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how) \
{ \
    uint64_t va = soft_ea_how(v, op, how, b / 8, true); \
    uint##b##_t x; \
    if (!ldw##b(v, op, how, va, &x)) \
        return false; \
    stw##b(v, op, how, va, alu_##op_##b(v, x)); \
    return true; \
} \
SOFT_MEMFN(op_##_m##b, op_##_m_core##b(v, op, how))
SIZES(UNARY, inc)
SIZES(UNARY, dec)
SIZES(UNARY, neg)
SIZES(UNARY, not)

/* Twins that leave the flags alone, for results whose flags nobody sees (decode.c). */
#define QUIET(name, what, b) \
SOFT_FN(quiet_##name##_rr##b) \
{ WR##b(op->d, (uint##b##_t)(RD##b(op->d) what RD##b(op->s))); SOFT_NEXT; } \
SOFT_FN(quiet_##name##_ri##b) \
{ WR##b(op->d, (uint##b##_t)(RD##b(op->d) what (uint##b##_t)op->imm)); SOFT_NEXT; }
#define QUIET1(name, what, b) \
SOFT_FN(quiet_##name##_r##b) { WR##b(op->d, (uint##b##_t)(RD##b(op->d) what 1)); SOFT_NEXT; }
#define WIDE(F, ...) F(__VA_ARGS__, 32) F(__VA_ARGS__, 64)
WIDE(QUIET, add, +)
WIDE(QUIET, sub, -)
WIDE(QUIET, and, &)
WIDE(QUIET, or, |)
WIDE(QUIET, xor, ^)
WIDE(QUIET1, inc, +)
WIDE(QUIET1, dec, -)

#define PAIR(name, form, b) { name##_##form##b, quiet_##name##_##form##b },
#define PAIRS(name, b) PAIR(name, rr, b) PAIR(name, ri, b)
#define PAIR1(name, b) PAIR(name, r, b)
static const struct { soft_fn loud, quiet; } twins[] = {
    WIDE(PAIRS, add) WIDE(PAIRS, sub) WIDE(PAIRS, and) WIDE(PAIRS, or) WIDE(PAIRS, xor)
    WIDE(PAIR1, inc) WIDE(PAIR1, dec)
};

soft_fn soft_quiet_alu(soft_fn fn)
{
    for (unsigned i = 0; i < sizeof(twins) / sizeof(twins[0]); i++)
        if (twins[i].loud == fn)
            return twins[i].quiet;
    return fn;
}

struct forms { soft_fn rr, ri; struct soft_mem3 rm, mr, mi; };
#define TAB(op_, b) { op_##_rr##b, op_##_ri##b, SOFT_MEM3(op_##_rm##b), SOFT_MEM3(op_##_mr##b), \
                      SOFT_MEM3(op_##_mi##b) },
#define ROW(op_) { SIZES(TAB, op_) }
enum alu { ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST, NR_ALU };
static const struct forms binary[NR_ALU][4] = {
    [ADD] = ROW(add), [OR] = ROW(or), [ADC] = ROW(adc), [SBB] = ROW(sbb), [AND] = ROW(and),
    [SUB] = ROW(sub), [XOR] = ROW(xor), [CMP] = ROW(cmp), [TEST] = ROW(test),
};

struct unary { soft_fn r; struct soft_mem3 m; };
#define UTAB(op_, b) { op_##_r##b, SOFT_MEM3(op_##_m##b) },
#define UROW(op_) { SIZES(UTAB, op_) }
enum un { INC, DEC, NEG, NOT };
static const struct unary unaries[][4] = {
    [INC] = UROW(inc), [DEC] = UROW(dec), [NEG] = UROW(neg), [NOT] = UROW(not),
};

static int alu_of(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_ADD: return ADD;
    case ZYDIS_MNEMONIC_OR: return OR;
    case ZYDIS_MNEMONIC_ADC: return ADC;
    case ZYDIS_MNEMONIC_SBB: return SBB;
    case ZYDIS_MNEMONIC_AND: return AND;
    case ZYDIS_MNEMONIC_SUB: return SUB;
    case ZYDIS_MNEMONIC_XOR: return XOR;
    case ZYDIS_MNEMONIC_CMP: return CMP;
    case ZYDIS_MNEMONIC_TEST: return TEST;
    default: return -1;
    }
}

static soft_fn sel_unary(struct soft_insn *in, struct soft_op *op, enum un u)
{
    const struct unary *f = &unaries[u][soft_szi(in->bits)];

    if (soft_is_mem(in, 0))
        return soft_pick(&f->m, op);
    op->d = soft_reg(in, 0);
    return f->r;
}

soft_fn soft_sel_alu(struct soft_insn *in, struct soft_op *op)
{
    int a = alu_of(in->i.mnemonic);
    const struct forms *f;

    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_INC: return sel_unary(in, op, INC);
    case ZYDIS_MNEMONIC_DEC: return sel_unary(in, op, DEC);
    case ZYDIS_MNEMONIC_NEG: return sel_unary(in, op, NEG);
    case ZYDIS_MNEMONIC_NOT: return sel_unary(in, op, NOT);
    default: break;
    }
    if (a < 0)
        return NULL;
    f = &binary[a][soft_szi(in->bits)];
    if (soft_is_mem(in, 0)) {
        if (soft_is_imm(in, 1))
            return soft_pick(&f->mi, op);
        op->s = soft_reg(in, 1);
        return soft_pick(&f->mr, op);
    }
    op->d = soft_reg(in, 0);
    if (soft_is_mem(in, 1))
        return soft_pick(&f->rm, op);
    if (soft_is_imm(in, 1))
        return f->ri;
    op->s = soft_reg(in, 1);
    if ((a == XOR || a == SUB) && op->d == op->s && in->bits >= 32)
        return zero;
    return f->rr;
}
