/* SPDX-License-Identifier: MIT */
/*
 * XS_KR_CLONE src|dst|: a node with all below it, once more at dst, in one request.
 *
 * It does what a client could do itself by reading every node and writing it at its new place, and no more:
 * each node must be readable, the copies are made where WRITE might make them, and a guest owns its copies as it
 * owns what it writes; each copy counts for every quota, for the write rate and for the connection's turn. So a
 * guest's quotas of nodes and of memory bound what one request does, and the walk ends at the first node that
 * does not fit in. The control domain has no quotas: it may copy what it likes, and nobody else is served
 * meanwhile (about a microsecond for a node).
 *
 * All or nothing: first every node is looked at, and listed; then the copy is made, in a version of the tree of
 * its own, in order of the list; only when nothing can fail any more that version becomes the store's or the
 * transaction's. What comes then, records and events, needs no memory but for the messages.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xenstored/store.h"

/* What is copied, parents first and children in the order in which they were made. */
struct item {
    const struct node *n;
    uint32_t parent_len;        /* of the copy's path: where its parent's ends */
};

struct clone {
    struct request *rq;         /* its path is where the copy goes */
    char src[PATH_ABS_MAX + 1], at[PATH_ABS_MAX + 1];
    size_t src_len, dst_len;
    size_t found;               /* as much of the path is there already */
    unsigned above;             /* nodes that are missing between that and the copy */
    struct item *item;
    size_t count, room;
    size_t known;               /* nodes to be copied that have been seen or must come */
    size_t bytes;
    struct perms *model, *made; /* what the last copies' permissions were made from, and they */
    struct tree fresh, old;     /* the version with the copy; what was before */
    struct tally tally;
};

/* ---- What is copied ---- */

/* k->at becomes the copy's path of the item, if the items before it have gone through this. */
static const char *copy_path(struct clone *k, const struct item *it)
{
    char *end = k->at + it->parent_len;

    if (it == k->item)
        return k->rq->path;
    if (it == k->item + 1)
        memcpy(k->at, k->rq->path, k->dst_len + 1);
    *end++ = '/';
    memcpy(end, it->n->data, it->n->name_len);
    end[it->n->name_len] = 0;
    return k->at;
}

/* path, below src, as it is below dst, in k->at. EINVAL if that is too long. */
static int moved_path(struct clone *k, const char *path)
{
    const char *rest = path + k->src_len;

    if (k->dst_len + strlen(rest) >= PATH_ABS_MAX)
        return EINVAL;
    memcpy(k->at, k->rq->path, k->dst_len);
    strcpy(k->at + k->dst_len, rest);
    return quota_check(k->rq->s, k->rq->c->dom, QUOTA_PATH, path_local_len(k->at));
}

/* Ends the walk as soon as it is clear that not all can be copied. The sums are looked at again at the end. */
static int check_quotas(struct clone *k, const struct node *n)
{
    struct store *s = k->rq->s;
    const struct domain *d = k->rq->c->dom;
    int64_t nodes = s->books.flat[d->domid].nodes + (int64_t)(k->above + k->known);
    size_t later = (k->known - k->count - 1) * sizeof(*n); /* what must come is this large at least */
    int64_t bytes = quota_used(s, d, QUOTA_MEMORY) + (int64_t)(k->bytes + later);

    if (k->rq->tx)
        nodes += tally_get(&k->rq->tx->tally, d->domid).nodes;
    int err = quota_check(s, d, QUOTA_NODE_SIZE, n->value_len);
    if (!err)
        err = quota_check(s, d, QUOTA_PERMS, n->perms->count);
    if (!err && nodes > 0)
        err = quota_check(s, d, QUOTA_NODES, (uint64_t)nodes);
    if (!err && bytes > 0)
        err = quota_check(s, d, QUOTA_MEMORY, (uint64_t)bytes);
    return err;
}

static int list(struct clone *k, const struct node *n, size_t parent_len)
{
    if (k->count == k->room) {
        size_t room = k->room ? k->room * 2 : 16;
        struct item *grown = realloc(k->item, room * sizeof(*grown));
        if (!grown)
            return ENOMEM;
        k->item = grown;
        k->room = room;
    }
    k->item[k->count++] = (struct item){ n, (uint32_t)parent_len };
    return 0;
}

static int visit(void *arg, const char *path, const struct node *n, bool *skip)
{
    struct clone *k = arg;
    struct request *rq = k->rq;

    rq->c->work++;
    if (!(perms_for(n->perms, &rq->viewer) & PERM_READ))
        return EACCES;
    k->known += n->nkids;
    k->bytes += node_bytes(n);
    int err = check_quotas(k, n);
    if (!err)
        err = moved_path(k, path);
    if (!err && rq->tx)
        err = tx_note(rq->c, rq->tx, path, 0);
    if (!err && rq->tx)
        err = tx_note(rq->c, rq->tx, k->at, 0);
    return err ? err : list(k, n, path_parent_len(k->at));
}

/* ---- The copy ---- */

/* Nodes in a row often share their permissions; so do their copies. */
static struct perms *copy_perms(struct clone *k, struct perms *model)
{
    if (k->made && k->model == model)
        return k->made;
    perms_unref(k->made);
    k->model = model;
    k->made = request_inherit(k->rq, model);
    return k->made;
}

/* The nodes above the copy are as WRITE makes them. */
static int make_above(struct clone *k)
{
    char *path = k->rq->path, *slash = path + path_parent_len(path), cut = *slash;
    size_t found;
    struct perms *p = copy_perms(k, tree_nearest(&k->fresh, path, &found)->perms);

    if (!p)
        return ENOMEM;
    *slash = 0;
    int err = tree_create(&k->fresh, path, p, "", 0, store_next_gen(k->rq->s));
    *slash = cut;
    return err;
}

static int make(struct clone *k)
{
    int err = k->above ? make_above(k) : 0;

    for (size_t i = 0; i < k->count && !err; i++) {
        const struct node *n = k->item[i].n;
        const char *path = copy_path(k, &k->item[i]);
        struct perms *p = copy_perms(k, n->perms);

        err = p ? tree_create(&k->fresh, path, p, node_value(n), n->value_len, store_next_gen(k->rq->s))
                : ENOMEM;
    }
    return err || !k->tally.failed ? err : ENOMEM;
}

/* Everything that can fail. */
static int prepare(struct clone *k, const struct node *near)
{
    struct request *rq = k->rq;
    int err = rq->tx ? request_note_create(rq, k->found, true) : 0;

    k->known = 1;
    k->bytes = k->above * (sizeof(struct node) + perms_bytes(near->perms)) + k->dst_len;
    if (!err)
        err = tree_walk(rq->tree, k->src, visit, k);
    if (!err)
        err = quota_check_nodes(rq->s, rq->c->dom, rq->tx ? &rq->tx->tally : NULL,
                                k->above + (unsigned)k->count, k->bytes);
    if (err)
        return err;
    tree_share(&k->fresh, rq->tree);
    k->fresh.tally = &k->tally;
    if (rq->tx) {
        tally_merge(&k->tally, &rq->tx->tally);
        k->tally.failed |= rq->tx->tally.failed;
    }
    err = make(k);
    if (!err)
        err = request_charge(rq, k->bytes);
    if (err)
        tree_drop(&k->fresh);
    return err;
}

/* ---- It is there ---- */

/* Whom it concerns hears of it as if each node had been written. */
static void tell(struct clone *k)
{
    struct request *rq = k->rq;
    char *path = rq->path;

    for (size_t at = k->found, i = k->above; i; i--) {
        at += at > 1;
        at += strcspn(path + at, "/");
        char cut = path[at];
        path[at] = 0;
        store_changed(rq->s, path, tree_find(&rq->s->tree, path));
        path[at] = cut;
    }
    wrl_wrote(rq->s, rq->c->dom, k->count, false);
    for (size_t i = 0; i < k->count; i++) {
        const char *copy = copy_path(k, &k->item[i]);
        const struct node *n = tree_find(&rq->s->tree, copy);

        store_changed(rq->s, copy, n);
        watch_fire_node(rq->s, copy, n, NULL, rq->cause);
    }
}

/* The transaction depends on every node that was read, value, children and permissions. There is room. */
static void note_all(struct clone *k)
{
    struct request *rq = k->rq;

    request_note_create(rq, k->found, false);
    for (size_t i = 0; i < k->count; i++) {
        const char *copy = copy_path(k, &k->item[i]);

        strcpy(k->src + k->src_len, copy + k->dst_len);
        tx_note(rq->c, rq->tx, k->src, TX_READ_NODE | TX_READ_LIST);
        tx_note(rq->c, rq->tx, copy, TX_READ_PERMS | TX_CREATED);
    }
}

/* Nothing here fails. */
static void finish(struct clone *k)
{
    struct request *rq = k->rq;
    struct tx *tx = rq->tx;

    if (!tx) {
        store_publish(rq->s, &k->fresh, &k->tally, &k->old);
        request_ok(rq);
        tell(k);
    } else {
        k->old = tx->work;
        tally_free(&tx->tally);
        tx->tally = k->tally;
        k->tally = (struct tally){ 0 };
        tx->work = k->fresh;
        tx->work.tally = &tx->tally;
        note_all(k);
        request_ok(rq);
    }
    tree_drop(&k->old); /* the items' nodes were in it */
}

/* ---- The request ---- */

/* Both paths, and that dst is not where the copy would go on for ever. */
static int arguments(struct clone *k)
{
    struct request *rq = k->rq;
    const char *arg[3];
    int err = request_strings(rq, arg, 3) == 2 ? request_node_arg(rq, arg[0]) : EINVAL;

    if (err)
        return err;
    strcpy(k->src, rq->path);
    k->src_len = strlen(k->src);
    err = request_node_arg(rq, arg[1]);
    k->dst_len = strlen(rq->path);
    return err || !path_is_below(k->src, rq->path) ? err : EINVAL;
}

/* As READ finds src. */
static int find_source(struct clone *k)
{
    char dst[PATH_ABS_MAX + 1];
    const struct node *n;

    memcpy(dst, k->rq->path, k->dst_len + 1);
    memcpy(k->rq->path, k->src, k->src_len + 1);
    int err = request_reach(k->rq, PERM_READ, TX_READ_NODE, &n);
    memcpy(k->rq->path, dst, k->dst_len + 1);
    return err;
}

/* Where WRITE would make dst; *near is what is there of its path. Something there already is not said to all. */
static int find_place(struct clone *k, const struct node **near)
{
    struct request *rq = k->rq;
    int err;

    if (tree_find(rq->tree, rq->path)) {
        err = request_reach(rq, PERM_WRITE, TX_READ_PERMS, near);
        return err ? err : EEXIST;
    }
    *near = tree_nearest(rq->tree, rq->path, &k->found);
    k->above = request_missing(rq->path, k->found) - 1;
    return perms_for((*near)->perms, &rq->viewer) & PERM_WRITE ? 0 : EACCES;
}

int op_clone(struct request *rq)
{
    struct clone k;
    const struct node *near;

    if (!(rq->c->dom->features & XENSTORE_SERVER_FEATURE_KR_CLONE))
        return ENOSYS;
    memset(&k, 0, sizeof(k));
    k.rq = rq;
    int err = arguments(&k);
    if (!err)
        err = find_source(&k);
    if (!err)
        err = find_place(&k, &near);
    if (err)
        return err;
    unsigned noted = rq->tx ? rq->tx->count : 0;
    err = prepare(&k, near);
    if (!err)
        finish(&k);
    else if (rq->tx)
        tx_unnote(rq->c, rq->tx, noted);
    tally_free(&k.tally);
    perms_unref(k.made);
    free(k.item);
    return err;
}
