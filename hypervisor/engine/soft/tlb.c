/* SPDX-License-Identifier: MIT */
/*
 * The data and fetch TLBs, and everything that the fast paths in mem.h and exec.h hand over:
 * misses, page crossings, MMIO, stores to pages with decoded code, alignment checks.
 *
 * A data TLB entry's rtag is set when RAM or ROM may be read there, its wtag when a store needs
 * nothing further: writable, dirty already set, RAM, no decoded code in the page. All else leaves
 * the tag empty and comes here each time. There is one TLB per kind of access rights, so that a
 * change of CPL or AC is a change of pointer.
 */
#include <string.h>

#include "hypervisor/engine/soft/exec.h"

#define PAGE_OFF(a) ((a) & (SOFT_PAGE_SIZE - 1))

enum soft_tlb_kind soft_kind(const struct soft_vcpu *v)
{
    if (v->cpl == 3)
        return v->cr0 & CR0_AM && v->rflags & FL_AC ? SOFT_TLB_CHECKED : SOFT_TLB_USER;
    return v->rflags & FL_AC && v->cr4 & CR4_SMAP ? SOFT_TLB_KERNEL_AC : SOFT_TLB_KERNEL;
}

static void clear_entry(struct soft_tlbe *t)
{
    t->rtag = t->wtag = SOFT_TLB_NONE;
}

static void flush_data(struct soft_vcpu *v, unsigned kind, struct soft_fills *f, bool global)
{
    bool all = f->nr > SOFT_FILLS_MAX;

    for (unsigned i = 0; i < (all ? SOFT_TLB_SIZE : f->nr); i++) {
        struct soft_tlbe *t = &v->tlbs[kind][all ? i : f->slot[i]];
        if (global || !(t->gpa & 1))
            clear_entry(t);
    }
    f->nr = 0;
}

static void flush_fetch(struct soft_vcpu *v, unsigned user, struct soft_fills *f, bool global)
{
    bool all = f->nr > SOFT_FILLS_MAX;

    for (unsigned i = 0; i < (all ? SOFT_ITLB_SIZE : f->nr); i++) {
        struct soft_itlbe *t = &v->itlb[user][all ? i : f->slot[i]];
        if (global || !(t->gpa & 1))
            t->tag = SOFT_TLB_NONE;
    }
    f->nr = 0;
}

void soft_tlb_flush(struct soft_vcpu *v, bool global)
{
    soft_jc_flush(v, global || v->itlb_fills[1][0].nr, global || v->itlb_fills[0][0].nr);
    for (unsigned g = 0; g <= global; g++) {
        for (unsigned k = 0; k < SOFT_NR_TLBS; k++)
            flush_data(v, k, &v->tlb_fills[k][g], global);
        for (unsigned u = 0; u < 2; u++)
            flush_fetch(v, u, &v->itlb_fills[u][g], global);
    }
    if (global)
        memset(v->large, 0, sizeof(v->large));
}

void soft_tlb_init(struct soft_vcpu *v)
{
    for (unsigned k = 0; k < SOFT_NR_TLBS; k++)
        v->tlb_fills[k][1].nr = SOFT_FILLS_MAX + 1;
    for (unsigned u = 0; u < 2; u++)
        v->itlb_fills[u][1].nr = SOFT_FILLS_MAX + 1;
    soft_tlb_flush(v, true);
}

static void note_fill(struct soft_fills *f, size_t slot)
{
    if (f->nr < SOFT_FILLS_MAX)
        f->slot[f->nr] = (uint16_t)slot;
    if (f->nr <= SOFT_FILLS_MAX)
        f->nr++;
}

static const uint8_t large_shift[3] = { 21, 22, 30 };

static void note_large(struct soft_vcpu *v, uint64_t va, unsigned shift)
{
    for (unsigned i = 0; i < 3; i++)
        if (shift == large_shift[i])
            v->large[i] |= 1ull << (va >> shift & 63);
}

void soft_tlb_flush_page(struct soft_vcpu *v, uint64_t va)
{
    uint64_t page = va & SOFT_PAGE_MASK;

    for (unsigned i = 0; i < 3; i++)
        if (v->large[i] >> (va >> large_shift[i] & 63) & 1) {
            soft_tlb_flush(v, true);
            return;
        }
    for (unsigned k = 0; k < SOFT_NR_TLBS; k++) {
        struct soft_tlbe *t = &v->tlbs[k][va >> SOFT_PAGE_SHIFT & (SOFT_TLB_SIZE - 1)];
        if (t->rtag == page || t->wtag == page)
            clear_entry(t);
    }
    for (unsigned u = 0; u < 2; u++) {
        struct soft_itlbe *t = &v->itlb[u][va >> SOFT_PAGE_SHIFT & (SOFT_ITLB_SIZE - 1)];
        if (t->tag == page) {
            t->tag = SOFT_TLB_NONE;
            soft_jc_flush_page(v, va);
        }
    }
    /* The jump cache may know the page though the fetch TLB has forgotten it. */
    soft_jc_flush_page(v, va);
}

void soft_tlb_drop_gfn(struct soft_vcpu *v, uint64_t gfn, bool write_only, bool *was_writable)
{
    *was_writable = false;
    for (unsigned k = 0; k < SOFT_NR_TLBS; k++)
        for (unsigned i = 0; i < SOFT_TLB_SIZE; i++) {
            struct soft_tlbe *t = &v->tlbs[k][i];
            if (t->gpa >> SOFT_PAGE_SHIFT != gfn)
                continue;
            if (t->wtag != SOFT_TLB_NONE)
                *was_writable = true;
            t->wtag = SOFT_TLB_NONE;
            if (!write_only)
                t->rtag = SOFT_TLB_NONE;
        }
    if (write_only)
        return;
    for (unsigned u = 0; u < 2; u++)
        for (unsigned i = 0; i < SOFT_ITLB_SIZE; i++)
            if (v->itlb[u][i].gpa >> SOFT_PAGE_SHIFT == gfn)
                v->itlb[u][i].tag = SOFT_TLB_NONE;
    soft_jc_flush(v, true, true);
}

/* ---------------------------------------------------------------- translation with faults */

static SOFT_NORETURN void page_fault(struct soft_vcpu *v, const struct soft_op *op, uint64_t va,
                                     uint32_t error)
{
    v->cr2 = va;
    soft_raise_err(v, op, SOFT_PF, error);
}

/* The rights of an access as a walk wants them: alignment checking is not a kind of rights. */
static enum soft_tlb_kind walk_kind(enum soft_tlb_kind kind)
{
    return kind == SOFT_TLB_CHECKED ? SOFT_TLB_USER : kind;
}

static uint8_t gfn_type(struct soft_vcpu *v, uint64_t gpa)
{
    return gpa < v->m->gpa_limit
        ? v->m->gfn_type[gpa >> SOFT_PAGE_SHIFT] : (uint8_t)ENGINE_GFN_NONE;
}

/* Translates; fills the TLB when it can. Linear addresses wrap at 4 GiB outside long mode (done
 * by callers). */
static uint64_t translate(struct soft_vcpu *v, const struct soft_op *op, enum soft_tlb_kind kind,
                          uint64_t va,
                          bool write)
{
    struct soft_tlbe *t = &v->tlbs[kind][va >> SOFT_PAGE_SHIFT & (SOFT_TLB_SIZE - 1)];
    uint64_t page = va & SOFT_PAGE_MASK;
    struct soft_walk w;
    uint8_t type;

    /* A page with code has no wtag; rtag is as good for reading it. */
    if (t->rtag == page && !write)
        return (t->gpa & SOFT_PAGE_MASK) | PAGE_OFF(va);
    if (t->wtag == page)
        return (t->gpa & SOFT_PAGE_MASK) | PAGE_OFF(va);
    if (soft_long(v) && !soft_canonical(va))
        soft_raise_err(v, op, op && op->seg == SOFT_SEG_NONE &&
                       (op->base == SOFT_G(4) || op->base == SOFT_G(5))
                                   ? SOFT_SS : SOFT_GP, 0);
    v->stats.tlb_misses++;
    if (!soft_walk(v, va, walk_kind(kind), write ? SOFT_WRITE : SOFT_READ, true, &w))
        page_fault(v, op, va, w.error);
    if (w.shift > SOFT_PAGE_SHIFT)
        note_large(v, va, w.shift);
    type = gfn_type(v, w.gpa);
    if (type == ENGINE_GFN_NONE || kind == SOFT_TLB_CHECKED)
        return w.gpa;
    t->rtag = page;
    t->wtag = w.writable && type == ENGINE_GFN_RAM && !soft_has_code(v,
                                                                     w.gpa) ? page : SOFT_TLB_NONE;
    t->gpa = (w.gpa & SOFT_PAGE_MASK) | w.global;
    t->addend = (uintptr_t)v->ram + (w.gpa & SOFT_PAGE_MASK) - page;
    note_fill(&v->tlb_fills[kind][w.global], (size_t)(t - v->tlbs[kind]));
    return w.gpa;
}

uint64_t soft_fetch_gpa(struct soft_vcpu *v, uint64_t va)
{
    bool user = v->cpl == 3;
    struct soft_itlbe *t = &v->itlb[user][va >> SOFT_PAGE_SHIFT & (SOFT_ITLB_SIZE - 1)];
    struct soft_walk w;

    if (t->tag == (va & SOFT_PAGE_MASK))
        return (t->gpa & SOFT_PAGE_MASK) | PAGE_OFF(va);
    if (!soft_walk(v, va, user ? SOFT_TLB_USER : SOFT_TLB_KERNEL, SOFT_EXEC, true, &w))
        page_fault(v, NULL, va, w.error);
    if (w.shift > SOFT_PAGE_SHIFT)
        note_large(v, va, w.shift);
    if (gfn_type(v, w.gpa) == ENGINE_GFN_NONE)
        soft_fail(v, NULL, "instruction fetch from %#llx, where there is no memory",
                  (unsigned long long)w.gpa);
    soft_verify_page(v, w.gpa >> SOFT_PAGE_SHIFT);
    t->tag = va & SOFT_PAGE_MASK;
    t->gpa = (w.gpa & SOFT_PAGE_MASK) | w.global;
    note_fill(&v->itlb_fills[user][w.global], (size_t)(t - v->itlb[user]));
    return w.gpa;
}

/* ---------------------------------------------------------------- one access within a page */

/*
 * A device may take its time to answer: others' locked accesses do not wait for it. What is locked
 * is between vCPUs and RAM, as on a bus without locked cycles.
 */
static bool let_go(struct soft_vcpu *v)
{
    bool held = v->split_held;

    if (held)
        soft_split_unlock(v);
    return held;
}

static uint64_t ld_phys(struct soft_vcpu *v, const struct soft_op *op, uint64_t gpa, unsigned size)
{
    uint64_t x = 0;

    if (gfn_type(v, gpa) == ENGINE_GFN_NONE) {
        bool held = let_go(v);
        soft_begin_callback(v, op);
        soft_verdict(v, op, v->m->mmio_read(v->m->opaque, v->id, gpa, size, &x));
        if (held)
            soft_split_lock(v);
        return x;
    }
    switch (size) {
    case 1: return *(volatile soft_u8 *)(v->ram + gpa);
    case 2: return *(volatile soft_u16 *)(v->ram + gpa);
    case 4: return *(volatile soft_u32 *)(v->ram + gpa);
    default: return *(volatile soft_u64 *)(v->ram + gpa);
    }
}

static void st_phys(struct soft_vcpu *v, const struct soft_op *op, uint64_t gpa, unsigned size,
                    uint64_t x)
{
    if (gfn_type(v, gpa) != ENGINE_GFN_RAM) {
        bool held = let_go(v);
        soft_begin_callback(v, op);
        soft_verdict(v, op, v->m->mmio_write(v->m->opaque, v->id, gpa, size, x));
        if (held)
            soft_split_lock(v);
        return;
    }
    switch (size) {
    case 1: *(volatile soft_u8 *)(v->ram + gpa) = (uint8_t)x; break;
    case 2: *(volatile soft_u16 *)(v->ram + gpa) = (uint16_t)x; break;
    case 4: *(volatile soft_u32 *)(v->ram + gpa) = (uint32_t)x; break;
    default: *(volatile soft_u64 *)(v->ram + gpa) = x; break;
    }
    if (soft_has_code(v, gpa))
        soft_code_written(v, op, gpa, size);
}

static uint64_t wrap(struct soft_vcpu *v, uint64_t va)
{
    return soft_long(v) ? va : (uint32_t)va;
}

static bool crosses(uint64_t va, unsigned size)
{
    return PAGE_OFF(va) + size > SOFT_PAGE_SIZE;
}

/* Only for explicit accesses at CPL 3 with CR0.AM and EFLAGS.AC. */
static void check_alignment(struct soft_vcpu *v, const struct soft_op *op, enum soft_tlb_kind kind,
                            uint64_t va, unsigned size)
{
    if (soft_unlikely(kind == SOFT_TLB_CHECKED) && va & (size - 1) &&
        (!soft_long(v) || soft_canonical(va)))
        soft_raise_err(v, op, SOFT_AC, 0);
}

static uint64_t load(struct soft_vcpu *v, const struct soft_op *op, enum soft_tlb_kind kind,
                     uint64_t va,
                     unsigned size, bool as_write)
{
    uint64_t a, b, x = 0;
    unsigned first;

    va = wrap(v, va);
    check_alignment(v, op, kind, va, size);
    a = translate(v, op, kind, va, as_write);
    if (soft_likely(!crosses(va, size)))
        return ld_phys(v, op, a, size);
    first = (unsigned)(SOFT_PAGE_SIZE - PAGE_OFF(va));
    b = translate(v, op, kind, wrap(v, va + first), as_write);
    for (unsigned i = 0; i < size; i++)
        x |= (ld_phys(v, op, i < first ? a + i : b + i - first, 1) & 0xff) << 8 * i;
    return x;
}

static void store(struct soft_vcpu *v, const struct soft_op *op, enum soft_tlb_kind kind,
                  uint64_t va,
                  unsigned size, uint64_t x)
{
    uint64_t a, b;
    unsigned first;

    va = wrap(v, va);
    check_alignment(v, op, kind, va, size);
    a = translate(v, op, kind, va, true);
    if (soft_likely(!crosses(va, size))) {
        st_phys(v, op, a, size, x);
        return;
    }
    first = (unsigned)(SOFT_PAGE_SIZE - PAGE_OFF(va));
    b = translate(v, op, kind, wrap(v, va + first), true);
    for (unsigned i = 0; i < size; i++)
        st_phys(v, op, i < first ? a + i : b + i - first, 1, x >> 8 * i & 0xff);
}

/* ---------------------------------------------------------------- what mem.h promises */

uint64_t soft_ld_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, unsigned size)
{
    return load(v, op, soft_kind(v), va, size, false);
}

uint64_t soft_ldw_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, unsigned size)
{
    return load(v, op, soft_kind(v), va, size, true);
}

void soft_st_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, unsigned size,
                  uint64_t val)
{
    store(v, op, soft_kind(v), va, size, val);
}

uint64_t soft_ld_as(struct soft_vcpu *v, const struct soft_op *op, enum soft_tlb_kind kind,
                    uint64_t va,
                    unsigned size)
{
    return load(v, op, kind, va, size, false);
}

void soft_st_as(struct soft_vcpu *v, const struct soft_op *op, enum soft_tlb_kind kind, uint64_t va,
                unsigned size, uint64_t val)
{
    store(v, op, kind, va, size, val);
}

void soft_probe(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, unsigned n, bool write)
{
    enum soft_tlb_kind kind = soft_kind(v);

    va = wrap(v, va);
    if (n <= 8)
        check_alignment(v, op, kind, va, n);
    translate(v, op, kind, va, write);
    if (crosses(va, n))
        translate(v, op, kind, wrap(v, (va & SOFT_PAGE_MASK) + SOFT_PAGE_SIZE), write);
}

bool soft_ram_gpa(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, bool write,
                  uint64_t *gpa)
{
    enum soft_tlb_kind kind = soft_kind(v);
    uint8_t type;

    if (kind == SOFT_TLB_CHECKED)
        return false;
    *gpa = translate(v, op, kind, wrap(v, va), write);
    type = gfn_type(v, *gpa);
    return type == ENGINE_GFN_RAM || (type != ENGINE_GFN_NONE && !write);
}

/* Copies a piece that lies within a page; RAM in one go, MMIO in the largest aligned units. */
static void copy_phys(struct soft_vcpu *v, const struct soft_op *op, uint64_t gpa, uint8_t *buf,
                      unsigned n,
                      bool write)
{
    uint8_t type = gfn_type(v, gpa);

    if (type == ENGINE_GFN_RAM || (type != ENGINE_GFN_NONE && !write)) {
        if (write)
            memcpy(v->ram + gpa, buf, n);
        else
            memcpy(buf, v->ram + gpa, n);
        if (write && soft_has_code(v, gpa))
            soft_code_written(v, op, gpa, n);
        return;
    }
    while (n) {
        unsigned size = n >= 8 && !(gpa & 7) ? 8 : n >= 4 && !(gpa & 3) ? 4 : 1;
        uint64_t x = 0;
        if (write) {
            memcpy(&x, buf, size);
            st_phys(v, op, gpa, size, x);
        } else {
            x = ld_phys(v, op, gpa, size);
            memcpy(buf, &x, size);
        }
        gpa += size;
        buf += size;
        n -= size;
    }
}

static void copy(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, uint8_t *buf,
                 unsigned n, bool write)
{
    enum soft_tlb_kind kind = soft_kind(v);
    unsigned first;
    uint64_t a, b;

    va = wrap(v, va);
    a = translate(v, op, kind, va, write);
    if (!crosses(va, n)) {
        copy_phys(v, op, a, buf, n, write);
        return;
    }
    first = (unsigned)(SOFT_PAGE_SIZE - PAGE_OFF(va));
    b = translate(v, op, kind, wrap(v, va + first), write);
    copy_phys(v, op, a, buf, first, write);
    copy_phys(v, op, b, buf + first, n - first, write);
}

void soft_ld_bytes(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, void *buf,
                   unsigned n)
{
    copy(v, op, va, buf, n, false);
}

void soft_st_bytes(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, const void *buf,
                   unsigned n)
{
    copy(v, op, va, (uint8_t *)(uintptr_t)buf, n, true);
}

__m128i soft_ld128_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t va)
{
    __m128i x;

    copy(v, op, va, (uint8_t *)&x, 16, false);
    return x;
}

void soft_st128_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, __m128i val)
{
    copy(v, op, va, (uint8_t *)&val, 16, true);
}

/* ---------------------------------------------------------------- locked accesses */

void *soft_lock_ptr(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, unsigned size)
{
    enum soft_tlb_kind kind = soft_kind(v);
    struct soft_tlbe *t = soft_tlbe(v, va);
    uint64_t gpa;

    if (soft_likely(((va + size - 1) & SOFT_PAGE_MASK) == t->wtag))
        return (void *)(va + t->addend);
    va = wrap(v, va);
    check_alignment(v, op, kind, va, size);
    gpa = translate(v, op, kind, va, true);
    if (crosses(va, size) || gfn_type(v, gpa) != ENGINE_GFN_RAM)
        return NULL;
    return v->ram + gpa;
}

void soft_locked_done(struct soft_vcpu *v, const struct soft_op *op, void *p, unsigned size)
{
    uint64_t gpa = (uint64_t)((uint8_t *)p - v->ram);

    if (soft_has_code(v, gpa))
        soft_code_written(v, op, gpa, size);
}

void soft_split_lock(struct soft_vcpu *v)
{
    pthread_mutex_lock(&v->e->split_lock);
    v->split_held = true;                    /* a fault in between lets go of it (exception.c) */
}

void soft_split_unlock(struct soft_vcpu *v)
{
    v->split_held = false;
    pthread_mutex_unlock(&v->e->split_lock);
}

/* ---------------------------------------------------------------- for the machine around */

size_t soft_gva_copy(struct soft_vcpu *v, uint64_t gva, void *buf, size_t len, bool write)
{
    size_t done = 0;

    while (done < len) {
        size_t n = SOFT_PAGE_SIZE - PAGE_OFF(gva);
        struct soft_walk w;

        if (n > len - done)
            n = len - done;
        if (soft_long(v) && !soft_canonical(gva))
            break;
        if (!soft_walk(v, gva, SOFT_TLB_KERNEL_AC, write ? SOFT_WRITE : SOFT_READ, write, &w))
            break;
        if (gfn_type(v, w.gpa) != ENGINE_GFN_RAM)
            break;
        copy_phys(v, NULL, w.gpa, (uint8_t *)buf + done, (unsigned)n, write);
        done += n;
        gva += n;
    }
    return done;
}
