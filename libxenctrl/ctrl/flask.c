/* SPDX-License-Identifier: MIT */
/* The security server's calls that toolstacks make. */
#include <string.h>

#include "libxenctrl/ctrl/private.h"

int xc_flask_op(xc_interface *xch, xen_flask_op_t *op)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(op, sizeof(*op));
    int rc;

    op->interface_version = XEN_FLASK_INTERFACE_VERSION;
    if (xc_hypercall_bounce_pre(xch, op)) {
        xc_perror(xch, "no memory for a flask operation");
        return -1;
    }
    rc = xencall1(xch->xcall, __HYPERVISOR_xsm_op, HYPERCALL_BUFFER_AS_ARG(op));
    xc_hypercall_bounce_post(xch, op);
    return rc;
}

int xc_flask_load(xc_interface *xch, char *buf, uint32_t size)
{
    DECLARE_HYPERCALL_BOUNCE_IN(buf, size);
    xen_flask_op_t op = { .cmd = FLASK_LOAD };
    int rc;

    if (xc_hypercall_bounce_pre(xch, buf)) {
        return -1;
    }
    op.u.load.size = size;
    set_xen_guest_handle(op.u.load.buffer, buf);
    rc = xc_flask_op(xch, &op);
    xc_hypercall_bounce_post(xch, buf);
    return rc;
}

int xc_flask_context_to_sid(xc_interface *xch, char *buf, uint32_t size, uint32_t *sid)
{
    DECLARE_HYPERCALL_BOUNCE_IN(buf, size);
    xen_flask_op_t op = { .cmd = FLASK_CONTEXT_TO_SID };
    int rc;

    if (xc_hypercall_bounce_pre(xch, buf)) {
        return -1;
    }
    op.u.sid_context.size = size;
    set_xen_guest_handle(op.u.sid_context.context, buf);
    rc = xc_flask_op(xch, &op);
    if (!rc) {
        *sid = op.u.sid_context.sid;
    }
    xc_hypercall_bounce_post(xch, buf);
    return rc;
}

int xc_flask_sid_to_context(xc_interface *xch, int sid, char *buf, uint32_t size)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(buf, size);
    xen_flask_op_t op = { .cmd = FLASK_SID_TO_CONTEXT };
    int rc;

    if (xc_hypercall_bounce_pre(xch, buf)) {
        return -1;
    }
    op.u.sid_context.sid = (uint32_t)sid;
    op.u.sid_context.size = size;
    set_xen_guest_handle(op.u.sid_context.context, buf);
    rc = xc_flask_op(xch, &op);
    xc_hypercall_bounce_post(xch, buf);
    return rc;
}

int xc_flask_getenforce(xc_interface *xch)
{
    xen_flask_op_t op = { .cmd = FLASK_GETENFORCE };

    return xc_flask_op(xch, &op);
}

int xc_flask_setenforce(xc_interface *xch, int mode)
{
    xen_flask_op_t op = { .cmd = FLASK_SETENFORCE, .u.enforce.enforcing = (uint32_t)mode };

    return xc_flask_op(xch, &op);
}

int xc_flask_policyvers(xc_interface *xch)
{
    xen_flask_op_t op = { .cmd = FLASK_POLICYVERS };

    return xc_flask_op(xch, &op);
}

int xc_flask_relabel_domain(xc_interface *xch, uint32_t domid, uint32_t sid)
{
    xen_flask_op_t op = { .cmd = FLASK_RELABEL_DOMAIN };

    op.u.relabel.domid = domid;
    op.u.relabel.sid = sid;
    return xc_flask_op(xch, &op);
}
