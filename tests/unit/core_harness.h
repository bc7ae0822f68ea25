/* SPDX-License-Identifier: MIT */
/*
 * A core in the test's own process: host clients on socketpairs, and domain processes that are the
 * test itself at the other end of the link. Nothing runs unless the test turns the event loop.
 */
#ifndef KR_TESTS_CORE_HARNESS_H
#define KR_TESTS_CORE_HARNESS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "hypervisor/core/client.h"
#include "hypervisor/core/core.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/event_channel.h"
#include "hypervisor/core/hypercall.h"

#include <xen/domctl.h>
#include <xen/memory.h>
#include <xen/sysctl.h>

#define ARENA_VA   0x7f0000000000ull
#define ARENA_SIZE (16u << 20)
#define TEST_DOMS  64
#define TEST_FOREIGN 1024
#define TEST_WAYS  5

/* The test's end of one client. */
struct tc {
    int sock;
    uint8_t *arena;
    int fds[KW_MAX_FDS];
    unsigned nr_fds;
    uint32_t seq;
};

/* The test's end of one domain process. */
struct tp {
    bool used;
    int sock;
    int ram_fd, xen_fd, state_fd;
    uint8_t *xen;
    struct kl_state *state;
    int vcpu[KL_MAX_VCPUS];
    unsigned nr_vcpus;
    bool running, got_policy;
    unsigned stops, runs;
    bool hold_stop;            /* do not answer KL_STOP */
    /* what KL_PORT said last, by port */
    struct { uint32_t kind, vcpu, seq; int recv, send; } port[512];
    unsigned maps, unmaps;
    uint64_t mapped, unmapped;
    /* where other domains' pages are */
    struct tp_foreign { uint64_t gfn, page; uint32_t type; int fd; } foreign[TEST_FOREIGN];
    unsigned nr_foreign;
    struct kl_param param;
    unsigned params;
    /* I/O request servers as last told (NULL: gone), and their ways by vCPU, the last one buffered */
    struct kl_ioreq *ioreq[KL_XEN_MAX_IOREQ_SERVERS];
    struct { uint32_t port; int recv, send; } way[KL_XEN_MAX_IOREQ_SERVERS][TEST_WAYS];
    struct kl_msi msi;
    struct kl_inject inject;
    unsigned msis, injects, syncs;
    bool hold_sync;            /* do not answer KL_SYNC */
    uint32_t map_type;         /* of the last KL_MAP's last run */
};

struct th {
    sd_event *event;
    struct core *core;
    struct tp proc[TEST_DOMS];
    unsigned nr_procs;
    struct tc c;               /* an unrestricted client with an arena */
    uint64_t max_turn_ns;      /* processor time of the longest turn */
    bool ignore;               /* fuzzing: odd but legal messages are not failures */
};

/* cmocka fixtures: *state is a struct th. */
int th_setup(void **state);
int th_teardown(void **state);
struct th *th_new(void);
void th_free(struct th *h);

/* Turns the loop until nothing happens, and lets the fake processes answer. */
void th_turn(struct th *h);

/* Pages, pins and ports of all domains add up. */
void th_check(struct th *h);

void tc_open(struct th *h, struct tc *c);
void tc_close(struct th *h, struct tc *c);
/* One request and its reply; descriptors end up in c->fds. Returns the reply's status. */
int tc_call(struct th *h, struct tc *c, void *req, size_t len, void *reply, size_t reply_len);
/* Sends only. */
void tc_send(struct tc *c, const void *req, size_t len);
/* A hypercall; pointers are addresses in the arena. */
long tc_hypercall(struct th *h, struct tc *c, uint64_t op, uint64_t a0, uint64_t a1, uint64_t a2,
                  uint64_t a3, uint64_t a4);
#define A(off) (ARENA_VA + (off))

long tc_domctl(struct th *h, struct tc *c, struct xen_domctl *op);
long tc_sysctl(struct th *h, struct tc *c, struct xen_sysctl *op);

/* A PVH domain with vCPUs and `pages` of RAM from gfn 0, paused. Returns its domid. */
domid_t th_domain(struct th *h, unsigned vcpus, uint64_t pages);
struct tp *th_proc(struct th *h, domid_t domid);
long th_simple(struct th *h, uint32_t cmd, domid_t domid);

/*
 * A hypercall by a guest's vCPU 0 with paging off: pointers are guest-physical. Waits for KL_RET.
 */
long tg_hypercall(struct th *h, domid_t domid, uint64_t op, uint64_t a0, uint64_t a1, uint64_t a2);
/* The same with all fields in the caller's hands; flags of KL_RET in *flags. */
long tg_raw(struct th *h, domid_t domid, unsigned vcpu, struct kl_hypercall *m, uint32_t *flags);
/* The two halves of it: a call that waits is asked after later. True when its result is there. */
void tg_start(struct th *h, domid_t domid, unsigned vcpu, struct kl_hypercall *m);
bool tg_done(struct th *h, domid_t domid, unsigned vcpu, long *ret, uint32_t *flags);
/* The process answers the KL_STOP that it has not answered (hold_stop). */
void tg_stopped(struct th *h, domid_t domid);
void tg_write(struct th *h, domid_t domid, uint64_t gpa, const void *buf, size_t len);
void tg_read(struct th *h, domid_t domid, uint64_t gpa, void *buf, size_t len);
/* Another domain's page as the guest's process sees it at a frame, or NULL. */
const struct tp_foreign *tg_foreign(struct th *h, domid_t domid, uint64_t gfn);
/* Reads or writes a byte of it. -1: not allowed. */
int tg_foreign_get(struct th *h, domid_t domid, uint64_t gfn, unsigned off);
int tg_foreign_put(struct th *h, domid_t domid, uint64_t gfn, unsigned off, uint8_t byte);
/* A memory op of a client with one extent list in its arena. */
long tc_populate(struct th *h, struct tc *c, domid_t domid, uint64_t gfn, uint64_t nr,
                 unsigned order);
long tc_reservation(struct th *h, struct tc *c, unsigned op, domid_t domid, uint64_t gfn,
                    uint64_t nr, unsigned order, unsigned flags);

#endif
