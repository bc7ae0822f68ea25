/* SPDX-License-Identifier: MIT */
/*
 * The engine interface: what runs guest instructions, seen from the domain process.
 *
 * The domain process owns the machine: guest-physical memory, the local APICs, timers, CPUID and MSR
 * policy, hypercalls. An engine owns the CPU: it executes one vCPU on the calling thread until
 * something needs the run loop, and calls back (on that thread, inside run()) for what the
 * machine decides. `soft` (engine/soft) interprets; `kvm` uses hardware. Nothing above this header
 * knows which one is in use.
 *
 * An engine never: blocks, talks to the core, allocates guest memory, or trusts guest state.
 */
#ifndef KR_ENGINE_H
#define KR_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Order of the x86 encoding (ModRM/REX numbers). */
enum engine_gpr {
    ENGINE_RAX, ENGINE_RCX, ENGINE_RDX, ENGINE_RBX, ENGINE_RSP, ENGINE_RBP, ENGINE_RSI, ENGINE_RDI,
    ENGINE_R8, ENGINE_R9, ENGINE_R10, ENGINE_R11, ENGINE_R12, ENGINE_R13, ENGINE_R14, ENGINE_R15,
};

/* Order of the x86 encoding of segment registers. */
enum engine_sreg { ENGINE_ES, ENGINE_CS, ENGINE_SS, ENGINE_DS, ENGINE_FS, ENGINE_GS, ENGINE_NR_SREGS };

struct engine_segment {
    uint64_t base;
    uint32_t limit;      /* in bytes, granularity already applied */
    uint16_t sel;
    uint16_t attr;       /* descriptor bits 40-47 in bits 0-7 and 52-55 in bits 8-11 (as in VMCB and
                            struct hvm_hw_cpu's *_arbytes without the gap: type:4 s:1 dpl:2 p:1 avl:1 l:1 db:1 g:1).
                            An unusable (null) segment has p = 0. */
};

struct engine_table { uint64_t base; uint16_t limit; };

/* The whole architectural state of a vCPU, for start, save and inspection. */
struct engine_state {
    uint64_t gpr[16];
    uint64_t rip, rflags;
    struct engine_segment seg[ENGINE_NR_SREGS], tr, ldtr;
    struct engine_table gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, efer;
    uint64_t dr[8];                     /* 4 and 5 unused */
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux, xcr0, xss;
    uint64_t tsc_offset;                /* guest TSC = host TSC + offset */
    uint8_t  fx[512] __attribute__((aligned(16)));   /* FXSAVE image, 64-bit format */
    bool     sti_shadow, mov_ss_shadow; /* interrupts held off for one instruction */
    bool     nmi_blocked;
    bool     halted;                    /* stopped in HLT; run() returns HLT at once unless cleared */
    struct { bool valid; uint8_t vector, type; uint32_t error; bool has_error; } event; /* being delivered */
};

/* One byte per guest frame number in engine_env.gfn_type. */
enum engine_gfn_type {
    ENGINE_GFN_NONE = 0,   /* nothing here: accesses call env->mmio_* */
    ENGINE_GFN_RAM,
    ENGINE_GFN_ROM,        /* reads and fetches as RAM; writes call env->mmio_write. Higher values: the
                              same; the machine tells them apart */
};

/* What a callback tells the engine to do next. */
enum engine_verdict {
    ENGINE_CONTINUE = 0,
    ENGINE_STOP,           /* finish this instruction, then run() returns ENGINE_EXIT_KICK */
    ENGINE_FAULT_GP,       /* raise #GP(0) instead of completing the instruction (MSR, PIO only) */
    ENGINE_FAULT_UD,
};

struct engine_vcpu;
struct engine;

/* The machine around the engine. Callbacks run on the vCPU's thread, inside run(). */
struct engine_env {
    void *opaque;
    unsigned nr_vcpus;
    uint8_t *ram;               /* host address of guest-physical 0; [ram, ram + gpa_limit) is reserved */
    uint64_t gpa_limit;         /* bytes; no RAM lies at or above it */
    const uint8_t *gfn_type;    /* gpa_limit >> 12 entries; changes are followed by invalidate_gfns() */

    void (*cpuid)(void *opaque, unsigned vcpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    /* VMCALL or VMMCALL at CPL 0..3: registers in gpr (changeable); rip is already past it. */
    enum engine_verdict (*hypercall)(void *opaque, unsigned vcpu, uint64_t *gpr);
    /* MSRs that the engine does not own (it owns those in engine_state, FS/GS base and TSC). */
    enum engine_verdict (*rdmsr)(void *opaque, unsigned vcpu, uint32_t msr, uint64_t *value);
    enum engine_verdict (*wrmsr)(void *opaque, unsigned vcpu, uint32_t msr, uint64_t value);
    enum engine_verdict (*pio_in)(void *opaque, unsigned vcpu, uint16_t port, unsigned size, uint32_t *value);
    enum engine_verdict (*pio_out)(void *opaque, unsigned vcpu, uint16_t port, unsigned size, uint32_t value);
    /*
     * REP INS/OUTS: count (> 1) elements between the port and RAM, gpa being the first one's address
     * and all in one page. True: done as a whole, as after STOP; false: nothing was, make single
     * accesses. May be NULL.
     */
    bool (*pio_rep)(void *opaque, unsigned vcpu, uint16_t port, unsigned size, bool in, uint64_t gpa,
                    unsigned count, bool down);
    /* size 1, 2, 4 or 8; never crosses a page. */
    enum engine_verdict (*mmio_read)(void *opaque, unsigned vcpu, uint64_t gpa, unsigned size, uint64_t *value);
    enum engine_verdict (*mmio_write)(void *opaque, unsigned vcpu, uint64_t gpa, unsigned size, uint64_t value);
    uint64_t (*read_cr8)(void *opaque, unsigned vcpu);
    enum engine_verdict (*write_cr8)(void *opaque, unsigned vcpu, uint64_t value);
};

enum engine_exit {
    ENGINE_EXIT_KICK,        /* kick() was called, a callback said STOP, or the budget is used up */
    ENGINE_EXIT_HLT,         /* the guest halted (state.halted is set; inject or set_halted(false) clears) */
    ENGINE_EXIT_IRQ_WINDOW,  /* want_irq_window() was set and inject() is now possible */
    ENGINE_EXIT_SHUTDOWN,    /* triple fault */
    ENGINE_EXIT_ERROR,       /* the engine cannot go on; error() says why */
};

struct engine_stats { uint64_t insns, blocks_decoded, tlb_misses, exits; };

struct engine_ops {
    const char *name;

    /* env is copied. Returns NULL with errno. */
    struct engine *(*create)(const struct engine_env *env);
    void (*destroy)(struct engine *e);
    /* What the engine can offer in CPUID leaves that describe the CPU (1, 7, 0xd, 0x80000001,
     * 0x80000008 ...): feature bits that must be clear are clear in out. The policy is built from it. */
    void (*host_cpuid)(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    /* ARCH_CAPABILITIES (MSR 0x10a) of that CPU, where leaf 7 says that it has it. NULL: 0. */
    uint64_t (*host_arch_caps)(void);

    struct engine_vcpu *(*vcpu_create)(struct engine *e, unsigned id);
    void (*vcpu_destroy)(struct engine_vcpu *v);

    /* Only on the vCPU's thread, or while it does not run. set_state returns -1/EINVAL for a state
     * that no CPU can be in (VM entry checks). */
    void (*get_state)(struct engine_vcpu *v, struct engine_state *s);
    int  (*set_state)(struct engine_vcpu *v, const struct engine_state *s);

    /* Runs about max_insns instructions at most. */
    enum engine_exit (*run)(struct engine_vcpu *v, uint64_t max_insns);
    const char *(*error)(struct engine_vcpu *v);

    /* Any thread, any time, async-signal-safe: makes the current or next run() return soon. */
    void (*kick)(struct engine_vcpu *v);

    /* On the vCPU's thread, between runs: can an external interrupt be taken right now? */
    bool (*irq_ready)(struct engine_vcpu *v);
    void (*want_irq_window)(struct engine_vcpu *v, bool want);
    /* Delivers an external interrupt (only when irq_ready) at the start of the next run(); clears halted. */
    void (*inject_irq)(struct engine_vcpu *v, uint8_t vector);
    void (*inject_nmi)(struct engine_vcpu *v);
    void (*set_halted)(struct engine_vcpu *v, bool halted);

    /* Cheap accessors on the vCPU's thread, also inside callbacks. */
    unsigned (*cpl)(struct engine_vcpu *v);
    uint64_t (*rip)(struct engine_vcpu *v);
    /* Width of the code being run: 16, 32 or 64 (CS.L in long mode, else CS.D); decides a hypercall's ABI. */
    unsigned (*mode)(struct engine_vcpu *v);
    /* For the core's walk of guest page tables on forwarded hypercalls. */
    void (*paging)(struct engine_vcpu *v, uint64_t *cr0, uint64_t *cr3, uint64_t *cr4, uint64_t *efer);
    /* Guest linear memory with the vCPU's present paging, supervisor rights. Returns bytes done
     * (less than len at the first unmapped byte); raises no guest fault. Inside callbacks or between runs. */
    size_t (*gva_read)(struct engine_vcpu *v, uint64_t gva, void *buf, size_t len);
    size_t (*gva_write)(struct engine_vcpu *v, uint64_t gva, const void *buf, size_t len);

    /* Any thread: p2m entries changed, or their contents were replaced from outside: forget
     * translations and decoded code for [gfn, gfn + nr). Takes effect on running vCPUs before
     * they next start a block; the caller may already have replaced the mapping. */
    void (*invalidate_gfns)(struct engine *e, uint64_t gfn, uint64_t nr);

    void (*stats)(struct engine_vcpu *v, struct engine_stats *out);
};

extern const struct engine_ops engine_soft;

#endif
