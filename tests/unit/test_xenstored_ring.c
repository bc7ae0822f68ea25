/* SPDX-License-Identifier: MIT */
/* Guests' rings: honest ones, slow ones and lying ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/xs_fake.h"

struct world {
    struct fake f;
    struct fake_client *c;
    struct fake_msg m;
};

#define S(text) (text), sizeof(text)
#define N(text) (text), sizeof(text) - 1

static uint32_t talk(struct world *w, uint32_t type, const char *data, size_t len)
{
    return fake_talk(&w->f, w->c, 0, type, 0, data, len, &w->m);
}

static uint32_t guest(struct world *w, uint16_t domid, uint32_t type, const char *data, size_t len)
{
    return fake_talk(&w->f, NULL, domid, type, 0, data, len, &w->m);
}

static void introduce(struct world *w, uint16_t domid)
{
    char buf[64];
    int n = snprintf(buf, sizeof(buf), "%u%c%u%c7", domid, 0, 0xfeffc, 0);

    fake_domain_up(&w->f, domid);
    assert_int_equal(talk(w, XS_INTRODUCE, buf, (size_t)n + 1), XS_INTRODUCE);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    fake_init(&w->f);
    w->c = fake_connect(&w->f);
    introduce(w, 1);
    talk(w, XS_MKDIR, S("/local/domain/1/data"));
    talk(w, XS_SET_PERMS, S("/local/domain/1\0n0\0r1"));
    talk(w, XS_SET_PERMS, S("/local/domain/1/data\0n1"));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    assert_int_equal(talk(w, XS_CONTROL, S("check")), XS_CONTROL);
    assert_string_equal(w->m.body, "OK");
    fake_disconnect(&w->f, w->c);
    fake_free(&w->f);
    for (int i = 0; i < FAKE_DOMAINS; i++) {
        assert_int_equal(w->f.dom[i].mapped, 0);
        assert_int_equal(w->f.dom[i].port, 0);
    }
    free(w);
    return 0;
}

static struct xenstore_domain_interface *page(struct world *w)
{
    return w->f.dom[1].page;
}

static void test_honest(void **state)
{
    struct world *w = *state;
    char big[2100] = "data/big";

    assert_int_equal(page(w)->server_features, STORE_FEATURES);
    memset(big + 9, 'v', 2000);
    for (int i = 0; i < 20; i++) { /* longer than the ring, wrapping at every offset */
        assert_int_equal(guest(w, 1, XS_WRITE, big, 9 + 2000 - (size_t)i), XS_WRITE);
        assert_int_equal(guest(w, 1, XS_READ, S("data/big")), XS_READ);
        assert_int_equal(w->m.hdr.len, 2000 - i);
        assert_memory_equal(w->m.body, big + 9, w->m.hdr.len);
    }
    assert_true(w->f.dom[1].notified > 40);
}

/* Puts a request into the ring; true if Linux would send an event, which is when what was there had been taken. */
static bool add_request(struct fake_domain *d, uint32_t id)
{
    struct { struct xsd_sockmsg hdr; char body[3]; } rq = {
        { .type = XS_GET_DOMAIN_PATH, .req_id = id, .len = 2 }, "1",
    };
    const char *p = (const char *)&rq;
    uint32_t before = d->req_prod;

    for (size_t i = 0; i < sizeof(rq.hdr) + rq.hdr.len; i++)
        d->page->req[MASK_XENSTORE_IDX(d->req_prod++)] = p[i];
    d->page->req_prod = d->req_prod;
    return d->page->req_cons == before;
}

/* Both requests were taken, and are answered in order. */
static void assert_both_answered(struct world *w)
{
    assert_int_equal(page(w)->req_cons, page(w)->req_prod);
    for (uint32_t id = 76; id <= 77; id++) {
        assert_true(fake_ring_get(&w->f, 1, &w->m));
        assert_int_equal(w->m.hdr.req_id, id);
    }
}

static bool announced;

static void add_meanwhile(struct fake *f, uint16_t domid)
{
    f->on_notify = NULL;
    announced = add_request(&f->dom[domid], 77);
}

static void test_request_meanwhile(void **state)
{
    struct world *w = *state;
    unsigned notified = w->f.dom[1].notified;

    w->f.on_notify = add_meanwhile;
    assert_true(add_request(&w->f.dom[1], 76));
    fake_ring_kick(&w->f, 1);
    assert_null(w->f.on_notify);
    assert_int_equal(w->f.dom[1].notified, notified + 1); /* one notice for what was taken and the reply */
    if (announced)
        fake_ring_kick(&w->f, 1);
    assert_both_answered(w);
}

static struct fake_domain *racer;

/* The store is about to move req_cons: its first write to the page. On another CPU the guest is quicker. */
static void at_first_write(int sig, siginfo_t *info, void *context)
{
    if ((char *)info->si_addr < (char *)racer->page || (char *)info->si_addr >= (char *)racer->page + 4096)
        abort();
    mprotect(racer->page, 4096, PROT_READ | PROT_WRITE);
    announced = add_request(racer, 77);
}

/*
 * A request that comes after the store has looked for input, but before the guest can see that what
 * was there is taken, is not announced by Linux: the store must look again, or it waits for ever.
 */
static void test_request_unannounced(void **state)
{
    struct sigaction on = { .sa_sigaction = at_first_write, .sa_flags = SA_SIGINFO }, before;
    struct world *w = *state;

    racer = &w->f.dom[1];
    announced = true;
    assert_true(add_request(racer, 76));
    assert_int_equal(sigaction(SIGSEGV, &on, &before), 0);
    assert_int_equal(mprotect(racer->page, 4096, PROT_READ), 0);
    fake_ring_kick(&w->f, 1);
    sigaction(SIGSEGV, &before, NULL);
    assert_false(announced);
    assert_both_answered(w);
}

/* Half a request is not answered, but who waits for room must hear that it was taken. */
static void test_notice_without_reply(void **state)
{
    struct world *w = *state;
    struct xsd_sockmsg hdr = { .type = XS_GET_DOMAIN_PATH, .req_id = 76, .len = 2 };
    unsigned notified = w->f.dom[1].notified;

    assert_int_equal(fake_ring_put(&w->f, 1, &hdr, sizeof(hdr)), sizeof(hdr));
    assert_int_equal(page(w)->req_cons, page(w)->req_prod);
    assert_int_equal(w->f.dom[1].notified, notified + 1);
}

/* Without the grant the frame is mapped. */
static void test_foreign_map(void **state)
{
    struct world *w = *state;

    w->f.no_gnttab = true;
    introduce(w, 2);
    assert_int_equal(guest(w, 2, XS_GET_DOMAIN_PATH, S("2")), XS_GET_DOMAIN_PATH);
    fake_domain_down(&w->f, 2);
    assert_int_equal(w->f.dom[2].mapped, 0);
}

static void assert_refused(struct world *w, uint32_t error)
{
    assert_int_equal(page(w)->error, error);
    assert_int_equal(talk(w, XS_READ, S("/tool/xenstored")), XS_READ); /* others are served */
}

static void reconnect(struct world *w)
{
    page(w)->connection = XENSTORE_RECONNECT;
    fake_ring_kick(&w->f, 1);
    assert_int_equal(page(w)->connection, XENSTORE_CONNECTED);
    assert_int_equal(page(w)->error, XENSTORE_ERROR_NONE);
    assert_int_equal(page(w)->req_prod, 0);
    w->f.dom[1].rsp_cons = w->f.dom[1].req_prod = 0;
    assert_int_equal(guest(w, 1, XS_READ, S("data")), XS_READ);
}

static void test_indices(void **state)
{
    static const uint32_t wrong[] = { 1025, 2048, 0x80000000, 0xffffffff, 0x7fffffff };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        page(w)->req_prod = page(w)->req_cons + wrong[i];
        fake_ring_kick(&w->f, 1);
        assert_refused(w, XENSTORE_ERROR_RINGIDX);
        reconnect(w);
        guest(w, 1, XS_WATCH, S("data\0t"));
        page(w)->rsp_cons = page(w)->rsp_prod - wrong[i];
        talk(w, XS_WRITE, N("/local/domain/1/data/x\0y"));
        assert_refused(w, XENSTORE_ERROR_RINGIDX);
        reconnect(w);
    }
}

/* The daemon's own indices are its own, whatever the guest writes over them. */
static void test_overwritten(void **state)
{
    struct world *w = *state;

    for (uint32_t i = 0; i < 100; i++) {
        page(w)->req_cons = i * 2654435761u;
        page(w)->rsp_prod = ~page(w)->req_cons;
        fake_ring_kick(&w->f, 1);
    }
    assert_refused(w, XENSTORE_ERROR_NONE);
    reconnect(w);
}

static void test_protocol(void **state)
{
    struct world *w = *state;
    struct xsd_sockmsg hdr = { .type = XS_READ, .len = XENSTORE_PAYLOAD_MAX + 1 };

    fake_ring_put(&w->f, 1, &hdr, sizeof(hdr));
    assert_refused(w, XENSTORE_ERROR_PROTO);
    reconnect(w);
}

/* Reconnection drops watches, transactions and half a request. */
static void test_reconnect(void **state)
{
    struct world *w = *state;

    assert_int_equal(guest(w, 1, XS_WATCH, S("data\0t")), XS_WATCH);
    assert_int_equal(guest(w, 1, XS_TRANSACTION_START, S("")), XS_TRANSACTION_START);
    fake_ring_put(&w->f, 1, "half", 4);
    reconnect(w);
    talk(w, XS_WRITE, N("/local/domain/1/data/x\0y"));
    assert_false(fake_ring_get(&w->f, 1, &w->m));
    assert_int_equal(w->f.s.watches.count, 0);
    assert_int_equal(domain_find(&w->f.s, 1)->used[QUOTA_TRANSACTIONS], 0);
}

/* XSA-326 a: requests without taking replies stop at the quota; taking them goes on. */
static void test_no_replies_taken(void **state)
{
    struct world *w = *state;
    struct {
        struct xsd_sockmsg hdr;
        char path[5];
    } __attribute__((packed)) req = { { XS_READ, 0, 0, 5 }, "data" };
    unsigned sent = 0, got = 0;

    talk(w, XS_WRITE, N("/local/domain/1/data\0" "0123456789012345678901234567890123456789"));
    for (; sent < 200; sent++)
        if (fake_ring_put(&w->f, 1, &req, sizeof(req)) != sizeof(req))
            break;
    assert_true(sent < 150);
    assert_in_range(domain_find(&w->f.s, 1)->used[QUOTA_OUTSTANDING], 1, 20);
    while (fake_ring_get(&w->f, 1, &w->m))
        got++;
    assert_in_range(got, sent, sent + 1);
    assert_int_equal(domain_find(&w->f.s, 1)->used[QUOTA_OUTSTANDING], 0);
    assert_int_equal(domain_find(&w->f.s, 1)->memory, 0);
}

/* XSA-326 b: events that nobody reads are bounded by memory, told once each, dropped in time. */
static void test_no_events_taken(void **state)
{
    struct world *w = *state;
    char buf[96];

    w->f.s.quota[QUOTA_MEMORY] = 50000;
    for (int i = 0; i < 100; i++) {
        int n = snprintf(buf, sizeof(buf), "data%c%d", 0, i);
        guest(w, 1, XS_WATCH, buf, (size_t)n + 1);
    }
    while (fake_ring_get(&w->f, 1, &w->m))
        ;
    for (int i = 0; i < 300; i++) {
        int n = snprintf(buf, sizeof(buf), "/local/domain/1/data/%d", i);
        talk(w, XS_WRITE, buf, (size_t)n + 1);
    }
    struct domain *d = domain_find(&w->f.s, 1);
    assert_in_range(d->memory + w->f.s.books.flat[1].bytes, 10000, 100000);
    assert_true(w->f.s.wake_ms);
    w->f.now_ms += 30000;
    store_tick(&w->f.s);
    fake_run(&w->f);
    assert_in_range(d->conn->out_bytes, 0, 200); /* what is half sent stays */
    while (fake_ring_get(&w->f, 1, &w->m))
        ;
    for (int i = 0; i < 100; i++)
        talk(w, XS_WRITE, N("/local/domain/1/data/1\0x"));
    assert_in_range(d->conn->out_bytes, 0, 100 * 96);
}

/* A guest that does not read holds up another whose writes it watches no longer than that. */
static void test_outstanding_across(void **state)
{
    struct world *w = *state;
    int done = 0;

    introduce(w, 2);
    talk(w, XS_SET_PERMS, S("/local/domain/1/data\0b1\0b2"));
    for (int i = 0; i < 30; i++) {
        char buf[64];
        int n = snprintf(buf, sizeof(buf), "/local/domain/1/data%c%d", 0, i);
        guest(w, 2, XS_WATCH, buf, (size_t)n + 1);
        while (fake_ring_get(&w->f, 2, &w->m))
            ;
    }
    for (; done < 100; done++) {
        char buf[64];
        int n = snprintf(buf, sizeof(buf), "data/%d%cx", done, 0);
        if (guest(w, 1, XS_WRITE, buf, (size_t)n) != XS_WRITE)
            break;
    }
    assert_in_range(done, 15, 30);
    w->f.now_ms += 30000;
    store_tick(&w->f.s);
    fake_run(&w->f);
    assert_true(fake_ring_get(&w->f, 1, &w->m)); /* the one that waited */
    assert_int_equal(guest(w, 1, XS_READ, S("data")), XS_READ);
}

/* XSA-425, XSA-484: release and introduction in all states. */
static void test_soft_reset(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 20; i++) {
        guest(w, 1, XS_WATCH, S("data\0t"));
        guest(w, 1, XS_TRANSACTION_START, S(""));
        for (int k = 0; k < i; k++)
            talk(w, XS_WRITE, N("/local/domain/1/data/x\0y"));
        assert_int_equal(talk(w, XS_RELEASE, S("1")), XS_RELEASE);
        assert_int_equal(talk(w, XS_RELEASE, S("1")), XS_ERROR);
        assert_int_equal(w->f.dom[1].port, 0);
        memset(page(w), 0, 4096);
        w->f.dom[1].rsp_cons = w->f.dom[1].req_prod = 0;
        assert_int_equal(talk(w, XS_INTRODUCE, S("1\0" "1\0" "9")), XS_INTRODUCE);
        assert_int_equal(guest(w, 1, XS_READ, S("data")), XS_READ);
    }
    assert_int_equal(talk(w, XS_INTRODUCE, S("1\0" "1\0" "8")), XS_INTRODUCE); /* rebinds */
    assert_int_equal(guest(w, 1, XS_READ, S("data")), XS_READ);
}

/* A number that comes back before its end was noticed. */
static void test_reused_number(void **state)
{
    struct world *w = *state;

    guest(w, 1, XS_WRITE, N("data/old\0x"));
    introduce(w, 1); /* fake_domain_up() gives it another handle */
    assert_int_equal(talk(w, XS_READ, S("/local/domain/1/data")), XS_ERROR);
    assert_int_equal(guest(w, 1, XS_READ, S("/local/domain/1")), XS_ERROR);
    assert_string_equal(w->m.body, "EACCES");
}

static void test_dying(void **state)
{
    struct world *w = *state;

    talk(w, XS_WATCH, S("@releaseDomain\0r"));
    while (fake_get(w->c, &w->m))
        ;
    w->f.dom[1].dying = true;
    domain_check_all(&w->f.s);
    fake_run(&w->f);
    assert_int_equal(w->f.dom[1].mapped, 0);
    assert_true(fake_get(w->c, &w->m));
    assert_string_equal(w->m.body, "@releaseDomain");
    talk(w, XS_IS_DOMAIN_INTRODUCED, S("1"));
    assert_string_equal(w->m.body, "F");
    fake_domain_down(&w->f, 1);
    assert_null(domain_find(&w->f.s, 1));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(honest), T(request_meanwhile), T(request_unannounced), T(notice_without_reply), T(foreign_map),
        T(indices), T(overwritten), T(protocol), T(reconnect),
        T(no_replies_taken), T(no_events_taken), T(outstanding_across), T(soft_reset),
        T(reused_number), T(dying),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
