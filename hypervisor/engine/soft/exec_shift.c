/* SPDX-License-Identifier: MIT */
/* SHL SHR SAR ROL ROR RCL RCR SHLD SHRD, and the BMI2 shifts. */
#include "hypervisor/engine/soft/exec.h"

/*
 * Flags: a masked count of 0 changes none. OF is architectural for counts of 1 only; for others we
 * give what the same formula gives. Rotates change CF and OF alone.
 */
#define SHIFTS(b) \
SOFT_INLINE void sh_cc##b(struct soft_vcpu *v, uint##b##_t r, bool cf, bool of) \
{ soft_set_cc(v, CC_OP(CC_RES, b), sx##b(r), (cf ? FL_CF : 0) | (of ? FL_OF : 0)); } \
SOFT_INLINE void rot_cc(b)(struct soft_vcpu *v, bool cf, bool of) \
{ soft_set_flags(v, \
                 (soft_get_flags(v) & ~(FL_CF | FL_OF)) | (cf ? FL_CF : 0) | (of ? FL_OF : 0)); } \
SOFT_INLINE uint##b##_t do_shl##b(struct soft_vcpu *v, uint##b##_t x, unsigned n) \
{ \
    uint##b##_t r; bool cf; \
    if (!n) return x; \
    cf = n <= b && (uint64_t)x >> (b - n) & 1; \
    r = n >= b ? 0 : (uint##b##_t)(x << n); \
    sh_cc##b(v, r, cf, cf ^ (r >> (b - 1))); \
    return r; \
} \
SOFT_INLINE uint##b##_t do_shr##b(struct soft_vcpu *v, uint##b##_t x, unsigned n) \
{ \
    uint##b##_t r; \
    if (!n) return x; \
    r = n >= b ? 0 : (uint##b##_t)(x >> n); \
    sh_cc##b(v, r, n <= b && (x >> (n - 1) & 1), x >> (b - 1)); \
    return r; \
} \
SOFT_INLINE uint##b##_t do_sar##b(struct soft_vcpu *v, uint##b##_t x, unsigned n) \
{ \
    int##b##_t s = (int##b##_t)x; \
    if (!n) return x; \
    unsigned m = n >= b ? b - 1 : n; \
    sh_cc##b(v, (uint##b##_t)(s >> m), (n >= b ? s >> (b - 1) : s >> (n - 1)) & 1, false); \
    return (uint##b##_t)(s >> m); \
} \
SOFT_INLINE uint##b##_t do_rol##b(struct soft_vcpu *v, uint##b##_t x, unsigned n) \
{ \
    unsigned m = n & (b - 1); \
    uint##b##_t r = (uint##b##_t)(m ? x << m | x >> (b - m) : x); \
    if (!n) return x; \
    rot_cc(b)(v, r & 1, (r & 1) ^ (r >> (b - 1))); \
    return r; \
} \
SOFT_INLINE uint##b##_t do_ror##b(struct soft_vcpu *v, uint##b##_t x, unsigned n) \
{ \
    unsigned m = n & (b - 1); \
    uint##b##_t r = (uint##b##_t)(m ? x >> m | x << (b - m) : x); \
    if (!n) return x; \
    rot_cc(b)(v, r >> (b - 1), (r >> (b - 1) ^ r >> (b - 2)) & 1); \
    return r; \
} \
static uint##b##_t do_rcl##b(struct soft_vcpu *v, uint##b##_t x, unsigned n) \
{ \
    bool cf = soft_cf(v); \
    n %= b + 1; \
    if (!n) return x; \
    for (unsigned i = 0; i < n; i++) { \
        bool out = x >> (b - 1); \
        x = (uint##b##_t)(x << 1 | cf); \
        cf = out; \
    } \
    rot_cc(b)(v, cf, cf ^ (x >> (b - 1))); \
    return x; \
} \
static uint##b##_t do_rcr##b(struct soft_vcpu *v, uint##b##_t x, unsigned n) \
{ \
    bool cf = soft_cf(v); \
    n %= b + 1; \
    if (!n) return x; \
    for (unsigned i = 0; i < n; i++) { \
        bool out = x & 1; \
        x = (uint##b##_t)(x >> 1 | (uint##b##_t)cf << (b - 1)); \
        cf = out; \
    } \
    rot_cc(b)(v, cf, (x >> (b - 1) ^ x >> (b - 2)) & 1); \
    return x; \
}
#define rot_cc(b) rot_cc##b
#define SIZES(F, ...) F(__VA_ARGS__, 8) F(__VA_ARGS__, 16) F(__VA_ARGS__, 32) F(__VA_ARGS__, 64)
#define SHIFTS_(x, b) SHIFTS(b)
SIZES(SHIFTS_, x)

#define MASK(b) (b == 64 ? 63u : 31u)
/* The count is op->imm (masked by the selector) or CL. */
#define FORMS(op_, b) \
SOFT_FN(op_##_ri##b) { WR##b(op->d, do_##op_##b(v, RD##b(op->d), (unsigned)op->imm)); SOFT_NEXT; } \
SOFT_FN(op_##_rc##b) \
{ \
    uint##b##_t r_ = do_##op_##b(v, RD##b(op->d), R8(SOFT_G(1)) & MASK(b)); \
    WR##b(op->d, r_); \
    SOFT_NEXT; \
} \
SOFT_INLINE bool op_##_m_core##b(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how, \
                                 unsigned n) \
{ \
    uint64_t va = soft_ea_how(v, op, how, b / 8, true); \
    uint##b##_t x; \
    if (!ldw##b(v, op, how, va, &x)) \
        return false; \
    stw##b(v, op, how, va, do_##op_##b(v, x, n)); \
    return true; \
} \
SOFT_MEMFN(op_##_mi##b, op_##_m_core##b(v, op, how, (unsigned)op->imm)) \
SOFT_MEMFN(op_##_mc##b, op_##_m_core##b(v, op, how, R8(SOFT_G(1)) & MASK(b)))
SIZES(FORMS, shl) SIZES(FORMS, shr) SIZES(FORMS, sar) SIZES(FORMS, rol) SIZES(FORMS, ror)
SIZES(FORMS, rcl) SIZES(FORMS, rcr)

struct forms { soft_fn ri, rc; struct soft_mem3 mi, mc; };
#define TAB(op_, b) { op_##_ri##b, op_##_rc##b, SOFT_MEM3(op_##_mi##b), SOFT_MEM3(op_##_mc##b) },
#define ROW(op_) { SIZES(TAB, op_) }
enum { SHL, SHR, SAR, ROL, ROR, RCL, RCR };
static const struct forms shifts[][4] = {
    [SHL] = ROW(shl), [SHR] = ROW(shr), [SAR] = ROW(sar), [ROL] = ROW(rol), [ROR] = ROW(ror),
    [RCL] = ROW(rcl), [RCR] = ROW(rcr),
};

/* SHLD and SHRD with 16-bit operands and counts above 16 are undefined; we use the doubled
 * source. */
static uint64_t do_shxd(struct soft_vcpu *v, uint64_t x, uint64_t y, unsigned n, unsigned bits,
                        bool left)
{
    uint64_t r, sign = 1ull << (bits - 1);
    bool cf;

    if (!n)
        return x;
    if (bits == 16) {
        uint64_t t = left ? x << 32 | y << 16 | x : x << 32 | y << 16 | x;
        r = left ? (t << n) >> 32 : t >> n;
        cf = left ? t >> (48 - n) & 1 : t >> (n - 1) & 1;
        r = (uint16_t)r;
    } else {
        r = left ? x << n | y >> (bits - n) : x >> n | y << (bits - n);
        cf = left ? x >> (bits - n) & 1 : x >> (n - 1) & 1;
        if (bits == 32)
            r = (uint32_t)r;
    }
    soft_set_cc(v, CC_OP(CC_RES, bits), (uint64_t)((int64_t)(r << (64 - bits)) >> (64 - bits)),
                (cf ? FL_CF : 0) | ((r ^ x) & sign ? FL_OF : 0));
    return r;
}

/* x: bit 0 left, bit 1 count in CL */
#define SHXD(b) \
SOFT_FN(shxd_r##b) \
{ \
    unsigned n = (op->x & 2 ? R8(SOFT_G(1)) : (unsigned)op->imm) & MASK(b); \
    uint64_t r = do_shxd(v, RD##b(op->d), RD##b(op->s), n, b, op->x & 1); \
    WR##b(op->d, r); \
    SOFT_NEXT; \
} \
SOFT_FN(shxd_m##b) \
{ \
    unsigned n = (op->x & 2 ? R8(SOFT_G(1)) : (unsigned)op->imm) & MASK(b); \
    uint64_t va = soft_ea(v, op, b / 8, true); \
    uint64_t x = soft_ldw_slow(v, op, va, b / 8); \
    soft_st##b(v, op, va, (uint##b##_t)do_shxd(v, x, RD##b(op->s), n, b, op->x & 1)); \
    SOFT_NEXT; \
}
SHXD(16) SHXD(32) SHXD(64)

static soft_fn sel_shxd(struct soft_insn *in, struct soft_op *op, bool left)
{
    op->x = (uint8_t)((left ? 1 : 0) | (soft_is_imm(in, 2) ? 0 : 2));
    op->s = soft_reg(in, 1);
    if (soft_is_mem(in, 0))
        return in->bits == 16 ? shxd_m16 : in->bits == 32 ? shxd_m32 : shxd_m64;
    op->d = soft_reg(in, 0);
    return in->bits == 16 ? shxd_r16 : in->bits == 32 ? shxd_r32 : shxd_r64;
}

/* BMI2: no flags. The second source (the count) is in x, or imm for RORX; the first in s or
 * memory. */
#define BMI2(b) \
SOFT_INLINE uint##b##_t do_shx##b(unsigned kind, uint##b##_t x, unsigned n) \
{ \
    n &= b - 1; \
    switch (kind) { \
    case 0: return x << n; \
    case 1: return x >> n; \
    case 2: return (uint##b##_t)((int##b##_t)x >> n); \
    default: return n ? x >> n | x << (b - n) : x; \
    } \
} \
SOFT_FN(shlx_r##b) { WR##b(op->d, do_shx##b(0, RD##b(op->s), R8(op->x))); SOFT_NEXT; } \
SOFT_FN(shrx_r##b) { WR##b(op->d, do_shx##b(1, RD##b(op->s), R8(op->x))); SOFT_NEXT; } \
SOFT_FN(sarx_r##b) { WR##b(op->d, do_shx##b(2, RD##b(op->s), R8(op->x))); SOFT_NEXT; } \
SOFT_FN(rorx_r##b) { WR##b(op->d, do_shx##b(3, RD##b(op->s), (unsigned)op->imm)); SOFT_NEXT; } \
SOFT_FN(shx_m##b) \
{ \
    uint##b##_t x = soft_ld##b(v, op, soft_ea(v, op, b / 8, false)); \
    unsigned n = op->s == 3 ? (unsigned)op->imm : R8(op->x); \
    WR##b(op->d, do_shx##b(op->s, x, n)); \
    SOFT_NEXT; \
}
BMI2(32) BMI2(64)

static soft_fn sel_bmi2(struct soft_insn *in, struct soft_op *op, unsigned kind)
{
    static const soft_fn r[4][2] = { { shlx_r32, shlx_r64 }, { shrx_r32, shrx_r64 },
                                     { sarx_r32, sarx_r64 }, { rorx_r32, rorx_r64 } };
    bool w = in->bits == 64;

    op->d = soft_reg(in, 0);
    if (kind != 3)
        op->x = soft_reg(in, 2);
    if (soft_is_mem(in, 1)) {
        op->s = (uint8_t)kind;
        return w ? shx_m64 : shx_m32;
    }
    op->s = soft_reg(in, 1);
    return r[kind][w];
}

static int shift_of(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_SHL: return SHL;
    case ZYDIS_MNEMONIC_SHR: return SHR;
    case ZYDIS_MNEMONIC_SAR: return SAR;
    case ZYDIS_MNEMONIC_ROL: return ROL;
    case ZYDIS_MNEMONIC_ROR: return ROR;
    case ZYDIS_MNEMONIC_RCL: return RCL;
    case ZYDIS_MNEMONIC_RCR: return RCR;
    default: return -1;
    }
}

soft_fn soft_sel_shift(struct soft_insn *in, struct soft_op *op)
{
    int k = shift_of(in->i.mnemonic);
    const struct forms *f;
    bool by_cl;

    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_SHLD: return sel_shxd(in, op, true);
    case ZYDIS_MNEMONIC_SHRD: return sel_shxd(in, op, false);
    case ZYDIS_MNEMONIC_SHLX: return sel_bmi2(in, op, 0);
    case ZYDIS_MNEMONIC_SHRX: return sel_bmi2(in, op, 1);
    case ZYDIS_MNEMONIC_SARX: return sel_bmi2(in, op, 2);
    case ZYDIS_MNEMONIC_RORX: return sel_bmi2(in, op, 3);
    default: break;
    }
    if (k < 0)
        return NULL;
    f = &shifts[k][soft_szi(in->bits)];
    by_cl = soft_is_reg(in, 1);
    /* the immediate 1 of the D0/D1 forms is an operand too */
    if (!by_cl)
        op->imm = in->o[1].imm.value.u & (in->bits == 64 ? 63 : 31);
    if (soft_is_mem(in, 0))
        return soft_pick(by_cl ? &f->mc : &f->mi, op);
    op->d = soft_reg(in, 0);
    return by_cl ? f->rc : f->ri;
}
