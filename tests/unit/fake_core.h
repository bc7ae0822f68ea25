/* SPDX-License-Identifier: MIT */
/*
 * A core for unit tests: a thread that speaks hypervisor/core/wire.h on a socket in a directory of
 * its own. It checks requests as strictly as the real core, but there is no domain behind it: one
 * memfd plays the memory of every domain, hypercalls go to a callback, and the remote ends of event
 * channels are in the test's hands.
 *
 * Calls are made from the test's thread while no request is under way, or from the callback.
 */
#ifndef KR_TESTS_FAKE_CORE_H
#define KR_TESTS_FAKE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_RAM_PAGES   10000   /* frames 0 to this; others fail with ENOENT */
#define FAKE_BAD_GREF    1000    /* this grant and those after it do not exist (ENOENT) */
#define FAKE_RO_GREF     500     /* from here on grants are read-only (EACCES) */
#define FAKE_RESOURCE_FRAMES 3   /* of every resource */

struct fake_core;
struct fake_conn;

/* How the next reply is spoilt. */
enum fake_fault {
    FAKE_OK,
    FAKE_BAD_SEQ,          /* an answer to something else */
    FAKE_SHORT,            /* cut after the status */
    FAKE_TINY,             /* cut within the head */
    FAKE_HANGUP,           /* the connection closes instead */
    FAKE_NO_FDS,           /* descriptors are missing */
    FAKE_BAD_RUNS,         /* runs claim more pages than were asked for */
    FAKE_MANY_RUNS,        /* nr_runs is beyond the packet */
    FAKE_RUN_FD,           /* a run names a descriptor that did not come */
    FAKE_STATUS,           /* a status that is no errno */
    FAKE_EBUSY,            /* an honest error */
};

/* Returns what the hypercall returns (negative errno). */
typedef int64_t (*fake_hypercall_fn)(void *arg, struct fake_conn *c, uint64_t op,
                                     const uint64_t a[5]);

/* Starts it, in a new directory, and points KRYPTON_RUNDIR and KRYPTON_TRANSPORT at it. */
struct fake_core *fake_core_start(void);
/* Stops it and removes the directory. Connections are closed. */
void fake_core_stop(struct fake_core *fc);

void fake_core_on_hypercall(struct fake_core *fc, fake_hypercall_fn fn, void *arg);
/* The bytes behind a hypercall argument, or NULL if they are not within the arena. */
void *fake_conn_ptr(struct fake_conn *c, uint64_t va, size_t size);

/* The memory that all foreign frames, grants (grant n is frame n) and resources show. */
unsigned char *fake_core_ram(struct fake_core *fc);

/* More frames than that in one request are E2BIG, as when they lie in too many descriptors; 0: none. */
void fake_core_max_foreign(struct fake_core *fc, unsigned nr);

/* Spoils the next reply to that request (KW_*), or to any with op 0. */
void fake_core_fault(struct fake_core *fc, uint32_t op, enum fake_fault fault);

/* The far end of port: sends n events to it; takes what was sent from it. */
void fake_core_send(struct fake_core *fc, uint32_t port, uint64_t n);
uint64_t fake_core_take(struct fake_core *fc, uint32_t port);
bool fake_core_bound(struct fake_core *fc, uint32_t port);

/* What the last request of that kind carried: the domain, and for restrict the same. */
uint32_t fake_core_last_domid(const struct fake_core *fc);
/* How many requests of that kind there have been. */
unsigned fake_core_count(const struct fake_core *fc, uint32_t op);
/* Grant maps and shares that are in force. */
unsigned fake_core_grants_held(const struct fake_core *fc);
/* The last KW_GNT_NOTIFY: its fields. */
void fake_core_last_notify(const struct fake_core *fc, uint32_t *action, uint32_t *port,
                           uint64_t *offset);
unsigned fake_core_connections(const struct fake_core *fc);

#endif
