/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/event_channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/log.h"
#include "hypervisor/core/client.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"

#define RESET_PORTS_PER_SLICE 256

/*
 * VIRQs that are raised for a domain as a whole, on vCPU 0 ("G." in xen.h); the others are per
 * vCPU.
 */
#define GLOBAL_VIRQS (1u << VIRQ_CONSOLE | 1u << VIRQ_DOM_EXC | 1u << VIRQ_TBUF |            \
                      1u << VIRQ_DEBUGGER | 1u << VIRQ_CON_RING | 1u << VIRQ_PCPU_STATE |    \
                      1u << VIRQ_MEM_EVENT | 1u << VIRQ_ARGO | 1u << VIRQ_ENOMEM)

static bool virq_is_global(uint32_t virq)
{
    return virq < EVT_NR_VIRQS && (GLOBAL_VIRQS >> virq & 1);
}

static struct channel *channel_new(void)
{
    struct channel *ch = calloc(1, sizeof(*ch));

    if (!ch) {
        return NULL;
    }
    ch->fd[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ch->fd[1] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (ch->fd[0] < 0 || ch->fd[1] < 0) {
        for (int i = 0; i < 2; i++) {
            if (ch->fd[i] >= 0) {
                close(ch->fd[i]);
            }
        }
        free(ch);
        return NULL;
    }
    return ch;
}

/* One guest may have a quarter of what guests may have among themselves. */
static int charge(struct domain *d, struct channel *ch)
{
    struct core *core = d->core;

    if (core->guest_channels >= core->max_guest_channels ||
        d->paid_channels >= core->max_guest_channels / 4) {
        kr_log_once(KR_NOTICE, "domain %u: too many event channels between guests", d->domid);
        return -ENOSPC;
    }
    core->guest_channels++;
    d->paid_channels++;
    ch->payer = domain_get(d);
    return 0;
}

static void channel_put(struct channel *ch)
{
    if (ch && --ch->refs == 0) {
        if (ch->payer) {
            ch->payer->core->guest_channels--;
            ch->payer->paid_channels--;
            domain_put(ch->payer);
        }
        close(ch->fd[0]);
        close(ch->fd[1]);
        free(ch);
    }
}

static void add_one(int fd)
{
    uint64_t one = 1;

    if (fd >= 0 && write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN) {
        kr_log_once(KR_WARN, "cannot signal an event: errno %d", errno);
    }
}

int evtchn_init(struct domain *d, uint32_t max_evtchn_port)
{
    struct evtchn_table *t = calloc(1, sizeof(*t));

    if (!t) {
        return -ENOMEM;
    }
    d->evt = t;
    t->max_port = max_evtchn_port < EVT_FIFO_PORTS - 1 ? max_evtchn_port : EVT_FIFO_PORTS - 1;
    t->nr_buckets = t->max_port / EVT_BUCKET + 1;
    t->lowest_free = 1;
    t->bucket = calloc(t->nr_buckets, sizeof(*t->bucket));
    /* VIRQs per vCPU; row 0 also holds the global ones. */
    t->virq_port = calloc((d->max_vcpus ? d->max_vcpus : 1) * EVT_NR_VIRQS, sizeof(*t->virq_port));
    if (!t->bucket || !t->virq_port) {
        evtchn_free(d);
        return -ENOMEM;
    }
    return 0;
}

void evtchn_free(struct domain *d)
{
    struct evtchn_table *t = d->evt;

    if (!t) {
        return;
    }
    for (uint32_t i = 0; t->bucket && i < t->nr_buckets; i++) {
        free(t->bucket[i]);
    }
    free(t->bucket);
    free(t->virq_port);
    free(t);
    d->evt = NULL;
}

struct evtchn *evtchn_from_port(const struct domain *d, uint32_t port)
{
    const struct evtchn_table *t = d->evt;

    if (!t || port > t->max_port || !t->bucket[port / EVT_BUCKET]) {
        return NULL;
    }
    return &t->bucket[port / EVT_BUCKET][port % EVT_BUCKET];
}

static struct evtchn *open_port(const struct domain *d, uint32_t port)
{
    struct evtchn *e = evtchn_from_port(d, port);

    return e && port && e->state != EVTCHNSTAT_closed ? e : NULL;
}

/* How many ports the domain's present delivery mode has; its own word for it, its own loss. */
static uint32_t port_limit(const struct domain *d)
{
    bool fifo = d->host || (d->state && __atomic_load_n(&d->state->fifo, __ATOMIC_RELAXED));
    uint32_t mode = fifo ? EVT_FIFO_PORTS : EVT_2L_PORTS;

    return d->evt->max_port + 1 < mode ? d->evt->max_port + 1 : mode;
}

static int get_free_port(struct domain *d, uint32_t *port)
{
    struct evtchn_table *t = d->evt;
    uint32_t limit;

    if (!t || d->dying) {
        return -EINVAL;
    }
    limit = port_limit(d);
    for (uint32_t p = t->lowest_free; p < limit; p++) {
        struct evtchn **b = &t->bucket[p / EVT_BUCKET];

        if (!*b) {
            *b = calloc(EVT_BUCKET, sizeof(**b));
            if (!*b) {
                return -ENOMEM;
            }
        }
        if ((*b)[p % EVT_BUCKET].state == EVTCHNSTAT_closed) {
            t->lowest_free = p;
            *port = p;
            return 0;
        }
    }
    return -ENOSPC;
}

static struct evtchn *take_port(struct domain *d, uint32_t port, uint8_t state,
                                struct client *owner)
{
    struct evtchn *e = evtchn_from_port(d, port);

    memset(e, 0, sizeof(*e));
    e->state = state;
    e->virq_fd = -1;
    e->owner = owner;
    d->evt->used++;
    if (d->evt->lowest_free == port) {
        d->evt->lowest_free = port + 1;
    }
    if (owner) {
        owner->nr_ports++;
        e->own_next = owner->first_port;
        if (e->own_next) {
            evtchn_from_port(d, e->own_next)->own_prev = port;
        }
        owner->first_port = port;
    }
    return e;
}

static void drop_port(struct domain *d, uint32_t port)
{
    struct evtchn *e = evtchn_from_port(d, port);

    if (e->owner) {
        e->owner->nr_ports--;
        if (e->own_prev) {
            evtchn_from_port(d, e->own_prev)->own_next = e->own_next;
        } else {
            e->owner->first_port = e->own_next;
        }
        if (e->own_next) {
            evtchn_from_port(d, e->own_next)->own_prev = e->own_prev;
        }
    }
    d->evt->used_xen -= e->xen;
    memset(e, 0, sizeof(*e));
    d->evt->used--;
    if (port < d->evt->lowest_free) {
        d->evt->lowest_free = port;
    }
}

int evtchn_recv_fd(const struct evtchn *e)
{
    return e->state == EVTCHNSTAT_virq ? e->virq_fd : e->ch ? e->ch->fd[e->side] : -1;
}

int evtchn_send_fd(const struct evtchn *e)
{
    return e->ch ? e->ch->fd[!e->side] : -1;
}

/* Tells the domain's process what a port is now. */
static void tell(struct domain *d, uint32_t port)
{
    static const uint8_t kind[] = {
        [EVTCHNSTAT_closed] = KL_PORT_CLOSED, [EVTCHNSTAT_unbound] = KL_PORT_UNBOUND,
        [EVTCHNSTAT_interdomain] = KL_PORT_INTERDOMAIN, [EVTCHNSTAT_virq] = KL_PORT_VIRQ,
        [EVTCHNSTAT_ipi] = KL_PORT_IPI,
    };
    const struct evtchn *e = evtchn_from_port(d, port);
    struct kl_port m = { .port = port, .kind = kind[e->state], .vcpu = e->vcpu, .virq = e->virq };
    int fds[2], nr = 0;

    if (d->host || d->proc_gone || e->xen) {
        return;
    }
    if (e->state == EVTCHNSTAT_interdomain) {
        fds[nr++] = evtchn_recv_fd(e);
        fds[nr++] = evtchn_send_fd(e);
    } else if (e->state == EVTCHNSTAT_virq && e->virq_fd >= 0) {
        fds[nr++] = e->virq_fd;
    }
    m.seq = ++d->port_seq;
    domproc_send(d, KL_PORT, &m, sizeof(m), fds, nr);
}

int evtchn_alloc_unbound(struct domain *d, domid_t remote, struct client *owner, uint32_t *port)
{
    struct evtchn *e;
    int rc = get_free_port(d, port);

    if (rc) {
        return rc;
    }
    if (owner) {
        struct channel *ch = channel_new();

        if (!ch) {
            return -ENOMEM;
        }
        ch->refs = 1;
        e = take_port(d, *port, EVTCHNSTAT_unbound, owner);
        e->ch = ch;
    } else {
        e = take_port(d, *port, EVTCHNSTAT_unbound, NULL);
    }
    e->remote_domid = remote;
    tell(d, *port);
    return 0;
}

int evtchn_alloc_xen(struct domain *d, uint32_t vcpu, domid_t remote, uint32_t *port)
{
    struct channel *ch;
    struct evtchn *e;
    int rc = get_free_port(d, port);

    if (rc) {
        return rc;
    }
    ch = channel_new();
    if (!ch) {
        return -ENOMEM;
    }
    ch->refs = 1;
    e = take_port(d, *port, EVTCHNSTAT_unbound, NULL);
    e->ch = ch;
    e->xen = true;
    e->vcpu = vcpu;
    e->remote_domid = remote;
    d->evt->used_xen++;
    return 0;
}

int evtchn_bind_interdomain(struct domain *ld, domid_t remote, uint32_t rport, struct client *owner,
                            uint32_t *port)
{
    struct domain *rd = domain_find(ld->core, remote);
    struct evtchn *le, *re;
    struct channel *ch;
    int rc;

    if (!rd || rd->dying) {
        return -ESRCH;
    }
    rc = get_free_port(ld, port);
    if (rc) {
        return rc;
    }
    re = open_port(rd, rport);
    if (!re || re->state != EVTCHNSTAT_unbound || re->remote_domid != ld->domid) {
        return -EINVAL;
    }
    ch = re->ch;
    if (!ch) {
        ch = channel_new();
        if (!ch) {
            return -ENOMEM;
        }
        ch->refs = 1;
        rc = ld->control || rd->control ? 0 : charge(ld, ch);
        if (rc) {
            channel_put(ch);
            return rc;
        }
        re->ch = ch;
        re->side = 0;
    }
    ch->refs++;
    le = take_port(ld, *port, EVTCHNSTAT_interdomain, owner);
    le->ch = ch;
    le->side = !re->side;
    le->remote_domid = rd->domid;
    le->remote_port = rport;
    re->state = EVTCHNSTAT_interdomain;
    re->remote_domid = ld->domid;
    re->remote_port = *port;
    add_one(evtchn_recv_fd(le));
    tell(rd, rport);
    tell(ld, *port);
    return 0;
}

/* Global VIRQs are one per domain, whichever vCPU they notify. */
static uint32_t *virq_slot(struct domain *d, uint32_t virq, uint32_t vcpu)
{
    return &d->evt->virq_port[(virq_is_global(virq) ? 0 : vcpu) * EVT_NR_VIRQS + virq];
}

int evtchn_bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu, struct client *owner,
                     uint32_t *port)
{
    uint32_t *slot;
    struct evtchn *e;
    int rc, fd = -1;

    if (virq >= EVT_NR_VIRQS || (virq_is_global(virq) && vcpu != 0)) {
        return -EINVAL;
    }
    if (d->host ? vcpu >= d->core->host.nr_cpus || !virq_is_global(virq) : vcpu >= d->nr_vcpus) {
        return d->host ? -EINVAL : -ENOENT;
    }
    slot = virq_slot(d, virq, vcpu);
    if (*slot) {
        return -EEXIST;
    }
    rc = get_free_port(d, port);
    if (rc) {
        return rc;
    }
    if (d->host || (d->control && virq_is_global(virq))) {
        fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (fd < 0) {
            return -ENOMEM;
        }
    }
    e = take_port(d, *port, EVTCHNSTAT_virq, owner);
    e->virq = virq;
    e->vcpu = vcpu;
    e->virq_fd = fd;
    *slot = *port;
    tell(d, *port);
    return 0;
}

static int bind_ipi(struct domain *d, uint32_t vcpu, uint32_t *port)
{
    int rc;

    if (vcpu >= d->nr_vcpus) {
        return -ENOENT;
    }
    rc = get_free_port(d, port);
    if (rc) {
        return rc;
    }
    take_port(d, *port, EVTCHNSTAT_ipi, NULL)->vcpu = vcpu;
    tell(d, *port);
    return 0;
}

/* The peer of a closing port goes back to waiting for the same domain, as in Xen. */
static void unbind_peer(struct domain *d, struct evtchn *e)
{
    struct domain *rd = domain_find(d->core, e->remote_domid);
    struct evtchn *re = rd ? open_port(rd, e->remote_port) : NULL;

    if (!re || re->state != EVTCHNSTAT_interdomain || re->ch != e->ch) {
        return;
    }
    re->state = EVTCHNSTAT_unbound;
    re->remote_domid = d->domid;
    re->remote_port = 0;
    if (!re->owner && !re->xen) {    /* who has been given descriptors keeps them */
        channel_put(re->ch);
        re->ch = NULL;
    }
    tell(rd, e->remote_port);
}

int evtchn_close(struct domain *d, uint32_t port)
{
    struct evtchn *e = open_port(d, port);

    if (!e) {
        return -EINVAL;
    }
    if (e->state == EVTCHNSTAT_interdomain) {
        unbind_peer(d, e);
    } else if (e->state == EVTCHNSTAT_virq) {
        *virq_slot(d, e->virq, e->vcpu) = 0;
        if (e->virq_fd >= 0) {
            close(e->virq_fd);
        }
    }
    channel_put(e->ch);
    e->ch = NULL;
    drop_port(d, port);
    tell(d, port);
    return 0;
}

bool evtchn_close_some(struct domain *d, uint32_t n)
{
    struct evtchn_table *t = d->evt;
    uint32_t keep = t && !d->dying ? t->used_xen : 0;

    while (t && t->used > keep && n--) {
        if (t->reset_next == 0 || t->reset_next > t->max_port) {
            t->reset_next = 1;
        }
        if (!t->bucket[t->reset_next / EVT_BUCKET]) {
            t->reset_next += EVT_BUCKET - t->reset_next % EVT_BUCKET;
            continue;
        }
        if (!keep || !evtchn_from_port(d, t->reset_next)->xen) {
            evtchn_close(d, t->reset_next);
        }
        t->reset_next++;
    }
    return !t || t->used <= keep;
}

int evtchn_send(struct domain *d, uint32_t port)
{
    struct evtchn *e = open_port(d, port);

    if (!e || e->xen) {
        return -EINVAL;
    }
    switch (e->state) {
    case EVTCHNSTAT_interdomain:
        add_one(evtchn_send_fd(e));
        return 0;
    case EVTCHNSTAT_unbound:
        return 0;    /* dropped silently, as in Xen */
    case EVTCHNSTAT_ipi:
        return -ENOSYS;    /* the process's own business */
    default:
        return -EINVAL;
    }
}

void evtchn_raise_virq(struct core *core, uint32_t virq)
{
    struct domain *d = core->dom0;
    uint32_t port = d && d->evt ? d->evt->virq_port[virq] : 0;

    if (port) {
        add_one(evtchn_from_port(d, port)->virq_fd);
    }
}

void evtchn_client_gone(struct core *core, struct client *c)
{
    while (c->first_port) {
        evtchn_close(core->host_dom, c->first_port);
    }
}

static int op_status(struct hcall *hc, struct evtchn_status *s)
{
    struct domain *d;
    const struct evtchn *e;
    int rc = hc_target(hc, s->dom, &d);

    if (rc) {
        return rc;
    }
    e = evtchn_from_port(d, s->port);
    if (!e && (!d->evt || s->port > d->evt->max_port)) {
        return -EINVAL;
    }
    if (e && e->xen) {
        return -EACCES;
    }
    memset(&s->u, 0, sizeof(s->u));
    s->status = e ? e->state : EVTCHNSTAT_closed;
    s->vcpu = e ? e->vcpu : 0;
    if (s->status == EVTCHNSTAT_unbound) {
        s->u.unbound.dom = e->remote_domid;
    } else if (s->status == EVTCHNSTAT_interdomain) {
        s->u.interdomain.dom = e->remote_domid;
        s->u.interdomain.port = e->remote_port;
    } else if (s->status == EVTCHNSTAT_virq) {
        s->u.virq = e->virq;
    }
    return 0;
}

static int op_bind_vcpu(struct domain *d, uint32_t port, uint32_t vcpu)
{
    struct evtchn *e = open_port(d, port);

    if (d->host ? vcpu >= d->core->host.nr_cpus : vcpu >= d->nr_vcpus) {
        return -ENOENT;
    }
    if (!e || e->xen) {
        return -EINVAL;
    }
    if (e->state == EVTCHNSTAT_ipi || (e->state == EVTCHNSTAT_virq && !virq_is_global(e->virq))) {
        return -EINVAL;
    }
    e->vcpu = vcpu;
    tell(d, port);
    return 0;
}

static long op_reset(struct hcall *hc, domid_t domid)
{
    struct domain *d;
    int rc = hc_target(hc, domid, &d);

    if (rc) {
        return rc;
    }
    if (d->host) {
        return -EPERM;    /* every backend's channels at once: nobody means that */
    }
    if (hc->stage++ == 0 && d->evt) {
        d->evt->reset_next = 1;
    }
    return evtchn_close_some(d, RESET_PORTS_PER_SLICE) ? 0 : HC_AGAIN;
}

static int op_alloc_unbound(struct hcall *hc, struct evtchn_alloc_unbound *a)
{
    struct domain *d;
    int rc = hc_target(hc, a->dom, &d);

    if (rc) {
        return rc;
    }
    if (a->remote_dom == DOMID_SELF) {
        a->remote_dom = hc->d->domid;
    }
    return evtchn_alloc_unbound(d, a->remote_dom, NULL, &a->port);
}

static int op_bind_interdomain(struct hcall *hc, struct evtchn_bind_interdomain *b)
{
    domid_t remote = b->remote_dom == DOMID_SELF ? hc->d->domid : b->remote_dom;

    return evtchn_bind_interdomain(hc->d, remote, b->remote_port, NULL, &b->local_port);
}

static int op_close(struct domain *d, uint32_t port)
{
    const struct evtchn *e = open_port(d, port);

    return e && e->xen ? -EINVAL : evtchn_close(d, port);
}

/* Undoes what copying the result back failed to announce. */
static long give_port(struct hcall *hc, const void *arg, size_t len, uint32_t port,
                      struct domain *d)
{
    if (copy_to_guest(hc, hc->arg[1], arg, len)) {
        evtchn_close(d, port);
        return -EFAULT;
    }
    return 0;
}

/* The ops by size of their argument (event_channel.h); 0: there is none such. */
static const uint8_t arg_size[] = {
    [EVTCHNOP_bind_interdomain] = sizeof(struct evtchn_bind_interdomain),
    [EVTCHNOP_bind_virq] = sizeof(struct evtchn_bind_virq),
    [EVTCHNOP_close] = sizeof(struct evtchn_close),
    [EVTCHNOP_send] = sizeof(struct evtchn_send),
    [EVTCHNOP_status] = sizeof(struct evtchn_status),
    [EVTCHNOP_alloc_unbound] = sizeof(struct evtchn_alloc_unbound),
    [EVTCHNOP_bind_ipi] = sizeof(struct evtchn_bind_ipi),
    [EVTCHNOP_bind_vcpu] = sizeof(struct evtchn_bind_vcpu),
    [EVTCHNOP_reset] = sizeof(struct evtchn_reset),
};

long do_event_channel_op(struct hcall *hc)
{
    union {
        struct evtchn_alloc_unbound alloc_unbound;
        struct evtchn_bind_interdomain bind_interdomain;
        struct evtchn_bind_virq bind_virq;
        struct evtchn_bind_ipi bind_ipi;
        struct evtchn_bind_vcpu bind_vcpu;
        struct evtchn_status status;
        struct evtchn_close close;
        struct evtchn_send send;
        struct evtchn_reset reset;
    } u;
    uint32_t op = (uint32_t)hc->arg[0];
    struct domain *d = hc->d, *t;
    long rc;

    if (op >= sizeof(arg_size) || !arg_size[op]) {
        return hc_enosys(hc, __HYPERVISOR_event_channel_op, op);
    }
    memset(&u, 0, sizeof(u));
    if (copy_from_guest(hc, &u, hc->arg[1], arg_size[op])) {
        return -EFAULT;
    }
    switch (op) {
    case EVTCHNOP_alloc_unbound:
        rc = op_alloc_unbound(hc, &u.alloc_unbound);
        return rc ? rc : hc_target(hc, u.alloc_unbound.dom, &t) ? -ESRCH :
               give_port(hc, &u, sizeof(u.alloc_unbound), u.alloc_unbound.port, t);
    case EVTCHNOP_bind_interdomain:
        rc = op_bind_interdomain(hc, &u.bind_interdomain);
        return rc ? rc
                  : give_port(hc, &u, sizeof(u.bind_interdomain), u.bind_interdomain.local_port, d);
    case EVTCHNOP_bind_virq:
        rc = evtchn_bind_virq(d, u.bind_virq.virq, u.bind_virq.vcpu, NULL, &u.bind_virq.port);
        return rc ? rc : give_port(hc, &u, sizeof(u.bind_virq), u.bind_virq.port, d);
    case EVTCHNOP_bind_ipi:
        rc = bind_ipi(d, u.bind_ipi.vcpu, &u.bind_ipi.port);
        return rc ? rc : give_port(hc, &u, sizeof(u.bind_ipi), u.bind_ipi.port, d);
    case EVTCHNOP_status:
        rc = op_status(hc, &u.status);
        return rc ? rc : copy_to_guest(hc, hc->arg[1], &u, sizeof(u.status));
    case EVTCHNOP_bind_vcpu:
        return op_bind_vcpu(d, u.bind_vcpu.port, u.bind_vcpu.vcpu);
    case EVTCHNOP_close:
        return op_close(d, u.close.port);
    case EVTCHNOP_send:
        return evtchn_send(d, u.send.port);
    default:
        return op_reset(hc, u.reset.dom);
    }
}
