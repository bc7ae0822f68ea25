/* SPDX-License-Identifier: MIT */
/* Watches: who wants to hear of which path, and who may. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xenstored/hash.h"
#include "xenstored/journal.h"
#include "xenstored/store.h"

#define INDEX_START 64

static size_t watch_bytes(const struct watch *w)
{
    return sizeof(*w) + strlen(w->path) + strlen(w->token) + 2;
}

/* ---- The index by path ---- */

static struct watch_list *bucket(const struct watch_index *ix, uint64_t hash)
{
    return &ix->bucket[hash & ix->mask];
}

/* Doubles the table. Failure only makes chains longer, except the first time. */
static int index_grow(struct watch_index *ix)
{
    size_t size = ix->bucket ? (ix->mask + 1) * 2 : INDEX_START;
    struct watch_index grown = { .bucket = calloc(size, sizeof(*grown.bucket)), .mask = size - 1,
                                 .count = ix->count };

    if (!grown.bucket)
        return ix->bucket ? 0 : ENOMEM;
    for (size_t i = 0; ix->bucket && i <= ix->mask; i++)
        while (!LIST_EMPTY(&ix->bucket[i])) {
            struct watch *w = LIST_FIRST(&ix->bucket[i]);
            LIST_REMOVE(w, bucket_link);
            LIST_INSERT_HEAD(bucket(&grown, w->hash), w, bucket_link);
        }
    free(ix->bucket);
    *ix = grown;
    return 0;
}

static int index_add(struct watch_index *ix, struct watch *w)
{
    if (!ix->bucket || ix->count > ix->mask) {
        int err = index_grow(ix);
        if (err)
            return err;
    }
    LIST_INSERT_HEAD(bucket(ix, w->hash), w, bucket_link);
    ix->count++;
    return 0;
}

/* A path's hash is made of its parts' in turn, so that all its prefixes' cost no more than its own. */
static uint64_t hash_step(uint64_t hash, const char *name, size_t len)
{
    return ((hash << 23 | hash >> 41) ^ hash_name(name, len, 1)) * 0x9e3779b97f4a7c15ull;
}

static uint64_t hash_path(const char *path)
{
    uint64_t hash = 0;

    for (const char *p = path + (*path == '/'); *p;) {
        size_t len = strcspn(p, "/");

        hash = hash_step(hash, p, len);
        p += len;
        p += *p == '/';
    }
    return hash;
}

/* ---- Registration ---- */

static struct watch *find(const struct conn *c, const char *path, const char *token)
{
    uint64_t hash = hash_path(path);
    struct watch *w;

    if (!c->s->watches.bucket)
        return NULL;
    LIST_FOREACH(w, bucket(&c->s->watches, hash), bucket_link)
        if (w->conn == c && w->hash == hash && !strcmp(w->path, path) && !strcmp(w->token, token))
            return w;
    return NULL;
}

static int watch_new(struct conn *c, const char *path, size_t skip, const char *token,
                     uint16_t depth, struct watch **out)
{
    size_t path_len = strlen(path), token_len = strlen(token);
    struct watch *w = malloc(sizeof(*w) + path_len + token_len + 2);
    int err;

    if (!w)
        return ENOMEM;
    memcpy(w->path, path, path_len + 1);
    w->token = memcpy(w->path + path_len + 1, token, token_len + 1);
    w->depth = depth;
    w->skip = (uint16_t)skip;
    w->conn = c;
    w->hash = hash_path(path);
    err = index_add(&c->s->watches, w);
    if (err) {
        free(w);
        return err;
    }
    c->dom->used[QUOTA_WATCHES]++;
    c->dom->memory += (int64_t)watch_bytes(w);
    LIST_INSERT_HEAD(&c->watches, w, conn_link);
    *out = w;
    return 0;
}

int watch_add(struct conn *c, const char *path, size_t skip, const char *token, uint16_t depth,
              struct watch **out)
{
    size_t bytes = sizeof(**out) + strlen(path) + strlen(token) + 2;
    int err;

    if (find(c, path, token))
        return EEXIST;
    err = quota_take(c->s, c->dom, QUOTA_WATCHES, 1);
    if (err)
        return err;
    quota_give(c->dom, QUOTA_WATCHES, 1);
    err = memory_take(c->s, c->dom, bytes);
    if (err)
        return err;
    memory_give(c->dom, bytes);
    err = watch_new(c, path, skip, token, depth, out);
    if (err)
        return err;
    JOURNAL_CONN(c, journal_watch_(*out, false));
    if (c->s->trace & TRACE_OBJ)
        store_log(c->s, "watch %u dom %u %s %s", c->id, c->dom->domid, path, token);
    return 0;
}

int watch_load(struct conn *c, const char *path, size_t skip, const char *token, uint16_t depth)
{
    struct watch *w;

    return find(c, path, token) ? EEXIST : watch_new(c, path, skip, token, depth, &w);
}

static void watch_free(struct watch *w)
{
    struct conn *c = w->conn;

    JOURNAL_CONN(c, journal_watch_(w, true));
    LIST_REMOVE(w, conn_link);
    LIST_REMOVE(w, bucket_link);
    c->s->watches.count--;
    quota_give(c->dom, QUOTA_WATCHES, 1);
    memory_give(c->dom, watch_bytes(w));
    free(w);
}

int watch_remove(struct conn *c, const char *path, const char *token)
{
    struct watch *w = find(c, path, token);

    if (!w)
        return ENOENT;
    watch_free(w);
    return 0;
}

void watch_remove_all(struct conn *c)
{
    while (!LIST_EMPTY(&c->watches))
        watch_free(LIST_FIRST(&c->watches));
}

/* ---- Firing ---- */

void watch_send(struct watch *w, const char *path, struct cause *cause)
{
    conn_event(w->conn, path + w->skip, w->token, cause);
}

static bool readable(const struct perms *p, const struct viewer *v)
{
    return p && perms_for(p, v) & PERM_READ;
}

/*
 * A change may be heard of by who may read the node, as it is or as it was, or its parent (who
 * could see it come and go by listing).
 */
static bool permitted(const struct watch *w, const struct change *ch)
{
    struct viewer v = domain_viewer(w->conn->s, w->conn->dom);

    return v.privileged || readable(ch->perms, &v) || readable(ch->old_perms, &v) ||
           readable(ch->parent, &v);
}

static bool deep_enough(const struct watch *w, const struct change *ch, unsigned below)
{
    if (path_is_special(ch->path) && !ch->by_depth)
        return !w->depth || w->depth == DEPTH_ANY;
    if (ch->by_depth && below && w->depth == DEPTH_ANY)
        return false;
    return w->depth >= below; /* DEPTH_ANY is more than any path has */
}

/* Fires the watches on the first len bytes of the change's path, `below` levels above its end. */
static void fire_at(struct store *s, const struct change *ch, size_t len, uint64_t hash,
                    unsigned below)
{
    struct watch *w;

    LIST_FOREACH(w, bucket(&s->watches, hash), bucket_link)
        if (w->hash == hash && !strncmp(w->path, ch->path, len) && !w->path[len] &&
            deep_enough(w, ch, below) && permitted(w, ch))
            watch_send(w, ch->path, ch->cause);
}

static unsigned levels(const char *path)
{
    unsigned n = 0;

    for (const char *p = path; *p && p[1]; p++)
        n += *p == '/';
    return n;
}

/* From the top down, as each prefix's hash comes from the one before. */
void watch_fire(struct store *s, const struct change *ch)
{
    unsigned below = levels(ch->path);
    uint64_t hash = 0;

    if (!s->watches.count)
        return;
    if (*ch->path == '/') {
        if (!ch->exact || !below)
            fire_at(s, ch, 1, hash, below);
    } else {
        below++;
    }
    for (const char *p = ch->path + (*ch->path == '/'); *p;) {
        size_t len = strcspn(p, "/");

        hash = hash_step(hash, p, len);
        p += len;
        below--;
        if (!ch->exact || !*p)
            fire_at(s, ch, (size_t)(p - ch->path), hash, below);
        p += *p == '/';
    }
}

static const struct perms *parent_perms(const struct tree *t, const char *path)
{
    char parent[PATH_ABS_MAX + 1];
    size_t len = path_parent_len(path);

    memcpy(parent, path, len);
    parent[len] = 0;
    const struct node *n = tree_find(t, parent);
    return n ? n->perms : NULL;
}

void watch_fire_node(struct store *s, const char *path, const struct node *n,
                     const struct perms *old_perms, struct cause *cause)
{
    if (s->watches.count)
        watch_fire(s, &(struct change){
            .path = path, .perms = n->perms, .old_perms = old_perms,
            .parent = parent_perms(&s->tree, path), .cause = cause,
        });
}

struct removal {
    struct store *s;
    const struct tree *old;
    const char *top;
    struct cause *cause;
};

/* Watchers of the removed node's ancestors hear of it once, watchers inside of their own path. */
static int fire_gone(void *arg, const char *path, const struct node *n, bool *skip)
{
    struct removal *r = arg;

    watch_fire(r->s, &(struct change){
        .path = path, .perms = n->perms, .parent = parent_perms(r->old, path),
        .exact = strcmp(path, r->top) != 0, .cause = r->cause,
    });
    return 0;
}

void watch_fire_removed(struct store *s, const struct tree *old, const char *path,
                        struct cause *cause)
{
    struct removal r = { s, old, path, cause };

    if (s->watches.count)
        tree_walk(old, path, fire_gone, &r);
}
