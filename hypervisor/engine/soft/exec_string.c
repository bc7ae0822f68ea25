/* SPDX-License-Identifier: MIT */
/*
 * MOVS STOS LODS CMPS SCAS, with REP in bulk: as much at a time as lies within one page of source
 * and destination, by memcpy or a fill when both are plain RAM. Registers are brought up to date
 * after each piece, so a fault or a kick in between leaves a state to restart from.
 */
#include <string.h>

#include "hypervisor/engine/soft/exec.h"

enum { MOVS, STOS, LODS, CMPS, SCAS };
enum { REP_NO, REP_E, REP_NE };

/* op: d = kind, s = REP_*, x = element bytes, scale = address bits / 16, seg = source segment */
struct str {
    uint64_t mask;
    unsigned size;
    int64_t step;
    uint64_t si, di, cx;
    enum engine_sreg sseg;
};

static void str_begin(struct soft_vcpu *v, const struct soft_op *op, struct str *s)
{
    s->mask = op->scale == 4 ? ~0ull : op->scale == 2 ? 0xffffffff : 0xffff;
    s->size = op->x;
    s->step = v->rflags & FL_DF ? -(int64_t)op->x : (int64_t)op->x;
    s->si = v->gpr[ENGINE_RSI] & s->mask;
    s->di = v->gpr[ENGINE_RDI] & s->mask;
    s->cx = v->gpr[ENGINE_RCX] & s->mask;
    s->sseg = op->seg == SOFT_SEG_NONE ? ENGINE_DS : (enum engine_sreg)op->seg;
}

static void set_masked(struct soft_vcpu *v, unsigned reg, uint64_t mask, uint64_t x)
{
    if (mask == 0xffff)
        v->gpr[reg] = (v->gpr[reg] & ~mask) | (x & mask);
    else
        v->gpr[reg] = x & mask;
}

static bool uses_si(unsigned kind) { return kind == MOVS || kind == LODS || kind == CMPS; }
static bool uses_di(unsigned kind) { return kind != LODS; }

/* Moves the registers on by n elements. */
static void str_advance(struct soft_vcpu *v, const struct soft_op *op, struct str *s, uint64_t n)
{
    if (uses_si(op->d)) {
        s->si = (s->si + (uint64_t)(s->step * (int64_t)n)) & s->mask;
        set_masked(v, ENGINE_RSI, s->mask, s->si);
    }
    if (uses_di(op->d)) {
        s->di = (s->di + (uint64_t)(s->step * (int64_t)n)) & s->mask;
        set_masked(v, ENGINE_RDI, s->mask, s->di);
    }
    if (op->s) {
        s->cx = (s->cx - n) & s->mask;
        set_masked(v, ENGINE_RCX, s->mask, s->cx);
    }
}

static void compare(struct soft_vcpu *v, unsigned size, uint64_t a, uint64_t b)
{
    unsigned sh = 64 - 8 * size;

    soft_set_cc(v, CC_OP(CC_SUB, size * 8), (uint64_t)((int64_t)((a - b) << sh) >> sh), b);
}

/* One element through the general path. */
static void str_one(struct soft_vcpu *v, const struct soft_op *op, struct str *s)
{
    uint64_t x = 0, y;
    uint64_t acc = v->gpr[ENGINE_RAX];

    if (uses_si(op->d))
        x = soft_ld_slow(v, op, soft_seg_linear(v, op, s->sseg, s->si, s->size, false), s->size);
    switch (op->d) {
    case MOVS:
        soft_st_slow(v, op, soft_seg_linear(v, op, ENGINE_ES, s->di, s->size, true), s->size, x);
        break;
    case STOS:
        soft_st_slow(v, op, soft_seg_linear(v, op, ENGINE_ES, s->di, s->size, true), s->size, acc);
        break;
    case LODS:
        switch (s->size) {
        case 1: R8(0) = (uint8_t)x; break;
        case 2: R16(0) = (uint16_t)x; break;
        default: R64(0) = x; break;
        }
        break;
    default:
        y = soft_ld_slow(v, op, soft_seg_linear(v, op, ENGINE_ES, s->di, s->size, false), s->size);
        compare(v, s->size, op->d == CMPS ? x : acc, y);
        break;
    }
    str_advance(v, op, s, 1);
}

/* How many elements from off on, in the direction of step, stay within its page (at most `max`). */
static uint64_t run_length(uint64_t off, const struct str *s, uint64_t max)
{
    uint64_t in_page = off & (SOFT_PAGE_SIZE - 1), n;

    if (s->step > 0)
        n = (SOFT_PAGE_SIZE - in_page) / s->size;
    else
        n = in_page + s->size > SOFT_PAGE_SIZE ? 0 : in_page / s->size + 1;
    return n < max ? n : max;
}

static void fill(uint8_t *p, unsigned size, uint64_t x, uint64_t n)
{
    if (size == 1 || x == 0 || x == ~0ull) {
        memset(p, (int)(x & 0xff), n * size);
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        memcpy(p + i * size, &x, size);
}

/* MOVS onto what it has yet to read repeats a pattern: element by element, as the CPU does. d and s
 * are the pieces' lowest addresses. */
static void move(uint8_t *d, const uint8_t *s, unsigned size, uint64_t n, bool up)
{
    if (up ? d <= s || d >= s + n * size : d >= s || d + n * size <= s) {
        memmove(d, s, n * size);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t x = 0, at = (up ? i : n - 1 - i) * size;
        memcpy(&x, s + at, size);
        memcpy(d + at, &x, size);
    }
}

/* A piece in bulk; 0 elements: not possible here. MOVS and STOS. */
static uint64_t str_bulk(struct soft_vcpu *v, const struct soft_op *op, struct str *s)
{
    uint64_t n, di = s->di, si = s->si, first = 0, dva, sva = 0;
    uint8_t *d, *src = NULL;

    if (s->cx < 2)
        return 0;
    n = run_length(di, s, s->cx);
    if (op->d == MOVS)
        n = run_length(si, s, n);
    if (n < 2)
        return 0;
    if (s->step < 0) {
        first = (n - 1) * s->size;           /* of the piece, to be the first to fault */
        di -= first;
        si -= first;
    }
    /* Offsets may differ from linear addresses by an odd base: then go by element. */
    dva = soft_seg_linear(v, op, ENGINE_ES, di, (unsigned)(n * s->size), true);
    if ((dva ^ di) & (SOFT_PAGE_SIZE - 1))
        return 0;
    if (op->d == MOVS) {
        sva = soft_seg_linear(v, op, s->sseg, si, (unsigned)(n * s->size), false);
        if ((sva ^ si) & (SOFT_PAGE_SIZE - 1))
            return 0;
        src = soft_rptr(v, sva, 1);
        if (!src) {
            soft_probe(v, op, sva + first, 1, false);
            src = soft_rptr(v, sva, 1);
        }
        if (!src)
            return 0;
    }
    d = soft_wptr(v, dva, 1);
    if (!d) {
        /* May push the source out of the TLB, but its memory stays where it is. */
        soft_probe(v, op, dva + first, 1, true);
        d = soft_wptr(v, dva, 1);
    }
    if (!d)
        return 0;
    if (op->d == MOVS)
        move(d, src, s->size, n, s->step > 0);
    else
        fill(d, s->size, v->gpr[ENGINE_RAX] << (64 - 8 * s->size) >> (64 - 8 * s->size), n);
    return n;
}

/* False: interrupted; the instruction is to be started again. */
static __attribute__((noinline)) bool str_do(struct soft_vcpu *v, const struct soft_op *op)
{
    struct str s;
    unsigned singles = 0;

    str_begin(v, op, &s);
    if (!op->s) {
        str_one(v, op, &s);
        return true;
    }
    if (v->mode & SOFT_M_STEP && s.cx) {     /* a single step is one element */
        str_one(v, op, &s);
        return !s.cx || (op->d >= CMPS && soft_zf(v) != (op->s == REP_E));
    }
    while (s.cx) {
        uint64_t n = op->d == MOVS || op->d == STOS ? str_bulk(v, op, &s) : 0;

        if (n) {
            str_advance(v, op, &s, n);
            v->budget -= (int64_t)(n * s.size / 64);
        } else {
            str_one(v, op, &s);
            v->budget--;
            if (op->d >= CMPS && soft_zf(v) != (op->s == REP_E))
                return true;
            if (++singles % 256)
                continue;
        }
        if (s.cx && (v->budget < 0 || atomic_load_explicit(&v->attention, memory_order_relaxed)))
            return false;
    }
    return true;
}

SOFT_FN(str_plain)
{
    str_do(v, op);
    SOFT_NEXT;
}

SOFT_FN(str_rep)
{
    if (soft_likely(str_do(v, op)))
        SOFT_NEXT;
    /* As soft_op_resume: leave, to come back to this very instruction. */
    v->gpr[16] += op->ip;
    v->budget -= op->idx;
}

static int kind_of(ZydisMnemonic m, unsigned *size)
{
    switch (m) {
    case ZYDIS_MNEMONIC_MOVSB: *size = 1; return MOVS;
    case ZYDIS_MNEMONIC_MOVSW: *size = 2; return MOVS;
    case ZYDIS_MNEMONIC_MOVSD: *size = 4; return MOVS;
    case ZYDIS_MNEMONIC_MOVSQ: *size = 8; return MOVS;
    case ZYDIS_MNEMONIC_STOSB: *size = 1; return STOS;
    case ZYDIS_MNEMONIC_STOSW: *size = 2; return STOS;
    case ZYDIS_MNEMONIC_STOSD: *size = 4; return STOS;
    case ZYDIS_MNEMONIC_STOSQ: *size = 8; return STOS;
    case ZYDIS_MNEMONIC_LODSB: *size = 1; return LODS;
    case ZYDIS_MNEMONIC_LODSW: *size = 2; return LODS;
    case ZYDIS_MNEMONIC_LODSD: *size = 4; return LODS;
    case ZYDIS_MNEMONIC_LODSQ: *size = 8; return LODS;
    case ZYDIS_MNEMONIC_CMPSB: *size = 1; return CMPS;
    case ZYDIS_MNEMONIC_CMPSW: *size = 2; return CMPS;
    case ZYDIS_MNEMONIC_CMPSD: *size = 4; return CMPS;
    case ZYDIS_MNEMONIC_CMPSQ: *size = 8; return CMPS;
    case ZYDIS_MNEMONIC_SCASB: *size = 1; return SCAS;
    case ZYDIS_MNEMONIC_SCASW: *size = 2; return SCAS;
    case ZYDIS_MNEMONIC_SCASD: *size = 4; return SCAS;
    case ZYDIS_MNEMONIC_SCASQ: *size = 8; return SCAS;
    default: return -1;
    }
}

soft_fn soft_sel_string(struct soft_insn *in, struct soft_op *op)
{
    unsigned size;
    int kind = kind_of(in->i.mnemonic, &size);

    if (kind < 0)
        return NULL;
    /* The operands are hidden ones: the source's segment comes from the memory operand on (R)SI. */
    for (unsigned k = 0; k < in->i.operand_count; k++) {
        const ZydisDecodedOperand *o = &in->o[k];
        if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        if (o->mem.base == ZYDIS_REGISTER_RSI || o->mem.base == ZYDIS_REGISTER_ESI ||
            o->mem.base == ZYDIS_REGISTER_SI)
            op->seg = (uint8_t)(o->mem.segment - ZYDIS_REGISTER_ES);
    }
    if (op->seg > ENGINE_GS)
        op->seg = SOFT_SEG_NONE;
    op->d = (uint8_t)kind;
    op->x = (uint8_t)size;
    op->scale = (uint8_t)(in->abits / 16);
    op->s = in->repne ? REP_NE : in->rep ? REP_E : REP_NO;
    return op->s ? str_rep : str_plain;
}
