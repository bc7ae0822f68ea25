/* SPDX-License-Identifier: MIT */
/* The state as a stream: live update, the journal, streams of Xen's daemon, and damaged ones. */
#define _GNU_SOURCE /* memfd_create */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/xs_world.h"
#include "xenstored/journal.h"
#include "xenstored/update.h"

static char dir[] = "/tmp/xs-state-XXXXXX";

/* Goes on as after a live update, or as after a kill. */

static void go_on(struct world *w, bool killed)
{
    if (!killed) {
        fake_update(&w->f);
        return;
    }
    if (!w->f.s.journal)
        assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
    fake_restart(&w->f, dir);
    fake_disconnect(&w->f, w->c);
    w->c = fake_connect(&w->f);
}

static void test_contents(void **state)
{
    struct world *w = *state;

    for (int killed = 0; killed < 2; killed++) {
        guest_up(w, 1);
        guest_up(w, 2);
        if (killed)
            assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
        ok(w, XS_WRITE, 0, N("/s/a\0one\0two"));
        ok(w, XS_MKDIR, 0, S("/s/z"));
        ok(w, XS_MKDIR, 0, S("/s/b/c/d"));
        ok(w, XS_SET_PERMS, 0, S("/s\0n0\0r1\0w7\0r32757"));
        ok(w, XS_SET_PERMS, 0, S("@releaseDomain\0n0\0r1"));
        ok(w, XS_SET_TARGET, 0, S("2\0" "1"));
        ok(w, XS_SET_QUOTA, 0, S("1\0watches\0" "7"));
        ok(w, XS_SET_QUOTA, 0, S("nodes\0" "70"));
        ok(w, XS_RM, 0, S("/s/b/c"));
        guest_ok(w, 1, XS_WRITE, 0, N("data/mine\0v"));
        guest_ok(w, 2, XS_WRITE, 0, N("/local/domain/1/data/by2\0v"));
        ok(w, XS_CONTROL, 0, S("log\0+acc"));
        go_on(w, killed);
        ok(w, XS_READ, 0, S("/s/a"));
        assert_int_equal(w->m.hdr.len, 7);
        assert_memory_equal(w->m.body, "one\0two", 7);
        ok(w, XS_DIRECTORY, 0, S("/s")); /* in the order in which they were made */
        assert_memory_equal(w->m.body, "a\0z\0b", 6);
        fails(w, XS_READ, 0, S("/s/b/c"), "ENOENT");
        ok(w, XS_GET_PERMS, 0, S("/s"));
        assert_memory_equal(w->m.body, "n0\0r1\0w7\0r32757", 16);
        ok(w, XS_GET_PERMS, 0, S("@releaseDomain"));
        assert_memory_equal(w->m.body, "n0\0r1", 6);
        ok(w, XS_GET_PERMS, 0, S("/local/domain/1/data/by2"));
        assert_string_equal(w->m.body, "n2");
        guest_ok(w, 2, XS_WRITE, 0, N("/local/domain/1/data/again\0v"));
        ok(w, XS_GET_QUOTA, 0, S("1\0watches"));
        assert_string_equal(w->m.body, "7");
        ok(w, XS_GET_QUOTA, 0, S("2\0nodes"));
        assert_string_equal(w->m.body, "70");
        ok(w, XS_IS_DOMAIN_INTRODUCED, 0, S("2"));
        assert_string_equal(w->m.body, "T");
        assert_int_equal(w->f.s.books.flat[1].nodes, 2); /* data, data/mine */
        fails(w, XS_SET_FEATURE, 0, S("1\0" "1"), "EBUSY");
        world_check(w);
        /* A domain that comes later has no part in entries for its number (XSA-417). */
        guest_up(w, 7);
        guest_fails(w, 7, XS_WRITE, 0, N("/s\0x"), "EACCES");
        guest_ok(w, 7, XS_READ, 0, S("/s")); /* for all */
        ok(w, XS_RM, 0, S("/s"));
        for (uint16_t d = 1; d <= 7; d += d == 2 ? 5 : 1)
            fake_domain_down(&w->f, d);
        journal_close(&w->f.s);
    }
}

/* XSA-322: what expired before stays so after. */
static void test_expired(void **state)
{
    struct world *w = *state;

    for (int killed = 0; killed < 2; killed++) {
        guest_up(w, 1);
        ok(w, XS_WRITE, 0, N("/e\0v"));
        ok(w, XS_SET_PERMS, 0, S("/e\0n0\0r1"));
        if (killed)
            assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
        fake_domain_down(&w->f, 1);
        guest_up(w, 1);
        guest_fails(w, 1, XS_READ, 0, S("/e"), "EACCES");
        go_on(w, killed);
        guest_fails(w, 1, XS_READ, 0, S("/e"), "EACCES");
        fake_domain_down(&w->f, 1);
        journal_close(&w->f.s);
    }
}

/* Watches hear of what comes after; with their depth, and relative if they were. */
static void test_watches(void **state)
{
    struct world *w = *state;

    for (int killed = 0; killed < 2; killed++) {
        guest_up(w, 1);
        if (killed)
            assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
        ok(w, XS_WATCH, 0, S("/w\0dom0"));
        guest_ok(w, 1, XS_WATCH, 0, S("data\0rel"));
        guest_ok(w, 1, XS_WATCH, 0, S("data\0flat\0" "0"));
        guest_ok(w, 1, XS_WATCH, 0, S("data\0gone"));
        guest_ok(w, 1, XS_UNWATCH, 0, S("data\0gone"));
        guest_drain(w, 1);
        drain(w);
        go_on(w, killed);
        ok(w, XS_WRITE, 0, N("/w\0v"));
        ok(w, XS_WRITE, 0, N("/local/domain/1/data/x\0v"));
        assert_memory_equal(guest_event(w, 1), "data/x\0rel", 11);
        assert_null(guest_event(w, 1));
        guest_fails(w, 1, XS_WATCH, 0, S("data\0rel"), "EEXIST");
        assert_int_equal(domain_find(&w->f.s, 1)->used[QUOTA_WATCHES], 2);
        if (!killed)
            ok(w, XS_UNWATCH, 0, S("/w\0dom0"));
        guest_ok(w, 1, XS_RESET_WATCHES, 0, S(""));
        fake_domain_down(&w->f, 1);
        assert_int_equal(w->f.s.watches.count, 0);
        journal_close(&w->f.s);
    }
}

static void put_request(struct world *w, uint16_t domid, uint32_t type, uint32_t id, const char *data,
                        size_t len, size_t from, size_t to)
{
    char buf[256];
    struct xsd_sockmsg hdr = { type, id, 0, (uint32_t)len };

    memcpy(buf, &hdr, sizeof(hdr));
    memcpy(buf + sizeof(hdr), data, len);
    if (to > sizeof(hdr) + len)
        to = sizeof(hdr) + len;
    if (domid)
        assert_int_equal(fake_ring_put(&w->f, domid, buf + from, to - from), to - from);
    else
        fake_put(&w->f, w->c, buf + from, to - from);
}

/* Half a request, and replies and events that nobody has read: each byte goes on where it was. */
static void test_buffers(void **state)
{
    struct world *w = *state;
    char big[2048];

    memset(big, 'x', sizeof(big));
    for (int killed = 0; killed < 2; killed++)
        for (size_t cut = 1; cut < 24; cut++) {
            guest_up(w, 1);
            if (killed)
                assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
            memcpy(big, "/local/domain/1/data", 21);
            ok(w, XS_WRITE, 0, big, 21 + 1500);
            guest_ok(w, 1, XS_WATCH, 0, S("data\0t"));
            guest_drain(w, 1);
            /* A reply that does not fit into the ring, an event behind it, half a request. */
            put_request(w, 1, XS_READ, 500, S("data"), 0, 99);
            ok(w, XS_WRITE, 0, N("/local/domain/1/data/e\0v"));
            put_request(w, 1, XS_READ, 501, S("data/e"), 0, cut);
            if (!killed) {
                w->c->stuck = true;
                put_request(w, 0, XS_READ, 600, S("/local/domain/1/data/e"), 0, 99);
                put_request(w, 0, XS_READ, 601, S("/local/domain/1/data/e"), 0, cut);
            }
            for (int daemons = 0; daemons < 3; daemons++) /* what is half sent stays so */
                go_on(w, killed);
            w->c->stuck = false;
            put_request(w, 1, XS_READ, 501, S("data/e"), cut, 99);
            assert_true(fake_ring_get(&w->f, 1, &w->m));
            assert_int_equal(w->m.hdr.req_id, 500);
            assert_int_equal(w->m.hdr.len, 1500);
            for (int i = 0; i < 1500; i++)
                assert_int_equal(w->m.body[i], 'x');
            assert_true(fake_ring_get(&w->f, 1, &w->m));
            assert_int_equal(w->m.hdr.type, XS_WATCH_EVENT);
            assert_memory_equal(w->m.body, "data/e\0t", 9);
            assert_true(fake_ring_get(&w->f, 1, &w->m));
            assert_int_equal(w->m.hdr.req_id, 501);
            assert_string_equal(w->m.body, "v");
            assert_int_equal(domain_find(&w->f.s, 1)->used[QUOTA_OUTSTANDING], 0);
            if (!killed) {
                put_request(w, 0, XS_READ, 601, S("/local/domain/1/data/e"), cut, 99);
                for (uint32_t id = 600; id <= 601; id++) {
                    assert_true(fake_get(w->c, &w->m));
                    assert_int_equal(w->m.hdr.req_id, id);
                    assert_string_equal(w->m.body, "v");
                }
            }
            fake_domain_down(&w->f, 1);
            journal_close(&w->f.s);
        }
}

/* A live update carries transactions; what they read still counts, from before and after. */
static void test_transactions(void **state)
{
    static const struct { bool before; const char *write; size_t len; bool conflict; } cases[] = {
        { true, N("/t/read\0n"), true }, { false, N("/t/read\0n"), true },
        { true, N("/t/list/n\0n"), true }, { false, N("/t/list/n\0n"), true },
        { true, N("/t/other\0n"), false }, { false, N("/t/other\0n"), false },
        { true, N("/t/none\0n"), true }, { false, N("/t/none\0n"), true },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(w, XS_WRITE, 0, N("/t/read\0v"));
        ok(w, XS_MKDIR, 0, S("/t/list/a"));
        ok(w, XS_WRITE, 0, N("/t/gone/x\0v"));
        uint32_t t = begin(w);
        ok(w, XS_READ, t, S("/t/read"));
        ok(w, XS_DIRECTORY, t, S("/t/list"));
        fails(w, XS_READ, t, S("/t/none"), "ENOENT");
        ok(w, XS_WRITE, t, N("/t/new/deep\0w"));
        ok(w, XS_RM, t, S("/t/gone"));
        ok(w, XS_WRITE, t, N("/t/gone/y\0w"));
        if (cases[i].before)
            ok(w, XS_WRITE, 0, cases[i].write, cases[i].len);
        go_on(w, false);
        assert_int_equal(w->f.s.nr_txs, 1);
        value_is(w, t, "/t/new/deep", "w");
        value_is(w, t, "/t/gone/y", "w");
        fails(w, XS_READ, t, S("/t/gone/x"), "ENOENT");
        if (!cases[i].before)
            ok(w, XS_WRITE, 0, cases[i].write, cases[i].len);
        if (cases[i].conflict) {
            fails(w, XS_TRANSACTION_END, t, S("T"), "EAGAIN");
        } else {
            ok(w, XS_TRANSACTION_END, t, S("T"));
            value_is(w, 0, "/t/new/deep", "w");
            fails(w, XS_READ, 0, S("/t/gone/x"), "ENOENT");
        }
        world_check(w);
        ok(w, XS_RM, 0, S("/t"));
    }
}

/* Written, removed with its directory, and written again: it is there. */
static void test_tx_order(void **state)
{
    struct world *w = *state;

    ok(w, XS_WRITE, 0, N("/o/d/n\0v"));
    uint32_t t = begin(w);
    ok(w, XS_WRITE, t, N("/o/d/n\0" "1"));
    ok(w, XS_RM, t, S("/o/d"));
    ok(w, XS_WRITE, t, N("/o/d/n\0" "2"));
    go_on(w, false);
    value_is(w, t, "/o/d/n", "2");
    ok(w, XS_TRANSACTION_END, t, S("T"));
    value_is(w, 0, "/o/d/n", "2");
}

/* After a kill a guest's transaction is still known, and ends with EAGAIN: it begins anew. */
static void test_transaction_killed(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
    uint32_t t = guest_begin(w, 1), ended = guest_begin(w, 1);
    guest_ok(w, 1, XS_WRITE, t, N("data/x\0v"));
    guest_ok(w, 1, XS_TRANSACTION_END, ended, S("F"));
    go_on(w, true);
    guest_fails(w, 1, XS_READ, t, S("data/x"), "ENOENT");
    guest_fails(w, 1, XS_TRANSACTION_END, t, S("T"), "EAGAIN");
    guest_fails(w, 1, XS_TRANSACTION_END, ended, S("T"), "ENOENT");
    uint32_t again = guest_begin(w, 1);
    assert_true(again != t && again != ended);
    guest_ok(w, 1, XS_WRITE, again, N("data/x\0v"));
    guest_ok(w, 1, XS_TRANSACTION_END, again, S("T"));
    value_is(w, 0, "/local/domain/1/data/x", "v");
    assert_int_equal(w->f.s.nr_txs, 0);
}

/* Domains that died while nobody looked. */
static void test_died_meanwhile(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    ok(w, XS_SET_PERMS, 0, S("@releaseDomain\0n0\0r2"));
    assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
    guest_ok(w, 2, XS_WATCH, 0, S("@releaseDomain\0t"));
    guest_drain(w, 2);
    guest_ok(w, 1, XS_WRITE, 0, N("data/x\0v"));
    w->f.dom[1].exists = false;
    go_on(w, true);
    assert_null(domain_find(&w->f.s, 1));
    assert_int_equal(w->f.s.books.flat[1].nodes, 0);
    assert_string_equal(guest_event(w, 2), "@releaseDomain");
    /* And one whose number is another's by now. */
    fake_domain_up(&w->f, 2);
    go_on(w, true);
    ok(w, XS_IS_DOMAIN_INTRODUCED, 0, S("2"));
    assert_string_equal(w->m.body, "F");
    fails(w, XS_READ, 0, S("/local/domain/2/data"), "ENOENT");
}

/* A ring that was out of order stays so until the guest reconnects it. */
static void test_broken_ring(void **state)
{
    struct world *w = *state;

    for (int killed = 0; killed < 2; killed++) {
        guest_up(w, 1);
        if (killed)
            assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
        w->f.dom[1].page->req_prod += 5000;
        fake_ring_kick(&w->f, 1);
        assert_int_equal(w->f.dom[1].page->error, XENSTORE_ERROR_RINGIDX);
        go_on(w, killed);
        fake_ring_kick(&w->f, 1);
        assert_int_equal(w->f.dom[1].page->error, XENSTORE_ERROR_RINGIDX);
        w->f.dom[1].page->connection = XENSTORE_RECONNECT;
        go_on(w, killed);
        assert_int_equal(w->f.dom[1].page->connection, XENSTORE_CONNECTED);
        assert_int_equal(w->f.dom[1].page->error, XENSTORE_ERROR_NONE);
        w->f.dom[1].rsp_cons = w->f.dom[1].req_prod = 0;
        guest_ok(w, 1, XS_READ, 0, S("data"));
        go_on(w, killed);
        guest_ok(w, 1, XS_READ, 0, S("data"));
        fake_domain_down(&w->f, 1);
        journal_close(&w->f.s);
    }
}

/* More changes than the dump is large: the file is written anew, and does not grow for ever. */
static void test_compaction(void **state)
{
    struct world *w = *state;
    char buf[2200] = "/big", name[64];
    struct stat st;

    assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
    for (int i = 0; i < 20000; i++) {
        memset(buf + 5, 'a' + i % 26, 2000);
        ok(w, XS_WRITE, 0, buf, 2005);
    }
    snprintf(name, sizeof(name), "%s/state", dir);
    assert_int_equal(stat(name, &st), 0);
    assert_true(st.st_size < 12 << 20);
    assert_int_equal(st.st_mode & 0777, 0600);
    go_on(w, true);
    ok(w, XS_READ, 0, S("/big"));
    assert_int_equal(w->m.hdr.len, 2000);
    assert_memory_equal(w->m.body, buf + 5, 2000);
}

/* Another host's file, or none, is not loaded; a damaged one is an error. */
static void test_wrong_files(void **state)
{
    struct world *w = *state;
    char name[64];
    struct fake other;

    snprintf(name, sizeof(name), "%s/state", dir);
    unlink(name);
    fake_init(&other);
    assert_int_equal(journal_recover(&other.s, dir, "fake"), ENOENT);
    assert_int_equal(journal_open(&w->f.s, dir, "another"), 0);
    journal_close(&w->f.s);
    assert_int_equal(journal_recover(&other.s, dir, "fake"), ENOENT);
    assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
    journal_close(&w->f.s);
    FILE *f = fopen(name, "r+");
    fseek(f, 8, SEEK_SET); /* the committed length */
    uint64_t len = 200;
    fwrite(&len, sizeof(len), 1, f);
    fclose(f);
    assert_int_equal(journal_recover(&other.s, dir, "fake"), EINVAL);
    assert_int_equal(truncate(name, 10), 0);
    assert_int_equal(journal_recover(&other.s, dir, "fake"), ENOENT);
    assert_int_equal(truncate(name, 0), 0);
    assert_int_equal(journal_recover(&other.s, dir, "fake"), ENOENT);
    fake_free(&other);
}

/* ---- A stream as Xen 4.17's daemon writes it, byte by byte ---- */

struct stream {
    uint8_t data[8192];
    size_t len;
};

static void add(struct stream *t, const void *data, size_t len)
{
    memcpy(t->data + t->len, data, len);
    t->len += len;
}

static void record(struct stream *t, uint32_t type, const void *head, size_t hlen, const void *tail,
                   size_t tlen)
{
    uint32_t h[2] = { type, (uint32_t)((hlen + tlen + 7) / 8 * 8) };

    add(t, h, sizeof(h));
    add(t, head, hlen);
    add(t, tail, tlen);
    while (t->len % 8)
        t->data[t->len++] = 0;
}

static void xen_stream(struct stream *t)
{
    static const uint8_t header[16] = "xenstore\0\0\0\1\0\0\0";
    /* conn 1: a ring of domain 1, port 11; conn 2: a socket */
    static const uint16_t ring[12] = { 1, 0, 0, 0, 1, 0x7ff4, 11, 0, 0, 0, 0, 0 };
    static const uint16_t sock[12] = { 2, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0 };
    static const uint16_t watch[4] = { 1, 0, 5, 2 };
    static const uint16_t root[8] = { 0, 0, 0, 0, 2, 0, 0, 1 };
    static const uint16_t node[8] = { 0, 0, 0, 0, 3, 3, 0, 2 };
    static const uint16_t data[8] = { 0, 0, 0, 0, 21, 0, 0, 1 };
    static const uint16_t rel[8] = { 0, 0, 0, 0, 15, 0, 0, 2 };
    static const int32_t global[2] = { 5, 6 };

    t->len = 0;
    add(t, header, 16);
    record(t, 1, global, 8, "", 0);
    record(t, 2, ring, 24, "", 0);
    record(t, 3, watch, 8, "data\0w", 7);
    record(t, 2, sock, 24, "", 0);
    record(t, 5, root, 16, "n\0\0\0/", 6);
    record(t, 5, node, 16, "n\0\0\0r\0\1\0/x\0abc", 14);
    record(t, 5, data, 16, "n\0\1\0/local/domain/1/data", 25);
    record(t, 5, rel, 16, "n\0\0\0r\1\1\0@releaseDomain", 23);
    record(t, 99, "unknown", 8, "", 0);
    record(t, 0, "", 0, "", 0);
}

static void test_xen_stream(void **state)
{
    struct world *w = *state;
    struct stream t;
    struct state_found found;

    xen_stream(&t);
    fake_domain_up(&w->f, 1);
    w->f.dom[1].port = 11; /* as the last daemon left it */
    w->f.handing_over = true;
    store_free(&w->f.s);
    w->f.handing_over = false;
    struct fake_client *c = w->c;
    struct fake_domain d = w->f.dom[1];
    fake_init(&w->f);
    w->f.dom[1] = d;
    w->f.client[0] = c;
    w->f.s.keeps_ports = true;
    assert_int_equal(state_peek(t.data, t.len, &found), 0);
    assert_int_equal(found.evtchn, 6);
    assert_int_equal(found.nr_listen, 1);
    assert_int_equal(found.listen[0], 5);
    assert_int_equal(state_load(&w->f.s, t.data, t.len), 0);
    fake_run(&w->f);
    value_is(w, 0, "/x", "abc");
    guest_ok(w, 1, XS_READ, 0, S("/x"));
    guest_drain(w, 1);
    ok(w, XS_WRITE, 0, N("/local/domain/1/data/y\0v"));
    assert_memory_equal(guest_event(w, 1), "data/y\0w", 9);
    ok(w, XS_GET_PERMS, 0, S("@releaseDomain"));
    assert_memory_equal(w->m.body, "n0\0r1", 6);
    guest_ok(w, 1, XS_WATCH, 0, S("@releaseDomain\0t"));
    guest_drain(w, 1);
    fake_domain_up(&w->f, 2);
    ok(w, XS_INTRODUCE, 0, S("2\0" "1\0" "7"));
    fake_domain_down(&w->f, 2);
    assert_null(guest_event(w, 1)); /* its entry was marked as expired */
    /* What the stream did not tell has been found out: a kill later on is survived. */
    assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
    go_on(w, true);
    guest_ok(w, 1, XS_READ, 0, S("/x"));
}

/* A log file's record: a name, whole and not too long; nothing is opened before the end has been seen. */
static void test_log_records(void **state)
{
    static const uint8_t header[16] = "xenstore\0\0\0\1\0\0\0";
    static char many[PATH_MAX + 8];
    const struct { const void *body; size_t len; int err; } cases[] = {
        { "/name\0\0", 8, 0 }, { "", 0, EINVAL }, { "\0\0\0\0\0\0\0", 8, EINVAL }, { "/no-ends", 8, EINVAL },
        { many, PATH_MAX - 8, 0 }, { many, PATH_MAX + 8, EINVAL },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stream t = { .len = 0 };
        struct fake f;

        memset(many, 'n', sizeof(many));
        many[cases[i].len > 8 ? cases[i].len - 1 : 0] = 0;
        add(&t, header, sizeof(header));
        record(&t, STATE_KR_LOG, cases[i].body, cases[i].len, "", 0);
        fake_init(&f);
        assert_int_equal(state_load(&f.s, t.data, t.len), cases[i].err);
        assert_null(f.s.log);
        assert_int_equal(f.s.log_path != NULL, !cases[i].err);
        fake_free(&f);
    }
}

/* Xen's readers know a domain by its connection, and want that first. Ours keep what is set for others, too. */
static void test_domains_in_order(void **state)
{
    struct world *w = *state;
    struct state_record r;
    bool connected[8] = { false };
    unsigned found = 0, settings = 0;
    struct sink k;

    guest_up(w, 1);
    guest_up(w, 3);
    fake_domain_up(&w->f, 2);
    ok(w, XS_SET_QUOTA, 0, S("2\0nodes\0" "77"));
    ok(w, XS_SET_QUOTA, 0, S("3\0nodes\0" "78"));
    assert_int_equal(sink_open(&k, memfd_create("dump", MFD_CLOEXEC)), 0);
    state_write_header(&w->f.s, &k, 0);
    state_write(&w->f.s, &k, NULL, 0);
    state_write_end(&k);
    for (const uint8_t *p = k.base + sizeof(struct state_header), *end = k.base + k.used; p < end;
         p += sizeof(r) + r.len) {
        memcpy(&r, p, sizeof(r));
        const struct state_conn *c = (const void *)(p + sizeof(r));
        const struct state_quota *d = (const void *)(p + sizeof(r));
        if (r.type == STATE_CONN && c->type == STATE_CONN_RING)
            connected[c->u.ring.domid] = true;
        if (r.type == STATE_DOMAIN && connected[d->a])
            found |= 1u << d->a;
        if (r.type == STATE_DOMAIN)
            assert_true(connected[d->a]);
        settings += r.type == STATE_KR_SETTINGS && d->a == 2;
    }
    assert_int_equal(found, 1u << 1 | 1u << 3);
    assert_int_equal(settings, 1);
    sink_close(&k);
    fake_update(&w->f);
    ok(w, XS_GET_QUOTA, 0, S("2\0nodes"));
    assert_string_equal(w->m.body, "77");
    ok(w, XS_GET_QUOTA, 0, S("3\0nodes"));
    assert_string_equal(w->m.body, "78");
}

/* Whatever is missing or wrong is an error, never more. */
static void test_damaged(void **state)
{
    struct stream good, bad;

    xen_stream(&good);
    for (size_t i = 0; i < good.len; i++)
        for (int how = 0; how < 4; how++) {
            struct fake f;
            struct state_found found;

            bad = good;
            if (how == 0)
                bad.len = i;
            else
                bad.data[i] ^= how == 1 ? 0x80 : how == 2 ? 0xff : 1;
            fake_init(&f);
            fake_domain_up(&f, 1);
            state_peek(bad.data, bad.len, &found);
            state_load(&f.s, bad.data, bad.len);
            fake_run(&f);
            fake_free(&f);
        }
}

/* ---- The log file ---- */

static void log_name(char *buf, size_t len, const char *name)
{
    snprintf(buf, len, "%s/%s", dir, name);
}

static void name_log(struct world *w, const char *path)
{
    char cmd[128];
    int n = snprintf(cmd, sizeof(cmd), "logfile%c%s", 0, path);

    ok(w, XS_CONTROL, 0, cmd, (size_t)n + 1);
}

static bool logged(const char *path, const char *what)
{
    char text[16384] = "";
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = 0;
    return strstr(text, what);
}

/* What CONTROL logfile has named is the next daemon's log too; what the command line names comes with that. */
static void test_log_file(void **state)
{
    struct world *w = *state;
    char path[64], other[64];

    log_name(path, sizeof(path), "log");
    log_name(other, sizeof(other), "other");
    for (int killed = 0; killed < 2; killed++) {
        if (killed)
            assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
        name_log(w, path);
        ok(w, XS_CONTROL, 0, S("log\0+tdb"));
        go_on(w, killed);
        assert_null(w->f.s.log); /* loading opens nothing */
        assert_string_equal(w->f.s.log_path, path);
        store_log_reopen(&w->f.s);
        assert_non_null(w->f.s.log);
        ok(w, XS_WRITE, 0, N("/after\0v"));
        assert_true(logged(path, "node /after changed"));
        go_on(w, killed); /* and the one after that */
        store_log_reopen(&w->f.s);
        ok(w, XS_RM, 0, S("/after"));
        assert_true(logged(path, "node /after removed"));
        ok(w, XS_CONTROL, 0, S("log\0off"));
        go_on(w, killed);
        store_log_reopen(&w->f.s);
        ok(w, XS_MKDIR, 0, S("/silent"));
        assert_false(logged(path, "/silent"));
        assert_int_equal(unlink(path), 0);
    }
    journal_close(&w->f.s);
    assert_int_equal(store_log_open(&w->f.s, other), 0); /* -T */
    for (int killed = 0; killed < 2; killed++) {
        go_on(w, killed);
        assert_null(w->f.s.log_path);
        store_log_reopen(&w->f.s);
        assert_null(w->f.s.log);
    }
    assert_int_equal(unlink(other), 0);
}

/* One that cannot be opened any more, or that nobody reads, is not logged to; all goes on. */
static void test_log_file_gone(void **state)
{
    struct world *w = *state;
    char sub[64], path[72], cmd[96];

    log_name(sub, sizeof(sub), "sub");
    snprintf(path, sizeof(path), "%s/log", sub);
    for (int how = 0; how < 2; how++) {
        assert_int_equal(mkdir(sub, 0700), 0);
        name_log(w, path);
        assert_int_equal(unlink(path), 0);
        if (how)
            assert_int_equal(mkfifo(path, 0600), 0);
        else
            assert_int_equal(rmdir(sub), 0);
        go_on(w, false);
        store_log_reopen(&w->f.s);
        assert_null(w->f.s.log);
        assert_null(w->f.s.log_path);
        ok(w, XS_CONTROL, 0, S("log\0off"));
    }
    int n = snprintf(cmd, sizeof(cmd), "logfile%c%s", 0, path); /* the pipe */
    fails(w, XS_CONTROL, 0, cmd, (size_t)n + 1, "EINVAL");
    n = snprintf(cmd, sizeof(cmd), "memreport%c%s", 0, path);
    fails(w, XS_CONTROL, 0, cmd, (size_t)n + 1, "EINVAL");
    unlink(path);
    rmdir(sub);
}

/* ---- CONTROL live-update ---- */

static int refuse_exec(const char *path, char *const argv[])
{
    assert_string_equal(path, "/bin/true");
    assert_string_equal(argv[1], "-D");
    assert_string_equal(argv[2], "-U");
    assert_null(argv[3]);
    errno = EACCES;
    return -1;
}

static int nothing(void *arg)
{
    ++*(int *)arg;
    return 0;
}

static void test_control(void **state)
{
    struct world *w = *state;
    char *argv[] = { (char *)"xenstored", (char *)"-D", NULL };
    int calls = 0;
    struct update_host host = { .argv = argv, .dir = dir, .fds = { .evtchn = -1 }, .release = nothing,
                                .reclaim = nothing, .arg = &calls, .exec = refuse_exec };

    ok(w, XS_CONTROL, 0, S("live-update\0-s"));
    assert_string_equal(w->m.body, "Live update is not possible here.");
    update_allow(&w->f.s, &host);
    fails(w, XS_CONTROL, 0, S("live-update"), "EINVAL");
    ok(w, XS_CONTROL, 0, S("live-update\0-s"));
    assert_string_not_equal(w->m.body, "OK");
    ok(w, XS_CONTROL, 0, S("live-update\0-a"));
    assert_string_not_equal(w->m.body, "OK");
    ok(w, XS_CONTROL, 0, S("live-update\0-f\0/nowhere"));
    assert_string_equal(w->m.body, "File not accessible.");
    ok(w, XS_CONTROL, 0, S("live-update\0-f\0/etc/passwd"));
    assert_string_equal(w->m.body, "File not executable.");
    ok(w, XS_CONTROL, 0, S("live-update\0-f\0/bin/true"));
    assert_string_equal(w->m.body, "OK");
    ok(w, XS_CONTROL, 0, S("live-update\0-s\0-v\0" "3"));
    assert_string_equal(w->m.body, "Migration stream version not supported.");
    fails(w, XS_CONTROL, 0, S("live-update\0-s\0-t"), "EINVAL");
    assert_false(update_due(&w->f.s));
    /* Started; it fails, is answered, and all goes on. */
    fake_talk(&w->f, w->c, 0, XS_CONTROL, 0, S("live-update\0-s"), &w->m);
    assert_true(update_due(&w->f.s));
    update_run(&w->f.s);
    fake_run(&w->f);
    assert_true(fake_get(w->c, &w->m));
    assert_string_equal(w->m.body, strerror(EACCES));
    assert_false(fake_get(w->c, &w->m));
    assert_int_equal(calls, 2);
    assert_false(update_due(&w->f.s));
    /* With a version given it waits for transactions, until it gives up or is told to go on. */
    uint32_t t = begin(w);
    for (int force = 0; force < 2; force++) {
        ok(w, XS_CONTROL, 0, S("live-update\0-f\0/bin/true"));
        if (force)
            fake_talk(&w->f, w->c, 0, XS_CONTROL, 0, S("live-update\0-s\0-v\0" "1\0-t\0" "5\0-F"), &w->m);
        else
            fake_talk(&w->f, w->c, 0, XS_CONTROL, 0, S("live-update\0-s\0-v\0" "1\0-t\0" "5"), &w->m);
        assert_false(update_due(&w->f.s));
        w->f.now_ms += 6000;
        assert_int_equal(update_due(&w->f.s), force);
        if (force)
            update_run(&w->f.s);
        fake_run(&w->f);
        assert_true(fake_get(w->c, &w->m));
    }
    ok(w, XS_TRANSACTION_END, t, S("T"));
    /* A file that another implementation would not keep up is taken away; and is there again if that fails. */
    assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
    ok(w, XS_CONTROL, 0, S("live-update\0-f\0/bin/true"));
    fake_talk(&w->f, w->c, 0, XS_CONTROL, 0, S("live-update\0-s\0-v\0" "1"), &w->m);
    assert_true(update_due(&w->f.s));
    update_run(&w->f.s);
    fake_run(&w->f);
    assert_true(fake_get(w->c, &w->m));
    ok(w, XS_WRITE, 0, N("/kept\0v"));
    char name[64];
    snprintf(name, sizeof(name), "%s/state", dir);
    assert_int_equal(access(name, F_OK), 0);
    /* Who asked is gone. */
    struct fake_client *other = fake_connect(&w->f);
    fake_talk(&w->f, other, 0, XS_CONTROL, 0, S("live-update\0-f\0/bin/true"), &w->m);
    fake_talk(&w->f, other, 0, XS_CONTROL, 0, S("live-update\0-s"), &w->m);
    fake_disconnect(&w->f, other);
    assert_false(update_due(&w->f.s));
    ok(w, XS_CONTROL, 0, S("live-update\0-f\0/bin/true"));
    ok(w, XS_CONTROL, 0, S("live-update\0-a"));
    assert_string_equal(w->m.body, "OK");
}

static int cleanup(void **state)
{
    char name[64];

    snprintf(name, sizeof(name), "%s/state", dir);
    unlink(name);
    return rmdir(dir);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(contents), T(expired), T(watches), T(buffers), T(transactions), T(tx_order), T(transaction_killed),
        T(died_meanwhile), T(broken_ring), T(compaction), T(wrong_files), T(xen_stream),
        cmocka_unit_test(test_damaged), T(domains_in_order), cmocka_unit_test(test_log_records), T(log_file), T(log_file_gone),
        T(control),
    };

    kr_log_init("test", (enum kr_log_level)2);
    if (!mkdtemp(dir))
        return 1;
    return cmocka_run_group_tests(tests, NULL, cleanup);
}
