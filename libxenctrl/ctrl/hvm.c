/* SPDX-License-Identifier: MIT */
/* HVM state and parameters. */
#include "libxenctrl/ctrl/private.h"

int xc_domain_hvm_getcontext(xc_interface *xch, uint32_t domid, uint8_t *ctxt_buf, uint32_t size)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(ctxt_buf, size);
    struct xen_domctl d = { .u.hvmcontext.size = ctxt_buf ? size : 0 };
    int rc;

    if (xc_hypercall_bounce_pre(xch, ctxt_buf)) {
        return -1;
    }
    set_xen_guest_handle(d.u.hvmcontext.buffer, ctxt_buf);
    rc = domctl(xch, &d, XEN_DOMCTL_gethvmcontext, domid);
    xc_hypercall_bounce_post(xch, ctxt_buf);
    return rc < 0 ? -1 : (int)d.u.hvmcontext.size;
}

int xc_domain_hvm_getcontext_partial(xc_interface *xch, uint32_t domid, uint16_t typecode,
                                     uint16_t instance, void *ctxt_buf, uint32_t size)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(ctxt_buf, size);
    struct xen_domctl d = { .u.hvmcontext_partial = {
        .type = typecode, .instance = instance, .bufsz = size,
    } };
    int rc;

    if (!ctxt_buf) {
        errno = EINVAL;
        return -1;
    }
    if (xc_hypercall_bounce_pre(xch, ctxt_buf)) {
        return -1;
    }
    set_xen_guest_handle(d.u.hvmcontext_partial.buffer, ctxt_buf);
    rc = domctl(xch, &d, XEN_DOMCTL_gethvmcontext_partial, domid);
    xc_hypercall_bounce_post(xch, ctxt_buf);
    return rc;
}

int xc_domain_hvm_setcontext(xc_interface *xch, uint32_t domid, uint8_t *hvm_ctxt, uint32_t size)
{
    DECLARE_HYPERCALL_BOUNCE_IN(hvm_ctxt, size);
    struct xen_domctl d = { .u.hvmcontext.size = size };
    int rc;

    if (xc_hypercall_bounce_pre(xch, hvm_ctxt)) {
        return -1;
    }
    set_xen_guest_handle(d.u.hvmcontext.buffer, hvm_ctxt);
    rc = domctl(xch, &d, XEN_DOMCTL_sethvmcontext, domid);
    xc_hypercall_bounce_post(xch, hvm_ctxt);
    return rc;
}

int xc_hvm_param_set(xc_interface *xch, uint32_t dom, uint32_t param, uint64_t value)
{
    struct xen_hvm_param arg = { .domid = (domid_t)dom, .index = param, .value = value };

    return (int)do_op(xch, __HYPERVISOR_hvm_op, HVMOP_set_param, &arg, sizeof(arg));
}

int xc_hvm_param_get(xc_interface *xch, uint32_t dom, uint32_t param, uint64_t *value)
{
    struct xen_hvm_param arg = { .domid = (domid_t)dom, .index = param };
    int rc = (int)do_op(xch, __HYPERVISOR_hvm_op, HVMOP_get_param, &arg, sizeof(arg));

    if (!rc) {
        *value = arg.value;
    }
    return rc;
}

int xc_set_hvm_param(xc_interface *xch, uint32_t dom, int param, unsigned long value)
{
    return xc_hvm_param_set(xch, dom, (uint32_t)param, value);
}

int xc_get_hvm_param(xc_interface *xch, uint32_t dom, int param, unsigned long *value)
{
    uint64_t v = 0;

    if (xc_hvm_param_get(xch, dom, (uint32_t)param, &v) < 0) {
        return -1;
    }
    *value = (unsigned long)v;
    return 0;
}
