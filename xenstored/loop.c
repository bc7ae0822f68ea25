/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4 */
#include "xenstored/loop.h"

#include <errno.h>
#include <fcntl.h>
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

struct loop {
    sd_event *event;
    struct store *store;
    int (*host_pending)(void *arg, bool *domain_event);
    void *host_arg;
    sd_event_source *settle;    /* runs once after a store_settle() left something over */
    sd_event_source *tick;
    uint64_t ticking;           /* the time that tick is set to; 0: off */
    int spare_fd;               /* given up to turn a client away when there are no more */
};

/* A client's socket. */
struct client {
    struct loop *loop;
    struct conn *conn;
    sd_event_source *source;
    uint32_t events;
    int fd;
};

/* ---- A socket as a connection's transport ---- */

static ssize_t client_read(struct conn *c, void *buf, size_t len)
{
    struct client *cl = c->transport;
    ssize_t n = recv(cl->fd, buf, len, MSG_DONTWAIT);

    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t client_writev(struct conn *c, const struct iovec *iov, int count)
{
    struct client *cl = c->transport;
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
    ssize_t n = sendmsg(cl->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static void client_interest(struct conn *c, bool rd, bool wr)
{
    struct client *cl = c->transport;
    uint32_t events = (rd ? (uint32_t)EPOLLIN : 0) | (wr ? (uint32_t)EPOLLOUT : 0);

    if (events != cl->events && sd_event_source_set_io_events(cl->source, events) >= 0)
        cl->events = events;
}

static void client_fail(struct conn *c, uint32_t error)
{
    kr_log(KR_WARN, "client %u breaks the protocol, disconnected", c->id);
    conn_kill(c);
}

static void client_free(struct client *cl)
{
    sd_event_source_disable_unref(cl->source);
    close(cl->fd);
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
    out->u.socket_fd = cl->fd;
}

static const struct conn_ops client_ops = {
    .kind = "socket", .read = client_read, .writev = client_writev, .interest = client_interest,
    .fail = client_fail, .close = client_close, .save = client_save,
};

/* ---- Going on later ---- */

static void arm_tick(struct loop *l)
{
    uint64_t at = l->store->wake_ms;

    if (at == l->ticking)
        return;
    /* The store's clock is the event loop's, in milliseconds. */
    if (at)
        sd_event_source_set_time(l->tick, at * 1000);
    sd_event_source_set_enabled(l->tick, at ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
    l->ticking = at;
}

static void settle(struct loop *l)
{
    store_settle(l->store);
    if (l->store->update && update_due(l->store))
        update_run(l->store);
    arm_tick(l);
}

static int on_settle(sd_event_source *src, void *arg)
{
    settle(arg);
    return 0;
}

static int on_tick(sd_event_source *src, uint64_t usec, void *arg)
{
    struct loop *l = arg;

    l->ticking = 0;
    store_tick(l->store);
    settle(l);
    return 0;
}

static void kick(struct store *s)
{
    struct loop *l = s->loop;

    sd_event_source_set_enabled(l->settle, SD_EVENT_ONESHOT);
}

static uint64_t now_ms(struct store *s)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- Sources ---- */

static int on_client(sd_event_source *src, int fd, uint32_t events, void *arg)
{
    struct client *cl = arg;
    struct loop *l = cl->loop;

    /* A peer that hangs up while reading is paused would be reported for ever. */
    if (events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN))
        conn_kill(cl->conn);
    else
        conn_wake(cl->conn);
    settle(l);
    return 0;
}

static int client_new(struct loop *l, int fd, struct client **out)
{
    struct client *cl = calloc(1, sizeof(*cl));
    int err;

    if (!cl) {
        close(fd);
        return -ENOMEM;
    }
    cl->fd = fd;
    cl->loop = l;
    cl->events = EPOLLIN;
    err = sd_event_add_io(l->event, &cl->source, fd, EPOLLIN, on_client, cl);
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

/* The source lives as long as the event loop. */
static int leave_to_event(sd_event_source *src)
{
    int err = sd_event_source_set_floating(src, 1);

    sd_event_source_unref(src);
    return err < 0 ? err : 0;
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

static int on_listen(sd_event_source *src, int fd, uint32_t events, void *arg)
{
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int err;

    if (client < 0) {
        if (errno == EMFILE || errno == ENFILE)
            turn_away(arg, fd);
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            kr_log_once(KR_ERR, "cannot accept a client: %s", strerror(errno));
        return 0;
    }
    err = loop_client(arg, client);
    if (err)
        kr_log(KR_ERR, "cannot serve a client: %s", strerror(-err));
    return 0;
}

int loop_listen(struct loop *l, int fd)
{
    sd_event_source *src;
    int err = sd_event_add_io(l->event, &src, fd, EPOLLIN, on_listen, l);

    if (err < 0)
        return err;
    sd_event_source_set_io_fd_own(src, 1);
    return leave_to_event(src);
}

static int on_host(sd_event_source *src, int fd, uint32_t events, void *arg)
{
    struct loop *l = arg;
    bool domain_event = false;

    if (events & (EPOLLHUP | EPOLLERR)) {
        kr_log(KR_ERR, "the hypervisor's connection is gone");
        return sd_event_exit(l->event, 1);
    }
    int port = l->host_pending(l->host_arg, &domain_event);
    if (port < 0)
        return 0;
    if (domain_event)
        domain_check_all(l->store);
    else
        ring_event(l->store, (uint32_t)port);
    settle(l);
    return 0;
}

int loop_host(struct loop *l, int fd, int (*pending)(void *arg, bool *domain_event), void *arg)
{
    sd_event_source *src;
    int err = sd_event_add_io(l->event, &src, fd, EPOLLIN, on_host, l);

    if (err < 0)
        return err;
    l->host_pending = pending;
    l->host_arg = arg;
    return leave_to_event(src);
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

int loop_new(struct loop **out, struct store *s)
{
    struct loop *l = calloc(1, sizeof(*l));
    int err;

    if (!l)
        return -ENOMEM;
    l->store = s;
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    err = sd_event_new(&l->event);
    if (err >= 0)
        err = sd_event_add_defer(l->event, &l->settle, on_settle, l);
    if (err >= 0)
        err = sd_event_source_set_enabled(l->settle, SD_EVENT_OFF);
    if (err >= 0)
        err = sd_event_add_time(l->event, &l->tick, CLOCK_MONOTONIC, 0, 1000, on_tick, l);
    if (err >= 0)
        err = sd_event_source_set_enabled(l->tick, SD_EVENT_OFF);
    if (err < 0) {
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
    sd_event_source_set_enabled(l->settle, SD_EVENT_OFF);
    sd_event_source_set_enabled(l->tick, SD_EVENT_OFF);
    l->ticking = 0;
    l->store = NULL;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    sd_event_source_disable_unref(l->settle);
    sd_event_source_disable_unref(l->tick);
    sd_event_unref(l->event);
    if (l->spare_fd >= 0)
        close(l->spare_fd);
    free(l);
}

sd_event *loop_event(struct loop *l)
{
    return l->event;
}
