/* SPDX-License-Identifier: MIT */
/* MOV, MOVZX/MOVSX/MOVSXD, LEA, XCHG of registers, CMOVcc, SETcc, CBW..CQO, BSWAP, MOVBE,
 * MOVNTI, LAHF/SAHF, flag instructions, XLAT, NOPs. */
#include "hypervisor/engine/soft/exec.h"

#define SIZES(F) F(8) F(16) F(32) F(64)

#define MOV(b) \
SOFT_FN(mov_rr##b) { WR##b(op->d, RD##b(op->s)); SOFT_NEXT; } \
SOFT_FN(mov_ri##b) { WR##b(op->d, op->imm); SOFT_NEXT; } \
SOFT_INLINE bool mov_rm_core##b(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how) \
{ \
    uint##b##_t x; \
    if (!ld##b(v, op, how, soft_ea_how(v, op, how, b / 8, false), &x)) \
        return false; \
    WR##b(op->d, x); \
    return true; \
} \
SOFT_MEMFN(mov_rm##b, mov_rm_core##b(v, op, how)) \
SOFT_INLINE bool mov_mx_core##b(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how, \
                                uint##b##_t x) \
{ return st##b(v, op, how, soft_ea_how(v, op, how, b / 8, true), x); } \
SOFT_MEMFN(mov_mr##b, mov_mx_core##b(v, op, how, RD##b(op->s))) \
SOFT_MEMFN(mov_mi##b, mov_mx_core##b(v, op, how, (uint##b##_t)op->imm))
SIZES(MOV)

struct forms { soft_fn rr, ri; struct soft_mem3 rm, mr, mi; };
#define TAB(b) { mov_rr##b, mov_ri##b, SOFT_MEM3(mov_rm##b), SOFT_MEM3(mov_mr##b), \
                 SOFT_MEM3(mov_mi##b) },
static const struct forms movs[4] = { SIZES(TAB) };

/* Moves with a 64-bit absolute address: the offset is in imm. Rare. */
SOFT_FN(mov_moffs)
{
    unsigned size = op->x & 15;
    bool store = op->x & 16;
    uint64_t va = op->imm + v->segbase[op->seg], x;

    if (store) {
        soft_st_slow(v, op, va, size, R64(SOFT_G(0)));
        SOFT_NEXT;
    }
    x = soft_ld_slow(v, op, va, size);
    switch (size) {
    case 1: R8(SOFT_G(0)) = (uint8_t)x; break;
    case 2: R16(SOFT_G(0)) = (uint16_t)x; break;
    default: R64(SOFT_G(0)) = x; break;
    }
    SOFT_NEXT;
}

/* Extensions: from b bits, sign or zero, to to_ bits. */
#define EXT(name, b, to_, conv) \
SOFT_FN(name##_r) { WR##to_(op->d, conv(RD##b(op->s))); SOFT_NEXT; } \
SOFT_INLINE bool name##_core(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how) \
{ \
    uint##b##_t x; \
    if (!ld##b(v, op, how, soft_ea_how(v, op, how, b / 8, false), &x)) \
        return false; \
    WR##to_(op->d, conv(x)); \
    return true; \
} \
SOFT_MEMFN(name##_m, name##_core(v, op, how))
#define ZX(x) (x)
EXT(zx8_16, 8, 16, ZX) EXT(zx8_64, 8, 64, ZX) EXT(zx16_64, 16, 64, ZX)
EXT(sx8_16, 8, 16, sx8) EXT(sx8_32, 8, 32, sx8) EXT(sx8_64, 8, 64, sx8)
EXT(sx16_32, 16, 32, sx16) EXT(sx16_64, 16, 64, sx16) EXT(sx32_64, 32, 64, sx32)

struct ext { soft_fn r; struct soft_mem3 m; };
#define EXT_TAB(name) { name##_r, SOFT_MEM3(name##_m) }

static soft_fn sel_ext(struct soft_insn *in, struct soft_op *op, bool sign)
{
    static const struct ext zx16 = EXT_TAB(zx8_16), zx8 = EXT_TAB(zx8_64), zxw = EXT_TAB(zx16_64),
        s8_16 = EXT_TAB(sx8_16), s8_32 = EXT_TAB(sx8_32), s8_64 = EXT_TAB(sx8_64),
        s16_32 = EXT_TAB(sx16_32), s16_64 = EXT_TAB(sx16_64), s32_64 = EXT_TAB(sx32_64);
    unsigned from = in->o[1].size, to = in->o[0].size;
    const struct ext *e = NULL;

    op->d = soft_reg(in, 0);
    if (from >= to) {                       /* MOVSXD r32, r/m32; MOVZX r16, r/m16: plain moves */
        const struct forms *f = &movs[soft_szi(to)];
        if (soft_is_mem(in, 1))
            return soft_pick(&f->rm, op);
        op->s = soft_reg(in, 1);
        return f->rr;
    }
    if (!sign)
        e = from == 8 ? (to == 16 ? &zx16 : &zx8) : &zxw;
    else if (from == 8)
        e = to == 16 ? &s8_16 : to == 32 ? &s8_32 : &s8_64;
    else if (from == 16)
        e = to == 32 ? &s16_32 : &s16_64;
    else
        e = &s32_64;
    if (soft_is_mem(in, 1))
        return soft_pick(&e->m, op);
    op->s = soft_reg(in, 1);
    return e->r;
}

SOFT_FN(lea64_base) { R64(op->d) = R64(op->base) + (uint64_t)(int64_t)op->disp; SOFT_NEXT; }
SOFT_FN(lea64) { R64(op->d) = soft_ea_raw(v, op); SOFT_NEXT; }
SOFT_FN(lea32) { R64(op->d) = (uint32_t)soft_ea_raw(v, op); SOFT_NEXT; }
SOFT_FN(lea16) { R16(op->d) = (uint16_t)soft_ea_raw(v, op); SOFT_NEXT; }
/* x: address bits, when narrower than the operand */
SOFT_FN(lea_narrow)
{
    uint64_t a = soft_ea_raw(v, op);

    a = op->x == 16 ? (uint16_t)a : (uint32_t)a;
    if (op->s == 16)
        R16(op->d) = (uint16_t)a;
    else
        R64(op->d) = op->s == 32 ? (uint32_t)a : a;
    SOFT_NEXT;
}

static soft_fn sel_lea(struct soft_insn *in, struct soft_op *op)
{
    op->d = soft_reg(in, 0);
    if (in->abits < in->bits || in->abits == 16) {
        op->x = in->abits;
        op->s = in->bits;
        return lea_narrow;
    }
    if (in->bits == 64)
        return op->index == SOFT_ZERO ? lea64_base : lea64;
    return in->bits == 32 ? lea32 : lea16;
}

#define XCHG(b) \
SOFT_FN(xchg_rr##b) \
{ uint##b##_t x = RD##b(op->d), y = RD##b(op->s); WR##b(op->d, y); WR##b(op->s, x); SOFT_NEXT; }
SIZES(XCHG)

/* CMOVcc: the load happens (and faults) whatever the condition; a 32-bit one always clears the
 * top. */
#define CMOV_CC(cc) \
SOFT_FN(cmov64_##cc) { if (soft_cond(v, 0x##cc)) R64(op->d) = R64(op->s); SOFT_NEXT; } \
SOFT_FN(cmov32_##cc) { R64(op->d) = soft_cond(v, 0x##cc) ? R32(op->s) : R32(op->d); SOFT_NEXT; } \
SOFT_FN(set_r##cc) { R8(op->d) = soft_cond(v, 0x##cc); SOFT_NEXT; }
#define ALL_CC(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(a) F(b) F(c) F(d) F(e) F(f)
ALL_CC(CMOV_CC)
#define CMOV64_TAB(cc) cmov64_##cc,
#define CMOV32_TAB(cc) cmov32_##cc,
#define SET_TAB(cc) set_r##cc,
static const soft_fn cmov64[16] = { ALL_CC(CMOV64_TAB) }, cmov32[16] = { ALL_CC(CMOV32_TAB) },
    set_r[16] = { ALL_CC(SET_TAB) };

SOFT_FN(cmov16) { if (soft_cond(v, op->x)) R16(op->d) = R16(op->s); SOFT_NEXT; }

#define CMOV_M(b) \
SOFT_INLINE bool cmov_m_core##b(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how) \
{ \
    uint##b##_t x; \
    if (!ld##b(v, op, how, soft_ea_how(v, op, how, b / 8, false), &x)) \
        return false; \
    if (!soft_cond(v, op->x)) \
        x = RD##b(op->d); \
    WR##b(op->d, x); \
    return true; \
} \
SOFT_MEMFN(cmov_m##b, cmov_m_core##b(v, op, how))
CMOV_M(16) CMOV_M(32) CMOV_M(64)

SOFT_INLINE bool set_m_core(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how)
{
    return st8(v, op, how, soft_ea_how(v, op, how, 1, true), soft_cond(v, op->x));
}
SOFT_MEMFN(set_m, set_m_core(v, op, how))

static soft_fn sel_cmov(struct soft_insn *in, struct soft_op *op)
{
    static const struct soft_mem3 m16 = SOFT_MEM3(cmov_m16), m32 = SOFT_MEM3(cmov_m32),
        m64 = SOFT_MEM3(cmov_m64);
    unsigned cc = in->i.opcode & 15;

    op->x = (uint8_t)cc;
    op->d = soft_reg(in, 0);
    if (soft_is_mem(in, 1))
        return soft_pick(in->bits == 16 ? &m16 : in->bits == 32 ? &m32 : &m64, op);
    op->s = soft_reg(in, 1);
    return in->bits == 64 ? cmov64[cc] : in->bits == 32 ? cmov32[cc] : cmov16;
}

static soft_fn sel_setcc(struct soft_insn *in, struct soft_op *op)
{
    static const struct soft_mem3 m = SOFT_MEM3(set_m);

    op->x = in->i.opcode & 15;
    if (soft_is_mem(in, 0))
        return soft_pick(&m, op);
    op->d = soft_reg(in, 0);
    return set_r[op->x];
}

SOFT_FN(cbw) { R16(0) = (uint16_t)sx8(R8(0)); SOFT_NEXT; }
SOFT_FN(cwde) { R64(0) = (uint32_t)sx16(R16(0)); SOFT_NEXT; }
SOFT_FN(cdqe) { R64(0) = sx32(R32(0)); SOFT_NEXT; }
SOFT_FN(cwd) { R16(SOFT_G(2)) = (int16_t)R16(0) < 0 ? 0xffff : 0; SOFT_NEXT; }
SOFT_FN(cdq) { R64(SOFT_G(2)) = (int32_t)R32(0) < 0 ? 0xffffffff : 0; SOFT_NEXT; }
SOFT_FN(cqo) { R64(SOFT_G(2)) = (int64_t)R64(0) < 0 ? ~0ull : 0; SOFT_NEXT; }

SOFT_FN(bswap32) { R64(op->d) = __builtin_bswap32(R32(op->d)); SOFT_NEXT; }
SOFT_FN(bswap64) { R64(op->d) = __builtin_bswap64(R64(op->d)); SOFT_NEXT; }

#define MOVBE(b) \
SOFT_FN(movbe_load##b) \
{ WR##b(op->d, __builtin_bswap##b(soft_ld##b(v, op, soft_ea(v, op, b / 8, false)))); SOFT_NEXT; } \
SOFT_FN(movbe_store##b) \
{ soft_st##b(v, op, soft_ea(v, op, b / 8, true), __builtin_bswap##b(RD##b(op->s))); SOFT_NEXT; }
MOVBE(16) MOVBE(32) MOVBE(64)

static soft_fn sel_movbe(struct soft_insn *in, struct soft_op *op)
{
    if (soft_is_mem(in, 0)) {
        op->s = soft_reg(in, 1);
        return in->bits == 16 ? movbe_store16 : in->bits == 32 ? movbe_store32 : movbe_store64;
    }
    op->d = soft_reg(in, 0);
    return in->bits == 16 ? movbe_load16 : in->bits == 32 ? movbe_load32 : movbe_load64;
}

SOFT_FN(nop) { SOFT_NEXT; }
SOFT_FN(pause_) { SOFT_NEXT; }
SOFT_FN(mfence) { atomic_thread_fence(memory_order_seq_cst); SOFT_NEXT; }

SOFT_FN(lahf) { R8(SOFT_G(0) + 1) = (uint8_t)(soft_get_flags(v) | FL_ONE); SOFT_NEXT; }
SOFT_FN(sahf)
{
    uint32_t keep = soft_of(v) ? FL_OF : 0;

    soft_set_flags(v, keep | (R8(SOFT_G(0) + 1) & (FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF)));
    SOFT_NEXT;
}
SOFT_FN(clc) { soft_set_flags(v, soft_get_flags(v) & ~FL_CF); SOFT_NEXT; }
SOFT_FN(stc) { soft_set_flags(v, soft_get_flags(v) | FL_CF); SOFT_NEXT; }
SOFT_FN(cmc) { soft_set_flags(v, soft_get_flags(v) ^ FL_CF); SOFT_NEXT; }
SOFT_FN(cld) { v->rflags &= ~(uint64_t)FL_DF; SOFT_NEXT; }
SOFT_FN(std) { v->rflags |= FL_DF; SOFT_NEXT; }
SOFT_FN(salc) { R8(0) = soft_cf(v) ? 0xff : 0; SOFT_NEXT; }

/* base is (E/R)BX, index zero: AL is added here. */
SOFT_FN(xlat)
{
    uint64_t a = R64(SOFT_G(3)) + R8(0), va;

    if (op->ea == SOFT_EA_PLAIN || op->ea == SOFT_EA_BASED)
        va = a + v->segbase[op->seg];
    else
        va = soft_ea_slow(v, op, a, 1, false);
    R8(0) = soft_ld8(v, op, va);
    SOFT_NEXT;
}

static soft_fn sel_mov(struct soft_insn *in, struct soft_op *op)
{
    const struct forms *f = &movs[soft_szi(in->bits)];

    if (soft_is_mem(in, 0) || soft_is_mem(in, 1)) {
        const ZydisDecodedOperand *m = &in->o[in->mem];
        bool store = in->mem == 0;

        if (m->mem.base == ZYDIS_REGISTER_NONE && m->mem.index == ZYDIS_REGISTER_NONE &&
            in->abits == 64 && m->mem.disp.value != (int32_t)m->mem.disp.value) {
            op->imm = (uint64_t)m->mem.disp.value;
            op->x = (uint8_t)(in->bits / 8 | (store ? 16 : 0));
            return mov_moffs;
        }
        if (store && soft_is_imm(in, 1))
            return soft_pick(&f->mi, op);
        if (store) {
            op->s = soft_reg(in, 1);
            return soft_pick(&f->mr, op);
        }
        op->d = soft_reg(in, 0);
        return soft_pick(&f->rm, op);
    }
    op->d = soft_reg(in, 0);
    if (soft_is_imm(in, 1))
        return f->ri;
    op->s = soft_reg(in, 1);
    return f->rr;
}

static soft_fn sel_xchg_rr(struct soft_insn *in, struct soft_op *op)
{
    static const soft_fn x[4] = { xchg_rr8, xchg_rr16, xchg_rr32, xchg_rr64 };

    op->d = soft_reg(in, 0);
    op->s = soft_reg(in, 1);
    return x[soft_szi(in->bits)];
}

/* F3 90 with REX.B is not PAUSE but XCHG of R8 and RAX, whatever Zydis calls it. */
static soft_fn sel_pause(struct soft_insn *in, struct soft_op *op)
{
    if (!in->i.raw.rex.B)
        return pause_;
    op->d = SOFT_G(8);
    op->s = SOFT_G(0);
    return in->i.raw.rex.W ? xchg_rr64 : in->bits == 16 ? xchg_rr16 : xchg_rr32;
}

soft_fn soft_sel_move(struct soft_insn *in, struct soft_op *op)
{
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_MOV: return sel_mov(in, op);
    case ZYDIS_MNEMONIC_MOVNTI:
        op->s = soft_reg(in, 1);
        return soft_pick(&movs[soft_szi(in->bits)].mr, op);
    case ZYDIS_MNEMONIC_MOVZX: return sel_ext(in, op, false);
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD: return sel_ext(in, op, true);
    case ZYDIS_MNEMONIC_LEA: return sel_lea(in, op);
    case ZYDIS_MNEMONIC_XCHG: return sel_xchg_rr(in, op);
    case ZYDIS_MNEMONIC_MOVBE: return sel_movbe(in, op);
    case ZYDIS_MNEMONIC_BSWAP:
        op->d = soft_reg(in, 0);
        return in->bits == 64 ? bswap64 : bswap32;
    case ZYDIS_MNEMONIC_CBW: return cbw;
    case ZYDIS_MNEMONIC_CWDE: return cwde;
    case ZYDIS_MNEMONIC_CDQE: return cdqe;
    case ZYDIS_MNEMONIC_CWD: return cwd;
    case ZYDIS_MNEMONIC_CDQ: return cdq;
    case ZYDIS_MNEMONIC_CQO: return cqo;
    case ZYDIS_MNEMONIC_LAHF: return lahf;
    case ZYDIS_MNEMONIC_SAHF: return sahf;
    case ZYDIS_MNEMONIC_CLC: return clc;
    case ZYDIS_MNEMONIC_STC: return stc;
    case ZYDIS_MNEMONIC_CMC: return cmc;
    case ZYDIS_MNEMONIC_CLD: return cld;
    case ZYDIS_MNEMONIC_STD: return std;
    case ZYDIS_MNEMONIC_SALC: return salc;
    case ZYDIS_MNEMONIC_XLAT: return xlat;
    case ZYDIS_MNEMONIC_PAUSE: return sel_pause(in, op);
    case ZYDIS_MNEMONIC_MFENCE: return mfence;
    default: break;
    }
    if (in->i.meta.category == ZYDIS_CATEGORY_CMOV)
        return sel_cmov(in, op);
    if (in->i.meta.category == ZYDIS_CATEGORY_SETCC)
        return sel_setcc(in, op);
    return nop;
}
