/* SPDX-License-Identifier: MIT */
/*
 * domctl: the control plane of one domain. Handlers get the checked argument and the domain; they
 * return the hypercall's result, HC_AGAIN or HC_WAIT, and the argument goes back to the caller.
 */
#ifndef KR_CORE_DOMCTL_H
#define KR_CORE_DOMCTL_H

#include "hypervisor/core/domain.h"

#define DOMCTL_HANDLER(name) \
    long name(struct hcall *hc, struct domain *d, struct xen_domctl *op)

/* domctl_vcpu.c */
DOMCTL_HANDLER(domctl_max_vcpus);
DOMCTL_HANDLER(domctl_getvcpuinfo);
DOMCTL_HANDLER(domctl_getvcpucontext);
DOMCTL_HANDLER(domctl_vcpuaffinity);
DOMCTL_HANDLER(domctl_nodeaffinity);
DOMCTL_HANDLER(domctl_scheduler_op);
DOMCTL_HANDLER(domctl_sendtrigger);

/* hvm_context.c: the save format of hvm/save.h */
DOMCTL_HANDLER(domctl_gethvmcontext);
DOMCTL_HANDLER(domctl_sethvmcontext);
DOMCTL_HANDLER(domctl_gethvmcontext_partial);

/*
 * Copies a bitmap between a set of CPUs and the caller's xenctl_bitmap; bits beyond the caller's
 * are cut, missing ones are 0. 0 or -EFAULT.
 */
int bitmap_from_guest(struct hcall *hc, const struct xenctl_bitmap *map, cpu_set_t *set);
int bitmap_to_guest(struct hcall *hc, const struct xenctl_bitmap *map, const cpu_set_t *set,
                    uint32_t nr_bits);

#endif
