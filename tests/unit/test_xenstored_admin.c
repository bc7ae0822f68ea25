/* SPDX-License-Identifier: MIT */
/* What the toolstack sets: features, quotas, permissions for all, the log; and how fast guests write. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/xs_world.h"

static void answer_is(struct world *w, const char *text)
{
    assert_string_equal(w->m.body, text);
}

/* ---- Features ---- */

#define ALL_FEATURES "1073741839" /* Xen 4.22's four, and 1 << 30 */

static void test_features(void **state)
{
    struct world *w = *state;

    ok(w, XS_GET_FEATURE, 0, S(""));
    answer_is(w, ALL_FEATURES);
    ok(w, XS_GET_FEATURE, 0, "", 0);
    answer_is(w, ALL_FEATURES);
    fails(w, XS_GET_FEATURE, 0, S("1"), "ENOENT");
    fails(w, XS_SET_FEATURE, 0, S("1\0" "3"), "ENOENT");
    fake_domain_up(&w->f, 1);
    fails(w, XS_SET_FEATURE, 0, S("1\0" "16"), "EINVAL");
    fails(w, XS_SET_FEATURE, 0, S("1\0x"), "EINVAL");
    fails(w, XS_SET_FEATURE, 0, S("1"), "EINVAL");
    fails(w, XS_SET_FEATURE, 0, S("0\0" "3"), "EBUSY");
    ok(w, XS_SET_FEATURE, 0, S("1\0" "2"));
    guest_up(w, 2);
    ok(w, XS_INTRODUCE, 0, S("1\0" "1\0" "7"));
    assert_int_equal(w->f.dom[1].page->server_features, 2);
    assert_int_equal(w->f.dom[2].page->server_features, STORE_FEATURES);
    fails(w, XS_SET_FEATURE, 0, S("1\0" "3"), "EBUSY"); /* it has been told */
    ok(w, XS_GET_FEATURE, 0, S("1"));
    answer_is(w, "2");
    guest_ok(w, 1, XS_GET_FEATURE, 0, S(""));
    answer_is(w, "2");
    guest_fails(w, 1, XS_GET_FEATURE, 0, S("2"), "EACCES");
    guest_fails(w, 1, XS_SET_FEATURE, 0, S("1\0" "3"), "EACCES");
}

/* A depth limits what a watch hears of, for those who have the feature. */
static void test_watch_depth(void **state)
{
    static const struct { const char *args; size_t len; unsigned heard; } cases[] = {
        { S("/d\0t"), 3 }, { S("/d\0t\0" "0"), 1 }, { S("/d\0t\0" "1"), 2 }, { S("/d\0t\0" "2"), 3 },
        { S("/d\0t\0"), 3 }, { S("/\0t\0" "1"), 1 }, { S("/\0t\0" "0"), 0 }, { S("/d/e\0t\0" "1"), 2 },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned heard = 0;

        ok(w, XS_WATCH, 0, cases[i].args, cases[i].len);
        drain(w);
        struct fake_client *o = fake_connect(&w->f);
        struct fake_msg m;
        fake_talk(&w->f, o, 0, XS_WRITE, 0, N("/d\0v"), &m);
        fake_talk(&w->f, o, 0, XS_WRITE, 0, N("/d/e\0v"), &m);
        fake_talk(&w->f, o, 0, XS_WRITE, 0, N("/d/e/f\0v"), &m);
        fake_disconnect(&w->f, o);
        while (event(w))
            heard++;
        assert_int_equal(heard, cases[i].heard);
        ok(w, XS_RESET_WATCHES, 0, S(""));
    }
    fails(w, XS_WATCH, 0, S("/d\0t\0x"), "EINVAL");
    fails(w, XS_WATCH, 0, S("/d\0t\0-1"), "EINVAL");
    /* Without the feature the third string means nothing. */
    fake_domain_up(&w->f, 1);
    ok(w, XS_SET_FEATURE, 0, S("1\0" "3"));
    guest_up(w, 2);
    ok(w, XS_INTRODUCE, 0, S("1\0" "1\0" "7"));
    ok(w, XS_SET_PERMS, 0, S("/d/e/f\0n0\0r1"));
    guest_ok(w, 1, XS_WATCH, 0, S("/d\0t\0" "0"));
    guest_drain(w, 1);
    ok(w, XS_WRITE, 0, N("/d/e/f\0v"));
    assert_string_equal(guest_event(w, 1), "/d/e/f");
}

/* With a depth the special events say whose they are; and one may watch a single domain's. */
static void test_special_depth(void **state)
{
    struct world *w = *state;
    unsigned plain = 0, by_number = 0, single = 0, zero = 0;

    ok(w, XS_WATCH, 0, S("@releaseDomain\0plain"));
    ok(w, XS_WATCH, 0, S("@releaseDomain\0depth\0" "1"));
    ok(w, XS_WATCH, 0, S("@releaseDomain\0zero\0" "0"));
    ok(w, XS_WATCH, 0, S("@introduceDomain\0intro\0" "1"));
    ok(w, XS_WATCH, 0, S("@releaseDomain/2\0single"));
    drain(w);
    guest_up(w, 1);
    guest_up(w, 2);
    drain(w);
    fake_domain_down(&w->f, 1);
    fake_domain_down(&w->f, 2);
    for (const char *e; (e = event(w));) {
        const char *token = e + strlen(e) + 1;

        if (!strcmp(token, "plain") && !strcmp(e, "@releaseDomain"))
            plain++;
        else if (!strcmp(token, "zero") && !strcmp(e, "@releaseDomain"))
            zero++;
        else if (!strcmp(token, "single") && !strcmp(e, "@releaseDomain/2"))
            single++;
        else if (!strcmp(token, "depth") && !strncmp(e, "@releaseDomain/", 15))
            by_number |= 1u << atoi(e + 15);
        else
            fail_msg("unexpected event %s %s", e, token);
    }
    assert_int_equal(plain, 2);
    assert_int_equal(zero, 2);
    assert_int_equal(single, 1);
    assert_int_equal(by_number, 6);
}

/* An entry for DOMID_ANY counts for every domain, if the one who set it has the feature. */
static void test_domid_any(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    ok(w, XS_WRITE, 0, N("/all\0v"));
    ok(w, XS_SET_PERMS, 0, S("/all\0n0\0w2\0r32757"));
    guest_ok(w, 1, XS_READ, 0, S("/all"));
    guest_fails(w, 1, XS_WRITE, 0, N("/all\0x"), "EACCES");
    guest_ok(w, 2, XS_WRITE, 0, N("/all\0x")); /* the first entry that fits counts */
    guest_fails(w, 2, XS_READ, 0, S("/all"), "EACCES");
    guest_up(w, 3); /* a younger domain too */
    guest_ok(w, 3, XS_READ, 0, S("/all"));
    ok(w, XS_GET_PERMS, 0, S("/all"));
    assert_memory_equal(w->m.body, "n0\0w2\0r32757", 13);
    fails(w, XS_SET_PERMS, 0, S("/all\0r32757"), "ENOENT"); /* nobody owns for all */
    fake_domain_up(&w->f, 4);
    ok(w, XS_SET_FEATURE, 0, S("4\0" "3"));
    ok(w, XS_MKDIR, 0, S("/local/domain/4/data"));
    ok(w, XS_SET_PERMS, 0, S("/local/domain/4/data\0n4"));
    ok(w, XS_INTRODUCE, 0, S("4\0" "1\0" "7"));
    guest_ok(w, 4, XS_SET_PERMS, 0, S("data\0n4\0r32757"));
    guest_fails(w, 1, XS_READ, 0, S("/local/domain/4/data"), "EACCES");
}

/* Entries of dead domains are not shown, nor inherited; of ones that never were they are shown. */
static void test_expired_entries(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    ok(w, XS_MKDIR, 0, S("/shared"));
    ok(w, XS_SET_PERMS, 0, S("/shared\0n0\0b1\0b2\0r6"));
    fake_domain_down(&w->f, 1);
    ok(w, XS_GET_PERMS, 0, S("/shared"));
    assert_int_equal(w->m.hdr.len, 9);
    assert_memory_equal(w->m.body, "n0\0b2\0r6", 9);
    guest_up(w, 1);
    guest_ok(w, 2, XS_WRITE, 0, N("/shared/by2\0v"));
    guest_fails(w, 1, XS_READ, 0, S("/shared/by2"), "EACCES");
    guest_fails(w, 1, XS_READ, 0, S("/shared"), "EACCES");
    fails(w, XS_SET_PERMS, 0, S("/shared\0n6"), "ENOENT"); /* an owner must exist */
    /* In a transaction beside others' the permissions are made new too. */
    uint32_t t = begin(w);
    ok(w, XS_SET_PERMS, t, S("/shared\0n0\0b1\0b2\0r6"));
    ok(w, XS_WRITE, 0, N("/elsewhere\0v"));
    ok(w, XS_TRANSACTION_END, t, S("T"));
    guest_ok(w, 1, XS_READ, 0, S("/shared"));
}

/* Deaths among many, however the host tells of them. */
static void test_deaths(void **state)
{
    struct world *w = *state;

    for (int round = 0; round < 2; round++) {
        w->f.no_list = round;
        for (uint16_t d = 1; d < FAKE_DOMAINS; d++)
            guest_up(w, d);
        w->f.dom[2].exists = w->f.dom[7].exists = false;
        w->f.dom[4].shutdown = true;
        w->f.dom[5].dying = true;
        w->f.dom[6].life++;
        domain_check_all(&w->f.s);
        fake_run(&w->f);
        for (uint16_t d = 1; d < FAKE_DOMAINS; d++) {
            const struct domain *dom = domain_find(&w->f.s, d);

            assert_int_equal(dom != NULL, d != 2 && d != 7 && d != 6);
            assert_int_equal(dom && dom->conn, d == 1 || d == 3 || d == 4);
            assert_int_equal(dom && dom->shutdown, d == 4);
        }
        for (uint16_t d = 1; d < FAKE_DOMAINS; d++)
            fake_domain_down(&w->f, d);
    }
}

/* ---- Quotas ---- */

static void test_quota_wire(void **state)
{
    struct world *w = *state;

    ok(w, XS_GET_QUOTA, 0, S(""));
    assert_non_null(strstr(w->m.body, "nodes watches"));
    assert_non_null(strstr(w->m.body, "soft-memory"));
    ok(w, XS_GET_QUOTA, 0, S("watches"));
    answer_is(w, "128");
    fails(w, XS_GET_QUOTA, 0, S("nothing"), "EINVAL");
    fails(w, XS_GET_QUOTA, 0, S("1\0watches"), "ENOENT");
    fails(w, XS_GET_QUOTA, 0, S("1\0watches\0x"), "EINVAL");
    guest_up(w, 1);
    guest_up(w, 2);
    ok(w, XS_SET_QUOTA, 0, S("1\0watches\0" "2"));
    ok(w, XS_SET_QUOTA, 0, S("watches\0" "1"));
    ok(w, XS_GET_QUOTA, 0, S("1\0watches"));
    answer_is(w, "2");
    ok(w, XS_GET_QUOTA, 0, S("2\0watches"));
    answer_is(w, "1");
    guest_ok(w, 1, XS_WATCH, 0, S("data\0" "1"));
    guest_ok(w, 1, XS_WATCH, 0, S("data\0" "2"));
    guest_fails(w, 1, XS_WATCH, 0, S("data\0" "3"), "E2BIG");
    guest_ok(w, 2, XS_WATCH, 0, S("data\0" "1"));
    guest_fails(w, 2, XS_WATCH, 0, S("data\0" "2"), "E2BIG");
    ok(w, XS_SET_QUOTA, 0, S("2\0watches\0" "4294967295"));
    for (int i = 0; i < 300; i++) {
        char buf[32];
        int n = snprintf(buf, sizeof(buf), "data%cx%d", 0, i);
        guest_ok(w, 2, XS_WATCH, 0, buf, (size_t)n + 1);
        guest_drain(w, 2);
    }
    ok(w, XS_GET_QUOTA, 0, S("2\0watches"));
    answer_is(w, "4294967295");
    fails(w, XS_SET_QUOTA, 0, S("watches\0many"), "EINVAL");
    fails(w, XS_SET_QUOTA, 0, S("watches"), "EINVAL");
    fails(w, XS_SET_QUOTA, 0, S("5\0watches\0" "1"), "ENOENT");
    guest_fails(w, 1, XS_SET_QUOTA, 0, S("watches\0" "1"), "EACCES");
    guest_fails(w, 1, XS_GET_QUOTA, 0, S("watches"), "EACCES");
    /* A domain's own quotas end with it. */
    fake_domain_down(&w->f, 2);
    guest_up(w, 2);
    ok(w, XS_GET_QUOTA, 0, S("2\0watches"));
    answer_is(w, "1");
}

/* Every quota of the table, lowered to little, refuses what is more, for that guest alone. */
static void test_quota_each(void **state)
{
    static const struct { const char *set; size_t len; uint32_t type; const char *args; size_t n;
                          const char *error; } cases[] = {
        { S("1\0nodes\0" "1"), XS_WRITE, N("data/x\0v"), "ENOSPC" },
        { S("1\0watches\0" "1"), XS_WATCH, S("data\0" "2"), "E2BIG" },
        { S("1\0transactions\0" "1"), XS_TRANSACTION_START, S(""), "ENOSPC" },
        { S("1\0node-permissions\0" "1"), XS_SET_PERMS, S("data\0n1\0r2"), "ENOSPC" },
        { S("1\0path-max\0" "6"), XS_READ, S("data/xy"), "EINVAL" },
        { S("1\0path-length\0" "6"), XS_READ, S("data/xy"), "EINVAL" },
        { S("1\0node-size\0" "3"), XS_WRITE, N("data\0four"), "ENOSPC" },
        { S("1\0memory\0" "300"), XS_WRITE, N("data\0four"), "ENOMEM" },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        guest_up(w, 1);
        guest_up(w, 2);
        guest_ok(w, 1, XS_WATCH, 0, S("data\0" "1"));
        guest_begin(w, 1);
        ok(w, XS_SET_QUOTA, 0, cases[i].set, cases[i].len);
        guest_fails(w, 1, cases[i].type, 0, cases[i].args, cases[i].n, cases[i].error);
        guest_ok(w, 2, XS_WRITE, 0, N("data/xy\0four"));
        fake_domain_down(&w->f, 1);
        fake_domain_down(&w->f, 2);
    }
}

static void test_control_quota(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    ok(w, XS_CONTROL, 0, S("quota"));
    assert_non_null(strstr(w->m.body, "\nwatches          :      128 "));
    assert_null(strstr(w->m.body, "soft"));
    ok(w, XS_CONTROL, 0, S("quota-soft"));
    assert_non_null(strstr(w->m.body, "\nmemory           :  2097152 "));
    ok(w, XS_CONTROL, 0, S("quota-soft\0set\0memory\0" "1000"));
    assert_int_equal(w->f.s.quota[QUOTA_SOFT_MEMORY], 1000);
    fails(w, XS_CONTROL, 0, S("quota-soft\0set\0nodes\0" "1000"), "EINVAL");
    fails(w, XS_CONTROL, 0, S("quota\0set\0soft-memory\0" "1000"), "EINVAL");
    fails(w, XS_CONTROL, 0, S("quota\0" "1\0" "2"), "EINVAL");
    guest_ok(w, 1, XS_WRITE, 0, N("data/x\0v"));
    ok(w, XS_CONTROL, 0, S("quota\0max"));
    assert_non_null(strstr(w->m.body, "\nnodes            :        2\n"));
    ok(w, XS_CONTROL, 0, S("quota\0max\0-r"));
    assert_non_null(strstr(w->m.body, "\nnodes            :        0\n"));
    fails(w, XS_CONTROL, 0, S("quota\0max\0-x"), "EINVAL");
    /* Beyond the soft quota everything goes on. */
    char big[1100] = "data/big";
    guest_ok(w, 1, XS_WRITE, 0, big, sizeof(big));
    assert_true(domain_find(&w->f.s, 1)->soft_warned);
    guest_ok(w, 1, XS_RM, 0, S("data/big"));
    guest_ok(w, 1, XS_WRITE, 0, N("data/x\0v"));
    assert_false(domain_find(&w->f.s, 1)->soft_warned);
}

/* ---- The rate of writes ---- */

static unsigned writes_done(struct world *w, uint16_t domid, unsigned tries)
{
    unsigned done = 0;

    while (done < tries && fake_talk(&w->f, NULL, domid, XS_WRITE, 0, N("data/x\0v"), &w->m) == XS_WRITE)
        done++;
    return done;
}

/* XSA-206: a guest cannot make others' transactions fail for ever. */
static void test_xsa_206_rate(void **state)
{
    struct world *w = *state;

    guest_up(w, 1);
    guest_up(w, 2);
    w->f.s.wrl_reserve = 0;
    assert_int_equal(writes_done(w, 1, 500), 500); /* nobody is harmed */
    uint32_t t = begin(w);
    unsigned done = writes_done(w, 1, 500);
    assert_in_range(done, 4, 12);
    assert_true(w->f.s.wake_ms);
    guest_ok(w, 2, XS_WRITE, 0, N("data/x\0v")); /* others have their own */
    for (int i = 0; i < 10; i++) {
        w->f.now_ms += 100; /* 20 writes' worth, of which 10 can be kept */
        store_tick(&w->f.s);
        fake_run(&w->f);
        while (fake_ring_get(&w->f, 1, &w->m))
            ;
        assert_in_range(writes_done(w, 1, 500), 5, 22);
    }
    ok(w, XS_TRANSACTION_END, t, S("T"));
    w->f.now_ms += 100;
    store_tick(&w->f.s);
    fake_run(&w->f);
    while (fake_ring_get(&w->f, 1, &w->m))
        ;
    assert_int_equal(writes_done(w, 1, 500), 500);
}

/* Its own transactions count against it only if others have some too. */
static void test_rate_commits(void **state)
{
    struct world *w = *state;
    unsigned done = 0;

    guest_up(w, 1);
    w->f.s.wrl_reserve = 0;
    for (; done < 100; done++) {
        uint32_t t = guest_begin(w, 1);
        guest_ok(w, 1, XS_WRITE, t, N("data/x\0v"));
        guest_ok(w, 1, XS_TRANSACTION_END, t, S("T"));
    }
    begin(w);
    for (done = 0; done < 100; done++) {
        if (fake_talk(&w->f, NULL, 1, XS_TRANSACTION_START, 0, S(""), &w->m) != XS_TRANSACTION_START)
            break;
        uint32_t t = (uint32_t)atoi(w->m.body);
        guest_ok(w, 1, XS_WRITE, t, N("data/x\0v"));
        guest_ok(w, 1, XS_TRANSACTION_END, t, S("T"));
    }
    assert_in_range(done, 4, 12);
}

/* ---- The log ---- */

static void test_log(void **state)
{
    struct world *w = *state;
    char dir[] = "/tmp/xs-log-XXXXXX", path[64], text[8192] = "", cmd[128];

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/log", dir);
    int n = snprintf(cmd, sizeof(cmd), "logfile%c%s", 0, path);
    ok(w, XS_CONTROL, 0, cmd, (size_t)n + 1);
    ok(w, XS_CONTROL, 0, S("log\0+tdb"));
    fails(w, XS_CONTROL, 0, S("log\0+nothing"), "EINVAL");
    fails(w, XS_CONTROL, 0, S("log\0x"), "EINVAL");
    ok(w, XS_WRITE, 0, N("/logged\0v"));
    ok(w, XS_CONTROL, 0, S("log\0-io"));
    ok(w, XS_WRITE, 0, N("/silent\0v"));
    ok(w, XS_CONTROL, 0, S("log"));
    assert_non_null(strstr(w->m.body, "io      : off"));
    assert_non_null(strstr(w->m.body, "tdb     : on"));
    n = snprintf(cmd, sizeof(cmd), "memreport%c%s", 0, path);
    ok(w, XS_CONTROL, 0, cmd, (size_t)n + 1);
    assert_non_null(strstr(w->m.body, "connections 1"));
    fails(w, XS_CONTROL, 0, S("memreport\0/nowhere/x"), "ENOENT");
    fails(w, XS_CONTROL, 0, S("logfile\0/nowhere/x"), "ENOENT");
    FILE *f = fopen(path, "r");
    assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
    fclose(f);
    assert_non_null(strstr(text, "WRITE /logged"));
    assert_null(strstr(text, "WRITE /silent"));
    assert_non_null(strstr(text, "heap in use"));
    assert_non_null(strstr(text, "outstand"));
    unlink(path);
    rmdir(dir);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(features), T(watch_depth), T(special_depth), T(domid_any), T(expired_entries), T(deaths),
        T(quota_wire), T(quota_each), T(control_quota), T(xsa_206_rate), T(rate_commits), T(log),
    };

    kr_log_init("test", KR_ERR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
