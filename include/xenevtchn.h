/* SPDX-License-Identifier: MIT */
/*
 * Event channels for a process. Nothing here logs, but opening without a hypervisor does.
 *
 * After fork() the child may only close a handle (not even poll it). Ports are unbound when the
 * last process that has the handle closes it or exits.
 */
#ifndef XENEVTCHN_H
#define XENEVTCHN_H

#include <stdint.h>

#include <xen/event_channel.h>

/* A port (31 bits at most), or -1. */
typedef int xenevtchn_port_or_error_t;

typedef struct xenevtchn_handle xenevtchn_handle;

struct xentoollog_logger;

/* For daemons that exec() their successor: the handle's descriptors stay open across it. */
#define XENEVTCHN_NO_CLOEXEC (1 << 0)

/* NULL with errno. */
xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags);

/*
 * After exec(): makes a handle again from the descriptor that xenevtchn_fd() gave before it, with
 * the ports that it had. flags must be 0. NULL with errno.
 */
xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned open_flags);

/* NULL is fine. 0, or -1 with errno. */
int xenevtchn_close(xenevtchn_handle *xce);

/*
 * A descriptor that is readable while an event is pending. Set it to O_NONBLOCK to have
 * xenevtchn_pending() fail with EAGAIN instead of waiting.
 */
int xenevtchn_fd(xenevtchn_handle *xce);

/* Sends an event to the port's other end. 0, or -1 with errno. */
int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port);

/* A new port that domid may connect to. */
xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid);

/* A new port connected to remote_port of domid. */
xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
                                                     evtchn_port_t remote_port);

/* A port that receives virq (VIRQ_*). */
xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq);

/* 0, or -1 with errno. */
int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port);

/*
 * The next port with an event, waiting for one if need be; -1 with errno. The port is then masked:
 * further events on it are kept until xenevtchn_unmask().
 */
xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce);

/* 0, or -1 with errno. */
int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port);

/* The handle can bind ports of domid only, from now on. 0, or -1 with errno. */
int xenevtchn_restrict(xenevtchn_handle *xce, domid_t domid);

#endif
