/* SPDX-License-Identifier: MIT */
/*
 * The store's state as a stream of records: reading. Nothing in a stream is believed: every length is
 * checked against what is there, every path and number as if a client had sent it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>

#include "common/log.h"
#include "xenstored/state.h"

#define CONN_BUCKETS 256

struct loaded_conn {
    SLIST_ENTRY(loaded_conn) link;
    uint32_t id;
    struct conn *c;
};

SLIST_HEAD(loaded_list, loaded_conn);

struct loader {
    struct store *s;
    struct state_found found;
    struct loaded_list conns[CONN_BUCKETS];
    struct perms *last;         /* nodes in a row often have equal permissions, and share them */
};

/* A record's body, taken from the front. */
struct body {
    const uint8_t *p;
    size_t len;
};

static int take(struct body *b, void *out, size_t len)
{
    if (len > b->len)
        return EINVAL;
    memcpy(out, b->p, len);
    b->p += len;
    b->len -= len;
    return 0;
}

static const void *take_bytes(struct body *b, size_t len)
{
    const uint8_t *p = b->p;

    if (len > b->len)
        return NULL;
    b->p += len;
    b->len -= len;
    return p;
}

/* len bytes that end with their only NUL; NULL if they do not. */
static const char *take_string(struct body *b, size_t len)
{
    const char *p = take_bytes(b, len);

    return p && len && strnlen(p, len) == len - 1 ? p : NULL;
}

/* ---- Connections ---- */

static struct loaded_list *conn_bucket(struct loader *l, uint32_t id)
{
    return &l->conns[(id ^ id >> 8) % CONN_BUCKETS];
}

static struct conn *conn_by_id(struct loader *l, uint32_t id)
{
    struct loaded_conn *lc;

    SLIST_FOREACH(lc, conn_bucket(l, id), link)
        if (lc->id == id)
            return lc->c;
    return NULL;
}

static int conn_remember(struct loader *l, uint32_t id, struct conn *c)
{
    struct loaded_conn *lc = malloc(sizeof(*lc));

    if (!lc)
        return ENOMEM;
    lc->id = id;
    lc->c = c;
    SLIST_INSERT_HEAD(conn_bucket(l, id), lc, link);
    return 0;
}

static void conn_forget(struct loader *l, uint32_t id)
{
    struct loaded_conn *lc;

    SLIST_FOREACH(lc, conn_bucket(l, id), link)
        if (lc->id == id) {
            SLIST_REMOVE(conn_bucket(l, id), lc, loaded_conn, link);
            free(lc);
            return;
        }
}

static int ring_conn(struct loader *l, const struct state_conn *h, struct conn **out)
{
    struct domain *d = h->u.ring.domid ? domain_meet(l->s, h->u.ring.domid) : NULL;

    if (!d) {
        /*
         * It has died; or it is domain 0, whose kernel Xen's daemon has a ring with. What belongs to
         * the connection is passed over.
         */
        *out = NULL;
        return h->u.ring.domid < DOMID_FIRST_RESERVED ? 0 : EINVAL;
    }
    if (d->conn)
        return EINVAL;
    if (h->u.ring.target != STATE_NO_TARGET && h->u.ring.target) {
        d->has_target = true;
        d->target = h->u.ring.target;
    }
    *out = ring_load(l->s, d, h->u.ring.evtchn);
    return *out ? 0 : ENOMEM;
}

/* The same connection again: its buffers as they are now. */
static int buffers(struct conn *c, const struct state_conn *h, struct body *b)
{
    const void *in = take_bytes(b, h->in_len), *out = take_bytes(b, h->out_len);

    if (!in || !out)
        return EINVAL;
    conn_drop_buffers(c);
    int err = conn_load_input(c, in, h->in_len);
    return err ? err : conn_load_output(c, out, h->out_len, h->resp_len);
}

static int load_conn(struct loader *l, struct body *b)
{
    struct state_conn h;
    struct conn *c;
    int err = take(b, &h, sizeof(h));

    if (err || !h.conn_id)
        return EINVAL;
    c = conn_by_id(l, h.conn_id);
    if (!c) {
        if (h.type == STATE_CONN_RING)
            err = ring_conn(l, &h, &c);
        else if (h.type == STATE_CONN_SOCKET && l->s->adopt)
            err = (c = l->s->adopt(l->s, h.u.socket_fd)) ? 0 : EBADF;
        else
            err = EINVAL;
        if (!err && c)
            err = conn_remember(l, h.conn_id, c);
    }
    return err || !c ? err : buffers(c, &h, b);
}

static int load_ring(struct loader *l, struct body *b)
{
    struct state_kr_ring r;
    int err = take(b, &r, sizeof(r));
    struct conn *c = err ? NULL : conn_by_id(l, r.conn_id);

    if (err)
        return err;
    if (c && !c->ops->persistent)
        return EINVAL;
    if (c)
        ring_load_state(c, &r);
    return 0;
}

/* ---- Watches ---- */

static int watch_parts(struct loader *l, struct body *b, const struct state_watch_depth *h,
                       char *path, size_t *skip, const char **token)
{
    const char *given = take_string(b, h->path_len);
    struct conn *c = conn_by_id(l, h->conn_id);

    *skip = 0;
    *token = take_string(b, h->token_len);
    if (!given || !*token)
        return EINVAL;
    if (!c)
        return ESRCH;
    if (*given != '/' && *given != '@')
        *skip = (size_t)snprintf(path, PATH_ABS_MAX, "/local/domain/%u/", c->dom->domid);
    if (*skip + h->path_len > PATH_ABS_MAX)
        return EINVAL;
    memcpy(path + *skip, given, h->path_len);
    return path_valid(path) ? 0 : EINVAL;
}

static int load_watch(struct loader *l, struct body *b, uint32_t type)
{
    struct state_watch_depth h = { .depth = DEPTH_ANY };
    size_t size = type == STATE_WATCH_DEPTH ? sizeof(h) : sizeof(struct state_watch), skip;
    char path[PATH_ABS_MAX + 1];
    const char *token;
    int err = take(b, &h, size);

    if (!err)
        err = watch_parts(l, b, &h, path, &skip, &token);
    if (err)
        return err == ESRCH ? 0 : err;
    struct conn *c = conn_by_id(l, h.conn_id);
    if (type == STATE_KR_UNWATCH)
        return watch_remove(c, path, token);
    return watch_load(c, path, skip, token, h.depth);
}

/* ---- Nodes ---- */

static int load_perms(struct loader *l, struct body *b, unsigned count, struct perms **out)
{
    struct perm entry[PERMS_MAX];

    if (!count || count > PERMS_MAX)
        return EINVAL;
    for (unsigned i = 0; i < count; i++) {
        static const char letters[] = "nrwb";
        struct state_perm e;
        const char *letter;

        if (take(b, &e, sizeof(e)) || !e.access || !(letter = strchr(letters, e.access)))
            return EINVAL;
        entry[i] = (struct perm){ e.domid, (uint16_t)(letter - letters) };
        if (e.flags & STATE_PERM_IGNORE)
            entry[i].rights |= PERM_STALE;
        else if (e.domid < DOMID_FIRST_RESERVED && !domain_meet(l->s, e.domid))
            entry[i].rights |= PERM_STALE;
    }
    if (!l->last || l->last->count != count ||
        memcmp(l->last->entry, entry, count * sizeof(entry[0])) || l->last->gen < l->s->last_birth) {
        perms_unref(l->last);
        l->last = perms_new(entry, count, store_next_gen(l->s));
    }
    *out = l->last;
    return *out ? 0 : ENOMEM;
}

static int set_node(struct tree *t, const char *path, struct perms *p, const void *value, size_t len,
                    uint64_t gen)
{
    const struct node *n = tree_find(t, path);
    int err = 0;

    if (!n)
        return tree_create(t, path, p, value, len, gen);
    if (n->perms != p)
        err = tree_set_perms(t, path, p, gen);
    return err ? err : tree_set_value(t, path, value, len, gen);
}

struct loaded_node {
    struct state_node h;
    struct perms *perms;        /* the loader's reference */
    const char *path;
    const void *value;
};

static int take_node(struct loader *l, struct body *b, struct loaded_node *n)
{
    int err = take(b, &n->h, sizeof(n->h));

    n->perms = NULL;
    if (!err && n->h.perm_count)
        err = load_perms(l, b, n->h.perm_count, &n->perms);
    if (err)
        return err;
    n->path = take_string(b, n->h.path_len);
    n->value = take_bytes(b, n->h.value_len);
    return n->path && n->value && path_valid(n->path) ? 0 : EINVAL;
}

static int load_special(struct store *s, const struct loaded_node *n)
{
    for (int i = 0; i < SPECIAL_COUNT; i++)
        if (!strcmp(n->path, special_name[i])) {
            perms_unref(s->special[i]);
            s->special[i] = perms_ref(n->perms);
        }
    return 0;
}

static int load_node(struct loader *l, struct body *b)
{
    struct loaded_node n;
    int err = take_node(l, b, &n);

    if (err)
        return err;
    if (n.h.conn_id)
        return 0; /* of a transaction that will not be committed */
    if (!n.perms)
        return EINVAL;
    if (path_is_special(n.path))
        return load_special(l->s, &n);
    return set_node(&l->s->tree, n.path, n.perms, n.value, n.h.value_len, store_next_gen(l->s));
}

static int load_removed(struct loader *l, struct body *b)
{
    const char *path = take_string(b, strnlen((const char *)b->p, b->len) + 1);

    if (!path || !path_valid(path) || path_is_special(path))
        return EINVAL;
    int err = tree_remove(&l->s->tree, path, store_next_gen(l->s));
    return err == ENOENT ? 0 : err; /* a transaction removed it, and what it was in, too */
}

/* ---- Transactions ---- */

static struct tx *find_tx(struct loader *l, uint32_t conn_id, uint32_t tx_id)
{
    struct conn *c = conn_by_id(l, conn_id);

    return c ? tx_find(c, tx_id) : NULL;
}

static int load_tx(struct loader *l, struct body *b)
{
    struct state_tx h;
    int err = take(b, &h, sizeof(h));
    struct conn *c = err ? NULL : conn_by_id(l, h.conn_id);

    if (err || !h.tx_id)
        return EINVAL;
    if (!c)
        return 0;
    return tx_find(c, h.tx_id) ? EINVAL : tx_load(c, h.tx_id);
}

static int load_tx_end(struct loader *l, struct body *b)
{
    struct state_tx h;
    int err = take(b, &h, sizeof(h));
    struct tx *tx = err ? NULL : find_tx(l, h.conn_id, h.tx_id);

    if (tx)
        tx_free(conn_by_id(l, h.conn_id), tx);
    return err;
}

/* The records that follow are of this one. */
static int load_kr_tx(struct loader *l, struct body *b, struct tx **out, struct conn **c)
{
    struct state_kr_tx h;
    int err = take(b, &h, sizeof(h));

    *out = NULL;
    if (err)
        return err;
    *c = conn_by_id(l, h.conn_id);
    *out = find_tx(l, h.conn_id, h.tx_id);
    if (*out)
        tx_load_base(*c, *out, h.doomed);
    return 0;
}

static int load_tx_node(struct loader *l, struct body *b, struct tx *tx, struct conn *c)
{
    struct state_kr_tx_node h;
    struct loaded_node n;
    int err = take(b, &h, sizeof(h));

    if (!err)
        err = take_node(l, b, &n);
    if (err || (h.present && !n.perms) || path_is_special(n.path))
        return EINVAL;
    if (!tx)
        return 0;
    if (h.access & TX_REMOVED && n.path[1] && tree_find(&tx->work, n.path))
        err = tree_remove(&tx->work, n.path, store_next_gen(l->s));
    if (!err && h.access & TX_WROTE && h.present)
        err = set_node(&tx->work, n.path, n.perms, n.value, n.h.value_len, store_next_gen(l->s));
    return err ? err : tx_load_record(c, tx, n.path, h.access);
}

/* ---- Domains, quotas, the rest ---- */

static int take_quotas(struct loader *l, struct body *b, struct domain *d, unsigned count)
{
    const uint8_t *value = take_bytes(b, count * sizeof(uint32_t));

    if (!value)
        return EINVAL;
    for (unsigned i = 0; i < count; i++) {
        const char *name = take_string(b, strnlen((const char *)b->p, b->len) + 1);
        uint32_t v;

        if (!name)
            return EINVAL;
        memcpy(&v, value + i * sizeof(v), sizeof(v));
        int q = quota_by_name(name);
        if (q >= 0)
            quota_set(l->s, d, (enum quota_id)q, v);
    }
    return 0;
}

static int load_global_quota(struct loader *l, struct body *b)
{
    struct state_quota h;
    int err = take(b, &h, sizeof(h));

    return err ? err : take_quotas(l, b, NULL, h.a + h.b);
}

static int load_domain(struct loader *l, struct body *b)
{
    struct state_quota h;
    uint32_t features;
    int err = take(b, &h, sizeof(h));

    if (!err)
        err = take(b, &features, sizeof(features));
    if (err || h.a >= DOMID_FIRST_RESERVED)
        return EINVAL;
    struct domain *d = h.a ? domain_meet(l->s, h.a) : NULL;
    if (!d)
        return 0;
    d->features = features & STORE_FEATURES;
    return take_quotas(l, b, d, h.b);
}

static int load_kr_domain(struct loader *l, struct body *b)
{
    struct state_kr_domain h;
    int err = take(b, &h, sizeof(h));

    if (err || !h.domid || h.domid >= DOMID_FIRST_RESERVED)
        return EINVAL;
    struct domain *d = domain_find(l->s, h.domid);
    if (!d)
        d = domain_load(l->s, h.domid, h.handle);
    if (!d)
        return ENOMEM;
    d->shutdown = h.flags & STATE_DOM_SHUTDOWN;
    d->has_target = h.flags & STATE_DOM_TARGET;
    d->target = h.target;
    return 0;
}

static int load_domain_gone(struct loader *l, struct body *b)
{
    uint32_t domid;
    int err = take(b, &domid, sizeof(domid));
    struct domain *d = err || !domid || domid >= DOMID_FIRST_RESERVED ? NULL
                                                                     : domain_find(l->s, (uint16_t)domid);
    if (!d)
        return EINVAL;
    if (d->conn)
        return EINVAL; /* a record of its own comes before */
    domain_unload(l->s, d);
    return 0;
}

static int load_kr_global(struct loader *l, struct body *b)
{
    struct state_kr_global h;
    int err = take(b, &h, sizeof(h));

    if (err)
        return err;
    if (h.generation > l->s->generation && h.generation < UINT64_MAX / 2)
        l->s->generation = h.generation;
    l->s->trace = h.trace & TRACE_ALL;
    l->s->trace_switches = h.trace_switches & TRACE_ALL;
    l->s->event_timeout_ms = h.event_timeout_ms;
    return 0;
}

/* Only remembered: what a state names is opened when all of it has been found good (store_log_reopen()). */
static int load_log(struct store *s, struct body *b)
{
    const char *path = take_string(b, strnlen((const char *)b->p, b->len) + 1);

    if (!path || !*path || strlen(path) >= PATH_MAX)
        return EINVAL;
    free(s->log_path);
    s->log_path = strdup(path);
    return s->log_path ? 0 : ENOMEM;
}

/* ---- What happens on a ring ---- */

static int load_ring_event(struct loader *l, struct body *b, uint32_t type)
{
    struct state_kr_conn h;
    int err = take(b, &h, sizeof(h));
    struct conn *c = err ? NULL : conn_by_id(l, h.conn_id);
    const void *bytes = NULL;

    if (err)
        return err;
    if (type == STATE_KR_RING_IN || type == STATE_KR_RING_MSG)
        bytes = take_bytes(b, h.len);
    if (!c)
        return 0; /* of a domain that has died */
    if (!c->ops->persistent)
        return EINVAL;
    switch (type) {
    case STATE_KR_RING_IN:
        ring_load_consumed(c, h.n);
        return bytes ? conn_load_input(c, bytes, h.len) : EINVAL;
    case STATE_KR_RING_USED: return conn_load_used(c, h.n);
    case STATE_KR_RING_MSG: return bytes ? conn_load_output(c, bytes, h.len, 0) : EINVAL;
    case STATE_KR_RING_OUT:
        ring_load_produced(c, h.n);
        return conn_load_sent(c, h.len);
    case STATE_KR_CONN_RESET: conn_reset(c); return 0;
    default: break;
    }
    conn_forget(l, h.conn_id);
    conn_unload(c);
    return 0;
}

/* ---- The stream ---- */

/* A transaction's records follow its own directly. */
struct current_tx {
    struct tx *tx;
    struct conn *c;
};

static int load_record(struct loader *l, uint32_t type, struct body *b, struct current_tx *t)
{
    switch (type) {
    case STATE_GLOBAL: return 0;        /* state_peek() has seen it */
    case STATE_CONN: return load_conn(l, b);
    case STATE_WATCH: case STATE_WATCH_DEPTH: case STATE_KR_UNWATCH: return load_watch(l, b, type);
    case STATE_TX: return load_tx(l, b);
    case STATE_NODE: return load_node(l, b);
    case STATE_GLOBAL_QUOTA: return load_global_quota(l, b);
    case STATE_DOMAIN: case STATE_KR_SETTINGS: return load_domain(l, b);
    case STATE_KR_GLOBAL: return load_kr_global(l, b);
    case STATE_KR_DOMAIN: return load_kr_domain(l, b);
    case STATE_KR_RING: return load_ring(l, b);
    case STATE_KR_TX: return load_kr_tx(l, b, &t->tx, &t->c);
    case STATE_KR_TX_NODE: return load_tx_node(l, b, t->tx, t->c);
    case STATE_KR_REMOVED: return load_removed(l, b);
    case STATE_KR_DOMAIN_GONE: return load_domain_gone(l, b);
    case STATE_KR_TX_END: return load_tx_end(l, b);
    case STATE_KR_LOG: return load_log(l->s, b);
    case STATE_KR_RING_IN: case STATE_KR_RING_USED: case STATE_KR_RING_MSG: case STATE_KR_RING_OUT:
    case STATE_KR_CONN_GONE: case STATE_KR_CONN_RESET: return load_ring_event(l, b, type);
    default: return 0;                  /* as Xen's reader does */
    }
}

static int check_header(struct body *b)
{
    struct state_header h;

    if (take(b, &h, sizeof(h)) || memcmp(h.ident, STATE_IDENT, sizeof(h.ident)))
        return EINVAL;
    if (!ntohl(h.version) || ntohl(h.version) > 2)
        return ENOTSUP;
    return ntohl(h.flags) == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) ? 0 : ENOTSUP;
}

/* The next record, or EINVAL; *type STATE_END after the last. */
static int next_record(struct body *b, uint32_t *type, struct body *record)
{
    struct state_record h;

    *type = STATE_END;
    if (!b->len)
        return 0;
    if (take(b, &h, sizeof(h)) || h.len % 8)
        return EINVAL;
    *type = h.type;
    record->len = h.len;
    record->p = take_bytes(b, h.len);
    return record->p ? 0 : EINVAL;
}

static int peek_fds(struct body *b, struct state_found *out)
{
    struct state_kr_global h;

    if (take(b, &h, sizeof(h)) || h.nr_fds > sizeof(out->listen) / sizeof(out->listen[0]))
        return EINVAL;
    if (h.nr_fds)
        out->nr_listen = h.nr_fds;
    return take(b, out->listen, h.nr_fds * sizeof(out->listen[0]));
}

int state_peek(const void *data, size_t len, struct state_found *out)
{
    struct body b = { data, len }, record;
    uint32_t type;
    int err = check_header(&b);

    *out = (struct state_found){ .evtchn = -1 };
    for (unsigned i = 0; !err && i < 2; i++) {
        err = next_record(&b, &type, &record);
        if (!err && type == STATE_GLOBAL) {
            struct state_global g;

            err = take(&record, &g, sizeof(g));
            if (!err && g.socket_fd >= 0)
                out->listen[out->nr_listen++] = g.socket_fd;
            out->evtchn = err ? -1 : g.evtchn_fd;
        } else if (!err && type == STATE_KR_GLOBAL) {
            err = peek_fds(&record, out);
        }
    }
    return err;
}

static int load_all(struct loader *l, struct body *b)
{
    struct current_tx t = { NULL, NULL };
    struct body record;
    uint32_t type;
    int err = check_header(b);

    while (!err) {
        size_t left = b->len;

        err = next_record(b, &type, &record);
        if (err || type == STATE_END)
            break;
        if (type != STATE_KR_TX_NODE)
            t.tx = NULL;
        err = load_record(l, type, &record, &t);
        if (err)
            kr_log(KR_ERR, "state: record of type %#x, %zu bytes before the end: %s", type, left,
                   strerror(err));
    }
    return err;
}

int state_load(struct store *s, const void *data, size_t len)
{
    struct loader l = { .s = s };
    struct body b = { data, len };
    struct conn *c;
    int err = load_all(&l, &b);

    perms_unref(l.last);
    for (unsigned i = 0; i < CONN_BUCKETS; i++) {
        struct loaded_conn *lc;

        while ((lc = SLIST_FIRST(&l.conns[i]))) {
            SLIST_REMOVE_HEAD(&l.conns[i], link);
            free(lc);
        }
    }
    domain_check_targets(s);
    TAILQ_FOREACH(c, &s->conns, link) {
        if (c->dead)
            continue;
        if (err) {
            conn_kill(c); /* it may be half of one */
            continue;
        }
        tx_load_done(c);
        if (c->ops->persistent)
            ring_load_done(c);
        conn_wake(c);
    }
    return err;
}
