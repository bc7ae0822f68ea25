/* SPDX-License-Identifier: MIT */
/*
 * LOCKed read-modify-writes, XCHG with memory, XADD, CMPXCHG, CMPXCHG8B/16B.
 *
 * On RAM they are the host's own atomic instructions on the shared page, so they hold against
 * other vCPUs and against backends in other processes. An operand that crosses a page, or lies in
 * MMIO, is done in two steps under a lock that all vCPUs of the domain share.
 */
#include "hypervisor/engine/soft/alu.h"

/* Operands may be misaligned: the host's atomics hold all the same. */
#define ATOMIC static __attribute__((noinline, no_sanitize("alignment")))

#define SIZES(F) F(8) F(16) F(32) F(64)

/* The two-step way: `expr` computes the new value from x. */
#define SPLIT(b, expr) do { \
    soft_probe(v, op, va, b / 8, true); \
    soft_split_lock(v); \
    x = (uint##b##_t)soft_ldw_slow(v, op, va, b / 8); \
    soft_st_slow(v, op, va, b / 8, (expr)); \
    soft_split_unlock(v); \
} while (0)

/* Operations whose flags follow from old value and operand. y: register or immediate (x set). */
#define LOCK_OP(op_, fetch, next, b) \
ATOMIC void lock_##op_##_do##b(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    uint##b##_t y = op->x ? (uint##b##_t)op->imm : RD##b(op->s), x; \
    uint64_t va = soft_ea(v, op, b / 8, true); \
    uint##b##_t *p = soft_lock_ptr(v, op, va, b / 8); \
    if (p) { \
        x = fetch(p, y, __ATOMIC_SEQ_CST); \
        soft_locked_done(v, op, p, b / 8); \
    } else { \
        SPLIT(b, (uint##b##_t)(next)); \
    } \
    alu_##op_##b(v, x, y); \
} \
SOFT_FN(lock_##op_##b) { lock_##op_##_do##b(v, op); SOFT_NEXT; }
#define LOCK_ADD(b) LOCK_OP(add, __atomic_fetch_add, x + y, b)
#define LOCK_SUB(b) LOCK_OP(sub, __atomic_fetch_sub, x - y, b)
#define LOCK_AND(b) LOCK_OP(and, __atomic_fetch_and, x & y, b)
#define LOCK_OR(b)  LOCK_OP(or, __atomic_fetch_or, x | y, b)
#define LOCK_XOR(b) LOCK_OP(xor, __atomic_fetch_xor, x ^ y, b)
SIZES(LOCK_ADD) SIZES(LOCK_SUB) SIZES(LOCK_AND) SIZES(LOCK_OR) SIZES(LOCK_XOR)

/* ADC, SBB, INC, DEC, NEG, NOT: a compare-exchange loop around the ordinary function. */
#define LOCK_LOOP(op_, call, b) \
ATOMIC void lock_##op_##_do##b(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    uint##b##_t y = op->x ? (uint##b##_t)op->imm : RD##b(op->s), x, r; \
    uint64_t va = soft_ea(v, op, b / 8, true), res, src; \
    uint##b##_t *p = soft_lock_ptr(v, op, va, b / 8); \
    uint32_t cc = v->cc_op; \
    (void)y; \
    res = v->cc_res; \
    src = v->cc_src; \
    if (!p) { \
        SPLIT(b, call); \
        return; \
    } \
    x = __atomic_load_n(p, __ATOMIC_RELAXED); \
    do { \
        soft_set_cc(v, cc, res, src); \
        r = call; \
    } while (!__atomic_compare_exchange_n(p, &x, r, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)); \
    soft_locked_done(v, op, p, b / 8); \
} \
SOFT_FN(lock_##op_##b) { lock_##op_##_do##b(v, op); SOFT_NEXT; }
#define LOCK_ADC(b) LOCK_LOOP(adc, alu_adc##b(v, x, y), b)
#define LOCK_SBB(b) LOCK_LOOP(sbb, alu_sbb##b(v, x, y), b)
#define LOCK_INC(b) LOCK_LOOP(inc, alu_inc##b(v, x), b)
#define LOCK_DEC(b) LOCK_LOOP(dec, alu_dec##b(v, x), b)
#define LOCK_NEG(b) LOCK_LOOP(neg, alu_neg##b(v, x), b)
#define LOCK_NOT(b) LOCK_LOOP(not, alu_not##b(v, x), b)
SIZES(LOCK_ADC) SIZES(LOCK_SBB) SIZES(LOCK_INC) SIZES(LOCK_DEC) SIZES(LOCK_NEG) SIZES(LOCK_NOT)

#define XCHG(b) \
ATOMIC void xchg_do##b(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    uint##b##_t x, y = RD##b(op->s); \
    uint64_t va = soft_ea(v, op, b / 8, true); \
    uint##b##_t *p = soft_lock_ptr(v, op, va, b / 8); \
    if (p) { \
        x = __atomic_exchange_n(p, y, __ATOMIC_SEQ_CST); \
        soft_locked_done(v, op, p, b / 8); \
    } else { \
        SPLIT(b, y); \
    } \
    WR##b(op->s, x); \
} \
SOFT_FN(xchg_##b) { xchg_do##b(v, op); SOFT_NEXT; }
SIZES(XCHG)

/* XADD: memory always as if locked (stronger than needed, and as cheap). */
#define XADD(b) \
ATOMIC void xadd_do##b(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    uint##b##_t x, y = RD##b(op->s); \
    uint64_t va = soft_ea(v, op, b / 8, true); \
    uint##b##_t *p = soft_lock_ptr(v, op, va, b / 8); \
    if (p) { \
        x = __atomic_fetch_add(p, y, __ATOMIC_SEQ_CST); \
        soft_locked_done(v, op, p, b / 8); \
    } else { \
        SPLIT(b, (uint##b##_t)(x + y)); \
    } \
    alu_add##b(v, x, y); \
    WR##b(op->s, x); \
} \
SOFT_FN(xadd_##b) { xadd_do##b(v, op); SOFT_NEXT; } \
SOFT_FN(xadd_r##b) \
{ \
    uint##b##_t x = RD##b(op->d), y = RD##b(op->s); \
    uint##b##_t r = alu_add##b(v, x, y); \
    WR##b(op->s, x); \
    WR##b(op->d, r); \
    SOFT_NEXT; \
}
SIZES(XADD)

/* CMPXCHG writes the destination back even when it differs, which matters for faults only. */
#define CMPXCHG(b) \
ATOMIC void cmpxchg_do##b(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    uint##b##_t a = RD##b(0), x = a, y = RD##b(op->s); \
    uint64_t va = soft_ea(v, op, b / 8, true); \
    uint##b##_t *p = soft_lock_ptr(v, op, va, b / 8); \
    if (p) { \
        if (__atomic_compare_exchange_n(p, &x, y, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) \
            soft_locked_done(v, op, p, b / 8); \
    } else { \
        SPLIT(b, (x == a ? y : x)); \
    } \
    alu_sub##b(v, a, x); \
    if (x != a) \
        WR##b(0, x); \
} \
SOFT_FN(cmpxchg_##b) { cmpxchg_do##b(v, op); SOFT_NEXT; } \
SOFT_FN(cmpxchg_r##b) \
{ \
    uint##b##_t a = RD##b(0), x = RD##b(op->d), y = RD##b(op->s); \
    alu_sub##b(v, a, x); \
    if (x == a) \
        WR##b(op->d, y); \
    else \
        WR##b(0, x); \
    SOFT_NEXT; \
}
SIZES(CMPXCHG)

static void zf_only(struct soft_vcpu *v, bool zf)
{
    soft_set_flags(v, (soft_get_flags(v) & ~FL_ZF) | (zf ? FL_ZF : 0));
}

ATOMIC void cmpxchg8b_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t a = R64(SOFT_G(2)) << 32 | R32(0), y = R64(SOFT_G(1)) << 32 | R32(SOFT_G(3)), x = a;
    uint64_t va = soft_ea(v, op, 8, true);
    uint64_t *p = soft_lock_ptr(v, op, va, 8);

    if (p) {
        if (__atomic_compare_exchange_n(p, &x, y, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            soft_locked_done(v, op, p, 8);
    } else {
        SPLIT(64, x == a ? y : x);
    }
    zf_only(v, x == a);
    if (x != a) {
        R64(0) = (uint32_t)x;
        R64(SOFT_G(2)) = x >> 32;
    }
}

ATOMIC bool host_cmpxchg16b(void *p, uint64_t *lo, uint64_t *hi, uint64_t new_lo, uint64_t new_hi)
{
    bool ok;

    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(ok), "+m"(*(volatile __int128 *)p), "+a"(*lo), "+d"(*hi)
                     : "b"(new_lo), "c"(new_hi)
                     : "memory");
    return ok;
}

ATOMIC void cmpxchg16b_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t lo = R64(0), hi = R64(SOFT_G(2));
    uint64_t va = soft_ea(v, op, 16, true);
    void *p;
    bool ok;

    if (va & 15)
        soft_raise_err(v, op, SOFT_GP, 0);
    p = soft_lock_ptr(v, op, va, 16);
    if (p) {
        ok = host_cmpxchg16b(p, &lo, &hi, R64(SOFT_G(3)), R64(SOFT_G(1)));
        if (ok)
            soft_locked_done(v, op, p, 16);
    } else {
        uint64_t x = soft_ldw_slow(v, op, va, 8), y = soft_ldw_slow(v, op, va + 8, 8);
        ok = x == lo && y == hi;
        if (ok) {
            soft_st_slow(v, op, va, 8, R64(SOFT_G(3)));
            soft_st_slow(v, op, va + 8, 8, R64(SOFT_G(1)));
        }
        lo = x;
        hi = y;
    }
    zf_only(v, ok);
    if (!ok) {
        R64(0) = lo;
        R64(SOFT_G(2)) = hi;
    }
}

SOFT_FN(cmpxchg8b) { cmpxchg8b_do(v, op); SOFT_NEXT; }
SOFT_FN(cmpxchg16b) { cmpxchg16b_do(v, op); SOFT_NEXT; }

#define TAB(n) { n##_8, n##_16, n##_32, n##_64 }
#define LTAB(n) { n##8, n##16, n##32, n##64 }
static const soft_fn *lock_of(ZydisMnemonic m)
{
    static const soft_fn t[][4] = {
        LTAB(lock_add), LTAB(lock_sub), LTAB(lock_and), LTAB(lock_or), LTAB(lock_xor),
        LTAB(lock_adc),
        LTAB(lock_sbb), LTAB(lock_inc), LTAB(lock_dec), LTAB(lock_neg), LTAB(lock_not),
    };

    switch (m) {
    case ZYDIS_MNEMONIC_ADD: return t[0];
    case ZYDIS_MNEMONIC_SUB: return t[1];
    case ZYDIS_MNEMONIC_AND: return t[2];
    case ZYDIS_MNEMONIC_OR: return t[3];
    case ZYDIS_MNEMONIC_XOR: return t[4];
    case ZYDIS_MNEMONIC_ADC: return t[5];
    case ZYDIS_MNEMONIC_SBB: return t[6];
    case ZYDIS_MNEMONIC_INC: return t[7];
    case ZYDIS_MNEMONIC_DEC: return t[8];
    case ZYDIS_MNEMONIC_NEG: return t[9];
    case ZYDIS_MNEMONIC_NOT: return t[10];
    default: return NULL;
    }
}

soft_fn soft_sel_atomic(struct soft_insn *in, struct soft_op *op)
{
    static const soft_fn xc[4] = TAB(xchg), xa[4] = TAB(xadd), cx[4] = TAB(cmpxchg);
    static const soft_fn xar[4] = { xadd_r8, xadd_r16, xadd_r32, xadd_r64 };
    static const soft_fn cxr[4] = { cmpxchg_r8, cmpxchg_r16, cmpxchg_r32, cmpxchg_r64 };
    unsigned z = soft_szi(in->bits);
    const soft_fn *t;

    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_CMPXCHG8B: return cmpxchg8b;
    case ZYDIS_MNEMONIC_CMPXCHG16B: return cmpxchg16b;
    case ZYDIS_MNEMONIC_XCHG:               /* either operand may be the memory one */
        op->s = soft_reg(in, in->mem == 0 ? 1 : 0);
        return xc[z];
    case ZYDIS_MNEMONIC_XADD:
    case ZYDIS_MNEMONIC_CMPXCHG:
        op->s = soft_reg(in, 1);
        if (in->mem == 0)
            return in->i.mnemonic == ZYDIS_MNEMONIC_XADD ? xa[z] : cx[z];
        op->d = soft_reg(in, 0);
        return in->i.mnemonic == ZYDIS_MNEMONIC_XADD ? xar[z] : cxr[z];
    default: break;
    }
    t = lock_of(in->i.mnemonic);
    if (!t)
        return NULL;
    op->x = 1;
    if (in->n == 2 && soft_is_reg(in, 1)) {
        op->x = 0;
        op->s = soft_reg(in, 1);
    }
    return t[z];
}
