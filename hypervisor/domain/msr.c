/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers that are not the engine's: the APIC's, MTRRs (kept and shown, without
 * effect: all memory is write-back), the hypercall page, and the few that kernels expect to exist.
 * An unknown one is #GP, as on Xen.
 */
#include <string.h>

#include "common/log.h"
#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/lapic.h"
#include "hypervisor/domain/memory.h"
#include "hypervisor/domain/time.h"
#include "hypervisor/domain/vcpu.h"

#define MSR_HYPERCALL_PAGE  0x40000000u /* as CPUID leaf 0x40000002 says */
#define MSR_APIC_BASE       0x1bu
#define MSR_SPEC_CTRL       0x48u
#define MSR_ARCH_CAPS       0x10au
#define MSR_TSC_DEADLINE    0x6e0u
#define MSR_MISC_ENABLE     0x1a0u
#define MSR_MTRR_DEF_TYPE   0x2ffu
#define MTRR_VAR_FIRST      0x200u
#define MTRR_VAR_LAST       0x20fu
#define MTRR_CAP            0x508u      /* 8 variable ranges, fixed ranges, write-combining */
#define MTRR_DEF_VALID      0xcffu
#define MTRR_DEF_RESET      0x806u      /* enabled, default type write-back */
#define MISC_ENABLE_RESET   0x1801u     /* fast strings; no BTS, no PEBS */
#define ANY                 UINT64_MAX

enum vendor { BOTH, INTEL, AMD };

/*
 * Registers with one fixed value. Writes are dropped if they touch only bits of `drop`, else #GP.
 * Names as in the vendors' manuals.
 */
static const struct fixed {
    uint32_t msr, last;
    enum vendor vendor;
    uint64_t value, drop;
} fixed_msrs[] = {
    { 0x00000017, 0x00000017, INTEL, 0, 0 }, /* PLATFORM_ID */
    { 0x0000003a, 0x0000003a, INTEL, 1, 0 }, /* FEATURE_CONTROL: locked, nothing on */
    { 0x00000079, 0x00000079, INTEL, 0, ANY }, /* BIOS_UPDT_TRIG */
    { 0x0000008b, 0x0000008b, BOTH, 0, ANY }, /* microcode revision */
    { 0x000000c1, 0x000000c8, INTEL, 0, ANY }, /* PMC0-7 */
    { 0x000000fe, 0x000000fe, BOTH, MTRR_CAP, 0 }, /* MTRRcap */
    { 0x00000179, 0x00000179, BOTH, 0, 0 }, /* MCG_CAP: no banks */
    { 0x0000017a, 0x0000017a, BOTH, 0, ANY }, /* MCG_STATUS */
    { 0x00000186, 0x0000018d, INTEL, 0, ANY }, /* PERFEVTSEL0-7 */
    { 0x000001d9, 0x000001d9, BOTH, 0, 0 }, /* DEBUGCTL */
    { 0x00000309, 0x0000030b, INTEL, 0, ANY }, /* FIXED_CTR0-2 */
    { 0x00000345, 0x00000345, INTEL, 0, 0 }, /* PERF_CAPABILITIES */
    { 0x0000038d, 0x00000390, INTEL, 0, ANY }, /* FIXED_CTR_CTRL ... OVF_CTRL */
    { 0xc0010000, 0xc0010007, AMD, 0, ANY }, /* PERF_CTL0-3, PERF_CTR0-3 */
    { 0xc0010010, 0xc0010010, AMD, 0, ANY }, /* SYSCFG */
    { 0xc0010015, 0xc0010015, AMD, 1u << 24, ANY }, /* HWCR: the TSC runs at P0's frequency */
    { 0xc001001f, 0xc001001f, AMD, 0, ANY }, /* NB_CFG */
    { 0xc0010020, 0xc0010020, AMD, 0, ANY }, /* PATCH_LOADER */
    { 0xc0010112, 0xc0010112, AMD, 0, 0 }, /* SMM address */
    { 0xc0010113, 0xc0010113, AMD, 0, 0 }, /* SMM mask */
    { 0xc0010140, 0xc0010141, AMD, 0, 0 }, /* OSVW id length, status */
    { 0xc0010200, 0xc001020b, AMD, 0, ANY }, /* PERF_CTL/CTR0-5 */
    { 0xc0011022, 0xc0011022, AMD, 0, ANY }, /* DC_CFG */
    { 0xc0011029, 0xc0011029, AMD, 2, ANY }, /* DE_CFG: LFENCE serialises */
};

static const uint16_t mtrr_fixed_msrs[11] = {
    0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
};

void msr_reset(struct vcpu *v)
{
    v->mtrr_def_type = MTRR_DEF_RESET;
    v->misc_enable = MISC_ENABLE_RESET;
    v->spec_ctrl = 0;
    memset(v->mtrr_var, 0, sizeof(v->mtrr_var));
    for (unsigned i = 0; i < 11; i++) {
        v->mtrr_fixed[i] = 0x0606060606060606ull;
    }
}

void msr_save(struct vcpu *v, struct hvm_hw_mtrr *hw, uint64_t pat)
{
    memset(hw, 0, sizeof(*hw));
    hw->msr_pat_cr = pat;
    hw->msr_mtrr_cap = MTRR_CAP;
    hw->msr_mtrr_def_type = v->mtrr_def_type;
    memcpy(hw->msr_mtrr_var, v->mtrr_var, sizeof(hw->msr_mtrr_var));
    memcpy(hw->msr_mtrr_fixed, v->mtrr_fixed, sizeof(hw->msr_mtrr_fixed));
}

/* The PAT is the engine's, and comes with the CPU's state. */
void msr_load(struct vcpu *v, const struct hvm_hw_mtrr *hw)
{
    v->mtrr_def_type = hw->msr_mtrr_def_type & MTRR_DEF_VALID;
    memcpy(v->mtrr_var, hw->msr_mtrr_var, sizeof(v->mtrr_var));
    memcpy(v->mtrr_fixed, hw->msr_mtrr_fixed, sizeof(v->mtrr_fixed));
}

static const struct fixed *fixed_find(const struct machine *m, uint32_t msr)
{
    for (size_t i = 0; i < sizeof(fixed_msrs) / sizeof(*fixed_msrs); i++) {
        const struct fixed *f = &fixed_msrs[i];

        if (msr >= f->msr && msr <= f->last &&
            (f->vendor == BOTH || (f->vendor == AMD) == m->amd)) {
            return f;
        }
    }
    return NULL;
}

/* Where a register that simply keeps its value lives, or NULL. *valid: the bits it may have. */
static uint64_t *kept(struct vcpu *v, uint32_t msr, uint64_t *valid)
{
    *valid = ANY;
    if (msr >= MTRR_VAR_FIRST && msr <= MTRR_VAR_LAST) {
        *valid = msr & 1 ? 0xffffffffff800ull : 0xffffffffff0ffull;
        return &v->mtrr_var[msr - MTRR_VAR_FIRST];
    }
    if (msr == MSR_MTRR_DEF_TYPE) {
        *valid = MTRR_DEF_VALID;
        return &v->mtrr_def_type;
    }
    if (msr == MSR_MISC_ENABLE && !v->m->amd) {
        return &v->misc_enable;
    }
    for (unsigned i = 0; i < 11; i++) {
        if (msr == mtrr_fixed_msrs[i]) {
            *valid = 0x0707070707070707ull;
            return &v->mtrr_fixed[i];
        }
    }
    return NULL;
}

static bool has_spec_ctrl(struct vcpu *v)
{
    uint32_t l7[4], l8[4];

    cpuid_read(v->m, v->id, 7, 0, l7);
    cpuid_read(v->m, v->id, 0x80000008, 0, l8);
    return (l7[3] & (1u << 26 | 1u << 27 | 1u << 31)) || (l8[1] & (1u << 14 | 1u << 15 | 1u << 24));
}

static bool has_arch_caps(struct vcpu *v)
{
    uint32_t l7[4];

    cpuid_read(v->m, v->id, 7, 0, l7);
    return l7[3] & 1u << 29;
}

static bool is_apic(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE || (msr >= 0x800 && msr <= 0x8ff);
}

static enum engine_verdict unknown(struct vcpu *v, uint32_t msr, const char *what)
{
    static _Atomic uint32_t seen[64];

    for (unsigned i = 0; i < 64; i++) {
        uint32_t none = 0;

        if (atomic_load(&seen[i]) == msr) {
            break;
        }
        if (atomic_compare_exchange_strong(&seen[i], &none, msr)) {
            kr_log(KR_INFO, "d%uv%u: unknown MSR %#x %s: #GP", v->m->domid, v->id, msr, what);
            break;
        }
    }
    return ENGINE_FAULT_GP;
}

enum engine_verdict msr_read(void *opaque, unsigned vcpu, uint32_t msr, uint64_t *value)
{
    struct machine *m = opaque;
    struct vcpu *v = &m->vcpu[vcpu];
    const struct fixed *f;
    uint64_t *k, valid;

    if (is_apic(msr)) {
        return lapic_rdmsr(v, msr, value) ? ENGINE_CONTINUE : ENGINE_FAULT_GP;
    }
    k = kept(v, msr, &valid);
    f = fixed_find(m, msr);
    if (k || f) {
        *value = k ? *k : f->value;
        return ENGINE_CONTINUE;
    }
    if (msr == MSR_SPEC_CTRL && has_spec_ctrl(v)) {
        *value = v->spec_ctrl;
        return ENGINE_CONTINUE;
    }
    if (msr == MSR_ARCH_CAPS && has_arch_caps(v)) {
        *value = m->arch_caps;
        return ENGINE_CONTINUE;
    }
    return unknown(v, msr, "read");
}

/* Writing a frame's address to the register asks for the entry stubs in it (page 0 is all there
 * is). */
static enum engine_verdict write_hypercall_page(struct vcpu *v, uint64_t value)
{
    struct machine *m = v->m;
    uint8_t *page = value & 0xfff ? NULL : memory_at(m, value, PAGE_SIZE);

    if (!page) {
        return ENGINE_FAULT_GP;
    }
    /* The first hypercall that the guest prepares also tells the width of its shared_info. */
    time_set_narrow(m, m->ops->mode(v->ev) != 64);
    hypercall_page_fill(m, page);
    m->ops->invalidate_gfns(m->engine, value >> PAGE_SHIFT, 1);
    return ENGINE_CONTINUE;
}

enum engine_verdict msr_write(void *opaque, unsigned vcpu, uint32_t msr, uint64_t value)
{
    struct machine *m = opaque;
    struct vcpu *v = &m->vcpu[vcpu];
    const struct fixed *f;
    uint64_t *k, valid;

    if (is_apic(msr)) {
        if (!lapic_wrmsr(v, msr, value)) {
            return ENGINE_FAULT_GP;
        }
        return vcpu_needs_turn(v) ? ENGINE_STOP : ENGINE_CONTINUE;
    }
    if (msr == MSR_HYPERCALL_PAGE) {
        return write_hypercall_page(v, value);
    }
    k = kept(v, msr, &valid);
    if (k) {
        if (value & ~valid) {
            return ENGINE_FAULT_GP;
        }
        *k = value;
        return ENGINE_CONTINUE;
    }
    f = fixed_find(m, msr);
    if (f) {
        return value & ~f->drop ? ENGINE_FAULT_GP : ENGINE_CONTINUE;
    }
    if (msr == MSR_SPEC_CTRL && has_spec_ctrl(v)) {
        v->spec_ctrl = value & 7;
        return value & ~7ull ? ENGINE_FAULT_GP : ENGINE_CONTINUE;
    }
    return unknown(v, msr, "written");
}
