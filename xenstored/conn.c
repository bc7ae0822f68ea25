/* SPDX-License-Identifier: MIT */
/* Connections: cutting input into messages, queueing output, fairness between them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "xenstored/hash.h"
#include "xenstored/journal.h"
#include "xenstored/store.h"

/* Requests that one connection may have handled, or nodes gone through, before the others get their turn. */
#define CONN_BATCH 32
/* Replies that a socket client may leave unread before its requests wait. */
#define CONN_OUT_MAX (1u << 20)
#define CONN_IOV 32
#define SETTLE_PASSES 2

struct conn *conn_new(struct store *s, struct domain *dom, const struct conn_ops *ops,
                      void *transport)
{
    struct conn *c = malloc(sizeof(*c));

    if (!c)
        return NULL;
    memset(c, 0, offsetof(struct conn, in));
    c->s = s;
    c->dom = dom;
    dom->nr_conns++;
    c->ops = ops;
    c->transport = transport;
    c->id = ++s->next_conn_id;
    c->next_tx = 1;
    c->events = c->few_events;
    c->nr_event_buckets = EVENT_BUCKETS;
    TAILQ_INIT(&c->out);
    TAILQ_INIT(&c->txs);
    LIST_INIT(&c->watches);
    TAILQ_INSERT_TAIL(&s->conns, c, link);
    s->nr_conns++;
    if (s->trace & TRACE_OBJ)
        store_log(s, "new %s %u dom %u", ops->kind, c->id, dom->domid);
    return c;
}

void conn_wake(struct conn *c)
{
    if (c->ready)
        return;
    c->ready = true;
    TAILQ_INSERT_TAIL(&c->s->ready, c, ready_link);
    if (c->s->kick && !c->s->settling)
        c->s->kick(c->s);
}

void conn_kill(struct conn *c)
{
    c->dead = true;
    conn_wake(c);
}

/* ---- Output ---- */

static uint32_t event_hash(const char *payload, size_t len)
{
    return (uint32_t)hash_name(payload, len, 2) | 1;
}

static void outmsg_free(struct conn *c, struct outmsg *m)
{
    TAILQ_REMOVE(&c->out, m, link);
    if (m->hash) {
        LIST_REMOVE(m, same);
        c->nr_events--;
    }
    c->out_bytes -= m->len;
    memory_give(c->dom, sizeof(*m) + m->len);
    cause_unref(c->s, m->cause);
    free(m);
}

/* Takes its own reference to cause. Events need room in the domain's memory. */
static int conn_queue(struct conn *c, const struct xsd_sockmsg *hdr, const void *data,
                      struct cause *cause)
{
    size_t len = sizeof(*hdr) + hdr->len;
    bool event = hdr->type == XS_WATCH_EVENT;
    struct outmsg *m;

    if (event && memory_take(c->s, c->dom, sizeof(*m) + len))
        return ENOMEM;
    if (!event)
        c->dom->memory += (int64_t)(sizeof(*m) + len);
    m = malloc(sizeof(*m) + len);
    if (!m) {
        memory_give(c->dom, sizeof(*m) + len);
        return ENOMEM;
    }
    m->len = (uint32_t)len;
    m->sent = 0;
    m->tail = false;
    m->hash = 0;
    m->cause = cause;
    if (cause)
        cause->refs++;
    m->deadline_ms = 0;
    if (event && !domain_privileged(c->dom) && c->s->event_timeout_ms && c->s->now_ms)
        m->deadline_ms = c->s->now_ms(c->s) + c->s->event_timeout_ms;
    if (m->deadline_ms)
        store_wake_at(c->s, m->deadline_ms);
    memcpy(m->data, hdr, sizeof(*hdr));
    if (hdr->len)
        memcpy(m->data + sizeof(*hdr), data, hdr->len);
    TAILQ_INSERT_TAIL(&c->out, m, link);
    c->out_bytes += len;
    JOURNAL_CONN(c, journal_ring_(c, STATE_KR_RING_MSG, 0,
                                  &(struct iovec){ m->data, m->len }, 1));
    conn_wake(c);
    return 0;
}

int conn_reply(struct request *rq, const void *data, size_t len)
{
    struct xsd_sockmsg hdr = rq->hdr;

    if (len > XENSTORE_PAYLOAD_MAX)
        return E2BIG;
    hdr.len = (uint32_t)len;
    if (rq->s->trace & TRACE_IO)
        store_log(rq->s, "out %u dom %u type %u tx %u len %u", rq->c->id, rq->c->dom->domid, hdr.type,
                  hdr.tx_id, hdr.len);
    if (conn_queue(rq->c, &hdr, data, rq->cause))
        conn_kill(rq->c); /* a client that got no reply would wait for ever */
    return 0;
}

void conn_unqueue_last(struct conn *c)
{
    struct outmsg *m = TAILQ_LAST(&c->out, outmsg_queue);

    if (m && !m->sent)
        outmsg_free(c, m);
}

void conn_error(struct request *rq, int err)
{
    const char *name = "EINVAL";

    for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
        if (xsd_errors[i].errnum == err)
            name = xsd_errors[i].errstring;
    rq->hdr.type = XS_ERROR;
    conn_reply(rq, name, strlen(name) + 1);
}

static struct outmsg_list *event_bucket(struct conn *c, uint32_t hash)
{
    return &c->events[hash % c->nr_event_buckets];
}

/* One request of another's can cause as many events as its nodes and our watches allow. */
static void more_buckets(struct conn *c)
{
    uint32_t nr = c->nr_event_buckets * 4;
    struct outmsg_list *grown = calloc(nr, sizeof(*grown)), *old = c->events;
    struct outmsg *m;

    if (!grown)
        return; /* the chains get longer */
    c->events = grown;
    c->nr_event_buckets = nr;
    TAILQ_FOREACH(m, &c->out, link)
        if (m->hash)
            LIST_INSERT_HEAD(event_bucket(c, m->hash), m, same);
    if (old != c->few_events)
        free(old);
}

/* A guest that is slow to read gets the same event once. */
static bool event_waits(struct conn *c, uint32_t hash, const char *payload, size_t len)
{
    const struct outmsg *m;

    LIST_FOREACH(m, event_bucket(c, hash), same)
        if (m->hash == hash && !m->sent && m->len == sizeof(struct xsd_sockmsg) + len &&
            !memcmp(m->data + sizeof(struct xsd_sockmsg), payload, len))
            return true;
    return false;
}

/* m is an event, not yet sent. */
static void event_remember(struct conn *c, struct outmsg *m)
{
    if (domain_privileged(c->dom))
        return;
    if (++c->nr_events > c->nr_event_buckets * 4)
        more_buckets(c);
    m->hash = event_hash(m->data + sizeof(struct xsd_sockmsg), m->len - sizeof(struct xsd_sockmsg));
    LIST_INSERT_HEAD(event_bucket(c, m->hash), m, same);
}

void conn_event(struct conn *c, const char *path, const char *token, struct cause *cause)
{
    char payload[XENSTORE_PAYLOAD_MAX];
    size_t path_len = strlen(path) + 1, token_len = strlen(token) + 1;
    struct xsd_sockmsg hdr = { .type = XS_WATCH_EVENT };

    /* XSA-324: what is too long for a message is dropped, not truncated. */
    if (c->dead || path_len + token_len > sizeof(payload))
        return;
    memcpy(payload, path, path_len);
    memcpy(payload + path_len, token, token_len);
    hdr.len = (uint32_t)(path_len + token_len);
    if (!domain_privileged(c->dom) && event_waits(c, event_hash(payload, hdr.len), payload, hdr.len))
        return;
    if (!conn_queue(c, &hdr, payload, cause))
        event_remember(c, TAILQ_LAST(&c->out, outmsg_queue));
}

static void sent_bytes(struct conn *c, size_t n)
{
    struct outmsg *m;

    while (n && (m = TAILQ_FIRST(&c->out))) {
        size_t left = m->len - m->sent;

        if (n < left) {
            m->sent += (uint32_t)n;
            return;
        }
        n -= left;
        outmsg_free(c, m);
    }
}

/* True when the peer may have room for more. */
static bool write_some(struct conn *c)
{
    struct iovec iov[CONN_IOV];
    struct outmsg *m;
    int count = 0;

    TAILQ_FOREACH(m, &c->out, link) {
        if (count == CONN_IOV)
            break;
        iov[count].iov_base = m->data + m->sent;
        iov[count++].iov_len = m->len - m->sent;
    }
    if (!count)
        return true;
    ssize_t n = c->ops->writev(c, iov, count);
    if (n < 0) {
        conn_kill(c);
        return false;
    }
    sent_bytes(c, (size_t)n);
    return n > 0; /* a ring's peer may have made room since, unannounced: see input_some() */
}

/* XSA-326: a client that does not take its replies has its next requests wait. */
static bool conn_stalled(struct conn *c)
{
    unsigned limit = quota_limit(c->s, c->dom, QUOTA_OUTSTANDING);

    c->rate_limited = wrl_blocked(c->s, c->dom);
    return c->rate_limited || c->waits_turn || c->out_bytes > CONN_OUT_MAX || (limit && c->dom->used[QUOTA_OUTSTANDING] >= limit);
}

static void set_interest(struct conn *c)
{
    c->muted = conn_stalled(c);
    c->ops->interest(c, !c->muted, !TAILQ_EMPTY(&c->out));
}

static void conn_output(struct conn *c)
{
    while (!c->dead && !TAILQ_EMPTY(&c->out) && write_some(c))
        ;
}

/* ---- Input ---- */

/* The first whole message in c->in, or 0, or -1 for one that breaks the protocol. */
static int next_message(const struct conn *c, struct xsd_sockmsg *hdr)
{
    if (c->in_have < sizeof(*hdr))
        return 0;
    memcpy(hdr, c->in + c->in_at, sizeof(*hdr));
    if (hdr->len > XENSTORE_PAYLOAD_MAX)
        return -1;
    return c->in_have - sizeof(*hdr) >= hdr->len;
}

/* One request that makes work for many uses up the turn of as many. */
static void spend(struct conn *c, int *budget)
{
    int n = c->work < CONN_BATCH ? 1 + (int)c->work : CONN_BATCH;

    *budget = *budget > n ? *budget - n : 0;
    c->work = 0;
}

/* Handles what is buffered, at most *budget messages. */
static void handle_buffered(struct conn *c, int *budget)
{
    struct xsd_sockmsg hdr;
    int got = 0;

    while (*budget && !c->dead && !conn_stalled(c) && (got = next_message(c, &hdr)) > 0) {
        const char *data = c->in + c->in_at + sizeof(hdr);
        size_t used = sizeof(hdr) + hdr.len;

        c->waits_turn = c->s->turn.tx && request_must_wait(c, &hdr, data);
        if (c->waits_turn)
            return;
        c->in_at += used;
        c->in_have -= used;
        JOURNAL_CONN(c, journal_ring_(c, STATE_KR_RING_USED, (uint32_t)used, NULL, 0));
        request_handle(c, &hdr, data);
        spend(c, budget);
        JOURNAL(c->s, journal_commit_(c->s));
    }
    if (got < 0)
        c->ops->fail(c, XENSTORE_ERROR_PROTO);
}

/* Where more input can go. */
static size_t input_room(struct conn *c)
{
    if (!c->in_have)
        c->in_at = 0;
    /* Room for a whole message behind what is there means that nothing need be moved. */
    if (sizeof(c->in) - c->in_at < sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX) {
        memmove(c->in, c->in + c->in_at, c->in_have);
        c->in_at = 0;
    }
    return sizeof(c->in) - c->in_at - c->in_have;
}

/*
 * True if it was cut short, and there may be more. Reads until there is nothing: Linux sends an
 * event only when it finds its ring empty, so what it adds while we read is not announced.
 */
static bool input_some(struct conn *c)
{
    int budget = CONN_BATCH;

    while (!c->dead) {
        handle_buffered(c, &budget);
        if (!budget)
            return true;
        size_t room = input_room(c);
        if (c->dead || !room || conn_stalled(c))
            return false;
        ssize_t n = c->ops->read(c, c->in + c->in_at + c->in_have, room);
        if (n < 0)
            conn_kill(c);
        if (n <= 0)
            return false;
        c->in_have += (size_t)n;
        if (c->ops->drained_by_short_read && (size_t)n < room) {
            handle_buffered(c, &budget);
            return !budget && !c->dead;
        }
    }
    return false;
}

/* ---- Ends ---- */

void conn_drop_buffers(struct conn *c)
{
    while (!TAILQ_EMPTY(&c->out))
        outmsg_free(c, TAILQ_FIRST(&c->out));
    c->in_at = c->in_have = 0;
}

void conn_reset(struct conn *c)
{
    watch_remove_all(c);
    while (!TAILQ_EMPTY(&c->txs))
        tx_free(c, TAILQ_FIRST(&c->txs));
    conn_drop_buffers(c);
    c->next_tx = 1;
}

void conn_close(struct conn *c)
{
    if (c->transport)
        c->ops->close(c);
    c->transport = NULL;
}

static void conn_free(struct conn *c)
{
    conn_reset(c);
    conn_close(c);
    if (c->s->trace & TRACE_OBJ)
        store_log(c->s, "end %u dom %u", c->id, c->dom->domid);
    TAILQ_REMOVE(&c->s->conns, c, link);
    c->s->nr_conns--;
    if (c->dom->conn == c)
        c->dom->conn = NULL;
    if (!--c->dom->nr_conns && c->dom->gone)
        free(c->dom);
    if (c->events != c->few_events)
        free(c->events);
    free(c);
}

static void serve(struct conn *c)
{
    bool more, stalled;

    if (c->ops->begin && !c->dead)
        c->ops->begin(c);
    conn_output(c);
    more = input_some(c);
    stalled = conn_stalled(c);
    conn_output(c);
    if (c->dead) {
        conn_free(c);
        return;
    }
    c->ready = false;
    set_interest(c);
    if (more || (stalled && !c->muted))
        conn_wake(c);
}

void store_settle(struct store *s)
{
    struct conn_queue now = TAILQ_HEAD_INITIALIZER(now);
    struct conn *c;

    /*
     * Connections that get ready meanwhile (watchers, most often) are served in the same call, and
     * those cut short in the next: the loop looks at others first.
     */
    for (int pass = 0; pass < SETTLE_PASSES && !TAILQ_EMPTY(&s->ready); pass++) {
        TAILQ_CONCAT(&now, &s->ready, ready_link);
        s->settling = true;
        while ((c = TAILQ_FIRST(&now))) {
            TAILQ_REMOVE(&now, c, ready_link);
            serve(c); /* still marked ready, so that nothing puts it into a list meanwhile */
        }
        s->settling = false;
    }
    JOURNAL(s, journal_commit_(s));
    journal_settle(s);
    if (!TAILQ_EMPTY(&s->ready) && s->kick)
        s->kick(s);
}

static void conn_tick(struct conn *c, uint64_t now)
{
    struct outmsg *m, *next;
    bool dropped = false;

    if (c->rate_limited)
        conn_wake(c);
    for (m = TAILQ_FIRST(&c->out); m; m = next) {
        next = TAILQ_NEXT(m, link);
        if (!m->deadline_ms)
            continue;
        if (!m->sent && now >= m->deadline_ms) {
            outmsg_free(c, m);
            dropped = true;
        } else {
            store_wake_at(c->s, m->deadline_ms > now ? m->deadline_ms : now + 1000);
        }
    }
    if (dropped)
        JOURNAL_CONN(c, journal_conn_(c, false));
}

void store_tick(struct store *s)
{
    uint64_t now = s->now_ms ? s->now_ms(s) : 0;
    struct conn *c;

    s->wake_ms = 0;
    TAILQ_FOREACH(c, &s->conns, link)
        if (!domain_privileged(c->dom))
            conn_tick(c, now);
    turn_tick(s, now);
    JOURNAL(s, journal_commit_(s));
}

/* ---- From a state ---- */

int conn_load_input(struct conn *c, const void *data, size_t len)
{
    if (len > input_room(c))
        return EINVAL;
    memcpy(c->in + c->in_at + c->in_have, data, len);
    c->in_have += len;
    return 0;
}

int conn_load_used(struct conn *c, size_t len)
{
    if (len > c->in_have)
        return EINVAL;
    c->in_at += len;
    c->in_have -= len;
    return 0;
}

enum loaded { REPLY, EVENT, TAIL };

/* One message, or the end of one. A reply is its request's last part that is outstanding. */
static int load_message(struct conn *c, const void *data, size_t len, enum loaded what)
{
    struct outmsg *m = malloc(sizeof(*m) + len);

    if (!m)
        return ENOMEM;
    *m = (struct outmsg){ .len = (uint32_t)len, .tail = what == TAIL };
    memcpy(m->data, data, len);
    if (what != EVENT)
        m->cause = cause_new(c->s, c->dom);
    if (what == EVENT && !domain_privileged(c->dom) && c->s->event_timeout_ms && c->s->now_ms) {
        m->deadline_ms = c->s->now_ms(c->s) + c->s->event_timeout_ms;
        store_wake_at(c->s, m->deadline_ms);
    }
    TAILQ_INSERT_TAIL(&c->out, m, link);
    if (what == EVENT)
        event_remember(c, m);
    c->out_bytes += len;
    c->dom->memory += (int64_t)(sizeof(*m) + len);
    return 0;
}

int conn_load_output(struct conn *c, const void *data, size_t len, size_t partial)
{
    const char *p = data;
    int err = 0;

    if (partial > len)
        return EINVAL;
    if (partial)
        err = load_message(c, p, partial, TAIL);
    p += partial;
    len -= partial;
    while (len && !err) {
        struct xsd_sockmsg hdr;

        if (len < sizeof(hdr))
            return EINVAL;
        memcpy(&hdr, p, sizeof(hdr));
        if (hdr.len > XENSTORE_PAYLOAD_MAX || sizeof(hdr) + hdr.len > len)
            return EINVAL;
        err = load_message(c, p, sizeof(hdr) + hdr.len, hdr.type == XS_WATCH_EVENT ? EVENT : REPLY);
        p += sizeof(hdr) + hdr.len;
        len -= sizeof(hdr) + hdr.len;
    }
    return err;
}

int conn_load_sent(struct conn *c, size_t len)
{
    const struct outmsg *first = TAILQ_FIRST(&c->out);

    if (len > c->out_bytes - (first ? first->sent : 0))
        return EINVAL;
    sent_bytes(c, len);
    return 0;
}

void conn_unload(struct conn *c)
{
    if (c->dom->conn == c)
        c->dom->conn = NULL;
    conn_reset(c);
    conn_close(c);
    conn_kill(c);
}
