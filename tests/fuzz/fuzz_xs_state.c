/* SPDX-License-Identifier: MIT */
/*
 * The store's state stream: as a live update or a journal's file has it, but anybody's. Loaded into a
 * fresh store, which is then used, dumped and loaded again; the books must agree all along.
 *
 * The first byte says how the rest becomes a stream: as it is, or as pieces from which records with
 * right lengths are made, so that what is behind the framing is reached too.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/xs_fake.h"
#include "xenstored/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct maker {
    const uint8_t *p, *end;
    uint8_t out[8192];
    size_t len;
};

static uint8_t next(struct maker *m)
{
    return m->p < m->end ? *m->p++ : 0;
}

static void add(struct maker *m, const void *data, size_t len)
{
    if (len > sizeof(m->out) - m->len)
        return;
    memcpy(m->out + m->len, data, len);
    m->len += len;
}

static const char *const paths[] = { "/", "/a", "/a/b", "/local/domain/1/data", "data", "@releaseDomain",
                                     "/a/b/c", "nodes", "watches", "//", "", "@introduceDomain" };

static const char *path(struct maker *m)
{
    return paths[next(m) % (sizeof(paths) / sizeof(paths[0]))];
}

static void node_body(struct maker *m, uint32_t conn)
{
    const char *name = path(m);
    uint8_t how = next(m);
    struct state_node h = { conn, how >> 6, (uint16_t)(strlen(name) + 1), how & 7, how >> 4 & 3,
                            (uint16_t)(how >> 3 & 3) };

    add(m, &h, sizeof(h));
    for (unsigned i = 0; i < h.perm_count; i++) {
        uint8_t e = next(m);
        struct state_perm perm = { (uint8_t)"nrwbx"[e % 5], e >> 3 & 1, e >> 4 & 3 };

        add(m, &perm, sizeof(perm));
    }
    add(m, name, h.path_len);
    add(m, "valueval", h.value_len);
}

/* The body of a record of this type, mostly well-formed. */
static void body(struct maker *m, uint32_t type)
{
    uint32_t id = next(m) & 3, n = next(m);
    const char *name = path(m);

    switch (type) {
    case STATE_CONN: {
        struct state_conn h = { .conn_id = id, .type = n & 1, .in_len = n >> 1 & 31, .out_len = n >> 6 };
        h.u.ring.domid = (uint16_t)(n >> 4 & 3);
        h.u.ring.target = 0x7ff4;
        if (h.type)
            h.u.socket_fd = (int)(n >> 4 & 3);
        add(m, &h, sizeof(h));
        add(m, "\2\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0/\0\2\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0/", h.in_len + h.out_len);
        break;
    }
    case STATE_WATCH: case STATE_WATCH_DEPTH: case STATE_KR_UNWATCH: {
        struct state_watch_depth h = { id, (uint16_t)(strlen(name) + 1), 2, (uint16_t)(n & 3) };
        add(m, &h, type == STATE_WATCH_DEPTH ? sizeof(h) : sizeof(struct state_watch));
        add(m, name, h.path_len);
        add(m, "t", 2);
        break;
    }
    case STATE_TX: case STATE_KR_TX_END: add(m, (uint32_t[]){ id, n & 3 }, 8); break;
    case STATE_KR_TX: add(m, (uint32_t[]){ id, n & 3, n >> 7, 0 }, 16); break;
    case STATE_KR_TX_NODE: add(m, (uint32_t[]){ n & 63, n >> 7 }, 8); node_body(m, 0); break;
    case STATE_NODE: node_body(m, n ? 0 : id); break;
    case STATE_KR_REMOVED: case STATE_KR_LOG: add(m, name, strlen(name) + 1); break;
    case STATE_KR_DOMAIN: {
        struct state_kr_domain h = { (uint16_t)id, (uint16_t)(n & 3), n >> 2 & 3, { 1 } };
        add(m, &h, sizeof(h));
        break;
    }
    case STATE_DOMAIN: case STATE_KR_SETTINGS:
        add(m, (uint16_t[]){ (uint16_t)id, 1, 15, 0, (uint16_t)n, 0 }, 12);
        add(m, name, strlen(name) + 1);
        break;
    case STATE_KR_RING: add(m, (uint32_t[]){ id, 7, 1, 0, n, n * 3, n & 3, 0 }, 32); break;
    case STATE_KR_RING_IN: case STATE_KR_RING_MSG:
        add(m, (uint32_t[]){ id, n, 18, 0 }, 16);
        add(m, "\2\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0/", 18);
        break;
    case STATE_KR_RING_USED: case STATE_KR_RING_OUT: case STATE_KR_CONN_GONE: case STATE_KR_CONN_RESET:
        add(m, (uint32_t[]){ id, n & 31, n & 31, 0 }, 16);
        break;
    default:
        for (unsigned i = n & 31; i; i--)
            add(m, &(uint8_t){ next(m) }, 1);
        break;
    }
}

static void make(struct maker *m)
{
    struct state_header h = { STATE_IDENT, 0x1000000, 0 };

    memcpy(h.ident, STATE_IDENT, sizeof(h.ident));
    add(m, &h, sizeof(h));
    while (m->p < m->end && m->len + 512 < sizeof(m->out)) {
        uint8_t t = next(m);
        struct state_record r = { t % 32 < 9 ? t % 32 : STATE_KR_GLOBAL + (t % 32 - 9) % 17, 0 };
        size_t at = m->len;

        add(m, &r, sizeof(r));
        body(m, r.type);
        while ((m->len - at) % 8)
            add(m, "", 1);
        r.len = (uint32_t)(m->len - at - sizeof(r));
        memcpy(m->out + at, &r, sizeof(r));
    }
}

#define OWNERS 65536

static int count(void *arg, const char *name, const struct node *n, bool *skip)
{
    struct usage *found = arg;

    found[perms_owner(n->perms)].nodes++;
    found[perms_owner(n->perms)].bytes += (int64_t)node_bytes(n);
    return 0;
}

static void check(struct fake *f)
{
    static struct usage found[OWNERS];

    memset(found, 0, sizeof(found));
    if (tree_walk(&f->s.tree, "/", count, found))
        abort();
    for (int i = 0; i < OWNERS; i++)
        if (found[i].nodes != f->s.books.flat[i].nodes || found[i].bytes != f->s.books.flat[i].bytes)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct maker m;
    static struct fake f;
    struct state_found found;
    struct fake_msg msg;
    struct fake_client *c[2];

    kr_log_init("fuzz", (enum kr_log_level)2);
    if (!size)
        return 0;
    m = (struct maker){ .p = data + 1, .end = data + size };
    if (*data & 1)
        add(&m, data + 1, size - 1 < sizeof(m.out) ? size - 1 : sizeof(m.out));
    else
        make(&m);
    fake_init(&f);
    for (uint16_t d = 1; d < 3; d++)
        fake_domain_up(&f, d);
    for (int i = 0; i < 2; i++) { /* whose sockets' numbers the stream may name */
        c[i] = fake_connect(&f);
        conn_kill(c[i]->conn);
    }
    fake_run(&f);
    state_peek(m.out, m.len, &found);
    if (!state_load(&f.s, m.out, m.len)) {
        domain_check_all(&f.s);
        fake_run(&f);
        check(&f);
        fake_update(&f);
        check(&f);
        struct fake_client *user = fake_connect(&f);
        fake_talk(&f, user, 0, XS_WRITE, 0, "/after\0v", 8, &msg);
        fake_talk(&f, user, 0, XS_KR_CLONE, 0, "/a\0/after/a", 12, &msg);
        fake_talk(&f, user, 0, XS_KR_CLONE, 0, "/local\0/after/b", 16, &msg);
        check(&f);
        fake_talk(&f, user, 0, XS_RM, 0, "/a", 3, &msg);
        fake_disconnect(&f, user);
        fake_domain_down(&f, 1);
        check(&f);
    }
    for (int i = 0; i < 2; i++) {
        c[i]->stuck = true;
        fake_disconnect(&f, c[i]);
    }
    fake_free(&f);
    return 0;
}
