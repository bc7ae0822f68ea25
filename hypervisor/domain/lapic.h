/* SPDX-License-Identifier: MIT */
/*
 * The local APIC, in xAPIC and x2APIC mode (Intel SDM vol. 3, chapter "APIC"; AMD APM vol. 2,
 * chapter 16). Everything runs on the vCPU's own thread, but for lapic_post() and the reading of
 * another vCPU's id registers when an interprocessor interrupt looks for its destinations.
 */
#ifndef KR_DOMAIN_LAPIC_H
#define KR_DOMAIN_LAPIC_H

#include "hypervisor/domain/machine.h"

#define LAPIC_NO_VECTOR (-1)

/* Power-up or INIT state; keep_base: INIT leaves IA32_APIC_BASE alone. */
void lapic_reset(struct vcpu *v, bool keep_base);
void lapic_save(struct vcpu *v, struct hvm_hw_lapic *hw, struct hvm_hw_lapic_regs *regs);
/* regs NULL: registers after reset. */
void lapic_load(struct vcpu *v, const struct hvm_hw_lapic *hw,
                const struct hvm_hw_lapic_regs *regs);

/* Any thread: an edge-triggered interrupt arrives. The caller kicks. */
void lapic_post(struct vcpu *v, uint8_t vector);

/* Any thread: a message-signalled interrupt, fixed or lowest priority (Intel SDM vol. 3, 11.11). */
void lapic_msi(struct machine *m, uint64_t addr, uint32_t data);

/* The vector to deliver now, or LAPIC_NO_VECTOR; lapic_accept() moves it into service. */
int  lapic_pending(struct vcpu *v);
void lapic_accept(struct vcpu *v, uint8_t vector);

/* The timer: fires what is due at now; the next deadline is v->lapic.timer_deadline. */
void lapic_timer_run(struct vcpu *v, uint64_t now);

bool lapic_mmio_hit(const struct vcpu *v, uint64_t gpa);
void lapic_mmio_read(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t *value);
void lapic_mmio_write(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t value);
/* The x2APIC MSRs and IA32_APIC_BASE, IA32_TSC_DEADLINE; false: #GP. */
bool lapic_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool lapic_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value);

uint64_t lapic_read_cr8(struct vcpu *v);
void lapic_write_cr8(struct vcpu *v, uint64_t value);

bool lapic_enabled(const struct vcpu *v);   /* by IA32_APIC_BASE */
bool lapic_x2apic(const struct vcpu *v);
uint32_t lapic_id(unsigned vcpu);           /* initial APIC id */

#endif
