/* SPDX-License-Identifier: MIT */
/*
 * Event channels by Krypton's core: an eventfd per port, gathered in one epoll set, which is what
 * the caller polls. A port is in the set as one-shot, which is exactly Xen's masking: once
 * reported it stays silent, and collects, until it is armed again.
 *
 * An epoll entry carries the port, its sending eventfd, and a mark for the core's own socket, so
 * that the set alone is enough to make the handle anew after exec() (from /proc/self/fdinfo).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "libxenctrl/evtchn/private.h"

#define CORE_MARK  UINT32_MAX    /* in place of a port: the core's socket */
#define MAX_PORT   (1u << 17)    /* EVTCHN_FIFO_NR_CHANNELS */
#define ARMED      (EPOLLIN | EPOLLONESHOT)

static uint64_t entry_data(uint32_t port, int send)
{
    return port | (uint64_t)(uint32_t)send << 32;
}

static int set_entry(xenevtchn_handle *x, int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event ev = {.events = events, .data.u64 = data};

    return epoll_ctl(x->fd, op, fd, &ev);
}

/* Puts p into the table. 0, or -1 with errno. Takes no descriptor on failure. */
static int table_put(xenevtchn_handle *x, uint32_t port, struct evtchn_port p)
{
    int rc = -1;

    if (port >= MAX_PORT) {
        errno = EPROTO;
        return -1;
    }
    pthread_mutex_lock(&x->ports_lock);
    if (port >= x->nr_ports) {
        unsigned nr = (port + 64) & ~63u;
        struct evtchn_port *bigger = realloc(x->port, nr * sizeof(*bigger));

        if (!bigger)
            goto out;
        for (unsigned i = x->nr_ports; i < nr; i++)
            bigger[i].recv = bigger[i].send = -1;
        x->port = bigger;
        x->nr_ports = nr;
    }
    if (x->port[port].recv >= 0) {
        errno = EPROTO;
        goto out;
    }
    x->port[port] = p;
    rc = 0;
out:
    pthread_mutex_unlock(&x->ports_lock);
    return rc;
}

/* The port's descriptors, or -1 with errno EINVAL if it is not bound here. */
static int table_get(xenevtchn_handle *x, uint32_t port, struct evtchn_port *p, bool take)
{
    int rc = -1;

    pthread_mutex_lock(&x->ports_lock);
    if (port < x->nr_ports && x->port[port].recv >= 0) {
        *p = x->port[port];
        if (take)
            x->port[port].recv = x->port[port].send = -1;
        rc = 0;
    }
    pthread_mutex_unlock(&x->ports_lock);
    if (rc)
        errno = EINVAL;
    return rc;
}

static void core_close(xenevtchn_handle *x)
{
    for (unsigned i = 0; i < x->nr_ports; i++) {
        if (x->port[i].recv >= 0)
            close(x->port[i].recv);
        if (x->port[i].send >= 0)
            close(x->port[i].send);
    }
    free(x->port);
    x->port = NULL;
    x->nr_ports = 0;
    kt_disconnect(&x->conn);
    if (x->fd >= 0)
        close(x->fd);
    x->fd = -1;
    pthread_mutex_destroy(&x->ports_lock);
}

static int core_open(xenevtchn_handle *x, bool cloexec)
{
    int saved;

    pthread_mutex_init(&x->ports_lock, NULL);
    x->cloexec = cloexec;
    if (kt_connect(&x->conn, cloexec)) {
        kt_log_no_core(&x->log, "xenevtchn");
        return -1;
    }
    x->fd = epoll_create1(cloexec ? EPOLL_CLOEXEC : 0);
    /* One-shot as well: that the core is gone is said once, not for ever. */
    if (x->fd >= 0 && !set_entry(x, EPOLL_CTL_ADD, x->conn.fd, EPOLLRDHUP | EPOLLONESHOT,
                                 entry_data(CORE_MARK, -1)))
        return 0;
    saved = errno;
    core_close(x);
    errno = saved;
    return -1;
}

/* Takes over what one line of fdinfo names; after exec() nobody else owns these descriptors. */
static int adopt_entry(xenevtchn_handle *x, int fd, uint64_t data)
{
    struct evtchn_port p = {fd, (int32_t)(data >> 32)};

    /* They have come through an exec() and may have to come through another: they stay as they are. */
    if ((uint32_t)data == CORE_MARK) {
        x->conn.fd = fd;
        return 0;
    }
    return table_put(x, (uint32_t)data, p);
}

static int core_fdopen(xenevtchn_handle *x, int fd)
{
    char path[64], line[256];
    int rc = 0, saved;
    FILE *f;

    pthread_mutex_init(&x->ports_lock, NULL);
    kt_adopt(&x->conn, -1);
    x->cloexec = fcntl(fd, F_GETFD) & FD_CLOEXEC;
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    f = fopen(path, "re");
    if (!f) {
        rc = -1;
        goto out;
    }
    while (!rc && fgets(line, sizeof(line), f)) {
        unsigned long long data;
        unsigned events;
        int tfd;

        if (sscanf(line, "tfd: %d events: %x data: %llx", &tfd, &events, &data) == 3)
            rc = adopt_entry(x, tfd, data);
    }
    if (!rc && x->conn.fd < 0) {
        errno = EINVAL;
        rc = -1;
    }
out:
    saved = errno;
    if (f)
        fclose(f);
    if (rc)
        core_close(x);
    else
        x->fd = fd;
    errno = saved;
    return rc;
}

/* Makes a port of the descriptors in the reply. The port, or -1 with errno. */
static int accept_port(xenevtchn_handle *x, struct kt_reply *r, uint32_t port, bool sends)
{
    struct evtchn_port p = {.recv = kt_take_fd(r, 0), .send = -1};
    int saved;

    if (p.recv < 0)
        return -1;
    if (sends)
        p.send = kt_take_fd(r, 1);
    if (sends && p.send < 0)
        goto bad;
    if (!x->cloexec && (fcntl(p.recv, F_SETFD, 0) || (sends && fcntl(p.send, F_SETFD, 0))))
        goto bad;
    if (table_put(x, port, p))
        goto bad;
    if (!set_entry(x, EPOLL_CTL_ADD, p.recv, ARMED, entry_data(port, p.send)))
        return port;
    table_get(x, port, &p, true);
bad:
    saved = errno;
    close(p.recv);
    if (p.send >= 0)
        close(p.send);
    errno = saved;
    return -1;
}

static int unbind_at_core(xenevtchn_handle *x, uint32_t port)
{
    struct kw_evtchn req = {.h = {.op = KW_EVTCHN_UNBIND}, .port = port};
    struct kw_reply reply;

    return kt_simple(&x->conn, &req, sizeof(req), &reply, sizeof(reply));
}

static int bind_port(xenevtchn_handle *x, enum kw_op op, uint32_t domid, uint32_t port)
{
    struct kw_evtchn req = {.h = {.op = op}, .domid = domid, .port = port};
    struct kt_reply *r = malloc(sizeof(*r));
    const struct kw_port_reply *reply = r ? (void *)r->buf : NULL;
    int got = -1, saved;

    if (!r)
        return -1;
    if (!kt_request(&x->conn, &req, sizeof(req), r, sizeof(*reply))) {
        got = accept_port(x, r, reply->port, op != KW_EVTCHN_VIRQ);
        saved = errno;
        kt_reply_free(r);
        if (got < 0)
            unbind_at_core(x, reply->port);
        errno = saved;
    }
    free(r);
    return got;
}

static int core_bind_unbound(xenevtchn_handle *x, uint32_t domid)
{
    return bind_port(x, KW_EVTCHN_UNBOUND, domid, 0);
}

static int core_bind_interdomain(xenevtchn_handle *x, uint32_t domid, evtchn_port_t remote)
{
    return bind_port(x, KW_EVTCHN_INTERDOMAIN, domid, remote);
}

static int core_bind_virq(xenevtchn_handle *x, unsigned virq)
{
    return bind_port(x, KW_EVTCHN_VIRQ, 0, virq);
}

static int core_unbind(xenevtchn_handle *x, evtchn_port_t port)
{
    struct evtchn_port p;
    int rc, saved;

    if (table_get(x, port, &p, true))
        return -1;
    rc = unbind_at_core(x, port);
    saved = errno;
    /* By name, as a copy in a forked child would keep a closed descriptor in the set. */
    epoll_ctl(x->fd, EPOLL_CTL_DEL, p.recv, NULL);
    close(p.recv);
    if (p.send >= 0)
        close(p.send);
    errno = saved;
    return rc;
}

static int core_notify(xenevtchn_handle *x, evtchn_port_t port)
{
    const uint64_t one = 1;
    struct evtchn_port p;

    if (table_get(x, port, &p, false))
        return -1;
    if (p.send < 0) {
        errno = EINVAL;
        return -1;
    }
    /* EAGAIN: the counter is full, so an event is pending there anyway. */
    if (write(p.send, &one, sizeof(one)) < 0 && errno != EAGAIN)
        return -1;
    return 0;
}

static int core_pending(xenevtchn_handle *x)
{
    int flags = fcntl(x->fd, F_GETFL);

    for (;;) {
        struct epoll_event ev;
        struct evtchn_port p;
        uint64_t count;
        int n = epoll_wait(x->fd, &ev, 1, flags >= 0 && (flags & O_NONBLOCK) ? 0 : -1);

        if (n < 0)
            return -1;
        if (n == 0) {
            errno = EAGAIN;
            return -1;
        }
        if ((uint32_t)ev.data.u64 == CORE_MARK) {
            errno = EPIPE;
            return -1;
        }
        /* Unbound by another thread since: its event goes with it. */
        if (table_get(x, (uint32_t)ev.data.u64, &p, false))
            continue;
        if (read(p.recv, &count, sizeof(count)) == sizeof(count))
            return (uint32_t)ev.data.u64;
        /* Nothing there after all: go on listening. */
        if (set_entry(x, EPOLL_CTL_MOD, p.recv, ARMED, ev.data.u64))
            return -1;
    }
}

static int core_unmask(xenevtchn_handle *x, evtchn_port_t port)
{
    struct evtchn_port p;

    if (table_get(x, port, &p, false))
        return -1;
    return set_entry(x, EPOLL_CTL_MOD, p.recv, ARMED, entry_data(port, p.send));
}

static int core_restrict(xenevtchn_handle *x, domid_t domid)
{
    return kt_restrict(&x->conn, domid);
}

const struct evtchn_ops evtchn_core_ops = {
    core_open,   core_fdopen,  core_close,  core_notify,   core_bind_unbound,
    core_bind_interdomain, core_bind_virq, core_unbind, core_pending, core_unmask, core_restrict,
};
