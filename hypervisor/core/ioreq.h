/* SPDX-License-Identifier: MIT */
/*
 * I/O request servers: which device model takes which of a domain's accesses.
 *
 * The core keeps the books (servers, ranges, ports, who made them) and tells the domain's process,
 * which finds the server of an access and speaks with it through its pages and ports (domain/ioreq.h).
 * A server belongs to the domain that made it and stays, with nobody behind it, until it is destroyed
 * or its domain is, as in Xen.
 *
 * Its two pages lie in the domain's Xen-owned memfd. A device model gets at them as a resource
 * (XENMEM_resource_ioreq_server), or by frame number: then they take the place of a page that the
 * toolstack put aside (HVM_PARAM_IOREQ_SERVER_PFN ...) and are the guest's to see only while the
 * server is disabled.
 *
 * Never: reads or believes what the pages say.
 */
#ifndef KR_CORE_IOREQ_H
#define KR_CORE_IOREQ_H

#include "hypervisor/core/core.h"

#include <xen/hvm/dm_op.h>

#define IOREQ_NO_GFN UINT64_MAX
#define IOREQ_GFNS   64          /* frames that HVM_PARAM_IOREQ_SERVER_PFN may put aside */

struct ioreq_ranges { uint32_t nr; struct kl_ioreq_range r[KL_IOREQ_MAX_RANGES]; };

struct ioreq_server {
    domid_t emulator;
    uint8_t buffered;            /* HVM_IOREQSRV_BUFIOREQ_* */
    bool enabled;
    bool handed_out;             /* as a resource: it will not have frame numbers too */
    uint32_t buf_port;           /* 0: none */
    uint32_t nr_ports;           /* vCPUs that have theirs */
    uint32_t *port;              /* by vCPU; max_vcpus of them */
    uint64_t gfn[2];             /* of the pages, as they lie (buffered first), or IOREQ_NO_GFN */
    struct ioreq_ranges ranges[KL_IOREQ_KINDS];
};

/* All of these return 0 or Xen's -errno; `by` is the calling domain. */
int ioreq_create(struct domain *d, domid_t by, uint8_t buffered, ioservid_t *id);
int ioreq_destroy(struct domain *d, domid_t by, ioservid_t id);
int ioreq_info(struct domain *d, domid_t by, struct xen_dm_op_get_ioreq_server_info *info);
int ioreq_change_range(struct domain *d, domid_t by, const struct xen_dm_op_ioreq_server_range *r,
                       bool map);
int ioreq_set_state(struct domain *d, domid_t by, ioservid_t id, bool enabled);
/* The server whose are the writes to HVMMEM_ioreq_server frames; flags 0: no longer. */
int ioreq_map_mem_type(struct domain *d, domid_t by, ioservid_t id, uint16_t type, uint32_t flags);
bool ioreq_has_mem_server(const struct domain *d);

/* XENMEM_resource_ioreq_server: the first of nr pages of the Xen-owned memfd. */
int ioreq_resource(struct domain *d, domid_t by, uint32_t id, uint64_t frame, uint64_t nr,
                   uint64_t *first);
uint64_t ioreq_resource_size(const struct domain *d);

/* A vCPU was made: it gets its ports. */
int  ioreq_add_vcpu(struct domain *d, uint32_t vcpu);
/* Forgets all; the ports are closed with the domain's others. */
void ioreq_free(struct domain *d);

#endif
