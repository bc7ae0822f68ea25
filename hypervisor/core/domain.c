/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/domain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/sched.h>

#include "common/log.h"
#include "hypervisor/core/console.h"
#include "hypervisor/core/cpu_policy.h"
#include "hypervisor/core/cpu_share.h"
#include "hypervisor/core/cpupool.h"
#include "hypervisor/core/dm_op.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/event_channel.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/ioreq.h"
#include "hypervisor/core/sched.h"

#define PAGE 4096ull
#define PORTS_PER_SLICE 256
#define FOREIGN_PER_SLICE 512
#define FREED_PER_SLICE 4096    /* pages */

struct domain *domain_find(struct core *core, domid_t domid)
{
    return domid < DOMID_FIRST_RESERVED ? core->by_domid[domid] : NULL;
}

struct domain *domain_get(struct domain *d)
{
    d->refs++;
    return d;
}

void domain_put(struct domain *d)
{
    if (--d->refs) {
        return;
    }
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        free(d->vcpu[i]);
    }
    free(d->vcpu);
    free(d->policy);
    free(d->batch);
    free(d);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void domain_close_memory(struct domain *d)
{
    close_fd(&d->ram_fd);
    close_fd(&d->ram_ro_fd);
    close_fd(&d->xen_fd);
}

/*
 * Frees memory and tables; the struct lives on while somebody refers to it, and so do pages that
 * somebody holds.
 */
static void free_memory(struct domain *d)
{
    domain_claim(d, 0);
    foreign_free(d);
    page_free_all_later(d);
    pod_free(d);
    /* One that was populated on demand may have more pages held than it was accounted. */
    if (d->tot_pages > d->held.nr) {
        domain_account(d, -(int64_t)(d->tot_pages - d->held.nr));
    }
    gnt_free(d);
    evtchn_free(d);
    dm_free(d);
    p2m_free(d);
    if (d->xen_map) {
        munmap(d->xen_map, KL_XEN_PAGES * PAGE);
        d->xen_map = NULL;
    }
    if (d->state) {
        munmap(d->state, sizeof(*d->state));
        d->state = NULL;
    }
    if (!d->memory_users) {
        domain_close_memory(d);
    }
    close_fd(&d->state_fd);
    for (unsigned i = 0; i < KR_ARRAY_SIZE(d->watchdog); i++) {
        d->watchdog[i].src = sd_event_source_disable_unref(d->watchdog[i].src);
    }
}

static void unlink_domain(struct domain *d)
{
    struct core *core = d->core;
    struct domain **p;

    cpupool_remove_domain(d);
    if (!d->on_list) {
        return;
    }
    for (p = &core->flush; *p; p = &(*p)->flush_next) {
        if (*p == d) {
            *p = d->flush_next;
            break;
        }
    }
    for (p = &core->domains; *p != d; p = &(*p)->next) {
    }
    *p = d->next;
    core->by_domid[d->domid] = NULL;
    core->nr_domains--;
    d->on_list = false;
}

static void link_domain(struct domain *d)
{
    struct core *core = d->core;
    struct domain **p = &core->domains;

    while (*p && (*p)->domid < d->domid) {
        p = &(*p)->next;
    }
    d->next = *p;
    *p = d;
    core->by_domid[d->domid] = d;
    core->nr_domains++;
    d->on_list = true;
}

static int new_memfd(const char *what, domid_t domid, uint64_t size)
{
    char name[48];
    int fd;

    snprintf(name, sizeof(name), "krypton-dom%u-%s", domid, what);
    fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    /* Sealed: nobody with a descriptor can cut it under somebody else's map (SIGBUS). */
    if (fd >= 0 && (ftruncate(fd, (off_t)size) < 0 ||
                    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int reopen_read_only(int fd)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int domain_new_memfd(const char *what, domid_t domid, uint64_t size, int *fd, int *ro_fd)
{
    *fd = new_memfd(what, domid, size);
    *ro_fd = *fd < 0 ? -1 : reopen_read_only(*fd);
    if (*ro_fd < 0) {
        close_fd(fd);
        return -ENOMEM;
    }
    return 0;
}

static int map_shared(int fd, size_t size, void **out)
{
    *out = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*out == MAP_FAILED) {
        *out = NULL;
        return -1;
    }
    return 0;
}

static int make_memory(struct domain *d)
{
    void *xen, *state = NULL;

    d->xen_fd = new_memfd("xen", d->domid, KL_XEN_PAGES * PAGE);
    if (d->xen_fd < 0 || map_shared(d->xen_fd, KL_XEN_PAGES * PAGE, &xen) < 0) {
        return -ENOMEM;
    }
    d->xen_map = xen;
    if (d->host) {
        return 0;
    }
    d->ram_fd = new_memfd("ram", d->domid, P2M_MAX_GFN * PAGE);
    d->state_fd = new_memfd("state", d->domid, sizeof(*d->state));
    if (d->ram_fd < 0 || d->state_fd < 0 ||
        map_shared(d->state_fd, sizeof(*d->state), &state) < 0) {
        return -ENOMEM;
    }
    d->state = state;
    d->ram_ro_fd = reopen_read_only(d->ram_fd);
    return d->ram_ro_fd < 0 ? -ENOMEM : p2m_init(d);
}

static struct domain *alloc_domain(struct core *core, domid_t domid)
{
    struct domain *d = calloc(1, sizeof(*d));

    if (!d) {
        return NULL;
    }
    d->core = core;
    d->domid = domid;
    d->serial = ++core->serial;
    d->refs = 1;
    d->pid = d->pidfd = d->sock = -1;
    d->ram_fd = d->ram_ro_fd = d->xen_fd = d->state_fd = -1;
    d->weight = SHARE_DEFAULT_WEIGHT;
    return d;
}

static int alloc_domid(struct core *core, domid_t *domid)
{
    if (!core->dom0) {
        return *domid > 0 && *domid < DOMID_FIRST_RESERVED ? -EINVAL : (*domid = 0);
    }
    if (*domid > 0 && *domid < DOMID_FIRST_RESERVED) {
        return core->by_domid[*domid] ? -EEXIST : 0;
    }
    for (unsigned i = 0; i < DOMID_FIRST_RESERVED; i++) {
        domid_t next = (domid_t)((core->last_domid + 1u + i) % DOMID_FIRST_RESERVED);

        if (next && !core->by_domid[next]) {
            *domid = core->last_domid = next;
            return 0;
        }
    }
    return -ENOMEM;
}

/* What createdomain may ask for here: PVH containers. Each refusal says why once. */
static int check_config(const struct xen_domctl_createdomain *c)
{
    if (!(c->flags & XEN_DOMCTL_CDF_hvm)) {
        kr_log_once(KR_NOTICE, "createdomain: PV guests are not available");
        return -EINVAL;
    }
    if (c->flags & ~(XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_oos_off |
                     XEN_DOMCTL_CDF_xs_domain)) {
        kr_log_once(KR_NOTICE, "createdomain: flags %#x are not available", c->flags);
        return -EINVAL;
    }
    if (c->arch.emulation_flags != XEN_X86_EMU_LAPIC) {
        kr_log_once(KR_NOTICE, "createdomain: emulation flags %#x are not available (PVH: LAPIC)",
                    c->arch.emulation_flags);
        return -EINVAL;
    }
    if (c->arch.misc_flags & ~XEN_X86_MSR_RELAXED || c->iommu_opts || c->vmtrace_size) {
        return -EINVAL;
    }
    if (c->max_vcpus < 1 || c->max_vcpus > KL_MAX_VCPUS) {
        return -EINVAL;
    }
    if (c->max_grant_frames > KL_XEN_MAX_GRANT_FRAMES ||
        XEN_DOMCTL_GRANT_version(c->grant_opts) > 2 ||
        (c->grant_opts & ~XEN_DOMCTL_GRANT_version_mask)) {
        return -EINVAL;
    }
    return 0;
}

static int make_parts(struct domain *d)
{
    const struct xen_domctl_createdomain *c = &d->config;
    uint32_t frames = c->max_grant_frames < 0 ? GNT_DEFAULT_FRAMES : (uint32_t)c->max_grant_frames;
    uint32_t version = XEN_DOMCTL_GRANT_version(c->grant_opts);
    int rc;

    d->policy = malloc(sizeof(*d->policy));
    d->vcpu = calloc(d->max_vcpus ? d->max_vcpus : 1, sizeof(*d->vcpu));
    if (!d->policy || !d->vcpu) {
        return -ENOMEM;
    }
    *d->policy = d->core->policy_max;
    rc = make_memory(d);
    if (!rc) {
        rc = evtchn_init(d, c->max_evtchn_port);
    }
    if (!rc) {
        rc = gnt_init(d, frames, version ? version : 2);
    }
    return rc;
}

int domain_create(struct core *core, domid_t domid, const struct xen_domctl_createdomain *config,
                  struct domain **out)
{
    struct domain *d;
    int rc = check_config(config);

    if (!rc && !core->described) {
        kr_log(KR_ERR, "createdomain: no engine: %s did not describe one", core->domain_program);
        rc = -ENODEV;
    }
    if (!rc) {
        rc = alloc_domid(core, &domid);
    }
    if (rc) {
        return rc;
    }
    d = alloc_domain(core, domid);
    if (!d) {
        return -ENOMEM;
    }
    d->control = !core->dom0;
    d->config = *config;
    memcpy(d->handle, config->handle, sizeof(d->handle));
    d->max_vcpus = config->max_vcpus;
    d->pause_count = 1;
    d->tsc.gtsc_khz = (uint32_t)core->tsc_khz;
    rc = cpupool_add_domain(d, config->cpupool_id);
    if (!rc) {
        rc = make_parts(d);
    }
    if (!rc) {
        rc = domproc_start(d);
    }
    if (rc) {
        d->dying = true;
        domproc_free(d);
        cpupool_remove_domain(d);
        free_memory(d);
        domain_put(d);
        return rc;
    }
    link_domain(d);
    if (!core->dom0) {
        core->dom0 = d;
    }
    cpu_policy_send(d);
    share_begin(d);
    if (core->wall_shift) {
        domain_send_time(d);
    }
    *out = d;
    return 0;
}

struct domain *domain_create_host(struct core *core)
{
    struct domain *d = alloc_domain(core, 0);

    if (!d) {
        return NULL;
    }
    d->host = d->control = true;
    d->proc_gone = true;
    d->config.flags = 0;    /* listed as a PV domain, as Xen's domain 0 on most hosts */
    d->config.max_evtchn_port = EVT_FIFO_PORTS - 1;
    d->config.max_grant_frames = KL_XEN_MAX_GRANT_FRAMES;
    d->max_pages = UINT64_MAX;
    if (cpupool_add_domain(d, 0) || make_parts(d)) {
        cpupool_remove_domain(d);
        free_memory(d);
        domain_put(d);
        return NULL;
    }
    link_domain(d);
    return d;
}

/* DOMID_XEN is nobody that a domain could name: not in channels, not in grants. */
void domain_free_domid0(struct domain *host)
{
    unlink_domain(host);
    host->domid = DOMID_XEN;
}

/* What the state area says of a vCPU before its thread has been there. */
static void reset_vcpu_state(struct kl_vcpu_state *s)
{
    s->vcpu_info_gpa = s->runstate_gva = s->time_info_gva = UINT64_MAX;
    s->mtrr.msr_pat_cr = 0x0007040600070406ull;    /* reset value, Intel SDM vol. 3, 12.12.4 */
    s->mtrr.msr_mtrr_cap = 0x508;                  /* 8 variable ranges, fixed ranges, WC */
}

int domain_make_vcpus(struct domain *d, uint32_t nr)
{
    if (nr < d->nr_vcpus || nr > d->max_vcpus) {
        return -EINVAL;
    }
    while (d->nr_vcpus < nr) {
        struct vcpu *v = calloc(1, sizeof(*v));
        int rc;

        if (!v) {
            return -ENOMEM;
        }
        v->id = d->nr_vcpus;
        v->d = d;
        v->sock = -1;
        v->hc = (struct hcall){ .core = d->core, .d = d, .v = v };
        memset(&v->hard, 0xff, sizeof(v->hard));
        memset(&v->soft, 0xff, sizeof(v->soft));
        reset_vcpu_state(&d->state->vcpu[v->id]);
        rc = domproc_add_vcpu(v);
        if (rc) {
            domproc_free_vcpu(v);
            free(v);
            return rc;
        }
        d->vcpu[d->nr_vcpus++] = v;
        rc = ioreq_add_vcpu(d, v->id);
        if (rc) {
            return rc;
        }
    }
    /* Their threads may be there already; otherwise KL_READY sees to it. */
    sched_apply_all(d);
    share_apply(d);
    return 0;
}

void domain_send_time(struct domain *d)
{
    /* The process takes it from KL_PARAM with this index: an HVM parameter has no such number. */
    struct kl_param m = { .index = KL_PARAM_TIME_OFFSET,
                          .value = (uint64_t)d->time_offset + (uint64_t)d->core->wall_shift };

    domproc_send(d, KL_PARAM, &m, sizeof(m), NULL, 0);
}

uint64_t domain_time_offset(const struct domain *d)
{
    return d->state ? __atomic_load_n(&d->state->system_time_offset, __ATOMIC_RELAXED) : 0;
}

bool domain_stopped(const struct domain *d)
{
    return d->run == PROC_STOPPED;
}

static void send_plain(struct domain *d, uint32_t op)
{
    struct kl_hdr h;

    domproc_send_control(d, op, &h, sizeof(h), NULL, 0);
}

/* Every vCPU stands still, for good unless resumed: the shutdown is now complete. */
static void finish_shutdown(struct domain *d)
{
    if (d->shutting_down && !d->is_shut_down && domain_stopped(d)) {
        d->is_shut_down = true;
        if (d->suspend_port) {
            evtchn_send(d, d->suspend_port);
        }
        evtchn_raise_virq(d->core, VIRQ_DOM_EXC);
        domain_wake_waiters(d);
    }
}

/*
 * A vCPU whose call waits for another domain's to stand still does not stand still itself: domains that
 * wait for each other, in a ring, would do so for ever. So those of a domain that is to stop look again,
 * and give up where they can (grant_guest.c).
 */
static void stop_waiting(struct domain *d)
{
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        hypercall_retry(&d->vcpu[i]->hc);
    }
}

void domain_update_run(struct domain *d)
{
    bool want = !d->pause_count && !d->hold_count && !d->shutting_down && !d->dying;

    if (d->host) {
        return;
    }
    if (d->proc_gone || d->proc_killed) {
        d->run = d->proc_gone ? PROC_STOPPED : d->run;
    } else if (want && d->run == PROC_STOPPED) {
        d->run = PROC_RUNNING;
        send_plain(d, KL_RUN);
    } else if (!want && d->run == PROC_RUNNING) {
        d->run = PROC_STOPPING;
        send_plain(d, KL_STOP);
        stop_waiting(d);
    }
    finish_shutdown(d);
}

void domain_pause(struct domain *d)
{
    d->hold_count++;
    domain_update_run(d);
}

void domain_unpause(struct domain *d)
{
    d->hold_count--;
    domain_update_run(d);
}

long hc_hold(struct hcall *hc, struct domain *d)
{
    if (!hc->held) {
        hc->held = domain_get(d);
        hc->held_paused = true;
        domain_pause(d);
    }
    return domain_stopped(d) ? 0 : domain_wait(hc, d);
}

void hc_release(struct hcall *hc)
{
    struct domain *d = hc->held;

    hc->held = NULL;
    if (d) {
        if (hc->held_paused) {
            domain_unpause(d);
        }
        hc->held_paused = false;
        domain_put(d);
    }
}

long domain_wait(struct hcall *hc, struct domain *d)
{
    hc->waits_on = domain_get(d);
    hc->next_waiter = d->waiters;
    d->waiters = hc;
    return HC_WAIT;
}

void domain_wake_waiters(struct domain *d)
{
    /* Those that wait again must not be run again now; cancellation finds the others in waking. */
    if (d->waking) {
        return;
    }
    d->waking = d->waiters;
    d->waiters = NULL;
    domain_get(d);
    while (d->waking) {
        struct hcall *hc = d->waking;

        d->waking = hc->next_waiter;
        hc->waits_on = NULL;
        hypercall_continue(hc);
        domain_put(d);
    }
    domain_put(d);
}

void domain_shutdown(struct domain *d, uint32_t reason)
{
    if (d->host || d->shutting_down || d->dying) {
        return;
    }
    d->shutting_down = true;
    d->shutdown_code = reason;
    if (reason == SHUTDOWN_crash) {
        console_printf(d->core, "Domain %u crashed.", d->domid);
    }
    domain_update_run(d);
    if (d == d->core->dom0) {
        core_end_machine(d->core, reason);
    }
}

void domain_resume(struct domain *d)
{
    if (!d->proc_gone && !d->proc_killed) {
        d->shutting_down = d->is_shut_down = false;
        domain_update_run(d);
    }
}

/* The end of the teardown: from here on the domid is free. */
static void bury(struct domain *d)
{
    struct core *core = d->core;

    d->dead = true;
    share_end(d);
    free_memory(d);
    unlink_domain(d);
    if (core->dom0 == d) {
        core->dom0 = NULL;
    }
    d->reaper = sd_event_source_disable_unref(d->reaper);
    domain_wake_waiters(d);
    evtchn_raise_virq(core, VIRQ_DOM_EXC);
    domain_put(d);
}

static int punch(const struct domain *d, uint64_t page, uint64_t nr)
{
    return nr ? fallocate(d->ram_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(page * PAGE),
                          (off_t)(nr * PAGE)) : 0;
}

/* What others still map stays readable, the guest's last words on the console among it. */
static int punch_unheld(const struct domain *d, uint64_t page, uint64_t nr)
{
    uint64_t from = page;

    for (uint64_t p = page; d->held.nr && p < page + nr; p++) {
        if (page_holds(d, p)) {
            if (punch(d, from, p - from) < 0) {
                return -1;
            }
            from = p + 1;
        }
    }
    return punch(d, from, page + nr - from);
}

/*
 * The RAM of a process that ended long ago is ours alone to free, which takes time. True when done.
 * (Otherwise our descriptor went before the process did, and its end freed the memory.)
 */
static bool free_ram_some(struct domain *d)
{
    uint64_t n = d->p2m.ram_top < FREED_PER_SLICE ? d->p2m.ram_top : FREED_PER_SLICE;

    if (d->ram_fd < 0 || !n) {
        return true;
    }
    d->p2m.ram_top -= n;
    return punch_unheld(d, d->p2m.ram_top, n) < 0 || !d->p2m.ram_top;
}

static int on_reap(sd_event_source *s, void *opaque)
{
    struct domain *d = opaque;

    if (!d->proc_gone) {
        /* pidfd's handler comes first; a process in uninterruptible sleep must not spin us */
        sd_event_source_set_enabled(s, SD_EVENT_OFF);
        return 0;
    }
    if (!evtchn_close_some(d, PORTS_PER_SLICE) || !foreign_drop_some(d, FOREIGN_PER_SLICE) ||
        !free_ram_some(d)) {
        return 0;
    }
    domproc_free(d);
    bury(d);
    return 0;
}

int domain_kill(struct domain *d)
{
    if (d->host || d == d->core->dom0) {
        return -EINVAL;
    }
    if (d->dying) {
        return 0;
    }
    if (sd_event_add_defer(d->core->event, &d->reaper, on_reap, d) < 0) {
        return -ENOMEM;
    }
    sd_event_source_set_enabled(d->reaper, SD_EVENT_ON);
    d->dying = true;
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        hypercall_cancel(&d->vcpu[i]->hc);
    }
    if (!d->proc_gone && !d->memory_users) {
        close_fd(&d->ram_fd);
        close_fd(&d->ram_ro_fd);
    }
    domproc_kill(d, "destroyed");
    domain_wake_waiters(d);
    return 0;
}

void domain_kill_now(struct domain *d)
{
    d->dying = true;
    domproc_free(d);
    while (!evtchn_close_some(d, UINT32_MAX)) {
    }
    if (!d->host) {
        bury(d);
        return;
    }
    free_memory(d);
    unlink_domain(d);
    domain_put(d);
}

int domain_account(struct domain *d, int64_t pages)
{
    struct host_info *h = &d->core->host;
    uint64_t from_claim = 0, n;

    if (pages <= 0) {
        n = pod_absorb(d, (uint64_t)-pages);
        n = n < d->tot_pages ? n : d->tot_pages;    /* free_memory() says when it is more */
        d->tot_pages -= n;
        h->given_pages -= n;
        return 0;
    }
    n = (uint64_t)pages;
    if (n > d->max_pages || d->tot_pages > d->max_pages - n) {
        return -ENOMEM;
    }
    from_claim = n < d->claim_pages ? n : d->claim_pages;
    if (h->given_pages + (n - from_claim) > h->total_pages - h->reserve_pages) {
        return -ENOMEM;
    }
    d->claim_pages -= from_claim;
    h->claimed_pages -= from_claim;
    h->given_pages += n - from_claim;
    d->tot_pages += n;
    return 0;
}

int domain_claim(struct domain *d, uint64_t pages)
{
    struct host_info *h = &d->core->host;
    uint64_t more;

    if (pages == 0) {
        h->given_pages -= d->claim_pages;
        h->claimed_pages -= d->claim_pages;
        d->claim_pages = 0;
        return 0;
    }
    if (d->claim_pages || pages <= d->tot_pages) {
        return -EINVAL;
    }
    if (pages > d->max_pages) {
        return -EINVAL;
    }
    more = pages - d->tot_pages;
    if (h->given_pages + more > h->total_pages - h->reserve_pages) {
        return -ENOMEM;
    }
    d->claim_pages = more;
    h->claimed_pages += more;
    h->given_pages += more;
    return 0;
}
