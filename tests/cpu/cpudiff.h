/* SPDX-License-Identifier: MIT */
/*
 * cpudiff: the soft engine against the host's CPU, one instruction at a time.
 *
 * A case is one instruction (bytes) and one machine state. native.c runs it at CPL 3 on the host in
 * a child process; guest.c runs it at CPL 3 in a guest of engine_soft whose page tables put the
 * same memory at the same linear addresses. Both stop at the first fault or at the INT3 (or
 * single-step trap) behind the instruction; compare.c compares everything there is.
 *
 * forms.c makes the list of all instruction forms from the opcode space itself, so an
 * instruction that the engine offers by CPUID but lacks cannot be overlooked.
 */
#ifndef CPUDIFF_H
#define CPUDIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <Zydis/Zydis.h>

#include "common/sanitizer.h"
#include "hypervisor/engine/engine.h"

/* Linear addresses, the same on both sides, below 4 GiB for 32-bit code. The pages around each
 * region are not mapped. */
#define CODE_VA     0x10000000u
#define CODE_SIZE   0x2000u
#define DATA_VA     0x20000000u
#define DATA_RW     0x2000u        /* read-write, then ... */
#define DATA_SIZE   0x3000u        /* ... one read-only page */
#define POOL_SIZE   0x20000u       /* random data; each case starts with a window of it as data */

/* Offsets are known to the assembly in native.c. */
struct cpu_state {
    uint64_t gpr[16];              /* 0 */
    uint64_t rip, rflags;          /* 128 */
    uint64_t fs_base, gs_base;     /* 144 */
    uint16_t sel[8];               /* 160, by enum engine_sreg */
    uint64_t pad[2];
    uint8_t  fx[512];              /* 192, FXSAVE64 image */
} __attribute__((aligned(64)));

/* Vectors beyond the CPU's own. */
enum { VEC_HANG = 0x100, VEC_SHUTDOWN, VEC_ENGINE_ERROR, VEC_NOT_RUN };

struct cpu_case {
    struct cpu_state in;
    uint8_t  code[80];
    uint8_t  len;
    bool     sequence;             /* several instructions; then: */
    bool     branches;             /* the last one does */
    uint32_t undefined;            /* flags that one of them leaves undefined */
    bool     compat;               /* 32-bit code */
    bool     step;                 /* RFLAGS.TF set */
    uint32_t code_off;             /* of the instruction in the code region */
    uint32_t mem_off;              /* of the data window in the pool; multiple of 64 */
    uint32_t patch_off;            /* patch overwrites data at this offset */
    uint8_t  patch[48];
    uint8_t  patch_len;
    uint32_t form;
};

struct cpu_outcome {
    struct cpu_state s;
    uint64_t cr2;                  /* only with #PF */
    uint32_t vector, error;
    uint8_t  data[DATA_RW];
};

/* ---------------------------------------------------------------- forms.c, lists.c */

struct form {
    ZydisMnemonic mnemonic;
    ZydisISASet isa;
    bool compat;
    uint8_t pfx[2], nr_pfx;        /* 66, F2, F3 */
    bool rexw;                     /* or VEX.W */
    bool vex;                      /* BMI1, BMI2: pfx[0] is VEX.pp */
    uint8_t map;                   /* ZydisOpcodeMap */
    uint8_t opcode;
    bool has_modrm, mem;
    int8_t reg, rm;                /* -1: any */
    bool redundant;                /* a prefix that changes nothing */
    bool system;                   /* privileged, far, string: not for sequences */
    uint64_t sig;                  /* what decoding must give for a case of this form */
    uint32_t runs, skipped, failed;
    const char *why;               /* the last candidate was left out for this reason */
};

struct form_list { struct form *f; size_t nr; };

extern struct form_list forms;
/* Fills forms with all legacy-encoded instructions; Returns 0 or -1 (out of memory). */
int forms_build(void);
void cpu_decoder(ZydisDecoder *d, bool compat);
uint64_t form_sig(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *ops);

enum offer {
    OFFER_YES,                     /* engine_soft says so in CPUID, or it is basic */
    OFFER_NO,                      /* must raise #UD */
    OFFER_UNKNOWN,                 /* no CPUID bit of ours describes it: must be #UD too */
};
enum offer isa_offer(ZydisISASet isa, bool host);
/* Why no case can be made of this instruction; NULL if one can. */
const char *excluded(ZydisMnemonic m);
/* The same for a decoded instruction, whose prefixes may matter. */
const char *excluded_insn(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *ops);

/* ---------------------------------------------------------------- gen.c */

struct rng { uint64_t s[2]; };
uint64_t rnd(struct rng *r);
static inline uint32_t rnd_below(struct rng *r, uint32_t n)
{
    return (uint32_t)((rnd(r) >> 32) * (uint64_t)n >> 32);
}
void rng_seed(struct rng *r, uint64_t seed);
void gen_pool(struct rng *r, uint8_t *pool);
/* A case of form, or false if random choice found none (counted by the caller). */
bool gen_case(struct rng *r, uint32_t form, struct cpu_case *c);
/* A few instructions one behind the other, of these forms (all of one mode). */
bool gen_sequence(struct rng *r, const uint32_t *of, size_t nr, struct cpu_case *c);
/* Whether form may be part of a sequence. */
bool gen_sequential(const struct form *f);
/* What must not exist: vex: an instruction with a VEX, EVEX or XOP prefix; else bytes that are no
 * instruction at all. form is UINT32_MAX. */
bool gen_unknown(struct rng *r, bool vex, struct cpu_case *c);
/* A random state for given bytes (--form). */
bool gen_bytes(struct rng *r, const uint8_t *bytes, unsigned len, bool compat, struct cpu_case *c);

/* ---------------------------------------------------------------- native.c, guest.c */

/* Maps the regions; once, before all else. Returns 0 or -1 with a message printed. */
int native_init(const uint8_t *pool);
/* Runs cases[0..nr) in a child; out likewise. */
void native_run(const struct cpu_case *cases, struct cpu_outcome *out, unsigned nr);

int guest_init(const uint8_t *pool);
void guest_run(const struct cpu_case *c, struct cpu_outcome *out);
void guest_exit(void);

/* ---------------------------------------------------------------- undefined.c */

/* What is not to be compared about a case. */
struct open_points {
    uint32_t flags;
    bool everything, data;
};
/* Also makes those parts of *native equal to the guest's that are open and not in *open. */
void find_open_points(const struct cpu_case *c, struct cpu_outcome *native,
                      const struct cpu_outcome *guest, struct open_points *open);
/* All flags that m ever leaves undefined. */
uint32_t may_be_undefined(ZydisMnemonic m);

/* ---------------------------------------------------------------- intel.c */

bool host_is_intel(void);
/* find_open_points() for what only Intel's CPUs do otherwise. */
void intel_open_points(const struct cpu_case *c, struct cpu_outcome *native,
                       const struct cpu_outcome *guest, struct open_points *open);
/* May f stand in a sequence that an Intel CPU runs? */
bool intel_sequential(const struct form *f);

/* ---------------------------------------------------------------- compare.c */

/* 0 if equal but for what the manuals leave undefined. Prints the differences to f if not NULL. */
unsigned compare(const struct cpu_case *c, struct cpu_outcome *native,
                 const struct cpu_outcome *guest, FILE *f);
void print_case(const struct cpu_case *c, FILE *f);

#endif
