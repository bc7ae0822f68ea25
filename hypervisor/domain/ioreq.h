/* SPDX-License-Identifier: MIT */
/*
 * Accesses that a device model serves: the process's end of I/O request servers (core/ioreq.h has the
 * books, xen/hvm/ioreq.h the pages' layout).
 *
 * A vCPU whose access a server takes writes a request into that server's page, signals it and waits
 * for the answer, inside the engine's callback. While it waits it can be stopped (its KL_STOPPED does
 * not wait for a device model) and goes on waiting after the next KL_RUN. A server that is destroyed
 * answers all ones. One that breaks the protocol crashes this domain, as on Xen.
 *
 * Never: believes more of the pages than the state and the data of an answer.
 */
#ifndef KR_DOMAIN_IOREQ_H
#define KR_DOMAIN_IOREQ_H

#include "hypervisor/domain/machine.h"

/* Main thread. KL_IOREQ and KL_IOREQ_PORT; the latter takes the descriptors. 0 or -1/errno. */
int ioreq_update(struct machine *m, const struct kl_ioreq *msg, size_t len);
int ioreq_update_port(struct machine *m, const struct kl_ioreq_port *msg, int recv, int send);

/*
 * Own thread, in an engine's callback. False: no server takes the access, nothing has been done.
 * After true the loop must take a turn: time has passed.
 */
bool ioreq_port_in(struct vcpu *v, uint16_t port, unsigned size, uint32_t *value);
bool ioreq_port_out(struct vcpu *v, uint16_t port, unsigned size, uint32_t value);
/* count elements between the port and guest memory at gpa (of the first), downwards or upwards. */
bool ioreq_port_rep(struct vcpu *v, uint16_t port, unsigned size, bool in, uint64_t gpa,
                    unsigned count, bool down);
bool ioreq_read(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t *value);
bool ioreq_write(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t value);

/* Own thread: guest frames went away by this vCPU's doing; waits until no server keeps them mapped. */
void ioreq_invalidate(struct vcpu *v);

#endif
