/* SPDX-License-Identifier: MIT */
/*
 * XS_KR_CLONE in a guest's hands: it cannot read by it what it may not, make nodes for others, get past a quota, or
 * have much done for little.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/xs_world.h"

#define CLONE XS_KR_CLONE

/* ---- Guests ---- */

/* As guest_up(), but offered only these features. */
static void guest_with(struct world *w, uint16_t domid, const char *features)
{
    char buf[64];
    int n = snprintf(buf, sizeof(buf), "%u%c%s", domid, 0, features);

    fake_domain_up(&w->f, domid);
    ok(w, XS_SET_FEATURE, 0, buf, (size_t)n + 1);
    n = snprintf(buf, sizeof(buf), "/local/domain/%u/data%cn%u", domid, 0, domid);
    ok(w, XS_MKDIR, 0, buf, strlen(buf) + 1);
    ok(w, XS_SET_PERMS, 0, buf, (size_t)n + 1);
    n = snprintf(buf, sizeof(buf), "%u%c1%c7", domid, 0, 0);
    ok(w, XS_INTRODUCE, 0, buf, (size_t)n + 1);
}

static void test_feature(void **state)
{
    struct world *w = *state;

    guest_with(w, 1, "15");
    guest_with(w, 2, "1073741824");
    assert_int_equal(w->f.dom[1].page->server_features, 15);
    assert_int_equal(w->f.dom[2].page->server_features, XENSTORE_SERVER_FEATURE_KR_CLONE);
    for (int i = 0; i < 2; i++) {
        guest_fails(w, 1, CLONE, 0, S("data\0data2"), "ENOSYS"); /* as from a daemon that does not know it */
        guest_fails(w, 1, CLONE, 0, S("x"), "ENOSYS");
        guest_fails(w, 2, CLONE, 0, S("data\0data2"), "EACCES");
        guest_ok(w, 2, XS_WRITE, 0, N("data/a\0v"));
        guest_ok(w, 2, CLONE, 0, S("data/a\0data/b"));
        guest_ok(w, 2, XS_RM, 0, S("data/b"));
        fake_update(&w->f);
    }
    fails(w, 0x4b720001, 0, S("/tool\0/c"), "ENOSYS");
    fails(w, 0x4b71ffff, 0, S("/tool\0/c"), "ENOSYS");
}

static void test_guest_owns(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    ok(w, XS_WRITE, 0, N("/src\0v"));
    ok(w, XS_WRITE, 0, N("/src/a\0v"));
    ok(w, XS_WRITE, 0, N("/src/b\0v"));
    ok(w, XS_SET_PERMS, 0, S("/src\0n0\0r1"));
    ok(w, XS_SET_PERMS, 0, S("/src/a\0r2\0b0\0w7"));
    ok(w, XS_SET_PERMS, 0, S("/src/b\0b0"));
    for (int in_tx = 0; in_tx < 2; in_tx++) {
        uint32_t t = in_tx ? guest_begin(w, 1) : 0;
        guest_ok(w, 1, CLONE, t, S("/src\0data/p/q"));
        if (t)
            guest_ok(w, 1, XS_TRANSACTION_END, t, S("T"));
        perms_are(w, "/local/domain/1/data/p", "n1", 3);
        perms_are(w, "/local/domain/1/data/p/q", "n1\0r1", 6);
        perms_are(w, "/local/domain/1/data/p/q/a", "r1\0b0\0w7", 9);
        perms_are(w, "/local/domain/1/data/p/q/b", "b1", 3);
        assert_int_equal(w->f.s.books.flat[1].nodes, 5);
        assert_int_equal(w->f.s.books.flat[2].nodes, 2); /* its data, /src/a */
        world_check(w);
        guest_ok(w, 1, XS_RM, 0, S("data/p"));
    }
    /* In another's directory that all may write to, too. */
    ok(w, XS_MKDIR, 0, S("/pub"));
    ok(w, XS_SET_PERMS, 0, S("/pub\0b0\0r2"));
    guest_ok(w, 1, CLONE, 0, S("/src\0/pub/x/y"));
    perms_are(w, "/pub/x", "b1\0r2", 6);
    guest_fails(w, 2, CLONE, 0, S("/pub/x\0/pub/z"), "EACCES");
    fake_domain_down(&w->f, 1);
    assert_false(there(w, "/pub/x"));
}

/* One node that may not be read, and nothing is done; whatever is not there for it looks alike. */
static void test_guest_reads(void **state)
{
    static const struct { const char *data; size_t len; const char *error; } cases[] = {
        { S("/src\0data/c"), "EACCES" }, { S("/src/a\0data/c"), "EACCES" }, { S("/src/a/n\0data/c"), "EACCES" },
        { S("/src/a/n/x\0data/c"), "EACCES" }, { S("/src/a/n/none\0data/c"), "EACCES" },
        { S("/src/none\0data/c"), "ENOENT" }, { S("/none\0data/c"), "EACCES" },
        { S("/local/domain/2\0data/c"), "EACCES" }, { S("/src/b\0/local/domain/2/data/c"), "EACCES" },
        { S("/src/b\0/local/domain/2/data"), "EACCES" }, { S("/src/b\0/new"), "EACCES" },
        { S("/src/b\0/src/c"), "EACCES" }, { S("/src/b\0/src/a/n/x"), "EACCES" },
        { S("/src/b\0/tool/xenstored"), "EACCES" },
        { S("/src/b\0data"), "EEXIST" }, { S("data\0data/c"), "EINVAL" },
    };
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    ok(w, XS_WRITE, 0, N("/src/a/n/x\0secret"));
    ok(w, XS_WRITE, 0, N("/src/b\0v"));
    ok(w, XS_SET_PERMS, 0, S("/src\0r0"));
    ok(w, XS_SET_PERMS, 0, S("/src/a\0r0"));
    ok(w, XS_SET_PERMS, 0, S("/src/a/n\0w0")); /* may be written to, not read */
    ok(w, XS_SET_PERMS, 0, S("/src/b\0r0"));
    for (int in_tx = 0; in_tx < 2; in_tx++)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            uint32_t t = in_tx ? guest_begin(w, 1) : 0;
            const struct node *root = w->f.s.tree.root;

            guest_fails(w, 1, CLONE, t, cases[i].data, cases[i].len, cases[i].error);
            assert_ptr_equal(root, w->f.s.tree.root);
            if (t)
                guest_ok(w, 1, XS_TRANSACTION_END, t, S("T"));
            assert_int_equal(w->f.s.books.flat[1].nodes, 1);
        }
    /* Where it may write it is told of what is there, and makes its own below. */
    guest_fails(w, 1, CLONE, 0, S("/src/b\0/src/a/n"), "EEXIST");
    guest_ok(w, 1, CLONE, 0, S("/src/b\0/src/a/n/none"));
    perms_are(w, "/src/a/n/none", "r1", 3);
}

/* A stub domain reads what its target may, and owns what it makes. */
static void test_stub_domain(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    guest_ok(w, 1, XS_WRITE, 0, N("data/s/x\0v"));
    guest_fails(w, 2, CLONE, 0, S("/local/domain/1/data/s\0data/c"), "EACCES");
    ok(w, XS_SET_TARGET, 0, S("2\0" "1"));
    guest_ok(w, 2, CLONE, 0, S("/local/domain/1/data/s\0data/c"));
    guest_ok(w, 2, CLONE, 0, S("/local/domain/1/data/s\0/local/domain/1/data/c"));
    perms_are(w, "/local/domain/1/data/c/x", "n2", 3);
    assert_int_equal(w->f.s.books.flat[1].nodes, 3);
    assert_int_equal(w->f.s.books.flat[2].nodes, 5);
}

/* XSA-322, XSA-417: an entry for a domain that is no more means nobody in a copy either. */
static void test_expired(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    ok(w, XS_WRITE, 0, N("/e/x\0v"));
    ok(w, XS_SET_PERMS, 0, S("/e\0n0\0r1\0r2\0r6"));
    ok(w, XS_SET_PERMS, 0, S("/e/x\0n0\0r1\0r2\0r6"));
    fake_domain_down(&w->f, 1);
    ok(w, CLONE, 0, S("/e\0/e2"));
    guest_up(w, 1);
    guest_up(w, 6);
    ok(w, CLONE, 0, S("/e\0/e3"));
    guest_ok(w, 2, CLONE, 0, S("/e2\0/local/domain/2/data/c"));
    ok(w, CLONE, 0, S("/local/domain/2/data/c\0/e4"));
    for (const char *top = "/e2\0/e3\0/e4\0/local/domain/2/data/c\0"; *top; top += strlen(top) + 1) {
        char path[64];
        int n = snprintf(path, sizeof(path), "%s/x", top) + 1;

        guest_fails(w, 1, XS_READ, 0, path, (size_t)n, "EACCES");
        guest_fails(w, 6, XS_READ, 0, path, (size_t)n, "EACCES");
        guest_ok(w, 2, XS_READ, 0, path, (size_t)n);
        guest_fails(w, 1, CLONE, 0, "/e2\0data/c", 11, "EACCES");
    }
}

/* ---- What it costs ---- */

struct account {
    struct usage books;
    int64_t memory;
    unsigned used[QUOTA_COUNT], tx_count;
    size_t tx_charged;
    const struct node *root, *work;
};

static struct account account(struct world *w, uint16_t domid)
{
    const struct domain *d = domain_find(&w->f.s, domid);
    const struct tx *tx = TAILQ_FIRST(&d->conn->txs);
    struct account a;

    memset(&a, 0, sizeof(a));
    a.books.nodes = w->f.s.books.flat[domid].nodes;
    a.books.bytes = w->f.s.books.flat[domid].bytes;
    a.memory = d->memory;
    memcpy(a.used, d->used, sizeof(a.used));
    a.tx_count = tx ? tx->count : 0;
    a.tx_charged = tx ? tx->charged : 0;
    a.root = w->f.s.tree.root;
    a.work = tx ? tx->work.root : NULL;
    return a;
}

static void set_quota(struct world *w, uint16_t domid, const char *name, unsigned value)
{
    char buf[64];
    int n = snprintf(buf, sizeof(buf), "%u%c%s%c%u", domid, 0, name, 0, value);

    ok(w, XS_SET_QUOTA, 0, buf, (size_t)n + 1);
}

/* Every quota that a node written counts for: what is one too many is refused, and leaves no trace. */
static void test_quotas(void **state)
{
    static const struct { const char *name; unsigned enough; const char *error; bool tx_only; } cases[] = {
        { "nodes", 22, "ENOSPC", false },             /* data, the source's 10, one above, the copy's 10 */
        { "node-size", 8, "ENOSPC", false },
        { "node-permissions", 3, "ENOSPC", false },
        { "path-max", 16, "EINVAL", false },          /* data/p/copy/dd/e */
        { "transaction-nodes", 22, "ENOSPC", true },  /* data, data/p, and two times ten */
        { "memory", 0, "ENOMEM", false },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int in_tx = cases[i].tx_only; in_tx < 2; in_tx++) {
            guest_up(w, 1);
            guest_ok(w, 1, XS_WRITE, 0, N("data/s\0eight ch"));
            guest_ok(w, 1, XS_MKDIR, 0, S("data/s/dd/e"));
            guest_ok(w, 1, XS_SET_PERMS, 0, S("data/s/dd\0n1\0r2\0r3"));
            for (char c = 'a'; c <= 'g'; c++)
                guest_ok(w, 1, XS_WRITE, 0, (char[]){ 'd', 'a', 't', 'a', '/', 's', '/', c, 0, 'v' }, 10);
            uint32_t t = in_tx ? guest_begin(w, 1) : 0;
            if (t)
                guest_ok(w, 1, XS_READ, t, S("data/s"));
            struct account before = account(w, 1);
            unsigned enough = cases[i].enough, used = (unsigned)(before.books.bytes + before.memory);
            set_quota(w, 1, cases[i].name, enough ? enough - 1 : used + 700);
            guest_fails(w, 1, CLONE, t, S("data/s\0data/p/copy"), cases[i].error);
            struct account after = account(w, 1);
            assert_memory_equal(&before, &after, sizeof(before));
            world_check(w);
            set_quota(w, 1, cases[i].name, enough ? enough : used + (t ? 4000 : 1300));
            guest_ok(w, 1, CLONE, t, S("data/s\0data/p/copy"));
            if (t)
                guest_ok(w, 1, XS_TRANSACTION_END, t, S("T"));
            assert_int_equal(w->f.s.books.flat[1].nodes, 22);
            world_check(w);
            fake_domain_down(&w->f, 1);
        }
}

/* The write rate: a copy counts as so many writes, where writes count. */
static void test_rate(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    w->f.s.wrl_reserve = 0;
    for (int i = 0; i < 200; i++) {
        char path[64];
        int n = snprintf(path, sizeof(path), "data/s/%d", i) + 1;
        guest_ok(w, 1, XS_MKDIR, 0, path, (size_t)n);
    }
    guest_ok(w, 1, CLONE, 0, S("data/s\0data/c")); /* harms nobody */
    guest_ok(w, 1, CLONE, 0, S("data/s\0data/d"));
    uint32_t t = begin(w);
    guest_ok(w, 1, CLONE, 0, S("data/s\0data/e"));
    assert_in_range(domain_find(&w->f.s, 1)->credit, -300000, -180000);
    assert_int_equal(fake_talk(&w->f, NULL, 1, XS_READ, 0, S("data"), &w->m), XS_INVALID); /* it waits */
    w->f.now_ms += 2000; /* 400 writes' worth */
    store_tick(&w->f.s);
    fake_run(&w->f);
    assert_true(fake_ring_get(&w->f, 1, &w->m));
    assert_int_equal(w->m.hdr.type, XS_READ);
    ok(w, XS_TRANSACTION_END, t, S("T"));
}

/* ---- Much for little ---- */

/* Puts requests into the ring, as many as fit in; the event is left to the caller. */
static unsigned fill_ring(struct world *w, uint16_t domid, const char *src, unsigned first)
{
    struct fake_domain *d = &w->f.dom[domid];
    char msg[sizeof(struct xsd_sockmsg) + 64];
    unsigned n = 0;

    for (;; n++) {
        int len = snprintf(msg + sizeof(struct xsd_sockmsg), 64, "%s%cdata/c%u", src, 0, first + n) + 1;
        struct xsd_sockmsg hdr = { .type = CLONE, .req_id = first + n, .len = (uint32_t)len };
        size_t all = sizeof(hdr) + (size_t)len;

        if (d->req_prod + all - d->page->req_cons > XENSTORE_RING_SIZE)
            return n;
        memcpy(msg, &hdr, sizeof(hdr));
        for (size_t i = 0; i < all; i++)
            d->page->req[MASK_XENSTORE_IDX(d->req_prod++)] = msg[i];
        d->page->req_prod = d->req_prod;
    }
}

static void many_nodes(struct world *w, uint16_t domid, const char *top, unsigned count)
{
    char path[64];

    for (unsigned i = 0; i < count; i++) {
        int n = snprintf(path, sizeof(path), "%s/%u", top, i) + 1;
        if (domid)
            guest_ok(w, domid, XS_MKDIR, 0, path, (size_t)n);
        else
            ok(w, XS_MKDIR, 0, path, (size_t)n);
    }
}

/* One that asks for copy after copy has one made when it is its turn, or refused; others have theirs in between. */
static void test_turns(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    set_quota(w, 1, "nodes", 100000);
    set_quota(w, 1, "memory", 100 << 20);
    many_nodes(w, 1, "data/s", 300);
    many_nodes(w, 1, "data/t", 300);
    ok(w, XS_MKDIR, 0, S("/local/domain/1/data/t/secret"));
    ok(w, XS_SET_PERMS, 0, S("/local/domain/1/data/t/secret\0n0"));
    for (int refused = 0; refused < 2; refused++) {
        unsigned asked = fill_ring(w, 1, refused ? "data/t" : "data/s", 100u * (1 + (unsigned)refused));
        uint32_t each = sizeof(struct xsd_sockmsg) + (refused ? sizeof("EACCES") : sizeof("OK"));
        const uint32_t *replies = &w->f.dom[1].page->rsp_prod, first = *replies;
        unsigned turns = 0;

        assert_true(asked > 10);
        for (ring_event(&w->f.s, w->f.dom[1].port); *replies - first < asked * each; turns++) {
            uint32_t before = *replies, honest = w->f.dom[2].page->rsp_prod;

            fill_ring(w, 2, "none", 0);
            ring_event(&w->f.s, w->f.dom[2].port);
            store_settle(&w->f.s);
            assert_in_range(*replies - before, each, 2 * each); /* it looks at everyone twice */
            assert_true(w->f.dom[2].page->rsp_prod != honest);
            w->f.dom[2].page->rsp_cons = w->f.dom[2].page->rsp_prod;
        }
        assert_in_range(turns, asked / 2, asked);
        w->f.dom[2].rsp_cons = w->f.dom[2].page->rsp_cons;
        guest_drain(w, 1);
        guest_drain(w, 2);
    }
}

/* Copying and removing again and again, where a guest watches that does not read what it is told. */
static void test_watcher(void **state)
{
    struct world *w = *state;

    for (uint16_t d = 1; d <= 3; d++)
        guest_up(w, d);
    ok(w, XS_MKDIR, 0, S("/pub"));
    ok(w, XS_SET_PERMS, 0, S("/pub\0b0"));
    many_nodes(w, 1, "data/s", 490);
    guest_ok(w, 1, XS_SET_PERMS, 0, S("data/s\0r1"));
    for (int i = 0; i < 8; i++)
        guest_ok(w, 2, XS_WATCH, 0, (char[]){ '/', 'p', 'u', 'b', 0, (char)('a' + i), 0 }, 7);
    guest_drain(w, 2);
    for (int i = 0; i < 100; i++) {
        char arg[] = "data/s\0/pub/c00"; /* the same event would not be told twice */
        arg[13] = (char)('0' + i / 10);
        arg[14] = (char)('0' + i % 10);
        guest_ok(w, 1, CLONE, 0, S(arg));
        guest_ok(w, 1, XS_RM, 0, arg + 7, 9);
        assert_true(quota_used(&w->f.s, domain_find(&w->f.s, 1), QUOTA_NODES) <= 1000);
        assert_true(domain_find(&w->f.s, 1)->used[QUOTA_OUTSTANDING] <= 20);
        assert_true(quota_used(&w->f.s, domain_find(&w->f.s, 2), QUOTA_MEMORY) <= 2621440);
        guest_ok(w, 3, XS_WRITE, 0, N("data/honest\0v"));
    }
    /* What waits is as much as its memory, and each further event is looked for among few. */
    const struct conn *c = domain_find(&w->f.s, 2)->conn;
    assert_true(c->nr_events > 10000);
    assert_true(c->nr_events <= 4 * c->nr_event_buckets);
}

/* More than its quotas allow, in every way: in transactions, of a copy's copy, of what others have made. */
static void test_amplify(void **state)
{
    struct world *w = *state;
    const struct domain *d;
    char arg[64];

    guest_up(w, 1);
    d = domain_find(&w->f.s, 1);
    many_nodes(w, 0, "/big", 5000);
    ok(w, XS_SET_PERMS, 0, S("/big\0r0"));
    guest_fails(w, 1, CLONE, 0, S("/big\0data/c"), "ENOSPC");
    set_quota(w, 1, "nodes", 0); /* any number; then the memory ends it */
    guest_fails(w, 1, CLONE, 0, S("/big\0data/c"), "EACCES"); /* below it is another's */
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(arg, sizeof(arg), "/big/%d%cr0", i, 0) + 1;
        ok(w, XS_SET_PERMS, 0, arg, (size_t)n);
    }
    guest_ok(w, 1, CLONE, 0, S("/big\0data/c"));
    set_quota(w, 1, "memory", 700000);
    guest_fails(w, 1, CLONE, 0, S("/big\0data/c2"), "ENOMEM");
    guest_ok(w, 1, XS_RM, 0, S("data/c"));
    set_quota(w, 1, "memory", 2621440);
    set_quota(w, 1, "nodes", 1000);
    guest_ok(w, 1, XS_MKDIR, 0, S("data/s/0"));
    for (int in_tx = 0; in_tx < 2; in_tx++) {
        uint32_t t = in_tx ? guest_begin(w, 1) : 0;
        unsigned done = 0;

        for (; done < 100; done++) { /* each doubles what is there */
            int n = snprintf(arg, sizeof(arg), "data/s%cdata/d%u", 0, done) + 1;
            if (fake_talk(&w->f, NULL, 1, CLONE, t, arg, (size_t)n, &w->m) != CLONE)
                break;
            n = snprintf(arg, sizeof(arg), "data/d%u%cdata/s/%u", done, 0, done + 1) + 1;
            if (fake_talk(&w->f, NULL, 1, CLONE, t, arg, (size_t)n, &w->m) != CLONE)
                break;
        }
        assert_in_range(done, 3, 10);
        assert_string_equal(w->m.body, "ENOSPC");
        assert_true(quota_used(&w->f.s, d, QUOTA_NODES) <= 1000);
        assert_true(quota_used(&w->f.s, d, QUOTA_MEMORY) <= 2621440);
        if (t)
            guest_ok(w, 1, XS_TRANSACTION_END, t, S("T"));
        assert_true(quota_used(&w->f.s, d, QUOTA_NODES) <= 1000);
        world_check(w);
        guest_ok(w, 1, XS_RM, 0, S("data"));
        ok(w, XS_MKDIR, 0, S("/local/domain/1/data"));
        ok(w, XS_SET_PERMS, 0, S("/local/domain/1/data\0n1"));
        guest_ok(w, 1, XS_MKDIR, 0, S("data/s/0"));
    }
    /* Copied and removed in one transaction: all of its versions are charged until its end. */
    many_nodes(w, 1, "data/s", 400);
    uint32_t t = guest_begin(w, 1);
    unsigned rounds = 0;
    while (rounds < 1000 && fake_talk(&w->f, NULL, 1, CLONE, t, S("data/s\0data/c"), &w->m) == CLONE) {
        guest_ok(w, 1, XS_RM, t, S("data/c"));
        rounds++;
    }
    assert_string_equal(w->m.body, "ENOMEM");
    assert_in_range(rounds, 10, 100);
    assert_true(quota_used(&w->f.s, d, QUOTA_MEMORY) <= 2621440);
    guest_ok(w, 1, XS_TRANSACTION_END, t, S("F"));
    assert_true(quota_used(&w->f.s, d, QUOTA_MEMORY) < 100000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(feature), T(guest_owns), T(guest_reads), T(stub_domain), T(expired), T(quotas), T(rate), T(turns),
        T(watcher), T(amplify),
    };

    kr_log_init("test", (enum kr_log_level)2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
