/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/cpu_share.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "common/log.h"
#include "hypervisor/core/cgroup.h"
#include "hypervisor/core/console.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/sched.h"

#define NICE_MAX 19

const char *share_weights(const struct core *core)
{
    return core->cgroup ? "control group" : core->nice_works ? "nice values" :
           "not enforced: no delegated control group, and nice values could not be raised again";
}

const char *share_caps(const struct core *core)
{
    return core->cgroup ? "control group" : "domain process";
}

/*
 * A thread's priority can always be lowered; whether it may come back is up to RLIMIT_NICE (20 - n
 * is the lowest value allowed) or CAP_SYS_NICE, which a try tells.
 */
static void look_at_nice(struct core *core)
{
    struct rlimit rl;
    int own, probe;

    errno = 0;
    own = getpriority(PRIO_PROCESS, 0);
    if (errno || getrlimit(RLIMIT_NICE, &rl) < 0) {
        return;
    }
    core->nice_own = own;
    core->nice_min = rl.rlim_cur >= 40 ? -20 : 20 - (int)rl.rlim_cur;
    probe = (core->nice_min < own ? core->nice_min : own) - 1;
    if (probe >= -20 && setpriority(PRIO_PROCESS, 0, probe) == 0) {
        setpriority(PRIO_PROCESS, 0, own);
        core->nice_min = -20;
    }
    core->nice_works = core->nice_min <= own;
}

int share_init(struct core *core, const char *group)
{
    char path[512];

    if (group || cgroup_delegated(path, sizeof(path))) {
        core->cgroup = cgroup_open(group ? group : path, &cgroup_kernel);
        if (!core->cgroup) {
            int rc = -errno;

            kr_log(KR_WARN, "cannot use control group %s: %s", group ? group : path, strerror(errno));
            if (group) {
                return rc;
            }
        }
    }
    look_at_nice(core);
    console_printf(core, "weights: %s; caps: %s", share_weights(core), share_caps(core));
    return 0;
}

void share_fini(struct core *core)
{
    cgroup_close(core->cgroup);
    core->cgroup = NULL;
}

/* A step of nice is a factor of 1.25 (kernel, sched_prio_to_weight). */
static int nice_for(const struct core *core, uint32_t weight)
{
    uint64_t w = weight * 1000ull, base = SHARE_DEFAULT_WEIGHT * 1000ull;
    int nice = core->nice_own;

    for (; w * 9 < base * 8 && nice < NICE_MAX; nice++) {
        w = w * 5 / 4;
    }
    for (; w * 8 > base * 9 && nice > core->nice_min; nice--) {
        w = w * 4 / 5;
    }
    return nice;
}

static void apply_nice(struct domain *d)
{
    int nice = nice_for(d->core, d->weight);

    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        struct vcpu_report r;

        domain_vcpu_report(d, i, &r);
        if (sched_is_thread(d, r.tid) && setpriority(PRIO_PROCESS, (id_t)r.tid, nice) < 0) {
            kr_log(KR_WARN, "domain %u: cannot set vCPU %u to nice %d: %s", d->domid, i, nice,
                   strerror(errno));
        }
    }
}

static void apply_weight(struct domain *d)
{
    uint32_t w = d->weight * CGROUP_DEFAULT_WEIGHT / SHARE_DEFAULT_WEIGHT;
    int rc;

    if (d->in_cgroup) {
        w = w < 1 ? 1 : w > CGROUP_MAX_WEIGHT ? CGROUP_MAX_WEIGHT : w;
        rc = cgroup_weight(d->core->cgroup, d->domid, w);
        if (rc) {
            kr_log(KR_WARN, "domain %u: its control group's weight: %s", d->domid, strerror(-rc));
        }
    } else if (d->core->nice_works) {
        apply_nice(d);
    } else if (d->weight != SHARE_DEFAULT_WEIGHT) {
        kr_log_once(KR_NOTICE, "domain %u: a weight is kept, but %s", d->domid, share_weights(d->core));
    }
}

static void apply_cap(struct domain *d)
{
    struct kl_param m = { .index = KL_PARAM_CPU_CAP, .value = d->cap };
    int rc = d->in_cgroup ? cgroup_cap(d->core->cgroup, d->domid, d->cap) : 0;

    if (rc) {
        kr_log(KR_WARN, "domain %u: its control group's cap: %s", d->domid, strerror(-rc));
    }
    if (d->in_cgroup && !rc) {
        m.value = 0;
    }
    /* What it was never told to limit needs no message. */
    if (m.value || d->cap_told) {
        domproc_send_control(d, KL_PARAM, &m, sizeof(m), NULL, 0);
        d->cap_told = m.value != 0;
    }
}

void share_begin(struct domain *d)
{
    struct cgroup *g = d->core->cgroup;
    int rc = g && d->pid > 0 ? cgroup_add(g, d->domid, d->pid) : -ENOENT;

    d->in_cgroup = !rc;
    if (rc && g) {
        kr_log(KR_WARN, "domain %u: no control group: %s", d->domid, strerror(-rc));
    }
}

void share_end(struct domain *d)
{
    if (d->in_cgroup) {
        int rc = cgroup_remove(d->core->cgroup, d->domid);

        d->in_cgroup = false;
        if (rc) {
            kr_log(KR_WARN, "domain %u: its control group stays: %s", d->domid, strerror(-rc));
        }
    }
}

void share_set(struct domain *d, uint32_t weight, uint32_t cap)
{
    bool new_weight = weight != d->weight, new_cap = cap != d->cap;

    d->weight = (uint16_t)weight;
    d->cap = (uint16_t)cap;
    if (d->host || d->dying) {
        return;
    }
    if (new_weight) {
        apply_weight(d);
    }
    if (new_cap) {
        apply_cap(d);
    }
}

void share_apply(struct domain *d)
{
    if (d->weight != SHARE_DEFAULT_WEIGHT && !d->in_cgroup) {
        apply_weight(d);
    }
}
