/* SPDX-License-Identifier: MIT */
/*
 * Lazy arithmetic flags. Included by soft.h.
 *
 * An instruction that sets flags stores its result, its second operand and what it did; the flags
 * are worked out when something reads them. cc_res is the result sign-extended to 64 bits, so zero
 * and sign need no operand size; carry and overflow shift both operands up to bit 63 by 64 - size,
 * so that one formula serves all sizes.
 */
#ifndef KR_SOFT_FLAGS_H
#define KR_SOFT_FLAGS_H

#define FL_CF   (1u << 0)
#define FL_ONE  (1u << 1)
#define FL_PF   (1u << 2)
#define FL_AF   (1u << 4)
#define FL_ZF   (1u << 6)
#define FL_SF   (1u << 7)
#define FL_TF   (1u << 8)
#define FL_IF   (1u << 9)
#define FL_DF   (1u << 10)
#define FL_OF   (1u << 11)
#define FL_IOPL (3u << 12)
#define FL_NT   (1u << 14)
#define FL_RF   (1u << 16)
#define FL_VM   (1u << 17)
#define FL_AC   (1u << 18)
#define FL_VIF  (1u << 19)
#define FL_VIP  (1u << 20)
#define FL_ID   (1u << 21)
#define FL_ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

enum soft_cc {
    CC_FLAGS,        /* cc_src holds all six flags themselves */
    CC_RES,          /* ZF SF PF from cc_res; CF OF AF in cc_src as flag bits */
    CC_LOGIC,        /* ZF SF PF from cc_res; CF OF AF are 0 */
    CC_ADD,          /* cc_res = a + cc_src */
    CC_ADC,          /* cc_res = a + cc_src + 1 */
    CC_SUB,          /* cc_res = a - cc_src */
    CC_SBB,          /* cc_res = a - cc_src - 1 */
    CC_INC,          /* cc_res = a + 1; CF from pc_* */
    CC_DEC,          /* cc_res = a - 1; CF from pc_* */
};
/* cc_op: enum soft_cc in bits 0-7, 64 - operand bits in bits 8-15. */
#define CC_OP(kind, bits) ((kind) | (64u - (bits)) << 8)

/* res must be sign-extended from the operand size. */
static inline void soft_set_cc(struct soft_vcpu *v, uint32_t op, uint64_t res, uint64_t src)
{
    v->cc_res = res;
    v->cc_src = src;
    v->cc_op = op;
}

/* INC and DEC leave CF: what it would be computed from is put aside, unless it already is. */
static inline void soft_set_cc_keep_cf(struct soft_vcpu *v, uint32_t op, uint64_t res)
{
    if (soft_likely((v->cc_op & 0xff) < CC_INC)) {
        v->pc_op = v->cc_op;
        v->pc_res = v->cc_res;
        v->pc_src = v->cc_src;
    }
    v->cc_res = res;
    v->cc_op = op;
}

/* Sets all six arithmetic flags; other bits of `flags` must be 0. */
static inline void soft_set_flags(struct soft_vcpu *v, uint32_t flags)
{
    v->cc_src = flags;
    v->cc_op = CC_OP(CC_FLAGS, 64);
}

static inline bool soft_cf_of(uint32_t op, uint64_t res, uint64_t src)
{
    unsigned sh = op >> 8;
    uint64_t one = 1ull << sh;
    bool flag = src & FL_CF;

    res <<= sh;
    src <<= sh;
    switch ((enum soft_cc)(op & 0xff)) {
    case CC_ADD: return res < src;
    case CC_ADC: return res <= src;
    case CC_SUB: return res + src < src;
    case CC_SBB: return res + src + one <= src;
    case CC_LOGIC: return false;
    default: return flag;
    }
}

static inline bool soft_cf(const struct soft_vcpu *v)
{
    if (soft_unlikely((v->cc_op & 0xff) >= CC_INC))
        return soft_cf_of(v->pc_op, v->pc_res, v->pc_src);
    return soft_cf_of(v->cc_op, v->cc_res, v->cc_src);
}

static inline bool soft_of(const struct soft_vcpu *v)
{
    unsigned sh = v->cc_op >> 8;
    uint64_t res = v->cc_res << sh, src = v->cc_src << sh, one = 1ull << sh, a;

    switch ((enum soft_cc)(v->cc_op & 0xff)) {
    case CC_ADD: a = res - src; return ((res ^ src) & (res ^ a)) >> 63;
    case CC_ADC: a = res - src - one; return ((res ^ src) & (res ^ a)) >> 63;
    case CC_SUB: a = res + src; return ((a ^ src) & (a ^ res)) >> 63;
    case CC_SBB: a = res + src + one; return ((a ^ src) & (a ^ res)) >> 63;
    case CC_LOGIC: return false;
    case CC_INC: return res == 1ull << 63;
    case CC_DEC: return res + one == 1ull << 63;
    default: return v->cc_src & FL_OF;
    }
}

static inline bool soft_af(const struct soft_vcpu *v)
{
    uint64_t res = v->cc_res, src = v->cc_src;

    switch ((enum soft_cc)(v->cc_op & 0xff)) {
    case CC_ADD: return (res ^ src ^ (res - src)) & FL_AF;
    case CC_ADC: return (res ^ src ^ (res - src - 1)) & FL_AF;
    case CC_SUB: return (res ^ src ^ (res + src)) & FL_AF;
    case CC_SBB: return (res ^ src ^ (res + src + 1)) & FL_AF;
    case CC_LOGIC: return false;
    case CC_INC: return (res & 15) == 0;
    case CC_DEC: return (res & 15) == 15;
    default: return src & FL_AF;
    }
}

static inline bool soft_is_flags(const struct soft_vcpu *v)
{
    return (v->cc_op & 0xff) == CC_FLAGS;
}

static inline bool soft_zf(const struct soft_vcpu *v)
{
    return soft_unlikely(soft_is_flags(v)) ? (v->cc_src & FL_ZF) != 0 : v->cc_res == 0;
}

static inline bool soft_sf(const struct soft_vcpu *v)
{
    return soft_unlikely(soft_is_flags(v)) ? (v->cc_src & FL_SF) != 0 : v->cc_res >> 63;
}

static inline bool soft_pf(const struct soft_vcpu *v)
{
    return soft_unlikely(soft_is_flags(v)) ? (v->cc_src & FL_PF) != 0
                                           : !__builtin_parity((uint8_t)v->cc_res);
}

/* All six arithmetic flags as they stand in EFLAGS. */
static inline uint32_t soft_get_flags(const struct soft_vcpu *v)
{
    if (soft_is_flags(v))
        return (uint32_t)v->cc_src;
    return (soft_cf(v) ? FL_CF : 0) | (soft_pf(v) ? FL_PF : 0) | (soft_af(v) ? FL_AF : 0) |
           (soft_zf(v) ? FL_ZF : 0) | (soft_sf(v) ? FL_SF : 0) | (soft_of(v) ? FL_OF : 0);
}

static inline uint64_t soft_get_rflags(const struct soft_vcpu *v)
{
    return v->rflags | FL_ONE | soft_get_flags(v);
}

/* SF != OF without computing either where a compare does it. */
static inline bool soft_lt(const struct soft_vcpu *v)
{
    if (soft_likely((v->cc_op & 0xff) == CC_SUB)) {
        unsigned sh = v->cc_op >> 8;
        int64_t src = (int64_t)(v->cc_src << sh);
        return (int64_t)((v->cc_res << sh) + (uint64_t)src) < src;
    }
    return soft_sf(v) != soft_of(v);
}

/* The condition of Jcc, SETcc, CMOVcc by its four-bit code. */
static inline bool soft_cond(const struct soft_vcpu *v, unsigned cc)
{
    bool r;

    switch (cc >> 1) {
    case 0: r = soft_of(v); break;
    case 1: r = soft_cf(v); break;
    case 2: r = soft_zf(v); break;
    case 3: r = soft_cf(v) || soft_zf(v); break;
    case 4: r = soft_sf(v); break;
    case 5: r = soft_pf(v); break;
    case 6: r = soft_lt(v); break;
    default: r = soft_lt(v) || soft_zf(v); break;
    }
    return r ^ (cc & 1);
}

#endif
