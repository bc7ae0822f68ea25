/* SPDX-License-Identifier: MIT */
#include "tests/unit/core_harness.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor/core/cpu_policy.h"
#include "hypervisor/core/grant_table.h"

#define SCRATCH (ARENA_SIZE - 65536)    /* of the arena: this file's own */

static struct th *current;    /* spawn() has no other way back to the test */

static int fake_spawn(struct core *core, const char *mode, int *sock, pid_t *pid)
{
    struct tp *p = &current->proc[current->nr_procs];
    int sv[2];

    if (current->nr_procs == TEST_DOMS || mode) {
        errno = ENOENT;
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
        return -1;
    }
    memset(p, 0, sizeof(*p));
    p->used = true;
    p->sock = sv[1];
    for (unsigned i = 0; i < 512; i++) {
        p->port[i].recv = p->port[i].send = -1;
    }
    current->nr_procs++;
    *sock = sv[0];
    *pid = -1;
    return 0;
}

static ssize_t recv_fds(int sock, void *buf, size_t len, int *fds, unsigned *nr)
{
    union { struct cmsghdr h; char b[CMSG_SPACE(KW_MAX_FDS * sizeof(int))]; } c;
    struct iovec iov = { buf, len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.b,
                        .msg_controllen = sizeof(c.b) };
    ssize_t n = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *nr = 0;
    for (struct cmsghdr *h = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL; h; h = CMSG_NXTHDR(&m, h)) {
        *nr = (unsigned)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(h), *nr * sizeof(int));
    }
    return n;
}

static void reply_plain(struct tp *p, uint32_t op)
{
    struct kl_hdr h = { op, sizeof(h) };

    assert_int_equal(send(p->sock, &h, sizeof(h), MSG_NOSIGNAL), sizeof(h));
}

static void proc_port(struct tp *p, const struct kl_port *m, const int *fds, unsigned nr)
{
    if (m->port >= 512) {    /* beyond what tests look at */
        for (unsigned i = 0; i < nr; i++) {
            close(fds[i]);
        }
        return;
    }
    if ((int32_t)(m->seq - p->port[m->port].seq) <= 0) {
        for (unsigned i = 0; i < nr; i++) {
            close(fds[i]);
        }
        return;
    }
    if (p->port[m->port].recv >= 0) {
        close(p->port[m->port].recv);
    }
    if (p->port[m->port].send >= 0) {
        close(p->port[m->port].send);
    }
    p->port[m->port].kind = m->kind;
    p->port[m->port].vcpu = m->vcpu;
    p->port[m->port].seq = m->seq;
    p->port[m->port].recv = nr ? fds[0] : -1;
    p->port[m->port].send = nr > 1 ? fds[1] : -1;
    assert_true(nr == (m->kind == KL_PORT_INTERDOMAIN ? 2 : 0) || (nr == 1 && m->kind == KL_PORT_VIRQ));
}

static void proc_setup(struct tp *p, const struct kl_setup *m, const int *fds, unsigned nr)
{
    assert_int_equal(nr, 3);
    assert_int_equal(m->version, KL_VERSION);
    p->ram_fd = fds[0];
    p->xen_fd = fds[1];
    p->state_fd = fds[2];
    p->xen = mmap(NULL, KL_XEN_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p->xen_fd, 0);
    p->state = mmap(NULL, sizeof(*p->state), PROT_READ | PROT_WRITE, MAP_SHARED, p->state_fd, 0);
    assert_true(p->xen != MAP_FAILED && p->state != MAP_FAILED);
    reply_plain(p, KL_READY);
}

static void forget_foreign(struct tp *p, uint64_t gfn, uint64_t nr)
{
    for (unsigned i = 0; i < p->nr_foreign;) {
        if (p->foreign[i].gfn - gfn < nr) {
            close(p->foreign[i].fd);
            p->foreign[i] = p->foreign[--p->nr_foreign];
        } else {
            i++;
        }
    }
}

static void note_foreign(struct tp *p, const struct kl_run_map *r, int fd)
{
    for (uint64_t i = 0; i < r->nr; i++) {
        assert_true(p->nr_foreign < TEST_FOREIGN);
        p->foreign[p->nr_foreign++] = (struct tp_foreign){ r->gfn + i, r->page + i, r->type, dup(fd) };
    }
}

static void proc_maps(struct tp *p, const uint8_t *buf, const int *fds, unsigned nr)
{
    const struct kl_map *m = (const void *)buf;
    const struct kl_unmap *u = (const void *)buf;

    if (m->h.op == KL_MAP) {
        p->maps++;
        for (uint32_t i = 0; i < m->nr; i++) {
            p->mapped += m->run[i].nr;
            p->map_type = m->run[i].type;
            forget_foreign(p, m->run[i].gfn, m->run[i].nr);
            assert_int_equal(nr, m->run[i].mem == KL_MEM_FD);
            if (nr) {
                note_foreign(p, &m->run[i], fds[0]);
            }
        }
        for (unsigned i = 0; i < nr; i++) {
            close(fds[i]);
        }
        return;
    }
    p->unmaps++;
    for (uint32_t i = 0; i < u->nr; i++) {
        p->unmapped += u->run[i].nr;
        forget_foreign(p, u->run[i].gfn, u->run[i].nr);
    }
}

static void drop_ways(struct tp *p, uint32_t id)
{
    for (unsigned i = 0; i < TEST_WAYS; i++) {
        if (p->way[id][i].port) {
            close(p->way[id][i].recv);
            close(p->way[id][i].send);
        }
        p->way[id][i].port = 0;
    }
}

static void proc_ioreq(struct tp *p, const struct kl_ioreq *m)
{
    assert_true(m->id < KL_XEN_MAX_IOREQ_SERVERS);
    free(p->ioreq[m->id]);
    p->ioreq[m->id] = NULL;
    if (m->state == KL_IOREQ_GONE) {
        drop_ways(p, m->id);
        return;
    }
    p->ioreq[m->id] = malloc(m->h.len);
    assert_non_null(p->ioreq[m->id]);
    memcpy(p->ioreq[m->id], m, m->h.len);
}

static void proc_sync(struct tp *p, const struct kl_sync *m)
{
    struct kl_sync done = { { KL_SYNCED, sizeof(done) }, m->seq };

    p->syncs++;
    if (!p->hold_sync) {
        assert_int_equal(send(p->sock, &done, sizeof(done), MSG_NOSIGNAL), sizeof(done));
    }
}

static void proc_ioreq_port(struct tp *p, const struct kl_ioreq_port *m, const int *fds, unsigned nr)
{
    uint32_t i = m->vcpu == KL_IOREQ_BUFFERED ? TEST_WAYS - 1 : m->vcpu;

    assert_int_equal(nr, 2);
    assert_non_null(p->ioreq[m->id]);
    if (i >= TEST_WAYS) {
        close(fds[0]);
        close(fds[1]);
        return;
    }
    assert_int_equal(p->way[m->id][i].port, 0);
    p->way[m->id][i].port = m->port;
    p->way[m->id][i].recv = fds[0];
    p->way[m->id][i].send = fds[1];
}

/* One message to a process, from its control socket or a vCPU's. */
static void proc_message(struct tp *p, const uint8_t *buf, ssize_t n, const int *fds, unsigned nr)
{
    const struct kl_hdr *h = (const void *)buf;

    assert_true(n >= (ssize_t)sizeof(*h));
    assert_int_equal(h->len, n);
    switch (h->op) {
    case KL_SETUP:
        proc_setup(p, (const void *)buf, fds, nr);
        break;
    case KL_VCPU:
        assert_int_equal(nr, 1);
        p->vcpu[p->nr_vcpus++] = fds[0];
        break;
    case KL_MAP:
    case KL_UNMAP:
        proc_maps(p, buf, fds, nr);
        break;
    case KL_PORT:
        proc_port(p, (const void *)buf, fds, nr);
        break;
    case KL_PARAM:
        p->param = *(const struct kl_param *)(const void *)buf;
        p->params++;
        break;
    case KL_IOREQ:
        proc_ioreq(p, (const void *)buf);
        break;
    case KL_IOREQ_PORT:
        proc_ioreq_port(p, (const void *)buf, fds, nr);
        break;
    case KL_SYNC:
        proc_sync(p, (const void *)buf);
        break;
    case KL_MSI:
        p->msi = *(const struct kl_msi *)(const void *)buf;
        p->msis++;
        break;
    case KL_INJECT:
        p->inject = *(const struct kl_inject *)(const void *)buf;
        p->injects++;
        break;
    case KL_CPUID:
        p->got_policy = true;
        break;
    case KL_RUN:
        assert_false(p->running);
        p->running = true;
        p->runs++;
        break;
    case KL_STOP:
        assert_true(p->running);
        p->stops++;
        if (!p->hold_stop) {
            p->running = false;
            reply_plain(p, KL_STOPPED);
        }
        break;
    default:
        break;
    }
}

static bool serve_procs(struct th *h)
{
    static _Alignas(8) uint8_t buf[KL_MAX_MSG];
    bool any = false;

    for (unsigned i = 0; i < h->nr_procs; i++) {
        struct tp *p = &h->proc[i];
        int fds[KW_MAX_FDS];
        unsigned nr;
        ssize_t n = -1;

        while (p->used && p->sock >= 0 && (n = recv_fds(p->sock, buf, sizeof(buf), fds, &nr)) > 0) {
            proc_message(p, buf, n, fds, nr);
            any = true;
        }
        if (p->sock >= 0 && n == 0) {    /* the core is done with this one */
            close(p->sock);
            p->sock = -1;
        }
    }
    return any;
}

static int one_turn(struct th *h)
{
    struct timespec a, b;
    uint64_t ns;
    int rc;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    rc = sd_event_run(h->event, 0);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    ns =
        (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000ull + (uint64_t)b.tv_nsec - (uint64_t)a.tv_nsec;
    h->max_turn_ns = ns > h->max_turn_ns ? ns : h->max_turn_ns;
    return rc;
}

/* A machine's core ends its loop itself. */
static bool ended(struct th *h)
{
    int code;

    return sd_event_get_exit_code(h->event, &code) >= 0;
}

void th_turn(struct th *h)
{
    int rc = 0;

    do {
        while (!ended(h) && (rc = one_turn(h)) > 0) {
        }
        assert_true(ended(h) || rc >= 0);
    } while (serve_procs(h) && !ended(h));
}

static void fake_policy(struct core *core)
{
    static const struct kl_cpuid_leaf leaf[] = {
        { 0, UINT32_MAX, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69 },
        { 1, UINT32_MAX, 0x306a9, 0, 0x80202001, 0x078bfbff },
        { 7, 0, 0, 0x00100000, 0, 0 },
        { 0x80000000, UINT32_MAX, 0x80000008, 0, 0, 0 },
        { 0x80000001, UINT32_MAX, 0, 0, 1, 0x28100800 },
    };

    cpu_policy_from_leaves(&core->policy_max, leaf, KR_ARRAY_SIZE(leaf));
    core->described = true;
    core->tsc_khz = 1000000;
    strcpy(core->engine, "fake");
    strcpy(core->kvm_verdict, "not looked at");
}

struct th *th_new(void)
{
    struct th *h = calloc(1, sizeof(*h));

    assert_non_null(h);
    current = h;
    assert_true(sd_event_new(&h->event) >= 0);
    h->core = core_new(h->event);
    assert_non_null(h->core);
    h->core->spawn = fake_spawn;
    fake_policy(h->core);
    tc_open(h, &h->c);
    return h;
}

/* The frames of d that show others' pages. */
static void check_foreign(const struct domain *d)
{
    uint32_t entries = 0, grants = 0;
    uint64_t page;

    for (uint64_t g = 0; !d->host && (g = p2m_next(d, g)) < d->p2m.max_gfn_plus1; g++) {
        struct p2m_entry e = p2m_lookup(d, g);

        if (e.type == P2M_FOREIGN) {
            const struct foreign *f = foreign_get(d, e.page);

            assert_non_null(f);
            assert_int_equal(f->gfn, g);
            assert_true(f->mem != FOREIGN_RAM || page_holds(f->owner, f->page));
            assert_true(foreign_fd(f, &page) >= 0);
            entries++;
            grants += f->grant;
        }
    }
    assert_int_equal(entries, d->foreign.used);
    assert_int_equal(grants, d->foreign.grants);
    assert_true(d->foreign.runs <= entries && (entries == 0) == (d->foreign.runs == 0));
}

/* Pages of domains that are gone, and are accounted as long as somebody has them. */
static uint64_t left_behind(struct th *h)
{
    uint64_t pages = 0;
    struct domain *gone[TEST_DOMS];
    unsigned nr = 0;

    for (struct domain *d = h->core->domains; d; d = d->next) {
        for (uint32_t i = 0; i < d->foreign.nr; i++) {
            struct domain *o = d->foreign.e[i].mem ? d->foreign.e[i].owner : NULL;
            bool known = !o || !o->dead;

            for (unsigned k = 0; k < nr; k++) {
                known |= gone[k] == o;
            }
            if (!known) {
                gone[nr++] = o;
                assert_true(o->tot_pages <= o->held.nr);    /* fewer: some were owed (pod.h) */
                pages += o->tot_pages;
            }
        }
    }
    for (struct client *c = h->core->clients; c; c = c->next) {
        for (struct gnt_map *m = c->maps; m; m = m->next) {
            for (uint32_t i = 0; i < m->nr; i++) {
                struct domain *o = m->page[i].d;
                bool known = !o->dead;

                for (unsigned k = 0; k < nr; k++) {
                    known |= gone[k] == o;
                }
                if (!known) {
                    gone[nr++] = o;
                    pages += o->tot_pages;
                }
            }
        }
    }
    return pages;
}

/* Held pages, and those that are apart. */
static void check_held(struct th *h, const struct domain *d)
{
    uint32_t used = 0, nr = 0, freed = 0, apart = 0, homeless = 0;

    for (uint32_t i = 0; i < d->held.size; i++) {
        const struct held *e = &d->held.slot[i];

        if (e->used) {
            struct p2m_entry p = p2m_lookup(d, e->gfn);

            used++;
            nr += e->count != 0;
            freed += e->freed;
            apart += e->apart;
            homeless += !e->count;
            assert_true(e->count || (e->apart && !e->freed));
            assert_true(!e->apart || e->freed || (p.type == P2M_RAM && p.page == e->page));
        }
    }
    assert_int_equal(used, d->held.used);
    assert_int_equal(nr, d->held.nr);
    assert_int_equal(freed, d->held.nr_freed);
    assert_int_equal(apart, d->held.nr_apart);
    assert_int_equal(homeless, d->held.nr_homeless);
    assert_true(apart <= h->core->pages_apart);
}

void th_check(struct th *h)
{
    uint64_t given = 0, claimed = 0;

    for (struct domain *d = h->core->domains; d; d = d->next) {
        uint64_t pages = 0, pins = 0;
        uint32_t ports = 0;

        given += d->tot_pages + d->claim_pages;
        claimed += d->claim_pages;
        for (uint64_t g = 0; !d->host && (g = p2m_next(d, g)) < d->p2m.max_gfn_plus1; g++) {
            pages += p2m_is_ram(p2m_lookup(d, g).type);
        }
        assert_true(d->host ||
                    pages + d->held.nr_freed + d->pod.cache == d->tot_pages + d->pod.owed);
        check_held(h, d);
        for (unsigned b = 0; d->gt.active && b < GNT_MAX_BUCKETS; b++) {
            for (unsigned i = 0; d->gt.active[b] && i < GNT_BUCKET; i++) {
                pins += d->gt.active[b][i].pins_r + d->gt.active[b][i].pins_w;
            }
        }
        assert_int_equal(pins, d->gt.pinned);
        check_foreign(d);
        for (uint32_t b = 0; d->evt && b < d->evt->nr_buckets; b++) {
            for (unsigned i = 0; d->evt->bucket[b] && i < EVT_BUCKET; i++) {
                ports += d->evt->bucket[b][i].state != EVTCHNSTAT_closed;
            }
        }
        assert_int_equal(ports, d->evt->used);
    }
    given += left_behind(h);
    assert_int_equal(given, h->core->host.given_pages);
    assert_int_equal(claimed, h->core->host.claimed_pages);
}

static void close_if(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

void th_free(struct th *h)
{
    tc_close(h, &h->c);
    core_free(h->core);
    sd_event_unref(h->event);
    for (unsigned i = 0; i < h->nr_procs; i++) {
        struct tp *p = &h->proc[i];

        close_if(&p->sock);
        for (unsigned v = 0; v < p->nr_vcpus; v++) {
            close_if(&p->vcpu[v]);
        }
        for (unsigned k = 0; k < 512; k++) {
            close_if(&p->port[k].recv);
            close_if(&p->port[k].send);
        }
        forget_foreign(p, 0, UINT64_MAX);
        for (uint32_t id = 0; id < KL_XEN_MAX_IOREQ_SERVERS; id++) {
            drop_ways(p, id);
            free(p->ioreq[id]);
        }
        if (p->xen) {
            munmap(p->xen, KL_XEN_PAGES * 4096);
            munmap(p->state, sizeof(*p->state));
            close(p->ram_fd);
            close(p->xen_fd);
            close(p->state_fd);
        }
    }
    free(h);
}

int th_setup(void **state)
{
    *state = th_new();
    return 0;
}

int th_teardown(void **state)
{
    th_free(*state);
    return 0;
}

void tc_send(struct tc *c, const void *req, size_t len)
{
    assert_int_equal(send(c->sock, req, len, MSG_NOSIGNAL | MSG_DONTWAIT), len);
}

int tc_call(struct th *h, struct tc *c, void *req, size_t len, void *reply, size_t reply_len)
{
    static _Alignas(8) uint8_t buf[KW_MAX_MSG];
    struct kw_req *r = req;
    struct kw_reply *out = (void *)buf;
    ssize_t n = -1;

    r->seq = ++c->seq;
    for (unsigned i = 0; i < c->nr_fds; i++) {
        close(c->fds[i]);
    }
    c->nr_fds = 0;
    tc_send(c, req, len);
    for (int i = 0; i < 100000 && n < 0; i++) {
        th_turn(h);
        n = recv_fds(c->sock, buf, sizeof(buf), c->fds, &c->nr_fds);
    }
    assert_true(n >= (ssize_t)sizeof(*out));
    assert_int_equal(out->seq, r->seq);
    if (!out->status && reply) {
        assert_true((size_t)n <= reply_len);
        memcpy(reply, buf, (size_t)n);
    }
    return out->status;
}

void tc_open(struct th *h, struct tc *c)
{
    struct kw_hello hello = { { KW_HELLO, 0 }, KW_MAGIC, KW_VERSION };
    struct kw_arena arena = { { KW_ARENA, 0 }, ARENA_VA, ARENA_SIZE };
    struct kw_hello_reply hr;
    struct kw_reply r;
    int sv[2];

    memset(c, 0, sizeof(*c));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
    c->sock = sv[1];
    assert_non_null(client_new(h->core, sv[0], geteuid(), 0));
    assert_int_equal(tc_call(h, c, &hello, sizeof(hello), &hr, sizeof(hr)), 0);
    assert_int_equal(tc_call(h, c, &arena, sizeof(arena), &r, sizeof(r)), 0);
    assert_int_equal(c->nr_fds, 1);
    c->arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->fds[0], 0);
    assert_true(c->arena != MAP_FAILED);
}

void tc_close(struct th *h, struct tc *c)
{
    for (unsigned i = 0; i < c->nr_fds; i++) {
        close(c->fds[i]);
    }
    munmap(c->arena, ARENA_SIZE);
    close(c->sock);
    c->sock = -1;
    th_turn(h);
}

long tc_hypercall(struct th *h, struct tc *c, uint64_t op, uint64_t a0, uint64_t a1, uint64_t a2,
                  uint64_t a3, uint64_t a4)
{
    struct kw_hypercall m = { { KW_HYPERCALL, 0 }, op, { a0, a1, a2, a3, a4 } };
    struct kw_hypercall_reply r;

    assert_int_equal(tc_call(h, c, &m, sizeof(m), &r, sizeof(r)), 0);
    return r.ret;
}

long tc_domctl(struct th *h, struct tc *c, struct xen_domctl *op)
{
    long rc;

    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    memcpy(c->arena + SCRATCH, op, sizeof(*op));
    rc = tc_hypercall(h, c, __HYPERVISOR_domctl, A(SCRATCH), 0, 0, 0, 0);
    memcpy(op, c->arena + SCRATCH, sizeof(*op));
    return rc;
}

long tc_sysctl(struct th *h, struct tc *c, struct xen_sysctl *op)
{
    long rc;

    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    memcpy(c->arena + SCRATCH, op, sizeof(*op));
    rc = tc_hypercall(h, c, __HYPERVISOR_sysctl, A(SCRATCH), 0, 0, 0, 0);
    memcpy(op, c->arena + SCRATCH, sizeof(*op));
    return rc;
}

long tc_populate(struct th *h, struct tc *c, domid_t domid, uint64_t gfn, uint64_t nr,
                 unsigned order)
{
    return tc_reservation(h, c, XENMEM_populate_physmap, domid, gfn, nr, order, 0);
}

long tc_reservation(struct th *h, struct tc *c, unsigned op, domid_t domid, uint64_t gfn,
                    uint64_t nr, unsigned order, unsigned flags)
{
    struct xen_memory_reservation r = { .nr_extents = nr, .extent_order = order,
                                        .mem_flags = flags, .domid = domid };
    uint64_t *list = (uint64_t *)(c->arena + SCRATCH + 4096);

    assert_true(nr <= 7000);
    for (uint64_t i = 0; i < nr; i++) {
        list[i] = gfn + (i << order);
    }
    r.extent_start.p = (void *)(uintptr_t)A(SCRATCH + 4096);
    memcpy(c->arena + SCRATCH, &r, sizeof(r));
    return tc_hypercall(h, c, __HYPERVISOR_memory_op, op, A(SCRATCH), 0, 0, 0);
}

long th_simple(struct th *h, uint32_t cmd, domid_t domid)
{
    struct xen_domctl op = { .cmd = cmd, .domain = domid };

    return tc_domctl(h, &h->c, &op);
}

domid_t th_domain(struct th *h, unsigned vcpus, uint64_t pages)
{
    struct xen_domctl op = { .cmd = XEN_DOMCTL_createdomain };
    struct xen_domctl_createdomain *cfg = &op.u.createdomain;
    domid_t domid;

    cfg->flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
    cfg->max_vcpus = vcpus;
    cfg->max_evtchn_port = 1023;
    cfg->max_grant_frames = 64;
    cfg->max_maptrack_frames = 1024;
    cfg->grant_opts = 2;
    cfg->arch.emulation_flags = XEN_X86_EMU_LAPIC;
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    domid = op.domain;
    op = (struct xen_domctl){ .cmd = XEN_DOMCTL_max_vcpus, .domain = domid };
    op.u.max_vcpus.max = vcpus;
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    op = (struct xen_domctl){ .cmd = XEN_DOMCTL_max_mem, .domain = domid };
    op.u.max_mem.max_memkb = (pages + 256) * 4;
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    for (uint64_t at = 0; at < pages;) {
        uint64_t n = pages - at < 4096 ? pages - at : 4096;

        assert_int_equal(tc_populate(h, &h->c, domid, at, n, 0), n);
        at += n;
    }
    th_turn(h);
    return domid;
}

struct tp *th_proc(struct th *h, domid_t domid)
{
    struct domain *d = domain_find(h->core, domid);

    /* processes are made in the order of domains, and domains never again in one test */
    assert_non_null(d);
    assert_true(d->serial >= 2 && d->serial - 2 < h->nr_procs);
    return &h->proc[d->serial - 2];
}

void tg_start(struct th *h, domid_t domid, unsigned vcpu, struct kl_hypercall *m)
{
    m->h = (struct kl_hdr){ KL_HYPERCALL, sizeof(*m) };
    assert_int_equal(send(th_proc(h, domid)->vcpu[vcpu], m, sizeof(*m), MSG_NOSIGNAL), sizeof(*m));
}

bool tg_done(struct th *h, domid_t domid, unsigned vcpu, long *ret, uint32_t *flags)
{
    static _Alignas(8) uint8_t buf[KL_MAX_MSG];
    struct tp *p = th_proc(h, domid);
    const struct kl_ret *r = (const void *)buf;
    int fds[KW_MAX_FDS];
    unsigned nr;
    ssize_t n;

    th_turn(h);
    while ((n = recv_fds(p->vcpu[vcpu], buf, sizeof(buf), fds, &nr)) > 0) {
        if (r->h.op == KL_RET) {
            if (flags) {
                *flags = r->flags;
            }
            *ret = r->ret;
            return true;
        }
        proc_message(p, buf, n, fds, nr);
    }
    return false;
}

void tg_stopped(struct th *h, domid_t domid)
{
    struct tp *p = th_proc(h, domid);

    p->running = false;
    reply_plain(p, KL_STOPPED);
    th_turn(h);
}

long tg_raw(struct th *h, domid_t domid, unsigned vcpu, struct kl_hypercall *m, uint32_t *flags)
{
    long ret;

    tg_start(h, domid, vcpu, m);
    for (int i = 0; i < 100000; i++) {
        if (tg_done(h, domid, vcpu, &ret, flags)) {
            return ret;
        }
    }
    fail_msg("no answer to a guest's hypercall");
    return 0;
}

long tg_hypercall(struct th *h, domid_t domid, uint64_t op, uint64_t a0, uint64_t a1, uint64_t a2)
{
    struct kl_hypercall m = { .op = op, .arg = { a0, a1, a2 } };

    return tg_raw(h, domid, 0, &m, NULL);
}

void tg_write(struct th *h, domid_t domid, uint64_t gpa, const void *buf, size_t len)
{
    assert_int_equal(pwrite(th_proc(h, domid)->ram_fd, buf, len, (off_t)gpa), len);
}

void tg_read(struct th *h, domid_t domid, uint64_t gpa, void *buf, size_t len)
{
    assert_int_equal(pread(th_proc(h, domid)->ram_fd, buf, len, (off_t)gpa), len);
}

const struct tp_foreign *tg_foreign(struct th *h, domid_t domid, uint64_t gfn)
{
    const struct tp *p = th_proc(h, domid);

    for (unsigned i = 0; i < p->nr_foreign; i++) {
        if (p->foreign[i].gfn == gfn) {
            return &p->foreign[i];
        }
    }
    return NULL;
}

int tg_foreign_get(struct th *h, domid_t domid, uint64_t gfn, unsigned off)
{
    const struct tp_foreign *f = tg_foreign(h, domid, gfn);
    uint8_t byte;

    assert_non_null(f);
    return pread(f->fd, &byte, 1, (off_t)(f->page * 4096 + off)) == 1 ? byte : -1;
}

int tg_foreign_put(struct th *h, domid_t domid, uint64_t gfn, unsigned off, uint8_t byte)
{
    const struct tp_foreign *f = tg_foreign(h, domid, gfn);

    assert_non_null(f);
    return pwrite(f->fd, &byte, 1, (off_t)(f->page * 4096 + off)) == 1 ? 0 : -1;
}
