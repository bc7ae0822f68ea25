/* SPDX-License-Identifier: MIT */
/* What is told about a domain: getdomaininfo and the vCPU reports behind it. */
#include "hypervisor/core/domain.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xen/vcpu.h>

#include "hypervisor/core/cpupool.h"

/* Where the process has been: more than a vCPU's share of time since it started is a lie. */
static uint64_t clamp_time(const struct domain *d, uint64_t ns)
{
    uint64_t age = core_now() - d->core->start_ns;

    return ns > age ? age : ns;
}

void domain_vcpu_report(const struct domain *d, uint32_t vcpu, struct vcpu_report *out)
{
    const volatile struct kl_vcpu_state *s;
    uint32_t run;

    memset(out, 0, sizeof(*out));
    if (!d->state || vcpu >= d->nr_vcpus) {
        return;
    }
    s = &d->state->vcpu[vcpu];
    run = s->run;
    out->tid = s->tid;
    for (unsigned i = 0; i < 4; i++) {
        out->time[i] = clamp_time(d, s->time[i]);
    }
    out->cpu_ns = out->time[RUNSTATE_running];
    out->online = s->online != 0;
    out->running = run == KL_RS_RUNNING && d->run == PROC_RUNNING;
    out->blocked = run == KL_RS_BLOCKED && !d->proc_gone;
}

/* Domain 0's processor time is the host's: everything not idle since boot. */
static uint64_t host_cpu_ns(void)
{
    unsigned long long t[8] = { 0 }, busy = 0;
    FILE *f = fopen("/proc/stat", "re");
    long hz = sysconf(_SC_CLK_TCK);

    if (f) {
        if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
                   &t[4], &t[5], &t[6], &t[7]) >= 4) {
            busy = t[0] + t[1] + t[2] + t[5] + t[6];
        }
        fclose(f);
    }
    return busy * (1000000000ull / (unsigned long long)(hz > 0 ? hz : 100));
}

static void host_info_of(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    const struct host_info *h = &d->core->host;

    info->flags |= XEN_DOMINF_running;
    info->nr_online_vcpus = h->nr_cpus;
    info->max_vcpu_id = h->nr_cpus - 1;
    info->tot_pages = h->reserve_pages;
    info->max_pages = h->total_pages;
    info->cpu_time = host_cpu_ns();
}

static void guest_info_of(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    bool running = false, blocked = true;

    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        struct vcpu_report r;

        domain_vcpu_report(d, i, &r);
        info->cpu_time += r.cpu_ns;
        if (r.online) {
            info->nr_online_vcpus++;
            running |= r.running;
            blocked &= r.blocked;
        }
    }
    info->max_vcpu_id = d->nr_vcpus ? d->nr_vcpus - 1 : XEN_INVALID_MAX_VCPU_ID;
    if (info->nr_online_vcpus && blocked) {
        info->flags |= XEN_DOMINF_blocked;
    }
    if (running) {
        info->flags |= XEN_DOMINF_running;
    }
    info->flags |= XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
    info->tot_pages = d->tot_pages;
    info->max_pages = d->max_pages;
    info->outstanding_pages = d->claim_pages;
    info->gpaddr_bits = KR_GPA_BITS;
}

void domain_getinfo(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    memset(info, 0, sizeof(*info));
    info->domain = d->domid;
    info->shared_info_frame = UINT64_MAX;
    if (d->p2m.xen_gfn && d->p2m.xen_gfn[KL_XEN_SHARED_INFO]) {
        info->shared_info_frame = d->p2m.xen_gfn[KL_XEN_SHARED_INFO] - 1;
    }
    if (d->host) {
        host_info_of(d, info);
    } else {
        guest_info_of(d, info);
    }
    if (d->dying) {
        info->flags |= XEN_DOMINF_dying;
    }
    if (d->is_shut_down) {
        info->flags |= XEN_DOMINF_shutdown;
    }
    if (d->pause_count) {
        info->flags |= XEN_DOMINF_paused;
    }
    if (d->config.flags & XEN_DOMCTL_CDF_xs_domain) {
        info->flags |= XEN_DOMINF_xs_domain;
    }
    info->flags |= d->shutdown_code << XEN_DOMINF_shutdownshift;
    memcpy(info->handle, d->handle, sizeof(info->handle));
    info->arch_config = d->config.arch;
    info->cpupool = d->pool->id;
}
