/* SPDX-License-Identifier: MIT */
/* Finding floating point handlers; the guest's MXCSR. */
#include "hypervisor/engine/soft/fp.h"

static const struct fp_table *const tables[] = {
    &fp_sse_move, &fp_sse_int, &fp_sse_arith, &fp_mmx,
};

static enum fp_class classify(const ZydisDecodedOperand *o)
{
    if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
        return o->size == 64 ? FP_M64 : FP_MEM;
    if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
        return FP_NONE;
    switch (ZydisRegisterGetClass(o->reg.value)) {
    case ZYDIS_REGCLASS_XMM: return FP_X;
    case ZYDIS_REGCLASS_MMX: return FP_MM;
    case ZYDIS_REGCLASS_X87: return FP_ST;
    case ZYDIS_REGCLASS_GPR32: return FP_G;
    case ZYDIS_REGCLASS_GPR64: return FP_G64;
    default: return FP_NONE;
    }
}

static uint8_t offset(const ZydisDecodedOperand *o, enum fp_class c)
{
    int n = ZydisRegisterGetId(o->reg.value);

    switch (c) {
    case FP_X: return (uint8_t)(n * 16);
    case FP_MM: return (uint8_t)n;
    case FP_G: case FP_G64: return (uint8_t)SOFT_G(n);
    default: return 0;
    }
}

static soft_fn find(const struct fp_table *t, ZydisMnemonic m, enum fp_class c0, enum fp_class c1)
{
    for (const struct fp_row *r = t->rows; r < t->rows + t->nr; r++)
        if (r->mnemonic == m && fp_fits(r->c0, c0) && fp_fits(r->c1, c1))
            return r->fn;
    return NULL;
}

/* MASKMOVQ and MASKMOVDQU store at [rDI], which is not an operand that one sees. */
static void implied_rdi(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                        struct soft_op *out)
{
    bool wide = insn->machine_mode == ZYDIS_MACHINE_MODE_LONG_64;

    out->base = SOFT_G(7);
    out->seg = ENGINE_DS;
    for (unsigned i = 0; i < insn->operand_count; i++)
        if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
            out->seg = (uint8_t)(operands[i].mem.segment - ZYDIS_REGISTER_ES);
    if (!wide) {
        out->ea = insn->address_width == 16 ? SOFT_EA_SEG16 : SOFT_EA_SEG32;
        return;
    }
    if (out->seg != ENGINE_FS && out->seg != ENGINE_GS)
        out->seg = SOFT_SEG_NONE;
    out->ea = insn->address_width == 32 ? SOFT_EA_ADDR32
            : out->seg == SOFT_SEG_NONE ? SOFT_EA_PLAIN : SOFT_EA_BASED;
}

soft_fn fp_lookup(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                  struct soft_op *out)
{
    enum fp_class c0 = FP_NONE, c1 = FP_NONE;

    if (insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
        (insn->attributes & ZYDIS_ATTRIB_HAS_LOCK))
        return NULL;
    soft_fn fn = x87_lookup(insn, out);
    if (!fn)
        fn = fxsave_lookup(insn->mnemonic, out);
    if (fn)
        return fn;
    if (insn->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || insn->mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU)
        implied_rdi(insn, operands, out);
    if (insn->operand_count_visible > 0)
        c0 = classify(&operands[0]);
    if (insn->operand_count_visible > 1)
        c1 = classify(&operands[1]);
    out->d = offset(&operands[0], c0);
    out->s = offset(&operands[1], c1);
    for (size_t i = 0; !fn && i < sizeof(tables) / sizeof(tables[0]); i++)
        fn = find(tables[i], insn->mnemonic, c0, c1);
    return fn ? fn : sse_imm_lookup(insn, c0, c1, out);
}

/* ---------------------------------------------------------------- MXCSR */

/*
 * The host's MXCSR keeps the guest's value from the first arithmetic instruction until something
 * outside the interpreter runs: sticky flags then collect in hardware at no cost. Only with all
 * exceptions masked, or the host would get the signal.
 */
bool sse_go_live(struct soft_vcpu *v)
{
    if (v->mxcsr_live == SOFT_MXCSR_LIVE)
        return true;
    if ((v->mxcsr & MXCSR_MASKS) != MXCSR_MASKS) {
        v->mxcsr_live = SOFT_MXCSR_UNMASKED;
        return false;
    }
    _mm_setcsr(v->mxcsr);
    v->mxcsr_live = SOFT_MXCSR_LIVE;
    return true;
}

void sse_read_mxcsr(struct soft_vcpu *v)
{
    if (v->mxcsr_live == SOFT_MXCSR_LIVE)
        v->mxcsr = _mm_getcsr();
}

static void mxcsr_home(struct soft_vcpu *v)
{
    if (v->mxcsr_live == SOFT_MXCSR_LIVE) {
        v->mxcsr = _mm_getcsr();
        _mm_setcsr(MXCSR_DEFAULT);
    }
    v->mxcsr_live = SOFT_MXCSR_HOME;
}

void sse_write_mxcsr(struct soft_vcpu *v, uint32_t value)
{
    mxcsr_home(v);
    v->mxcsr = value;
}

void soft_fp_sync(struct soft_vcpu *v)
{
    if (v->mxcsr_live)
        mxcsr_home(v);
    if (v->x87.live)
        x87_sync(v);
}

/*
 * With exceptions unmasked. Invalid, denormal and divide-by-zero are found before the operation is
 * done: an unmasked one reports these alone. Tiny results count as underflow when UE is unmasked
 * even if exact, which the host reports when it flushes them to zero, hence the second run.
 */
__m128i sse_run_unmasked(struct soft_vcpu *v, const struct soft_op *op, fp_kernel k, __m128i d,
                         __m128i s)
{
    uint32_t guest = v->mxcsr, unmasked = ~(guest >> 7) & MXCSR_FLAGS, flags;
    uint32_t control = (guest & ~MXCSR_FLAGS) | MXCSR_MASKS;
    __m128i r;

    if (unmasked & MXCSR_UE)
        control &= ~MXCSR_FTZ;          /* flush to zero needs underflow masked */
    _mm_setcsr(control);
    r = k(d, s);
    flags = _mm_getcsr() & MXCSR_FLAGS;
    if (unmasked & MXCSR_UE) {
        _mm_setcsr(control | MXCSR_FTZ);
        (void)k(d, s);
        flags = (flags & ~MXCSR_UE) | (_mm_getcsr() & MXCSR_UE);
    }
    _mm_setcsr(MXCSR_DEFAULT);
    if (flags & unmasked & (MXCSR_IE | MXCSR_DE | MXCSR_ZE))
        flags &= MXCSR_IE | MXCSR_DE | MXCSR_ZE;
    v->mxcsr = guest | flags;
    if (flags & unmasked)
        soft_raise(v, op, v->cr4 & (1u << 10) ? SOFT_XM : SOFT_UD);   /* CR4.OSXMMEXCPT */
    return r;
}
