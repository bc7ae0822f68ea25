/* SPDX-License-Identifier: MIT */
/*
 * Guests without control that map each other's grants (vchan, driver domains): the page alone is what
 * the mapper's process gets a descriptor of, and only for as long as it is mapped; granters that run,
 * do not stop, wait themselves, move, give up the page or go.
 */
#include "tests/unit/core_harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hypervisor/core/foreign.h"
#include "hypervisor/core/grant_table.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/engine/engine.h"

#define AT   0x1000ull
#define HOLE 0x5000ull
#define GPA(gfn) ((gfn) * 4096)

static struct grant_entry_v1 *v1(struct th *h, domid_t d)
{
    assert_int_equal(gnt_grow(domain_find(h->core, d), 1), 0);
    return (void *)(th_proc(h, d)->xen + KL_XEN_GRANT_FRAMES * 4096);
}

/* Domain d grants its frame 4 + i to `to` as reference 20 + i. */
static void grant(struct th *h, domid_t d, domid_t to, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        v1(h, d)[20 + i] = (struct grant_entry_v1){ GTF_permit_access, to, 4 + i };
    }
}

static void start_map(struct th *h, domid_t d, domid_t from, uint32_t ref, uint64_t gfn, uint32_t flags)
{
    struct gnttab_map_grant_ref m = { .host_addr = GPA(gfn), .flags = GNTMAP_host_map | flags, .ref = ref,
                                      .dom = from, .status = 77 };
    struct kl_hypercall c = { .op = __HYPERVISOR_grant_table_op,
                              .arg = { GNTTABOP_map_grant_ref, AT, 1 } };

    tg_write(h, d, AT, &m, sizeof(m));
    tg_start(h, d, 0, &c);
}

static bool map_done(struct th *h, domid_t d, int *status, uint32_t *handle)
{
    struct gnttab_map_grant_ref m;
    long rc;

    if (!tg_done(h, d, 0, &rc, NULL)) {
        return false;
    }
    assert_int_equal(rc, 0);
    tg_read(h, d, AT, &m, sizeof(m));
    *status = m.status;
    *handle = m.handle;
    return true;
}

static int map_flags(struct th *h, domid_t d, domid_t from, uint32_t ref, uint64_t gfn, uint32_t flags,
                     uint32_t *handle)
{
    int status;

    start_map(h, d, from, ref, gfn, flags);
    for (int i = 0; i < 1000; i++) {
        if (map_done(h, d, &status, handle)) {
            return status;
        }
    }
    fail_msg("the map did not end");
    return 0;
}

static int map(struct th *h, domid_t d, domid_t from, uint32_t ref, uint64_t gfn, uint32_t *handle)
{
    return map_flags(h, d, from, ref, gfn, 0, handle);
}

static int unmap(struct th *h, domid_t d, uint64_t gfn, uint32_t handle)
{
    struct gnttab_unmap_grant_ref u = { .host_addr = GPA(gfn), .handle = handle, .status = 77 };

    tg_write(h, d, AT, &u, sizeof(u));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, AT, 1), 0);
    tg_read(h, d, AT, &u, sizeof(u));
    return u.status;
}

/* Nothing is apart any more: at once, or when it is time again. */
static void wait_home(struct th *h)
{
    for (int i = 0; i < 10000 && h->core->pages_apart; i++) {
        usleep(1000);
        th_turn(h);
    }
    assert_int_equal(h->core->pages_apart, 0);
}

static uint64_t fd_size(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return (uint64_t)st.st_size;
}

static void test_there_and_back(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 16);
    struct domain *o = domain_find(h->core, d);
    uint8_t byte = 0x31;
    uint32_t a;
    int kept;

    grant(h, d, me, 1);
    tg_write(h, d, GPA(4) + 9, &byte, 1);
    assert_int_equal(map(h, me, d, 20, HOLE, &a), GNTST_okay);
    /* both see it at the same descriptor, which holds that page and nothing else */
    assert_int_equal(fd_size(tg_foreign(h, me, HOLE)->fd), 4096);
    assert_int_equal(tg_foreign(h, me, HOLE)->page, 0);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 9), 0x31);
    assert_int_equal(tg_foreign_put(h, me, HOLE, 10, 0x32), 0);
    assert_int_equal(tg_foreign_get(h, d, 4, 10), 0x32);
    assert_int_equal(gpa_read(o, GPA(4) + 10, &byte, 1), 0);
    assert_int_equal(byte, 0x32);
    assert_null(tg_foreign(h, d, 5));
    assert_int_equal(o->tot_pages, 16);
    /* a second map of it, and an end of one of them, change nothing */
    uint32_t b;
    assert_int_equal(map(h, me, d, 20, HOLE + 1, &b), GNTST_okay);
    assert_int_equal(h->core->pages_apart, 1);
    assert_int_equal(unmap(h, me, HOLE + 1, b), GNTST_okay);
    assert_int_equal(h->core->pages_apart, 1);
    kept = dup(tg_foreign(h, me, HOLE)->fd);
    assert_int_equal(unmap(h, me, HOLE, a), GNTST_okay);
    assert_null(tg_foreign(h, me, HOLE));
    wait_home(h);
    assert_null(tg_foreign(h, d, 4));
    tg_read(h, d, GPA(4) + 10, &byte, 1);
    assert_int_equal(byte, 0x32);
    /* who kept the descriptor sees nothing of what comes later */
    byte = 0x99;
    tg_write(h, d, GPA(4) + 10, &byte, 1);
    assert_int_equal(pread(kept, &byte, 1, 10), 1);
    assert_int_equal(byte, 0x32);
    close(kept);
    assert_int_equal(o->held.used, 0);
    assert_int_equal(o->memory_users, 0);
    assert_int_equal(o->hold_count, 0);
}

static void test_readonly(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 16);
    uint32_t a;

    grant(h, d, me, 1);
    v1(h, d)[20].flags |= GTF_readonly;
    assert_int_equal(map(h, me, d, 20, HOLE, &a), GNTST_general_error);
    assert_int_equal(h->core->pages_apart, 0);
    assert_int_equal(map_flags(h, me, d, 20, HOLE, GNTMAP_readonly, &a), GNTST_okay);
    assert_int_equal(tg_foreign(h, me, HOLE)->type, ENGINE_GFN_ROM);
    assert_int_equal(tg_foreign_put(h, me, HOLE, 0, 1), -1);
    assert_int_equal(tg_foreign_put(h, d, 4, 0, 1), 0);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 0), 1);
}

/* A granter that runs is stopped for the moment that the copy takes, once for a list of one. */
static void test_running(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 16);
    struct gnttab_map_grant_ref m[8];
    unsigned stops;

    grant(h, d, me, 8);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    assert_true(th_proc(h, d)->running);
    stops = th_proc(h, d)->stops;
    for (unsigned i = 0; i < 8; i++) {
        m[i] = (struct gnttab_map_grant_ref){ .host_addr = GPA(HOLE + i), .flags = GNTMAP_host_map,
                                              .ref = 20 + i, .dom = d };
    }
    tg_write(h, me, AT, m, sizeof(m));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, AT, 8), 0);
    tg_read(h, me, AT, m, sizeof(m));
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(m[i].status, GNTST_okay);
    }
    th_turn(h);
    assert_int_equal(th_proc(h, d)->stops, stops + 1);
    assert_true(th_proc(h, d)->running);
    assert_int_equal(h->core->pages_apart, 8);
    /* their way home: together, or nearly so */
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(unmap(h, me, HOLE + i, m[i].handle), GNTST_okay);
    }
    wait_home(h);
    th_turn(h);
    assert_true(th_proc(h, d)->running);
    assert_true(th_proc(h, d)->stops <= stops + 4);
    assert_int_equal(domain_find(h->core, d)->hold_count, 0);
}

/* A granter that takes its time: its mapper waits, others do not. */
static void test_slow(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 2, 64), d = th_domain(h, 1, 16);
    uint32_t a;
    int status;

    grant(h, d, me, 2);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    th_proc(h, d)->hold_stop = true;
    start_map(h, me, d, 20, HOLE, 0);
    assert_false(map_done(h, me, &status, &a));
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, me), 0);
    assert_false(map_done(h, me, &status, &a));
    tg_stopped(h, d);
    assert_true(map_done(h, me, &status, &a));
    assert_int_equal(status, GNTST_okay);
    th_turn(h);
    assert_true(th_proc(h, d)->running);
    /* one that ends while it is waited for */
    start_map(h, me, d, 21, HOLE + 1, 0);
    assert_false(map_done(h, me, &status, &a));
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_true(map_done(h, me, &status, &a));
    assert_int_equal(status, GNTST_bad_domain);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 0), 0);
}

/* Two that want each other to stop: one gets "try again". */
static void test_mutual(void **state)
{
    struct th *h = *state;
    domid_t a = th_domain(h, 1, 64), b = th_domain(h, 1, 64);
    uint32_t handle;
    int status;

    grant(h, a, b, 1);
    grant(h, b, a, 1);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, a), 0);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, b), 0);
    th_turn(h);
    th_proc(h, a)->hold_stop = th_proc(h, b)->hold_stop = true;
    start_map(h, a, b, 20, HOLE, 0);
    assert_false(map_done(h, a, &status, &handle));
    start_map(h, b, a, 20, HOLE, 0);
    assert_true(map_done(h, b, &status, &handle));
    assert_int_equal(status, GNTST_eagain);
    tg_stopped(h, b);
    assert_true(map_done(h, a, &status, &handle));
    assert_int_equal(status, GNTST_okay);
    th_turn(h);
    start_map(h, b, a, 20, HOLE, 0);
    assert_false(map_done(h, b, &status, &handle));
    tg_stopped(h, a);
    assert_true(map_done(h, b, &status, &handle));
    assert_int_equal(status, GNTST_okay);
}

/* One that the other's granter, a domain with control, wants to stop meanwhile gets it, too. */
static void test_mutual_control(void **state)
{
    struct th *h = *state;
    domid_t ctl = th_domain(h, 1, 64), b = th_domain(h, 1, 64);
    struct xen_domctl op = { .cmd = XEN_DOMCTL_pausedomain, .domain = b,
                             .interface_version = XEN_DOMCTL_INTERFACE_VERSION };
    struct kl_hypercall c = { .op = __HYPERVISOR_domctl, .arg = { AT } };
    uint32_t handle;
    int status;
    long rc;

    domain_find(h->core, ctl)->control = true;
    grant(h, ctl, b, 1);
    tg_write(h, ctl, AT, &op, sizeof(op));
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, ctl), 0);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, b), 0);
    th_turn(h);
    th_proc(h, ctl)->hold_stop = th_proc(h, b)->hold_stop = true;
    start_map(h, b, ctl, 20, HOLE, 0);
    assert_false(map_done(h, b, &status, &handle));
    tg_start(h, ctl, 0, &c);
    assert_true(map_done(h, b, &status, &handle));
    assert_int_equal(status, GNTST_eagain);
    assert_int_equal(domain_find(h->core, ctl)->hold_count, 0);
    assert_false(tg_done(h, ctl, 0, &rc, NULL));
    tg_stopped(h, b);
    assert_true(tg_done(h, ctl, 0, &rc, NULL));
    assert_int_equal(rc, 0);
    tg_stopped(h, ctl);
    th_turn(h);
    assert_true(th_proc(h, ctl)->running);
    domain_find(h->core, ctl)->control = false;
}

/* A ring of three; and a mapper can be paused although its granter does not stop. */
static void test_ring(void **state)
{
    struct th *h = *state;
    domid_t ctl = th_domain(h, 1, 64), d = th_domain(h, 1, 64), e = th_domain(h, 1, 64);
    uint32_t handle;
    int status;

    domain_find(h->core, ctl)->control = true;
    grant(h, e, d, 1);
    grant(h, ctl, e, 1);
    for (domid_t i = ctl; i <= e; i++) {
        assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, i), 0);
        th_turn(h);
        th_proc(h, i)->hold_stop = true;
    }
    start_map(h, d, e, 20, HOLE, 0);
    assert_false(map_done(h, d, &status, &handle));
    start_map(h, e, ctl, 20, HOLE, 0);
    assert_true(map_done(h, e, &status, &handle));
    assert_int_equal(status, GNTST_eagain);
    th_proc(h, d)->hold_stop = false;
    assert_int_equal(th_simple(h, XEN_DOMCTL_pausedomain, d), 0);
    assert_true(map_done(h, d, &status, &handle));
    assert_int_equal(status, GNTST_eagain);
    assert_int_equal(domain_find(h->core, e)->hold_count, 0);
    tg_stopped(h, e);
    th_turn(h);
    assert_true(th_proc(h, e)->running);
    domain_find(h->core, ctl)->control = false;
}

/* A granter is not kept from running by a list that goes on and on. */
static void test_long_list(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 16);
    static struct gnttab_map_grant_ref m[400];
    unsigned stops;

    grant(h, d, me, 8);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    stops = th_proc(h, d)->stops;
    for (unsigned i = 0; i < KR_ARRAY_SIZE(m); i++) {
        m[i] = (struct gnttab_map_grant_ref){ .host_addr = GPA(HOLE + i), .flags = GNTMAP_host_map,
                                              .ref = i % 399 ? 99 : 20 + i / 399, .dom = d };
    }
    tg_write(h, me, GPA(32), m, sizeof(m));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, GPA(32),
                                  400), 0);
    tg_read(h, me, GPA(32), m, sizeof(m));
    assert_int_equal(m[0].status, GNTST_okay);
    assert_int_equal(m[399].status, GNTST_okay);
    assert_int_equal(th_proc(h, d)->stops, stops + 2);
}

/* The mapper dies while it waits, and while it has maps. */
static void test_mapper_goes(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 16);
    uint32_t a;
    int status;

    grant(h, d, me, 3);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    assert_int_equal(map(h, me, d, 20, HOLE, &a), GNTST_okay);
    assert_int_equal(tg_foreign_put(h, me, HOLE, 0, 0x44), 0);
    th_proc(h, d)->hold_stop = true;
    start_map(h, me, d, 21, HOLE + 1, 0);
    assert_false(map_done(h, me, &status, &a));
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, me), 0);
    th_proc(h, d)->hold_stop = false;
    tg_stopped(h, d);
    wait_home(h);
    th_turn(h);
    assert_true(th_proc(h, d)->running);
    uint8_t byte;
    tg_read(h, d, GPA(4), &byte, 1);
    assert_int_equal(byte, 0x44);
    assert_int_equal(v1(h, d)[20].flags, GTF_permit_access);
    assert_int_equal(domain_find(h->core, d)->hold_count, 0);
    assert_int_equal(domain_find(h->core, d)->held.used, 0);
}

/* The granter moves the page, gives it up, goes. */
static void test_granter(void **state)
{
    struct th *h = *state;
    uint64_t before = h->core->host.given_pages;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 16);
    struct xen_add_to_physmap p = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn, .idx = 4, .gpfn = 60 };
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    struct domain *o = domain_get(domain_find(h->core, d));
    uint64_t gfn = 5;
    uint8_t byte = 0x21;
    uint32_t a, b, c;

    grant(h, d, me, 3);
    tg_write(h, d, GPA(5), &byte, 1);
    assert_int_equal(map(h, me, d, 20, HOLE, &a), GNTST_okay);
    assert_int_equal(map(h, me, d, 21, HOLE + 1, &b), GNTST_okay);
    assert_int_equal(map(h, me, d, 22, HOLE + 2, &c), GNTST_okay);
    tg_write(h, d, AT, &p, sizeof(p));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, AT, 0), 0);
    assert_null(tg_foreign(h, d, 4));
    assert_int_equal(tg_foreign_put(h, d, 60, 0, 0x45), 0);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 0), 0x45);
    assert_int_equal(unmap(h, me, HOLE, a), GNTST_okay);
    for (int i = 0; i < 10000 && h->core->pages_apart > 2; i++) {
        usleep(1000);
        th_turn(h);
    }
    assert_null(tg_foreign(h, d, 60));
    assert_int_equal(gpa_read(o, GPA(60), &byte, 1), 0);
    assert_int_equal(byte, 0x45);
    /* given up while mapped */
    r.extent_start.p = (void *)(uintptr_t)0x2000;
    tg_write(h, d, 0x2000, &gfn, 8);
    tg_write(h, d, AT, &r, sizeof(r));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, AT, 0), 1);
    assert_int_equal(tg_foreign_get(h, me, HOLE + 1, 0), 0x21);
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_populate_physmap, AT, 0), 1);
    assert_int_equal(gpa_read(o, GPA(5), &byte, 1), 0);
    assert_int_equal(byte, 0);
    assert_int_equal(o->tot_pages, 17);
    assert_int_equal(unmap(h, me, HOLE + 1, b), GNTST_okay);
    assert_int_equal(o->tot_pages, 16);
    assert_int_equal(h->core->pages_apart, 1);
    /* gone while mapped */
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(tg_foreign_get(h, me, HOLE + 2, 0), 0);
    assert_int_equal(h->core->host.given_pages, before + 64 + 1);
    assert_int_equal(unmap(h, me, HOLE + 2, c), GNTST_okay);
    assert_int_equal(h->core->host.given_pages, before + 64);
    assert_int_equal(h->core->pages_apart, 0);
    assert_int_equal(o->refs, 1);
    domain_put(o);
}

/* A page on its way home is given up, or granted and mapped once more, or its owner goes. */
static void test_on_its_way(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 16);
    struct domain *o = domain_find(h->core, d);
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    uint64_t gfn = 5;
    uint32_t a[4];

    grant(h, d, me, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(map(h, me, d, 20 + i, HOLE + i, &a[i]), GNTST_okay);
    }
    o->held.last_home = core_now() + 1000000000000ull;    /* "just now", for the rest of the test */
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(unmap(h, me, HOLE + i, a[i]), GNTST_okay);
    }
    assert_int_equal(h->core->pages_apart, 4);
    assert_int_equal(o->held.nr, 0);
    assert_int_equal(map(h, me, d, 20, HOLE, &a[0]), GNTST_okay);
    assert_int_equal(o->held.nr_homeless, 3);
    r.extent_start.p = (void *)(uintptr_t)0x2000;
    tg_write(h, d, 0x2000, &gfn, 8);
    tg_write(h, d, AT, &r, sizeof(r));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, AT, 0), 1);
    assert_int_equal(o->held.nr_homeless, 2);
    assert_int_equal(h->core->pages_apart, 3);
    assert_int_equal(o->tot_pages, 15);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(h->core->pages_apart, 1);
    assert_int_equal(unmap(h, me, HOLE, a[0]), GNTST_okay);
    assert_int_equal(h->core->pages_apart, 0);
    assert_int_equal(h->core->host.given_pages, 64);
}

static long give_up(struct th *h, domid_t d, unsigned op, uint64_t gfn)
{
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };

    r.extent_start.p = (void *)(uintptr_t)0x2000;
    tg_write(h, d, 0x2000, &gfn, 8);
    tg_write(h, d, AT, &r, sizeof(r));
    return tg_hypercall(h, d, __HYPERVISOR_memory_op, op, AT, 0);
}

/*
 * The owner gives up the last page that is on its way home, while nobody holds any: what it uses the
 * page for next is its own, and stays where it is.
 */
static void test_last_given_up(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 16);
    struct domain *o = domain_find(h->core, d);
    uint8_t byte = 0x31;
    uint32_t a;
    int kept;

    grant(h, d, me, 1);
    assert_int_equal(map(h, me, d, 20, HOLE, &a), GNTST_okay);
    kept = dup(tg_foreign(h, me, HOLE)->fd);
    o->held.last_home = core_now() + 1000000000000ull;
    assert_int_equal(unmap(h, me, HOLE, a), GNTST_okay);
    assert_int_equal(o->held.nr_homeless, 1);
    assert_int_equal(give_up(h, d, XENMEM_decrease_reservation, 4), 1);
    assert_int_equal(h->core->pages_apart, 0);
    assert_int_equal(o->held.used, 0);
    assert_int_equal(o->tot_pages, 15);
    assert_int_equal(give_up(h, d, XENMEM_populate_physmap, 4), 1);
    assert_int_equal(gpa_write(o, GPA(4), &byte, 1), 0);
    assert_int_equal(pread(kept, &byte, 1, 0), 1);
    assert_int_equal(byte, 0);
    tg_read(h, d, GPA(4), &byte, 1);
    assert_int_equal(byte, 0x31);
    close(kept);
}

/* Many come home in turns of the loop, each with one message to the owner's process. */
static void test_many(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 200);
    struct domain *o = domain_find(h->core, d);
    uint32_t a[140];
    unsigned maps;
    uint8_t byte;

    h->core->max_pages_apart = 1000;
    grant(h, d, me, 140);
    for (unsigned i = 0; i < 140; i++) {
        assert_int_equal(map(h, me, d, 20 + i, HOLE + i, &a[i]), GNTST_okay);
        assert_int_equal(tg_foreign_put(h, me, HOLE + i, 5, (uint8_t)i), 0);
    }
    o->held.last_home = core_now() + 1000000000000ull;
    for (unsigned i = 0; i < 140; i++) {
        assert_int_equal(unmap(h, me, HOLE + i, a[i]), GNTST_okay);
    }
    assert_int_equal(o->held.nr_homeless, 140);
    maps = th_proc(h, d)->maps;
    o->held.last_home = 0;
    page_bring_home(o);
    assert_int_equal(o->held.nr_homeless, 12);
    wait_home(h);
    assert_int_equal(o->held.used, 0);
    assert_int_equal(o->hold_count, 0);
    assert_true(th_proc(h, d)->maps <= maps + 2);
    for (unsigned i = 0; i < 140; i++) {
        assert_null(tg_foreign(h, d, 4 + i));
        tg_read(h, d, GPA(4 + i) + 5, &byte, 1);
        assert_int_equal(byte, i);
    }
}

/* A page comes home, or goes, in the very call that has shown it to somebody. */
static void test_shown_and_gone(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 64);
    struct domain *o = domain_find(h->core, d), *m = domain_find(h->core, me);
    struct gnttab_map_grant_ref op = { .host_addr = GPA(HOLE + 1), .flags = GNTMAP_host_map, .ref = 21,
                                       .dom = d };
    struct xen_add_to_physmap_batch b = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn, .size = 2 };
    uint64_t idx[2] = { 5, 6 }, gfn[2] = { 80, 80 };
    int32_t err[2] = { 1, 1 };
    uint32_t a;

    grant(h, d, me, 2);
    v1(h, d)[20].flags |= GTF_readonly;
    assert_int_equal(map_flags(h, me, d, 20, HOLE, GNTMAP_readonly, &a), GNTST_okay);
    /* the result cannot be written, so the map is taken back */
    assert_int_equal(gpa_write(o, GPA(4), &op, sizeof(op)), 0);
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, GPA(HOLE), 1),
                     -EFAULT);
    th_turn(h);
    assert_false(m->proc_killed);
    assert_null(tg_foreign(h, me, HOLE + 1));
    assert_int_equal(o->held.nr, 1);
    /* the owner moves a page that is on its way home, and puts another in its place */
    assert_int_equal(map(h, me, d, 21, HOLE + 1, &a), GNTST_okay);
    o->held.last_home = core_now() + 1000000000000ull;
    assert_int_equal(unmap(h, me, HOLE + 1, a), GNTST_okay);
    assert_int_equal(h->core->pages_apart, 2);
    b.idxs.p = (void *)(uintptr_t)0x2000;
    b.gpfns.p = (void *)(uintptr_t)0x2100;
    b.errs.p = (void *)(uintptr_t)0x2200;
    tg_write(h, d, AT, &b, sizeof(b));
    tg_write(h, d, 0x2000, idx, sizeof(idx));
    tg_write(h, d, 0x2100, gfn, sizeof(gfn));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, AT, 0), 0);
    tg_read(h, d, 0x2200, err, sizeof(err));
    assert_int_equal(err[0] | err[1], 0);
    th_turn(h);
    assert_false(o->proc_killed);
    assert_null(tg_foreign(h, d, 80));
    assert_int_equal(h->core->pages_apart, 1);
    assert_int_equal(o->tot_pages, 63);
}

/* A page that somebody has mapped where it is cannot be moved; there is a limit to what can. */
static void test_refused(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64), d = th_domain(h, 1, 16), two = th_domain(h, 1, 64);
    struct kw_gnt_map *m = calloc(1, sizeof(*m) + sizeof(m->ref[0]));
    uint8_t reply[256];
    struct kw_gnt_map_reply *mr = (void *)reply;
    uint32_t a, b;

    grant(h, d, me, 8);
    v1(h, d)[40] = (struct grant_entry_v1){ GTF_permit_access, 0, 4 };
    *m = (struct kw_gnt_map){ { KW_GNT_MAP, 0 }, 1, PROT_READ | PROT_WRITE };
    m->ref[0] = (struct kw_gnt_ref){ d, 40 };
    assert_int_equal(tc_call(h, &h->c, m, sizeof(*m) + sizeof(m->ref[0]), reply, sizeof(reply)), 0);
    assert_int_equal(map(h, me, d, 20, HOLE, &a), GNTST_eagain);
    assert_int_equal(v1(h, d)[20].flags, GTF_permit_access);
    struct kw_gnt_unmap u = { { KW_GNT_UNMAP, 0 }, mr->handle };
    assert_int_equal(tc_call(h, &h->c, &u, sizeof(u), NULL, 0), 0);
    assert_int_equal(map(h, me, d, 20, HOLE, &a), GNTST_okay);
    /* now that it is apart, a host client and a further guest get it from there */
    assert_int_equal(tc_call(h, &h->c, m, sizeof(*m) + sizeof(m->ref[0]), reply, sizeof(reply)), 0);
    assert_int_equal(fd_size(h->c.fds[0]), 4096);
    assert_int_equal(mr->run[0].page, 0);
    v1(h, d)[41] = (struct grant_entry_v1){ GTF_permit_access, two, 4 };
    assert_int_equal(map(h, two, d, 41, HOLE, &b), GNTST_okay);
    assert_int_equal(h->core->pages_apart, 1);
    assert_int_equal(tg_foreign_put(h, two, HOLE, 0, 0x12), 0);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 0), 0x12);

    h->core->max_pages_apart = 8;    /* a quarter for one */
    assert_int_equal(map(h, me, d, 21, HOLE + 1, &b), GNTST_okay);
    assert_int_equal(map(h, me, d, 22, HOLE + 2, &b), GNTST_no_space);
    h->core->max_pages_apart = 2;
    assert_int_equal(map(h, me, d, 22, HOLE + 2, &b), GNTST_no_space);
    assert_int_equal(v1(h, d)[22].flags, GTF_permit_access);
    assert_int_equal(domain_find(h->core, d)->gt.pinned, 4);
    free(m);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, th_setup, th_teardown)
    static const struct CMUnitTest tests[] = {
        T(test_there_and_back), T(test_readonly), T(test_running), T(test_slow), T(test_mutual),
        T(test_mutual_control), T(test_ring),
        T(test_long_list),
        T(test_mapper_goes), T(test_granter), T(test_on_its_way), T(test_last_given_up), T(test_many),
        T(test_shown_and_gone), T(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
