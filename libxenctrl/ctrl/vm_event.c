/* SPDX-License-Identifier: MIT */
/* Rings of events that a monitor of a domain reads, and what feeds two of them: access, paging. */
#include <stdlib.h>
#include <sys/mman.h>

#include "libxenctrl/ctrl/private.h"

int xc_vm_event_control(xc_interface *xch, uint32_t domain_id, unsigned int op,
                        unsigned int mode)
{
    struct xen_domctl d = { .u.vm_event_op = { .op = op, .mode = mode } };

    return domctl(xch, &d, XEN_DOMCTL_vm_event_op, domain_id);
}

int vm_event_start(xc_interface *xch, uint32_t domid, unsigned int mode, uint32_t *port)
{
    struct xen_domctl d = { .u.vm_event_op = { .op = XEN_VM_EVENT_ENABLE, .mode = mode } };
    int rc;

    if (!port) {
        errno = EINVAL;
        return -1;
    }
    rc = domctl(xch, &d, XEN_DOMCTL_vm_event_op, domid);
    if (!rc) {
        *port = d.u.vm_event_op.u.enable.port;
    }
    return rc;
}

int xc_vm_event_get_version(xc_interface *xch)
{
    struct xen_domctl d = { .u.vm_event_op = {
        .op = XEN_VM_EVENT_GET_VERSION, .mode = XEN_DOMCTL_VM_EVENT_OP_MONITOR,
    } };
    int rc = domctl(xch, &d, XEN_DOMCTL_vm_event_op, DOMID_INVALID);

    return rc ? rc : (int)d.u.vm_event_op.u.version;
}

/* Which ring a parameter's page is for; -1 if for none. */
static int ring_mode(int param)
{
    switch (param) {
    case HVM_PARAM_PAGING_RING_PFN:
        return XEN_DOMCTL_VM_EVENT_OP_PAGING;
    case HVM_PARAM_MONITOR_RING_PFN:
        return XEN_DOMCTL_VM_EVENT_OP_MONITOR;
    case HVM_PARAM_SHARING_RING_PFN:
        return XEN_DOMCTL_VM_EVENT_OP_SHARING;
    default:
        errno = EINVAL;
        return -1;
    }
}

/* The guest's page for the ring, which a monitor that was here before may have taken from it. */
static void *map_ring(xc_interface *xch, uint32_t domid, int param, xen_pfn_t *pfn)
{
    uint64_t value = 0;
    xen_pfn_t type;
    void *ring;

    if (xc_hvm_param_get(xch, domid, (uint32_t)param, &value)) {
        xc_perror(xch, "could not get the frame of domain %u's ring", domid);
        return NULL;
    }
    *pfn = type = value;
    if (xc_get_pfn_type_batch(xch, domid, 1, &type) || (type & XEN_DOMCTL_PFINFO_XTAB)) {
        if (xc_domain_populate_physmap_exact(xch, domid, 1, 0, 0, pfn)) {
            xc_perror(xch, "could not give domain %u a page for its ring", domid);
            return NULL;
        }
    }
    ring = xenforeignmemory_map(xch->fmem, domid, PROT_READ | PROT_WRITE, 1, pfn, NULL);
    if (!ring) {
        xc_perror(xch, "could not map domain %u's ring", domid);
    }
    return ring;
}

void *xc_vm_event_enable(xc_interface *xch, uint32_t domain_id, int param, uint32_t *port)
{
    int mode = ring_mode(param), saved;
    xen_pfn_t pfn;
    void *ring;

    if (!port || mode < 0) {
        errno = EINVAL;
        return NULL;
    }
    /* The page is the guest's until the end; it must not run meanwhile. */
    if (xc_domain_pause(xch, domain_id)) {
        xc_perror(xch, "could not pause domain %u", domain_id);
        return NULL;
    }
    ring = map_ring(xch, domain_id, param, &pfn);
    if (ring && vm_event_start(xch, domain_id, (unsigned int)mode, port)) {
        xc_perror(xch, "could not enable domain %u's ring", domain_id);
        goto undo;
    }
    if (ring && xc_domain_decrease_reservation_exact(xch, domain_id, 1, 0, &pfn)) {
        xc_perror(xch, "could not take its ring's page from domain %u", domain_id);
        goto undo;
    }
 out:
    saved = errno;
    if (xc_domain_unpause(xch, domain_id)) {
        xc_perror(xch, "could not unpause domain %u", domain_id);
    }
    errno = saved;
    return ring;
 undo:
    saved = errno;
    xenforeignmemory_unmap(xch->fmem, ring, 1);
    ring = NULL;
    errno = saved;
    goto out;
}

/* ---- access ----------------------------------------------------------------------------- */

int xc_domain_set_access_required(xc_interface *xch, uint32_t domid, unsigned int required)
{
    struct xen_domctl d = { .u.access_required.access_required = (uint8_t)required };

    return domctl(xch, &d, XEN_DOMCTL_set_access_required, domid);
}

static int access_op(xc_interface *xch, xen_mem_access_op_t *op, uint8_t cmd, uint32_t domid)
{
    op->op = cmd;
    op->domid = (domid_t)domid;
    return (int)do_memory_op(xch, XENMEM_access_op, op, sizeof(*op));
}

int xc_set_mem_access(xc_interface *xch, uint32_t domain_id, xenmem_access_t access,
                      uint64_t first_pfn, uint32_t nr)
{
    xen_mem_access_op_t op = { .access = (uint8_t)access, .pfn = first_pfn, .nr = nr };

    return access_op(xch, &op, XENMEM_access_op_set_access, domain_id);
}

int xc_set_mem_access_multi(xc_interface *xch, uint32_t domain_id, uint8_t *access,
                            uint64_t *pages, uint32_t nr)
{
    DECLARE_HYPERCALL_BOUNCE_IN(access, nr * sizeof(*access));
    DECLARE_HYPERCALL_BOUNCE_IN(pages, nr * sizeof(*pages));
    xen_mem_access_op_t op = { .access = XENMEM_access_default + 1, .pfn = ~0ull, .nr = nr };
    int rc = -1;

    if (xc_hypercall_bounce_pre(xch, pages) || xc_hypercall_bounce_pre(xch, access)) {
        xc_perror(xch, "no memory for a list of %u pages", nr);
        goto out;
    }
    set_xen_guest_handle(op.pfn_list, pages);
    set_xen_guest_handle(op.access_list, access);
    rc = access_op(xch, &op, XENMEM_access_op_set_access_multi, domain_id);
 out:
    xc_hypercall_bounce_post(xch, access);
    xc_hypercall_bounce_post(xch, pages);
    return rc;
}

int xc_get_mem_access(xc_interface *xch, uint32_t domain_id, uint64_t pfn,
                      xenmem_access_t *access)
{
    xen_mem_access_op_t op = { .pfn = pfn };
    int rc = access_op(xch, &op, XENMEM_access_op_get_access, domain_id);

    if (!rc) {
        *access = (xenmem_access_t)op.access;
    }
    return rc;
}

/* ---- paging ----------------------------------------------------------------------------- */

int xc_mem_paging_enable(xc_interface *xch, uint32_t domain_id, uint32_t *port)
{
    return vm_event_start(xch, domain_id, XEN_DOMCTL_VM_EVENT_OP_PAGING, port);
}

int xc_mem_paging_disable(xc_interface *xch, uint32_t domain_id)
{
    return xc_vm_event_control(xch, domain_id, XEN_VM_EVENT_DISABLE,
                               XEN_DOMCTL_VM_EVENT_OP_PAGING);
}

int xc_mem_paging_resume(xc_interface *xch, uint32_t domain_id)
{
    return xc_vm_event_control(xch, domain_id, XEN_VM_EVENT_RESUME,
                               XEN_DOMCTL_VM_EVENT_OP_PAGING);
}

/* page: what the frame will hold, or NULL. */
static int paging_op(xc_interface *xch, uint32_t domid, uint8_t cmd, uint64_t gfn, void *page)
{
    DECLARE_HYPERCALL_BOUNCE_IN(page, XC_PAGE_SIZE);
    xen_mem_paging_op_t op = { .op = cmd, .domain = (domid_t)domid, .gfn = gfn };
    int rc;

    if (xc_hypercall_bounce_pre(xch, page)) {
        xc_perror(xch, "no memory for a page");
        return -1;
    }
    set_xen_guest_handle(op.buffer, page);
    rc = (int)do_memory_op(xch, XENMEM_paging_op, &op, sizeof(op));
    xc_hypercall_bounce_post(xch, page);
    return rc;
}

int xc_mem_paging_nominate(xc_interface *xch, uint32_t domain_id, uint64_t gfn)
{
    return paging_op(xch, domain_id, XENMEM_paging_op_nominate, gfn, NULL);
}

int xc_mem_paging_evict(xc_interface *xch, uint32_t domain_id, uint64_t gfn)
{
    return paging_op(xch, domain_id, XENMEM_paging_op_evict, gfn, NULL);
}

int xc_mem_paging_prep(xc_interface *xch, uint32_t domain_id, uint64_t gfn)
{
    return paging_op(xch, domain_id, XENMEM_paging_op_prep, gfn, NULL);
}

int xc_mem_paging_load(xc_interface *xch, uint32_t domain_id, uint64_t gfn, void *buffer)
{
    if (!buffer) {
        errno = EINVAL;
        return -1;
    }
    return paging_op(xch, domain_id, XENMEM_paging_op_prep, gfn, buffer);
}
