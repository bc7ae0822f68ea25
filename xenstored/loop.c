/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4 */
#include "xenstored/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "xenstored/update.h"

#define BATCH 64        /* events taken at once */
#define LISTEN_MAX 16

/*
 * A guest on another CPU that has its answer asks again some microseconds later, most often. To sleep, and be woken
 * on a CPU that has gone idle, costs 20 us and more: a guest with one request at a time got 30,000 answers a second,
 * and 120,000 from a daemon that stays awake for as long as this after a guest's event. Where that turns out vain (the
 * guest is done, or needs the CPU that we hold: hence sched_yield()), it is not tried for the next sleeps, twice
 * as many each time.
 *
 * Clients of the socket are not waited for so: Linux likes to put one who waits for our answer onto our own CPU,
 * where waking costs nothing, and staying awake keeps it away (measured: 0.6 times the requests).
 */
#define AWAKE_NS 15000
#define VAIN_MAX 255

/* What an epoll event belongs to: the first member of whatever that is. */
struct source {
    void (*ready)(struct source *src, uint32_t events);
    struct loop *loop;
    int fd;
};

struct loop {
    int epoll;
    struct store *store;
    struct source host, stop, listen[LISTEN_MAX];
    unsigned nr_listen;
    int (*host_pending)(void *arg, bool *domain_event);
    void *host_arg;
    bool guest_spoke;           /* in the last turn */
    unsigned vain;              /* sleeps that the last vain try costs, */
    unsigned sleeps;            /* and how many of them are left */
    bool settle;                /* the last store_settle() left something over */
    bool stopping;
    int error;
    int spare_fd;               /* given up to turn a client away when there are no more */
};

/* A client's socket. */
struct client {
    struct source src;
    struct conn *conn;
    uint32_t events;
};

static int watch_fd(struct loop *l, struct source *src, int fd, void (*ready)(struct source *, uint32_t))
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = src };

    *src = (struct source){ ready, l, fd };
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/* ---- A socket as a connection's transport ---- */

static ssize_t client_read(struct conn *c, void *buf, size_t len)
{
    struct client *cl = c->transport;
    ssize_t n = recv(cl->src.fd, buf, len, MSG_DONTWAIT);

    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t client_writev(struct conn *c, const struct iovec *iov, int count)
{
    struct client *cl = c->transport;
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
    ssize_t n = sendmsg(cl->src.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static void client_interest(struct conn *c, bool rd, bool wr)
{
    struct client *cl = c->transport;
    uint32_t events = (rd ? (uint32_t)EPOLLIN : 0) | (wr ? (uint32_t)EPOLLOUT : 0);

    struct epoll_event ev = { .events = events, .data.ptr = &cl->src };

    if (events != cl->events && !epoll_ctl(cl->src.loop->epoll, EPOLL_CTL_MOD, cl->src.fd, &ev))
        cl->events = events;
}

static void client_fail(struct conn *c, uint32_t error)
{
    kr_log(KR_WARN, "client %u breaks the protocol, disconnected", c->id);
    conn_kill(c);
}

/* Closing alone would leave it in the epoll set where a forked process has it open, too. */
static void client_free(struct client *cl)
{
    epoll_ctl(cl->src.loop->epoll, EPOLL_CTL_DEL, cl->src.fd, NULL);
    close(cl->src.fd);
    free(cl);
}

static void client_close(struct conn *c)
{
    client_free(c->transport);
}

static void client_save(struct conn *c, struct state_conn *out)
{
    const struct client *cl = c->transport;

    out->type = STATE_CONN_SOCKET;
    out->u.socket_fd = cl->src.fd;
}

static const struct conn_ops client_ops = {
    .kind = "socket", .drained_by_short_read = true, .read = client_read, .writev = client_writev, .interest = client_interest,
    .fail = client_fail, .close = client_close, .save = client_save,
};

/* ---- Time ---- */

static void kick(struct store *s)
{
    struct loop *l = s->loop;

    l->settle = true;
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ms(struct store *s)
{
    return now_ns() / 1000000;
}

/* ---- Sources ---- */

static void on_client(struct source *src, uint32_t events)
{
    struct client *cl = (struct client *)src;

    /* A peer that hangs up while reading is paused would be reported for ever. */
    if (events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN))
        conn_kill(cl->conn);
    else
        conn_wake(cl->conn);
}

static int client_new(struct loop *l, int fd, struct client **out)
{
    struct client *cl = calloc(1, sizeof(*cl));
    int err;

    if (!cl) {
        close(fd);
        return -ENOMEM;
    }
    cl->events = EPOLLIN;
    err = watch_fd(l, &cl->src, fd, on_client);
    if (err < 0) {
        close(fd);
        free(cl);
        return err;
    }
    cl->conn = conn_new(l->store, l->store->dom0, &client_ops, cl);
    if (!cl->conn) {
        client_free(cl);
        return -ENOMEM;
    }
    *out = cl;
    return 0;
}

int loop_client(struct loop *l, int fd)
{
    struct client *cl;

    return client_new(l, fd, &cl);
}

/* fd is what a state says: it may be anything. */
static struct conn *adopt(struct store *s, int fd)
{
    struct client *cl;
    int type;
    socklen_t len = sizeof(type);

    if (fd <= STDERR_FILENO || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM)
        return NULL;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
        return NULL;
    return client_new(s->loop, fd, &cl) ? NULL : cl->conn;
}

/* Out of descriptors, the one who waits would wake us for ever: it is let in and out. */
static void turn_away(struct loop *l, int fd)
{
    close(l->spare_fd);
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (client >= 0)
        close(client);
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_listen(struct source *src, uint32_t events)
{
    int client = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int err;

    if (client < 0) {
        if (errno == EMFILE || errno == ENFILE)
            turn_away(src->loop, src->fd);
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            kr_log_once(KR_ERR, "cannot accept a client: %s", strerror(errno));
        return;
    }
    err = loop_client(src->loop, client);
    if (err)
        kr_log(KR_ERR, "cannot serve a client: %s", strerror(-err));
}

int loop_listen(struct loop *l, int fd)
{
    if (l->nr_listen == LISTEN_MAX)
        return -EMFILE;
    int err = watch_fd(l, &l->listen[l->nr_listen], fd, on_listen);
    if (!err)
        l->nr_listen++;
    return err;
}

static void on_host(struct source *src, uint32_t events)
{
    struct loop *l = src->loop;
    bool domain_event = false;

    if (events & (EPOLLHUP | EPOLLERR)) {
        kr_log(KR_ERR, "the hypervisor's connection is gone");
        l->error = -EPIPE;
        l->stopping = true;
        return;
    }
    int port = l->host_pending(l->host_arg, &domain_event);
    if (port < 0)
        return;
    if (domain_event) {
        domain_check_all(l->store);
    } else {
        l->guest_spoke = true;
        ring_event(l->store, (uint32_t)port);
    }
}

int loop_host(struct loop *l, int fd, int (*pending)(void *arg, bool *domain_event), void *arg)
{
    l->host_pending = pending;
    l->host_arg = arg;
    return watch_fd(l, &l->host, fd, on_host);
}

/* True if someone answers at path. */
static bool in_use(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && !connect(fd, (const struct sockaddr *)addr, sizeof(*addr));

    if (fd >= 0)
        close(fd);
    return yes;
}

int loop_make_socket(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    mode_t mask;
    int fd, err = 0;

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    strcpy(addr.sun_path, path);
    if (in_use(&addr))
        return -EADDRINUSE;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    unlink(path);
    mask = umask(0177);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, SOMAXCONN))
        err = -errno;
    umask(mask);
    if (err)
        close(fd);
    return err ? err : fd;
}

/* ---- The whole ---- */

static void settle(struct loop *l)
{
    l->settle = false;
    store_settle(l->store);
    if (l->store->update && update_due(l->store))
        update_run(l->store);
}

/* How long to wait for events, in ms. */
static int patience(const struct loop *l)
{
    uint64_t at = l->store->wake_ms, now;

    if (l->settle)
        return 0;
    if (!at)
        return -1;
    now = now_ms(l->store);
    return at <= now ? 0 : at - now < 60000 ? (int)(at - now) : 60000;
}

static int stay_awake(struct loop *l, struct epoll_event *ev)
{
    uint64_t until;
    int n;

    l->guest_spoke = false;
    if (l->sleeps) {
        l->sleeps--;
        return 0;
    }
    until = now_ns() + AWAKE_NS;
    do {
        n = epoll_wait(l->epoll, ev, BATCH, 0);
        if (n) {
            l->vain = 0;
            return n;
        }
        sched_yield();
    } while (now_ns() < until);
    l->vain = l->vain < VAIN_MAX ? 2 * l->vain + 1 : VAIN_MAX;
    l->sleeps = l->vain;
    return 0;
}

static int next_events(struct loop *l, struct epoll_event *ev)
{
    int wait = patience(l), n = 0;

    if (wait && l->guest_spoke)
        n = stay_awake(l, ev);
    return n ? n : epoll_wait(l->epoll, ev, BATCH, wait);
}

static int turn(struct loop *l)
{
    struct epoll_event ev[BATCH];
    int n = next_events(l, ev);

    if (n < 0 && errno != EINTR)
        return -errno;
    for (int i = 0; i < n; i++) {
        struct source *src = ev[i].data.ptr;

        src->ready(src, ev[i].events); /* frees nothing: connections end when the store settles */
    }
    if (l->store->wake_ms && now_ms(l->store) >= l->store->wake_ms)
        store_tick(l->store);
    settle(l);
    return 0;
}

static void on_stop(struct source *src, uint32_t events)
{
    src->loop->stopping = true;
}

int loop_run(struct loop *l, int fd)
{
    int err = watch_fd(l, &l->stop, fd, on_stop);

    while (!err && !l->stopping)
        err = turn(l);
    return err ? err : l->error;
}

int loop_new(struct loop **out, struct store *s)
{
    struct loop *l = calloc(1, sizeof(*l));

    if (!l)
        return -ENOMEM;
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0) {
        int err = -errno;
        loop_free(l);
        return err;
    }
    loop_attach(l, s);
    *out = l;
    return 0;
}

void loop_attach(struct loop *l, struct store *s)
{
    l->store = s;
    s->loop = l;
    s->kick = kick;
    s->now_ms = now_ms;
    s->adopt = adopt;
}

void loop_detach(struct loop *l)
{
    l->store = NULL;
    l->settle = false;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    for (unsigned i = 0; i < l->nr_listen; i++)
        close(l->listen[i].fd);
    if (l->epoll >= 0)
        close(l->epoll);
    if (l->spare_fd >= 0)
        close(l->spare_fd);
    free(l);
}
