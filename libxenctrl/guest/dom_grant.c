/* SPDX-License-Identifier: MIT */
/* The two grants that a guest has from the start. */
#include <string.h>
#include <sys/mman.h>

#include "libxenctrl/guest/dom.h"

static int seed_entry(xc_interface *xch, grant_entry_v1_t *table, unsigned int ref,
                      uint32_t domid, uint32_t backend, xen_pfn_t gfn)
{
    if (gfn == INVALID_MFN || !gfn) {
        return 0;
    }
    if (gfn > UINT32_MAX) {
        errno = EOVERFLOW;
        xc_perror(xch, "grant %u cannot name frame %#llx", ref, (unsigned long long)gfn);
        return -1;
    }
    xc_dom_printf(xch, "xc_dom_set_gnttab_entry: d%u gnt[%u] -> d%u 0x%llx", domid, ref, backend,
                  (unsigned long long)gfn);
    table[ref].domid = (domid_t)backend;
    table[ref].frame = (uint32_t)gfn;
    xen_wmb();
    table[ref].flags = GTF_permit_access;
    return 0;
}

int xc_dom_gnttab_seed(xc_interface *xch, uint32_t guest_domid, bool is_hvm,
                       xen_pfn_t console_gfn, xen_pfn_t xenstore_gfn, uint32_t console_domid,
                       uint32_t xenstore_domid)
{
    xenforeignmemory_resource_handle *res;
    void *table = NULL;
    int rc;

    res = xenforeignmemory_map_resource(xch->fmem, (domid_t)guest_domid,
                                        XENMEM_resource_grant_table,
                                        XENMEM_resource_grant_table_id_shared, 0, 1, &table,
                                        PROT_READ | PROT_WRITE, 0);
    if (!res) {
        xc_perror(xch, "could not map domain %u's grant table", guest_domid);
        return -1;
    }
    rc = seed_entry(xch, table, GNTTAB_RESERVED_CONSOLE, guest_domid, console_domid,
                    console_gfn);
    if (!rc) {
        rc = seed_entry(xch, table, GNTTAB_RESERVED_XENSTORE, guest_domid, xenstore_domid,
                        xenstore_gfn);
    }
    xenforeignmemory_unmap_resource(xch->fmem, res);
    return rc;
}

int xc_dom_gnttab_init(struct xc_dom_image *dom)
{
    return xc_dom_gnttab_seed(dom->xch, dom->guest_domid, xc_dom_translated(dom),
                              xc_dom_p2m(dom, dom->console_pfn),
                              xc_dom_p2m(dom, dom->xenstore_pfn), dom->console_domid,
                              dom->xenstore_domid);
}
