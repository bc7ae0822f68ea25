/* SPDX-License-Identifier: MIT */
/* XS_KR_CLONE: what is copied, in transactions and beside them, who hears of it, and that it outlives the daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/xs_world.h"
#include "xenstored/journal.h"

static char dir[] = "/tmp/xs-clone-XXXXXX";

#define CLONE XS_KR_CLONE

/* /t with several levels, values and permissions. */
static void make_source(struct world *w)
{
    ok(w, XS_WRITE, 0, N("/t\0top"));
    ok(w, XS_WRITE, 0, N("/t/z\0one\0two"));
    ok(w, XS_WRITE, 0, N("/t/a/deep/er\0v"));
    ok(w, XS_MKDIR, 0, S("/t/m"));
    ok(w, XS_SET_PERMS, 0, S("/t\0n0\0r1"));
    ok(w, XS_SET_PERMS, 0, S("/t/a\0r0\0b3\0w7"));
}

/* ---- What it does ---- */

static void test_contents(void **state)
{
    struct world *w = *state;

    make_source(w);
    fake_domain_up(&w->f, 3);
    ok(w, XS_SET_PERMS, 0, S("/t/m\0n3"));
    ok(w, CLONE, 0, S("/t\0/c/o/py"));
    assert_string_equal(w->m.body, "OK");
    assert_int_equal(w->m.hdr.len, 3);
    value_is(w, 0, "/c/o/py", "top");
    ok(w, XS_READ, 0, S("/c/o/py/z"));
    assert_int_equal(w->m.hdr.len, 7);
    assert_memory_equal(w->m.body, "one\0two", 7);
    value_is(w, 0, "/c/o/py/a/deep/er", "v");
    ok(w, XS_DIRECTORY, 0, S("/c/o/py")); /* in the order in which they were made */
    assert_int_equal(w->m.hdr.len, 6);
    assert_memory_equal(w->m.body, "z\0a\0m", 6);
    perms_are(w, "/c/o/py", "n0\0r1", 6);
    perms_are(w, "/c/o/py/a", "r0\0b3\0w7", 9);
    perms_are(w, "/c/o/py/m", "n3", 3);
    perms_are(w, "/c/o", "n0", 3); /* as WRITE makes it */
    assert_int_equal(w->f.s.books.flat[3].nodes, 2);
    world_check(w);
    /* From now on they are two. */
    ok(w, XS_WRITE, 0, N("/c/o/py/a/deep/er\0other"));
    ok(w, XS_RM, 0, S("/c/o/py/z"));
    ok(w, XS_WRITE, 0, N("/t/m/new\0v"));
    value_is(w, 0, "/t/a/deep/er", "v");
    assert_true(there(w, "/t/z"));
    assert_false(there(w, "/c/o/py/m/new"));
    /* A single node; beside it; of a copy; up the tree. */
    ok(w, CLONE, 0, S("/t/a/deep/er\0/t/a/deep/twin"));
    ok(w, CLONE, 0, S("/c/o/py/a\0/t/a/deep/er/a"));
    value_is(w, 0, "/t/a/deep/er/a/deep/er", "other");
    ok(w, CLONE, 0, S("/t/a/deep\0/top"));
    value_is(w, 0, "/top/twin", "v");
}

static void test_refused(void **state)
{
    static const struct { const char *data; size_t len; const char *error; } cases[] = {
        { S("/t\0/t"), "EINVAL" }, { S("/t\0/t/in/side"), "EINVAL" }, { S("/\0/c"), "EINVAL" },
        { S("/t/a\0/t/a/deep"), "EINVAL" }, { S("/t\0/"), "EEXIST" }, { S("/t/a/deep\0/t"), "EEXIST" },
        { S("/t\0/tool"), "EEXIST" }, { S("/none\0/c"), "ENOENT" }, { S("/none\0/tool"), "ENOENT" },
        { S("/t"), "EINVAL" }, { S("/t\0"), "EINVAL" }, { S("/t\0/c\0"), "EINVAL" }, { S("/t\0/c\0x"), "EINVAL" },
        { N("/t\0/c"), "EINVAL" }, { N(""), "EINVAL" }, { S(""), "EINVAL" }, { S("\0/c"), "EINVAL" },
        { S("@releaseDomain\0/c"), "EINVAL" }, { S("/t\0@releaseDomain"), "EINVAL" }, { S("/t\0//c"), "EINVAL" },
        { S("/t/\0/c"), "EINVAL" }, { S("/t\0/c/"), "EINVAL" }, { S("/t\0/c.d"), "EINVAL" },
    };
    struct world *w = *state;

    make_source(w);
    for (int in_tx = 0; in_tx < 2; in_tx++) {
        uint32_t t = in_tx ? begin(w) : 0;
        const struct node *root = w->f.s.tree.root;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            fails(w, CLONE, t, cases[i].data, cases[i].len, cases[i].error);
            assert_ptr_equal(root, w->f.s.tree.root);
        }
        if (t)
            ok(w, XS_TRANSACTION_END, t, S("T"));
    }
    ok(w, CLONE, 0, S("/t\0/tt")); /* not below, though its name begins alike */
}

/* A copy's paths must be no longer than a path may be: to the byte. */
static void test_long_paths(void **state)
{
    struct world *w = *state;
    char buf[4096];
    size_t deep = 40; /* bytes of the path below /s */

    memset(buf, 'd', sizeof(buf));
    memcpy(buf, "/s/", 3);
    buf[2 + deep] = 0;
    ok(w, XS_MKDIR, 0, buf, 3 + deep);
    for (size_t len = PATH_ABS_MAX - deep - 2; len <= PATH_ABS_MAX - deep + 2; len++) {
        memcpy(buf, "/s\0/", 4);
        memset(buf + 4, 'x', len - 1);
        for (size_t i = 100; i < len; i += 100)
            buf[3 + i] = '/';
        buf[3 + len] = 0;
        if (len + deep < PATH_ABS_MAX)
            ok(w, CLONE, 0, buf, 4 + len);
        else
            fails(w, CLONE, 0, buf, 4 + len, "EINVAL");
    }
    world_check(w);
}

/* ---- Transactions ---- */

static void test_transaction(void **state)
{
    struct world *w = *state;

    for (int commit = 0; commit < 2; commit++)
        for (int beside = 0; beside < 2; beside++) {
            make_source(w);
            uint32_t t = begin(w);
            ok(w, XS_WRITE, t, N("/t/own\0mine"));
            ok(w, XS_RM, t, S("/t/z"));
            ok(w, CLONE, t, S("/t\0/c/o"));
            value_is(w, t, "/c/o/own", "mine");
            fails(w, XS_READ, t, S("/c/o/z"), "ENOENT");
            ok(w, CLONE, t, S("/c/o\0/c/o2"));
            assert_false(there(w, "/c"));
            ok(w, XS_WRITE, t, N("/c/o/a\0written"));
            ok(w, XS_RM, t, S("/c/o/m"));
            if (beside) /* so that it is played on another tree */
                ok(w, XS_WRITE, 0, N("/beside\0v"));
            ok(w, XS_TRANSACTION_END, t, commit ? "T" : "F", 2);
            assert_int_equal(there(w, "/c"), commit);
            if (commit) {
                value_is(w, 0, "/c/o", "top");
                value_is(w, 0, "/c/o/own", "mine");
                value_is(w, 0, "/c/o/a", "written");
                value_is(w, 0, "/c/o2/a/deep/er", "v");
                perms_are(w, "/c/o2/a", "r0\0b3\0w7", 9);
                perms_are(w, "/c", "n0", 3);
                assert_true(there(w, "/c/o2/m"));
                assert_false(there(w, "/c/o/m"));
                ok(w, XS_RM, 0, S("/c"));
            }
            world_check(w);
            ok(w, XS_RM, 0, S("/t"));
            if (beside)
                ok(w, XS_RM, 0, S("/beside"));
        }
}

/* It depends on each node that it has read, and on there being none where it has made some. */
static void test_conflicts(void **state)
{
    static const struct { uint32_t type; const char *data; size_t len; bool conflict; } cases[] = {
        { XS_WRITE, N("/t\0n"), true }, { XS_WRITE, N("/t/a/deep/er\0n"), true },
        { XS_WRITE, N("/t/a/deep/er\0v"), false }, { XS_WRITE, N("/t/a/deep/new\0n"), true },
        { XS_MKDIR, S("/t/m/new"), true }, { XS_RM, S("/t/a/deep/er"), true }, { XS_RM, S("/t"), true },
        { XS_SET_PERMS, S("/t/a/deep/er\0n0\0r5"), true }, { XS_MKDIR, S("/c"), true },
        { XS_MKDIR, S("/c/o"), true }, { XS_MKDIR, S("/c/o/a/deep/er"), true },
        { XS_MKDIR, S("/other"), false }, { XS_WRITE, N("/beside\0n"), false },
        { XS_SET_PERMS, S("/beside\0n0\0r5"), false },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_source(w);
        ok(w, XS_WRITE, 0, N("/beside\0v"));
        uint32_t t = begin(w), reader = begin(w);
        fails(w, XS_READ, reader, S("/c/o/a"), "ENOENT");
        ok(w, XS_WRITE, reader, N("/r\0v"));
        ok(w, CLONE, t, S("/t\0/c/o"));
        ok(w, cases[i].type, 0, cases[i].data, cases[i].len);
        if (cases[i].conflict)
            fails(w, XS_TRANSACTION_END, t, S("T"), "EAGAIN");
        else
            ok(w, XS_TRANSACTION_END, t, S("T"));
        /* Who has seen that there is no such node learns of the copy. */
        if (cases[i].conflict && !there(w, "/c/o/a"))
            ok(w, XS_TRANSACTION_END, reader, S("T"));
        else
            fails(w, XS_TRANSACTION_END, reader, S("T"), "EAGAIN");
        world_check(w);
        for (const char *top = "/t\0/c\0/r\0/beside\0/other\0"; *top; top += strlen(top) + 1)
            fake_talk(&w->f, w->c, 0, XS_RM, 0, top, strlen(top) + 1, &w->m);
    }
    /* A copy outside a transaction is a change like others. */
    make_source(w);
    uint32_t t = begin(w);
    ok(w, XS_DIRECTORY, t, S("/"));
    ok(w, CLONE, 0, S("/t\0/c"));
    fails(w, XS_TRANSACTION_END, t, S("T"), "EAGAIN");
}

/* As many nodes as a control domain likes, in a transaction too. */
static void test_many(void **state)
{
    struct world *w = *state;
    char path[64];

    for (int i = 0; i < 20000; i++) {
        int n = snprintf(path, sizeof(path), "/t/%d/%d", i % 100, i) + 1;
        ok(w, XS_MKDIR, 0, path, (size_t)n);
    }
    uint32_t t = begin(w);
    ok(w, CLONE, t, S("/t\0/c"));
    ok(w, XS_MKDIR, 0, S("/beside"));
    ok(w, XS_TRANSACTION_END, t, S("T"));
    ok(w, CLONE, 0, S("/t\0/c2"));
    assert_int_equal(w->f.s.books.flat[0].nodes, 3 * 20101 + 4);
    assert_true(there(w, "/c/99/19999") && there(w, "/c2/99/19999"));
}

/* ---- Watches ---- */

/* A word for each event: the path's end, and the token. */
static void events_are(struct world *w, uint16_t domid, const char *want)
{
    char got[1024] = "";

    for (const char *e; (e = domid ? guest_event(w, domid) : event(w));) {
        const char *token = e + strlen(e) + 1;
        size_t used = strlen(got);
        snprintf(got + used, sizeof(got) - used, "%s%s:%s", used ? " " : "", e, token);
    }
    assert_string_equal(got, want);
}

static void test_watches(void **state)
{
    struct world *w = *state;
    struct fake_client *watcher = w->c;

    guest_up(w, 1);
    ok(w, XS_WRITE, 0, N("/t/b\0v"));
    ok(w, XS_WRITE, 0, N("/t/b/c\0v"));
    ok(w, XS_WRITE, 0, N("/t/a\0v"));
    ok(w, XS_SET_PERMS, 0, S("/t/b\0n0\0r1"));
    ok(w, XS_MKDIR, 0, S("/x"));
    for (int in_tx = 0; in_tx < 2; in_tx++) {
        ok(w, XS_WATCH, 0, S("/x\0x"));
        ok(w, XS_WATCH, 0, S("/x/y/b\0b"));
        ok(w, XS_WATCH, 0, S("/x/y/none\0n"));
        ok(w, XS_WATCH, 0, S("/x/y\0one\0" "1"));
        ok(w, XS_WATCH, 0, S("/t\0t"));
        guest_ok(w, 1, XS_WATCH, 0, S("/x\0g"));
        drain(w);
        guest_drain(w, 1);
        w->c = fake_connect(&w->f);
        uint32_t t = in_tx ? begin(w) : 0;
        ok(w, CLONE, t, S("/t\0/x/y"));
        if (t) {
            events_are(w, 1, "");
            fails(w, CLONE, t, S("/t\0/x/y"), "EEXIST");
            ok(w, XS_TRANSACTION_END, t, S("T"));
        }
        fake_disconnect(&w->f, w->c);
        w->c = watcher;
        events_are(w, 0, "/x/y:x /x/y:one /x/y/b:x /x/y/b:one /x/y/b:b /x/y/b/c:x /x/y/b/c:b /x/y/a:x /x/y/a:one");
        events_are(w, 1, "/x/y/b:g /x/y/b/c:g");
        ok(w, XS_RESET_WATCHES, 0, S(""));
        guest_ok(w, 1, XS_RESET_WATCHES, 0, S(""));
        ok(w, XS_RM, 0, S("/x/y"));
    }
}

/* Who may not read a copy, nor what it is in, does not hear of it. */
static void test_watch_permissions(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    ok(w, XS_WRITE, 0, N("/t/b\0v"));
    ok(w, XS_WRITE, 0, N("/t/b/c\0v"));
    ok(w, XS_SET_PERMS, 0, S("/t/b/c\0n0\0r1"));
    guest_ok(w, 1, XS_WATCH, 0, S("/x\0g"));
    guest_drain(w, 1);
    ok(w, CLONE, 0, S("/t\0/x"));
    events_are(w, 1, "/x/b/c:g");
}

/* ---- It outlives the daemon ---- */

static void go_on(struct world *w, bool killed)
{
    if (!killed) {
        fake_update(&w->f);
        return;
    }
    fake_restart(&w->f, dir);
    fake_disconnect(&w->f, w->c);
    w->c = fake_connect(&w->f);
}

static void test_next_daemon(void **state)
{
    struct world *w = *state;

    for (int killed = 0; killed < 2; killed++)
        for (int in_tx = 0; in_tx < 2; in_tx++) {
            guest_up(w, 1);
            make_source(w);
            ok(w, XS_MKDIR, 0, S("/in"));
            ok(w, XS_SET_PERMS, 0, S("/in\0n0\0r1"));
            ok(w, XS_SET_PERMS, 0, S("/t/a\0r1\0w0"));
            if (killed)
                assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
            uint32_t t = in_tx ? begin(w) : 0;
            ok(w, CLONE, t, S("/t/a\0/in/c/o")); /* /in/c is not as /in/c/o */
            if (t && !killed)
                go_on(w, false); /* the transaction goes along */
            if (t)
                ok(w, XS_TRANSACTION_END, t, S("T"));
            go_on(w, killed);
            perms_are(w, "/in/c", "n0\0r1", 6);
            perms_are(w, "/in/c/o", "r1\0w0", 6);
            value_is(w, 0, "/in/c/o/deep/er", "v");
            assert_int_equal(w->f.s.books.flat[1].nodes, 3);
            world_check(w);
            ok(w, XS_RM, 0, S("/in"));
            ok(w, XS_RM, 0, S("/t"));
            fake_domain_down(&w->f, 1);
            journal_close(&w->f.s);
        }
}

/* A live update amid a transaction: what its copy has read still counts. */
static void test_update_conflict(void **state)
{
    struct world *w = *state;

    for (int conflict = 0; conflict < 2; conflict++) {
        make_source(w);
        uint32_t t = begin(w);
        ok(w, CLONE, t, S("/t\0/c"));
        go_on(w, false);
        value_is(w, t, "/c/a/deep/er", "v");
        if (conflict) {
            ok(w, XS_WRITE, 0, N("/t/a/deep/er\0n"));
            fails(w, XS_TRANSACTION_END, t, S("T"), "EAGAIN");
        } else {
            ok(w, XS_WRITE, 0, N("/other\0n"));
            ok(w, XS_TRANSACTION_END, t, S("T"));
            value_is(w, 0, "/c/a/deep/er", "v");
            ok(w, XS_RM, 0, S("/c"));
        }
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(contents), T(refused), T(long_paths), T(transaction), T(conflicts), T(many), T(watches),
        T(watch_permissions), T(next_daemon), T(update_conflict),
    };
    char name[64];

    kr_log_init("test", (enum kr_log_level)2);
    if (!mkdtemp(dir))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(name, sizeof(name), "%s/state", dir);
    unlink(name);
    rmdir(dir);
    return failed;
}
