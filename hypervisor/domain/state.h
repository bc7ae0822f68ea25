/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's architectural state between the engine's form, Xen's save record (struct hvm_hw_cpu) and
 * the forms in which vCPUs are started (VCPUOP_initialise, INIT / SIPI).
 */
#ifndef KR_DOMAIN_STATE_H
#define KR_DOMAIN_STATE_H

#include <stdint.h>

#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/save.h>

#include "hypervisor/domain/machine.h"

/* tsc_now: the host TSC that hw->tsc belongs to. */
void state_to_hw(const struct engine_state *s, struct hvm_hw_cpu *hw, uint64_t tsc_now);
void state_from_hw(const struct hvm_hw_cpu *hw, struct engine_state *s, uint64_t tsc_now);

/* After RESET or INIT: real mode at cs = vector << 8. tsc_offset is the caller's. */
void state_reset(struct engine_state *s);
void state_sipi(struct engine_state *s, uint8_t vector);

/* struct vcpu_hvm_context; 0 or -EINVAL for modes and registers that make no sense. */
int state_from_context(const struct vcpu_hvm_context *ctx, struct engine_state *s);

#endif
