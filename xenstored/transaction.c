/* SPDX-License-Identifier: MIT */
/*
 * Transactions: a version of the tree of one's own, and a record of what was read and written.
 *
 * At the end, what was read must be in the current tree as it was in the one the transaction began
 * with. Then what was written is put into a version of the current tree, and that becomes current:
 * all or nothing, whatever fails on the way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xenstored/hash.h"
#include "xenstored/journal.h"
#include "xenstored/store.h"

static int tx_new(struct conn *c, struct tx **out)
{
    struct tx *tx = calloc(1, sizeof(*tx));

    if (!tx)
        return ENOMEM;
    tree_share(&tx->base, &c->s->tree);
    tree_share(&tx->work, &c->s->tree);
    tx->work.tally = &tx->tally;
    TAILQ_INIT(&tx->records);
    tx->bucket = tx->few;
    tx->nr_buckets = TX_BUCKETS;
    tx->charged = sizeof(*tx);
    c->dom->memory += (int64_t)tx->charged;
    c->dom->used[QUOTA_TRANSACTIONS]++;
    TAILQ_INSERT_TAIL(&c->txs, tx, link);
    if (!c->s->nr_txs++) {
        c->s->pinned = 0;
        c->s->last_total = c->s->books.total;
    }
    *out = tx;
    return 0;
}

int tx_start(struct conn *c, struct tx **out)
{
    int err = quota_take(c->s, c->dom, QUOTA_TRANSACTIONS, 1);

    if (err)
        return err;
    quota_give(c->dom, QUOTA_TRANSACTIONS, 1);
    err = memory_take(c->s, c->dom, sizeof(**out));
    if (err)
        return err;
    memory_give(c->dom, sizeof(**out));
    err = tx_new(c, out);
    if (err)
        return err;
    uint32_t id;
    do
        id = c->next_tx++;
    while (!id || tx_find(c, id));
    (*out)->id = id;
    turn_begin(c, *out);
    JOURNAL_CONN(c, journal_tx_(c, id, false));
    return 0;
}

struct tx *tx_find(const struct conn *c, uint32_t id)
{
    struct tx *tx;

    TAILQ_FOREACH(tx, &c->txs, link)
        if (tx->id == id)
            return tx;
    return NULL;
}

void tx_free(struct conn *c, struct tx *tx)
{
    struct tx_record *r;

    turn_end(c->s, tx);
    while ((r = TAILQ_FIRST(&tx->records))) {
        TAILQ_REMOVE(&tx->records, r, link);
        free(r);
    }
    if (tx->bucket != tx->few)
        free(tx->bucket);
    JOURNAL_CONN(c, journal_tx_(c, tx->id, true));
    TAILQ_REMOVE(&c->txs, tx, link);
    c->s->nr_txs--;
    tree_drop(&tx->base);
    tree_drop(&tx->work);
    tally_free(&tx->tally);
    memory_give(c->dom, tx->charged);
    quota_give(c->dom, QUOTA_TRANSACTIONS, 1);
    free(tx);
}

/* ---- Records ---- */

static size_t record_bytes(const char *path)
{
    return sizeof(struct tx_record) + strlen(path) + 1;
}

static int charge(struct conn *c, struct tx *tx, size_t bytes)
{
    int err = memory_take(c->s, c->dom, bytes);

    if (!err)
        tx->charged += bytes;
    return err;
}

static void discharge(struct conn *c, struct tx *tx, size_t bytes)
{
    tx->charged -= bytes;
    memory_give(c->dom, bytes);
}

static struct tx_bucket *bucket(const struct tx *tx, uint64_t hash)
{
    return &tx->bucket[hash % tx->nr_buckets];
}

static struct tx_record *record_find(const struct tx *tx, const char *path, uint64_t hash)
{
    struct tx_record *r;

    SLIST_FOREACH(r, bucket(tx, hash), bucket)
        if (r->hash == hash && !strcmp(r->path, path))
            return r;
    return NULL;
}

const struct tx_record *tx_record_at(const struct tx *tx, const char *path)
{
    return record_find(tx, path, hash_name(path, strlen(path), 0));
}

/* For the control domain, which may touch any number of nodes. Without memory the chains get longer. */
static void more_buckets(struct tx *tx)
{
    unsigned nr = tx->nr_buckets * 4;
    struct tx_bucket *grown = calloc(nr, sizeof(*grown));
    struct tx_record *r;

    if (!grown)
        return;
    if (tx->bucket != tx->few)
        free(tx->bucket);
    tx->bucket = grown;
    tx->nr_buckets = nr;
    TAILQ_FOREACH(r, &tx->records, link)
        SLIST_INSERT_HEAD(bucket(tx, r->hash), r, bucket);
}

static int record_add(struct tx *tx, const char *path, size_t len, uint64_t hash, unsigned access)
{
    struct tx_record *r = malloc(sizeof(*r) + len + 1);

    if (!r)
        return ENOMEM;
    r->hash = hash;
    r->access = access;
    memcpy(r->path, path, len + 1);
    if (tx->count >= tx->nr_buckets * 16)
        more_buckets(tx);
    SLIST_INSERT_HEAD(bucket(tx, hash), r, bucket);
    TAILQ_INSERT_TAIL(&tx->records, r, link);
    tx->count++;
    return 0;
}

int tx_note(struct conn *c, struct tx *tx, const char *path, unsigned access)
{
    size_t len = strlen(path);
    uint64_t hash = hash_name(path, len, 0);
    struct tx_record *r = record_find(tx, path, hash);
    int err;

    if (r) {
        /* What it wrote itself it does not depend on others for. */
        if (r->access & (TX_WROTE_VALUE | TX_CREATED))
            access &= ~(unsigned)TX_READ_NODE;
        r->access |= access;
        return 0;
    }
    err = quota_check(c->s, c->dom, QUOTA_TX_NODES, tx->count + 1);
    if (!err)
        err = charge(c, tx, record_bytes(path));
    if (err)
        return err;
    err = record_add(tx, path, len, hash, access);
    if (err)
        discharge(c, tx, record_bytes(path));
    return err;
}

void tx_unnote(struct conn *c, struct tx *tx, unsigned count)
{
    while (tx->count > count) {
        struct tx_record *r = TAILQ_LAST(&tx->records, tx_records);

        TAILQ_REMOVE(&tx->records, r, link);
        SLIST_REMOVE(bucket(tx, r->hash), r, tx_record, bucket);
        tx->count--;
        discharge(c, tx, record_bytes(r->path));
        free(r);
    }
}

/* ---- The end ---- */

/* Written again with what was there, or removed and made again alike: who has read it has read right. */
static bool same_value(const struct node *a, const struct node *b)
{
    return a->value_len == b->value_len && !memcmp(node_value(a), node_value(b), a->value_len);
}

static bool read_is_current(const struct tx *tx, const struct tree *now, const struct tx_record *r)
{
    const struct node *then = tree_find(&tx->base, r->path), *cur = tree_find(now, r->path);

    if (!then || !cur)
        return !then && !cur;
    if (then == cur)
        return true;
    if (r->access & TX_READ_NODE && then->gen != cur->gen && !same_value(then, cur))
        return false;
    if (r->access & TX_READ_LIST && then->kids_gen != cur->kids_gen)
        return false;
    return perms_equal(then->perms, cur->perms);
}

static bool reads_are_current(const struct tx *tx, const struct tree *now)
{
    const struct tx_record *r;

    TAILQ_FOREACH(r, &tx->records, link)
        if (!read_is_current(tx, now, r))
            return false;
    return true;
}

/* Brings one written path in `to` to where the transaction left it. */
static int replay(struct store *s, const struct tx *tx, struct tree *to, const struct tx_record *r)
{
    const struct node *want = tree_find(&tx->work, r->path), *have = tree_find(to, r->path);
    uint64_t gen = store_next_gen(s);
    int err = 0;

    if (!want)
        return have ? tree_remove(to, r->path, gen) : 0;
    if (!have)
        return tree_create(to, r->path, want->perms, node_value(want), want->value_len, gen);
    bool perms = r->access & TX_WROTE_PERMS ||
                 (r->access & TX_CREATED && !perms_equal(want->perms, have->perms));
    if (r->access & (TX_WROTE_VALUE | TX_CREATED))
        err = tree_set_value(to, r->path, node_value(want), want->value_len, gen);
    if (!err && perms)
        err = tree_set_perms(to, r->path, want->perms, gen);
    return err;
}

/* Parents before children. */
static int by_path(const void *a, const void *b)
{
    const struct tx_record *x = *(const struct tx_record *const *)a;
    const struct tx_record *y = *(const struct tx_record *const *)b;

    return strcmp(x->path, y->path);
}

static int replay_all(struct store *s, const struct tx *tx, struct tree *to)
{
    const struct tx_record **written = malloc((tx->count + 1) * sizeof(*written)), *r;
    unsigned n = 0;
    int err = 0;

    if (!written)
        return ENOMEM;
    TAILQ_FOREACH(r, &tx->records, link) {
        if (err)
            break;
        if (r->access & TX_WROTE)
            written[n++] = r;
        /* Removals first: what was made again afterwards has records of its own. */
        if (r->access & TX_REMOVED && tree_find(to, r->path))
            err = tree_remove(to, r->path, store_next_gen(s));
    }
    qsort(written, n, sizeof(*written), by_path);
    for (unsigned i = 0; i < n && !err; i++)
        err = replay(s, tx, to, written[i]);
    free(written);
    return err;
}

/* A guest must not get past its quota by what others did meanwhile to its count. */
static int tally_allowed(const struct store *s, const struct domain *d, const struct tally *diff)
{
    struct usage more = tally_get(diff, d->domid);

    if (diff->failed)
        return ENOMEM;
    if (more.nodes <= 0)
        return 0;
    return quota_check(s, d, QUOTA_NODES,
                       (uint64_t)((int64_t)s->books.flat[d->domid].nodes + more.nodes));
}

/* Removals first, as what was made again afterwards is recorded by what it is now. */
static void record_changes(struct store *s, const struct tx *tx, const struct tree *old)
{
    const struct tx_record *r;

    if (!s->journal && !(s->trace & TRACE_TDB))
        return;
    TAILQ_FOREACH(r, &tx->records, link)
        if (r->access & TX_REMOVED && tree_find(old, r->path))
            store_removed(s, r->path);
    TAILQ_FOREACH(r, &tx->records, link) {
        const struct node *n = r->access & TX_WROTE ? tree_find(&s->tree, r->path) : NULL;

        if (n)
            store_changed(s, r->path, n);
    }
}

static void fire_all(struct store *s, const struct tx *tx, const struct tree *old,
                     struct cause *cause)
{
    const struct tx_record *r;

    if (!s->watches.count)
        return;
    TAILQ_FOREACH(r, &tx->records, link) {
        if (!(r->access & TX_WROTE))
            continue;
        const struct node *was = tree_find(old, r->path), *is = tree_find(&s->tree, r->path);
        if (was && (!is || r->access & TX_REMOVED))
            watch_fire_removed(s, old, r->path, cause);
        if (is)
            watch_fire_node(s, r->path, is, was ? was->perms : NULL, cause);
    }
}

static bool wrote(const struct tx *tx)
{
    const struct tx_record *r;

    TAILQ_FOREACH(r, &tx->records, link)
        if (r->access & TX_WROTE)
            return true;
    return false;
}

bool tx_is_current(const struct store *s, const struct tx *tx)
{
    return !tx->doomed && (s->tree.root == tx->base.root || reads_are_current(tx, &s->tree));
}

int tx_commit(struct conn *c, struct tx *tx, struct cause *cause)
{
    struct store *s = c->s;
    struct tally tally = { 0 };
    struct tree fresh, old = { 0 };
    tx->ending = s->committing = true;
    bool alone = s->tree.root == tx->base.root;
    int err = 0;

    tree_share(&fresh, alone ? &tx->work : &s->tree);
    fresh.tally = &tally;
    if (!tx_is_current(s, tx))
        err = EAGAIN;
    else if (tx->tally.failed)
        err = ENOMEM;
    else if (alone)
        tally_merge(&tally, &tx->tally);
    else if (wrote(tx))
        err = replay_all(s, tx, &fresh);
    if (!err)
        err = tally_allowed(s, c->dom, &tally);
    if (err) {
        tree_drop(&fresh);
    } else {
        store_publish(s, &fresh, &tally, &old);
        if (wrote(tx))
            wrl_wrote(s, c->dom, 1, true);
        record_changes(s, tx, &old);
        fire_all(s, tx, &old, cause);
        tree_drop(&old);
    }
    tally_free(&tally);
    tx_free(c, tx);
    if (err == EAGAIN)
        turn_lost(c);
    else if (!err)
        c->losses = 0;
    s->committing = false;
    return err;
}

/* ---- Not holding on to the past ---- */

static void tx_rebase(struct store *s, struct tx *tx)
{
    struct tally tally = { 0 };
    struct tree work;

    if (tx->base.root == s->tree.root)
        return;
    tx->doomed = !tx_is_current(s, tx);
    tree_share(&work, &s->tree);
    work.tally = &tally;
    if (replay_all(s, tx, &work) || tally.failed)
        tx->doomed = true; /* no memory */
    tree_drop(&tx->base);
    tree_drop(&tx->work);
    tally_free(&tx->tally);
    tx->tally = tally;
    tx->work = work;
    tx->work.tally = &tx->tally;
    tree_share(&tx->base, &s->tree);
}

void tx_rebase_all(struct store *s)
{
    struct conn *c;
    struct tx *tx;

    TAILQ_FOREACH(c, &s->conns, link)
        TAILQ_FOREACH(tx, &c->txs, link)
            if (!tx->loaded && !tx->ending)
                tx_rebase(s, tx);
    s->pinned = 0;
    s->last_total = s->books.total;
}

/* ---- From a state ---- */

int tx_load(struct conn *c, uint32_t id)
{
    struct tx *tx;
    int err = tx_new(c, &tx);

    if (err)
        return err;
    tx->id = id;
    tx->doomed = tx->loaded = true;
    if (c->next_tx <= id)
        c->next_tx = id + 1;
    return 0;
}

static void rebase(struct conn *c, struct tx *tx)
{
    tree_drop(&tx->base);
    tree_drop(&tx->work);
    tree_share(&tx->base, &c->s->tree);
    tree_share(&tx->work, &c->s->tree);
    tx->work.tally = &tx->tally;
}

void tx_load_base(struct conn *c, struct tx *tx, bool doomed)
{
    rebase(c, tx);
    tx->doomed = doomed;
    tx->loaded = false;
}

int tx_load_record(struct conn *c, struct tx *tx, const char *path, unsigned access)
{
    size_t len = strlen(path);
    uint64_t hash = hash_name(path, len, 0);
    const struct node *n = tree_find(&tx->work, path);
    size_t bytes = record_bytes(path) + (n && access & TX_WROTE ? node_bytes(n) : 0);

    if (record_find(tx, path, hash))
        return EEXIST;
    tx->charged += bytes;
    c->dom->memory += (int64_t)bytes;
    return record_add(tx, path, len, hash, access);
}

/* What came without its contents sees the tree as it is. */
void tx_load_done(struct conn *c)
{
    struct tx *tx;

    TAILQ_FOREACH(tx, &c->txs, link)
        if (tx->loaded) {
            rebase(c, tx);
            tx->loaded = false;
        }
}
