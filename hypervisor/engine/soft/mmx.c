/* SPDX-License-Identifier: MIT */
/*
 * MMX instructions, and the SSE to SSSE3 ones with MMX operands. The x87 state is brought home
 * first; a kernel then borrows the host's unit for one instruction.
 */
#include "hypervisor/engine/soft/fp.h"

/* op mm, mm/m64 */
#define MMX_LIST(X) \
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
    X(PUNPCKHBW, "punpckhbw") X(PUNPCKHWD, "punpckhwd") X(PUNPCKHDQ, "punpckhdq") \
    X(PSLLW, "psllw") X(PSLLD, "pslld") X(PSLLQ, "psllq") \
    X(PSRLW, "psrlw") X(PSRLD, "psrld") X(PSRLQ, "psrlq") X(PSRAW, "psraw") X(PSRAD, "psrad") \
    X(PSHUFB, "pshufb") X(PHADDW, "phaddw") X(PHADDD, "phaddd") X(PHADDSW, "phaddsw") \
    X(PHSUBW, "phsubw") X(PHSUBD, "phsubd") X(PHSUBSW, "phsubsw") X(PMADDUBSW, "pmaddubsw") \
    X(PMULHRSW, "pmulhrsw") X(PSIGNB, "psignb") X(PSIGNW, "psignw") X(PSIGND, "psignd") \
    X(PABSB, "pabsb") X(PABSW, "pabsw") X(PABSD, "pabsd")
/* op mm, mm/m32 */
#define MMX_LOW_LIST(X) \
    X(PUNPCKLBW, "punpcklbw") X(PUNPCKLWD, "punpcklwd") X(PUNPCKLDQ, "punpckldq")

#define KERNEL(n, insn) \
static inline uint64_t n##_k(uint64_t d, uint64_t s) \
{ \
    __asm__ volatile("movq %1, %%mm0\n\tmovq %2, %%mm1\n\t" insn " %%mm1, %%mm0\n\t" \
                     "movq %%mm0, %0\n\temms" : "=r"(d) : "r"(d), "r"(s)); \
    return d; \
}

/* The instruction's d and s are register numbers here; the write comes after all faults. */
#define FORMS(n, bits) \
static void n##_mm(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    mmx_check(v, op); \
    mmx_enter(v); \
    mmx_write(v, op->d, n##_k(MMX(op->d), MMX(op->s))); \
    SOFT_NEXT; \
} \
static void n##_mem(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    mmx_check(v, op); \
    uint64_t m = soft_ld##bits(v, op, soft_ea(v, op, bits / 8, false)); \
    mmx_enter(v); \
    mmx_write(v, op->d, n##_k(MMX(op->d), m)); \
    SOFT_NEXT; \
}
#define DEFINE(n, insn) KERNEL(n, insn) FORMS(n, 64)
#define DEFINE_LOW(n, insn) KERNEL(n, insn) FORMS(n, 32)
MMX_LIST(DEFINE)
MMX_LOW_LIST(DEFINE_LOW)

#define H(name) static void name(struct soft_vcpu *v, const struct soft_op *op)

/* ---------------------------------------------------------------- moves */

H(mov_mm)
{
    mmx_check(v, op);
    mmx_enter(v);
    mmx_write(v, op->d, MMX(op->s));
    SOFT_NEXT;
}

#define LOAD(bits) \
H(ld##bits) \
{ \
    mmx_check(v, op); \
    uint64_t m = soft_ld##bits(v, op, soft_ea(v, op, bits / 8, false)); \
    mmx_enter(v); \
    mmx_write(v, op->d, m); \
    SOFT_NEXT; \
} \
H(st##bits) \
{ \
    mmx_check(v, op); \
    soft_st##bits(v, op, soft_ea(v, op, bits / 8, true), (uint##bits##_t)mmx_peek(v, op->s)); \
    mmx_enter(v); \
    SOFT_NEXT; \
}
LOAD(32)
LOAD(64)

H(from_g32)
{
    mmx_check(v, op);
    mmx_enter(v);
    mmx_write(v, op->d, R32(op->s));
    SOFT_NEXT;
}

H(from_g64)
{
    mmx_check(v, op);
    mmx_enter(v);
    mmx_write(v, op->d, R64(op->s));
    SOFT_NEXT;
}

H(to_g32)
{
    mmx_check(v, op);
    mmx_enter(v);
    R64(op->d) = (uint32_t)MMX(op->s);
    SOFT_NEXT;
}

H(to_g64)
{
    mmx_check(v, op);
    mmx_enter(v);
    R64(op->d) = MMX(op->s);
    SOFT_NEXT;
}

H(pmovmskb)
{
    mmx_check(v, op);
    mmx_enter(v);
    R64(op->d) = (uint32_t)_mm_movemask_epi8(_mm_cvtsi64_si128((long long)MMX(op->s))) & 0xff;
    SOFT_NEXT;
}

H(maskmovq)
{
    mmx_check(v, op);
    mmx_enter(v);
    uint64_t mask = MMX(op->s), data = MMX(op->d);
    uint64_t va = soft_ea(v, op, 8, true);
    if (mask & 0x8080808080808080)       /* one access of 8 bytes, as AMD's CPUs do it */
        soft_probe(v, op, va, 8, true);
    for (unsigned i = 0; i < 8; i++)
        if (mask >> (8 * i + 7) & 1)
            soft_st8(v, op, va + i, (uint8_t)(data >> (8 * i)));
    SOFT_NEXT;
}

/* ---------------------------------------------------------------- immediates */

#define SHIFT_LIST(X) X(PSLLW) X(PSLLD) X(PSLLQ) X(PSRLW) X(PSRLD) X(PSRLQ) X(PSRAW) X(PSRAD)
#define SHIFT(n) \
H(n##_imm) \
{ \
    mmx_check(v, op); \
    mmx_enter(v); \
    mmx_write(v, op->d, n##_k(MMX(op->d), (uint8_t)op->imm)); \
    SOFT_NEXT; \
}
SHIFT_LIST(SHIFT)

static uint64_t shuffle_words(uint64_t s, unsigned imm)
{
    uint64_t r = 0;

    for (unsigned i = 0; i < 4; i++)
        r |= (s >> (16 * (imm >> (2 * i) & 3)) & 0xffff) << (16 * i);
    return r;
}

/* Bytes n to n + 7 of d:s with zeros above. */
static uint64_t align_right(uint64_t d, uint64_t s, unsigned n)
{
    if (n >= 16)
        return 0;
    if (n >= 8)
        return d >> (8 * (n - 8));
    return n ? s >> (8 * n) | d << (64 - 8 * n) : s;
}

static uint64_t insert_word(uint64_t d, uint64_t s, unsigned imm)
{
    unsigned sh = 16 * (imm & 3);

    return (d & ~(0xffffull << sh)) | (s & 0xffff) << sh;
}

#define IMM_FORMS(n, bits, value) \
H(n##_mm) \
{ \
    mmx_check(v, op); \
    mmx_enter(v); \
    uint64_t d = MMX(op->d), s = MMX(op->s); \
    mmx_write(v, op->d, value); \
    SOFT_NEXT; \
} \
H(n##_mem) \
{ \
    mmx_check(v, op); \
    uint64_t s = soft_ld##bits(v, op, soft_ea(v, op, bits / 8, false)); \
    mmx_enter(v); \
    uint64_t d = MMX(op->d); \
    mmx_write(v, op->d, value); \
    SOFT_NEXT; \
}
IMM_FORMS(pshufw, 64, ((void)d, shuffle_words(s, (uint8_t)op->imm)))
IMM_FORMS(palignr, 64, align_right(d, s, (uint8_t)op->imm))

H(pinsrw_g)
{
    mmx_check(v, op);
    mmx_enter(v);
    mmx_write(v, op->d, insert_word(MMX(op->d), R64(op->s), (uint8_t)op->imm));
    SOFT_NEXT;
}

H(pinsrw_mem)
{
    mmx_check(v, op);
    uint64_t s = soft_ld16(v, op, soft_ea(v, op, 2, false));
    mmx_enter(v);
    mmx_write(v, op->d, insert_word(MMX(op->d), s, (uint8_t)op->imm));
    SOFT_NEXT;
}

H(pextrw)
{
    mmx_check(v, op);
    mmx_enter(v);
    R64(op->d) = MMX(op->s) >> (16 * (op->imm & 3)) & 0xffff;
    SOFT_NEXT;
}

#define Z(n) ZYDIS_MNEMONIC_##n
#define ROWS(n, insn) { Z(n), FP_MM, FP_MM, n##_mm }, { Z(n), FP_MM, FP_MEM, n##_mem },
#define ROWS_SHIFT(n) { Z(n), FP_MM, FP_NONE, n##_imm },

static const struct fp_row rows[] = {
    MMX_LIST(ROWS)
    MMX_LOW_LIST(ROWS)
    SHIFT_LIST(ROWS_SHIFT)
    { Z(MOVQ), FP_MM, FP_MM, mov_mm }, { Z(MOVQ), FP_MM, FP_M64, ld64 },
    { Z(MOVQ), FP_M64, FP_MM, st64 }, { Z(MOVQ), FP_MM, FP_G64, from_g64 },
    { Z(MOVQ), FP_G64, FP_MM, to_g64 },
    { Z(MOVD), FP_MM, FP_MEM, ld32 }, { Z(MOVD), FP_MEM, FP_MM, st32 },
    { Z(MOVD), FP_MM, FP_G, from_g32 }, { Z(MOVD), FP_G, FP_MM, to_g32 },
    { Z(MOVNTQ), FP_MEM, FP_MM, st64 }, { Z(MASKMOVQ), FP_MM, FP_MM, maskmovq },
    { Z(PMOVMSKB), FP_G, FP_MM, pmovmskb }, { Z(PMOVMSKB), FP_G64, FP_MM, pmovmskb },
    { Z(PSHUFW), FP_MM, FP_MM, pshufw_mm }, { Z(PSHUFW), FP_MM, FP_MEM, pshufw_mem },
    { Z(PALIGNR), FP_MM, FP_MM, palignr_mm }, { Z(PALIGNR), FP_MM, FP_MEM, palignr_mem },
    { Z(PINSRW), FP_MM, FP_G, pinsrw_g }, { Z(PINSRW), FP_MM, FP_G64, pinsrw_g },
    { Z(PINSRW), FP_MM, FP_MEM, pinsrw_mem },
    { Z(PEXTRW), FP_G, FP_MM, pextrw }, { Z(PEXTRW), FP_G64, FP_MM, pextrw },
};
FP_TABLE(fp_mmx, rows);
