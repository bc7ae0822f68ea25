/* SPDX-License-Identifier: MIT */
/*
 * Loaders and kinds of guests that a program brings itself, and older ways into the builder. What
 * is registered goes before what the library has; programs register before they build, from one
 * thread, as the interface has no handle.
 */
#include <string.h>

#include "libxenctrl/guest/dom.h"

static struct xc_dom_loader *loaders;
static struct xc_dom_arch *arches;

void xc_dom_register_loader(struct xc_dom_loader *loader)
{
    loader->next = loaders;
    loaders = loader;
}

void xc_dom_register_arch_hooks(struct xc_dom_arch *hooks)
{
    hooks->next = arches;
    arches = hooks;
}

struct xc_dom_loader *dom_find_loader(struct xc_dom_image *dom)
{
    for (struct xc_dom_loader *l = loaders; l; l = l->next) {
        if (!l->probe(dom)) {
            return l;
        }
    }
    return NULL;
}

struct xc_dom_arch *dom_find_arch(const char *guest_type)
{
    for (struct xc_dom_arch *a = arches; a; a = a->next) {
        if (!strcmp(a->guest_type, guest_type)) {
            return a;
        }
    }
    return NULL;
}

int xc_dom_rambase_init(struct xc_dom_image *dom, uint64_t rambase)
{
    dom->rambase_pfn = rambase >> XC_PAGE_SHIFT;
    xc_dom_printf(dom->xch, "%s: RAM starts at page 0x%llx", __func__,
                  (unsigned long long)dom->rambase_pfn);
    return 0;
}

/* ---- all steps at once ------------------------------------------------------------------ */

static int build(struct xc_dom_image *dom, xc_interface *xch, uint32_t domid, unsigned int mem_mb,
                 const char *image, const char *ramdisk)
{
    return xc_dom_kernel_file(dom, image) ||
           (ramdisk && *ramdisk && xc_dom_module_file(dom, ramdisk, NULL)) ||
           xc_dom_boot_xen_init(dom, xch, domid) || xc_dom_parse_image(dom) ||
           xc_dom_mem_init(dom, mem_mb) || xc_dom_boot_mem_init(dom) ||
           xc_dom_build_image(dom) || xc_dom_boot_image(dom) || xc_dom_gnttab_init(dom) ? -1 : 0;
}

int xc_linux_build(xc_interface *xch, uint32_t domid, unsigned int mem_mb,
                   const char *image_name, const char *ramdisk_name, const char *cmdline,
                   const char *features, unsigned long flags, unsigned int store_evtchn,
                   unsigned long *store_mfn, unsigned int console_evtchn,
                   unsigned long *console_mfn)
{
    struct xc_dom_image *dom = xc_dom_allocate(xch, cmdline, features);
    int rc, saved;

    if (!dom) {
        return -1;
    }
    dom->flags |= flags;
    dom->console_evtchn = console_evtchn;
    dom->xenstore_evtchn = store_evtchn;
    rc = build(dom, xch, domid, mem_mb, image_name, ramdisk_name);
    if (!rc) {
        *console_mfn = (unsigned long)xc_dom_p2m(dom, dom->console_pfn);
        *store_mfn = (unsigned long)xc_dom_p2m(dom, dom->xenstore_pfn);
    }
    saved = errno;
    xc_dom_release(dom);
    errno = saved;
    return rc;
}
