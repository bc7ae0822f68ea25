/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/cpupool.h"

#include <errno.h>
#include <stdlib.h>

#include <xen/sysctl.h>

#include "common/log.h"
#include "hypervisor/core/domctl.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/sched.h"

#define ANY XEN_SYSCTL_CPUPOOL_PAR_ANY
#define MAX_POOLS (CPU_SETSIZE + 1)    /* more than CPUs makes no sense, and memory is not endless */
#define DEFAULT_RATELIMIT_US 1000      /* credit2's */

struct cpupool *cpupool_find(const struct core *core, uint32_t id)
{
    struct cpupool *c = core->pools;

    while (c && c->id != id) {
        c = c->next;
    }
    return c;
}

static struct cpupool *new_pool(struct cpupool **at, uint32_t id)
{
    struct cpupool *c = calloc(1, sizeof(*c));

    if (c) {
        c->id = id;
        c->ratelimit_us = DEFAULT_RATELIMIT_US;
        c->next = *at;
        *at = c;
    }
    return c;
}

int cpupool_init(struct core *core)
{
    struct cpupool *c = new_pool(&core->pools, 0);

    if (!c) {
        return -ENOMEM;
    }
    c->cpus = core->host.cpus;
    CPU_ZERO(&core->free_cpus);
    return 0;
}

void cpupool_free_all(struct core *core)
{
    while (core->pools) {
        struct cpupool *c = core->pools;

        core->pools = c->next;
        free(c);
    }
}

int cpupool_add_domain(struct domain *d, uint32_t id)
{
    struct cpupool *c = cpupool_find(d->core, id);

    if (!c || !CPU_COUNT(&c->cpus)) {
        return c ? -ENODEV : -ESRCH;
    }
    d->pool = c;
    c->n_dom++;
    return 0;
}

void cpupool_remove_domain(struct domain *d)
{
    if (d->pool) {
        d->pool->n_dom--;
        d->pool = NULL;
    }
}

/* Where a pool of that number belongs, or (ANY) the number after the last, or the first gap. */
static struct cpupool **place(struct core *core, uint32_t *id)
{
    struct cpupool **at = &core->pools;

    if (*id != ANY) {
        while (*at && (*at)->id < *id) {
            at = &(*at)->next;
        }
        return at;
    }
    for (*id = 0; *at; at = &(*at)->next) {
        *id = (*at)->id + 1;
    }
    if (*id != ANY) {
        return at;
    }
    at = &core->pools;
    for (*id = 0; *at && (*at)->id == *id; ++*id) {
        at = &(*at)->next;
    }
    return at;
}

static long op_create(struct core *core, struct xen_sysctl_cpupool_op *op)
{
    uint32_t id = op->cpupool_id;
    struct cpupool **at = place(core, &id);
    unsigned n = 0;

    if (*at && (*at)->id == id) {
        return -EEXIST;
    }
    if (op->sched_id != XEN_SCHEDULER_CREDIT2) {
        kr_log_once(KR_NOTICE, "cpupool: only scheduler credit2 is there, %u is not", op->sched_id);
        return -ENOENT;    /* as Xen says of a scheduler that it does not have */
    }
    for (const struct cpupool *c = core->pools; c; c = c->next) {
        n++;
    }
    if (n >= MAX_POOLS || !new_pool(at, id)) {
        return -ENOMEM;
    }
    op->cpupool_id = id;
    return 0;
}

static long op_destroy(struct core *core, uint32_t id)
{
    struct cpupool **at = place(core, &id), *c = *at;

    if (!c || c->id != id) {
        return -ENOENT;
    }
    /* Pool 0 has domain 0 in it, or will have (a machine's, before that is made). */
    if (!id || c->n_dom || CPU_COUNT(&c->cpus)) {
        return -EBUSY;
    }
    *at = c->next;
    free(c);
    return 0;
}

/* As in Xen, the first pool from this number on: clients enumerate with it. */
static long op_info(struct hcall *hc, struct xen_sysctl_cpupool_op *op)
{
    uint32_t id = op->cpupool_id;
    const struct cpupool *c = hc->core->pools;

    while (c && c->id < id) {
        c = c->next;
    }
    if (!c) {
        return -ENOENT;
    }
    op->cpupool_id = c->id;
    op->sched_id = XEN_SCHEDULER_CREDIT2;
    op->n_dom = c->n_dom;
    return bitmap_to_guest(hc, &op->cpumap, &c->cpus, hc->core->host.nr_cpu_ids);
}

/* The domains of a pool run on what it now has. */
static void apply(struct cpupool *c, struct core *core)
{
    for (struct domain *d = core->domains; d; d = d->next) {
        if (d->pool == c) {
            sched_pool_changed(d);
        }
    }
}

static long op_addcpu(struct core *core, const struct xen_sysctl_cpupool_op *op)
{
    struct cpupool *c = cpupool_find(core, op->cpupool_id);
    uint32_t cpu = op->cpu;

    if (!c) {
        return -ENOENT;
    }
    if (cpu == ANY) {
        for (cpu = 0; cpu < core->host.nr_cpu_ids && !CPU_ISSET(cpu, &core->free_cpus); cpu++) {
        }
        if (cpu == core->host.nr_cpu_ids) {
            return -ENODEV;
        }
    }
    if (cpu >= core->host.nr_cpu_ids || !CPU_ISSET(cpu, &core->free_cpus)) {
        return cpu >= core->host.nr_cpu_ids ? -EINVAL : -ENODEV;
    }
    CPU_CLR(cpu, &core->free_cpus);
    CPU_SET(cpu, &c->cpus);
    apply(c, core);
    return 0;
}

static void move(struct domain *d, struct cpupool *to)
{
    cpupool_remove_domain(d);
    d->pool = to;
    to->n_dom++;
    sched_pool_moved(d);
}

/* A pool that loses its last CPU may have dying domains only, which then belong to pool 0. */
static long empty_out(struct core *core, struct cpupool *c)
{
    for (struct domain *d = core->domains; d; d = d->next) {
        if (d->pool == c && !d->dying) {
            return -EBUSY;
        }
    }
    for (struct domain *d = core->domains; d; d = d->next) {
        if (d->pool == c) {
            move(d, core->pools);
        }
    }
    return 0;
}

static long op_rmcpu(struct core *core, const struct xen_sysctl_cpupool_op *op)
{
    struct cpupool *c = cpupool_find(core, op->cpupool_id);
    uint32_t cpu = op->cpu;
    long rc;

    if (!c) {
        return -ENOENT;
    }
    if (cpu == ANY) {
        for (cpu = core->host.nr_cpu_ids; cpu && !CPU_ISSET(cpu - 1, &c->cpus); cpu--) {
        }
        cpu--;
    }
    if (cpu >= core->host.nr_cpu_ids || !CPU_ISSET(cpu, &core->host.cpus)) {
        return -EINVAL;
    }
    if (!CPU_ISSET(cpu, &c->cpus)) {
        return -EADDRNOTAVAIL;
    }
    rc = CPU_COUNT(&c->cpus) == 1 ? empty_out(core, c) : 0;
    if (!rc) {
        CPU_CLR(cpu, &c->cpus);
        CPU_SET(cpu, &core->free_cpus);
        apply(c, core);
    }
    return rc;
}

static long op_movedomain(struct hcall *hc, const struct xen_sysctl_cpupool_op *op)
{
    struct domain *d = NULL;
    struct cpupool *c;

    if (op->domid < DOMID_FIRST_RESERVED) {
        d = domain_find(hc->core, (domid_t)op->domid);
    }
    if (!d || d->dying || d == hc->d) {
        return d == hc->d ? -EPERM : -ESRCH;    /* the caller's own domain stays */
    }
    if (op->cpupool_id == d->pool->id) {
        return 0;
    }
    c = cpupool_find(hc->core, op->cpupool_id);
    if (!c || !CPU_COUNT(&c->cpus)) {
        return -ENOENT;
    }
    move(d, c);
    return 0;
}

long cpupool_sysctl(struct hcall *hc, struct xen_sysctl_cpupool_op *op)
{
    struct core *core = hc->core;

    switch (op->op) {
    case XEN_SYSCTL_CPUPOOL_OP_CREATE:
        return op_create(core, op);
    case XEN_SYSCTL_CPUPOOL_OP_DESTROY:
        return op_destroy(core, op->cpupool_id);
    case XEN_SYSCTL_CPUPOOL_OP_INFO:
        return op_info(hc, op);
    case XEN_SYSCTL_CPUPOOL_OP_ADDCPU:
        return op_addcpu(core, op);
    case XEN_SYSCTL_CPUPOOL_OP_RMCPU:
        return op_rmcpu(core, op);
    case XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN:
        return op_movedomain(hc, op);
    case XEN_SYSCTL_CPUPOOL_OP_FREEINFO:
        return bitmap_to_guest(hc, &op->cpumap, &core->free_cpus, core->host.nr_cpu_ids);
    default:
        return -ENOSYS;
    }
}
