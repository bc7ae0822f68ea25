/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "libxenctrl/devicemodel/private.h"

static int restrict_handle(Xentoolcore__Active_Handle *ah, domid_t domid)
{
    xendevicemodel_handle *d = (void *)((char *)ah - offsetof(xendevicemodel_handle, ah));

    return d->fd < 0 ? 0 : d->ops->restrict_to(d, domid);
}

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger,
                                           unsigned int open_flags)
{
    xendevicemodel_handle *d;
    int saved;

    if (open_flags) {
        errno = EINVAL;
        return NULL;
    }
    d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->fd = -1;
    d->ops = kt_choose() == KT_CORE ? &dm_core_ops : &dm_dev_ops;
    d->ah.restrict_callback = restrict_handle;
    xentoolcore__register_active_handle(&d->ah);
    if (!kt_log_init(&d->log, logger) && !d->ops->open(d))
        return d;
    saved = errno;
    xentoolcore__deregister_active_handle(&d->ah);
    kt_log_fini(&d->log);
    free(d);
    errno = saved;
    return NULL;
}

int xendevicemodel_close(xendevicemodel_handle *d)
{
    if (!d)
        return 0;
    d->ops->close(d);
    xentoolcore__deregister_active_handle(&d->ah);
    kt_log_fini(&d->log);
    free(d);
    return 0;
}

int xendevicemodel_restrict(xendevicemodel_handle *d, domid_t domid)
{
    return d->ops->restrict_to(d, domid);
}

/* Issues an operation without further buffers; results are in op afterwards. */
static int issue(xendevicemodel_handle *d, domid_t domid, struct xen_dm_op *op)
{
    struct dm_buf buf = {op, sizeof(*op)};

    return d->ops->op(d, domid, 1, &buf);
}

/* The same with a second buffer. */
static int issue_with(xendevicemodel_handle *d, domid_t domid, struct xen_dm_op *op, void *p,
                      size_t size)
{
    struct dm_buf bufs[2] = {{op, sizeof(*op)}, {p, size}};

    return d->ops->op(d, domid, 2, bufs);
}

int xendevicemodel_create_ioreq_server(xendevicemodel_handle *d, domid_t domid,
                                       int handle_bufioreq, ioservid_t *id)
{
    struct xen_dm_op op = {.op = XEN_DMOP_create_ioreq_server,
                           .u.create_ioreq_server = {.handle_bufioreq = handle_bufioreq}};

    if (issue(d, domid, &op))
        return -1;
    *id = op.u.create_ioreq_server.id;
    return 0;
}

int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *d, domid_t domid, ioservid_t id)
{
    struct xen_dm_op op = {.op = XEN_DMOP_destroy_ioreq_server,
                           .u.destroy_ioreq_server = {.id = id}};

    return issue(d, domid, &op);
}

int xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *d, domid_t domid, ioservid_t id,
                                          int enabled)
{
    struct xen_dm_op op = {.op = XEN_DMOP_set_ioreq_server_state,
                           .u.set_ioreq_server_state = {.id = id, .enabled = !!enabled}};

    return issue(d, domid, &op);
}

int xendevicemodel_get_ioreq_server_info(xendevicemodel_handle *d, domid_t domid, ioservid_t id,
                                         xen_pfn_t *ioreq_gfn, xen_pfn_t *bufioreq_gfn,
                                         evtchn_port_t *bufioreq_port)
{
    struct xen_dm_op op = {.op = XEN_DMOP_get_ioreq_server_info,
                           .u.get_ioreq_server_info = {.id = id}};
    struct xen_dm_op_get_ioreq_server_info *info = &op.u.get_ioreq_server_info;

    /* Asking for the pages' frame numbers puts them into the guest; map_resource does not. */
    if (!ioreq_gfn && !bufioreq_gfn)
        info->flags |= XEN_DMOP_no_gfns;
    if (issue(d, domid, &op))
        return -1;
    if (ioreq_gfn)
        *ioreq_gfn = info->ioreq_gfn;
    if (bufioreq_gfn)
        *bufioreq_gfn = info->bufioreq_gfn;
    if (bufioreq_port)
        *bufioreq_port = info->bufioreq_port;
    return 0;
}

/* Both directions have one layout in one place of the union. */
static int change_range(xendevicemodel_handle *d, domid_t domid, uint32_t cmd, ioservid_t id,
                        uint32_t type, uint64_t start, uint64_t end)
{
    struct xen_dm_op op = {
        .op = cmd,
        .u.map_io_range_to_ioreq_server = {.id = id, .type = type, .start = start, .end = end}};

    return issue(d, domid, &op);
}

int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *d, domid_t domid,
                                                ioservid_t id, int is_mmio, uint64_t start,
                                                uint64_t end)
{
    return change_range(d, domid, XEN_DMOP_map_io_range_to_ioreq_server, id,
                        is_mmio ? XEN_DMOP_IO_RANGE_MEMORY : XEN_DMOP_IO_RANGE_PORT, start, end);
}

int xendevicemodel_unmap_io_range_from_ioreq_server(xendevicemodel_handle *d, domid_t domid,
                                                    ioservid_t id, int is_mmio, uint64_t start,
                                                    uint64_t end)
{
    return change_range(d, domid, XEN_DMOP_unmap_io_range_from_ioreq_server, id,
                        is_mmio ? XEN_DMOP_IO_RANGE_MEMORY : XEN_DMOP_IO_RANGE_PORT, start, end);
}

int xendevicemodel_map_pcidev_to_ioreq_server(xendevicemodel_handle *d, domid_t domid,
                                              ioservid_t id, uint16_t segment, uint8_t bus,
                                              uint8_t device, uint8_t function)
{
    uint32_t sbdf = XEN_DMOP_PCI_SBDF((uint32_t)segment, bus, device, function);

    if (device > 0x1f || function > 0x7) {
        errno = EINVAL;
        return -1;
    }
    return change_range(d, domid, XEN_DMOP_map_io_range_to_ioreq_server, id,
                        XEN_DMOP_IO_RANGE_PCI, sbdf, sbdf);
}

int xendevicemodel_unmap_pcidev_from_ioreq_server(xendevicemodel_handle *d, domid_t domid,
                                                  ioservid_t id, uint16_t segment, uint8_t bus,
                                                  uint8_t device, uint8_t function)
{
    uint32_t sbdf = XEN_DMOP_PCI_SBDF((uint32_t)segment, bus, device, function);

    if (device > 0x1f || function > 0x7) {
        errno = EINVAL;
        return -1;
    }
    return change_range(d, domid, XEN_DMOP_unmap_io_range_from_ioreq_server, id,
                        XEN_DMOP_IO_RANGE_PCI, sbdf, sbdf);
}

int xendevicemodel_map_mem_type_to_ioreq_server(xendevicemodel_handle *d, domid_t domid,
                                                ioservid_t id, uint16_t type, uint32_t flags)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_map_mem_type_to_ioreq_server,
        .u.map_mem_type_to_ioreq_server = {.id = id, .type = type, .flags = flags}};

    if (type != HVMMEM_ioreq_server || (flags & ~XEN_DMOP_IOREQ_MEM_ACCESS_WRITE)) {
        errno = EINVAL;
        return -1;
    }
    return issue(d, domid, &op);
}

int xendevicemodel_set_pci_intx_level(xendevicemodel_handle *d, domid_t domid, uint16_t segment,
                                      uint8_t bus, uint8_t device, uint8_t intx,
                                      unsigned int level)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_set_pci_intx_level,
        .u.set_pci_intx_level = {.domain = segment, .bus = bus, .device = device, .intx = intx,
                                 .level = level}};

    return issue(d, domid, &op);
}

int xendevicemodel_set_isa_irq_level(xendevicemodel_handle *d, domid_t domid, uint8_t irq,
                                     unsigned int level)
{
    struct xen_dm_op op = {.op = XEN_DMOP_set_isa_irq_level,
                           .u.set_isa_irq_level = {.isa_irq = irq, .level = level}};

    return issue(d, domid, &op);
}

int xendevicemodel_set_irq_level(xendevicemodel_handle *d, domid_t domid, unsigned int irq,
                                 unsigned int level)
{
    struct xen_dm_op op = {.op = XEN_DMOP_set_irq_level,
                           .u.set_irq_level = {.irq = irq, .level = level}};

    return issue(d, domid, &op);
}

int xendevicemodel_set_pci_link_route(xendevicemodel_handle *d, domid_t domid, uint8_t link,
                                      uint8_t irq)
{
    struct xen_dm_op op = {.op = XEN_DMOP_set_pci_link_route,
                           .u.set_pci_link_route = {.link = link, .isa_irq = irq}};

    return issue(d, domid, &op);
}

int xendevicemodel_inject_msi(xendevicemodel_handle *d, domid_t domid, uint64_t msi_addr,
                              uint32_t msi_data)
{
    struct xen_dm_op op = {.op = XEN_DMOP_inject_msi,
                           .u.inject_msi = {.addr = msi_addr, .data = msi_data}};

    return issue(d, domid, &op);
}

int xendevicemodel_track_dirty_vram(xendevicemodel_handle *d, domid_t domid, uint64_t first_pfn,
                                    uint32_t nr, unsigned long *dirty_bitmap)
{
    struct xen_dm_op op = {.op = XEN_DMOP_track_dirty_vram,
                           .u.track_dirty_vram = {.first_pfn = first_pfn, .nr = nr}};

    return issue_with(d, domid, &op, dirty_bitmap, ((size_t)nr + 7) / 8);
}

int xendevicemodel_modified_memory_bulk(xendevicemodel_handle *d, domid_t domid,
                                        struct xen_dm_op_modified_memory_extent extents[],
                                        uint32_t nr)
{
    struct xen_dm_op op = {.op = XEN_DMOP_modified_memory,
                           .u.modified_memory = {.nr_extents = nr}};

    return issue_with(d, domid, &op, extents, (size_t)nr * sizeof(extents[0]));
}

int xendevicemodel_modified_memory(xendevicemodel_handle *d, domid_t domid, uint64_t first_pfn,
                                   uint32_t nr)
{
    struct xen_dm_op_modified_memory_extent extent = {.first_pfn = first_pfn, .nr = nr};

    return xendevicemodel_modified_memory_bulk(d, domid, &extent, 1);
}

int xendevicemodel_set_mem_type(xendevicemodel_handle *d, domid_t domid, hvmmem_type_t mem_type,
                                uint64_t first_pfn, uint32_t nr)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_set_mem_type,
        .u.set_mem_type = {.mem_type = mem_type, .first_pfn = first_pfn, .nr = nr}};

    return issue(d, domid, &op);
}

int xendevicemodel_inject_event(xendevicemodel_handle *d, domid_t domid, int vcpu, uint8_t vector,
                                uint8_t type, uint32_t error_code, uint8_t insn_len,
                                uint64_t extra)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_inject_event,
        .u.inject_event = {.vcpuid = vcpu, .vector = vector, .type = type,
                           .error_code = error_code, .insn_len = insn_len, .cr2 = extra}};

    return issue(d, domid, &op);
}

int xendevicemodel_shutdown(xendevicemodel_handle *d, domid_t domid, unsigned int reason)
{
    struct xen_dm_op op = {.op = XEN_DMOP_remote_shutdown,
                           .u.remote_shutdown = {.reason = reason}};

    return issue(d, domid, &op);
}

int xendevicemodel_relocate_memory(xendevicemodel_handle *d, domid_t domid, uint32_t size,
                                   uint64_t src_gfn, uint64_t dst_gfn)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_relocate_memory,
        .u.relocate_memory = {.size = size, .src_gfn = src_gfn, .dst_gfn = dst_gfn}};

    return issue(d, domid, &op);
}

int xendevicemodel_pin_memory_cacheattr(xendevicemodel_handle *d, domid_t domid, uint64_t start,
                                        uint64_t end, uint32_t type)
{
    struct xen_dm_op op = {.op = XEN_DMOP_pin_memory_cacheattr,
                           .u.pin_memory_cacheattr = {.start = start, .end = end, .type = type}};

    return issue(d, domid, &op);
}

int xendevicemodel_nr_vcpus(xendevicemodel_handle *d, domid_t domid, unsigned int *vcpus)
{
    struct xen_dm_op op = {.op = XEN_DMOP_nr_vcpus};

    if (issue(d, domid, &op))
        return -1;
    *vcpus = op.u.nr_vcpus.vcpus;
    return 0;
}
