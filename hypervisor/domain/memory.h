/* SPDX-License-Identifier: MIT */
/*
 * Guest-physical memory: a reserved window of host addresses in which the domain's pages are mapped
 * at their guest-physical addresses, and the type of each frame.
 *
 * Never makes a host address inaccessible that was accessible once: other threads may hold
 * pointers into it. An unmapped page of the domain's own stays where it is (its type says it is
 * gone, and it belongs to nobody else); another domain's page is replaced by an empty one.
 */
#ifndef KR_DOMAIN_MEMORY_H
#define KR_DOMAIN_MEMORY_H

#include "hypervisor/domain/machine.h"

/* Reserves the window and maps the Xen-owned pages; takes the descriptors. Returns 0
 * or -1/errno. */
int memory_init(struct machine *m, uint64_t gpa_limit, uint64_t xen_pages, int fd_ram, int fd_xen);

/* One run of KL_MAP (fd: the message's descriptor or -1) or KL_UNMAP. Returns 0 or -1/errno. Any
 * thread. */
int memory_map(struct machine *m, const struct kl_run_map *run, int fd);
int memory_unmap(struct machine *m, const struct kl_run_unmap *run);

/* Host address of [gpa, gpa + len) if it lies in one frame of RAM now, else NULL. Any thread. */
void *memory_at(struct machine *m, uint64_t gpa, size_t len);

#endif
