/* SPDX-License-Identifier: MIT */
/*
 * The one table of who may issue what. An op that has no row does not exist here. WHO_GUEST ops
 * name a domain in their arguments, which hc_target() checks in turn.
 */
#include "hypervisor/core/hypercall.h"

#include <stdint.h>

#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hypfs.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/version.h>

#define R(call, sub, who) { __HYPERVISOR_##call, sub, who, #sub }

const struct hc_rule hc_rules[] = {
    R(memory_op, XENMEM_decrease_reservation, WHO_GUEST),
    R(memory_op, XENMEM_populate_physmap, WHO_GUEST),
    R(memory_op, XENMEM_exchange, WHO_GUEST),
    R(memory_op, XENMEM_maximum_ram_page, WHO_ANY),
    R(memory_op, XENMEM_current_reservation, WHO_GUEST),
    R(memory_op, XENMEM_maximum_reservation, WHO_GUEST),
    R(memory_op, XENMEM_maximum_gpfn, WHO_GUEST),
    R(memory_op, XENMEM_add_to_physmap, WHO_GUEST),
    R(memory_op, XENMEM_add_to_physmap_batch, WHO_GUEST),
    R(memory_op, XENMEM_remove_from_physmap, WHO_GUEST),
    R(memory_op, XENMEM_memory_map, WHO_ANY),
    R(memory_op, XENMEM_machine_memory_map, WHO_CONTROL),
    R(memory_op, XENMEM_set_memory_map, WHO_CONTROL),
    R(memory_op, XENMEM_set_pod_target, WHO_CONTROL),
    R(memory_op, XENMEM_get_pod_target, WHO_CONTROL),
    R(memory_op, XENMEM_get_sharing_freed_pages, WHO_ANY),
    R(memory_op, XENMEM_get_sharing_shared_pages, WHO_ANY),
    R(memory_op, XENMEM_claim_pages, WHO_CONTROL),
    R(memory_op, XENMEM_reserved_device_memory_map, WHO_ANY),
    R(memory_op, XENMEM_acquire_resource, WHO_GUEST),
    R(memory_op, XENMEM_get_vnumainfo, WHO_GUEST),

    R(event_channel_op, EVTCHNOP_bind_interdomain, WHO_ANY),
    R(event_channel_op, EVTCHNOP_bind_virq, WHO_ANY),
    R(event_channel_op, EVTCHNOP_close, WHO_ANY),
    R(event_channel_op, EVTCHNOP_send, WHO_ANY),
    R(event_channel_op, EVTCHNOP_status, WHO_GUEST),
    R(event_channel_op, EVTCHNOP_alloc_unbound, WHO_GUEST),
    R(event_channel_op, EVTCHNOP_bind_ipi, WHO_ANY),
    R(event_channel_op, EVTCHNOP_bind_vcpu, WHO_ANY),
    R(event_channel_op, EVTCHNOP_reset, WHO_GUEST),

    R(grant_table_op, GNTTABOP_map_grant_ref, WHO_ANY),
    R(grant_table_op, GNTTABOP_unmap_grant_ref, WHO_ANY),
    R(grant_table_op, GNTTABOP_unmap_and_replace, WHO_ANY),
    R(grant_table_op, GNTTABOP_setup_table, WHO_GUEST),
    R(grant_table_op, GNTTABOP_copy, WHO_ANY),
    R(grant_table_op, GNTTABOP_query_size, WHO_GUEST),
    R(grant_table_op, GNTTABOP_set_version, WHO_ANY),
    R(grant_table_op, GNTTABOP_get_version, WHO_GUEST),
    R(grant_table_op, GNTTABOP_get_status_frames, WHO_GUEST),
    R(grant_table_op, GNTTABOP_swap_grant_ref, WHO_ANY),

    R(sched_op, SCHEDOP_shutdown, WHO_ANY),
    R(sched_op, SCHEDOP_shutdown_code, WHO_ANY),
    R(sched_op, SCHEDOP_remote_shutdown, WHO_CONTROL),
    R(sched_op, SCHEDOP_watchdog, WHO_ANY),
    R(sched_op, SCHEDOP_pin_override, WHO_CONTROL),

    R(xen_version, XENVER_version, WHO_ANY),
    R(xen_version, XENVER_extraversion, WHO_ANY),
    R(xen_version, XENVER_compile_info, WHO_ANY),
    R(xen_version, XENVER_capabilities, WHO_ANY),
    R(xen_version, XENVER_changeset, WHO_ANY),
    R(xen_version, XENVER_platform_parameters, WHO_ANY),
    R(xen_version, XENVER_get_features, WHO_ANY),
    R(xen_version, XENVER_pagesize, WHO_ANY),
    R(xen_version, XENVER_guest_handle, WHO_ANY),
    R(xen_version, XENVER_commandline, WHO_ANY),
    R(xen_version, XENVER_build_id, WHO_ANY),

    R(console_io, CONSOLEIO_write, WHO_ANY),
    R(console_io, CONSOLEIO_read, WHO_CONTROL),

    R(hvm_op, HVMOP_set_param, WHO_GUEST),
    R(hvm_op, HVMOP_get_param, WHO_GUEST),
    R(hvm_op, HVMOP_get_time, WHO_ANY),
    R(hvm_op, HVMOP_pagetable_dying, WHO_ANY),

    R(dm_op, XEN_DMOP_create_ioreq_server, WHO_CONTROL),
    R(dm_op, XEN_DMOP_get_ioreq_server_info, WHO_CONTROL),
    R(dm_op, XEN_DMOP_map_io_range_to_ioreq_server, WHO_CONTROL),
    R(dm_op, XEN_DMOP_unmap_io_range_from_ioreq_server, WHO_CONTROL),
    R(dm_op, XEN_DMOP_set_ioreq_server_state, WHO_CONTROL),
    R(dm_op, XEN_DMOP_destroy_ioreq_server, WHO_CONTROL),
    R(dm_op, XEN_DMOP_track_dirty_vram, WHO_CONTROL),
    R(dm_op, XEN_DMOP_set_pci_intx_level, WHO_CONTROL),
    R(dm_op, XEN_DMOP_set_isa_irq_level, WHO_CONTROL),
    R(dm_op, XEN_DMOP_set_pci_link_route, WHO_CONTROL),
    R(dm_op, XEN_DMOP_modified_memory, WHO_CONTROL),
    R(dm_op, XEN_DMOP_set_mem_type, WHO_CONTROL),
    R(dm_op, XEN_DMOP_inject_event, WHO_CONTROL),
    R(dm_op, XEN_DMOP_inject_msi, WHO_CONTROL),
    R(dm_op, XEN_DMOP_map_mem_type_to_ioreq_server, WHO_CONTROL),
    R(dm_op, XEN_DMOP_remote_shutdown, WHO_CONTROL),
    R(dm_op, XEN_DMOP_relocate_memory, WHO_CONTROL),
    R(dm_op, XEN_DMOP_pin_memory_cacheattr, WHO_CONTROL),
    R(dm_op, XEN_DMOP_nr_vcpus, WHO_CONTROL),

    R(hypfs_op, XEN_HYPFS_OP_get_version, WHO_CONTROL),
    R(hypfs_op, XEN_HYPFS_OP_read, WHO_CONTROL),
    R(hypfs_op, XEN_HYPFS_OP_write_contents, WHO_CONTROL),

    R(domctl, XEN_DOMCTL_createdomain, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_destroydomain, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_pausedomain, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_unpausedomain, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_getdomaininfo, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_setvcpuaffinity, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_getvcpuaffinity, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_setnodeaffinity, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_getnodeaffinity, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_max_mem, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_getvcpucontext, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_getvcpuinfo, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_max_vcpus, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_scheduler_op, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_setdomainhandle, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_setdebugging, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_hypercall_init, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_settimeoffset, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_resumedomain, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_sendtrigger, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_subscribe, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_gethvmcontext, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_sethvmcontext, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_gethvmcontext_partial, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_get_address_size, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_gettscinfo, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_settscinfo, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_get_cpu_policy, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_set_cpu_policy, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_get_paging_mempool_size, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_set_paging_mempool_size, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_irq_permission, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_iomem_permission, WHO_CONTROL),
    R(domctl, XEN_DOMCTL_ioport_permission, WHO_CONTROL),

    R(sysctl, XEN_SYSCTL_readconsole, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_physinfo, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_sched_id, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_getdomaininfolist, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_debug_keys, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_getcpuinfo, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_availheap, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_cputopoinfo, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_numainfo, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_cpupool_op, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_scheduler_op, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_pcitopoinfo, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_get_cpu_levelling_caps, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_get_cpu_featureset, WHO_CONTROL),
    R(sysctl, XEN_SYSCTL_get_cpu_policy, WHO_CONTROL),

    R(platform_op, XENPF_settime64, WHO_CONTROL),
    R(platform_op, XENPF_firmware_info, WHO_CONTROL),
    R(platform_op, XENPF_get_cpuinfo, WHO_CONTROL),
};
const unsigned hc_nr_rules = KR_ARRAY_SIZE(hc_rules);

static const struct hc_rule *find(uint64_t hypercall, uint64_t sub)
{
    for (unsigned i = 0; i < hc_nr_rules; i++) {
        if (hc_rules[i].hypercall == hypercall && hc_rules[i].sub == sub) {
            return &hc_rules[i];
        }
    }
    return NULL;
}

enum hc_who hc_who(uint64_t hypercall, uint64_t sub)
{
    const struct hc_rule *r = find(hypercall, sub);

    return r ? (enum hc_who)r->who : WHO_NONE;
}
