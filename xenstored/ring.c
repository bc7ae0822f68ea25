/* SPDX-License-Identifier: MIT */
/*
 * The transport to a guest: two byte rings on a page that the guest writes as it likes
 * (xs_wire.h struct xenstore_domain_interface).
 *
 * Each index is read once per use. The index that the guest owns is checked against the distance
 * that is possible; the index that is ours is kept here too and only ever written to the page.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/grant_table.h>

#include "common/log.h"
#include "xenstored/journal.h"
#include "xenstored/store.h"

struct ring {
    struct xenstore_domain_interface *page;
    bool granted;
    bool owes_notice;   /* input has been taken, and the guest not been told */
    bool broken;        /* an error is shown to the guest; ignored until it reconnects */
    uint64_t gfn;
    uint32_t remote_port, port;
    uint32_t req_cons, rsp_prod;
    /* While a state is read: */
    uint32_t load_port; /* the port that the last daemon had bound */
    bool load_indices;  /* req_cons and rsp_prod are known */
};

/* Event channel ports are below this (xen.h, EVTCHN_FIFO_NR_CHANNELS). */
#define RING_PORT_MAX (1u << 17)

static uint32_t load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/* A full barrier: the guest's index is looked at again after ours is out, or a wake-up is lost. */
static void store_word(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void ring_notify(struct conn *c, struct ring *r)
{
    r->owes_notice = false;
    if (r->port)
        c->s->host.ops->notify(c->s->host.priv, r->port);
}

static void ring_fail(struct conn *c, uint32_t error)
{
    struct ring *r = c->transport;

    kr_log(KR_WARN, "domain %u: ring is out of order (error %u), ignored until it reconnects",
           c->dom->domid, error);
    r->broken = true;
    conn_reset(c);
    JOURNAL_CONN(c, journal_conn_(c, true));
    store_word(&r->page->error, error);
    ring_notify(c, r);
}

static ssize_t ring_read(struct conn *c, void *buf, size_t len)
{
    struct ring *r = c->transport;
    uint32_t have = load(&r->page->req_prod) - r->req_cons;

    if (r->broken)
        return 0;
    if (have > XENSTORE_RING_SIZE) {
        ring_fail(c, XENSTORE_ERROR_RINGIDX);
        return 0;
    }
    if (have > len)
        have = (uint32_t)len;
    if (!have)
        return 0;
    uint32_t at = MASK_XENSTORE_IDX(r->req_cons), run = XENSTORE_RING_SIZE - at;
    if (run > have)
        run = have;
    memcpy(buf, r->page->req + at, run);
    memcpy((char *)buf + run, r->page->req, have - run);
    r->req_cons += have;
    if (c->s->journal) {
        journal_ring_(c, STATE_KR_RING_IN, r->req_cons, &(struct iovec){ buf, have }, 1);
        journal_commit_(c->s);
    }
    store_word(&r->page->req_cons, r->req_cons);
    /* A guest may wait for room; most often the reply's notice comes at once and is enough. */
    r->owes_notice = true;
    return (ssize_t)have;
}

static uint32_t ring_put(struct ring *r, uint32_t prod, const void *data, uint32_t n)
{
    uint32_t at = MASK_XENSTORE_IDX(prod), run = XENSTORE_RING_SIZE - at;

    if (run > n)
        run = n;
    memcpy(r->page->rsp + at, data, run);
    memcpy(r->page->rsp, (const char *)data + run, n - run);
    return prod + n;
}

static ssize_t ring_writev(struct conn *c, const struct iovec *iov, int count)
{
    struct ring *r = c->transport;
    uint32_t used = r->rsp_prod - load(&r->page->rsp_cons), room, prod = r->rsp_prod;

    if (r->broken)
        return 0;
    if (used > XENSTORE_RING_SIZE) {
        ring_fail(c, XENSTORE_ERROR_RINGIDX);
        return 0;
    }
    room = XENSTORE_RING_SIZE - used;
    for (int i = 0; i < count && room; i++) {
        uint32_t n = iov[i].iov_len < room ? (uint32_t)iov[i].iov_len : room;

        prod = ring_put(r, prod, iov[i].iov_base, n);
        room -= n;
    }
    ssize_t done = (ssize_t)(prod - r->rsp_prod);
    if (done) {
        r->rsp_prod = prod;
        if (c->s->journal) {
            journal_sent_(c, prod, (uint32_t)done);
            journal_commit_(c->s);
        }
        store_word(&r->page->rsp_prod, prod);
        ring_notify(c, r);
    }
    return done;
}

/* The guest asks to begin anew: both rings are emptied and the state goes back to connected. */
static void ring_reconnect(struct conn *c, struct ring *r)
{
    conn_reset(c);
    r->req_cons = 0;
    r->rsp_prod = 0;
    r->broken = false;
    JOURNAL_CONN(c, journal_conn_(c, true));
    JOURNAL(c->s, journal_commit_(c->s));
    store_word(&r->page->req_cons, 0);
    store_word(&r->page->req_prod, 0);
    store_word(&r->page->rsp_cons, 0);
    store_word(&r->page->rsp_prod, 0);
    store_word(&r->page->error, XENSTORE_ERROR_NONE);
    store_word(&r->page->connection, XENSTORE_CONNECTED);
    ring_notify(c, r);
}

static void ring_begin(struct conn *c)
{
    struct ring *r = c->transport;

    if (load(&r->page->connection) == XENSTORE_RECONNECT)
        ring_reconnect(c, r);
}

static void ring_interest(struct conn *c, bool rd, bool wr)
{
    struct ring *r = c->transport;

    /* The event channel tells of both, and conn_wake() of the end of a stall. It was served, though. */
    if (r->owes_notice)
        ring_notify(c, r);
}

static void ring_unbind(struct conn *c, struct ring *r)
{
    if (!r->port)
        return;
    if (r->port < c->s->nr_ports)
        c->s->by_port[r->port] = NULL;
    c->s->host.ops->unbind(c->s->host.priv, r->port);
    r->port = 0;
}

static void ring_close(struct conn *c)
{
    struct ring *r = c->transport;

    ring_unbind(c, r);
    if (r->page)
        c->s->host.ops->unmap_page(c->s->host.priv, r->page, r->granted);
    free(r);
}

static void ring_save_conn(struct conn *c, struct state_conn *out)
{
    const struct ring *r = c->transport;

    out->type = STATE_CONN_RING;
    out->u.ring.domid = c->dom->domid;
    out->u.ring.target = c->dom->has_target ? c->dom->target : STATE_NO_TARGET;
    out->u.ring.evtchn = r->port;
}

static const struct conn_ops ring_ops = {
    .kind = "ring", .persistent = true, .begin = ring_begin, .read = ring_read, .writev = ring_writev,
    .interest = ring_interest, .fail = ring_fail, .close = ring_close, .save = ring_save_conn,
};

/* The local port is c's from now on. */
static int ring_take_port(struct conn *c, uint32_t port)
{
    struct store *s = c->s;

    if (port >= s->nr_ports) {
        uint32_t nr = port + 64;
        struct conn **grown = realloc(s->by_port, nr * sizeof(*grown));

        if (!grown)
            return ENOMEM;
        memset(grown + s->nr_ports, 0, (nr - s->nr_ports) * sizeof(*grown));
        s->by_port = grown;
        s->nr_ports = nr;
    }
    if (s->by_port[port])
        return EEXIST;
    s->by_port[port] = c;
    ((struct ring *)c->transport)->port = port;
    return 0;
}

static int ring_bind(struct conn *c, uint32_t remote_port)
{
    struct store *s = c->s;
    struct ring *r = c->transport;
    int port = s->host.ops->bind(s->host.priv, c->dom->domid, remote_port), err;

    if (port < 0)
        return -port;
    err = ring_take_port(c, (uint32_t)port);
    if (err)
        s->host.ops->unbind(s->host.priv, (uint32_t)port);
    else
        r->remote_port = remote_port;
    return err;
}

int ring_connect(struct store *s, struct domain *d, uint64_t gfn, uint32_t remote_port)
{
    struct ring *r = calloc(1, sizeof(*r));
    void *page = NULL;
    struct conn *c;
    int err;

    if (!r)
        return ENOMEM;
    err = -s->host.ops->map_page(s->host.priv, d->domid, GNTTAB_RESERVED_XENSTORE, gfn, &page,
                                 &r->granted);
    if (err) {
        free(r);
        return err;
    }
    r->page = page;
    r->gfn = gfn;
    c = conn_new(s, d, &ring_ops, r);
    if (!c) {
        s->host.ops->unmap_page(s->host.priv, page, r->granted);
        free(r);
        return ENOMEM;
    }
    err = ring_bind(c, remote_port);
    if (err) {
        conn_kill(c);
        return err;
    }
    /* A guest may have spoken before it was introduced: we begin where the page says. */
    r->req_cons = load(&r->page->req_cons);
    r->rsp_prod = load(&r->page->rsp_prod);
    store_word(&r->page->server_features, d->features);
    d->conn = c;
    JOURNAL_CONN(c, journal_conn_(c, false));
    ring_notify(c, r);
    conn_wake(c);
    return 0;
}

int ring_rebind(struct conn *c, uint32_t remote_port)
{
    ring_unbind(c, c->transport);
    int err = ring_bind(c, remote_port);

    JOURNAL_CONN(c, journal_conn_(c, false));
    conn_wake(c);
    return err;
}

void ring_event(struct store *s, uint32_t port)
{
    struct conn *c = port < s->nr_ports ? s->by_port[port] : NULL;

    if (!c || c->dead)
        return;
    conn_wake(c);
}

/* ---- For the state ---- */

void ring_save(struct conn *c, struct state_kr_ring *out)
{
    const struct ring *r = c->transport;

    out->remote_port = r->remote_port;
    out->gfn = r->gfn;
    out->req_cons = r->req_cons;
    out->rsp_prod = r->rsp_prod;
    out->flags = (r->broken ? STATE_RING_BROKEN : 0) | STATE_RING_INDICES;
}

struct conn *ring_load(struct store *s, struct domain *d, uint32_t local_port)
{
    struct ring *r = calloc(1, sizeof(*r));
    struct conn *c = r ? conn_new(s, d, &ring_ops, r) : NULL;

    if (!c) {
        free(r);
        return NULL;
    }
    r->load_port = local_port;
    d->conn = c;
    return c;
}

void ring_load_state(struct conn *c, const struct state_kr_ring *in)
{
    struct ring *r = c->transport;

    r->remote_port = in->remote_port;
    r->gfn = in->gfn;
    r->req_cons = in->req_cons;
    r->rsp_prod = in->rsp_prod;
    r->broken = in->flags & STATE_RING_BROKEN;
    r->load_indices = in->flags & STATE_RING_INDICES;
}

void ring_load_consumed(struct conn *c, uint32_t req_cons)
{
    ((struct ring *)c->transport)->req_cons = req_cons;
}

void ring_load_produced(struct conn *c, uint32_t rsp_prod)
{
    ((struct ring *)c->transport)->rsp_prod = rsp_prod;
}

static int ring_load_port(struct conn *c, struct ring *r)
{
    uint32_t port = r->load_port;

    const struct host *h = &c->s->host;

    r->load_port = 0;
    if (!c->s->keeps_ports || !port || port >= RING_PORT_MAX)
        return ring_bind(c, r->remote_port);
    /* Xen's daemon does not say which port it is bound to, and the next one may have to bind it. */
    int remote = !r->remote_port && h->ops->remote_port ? h->ops->remote_port(h->priv, port) : 0;
    if (remote > 0)
        r->remote_port = (uint32_t)remote;
    return ring_take_port(c, port);
}

/* The last daemon's own indices count: the page's may be older, or anything. */
void ring_load_done(struct conn *c)
{
    struct ring *r = c->transport;
    struct host *h = &c->s->host;
    void *page = NULL;
    int err = -h->ops->map_page(h->priv, c->dom->domid, GNTTAB_RESERVED_XENSTORE, r->gfn, &page,
                                &r->granted);

    if (!err) {
        r->page = page;
        err = ring_load_port(c, r);
    }
    if (err) {
        kr_log(KR_WARN, "domain %u: cannot connect its ring again: %s", c->dom->domid, strerror(err));
        conn_unload(c);
        return;
    }
    if (!r->load_indices) {
        r->req_cons = load(&r->page->req_cons);
        r->rsp_prod = load(&r->page->rsp_prod);
    }
    store_word(&r->page->req_cons, r->req_cons);
    store_word(&r->page->rsp_prod, r->rsp_prod);
    store_word(&r->page->server_features, c->dom->features);
    ring_notify(c, r);
}
