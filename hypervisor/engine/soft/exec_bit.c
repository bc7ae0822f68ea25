/* SPDX-License-Identifier: MIT */
/* BT BTS BTR BTC, BSF BSR LZCNT TZCNT POPCNT, BMI1, PDEP/PEXT/BZHI, CRC32, RDRAND/RDSEED. */
#include <sys/random.h>

#include "hypervisor/engine/soft/exec.h"

enum { BT, BTS, BTR, BTC };

SOFT_INLINE uint64_t bit_apply(unsigned kind, uint64_t x, uint64_t m)
{
    return kind == BTS ? x | m : kind == BTR ? x & ~m : kind == BTC ? x ^ m : x;
}

/* CF is the bit; the others stay as they are. */
SOFT_INLINE void bit_cf(struct soft_vcpu *v, bool cf)
{
    soft_set_flags(v, (soft_get_flags(v) & ~FL_CF) | (cf ? FL_CF : 0));
}

#define BITS_R(kind, b) \
SOFT_FN(bit_rr_##kind##_##b) \
{ \
    unsigned n = RD##b(op->s) & (b - 1); \
    uint##b##_t x = RD##b(op->d); \
    if (kind != BT) \
        WR##b(op->d, bit_apply(kind, x, 1ull << n)); \
    bit_cf(v, (uint64_t)x >> n & 1); \
    SOFT_NEXT; \
} \
SOFT_FN(bit_ri_##kind##_##b) \
{ \
    unsigned n = op->imm & (b - 1); \
    uint##b##_t x = RD##b(op->d); \
    if (kind != BT) \
        WR##b(op->d, bit_apply(kind, x, 1ull << n)); \
    bit_cf(v, (uint64_t)x >> n & 1); \
    SOFT_NEXT; \
}
#define BITS_RS(kind) BITS_R(kind, 16) BITS_R(kind, 32) BITS_R(kind, 64)
BITS_RS(BT) BITS_RS(BTS) BITS_RS(BTR) BITS_RS(BTC)

/*
 * Memory forms, unlocked: x = kind | bytes << 2 | (bit number in register s) << 6. With a register
 * the bit string reaches beyond the operand, in either direction.
 */
static void bit_mem_where(struct soft_vcpu *v, const struct soft_op *op, uint64_t *va, unsigned *n)
{
    unsigned size = op->x >> 2 & 15, bits = size * 8;
    uint64_t a = soft_ea_raw(v, op);
    int64_t i = (int64_t)op->imm;

    if (op->x & 64) {
        i = size == 2 ? (int16_t)R16(op->s) : size == 4 ? (int32_t)R32(op->s) : (int64_t)R64(op->s);
        a += (uint64_t)((i >> (size == 2 ? 4 : size == 4 ? 5 : 6)) * (int64_t)size);
    }
    *n = (unsigned)i & (bits - 1);
    *va = op->ea <= SOFT_EA_BASED ? a + v->segbase[op->seg]
                                  : soft_ea_slow(v, op, a, size, (op->x & 3) != BT);
}

static __attribute__((noinline)) void bit_mem_do(struct soft_vcpu *v, const struct soft_op *op)
{
    unsigned size = op->x >> 2 & 15, kind = op->x & 3, n;
    uint64_t va, x;

    bit_mem_where(v, op, &va, &n);
    x = kind == BT ? soft_ld_slow(v, op, va, size) : soft_ldw_slow(v, op, va, size);
    if (kind != BT)
        soft_st_slow(v, op, va, size, bit_apply(kind, x, 1ull << n));
    bit_cf(v, x >> n & 1);
}

static __attribute__((noinline)) void bit_lock_do(struct soft_vcpu *v, const struct soft_op *op)
{
    unsigned size = op->x >> 2 & 15, kind = op->x & 3, n;
    uint64_t va, m, x;
    void *p;

    bit_mem_where(v, op, &va, &n);
    soft_probe(v, op, va, size, true);       /* faults name the operand */
    /* One byte of the operand is enough, and is never split across pages. */
    m = 1ull << n % 8;
    va += n / 8;
    p = soft_lock_ptr(v, op, va, 1);
    if (p) {
        x = kind == BTS ? __atomic_fetch_or((uint8_t *)p, (uint8_t)m, __ATOMIC_SEQ_CST)
          : kind == BTR ? __atomic_fetch_and((uint8_t *)p, (uint8_t)~m, __ATOMIC_SEQ_CST)
                        : __atomic_fetch_xor((uint8_t *)p, (uint8_t)m, __ATOMIC_SEQ_CST);
        soft_locked_done(v, op, p, 1);
    } else {
        x = soft_ldw_slow(v, op, va, 1);
        soft_st_slow(v, op, va, 1, bit_apply(kind, x, m));
    }
    bit_cf(v, (x & m) != 0);
}

SOFT_FN(bit_mem) { bit_mem_do(v, op); SOFT_NEXT; }
SOFT_FN(bit_lock) { bit_lock_do(v, op); SOFT_NEXT; }

/* BT m, imm: hot in kernels (flag tests). */
#define BT_MI(b) \
SOFT_INLINE bool bt_mi_core##b(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how) \
{ \
    uint##b##_t x; \
    if (!ld##b(v, op, how, soft_ea_how(v, op, how, b / 8, false), &x)) \
        return false; \
    bit_cf(v, x >> (op->imm & (b - 1)) & 1); \
    return true; \
} \
SOFT_MEMFN(bt_mi##b, bt_mi_core##b(v, op, how))
BT_MI(32) BT_MI(64)

static soft_fn sel_bt(struct soft_insn *in, struct soft_op *op, unsigned kind)
{
#define ROW(k) { { bit_rr_##k##_16, bit_rr_##k##_32, bit_rr_##k##_64 }, \
                 { bit_ri_##k##_16, bit_ri_##k##_32, bit_ri_##k##_64 } }
    static const soft_fn regs[4][2][3] = { ROW(BT), ROW(BTS), ROW(BTR), ROW(BTC) };
    static const struct soft_mem3 bt32 = SOFT_MEM3(bt_mi32), bt64 = SOFT_MEM3(bt_mi64);
    bool imm = soft_is_imm(in, 1);

    if (!imm)
        op->s = soft_reg(in, 1);
    if (soft_is_mem(in, 0)) {
        if (imm && kind == BT && in->bits >= 32)
            return soft_pick(in->bits == 64 ? &bt64 : &bt32, op);
        op->x = (uint8_t)(kind | (in->bits / 8u) << 2 | (imm ? 0 : 64));
        return in->lock ? bit_lock : bit_mem;
    }
    op->d = soft_reg(in, 0);
    return regs[kind][imm][soft_szi(in->bits) - 1];
}

/*
 * Scans and counts. BSF/BSR of 0 leave the destination alone and set ZF (the rest of their flags
 * is undefined); LZCNT/TZCNT give the size and CF.
 */
enum scan { BSF, BSR, LZCNT, TZCNT, POPCNT };

/* x: the source is memory */
#define SCAN_SRC(b) (op->x ? soft_ld##b(v, op, soft_ea(v, op, b / 8, false)) : RD##b(op->s))

#define SCAN(b) \
SOFT_INLINE void scan##b(struct soft_vcpu *v, const struct soft_op *op, enum scan kind, \
                         uint##b##_t x) \
{ \
    uint64_t w = x; \
    unsigned r; \
    if (kind == BSF || kind == BSR) { \
        soft_set_cc(v, CC_OP(CC_LOGIC, b), sx##b(x), 0); \
        if (x) \
            WR##b(op->d, kind == BSF ? __builtin_ctzll(w) : 63 - __builtin_clzll(w)); \
        return; \
    } \
    if (kind == POPCNT) { \
        r = (unsigned)__builtin_popcountll(w); \
        soft_set_flags(v, x ? 0 : FL_ZF); \
    } else { \
        r = !x ? b : kind == TZCNT \
            ? (unsigned)__builtin_ctzll(w) : (unsigned)__builtin_clzll(w) - (64 - b); \
        soft_set_cc(v, CC_OP(CC_RES, b), r, x ? 0 : FL_CF); \
    } \
    WR##b(op->d, r); \
} \
SOFT_FN(bsf_##b) { scan##b(v, op, BSF, SCAN_SRC(b)); SOFT_NEXT; } \
SOFT_FN(bsr_##b) { scan##b(v, op, BSR, SCAN_SRC(b)); SOFT_NEXT; } \
SOFT_FN(lzcnt_##b) { scan##b(v, op, LZCNT, SCAN_SRC(b)); SOFT_NEXT; } \
SOFT_FN(tzcnt_##b) { scan##b(v, op, TZCNT, SCAN_SRC(b)); SOFT_NEXT; } \
SOFT_FN(popcnt_##b) { scan##b(v, op, POPCNT, SCAN_SRC(b)); SOFT_NEXT; }
SCAN(16) SCAN(32) SCAN(64)

static soft_fn sel_scan(struct soft_insn *in, struct soft_op *op, enum scan k)
{
#define SROW(n) { n##_16, n##_32, n##_64 }
    static const soft_fn t[5][3] = { SROW(bsf), SROW(bsr), SROW(lzcnt), SROW(tzcnt), SROW(popcnt) };

    op->d = soft_reg(in, 0);
    op->x = soft_is_mem(in, 1);
    if (!op->x)
        op->s = soft_reg(in, 1);
    return t[k][soft_szi(in->bits) - 1];
}

/* BMI1 and the rest of BMI2. d = f(register x, r/m); the r/m is memory when s == 0xff. */
enum bmi { ANDN, BEXTR, BZHI, PDEP, PEXT, BLSI, BLSMSK, BLSR };

static uint64_t pdep(uint64_t src, uint64_t mask)
{
    uint64_t r = 0;

    for (; mask; mask &= mask - 1, src >>= 1)
        if (src & 1)
            r |= mask & -mask;
    return r;
}

static uint64_t pext(uint64_t src, uint64_t mask)
{
    uint64_t r = 0;

    for (unsigned i = 0; mask; mask &= mask - 1, i++)
        if (src & mask & -mask)
            r |= 1ull << i;
    return r;
}

/* rm: the r/m operand, y: the other one. */
static uint64_t bmi_do(struct soft_vcpu *v, enum bmi k, unsigned bits, uint64_t rm, uint64_t y)
{
    uint64_t r, max = bits == 64 ? ~0ull : 0xffffffff;
    unsigned start, len;
    uint32_t cf = 0;

    switch (k) {
    case PDEP: return pdep(y, rm);
    case PEXT: return pext(y, rm);
    case ANDN: r = ~y & rm; break;
    case BEXTR:
        start = y & 0xff;
        len = y >> 8 & 0xff;
        r = start >= bits ? 0 : rm >> start;
        if (len < 64)
            r &= (1ull << len) - 1;
        break;
    case BZHI:
        len = y & 0xff;
        r = len < bits ? rm & ((1ull << len) - 1) : rm;
        cf = len >= bits ? FL_CF : 0;
        break;
    case BLSI: r = rm & -rm; cf = rm ? FL_CF : 0; break;
    case BLSMSK: r = rm ^ (rm - 1); cf = rm ? 0 : FL_CF; break;
    default: r = rm & (rm - 1); cf = rm ? 0 : FL_CF; break;
    }
    r &= max;
    soft_set_cc(v, CC_OP(CC_RES, bits), bits == 64 ? r : (uint64_t)(int64_t)(int32_t)r, cf);
    return r;
}

#define BMI(b, k) \
SOFT_FN(bmi_##k##_##b) \
{ \
    uint##b##_t rm = op->s == 0xff ? soft_ld##b(v, op, \
                                                soft_ea(v, op, b / 8, false)) : RD##b(op->s); \
    WR##b(op->d, bmi_do(v, k, b, rm, RD##b(op->x))); \
    SOFT_NEXT; \
}
#define BMI_ALL(b) BMI(b, ANDN) BMI(b, BEXTR) BMI(b, BZHI) BMI(b, PDEP) BMI(b, PEXT) BMI(b, BLSI) \
                   BMI(b, BLSMSK) BMI(b, BLSR)
BMI_ALL(32) BMI_ALL(64)

static soft_fn sel_bmi(struct soft_insn *in, struct soft_op *op, enum bmi k)
{
#define BROW(k) { bmi_##k##_32, bmi_##k##_64 }
    static const soft_fn t[][2] = { [ANDN] = BROW(ANDN), [BEXTR] = BROW(BEXTR), [BZHI] = BROW(BZHI),
        [PDEP] = BROW(PDEP), [PEXT] = BROW(PEXT), [BLSI] = BROW(BLSI), [BLSMSK] = BROW(BLSMSK),
        [BLSR] = BROW(BLSR) };
    /* ANDN, PDEP, PEXT: r/m is the last operand; BEXTR, BZHI: the second; BLS*: the second and
     * only. */
    unsigned rm = k == ANDN || k == PDEP || k == PEXT ? 2 : 1;

    op->d = soft_reg(in, 0);
    op->x = SOFT_ZERO;
    if (in->n == 3)
        op->x = soft_reg(in, 3 - rm);
    op->s = soft_is_mem(in, rm) ? 0xff : soft_reg(in, rm);
    return t[k][in->bits == 64];
}

/* CRC32 (Castagnoli, reflected polynomial 0x82f63b78), a byte at a time over the operand. */
static uint32_t crc32c(uint32_t crc, uint64_t data, unsigned bytes)
{
    for (; bytes; bytes--, data >>= 8) {
        crc ^= (uint8_t)data;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1));
    }
    return crc;
}

SOFT_FN(crc32)
{
    unsigned size = op->x & 15;
    uint64_t y;

    if (op->x & 16)
        y = soft_ld_slow(v, op, soft_ea(v, op, size, false), size);
    else
        y = size == 1 ? R8(op->s) : size == 2 ? R16(op->s) : size == 4 ? R32(op->s) : R64(op->s);
    R64(op->d) = crc32c(R32(op->d), y, size);
    SOFT_NEXT;
}

/* Randomness comes from the host kernel, which never runs dry once it is seeded. */
static __attribute__((noinline)) void rdrand_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t r = 0;
    bool ok = getrandom(&r, sizeof(r), GRND_NONBLOCK) == (ssize_t)sizeof(r);

    if (!ok)
        r = 0;
    if (op->x == 16)
        R16(op->d) = (uint16_t)r;
    else
        R64(op->d) = op->x == 32 ? (uint32_t)r : r;
    soft_set_flags(v, ok ? FL_CF : 0);
}

SOFT_FN(rdrand) { rdrand_do(v, op); SOFT_NEXT; }

soft_fn soft_sel_bit(struct soft_insn *in, struct soft_op *op)
{
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_BT: return sel_bt(in, op, BT);
    case ZYDIS_MNEMONIC_BTS: return sel_bt(in, op, BTS);
    case ZYDIS_MNEMONIC_BTR: return sel_bt(in, op, BTR);
    case ZYDIS_MNEMONIC_BTC: return sel_bt(in, op, BTC);
    case ZYDIS_MNEMONIC_BSF: return sel_scan(in, op, BSF);
    case ZYDIS_MNEMONIC_BSR: return sel_scan(in, op, BSR);
    case ZYDIS_MNEMONIC_LZCNT: return sel_scan(in, op, LZCNT);
    case ZYDIS_MNEMONIC_TZCNT: return sel_scan(in, op, TZCNT);
    case ZYDIS_MNEMONIC_POPCNT: return sel_scan(in, op, POPCNT);
    case ZYDIS_MNEMONIC_ANDN: return sel_bmi(in, op, ANDN);
    case ZYDIS_MNEMONIC_BEXTR: return sel_bmi(in, op, BEXTR);
    case ZYDIS_MNEMONIC_BZHI: return sel_bmi(in, op, BZHI);
    case ZYDIS_MNEMONIC_PDEP: return sel_bmi(in, op, PDEP);
    case ZYDIS_MNEMONIC_PEXT: return sel_bmi(in, op, PEXT);
    case ZYDIS_MNEMONIC_BLSI: return sel_bmi(in, op, BLSI);
    case ZYDIS_MNEMONIC_BLSMSK: return sel_bmi(in, op, BLSMSK);
    case ZYDIS_MNEMONIC_BLSR: return sel_bmi(in, op, BLSR);
    case ZYDIS_MNEMONIC_CRC32:
        op->d = soft_reg(in, 0);
        op->x = (uint8_t)(in->o[1].size / 8);
        if (soft_is_mem(in, 1))
            op->x |= 16;
        else
            op->s = soft_reg(in, 1);
        return crc32;
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
        op->d = soft_reg(in, 0);
        op->x = in->bits;
        return rdrand;
    default: return NULL;
    }
}
