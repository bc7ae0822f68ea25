/* SPDX-License-Identifier: MIT */
/* CPU pools, affinity, weights and caps: Xen's answers, and what reaches the host and the process. */
#include "tests/unit/core_harness.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hypervisor/core/cgroup.h"
#include "hypervisor/core/cpu_share.h"
#include "hypervisor/core/cpupool.h"

#define ANY XEN_SYSCTL_CPUPOOL_PAR_ANY

/* A core of a host with CPUs 0 to 3 and 6; 4 and 5 are not there. */
static int setup(void **state)
{
    struct th *h = th_new();
    struct host_info *host = &h->core->host;

    CPU_ZERO(&host->cpus);
    for (int i = 0; i < 7; i++) {
        if (i != 4 && i != 5) {
            CPU_SET(i, &host->cpus);
        }
    }
    host->nr_cpus = 5;
    host->nr_cpu_ids = 7;
    h->core->pools->cpus = host->cpus;
    *state = h;
    return 0;
}

static long pool_op(struct th *h, struct xen_sysctl_cpupool_op *p)
{
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_cpupool_op, .u.cpupool_op = *p };
    long rc;

    op.u.cpupool_op.cpumap.nr_bits = 8;
    op.u.cpupool_op.cpumap.bitmap.p = (void *)(uintptr_t)A(0);
    h->c.arena[0] = 0;
    rc = tc_sysctl(h, &h->c, &op);
    *p = op.u.cpupool_op;
    return rc;
}

static long on_pool(struct th *h, uint32_t what, uint32_t id, uint32_t cpu)
{
    struct xen_sysctl_cpupool_op p = { .op = what, .cpupool_id = id, .cpu = cpu };

    return pool_op(h, &p);
}

static long create(struct th *h, uint32_t id, uint32_t sched, uint32_t *got)
{
    struct xen_sysctl_cpupool_op p = { .op = XEN_SYSCTL_CPUPOOL_OP_CREATE, .cpupool_id = id,
                                       .sched_id = sched };
    long rc = pool_op(h, &p);

    if (got) {
        *got = p.cpupool_id;
    }
    return rc;
}

static long move(struct th *h, uint32_t domid, uint32_t id)
{
    struct xen_sysctl_cpupool_op p = { .op = XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, .cpupool_id = id,
                                       .domid = domid };

    return pool_op(h, &p);
}

/* The map of a pool (first from id on), or of the free CPUs. */
static unsigned cpus_of(struct th *h, uint32_t id)
{
    assert_int_equal(on_pool(h, XEN_SYSCTL_CPUPOOL_OP_INFO, id, 0), 0);
    return h->c.arena[0];
}

static unsigned free_cpus(struct th *h)
{
    assert_int_equal(on_pool(h, XEN_SYSCTL_CPUPOOL_OP_FREEINFO, 0, 0), 0);
    return h->c.arena[0];
}

static long add(struct th *h, uint32_t id, uint32_t cpu)
{
    return on_pool(h, XEN_SYSCTL_CPUPOOL_OP_ADDCPU, id, cpu);
}

static long take(struct th *h, uint32_t id, uint32_t cpu)
{
    return on_pool(h, XEN_SYSCTL_CPUPOOL_OP_RMCPU, id, cpu);
}

static void test_pool_life(void **state)
{
    struct th *h = *state;
    struct xen_sysctl_cpupool_op p = { .op = XEN_SYSCTL_CPUPOOL_OP_INFO };
    uint32_t id;

    assert_int_equal(pool_op(h, &p), 0);
    assert_int_equal(p.cpupool_id, 0);
    assert_int_equal(p.sched_id, XEN_SCHEDULER_CREDIT2);
    assert_int_equal(p.n_dom, 1);
    assert_int_equal(h->c.arena[0], 0x4f);
    assert_int_equal(create(h, ANY, XEN_SCHEDULER_CREDIT, NULL), -ENOENT);
    assert_int_equal(create(h, 0, XEN_SCHEDULER_CREDIT2, NULL), -EEXIST);
    assert_int_equal(create(h, 0, 99, NULL), -EEXIST);
    assert_int_equal(create(h, ANY, XEN_SCHEDULER_CREDIT2, &id), 0);
    assert_int_equal(id, 1);
    assert_int_equal(create(h, 7, XEN_SCHEDULER_CREDIT2, NULL), 0);
    assert_int_equal(create(h, ANY, XEN_SCHEDULER_CREDIT2, &id), 0);
    assert_int_equal(id, 8);
    assert_int_equal(create(h, ANY - 1, XEN_SCHEDULER_CREDIT2, NULL), 0);
    assert_int_equal(create(h, ANY, XEN_SCHEDULER_CREDIT2, &id), 0);
    assert_int_equal(id, 2);      /* after the last number: the first gap */
    p = (struct xen_sysctl_cpupool_op){ .op = XEN_SYSCTL_CPUPOOL_OP_INFO, .cpupool_id = 3 };
    assert_int_equal(pool_op(h, &p), 0);
    assert_int_equal(p.cpupool_id, 7);
    assert_int_equal(p.n_dom, 0);
    assert_int_equal(h->c.arena[0], 0);
    assert_int_equal(on_pool(h, XEN_SYSCTL_CPUPOOL_OP_DESTROY, 3, 0), -ENOENT);
    assert_int_equal(on_pool(h, XEN_SYSCTL_CPUPOOL_OP_DESTROY, 0, 0), -EBUSY);
    assert_int_equal(on_pool(h, XEN_SYSCTL_CPUPOOL_OP_DESTROY, 7, 0), 0);
    assert_int_equal(on_pool(h, XEN_SYSCTL_CPUPOOL_OP_DESTROY, 7, 0), -ENOENT);
    assert_int_equal(on_pool(h, 0, 0, 0), -ENOSYS);
    assert_int_equal(on_pool(h, 99, 0, 0), -ENOSYS);
    /* as many as anybody could need, not without end */
    for (id = 0; create(h, ANY, XEN_SCHEDULER_CREDIT2, NULL) == 0; id++) {
        assert_true(id < 100000);
    }
    assert_int_equal(create(h, ANY, XEN_SCHEDULER_CREDIT2, NULL), -ENOMEM);
}

static void test_pool_cpus(void **state)
{
    struct th *h = *state;
    uint32_t id;

    assert_int_equal(create(h, ANY, XEN_SCHEDULER_CREDIT2, &id), 0);
    assert_int_equal(add(h, 9, 0), -ENOENT);
    assert_int_equal(add(h, id, 0), -ENODEV);      /* in pool 0 */
    assert_int_equal(add(h, id, ANY), -ENODEV);    /* none is free */
    assert_int_equal(add(h, id, 7), -EINVAL);
    assert_int_equal(add(h, id, 4), -ENODEV);      /* a gap */
    assert_int_equal(take(h, 9, 0), -ENOENT);
    assert_int_equal(take(h, 0, 7), -EINVAL);
    assert_int_equal(take(h, 0, 4), -EINVAL);      /* not online */
    assert_int_equal(take(h, id, 0), -EADDRNOTAVAIL);
    assert_int_equal(take(h, id, ANY), -EINVAL);   /* has none */
    assert_int_equal(take(h, 0, ANY), 0);          /* its last */
    assert_int_equal(take(h, 0, 1), 0);
    assert_int_equal(free_cpus(h), 0x42);
    assert_int_equal(cpus_of(h, 0), 0x0d);
    assert_int_equal(add(h, id, ANY), 0);          /* the first */
    assert_int_equal(cpus_of(h, id), 0x02);
    assert_int_equal(on_pool(h, XEN_SYSCTL_CPUPOOL_OP_DESTROY, id, 0), -EBUSY);
    assert_int_equal(take(h, id, 1), 0);
    assert_int_equal(on_pool(h, XEN_SYSCTL_CPUPOOL_OP_DESTROY, id, 0), 0);
    assert_int_equal(take(h, 0, 0), 0);
    assert_int_equal(take(h, 0, 2), 0);
    assert_int_equal(take(h, 0, 3), -EBUSY);       /* domain 0 needs one */
}

static uint32_t pool_of(struct th *h, domid_t d)
{
    struct xen_domctl op = { .cmd = XEN_DOMCTL_getdomaininfo, .domain = d };

    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    return op.u.getdomaininfo.cpupool;
}

static long create_in(struct th *h, uint32_t id, domid_t *d)
{
    struct xen_domctl op = { .cmd = XEN_DOMCTL_createdomain };
    struct xen_domctl_createdomain *c = &op.u.createdomain;
    long rc;

    c->flags = XEN_DOMCTL_CDF_hvm;
    c->max_vcpus = 1;
    c->max_evtchn_port = 10;
    c->grant_opts = 2;
    c->arch.emulation_flags = XEN_X86_EMU_LAPIC;
    c->cpupool_id = id;
    rc = tc_domctl(h, &h->c, &op);
    *d = op.domain;
    return rc;
}

static void test_pool_domains(void **state)
{
    struct th *h = *state;
    domid_t a = th_domain(h, 2, 16), b;

    assert_int_equal(create(h, 3, XEN_SCHEDULER_CREDIT2, NULL), 0);
    assert_int_equal(create_in(h, 4, &b), -ESRCH);
    assert_int_equal(create_in(h, ANY, &b), -ESRCH);
    assert_int_equal(create_in(h, 3, &b), -ENODEV);    /* has no CPU */
    assert_int_equal(move(h, a, 3), -ENOENT);
    assert_int_equal(take(h, 0, 6), 0);
    assert_int_equal(add(h, 3, 6), 0);
    assert_int_equal(create_in(h, 3, &b), 0);
    assert_int_equal(pool_of(h, a), 0);
    assert_int_equal(pool_of(h, b), 3);
    assert_int_equal(move(h, a, 9), -ENOENT);
    assert_int_equal(move(h, 99, 3), -ESRCH);
    assert_int_equal(move(h, DOMID_SELF, 3), -ESRCH);
    assert_int_equal(move(h, UINT32_MAX, 3), -ESRCH);
    assert_int_equal(move(h, 0x10000u + a, 3), -ESRCH);    /* no domid is that long */
    assert_int_equal(move(h, 0, 3), -EPERM);
    assert_int_equal(move(h, a, 3), 0);
    assert_int_equal(move(h, a, 3), 0);
    assert_int_equal(pool_of(h, a), 3);
    assert_int_equal(cpupool_find(h->core, 3)->n_dom, 2);
    assert_int_equal(take(h, 3, 6), -EBUSY);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, a), 0);
    assert_int_equal(cpupool_find(h->core, 3)->n_dom, 1);
    assert_int_equal(move(h, b, 0), 0);
    assert_int_equal(cpupool_find(h->core, 0)->n_dom, 2);
    assert_int_equal(take(h, 3, 6), 0);
    assert_int_equal(on_pool(h, XEN_SYSCTL_CPUPOOL_OP_DESTROY, 3, 0), 0);
}

/* A domain on its way out does not keep its pool's last CPU. */
static void test_dying_domain(void **state)
{
    struct th *h = *state;
    struct domain *d;
    domid_t a;

    assert_int_equal(create(h, 1, XEN_SCHEDULER_CREDIT2, NULL), 0);
    assert_int_equal(take(h, 0, 6), 0);
    assert_int_equal(add(h, 1, 6), 0);
    assert_int_equal(create_in(h, 1, &a), 0);
    d = domain_find(h->core, a);
    d->dying = true;
    assert_int_equal(move(h, a, 0), -ESRCH);
    assert_int_equal(take(h, 1, 6), 0);
    assert_int_equal(pool_of(h, a), 0);
    d->dying = false;
}

static long affinity(struct th *h, domid_t d, bool set, uint32_t vcpu, uint32_t flags, uint8_t *hard,
                     uint8_t *soft)
{
    struct xen_domctl op = { .cmd = set ? XEN_DOMCTL_setvcpuaffinity : XEN_DOMCTL_getvcpuaffinity,
                             .domain = d };
    struct xen_domctl_vcpuaffinity *a = &op.u.vcpuaffinity;
    long rc;

    a->vcpu = vcpu;
    a->flags = flags;
    a->cpumap_hard.nr_bits = a->cpumap_soft.nr_bits = 8;
    a->cpumap_hard.bitmap.p = (void *)(uintptr_t)A(0);
    a->cpumap_soft.bitmap.p = (void *)(uintptr_t)A(8);
    h->c.arena[0] = *hard;
    h->c.arena[8] = *soft;
    rc = tc_domctl(h, &h->c, &op);
    *hard = h->c.arena[0];
    *soft = h->c.arena[8];
    return rc;
}

#define HARD XEN_VCPUAFFINITY_HARD
#define SOFT XEN_VCPUAFFINITY_SOFT

static void test_affinity(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 2, 16);
    uint8_t hard = 0x3c, soft = 0x0f;

    assert_int_equal(affinity(h, d, true, 0, 0, &hard, &soft), -EINVAL);
    assert_int_equal(affinity(h, d, true, 0, 8, &hard, &soft), -EINVAL);
    assert_int_equal(affinity(h, d, true, 2, HARD, &hard, &soft), -ESRCH);
    assert_int_equal(affinity(h, 77, true, 0, HARD, &hard, &soft), -ESRCH);
    assert_int_equal(affinity(h, d, true, 0, HARD | SOFT, &hard, &soft), 0);
    assert_int_equal(hard, 0x0c);      /* what there is of it */
    assert_int_equal(soft, 0x0c);      /* within the hard one */
    assert_int_equal(affinity(h, d, false, 0, HARD | SOFT, &hard, &soft), 0);
    assert_int_equal(hard, 0x3c);      /* what was asked for */
    assert_int_equal(soft, 0x0f);
    hard = 0x30;                       /* CPUs that are not there */
    assert_int_equal(affinity(h, d, true, 0, HARD, &hard, &soft), -EINVAL);
    hard = 0;
    assert_int_equal(affinity(h, d, true, 0, HARD, &hard, &soft), -EINVAL);
    soft = 0;                          /* a soft one may be as it likes */
    assert_int_equal(affinity(h, d, true, 0, SOFT, &hard, &soft), 0);
    assert_int_equal(affinity(h, d, false, 0, HARD | SOFT, &hard, &soft), 0);
    assert_int_equal(hard, 0x3c);
    assert_int_equal(soft, 0);
    /* within the pool; another vCPU has its own */
    assert_int_equal(take(h, 0, 0), 0);
    hard = 0x01;
    assert_int_equal(affinity(h, d, true, 1, HARD, &hard, &soft), -EINVAL);
    hard = 0x03;
    assert_int_equal(affinity(h, d, true, 1, HARD, &hard, &soft), 0);
    assert_int_equal(hard, 0x02);
    /* the pool loses what it is pinned to */
    assert_int_equal(take(h, 0, 1), 0);
    assert_int_equal(affinity(h, d, false, 1, HARD, &hard, &soft), 0);
    assert_int_equal(hard, 0xff);
    assert_int_equal(affinity(h, d, false, 0, HARD, &hard, &soft), 0);
    assert_int_equal(hard, 0x3c);
}

/* A thread that stands for a vCPU's. */
struct stand_in { pthread_t thread; pid_t tid; pthread_barrier_t begin, end; };

static void *stand_in_main(void *arg)
{
    struct stand_in *s = arg;

    s->tid = (pid_t)syscall(SYS_gettid);
    pthread_barrier_wait(&s->begin);
    pthread_barrier_wait(&s->end);
    return NULL;
}

static void stand_in(struct stand_in *s)
{
    pthread_barrier_init(&s->begin, NULL, 2);
    pthread_barrier_init(&s->end, NULL, 2);
    assert_int_equal(pthread_create(&s->thread, NULL, stand_in_main, s), 0);
    pthread_barrier_wait(&s->begin);
}

static void stand_down(struct stand_in *s)
{
    pthread_barrier_wait(&s->end);
    pthread_join(s->thread, NULL);
}

/* With the host's real CPUs: what is asked for reaches the thread. */
static void test_threads(void **state)
{
    struct th *h = th_new();
    cpu_set_t all = h->core->host.cpus, now;
    domid_t d = th_domain(h, 1, 16);
    struct domain *dom = domain_find(h->core, d);
    struct stand_in s;
    unsigned first = 0, last = h->core->host.nr_cpu_ids - 1;
    uint8_t hard, soft = 0;

    while (!CPU_ISSET(first, &all)) {
        first++;
    }
    if (last > 7 || first == last) {
        th_free(h);
        skip();
    }
    stand_in(&s);
    dom->pid = getpid();
    th_proc(h, d)->state->vcpu[0].tid = s.tid;
    hard = (uint8_t)(1u << last);
    assert_int_equal(affinity(h, d, true, 0, HARD, &hard, &soft), 0);
    assert_int_equal(sched_getaffinity(s.tid, sizeof(now), &now), 0);
    assert_true(CPU_ISSET(last, &now) && CPU_COUNT(&now) == 1);
    hard = 0xff;
    assert_int_equal(affinity(h, d, true, 0, HARD, &hard, &soft), 0);
    assert_int_equal(sched_getaffinity(s.tid, sizeof(now), &now), 0);
    assert_true(CPU_EQUAL(&now, &all));
    /* the pool's CPUs go, others come */
    assert_int_equal(take(h, 0, first), 0);
    assert_int_equal(sched_getaffinity(s.tid, sizeof(now), &now), 0);
    assert_false(CPU_ISSET(first, &now));
    assert_int_equal(create(h, 1, XEN_SCHEDULER_CREDIT2, NULL), 0);
    assert_int_equal(add(h, 1, first), 0);
    assert_int_equal(move(h, d, 1), 0);
    assert_int_equal(sched_getaffinity(s.tid, sizeof(now), &now), 0);
    assert_true(CPU_ISSET(first, &now) && CPU_COUNT(&now) == 1);
    /* a thread of another process is none of ours, whatever the process says */
    th_proc(h, d)->state->vcpu[0].tid = 1;
    assert_int_equal(move(h, d, 0), 0);
    dom->pid = -1;
    stand_down(&s);
    th_free(h);
}

static long sched_op(struct th *h, domid_t d, uint32_t id, uint32_t cmd, uint16_t *weight, uint16_t *cap)
{
    struct xen_domctl op = { .cmd = XEN_DOMCTL_scheduler_op, .domain = d };
    long rc;

    op.u.scheduler_op.sched_id = id;
    op.u.scheduler_op.cmd = cmd;
    op.u.scheduler_op.u.credit2.weight = *weight;
    op.u.scheduler_op.u.credit2.cap = *cap;
    rc = tc_domctl(h, &h->c, &op);
    *weight = op.u.scheduler_op.u.credit2.weight;
    *cap = op.u.scheduler_op.u.credit2.cap;
    return rc;
}

#define PUT(w_, c_) \
    (w = (w_), c = (c_), sched_op(h, d, XEN_SCHEDULER_CREDIT2, XEN_DOMCTL_SCHEDOP_putinfo, &w, &c))
#define GET() sched_op(h, d, XEN_SCHEDULER_CREDIT2, XEN_DOMCTL_SCHEDOP_getinfo, &w, &c)

static void test_weight_cap(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 2, 16);
    struct tp *p = th_proc(h, d);
    uint16_t w = 0, c = 0;

    assert_int_equal(GET(), 0);
    assert_int_equal(w, 256);
    assert_int_equal(c, 0);
    assert_int_equal(sched_op(h, d, XEN_SCHEDULER_CREDIT, XEN_DOMCTL_SCHEDOP_getinfo, &w, &c), -EINVAL);
    assert_int_equal(sched_op(h, d, XEN_SCHEDULER_CREDIT2, XEN_DOMCTL_SCHEDOP_getvcpuinfo, &w, &c), -EINVAL);
    assert_int_equal(sched_op(h, d, XEN_SCHEDULER_CREDIT2, XEN_DOMCTL_SCHEDOP_putvcpuinfo, &w, &c), -EINVAL);
    assert_int_equal(sched_op(h, d, XEN_SCHEDULER_CREDIT2, 4, &w, &c), -EINVAL);
    assert_int_equal(sched_op(h, 77, XEN_SCHEDULER_CREDIT2, XEN_DOMCTL_SCHEDOP_getinfo, &w, &c), -ESRCH);
    assert_int_equal(PUT(512, 0), 0);
    assert_int_equal(p->params, 0);               /* no cap, and there was none */
    assert_int_equal(PUT(0, 150), 0);
    assert_int_equal(GET(), 0);
    assert_int_equal(w, 512);
    assert_int_equal(c, 150);
    assert_int_equal(p->params, 1);
    assert_int_equal(p->param.index, KL_PARAM_CPU_CAP);
    assert_int_equal(p->param.value, 150);
    assert_int_equal(PUT(1000, 201), -EINVAL);    /* 100 per vCPU; the weight is set, as on Xen */
    assert_int_equal(PUT(0, UINT16_MAX), -EINVAL);
    assert_int_equal(GET(), 0);
    assert_int_equal(w, 1000);
    assert_int_equal(c, 150);
    assert_int_equal(p->params, 1);
    assert_int_equal(PUT(65535, 200), 0);
    assert_int_equal(p->param.value, 200);
    assert_int_equal(PUT(0, 0), 0);
    assert_int_equal(p->params, 3);
    assert_int_equal(p->param.value, 0);
    /* another pool is another scheduler: a domain starts anew in it */
    assert_int_equal(PUT(100, 50), 0);
    assert_int_equal(create(h, 1, XEN_SCHEDULER_CREDIT2, NULL), 0);
    assert_int_equal(take(h, 0, 6), 0);
    assert_int_equal(add(h, 1, 6), 0);
    assert_int_equal(move(h, d, 1), 0);
    assert_int_equal(GET(), 0);
    assert_int_equal(w, 256);
    assert_int_equal(c, 0);
    assert_int_equal(p->param.value, 0);
    /* domain 0's is kept */
    d = 0;
    assert_int_equal(PUT(1024, 500), 0);
    assert_int_equal(PUT(0, 501), -EINVAL);
    assert_int_equal(GET(), 0);
    assert_int_equal(w, 1024);
    assert_int_equal(c, 500);
}

static long global_op(struct th *h, uint32_t pool, uint32_t id, uint32_t cmd, uint32_t *us)
{
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_scheduler_op };
    long rc;

    op.u.scheduler_op.cpupool_id = pool;
    op.u.scheduler_op.sched_id = id;
    op.u.scheduler_op.cmd = cmd;
    op.u.scheduler_op.u.sched_credit2.ratelimit_us = *us;
    rc = tc_sysctl(h, &h->c, &op);
    *us = op.u.scheduler_op.u.sched_credit2.ratelimit_us;
    return rc;
}

static void test_ratelimit(void **state)
{
    struct th *h = *state;
    const uint32_t c2 = XEN_SCHEDULER_CREDIT2, put = XEN_SYSCTL_SCHEDOP_putinfo,
                   get = XEN_SYSCTL_SCHEDOP_getinfo;
    uint32_t us = 0;

    assert_int_equal(global_op(h, 0, c2, get, &us), 0);
    assert_int_equal(us, 1000);
    assert_int_equal(global_op(h, 1, c2, get, &us), -ESRCH);
    assert_int_equal(global_op(h, 1, c2, 2, &us), -EINVAL);
    assert_int_equal(global_op(h, 0, XEN_SCHEDULER_CREDIT, get, &us), -EINVAL);
    assert_int_equal(create(h, 1, c2, NULL), 0);
    us = 99;
    assert_int_equal(global_op(h, 1, c2, put, &us), -EINVAL);
    us = 500001;
    assert_int_equal(global_op(h, 1, c2, put, &us), -EINVAL);
    us = 500000;
    assert_int_equal(global_op(h, 1, c2, put, &us), 0);
    us = 0;
    assert_int_equal(global_op(h, 0, c2, get, &us), 0);
    assert_int_equal(us, 1000);                   /* each pool its own */
    assert_int_equal(global_op(h, 1, c2, get, &us), 0);
    assert_int_equal(us, 500000);
    us = 0;
    assert_int_equal(global_op(h, 1, c2, put, &us), 0);
}

/* ---- control groups: a stand-in for the kernel's files, with its rules as far as they are relied on */

static struct {
    bool made[8], refuse_procs;           /* dom0 ... dom7 */
    int proc[8];
    char weight[8][16], max[8][32], controllers[32];
    bool core, busy;
    int moved, others;
} cg;

static int fake_make(int dirfd, const char *name)
{
    unsigned d;

    if (!strcmp(name, "core")) {
        return 0;
    }
    assert_int_equal(sscanf(name, "dom%u", &d), 1);
    assert_true(d < 8);
    if (cg.made[d]) {
        return -EEXIST;
    }
    cg.made[d] = true;
    strcpy(cg.weight[d], "100");
    strcpy(cg.max[d], "max 100000");
    return 0;
}

static int fake_remove(int dirfd, const char *name)
{
    unsigned d;

    assert_int_equal(sscanf(name, "dom%u", &d), 1);
    if (d >= 8 || !cg.made[d]) {
        return -ENOENT;
    }
    cg.made[d] = cg.busy;
    return cg.busy ? -EBUSY : 0;
}

static int fake_write(int dirfd, const char *path, const char *text)
{
    char file[32];
    unsigned d, quota, period;

    if (!strcmp(path, "core/cgroup.procs")) {
        cg.core |= atoi(text) == getpid();
        cg.moved++;
        return 0;
    }
    if (!strcmp(path, "cgroup.subtree_control")) {
        /* no internal processes */
        strcpy(cg.controllers, text);
        return cg.core && cg.moved > cg.others ? 0 : -EBUSY;
    }
    assert_int_equal(sscanf(path, "dom%u/%31s", &d, file), 2);
    if (d >= 8 || !cg.made[d]) {
        return -ENOENT;
    }
    if (!strcmp(file, "cgroup.procs")) {
        cg.proc[d] = atoi(text);
        return cg.refuse_procs ? -EACCES : 0;
    }
    if (!strcmp(file, "cpu.weight")) {
        snprintf(cg.weight[d], sizeof(cg.weight[d]), "%s", text);
        return atoi(text) >= 1 && atoi(text) <= 10000 ? 0 : -ERANGE;
    }
    assert_string_equal(file, "cpu.max");
    snprintf(cg.max[d], sizeof(cg.max[d]), "%s", text);
    if (!strncmp(text, "max ", 4)) {
        return 0;
    }
    assert_int_equal(sscanf(text, "%u %u", &quota, &period), 2);
    return quota >= 1000 && period >= 1000 && period <= 1000000 ? 0 : -EINVAL;
}

static const struct cgroup_fs fake_fs = { fake_make, fake_remove, fake_write };

/* A folder that offers a cpu controller, with what an earlier core left. */
static void make_folder(char *dir, const char *controllers)
{
    char path[80];
    FILE *f;

    strcpy(dir, "/tmp/kr-cgroup-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/cgroup.controllers", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(controllers, f);
    fclose(f);
    snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("11\n12\n", f);
    fclose(f);
    snprintf(path, sizeof(path), "%s/dom5", dir);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void remove_folder(const char *dir)
{
    char path[80];

    snprintf(path, sizeof(path), "%s/cgroup.controllers", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/dom5", dir);
    rmdir(path);
    assert_int_equal(rmdir(dir), 0);
}

static void test_cgroup_open(void **state)
{
    char dir[40];
    struct cgroup *g;

    memset(&cg, 0, sizeof(cg));
    assert_null(cgroup_open("/nonexistent", &fake_fs));
    assert_int_equal(errno, ENOENT);
    make_folder(dir, "memory pids cpuset\n");
    assert_null(cgroup_open(dir, &fake_fs));
    assert_int_equal(errno, ENOTSUP);
    remove_folder(dir);
    make_folder(dir, "cpuset cpu io\n");
    cg.made[5] = true;
    g = cgroup_open(dir, &fake_fs);
    assert_non_null(g);
    assert_true(cg.core);
    assert_string_equal(cg.controllers, "+cpu");
    assert_false(cg.made[5]);
    assert_int_equal(cg.moved, 1);
    cgroup_close(g);
    /* other processes were there first, and are taken along */
    cg.moved = 0;
    cg.others = 2;
    g = cgroup_open(dir, &fake_fs);
    assert_non_null(g);
    assert_int_equal(cg.moved, 3);
    /* a group that another core uses is not joined */
    cg.made[4] = true;
    cg.busy = true;
    assert_int_equal(cgroup_add(g, 4, 77), -EEXIST);
    assert_int_equal(cg.proc[4], 0);
    cg.busy = false;
    assert_int_equal(cgroup_add(g, 4, 77), 0);
    assert_int_equal(cg.proc[4], 77);
    cgroup_close(g);
    /* some do not go away */
    cg.moved = 0;
    cg.others = 1000;
    assert_null(cgroup_open(dir, &fake_fs));
    assert_int_equal(errno, EBUSY);
    remove_folder(dir);
}

static void test_cgroup(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 8, 16);
    struct domain *dom = domain_find(h->core, d);
    struct tp *p = th_proc(h, d);
    uint16_t w, c;
    char dir[40];

    memset(&cg, 0, sizeof(cg));
    make_folder(dir, "cpu\n");
    h->core->cgroup = cgroup_open(dir, &fake_fs);
    assert_non_null(h->core->cgroup);
    assert_string_equal(share_caps(h->core), "control group");
    dom->pid = getpid();
    share_begin(dom);
    dom->pid = -1;
    assert_true(cg.made[d]);
    assert_int_equal(cg.proc[d], getpid());
    assert_string_equal(cg.weight[d], "100");
    assert_int_equal(PUT(512, 50), 0);
    assert_string_equal(cg.weight[d], "200");
    assert_string_equal(cg.max[d], "5000 10000");
    assert_int_equal(PUT(1, 1), 0);
    assert_string_equal(cg.weight[d], "1");
    assert_string_equal(cg.max[d], "1000 100000");
    assert_int_equal(PUT(65535, 800), 0);
    assert_string_equal(cg.weight[d], "10000");
    assert_string_equal(cg.max[d], "80000 10000");
    assert_int_equal(PUT(256, 0), 0);
    assert_string_equal(cg.weight[d], "100");
    assert_string_equal(cg.max[d], "max 100000");
    assert_int_equal(p->params, 0);               /* the process has nothing to do with it */
    /* the group has gone: the process takes over */
    cg.made[d] = false;
    assert_int_equal(PUT(0, 30), 0);
    assert_int_equal(p->param.value, 30);
    cg.made[d] = true;
    assert_int_equal(PUT(0, 40), 0);
    assert_int_equal(p->param.value, 0);
    assert_string_equal(cg.max[d], "4000 10000");
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_false(cg.made[d]);
    /* a group that cannot be had: the process, from the start */
    d = th_domain(h, 1, 16);
    p = th_proc(h, d);
    cg.refuse_procs = true;
    domain_find(h->core, d)->pid = getpid();
    share_begin(domain_find(h->core, d));
    domain_find(h->core, d)->pid = -1;
    assert_false(cg.made[d]);
    assert_int_equal(PUT(0, 60), 0);
    assert_int_equal(p->param.value, 60);
    remove_folder(dir);
}

/* Nice values, where they may be raised again: as root or by RLIMIT_NICE. */
static void test_nice(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct domain *dom = domain_find(h->core, d);
    struct stand_in s;
    uint16_t w, c;
    int own = getpriority(PRIO_PROCESS, 0);

    assert_int_equal(share_init(h->core, NULL), 0);
    if (h->core->cgroup) {
        skip();
    }
    if (!h->core->nice_works) {
        assert_non_null(strstr(share_weights(h->core), "not enforced"));
    }
    assert_int_equal(getpriority(PRIO_PROCESS, 0), own);
    stand_in(&s);
    dom->pid = getpid();
    th_proc(h, d)->state->vcpu[0].tid = s.tid;
    assert_int_equal(PUT(64, 0), 0);
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)s.tid), h->core->nice_works ? own + 6 : own);
    if (h->core->nice_works) {
        assert_int_equal(PUT(256, 0), 0);
        assert_int_equal(getpriority(PRIO_PROCESS, (id_t)s.tid), own);
        assert_int_equal(PUT(1, 0), 0);
        assert_int_equal(getpriority(PRIO_PROCESS, (id_t)s.tid), 19);
        assert_int_equal(PUT(1024, 0), 0);
        assert_int_equal(getpriority(PRIO_PROCESS, (id_t)s.tid),
                         own - 6 > h->core->nice_min ? own - 6 : h->core->nice_min);
    }
    dom->pid = -1;
    stand_down(&s);
}

/* What clients see of a host with gaps between its CPUs. */
static void test_host_cpus(void **state)
{
    struct th *h = *state;
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_physinfo };
    struct xen_sysctl_cputopo *t = (void *)h->c.arena;

    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    assert_int_equal(op.u.physinfo.nr_cpus, 5);
    assert_int_equal(op.u.physinfo.max_cpu_id, 6);
    op = (struct xen_sysctl){ .cmd = XEN_SYSCTL_cputopoinfo };
    op.u.cputopoinfo.num_cpus = 100;
    op.u.cputopoinfo.cputopo.p = (void *)(uintptr_t)A(0);
    assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    assert_int_equal(op.u.cputopoinfo.num_cpus, 7);
    assert_int_equal(t[3].node, 0);
    assert_int_equal(t[4].core, XEN_INVALID_CORE_ID);
    assert_int_equal(t[5].node, XEN_INVALID_NODE_ID);
    assert_int_equal(t[6].node, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pool_life, setup, th_teardown),
        cmocka_unit_test_setup_teardown(test_pool_cpus, setup, th_teardown),
        cmocka_unit_test_setup_teardown(test_pool_domains, setup, th_teardown),
        cmocka_unit_test_setup_teardown(test_dying_domain, setup, th_teardown),
        cmocka_unit_test_setup_teardown(test_affinity, setup, th_teardown),
        cmocka_unit_test(test_threads),
        cmocka_unit_test_setup_teardown(test_weight_cap, setup, th_teardown),
        cmocka_unit_test_setup_teardown(test_ratelimit, setup, th_teardown),
        cmocka_unit_test(test_cgroup_open),
        cmocka_unit_test_setup_teardown(test_cgroup, setup, th_teardown),
        cmocka_unit_test_setup_teardown(test_nice, setup, th_teardown),
        cmocka_unit_test_setup_teardown(test_host_cpus, setup, th_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
