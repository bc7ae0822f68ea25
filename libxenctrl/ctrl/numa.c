/* SPDX-License-Identifier: MIT */
/* Virtual NUMA. */
#include "libxenctrl/ctrl/private.h"

int xc_domain_setvnuma(xc_interface *xch, uint32_t domid, uint32_t nr_vnodes,
                       uint32_t nr_regions, uint32_t nr_vcpus, xen_vmemrange_t *vmemrange,
                       unsigned int *vdistance, unsigned int *vcpu_to_vnode,
                       unsigned int *vnode_to_pnode)
{
    DECLARE_HYPERCALL_BOUNCE_IN(vmemrange, nr_regions * sizeof(*vmemrange));
    DECLARE_HYPERCALL_BOUNCE_IN(vdistance, (size_t)nr_vnodes * nr_vnodes * sizeof(*vdistance));
    DECLARE_HYPERCALL_BOUNCE_IN(vcpu_to_vnode, nr_vcpus * sizeof(*vcpu_to_vnode));
    DECLARE_HYPERCALL_BOUNCE_IN(vnode_to_pnode, nr_vnodes * sizeof(*vnode_to_pnode));
    struct xen_domctl d = { .u.vnuma = {
        .nr_vnodes = nr_vnodes, .nr_vmemranges = nr_regions, .nr_vcpus = nr_vcpus,
    } };
    int rc = -1;

    if (!nr_vnodes || !vmemrange || !vdistance || !vcpu_to_vnode || !vnode_to_pnode) {
        errno = EINVAL;
        return -1;
    }
    if (xc_hypercall_bounce_pre(xch, vmemrange) || xc_hypercall_bounce_pre(xch, vdistance) ||
        xc_hypercall_bounce_pre(xch, vcpu_to_vnode) ||
        xc_hypercall_bounce_pre(xch, vnode_to_pnode)) {
        goto out;
    }
    set_xen_guest_handle(d.u.vnuma.vmemrange, vmemrange);
    set_xen_guest_handle(d.u.vnuma.vdistance, vdistance);
    set_xen_guest_handle(d.u.vnuma.vcpu_to_vnode, vcpu_to_vnode);
    set_xen_guest_handle(d.u.vnuma.vnode_to_pnode, vnode_to_pnode);
    rc = domctl(xch, &d, XEN_DOMCTL_setvnumainfo, domid);
 out:
    xc_hypercall_bounce_post(xch, vmemrange);
    xc_hypercall_bounce_post(xch, vdistance);
    xc_hypercall_bounce_post(xch, vcpu_to_vnode);
    xc_hypercall_bounce_post(xch, vnode_to_pnode);
    return rc;
}

int xc_domain_getvnuma(xc_interface *xch, uint32_t domid, uint32_t *nr_vnodes,
                       uint32_t *nr_vmemranges, uint32_t *nr_vcpus, xen_vmemrange_t *vmemrange,
                       unsigned int *vdistance, unsigned int *vcpu_to_vnode)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(vmemrange, *nr_vmemranges * sizeof(*vmemrange));
    DECLARE_HYPERCALL_BOUNCE_OUT(vdistance, (size_t)*nr_vnodes * *nr_vnodes *
                                            sizeof(*vdistance));
    DECLARE_HYPERCALL_BOUNCE_OUT(vcpu_to_vnode, *nr_vcpus * sizeof(*vcpu_to_vnode));
    struct xen_vnuma_topology_info t = {
        .domid = (domid_t)domid, .nr_vnodes = *nr_vnodes, .nr_vcpus = *nr_vcpus,
        .nr_vmemranges = *nr_vmemranges,
    };
    int rc = -1;

    if (xc_hypercall_bounce_pre(xch, vmemrange) || xc_hypercall_bounce_pre(xch, vdistance) ||
        xc_hypercall_bounce_pre(xch, vcpu_to_vnode)) {
        goto out;
    }
    set_xen_guest_handle(t.vmemrange.h, vmemrange);
    set_xen_guest_handle(t.vdistance.h, vdistance);
    set_xen_guest_handle(t.vcpu_to_vnode.h, vcpu_to_vnode);
    rc = (int)do_memory_op(xch, XENMEM_get_vnumainfo, &t, sizeof(t));
    /* Also on ENOBUFS: the sizes that are needed. */
    *nr_vnodes = t.nr_vnodes;
    *nr_vcpus = t.nr_vcpus;
    *nr_vmemranges = t.nr_vmemranges;
 out:
    xc_hypercall_bounce_post(xch, vmemrange);
    xc_hypercall_bounce_post(xch, vdistance);
    xc_hypercall_bounce_post(xch, vcpu_to_vnode);
    return rc;
}
