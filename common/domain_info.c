/* SPDX-License-Identifier: MIT */
#define __XEN_TOOLS__ 1 /* domctl.h is for toolstacks */
#include "common/domain_info.h"

#include <errno.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/domctl.h>

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
    if (!err) {
        const struct xen_domctl_getdomaininfo *info = &op->u.getdomaininfo;

        out->dying = info->flags & XEN_DOMINF_dying;
        out->shutdown = info->flags & XEN_DOMINF_shutdown;
        memcpy(out->handle, info->handle, sizeof(out->handle));
    }
    xencall_free_buffer(call, op);
    return err;
}
