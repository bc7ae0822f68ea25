/* SPDX-License-Identifier: MIT */
/*
 * Shared by the decoder and the files of handlers (exec_*.c): what a selector sees, and the macros
 * that make the variants of a handler.
 */
#ifndef KR_SOFT_EXEC_H
#define KR_SOFT_EXEC_H

#include "hypervisor/engine/soft/soft.h"
#include "hypervisor/engine/soft/internal.h"

/* How an instruction relates to the end of its block. */
enum soft_end {
    SOFT_END_NO,       /* the next instruction follows */
    SOFT_END_LINK,     /* a branch: last op of the block, its link slot is filled in */
    SOFT_END_SYNC,     /* last op; the handler itself says where to go on (soft_end_*) */
};

/* A decoded instruction on its way to becoming an op. */
struct soft_insn {
    ZydisDecodedInstruction i;
    ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
    uint32_t mode;              /* enum soft_mode */
    uint8_t bits;               /* operand size: 8, 16, 32, 64 */
    uint8_t abits;              /* address size: 16, 32, 64 */
    uint8_t n;                  /* number of explicit operands */
    int8_t mem;                 /* index of the explicit memory operand, or -1 */
    bool lock, rep, repne;
    bool big_rel;               /* the branch displacement does not fit a link */
    enum soft_end end;          /* out */
};

/* A selector returns the handler for an instruction, completes the op, and sets in->end. NULL:
 * #UD. */
typedef soft_fn (*soft_select)(struct soft_insn *in, struct soft_op *op);

soft_fn soft_sel_alu(struct soft_insn *in, struct soft_op *op);       /* exec_alu.c */
/* The twin of a handler that leaves the flags as they are, or the handler itself. */
soft_fn soft_quiet_alu(soft_fn fn);
soft_fn soft_sel_shift(struct soft_insn *in, struct soft_op *op);     /* exec_shift.c */
soft_fn soft_sel_mul(struct soft_insn *in, struct soft_op *op);       /* exec_mul.c */
soft_fn soft_sel_move(struct soft_insn *in, struct soft_op *op);      /* exec_move.c */
soft_fn soft_sel_atomic(struct soft_insn *in, struct soft_op *op);    /* exec_atomic.c */
soft_fn soft_sel_stack(struct soft_insn *in, struct soft_op *op);     /* exec_stack.c */
soft_fn soft_sel_branch(struct soft_insn *in, struct soft_op *op);    /* exec_branch.c */
soft_fn soft_sel_far(struct soft_insn *in, struct soft_op *op);       /* exec_far.c */
soft_fn soft_sel_bit(struct soft_insn *in, struct soft_op *op);       /* exec_bit.c */
soft_fn soft_sel_string(struct soft_insn *in, struct soft_op *op);    /* exec_string.c */
soft_fn soft_sel_sys(struct soft_insn *in, struct soft_op *op);       /* exec_sys.c */
soft_fn soft_sel_io(struct soft_insn *in, struct soft_op *op);        /* exec_io.c */
/* CMP or TEST in `in`, already decoded into op, followed by Jcc with condition cc; NULL: do not
 * fuse. */
soft_fn soft_sel_fused(const struct soft_insn *in, const struct soft_op *op, unsigned cc);

/* Operand facts, for selectors. */
static inline bool soft_is_reg(const struct soft_insn *in, unsigned n)
{
    return in->o[n].type == ZYDIS_OPERAND_TYPE_REGISTER;
}

static inline bool soft_is_imm(const struct soft_insn *in, unsigned n)
{
    return in->o[n].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

static inline bool soft_is_mem(const struct soft_insn *in, unsigned n)
{
    return in->o[n].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

/* Byte offset of an integer register operand (decode.c). */
uint8_t soft_reg(const struct soft_insn *in, unsigned n);

/* 0 1 2 3 for 8 16 32 64. */
static inline unsigned soft_szi(unsigned bits)
{
    return (unsigned)__builtin_ctz(bits) - 3;
}

/* --------------------------------------------------------------- handlers with a memory operand */

/*
 * Each comes in three variants: base + displacement only; any 64-bit address; and everything,
 * which is also where the first two go when the TLB does not hold the page. Only the last contains
 * calls, so the fast ones save no registers. A core is an always_inline function `bool core(v, op,
 * how, ...)` that returns false, having changed nothing, to say "take the slow variant".
 */
enum soft_how { HOW_BASE, HOW_ANY, HOW_SLOW };

struct soft_mem3 { soft_fn base, any, slow; };

#define SOFT_MEMFN(name, ...) \
static SOFT_COLD void name##_slow(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    const enum soft_how how = HOW_SLOW; \
    (void)(__VA_ARGS__); \
    SOFT_NEXT; \
} \
static void name##_any(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    const enum soft_how how = HOW_ANY; \
    if (soft_unlikely(!(__VA_ARGS__))) \
        SOFT_TAIL return name##_slow(v, op); \
    SOFT_NEXT; \
} \
static void name##_base(struct soft_vcpu *v, const struct soft_op *op) \
{ \
    const enum soft_how how = HOW_BASE; \
    if (soft_unlikely(!(__VA_ARGS__))) \
        SOFT_TAIL return name##_slow(v, op); \
    SOFT_NEXT; \
}
#define SOFT_MEM3(name) { name##_base, name##_any, name##_slow }

static inline soft_fn soft_pick(const struct soft_mem3 *m, const struct soft_op *op)
{
    if (op->ea > SOFT_EA_BASED)
        return m->slow;
    return op->index == SOFT_ZERO && op->seg == SOFT_SEG_NONE ? m->base : m->any;
}

#define SOFT_INLINE static inline __attribute__((always_inline))

SOFT_INLINE uint64_t soft_ea_how(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how,
                                 unsigned size, bool write)
{
    if (how == HOW_BASE)
        return R64(op->base) + (uint64_t)(int64_t)op->disp;
    if (how == HOW_ANY)
        return soft_ea_raw(v, op) + v->segbase[op->seg];
    return soft_ea(v, op, size, write);
}

/* Loads and stores for cores: false when a fast variant must give up. */
#define SOFT_MEM_HOW(bits) \
SOFT_INLINE bool ld##bits(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how, \
                          uint64_t va, \
                          uint##bits##_t *out) \
{ \
    if (how == HOW_SLOW) { \
        *out = (uint##bits##_t)soft_ld_slow(v, op, va, bits / 8); \
        return true; \
    } \
    struct soft_tlbe *t = soft_tlbe(v, va); \
    if (soft_unlikely(((va + bits / 8 - 1) & SOFT_PAGE_MASK) != t->rtag)) \
        return false; \
    *out = *(const volatile soft_u##bits *)(va + t->addend); \
    return true; \
} \
SOFT_INLINE bool st##bits(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how, \
                          uint64_t va, \
                          uint##bits##_t val) \
{ \
    if (how == HOW_SLOW) { \
        soft_st_slow(v, op, va, bits / 8, val); \
        return true; \
    } \
    struct soft_tlbe *t = soft_tlbe(v, va); \
    if (soft_unlikely(((va + bits / 8 - 1) & SOFT_PAGE_MASK) != t->wtag)) \
        return false; \
    *(volatile soft_u##bits *)(va + t->addend) = val; \
    return true; \
} \
/* First half of a read-modify-write; st##bits at the same va then cannot fail. */ \
SOFT_INLINE bool ldw##bits(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how, \
                           uint64_t va, \
                           uint##bits##_t *out) \
{ \
    if (how == HOW_SLOW) { \
        *out = (uint##bits##_t)soft_ldw_slow(v, op, va, bits / 8); \
        return true; \
    } \
    struct soft_tlbe *t = soft_tlbe(v, va); \
    if (soft_unlikely(((va + bits / 8 - 1) & SOFT_PAGE_MASK) != t->wtag)) \
        return false; \
    *out = *(const volatile soft_u##bits *)(va + t->addend); \
    return true; \
} \
/* Second half: the fast variant has proved that the page is there. */ \
SOFT_INLINE void stw##bits(struct soft_vcpu *v, const struct soft_op *op, enum soft_how how, \
                           uint64_t va, \
                           uint##bits##_t val) \
{ \
    if (how == HOW_SLOW) \
        soft_st_slow(v, op, va, bits / 8, val); \
    else \
        *(volatile soft_u##bits *)(va + soft_tlbe(v, va)->addend) = val; \
} \
/* Sign extension of an operand-sized value to 64 bits. */ \
SOFT_INLINE uint64_t sx##bits(uint##bits##_t x) { return (uint64_t)(int64_t)(int##bits##_t)x; }
SOFT_MEM_HOW(8)
SOFT_MEM_HOW(16)
SOFT_MEM_HOW(32)
SOFT_MEM_HOW(64)
#undef SOFT_MEM_HOW

/* Register access by operand size; a 32-bit write clears the upper half. */
#define RD8(off)  R8(off)
#define RD16(off) R16(off)
#define RD32(off) R32(off)
#define RD64(off) R64(off)
#define WR8(off, x)  (R8(off) = (uint8_t)(x))
#define WR16(off, x) (R16(off) = (uint16_t)(x))
#define WR32(off, x) (R64(off) = (uint32_t)(x))
#define WR64(off, x) (R64(off) = (uint64_t)(x))

#define SOFT_FN(name) static void name(struct soft_vcpu *v, const struct soft_op *op)

/* ---------------------------------------------------------------- block ends */

static inline struct soft_block *soft_block_of(const struct soft_op *op)
{
    return (struct soft_block *)((char *)(op - op->idx) - offsetof(struct soft_block, ops));
}

static inline unsigned soft_jc_index(uint64_t rip)
{
    const unsigned slots = 1u << SOFT_JC_SLOT_BITS, pages = 1u << SOFT_JC_PAGE_BITS;
    uint64_t page = rip >> SOFT_PAGE_SHIFT;
    unsigned hi = (page ^ page >> SOFT_JC_PAGE_BITS) & (pages - 1);

    return hi << SOFT_JC_SLOT_BITS | ((rip ^ rip >> SOFT_JC_SLOT_BITS) & (slots - 1));
}

/* At a block's end, gpr[16] already being the next RIP: must run.c have a look? */
static inline bool soft_leave(struct soft_vcpu *v, const struct soft_op *op)
{
    v->budget -= SOFT_LINK(op)->nr_insns;
    return soft_unlikely(v->budget < 0) ||
           soft_unlikely(atomic_load_explicit(&v->attention, memory_order_relaxed) != 0);
}

/*
 * Without optimisation gcc makes no tail calls: then every block goes back to run.c, which bounds
 * the stack.
 */
#if defined(__OPTIMIZE__) || defined(__clang__)
#define SOFT_CHAIN 1
#else
#define SOFT_CHAIN 0
#endif

/* Ends a 64-bit block whose successor is only known by address: gpr[16] holds it, canonical. */
#define SOFT_JUMP64(v, op) do { \
    if (soft_leave(v, op) || !SOFT_CHAIN) \
        return; \
    uint64_t rip_ = v->gpr[16]; \
    struct soft_jcache *e_ = &v->jc[soft_jc_index(rip_)]; \
    if (soft_unlikely(e_->key != (rip_ ^ v->jc_salt)) || soft_unlikely(e_->blk->mode != v->mode)) \
        SOFT_TAIL return soft_find_go(v, op); \
    op = e_->blk->ops; \
    SOFT_TAIL return op->fn(v, op); \
} while (0)

/* Ends a block with a direct branch (or none). which: taken or fall. */
#define SOFT_GOTO(v, op, which) do { \
    struct soft_link *l_ = SOFT_LINK(op); \
    struct soft_block *b_ = l_->which; \
    v->gpr[16] += (uint64_t)(int64_t)l_->which##_off; \
    if (soft_leave(v, op) || !SOFT_CHAIN) \
        return; \
    if (soft_unlikely(!b_)) \
        SOFT_TAIL return soft_link_##which(v, op); \
    op = b_->ops; \
    SOFT_TAIL return op->fn(v, op); \
} while (0)

/* Ends a block after an instruction that may have changed anything. */
#define SOFT_SYNC(v, op) do { \
    v->gpr[16] += (uint64_t)op->ip + op->len; \
    SOFT_TAIL return soft_continue(v, op); \
} while (0)
/* The same with gpr[16] already set. */
#define SOFT_SYNC_AT(v, op) do { SOFT_TAIL return soft_continue(v, op); } while (0)

#endif
