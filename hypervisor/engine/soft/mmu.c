/* SPDX-License-Identifier: MIT */
/*
 * Page table walks: none, 32-bit with 4 MiB pages, PAE, 4-level with 2 MiB and 1 GiB pages.
 * Accessed and dirty bits are set by compare-and-exchange, since other vCPUs walk and write the
 * same tables. Intel SDM vol. 3 ch. 4.
 */
#include "hypervisor/engine/soft/internal.h"

#define PTE_P   (1ull << 0)
#define PTE_W   (1ull << 1)
#define PTE_U   (1ull << 2)
#define PTE_A   (1ull << 5)
#define PTE_D   (1ull << 6)
#define PTE_PS  (1ull << 7)
#define PTE_G   (1ull << 8)
#define PTE_PAT_LARGE (1ull << 12)
#define PTE_NX  (1ull << 63)
#define ADDR_BITS 46                          /* as CPUID 0x80000008 says (cpuid.c) */
#define PTE_ADDR  (((1ull << ADDR_BITS) - 1) & ~0xfffull)
#define PTE_RSVD  (((1ull << 52) - 1) & ~((1ull << ADDR_BITS) - 1))

bool soft_canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/* Host address of a page table entry, or NULL when it does not lie in RAM. */
static void *entry_ptr(struct soft_vcpu *v, uint64_t gpa)
{
    if (gpa >= v->m->gpa_limit || v->m->gfn_type[gpa >> SOFT_PAGE_SHIFT] == ENGINE_GFN_NONE)
        return NULL;
    return v->ram + gpa;
}

struct level {
    uint64_t gpa;        /* of the entry */
    void *ptr;
    uint64_t val;
};

/* Sets bits in an entry that still reads as it did; false: it changed, walk again. */
static bool set_bits(struct soft_vcpu *v, struct level *l, uint64_t bits, bool wide)
{
    if ((l->val & bits) == bits)
        return true;
    if (v->m->gfn_type[l->gpa >> SOFT_PAGE_SHIFT] != ENGINE_GFN_RAM)
        return true;
    if (wide) {
        uint64_t old = l->val;
        if (!__atomic_compare_exchange_n((uint64_t *)l->ptr, &old, old | bits, false,
                                         __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST))
            return false;
    } else {
        uint32_t old = (uint32_t)l->val;
        if (!__atomic_compare_exchange_n((uint32_t *)l->ptr, &old, old | (uint32_t)bits, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return false;
    }
    if (soft_has_code(v, l->gpa))
        soft_code_written(v, NULL, l->gpa, wide ? 8 : 4);
    l->val |= bits;
    return true;
}

/* What the entries of one walk add up to. */
struct sum {
    struct level l[4];
    unsigned n;
    bool wide;           /* 8-byte entries */
    uint64_t rights;     /* PTE_W, PTE_U: and of all; PTE_NX: or of all */
    uint64_t base;       /* page frame */
    unsigned shift;      /* page size */
};

enum outcome { WALK_OK, WALK_ABSENT, WALK_RESERVED };

static enum outcome walk_32(struct soft_vcpu *v, uint64_t va, struct sum *s)
{
    bool pse = v->cr4 & CR4_PSE;
    uint64_t table = v->cr3 & 0xfffff000;

    s->rights = PTE_W | PTE_U;
    for (unsigned shift = 22;; shift = 12) {
        struct level *l = &s->l[s->n];
        l->gpa = table + (va >> shift & 0x3ff) * 4;
        l->ptr = entry_ptr(v, l->gpa);
        l->val = l->ptr ? __atomic_load_n((uint32_t *)l->ptr, __ATOMIC_RELAXED) : 0;
        if (!(l->val & PTE_P))
            return WALK_ABSENT;
        s->n++;
        s->rights &= l->val;
        if (shift == 12 || (pse && l->val & PTE_PS)) {
            s->shift = shift;
            s->base = shift == 12 ? l->val & 0xfffff000
                                  : (l->val & 0xffc00000) | (l->val >> 13 & 0xff) << 32;
            /* Bit 21 is reserved in a 4 MiB entry, and so is what lies above the address width. */
            return shift == 22 && (l->val & 1ull << 21 ||
                                   s->base & PTE_RSVD) ? WALK_RESERVED : WALK_OK;
        }
        table = l->val & 0xfffff000;
    }
}

/* PAE and 4-level differ in where they start and in what the top entry may say. */
static enum outcome walk_wide(struct soft_vcpu *v, uint64_t va, struct sum *s)
{
    bool lng = soft_long(v);
    uint64_t table = lng ? v->cr3 & PTE_ADDR : v->cr3 & 0xffffffe0;
    uint64_t rsvd = PTE_RSVD | (v->efer & EFER_NXE ? 0 : PTE_NX), nx = 0;

    s->wide = true;
    s->rights = PTE_W | PTE_U;
    for (unsigned shift = lng ? 39 : 30;; shift -= 9) {
        struct level *l = &s->l[s->n];
        bool pdpte = !lng && shift == 30;
        l->gpa = table + (va >> shift & (pdpte ? 3 : 0x1ff)) * 8;
        l->ptr = entry_ptr(v, l->gpa);
        l->val = l->ptr ? __atomic_load_n((uint64_t *)l->ptr, __ATOMIC_RELAXED) : 0;
        if (!(l->val & PTE_P))
            return WALK_ABSENT;
        if (pdpte) {
            if (l->val & (PTE_RSVD | PTE_NX | 0x1e6))
                return WALK_RESERVED;
            table = l->val & PTE_ADDR;
            continue;                        /* holds no rights, no A bit */
        }
        s->n++;
        if (l->val & rsvd || (shift == 39 && l->val & PTE_PS) ||
            (!lng && l->val & 0x7ff0000000000000ull))
            return WALK_RESERVED;
        s->rights &= l->val;
        nx |= l->val & PTE_NX;
        if (shift == 12 || l->val & PTE_PS) {
            uint64_t mask = (1ull << shift) - 1;
            s->shift = shift;
            s->base = l->val & PTE_ADDR & ~mask;
            s->rights |= nx;
            if (shift > 12 && l->val & PTE_ADDR & mask & ~PTE_PAT_LARGE)
                return WALK_RESERVED;
            return WALK_OK;
        }
        table = l->val & PTE_ADDR;
    }
}

/* May this access go through entries with these rights? */
static bool allowed(struct soft_vcpu *v, uint64_t rights, enum soft_tlb_kind kind,
                    enum soft_access access)
{
    bool user_page = rights & PTE_U;

    if (kind == SOFT_TLB_USER) {
        if (!user_page || (access == SOFT_WRITE && !(rights & PTE_W)))
            return false;
    } else {
        if (user_page && access == SOFT_EXEC && v->cr4 & CR4_SMEP)
            return false;
        if (user_page && access != SOFT_EXEC && v->cr4 & CR4_SMAP && kind == SOFT_TLB_KERNEL)
            return false;
        if (access == SOFT_WRITE && !(rights & PTE_W) && v->cr0 & CR0_WP)
            return false;
    }
    return access != SOFT_EXEC || !(rights & PTE_NX);
}

static bool set_accessed(struct soft_vcpu *v, struct sum *s, bool dirty)
{
    for (unsigned i = 0; i < s->n; i++)
        if (!set_bits(v, &s->l[i], PTE_A | (dirty && i == s->n - 1 ? PTE_D : 0), s->wide))
            return false;
    return true;
}

bool soft_walk(struct soft_vcpu *v, uint64_t va, enum soft_tlb_kind kind, enum soft_access access,
               bool set_ad, struct soft_walk *w)
{
    struct sum s;
    enum outcome o;
    bool ok;

    w->error = (kind == SOFT_TLB_USER ? PF_U : 0) | (access == SOFT_WRITE ? PF_W : 0);
    if (access == SOFT_EXEC && (v->efer & EFER_NXE || v->cr4 & CR4_SMEP))
        w->error |= PF_I;
    if (!(v->cr0 & CR0_PG)) {
        w->gpa = va;
        w->global = true;
        w->writable = true;
        w->shift = SOFT_PAGE_SHIFT;
        return true;
    }
    do {
        s.n = 0;                             /* the rest is set as far as the walk goes */
        s.wide = false;
        o = v->cr4 & CR4_PAE ? walk_wide(v, va, &s) : walk_32(v, va, &s);
        if (o == WALK_ABSENT)
            return false;
        if (o == WALK_RESERVED) {
            w->error |= PF_P | PF_RSVD;
            return false;
        }
        ok = allowed(v, s.rights, kind, access);
        if (!ok) {
            w->error |= PF_P;
            return false;
        }
    } while (set_ad && !set_accessed(v, &s, access == SOFT_WRITE));
    w->gpa = s.base | (va & ((1ull << s.shift) - 1));
    w->shift = (uint8_t)s.shift;
    w->global = v->cr4 & CR4_PGE && s.l[s.n - 1].val & PTE_G;
    w->writable = s.l[s.n - 1].val & PTE_D && allowed(v, s.rights, kind, SOFT_WRITE);
    return true;
}
