/* SPDX-License-Identifier: MIT */
/*
 * What 4.17's library exports and this one does not do: the table is the list. Each says so on
 * stderr, as it is called with nothing that could be trusted to be a logger, and fails with errno
 * EOPNOTSUPP.
 *
 * All but the first ones are parts of that library's inside, exported by the way: no header of 4.17
 * declares them, their arguments are its private structures.
 */
#include <errno.h>
#include <stdio.h>

#include "libxenctrl/ctrl/private.h"

#include <xenguest.h>

/* ---- public ----------------------------------------------------------------------------- */

static int not_supported(xc_interface *xch, const char *what, uint32_t domid)
{
    errno = EOPNOTSUPP;
    xc_error(xch, "domain %u: %s is not supported", domid, what);
    errno = EOPNOTSUPP;
    return -1;
}

int xc_domain_save(xc_interface *xch, int io_fd, uint32_t dom, uint32_t flags,
                   struct save_callbacks *callbacks, xc_stream_type_t stream_type, int recv_fd)
{
    return not_supported(xch, "saving", dom);
}

int xc_domain_restore(xc_interface *xch, int io_fd, uint32_t dom, unsigned int store_evtchn,
                      unsigned long *store_mfn, uint32_t store_domid,
                      unsigned int console_evtchn, unsigned long *console_mfn,
                      uint32_t console_domid, xc_stream_type_t stream_type,
                      struct restore_callbacks *callbacks, int send_back_fd)
{
    return not_supported(xch, "restoring", dom);
}

/* ---- the inside ------------------------------------------------------------------------- */

static long unsupported(const char *name, long result)
{
    fprintf(stderr, "libxenguest: %s is not supported\n", name);
    errno = EOPNOTSUPP;
    return result;
}

/* A whole register: what an int, a bool and a pointer are returned in. */
#define FAILS(name) \
    long name(void); \
    long name(void) { return unsupported(#name, -1); }
#define NULLS(name) \
    long name(void); \
    long name(void) { return unsupported(#name, 0); }

/* Migration. */
FAILS(cr3_to_mfn)
FAILS(dump_bad_pseudophysmap_entry)
FAILS(handle_static_data_end)
FAILS(handle_x86_cpuid_policy)
FAILS(handle_x86_msr_policy)
FAILS(handle_x86_tsc_info)
NULLS(mfn_in_pseudophysmap)
FAILS(mfn_to_cr3)
FAILS(mfn_to_pfn)
FAILS(populate_pfns)
FAILS(read_record)
FAILS(write_split_record)
FAILS(write_x86_cpu_policy_records)
FAILS(write_x86_tsc_info)
FAILS(x86_pv_domain_info)
FAILS(x86_pv_map_m2p)
FAILS(x86_static_data_complete)

/* CPU policies as one structure each. */
FAILS(x86_cpu_featureset_to_policy)
FAILS(x86_cpu_policies_are_compatible)
FAILS(x86_cpu_policy_clear_out_of_range_leaves)
FAILS(x86_cpu_policy_fill_native)
FAILS(x86_cpu_policy_recalc_synth)
FAILS(x86_cpu_policy_to_featureset)
FAILS(x86_cpuid_copy_from_buffer)
FAILS(x86_cpuid_copy_to_buffer)
FAILS(x86_msr_copy_from_buffer)
FAILS(x86_msr_copy_to_buffer)

/* Core dumps. */
FAILS(xc_core_arch_get_scratch_gpfn)
FAILS(xc_core_arch_gpfn_may_present)
FAILS(xc_core_arch_map_p2m)
FAILS(xc_core_arch_map_p2m_writable)
FAILS(xc_core_arch_memory_map_get)
NULLS(xc_core_shdr_get)
FAILS(xc_core_shdr_set)

/* Images. */
FAILS(lz4_decompress_unknownoutputsize)
FAILS(elf_load_binary)
FAILS(elf_parse_binary)
FAILS(elf_parse_bsdsyms)
FAILS(elf_xen_parse)
FAILS(elf_xen_parse_features)
FAILS(elf_xen_parse_guest_info)
FAILS(elf_xen_parse_note)

/* Tables of functions (loaders with a name before theirs): as many as the longest has. */
#define TABLE(name, first) \
    static long name##_member(void) { return unsupported(#name, -1); } \
    extern const void *const name[16]; \
    const void *const name[16] = { \
        first, (const void *)name##_member, (const void *)name##_member, \
        (const void *)name##_member, (const void *)name##_member, (const void *)name##_member, \
        (const void *)name##_member, (const void *)name##_member, (const void *)name##_member, \
        (const void *)name##_member, (const void *)name##_member, (const void *)name##_member, \
    };

TABLE(save_ops_x86_hvm, (const void *)save_ops_x86_hvm_member)
TABLE(save_ops_x86_pv, (const void *)save_ops_x86_pv_member)
TABLE(restore_ops_x86_hvm, (const void *)restore_ops_x86_hvm_member)
TABLE(restore_ops_x86_pv, (const void *)restore_ops_x86_pv_member)
TABLE(elf_loader, "ELF")
TABLE(hvm_loader, "HVM")
