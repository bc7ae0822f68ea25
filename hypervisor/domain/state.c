/* SPDX-License-Identifier: MIT */
#include "hypervisor/domain/state.h"

#include <errno.h>
#include <string.h>

#define CR0_PE      (1ull << 0)
#define CR0_ET      (1ull << 4)
#define CR0_NW      (1ull << 29)
#define CR0_CD      (1ull << 30)
#define CR0_PG      (1ull << 31)
#define CR4_PAE     (1ull << 5)
#define EFER_LME    (1ull << 8)
#define EFER_LMA    (1ull << 10)
#define RFLAGS_MBS  2ull
#define PAT_RESET   0x0007040600070406ull
#define DR6_RESET   0xffff0ff0ull
#define DR7_RESET   0x400ull
#define ATTR_P      0x080u
#define ATTR_S      0x010u
#define ATTR_L      0x200u
#define ATTR_DB     0x400u
#define ATTR_G      0x800u

/* Registers that both structures have under related names: one list, both directions. */
#define GPRS(X) \
    X(RAX, rax) \
    X(RCX, rcx) X(RDX, rdx) X(RBX, rbx) X(RSP, rsp) X(RBP, rbp) X(RSI, rsi) X(RDI, rdi) X(R8, r8) \
        X(R9, r9) X(R10, r10) X(R11, r11) X(R12, r12) X(R13, r13) X(R14, r14) X(R15, r15)
#define PLAIN(X) \
    X(rip, rip) \
    X(rflags, rflags) X(cr0, cr0) X(cr2, cr2) X(cr3, cr3) X(cr4, cr4) X(efer, msr_efer) \
        X(dr[0], dr0) X(dr[1], dr1) X(dr[2], dr2) X(dr[3], dr3) X(dr[6], dr6) X(dr[7], dr7) \
            X(star, msr_star) X(lstar, msr_lstar) X(cstar, msr_cstar) X(sfmask, msr_syscall_mask) \
                X(kernel_gs_base, shadow_gs) X(sysenter_cs, sysenter_cs) \
                    X(sysenter_esp, sysenter_esp) X(sysenter_eip, sysenter_eip) \
                        X(tsc_aux, msr_tsc_aux) X(gdtr.base, gdtr_base) X(idtr.base, idtr_base)
#define SEGMENTS(X) \
    X(seg[ENGINE_CS], cs) X(seg[ENGINE_DS], ds) X(seg[ENGINE_ES], es) X(seg[ENGINE_FS], fs) \
    X(seg[ENGINE_GS], gs) X(seg[ENGINE_SS], ss) X(tr, tr) X(ldtr, ldtr)

void state_to_hw(const struct engine_state *s, struct hvm_hw_cpu *hw, uint64_t tsc_now)
{
    memset(hw, 0, sizeof(*hw));
    memcpy(hw->fpu_regs, s->fx, sizeof(hw->fpu_regs));
    hw->flags = XEN_X86_FPU_INITIALISED;
#define X(n, f) hw->f = s->gpr[ENGINE_##n];
    GPRS(X)
#undef X
#define X(e, f) hw->f = s->e;
    PLAIN(X)
#undef X
#define X(e, f) hw->f##_sel = s->e.sel; hw->f##_limit = s->e.limit; \
    hw->f##_base = s->e.base; hw->f##_arbytes = s->e.attr;
    SEGMENTS(X)
#undef X
    hw->gdtr_limit = s->gdtr.limit;
    hw->idtr_limit = s->idtr.limit;
    hw->tsc = tsc_now + s->tsc_offset;
    if (s->event.valid) {
        hw->pending_vector = s->event.vector;
        hw->pending_type = s->event.type & 7;
        hw->pending_error_valid = s->event.has_error;
        hw->pending_valid = 1;
        hw->error_code = s->event.error;
    }
}

/* The x87 and SSE state after FNINIT and reset, as an FXSAVE image (FCW, MXCSR). */
static void fx_reset(uint8_t *fx)
{
    const uint16_t fcw = 0x37f;
    const uint32_t mxcsr = 0x1f80;

    memset(fx, 0, 512);
    memcpy(fx, &fcw, sizeof(fcw));
    memcpy(fx + 24, &mxcsr, sizeof(mxcsr));
}

void state_from_hw(const struct hvm_hw_cpu *hw, struct engine_state *s, uint64_t tsc_now)
{
    memset(s, 0, sizeof(*s));
    if (hw->flags & XEN_X86_FPU_INITIALISED) {
        memcpy(s->fx, hw->fpu_regs, sizeof(s->fx));
    } else {
        fx_reset(s->fx);
    }
#define X(n, f) s->gpr[ENGINE_##n] = hw->f;
    GPRS(X)
#undef X
#define X(e, f) s->e = hw->f;
    PLAIN(X)
#undef X
#define X(e, f) s->e.sel = (uint16_t)hw->f##_sel; s->e.limit = hw->f##_limit; \
    s->e.base = hw->f##_base; s->e.attr = (uint16_t)hw->f##_arbytes & 0xfff;
    SEGMENTS(X)
#undef X
    s->gdtr.limit = (uint16_t)hw->gdtr_limit;
    s->idtr.limit = (uint16_t)hw->idtr_limit;
    s->tsc_offset = hw->tsc - tsc_now;
    s->rflags |= RFLAGS_MBS;
    s->pat = PAT_RESET;
    s->xcr0 = 1;
    if (hw->pending_valid) {
        s->event.valid = true;
        s->event.vector = hw->pending_vector;
        s->event.type = hw->pending_type;
        s->event.has_error = hw->pending_error_valid;
        s->event.error = hw->error_code;
    }
}

static void set_segment(struct engine_segment *seg, uint16_t sel, uint64_t base, uint32_t limit,
                        uint16_t attr)
{
    *seg = (struct engine_segment){ .sel = sel, .base = base, .limit = limit, .attr = attr };
}

void state_reset(struct engine_state *s)
{
    memset(s, 0, sizeof(*s));
    fx_reset(s->fx);
    s->gpr[ENGINE_RDX] = 0xf00; /* a CPU signature of some P6 or later, as real ones leave there */
    s->rflags = RFLAGS_MBS;
    s->cr0 = CR0_ET | CR0_CD | CR0_NW;
    s->dr[6] = DR6_RESET;
    s->dr[7] = DR7_RESET;
    s->pat = PAT_RESET;
    s->xcr0 = 1;
    for (int i = 0; i < ENGINE_NR_SREGS; i++) {
        set_segment(&s->seg[i], 0, 0, 0xffff, 0x93);
    }
    set_segment(&s->seg[ENGINE_CS], 0xf000, 0xffff0000, 0xffff, 0x9b);
    set_segment(&s->tr, 0, 0, 0xffff, 0x8b);
    set_segment(&s->ldtr, 0, 0, 0xffff, 0x82);
    s->gdtr.limit = s->idtr.limit = 0xffff;
    s->rip = 0xfff0;
}

void state_sipi(struct engine_state *s, uint8_t vector)
{
    state_reset(s);
    set_segment(&s->seg[ENGINE_CS], (uint16_t)(vector << 8), (uint64_t)vector << 12, 0xffff, 0x9b);
    s->rip = 0;
}

/* What a CPU would have loaded: granularity and limit agree, a type that the register can hold. */
static bool segment_valid(const struct engine_segment *seg, enum engine_sreg reg)
{
    unsigned type = seg->attr & 0xf;

    if (!(seg->attr & ATTR_P)) {
        return reg != ENGINE_CS && reg != ENGINE_SS;
    }
    if ((seg->attr & 0xf000) || !(seg->attr & ATTR_S)) {
        return false;
    }
    if (seg->attr & ATTR_G ? (seg->limit & 0xfff) != 0xfff : seg->limit >> 20) {
        return false;
    }
    switch (reg) {
    case ENGINE_CS:
        return type & 8;
    case ENGINE_SS:
        return (type & 10) == 2;
    default:
        return !(type & 8) || (type & 2);
    }
}

static int from_32(const struct vcpu_hvm_x86_32 *r, struct engine_state *s)
{
    s->gpr[ENGINE_RAX] = r->eax;
    s->gpr[ENGINE_RCX] = r->ecx;
    s->gpr[ENGINE_RDX] = r->edx;
    s->gpr[ENGINE_RBX] = r->ebx;
    s->gpr[ENGINE_RSP] = r->esp;
    s->gpr[ENGINE_RBP] = r->ebp;
    s->gpr[ENGINE_RSI] = r->esi;
    s->gpr[ENGINE_RDI] = r->edi;
    s->rip = r->eip;
    s->rflags = r->eflags | RFLAGS_MBS;
    s->cr0 = r->cr0 | CR0_ET;
    s->cr3 = r->cr3;
    s->cr4 = r->cr4;
    s->efer = r->efer;
    if ((s->cr0 & CR0_PG) && (s->efer & EFER_LME)) {
        s->efer |= EFER_LMA;
    }
    set_segment(&s->seg[ENGINE_CS], 0, r->cs_base, r->cs_limit, r->cs_ar);
    set_segment(&s->seg[ENGINE_DS], 0, r->ds_base, r->ds_limit, r->ds_ar);
    set_segment(&s->seg[ENGINE_SS], 0, r->ss_base, r->ss_limit, r->ss_ar);
    set_segment(&s->seg[ENGINE_ES], 0, r->es_base, r->es_limit, r->es_ar);
    set_segment(&s->tr, 0, r->tr_base, r->tr_limit, r->tr_ar);
    s->seg[ENGINE_FS].attr = s->seg[ENGINE_GS].attr = 0;
    for (int i = ENGINE_ES; i <= ENGINE_DS; i++) {
        if (!segment_valid(&s->seg[i], i)) {
            return -EINVAL;
        }
    }
    return (s->tr.attr & (ATTR_P | ATTR_S | 0xf)) == (ATTR_P | 0xb) ? 0 : -EINVAL;
}

static int from_64(const struct vcpu_hvm_x86_64 *r, struct engine_state *s)
{
    s->gpr[ENGINE_RAX] = r->rax;
    s->gpr[ENGINE_RCX] = r->rcx;
    s->gpr[ENGINE_RDX] = r->rdx;
    s->gpr[ENGINE_RBX] = r->rbx;
    s->gpr[ENGINE_RSP] = r->rsp;
    s->gpr[ENGINE_RBP] = r->rbp;
    s->gpr[ENGINE_RSI] = r->rsi;
    s->gpr[ENGINE_RDI] = r->rdi;
    s->rip = r->rip;
    s->rflags = r->rflags | RFLAGS_MBS;
    s->cr0 = r->cr0 | CR0_ET;
    s->cr3 = r->cr3;
    s->cr4 = r->cr4;
    s->efer = r->efer;
    if (!(s->cr0 & CR0_PG) || !(s->cr0 & CR0_PE) || !(s->cr4 & CR4_PAE) || !(s->efer & EFER_LME)) {
        return -EINVAL;
    }
    s->efer |= EFER_LMA;
    for (int i = 0; i < ENGINE_NR_SREGS; i++) {
        set_segment(&s->seg[i], 0, 0, ~0u, ATTR_G | ATTR_DB | ATTR_P | ATTR_S | 3);
    }
    set_segment(&s->seg[ENGINE_CS], 0, 0, ~0u, ATTR_G | ATTR_L | ATTR_P | ATTR_S | 0xb);
    set_segment(&s->tr, 0, 0, 0x67, ATTR_P | 0xb);
    return 0;
}

int state_from_context(const struct vcpu_hvm_context *ctx, struct engine_state *s)
{
    state_reset(s);
    s->gpr[ENGINE_RDX] = 0;
    s->gdtr.limit = s->idtr.limit = 0;
    set_segment(&s->ldtr, 0, 0, 0, 0x82);
    switch (ctx->mode) {
    case VCPU_HVM_MODE_32B:
        return from_32(&ctx->cpu_regs.x86_32, s);
    case VCPU_HVM_MODE_64B:
        return from_64(&ctx->cpu_regs.x86_64, s);
    default:
        return -EINVAL;
    }
}
