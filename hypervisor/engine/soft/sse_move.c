/* SPDX-License-Identifier: MIT */
/* SSE moves between registers and memory: nothing here depends on MXCSR. */
#include "hypervisor/engine/soft/fp.h"

#define H(name) static void name(struct soft_vcpu *v, const struct soft_op *op)
#define SLOW(name) SOFT_COLD H(name)
#define Z(n) ZYDIS_MNEMONIC_##n

static inline bool plain(const struct soft_op *op)
{
    return soft_likely(op->ea <= SOFT_EA_BASED);
}

static inline uint64_t plain_ea(struct soft_vcpu *v, const struct soft_op *op)
{
    return soft_ea_raw(v, op) + v->segbase[op->seg];
}

/* ---------------------------------------------------------------- 16 bytes */

H(mov_xx)
{
    soft_sse(v, op);
    XD = XS;
    SOFT_NEXT;
}

/* Stores have the same shape with d and s exchanged: mov_xx of the 0F 29 encoding. */

SLOW(ld_a_slow)
{
    XD = fp_ld128a(v, op);
    SOFT_NEXT;
}

H(ld_a)
{
    uint64_t va = plain_ea(v, op);
    const void *p = soft_rptr(v, va, 16);

    soft_sse(v, op);
    if (soft_unlikely(!p || (va & 15) || !plain(op))) {
        SOFT_TAIL return ld_a_slow(v, op);
    }
    XD = _mm_load_si128(p);
    SOFT_NEXT;
}

SLOW(ld_u_slow)
{
    XD = fp_ld128u(v, op);
    SOFT_NEXT;
}

H(ld_u)
{
    uint64_t va = plain_ea(v, op);
    const void *p = soft_rptr(v, va, 16);

    soft_sse(v, op);
    if (soft_unlikely(!p || !plain(op))) {
        SOFT_TAIL return ld_u_slow(v, op);
    }
    XD = _mm_loadu_si128(p);
    SOFT_NEXT;
}

SLOW(st_a_slow)
{
    soft_st128(v, op, fp_ea_aligned(v, op, 16, true), XS);
    SOFT_NEXT;
}

H(st_a)
{
    uint64_t va = plain_ea(v, op);
    void *p = soft_wptr(v, va, 16);

    soft_sse(v, op);
    if (soft_unlikely(!p || (va & 15) || !plain(op))) {
        SOFT_TAIL return st_a_slow(v, op);
    }
    _mm_store_si128(p, XS);
    SOFT_NEXT;
}

SLOW(st_u_slow)
{
    uint64_t va = soft_ea(v, op, 16, true);
    fp_align(v, op, va, 16);
    soft_st128(v, op, va, XS);
    SOFT_NEXT;
}

H(st_u)
{
    uint64_t va = plain_ea(v, op);
    void *p = soft_wptr(v, va, 16);

    soft_sse(v, op);
    if (soft_unlikely(!p || !plain(op))) {
        SOFT_TAIL return st_u_slow(v, op);
    }
    _mm_storeu_si128(p, XS);
    SOFT_NEXT;
}

/* ---------------------------------------------------------------- 8 and 4 bytes */

SLOW(ld_q_slow)
{
    XD = fp_ld64(v, op);
    SOFT_NEXT;
}

/* MOVQ, MOVSD from memory: the upper half becomes 0. */
H(ld_q)
{
    uint64_t va = plain_ea(v, op);
    const void *p = soft_rptr(v, va, 8);

    soft_sse(v, op);
    if (soft_unlikely(!p || !plain(op))) {
        SOFT_TAIL return ld_q_slow(v, op);
    }
    XD = _mm_loadl_epi64(p);
    SOFT_NEXT;
}

SLOW(ld_d_slow)
{
    XD = fp_ld32(v, op);
    SOFT_NEXT;
}

/* MOVD, MOVSS from memory */
H(ld_d)
{
    uint64_t va = plain_ea(v, op);
    const void *p = soft_rptr(v, va, 4);

    soft_sse(v, op);
    if (soft_unlikely(!p || !plain(op))) {
        SOFT_TAIL return ld_d_slow(v, op);
    }
    XD = fp_get32(p);
    SOFT_NEXT;
}

static inline uint64_t low64(__m128i x)
{
    return (uint64_t)_mm_cvtsi128_si64(x);
}

static inline uint64_t high64(__m128i x)
{
    return low64(_mm_unpackhi_epi64(x, x));
}

H(st_q)
{
    soft_sse(v, op);
    soft_st64(v, op, soft_ea(v, op, 8, true), low64(XS));
    SOFT_NEXT;
}

H(st_d)
{
    soft_sse(v, op);
    soft_st32(v, op, soft_ea(v, op, 4, true), (uint32_t)low64(XS));
    SOFT_NEXT;
}

H(st_hi)
{
    soft_sse(v, op);
    soft_st64(v, op, soft_ea(v, op, 8, true), high64(XS));
    SOFT_NEXT;
}

H(movq_xx)
{
    soft_sse(v, op);
    XD = _mm_move_epi64(XS);
    SOFT_NEXT;
}

H(movsd_xx)
{
    soft_sse(v, op);
    XD = _mm_castpd_si128(_mm_move_sd(_mm_castsi128_pd(XD), _mm_castsi128_pd(XS)));
    SOFT_NEXT;
}

H(movss_xx)
{
    soft_sse(v, op);
    XD = _mm_castps_si128(_mm_move_ss(_mm_castsi128_ps(XD), _mm_castsi128_ps(XS)));
    SOFT_NEXT;
}

H(ld_lo)
{
    soft_sse(v, op);
    __m128i m = fp_ld64(v, op);
    XD = _mm_castpd_si128(_mm_move_sd(_mm_castsi128_pd(XD), _mm_castsi128_pd(m)));
    SOFT_NEXT;
}

H(ld_hi)
{
    soft_sse(v, op);
    __m128i m = fp_ld64(v, op);
    XD = _mm_unpacklo_epi64(XD, m);
    SOFT_NEXT;
}

H(movhlps)
{
    soft_sse(v, op);
    XD = _mm_unpackhi_epi64(XS, XD);
    SOFT_NEXT;
}

H(movlhps)
{
    soft_sse(v, op);
    XD = _mm_unpacklo_epi64(XD, XS);
    SOFT_NEXT;
}

H(movddup_xx)
{
    soft_sse(v, op);
    XD = _mm_unpacklo_epi64(XS, XS);
    SOFT_NEXT;
}

H(movddup_xm)
{
    soft_sse(v, op);
    __m128i m = fp_ld64(v, op);
    XD = _mm_unpacklo_epi64(m, m);
    SOFT_NEXT;
}

/* ---------------------------------------------------------------- to and from integer registers */

H(movd_xg)
{
    soft_sse(v, op);
    XD = _mm_cvtsi32_si128((int)R32(op->s));
    SOFT_NEXT;
}

H(movq_xg)
{
    soft_sse(v, op);
    XD = _mm_cvtsi64_si128((long long)R64(op->s));
    SOFT_NEXT;
}

H(movd_gx)
{
    soft_sse(v, op);
    R64(op->d) = (uint32_t)low64(XS);
    SOFT_NEXT;
}

H(movq_gx)
{
    soft_sse(v, op);
    R64(op->d) = low64(XS);
    SOFT_NEXT;
}

H(movmskps)
{
    soft_sse(v, op);
    R64(op->d) = (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(XS));
    SOFT_NEXT;
}

H(movmskpd)
{
    soft_sse(v, op);
    R64(op->d) = (uint32_t)_mm_movemask_pd(_mm_castsi128_pd(XS));
    SOFT_NEXT;
}

H(pmovmskb)
{
    soft_sse(v, op);
    R64(op->d) = (uint32_t)_mm_movemask_epi8(XS);
    SOFT_NEXT;
}

/* ---------------------------------------------------------------- odd ones */

H(movq2dq)
{
    mmx_check(v, op);
    mmx_enter(v);
    XD = _mm_cvtsi64_si128((long long)MMX(op->s));
    SOFT_NEXT;
}

H(movdq2q)
{
    mmx_check(v, op);
    mmx_enter(v);
    mmx_write(v, op->d, low64(XS));
    SOFT_NEXT;
}

/* Bytes of XD selected by the top bits of XS go to [rDI]. Faults are those of a 16-byte store
 * unless the mask is empty, which the manuals leave open and AMD's CPUs do. */
H(maskmovdqu)
{
    soft_sse(v, op);
    unsigned mask = (unsigned)_mm_movemask_epi8(XS);
    uint64_t va = soft_ea(v, op, 16, true);
    if (mask)
        soft_probe(v, op, va, 16, true);
    _mm_store_si128((__m128i *)v->scratch, XD);
    for (unsigned i = 0; i < 16; i++)
        if (mask & (1u << i))
            soft_st8(v, op, va + i, v->scratch[i]);
    SOFT_NEXT;
}

H(ldmxcsr)
{
    soft_sse(v, op);
    uint32_t value = soft_ld32(v, op, soft_ea(v, op, 4, false));
    if (soft_unlikely(value & ~MXCSR_VALID))
        soft_raise_err(v, op, SOFT_GP, 0);
    sse_write_mxcsr(v, value);
    SOFT_NEXT;
}

H(stmxcsr)
{
    soft_sse(v, op);
    sse_read_mxcsr(v);
    soft_st32(v, op, soft_ea(v, op, 4, true), v->mxcsr);
    SOFT_NEXT;
}

#define MOV_A(n) { Z(n), FP_X, FP_X, mov_xx }, { Z(n), FP_X, FP_MEM, ld_a }, \
                 { Z(n), FP_MEM, FP_X, st_a }
#define MOV_U(n) { Z(n), FP_X, FP_X, mov_xx }, { Z(n), FP_X, FP_MEM, ld_u }, \
                 { Z(n), FP_MEM, FP_X, st_u }

static const struct fp_row rows[] = {
    MOV_A(MOVAPS), MOV_A(MOVAPD), MOV_A(MOVDQA),
    MOV_U(MOVUPS), MOV_U(MOVUPD), MOV_U(MOVDQU),
    { Z(MOVNTPS), FP_MEM, FP_X, st_a }, { Z(MOVNTPD), FP_MEM, FP_X, st_a },
    { Z(MOVNTDQ), FP_MEM, FP_X, st_a }, { Z(MOVNTDQA), FP_X, FP_MEM, ld_a },
    { Z(LDDQU), FP_X, FP_MEM, ld_u },
    { Z(MOVQ), FP_X, FP_X, movq_xx }, { Z(MOVQ), FP_X, FP_M64, ld_q },
    { Z(MOVQ), FP_M64, FP_X, st_q },
    { Z(MOVQ), FP_X, FP_G64, movq_xg }, { Z(MOVQ), FP_G64, FP_X, movq_gx },
    { Z(MOVD), FP_X, FP_MEM, ld_d }, { Z(MOVD), FP_MEM, FP_X, st_d },
    { Z(MOVD), FP_X, FP_G, movd_xg }, { Z(MOVD), FP_G, FP_X, movd_gx },
    { Z(MOVSD), FP_X, FP_X, movsd_xx }, { Z(MOVSD), FP_X, FP_MEM, ld_q },
    { Z(MOVSD), FP_MEM, FP_X, st_q },
    { Z(MOVSS), FP_X, FP_X, movss_xx }, { Z(MOVSS), FP_X, FP_MEM, ld_d },
    { Z(MOVSS), FP_MEM, FP_X, st_d },
    { Z(MOVLPS), FP_X, FP_MEM, ld_lo }, { Z(MOVLPS), FP_MEM, FP_X, st_q },
    { Z(MOVLPD), FP_X, FP_MEM, ld_lo }, { Z(MOVLPD), FP_MEM, FP_X, st_q },
    { Z(MOVHPS), FP_X, FP_MEM, ld_hi }, { Z(MOVHPS), FP_MEM, FP_X, st_hi },
    { Z(MOVHPD), FP_X, FP_MEM, ld_hi }, { Z(MOVHPD), FP_MEM, FP_X, st_hi },
    { Z(MOVHLPS), FP_X, FP_X, movhlps }, { Z(MOVLHPS), FP_X, FP_X, movlhps },
    { Z(MOVDDUP), FP_X, FP_X, movddup_xx }, { Z(MOVDDUP), FP_X, FP_MEM, movddup_xm },
    { Z(MOVMSKPS), FP_G, FP_X, movmskps }, { Z(MOVMSKPS), FP_G64, FP_X, movmskps },
    { Z(MOVMSKPD), FP_G, FP_X, movmskpd }, { Z(MOVMSKPD), FP_G64, FP_X, movmskpd },
    { Z(PMOVMSKB), FP_G, FP_X, pmovmskb }, { Z(PMOVMSKB), FP_G64, FP_X, pmovmskb },
    { Z(MOVQ2DQ), FP_X, FP_MM, movq2dq }, { Z(MOVDQ2Q), FP_MM, FP_X, movdq2q },
    { Z(MASKMOVDQU), FP_X, FP_X, maskmovdqu },
    { Z(LDMXCSR), FP_MEM, FP_NONE, ldmxcsr }, { Z(STMXCSR), FP_MEM, FP_NONE, stmxcsr },
};
FP_TABLE(fp_sse_move, rows);
