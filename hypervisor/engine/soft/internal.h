/* SPDX-License-Identifier: MIT */
/* What the files of the soft CPU offer each other, by file. */
#ifndef KR_SOFT_INTERNAL_H
#define KR_SOFT_INTERNAL_H

#include "hypervisor/engine/soft/soft.h"

/* ---- decode.c */
enum soft_decode_result { SOFT_DECODE_OK, SOFT_DECODE_CROSSES };
#define SOFT_MAX_INSN 15
/*
 * Decodes up to max instructions at `bytes` (avail bytes to the end of the page, and SOFT_MAX_INSN
 * readable ones behind are not assumed) into ops, of which there must be max + 2. CROSSES: the
 * very first instruction does not end within avail. Never faults; what cannot be decoded becomes
 * an op that raises #UD.
 */
enum soft_decode_result soft_decode(uint32_t mode, const uint8_t *bytes, unsigned avail,
                                    unsigned page_off,
                                    unsigned max, struct soft_op *ops, unsigned *nr_ops,
                                    unsigned *nr_insns, unsigned *nr_bytes);

/* ---- block.c: pages, blocks, the jump cache */
/* The block at v's RIP; raises the fetch fault if there is none. */
struct soft_block *soft_find_block(struct soft_vcpu *v);
/* Block ends' slow paths (as handlers): continue at gpr[16]; the link ones remember what they
 * found. */
void soft_find_go(struct soft_vcpu *v, const struct soft_op *op);
void soft_continue(struct soft_vcpu *v, const struct soft_op *op);      /* exec_branch.c */
void soft_link_taken(struct soft_vcpu *v, const struct soft_op *op);
void soft_link_fall(struct soft_vcpu *v, const struct soft_op *op);
/* v stored to [gpa, gpa + size) within one page that may hold code; op: the storing instruction
 * or NULL. */
void soft_code_written(struct soft_vcpu *v, const struct soft_op *op, uint64_t gpa, unsigned size);
/* Forget v's code in gfn, or all of it. */
void soft_drop_page(struct soft_vcpu *v, uint64_t gfn);
void soft_drop_all_code(struct soft_vcpu *v);
void soft_free_dead(struct soft_vcpu *v);          /* only when no block is being executed */
/* The jump cache forgets everything / what was mapped at a linear page. */
void soft_jc_flush(struct soft_vcpu *v, bool user, bool kernel);
void soft_jc_flush_page(struct soft_vcpu *v, uint64_t va);
/* Called when gfn's execute mapping is made: drop blocks whose bytes changed behind our back. */
void soft_verify_page(struct soft_vcpu *v, uint64_t gfn);
enum { SOFT_INVAL_CODE = 1, SOFT_INVAL_WTLB = 2, SOFT_INVAL_TLB = 4 };
void soft_post_inval(struct soft_vcpu *to, uint64_t gfn, uint32_t what);
void soft_post_inval_all(struct soft_vcpu *to);
void soft_free_cross(struct soft_vcpu *v);
void soft_process_inval(struct soft_vcpu *v);

static inline bool soft_has_code(struct soft_vcpu *v, uint64_t gpa)
{
    return soft_unlikely(atomic_load_explicit(&v->e->code_map[gpa >> SOFT_PAGE_SHIFT],
                                              memory_order_relaxed) != 0);
}

/* ---- mmu.c: page tables */
enum soft_access { SOFT_READ = 0, SOFT_WRITE = 1, SOFT_EXEC = 2 };
struct soft_walk {
    uint64_t gpa;          /* of va itself */
    bool global, writable; /* writable: a store needs no further walk (dirty bit set) */
    uint8_t shift;         /* page size */
    uint32_t error;        /* page fault error code when the walk fails */
};
/* kind: whose access (SOFT_TLB_CHECKED is not one). set_ad false: a walk for inspection. */
bool soft_walk(struct soft_vcpu *v, uint64_t va, enum soft_tlb_kind kind, enum soft_access access,
               bool set_ad, struct soft_walk *w);
bool soft_canonical(uint64_t va);

/* ---- tlb.c */
void soft_tlb_init(struct soft_vcpu *v);                   /* empties all of a zeroed one */
void soft_tlb_flush(struct soft_vcpu *v, bool global);
void soft_tlb_flush_page(struct soft_vcpu *v, uint64_t va);
void soft_tlb_drop_gfn(struct soft_vcpu *v, uint64_t gfn, bool write_only, bool *was_writable);
/* Fetch translation of a linear address; raises #PF. */
uint64_t soft_fetch_gpa(struct soft_vcpu *v, uint64_t va);
/* The kind that present CPL and AC call for. */
enum soft_tlb_kind soft_kind(const struct soft_vcpu *v);
/* Accesses with rights other than the present ones: descriptor tables, TSS, stacks of other
 * rings. op NULL: the fault belongs to the instruction at gpr[16]. */
uint64_t soft_ld_as(struct soft_vcpu *v, const struct soft_op *op, enum soft_tlb_kind kind,
                    uint64_t va,
                    unsigned size);
void soft_st_as(struct soft_vcpu *v, const struct soft_op *op, enum soft_tlb_kind kind, uint64_t va,
                unsigned size, uint64_t val);
/* For LOCKed instructions: host address for an atomic operation on size bytes (2 ^ n <= 16), or
 * NULL (MMIO, or across pages: the caller does it under soft_split_lock). After the operation on
 * a non-NULL pointer the caller calls soft_locked_done. */
void *soft_lock_ptr(struct soft_vcpu *v, const struct soft_op *op, uint64_t va, unsigned size);
void soft_locked_done(struct soft_vcpu *v, const struct soft_op *op, void *p, unsigned size);
void soft_split_lock(struct soft_vcpu *v);
void soft_split_unlock(struct soft_vcpu *v);
size_t soft_gva_copy(struct soft_vcpu *v, uint64_t gva, void *buf, size_t len, bool write);

/* ---- segment.c */
struct soft_desc { uint64_t lo, hi; };    /* hi: second half of 16-byte descriptors */
/* Loads a data segment register or SS (MOV, POP, LDS ...) with all checks. */
void soft_load_seg(struct soft_vcpu *v, const struct soft_op *op, enum engine_sreg reg,
                   uint16_t sel);
/* Fetches a descriptor; false: null or beyond the table (raise yourself). */
bool soft_read_desc(struct soft_vcpu *v, const struct soft_op *op, uint16_t sel, uint64_t *desc);
struct engine_segment soft_unpack_desc(uint16_t sel, uint64_t desc);
void soft_set_accessed(struct soft_vcpu *v, const struct soft_op *op, uint16_t sel, uint64_t desc);
void soft_set_seg(struct soft_vcpu *v, enum engine_sreg reg, const struct engine_segment *s);
void soft_null_seg(struct soft_vcpu *v, enum engine_sreg reg, uint16_t sel);
void soft_real_seg(struct soft_vcpu *v, enum engine_sreg reg, uint16_t sel);
/* After a change of CPL to an outer ring: data segments that the new CPL may not use become
 * null. */
void soft_drop_inner_segs(struct soft_vcpu *v);
/* SS:SP or SS:ESP of ring `cpl` from the TSS (legacy), or RSPn (long). */
void soft_tss_stack(struct soft_vcpu *v, const struct soft_op *op, unsigned cpl, uint16_t *ss,
                    uint64_t *sp);
/* Checks and fetches an SS descriptor for a switch to ring cpl; err_vector for its faults (#TS
 * or #GP). */
struct engine_segment soft_check_ss(struct soft_vcpu *v, const struct soft_op *op, uint16_t sel,
                                    unsigned cpl,
                                    unsigned err_vector, uint64_t *desc);
/* May ports [port, port + size) be used? Raises #GP(0) if not. */
void soft_check_io(struct soft_vcpu *v, const struct soft_op *op, uint16_t port, unsigned size);
uint64_t soft_seg_linear(struct soft_vcpu *v, const struct soft_op *op, enum engine_sreg reg,
                         uint64_t off,
                         unsigned size, bool write);

#define SEG_TYPE(s) ((s)->attr & 0xf)
#define SEG_S       (1u << 4)
#define SEG_DPL(s)  ((s)->attr >> 5 & 3)
#define SEG_P       (1u << 7)
#define SEG_L       (1u << 9)
#define SEG_DB      (1u << 10)
#define SEG_G       (1u << 11)

/* ---- exception.c */
/* SOFT: INT n, INT3, INTO */
enum soft_event { SOFT_EV_FAULT, SOFT_EV_IRQ, SOFT_EV_NMI, SOFT_EV_SOFT };
/* Delivers through the IDT, pushing gpr[16] as the return address. May raise. */
void soft_deliver(struct soft_vcpu *v, unsigned vector, enum soft_event type, bool has_error,
                  uint32_t error);
/* Turns the raise that has just been caught into what must be delivered; false: triple fault. */
bool soft_combine(struct soft_vcpu *v);
void soft_iret(struct soft_vcpu *v, const struct soft_op *op, unsigned bits);
/* Far return to the frame on the stack: `frame` words (2: CS:IP, 3: and flags), then `release`
 * bytes, then, to an outer ring, SS:SP. */
void soft_return_far(struct soft_vcpu *v, const struct soft_op *op, unsigned bits, unsigned frame,
                     unsigned release,
                     uint64_t flags, uint64_t flags_mask);

/* ---- run.c, soft.c */
/* after changes of CR0, EFER, CS, SS, CPL, TF, AC */
void soft_update_mode(struct soft_vcpu *v);
void soft_set_rflags(struct soft_vcpu *v, uint64_t val, uint64_t mask);
void soft_attend(struct soft_vcpu *v, unsigned bits);
void soft_set_cr0(struct soft_vcpu *v, const struct soft_op *op, uint64_t val);
void soft_set_cr3(struct soft_vcpu *v, const struct soft_op *op, uint64_t val);
void soft_set_cr4(struct soft_vcpu *v, const struct soft_op *op, uint64_t val);
void soft_set_efer(struct soft_vcpu *v, const struct soft_op *op, uint64_t val);
void soft_update_fpu(struct soft_vcpu *v);
/* Makes the single-step #DB pending. */
void soft_step_trap(struct soft_vcpu *v);
enum engine_exit soft_run(struct engine_vcpu *ev, uint64_t max_insns);
void soft_trace(struct soft_vcpu *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool soft_vendor_amd(void);
uint64_t soft_host_arch_caps(void);
void soft_host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);   /* cpuid.c */
/* Every call to the machine comes between these two (CPUID and CR8 reads, which cannot fail,
 * need the first). */
static inline void soft_begin_callback(struct soft_vcpu *v, const struct soft_op *op)
{
    v->cb_op = op;
    soft_fp_sync(v);
}
void soft_verdict(struct soft_vcpu *v, const struct soft_op *op, enum engine_verdict verdict);

static inline bool soft_long(const struct soft_vcpu *v) { return v->efer & (1u << 10); }
static inline bool soft_code64(const struct soft_vcpu *v) { return v->mode & SOFT_M_CODE64; }

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_PG (1u << 31)
#define CR4_VME (1u << 0)
#define CR4_PVI (1u << 1)
#define CR4_TSD (1u << 2)
#define CR4_DE  (1u << 3)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_MCE (1u << 6)
#define CR4_PGE (1u << 7)
#define CR4_PCE (1u << 8)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP (1u << 11)
#define CR4_FSGSBASE (1u << 16)
#define CR4_PCIDE (1u << 17)
#define CR4_OSXSAVE (1u << 18)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)
#define PF_P  1u
#define PF_W  2u
#define PF_U  4u
#define PF_RSVD 8u
#define PF_I  16u

#endif
