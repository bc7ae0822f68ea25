/* SPDX-License-Identifier: MIT */
/* Schedulers' parameters. */
#include "libxenctrl/ctrl/private.h"

int xc_sched_id(xc_interface *xch, int *sched_id)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_sched_id };

    if (do_sysctl(xch, &s)) {
        return -1;
    }
    *sched_id = (int)s.u.sched_id.sched_id;
    return 0;
}

/* The functions below differ in the member of the union only. */
#define SCHED_DOMAIN(_name, _type, _id, _member)                                              \
    static int _name##_domain(xc_interface *xch, uint32_t domid, uint32_t cmd, _type *sdom)   \
    {                                                                                         \
        struct xen_domctl d = { .u.scheduler_op = {                                           \
            .sched_id = _id, .cmd = cmd,                                                      \
        } };                                                                                  \
        int rc;                                                                               \
                                                                                              \
        if (cmd == XEN_DOMCTL_SCHEDOP_putinfo) {                                              \
            d.u.scheduler_op.u._member = *sdom;                                               \
        }                                                                                     \
        rc = domctl(xch, &d, XEN_DOMCTL_scheduler_op, domid);                                 \
        if (!rc && cmd == XEN_DOMCTL_SCHEDOP_getinfo) {                                       \
            *sdom = d.u.scheduler_op.u._member;                                               \
        }                                                                                     \
        return rc;                                                                            \
    }                                                                                         \
    int xc_sched_##_name##_domain_set(xc_interface *xch, uint32_t domid, _type *sdom)         \
    {                                                                                         \
        return _name##_domain(xch, domid, XEN_DOMCTL_SCHEDOP_putinfo, sdom);                  \
    }                                                                                         \
    int xc_sched_##_name##_domain_get(xc_interface *xch, uint32_t domid, _type *sdom)         \
    {                                                                                         \
        return _name##_domain(xch, domid, XEN_DOMCTL_SCHEDOP_getinfo, sdom);                  \
    }

#define SCHED_PARAMS(_name, _type, _id, _member)                                              \
    static int _name##_params(xc_interface *xch, uint32_t pool, uint32_t cmd, _type *p)       \
    {                                                                                         \
        struct xen_sysctl s = { .cmd = XEN_SYSCTL_scheduler_op, .u.scheduler_op = {           \
            .cpupool_id = pool, .sched_id = _id, .cmd = cmd,                                  \
        } };                                                                                  \
        int rc;                                                                               \
                                                                                              \
        if (cmd == XEN_SYSCTL_SCHEDOP_putinfo) {                                              \
            s.u.scheduler_op.u._member = *p;                                                  \
        }                                                                                     \
        rc = do_sysctl(xch, &s);                                                              \
        if (!rc) {                                                                            \
            *p = s.u.scheduler_op.u._member;                                                  \
        }                                                                                     \
        return rc;                                                                            \
    }                                                                                         \
    int xc_sched_##_name##_params_set(xc_interface *xch, uint32_t cpupool_id, _type *schedule) \
    {                                                                                         \
        return _name##_params(xch, cpupool_id, XEN_SYSCTL_SCHEDOP_putinfo, schedule);         \
    }                                                                                         \
    int xc_sched_##_name##_params_get(xc_interface *xch, uint32_t cpupool_id, _type *schedule) \
    {                                                                                         \
        return _name##_params(xch, cpupool_id, XEN_SYSCTL_SCHEDOP_getinfo, schedule);         \
    }

SCHED_DOMAIN(credit, struct xen_domctl_sched_credit, XEN_SCHEDULER_CREDIT, credit)
SCHED_DOMAIN(credit2, struct xen_domctl_sched_credit2, XEN_SCHEDULER_CREDIT2, credit2)
SCHED_DOMAIN(rtds, struct xen_domctl_sched_rtds, XEN_SCHEDULER_RTDS, rtds)
SCHED_PARAMS(credit, struct xen_sysctl_credit_schedule, XEN_SCHEDULER_CREDIT, sched_credit)
SCHED_PARAMS(credit2, struct xen_sysctl_credit2_schedule, XEN_SCHEDULER_CREDIT2, sched_credit2)

static int rtds_vcpus(xc_interface *xch, uint32_t domid, uint32_t cmd,
                      struct xen_domctl_schedparam_vcpu *vcpus, uint32_t num)
{
    DECLARE_HYPERCALL_BOUNCE(vcpus, num * sizeof(*vcpus), cmd == XEN_DOMCTL_SCHEDOP_putvcpuinfo
                             ? XC_HYPERCALL_BUFFER_BOUNCE_IN : XC_HYPERCALL_BUFFER_BOUNCE_BOTH);
    struct xen_domctl d = { .u.scheduler_op = {
        .sched_id = XEN_SCHEDULER_RTDS, .cmd = cmd,
    } };
    uint32_t done = 0;
    int rc = 0;

    if (xc_hypercall_bounce_pre(xch, vcpus)) {
        return -1;
    }
    /* Xen does as many as it likes at a time and says how many. */
    while (!rc && done < num) {
        set_xen_guest_handle_offset(d.u.scheduler_op.u.v.vcpus, vcpus, done);
        d.u.scheduler_op.u.v.nr_vcpus = num - done;
        rc = domctl(xch, &d, XEN_DOMCTL_scheduler_op, domid);
        if (!rc && !d.u.scheduler_op.u.v.nr_vcpus) {
            break;
        }
        done += d.u.scheduler_op.u.v.nr_vcpus;
    }
    xc_hypercall_bounce_post(xch, vcpus);
    return rc;
}

int xc_sched_rtds_vcpu_set(xc_interface *xch, uint32_t domid,
                           struct xen_domctl_schedparam_vcpu *vcpus, uint32_t num_vcpus)
{
    return rtds_vcpus(xch, domid, XEN_DOMCTL_SCHEDOP_putvcpuinfo, vcpus, num_vcpus);
}

int xc_sched_rtds_vcpu_get(xc_interface *xch, uint32_t domid,
                           struct xen_domctl_schedparam_vcpu *vcpus, uint32_t num_vcpus)
{
    return rtds_vcpus(xch, domid, XEN_DOMCTL_SCHEDOP_getvcpuinfo, vcpus, num_vcpus);
}

static int arinc653(xc_interface *xch, uint32_t pool, uint32_t cmd,
                    struct xen_sysctl_arinc653_schedule *schedule)
{
    DECLARE_HYPERCALL_BOUNCE(schedule, sizeof(*schedule), cmd == XEN_SYSCTL_SCHEDOP_putinfo
                             ? XC_HYPERCALL_BUFFER_BOUNCE_IN : XC_HYPERCALL_BUFFER_BOUNCE_OUT);
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_scheduler_op, .u.scheduler_op = {
        .cpupool_id = pool, .sched_id = XEN_SCHEDULER_ARINC653, .cmd = cmd,
    } };
    int rc;

    if (xc_hypercall_bounce_pre(xch, schedule)) {
        return -1;
    }
    set_xen_guest_handle(s.u.scheduler_op.u.sched_arinc653.schedule, schedule);
    rc = do_sysctl(xch, &s);
    xc_hypercall_bounce_post(xch, schedule);
    return rc;
}

int xc_sched_arinc653_schedule_set(xc_interface *xch, uint32_t cpupool_id,
                                   struct xen_sysctl_arinc653_schedule *schedule)
{
    return arinc653(xch, cpupool_id, XEN_SYSCTL_SCHEDOP_putinfo, schedule);
}

int xc_sched_arinc653_schedule_get(xc_interface *xch, uint32_t cpupool_id,
                                   struct xen_sysctl_arinc653_schedule *schedule)
{
    return arinc653(xch, cpupool_id, XEN_SYSCTL_SCHEDOP_getinfo, schedule);
}
