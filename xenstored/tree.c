/* SPDX-License-Identifier: MIT */
#include "xenstored/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xenstored/kids.h"
#include "xenstored/path.h"

/* ---- What nodes cost their owners ---- */

static struct usage *tally_entry(struct tally *t, uint16_t domid)
{
    if (t->flat)
        return &t->flat[domid];
    for (unsigned i = 0; i < t->count; i++)
        if (t->entry[i].domid == domid)
            return &t->entry[i].diff;
    if (t->count == t->room) {
        unsigned room = t->room ? t->room * 2 : 4;
        struct tally_entry *grown = realloc(t->entry, room * sizeof(*grown));
        if (!grown) {
            t->failed = true;
            return NULL;
        }
        t->entry = grown;
        t->room = room;
    }
    t->entry[t->count] = (struct tally_entry){ .domid = domid };
    return &t->entry[t->count++].diff;
}

void tally_add(struct tally *t, uint16_t domid, int nodes, int64_t bytes)
{
    struct usage *u = t ? tally_entry(t, domid) : NULL;

    if (u) {
        u->nodes += nodes;
        u->bytes += bytes;
        t->total += bytes;
    }
}

struct usage tally_get(const struct tally *t, uint16_t domid)
{
    if (t->flat)
        return t->flat[domid];
    for (unsigned i = 0; i < t->count; i++)
        if (t->entry[i].domid == domid)
            return t->entry[i].diff;
    return (struct usage){ 0 };
}

void tally_merge(struct tally *into, const struct tally *diffs)
{
    for (unsigned i = 0; i < diffs->count; i++)
        tally_add(into, diffs->entry[i].domid, diffs->entry[i].diff.nodes,
                  diffs->entry[i].diff.bytes);
}

void tally_free(struct tally *t)
{
    free(t->entry);
    *t = (struct tally){ 0 };
}

size_t node_bytes(const struct node *n)
{
    return sizeof(*n) + n->name_len + n->value_len + perms_bytes(n->perms);
}

static void tally_node(struct tally *t, const struct node *n, int sign)
{
    tally_add(t, perms_owner(n->perms), sign, sign * (int64_t)node_bytes(n));
}

/* ---- Nodes ---- */

static struct node *node_new(const char *name, size_t name_len, struct perms *perms,
                             const void *value, size_t len, uint64_t gen)
{
    struct node *n = malloc(sizeof(*n) + name_len + len);

    if (!n)
        return NULL;
    *n = (struct node){
        .refs = 1, .hash = kids_key(name, name_len).hash, .gen = gen, .kids_gen = gen, .birth = gen,
        .perms = perms_ref(perms), .name_len = (uint16_t)name_len, .value_len = (uint16_t)len,
    };
    memcpy(n->data, name, name_len);
    if (len)
        memcpy(n->data + name_len, value, len);
    return n;
}

/* A copy with room for another value; the value itself is left to the caller if len differs. */
static struct node *node_clone(const struct node *n, size_t value_len)
{
    size_t keep = value_len < n->value_len ? value_len : n->value_len;
    struct node *copy = malloc(sizeof(*n) + n->name_len + value_len);

    if (!copy)
        return NULL;
    memcpy(copy, n, sizeof(*n) + n->name_len + keep);
    copy->refs = 1;
    copy->value_len = (uint16_t)value_len;
    perms_ref(copy->perms);
    if (copy->kids)
        copy->kids->refs++;
    return copy;
}

/* A node whose last reference is gone waits in a list, linked through its `birth`. */
static void lost_node(void *arg, struct node *n)
{
    struct node **list = arg;

    n->birth = (uint64_t)(uintptr_t)*list;
    *list = n;
}

/* Paths are deep and the stack is not: a list instead of recursion. */
static void node_unref(struct node *n)
{
    struct node *list = NULL;

    if (!n || --n->refs)
        return;
    lost_node(&list, n);
    while (list) {
        n = list;
        list = (struct node *)(uintptr_t)n->birth;
        kids_unref(n->kids, lost_node, &list);
        perms_unref(n->perms);
        free(n);
    }
}

/* Makes *slot the caller's own to edit. */
static int node_unshare(struct node **slot)
{
    struct node *n = *slot;

    if (n->refs == 1)
        return 0;
    struct node *copy = node_clone(n, n->value_len);
    if (!copy)
        return ENOMEM;
    n->refs--;
    *slot = copy;
    return 0;
}

/* ---- Finding ---- */

const struct node *tree_nearest(const struct tree *t, const char *path, size_t *found)
{
    const struct node *n = t->root;
    struct path_part part = path_first(path);

    *found = 1;
    for (; part.len; part = path_next(part)) {
        struct kids_key key = kids_key(part.name, part.len);
        const struct node *kid = kids_find(n->kids, &key);

        if (!kid)
            break;
        n = kid;
        *found = (size_t)(part.name + part.len - path);
    }
    return n;
}

const struct node *tree_find(const struct tree *t, const char *path)
{
    size_t found;
    const struct node *n = tree_nearest(t, path, &found);

    return found == strlen(path) ? n : NULL;
}

/*
 * The place that holds the node at the first len bytes of path, everything above it unshared. The
 * node itself may still be shared.
 */
static int tree_slot(struct tree *t, const char *path, size_t len, struct node ***slot)
{
    struct node **at = &t->root;
    int err;

    for (struct path_part part = path_first(path);
         part.len && (size_t)(part.name + part.len - path) <= len; part = path_next(part)) {
        struct kids_key key = kids_key(part.name, part.len);

        err = node_unshare(at);
        if (err)
            return err;
        err = kids_slot(&(*at)->kids, &key, &at);
        if (err)
            return err;
    }
    *slot = at;
    return 0;
}

/* ---- Editing ---- */

int tree_init(struct tree *t, struct perms *perms, uint64_t gen)
{
    t->tally = NULL;
    t->root = node_new("", 0, perms, NULL, 0, gen);
    return t->root ? 0 : ENOMEM;
}

void tree_share(struct tree *to, const struct tree *from)
{
    to->root = from->root;
    to->root->refs++;
    to->tally = NULL;
}

void tree_drop(struct tree *t)
{
    node_unref(t->root);
    t->root = NULL;
}

/* n becomes the only child of a new node called name; its reference goes there. */
static struct node *node_above(struct node *n, const char *name, size_t len, struct perms *perms,
                               uint64_t gen)
{
    struct node *up = node_new(name, len, perms, NULL, 0, gen);

    if (up && !kids_insert(&up->kids, n)) {
        up->nkids = 1;
        return up;
    }
    node_unref(up);
    node_unref(n);
    return NULL;
}

/* The nodes of path beyond its first `found` bytes, detached: the topmost, holding the others. */
static struct node *new_branch(const char *path, size_t found, struct perms *perms,
                               const void *value, size_t len, uint64_t gen)
{
    const char *name = strrchr(path, '/') + 1;
    struct node *n = node_new(name, strlen(name), perms, value, len, gen);

    while (n && (size_t)(name - 1 - path) > (found > 1 ? found : 0)) {
        const char *end = name - 1;

        for (name = end; name[-1] != '/';)
            name--;
        n = node_above(n, name, (size_t)(end - name), perms, gen);
    }
    return n;
}

static void tally_branch(struct tally *t, const struct node *n)
{
    while (n) {
        const struct node *kid = NULL;

        tally_node(t, n, 1);
        kids_collect(n->kids, &kid); /* at most one */
        n = kid;
    }
}

int tree_create(struct tree *t, const char *path, struct perms *perms, const void *value,
                size_t len, uint64_t gen)
{
    struct node **slot, *branch;
    size_t found;
    int err;

    tree_nearest(t, path, &found);
    if (found == strlen(path))
        return EEXIST;
    branch = new_branch(path, found, perms, value, len, gen);
    if (!branch)
        return ENOMEM;
    err = tree_slot(t, path, found, &slot);
    if (!err)
        err = node_unshare(slot);
    if (!err)
        err = kids_insert(&(*slot)->kids, branch);
    if (err) {
        node_unref(branch);
        return err;
    }
    (*slot)->nkids++;
    (*slot)->kids_gen = gen;
    tally_branch(t->tally, branch);
    return 0;
}

int tree_set_value(struct tree *t, const char *path, const void *value, size_t len, uint64_t gen)
{
    struct node **slot, *n;
    int err;

    if (!tree_find(t, path))
        return ENOENT;
    err = tree_slot(t, path, strlen(path), &slot);
    if (err)
        return err;
    n = *slot;
    if (n->refs > 1 || n->value_len != len) {
        struct node *fresh = node_clone(n, len);
        if (!fresh)
            return ENOMEM;
        tally_add(t->tally, perms_owner(n->perms), 0, (int64_t)len - n->value_len);
        *slot = fresh;
        node_unref(n);
        n = fresh;
    }
    if (len)
        memcpy(n->data + n->name_len, value, len);
    n->gen = gen;
    return 0;
}

int tree_set_perms(struct tree *t, const char *path, struct perms *perms, uint64_t gen)
{
    struct node **slot;
    int err;

    if (!tree_find(t, path))
        return ENOENT;
    err = tree_slot(t, path, strlen(path), &slot);
    if (!err)
        err = node_unshare(slot);
    if (err)
        return err;
    struct node *n = *slot;
    tally_node(t->tally, n, -1);
    perms_ref(perms);
    perms_unref(n->perms);
    n->perms = perms;
    n->gen = gen;
    tally_node(t->tally, n, 1);
    return 0;
}

static int tally_gone(void *arg, const char *path, const struct node *n, bool *skip)
{
    tally_node(arg, n, -1);
    return 0;
}

int tree_remove(struct tree *t, const char *path, uint64_t gen)
{
    size_t parent_len = path_parent_len(path);
    const char *name = path + parent_len + (parent_len > 1);
    struct kids_key key = kids_key(name, strlen(name));
    struct node **slot, *n;
    int err;

    if (!path[1])
        return EINVAL;
    if (!tree_find(t, path))
        return ENOENT;
    err = tree_slot(t, path, parent_len, &slot);
    if (!err)
        err = node_unshare(slot);
    if (err)
        return err;
    /* The books first: the walk may run out of memory, the removal below no longer can... */
    struct tally gone = { 0 };
    if (t->tally)
        err = tree_walk(t, path, tally_gone, &gone);
    if (!err && gone.failed)
        err = ENOMEM;
    if (!err)
        err = kids_remove(&(*slot)->kids, &key, &n); /* ... except for unsharing levels */
    if (!err) {
        tally_merge(t->tally, &gone);
        (*slot)->nkids--;
        (*slot)->kids_gen = gen;
        node_unref(n);
    }
    tally_free(&gone);
    return err;
}

/* ---- Reading whole directories and subtrees ---- */

static int by_birth(const void *a, const void *b)
{
    const struct node *x = *(const struct node *const *)a, *y = *(const struct node *const *)b;

    return x->birth < y->birth ? -1 : x->birth > y->birth;
}

const struct node **node_children(const struct node *n)
{
    const struct node **out = malloc((n->nkids + 1) * sizeof(*out));

    if (!out)
        return NULL;
    kids_collect(n->kids, out);
    qsort(out, n->nkids, sizeof(*out), by_birth);
    return out;
}

/* Nodes still to visit, the next one last, each with the length of its parent's path. */
struct walk {
    struct walk_item {
        const struct node *n;
        size_t parent_len;
    } *item;
    size_t count, room;
};

static int walk_push_kids(struct walk *w, const struct node *n, size_t path_len)
{
    if (w->count + n->nkids > w->room) {
        size_t room = (w->count + n->nkids) * 2;
        struct walk_item *grown = realloc(w->item, room * sizeof(*grown));
        if (!grown)
            return ENOMEM;
        w->item = grown;
        w->room = room;
    }
    const struct node **kids = node_children(n);
    if (!kids)
        return ENOMEM;
    for (uint32_t i = n->nkids; i--;)
        w->item[w->count++] = (struct walk_item){ kids[i], path_len };
    free(kids);
    return 0;
}

int tree_walk(const struct tree *t, const char *path, tree_visit *fn, void *arg)
{
    const struct node *n = tree_find(t, path);
    char at[PATH_ABS_MAX + 1];
    struct walk w = { 0 };
    bool skip = false;
    int err;

    if (!n)
        return ENOENT;
    size_t len = strlen(path);
    memcpy(at, path, len + 1);
    err = fn(arg, at, n, &skip);
    if (!err && n->nkids && !skip)
        err = walk_push_kids(&w, n, len);
    while (!err && w.count) {
        struct walk_item it = w.item[--w.count];

        len = it.parent_len;
        if (len > 1)
            at[len++] = '/';
        memcpy(at + len, it.n->data, it.n->name_len);
        len += it.n->name_len;
        at[len] = 0;
        skip = false;
        err = fn(arg, at, it.n, &skip);
        if (!err && it.n->nkids && !skip)
            err = walk_push_kids(&w, it.n, len);
    }
    free(w.item);
    return err;
}
