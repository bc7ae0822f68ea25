/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as handlers see it: effective addresses, loads and stores with faults. Included by
 * soft.h; not on its own.
 *
 * The fast path is one compare in the data TLB and one host access, so aligned accesses are as
 * atomic and as ordered as on the host (x86). All else -- a miss, a page crossing, MMIO, a store
 * to a page that holds decoded code -- goes through the slow functions in tlb.c. va is always
 * linear. Functions without "va" take the operand described by op.
 */
#ifndef KR_SOFT_MEM_H
#define KR_SOFT_MEM_H

/* Segmentation and address size for op's operand; a is base + index + disp. */
uint64_t soft_ea_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t a, unsigned size,
                      bool write);
uint64_t soft_ld_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, unsigned size);
/* As soft_ld_slow, but faults as a store would: the first half of a read-modify-write. */
uint64_t soft_ldw_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, unsigned size);
void soft_st_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, unsigned size,
                  uint64_t val);
__m128i soft_ld128_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t va);
void soft_st128_slow(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, __m128i val);

/* n bytes, 1 to 4096; all or nothing where faults are concerned. buf is v->scratch or belongs to
 * a caller that is not a handler itself (see the rules in soft.h). */
void soft_ld_bytes(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, void *buf,
                   unsigned n);
void soft_st_bytes(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, const void *buf,
                   unsigned n);
/* Raises the fault that a load (or store) of n bytes at va would raise, and changes nothing. */
void soft_probe(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, unsigned n, bool write);
/* Where RAM at va lies, after the same faults; false: it is none, or each access must be checked. */
bool soft_ram_gpa(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, bool write,
                  uint64_t *gpa);

/* LEA, without segment and address size. */
static inline uint64_t soft_ea_raw(struct soft_vcpu *v, const struct soft_op *op)
{
    return R64(op->base) + (R64(op->index) << op->scale) + (uint64_t)(int64_t)op->disp;
}

/* Linear address of op's memory operand for an access of size bytes. */
static inline uint64_t soft_ea(struct soft_vcpu *v, const struct soft_op *op, unsigned size,
                               bool write)
{
    uint64_t a = soft_ea_raw(v, op);

    if (soft_likely(op->ea == SOFT_EA_PLAIN))
        return a;
    if (soft_likely(op->ea == SOFT_EA_BASED))
        return a + v->segbase[op->seg];
    return soft_ea_slow(v, op, a, size, write);
}

static inline struct soft_tlbe *soft_tlbe(struct soft_vcpu *v, uint64_t va)
{
    return &v->tlb[(va >> SOFT_PAGE_SHIFT) & (SOFT_TLB_SIZE - 1)];
}

/* Host address for an access within one page of RAM, or NULL: take the slow path. */
static inline void *soft_rptr(struct soft_vcpu *v, uint64_t va, unsigned size)
{
    struct soft_tlbe *t = soft_tlbe(v, va);

    return soft_likely(((va + size - 1) & SOFT_PAGE_MASK) == t->rtag) ? (void *)(va + t->addend)
                                                                       : NULL;
}

static inline void *soft_wptr(struct soft_vcpu *v, uint64_t va, unsigned size)
{
    struct soft_tlbe *t = soft_tlbe(v, va);

    return soft_likely(((va + size - 1) & SOFT_PAGE_MASK) == t->wtag) ? (void *)(va + t->addend)
                                                                       : NULL;
}

#define SOFT_MEM(bits) \
static inline uint##bits##_t soft_ld##bits(struct soft_vcpu *v, const struct soft_op *op, \
                                           uint64_t va) \
{ \
    const volatile soft_u##bits *p = soft_rptr(v, va, bits / 8); \
    return soft_likely(p) ? *p : (uint##bits##_t)soft_ld_slow(v, op, va, bits / 8); \
} \
static inline void soft_st##bits(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, \
                                 uint##bits##_t val) \
{ \
    volatile soft_u##bits *p = soft_wptr(v, va, bits / 8); \
    if (soft_likely(p)) \
        *p = val; \
    else \
        soft_st_slow(v, op, va, bits / 8, val); \
}
SOFT_MEM(8)
SOFT_MEM(16)
SOFT_MEM(32)
SOFT_MEM(64)
#undef SOFT_MEM

static inline __m128i soft_ld128(struct soft_vcpu *v, const struct soft_op *op, uint64_t va)
{
    const void *p = soft_rptr(v, va, 16);

    return soft_likely(p) ? _mm_loadu_si128(p) : soft_ld128_slow(v, op, va);
}

static inline void soft_st128(struct soft_vcpu *v, const struct soft_op *op, uint64_t va,
                              __m128i val)
{
    void *p = soft_wptr(v, va, 16);

    if (soft_likely(p))
        _mm_storeu_si128(p, val);
    else
        soft_st128_slow(v, op, va, val);
}

/* The operand of a legacy SSE instruction must be aligned; #GP(0) otherwise. Comes before the
 * access. */
static inline void soft_align16(struct soft_vcpu *v, const struct soft_op *op, uint64_t va)
{
    if (soft_unlikely(va & 15))
        soft_raise_err(v, op, SOFT_GP, 0);
}

#endif
