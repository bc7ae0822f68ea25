/* SPDX-License-Identifier: MIT */
/* Guest memory: giving it out, and mapping it. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libxenctrl/guest/dom.h"

/* One past the last frame of the memory that starts at zero. */
static xen_pfn_t low_end(const struct xc_dom_image *dom)
{
    xen_pfn_t end = dom->rambase_pfn + dom->total_pages;

    if (xc_dom_translated(dom) && dom->lowmem_end && dom->lowmem_end >> XC_PAGE_SHIFT < end) {
        end = dom->lowmem_end >> XC_PAGE_SHIFT;
    }
    return end;
}

static uint64_t to_mb(uint64_t bytes)
{
    return (bytes + (1 << 20) - 1) >> 20;
}

int xc_dom_alloc_segment(struct xc_dom_image *dom, struct xc_dom_seg *seg, const char *name,
                         xen_vaddr_t start, xen_vaddr_t size)
{
    xen_vaddr_t base = xc_dom_virt_base(dom);
    xen_vaddr_t end = (xen_vaddr_t)low_end(dom) << XC_PAGE_SHIFT;
    xen_vaddr_t room;
    void *p;

    if (!start) {
        start = dom->virt_alloc_end;
    }
    errno = ENOMEM;
    if (start & (XC_PAGE_SIZE - 1)) {
        errno = EINVAL;
        return dom_fail(dom, XC_INTERNAL_ERROR, "%s would start at %#llx, not at a page", name,
                        (unsigned long long)start);
    }
    if (start < dom->virt_alloc_end || start < base) {
        return dom_fail(dom, XC_INTERNAL_ERROR, "%s at %#llx overlaps what is already there",
                        name, (unsigned long long)start);
    }
    room = start - base < end ? end - (start - base) : 0;
    if (size > room) {
        return dom_fail(dom, XC_OUT_OF_MEMORY, "%s (%llu MB at %#llx) does not fit into the "
                        "guest's %llu MB of memory", name, (unsigned long long)to_mb(size),
                        (unsigned long long)start, (unsigned long long)to_mb(end));
    }
    seg->vstart = start;
    seg->vend = start + size;
    seg->pfn = dom->rambase_pfn + ((start - base) >> XC_PAGE_SHIFT);
    seg->pages = (size + XC_PAGE_SIZE - 1) >> XC_PAGE_SHIFT;
    dom->virt_alloc_end = start + (seg->pages << XC_PAGE_SHIFT);
    dom->pfn_alloc_end = seg->pfn + seg->pages;
    if (seg->pages) {
        /* New guest memory is zero already; mapping it shows that it is really there. */
        p = xc_dom_seg_to_ptr(dom, seg);
        if (!p) {
            return dom_fail(dom, XC_INTERNAL_ERROR, "could not map the guest's memory for %s: "
                            "%s", name, strerror(errno));
        }
    }
    xc_dom_printf(dom->xch, "%-20s:   %-12s : 0x%llx -> 0x%llx  (pfn 0x%llx + 0x%llx pages)",
                  __func__, name, (unsigned long long)seg->vstart, (unsigned long long)seg->vend,
                  (unsigned long long)seg->pfn, (unsigned long long)seg->pages);
    return 0;
}

xen_pfn_t xc_dom_alloc_page(struct xc_dom_image *dom, const char *name)
{
    struct xc_dom_seg seg;

    if (xc_dom_alloc_segment(dom, &seg, name, 0, XC_PAGE_SIZE)) {
        return INVALID_MFN;
    }
    return seg.pfn;
}

/* ---- mappings --------------------------------------------------------------------------- */

void *xc_dom_boot_domU_map(struct xc_dom_image *dom, xen_pfn_t pfn, xen_pfn_t count)
{
    xen_pfn_t *frames = malloc(count * sizeof(*frames));
    void *p;

    if (!frames) {
        return NULL;
    }
    for (xen_pfn_t i = 0; i < count; i++) {
        frames[i] = xc_dom_p2m(dom, pfn + i);
    }
    p = xenforeignmemory_map(dom->xch->fmem, dom->guest_domid, PROT_READ | PROT_WRITE, count,
                             frames, NULL);
    free(frames);
    if (p) {
        dom->alloc_domU_map += count << XC_PAGE_SHIFT;
    }
    return p;
}

void *xc_dom_pfn_to_ptr_retcount(struct xc_dom_image *dom, xen_pfn_t first, xen_pfn_t count,
                                 xen_pfn_t *count_out)
{
    struct xc_dom_phys *m;

    *count_out = 0;
    for (m = dom->phys_pages; m; m = m->next) {
        xen_pfn_t skip = first - m->first;

        if (first < m->first || skip >= m->count || (count && count > m->count - skip)) {
            continue;
        }
        *count_out = m->count - skip;
        return (char *)m->ptr + (skip << XC_PAGE_SHIFT);
    }
    if (!count) {
        errno = ENOENT;
        return NULL;
    }
    m = xc_dom_malloc(dom, sizeof(*m));
    if (!m) {
        return NULL;
    }
    m->ptr = xc_dom_boot_domU_map(dom, first, count);
    if (!m->ptr) {
        return NULL;
    }
    m->first = first;
    m->count = count;
    m->next = dom->phys_pages;
    dom->phys_pages = m;
    *count_out = count;
    xc_dom_printf(dom->xch, "%s: domU mapping: pfn 0x%llx+0x%llx", __func__,
                  (unsigned long long)first, (unsigned long long)count);
    return m->ptr;
}

void *xc_dom_pfn_to_ptr(struct xc_dom_image *dom, xen_pfn_t first, xen_pfn_t count)
{
    xen_pfn_t dummy;

    return xc_dom_pfn_to_ptr_retcount(dom, first, count, &dummy);
}

void *xc_dom_vaddr_to_ptr(struct xc_dom_image *dom, xen_vaddr_t vaddr, size_t *safe_region_out)
{
    xen_vaddr_t offset = vaddr - xc_dom_virt_base(dom);
    size_t in_page = offset & (XC_PAGE_SIZE - 1);
    xen_pfn_t pages;
    char *p;

    p = xc_dom_pfn_to_ptr_retcount(dom, dom->rambase_pfn + (offset >> XC_PAGE_SHIFT), 0, &pages);
    *safe_region_out = p ? (pages << XC_PAGE_SHIFT) - in_page : 0;
    return p ? p + in_page : NULL;
}

static void unmap(struct xc_dom_image *dom, struct xc_dom_phys *m)
{
    xenforeignmemory_unmap(dom->xch->fmem, m->ptr, m->count);
    m->ptr = NULL;
}

void xc_dom_unmap_one(struct xc_dom_image *dom, xen_pfn_t pfn)
{
    for (struct xc_dom_phys **link = &dom->phys_pages; *link; link = &(*link)->next) {
        struct xc_dom_phys *m = *link;

        if (pfn >= m->first && pfn - m->first < m->count) {
            *link = m->next;
            unmap(dom, m);
            return;
        }
    }
}

void xc_dom_unmap_all(struct xc_dom_image *dom)
{
    while (dom->phys_pages) {
        struct xc_dom_phys *m = dom->phys_pages;

        dom->phys_pages = m->next;
        unmap(dom, m);
    }
}
