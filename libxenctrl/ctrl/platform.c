/* SPDX-License-Identifier: MIT */
/* The host's processors: microcode, machine checks, MSRs. */
#include "libxenctrl/ctrl/private.h"

static int platform_op(xc_interface *xch, struct xen_platform_op *op)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(op, sizeof(*op));
    int rc;

    op->interface_version = XENPF_INTERFACE_VERSION;
    if (xc_hypercall_bounce_pre(xch, op)) {
        xc_perror(xch, "no memory for a platform operation");
        return -1;
    }
    rc = xencall1(xch->xcall, __HYPERVISOR_platform_op, HYPERCALL_BUFFER_AS_ARG(op));
    xc_hypercall_bounce_post(xch, op);
    if (rc < 0 && errno == EACCES) {
        xc_debug(xch, "platform operation %u failed: permission, or not interface version %#x",
                 op->cmd, XENPF_INTERFACE_VERSION);
    }
    return rc;
}

int xc_microcode_update(xc_interface *xch, const void *buf, size_t len)
{
    DECLARE_HYPERCALL_BOUNCE_IN(buf, len);
    struct xen_platform_op op = { .cmd = XENPF_microcode_update };
    int rc;

    if (len > UINT32_MAX) {
        errno = EFBIG;
        return -1;
    }
    if (xc_hypercall_bounce_pre(xch, buf)) {
        return -1;
    }
    op.u.microcode.length = (uint32_t)len;
    set_xen_guest_handle(op.u.microcode.data, buf);
    rc = platform_op(xch, &op);
    xc_hypercall_bounce_post(xch, buf);
    return rc;
}

int platform_resource_op(xc_interface *xch, uint32_t cpu, xc_resource_entry_t *e, uint32_t nr)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(e, nr * sizeof(*e));
    struct xen_platform_op op = {
        .cmd = XENPF_resource_op, .u.resource_op = { .nr_entries = nr, .cpu = cpu },
    };
    int rc;

    if (xc_hypercall_bounce_pre(xch, e)) {
        return -1;
    }
    set_xen_guest_handle(op.u.resource_op.entries, e);
    rc = platform_op(xch, &op);
    xc_hypercall_bounce_post(xch, e);
    return rc;
}

/*
 * One hypercall per operation. What each answers is in its result (a negative errno where it
 * failed); only a host that knows no such operations fails the whole.
 */
int xc_resource_op(xc_interface *xch, uint32_t nr_ops, xc_resource_op_t *ops)
{
    for (uint32_t i = 0; i < nr_ops; i++) {
        int rc = platform_resource_op(xch, ops[i].cpu, ops[i].entries, ops[i].nr_entries);

        if (rc < 0 && (errno == ENOSYS || errno == EPERM || errno == EACCES)) {
            return -1;
        }
        ops[i].result = (uint64_t)(int64_t)(rc < 0 ? -errno : rc);
    }
    return 0;
}

int xc_mca_op(xc_interface *xch, struct xen_mc *mc)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(mc, sizeof(*mc));
    int rc;

    mc->interface_version = XEN_MCA_INTERFACE_VERSION;
    if (xc_hypercall_bounce_pre(xch, mc)) {
        xc_perror(xch, "no memory for a machine check operation");
        return -1;
    }
    rc = xencall1(xch->xcall, __HYPERVISOR_mca, HYPERCALL_BUFFER_AS_ARG(mc));
    xc_hypercall_bounce_post(xch, mc);
    return rc;
}

int xc_mca_op_inject_v2(xc_interface *xch, unsigned int flags, xc_cpumap_t cpumap,
                        unsigned int num_cpus)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(cpumap, (num_cpus + 7) / 8);
    struct xen_mc mc = { .cmd = XEN_MC_inject_v2, .u.mc_inject_v2.flags = flags };
    int rc;

    if (xc_hypercall_bounce_pre(xch, cpumap)) {
        xc_perror(xch, "no memory for a map of %u CPUs", num_cpus);
        return -1;
    }
    set_xen_guest_handle(mc.u.mc_inject_v2.cpumap.bitmap, cpumap);
    mc.u.mc_inject_v2.cpumap.nr_bits = num_cpus;
    rc = xc_mca_op(xch, &mc);
    xc_hypercall_bounce_post(xch, cpumap);
    return rc;
}
