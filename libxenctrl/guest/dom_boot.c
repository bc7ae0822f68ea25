/* SPDX-License-Identifier: MIT */
/* The steps of a build, in their order. */
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/guest/dom.h"

/* ---- the kernel ------------------------------------------------------------------------- */

static void print_kernel(struct xc_dom_image *dom, const struct kernel_image *k)
{
    for (unsigned int i = 0; i < k->nr_segments; i++) {
        xc_dom_printf(dom->xch, "ELF: segment: paddr=0x%llx memsz=0x%llx",
                      (unsigned long long)k->segments[i].paddr,
                      (unsigned long long)k->segments[i].mem_size);
    }
    xc_dom_printf(dom->xch, "ELF: GUEST_OS=\"%s\" GUEST_VERSION=\"%s\" PHYS32_ENTRY=0x%llx",
                  k->guest_os, k->guest_version,
                  (unsigned long long)k->value[KN_PHYS32_ENTRY]);
    xc_dom_printf(dom->xch, "%s: 0x%llx -> 0x%llx", dom->guest_type,
                  (unsigned long long)k->start, (unsigned long long)k->end);
}

/* Replaces the kernel's bytes by what is packed in them, if it is. */
static int unpack_kernel(struct xc_dom_image *dom, struct kernel_error *err)
{
    uint8_t *out;
    size_t size;

    if (kernel_unpack(dom->kernel_blob, dom->kernel_size, dom->max_kernel_size, &out, &size,
                      err)) {
        return -1;
    }
    if (!out) {
        return 0;
    }
    xc_dom_printf(dom->xch, "%s: 0x%zx -> 0x%zx", __func__, dom->kernel_size, size);
    if (xc_dom_register_external(dom, out, size)) {
        free(out);
        snprintf(err->text, sizeof(err->text), "no memory for the kernel");
        return -1;
    }
    dom->kernel_blob = out;
    dom->kernel_size = size;
    return 0;
}

int xc_dom_parse_image(struct xc_dom_image *dom)
{
    struct kernel_error err = { "" };
    struct elf_dom_parms *parms;

    xc_dom_printf(dom->xch, "%s: called", __func__);
    if (!dom->kernel_blob) {
        errno = EINVAL;
        return dom_fail(dom, XC_INVALID_KERNEL, "no kernel was given");
    }
    if (dom->container_type != XC_DOM_HVM_CONTAINER) {
        errno = ENOSYS;
        return dom_fail(dom, XC_INVALID_PARAM, "PV guests cannot be built yet");
    }
    dom->kernel_loader = dom_find_loader(dom);
    if (dom->kernel_loader) {
        xc_dom_printf(dom->xch, "%s: loader %s", __func__, dom->kernel_loader->name);
        if (dom->kernel_loader->parser(dom)) {
            return -1;
        }
        return xc_dom_set_arch_hooks(dom) ? -1 : xc_dom_compat_check(dom);
    }
    parms = xc_dom_malloc(dom, sizeof(*parms));
    if (!parms) {
        return -1;
    }
    if (unpack_kernel(dom, &err) ||
        kernel_parse_elf(dom->kernel_blob, dom->kernel_size, &parms->image, &err) ||
        kernel_check_pvh(&parms->image, &err)) {
        return dom_fail(dom, XC_INVALID_KERNEL, "%s", err.text);
    }
    parms->bytes = dom->kernel_blob;
    parms->size = dom->kernel_size;
    dom->parms = parms;
    dom->guest_type = dom_hvm_arch.guest_type;
    dom->kernel_seg.vstart = parms->image.start;
    dom->kernel_seg.vend = parms->image.end;
    print_kernel(dom, &parms->image);
    return xc_dom_set_arch_hooks(dom) ? -1 : xc_dom_compat_check(dom);
}

int xc_dom_set_arch_hooks(struct xc_dom_image *dom)
{
    dom->arch_hooks = dom->guest_type ? dom_find_arch(dom->guest_type) : NULL;
    if (dom->arch_hooks) {
        return 0;
    }
    if (!dom->guest_type || strcmp(dom->guest_type, dom_hvm_arch.guest_type)) {
        errno = EINVAL;
        return dom_fail(dom, XC_INVALID_KERNEL, "there is no builder for guests of type %s",
                        dom->guest_type ? dom->guest_type : "(none)");
    }
    dom->arch_hooks = &dom_hvm_arch;
    return 0;
}

int xc_dom_compat_check(struct xc_dom_image *dom)
{
    const char *caps = dom->xen_caps;
    size_t len;

    if (!dom->guest_type) {
        errno = EINVAL;
        return dom_fail(dom, XC_INTERNAL_ERROR, "the kernel has not been parsed");
    }
    len = strlen(dom->guest_type);
    while (*caps) {
        size_t n = strcspn(caps, " ");

        if (n == len && !memcmp(caps, dom->guest_type, len)) {
            return 0;
        }
        caps += n;
        caps += strspn(caps, " ");
    }
    errno = ENOTSUP;
    return dom_fail(dom, XC_INVALID_KERNEL, "the host does not run guests of type %s",
                    dom->guest_type);
}

static int load_kernel(struct xc_dom_image *dom)
{
    const struct elf_dom_parms *p = dom->parms;
    uint64_t start;
    uint8_t *to;

    if (dom->kernel_loader) {
        start = dom->kernel_seg.vstart & XC_PAGE_MASK;
        return xc_dom_alloc_segment(dom, &dom->kernel_seg, "the kernel", start,
                                    dom->kernel_seg.vend - start) ||
               dom->kernel_loader->loader(dom) ? -1 : 0;
    }
    start = p->image.start & XC_PAGE_MASK;
    if (xc_dom_alloc_segment(dom, &dom->kernel_seg, "the kernel", start, p->image.end - start)) {
        return -1;
    }
    to = xc_dom_seg_to_ptr(dom, &dom->kernel_seg);
    if (!to) {
        return dom_fail(dom, XC_INTERNAL_ERROR, "could not map the guest's memory: %s",
                        strerror(errno));
    }
    kernel_load(&p->image, p->bytes, to + (p->image.start - start));
    return 0;
}

/* Everything from here on depends on what kind of kernel it is. */
static int needs_parsing(struct xc_dom_image *dom)
{
    if ((dom->parms || dom->kernel_loader) && dom->arch_hooks) {
        return 0;
    }
    errno = EINVAL;
    return dom_fail(dom, XC_INTERNAL_ERROR, "the kernel has not been parsed");
}

/* ---- memory ----------------------------------------------------------------------------- */

int xc_dom_mem_init(struct xc_dom_image *dom, unsigned int mem_mb)
{
    dom->total_pages = (xen_pfn_t)mem_mb << (20 - XC_PAGE_SHIFT);
    xc_dom_printf(dom->xch, "%s: mem %u MB, pages 0x%llx pages, 4k each", __func__, mem_mb,
                  (unsigned long long)dom->total_pages);
    return 0;
}

int xc_dom_boot_mem_init(struct xc_dom_image *dom)
{
    xc_dom_printf(dom->xch, "%s: called", __func__);
    return needs_parsing(dom) ? -1 : dom->arch_hooks->meminit(dom);
}

/* ---- building and starting -------------------------------------------------------------- */

int xc_dom_build_image(struct xc_dom_image *dom)
{
    xc_dom_printf(dom->xch, "%s: called", __func__);
    if (needs_parsing(dom) || load_kernel(dom) || dom_hvm_load_acpi(dom) ||
        dom->arch_hooks->alloc_magic_pages(dom) || dom_hvm_alloc_start_info(dom)) {
        return -1;
    }
    xc_dom_printf(dom->xch, "%-20s: virt_alloc_end : 0x%llx", __func__,
                  (unsigned long long)dom->virt_alloc_end);
    for (unsigned int i = 0; i < dom->num_modules; i++) {
        if (dom_build_module(dom, i)) {
            return -1;
        }
    }
    return 0;
}

int xc_dom_boot_image(struct xc_dom_image *dom)
{
    int rc;

    xc_dom_printf(dom->xch, "%s: called", __func__);
    if (needs_parsing(dom)) {
        return -1;
    }
    rc = dom->arch_hooks->start_info(dom);
    if (!rc) {
        rc = dom->arch_hooks->vcpu(dom);
    }
    xc_dom_log_memory_footprint(dom);
    return rc;
}
