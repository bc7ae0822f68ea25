/* SPDX-License-Identifier: MIT */
/*
 * A guest that goes on while the daemon is killed, at any moment, and started again: each of its
 * requests is done once and answered once, in order, and each event comes.
 *
 * The daemon is a forked process with a fake host whose ring page and journal are shared with this
 * one, which is the guest. "Once" is seen by requests that cannot be done twice: a watch that is there
 * already, or is gone already, is an error.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/xs_world.h"
#include "xenstored/journal.h"

#define REQUESTS 20000
#define KILLS 120

static char dir[] = "/tmp/xs-kill-XXXXXX";

/* ---- The daemon's process ---- */

static void serve(struct fake *f)
{
    for (;;) {
        ring_event(&f->s, f->dom[1].port);
        fake_run(f);
        if (getppid() == 1)
            _exit(0);
        sched_yield();
    }
}

/* first: the store as it is in this process; else the journal's. */
static pid_t start(struct fake *f, bool first)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid)
        return pid;
    if (first) {
        if (journal_open(&f->s, dir, "fake"))
            _exit(1);
    } else {
        fake_restart(f, dir);
    }
    serve(f);
    _exit(0);
}

/* ---- The guest ---- */

struct guest {
    struct xenstore_domain_interface *page;
    uint32_t prod, cons;        /* of requests, of replies */
    uint32_t sent, answered;    /* ids of requests, from 4 */
    unsigned events;
};

/* What request n is. */
static uint32_t request(uint32_t n, char *out)
{
    uint32_t round = n / 4;
    int len;

    switch (n % 4) {
    case 0: len = sprintf(out, "data/w%u%ctok%u", round, 0, round) + 1; break;
    case 1: len = sprintf(out, "data/w%u%cvalue%u", round, 0, round); break;
    case 2: len = sprintf(out, "data/w%u", round - (round > 0)) + 1; break;
    default: len = sprintf(out, "data/w%u%ctok%u", round, 0, round) + 1; break;
    }
    return (uint32_t)len;
}

static const uint32_t type_of[4] = { XS_WATCH, XS_WRITE, XS_RM, XS_UNWATCH };

static bool put(struct guest *g, uint32_t id)
{
    char msg[sizeof(struct xsd_sockmsg) + 64];
    struct xsd_sockmsg hdr = { type_of[id % 4], id, 0, request(id, msg + sizeof(hdr)) };
    uint32_t len = (uint32_t)sizeof(hdr) + hdr.len;
    uint32_t used = g->prod - __atomic_load_n(&g->page->req_cons, __ATOMIC_ACQUIRE);

    assert_true(used <= XENSTORE_RING_SIZE);
    if (XENSTORE_RING_SIZE - used < len)
        return false;
    memcpy(msg, &hdr, sizeof(hdr));
    for (uint32_t i = 0; i < len; i++)
        g->page->req[MASK_XENSTORE_IDX(g->prod + i)] = msg[i];
    g->prod += len;
    __atomic_store_n(&g->page->req_prod, g->prod, __ATOMIC_RELEASE);
    return true;
}

static void check(struct guest *g, const struct xsd_sockmsg *hdr, const char *body)
{
    if (hdr->type == XS_WATCH_EVENT) {
        g->events++;
        return;
    }
    assert_int_equal(hdr->req_id, g->answered + 1);
    if (hdr->type == XS_ERROR)
        fail_msg("request %u: %s", hdr->req_id, body);
    assert_int_equal(hdr->type, type_of[hdr->req_id % 4]);
    g->answered++;
}

static bool get(struct guest *g)
{
    uint32_t have = __atomic_load_n(&g->page->rsp_prod, __ATOMIC_ACQUIRE) - g->cons;
    char msg[XENSTORE_RING_SIZE + 1];
    struct xsd_sockmsg hdr;

    assert_true(have <= XENSTORE_RING_SIZE);
    for (uint32_t i = 0; i < have; i++)
        msg[i] = g->page->rsp[MASK_XENSTORE_IDX(g->cons + i)];
    msg[have] = 0;
    if (have < sizeof(hdr))
        return false;
    memcpy(&hdr, msg, sizeof(hdr));
    assert_true(hdr.len < 200);
    if (have < sizeof(hdr) + hdr.len)
        return false;
    check(g, &hdr, msg + sizeof(hdr));
    g->cons += (uint32_t)sizeof(hdr) + hdr.len;
    __atomic_store_n(&g->page->rsp_cons, g->cons, __ATOMIC_RELEASE);
    return true;
}

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void test_killed_at_any_time(void **state)
{
    struct world *w = *state;
    struct fake *f = &w->f;
    unsigned kills = 0, seed = 4711;
    uint64_t kill_at = 0, moved = now_us();
    uint32_t target = 500;

    guest_up(w, 1);
    struct guest g = { f->dom[1].page, f->dom[1].page->req_prod, f->dom[1].page->rsp_cons, 3, 3, 0 };
    pid_t pid = start(f, true);
    while (g.answered < REQUESTS || kills < KILLS) {
        uint32_t before = g.answered;

        if (g.sent < g.answered + 15 && put(&g, g.sent + 1))
            g.sent++;
        while (get(&g))
            ;
        if (g.answered != before)
            moved = now_us();
        else
            sched_yield();
        if (now_us() - moved > 60000000)
            fail_msg("no answer to request %u after %u kills", g.answered + 1, kills);
        /* Some requests after the last time, and then at some moment. */
        if (!kill_at && g.answered >= target)
            kill_at = now_us() + seed / 65536 % 400;
        if (!kill_at || now_us() < kill_at)
            continue;
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        kills++;
        pid = start(f, false);
        seed = seed * 1103515245 + 12345;
        target = g.answered + seed / 65536 % 700;
        kill_at = 0;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    /* Each watch fires when it is set, and when its node is written; an event is told once at least. */
    assert_true(g.events >= g.answered / 4);
    /* What is there now is what the requests made: the last node or two, no watch but the last. */
    fake_restart(f, dir);
    fake_disconnect(f, w->c);
    w->c = fake_connect(f);
    assert_in_range(f->s.books.flat[1].nodes, 1, 3);
    assert_in_range(f->s.watches.count, 0, 4);
    assert_int_equal(domain_find(&f->s, 1)->used[QUOTA_WATCHES], f->s.watches.count);
    print_message("%u requests, %u events, %u kills\n", g.answered, g.events, kills);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_at_any_time, world_setup, world_teardown),
    };
    char name[64];

    kr_log_init("test", (enum kr_log_level)2);
    if (!mkdtemp(dir))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(name, sizeof(name), "%s/state", dir);
    unlink(name);
    snprintf(name, sizeof(name), "%s/state.new", dir);
    unlink(name);
    rmdir(dir);
    return failed;
}
