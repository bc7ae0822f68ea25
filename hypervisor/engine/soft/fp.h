/* SPDX-License-Identifier: MIT */
/*
 * What the floating point files share. Private to x87*.c, sse*.c, mmx.c and fp.c.
 *
 * The rule that makes results exact: guest arithmetic is done by the same instruction on the host,
 * with the guest's control word loaded. A "kernel" is one such instruction as a C function from
 * two registers to one; handlers fetch operands, call it and put the result away.
 */
#ifndef KR_SOFT_FP_H
#define KR_SOFT_FP_H

#include "hypervisor/engine/soft/soft.h"

/* ---------------------------------------------------------------- finding handlers */

/* What an operand is, as far as it matters for choosing a handler. */
enum fp_class {
    FP_NONE = 0, FP_X, FP_MM, FP_G, FP_G64, FP_ST,
    FP_MEM,                   /* any size */
    FP_M64,                   /* 64 bits, where that differs from other sizes of FP_MEM */
};

/* One row per instruction and operand kinds: the classes of the first two visible operands. */
struct fp_row {
    uint16_t mnemonic;
    uint8_t c0, c1;
    soft_fn fn;
};

struct fp_table { const struct fp_row *rows; unsigned nr; };
extern const struct fp_table fp_sse_move, fp_sse_int, fp_sse_arith, fp_mmx;

/* Instructions with an immediate: the host code for the value goes into out->ptr. NULL if it is not
 * one of them. */
soft_fn sse_imm_lookup(const ZydisDecodedInstruction *insn, enum fp_class c0, enum fp_class c1,
                       struct soft_op *out);
/* FXSAVE, FXRSTOR (both widths), EMMS; or NULL. */
soft_fn fxsave_lookup(ZydisMnemonic m, struct soft_op *out);
/* x87 is found by its opcode bytes. NULL if insn is not x87. */
soft_fn x87_lookup(const ZydisDecodedInstruction *insn, struct soft_op *out);

static inline bool fp_fits(enum fp_class want, enum fp_class have)
{
    return want == have || (want == FP_MEM && have == FP_M64);
}

#define FP_TABLE(name, rows_) \
    const struct fp_table name = { rows_, sizeof(rows_) / sizeof((rows_)[0]) }

/* ---------------------------------------------------------------- operands */

#define XMM(off) (*(__m128i *)((char *)v->xmm + (off)))
#define XD XMM(op->d)
#define XS XMM(op->s)

typedef __m128i (*fp_kernel)(__m128i d, __m128i s);

/*
 * #AC for operands that soft_ldNN and soft_stNN do not cover (those check themselves): with
 * EFLAGS.AC at CPL 3, 80-bit operands want 8 bytes, environments their field size, MOVUPS
 * and friends 16. A non-canonical address is left to the access.
 */
static inline void fp_align(struct soft_vcpu *v, const struct soft_op *op, uint64_t va,
                            unsigned align)
{
    if (soft_unlikely(v->tlb == v->tlbs[SOFT_TLB_CHECKED]) && (va & (align - 1)) &&
        (uint64_t)((int64_t)(va << 16) >> 16) == va)
        soft_raise_err(v, op, SOFT_AC, 0);
}

/* Memory operand of op, the plain way: right for all cases, for handlers that need not be fast. */
/* Address of an operand of size bytes that must be aligned: misalignment comes before the segment's
 * limit. */
static inline uint64_t fp_ea_aligned(struct soft_vcpu *v, const struct soft_op *op, unsigned size,
                                     bool write)
{
    uint64_t va = soft_ea(v, op, 1, write);
    soft_align16(v, op, va);
    return op->ea >= SOFT_EA_SEG16 ? soft_ea(v, op, size, write) : va;
}

static inline __m128i fp_ld128a(struct soft_vcpu *v, const struct soft_op *op)
{
    return soft_ld128(v, op, fp_ea_aligned(v, op, 16, false));
}

static inline __m128i fp_ld128u(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t va = soft_ea(v, op, 16, false);
    fp_align(v, op, va, 16);
    return soft_ld128(v, op, va);
}

static inline __m128i fp_ld64(struct soft_vcpu *v, const struct soft_op *op)
{
    return _mm_cvtsi64_si128((long long)soft_ld64(v, op, soft_ea(v, op, 8, false)));
}

static inline __m128i fp_ld32(struct soft_vcpu *v, const struct soft_op *op)
{
    return _mm_cvtsi32_si128((int)soft_ld32(v, op, soft_ea(v, op, 4, false)));
}

/* 32 bits at an unaligned host address. */
static inline __m128i fp_get32(const void *p)
{
    int x;
    __builtin_memcpy(&x, p, sizeof(x));
    return _mm_cvtsi32_si128(x);
}

static inline __m128i fp_ld16(struct soft_vcpu *v, const struct soft_op *op)
{
    return _mm_cvtsi32_si128(soft_ld16(v, op, soft_ea(v, op, 2, false)));
}

static inline __m128i fp_ld8(struct soft_vcpu *v, const struct soft_op *op)
{
    return _mm_cvtsi32_si128(soft_ld8(v, op, soft_ea(v, op, 1, false)));
}

/* ---------------------------------------------------------------- MXCSR */

#define MXCSR_DEFAULT 0x1f80u
#define MXCSR_VALID   0xffffu      /* bits a guest may set; the mask in FXSAVE images */
#define MXCSR_FLAGS   0x3fu
#define MXCSR_MASKS   0x1f80u
#define MXCSR_DAZ     0x40u
#define MXCSR_FTZ     0x8000u
#define MXCSR_IE 0x01u
#define MXCSR_DE 0x02u
#define MXCSR_ZE 0x04u
#define MXCSR_OE 0x08u
#define MXCSR_UE 0x10u
#define MXCSR_PE 0x20u

/* Tries to make it live; true if v->mxcsr_live is now SOFT_MXCSR_LIVE. */
bool sse_go_live(struct soft_vcpu *v);
/* Before arithmetic: true if the kernel may run at once, under the guest's own MXCSR. */
static inline bool sse_live(struct soft_vcpu *v)
{
    return soft_likely(v->mxcsr_live == SOFT_MXCSR_LIVE) || sse_go_live(v);
}
/* Runs k for a guest that unmasked exceptions; raises #XM when one of them is due. */
__m128i sse_run_unmasked(struct soft_vcpu *v, const struct soft_op *op, fp_kernel k, __m128i d,
                         __m128i s);
/* Brings v->mxcsr up to date (it stays live). */
void sse_read_mxcsr(struct soft_vcpu *v);
/* Sets the guest's MXCSR; value has been checked. */
void sse_write_mxcsr(struct soft_vcpu *v, uint32_t value);
/* Any kernel that MXCSR governs. */
static inline __m128i sse_run(struct soft_vcpu *v, const struct soft_op *op, fp_kernel k, __m128i d,
                              __m128i s)
{
    return sse_live(v) ? k(d, s) : sse_run_unmasked(v, op, k, d, s);
}

/* ---------------------------------------------------------------- x87 and MMX */

#define X87_ES   0x0080u
#define X87_TOP  0x3800u
#define X87_B    0x8000u

/* MMX instructions: #UD or #NM, and a pending x87 exception as #MF. Before any memory access. */
void mmx_check(struct soft_vcpu *v, const struct soft_op *op);
/* Makes the image the MMX view (TOP 0, all valid); nothing can fault after it. */
void mmx_enter(struct soft_vcpu *v);
#define MMX(i) (v->x87.st[i].m)     /* after mmx_enter() */
/* The same before mmx_enter(). */
static inline uint64_t mmx_peek(const struct soft_vcpu *v, unsigned i)
{
    return v->x87.st[(i - (v->x87.fsw >> 11)) & 7].m;
}
static inline void mmx_write(struct soft_vcpu *v, unsigned i, uint64_t value)
{
    v->x87.st[i].m = value;
    v->x87.st[i].se = 0xffff;
}

/* Brings the x87 registers home; no-op if they are. */
void x87_sync(struct soft_vcpu *v);

#endif
