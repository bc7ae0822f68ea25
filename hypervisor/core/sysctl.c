/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <xen/sysctl.h>

#include "common/log.h"
#include "hypervisor/core/console.h"
#include "hypervisor/core/cpu_policy.h"
#include "hypervisor/core/cpupool.h"
#include "hypervisor/core/domctl.h"
#include "hypervisor/core/event_channel.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/host.h"
#include "hypervisor/core/hypercall.h"

#define PAGE 4096ull

#define SYSCTL_HANDLER(name) static long name(struct hcall *hc, struct xen_sysctl *op)

SYSCTL_HANDLER(op_readconsole)
{
    struct xen_sysctl_readconsole *r = &op->u.readconsole;
    struct con_ring *ring = &hc->core->con;
    uint64_t from = ring->cons, end = ring->prod, n;
    uint32_t done = 0;

    if (r->incremental) {
        /* index counts modulo 2^32 */
        from = end - (uint32_t)((uint32_t)end - r->index);
        if (from > end || end - from > KR_CON_RING_SIZE || from < ring->cons) {
            from = ring->cons;
        }
    }
    n = end - from < r->count ? end - from : r->count;
    while (done < n) {
        uint32_t at = (uint32_t)(from + done) & (KR_CON_RING_SIZE - 1);
        uint32_t part =
            KR_CON_RING_SIZE - at < n - done ? KR_CON_RING_SIZE - at : (uint32_t)n - done;

        if (copy_to_guest(hc, (uint64_t)(uintptr_t)r->buffer.p + done, ring->data + at, part)) {
            return -EFAULT;
        }
        done += part;
    }
    r->count = done;
    r->index = (uint32_t)(from + done);
    if (r->clear) {
        ring->cons = end;    /* all of it, as Xen does, read or not */
    }
    return 0;
}

SYSCTL_HANDLER(op_physinfo)
{
    struct xen_sysctl_physinfo *p = &op->u.physinfo;
    const struct host_info *h = &hc->core->host;
    uint32_t words[KR_FEATURE_WORDS];

    memset(p, 0, sizeof(*p));
    p->threads_per_core = h->threads_per_core;
    p->cores_per_socket = h->cores_per_socket;
    p->nr_cpus = h->nr_cpus;
    p->max_cpu_id = h->nr_cpu_ids - 1;
    p->nr_nodes = 1;
    p->cpu_khz = h->cpu_khz;
    p->total_pages = h->total_pages;
    p->free_pages = h->total_pages - h->reserve_pages - (h->given_pages - h->claimed_pages);
    p->outstanding_pages = h->claimed_pages;
    p->max_mfn = h->total_pages - 1;
    if (hc->core->described) {
        p->capabilities = XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap;
    }
    p->capabilities |= XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2;
    cpu_policy_featureset(&hc->core->policy_max, words);
    memcpy(p->hw_cap, words, sizeof(p->hw_cap));
    return 0;
}

SYSCTL_HANDLER(op_sched_id)
{
    op->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2;
    return 0;
}

SYSCTL_HANDLER(op_getdomaininfolist)
{
    struct xen_sysctl_getdomaininfolist *l = &op->u.getdomaininfolist;
    uint32_t n = 0;

    for (struct domain *d = hc->core->domains; d && n < l->max_domains; d = d->next) {
        struct xen_domctl_getdomaininfo info;

        if (d->domid < l->first_domain) {
            continue;
        }
        domain_getinfo(d, &info);
        if (copy_to_guest(hc, (uint64_t)(uintptr_t)l->buffer.p + n * sizeof(info), &info,
                          sizeof(info))) {
            return -EFAULT;
        }
        n++;
    }
    l->num_domains = n;
    return 0;
}

static void print_domain(struct core *core, struct domain *d)
{
    console_printf(core, "domain %u: %s%s%s%s pages=%llu max=%llu vcpus=%u ports=%u grants=%llu",
                   d->domid, d->dying ? "dying " : "", d->is_shut_down ? "shut down " : "",
                   d->pause_count ? "paused " : "", d->control ? "control" : "guest",
                   (unsigned long long)d->tot_pages, (unsigned long long)d->max_pages, d->nr_vcpus,
                   d->evt ? d->evt->used : 0, (unsigned long long)d->gt.pinned);
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        struct vcpu_report r;

        domain_vcpu_report(d, i, &r);
        console_printf(core, "  vcpu %u: %s%s cpu=%llums", i, r.online ? "online" : "offline",
                       r.running ? " running" : r.blocked ? " blocked" : "",
                       (unsigned long long)(r.cpu_ns / 1000000));
    }
}

static void print_counts(struct core *core)
{
    console_printf(core,
                   "%llu hypercalls; not implemented:", (unsigned long long)core->nr_hypercalls);
    for (unsigned i = 0; i < core->nr_enosys; i++) {
        const struct enosys_count *e = &core->enosys[i];

        console_printf(core, "  hypercall %u op %llu: %llu", e->hypercall,
                       (unsigned long long)e->sub, (unsigned long long)e->count);
    }
}

static void debug_key(struct core *core, char key)
{
    switch (key) {
    case 'h':
        console_printf(core, "'h' help  'q' domains  'm' memory  's' hypercalls");
        break;
    case 'q':
        for (struct domain *d = core->domains; d; d = d->next) {
            print_domain(core, d);
        }
        break;
    case 'm':
        console_printf(core, "pages: total %llu, reserve %llu, given %llu, of these claimed %llu",
                       (unsigned long long)core->host.total_pages,
                       (unsigned long long)core->host.reserve_pages,
                       (unsigned long long)core->host.given_pages,
                       (unsigned long long)core->host.claimed_pages);
        break;
    case 's':
        print_counts(core);
        break;
    default:
        console_printf(core, "debug key '%c': nothing; 'h' lists the keys", key);
    }
}

SYSCTL_HANDLER(op_debug_keys)
{
    char keys[64];
    uint32_t n = op->u.debug_keys.nr_keys < sizeof(keys) ? op->u.debug_keys.nr_keys : sizeof(keys);

    if (copy_from_guest(hc, keys, (uint64_t)(uintptr_t)op->u.debug_keys.keys.p, n)) {
        return -EFAULT;
    }
    for (uint32_t i = 0; i < n; i++) {
        debug_key(hc->core, keys[i]);
    }
    return 0;
}

SYSCTL_HANDLER(op_getcpuinfo)
{
    struct xen_sysctl_getcpuinfo *g = &op->u.getcpuinfo;
    uint32_t n = g->max_cpus < hc->core->host.nr_cpu_ids ? g->max_cpus : hc->core->host.nr_cpu_ids;

    for (uint32_t i = 0; i < n; i++) {
        bool there = CPU_ISSET(i, &hc->core->host.cpus);
        struct xen_sysctl_cpuinfo info = { .idletime = there ? host_idle_ns(i) : 0 };

        if (copy_to_guest(hc, (uint64_t)(uintptr_t)g->info.p + i * sizeof(info), &info,
                          sizeof(info))) {
            return -EFAULT;
        }
    }
    g->nr_cpus = n;
    return 0;
}

SYSCTL_HANDLER(op_availheap)
{
    const struct host_info *h = &hc->core->host;

    if (op->u.availheap.node > 0 || op->u.availheap.node < -1) {
        return -EINVAL;
    }
    op->u.availheap.avail_bytes = (h->total_pages - h->reserve_pages -
                                   (h->given_pages - h->claimed_pages)) * PAGE;
    return 0;
}

SYSCTL_HANDLER(op_cputopoinfo)
{
    struct xen_sysctl_cputopoinfo *t = &op->u.cputopoinfo;
    uint32_t n = t->num_cpus < hc->core->host.nr_cpu_ids ? t->num_cpus : hc->core->host.nr_cpu_ids;

    for (uint32_t i = 0; t->cputopo.p && i < n; i++) {
        struct xen_sysctl_cputopo c = { XEN_INVALID_CORE_ID, XEN_INVALID_SOCKET_ID,
                                        XEN_INVALID_NODE_ID };

        if (CPU_ISSET(i, &hc->core->host.cpus)) {
            c.node = 0;
            host_cpu_topology(i, &c.core, &c.socket);
        }
        if (copy_to_guest(hc, (uint64_t)(uintptr_t)t->cputopo.p + i * sizeof(c), &c, sizeof(c))) {
            return -EFAULT;
        }
    }
    t->num_cpus = t->cputopo.p ? n : hc->core->host.nr_cpu_ids;
    return 0;
}

SYSCTL_HANDLER(op_numainfo)
{
    struct xen_sysctl_numainfo *n = &op->u.numainfo;
    const struct host_info *h = &hc->core->host;
    struct xen_sysctl_meminfo mem = { .memsize = h->total_pages * PAGE };
    uint32_t distance = 10;    /* to itself, ACPI SLIT */

    mem.memfree = (h->total_pages - h->reserve_pages - (h->given_pages - h->claimed_pages)) * PAGE;
    if (n->num_nodes >= 1 && n->meminfo.p &&
        copy_to_guest(hc, (uint64_t)(uintptr_t)n->meminfo.p, &mem, sizeof(mem))) {
        return -EFAULT;
    }
    if (n->num_nodes >= 1 && n->distance.p &&
        copy_to_guest(hc, (uint64_t)(uintptr_t)n->distance.p, &distance, sizeof(distance))) {
        return -EFAULT;
    }
    n->num_nodes = 1;
    return 0;
}

SYSCTL_HANDLER(op_cpupool)
{
    return cpupool_sysctl(hc, &op->u.cpupool_op);
}

SYSCTL_HANDLER(op_scheduler)
{
    struct xen_sysctl_scheduler_op *s = &op->u.scheduler_op;
    struct xen_sysctl_credit2_schedule *p = &s->u.sched_credit2;
    struct cpupool *pool = cpupool_find(hc->core, s->cpupool_id);

    if (s->cmd != XEN_SYSCTL_SCHEDOP_putinfo && s->cmd != XEN_SYSCTL_SCHEDOP_getinfo) {
        return -EINVAL;
    }
    if (!pool || s->sched_id != XEN_SCHEDULER_CREDIT2) {
        return pool ? -EINVAL : -ESRCH;
    }
    if (s->cmd == XEN_SYSCTL_SCHEDOP_putinfo) {
        if (p->ratelimit_us && (p->ratelimit_us < XEN_SYSCTL_SCHED_RATELIMIT_MIN ||
                                p->ratelimit_us > XEN_SYSCTL_SCHED_RATELIMIT_MAX)) {
            return -EINVAL;
        }
        pool->ratelimit_us = p->ratelimit_us;
    }
    p->ratelimit_us = pool->ratelimit_us;
    return 0;
}

SYSCTL_HANDLER(op_pcitopoinfo)
{
    return op->u.pcitopoinfo.num_devs ? -ENODEV : 0;    /* no device is ours */
}

SYSCTL_HANDLER(op_levelling_caps)
{
    op->u.cpu_levelling_caps.caps = XEN_SYSCTL_CPU_LEVELCAP_faulting;    /* CPUID always exits */
    return 0;
}

static bool policy_index_known(uint32_t index, bool featureset)
{
    /* PV policies do not exist here; Xen answers EOPNOTSUPP without CONFIG_PV. */
    if (featureset) {
        return index == XEN_SYSCTL_cpu_featureset_raw || index == XEN_SYSCTL_cpu_featureset_host ||
               index == XEN_SYSCTL_cpu_featureset_hvm || index == XEN_SYSCTL_cpu_featureset_hvm_max;
    }
    return index == XEN_SYSCTL_cpu_policy_raw || index == XEN_SYSCTL_cpu_policy_host ||
           index == XEN_SYSCTL_cpu_policy_hvm_max || index == XEN_SYSCTL_cpu_policy_hvm_default;
}

SYSCTL_HANDLER(op_featureset)
{
    struct xen_sysctl_cpu_featureset *f = &op->u.cpu_featureset;
    uint32_t words[KR_FEATURE_WORDS], n = f->nr_features;

    if (f->index > XEN_SYSCTL_cpu_featureset_hvm_max) {
        return -EINVAL;
    }
    if (!policy_index_known(f->index, true)) {
        return -EOPNOTSUPP;
    }
    if (!f->features.p) {
        f->nr_features = KR_FEATURE_WORDS;
        return 0;
    }
    cpu_policy_featureset(&hc->core->policy_max, words);
    n = n < KR_FEATURE_WORDS ? n : KR_FEATURE_WORDS;
    if (copy_to_guest(hc, (uint64_t)(uintptr_t)f->features.p, words, n * sizeof(words[0]))) {
        return -EFAULT;
    }
    if (f->nr_features < KR_FEATURE_WORDS) {
        return -ENOBUFS;
    }
    f->nr_features = KR_FEATURE_WORDS;
    return 0;
}

SYSCTL_HANDLER(op_cpu_policy)
{
    struct xen_sysctl_cpu_policy *c = &op->u.cpu_policy;

    if (c->_rsvd || c->index > XEN_SYSCTL_cpu_policy_hvm_default) {
        return -EINVAL;
    }
    if (!policy_index_known(c->index, false)) {
        return -EOPNOTSUPP;
    }
    return cpu_policy_copy_out(hc, &hc->core->policy_max, (uint64_t)(uintptr_t)c->leaves.p,
                               &c->nr_leaves, (uint64_t)(uintptr_t)c->msrs.p, &c->nr_msrs);
}

static long (*const ops[])(struct hcall *hc, struct xen_sysctl *op) = {
    [XEN_SYSCTL_readconsole] = op_readconsole,
    [XEN_SYSCTL_physinfo] = op_physinfo,
    [XEN_SYSCTL_sched_id] = op_sched_id,
    [XEN_SYSCTL_getdomaininfolist] = op_getdomaininfolist,
    [XEN_SYSCTL_debug_keys] = op_debug_keys,
    [XEN_SYSCTL_getcpuinfo] = op_getcpuinfo,
    [XEN_SYSCTL_availheap] = op_availheap,
    [XEN_SYSCTL_cputopoinfo] = op_cputopoinfo,
    [XEN_SYSCTL_numainfo] = op_numainfo,
    [XEN_SYSCTL_cpupool_op] = op_cpupool,
    [XEN_SYSCTL_scheduler_op] = op_scheduler,
    [XEN_SYSCTL_pcitopoinfo] = op_pcitopoinfo,
    [XEN_SYSCTL_get_cpu_levelling_caps] = op_levelling_caps,
    [XEN_SYSCTL_get_cpu_featureset] = op_featureset,
    [XEN_SYSCTL_get_cpu_policy] = op_cpu_policy,
};

long do_sysctl(struct hcall *hc)
{
    struct xen_sysctl op;
    long rc;

    if (copy_from_guest(hc, &op, hc->arg[0], sizeof(op))) {
        return -EFAULT;
    }
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION) {
        return -EACCES;
    }
    if (op.cmd >= KR_ARRAY_SIZE(ops) || !ops[op.cmd] || !hc_who(__HYPERVISOR_sysctl, op.cmd)) {
        return hc_enosys(hc, __HYPERVISOR_sysctl, op.cmd);
    }
    rc = ops[op.cmd](hc, &op);
    if (!rc && copy_to_guest(hc, hc->arg[0], &op, sizeof(op))) {
        rc = -EFAULT;
    }
    return rc;
}
