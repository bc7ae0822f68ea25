/* SPDX-License-Identifier: MIT */
/*
 * Event channels: who is bound to whom. Pending and mask bits lie in guest memory and belong to the
 * domain process (or to the host client's library).
 *
 * An interdomain channel is two eventfds, one per end: each end reads its own and adds 1 to the
 * other's, without the core. An unbound port needs none until somebody binds; binding marks the
 * binder's end pending, as Xen does, so that nothing sent before is lost. A host client's unbound
 * port has them from the start, since it gets its descriptors once.
 *
 * Never: delivers events itself, other than VIRQs and EVTCHNOP_send from domain 0.
 */
#ifndef KR_CORE_EVENT_CHANNEL_H
#define KR_CORE_EVENT_CHANNEL_H

#include "hypervisor/core/core.h"

#include <xen/event_channel.h>

#define EVT_2L_PORTS   4096      /* EVTCHN_2L_NR_CHANNELS for 64-bit guests */
#define EVT_FIFO_PORTS 131072    /* EVTCHN_FIFO_NR_CHANNELS */
#define EVT_BUCKET     256
#define EVT_NR_VIRQS   24

/*
 * Two ends of one channel; each bound port holds a reference and its side. Channels between guests
 * take the core's descriptors without the host having any part in it: they have a budget of their
 * own, and payer (else NULL) is who bound it.
 */
struct channel { unsigned refs; int fd[2]; struct domain *payer; };

struct evtchn {
    uint8_t state;               /* EVTCHNSTAT_* */
    uint8_t side;
    bool reserved;               /* port 0: never handed out */
    bool xen;                    /* a device model's way to the domain: not the guest's to touch */
    uint32_t vcpu;               /* notified */
    uint32_t virq;
    domid_t remote_domid;        /* unbound: who may bind; interdomain: the peer */
    uint32_t remote_port;
    struct channel *ch;
    int virq_fd;                 /* VIRQs that the core raises: domain 0's global ones, the host's */
    struct client *owner;        /* domain 0's ports made by a client */
    uint32_t own_prev, own_next; /* client's list of ports; 0 ends it */
};

struct evtchn_table {
    uint32_t max_port;           /* highest port that may exist */
    uint32_t lowest_free;        /* no port below is free */
    uint32_t nr_buckets, used;
    uint32_t used_xen;           /* of these, those with xen set */
    struct evtchn **bucket;
    uint32_t *virq_port;         /* nr_vcpus-independent: global VIRQs [EVT_NR_VIRQS] */
    uint32_t reset_next;         /* progress of EVTCHNOP_reset */
};

int  evtchn_init(struct domain *d, uint32_t max_evtchn_port);   /* 0 or -ENOMEM */
/*
 * Closes up to n ports; true when none is left. Those with xen set go only as the domain dies.
 */
bool evtchn_close_some(struct domain *d, uint32_t n);
void evtchn_free(struct domain *d);
struct evtchn *evtchn_from_port(const struct domain *d, uint32_t port);  /* NULL if none */

/*
 * The operations, also for clients' wire.h requests (owner != NULL: the ports' owner, with
 * descriptors). All return 0 or -errno; *port is the new port.
 */
int evtchn_alloc_unbound(struct domain *d, domid_t remote, struct client *owner, uint32_t *port);
int evtchn_bind_interdomain(struct domain *ld, domid_t remote, uint32_t rport, struct client *owner,
                            uint32_t *port);
/*
 * An unbound port of d that its process serves, not the guest (Xen's consumed ports). It has its
 * descriptors at once and keeps them when the other end goes and comes.
 */
int evtchn_alloc_xen(struct domain *d, uint32_t vcpu, domid_t remote, uint32_t *port);
int evtchn_bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu, struct client *owner,
                     uint32_t *port);
int evtchn_close(struct domain *d, uint32_t port);
int evtchn_send(struct domain *d, uint32_t port);
/* Raises a global VIRQ of domain 0; nothing happens if nobody listens. */
void evtchn_raise_virq(struct core *core, uint32_t virq);
/* A client is gone: closes its ports. */
void evtchn_client_gone(struct core *core, struct client *c);

/* Descriptors of a client's port: what it reads, and what it adds to (-1 for VIRQs). Borrowed. */
int evtchn_recv_fd(const struct evtchn *e);
int evtchn_send_fd(const struct evtchn *e);

#endif
