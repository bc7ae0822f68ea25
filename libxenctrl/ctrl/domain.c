/* SPDX-License-Identifier: MIT */
/* Domains as a whole: life cycle, information, settings. */
#include <string.h>

#include "libxenctrl/ctrl/private.h"

/* A domctl that has no arguments but the domain. */
static int simple(xc_interface *xch, uint32_t cmd, uint32_t domid)
{
    struct xen_domctl d = { 0 };

    return domctl(xch, &d, cmd, domid);
}

int xc_domain_create(xc_interface *xch, uint32_t *pdomid, struct xen_domctl_createdomain *config)
{
    struct xen_domctl d = { .u.createdomain = *config };

    if (domctl(xch, &d, XEN_DOMCTL_createdomain, *pdomid)) {
        return -1;
    }
    *pdomid = d.domain;
    *config = d.u.createdomain;
    return 0;
}

int xc_domain_max_vcpus(xc_interface *xch, uint32_t domid, unsigned int max)
{
    struct xen_domctl d = { .u.max_vcpus.max = max };

    return domctl(xch, &d, XEN_DOMCTL_max_vcpus, domid);
}

int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
    return simple(xch, XEN_DOMCTL_pausedomain, domid);
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    return simple(xch, XEN_DOMCTL_unpausedomain, domid);
}

int xc_domain_destroy(xc_interface *xch, uint32_t domid)
{
    int rc;

    /* Xen tears a domain down in slices and asks to be called again between them. */
    do {
        rc = simple(xch, XEN_DOMCTL_destroydomain, domid);
    } while (rc && (errno == EAGAIN || errno == EINTR));
    return rc;
}

int xc_domain_soft_reset(xc_interface *xch, uint32_t domid)
{
    int rc;

    do {
        rc = simple(xch, XEN_DOMCTL_soft_reset, domid);
    } while (rc && (errno == EAGAIN || errno == EINTR));
    return rc;
}

int xc_domain_shutdown(xc_interface *xch, uint32_t domid, int reason)
{
    sched_remote_shutdown_t arg = { .domain_id = (domid_t)domid, .reason = (unsigned)reason };

    return (int)do_op(xch, __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &arg,
                           sizeof(arg));
}

int xc_watchdog(xc_interface *xch, uint32_t id, uint32_t timeout)
{
    sched_watchdog_t arg = { .id = id, .timeout = timeout };

    return (int)do_op(xch, __HYPERVISOR_sched_op, SCHEDOP_watchdog, &arg, sizeof(arg));
}

int xc_domain_sethandle(xc_interface *xch, uint32_t domid, xen_domain_handle_t handle)
{
    struct xen_domctl d = { 0 };

    memcpy(d.u.setdomainhandle.handle, handle, sizeof(xen_domain_handle_t));
    return domctl(xch, &d, XEN_DOMCTL_setdomainhandle, domid);
}

int xc_domain_setdebugging(xc_interface *xch, uint32_t domid, unsigned int enable)
{
    struct xen_domctl d = { .u.setdebugging.enable = (uint8_t)enable };

    return domctl(xch, &d, XEN_DOMCTL_setdebugging, domid);
}

int xc_domain_set_virq_handler(xc_interface *xch, uint32_t domid, int virq)
{
    struct xen_domctl d = { .u.set_virq_handler.virq = (uint32_t)virq };

    return domctl(xch, &d, XEN_DOMCTL_set_virq_handler, domid);
}

int xc_domain_set_target(xc_interface *xch, uint32_t domid, uint32_t target)
{
    struct xen_domctl d = { .u.set_target.target = (domid_t)target };

    return domctl(xch, &d, XEN_DOMCTL_set_target, domid);
}

int xc_domain_subscribe_for_suspend(xc_interface *xch, uint32_t domid, evtchn_port_t port)
{
    struct xen_domctl d = { .u.subscribe.port = port };

    return domctl(xch, &d, XEN_DOMCTL_subscribe, domid);
}

int xc_domain_set_time_offset(xc_interface *xch, uint32_t domid, int32_t time_offset_seconds)
{
    struct xen_domctl d = { .u.settimeoffset.time_offset_seconds = time_offset_seconds };

    return domctl(xch, &d, XEN_DOMCTL_settimeoffset, domid);
}

int xc_domain_set_tsc_info(xc_interface *xch, uint32_t domid, uint32_t tsc_mode,
                           uint64_t elapsed_nsec, uint32_t gtsc_khz, uint32_t incarnation)
{
    struct xen_domctl d = { .u.tsc_info = {
        .tsc_mode = tsc_mode,
        .elapsed_nsec = elapsed_nsec,
        .gtsc_khz = gtsc_khz,
        .incarnation = incarnation,
    } };

    return domctl(xch, &d, XEN_DOMCTL_settscinfo, domid);
}

int xc_domain_get_tsc_info(xc_interface *xch, uint32_t domid, uint32_t *tsc_mode,
                           uint64_t *elapsed_nsec, uint32_t *gtsc_khz, uint32_t *incarnation)
{
    struct xen_domctl d = { 0 };

    if (domctl(xch, &d, XEN_DOMCTL_gettscinfo, domid)) {
        return -1;
    }
    *tsc_mode = d.u.tsc_info.tsc_mode;
    *elapsed_nsec = d.u.tsc_info.elapsed_nsec;
    *gtsc_khz = d.u.tsc_info.gtsc_khz;
    *incarnation = d.u.tsc_info.incarnation;
    return 0;
}

int xc_domain_send_trigger(xc_interface *xch, uint32_t domid, uint32_t trigger, uint32_t vcpu)
{
    struct xen_domctl d = { .u.sendtrigger = { .trigger = trigger, .vcpu = vcpu } };

    return domctl(xch, &d, XEN_DOMCTL_sendtrigger, domid);
}

int xc_domain_debug_control(xc_interface *xch, uint32_t domid, uint32_t sop, uint32_t vcpu)
{
    struct xen_domctl d = { .u.debug_op = { .op = sop, .vcpu = vcpu } };

    return domctl(xch, &d, XEN_DOMCTL_debug_op, domid);
}

int xc_domain_get_guest_width(xc_interface *xch, uint32_t domid, unsigned int *guest_width)
{
    struct xen_domctl d = { 0 };

    if (domctl(xch, &d, XEN_DOMCTL_get_address_size, domid)) {
        return -1;
    }
    /* The call says bits, this function bytes. */
    *guest_width = d.u.address_size.size / 8;
    return 0;
}

/* ---- information ------------------------------------------------------------------------ */

static void to_dominfo(const struct xen_domctl_getdomaininfo *from, xc_dominfo_t *to)
{
    uint32_t f = from->flags;

    memset(to, 0, sizeof(*to));
    to->domid = from->domain;
    to->ssidref = from->ssidref;
    to->dying = !!(f & XEN_DOMINF_dying);
    to->shutdown = !!(f & XEN_DOMINF_shutdown);
    to->paused = !!(f & XEN_DOMINF_paused);
    to->blocked = !!(f & XEN_DOMINF_blocked);
    to->running = !!(f & XEN_DOMINF_running);
    to->hvm = !!(f & XEN_DOMINF_hvm_guest);
    to->debugged = !!(f & XEN_DOMINF_debugged);
    to->xenstore = !!(f & XEN_DOMINF_xs_domain);
    to->hap = !!(f & XEN_DOMINF_hap);
    to->shutdown_reason = f >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
    if (to->shutdown && to->shutdown_reason == SHUTDOWN_crash) {
        to->shutdown = 0;
        to->crashed = 1;
    }
    to->nr_pages = from->tot_pages;
    to->nr_outstanding_pages = from->outstanding_pages;
    to->nr_shared_pages = from->shr_pages;
    to->nr_paged_pages = from->paged_pages;
    to->max_memkb = from->max_pages << (XC_PAGE_SHIFT - 10);
    to->shared_info_frame = from->shared_info_frame;
    to->cpu_time = from->cpu_time;
    to->nr_online_vcpus = from->nr_online_vcpus;
    to->max_vcpu_id = from->max_vcpu_id;
    to->cpupool = from->cpupool;
    to->gpaddr_bits = from->gpaddr_bits;
    to->arch_config = from->arch_config;
    memcpy(to->handle, from->handle, sizeof(xen_domain_handle_t));
}

int xc_domain_getinfo(xc_interface *xch, uint32_t first_domid, unsigned int max_doms,
                      xc_dominfo_t *info)
{
    uint32_t next = first_domid;
    unsigned int n;

    for (n = 0; n < max_doms; n++) {
        struct xen_domctl d = { 0 };

        if (next >= DOMID_FIRST_RESERVED) {
            break;
        }
        /* Answers for the first domain from `next` on. */
        if (domctl(xch, &d, XEN_DOMCTL_getdomaininfo, next)) {
            if (n == 0 && errno != ESRCH) {
                return -1;
            }
            break;
        }
        to_dominfo(&d.u.getdomaininfo, &info[n]);
        next = d.domain + 1u;
    }
    return (int)n;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain, unsigned int max_domains,
                          xc_domaininfo_t *info)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(info, max_domains * sizeof(*info));
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_getdomaininfolist };
    int ret;

    if (xc_hypercall_bounce_pre(xch, info)) {
        return -1;
    }
    s.u.getdomaininfolist.first_domain = (domid_t)first_domain;
    s.u.getdomaininfolist.max_domains = max_domains;
    set_xen_guest_handle(s.u.getdomaininfolist.buffer, info);
    ret = do_sysctl(xch, &s) < 0 ? -1 : (int)s.u.getdomaininfolist.num_domains;
    xc_hypercall_bounce_post(xch, info);
    return ret;
}
