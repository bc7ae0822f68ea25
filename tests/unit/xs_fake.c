/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create */
#include "tests/unit/xs_fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "xenstored/journal.h"

/* ---- The host ---- */

static struct fake_domain *find(struct fake *f, uint16_t domid)
{
    return domid < FAKE_DOMAINS && f->dom[domid].exists ? &f->dom[domid] : NULL;
}

static int fake_info(void *priv, uint16_t domid, struct host_domain *out)
{
    struct fake_domain *d = find(priv, domid);

    if (!d)
        return -ESRCH;
    memset(out, 0, sizeof(*out));
    out->dying = d->dying;
    out->shutdown = d->shutdown;
    out->handle[0] = d->life;
    return 0;
}

static int fake_map(void *priv, uint16_t domid, uint32_t gref, uint64_t gfn, void **page,
                    bool *granted)
{
    struct fake *f = priv;
    struct fake_domain *d = find(f, domid);

    if (!d || !d->page || gref != 1 || (f->no_gnttab && gfn != 0xfeffc))
        return -EINVAL;
    d->mapped++;
    *page = d->page;
    *granted = !f->no_gnttab;
    return 0;
}

static void fake_unmap(void *priv, void *page, bool granted)
{
    struct fake *f = priv;

    for (int i = 0; i < FAKE_DOMAINS; i++)
        if (f->dom[i].page == page)
            f->dom[i].mapped--;
}

/* Local ports are 10 + domid, so that a port never belongs to another. */
static int fake_bind(void *priv, uint16_t domid, uint32_t remote_port)
{
    struct fake_domain *d = find(priv, domid);

    if (!d || d->port || remote_port > 1000)
        return -EINVAL;
    d->port = 10u + domid;
    return (int)d->port;
}

static void fake_unbind(void *priv, uint32_t port)
{
    struct fake *f = priv;

    if (!f->handing_over)
        f->dom[port - 10].port = 0;
}

static void fake_notify(void *priv, uint32_t port)
{
    struct fake *f = priv;

    f->dom[port - 10].notified++;
    if (f->on_notify)
        f->on_notify(f, (uint16_t)(port - 10));
}

static int fake_list(void *priv, uint16_t first, unsigned max, struct host_domain_entry *out)
{
    struct fake *f = priv;
    int n = 0;

    if (f->no_list)
        return -ENOSYS;
    max = max < 3 ? max : 3; /* so that there is more than one part */
    for (unsigned d = first; d < FAKE_DOMAINS && (unsigned)n < max; d++)
        if (!fake_info(f, (uint16_t)d, &out[n].info))
            out[n++].domid = (uint16_t)d;
    return n;
}

static int fake_remote(void *priv, uint32_t port)
{
    struct fake *f = priv;

    return port > 10 && f->dom[port - 10].port == port ? 7 : -EINVAL;
}

static const struct host_ops fake_host = {
    fake_info, fake_map, fake_unmap, fake_bind, fake_unbind, fake_notify, fake_remote, fake_list,
};

static uint64_t fake_now(struct store *s)
{
    return ((struct fake *)s->loop)->now_ms;
}

static const struct conn_ops client_ops;

static struct conn *fake_adopt(struct store *s, int fd)
{
    struct fake *f = s->loop;
    struct fake_client *c = fd > 0 && fd <= FAKE_CLIENTS ? f->client[fd - 1] : NULL;

    if (!c || c->conn)
        return NULL;
    c->conn = conn_new(s, s->dom0, &client_ops, c);
    return c->conn;
}

static void begin(struct fake *f)
{
    struct host h = { &fake_host, f };

    if (store_init(&f->s, &h))
        abort();
    f->s.loop = f;
    f->s.now_ms = fake_now;
    f->s.adopt = fake_adopt;
}

void fake_init(struct fake *f)
{
    memset(f, 0, sizeof(*f));
    begin(f);
}

void fake_update(struct fake *f)
{
    struct state_fds fds = { .evtchn = 7 };
    struct sink k;

    if (sink_open(&k, memfd_create("dump", MFD_CLOEXEC)))
        abort();
    state_write_header(&f->s, &k, 0);
    state_write(&f->s, &k, &fds, 0);
    state_write_end(&k);
    if (k.failed)
        abort();
    f->handing_over = true;
    store_free(&f->s);
    f->handing_over = false;
    begin(f);
    f->s.keeps_ports = true;
    if (state_load(&f->s, k.base, k.used))
        abort();
    sink_close(&k);
    fake_run(f);
}

void fake_restart(struct fake *f, const char *dir)
{
    journal_close(&f->s); /* what follows is not the daemon's doing, but the kernel's */
    store_free(&f->s);
    begin(f);
    if (journal_recover(&f->s, dir, "fake"))
        abort();
    domain_check_all(&f->s);
    if (journal_open(&f->s, dir, "fake"))
        abort();
    fake_run(f);
}

void fake_free(struct fake *f)
{
    store_free(&f->s);
    for (int i = 0; i < FAKE_DOMAINS; i++)
        if (f->dom[i].page)
            munmap(f->dom[i].page, 4096);
}

void fake_run(struct fake *f)
{
    for (int i = 0; i < 1000 && !TAILQ_EMPTY(&f->s.ready); i++)
        store_settle(&f->s);
}

/* ---- Socket clients ---- */

static ssize_t client_read(struct conn *c, void *buf, size_t len)
{
    struct fake_client *cl = c->transport;
    size_t n = cl->in_len < len ? cl->in_len : len;

    if (cl->closed)
        return -1;
    memcpy(buf, cl->in, n);
    memmove(cl->in, cl->in + n, cl->in_len - n);
    cl->in_len -= n;
    return (ssize_t)n;
}

static ssize_t client_writev(struct conn *c, const struct iovec *iov, int count)
{
    struct fake_client *cl = c->transport;
    size_t start = cl->out_len;

    for (int i = 0; i < count && !cl->stuck; i++) {
        size_t room = sizeof(cl->out) - cl->out_len;
        size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;

        memcpy(cl->out + cl->out_len, iov[i].iov_base, n);
        cl->out_len += n;
    }
    return (ssize_t)(cl->out_len - start);
}

static void client_interest(struct conn *c, bool rd, bool wr)
{
}

static void client_fail(struct conn *c, uint32_t error)
{
    ((struct fake_client *)c->transport)->failed = true;
    conn_kill(c);
}

static void client_close(struct conn *c)
{
    struct fake_client *cl = c->transport;

    cl->conn = NULL;
    if (cl->closed)
        free(cl);
}

static void client_save(struct conn *c, struct state_conn *out)
{
    out->type = STATE_CONN_SOCKET;
    out->u.socket_fd = ((struct fake_client *)c->transport)->fd;
}

static const struct conn_ops client_ops = {
    .kind = "fake", .read = client_read, .writev = client_writev, .interest = client_interest,
    .fail = client_fail, .close = client_close, .save = client_save,
};

struct fake_client *fake_connect(struct fake *f)
{
    struct fake_client *c = calloc(1, sizeof(*c));

    for (int i = 0; i < FAKE_CLIENTS && !c->fd; i++)
        if (!f->client[i]) {
            f->client[i] = c;
            c->fd = i + 1;
        }
    c->conn = conn_new(&f->s, f->s.dom0, &client_ops, c);
    return c;
}

void fake_disconnect(struct fake *f, struct fake_client *c)
{
    if (c->fd)
        f->client[c->fd - 1] = NULL;
    if (!c->conn) {
        free(c);
        return;
    }
    c->closed = true;
    conn_wake(c->conn);
    fake_run(f);
}

void fake_put(struct fake *f, struct fake_client *c, const void *data, size_t len)
{
    if (!c->conn || len > sizeof(c->in) - c->in_len)
        return;
    memcpy(c->in + c->in_len, data, len);
    c->in_len += len;
    conn_wake(c->conn);
    fake_run(f);
}

bool fake_get(struct fake_client *c, struct fake_msg *m)
{
    if (c->out_len < sizeof(m->hdr))
        return false;
    memcpy(&m->hdr, c->out, sizeof(m->hdr));
    size_t all = sizeof(m->hdr) + m->hdr.len;
    if (m->hdr.len > XENSTORE_PAYLOAD_MAX || c->out_len < all)
        return false;
    memcpy(m->body, c->out + sizeof(m->hdr), m->hdr.len);
    m->body[m->hdr.len] = 0;
    memmove(c->out, c->out + all, c->out_len - all);
    c->out_len -= all;
    if (c->conn)
        conn_wake(c->conn);
    return true;
}

/* ---- Guests ---- */

void fake_domain_up(struct fake *f, uint16_t domid)
{
    struct fake_domain *d = &f->dom[domid];

    d->exists = true;
    d->dying = d->shutdown = false;
    d->life++;
    if (!d->page) /* shared, for tests that fork */
        d->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(d->page, 0, 4096);
    d->rsp_cons = d->req_prod = 0;
}

void fake_domain_down(struct fake *f, uint16_t domid)
{
    f->dom[domid].exists = false;
    domain_check_all(&f->s);
    fake_run(f);
}

void fake_ring_kick(struct fake *f, uint16_t domid)
{
    if (f->dom[domid].port)
        ring_event(&f->s, f->dom[domid].port);
    fake_run(f);
}

size_t fake_ring_put(struct fake *f, uint16_t domid, const void *data, size_t len)
{
    struct fake_domain *d = &f->dom[domid];
    const char *p = data;
    size_t done = 0;

    while (done < len) {
        uint32_t room = XENSTORE_RING_SIZE - (d->req_prod - d->page->req_cons);

        if (!room || room > XENSTORE_RING_SIZE)
            break;
        for (; room && done < len; room--)
            d->page->req[MASK_XENSTORE_IDX(d->req_prod++)] = p[done++];
        d->page->req_prod = d->req_prod;
        fake_ring_kick(f, domid);
    }
    return done;
}

static bool ring_bytes(struct fake *f, uint16_t domid, void *out, size_t len)
{
    struct fake_domain *d = &f->dom[domid];

    for (size_t i = 0; i < len; i++) {
        if (d->page->rsp_prod - d->rsp_cons > XENSTORE_RING_SIZE)
            return false; /* someone has written over it */
        if (d->rsp_cons == d->page->rsp_prod) {
            d->page->rsp_cons = d->rsp_cons;
            fake_ring_kick(f, domid);
            if (d->rsp_cons == d->page->rsp_prod)
                return false;
        }
        ((char *)out)[i] = d->page->rsp[MASK_XENSTORE_IDX(d->rsp_cons++)];
    }
    d->page->rsp_cons = d->rsp_cons;
    return true;
}

bool fake_ring_get(struct fake *f, uint16_t domid, struct fake_msg *m)
{
    if (!ring_bytes(f, domid, &m->hdr, sizeof(m->hdr)) || m->hdr.len > XENSTORE_PAYLOAD_MAX ||
        !ring_bytes(f, domid, m->body, m->hdr.len))
        return false;
    m->body[m->hdr.len] = 0;
    fake_ring_kick(f, domid);
    return true;
}

/* Whoever's turn it is, others are served after some time. */
static bool turn_passes(struct fake *f)
{
    if (!f->s.turn.tx)
        return false;
    f->now_ms = f->s.turn.until_ms;
    store_tick(&f->s);
    fake_run(f);
    return true;
}

void fake_ask(struct fake *f, struct fake_client *c, uint16_t domid, uint32_t type, uint32_t tx, const void *data,
              size_t len)
{
    char buf[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    struct xsd_sockmsg hdr = { type, ++f->req_id, tx, (uint32_t)len };

    memcpy(buf, &hdr, sizeof(hdr));
    memcpy(buf + sizeof(hdr), data, len);
    if (c)
        fake_put(f, c, buf, sizeof(hdr) + len);
    else
        fake_ring_put(f, domid, buf, sizeof(hdr) + len);
}

uint32_t fake_talk(struct fake *f, struct fake_client *c, uint16_t domid, uint32_t type,
                   uint32_t tx, const void *data, size_t len, struct fake_msg *reply)
{
    fake_ask(f, c, domid, type, tx, data, len);
    do {
        while (c ? fake_get(c, reply) : fake_ring_get(f, domid, reply))
            if (reply->hdr.type != XS_WATCH_EVENT)
                return reply->hdr.type;
    } while (turn_passes(f));
    memset(reply, 0, sizeof(*reply));
    return XS_INVALID;
}
