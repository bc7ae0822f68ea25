/* SPDX-License-Identifier: MIT */
/*
 * x87 instructions.
 *
 * Guest x87 code runs on the host's x87 unit with the guest's whole x87 state loaded, exceptions
 * unmasked where the guest has them so: an x87 exception only sets ES in the status word and is
 * raised by the next waiting instruction, which is never ours (the host's C code uses none), so the
 * check below finds it first and raises the guest's #MF. Every encoding D8-DF has a stub of
 * the same encoding; memory operands go through v->scratch.
 */
#include <string.h>

#include "hypervisor/engine/soft/x87.h"

extern const uint8_t x87_reg_stubs[], x87_mem_stubs[];   /* 4 bytes each */

__asm__(
    "    .section .text\n"
    "    .balign 64\n"
    "    .globl x87_reg_stubs, x87_mem_stubs\n"
    "    .hidden x87_reg_stubs, x87_mem_stubs\n"
    "x87_reg_stubs:\n"                       /* D8 C0 ... DF FF; ret */
    "    .set n, 0\n"
    "    .rept 512\n"
    "    .byte 0xd8 + n / 64, 0xc0 + n % 64, 0xc3, 0xcc\n"
    "    .set n, n + 1\n"
    "    .endr\n"
    "x87_mem_stubs:\n"                       /* D8 /0 [rdi] ... DF /7 [rdi]; ret */
    "    .set n, 0\n"
    "    .rept 64\n"
    "    .byte 0xd8 + n / 8, (n % 8) * 8 + 7, 0xc3, 0xcc\n"
    "    .set n, n + 1\n"
    "    .endr\n"
    "    .previous\n");

/* Below the red zone, of which the compiler does not know that a call destroys it. */
#define STUB_CALL "lea -128(%%rsp), %%rsp\n\tcall *%[stub]\n\tlea 128(%%rsp), %%rsp"

static inline void run_stub(struct soft_vcpu *v, const struct soft_op *op)
{
    __asm__ volatile(STUB_CALL : : [stub] "r"(op->ptr), "D"(v->scratch) : "memory", "cc");
}

static inline uint16_t host_fsw(void)
{
    uint16_t sw;
    __asm__ volatile("fnstsw %0" : "=a"(sw));
    return sw;
}

static inline uint16_t host_fcw(void)
{
    uint16_t cw;
    __asm__ volatile("fnstcw %0" : "=m"(cw));
    return cw;
}

/* The guest's x87 state into the host's unit; XMM registers are ours to destroy. */
SOFT_COLD static void go_live(struct soft_vcpu *v)
{
    v->x87.host_mxcsr = _mm_getcsr();
    v->x87.host_fip = v->x87.host_fdp = 0;
    __asm__ volatile("fxrstor64 %0" : : "m"(v->x87)
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    v->x87.live = true;
}

void x87_sync(struct soft_vcpu *v)
{
    if (!v->x87.live)
        return;
    __asm__ volatile("fxsave64 %0\n\tfninit" : "+m"(v->x87));
    v->x87.host_fip = v->x87.host_fdp = 0;      /* the stub's address is not for the guest */
    v->x87.host_fop = 0;
    v->x87.live = false;
}

/* Start of an instruction that does not wait. */
static inline void begin_nowait(struct soft_vcpu *v, const struct soft_op *op)
{
    soft_x87(v, op);
    if (soft_unlikely(!v->x87.live))
        go_live(v);
}

/* Start of one that does: a pending exception comes first. CR0.NE = 0 would report it through
 * a pin that this machine does not have; it is #MF all the same. */
static inline void begin(struct soft_vcpu *v, const struct soft_op *op)
{
    begin_nowait(v, op);
    if (soft_unlikely(host_fsw() & X87_ES))
        soft_raise(v, op, SOFT_MF);
}

/* Notes the instruction for the exception pointers. d: opcode - 0xd8, s: ModRM. */
static inline void note(struct soft_vcpu *v, const struct soft_op *op)
{
    v->x87.fip = SOFT_RIP(v, op);
    v->x87.fcs = v->seg[ENGINE_CS].sel;
    v->x87.fop = (uint16_t)(op->d << 8 | op->s);
}

static inline void note_data(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t a = soft_ea_raw(v, op);

    if (op->ea == SOFT_EA_SEG16)
        a = (uint16_t)a;
    else if (op->ea == SOFT_EA_SEG32 || op->ea == SOFT_EA_ADDR32)
        a = (uint32_t)a;
    v->x87.fdp = a;
    v->x87.fds = op->seg < ENGINE_NR_SREGS ? v->seg[op->seg].sel : v->seg[ENGINE_DS].sel;
}

#define H(name) static void name(struct soft_vcpu *v, const struct soft_op *op)

/* ---------------------------------------------------------------- register forms */

H(reg)
{
    begin(v, op);
    run_stub(v, op);
    note(v, op);
    SOFT_NEXT;
}

H(reg_nowait)      /* FNCLEX and the 8087's and 80287's leftovers */
{
    begin_nowait(v, op);
    run_stub(v, op);
    SOFT_NEXT;
}

H(fninit)
{
    begin_nowait(v, op);
    run_stub(v, op);
    v->x87.fip = v->x87.fdp = 0;
    v->x87.fcs = v->x87.fds = v->x87.fop = 0;
    SOFT_NEXT;
}

H(fcmov)
{
    begin(v, op);
    __asm__ volatile("sahf\n\t" STUB_CALL
                     : : [stub] "r"(op->ptr), "a"((soft_get_flags(v) & 0xff) << 8)
                     : "cc", "memory");
    note(v, op);
    SOFT_NEXT;
}

/* Whether an unmasked invalid operand leaves the flags alone is the host's choice: it gets the
 * guest's flags to begin with. */
H(fcomi)
{
    uint64_t flags;

    begin(v, op);
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpush %[in]\n\tpopfq\n\tcall *%[stub]\n\t"
                     "pushfq\n\tpop %[out]\n\tlea 128(%%rsp), %%rsp"
                     : [out] "=&r"(flags)
                     : [stub] "r"(op->ptr), [in] "r"((uint64_t)soft_get_flags(v)) : "cc", "memory");
    soft_set_flags(v, flags & FL_ARITH);
    note(v, op);
    SOFT_NEXT;
}

H(fnstsw_ax)
{
    begin_nowait(v, op);
    R16(SOFT_G(0)) = host_fsw();
    SOFT_NEXT;
}

H(fwait)
{
    if (soft_unlikely((v->cr0 & 0xa) == 0xa))      /* MP and TS */
        soft_raise(v, op, SOFT_NM);
    uint16_t sw = v->x87.live ? host_fsw() : v->x87.fsw;
    if (soft_unlikely(sw & X87_ES))
        soft_raise(v, op, SOFT_MF);
    SOFT_NEXT;
}

/* ---------------------------------------------------------------- memory forms */

/* A read from a device leaves the interpreter, which brings the state home: back with it. */
static inline void live_again(struct soft_vcpu *v)
{
    if (soft_unlikely(!v->x87.live))
        go_live(v);
}

/* 80 bits are accessed as 64 and 16: under segmentation, a page fault of the first piece comes
 * before the limit check of the second (found on AMD's CPUs, with offsets that wrap at 4 GiB). */
static inline uint64_t ea_in_pieces(struct soft_vcpu *v, const struct soft_op *op, unsigned size,
                                    bool write)
{
    if (soft_unlikely(size == 10 && op->ea >= SOFT_EA_SEG16)) {
        uint64_t va = soft_ea(v, op, 8, write);
        fp_align(v, op, va, 8);
        soft_probe(v, op, va, 8, write);
    }
    return soft_ea(v, op, size, write);
}

#define LOAD(bits) \
H(ld##bits) \
{ \
    begin(v, op); \
    uint##bits##_t value = soft_ld##bits(v, op, soft_ea(v, op, bits / 8, false)); \
    memcpy(v->scratch, &value, sizeof(value)); \
    live_again(v); \
    run_stub(v, op); \
    note(v, op); \
    note_data(v, op); \
    SOFT_NEXT; \
}
LOAD(16)
LOAD(32)
LOAD(64)

H(ld80)
{
    begin(v, op);
    uint64_t va = ea_in_pieces(v, op, 10, false);
    fp_align(v, op, va, 8);
    soft_ld_bytes(v, op, va, v->scratch, 10);
    live_again(v);
    run_stub(v, op);
    note(v, op);
    note_data(v, op);
    SOFT_NEXT;
}

/* x: bytes. The store may not fault any more once the stub has popped the stack; and an unmasked
 * exception other than precision keeps the result from being stored. */
H(st)
{
    begin(v, op);
    uint64_t va = ea_in_pieces(v, op, op->x, true);
    fp_align(v, op, va, op->x == 10 ? 8 : op->x);
    soft_probe(v, op, va, op->x, true);
    run_stub(v, op);
    note(v, op);
    note_data(v, op);
    if (soft_likely(!(host_fsw() & ~host_fcw() & 0x1f)))
        soft_st_bytes(v, op, va, v->scratch, op->x);
    SOFT_NEXT;
}

H(fldcw)
{
    begin(v, op);
    uint16_t value = soft_ld16(v, op, soft_ea(v, op, 2, false));
    memcpy(v->scratch, &value, 2);
    live_again(v);
    run_stub(v, op);
    SOFT_NEXT;
}

H(st16_nowait)     /* FNSTCW, FNSTSW m16 */
{
    begin_nowait(v, op);
    run_stub(v, op);
    uint16_t value;
    memcpy(&value, v->scratch, 2);
    soft_st16(v, op, soft_ea(v, op, 2, true), value);
    SOFT_NEXT;
}

/* FLDENV, FRSTOR wait; the others do not. */
H(fldenv)
{
    begin(v, op);
    x87_sync(v);
    x87_load_env(v, op, false);
    SOFT_NEXT;
}

H(frstor)
{
    begin(v, op);
    x87_sync(v);
    x87_load_env(v, op, true);
    SOFT_NEXT;
}

H(fnstenv)
{
    soft_x87(v, op);
    x87_sync(v);
    x87_store_env(v, op, false);
    SOFT_NEXT;
}

H(fnsave)
{
    soft_x87(v, op);
    x87_sync(v);
    x87_store_env(v, op, true);
    SOFT_NEXT;
}

/* ---------------------------------------------------------------- lookup */

/* By opcode - 0xd8 and ModRM.reg; x is the operand's size in bytes for stores. */
static const struct { soft_fn fn; uint8_t x; } mem_forms[8][8] = {
    { { ld32, 0 }, { ld32, 0 }, { ld32, 0 }, { ld32, 0 },
      { ld32, 0 }, { ld32, 0 }, { ld32, 0 }, { ld32, 0 } },
    { { ld32, 0 }, { NULL, 0 }, { st, 4 }, { st, 4 },
      { fldenv, 0 }, { fldcw, 0 }, { fnstenv, 0 }, { st16_nowait, 0 } },
    { { ld32, 0 }, { ld32, 0 }, { ld32, 0 }, { ld32, 0 },
      { ld32, 0 }, { ld32, 0 }, { ld32, 0 }, { ld32, 0 } },
    { { ld32, 0 }, { st, 4 }, { st, 4 }, { st, 4 },
      { NULL, 0 }, { ld80, 0 }, { NULL, 0 }, { st, 10 } },
    { { ld64, 0 }, { ld64, 0 }, { ld64, 0 }, { ld64, 0 },
      { ld64, 0 }, { ld64, 0 }, { ld64, 0 }, { ld64, 0 } },
    { { ld64, 0 }, { st, 8 }, { st, 8 }, { st, 8 },
      { frstor, 0 }, { NULL, 0 }, { fnsave, 0 }, { st16_nowait, 0 } },
    { { ld16, 0 }, { ld16, 0 }, { ld16, 0 }, { ld16, 0 },
      { ld16, 0 }, { ld16, 0 }, { ld16, 0 }, { ld16, 0 } },
    { { ld16, 0 }, { st, 2 }, { st, 2 }, { st, 2 },
      { ld80, 0 }, { ld64, 0 }, { st, 10 }, { st, 8 } },
};

static soft_fn reg_form(uint8_t opcode, uint8_t modrm)
{
    switch (opcode << 8 | modrm) {
    case 0xdbe0: case 0xdbe1: case 0xdbe2: case 0xdbe4: return reg_nowait;
    case 0xdbe3: return fninit;
    case 0xdfe0: return fnstsw_ax;
    default: break;
    }
    switch (opcode << 8 | (modrm & 0xf8)) {
    case 0xdbe8: case 0xdbf0: case 0xdfe8: case 0xdff0: return fcomi;
    case 0xdac0: case 0xdac8: case 0xdad0: case 0xdad8:
    case 0xdbc0: case 0xdbc8: case 0xdbd0: case 0xdbd8: return fcmov;
    default: return reg;
    }
}

soft_fn x87_lookup(const ZydisDecodedInstruction *insn, struct soft_op *out)
{
    unsigned row = insn->opcode - 0xd8u;

    if (insn->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
        return NULL;
    if (insn->opcode == 0x9b)
        return fwait;
    if (row >= 8)
        return NULL;
    uint8_t modrm = (uint8_t)(insn->raw.modrm.mod << 6 | insn->raw.modrm.reg << 3 |
                              insn->raw.modrm.rm);
    out->d = (uint8_t)row;
    out->s = modrm;
    if (insn->raw.modrm.mod == 3) {
        out->ptr = (void *)(uintptr_t)(x87_reg_stubs + 4 * (row * 64 + (modrm & 0x3f)));
        return reg_form(insn->opcode, modrm);
    }
    out->ptr = (void *)(uintptr_t)(x87_mem_stubs + 4 * (row * 8 + insn->raw.modrm.reg));
    out->x = mem_forms[row][insn->raw.modrm.reg].x;
    /* The environment's format follows the operand size; its handlers call no stub. */
    soft_fn fn = mem_forms[row][insn->raw.modrm.reg].fn;
    if (fn == fldenv || fn == frstor || fn == fnstenv || fn == fnsave)
        out->x = insn->operand_width == 16 ? 2 : 4;
    return fn;
}
