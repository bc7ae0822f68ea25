/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* fallocate, mremap */
/* The store's state as a stream of records: writing. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "xenstored/state.h"

#define SINK_STEP (1u << 20)

/* ---- The sink ---- */

int sink_open(struct sink *k, int fd)
{
    *k = (struct sink){ .fd = fd };
    sink_put(k, 0);
    return k->failed;
}

void sink_close(struct sink *k)
{
    if (k->base)
        munmap(k->base, k->room);
    if (k->fd >= 0)
        close(k->fd);
    *k = (struct sink){ .fd = -1, .failed = EBADF };
}

/* Space is reserved before it is mapped: writing to a hole of a full disk would be our end. */
static int sink_grow(struct sink *k, size_t len)
{
    size_t more = k->used / 2 + len + 1, room;
    void *p;

    more = (more + SINK_STEP - 1) / SINK_STEP * SINK_STEP;
    room = k->room + more;
    int err = posix_fallocate(k->fd, (off_t)k->room, (off_t)more);
    if (err)
        return err;
    p = k->base ? mremap(k->base, k->room, room, MREMAP_MAYMOVE)
                : mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
    if (p == MAP_FAILED)
        return errno;
    k->base = p;
#ifdef MADV_POPULATE_WRITE
    /* All pages at once are cheaper than one by one; where it cannot be done they come one by one. */
    madvise(k->base + k->room, more, MADV_POPULATE_WRITE);
#endif
    k->room = room;
    return 0;
}

void *sink_put(struct sink *k, size_t len)
{
    if (k->failed)
        return NULL;
    if (!k->base || len > k->room - k->used) {
        k->failed = sink_grow(k, len);
        if (k->failed)
            return NULL;
    }
    void *at = k->base + k->used;
    k->used += len;
    return at;
}

static size_t padded(size_t len)
{
    return (len + 7) & ~(size_t)7;
}

void *sink_record(struct sink *k, uint32_t type, size_t len)
{
    size_t full = padded(len);
    struct state_record *r = sink_put(k, sizeof(*r) + full);

    if (!r)
        return NULL;
    /* Xen's reader goes by the length alone, so padding is part of it. */
    *r = (struct state_record){ type, (uint32_t)full };
    memset((char *)(r + 1) + len, 0, full - len);
    return r + 1;
}

/* ---- Nodes ---- */

static uint8_t *put_perms(const struct store *s, uint8_t *at, const struct perms *p)
{
    static const char letters[] = "nrwb";

    for (unsigned i = 0; i < p->count; i++) {
        /* The owner's entry stays; read as a live one it would be the next domain's of that number. */
        bool expired = domain_entry_expired(s, &p->entry[i], p->gen);

        if (i && expired)
            continue;
        struct state_perm e = {
            .access = (uint8_t)letters[p->entry[i].rights & PERM_RIGHTS],
            .flags = expired || p->entry[i].rights & PERM_STALE ? STATE_PERM_IGNORE : 0,
            .domid = p->entry[i].domid,
        };
        memcpy(at, &e, sizeof(e));
        at += sizeof(e);
    }
    return at;
}

static unsigned live_perms(const struct store *s, const struct perms *p)
{
    unsigned n = 1;

    for (unsigned i = 1; i < p->count; i++)
        n += !domain_entry_expired(s, &p->entry[i], p->gen);
    return n;
}

/* n NULL: there is none. Returns the size; at NULL: only that. */
static size_t put_node(const struct store *s, uint8_t *at, const char *path, const struct node *n)
{
    size_t path_len = strlen(path) + 1;
    struct state_node h = { .path_len = (uint16_t)path_len };

    if (n) {
        h.value_len = n->value_len;
        h.perm_count = (uint16_t)live_perms(s, n->perms);
    }
    size_t len = sizeof(h) + h.perm_count * sizeof(struct state_perm) + path_len + h.value_len;
    if (!at)
        return len;
    memcpy(at, &h, sizeof(h));
    at += sizeof(h);
    if (n)
        at = put_perms(s, at, n->perms);
    memcpy(at, path, path_len);
    if (h.value_len)
        memcpy(at + path_len, node_value(n), h.value_len);
    return len;
}

void state_write_node(struct store *s, struct sink *k, const char *path, const struct node *n)
{
    uint8_t *at = sink_record(k, STATE_NODE, put_node(s, NULL, path, n));

    if (at)
        put_node(s, at, path, n);
}

/* The special events are written as nodes that hold nothing but their permissions. */
void state_write_special(struct store *s, struct sink *k, int which)
{
    struct node n = { .perms = s->special[which] };

    state_write_node(s, k, special_name[which], &n);
}

struct node_writer {
    struct store *s;
    struct sink *k;
};

static int write_one(void *arg, const char *path, const struct node *n, bool *skip)
{
    struct node_writer *w = arg;

    state_write_node(w->s, w->k, path, n);
    return w->k->failed;
}

/* ---- Domains and quotas ---- */

static size_t put_quotas(uint8_t *at, const unsigned *value, uint32_t which)
{
    size_t len = 0;

    for (int q = 0; q < QUOTA_COUNT; q++)
        if (which & 1u << q) {
            uint32_t v = value[q] ? value[q] : QUOTA_NONE_TEXT;
            if (at)
                memcpy(at + len, &v, sizeof(v));
            len += sizeof(v);
        }
    for (int q = 0; q < QUOTA_COUNT; q++)
        if (which & 1u << q) {
            size_t n = strlen(quota_info[q].name) + 1;
            if (at)
                memcpy(at + len, quota_info[q].name, n);
            len += n;
        }
    return len;
}

void state_write_global_quota(const struct store *s, struct sink *k)
{
    const uint32_t all = (1u << QUOTA_COUNT) - 1;
    struct state_quota h = { .a = QUOTA_COUNT };
    uint8_t *at = sink_record(k, STATE_GLOBAL_QUOTA, sizeof(h) + put_quotas(NULL, s->quota, all));

    if (!at)
        return;
    memcpy(at, &h, sizeof(h));
    put_quotas(at + sizeof(h), s->quota, all);
}

static void write_identity(struct sink *k, const struct domain *d)
{
    struct state_kr_domain kr = {
        .domid = d->domid, .target = d->target,
        .flags = (d->shutdown ? STATE_DOM_SHUTDOWN : 0) | (d->has_target ? STATE_DOM_TARGET : 0),
    };
    uint8_t *at = sink_record(k, STATE_KR_DOMAIN, sizeof(kr));

    memcpy(kr.handle, d->handle, sizeof(kr.handle));
    if (at)
        memcpy(at, &kr, sizeof(kr));
}

/* Xen 4.22's reader gives up at a domain that it has not met as a connection's. */
static void write_settings(struct sink *k, const struct domain *d)
{
    struct state_quota h = { .a = d->domid, .b = (uint16_t)__builtin_popcount(d->quota_own) };
    uint8_t *at = sink_record(k, d->conn && !d->conn->dead ? STATE_DOMAIN : STATE_KR_SETTINGS,
                              sizeof(h) + sizeof(d->features) + put_quotas(NULL, d->quota, d->quota_own));

    if (!at)
        return;
    memcpy(at, &h, sizeof(h));
    memcpy(at + sizeof(h), &d->features, sizeof(d->features));
    put_quotas(at + sizeof(h) + sizeof(d->features), d->quota, d->quota_own);
}

void state_write_domain(struct sink *k, const struct domain *d)
{
    write_identity(k, d);
    write_settings(k, d);
}

/* ---- Connections ---- */

static void put_out(uint8_t *at, const struct conn *c)
{
    const struct outmsg *m;

    TAILQ_FOREACH(m, &c->out, link) {
        memcpy(at, m->data + m->sent, m->len - m->sent);
        at += m->len - m->sent;
    }
}

void state_write_conn(struct sink *k, struct conn *c)
{
    const struct outmsg *first = TAILQ_FIRST(&c->out);
    struct state_conn h = {
        .conn_id = c->id, .in_len = (uint16_t)c->in_have,
        .resp_len = first && (first->sent || first->tail) ? (uint16_t)(first->len - first->sent) : 0,
        .out_len = (uint32_t)(c->out_bytes - (first ? first->sent : 0)),
    };

    c->ops->save(c, &h);
    uint8_t *at = sink_record(k, STATE_CONN, sizeof(h) + h.in_len + h.out_len);
    if (!at)
        return;
    memcpy(at, &h, sizeof(h));
    memcpy(at + sizeof(h), c->in + c->in_at, h.in_len);
    put_out(at + sizeof(h) + h.in_len, c);
    if (h.type == STATE_CONN_RING) {
        struct state_kr_ring r = { .conn_id = c->id };
        ring_save(c, &r);
        at = sink_record(k, STATE_KR_RING, sizeof(r));
        if (at)
            memcpy(at, &r, sizeof(r));
    }
}

/* A path as the client gave it, which is what Xen's reader wants. */
static const char *as_given(const struct watch *w, size_t *len)
{
    *len = strlen(w->path) - w->skip + 1;
    return w->path + w->skip;
}

void state_write_watch(struct sink *k, const struct watch *w, bool removed, unsigned version)
{
    size_t path_len, token_len = strlen(w->token) + 1;
    const char *path = as_given(w, &path_len);
    bool depth = w->depth != DEPTH_ANY && !removed && version != 1;
    struct state_watch_depth h = {
        .conn_id = w->conn->id, .path_len = (uint16_t)path_len, .token_len = (uint16_t)token_len,
        .depth = w->depth,
    };
    size_t size = depth ? sizeof(h) : sizeof(struct state_watch); /* which is how the longer begins */
    uint32_t type = removed ? STATE_KR_UNWATCH : depth ? STATE_WATCH_DEPTH : STATE_WATCH;
    uint8_t *at = sink_record(k, type, size + path_len + token_len);

    if (!at)
        return;
    memcpy(at, &h, size);
    memcpy(at + size, path, path_len);
    memcpy(at + size + path_len, w->token, token_len);
}

/* ---- Transactions ---- */

static void write_tx_node(struct store *s, struct sink *k, const struct tx *tx,
                          const struct tx_record *r)
{
    const struct node *n = r->access & TX_WROTE ? tree_find(&tx->work, r->path) : NULL;
    struct state_kr_tx_node h = { .access = r->access, .present = n != NULL };
    uint8_t *at = sink_record(k, STATE_KR_TX_NODE, sizeof(h) + put_node(s, NULL, r->path, n));

    if (!at)
        return;
    memcpy(at, &h, sizeof(h));
    put_node(s, at + sizeof(h), r->path, n);
}

static int by_path(const void *a, const void *b)
{
    const struct tx_record *x = *(const struct tx_record *const *)a;
    const struct tx_record *y = *(const struct tx_record *const *)b;

    return strcmp(x->path, y->path);
}

/* Parents first: what was removed and made again must not take with it what is in it by now. */
static int write_tx_nodes(struct store *s, struct sink *k, const struct tx *tx)
{
    const struct tx_record **sorted = malloc((tx->count + 1) * sizeof(*sorted)), *r;
    unsigned n = 0;

    if (!sorted)
        return ENOMEM;
    TAILQ_FOREACH(r, &tx->records, link)
        sorted[n++] = r;
    qsort(sorted, n, sizeof(*sorted), by_path);
    for (unsigned i = 0; i < n; i++)
        write_tx_node(s, k, tx, sorted[i]);
    free(sorted);
    return 0;
}

static void write_tx(struct store *s, struct sink *k, const struct conn *c, const struct tx *tx,
                     bool contents)
{
    struct state_tx h = { c->id, tx->id };
    struct state_kr_tx kr = { c->id, tx->id, .doomed = !tx_is_current(s, tx) };
    void *at = sink_record(k, STATE_TX, sizeof(h));

    if (at)
        memcpy(at, &h, sizeof(h));
    at = contents ? sink_record(k, STATE_KR_TX, sizeof(kr)) : NULL;
    if (at)
        memcpy(at, &kr, sizeof(kr));
    if (contents && write_tx_nodes(s, k, tx) && !k->failed)
        k->failed = ENOMEM;
}

/* ---- The whole ---- */

static bool needs_version_2(const struct store *s)
{
    const struct conn *c;
    const struct watch *w;

    TAILQ_FOREACH(c, &s->conns, link)
        LIST_FOREACH(w, &c->watches, conn_link)
            if (w->depth != DEPTH_ANY)
                return true;
    return false;
}

void state_write_header(struct store *s, struct sink *k, unsigned version)
{
    struct state_header h = { .ident = { 0 } };
    void *at = sink_put(k, sizeof(h));

    memcpy(h.ident, STATE_IDENT, sizeof(h.ident));
    h.version = htonl(version ? version : needs_version_2(s) ? 2 : 1);
    h.flags = htonl(__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    if (at)
        memcpy(at, &h, sizeof(h));
}

static void write_kr_global(const struct store *s, struct sink *k, const struct state_fds *fds)
{
    struct state_kr_global kr = {
        .generation = s->generation, .trace = s->trace, .trace_switches = s->trace_switches,
        .event_timeout_ms = s->event_timeout_ms, .nr_fds = fds ? fds->nr_listen : 0,
    };
    size_t list = kr.nr_fds * sizeof(int);
    uint8_t *at = sink_record(k, STATE_KR_GLOBAL, sizeof(kr) + list);

    if (at)
        memcpy(at, &kr, sizeof(kr));
    if (at && list)
        memcpy(at + sizeof(kr), fds->listen, list);
}

static void write_log_path(const struct store *s, struct sink *k)
{
    size_t len = s->log_path ? strlen(s->log_path) + 1 : 0;
    void *at = len ? sink_record(k, STATE_KR_LOG, len) : NULL;

    if (at)
        memcpy(at, s->log_path, len);
}

void state_write_log(const struct store *s, struct sink *k)
{
    write_kr_global(s, k, NULL);
    write_log_path(s, k);
}

static void write_globals(struct store *s, struct sink *k, const struct state_fds *fds)
{
    if (fds) {
        struct state_global g = { fds->nr_listen ? fds->listen[0] : -1, fds->evtchn };
        void *at = sink_record(k, STATE_GLOBAL, sizeof(g));
        if (at)
            memcpy(at, &g, sizeof(g));
    }
    write_kr_global(s, k, fds);
    write_log_path(s, k);
}

/* Xen's daemon takes it for granted that domain 0 has a ring; ours has none. */
static void write_dom0(struct sink *k, int port)
{
    struct state_conn h = { .conn_id = UINT32_MAX, .type = STATE_CONN_RING };
    void *at = sink_record(k, STATE_CONN, sizeof(h));

    h.u.ring.target = STATE_NO_TARGET;
    h.u.ring.evtchn = (uint32_t)port;
    if (at)
        memcpy(at, &h, sizeof(h));
}

static void write_conns(struct store *s, struct sink *k, bool sockets, unsigned version)
{
    const struct watch *w;
    struct conn *c;

    TAILQ_FOREACH(c, &s->conns, link) {
        if (c->dead || !c->transport || !c->ops->save || (!sockets && !c->ops->persistent))
            continue;
        state_write_conn(k, c);
        LIST_FOREACH(w, &c->watches, conn_link)
            state_write_watch(k, w, false, version);
    }
}

static void write_txs(struct store *s, struct sink *k, bool sockets)
{
    const struct tx *tx;
    struct conn *c;

    TAILQ_FOREACH(c, &s->conns, link)
        if (!c->dead && c->transport && c->ops->save && (sockets || c->ops->persistent))
            TAILQ_FOREACH(tx, &c->txs, link)
                write_tx(s, k, c, tx, sockets);
}

void state_write(struct store *s, struct sink *k, const struct state_fds *fds, unsigned version)
{
    struct node_writer w = { s, k };
    const struct domain *d;

    write_globals(s, k, fds);
    state_write_global_quota(s, k);
    LIST_FOREACH(d, &s->domains, link)
        if (d->domid)
            write_identity(k, d);
    if (fds && fds->dom0_port > 0)
        write_dom0(k, fds->dom0_port);
    write_conns(s, k, fds != NULL, version);
    LIST_FOREACH(d, &s->domains, link)
        if (d->domid)
            write_settings(k, d);
    int err = tree_walk(&s->tree, "/", write_one, &w);
    if (err && !k->failed)
        k->failed = err;
    for (int i = 0; i < SPECIAL_COUNT; i++)
        state_write_special(s, k, i);
    write_txs(s, k, fds != NULL);
}

void state_write_end(struct sink *k)
{
    sink_record(k, STATE_END, 0);
}
