/* SPDX-License-Identifier: MIT */
/*
 * Populating a PVH guest's memory: from zero to the hole below 4 GiB, and above 4 GiB, in extents
 * as large as they are to be had.
 */
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/guest/dom.h"

#define FOUR_GB  (1ull << 32)
#define VGA_HOLE 0xa0

/* Extent sizes in the order in which they are tried, and how many of them to ask for at once. */
static const struct {
    unsigned int order;
    const char *name;
    unsigned int batch;
} sizes[] = {
    { 18, "1GB", 16 },
    { 9,  "2MB", 512 },
    { 0,  "4KB", 1024 },
};
#define NR_SIZES  (sizeof(sizes) / sizeof(sizes[0]))
#define MAX_BATCH 1024

struct populate {
    struct xc_dom_image *dom;
    unsigned int memflags;
    unsigned long done[NR_SIZES];    /* extents, by size */
};

/*
 * One request of one extent size that starts at gfn and stays below end. Returns how many pages
 * it brought; 0 if the size does not fit there or is not to be had; -1 on an error.
 */
static long try_size(struct populate *p, unsigned int i, xen_pfn_t gfn, xen_pfn_t end)
{
    xen_pfn_t extents[MAX_BATCH];
    xen_pfn_t pages = 1ull << sizes[i].order;
    unsigned long n = 0;
    int got;

    if (gfn & (pages - 1)) {
        return 0;
    }
    while (n < sizes[i].batch && pages <= end - gfn - n * pages) {
        extents[n] = gfn + n * pages;
        n++;
    }
    if (!n) {
        return 0;
    }
    /* Small extents only as far as the next place where larger ones fit again. */
    for (unsigned int larger = i; larger-- > 0;) {
        xen_pfn_t align = 1ull << sizes[larger].order;
        xen_pfn_t next = (gfn + align) & ~(align - 1);

        if (next - gfn < n * pages && end - next >= align && gfn % align) {
            n = (next - gfn) / pages;
        }
    }
    got = xc_domain_populate_physmap(p->dom->xch, p->dom->guest_domid, n, sizes[i].order,
                                     p->memflags, extents);
    if (got < 0) {
        return i == NR_SIZES - 1 ? -1 : 0;
    }
    p->done[i] += (unsigned long)got;
    return (long)((unsigned long)got * pages);
}

static int populate_range(struct populate *p, xen_pfn_t gfn, xen_pfn_t end)
{
    xc_dom_printf(p->dom->xch, "range: start=0x%llx end=0x%llx",
                  (unsigned long long)gfn << XC_PAGE_SHIFT,
                  (unsigned long long)end << XC_PAGE_SHIFT);
    while (gfn < end) {
        long pages = 0;

        for (unsigned int i = 0; i < NR_SIZES && !pages; i++) {
            pages = try_size(p, i, gfn, end);
        }
        if (pages <= 0) {
            errno = pages ? errno : ENOMEM;
            return dom_fail(p->dom, XC_OUT_OF_MEMORY, "could not allocate memory for the guest: "
                            "the host gave none at %#llx of %#llx: %s",
                            (unsigned long long)gfn << XC_PAGE_SHIFT,
                            (unsigned long long)end << XC_PAGE_SHIFT, strerror(errno));
        }
        gfn += (xen_pfn_t)pages;
    }
    return 0;
}

/* The ranges of the simple layout, or those that the caller's vNUMA layout names. */
static int populate_all(struct populate *p)
{
    struct xc_dom_image *dom = p->dom;
    xen_pfn_t low = dom->lowmem_end >> XC_PAGE_SHIFT, high = dom->highmem_end >> XC_PAGE_SHIFT;
    xen_pfn_t hole = dom->device_model ? dom->vga_hole_size : 0;
    const unsigned int flags = p->memflags;

    for (unsigned int i = 0; i < dom->nr_vmemranges; i++) {
        const xen_vmemrange_t *r = &dom->vmemranges[i];
        unsigned int node = XC_NUMA_NO_NODE;

        if (dom->vnode_to_pnode && r->nid < dom->nr_vnodes) {
            node = dom->vnode_to_pnode[r->nid];
        }
        p->memflags = flags | (node == XC_NUMA_NO_NODE ? 0 : XENMEMF_exact_node(node));
        if (populate_range(p, r->start >> XC_PAGE_SHIFT, r->end >> XC_PAGE_SHIFT)) {
            return -1;
        }
    }
    if (dom->nr_vmemranges) {
        return 0;
    }
    if (hole && low > VGA_HOLE + hole) {
        if (populate_range(p, 0, VGA_HOLE) || populate_range(p, VGA_HOLE + hole, low)) {
            return -1;
        }
    } else if (populate_range(p, 0, low)) {
        return -1;
    }
    return high ? populate_range(p, FOUR_GB >> XC_PAGE_SHIFT, high) : 0;
}

/* Fills in what the caller left open, and the totals. */
static int check_layout(struct xc_dom_image *dom)
{
    uint64_t low = dom->lowmem_end, high = dom->highmem_end;
    xen_pfn_t above = high > FOUR_GB ? (high - FOUR_GB) >> XC_PAGE_SHIFT : 0;

    if (!low) {
        low = (uint64_t)dom->total_pages << XC_PAGE_SHIFT;
        dom->lowmem_end = low;
    }
    errno = EINVAL;
    if (low > FOUR_GB || (high && high < FOUR_GB) || (low | high) & ~XC_PAGE_MASK) {
        return dom_fail(dom, XC_INVALID_PARAM, "bad memory layout: low memory to %#llx, high "
                        "memory to %#llx", (unsigned long long)low, (unsigned long long)high);
    }
    if (low > (uint64_t)(X86_HVM_END_SPECIAL_REGION - X86_HVM_NR_SPECIAL_PAGES)
              << XC_PAGE_SHIFT) {
        return dom_fail(dom, XC_INVALID_PARAM, "memory below 4 GB reaches into the special "
                        "pages: it ends at %#llx", (unsigned long long)low);
    }
    dom->total_pages = (low >> XC_PAGE_SHIFT) + above;
    dom->p2m_size = above ? high >> XC_PAGE_SHIFT : low >> XC_PAGE_SHIFT;
    if (!dom->target_pages) {
        dom->target_pages = dom->total_pages;
    }
    if (!dom->total_pages) {
        return dom_fail(dom, XC_INVALID_PARAM, "the guest has no memory");
    }
    return 0;
}

/* A guest that starts with less than its maximum is populated as it touches its memory. */
static int start_pod(struct xc_dom_image *dom)
{
    if (xc_domain_set_pod_target(dom->xch, dom->guest_domid, dom->target_pages, NULL, NULL,
                                 NULL)) {
        return dom_fail(dom, XC_INVALID_PARAM, "the guest would start with %llu of %llu MB, but "
                        "the host cannot populate memory on demand: %s",
                        (unsigned long long)dom->target_pages >> 8,
                        (unsigned long long)dom->total_pages >> 8, strerror(errno));
    }
    return 0;
}

int dom_hvm_meminit(struct xc_dom_image *dom)
{
    struct populate p = { .dom = dom };
    bool claimed = false;
    int rc, saved;

    if (check_layout(dom)) {
        return -1;
    }
    /* The claim first: what populates on demand is taken out of it. */
    if (dom->claim_enabled) {
        if (xc_domain_claim_pages(dom->xch, dom->guest_domid, dom->target_pages)) {
            return dom_fail(dom, XC_OUT_OF_MEMORY, "the host does not have the %llu MB that the "
                            "guest needs: %s", (unsigned long long)dom->target_pages >> 8,
                            strerror(errno));
        }
        claimed = true;
    }
    if (dom->target_pages < dom->total_pages) {
        p.memflags = XENMEMF_populate_on_demand;
        rc = start_pod(dom);
    } else {
        rc = 0;
    }
    rc = rc ? rc : populate_all(&p);
    saved = errno;
    xc_dom_printf(dom->xch, "PHYSICAL MEMORY ALLOCATION:");
    for (unsigned int i = NR_SIZES; i-- > 0;) {
        xc_dom_printf(dom->xch, "  %s PAGES: 0x%016lx", sizes[i].name, p.done[i]);
    }
    if (claimed) {
        /* What was not used goes back; nothing of it is left if all went well. */
        xc_domain_claim_pages(dom->xch, dom->guest_domid, 0);
    }
    errno = saved;
    return rc;
}
