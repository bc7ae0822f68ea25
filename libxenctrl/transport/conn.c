/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE    /* struct ucred */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/paths.h"
#include "libxenctrl/transport/transport.h"

enum kt_kind kt_choose(void)
{
    char path[108];
    const char *want = getenv("KRYPTON_TRANSPORT");

    if (want && !strcmp(want, "core"))
        return KT_CORE;
    if (want && !strcmp(want, "dev"))
        return KT_DEV;
    if (kr_path(KR_CORE_SOCKET, path, sizeof(path)) && !access(path, F_OK))
        return KT_CORE;
    return access("/dev/xen/privcmd", F_OK) ? KT_CORE : KT_DEV;
}

void kt_adopt(struct kt_conn *c, int fd)
{
    memset(c, 0, sizeof(*c));
    pthread_mutex_init(&c->lock, NULL);
    c->fd = fd;
}

static int greet(struct kt_conn *c)
{
    struct kw_hello hello = {
        .h = {.op = KW_HELLO}, .magic = KW_MAGIC, .version = KW_VERSION};
    struct kw_hello_reply reply;

    if (kt_simple(c, &hello, sizeof(hello), &reply, sizeof(reply)))
        return -1;
    if (reply.version != KW_VERSION) {
        errno = EPROTONOSUPPORT;
        return -1;
    }
    c->domid = reply.domid;
    return 0;
}

/* In a place that anyone could have made first (/tmp), the core must be the user's own or root's. */
static int check_peer(int fd)
{
    const char *dir = getenv("KRYPTON_RUNDIR");
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if ((dir && *dir) || geteuid() == 0)
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        return -1;
    if (peer.uid == 0 || peer.uid == geteuid())
        return 0;
    errno = EPERM;
    return -1;
}

int kt_connect(struct kt_conn *c, bool cloexec)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int saved;

    kt_adopt(c, -1);
    if (!kr_path(KR_CORE_SOCKET, sa.sun_path, sizeof(sa.sun_path)))
        return -1;
    c->fd = socket(AF_UNIX, SOCK_SEQPACKET | (cloexec ? SOCK_CLOEXEC : 0), 0);
    if (c->fd < 0)
        return -1;
    if (connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) || check_peer(c->fd) || greet(c)) {
        saved = errno;
        kt_disconnect(c);
        errno = saved;
        return -1;
    }
    return 0;
}

void kt_disconnect(struct kt_conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    pthread_mutex_destroy(&c->lock);
}

void kt_reply_free(struct kt_reply *r)
{
    for (unsigned i = 0; i < r->nr_fds; i++)
        if (r->fd[i] >= 0)
            close(r->fd[i]);
    r->nr_fds = 0;
}

int kt_take_fd(struct kt_reply *r, unsigned i)
{
    int fd;

    if (i >= r->nr_fds || r->fd[i] < 0) {
        errno = EPROTO;
        return -1;
    }
    fd = r->fd[i];
    r->fd[i] = -1;
    return fd;
}

static void collect_fds(struct msghdr *m, int *fd, unsigned *nr)
{
    *nr = 0;
    for (struct cmsghdr *cm = CMSG_FIRSTHDR(m); cm; cm = CMSG_NXTHDR(m, cm)) {
        if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
            continue;
        unsigned got = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (unsigned i = 0; i < got; i++) {
            int one;

            memcpy(&one, CMSG_DATA(cm) + i * sizeof(int), sizeof(one));
            if (*nr < KW_MAX_FDS)
                fd[(*nr)++] = one;
            else
                close(one);
        }
    }
}

/* One packet into buf. Its length, or -1 with errno; descriptors are then closed already. */
static ssize_t receive(int sock, void *buf, size_t size, int *fd, unsigned *nr_fds)
{
    union {
        char room[CMSG_SPACE(sizeof(int) * KW_MAX_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {buf, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t got;

    m.msg_control = control.room;
    m.msg_controllen = sizeof(control.room);
    do {
        got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -1;
    collect_fds(&m, fd, nr_fds);
    if (got == 0 || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        for (unsigned i = 0; i < *nr_fds; i++)
            close(fd[i]);
        *nr_fds = 0;
        errno = got ? EPROTO : ECONNRESET;
        return -1;
    }
    return got;
}

/* Checks what stands at the head of every reply. */
static int check_reply(const struct kw_reply *h, size_t len, uint32_t seq, size_t min)
{
    if (len < sizeof(*h) || h->seq != seq) {
        errno = EPROTO;
        return -1;
    }
    if (h->status) {
        errno = h->status < 0 && h->status > -4096 ? -h->status : EPROTO;
        return -1;
    }
    if (len < min) {
        errno = EPROTO;
        return -1;
    }
    return 0;
}

/* Sends and receives under the lock, so that replies meet their requests. */
static ssize_t exchange(struct kt_conn *c, void *req, size_t len, uint32_t *seq, void *buf,
                        size_t size, int *fd, unsigned *nr_fds)
{
    ssize_t got = -1;

    pthread_mutex_lock(&c->lock);
    *seq = ++c->seq;
    ((struct kw_req *)req)->seq = *seq;
    do {
        got = send(c->fd, req, len, MSG_NOSIGNAL);
    } while (got < 0 && errno == EINTR);
    if (got >= 0)
        got = receive(c->fd, buf, size, fd, nr_fds);
    pthread_mutex_unlock(&c->lock);
    return got;
}

int kt_request(struct kt_conn *c, void *req, size_t len, struct kt_reply *r, size_t min)
{
    struct kw_reply h;
    uint32_t seq;
    ssize_t got;
    int saved;

    r->nr_fds = 0;
    got = exchange(c, req, len, &seq, r->buf, sizeof(r->buf), r->fd, &r->nr_fds);
    if (got < 0)
        return -1;
    r->len = got;
    memcpy(&h, r->buf, sizeof(h));
    if (check_reply(&h, r->len, seq, min)) {
        saved = errno;
        kt_reply_free(r);
        errno = saved;
        return -1;
    }
    return 0;
}

int kt_simple(struct kt_conn *c, void *req, size_t len, void *reply, size_t reply_len)
{
    uint64_t buf[16];
    int fd[KW_MAX_FDS];
    unsigned nr_fds = 0;
    struct kw_reply h;
    uint32_t seq;
    ssize_t got;

    got = exchange(c, req, len, &seq, buf, sizeof(buf), fd, &nr_fds);
    if (got < 0)
        return -1;
    for (unsigned i = 0; i < nr_fds; i++)
        close(fd[i]);
    memcpy(&h, buf, sizeof(h));
    if (check_reply(&h, got, seq, reply_len))
        return -1;
    memcpy(reply, buf, reply_len);
    return 0;
}

int kt_restrict(struct kt_conn *c, uint32_t domid)
{
    struct kw_domid req = {.h = {.op = KW_RESTRICT}, .domid = domid};
    struct kw_reply reply;

    return kt_simple(c, &req, sizeof(req), &reply, sizeof(reply));
}

int kt_hypercall(struct kt_conn *c, uint64_t op, const uint64_t arg[5], int64_t *ret)
{
    struct kw_hypercall req = {.h = {.op = KW_HYPERCALL}, .op = op};
    struct kw_hypercall_reply reply;

    memcpy(req.arg, arg, sizeof(req.arg));
    if (kt_simple(c, &req, sizeof(req), &reply, sizeof(reply)))
        return -1;
    *ret = reply.ret;
    return 0;
}

long kt_result(int64_t ret)
{
    if (ret >= 0)
        return ret;
    errno = ret > -4096 ? (int)-ret : EPROTO;
    return -1;
}
