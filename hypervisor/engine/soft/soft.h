/* SPDX-License-Identifier: MIT */
/*
 * The soft CPU: its state, its pre-decoded operations and the rules that every handler follows.
 * Private to engine/soft.
 *
 * How it runs. Guest code is decoded once (decode.c, by Zydis) into blocks of soft_op, each the
 * address of a handler plus its operands in the form the handler wants. A handler does its work
 * and tail-calls the next op's handler, so the interpreter has no central loop and each indirect
 * jump has its own place in the host's branch predictor. Control comes back to run.c only when a
 * block's successor is not known, when the attention word is set or the budget is used up, or by
 * longjmp when a handler raises a fault.
 *
 * Rules for a handler:
 *  - Signature void fn(struct soft_vcpu *v, const struct soft_op *op); last statement SOFT_NEXT
 *    (or one of the block ends in exec_branch.c). No local whose address escapes to a function
 *    that is not inlined: it would turn the tail call into a call and the stack would grow. Use
 *    v->scratch, or values in registers, for slow paths.
 *  - Faults are raised with soft_raise*(v, op, ...), which never return. Nothing architectural may
 *    be changed before the last access that can fault: the instruction will be restarted.
 *  - Guest memory only through mem.h.
 *  - The instruction's address is SOFT_RIP(v, op); the next one's SOFT_RIP(v, op) + op->len.
 *
 * What was measured (2.6 GHz Zen 5, gcc 12 -O2, other load on the machine):
 *  - Loops of register arithmetic, or of loads and stores that hit the TLB, run at 850 to 1100
 *    million guest instructions per second, CALL/RET at 600; SYSCALL and SYSRET take 40 ns
 *    together, INT and IRET 110 ns; a boot of Debian's cloud kernel averages 400 to 700 million
 *    per second.
 *  - With a call anywhere in a handler gcc saves registers at its entry, on the fast path too.
 *    Hence fast handlers without calls and a slow twin (SOFT_MEMFN in exec.h).
 *  - An operand of base and displacement alone saves about seven host instructions of
 *    twenty-seven.
 *  - INC and DEC of memory were 11 % of a boot while they computed CF to keep it (kernels count
 *    so).
 *  - Branches to other pages were 5 % of a boot through the general lookup, 3 % through the jump
 *    cache. With 256 pages' worth of slots a kernel evicted itself from that cache; with 1024 it
 *    does not.
 *
 * Everything in soft_vcpu belongs to the vCPU's own thread except what is marked atomic.
 */
#ifndef KR_SOFT_H
#define KR_SOFT_H

#include <emmintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <Zydis/Zydis.h>

#include "hypervisor/engine/engine.h"

struct soft_vcpu;
struct soft_op;
struct soft_block;
struct soft_page;

typedef void (*soft_fn)(struct soft_vcpu *v, const struct soft_op *op);

#define soft_likely(x)   __builtin_expect(!!(x), 1)
#define soft_unlikely(x) __builtin_expect(!!(x), 0)
/* Guest operands in host memory: any alignment, any type. */
typedef uint8_t soft_u8 __attribute__((may_alias));
typedef uint16_t soft_u16 __attribute__((aligned(1), may_alias));
typedef uint32_t soft_u32 __attribute__((aligned(1), may_alias));
typedef uint64_t soft_u64 __attribute__((aligned(1), may_alias));
#define SOFT_COLD        __attribute__((noinline, cold))
#define SOFT_NORETURN    __attribute__((noreturn, noinline, cold))

#if defined(__clang__)
#define SOFT_TAIL __attribute__((musttail))
#else
#define SOFT_TAIL            /* gcc makes sibling calls at -O2; the Makefile sets it */
#endif
/* Ends a handler: on to the next op of the block. */
#define SOFT_NEXT do { SOFT_TAIL return op[1].fn(v, op + 1); } while (0)

/* ---------------------------------------------------------------- operations */

/*
 * How the effective address of op's memory operand is made from a = R64(base) + (R64(index) <<
 * scale) + disp.
 */
enum soft_ea_kind {
    SOFT_EA_PLAIN = 0,   /* 64-bit code, no FS/GS, 64-bit addresses: linear = a */
    SOFT_EA_BASED,       /* 64-bit code: linear = a + segment base (FS or GS) */
    SOFT_EA_ADDR32,      /* 64-bit code, address-size prefix: linear = (uint32_t)a + base */
    SOFT_EA_SEG16,       /* other code, 16-bit addresses: all of segmentation */
    SOFT_EA_SEG32,       /* other code, 32-bit addresses: all of segmentation */
};

/* One decoded instruction. 32 bytes: two per cache line. */
struct soft_op {
    soft_fn fn;
    union {
        uint64_t imm;    /* immediate, sign-extended to 64 bits as the instruction defines */
        void *ptr;
    };
    int32_t disp;        /* RIP-relative operands are made relative to the block's start */
    uint16_t ip;         /* offset of the instruction from the block's first byte */
    uint8_t len;         /* its length in bytes */
    uint8_t idx;         /* index of this op in its block */
    uint8_t d, s;        /* registers, as byte offsets: SOFT_G* for integer, 16 * n for XMM ... */
    uint8_t base, index; /* address registers, as byte offsets into gpr (SOFT_ZERO: none) */
    uint8_t scale;       /* shift count 0-3 */
    uint8_t seg;         /* enum engine_sreg, or SOFT_SEG_NONE */
    uint8_t ea;          /* enum soft_ea_kind */
    uint8_t x;           /* whatever else the handler wants */
};

/* Byte offsets into soft_vcpu.gpr: number * 8; AH, CH, DH, BH are SOFT_G(0..3) + 1. */
#define SOFT_G(n)   ((n) * 8)
#define SOFT_BLKRIP SOFT_G(16)     /* the address of the block's first byte: base of RIP-relative */
#define SOFT_ZERO   SOFT_G(17)     /* always 0 */
#define SOFT_SEG_NONE 6            /* segbase[6] is always 0 */

#define R64(off) (*(uint64_t *)((char *)v->gpr + (off)))
#define R32(off) (*(uint32_t *)((char *)v->gpr + (off)))   /* read only: writes clear bits 32-63 */
#define R16(off) (*(uint16_t *)((char *)v->gpr + (off)))
#define R8(off)  (*(uint8_t *)((char *)v->gpr + (off)))

/* RIP of op's instruction in linear (64-bit) or CS-relative (else) form. */
#define SOFT_RIP(v, op) ((v)->gpr[16] + (op)->ip)

/* Everything that decoding depends on besides the bytes. */
enum soft_mode {
    SOFT_M_CODE64 = 1 << 0,
    SOFT_M_CODE32 = 1 << 1,        /* neither: 16-bit code */
    SOFT_M_STACK32 = 1 << 2,       /* SS.B; meaningless with CODE64 */
    SOFT_M_USER = 1 << 3,          /* CPL 3 */
    SOFT_M_STEP = 1 << 4,          /* blocks of one instruction: TF, interrupt shadows */
    SOFT_M_PROT = 1 << 5,          /* CR0.PE */
    SOFT_M_DEAD = 1 << 30,         /* a block whose page was written to */
};

#define SOFT_BLOCK_MAX 64          /* instructions; op.idx must hold it and the links behind */

/*
 * What lies in the slot after a block's last op: where the block leads to, and how many guest
 * instructions it holds (fused ones count as two).
 */
struct soft_link {
    soft_fn fn;                    /* never called unless a handler is wrong */
    struct soft_block *taken, *fall;   /* successors in the same page, once known */
    int32_t taken_off;             /* taken branch: new block RIP - this block's RIP */
    uint16_t fall_off;             /* not taken, or falling off the end */
    uint8_t nr_insns;
    uint8_t in_page;               /* bit 0: taken, bit 1: fall: may be linked */
};
#define SOFT_LINK(op) ((struct soft_link *)(op + 1))

/*
 * A run of instructions within one guest page, ended by a branch or anything that changes the
 * mode. Belongs to one vCPU. ops[] ends with the op that leaves the block; the slot after it is
 * not an op but holds the links to successors in the same page.
 */
struct soft_block {
    uint32_t mode;                 /* enum soft_mode bits */
    uint16_t off;                  /* start within the page */
    uint16_t nr_insns;
    uint32_t bytes;
    struct soft_page *page;
    struct soft_block *hash_next;
    struct soft_op ops[];
};

/* ---------------------------------------------------------------- translation */

#define SOFT_PAGE_SHIFT 12
#define SOFT_PAGE_SIZE  4096ull
#define SOFT_PAGE_MASK  (~(SOFT_PAGE_SIZE - 1))

#define SOFT_TLB_BITS 10
#define SOFT_TLB_SIZE (1u << SOFT_TLB_BITS)
#define SOFT_TLB_NONE 1ull         /* a tag that no page address equals */

/* Which access rights a data TLB was filled for. */
enum soft_tlb_kind {
    SOFT_TLB_KERNEL,
    SOFT_TLB_USER,
    SOFT_TLB_KERNEL_AC,  /* user pages reachable: SMAP off or suspended by EFLAGS.AC */
    SOFT_TLB_CHECKED,    /* never filled: each access takes the slow path, which checks alignment */
    SOFT_NR_TLBS
};

/* Data TLB: tags are linear page addresses; host address = linear + addend. */
struct soft_tlbe {
    uint64_t rtag, wtag;
    uintptr_t addend;
    uint64_t gpa;                  /* of the page; bit 0: global */
};

struct soft_itlbe { uint64_t tag, gpa; };      /* gpa bit 0: global */
#define SOFT_ITLB_SIZE 512u

/*
 * Which slots of a TLB were filled since the last flush, so that the next one costs in proportion:
 * a PV guest below a shim loads CR3 at each of its system calls.
 */
#define SOFT_FILLS_MAX 1024u
struct soft_fills {
    unsigned nr;                   /* more than SOFT_FILLS_MAX: lost count */
    uint16_t slot[SOFT_FILLS_MAX];
};

/* Linear RIP -> block. key = rip ^ salt, so that changing the salt empties it (see block.c). */
struct soft_jcache { uint64_t key; struct soft_block *blk; };
#define SOFT_JC_SLOT_BITS 6        /* slots per page */
#define SOFT_JC_PAGE_BITS 10
#define SOFT_JC_SIZE (1u << (SOFT_JC_SLOT_BITS + SOFT_JC_PAGE_BITS))

/* ---------------------------------------------------------------- floating point state (x87*.c,
 * sse*.c) */

/*
 * The x87 registers live in the host's x87 unit while `live` is set (many x87 instructions in a
 * row then run at the host's speed), else in this image. soft_fp_sync() brings them home. The
 * first 512 bytes are an FXSAVE64 image: st[] is relative to TOP, ftw is abridged.
 */
struct soft_x87 {
    uint16_t fcw, fsw;             /* fsw includes TOP */
    uint8_t  ftw, reserved;
    uint16_t host_fop;
    uint64_t host_fip, host_fdp;
    uint32_t host_mxcsr, host_mask;
    struct { uint64_t m; uint16_t se, pad[3]; } st[8];
    uint8_t  room[352];            /* FXSAVE's XMM part; v->xmm is what counts */
    uint64_t fip, fdp;             /* the guest's last x87 instruction and operand */
    uint16_t fop, fcs, fds;
    bool     live;
} __attribute__((aligned(64)));

/* soft_vcpu.mxcsr_live: where the guest's MXCSR is. */
enum {
    SOFT_MXCSR_HOME = 0,           /* in v->mxcsr; the host's is at its default */
    /* in the host's register, all exceptions masked there as in the guest */
    SOFT_MXCSR_LIVE,
    SOFT_MXCSR_UNMASKED,           /* in v->mxcsr; the guest unmasked some exception: slow path */
};

/* ---------------------------------------------------------------- the vCPU */

/* Bits of soft_vcpu.attention. */
enum {
    SOFT_ATT_KICK = 1 << 0,        /* kick() */
    SOFT_ATT_STOP = 1 << 1,        /* a callback said STOP */
    SOFT_ATT_INVAL = 1 << 2,       /* soft_vcpu.inval holds work */
    SOFT_ATT_WINDOW = 1 << 3,      /* want_irq_window and interrupts are possible */
    SOFT_ATT_SMC = 1 << 4,         /* own block's page was invalidated */
    SOFT_ATT_EVENT = 1 << 5,       /* something in the run loop's fields: step, shadow, mode */
};

/* Pages that other threads ask this vCPU to forget (see block.c). */
#define SOFT_INVAL_MAX 64
struct soft_inval {
    pthread_mutex_t lock;
    unsigned nr;
    bool all_code, all_tlb;
    struct { uint64_t gfn; uint32_t what; } q[SOFT_INVAL_MAX];
};

struct soft_vcpu {
    uint64_t gpr[18];              /* [16]: block's RIP, [17]: 0 */

    /* Lazy flags (flags.h). */
    uint64_t cc_res, cc_src;
    uint32_t cc_op;
    uint32_t mode;                 /* enum soft_mode bits */
    uint64_t pc_res, pc_src;       /* where CF comes from after INC and DEC */
    uint32_t pc_op;
    uint64_t rflags;               /* all but the arithmetic ones (CF PF AF ZF SF OF) */

    struct soft_tlbe *tlb;         /* tlbs[kind] for the present CPL and AC */
    int64_t budget;                /* instructions left; checked at block ends */
    atomic_uint attention;
    uint32_t sse_trap, x87_trap;   /* vector to raise (#NM, #UD) or 0; from CR0 and CR4 */
    uint64_t jc_salt;
    uint64_t segbase[8];           /* by engine_sreg; [6] = 0 */

    /* FP: the guest's, not the host's. */
    __m128i xmm[16];
    uint32_t mxcsr, mxcsr_live;
    struct soft_x87 x87;

    struct engine_segment seg[ENGINE_NR_SREGS], tr, ldtr;
    struct engine_table gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, efer;
    uint64_t dr[8];
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux, xcr0, xss, tsc_offset;
    uint8_t cpl;
    bool halted, nmi_blocked, sti_shadow, mov_ss_shadow;
    bool want_window, nmi_pending;
    bool tf_settled;               /* the instruction saw to its own single-step trap */
    bool split_held;               /* owns soft_engine.split_lock */

    /* Event being delivered. */
    struct { bool valid; uint8_t vector, type; uint32_t error; bool has_error; } event;
    bool in_delivery;
    uint64_t int_rip;              /* of the INT n, INT3 or INTO being delivered */

    /* The latest raise, read by the run loop after longjmp. */
    struct {
        uint8_t vector, type;
        bool has_error;
        uint32_t error;
        uint64_t rip;
    } fault;
    jmp_buf *env;

    const struct soft_op *cb_op;   /* whose callback is running, for rip() */
    unsigned id;
    struct soft_engine *e;
    const struct engine_env *m;    /* the machine: &e->env */
    uint8_t *ram;                  /* m->ram */

    struct soft_tlbe tlbs[SOFT_NR_TLBS][SOFT_TLB_SIZE];
    struct soft_itlbe itlb[2][SOFT_ITLB_SIZE];     /* kernel, user */
    struct soft_fills tlb_fills[SOFT_NR_TLBS][2], itlb_fills[2][2];     /* [1]: global entries */
    /* Hashes of where pages larger than 4 KiB were used since the last full flush: [0] 2 MiB,
     * [1] 4 MiB, [2] 1 GiB. Our entries are 4 KiB pieces of them, so INVLPG there must flush
     * all. */
    uint64_t large[3];
    struct soft_jcache jc[SOFT_JC_SIZE];
    uint32_t jc_gen, jc_gen_used[2];

    struct soft_page **pages;      /* by gfn */
    struct soft_page *page_list;
    struct soft_page *graveyard;
    size_t code_bytes;
    struct soft_block *cross[256]; /* instructions that cross a page (block.c) */

    struct soft_inval inval;
    struct engine_stats stats;
    int64_t budget_start;
    char error[256];
    bool failed;
    bool trace;
    uint8_t scratch[1024] __attribute__((aligned(64)));    /* for handlers' slow paths */
};

struct soft_engine {
    struct engine_env env;
    struct soft_vcpu **vcpus;      /* nr_vcpus entries; set once by vcpu_create */
    /* Per gfn: which 64-byte pieces of it hold code that some vCPU decoded. */
    _Atomic uint64_t *code_map;
    uint64_t nr_gfns;
    pthread_mutex_t split_lock;    /* locked accesses that cross a page */
    bool trace;
    bool amd;                      /* the vendor in CPUID is AMD or Hygon, else Intel */
};

/* ---------------------------------------------------------------- faults */

enum soft_vector {
    SOFT_DE = 0, SOFT_DB = 1, SOFT_NMI = 2, SOFT_BP = 3, SOFT_OF = 4, SOFT_BR = 5, SOFT_UD =
        6, SOFT_NM = 7,
    SOFT_DF = 8, SOFT_TS = 10, SOFT_NP = 11, SOFT_SS = 12, SOFT_GP = 13, SOFT_PF = 14,
    SOFT_MF = 16, SOFT_AC = 17, SOFT_XM = 19,
};

/* Raise a fault at op's instruction (restart semantics). soft_raise is for vectors without an
 * error code. */
SOFT_NORETURN void soft_raise(struct soft_vcpu *v, const struct soft_op *op, unsigned vector);
SOFT_NORETURN void soft_raise_err(struct soft_vcpu *v, const struct soft_op *op, unsigned vector,
                                  uint32_t error);
/* The CPU cannot go on: run() returns ENGINE_EXIT_ERROR with this text (printf). */
SOFT_NORETURN void soft_fail(struct soft_vcpu *v, const struct soft_op *op, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Every SSE handler starts with soft_sse(v, op); every x87/MMX one with soft_x87(v, op). */
static inline void soft_sse(struct soft_vcpu *v, const struct soft_op *op)
{
    if (soft_unlikely(v->sse_trap))
        soft_raise(v, op, v->sse_trap);
}

static inline void soft_x87(struct soft_vcpu *v, const struct soft_op *op)
{
    if (soft_unlikely(v->x87_trap))
        soft_raise(v, op, v->x87_trap);
}

/* ---------------------------------------------------------------- what fp provides (x87*.c,
 * sse*.c) */

/*
 * The handler for an instruction that the integer decoder does not know, or NULL (then #UD). `out`
 * comes with len, ip and, if there is an explicit memory operand, base/index/scale/disp/seg/ea
 * filled in, imm holding the (last) immediate operand; d, s and x are 0 and free to use. XMM
 * registers: d or s = 16 * n, integer registers SOFT_G(n). fp owns: x87, MMX, SSE to SSE4.2 except
 * CRC32/POPCNT/MOVNTI/fences/prefetch/PAUSE; FWAIT, EMMS, FXSAVE/FXRSTOR, LDMXCSR/STMXCSR.
 */
soft_fn fp_lookup(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands,
                  struct soft_op *out);
/* Brings the guest's x87 registers and MXCSR home from the host's registers and gives the host
 * its defaults: before run() returns, and before a callback into the machine. */
void soft_fp_sync(struct soft_vcpu *v);
void soft_fp_reset(struct soft_vcpu *v);                          /* power-on state */
void soft_fp_save(const struct soft_vcpu *v, uint8_t fx[512]);    /* FXSAVE64 image; after sync */
int  soft_fp_load(struct soft_vcpu *v, const uint8_t fx[512]);    /* -1: reserved MXCSR bits */

#include "hypervisor/engine/soft/mem.h"
#include "hypervisor/engine/soft/flags.h"

#endif
