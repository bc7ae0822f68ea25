/* SPDX-License-Identifier: MIT */
/* MUL IMUL DIV IDIV, MULX, ADCX/ADOX, and the decimal adjustments of legacy modes. */
#include "hypervisor/engine/soft/exec.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

/* CF = OF = "the high half matters"; SF ZF PF come from the low half (undefined by the manuals). */
static inline void mul_cc(struct soft_vcpu *v, uint32_t op, uint64_t res, bool over)
{
    soft_set_cc(v, op, res, over ? FL_CF | FL_OF : 0);
}

#define IMUL2(b, wide) \
SOFT_INLINE uint##b##_t do_imul##b(struct soft_vcpu *v, uint##b##_t x, uint##b##_t y) \
{ \
    wide p = (wide)(int##b##_t)x * (int##b##_t)y; \
    mul_cc(v, CC_OP(CC_RES, b), sx##b((uint##b##_t)p), p != (int##b##_t)p); \
    return (uint##b##_t)p; \
} \
SOFT_FN(imul_rr##b) { WR##b(op->d, do_imul##b(v, RD##b(op->d), RD##b(op->s))); SOFT_NEXT; } \
SOFT_FN(imul_rri##b) { WR##b(op->d, \
                             do_imul##b(v, RD##b(op->s), (uint##b##_t)op->imm)); SOFT_NEXT; } \
SOFT_INLINE bool imul_m_core##b(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how, \
                                bool imm) \
{ \
    uint##b##_t x; \
    if (!ld##b(v, op, how, soft_ea_how(v, op, how, b / 8, false), &x)) \
        return false; \
    WR##b(op->d, do_imul##b(v, x, imm ? (uint##b##_t)op->imm : RD##b(op->d))); \
    return true; \
} \
SOFT_MEMFN(imul_rm##b, imul_m_core##b(v, op, how, false)) \
SOFT_MEMFN(imul_rmi##b, imul_m_core##b(v, op, how, true))
IMUL2(16, int32_t) IMUL2(32, int64_t) IMUL2(64, s128)

/* One-operand forms: the operand is RD(d), or memory when x is set. */
#define WIDE(b, uw, sw) \
SOFT_INLINE uint##b##_t operand##b(struct soft_vcpu *v, const struct soft_op *op) \
{ return op->x ? soft_ld##b(v, op, soft_ea(v, op, b / 8, false)) : RD##b(op->d); } \
SOFT_INLINE void mul##b(struct soft_vcpu *v, uint##b##_t y) \
{ \
    uw p = (uw)RD##b(0) * y; \
    uint##b##_t lo = (uint##b##_t)p, hi = (uint##b##_t)(p >> b); \
    WR##b(0, lo); \
    WR##b(SOFT_G(2), hi); \
    mul_cc(v, CC_OP(CC_RES, b), sx##b(lo), hi != 0); \
} \
SOFT_INLINE void imul##b(struct soft_vcpu *v, uint##b##_t y) \
{ \
    sw p = (sw)(int##b##_t)RD##b(0) * (int##b##_t)y; \
    WR##b(0, (uint##b##_t)p); \
    WR##b(SOFT_G(2), (uint##b##_t)((uw)p >> b)); \
    mul_cc(v, CC_OP(CC_RES, b), sx##b((uint##b##_t)p), p != (int##b##_t)p); \
} \
SOFT_INLINE void div##b(struct soft_vcpu *v, const struct soft_op *op, uint##b##_t y) \
{ \
    uw n = (uw)RD##b(SOFT_G(2)) << b | RD##b(0); \
    if (!y || RD##b(SOFT_G(2)) >= y) \
        soft_raise(v, op, SOFT_DE); \
    WR##b(0, (uint##b##_t)(n / y)); \
    WR##b(SOFT_G(2), (uint##b##_t)(n % y)); \
} \
SOFT_INLINE void idiv##b(struct soft_vcpu *v, const struct soft_op *op, uint##b##_t y) \
{ \
    sw n = (sw)((uw)RD##b(SOFT_G(2)) << b | RD##b(0)), d = (int##b##_t)y, q; \
    if (!d || (d == -1 && n == (sw)((uw)1 << (2 * b - 1)))) \
        soft_raise(v, op, SOFT_DE); \
    q = n / d; \
    if (q != (int##b##_t)q) \
        soft_raise(v, op, SOFT_DE); \
    WR##b(0, (uint##b##_t)q); \
    WR##b(SOFT_G(2), (uint##b##_t)(n % d)); \
} \
SOFT_FN(mul_##b) { mul##b(v, operand##b(v, op)); SOFT_NEXT; } \
SOFT_FN(imul_##b) { imul##b(v, operand##b(v, op)); SOFT_NEXT; } \
SOFT_FN(div_##b) { div##b(v, op, operand##b(v, op)); SOFT_NEXT; } \
SOFT_FN(idiv_##b) { idiv##b(v, op, operand##b(v, op)); SOFT_NEXT; }
WIDE(16, uint32_t, int32_t) WIDE(32, uint64_t, int64_t) WIDE(64, u128, s128)

/* The byte forms keep both halves in AX. */
SOFT_INLINE uint8_t operand8(struct soft_vcpu *v, const struct soft_op *op)
{
    return op->x ? soft_ld8(v, op, soft_ea(v, op, 1, false)) : R8(op->d);
}

SOFT_FN(mul_8)
{
    uint16_t p = (uint16_t)(R8(0) * operand8(v, op));

    R16(0) = p;
    mul_cc(v, CC_OP(CC_RES, 8), sx8((uint8_t)p), p >> 8);
    SOFT_NEXT;
}

SOFT_FN(imul_8)
{
    int16_t p = (int16_t)((int8_t)R8(0) * (int8_t)operand8(v, op));

    R16(0) = (uint16_t)p;
    mul_cc(v, CC_OP(CC_RES, 8), sx8((uint8_t)p), p != (int8_t)p);
    SOFT_NEXT;
}

SOFT_FN(div_8)
{
    unsigned y = operand8(v, op), n = R16(0);

    if (!y || n / y > 0xff)
        soft_raise(v, op, SOFT_DE);
    R16(0) = (uint16_t)((n % y) << 8 | n / y);
    SOFT_NEXT;
}

SOFT_FN(idiv_8)
{
    int y = (int8_t)operand8(v, op), n = (int16_t)R16(0);

    if (!y || n / y != (int8_t)(n / y))
        soft_raise(v, op, SOFT_DE);
    R16(0) = (uint16_t)((n % y & 0xff) << 8 | (n / y & 0xff));
    SOFT_NEXT;
}

/* MULX d(high), s(low), r/m: EDX/RDX is the implicit source; no flags. x holds the r/m register. */
SOFT_FN(mulx32)
{
    uint32_t y = op->x == 0xff ? soft_ld32(v, op, soft_ea(v, op, 4, false)) : R32(op->x);
    uint64_t p = (uint64_t)R32(SOFT_G(2)) * y;

    R64(op->s) = (uint32_t)p;
    R64(op->d) = p >> 32;
    SOFT_NEXT;
}

SOFT_FN(mulx64)
{
    uint64_t y = op->x == 0xff ? soft_ld64(v, op, soft_ea(v, op, 8, false)) : R64(op->x);
    u128 p = (u128)R64(SOFT_G(2)) * y;

    R64(op->s) = (uint64_t)p;
    R64(op->d) = (uint64_t)(p >> 64);
    SOFT_NEXT;
}

/* ADCX (x bit 0 clear) carries through CF, ADOX through OF; nothing else changes. */
#define ADX(b, wide) \
SOFT_FN(adx_##b) \
{ \
    uint##b##_t y = op->x & 2 ? soft_ld##b(v, op, soft_ea(v, op, b / 8, false)) : RD##b(op->s); \
    uint32_t bit = op->x & 1 ? FL_OF : FL_CF, f = soft_get_flags(v); \
    wide r = (wide)RD##b(op->d) + y + !!(f & bit); \
    WR##b(op->d, (uint##b##_t)r); \
    soft_set_flags(v, (f & ~bit) | (r >> b ? bit : 0)); \
    SOFT_NEXT; \
}
ADX(32, uint64_t) ADX(64, u128)

/* AAA/AAS/DAA/DAS/AAM/AAD, in 16- and 32-bit code only. */
SOFT_FN(aaa_aas)
{
    bool sub = op->x, adj = (R8(0) & 15) > 9 || soft_af(v);

    if (adj)
        R16(0) = (uint16_t)(sub ? R16(0) - 0x106 : R16(0) + 0x106);
    R8(0) &= 15;
    soft_set_cc(v, CC_OP(CC_RES, 8), sx8(R8(0)), adj ? FL_CF | FL_AF : 0);
    SOFT_NEXT;
}

SOFT_FN(daa_das)
{
    bool sub = op->x, cf = soft_cf(v), af = soft_af(v), ocf = cf;
    uint8_t al = R8(0), x = al;

    cf = false;
    if ((al & 15) > 9 || af) {
        cf = ocf || (sub ? al < 6 : al > 0xf9);
        x = (uint8_t)(sub ? x - 6 : x + 6);
        af = true;
    } else {
        af = false;
    }
    if (al > 0x99 || ocf) {
        x = (uint8_t)(sub ? x - 0x60 : x + 0x60);
        cf = true;
    } else if (!sub) {
        cf = false;
    }
    R8(0) = x;
    soft_set_cc(v, CC_OP(CC_RES, 8), sx8(x), (cf ? FL_CF : 0) | (af ? FL_AF : 0));
    SOFT_NEXT;
}

SOFT_FN(aam)
{
    uint8_t n = (uint8_t)op->imm, al = R8(0);

    if (!n)
        soft_raise(v, op, SOFT_DE);
    R16(0) = (uint16_t)((al / n) << 8 | al % n);
    soft_set_cc(v, CC_OP(CC_RES, 8), sx8(R8(0)), 0);
    SOFT_NEXT;
}

SOFT_FN(aad)
{
    R16(0) = (uint8_t)(R8(0) + R8(1) * (uint8_t)op->imm);
    soft_set_cc(v, CC_OP(CC_RES, 8), sx8(R8(0)), 0);
    SOFT_NEXT;
}

static soft_fn sel_wide(struct soft_insn *in, struct soft_op *op, const soft_fn by_size[4])
{
    op->x = soft_is_mem(in, 0);
    if (!op->x)
        op->d = soft_reg(in, 0);
    return by_size[soft_szi(in->bits)];
}

static soft_fn sel_imul(struct soft_insn *in, struct soft_op *op)
{
    static const soft_fn wide[4] = { imul_8, imul_16, imul_32, imul_64 };
    static const soft_fn rr[4] = { NULL, imul_rr16, imul_rr32, imul_rr64 };
    static const soft_fn rri[4] = { NULL, imul_rri16, imul_rri32, imul_rri64 };
    static const struct soft_mem3 rm[4] = { { 0 }, SOFT_MEM3(imul_rm16), SOFT_MEM3(imul_rm32),
                                            SOFT_MEM3(imul_rm64) };
    static const struct soft_mem3 rmi[4] = { { 0 }, SOFT_MEM3(imul_rmi16), SOFT_MEM3(imul_rmi32),
                                             SOFT_MEM3(imul_rmi64) };
    unsigned z = soft_szi(in->bits);

    if (in->n == 1)
        return sel_wide(in, op, wide);
    op->d = soft_reg(in, 0);
    if (soft_is_mem(in, 1))
        return soft_pick(in->n == 3 ? &rmi[z] : &rm[z], op);
    op->s = soft_reg(in, 1);
    return in->n == 3 ? rri[z] : rr[z];
}

static soft_fn sel_adx(struct soft_insn *in, struct soft_op *op, bool of)
{
    op->x = of;
    op->d = soft_reg(in, 0);
    if (soft_is_mem(in, 1))
        op->x |= 2;
    else
        op->s = soft_reg(in, 1);
    return in->bits == 64 ? adx_64 : adx_32;
}

soft_fn soft_sel_mul(struct soft_insn *in, struct soft_op *op)
{
    static const soft_fn mul[4] = { mul_8, mul_16, mul_32, mul_64 };
    static const soft_fn div[4] = { div_8, div_16, div_32, div_64 };
    static const soft_fn idiv[4] = { idiv_8, idiv_16, idiv_32, idiv_64 };

    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_MUL: return sel_wide(in, op, mul);
    case ZYDIS_MNEMONIC_IMUL: return sel_imul(in, op);
    case ZYDIS_MNEMONIC_DIV: return sel_wide(in, op, div);
    case ZYDIS_MNEMONIC_IDIV: return sel_wide(in, op, idiv);
    case ZYDIS_MNEMONIC_MULX:
        op->d = soft_reg(in, 0);
        op->s = soft_reg(in, 1);
        op->x = soft_is_mem(in, 2) ? 0xff : soft_reg(in, 2);
        return in->bits == 64 ? mulx64 : mulx32;
    case ZYDIS_MNEMONIC_ADCX: return sel_adx(in, op, false);
    case ZYDIS_MNEMONIC_ADOX: return sel_adx(in, op, true);
    case ZYDIS_MNEMONIC_AAA: op->x = 0; return aaa_aas;
    case ZYDIS_MNEMONIC_AAS: op->x = 1; return aaa_aas;
    case ZYDIS_MNEMONIC_DAA: op->x = 0; return daa_das;
    case ZYDIS_MNEMONIC_DAS: op->x = 1; return daa_das;
    case ZYDIS_MNEMONIC_AAM: return aam;
    case ZYDIS_MNEMONIC_AAD: return aad;
    default: return NULL;
    }
}
