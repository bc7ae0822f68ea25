/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2 */
/* libxenstore: requests and their replies, the reader thread, events. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libxenctrl/store/private.h"

/* What the reader needs is small, and programs may have many handles. */
#define READER_STACK (64 * 1024)

static int errno_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
        if (!strcmp(name, xsd_errors[i].errstring))
            return xsd_errors[i].errnum;
    return EINVAL;
}

/* ---- Events ---- */

static void pipe_raise(struct xs_handle *h)
{
    ssize_t n;

    if (h->pipe[1] < 0)
        return;
    do
        n = write(h->pipe[1], "", 1);
    while (n < 0 && errno == EINTR);
}

static void pipe_lower(struct xs_handle *h)
{
    char drain[16];

    while (h->pipe[0] >= 0 && read(h->pipe[0], drain, sizeof(drain)) > 0)
        ;
}

/* The token behind the path, or NULL if the daemon sent something else than two strings. */
static const char *event_token(const struct xs_msg *m)
{
    size_t path = strlen(m->body) + 1;

    return path < m->hdr.len ? m->body + path : NULL;
}

void xs_queue_event(struct xs_handle *h, struct xs_msg *m)
{
    const char *token = event_token(m);

    if (token && xs_is_too_deep(h, m->body, token)) {
        free(m);
        return;
    }
    if (STAILQ_EMPTY(&h->events))
        pipe_raise(h);
    STAILQ_INSERT_TAIL(&h->events, m, link);
    pthread_cond_signal(&h->event_cond);
}

void xs_filter_events(struct xs_handle *h, const char *path, const char *token)
{
    struct xs_msg_queue keep = STAILQ_HEAD_INITIALIZER(keep);
    struct xs_msg *m;

    while ((m = STAILQ_FIRST(&h->events))) {
        const char *its = event_token(m);

        STAILQ_REMOVE_HEAD(&h->events, link);
        if (its && !strcmp(its, token) && xs_path_is_subpath(path, m->body))
            free(m);
        else
            STAILQ_INSERT_TAIL(&keep, m, link);
    }
    STAILQ_CONCAT(&h->events, &keep);
    if (STAILQ_EMPTY(&h->events) && !h->error)
        pipe_lower(h);
}

/* One allocation: two pointers, then the strings they point to. */
static char **event_strings(const struct xs_msg *m)
{
    const char *token = event_token(m);
    char **out;

    if (!token) {
        errno = EIO;
        return NULL;
    }
    out = malloc(2 * sizeof(*out) + m->hdr.len + 1);
    if (!out)
        return NULL;
    char *text = (char *)(out + 2);
    memcpy(text, m->body, m->hdr.len + 1u);
    out[XS_WATCH_PATH] = text;
    out[XS_WATCH_TOKEN] = text + (token - m->body);
    return out;
}

int xs_fileno(struct xs_handle *h)
{
    pthread_mutex_lock(&h->state_lock);
    if (h->pipe[0] < 0) {
        if (pipe2(h->pipe, O_CLOEXEC | O_NONBLOCK))
            h->pipe[0] = h->pipe[1] = -1;
        else if (!STAILQ_EMPTY(&h->events) || h->error)
            pipe_raise(h);
    }
    int fd = h->pipe[0];
    pthread_mutex_unlock(&h->state_lock);
    return fd;
}

/* state_lock is held. Without a reader events only come in while a request is made. */
static struct xs_msg *take_event(struct xs_handle *h, bool wait)
{
    struct xs_msg *m;

    while (wait && STAILQ_EMPTY(&h->events) && h->has_reader && !h->error)
        pthread_cond_wait(&h->event_cond, &h->state_lock);
    m = STAILQ_FIRST(&h->events);
    if (!m) {
        errno = h->error ? h->error : wait ? EINVAL : EAGAIN;
        return NULL;
    }
    STAILQ_REMOVE_HEAD(&h->events, link);
    if (STAILQ_EMPTY(&h->events) && !h->error)
        pipe_lower(h);
    return m;
}

static char **next_event(struct xs_handle *h, bool wait)
{
    pthread_mutex_lock(&h->state_lock);
    struct xs_msg *m = take_event(h, wait);
    pthread_mutex_unlock(&h->state_lock);
    if (!m)
        return NULL;
    char **out = event_strings(m);
    int err = errno;
    free(m);
    errno = err;
    return out;
}

char **xs_check_watch(struct xs_handle *h)
{
    return next_event(h, false);
}

char **xs_read_watch(struct xs_handle *h, unsigned int *num)
{
    char **out = next_event(h, true);

    if (out && num)
        *num = 2;
    return out;
}

/* ---- The reader ---- */

static void stream_failed(struct xs_handle *h, int err)
{
    int saved = errno;

    pthread_mutex_lock(&h->state_lock);
    if (!h->error)
        h->error = err ? err : EIO;
    pthread_cond_broadcast(&h->event_cond);
    pipe_raise(h); /* pollers learn of it by xs_check_watch() */
    pthread_mutex_unlock(&h->state_lock);
    errno = saved;
}

static void take_in(struct xs_handle *h, struct xs_msg *m)
{
    if (m->hdr.type != XS_WATCH_EVENT) {
        free(m); /* nobody asked */
        return;
    }
    pthread_mutex_lock(&h->state_lock);
    xs_queue_event(h, m);
    pthread_mutex_unlock(&h->state_lock);
}

static bool readable(const struct xs_handle *h)
{
    struct pollfd p = { .fd = h->fd, .events = POLLIN };

    return poll(&p, 1, 0) > 0;
}

/* False when the stream has ended, or the reader has to. */
static bool read_events(struct xs_handle *h)
{
    struct xs_msg *m;
    bool ok = true;

    pthread_mutex_lock(&h->read_lock);
    /* A request may have taken meanwhile what we were woken for. */
    while (ok && (xs_has_msg(h) || readable(h))) {
        m = xs_recv_msg(h, h->stop_fd);
        ok = m;
        if (m)
            take_in(h, m);
        else
            stream_failed(h, errno);
    }
    pthread_mutex_unlock(&h->read_lock);
    return ok;
}

/*
 * Reads while nobody makes a request; who does reads the reply himself, and the events before it. To have the
 * reader take it and wake him costs as much as the daemon does.
 */
static void *reader(void *arg)
{
    struct xs_handle *h = arg;
    struct epoll_event ev;

    for (;;) {
        int n = epoll_wait(h->reader_set, &ev, 1, -1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            stream_failed(h, errno);
        if (n < 0 || ev.data.fd == h->stop_fd || !read_events(h))
            return NULL;
    }
}

static void reader_listens(struct xs_handle *h, bool on)
{
    struct epoll_event ev = { .events = on ? EPOLLIN : 0, .data.fd = h->fd };

    if (h->has_reader)
        epoll_ctl(h->reader_set, EPOLL_CTL_MOD, h->fd, &ev);
}

/* What the reader waits for. 0 or an errno. */
static int make_set(struct xs_handle *h)
{
    struct epoll_event fd = { .events = EPOLLIN, .data.fd = h->fd }, stop = { .events = EPOLLIN };

    h->stop_fd = eventfd(0, EFD_CLOEXEC);
    h->reader_set = epoll_create1(EPOLL_CLOEXEC);
    stop.data.fd = h->stop_fd;
    return h->stop_fd < 0 || h->reader_set < 0 || epoll_ctl(h->reader_set, EPOLL_CTL_ADD, h->fd, &fd) ||
           epoll_ctl(h->reader_set, EPOLL_CTL_ADD, h->stop_fd, &stop) ? errno : 0;
}

static void drop_set(struct xs_handle *h)
{
    if (h->stop_fd >= 0)
        close(h->stop_fd);
    if (h->reader_set >= 0)
        close(h->reader_set);
    h->stop_fd = h->reader_set = -1;
}

static int start_thread(struct xs_handle *h)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int err;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, READER_STACK);
    /* Signals are the program's, not the library's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&h->reader, &attr, reader, h);
    if (err == EINVAL) /* too small for the program's thread-local data */
        err = pthread_create(&h->reader, NULL, reader, h);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return err;
}

bool xs_start_reader(struct xs_handle *h)
{
    bool ok = true;
    int err = 0;

    pthread_mutex_lock(&h->request_lock);
    if (!h->has_reader) {
        err = make_set(h);
        if (!err)
            err = start_thread(h);
        if (err)
            drop_set(h);
        ok = !err;
        pthread_mutex_lock(&h->state_lock);
        h->has_reader = ok;
        pthread_mutex_unlock(&h->state_lock);
    }
    pthread_mutex_unlock(&h->request_lock);
    if (!ok)
        errno = err;
    return ok;
}

void xs_stop_reader(struct xs_handle *h)
{
    uint64_t one = 1;

    if (!h->has_reader)
        return;
    while (write(h->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
    pthread_join(h->reader, NULL);
    h->has_reader = false;
}

/* ---- Requests ---- */

/* From now on the caller reads; the error that the stream has ended with, or 0. */
static int begin_request(struct xs_handle *h)
{
    pthread_mutex_lock(&h->request_lock);
    reader_listens(h, false);
    pthread_mutex_lock(&h->read_lock);
    return h->error;
}

static void end_request(struct xs_handle *h)
{
    int err = errno;

    while (xs_has_msg(h)) {
        struct xs_msg *m = xs_recv_msg(h, -1);
        if (!m)
            break;
        take_in(h, m);
    }
    pthread_mutex_unlock(&h->read_lock);
    reader_listens(h, true);
    pthread_mutex_unlock(&h->request_lock);
    errno = err;
}

/* The next reply. NULL with errno: the stream has ended, perhaps amid a message. */
static struct xs_msg *wait_reply(struct xs_handle *h)
{
    struct xs_msg *m;

    while ((m = xs_recv_msg(h, -1)) && m->hdr.type == XS_WATCH_EVENT)
        take_in(h, m);
    return m;
}

/* The reply's body moves to the front of its own allocation. */
static void *take_body(struct xs_msg *m, const struct xsd_sockmsg *sent, unsigned int *len)
{
    struct xsd_sockmsg hdr = m->hdr;
    int err = 0;

    if (hdr.type == XS_ERROR)
        err = errno_by_name(m->body);
    else if (hdr.type != sent->type || hdr.req_id != sent->req_id)
        err = EIO;
    if (err) {
        free(m);
        errno = err;
        return NULL;
    }
    memmove(m, m->body, hdr.len + 1u);
    if (len)
        *len = hdr.len;
    return m;
}

size_t xs_put_request(char *buf, size_t room, struct xsd_sockmsg *hdr, const struct iovec *iov, unsigned count)
{
    size_t len = 0, at = sizeof(*hdr);

    for (unsigned i = 0; i < count; i++)
        len += iov[i].iov_len;
    if (len > XENSTORE_PAYLOAD_MAX || sizeof(*hdr) + len > room) {
        errno = E2BIG;
        return 0;
    }
    hdr->len = (uint32_t)len;
    memcpy(buf, hdr, sizeof(*hdr));
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].iov_len)
            memcpy(buf + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    return at;
}

void *xs_talk(struct xs_handle *h, xs_transaction_t t, uint32_t type, const struct iovec *iov,
              unsigned count, unsigned int *len)
{
    char buf[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    struct xsd_sockmsg hdr = { .type = type, .tx_id = t };
    struct xs_msg *m = NULL;
    size_t size = xs_put_request(buf, sizeof(buf), &hdr, iov, count);

    if (!size)
        return NULL;
    int err = begin_request(h);
    if (!err) {
        hdr.req_id = ++h->next_req;
        memcpy(buf, &hdr, sizeof(hdr));
        bool sent = !xs_send(h, buf, size);
        if (sent)
            m = wait_reply(h);
        if (!m && (sent || h->is_socket)) /* the device may refuse a single request */
            stream_failed(h, errno);
    } else {
        errno = err;
    }
    end_request(h);
    return m ? take_body(m, &hdr, len) : NULL;
}

/* ---- Many at once ---- */

/*
 * Requests that are under way together. Those of a batch take up so little that a daemon which does not read on
 * before its replies are read never has us wait; and it waits for us with guests only (a quota of 20).
 */
#define BATCH       64
#define BATCH_BYTES 16384

static const uint32_t question_type[] = {
    [XS_ASK_VALUE] = XS_READ, [XS_ASK_CHILDREN] = XS_DIRECTORY, [XS_ASK_PERMISSIONS] = XS_GET_PERMS,
};

struct batch {
    char buf[BATCH_BYTES];
    size_t size;
    struct xsd_sockmsg hdr[BATCH];
    struct xs_ask *ask[BATCH];
    unsigned count;
};

/* As many of ask[0] ... [n-1] as a batch holds; how many that are. Ones that cannot be asked are answered. */
static unsigned fill_batch(struct xs_handle *h, struct batch *b, xs_transaction_t t, struct xs_ask *ask, unsigned n)
{
    unsigned max = h->is_socket ? BATCH : 1, i; /* Linux's device takes one after the other */

    b->size = b->count = 0;
    for (i = 0; i < n && b->count < max; i++) {
        struct xsd_sockmsg hdr = { .type = question_type[ask[i].what], .tx_id = t, .req_id = h->next_req + 1 };
        struct iovec iov = xs_string(ask[i].path);
        size_t size = xs_put_request(b->buf + b->size, sizeof(b->buf) - b->size, &hdr, &iov, 1);

        if (!size && iov.iov_len <= XENSTORE_PAYLOAD_MAX)
            break; /* the next one's */
        if (!size) {
            ask[i].err = E2BIG;
            continue;
        }
        h->next_req++;
        b->size += size;
        b->hdr[b->count] = hdr;
        b->ask[b->count++] = &ask[i];
    }
    return i;
}

/* 0, or an errno: the stream has ended. */
static int run_batch(struct xs_handle *h, struct batch *b)
{
    if (xs_send(h, b->buf, b->size))
        return errno;
    for (unsigned i = 0; i < b->count; i++) {
        struct xs_ask *ask = b->ask[i];
        struct xs_msg *m = wait_reply(h);

        if (!m)
            return errno;
        if (m->hdr.req_id != b->hdr[i].req_id) {
            free(m);
            return EIO;
        }
        ask->reply = take_body(m, &b->hdr[i], &ask->len);
        if (!ask->reply)
            ask->err = errno;
    }
    return 0;
}

bool xs_ask_many(struct xs_handle *h, xs_transaction_t t, struct xs_ask *ask, unsigned int n)
{
    struct batch *b = malloc(sizeof(*b));
    unsigned done = 0;
    int err;

    for (unsigned i = 0; i < n; i++) {
        ask[i].reply = NULL;
        ask[i].len = 0;
        ask[i].err = 0;
        if ((unsigned)ask[i].what >= sizeof(question_type) / sizeof(question_type[0])) {
            free(b);
            errno = EINVAL;
            return false;
        }
    }
    if (!b)
        return false;
    err = begin_request(h);
    while (done < n && !err) {
        done += fill_batch(h, b, t, ask + done, n - done);
        err = run_batch(h, b);
        if (err)
            stream_failed(h, err);
    }
    end_request(h);
    free(b);
    for (unsigned i = 0; i < n && err; i++) {
        free(ask[i].reply);
        ask[i].reply = NULL;
    }
    errno = err;
    return !err;
}
