/* SPDX-License-Identifier: MIT */
/*
 * What a device model does to its domain: I/O request servers, interrupts, tracked memory. Each
 * call is one operation of <xen/hvm/dm_op.h>, where the structures' fields are.
 *
 * Handles may be shared by threads. After fork() the child may only close a handle. Unless said
 * otherwise, functions return 0, or -1 with errno, and log nothing.
 */
#ifndef XENDEVICEMODEL_H
#define XENDEVICEMODEL_H

#include <stdint.h>

#include <xen/xen.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>

struct xentoollog_logger;

typedef struct xendevicemodel_handle xendevicemodel_handle;

/* No flags exist. Logs why it fails; NULL with errno. */
xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger,
                                           unsigned int open_flags);
/* NULL is fine. */
int xendevicemodel_close(xendevicemodel_handle *dmod);

/*
 * I/O request servers. Creation (handle_bufioreq: HVM_IOREQSRV_BUFIOREQ_*) gives an id that the
 * others take. A new server is disabled: it gets no requests until its state is set to 1.
 */
int xendevicemodel_create_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                       int handle_bufioreq, ioservid_t *id);
int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                        ioservid_t id);
int xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *dmod, domid_t domid,
                                          ioservid_t id, int enabled);

/* The pages and the port of a server; results that are not wanted may be NULL. */
int xendevicemodel_get_ioreq_server_info(xendevicemodel_handle *dmod, domid_t domid,
                                         ioservid_t id, xen_pfn_t *ioreq_gfn,
                                         xen_pfn_t *bufioreq_gfn, evtchn_port_t *bufioreq_port);

/* Which accesses go to a server: ranges of ports or memory (end is the last one in it) ... */
int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                                ioservid_t id, int is_mmio, uint64_t start,
                                                uint64_t end);
int xendevicemodel_unmap_io_range_from_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                                    ioservid_t id, int is_mmio, uint64_t start,
                                                    uint64_t end);

/* ... configuration space of PCI devices ... */
int xendevicemodel_map_pcidev_to_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                              ioservid_t id, uint16_t segment, uint8_t bus,
                                              uint8_t device, uint8_t function);
int xendevicemodel_unmap_pcidev_from_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                                  ioservid_t id, uint16_t segment, uint8_t bus,
                                                  uint8_t device, uint8_t function);

/* ... and pages of a type (HVMMEM_ioreq_server). flags: the accesses; 0 undoes it. */
int xendevicemodel_map_mem_type_to_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                                ioservid_t id, uint16_t type, uint32_t flags);

/* Interrupt lines. level: 1 asserted, 0 not; intx: 0 to 3 for INTA to INTD. */
int xendevicemodel_set_pci_intx_level(xendevicemodel_handle *dmod, domid_t domid,
                                      uint16_t segment, uint8_t bus, uint8_t device,
                                      uint8_t intx, unsigned int level);
int xendevicemodel_set_isa_irq_level(xendevicemodel_handle *dmod, domid_t domid, uint8_t irq,
                                     unsigned int level);
int xendevicemodel_set_irq_level(xendevicemodel_handle *dmod, domid_t domid, unsigned int irq,
                                 unsigned int level);

/* Routes PCI link (0 to 3) to an ISA interrupt. */
int xendevicemodel_set_pci_link_route(xendevicemodel_handle *dmod, domid_t domid, uint8_t link,
                                      uint8_t irq);

int xendevicemodel_inject_msi(xendevicemodel_handle *dmod, domid_t domid, uint64_t msi_addr,
                              uint32_t msi_data);

/*
 * Starts or goes on tracking writes to nr pages from first_pfn on; dirty_bitmap receives a bit per
 * page written since the last call. nr 0 ends it.
 */
int xendevicemodel_track_dirty_vram(xendevicemodel_handle *dmod, domid_t domid,
                                    uint64_t first_pfn, uint32_t nr, unsigned long *dirty_bitmap);

/* Tells that the device model has written to the guest's pages, for those who track them. */
int xendevicemodel_modified_memory(xendevicemodel_handle *dmod, domid_t domid,
                                   uint64_t first_pfn, uint32_t nr);
int xendevicemodel_modified_memory_bulk(xendevicemodel_handle *dmod, domid_t domid,
                                        struct xen_dm_op_modified_memory_extent extents[],
                                        uint32_t nr);

int xendevicemodel_set_mem_type(xendevicemodel_handle *dmod, domid_t domid,
                                hvmmem_type_t mem_type, uint64_t first_pfn, uint32_t nr);

/*
 * An event for a vCPU when it next runs. type: XEN_DMOP_EVENT_*; error_code: ~0 for none; extra:
 * %cr2 for page faults, pending bits for debug exceptions.
 */
int xendevicemodel_inject_event(xendevicemodel_handle *dmod, domid_t domid, int vcpu,
                                uint8_t vector, uint8_t type, uint32_t error_code,
                                uint8_t insn_len, uint64_t extra);

/* reason: SHUTDOWN_*. */
int xendevicemodel_shutdown(xendevicemodel_handle *dmod, domid_t domid, unsigned int reason);

/* Moves size pages of the guest from src_gfn to dst_gfn. */
int xendevicemodel_relocate_memory(xendevicemodel_handle *dmod, domid_t domid, uint32_t size,
                                   uint64_t src_gfn, uint64_t dst_gfn);

/* type: XEN_DMOP_MEM_CACHEATTR_*; end is the last page in it. */
int xendevicemodel_pin_memory_cacheattr(xendevicemodel_handle *dmod, domid_t domid,
                                        uint64_t start, uint64_t end, uint32_t type);

int xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod, domid_t domid, unsigned int *vcpus);

/* The handle can affect domid only, from now on. */
int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid);

#endif
