/* SPDX-License-Identifier: MIT */
/*
 * Mapping the memory of other domains, and what the hypervisor keeps for them.
 *
 * Handles may be shared by threads. After fork() the child may only close a handle; exec() drops
 * it safely.
 */
#ifndef XENFOREIGNMEMORY_H
#define XENFOREIGNMEMORY_H

#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>

struct xentoollog_logger;

typedef struct xenforeignmemory_handle xenforeignmemory_handle;

/* No flags exist. Logs why it fails; NULL with errno. */
xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
                                               unsigned open_flags);

/* NULL is fine. Mappings stay until they are unmapped. 0, or -1 with errno. */
int xenforeignmemory_close(xenforeignmemory_handle *fmem);

/*
 * Maps the pages (guest frame numbers) in arr, in that order, at consecutive addresses. prot as
 * for mmap(). The caller owns the mapping.
 *
 * With err: each page's result goes there, 0 or a negative errno, and failed pages leave holes;
 * NULL with errno only if nothing could be tried. Without: all or nothing, NULL with the errno of
 * the first page that failed.
 */
void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t arr[/*pages*/], int err[/*pages*/]);

/* The same with mmap()'s address hint and further flags, such as MAP_FIXED. */
void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom, void *addr, int prot,
                            int flags, size_t pages, const xen_pfn_t arr[/*pages*/],
                            int err[/*pages*/]);

/* 0, or -1 with errno. */
int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages);

/* The handle can map memory of domid only, from now on. 0, or -1 with errno. */
int xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid);

typedef struct xenforeignmemory_resource_handle xenforeignmemory_resource_handle;

/*
 * Maps nr_frames frames from frame on of resource id of that type (XENMEM_resource_*). *paddr is
 * the hint, and then the address. The caller releases the result. NULL with errno.
 */
xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *fmem, domid_t domid, unsigned int type, unsigned int id,
    unsigned long frame, unsigned long nr_frames, void **paddr, int prot, int flags);

/* 0, or -1 with errno. */
int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres);

/* The size of a resource in bytes. 0, or -1 with errno. */
int xenforeignmemory_resource_size(xenforeignmemory_handle *fmem, domid_t domid,
                                   unsigned int type, unsigned int id, size_t *size);

#endif
