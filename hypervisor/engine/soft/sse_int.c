/* SPDX-License-Identifier: MIT */
/*
 * SSE integer and logical instructions: op xmm, xmm/m128 with nothing else to them. Each is one
 * host instruction; the lists below are the whole description.
 */
#include "hypervisor/engine/soft/fp.h"

/* name, the host's instruction, required ISA for the assembler is not checked in inline asm */
#define SSE_INT_LIST(X) \
    /* SSE, SSE2: logic and shuffles on floating point types */ \
    X(ANDPS, "andps") X(ANDPD, "andpd") X(ANDNPS, "andnps") X(ANDNPD, "andnpd") \
    X(ORPS, "orps") X(ORPD, "orpd") X(XORPS, "xorps") X(XORPD, "xorpd") \
    X(UNPCKLPS, "unpcklps") X(UNPCKLPD, "unpcklpd") \
    X(UNPCKHPS, "unpckhps") X(UNPCKHPD, "unpckhpd") \
    X(RCPPS, "rcpps") X(RSQRTPS, "rsqrtps") \
    /* SSE2 integer */ \
    X(PADDB, "paddb") X(PADDW, "paddw") X(PADDD, "paddd") X(PADDQ, "paddq") \
    X(PSUBB, "psubb") X(PSUBW, "psubw") X(PSUBD, "psubd") X(PSUBQ, "psubq") \
    X(PADDSB, "paddsb") X(PADDSW, "paddsw") X(PADDUSB, "paddusb") X(PADDUSW, "paddusw") \
    X(PSUBSB, "psubsb") X(PSUBSW, "psubsw") X(PSUBUSB, "psubusb") X(PSUBUSW, "psubusw") \
    X(PMULLW, "pmullw") X(PMULHW, "pmulhw") X(PMULHUW, "pmulhuw") X(PMULUDQ, "pmuludq") \
    X(PMADDWD, "pmaddwd") X(PSADBW, "psadbw") X(PAVGB, "pavgb") X(PAVGW, "pavgw") \
    X(PMINUB, "pminub") X(PMAXUB, "pmaxub") X(PMINSW, "pminsw") X(PMAXSW, "pmaxsw") \
    X(PAND, "pand") X(PANDN, "pandn") X(POR, "por") X(PXOR, "pxor") \
    X(PCMPEQB, "pcmpeqb") X(PCMPEQW, "pcmpeqw") X(PCMPEQD, "pcmpeqd") \
    X(PCMPGTB, "pcmpgtb") X(PCMPGTW, "pcmpgtw") X(PCMPGTD, "pcmpgtd") \
    X(PACKSSWB, "packsswb") X(PACKSSDW, "packssdw") X(PACKUSWB, "packuswb") \
    X(PUNPCKLBW, "punpcklbw") X(PUNPCKLWD, "punpcklwd") X(PUNPCKLDQ, "punpckldq") \
    X(PUNPCKLQDQ, "punpcklqdq") X(PUNPCKHBW, "punpckhbw") X(PUNPCKHWD, "punpckhwd") \
    X(PUNPCKHDQ, "punpckhdq") X(PUNPCKHQDQ, "punpckhqdq") \
    X(PSLLW, "psllw") X(PSLLD, "pslld") X(PSLLQ, "psllq") \
    X(PSRLW, "psrlw") X(PSRLD, "psrld") X(PSRLQ, "psrlq") X(PSRAW, "psraw") X(PSRAD, "psrad") \
    /* SSE3 */ \
    X(MOVSHDUP, "movshdup") X(MOVSLDUP, "movsldup") \
    /* SSSE3 */ \
    X(PSHUFB, "pshufb") X(PHADDW, "phaddw") X(PHADDD, "phaddd") X(PHADDSW, "phaddsw") \
    X(PHSUBW, "phsubw") X(PHSUBD, "phsubd") X(PHSUBSW, "phsubsw") X(PMADDUBSW, "pmaddubsw") \
    X(PMULHRSW, "pmulhrsw") X(PSIGNB, "psignb") X(PSIGNW, "psignw") X(PSIGND, "psignd") \
    X(PABSB, "pabsb") X(PABSW, "pabsw") X(PABSD, "pabsd") \
    /* SSE4.1, SSE4.2 */ \
    X(PMULDQ, "pmuldq") X(PMULLD, "pmulld") X(PCMPEQQ, "pcmpeqq") X(PCMPGTQ, "pcmpgtq") \
    X(PACKUSDW, "packusdw") X(PMINSB, "pminsb") X(PMAXSB, "pmaxsb") X(PMINUW, "pminuw") \
    X(PMAXUW, "pmaxuw") X(PMINSD, "pminsd") X(PMAXSD, "pmaxsd") X(PMINUD, "pminud") \
    X(PMAXUD, "pmaxud") X(PHMINPOSUW, "phminposuw")

/* Widening loads: name, instruction, bytes read from memory */
#define SSE_WIDEN_LIST(X) \
    X(PMOVSXBW, "pmovsxbw", 64) X(PMOVSXBD, "pmovsxbd", 32) X(PMOVSXBQ, "pmovsxbq", 16) \
    X(PMOVSXWD, "pmovsxwd", 64) X(PMOVSXWQ, "pmovsxwq", 32) X(PMOVSXDQ, "pmovsxdq", 64) \
    X(PMOVZXBW, "pmovzxbw", 64) X(PMOVZXBD, "pmovzxbd", 32) X(PMOVZXBQ, "pmovzxbq", 16) \
    X(PMOVZXWD, "pmovzxwd", 64) X(PMOVZXWQ, "pmovzxwq", 32) X(PMOVZXDQ, "pmovzxdq", 64)

/* RCPSS and RSQRTSS are approximations without exceptions: 32 bits, upper part kept. */
#define SSE_SCALAR_LIST(X) X(RCPSS, "rcpss", 32) X(RSQRTSS, "rsqrtss", 32)

/* Blends choose by the top bits of XMM0. */
#define SSE_BLEND_LIST(X) \
    X(PBLENDVB, "pblendvb") X(BLENDVPS, "blendvps") X(BLENDVPD, "blendvpd")

#define INT_XX(n, insn) \
static void n##_xx(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    __asm__(insn " %1, %0" : "+x"(XD) : "x"(XS)); \
    SOFT_NEXT; \
}

#define INT_XM(n, insn) \
SOFT_COLD static void n##_slow(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    __m128i m = fp_ld128a(v, op); \
    __asm__(insn " %1, %0" : "+x"(XD) : "x"(m)); \
    SOFT_NEXT; \
} \
static void n##_xm(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    uint64_t va = soft_ea_raw(v, op) + v->segbase[op->seg]; \
    const __m128i *p = soft_rptr(v, va, 16); \
    soft_sse(v, op); \
    if (soft_unlikely(!p || (va & 15) || op->ea > SOFT_EA_BASED)) { \
        SOFT_TAIL return n##_slow(v, op); \
    } \
    __asm__(insn " %1, %0" : "+x"(XD) : "x"(*p)); \
    SOFT_NEXT; \
}

#define SMALL_XM(n, insn, bits) \
static void n##_xm(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    __m128i m = fp_ld##bits(v, op); \
    __asm__(insn " %1, %0" : "+x"(XD) : "x"(m)); \
    SOFT_NEXT; \
}

static inline __m128i keep(struct soft_vcpu *v, unsigned off)
{
    return XMM(off);
}

#define BLEND(n, insn) \
static void n##_xx(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    register __m128i mask __asm__("xmm0") = keep(v, 0); \
    __asm__(insn " %%xmm0, %1, %0" : "+x"(XD) : "x"(XS), "x"(mask)); \
    SOFT_NEXT; \
} \
static void n##_xm(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    soft_sse(v, op); \
    __m128i m = fp_ld128a(v, op); \
    register __m128i mask __asm__("xmm0") = keep(v, 0); \
    __asm__(insn " %%xmm0, %1, %0" : "+x"(XD) : "x"(m), "x"(mask)); \
    SOFT_NEXT; \
}

#define DEFINE_INT(n, insn) INT_XX(n, insn) INT_XM(n, insn)
#define DEFINE_SMALL(n, insn, bits) INT_XX(n, insn) SMALL_XM(n, insn, bits)
SSE_INT_LIST(DEFINE_INT)
SSE_WIDEN_LIST(DEFINE_SMALL)
SSE_SCALAR_LIST(DEFINE_SMALL)
SSE_BLEND_LIST(BLEND)

static inline void ptest(struct soft_vcpu *v, __m128i a, __m128i b)
{
    uint8_t zf, cf;

    __asm__("ptest %3, %2\n\tsetz %0\n\tsetc %1" : "=qm"(zf), "=qm"(cf) : "x"(a), "x"(b) : "cc");
    soft_set_flags(v, (zf ? FL_ZF : 0) | (cf ? FL_CF : 0));
}

static void ptest_xx(struct soft_vcpu *v, const struct soft_op *op)
{
    soft_sse(v, op);
    ptest(v, XD, XS);
    SOFT_NEXT;
}

static void ptest_xm(struct soft_vcpu *v, const struct soft_op *op)
{
    soft_sse(v, op);
    ptest(v, XD, fp_ld128a(v, op));
    SOFT_NEXT;
}

#define ROWS(n, ...) \
    { ZYDIS_MNEMONIC_##n, FP_X, FP_X, n##_xx }, { ZYDIS_MNEMONIC_##n, FP_X, FP_MEM, n##_xm },
static const struct fp_row rows[] = {
    SSE_INT_LIST(ROWS)
    SSE_WIDEN_LIST(ROWS)
    SSE_SCALAR_LIST(ROWS)
    SSE_BLEND_LIST(ROWS)
    { ZYDIS_MNEMONIC_PTEST, FP_X, FP_X, ptest_xx },
    { ZYDIS_MNEMONIC_PTEST, FP_X, FP_MEM, ptest_xm },
};
FP_TABLE(fp_sse_int, rows);
