/* SPDX-License-Identifier: MIT */
/* A client of the store that does nothing but what is measured. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bench/store_client.h"

const char *socket_path;

void die(const char *what)
{
    perror(what);
    exit(1);
}

double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct client *client_new(void)
{
    struct client *c = calloc(1, sizeof(*c));
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    if (!c)
        die("calloc");
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", socket_path);
    c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)))
        die(socket_path);
    return c;
}

void client_free(struct client *c)
{
    close(c->fd);
    free(c);
}

void flush(struct client *c)
{
    size_t done = 0;

    while (done < c->out_len) {
        ssize_t n = send(c->fd, c->out + done, c->out_len - done, MSG_NOSIGNAL);

        if (n <= 0)
            die("send");
        done += (size_t)n;
    }
    c->out_len = 0;
}

void queue(struct client *c, uint32_t type, const char *data, size_t len)
{
    struct xsd_sockmsg h = { type, ++c->next_id, c->tx, (uint32_t)len };

    if (c->out_len + sizeof(h) + len > sizeof(c->out))
        flush(c);
    memcpy(c->out + c->out_len, &h, sizeof(h));
    memcpy(c->out + c->out_len + sizeof(h), data, len);
    c->out_len += sizeof(h) + len;
}

uint32_t receive(struct client *c)
{
    struct xsd_sockmsg h;

    for (;;) {
        size_t have = c->in_len - c->in_at;

        if (have >= sizeof(h)) {
            memcpy(&h, c->in + c->in_at, sizeof(h));
            if (have >= sizeof(h) + h.len)
                break;
        }
        memmove(c->in, c->in + c->in_at, have);
        c->in_at = 0;
        c->in_len = have;
        ssize_t n = recv(c->fd, c->in + have, sizeof(c->in) - have, 0);
        if (n <= 0)
            die("recv");
        c->in_len += (size_t)n;
    }
    memcpy(c->body, c->in + c->in_at + sizeof(h), h.len);
    c->body[h.len] = 0;
    c->body_len = h.len;
    c->in_at += sizeof(h) + h.len;
    c->failed = h.type == XS_ERROR;
    return h.type;
}

bool talk(struct client *c, uint32_t type, const char *data, size_t len)
{
    queue(c, type, data, len);
    flush(c);
    while (receive(c) == XS_WATCH_EVENT)
        ;
    return !c->failed;
}

void must(struct client *c, uint32_t type, const char *data, size_t len)
{
    if (!talk(c, type, data, len)) {
        fprintf(stderr, "request %u %s: %s\n", type, data, c->body);
        exit(1);
    }
}
