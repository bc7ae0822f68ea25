/* SPDX-License-Identifier: MIT */
/* Calls for PV guests' page tables and machine memory. */
#include "libxenctrl/ctrl/private.h"

#include <stdlib.h>
#include <xen/sys/privcmd.h>

int xc_mmuext_op(xc_interface *xch, struct mmuext_op *op, unsigned int nr_ops, uint32_t dom)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(op, nr_ops * sizeof(*op));
    int rc;

    if (xc_hypercall_bounce_pre(xch, op)) {
        xc_perror(xch, "no memory for %u MMU operations", nr_ops);
        return -1;
    }
    rc = xencall4(xch->xcall, __HYPERVISOR_mmuext_op, HYPERCALL_BUFFER_AS_ARG(op), nr_ops, 0,
                  dom);
    xc_hypercall_bounce_post(xch, op);
    return rc;
}

struct xc_mmu *xc_alloc_mmu_updates(xc_interface *xch, unsigned int subject)
{
    struct xc_mmu *mmu = calloc(1, sizeof(*mmu));

    if (mmu) {
        mmu->subject = subject;
    }
    return mmu;
}

int xc_flush_mmu_updates(xc_interface *xch, struct xc_mmu *mmu)
{
    mmu_update_t *updates = mmu->updates;
    unsigned int count = mmu->count;
    DECLARE_HYPERCALL_BOUNCE_IN(updates, count * sizeof(*updates));
    int rc;

    if (!count) {
        return 0;
    }
    if (xc_hypercall_bounce_pre(xch, updates)) {
        xc_perror(xch, "no memory for %u page table updates", count);
        return -1;
    }
    rc = xencall4(xch->xcall, __HYPERVISOR_mmu_update, HYPERCALL_BUFFER_AS_ARG(updates), count,
                  0, mmu->subject);
    xc_hypercall_bounce_post(xch, updates);
    mmu->count = 0;
    return rc < 0 ? -1 : 0;
}

int xc_add_mmu_update(xc_interface *xch, struct xc_mmu *mmu, unsigned long long ptr,
                      unsigned long long val)
{
    mmu->updates[mmu->count].ptr = ptr;
    mmu->updates[mmu->count].val = val;
    return ++mmu->count == MMU_UPDATES_MAX ? xc_flush_mmu_updates(xch, mmu) : 0;
}

int xc_get_pfn_type_batch(xc_interface *xch, uint32_t dom, unsigned int num, xen_pfn_t *arr)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(arr, num * sizeof(*arr));
    struct xen_domctl d = { .u.getpageframeinfo3.num = num };
    int rc;

    if (xc_hypercall_bounce_pre(xch, arr)) {
        return -1;
    }
    set_xen_guest_handle(d.u.getpageframeinfo3.array, arr);
    rc = domctl(xch, &d, XEN_DOMCTL_getpageframeinfo3, dom);
    xc_hypercall_bounce_post(xch, arr);
    return rc;
}

void *xc_map_foreign_ranges(xc_interface *xch, uint32_t dom, size_t size, int prot,
                            size_t chunksize, privcmd_mmap_entry_t *entries, int nentries)
{
    size_t per_entry = chunksize >> XC_PAGE_SHIFT, num = per_entry * (size_t)nentries;
    xen_pfn_t *arr;
    void *p;

    if (nentries <= 0 || !per_entry || num << XC_PAGE_SHIFT != size) {
        errno = EINVAL;
        return NULL;
    }
    arr = calloc(num, sizeof(*arr));
    if (!arr) {
        return NULL;
    }
    for (size_t i = 0; i < num; i++) {
        arr[i] = entries[i / per_entry].mfn + i % per_entry;
    }
    p = xenforeignmemory_map(xch->fmem, dom, prot, num, arr, NULL);
    free(arr);
    return p;
}

/* Exchanges a page for one below 4 GiB. Returns its frame, 0 on failure. */
unsigned long xc_make_page_below_4G(xc_interface *xch, uint32_t domid, unsigned long mfn)
{
    xen_pfn_t old = mfn, new;

    if (xc_domain_decrease_reservation_exact(xch, domid, 1, 0, &old)) {
        return 0;
    }
    if (xc_domain_increase_reservation_exact(xch, domid, 1, 0, XENMEMF_address_bits(32), &new)) {
        return 0;
    }
    return new;
}
