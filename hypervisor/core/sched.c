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

void sched_host_cpus(const struct core *core, cpu_set_t *set)
{
    CPU_ZERO(set);
    for (uint32_t i = 0; i < core->host.nr_cpus && i < CPU_SETSIZE; i++) {
        CPU_SET(i, set);
    }
}

/* The thread id comes from the domain's process: it must be a thread of that very process. */
static bool is_thread_of(pid_t pid, int32_t tid)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)pid, (int)tid);
    return pid > 0 && tid > 0 && access(path, F_OK) == 0;
}

uint32_t sched_last_cpu(const struct domain *d, int32_t tid)
{
    char path[64], line[1024];
    char *p;
    uint32_t cpu = 0;
    FILE *f;

    if (!is_thread_of(d->pid, tid)) {
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
    return cpu < d->core->host.nr_cpus ? cpu : 0;
}

int sched_apply_affinity(struct vcpu *v)
{
    struct domain *d = v->d;
    struct vcpu_report r;
    cpu_set_t host, eff;

    domain_vcpu_report(d, v->id, &r);
    if (r.tid == v->applied_tid || !is_thread_of(d->pid, r.tid)) {
        return 0;
    }
    sched_host_cpus(d->core, &host);
    CPU_AND(&eff, &v->hard, &host);
    if (sched_setaffinity(r.tid, sizeof(eff), &eff) < 0) {
        kr_log_once(KR_WARN, "cannot set a vCPU's affinity: %s", strerror(errno));
        return -errno;
    }
    v->applied_tid = r.tid;
    return 0;
}

void sched_apply_all(struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        cpu_set_t host, eff;

        sched_host_cpus(d->core, &host);
        CPU_AND(&eff, &d->vcpu[i]->hard, &host);
        if (!CPU_EQUAL(&eff, &host)) {
            sched_apply_affinity(d->vcpu[i]);
        }
    }
}
