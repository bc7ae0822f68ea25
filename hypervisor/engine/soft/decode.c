/* SPDX-License-Identifier: MIT */
/*
 * From bytes to ops. Zydis does the decoding; this file maps its description of an instruction to
 * a selector (exec_*.c) by mnemonic and fills the parts of soft_op that all handlers share. It
 * runs once per block, so its speed matters little.
 */
#include <string.h>

#include "hypervisor/engine/soft/exec.h"

void soft_op_fall(struct soft_vcpu *v, const struct soft_op *op);
void soft_op_fall_any(struct soft_vcpu *v, const struct soft_op *op);

static void op_ud(struct soft_vcpu *v, const struct soft_op *op)
{
    soft_raise(v, op, SOFT_UD);
}

static void op_too_long(struct soft_vcpu *v, const struct soft_op *op)
{
    soft_raise_err(v, op, SOFT_GP, 0);
}

/* A link slot is no op; a handler that ends in SOFT_NEXT where it must not would land here. */
static void op_past_end(struct soft_vcpu *v, const struct soft_op *op)
{
    soft_fail(v, NULL, "a block ran past its end");
}

uint8_t soft_reg(const struct soft_insn *in, unsigned n)
{
    ZydisRegister r = in->o[n].reg.value;

    if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_R15B) {
        unsigned i = (unsigned)(r - ZYDIS_REGISTER_AL);     /* AL.. BL, AH.. BH, SPL.. R15B */
        if (i < 4)
            return (uint8_t)SOFT_G(i);
        return (uint8_t)(i < 8 ? SOFT_G(i - 4) + 1 : SOFT_G(i - 4));
    }
    if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
        return (uint8_t)SOFT_G(r - ZYDIS_REGISTER_AX);
    if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
        return (uint8_t)SOFT_G(r - ZYDIS_REGISTER_EAX);
    if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
        return (uint8_t)SOFT_G(r - ZYDIS_REGISTER_RAX);
    return SOFT_ZERO;
}

static uint8_t address_reg(ZydisRegister r)
{
    if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
        return (uint8_t)SOFT_G(r - ZYDIS_REGISTER_AX);
    if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
        return (uint8_t)SOFT_G(r - ZYDIS_REGISTER_EAX);
    if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
        return (uint8_t)SOFT_G(r - ZYDIS_REGISTER_RAX);
    if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
        return SOFT_BLKRIP;
    return SOFT_ZERO;
}

/* The parts of op that describe a memory operand. False: a displacement that cannot be
 * expressed. */
static bool fill_memory(struct soft_insn *in, struct soft_op *op)
{
    const ZydisDecodedOperandMem *m = &in->o[in->mem].mem;
    int64_t disp = m->disp.has_displacement ? m->disp.value : 0;
    bool wide = in->mode & SOFT_M_CODE64;

    op->base = address_reg(m->base);
    /* Zydis 4.0 takes base 101 with mod 00 for R13D when REX.B comes with an address-size
     * prefix. */
    if (in->i.attributes & ZYDIS_ATTRIB_HAS_SIB && !in->i.raw.modrm.mod &&
        in->i.raw.sib.base == 5) {
        op->base = SOFT_ZERO;
        disp = in->i.raw.disp.value;
    }
    op->index = address_reg(m->index);
    op->scale = m->index != ZYDIS_REGISTER_NONE && m->scale ? (uint8_t)__builtin_ctz(m->scale) : 0;
    if (op->base == SOFT_BLKRIP)
        disp += op->ip + op->len;
    op->disp = (int32_t)disp;
    op->seg = SOFT_SEG_NONE;
    if (m->segment >= ZYDIS_REGISTER_ES && m->segment <= ZYDIS_REGISTER_GS)
        op->seg = (uint8_t)(m->segment - ZYDIS_REGISTER_ES);
    if (wide) {
        if (op->seg != ENGINE_FS && op->seg != ENGINE_GS)
            op->seg = SOFT_SEG_NONE;
        op->ea = in->abits == 32 ? SOFT_EA_ADDR32
               : op->seg == SOFT_SEG_NONE ? SOFT_EA_PLAIN : SOFT_EA_BASED;
    } else {
        op->ea = in->abits == 16 ? SOFT_EA_SEG16 : SOFT_EA_SEG32;
    }
    return op->base != SOFT_BLKRIP || disp == op->disp;
}

/* Which file knows the instruction; NULL: the floating point side may. */
static soft_select selector(const struct soft_insn *in)
{
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_ADD: case ZYDIS_MNEMONIC_OR: case ZYDIS_MNEMONIC_ADC:
    case ZYDIS_MNEMONIC_SBB:
    case ZYDIS_MNEMONIC_AND: case ZYDIS_MNEMONIC_SUB: case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST: case ZYDIS_MNEMONIC_INC: case ZYDIS_MNEMONIC_DEC:
    case ZYDIS_MNEMONIC_NEG:
    case ZYDIS_MNEMONIC_NOT:
        return in->lock ? soft_sel_atomic : soft_sel_alu;
    case ZYDIS_MNEMONIC_XADD: case ZYDIS_MNEMONIC_CMPXCHG: case ZYDIS_MNEMONIC_CMPXCHG8B:
    case ZYDIS_MNEMONIC_CMPXCHG16B:
        return soft_sel_atomic;
    case ZYDIS_MNEMONIC_XCHG:
        return in->mem >= 0 ? soft_sel_atomic : soft_sel_move;
    case ZYDIS_MNEMONIC_SHL: case ZYDIS_MNEMONIC_SHR: case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR: case ZYDIS_MNEMONIC_RCL: case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD: case ZYDIS_MNEMONIC_SHLX: case ZYDIS_MNEMONIC_SHRX:
    case ZYDIS_MNEMONIC_SARX: case ZYDIS_MNEMONIC_RORX:
        return soft_sel_shift;
    case ZYDIS_MNEMONIC_MUL: case ZYDIS_MNEMONIC_IMUL: case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
    case ZYDIS_MNEMONIC_MULX: case ZYDIS_MNEMONIC_ADCX: case ZYDIS_MNEMONIC_ADOX:
    case ZYDIS_MNEMONIC_AAA: case ZYDIS_MNEMONIC_AAS: case ZYDIS_MNEMONIC_DAA:
    case ZYDIS_MNEMONIC_DAS:
    case ZYDIS_MNEMONIC_AAM: case ZYDIS_MNEMONIC_AAD:
        return soft_sel_mul;
    case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BTS: case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
    case ZYDIS_MNEMONIC_BSF: case ZYDIS_MNEMONIC_BSR: case ZYDIS_MNEMONIC_LZCNT:
    case ZYDIS_MNEMONIC_TZCNT: case ZYDIS_MNEMONIC_POPCNT: case ZYDIS_MNEMONIC_ANDN:
    case ZYDIS_MNEMONIC_BEXTR: case ZYDIS_MNEMONIC_BZHI: case ZYDIS_MNEMONIC_PDEP:
    case ZYDIS_MNEMONIC_PEXT: case ZYDIS_MNEMONIC_BLSI: case ZYDIS_MNEMONIC_BLSMSK:
    case ZYDIS_MNEMONIC_BLSR: case ZYDIS_MNEMONIC_CRC32: case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
        return soft_sel_bit;
    case ZYDIS_MNEMONIC_MOVNTI: case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_MOVSX: case ZYDIS_MNEMONIC_MOVSXD: case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_MOVBE: case ZYDIS_MNEMONIC_BSWAP: case ZYDIS_MNEMONIC_CBW:
    case ZYDIS_MNEMONIC_CWDE: case ZYDIS_MNEMONIC_CDQE: case ZYDIS_MNEMONIC_CWD:
    case ZYDIS_MNEMONIC_CDQ: case ZYDIS_MNEMONIC_CQO: case ZYDIS_MNEMONIC_LAHF:
    case ZYDIS_MNEMONIC_SAHF: case ZYDIS_MNEMONIC_CLC: case ZYDIS_MNEMONIC_STC:
    case ZYDIS_MNEMONIC_CMC: case ZYDIS_MNEMONIC_CLD: case ZYDIS_MNEMONIC_STD:
    case ZYDIS_MNEMONIC_SALC: case ZYDIS_MNEMONIC_XLAT: case ZYDIS_MNEMONIC_PAUSE:
    case ZYDIS_MNEMONIC_NOP: case ZYDIS_MNEMONIC_MFENCE: case ZYDIS_MNEMONIC_LFENCE:
    case ZYDIS_MNEMONIC_SFENCE: case ZYDIS_MNEMONIC_PREFETCH: case ZYDIS_MNEMONIC_PREFETCHNTA:
    case ZYDIS_MNEMONIC_PREFETCHT0: case ZYDIS_MNEMONIC_PREFETCHT1: case ZYDIS_MNEMONIC_PREFETCHT2:
    case ZYDIS_MNEMONIC_PREFETCHW: case ZYDIS_MNEMONIC_PREFETCHWT1:
        return soft_sel_move;
    case ZYDIS_MNEMONIC_PUSH: case ZYDIS_MNEMONIC_POP: case ZYDIS_MNEMONIC_PUSHA:
    case ZYDIS_MNEMONIC_PUSHAD: case ZYDIS_MNEMONIC_POPA: case ZYDIS_MNEMONIC_POPAD:
    case ZYDIS_MNEMONIC_PUSHF: case ZYDIS_MNEMONIC_PUSHFD: case ZYDIS_MNEMONIC_PUSHFQ:
    case ZYDIS_MNEMONIC_POPF: case ZYDIS_MNEMONIC_POPFD: case ZYDIS_MNEMONIC_POPFQ:
    case ZYDIS_MNEMONIC_ENTER: case ZYDIS_MNEMONIC_LEAVE:
        return soft_sel_stack;
    default:
        return NULL;
    }
}

/* Jcc proper: opcodes 70-7f and 0f 80-8f. */
static bool is_jcc(const struct soft_insn *in)
{
    return in->i.meta.category == ZYDIS_CATEGORY_COND_BR &&
           in->i.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
           (in->i.opcode_map == ZYDIS_OPCODE_MAP_0F
               ? in->i.opcode >> 4 == 8 : in->i.opcode >> 4 == 7);
}

/* The rest: categories that Zydis names well. */
static soft_select selector_by_kind(const struct soft_insn *in)
{
    bool far = in->i.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;

    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_MOV: {
        ZydisRegister a = soft_is_reg(in, 0) ? in->o[0].reg.value : ZYDIS_REGISTER_NONE;
        ZydisRegister b = soft_is_reg(in, 1) ? in->o[1].reg.value : ZYDIS_REGISTER_NONE;
        ZydisRegisterClass ca = ZydisRegisterGetClass(a), cb = ZydisRegisterGetClass(b);

        if (ca == ZYDIS_REGCLASS_SEGMENT || cb == ZYDIS_REGCLASS_SEGMENT)
            return soft_sel_far;
        if (ca == ZYDIS_REGCLASS_CONTROL || cb == ZYDIS_REGCLASS_CONTROL ||
            ca == ZYDIS_REGCLASS_DEBUG || cb == ZYDIS_REGCLASS_DEBUG)
            return soft_sel_sys;
        return soft_sel_move;
    }
    case ZYDIS_MNEMONIC_JMP: case ZYDIS_MNEMONIC_CALL: case ZYDIS_MNEMONIC_RET:
        return far ? soft_sel_far : soft_sel_branch;
    case ZYDIS_MNEMONIC_IRET: case ZYDIS_MNEMONIC_IRETD: case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_LDS: case ZYDIS_MNEMONIC_LES: case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS: case ZYDIS_MNEMONIC_LSS: case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL: case ZYDIS_MNEMONIC_VERR: case ZYDIS_MNEMONIC_VERW:
    case ZYDIS_MNEMONIC_ARPL: case ZYDIS_MNEMONIC_LLDT: case ZYDIS_MNEMONIC_LTR:
    case ZYDIS_MNEMONIC_SLDT: case ZYDIS_MNEMONIC_STR:
        return soft_sel_far;
    case ZYDIS_MNEMONIC_MOVSB: case ZYDIS_MNEMONIC_MOVSW: case ZYDIS_MNEMONIC_MOVSQ:
    case ZYDIS_MNEMONIC_CMPSB: case ZYDIS_MNEMONIC_CMPSW: case ZYDIS_MNEMONIC_CMPSQ:
    case ZYDIS_MNEMONIC_STOSB: case ZYDIS_MNEMONIC_STOSW: case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ: case ZYDIS_MNEMONIC_LODSB: case ZYDIS_MNEMONIC_LODSW:
    case ZYDIS_MNEMONIC_LODSD: case ZYDIS_MNEMONIC_LODSQ: case ZYDIS_MNEMONIC_SCASB:
    case ZYDIS_MNEMONIC_SCASW: case ZYDIS_MNEMONIC_SCASD: case ZYDIS_MNEMONIC_SCASQ:
        return soft_sel_string;
    case ZYDIS_MNEMONIC_MOVSD: case ZYDIS_MNEMONIC_CMPSD:      /* string or scalar double */
        return in->i.meta.category == ZYDIS_CATEGORY_STRINGOP ? soft_sel_string : NULL;
    case ZYDIS_MNEMONIC_IN: case ZYDIS_MNEMONIC_OUT: case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW: case ZYDIS_MNEMONIC_INSD: case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW: case ZYDIS_MNEMONIC_OUTSD:
        return soft_sel_io;
    default: break;
    }
    switch (in->i.meta.category) {
    /* also XBEGIN, XEND, JKZD, JKNZD, none of them offered */
    case ZYDIS_CATEGORY_COND_BR:
        return is_jcc(in) || in->i.mnemonic == ZYDIS_MNEMONIC_JCXZ ||
                       in->i.mnemonic == ZYDIS_MNEMONIC_JECXZ ||
                       in->i.mnemonic == ZYDIS_MNEMONIC_JRCXZ ||
                       in->i.mnemonic == ZYDIS_MNEMONIC_LOOP ||
                       in->i.mnemonic == ZYDIS_MNEMONIC_LOOPE ||
                       in->i.mnemonic == ZYDIS_MNEMONIC_LOOPNE
                   ? soft_sel_branch : NULL;
    case ZYDIS_CATEGORY_CMOV:
        return in->i.mnemonic >= ZYDIS_MNEMONIC_CMOVB && in->i.mnemonic <= ZYDIS_MNEMONIC_CMOVZ
                   ? soft_sel_move : NULL;
    case ZYDIS_CATEGORY_SETCC:
        return soft_sel_move;
    default:
        return soft_sel_sys;
    }
}

/* The only VEX-encoded instructions that are offered. */
static bool is_bmi(const struct soft_insn *in)
{
    return in->i.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX &&
           (in->i.meta.isa_set == ZYDIS_ISA_SET_BMI1 || in->i.meta.isa_set == ZYDIS_ISA_SET_BMI2);
}

/* Fills op from a decoded instruction. */
static void make_op(struct soft_insn *in, struct soft_op *op)
{
    soft_select sel;
    soft_fn fn = NULL;

    op->base = op->index = SOFT_ZERO;
    op->seg = SOFT_SEG_NONE;
    in->mem = -1;
    in->n = in->i.operand_count_visible;
    in->bits = in->i.operand_width;
    in->abits = in->i.address_width;
    in->lock = in->i.attributes & ZYDIS_ATTRIB_HAS_LOCK;
    in->rep = in->i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE);
    in->repne = in->i.attributes & ZYDIS_ATTRIB_HAS_REPNE;
    in->big_rel = false;
    in->end = SOFT_END_NO;
    if (in->i.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        in->bits = (uint8_t)in->o[0].size;
    for (unsigned k = 0; k < in->n; k++) {
        if (in->o[k].type == ZYDIS_OPERAND_TYPE_MEMORY && in->mem < 0)
            in->mem = (int8_t)k;
        else if (in->o[k].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
            op->imm = in->o[k].imm.value.u;
    }
    if (in->i.mnemonic == ZYDIS_MNEMONIC_XLAT)     /* its memory operand is hidden */
        for (unsigned k = 0; k < in->i.operand_count; k++)
            if (in->o[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
                in->mem = (int8_t)k;
    if (in->mem >= 0 && !fill_memory(in, op)) {
        op->fn = op_ud;
        return;
    }
    if (in->n && soft_is_imm(in, 0) && in->o[0].imm.is_relative) {
        int64_t off = in->o[0].imm.value.s + op->ip + op->len;
        in->big_rel = off != (int32_t)off;
    }
    if (in->i.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
        in->i.encoding != ZYDIS_INSTRUCTION_ENCODING_3DNOW && !is_bmi(in)) {
        op->fn = op_ud;
        in->end = SOFT_END_SYNC;
        return;
    }
    sel = selector(in);
    if (!sel)
        sel = selector_by_kind(in);
    if (sel)
        fn = sel(in, op);
    if (!fn && in->end == SOFT_END_NO)
        fn = fp_lookup(&in->i, in->o, op);
    if (!fn) {
        fn = op_ud;
        in->end = SOFT_END_SYNC;
    }
    op->fn = fn;
}

static void init_decoder(ZydisDecoder *d, uint32_t mode)
{
    if (mode & SOFT_M_CODE64)
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    else if (mode & SOFT_M_CODE32)
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    else
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    /* What these extensions' opcodes are on a CPU without them: NOPs, or the older instruction. */
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
}

static void fill_link(struct soft_link *l, const struct soft_insn *in, unsigned end_off,
                      unsigned page_off,
                      unsigned nr_insns)
{
    int64_t taken = 0;

    memset(l, 0, sizeof(*l));
    l->fn = op_past_end;
    l->nr_insns = (uint8_t)nr_insns;
    l->fall_off = (uint16_t)end_off;
    if (page_off + end_off < SOFT_PAGE_SIZE)
        l->in_page |= 2;
    if (in && in->end == SOFT_END_LINK && in->n && soft_is_imm(in, 0) && in->o[0].imm.is_relative) {
        taken = (int64_t)end_off + in->o[0].imm.value.s;
        l->taken_off = (int32_t)taken;
        if (page_off + taken >= 0 && page_off + taken < (int64_t)SOFT_PAGE_SIZE)
            l->in_page |= 1;
    }
}

/* Makes ops[k] (a CMP or TEST, described by prev) and the Jcc in `in` one op, if there is a
 * handler. */
static bool fuse(const struct soft_insn *prev, struct soft_op *op, const struct soft_insn *in)
{
    soft_fn fn;

    if (prev->i.mnemonic != ZYDIS_MNEMONIC_CMP && prev->i.mnemonic != ZYDIS_MNEMONIC_TEST)
        return false;
    if (in->i.meta.category != ZYDIS_CATEGORY_COND_BR || in->big_rel || !(in->mode & SOFT_M_CODE64))
        return false;
    if (!is_jcc(in))
        return false;
    fn = soft_sel_fused(prev, op, in->i.opcode & 15);
    if (!fn)
        return false;
    op->fn = fn;
    return true;
}

/* Does this set all arithmetic flags, read none of them, and never fault? */
static bool buries_flags(const struct soft_insn *in)
{
    if (in->mem >= 0 || in->i.attributes & ZYDIS_ATTRIB_HAS_LOCK)
        return false;
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_NEG:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_TEST:
        return true;
    default:
        return false;
    }
}

enum soft_decode_result soft_decode(uint32_t mode, const uint8_t *bytes, unsigned avail,
                                    unsigned page_off,
                                    unsigned max, struct soft_op *ops, unsigned *nr_ops,
                                    unsigned *nr_insns, unsigned *nr_bytes)
{
    ZydisDecoder d;
    struct soft_insn in[2];                 /* this one and the one before */
    unsigned pos = 0, n = 0, cur = 0, insns = 0;
    enum soft_end end = SOFT_END_NO;

    init_decoder(&d, mode);
    while (end == SOFT_END_NO && n < max && pos < avail) {
        uint8_t buf[SOFT_MAX_INSN + 1];
        unsigned len = avail - pos < SOFT_MAX_INSN ? avail - pos : SOFT_MAX_INSN;
        struct soft_op *op = &ops[n];
        struct soft_insn *i = &in[cur];
        ZyanStatus st;

        memcpy(buf, bytes + pos, len);      /* the guest may change them meanwhile */
        memset(op, 0, sizeof(*op));
        op->ip = (uint16_t)pos;
        op->idx = (uint8_t)n;
        i->mode = mode;
        st = ZydisDecoderDecodeFull(&d, buf, len, &i->i, i->o);
        if (st == ZYDIS_STATUS_NO_MORE_DATA && len < SOFT_MAX_INSN) {
            if (!n)
                return SOFT_DECODE_CROSSES;
            break;
        }
        insns++;
        if (ZYAN_FAILED(st)) {
            op->fn = st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || st == ZYDIS_STATUS_NO_MORE_DATA
                         ? op_too_long : op_ud;
            end = SOFT_END_SYNC;
            pos += len < 1 ? len : 1;
        } else {
            op->len = i->i.length;
            pos += op->len;
            make_op(i, op);
            end = i->end;
            /* Nothing comes between two ops of a block, so nobody sees the flags of the first. */
            if (n && end == SOFT_END_NO && buries_flags(i))
                ops[n - 1].fn = soft_quiet_alu(ops[n - 1].fn);
            if (n && end == SOFT_END_LINK && fuse(&in[cur ^ 1], &ops[n - 1], i))
                n--;
        }
        n++;
        cur ^= 1;
    }
    if (end == SOFT_END_NO) {
        struct soft_op *op = &ops[n];
        memset(op, 0, sizeof(*op));
        op->fn = mode & SOFT_M_CODE64 ? soft_op_fall : soft_op_fall_any;
        op->ip = (uint16_t)pos;
        op->idx = (uint8_t)n++;
        fill_link((struct soft_link *)&ops[n], NULL, pos, page_off, insns);
    } else {
        fill_link((struct soft_link *)&ops[n], &in[cur ^ 1], pos, page_off, insns);
    }
    *nr_ops = n;
    *nr_insns = insns;
    *nr_bytes = pos;
    return SOFT_DECODE_OK;
}
