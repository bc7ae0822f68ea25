/* SPDX-License-Identifier: MIT */
/* Sharing of equal pages between domains, and forks of whole domains. */
#include "libxenctrl/ctrl/private.h"

static int sharing_op(xc_interface *xch, xen_mem_sharing_op_t *op, uint8_t cmd, uint32_t domid)
{
    op->op = cmd;
    op->domain = (domid_t)domid;
    return (int)do_memory_op(xch, XENMEM_sharing_op, op, sizeof(*op));
}

int xc_memshr_control(xc_interface *xch, uint32_t domid, int enable)
{
    struct xen_domctl d = { .u.mem_sharing_op = {
        .op = XEN_DOMCTL_MEM_SHARING_CONTROL, .u.enable = (uint8_t)enable,
    } };

    return domctl(xch, &d, XEN_DOMCTL_mem_sharing_op, domid);
}

/* ---- the ring --------------------------------------------------------------------------- */

int xc_memshr_ring_enable(xc_interface *xch, uint32_t domid, uint32_t *port)
{
    return vm_event_start(xch, domid, XEN_DOMCTL_VM_EVENT_OP_SHARING, port);
}

int xc_memshr_ring_disable(xc_interface *xch, uint32_t domid)
{
    return xc_vm_event_control(xch, domid, XEN_VM_EVENT_DISABLE, XEN_DOMCTL_VM_EVENT_OP_SHARING);
}

int xc_memshr_domain_resume(xc_interface *xch, uint32_t domid)
{
    return xc_vm_event_control(xch, domid, XEN_VM_EVENT_RESUME, XEN_DOMCTL_VM_EVENT_OP_SHARING);
}

/* ---- pages ------------------------------------------------------------------------------ */

int xc_memshr_nominate_gfn(xc_interface *xch, uint32_t domid, unsigned long gfn,
                           uint64_t *handle)
{
    xen_mem_sharing_op_t op = { .u.nominate.u.gfn = gfn };
    int rc = sharing_op(xch, &op, XENMEM_sharing_op_nominate_gfn, domid);

    if (!rc) {
        *handle = op.u.nominate.handle;
    }
    return rc;
}

int xc_memshr_nominate_gref(xc_interface *xch, uint32_t domid, grant_ref_t gref,
                            uint64_t *handle)
{
    xen_mem_sharing_op_t op = { .u.nominate.u.grant_ref = gref };
    int rc = sharing_op(xch, &op, XENMEM_sharing_op_nominate_gref, domid);

    if (!rc) {
        *handle = op.u.nominate.handle;
    }
    return rc;
}

int xc_memshr_share_gfns(xc_interface *xch, uint32_t source_domain, unsigned long source_gfn,
                         uint64_t source_handle, uint32_t client_domain,
                         unsigned long client_gfn, uint64_t client_handle)
{
    xen_mem_sharing_op_t op = { .u.share = {
        .source_gfn = source_gfn, .source_handle = source_handle,
        .client_domain = (domid_t)client_domain, .client_gfn = client_gfn,
        .client_handle = client_handle,
    } };

    return sharing_op(xch, &op, XENMEM_sharing_op_share, source_domain);
}

int xc_memshr_share_grefs(xc_interface *xch, uint32_t source_domain, grant_ref_t source_gref,
                          uint64_t source_handle, uint32_t client_domain,
                          grant_ref_t client_gref, uint64_t client_handle)
{
    xen_mem_sharing_op_t op = { .u.share = {
        .source_handle = source_handle, .client_domain = (domid_t)client_domain,
        .client_handle = client_handle,
    } };

    XENMEM_SHARING_OP_FIELD_MAKE_GREF(op.u.share.source_gfn, source_gref);
    XENMEM_SHARING_OP_FIELD_MAKE_GREF(op.u.share.client_gfn, client_gref);
    return sharing_op(xch, &op, XENMEM_sharing_op_share, source_domain);
}

int xc_memshr_add_to_physmap(xc_interface *xch, uint32_t source_domain, unsigned long source_gfn,
                             uint64_t source_handle, uint32_t client_domain,
                             unsigned long client_gfn)
{
    xen_mem_sharing_op_t op = { .u.share = {
        .source_gfn = source_gfn, .source_handle = source_handle,
        .client_domain = (domid_t)client_domain, .client_gfn = client_gfn,
    } };

    return sharing_op(xch, &op, XENMEM_sharing_op_add_physmap, source_domain);
}

int xc_memshr_range_share(xc_interface *xch, uint32_t source_domain, uint32_t client_domain,
                          uint64_t first_gfn, uint64_t last_gfn)
{
    xen_mem_sharing_op_t op = { .u.range = {
        .first_gfn = first_gfn, .last_gfn = last_gfn, .client_domain = (domid_t)client_domain,
    } };

    return sharing_op(xch, &op, XENMEM_sharing_op_range_share, source_domain);
}

/* ---- forks ------------------------------------------------------------------------------ */

int xc_memshr_fork(xc_interface *xch, uint32_t source_domain, uint32_t client_domain,
                   bool allow_with_iommu, bool block_interrupts)
{
    xen_mem_sharing_op_t op = { .u.fork.parent_domain = (domid_t)source_domain };

    if (allow_with_iommu) {
        op.u.fork.flags |= XENMEM_FORK_WITH_IOMMU_ALLOWED;
    }
    if (block_interrupts) {
        op.u.fork.flags |= XENMEM_FORK_BLOCK_INTERRUPTS;
    }
    return sharing_op(xch, &op, XENMEM_sharing_op_fork, client_domain);
}

int xc_memshr_fork_reset(xc_interface *xch, uint32_t forked_domain, bool reset_state,
                         bool reset_memory)
{
    xen_mem_sharing_op_t op = { 0 };

    if (reset_state) {
        op.u.fork.flags |= XENMEM_FORK_RESET_STATE;
    }
    if (reset_memory) {
        op.u.fork.flags |= XENMEM_FORK_RESET_MEMORY;
    }
    return sharing_op(xch, &op, XENMEM_sharing_op_fork_reset, forked_domain);
}

/* ---- for debugging ---------------------------------------------------------------------- */

int xc_memshr_debug_gfn(xc_interface *xch, uint32_t domid, unsigned long gfn)
{
    xen_mem_sharing_op_t op = { .u.debug.u.gfn = gfn };

    return sharing_op(xch, &op, XENMEM_sharing_op_debug_gfn, domid);
}

int xc_memshr_debug_gref(xc_interface *xch, uint32_t domid, grant_ref_t gref)
{
    xen_mem_sharing_op_t op = { .u.debug.u.gref = gref };

    return sharing_op(xch, &op, XENMEM_sharing_op_debug_gref, domid);
}

int xc_memshr_audit(xc_interface *xch)
{
    xen_mem_sharing_op_t op = { 0 };

    return sharing_op(xch, &op, XENMEM_sharing_op_audit, 0);
}
