/* SPDX-License-Identifier: MIT */
/* libxenstore: opening the connection, and messages on it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libxenctrl/store/private.h"

static const char *const xenbus_devices[] = { "/dev/xen/xenbus", "/proc/xen/xenbus" };

static int open_socket(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(addr.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

/* $XENSTORED_PATH may name the device as well as a socket. */
static int open_any(bool *is_socket)
{
    const char *path = xs_daemon_socket();
    struct stat st;
    int fd, err;

    *is_socket = true;
    if (!path)
        return -1;
    if (!stat(path, &st) && S_ISCHR(st.st_mode)) {
        *is_socket = false;
        return open(path, O_RDWR | O_CLOEXEC);
    }
    fd = open_socket(path);
    if (fd >= 0)
        return fd;
    err = errno;
    *is_socket = false;
    for (size_t i = 0; i < sizeof(xenbus_devices) / sizeof(xenbus_devices[0]); i++) {
        fd = open(xenbus_devices[i], O_RDWR | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    errno = err; /* the socket is what is expected, so its error is what tells something */
    return -1;
}

struct xs_handle *xs_open(unsigned long flags)
{
    struct xs_handle *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->fd = open_any(&h->is_socket);
    if (h->fd < 0) {
        int err = errno;
        free(h);
        errno = err;
        return NULL;
    }
    h->unwatch_filter = flags & XS_UNWATCH_FILTER;
    h->stop_fd = h->reader_set = h->pipe[0] = h->pipe[1] = -1;
    STAILQ_INIT(&h->events);
    SLIST_INIT(&h->watches);
    pthread_mutex_init(&h->request_lock, NULL);
    pthread_mutex_init(&h->read_lock, NULL);
    pthread_mutex_init(&h->state_lock, NULL);
    pthread_cond_init(&h->event_cond, NULL);
    return h;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void handle_free(struct xs_handle *h)
{
    struct xs_watched *w;
    struct xs_msg *m;

    while ((m = STAILQ_FIRST(&h->events))) {
        STAILQ_REMOVE_HEAD(&h->events, link);
        free(m);
    }
    while ((w = SLIST_FIRST(&h->watches))) {
        SLIST_REMOVE_HEAD(&h->watches, link);
        free(w);
    }
    free(h->in);
    close_fd(&h->fd);
    close_fd(&h->pipe[0]);
    close_fd(&h->pipe[1]);
    close_fd(&h->reader_set);
    close_fd(&h->stop_fd);
    free(h);
}

void xs_close(struct xs_handle *h)
{
    if (!h)
        return;
    xs_stop_reader(h);
    pthread_mutex_destroy(&h->request_lock);
    pthread_mutex_destroy(&h->read_lock);
    pthread_mutex_destroy(&h->state_lock);
    pthread_cond_destroy(&h->event_cond);
    handle_free(h);
}

void xs_daemon_destroy_postfork(struct xs_handle *h)
{
    /* The reader exists in the parent only, and locks may be held by threads that do not. */
    if (h)
        handle_free(h);
}

struct xs_handle *xs_daemon_open(void)
{
    return xs_open(0);
}

struct xs_handle *xs_domain_open(void)
{
    return xs_open(0);
}

struct xs_handle *xs_daemon_open_readonly(void)
{
    return xs_open(0);
}

void xs_daemon_close(struct xs_handle *h)
{
    xs_close(h);
}

/* ---- Messages ---- */

/* Waits for input; ECANCELED when stop_fd asks to end. */
static int wait_input(int fd, int stop_fd)
{
    struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = stop_fd, .events = POLLIN } };

    for (;;) {
        int n = poll(p, 2, -1);

        if (n < 0 && errno != EINTR)
            return -1;
        if (n <= 0)
            continue;
        if (p[1].revents) {
            errno = ECANCELED;
            return -1;
        }
        return 0;
    }
}

/* A message may be cut anywhere, and others stand behind it. */
#define IN_MAX (2 * (sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX))

bool xs_has_msg(const struct xs_handle *h)
{
    struct xsd_sockmsg hdr;

    if (h->in_have < sizeof(hdr))
        return false;
    memcpy(&hdr, h->in + h->in_at, sizeof(hdr));
    return hdr.len > XENSTORE_PAYLOAD_MAX || h->in_have - sizeof(hdr) >= hdr.len;
}

/* Reads once. */
static int read_more(struct xs_handle *h, int stop_fd)
{
    ssize_t n;

    if (!h->in && !(h->in = malloc(IN_MAX)))
        return -1;
    memmove(h->in, h->in + h->in_at, h->in_have);
    h->in_at = 0;
    if (stop_fd >= 0 && wait_input(h->fd, stop_fd))
        return -1;
    n = read(h->fd, h->in + h->in_have, IN_MAX - h->in_have);
    if (n < 0 && errno == EAGAIN)
        return wait_input(h->fd, stop_fd);
    if (n < 0 && errno == EINTR)
        return 0;
    if (n <= 0) {
        if (!n)
            errno = EBADF; /* the daemon has gone: Xen's clients know it by this */
        return -1;
    }
    h->in_have += (size_t)n;
    return 0;
}

struct xs_msg *xs_recv_msg(struct xs_handle *h, int stop_fd)
{
    struct xsd_sockmsg hdr;
    struct xs_msg *m;

    while (!xs_has_msg(h))
        if (read_more(h, stop_fd))
            return NULL;
    memcpy(&hdr, h->in + h->in_at, sizeof(hdr));
    if (hdr.len > XENSTORE_PAYLOAD_MAX) {
        errno = EIO;
        return NULL;
    }
    m = malloc(sizeof(*m) + hdr.len + 1);
    if (!m)
        return NULL;
    m->hdr = hdr;
    memcpy(m->body, h->in + h->in_at + sizeof(hdr), hdr.len);
    m->body[hdr.len] = 0;
    h->in_at += sizeof(hdr) + hdr.len;
    h->in_have -= sizeof(hdr) + hdr.len;
    return m;
}

static ssize_t write_some(const struct xs_handle *h, const char *buf, size_t len)
{
    return h->is_socket ? send(h->fd, buf, len, MSG_NOSIGNAL) : write(h->fd, buf, len);
}

int xs_send(struct xs_handle *h, const void *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write_some(h, (const char *)buf + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = { .fd = h->fd, .events = POLLOUT };
            poll(&p, 1, -1);
            continue;
        }
        if (n < 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}
