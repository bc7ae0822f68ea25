/* SPDX-License-Identifier: MIT */
/* sched_op as far as it reaches outside a domain, and the affinity of vCPU threads. */
#include "hypervisor/core/sched.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xen/sched.h>

#include "common/log.h"
#include "hypervisor/core/cpu_share.h"
#include "hypervisor/core/cpupool.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"

#define WATCHDOG_MAX_S 86400u

static long op_shutdown(struct hcall *hc, bool stop)
{
    struct sched_shutdown s;

    if (hc->d->host) {
        return -EPERM;    /* the host is not ours to shut down */
    }
    if (copy_from_guest(hc, &s, hc->arg[1], sizeof(s))) {
        return -EFAULT;
    }
    if (stop) {
        domain_shutdown(hc->d, s.reason & 0xff);
    } else {
        hc->d->shutdown_code = s.reason & 0xff;
    }
    return 0;
}

static long op_remote_shutdown(struct hcall *hc)
{
    struct sched_remote_shutdown s;
    struct domain *d;
    int rc;

    if (copy_from_guest(hc, &s, hc->arg[1], sizeof(s))) {
        return -EFAULT;
    }
    rc = hc_target(hc, s.domain_id, &d);
    if (rc || d->host || d == hc->d) {
        return rc ? rc : d->host ? -EINVAL : -EPERM;
    }
    domain_shutdown(d, s.reason & 0xff);
    return 0;
}

static int on_watchdog(sd_event_source *s, uint64_t usec, void *opaque)
{
    struct domain *d = opaque;

    kr_log(KR_NOTICE, "domain %u: its watchdog timer fired", d->domid);
    domain_shutdown(d, SHUTDOWN_watchdog);
    return 0;
}

static int arm(struct domain *d, unsigned slot, uint32_t seconds)
{
    uint64_t at = core_now() / 1000 + seconds * 1000000ull;

    d->watchdog[slot].src = sd_event_source_disable_unref(d->watchdog[slot].src);
    d->watchdog[slot].timeout = seconds;
    if (!seconds) {
        return 0;
    }
    return sd_event_add_time(d->core->event, &d->watchdog[slot].src, CLOCK_MONOTONIC, at, 0,
                             on_watchdog, d) < 0 ? -ENOMEM : 0;
}

/* id 0 and a time-out: a new one; an id and 0: gone; an id and a time-out: set again (sched.h). */
static long op_watchdog(struct hcall *hc)
{
    struct sched_watchdog w;
    struct domain *d = hc->d;

    if (d->host) {
        return -EPERM;
    }
    if (copy_from_guest(hc, &w, hc->arg[1], sizeof(w))) {
        return -EFAULT;
    }
    if (w.id > KR_ARRAY_SIZE(d->watchdog) || w.timeout > WATCHDOG_MAX_S) {
        return -EINVAL;
    }
    if (w.id == 0) {
        if (!w.timeout) {
            return -EINVAL;
        }
        for (unsigned i = 0; i < KR_ARRAY_SIZE(d->watchdog); i++) {
            if (!d->watchdog[i].timeout) {
                return arm(d, i, w.timeout) ? -ENOMEM : (long)i + 1;
            }
        }
        return -ENOSPC;
    }
    if (!d->watchdog[w.id - 1].timeout) {
        return -EINVAL;
    }
    return arm(d, w.id - 1, w.timeout);
}

long do_sched_op(struct hcall *hc)
{
    switch ((uint32_t)hc->arg[0]) {
    case SCHEDOP_shutdown:
        return op_shutdown(hc, true);
    case SCHEDOP_shutdown_code:
        return op_shutdown(hc, false);
    case SCHEDOP_remote_shutdown:
        return op_remote_shutdown(hc);
    case SCHEDOP_watchdog:
        return op_watchdog(hc);
    case SCHEDOP_pin_override:
        return -EPERM;    /* for a hardware domain's vCPUs, which the host's are not */
    default:
        return hc_enosys(hc, __HYPERVISOR_sched_op, (uint32_t)hc->arg[0]);
    }
}

void sched_effective(const struct vcpu *v, cpu_set_t *set)
{
    CPU_AND(set, &v->hard, &v->d->pool->cpus);
    if (!CPU_COUNT(set)) {
        *set = v->d->pool->cpus;
    }
}

bool sched_is_thread(const struct domain *d, int32_t tid)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)d->pid, (int)tid);
    return d->pid > 0 && tid > 0 && access(path, F_OK) == 0;
}

uint32_t sched_last_cpu(const struct domain *d, int32_t tid)
{
    char path[64], line[1024];
    char *p;
    uint32_t cpu = 0;
    FILE *f;

    if (!sched_is_thread(d, tid)) {
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)d->pid, (int)tid);
    f = fopen(path, "re");
    if (f && fgets(line, sizeof(line), f) && (p = strrchr(line, ')'))) {
        /* proc(5): the name in parentheses is field 2, the processor field 39 */
        for (int field = 2; field < 39 && p; field++) {
            p = strchr(p + 1, ' ');
        }
        cpu = p ? (uint32_t)strtoul(p, NULL, 10) : 0;
    }
    if (f) {
        fclose(f);
    }
    return cpu < d->core->host.nr_cpu_ids ? cpu : 0;
}

/* A thread starts with the core's own affinity, which is all CPUs of the host. */
void sched_apply_affinity(struct vcpu *v)
{
    struct domain *d = v->d;
    struct vcpu_report r;
    cpu_set_t eff;

    domain_vcpu_report(d, v->id, &r);
    sched_effective(v, &eff);
    if (r.tid != v->applied_tid) {
        v->applied_tid = r.tid;
        v->applied = d->core->host.cpus;
    }
    if (CPU_EQUAL(&eff, &v->applied) || !sched_is_thread(d, r.tid)) {
        return;
    }
    if (sched_setaffinity(r.tid, sizeof(eff), &eff) < 0) {
        /* The host has taken these CPUs away from us since we looked, say. */
        kr_log(KR_WARN, "domain %u: cannot set the affinity of vCPU %u: %s", d->domid, v->id,
               strerror(errno));
        return;
    }
    v->applied = eff;
}

void sched_apply_all(struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        sched_apply_affinity(d->vcpu[i]);
    }
}

void sched_pool_changed(struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        struct vcpu *v = d->vcpu[i];
        cpu_set_t left;

        CPU_AND(&left, &v->hard, &d->pool->cpus);
        if (!CPU_COUNT(&left)) {
            kr_log(KR_NOTICE, "domain %u: vCPU %u has lost its CPUs: it may use any of its pool",
                   d->domid, i);
            memset(&v->hard, 0xff, sizeof(v->hard));
        }
    }
    sched_apply_all(d);
}

void sched_pool_moved(struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        memset(&d->vcpu[i]->hard, 0xff, sizeof(d->vcpu[i]->hard));
        memset(&d->vcpu[i]->soft, 0xff, sizeof(d->vcpu[i]->soft));
    }
    sched_apply_all(d);
    share_set(d, SHARE_DEFAULT_WEIGHT, 0);
}
