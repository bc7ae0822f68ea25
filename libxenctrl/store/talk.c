/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2 */
/* libxenstore: requests and their replies, the reader thread, events. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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
    h->error = err ? err : EIO;
    pthread_cond_broadcast(&h->reply_cond);
    pthread_cond_broadcast(&h->event_cond);
    pipe_raise(h); /* pollers learn of it by xs_check_watch() */
}

static void *reader(void *arg)
{
    struct xs_handle *h = arg;

    for (;;) {
        struct xs_msg *m = xs_recv_msg(h, h->stop_fd);
        int err = errno;

        pthread_mutex_lock(&h->state_lock);
        if (!m) {
            stream_failed(h, err);
        } else if (m->hdr.type == XS_WATCH_EVENT) {
            xs_queue_event(h, m);
        } else {
            free(h->reply);
            h->reply = m;
            pthread_cond_signal(&h->reply_cond);
        }
        pthread_mutex_unlock(&h->state_lock);
        if (!m)
            return NULL;
    }
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
        h->stop_fd = eventfd(0, EFD_CLOEXEC);
        err = h->stop_fd < 0 ? errno : start_thread(h);
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

/* request_lock is held. */
static struct xs_msg *wait_reply(struct xs_handle *h)
{
    struct xs_msg *m;

    if (h->has_reader) {
        pthread_mutex_lock(&h->state_lock);
        while (!h->reply && !h->error)
            pthread_cond_wait(&h->reply_cond, &h->state_lock);
        m = h->reply;
        h->reply = NULL;
        if (!m)
            errno = h->error;
        pthread_mutex_unlock(&h->state_lock);
        return m;
    }
    while ((m = xs_recv_msg(h, -1)) && m->hdr.type == XS_WATCH_EVENT) {
        pthread_mutex_lock(&h->state_lock);
        xs_queue_event(h, m);
        pthread_mutex_unlock(&h->state_lock);
    }
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

void *xs_talk(struct xs_handle *h, xs_transaction_t t, uint32_t type, const struct iovec *iov,
              unsigned count, unsigned int *len)
{
    struct xsd_sockmsg hdr = { .type = type, .tx_id = t };
    struct xs_msg *m = NULL;
    size_t total = 0;

    for (unsigned i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (total > XENSTORE_PAYLOAD_MAX) {
        errno = E2BIG;
        return NULL;
    }
    hdr.len = (uint32_t)total;
    pthread_mutex_lock(&h->request_lock);
    hdr.req_id = ++h->next_req;
    if (h->error)
        errno = h->error;
    else if (!xs_send_msg(h, &hdr, iov, count))
        m = wait_reply(h);
    if (!m && !h->error && !h->has_reader)
        h->error = errno; /* the stream may have stopped amid a message */
    int err = errno;
    pthread_mutex_unlock(&h->request_lock);
    errno = err;
    return m ? take_body(m, &hdr, len) : NULL;
}
