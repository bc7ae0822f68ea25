/* SPDX-License-Identifier: MIT */
/*
 * The store's state as a stream of records: Xen's migration stream (docs/designs/xenstore-migration,
 * version 1 and 2), with records of our own that other daemons pass over. It serves twice:
 *
 *   live update   a dump of everything, sockets included, that the new program reads after exec()
 *   the journal   a dump without sockets, followed by a record for each change since (journal.h)
 *
 * All numbers are of the host's byte order, as the header says; records are padded to 8 bytes.
 */
#ifndef XENSTORED_STATE_H
#define XENSTORED_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xenstored/store.h"

/* ---- Layouts ---- */

#define STATE_IDENT "xenstore"

struct state_header {
    char ident[8];
    uint32_t version;   /* big-endian */
    uint32_t flags;     /* big-endian; bit 0: the records are big-endian */
};

struct state_record {
    uint32_t type, len; /* len with padding, as Xen's reader goes by it alone */
};

enum state_type {
    STATE_END = 0,
    STATE_GLOBAL = 1,
    STATE_CONN = 2,
    STATE_WATCH = 3,
    STATE_TX = 4,
    STATE_NODE = 5,
    STATE_GLOBAL_QUOTA = 6,
    STATE_DOMAIN = 7,
    STATE_WATCH_DEPTH = 8,  /* version 2 */

    /* Ours. Those of a dump: */
    STATE_KR_GLOBAL = 0x4b720000,   /* struct state_kr_global, int32_t fd[] */
    STATE_KR_DOMAIN,                /* struct state_kr_domain */
    STATE_KR_RING,                  /* struct state_kr_ring: about the STATE_CONN before it */
    STATE_KR_TX,                    /* struct state_kr_tx: about the STATE_TX before it */
    STATE_KR_TX_NODE,               /* struct state_kr_tx_node, struct state_node */
    /* Changes: */
    STATE_KR_REMOVED,               /* a path with its NUL */
    STATE_KR_DOMAIN_GONE,           /* uint32_t domid */
    STATE_KR_CONN_GONE,             /* struct state_kr_conn */
    STATE_KR_CONN_RESET,            /* the same: watches, transactions, buffers are dropped */
    STATE_KR_UNWATCH,               /* struct state_watch */
    STATE_KR_TX_END,                /* struct state_tx */
    STATE_KR_RING_IN,               /* struct state_kr_conn (n: the ring's consumer), bytes */
    STATE_KR_RING_USED,             /* struct state_kr_conn: n bytes of input were a request */
    STATE_KR_RING_MSG,              /* struct state_kr_conn, bytes to be sent */
    STATE_KR_RING_OUT,              /* struct state_kr_conn (n: the ring's producer; len: sent, none follow) */
    /* Both; its number comes after those that older daemons of ours know. */
    STATE_KR_LOG,                   /* the log file's path with its NUL */
    STATE_KR_SETTINGS,              /* as STATE_DOMAIN, of a domain that has no connection */
};

struct state_global {
    int32_t socket_fd, evtchn_fd;
};

enum { STATE_CONN_RING = 0, STATE_CONN_SOCKET = 1 };
#define STATE_NO_TARGET 0x7ff4 /* xen.h DOMID_INVALID */

struct state_conn {
    uint32_t conn_id;
    uint16_t type, pad;
    union {
        struct {
            uint16_t domid, target;
            uint32_t evtchn;
        } ring;
        int32_t socket_fd;
    } u;
    uint16_t in_len;    /* read and not yet handled */
    uint16_t resp_len;  /* of out: what is left of a message that has been sent in part */
    uint32_t out_len;
    /* in, out */
};

struct state_watch {
    uint32_t conn_id;
    uint16_t path_len, token_len; /* with NULs */
    /* path, token */
};

struct state_watch_depth {
    uint32_t conn_id;
    uint16_t path_len, token_len, depth;
    /* path, token */
} __attribute__((packed));

struct state_tx {
    uint32_t conn_id, tx_id;
};

struct state_perm {
    uint8_t access, flags;
    uint16_t domid;
};
#define STATE_PERM_IGNORE 1

struct state_node {
    uint32_t conn_id, tx_id;
    uint16_t path_len, value_len, access, perm_count;
    /* perms, path, value */
};

struct state_quota {        /* of all, and of a domain */
    uint16_t a, b;          /* all: counts of quotas per domain and of others; else domid, count */
    /* a domain's: uint32_t features. Then the values, then the names. */
};

struct state_kr_global {
    uint64_t generation;
    uint32_t trace, trace_switches, event_timeout_ms, nr_fds;
};

struct state_kr_domain {
    uint16_t domid, target;
    uint32_t flags;         /* STATE_DOM_* */
    uint8_t handle[16];
};
#define STATE_DOM_SHUTDOWN 1u
#define STATE_DOM_TARGET   2u

struct state_kr_ring {
    uint32_t conn_id, remote_port;
    uint64_t gfn;
    uint32_t req_cons, rsp_prod, flags, pad;
};
#define STATE_RING_BROKEN  1u
#define STATE_RING_INDICES 2u /* req_cons and rsp_prod are valid */

struct state_kr_tx {
    uint32_t conn_id, tx_id, doomed, pad;
};

struct state_kr_tx_node {
    uint32_t access;        /* enum tx_access */
    uint32_t present;
};

struct state_kr_conn {
    uint32_t conn_id, n;
    uint32_t len, pad;      /* bytes that follow */
};

/* ---- Writing ---- */

/* A file, mapped and grown as records are added to it. */
struct sink {
    int fd;
    uint8_t *base;
    size_t used, room;
    int failed;             /* errno: no space or memory; what follows is left out */
};

/* Takes over fd. 0 or errno. */
int sink_open(struct sink *k, int fd);
void sink_close(struct sink *k);
/* Room for len bytes as they are; NULL if the sink has failed. */
void *sink_put(struct sink *k, size_t len);
/* A record's body, zeroed; NULL if the sink has failed. */
void *sink_record(struct sink *k, uint32_t type, size_t len);

/* What a live update hands over beside the store. */
struct state_fds {
    const int *listen;
    unsigned nr_listen;
    int evtchn;
    int dom0_port;          /* for a program that has a ring with domain 0's kernel; 0: without */
};

/* The header. version 0: the lowest that can say all of it. */
void state_write_header(struct store *s, struct sink *k, unsigned version);
/* Everything. fds NULL: without sockets, and transactions only by name. No end record. */
void state_write(struct store *s, struct sink *k, const struct state_fds *fds, unsigned version);
void state_write_end(struct sink *k);

/* Single records, for the journal. */
void state_write_node(struct store *s, struct sink *k, const char *path, const struct node *n);
void state_write_special(struct store *s, struct sink *k, int which);
/* Which domain it is, and what is set for it. */
void state_write_domain(struct sink *k, const struct domain *d);
void state_write_global_quota(const struct store *s, struct sink *k);
/* What is logged, and where. */
void state_write_log(const struct store *s, struct sink *k);
void state_write_conn(struct sink *k, struct conn *c);
void state_write_watch(struct sink *k, const struct watch *w, bool removed, unsigned version);

/* ---- Reading ---- */

/* What a stream tells beside the store's contents. */
struct state_found {
    int listen[16];
    unsigned nr_listen;
    int evtchn;             /* -1: none; rings are bound by their remote ports then */
};

/* Only what is wanted before the hypervisor is opened. 0 or errno. */
int state_peek(const void *data, size_t len, struct state_found *out);
/*
 * Fills a store that is as store_init() left it. Rings are mapped and bound at the end; a domain
 * that has died meanwhile is found by domain_check_all(), which is the caller's to call. s->adopt
 * makes connections of sockets. 0 or errno; then the store is in a state that store_free() knows.
 */
int state_load(struct store *s, const void *data, size_t len);

#endif
