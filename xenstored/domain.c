/* SPDX-License-Identifier: MIT */
/* Domains: met when something names them, introduced by the toolstack, forgotten when they die. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "xenstored/store.h"

struct domain *domain_find(const struct store *s, uint16_t domid)
{
    struct domain *d;

    LIST_FOREACH(d, &s->domains[domid % DOMAIN_BUCKETS], link)
        if (d->domid == domid)
            return d;
    return NULL;
}

struct domain *domain_meet(struct store *s, uint16_t domid)
{
    struct domain *d = domain_find(s, domid);
    struct host_domain info = { 0 };

    if (d)
        return d;
    if (domid && (s->host.ops->domain_info(s->host.priv, domid, &info) || info.dying))
        return NULL;
    d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->domid = domid;
    d->birth = store_next_gen(s);
    memcpy(d->handle, info.handle, sizeof(d->handle));
    LIST_INSERT_HEAD(&s->domains[domid % DOMAIN_BUCKETS], d, link);
    return d;
}

struct viewer domain_viewer(const struct store *s, const struct domain *d)
{
    const struct domain *target = d->has_target ? domain_find(s, d->target) : NULL;

    return (struct viewer){
        .privileged = domain_privileged(d),
        .domid = d->domid,
        .birth = d->birth,
        .has_target = target != NULL,
        .target = d->target,
        .target_birth = target ? target->birth : 0,
    };
}

static void fire_special(struct store *s, int which)
{
    watch_fire(s, &(struct change){ .path = special_name[which], .perms = s->special[which],
                                    .exact = true });
}

/* ---- Death ---- */

/* The topmost nodes that a domain owns; what lies below them goes with them. */
struct owned {
    uint16_t domid;
    char **path;
    size_t count, room;
};

static int collect_owned(void *arg, const char *path, const struct node *n, bool *skip)
{
    struct owned *o = arg;

    if (perms_owner(n->perms) != o->domid || !path[1])
        return 0;
    if (o->count == o->room) {
        size_t room = o->room ? o->room * 2 : 16;
        char **grown = realloc(o->path, room * sizeof(*grown));
        if (!grown)
            return ENOMEM;
        o->path = grown;
        o->room = room;
    }
    o->path[o->count] = strdup(path);
    if (!o->path[o->count])
        return ENOMEM;
    o->count++;
    *skip = true;
    return 0;
}

static int remove_node(struct store *s, const char *path)
{
    struct tree old;
    int err;

    tree_share(&old, &s->tree);
    err = tree_remove(&s->tree, path, store_next_gen(s));
    if (!err)
        watch_fire_removed(s, &old, path, NULL);
    tree_drop(&old);
    return err;
}

/* XSA-419: a dead domain leaves no node of its own behind, wherever it made it. */
static void remove_owned(struct store *s, uint16_t domid, const char *below)
{
    struct owned o = { .domid = domid };
    int err;

    if (s->books.flat[domid].nodes <= 0)
        return;
    err = tree_walk(&s->tree, below, collect_owned, &o);
    for (size_t i = 0; i < o.count; i++) {
        if (!err)
            err = remove_node(s, o.path[i]);
        free(o.path[i]);
    }
    free(o.path);
    if (err && err != ENOENT)
        kr_log(KR_ERR, "domain %u: cannot remove its nodes: %s", domid, strerror(err));
}

static void disconnect(struct domain *d)
{
    struct conn *c = d->conn;

    if (!c)
        return;
    d->conn = NULL;
    conn_reset(c);
    conn_close(c);
    conn_kill(c);
}

static void domain_die(struct store *s, struct domain *d)
{
    char home[32];

    disconnect(d);
    LIST_REMOVE(d, link);
    snprintf(home, sizeof(home), "/local/domain/%u", d->domid);
    remove_owned(s, d->domid, home);
    remove_owned(s, d->domid, "/");
    d->gone = true;
    if (!d->nr_conns)
        free(d);
}

/* True if @releaseDomain is due. */
static bool domain_check(struct store *s, struct domain *d)
{
    struct host_domain info;
    int err = s->host.ops->domain_info(s->host.priv, d->domid, &info);

    if (err == -ESRCH || (!err && memcmp(info.handle, d->handle, sizeof(d->handle)))) {
        domain_die(s, d);
        return true;
    }
    if (err)
        return false;
    if (info.dying && d->conn) {
        disconnect(d);
        return true;
    }
    if (info.shutdown && !d->shutdown) {
        d->shutdown = true;
        return true;
    }
    return false;
}

void domain_check_all(struct store *s)
{
    struct domain *d, *next;
    bool fire = false;

    for (unsigned i = 0; i < DOMAIN_BUCKETS; i++)
        for (d = LIST_FIRST(&s->domains[i]); d; d = next) {
            next = LIST_NEXT(d, link);
            if (d->domid)
                fire |= domain_check(s, d);
        }
    if (fire)
        fire_special(s, SPECIAL_RELEASE);
}

void domain_free_all(struct store *s)
{
    for (unsigned i = 0; i < DOMAIN_BUCKETS; i++)
        while (!LIST_EMPTY(&s->domains[i])) {
            struct domain *d = LIST_FIRST(&s->domains[i]);
            LIST_REMOVE(d, link);
            free(d);
        }
}

/* ---- Introduction ---- */

int domain_introduce(struct store *s, uint16_t domid, uint64_t gfn, uint32_t port)
{
    struct domain *d = domain_find(s, domid);
    int err;

    /* A number that came back belongs to another domain, whatever the old one left. */
    if (d && domid && domain_check(s, d))
        fire_special(s, SPECIAL_RELEASE);
    d = domain_meet(s, domid);
    if (!d)
        return ENOENT;
    if (!domid)
        return EINVAL; /* its clients come by the socket */
    if (d->conn)
        return ring_rebind(d->conn, port);
    err = ring_connect(s, d, gfn, port);
    if (err) {
        kr_log(KR_WARN, "domain %u: cannot connect its ring: %s", domid, strerror(err));
        return err;
    }
    kr_log(KR_INFO, "domain %u introduced", domid);
    fire_special(s, SPECIAL_INTRODUCE);
    return 0;
}

int domain_release(struct store *s, uint16_t domid)
{
    struct domain *d = domain_find(s, domid);

    if (!d)
        return ENOENT;
    if (!d->conn)
        return EINVAL;
    disconnect(d);
    fire_special(s, SPECIAL_RELEASE);
    return 0;
}
