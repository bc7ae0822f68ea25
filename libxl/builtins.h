/* SPDX-License-Identifier: MIT */
/*
 * What hides behind libxl_cpuid_policy_list. The other built-in types are public in libxl.h.
 */
#ifndef LX_BUILTINS_H
#define LX_BUILTINS_H

#include <xenctrl.h>

#include <libxl.h>

/* Both are what xc_cpuid_apply_policy() takes: ended by input[0], respectively index, of
 * XEN_CPUID_INPUT_UNUSED / XC_MSR_INPUT_UNUSED, and may be NULL. */
struct libxl__cpu_policy {
    struct xc_xend_cpuid *cpuid;
    struct xc_msr *msr;
};

bool lx_cpuid_is_empty(const libxl_cpuid_policy_list *list);
/* The entry for leaf and subleaf (XEN_CPUID_INPUT_UNUSED: any), made if there is none. */
struct xc_xend_cpuid *lx_cpuid_entry(libxl_cpuid_policy_list *list, uint32_t leaf,
                                     uint32_t subleaf);
/* The same for an MSR. */
struct xc_msr *lx_msr_entry(libxl_cpuid_policy_list *list, uint32_t index);

#endif
