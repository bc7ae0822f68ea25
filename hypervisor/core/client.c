/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <xen/memory.h>

#include "common/log.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/event_channel.h"
#include "hypervisor/core/grant_table.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/resource.h"

/*
 * Descriptors bound everything here. A connection takes one and one for its arena; a port or a share
 * that a client holds, two; a reply on its way, up to KW_MAX_FDS.
 */
#define MAX_CLIENTS      1024
#define CLIENTS_OF(core) ((core)->max_fds / 8 < MAX_CLIENTS ? (core)->max_fds / 8 : MAX_CLIENTS)
#define HELD_OF(core)    ((core)->max_fds / 16)    /* ports and shares of one process */
#define REQUESTS_PER_TURN 8

/* A reply under construction: bytes, and descriptors that the sender keeps. */
struct reply {
    union { struct kw_reply h; uint8_t bytes[KW_MAX_MSG]; } u;
    size_t len;
    int fd[KW_MAX_FDS];
    unsigned nr_fds;
};

static int send_packet(int sock, const void *buf, size_t len, const int *fds, unsigned nr_fds)
{
    union { struct cmsghdr h; char buf[CMSG_SPACE(KW_MAX_FDS * sizeof(int))]; } c;
    struct iovec iov = { (void *)(uintptr_t)buf, len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (nr_fds) {
        memset(&c, 0, sizeof(c));
        m.msg_control = c.buf;
        m.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
        c.h.cmsg_level = SOL_SOCKET;
        c.h.cmsg_type = SCM_RIGHTS;
        c.h.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
        memcpy(CMSG_DATA(&c.h), fds, nr_fds * sizeof(int));
    }
    return sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len ? 0 : -errno;
}

static void listen_to(struct client *c)
{
    /* While a call waits, only the peer's end is of interest. */
    sd_event_source_set_io_events(c->src, c->blocked ? 0 : EPOLLIN);
}

/*
 * A reply that does not go out at once ends the connection: the peer is gone, or has not read a
 * socket full of replies, or there is no memory. Better that than to leave it waiting, or to keep
 * for it what may never be read.
 */
static void send_reply(struct client *c, const void *buf, size_t len, const int *fds,
                       unsigned nr_fds)
{
    c->gave_fds = nr_fds > 0;
    if (send_packet(c->fd, buf, len, fds, nr_fds)) {
        shutdown(c->fd, SHUT_RDWR);
    }
}

void client_hypercall_done(struct client *c, long ret)
{
    struct kw_hypercall_reply r = { .h = { c->hc_seq, 0 }, .ret = ret };

    c->blocked = false;
    send_reply(c, &r, sizeof(r), NULL, 0);
    listen_to(c);
}

/*
 * Has the peer replies to read, with descriptors among them? The user that we are may have only so
 * many of those under way in all sockets (unix(7)): one client that does not read must not use them
 * up. Such a client is not merely left alone, for it may have left already: its own end can lie among
 * the descriptors that it sent us last.
 */
static bool unread_fds(const struct client *c)
{
    int bytes = 0;

    return c->gave_fds && ioctl(c->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

/*
 * One more port or share for this client? Its process may have its part of the descriptors, and
 * the last quarter of them all is for domains and new clients (the lowest one that is free tells
 * how many are taken).
 */
static bool may_hold_more(const struct client *c)
{
    const struct core *core = c->core;
    unsigned held = c->nr_ports + c->nr_shares;
    int probe = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);

    if (probe < 0) {
        return false;
    }
    close(probe);
    for (const struct client *o = core->clients; o; o = o->next) {
        held += o != c && c->pid && o->pid == c->pid ? o->nr_ports + o->nr_shares : 0;
    }
    return held < HELD_OF(core) && (unsigned)probe < core->max_fds - core->max_fds / 4;
}

/* May this client name that domain in its maps and channels? */
static int may_name(const struct client *c, uint32_t domid)
{
    if (domid >= DOMID_FIRST_RESERVED) {
        return -EINVAL;
    }
    return c->restricted && domid != c->restrict_domid ? -EPERM : 0;
}

static int do_hello(struct client *c, const struct kw_hello *m, struct reply *r)
{
    struct kw_hello_reply *out = (struct kw_hello_reply *)r->u.bytes;

    if (m->magic != KW_MAGIC || m->version != KW_VERSION || c->greeted) {
        return -EPROTO;
    }
    c->greeted = true;
    out->version = KW_VERSION;
    out->domid = c->core->host_dom->domid;
    r->len = sizeof(*out);
    return 0;
}

static int do_arena(struct client *c, const struct kw_arena *m, struct reply *r)
{
    void *p;
    int fd;

    if (c->arena || !m->size || m->size % 4096 || m->va % 4096 || m->size > KW_MAX_ARENA ||
        m->va + m->size < m->va) {
        return -EINVAL;
    }
    fd = memfd_create("krypton-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return -ENOMEM;
    }
    if (ftruncate(fd, (off_t)m->size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        close(fd);
        return -ENOMEM;
    }
    p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        close(fd);
        return -ENOMEM;
    }
    c->arena = p;
    c->arena_fd = fd;
    c->arena_va = m->va;
    c->arena_size = m->size;
    r->fd[r->nr_fds++] = fd;
    return 0;
}

static int do_restrict(struct client *c, const struct kw_domid *m)
{
    if (m->reserved || m->domid >= DOMID_FIRST_RESERVED) {
        return -EINVAL;
    }
    if (c->restricted) {
        return m->domid == c->restrict_domid ? 0 : -EACCES;
    }
    c->restricted = true;
    c->restrict_domid = (domid_t)m->domid;
    return 0;
}

static void add_port(struct client *c, uint32_t port, struct reply *r)
{
    const struct evtchn *e = evtchn_from_port(c->core->host_dom, port);
    struct kw_port_reply *out = (struct kw_port_reply *)r->u.bytes;

    out->port = port;
    r->len = sizeof(*out);
    r->fd[r->nr_fds++] = evtchn_recv_fd(e);
    if (evtchn_send_fd(e) >= 0) {
        r->fd[r->nr_fds++] = evtchn_send_fd(e);
    }
}

static int do_evtchn(struct client *c, uint32_t op, const struct kw_evtchn *m, struct reply *r)
{
    struct domain *host = c->core->host_dom;
    uint32_t port = 0;
    int rc;

    if (!may_hold_more(c)) {
        return -ENOSPC;
    }
    if (op == KW_EVTCHN_VIRQ) {
        if (c->restricted) {
            return -EACCES;
        }
        rc = evtchn_bind_virq(host, m->port, 0, c, &port);
    } else {
        rc = may_name(c, m->domid == DOMID_SELF ? 0 : m->domid);
        if (rc) {
            return rc;
        }
        if (op == KW_EVTCHN_UNBOUND) {
            rc = evtchn_alloc_unbound(host, m->domid == DOMID_SELF ? 0 : (domid_t)m->domid, c,
                                      &port);
        } else {
            rc = evtchn_bind_interdomain(host, m->domid == DOMID_SELF ? 0 : (domid_t)m->domid,
                                         m->port, c, &port);
        }
    }
    if (!rc) {
        add_port(c, port, r);
    }
    return rc;
}

static int do_unbind(struct client *c, const struct kw_evtchn *m)
{
    const struct evtchn *e = evtchn_from_port(c->core->host_dom, m->port);

    if (!m->port || !e || e->state == EVTCHNSTAT_closed || e->owner != c) {
        return -EINVAL;
    }
    return evtchn_close(c->core->host_dom, m->port);
}

/* Adds nr pages from `page` of descriptor fd (< 0: errors) to the runs, joining what continues. */
static int add_run(struct reply *r, struct kw_run *runs, uint32_t *nr_runs, int fd, uint64_t page,
                   uint32_t nr)
{
    struct kw_run *last = *nr_runs ? &runs[*nr_runs - 1] : NULL;
    int slot = -1;

    if (fd >= 0) {
        for (unsigned i = 0; i < r->nr_fds; i++) {
            slot = r->fd[i] == fd ? (int)i : slot;
        }
        if (slot < 0) {
            if (r->nr_fds == KW_MAX_FDS) {
                return -E2BIG;
            }
            slot = (int)r->nr_fds;
            r->fd[r->nr_fds++] = fd;
        }
    }
    if (last && last->fd == slot &&
        (slot < 0 ? last->page == page : last->page + last->nr == page)) {
        last->nr += nr;
        return 0;
    }
    runs[(*nr_runs)++] = (struct kw_run){ nr, slot, page };
    return 0;
}

static int do_map_foreign(struct client *c, const struct kw_map_foreign *m, size_t len,
                          struct reply *r)
{
    struct kw_map_reply *out = (struct kw_map_reply *)r->u.bytes;
    struct domain *d;
    uint32_t nr_runs = 0;
    int rc = may_name(c, m->domid);

    if (rc) {
        return rc;
    }
    if (m->reserved || m->prot & ~(uint32_t)(PROT_READ | PROT_WRITE) || m->nr > KW_MAX_GFNS ||
        len != sizeof(*m) + m->nr * sizeof(m->gfn[0])) {
        return -EINVAL;
    }
    d = domain_find(c->core, (domid_t)m->domid);
    if (!d || d->dying) {
        return -ESRCH;
    }
    if (d->host) {
        return -EINVAL;    /* the host's memory is not reached by frame number */
    }
    for (uint32_t i = 0; i < m->nr && !rc; i++) {
        struct p2m_entry e = p2m_lookup(d, m->gfn[i]);
        uint64_t page = e.page;
        int fd = p2m_is_ram(e.type) ? page_fd(d, e.page, !(m->prot & PROT_WRITE), &page) : d->xen_fd;

        if (e.type == P2M_NONE || e.type == P2M_FOREIGN) {    /* others' pages are others' to show */
            rc = add_run(r, out->run, &nr_runs, -1, (uint64_t)-EINVAL, 1);
        } else {
            rc = add_run(r, out->run, &nr_runs, fd, page, 1);
        }
    }
    out->size = m->nr;
    out->nr_runs = nr_runs;
    r->len = sizeof(*out) + nr_runs * sizeof(out->run[0]);
    return rc;
}

static int do_map_resource(struct client *c, const struct kw_map_resource *m, struct reply *r)
{
    struct kw_map_reply *out = (struct kw_map_reply *)r->u.bytes;
    uint64_t page = 0, frames = 0;
    struct domain *d;
    uint32_t nr_runs = 0;
    int rc = may_name(c, m->domid);

    if (rc) {
        return rc;
    }
    d = domain_find(c->core, (domid_t)m->domid);
    if (!d || d->dying) {
        return -ESRCH;
    }
    if (d->host) {
        return -EINVAL;
    }
    rc = resource_size(d, m->type, m->id, &frames);
    if (!rc && m->nr) {
        rc = resource_acquire(d, c->hc.d->domid, m->type, m->id, m->frame, m->nr, &page);
        rc = rc ? rc : add_run(r, out->run, &nr_runs, d->xen_fd, page, (uint32_t)m->nr);
    }
    out->size = frames;
    out->nr_runs = nr_runs;
    r->len = sizeof(*out) + nr_runs * sizeof(out->run[0]);
    return rc;
}

static int do_gnt_map(struct client *c, const struct kw_gnt_map *m, size_t len, struct reply *r)
{
    struct kw_gnt_map_reply *out = (struct kw_gnt_map_reply *)r->u.bytes;
    bool ro = !(m->prot & PROT_WRITE);
    struct gnt_map *map;
    uint32_t nr_runs = 0;
    int rc = 0;

    if (!m->nr || m->nr > KW_MAX_GFNS || len != sizeof(*m) + m->nr * sizeof(m->ref[0])) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < m->nr && !rc; i++) {
        rc = may_name(c, m->ref[i].domid);
    }
    rc = rc ? rc : gnt_client_map(c->core, c, m->ref, m->nr, ro, &map);
    if (rc) {
        return rc;
    }
    for (uint32_t i = 0; i < m->nr && !rc; i++) {
        const struct gnt_mapped *g = &map->page[i];

        uint64_t page;
        int fd = gnt_page_fd(g->d, &g->where, ro, &page);

        rc = add_run(r, out->run, &nr_runs, fd, page, 1);
    }
    if (rc) {
        gnt_client_unmap(c->core, c, map->handle);
        return rc;
    }
    out->handle = map->handle;
    out->nr_runs = nr_runs;
    r->len = sizeof(*out) + nr_runs * sizeof(out->run[0]);
    return 0;
}

static int do_share(struct client *c, const struct kw_gntshr *m, struct reply *r)
{
    struct kw_gntshr_reply *out = (struct kw_gntshr_reply *)r->u.bytes;
    struct gnt_share *s;
    int rc = may_name(c, m->domid);

    if (!rc) {
        rc = m->reserved ? -EINVAL : may_hold_more(c) ? 0 : -ENOSPC;
    }
    rc = rc ? rc : gnt_client_share(c->core, c, (domid_t)m->domid, m->nr, m->writable, &s);
    if (rc) {
        return rc;
    }
    out->handle = s->handle;
    out->nr = s->nr;
    memcpy(out->ref, s->ref, s->nr * sizeof(out->ref[0]));
    r->len = sizeof(*out) + s->nr * sizeof(out->ref[0]);
    r->fd[r->nr_fds++] = s->fd;
    return 0;
}

/* Requests by the size of their fixed part. */
static const uint16_t request_size[] = {
    [KW_HELLO] = sizeof(struct kw_hello), [KW_ARENA] = sizeof(struct kw_arena),
    [KW_HYPERCALL] = sizeof(struct kw_hypercall), [KW_RESTRICT] = sizeof(struct kw_domid),
    [KW_EVTCHN_UNBOUND] = sizeof(struct kw_evtchn),
    [KW_EVTCHN_INTERDOMAIN] = sizeof(struct kw_evtchn),
    [KW_EVTCHN_VIRQ] = sizeof(struct kw_evtchn), [KW_EVTCHN_UNBIND] = sizeof(struct kw_evtchn),
    [KW_MAP_FOREIGN] = sizeof(struct kw_map_foreign),
    [KW_MAP_RESOURCE] = sizeof(struct kw_map_resource), [KW_GNT_MAP] = sizeof(struct kw_gnt_map),
    [KW_GNT_UNMAP] = sizeof(struct kw_gnt_unmap), [KW_GNT_NOTIFY] = sizeof(struct kw_gnt_notify),
    [KW_GNTSHR_SHARE] = sizeof(struct kw_gntshr), [KW_GNTSHR_UNSHARE] = sizeof(struct kw_gnt_unmap),
};

/* A machine's operator stands outside of it: no domain can name him in a channel or a grant. */
static bool for_operators(uint32_t op)
{
    return op <= KW_RESTRICT || op == KW_MAP_FOREIGN || op == KW_MAP_RESOURCE;
}

static int handle(struct client *c, uint32_t op, const uint8_t *buf, size_t len, struct reply *r)
{
    const struct kw_gnt_notify *n = (const void *)buf;
    const struct kw_gnt_unmap *u = (const void *)buf;

    if (c->core->machine && !for_operators(op)) {
        return -EPERM;
    }
    switch (op) {
    case KW_HELLO:
        return do_hello(c, (const void *)buf, r);
    case KW_ARENA:
        return do_arena(c, (const void *)buf, r);
    case KW_RESTRICT:
        return do_restrict(c, (const void *)buf);
    case KW_EVTCHN_UNBOUND:
    case KW_EVTCHN_INTERDOMAIN:
    case KW_EVTCHN_VIRQ:
        return do_evtchn(c, op, (const void *)buf, r);
    case KW_EVTCHN_UNBIND:
        return do_unbind(c, (const void *)buf);
    case KW_MAP_FOREIGN:
        return do_map_foreign(c, (const void *)buf, len, r);
    case KW_MAP_RESOURCE:
        return do_map_resource(c, (const void *)buf, r);
    case KW_GNT_MAP:
        return do_gnt_map(c, (const void *)buf, len, r);
    case KW_GNT_UNMAP:
        return gnt_client_unmap(c->core, c, u->handle);
    case KW_GNT_NOTIFY:
        return gnt_client_notify(c->core, c, n->handle, n->action, n->port, n->offset);
    case KW_GNTSHR_SHARE:
        return do_share(c, (const void *)buf, r);
    case KW_GNTSHR_UNSHARE:
        return gnt_client_unshare(c->core, c, u->handle);
    default:
        return -ENOSYS;
    }
}

static void start_hypercall(struct client *c, const struct kw_hypercall *m)
{
    c->hc_seq = m->h.seq;
    c->hc.op = m->op;
    memcpy(c->hc.arg, m->arg, sizeof(c->hc.arg));
    c->blocked = true;
    hypercall_start(&c->hc);
    if (c->blocked) {
        listen_to(c);
    }
}

/* One packet. False: the connection is to be closed. */
static bool on_packet(struct client *c, const uint8_t *buf, size_t len)
{
    struct reply *r;
    struct kw_req h;
    int rc;

    if (len < sizeof(h)) {
        return false;
    }
    memcpy(&h, buf, sizeof(h));
    if (!c->greeted && h.op != KW_HELLO) {
        return false;
    }
    if (h.op == KW_HYPERCALL && len == sizeof(struct kw_hypercall)) {
        start_hypercall(c, (const void *)buf);
        return true;
    }
    r = malloc(sizeof(*r));
    if (!r) {
        return false;
    }
    r->nr_fds = 0;
    r->len = sizeof(r->u.h);
    memset(r->u.bytes, 0, 64);
    if (h.op >= KR_ARRAY_SIZE(request_size) || !request_size[h.op]) {
        rc = -ENOSYS;
    } else if (len < request_size[h.op] || h.op == KW_HYPERCALL) {
        rc = -EINVAL;    /* a hypercall of any other length than above, too */
    } else {
        rc = handle(c, h.op, buf, len, r);
        p2m_flush_all(c->core);
    }
    r->u.h = (struct kw_reply){ h.seq, rc };
    if (rc) {
        send_reply(c, &r->u.h, sizeof(r->u.h), NULL, 0);
    } else {
        send_reply(c, r->u.bytes, r->len, r->fd, r->nr_fds);
    }
    free(r);
    return c->greeted;
}

static int on_client(sd_event_source *s, int fd, uint32_t revents, void *opaque)
{
    struct client *c = opaque;
    uint8_t *buf = c->core->packet;
    ssize_t n;

    if (revents & (EPOLLHUP | EPOLLERR)) {
        client_free(c);
        return 0;
    }
    for (int i = 0; i < REQUESTS_PER_TURN && !c->blocked; i++) {
        n = recv(fd, buf, KW_MAX_MSG, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return 0;
        }
        if (n <= 0 || n > KW_MAX_MSG || unread_fds(c) || !on_packet(c, buf, (size_t)n)) {
            client_free(c);
            return 0;
        }
    }
    return 0;
}

/* When there are too many, one that has not even said hello makes room. */
static bool make_room(struct core *core)
{
    struct client *c = core->clients, *silent = NULL;

    if (core->nr_clients < CLIENTS_OF(core)) {
        return true;
    }
    for (; c; c = c->next) {
        silent = c->greeted ? silent : c;    /* the last in the list came first */
    }
    if (silent) {
        client_free(silent);
    }
    return silent != NULL;
}

/* One process may have half of the connections. */
static bool has_too_many(const struct core *core, pid_t pid)
{
    unsigned n = 0;

    for (const struct client *c = core->clients; c && pid; c = c->next) {
        n += c->pid == pid;
    }
    return n >= CLIENTS_OF(core) / 2;
}

struct client *client_new(struct core *core, int fd, uid_t uid, pid_t pid)
{
    struct client *c;

    if ((uid != core->uid && uid != 0) || has_too_many(core, pid) || !make_room(core)) {
        close(fd);
        errno = uid != core->uid && uid != 0 ? EPERM : EMFILE;
        return NULL;
    }
    c = calloc(1, sizeof(*c));
    if (!c || sd_event_add_io(core->event, &c->src, fd, EPOLLIN, on_client, c) < 0) {
        free(c);
        close(fd);
        errno = ENOMEM;
        return NULL;
    }
    c->core = core;
    c->fd = fd;
    c->pid = pid;
    c->arena_fd = -1;
    c->hc = (struct hcall){ .core = core, .d = core->host_dom, .client = c };
    c->next = core->clients;
    core->clients = c;
    core->nr_clients++;
    return c;
}

void client_free(struct client *c)
{
    struct client **p = &c->core->clients;

    while (*p != c) {
        p = &(*p)->next;
    }
    *p = c->next;
    c->core->nr_clients--;
    hypercall_cancel(&c->hc);
    gnt_client_gone(c->core, c);
    evtchn_client_gone(c->core, c);
    p2m_flush_all(c->core);
    if (c->arena) {
        munmap(c->arena, c->arena_size);
        close(c->arena_fd);
    }
    sd_event_source_disable_unref(c->src);
    close(c->fd);
    free(c);
}

static int on_listen_again(sd_event_source *s, uint64_t usec, void *opaque)
{
    struct core *core = opaque;

    core->listen_again = sd_event_source_disable_unref(core->listen_again);
    sd_event_source_set_enabled(core->listen_src, SD_EVENT_ON);
    return 0;
}

/* Out of descriptors: whoever waits to be accepted would keep the loop spinning. */
static void rest(struct core *core)
{
    kr_log_once(KR_ERR, "out of descriptors: no new clients for now");
    if (!core->listen_again &&
        sd_event_add_time_relative(core->event, &core->listen_again, CLOCK_MONOTONIC, 500000, 0,
                                   on_listen_again, core) >= 0) {
        sd_event_source_set_enabled(core->listen_src, SD_EVENT_OFF);
    }
}

static int on_accept(sd_event_source *s, int fd, uint32_t revents, void *opaque)
{
    struct core *core = opaque;
    struct ucred cred;
    socklen_t len = sizeof(cred);
    int sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (sock < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            rest(core);
        }
        return 0;
    }
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
        close(sock);
        return 0;
    }
    if (!client_new(core, sock, cred.uid, cred.pid)) {
        if (errno == EPERM) {
            kr_log(KR_WARN, "a client of uid %u was turned away", (unsigned)cred.uid);
        } else {
            kr_log_once(KR_WARN, "too many clients: one of process %d was turned away", (int)cred.pid);
        }
    }
    return 0;
}

int client_listen(struct core *core, int fd)
{
    int rc = sd_event_add_io(core->event, &core->listen_src, fd, EPOLLIN, on_accept, core);

    if (rc < 0) {
        errno = -rc;
        return -1;
    }
    core->listen_fd = fd;
    return 0;
}
