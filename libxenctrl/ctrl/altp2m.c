/* SPDX-License-Identifier: MIT */
/* Alternative physical maps of HVM guests. */
#include "libxenctrl/ctrl/private.h"

#include <xen/hvm/hvm_op.h>

typedef struct xen_hvm_altp2m_op altp2m_op;

static int altp2m(xc_interface *xch, altp2m_op *op, uint32_t cmd, uint32_t domid)
{
    op->version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op->cmd = cmd;
    op->domain = (domid_t)domid;
    return (int)do_op(xch, __HYPERVISOR_hvm_op, HVMOP_altp2m, op, sizeof(*op));
}

int xc_altp2m_get_domain_state(xc_interface *handle, uint32_t dom, bool *state)
{
    altp2m_op op = { 0 };
    int rc = altp2m(handle, &op, HVMOP_altp2m_get_domain_state, dom);

    if (!rc) {
        *state = op.u.domain_state.state;
    }
    return rc;
}

int xc_altp2m_set_domain_state(xc_interface *handle, uint32_t dom, bool state)
{
    altp2m_op op = { .u.domain_state.state = state };

    return altp2m(handle, &op, HVMOP_altp2m_set_domain_state, dom);
}

int xc_altp2m_set_vcpu_enable_notify(xc_interface *handle, uint32_t domid, uint32_t vcpuid,
                                     xen_pfn_t gfn)
{
    altp2m_op op = { .u.enable_notify = { .vcpu_id = vcpuid, .gfn = gfn } };

    return altp2m(handle, &op, HVMOP_altp2m_vcpu_enable_notify, domid);
}

int xc_altp2m_set_vcpu_disable_notify(xc_interface *handle, uint32_t domid, uint32_t vcpuid)
{
    altp2m_op op = { .u.disable_notify.vcpu_id = vcpuid };

    return altp2m(handle, &op, HVMOP_altp2m_vcpu_disable_notify, domid);
}

/* ---- views ------------------------------------------------------------------------------ */

int xc_altp2m_create_view(xc_interface *handle, uint32_t domid, xenmem_access_t default_access,
                          uint16_t *view_id)
{
    altp2m_op op = { .u.view = {
        .view = UINT16_MAX, .hvmmem_default_access = (uint16_t)default_access,
    } };
    int rc = altp2m(handle, &op, HVMOP_altp2m_create_p2m, domid);

    if (!rc) {
        *view_id = op.u.view.view;
    }
    return rc;
}

int xc_altp2m_destroy_view(xc_interface *handle, uint32_t domid, uint16_t view_id)
{
    altp2m_op op = { .u.view.view = view_id };

    return altp2m(handle, &op, HVMOP_altp2m_destroy_p2m, domid);
}

int xc_altp2m_switch_to_view(xc_interface *handle, uint32_t domid, uint16_t view_id)
{
    altp2m_op op = { .u.view.view = view_id };

    return altp2m(handle, &op, HVMOP_altp2m_switch_p2m, domid);
}

int xc_altp2m_get_vcpu_p2m_idx(xc_interface *handle, uint32_t domid, uint32_t vcpuid,
                               uint16_t *p2midx)
{
    altp2m_op op = { .u.get_vcpu_p2m_idx.vcpu_id = vcpuid };
    int rc = altp2m(handle, &op, HVMOP_altp2m_get_p2m_idx, domid);

    if (!rc) {
        *p2midx = op.u.get_vcpu_p2m_idx.altp2m_idx;
    }
    return rc;
}

int xc_altp2m_set_visibility(xc_interface *handle, uint32_t domid, uint16_t view_id,
                             bool visible)
{
    altp2m_op op = { .u.set_visibility = { .altp2m_idx = view_id, .visible = visible } };

    return altp2m(handle, &op, HVMOP_altp2m_set_visibility, domid);
}

/* ---- pages of a view -------------------------------------------------------------------- */

int xc_altp2m_change_gfn(xc_interface *handle, uint32_t domid, uint16_t view_id,
                         xen_pfn_t old_gfn, xen_pfn_t new_gfn)
{
    altp2m_op op = { .u.change_gfn = {
        .view = view_id, .old_gfn = old_gfn, .new_gfn = new_gfn,
    } };

    return altp2m(handle, &op, HVMOP_altp2m_change_gfn, domid);
}

int xc_altp2m_set_mem_access(xc_interface *handle, uint32_t domid, uint16_t view_id,
                             xen_pfn_t gfn, xenmem_access_t access)
{
    altp2m_op op = { .u.mem_access = {
        .view = view_id, .access = (uint16_t)access, .gfn = gfn,
    } };

    return altp2m(handle, &op, HVMOP_altp2m_set_mem_access, domid);
}

int xc_altp2m_get_mem_access(xc_interface *handle, uint32_t domid, uint16_t view_id,
                             xen_pfn_t gfn, xenmem_access_t *access)
{
    altp2m_op op = { .u.mem_access = { .view = view_id, .gfn = gfn } };
    int rc = altp2m(handle, &op, HVMOP_altp2m_get_mem_access, domid);

    if (!rc) {
        *access = (xenmem_access_t)op.u.mem_access.access;
    }
    return rc;
}

int xc_altp2m_set_mem_access_multi(xc_interface *handle, uint32_t domid, uint16_t view_id,
                                   uint8_t *access, uint64_t *gfns, uint32_t nr)
{
    DECLARE_HYPERCALL_BOUNCE_IN(access, nr * sizeof(*access));
    DECLARE_HYPERCALL_BOUNCE_IN(gfns, nr * sizeof(*gfns));
    altp2m_op op = { .u.set_mem_access_multi = { .view = view_id, .nr = nr } };
    int rc = -1;

    if (xc_hypercall_bounce_pre(handle, access) || xc_hypercall_bounce_pre(handle, gfns)) {
        goto out;
    }
    set_xen_guest_handle(op.u.set_mem_access_multi.pfn_list, gfns);
    set_xen_guest_handle(op.u.set_mem_access_multi.access_list, access);
    rc = altp2m(handle, &op, HVMOP_altp2m_set_mem_access_multi, domid);
 out:
    xc_hypercall_bounce_post(handle, access);
    xc_hypercall_bounce_post(handle, gfns);
    return rc;
}

int xc_altp2m_set_suppress_ve(xc_interface *handle, uint32_t domid, uint16_t view_id,
                              xen_pfn_t gfn, bool sve)
{
    altp2m_op op = { .u.suppress_ve = { .view = view_id, .gfn = gfn, .suppress_ve = sve } };

    return altp2m(handle, &op, HVMOP_altp2m_set_suppress_ve, domid);
}

int xc_altp2m_get_suppress_ve(xc_interface *handle, uint32_t domid, uint16_t view_id,
                              xen_pfn_t gfn, bool *sve)
{
    altp2m_op op = { .u.suppress_ve = { .view = view_id, .gfn = gfn } };
    int rc = altp2m(handle, &op, HVMOP_altp2m_get_suppress_ve, domid);

    if (!rc) {
        *sve = op.u.suppress_ve.suppress_ve;
    }
    return rc;
}

/* The name's spelling is 4.17's. */
int xc_altp2m_set_supress_ve_multi(xc_interface *handle, uint32_t domid, uint16_t view_id,
                                   xen_pfn_t first_gfn, xen_pfn_t last_gfn, bool sve,
                                   xen_pfn_t *error_gfn, int32_t *error_code)
{
    altp2m_op op = { .u.suppress_ve_multi = {
        .view = view_id, .first_gfn = first_gfn, .last_gfn = last_gfn, .suppress_ve = sve,
    } };
    int rc = altp2m(handle, &op, HVMOP_altp2m_set_suppress_ve_multi, domid);

    if (!rc && op.u.suppress_ve_multi.first_error) {
        *error_gfn = op.u.suppress_ve_multi.first_error_gfn;
        *error_code = op.u.suppress_ve_multi.first_error;
    }
    return rc;
}
