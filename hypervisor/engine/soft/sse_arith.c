/* SPDX-License-Identifier: MIT */
/* SSE instructions that MXCSR governs: arithmetic, comparisons and conversions. */
#include "hypervisor/engine/soft/fp.h"

/* op xmm, xmm/m128 */
#define PACKED_LIST(X) \
    X(ADDPS, "addps") X(ADDPD, "addpd") X(SUBPS, "subps") X(SUBPD, "subpd") \
    X(MULPS, "mulps") X(MULPD, "mulpd") X(DIVPS, "divps") X(DIVPD, "divpd") \
    X(MINPS, "minps") X(MINPD, "minpd") X(MAXPS, "maxps") X(MAXPD, "maxpd") \
    X(SQRTPS, "sqrtps") X(SQRTPD, "sqrtpd") \
    X(HADDPS, "haddps") X(HADDPD, "haddpd") X(HSUBPS, "hsubps") X(HSUBPD, "hsubpd") \
    X(ADDSUBPS, "addsubps") X(ADDSUBPD, "addsubpd") \
    X(CVTDQ2PS, "cvtdq2ps") X(CVTPS2DQ, "cvtps2dq") X(CVTTPS2DQ, "cvttps2dq") \
    X(CVTPD2DQ, "cvtpd2dq") X(CVTTPD2DQ, "cvttpd2dq") X(CVTPD2PS, "cvtpd2ps")

/* op xmm, xmm/m32 or m64; the rest of the destination is kept or made by the instruction */
#define SCALAR_LIST(X) \
    X(ADDSS, "addss", 32) X(ADDSD, "addsd", 64) X(SUBSS, "subss", 32) X(SUBSD, "subsd", 64) \
    X(MULSS, "mulss", 32) X(MULSD, "mulsd", 64) X(DIVSS, "divss", 32) X(DIVSD, "divsd", 64) \
    X(MINSS, "minss", 32) X(MINSD, "minsd", 64) X(MAXSS, "maxss", 32) X(MAXSD, "maxsd", 64) \
    X(SQRTSS, "sqrtss", 32) X(SQRTSD, "sqrtsd", 64) \
    X(CVTSS2SD, "cvtss2sd", 32) X(CVTSD2SS, "cvtsd2ss", 64) \
    X(CVTPS2PD, "cvtps2pd", 64) X(CVTDQ2PD, "cvtdq2pd", 64)

/* from a floating point register or memory to r32 and r64 */
#define TO_INT_LIST(X) \
    X(CVTSS2SI, "cvtss2si", 32) X(CVTSD2SI, "cvtsd2si", 64) \
    X(CVTTSS2SI, "cvttss2si", 32) X(CVTTSD2SI, "cvttsd2si", 64)

/* set ZF, PF, CF */
#define COMPARE_LIST(X) \
    X(UCOMISS, "ucomiss", 32) X(UCOMISD, "ucomisd", 64) \
    X(COMISS, "comiss", 32) X(COMISD, "comisd", 64)

#define KERNEL(n, insn) \
static inline __m128i n##_k(__m128i d, __m128i s) \
{ \
    __asm__ volatile(insn " %1, %0" : "+x"(d) : "x"(s)); \
    return d; \
}

/* The slow twin does everything by function calls, so that the fast one needs no frame. */
#define REG_FORM(n) \
SOFT_COLD static void n##_xx_slow(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    XD = sse_run(v, op, n##_k, XD, XS); \
    SOFT_NEXT; \
} \
static void n##_xx(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    if (soft_unlikely(v->mxcsr_live != SOFT_MXCSR_LIVE)) { \
        SOFT_TAIL return n##_xx_slow(v, op); \
    } \
    XD = n##_k(XD, XS); \
    SOFT_NEXT; \
}

#define MEM_FORM(n, bytes, misaligned, fast_load, slow_load) \
SOFT_COLD static void n##_xm_slow(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    __m128i m = slow_load(v, op); \
    XD = sse_run(v, op, n##_k, XD, m); \
    SOFT_NEXT; \
} \
static void n##_xm(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    uint64_t va = soft_ea_raw(v, op) + v->segbase[op->seg]; \
    const void *p = soft_rptr(v, va, bytes); \
    soft_sse(v, op); \
    if (soft_unlikely(!p || (va & (misaligned)) || op->ea > SOFT_EA_BASED || \
                      v->mxcsr_live != SOFT_MXCSR_LIVE)) { \
        SOFT_TAIL return n##_xm_slow(v, op); \
    } \
    XD = n##_k(XD, fast_load(p)); \
    SOFT_NEXT; \
}

static inline __m128i load_128(const void *p)
{
    return _mm_load_si128(p);
}

static inline __m128i load_64(const void *p)
{
    return _mm_loadl_epi64(p);
}

static inline __m128i load_32(const void *p)
{
    return fp_get32(p);
}

#define PACKED(n, insn) KERNEL(n, insn) REG_FORM(n) MEM_FORM(n, 16, 15, load_128, fp_ld128a)
#define SCALAR(n, insn, bits) \
    KERNEL(n, insn) REG_FORM(n) MEM_FORM(n, bits / 8, 0, load_##bits, fp_ld##bits)
PACKED_LIST(PACKED)
SCALAR_LIST(SCALAR)

/* ---------------------------------------------------------------- to and from integer registers */

static inline uint64_t low64(__m128i x)
{
    return (uint64_t)_mm_cvtsi128_si64(x);
}

#define TO_INT(n, insn, bits) \
static __m128i n##_k32(__m128i d, __m128i s) \
{ \
    uint32_t r; \
    __asm__ volatile(insn " %1, %0" : "=r"(r) : "x"(s)); \
    return _mm_cvtsi32_si128((int)r); \
} \
static __m128i n##_k64(__m128i d, __m128i s) \
{ \
    uint64_t r; \
    __asm__ volatile(insn " %1, %0" : "=r"(r) : "x"(s)); \
    return _mm_cvtsi64_si128((long long)r); \
} \
static void n##_g32x(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    R64(op->d) = (uint32_t)low64(sse_run(v, op, n##_k32, XS, XS)); \
    SOFT_NEXT; \
} \
static void n##_g64x(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    R64(op->d) = low64(sse_run(v, op, n##_k64, XS, XS)); \
    SOFT_NEXT; \
} \
static void n##_g32m(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    __m128i m = fp_ld##bits(v, op); \
    R64(op->d) = (uint32_t)low64(sse_run(v, op, n##_k32, m, m)); \
    SOFT_NEXT; \
} \
static void n##_g64m(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    __m128i m = fp_ld##bits(v, op); \
    R64(op->d) = low64(sse_run(v, op, n##_k64, m, m)); \
    SOFT_NEXT; \
}
TO_INT_LIST(TO_INT)

#define FROM_INT(n, insn, type, bits) \
static __m128i n##_k(__m128i d, __m128i s) \
{ \
    __asm__ volatile(insn " %1, %0" : "+x"(d) : "r"((type)low64(s))); \
    return d; \
} \
static void n##_xg(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    XD = sse_run(v, op, n##_k, XD, _mm_cvtsi64_si128((long long)R64(op->s))); \
    SOFT_NEXT; \
} \
static void n##_xm(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    __m128i m = fp_ld##bits(v, op); \
    XD = sse_run(v, op, n##_k, XD, m); \
    SOFT_NEXT; \
}
FROM_INT(cvtsi2ss32, "cvtsi2ssl", uint32_t, 32)
FROM_INT(cvtsi2ss64, "cvtsi2ssq", uint64_t, 64)
FROM_INT(cvtsi2sd32, "cvtsi2sdl", uint32_t, 32)
FROM_INT(cvtsi2sd64, "cvtsi2sdq", uint64_t, 64)

/* ---------------------------------------------------------------- comparisons */

#define COMPARE(n, insn, bits) \
static __m128i n##_k(__m128i d, __m128i s) \
{ \
    uint32_t f; \
    __asm__ volatile(insn " %2, %1\n\tlahf" : "=a"(f) : "x"(d), "x"(s) : "cc"); \
    return _mm_cvtsi32_si128((int)(f >> 8 & (FL_ZF | FL_PF | FL_CF))); \
} \
static void n##_xx(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    soft_set_flags(v, (uint32_t)low64(sse_run(v, op, n##_k, XD, XS))); \
    SOFT_NEXT; \
} \
static void n##_xm(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    __m128i m = fp_ld##bits(v, op); \
    soft_set_flags(v, (uint32_t)low64(sse_run(v, op, n##_k, XD, m))); \
    SOFT_NEXT; \
}
COMPARE_LIST(COMPARE)

/* ---------------------------------------------------------------- MMX operands */

/* The x87 state is home by then, so the host unit is free; emms leaves it at rest. */
#define MM_FROM_X(n, insn) \
static __m128i n##_k(__m128i d, __m128i s) \
{ \
    __asm__ volatile(insn " %1, %%mm0\n\tmovq2dq %%mm0, %0\n\temms" : "=x"(d) : "x"(s)); \
    return d; \
}
#define MM_TO_X(n, insn) \
static __m128i n##_k(__m128i d, __m128i s) \
{ \
    __asm__ volatile("movdq2q %1, %%mm0\n\t" insn " %%mm0, %0\n\temms" : "+x"(d) : "x"(s)); \
    return d; \
}
/* The MMX state is entered before #XM is found. */
#define MM_FROM_X_HANDLERS(n, load) \
static void n##_mx(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    mmx_check(v, op); \
    mmx_enter(v); \
    __m128i r = sse_run(v, op, n##_k, XS, XS); \
    mmx_write(v, op->d, low64(r)); \
    SOFT_NEXT; \
} \
static void n##_mm(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    mmx_check(v, op); \
    __m128i m = load(v, op); \
    mmx_enter(v); \
    m = sse_run(v, op, n##_k, m, m); \
    mmx_write(v, op->d, low64(m)); \
    SOFT_NEXT; \
}
/* From memory these do not touch the MMX state. */
#define MM_TO_X_HANDLERS(n) \
static void n##_xmm(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    mmx_check(v, op); \
    mmx_enter(v); \
    XD = sse_run(v, op, n##_k, XD, _mm_cvtsi64_si128((long long)MMX(op->s))); \
    SOFT_NEXT; \
} \
static void n##_xm(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    __m128i m = fp_ld64(v, op); \
    x87_sync(v); \
    XD = sse_run(v, op, n##_k, XD, m); \
    SOFT_NEXT; \
}
MM_FROM_X(cvtps2pi, "cvtps2pi")
MM_FROM_X(cvttps2pi, "cvttps2pi")
MM_FROM_X(cvtpd2pi, "cvtpd2pi")
MM_FROM_X(cvttpd2pi, "cvttpd2pi")
MM_FROM_X_HANDLERS(cvtps2pi, fp_ld64)
MM_FROM_X_HANDLERS(cvttps2pi, fp_ld64)
MM_FROM_X_HANDLERS(cvtpd2pi, fp_ld128a)
MM_FROM_X_HANDLERS(cvttpd2pi, fp_ld128a)
MM_TO_X(cvtpi2ps, "cvtpi2ps")
MM_TO_X(cvtpi2pd, "cvtpi2pd")
MM_TO_X_HANDLERS(cvtpi2ps)
MM_TO_X_HANDLERS(cvtpi2pd)

#define Z(n) ZYDIS_MNEMONIC_##n
#define ROWS(n, ...) { Z(n), FP_X, FP_X, n##_xx }, { Z(n), FP_X, FP_MEM, n##_xm },
#define ROWS_INT(n, ...) { Z(n), FP_G, FP_X, n##_g32x }, { Z(n), FP_G, FP_MEM, n##_g32m }, \
                         { Z(n), FP_G64, FP_X, n##_g64x }, { Z(n), FP_G64, FP_MEM, n##_g64m },
#define ROWS_MM(N, n) { Z(N), FP_MM, FP_X, n##_mx }, { Z(N), FP_MM, FP_MEM, n##_mm },

static const struct fp_row rows[] = {
    PACKED_LIST(ROWS)
    SCALAR_LIST(ROWS)
    COMPARE_LIST(ROWS)
    TO_INT_LIST(ROWS_INT)
    { Z(CVTSI2SS), FP_X, FP_G, cvtsi2ss32_xg }, { Z(CVTSI2SS), FP_X, FP_G64, cvtsi2ss64_xg },
    { Z(CVTSI2SS), FP_X, FP_M64, cvtsi2ss64_xm }, { Z(CVTSI2SS), FP_X, FP_MEM, cvtsi2ss32_xm },
    { Z(CVTSI2SD), FP_X, FP_G, cvtsi2sd32_xg }, { Z(CVTSI2SD), FP_X, FP_G64, cvtsi2sd64_xg },
    { Z(CVTSI2SD), FP_X, FP_M64, cvtsi2sd64_xm }, { Z(CVTSI2SD), FP_X, FP_MEM, cvtsi2sd32_xm },
    ROWS_MM(CVTPS2PI, cvtps2pi) ROWS_MM(CVTTPS2PI, cvttps2pi)
    ROWS_MM(CVTPD2PI, cvtpd2pi) ROWS_MM(CVTTPD2PI, cvttpd2pi)
    { Z(CVTPI2PS), FP_X, FP_MM, cvtpi2ps_xmm }, { Z(CVTPI2PS), FP_X, FP_MEM, cvtpi2ps_xm },
    { Z(CVTPI2PD), FP_X, FP_MM, cvtpi2pd_xmm }, { Z(CVTPI2PD), FP_X, FP_MEM, cvtpi2pd_xm },
};
FP_TABLE(fp_sse_arith, rows);
