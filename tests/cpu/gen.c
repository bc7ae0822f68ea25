/* SPDX-License-Identifier: MIT */
/* Random cases: instruction bytes of a form, and a machine state that lets them do something. */
#include "tests/cpu/cpudiff.h"

#include <string.h>

#define DATA_SLACK 64

/* xoroshiro128+ (Blackman and Vigna, public domain algorithm) */
uint64_t rnd(struct rng *r)
{
    uint64_t a = r->s[0], b = r->s[1], sum = a + b;

    b ^= a;
    r->s[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
    r->s[1] = b << 37 | b >> 27;
    return sum;
}

void rng_seed(struct rng *r, uint64_t seed)
{
    r->s[0] = seed * 0x9e3779b97f4a7c15ull + 1;
    r->s[1] = ~seed * 0xbf58476d1ce4e5b9ull;
    for (int i = 0; i < 16; i++)
        rnd(r);
}

static bool one_in(struct rng *r, uint32_t n)
{
    return rnd_below(r, n) == 0;
}

#define PICK(r, a) ((a)[rnd_below(r, sizeof(a) / sizeof((a)[0]))])

/* Integers at which carries, signs and sizes turn over. */
static uint64_t edge(struct rng *r)
{
    static const uint64_t values[] = {
        0, 1, 2, 3, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff,
        0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000,
        0xfffffffffffffffe, 0xffffffffffffffff, 0xffffffff80000000, 0xffffffffffff8000, 31, 32,
        33, 63, 64, 65,
    };
    return PICK(r, values);
}

static uint64_t integer(struct rng *r)
{
    switch (rnd_below(r, 8)) {
    case 0: case 1: return edge(r);
    case 2: return rnd(r) & 0xff;
    case 3: return (uint64_t)(int64_t)(int8_t)rnd(r);
    case 4: return (uint32_t)rnd(r);
    case 5: return (uint64_t)(int64_t)(int32_t)rnd(r);
    default: return rnd(r);
    }
}

static uint64_t float64(struct rng *r)
{
    static const uint64_t values[] = {
        0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000,
        0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, 0x0000000000000001,
        0x000fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff, 0x41dfffffffc00000,
        0xc1e0000000000000, 0x43e0000000000000, 0xc3e0000000000000, 0x3fe0000000000000,
        0x4330000000000000, 0x3ff8000000000000, 0x36a0000000000000, 0x47efffffe0000000,
    };
    switch (rnd_below(r, 4)) {
    case 0: return PICK(r, values);
    case 1: return (rnd(r) & 0x800fffffffffffff) | (uint64_t)(1023 - 40 + rnd_below(r, 80)) << 52;
    case 2: return (rnd(r) & 0x8000000000000000) |
                   (uint64_t)(1023 + rnd_below(r, 16)) << 52 | (rnd(r) & 0xff) << 44;
    default: return rnd(r);
    }
}

static uint32_t float32(struct rng *r)
{
    static const uint32_t values[] = {
        0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 1,
        0x007fffff, 0x00800000, 0x7f7fffff, 0x4effffff, 0x4f000000, 0xcf000000, 0x5f000000,
        0x3f000000,
    };
    switch (rnd_below(r, 4)) {
    case 0: return PICK(r, values);
    case 1: return (uint32_t)(rnd(r) & 0x807fffff) | (127 - 20 + rnd_below(r, 40)) << 23;
    default: return (uint32_t)rnd(r);
    }
}

static uint64_t float32x2(struct rng *r)
{
    uint64_t low = float32(r);
    return low | (uint64_t)float32(r) << 32;
}

static void float80(struct rng *r, uint8_t *p)
{
    static const uint16_t exponents[] = {
        0, 1, 0x3ffe, 0x3fff, 0x4000, 0x403e, 0x403f, 0x7ffe, 0x7fff,
    };
    static const uint64_t mantissas[] = {
        0, 1, 0x8000000000000000, 0x8000000000000001, 0xc000000000000000, 0xffffffffffffffff,
        0x7fffffffffffffff, 0x4000000000000000,
    };
    uint16_t se = one_in(r, 2) ? PICK(r, exponents) : (uint16_t)(0x3fff - 40 + rnd_below(r, 80));
    uint64_t m = one_in(r, 3) ? PICK(r, mantissas) : rnd(r) | 1ull << 63;

    if (one_in(r, 12))
        se = (uint16_t)rnd(r);
    if (one_in(r, 2))
        se |= 0x8000;
    memcpy(p, &m, 8);
    memcpy(p + 8, &se, 2);
}

void gen_pool(struct rng *r, uint8_t *pool)
{
    for (size_t i = 0; i < POOL_SIZE; i += 16) {
        uint64_t q[2] = { 0, 0 };
        for (int k = 0; k < 2; k++)
            switch (rnd_below(r, 4)) {
            case 0: q[k] = integer(r); break;
            case 1: q[k] = float64(r); break;
            case 2: q[k] = float32x2(r); break;
            default: q[k] = rnd(r);
            }
        memcpy(pool + i, q, 16);
        if (one_in(r, 4))
            float80(r, pool + i);
        if (one_in(r, 16))                       /* packed BCD */
            for (int k = 0; k < 9; k++)
                pool[i + (size_t)k] = (uint8_t)(rnd_below(r, 10) << 4 | rnd_below(r, 10));
    }
}

/* ---------------------------------------------------------------- state */

static void put16(uint8_t *p, uint32_t x)
{
    uint16_t v = (uint16_t)x;
    memcpy(p, &v, 2);
}

static void gen_fx(struct rng *r, uint8_t *fx)
{
    uint16_t fcw = 0x37f, fsw = (uint16_t)(rnd_below(r, 8) << 11);
    uint32_t mxcsr = 0x1f80;

    memset(fx, 0, 512);
    if (one_in(r, 3))
        fcw = (uint16_t)(0x40 | (rnd(r) & 0xf00) | (one_in(r, 2) ? 0x3f : rnd(r) & 0x3f));
    if (one_in(r, 6))                            /* sticky flags; sometimes one is pending */
        fsw |= (uint16_t)(rnd(r) & (one_in(r, 2) ? 0x477f & ~(uint32_t)~fcw : 0x477f));
    if (fsw & ~fcw & 0x3f)
        fsw |= 0x8080;
    put16(fx, fcw);
    put16(fx + 2, fsw);
    fx[4] = one_in(r, 4) ? 0 : one_in(r, 2) ? 0xff : (uint8_t)rnd(r);
    if (one_in(r, 3))
        mxcsr = one_in(r, 2) ? (uint32_t)rnd(r) & 0xffff : ((uint32_t)rnd(r) & 0xe040) | 0x1f80;
    memcpy(fx + 24, &mxcsr, 4);
    put16(fx + 28, 0xffff);
    for (unsigned i = 0; i < 8; i++)
        float80(r, fx + 32 + 16 * i);
    for (unsigned i = 0; i < 16; i++)
        for (unsigned k = 0; k < 2; k++) {
            uint64_t q = i % 3 == 0 ? float64(r) : i % 3 == 1 ? float32x2(r) : integer(r);
            if (one_in(r, 8))
                q = rnd(r);
            memcpy(fx + 160 + 16 * i + 8 * k, &q, 8);
        }
}

static void gen_state(struct rng *r, struct cpu_case *c)
{
    struct cpu_state *s = &c->in;

    for (int i = 0; i < 16; i++)
        s->gpr[i] = integer(r);
    s->gpr[ENGINE_RSP] = DATA_VA + 0x800 + (rnd_below(r, 0x1000) & (one_in(r, 8) ? ~0u : ~7u));
    s->rflags = 0x202 | (rnd(r) & 0x8d5);
    if (one_in(r, 4))
        s->rflags |= 0x400;                      /* DF */
    if (one_in(r, 32))
        s->rflags |= 0x40000;                    /* AC */
    if (one_in(r, 8))
        s->rflags |= 0x200000;                   /* ID */
    if (one_in(r, 2))                            /* counts that end */
        s->gpr[ENGINE_RCX] = rnd_below(r, 40);
    if (one_in(r, 2))                            /* divisions that fit */
        s->gpr[ENGINE_RDX] = one_in(r, 2) ? 0 : (uint64_t)((int64_t)s->gpr[ENGINE_RAX] >> 63);
    if (!c->compat)
        s->fs_base = one_in(r, 2) ? 0 : DATA_VA + (rnd_below(r, 0x1000) & ~15u);
    s->gs_base = one_in(r, 2) ? 0 : DATA_VA + (rnd_below(r, 0x1000) & ~15u);
    if (c->compat)
        s->fs_base = s->gs_base;
    s->sel[ENGINE_CS] = c->compat ? 0x23 : 0x33;
    s->sel[ENGINE_SS] = 0x2b;
    if (c->compat)
        s->sel[ENGINE_DS] = s->sel[ENGINE_ES] = s->sel[ENGINE_FS] = s->sel[ENGINE_GS] = 0x2b;
    gen_fx(r, s->fx);
    c->step = one_in(r, 5);
    if (c->step)
        s->rflags |= 0x100;
}

/* ---------------------------------------------------------------- memory operands */

/* An address worth accessing: mostly all in the read-write pages, at all alignments. */
static uint64_t target(struct rng *r, unsigned size)
{
    uint32_t room = DATA_RW - DATA_SLACK - 512;

    switch (rnd_below(r, 32)) {
    case 0: return DATA_VA + 0x1000 - rnd_below(r, size + 1);            /* page crossing */
    case 1: return DATA_VA + DATA_RW - rnd_below(r, size + 1);           /* into read-only */
    case 2: return DATA_VA + DATA_SIZE - rnd_below(r, size + 1);         /* into nothing */
    case 3: return DATA_VA - rnd_below(r, size + 1);
    case 4: return one_in(r, 4) ? rnd(r) : DATA_VA + DATA_RW + (rnd_below(r, 0x1000) & ~15u);
    case 5: case 6: case 7: case 8: case 9: case 10:
        return DATA_VA + DATA_SLACK + rnd_below(r, room);
    case 11: case 12: case 13: case 14: case 15:
        return DATA_VA + DATA_SLACK + (rnd_below(r, room) & ~7u);
    default:
        return DATA_VA + DATA_SLACK + (rnd_below(r, room) & ~15u);
    }
}

/* Number of the integer register, or -1. */
static int gpr_of(ZydisRegister reg)
{
    ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

    if (full < ZYDIS_REGISTER_RAX || full > ZYDIS_REGISTER_R15)
        return -1;
    return ZydisRegisterGetId(full);
}

static uint64_t seg_base(const struct cpu_case *c, ZydisRegister seg)
{
    return seg == ZYDIS_REGISTER_FS ? c->in.fs_base : seg == ZYDIS_REGISTER_GS ? c->in.gs_base : 0;
}

/* Makes base + index * scale + disp come to `t` by choosing the base (or index) register. */
static void aim(struct rng *r, struct cpu_case *c, const ZydisDecodedOperandMem *m, uint64_t t,
                uint32_t *fixed)
{
    int base = gpr_of(m->base), index = gpr_of(m->index);
    uint64_t scale = index >= 0 ? m->scale ? m->scale : 1 : 0;

    t -= seg_base(c, m->segment) + (m->disp.has_displacement ? (uint64_t)m->disp.value : 0);
    if (index >= 0 && index != base && base >= 0 && !(*fixed & 1u << index)) {
        if (one_in(r, 2))
            c->in.gpr[index] = rnd_below(r, 64);
        *fixed |= 1u << index;
    }
    if (m->index == ZYDIS_REGISTER_AL)           /* XLAT */
        t -= c->in.gpr[ENGINE_RAX] & 0xff;
    else if (base >= 0 && index >= 0 && index != base)
        t -= c->in.gpr[index] * scale;
    else if (base >= 0 && index == base)
        t /= 1 + scale;
    if (base >= 0 && !(*fixed & 1u << base)) {
        c->in.gpr[base] = t;
        *fixed |= 1u << base;
    } else if (base < 0 && index >= 0 && !(*fixed & 1u << index)) {
        c->in.gpr[index] = t / scale;
        *fixed |= 1u << index;
    }
}

/* Absolute and RIP-relative operands are aimed by changing the displacement in the bytes. */
static void aim_disp(struct cpu_case *c, const ZydisDecodedInstruction *i, uint64_t t)
{
    uint64_t d = t;
    unsigned bytes = i->raw.disp.size / 8;

    if ((i->attributes & ZYDIS_ATTRIB_IS_RELATIVE) && bytes == 4)
        d = t - (CODE_VA + c->code_off + i->length);
    if (bytes >= 4)
        memcpy(c->code + i->raw.disp.offset, &d, bytes);
}

/* Selectors that Linux's descriptor table answers the same on every machine. */
static uint16_t selector(struct rng *r)
{
    static const uint16_t values[] = {
        0, 3, 0x2b, 0x2b, 0x2b, 0x33, 0x23, 0x28, 0x10, 0x18, 0x2c, 0xfff8,
    };
    return PICK(r, values);
}

/* Somewhere to jump to: mostly the code pages, which are full of INT3. */
static uint64_t code_target(struct rng *r)
{
    return one_in(r, 8) ? integer(r) : CODE_VA + rnd_below(r, CODE_SIZE);
}

static void patch(struct cpu_case *c, uint64_t value, unsigned bytes)
{
    memcpy(c->patch + c->patch_len, &value, bytes);
    c->patch_len = (uint8_t)(c->patch_len + bytes);
}

/* What an interrupt return finds on the stack. */
static void patch_iret(struct rng *r, struct cpu_case *c, unsigned bytes)
{
    patch(c, code_target(r), bytes);
    patch(c, one_in(r, 8) ? selector(r) : one_in(r, 4) ? 0x23 : c->in.sel[ENGINE_CS], bytes);
    patch(c, (rnd(r) & 0x240cd5) | 0x202, bytes);
    if (c->compat)                               /* same privilege: nothing more is popped */
        return;
    patch(c, DATA_VA + (rnd_below(r, 0x1800) & ~7u), bytes);
    patch(c, one_in(r, 8) ? selector(r) : 0x2b, bytes);
}

/* Memory contents without which an instruction would only ever fault. Returns false if the
 * instruction needs none. */
static bool patch_operand(struct rng *r, struct cpu_case *c, const ZydisDecodedInstruction *i)
{
    static const uint32_t mxcsrs[] = { 0x1f80, 0x9fc0, 0, 0xffff, 0x10000, 0x1fbf, 0x7f80 };
    unsigned bytes = i->operand_width / 8;
    bool far = i->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;

    switch (i->mnemonic) {
    case ZYDIS_MNEMONIC_FXRSTOR: case ZYDIS_MNEMONIC_FXRSTOR64:
        c->patch_off = 24;
        patch(c, PICK(r, mxcsrs), 4);
        return true;
    case ZYDIS_MNEMONIC_LDMXCSR:
        patch(c, PICK(r, mxcsrs), 4);
        return true;
    case ZYDIS_MNEMONIC_LDS: case ZYDIS_MNEMONIC_LES: case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS: case ZYDIS_MNEMONIC_LSS:
        c->patch_off = bytes;
        patch(c, selector(r), 2);
        return true;
    case ZYDIS_MNEMONIC_LAR: case ZYDIS_MNEMONIC_LSL: case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
        patch(c, selector(r), 2);
        return true;
    case ZYDIS_MNEMONIC_JMP: case ZYDIS_MNEMONIC_CALL: case ZYDIS_MNEMONIC_RET:
        patch(c, code_target(r), bytes);
        if (far)
            patch(c, one_in(r, 4) ? selector(r) : one_in(r, 4) ? 0x23 : c->in.sel[ENGINE_CS],
                  i->mnemonic == ZYDIS_MNEMONIC_RET ? bytes : 2);
        return true;
    case ZYDIS_MNEMONIC_IRET: case ZYDIS_MNEMONIC_IRETD: case ZYDIS_MNEMONIC_IRETQ:
        patch_iret(r, c, bytes);
        return true;
    case ZYDIS_MNEMONIC_POPF: case ZYDIS_MNEMONIC_POPFD: case ZYDIS_MNEMONIC_POPFQ:
        patch(c, rnd(r) & 0x247ed5, bytes);
        return true;
    default:
        return false;
    }
}

/* Address of a memory operand; what patch_operand() made goes to its place. */
static uint64_t place(struct rng *r, struct cpu_case *c, unsigned size)
{
    uint64_t t = target(r, size);

    if (!c->patch_len)
        return t;
    if (one_in(r, 8)) {
        c->patch_len = 0;
        return t;
    }
    t = DATA_VA + (rnd_below(r, 0x1800) & (one_in(r, 8) ? ~0u : ~15u));
    c->patch_off += (uint32_t)(t - DATA_VA);
    return t;
}

static void aim_operands(struct rng *r, struct cpu_case *c, const ZydisDecodedInstruction *i,
                         const ZydisDecodedOperand *ops)
{
    uint32_t fixed = 0;
    bool patched = patch_operand(r, c, i);

    if (patched && (i->meta.category == ZYDIS_CATEGORY_RET ||
                    i->meta.category == ZYDIS_CATEGORY_POP)) {
        c->in.gpr[ENGINE_RSP] = place(r, c, i->operand_width / 8);
        /* Intel's CPUs raise #AC within an IRET that pops AC from a misaligned stack, with the old
         * flags: Linux takes it for a split lock and lets the program try again for ever. */
        if (i->opcode == 0xcf && host_is_intel()) {
            c->in.gpr[ENGINE_RSP] &= ~7ull;
            c->patch_off &= ~7u;
        }
        return;
    }
    for (unsigned n = 0; n < i->operand_count; n++) {
        const ZydisDecodedOperandMem *m = &ops[n].mem;
        if (ops[n].type != ZYDIS_OPERAND_TYPE_MEMORY || m->type == ZYDIS_MEMOP_TYPE_AGEN)
            continue;
        uint64_t t = place(r, c, ops[n].size / 8);
        bool rip = m->base == ZYDIS_REGISTER_RIP || m->base == ZYDIS_REGISTER_EIP;
        if (rip || (m->base == ZYDIS_REGISTER_NONE && m->index == ZYDIS_REGISTER_NONE))
            aim_disp(c, i, rip ? t : t - seg_base(c, m->segment));
        else
            aim(r, c, m, t, &fixed);
        /* A bit number in a register reaches far: keep most near. */
        if (i->meta.category == ZYDIS_CATEGORY_BITBYTE && n == 0 && !one_in(r, 8) &&
            ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
            int b = gpr_of(ops[1].reg.value);
            if (b >= 0 && !(fixed & 1u << b))
                c->in.gpr[b] = (uint64_t)(int64_t)((int32_t)rnd_below(r, 1024) - 512);
        }
    }
}

/* ---------------------------------------------------------------- particular instructions */

static void adjust(struct rng *r, struct cpu_case *c, const ZydisDecodedInstruction *i,
                   const ZydisDecodedOperand *ops)
{
    if (i->mnemonic == ZYDIS_MNEMONIC_MOV && ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
        ZydisRegisterGetClass(ops[0].reg.value) == ZYDIS_REGCLASS_SEGMENT) {
        if (ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER) {
            int g = gpr_of(ops[1].reg.value);
            c->in.gpr[g] = (c->in.gpr[g] & ~0xffffull) | selector(r);
        }
        c->step = false;           /* MOV SS holds the trap off for one instruction */
    }
    if (i->meta.isa_set == ZYDIS_ISA_SET_I286PROTECTED && i->raw.modrm.mod == 3) {
        const ZydisDecodedOperand *o = &ops[i->operand_count_visible - 1];
        int g = gpr_of(o->reg.value);
        if (g >= 0)                /* LAR, LSL, VERR, VERW */
            c->in.gpr[g] = (c->in.gpr[g] & ~0xffffull) | selector(r);
    }
    if (i->mnemonic == ZYDIS_MNEMONIC_POP && ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
        ZydisRegisterGetClass(ops[0].reg.value) == ZYDIS_REGCLASS_SEGMENT)
        c->step = false;
    if (i->mnemonic == ZYDIS_MNEMONIC_LSS)
        c->step = false;
    if (i->mnemonic == ZYDIS_MNEMONIC_ENTER && !one_in(r, 4)) {      /* frames that fit */
        c->code[i->raw.imm[0].offset] = (uint8_t)rnd(r);
        c->code[i->raw.imm[0].offset + 1] = 0;
        c->in.gpr[ENGINE_RBP] = DATA_VA + 0x200 + (rnd_below(r, 0x1000) & ~7u);
    }
    if (i->meta.category == ZYDIS_CATEGORY_UNCOND_BR || i->meta.category == ZYDIS_CATEGORY_CALL) {
        int g = ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? gpr_of(ops[0].reg.value) : -1;
        if (g >= 0 && g != ENGINE_RSP)
            c->in.gpr[g] = code_target(r);
    }
    /* Which of its bytes a masked move checks for alignment is the CPU's choice. */
    if (i->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || i->mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU)
        c->in.rflags &= ~0x40000ull;
    if (!c->step)
        c->in.rflags &= ~0x100ull;
}

/* ---------------------------------------------------------------- bytes */

static uint8_t imm_byte(struct rng *r)
{
    static const uint8_t values[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 7, 8, 15, 16, 31, 32, 63, 64 };
    return one_in(r, 2) ? PICK(r, values) : (uint8_t)rnd(r);
}

/* ModRM, SIB, and random bytes up to the longest instruction. */
static unsigned make_tail(struct rng *r, const struct form *f, uint8_t *b, unsigned n)
{
    if (f->has_modrm) {
        unsigned mod = f->mem ? rnd_below(r, 3) : 3;
        unsigned reg = f->reg >= 0 ? (unsigned)f->reg : rnd_below(r, 8);
        unsigned rm = f->rm >= 0 ? (unsigned)f->rm : rnd_below(r, 8);
        b[n++] = (uint8_t)(mod << 6 | reg << 3 | rm);
        if (f->mem && rm == 4)
            b[n++] = (uint8_t)rnd(r);            /* SIB */
    }
    unsigned tail = n;
    while (n < 15)
        b[n++] = (uint8_t)rnd(r);
    if (one_in(r, 2))
        b[tail] = imm_byte(r);
    return n;
}

static unsigned make_vex(struct rng *r, const struct form *f, uint8_t *b)
{
    static const uint8_t seg[] = { 0x64, 0x65, 0x67 };
    unsigned n = 0, vvvv = f->compat ? 8 + rnd_below(r, 8) : rnd_below(r, 16);

    if (one_in(r, 8))
        b[n++] = PICK(r, seg);
    b[n++] = 0xc4;
    b[n++] = (uint8_t)((f->compat ? 7 : rnd_below(r, 8)) << 5 |
                       (f->map == ZYDIS_OPCODE_MAP_0F38 ? 2 : 3));
    if (f->mnemonic == ZYDIS_MNEMONIC_RORX)
        vvvv = 15;
    b[n++] = (uint8_t)(f->rexw << 7 | vvvv << 3 | f->pfx[0]);
    b[n++] = f->opcode;
    return make_tail(r, f, b, n);
}

static unsigned make_bytes(struct rng *r, const struct form *f, uint8_t *b, bool extras)
{
    static const uint8_t seg[] = { 0x64, 0x65, 0x65, 0x64, 0x26, 0x2e, 0x36, 0x3e };
    unsigned n = 0;
    uint8_t rex = f->rexw ? 0x48 : 0;

    if (f->vex)
        return make_vex(r, f, b);

    if (extras && one_in(r, 12))
        b[n++] = PICK(r, seg);
    if (extras && one_in(r, 12))
        b[n++] = 0x67;
    if (extras && one_in(r, f->mem ? 8 : 64))
        b[n++] = 0xf0;
    if (extras && f->nr_pfx == 0 && one_in(r, 6))
        b[n++] = one_in(r, 2) ? 0xf3 : 0xf2;
    for (unsigned i = 0; i < f->nr_pfx; i++)
        b[n++] = f->pfx[i];
    if (!f->compat && one_in(r, 2))
        rex |= 0x40 | (rnd(r) & 7);
    if (rex)
        b[n++] = rex;
    if (f->map != ZYDIS_OPCODE_MAP_DEFAULT)
        b[n++] = 0x0f;
    if (f->map == ZYDIS_OPCODE_MAP_0F38)
        b[n++] = 0x38;
    if (f->map == ZYDIS_OPCODE_MAP_0F3A)
        b[n++] = 0x3a;
    b[n++] = f->opcode;
    return make_tail(r, f, b, n);
}

/* The immediate is often an edge value of its own size. */
static void make_imm(struct rng *r, struct cpu_case *c, const ZydisDecodedInstruction *i)
{
    for (unsigned k = 0; k < 2; k++) {
        unsigned bytes = i->raw.imm[k].size / 8;
        uint64_t x = integer(r);
        if (bytes == 1)
            x = imm_byte(r);
        if (bytes && one_in(r, 2))
            memcpy(c->code + i->raw.imm[k].offset, &x, bytes);
    }
}

static bool finish(struct rng *r, struct cpu_case *c, const ZydisDecoder *d)
{
    ZydisDecodedInstruction i;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, c->code, 15, &i, ops)))
        return false;
    c->len = i.length;
    c->code_off = 0x800 + rnd_below(r, 16);
    /* Across a page, or into nothing. AMD's UD1 has no ModRM, so its end is open. */
    if (one_in(r, 32) && i.mnemonic != ZYDIS_MNEMONIC_UD1 && i.mnemonic != ZYDIS_MNEMONIC_UD0)
        c->code_off = (one_in(r, 2) ? 0x1000 : CODE_SIZE) - rnd_below(r, i.length + 1u);
    if (c->code_off >= CODE_SIZE)
        c->code_off = 0x800;
    c->in.rip = CODE_VA + c->code_off;
    c->mem_off = rnd_below(r, (POOL_SIZE - DATA_SIZE) / 64) * 64;
    aim_operands(r, c, &i, ops);
    adjust(r, c, &i, ops);
    return true;
}

bool gen_case(struct rng *r, uint32_t form, struct cpu_case *c)
{
    static ZydisDecoder dec[2];
    static bool ready;
    struct form *f = &forms.f[form];
    ZydisDecodedInstruction i;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

    if (!ready) {
        cpu_decoder(&dec[0], false);
        cpu_decoder(&dec[1], true);
        ready = true;
    }
    memset(c, 0, sizeof(*c));
    c->compat = f->compat;
    c->form = form;
    for (unsigned tries = 0; tries < 20; tries++) {
        make_bytes(r, f, c->code, tries < 3);
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec[f->compat], c->code, 15, &i, ops)) ||
            form_sig(&i, ops) != f->sig || i.opcode != f->opcode)
            continue;
        make_imm(r, c, &i);
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec[f->compat], c->code, 15, &i, ops)))
            continue;
        f->why = excluded_insn(&i, ops);
        if (f->why)
            continue;
        gen_state(r, c);
        return finish(r, c, &dec[f->compat]);
    }
    return false;
}

/* ---------------------------------------------------------------- sequences */

/* Flags carried from one instruction to the next, x87, MMX and SSE state in turn, fused pairs: what
 * no single instruction shows. Only AF may become undefined, so nothing here may read it. */
bool gen_sequential(const struct form *f)
{
    static const ZydisMnemonic not_these[] = {
        ZYDIS_MNEMONIC_LAHF, ZYDIS_MNEMONIC_PUSHF, ZYDIS_MNEMONIC_PUSHFD, ZYDIS_MNEMONIC_PUSHFQ,
        ZYDIS_MNEMONIC_DAA, ZYDIS_MNEMONIC_DAS, ZYDIS_MNEMONIC_AAA, ZYDIS_MNEMONIC_AAS,
        ZYDIS_MNEMONIC_POPF, ZYDIS_MNEMONIC_POPFD, ZYDIS_MNEMONIC_POPFQ, ZYDIS_MNEMONIC_INT,
        ZYDIS_MNEMONIC_BSWAP, ZYDIS_MNEMONIC_ENTER, ZYDIS_MNEMONIC_FXSAVE, ZYDIS_MNEMONIC_FXSAVE64,
        ZYDIS_MNEMONIC_DPPS, ZYDIS_MNEMONIC_DPPD,
        /* ... and what undefined.c knows to compare only when it is alone. */
        ZYDIS_MNEMONIC_FXRSTOR, ZYDIS_MNEMONIC_FXRSTOR64, ZYDIS_MNEMONIC_FNSAVE,
        ZYDIS_MNEMONIC_FRSTOR, ZYDIS_MNEMONIC_FNSTENV, ZYDIS_MNEMONIC_FLDENV,
        ZYDIS_MNEMONIC_MASKMOVQ, ZYDIS_MNEMONIC_MASKMOVDQU, ZYDIS_MNEMONIC_PUSHA,
        ZYDIS_MNEMONIC_PUSHAD, ZYDIS_MNEMONIC_POPA, ZYDIS_MNEMONIC_POPAD,
    };
    const uint32_t af = 0x10;

    for (size_t k = 0; k < sizeof(not_these) / sizeof(not_these[0]); k++)
        if (not_these[k] == f->mnemonic)
            return false;
    if (host_is_intel() && !intel_sequential(f))
        return false;
    return !f->redundant && !f->system && !(may_be_undefined(f->mnemonic) & ~af);
}

/* A branch ends the sequence: what it would jump into is anybody's guess. Short ones go on, into
 * the INT3s behind. */
static bool append_branch(uint8_t *b, const ZydisDecodedInstruction *i, struct cpu_case *c)
{
    if (i->raw.imm[0].is_relative && i->raw.imm[0].size == 8)
        b[i->raw.imm[0].offset] &= 0x3f;
    memcpy(c->code + c->len, b, i->length);
    c->len = (uint8_t)(c->len + i->length);
    c->branches = true;
    return true;
}

/* One instruction at c->code + c->len: plain prefixes, and addresses that are registers. */
static bool append(struct rng *r, const struct form *f, const ZydisDecoder *d, struct cpu_case *c)
{
    uint8_t b[16] = { 0 };
    ZydisDecodedInstruction i;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

    for (unsigned tries = 0; tries < 30; tries++) {
        make_bytes(r, f, b, false);
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, b, 15, &i, ops)) ||
            form_sig(&i, ops) != f->sig || i.opcode != f->opcode || excluded_insn(&i, ops))
            continue;
        if (f->mem && (i.raw.modrm.rm == 4 || i.raw.modrm.mod != 1) && tries < 25)
            continue;
        if (i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
            return append_branch(b, &i, c);
        memcpy(c->code + c->len, b, i.length);
        c->len = (uint8_t)(c->len + i.length);
        c->undefined |= may_be_undefined(i.mnemonic);
        return true;
    }
    return false;
}

bool gen_sequence(struct rng *r, const uint32_t *of, size_t nr, struct cpu_case *c)
{
    ZydisDecoder d;
    unsigned want = 2 + rnd_below(r, 5);

    memset(c, 0, sizeof(*c));
    c->sequence = true;
    c->form = UINT32_MAX;
    c->compat = forms.f[of[0]].compat;
    cpu_decoder(&d, c->compat);
    gen_state(r, c);
    c->step = false;
    c->in.rflags &= ~0x40100ull;
    for (unsigned k = 0; k < want && !c->branches; k++)
        append(r, &forms.f[of[rnd_below(r, (uint32_t)nr)]], &d, c);
    for (unsigned k = 0; k < 16; k++)
        if (k != ENGINE_RSP && one_in(r, 2))
            c->in.gpr[k] = DATA_VA + 0x200 + (rnd_below(r, 0x1800) & ~15u);
    c->code_off = 0x800;
    c->in.rip = CODE_VA + c->code_off;
    c->mem_off = rnd_below(r, (POOL_SIZE - DATA_SIZE) / 64) * 64;
    return c->len > 0;
}

bool gen_unknown(struct rng *r, bool vex, struct cpu_case *c)
{
    static const uint8_t vex_bytes[] = { 0xc4, 0xc5, 0x62, 0x8f };
    ZydisDecoder d;
    ZydisDecodedInstruction i;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

    memset(c, 0, sizeof(*c));
    c->compat = one_in(r, 2);
    c->form = UINT32_MAX;
    cpu_decoder(&d, c->compat);
    for (unsigned tries = 0; tries < 200; tries++) {
        for (unsigned k = 0; k < 15; k++)
            c->code[k] = (uint8_t)rnd(r);
        c->code[0] = vex ? PICK(r, vex_bytes) : one_in(r, 2) ? 0x0f : c->code[0];
        ZyanStatus st = ZydisDecoderDecodeFull(&d, c->code, 15, &i, ops);
        if (vex && (!ZYAN_SUCCESS(st) || i.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
                    isa_offer(i.meta.isa_set, false) == OFFER_YES))
            continue;
        if (!vex && ZYAN_SUCCESS(st))
            continue;
        gen_state(r, c);
        c->in.rflags &= ~0x100ull;
        c->step = false;
        c->len = 15;
        c->code_off = 0x800;
        c->in.rip = CODE_VA + c->code_off;
        return true;
    }
    return false;
}

bool gen_bytes(struct rng *r, const uint8_t *bytes, unsigned len, bool compat, struct cpu_case *c)
{
    ZydisDecoder d;

    cpu_decoder(&d, compat);
    memset(c, 0, sizeof(*c));
    c->compat = compat;
    c->form = UINT32_MAX;
    memcpy(c->code, bytes, len);
    gen_state(r, c);
    return finish(r, c, &d);
}
