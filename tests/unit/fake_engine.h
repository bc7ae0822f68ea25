/* SPDX-License-Identifier: MIT */
/*
 * An engine without a CPU, and a machine around it, for tests of the domain process: guest-linear
 * addresses are guest-physical ones, and "guest code" is a C function that the test gives.
 */
#ifndef KR_TESTS_FAKE_ENGINE_H
#define KR_TESTS_FAKE_ENGINE_H

#include "hypervisor/domain/machine.h"

#define FAKE_RAM_PAGES 64u
#define FAKE_GPA_LIMIT (64ull << 20)
#define FAKE_SHARED_GFN 1000u       /* where shared_info is mapped for the guest */

struct engine_vcpu {
    struct engine *e;
    unsigned id, mode, cpl;
    struct engine_state s;
    _Atomic bool kicked;
    bool window, irqs_off;
    int injected[64], nr_injected, nr_nmi;
    uint64_t insns;
    /* Runs on the vCPU's thread; what it returns is what run() returns. */
    enum engine_exit (*script)(struct engine_vcpu *v);
    void *opaque;
};

struct engine { struct engine_env env; unsigned nr_invalidated; };

extern const struct engine_ops engine_fake;

/* A machine with FAKE_RAM_PAGES of RAM from gfn 0 and shared_info, no threads. core_control and
 * core_sock[] are the core's ends. */
struct fake_domain {
    struct machine *m;
    int core_control, core_sock[8];
};
void fake_domain_start(struct fake_domain *d, unsigned vcpus);
void fake_domain_stop(struct fake_domain *d);

/* Makes the calling thread the vCPU's. */
struct vcpu *fake_be(struct fake_domain *d, unsigned vcpu);
/* A hypercall as the vCPU's guest code would make it; mode and cpl are the engine_vcpu's. */
int64_t fake_hypercall(struct vcpu *v, uint64_t op, uint64_t a1, uint64_t a2, uint64_t a3,
                       uint64_t a4);
/* Tells the domain about a port, as the core would. */
void fake_port(struct fake_domain *d, uint32_t port, uint32_t kind, uint32_t vcpu, uint32_t virq);
void *fake_ram(struct fake_domain *d, uint64_t gpa);

#endif
