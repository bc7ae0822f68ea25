/* SPDX-License-Identifier: MIT */
/*
 * SSE instructions with an immediate operand. An immediate cannot be a variable in host code, so
 * there is a stub per instruction and value -- "insn $imm, %xmm1, %xmm0; ret", which happens to be
 * a C function of type fp_kernel -- and decoding picks one.
 */
#include "hypervisor/engine/soft/fp.h"

#define STUB_SIZE 16

/* name, instruction, number of values: the immediate is masked with nr - 1 (a power of two) */
#define SHUFFLE_LIST(X)    /* memory operand m128, aligned */ \
    X(PSHUFD, "pshufd", 256) X(PSHUFHW, "pshufhw", 256) X(PSHUFLW, "pshuflw", 256) \
    X(SHUFPS, "shufps", 256) X(SHUFPD, "shufpd", 4) X(BLENDPS, "blendps", 16) \
    X(BLENDPD, "blendpd", 4) X(PBLENDW, "pblendw", 256) X(MPSADBW, "mpsadbw", 8)
#define ARITH_LIST(X)      /* governed by MXCSR; with the memory operand's bits */ \
    X(CMPPS, "cmpps", 8, 128a) X(CMPPD, "cmppd", 8, 128a) \
    X(CMPSS, "cmpss", 8, 32) X(CMPSD, "cmpsd", 8, 64) \
    X(ROUNDPS, "roundps", 16, 128a) X(ROUNDPD, "roundpd", 16, 128a) \
    X(ROUNDSS, "roundss", 16, 32) X(ROUNDSD, "roundsd", 16, 64) \
    X(DPPS, "dpps", 256, 128a) X(DPPD, "dppd", 256, 128a)
/* Values above the last give zero, so that is what the last one stands for. */
#define CLAMPED_LIST(X) \
    X(PALIGNR, "palignr", 33) X(PSLLDQ, "pslldq", 17) X(PSRLDQ, "psrldq", 17)
#define STRING_LIST(X) \
    X(PCMPISTRI, "pcmpistri", 128) X(PCMPISTRM, "pcmpistrm", 128) \
    X(PCMPESTRI, "pcmpestri", 128) X(PCMPESTRM, "pcmpestrm", 128)

#define STUBS_(n, args, count) \
    extern const uint8_t sse_stubs_##n[]; \
    __asm__("    .section .text\n    .balign 16\n" \
            "    .globl sse_stubs_" #n "\n    .hidden sse_stubs_" #n "\n" \
            "sse_stubs_" #n ":\n    .set n, 0\n    .rept " #count "\n" \
            "    " args "\n    ret\n    .balign 16, 0xcc\n" \
            "    .set n, n + 1\n    .endr\n    .previous\n");
#define STUBS2(n, insn, count, ...) STUBS_(n, insn " $n, %xmm1, %xmm0", count)
SHUFFLE_LIST(STUBS2)
ARITH_LIST(STUBS2)
STRING_LIST(STUBS2)
STUBS2(INSERTPS, "insertps", 256)
STUBS2(PALIGNR, "palignr", 33)
STUBS_(PSLLDQ, "pslldq $n, %xmm0", 17)
STUBS_(PSRLDQ, "psrldq $n, %xmm0", 17)

static inline fp_kernel stub(const struct soft_op *op)
{
    return (fp_kernel)(uintptr_t)op->ptr;
}

#define H(name) static void name(struct soft_vcpu *v, const struct soft_op *op)

/* ---------------------------------------------------------------- through a stub */

H(shuf_xx)
{
    soft_sse(v, op);
    XD = stub(op)(XD, XS);
    SOFT_NEXT;
}

H(shuf_xm)
{
    soft_sse(v, op);
    __m128i m = fp_ld128a(v, op);
    XD = stub(op)(XD, m);
    SOFT_NEXT;
}

H(insertps_xm)
{
    soft_sse(v, op);
    __m128i m = fp_ld32(v, op);
    XD = stub(op)(XD, m);
    SOFT_NEXT;
}

H(arith_xx)
{
    soft_sse(v, op);
    XD = sse_run(v, op, stub(op), XD, XS);
    SOFT_NEXT;
}

#define ARITH_XM(bits) \
H(arith_xm##bits) \
{ \
    soft_sse(v, op); \
    __m128i m = fp_ld##bits(v, op); \
    XD = sse_run(v, op, stub(op), XD, m); \
    SOFT_NEXT; \
}
ARITH_XM(32)
ARITH_XM(64)
ARITH_XM(128a)

/* ---------------------------------------------------------------- shifts by a constant */

/* The same instruction with the count in a register does it. */
#define SHIFT_LIST(X) \
    X(PSLLW, "psllw") X(PSLLD, "pslld") X(PSLLQ, "psllq") X(PSRLW, "psrlw") X(PSRLD, "psrld") \
    X(PSRLQ, "psrlq") X(PSRAW, "psraw") X(PSRAD, "psrad")
#define SHIFT(n, insn) \
H(n##_xi) \
{ \
    soft_sse(v, op); \
    __asm__(insn " %1, %0" : "+x"(XD) : "x"(_mm_cvtsi32_si128((uint8_t)op->imm))); \
    SOFT_NEXT; \
}
SHIFT_LIST(SHIFT)

/* ---------------------------------------------------------------- insert and extract */

#define LANE(x, type, n) (((type *)&(x))[n])

#define INSERT(n, type, bits, mask) \
H(n##_xg) \
{ \
    soft_sse(v, op); \
    LANE(XD, type, op->imm & (mask)) = (type)R64(op->s); \
    SOFT_NEXT; \
} \
H(n##_xm) \
{ \
    soft_sse(v, op); \
    type m = soft_ld##bits(v, op, soft_ea(v, op, bits / 8, false)); \
    LANE(XD, type, op->imm & (mask)) = m; \
    SOFT_NEXT; \
}
#define EXTRACT(n, type, bits, mask) \
H(n##_gx) \
{ \
    soft_sse(v, op); \
    R64(op->d) = LANE(XS, type, op->imm & (mask)); \
    SOFT_NEXT; \
} \
H(n##_mx) \
{ \
    soft_sse(v, op); \
    soft_st##bits(v, op, soft_ea(v, op, bits / 8, true), LANE(XS, type, op->imm & (mask))); \
    SOFT_NEXT; \
}
INSERT(pinsrb, uint8_t, 8, 15)
INSERT(pinsrw, uint16_t, 16, 7)
INSERT(pinsrd, uint32_t, 32, 3)
INSERT(pinsrq, uint64_t, 64, 1)
EXTRACT(pextrb, uint8_t, 8, 15)
EXTRACT(pextrw, uint16_t, 16, 7)
EXTRACT(pextrd, uint32_t, 32, 3)
EXTRACT(pextrq, uint64_t, 64, 1)

/* ---------------------------------------------------------------- SSE4.2 strings */

/* x: the lengths of the explicit forms are in RAX and RDX rather than EAX and EDX. They saturate
 * far below 2^31, so a 32-bit instruction does for both. */
static inline int32_t length(struct soft_vcpu *v, const struct soft_op *op, unsigned reg)
{
    int64_t n = op->x ? (int64_t)R64(SOFT_G(reg)) : (int32_t)R32(SOFT_G(reg));

    return (int32_t)(n > 100 ? 100 : n < -100 ? -100 : n);
}

static inline __attribute__((always_inline))
uint32_t string_op(struct soft_vcpu *v, const struct soft_op *op, __m128i m, __m128i *out)
{
    register __m128i a __asm__("xmm0") = XD;
    register __m128i b __asm__("xmm1") = m;
    uint64_t flags;
    uint32_t index;
    int32_t la = length(v, op, 0), lb = length(v, op, 2);

    /* The stub is called below the red zone, of which the compiler does not know. */
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tcall *%[stub]\n\tpushfq\n\tpop %[flags]\n\t"
                     "lea 128(%%rsp), %%rsp"
                     : "+x"(a), [flags] "=&r"(flags), "=&c"(index)
                     : "x"(b), [stub] "r"(op->ptr), "a"(la), "d"(lb) : "cc", "memory");
    soft_set_flags(v, flags & FL_ARITH);
    *out = a;
    return index;
}

#define STRING_FORMS(suffix, operand) \
H(index_##suffix) \
{ \
    __m128i r; \
    soft_sse(v, op); \
    R64(SOFT_G(1)) = string_op(v, op, operand, &r); \
    SOFT_NEXT; \
} \
H(mask_##suffix) \
{ \
    __m128i r; \
    soft_sse(v, op); \
    string_op(v, op, operand, &r); \
    XMM(0) = r; \
    SOFT_NEXT; \
}
STRING_FORMS(xx, XS)
STRING_FORMS(xm, fp_ld128u(v, op))

/* ---------------------------------------------------------------- lookup */

struct imm_row {
    uint16_t mnemonic;
    uint8_t c0, c1;
    soft_fn fn;
    const uint8_t *stubs;      /* NULL: the handler looks at op->imm itself */
    uint8_t mask, max;
};

#define Z(n) ZYDIS_MNEMONIC_##n
#define ROWS_SHUF(n, insn, nr) \
    { Z(n), FP_X, FP_X, shuf_xx, sse_stubs_##n, (nr) - 1, 255 }, \
    { Z(n), FP_X, FP_MEM, shuf_xm, sse_stubs_##n, (nr) - 1, 255 },
#define ROWS_ARITH(n, insn, nr, bits) \
    { Z(n), FP_X, FP_X, arith_xx, sse_stubs_##n, (nr) - 1, 255 }, \
    { Z(n), FP_X, FP_MEM, arith_xm##bits, sse_stubs_##n, (nr) - 1, 255 },
#define ROWS_SHIFT(n, insn) { Z(n), FP_X, FP_NONE, n##_xi, NULL, 0, 0 },
#define ROWS_INSERT(n, N, g) \
    { Z(N), FP_X, g, n##_xg, NULL, 0, 0 }, { Z(N), FP_X, FP_MEM, n##_xm, NULL, 0, 0 },
#define ROWS_EXTRACT(n, N, g) \
    { Z(N), g, FP_X, n##_gx, NULL, 0, 0 }, { Z(N), FP_MEM, FP_X, n##_mx, NULL, 0, 0 },
#define ROWS_STRING(N, kind) \
    { Z(N), FP_X, FP_X, kind##_xx, sse_stubs_##N, 127, 255 }, \
    { Z(N), FP_X, FP_MEM, kind##_xm, sse_stubs_##N, 127, 255 },

static const struct imm_row rows[] = {
    SHUFFLE_LIST(ROWS_SHUF)
    ARITH_LIST(ROWS_ARITH)
    SHIFT_LIST(ROWS_SHIFT)
    { Z(PALIGNR), FP_X, FP_X, shuf_xx, sse_stubs_PALIGNR, 255, 32 },
    { Z(PALIGNR), FP_X, FP_MEM, shuf_xm, sse_stubs_PALIGNR, 255, 32 },
    { Z(PSLLDQ), FP_X, FP_NONE, shuf_xx, sse_stubs_PSLLDQ, 255, 16 },
    { Z(PSRLDQ), FP_X, FP_NONE, shuf_xx, sse_stubs_PSRLDQ, 255, 16 },
    { Z(INSERTPS), FP_X, FP_X, shuf_xx, sse_stubs_INSERTPS, 255, 255 },
    { Z(INSERTPS), FP_X, FP_MEM, insertps_xm, sse_stubs_INSERTPS, 0x3f, 255 },
    ROWS_INSERT(pinsrb, PINSRB, FP_G) ROWS_INSERT(pinsrw, PINSRW, FP_G)
    ROWS_INSERT(pinsrd, PINSRD, FP_G) ROWS_INSERT(pinsrq, PINSRQ, FP_G64)
    { Z(PINSRW), FP_X, FP_G64, pinsrw_xg, NULL, 0, 0 },
    { Z(PINSRB), FP_X, FP_G64, pinsrb_xg, NULL, 0, 0 },
    ROWS_EXTRACT(pextrb, PEXTRB, FP_G) ROWS_EXTRACT(pextrw, PEXTRW, FP_G)
    ROWS_EXTRACT(pextrd, PEXTRD, FP_G) ROWS_EXTRACT(pextrq, PEXTRQ, FP_G64)
    ROWS_EXTRACT(pextrd, EXTRACTPS, FP_G)
    { Z(PEXTRB), FP_G64, FP_X, pextrb_gx, NULL, 0, 0 },
    { Z(PEXTRW), FP_G64, FP_X, pextrw_gx, NULL, 0, 0 },
    { Z(EXTRACTPS), FP_G64, FP_X, pextrd_gx, NULL, 0, 0 },
    ROWS_STRING(PCMPISTRI, index) ROWS_STRING(PCMPESTRI, index)
    ROWS_STRING(PCMPISTRM, mask) ROWS_STRING(PCMPESTRM, mask)
};

soft_fn sse_imm_lookup(const ZydisDecodedInstruction *insn, enum fp_class c0, enum fp_class c1,
                       struct soft_op *out)
{
    for (const struct imm_row *r = rows; r < rows + sizeof(rows) / sizeof(rows[0]); r++) {
        if (r->mnemonic != insn->mnemonic || !fp_fits(r->c0, c0) || !fp_fits(r->c1, c1))
            continue;
        if (r->stubs) {
            unsigned i = (uint8_t)out->imm & r->mask;
            if (i > r->max)
                i = r->max;
            out->ptr = (void *)(uintptr_t)(r->stubs + STUB_SIZE * i);
        }
        out->x = insn->raw.rex.W;
        return r->fn;
    }
    return NULL;
}
