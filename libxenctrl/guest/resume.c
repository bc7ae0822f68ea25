/* SPDX-License-Identifier: MIT */
/* Resuming a suspended domain. */
#include <string.h>

#include "libxenctrl/ctrl/private.h"

#include <xenguest.h>

const char *xc_domain_get_native_protocol(xc_interface *xch, uint32_t domid)
{
    unsigned int width;

    if (xc_domain_get_guest_width(xch, domid, &width)) {
        return NULL;
    }
    return width == 4 ? "x86_32-abi" : width == 8 ? "x86_64-abi" : NULL;
}

/* Makes the guest's SHUTDOWN_suspend return 1: it was suspended, but goes on where it was. */
static int set_returncode(xc_interface *xch, uint32_t domid, bool hvm)
{
    vcpu_guest_context_any_t ctxt;
    uint64_t callback = 0;

    if (hvm) {
        /* Without PV drivers there is no call that could return. */
        if (xc_hvm_param_get(xch, domid, HVM_PARAM_CALLBACK_IRQ, &callback) || !callback) {
            return callback ? -1 : 0;
        }
    }
    if (xc_vcpu_getcontext(xch, domid, 0, &ctxt)) {
        return -1;
    }
    ctxt.c.user_regs.rax = 1;
    return xc_vcpu_setcontext(xch, domid, 0, &ctxt);
}

int xc_domain_resume(xc_interface *xch, uint32_t domid, int fast)
{
    struct xen_domctl d = { 0 };
    xc_dominfo_t info;

    if (get_dominfo(xch, domid, &info)) {
        xc_perror(xch, "could not get domain %u's state", domid);
        return -1;
    }
    if (!info.shutdown || info.shutdown_reason != SHUTDOWN_suspend) {
        errno = EINVAL;
        xc_error(xch, "domain %u is not suspended", domid);
        return -1;
    }
    if (!fast && !info.hvm) {
        errno = ENOSYS;
        xc_error(xch, "PV guests can be resumed cooperatively only");
        return -1;
    }
    if (fast && set_returncode(xch, domid, info.hvm)) {
        xc_perror(xch, "could not set domain %u's answer to its suspend call", domid);
        return -1;
    }
    return domctl(xch, &d, XEN_DOMCTL_resumedomain, domid);
}
