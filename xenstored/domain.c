/* SPDX-License-Identifier: MIT */
/* Domains: met when something names them, introduced by the toolstack, forgotten when they die. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "xenstored/journal.h"
#include "xenstored/store.h"

struct domain *domain_find(const struct store *s, uint16_t domid)
{
    return s->by_domid[domid];
}

static struct domain *domain_new(struct store *s, uint16_t domid, const uint8_t *handle)
{
    struct domain *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->domid = domid;
    d->features = STORE_FEATURES;
    d->birth = s->last_birth = store_next_gen(s);
    memcpy(d->handle, handle, sizeof(d->handle));
    wrl_new_domain(d);
    s->by_domid[domid] = d;
    LIST_INSERT_HEAD(&s->domains, d, link);
    JOURNAL(s, journal_domain_(s, d));
    return d;
}

struct domain *domain_load(struct store *s, uint16_t domid, const uint8_t *handle)
{
    return domain_new(s, domid, handle);
}

/* d is out of the books. Its stub domain must not have the rights of the next that gets its number. */
static void forget_target(struct store *s, uint16_t domid)
{
    struct domain *d;

    LIST_FOREACH(d, &s->domains, link)
        if (d->has_target && d->target == domid)
            d->has_target = false;
}

void domain_check_targets(struct store *s)
{
    struct domain *d;

    LIST_FOREACH(d, &s->domains, link)
        if (d->has_target && !domain_find(s, d->target))
            d->has_target = false;
}

void domain_unload(struct store *s, struct domain *d)
{
    LIST_REMOVE(d, link);
    s->by_domid[d->domid] = NULL;
    forget_target(s, d->domid);
    d->gone = true;
    if (!d->nr_conns)
        free(d);
}

struct domain *domain_meet(struct store *s, uint16_t domid)
{
    struct domain *d = domain_find(s, domid);
    struct host_domain info = { 0 };

    if (d)
        return d;
    if (domid && (s->host.ops->domain_info(s->host.priv, domid, &info) || info.dying))
        return NULL;
    return domain_new(s, domid, info.handle);
}

bool domain_entry_expired(const struct store *s, const struct perm *e, uint64_t gen)
{
    const struct domain *d = s->by_domid[e->domid];

    if (!e->domid || e->domid == PERM_DOMID_ANY || e->rights & PERM_STALE)
        return false;
    return !d || d->birth > gen;
}

struct perms *domain_perms_copy(struct store *s, const struct perms *p)
{
    struct perms *copy = perms_new(p->entry, p->count, store_next_gen(s));

    if (!copy)
        return NULL;
    copy->count = 1;
    for (unsigned i = 1; i < p->count; i++)
        if (!domain_entry_expired(s, &p->entry[i], p->gen))
            copy->entry[copy->count++] = p->entry[i];
    return copy;
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

/* For those who watch with a depth: the event's name with the domain's number. */
static void fire_special_domain(struct store *s, int which, uint16_t domid)
{
    char path[32];

    snprintf(path, sizeof(path), "%s/%u", special_name[which], domid);
    watch_fire(s, &(struct change){ .path = path, .perms = s->special[which], .by_depth = true });
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
    if (!err) {
        store_removed(s, path);
        watch_fire_removed(s, &old, path, NULL);
    }
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
    JOURNAL_CONN(c, journal_conn_gone_(c));
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
    s->by_domid[d->domid] = NULL;
    forget_target(s, d->domid);
    JOURNAL(s, journal_domain_gone_(s, d->domid));
    snprintf(home, sizeof(home), "/local/domain/%u", d->domid);
    remove_owned(s, d->domid, home);
    remove_owned(s, d->domid, "/");
    fire_special_domain(s, SPECIAL_RELEASE, d->domid);
    d->gone = true;
    if (!d->nr_conns)
        free(d);
}

/* info NULL: there is no such domain. True if @releaseDomain is due. */
static bool domain_changed(struct store *s, struct domain *d, const struct host_domain *info)
{
    if (!info || memcmp(info->handle, d->handle, sizeof(d->handle))) {
        domain_die(s, d);
        return true;
    }
    if (info->dying && d->conn) {
        disconnect(d);
        fire_special_domain(s, SPECIAL_RELEASE, d->domid);
        return true;
    }
    if (info->shutdown && !d->shutdown) {
        d->shutdown = true;
        JOURNAL(s, journal_domain_(s, d));
        fire_special_domain(s, SPECIAL_RELEASE, d->domid);
        return true;
    }
    return false;
}

static bool domain_check(struct store *s, struct domain *d)
{
    struct host_domain info;
    int err = s->host.ops->domain_info(s->host.priv, d->domid, &info);

    if (err && err != -ESRCH)
        return false;
    return domain_changed(s, d, err ? NULL : &info);
}

struct round { struct store *s; bool fire; };

static void check_listed(void *arg, uint16_t domid, const struct host_domain *info)
{
    struct round *r = arg;
    struct domain *d = domain_find(r->s, domid);

    if (!d || !d->domid)
        return;
    d->seen = true;
    r->fire |= domain_changed(r->s, d, info);
}

/* All domains in a few hypercalls. 0 or a negative errno; *fire as above. */
static int check_list(struct store *s, bool *fire)
{
    struct round r = { s, false };
    struct domain *d, *next;

    LIST_FOREACH(d, &s->domains, link)
        d->seen = false;
    int err = host_each_domain(&s->host, check_listed, &r);
    for (d = LIST_FIRST(&s->domains); d && !err; d = next) {
        next = LIST_NEXT(d, link);
        if (d->domid && !d->seen)
            r.fire |= domain_changed(s, d, NULL);
    }
    *fire |= r.fire;
    return err;
}

void domain_check_all(struct store *s)
{
    struct domain *d, *next;
    bool fire = false;

    if (check_list(s, &fire))
        for (d = LIST_FIRST(&s->domains); d; d = next) {
            next = LIST_NEXT(d, link);
            if (d->domid)
                fire |= domain_check(s, d);
        }
    if (fire)
        fire_special(s, SPECIAL_RELEASE);
    JOURNAL(s, journal_commit_(s));
}

void domain_free_all(struct store *s)
{
    struct domain *d;

    while ((d = LIST_FIRST(&s->domains))) {
        LIST_REMOVE(d, link);
        free(d);
    }
    free(s->by_domid);
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
    fire_special_domain(s, SPECIAL_INTRODUCE, domid);
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
    fire_special_domain(s, SPECIAL_RELEASE, domid);
    return 0;
}
