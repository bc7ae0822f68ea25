/* SPDX-License-Identifier: MIT */
/*
 * XSA-414, XSA-415, XSA-421: whichever allocation of an operation fails, the tree and the books
 * stay as they were or become what was asked for, and the daemon goes on. Linked with malloc() and
 * friends wrapped; the n-th call from here on fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/xs_fake.h"
#include "xenstored/journal.h"

static long until_failure = -1; /* calls that still succeed; below 0: all do */
static bool failed;

static bool fails_now(void)
{
    if (until_failure < 0 || until_failure-- > 0)
        return false;
    failed = true;
    return true;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__wrap_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
    return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
    return fails_now() ? NULL : __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails_now() ? NULL : __real_realloc(p, n);
}

static bool journaled;
static char dir[] = "/tmp/xs-oom-XXXXXX";

struct world {
    struct fake f;
    struct fake_client *c;
    struct fake_msg m;
    uint32_t tx;
};

#define S(text) text, sizeof(text)

static uint32_t talk(struct world *w, uint32_t type, uint32_t tx, const char *data, size_t len)
{
    return fake_talk(&w->f, w->c, 0, type, tx, data, len, &w->m);
}

/* What is there before each attempt: nodes of two owners, a watch, a transaction begun. */
static void prepare(struct world *w, bool transaction, bool conflict_free_change)
{
    memset(w, 0, sizeof(*w));
    fake_init(&w->f);
    w->c = fake_connect(&w->f);
    fake_domain_up(&w->f, 1);
    if (journaled)
        assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
    talk(w, XS_WRITE, 0, S("/a/b/c\0old"));
    talk(w, XS_WRITE, 0, S("/a/d\0old"));
    talk(w, XS_SET_PERMS, 0, S("/a/d\0n1"));
    talk(w, XS_WATCH, 0, S("/a\0tok"));
    if (!transaction)
        return;
    talk(w, XS_TRANSACTION_START, 0, S(""));
    w->tx = (uint32_t)atoi(w->m.body);
    talk(w, XS_READ, w->tx, S("/a/b"));
    talk(w, XS_WRITE, w->tx, S("/a/b/c\0new"));
    talk(w, XS_WRITE, w->tx, S("/x/y/z\0new"));
    talk(w, XS_RM, w->tx, S("/a/d"));
    if (conflict_free_change)
        talk(w, XS_WRITE, 0, S("/elsewhere\0x"));
}

struct count {
    int nodes;
    int64_t bytes;
};

static int count(void *arg, const char *path, const struct node *n, bool *skip)
{
    struct count *c = arg;
    uint16_t owner = perms_owner(n->perms);

    assert_in_range(owner, 0, 3);
    c[owner].nodes++;
    c[owner].bytes += (int64_t)node_bytes(n);
    return 0;
}

static void assert_books(struct world *w)
{
    struct count c[4] = { { 0 } };

    assert_int_equal(tree_walk(&w->f.s.tree, "/", count, c), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(c[i].nodes, w->f.s.books.flat[i].nodes);
        assert_int_equal(c[i].bytes, w->f.s.books.flat[i].bytes);
    }
}

static bool there(struct world *w, const char *path)
{
    return tree_find(&w->f.s.tree, path) != NULL;
}

/* All or nothing. */
static void assert_atomic(struct world *w, bool transaction)
{
    if (!transaction)
        return;
    const struct node *c = tree_find(&w->f.s.tree, "/a/b/c");
    bool new = !memcmp(node_value(c), "new", 3);
    assert_int_equal(there(w, "/x/y/z"), new);
    assert_int_equal(there(w, "/a/d"), !new);
}

static void attempt(uint32_t type, bool in_tx, const char *data, size_t len, bool transaction,
                    bool change)
{
    static struct world w;
    bool went_wrong = true;
    long n;

    for (n = 0; went_wrong; n++) {
        prepare(&w, transaction, change);
        failed = false;
        until_failure = n;
        uint32_t got = talk(&w, type, in_tx ? w.tx : 0, data, len);
        until_failure = -1;
        went_wrong = failed;
        assert_true(got == type || got == XS_ERROR || (got == XS_INVALID && !w.c->conn));
        assert_books(&w);
        assert_atomic(&w, transaction && type == XS_TRANSACTION_END);
        fake_disconnect(&w.f, w.c);
        /* Whatever happened, the next client is served. */
        w.c = fake_connect(&w.f);
        assert_int_equal(talk(&w, XS_WRITE, 0, S("/after\0x")), XS_WRITE);
        assert_int_equal(talk(&w, XS_RM, 0, S("/a")), XS_RM);
        assert_books(&w);
        fake_disconnect(&w.f, w.c);
        fake_free(&w.f);
        assert_true(n < 1000);
    }
    assert_true(n > 1); /* there was something to fail: the reply at least */
}

static void test_single(void **state)
{
    attempt(XS_WRITE, false, S("/p/q/r/s/t\0value"), false, false);
    attempt(XS_WRITE, false, S("/a/b/c\0longer value"), false, false);
    attempt(XS_MKDIR, false, S("/a/b/e/f"), false, false);
    attempt(XS_RM, false, S("/a"), false, false);
    attempt(XS_SET_PERMS, false, S("/a/b\0n1\0r2"), false, false);
    attempt(XS_DIRECTORY, false, S("/a"), false, false);
    attempt(XS_READ, false, S("/a/b/c"), false, false);
    attempt(XS_WATCH, false, S("/a/b\0t"), false, false);
    attempt(XS_TRANSACTION_START, false, S(""), false, false);
    attempt(XS_INTRODUCE, false, S("1\0" "1\0" "7"), false, false);
    attempt(XS_CONTROL, false, S("check"), false, false);
}

/* With the snapshots of a transaction alive every edit copies. */
static void test_beside_transaction(void **state)
{
    attempt(XS_WRITE, false, S("/p/q/r/s/t\0value"), true, false);
    attempt(XS_RM, false, S("/a/b"), true, false);
    attempt(XS_SET_PERMS, false, S("/a/b\0n1\0r2"), true, false);
}

static void test_in_transaction(void **state)
{
    attempt(XS_WRITE, true, S("/p/q/r/s/t\0value"), true, false);
    attempt(XS_RM, true, S("/a/b"), true, false);
    attempt(XS_SET_PERMS, true, S("/a/b\0n1\0r2"), true, false);
}

static void test_commit(void **state)
{
    attempt(XS_TRANSACTION_END, true, S("T"), true, false);
    attempt(XS_TRANSACTION_END, true, S("T"), true, true);
    attempt(XS_TRANSACTION_END, true, S("F"), true, true);
}

/* ---- A copy of many nodes is made or is not, and if not, nothing of it is left: no node, no account, no event ---- */

struct accounts {
    const struct node *root, *work;
    struct usage books[3], tally[3];
    size_t charged, out_bytes;
    unsigned records;
    bool tally_failed;
};

static struct accounts accounts(struct world *w, struct fake_client *watcher)
{
    const struct tx *tx = TAILQ_FIRST(&w->c->conn->txs);
    struct accounts a;

    memset(&a, 0, sizeof(a));
    a.root = w->f.s.tree.root;
    a.work = tx ? tx->work.root : NULL;
    for (uint16_t d = 0; d < 3; d++) {
        a.books[d].nodes = w->f.s.books.flat[d].nodes;
        a.books[d].bytes = w->f.s.books.flat[d].bytes;
        if (tx) {
            struct usage u = tally_get(&tx->tally, d);
            a.tally[d].nodes = u.nodes;
            a.tally[d].bytes = u.bytes;
        }
    }
    a.charged = tx ? tx->charged : 0;
    a.records = tx ? tx->count : 0;
    a.tally_failed = tx && tx->tally.failed;
    a.out_bytes = watcher->out_len;
    return a;
}

static void make_much(struct world *w)
{
    char path[64];

    for (int i = 0; i < 40; i++) { /* more than the first room for them */
        int n = snprintf(path, sizeof(path), "/m/%d/%d%cvalue", i % 3, i, 0);
        assert_int_equal(talk(w, XS_WRITE, 0, path, (size_t)n), XS_WRITE);
    }
    assert_int_equal(talk(w, XS_SET_PERMS, 0, S("/m/1\0n1")), XS_SET_PERMS);
    assert_int_equal(talk(w, XS_SET_PERMS, 0, S("/m/2\0n2\0r1")), XS_SET_PERMS);
}

static void attempt_clone(bool in_tx)
{
    static struct world w;
    bool went_wrong = true;
    long n;

    for (n = 0; went_wrong; n++) {
        prepare(&w, in_tx, false);
        fake_domain_up(&w.f, 2);
        struct fake_client *watcher = fake_connect(&w.f), *other = w.c;
        w.c = watcher;
        make_much(&w);
        talk(&w, XS_WATCH, 0, S("/copy\0tok"));
        while (fake_get(watcher, &w.m))
            ;
        w.c = other;
        if (in_tx) /* it begins with what there is now */
            talk(&w, XS_TRANSACTION_END, w.tx, S("F"));
        if (in_tx && talk(&w, XS_TRANSACTION_START, 0, S("")) == XS_TRANSACTION_START)
            w.tx = (uint32_t)atoi(w.m.body);
        talk(&w, XS_READ, in_tx ? w.tx : 0, S("/m"));
        struct accounts before = accounts(&w, watcher);
        failed = false;
        until_failure = n;
        uint32_t got = talk(&w, XS_KR_CLONE, in_tx ? w.tx : 0, S("/m\0/copy/of/m"));
        until_failure = -1;
        went_wrong = failed;
        assert_books(&w);
        assert_true(got == XS_KR_CLONE || got == XS_ERROR || !w.c->conn);
        if (got == XS_ERROR) {
            struct accounts after = accounts(&w, watcher);
            assert_string_equal(w.m.body, "ENOMEM");
            assert_memory_equal(&before, &after, sizeof(before));
        } else if (w.c->conn) {
            if (in_tx)
                assert_int_equal(talk(&w, XS_TRANSACTION_END, w.tx, S("T")), XS_TRANSACTION_END);
            assert_true(there(&w, "/copy/of/m/0/39") && there(&w, "/copy/of/m/2/38"));
            assert_int_equal(w.f.s.books.flat[2].nodes, 2);
        } else {
            assert_int_equal(there(&w, "/copy"), there(&w, "/copy/of/m/0/39"));
        }
        assert_books(&w);
        fake_disconnect(&w.f, w.c);
        fake_disconnect(&w.f, watcher);
        fake_free(&w.f);
        assert_true(n < 2000);
    }
    assert_true(n > 50);
}

static void test_clone(void **state)
{
    attempt_clone(false);
    attempt_clone(true);
}

/* The same with a journal, which may be lost but takes nothing with it. */
static void test_journaled(void **state)
{
    journaled = true;
    test_single(state);
    test_beside_transaction(state);
    attempt(XS_TRANSACTION_END, true, S("T"), true, true);
    attempt_clone(false);
    journaled = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single), cmocka_unit_test(test_beside_transaction),
        cmocka_unit_test(test_in_transaction), cmocka_unit_test(test_commit),
        cmocka_unit_test(test_clone), cmocka_unit_test(test_journaled),
    };
    char name[64];

    kr_log_init("test", (enum kr_log_level)2);
    if (!mkdtemp(dir))
        return 1;
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(name, sizeof(name), "%s/state", dir);
    unlink(name);
    rmdir(dir);
    return failures;
}
