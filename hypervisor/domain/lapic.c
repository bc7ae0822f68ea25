/* SPDX-License-Identifier: MIT */
#include "hypervisor/domain/lapic.h"

#include <string.h>

#include "hypervisor/domain/time.h"
#include "hypervisor/domain/vcpu.h"

/* Register offsets in the page; as x2APIC MSR: 0x800 + (offset >> 4). */
enum {
    R_ID = 0x20, R_VERSION = 0x30, R_TPR = 0x80, R_APR = 0x90, R_PPR = 0xa0, R_EOI = 0xb0,
    R_LDR = 0xd0, R_DFR = 0xe0, R_SPIV = 0xf0, R_ISR = 0x100, R_TMR = 0x180, R_IRR = 0x200,
    R_ESR = 0x280, R_CMCI = 0x2f0, R_ICR = 0x300, R_ICR2 = 0x310, R_LVTT = 0x320, R_LVTTHMR = 0x330,
    R_LVTPC = 0x340, R_LVT0 = 0x350, R_LVT1 = 0x360, R_LVTERR = 0x370, R_TMICT = 0x380,
    R_TMCCT = 0x390, R_TDCR = 0x3e0, R_SELF_IPI = 0x3f0,
};

#define BASE_BSP        (1ull << 8)
#define BASE_EXTD       (1ull << 10)
#define BASE_ENABLE     (1ull << 11)
#define BASE_ADDR       0xffffff000ull
#define BASE_DEFAULT    0xfee00000ull
#define MSR_APIC_BASE   0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC      0x800u

#define SPIV_ENABLE     (1u << 8)
#define SPIV_FOCUS_OFF  (1u << 9)
#define LVT_MASKED      (1u << 16)
#define LVT_TIMER_MODE  (3u << 17)
#define TIMER_ONE_SHOT  0u
#define TIMER_PERIODIC  (1u << 17)
#define TIMER_DEADLINE  (2u << 17)
#define VERSION         0x00050014u     /* version 0x14, LVT entries 0..5; as Xen's */
#define ESR_SEND_VECTOR (1u << 5)
#define ESR_RECV_VECTOR (1u << 6)
#define ESR_REGISTER    (1u << 7)
#define BUS_CYCLE_NS    10u             /* the timer's clock is 100 MHz, as Xen's */
#define FIRST_VECTOR    16u             /* lower vectors are illegal */

#define REG(l, off)     ((l)->regs[(off) / 4])
#define BITMAP(l, base, n) ((l)->regs[(base) / 4 + (n) * 4])   /* 32 vectors in each 16 bytes */

enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };
enum {
    MODE_FIXED,
    MODE_LOWEST,
    MODE_SMI,
    MODE_RESERVED,
    MODE_NMI,
    MODE_INIT,
    MODE_SIPI,
    MODE_EXTINT
};

uint32_t lapic_id(unsigned vcpu)
{
    return vcpu * 2;
}

bool lapic_enabled(const struct vcpu *v)
{
    return v->lapic.base_msr & BASE_ENABLE;
}

bool lapic_x2apic(const struct vcpu *v)
{
    return v->lapic.base_msr & BASE_EXTD;
}

static bool accepts(const struct lapic *l)
{
    return (l->base_msr & BASE_ENABLE) && (REG(l, R_SPIV) & SPIV_ENABLE);
}

static uint32_t x2apic_ldr(unsigned vcpu)
{
    uint32_t id = lapic_id(vcpu);

    return (id >> 4) << 16 | 1u << (id & 15);
}

void lapic_reset(struct vcpu *v, bool keep_base)
{
    struct lapic *l = &v->lapic;

    if (!keep_base) {
        l->base_msr = BASE_DEFAULT | BASE_ENABLE | (v->id ? 0 : BASE_BSP);
    }
    memset(l->regs, 0, sizeof(l->regs));
    for (unsigned i = 0; i < 8; i++) {
        atomic_store(&l->posted[i], 0);
    }
    REG(l, R_VERSION) = VERSION;
    REG(l, R_DFR) = 0xffffffff;
    REG(l, R_SPIV) = 0xff;
    for (unsigned r = R_LVTT; r <= R_LVTERR; r += 0x10) {
        REG(l, r) = LVT_MASKED;
    }
    REG(l, R_ID) = lapic_x2apic(v) ? lapic_id(v->id) : lapic_id(v->id) << 24;
    if (lapic_x2apic(v)) {
        REG(l, R_LDR) = x2apic_ldr(v->id);
    }
    l->timer_deadline = NO_TIMER;
    l->timer_period = l->tsc_deadline = 0;
    l->esr = 0;
}

/* Interrupts on their way in and out. */

void lapic_post(struct vcpu *v, uint8_t vector)
{
    atomic_fetch_or(&v->lapic.posted[vector / 32], 1u << (vector % 32));
}

static void merge_posted(struct lapic *l)
{
    for (unsigned i = 0; i < 8; i++) {
        uint32_t bits;

        if (!atomic_load_explicit(&l->posted[i], memory_order_relaxed)) {
            continue;
        }
        /* Kept while the APIC is disabled: an upcall's vector may be set before the guest enables
         * it. */
        bits = atomic_exchange(&l->posted[i], 0);
        BITMAP(l, R_IRR, i) |= bits;
        BITMAP(l, R_TMR, i) &= ~bits;
    }
}

static int highest(const struct lapic *l, unsigned base)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t bits = BITMAP(l, base, i);

        if (bits) {
            return i * 32 + 31 - __builtin_clz(bits);
        }
    }
    return LAPIC_NO_VECTOR;
}

static unsigned ppr(const struct lapic *l)
{
    int isr = highest(l, R_ISR);
    unsigned tpr = REG(l, R_TPR) & 0xff;

    return isr > 0 && ((unsigned)isr & 0xf0) > (tpr & 0xf0) ? (unsigned)isr & 0xf0 : tpr;
}

int lapic_pending(struct vcpu *v)
{
    struct lapic *l = &v->lapic;
    int irr;

    merge_posted(l);
    if (!accepts(l)) {
        return LAPIC_NO_VECTOR;
    }
    irr = highest(l, R_IRR);
    return irr >= 0 && ((unsigned)irr & 0xf0) > (ppr(l) & 0xf0) ? irr : LAPIC_NO_VECTOR;
}

void lapic_accept(struct vcpu *v, uint8_t vector)
{
    struct lapic *l = &v->lapic;

    BITMAP(l, R_IRR, vector / 32) &= ~(1u << (vector % 32));
    BITMAP(l, R_ISR, vector / 32) |= 1u << (vector % 32);
}

static void eoi(struct lapic *l)
{
    int isr = highest(l, R_ISR);

    if (isr >= 0) {
        BITMAP(l, R_ISR, isr / 32) &= ~(1u << (isr % 32));
    }
}

/* An interrupt for this very vCPU, from its own thread. */
static void raise(struct vcpu *v, uint8_t vector)
{
    struct lapic *l = &v->lapic;

    if (accepts(l)) {
        BITMAP(l, R_IRR, vector / 32) |= 1u << (vector % 32);
    }
}

static void error(struct vcpu *v, uint32_t bit)
{
    struct lapic *l = &v->lapic;
    uint32_t lvt = REG(l, R_LVTERR);

    if (l->esr & bit) {
        return;
    }
    l->esr |= bit;
    /* An illegal vector here is one more error, but one that reports nothing: no recursion. */
    if (!(lvt & LVT_MASKED) && (lvt & 0xff) >= FIRST_VECTOR) {
        raise(v, lvt & 0xff);
    } else if (!(lvt & LVT_MASKED)) {
        l->esr |= ESR_RECV_VECTOR;
    }
}

/* Interprocessor interrupts. */

static bool matches_logical(const struct vcpu *t, uint32_t dest, bool x2)
{
    uint32_t ldr = t->lapic.regs[R_LDR / 4];

    if (x2) {
        ldr = x2apic_ldr(t->id);
        return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
    }
    if (lapic_x2apic(t)) {
        return false;
    }
    ldr >>= 24;
    if (t->lapic.regs[R_DFR / 4] >> 28 == 0xf) {
        return ldr & dest;
    }
    return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

static bool matches(const struct vcpu *v, const struct vcpu *t, uint64_t icr, uint32_t dest)
{
    bool x2 = lapic_x2apic(v);

    switch (icr >> 18 & 3) {
    case SHORTHAND_SELF:
        return t == v;
    case SHORTHAND_ALL:
        return true;
    case SHORTHAND_OTHERS:
        return t != v;
    default:
        if (dest == (x2 ? 0xffffffffu : 0xffu)) {
            return true;
        }
        return icr & 1u << 11 ? matches_logical(t, dest, x2) : lapic_id(t->id) == dest;
    }
}

static void deliver(struct vcpu *v, struct vcpu *t, unsigned mode, uint8_t vector)
{
    switch (mode) {
    case MODE_FIXED:
    case MODE_LOWEST:
        if (t == v) {
            raise(v, vector);
        } else if (accepts(&t->lapic)) {
            lapic_post(t, vector);
            vcpu_kick(t);
        }
        break;
    case MODE_NMI:
        vcpu_request(t, VCPU_REQ_NMI);
        break;
    case MODE_INIT:
        vcpu_request(t, VCPU_REQ_INIT);
        break;
    case MODE_SIPI:
        atomic_store(&t->sipi_vector, vector);
        vcpu_request(t, VCPU_REQ_SIPI);
        break;
    default:
        break;      /* SMI and ExtINT: this machine has neither */
    }
}

static void send_ipi(struct vcpu *v, uint64_t icr)
{
    uint32_t dest = lapic_x2apic(v) ? (uint32_t)(icr >> 32) : (uint32_t)(icr >> 56);
    unsigned mode = icr >> 8 & 7;
    uint8_t vector = (uint8_t)icr;

    if ((mode == MODE_FIXED || mode == MODE_LOWEST) && vector < FIRST_VECTOR) {
        error(v, ESR_SEND_VECTOR);
        return;
    }
    /* INIT level de-assert does nothing on anything younger than the 82489DX. */
    if (mode == MODE_INIT && (icr & 1u << 15) && !(icr & 1u << 14)) {
        return;
    }
    for (unsigned i = 0; i < v->m->nr_vcpus; i++) {
        struct vcpu *t = &v->m->vcpu[i];

        if (!matches(v, t, icr, dest) || (mode == MODE_LOWEST && !accepts(&t->lapic))) {
            continue;
        }
        deliver(v, t, mode, vector);
        if (mode == MODE_LOWEST) {
            break;
        }
    }
}

void lapic_msi(struct machine *m, uint64_t addr, uint32_t data)
{
    uint32_t dest = addr >> 12 & 0xff;
    bool logical = addr & 1u << 2, lowest = (data >> 8 & 7) == MODE_LOWEST;
    uint8_t vector = (uint8_t)data;

    for (unsigned i = 0; vector >= FIRST_VECTOR && i < m->nr_vcpus; i++) {
        struct vcpu *t = &m->vcpu[i];
        bool hit = dest == 0xff || (logical ? matches_logical(t, dest, false) : lapic_id(t->id) == dest);

        if (!hit || !accepts(&t->lapic)) {
            continue;
        }
        lapic_post(t, vector);
        vcpu_kick(t);
        if (lowest) {
            break;
        }
    }
}

/* The timer. */

static unsigned divisor(const struct lapic *l)
{
    unsigned t = REG(l, R_TDCR);

    return 1u << ((((t & 3) | (t & 8) >> 1) + 1) & 7);
}

static void timer_start(struct vcpu *v, uint64_t now)
{
    struct lapic *l = &v->lapic;
    uint64_t ns = (uint64_t)REG(l, R_TMICT) * divisor(l) * BUS_CYCLE_NS;

    l->timer_deadline = ns ? now + ns : NO_TIMER;
    l->timer_period = (REG(l, R_LVTT) & LVT_TIMER_MODE) == TIMER_PERIODIC ? ns : 0;
}

static void set_tsc_deadline(struct vcpu *v, uint64_t tsc)
{
    struct lapic *l = &v->lapic;

    if ((REG(l, R_LVTT) & LVT_TIMER_MODE) != TIMER_DEADLINE) {
        return;
    }
    l->tsc_deadline = tsc;
    l->timer_period = 0;
    l->timer_deadline = tsc ? time_of_tsc(v, tsc) : NO_TIMER;
}

static void write_lvtt(struct vcpu *v, uint32_t value)
{
    struct lapic *l = &v->lapic;
    uint32_t old = REG(l, R_LVTT);

    REG(l, R_LVTT) = value & (0xffu | LVT_MASKED | LVT_TIMER_MODE);
    if ((old ^ value) & LVT_TIMER_MODE) {
        if (((old | value) & LVT_TIMER_MODE) & TIMER_DEADLINE) {
            l->timer_deadline = NO_TIMER;
            l->tsc_deadline = 0;
            REG(l, R_TMICT) = 0;
            l->timer_period = 0;
        } else if (l->timer_deadline != NO_TIMER) {
            timer_start(v, host_now());
        }
    }
}

void lapic_timer_run(struct vcpu *v, uint64_t now)
{
    struct lapic *l = &v->lapic;
    uint32_t lvt = REG(l, R_LVTT);

    if (now < l->timer_deadline) {
        return;
    }
    if (l->timer_period) {
        uint64_t missed = (now - l->timer_deadline) / l->timer_period;

        l->timer_deadline += (missed + 1) * l->timer_period;
    } else {
        l->timer_deadline = NO_TIMER;
        l->tsc_deadline = 0;
    }
    if (!(lvt & LVT_MASKED)) {
        if ((lvt & 0xff) < FIRST_VECTOR) {
            error(v, ESR_RECV_VECTOR);
        } else {
            raise(v, lvt & 0xff);
        }
    }
}

static uint32_t timer_count(struct vcpu *v)
{
    struct lapic *l = &v->lapic;
    uint64_t now = host_now();

    if (l->timer_deadline == NO_TIMER || (REG(l, R_LVTT) & LVT_TIMER_MODE) == TIMER_DEADLINE ||
        now >= l->timer_deadline) {
        return 0;
    }
    return (uint32_t)((l->timer_deadline - now) / (divisor(l) * BUS_CYCLE_NS));
}

/* Registers. */

static bool readable(unsigned off)
{
    switch (off) {
    case R_ID:
    case R_VERSION:
    case R_TPR:
    case R_APR:
    case R_PPR:
    case R_LDR:
    case R_DFR:
    case R_SPIV:
    case R_ESR: case R_ICR: case R_ICR2: case R_LVTT: case R_LVTTHMR: case R_LVTPC: case R_LVT0:
    case R_LVT1: case R_LVTERR: case R_TMICT: case R_TMCCT: case R_TDCR:
        return true;
    default:
        return off >= R_ISR && off < R_ESR && !(off & 0xf);
    }
}

static uint32_t reg_read(struct vcpu *v, unsigned off)
{
    struct lapic *l = &v->lapic;

    switch (off) {
    case R_PPR:
        return ppr(l);
    case R_TMCCT:
        return timer_count(v);
    case R_EOI: case R_SELF_IPI:
        return 0;
    default:
        if (off >= R_IRR && off < R_ESR) {
            merge_posted(l);
        }
        return REG(l, off);
    }
}

static void write_spiv(struct vcpu *v, uint32_t value)
{
    struct lapic *l = &v->lapic;

    REG(l, R_SPIV) = value & (0xffu | SPIV_ENABLE | SPIV_FOCUS_OFF);
    if (!(value & SPIV_ENABLE)) {
        for (unsigned r = R_LVTT; r <= R_LVTERR; r += 0x10) {
            REG(l, r) |= LVT_MASKED;
        }
    }
}

/* Writes one register; the ones that do not exist are errors already. */
static void reg_write(struct vcpu *v, unsigned off, uint32_t value)
{
    struct lapic *l = &v->lapic;

    switch (off) {
    case R_TPR:
        REG(l, off) = value & 0xff;
        break;
    case R_EOI:
        eoi(l);
        break;
    case R_LDR:
        REG(l, off) = value & 0xff000000;
        break;
    case R_DFR:
        REG(l, off) = value | 0x0fffffff;
        break;
    case R_SPIV:
        write_spiv(v, value);
        break;
    case R_ESR:
        REG(l, off) = l->esr;
        l->esr = 0;
        break;
    case R_ICR:
        REG(l, off) = value & ~(1u << 12);
        send_ipi(v, (uint64_t)REG(l, R_ICR2) << 32 | value);
        break;
    case R_ICR2:
        REG(l, off) = value & 0xff000000;
        break;
    case R_LVTT:
        write_lvtt(v, REG(l, R_SPIV) & SPIV_ENABLE ? value : value | LVT_MASKED);
        break;
    case R_LVTTHMR: case R_LVTPC: case R_LVT0: case R_LVT1: case R_LVTERR:
        REG(l, off) = (REG(l, R_SPIV) & SPIV_ENABLE ? value : value | LVT_MASKED) & 0x1a7ffu;
        break;
    case R_TMICT:
        if ((REG(l, R_LVTT) & LVT_TIMER_MODE) != TIMER_DEADLINE) {
            REG(l, off) = value;
            timer_start(v, host_now());
        }
        break;
    case R_TDCR:
        REG(l, off) = value & 0xb;
        break;
    default:
        error(v, ESR_REGISTER);
        break;
    }
}

bool lapic_mmio_hit(const struct vcpu *v, uint64_t gpa)
{
    return lapic_enabled(v) && !lapic_x2apic(v) &&
           (gpa & ~0xfffull) == (v->lapic.base_msr & BASE_ADDR);
}

void lapic_mmio_read(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t *value)
{
    unsigned off = gpa & 0xff0, in = gpa & 0xf;
    uint32_t word;

    *value = 0;
    if (in + size > 4 || !readable(off)) {
        if (in < 4 && off != R_EOI) {
            error(v, ESR_REGISTER);
        }
        return;
    }
    word = reg_read(v, off) >> (in * 8);
    *value = size == 4 ? word : word & ((1u << (size * 8)) - 1);
}

void lapic_mmio_write(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t value)
{
    if (size == 4 && !(gpa & 0xf)) {
        reg_write(v, gpa & 0xff0, (uint32_t)value);
    }
}

uint64_t lapic_read_cr8(struct vcpu *v)
{
    return (REG(&v->lapic, R_TPR) & 0xff) >> 4;
}

void lapic_write_cr8(struct vcpu *v, uint64_t value)
{
    REG(&v->lapic, R_TPR) = (value & 0xf) << 4;
}

/* MSRs. */

static bool write_base(struct vcpu *v, uint64_t value)
{
    struct lapic *l = &v->lapic;
    uint64_t changed = value ^ l->base_msr;
    uint64_t mode = value & (BASE_ENABLE | BASE_EXTD);

    /* x2APIC without enable is no mode, and x2APIC mode is left through "off" alone. */
    if ((value & ~(BASE_ADDR | BASE_BSP | BASE_ENABLE | BASE_EXTD)) || mode == BASE_EXTD ||
        (lapic_x2apic(v) && mode == BASE_ENABLE) || (!lapic_enabled(v) && (mode & BASE_EXTD))) {
        return false;
    }
    if ((changed & BASE_ENABLE) && !(value & BASE_ENABLE)) {
        l->base_msr = value;
        lapic_reset(v, true);
    }
    l->base_msr = value;
    if (changed & BASE_EXTD) {
        REG(l, R_ID) = lapic_x2apic(v) ? lapic_id(v->id) : lapic_id(v->id) << 24;
        REG(l, R_LDR) = lapic_x2apic(v) ? x2apic_ldr(v->id) : 0;
    }
    return true;
}

static bool x2_read(struct vcpu *v, unsigned off, uint64_t *value)
{
    if (!lapic_x2apic(v) || !readable(off) || off == R_DFR || off == R_ICR2 || off == R_APR) {
        return false;
    }
    *value = reg_read(v, off);
    if (off == R_ICR) {
        *value |= (uint64_t)REG(&v->lapic, R_ICR2) << 32;
    }
    return true;
}

static bool x2_write(struct vcpu *v, unsigned off, uint64_t value)
{
    struct lapic *l = &v->lapic;
    uint64_t allowed;

    if (!lapic_x2apic(v)) {
        return false;
    }
    switch (off) {
    case R_TPR: allowed = 0xff; break;
    case R_EOI: case R_ESR: allowed = 0; break;
    case R_SPIV: allowed = 0xff | SPIV_ENABLE | SPIV_FOCUS_OFF; break;
    case R_LVTT: allowed = 0xff | 1u << 12 | LVT_MASKED | LVT_TIMER_MODE; break;
    case R_LVTTHMR: case R_LVTPC: allowed = 0x117ff; break;
    case R_LVT0: case R_LVT1: allowed = 0x1f7ff; break;
    case R_LVTERR: allowed = 0x110ff; break;
    case R_TMICT: allowed = 0xffffffff; break;
    case R_TDCR: allowed = 0xb; break;
    case R_SELF_IPI: allowed = 0xff; break;
    case R_ICR: allowed = ~0xfff32000ull; break;
    default: return false;
    }
    if (value & ~allowed) {
        return false;
    }
    if (off == R_ICR) {
        REG(l, R_ICR) = (uint32_t)value & ~(1u << 12);
        REG(l, R_ICR2) = (uint32_t)(value >> 32);
        send_ipi(v, value);
    } else if (off == R_SELF_IPI) {
        send_ipi(v, (uint64_t)SHORTHAND_SELF << 18 | value);
    } else {
        reg_write(v, off, (uint32_t)value);
    }
    return true;
}

bool lapic_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    switch (msr) {
    case MSR_APIC_BASE:
        *value = v->lapic.base_msr;
        return true;
    case MSR_TSC_DEADLINE:
        *value = v->lapic.tsc_deadline;
        return true;
    default:
        return x2_read(v, (msr - MSR_X2APIC) << 4, value);
    }
}

bool lapic_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    switch (msr) {
    case MSR_APIC_BASE:
        return write_base(v, value);
    case MSR_TSC_DEADLINE:
        set_tsc_deadline(v, value);
        return true;
    default:
        return x2_write(v, (msr - MSR_X2APIC) << 4, value);
    }
}

/* Save and load. */

void lapic_save(struct vcpu *v, struct hvm_hw_lapic *hw, struct hvm_hw_lapic_regs *regs)
{
    struct lapic *l = &v->lapic;

    merge_posted(l);
    hw->apic_base_msr = l->base_msr;
    hw->disabled = (lapic_enabled(v) ? 0 : 2) | (REG(l, R_SPIV) & SPIV_ENABLE ? 0 : 1);
    hw->timer_divisor = divisor(l);
    hw->tdt_msr = l->tsc_deadline;
    REG(l, R_TMCCT) = timer_count(v);
    memcpy(regs->data, l->regs, sizeof(regs->data));
}

void lapic_load(struct vcpu *v, const struct hvm_hw_lapic *hw, const struct hvm_hw_lapic_regs *regs)
{
    struct lapic *l = &v->lapic;
    uint32_t left, total;

    lapic_reset(v, false);
    l->base_msr = hw->apic_base_msr & (BASE_ADDR | BASE_BSP | BASE_ENABLE | BASE_EXTD);
    if (!regs) {
        lapic_reset(v, true);
        return;
    }
    memcpy(l->regs, regs->data, sizeof(l->regs));
    REG(l, R_ID) = lapic_x2apic(v) ? lapic_id(v->id) : lapic_id(v->id) << 24;
    REG(l, R_VERSION) = VERSION;
    if (lapic_x2apic(v)) {
        REG(l, R_LDR) = x2apic_ldr(v->id);
    }
    /* Vectors 0-15 are never requested nor in service. */
    BITMAP(l, R_IRR, 0) &= 0xffff0000;
    BITMAP(l, R_ISR, 0) &= 0xffff0000;
    left = REG(l, R_TMCCT);
    total = REG(l, R_TMICT);
    if ((REG(l, R_LVTT) & LVT_TIMER_MODE) == TIMER_DEADLINE) {
        set_tsc_deadline(v, hw->tdt_msr);
    } else if (total && left) {
        timer_start(v, host_now());
        l->timer_deadline -=
            (uint64_t)(total > left ? total - left : 0) * divisor(l) * BUS_CYCLE_NS;
    }
}
