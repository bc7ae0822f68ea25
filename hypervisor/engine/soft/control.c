/* SPDX-License-Identifier: MIT */
/* Control registers, EFER and RFLAGS, and what follows from them: the mode that code is decoded
 * for, which TLB is in use, whether floating point traps. */
#include "hypervisor/engine/soft/internal.h"

#define CR0_ALL (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | \
                 CR0_CD | CR0_PG)
/* As CPUID says (cpuid.c): no VME, no PCID, no XSAVE, no UMIP beyond what is listed here. */
#define CR4_ALL (CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | \
                 CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_SMEP | CR4_SMAP)
#define EFER_ALL (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define CR3_RSVD (~((1ull << 46) - 1))

void soft_attend(struct soft_vcpu *v, unsigned bits)
{
    atomic_fetch_or_explicit(&v->attention, bits, memory_order_relaxed);
}

void soft_update_fpu(struct soft_vcpu *v)
{
    v->x87_trap = v->cr0 & (CR0_EM | CR0_TS) ? SOFT_NM : 0;
    if (v->cr0 & CR0_EM || !(v->cr4 & CR4_OSFXSR))
        v->sse_trap = SOFT_UD;
    else
        v->sse_trap = v->cr0 & CR0_TS ? SOFT_NM : 0;
}

void soft_update_mode(struct soft_vcpu *v)
{
    const struct engine_segment *cs = &v->seg[ENGINE_CS];
    uint32_t mode = v->mode & SOFT_M_STEP;

    if (soft_long(v) && cs->attr & SEG_L)
        mode |= SOFT_M_CODE64;
    else if (cs->attr & SEG_DB)
        mode |= SOFT_M_CODE32;
    if (!(mode & SOFT_M_CODE64) && v->seg[ENGINE_SS].attr & SEG_DB)
        mode |= SOFT_M_STACK32;
    if (v->cpl == 3)
        mode |= SOFT_M_USER;
    if (v->cr0 & CR0_PE)
        mode |= SOFT_M_PROT;
    v->mode = mode;
    v->tlb = v->tlbs[soft_kind(v)];
    v->jc_salt = (uint64_t)v->jc_gen_used[v->cpl == 3] << 48;
}

void soft_set_rflags(struct soft_vcpu *v, uint64_t val, uint64_t mask)
{
    uint64_t old = v->rflags, other = mask & ~(uint64_t)FL_ARITH;

    if (mask & FL_ARITH)
        soft_set_flags(v,
                       (soft_get_flags(v) & ~(uint32_t)mask) | ((uint32_t)(val & mask) & FL_ARITH));
    v->rflags = (old & ~other) | (val & other);
    if ((old ^ v->rflags) & FL_AC)
        v->tlb = v->tlbs[soft_kind(v)];
    if (v->rflags & FL_TF)
        soft_attend(v, SOFT_ATT_EVENT);
}

void soft_set_cr0(struct soft_vcpu *v, const struct soft_op *op, uint64_t val)
{
    uint64_t old = v->cr0, diff;

    if (val >> 32 || (val & CR0_PG && !(val & CR0_PE)) || (val & CR0_NW && !(val & CR0_CD)))
        soft_raise_err(v, op, SOFT_GP, 0);
    val = (val & CR0_ALL) | CR0_ET;
    diff = old ^ val;
    if (diff & CR0_PG) {
        bool on = val & CR0_PG;
        if (on && v->efer & EFER_LME && (!(v->cr4 & CR4_PAE) || v->seg[ENGINE_CS].attr & SEG_L))
            soft_raise_err(v, op, SOFT_GP, 0);
        if (!on && soft_code64(v))
            soft_raise_err(v, op, SOFT_GP, 0);
        if (v->efer & EFER_LME)
            v->efer = on ? v->efer | EFER_LMA : v->efer & ~(uint64_t)EFER_LMA;
    }
    v->cr0 = val;
    if (diff & (CR0_PG | CR0_WP | CR0_PE))
        soft_tlb_flush(v, true);
    soft_update_fpu(v);
    soft_update_mode(v);
}

void soft_set_cr3(struct soft_vcpu *v, const struct soft_op *op, uint64_t val)
{
    if (soft_long(v) && val & CR3_RSVD)
        soft_raise_err(v, op, SOFT_GP, 0);
    v->cr3 = soft_long(v) ? val : (uint32_t)val;
    soft_tlb_flush(v, false);
}

void soft_set_cr4(struct soft_vcpu *v, const struct soft_op *op, uint64_t val)
{
    uint64_t diff = v->cr4 ^ val;

    if (val & ~(uint64_t)CR4_ALL || (soft_long(v) && !(val & CR4_PAE)))
        soft_raise_err(v, op, SOFT_GP, 0);
    v->cr4 = val;
    if (diff & (CR4_PGE | CR4_PSE | CR4_PAE | CR4_SMEP | CR4_SMAP))
        soft_tlb_flush(v, true);
    soft_update_fpu(v);
    soft_update_mode(v);
}

void soft_set_efer(struct soft_vcpu *v, const struct soft_op *op, uint64_t val)
{
    uint64_t diff = v->efer ^ val;

    if (val & ~(uint64_t)EFER_ALL || (diff & EFER_LME && v->cr0 & CR0_PG))
        soft_raise_err(v, op, SOFT_GP, 0);
    v->efer = (val & ~(uint64_t)EFER_LMA) | (v->efer & EFER_LMA);
    if (diff & EFER_NXE)
        soft_tlb_flush(v, true);
}
