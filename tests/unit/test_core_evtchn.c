/* SPDX-License-Identifier: MIT */
/*
 * Event channels: every state, both kinds of owner, races of closing, limits. XSA 317, 343, 344,
 * 342.
 */
#include "tests/unit/core_harness.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define AT 0x200ull    /* where guests put their arguments */

static long g_op(struct th *h, domid_t d, unsigned op, void *arg, size_t len)
{
    long rc;

    tg_write(h, d, AT, arg, len);
    rc = tg_hypercall(h, d, __HYPERVISOR_event_channel_op, op, AT, 0);
    tg_read(h, d, AT, arg, len);
    return rc;
}

static uint32_t g_unbound(struct th *h, domid_t d, domid_t remote)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = remote };

    assert_int_equal(g_op(h, d, EVTCHNOP_alloc_unbound, &a, sizeof(a)), 0);
    return a.port;
}

static long g_bind(struct th *h, domid_t d, domid_t remote, uint32_t port, uint32_t *local)
{
    struct evtchn_bind_interdomain b = { .remote_dom = remote, .remote_port = port };
    long rc = g_op(h, d, EVTCHNOP_bind_interdomain, &b, sizeof(b));

    *local = b.local_port;
    return rc;
}

static long g_close(struct th *h, domid_t d, uint32_t port)
{
    struct evtchn_close c = { port };

    return g_op(h, d, EVTCHNOP_close, &c, sizeof(c));
}

static uint32_t g_status(struct th *h, domid_t d, uint32_t port)
{
    struct evtchn_status s = { .dom = DOMID_SELF, .port = port };

    assert_int_equal(g_op(h, d, EVTCHNOP_status, &s, sizeof(s)), 0);
    return s.status;
}

static int c_evtchn(struct th *h, struct tc *c, uint32_t op, domid_t domid, uint32_t port,
                    uint32_t *out)
{
    struct kw_evtchn m = { { op, 0 }, domid, port };
    struct kw_port_reply r = { .port = 0 };
    int rc = tc_call(h, c, &m, sizeof(m), &r, sizeof(r));

    if (out) {
        *out = r.port;
    }
    return rc;
}

static bool fired(int fd)
{
    uint64_t n;

    return read(fd, &n, sizeof(n)) == sizeof(n);
}

static void fire(int fd)
{
    uint64_t one = 1;

    assert_int_equal(write(fd, &one, 8), 8);
}

static void test_interdomain(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 8);
    struct tp *p = th_proc(h, d);
    uint32_t gp = g_unbound(h, d, 0), hp, hp2;
    int recv_fd, send_fd;

    assert_true(gp >= 1);
    assert_int_equal(p->port[gp].kind, KL_PORT_UNBOUND);
    assert_int_equal(g_status(h, d, gp), EVTCHNSTAT_unbound);
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_INTERDOMAIN, d, gp, &hp), 0);
    assert_int_equal(h->c.nr_fds, 2);
    recv_fd = dup(h->c.fds[0]);
    send_fd = dup(h->c.fds[1]);
    assert_int_equal(p->port[gp].kind, KL_PORT_INTERDOMAIN);
    /* the binder's end is pending from the start, nothing is lost */
    assert_true(fired(recv_fd));
    assert_false(fired(recv_fd));
    fire(p->port[gp].send);
    assert_true(fired(recv_fd));
    fire(send_fd);
    assert_true(fired(p->port[gp].recv));
    /* nobody binds it twice */
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_INTERDOMAIN, d, gp, &hp2), -EINVAL);
    /* the host lets go: the guest's port waits for domain 0 again, and can be bound again */
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_UNBIND, 0, hp, NULL), 0);
    assert_int_equal(p->port[gp].kind, KL_PORT_UNBOUND);
    assert_int_equal(p->port[gp].recv, -1);
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_INTERDOMAIN, d, gp, &hp), 0);
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_UNBIND, 0, hp + 1, NULL), -EINVAL);
    /* the guest closes: the host's end becomes unbound and no longer counts */
    assert_int_equal(g_close(h, d, gp), 0);
    assert_int_equal(p->port[gp].kind, KL_PORT_CLOSED);
    assert_int_equal(evtchn_from_port(h->core->dom0, hp)->state, EVTCHNSTAT_unbound);
    assert_int_equal(g_close(h, d, gp), -EINVAL);
    close(recv_fd);
    close(send_fd);
}

static void test_host_offers(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 8), e = th_domain(h, 1, 8);
    uint32_t hp, gp;
    int recv_fd, send_fd;

    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_UNBOUND, d, 0, &hp), 0);
    recv_fd = dup(h->c.fds[0]);
    send_fd = dup(h->c.fds[1]);
    fire(send_fd);    /* before anybody is there: kept */
    assert_int_equal(g_bind(h, e, 0, hp, &gp), -EINVAL);    /* reserved for another domain */
    assert_int_equal(g_bind(h, d, 0, hp, &gp), 0);
    assert_true(fired(th_proc(h, d)->port[gp].recv));
    fire(th_proc(h, d)->port[gp].send);
    assert_true(fired(recv_fd));
    /* the domain is destroyed: the host's port is unbound again */
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(evtchn_from_port(h->core->dom0, hp)->state, EVTCHNSTAT_unbound);
    close(recv_fd);
    close(send_fd);
}

static void test_client_dies(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 8);
    uint32_t gp[10], hp;
    struct tc c;

    tc_open(h, &c);
    for (int i = 0; i < 10; i++) {
        gp[i] = g_unbound(h, d, 0);
        assert_int_equal(c_evtchn(h, &c, KW_EVTCHN_INTERDOMAIN, d, gp[i], &hp), 0);
    }
    assert_int_equal(c_evtchn(h, &c, KW_EVTCHN_UNBIND, 0, 5, NULL), 0);
    assert_int_equal(c_evtchn(h, &c, KW_EVTCHN_VIRQ, 0, VIRQ_DOM_EXC, NULL), 0);
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_VIRQ, 0, VIRQ_DOM_EXC, NULL), -EEXIST);
    tc_close(h, &c);
    assert_int_equal(h->core->dom0->evt->used, 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(g_status(h, d, gp[i]), EVTCHNSTAT_unbound);
    }
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_VIRQ, 0, VIRQ_DOM_EXC, NULL), 0);
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_VIRQ, 0, VIRQ_TIMER, NULL), -EINVAL);
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_VIRQ, 0, 1000, NULL), -EINVAL);
}

static void test_between_guests(void **state)
{
    struct th *h = *state;
    domid_t a = th_domain(h, 1, 8), b = th_domain(h, 1, 8);
    uint32_t pa = g_unbound(h, a, b), pb, self, other;

    assert_int_equal(g_bind(h, b, a, pa, &pb), 0);
    fire(th_proc(h, b)->port[pb].send);
    th_turn(h);
    assert_true(fired(th_proc(h, a)->port[pa].recv));
    /* loopback within one domain, DOMID_SELF both ways */
    self = g_unbound(h, a, DOMID_SELF);
    assert_int_equal(g_bind(h, a, DOMID_SELF, self, &other), 0);
    fire(th_proc(h, a)->port[self].send);
    assert_true(fired(th_proc(h, a)->port[other].recv));
    assert_int_equal(g_close(h, a, self), 0);
    assert_int_equal(g_status(h, a, other), EVTCHNSTAT_unbound);
    assert_int_equal(g_close(h, a, other), 0);
    /* both ends destroyed in one go */
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, b), 0);
    th_turn(h);
    assert_int_equal(g_status(h, a, pa), EVTCHNSTAT_unbound);
    /*
     * a domain that took the domid may not bind what was meant for the old one's... yet Xen lets
     * it: the port names a domid; what matters is that no descriptor of the old one is left
     */
    assert_int_equal(th_proc(h, a)->port[pa].recv, -1);
}

static void test_virq_ipi(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 2, 8);
    struct evtchn_bind_virq v = { .virq = VIRQ_TIMER, .vcpu = 1 };
    struct evtchn_bind_ipi i = { .vcpu = 1 };
    struct evtchn_bind_vcpu bv;

    assert_int_equal(g_op(h, d, EVTCHNOP_bind_virq, &v, sizeof(v)), 0);
    assert_int_equal(th_proc(h, d)->port[v.port].kind, KL_PORT_VIRQ);
    assert_int_equal(th_proc(h, d)->port[v.port].vcpu, 1);
    bv = (struct evtchn_bind_vcpu){ v.port, 0 };
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_vcpu, &bv, sizeof(bv)), -EINVAL);
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_virq, &v, sizeof(v)), -EEXIST);
    v.vcpu = 0;
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_virq, &v, sizeof(v)), 0);
    v.vcpu = 2;
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_virq, &v, sizeof(v)), -ENOENT);
    v.vcpu = UINT32_MAX;
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_virq, &v, sizeof(v)), -ENOENT);
    v = (struct evtchn_bind_virq){ .virq = 24 };
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_virq, &v, sizeof(v)), -EINVAL);
    v = (struct evtchn_bind_virq){ .virq = VIRQ_DOM_EXC, .vcpu = 1 };
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_virq, &v, sizeof(v)), -EINVAL);
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_ipi, &i, sizeof(i)), 0);
    i.vcpu = 7;
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_ipi, &i, sizeof(i)), -ENOENT);
    /* an interdomain port can be sent to another vCPU */
    bv = (struct evtchn_bind_vcpu){ g_unbound(h, d, 0), 1 };
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_vcpu, &bv, sizeof(bv)), 0);
    assert_int_equal(th_proc(h, d)->port[bv.port].vcpu, 1);
    bv.vcpu = 2;
    assert_int_equal(g_op(h, d, EVTCHNOP_bind_vcpu, &bv, sizeof(bv)), -ENOENT);
}

/* XSA-342: no port beyond what the domain may have; closing gives numbers back, lowest first. */
static void test_limits(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 8);
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = 0 };
    unsigned n = 0;

    domain_find(h->core, d)->evt->max_port = 300;
    while (g_op(h, d, EVTCHNOP_alloc_unbound, &a, sizeof(a)) == 0) {
        n++;
        assert_true(n <= 300);
    }
    assert_int_equal(n, 300);
    assert_int_equal(g_op(h, d, EVTCHNOP_alloc_unbound, &a, sizeof(a)), -ENOSPC);
    assert_int_equal(g_close(h, d, 17), 0);
    assert_int_equal(g_close(h, d, 250), 0);
    assert_int_equal(g_unbound(h, d, 0), 17);
    assert_int_equal(g_unbound(h, d, 0), 250);
    /* port 0 and ports out of range, everywhere */
    static const uint32_t bad[] = { 0, 301, 4096, 131072, UINT32_MAX };
    for (unsigned i = 0; i < KR_ARRAY_SIZE(bad); i++) {
        struct evtchn_send s = { bad[i] };
        uint32_t local;

        assert_int_equal(g_close(h, d, bad[i]), -EINVAL);
        assert_int_equal(g_op(h, d, EVTCHNOP_send, &s, sizeof(s)), -EINVAL);
        assert_true(g_bind(h, d, DOMID_SELF, bad[i], &local) < 0);
        assert_true(c_evtchn(h, &h->c, KW_EVTCHN_INTERDOMAIN, d, bad[i], NULL) < 0);
        assert_true(c_evtchn(h, &h->c, KW_EVTCHN_UNBIND, 0, bad[i], NULL) < 0);
    }
}

/* XSA-344: resetting a full table gives way in between, and everything is closed at the end. */
static void test_reset(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 8), e = th_domain(h, 1, 8);
    struct evtchn_reset r = { DOMID_SELF };
    uint32_t local;

    for (int i = 0; i < 400; i++) {
        g_unbound(h, d, i % 2 ? 0 : e);
    }
    for (uint32_t port = 1; port < 400; port += 2) {
        assert_int_equal(g_bind(h, e, d, port, &local), 0);
    }
    assert_int_equal(g_op(h, d, EVTCHNOP_reset, &r, sizeof(r)), 0);
    th_turn(h);
    assert_int_equal(domain_find(h->core, d)->evt->used, 0);
    assert_int_equal(g_status(h, e, local), EVTCHNSTAT_unbound);
    for (uint32_t port = 1; port < 400; port++) {
        assert_int_equal(th_proc(h, d)->port[port].kind, KL_PORT_CLOSED);
    }
    r.dom = e;
    assert_int_equal(g_op(h, d, EVTCHNOP_reset, &r, sizeof(r)), -EPERM);
    assert_int_equal(g_unbound(h, d, 0), 1);
}

static void test_others_ports(void **state)
{
    struct th *h = *state;
    domid_t a = th_domain(h, 1, 8), b = th_domain(h, 1, 8);
    struct evtchn_alloc_unbound u = { .dom = b, .remote_dom = a };
    struct evtchn_status s = { .dom = b, .port = 1 };

    assert_int_equal(g_op(h, a, EVTCHNOP_alloc_unbound, &u, sizeof(u)), -EPERM);
    assert_int_equal(g_op(h, a, EVTCHNOP_status, &s, sizeof(s)), -EPERM);
    s.dom = 99;
    assert_int_equal(g_op(h, a, EVTCHNOP_status, &s, sizeof(s)), -EPERM);
    /* the toolstack makes ports in a domain, as for its store ring */
    u = (struct evtchn_alloc_unbound){ .dom = a, .remote_dom = 0 };
    memcpy(h->c.arena, &u, sizeof(u));
    assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound,
                                  A(0), 0, 0, 0),
                     0);
    th_turn(h);
    memcpy(&u, h->c.arena, sizeof(u));
    assert_int_equal(th_proc(h, a)->port[u.port].kind, KL_PORT_UNBOUND);
    /* one client's port is not another's */
    struct tc c;
    uint32_t hp;
    tc_open(h, &c);
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_INTERDOMAIN, a, u.port, &hp), 0);
    assert_int_equal(c_evtchn(h, &c, KW_EVTCHN_UNBIND, 0, hp, NULL), -EINVAL);
    tc_close(h, &c);
}

/*
 * Random operations against what must always hold: both ends agree, counts agree, no descriptor
 * leaks.
 */
static void test_random(void **state)
{
    struct th *h = *state;
    domid_t d[3] = { th_domain(h, 2, 8), th_domain(h, 1, 8), th_domain(h, 1, 8) };
    uint32_t rng = 12345, port;

    for (int step = 0; step < 6000; step++) {
        domid_t a, b;

        rng = rng * 1103515245u + 12345u;
        a = d[(rng >> 8) % 3];
        b = (rng >> 12) % 4 == 3 ? 0 : d[(rng >> 12) % 4 % 3];
        port = 1 + (rng >> 20) % 24;
        switch ((rng >> 16) % 6) {
        case 0:
            if (domain_find(h->core, a)->evt->used < 24) {
                g_unbound(h, a, b);
            }
            break;
        case 1:
            g_bind(h, a, b, port, &port);
            break;
        case 2:
            g_close(h, a, port);
            break;
        case 3:
            c_evtchn(h, &h->c, KW_EVTCHN_INTERDOMAIN, a, port, NULL);
            break;
        case 4:
            c_evtchn(h, &h->c, KW_EVTCHN_UNBIND, 0, port, NULL);
            break;
        default:
            if (h->core->dom0->evt->used < 24) {
                c_evtchn(h, &h->c, KW_EVTCHN_UNBOUND, a, 0, NULL);
            }
        }
        if (step % 50) {
            continue;
        }
        for (struct domain *x = h->core->domains; x; x = x->next) {
            uint32_t used = 0;

            for (uint32_t q = 1; q < 512; q++) {
                const struct evtchn *e = evtchn_from_port(x, q), *r;

                if (!e || e->state == EVTCHNSTAT_closed) {
                    continue;
                }
                used++;
                if (e->state == EVTCHNSTAT_interdomain) {
                    r = evtchn_from_port(domain_find(h->core, e->remote_domid), e->remote_port);
                    assert_int_equal(r->state, EVTCHNSTAT_interdomain);
                    assert_int_equal(r->remote_domid, x->domid);
                    assert_int_equal(r->remote_port, q);
                    assert_ptr_equal(r->ch, e->ch);
                    assert_int_not_equal(r->side, e->side);
                    assert_int_equal(e->ch->refs, 2);
                }
            }
            assert_int_equal(used, x->evt->used);
        }
    }
}

/* Channels among guests cannot use up the core's descriptors. */
static void test_budget(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 8), e = th_domain(h, 1, 8);
    uint32_t port, local, hp;
    int bound = 0;
    long rc;

    h->core->max_guest_channels = 40;
    do {
        port = g_unbound(h, d, DOMID_SELF);
        rc = g_bind(h, d, DOMID_SELF, port, &local);
        bound += rc == 0;
    } while (!rc);
    assert_int_equal(rc, -ENOSPC);
    assert_int_equal(bound, 10);
    assert_int_equal(g_bind(h, e, DOMID_SELF, g_unbound(h, e, DOMID_SELF), &local), 0);
    /* the host's own are not counted */
    assert_int_equal(c_evtchn(h, &h->c, KW_EVTCHN_INTERDOMAIN, d, g_unbound(h, d, 0), &hp), 0);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(h->core->guest_channels, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, th_setup, th_teardown)
    const struct CMUnitTest tests[] = {
        T(test_interdomain), T(test_host_offers), T(test_client_dies), T(test_between_guests),
        T(test_virq_ipi),    T(test_limits),      T(test_reset),       T(test_others_ports),
        T(test_random),      T(test_budget),
    };

    return cmocka_run_group_tests_name("core_evtchn", tests, NULL, NULL);
}
