/* SPDX-License-Identifier: MIT */
/* Comparing what the two sides made of a case; the table of what is undefined. */
#include "tests/cpu/cpudiff.h"

#include <inttypes.h>
#include <stdarg.h>
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

static uint64_t get(const uint8_t *p, unsigned n)
{
    uint64_t x = 0;
    memcpy(&x, p, n);
    return x;
}

struct info { ZydisDecodedInstruction insn; ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT]; };

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

/* ---------------------------------------------------------------- reporting */

static FILE *report;
static unsigned differences;

__attribute__((format(printf, 1, 2)))
static void differ(const char *fmt, ...)
{
    va_list ap;

    differences++;
    if (!report)
        return;
    fprintf(report, "    ");
    va_start(ap, fmt);
    vfprintf(report, fmt, ap);
    va_end(ap);
    fprintf(report, "\n");
}

static void field(const char *name, uint64_t in, uint64_t native, uint64_t guest)
{
    if (native != guest)
        differ("%-8s was %016" PRIx64 "  host %016" PRIx64 "  soft %016" PRIx64, name, in, native,
               guest);
}

void print_case(const struct cpu_case *c, FILE *f)
{
    struct info i;
    ZydisFormatter fmt;
    char text[128] = "(undecodable)";

    if (decode(c, &i)) {
        ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
        ZydisFormatterFormatInstruction(&fmt, &i.insn, i.ops, i.insn.operand_count_visible, text,
                                        sizeof(text), c->in.rip, NULL);
    }
    fprintf(f, "  %s%s ", c->compat ? "32-bit" : "64-bit", c->step ? " step" : "");
    for (unsigned k = 0; k < c->len; k++)
        fprintf(f, "%02x", c->code[k]);
    fprintf(f, "  %s\n", text);
}

static const char *const gpr_names[16] = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
};
static const char *const sreg_names[ENGINE_NR_SREGS] = { "es", "cs", "ss", "ds", "fs", "gs" };

/* With underflow or overflow unmasked, whether the result was also inexact is judged for an
 * unbounded exponent, which the soft CPU does not compute: PE is not compared then. */
static void mask_pe(uint8_t *n, const uint8_t *g)
{
    uint32_t unmasked = ~(get(n + 24, 4) >> 7) & 0x3f;

    if ((n[24] & 0x18 & unmasked) && (n[24] ^ g[24]) == 0x20)
        n[24] = g[24];
}

static void compare_fx(const struct cpu_case *c, uint8_t *n, const uint8_t *g)
{
    /* Of the pointers a CPU keeps as many bits as its addresses have. */
    static const struct { const char *name; unsigned off, len; uint64_t mask; } fields[] = {
        { "fcw", 0, 2, ~0ull }, { "fsw", 2, 2, ~0ull }, { "ftw", 4, 1, ~0ull },
        { "fop", 6, 2, ~0ull }, { "fip", 8, 8, 0xffffffffffff }, { "fdp", 16, 8, 0xffffffffffff },
        { "mxcsr", 24, 4, ~0ull },
    };
    char name[16];

    /* The exception pointers: AMD's CPUs save them only while an exception is pending (APM vol. 2,
     * 11.4.4), Intel's always. */
    bool pending = n[2] & 0x80;
    mask_pe(n, g);
    for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++)
        if (pending || fields[k].off < 6 || fields[k].off > 16)
            field(fields[k].name, get(c->in.fx + fields[k].off, fields[k].len),
                  get(n + fields[k].off, fields[k].len) & fields[k].mask,
                  get(g + fields[k].off, fields[k].len) & fields[k].mask);
    for (unsigned k = 0; k < 8; k++)
        for (unsigned part = 0; part < 2; part++) {
            unsigned off = 32 + 16 * k + 8 * part, len = part ? 2 : 8;
            snprintf(name, sizeof(name), "st%u.%s", k, part ? "se" : "m");
            field(name, get(c->in.fx + off, len), get(n + off, len), get(g + off, len));
        }
    for (unsigned k = 0; k < 32; k++) {
        unsigned off = 160 + 8 * k;
        snprintf(name, sizeof(name), "xmm%u.%c", k / 2, k % 2 ? 'h' : 'l');
        field(name, get(c->in.fx + off, 8), get(n + off, 8), get(g + off, 8));
    }
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

static void compare_data(const struct cpu_outcome *n, const struct cpu_outcome *g)
{
    unsigned shown = 0;

    if (!memcmp(n->data, g->data, DATA_RW))
        return;
    for (unsigned k = 0; k < DATA_RW && shown < 8; k += 8)
        if (memcmp(n->data + k, g->data + k, 8)) {
            differ("[%08x] host %016" PRIx64 "  soft %016" PRIx64, DATA_VA + k, get(n->data + k, 8),
                   get(g->data + k, 8));
            shown++;
        }
}

/* The kernel's return to the handler makes all null selectors 0. */
static uint16_t null_is_0(uint16_t sel)
{
    return sel < 4 ? 0 : sel;
}

unsigned compare(const struct cpu_case *c, struct cpu_outcome *n, const struct cpu_outcome *g,
                 FILE *f)
{
    struct info i;
    uint64_t gpr_mask = c->compat ? 0xffffffff : ~0ull, flag_mask = ~0ull;

    report = f;
    differences = 0;
    memset(&i, 0, sizeof(i));
    if (decode(c, &i) && n->vector != 6)
        flag_mask = ~(uint64_t)undefined_flags(c, &i);
    bool any_page = is_fault(n->vector) && is_fault(g->vector) &&
                    (IN(i.insn.mnemonic, long_operands) || far_call(&i));
    /* Linux reports faults from its TASK_SIZE_MAX up as if a page were there. */
    if (n->vector == 14 && n->cr2 >= 0x7ffffffff000 && n->error & 1)
        n->error = (n->error & ~1u) | (g->error & 1);
    if (empty_mask(c, &i) && n->vector != g->vector)
        return 0;
    if (far_return(&i) && is_fault(n->vector) && is_fault(g->vector))
        any_page = true;
    if (any_page) {
        n->vector = g->vector;
        n->error = g->error;
        n->cr2 = g->cr2;
    }
    if (n->vector != g->vector || n->error != g->error || n->cr2 != g->cr2)
        differ("fault    host %u(%x) cr2 %" PRIx64 "  soft %u(%x) cr2 %" PRIx64, n->vector,
               n->error, n->cr2, g->vector, g->error, g->cr2);
    if (n->vector != g->vector && (n->vector >= VEC_HANG || g->vector >= VEC_HANG))
        return differences;
    if (result_undefined(c, &i) || partly_done(&i, n))
        return differences;
    /* The upper halves are undefined after a stay in 32-bit code (AMD APM vol. 2, 14.8). */
    for (unsigned k = 0; k < (c->compat ? 8u : 16u); k++)
        field(gpr_names[k], c->in.gpr[k], n->s.gpr[k] & gpr_mask, g->s.gpr[k] & gpr_mask);
    field("rip", c->in.rip, n->s.rip, g->s.rip);
    field("rflags", c->in.rflags, n->s.rflags & flag_mask, g->s.rflags & flag_mask);
    for (unsigned k = 0; k < ENGINE_NR_SREGS; k++)
        field(sreg_names[k], c->in.sel[k], null_is_0(n->s.sel[k]), null_is_0(g->s.sel[k]));
    field("fsbase", c->in.fs_base, n->s.fs_base, g->s.fs_base);
    field("gsbase", c->in.gs_base, n->s.gs_base, g->s.gs_base);
    /* Products first, then sums: #XM from the first keeps the second from happening, which the soft
     * CPU does not tell apart in the sticky flags. */
    if (n->vector == 19 &&
        (i.insn.mnemonic == ZYDIS_MNEMONIC_DPPS || i.insn.mnemonic == ZYDIS_MNEMONIC_DPPD))
        memcpy(n->s.fx + 24, g->s.fx + 24, 4);
    compare_fx(c, n->s.fx, g->s.fx);
    mask_mxcsr_mask(&i, n, g);
    /* ENTER may have pushed frame pointers before its last access faults. */
    if (i.insn.mnemonic != ZYDIS_MNEMONIC_ENTER || !is_fault(n->vector))
        compare_data(n, g);
    return differences;
}
