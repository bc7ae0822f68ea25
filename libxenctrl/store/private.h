/* SPDX-License-Identifier: MIT */
/*
 * libxenstore's connection: one stream, requests in turn, events aside.
 *
 * Without watches there is no thread: whoever sends a request reads until its reply. The first
 * watch starts a reader, which from then on takes everything off the stream: replies go to the one
 * who waits for them, events to a queue. A byte in a pipe tells pollers that there are any.
 */
#ifndef LIBXENSTORE_PRIVATE_H
#define LIBXENSTORE_PRIVATE_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include <xenstore.h>

/* A message as received; body has a NUL behind it. */
struct xs_msg {
    STAILQ_ENTRY(xs_msg) link;
    struct xsd_sockmsg hdr;
    char body[];
};

STAILQ_HEAD(xs_msg_queue, xs_msg);

/* A watch on a connection over the device (watch.c). */
struct xs_watched {
    SLIST_ENTRY(xs_watched) link;
    unsigned int depth;
    const char *token;  /* behind the path */
    char path[];
};

SLIST_HEAD(xs_watched_list, xs_watched);

struct xs_handle {
    int fd;
    bool is_socket;
    bool unwatch_filter;
    uint32_t next_req;              /* under request_lock */

    pthread_mutex_t request_lock;   /* one request at a time; taken before the others */
    pthread_mutex_t read_lock;      /* who reads from fd; taken before state_lock */
    char *in;                       /* bytes read and not yet taken as messages */
    size_t in_at, in_have;

    pthread_mutex_t state_lock;     /* all below */
    pthread_cond_t event_cond;
    struct xs_msg_queue events;
    struct xs_watched_list watches; /* empty for sockets */
    int error;                      /* the stream is dead: errno; 0 while it lives */
    int pipe[2];                    /* readable while events wait; -1 until someone asks */

    bool has_reader;
    pthread_t reader;
    int reader_set;                 /* epoll: fd, unless a request is under way, and stop_fd */
    int stop_fd;                    /* eventfd: ends the reader */
};

/* The next whole message; NULL with errno. stop_fd may be -1. read_lock is held. */
struct xs_msg *xs_recv_msg(struct xs_handle *h, int stop_fd);
/* xs_recv_msg() would not wait, nor read: read_lock is held. */
bool xs_has_msg(const struct xs_handle *h);
/* 0, or -1 with errno. */
int xs_send(struct xs_handle *h, const void *buf, size_t len);

/* Starts the reader if there is none. */
bool xs_start_reader(struct xs_handle *h);
void xs_stop_reader(struct xs_handle *h);
/* Puts an event into the queue, unless no watch wants it. state_lock is held. */
void xs_queue_event(struct xs_handle *h, struct xs_msg *m);
/* Only watches of less depth have this path below theirs, with this token. state_lock is held. */
bool xs_is_too_deep(const struct xs_handle *h, const char *path, const char *token);
/* Drops events that the watch (path, token) caused. state_lock is held. */
void xs_filter_events(struct xs_handle *h, const char *path, const char *token);

/*
 * Sends one request made of iov and returns the reply's body (malloc()ed, NUL behind it), its
 * length in *len (may be NULL). NULL with errno.
 */
void *xs_talk(struct xs_handle *h, xs_transaction_t t, uint32_t type, const struct iovec *iov,
              unsigned count, unsigned int *len);

/* A request in a buffer of room bytes; how many it takes, or 0 with errno: E2BIG. */
size_t xs_put_request(char *buf, size_t room, struct xsd_sockmsg *hdr, const struct iovec *iov, unsigned count);

/* ---- Parts of requests, ends of replies ---- */

static inline struct iovec xs_string(const char *s)
{
    return (struct iovec){ (void *)s, strlen(s) + 1 };
}

/* A number as the wire has it; valid until the end of the caller's block. */
#define XS_DECIMAL(v) xs_string(xs_decimal((char[24]){ 0 }, (v)))

static inline const char *xs_decimal(char *buf, unsigned long v)
{
    snprintf(buf, 24, "%lu", v);
    return buf;
}

/* For replies of which only success matters. */
static inline bool xs_done(void *reply)
{
    free(reply);
    return reply != NULL;
}

#endif
