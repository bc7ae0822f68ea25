/* SPDX-License-Identifier: MIT */
/* Clients whose transactions fail again and again get their turn (xenstored/turn.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/xs_world.h"

static bool answered(struct world *w, struct fake_client *c, uint32_t type)
{
    return fake_get(c, &w->m) && w->m.hdr.type == type;
}

static uint32_t lose_three_times(struct world *w)
{
    for (int i = 0; i < 3; i++) {
        char other[] = "/turn/a\0x";

        other[sizeof(other) - 2] = (char)('0' + i);
        uint32_t t = begin(w);
        ok(w, XS_READ, t, S("/turn/a"));
        ok(w, XS_WRITE, 0, N(other));
        ok(w, XS_WRITE, t, N("/turn/mine\0m"));
        fails(w, XS_TRANSACTION_END, t, S("T"), "EAGAIN");
    }
    uint32_t t = begin(w);
    assert_non_null(w->f.s.turn.tx);
    ok(w, XS_READ, t, S("/turn/a"));
    ok(w, XS_DIRECTORY, t, S("/turn/dir"));
    return t;
}

/* Who has lost three times has its way the next time: those whom it would lose against wait, and nobody else. */
static void test_disturbers_wait(void **state)
{
    static const struct { uint32_t type; const char *data; size_t len; bool waits; } cases[] = {
        { XS_WRITE, N("/turn/a\0" "9"), true },
        { XS_SET_PERMS, S("/turn/a\0n0\0r3"), true },
        { XS_RM, S("/turn/a"), true },
        { XS_RM, S("/turn"), true },
        { XS_WRITE, N("/turn/dir/new\0v"), true },
        { XS_RM, S("/turn/dir/kid"), true },
        { XS_WRITE, N("/turn/dir/kid\0v"), false },
        { XS_WRITE, N("/turn/dir/kid/kid\0v"), false },
        { XS_WRITE, N("/turn/b\0v"), false },
        { XS_KR_CLONE, S("/turn/b\0/turn/dir/b"), true },
        { XS_KR_CLONE, S("/turn/b\0/turn/later"), true },
        { XS_KR_CLONE, S("/turn/b\0/turn/c"), false },
        { XS_READ, S("/turn/a"), false },
        { XS_WRITE, N("nowhere\0v"), false },
        { XS_WRITE, S("//"), false },
    };
    struct world *w = *state;
    struct fake_client *other = fake_connect(&w->f);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(w, XS_WRITE, 0, N("/turn/a\0" "1"));
        ok(w, XS_WRITE, 0, N("/turn/dir/kid\0" "1"));
        ok(w, XS_WRITE, 0, N("/turn/b\0" "1"));
        uint32_t t = lose_three_times(w);
        fails(w, XS_READ, t, S("/turn/later/kid"), "ENOENT");
        fake_ask(&w->f, other, 0, cases[i].type, 0, cases[i].data, cases[i].len);
        assert_int_equal(fake_get(other, &w->m), !cases[i].waits);
        ok(w, XS_WRITE, t, N("/turn/mine\0m"));
        ok(w, XS_TRANSACTION_END, t, S("T"));
        if (cases[i].waits && !answered(w, other, cases[i].type))
            fail_msg("case %zu: %u %s", i, w->m.hdr.type, w->m.body);
        ok(w, XS_RM, 0, S("/turn"));
        world_check(w);
    }
    fake_disconnect(&w->f, other);
}

/* A commit waits like a write; a client that stops in its turn, or dies, does not keep it. */
static void test_end(void **state)
{
    struct world *w = *state;
    struct fake_client *other = fake_connect(&w->f), *third = fake_connect(&w->f);
    uint32_t t, theirs;

    ok(w, XS_WRITE, 0, N("/turn/a\0" "1"));
    ok(w, XS_WRITE, 0, N("/turn/dir/kid\0" "1"));
    t = lose_three_times(w);
    fake_ask(&w->f, other, 0, XS_TRANSACTION_START, 0, S(""));
    assert_true(answered(w, other, XS_TRANSACTION_START));
    theirs = (uint32_t)atoi(w->m.body);
    fake_ask(&w->f, other, 0, XS_WRITE, theirs, N("/turn/a\0theirs"));
    assert_true(answered(w, other, XS_WRITE));
    fake_ask(&w->f, other, 0, XS_TRANSACTION_END, theirs, S("T"));
    assert_false(fake_get(other, &w->m));
    /* What it sends behind that waits too, and a live update takes both along. */
    fake_ask(&w->f, other, 0, XS_READ, 0, S("/turn/b"));
    fake_ask(&w->f, third, 0, XS_READ, 0, S("/turn/a"));
    assert_true(answered(w, third, XS_READ));
    w->f.now_ms += 49;
    store_tick(&w->f.s);
    fake_run(&w->f);
    assert_false(fake_get(other, &w->m));
    w->f.now_ms++;
    store_tick(&w->f.s);
    fake_run(&w->f);
    assert_true(answered(w, other, XS_TRANSACTION_END));
    assert_true(answered(w, other, XS_ERROR));
    fails(w, XS_TRANSACTION_END, t, S("T"), "EAGAIN");
    t = begin(w);
    assert_null(w->f.s.turn.tx); /* not before it has lost three times again */
    ok(w, XS_TRANSACTION_END, t, S("F"));

    t = lose_three_times(w);
    fake_ask(&w->f, other, 0, XS_WRITE, 0, N("/turn/a\0" "7"));
    assert_false(fake_get(other, &w->m));
    fake_update(&w->f);
    assert_true(answered(w, other, XS_WRITE));
    fails(w, XS_TRANSACTION_END, t, S("T"), "EAGAIN");

    lose_three_times(w);
    fake_ask(&w->f, other, 0, XS_WRITE, 0, N("/turn/a\0" "8"));
    assert_false(fake_get(other, &w->m));
    fake_disconnect(&w->f, w->c);
    assert_true(answered(w, other, XS_WRITE));
    w->c = other;
    fake_disconnect(&w->f, third);
}

/* Guests get no turns, and wait for those of domain 0's clients. */
static void test_guests(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_ok(w, 1, XS_WRITE, 0, N("data/b\0" "0"));
    for (int i = 0; i < 5; i++) {
        char other[] = "/local/domain/1/data/a\0x";

        other[sizeof(other) - 2] = (char)('0' + i);
        guest_ok(w, 1, XS_TRANSACTION_START, 0, S(""));
        uint32_t t = (uint32_t)atoi(w->m.body);
        assert_null(w->f.s.turn.tx);
        guest_ok(w, 1, XS_WRITE, t, N("data/b\0" "1"));
        guest_fails(w, 1, XS_READ, t, S("data/a/none"), "ENOENT");
        ok(w, XS_WRITE, 0, N("/local/domain/1/data/a/none\0v"));
        guest_fails(w, 1, XS_TRANSACTION_END, t, S("T"), "EAGAIN");
        ok(w, XS_RM, 0, S("/local/domain/1/data/a/none"));
        ok(w, XS_WRITE, 0, N(other));
    }
    ok(w, XS_WRITE, 0, N("/turn/a\0" "1"));
    ok(w, XS_WRITE, 0, N("/turn/dir/kid\0" "1"));
    uint32_t t = lose_three_times(w);
    ok(w, XS_READ, t, S("/local/domain/1/data/b"));
    fake_ask(&w->f, NULL, 1, XS_WRITE, 0, S("data/b\0" "2"));
    assert_false(fake_ring_get(&w->f, 1, &w->m));
    ok(w, XS_TRANSACTION_END, t, S("T"));
    assert_true(fake_ring_get(&w->f, 1, &w->m));
    assert_int_equal(w->m.hdr.type, XS_WRITE);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(disturbers_wait), T(end), T(guests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
