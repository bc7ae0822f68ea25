/* SPDX-License-Identifier: MIT */
/* Other domains' grant tables; and grant mappings, for callers of the old interface. */
#include <stdlib.h>
#include <sys/mman.h>

#include "libxenctrl/ctrl/private.h"

#include <xengnttab.h>

int xc_gnttab_op(xc_interface *xch, int cmd, void *op, int op_size, int count)
{
    DECLARE_HYPERCALL_BOUNCE_BOTH(op, (size_t)op_size * (size_t)count);
    int rc;

    if (op_size <= 0 || count <= 0) {
        errno = EINVAL;
        return -1;
    }
    if (xc_hypercall_bounce_pre(xch, op)) {
        xc_perror(xch, "no memory for a grant table operation");
        return -1;
    }
    rc = xencall3(xch->xcall, __HYPERVISOR_grant_table_op, (uint64_t)cmd,
                  HYPERCALL_BUFFER_AS_ARG(op), (uint64_t)count);
    xc_hypercall_bounce_post(xch, op);
    return rc;
}

int xc_gnttab_query_size(xc_interface *xch, struct gnttab_query_size *query)
{
    int rc = xc_gnttab_op(xch, GNTTABOP_query_size, query, sizeof(*query), 1);

    if (!rc && query->status != GNTST_okay) {
        xc_error(xch, "could not query the size of domain %u's grant table: status %d",
                 query->dom, query->status);
    }
    return rc;
}

int xc_gnttab_get_version(xc_interface *xch, uint32_t domid)
{
    struct gnttab_get_version q = { .dom = (domid_t)domid };
    int rc = xc_gnttab_op(xch, GNTTABOP_get_version, &q, sizeof(q), 1);

    return rc < 0 ? -1 : (int)q.version;
}

/* The whole table, of entries of entry_size bytes. */
static void *map_table(xc_interface *xch, uint32_t domid, size_t entry_size, int *gnt_num)
{
    struct gnttab_query_size size = { .dom = (domid_t)domid };
    struct gnttab_setup_table setup = { .dom = (domid_t)domid };
    DECLARE_HYPERCALL_BUFFER(xen_pfn_t, frames);
    void *p = NULL;

    if (xc_gnttab_query_size(xch, &size) || size.status != GNTST_okay || !size.nr_frames) {
        return NULL;
    }
    frames = xc_hypercall_buffer_alloc(xch, frames, size.nr_frames * sizeof(*frames));
    if (!frames) {
        return NULL;
    }
    setup.nr_frames = size.nr_frames;
    set_xen_guest_handle(setup.frame_list, frames);
    if (xc_gnttab_op(xch, GNTTABOP_setup_table, &setup, sizeof(setup), 1) ||
        setup.status != GNTST_okay) {
        xc_error(xch, "could not set up domain %u's grant table: status %d", domid,
                 setup.status);
        goto out;
    }
    p = xenforeignmemory_map(xch->fmem, domid, PROT_READ | PROT_WRITE, size.nr_frames, frames,
                             NULL);
    if (p) {
        *gnt_num = (int)(size.nr_frames * (XC_PAGE_SIZE / entry_size));
    }
 out:
    xc_hypercall_buffer_free(xch, frames);
    return p;
}

grant_entry_v1_t *xc_gnttab_map_table_v1(xc_interface *xch, uint32_t domid, int *gnt_num)
{
    if (xc_gnttab_get_version(xch, domid) == 2) {
        errno = EINVAL;
        return NULL;
    }
    return map_table(xch, domid, sizeof(grant_entry_v1_t), gnt_num);
}

grant_entry_v2_t *xc_gnttab_map_table_v2(xc_interface *xch, uint32_t domid, int *gnt_num)
{
    int version = xc_gnttab_get_version(xch, domid);

    if (version != 2) {
        if (version >= 0) {
            errno = EINVAL;
        }
        return NULL;
    }
    return map_table(xch, domid, sizeof(grant_entry_v2_t), gnt_num);
}

xc_gnttab *xc_gnttab_open(xentoollog_logger *logger, unsigned open_flags)
{
    return xengnttab_open(logger, open_flags);
}

int xc_gnttab_close(xc_gnttab *xcg)
{
    return xengnttab_close(xcg);
}

void *xc_gnttab_map_grant_ref(xc_gnttab *xcg, uint32_t domid, uint32_t ref, int prot)
{
    return xengnttab_map_grant_ref(xcg, domid, ref, prot);
}

void *xc_gnttab_map_grant_refs(xc_gnttab *xcg, uint32_t count, uint32_t *domids, uint32_t *refs,
                               int prot)
{
    return xengnttab_map_grant_refs(xcg, count, domids, refs, prot);
}

void *xc_gnttab_map_domain_grant_refs(xc_gnttab *xcg, uint32_t count, uint32_t domid,
                                      uint32_t *refs, int prot)
{
    return xengnttab_map_domain_grant_refs(xcg, count, domid, refs, prot);
}

void *xc_gnttab_map_grant_ref_notify(xc_gnttab *xcg, uint32_t domid, uint32_t ref, int prot,
                                     uint32_t notify_offset, evtchn_port_t notify_port)
{
    return xengnttab_map_grant_ref_notify(xcg, domid, ref, prot, notify_offset, notify_port);
}

int xc_gnttab_munmap(xc_gnttab *xcg, void *start_address, uint32_t count)
{
    return xengnttab_unmap(xcg, start_address, count);
}

int xc_gnttab_set_max_grants(xc_gnttab *xcg, uint32_t count)
{
    return xengnttab_set_max_grants(xcg, count);
}

xc_gntshr *xc_gntshr_open(xentoollog_logger *logger, unsigned open_flags)
{
    return xengntshr_open(logger, open_flags);
}

int xc_gntshr_close(xc_gntshr *xcg)
{
    return xengntshr_close(xcg);
}

void *xc_gntshr_share_pages(xc_gntshr *xcg, uint32_t domid, int count, uint32_t *refs,
                            int writable)
{
    return xengntshr_share_pages(xcg, domid, count, refs, writable);
}

void *xc_gntshr_share_page_notify(xc_gntshr *xcg, uint32_t domid, uint32_t *ref, int writable,
                                  uint32_t notify_offset, evtchn_port_t notify_port)
{
    return xengntshr_share_page_notify(xcg, domid, ref, writable, notify_offset, notify_port);
}

int xc_gntshr_munmap(xc_gntshr *xcg, void *start_address, uint32_t count)
{
    return xengntshr_unshare(xcg, start_address, count);
}
