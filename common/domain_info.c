/* SPDX-License-Identifier: MIT */
#define __XEN_TOOLS__ 1 /* domctl.h is for toolstacks */
#include "common/domain_info.h"

#include <errno.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>

static void take(struct host_domain *out, const struct xen_domctl_getdomaininfo *info)
{
    out->dying = info->flags & XEN_DOMINF_dying;
    out->shutdown = info->flags & XEN_DOMINF_shutdown;
    memcpy(out->handle, info->handle, sizeof(out->handle));
}

int domain_info_list(xencall_handle *call, uint16_t first, unsigned max, struct host_domain_entry *out)
{
    struct xen_sysctl *op = xencall_alloc_buffer(call, sizeof(*op));
    struct xen_domctl_getdomaininfo *info = op ? xencall_alloc_buffer(call, max * sizeof(*info)) : NULL;
    int n = -ENOMEM;

    if (!info)
        goto out;
    memset(op, 0, sizeof(*op));
    op->cmd = XEN_SYSCTL_getdomaininfolist;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    op->u.getdomaininfolist.first_domain = first;
    op->u.getdomaininfolist.max_domains = max;
    set_xen_guest_handle(op->u.getdomaininfolist.buffer, info);
    n = xencall1(call, __HYPERVISOR_sysctl, (uintptr_t)op) ? -errno
                                                           : (int)op->u.getdomaininfolist.num_domains;
    for (int i = 0; i < n; i++) {
        out[i].domid = info[i].domain;
        take(&out[i].info, &info[i]);
    }
out:
    if (info)
        xencall_free_buffer(call, info);
    if (op)
        xencall_free_buffer(call, op);
    return n;
}

int domain_info_get(xencall_handle *call, uint16_t domid, struct host_domain *out)
{
    struct xen_domctl *op = xencall_alloc_buffer(call, sizeof(*op));
    int err = 0;

    if (!op)
        return -ENOMEM;
    memset(op, 0, sizeof(*op));
    op->cmd = XEN_DOMCTL_getdomaininfo;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = domid;
    if (xencall1(call, __HYPERVISOR_domctl, (uintptr_t)op))
        err = -errno;
    else if (op->u.getdomaininfo.domain != domid)
        err = -ESRCH; /* it tells of the next higher one */
    if (!err)
        take(out, &op->u.getdomaininfo);
    xencall_free_buffer(call, op);
    return err;
}
