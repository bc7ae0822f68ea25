/* SPDX-License-Identifier: MIT */
/*
 * dm_op: device models' operations on a domain, what they change in the core's books and what the
 * domain's process is told.
 */
#include "tests/unit/core_harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xen/event_channel.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>
#include <xen/version.h>

#include "hypervisor/core/dm_op.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/ioreq.h"
#include "hypervisor/engine/engine.h"

#define PAGE    4096u
#define AT_OP   0x10000u     /* in the arena */
#define AT_BUF  0x20000u

/* dm_op with the operation and, if size is not 0, a second buffer, which is at AT_BUF. */
static long dm_with(struct th *h, struct tc *c, domid_t domid, struct xen_dm_op *op, uint64_t size)
{
    struct xen_dm_op_buf list[2];
    long rc;

    memset(list, 0, sizeof(list));
    list[0].h.p = (void *)(uintptr_t)A(AT_OP);
    list[0].size = sizeof(*op);
    list[1].h.p = (void *)(uintptr_t)A(AT_BUF);
    list[1].size = size;
    memcpy(c->arena, list, sizeof(list));
    memcpy(c->arena + AT_OP, op, sizeof(*op));
    rc = tc_hypercall(h, c, __HYPERVISOR_dm_op, domid, size ? 2 : 1, A(0), 0, 0);
    memcpy(op, c->arena + AT_OP, sizeof(*op));
    return rc;
}

static long dm(struct th *h, domid_t domid, struct xen_dm_op *op)
{
    long rc = dm_with(h, &h->c, domid, op, 0);

    th_turn(h);
    return rc;
}

#define OP(name, ...) (struct xen_dm_op){ .op = XEN_DMOP_##name, .u.name = { __VA_ARGS__ } }
#define DM(h, d, ...) dm(h, d, &(__VA_ARGS__))

static ioservid_t create(struct th *h, domid_t d, uint8_t buffered)
{
    struct xen_dm_op op = OP(create_ioreq_server, .handle_bufioreq = buffered);

    assert_int_equal(dm(h, d, &op), 0);
    return op.u.create_ioreq_server.id;
}

static long range(struct th *h, domid_t d, ioservid_t id, bool map, uint32_t type, uint64_t start,
                  uint64_t end)
{
    struct xen_dm_op op = OP(map_io_range_to_ioreq_server, .id = id, .type = type, .start = start,
                             .end = end);

    op.op = map ? XEN_DMOP_map_io_range_to_ioreq_server : XEN_DMOP_unmap_io_range_from_ioreq_server;
    return dm(h, d, &op);
}

static long enable(struct th *h, domid_t d, ioservid_t id, bool on)
{
    return DM(h, d, OP(set_ioreq_server_state, .id = id, .enabled = on));
}

static void set_param(struct th *h, domid_t d, uint32_t index, uint64_t value)
{
    struct xen_hvm_param p = { .domid = d, .index = index, .value = value };

    memcpy(h->c.arena, &p, sizeof(p));
    assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_hvm_op, HVMOP_set_param, A(0), 0, 0, 0), 0);
}

/* A reply of KW_MAP_RESOURCE with its runs. */
union map_reply {
    struct kw_map_reply r;
    struct { uint8_t head[sizeof(struct kw_map_reply)]; struct kw_run run[2]; };
};

static unsigned open_files(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 2000; fd++) {
        n += dup2(fd, fd) == fd;
    }
    return n;
}

static void test_servers(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 2, 16);
    struct tp *p = th_proc(h, d);
    struct xen_dm_op op;
    unsigned files;

    create(h, d, 0);
    assert_int_equal(DM(h, d, OP(destroy_ioreq_server, .id = 0)), 0);
    files = open_files();
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(create(h, d, i % 3), i);
        assert_non_null(p->ioreq[i]);
        assert_int_equal(p->ioreq[i]->state, KL_IOREQ_DISABLED);
        assert_int_equal(p->ioreq[i]->buffered, i % 3);
        assert_true(p->way[i][0].port && p->way[i][1].port);
        assert_int_equal(!!p->way[i][TEST_WAYS - 1].port, !!(i % 3));
    }
    op = OP(create_ioreq_server, 0);
    assert_int_equal(dm(h, d, &op), -ENOSPC);
    op = OP(create_ioreq_server, .handle_bufioreq = 3);
    assert_int_equal(dm(h, d, &op), -EINVAL);
    op = OP(create_ioreq_server, .pad = { 0, 1, 0 });
    assert_int_equal(dm(h, d, &op), -EINVAL);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(DM(h, d, OP(destroy_ioreq_server, .id = i)), 0);
        assert_null(p->ioreq[i]);
    }
    assert_int_equal(files, open_files());
    for (unsigned id = 0; id <= 8; id += 8) {
        assert_int_equal(DM(h, d, OP(destroy_ioreq_server, .id = id)), -ENOENT);
        assert_int_equal(DM(h, d, OP(get_ioreq_server_info, .id = id)), -ENOENT);
        assert_int_equal(enable(h, d, id, true), -ENOENT);
        assert_int_equal(range(h, d, id, true, 0, 0, 1), -ENOENT);
        assert_int_equal(DM(h, d, OP(map_mem_type_to_ioreq_server, .id = id, .type = 4)), -ENOENT);
    }
    create(h, d, 1);
    assert_int_equal(DM(h, d, OP(destroy_ioreq_server, .id = 0, .pad = 1)), -EINVAL);
    assert_int_equal(DM(h, d, OP(get_ioreq_server_info, .id = 0, .flags = 2)), -EINVAL);
    assert_int_equal(DM(h, d, OP(set_ioreq_server_state, .id = 0, .pad = 1)), -EINVAL);
    assert_int_equal(enable(h, d, 0, true), 0);
    assert_int_equal(enable(h, d, 0, true), 0);
    assert_int_equal(p->ioreq[0]->state, KL_IOREQ_ENABLED);
    /* the domain goes with a server in place, and everything with it */
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(DM(h, d, OP(destroy_ioreq_server, .id = 0)), -ESRCH);
}

/* Who may do it, and arguments that are none. */
static void test_callers(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16), e = th_domain(h, 1, 16);
    struct kw_domid res = { { KW_RESTRICT, 0 }, d, 0 };
    struct xen_dm_op op = OP(nr_vcpus, 0);
    struct xen_dm_op_buf list = { .size = 4 };
    struct tc c;

    assert_int_equal(dm(h, d, &op), 0);
    assert_int_equal(op.u.nr_vcpus.vcpus, 1);
    assert_int_equal(dm(h, 0, &op), -EPERM);
    assert_int_equal(dm(h, DOMID_SELF, &op), -ESRCH);
    assert_int_equal(dm(h, 77, &op), -ESRCH);
    op.pad = 1;
    assert_int_equal(dm(h, d, &op), -EINVAL);
    op = (struct xen_dm_op){ .op = 0 };
    assert_int_equal(dm(h, d, &op), -EOPNOTSUPP);
    op.op = XEN_DMOP_set_irq_level;    /* Arm's */
    assert_int_equal(dm(h, d, &op), -EOPNOTSUPP);
    op.op = 1000;
    assert_int_equal(dm(h, d, &op), -EOPNOTSUPP);
#define CALL(nr, list_at) tc_hypercall(h, &h->c, __HYPERVISOR_dm_op, d, nr, list_at, 0, 0)
    assert_int_equal(CALL(3, A(0)), -E2BIG);
    assert_int_equal(CALL(0, A(0)), -EFAULT);
    assert_int_equal(CALL(1, 0x1000), -EFAULT);
    list.h.p = (void *)(uintptr_t)A(AT_OP);
    op = OP(nr_vcpus, 0);
    memcpy(h->c.arena + AT_OP, &op, sizeof(op));
    for (list.size = 0; list.size < offsetof(struct xen_dm_op, u) + 4; list.size++) {
        memcpy(h->c.arena, &list, sizeof(list));
        assert_int_equal(CALL(1, A(0)), -EFAULT);
    }
    memcpy(h->c.arena, &list, sizeof(list));
    assert_int_equal(CALL(1, A(0)), 0);
    list.h.p = (void *)0x1234;
    memcpy(h->c.arena, &list, sizeof(list));
    assert_int_equal(CALL(1, A(0)), -EFAULT);
    /* guests are no device models, of themselves or of others */
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_dm_op, d, 1, 0x1000), -EPERM);
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_dm_op, e, 1, 0x1000), -EPERM);
    /* a restricted client has this hypercall and no other, and its domain and no other */
    tc_open(h, &c);
    assert_int_equal(tc_call(h, &c, &res, sizeof(res), NULL, 0), 0);
    op = OP(nr_vcpus, 0);
    assert_int_equal(dm_with(h, &c, d, &op, 0), 0);
    assert_int_equal(dm_with(h, &c, e, &op, 0), -EPERM);
    assert_int_equal(tc_hypercall(h, &c, __HYPERVISOR_xen_version, 0, 0, 0, 0, 0), -EPERM);
    assert_int_equal(tc_hypercall(h, &c, __HYPERVISOR_multicall, A(0), 1, 0, 0, 0), -EPERM);
    tc_close(h, &c);
}

static void expect_ranges(struct tp *p, unsigned kind, unsigned nr, const uint64_t *ends)
{
    const struct kl_ioreq *m = p->ioreq[0];
    const struct kl_ioreq_range *r = m->range;

    for (unsigned k = 0; k < kind; k++) {
        r += m->nr[k];
    }
    assert_int_equal(m->nr[kind], nr);
    for (unsigned i = 0; i < nr; i++) {
        assert_int_equal(r[i].start, ends[2 * i]);
        assert_int_equal(r[i].end, ends[2 * i + 1]);
    }
}

static void test_ranges(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct tp *p = th_proc(h, d);
    ioservid_t id = create(h, d, 0);
    static const uint64_t merged[] = { 10, 49, 60, 69 }, split[] = { 10, 19, 30, 49, 60, 64, 66, 69 };
    static const uint64_t sides[] = { 11, 18, 30, 49, 60, 64, 66, 69 }, all[] = { 0, UINT64_MAX };

    assert_int_equal(range(h, d, id, true, 0, 10, 19), 0);
    assert_int_equal(range(h, d, id, true, 0, 30, 39), 0);
    assert_int_equal(range(h, d, id, true, 0, 60, 69), 0);
    assert_int_equal(range(h, d, id, true, 0, 20, 29), 0);    /* closes a gap */
    assert_int_equal(range(h, d, id, true, 0, 40, 49), 0);
    expect_ranges(p, 0, 2, merged);
    assert_int_equal(range(h, d, id, true, 0, 49, 50), -EEXIST);
    assert_int_equal(range(h, d, id, true, 0, 0, 10), -EEXIST);
    assert_int_equal(range(h, d, id, true, 0, 0, 100), -EEXIST);
    assert_int_equal(range(h, d, id, true, 0, 12, 11), -EINVAL);
    assert_int_equal(range(h, d, id, true, 3, 1, 1), -EINVAL);
    assert_int_equal(range(h, d, id, false, 0, 49, 50), -ENOENT);
    assert_int_equal(range(h, d, id, false, 0, 20, 60), -ENOENT);
    assert_int_equal(range(h, d, id, false, 0, 20, 29), 0);
    assert_int_equal(range(h, d, id, false, 0, 65, 65), 0);
    expect_ranges(p, 0, 4, split);
    assert_int_equal(range(h, d, id, false, 0, 10, 10), 0);
    assert_int_equal(range(h, d, id, false, 0, 19, 19), 0);
    expect_ranges(p, 0, 4, sides);
    /* kinds are apart; the ends of all numbers are numbers */
    assert_int_equal(range(h, d, id, true, 1, 0, UINT64_MAX), 0);
    expect_ranges(p, 1, 1, all);
    assert_int_equal(range(h, d, id, true, 2, 0x18, 0x18), 0);
    assert_int_equal(range(h, d, id, false, 1, 5, 5), 0);
    assert_int_equal(range(h, d, id, false, 1, 6, UINT64_MAX), 0);
    assert_int_equal(range(h, d, id, false, 1, 0, 4), 0);
    assert_int_equal(p->ioreq[0]->nr[1], 0);
    for (uint64_t i = 0; i < KL_IOREQ_MAX_RANGES; i++) {
        assert_int_equal(range(h, d, id, true, 1, 10 * i, 10 * i + 2), 0);
    }
    assert_int_equal(range(h, d, id, true, 1, 5, 5), -ENOMEM);
    assert_int_equal(range(h, d, id, false, 1, 1, 1), -ENOMEM);
    assert_int_equal(p->ioreq[0]->nr[1], KL_IOREQ_MAX_RANGES);
    assert_int_equal(p->ioreq[0]->nr[0] + p->ioreq[0]->nr[2], 5);
}

/* The pages as frames of the guest, for device models that know no resources. */
static void test_frames(void **state)
{
    struct th *h = *state;
    domid_t domid = th_domain(h, 1, 64);
    struct domain *d = domain_find(h->core, domid);
    uint64_t pages = d->tot_pages;
    struct kw_map_resource res = { { KW_MAP_RESOURCE, 0 }, domid, XENMEM_resource_ioreq_server, 0, 3,
                                   0, 2 };
    union map_reply got;
    struct xen_dm_op op = OP(get_ioreq_server_info, .id = 0);
    struct xen_hvm_param bad = { .domid = domid, .index = HVM_PARAM_NR_IOREQ_SERVER_PAGES };

    create(h, domid, 2);
    create(h, domid, 0);
    assert_int_equal(dm(h, domid, &op), -ENOMEM);
    op = OP(get_ioreq_server_info, .id = 0, .flags = XEN_DMOP_no_gfns);
    assert_int_equal(dm(h, domid, &op), 0);
    assert_int_equal(op.u.get_ioreq_server_info.bufioreq_port,
                     th_proc(h, domid)->way[0][TEST_WAYS - 1].port);
    for (bad.value = 0; bad.value < 100; bad.value += 65) {
        memcpy(h->c.arena, &bad, sizeof(bad));
        assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_hvm_op, HVMOP_set_param, A(0), 0, 0, 0),
                         -EINVAL);
    }
    set_param(h, domid, HVM_PARAM_IOREQ_SERVER_PFN, 40);
    set_param(h, domid, HVM_PARAM_NR_IOREQ_SERVER_PAGES, 2);
    op = OP(get_ioreq_server_info, .id = 0);
    assert_int_equal(dm(h, domid, &op), 0);
    assert_int_equal(op.u.get_ioreq_server_info.ioreq_gfn, 40);
    assert_int_equal(op.u.get_ioreq_server_info.bufioreq_gfn, 41);
    assert_int_equal(p2m_lookup(d, 40).type, P2M_XEN);
    assert_int_equal(p2m_lookup(d, 40).page, KL_XEN_IOREQ + 1);
    op.u.get_ioreq_server_info.ioreq_gfn = 0;
    assert_int_equal(dm(h, domid, &op), 0);    /* the same again */
    assert_int_equal(op.u.get_ioreq_server_info.ioreq_gfn, 40);
    assert_int_equal(tc_call(h, &h->c, &res, sizeof(res), &got, sizeof(got)), -EPERM);
    /* nothing is left for the other, but for the two old parameters */
    op = OP(get_ioreq_server_info, .id = 1);
    assert_int_equal(dm(h, domid, &op), -ENOMEM);
    set_param(h, domid, HVM_PARAM_BUFIOREQ_PFN, 42);
    assert_int_equal(dm(h, domid, &op), 0);
    assert_int_equal(op.u.get_ioreq_server_info.ioreq_gfn, 42);
    /* in use, they are out of the guest's sight */
    assert_int_equal(enable(h, domid, 0, true), 0);
    assert_int_equal(p2m_lookup(d, 40).type, P2M_NONE);
    assert_int_equal(p2m_lookup(d, 41).type, P2M_NONE);
    assert_int_equal(enable(h, domid, 0, false), 0);
    assert_int_equal(p2m_lookup(d, 41).page, KL_XEN_IOREQ);
    assert_int_equal(enable(h, domid, 0, true), 0);
    assert_int_equal(DM(h, domid, OP(destroy_ioreq_server, .id = 0)), 0);
    assert_int_equal(DM(h, domid, OP(destroy_ioreq_server, .id = 1)), 0);
    for (uint64_t gfn = 40; gfn < 43; gfn++) {
        assert_int_equal(p2m_lookup(d, gfn).type, P2M_RAM);
    }
    assert_int_equal(d->tot_pages, pages);
}

static void test_resources(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 3, 16);
    struct kw_map_resource m = { { KW_MAP_RESOURCE, 0 }, d, XENMEM_resource_ioreq_server, 0, 3, 0, 0 };
    union map_reply got;
    struct xen_mem_acquire_resource a = { .domid = d, .type = XENMEM_resource_ioreq_server };
    struct ioreq *slot;

#define MAP() tc_call(h, &h->c, &m, sizeof(m), &got, sizeof(got))
    assert_int_equal(MAP(), 0);    /* how many there would be: of a server that is yet to be made */
    assert_int_equal(got.r.size, 2);
    m.nr = 2;
    assert_int_equal(MAP(), -ENOENT);
    create(h, d, 1);
    create(h, d, 0);
    assert_int_equal(enable(h, d, 0, true), 0);
    assert_int_equal(MAP(), 0);
    assert_int_equal(got.r.nr_runs, 1);
    assert_int_equal(got.run[0].nr, 2);
    assert_int_equal(got.run[0].page, KL_XEN_IOREQ);
    slot = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, h->c.fds[0], (off_t)(got.run[0].page + 1) * PAGE);
    assert_true(slot != MAP_FAILED);
    for (int v = 0; v < 3; v++) {
        assert_int_equal(slot[v].vp_eport, th_proc(h, d)->way[0][v].port);
    }
    assert_int_equal(DM(h, d, OP(get_ioreq_server_info, .id = 0)), -EPERM);
    m.nr = 3;
    assert_int_equal(MAP(), -EINVAL);
    m.frame = UINT64_MAX;
    assert_int_equal(MAP(), -EINVAL);
    m.frame = 0;
    m.nr = 1;
    m.id = 1;
    assert_int_equal(MAP(), -ENOENT);    /* it has no buffered requests */
    m.frame = 1;
    assert_int_equal(MAP(), 0);
    assert_int_equal(got.run[0].page, KL_XEN_IOREQ + 3);
    /* the other kinds */
    m.type = XENMEM_resource_vmtrace_buf;
    assert_int_equal(MAP(), -EINVAL);
    m.type = 3;
    assert_int_equal(MAP(), -EOPNOTSUPP);
    m.type = XENMEM_resource_grant_table;
    m.id = 2;
    assert_int_equal(MAP(), -EINVAL);
    m.id = XENMEM_resource_grant_table_id_status;    /* version 1 has none */
    assert_int_equal(MAP(), -EINVAL);
    munmap(slot, PAGE);
#define ACQUIRE() (memcpy(h->c.arena, &a, sizeof(a)), \
                   tc_hypercall(h, &h->c, __HYPERVISOR_memory_op, XENMEM_acquire_resource, A(0), 0, 0, 0))
    assert_int_equal(ACQUIRE(), 0);
    memcpy(&a, h->c.arena, sizeof(a));
    assert_int_equal(a.nr_frames, 2);
    assert_int_equal(ACQUIRE(), -EINVAL);    /* a number of frames, and nowhere to list them */
    a.nr_frames = 0;
    a.type = XENMEM_resource_grant_table;
    assert_int_equal(ACQUIRE(), 0);
    assert_int_equal(((struct xen_mem_acquire_resource *)h->c.arena)->nr_frames, 64);
    a.type = XENMEM_resource_vmtrace_buf;
    assert_int_equal(ACQUIRE(), -EINVAL);
    a.type = 9;
    assert_int_equal(ACQUIRE(), -EOPNOTSUPP);
    a.pad = 1;
    assert_int_equal(ACQUIRE(), -EINVAL);
}

static bool take(int fd)
{
    uint64_t n;

    return read(fd, &n, sizeof(n)) == sizeof(n);
}

static void add(int fd)
{
    uint64_t one = 1;

    assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void bind_port(struct th *h, struct tc *c, domid_t d, uint32_t port)
{
    struct kw_evtchn m = { { KW_EVTCHN_INTERDOMAIN, 0 }, d, port };
    struct kw_port_reply r;

    assert_int_equal(tc_call(h, c, &m, sizeof(m), &r, sizeof(r)), 0);
    assert_int_equal(c->nr_fds, 2);
}

/* The ports: the device model's and the process's, not the guest's. */
static void test_ports(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct tp *p = th_proc(h, d);
    uint32_t port, mine;
    struct evtchn_status st = { .dom = d };
    struct tc c;

    create(h, d, 0);
    port = p->way[0][0].port;
    for (int round = 0; round < 2; round++) {    /* the second model takes over from a dead one */
        tc_open(h, &c);
        bind_port(h, &c, d, port);
        take(c.fds[0]);
        add(p->way[0][0].send);
        assert_true(take(c.fds[0]));
        add(c.fds[1]);
        assert_true(take(p->way[0][0].recv));
        assert_false(take(p->way[0][0].recv));
        tc_close(h, &c);
    }
#define GUEST(op, size, ...) \
    (tg_write(h, d, 0x1000, &(struct evtchn_##op){ __VA_ARGS__ }, size), \
     tg_hypercall(h, d, __HYPERVISOR_event_channel_op, EVTCHNOP_##op, 0x1000, 0))
    assert_int_equal(GUEST(close, 4, .port = port), -EINVAL);
    assert_int_equal(GUEST(send, 4, .port = port), -EINVAL);
    assert_int_equal(GUEST(bind_vcpu, 8, .port = port), -EINVAL);
    st.port = port;
    memcpy(h->c.arena, &st, sizeof(st));
    assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_event_channel_op, EVTCHNOP_status, A(0), 0, 0, 0),
                     -EACCES);
    assert_int_equal(GUEST(alloc_unbound, 8, .dom = DOMID_SELF), 0);
    tg_read(h, d, 0x1004, &mine, 4);
    assert_int_equal(p->port[mine].kind, KL_PORT_UNBOUND);
    assert_int_equal(GUEST(reset, 2, .dom = DOMID_SELF), 0);
    assert_int_equal(p->port[mine].kind, KL_PORT_CLOSED);
    tc_open(h, &c);
    bind_port(h, &c, d, port);
    add(p->way[0][0].send);
    assert_true(take(c.fds[0]));
    /* a server that goes takes its ports along under the model's hands */
    assert_int_equal(DM(h, d, OP(destroy_ioreq_server, .id = 0)), 0);
    tc_close(h, &c);
    assert_int_equal(domain_find(h->core, d)->evt->used_xen, 0);
    assert_int_equal(domain_find(h->core, d)->evt->used, 0);
}

/* A server that is there before the vCPUs are, as QEMU's never is, but Xen allows it. */
static void test_later_vcpus(void **state)
{
    struct th *h = *state;
    struct xen_domctl op = { .cmd = XEN_DOMCTL_createdomain };
    struct xen_domctl_createdomain *cfg = &op.u.createdomain;
    struct tp *p;
    domid_t d;

    cfg->flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
    cfg->max_vcpus = 2;
    cfg->max_evtchn_port = 1023;
    cfg->max_grant_frames = 64;
    cfg->arch.emulation_flags = XEN_X86_EMU_LAPIC;
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    d = op.domain;
    p = th_proc(h, d);
    create(h, d, 0);
    assert_int_equal(enable(h, d, 0, true), 0);
    assert_int_equal(p->way[0][0].port, 0);
    op = (struct xen_domctl){ .cmd = XEN_DOMCTL_max_vcpus, .domain = d, .u.max_vcpus.max = 2 };
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    th_turn(h);
    for (unsigned v = 0; v < 2; v++) {
        const struct ioreq *slot = (const void *)(p->xen + (KL_XEN_IOREQ + 1) * PAGE);

        assert_true(p->way[0][v].port);
        assert_int_equal(slot[v].vp_eport, p->way[0][v].port);
    }
}

static void test_mem_types(void **state)
{
    struct th *h = *state;
    domid_t domid = th_domain(h, 1, 64);
    struct domain *d = domain_find(h->core, domid);
    struct tp *p = th_proc(h, domid);
    struct xen_dm_op op;
    uint64_t v = 0x1122334455667788, got;

#define SET(t, first, n) DM(h, domid, OP(set_mem_type, .mem_type = t, .first_pfn = first, .nr = n))
    op = OP(set_mem_type, .mem_type = HVMMEM_ram_ro, .first_pfn = 10, .nr = 5);
    assert_int_equal(dm(h, domid, &op), 0);
    assert_int_equal(op.u.set_mem_type.nr, 0);
    assert_int_equal(op.u.set_mem_type.first_pfn, 15);
    assert_int_equal(p->map_type, ENGINE_GFN_ROM);
    assert_int_equal(p2m_lookup(d, 14).type, P2M_RAM_RO);
    assert_int_equal(p2m_lookup(d, 15).type, P2M_RAM);
    /* hypercalls read it and cannot write it */
    tg_write(h, domid, 10 * PAGE, &v, 8);
    assert_int_equal(tg_hypercall(h, domid, __HYPERVISOR_xen_version, XENVER_extraversion, 10 * PAGE, 0), 0);
    tg_read(h, domid, 10 * PAGE, &got, 8);
    assert_int_equal(got, v);
    assert_int_equal(SET(HVMMEM_ram_rw, 10, 5), 0);
    assert_int_equal(p->map_type, ENGINE_GFN_RAM);
    assert_int_equal(SET(HVMMEM_ram_ro, 0, 0), -EINVAL);
    assert_int_equal(SET(HVMMEM_ram_ro, 63, 2), -EINVAL);
    assert_int_equal(SET(HVMMEM_ram_ro, UINT64_MAX, 2), -EINVAL);
    assert_int_equal(SET(HVMMEM_unused, 1, 1), -EINVAL);
    assert_int_equal(SET(5, 1, 1), -EINVAL);
    /* writes for a server: there must be one */
    assert_int_equal(SET(HVMMEM_ioreq_server, 20, 2), -EINVAL);
    create(h, domid, 0);
    create(h, domid, 0);
#define TAKE(n, t, f) DM(h, domid, OP(map_mem_type_to_ioreq_server, .id = n, .type = t, .flags = f))
    assert_int_equal(TAKE(0, HVMMEM_ram_ro, 2), -EINVAL);
    assert_int_equal(TAKE(0, HVMMEM_ioreq_server, 1), -EINVAL);
    assert_int_equal(TAKE(0, HVMMEM_ioreq_server, 0), -EINVAL);
    assert_int_equal(TAKE(0, HVMMEM_ioreq_server, 2), 0);
    assert_int_equal(p->ioreq[0]->mem_writes, 1);
    assert_int_equal(TAKE(1, HVMMEM_ioreq_server, 2), -EBUSY);
    assert_int_equal(TAKE(1, HVMMEM_ioreq_server, 0), -EINVAL);
    assert_int_equal(SET(HVMMEM_ioreq_server, 20, 2), 0);
    assert_int_equal(p->map_type, KL_TYPE_IOREQ);
    assert_int_equal(SET(HVMMEM_ioreq_server, 20, 2), -EINVAL);    /* from plain RAM only */
    assert_int_equal(SET(HVMMEM_ram_ro, 20, 2), -EINVAL);          /* and back to it only */
    assert_int_equal(TAKE(0, HVMMEM_ioreq_server, 0), 0);
    assert_int_equal(p2m_lookup(d, 21).type, P2M_RAM);
    assert_int_equal(p->ioreq[0]->mem_writes, 0);
    /* no memory any more, at the domain's end too */
    assert_int_equal(SET(HVMMEM_mmio_dm, 60, 4), 0);
    assert_int_equal(d->tot_pages, 60);
    assert_int_equal(SET(HVMMEM_ram_rw, 60, 1), -EINVAL);
    assert_int_equal(SET(HVMMEM_mmio_dm, 60, 1), 0);
}

static void test_relocate(void **state)
{
    struct th *h = *state;
    domid_t domid = th_domain(h, 1, 1024);
    struct domain *d = domain_find(h->core, domid);
    struct xen_dm_op op = OP(relocate_memory, .size = 600, .src_gfn = 100, .dst_gfn = 0x10000);
    uint64_t page = p2m_lookup(d, 699).page;

    assert_int_equal(dm(h, domid, &op), 0);
    assert_int_equal(op.u.relocate_memory.size, 0);
    assert_int_equal(p2m_lookup(d, 0x10000 + 599).page, page);
    assert_int_equal(p2m_lookup(d, 100).type, P2M_NONE);
    assert_int_equal(d->tot_pages, 1024);
    assert_int_equal(th_proc(h, domid)->syncs, 1);
    /* in few messages, as they are contiguous; and over itself, both ways */
    unsigned maps = th_proc(h, domid)->maps;
    assert_int_equal(DM(h, domid, OP(relocate_memory, .size = 600, .src_gfn = 0x10000,
                     .dst_gfn = 0x20000)), 0);
    assert_true(th_proc(h, domid)->maps - maps <= 3);
    page = p2m_lookup(d, 0x20000).page;
    assert_int_equal(DM(h, domid, OP(relocate_memory, .size = 600, .src_gfn = 0x20000,
                     .dst_gfn = 0x20000 - 10)),
                     0);
    assert_int_equal(p2m_lookup(d, 0x20000 - 10).page, page);
    assert_int_equal(p2m_lookup(d, 0x20000 + 590).type, P2M_NONE);
    assert_int_equal(d->tot_pages, 1024);
    assert_int_equal(DM(h, domid, OP(relocate_memory, .size = 1, .src_gfn = 5, .dst_gfn = 5)), 0);
    assert_int_equal(DM(h, domid, OP(relocate_memory, .size = 1, .src_gfn = 100)), -EINVAL);
    assert_int_equal(DM(h, domid, OP(relocate_memory, .size = 1, .pad = 1)), -EINVAL);
    assert_int_equal(DM(h, domid, OP(relocate_memory, .size = 1, .src_gfn = 1, .dst_gfn = 1ull << 60)),
                     -EINVAL);
    assert_int_equal(DM(h, domid, OP(relocate_memory, .size = 0, .src_gfn = 1ull << 60)), 0);
}

static void test_interrupts(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 2, 16);
    struct tp *p = th_proc(h, d);
    struct xen_dm_op op = OP(inject_event, .vcpuid = 1, .vector = 14, .type = 3, .error_code = 2,
                             .cr2 = 0x123456);

    assert_int_equal(DM(h, d, OP(inject_msi, .addr = 0xfee02000, .data = 0x41)), 0);
    assert_int_equal(p->msis, 1);
    assert_int_equal(p->msi.addr, 0xfee02000);
    assert_int_equal(p->msi.data, 0x41);
    assert_int_equal(DM(h, d, OP(inject_msi, .addr = 0xfee02000, .data = 0x441)), -EINVAL);
    assert_int_equal(DM(h, d, OP(inject_msi, .addr = 0xfee02000, .data = 0)), -EOPNOTSUPP);
    assert_int_equal(DM(h, d, OP(inject_msi, .addr = 0xfee00000, .data = 0)), -ERANGE);
    assert_int_equal(DM(h, d, OP(inject_msi, .data = 0x41, .pad = 1)), -EINVAL);
    assert_int_equal(p->msis, 1);

    assert_int_equal(dm(h, d, &op), 0);
    assert_int_equal(p->inject.vcpu, 1);
    assert_int_equal(p->inject.cr2, 0x123456);
    assert_int_equal(dm(h, d, &op), -EBUSY);
    p->state->vcpu[1].inject = 0;
    assert_int_equal(dm(h, d, &op), 0);
    assert_int_equal(p->injects, 2);
    p->state->vcpu[1].inject = UINT64_MAX;    /* its own loss */
    assert_int_equal(dm(h, d, &op), -EBUSY);
    op.u.inject_event.vcpuid = 2;
    assert_int_equal(dm(h, d, &op), -EINVAL);
    assert_int_equal(DM(h, d, OP(inject_event, .type = 1)), -EINVAL);
    assert_int_equal(DM(h, d, OP(inject_event, .type = 7)), -EINVAL);
    assert_int_equal(DM(h, d, OP(inject_event, .type = 3, .pad1 = 1)), -EINVAL);

    /* lines lead to interrupt controllers, which PVH domains have none of */
    assert_int_equal(DM(h, d, OP(set_isa_irq_level, .isa_irq = 4, .level = 1)), -ENODEV);
    assert_int_equal(DM(h, d, OP(set_isa_irq_level, .isa_irq = 16)), -EINVAL);
    assert_int_equal(DM(h, d, OP(set_isa_irq_level, .isa_irq = 4, .level = 2)), -EINVAL);
    assert_int_equal(DM(h, d, OP(set_pci_intx_level, .device = 3)), -ENODEV);
    assert_int_equal(DM(h, d, OP(set_pci_intx_level, .device = 32)), -EINVAL);
    assert_int_equal(DM(h, d, OP(set_pci_intx_level, .bus = 1)), -EINVAL);
    assert_int_equal(DM(h, d, OP(set_pci_intx_level, .intx = 4)), -EINVAL);
    assert_int_equal(DM(h, d, OP(set_pci_link_route, .link = 3)), -ENODEV);
    assert_int_equal(DM(h, d, OP(set_pci_link_route, .link = 4)), -EINVAL);

    assert_int_equal(DM(h, d, OP(remote_shutdown, .reason = 1)), 0);
    assert_true(domain_find(h->core, d)->shutting_down);
    assert_int_equal(domain_find(h->core, d)->shutdown_code, 1);
}

static void test_cacheattr(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);

#define PIN(a, b, t) DM(h, d, OP(pin_memory_cacheattr, .start = a, .end = b, .type = t))
    assert_int_equal(PIN(1, 5, XEN_DMOP_MEM_CACHEATTR_WC), 0);
    assert_int_equal(PIN(1, 5, XEN_DMOP_MEM_CACHEATTR_WB), 0);
    assert_int_equal(PIN(5, 6, XEN_DMOP_MEM_CACHEATTR_WB), -EBUSY);
    assert_int_equal(PIN(6, 6, 2), -EINVAL);
    assert_int_equal(PIN(7, 6, 0), -EINVAL);
    assert_int_equal(PIN(7, 1ull << 28, 0), -EINVAL);
    assert_int_equal(PIN(1, 4, XEN_DMOP_DELETE_MEM_CACHEATTR), -ENOENT);
    assert_int_equal(PIN(1, 5, XEN_DMOP_DELETE_MEM_CACHEATTR), 0);
    assert_int_equal(PIN(1, 5, XEN_DMOP_DELETE_MEM_CACHEATTR), -ENOENT);
    for (uint64_t i = 0; i < DM_MAX_PINNED; i++) {
        assert_int_equal(PIN(2 * i, 2 * i, 0), 0);
    }
    assert_int_equal(PIN(1, 1, 0), -ENOSPC);
}

static long track(struct th *h, domid_t d, uint64_t first, uint32_t nr, uint64_t size, uint8_t *bits)
{
    struct xen_dm_op op = OP(track_dirty_vram, .first_pfn = first, .nr = nr);
    long rc;

    memset(h->c.arena + AT_BUF, 0xcc, size);
    rc = dm_with(h, &h->c, d, &op, size);
    memcpy(bits, h->c.arena + AT_BUF, size);
    return rc;
}

static void test_vram(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 1024);
    struct xen_dm_op op = OP(modified_memory, .nr_extents = 1);
    struct xen_dm_op_modified_memory_extent e = { .first_pfn = 104, .nr = 2 };
    uint8_t bits[200];
    uint64_t x = 5;

    assert_int_equal(track(h, d, 100, 601, 76, bits), 0);
    for (unsigned i = 0; i < 75; i++) {
        assert_int_equal(bits[i], 0xff);    /* all, at first */
    }
    assert_int_equal(bits[75], 1);
    assert_int_equal(track(h, d, 100, 601, 76, bits), 0);
    assert_true(!bits[0] && !bits[40] && !bits[75]);
    tg_write(h, d, 100 * PAGE + 8, &x, 8);
    tg_write(h, d, 700 * PAGE + 4088, &x, 8);
    tg_write(h, d, 99 * PAGE, &x, 8);
    tg_write(h, d, 102 * PAGE, &(uint64_t){ 0 }, 8);    /* no change */
    memcpy(h->c.arena + AT_BUF, &e, sizeof(e));
    assert_int_equal(dm_with(h, &h->c, d, &op, sizeof(e)), 0);
    assert_int_equal(track(h, d, 100, 601, 76, bits), 0);
    assert_int_equal(bits[0], 0x31);
    assert_int_equal(bits[1] | bits[74], 0);
    assert_int_equal(bits[75], 1);
    /* another window begins anew; none ends it; a hole is never dirty again */
    assert_int_equal(track(h, d, 1020, 8, 8, bits), 0);
    assert_int_equal(bits[0], 0xff);
    assert_int_equal(track(h, d, 1020, 8, 8, bits), 0);
    assert_int_equal(bits[0], 0);
    assert_int_equal(track(h, d, 0, 0, 8, bits), 0);
    assert_int_equal(track(h, d, 0, 65, 8, bits), -EINVAL);
    assert_int_equal(track(h, d, 0, (1u << 18) + 1, 8, bits), -EINVAL);
    assert_int_equal(track(h, d, UINT64_MAX, 8, 8, bits), -EINVAL);
    op = OP(track_dirty_vram, .first_pfn = 0, .nr = 8);
    assert_int_equal(dm(h, d, &op), -EINVAL);    /* nowhere to put the bits */

    op = OP(modified_memory, .nr_extents = 2);
    assert_int_equal(dm_with(h, &h->c, d, &op, sizeof(e)), -EINVAL);
    op = OP(modified_memory, .nr_extents = 1);
    e = (struct xen_dm_op_modified_memory_extent){ .first_pfn = 1023, .nr = 2 };
    memcpy(h->c.arena + AT_BUF, &e, sizeof(e));
    assert_int_equal(dm_with(h, &h->c, d, &op, sizeof(e)), -EINVAL);
    e = (struct xen_dm_op_modified_memory_extent){ .first_pfn = 1023, .nr = 1, .pad = 1 };
    memcpy(h->c.arena + AT_BUF, &e, sizeof(e));
    assert_int_equal(dm_with(h, &h->c, d, &op, sizeof(e)), -EINVAL);
    assert_int_equal(dm(h, d, &op), -EINVAL);
}

/* A list of extents is as much work as the frames in it are tracked. */
static void test_modified_slices(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct xen_dm_op op = OP(modified_memory, .nr_extents = 200);
    struct xen_dm_op_modified_memory_extent *e = (void *)(h->c.arena + AT_BUF);
    static uint8_t bits[1 << 15];
    uint64_t calls;

    assert_int_equal(tc_populate(h, &h->c, d, (1u << 18) - 1, 1, 0), 1);
    assert_int_equal(track(h, d, 0, 1u << 18, sizeof(bits), bits), 0);
    assert_int_equal(track(h, d, 0, 1u << 18, sizeof(bits), bits), 0);
    assert_int_equal(bits[0], 0);
    for (unsigned i = 0; i < 200; i++) {
        e[i] = (struct xen_dm_op_modified_memory_extent){ .first_pfn = 0, .nr = 1u << 18 };
    }
    calls = h->core->nr_hypercalls;
    assert_int_equal(dm_with(h, &h->c, d, &op, 200 * sizeof(*e)), 0);
    assert_true(h->core->nr_hypercalls - calls >= 100);
    assert_int_equal(track(h, d, 0, 1u << 18, sizeof(bits), bits), 0);
    assert_int_equal(bits[0], 0xff);
}

/* A guest with somebody else's page where a server's page is to be again cannot keep it enabled. */
static void test_frame_in_use(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 64), o = th_domain(h, 1, 16);
    struct gnttab_map_grant_ref m = { .host_addr = 40 * PAGE, .flags = GNTMAP_host_map, .ref = 20, .dom = o };
    struct xen_dm_op op = OP(get_ioreq_server_info, .id = 0);

    create(h, d, 2);
    set_param(h, d, HVM_PARAM_IOREQ_SERVER_PFN, 40);
    set_param(h, d, HVM_PARAM_NR_IOREQ_SERVER_PAGES, 2);
    assert_int_equal(dm(h, d, &op), 0);
    assert_int_equal(enable(h, d, 0, true), 0);
    assert_int_equal(gnt_grow(domain_find(h->core, o), 1), 0);
    ((struct grant_entry_v1 *)(th_proc(h, o)->xen + KL_XEN_GRANT_FRAMES * PAGE))[20] =
        (struct grant_entry_v1){ GTF_permit_access, d, 4 };
    tg_write(h, d, 0x1000, &m, sizeof(m));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, 0x1000, 1), 0);
    tg_read(h, d, 0x1000, &m, sizeof(m));
    assert_int_equal(m.status, GNTST_okay);
    assert_int_equal(enable(h, d, 0, false), 0);
    assert_int_equal(th_proc(h, d)->ioreq[0]->state, KL_IOREQ_DISABLED);
    assert_int_equal(p2m_lookup(domain_find(h->core, d), 41).type, P2M_XEN);
    assert_int_equal(DM(h, d, OP(destroy_ioreq_server, .id = 0)), 0);
    assert_int_equal(p2m_lookup(domain_find(h->core, d), 40).type, P2M_FOREIGN);
    th_check(h);
}

/* What an operation changes is in effect in the domain's process before the caller goes on. */
static void test_in_effect(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16), e = th_domain(h, 1, 16);
    struct tp *p = th_proc(h, d);
    struct kw_hypercall m = { { KW_HYPERCALL, 0 }, __HYPERVISOR_dm_op, { d, 1, A(0) } };
    struct xen_dm_op op = OP(create_ioreq_server, 0);
    struct kl_sync done = { { KL_SYNCED, sizeof(done) }, 0 };
    struct tc c;
    char byte;

    tc_open(h, &c);
    assert_int_equal(dm_with(h, &c, d, &op, 0), 0);
    assert_int_equal(p->syncs, 1);
    p->hold_sync = true;
    done.seq = 1;
    for (int round = 0; round < 2; round++) {
        op = OP(set_ioreq_server_state, .id = 0, .enabled = !round);
        memcpy(c.arena + AT_OP, &op, sizeof(op));
        tc_send(&c, &m, sizeof(m));
        th_turn(h);
        assert_int_equal(p->syncs, 2 + round);
        assert_int_equal(p->ioreq[0]->state, round ? KL_IOREQ_DISABLED : KL_IOREQ_ENABLED);
        assert_int_equal(recv(c.sock, &byte, 1, MSG_DONTWAIT), -1);
        assert_int_equal(create(h, e, 0), round);    /* others go on */
        if (!round) {
            done.seq++;
            send(p->sock, &done, sizeof(done), MSG_NOSIGNAL);
        } else {
            assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
        }
        th_turn(h);
        assert_int_equal(recv(c.sock, &byte, 1, MSG_DONTWAIT), 1);
    }
    /* an answer that was not asked for, and one given twice */
    p = th_proc(h, e);
    for (done.seq = 2; done.seq < 4; done.seq++) {
        assert_false(domain_find(h->core, e)->proc_killed);
        send(p->sock, &done, sizeof(done), MSG_NOSIGNAL);
        th_turn(h);
        assert_true(domain_find(h->core, e)->proc_killed);
        e = th_domain(h, 1, 16);
        p = th_proc(h, e);
    }
    tc_close(h, &c);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, th_setup, th_teardown)
    const struct CMUnitTest tests[] = {
        T(test_servers), T(test_callers), T(test_ranges), T(test_frames), T(test_resources),
        T(test_ports), T(test_later_vcpus), T(test_mem_types), T(test_relocate), T(test_interrupts),
        T(test_cacheattr), T(test_vram), T(test_in_effect),
        T(test_modified_slices), T(test_frame_in_use),
    };

    return cmocka_run_group_tests_name("core_dm", tests, NULL, NULL);
}
