/* SPDX-License-Identifier: MIT */
/*
 * How the low libraries reach whoever runs the domains: Krypton's core by its socket, or a Xen
 * hypervisor by the kernel's /dev/xen devices. Each library has one table of operations per
 * transport and picks one when a handle is opened; what both need of the core's side is here.
 *
 * A connection belongs to one library handle and is locked for the length of one request, so
 * handles may be used from several threads. After fork() the child may only close it.
 *
 * Never: logs (the libraries do, where their interface says so), retries a request, or trusts the
 * peer's numbers - a malformed reply fails with EPROTO.
 */
#ifndef KR_TRANSPORT_H
#define KR_TRANSPORT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor/core/wire.h"

enum kt_kind { KT_CORE, KT_DEV };

/*
 * Which transport new handles use: $KRYPTON_TRANSPORT ("core" or "dev"), else the core if its
 * socket exists, else /dev/xen if that exists, else the core, whose absence is the clearer error.
 */
enum kt_kind kt_choose(void);

struct kt_conn {
    int fd;               /* -1 when not connected */
    uint32_t seq;
    uint32_t domid;       /* who we are to the core: 0 */
    pthread_mutex_t lock;
};

/* Connects and greets. cloexec: whether the socket closes on exec. 0, or -1 with errno. */
int kt_connect(struct kt_conn *c, bool cloexec);
/* Takes over a socket that has been greeted already (after exec). Never fails. */
void kt_adopt(struct kt_conn *c, int fd);
void kt_disconnect(struct kt_conn *c);

/* A reply and the descriptors that came with it. Free with kt_reply_free(). */
struct kt_reply {
    uint64_t buf[KW_MAX_MSG / 8];   /* 64-bit words: replies have 64-bit fields */
    size_t len;
    int fd[KW_MAX_FDS];
    unsigned nr_fds;
};

/*
 * Sends req (len bytes, starting with a struct kw_req whose seq is filled in here) and receives
 * the reply, of at least min bytes unless its status is an error. Returns 0, or -1 with errno: the
 * reply's status, or what the socket said; r then holds no descriptors.
 */
int kt_request(struct kt_conn *c, void *req, size_t len, struct kt_reply *r, size_t min);

/* The same for replies without descriptors that have a fixed size. */
int kt_simple(struct kt_conn *c, void *req, size_t len, void *reply, size_t reply_len);

/* Takes descriptor i out of the reply: the caller owns it. -1 with errno EPROTO if there is none. */
int kt_take_fd(struct kt_reply *r, unsigned i);
void kt_reply_free(struct kt_reply *r);

/* From now on this connection can name domid only. 0, or -1 with errno. */
int kt_restrict(struct kt_conn *c, uint32_t domid);

/*
 * Maps the runs of a reply at addr, which must be a reservation of pages pages. err (or NULL)
 * receives 0 or -errno per page; without it the first failed page makes the whole fail. The
 * array's first run stands at runs; nr_runs and its reach are checked against the reply's length.
 */
int kt_map_runs(struct kt_reply *r, const struct kw_run *runs, uint32_t nr_runs, void *addr,
                size_t pages, int prot, int *err);

/* A range of addresses with nothing in it yet; flags: MAP_FIXED and the like. NULL with errno. */
void *kt_reserve(void *hint, size_t pages, int flags);

#define KT_PAGE_SHIFT 12
#define KT_PAGE_SIZE  ((size_t)1 << KT_PAGE_SHIFT)

/*
 * The memory that hypercall arguments lie in: shared with the core, handed out in whole pages,
 * zeroed. Thread-safe.
 */
struct kt_arena {
    unsigned char *base;
    size_t pages;
    uint64_t *used;        /* a bit per page */
    uint32_t *run;         /* at a run's first page: its length */
    pthread_mutex_t lock;
};

/* Asks the core for an arena over c and maps it. 0, or -1 with errno. */
int kt_arena_open(struct kt_arena *a, struct kt_conn *c);
void kt_arena_close(struct kt_arena *a);
/* NULL with errno ENOMEM if there is no room (or EINVAL: nothing was asked for). */
void *kt_arena_alloc(struct kt_arena *a, size_t pages);
/* p: what kt_arena_alloc returned, or NULL. Anything else is ignored. Keeps errno. */
void kt_arena_free(struct kt_arena *a, void *p);

/* Issues a hypercall. *ret: its own result (negative Xen errno). 0, or -1 if it did not get there. */
int kt_hypercall(struct kt_conn *c, uint64_t op, const uint64_t arg[5], int64_t *ret);

/* Turns a hypercall's result into the libraries' convention: -1 with errno, or the value. */
long kt_result(int64_t ret);

#endif
