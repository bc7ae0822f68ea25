/* SPDX-License-Identifier: MIT */
/* Which of a domain's events a monitor is told of. */
#include "libxenctrl/ctrl/private.h"

void *xc_monitor_enable(xc_interface *xch, uint32_t domain_id, uint32_t *port)
{
    return xc_vm_event_enable(xch, domain_id, HVM_PARAM_MONITOR_RING_PFN, port);
}

int xc_monitor_disable(xc_interface *xch, uint32_t domain_id)
{
    return xc_vm_event_control(xch, domain_id, XEN_VM_EVENT_DISABLE,
                               XEN_DOMCTL_VM_EVENT_OP_MONITOR);
}

int xc_monitor_resume(xc_interface *xch, uint32_t domain_id)
{
    return xc_vm_event_control(xch, domain_id, XEN_VM_EVENT_RESUME,
                               XEN_DOMCTL_VM_EVENT_OP_MONITOR);
}

int xc_monitor_get_capabilities(xc_interface *xch, uint32_t domain_id, uint32_t *capabilities)
{
    struct xen_domctl d = { .u.monitor_op.op = XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES };
    int rc;

    if (!capabilities) {
        errno = EINVAL;
        return -1;
    }
    rc = domctl(xch, &d, XEN_DOMCTL_monitor_op, domain_id);
    *capabilities = d.u.monitor_op.event;
    return rc;
}

/* *d has what the event needs beyond being switched on or off. */
static int monitor(xc_interface *xch, struct xen_domctl *d, uint32_t domid, uint32_t event,
                   bool enable)
{
    d->u.monitor_op.op = enable ? XEN_DOMCTL_MONITOR_OP_ENABLE : XEN_DOMCTL_MONITOR_OP_DISABLE;
    d->u.monitor_op.event = event;
    return domctl(xch, d, XEN_DOMCTL_monitor_op, domid);
}

int xc_monitor_write_ctrlreg(xc_interface *xch, uint32_t domain_id, uint16_t index, bool enable,
                             bool sync, uint64_t bitmask, bool onchangeonly)
{
    struct xen_domctl d = { .u.monitor_op.u.mov_to_cr = {
        .index = (uint8_t)index, .sync = sync, .onchangeonly = onchangeonly, .bitmask = bitmask,
    } };

    return monitor(xch, &d, domain_id, XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG, enable);
}

int xc_monitor_mov_to_msr(xc_interface *xch, uint32_t domain_id, uint32_t msr, bool enable,
                          bool onchangeonly)
{
    struct xen_domctl d = { .u.monitor_op.u.mov_to_msr = {
        .msr = msr, .onchangeonly = onchangeonly,
    } };

    return monitor(xch, &d, domain_id, XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR, enable);
}

int xc_monitor_guest_request(xc_interface *xch, uint32_t domain_id, bool enable, bool sync,
                             bool allow_userspace)
{
    struct xen_domctl d = { .u.monitor_op.u.guest_request = {
        .sync = sync, .allow_userspace = enable && allow_userspace,
    } };

    return monitor(xch, &d, domain_id, XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST, enable);
}

int xc_monitor_debug_exceptions(xc_interface *xch, uint32_t domain_id, bool enable, bool sync)
{
    struct xen_domctl d = { .u.monitor_op.u.debug_exception.sync = sync };

    return monitor(xch, &d, domain_id, XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION, enable);
}

int xc_monitor_vmexit(xc_interface *xch, uint32_t domain_id, bool enable, bool sync)
{
    struct xen_domctl d = { .u.monitor_op.u.vmexit.sync = sync };

    return monitor(xch, &d, domain_id, XEN_DOMCTL_MONITOR_EVENT_VMEXIT, enable);
}

/* The event field has the switch, as this is no event. */
int xc_monitor_emulate_each_rep(xc_interface *xch, uint32_t domain_id, bool enable)
{
    struct xen_domctl d = { .u.monitor_op = {
        .op = XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP, .event = enable,
    } };

    return domctl(xch, &d, XEN_DOMCTL_monitor_op, domain_id);
}

#define PLAIN_EVENT(name, code)                                                    \
    int xc_monitor_##name(xc_interface *xch, uint32_t domain_id, bool enable)      \
    {                                                                              \
        struct xen_domctl d = { 0 };                                               \
                                                                                   \
        return monitor(xch, &d, domain_id, XEN_DOMCTL_MONITOR_EVENT_##code, enable); \
    }

PLAIN_EVENT(singlestep, SINGLESTEP)
PLAIN_EVENT(software_breakpoint, SOFTWARE_BREAKPOINT)
PLAIN_EVENT(descriptor_access, DESC_ACCESS)
PLAIN_EVENT(inguest_pagefault, INGUEST_PAGEFAULT)
PLAIN_EVENT(cpuid, CPUID)
PLAIN_EVENT(privileged_call, PRIVILEGED_CALL)
PLAIN_EVENT(emul_unimplemented, EMUL_UNIMPLEMENTED)
