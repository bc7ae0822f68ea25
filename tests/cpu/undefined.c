/* SPDX-License-Identifier: MIT */
/* What the manuals leave open: flags by name, results, the order of faults. One table or function
 * for each, with the reason. */
#include "tests/cpu/cpudiff.h"

#include <string.h>

enum { CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, OF = 0x800, ALL6 = 0x8d5 };

/* When a row of the table below applies, by the shift count. */
enum when { ALWAYS, COUNT_NOT_0, COUNT_NOT_1, COUNT_ABOVE_SIZE };

/* Flags that the manuals (Intel SDM vol. 1 appendix A, AMD APM vol. 3) leave undefined. */
#define U(m, flags, when) { ZYDIS_MNEMONIC_##m, flags, when }
static const struct undefined { ZydisMnemonic m; uint32_t flags; enum when when; } undefined[] = {
    U(MUL, SF | ZF | AF | PF, ALWAYS), U(IMUL, SF | ZF | AF | PF, ALWAYS), U(DIV, ALL6, ALWAYS),
    U(IDIV, ALL6, ALWAYS), U(AND, AF, ALWAYS), U(OR, AF, ALWAYS), U(XOR, AF, ALWAYS),
    U(TEST, AF, ALWAYS), U(SHL, AF, COUNT_NOT_0), U(SHR, AF, COUNT_NOT_0), U(SAR, AF, COUNT_NOT_0),
    U(SHL, OF, COUNT_NOT_1), U(SHR, OF, COUNT_NOT_1), U(SAR, OF, COUNT_NOT_1),
    U(SHL, CF, COUNT_ABOVE_SIZE), U(SHR, CF, COUNT_ABOVE_SIZE), U(ROL, OF, COUNT_NOT_1),
    U(ROR, OF, COUNT_NOT_1), U(RCL, OF, COUNT_NOT_1), U(RCR, OF, COUNT_NOT_1),
    U(SHLD, AF, COUNT_NOT_0), U(SHRD, AF, COUNT_NOT_0), U(SHLD, OF, COUNT_NOT_1),
    U(SHRD, OF, COUNT_NOT_1), U(SHLD, ALL6, COUNT_ABOVE_SIZE), U(SHRD, ALL6, COUNT_ABOVE_SIZE),
    U(BSF, CF | OF | SF | AF | PF, ALWAYS), U(BSR, CF | OF | SF | AF | PF, ALWAYS),
    U(TZCNT, OF | SF | AF | PF, ALWAYS), U(LZCNT, OF | SF | AF | PF, ALWAYS),
    U(ANDN, AF | PF, ALWAYS), U(BEXTR, AF | SF | PF, ALWAYS), U(BLSI, AF | PF, ALWAYS),
    U(BLSR, AF | PF, ALWAYS), U(BLSMSK, AF | PF, ALWAYS), U(BZHI, AF | PF, ALWAYS),
    U(BT, OF | SF | AF | PF, ALWAYS), U(BTS, OF | SF | AF | PF, ALWAYS),
    U(BTR, OF | SF | AF | PF, ALWAYS), U(BTC, OF | SF | AF | PF, ALWAYS),
    U(AAA, OF | SF | ZF | PF, ALWAYS), U(AAS, OF | SF | ZF | PF, ALWAYS),
    U(AAM, OF | AF | CF, ALWAYS), U(AAD, OF | AF | CF, ALWAYS), U(DAA, OF, ALWAYS),
    U(DAS, OF, ALWAYS),
};


struct info { ZydisDecodedInstruction insn; ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT]; };

static uint64_t get(const uint8_t *p, unsigned n)
{
    uint64_t x = 0;
    memcpy(&x, p, n);
    return x;
}

static bool decode(const struct cpu_case *c, struct info *i)
{
    ZydisDecoder d;

    cpu_decoder(&d, c->compat);
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, c->code, c->len, &i->insn, i->ops));
}

/* The masked count of a shift, rotation or double shift. */
static unsigned count(const struct cpu_case *c, const struct info *i)
{
    unsigned n = i->insn.mnemonic == ZYDIS_MNEMONIC_SHLD || i->insn.mnemonic == ZYDIS_MNEMONIC_SHRD;
    const ZydisDecodedOperand *o = &i->ops[n + 1];
    uint64_t value = o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? o->imm.value.u
                                                             : c->in.gpr[ENGINE_RCX];

    return (unsigned)value & (i->ops[0].size == 64 ? 63 : 31);
}

static uint32_t undefined_flags(const struct cpu_case *c, const struct info *i)
{
    uint32_t flags = 0;

    for (size_t k = 0; k < sizeof(undefined) / sizeof(undefined[0]); k++) {
        const struct undefined *u = &undefined[k];
        if (u->m != i->insn.mnemonic)
            continue;
        unsigned n = u->when == ALWAYS ? 0 : count(c, i);
        if (u->when == ALWAYS || (u->when == COUNT_NOT_0 && n) ||
            (u->when == COUNT_NOT_1 && n > 1) ||
            (u->when == COUNT_ABOVE_SIZE && n > i->ops[0].size) ||
            /* SHL and SHR by exactly 8 or 16: CF is not what one expects on all CPUs */
            (u->when == COUNT_ABOVE_SIZE && n == i->ops[0].size && u->flags == CF))
            flags |= u->flags;
    }
    return flags;
}

/* Double shifts by more than the operand's size, and BSWAP of 16 bits. */
static bool result_undefined(const struct cpu_case *c, const struct info *i)
{
    if (i->insn.mnemonic == ZYDIS_MNEMONIC_BSWAP)
        return i->insn.operand_width == 16;
    return (i->insn.mnemonic == ZYDIS_MNEMONIC_SHLD || i->insn.mnemonic == ZYDIS_MNEMONIC_SHRD) &&
           count(c, i) > i->ops[0].size;
}

/* With underflow or overflow unmasked, whether the result was also inexact is judged for an
 * unbounded exponent, which the soft CPU does not compute: PE is not compared then. */
static void mask_pe(uint8_t *n, const uint8_t *g)
{
    uint32_t unmasked = ~(get(n + 24, 4) >> 7) & 0x3f;

    if ((n[24] & 0x18 & unmasked) && (n[24] ^ g[24]) == 0x20)
        n[24] = g[24];
}

/* Far and interrupt returns: AMD reads all of the stack frame, and the outer stack pointer, before
 * it looks at the selector, Intel the other way round. So does a
 * far call's order of pushes. */
static bool far_return(const struct info *i)
{
    return i->insn.meta.category == ZYDIS_CATEGORY_RET &&
           i->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

static bool far_call(const struct info *i)
{
    return i->insn.meta.category == ZYDIS_CATEGORY_CALL &&
           i->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

static bool is_fault(uint32_t vector)
{
    return (vector >= 11 && vector <= 14) || vector == 17;
}

/* MASKMOVQ and MASKMOVDQU with an empty mask access nothing, or fault as if they did: the CPU's
 * choice (Intel SDM vol. 2, MASKMOVDQU). */
static bool empty_mask(const struct cpu_case *c, const struct info *i)
{
    unsigned reg = ZydisRegisterGetId(i->ops[1].reg.value), top = c->in.fx[3] >> 3;

    if (i->insn.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ)
        return !(get(c->in.fx + 32 + 16 * ((reg - top) & 7), 8) & 0x8080808080808080);
    return i->insn.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU &&
           !((get(c->in.fx + 160 + 16 * reg, 8) | get(c->in.fx + 168 + 16 * reg, 8)) &
             0x8080808080808080);
}

/* POPA that faults half-way may have loaded some registers. */
static bool partly_done(const struct info *i, const struct cpu_outcome *n)
{
    return n->vector == 14 &&
           (i->insn.mnemonic == ZYDIS_MNEMONIC_POPA || i->insn.mnemonic == ZYDIS_MNEMONIC_POPAD);
}

static bool in_list(ZydisMnemonic m, const ZydisMnemonic *list, size_t nr)
{
    for (size_t k = 0; k < nr; k++)
        if (list[k] == m)
            return true;
    return false;
}
#define IN(m, list) in_list(m, list, sizeof(list) / sizeof((list)[0]))

/* Operands of many bytes are accessed in an order of the CPU's choosing: which page faults first,
 * and at which byte, is undefined. */
static const ZydisMnemonic long_operands[] = {
    ZYDIS_MNEMONIC_FXSAVE, ZYDIS_MNEMONIC_FXSAVE64, ZYDIS_MNEMONIC_FXRSTOR,
    ZYDIS_MNEMONIC_FXRSTOR64, ZYDIS_MNEMONIC_FNSTENV, ZYDIS_MNEMONIC_FLDENV,
    ZYDIS_MNEMONIC_PUSHA, ZYDIS_MNEMONIC_PUSHAD, ZYDIS_MNEMONIC_POPA, ZYDIS_MNEMONIC_POPAD,
    ZYDIS_MNEMONIC_ENTER, ZYDIS_MNEMONIC_FNSAVE, ZYDIS_MNEMONIC_FRSTOR,
};

/* FXSAVE's MXCSR_MASK: the host may have bit 17 (misaligned SSE), the soft CPU does not. */
static void mask_mxcsr_mask(const struct info *i, struct cpu_outcome *n,
                            const struct cpu_outcome *g)
{
    if (i->insn.mnemonic != ZYDIS_MNEMONIC_FXSAVE && i->insn.mnemonic != ZYDIS_MNEMONIC_FXSAVE64)
        return;
    for (unsigned k = 28; k + 4 <= DATA_RW; k += 4)
        if (get(n->data + k, 4) == 0x2ffff && get(g->data + k, 4) == 0xffff)
            n->data[k + 2] = 0;
}

void find_open_points(const struct cpu_case *c, struct cpu_outcome *n, const struct cpu_outcome *g,
                      struct open_points *open)
{
    struct info i;
    bool both = is_fault(n->vector) && is_fault(g->vector);

    memset(open, 0, sizeof(*open));
    memset(&i, 0, sizeof(i));
    /* Linux reports faults from its TASK_SIZE_MAX up as if a page were there. */
    if (n->vector == 14 && n->cr2 >= 0x7ffffffff000 && n->error & 1)
        n->error = (n->error & ~1u) | (g->error & 1);
    mask_pe(n->s.fx, g->s.fx);
    if (host_is_intel())
        intel_open_points(c, n, g, open);
    if (open->everything)
        return;
    if (c->sequence) {
        open->flags |= c->undefined;
        return;
    }
    if (!decode(c, &i))
        return;
    if (n->vector != 6)
        open->flags |= undefined_flags(c, &i);
    open->everything = result_undefined(c, &i) || partly_done(&i, n);
    if (empty_mask(c, &i) && n->vector != g->vector) {
        *n = *g;
        open->everything = true;
    }
    if (both && (IN(i.insn.mnemonic, long_operands) || far_call(&i) || far_return(&i))) {
        n->vector = g->vector;
        n->error = g->error;
        n->cr2 = g->cr2;
    }
    /* Products first, then sums: #XM from the first keeps the second from happening, which the soft
     * CPU does not tell apart in the sticky flags. */
    if (n->vector == 19 &&
        (i.insn.mnemonic == ZYDIS_MNEMONIC_DPPS || i.insn.mnemonic == ZYDIS_MNEMONIC_DPPD))
        memcpy(n->s.fx + 24, g->s.fx + 24, 4);
    mask_mxcsr_mask(&i, n, g);
    /* ENTER may have pushed frame pointers before its last access faults. */
    open->data |= i.insn.mnemonic == ZYDIS_MNEMONIC_ENTER && is_fault(n->vector);
}

uint32_t may_be_undefined(ZydisMnemonic m)
{
    uint32_t flags = 0;

    for (size_t k = 0; k < sizeof(undefined) / sizeof(undefined[0]); k++)
        if (undefined[k].m == m)
            flags |= undefined[k].flags;
    return flags;
}
