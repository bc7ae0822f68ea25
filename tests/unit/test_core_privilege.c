/* SPDX-License-Identifier: MIT */
/*
 * What guests may do to others: nothing without control, whatever they try; with it what Xen's domain 0
 * may, through their own memory, but not to themselves what they would have to wait for.
 */
#include "tests/unit/core_harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/physdev.h>
#include <xen/platform.h>

#include "hypervisor/core/console.h"
#include "tests/guests/named.h"

#define AT  0x1000ull
#define BUF 0x8000ull

static domid_t privileged(struct th *h)
{
    domid_t d = th_domain(h, 1, 64);

    domain_find(h->core, d)->control = true;
    return d;
}

/* All numbers of the ops whose number lies in the argument, well beyond those that exist. */
static void test_numbers(void **state)
{
    static const unsigned calls[] = { __HYPERVISOR_domctl, __HYPERVISOR_sysctl, __HYPERVISOR_platform_op };
    static const uint32_t version[] = { XEN_DOMCTL_INTERFACE_VERSION, XEN_SYSCTL_INTERFACE_VERSION,
                                        XENPF_INTERFACE_VERSION };
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 16), other = th_domain(h, 1, 16);
    struct domain *o = domain_find(h->core, other);
    unsigned domains = h->core->nr_domains;

    for (unsigned c = 0; c < 3; c++) {
        for (uint32_t cmd = 0; cmd < 1100; cmd++) {
            uint8_t arg[256] = { 0 };
            uint32_t head[2] = { cmd, version[c] };

            memcpy(arg, head, sizeof(head));
            memcpy(arg + 8, &other, sizeof(other));
            tg_write(h, me, AT, arg, sizeof(arg));
            assert_int_equal(tg_hypercall(h, me, calls[c], AT, 0, 0), -EPERM);
        }
    }
    assert_int_equal(h->core->nr_domains, domains);
    assert_int_equal(o->pause_count, 1);
    assert_false(o->dying || o->shutting_down);
}

static const struct named *find_named(const struct hc_rule *r)
{
    for (unsigned i = 0; i < NR_NAMED; i++) {
        if (named_ops[i].call == r->hypercall && named_ops[i].sub == r->sub) {
            return &named_ops[i];
        }
    }
    return NULL;
}

static void test_named(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 16), other = th_domain(h, 1, 16);
    unsigned tried = 0;

    for (unsigned i = 0; i < hc_nr_rules; i++) {
        const struct named *n = find_named(&hc_rules[i]);
        domid_t domids[] = { other, 0, 300, DOMID_XEN, DOMID_IO };

        if (hc_rules[i].who != WHO_GUEST) {
            continue;
        }
        if (!n) {
            fail_msg("%s names a domain, but nobody tries it here", hc_rules[i].name);
        }
        for (unsigned k = 0; k < KR_ARRAY_SIZE(domids); k++) {
            _Alignas(8) uint8_t arg[256] = { 0 };
            int16_t got;

            named_fill(n, arg, domids[k]);
            tg_write(h, me, AT, arg, sizeof(arg));
            got = (int16_t)tg_hypercall(h, me, n->call, n->sub, AT, 1);
            if (n->status_at != NAMED_RC) {
                assert_int_equal(got, 0);
                tg_read(h, me, AT, arg, sizeof(arg));
                memcpy(&got, arg + n->status_at, sizeof(got));
            }
            if (got != n->expect) {
                fail_msg("%s of domain %u: %d, not %d", n->name, domids[k], got, n->expect);
            }
        }
        tried++;
    }
    assert_int_equal(tried, NR_NAMED);
    assert_int_equal(domain_find(h->core, other)->tot_pages, 16);
    assert_int_equal(domain_find(h->core, other)->evt->used, 0);
}

static long domctl(struct th *h, domid_t by, uint32_t cmd, domid_t d, struct xen_domctl *op)
{
    long rc;

    op->cmd = cmd;
    op->domain = d;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    tg_write(h, by, AT, op, sizeof(*op));
    rc = tg_hypercall(h, by, __HYPERVISOR_domctl, AT, 0, 0);
    tg_read(h, by, AT, op, sizeof(*op));
    return rc;
}

static long sysctl(struct th *h, domid_t by, uint32_t cmd, struct xen_sysctl *op)
{
    long rc;

    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    tg_write(h, by, AT, op, sizeof(*op));
    rc = tg_hypercall(h, by, __HYPERVISOR_sysctl, AT, 0, 0);
    tg_read(h, by, AT, op, sizeof(*op));
    return rc;
}

/* A domain's life, all of it by a guest with control. */
static void test_build(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d;
    struct xen_domctl op = { 0 };
    struct xen_domctl_createdomain *cfg = &op.u.createdomain;
    struct xen_memory_reservation r = { .nr_extents = 512 };
    uint64_t gfns[512];

    cfg->flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
    cfg->max_vcpus = 1;
    cfg->max_evtchn_port = 1023;
    cfg->max_grant_frames = 4;
    cfg->grant_opts = 2;
    cfg->arch.emulation_flags = XEN_X86_EMU_LAPIC;
    assert_int_equal(domctl(h, me, XEN_DOMCTL_createdomain, 0, &op), 0);
    d = op.domain;
    assert_false(domain_find(h->core, d)->control);
    op.u.max_vcpus.max = 1;
    assert_int_equal(domctl(h, me, XEN_DOMCTL_max_vcpus, d, &op), 0);
    op.u.max_mem.max_memkb = 4096;
    assert_int_equal(domctl(h, me, XEN_DOMCTL_max_mem, d, &op), 0);
    for (unsigned i = 0; i < 512; i++) {
        gfns[i] = i;
    }
    r.domid = d;
    r.extent_start.p = (void *)(uintptr_t)(BUF + 8);    /* across two pages */
    tg_write(h, me, BUF + 8, gfns, sizeof(gfns));
    tg_write(h, me, AT, &r, sizeof(r));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_memory_op, XENMEM_populate_physmap, AT, 0), 512);
    assert_int_equal(domain_find(h->core, d)->tot_pages, 512);
    assert_int_equal(th_proc(h, d)->mapped, 512);
    assert_int_equal(domctl(h, me, XEN_DOMCTL_unpausedomain, d, &op), 0);
    th_turn(h);
    assert_true(th_proc(h, d)->running);
    assert_int_equal(domctl(h, me, XEN_DOMCTL_getdomaininfo, d, &op), 0);
    assert_int_equal(op.u.getdomaininfo.tot_pages, 512);
    assert_int_equal(domctl(h, me, XEN_DOMCTL_pausedomain, d, &op), 0);
    assert_false(th_proc(h, d)->running);
    assert_int_equal(domctl(h, me, XEN_DOMCTL_destroydomain, d, &op), 0);
    assert_null(domain_find(h->core, d));
    assert_int_equal(domctl(h, me, XEN_DOMCTL_destroydomain, d, &op), -ESRCH);
}

/* Itself and the host are not for these. */
static void test_self(void **state)
{
    static const uint32_t others_only[] = {
        XEN_DOMCTL_destroydomain, XEN_DOMCTL_pausedomain, XEN_DOMCTL_getvcpucontext,
        XEN_DOMCTL_gethvmcontext, XEN_DOMCTL_sethvmcontext, XEN_DOMCTL_gethvmcontext_partial,
    };
    struct th *h = *state;
    domid_t me = privileged(h);
    struct xen_domctl op;

    for (unsigned i = 0; i < KR_ARRAY_SIZE(others_only); i++) {
        memset(&op, 0, sizeof(op));
        assert_int_equal(domctl(h, me, others_only[i], me, &op), -EINVAL);
        memset(&op, 0, sizeof(op));
        assert_int_equal(domctl(h, me, others_only[i], DOMID_SELF, &op), -ESRCH);    /* no domctl takes it */
        memset(&op, 0, sizeof(op));
        assert_int_equal(domctl(h, me, others_only[i], 0, &op), -EINVAL);
    }
    memset(&op, 0, sizeof(op));
    assert_int_equal(domctl(h, me, XEN_DOMCTL_getdomaininfo, me, &op), 0);
    assert_int_equal(op.u.getdomaininfo.tot_pages, 64);
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION - 1;
    op.cmd = XEN_DOMCTL_getdomaininfo;
    tg_write(h, me, AT, &op, sizeof(op));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_domctl, AT, 0, 0), -EACCES);
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_sysctl, AT, 0, 0), -EACCES);
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_platform_op, AT, 0, 0), -EACCES);
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_domctl, 63 * 4096 + 4000, 0, 0), -EFAULT);
    assert_int_equal(domctl(h, me, 999, me, &op), -ENOSYS);
}

/* Buffers of many pages, and buffers that end in nothing. */
static void test_buffers(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 2, 16);
    struct xen_sysctl s = { 0 };
    struct xen_domctl op = { 0 };
    struct xen_domctl_getdomaininfo info[2];

    for (unsigned i = 0; i < 40; i++) {
        th_domain(h, 1, 4);
    }
    s.u.getdomaininfolist.max_domains = 100;
    s.u.getdomaininfolist.buffer.p = (void *)(uintptr_t)(BUF + 100);
    assert_int_equal(sysctl(h, me, XEN_SYSCTL_getdomaininfolist, &s), 0);
    assert_int_equal(s.u.getdomaininfolist.num_domains, 43);
    tg_read(h, me, BUF + 100 + 41 * sizeof(info[0]), info, sizeof(info));
    assert_int_equal(info[1].domain, info[0].domain + 1);
    assert_int_equal(info[1].tot_pages, 4);
    /* the end of memory in the middle */
    s.u.getdomaininfolist.max_domains = 100;
    s.u.getdomaininfolist.buffer.p = (void *)(uintptr_t)(63 * 4096);
    assert_int_equal(sysctl(h, me, XEN_SYSCTL_getdomaininfolist, &s), -EFAULT);

    for (unsigned i = 0; i < 2; i++) {
        th_proc(h, d)->state->vcpu[i].load = KL_LOAD_CPU | KL_LOAD_LAPIC | KL_LOAD_LAPIC_REGS;
    }
    op.u.hvmcontext.size = 65536;
    op.u.hvmcontext.buffer.p = (void *)(uintptr_t)(BUF + 4000);
    assert_int_equal(domctl(h, me, XEN_DOMCTL_gethvmcontext, d, &op), 0);
    assert_true(op.u.hvmcontext.size > 1024 && op.u.hvmcontext.size < 65536);
    assert_int_equal(domctl(h, me, XEN_DOMCTL_sethvmcontext, d, &op), 0);
    op.u.hvmcontext.buffer.p = (void *)(uintptr_t)(63 * 4096);
    op.u.hvmcontext.size = 65536;
    assert_int_equal(domctl(h, me, XEN_DOMCTL_gethvmcontext, d, &op), -EFAULT);

    memset(&op, 0, sizeof(op));
    op.u.cpu_policy.nr_leaves = 200;
    op.u.cpu_policy.leaves.p = (void *)(uintptr_t)(BUF + 12);
    op.u.cpu_policy.nr_msrs = 10;
    op.u.cpu_policy.msrs.p = (void *)(uintptr_t)(BUF + 0x4000);
    assert_int_equal(domctl(h, me, XEN_DOMCTL_get_cpu_policy, d, &op), 0);
    assert_true(op.u.cpu_policy.nr_leaves > 0);
    assert_int_equal(domctl(h, me, XEN_DOMCTL_set_cpu_policy, d, &op), 0);
}

/* Channels on behalf of others, as xenstored, xenconsoled and backends use them. */
static void test_channels(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct evtchn_alloc_unbound u = { .dom = d, .remote_dom = DOMID_SELF };
    struct evtchn_bind_interdomain b = { .remote_dom = d };
    struct evtchn_status st = { .dom = d };
    struct evtchn_bind_virq v = { .virq = VIRQ_DOM_EXC };
    struct evtchn_reset reset = { .dom = d };
    uint64_t count;

    tg_write(h, me, AT, &u, sizeof(u));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, AT, 0), 0);
    tg_read(h, me, AT, &u, sizeof(u));
    assert_int_equal(evtchn_from_port(domain_find(h->core, d), u.port)->remote_domid, me);
    b.remote_port = u.port;
    tg_write(h, me, AT, &b, sizeof(b));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, AT, 0), 0);
    tg_read(h, me, AT, &b, sizeof(b));
    th_turn(h);
    assert_int_equal(th_proc(h, d)->port[u.port].kind, KL_PORT_INTERDOMAIN);
    assert_int_equal(th_proc(h, me)->port[b.local_port].kind, KL_PORT_INTERDOMAIN);
    assert_int_equal(domain_find(h->core, me)->paid_channels, 0);
    st.port = u.port;
    tg_write(h, me, AT, &st, sizeof(st));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_event_channel_op, EVTCHNOP_status, AT, 0), 0);
    tg_read(h, me, AT, &st, sizeof(st));
    assert_int_equal(st.status, EVTCHNSTAT_interdomain);
    assert_int_equal(st.u.interdomain.dom, me);
    tg_write(h, me, AT, &reset, sizeof(reset));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_event_channel_op, EVTCHNOP_reset, AT, 0), 0);
    th_turn(h);
    assert_int_equal(th_proc(h, d)->port[u.port].kind, KL_PORT_CLOSED);
    assert_int_equal(th_proc(h, me)->port[b.local_port].kind, KL_PORT_UNBOUND);

    /* the VIRQ of a domain's end; only the domain 0 of this machine gets it */
    h->core->dom0 = domain_find(h->core, me);
    tg_write(h, me, AT, &v, sizeof(v));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, AT, 0), 0);
    tg_read(h, me, AT, &v, sizeof(v));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, AT, 0), -EEXIST);
    assert_int_equal(th_proc(h, me)->port[v.port].kind, KL_PORT_VIRQ);
    assert_true(th_proc(h, me)->port[v.port].recv >= 0);
    assert_int_equal(read(th_proc(h, me)->port[v.port].recv, &count, 8), -1);
    domain_shutdown(domain_find(h->core, d), 0);
    th_turn(h);
    assert_int_equal(read(th_proc(h, me)->port[v.port].recv, &count, 8), 8);
    h->core->dom0 = h->core->host_dom;
}

/* A guest without control binds the same VIRQ and hears nothing. */
static void test_virq_unprivileged(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 16);
    struct evtchn_bind_virq v = { .virq = VIRQ_DOM_EXC };

    tg_write(h, me, AT, &v, sizeof(v));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, AT, 0), 0);
    tg_read(h, me, AT, &v, sizeof(v));
    assert_int_equal(th_proc(h, me)->port[v.port].recv, -1);
    assert_int_equal(evtchn_from_port(domain_find(h->core, me), v.port)->virq_fd, -1);
}

static void read_ring(struct th *h, domid_t me, bool clear, bool incremental, uint32_t *index,
                      char *text, uint32_t size)
{
    struct xen_sysctl s = { 0 };

    s.u.readconsole.clear = clear;
    s.u.readconsole.incremental = incremental;
    s.u.readconsole.index = *index;
    s.u.readconsole.count = size - 1;
    s.u.readconsole.buffer.p = (void *)(uintptr_t)(BUF + 50);
    assert_int_equal(sysctl(h, me, XEN_SYSCTL_readconsole, &s), 0);
    assert_true(s.u.readconsole.count < size);
    tg_read(h, me, BUF + 50, text, s.u.readconsole.count);
    text[s.u.readconsole.count] = '\0';
    *index = s.u.readconsole.index;
}

/* xl dmesg, xl dmesg -c and xenconsoled's way of following the ring. */
static void test_console_ring(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h);
    uint32_t index = 0;
    char text[8192];

    read_ring(h, me, true, false, &index, text, sizeof(text));
    console_put(h->core, "first\n", 6);
    read_ring(h, me, false, true, &index, text, sizeof(text));
    assert_string_equal(text, "first\n");
    read_ring(h, me, false, true, &index, text, sizeof(text));
    assert_string_equal(text, "");
    console_put(h->core, "second\n", 7);
    read_ring(h, me, false, true, &index, text, 4);
    assert_string_equal(text, "sec");
    read_ring(h, me, false, true, &index, text, sizeof(text));
    assert_string_equal(text, "ond\n");
    read_ring(h, me, true, false, &index, text, sizeof(text));
    assert_string_equal(text, "first\nsecond\n");
    read_ring(h, me, false, false, &index, text, sizeof(text));
    assert_string_equal(text, "");
    /* far behind: what is left of the ring, not garbage */
    for (unsigned i = 0; i < 2 * KR_CON_RING_SIZE / 8; i++) {
        console_put(h->core, "0123456\n", 8);
    }
    read_ring(h, me, false, true, &index, text, sizeof(text));
    assert_memory_equal(text, "0123456\n0123456\n", 16);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, th_setup, th_teardown)
    static const struct CMUnitTest tests[] = {
        T(test_numbers), T(test_named), T(test_build), T(test_self), T(test_buffers), T(test_channels),
        T(test_virq_unprivileged), T(test_console_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
