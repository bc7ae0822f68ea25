/* SPDX-License-Identifier: MIT */
/*
 * Is KVM usable on this machine? Answered by running code.
 *
 * A /dev/kvm that opens proves little: some sandboxes offer one whose CPU is an instruction
 * emulator, a hundred times too slow and unable to return from an interrupt. The probe makes a
 * tiny guest, lets it do what every kernel does in its first milliseconds (long mode with paging,
 * CPUID, MSRs, IRETQ, SYSRET, SYSCALL, port I/O) and times a loop.
 *
 * The guest runs in a child process: a KVM that hangs or crashes costs the caller the time limit
 * and nothing else. Never: changes the caller's state, keeps a descriptor open, or takes much
 * longer than KVM_PROBE_LIMIT_MS.
 */
#ifndef KR_ENGINE_KVM_PROBE_H
#define KR_ENGINE_KVM_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#define KVM_PROBE_DEVICE    "/dev/kvm"
#define KVM_PROBE_LIMIT_MS  300
#define KVM_PROBE_MIN_MIPS  100    /* below it, instructions are being emulated */

enum kvm_verdict {
    KVM_USABLE = 0,
    KVM_NO_DEVICE,       /* the device node does not exist */
    KVM_NO_PERMISSION,   /* it exists, this user may not open it */
    KVM_NOT_KVM,         /* opens, but does not speak KVM's API version 12 */
    KVM_NO_VM,           /* no virtual machine could be set up */
    KVM_WRONG,           /* the guest did not do what a CPU does */
    KVM_SLOW,            /* it did, but its instructions are emulated */
    KVM_HANGS,           /* no answer within the limit */
    KVM_CRASHED,         /* the child process died */
};

/* How far the guest came; each step is reported by the guest itself through a port. */
enum kvm_probe_step {
    KVM_STEP_START, KVM_STEP_CPUID, KVM_STEP_PAGING, KVM_STEP_IRETQ, KVM_STEP_MSR,
    KVM_STEP_SYSRET, KVM_STEP_IRETQ_USER, KVM_STEP_LOOP, KVM_STEP_DONE, KVM_NR_STEPS
};

/* What the child leaves behind for the caller to judge. */
struct kvm_probe_record {
    enum kvm_verdict setup;     /* KVM_USABLE once the guest is about to start */
    int err;                    /* errno of the failed set-up step */
    char what[32];              /* its name */
    enum kvm_probe_step step;
    bool finished;              /* the child came to its own end */
    uint32_t exit_reason;       /* of the exit that ended the run early; 0 if none did */
    uint64_t loop_start_ns;     /* CLOCK_MONOTONIC when the chunk under way began */
    uint64_t chunk_insns;       /* instructions in the chunk under way */
    uint64_t best_mips;         /* fastest chunk that was long enough to count */
};

struct kvm_probe_result {
    enum kvm_verdict verdict;
    uint64_t mips;              /* measured speed, 0 if the loop was not reached */
    uint64_t elapsed_ns;
    char reason[128];           /* one line for people, no newline */
};

/* Probes device (NULL: /dev/kvm). Fills *out; returns out->verdict. Forks; safe in a process with
 * threads. */
enum kvm_verdict kvm_probe(const char *device, struct kvm_probe_result *out);

/* The pure half of kvm_probe(): what a record and a wait status mean. status is as from waitpid(),
 * or -1 if the child had to be killed at the limit; now_ns is the time of judgement. */
void kvm_probe_judge(const struct kvm_probe_record *r, int status, uint64_t now_ns,
                     struct kvm_probe_result *out);

/* A short stable word for each verdict ("usable", "slow", ...). */
const char *kvm_verdict_name(enum kvm_verdict v);

#endif
