/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/domctl.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "hypervisor/core/cpu_policy.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"

static DOMCTL_HANDLER(op_createdomain)
{
    int rc = domain_create(hc->core, op->domain, &op->u.createdomain, &d);

    if (!rc) {
        op->domain = d->domid;
        op->u.createdomain = d->config;
    }
    return rc;
}

/* The domain may be gone by the time this runs again, so it is remembered, not looked up. */
static DOMCTL_HANDLER(op_destroydomain)
{
    int rc;

    if (!hc->held) {
        rc = domain_kill(d);
        if (rc) {
            return rc;
        }
        hc->held = domain_get(d);
        hc->stage = 1;
    }
    return hc->held->dead ? 0 : domain_wait(hc, hc->held);
}

static DOMCTL_HANDLER(op_pausedomain)
{
    if (!hc->stage) {
        if (d->pause_count == UINT32_MAX) {
            return -EUSERS;
        }
        d->pause_count++;
        domain_update_run(d);
        hc->stage = 1;
    }
    return domain_stopped(d) || d->dying ? 0 : domain_wait(hc, d);
}

static DOMCTL_HANDLER(op_unpausedomain)
{
    if (!d->pause_count) {
        return -EINVAL;
    }
    d->pause_count--;
    d->ever_unpaused = true;
    domain_update_run(d);
    return 0;
}

static DOMCTL_HANDLER(op_resumedomain)
{
    if (!d->is_shut_down) {
        return -EINVAL;
    }
    domain_resume(d);
    return 0;
}

/* As in Xen, the first domain from this number on: clients enumerate with it. */
static DOMCTL_HANDLER(op_getdomaininfo)
{
    if (op->domain >= DOMID_FIRST_RESERVED) {
        return -EINVAL;
    }
    for (d = hc->core->domains; d && d->domid < op->domain; d = d->next) {
    }
    if (!d) {
        return -ESRCH;
    }
    domain_getinfo(d, &op->u.getdomaininfo);
    op->domain = d->domid;
    return 0;
}

static DOMCTL_HANDLER(op_max_mem)
{
    uint64_t pages = op->u.max_mem.max_memkb / 4;

    if (pages > P2M_MAX_GFN) {
        return -EINVAL;
    }
    /* As Xen: below what the domain has is allowed, it just gets no more. */
    d->max_pages = pages;
    return 0;
}

static DOMCTL_HANDLER(op_setdomainhandle)
{
    memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
    return 0;
}

static DOMCTL_HANDLER(op_setdebugging)
{
    /* No debugger can be attached, so only "off" is true. */
    return op->u.setdebugging.enable ? -EOPNOTSUPP : 0;
}

/* The hypercall page of hypercall_init: PVH guests fill theirs by the MSR of leaf 0x40000002. */
static DOMCTL_HANDLER(op_hypercall_init)
{
    uint8_t page[4096];

    memset(page, 0xcc, sizeof(page));
    for (uint32_t i = 0; i < sizeof(page) / 32; i++) {
        /* mov $i, %eax; vmcall; ret -- iret (23) is not for HVM guests: ud2 */
        uint8_t *p = page + i * 32;

        if (i == __HYPERVISOR_iret) {
            memcpy(p, "\x0f\x0b", 2);
            continue;
        }
        p[0] = 0xb8;
        memcpy(p + 1, &i, 4);
        memcpy(p + 5, "\x0f\x01\xc1\xc3", 4);
    }
    if (op->u.hypercall_init.gmfn >= P2M_MAX_GFN) {
        return -EINVAL;
    }
    return gpa_write(d, op->u.hypercall_init.gmfn << 12, page, sizeof(page)) ? -EACCES : 0;
}

static DOMCTL_HANDLER(op_settimeoffset)
{
    d->time_offset = op->u.settimeoffset.time_offset_seconds;
    domain_send_time(d);
    return 0;
}

/* TSC modes (TSC_MODE_* of Xen's time.h): 0 default, 1 always emulate, 2 never emulate. */
static DOMCTL_HANDLER(op_settscinfo)
{
    const struct xen_domctl_tsc_info *t = &op->u.tsc_info;

    /* As in Xen the pad is not looked at: stock clients leave garbage there. */
    if (t->tsc_mode > 2) {
        return -EINVAL;
    }
    if (t->gtsc_khz && t->gtsc_khz != hc->core->tsc_khz) {
        kr_log_once(KR_NOTICE, "domain %u: TSC frequency %u kHz asked, %llu kHz given", d->domid,
                    t->gtsc_khz, (unsigned long long)hc->core->tsc_khz);
    }
    d->tsc = *t;
    d->tsc.gtsc_khz = (uint32_t)hc->core->tsc_khz;
    return 0;
}

static DOMCTL_HANDLER(op_gettscinfo)
{
    op->u.tsc_info = d->tsc;
    op->u.tsc_info.elapsed_nsec = core_now() - hc->core->start_ns;
    return 0;
}

static DOMCTL_HANDLER(op_get_cpu_policy)
{
    struct xen_domctl_cpu_policy *c = &op->u.cpu_policy;

    return cpu_policy_copy_out(hc, d->policy, (uint64_t)(uintptr_t)c->leaves.p, &c->nr_leaves,
                               (uint64_t)(uintptr_t)c->msrs.p, &c->nr_msrs);
}

static DOMCTL_HANDLER(op_set_cpu_policy)
{
    struct xen_domctl_cpu_policy *c = &op->u.cpu_policy;
    int rc;

    if (d->ever_unpaused) {
        return -EEXIST;    /* a running domain's CPUs do not change */
    }
    rc = cpu_policy_copy_in(hc, d->policy, &hc->core->policy_max, (uint64_t)(uintptr_t)c->leaves.p,
                            c->nr_leaves, (uint64_t)(uintptr_t)c->msrs.p, c->nr_msrs, &c->err_leaf,
                            &c->err_subleaf, &c->err_msr);
    if (!rc) {
        cpu_policy_send(d);
    }
    return rc;
}

/* There is no paging pool to size; what was set is what is reported, as migration expects. */
static DOMCTL_HANDLER(op_paging_mempool)
{
    if (op->cmd == XEN_DOMCTL_get_paging_mempool_size) {
        op->u.paging_mempool.size = d->paging_mempool;
        return 0;
    }
    if (op->u.paging_mempool.size & 4095) {
        return -EINVAL;
    }
    d->paging_mempool = op->u.paging_mempool.size;
    return 0;
}

static DOMCTL_HANDLER(op_get_address_size)
{
    op->u.address_size.size = 64;
    return 0;
}

/* Migration's way to learn of a suspend: an event on one of the domain's own ports. */
static DOMCTL_HANDLER(op_subscribe)
{
    d->suspend_port = op->u.subscribe.port;
    return 0;
}

/* No domain has hardware, so there is nothing to permit; taking away what is not there is done. */
static DOMCTL_HANDLER(op_permission)
{
    bool allow = op->cmd == XEN_DOMCTL_irq_permission ? op->u.irq_permission.allow_access :
                 op->cmd == XEN_DOMCTL_iomem_permission ? op->u.iomem_permission.allow_access :
                 op->u.ioport_permission.allow_access;

    return allow ? -EPERM : 0;
}

/* Which domains an op is for, and whether its argument goes back to the caller on success. */
enum { FOR_GUESTS = 0, FOR_ALL = 1, NO_DOMAIN = 2, COPY_BACK = 4, COPY_BACK_ON_ERROR = 8 };

static const struct {
    long (*fn)(struct hcall *hc, struct domain *d, struct xen_domctl *op);
    uint8_t flags;
} ops[] = {
    [XEN_DOMCTL_createdomain] = { op_createdomain, NO_DOMAIN | COPY_BACK },
    [XEN_DOMCTL_destroydomain] = { op_destroydomain, FOR_GUESTS },
    [XEN_DOMCTL_pausedomain] = { op_pausedomain, FOR_GUESTS },
    [XEN_DOMCTL_unpausedomain] = { op_unpausedomain, FOR_GUESTS },
    [XEN_DOMCTL_resumedomain] = { op_resumedomain, FOR_GUESTS },
    [XEN_DOMCTL_getdomaininfo] = { op_getdomaininfo, NO_DOMAIN | COPY_BACK },
    [XEN_DOMCTL_max_vcpus] = { domctl_max_vcpus, FOR_GUESTS },
    [XEN_DOMCTL_setvcpuaffinity] = { domctl_vcpuaffinity, FOR_ALL | COPY_BACK },
    [XEN_DOMCTL_getvcpuaffinity] = { domctl_vcpuaffinity, FOR_ALL | COPY_BACK },
    [XEN_DOMCTL_setnodeaffinity] = { domctl_nodeaffinity, FOR_ALL },
    [XEN_DOMCTL_getnodeaffinity] = { domctl_nodeaffinity, FOR_ALL },
    [XEN_DOMCTL_max_mem] = { op_max_mem, FOR_GUESTS },
    [XEN_DOMCTL_scheduler_op] = { domctl_scheduler_op, FOR_ALL | COPY_BACK },
    [XEN_DOMCTL_getvcpuinfo] = { domctl_getvcpuinfo, FOR_ALL | COPY_BACK },
    [XEN_DOMCTL_getvcpucontext] = { domctl_getvcpucontext, FOR_GUESTS },
    [XEN_DOMCTL_gethvmcontext] = { domctl_gethvmcontext, FOR_GUESTS | COPY_BACK },
    [XEN_DOMCTL_sethvmcontext] = { domctl_sethvmcontext, FOR_GUESTS },
    [XEN_DOMCTL_gethvmcontext_partial] = { domctl_gethvmcontext_partial, FOR_GUESTS | COPY_BACK },
    [XEN_DOMCTL_hypercall_init] = { op_hypercall_init, FOR_GUESTS },
    [XEN_DOMCTL_settscinfo] = { op_settscinfo, FOR_GUESTS },
    [XEN_DOMCTL_gettscinfo] = { op_gettscinfo, FOR_GUESTS | COPY_BACK },
    [XEN_DOMCTL_set_paging_mempool_size] = { op_paging_mempool, FOR_GUESTS },
    [XEN_DOMCTL_get_paging_mempool_size] = { op_paging_mempool, FOR_GUESTS | COPY_BACK },
    [XEN_DOMCTL_get_cpu_policy] = { op_get_cpu_policy, FOR_GUESTS | COPY_BACK },
    [XEN_DOMCTL_set_cpu_policy] = { op_set_cpu_policy, FOR_GUESTS | COPY_BACK_ON_ERROR },
    [XEN_DOMCTL_get_address_size] = { op_get_address_size, FOR_GUESTS | COPY_BACK },
    [XEN_DOMCTL_sendtrigger] = { domctl_sendtrigger, FOR_GUESTS },
    [XEN_DOMCTL_setdebugging] = { op_setdebugging, FOR_GUESTS },
    [XEN_DOMCTL_settimeoffset] = { op_settimeoffset, FOR_GUESTS },
    [XEN_DOMCTL_setdomainhandle] = { op_setdomainhandle, FOR_ALL },
    [XEN_DOMCTL_subscribe] = { op_subscribe, FOR_GUESTS },
    [XEN_DOMCTL_irq_permission] = { op_permission, FOR_GUESTS },
    [XEN_DOMCTL_iomem_permission] = { op_permission, FOR_GUESTS },
    [XEN_DOMCTL_ioport_permission] = { op_permission, FOR_GUESTS },
};

/* What a control domain cannot do to itself: it would wait for its own vCPU to stand still. */
static bool only_others(uint32_t cmd)
{
    switch (cmd) {
    case XEN_DOMCTL_destroydomain:
    case XEN_DOMCTL_pausedomain:
    case XEN_DOMCTL_resumedomain:
    case XEN_DOMCTL_max_vcpus:
    case XEN_DOMCTL_getvcpucontext:
    case XEN_DOMCTL_gethvmcontext:
    case XEN_DOMCTL_sethvmcontext:
    case XEN_DOMCTL_gethvmcontext_partial:
    case XEN_DOMCTL_hypercall_init:
    case XEN_DOMCTL_settscinfo:
    case XEN_DOMCTL_set_cpu_policy:
    case XEN_DOMCTL_setdebugging:
        return true;
    default:
        return false;
    }
}

long do_domctl(struct hcall *hc)
{
    struct xen_domctl op;
    struct domain *d = NULL;
    uint8_t flags;
    long rc;

    if (copy_from_guest(hc, &op, hc->arg[0], sizeof(op))) {
        return -EFAULT;
    }
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION) {
        return -EACCES;
    }
    if (op.cmd >= KR_ARRAY_SIZE(ops) || !ops[op.cmd].fn || !hc_who(__HYPERVISOR_domctl, op.cmd)) {
        return hc_enosys(hc, __HYPERVISOR_domctl, op.cmd);
    }
    flags = ops[op.cmd].flags;
    if (hc->held && !hc->held_paused && op.cmd != XEN_DOMCTL_destroydomain) {
        return -EINVAL;    /* the caller has made another call of a destruction under way */
    }
    if (!(flags & NO_DOMAIN) && !(hc->held && !hc->held_paused)) {
        /* As in Xen, DOMID_SELF is no name for a domain here. */
        rc = op.domain >= DOMID_FIRST_RESERVED ? -ESRCH : hc_target(hc, op.domain, &d);
        if (rc) {
            return rc;
        }
        if ((d->host && !(flags & FOR_ALL)) || (d == hc->d && only_others(op.cmd))) {
            return -EINVAL;
        }
        /* A domain on its way out can be destroyed, nothing else (and looked at, above). */
        if (d->dying && op.cmd != XEN_DOMCTL_destroydomain) {
            return -ESRCH;
        }
    }
    rc = ops[op.cmd].fn(hc, d, &op);
    if (rc == HC_AGAIN || rc == HC_WAIT) {
        return rc;
    }
    if ((!rc && (flags & COPY_BACK)) || (rc && (flags & COPY_BACK_ON_ERROR))) {
        if (copy_to_guest(hc, hc->arg[0], &op, sizeof(op))) {
            rc = rc ? rc : -EFAULT;
        }
    }
    return rc;
}
