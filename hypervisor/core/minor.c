/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls of a hardware domain: as little of them as is true on a host whose kernel owns the
 * hardware.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <xen/physdev.h>
#include <xen/platform.h>

#include "hypervisor/core/domain.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"

/* No row of the privilege table leads here yet: PVH guests have no physical interrupts. */
long do_physdev_op(struct hcall *hc)
{
    return hc_enosys(hc, __HYPERVISOR_physdev_op, (uint32_t)hc->arg[0]);
}

static long get_cpuinfo(struct hcall *hc, struct xen_platform_op *op)
{
    uint32_t nr = hc->core->host.nr_cpu_ids;

    op->u.pcpu_info.max_present = nr - 1;
    if (op->u.pcpu_info.xen_cpuid >= nr) {
        op->u.pcpu_info.flags = XEN_PCPU_FLAGS_INVALID;
    } else {
        op->u.pcpu_info.flags =
            CPU_ISSET(op->u.pcpu_info.xen_cpuid, &hc->core->host.cpus) ? XEN_PCPU_FLAGS_ONLINE : 0;
        op->u.pcpu_info.apic_id = op->u.pcpu_info.xen_cpuid;
        op->u.pcpu_info.acpi_id = op->u.pcpu_info.xen_cpuid;
    }
    return copy_to_guest(hc, hc->arg[0], op, sizeof(*op));
}

long do_platform_op(struct hcall *hc)
{
    struct xen_platform_op op;

    if (copy_from_guest(hc, &op, hc->arg[0], sizeof(op))) {
        return -EFAULT;
    }
    if (op.interface_version != XENPF_INTERFACE_VERSION) {
        return -EACCES;
    }
    switch (op.cmd) {
    case XENPF_settime64:
        return -EPERM;    /* the host's clock is the host's */
    case XENPF_get_cpuinfo:
        return get_cpuinfo(hc, &op);
    default:
        return hc_enosys(hc, __HYPERVISOR_platform_op, op.cmd);
    }
}
