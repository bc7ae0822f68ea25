/* SPDX-License-Identifier: MIT */
/*
 * What a PVH container has besides a kernel: where its memory lies, its ACPI tables, and the map
 * that tells of both. For an image of libxenguest's that is being built, step by step in this order.
 */
#ifndef KR_FIRMWARE_PVH_H
#define KR_FIRMWARE_PVH_H

#include <stdint.h>

#include <xenguest.h>

/* `bytes` (whole pages) of memory: below the hole under 4 GiB as far as it goes, then above. */
void pvh_set_layout(struct xc_dom_image *dom, uint64_t bytes);

/*
 * Tables for dom->max_vcpus; online: a bit array of as many, NULL: all. Before the memory map.
 * Returns 0, or -1 with errno (EINVAL, ENOMEM).
 */
int pvh_add_acpi(struct xc_dom_image *dom, const uint8_t *online);

/* For the start info, and for XENMEM_memory_map. Returns 0, or -1 with errno. */
int pvh_set_memory_map(struct xc_dom_image *dom);

#endif
