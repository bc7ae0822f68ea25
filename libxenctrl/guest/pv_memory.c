/* SPDX-License-Identifier: MIT */
/* What a host and its PV guests say of machine memory: M2P, P2M, pages taken offline. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libxenctrl/ctrl/private.h"

#include <xen/sys/privcmd.h>
#include <xenguest.h>

/* The M2P lies in chunks of 2 MiB, whatever the width of its reader. */
#define M2P_CHUNK (2ull << 20)

/* More frames than any machine has; keeps hostile guests from costing memory. */
#define MAX_P2M (1ul << 36)

/* ---- pages offline ---------------------------------------------------------------------- */

static int page_offline(xc_interface *xch, uint32_t cmd, unsigned long start, unsigned long end,
                        uint32_t *status)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(status, (end - start + 1) * sizeof(*status));
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_page_offline_op };
    int rc;

    if (!status || end < start || end > UINT32_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (xc_hypercall_bounce_pre(xch, status)) {
        xc_perror(xch, "no memory for %lu pages' states", end - start + 1);
        return -1;
    }
    s.u.page_offline.cmd = cmd;
    s.u.page_offline.start = (uint32_t)start;
    s.u.page_offline.end = (uint32_t)end;
    set_xen_guest_handle(s.u.page_offline.status, status);
    rc = xc_sysctl(xch, &s);
    xc_hypercall_bounce_post(xch, status);
    return rc;
}

int xc_mark_page_online(xc_interface *xch, unsigned long start, unsigned long end,
                        uint32_t *status)
{
    return page_offline(xch, sysctl_page_online, start, end, status);
}

int xc_mark_page_offline(xc_interface *xch, unsigned long start, unsigned long end,
                         uint32_t *status)
{
    return page_offline(xch, sysctl_page_offline, start, end, status);
}

int xc_query_page_offline_status(xc_interface *xch, unsigned long start, unsigned long end,
                                 uint32_t *status)
{
    return page_offline(xch, sysctl_query_page_offline, start, end, status);
}

/* Swaps a broken page of a suspended PV guest: needs every page table that names it rewritten. */
int xc_exchange_page(xc_interface *xch, uint32_t domid, xen_pfn_t mfn)
{
    xc_dominfo_t info;

    if (get_dominfo(xch, domid, &info)) {
        xc_perror(xch, "could not get domain %u's state", domid);
        return -1;
    }
    if (!info.shutdown || info.shutdown_reason != SHUTDOWN_suspend) {
        errno = EINVAL;
        xc_error(xch, "domain %u is not suspended: its page cannot be exchanged", domid);
        return -1;
    }
    errno = EOPNOTSUPP;
    xc_error(xch, "exchanging page %#llx of domain %u is not supported", (unsigned long long)mfn,
             domid);
    return -1;
}

/* ---- the M2P ---------------------------------------------------------------------------- */

xen_pfn_t *xc_map_m2p(xc_interface *xch, unsigned long max_mfn, int prot, unsigned long *mfn0)
{
    uint64_t bytes = (uint64_t)max_mfn * sizeof(xen_pfn_t);
    size_t chunks = (size_t)((bytes + M2P_CHUNK - 1) / M2P_CHUNK);
    xen_pfn_t *starts = calloc(chunks, sizeof(*starts));
    privcmd_mmap_entry_t *entries = calloc(chunks, sizeof(*entries));
    void *m2p = NULL;

    if (!chunks || chunks > INT32_MAX || !starts || !entries) {
        errno = chunks ? ENOMEM : EINVAL;
        goto out;
    }
    if (xc_machphys_mfn_list(xch, chunks, starts)) {
        xc_perror(xch, "could not find the M2P");
        goto out;
    }
    for (size_t i = 0; i < chunks; i++) {
        entries[i].mfn = starts[i];
        entries[i].npages = M2P_CHUNK >> XC_PAGE_SHIFT;
    }
    m2p = xc_map_foreign_ranges(xch, DOMID_XEN, chunks * M2P_CHUNK, prot, M2P_CHUNK, entries,
                                (int)chunks);
    if (!m2p) {
        xc_perror(xch, "could not map the M2P");
    } else if (mfn0) {
        *mfn0 = (unsigned long)starts[0];
    }
 out:
    free(starts);
    free(entries);
    return m2p;
}

/* ---- a PV guest's P2M ------------------------------------------------------------------- */

/* Tree of frame numbers: one page names pages that name the P2M's pages. */
static size_t frames_for(size_t entries, unsigned int width)
{
    size_t per_page = XC_PAGE_SIZE / width;

    return (entries + per_page - 1) / per_page;
}

/* A list of count numbers of the guest's width, from mapped pages, as frames. */
static xen_pfn_t *widen(const void *list, size_t count, unsigned int width)
{
    xen_pfn_t *out = calloc(count, sizeof(*out));

    for (size_t i = 0; out && i < count; i++) {
        out[i] = width == 8 ? ((const uint64_t *)list)[i] : ((const uint32_t *)list)[i];
    }
    return out;
}

/* Maps the pages that hold `entries` numbers, whose frames are listed in mapped pages at list. */
static void *map_listed(xc_interface *xch, uint32_t domid, const void *list, size_t entries,
                        unsigned int width)
{
    size_t n = frames_for(entries, width);
    xen_pfn_t *frames = widen(list, n, width);
    void *p = frames ? xenforeignmemory_map(xch->fmem, domid, PROT_READ, n, frames, NULL) : NULL;

    free(frames);
    return p;
}

static int map_p2m(xc_interface *xch, uint32_t domid, const shared_info_any_t *shared,
                   struct xc_domain_meminfo *m)
{
    unsigned int w = m->guest_width;
    xen_pfn_t top = w == 8 ? shared->x64.arch.pfn_to_mfn_frame_list_list
                           : shared->x32.arch.pfn_to_mfn_frame_list_list;
    uint64_t size = w == 8 ? shared->x64.arch.max_pfn : shared->x32.arch.max_pfn;
    size_t pages = frames_for(size, w), lists = frames_for(pages, w);
    void *top_page, *list_pages = NULL;

    if (!size || size > MAX_P2M || frames_for(lists, w) != 1) {
        errno = EINVAL;
        return -1;
    }
    m->p2m_size = size;
    m->p2m_frames = (unsigned int)pages;
    top_page = xenforeignmemory_map(xch->fmem, domid, PROT_READ, 1, &top, NULL);
    if (top_page) {
        list_pages = map_listed(xch, domid, top_page, pages, w);
        xenforeignmemory_unmap(xch->fmem, top_page, 1);
    }
    if (list_pages) {
        m->p2m_table = map_listed(xch, domid, list_pages, size, w);
        xenforeignmemory_unmap(xch->fmem, list_pages, lists);
    }
    return m->p2m_table ? 0 : -1;
}

/* The type of every frame, asked for in calls as long as Xen takes. */
static int get_types(xc_interface *xch, uint32_t domid, struct xc_domain_meminfo *m)
{
    m->pfn_type = calloc(m->p2m_size, sizeof(*m->pfn_type));
    if (!m->pfn_type) {
        return -1;
    }
    for (unsigned long i = 0; i < m->p2m_size; i++) {
        m->pfn_type[i] = m->guest_width == 8 ? ((const uint64_t *)m->p2m_table)[i]
                                             : ((const uint32_t *)m->p2m_table)[i];
    }
    for (unsigned long i = 0; i < m->p2m_size; i += 1024) {
        unsigned long n = m->p2m_size - i < 1024 ? m->p2m_size - i : 1024;

        if (xc_get_pfn_type_batch(xch, domid, (unsigned int)n, m->pfn_type + i)) {
            return -1;
        }
    }
    return 0;
}

int xc_map_domain_meminfo(xc_interface *xch, uint32_t domid, struct xc_domain_meminfo *minfo)
{
    shared_info_any_t *shared = NULL;
    xc_dominfo_t info;
    xen_pfn_t frame;
    int rc = -1;

    if (minfo->pfn_type || minfo->p2m_table) {
        errno = EINVAL;
        return -1;
    }
    if (get_dominfo(xch, domid, &info)) {
        xc_perror(xch, "could not get domain %u's state", domid);
        return -1;
    }
    if (info.hvm) {
        errno = EINVAL;
        xc_error(xch, "domain %u is no PV guest: it has no P2M of its own", domid);
        return -1;
    }
    if (xc_domain_get_guest_width(xch, domid, &minfo->guest_width)) {
        xc_perror(xch, "could not get domain %u's width", domid);
        return -1;
    }
    minfo->pt_levels = minfo->guest_width == 8 ? 4 : 3;
    frame = info.shared_info_frame;
    shared = xenforeignmemory_map(xch->fmem, domid, PROT_READ, 1, &frame, NULL);
    if (shared && !map_p2m(xch, domid, shared, minfo)) {
        rc = get_types(xch, domid, minfo);
    }
    if (rc) {
        xc_perror(xch, "could not map domain %u's P2M", domid);
        xc_unmap_domain_meminfo(xch, minfo);
    }
    if (shared) {
        xenforeignmemory_unmap(xch->fmem, shared, 1);
    }
    return rc;
}

int xc_unmap_domain_meminfo(xc_interface *xch, struct xc_domain_meminfo *minfo)
{
    int saved = errno;

    if (minfo->p2m_table) {
        xenforeignmemory_unmap(xch->fmem, minfo->p2m_table, minfo->p2m_frames);
    }
    free(minfo->pfn_type);
    minfo->p2m_table = NULL;
    minfo->pfn_type = NULL;
    errno = saved;
    return 0;
}
