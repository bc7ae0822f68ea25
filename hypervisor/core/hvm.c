/* SPDX-License-Identifier: MIT */
/* hvm_op: the parameters of a domain, each with who may read and set it. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>

#include "hypervisor/core/domain.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/ioreq.h"

/* Access to a parameter; those without a row are retired: -EINVAL for everybody. */
enum {
    P_EXISTS = 1,
    P_GUEST_GET = 2,
    P_GUEST_SET = 4,
    P_ONCE = 8,        /* settable while it is 0, or to the value it has */
    P_TELL = 16,       /* the domain's process needs it */
    P_ABSENT = 32,     /* a feature that is not here: may only be 0 */
};

static const uint8_t rule[HVM_NR_PARAMS] = {
    [HVM_PARAM_CALLBACK_IRQ] = P_EXISTS | P_GUEST_GET | P_GUEST_SET | P_TELL,
    [HVM_PARAM_STORE_PFN] = P_EXISTS | P_GUEST_GET,
    [HVM_PARAM_STORE_EVTCHN] = P_EXISTS | P_GUEST_GET,
    [HVM_PARAM_IOREQ_PFN] = P_EXISTS,
    [HVM_PARAM_BUFIOREQ_PFN] = P_EXISTS,
    [HVM_PARAM_VIRIDIAN] = P_EXISTS | P_ABSENT,
    [HVM_PARAM_TIMER_MODE] = P_EXISTS | P_TELL,
    [HVM_PARAM_HPET_ENABLED] = P_EXISTS,
    [HVM_PARAM_IDENT_PT] = P_EXISTS | P_TELL,
    [HVM_PARAM_ACPI_S_STATE] = P_EXISTS | P_TELL,
    [HVM_PARAM_VM86_TSS] = P_EXISTS | P_GUEST_GET | P_GUEST_SET,
    [HVM_PARAM_VPT_ALIGN] = P_EXISTS,
    [HVM_PARAM_CONSOLE_PFN] = P_EXISTS | P_GUEST_GET,
    [HVM_PARAM_CONSOLE_EVTCHN] = P_EXISTS | P_GUEST_GET,
    [HVM_PARAM_ACPI_IOPORTS_LOCATION] = P_EXISTS | P_GUEST_SET,
    [HVM_PARAM_PAGING_RING_PFN] = P_EXISTS,
    [HVM_PARAM_MONITOR_RING_PFN] = P_EXISTS,
    [HVM_PARAM_SHARING_RING_PFN] = P_EXISTS,
    [HVM_PARAM_TRIPLE_FAULT_REASON] = P_EXISTS | P_TELL,
    [HVM_PARAM_IOREQ_SERVER_PFN] = P_EXISTS | P_ONCE,
    [HVM_PARAM_NR_IOREQ_SERVER_PAGES] = P_EXISTS | P_ONCE,
    [HVM_PARAM_VM_GENERATION_ID_ADDR] = P_EXISTS | P_GUEST_GET | P_GUEST_SET,
    [HVM_PARAM_ALTP2M] = P_EXISTS | P_GUEST_GET | P_ABSENT,
    [HVM_PARAM_X87_FIP_WIDTH] = P_EXISTS | P_GUEST_GET,
    [HVM_PARAM_VM86_TSS_SIZED] = P_EXISTS | P_GUEST_GET | P_GUEST_SET,
    [HVM_PARAM_MCA_CAP] = P_EXISTS | P_ABSENT,
};

/* Bounds of single parameters' values. */
static int check_value(uint32_t index, uint64_t value)
{
    switch (index) {
    case HVM_PARAM_TIMER_MODE:
        return value > HVMPTM_one_missed_tick_pending ? -EINVAL : 0;
    case HVM_PARAM_ACPI_S_STATE:
        return value != 0 && value != 3 ? -EINVAL : 0;
    case HVM_PARAM_TRIPLE_FAULT_REASON:
        return value > 5 ? -EINVAL : 0;    /* SHUTDOWN_MAX */
    case HVM_PARAM_STORE_PFN:
    case HVM_PARAM_CONSOLE_PFN:
    case HVM_PARAM_IOREQ_PFN:
    case HVM_PARAM_BUFIOREQ_PFN:
        return value >= P2M_MAX_GFN ? -EINVAL : 0;
    case HVM_PARAM_NR_IOREQ_SERVER_PAGES:
        return !value || value > IOREQ_GFNS ? -EINVAL : 0;
    case HVM_PARAM_X87_FIP_WIDTH:
        return value != 0 && value != 4 && value != 8 ? -EINVAL : 0;
    default:
        return rule[index] & P_ABSENT && value ? -EOPNOTSUPP : 0;
    }
}

static int set_param(struct domain *d, uint32_t index, uint64_t value)
{
    struct kl_param m = { .index = index, .value = value };
    int rc = check_value(index, value);

    if (rc) {
        return rc;
    }
    if ((rule[index] & P_ONCE) && d->hvm_param[index] && d->hvm_param[index] != value) {
        return -EEXIST;
    }
    d->hvm_param[index] = value;
    if (rule[index] & P_TELL) {
        domproc_send(d, KL_PARAM, &m, sizeof(m), NULL, 0);
    }
    return 0;
}

static long op_param(struct hcall *hc, bool set)
{
    struct xen_hvm_param p;
    struct domain *d;
    uint8_t need = set ? P_GUEST_SET : P_GUEST_GET;
    int rc;

    if (copy_from_guest(hc, &p, hc->arg[1], sizeof(p))) {
        return -EFAULT;
    }
    if (p.index >= HVM_NR_PARAMS) {
        return -EINVAL;
    }
    rc = hc_target(hc, p.domid, &d);
    if (rc) {
        return rc;
    }
    if (d->host || !(rule[p.index] & P_EXISTS)) {
        return -EINVAL;
    }
    if (d == hc->d && !(rule[p.index] & need)) {
        return -EPERM;
    }
    if (set) {
        return set_param(d, p.index, p.value);
    }
    p.value = d->hvm_param[p.index];
    return copy_to_guest(hc, hc->arg[1], &p, sizeof(p));
}

static long op_get_time(struct hcall *hc)
{
    struct xen_hvm_get_time t = { .now = core_now() + domain_time_offset(hc->d) };

    return copy_to_guest(hc, hc->arg[1], &t, sizeof(t));
}

long do_hvm_op(struct hcall *hc)
{
    uint32_t op = (uint32_t)hc->arg[0];

    switch (op) {
    case HVMOP_set_param:
        return op_param(hc, true);
    case HVMOP_get_param:
        return op_param(hc, false);
    case HVMOP_get_time:
        return op_get_time(hc);
    case HVMOP_pagetable_dying:
        return -EOPNOTSUPP;    /* Xen with HAP: no shadow page tables that could die */
    default:
        return hc_enosys(hc, __HYPERVISOR_hvm_op, op);
    }
}
