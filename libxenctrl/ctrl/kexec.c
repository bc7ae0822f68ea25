/* SPDX-License-Identifier: MIT */
/* The host's crash kernel. */
#include "libxenctrl/ctrl/private.h"

static int kexec_op(xc_interface *xch, unsigned int cmd, void *arg, size_t len)
{
    return (int)do_op(xch, __HYPERVISOR_kexec_op, cmd, arg, len);
}

int xc_kexec_exec(xc_interface *xch, int type)
{
    xen_kexec_exec_t exec = { .type = type };

    return kexec_op(xch, KEXEC_CMD_kexec, &exec, sizeof(exec));
}

int xc_kexec_get_range(xc_interface *xch, int range, int nr, uint64_t *size, uint64_t *start)
{
    xen_kexec_range_t r = { .range = range, .nr = nr };
    int rc = kexec_op(xch, KEXEC_CMD_kexec_get_range, &r, sizeof(r));

    *size = r.size;
    *start = r.start;
    return rc;
}

int xc_kexec_load(xc_interface *xch, uint8_t type, uint16_t arch, uint64_t entry_maddr,
                  uint32_t nr_segments, xen_kexec_segment_t *segments)
{
    DECLARE_HYPERCALL_BOUNCE_IN(segments, nr_segments * sizeof(*segments));
    xen_kexec_load_t load = {
        .type = type, .arch = arch, .nr_segments = nr_segments, .entry_maddr = entry_maddr,
    };
    int rc;

    if (xc_hypercall_bounce_pre(xch, segments)) {
        xc_perror(xch, "no memory for %u segments of a kernel", nr_segments);
        return -1;
    }
    set_xen_guest_handle(load.segments.h, segments);
    rc = kexec_op(xch, KEXEC_CMD_kexec_load, &load, sizeof(load));
    xc_hypercall_bounce_post(xch, segments);
    return rc;
}

int xc_kexec_unload(xc_interface *xch, int type)
{
    xen_kexec_unload_t unload = { .type = (uint8_t)type };

    return kexec_op(xch, KEXEC_CMD_kexec_unload, &unload, sizeof(unload));
}

int xc_kexec_status(xc_interface *xch, int type)
{
    xen_kexec_status_t status = { .type = (uint8_t)type };

    return kexec_op(xch, KEXEC_CMD_kexec_status, &status, sizeof(status));
}
