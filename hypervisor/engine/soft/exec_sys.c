/* SPDX-License-Identifier: MIT */
/* Privileged and system instructions, software interrupts, SYSCALL and its kin, hypercalls. */
#include <x86intrin.h>

#include "hypervisor/engine/soft/exec.h"

static void need_cpl0(struct soft_vcpu *v, const struct soft_op *op)
{
    if (v->cpl)
        soft_raise_err(v, op, SOFT_GP, 0);
}

/* ---------------------------------------------------------------- interrupt flag, HLT */

static void check_iopl(struct soft_vcpu *v, const struct soft_op *op)
{
    if (v->cr0 & CR0_PE && v->cpl > (v->rflags >> 12 & 3))
        soft_raise_err(v, op, SOFT_GP, 0);
}

SOFT_FN(cli)
{
    check_iopl(v, op);
    v->rflags &= ~(uint64_t)FL_IF;
    SOFT_NEXT;
}

/*
 * The instruction after STI runs before any interrupt. When nothing makes us leave, it simply
 * does, and the shadow need not exist; otherwise the run loop executes that one instruction on its
 * own.
 */
SOFT_FN(sti)
{
    check_iopl(v, op);
    if (!(v->rflags & FL_IF)) {
        v->rflags |= FL_IF;
        v->sti_shadow = true;
    }
    v->gpr[16] += (uint64_t)op->ip + op->len;
    if (soft_leave(v, op) || v->want_window || !SOFT_CHAIN)
        return;
    v->sti_shadow = false;
    SOFT_TAIL return soft_find_go(v, op);
}

SOFT_FN(hlt)
{
    need_cpl0(v, op);
    v->halted = true;
    SOFT_SYNC(v, op);
}

/* ---------------------------------------------------------------- control and debug registers */

SOFT_FN(mov_from_cr)
{
    uint64_t x;

    need_cpl0(v, op);
    switch (op->s) {
    case 0: x = v->cr0; break;
    case 2: x = v->cr2; break;
    case 3: x = v->cr3; break;
    case 4: x = v->cr4; break;
    default:
        soft_begin_callback(v, op);
        x = v->m->read_cr8(v->m->opaque, v->id);
        break;
    }
    R64(op->d) = soft_code64(v) ? x : (uint32_t)x;
    SOFT_NEXT;
}

static __attribute__((noinline)) void mov_to_cr_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t x = soft_code64(v) ? R64(op->s) : R32(op->s);

    need_cpl0(v, op);
    switch (op->d) {
    case 0: soft_set_cr0(v, op, x); break;
    case 2: v->cr2 = x; break;
    case 3: soft_set_cr3(v, op, x); break;
    case 4: soft_set_cr4(v, op, x); break;
    default:
        if (x & ~15ull)
            soft_raise_err(v, op, SOFT_GP, 0);
        soft_begin_callback(v, op);
        soft_verdict(v, op, v->m->write_cr8(v->m->opaque, v->id, x));
        break;
    }
}

SOFT_FN(mov_to_cr) { mov_to_cr_do(v, op); SOFT_SYNC(v, op); }

/* DR4 and DR5 are DR6 and DR7, or #UD with CR4.DE. Breakpoints themselves do not fire. */
static unsigned dr_number(struct soft_vcpu *v, const struct soft_op *op, unsigned n)
{
    need_cpl0(v, op);
    if (n == 4 || n == 5) {
        if (v->cr4 & CR4_DE)
            soft_raise(v, op, SOFT_UD);
        n += 2;
    }
    if (v->dr[7] & 1u << 13) {               /* DR7.GD */
        v->dr[6] |= 1u << 13;
        v->dr[7] &= ~(1ull << 13);
        soft_raise(v, op, SOFT_DB);
    }
    return n;
}

SOFT_FN(mov_from_dr)
{
    unsigned n = dr_number(v, op, op->s);

    R64(op->d) = n == 6 ? v->dr[6] | 0xffff0ff0 : n == 7 ? v->dr[7] | 0x400 : v->dr[n];
    SOFT_NEXT;
}

SOFT_FN(mov_to_dr)
{
    unsigned n = dr_number(v, op, op->d);
    uint64_t x = soft_code64(v) ? R64(op->s) : R32(op->s);

    if (n >= 6 && x >> 32)
        soft_raise_err(v, op, SOFT_GP, 0);
    /* Reserved bits keep their values: SDM vol. 3, 17.2.3 and 17.2.4. */
    v->dr[n] = n == 6 ? (x & 0xe00f) | 0xffff0ff0 : n == 7 ? (x & 0xffff23ff) | 0x400 : x;
    SOFT_NEXT;
}

SOFT_FN(clts)
{
    need_cpl0(v, op);
    v->cr0 &= ~(uint64_t)CR0_TS;
    soft_update_fpu(v);
    SOFT_NEXT;
}

static __attribute__((noinline)) void lmsw_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t x;

    need_cpl0(v, op);
    x = op->s == 0xff ? soft_ld16(v, op, soft_ea(v, op, 2, false)) : R16(op->s);
    /* Sets PE MP EM TS, but cannot clear PE. */
    soft_set_cr0(v, op, (v->cr0 & ~14ull) | (x & 15));
}

SOFT_FN(lmsw) { lmsw_do(v, op); SOFT_SYNC(v, op); }

static void check_umip(struct soft_vcpu *v, const struct soft_op *op)
{
    if (v->cr4 & CR4_UMIP && v->cpl)
        soft_raise_err(v, op, SOFT_GP, 0);
}

SOFT_FN(smsw)
{
    check_umip(v, op);
    if (op->d == 0xff)
        soft_st16(v, op, soft_ea(v, op, 2, true), (uint16_t)v->cr0);
    else if (op->x == 16)
        R16(op->d) = (uint16_t)v->cr0;
    else
        R64(op->d) = op->x == 32 ? (uint32_t)v->cr0 : v->cr0;
    SOFT_NEXT;
}

/* --------------------------------------------------------------- descriptor tables, TLB, caches */

static __attribute__((noinline)) void load_table(struct soft_vcpu *v, const struct soft_op *op,
                                                 struct engine_table *t)
{
    unsigned size = soft_code64(v) ? 8 : 4;
    uint64_t va, base;
    uint16_t limit;

    need_cpl0(v, op);
    va = soft_ea(v, op, size + 2, false);
    limit = (uint16_t)soft_ld_slow(v, op, va, 2);
    base = soft_ld_slow(v, op, va + 2, size);
    if (op->x == 16)
        base &= 0xffffff;
    if (size == 8 && !soft_canonical(base))
        soft_raise_err(v, op, SOFT_GP, 0);
    t->base = base;
    t->limit = limit;
}

static __attribute__((noinline)) void store_table(struct soft_vcpu *v, const struct soft_op *op,
                                                  const struct engine_table *t)
{
    unsigned size = soft_code64(v) ? 8 : 4;
    uint64_t va;

    check_umip(v, op);
    va = soft_ea(v, op, size + 2, true);
    soft_probe(v, op, va, size + 2, true);
    soft_st_slow(v, op, va, 2, t->limit);
    soft_st_slow(v, op, va + 2, size, t->base);
}

SOFT_FN(lgdt) { load_table(v, op, &v->gdtr); SOFT_SYNC(v, op); }
SOFT_FN(lidt) { load_table(v, op, &v->idtr); SOFT_SYNC(v, op); }
SOFT_FN(sgdt) { store_table(v, op, &v->gdtr); SOFT_NEXT; }
SOFT_FN(sidt) { store_table(v, op, &v->idtr); SOFT_NEXT; }

static __attribute__((noinline)) void invlpg_do(struct soft_vcpu *v, const struct soft_op *op)
{
    need_cpl0(v, op);
    soft_tlb_flush_page(v, soft_ea_raw(v, op) + (op->ea == SOFT_EA_BASED ? v->segbase[op->seg] :
                                                 op->ea >= SOFT_EA_SEG16 && op->seg <= ENGINE_GS
                                                     ? v->segbase[op->seg] : 0));
}

SOFT_FN(invlpg) { invlpg_do(v, op); SOFT_SYNC(v, op); }
SOFT_FN(wbinvd) { need_cpl0(v, op); SOFT_NEXT; }

/* CLFLUSH and its kin: nothing to do, but they fault as loads. */
SOFT_FN(clflush)
{
    soft_probe(v, op, soft_ea(v, op, 1, false), 1, false);
    SOFT_NEXT;
}

/* ---------------------------------------------------------------- CPUID, time, MSRs */

static __attribute__((noinline)) void cpuid_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint32_t leaf = R32(0), r[4] = { 0 };

    soft_begin_callback(v, op);
    v->m->cpuid(v->m->opaque, v->id, leaf, R32(SOFT_G(1)), r);
    R64(SOFT_G(0)) = r[0];
    R64(SOFT_G(3)) = r[1];
    R64(SOFT_G(1)) = r[2];
    R64(SOFT_G(2)) = r[3];
}

SOFT_FN(cpuid) { cpuid_do(v, op); SOFT_NEXT; }

static uint64_t guest_tsc(struct soft_vcpu *v)
{
    return __rdtsc() + v->tsc_offset;
}

static void put_edx_eax(struct soft_vcpu *v, uint64_t x)
{
    R64(SOFT_G(0)) = (uint32_t)x;
    R64(SOFT_G(2)) = x >> 32;
}

SOFT_FN(rdtsc)
{
    if (v->cr4 & CR4_TSD && v->cpl)
        soft_raise_err(v, op, SOFT_GP, 0);
    put_edx_eax(v, guest_tsc(v));
    SOFT_NEXT;
}

SOFT_FN(rdtscp)
{
    if (v->cr4 & CR4_TSD && v->cpl)
        soft_raise_err(v, op, SOFT_GP, 0);
    put_edx_eax(v, guest_tsc(v));
    R64(SOFT_G(1)) = (uint32_t)v->tsc_aux;
    SOFT_NEXT;
}

SOFT_FN(rdpid) { R64(op->d) = v->tsc_aux; SOFT_NEXT; }

/* There are no performance counters. */
SOFT_FN(rdpmc) { soft_raise_err(v, op, SOFT_GP, 0); }

/* The MSRs that the engine owns; numbers from the SDM vol. 4. */
enum {
    MSR_TSC = 0x10, MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176,
    MSR_PAT = 0x277, MSR_XSS = 0xda0,
};
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u

static uint64_t *plain_msr(struct soft_vcpu *v, uint32_t msr, bool *canonical)
{
    *canonical = true;
    switch (msr) {
    case MSR_LSTAR: return &v->lstar;
    case MSR_CSTAR: return &v->cstar;
    case MSR_KERNEL_GS_BASE: return &v->kernel_gs_base;
    case MSR_SYSENTER_ESP: return &v->sysenter_esp;
    case MSR_SYSENTER_EIP: return &v->sysenter_eip;
    case MSR_FS_BASE: return &v->seg[ENGINE_FS].base;
    case MSR_GS_BASE: return &v->seg[ENGINE_GS].base;
    default: break;
    }
    *canonical = false;
    switch (msr) {
    case MSR_STAR: return &v->star;
    case MSR_SFMASK: return &v->sfmask;
    case MSR_SYSENTER_CS: return &v->sysenter_cs;
    case MSR_TSC_AUX: return &v->tsc_aux;
    default: return NULL;
    }
}

static bool valid_pat(uint64_t x)
{
    for (unsigned i = 0; i < 8; i++, x >>= 8)
        if ((x & 0xff) > 7 || (x & 0xff) == 2 || (x & 0xff) == 3)
            return false;
    return true;
}

static __attribute__((noinline)) void rdmsr_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint32_t msr = R32(SOFT_G(1));
    uint64_t x = 0, *p;
    bool canonical;

    need_cpl0(v, op);
    p = plain_msr(v, msr, &canonical);
    if (p)
        x = *p;
    else if (msr == MSR_EFER)
        x = v->efer;
    else if (msr == MSR_PAT)
        x = v->pat;
    else if (msr == MSR_TSC)
        x = guest_tsc(v);
    else {
        soft_begin_callback(v, op);
        soft_verdict(v, op, v->m->rdmsr(v->m->opaque, v->id, msr, &x));
    }
    put_edx_eax(v, x);
}

static __attribute__((noinline)) void wrmsr_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint32_t msr = R32(SOFT_G(1));
    uint64_t x = R64(SOFT_G(2)) << 32 | R32(0), *p;
    bool canonical;

    need_cpl0(v, op);
    p = plain_msr(v, msr, &canonical);
    if (p) {
        if (canonical && !soft_canonical(x))
            soft_raise_err(v, op, SOFT_GP, 0);
        if (msr == MSR_TSC_AUX && x >> 32)
            soft_raise_err(v, op, SOFT_GP, 0);
        *p = msr == MSR_SFMASK ? (uint32_t)x : x;
        v->segbase[ENGINE_FS] = v->seg[ENGINE_FS].base;
        v->segbase[ENGINE_GS] = v->seg[ENGINE_GS].base;
    } else if (msr == MSR_EFER) {
        soft_set_efer(v, op, x);
    } else if (msr == MSR_PAT) {
        if (!valid_pat(x))
            soft_raise_err(v, op, SOFT_GP, 0);
        v->pat = x;
    } else if (msr == MSR_TSC) {
        v->tsc_offset = x - __rdtsc();
    } else {
        soft_begin_callback(v, op);
        soft_verdict(v, op, v->m->wrmsr(v->m->opaque, v->id, msr, x));
    }
}

SOFT_FN(rdmsr) { rdmsr_do(v, op); SOFT_SYNC(v, op); }
SOFT_FN(wrmsr) { wrmsr_do(v, op); SOFT_SYNC(v, op); }

/* ---------------------------------------------------------- SYSCALL, SYSENTER, SWAPGS, FSGSBASE */

static void flat_code(struct soft_vcpu *v, uint16_t sel, unsigned dpl, bool wide)
{
    soft_set_seg(v, ENGINE_CS, &(struct engine_segment){
        .sel = sel, .limit = 0xffffffff,
        .attr = (uint16_t)(0x9b | dpl << 5 | SEG_G | (wide ? SEG_L : SEG_DB)) });
}

static void flat_stack(struct soft_vcpu *v, uint16_t sel, unsigned dpl)
{
    soft_set_seg(v, ENGINE_SS, &(struct engine_segment){
        .sel = sel, .limit = 0xffffffff, .attr = (uint16_t)(0x93 | dpl << 5 | SEG_G | SEG_DB) });
}

/*
 * SYSCALL and SYSRET trap for TF as it is behind them, unlike all other instructions: a kernel masks
 * it on entry, and a debugger's step over the system call ends when SYSRET brings it back.
 */
static void settle_tf(struct soft_vcpu *v)
{
    v->tf_settled = true;
    if (soft_unlikely(v->rflags & FL_TF))
        soft_step_trap(v);
}

static __attribute__((noinline)) void syscall_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t next = SOFT_RIP(v, op) + op->len;
    uint16_t cs = (uint16_t)(v->star >> 32 & 0xfffc);
    bool wide = soft_code64(v);

    /* Intel: only from 64-bit code; their kernels leave CSTAR at 0. */
    if (!(v->efer & EFER_SCE) || !soft_long(v) || (!wide && !v->e->amd))
        soft_raise(v, op, SOFT_UD);
    v->gpr[ENGINE_RCX] = wide ? next : (uint32_t)next;
    v->gpr[ENGINE_R11] = soft_get_rflags(v) & ~(uint64_t)FL_RF;
    v->gpr[16] = wide ? v->lstar : v->cstar;
    flat_code(v, cs, 0, true);
    flat_stack(v, (uint16_t)(cs + 8), 0);
    v->cpl = 0;
    soft_set_rflags(v, 0, (v->sfmask | FL_RF) & ~(uint64_t)FL_ONE);
    soft_update_mode(v);
    settle_tf(v);
}

static __attribute__((noinline)) void sysret_do(struct soft_vcpu *v, const struct soft_op *op)
{
    bool wide = op->x == 64;
    uint16_t sel = (uint16_t)(v->star >> 48);

    if (!(v->efer & EFER_SCE) || !soft_long(v))
        soft_raise(v, op, SOFT_UD);
    need_cpl0(v, op);
    if (wide && !soft_canonical(v->gpr[ENGINE_RCX]))
        soft_raise_err(v, op, SOFT_GP, 0);
    v->gpr[16] = wide ? v->gpr[ENGINE_RCX] : (uint32_t)v->gpr[ENGINE_RCX];
    flat_code(v, (uint16_t)((sel + (wide ? 16 : 0)) | 3), 3, wide);
    flat_stack(v, (uint16_t)((sel + 8) | 3), 3);
    v->cpl = 3;
    soft_set_rflags(v, v->gpr[ENGINE_R11], 0x3f7fd7 & ~(uint64_t)(FL_RF | FL_VM | FL_ONE));
    soft_update_mode(v);
    settle_tf(v);
}

static __attribute__((noinline)) void sysenter_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint16_t cs = (uint16_t)(v->sysenter_cs & 0xfffc);
    bool lng = soft_long(v);

    if (lng && v->e->amd)                    /* AMD: not in long mode */
        soft_raise(v, op, SOFT_UD);
    if (!(v->cr0 & CR0_PE) || !cs)
        soft_raise_err(v, op, SOFT_GP, 0);
    v->gpr[ENGINE_RSP] = lng ? v->sysenter_esp : (uint32_t)v->sysenter_esp;
    v->gpr[16] = lng ? v->sysenter_eip : (uint32_t)v->sysenter_eip;
    flat_code(v, cs, 0, lng);
    flat_stack(v, (uint16_t)(cs + 8), 0);
    v->cpl = 0;
    soft_set_rflags(v, 0, FL_IF | FL_RF | FL_VM);
    soft_update_mode(v);
}

static __attribute__((noinline)) void sysexit_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint16_t sel = (uint16_t)(v->sysenter_cs & 0xfffc);
    bool wide = op->x == 64;
    uint64_t rip = v->gpr[ENGINE_RDX], rsp = v->gpr[ENGINE_RCX];

    if (soft_long(v) && v->e->amd)
        soft_raise(v, op, SOFT_UD);
    if (!(v->cr0 & CR0_PE) || v->cpl || !sel)
        soft_raise_err(v, op, SOFT_GP, 0);
    if (wide && (!soft_canonical(rip) || !soft_canonical(rsp)))
        soft_raise_err(v, op, SOFT_GP, 0);
    v->gpr[16] = wide ? rip : (uint32_t)rip;
    v->gpr[ENGINE_RSP] = wide ? rsp : (uint32_t)rsp;
    flat_code(v, (uint16_t)((sel + (wide ? 32 : 16)) | 3), 3, wide);
    flat_stack(v, (uint16_t)((sel + (wide ? 40 : 24)) | 3), 3);
    v->cpl = 3;
    soft_update_mode(v);
}

SOFT_FN(syscall_) { syscall_do(v, op); SOFT_SYNC_AT(v, op); }
SOFT_FN(sysret) { sysret_do(v, op); SOFT_SYNC_AT(v, op); }
SOFT_FN(sysenter) { sysenter_do(v, op); SOFT_SYNC_AT(v, op); }
SOFT_FN(sysexit) { sysexit_do(v, op); SOFT_SYNC_AT(v, op); }

SOFT_FN(swapgs)
{
    uint64_t x = v->seg[ENGINE_GS].base;

    need_cpl0(v, op);
    v->seg[ENGINE_GS].base = v->segbase[ENGINE_GS] = v->kernel_gs_base;
    v->kernel_gs_base = x;
    SOFT_NEXT;
}

/* d: register; s: ENGINE_FS or ENGINE_GS; x: bits | 1 to write */
SOFT_FN(fsgsbase)
{
    if (!(v->cr4 & CR4_FSGSBASE))
        soft_raise(v, op, SOFT_UD);
    if (op->x & 1) {
        uint64_t x = op->x & 64 ? R64(op->d) : R32(op->d);
        if (!soft_canonical(x))
            soft_raise_err(v, op, SOFT_GP, 0);
        v->seg[op->s].base = v->segbase[op->s] = x;
    } else {
        R64(op->d) = op->x & 64 ? v->seg[op->s].base : (uint32_t)v->seg[op->s].base;
    }
    SOFT_NEXT;
}

SOFT_FN(stac_clac)
{
    if (v->cpl)
        soft_raise(v, op, SOFT_UD);
    soft_set_rflags(v, op->x ? FL_AC : 0, FL_AC);
    SOFT_NEXT;
}

/* -------------------------------------------------------------- software interrupts, hypercalls */

static void deliver_next(struct soft_vcpu *v, const struct soft_op *op, unsigned vector,
                         enum soft_event type)
{
    uint64_t next = SOFT_RIP(v, op) + op->len;

    v->int_rip = SOFT_RIP(v, op);
    v->gpr[16] = soft_code64(v) ? next : (uint32_t)next;
    v->event.valid = true;
    v->event.vector = (uint8_t)vector;
    v->event.type = type;
    v->event.has_error = false;
}

/* x: vector; the run loop delivers. */
SOFT_FN(int_n) { deliver_next(v, op, op->x, SOFT_EV_SOFT); SOFT_SYNC_AT(v, op); }
SOFT_FN(int1) { deliver_next(v, op, SOFT_DB, SOFT_EV_FAULT); SOFT_SYNC_AT(v, op); }
SOFT_FN(into)
{
    if (!soft_of(v))
        SOFT_SYNC(v, op);
    deliver_next(v, op, SOFT_OF, SOFT_EV_SOFT);
    SOFT_SYNC_AT(v, op);
}

SOFT_FN(bound)
{
    unsigned size = op->x / 8;
    uint64_t va = soft_ea(v, op, 2 * size, false);
    int64_t i = size == 2 ? (int16_t)R16(op->d) : (int32_t)R32(op->d);
    uint64_t lo = soft_ld_slow(v, op, va, size), hi = soft_ld_slow(v, op, va + size, size);

    if (size == 2 ? i < (int16_t)lo || i > (int16_t)hi : i < (int32_t)lo || i > (int32_t)hi)
        soft_raise(v, op, SOFT_BR);
    SOFT_NEXT;
}

SOFT_FN(ud) { soft_raise(v, op, SOFT_UD); }

static __attribute__((noinline)) void hypercall_do(struct soft_vcpu *v, const struct soft_op *op)
{
    uint64_t start = SOFT_RIP(v, op), next = start + op->len;
    enum engine_verdict verdict;

    v->gpr[16] = soft_code64(v) ? next : (uint32_t)next;
    soft_begin_callback(v, NULL);
    verdict = v->m->hypercall(v->m->opaque, v->id, v->gpr);
    v->gpr[17] = 0;
    if (verdict == ENGINE_FAULT_UD || verdict == ENGINE_FAULT_GP) {
        v->gpr[16] = start;
        if (verdict == ENGINE_FAULT_UD)
            soft_raise(v, NULL, SOFT_UD);
        soft_raise_err(v, NULL, SOFT_GP, 0);
    }
    soft_verdict(v, op, verdict);
}

SOFT_FN(hypercall) { hypercall_do(v, op); SOFT_SYNC_AT(v, op); }

/* ---------------------------------------------------------------- selection */

static soft_fn sel_cr_dr(struct soft_insn *in, struct soft_op *op)
{
    ZydisRegister a = in->o[0].reg.value, b = in->o[1].reg.value;

    if (ZydisRegisterGetClass(a) == ZYDIS_REGCLASS_CONTROL) {
        op->d = (uint8_t)(a - ZYDIS_REGISTER_CR0);
        op->s = soft_reg(in, 1);
        in->end = SOFT_END_SYNC;
        return op->d == 0 || op->d == 8 || (op->d >= 2 && op->d <= 4) ? mov_to_cr : ud;
    }
    if (ZydisRegisterGetClass(b) == ZYDIS_REGCLASS_CONTROL) {
        op->s = (uint8_t)(b - ZYDIS_REGISTER_CR0);
        op->d = soft_reg(in, 0);
        return op->s == 0 || op->s == 8 || (op->s >= 2 && op->s <= 4) ? mov_from_cr : ud;
    }
    if (ZydisRegisterGetClass(a) == ZYDIS_REGCLASS_DEBUG) {
        op->d = (uint8_t)(a - ZYDIS_REGISTER_DR0);
        op->s = soft_reg(in, 1);
        return op->d < 8 ? mov_to_dr : ud;
    }
    op->s = (uint8_t)(b - ZYDIS_REGISTER_DR0);
    op->d = soft_reg(in, 0);
    return op->s < 8 ? mov_from_dr : ud;
}

static soft_fn sel_fsgs(struct soft_insn *in, struct soft_op *op, enum engine_sreg seg, bool write)
{
    op->d = soft_reg(in, 0);
    op->s = seg;
    op->x = (uint8_t)((in->o[0].size == 64 ? 64 : 32) | write);
    return fsgsbase;
}

static soft_fn sel_tables(struct soft_insn *in, struct soft_op *op)
{
    op->x = in->bits;
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_LGDT: in->end = SOFT_END_SYNC; return lgdt;
    case ZYDIS_MNEMONIC_LIDT: in->end = SOFT_END_SYNC; return lidt;
    case ZYDIS_MNEMONIC_SGDT: return sgdt;
    case ZYDIS_MNEMONIC_SIDT: return sidt;
    case ZYDIS_MNEMONIC_LMSW:
        in->end = SOFT_END_SYNC;
        op->s = soft_is_mem(in, 0) ? 0xff : soft_reg(in, 0);
        return lmsw;
    case ZYDIS_MNEMONIC_SMSW:
        op->d = soft_is_mem(in, 0) ? 0xff : soft_reg(in, 0);
        op->x = (uint8_t)in->o[0].size;
        return smsw;
    default: return NULL;
    }
}

static soft_fn sel_entry(struct soft_insn *in, struct soft_op *op)
{
    in->end = SOFT_END_SYNC;
    op->x = in->bits;
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_SYSCALL: return syscall_;
    case ZYDIS_MNEMONIC_SYSRET:
        op->x = in->i.raw.rex.W ? 64 : 32;
        return sysret;
    case ZYDIS_MNEMONIC_SYSENTER: return sysenter;
    case ZYDIS_MNEMONIC_SYSEXIT:
        op->x = in->i.raw.rex.W ? 64 : 32;
        return sysexit;
    case ZYDIS_MNEMONIC_VMCALL:
    case ZYDIS_MNEMONIC_VMMCALL: return hypercall;
    case ZYDIS_MNEMONIC_INT: op->x = (uint8_t)in->o[0].imm.value.u; return int_n;
    case ZYDIS_MNEMONIC_INT3: op->x = SOFT_BP; return int_n;
    case ZYDIS_MNEMONIC_INT1: return int1;
    case ZYDIS_MNEMONIC_INTO: return into;
    case ZYDIS_MNEMONIC_STI: return sti;
    case ZYDIS_MNEMONIC_HLT: return hlt;
    case ZYDIS_MNEMONIC_INVLPG: return invlpg;
    case ZYDIS_MNEMONIC_RDMSR: return rdmsr;
    case ZYDIS_MNEMONIC_WRMSR: return wrmsr;
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2: return ud;
    default: in->end = SOFT_END_NO; return NULL;
    }
}

soft_fn soft_sel_sys(struct soft_insn *in, struct soft_op *op)
{
    switch (in->i.mnemonic) {
    case ZYDIS_MNEMONIC_MOV: return sel_cr_dr(in, op);
    case ZYDIS_MNEMONIC_LGDT: case ZYDIS_MNEMONIC_LIDT: case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT: case ZYDIS_MNEMONIC_LMSW: case ZYDIS_MNEMONIC_SMSW:
        return sel_tables(in, op);
    case ZYDIS_MNEMONIC_CLI: return cli;
    case ZYDIS_MNEMONIC_CLTS: return clts;
    case ZYDIS_MNEMONIC_INVD:
    case ZYDIS_MNEMONIC_WBINVD: return wbinvd;
    case ZYDIS_MNEMONIC_CLFLUSH:
    case ZYDIS_MNEMONIC_CLFLUSHOPT: return clflush;
    case ZYDIS_MNEMONIC_CPUID: return cpuid;
    case ZYDIS_MNEMONIC_RDTSC: return rdtsc;
    case ZYDIS_MNEMONIC_RDTSCP: return rdtscp;
    case ZYDIS_MNEMONIC_RDPID: op->d = soft_reg(in, 0); return rdpid;
    case ZYDIS_MNEMONIC_RDPMC: return rdpmc;
    case ZYDIS_MNEMONIC_SWAPGS: return swapgs;
    case ZYDIS_MNEMONIC_RDFSBASE: return sel_fsgs(in, op, ENGINE_FS, false);
    case ZYDIS_MNEMONIC_RDGSBASE: return sel_fsgs(in, op, ENGINE_GS, false);
    case ZYDIS_MNEMONIC_WRFSBASE: return sel_fsgs(in, op, ENGINE_FS, true);
    case ZYDIS_MNEMONIC_WRGSBASE: return sel_fsgs(in, op, ENGINE_GS, true);
    case ZYDIS_MNEMONIC_STAC: op->x = 1; return stac_clac;
    case ZYDIS_MNEMONIC_CLAC: op->x = 0; return stac_clac;
    case ZYDIS_MNEMONIC_BOUND: op->d = soft_reg(in, 0); op->x = in->bits; return bound;
    default: return sel_entry(in, op);
    }
}
