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

#define NS_PER_S   1000000000ull
#define MAX_WALL_S (NS_PER_S * 9)    /* what a count of ns in 64 bits can tell */

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

/* What a BIOS left behind: here it has found no disks and no display, and there is no EFI. */
static long firmware_info(struct hcall *hc, struct xen_platform_op *op)
{
    struct xenpf_firmware_info *f = &op->u.firmware_info;

    switch (f->type) {
    case XEN_FW_DISK_INFO:
    case XEN_FW_DISK_MBR_SIGNATURE:
        return -ENOENT;
    case XEN_FW_VBEDDC_INFO:
        return -ESRCH;
    case XEN_FW_EFI_INFO:
        return -ENOSYS;
    case XEN_FW_KBD_SHIFT_FLAGS:
        if (f->index) {
            return -ESRCH;
        }
        f->u.kbd_shift_flags = 0;
        return copy_to_guest(hc, hc->arg[0], op, sizeof(*op));
    default:
        return -EINVAL;
    }
}

/*
 * The wall clock at a system time. The host's is the host's, but a machine's is domain 0's to set,
 * for all its domains: to the second, by which it is away from the host's.
 */
static long settime(struct hcall *hc, const struct xenpf_settime64 *t)
{
    uint64_t system = core_now() + domain_time_offset(hc->d);
    struct timespec host;
    int64_t away;

    if (hc->d->host) {
        return -EPERM;
    }
    if (t->mbz || t->nsecs >= NS_PER_S || t->secs > MAX_WALL_S) {
        return -EINVAL;
    }
    clock_gettime(CLOCK_REALTIME, &host);
    /* Both sides in ns since system time 0, where unsigned arithmetic may wrap as it likes. */
    away = (int64_t)((t->secs * NS_PER_S + t->nsecs - t->system_time) -
                     ((uint64_t)host.tv_sec * NS_PER_S + (uint64_t)host.tv_nsec - system));
    away = (away + (away < 0 ? -(int64_t)NS_PER_S / 2 : (int64_t)NS_PER_S / 2)) / (int64_t)NS_PER_S;
    if (away != hc->core->wall_shift) {
        hc->core->wall_shift = away;
        for (struct domain *d = hc->core->domains; d; d = d->next) {
            domain_send_time(d);
        }
    }
    return 0;
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
        return settime(hc, &op.u.settime64);
    case XENPF_get_cpuinfo:
        return get_cpuinfo(hc, &op);
    case XENPF_firmware_info:
        return firmware_info(hc, &op);
    default:
        return hc_enosys(hc, __HYPERVISOR_platform_op, op.cmd);
    }
}
