/* SPDX-License-Identifier: MIT */
/* The domain builder's own view of struct xc_dom_image; see xenguest.h for how a build goes. */
#ifndef XG_DOM_H
#define XG_DOM_H

#include "libxenctrl/ctrl/private.h"

#include <xenguest.h>

#include "libxenctrl/guest/kernel.h"

/* What dom->parms points to. */
struct elf_dom_parms {
    struct kernel_image image;
    const uint8_t *bytes;      /* the unpacked image that `image` describes */
    size_t size;
};

/* A kind of image: probe says whether it is one (0), parser and loader as the builder's steps. */
struct xc_dom_loader {
    char *name;
    int (*probe)(struct xc_dom_image *dom);
    int (*parser)(struct xc_dom_image *dom);
    int (*loader)(struct xc_dom_image *dom);
    struct xc_dom_loader *next;
};

/* dom_registry.c: what programs registered; NULL for the library's own. */
void xc_dom_register_loader(struct xc_dom_loader *loader);
struct xc_dom_loader *dom_find_loader(struct xc_dom_image *dom);
struct xc_dom_arch *dom_find_arch(const char *guest_type);

/* dom_core.c: reports a failure; -1 for the caller to return. err is an enum xc_error_code. */
int dom_fail(struct xc_dom_image *dom, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* dom_files.c: copies a module into guest memory, unpacked if it is to be; part of building. */
int dom_build_module(struct xc_dom_image *dom, unsigned int index);

/* dom_hvm.c: PVH guests, as far as xc_dom_arch covers them; and what comes between its hooks. */
extern struct xc_dom_arch dom_hvm_arch;
int dom_hvm_load_acpi(struct xc_dom_image *dom);
int dom_hvm_alloc_start_info(struct xc_dom_image *dom);

/* dom_hvm_memory.c: populates the guest's memory. */
int dom_hvm_meminit(struct xc_dom_image *dom);

#endif
