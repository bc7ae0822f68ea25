/* SPDX-License-Identifier: MIT */
/* The host: hardware, topology, console ring, CPUs. */
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/ctrl/private.h"

int xc_physinfo(xc_interface *xch, xc_physinfo_t *info)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_physinfo };

    if (do_sysctl(xch, &s)) {
        return -1;
    }
    *info = s.u.physinfo;
    return 0;
}

int xc_cputopoinfo(xc_interface *xch, unsigned *max_cpus, xc_cputopo_t *cputopo)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(cputopo, *max_cpus * sizeof(*cputopo));
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_cputopoinfo };
    int rc;

    if (xc_hypercall_bounce_pre(xch, cputopo)) {
        return -1;
    }
    s.u.cputopoinfo.num_cpus = *max_cpus;
    set_xen_guest_handle(s.u.cputopoinfo.cputopo, cputopo);
    rc = do_sysctl(xch, &s);
    xc_hypercall_bounce_post(xch, cputopo);
    if (!rc) {
        *max_cpus = s.u.cputopoinfo.num_cpus;
    }
    return rc;
}

int xc_numainfo(xc_interface *xch, unsigned *max_nodes, xc_meminfo_t *meminfo,
                uint32_t *distance)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(meminfo, *max_nodes * sizeof(*meminfo));
    DECLARE_HYPERCALL_BOUNCE_OUT(distance, (size_t)*max_nodes * *max_nodes * sizeof(*distance));
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_numainfo };
    int rc = -1;

    if (xc_hypercall_bounce_pre(xch, meminfo) || xc_hypercall_bounce_pre(xch, distance)) {
        goto out;
    }
    s.u.numainfo.num_nodes = *max_nodes;
    set_xen_guest_handle(s.u.numainfo.meminfo, meminfo);
    set_xen_guest_handle(s.u.numainfo.distance, distance);
    rc = do_sysctl(xch, &s);
    if (!rc) {
        *max_nodes = s.u.numainfo.num_nodes;
    }
 out:
    xc_hypercall_bounce_post(xch, meminfo);
    xc_hypercall_bounce_post(xch, distance);
    return rc;
}

int xc_pcitopoinfo(xc_interface *xch, unsigned num_devs, physdev_pci_device_t *devs,
                   uint32_t *nodes)
{
    DECLARE_HYPERCALL_BOUNCE_IN(devs, num_devs * sizeof(*devs));
    DECLARE_HYPERCALL_BOUNCE_BOTH(nodes, num_devs * sizeof(*nodes));
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_pcitopoinfo };
    unsigned int done = 0;
    int rc = -1;

    if (xc_hypercall_bounce_pre(xch, devs) || xc_hypercall_bounce_pre(xch, nodes)) {
        goto out;
    }
    /* Xen may answer for some of the devices only, and says for how many. */
    do {
        s.u.pcitopoinfo.num_devs = num_devs - done;
        set_xen_guest_handle_offset(s.u.pcitopoinfo.devs, devs, done);
        set_xen_guest_handle_offset(s.u.pcitopoinfo.nodes, nodes, done);
        rc = do_sysctl(xch, &s);
        done += rc ? 0 : s.u.pcitopoinfo.num_devs;
    } while (!rc && s.u.pcitopoinfo.num_devs && done < num_devs);
 out:
    xc_hypercall_bounce_post(xch, devs);
    xc_hypercall_bounce_post(xch, nodes);
    return rc;
}

int xc_getcpuinfo(xc_interface *xch, int max_cpus, xc_cpuinfo_t *info, int *nr_cpus)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(info, (size_t)max_cpus * sizeof(*info));
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_getcpuinfo };
    int rc;

    if (xc_hypercall_bounce_pre(xch, info)) {
        return -1;
    }
    s.u.getcpuinfo.max_cpus = (uint32_t)max_cpus;
    set_xen_guest_handle(s.u.getcpuinfo.info, info);
    rc = do_sysctl(xch, &s);
    xc_hypercall_bounce_post(xch, info);
    if (nr_cpus) {
        *nr_cpus = (int)s.u.getcpuinfo.nr_cpus;
    }
    return rc;
}

int xc_availheap(xc_interface *xch, int min_width, int max_width, int node, uint64_t *bytes)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_availheap, .u.availheap = {
        .min_bitwidth = (uint32_t)min_width, .max_bitwidth = (uint32_t)max_width, .node = node,
    } };
    int rc = do_sysctl(xch, &s);

    if (!rc) {
        *bytes = s.u.availheap.avail_bytes;
    }
    return rc;
}

int xc_readconsolering(xc_interface *xch, char *buffer, unsigned int *pnr_chars, int clear,
                       int incremental, uint32_t *pindex)
{
    unsigned int count = *pnr_chars;
    DECLARE_HYPERCALL_BOUNCE_OUT(buffer, count);
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_readconsole };
    int rc;

    if (xc_hypercall_bounce_pre(xch, buffer)) {
        return -1;
    }
    set_xen_guest_handle(s.u.readconsole.buffer, buffer);
    s.u.readconsole.count = count;
    s.u.readconsole.clear = (uint8_t)clear;
    s.u.readconsole.incremental = (uint8_t)incremental;
    s.u.readconsole.index = pindex ? *pindex : 0;
    rc = do_sysctl(xch, &s);
    if (!rc) {
        *pnr_chars = s.u.readconsole.count;
        if (pindex) {
            *pindex = s.u.readconsole.index;
        }
    }
    xc_hypercall_bounce_post(xch, buffer);
    return rc;
}

int xc_send_debug_keys(xc_interface *xch, const char *keys)
{
    size_t len = strlen(keys);
    DECLARE_HYPERCALL_BOUNCE_IN(keys, len);
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_debug_keys };
    int rc;

    if (xc_hypercall_bounce_pre(xch, keys)) {
        return -1;
    }
    set_xen_guest_handle(s.u.debug_keys.keys, keys);
    s.u.debug_keys.nr_keys = (uint32_t)len;
    rc = do_sysctl(xch, &s);
    xc_hypercall_bounce_post(xch, keys);
    return rc;
}

static int cpu_hotplug(xc_interface *xch, uint32_t op, uint32_t cpu)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_cpu_hotplug, .u.cpu_hotplug = {
        .cpu = cpu, .op = op,
    } };

    return do_sysctl(xch, &s);
}

int xc_cpu_online(xc_interface *xch, int cpu)
{
    return cpu_hotplug(xch, XEN_SYSCTL_CPU_HOTPLUG_ONLINE, (uint32_t)cpu);
}

int xc_cpu_offline(xc_interface *xch, int cpu)
{
    return cpu_hotplug(xch, XEN_SYSCTL_CPU_HOTPLUG_OFFLINE, (uint32_t)cpu);
}

int xc_smt_enable(xc_interface *xch)
{
    return cpu_hotplug(xch, XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE, 0);
}

int xc_smt_disable(xc_interface *xch)
{
    return cpu_hotplug(xch, XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE, 0);
}
