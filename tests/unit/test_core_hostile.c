/* SPDX-License-Identifier: MIT */
/*
 * Host clients that get everything wrong, or end at the worst moment: the errno is Xen's, what they
 * held is freed, and a client that behaves notices nothing.
 */
#include "tests/unit/core_harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xen/grant_table.h>
#include <xen/platform.h>
#include <xen/version.h>

#include "hypervisor/core/grant_table.h"

static unsigned open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

/* What a client that comes and goes must leave as it was. */
struct books { unsigned fds, clients, ports; uint64_t given, claimed, pinned; void *shares; };

/* A hypercall of the client that behaves. */
static long call(struct th *h, uint64_t op, uint64_t a0, uint64_t a1)
{
    return tc_hypercall(h, &h->c, op, a0, a1, 0, 0, 0);
}

/* It is served all the time. */
static void assert_served(struct th *h)
{
    assert_int_equal(call(h, __HYPERVISOR_xen_version, XENVER_version, 0), 4 << 16 | 17);
}

static struct books books(struct th *h, domid_t domid)
{
    struct domain *d = domain_find(h->core, domid);

    assert_served(h);    /* which also gives back what its last reply brought */
    return (struct books){ open_fds(), h->core->nr_clients, h->core->dom0->evt->used,
                           h->core->host.given_pages, h->core->host.claimed_pages,
                           d ? d->gt.pinned : 0, h->core->dom0->shares };
}

#define assert_same(a_, b_) do { \
    struct books x_ = (a_), y_ = (b_); \
    assert_int_equal(x_.fds, y_.fds); \
    assert_int_equal(x_.clients, y_.clients); \
    assert_int_equal(x_.ports, y_.ports); \
    assert_int_equal(x_.given, y_.given); \
    assert_int_equal(x_.claimed, y_.claimed); \
    assert_int_equal(x_.pinned, y_.pinned); \
    assert_ptr_equal(x_.shares, y_.shares); \
} while (0)

/* Requests and replies with their lists, as long as they are needed here (wire.h). */
struct map_request { struct kw_req h; uint32_t domid, prot, nr, reserved; uint64_t gfn[4]; };
struct map_reply { struct kw_reply h; uint64_t size; uint32_t nr_runs, reserved; struct kw_run run[8]; };
struct grant_request { struct kw_req h; uint32_t nr, prot; struct kw_gnt_ref ref[1]; };
struct grant_reply { struct kw_reply h; uint64_t handle; uint32_t nr_runs, reserved; struct kw_run run[2]; };
struct share_reply { struct kw_reply h; uint64_t handle; uint32_t nr, reserved, ref[4]; };
/* One frame's request. */
#define ONE_MAP offsetof(struct map_request, gfn[1])

/* ---- bare connections */

static int join(struct th *h, pid_t pid)
{
    int sv[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
    if (!client_new(h->core, sv[0], geteuid(), pid)) {
        close(sv[1]);
        return -1;
    }
    return sv[1];
}

static void hello_on(struct th *h, int fd)
{
    struct kw_hello m = { { KW_HELLO, 1 }, KW_MAGIC, KW_VERSION };
    struct kw_hello_reply r;

    assert_int_equal(send(fd, &m, sizeof(m), MSG_NOSIGNAL), sizeof(m));
    th_turn(h);
    assert_int_equal(recv(fd, &r, sizeof(r), MSG_DONTWAIT), sizeof(r));
    assert_int_equal(r.h.status, 0);
}

/* The status of the reply that is there; 1: none, 2: the connection has ended. */
static int status_on(struct th *h, int fd, unsigned *nr_fds)
{
    union { struct cmsghdr h; char b[CMSG_SPACE(KW_MAX_FDS * sizeof(int))]; } c;
    static _Alignas(8) uint8_t buf[KW_MAX_MSG];
    struct iovec iov = { buf, sizeof(buf) };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof(c.b) };
    ssize_t n;
    int fds[KW_MAX_FDS];

    th_turn(h);
    n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN ? 1 : 2;
    }
    assert_true(n >= (ssize_t)sizeof(struct kw_reply));
    for (struct cmsghdr *h_ = CMSG_FIRSTHDR(&m); h_; h_ = CMSG_NXTHDR(&m, h_)) {
        unsigned nr = (unsigned)((h_->cmsg_len - CMSG_LEN(0)) / sizeof(int));

        memcpy(fds, CMSG_DATA(h_), nr * sizeof(int));
        for (unsigned i = 0; i < nr; i++) {
            close(fds[i]);
        }
        *nr_fds = nr;
    }
    return ((const struct kw_reply *)(const void *)buf)->status;
}

static int say(struct th *h, int fd, const void *req, size_t len)
{
    unsigned nr;

    if (send(fd, req, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len) {
        return 2;
    }
    return status_on(h, fd, &nr);
}

/* ---- packets */

static void test_greeting(void **state)
{
    struct th *h = *state;
    struct books before = books(h, 0);
    const struct kw_hello wrong[] = {
        { { KW_HELLO, 1 }, 0, KW_VERSION }, { { KW_HELLO, 1 }, KW_MAGIC, KW_VERSION + 1 },
        { { KW_HELLO, 1 }, KW_MAGIC, 0 },
    };
    struct kw_hypercall version = { { KW_HYPERCALL, 1 }, __HYPERVISOR_xen_version, { 0 } };
    unsigned nr;
    int fd;

    for (unsigned i = 0; i < KR_ARRAY_SIZE(wrong); i++) {
        fd = join(h, 0);
        assert_int_equal(say(h, fd, &wrong[i], sizeof(wrong[i])), -EPROTO);
        assert_int_equal(status_on(h, fd, &nr), 2);    /* and out */
        close(fd);
    }
    fd = join(h, 0);
    assert_int_equal(say(h, fd, &wrong[0], sizeof(struct kw_req)), -EINVAL);
    assert_int_equal(status_on(h, fd, &nr), 2);
    close(fd);
    fd = join(h, 0);
    assert_int_equal(say(h, fd, &version, sizeof(version)), 2);    /* hello comes first */
    close(fd);
    fd = join(h, 0);
    close(fd);
    assert_same(books(h, 0), before);
    assert_served(h);
}

static void test_packets(void **state)
{
    struct th *h = *state;
    static uint8_t big[KW_MAX_MSG + 1];
    struct books before = books(h, 0);
    struct kw_req r = { 0, 7 };
    struct kw_hypercall version = { { KW_HYPERCALL, 9 }, __HYPERVISOR_xen_version, { XENVER_version } };
    struct kw_hello again = { { KW_HELLO, 1 }, KW_MAGIC, KW_VERSION };
    const uint32_t unknown[] = { 0, 16, 255, 0x10000 + KW_ARENA, UINT32_MAX };
    int fd = join(h, 0);

    hello_on(h, fd);
    assert_int_equal(say(h, fd, &again, sizeof(again)), -EPROTO);
    for (unsigned i = 0; i < KR_ARRAY_SIZE(unknown); i++) {
        r.op = unknown[i];
        assert_int_equal(say(h, fd, &r, sizeof(r)), -ENOSYS);
    }
    for (uint32_t op = KW_ARENA; op <= KW_GNTSHR_UNSHARE; op++) {
        r.op = op;
        assert_int_equal(say(h, fd, &r, sizeof(r)), -EINVAL);
    }
    assert_int_equal(say(h, fd, &version, sizeof(version) - 1), -EINVAL);
    assert_int_equal(say(h, fd, &(struct { struct kw_hypercall c; char more[8]; }){ version, { 0 } },
                         sizeof(version) + 8), -EINVAL);
    assert_int_equal(say(h, fd, &version, sizeof(version)), 0);
    memcpy(big, &(struct kw_req){ 200, 1 }, sizeof(r));
    assert_int_equal(say(h, fd, big, KW_MAX_MSG), -ENOSYS);
    assert_int_equal(say(h, fd, big, sizeof(big)), 2);    /* longer than any packet may be */
    close(fd);
    fd = join(h, 0);
    hello_on(h, fd);
    assert_int_equal(say(h, fd, big, 3), 2);    /* not even a header */
    close(fd);
    assert_same(books(h, 0), before);
    assert_served(h);
}

/* A packet with a connection's own end attached, sixteen times. */
static void send_own_end(int fd, const void *req, size_t len)
{
    union { struct cmsghdr h; char b[CMSG_SPACE(16 * sizeof(int))]; } c;
    struct iovec iov = { (void *)(uintptr_t)req, len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof(c.b) };

    memset(&c, 0, sizeof(c));
    c.h.cmsg_level = SOL_SOCKET;
    c.h.cmsg_type = SCM_RIGHTS;
    c.h.cmsg_len = CMSG_LEN(16 * sizeof(int));
    for (int i = 0; i < 16; i++) {
        memcpy(CMSG_DATA(&c.h) + i * sizeof(int), &fd, sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &m, MSG_NOSIGNAL), len);
}

/* Descriptors that nobody asked for do not stay with us. */
static void test_unwanted_fds(void **state)
{
    struct th *h = *state;
    struct kw_hypercall version = { { KW_HYPERCALL, 1 }, __HYPERVISOR_xen_version, { XENVER_version } };
    struct books before = books(h, 0);
    int fd = join(h, 0);
    unsigned nr;

    hello_on(h, fd);
    for (int i = 0; i < 20; i++) {
        send_own_end(fd, &version, sizeof(version));
        assert_int_equal(status_on(h, fd, &nr), 0);
    }
    close(fd);
    assert_same(books(h, 0), before);
}

/* ---- arenas and pointers */

static void test_arenas(void **state)
{
    struct th *h = *state;
    struct books before = books(h, 0);
    const struct { uint64_t va, size; } bad[] = {
        { ARENA_VA, 0 }, { ARENA_VA, 1 }, { ARENA_VA, 4095 }, { ARENA_VA + 1, 4096 },
        { ARENA_VA, KW_MAX_ARENA + 4096 }, { ARENA_VA, UINT64_MAX & ~4095ull },
        { UINT64_MAX & ~4095ull, 8192 }, { 0xfffffffffffff000ull - 4096, KW_MAX_ARENA },
    };
    struct kw_arena m = { { KW_ARENA, 1 }, 0, 0 };
    int fd = join(h, 0);

    hello_on(h, fd);
    for (unsigned i = 0; i < KR_ARRAY_SIZE(bad); i++) {
        m.va = bad[i].va;
        m.size = bad[i].size;
        assert_int_equal(say(h, fd, &m, sizeof(m)), -EINVAL);
    }
    m.va = ARENA_VA;
    m.size = KW_MAX_ARENA;
    assert_int_equal(say(h, fd, &m, sizeof(m)), 0);
    assert_int_equal(say(h, fd, &m, sizeof(m)), -EINVAL);    /* one each */
    close(fd);
    assert_same(books(h, 0), before);
}

static long sys(struct th *h, uint64_t at)
{
    return call(h, __HYPERVISOR_sysctl, at, 0);
}

static void test_pointers(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    const uint64_t at[] = { 0, 1, ARENA_VA - 1, ARENA_VA - sizeof(struct xen_sysctl) + 1, A(ARENA_SIZE),
                            A(ARENA_SIZE) - sizeof(struct xen_sysctl) + 1, A(ARENA_SIZE) - 1,
                            0xffff800000000000ull, UINT64_MAX, UINT64_MAX - 64 };
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_physinfo, .interface_version = XEN_SYSCTL_INTERFACE_VERSION };
    struct xen_sysctl list = { .cmd = XEN_SYSCTL_getdomaininfolist };
    struct xen_sysctl con = { .cmd = XEN_SYSCTL_readconsole };
    struct kw_hypercall version = { { KW_HYPERCALL, 1 }, __HYPERVISOR_sysctl, { ARENA_VA } };
    struct xen_memory_reservation res = { .nr_extents = 1, .domid = d };
    int fd;

    for (unsigned i = 0; i < KR_ARRAY_SIZE(at); i++) {
        assert_int_equal(sys(h, at[i]), -EFAULT);
        assert_int_equal(call(h, __HYPERVISOR_domctl, at[i], 0), -EFAULT);
        assert_int_equal(call(h, __HYPERVISOR_platform_op, at[i], 0), -EFAULT);
        if (i != 5) {    /* what it points to is shorter, and fits */
            assert_int_equal(call(h, __HYPERVISOR_memory_op, XENMEM_populate_physmap, at[i]), -EFAULT);
        }
        /* a pointer within an argument */
        list.u.getdomaininfolist.max_domains = 1000;
        list.u.getdomaininfolist.buffer.p = (void *)(uintptr_t)at[i];
        assert_int_equal(tc_sysctl(h, &h->c, &list), -EFAULT);
        con.u.readconsole.count = UINT32_MAX;
        con.u.readconsole.buffer.p = (void *)(uintptr_t)at[i];
        h->core->con.prod = 1000;
        assert_int_equal(tc_sysctl(h, &h->c, &con), -EFAULT);
        res.extent_start.p = (void *)(uintptr_t)(i == 7 ? at[i] : at[i] | 1ull << 63);
        memcpy(h->c.arena, &res, sizeof(res));
        /* a list that cannot be read: nothing is done */
        assert_true(call(h, __HYPERVISOR_memory_op, XENMEM_populate_physmap, A(0)) <= 0);
        assert_int_equal(domain_find(h->core, d)->tot_pages, 16);
    }
    memcpy(h->c.arena + ARENA_SIZE - sizeof(s), &s, sizeof(s));
    assert_int_equal(sys(h, A(ARENA_SIZE) - sizeof(s)), 0);    /* up to the last byte is inside */
    /* no arena at all, though another client has one there */
    fd = join(h, 0);
    hello_on(h, fd);
    assert_int_equal(send(fd, &version, sizeof(version), MSG_NOSIGNAL), sizeof(version));
    th_turn(h);
    struct kw_hypercall_reply r;
    assert_int_equal(recv(fd, &r, sizeof(r), MSG_DONTWAIT), sizeof(r));
    assert_int_equal(r.ret, -EFAULT);
    close(fd);
}

/* ---- hypercalls: versions, unknown ops, domains that are not there */

static void test_versions(void **state)
{
    struct th *h = *state;
    const uint32_t wrong[] = { 0, XEN_DOMCTL_INTERFACE_VERSION - 1, XEN_DOMCTL_INTERFACE_VERSION + 1, UINT32_MAX };
    struct xen_platform_op p = { .cmd = XENPF_get_cpuinfo };
    uint32_t head[2];

    memset(h->c.arena, 0, 4096);
    for (unsigned i = 0; i < KR_ARRAY_SIZE(wrong); i++) {
        /* known op or not: the version comes first */
        for (uint32_t cmd = 0; cmd < 100; cmd += 33) {
            head[0] = cmd;
            head[1] = wrong[i];
            memcpy(h->c.arena, head, sizeof(head));
            assert_int_equal(call(h, __HYPERVISOR_domctl, A(0), 0), -EACCES);
            assert_int_equal(sys(h, A(0)), -EACCES);
        }
        p.interface_version = wrong[i];
        memcpy(h->c.arena, &p, sizeof(p));
        assert_int_equal(call(h, __HYPERVISOR_platform_op, A(0), 0), -EACCES);
    }
}

static void test_unknown_ops(void **state)
{
    struct th *h = *state;
    const uint32_t none[] = { 0, 200, 1001, 1100, 0x10000 + XEN_DOMCTL_getdomaininfo, UINT32_MAX };
    const uint64_t calls[] = { 21, 49, 63, 64, 1000, 1ull << 32 | __HYPERVISOR_domctl, UINT64_MAX };

    for (unsigned i = 0; i < KR_ARRAY_SIZE(none); i++) {
        struct xen_domctl d = { .cmd = none[i] };
        struct xen_sysctl s = { .cmd = none[i] };

        assert_int_equal(tc_domctl(h, &h->c, &d), -ENOSYS);
        assert_int_equal(tc_sysctl(h, &h->c, &s), -ENOSYS);
        assert_int_equal(call(h, __HYPERVISOR_memory_op, 50 + i, A(0)), -ENOSYS);
        assert_int_equal(call(h, __HYPERVISOR_event_channel_op, 60 + none[i], A(0)), -ENOSYS);
        assert_int_equal(call(h, __HYPERVISOR_sched_op, 60 + none[i], A(0)), -ENOSYS);
        assert_int_equal(call(h, __HYPERVISOR_grant_table_op, 60 + none[i], A(0)), -ENOSYS);
    }
    for (unsigned i = 0; i < KR_ARRAY_SIZE(calls); i++) {
        assert_int_equal(call(h, calls[i], 0, 0), -ENOSYS);
    }
    assert_served(h);
}

/* Every domctl there is, on domains that are not. */
static void test_domids(void **state)
{
    struct th *h = *state;
    const domid_t none[] = { 77, DOMID_SELF, DOMID_FIRST_RESERVED - 1, DOMID_FIRST_RESERVED, DOMID_IO, DOMID_XEN,
                             DOMID_COW, DOMID_INVALID, DOMID_IDLE, 0xffff };
    unsigned seen = 0;

    for (unsigned r = 0; r < hc_nr_rules; r++) {
        uint32_t cmd = hc_rules[r].sub;

        if (hc_rules[r].hypercall != __HYPERVISOR_domctl || cmd == XEN_DOMCTL_createdomain ||
            cmd == XEN_DOMCTL_getdomaininfo) {
            continue;
        }
        seen++;
        for (unsigned i = 0; i < KR_ARRAY_SIZE(none); i++) {
            struct xen_domctl op = { .cmd = cmd, .domain = none[i] };

            if (tc_domctl(h, &h->c, &op) != -ESRCH) {
                fail_msg("domctl %s on domain %#x", hc_rules[r].name, none[i]);
            }
        }
    }
    assert_true(seen > 20);
    assert_served(h);
}

/* ---- maps */

static int map_foreign(struct th *h, uint32_t domid, uint32_t nr, uint32_t claim_nr, uint64_t gfn, uint32_t prot)
{
    struct kw_map_foreign *m = calloc(1, sizeof(*m) + nr * sizeof(m->gfn[0]));
    static uint8_t reply[KW_MAX_MSG];
    int rc;

    *m = (struct kw_map_foreign){ { KW_MAP_FOREIGN, 0 }, domid, prot, claim_nr, 0 };
    for (uint32_t i = 0; i < nr; i++) {
        m->gfn[i] = gfn + i;
    }
    rc = tc_call(h, &h->c, m, sizeof(*m) + nr * sizeof(m->gfn[0]), reply, sizeof(reply));
    free(m);
    return rc;
}

static void test_maps(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct map_request some = { { KW_MAP_FOREIGN, 0 }, d, PROT_READ, 4, 0, { 3, 16, UINT64_MAX, 1ull << 52 } };
    struct map_reply out;
    struct kw_map_resource res = { { KW_MAP_RESOURCE, 0 }, d, XENMEM_resource_grant_table, 0, PROT_READ, 0, 1 };
    static uint8_t reply[KW_MAX_MSG];

    assert_int_equal(map_foreign(h, d, 1, 1, 0, PROT_READ), 0);
    assert_int_equal(map_foreign(h, 77, 1, 1, 0, PROT_READ), -ESRCH);
    assert_int_equal(map_foreign(h, 0, 1, 1, 0, PROT_READ), -EINVAL);
    assert_int_equal(map_foreign(h, DOMID_SELF, 1, 1, 0, PROT_READ), -EINVAL);
    assert_int_equal(map_foreign(h, 0x10000u + d, 1, 1, 0, PROT_READ), -EINVAL);
    assert_int_equal(map_foreign(h, d, 1, 1, 0, PROT_EXEC | PROT_READ), -EINVAL);
    assert_int_equal(map_foreign(h, d, 1, 2, 0, PROT_READ), -EINVAL);
    assert_int_equal(map_foreign(h, d, 2, 1, 0, PROT_READ), -EINVAL);
    assert_int_equal(map_foreign(h, d, 1, UINT32_MAX, 0, PROT_READ), -EINVAL);
    assert_int_equal(map_foreign(h, d, 1, 0x20000001, 0, PROT_READ), -EINVAL);    /* times 8 wraps to 8 */
    assert_int_equal(map_foreign(h, d, KW_MAX_GFNS, KW_MAX_GFNS, 0, PROT_READ), 0);
    assert_int_equal(map_foreign(h, d, KW_MAX_GFNS + 1, KW_MAX_GFNS + 1, 0, PROT_READ), -EINVAL);
    /* frames that are not there fail one by one */
    assert_int_equal(tc_call(h, &h->c, &some, sizeof(some), &out, sizeof(out)), 0);
    assert_int_equal(out.nr_runs, 2);
    assert_int_equal(out.run[0].nr, 1);
    assert_true(out.run[0].fd >= 0);
    assert_int_equal(out.run[1].nr, 3);
    assert_true(out.run[1].fd < 0);
    assert_int_equal((int64_t)out.run[1].page, -EINVAL);
    /* resources */
    assert_int_equal(tc_call(h, &h->c, &res, sizeof(res), reply, sizeof(reply)), 0);
    res.frame = UINT64_MAX;
    assert_int_equal(tc_call(h, &h->c, &res, sizeof(res), reply, sizeof(reply)), -EINVAL);
    res.frame = 0;
    res.nr = UINT64_MAX;
    assert_int_equal(tc_call(h, &h->c, &res, sizeof(res), reply, sizeof(reply)), -EINVAL);
    res.nr = 1;
    res.id = 77;
    assert_int_equal(tc_call(h, &h->c, &res, sizeof(res), reply, sizeof(reply)), -EINVAL);
    res.type = 99;
    assert_int_equal(tc_call(h, &h->c, &res, sizeof(res), reply, sizeof(reply)), -EOPNOTSUPP);
    res.domid = 77;
    assert_int_equal(tc_call(h, &h->c, &res, sizeof(res), reply, sizeof(reply)), -ESRCH);
}

/* ---- counts without end */

static void test_huge_counts(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct xen_memory_reservation res = { .nr_extents = UINT64_MAX, .domid = d };
    const unsigned by_extents[] = { XENMEM_decrease_reservation, XENMEM_populate_physmap };
    struct xen_sysctl list = { .cmd = XEN_SYSCTL_getdomaininfolist };
    struct xen_domctl vcpus = { .cmd = XEN_DOMCTL_max_vcpus, .domain = d };
    struct xen_domctl ctx = { .cmd = XEN_DOMCTL_sethvmcontext, .domain = d };
    struct xen_domctl policy = { .cmd = XEN_DOMCTL_set_cpu_policy, .domain = d };
    struct xen_domctl affinity = { .cmd = XEN_DOMCTL_setvcpuaffinity, .domain = d };
    struct xen_sysctl keys = { .cmd = XEN_SYSCTL_debug_keys };
    struct kw_gntshr share = { { KW_GNTSHR_SHARE, 0 }, d, UINT32_MAX, 1, 0 };
    struct kw_gnt_map map = { { KW_GNT_MAP, 0 }, UINT32_MAX, PROT_READ };
    long rc;

    res.extent_start.p = (void *)(uintptr_t)A(4096);
    memcpy(h->c.arena, &res, sizeof(res));
    for (unsigned i = 0; i < KR_ARRAY_SIZE(by_extents); i++) {
        /* what was done of it: nothing */
        rc = call(h, __HYPERVISOR_memory_op, by_extents[i], A(0));
        assert_int_equal(rc, 0);
    }
    list.u.getdomaininfolist.max_domains = UINT32_MAX;
    list.u.getdomaininfolist.buffer.p = (void *)(uintptr_t)A(0);
    assert_int_equal(tc_sysctl(h, &h->c, &list), 0);
    assert_int_equal(list.u.getdomaininfolist.num_domains, 2);
    vcpus.u.max_vcpus.max = UINT32_MAX;
    assert_int_equal(tc_domctl(h, &h->c, &vcpus), -EINVAL);
    ctx.u.hvmcontext.size = UINT32_MAX;
    ctx.u.hvmcontext.buffer.p = (void *)(uintptr_t)A(0);
    assert_true(tc_domctl(h, &h->c, &ctx) < 0);
    policy.u.cpu_policy.nr_leaves = policy.u.cpu_policy.nr_msrs = UINT32_MAX;
    policy.u.cpu_policy.leaves.p = (void *)(uintptr_t)A(0);
    policy.u.cpu_policy.msrs.p = (void *)(uintptr_t)A(0);
    assert_int_equal(tc_domctl(h, &h->c, &policy), -E2BIG);
    affinity.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD;
    affinity.u.vcpuaffinity.cpumap_hard.nr_bits = UINT32_MAX;
    affinity.u.vcpuaffinity.cpumap_hard.bitmap.p = (void *)(uintptr_t)A(0);
    assert_int_equal(tc_domctl(h, &h->c, &affinity), -EFAULT);
    keys.u.debug_keys.nr_keys = UINT32_MAX;
    keys.u.debug_keys.keys.p = (void *)(uintptr_t)A(ARENA_SIZE - 1);
    assert_int_equal(tc_sysctl(h, &h->c, &keys), -EFAULT);
    assert_int_equal(tc_call(h, &h->c, &share, sizeof(share), NULL, 0), -EINVAL);
    assert_int_equal(tc_call(h, &h->c, &map, sizeof(map), NULL, 0), -EINVAL);
    assert_served(h);
}

/* ---- readers that do not read */

/*
 * Each reply brings a descriptor; unread, they would count against all the others' (unix(7)). Asking
 * for more before reading ends the connection.
 */
static void test_no_reader(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct map_request m = { { KW_MAP_FOREIGN, 0 }, d, PROT_READ, 1, 0, { 0 } };
    struct books before = books(h, d);
    int fd = join(h, 0);
    unsigned nr = 0;

    hello_on(h, fd);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(say(h, fd, &m, ONE_MAP), 0);
    }
    for (int i = 0; i < 10; i++) {
        (void)!send(fd, &m, ONE_MAP, MSG_NOSIGNAL | MSG_DONTWAIT);
        th_turn(h);
    }
    assert_int_equal(h->core->nr_clients, before.clients);
    assert_int_equal(status_on(h, fd, &nr), 0);    /* what was sent can be read */
    assert_int_equal(nr, 1);
    assert_int_equal(status_on(h, fd, &nr), 2);
    close(fd);
    assert_same(books(h, d), before);
}

/* The same from one that has put its own end into the socket and gone: no hang-up will ever tell. */
static void test_own_end(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct map_request m = { { KW_MAP_FOREIGN, 0 }, d, PROT_READ, 1, 0, { 0 } };
    struct books before = books(h, d);
    int fd = join(h, 0);

    hello_on(h, fd);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(send(fd, &m, ONE_MAP, MSG_NOSIGNAL), ONE_MAP);
        send_own_end(fd, &m, ONE_MAP);
    }
    close(fd);
    assert_same(books(h, d), before);
}

/* Replies without descriptors wait for their reader in the socket, as many as it takes. */
static void test_slow_reader(void **state)
{
    struct th *h = *state;
    struct kw_hypercall m = { { KW_HYPERCALL, 0 }, __HYPERVISOR_xen_version, { XENVER_version } };
    struct books before = books(h, 0);
    int fd = join(h, 0), got = 0;
    struct kw_hypercall_reply r;

    hello_on(h, fd);
    for (int i = 0; i < 50; i++) {
        m.h.seq = (uint32_t)i;
        assert_int_equal(send(fd, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT), sizeof(m));
        th_turn(h);
    }
    for (; got < 50; got++) {
        assert_int_equal(recv(fd, &r, sizeof(r), MSG_DONTWAIT), sizeof(r));
        assert_int_equal(r.h.seq, got);
        assert_int_equal(r.ret, 4 << 16 | 17);
    }
    /* one that never reads */
    for (int i = 0; i < 100000 && h->core->nr_clients > before.clients; i++) {
        (void)!send(fd, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT);
        th_turn(h);
    }
    assert_int_equal(h->core->nr_clients, before.clients);
    assert_served(h);
    close(fd);
    assert_same(books(h, 0), before);
}

/* ---- too many of everything */

static void test_too_many_connections(void **state)
{
    struct th *h = *state;
    struct books before = books(h, 0);
    int fd[32], n = 0, other;

    h->core->max_fds = 8 * 10;    /* ten connections, five of a process */
    while (n < 32 && (fd[n] = join(h, 111)) >= 0) {
        hello_on(h, fd[n++]);
    }
    assert_int_equal(n, 5);
    assert_int_equal(errno, EMFILE);
    other = join(h, 222);    /* another process is served */
    assert_true(other >= 0);
    hello_on(h, other);
    assert_served(h);
    /* who says nothing makes room for who comes */
    for (int i = 0; i < 20; i++) {
        fd[n + i] = join(h, 1000 + i);
        assert_true(fd[n + i] >= 0);
    }
    assert_int_equal(h->core->nr_clients, 10);
    hello_on(h, fd[n + 19]);
    assert_served(h);
    close(other);
    for (int i = 0; i < n + 20; i++) {
        close(fd[i]);
    }
    assert_same(books(h, 0), before);
    /* full of those that have: the next has to wait */
    for (n = 0; n < 32 && (fd[n] = join(h, 1 + n)) >= 0; n++) {
        hello_on(h, fd[n]);
    }
    assert_int_equal(n, 9);    /* and the one that behaves */
    for (int i = 0; i < n; i++) {
        close(fd[i]);
    }
    assert_same(books(h, 0), before);
}

static void test_too_many_held(void **state)
{
    struct th *h = *state;
    struct kw_evtchn port = { { KW_EVTCHN_UNBOUND, 1 }, 0, 0 };
    struct kw_gntshr share = { { KW_GNTSHR_SHARE, 1 }, 0, 1, 1, 0 };
    struct books before = books(h, 0);
    int fd = join(h, 111), second = join(h, 111), other = join(h, 222);
    int n = 0, held[64];

    h->core->max_fds = 16 * 20;    /* twenty for a process */
    hello_on(h, fd);
    hello_on(h, second);
    hello_on(h, other);
    while (n < 100 && say(h, n & 1 ? fd : second, n & 2 ? (void *)&port : (void *)&share,
                          n & 2 ? sizeof(port) : sizeof(share)) == 0) {
        n++;
    }
    assert_int_equal(n, 20);
    assert_int_equal(say(h, fd, &port, sizeof(port)), -ENOSPC);
    assert_int_equal(say(h, fd, &share, sizeof(share)), -ENOSPC);
    assert_int_equal(say(h, other, &port, sizeof(port)), 0);
    close(second);
    assert_int_equal(status_on(h, second, &(unsigned){ 0 }), 2);
    assert_int_equal(say(h, fd, &port, sizeof(port)), 0);    /* they are given back */
    close(fd);
    close(other);
    assert_same(books(h, 0), before);
    /* when descriptors run short, for nobody */
    fd = join(h, 0);
    hello_on(h, fd);
    for (n = 0; n < 64; n++) {
        held[n] = dup(fd);
    }
    h->core->max_fds = 64;
    assert_int_equal(say(h, fd, &port, sizeof(port)), -ENOSPC);
    for (n = 0; n < 64; n++) {
        close(held[n]);
    }
    assert_int_equal(say(h, fd, &port, sizeof(port)), 0);
    close(fd);
}

/* ---- death */

static struct grant_entry_v1 *entry(struct th *h, domid_t d, uint32_t ref)
{
    return (struct grant_entry_v1 *)(th_proc(h, d)->xen + KL_XEN_GRANT_FRAMES * 4096ul) + ref;
}

static void test_death_with_everything(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct map_request foreign = { { KW_MAP_FOREIGN, 0 }, d, PROT_READ | PROT_WRITE, 1, 0, { 2 } };
    struct grant_request grant = { { KW_GNT_MAP, 0 }, 1, PROT_READ | PROT_WRITE, { { d, 8 } } };
    struct grant_reply mapped;
    struct kw_gntshr share = { { KW_GNTSHR_SHARE, 0 }, d, 3, 1, 0 };
    struct share_reply shared;
    struct kw_evtchn port = { { KW_EVTCHN_UNBOUND, 0 }, d, 0 };
    struct kw_port_reply bound, unbound;
    struct kw_gnt_notify notify = { { KW_GNT_NOTIFY, 0 }, 0, KW_NOTIFY_CLEAR_BYTE | KW_NOTIFY_SEND_EVENT, 0, 5 };
    struct evtchn_alloc_unbound guests = { .dom = DOMID_SELF, .remote_dom = 0 };
    struct evtchn_bind_interdomain to_client = { .remote_dom = 0 };
    struct books before;
    uint8_t byte = 0xff;
    uint64_t event = 0;
    struct tc c;

    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    assert_int_equal(gnt_grow(domain_find(h->core, d), 1), 0);
    domain_find(h->core, d)->gt.version = 1;
    entry(h, d, 8)->domid = 0;
    entry(h, d, 8)->frame = 7;
    entry(h, d, 8)->flags = GTF_permit_access;
    tg_write(h, d, 7 * 4096 + 5, &byte, 1);
    tg_write(h, d, 0x3000, &guests, sizeof(guests));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, 0x3000, 0), 0);
    tg_read(h, d, 0x3000, &guests, sizeof(guests));
    before = books(h, d);

    tc_open(h, &c);
    assert_int_equal(tc_call(h, &c, &foreign, ONE_MAP, &mapped, sizeof(mapped)), 0);
    assert_int_equal(tc_call(h, &c, &port, sizeof(port), &unbound, sizeof(unbound)), 0);
    port.h.op = KW_EVTCHN_VIRQ;
    port.port = VIRQ_DEBUGGER;
    assert_int_equal(tc_call(h, &c, &port, sizeof(port), &bound, sizeof(bound)), 0);
    port.h.op = KW_EVTCHN_INTERDOMAIN;
    port.port = guests.port;
    assert_int_equal(tc_call(h, &c, &port, sizeof(port), &bound, sizeof(bound)), 0);
    assert_int_equal(tc_call(h, &c, &grant, sizeof(grant), &mapped, sizeof(mapped)), 0);
    notify.handle = mapped.handle;
    notify.port = bound.port;
    assert_int_equal(tc_call(h, &c, &notify, sizeof(notify), NULL, 0), 0);
    assert_int_equal(tc_call(h, &c, &share, sizeof(share), &shared, sizeof(shared)), 0);
    /* the guest has a part in the client's port */
    to_client.remote_port = unbound.port;
    tg_write(h, d, 0x3000, &to_client, sizeof(to_client));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, 0x3000, 0), 0);
    tg_read(h, d, 0x3000, &to_client, sizeof(to_client));
    assert_int_equal(entry(h, d, 8)->flags, GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(th_proc(h, d)->port[guests.port].kind, KL_PORT_INTERDOMAIN);
    while (read(th_proc(h, d)->port[guests.port].recv, &event, sizeof(event)) > 0) {
    }
    /* SIGKILL does no more than this */
    tc_close(h, &c);
    assert_int_equal(entry(h, d, 8)->flags, GTF_permit_access);
    tg_read(h, d, 7 * 4096 + 5, &byte, 1);
    assert_int_equal(byte, 0);
    assert_int_equal(th_proc(h, d)->port[guests.port].kind, KL_PORT_UNBOUND);
    assert_int_equal(th_proc(h, d)->port[to_client.local_port].kind, KL_PORT_UNBOUND);
    assert_same(books(h, d), before);
    assert_served(h);
}

/* A call that waits for a domain ends with its client; what it did not begin it does not do. */
static void test_death_in_a_call(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct domain *dom = domain_find(h->core, d);
    struct tp *p = th_proc(h, d);
    struct kl_hdr stopped = { KL_STOPPED, sizeof(stopped) };
    struct kw_hypercall m = { { KW_HYPERCALL, 1 }, __HYPERVISOR_domctl, { ARENA_VA } };
    struct books before;
    struct tc c;

    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    before = books(h, d);
    for (unsigned what = 0; what < 2; what++) {
        struct xen_domctl op = { .cmd = what ? XEN_DOMCTL_pausedomain : XEN_DOMCTL_getvcpucontext, .domain = d,
                                 .interface_version = XEN_DOMCTL_INTERFACE_VERSION };

        p->hold_stop = true;
        tc_open(h, &c);
        memcpy(c.arena, &op, sizeof(op));
        tc_send(&c, &m, sizeof(m));
        th_turn(h);
        assert_true(p->running);         /* asked to stop, has not */
        assert_non_null(dom->waiters);
        tc_close(h, &c);
        assert_null(dom->waiters);
        assert_int_equal(dom->hold_count, 0);
        assert_int_equal(dom->pause_count, what);    /* as on Xen, pausing is done when it is asked for */
        assert_served(h);
        p->running = p->hold_stop = false;
        assert_int_equal(send(p->sock, &stopped, sizeof(stopped), MSG_NOSIGNAL), sizeof(stopped));
        th_turn(h);
        assert_int_equal(p->running, !what);
    }
    assert_same(books(h, d), before);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
}

/* Claims and half-made domains are the domain's, which outlives who made it, as on Xen. */
static void test_death_in_a_creation(void **state)
{
    struct th *h = *state;
    struct books before = books(h, 0);
    struct xen_domctl op = { .cmd = XEN_DOMCTL_createdomain };
    struct xen_domctl_createdomain *cfg = &op.u.createdomain;
    struct xen_memory_reservation claim = { .nr_extents = 1000 };
    struct tc c;

    tc_open(h, &c);
    cfg->flags = XEN_DOMCTL_CDF_hvm;
    cfg->max_vcpus = 2;
    cfg->max_evtchn_port = 100;
    cfg->grant_opts = 2;
    cfg->arch.emulation_flags = XEN_X86_EMU_LAPIC;
    assert_int_equal(tc_domctl(h, &c, &op), 0);
    claim.domid = op.domain;
    op = (struct xen_domctl){ .cmd = XEN_DOMCTL_max_mem, .domain = claim.domid };
    op.u.max_mem.max_memkb = 8192;
    assert_int_equal(tc_domctl(h, &c, &op), 0);
    memcpy(c.arena, &claim, sizeof(claim));
    assert_int_equal(tc_hypercall(h, &c, __HYPERVISOR_memory_op, XENMEM_claim_pages, A(0), 0, 0, 0), 0);
    tc_close(h, &c);
    assert_int_equal(h->core->host.claimed_pages, before.claimed + 1000);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, claim.domid), 0);
    before.fds += 3;    /* the stand-in process keeps what it was given */
    assert_int_equal(books(h, 0).given, before.given);
    assert_int_equal(books(h, 0).claimed, before.claimed);
    assert_int_equal(books(h, 0).ports, before.ports);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, th_setup, th_teardown)
    const struct CMUnitTest tests[] = {
        T(test_greeting), T(test_packets), T(test_unwanted_fds), T(test_arenas), T(test_pointers),
        T(test_versions), T(test_unknown_ops), T(test_domids), T(test_maps), T(test_huge_counts),
        T(test_no_reader), T(test_own_end), T(test_slow_reader), T(test_too_many_connections), T(test_too_many_held),
        T(test_death_with_everything), T(test_death_in_a_call), T(test_death_in_a_creation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
