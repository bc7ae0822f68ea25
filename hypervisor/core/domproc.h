/* SPDX-License-Identifier: MIT */
/*
 * Domain processes: starting them, talking link.h to them, noticing their end.
 *
 * Never waits for one (but for --describe at start, with a time limit). What cannot be sent at once
 * is queued; a queue beyond its bound means that the process does not drain its socket: it is
 * killed.
 */
#ifndef KR_CORE_DOMPROC_H
#define KR_CORE_DOMPROC_H

#include "hypervisor/core/core.h"

#define SENDQ_MAX_BYTES (8u << 20)
#define SENDQ_MAX_MSGS  8192

/* Starts `PROGRAM [mode]` with a SOCK_SEQPACKET end as descriptor KL_FD_CONTROL. 0 or -1/errno. */
int domproc_spawn(struct core *core, const char *mode, int *sock, pid_t *pid);

/*
 * Asks the program what its engine offers; fills core's description. 0 or -1/errno (ETIMEDOUT ...).
 */
int domproc_describe(struct core *core);

/* Starts d's process and tells it its memory. 0 or -errno. */
int domproc_start(struct domain *d);
/* Gives the process a new vCPU. 0 or -errno. */
int domproc_add_vcpu(struct vcpu *v);

/*
 * Sends a message (op and length are filled in) with descriptors, which stay the caller's. In the
 * course of a hypercall by d itself it goes down that vCPU's socket, so that it is in effect when
 * the guest goes on; otherwise down the control socket. Does nothing if d has no process.
 */
void domproc_send(struct domain *d, uint32_t op, void *msg, size_t len, const int *fds, int nr_fds);
/* Down the control socket always. */
void domproc_send_control(struct domain *d, uint32_t op, void *msg, size_t len, const int *fds,
                          int nr_fds);
void domproc_reply(struct vcpu *v, int64_t ret, uint32_t flags);

/*
 * Asks to be told when the process has done all that it was sent; returns what domproc_synced() takes.
 * A waiter of the domain's (domain_wait()) is woken when that may have changed; a process that is gone
 * has nothing left to do.
 */
uint64_t domproc_sync(struct domain *d);
bool domproc_synced(const struct domain *d, uint64_t seq);

/* SIGKILL; its end is noticed through the event loop. */
void domproc_kill(struct domain *d, const char *why);
/* Closes sockets and sources. */
void domproc_free(struct domain *d);
void domproc_free_vcpu(struct vcpu *v);

#endif
