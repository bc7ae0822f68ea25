/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's thread: the run loop, waiting, stopping, and how others get its attention.
 */
#ifndef KR_DOMAIN_VCPU_H
#define KR_DOMAIN_VCPU_H

#include "hypervisor/domain/machine.h"

/* Makes the machine's vCPUs, in the engine too, all parked. Returns 0 or -1/errno. */
int vcpus_create(struct machine *m);
/* Starts their threads. */
int vcpus_start(struct machine *m);

/* Any thread: the vCPU's loop takes a turn soon, awake or not. Cheap if it is awake already. */
void vcpu_kick(struct vcpu *v);
/* Sets request bits (enum vcpu_request) and kicks. */
void vcpu_request(struct vcpu *v, uint32_t bits);

/* Main thread: KL_RUN and KL_STOP. */
void vcpus_run(struct machine *m);
void vcpus_stop(struct machine *m);

/* VCPUOP_down, or HLT with interrupts off: the last one takes the domain down with it.
 * Any thread. */
void vcpu_down(struct vcpu *v);
void vcpu_up(struct vcpu *v);

/* Own thread: stop until the next KL_RUN, after telling the core why (NULL text: it knows). */
void vcpu_hold(struct vcpu *v);
void vcpu_shutdown(struct vcpu *v, unsigned reason, const char *text);

/* Own thread, inside an engine's callback: until the next KL_RUN, in the middle of an instruction. */
void vcpu_park_in_access(struct vcpu *v);

/* Own thread: an event or interrupt waits that a turn of the loop may deliver. */
bool vcpu_needs_turn(struct vcpu *v);

/* Own thread: accounts time to the present RUNSTATE_* and enters another; tells the guest's area.
 */
void vcpu_runstate_set(struct vcpu *v, unsigned runstate);
/* Any thread: the four times up to now, and the state. */
void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out);
/* Own thread: writes the registered area (if any). */
void vcpu_runstate_publish(struct vcpu *v);

#endif
