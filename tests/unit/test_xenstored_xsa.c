/* SPDX-License-Identifier: MIT */
/*
 * Advisories that are not told of by tests elsewhere (test_xenstored_store, _ring, _oom, _admin), and the
 * kinds of trouble behind them: what a guest can do at all, what it can have held in memory, and whether
 * others get on meanwhile. The sanitizers look on.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sanitizer.h"
#include "tests/unit/xs_world.h"
#include "xenstored/journal.h"

static uint32_t rnd(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

static void raw_request(struct world *w, uint16_t domid, uint32_t type, uint32_t tx, const char *data,
                        size_t len)
{
    char buf[sizeof(struct xsd_sockmsg) + 256];
    struct xsd_sockmsg hdr = { type, 9, tx, (uint32_t)len };

    memcpy(buf, &hdr, sizeof(hdr));
    memcpy(buf + sizeof(hdr), data, len);
    if (domid)
        fake_ring_put(&w->f, domid, buf, sizeof(hdr) + len);
    else
        fake_put(&w->f, w->c, buf, sizeof(hdr) + len);
}

/* XSA-233: the end of a connection comes twice while a reply is half written. */
static void test_xsa_233(void **state)
{
    struct world *w = *state;
    char big[2000] = "/local/domain/1/data";

    guest_up(w, 1);
    memset(big + 21, 'x', sizeof(big) - 21);
    ok(w, XS_WRITE, 0, big, sizeof(big));
    raw_request(w, 1, XS_READ, 0, S("data"));
    raw_request(w, 1, XS_READ, 0, S("data"));
    assert_true(domain_find(&w->f.s, 1)->conn->out_bytes > 0);
    w->f.dom[1].dying = true;
    domain_check_all(&w->f.s);
    fails(w, XS_RELEASE, 0, S("1"), "EINVAL");
    fake_domain_down(&w->f, 1);
    fails(w, XS_RELEASE, 0, S("1"), "ENOENT");
    ok(w, XS_READ, 0, S("/"));
}

/* XSA-325: garbage, and then the domain dies with it unread, in any state of the connection. */
static void test_xsa_325(void **state)
{
    struct world *w = *state;
    uint32_t seed = 325;

    for (int i = 0; i < 200; i++) {
        guest_up(w, 1);
        guest_ok(w, 1, XS_WATCH, 0, S("data\0t"));
        for (int k = i % 5; k; k--) {
            char junk[64];
            for (size_t b = 0; b < sizeof(junk); b++)
                junk[b] = (char)rnd(&seed);
            fake_ring_put(&w->f, 1, junk, rnd(&seed) % sizeof(junk));
        }
        if (i % 3 == 0)
            fake_talk(&w->f, w->c, 0, XS_RELEASE, 0, S("1"), &w->m);
        fake_domain_down(&w->f, 1);
        assert_null(domain_find(&w->f.s, 1));
        assert_int_equal(w->f.s.watches.count, 0);
    }
}

/* Every operation, by a guest that has no right to it: refused, and nothing is another. */
static void test_no_rights(void **state)
{
    static const struct { uint32_t type; const char *data; size_t len; } cases[] = {
        { XS_CONTROL, S("check") }, { XS_CONTROL, S("live-update\0-f\0/bin/true") },
        { XS_CONTROL, S("quota\0set\0nodes\0" "9") },
        { XS_DIRECTORY, S("/secret") }, { XS_READ, S("/secret/x") }, { XS_GET_PERMS, S("/secret") },
        { XS_DIRECTORY_PART, S("/secret\0" "0") }, { XS_WRITE, N("/secret/x\0v") },
        { XS_WRITE, N("/secret/new\0v") }, { XS_MKDIR, S("/secret/new") }, { XS_MKDIR, S("/new/a/b") },
        { XS_RM, S("/secret/x") }, { XS_RM, S("/secret/none") }, { XS_RM, S("/") },
        { XS_WRITE, N("/\0v") }, { XS_SET_PERMS, S("/\0n1") }, { XS_SET_PERMS, S("/secret\0n1") },
        { XS_SET_PERMS, S("/local/domain/1\0n1") }, { XS_SET_PERMS, S("/local/domain/2/data\0b1") },
        { XS_SET_PERMS, S("@releaseDomain\0r1") }, { XS_SET_PERMS, S("@introduceDomain\0n0\0r1") },
        { XS_GET_PERMS, S("@releaseDomain") }, { XS_READ, S("@releaseDomain") },
        { XS_SET_PERMS, S("data\0n2") }, { XS_SET_PERMS, S("data\0n0") }, /* XSA-352 */
        { XS_INTRODUCE, S("3\0" "1\0" "7") }, { XS_RELEASE, S("2") }, { XS_RESUME, S("2") },
        { XS_SET_TARGET, S("1\0" "2") }, { XS_IS_DOMAIN_INTRODUCED, S("2") },
        { XS_SET_FEATURE, S("2\0" "1") }, { XS_GET_FEATURE, S("2") }, { XS_SET_QUOTA, S("nodes\0" "9") },
        { XS_SET_QUOTA, S("1\0nodes\0" "9") }, { XS_GET_QUOTA, S("nodes") },
        { XS_KR_CLONE, S("/secret\0data/c") }, { XS_KR_CLONE, S("/secret/x\0data/c") },
        { XS_KR_CLONE, S("/local/domain/2\0data/c") }, { XS_KR_CLONE, S("data\0/secret/new") },
        { XS_KR_CLONE, S("data\0/new") }, { XS_KR_CLONE, S("data\0/local/domain/2/data/c") },
        { XS_KR_CLONE, S("/tool\0/local/domain/1/c") },
        { XS_WATCH_EVENT, S("/\0t") }, { XS_ERROR, S("E") }, { 20, S("2") }, { 27, S("2") },
    };
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    ok(w, XS_WRITE, 0, N("/secret/x\0v"));
    for (int in_tx = 0; in_tx < 2; in_tx++) {
        uint32_t t = in_tx ? guest_begin(w, 1) : 0;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            const struct node *root = w->f.s.tree.root;
            uint64_t gen = root->gen;

            uint32_t got = fake_talk(&w->f, NULL, 1, cases[i].type, t, cases[i].data, cases[i].len, &w->m);
            if (got != XS_ERROR)
                fail_msg("type %u %s: done", cases[i].type, cases[i].data);
            assert_ptr_equal(root, w->f.s.tree.root);
            assert_int_equal(gen, root->gen);
        }
        if (t)
            guest_ok(w, 1, XS_TRANSACTION_END, t, S("T"));
    }
    value_is(w, 0, "/secret/x", "v");
    ok(w, XS_DIRECTORY, 0, S("/secret"));
    assert_int_equal(w->m.hdr.len, 2);
    ok(w, XS_IS_DOMAIN_INTRODUCED, 0, S("2"));
    assert_string_equal(w->m.body, "T");
    assert_int_equal(w->f.s.quota[QUOTA_NODES], 1000);
}

/* XSA-416: what a request needs for a moment is gone when its reply waits to be read. */
static void test_xsa_416(void **state)
{
    struct world *w = *state;
    struct domain *d;
    char path[64];

    guest_up(w, 1);
    for (int i = 0; i < 900; i++) {
        int n = snprintf(path, sizeof(path), "data/%d", i);
        guest_ok(w, 1, XS_MKDIR, 0, path, (size_t)n + 1);
    }
    d = domain_find(&w->f.s, 1);
    int64_t before = d->memory;
    for (int i = 0; i < 100; i++)
        raw_request(w, 1, XS_DIRECTORY, 0, S("data"));
    assert_true(d->used[QUOTA_OUTSTANDING] <= 20);
    assert_true(d->memory - before <= 21 * (4096 + 200));
}

/* ---- XSA-418: the stack does not grow with the depth of a tree ---- */

static int deepest(char *path)
{
    int n = 0;

    /* As many levels as a path may have. */
    while (n < 3070) {
        path[n++] = '/';
        path[n++] = 'd';
    }
    path[n] = 0;
    return n;
}

static void *deep_tree(void *arg)
{
    struct world *w = arg;
    char *path = malloc(4000);
    int n = deepest(path);

    for (int round = 0; round < 2; round++) {
        ok(w, XS_WRITE, 0, path, (size_t)n + 1);
        ok(w, XS_CONTROL, 0, S("check"));
        uint32_t t = begin(w);
        path[2] = 0;
        ok(w, XS_RM, t, path, 3);
        path[2] = '/';
        ok(w, XS_WRITE, t, path, (size_t)n + 1);
        ok(w, XS_TRANSACTION_END, t, S("T"));
        ok(w, XS_KR_CLONE, 0, S("/d\0/c")); /* as long, and as deep */
        t = begin(w);
        ok(w, XS_RM, t, S("/c"));
        ok(w, XS_KR_CLONE, t, S("/d\0/c"));
        fake_update(&w->f);
        ok(w, XS_TRANSACTION_END, t, S("T"));
        fails(w, XS_KR_CLONE, 0, S("/d\0/ccc"), "EINVAL"); /* a byte too long */
        path[1] = 'c';
        ok(w, XS_READ, 0, path, (size_t)n + 1);
        path[1] = 'd';
        ok(w, XS_RM, 0, S("/c"));
        ok(w, XS_READ, 0, path, (size_t)n + 1);
        ok(w, XS_WATCH, 0, S("/\0t"));
        ok(w, XS_RM, 0, S("/d"));
        ok(w, XS_UNWATCH, 0, S("/\0t"));
    }
    free(path);
    return NULL;
}

static void test_xsa_418(void **state)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    /* 1535 levels would take more of it than this if any function called itself for each. */
    pthread_attr_setstacksize(&attr, KR_ASAN ? 512 << 10 : 96 << 10);
    assert_int_equal(pthread_create(&thread, &attr, deep_tree, *state), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
}

/* XSA-481: short paths of any characters, and what looks like a number and is none. */
static void test_xsa_481(void **state)
{
    static const char odd[] = "/@a0-_. \t%\\\x7f\x80\xff~";
    static const char *const numbers[] = { "", "/", "x", "-1", "+1", " 1", "1 ", "0x1", "00", "65536",
                                           "4294967296", "99999999999999999999", "1/", "/1", "1e3", "\xff" };
    static const uint32_t types[] = { XS_READ, XS_WRITE, XS_MKDIR, XS_RM, XS_DIRECTORY, XS_GET_PERMS };
    struct world *w = *state;
    char buf[64];

    guest_up(w, 1);
    for (size_t a = 0; a < sizeof(odd); a++)
        for (size_t b = 0; b < sizeof(odd); b++)
            for (size_t c = 0; c < sizeof(odd); c++)
                for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
                    char path[4] = { odd[a], odd[b], odd[c], 0 };
                    assert_int_not_equal(fake_talk(&w->f, NULL, 1, types[t], 0, path, 4, &w->m), XS_INVALID);
                }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        for (uint32_t type = 0; type < 30; type++) {
            int n = snprintf(buf, sizeof(buf), "%s%c%s%c%s", numbers[i], 0, numbers[i], 0, numbers[i]);
            assert_int_not_equal(fake_talk(&w->f, w->c, 0, type, 0, buf, (size_t)n + 1, &w->m), XS_INVALID);
            assert_int_not_equal(fake_talk(&w->f, NULL, 1, type, 0, buf, (size_t)n + 1, &w->m), XS_INVALID);
            n = snprintf(buf, sizeof(buf), "/local/domain/%s", numbers[i]);
            assert_int_not_equal(fake_talk(&w->f, NULL, 1, type, 0, buf, (size_t)n + 1, &w->m), XS_INVALID);
        }
    }
    guest_ok(w, 1, XS_READ, 0, S("data"));
    ok(w, XS_READ, 0, S("/"));
}

/* XSA-484: whatever ends a connection's state, asked for within a transaction. */
static void test_xsa_484(void **state)
{
    static const struct { uint32_t type; const char *data; size_t len; } cases[] = {
        { XS_RESET_WATCHES, S("") }, { XS_TRANSACTION_END, S("F") }, { XS_TRANSACTION_END, S("T") },
        { XS_TRANSACTION_START, S("") }, { XS_UNWATCH, S("data\0t") }, { XS_WATCH, S("data\0u") },
        { XS_RM, S("data") }, { XS_GET_DOMAIN_PATH, S("1") },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int end = 0; end < 4; end++) {
            guest_up(w, 1);
            guest_ok(w, 1, XS_WATCH, 0, S("data\0t"));
            uint32_t t = guest_begin(w, 1);
            guest_begin(w, 1);
            guest_ok(w, 1, XS_WRITE, t, N("data/x\0v"));
            raw_request(w, 1, cases[i].type, t, cases[i].data, cases[i].len);
            if (end == 1) {
                w->f.dom[1].page->connection = XENSTORE_RECONNECT;
                fake_ring_kick(&w->f, 1);
            } else if (end == 2) {
                ok(w, XS_RELEASE, 0, S("1"));
            } else if (end == 3) {
                w->f.dom[1].page->req_prod += 4000;
                fake_ring_kick(&w->f, 1);
            }
            world_check(w);
            fake_domain_down(&w->f, 1);
            assert_int_equal(w->f.s.nr_txs, 0);
            assert_int_equal(w->f.s.watches.count, 0);
        }
    uint32_t t = begin(w);
    ok(w, XS_CONTROL, t, S("check"));
    fake_domain_up(&w->f, 1);
    ok(w, XS_INTRODUCE, t, S("1\0" "1\0" "7"));
    ok(w, XS_RELEASE, t, S("1"));
    ok(w, XS_RESET_WATCHES, t, S(""));
    fails(w, XS_READ, t, S("/"), "ENOENT");
}

/* Nodes whose parents go away in another's transaction or by another's hand are not left behind. */
static void test_orphans(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    ok(w, XS_MKDIR, 0, S("/pub"));
    ok(w, XS_SET_PERMS, 0, S("/pub\0b0"));
    uint32_t t = guest_begin(w, 1);
    guest_ok(w, 1, XS_WRITE, t, N("/pub/dir/mine\0v"));
    ok(w, XS_RM, 0, S("/pub"));
    guest_fails(w, 1, XS_TRANSACTION_END, t, S("T"), "EAGAIN");
    assert_int_equal(w->f.s.books.flat[1].nodes, 1);
    ok(w, XS_MKDIR, 0, S("/pub"));
    ok(w, XS_SET_PERMS, 0, S("/pub\0b0"));
    guest_ok(w, 1, XS_WRITE, 0, N("/pub/dir/mine\0v"));
    ok(w, XS_RM, 0, S("/pub/dir"));
    assert_int_equal(w->f.s.books.flat[1].nodes, 1);
    guest_ok(w, 1, XS_WRITE, 0, N("/pub/a/b/c/d\0v"));
    fake_domain_down(&w->f, 1);
    ok(w, XS_DIRECTORY, 0, S("/pub"));
    assert_int_equal(w->m.hdr.len, 0);
    assert_int_equal(w->f.s.books.flat[1].nodes, 0);
}

/* A stub domain has its target's rights, but not those of whoever gets the target's number next. */
static void reused_target(struct world *w, void (*again)(struct fake *f))
{
    guest_up(w, 1);
    guest_up(w, 2);
    ok(w, XS_SET_TARGET, 0, S("2\0" "1"));
    guest_ok(w, 2, XS_WRITE, 0, N("/local/domain/1/data/x\0v"));
    fake_domain_down(&w->f, 1);
    if (again)
        again(&w->f);
    guest_up(w, 1);
    guest_ok(w, 1, XS_WRITE, 0, N("data/secret\0v"));
    guest_fails(w, 2, XS_READ, 0, S("/local/domain/1/data/secret"), "EACCES");
    guest_fails(w, 2, XS_WRITE, 0, N("/local/domain/1/data/x\0v"), "EACCES");
}

static void test_reused_target(void **state)
{
    reused_target(*state, NULL);
}

static void test_reused_target_update(void **state)
{
    reused_target(*state, fake_update);
}

/* A node that the control domain gives, in a transaction, to one that dies before its end. */
static void test_reused_owner(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    uint32_t t = begin(w);
    ok(w, XS_WRITE, t, N("/late\0v"));
    ok(w, XS_SET_PERMS, t, S("/late\0n1"));
    ok(w, XS_WRITE, t, N("/open\0v"));
    ok(w, XS_SET_PERMS, t, S("/open\0b1"));
    fake_domain_down(&w->f, 1);
    ok(w, XS_TRANSACTION_END, t, S("T"));
    guest_up(w, 1);
    guest_fails(w, 1, XS_READ, 0, S("/late"), "EACCES");
    fake_update(&w->f);
    guest_fails(w, 1, XS_READ, 0, S("/late"), "EACCES");
    guest_fails(w, 2, XS_READ, 0, S("/late"), "EACCES");
    /* Whoever makes a node there owns it all the same. */
    guest_ok(w, 2, XS_WRITE, 0, N("/open/x\0v"));
    guest_ok(w, 2, XS_SET_PERMS, 0, S("/open/x\0n2"));
    guest_ok(w, 2, XS_KR_CLONE, 0, S("/open\0data/open"));
    guest_ok(w, 2, XS_SET_PERMS, 0, S("data/open\0n2"));
    guest_ok(w, 2, XS_READ, 0, S("data/open"));
}

/* An open transaction does not keep for ever what others have replaced since. */
static void test_old_transactions(void **state)
{
    struct world *w = *state;
    char buf[2100];
    uint32_t t[2];

    guest_up(w, 1);
    ok(w, XS_WRITE, 0, N("/local/domain/1/data/a\0" "1"));
    ok(w, XS_WRITE, 0, N("/local/domain/1/data/b\0" "1"));
    ok(w, XS_SET_PERMS, 0, S("/local/domain/1/data/a\0n1"));
    ok(w, XS_SET_PERMS, 0, S("/local/domain/1/data/b\0n1"));
    for (int i = 0; i < 2; i++) {
        t[i] = guest_begin(w, 1);
        guest_ok(w, 1, XS_READ, t[i], i ? "data/b" : "data/a", 7);
        guest_ok(w, 1, XS_WRITE, t[i], i ? "data/w1" : "data/w0", 8);
    }
    const struct tx *tx = TAILQ_FIRST(&domain_find(&w->f.s, 1)->conn->txs);
    assert_null(tree_find(&tx->base, "/churn"));
    ok(w, XS_WRITE, 0, N("/local/domain/1/data/b\0" "2"));
    for (int i = 0; i < 8000; i++) {
        int n = snprintf(buf, sizeof(buf), "/churn/%d", i % 100) + 1;
        memset(buf + n, 'a' + i % 26, 2000);
        ok(w, XS_WRITE, 0, buf, (size_t)n + 2000);
    }
    assert_non_null(tree_find(&tx->base, "/churn")); /* it has been moved on */
    assert_true(w->f.s.pinned < 8 << 20);
    guest_fails(w, 1, XS_TRANSACTION_END, t[1], S("T"), "EAGAIN"); /* as it would have */
    guest_ok(w, 1, XS_TRANSACTION_END, t[0], S("T"));
    guest_ok(w, 1, XS_READ, 0, S("data/w0"));
    guest_fails(w, 1, XS_READ, 0, S("data/w1"), "ENOENT");
}

/* ---- The ring's words, at random ---- */

static void test_ring_words(void **state)
{
    struct world *w = *state;
    uint32_t seed = 2463534242u;

    guest_up(w, 1);
    guest_up(w, 2);
    for (int i = 0; i < 20000; i++) {
        struct xenstore_domain_interface *p = w->f.dom[1].page;
        uint32_t *words[] = { &p->req_cons, &p->req_prod, &p->rsp_cons, &p->rsp_prod, &p->connection,
                              &p->error, &p->server_features };
        uint32_t *word = words[rnd(&seed) % 7], v = rnd(&seed);

        *word = v & 1 ? v : v & 2 ? v % 4 : *word + v % 1500;
        if (v & 64)
            memset(p->req + v % 1000, (int)(v >> 8), 16);
        fake_ring_kick(&w->f, 1);
        if (i % 100 == 0)
            guest_ok(w, 2, XS_WRITE, 0, N("data/x\0v"));
    }
    ok(w, XS_READ, 0, S("/"));
    w->f.dom[1].page->connection = XENSTORE_RECONNECT;
    fake_ring_kick(&w->f, 1);
    w->f.dom[1].req_prod = w->f.dom[1].rsp_cons = 0;
    guest_ok(w, 1, XS_READ, 0, S("data"));
}

/* ---- Many who do their worst, beside one who does not ---- */

#define EVIL 6      /* guests 1 to 6; the honest one is 7 */

static void evil(struct world *w, uint16_t domid, uint32_t *seed)
{
    char buf[2300];
    uint32_t r = rnd(seed), t = r >> 8 & 3;
    int n;

    switch (r % 8) {
    case 0: /* watches on what everybody writes */
        n = snprintf(buf, sizeof(buf), "/pub%c%u", 0, r >> 4);
        raw_request(w, domid, XS_WATCH, 0, buf, (size_t)n + 1);
        break;
    case 1: raw_request(w, domid, XS_TRANSACTION_START, 0, S("")); break;
    case 2: case 3: /* big nodes, in transactions too */
        n = snprintf(buf, sizeof(buf), "data/%u", r >> 4 & 2047) + 1;
        memset(buf + n, 'x', 200);
        raw_request(w, domid, XS_WRITE, t, buf, (size_t)n + 200);
        break;
    case 4: /* deep ones */
        n = snprintf(buf, sizeof(buf), "/pub/%u/a/b/c/d/e/f/g/h/i/j", domid) + 1;
        raw_request(w, domid, XS_MKDIR, t, buf, (size_t)n);
        break;
    case 5: raw_request(w, domid, XS_DIRECTORY, 0, S("data")); break;
    case 6:
        if (r & 1024) {
            raw_request(w, domid, XS_TRANSACTION_END, t, r & 512 ? "T" : "F", 2);
            break;
        }
        /* copies of all that it has, to where others watch */
        n = snprintf(buf, sizeof(buf), "data%c/pub/c%u-%u", 0, domid, r >> 4 & 15) + 1;
        raw_request(w, domid, XS_KR_CLONE, t, buf, (size_t)n);
        break;
    default: raw_request(w, domid, XS_SET_PERMS, t, S("/pub\0n1\0b2\0b3\0b4\0b5")); break;
    }
    if (r % 61 == 0) /* now and then it takes some of what is there */
        for (int i = 0; i < 3; i++)
            fake_ring_get(&w->f, domid, &w->m);
}

/* XSA-326: none of them can have more held than its quota, and the honest one is served at once. */
static void test_xsa_326_many(void **state)
{
    struct world *w = *state;
    uint32_t seed = 326;

    ok(w, XS_MKDIR, 0, S("/pub"));
    ok(w, XS_SET_PERMS, 0, S("/pub\0b0"));
    for (uint16_t d = 1; d <= EVIL + 1; d++)
        guest_up(w, d);
    ok(w, XS_SET_QUOTA, 0, S("memory\0" "100000"));
    for (int i = 0; i < 20000; i++) {
        uint16_t domid = (uint16_t)(1 + i % EVIL);

        evil(w, domid, &seed);
        const struct domain *d = domain_find(&w->f.s, domid);
        /* Replies are let through beyond the quota, as many as may be outstanding. */
        assert_true(quota_used(&w->f.s, d, QUOTA_MEMORY) < 100000 + 20 * 4200);
        assert_true(quota_used(&w->f.s, d, QUOTA_NODES) <= 1000);
        if (i % 20 == 0) {
            guest_ok(w, 7, XS_WRITE, 0, N("data/honest\0v"));
            guest_ok(w, 7, XS_READ, 0, S("data/honest"));
        }
        if (i % 1000 == 0) {
            uint32_t t = guest_begin(w, 7);
            guest_ok(w, 7, XS_READ, t, S("data/honest"));
            guest_ok(w, 7, XS_WRITE, t, N("data/t\0v"));
            evil(w, domid, &seed);
            guest_ok(w, 7, XS_TRANSACTION_END, t, S("T"));
        }
        w->f.now_ms += 7;
        store_tick(&w->f.s);
        fake_run(&w->f);
    }
    world_check(w);
    for (uint16_t d = 1; d <= EVIL; d++) {
        fake_domain_down(&w->f, d);
        assert_int_equal(w->f.s.books.flat[d].nodes, 0);
    }
    assert_int_equal(w->f.s.nr_txs, 0);
}

/* As many requests as there is room for; the event is left to the caller. */
static void flood(struct fake *f, uint16_t domid, unsigned max)
{
    struct { struct xsd_sockmsg hdr; char body[5]; } rq = {
        { .type = XS_DIRECTORY, .req_id = domid, .len = 5 }, "data",
    };
    struct fake_domain *d = &f->dom[domid];
    size_t len = sizeof(rq.hdr) + rq.hdr.len;

    for (; max && d->req_prod + len - d->page->req_cons <= XENSTORE_RING_SIZE; max--)
        for (size_t i = 0; i < len; i++)
            d->page->req[MASK_XENSTORE_IDX(d->req_prod++)] = ((const char *)&rq)[i];
    d->page->req_prod = d->req_prod;
    ring_event(&f->s, d->port);
}

/* A guest on another CPU, that takes what there is and asks for more before the store has looked away. */
static void refill(struct fake *f, uint16_t domid)
{
    if (domid > EVIL)
        return;
    f->dom[domid].page->rsp_cons = f->dom[domid].rsp_cons = f->dom[domid].page->rsp_prod;
    flood(f, domid, 1000);
}

/*
 * The honest guest's latency in what counts: how often the store goes round before its answer is there. Of the
 * others all have as much to ask as their rings hold, some take their replies and some do not, one plays with
 * its indices, and all that go on have watches that the honest one's writes fire.
 */
static void test_honest_latency(void **state)
{
    struct world *w = *state;
    unsigned worst = 0;

    ok(w, XS_MKDIR, 0, S("/pub"));
    ok(w, XS_SET_PERMS, 0, S("/pub\0b0"));
    for (uint16_t d = 1; d <= EVIL + 1; d++) {
        guest_up(w, d);
        for (char i = 'a'; i <= 'z'; i++)
            guest_ok(w, d, XS_WATCH, 0, (char[]){ '/', 'p', 'u', 'b', 0, i, 0 }, 7);
        guest_drain(w, d);
    }
    for (unsigned round = 0; round < 300; round++) {
        for (uint16_t d = 1; d <= EVIL; d++) {
            if (d > 3)
                guest_drain(w, d);
            flood(&w->f, d, 1000);
        }
        if (round % 50 == 49)
            w->f.dom[1].page->req_prod += 5000;
        guest_ok(w, 7, XS_WRITE, 0, N("/pub/x\0v"));
        guest_drain(w, 7);
        for (uint16_t d = 1; d <= EVIL; d++)
            flood(&w->f, d, 1000);
        flood(&w->f, 7, 1);
        uint32_t before = w->f.dom[7].page->rsp_prod;
        unsigned turns = 0;
        w->f.on_notify = refill;
        while (w->f.dom[7].page->rsp_prod == before && turns < 100) {
            store_settle(&w->f.s);
            turns++;
        }
        w->f.on_notify = NULL;
        worst = turns > worst ? turns : worst;
        guest_drain(w, 7);
    }
    print_message("the honest guest waited for at most %u turns of the store\n", worst);
    assert_in_range(worst, 1, 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(xsa_233), T(xsa_325), T(no_rights), T(xsa_416), T(xsa_418), T(xsa_481), T(xsa_484), T(orphans),
        T(reused_target), T(reused_target_update), T(reused_owner),
        T(old_transactions), T(ring_words), T(xsa_326_many),
        T(honest_latency),
    };

    kr_log_init("test", (enum kr_log_level)2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
