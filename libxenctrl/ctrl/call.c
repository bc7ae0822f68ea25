/* SPDX-License-Identifier: MIT */
/* One function per kind of hypercall, and the public raw calls. */
#include <string.h>

#include "libxenctrl/ctrl/private.h"

long do_op(xc_interface *xch, unsigned int nr, unsigned int cmd, void *arg, size_t len)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(arg, len);
    long ret;

    if (xc_hypercall_bounce_pre(xch, arg)) {
        xc_perror(xch, "no memory for a hypercall's argument");
        return -1;
    }
    ret = xencall2L(xch->xcall, nr, cmd, HYPERCALL_BUFFER_AS_ARG(arg));
    xc_hypercall_bounce_post(xch, arg);
    return ret;
}

int do_domctl(xc_interface *xch, struct xen_domctl *domctl)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(domctl, sizeof(*domctl));
    int ret;

    domctl->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    if (xc_hypercall_bounce_pre(xch, domctl)) {
        xc_perror(xch, "no memory for a domctl");
        return -1;
    }
    ret = xencall1(xch->xcall, __HYPERVISOR_domctl, HYPERCALL_BUFFER_AS_ARG(domctl));
    xc_hypercall_bounce_post(xch, domctl);
    if (ret < 0 && errno == EACCES) {
        xc_debug(xch, "domctl %u failed: permission, or not interface version %#x",
                 domctl->cmd, XEN_DOMCTL_INTERFACE_VERSION);
    }
    return ret;
}

int do_sysctl(xc_interface *xch, struct xen_sysctl *sysctl)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(sysctl, sizeof(*sysctl));
    int ret;

    sysctl->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    if (xc_hypercall_bounce_pre(xch, sysctl)) {
        xc_perror(xch, "no memory for a sysctl");
        return -1;
    }
    ret = xencall1(xch->xcall, __HYPERVISOR_sysctl, HYPERCALL_BUFFER_AS_ARG(sysctl));
    xc_hypercall_bounce_post(xch, sysctl);
    if (ret < 0 && errno == EACCES) {
        xc_debug(xch, "sysctl %u failed: permission, or not interface version %#x",
                 sysctl->cmd, XEN_SYSCTL_INTERFACE_VERSION);
    }
    return ret;
}

long do_memory_op(xc_interface *xch, unsigned int cmd, void *arg, size_t len)
{
    return do_op(xch, __HYPERVISOR_memory_op, cmd, arg, len);
}

int xc_domctl(xc_interface *xch, struct xen_domctl *domctl)
{
    return do_domctl(xch, domctl);
}

int xc_sysctl(xc_interface *xch, struct xen_sysctl *sysctl)
{
    return do_sysctl(xch, sysctl);
}

long xc_memory_op(xc_interface *xch, unsigned int cmd, void *arg, size_t len)
{
    return do_memory_op(xch, cmd, arg, len);
}

/* What each XENVER_ command reads or writes. */
static size_t version_arg_size(int cmd, const void *arg)
{
    switch (cmd) {
    case XENVER_extraversion:
        return sizeof(xen_extraversion_t);
    case XENVER_compile_info:
        return sizeof(xen_compile_info_t);
    case XENVER_capabilities:
        return sizeof(xen_capabilities_info_t);
    case XENVER_changeset:
        return sizeof(xen_changeset_info_t);
    case XENVER_platform_parameters:
        return sizeof(xen_platform_parameters_t);
    case XENVER_get_features:
        return sizeof(xen_feature_info_t);
    case XENVER_guest_handle:
        return sizeof(xen_domain_handle_t);
    case XENVER_commandline:
        return sizeof(xen_commandline_t);
    case XENVER_build_id:
        /* A NULL argument asks for the length; else it says how much room follows it. */
        return arg ? sizeof(xen_build_id_t) + ((const xen_build_id_t *)arg)->len : 0;
    default:
        return 0;
    }
}

int xc_version(xc_interface *xch, int cmd, void *arg)
{
    /* Only the build id's argument says something: its room. */
    DECLARE_HYPERCALL_BOUNCE(arg, version_arg_size(cmd, arg), cmd == XENVER_build_id
                             ? XC_HYPERCALL_BUFFER_BOUNCE_BOTH : XC_HYPERCALL_BUFFER_BOUNCE_OUT);
    long rc;

    if (xc_hypercall_bounce_pre(xch, arg)) {
        xc_perror(xch, "no memory for a version's text");
        return -1;
    }
    rc = xencall2L(xch->xcall, __HYPERVISOR_xen_version, (unsigned int)cmd,
                   HYPERCALL_BUFFER_AS_ARG(arg));
    xc_hypercall_bounce_post(xch, arg);
    if (rc < 0) {
        xc_debug(xch, "xen_version command %d failed: %s", cmd, strerror(errno));
    }
    return (int)rc;
}
