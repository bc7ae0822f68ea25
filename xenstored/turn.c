/* SPDX-License-Identifier: MIT */
/*
 * Turns: for a client whose transactions fail again and again because others are quicker.
 *
 * A transaction's reads must still hold at its end, so among clients that write the same nodes the one that is slowest
 * may never succeed: of four, the unluckiest was seen to get nothing. So the client that has lost LOSSES times in a row
 * gets a turn with its next transaction: until that ends, what others would write that it has read waits, unread in
 * their connections' buffers, and all else goes on.
 *
 * A turn lasts TURN_MS at most, so that a client that stops half-way delays the others once, not for ever; and only the
 * control domain's clients get one: a guest could use it to hold up who serves other guests. Guests that are in
 * others' way are slowed down by their write rate (wrl.c).
 */
#include <string.h>

#include "xenstored/store.h"

#define LOSSES  3
#define TURN_MS 50

void turn_lost(struct conn *c)
{
    if (c->losses < LOSSES)
        c->losses++;
}

void turn_begin(struct conn *c, struct tx *tx)
{
    struct store *s = c->s;

    if (c->losses < LOSSES || s->turn.tx || !domain_privileged(c->dom) || !s->now_ms)
        return;
    s->turn.tx = tx;
    s->turn.conn = c;
    s->turn.until_ms = s->now_ms(s) + TURN_MS;
    store_wake_at(s, s->turn.until_ms);
}

static void turn_over(struct store *s)
{
    struct conn *c;

    s->turn.tx = NULL;
    TAILQ_FOREACH(c, &s->conns, link)
        if (c->waits_turn) {
            c->waits_turn = false;
            conn_wake(c);
        }
}

void turn_end(struct store *s, const struct tx *tx)
{
    if (s->turn.tx == tx)
        turn_over(s);
}

void turn_tick(struct store *s, uint64_t now)
{
    if (!s->turn.tx)
        return;
    if (now < s->turn.until_ms) {
        store_wake_at(s, s->turn.until_ms);
        return;
    }
    s->turn.conn->losses = 0;   /* it had its chance */
    turn_over(s);
}

/*
 * Whether a change of the kind `access` at path would be one to what tx has read. Sometimes yes where it would not:
 * then somebody waits in vain.
 */
static bool disturbs(const struct store *s, const struct tx *tx, const char *path, unsigned access)
{
    bool there = tree_find(&s->tree, path), removal = access & TX_REMOVED;
    char at[PATH_ABS_MAX + 1];
    size_t len = strlen(path);
    const struct tx_record *r = tx_record_at(tx, path);

    if (r && r->access & (there && access == TX_WROTE_VALUE ? TX_READ_NODE : TX_READ))
        return true;
    if (there && !removal)
        return false;
    /* Its parent's list changes, and what is missing above it is made. */
    memcpy(at, path, len + 1);
    do {
        len = path_parent_len(at);
        at[len] = 0;
        r = tx_record_at(tx, at);
        there = tree_find(&s->tree, at);
        if (r && r->access & (there ? TX_READ_LIST : TX_READ))
            return true;
    } while (!there);
    if (removal)
        TAILQ_FOREACH(r, &tx->records, link)
            if (r->access & TX_READ && path_is_below(path, r->path))
                return true;
    return false;
}

bool turn_forbids(const struct conn *c, const char *path, unsigned access)
{
    return c != c->s->turn.conn && disturbs(c->s, c->s->turn.tx, path, access);
}

bool turn_forbids_commit(const struct conn *c, const struct tx *tx)
{
    const struct tx_record *r;

    if (c == c->s->turn.conn)
        return false;
    TAILQ_FOREACH(r, &tx->records, link)
        if (r->access & TX_WROTE && disturbs(c->s, c->s->turn.tx, r->path, r->access & TX_WROTE))
            return true;
    return false;
}
