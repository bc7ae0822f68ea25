/* SPDX-License-Identifier: MIT */
/* The daemon's operations, as clients and guests see them. Tests are named after the advisory that
 * describes the mistake, where there is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/xs_world.h"

/* ---- Basics ---- */

static void test_basics(void **state)
{
    struct world *w = *state;

    ok(w, XS_READ, 0, S("/tool/xenstored"));
    assert_int_equal(w->m.hdr.len, 0);
    ok(w, XS_WRITE, 0, N("/a/b\0value"));
    value_is(w, 0, "/a/b", "value");
    ok(w, XS_WRITE, 0, S("/a/c"));
    ok(w, XS_MKDIR, 0, S("/a/b"));
    value_is(w, 0, "/a/b", "value");
    ok(w, XS_DIRECTORY, 0, S("/a"));
    assert_int_equal(w->m.hdr.len, 4);
    assert_memory_equal(w->m.body, "b\0c", 4);
    ok(w, XS_GET_PERMS, 0, S("/a"));
    assert_string_equal(w->m.body, "n0");
    ok(w, XS_RM, 0, S("/a/b"));
    ok(w, XS_RM, 0, S("/a/b"));
    fails(w, XS_RM, 0, S("/x/y"), "ENOENT");
    fails(w, XS_RM, 0, S("/"), "EINVAL");
    fails(w, XS_READ, 0, S("/a/b"), "ENOENT");
    ok(w, XS_GET_DOMAIN_PATH, 0, S("5"));
    assert_string_equal(w->m.body, "/local/domain/5");
    ok(w, XS_IS_DOMAIN_INTRODUCED, 0, S("5"));
    assert_string_equal(w->m.body, "F");
    fails(w, XS_SET_PERMS, 0, S("/a\0x1"), "EINVAL");
    fails(w, XS_SET_PERMS, 0, S("/a"), "EINVAL");
    fails(w, XS_READ, 99, S("/a"), "ENOENT");
}

static void test_bad_requests(void **state)
{
    struct world *w = *state;

    for (uint32_t type = 0; type < 40; type++)
        assert_int_not_equal(fake_talk(&w->f, w->c, 0, type, 0, "", 0, &w->m), XS_INVALID);
    fails(w, 27, 0, S("x"), "ENOSYS");
    fails(w, 20, 0, S("x"), "ENOSYS");
    fails(w, XS_WATCH_EVENT, 0, S("x"), "ENOSYS");
    fails(w, XS_READ, 0, N("/a"), "EINVAL");
    fails(w, XS_READ, 0, S("/a\0/b"), "EINVAL");
    fails(w, XS_READ, 0, S("relative"), "ENOENT");
    fails(w, XS_READ, 0, S("rel.ative"), "EINVAL");
    fails(w, XS_READ, 0, S(""), "EINVAL");
    fails(w, XS_READ, 0, S("@releaseDomain"), "EINVAL");
    fails(w, XS_WRITE, 0, N("/nonul"), "EINVAL");
    fails(w, XS_INTRODUCE, 0, S("1\0" "2"), "EINVAL");
    fails(w, XS_INTRODUCE, 0, S("-1\0" "2\0" "3"), "EINVAL");
    fails(w, XS_INTRODUCE, 0, S("6\0" "2\0" "3"), "ENOENT");
    fails(w, XS_RELEASE, 0, S("6"), "ENOENT");
    fails(w, XS_TRANSACTION_END, 0, S("T"), "ENOENT");
    fails(w, XS_CONTROL, 0, S("nonsense"), "EINVAL");
    ok(w, XS_CONTROL, 0, S("help"));
}

/* XSA-420: lengths that are negative when signed; headers that come byte by byte. */
static void test_xsa_420(void **state)
{
    struct world *w = *state;
    static const uint32_t lengths[] = { 0xffffffff, 0x80000000, XENSTORE_PAYLOAD_MAX + 1 };
    struct xsd_sockmsg hdr = { .type = XS_READ, .req_id = 77, .len = 17 };
    char msg[sizeof(hdr) + 17];

    memcpy(msg, &hdr, sizeof(hdr));
    memcpy(msg + sizeof(hdr), "/tool/xenstored\0", 17);
    hdr.len = 16;
    memcpy(msg, &hdr, sizeof(hdr));
    for (size_t i = 0; i < sizeof(hdr) + 16; i++) {
        assert_false(fake_get(w->c, &w->m));
        fake_put(&w->f, w->c, msg + i, 1);
    }
    assert_true(fake_get(w->c, &w->m));
    assert_int_equal(w->m.hdr.req_id, 77);
    for (size_t i = 0; i < 3; i++) {
        struct fake_client *bad = fake_connect(&w->f);

        hdr.len = lengths[i];
        fake_put(&w->f, bad, &hdr, sizeof(hdr));
        assert_true(bad->failed);
        assert_null(bad->conn);
        fake_disconnect(&w->f, bad);
    }
}

/* Lists longer than a message: E2BIG, and the same list in parts. */
static void test_directory_part(void **state)
{
    struct world *w = *state;
    char path[64], offset[96], seen[1000] = { 0 };
    size_t at = 0;
    unsigned parts = 0;

    for (int i = 0; i < 1000; i++) {
        int n = snprintf(path, sizeof(path), "/big/some-longer-name-%d", i);
        ok(w, XS_MKDIR, 0, path, (size_t)n + 1);
    }
    fails(w, XS_DIRECTORY, 0, S("/big"), "E2BIG");
    for (bool end = false; !end; parts++) {
        int n = snprintf(offset, sizeof(offset), "/big%c%zu", 0, at);

        ok(w, XS_DIRECTORY_PART, 0, offset, (size_t)n + 1);
        const char *p = w->m.body + strlen(w->m.body) + 1, *stop = w->m.body + w->m.hdr.len;
        for (; p < stop && *p; p += strlen(p) + 1) {
            int i = atoi(p + strlen("some-longer-name-"));
            assert_int_equal(seen[i], 0);
            seen[i] = 1;
            at += strlen(p) + 1;
        }
        end = p < stop;
    }
    assert_true(parts > 3);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(seen[i], 1);
}

/* ---- Transactions ---- */

static void test_transactions(void **state)
{
    struct world *w = *state;

    ok(w, XS_WRITE, 0, N("/t/a\0" "1"));
    uint32_t t = begin(w);
    ok(w, XS_WRITE, t, N("/t/a\0" "2"));
    ok(w, XS_WRITE, t, N("/t/new/deep\0x"));
    value_is(w, t, "/t/a", "2");
    value_is(w, 0, "/t/a", "1");
    fails(w, XS_READ, 0, S("/t/new"), "ENOENT");
    ok(w, XS_TRANSACTION_END, t, S("T"));
    value_is(w, 0, "/t/a", "2");
    value_is(w, 0, "/t/new/deep", "x");
    t = begin(w);
    ok(w, XS_RM, t, S("/t"));
    ok(w, XS_TRANSACTION_END, t, S("F"));
    value_is(w, 0, "/t/a", "2");
    fails(w, XS_TRANSACTION_END, t, S("T"), "ENOENT");
}

/* What conflicts: something that was read has changed. What does not: anything else. */
static void test_conflicts(void **state)
{
    static const struct {
        uint32_t in_type; const char *in; size_t in_len;
        uint32_t out_type; const char *out; size_t out_len;
        bool conflict;
    } cases[] = {
        { XS_READ, S("/c/a"), XS_WRITE, N("/c/a\0n"), true },
        { XS_READ, S("/c/a"), XS_WRITE, N("/c/a\0" "1"), false }, /* as it was */
        { XS_READ, S("/c/a"), XS_WRITE, N("/c/b\0n"), false },
        { XS_READ, S("/c/a"), XS_WRITE, N("/c/a/kid\0n"), false },
        { XS_READ, S("/c/a"), XS_RM, S("/c"), true },
        { XS_READ, S("/c/none"), XS_WRITE, N("/c/none\0n"), true },
        { XS_DIRECTORY, S("/c"), XS_WRITE, N("/c/a\0n"), false },
        { XS_DIRECTORY, S("/c"), XS_WRITE, N("/c/z\0n"), true },
        { XS_DIRECTORY, S("/c"), XS_RM, S("/c/a"), true },
        { XS_DIRECTORY, S("/c"), XS_WRITE, N("/c/a/z\0n"), false },
        { XS_WRITE, N("/c/a\0m"), XS_WRITE, N("/c/a\0n"), false },
        { XS_WRITE, N("/c/x\0m"), XS_WRITE, N("/c/y\0n"), false },
        { XS_WRITE, N("/c/x\0m"), XS_RM, S("/c"), true },
        { XS_GET_PERMS, S("/c/a"), XS_SET_PERMS, S("/c/a\0n0\0r3"), true },
        { XS_GET_PERMS, S("/c/a"), XS_WRITE, N("/c/a\0n"), false },
        { XS_RM, S("/c/a"), XS_WRITE, N("/c/b\0n"), false },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(w, XS_WRITE, 0, N("/c/a\0" "1"));
        ok(w, XS_WRITE, 0, N("/c/b\0" "1"));
        uint32_t t = begin(w);
        fake_talk(&w->f, w->c, 0, cases[i].in_type, t, cases[i].in, cases[i].in_len, &w->m);
        ok(w, XS_WRITE, t, N("/other\0m"));
        ok(w, cases[i].out_type, 0, cases[i].out, cases[i].out_len);
        if (cases[i].conflict)
            fails(w, XS_TRANSACTION_END, t, S("T"), "EAGAIN");
        else
            ok(w, XS_TRANSACTION_END, t, S("T"));
        world_check(w);
        ok(w, XS_RM, 0, S("/c"));
        ok(w, XS_RM, 0, S("/other"));
    }
}

/* Both sides' writes are there when neither depends on the other's. */
static void test_merge(void **state)
{
    struct world *w = *state;

    ok(w, XS_WRITE, 0, N("/m/sub/x\0" "1"));
    uint32_t t = begin(w);
    ok(w, XS_RM, t, S("/m/sub"));
    ok(w, XS_WRITE, t, N("/m/sub/y\0" "2"));
    ok(w, XS_WRITE, t, N("/m/v\0mine"));
    ok(w, XS_WRITE, 0, N("/m/other\0" "3"));
    ok(w, XS_WRITE, 0, N("/m/sub/z\0" "4"));
    ok(w, XS_TRANSACTION_END, t, S("T"));
    value_is(w, 0, "/m/other", "3");
    value_is(w, 0, "/m/v", "mine");
    value_is(w, 0, "/m/sub/y", "2");
    fails(w, XS_READ, 0, S("/m/sub/x"), "ENOENT");
    fails(w, XS_READ, 0, S("/m/sub/z"), "ENOENT");
}

/* XSA-421: made and removed in one transaction. */
static void test_xsa_421(void **state)
{
    struct world *w = *state;

    for (int other = 0; other < 2; other++) {
        uint32_t t = begin(w);
        ok(w, XS_WRITE, t, N("/p/q/r\0x"));
        ok(w, XS_RM, t, S("/p/q"));
        if (other)
            ok(w, XS_WRITE, 0, N("/elsewhere\0x"));
        ok(w, XS_TRANSACTION_END, t, S("T"));
        ok(w, XS_READ, 0, S("/p"));
        fails(w, XS_READ, 0, S("/p/q"), "ENOENT");
        world_check(w);
        ok(w, XS_RM, 0, S("/p"));
    }
}

/* ---- Watches ---- */

static void test_watches(void **state)
{
    struct world *w = *state;

    ok(w, XS_WATCH, 0, S("/w\0tok"));
    assert_memory_equal(event(w), "/w\0tok", 7);
    fails(w, XS_WATCH, 0, S("/w\0tok"), "EEXIST");
    fake_put(&w->f, w->c, "", 0);
    struct fake_client *other = fake_connect(&w->f);
    struct fake_msg m;
#define BY_OTHER(type, tx, text) \
    assert_int_equal(fake_talk(&w->f, other, 0, type, tx, text, &m), type)
    BY_OTHER(XS_WRITE, 0, N("/w/x/y\0v"));
    assert_memory_equal(event(w), "/w/x/y\0tok", 11);
    assert_null(event(w));
    BY_OTHER(XS_WRITE, 0, N("/ww\0v"));
    assert_null(event(w));
    BY_OTHER(XS_MKDIR, 0, S("/w/x/y"));
    assert_null(event(w));
    BY_OTHER(XS_RM, 0, S("/w/x"));
    assert_memory_equal(event(w), "/w/x\0tok", 9);
    assert_null(event(w));
    /* In a transaction nothing is heard before its end, and each node once. */
    assert_int_equal(fake_talk(&w->f, other, 0, XS_TRANSACTION_START, 0, S(""), &m),
                     XS_TRANSACTION_START);
    uint32_t t = (uint32_t)atoi(m.body);
    BY_OTHER(XS_WRITE, t, N("/w/1\0v"));
    BY_OTHER(XS_WRITE, t, N("/w/1\0w"));
    assert_null(event(w));
    BY_OTHER(XS_TRANSACTION_END, t, S("T"));
    assert_memory_equal(event(w), "/w/1\0tok", 9);
    assert_null(event(w));
    ok(w, XS_UNWATCH, 0, S("/w\0tok"));
    fails(w, XS_UNWATCH, 0, S("/w\0tok"), "ENOENT");
    BY_OTHER(XS_WRITE, 0, N("/w/2\0v"));
    assert_null(event(w));
    fake_disconnect(&w->f, other);
}

/* A watch inside of what is removed hears of its own path. */
static void test_watch_removed(void **state)
{
    struct world *w = *state;

    for (int in_tx = 0; in_tx < 2; in_tx++) {
        ok(w, XS_WRITE, 0, N("/r/a/b\0v"));
        ok(w, XS_WATCH, 0, S("/r/a/b\0t1"));
        ok(w, XS_WATCH, 0, S("/r/a/none\0t2"));
        while (event(w))
            ;
        uint32_t t = in_tx ? begin(w) : 0;
        ok(w, XS_RM, t, S("/r"));
        if (in_tx)
            ok(w, XS_TRANSACTION_END, t, S("T"));
        ok(w, XS_UNWATCH, 0, S("/r/a/none\0t2"));
        ok(w, XS_UNWATCH, 0, S("/r/a/b\0t1"));
    }
}

static void test_special_watches(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    ok(w, XS_WATCH, 0, S("@introduceDomain\0i"));
    ok(w, XS_WATCH, 0, S("@releaseDomain\0r"));
    ok(w, XS_WATCH, 0, S("/\0root"));
    while (event(w))
        ;
    /* A guest may watch them, but hears only what its permissions let it. */
    guest_ok(w, 1, XS_WATCH, 0, S("@releaseDomain\0r"));
    while (guest_event(w, 1))
        ;
    fake_domain_up(&w->f, 2);
    w->f.req_id = 0;
    ok(w, XS_INTRODUCE, 0, S("2\0" "1\0" "7"));
    w->f.dom[2].shutdown = true;
    domain_check_all(&w->f.s);
    domain_check_all(&w->f.s);
    fake_run(&w->f);
    assert_memory_equal(event(w), "@releaseDomain\0r", 17);
    assert_null(event(w)); /* once per shutdown, and never to "/" */
    assert_null(guest_event(w, 1));
    ok(w, XS_SET_PERMS, 0, S("@releaseDomain\0n0\0r1"));
    fake_domain_down(&w->f, 2);
    assert_memory_equal(guest_event(w, 1), "@releaseDomain\0r", 17);
    guest_fails(w, 1, XS_SET_PERMS, 0, S("@releaseDomain\0b1"), "EACCES");
}

/* XSA-115: a guest hears nothing of what it may not read. */
static void test_xsa_115(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    ok(w, XS_WRITE, 0, N("/secret/x\0v"));
    guest_ok(w, 1, XS_WATCH, 0, S("/\0t"));
    guest_ok(w, 1, XS_WATCH, 0, S("/secret/x\0t"));
    guest_ok(w, 1, XS_WATCH, 0, S("@introduceDomain\0t"));
    while (guest_event(w, 1))
        ;
    ok(w, XS_WRITE, 0, N("/secret/x\0w"));
    uint32_t t = begin(w);
    ok(w, XS_WRITE, t, N("/secret/y\0w"));
    ok(w, XS_TRANSACTION_END, t, S("T"));
    ok(w, XS_RM, 0, S("/secret"));
    guest_up(w, 2);
    assert_null(guest_event(w, 1));
    ok(w, XS_WRITE, 0, N("/local/domain/1/own\0w"));
    assert_string_equal(guest_event(w, 1), "/local/domain/1/own");
}

/* XSA-324: an event that is too long for a message. */
static void test_xsa_324(void **state)
{
    struct world *w = *state;
    char buf[4096] = "/long\0";
    char path[2100] = "/long/";

    memset(buf + 6, 't', 4000);
    ok(w, XS_WATCH, 0, buf, 6 + 4000 + 1);
    while (event(w))
        ;
    memset(path + 6, 'p', 1900);
    ok(w, XS_WRITE, 0, path, strlen(path) + 1);
    assert_null(event(w));
    value_is(w, 0, path, "");
}

/* XSA-330: watches that were reset are gone from the index. */
static void test_xsa_330(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    for (int i = 0; i < 300; i++) {
        guest_ok(w, 1, XS_WATCH, 0, S("data\0t"));
        guest_ok(w, 1, XS_RESET_WATCHES, 0, S(""));
    }
    while (guest_event(w, 1))
        ;
    ok(w, XS_WRITE, 0, N("/local/domain/1/data/x\0w"));
    assert_null(guest_event(w, 1));
    assert_int_equal(w->f.s.watches.count, 0);
}

/* A guest's relative watch hears relative paths. */
static void test_relative(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_ok(w, 1, XS_WATCH, 0, S("data\0rel"));
    assert_memory_equal(guest_event(w, 1), "data\0rel", 9);
    ok(w, XS_WRITE, 0, N("/local/domain/1/data/x\0w"));
    assert_memory_equal(guest_event(w, 1), "data/x\0rel", 11);
    guest_ok(w, 1, XS_WRITE, 0, N("data/mine\0v"));
    ok(w, XS_WRITE, 0, N("domid\0" "0"));
    value_is(w, 0, "/local/domain/0/domid", "0");
    value_is(w, 0, "/local/domain/1/data/mine", "v");
    ok(w, XS_GET_PERMS, 0, S("/local/domain/1/data/mine"));
    assert_string_equal(w->m.body, "n1");
}

/* ---- Guests' rights ---- */

static void test_rights(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    ok(w, XS_WRITE, 0, N("/local/domain/1/name\0g"));
    guest_ok(w, 1, XS_READ, 0, S("name"));
    guest_fails(w, 1, XS_WRITE, 0, N("name\0x"), "EACCES");
    guest_fails(w, 2, XS_READ, 0, S("/local/domain/1/name"), "EACCES");
    guest_fails(w, 2, XS_READ, 0, S("/local/domain/1/none"), "EACCES"); /* nor whether it is */
    guest_fails(w, 1, XS_READ, 0, S("none"), "ENOENT");
    guest_ok(w, 1, XS_WRITE, 0, N("data/x\0v"));
    guest_ok(w, 1, XS_SET_PERMS, 0, S("data/x\0n1\0r2"));
    guest_ok(w, 2, XS_READ, 0, S("/local/domain/1/data/x"));
    guest_fails(w, 2, XS_WRITE, 0, N("/local/domain/1/data/x\0v"), "EACCES");
    guest_fails(w, 2, XS_RM, 0, S("/local/domain/1/data/x"), "EACCES");
    guest_fails(w, 2, XS_SET_PERMS, 0, S("/local/domain/1/data/x\0n2"), "EACCES");
    static const uint32_t privileged[] = { XS_CONTROL, XS_INTRODUCE, XS_RELEASE, XS_RESUME,
                                           XS_SET_TARGET, XS_IS_DOMAIN_INTRODUCED };
    for (size_t i = 0; i < sizeof(privileged) / sizeof(privileged[0]); i++)
        guest_fails(w, 1, privileged[i], 0, S("2"), "EACCES");
    /* XSA-352: giving away; XSA-353: the root. */
    guest_fails(w, 1, XS_SET_PERMS, 0, S("data/x\0n2"), "EPERM");
    guest_fails(w, 1, XS_SET_PERMS, 0, S("/\0n1"), "EACCES");
    guest_fails(w, 1, XS_WRITE, 0, N("/\0n1"), "EACCES");
    guest_fails(w, 1, XS_RM, 0, S("/"), "EINVAL");
    guest_fails(w, 1, XS_MKDIR, 0, S("/mine"), "EACCES");
}

static void test_target(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    guest_fails(w, 2, XS_READ, 0, S("/local/domain/1/data"), "EACCES");
    ok(w, XS_SET_TARGET, 0, S("2\0" "1"));
    guest_ok(w, 2, XS_WRITE, 0, N("/local/domain/1/data/t\0v"));
    fails(w, XS_SET_TARGET, 0, S("2\0" "0"), "EPERM");
}

/* XSA-322: what was for a number's old domain is not for the new one. XSA-419: its nodes die. */
static void test_xsa_322_419(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    ok(w, XS_WRITE, 0, N("/shared/dir/for1\0v"));
    ok(w, XS_SET_PERMS, 0, S("/shared/dir\0n0\0b1"));
    ok(w, XS_SET_PERMS, 0, S("/shared/dir/for1\0n0\0r1"));
    guest_ok(w, 1, XS_READ, 0, S("/shared/dir/for1"));
    guest_ok(w, 1, XS_WRITE, 0, N("/shared/dir/by1/deep\0v"));
    guest_ok(w, 1, XS_WRITE, 0, N("data/x\0v"));
    fake_domain_down(&w->f, 1);
    fails(w, XS_READ, 0, S("/shared/dir/by1"), "ENOENT");
    fails(w, XS_READ, 0, S("/local/domain/1/data"), "ENOENT");
    ok(w, XS_READ, 0, S("/shared/dir/for1"));
    assert_int_equal(w->f.s.books.flat[1].nodes, 0);
    assert_int_equal(w->f.s.books.flat[1].bytes, 0);
    guest_up(w, 1);
    guest_fails(w, 1, XS_READ, 0, S("/shared/dir/for1"), "EACCES");
    guest_fails(w, 1, XS_WRITE, 0, N("/shared/dir/x\0v"), "EACCES");
}

/* XSA-417: permissions for a domain that does not exist yet. */
static void test_xsa_417(void **state)
{
    struct world *w = *state;

    ok(w, XS_WRITE, 0, N("/early\0v"));
    ok(w, XS_SET_PERMS, 0, S("/early\0n0\0r3"));
    guest_up(w, 3);
    guest_fails(w, 3, XS_READ, 0, S("/early"), "EACCES");
    ok(w, XS_SET_PERMS, 0, S("/early\0n0\0r3"));
    guest_ok(w, 3, XS_READ, 0, S("/early"));
}

/* XSA-483: nothing is counted twice, however often a number is used. */
static void test_xsa_483(void **state)
{
    struct world *w = *state;
    char path[32];

    for (int life = 0; life < 50; life++) {
        guest_up(w, 1);
        for (int i = 0; i < 100; i++) {
            int n = snprintf(path, sizeof(path), "data/%d", i);
            guest_ok(w, 1, XS_WRITE, 0, path, (size_t)n + 1);
        }
        guest_ok(w, 1, XS_TRANSACTION_START, 0, S(""));
        guest_ok(w, 1, XS_WRITE, (uint32_t)atoi(w->m.body), N("data/in-tx\0v"));
        fake_domain_down(&w->f, 1);
        assert_int_equal(w->f.s.books.flat[1].nodes, 0);
        assert_int_equal(w->f.dom[1].mapped, 0);
        assert_int_equal(w->f.dom[1].port, 0);
    }
}

/* ---- Quotas: each fires at exactly its limit + 1 (XSA-272) ---- */

static void test_quota_nodes(void **state)
{
    struct world *w = *state;
    char path[32];

    guest_up(w, 1);
    w->f.s.quota[QUOTA_NODES] = 20;
    for (int i = 0; i < 19; i++) { /* data is the first */
        int n = snprintf(path, sizeof(path), "data/%d", i);
        guest_ok(w, 1, XS_WRITE, 0, path, (size_t)n + 1);
    }
    guest_fails(w, 1, XS_WRITE, 0, S("data/more"), "ENOSPC");
    guest_ok(w, 1, XS_RM, 0, S("data/3"));
    guest_fails(w, 1, XS_WRITE, 0, S("data/two/more"), "ENOSPC");
    guest_ok(w, 1, XS_TRANSACTION_START, 0, S(""));
    uint32_t t = (uint32_t)atoi(w->m.body);
    guest_ok(w, 1, XS_WRITE, t, S("data/more"));
    guest_fails(w, 1, XS_WRITE, t, S("data/more2"), "ENOSPC");
    guest_ok(w, 1, XS_WRITE, 0, S("data/meanwhile"));
    guest_fails(w, 1, XS_TRANSACTION_END, t, S("T"), "ENOSPC");
    ok(w, XS_WRITE, 0, S("/local/domain/1/data/by-dom0")); /* no limit for the control domain */
}

static void test_quota_counts(void **state)
{
    struct world *w = *state;
    char buf[64];

    guest_up(w, 1);
    for (int i = 0; i < 128; i++) {
        int n = snprintf(buf, sizeof(buf), "data%c%d", 0, i);
        guest_ok(w, 1, XS_WATCH, 0, buf, (size_t)n + 1);
    }
    guest_fails(w, 1, XS_WATCH, 0, S("data\0more"), "E2BIG");
    for (int i = 0; i < 10; i++)
        guest_ok(w, 1, XS_TRANSACTION_START, 0, S(""));
    guest_fails(w, 1, XS_TRANSACTION_START, 0, S(""), "ENOSPC");
    guest_ok(w, 1, XS_RESET_WATCHES, 0, S(""));
    guest_ok(w, 1, XS_TRANSACTION_START, 0, S(""));
    uint32_t t = (uint32_t)atoi(w->m.body);
    for (int i = 0; i < 1024; i++) {
        int n = snprintf(buf, sizeof(buf), "data/%d", i);
        guest_fails(w, 1, XS_READ, t, buf, (size_t)n + 1, "ENOENT");
    }
    guest_fails(w, 1, XS_READ, t, S("data/one-more"), "ENOSPC");
    guest_ok(w, 1, XS_SET_PERMS, 0, S("data\0n1\0r2\0r3\0r4\0r5"));
    guest_fails(w, 1, XS_SET_PERMS, 0, S("data\0n1\0r2\0r3\0r4\0r5\0r6"), "ENOSPC");
}

/* XSA-323 and the size of nodes. */
static void test_quota_sizes(void **state)
{
    struct world *w = *state;
    char buf[4096];

    guest_up(w, 1);
    memset(buf, 'x', sizeof(buf));
    memcpy(buf, "data/v", 7);
    guest_ok(w, 1, XS_WRITE, 0, buf, 7 + 2048);
    guest_fails(w, 1, XS_WRITE, 0, buf, 7 + 2049, "ENOSPC");
    memset(buf, 'x', sizeof(buf));
    memcpy(buf, "data/", 5);
    buf[2048] = 0;
    guest_ok(w, 1, XS_WRITE, 0, buf, 2049);
    buf[2048] = 'x';
    buf[2049] = 0;
    guest_fails(w, 1, XS_WRITE, 0, buf, 2050, "EINVAL");
    memset(buf, 'x', sizeof(buf));
    buf[0] = '/';
    buf[3071] = 0;
    ok(w, XS_WRITE, 0, buf, 3072);
    buf[3071] = 'x';
    buf[3072] = 0;
    fails(w, XS_WRITE, 0, buf, 3073, "EINVAL");
}

/* XSA-326 c, d: big transactions and big nodes end at the memory quota. */
static void test_quota_memory(void **state)
{
    struct world *w = *state;
    char buf[2200];
    int i;

    guest_up(w, 1);
    w->f.s.quota[QUOTA_MEMORY] = 100000;
    memset(buf, 'x', sizeof(buf));
    for (i = 0; i < 200; i++) {
        int n = snprintf(buf, sizeof(buf), "data/%d", i) + 1;
        buf[n] = 'x';
        if (fake_talk(&w->f, NULL, 1, XS_WRITE, 0, buf, (size_t)n + 2000, &w->m) != XS_WRITE)
            break;
    }
    assert_string_equal(w->m.body, "ENOMEM");
    assert_in_range(i, 30, 60);
    guest_ok(w, 1, XS_RM, 0, S("data/0"));
    guest_ok(w, 1, XS_RM, 0, S("data/1"));
    guest_ok(w, 1, XS_TRANSACTION_START, 0, S(""));
    uint32_t t = (uint32_t)atoi(w->m.body);
    for (i = 0; i < 200; i++) {
        int n = snprintf(buf, sizeof(buf), "data/%d", i + 1000) + 1;
        if (fake_talk(&w->f, NULL, 1, XS_WRITE, t, buf, (size_t)n, &w->m) != XS_WRITE)
            break;
    }
    assert_string_equal(w->m.body, "ENOMEM");
    guest_ok(w, 1, XS_TRANSACTION_END, t, S("F"));
    guest_ok(w, 1, XS_WRITE, 0, S("data/again"));
}

static void test_control(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    ok(w, XS_CONTROL, 0, S("quota\0set\0watches\0" "3"));
    assert_int_equal(w->f.s.quota[QUOTA_WATCHES], 3);
    fails(w, XS_CONTROL, 0, S("quota\0set\0nothing\0" "3"), "EINVAL");
    fails(w, XS_CONTROL, 0, S("quota\0set\0watches\0x"), "EINVAL");
    ok(w, XS_CONTROL, 0, S("quota\0" "1"));
    assert_non_null(strstr(w->m.body, "nodes           :        1"));
    fails(w, XS_CONTROL, 0, S("quota\0" "6"), "ENOENT");
    ok(w, XS_CONTROL, 0, S("log\0on"));
    ok(w, XS_CONTROL, 0, S("log\0off"));
    ok(w, XS_CONTROL, 0, S("memreport"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(basics), T(bad_requests), T(xsa_420), T(directory_part), T(transactions), T(conflicts),
        T(merge), T(xsa_421), T(watches), T(watch_removed), T(special_watches), T(xsa_115),
        T(xsa_324), T(xsa_330), T(relative), T(rights), T(target), T(xsa_322_419), T(xsa_417),
        T(xsa_483), T(quota_nodes), T(quota_counts), T(quota_sizes), T(quota_memory), T(control),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
