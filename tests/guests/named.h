/* SPDX-License-Identifier: MIT */
/*
 * The ops whose arguments name a domain, which a guest may use on itself: where the argument names it,
 * and what Xen answers a guest without control that names another. For the guest unprivileged.c and the
 * core's unit test, which also checks that every such op of the privilege table is here.
 */
#ifndef KR_TESTS_NAMED_H
#define KR_TESTS_NAMED_H

#include <stddef.h>
#include <stdint.h>

#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>

#define NAMED_RC     0xffff      /* status_at: the answer is the hypercall's result */
#define NAMED_EPERM  (-1)
#define NAMED_EACCES (-13)

struct named {
    uint16_t call, sub;
    uint16_t domid_at, domid_also_at;    /* bytes into the argument; the same twice if there is one */
    uint16_t status_at;                  /* of an int16_t, or NAMED_RC */
    int16_t expect;
    const char *name;
};

#define NAMED(call, sub, type, field, status, expect) \
    { __HYPERVISOR_##call, sub, offsetof(struct type, field), offsetof(struct type, field), status, \
      expect, #sub }
#define NAMED_STATUS(sub, type) \
    NAMED(grant_table_op, sub, type, dom, offsetof(struct type, status), GNTST_permission_denied)

static const struct named named_ops[] = {
    /* Xen says of these two how many extents it did: none */
    NAMED(memory_op, XENMEM_decrease_reservation, xen_memory_reservation, domid, NAMED_RC, 0),
    NAMED(memory_op, XENMEM_populate_physmap, xen_memory_reservation, domid, NAMED_RC, 0),
    { __HYPERVISOR_memory_op, XENMEM_exchange, offsetof(struct xen_memory_exchange, in.domid),
      offsetof(struct xen_memory_exchange, out.domid), NAMED_RC, NAMED_EPERM, "XENMEM_exchange" },
    { __HYPERVISOR_memory_op, XENMEM_current_reservation, 0, 0, NAMED_RC, NAMED_EPERM,
      "XENMEM_current_reservation" },
    { __HYPERVISOR_memory_op, XENMEM_maximum_reservation, 0, 0, NAMED_RC, NAMED_EPERM,
      "XENMEM_maximum_reservation" },
    { __HYPERVISOR_memory_op, XENMEM_maximum_gpfn, 0, 0, NAMED_RC, NAMED_EPERM, "XENMEM_maximum_gpfn" },
    NAMED(memory_op, XENMEM_add_to_physmap, xen_add_to_physmap, domid, NAMED_RC, NAMED_EPERM),
    NAMED(memory_op, XENMEM_add_to_physmap_batch, xen_add_to_physmap_batch, domid, NAMED_RC, NAMED_EPERM),
    NAMED(memory_op, XENMEM_remove_from_physmap, xen_remove_from_physmap, domid, NAMED_RC, NAMED_EPERM),
    NAMED(memory_op, XENMEM_acquire_resource, xen_mem_acquire_resource, domid, NAMED_RC, NAMED_EACCES),
    NAMED(memory_op, XENMEM_get_vnumainfo, xen_vnuma_topology_info, domid, NAMED_RC, NAMED_EPERM),
    NAMED(event_channel_op, EVTCHNOP_status, evtchn_status, dom, NAMED_RC, NAMED_EPERM),
    NAMED(event_channel_op, EVTCHNOP_alloc_unbound, evtchn_alloc_unbound, dom, NAMED_RC, NAMED_EPERM),
    NAMED(event_channel_op, EVTCHNOP_reset, evtchn_reset, dom, NAMED_RC, NAMED_EPERM),
    NAMED_STATUS(GNTTABOP_setup_table, gnttab_setup_table),
    NAMED_STATUS(GNTTABOP_query_size, gnttab_query_size),
    NAMED_STATUS(GNTTABOP_get_status_frames, gnttab_get_status_frames),
    NAMED(grant_table_op, GNTTABOP_get_version, gnttab_get_version, dom, NAMED_RC, NAMED_EPERM),
    NAMED(hvm_op, HVMOP_set_param, xen_hvm_param, domid, NAMED_RC, NAMED_EPERM),
    NAMED(hvm_op, HVMOP_get_param, xen_hvm_param, domid, NAMED_RC, NAMED_EPERM),
};
#define NR_NAMED (sizeof(named_ops) / sizeof(named_ops[0]))

/* Fills the argument of an op (4096 bytes, all zero) so that it fails for its domain alone. */
static inline void named_fill(const struct named *n, uint8_t *arg, uint16_t domid)
{
    struct xen_memory_exchange *x = (void *)arg;

    if (n->call == __HYPERVISOR_memory_op && n->sub == XENMEM_exchange) {
        x->in.nr_extents = x->out.nr_extents = 1;
    }
    arg[n->domid_at] = arg[n->domid_also_at] = (uint8_t)domid;
    arg[n->domid_at + 1] = arg[n->domid_also_at + 1] = (uint8_t)(domid >> 8);
}

#endif
