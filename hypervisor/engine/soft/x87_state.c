/* SPDX-License-Identifier: MIT */
/* Images of the floating point state: FXSAVE, FSAVE, FSTENV and their opposites; the MMX view. */
#include <string.h>

#include "hypervisor/engine/soft/x87.h"

#define FXSAVE_SIZE 512
#define FXSAVE_XMM 160         /* offset of XMM0 in an FXSAVE image */

/* ES and B say whether an exception is pending, whatever was loaded into them. */
static void set_fsw(struct soft_x87 *x, uint16_t fsw)
{
    fsw &= (uint16_t)~(X87_ES | X87_B);
    if (fsw & ~x->fcw & 0x3f)
        fsw |= X87_ES | X87_B;
    x->fsw = fsw;
}

/* Bit 6 of the control word reads as 1; bits 7, 13-15 as 0. */
static void set_fcw(struct soft_x87 *x, uint16_t fcw)
{
    x->fcw = (uint16_t)((fcw & 0x1f7f) | 0x40);
}

static unsigned top(const struct soft_x87 *x)
{
    return (x->fsw & X87_TOP) >> 11;
}

/* FNINIT. The registers keep their contents, which FXSAVE can see. */
static void init(struct soft_vcpu *v)
{
    struct soft_x87 *x = &v->x87;
    unsigned old = top(x);

    x->fcw = 0x37f;
    x->fsw = 0;
    x87_retop(v, old);
    x->ftw = 0;
    x->fip = x->fdp = 0;
    x->fop = x->fcs = x->fds = 0;
}

/* ---------------------------------------------------------------- the engine's view */

void soft_fp_reset(struct soft_vcpu *v)
{
    x87_sync(v);
    memset(&v->x87, 0, sizeof(v->x87));
    memset(v->xmm, 0, sizeof(v->xmm));
    v->x87.fcw = 0x40;
    v->x87.ftw = 0xff;
    sse_write_mxcsr(v, MXCSR_DEFAULT);
}

/* In FXSAVE64's layout. The state is home. */
static void put_image(const struct soft_vcpu *v, struct soft_x87 *out, unsigned nr)
{
    memcpy(out, &v->x87, FXSAVE_XMM);
    out->reserved = 0;
    out->host_fop = v->x87.fop;
    out->host_fip = v->x87.fip;
    out->host_fdp = v->x87.fdp;
    out->host_mxcsr = v->mxcsr;
    out->host_mask = MXCSR_VALID;
    for (unsigned i = 0; i < 8; i++)
        memset(out->st[i].pad, 0, sizeof(out->st[i].pad));
    memcpy(out->room, v->xmm, nr * 16);
}

static void get_image(struct soft_vcpu *v, const struct soft_x87 *in, unsigned nr)
{
    struct soft_x87 *x = &v->x87;

    memcpy(x, in, FXSAVE_XMM);
    set_fcw(x, in->fcw);
    set_fsw(x, in->fsw);
    x->fop = in->host_fop & 0x7ff;
    x->fip = in->host_fip;
    x->fdp = in->host_fdp;
    memcpy(v->xmm, in->room, nr * 16);
    sse_write_mxcsr(v, in->host_mxcsr);
}

void soft_fp_save(const struct soft_vcpu *v, uint8_t fx[512])
{
    struct soft_x87 image = { 0 };

    put_image(v, &image, 16);
    memcpy(fx, &image, FXSAVE_SIZE);
}

int soft_fp_load(struct soft_vcpu *v, const uint8_t fx[512])
{
    struct soft_x87 image;

    memcpy(&image, fx, FXSAVE_SIZE);
    if (image.host_mxcsr & ~MXCSR_VALID)
        return -1;
    x87_sync(v);
    get_image(v, &image, 16);
    v->x87.fcs = v->x87.fds = 0;
    return 0;
}

/* ---------------------------------------------------------------- FXSAVE and FXRSTOR */

static unsigned nr_xmm(const struct soft_vcpu *v)
{
    return v->mode & SOFT_M_CODE64 ? 16 : 8;
}

/* CS and DS selectors take the place of the pointers' upper halves without REX.W. */
static void pointers_32(const struct soft_vcpu *v, uint8_t *fx)
{
    uint16_t zero = 0;

    memcpy(fx + 12, &v->x87.fcs, 2);
    memcpy(fx + 14, &zero, 2);
    memcpy(fx + 20, &v->x87.fds, 2);
    memcpy(fx + 22, &zero, 2);
}

static void fxsave(struct soft_vcpu *v, const struct soft_op *op)
{
    soft_x87(v, op);
    uint64_t va = soft_ea(v, op, 512, true);
    fp_align(v, op, va, 4);
    soft_align16(v, op, va);
    /* Bytes 416 to 511, and XMM8-15 outside 64-bit code, are not written. */
    unsigned bytes = FXSAVE_XMM + 16 * nr_xmm(v);
    soft_probe(v, op, va, 512, true);
    x87_sync(v);
    sse_read_mxcsr(v);
    put_image(v, (struct soft_x87 *)v->scratch, nr_xmm(v));
    if (!op->x)
        pointers_32(v, v->scratch);
    soft_st_bytes(v, op, va, v->scratch, bytes);
    SOFT_NEXT;
}

static void fxrstor(struct soft_vcpu *v, const struct soft_op *op)
{
    uint32_t mxcsr;

    soft_x87(v, op);
    uint64_t va = soft_ea(v, op, 512, false);
    fp_align(v, op, va, 4);
    soft_align16(v, op, va);
    soft_ld_bytes(v, op, va, v->scratch, 512);
    mxcsr = ((struct soft_x87 *)v->scratch)->host_mxcsr;
    if (soft_unlikely(mxcsr & ~MXCSR_VALID))
        soft_raise_err(v, op, SOFT_GP, 0);
    x87_sync(v);
    v->x87.fcs = v->x87.fds = 0;
    if (!op->x) {
        uint32_t zero = 0;
        memcpy(&v->x87.fcs, v->scratch + 12, 2);
        memcpy(&v->x87.fds, v->scratch + 20, 2);
        memcpy(v->scratch + 12, &zero, 4);
        memcpy(v->scratch + 20, &zero, 4);
    }
    get_image(v, (struct soft_x87 *)v->scratch, nr_xmm(v));
    SOFT_NEXT;
}

static void emms(struct soft_vcpu *v, const struct soft_op *op)
{
    mmx_check(v, op);
    mmx_enter(v);
    v->x87.ftw = 0;
    SOFT_NEXT;
}

soft_fn fxsave_lookup(ZydisMnemonic m, struct soft_op *out)
{
    switch (m) {
    case ZYDIS_MNEMONIC_FXSAVE: out->x = 0; return fxsave;
    case ZYDIS_MNEMONIC_FXSAVE64: out->x = 1; return fxsave;
    case ZYDIS_MNEMONIC_FXRSTOR: out->x = 0; return fxrstor;
    case ZYDIS_MNEMONIC_FXRSTOR64: out->x = 1; return fxrstor;
    case ZYDIS_MNEMONIC_EMMS: return emms;
    default: return NULL;
    }
}

/* ---------------------------------------------------------------- FSTENV and FSAVE */

/* The two-bit tag of a register that is in use. */
static unsigned full_tag(uint64_t m, uint16_t se)
{
    unsigned e = se & 0x7fff;

    if (e == 0 && m == 0)
        return 1;
    return e == 0 || e == 0x7fff || !(m >> 63) ? 2 : 0;
}

static uint16_t full_ftw(const struct soft_x87 *x)
{
    uint16_t tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        unsigned phys = (top(x) + i) & 7;
        unsigned tag = x->ftw & (1u << phys) ? full_tag(x->st[i].m, x->st[i].se) : 3;
        tags |= (uint16_t)(tag << (2 * phys));
    }
    return tags;
}

static void put16(uint8_t *p, uint32_t value)
{
    uint16_t x = (uint16_t)value;
    memcpy(p, &x, 2);
}

static void put32(uint8_t *p, uint32_t value)
{
    memcpy(p, &value, 4);
}

static uint16_t get16(const uint8_t *p)
{
    uint16_t x;
    memcpy(&x, p, 2);
    return x;
}

static bool real_mode(const struct soft_vcpu *v)
{
    return !(v->cr0 & 1) || (v->rflags & FL_VM);
}

/* The 7 fields in 2- or 4-byte slots (Intel SDM vol. 1, figures 8-9 to 8-12). */
static unsigned env_out(const struct soft_vcpu *v, unsigned size, uint8_t *p)
{
    const struct soft_x87 *x = &v->x87;
    uint32_t fip = (uint32_t)x->fip, fdp = (uint32_t)x->fdp;
    bool real = real_mode(v);

    if (real) {                    /* linear addresses, cut in two */
        fip += (uint32_t)x->fcs << 4;
        fdp += (uint32_t)x->fds << 4;
    }
    if (size == 2) {
        put16(p, x->fcw);
        put16(p + 2, x->fsw);
        put16(p + 4, full_ftw(x));
        put16(p + 6, fip);
        put16(p + 8, real ? (fip >> 4 & 0xf000) | x->fop : x->fcs);
        put16(p + 10, fdp);
        put16(p + 12, real ? fdp >> 4 & 0xf000 : x->fds);
        return 14;
    }
    put32(p, 0xffff0000u | x->fcw);
    put32(p + 4, 0xffff0000u | x->fsw);
    put32(p + 8, 0xffff0000u | full_ftw(x));
    if (real) {
        put32(p + 12, 0xffff0000u | (fip & 0xffff));
        put32(p + 16, (fip >> 16) << 12 | x->fop);
        put32(p + 20, 0xffff0000u | (fdp & 0xffff));
        put32(p + 24, (fdp >> 16) << 12);
    } else {
        put32(p + 12, fip);
        put32(p + 16, (uint32_t)x->fop << 16 | x->fcs);
        put32(p + 20, fdp);
        put32(p + 24, 0xffff0000u | x->fds);
    }
    return 28;
}

static unsigned env_in(struct soft_vcpu *v, unsigned size, const uint8_t *p)
{
    struct soft_x87 *x = &v->x87;
    unsigned s = size;             /* slot width */
    uint16_t tags = get16(p + 2 * s);
    uint32_t w[4];

    set_fcw(x, get16(p));
    set_fsw(x, get16(p + s));
    x->ftw = 0;
    for (unsigned i = 0; i < 8; i++)
        if ((tags >> (2 * i) & 3) != 3)
            x->ftw |= (uint8_t)(1u << i);
    for (unsigned i = 0; i < 4; i++) {
        w[i] = get16(p + (3 + i) * s);
        if (size == 4)
            w[i] |= (uint32_t)get16(p + (3 + i) * s + 2) << 16;
    }
    x->fcs = x->fds = 0;
    if (real_mode(v)) {
        x->fip = (w[0] & 0xffff) | (w[1] & 0x0ffff000u) << 4;
        x->fdp = (w[2] & 0xffff) | (w[3] & 0x0ffff000u) << 4;
        x->fop = w[1] & 0x7ff;
    } else {
        x->fip = w[0];
        x->fcs = (uint16_t)w[1];
        x->fop = size == 4 ? w[1] >> 16 & 0x7ff : 0;
        x->fdp = w[2];
        x->fds = (uint16_t)w[3];
    }
    return 7 * s;
}

void x87_store_env(struct soft_vcpu *v, const struct soft_op *op, bool regs)
{
    unsigned n = env_out(v, op->x, v->scratch);

    if (regs) {
        for (unsigned i = 0; i < 8; i++, n += 10) {
            memcpy(v->scratch + n, &v->x87.st[i].m, 8);
            put16(v->scratch + n + 8, v->x87.st[i].se);
        }
    }
    uint64_t va = soft_ea(v, op, n, true);
    fp_align(v, op, va, op->x);
    soft_st_bytes(v, op, va, v->scratch, n);
    if (regs) {
        init(v);
    } else {
        v->x87.fcw |= 0x3f;
        set_fsw(&v->x87, v->x87.fsw);
    }
}

void x87_load_env(struct soft_vcpu *v, const struct soft_op *op, bool regs)
{
    unsigned n = 7u * op->x + (regs ? 80 : 0);
    unsigned old_top = top(&v->x87);

    uint64_t va = soft_ea(v, op, n, false);
    fp_align(v, op, va, op->x);
    soft_ld_bytes(v, op, va, v->scratch, n);
    n = env_in(v, op->x, v->scratch);
    if (regs) {
        for (unsigned i = 0; i < 8; i++, n += 10) {
            memcpy(&v->x87.st[i].m, v->scratch + n, 8);
            v->x87.st[i].se = get16(v->scratch + n + 8);
        }
    } else {
        x87_retop(v, old_top);
    }
}

/* ---------------------------------------------------------------- TOP and the MMX view */

/* st[] is relative to TOP: after TOP changed from `old` without the registers moving. */
void x87_retop(struct soft_vcpu *v, unsigned old)
{
    struct soft_x87 *x = &v->x87;
    uint8_t saved[sizeof(x->st)];
    unsigned now = top(x);

    if (now == old)
        return;
    memcpy(saved, x->st, sizeof(saved));
    for (unsigned i = 0; i < 8; i++)
        memcpy(&x->st[i], saved + sizeof(x->st[0]) * ((now + i - old) & 7), sizeof(x->st[0]));
}

void mmx_check(struct soft_vcpu *v, const struct soft_op *op)
{
    if (soft_unlikely(v->cr0 & 0xc)) {
        if (v->cr0 & 4)
            soft_raise(v, op, SOFT_UD);
        soft_raise(v, op, SOFT_NM);
    }
    x87_sync(v);
    if (soft_unlikely(v->x87.fsw & X87_ES))
        soft_raise(v, op, SOFT_MF);
}

void mmx_enter(struct soft_vcpu *v)
{
    unsigned old = top(&v->x87);

    v->x87.fsw &= (uint16_t)~X87_TOP;
    v->x87.ftw = 0xff;
    x87_retop(v, old);
}
