/* SPDX-License-Identifier: MIT */
/*
 * A domain's life, memory, contexts and who may do what, through wire.h with a fake domain process.
 */
#include "tests/unit/core_harness.h"
#include "hypervisor/core/console.h"
#include "hypervisor/core/cpu_policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/hvm/save.h>
#include <xen/hypfs.h>
#include <xen/sched.h>
#include <xen/version.h>

static struct xen_domctl_getdomaininfo info_of(struct th *h, domid_t domid, long *rc)
{
    struct xen_domctl op = { .cmd = XEN_DOMCTL_getdomaininfo, .domain = domid };

    *rc = tc_domctl(h, &h->c, &op);
    return op.u.getdomaininfo;
}

static void test_life(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 2, 1024);
    struct tp *p = th_proc(h, d);
    struct xen_domctl_getdomaininfo i;
    long rc;

    assert_int_equal(d, 1);
    assert_int_equal(p->nr_vcpus, 2);
    assert_true(p->got_policy);
    assert_int_equal(p->mapped, 1024);
    i = info_of(h, d, &rc);
    assert_int_equal(rc, 0);
    assert_true(i.flags & XEN_DOMINF_paused);
    assert_true(i.flags & XEN_DOMINF_hvm_guest);
    assert_int_equal(i.tot_pages, 1024);
    assert_int_equal(i.max_vcpu_id, 1);
    assert_false(p->running);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    assert_true(p->running);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), -EINVAL);
    assert_int_equal(th_simple(h, XEN_DOMCTL_pausedomain, d), 0);
    assert_false(p->running);
    assert_int_equal(th_simple(h, XEN_DOMCTL_pausedomain, d), 0);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    assert_false(p->running);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    assert_true(p->running);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    info_of(h, d, &rc);
    assert_int_equal(rc, -ESRCH);
    assert_int_equal(h->core->host.given_pages, 0);
    assert_int_equal(h->core->nr_domains, 1);
}

/* Pausing answers when the vCPUs stand still, not before; other clients are served meanwhile. */
static void test_pause_waits(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct tp *p = th_proc(h, d);
    struct xen_domctl op = { .cmd = XEN_DOMCTL_pausedomain, .domain = d,
                             .interface_version = XEN_DOMCTL_INTERFACE_VERSION };
    struct kw_hypercall m = { { KW_HYPERCALL, 77 }, __HYPERVISOR_domctl, { A(0) } };
    struct kl_hdr stopped = { KL_STOPPED, sizeof(stopped) };
    struct kw_hypercall_reply r;
    struct tc other;
    long rc;

    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    p->hold_stop = true;
    tc_open(h, &other);
    memcpy(other.arena, &op, sizeof(op));
    tc_send(&other, &m, sizeof(m));
    th_turn(h);
    assert_int_equal(p->stops, 1);
    assert_int_equal(recv(other.sock, &r, sizeof(r), MSG_DONTWAIT), -1);
    info_of(h, d, &rc);
    assert_int_equal(rc, 0);
    p->running = false;
    send(p->sock, &stopped, sizeof(stopped), MSG_NOSIGNAL);
    th_turn(h);
    assert_int_equal(recv(other.sock, &r, sizeof(r), MSG_DONTWAIT), sizeof(r));
    assert_int_equal(r.ret, 0);
    /* A stop that nobody asked for is a lie: the process is killed, the domain crashes. */
    send(p->sock, &stopped, sizeof(stopped), MSG_NOSIGNAL);
    th_turn(h);
    assert_true(info_of(h, d, &rc).flags & XEN_DOMINF_shutdown);
    tc_close(h, &other);
}

static void test_process_dies(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct tp *p = th_proc(h, d);
    struct kw_evtchn v = { { KW_EVTCHN_VIRQ, 0 }, 0, VIRQ_DOM_EXC };
    struct kw_port_reply r;
    struct xen_domctl_getdomaininfo i;
    uint64_t count;
    long rc;

    assert_int_equal(tc_call(h, &h->c, &v, sizeof(v), &r, sizeof(r)), 0);
    assert_int_equal(h->c.nr_fds, 1);
    int exc = dup(h->c.fds[0]);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    assert_int_equal(read(exc, &count, 8), -1);
    close(p->sock);
    p->sock = -1;
    th_turn(h);
    assert_int_equal(read(exc, &count, 8), 8);
    i = info_of(h, d, &rc);
    assert_int_equal(rc, 0);
    assert_true(i.flags & XEN_DOMINF_shutdown);
    assert_int_equal(i.flags >> XEN_DOMINF_shutdownshift & 255, SHUTDOWN_crash);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(read(exc, &count, 8), 8);
    close(exc);
}

static void test_guest_shutdown(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct sched_shutdown s = { SHUTDOWN_reboot };
    struct kl_hypercall m = { .op = __HYPERVISOR_sched_op, .arg = { SCHEDOP_shutdown, 0x100 } };
    struct xen_domctl_getdomaininfo i;
    uint32_t flags = 0;
    long rc;

    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    tg_write(h, d, 0x100, &s, sizeof(s));
    assert_int_equal(tg_raw(h, d, 0, &m, &flags), 0);
    assert_true(flags & KL_RET_STOP);
    th_turn(h);
    i = info_of(h, d, &rc);
    assert_true(i.flags & XEN_DOMINF_shutdown);
    assert_int_equal(i.flags >> XEN_DOMINF_shutdownshift & 255, SHUTDOWN_reboot);
    assert_int_equal(th_simple(h, XEN_DOMCTL_resumedomain, d), 0);
    th_turn(h);
    assert_true(th_proc(h, d)->running);
}

static void test_garbage_from_process(void **state)
{
    struct th *h = *state;
    static const uint8_t junk[64] = { 1, 2, 3 };
    long rc;

    for (size_t len = 1; len <= sizeof(junk); len += 7) {
        domid_t d = th_domain(h, 1, 4);

        send(th_proc(h, d)->sock, junk, len, MSG_NOSIGNAL);
        th_turn(h);
        assert_true(info_of(h, d, &rc).flags & XEN_DOMINF_shutdown);
        d = th_domain(h, 1, 4);
        send(th_proc(h, d)->vcpu[0], junk, len, MSG_NOSIGNAL);
        th_turn(h);
        assert_true(info_of(h, d, &rc).flags & XEN_DOMINF_shutdown);
    }
}

static void test_memory_limits(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 64);
    struct xen_domctl op = { .cmd = XEN_DOMCTL_max_mem, .domain = d };
    uint64_t left = h->core->host.total_pages - h->core->host.reserve_pages;

    /* the domain's own maximum: 64 + 256 */
    assert_int_equal(tc_populate(h, &h->c, d, 1000, 300, 0), 256);
    assert_int_equal(h->core->host.given_pages, 320);
    /* occupied frames, misaligned extents, frames beyond the address space */
    assert_int_equal(tc_populate(h, &h->c, d, 0, 1, 0), 0);
    assert_int_equal(tc_populate(h, &h->c, d, 1ull << 28, 1, 0), 0);
    assert_int_equal(tc_populate(h, &h->c, d, UINT64_MAX, 1, 0), 0);
    op.u.max_mem.max_memkb = 1ull << 30;
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(tc_populate(h, &h->c, d, 4097, 1, 9), 0);
    assert_int_equal(tc_populate(h, &h->c, d, 8192, 1, 9), 1);
    /* what the host has: a domain that would get more gets ENOMEM's answer before any harm */
    h->core->host.reserve_pages = h->core->host.total_pages - 900;
    assert_int_equal(tc_populate(h, &h->c, d, 16384, 1, 9), 0);
    assert_int_equal(tc_populate(h, &h->c, d, 16384, 100, 0), 68);
    assert_int_equal(h->core->host.given_pages, 900);
    h->core->host.reserve_pages = h->core->host.total_pages - left;
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(h->core->host.given_pages, 0);
}

static void test_claims(void **state)
{
    struct th *h = *state;
    domid_t a = th_domain(h, 1, 0), b = th_domain(h, 1, 0);
    struct xen_memory_reservation r = { .nr_extents = 200, .domid = a };

    h->core->host.reserve_pages = h->core->host.total_pages - 250;
    memcpy(h->c.arena, &r, sizeof(r));
    assert_int_equal(
        tc_hypercall(h, &h->c, __HYPERVISOR_memory_op, XENMEM_claim_pages, A(0), 0, 0, 0), 0);
    assert_int_equal(h->core->host.claimed_pages, 200);
    assert_int_equal(tc_populate(h, &h->c, b, 0, 100, 0), 50);
    assert_int_equal(tc_populate(h, &h->c, a, 0, 150, 0), 150);
    assert_int_equal(h->core->host.claimed_pages, 50);
    /* dropping the claim gives the rest to others */
    r.nr_extents = 0;
    memcpy(h->c.arena, &r, sizeof(r));
    assert_int_equal(
        tc_hypercall(h, &h->c, __HYPERVISOR_memory_op, XENMEM_claim_pages, A(0), 0, 0, 0), 0);
    assert_int_equal(tc_populate(h, &h->c, b, 50, 100, 0), 50);
    assert_int_equal(h->core->host.given_pages, 250);
}

/* XENMEM_set_pod_target, or get_ with the answer in *t. */
static long pod_op(struct th *h, unsigned op, domid_t domid, uint64_t target,
                   struct xen_pod_target *t)
{
    long rc;

    *t = (struct xen_pod_target){ .domid = domid, .target_pages = target };
    memcpy(h->c.arena, t, sizeof(*t));
    rc = tc_hypercall(h, &h->c, __HYPERVISOR_memory_op, op, A(0), 0, 0, 0);
    memcpy(t, h->c.arena, sizeof(*t));
    return rc;
}

static long populate_on_demand(struct th *h, domid_t domid, uint64_t gfn, uint64_t nr)
{
    return tc_reservation(h, &h->c, XENMEM_populate_physmap, domid, gfn, nr, 0,
                          XENMEMF_populate_on_demand);
}

/* A domain with fewer pages than frames, as a builder makes one: the books of pod.h. */
static void test_populate_on_demand(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 0);    /* its maximum is 256 pages */
    struct xen_pod_target t;

    assert_int_equal(pod_op(h, XENMEM_set_pod_target, d, 257, &t), -EINVAL);
    assert_int_equal(pod_op(h, XENMEM_set_pod_target, d, 100, &t), 0);
    assert_int_equal(h->core->host.given_pages, 100);
    assert_int_equal(populate_on_demand(h, d, 0, 300), 300);
    assert_int_equal(populate_on_demand(h, d, 299, 1), 0);
    assert_int_equal(th_proc(h, d)->mapped, 300);
    assert_int_equal(h->core->host.given_pages, 100);
    assert_int_equal(pod_op(h, XENMEM_get_pod_target, d, 0, &t), 0);
    assert_int_equal(t.tot_pages, 100);
    assert_int_equal(t.pod_cache_pages, 100);
    assert_int_equal(t.pod_entries, 300);
    /* what the guest touches comes out of the cache */
    assert_int_equal(fallocate(th_proc(h, d)->ram_fd, 0, 0, 30 * 4096), 0);
    assert_int_equal(pod_op(h, XENMEM_get_pod_target, d, 0, &t), 0);
    assert_int_equal(t.pod_cache_pages, 70);
    assert_int_equal(t.pod_entries, 270);
    /* other frames are accounted at once, up to the maximum */
    assert_int_equal(tc_populate(h, &h->c, d, 1000, 50, 0), 50);
    assert_int_equal(h->core->host.given_pages, 150);
    /* what comes back pays what is owed (200) first, whichever frames they are */
    assert_int_equal(tc_reservation(h, &h->c, XENMEM_decrease_reservation, d, 1000, 50, 0, 0), 50);
    assert_int_equal(h->core->host.given_pages, 150);
    /* a higher target pays some of the 150 that are still owed, a lower one takes nothing back */
    assert_int_equal(pod_op(h, XENMEM_set_pod_target, d, 200, &t), 0);
    assert_int_equal(pod_op(h, XENMEM_set_pod_target, d, 10, &t), 0);
    assert_int_equal(t.tot_pages, 200);
    assert_int_equal(tc_reservation(h, &h->c, XENMEM_decrease_reservation, d, 0, 120, 0, 0), 120);
    assert_int_equal(h->core->host.given_pages, 180);
    /* nothing is owed any more: targets are met */
    assert_int_equal(pod_op(h, XENMEM_set_pod_target, d, 250, &t), 0);
    assert_int_equal(t.tot_pages, 180);
    assert_int_equal(t.pod_cache_pages, 0);
    assert_int_equal(t.pod_entries, 0);
    /* the host has no more: the builder is told */
    d = th_domain(h, 1, 0);
    h->core->host.reserve_pages = h->core->host.total_pages - 200;
    assert_int_equal(pod_op(h, XENMEM_set_pod_target, d, 100, &t), -ENOMEM);
    assert_int_equal(pod_op(h, XENMEM_set_pod_target, d, 20, &t), 0);
    assert_int_equal(populate_on_demand(h, d, 0, 40), 40);
    assert_int_equal(pod_op(h, XENMEM_set_pod_target, d, 100, &t), -ENOMEM);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(h->core->host.given_pages, 180);
}

/* More of its pages are held than it was accounted when it goes: nobody is charged for the difference. */
static void test_held_on_demand(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 4);
    struct domain *dom = domain_find(h->core, d);
    struct kw_gnt_map *m = calloc(1, sizeof(*m) + 8 * sizeof(m->ref[0]));
    union {
        struct kw_gnt_map_reply r;
        uint8_t bytes[sizeof(struct kw_gnt_map_reply) + 8 * sizeof(struct kw_run)];
    } reply;
    struct kw_gnt_unmap u = { .h = { KW_GNT_UNMAP, 0 } };
    struct grant_entry_v1 *e = (void *)(th_proc(h, d)->xen + KL_XEN_GRANT_FRAMES * 4096);

    assert_int_equal(populate_on_demand(h, d, 16, 8), 8);
    dom->max_pages = 4;
    assert_int_equal(gnt_grow(dom, 1), 0);
    *m = (struct kw_gnt_map){ { KW_GNT_MAP, 0 }, 8, PROT_READ | PROT_WRITE };
    for (unsigned i = 0; i < 8; i++) {
        e[20 + i] = (struct grant_entry_v1){ GTF_permit_access, 0, 16 + i };
        m->ref[i] = (struct kw_gnt_ref){ d, 20 + i };
    }
    assert_int_equal(tc_call(h, &h->c, m, sizeof(*m) + 8 * sizeof(m->ref[0]), &reply, sizeof(reply)), 0);
    assert_int_equal(h->core->host.given_pages, 4);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(h->core->host.given_pages, 4);
    u.handle = reply.r.handle;
    assert_int_equal(tc_call(h, &h->c, &u, sizeof(u), NULL, 0), 0);
    assert_int_equal(h->core->host.given_pages, 0);
    free(m);
}

/* A client that makes another call of a destruction while that is under way. */
static void test_changing_call(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct xen_domctl op = { .cmd = XEN_DOMCTL_destroydomain, .domain = d,
                             .interface_version = XEN_DOMCTL_INTERFACE_VERSION };
    struct kw_hypercall m = { { KW_HYPERCALL, 0 }, __HYPERVISOR_domctl, { A(0) } };
    struct kw_hypercall_reply r;

    memcpy(h->c.arena, &op, sizeof(op));
    tc_send(&h->c, &m, sizeof(m));
    while (!domain_find(h->core, d)->dying) {
        assert_true(sd_event_run(h->event, 0) >= 0);
    }
    op.cmd = XEN_DOMCTL_gethvmcontext;
    memcpy(h->c.arena, &op, sizeof(op));
    th_turn(h);
    assert_int_equal(recv(h->c.sock, &r, sizeof(r), MSG_DONTWAIT), sizeof(r));
    assert_int_equal(r.ret, -EINVAL);
    assert_null(domain_find(h->core, d));
}

/* A domain does not put off its own pages; one that uses more than it has crashes. */
static void test_out_of_memory_on_demand(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 64);
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF,
                                        .mem_flags = XENMEMF_populate_on_demand };
    uint64_t gfn = 100;
    struct domain *dom = domain_find(h->core, d);
    struct xen_pod_target t;

    r.extent_start.p = (void *)0x2000;
    tg_write(h, d, 0x1000, &r, sizeof(r));
    tg_write(h, d, 0x2000, &gfn, sizeof(gfn));
    assert_int_equal(
        tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_populate_physmap, 0x1000, 0), 0);

    /* as much as it likes while nothing is owed: its process may not, but that is not for pod.c */
    assert_int_equal(fallocate(th_proc(h, d)->ram_fd, 0, 0, (POD_SLACK_PAGES + 64) * 4096ull), 0);
    assert_int_equal(populate_on_demand(h, d, 1000, 10), 10);
    assert_int_equal(pod_op(h, XENMEM_get_pod_target, d, 0, &t), 0);
    assert_int_equal(t.tot_pages, 64);
    assert_int_equal(t.pod_cache_pages, 0);
    assert_int_equal(t.pod_entries, 10);
    for (int i = 0; i < 5; i++) {
        usleep(60000);
        th_turn(h);
    }
    assert_false(dom->shutting_down);
    assert_int_equal(fallocate(th_proc(h, d)->ram_fd, 0, 0, (POD_SLACK_PAGES + 65) * 4096ull), 0);
    for (int i = 0; i < 1000 && !dom->shutting_down; i++) {
        usleep(10000);
        th_turn(h);
    }
    assert_true(dom->shutting_down);
    assert_int_equal(dom->shutdown_code, SHUTDOWN_crash);
}

static void test_balloon(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 128);
    struct xen_memory_reservation r = { .nr_extents = 10, .domid = DOMID_SELF };
    uint64_t gfn[10];
    char secret[8] = "secret!", zero[8] = { 0 }, got[8];

    for (int i = 0; i < 10; i++) {
        gfn[i] = 20 + i;
    }
    r.extent_start.p = (void *)0x2000;
    tg_write(h, d, 0x1000, &r, sizeof(r));
    tg_write(h, d, 0x2000, gfn, sizeof(gfn));
    tg_write(h, d, 25 * 4096, secret, 8);
    assert_int_equal(
        tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, 0x1000, 0), 10);
    assert_int_equal(th_proc(h, d)->unmapped, 10);
    assert_int_equal(h->core->host.given_pages, 118);
    tg_read(h, d, 25 * 4096, got, 8);
    assert_memory_equal(got, zero, 8);
    /* again: nothing there any more */
    assert_int_equal(
        tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, 0x1000, 0), 0);
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_populate_physmap, 0x1000, 0),
                     10);
    assert_int_equal(h->core->host.given_pages, 128);
    r.domid = 0;
    tg_write(h, d, 0x1000, &r, sizeof(r));
    assert_int_equal(
        tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, 0x1000, 0), 0);
    /* extent lists and orders that a guest makes up */
    r.domid = DOMID_SELF;
    r.nr_extents = 1ull << 60;
    tg_write(h, d, 0x1000, &r, sizeof(r));
    tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_populate_physmap, 0x1000, 0);
    r.nr_extents = 1;
    r.extent_order = 18;
    tg_write(h, d, 0x1000, &r, sizeof(r));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_populate_physmap, 0x1000, 0),
                     0);
}

static long add(struct th *h, domid_t d, unsigned space, uint64_t idx, uint64_t gpfn)
{
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = space, .idx = idx, .gpfn = gpfn };

    tg_write(h, d, 0x3000, &a, sizeof(a));
    return tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, 0x3000, 0);
}

static void test_physmap(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 128);
    struct tp *p = th_proc(h, d);
    struct kw_map_foreign *m = calloc(1, sizeof(*m) + 3 * 8);
    uint8_t reply[512];
    struct kw_map_reply *r = (void *)reply;
    long rc;

    /* shared_info over RAM: that RAM goes away */
    assert_int_equal(add(h, d, XENMAPSPACE_shared_info, 0, 50), 0);
    assert_int_equal(h->core->host.given_pages, 127);
    assert_int_equal(info_of(h, d, &rc).shared_info_frame, 50);
    /* moving it leaves nothing at the old place */
    assert_int_equal(add(h, d, XENMAPSPACE_shared_info, 0, 60), 0);
    assert_int_equal(add(h, d, XENMAPSPACE_shared_info, 1, 61), -EINVAL);
    assert_int_equal(add(h, d, XENMAPSPACE_grant_table, 0, 1000), 0);
    assert_int_equal(add(h, d, XENMAPSPACE_grant_table, 63, 1001), 0);
    assert_int_equal(add(h, d, XENMAPSPACE_grant_table, 64, 1002), -EINVAL);
    assert_int_equal(add(h, d, XENMAPSPACE_grant_table, UINT64_MAX, 1002), -EINVAL);
    assert_int_equal(add(h, d, XENMAPSPACE_gmfn, 70, 2000), 0);
    assert_int_equal(add(h, d, XENMAPSPACE_gmfn, 70, 2001), -EINVAL);
    assert_int_equal(add(h, d, XENMAPSPACE_gmfn, 71, 1ull << 40), -EINVAL);
    /* a foreign map of RAM, a Xen page and a hole */
    m->h.op = KW_MAP_FOREIGN;
    m->domid = d;
    m->prot = PROT_READ | PROT_WRITE;
    m->nr = 3;
    m->gfn[0] = 1;
    m->gfn[1] = 60;
    m->gfn[2] = 50;
    assert_int_equal(tc_call(h, &h->c, m, sizeof(*m) + 24, reply, sizeof(reply)), 0);
    assert_int_equal(r->nr_runs, 3);
    assert_int_equal(h->c.nr_fds, 2);
    assert_int_equal(r->run[0].page, 1);
    assert_int_equal(r->run[1].page, KL_XEN_SHARED_INFO);
    assert_true(r->run[2].fd < 0);
    assert_int_equal((int64_t)r->run[2].page, -EINVAL);
    /* lengths that do not add up */
    assert_int_equal(tc_call(h, &h->c, m, sizeof(*m) + 16, reply, sizeof(reply)), -EINVAL);
    m->nr = 100000;
    assert_int_equal(tc_call(h, &h->c, m, sizeof(*m) + 24, reply, sizeof(reply)), -EINVAL);
    assert_true(p->maps > 0);
    free(m);
}

/* A read-only foreign map cannot be made writable. */
static void test_read_only_map(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 8);
    union {
        struct kw_map_foreign m;
        uint8_t bytes[sizeof(struct kw_map_foreign) + 8];
    } m = { .m = { .nr = 0 } };
    uint8_t reply[256];

    m.m.h.op = KW_MAP_FOREIGN;
    m.m.domid = d;
    m.m.prot = PROT_READ;
    m.m.nr = 1;
    assert_int_equal(tc_call(h, &h->c, &m, sizeof(m), reply, sizeof(reply)), 0);
    assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, h->c.fds[0], 0) == MAP_FAILED);
    void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, h->c.fds[0], 0);
    assert_true(p != MAP_FAILED);
    munmap(p, 4096);
}

static void test_params(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 8);
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ, .value = 5 };

    tg_write(h, d, 0x100, &p, sizeof(p));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_hvm_op, HVMOP_set_param, 0x100, 0), 0);
    assert_int_equal(th_proc(h, d)->param.value, 5);
    for (uint32_t i = 0; i < HVM_NR_PARAMS + 3; i++) {
        long rc;

        p.index = i;
        p.value = 0;
        tg_write(h, d, 0x100, &p, sizeof(p));
        rc = tg_hypercall(h, d, __HYPERVISOR_hvm_op, HVMOP_set_param, 0x100, 0);
        if (i == HVM_PARAM_STORE_EVTCHN || i == HVM_PARAM_IDENT_PT || i == HVM_PARAM_CONSOLE_PFN) {
            assert_int_equal(rc, -EPERM);
        }
        assert_true(rc == 0 || rc == -EPERM || rc == -EINVAL);
        assert_int_equal(rc == -EINVAL && i >= HVM_NR_PARAMS, i >= HVM_NR_PARAMS);
    }
    /* another domain's parameters */
    p = (struct xen_hvm_param){ .domid = 0, .index = HVM_PARAM_STORE_PFN };
    tg_write(h, d, 0x100, &p, sizeof(p));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_hvm_op, HVMOP_get_param, 0x100, 0), -EPERM);
    /* the control domain's way, with a once-only parameter */
    p = (struct xen_hvm_param){ .domid = d, .index = HVM_PARAM_IOREQ_SERVER_PFN, .value = 7 };
    memcpy(h->c.arena, &p, sizeof(p));
    assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_hvm_op, HVMOP_set_param, A(0), 0, 0, 0),
                     0);
    p.value = 8;
    memcpy(h->c.arena, &p, sizeof(p));
    assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_hvm_op, HVMOP_set_param, A(0), 0, 0, 0),
                     -EEXIST);
}

/* Every op of the privilege table, and others, tried by a guest: control ops are refused. */
static void test_privilege(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    uint8_t zero[4096] = { 0 };

    for (unsigned i = 0; i < hc_nr_rules; i++) {
        const struct hc_rule *r = &hc_rules[i];
        bool in_arg = r->hypercall != __HYPERVISOR_domctl && r->hypercall != __HYPERVISOR_sysctl &&
                      r->hypercall != __HYPERVISOR_platform_op;
        long rc;

        if (r->who != WHO_CONTROL) {
            continue;
        }
        tg_write(h, d, 0x1000, zero, sizeof(zero));
        if (!in_arg) {
            struct xen_domctl op = { .cmd = r->sub, .interface_version = 0x15, .domain = d };

            tg_write(h, d, 0x1000, &op, sizeof(op));
        }
        rc = tg_hypercall(h, d, r->hypercall, in_arg ? r->sub : 0x1000, 0x1000, 0x1000);
        if (rc != -EPERM) {
            fail_msg("%s: a guest got %ld", r->name, rc);
        }
    }
    for (uint64_t op = 0; op < 70; op++) {
        long rc;

        for (uint64_t sub = 0; sub < 70; sub++) {
            uint64_t cmd = op == __HYPERVISOR_memory_op ? sub & 63 : sub;

            if (hc_who(op, cmd) != WHO_NONE || op == __HYPERVISOR_multicall) {
                continue;
            }
            rc = tg_hypercall(h, d, op, sub, 0x1000, 1);
            assert_true(rc == -ENOSYS || rc == -EPERM);
        }
    }
    assert_int_equal(tg_hypercall(h, d, UINT64_MAX, 0, 0, 0), -ENOSYS);
    /* numbers made up by the hundred take one row */
    unsigned rows = h->core->nr_enosys;
    for (uint64_t op = 0; op < 300; op++) {
        assert_int_equal(tg_hypercall(h, d, 1000 + op * 77, op, 0, 0), -ENOSYS);
        assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_event_channel_op, 5000 + op, 0, 0), -ENOSYS);
    }
    assert_true(h->core->nr_enosys <= rows + 2);
    /* ring 3 makes no hypercalls */
    struct kl_hypercall m = { .op = __HYPERVISOR_xen_version, .cpl = 3 };
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), -EPERM);
    m.cpl = 0;
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), 4 << 16 | 17);
}

static void test_versions_and_arena(void **state)
{
    struct th *h = *state;
    struct xen_domctl op = { .cmd = XEN_DOMCTL_getdomaininfo, .interface_version = 0x14 };
    static const uint64_t bad[] = { 0, ARENA_VA - 1, ARENA_VA + ARENA_SIZE, UINT64_MAX,
                                    ARENA_VA + ARENA_SIZE - 8 };

    memcpy(h->c.arena, &op, sizeof(op));
    assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_domctl, A(0), 0, 0, 0, 0), -EACCES);
    assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_sysctl, A(0), 0, 0, 0, 0), -EACCES);
    for (unsigned i = 0; i < KR_ARRAY_SIZE(bad); i++) {
        assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_domctl, bad[i], 0, 0, 0, 0), -EFAULT);
    }
}

static void test_restricted(void **state)
{
    struct th *h = *state;
    domid_t a = th_domain(h, 1, 8), b = th_domain(h, 1, 8);
    struct kw_domid res = { { KW_RESTRICT, 0 }, a, 0 };
    union {
        struct kw_map_foreign m;
        uint8_t bytes[sizeof(struct kw_map_foreign) + 8];
    } m = { .m = { .nr = 0 } };
    struct kw_evtchn e = { { KW_EVTCHN_UNBOUND, 0 }, b, 0 };
    uint8_t reply[256];
    struct tc c;

    tc_open(h, &c);
    assert_int_equal(tc_call(h, &c, &res, sizeof(res), reply, sizeof(reply)), 0);
    res.domid = b;
    assert_int_equal(tc_call(h, &c, &res, sizeof(res), reply, sizeof(reply)), -EACCES);
    m.m.h.op = KW_MAP_FOREIGN;
    m.m.prot = PROT_READ;
    m.m.nr = 1;
    m.m.domid = b;
    assert_int_equal(tc_call(h, &c, &m, sizeof(m), reply, sizeof(reply)), -EPERM);
    m.m.domid = a;
    assert_int_equal(tc_call(h, &c, &m, sizeof(m), reply, sizeof(reply)), 0);
    assert_int_equal(tc_call(h, &c, &e, sizeof(e), reply, sizeof(reply)), -EPERM);
    e.domid = a;
    assert_int_equal(tc_call(h, &c, &e, sizeof(e), reply, sizeof(reply)), 0);
    for (uint64_t op = 0; op < 60; op++) {
        assert_int_equal(tc_hypercall(h, &c, op, 0, 0, 0, 0, 0), -EPERM);
    }
    tc_close(h, &c);
}

static void test_wire_garbage(void **state)
{
    struct th *h = *state;
    uint8_t buf[256], reply[256];

    for (uint32_t op = 0; op < 40; op++) {
        for (size_t len = sizeof(struct kw_req); len <= 64; len += 4) {
            struct kw_req *r = (void *)buf;

            if (op == KW_RESTRICT) {
                continue;
            }
            memset(buf, 0xa5, sizeof(buf));
            r->op = op;
            if (op == KW_HYPERCALL && len == sizeof(struct kw_hypercall)) {
                continue;
            }
            assert_true(tc_call(h, &h->c, buf, len, reply, sizeof(reply)) < 0);
        }
    }
    /* hello twice, a stranger, too little */
    int sv[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
    assert_null(client_new(h->core, sv[0], geteuid() + 1, 0));
    close(sv[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
    assert_non_null(client_new(h->core, sv[0], geteuid(), 0));
    send(sv[1], "hi", 2, MSG_NOSIGNAL);
    th_turn(h);
    assert_int_equal(recv(sv[1], buf, sizeof(buf), MSG_DONTWAIT), 0);
    close(sv[1]);
}

struct ctx_buf { uint8_t data[65536]; size_t len; };

static void put(struct ctx_buf *b, uint16_t code, uint16_t inst, const void *body, uint32_t len)
{
    struct hvm_save_descriptor d = { code, inst, len };

    memcpy(b->data + b->len, &d, sizeof(d));
    memcpy(b->data + b->len + sizeof(d), body, len);
    b->len += sizeof(d) + len;
}

static void good_context(struct ctx_buf *b, struct hvm_hw_cpu *cpu)
{
    struct hvm_save_header hd = { .magic = HVM_FILE_MAGIC, .version = HVM_FILE_VERSION };

    b->len = 0;
    put(b, HVM_SAVE_CODE(HEADER), 0, &hd, sizeof(hd));
    put(b, HVM_SAVE_CODE(CPU), 0, cpu, sizeof(*cpu));
    put(b, HVM_SAVE_CODE(END), 0, "", 0);
}

static long set_context(struct th *h, domid_t d, const struct ctx_buf *b, size_t len)
{
    struct xen_domctl op = { .cmd = XEN_DOMCTL_sethvmcontext, .domain = d };

    memcpy(h->c.arena, b->data, b->len);
    op.u.hvmcontext.size = (uint32_t)len;
    op.u.hvmcontext.buffer.p = (void *)(uintptr_t)A(0);
    return tc_domctl(h, &h->c, &op);
}

static void test_context(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 2, 8);
    struct tp *p = th_proc(h, d);
    struct hvm_hw_cpu cpu = { .rip = 0x1000, .rbx = 0x2000, .cr0 = 0x11, .rflags = 2 };
    struct ctx_buf *b = calloc(1, sizeof(*b));
    struct xen_domctl op;
    size_t full;

    good_context(b, &cpu);
    full = b->len;
    assert_int_equal(set_context(h, d, b, full), 0);
    assert_int_equal(p->state->vcpu[0].load, KL_LOAD_CPU);
    assert_int_equal(p->state->vcpu[0].online, 1);
    assert_int_equal(p->state->vcpu[0].cpu.rbx, 0x2000);
    assert_int_equal(p->state->vcpu[1].load, 0);
    /* cut anywhere: refused, nothing loaded */
    p->state->vcpu[0].load = 0;
    for (size_t len = 0; len < full; len += 3) {
        assert_true(set_context(h, d, b, len) < 0);
    }
    assert_int_equal(p->state->vcpu[0].load, 0);
    /* impossible CPUs */
    struct hvm_hw_cpu bad = cpu;
    bad.cr0 = 1ull << 31;
    good_context(b, &bad);
    assert_int_equal(set_context(h, d, b, full), -EINVAL);
    bad = cpu;
    bad.msr_efer = 1ull << 10;
    good_context(b, &bad);
    assert_int_equal(set_context(h, d, b, full), -EINVAL);
    /* a record for a vCPU that is not there, lengths that lie, a huge length */
    good_context(b, &cpu);
    ((struct hvm_save_descriptor *)(b->data + 8 + sizeof(struct hvm_save_header)))->instance = 2;
    assert_int_equal(set_context(h, d, b, full), -EINVAL);
    good_context(b, &cpu);
    ((struct hvm_save_descriptor *)(b->data + 8 + sizeof(struct hvm_save_header)))->length =
        0xfffffff8;
    assert_true(set_context(h, d, b, full) < 0);
    assert_int_equal(p->state->vcpu[0].load, 0);
    /* what is read back begins with a header and ends with an end */
    good_context(b, &cpu);
    assert_int_equal(set_context(h, d, b, full), 0);
    op = (struct xen_domctl){ .cmd = XEN_DOMCTL_gethvmcontext, .domain = d };
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    op.cmd = XEN_DOMCTL_gethvmcontext;
    op.u.hvmcontext.buffer.p = (void *)(uintptr_t)A(0);
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(((struct hvm_save_descriptor *)h->c.arena)->typecode, HVM_SAVE_CODE(HEADER));
    memset(h->c.arena + op.u.hvmcontext.size, 0xff, 64);
    bool found = false;
    for (size_t at = 0;;) {
        struct hvm_save_descriptor *ds = (void *)(h->c.arena + at);

        assert_true(at < op.u.hvmcontext.size);
        if (ds->typecode == HVM_SAVE_CODE(END)) {
            assert_int_equal(at + sizeof(*ds), op.u.hvmcontext.size);
            break;
        }
        found |= ds->typecode == HVM_SAVE_CODE(CPU) && ds->instance == 0;
        at += sizeof(*ds) + ds->length;
    }
    assert_true(found);
    free(b);
}

/*
 * getting a context pauses, waits, and lets go; a client that dies meanwhile leaves no pause behind
 */
static void test_context_of_running(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 8);
    struct tp *p = th_proc(h, d);
    struct xen_domctl op = { .cmd = XEN_DOMCTL_gethvmcontext, .domain = d,
                             .interface_version = XEN_DOMCTL_INTERFACE_VERSION };
    struct kw_hypercall m = { { KW_HYPERCALL, 7 }, __HYPERVISOR_domctl, { A(0) } };
    struct kl_hdr stopped = { KL_STOPPED, sizeof(stopped) };
    struct tc c;

    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    op.u.hvmcontext.size = 65536;
    op.u.hvmcontext.buffer.p = (void *)(uintptr_t)A(4096);
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    th_turn(h);
    assert_true(p->running);
    assert_int_equal(p->stops, 1);
    p->hold_stop = true;
    tc_open(h, &c);
    op.u.hvmcontext.size = 65536;
    memcpy(c.arena, &op, sizeof(op));
    tc_send(&c, &m, sizeof(m));
    th_turn(h);
    assert_int_equal(p->stops, 2);
    tc_close(h, &c);
    p->running = false;
    send(p->sock, &stopped, sizeof(stopped), MSG_NOSIGNAL);
    th_turn(h);
    assert_true(p->running);
}

static void test_multicall(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 64);
    struct { uint64_t op, result, args[6]; } e[200];
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    uint64_t gfn = 1000;

    memset(e, 0, sizeof(e));
    for (int i = 0; i < 200; i++) {
        e[i].op = i % 2 ? __HYPERVISOR_multicall : __HYPERVISOR_xen_version;
    }
    r.extent_start.p = (void *)0x8000;
    tg_write(h, d, 0x8000, &gfn, 8);
    tg_write(h, d, 0x9000, &r, sizeof(r));
    e[100].op = __HYPERVISOR_memory_op;
    e[100].args[0] = XENMEM_populate_physmap;
    e[100].args[1] = 0x9000;
    tg_write(h, d, 0x10000, e, sizeof(e));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_multicall, 0x10000, 200, 0), 0);
    tg_read(h, d, 0x10000, e, sizeof(e));
    assert_int_equal(e[0].result, 4 << 16 | 17);
    assert_int_equal((int64_t)e[1].result, -EINVAL);
    assert_int_equal(e[100].result, 1);
    assert_int_equal(e[198].result, 4 << 16 | 17);
    /* the list runs out of memory half-way */
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_multicall, 63 * 4096, 200, 0), -EFAULT);
}

/* 64-bit and PAE page tables, large pages, read-only and missing ones. */
static void test_page_walk(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 1024);
    uint64_t pml4 = 0x10000 | 3, pdpt = 0x11000 | 3, pd[2] = { 0x12000 | 3, 0x200000 | 0x83 };
    uint64_t pt[4] = { 0x30000 | 3, 0x31000 | 1, 0, 0x32000 | 3 };
    struct xen_feature_info fi = { 0 }, got;
    struct kl_hypercall m = { .op = __HYPERVISOR_xen_version, .arg = { XENVER_get_features },
                              .cr0 = 0x80010001, .cr3 = 0xf000, .cr4 = 0x20, .efer = 0x500 };

    tg_write(h, d, 0xf000, &pml4, 8);
    tg_write(h, d, 0x10000, &pdpt, 8);
    tg_write(h, d, 0x11000, pd, 16);
    tg_write(h, d, 0x12000, pt, 32);
    tg_write(h, d, 0x30010, &fi, sizeof(fi));
    m.arg[1] = 0x10;
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), 0);
    tg_read(h, d, 0x30010, &got, sizeof(got));
    assert_true(got.submap != 0);
    m.arg[1] = 0x1010;                       /* read-only with CR0.WP */
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), -EFAULT);
    m.cr0 = 0x80000001;
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), 0);
    m.arg[1] = 0x2ffc;                       /* not present, and across its edge */
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), -EFAULT);
    m.arg[1] = 0x200010;                     /* a 2 MiB page */
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), 0);
    m.arg[1] = 0x8000000000000010ull;        /* not canonical */
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), -EFAULT);
    m.cr3 = 0xfffffffff000ull;               /* page tables nowhere */
    m.arg[1] = 0x10;
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), -EFAULT);
}

static void test_sysctl(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_physinfo };
    struct xen_domctl_getdomaininfo *list = (void *)h->c.arena;

    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    assert_true(op.u.physinfo.capabilities & XEN_SYSCTL_PHYSCAP_hvm);
    assert_int_equal(op.u.physinfo.free_pages,
                     h->core->host.total_pages - h->core->host.reserve_pages - 16);
    op = (struct xen_sysctl){ .cmd = XEN_SYSCTL_getdomaininfolist };
    op.u.getdomaininfolist.max_domains = 10;
    op.u.getdomaininfolist.buffer.p = (void *)(uintptr_t)A(0);
    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    assert_int_equal(op.u.getdomaininfolist.num_domains, 2);
    assert_int_equal(list[0].domain, 0);
    assert_int_equal(list[1].domain, d);
    /* debug keys land in the console ring, which is read and cleared */
    op = (struct xen_sysctl){ .cmd = XEN_SYSCTL_debug_keys };
    strcpy((char *)h->c.arena, "q");
    op.u.debug_keys.keys.p = (void *)(uintptr_t)A(0);
    op.u.debug_keys.nr_keys = 1;
    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    op = (struct xen_sysctl){ .cmd = XEN_SYSCTL_readconsole };
    op.u.readconsole.clear = 1;
    op.u.readconsole.count = 65536;
    op.u.readconsole.buffer.p = (void *)(uintptr_t)A(0);
    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    h->c.arena[op.u.readconsole.count] = 0;
    assert_non_null(strstr((char *)h->c.arena, "domain 1"));
    op.cmd = XEN_SYSCTL_readconsole;
    op.u.readconsole.count = 65536;
    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    assert_int_equal(op.u.readconsole.count, 0);
    /* a clear that reads nothing clears all the same; the ring keeps its last 64 KiB only */
    for (int i = 0; i < 5000; i++) {
        char line[32];

        console_put(h->core, line, (size_t)snprintf(line, sizeof(line), "line %05d ......\n", i));
    }
    op.cmd = XEN_SYSCTL_readconsole;
    op.u.readconsole.clear = 0;
    op.u.readconsole.count = 1 << 20;
    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    assert_int_equal(op.u.readconsole.count, KR_CON_RING_SIZE);
    assert_memory_equal(h->c.arena + KR_CON_RING_SIZE - 18, "line 04999 ......\n", 18);
    op.u.readconsole.clear = 1;
    op.u.readconsole.count = 0;
    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    op.u.readconsole.clear = 0;
    op.u.readconsole.count = 65536;
    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    assert_int_equal(op.u.readconsole.count, 0);
    op = (struct xen_sysctl){ .cmd = XEN_SYSCTL_get_cpu_policy };
    op.u.cpu_policy.index = XEN_SYSCTL_cpu_policy_hvm_default;
    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    assert_true(op.u.cpu_policy.nr_leaves > 5);
    op.cmd = XEN_SYSCTL_get_cpu_policy;
    op.u.cpu_policy.leaves.p = (void *)(uintptr_t)A(0);
    op.u.cpu_policy.nr_leaves = 2;
    assert_int_equal(tc_sysctl(h, &h->c, &op), -ENOBUFS);
}

static void test_policy(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 4);
    struct kl_cpuid_leaf l = { 1, UINT32_MAX, 0x306a9, 0, UINT32_MAX, UINT32_MAX };
    struct xen_domctl op = { .cmd = XEN_DOMCTL_set_cpu_policy, .domain = d };
    const struct kl_cpuid_leaf *now;

    memcpy(h->c.arena, &l, sizeof(l));
    op.u.cpu_policy.nr_leaves = 1;
    op.u.cpu_policy.leaves.p = (void *)(uintptr_t)A(0);
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    now = cpu_policy_leaf(domain_find(h->core, d)->policy, 1, UINT32_MAX);
    assert_int_equal(now->c, 0x80202001);    /* never beyond the engine's */
    l.leaf = 0x90000000;
    memcpy(h->c.arena, &l, sizeof(l));
    assert_int_equal(tc_domctl(h, &h->c, &op), -ERANGE);
    assert_int_equal(op.u.cpu_policy.err_leaf, 0x90000000);
    l.leaf = 0;
    l.a = 0x20;
    memcpy(h->c.arena, &l, sizeof(l));
    assert_int_equal(tc_domctl(h, &h->c, &op), -EINVAL);
}

static void test_bad_create(void **state)
{
    struct th *h = *state;
    struct xen_domctl good = { .cmd = XEN_DOMCTL_createdomain }, op;

    good.u.createdomain.flags = XEN_DOMCTL_CDF_hvm;
    good.u.createdomain.max_vcpus = 1;
    good.u.createdomain.max_evtchn_port = 10;
    good.u.createdomain.arch.emulation_flags = XEN_X86_EMU_LAPIC;
#define BAD(field, value, rc) do { op = good; op.u.createdomain.field = value; \
        assert_int_equal(tc_domctl(h, &h->c, &op), rc); } while (0)
    BAD(flags, 0, -EINVAL);
    BAD(flags, UINT32_MAX, -EINVAL);
    BAD(max_vcpus, 0, -EINVAL);
    BAD(max_vcpus, 129, -EINVAL);
    BAD(max_grant_frames, 100000, -EINVAL);
    BAD(grant_opts, 3, -EINVAL);
    BAD(arch.emulation_flags, XEN_X86_EMU_ALL, -EINVAL);
    BAD(cpupool_id, 1, -ESRCH);
    assert_int_equal(h->nr_procs, 0);
    op = good;
    op.domain = 5;
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(op.domain, 5);
    op = good;
    op.domain = 5;
    assert_int_equal(tc_domctl(h, &h->c, &op), -EEXIST);
    /* the first from a number on, as stock clients enumerate */
    op = (struct xen_domctl){ .cmd = XEN_DOMCTL_getdomaininfo, .domain = 1 };
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(op.domain, 5);
    assert_int_equal(op.u.getdomaininfo.domain, 5);
    op.domain = 6;
    assert_int_equal(tc_domctl(h, &h->c, &op), -ESRCH);
    op.domain = DOMID_FIRST_RESERVED;
    assert_int_equal(tc_domctl(h, &h->c, &op), -EINVAL);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, 0), -EINVAL);
    assert_int_equal(th_simple(h, XEN_DOMCTL_pausedomain, 0), -EINVAL);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, 6), -ESRCH);
    h->core->described = false;
    op = good;
    assert_int_equal(tc_domctl(h, &h->c, &op), -ENODEV);
}

static void test_hypfs(void **state)
{
    struct th *h = *state;
    struct xen_hypfs_direntry *e = (void *)(h->c.arena + 4096);

    strcpy((char *)h->c.arena, "/krypton/engine");
    assert_int_equal(
        tc_hypercall(h, &h->c, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_read, A(0), 16, A(4096), 4096),
        0);
    assert_int_equal(e->type, XEN_HYPFS_TYPE_STRING);
    assert_string_equal((char *)(e + 1), "fake");
    strcpy((char *)h->c.arena, "/");
    assert_int_equal(
        tc_hypercall(h, &h->c, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_read, A(0), 2, A(4096), 4096),
        0);
    assert_string_equal(((struct xen_hypfs_dirlistentry *)(e + 1))->name, "buildinfo");
    assert_int_equal(
        tc_hypercall(h, &h->c, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_read, A(0), 2, A(4096), 10),
        -ENOBUFS);
    assert_int_equal(
        tc_hypercall(h, &h->c, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_read, A(0), 1, A(4096), 10),
        -EINVAL);
}

static void test_vcpus(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 2, 8);
    struct xen_domctl op = { .cmd = XEN_DOMCTL_setvcpuaffinity, .domain = d };
    struct vcpu_guest_context *ctx = (void *)(h->c.arena + 4096);
    struct tp *p = th_proc(h, d);

    /* affinity: an empty effective set is refused, what is given comes back */
    h->c.arena[0] = 1;
    op.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD;
    op.u.vcpuaffinity.cpumap_hard.bitmap.p = (void *)(uintptr_t)A(0);
    op.u.vcpuaffinity.cpumap_hard.nr_bits = 8;
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(h->c.arena[0], 1);
    h->c.arena[0] = 0;
    op.cmd = XEN_DOMCTL_setvcpuaffinity;
    assert_int_equal(tc_domctl(h, &h->c, &op), -EINVAL);
    op.cmd = XEN_DOMCTL_getvcpuaffinity;
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(h->c.arena[0], 1);
    op.u.vcpuaffinity.vcpu = 2;
    assert_int_equal(tc_domctl(h, &h->c, &op), -ESRCH);
    op.u.vcpuaffinity.vcpu = 0;
    op.u.vcpuaffinity.cpumap_hard.nr_bits = UINT32_MAX;
    assert_int_equal(tc_domctl(h, &h->c, &op), -EFAULT);
    /* a process that gives another process's thread as its own gets nothing done to it */
    p->state->vcpu[0].tid = 1;
    op = (struct xen_domctl){ .cmd = XEN_DOMCTL_getvcpuinfo, .domain = d };
    p->state->vcpu[0].run = UINT32_MAX;
    p->state->vcpu[0].online = 7;
    for (int i = 0; i < 4; i++) {
        p->state->vcpu[0].time[i] = UINT64_MAX;
    }
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(op.u.getvcpuinfo.online, 1);
    assert_int_equal(op.u.getvcpuinfo.running, 0);
    assert_true(op.u.getvcpuinfo.cpu_time < 3600ull * 1000000000);
    /* registers in the PV form */
    op = (struct xen_domctl){ .cmd = XEN_DOMCTL_getvcpucontext, .domain = d };
    op.u.vcpucontext.ctxt.p = (void *)(uintptr_t)A(4096);
    assert_int_equal(tc_domctl(h, &h->c, &op), -ENODATA);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    p->state->vcpu[0].cpu.rip = 0x1234;
    p->state->vcpu[0].cpu.cr3 = 0x5000;
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(ctx->user_regs.rip, 0x1234);
    assert_int_equal(ctx->ctrlreg[3], 0x5000);
    op.u.vcpucontext.vcpu = UINT32_MAX;
    assert_int_equal(tc_domctl(h, &h->c, &op), -ESRCH);
}

/* 32-bit callers: their layouts, and pointers that stay below 4 GiB. */
static void test_compat(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 64);
    struct {
        uint32_t start, nr, order, flags;
        uint16_t domid;
    } r = { 0x2000, 4, 0, 0, DOMID_SELF };
    struct {
        uint16_t domid, size;
        uint32_t space, idx, gpfn;
    } a = { DOMID_SELF, 0, XENMAPSPACE_grant_table, 0, 99 };
    struct { uint32_t op, result, args[6];
    } mc[2] = { { .op = __HYPERVISOR_xen_version },
                { .op = __HYPERVISOR_xen_version, .args = { 7 } } };
    uint32_t gfn[4] = { 40, 41, 42, 43 };
    struct kl_hypercall m = { .op = __HYPERVISOR_memory_op, .compat = 1,
                              .arg = { XENMEM_decrease_reservation, 0x1000 } };

    tg_write(h, d, 0x1000, &r, sizeof(r));
    tg_write(h, d, 0x2000, gfn, sizeof(gfn));
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), 4);
    assert_int_equal(h->core->host.given_pages, 60);
    tg_write(h, d, 0x1000, &a, sizeof(a));
    m.arg[0] = XENMEM_add_to_physmap;
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), 0);
    assert_int_equal(p2m_lookup(domain_find(h->core, d), 99).page, KL_XEN_GRANT_FRAMES);
    tg_write(h, d, 0x1000, mc, sizeof(mc));
    m = (struct kl_hypercall){ .op = __HYPERVISOR_multicall, .compat = 1, .arg = { 0x1000, 2 } };
    assert_int_equal(tg_raw(h, d, 0, &m, NULL), 0);
    tg_read(h, d, 0x1000, mc, sizeof(mc));
    assert_int_equal(mc[0].result, 4 << 16 | 17);
    assert_int_equal(mc[1].result, 4096);
}

static void test_suspend_event(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 8);
    struct evtchn_alloc_unbound u = { .dom = d, .remote_dom = 0 };
    struct kw_evtchn e = { { KW_EVTCHN_INTERDOMAIN, 0 }, d, 0 };
    struct xen_domctl op = { .cmd = XEN_DOMCTL_subscribe, .domain = d };
    struct sched_remote_shutdown s = { d, SHUTDOWN_suspend };
    struct kw_port_reply r;
    uint64_t n;

    memcpy(h->c.arena, &u, sizeof(u));
    assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound,
                                  A(0), 0, 0, 0),
                     0);
    memcpy(&u, h->c.arena, sizeof(u));
    e.port = op.u.subscribe.port = u.port;
    assert_int_equal(tc_call(h, &h->c, &e, sizeof(e), &r, sizeof(r)), 0);
    int fd = dup(h->c.fds[0]);
    while (read(fd, &n, 8) == 8) {
    }
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    memcpy(h->c.arena, &s, sizeof(s));
    assert_int_equal(
        tc_hypercall(h, &h->c, __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, A(0), 0, 0, 0), 0);
    th_turn(h);
    assert_int_equal(read(fd, &n, 8), 8);
    close(fd);
}

/* XSA-344 and its like: with the largest arguments no single turn of the loop takes long. */
static void test_time_budget(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 12288);
    struct xen_memory_reservation r = { .nr_extents = 8192, .domid = DOMID_SELF };
    uint64_t *gfn = malloc(8192 * 8);

    for (uint64_t i = 0; i < 8192; i++) {
        gfn[i] = 12287 - i;    /* downwards: no runs */
    }
    r.extent_start.p = (void *)0x10000;
    tg_write(h, d, 0x1000, &r, sizeof(r));
    tg_write(h, d, 0x10000, gfn, 8192 * 8);
    h->max_turn_ns = 0;
    assert_int_equal(
        tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, 0x1000, 0), 8192);
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_populate_physmap, 0x1000, 0),
                     8192);
    tg_hypercall(h, d, __HYPERVISOR_grant_table_op, 5, 0x10000, 5000);
    tg_hypercall(h, d, __HYPERVISOR_multicall, 0x10000, 1000, 0);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    print_message("longest turn: %lu us\n", (unsigned long)(h->max_turn_ns / 1000));
    assert_true(h->max_turn_ns < 50000000);
    free(gfn);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, th_setup, th_teardown)
    const struct CMUnitTest tests[] = {
        T(test_life), T(test_pause_waits), T(test_process_dies), T(test_guest_shutdown),
        T(test_garbage_from_process), T(test_memory_limits), T(test_claims), T(test_balloon),
        T(test_populate_on_demand), T(test_held_on_demand),
        T(test_changing_call), T(test_out_of_memory_on_demand),
        T(test_physmap), T(test_read_only_map), T(test_params), T(test_privilege),
        T(test_versions_and_arena), T(test_restricted), T(test_wire_garbage), T(test_context),
        T(test_context_of_running), T(test_multicall), T(test_page_walk), T(test_sysctl),
        T(test_policy), T(test_bad_create), T(test_hypfs), T(test_vcpus), T(test_compat),
        T(test_suspend_event), T(test_time_budget),
    };

    return cmocka_run_group_tests_name("core_domain", tests, NULL, NULL);
}
