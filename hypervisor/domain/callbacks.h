/* SPDX-License-Identifier: MIT */
/* What the machine answers to the engine: the engine_env's functions. */
#ifndef KR_DOMAIN_CALLBACKS_H
#define KR_DOMAIN_CALLBACKS_H

#include "hypervisor/domain/machine.h"

/* Fills env with the machine's callbacks and memory. */
void callbacks_init(struct machine *m, struct engine_env *env);

/* cpuid.c */
void cpuid_read(void *opaque, unsigned vcpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
/* Takes over a policy; -1/EINVAL if it is malformed. Before the first KL_RUN. */
int cpuid_set_policy(struct machine *m, const struct kl_cpuid_leaf *leaf, unsigned nr);

/* msr.c */
void msr_reset(struct vcpu *v);
void msr_save(struct vcpu *v, struct hvm_hw_mtrr *hw, uint64_t pat);
void msr_load(struct vcpu *v, const struct hvm_hw_mtrr *hw);
enum engine_verdict msr_read(void *opaque, unsigned vcpu, uint32_t msr, uint64_t *value);
enum engine_verdict msr_write(void *opaque, unsigned vcpu, uint32_t msr, uint64_t value);

/* hypercall.c */
enum engine_verdict hypercall(void *opaque, unsigned vcpu, uint64_t *gpr);
/* Writes the 32-byte entry stubs into a guest page. */
void hypercall_page_fill(struct machine *m, uint8_t page[4096]);

#endif
