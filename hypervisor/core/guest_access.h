/* SPDX-License-Identifier: MIT */
/*
 * The caller's memory. Three kinds of caller, one way in: a host client's pointers lie in its
 * arena; a guest's are linear addresses, walked through its own page tables; there are no others.
 *
 * Never: maps guest memory, reads a byte twice by itself, or follows a pointer that it has not
 * checked. Handlers copy once, then check the copy.
 */
#ifndef KR_CORE_GUEST_ACCESS_H
#define KR_CORE_GUEST_ACCESS_H

#include "hypervisor/core/core.h"

/* All 0 or -EFAULT; a failed copy may have moved a part. */
int copy_from_guest(struct hcall *hc, void *dst, uint64_t src, size_t len);
int copy_to_guest(struct hcall *hc, uint64_t dst, const void *src, size_t len);

/*
 * Guest-physical memory of a domain: RAM and Xen-owned pages. 0 or -EFAULT (nothing there), -EIO. A
 * copy may cross pages.
 */
int gpa_read(struct domain *d, uint64_t gpa, void *buf, size_t len);
int gpa_write(struct domain *d, uint64_t gpa, const void *buf, size_t len);

#endif
