/* SPDX-License-Identifier: MIT */
/* Where Intel's CPUs differ from AMD's, whose way the soft CPU goes: on an Intel host the points below are not
 * compared. One function for each kind, with the reason; what both makers leave open is in undefined.c. */
#include "tests/cpu/cpudiff.h"

#include <cpuid.h>
#include <string.h>

enum { STATUS = 0x8d5, RF = 0x10000 };
enum { VEC_DB = 1, VEC_BR = 5, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_AC = 17 };

struct insn { ZydisDecodedInstruction i; ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT]; };

/* Asked for every case: CPUID is an exit to the hypervisor where the host is a virtual machine. */
bool host_is_intel(void)
{
    static enum { UNKNOWN, INTEL, OTHER } maker;
    unsigned a, b = 0, c, d;

    if (maker == UNKNOWN)
        maker = __get_cpuid(0, &a, &b, &c, &d) && b == signature_INTEL_ebx ? INTEL : OTHER;
    return maker == INTEL;
}

static bool repeated(const struct insn *x)
{
    return x->i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE) ||
           (x->i.meta.category == ZYDIS_CATEGORY_STRINGOP && x->i.raw.prefix_count &&
            x->i.attributes & (ZYDIS_ATTRIB_ACCEPTS_REP | ZYDIS_ATTRIB_ACCEPTS_REPE));
}

static bool is_cmps(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_CMPSB || m == ZYDIS_MNEMONIC_CMPSW || m == ZYDIS_MNEMONIC_CMPSD ||
           m == ZYDIS_MNEMONIC_CMPSQ;
}

static bool is_scas(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_SCASB || m == ZYDIS_MNEMONIC_SCASW || m == ZYDIS_MNEMONIC_SCASD ||
           m == ZYDIS_MNEMONIC_SCASQ;
}

/* A fault of a memory operand. */
static bool memory_fault(uint32_t vector)
{
    return vector == VEC_SS || vector == VEC_GP || vector == VEC_PF || vector == VEC_AC;
}

static bool any_fault(uint32_t vector)
{
    return vector == VEC_NP || memory_fault(vector);
}

/*
 * Between two turns of a REP Intel's CPUs stop with RF set, and CMPS and SCAS have the status flags of the
 * beginning then (SDM vol. 2, REP; vol. 3, 18.3.1.1). With 32-bit addresses a turn clears the counters' upper
 * halves even if it faults. Which operand of CMPS is read first differs.
 */
static void string_points(const struct cpu_case *c, const struct insn *x, struct cpu_outcome *n,
                          const struct cpu_outcome *g, struct open_points *open)
{
    static const int counters[] = { ENGINE_RCX, ENGINE_RSI, ENGINE_RDI };

    if (is_cmps(x->i.mnemonic) && memory_fault(n->vector) && memory_fault(g->vector)) {
        n->vector = g->vector;
        n->error = g->error;
        n->cr2 = g->cr2;
    }
    if (!repeated(x))
        return;
    if (n->vector == VEC_DB)
        open->flags |= RF;
    if (is_cmps(x->i.mnemonic) || is_scas(x->i.mnemonic))
        open->flags |= n->vector == VEC_DB || n->vector == VEC_PF ? STATUS : 0;
    for (unsigned k = 0; k < 3 && !c->compat && x->i.address_width == 32; k++)
        if ((uint32_t)n->s.gpr[counters[k]] == (uint32_t)g->s.gpr[counters[k]])
            n->s.gpr[counters[k]] = g->s.gpr[counters[k]];
}

static bool writes_memory(const struct insn *x)
{
    return x->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY && x->ops[0].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
}

static bool has_mmx(const struct insn *x)
{
    for (unsigned k = 0; k < x->i.operand_count_visible; k++)
        if (x->ops[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(x->ops[k].reg.value) == ZYDIS_REGCLASS_MMX)
            return true;
    return false;
}

/*
 * A store of an x87 register with an unmasked exception stores nothing, so nothing faults: Intel's CPUs look at
 * that first. A store of 10 bytes may have begun before it faults, one of an MMX register has made the x87 state
 * an MMX state by then.
 */
static void x87_points(const struct cpu_case *c, const struct insn *x, struct cpu_outcome *n,
                       const struct cpu_outcome *g, struct open_points *open)
{
    bool fault = memory_fault(n->vector) && n->s.rip == g->s.rip;
    bool x87 = x->i.meta.isa_ext == ZYDIS_ISA_EXT_X87 || x->i.mnemonic == ZYDIS_MNEMONIC_FISTTP;

    if (!writes_memory(x))
        return;
    if (x87 && !fault && (c->sequence || n->s.fx[2] & 0x80) && memory_fault(g->vector)) {
        *n = *g;
        open->everything = true;
    }
    if (x87 && fault && x->ops[0].size == 80)
        open->data = true;
    if (has_mmx(x) && fault) {
        memcpy(n->s.fx, g->s.fx, 24);
        memcpy(n->s.fx + 32, g->s.fx + 32, 128);
    }
}

/* MOVUPS and its like, and PCMPxSTRx, raise no #AC, or a later fault (SDM vol. 3, 6.15, interrupt 17). */
static bool unaligned_sse(const struct insn *x, const struct cpu_outcome *n, const struct cpu_outcome *g)
{
    return g->vector == VEC_AC && n->vector != VEC_AC && x->i.operand_count_visible &&
           (x->ops[0].size == 128 || x->ops[1].size == 128);
}

static bool of_sreg(const struct insn *x)
{
    return x->ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ZydisRegisterGetClass(x->ops[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
}

/* How much of a fault's instruction is visible, and in what order it looks at things. */
static bool order_differs(const struct insn *x, const struct cpu_outcome *n, const struct cpu_outcome *g)
{
    switch (x->i.mnemonic) {
    case ZYDIS_MNEMONIC_CALL:   /* to no canonical address: the return address may have been pushed */
        return n->vector == VEC_GP && g->vector == VEC_GP;
    case ZYDIS_MNEMONIC_RET:    /* far, beyond the limit: before or behind the branch */
        return any_fault(n->vector) && any_fault(g->vector) && x->i.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
    case ZYDIS_MNEMONIC_IRETD:  /* a frame across a page; to 32-bit code beyond 4 GiB: cut off, or a fault */
    case ZYDIS_MNEMONIC_IRETQ:
        return n->s.sel[ENGINE_CS] == 0x23 || (any_fault(n->vector) && any_fault(g->vector));
    case ZYDIS_MNEMONIC_POP:    /* a segment register: two bytes are read or written, or all of the slot */
    case ZYDIS_MNEMONIC_PUSH:
        return n->vector != g->vector && of_sreg(x);
    case ZYDIS_MNEMONIC_FXSAVE: /* an operand that wraps round a segment's 4 GiB */
    case ZYDIS_MNEMONIC_FXRSTOR:
        return g->vector == VEC_GP && !memory_fault(n->vector) && x->i.machine_mode != ZYDIS_MACHINE_MODE_LONG_64;
    case ZYDIS_MNEMONIC_BOUND:  /* the lower bound is compared before the upper one is read */
        return n->vector == VEC_BR && g->vector == VEC_PF;
    default:
        return false;
    }
}

/* Across the end of 4 GiB: a limit violation, or a page of its own. */
static bool wraps(const struct cpu_case *c, const struct cpu_outcome *n, const struct cpu_outcome *g)
{
    return c->compat && n->vector == VEC_PF && n->cr2 >= 0xfffffff0 &&
           (g->vector == VEC_GP || g->vector == VEC_SS);
}

/* PUSH of a segment register in 32-bit code writes two bytes and leaves the upper half of the slot. */
static void push_sreg(const struct cpu_case *c, const struct insn *x, struct cpu_outcome *n,
                      const struct cpu_outcome *g)
{
    uint64_t at = g->s.gpr[ENGINE_RSP] - DATA_VA + 2;

    if (c->compat && x->i.mnemonic == ZYDIS_MNEMONIC_PUSH && x->i.operand_width == 32 && of_sreg(x) &&
        at + 2 <= DATA_RW)
        memcpy(n->data + at, g->data + at, 2);
}

/* The instruction that the case ended with: where the soft CPU stands, or the only one. */
static bool last_instruction(const struct cpu_case *c, const struct cpu_outcome *g, struct insn *x)
{
    uint64_t at = c->sequence ? g->s.rip - c->in.rip : 0;
    ZydisDecoder d;

    cpu_decoder(&d, c->compat);
    return at < c->len && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, c->code + at, c->len - at, &x->i, x->ops));
}

void intel_open_points(const struct cpu_case *c, struct cpu_outcome *n, const struct cpu_outcome *g,
                       struct open_points *open)
{
    struct insn x;

    /* FOP and FDP may be kept for unmasked exceptions alone (SDM vol. 1, 8.1.8 and 8.1.9). */
    if (c->sequence) {
        memcpy(n->s.fx + 6, g->s.fx + 6, 2);
        memcpy(n->s.fx + 16, g->s.fx + 16, 8);
    }
    if (!last_instruction(c, g, &x))
        return;
    string_points(c, &x, n, g, open);
    x87_points(c, &x, n, g, open);
    push_sreg(c, &x, n, g);
    if (unaligned_sse(&x, n, g) || order_differs(&x, n, g) || wraps(c, n, g)) {
        *n = *g;
        open->everything = true;
    }
}

bool intel_sequential(const struct form *f)
{
    return !(f->compat && f->mnemonic == ZYDIS_MNEMONIC_PUSH);
}
