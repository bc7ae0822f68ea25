/* SPDX-License-Identifier: MIT */
/*
 * Event channels from the guest's side: pending and mask bits in guest memory (2-level and FIFO
 * ABI), and the upcall to the vCPU. Which ports exist and where they lead is the core's business;
 * it tells by KL_PORT.
 *
 * Every word that lies in guest memory can change or be nonsense at any time: it costs the guest
 * its events, never the process a crash or an endless loop.
 */
#ifndef KR_DOMAIN_EVENT_H
#define KR_DOMAIN_EVENT_H

#include "hypervisor/domain/machine.h"

/* Applies a KL_PORT with up to two descriptors, which it takes (-1: none). Any thread. -1/errno if
 * the message makes no sense or a resource is short. */
int event_port_update(struct machine *m, const struct kl_port *msg, int recv, int send);

/* NULL if the port was never opened or is out of range. */
struct port *event_port(struct machine *m, uint32_t number);

/* Makes kick_fd and the set of events that v waits on, heard by the main thread. -1/errno. */
int event_vcpu_init(struct vcpu *v);
void event_vcpu_free(struct vcpu *v);
/* Takes in what has come for v's ports (any thread; never waits). */
void event_take(struct vcpu *v);
/* Whether v's own thread (which calls this) hears of its events, as while it sleeps, or the main thread does. */
void event_hear(struct vcpu *v, bool itself);
/* Sleeps until an event or a kick has come, or about the deadline (host monotonic ns, or NO_TIMER), sometimes
 * well before it. Own thread, which hears. */
void event_wait(struct vcpu *v, uint64_t deadline);

/* Raises a vCPU's own VIRQ (timer, debug ...), if the guest has bound it. */
void event_virq(struct vcpu *v, unsigned virq);

/* The hypercalls; 0 or a negative Xen errno. */
long event_send(struct machine *m, uint32_t number);
long event_unmask(struct machine *m, uint32_t number);
long event_init_control(struct machine *m, struct evtchn_init_control *op);
long event_expand_array(struct machine *m, const struct evtchn_expand_array *op);
long event_set_priority(struct machine *m, const struct evtchn_set_priority *op);
/* After EVTCHNOP_reset: back to the 2-level ABI. */
void event_reset(struct machine *m);

bool event_is_pending(struct machine *m, uint32_t number);

/* The vCPU's vcpu_info, wherever it is now; never NULL. */
struct vcpu_info *event_vcpu_info(struct vcpu *v);
/* VCPUOP_register_vcpu_info. */
long event_register_vcpu_info(struct vcpu *v, uint64_t gpa);
/* An upcall is due (whether or not it can be delivered now). */
bool event_upcall_pending(struct vcpu *v);
void event_mark_pending(struct vcpu *v);

#endif
