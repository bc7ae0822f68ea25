/* SPDX-License-Identifier: MIT */
/* What the parts of `store_client` have in common. All of it ends the program when something fails. */
#ifndef BENCH_STORE_CLIENT_H
#define BENCH_STORE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

/* ---- A client (store_wire.c) ---- */

#define OUT_MAX 65536

struct client {
    int fd;
    uint32_t tx;
    char out[OUT_MAX];
    size_t out_len;
    char in[OUT_MAX];
    size_t in_at, in_len;
    uint32_t next_id;
    bool failed;            /* the last reply was an error */
    char body[XENSTORE_PAYLOAD_MAX + 1];
    uint32_t body_len;
};

/* Whom client_new() talks to. */
extern const char *socket_path;

_Noreturn void die(const char *what);
/* Seconds of a monotonic clock. */
double now(void);

struct client *client_new(void);
void client_free(struct client *c);
/* Puts a request into c->out, */
void queue(struct client *c, uint32_t type, const char *data, size_t len);
/* and sends all that is there. */
void flush(struct client *c);
/* The next message's type; its body is in c->body. */
uint32_t receive(struct client *c);
/* One request and its reply; events that come before it are dropped. False if it is an error. */
bool talk(struct client *c, uint32_t type, const char *data, size_t len);
void must(struct client *c, uint32_t type, const char *data, size_t len);

/* ---- Figures (store_figure.c) ---- */

/* How long a slice of a measurement takes. */
#define SECONDS 0.04

/* One daemon's socket, or those of the two that are compared; BENCH_PIDS has their processes, "PID,PID". */
extern const char *socket_paths[2];
extern unsigned nr_sockets;

struct args {
    const void *load;
    unsigned a, b;
};

/* Prints what fn finds: the median of some slices, of each daemon. */
void figure(const char *name, const char *unit, double (*fn)(const struct args *a), struct args a);
/*
 * What each of `clients` processes gets from fn: one that served four connections in turn would be what limits them.
 * The sum; and the least, if asked for.
 */
double by_many(unsigned clients, double (*fn)(const struct args *a), const struct args *a, double *least);
/* Whether daemon_cpu() can tell: seconds of processor time of the daemon that is being measured. */
bool knows_daemon(void);
double daemon_cpu(void);

#endif
