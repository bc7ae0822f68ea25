/* SPDX-License-Identifier: MIT */
/* Access to devices: permissions, mappings, interrupts, assignment. */
#include <string.h>

#include "libxenctrl/ctrl/private.h"

/* Xen maps this many frames per call at most, and takes no longer than it may. */
#define MAP_BATCH 1024ul

int xc_domain_ioport_permission(xc_interface *xch, uint32_t domid, uint32_t first_port,
                                uint32_t nr_ports, uint32_t allow_access)
{
    struct xen_domctl d = { .u.ioport_permission = {
        .first_port = first_port, .nr_ports = nr_ports, .allow_access = (uint8_t)allow_access,
    } };

    return domctl(xch, &d, XEN_DOMCTL_ioport_permission, domid);
}

int xc_domain_irq_permission(xc_interface *xch, uint32_t domid, uint32_t pirq,
                             bool allow_access)
{
    struct xen_domctl d = { .u.irq_permission = {
        .pirq = pirq, .allow_access = allow_access,
    } };

    return domctl(xch, &d, XEN_DOMCTL_irq_permission, domid);
}

int xc_domain_iomem_permission(xc_interface *xch, uint32_t domid, unsigned long first_mfn,
                               unsigned long nr_mfns, uint8_t allow_access)
{
    struct xen_domctl d = { .u.iomem_permission = {
        .first_mfn = first_mfn, .nr_mfns = nr_mfns, .allow_access = allow_access,
    } };

    return domctl(xch, &d, XEN_DOMCTL_iomem_permission, domid);
}

int xc_domain_memory_mapping(xc_interface *xch, uint32_t domid, unsigned long first_gfn,
                             unsigned long first_mfn, unsigned long nr_mfns,
                             uint32_t add_mapping)
{
    unsigned long batch = MAP_BATCH, done = 0;
    xc_dominfo_t info;

    if (get_dominfo(xch, domid, &info)) {
        return -1;
    }
    if (!info.hvm) {
        /* PV guests map by machine frame; there is nothing to set up. */
        return 0;
    }
    while (done < nr_mfns) {
        struct xen_domctl d = { 0 };

        if (batch > nr_mfns - done) {
            batch = nr_mfns - done;
        }
        d.u.memory_mapping.first_gfn = first_gfn + done;
        d.u.memory_mapping.first_mfn = first_mfn + done;
        d.u.memory_mapping.nr_mfns = batch;
        d.u.memory_mapping.add_mapping = add_mapping;
        if (!domctl(xch, &d, XEN_DOMCTL_memory_mapping, domid)) {
            done += batch;
        } else if (errno == E2BIG && batch > 1) {
            batch /= 2;
        } else {
            int saved = errno;

            if (done && add_mapping != DPCI_REMOVE_MAPPING) {
                xc_domain_memory_mapping(xch, domid, first_gfn, first_mfn, done,
                                         DPCI_REMOVE_MAPPING);
            }
            errno = saved;
            return -1;
        }
    }
    return 0;
}

int xc_domain_ioport_mapping(xc_interface *xch, uint32_t domid, uint32_t first_gport,
                             uint32_t first_mport, uint32_t nr_ports, uint32_t add_mapping)
{
    struct xen_domctl d = { .u.ioport_mapping = {
        .first_gport = first_gport, .first_mport = first_mport, .nr_ports = nr_ports,
        .add_mapping = add_mapping,
    } };

    return domctl(xch, &d, XEN_DOMCTL_ioport_mapping, domid);
}

/* ---- assignment ------------------------------------------------------------------------- */

static int pci_device(xc_interface *xch, uint32_t cmd, uint32_t domid, uint32_t sbdf,
                      uint32_t flags)
{
    struct xen_domctl d = { .u.assign_device = {
        .dev = XEN_DOMCTL_DEV_PCI, .u.pci.machine_sbdf = sbdf, .flags = flags,
    } };

    return domctl(xch, &d, cmd, domid);
}

int xc_assign_device(xc_interface *xch, uint32_t domid, uint32_t machine_sbdf, uint32_t flag)
{
    return pci_device(xch, XEN_DOMCTL_assign_device, domid, machine_sbdf, flag);
}

int xc_test_assign_device(xc_interface *xch, uint32_t domid, uint32_t machine_sbdf)
{
    return pci_device(xch, XEN_DOMCTL_test_assign_device, domid, machine_sbdf, 0);
}

int xc_deassign_device(xc_interface *xch, uint32_t domid, uint32_t machine_sbdf)
{
    return pci_device(xch, XEN_DOMCTL_deassign_device, domid, machine_sbdf, 0);
}

int xc_get_device_group(xc_interface *xch, uint32_t domid, uint32_t machine_sbdf,
                        uint32_t max_sdevs, uint32_t *num_sdevs, uint32_t *sdev_array)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(sdev_array, max_sdevs * sizeof(*sdev_array));
    struct xen_domctl d = { .u.get_device_group = {
        .machine_sbdf = machine_sbdf, .max_sdevs = max_sdevs,
    } };
    int rc;

    if (xc_hypercall_bounce_pre(xch, sdev_array)) {
        return -1;
    }
    set_xen_guest_handle(d.u.get_device_group.sdev_array, sdev_array);
    rc = domctl(xch, &d, XEN_DOMCTL_get_device_group, domid);
    *num_sdevs = d.u.get_device_group.num_sdevs;
    xc_hypercall_bounce_post(xch, sdev_array);
    return rc;
}

static int dt_device(xc_interface *xch, uint32_t cmd, uint32_t domid, char *path)
{
    size_t size = strlen(path);
    DECLARE_HYPERCALL_BOUNCE_IN(path, size);
    struct xen_domctl d = { .u.assign_device.dev = XEN_DOMCTL_DEV_DT };
    int rc;

    if (xc_hypercall_bounce_pre(xch, path)) {
        return -1;
    }
    d.u.assign_device.u.dt.size = (uint32_t)size;
    set_xen_guest_handle(d.u.assign_device.u.dt.path, path);
    rc = domctl(xch, &d, cmd, domid);
    xc_hypercall_bounce_post(xch, path);
    return rc;
}

int xc_assign_dt_device(xc_interface *xch, uint32_t domid, char *path)
{
    return dt_device(xch, XEN_DOMCTL_assign_device, domid, path);
}

int xc_test_assign_dt_device(xc_interface *xch, uint32_t domid, char *path)
{
    return dt_device(xch, XEN_DOMCTL_test_assign_device, domid, path);
}

int xc_deassign_dt_device(xc_interface *xch, uint32_t domid, char *path)
{
    return dt_device(xch, XEN_DOMCTL_deassign_device, domid, path);
}

/* ---- interrupts ------------------------------------------------------------------------- */

int xc_physdev_map_pirq(xc_interface *xch, uint32_t domid, int index, int *pirq)
{
    struct physdev_map_pirq m = {
        .domid = (domid_t)domid, .type = MAP_PIRQ_TYPE_GSI, .index = index,
    };
    int rc;

    if (!pirq) {
        errno = EINVAL;
        return -1;
    }
    m.pirq = *pirq < 0 ? index : *pirq;
    rc = (int)do_op(xch, __HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, &m, sizeof(m));
    if (!rc) {
        *pirq = m.pirq;
    }
    return rc;
}

int xc_physdev_map_pirq_msi(xc_interface *xch, uint32_t domid, int index, int *pirq, int devfn,
                            int bus, int entry_nr, uint64_t table_base)
{
    struct physdev_map_pirq m = {
        .domid = (domid_t)domid, .type = MAP_PIRQ_TYPE_MSI, .index = index,
        .bus = bus, .devfn = devfn, .entry_nr = entry_nr, .table_base = table_base,
    };
    int rc;

    if (!pirq) {
        errno = EINVAL;
        return -1;
    }
    m.pirq = *pirq;
    rc = (int)do_op(xch, __HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, &m, sizeof(m));
    if (!rc) {
        *pirq = m.pirq;
    }
    return rc;
}

int xc_physdev_unmap_pirq(xc_interface *xch, uint32_t domid, int pirq)
{
    struct physdev_unmap_pirq u;

    /* Padding too, which is not the host's business. */
    memset(&u, 0, sizeof(u));
    u.domid = (domid_t)domid;
    u.pirq = pirq;
    return (int)do_op(xch, __HYPERVISOR_physdev_op, PHYSDEVOP_unmap_pirq, &u, sizeof(u));
}

static int msi_irq(xc_interface *xch, uint32_t cmd, uint32_t domid, uint32_t gvec, uint32_t pirq,
                   uint32_t gflags, uint64_t gtable)
{
    struct xen_domctl d = { .u.bind_pt_irq = {
        .irq_type = PT_IRQ_TYPE_MSI, .machine_irq = pirq,
        .u.msi = { .gvec = (uint8_t)gvec, .gflags = gflags, .gtable = gtable },
    } };

    return domctl(xch, &d, cmd, domid);
}

int xc_domain_update_msi_irq(xc_interface *xch, uint32_t domid, uint32_t gvec, uint32_t pirq,
                             uint32_t gflags, uint64_t gtable)
{
    return msi_irq(xch, XEN_DOMCTL_bind_pt_irq, domid, gvec, pirq, gflags, gtable);
}

int xc_domain_unbind_msi_irq(xc_interface *xch, uint32_t domid, uint32_t gvec, uint32_t pirq,
                             uint32_t gflags)
{
    return msi_irq(xch, XEN_DOMCTL_unbind_pt_irq, domid, gvec, pirq, gflags, 0);
}

static int pt_irq(xc_interface *xch, uint32_t cmd, uint32_t domid, uint8_t machine_irq,
                  uint8_t irq_type, uint8_t bus, uint8_t device, uint8_t intx, uint8_t isa_irq)
{
    struct xen_domctl d = { .u.bind_pt_irq = {
        .machine_irq = machine_irq, .irq_type = irq_type,
    } };

    switch (irq_type) {
    case PT_IRQ_TYPE_PCI:
    case PT_IRQ_TYPE_MSI_TRANSLATE:
        d.u.bind_pt_irq.u.pci.bus = bus;
        d.u.bind_pt_irq.u.pci.device = device;
        d.u.bind_pt_irq.u.pci.intx = intx;
        break;
    case PT_IRQ_TYPE_ISA:
        d.u.bind_pt_irq.u.isa.isa_irq = isa_irq;
        break;
    default:
        errno = EINVAL;
        return -1;
    }
    return domctl(xch, &d, cmd, domid);
}

int xc_domain_bind_pt_irq(xc_interface *xch, uint32_t domid, uint8_t machine_irq,
                          uint8_t irq_type, uint8_t bus, uint8_t device, uint8_t intx,
                          uint8_t isa_irq)
{
    return pt_irq(xch, XEN_DOMCTL_bind_pt_irq, domid, machine_irq, irq_type, bus, device, intx,
                  isa_irq);
}

int xc_domain_unbind_pt_irq(xc_interface *xch, uint32_t domid, uint8_t machine_irq,
                            uint8_t irq_type, uint8_t bus, uint8_t device, uint8_t intx,
                            uint8_t isa_irq)
{
    return pt_irq(xch, XEN_DOMCTL_unbind_pt_irq, domid, machine_irq, irq_type, bus, device, intx,
                  isa_irq);
}

int xc_domain_bind_pt_pci_irq(xc_interface *xch, uint32_t domid, uint8_t machine_irq,
                              uint8_t bus, uint8_t device, uint8_t intx)
{
    return xc_domain_bind_pt_irq(xch, domid, machine_irq, PT_IRQ_TYPE_PCI, bus, device, intx, 0);
}

int xc_domain_bind_pt_isa_irq(xc_interface *xch, uint32_t domid, uint8_t machine_irq)
{
    return xc_domain_bind_pt_irq(xch, domid, machine_irq, PT_IRQ_TYPE_ISA, 0, 0, 0, machine_irq);
}

/* ---- ARM -------------------------------------------------------------------------------- */

static int spi_irq(xc_interface *xch, uint32_t cmd, uint32_t domid, uint16_t vspi, uint16_t spi)
{
    struct xen_domctl d = { .u.bind_pt_irq = {
        .machine_irq = vspi, .irq_type = PT_IRQ_TYPE_SPI, .u.spi.spi = spi,
    } };

    return domctl(xch, &d, cmd, domid);
}

int xc_domain_bind_pt_spi_irq(xc_interface *xch, uint32_t domid, uint16_t vspi, uint16_t spi)
{
    return spi_irq(xch, XEN_DOMCTL_bind_pt_irq, domid, vspi, spi);
}

int xc_domain_unbind_pt_spi_irq(xc_interface *xch, uint32_t domid, uint16_t vspi, uint16_t spi)
{
    return spi_irq(xch, XEN_DOMCTL_unbind_pt_irq, domid, vspi, spi);
}

int xc_dom_vuart_init(xc_interface *xch, uint32_t type, uint32_t domid, uint32_t console_domid,
                      xen_pfn_t gfn, evtchn_port_t *evtchn)
{
    struct xen_domctl d = { .u.vuart_op = {
        .cmd = XEN_DOMCTL_VUART_OP_INIT, .type = type, .console_domid = (domid_t)console_domid,
        .gfn = gfn,
    } };
    int rc = domctl(xch, &d, XEN_DOMCTL_vuart_op, domid);

    if (!rc) {
        *evtchn = d.u.vuart_op.evtchn;
    }
    return rc;
}

/* ---- no longer in Xen ------------------------------------------------------------------- */

int xc_physdev_pci_access_modify(xc_interface *xch, uint32_t domid, int bus, int dev, int func,
                                 int enable)
{
    errno = ENOSYS;
    xc_debug(xch, "Xen does not offer PCI device %02x:%02x.%x to domain %u this way", bus, dev,
             func, domid);
    return -1;
}
