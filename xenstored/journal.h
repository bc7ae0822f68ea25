/* SPDX-License-Identifier: MIT */
/*
 * What survives the daemon: a file, mapped shared, that holds a dump of the store (state.h) and after
 * it a record of every change since. The kernel keeps what was written to the mapping when the
 * process is killed, at whatever moment, so a new one finds the tree, the domains with their quotas
 * and features, and the guests' rings with their watches, unhandled input and unsent output.
 *
 * A change counts once the number of committed bytes in the file's header includes it. That number
 * is set after each request, with all that the request did: nodes, watches, the reply and the events.
 * For a guest's ring each step is recorded before the guest can see it: what was taken out of the
 * ring before its consumer index moves, what is put into it before its producer index moves. So a
 * guest's request is done exactly once, and answered exactly once. Socket clients connect anew.
 *
 * Transactions do not survive: a guest's is known by its number, and ends with EAGAIN.
 *
 * The cost is a copy of each change into memory that is new to the cache: some 0.3 us beside the 0.9 us
 * that a write takes when 64 are outstanding, nothing that could be measured when one is. Other designs
 * cost more or keep less: a write() per request is a system call; a tree in shared memory would have
 * every pointer and every half-done edit be something to recover from; systemd's descriptor store
 * would keep sockets but no state. When the changes outgrow the dump a new dump is written, into a new
 * file that takes the old one's name. A file on a full disk ends the journal, not the daemon.
 */
#ifndef XENSTORED_JOURNAL_H
#define XENSTORED_JOURNAL_H

#include "xenstored/state.h"

struct journal;

/*
 * Begins a journal of the store as it is, in the directory's file "state". identity tells this
 * host's life from others': a file of another is not loaded. 0 or errno; then there is none.
 */
int journal_open(struct store *s, const char *dir, const char *identity);
/* The file stays, for the next to load. */
void journal_close(struct store *s);
/*
 * Loads the file that the last daemon left into a store as store_init() left it. ENOENT: there is
 * none for this identity. Other errors: it is damaged, and the store is to be freed.
 */
int journal_recover(struct store *s, const char *dir, const char *identity);
/* Takes the file away: the store goes to a program that does not know of it. keep: it has stayed. */
void journal_abandon(struct store *s, bool keep);
/* Writes a new dump if one is due. */
void journal_settle(struct store *s);

/* ---- Changes. All do nothing without a journal. ---- */

void journal_node_(struct store *s, const char *path, const struct node *n);
void journal_removed_(struct store *s, const char *path);
void journal_special_(struct store *s, int which);
void journal_domain_(struct store *s, const struct domain *d);
void journal_domain_gone_(struct store *s, uint16_t domid);
void journal_quota_(struct store *s);
void journal_log_(struct store *s);
void journal_watch_(struct watch *w, bool removed);
void journal_tx_(struct conn *c, uint32_t id, bool ended);
/* Its buffers, and its ring's indices. reset: watches and transactions are gone. */
void journal_conn_(struct conn *c, bool reset);
void journal_conn_gone_(struct conn *c);
void journal_ring_(struct conn *c, uint32_t type, uint32_t n, const struct iovec *iov, int count);
void journal_sent_(struct conn *c, uint32_t prod, uint32_t sent);
void journal_commit_(struct store *s);

#define JOURNAL(store, call) \
    do {                     \
        if ((store)->journal) \
            call;            \
    } while (0)
/* For connections: only those count that outlive us. */
#define JOURNAL_CONN(conn, call)                               \
    do {                                                       \
        if ((conn)->s->journal && (conn)->ops->persistent)      \
            call;                                              \
    } while (0)

#endif
