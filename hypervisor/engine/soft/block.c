/* SPDX-License-Identifier: MIT */
/*
 * The cache of decoded blocks.
 *
 * Each vCPU has its own: no locks and no reference counts on the way from block to block, at the
 * price of decoding shared code once per vCPU. Blocks hang off the guest-physical page that they
 * were decoded from, and are position-independent within it, so they outlive changes of page
 * tables. They never cross a page. Within its page a block's successors are linked directly; to
 * another page the way goes through the jump cache, which knows linear addresses and is emptied as
 * the TLB is.
 *
 * How code and data stay consistent:
 *  - soft_engine.code_map says for each page which 64-byte pieces hold code that some vCPU
 *    decoded. A bit is set before the bytes are read.
 *  - A page with any bit set is not writable in any data TLB, so stores take the slow path, which
 *    after the store tests the bits (soft_code_written), drops the page on this vCPU at once and
 *    posts the same to all others; they do it before their next block.
 *  - When a page's first bit is set, other vCPUs may still have it writable. They are told to drop
 *    the entry before their next block, and treat having had one as a store. So a store that
 *    another vCPU makes to a page in the very block during which we first decode from that page is
 *    seen when that block ends, not when the store happens.
 *  - Stores from outside (backends writing to granted pages) are found when an execute translation
 *    is made: the decoded pieces are compared with the copy taken when they were decoded. Code
 *    that a guest kernel lets a device overwrite must get a new mapping before it runs.
 *  - A vCPU that overwrites its own current block goes on with the dead block until the end of the
 *    present instruction only: the op behind it is replaced by one that leaves.
 */
#include <stdlib.h>
#include <string.h>

#include "hypervisor/engine/soft/exec.h"

#define PIECE_SHIFT 6
#define HASH_SIZE 64u
#define CHUNK_SIZE 4000u
#define MAX_CODE_BYTES (96u << 20)

void soft_op_resume(struct soft_vcpu *v, const struct soft_op *op);

struct chunk { struct chunk *next; size_t used, size; _Alignas(16) char data[]; };

struct soft_page {
    uint64_t gfn;
    struct soft_page *next, **prev;          /* list of all, or the graveyard */
    struct chunk *chunks;
    uint64_t pieces;                         /* 64-byte pieces that hold decoded bytes */
    struct soft_block *hash[HASH_SIZE];
    uint8_t copy[SOFT_PAGE_SIZE];            /* of those pieces, as they were decoded */
};

/* An instruction that crosses a page: compared with memory each time, so nothing tracks its
 * pages. */
struct soft_cross {
    uint8_t bytes[16];
    uint8_t len;
    struct soft_block blk;                   /* ops follow: one or two and the links */
};
#define CROSS_OPS 4

static unsigned block_hash(unsigned off, uint32_t mode)
{
    return (off ^ off >> 6 ^ mode * 7) & (HASH_SIZE - 1);
}

/* ---------------------------------------------------------------- pages */

static struct soft_page *page_get(struct soft_vcpu *v, uint64_t gfn)
{
    struct soft_page *p = v->pages[gfn];

    if (p)
        return p;
    p = calloc(1, sizeof(*p));
    if (!p)
        soft_fail(v, NULL, "out of memory for decoded code");
    p->gfn = gfn;
    p->next = v->page_list;
    p->prev = &v->page_list;
    if (p->next)
        p->next->prev = &p->next;
    v->page_list = p;
    v->pages[gfn] = p;
    v->code_bytes += sizeof(*p);
    return p;
}

static void *page_alloc(struct soft_vcpu *v, struct soft_page *p, size_t size)
{
    struct chunk *c = p->chunks;
    void *mem;

    size = (size + 15) & ~(size_t)15;
    if (!c || c->size - c->used < size) {
        size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        c = malloc(sizeof(*c) + room);
        if (!c)
            soft_fail(v, NULL, "out of memory for decoded code");
        c->size = room;
        c->used = 0;
        c->next = p->chunks;
        p->chunks = c;
        v->code_bytes += sizeof(*c) + room;
    }
    mem = c->data + c->used;
    c->used += size;
    return mem;
}

void soft_drop_page(struct soft_vcpu *v, uint64_t gfn)
{
    struct soft_page *p = v->pages[gfn];

    if (!p)
        return;
    for (unsigned i = 0; i < HASH_SIZE; i++)
        for (struct soft_block *b = p->hash[i]; b; b = b->hash_next)
            b->mode = SOFT_M_DEAD;
    v->pages[gfn] = NULL;
    *p->prev = p->next;
    if (p->next)
        p->next->prev = p->prev;
    p->next = v->graveyard;
    v->graveyard = p;
    soft_attend(v, SOFT_ATT_SMC);
}

void soft_drop_all_code(struct soft_vcpu *v)
{
    while (v->page_list)
        soft_drop_page(v, v->page_list->gfn);
}

void soft_free_dead(struct soft_vcpu *v)
{
    struct soft_page *p;

    if (!v->graveyard)
        return;
    soft_jc_flush(v, true, true);            /* it may point at dead blocks */
    while ((p = v->graveyard)) {
        v->graveyard = p->next;
        for (struct chunk *c = p->chunks, *n; c; c = n) {
            n = c->next;
            v->code_bytes -= sizeof(*c) + c->size;
            free(c);
        }
        v->code_bytes -= sizeof(*p);
        free(p);
    }
}

/* Marks the pieces of [off, off + len) as code, for all vCPUs and in p's copy, before they are
 * decoded. */
static void page_cover(struct soft_vcpu *v, struct soft_page *p, unsigned off, unsigned len)
{
    unsigned first = off >> PIECE_SHIFT, last = (off + len - 1) >> PIECE_SHIFT;
    uint64_t mask = (last == 63 ? ~0ull : (1ull << (last + 1)) - 1) & ~((1ull << first) - 1);
    uint64_t fresh = mask & ~p->pieces, old;

    if (!fresh)
        return;
    old = atomic_fetch_or(&v->e->code_map[p->gfn], fresh);
    if (!old) {
        bool writable;
        soft_tlb_drop_gfn(v, p->gfn, true, &writable);
        for (unsigned i = 0; i < v->m->nr_vcpus; i++)
            if (v->e->vcpus[i] && v->e->vcpus[i] != v)
                soft_post_inval(v->e->vcpus[i], p->gfn, SOFT_INVAL_WTLB);
    }
    p->pieces |= fresh;
    for (unsigned i = first; i <= last; i++)
        if (fresh & 1ull << i)
            memcpy(p->copy + (i << PIECE_SHIFT),
                   v->ram + (p->gfn << SOFT_PAGE_SHIFT) + (i << PIECE_SHIFT),
                   1u << PIECE_SHIFT);
}

/* ---------------------------------------------------------------- stores to code */

static void drop_everywhere(struct soft_vcpu *v, uint64_t gfn)
{
    atomic_store(&v->e->code_map[gfn], 0);
    soft_drop_page(v, gfn);
    for (unsigned i = 0; i < v->m->nr_vcpus; i++)
        if (v->e->vcpus[i] && v->e->vcpus[i] != v)
            soft_post_inval(v->e->vcpus[i], gfn, SOFT_INVAL_CODE);
}

void soft_code_written(struct soft_vcpu *v, const struct soft_op *op, uint64_t gpa, unsigned size)
{
    uint64_t gfn = gpa >> SOFT_PAGE_SHIFT;
    unsigned off = gpa & (SOFT_PAGE_SIZE - 1);
    unsigned first = off >> PIECE_SHIFT, last = (off + size - 1) >> PIECE_SHIFT;
    uint64_t mask;

    if (last > 63)
        last = 63;
    mask = (last == 63 ? ~0ull : (1ull << (last + 1)) - 1) & ~((1ull << first) - 1);
    /* store before test; the decoder: set before read */
    atomic_thread_fence(memory_order_seq_cst);
    if (!(atomic_load(&v->e->code_map[gfn]) & mask))
        return;
    drop_everywhere(v, gfn);
    if (op && soft_block_of(op)->mode == SOFT_M_DEAD)
        ((struct soft_op *)op)[1].fn = soft_op_resume;
}

void soft_verify_page(struct soft_vcpu *v, uint64_t gfn)
{
    struct soft_page *p = v->pages[gfn];

    if (!p)
        return;
    for (uint64_t m = p->pieces; m; m &= m - 1) {
        unsigned at = (unsigned)__builtin_ctzll(m) << PIECE_SHIFT;
        if (memcmp(p->copy + at, v->ram + (gfn << SOFT_PAGE_SHIFT) + at, 1u << PIECE_SHIFT)) {
            drop_everywhere(v, gfn);
            return;
        }
    }
}

/* ---------------------------------------------------------------- requests from other threads */

void soft_post_inval(struct soft_vcpu *to, uint64_t gfn, uint32_t what)
{
    struct soft_inval *q = &to->inval;

    pthread_mutex_lock(&q->lock);
    if (q->nr < SOFT_INVAL_MAX) {
        q->q[q->nr].gfn = gfn;
        q->q[q->nr++].what = what;
    } else {
        q->all_code = q->all_tlb = true;
    }
    pthread_mutex_unlock(&q->lock);
    atomic_fetch_or(&to->attention, SOFT_ATT_INVAL);
}

void soft_post_inval_all(struct soft_vcpu *to)
{
    pthread_mutex_lock(&to->inval.lock);
    to->inval.all_code = to->inval.all_tlb = true;
    pthread_mutex_unlock(&to->inval.lock);
    atomic_fetch_or(&to->attention, SOFT_ATT_INVAL);
}

void soft_free_cross(struct soft_vcpu *v)
{
    for (unsigned i = 0; i < sizeof(v->cross) / sizeof(v->cross[0]); i++)
        if (v->cross[i])
            free((char *)v->cross[i] - offsetof(struct soft_cross, blk));
}

void soft_process_inval(struct soft_vcpu *v)
{
    struct soft_inval *q = &v->inval;
    struct { uint64_t gfn; uint32_t what; } local[SOFT_INVAL_MAX];
    unsigned nr;
    bool all;

    pthread_mutex_lock(&q->lock);
    nr = q->nr;
    memcpy(local, q->q, nr * sizeof(local[0]));
    all = q->all_code || q->all_tlb;
    q->nr = 0;
    q->all_code = q->all_tlb = false;
    pthread_mutex_unlock(&q->lock);
    if (all) {
        /* Some requests were lost: assume the worst of every page that we could write. */
        for (unsigned k = 0; k < SOFT_NR_TLBS; k++)
            for (unsigned i = 0; i < SOFT_TLB_SIZE; i++) {
                struct soft_tlbe *t = &v->tlbs[k][i];
                uint64_t gfn = t->gpa >> SOFT_PAGE_SHIFT;
                if (t->wtag != SOFT_TLB_NONE && atomic_load(&v->e->code_map[gfn]))
                    drop_everywhere(v, gfn);
            }
        soft_tlb_flush(v, true);
        soft_drop_all_code(v);
        return;
    }
    for (unsigned i = 0; i < nr; i++) {
        bool writable = false;
        if (local[i].what & SOFT_INVAL_CODE)
            soft_drop_page(v, local[i].gfn);
        if (local[i].what & SOFT_INVAL_WTLB) {
            soft_tlb_drop_gfn(v, local[i].gfn, true, &writable);
            if (writable)
                drop_everywhere(v, local[i].gfn);
        }
        if (local[i].what & SOFT_INVAL_TLB) {
            soft_tlb_drop_gfn(v, local[i].gfn, false, &writable);
            soft_drop_page(v, local[i].gfn);
        }
    }
}

/* ---------------------------------------------------------------- jump cache */

static uint32_t jc_new_gen(struct soft_vcpu *v)
{
    if (++v->jc_gen == 1u << 15) {
        memset(v->jc, 0, sizeof(v->jc));
        v->jc_gen_used[0] = 1;
        v->jc_gen_used[1] = 2;
        v->jc_gen = 3;
    }
    return v->jc_gen;
}

void soft_jc_flush(struct soft_vcpu *v, bool user, bool kernel)
{
    if (kernel)
        v->jc_gen_used[0] = jc_new_gen(v);
    if (user)
        v->jc_gen_used[1] = jc_new_gen(v);
    v->jc_salt = (uint64_t)v->jc_gen_used[v->cpl == 3] << 48;
}

void soft_jc_flush_page(struct soft_vcpu *v, uint64_t va)
{
    unsigned first = soft_jc_index(va) & ~((1u << SOFT_JC_SLOT_BITS) - 1);

    memset(&v->jc[first], 0, sizeof(v->jc[0]) << SOFT_JC_SLOT_BITS);
}

/* ---------------------------------------------------------------- finding and making blocks */

static struct soft_block *make_block(struct soft_vcpu *v, uint64_t gpa, unsigned avail)
{
    struct soft_op ops[SOFT_BLOCK_MAX + 2];
    unsigned off = gpa & (SOFT_PAGE_SIZE - 1), nr_ops, nr_insns, nr_bytes;
    unsigned max = v->mode & SOFT_M_STEP ? 1 : SOFT_BLOCK_MAX;
    struct soft_page *p;
    struct soft_block *b;
    unsigned h = block_hash(off, v->mode);
    const uint8_t *bytes = v->ram + gpa;

    if (v->code_bytes > MAX_CODE_BYTES)
        /* freed by the run loop: the present block may be among it */
        soft_drop_all_code(v);
    p = page_get(v, gpa >> SOFT_PAGE_SHIFT);
    /* Bytes must be marked as code before they are read; how many is known only afterwards. */
    for (unsigned covered = avail < 48 ? avail : 48;;) {
        page_cover(v, p, off, covered);
        if (soft_decode(v->mode, bytes, avail, off, max, ops, &nr_ops, &nr_insns, &nr_bytes) ==
            SOFT_DECODE_CROSSES)
            return NULL;
        if (nr_bytes <= covered)
            break;
        covered = nr_bytes + SOFT_MAX_INSN > avail ? avail : nr_bytes + SOFT_MAX_INSN;
    }
    b = page_alloc(v, p, sizeof(*b) + (nr_ops + 1) * sizeof(struct soft_op));
    memcpy(b->ops, ops, (nr_ops + 1) * sizeof(struct soft_op));
    b->mode = v->mode;
    b->off = (uint16_t)off;
    b->nr_insns = (uint16_t)nr_insns;
    b->bytes = nr_bytes;
    b->page = p;
    b->hash_next = p->hash[h];
    p->hash[h] = b;
    v->stats.blocks_decoded++;
    return b;
}

/* The instruction at linear address va, gpa, that does not fit `avail` bytes of its page. */
static struct soft_block *cross_block(struct soft_vcpu *v, uint64_t va, uint64_t gpa,
                                      unsigned avail)
{
    unsigned slot = (unsigned)(gpa ^ gpa >> 12 ^ v->mode) & 255, nr_ops, nr_insns, nr_bytes, total;
    uint64_t gpa2 = soft_fetch_gpa(v, (va & SOFT_PAGE_MASK) + SOFT_PAGE_SIZE);
    struct soft_op ops[CROSS_OPS];
    struct soft_cross *c;
    uint8_t bytes[SOFT_MAX_INSN];

    memcpy(bytes, v->ram + gpa, avail);
    memcpy(bytes + avail, v->ram + gpa2, sizeof(bytes) - avail);
    c = v->cross[slot] ? (struct soft_cross *)((char *)v->cross[slot] - offsetof(struct soft_cross,
                                                                                 blk))
                       : NULL;
    if (c && c->blk.mode == v->mode && !memcmp(c->bytes, bytes, c->len))
        return &c->blk;
    if (soft_decode(v->mode, bytes, sizeof(bytes), (unsigned)(va & (SOFT_PAGE_SIZE - 1)), 1, ops,
                    &nr_ops,
                    &nr_insns, &nr_bytes) != SOFT_DECODE_OK)
        soft_fail(v, NULL, "decoder wants more than 15 bytes");
    if (!c) {
        c = calloc(1, sizeof(*c) + CROSS_OPS * sizeof(struct soft_op));
        if (!c)
            soft_fail(v, NULL, "out of memory for decoded code");
        v->cross[slot] = &c->blk;
    }
    total = (nr_ops + 1) * (unsigned)sizeof(struct soft_op);
    memcpy(c->blk.ops, ops, total);
    ((struct soft_link *)&c->blk.ops[nr_ops])->in_page = 0;
    memcpy(c->bytes, bytes, sizeof(bytes));
    c->len = (uint8_t)nr_bytes;
    c->blk.mode = v->mode;
    c->blk.nr_insns = 1;
    c->blk.bytes = nr_bytes;
    return &c->blk;
}

/* cacheable: false for blocks that must be looked up anew each time. */
static struct soft_block *find(struct soft_vcpu *v, bool *cacheable)
{
    uint64_t va = v->gpr[16], gpa;
    unsigned off, avail;
    struct soft_page *p;
    struct soft_block *b;

    if (v->mode & SOFT_M_CODE64) {
        if (!soft_canonical(va))
            soft_raise_err(v, NULL, SOFT_GP, 0);
    } else {
        if (va > v->seg[ENGINE_CS].limit)
            soft_raise_err(v, NULL, SOFT_GP, 0);
        va = (uint32_t)(va + v->seg[ENGINE_CS].base);
    }
    gpa = soft_fetch_gpa(v, va);
    off = gpa & (SOFT_PAGE_SIZE - 1);
    *cacheable = true;
    p = v->pages[gpa >> SOFT_PAGE_SHIFT];
    if (p)
        for (b = p->hash[block_hash(off, v->mode)]; b; b = b->hash_next)
            if (b->off == off && b->mode == v->mode)
                return b;
    avail = (unsigned)SOFT_PAGE_SIZE - off;
    b = make_block(v, gpa, avail);
    if (b)
        return b;
    *cacheable = false;
    return cross_block(v, va, gpa, avail);
}

/* Outside 64-bit mode a block must lie within CS's limit as a whole; else step through it. */
static struct soft_block *within_limit(struct soft_vcpu *v, struct soft_block *b)
{
    if (v->mode & SOFT_M_CODE64 || v->gpr[16] + b->bytes - 1 <= v->seg[ENGINE_CS].limit)
        return b;
    if (!(v->mode & SOFT_M_STEP)) {
        bool c;
        v->mode |= SOFT_M_STEP;
        soft_attend(v, SOFT_ATT_EVENT);
        b = find(v, &c);
        if (v->gpr[16] + b->bytes - 1 <= v->seg[ENGINE_CS].limit)
            return b;
    }
    soft_raise_err(v, NULL, SOFT_GP, 0);
}

struct soft_block *soft_find_block(struct soft_vcpu *v)
{
    uint64_t rip = v->gpr[16];
    struct soft_jcache *e = &v->jc[soft_jc_index(rip)];
    struct soft_block *b;
    bool cacheable;

    if (v->mode & SOFT_M_CODE64 && e->key == (rip ^ v->jc_salt) && e->blk->mode == v->mode)
        return e->blk;
    b = find(v, &cacheable);
    if (v->mode & SOFT_M_CODE64 && cacheable) {
        e->key = rip ^ v->jc_salt;
        e->blk = b;
    }
    return within_limit(v, b);
}

void soft_find_go(struct soft_vcpu *v, const struct soft_op *op)
{
    op = soft_find_block(v)->ops;
    SOFT_TAIL return op->fn(v, op);
}

/* A link may only be made to a live block of the same page, and not from or to a dead or
 * crossing one. */
static struct soft_block *link_target(struct soft_vcpu *v, const struct soft_op *op, unsigned bit)
{
    struct soft_block *from = soft_block_of(op), *to = soft_find_block(v);

    if (!(SOFT_LINK(op)->in_page & bit) || from->mode != v->mode || to->page != from->page ||
        !to->page)
        return to;
    if (bit == 1)
        SOFT_LINK(op)->taken = to;
    else
        SOFT_LINK(op)->fall = to;
    return to;
}

static __attribute__((noinline)) void link_taken_slow(struct soft_vcpu *v, const struct soft_op *op)
{
    op = link_target(v, op, 1)->ops;
    SOFT_TAIL return op->fn(v, op);
}

static __attribute__((noinline)) void link_fall_slow(struct soft_vcpu *v, const struct soft_op *op)
{
    op = link_target(v, op, 2)->ops;
    SOFT_TAIL return op->fn(v, op);
}

/* A branch to another page is never linked: the jump cache usually knows it. */
#define LINK(bit, slow) do { \
    struct soft_jcache *e = &v->jc[soft_jc_index(v->gpr[16])]; \
    if (soft_unlikely(e->key != (v->gpr[16] ^ v->jc_salt)) || \
        soft_unlikely(e->blk->mode != v->mode) || \
        soft_unlikely(SOFT_LINK(op)->in_page & bit)) \
        SOFT_TAIL return slow(v, op); \
    op = e->blk->ops; \
    SOFT_TAIL return op->fn(v, op); \
} while (0)

void soft_link_taken(struct soft_vcpu *v, const struct soft_op *op) { LINK(1, link_taken_slow); }
void soft_link_fall(struct soft_vcpu *v, const struct soft_op *op) { LINK(2, link_fall_slow); }
