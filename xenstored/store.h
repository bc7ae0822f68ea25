/* SPDX-License-Identifier: MIT */
/*
 * The daemon's one context, and the objects that hang from it.
 *
 *   store ── tree            the nodes (tree.h)
 *         ── domain          one per domid met: its quotas' counters, its ring if introduced
 *         ── conn            one per socket client and per introduced domain
 *              ── watch      registered by the connection, indexed in the store by path
 *              ── tx         open transactions
 *              ── outmsg     replies and events not yet taken by the peer
 *
 * Everything runs in one thread. Functions return 0 or a positive errno unless they say otherwise;
 * that errno goes to the client by name. Nothing here knows about sockets, rings or the event loop:
 * a connection has a table of functions for its transport, and the loop calls conn_wake() when
 * there may be something to read or room to write, and then store_settle().
 */
#ifndef XENSTORED_STORE_H
#define XENSTORED_STORE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <xen/io/xs_wire.h>

#include "common/host.h"
#include "xenstored/path.h"
#include "xenstored/perms.h"
#include "xenstored/quota.h"
#include "xenstored/tree.h"

struct store;
struct conn;
struct domain;
struct request;

/* ---- Domains (domain.c) ---- */

LIST_HEAD(domain_list, domain);
#define DOMID_COUNT (UINT16_MAX + 1)

struct domain {
    LIST_ENTRY(domain) link;
    uint16_t domid;
    bool shutdown;              /* @releaseDomain has been fired for its stop */
    bool seen;                  /* by domain_check_all() */
    bool memory_warned, soft_warned;
    bool has_target;
    uint16_t target;
    uint32_t features;          /* XENSTORE_SERVER_FEATURE_* that it is offered */
    uint32_t quota_own;         /* bit per quota that is set for it alone, in quota[] */
    unsigned quota[QUOTA_COUNT];
    int64_t credit;             /* write rate (wrl.c) */
    uint64_t credit_ms;
    uint64_t birth;             /* store generation when it was first met */
    uint8_t handle[16];
    unsigned used[QUOTA_COUNT]; /* of the quotas that count objects; nodes are in store.books */
    int64_t memory;             /* beyond its nodes: watches, transactions, unread messages */
    struct conn *conn;          /* its ring, once introduced */
    unsigned nr_conns;          /* that point here, dead ones among them */
    bool gone;                  /* out of the books; freed with its connection */
};

struct domain *domain_find(const struct store *s, uint16_t domid);
/* Also makes one for a domain that the host knows; NULL if there is none. */
struct domain *domain_meet(struct store *s, uint16_t domid);
int domain_introduce(struct store *s, uint16_t domid, uint64_t gfn, uint32_t port);
int domain_release(struct store *s, uint16_t domid);
/* Some domain has died or shut down: finds out which. */
void domain_check_all(struct store *s);
/* e, of a list made at generation gen, was for a domain that has died since. */
bool domain_entry_expired(const struct store *s, const struct perm *e, uint64_t gen);
/* As the state of another daemon has it, without asking the host. NULL for want of memory. */
struct domain *domain_load(struct store *s, uint16_t domid, const uint8_t *handle);
/* It has died there; it has no connection. */
void domain_unload(struct store *s, struct domain *d);
/* At the end of a state: targets that are not there are nobody's. */
void domain_check_targets(struct store *s);
/*
 * A list made now that is as p, without the entries whose domain has died since p was made, though
 * another may have its number. NULL for want of memory.
 */
struct perms *domain_perms_copy(struct store *s, const struct perms *p);
void domain_free_all(struct store *s);
struct viewer domain_viewer(const struct store *s, const struct domain *d);

/* ---- Guests' rings (ring.c) ---- */

/* Maps the ring page, binds the port and makes d's connection. */
int ring_connect(struct store *s, struct domain *d, uint64_t gfn, uint32_t remote_port);
/* The same domain has a new port, or the same again; the page stays. */
int ring_rebind(struct conn *c, uint32_t remote_port);
/* A port is pending. */
void ring_event(struct store *s, uint32_t port);
/* For the state (state.h): what is there, */
struct state_kr_ring;
void ring_save(struct conn *c, struct state_kr_ring *out);
/* and d's connection again: neither mapped nor bound before ring_load_done(). NULL: no memory. */
struct conn *ring_load(struct store *s, struct domain *d, uint32_t local_port);
void ring_load_state(struct conn *c, const struct state_kr_ring *in);
void ring_load_consumed(struct conn *c, uint32_t req_cons);
void ring_load_produced(struct conn *c, uint32_t rsp_prod);
void ring_load_done(struct conn *c);

static inline bool domain_privileged(const struct domain *d)
{
    return d->domid == 0;
}

/* ---- Accounting (account.c) ---- */

/* The limit for d; 0 is none. */
unsigned quota_limit(const struct store *s, const struct domain *d, enum quota_id q);
/* d NULL: the one for all that have none of their own. */
void quota_set(struct store *s, struct domain *d, enum quota_id q, unsigned value);
/* What d uses of q now; 0 for quotas that limit single things. */
int64_t quota_used(const struct store *s, const struct domain *d, enum quota_id q);
/* Counts n more of q for d, or returns the quota's errno. */
int quota_take(struct store *s, struct domain *d, enum quota_id q, unsigned n);
void quota_give(struct domain *d, enum quota_id q, unsigned n);
/* Would value be within q? */
int quota_check(const struct store *s, const struct domain *d, enum quota_id q, uint64_t value);
/* Nodes (count, bytes) that d is about to add, on top of its own and of a transaction's. */
int quota_check_nodes(struct store *s, struct domain *d, const struct tally *tx, unsigned nodes,
                      size_t bytes);
/* Memory beyond nodes. */
int memory_take(struct store *s, struct domain *d, size_t bytes);
void memory_give(struct domain *d, size_t bytes);

/*
 * A guest's request stays outstanding until its reply and every event it caused have been delivered
 * or dropped. References to this are held by the request while it runs and by those messages.
 */
struct cause {
    uint32_t refs;
    uint16_t domid;
    uint64_t birth;
};

/* NULL for requests that are not counted, and for want of memory. */
struct cause *cause_new(struct store *s, struct domain *d);
void cause_unref(struct store *s, struct cause *c);

/* ---- Write rate (wrl.c) ---- */

/*
 * A guest that writes while others have transactions open makes those fail and begin again
 * (XSA-206). So each such write costs it credit, which it earns by time; without credit its next
 * requests wait. With nobody to harm there is no limit.
 */
void wrl_init(struct store *s);
void wrl_new_domain(struct domain *d);
/* d has written so often; own: a transaction of its own that has just been counted among the open ones. */
void wrl_wrote(struct store *s, struct domain *d, size_t times, bool own);
bool wrl_blocked(struct store *s, struct domain *d);

/* ---- Connections (conn.c) ---- */

struct state_conn;

struct conn_ops {
    const char *kind;
    bool drained_by_short_read; /* a read() that gives less than was asked for says that there is no more */
    bool persistent;    /* is in the journal: goes on when we have been killed */
    /* Before it is served; may be NULL. */
    void (*begin)(struct conn *c);
    /* Bytes read; 0 for none now; -1 when the peer is gone or wrong. */
    ssize_t (*read)(struct conn *c, void *buf, size_t len);
    ssize_t (*writev)(struct conn *c, const struct iovec *iov, int count);
    /* Which of its events the connection waits for. */
    void (*interest)(struct conn *c, bool read, bool write);
    /* The peer broke the protocol (an XENSTORE_ERROR_*). */
    void (*fail)(struct conn *c, uint32_t error);
    void (*close)(struct conn *c);
    /* Its type and what is special to it, for the state. */
    void (*save)(struct conn *c, struct state_conn *out);
};

struct outmsg {
    TAILQ_ENTRY(outmsg) link;
    LIST_ENTRY(outmsg) same;    /* events for a guest, by hash */
    uint32_t hash;              /* of those, not 0 */
    struct cause *cause;
    uint64_t deadline_ms;   /* an event for a guest is dropped then; 0: never */
    bool tail;              /* only the end of one, whose beginning an earlier daemon has sent */
    uint32_t len, sent;     /* with header */
    char data[];            /* struct xsd_sockmsg, payload */
};

TAILQ_HEAD(outmsg_queue, outmsg);
LIST_HEAD(outmsg_list, outmsg);
#define EVENT_BUCKETS 64 /* at first */
LIST_HEAD(watch_list, watch);
TAILQ_HEAD(tx_queue, tx);

struct conn {
    TAILQ_ENTRY(conn) link, ready_link;
    struct store *s;
    struct domain *dom;         /* domain 0's for sockets */
    const struct conn_ops *ops;
    void *transport;
    unsigned id;                /* for the log */
    bool ready, dead;
    bool muted;                 /* reading is paused until the peer takes its replies */
    bool rate_limited;          /* ... or until its domain may write again */
    bool waits_turn;            /* ... or until another client has had its turn */
    uint8_t losses;             /* transactions that failed in a row, as far as is of interest */
    struct outmsg_queue out;
    size_t out_bytes;
    /* What a guest has not been told yet. */
    struct outmsg_list *events, few_events[EVENT_BUCKETS];
    uint32_t nr_events, nr_event_buckets;
    struct watch_list watches;
    struct tx_queue txs;
    uint32_t next_tx;
    unsigned work;              /* nodes that its request has gone through, if they are many */
    size_t in_at, in_have;      /* what is in `in` and has not been handled */
    char in[2 * (sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX)];
};

TAILQ_HEAD(conn_queue, conn);

/* NULL for want of memory. */
struct conn *conn_new(struct store *s, struct domain *dom, const struct conn_ops *ops,
                      void *transport);
/* Forgets watches, transactions, unread input and output: as a new connection. */
void conn_reset(struct conn *c);
/* Lets go of the transport at once; to be followed by conn_kill(). */
void conn_close(struct conn *c);
/* The connection is freed at the next store_settle(). */
void conn_kill(struct conn *c);
/* Will be looked at by the next store_settle(). */
void conn_wake(struct conn *c);
int conn_reply(struct request *rq, const void *data, size_t len);
void conn_error(struct request *rq, int err);
/* Takes back what was queued last and has not been sent. */
void conn_unqueue_last(struct conn *c);
void conn_event(struct conn *c, const char *path, const char *token, struct cause *cause);

/* From a state: buffers. 0 or errno. */
void conn_drop_buffers(struct conn *c);
int conn_load_input(struct conn *c, const void *data, size_t len);
int conn_load_used(struct conn *c, size_t len);
/* Whole messages, but for the first `partial` bytes, which end one. */
int conn_load_output(struct conn *c, const void *data, size_t len, size_t partial);
int conn_load_sent(struct conn *c, size_t len);
/* It ended there. */
void conn_unload(struct conn *c);

/* ---- Watches (watch.c) ---- */

/* Of watches that hear of everything below. */
#define DEPTH_ANY UINT16_MAX

struct watch {
    LIST_ENTRY(watch) conn_link, bucket_link;
    struct conn *conn;
    uint64_t hash;
    uint16_t depth;     /* levels below the path that it hears of */
    uint16_t skip;      /* events' paths are shown without this many leading bytes */
    const char *token;  /* behind the path */
    char path[];
};

struct watch_index {
    struct watch_list *bucket;
    size_t mask, count;
};

/* Adds a watch on the absolute or special path, and sends its first event after the reply. */
int watch_add(struct conn *c, const char *path, size_t skip, const char *token, uint16_t depth,
              struct watch **out);
/* The same, of a state: without a limit or an event. */
int watch_load(struct conn *c, const char *path, size_t skip, const char *token, uint16_t depth);
int watch_remove(struct conn *c, const char *path, const char *token);
void watch_remove_all(struct conn *c);
void watch_send(struct watch *w, const char *path, struct cause *cause);

/* What a change looked like, for deciding who may hear of it. parent may be NULL. */
struct change {
    const char *path;
    const struct perms *perms, *old_perms, *parent;
    bool exact; /* tell only those who watch this very path */
    bool by_depth; /* of those above, only ones that asked for a depth: a special's "/domid" */
    struct cause *cause;
};

void watch_fire(struct store *s, const struct change *ch);
/* n at path changed in the current tree; old_perms NULL if they are the same. */
void watch_fire_node(struct store *s, const char *path, const struct node *n,
                     const struct perms *old_perms, struct cause *cause);
/* The node at path and all below it are no more; they were in old. */
void watch_fire_removed(struct store *s, const struct tree *old, const char *path,
                        struct cause *cause);

/* ---- Transactions (transaction.c) ---- */

/* What a transaction did at a path. */
enum tx_access {
    TX_READ_NODE = 1,    /* value, permissions, existence */
    TX_READ_LIST = 2,    /* names of children */
    TX_READ_PERMS = 4,   /* permissions, existence */
    TX_READ = TX_READ_NODE | TX_READ_LIST | TX_READ_PERMS,
    TX_CREATED = 8,
    TX_WROTE_VALUE = 16,
    TX_WROTE_PERMS = 32,
    TX_REMOVED = 64,
    TX_WROTE = TX_CREATED | TX_WROTE_VALUE | TX_WROTE_PERMS | TX_REMOVED,
};

struct tx_record {
    TAILQ_ENTRY(tx_record) link;    /* in order of first access */
    SLIST_ENTRY(tx_record) bucket;
    uint64_t hash;
    unsigned access;
    char path[];
};

TAILQ_HEAD(tx_records, tx_record);
SLIST_HEAD(tx_bucket, tx_record);
#define TX_BUCKETS 64 /* at first */

struct tx {
    TAILQ_ENTRY(tx) link;
    uint32_t id;
    struct tree base;       /* the store as it was at the start */
    struct tree work;       /* and as the transaction sees it */
    struct tally tally;     /* difference between the two */
    bool doomed;            /* ends with EAGAIN, whatever it read */
    bool ending;            /* it is being committed */
    bool loaded;            /* its trees are those of a state that is being read */
    struct tx_records records;
    struct tx_bucket *bucket, few[TX_BUCKETS];
    unsigned count, nr_buckets;
    size_t charged;         /* memory taken from the domain for this */
};

int tx_start(struct conn *c, struct tx **out);
struct tx *tx_find(const struct conn *c, uint32_t id);
/* Records an access. ENOSPC: the quota of nodes per transaction. With access 0 it makes room for another call. */
int tx_note(struct conn *c, struct tx *tx, const char *path, unsigned access);
/* Takes back such room: what was recorded after the first `count`. */
void tx_unnote(struct conn *c, struct tx *tx, unsigned count);
/* Ends it either way. EAGAIN: something it read has changed. */
int tx_commit(struct conn *c, struct tx *tx, struct cause *cause);
void tx_free(struct conn *c, struct tx *tx);
/* What it did at path; NULL: nothing. */
const struct tx_record *tx_record_at(const struct tx *tx, const char *path);
/* Would it be committed now? */
bool tx_is_current(const struct store *s, const struct tx *tx);
/* From a state: a transaction that is doomed, until its base is said to be the tree as it is now. */
int tx_load(struct conn *c, uint32_t id);
void tx_load_base(struct conn *c, struct tx *tx, bool doomed);
int tx_load_record(struct conn *c, struct tx *tx, const char *path, unsigned access);
void tx_load_done(struct conn *c);
/*
 * A transaction keeps the tree as it was when it began, at nobody's expense: what others change since
 * is there twice. When that is much, all transactions are moved to the tree as it is, with what they
 * have written on top; those that would fail at their end will fail all the same.
 */
void tx_rebase_all(struct store *s);

/* ---- Turns (turn.c) ---- */

struct turn {
    struct tx *tx;          /* NULL: nobody has one */
    struct conn *conn;      /* whose it is */
    uint64_t until_ms;
};

/* A transaction of c's has failed because others were quicker. */
void turn_lost(struct conn *c);
/* c has begun one: it gets a turn if it is due. */
void turn_begin(struct conn *c, struct tx *tx);
/* tx is no more. */
void turn_end(struct store *s, const struct tx *tx);
void turn_tick(struct store *s, uint64_t now);
/* Somebody has a turn, and c's change (of kind TX_WROTE_VALUE ...) at path, or its commit, has to wait. */
bool turn_forbids(const struct conn *c, const char *path, unsigned access);
bool turn_forbids_commit(const struct conn *c, const struct tx *tx);

/* ---- Requests (request.c, control.c) ---- */

struct request {
    struct store *s;
    struct conn *c;
    struct viewer viewer;
    struct tx *tx;
    struct tree *tree;      /* the transaction's, or the store's */
    struct cause *cause;
    struct xsd_sockmsg hdr;
    const char *data;       /* hdr.len bytes */
    char path[PATH_ABS_MAX + 1];
};

#define STORE_FEATURES (XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR | \
                        XENSTORE_SERVER_FEATURE_WATCHDEPTH | XENSTORE_SERVER_FEATURE_DOMID_ANY | \
                        XENSTORE_SERVER_FEATURE_KR_CLONE)

void request_handle(struct conn *c, const struct xsd_sockmsg *hdr, const char *data);
/* Another client has a turn (turn.c), which this request would disturb. */
bool request_must_wait(struct conn *c, const struct xsd_sockmsg *hdr, const char *data);
/* Splits the payload into NUL-terminated strings; returns how many, at most max, or -1. */
int request_strings(const struct request *rq, const char **out, int max);
/* Decimal, at most max. 0 or EINVAL. */
int request_number(const char *text, uint64_t max, uint64_t *out);
int request_ok(struct request *rq);
/* Puts the absolute form of a node's path into rq->path. */
int request_node_arg(struct request *rq, const char *arg);
/* The node at rq->path, for one who has all of `need` (PERM_*); a transaction notes the access. */
int request_reach(struct request *rq, unsigned need, unsigned access, const struct node **out);
/* What a new node gets that is made by the model of another's permissions: the same, but owned by the guest
 * that makes it. NULL for want of memory. */
struct perms *request_inherit(struct request *rq, struct perms *from);
/* How many nodes of the path are not there, if the first `found` bytes of it are. */
unsigned request_missing(const char *path, size_t found);
/* A transaction depends on the node under which it makes others, and on those not being there. `reserve`: only
 * sees to it that the same call without it cannot fail. */
int request_note_create(struct request *rq, size_t found, bool reserve);
/* A transaction's versions of nodes are charged to it until it ends. */
int request_charge(struct request *rq, size_t bytes);
int control_handle(struct request *rq);
/* XS_KR_CLONE (clone.c). */
int op_clone(struct request *rq);
/* CONTROL live-update (update.c); the answer goes to say, or waits for the end of the update. */
int update_control(struct request *rq, const char *const *arg, int nargs, const char **answer);
/* Domains and their features and quotas (request_domain.c). */
int op_introduce(struct request *rq);
int op_release(struct request *rq);
int op_resume(struct request *rq);
int op_set_target(struct request *rq);
int op_get_domain_path(struct request *rq);
int op_is_introduced(struct request *rq);
int op_get_feature(struct request *rq);
int op_set_feature(struct request *rq);
int op_get_quota(struct request *rq);
int op_set_quota(struct request *rq);

/* The names of a directory's children, each with its NUL, in the order in which they were made. */
struct listing {
    uint64_t kids_gen;          /* of what it is; 0: of nothing */
    size_t len, room;
    char *names;
    char path[PATH_ABS_MAX + 1];
};

/* ---- The whole ---- */

enum { SPECIAL_INTRODUCE, SPECIAL_RELEASE, SPECIAL_COUNT };
extern const char *const special_name[SPECIAL_COUNT];

struct store {
    struct host host;
    struct tree tree;
    struct tally books;             /* nodes and their bytes by owner */
    uint64_t generation;
    uint64_t last_birth;            /* the generation when a domain was last met */
    struct journal *journal;        /* NULL: nothing survives us */
    unsigned quota[QUOTA_COUNT];
    int64_t peak[QUOTA_COUNT];      /* the most that any guest has used */
    int64_t wrl_reserve;            /* credit that is left over by those who did not need it */
    bool wrl_limiting;
    unsigned nr_txs;
    struct turn turn;
    bool committing;                /* one of them is at its end */
    int64_t pinned;                 /* bytes that transactions' versions of the tree hold, about */
    int64_t last_total;             /* of the tree, when that was last reckoned up */
    unsigned event_timeout_ms;      /* a guest's unread events are dropped after this; 0: never */
    struct perms *special[SPECIAL_COUNT];
    struct domain **by_domid;       /* DOMID_COUNT of them; most are NULL, and never touched */
    struct domain_list domains;
    struct domain *dom0;
    struct conn_queue conns, ready;
    unsigned next_conn_id, nr_conns;
    struct watch_index watches;
    struct conn **by_port;          /* rings' connections by local port */
    uint32_t nr_ports;
    bool settling;
    uint64_t wake_ms;               /* when store_tick() has something to do; 0: never */
    struct listing listing;         /* the last one that was asked for */
    unsigned trace;                 /* TRACE_*: what goes to the log file */
    unsigned trace_switches;        /* and what would if it were on */
    FILE *log;                      /* NULL: standard error */
    char *log_path;                 /* its name if CONTROL has given it: the next daemon logs there too */
    struct update *update;          /* a live update that has been begun, or NULL */
    /* The event loop's: asks for a store_settle() soon; milliseconds of a monotonic clock. */
    void (*kick)(struct store *s);
    uint64_t (*now_ms)(struct store *s);
    /* Makes a connection of a client's socket that the last daemon served. NULL if it cannot be. */
    struct conn *(*adopt)(struct store *s, int fd);
    bool keeps_ports;               /* the event channels of the last daemon are bound here too */
    void *loop;
};

/* What may be traced; the names are CONTROL log's, and Xen's. */
#define TRACE_TABLE(X) \
    X(OBJ, "obj") /* connections, watches, transactions come and go */ \
    X(IO,  "io")  /* requests, replies, events */ \
    X(WRL, "wrl") /* write rates */ \
    X(ACC, "acc") /* quotas */ \
    X(TDB, "tdb") /* nodes change */
#define X(id, name) TRACE_BIT_##id,
enum { TRACE_TABLE(X) TRACE_COUNT };
#undef X
#define X(id, name) TRACE_##id = 1 << TRACE_BIT_##id,
enum { TRACE_TABLE(X) TRACE_ALL = (1 << TRACE_COUNT) - 1 };
#undef X

/* A line for the log file. Callers look at s->trace first. */
void store_log(struct store *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A file that is appended to, as the log. Does not wait for a pipe's reader. NULL with errno. */
FILE *store_append(const char *path);
/* Appends to path from now on; NULL: standard error again. 0 or errno. */
int store_log_open(struct store *s, const char *path);
/* The same for a name that is to outlive this daemon. */
int store_log_name(struct store *s, const char *path);
/* Opens what the state that was loaded names, if it names any, and says so; loading a state opens no file. */
void store_log_reopen(struct store *s);

/* store_tick() is wanted at this time at the latest. */
static inline void store_wake_at(struct store *s, uint64_t ms)
{
    if (!s->wake_ms || ms < s->wake_ms)
        s->wake_ms = ms;
}

/* 0 or errno. The host's table is copied. Makes the nodes that a fresh store has. */
int store_init(struct store *s, const struct host *host);
void store_free(struct store *s);
/* Sends what waits, goes on with connections that were cut short, frees dead ones. */
void store_settle(struct store *s);
/* Drops guests' events that are too old, goes on with guests that had to wait. */
void store_tick(struct store *s);

/* fresh's contents become the store's, diff the difference in the books; *old gets what was. */
void store_publish(struct store *s, const struct tree *fresh, const struct tally *diff, struct tree *old);
/* n at path, in the current tree, is new or another; or what was there is no more. */
void store_changed(struct store *s, const char *path, const struct node *n);
void store_removed(struct store *s, const char *path);

static inline uint64_t store_next_gen(struct store *s)
{
    return ++s->generation;
}

#endif
