/* SPDX-License-Identifier: MIT */
/* Foreign memory for callers of libxenctrl's old interface, and copies to single pages. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libxenctrl/ctrl/private.h"

void *xc_map_foreign_pages(xc_interface *xch, uint32_t dom, int prot, const xen_pfn_t *arr,
                           int num)
{
    if (num < 0) {
        errno = EINVAL;
        return NULL;
    }
    return xenforeignmemory_map(xch->fmem, dom, prot, (size_t)num, arr, NULL);
}

void *xc_map_foreign_range(xc_interface *xch, uint32_t dom, int size, int prot,
                           unsigned long mfn)
{
    size_t num = size > 0 ? ((size_t)size + XC_PAGE_SIZE - 1) >> XC_PAGE_SHIFT : 0;
    xen_pfn_t *arr = calloc(num, sizeof(*arr));
    void *p;

    if (!num || !arr) {
        free(arr);
        errno = num ? ENOMEM : EINVAL;
        return NULL;
    }
    for (size_t i = 0; i < num; i++) {
        arr[i] = mfn + i;
    }
    p = xenforeignmemory_map(xch->fmem, dom, prot, num, arr, NULL);
    free(arr);
    return p;
}

void *xc_map_foreign_bulk(xc_interface *xch, uint32_t dom, int prot, const xen_pfn_t *arr,
                          int *err, unsigned int num)
{
    return xenforeignmemory_map(xch->fmem, dom, prot, num, arr, err);
}

int xc_copy_to_domain_page(xc_interface *xch, uint32_t domid, unsigned long dst_pfn,
                           const char *src_page)
{
    xen_pfn_t pfn = dst_pfn;
    void *p = xenforeignmemory_map(xch->fmem, domid, PROT_WRITE, 1, &pfn, NULL);

    if (!p) {
        return -1;
    }
    memcpy(p, src_page, XC_PAGE_SIZE);
    xenforeignmemory_unmap(xch->fmem, p, 1);
    return 0;
}

int xc_clear_domain_pages(xc_interface *xch, uint32_t domid, unsigned long dst_pfn, int num)
{
    size_t size = num > 0 ? (size_t)num << XC_PAGE_SHIFT : 0;
    void *p;

    if (num <= 0 || num > INT32_MAX >> XC_PAGE_SHIFT) {
        errno = EINVAL;
        return -1;
    }
    p = xc_map_foreign_range(xch, domid, (int)size, PROT_WRITE, dst_pfn);
    if (!p) {
        return -1;
    }
    memset(p, 0, size);
    xenforeignmemory_unmap(xch->fmem, p, (size_t)num);
    return 0;
}
