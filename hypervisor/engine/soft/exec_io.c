/* SPDX-License-Identifier: MIT */
/* IN, OUT and their string forms. */
#include "hypervisor/engine/soft/exec.h"

static uint32_t port_in(struct soft_vcpu *v, const struct soft_op *op, uint16_t port, unsigned size)
{
    uint32_t x = 0;

    soft_check_io(v, op, port, size);
    soft_begin_callback(v, op);
    soft_verdict(v, op, v->m->pio_in(v->m->opaque, v->id, port, size, &x));
    return x;
}

static void port_out(struct soft_vcpu *v, const struct soft_op *op, uint16_t port, unsigned size,
                     uint32_t x)
{
    soft_check_io(v, op, port, size);
    soft_begin_callback(v, op);
    soft_verdict(v, op, v->m->pio_out(v->m->opaque, v->id, port, size, x));
}

/* d: 1 = port in DX; imm: the port otherwise; x: size */
static __attribute__((noinline)) void in_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint32_t x = port_in(v, op, op->d ? R16(SOFT_G(2)) : (uint16_t)(op->imm & 0xff), op->x);

    switch (op->x) {
    case 1: R8(0) = (uint8_t)x; break;
    case 2: R16(0) = (uint16_t)x; break;
    default: R64(0) = x; break;
    }
}

static __attribute__((noinline)) void out_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint32_t x = op->x == 1 ? R8(0) : op->x == 2 ? R16(0) : R32(0);

    port_out(v, op, op->d ? R16(SOFT_G(2)) : (uint16_t)(op->imm & 0xff), op->x, x);
}

SOFT_FN(in_) { in_do(v, op); SOFT_SYNC(v, op); }
SOFT_FN(out_) { out_do(v, op); SOFT_SYNC(v, op); }

/* How many of cx elements from va on lie in one page, within the segment and without a wrap. */
static unsigned rep_count(const struct soft_vcpu *v, const struct soft_op *op, enum engine_sreg sreg,
                          uint64_t off, uint64_t va, uint64_t cx, uint64_t mask)
{
    const struct engine_segment *s = &v->seg[sreg];
    uint64_t at = va & ~SOFT_PAGE_MASK, size = op->x, n;

    if (v->rflags & FL_DF) {
        n = at + size > SOFT_PAGE_SIZE ? 0 : at / size + 1;
        if (n > off / size + 1)
            n = off / size + 1;
    } else {
        n = (SOFT_PAGE_SIZE - at) / size;
        if (n > (mask - off) / size)
            n = (mask - off) / size;
    }
    if (!soft_code64(v)) {
        if ((SEG_TYPE(s) & 0xc) == 4 || off > s->limit)
            return 0;
        if (!(v->rflags & FL_DF) && n > (s->limit - off + 1) / size)
            n = (s->limit - off + 1) / size;
    }
    return (unsigned)(n < cx ? n : cx);
}

/* A run of elements that a device takes as a whole: how many, or 0. */
static unsigned rep_io(struct soft_vcpu *v, const struct soft_op *op, uint16_t port, uint64_t va,
                       unsigned n)
{
    bool down = v->rflags & FL_DF, done;
    uint64_t gpa;

    if (n < 2 || !v->m->pio_rep || !soft_ram_gpa(v, op, va, op->d, &gpa))
        return 0;
    soft_begin_callback(v, op);
    done = v->m->pio_rep(v->m->opaque, v->id, port, op->x, op->d, gpa, n, down);
    soft_verdict(v, op, done ? ENGINE_STOP : ENGINE_CONTINUE);
    if (done && op->d && soft_has_code(v, gpa))
        soft_code_written(v, op, down ? gpa - (n - 1) * op->x : gpa, n * op->x);
    return done ? n : 0;
}

/*
 * INS and OUTS, one element per execution, or as many as a device takes at once; with REP the block
 * is left and entered again until the count is 0, which also lets interrupts in. d: 1 = INS; s: 1 =
 * REP; scale: address bits / 16.
 */
static __attribute__((noinline)) bool string_io_do(struct soft_vcpu *v, const struct soft_op *op)
{
    unsigned abits = op->scale * 16u, size = op->x;
    uint64_t mask = abits == 64 ? ~0ull : abits == 32 ? 0xffffffff : 0xffff;
    uint64_t cx = R64(SOFT_G(1)) & mask, off, va, next;
    unsigned reg = op->d ? SOFT_G(7) : SOFT_G(6), n = 0;
    enum engine_sreg sreg = op->d ? ENGINE_ES
                            : op->seg == SOFT_SEG_NONE ? ENGINE_DS : (enum engine_sreg)op->seg;
    uint16_t port = R16(SOFT_G(2));

    soft_check_io(v, op, port, size);
    if (op->s && !cx)
        return true;
    off = R64(reg) & mask;
    va = soft_seg_linear(v, op, sreg, off, size, op->d);
    if (op->s)
        n = rep_io(v, op, port, va, rep_count(v, op, sreg, off, va, cx, mask));
    if (n) {
        /* done */
    } else if (op->d) {
        soft_probe(v, op, va, size, true);
        soft_st_slow(v, op, va, size, port_in(v, op, port, size));
    } else {
        port_out(v, op, port, size, (uint32_t)soft_ld_slow(v, op, va, size));
    }
    n = n ? n : 1;
    next = v->rflags & FL_DF ? off - n * size : off + n * size;
    if (abits == 16)
        R16(reg) = (uint16_t)next;
    else
        R64(reg) = next & mask;
    if (!op->s)
        return true;
    if (abits == 16)
        R16(SOFT_G(1)) = (uint16_t)(cx - n);
    else
        R64(SOFT_G(1)) = (cx - n) & mask;
    return ((cx - n) & mask) == 0;
}

SOFT_FN(string_io)
{
    if (string_io_do(v, op))
        SOFT_SYNC(v, op);
    v->gpr[16] += op->ip;
    SOFT_SYNC_AT(v, op);
}

soft_fn soft_sel_io(struct soft_insn *in, struct soft_op *op)
{
    bool is_in = false;
    unsigned port;

    in->end = SOFT_END_SYNC;
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_IN: is_in = true; /* fall through */
    case ZYDIS_MNEMONIC_OUT:
        port = is_in ? 1 : 0;
        op->x = (uint8_t)(in->o[port ^ 1].size / 8);
        if (is_in)
            op->x = (uint8_t)(in->o[0].size / 8);
        else
            op->x = (uint8_t)(in->o[1].size / 8);
        op->d = soft_is_reg(in, port);
        return is_in ? in_ : out_;
    default: break;
    }
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_INSB: op->d = 1; op->x = 1; break;
    case ZYDIS_MNEMONIC_INSW: op->d = 1; op->x = 2; break;
    case ZYDIS_MNEMONIC_INSD: op->d = 1; op->x = 4; break;
    case ZYDIS_MNEMONIC_OUTSB: op->x = 1; break;
    case ZYDIS_MNEMONIC_OUTSW: op->x = 2; break;
    default: op->x = 4; break;
    }
    op->s = in->rep || in->repne;
    op->scale = (uint8_t)(in->abits / 16);
    return string_io;
}
