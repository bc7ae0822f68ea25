/* SPDX-License-Identifier: MIT */
/* vCPUs: information, PV register state, affinity. */
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/ctrl/private.h"

int xc_vcpu_getinfo(xc_interface *xch, uint32_t domid, uint32_t vcpu, xc_vcpuinfo_t *info)
{
    struct xen_domctl d = { .u.getvcpuinfo.vcpu = vcpu };

    if (domctl(xch, &d, XEN_DOMCTL_getvcpuinfo, domid)) {
        return -1;
    }
    *info = d.u.getvcpuinfo;
    return 0;
}

long long xc_domain_get_cpu_usage(xc_interface *xch, uint32_t domid, int vcpu)
{
    xc_vcpuinfo_t info;

    if (xc_vcpu_getinfo(xch, domid, (uint32_t)vcpu, &info)) {
        xc_perror(xch, "could not get the CPU time of domain %u's vCPU %d", domid, vcpu);
        return -1;
    }
    return (long long)info.cpu_time;
}

int xc_vcpu_getcontext(xc_interface *xch, uint32_t domid, uint32_t vcpu,
                       vcpu_guest_context_any_t *ctxt)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(ctxt, sizeof(*ctxt));
    struct xen_domctl d = { .u.vcpucontext.vcpu = vcpu };
    int rc;

    if (xc_hypercall_bounce_pre(xch, ctxt)) {
        return -1;
    }
    set_xen_guest_handle(d.u.vcpucontext.ctxt, ctxt);
    rc = domctl(xch, &d, XEN_DOMCTL_getvcpucontext, domid);
    xc_hypercall_bounce_post(xch, ctxt);
    return rc;
}

/* Without a context: takes the vCPU down. */
int xc_vcpu_setcontext(xc_interface *xch, uint32_t domid, uint32_t vcpu,
                       vcpu_guest_context_any_t *ctxt)
{
    DECLARE_HYPERCALL_BOUNCE_IN(ctxt, sizeof(*ctxt));
    struct xen_domctl d = { .u.vcpucontext.vcpu = vcpu };
    int rc;

    if (xc_hypercall_bounce_pre(xch, ctxt)) {
        return -1;
    }
    set_xen_guest_handle(d.u.vcpucontext.ctxt, ctxt);
    rc = domctl(xch, &d, XEN_DOMCTL_setvcpucontext, domid);
    xc_hypercall_bounce_post(xch, ctxt);
    return rc;
}

static int vcpu_affinity(xc_interface *xch, uint32_t cmd, uint32_t domid, int vcpu,
                         xc_cpumap_t hard, xc_cpumap_t soft, uint32_t flags, int dir)
{
    DECLARE_HYPERCALL_BOUNCE(hard, 0, dir);
    DECLARE_HYPERCALL_BOUNCE(soft, 0, dir);
    struct xen_domctl d = { .u.vcpuaffinity = { .vcpu = (uint32_t)vcpu, .flags = flags } };
    int size = xc_get_cpumap_size(xch), rc = -1;

    if (size <= 0) {
        xc_perror(xch, "could not get the number of CPUs");
        return -1;
    }
    HYPERCALL_BUFFER(hard)->sz = hard ? (size_t)size : 0;
    HYPERCALL_BUFFER(soft)->sz = soft ? (size_t)size : 0;
    if (xc_hypercall_bounce_pre(xch, hard) || xc_hypercall_bounce_pre(xch, soft)) {
        goto out;
    }
    set_xen_guest_handle(d.u.vcpuaffinity.cpumap_hard.bitmap, hard);
    d.u.vcpuaffinity.cpumap_hard.nr_bits = hard ? (uint32_t)size * 8 : 0;
    set_xen_guest_handle(d.u.vcpuaffinity.cpumap_soft.bitmap, soft);
    d.u.vcpuaffinity.cpumap_soft.nr_bits = soft ? (uint32_t)size * 8 : 0;
    rc = domctl(xch, &d, cmd, domid);
 out:
    xc_hypercall_bounce_post(xch, soft);
    xc_hypercall_bounce_post(xch, hard);
    return rc;
}

int xc_vcpu_setaffinity(xc_interface *xch, uint32_t domid, int vcpu,
                        xc_cpumap_t cpumap_hard_inout, xc_cpumap_t cpumap_soft_inout,
                        uint32_t flags)
{
    return vcpu_affinity(xch, XEN_DOMCTL_setvcpuaffinity, domid, vcpu, cpumap_hard_inout,
                         cpumap_soft_inout, flags, XC_HYPERCALL_BUFFER_BOUNCE_BOTH);
}

int xc_vcpu_getaffinity(xc_interface *xch, uint32_t domid, int vcpu, xc_cpumap_t cpumap_hard,
                        xc_cpumap_t cpumap_soft, uint32_t flags)
{
    return vcpu_affinity(xch, XEN_DOMCTL_getvcpuaffinity, domid, vcpu, cpumap_hard, cpumap_soft,
                         flags, XC_HYPERCALL_BUFFER_BOUNCE_OUT);
}

static int node_affinity(xc_interface *xch, uint32_t cmd, uint32_t domid, xc_nodemap_t nodemap,
                         int dir)
{
    DECLARE_HYPERCALL_BOUNCE(nodemap, 0, dir);
    struct xen_domctl d = { 0 };
    int size = xc_get_nodemap_size(xch), rc;

    if (size <= 0) {
        xc_perror(xch, "could not get the number of nodes");
        return -1;
    }
    HYPERCALL_BUFFER(nodemap)->sz = (size_t)size;
    if (xc_hypercall_bounce_pre(xch, nodemap)) {
        return -1;
    }
    set_xen_guest_handle(d.u.nodeaffinity.nodemap.bitmap, nodemap);
    d.u.nodeaffinity.nodemap.nr_bits = (uint32_t)size * 8;
    rc = domctl(xch, &d, cmd, domid);
    xc_hypercall_bounce_post(xch, nodemap);
    return rc;
}

int xc_domain_node_setaffinity(xc_interface *xch, uint32_t domid, xc_nodemap_t nodemap)
{
    return node_affinity(xch, XEN_DOMCTL_setnodeaffinity, domid, nodemap,
                         XC_HYPERCALL_BUFFER_BOUNCE_IN);
}

int xc_domain_node_getaffinity(xc_interface *xch, uint32_t domid, xc_nodemap_t nodemap)
{
    return node_affinity(xch, XEN_DOMCTL_getnodeaffinity, domid, nodemap,
                         XC_HYPERCALL_BUFFER_BOUNCE_OUT);
}

int xc_vcpu_get_extstate(xc_interface *xch, uint32_t domid, uint32_t vcpu,
                         xc_vcpu_extstate_t *extstate)
{
    void *area = extstate->buffer;
    DECLARE_HYPERCALL_BOUNCE_OUT(area, extstate->size);
    struct xen_domctl d = { .u.vcpuextstate = {
        .vcpu = vcpu, .xfeature_mask = extstate->xfeature_mask, .size = extstate->size,
    } };
    int rc;

    if (xc_hypercall_bounce_pre(xch, area)) {
        return -1;
    }
    set_xen_guest_handle(d.u.vcpuextstate.buffer, area);
    rc = domctl(xch, &d, XEN_DOMCTL_getvcpuextstate, domid);
    xc_hypercall_bounce_post(xch, area);
    extstate->size = d.u.vcpuextstate.size;
    extstate->xfeature_mask = d.u.vcpuextstate.xfeature_mask;
    return rc;
}
