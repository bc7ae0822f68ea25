/* SPDX-License-Identifier: MIT */
/* The image: its memory, its log, its end. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/paths.h"
#include "libxenctrl/guest/dom.h"

/* ---- logging ---------------------------------------------------------------------------- */

int xc_dom_loginit(xc_interface *xch)
{
    char dir[PATH_MAX], path[PATH_MAX + 32];

    if (xch->dombuild_logger) {
        return 0;
    }
    if (!xch->dombuild_logger_file) {
        if (kr_path_mkdir(KR_XEN_LOG) || !kr_path(KR_XEN_LOG, dir, sizeof(dir))) {
            xc_perror(xch, "no directory for the domain builder's log");
            return -1;
        }
        snprintf(path, sizeof(path), "%s/domain-builder-ng.log", dir);
        xch->dombuild_logger_file = fopen(path, "ae");
        if (!xch->dombuild_logger_file) {
            xc_perror(xch, "could not open the log file %s", path);
            return -1;
        }
        setvbuf(xch->dombuild_logger_file, NULL, _IONBF, 0);
    }
    xch->dombuild_logger_tofree = (xentoollog_logger *)xtl_createlogger_stdiostream(
        xch->dombuild_logger_file, XTL_DETAIL,
        XTL_STDIOSTREAM_SHOW_DATE | XTL_STDIOSTREAM_SHOW_PID);
    xch->dombuild_logger = xch->dombuild_logger_tofree;
    return xch->dombuild_logger ? 0 : -1;
}

void xc_dom_printf(xc_interface *xch, const char *fmt, ...)
{
    int saved = errno;
    va_list args;

    if (!xch->dombuild_logger) {
        return;
    }
    va_start(args, fmt);
    xtl_logv(xch->dombuild_logger, XTL_DETAIL, -1, "domainbuilder", fmt, args);
    va_end(args);
    errno = saved;
}

void xc_dom_panic_func(xc_interface *xch, const char *file, int line, xc_error_code err,
                       const char *fmt, ...)
{
    char message[XC_MAX_ERROR_MSG_LEN];
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    xc_report(xch, NULL, XTL_ERROR, err, "%s:%d: %s", file, line, message);
}

int dom_fail(struct xc_dom_image *dom, int err, const char *fmt, ...)
{
    int saved = errno;
    va_list args;

    /* Without the code's name: the message says it. But the code is kept for the caller. */
    va_start(args, fmt);
    xc_reportv(dom->xch, NULL, XTL_ERROR, XC_INTERNAL_ERROR, fmt, args);
    va_end(args);
    ((struct xc_error *)(uintptr_t)xc_get_last_error(dom->xch))->code = err;
    errno = saved ? saved : EINVAL;
    return -1;
}

static void print_size(struct xc_dom_image *dom, const char *what, size_t size)
{
    if (size >= 10 * 1024 * 1024) {
        xc_dom_printf(dom->xch, "%-24s: %zu MB", what, size >> 20);
    } else if (size >= 10 * 1024) {
        xc_dom_printf(dom->xch, "%-24s: %zu kB", what, size >> 10);
    } else {
        xc_dom_printf(dom->xch, "%-24s: %zu bytes", what, size);
    }
}

void xc_dom_log_memory_footprint(struct xc_dom_image *dom)
{
    xc_dom_printf(dom->xch, "domain builder memory footprint");
    print_size(dom, "   malloc", dom->alloc_malloc);
    print_size(dom, "   anonymous mmap", dom->alloc_mem_map);
    print_size(dom, "   files read", dom->alloc_file_map);
    print_size(dom, "   guest memory mapped", dom->alloc_domU_map);
}

/* ---- memory that the image owns --------------------------------------------------------- */

static void own(struct xc_dom_image *dom, struct xc_dom_mem *block)
{
    block->next = dom->memblocks;
    dom->memblocks = block;
}

void *xc_dom_malloc(struct xc_dom_image *dom, size_t size)
{
    struct xc_dom_mem *block;

    if (size > SIZE_MAX - sizeof(*block)) {
        dom_fail(dom, XC_OUT_OF_MEMORY, "an allocation of %zu bytes is too large", size);
        return NULL;
    }
    block = calloc(1, sizeof(*block) + size);
    if (!block) {
        dom_fail(dom, XC_OUT_OF_MEMORY, "no memory for %zu bytes", size);
        return NULL;
    }
    block->type = XC_DOM_MEM_TYPE_MALLOC_INTERNAL;
    block->len = size;
    own(dom, block);
    dom->alloc_malloc += sizeof(*block) + size;
    return block->memory;
}

int xc_dom_register_external(struct xc_dom_image *dom, void *ptr, size_t size)
{
    struct xc_dom_mem *block = calloc(1, sizeof(*block));

    if (!block) {
        return dom_fail(dom, XC_OUT_OF_MEMORY, "no memory for %zu bytes", sizeof(*block));
    }
    block->type = XC_DOM_MEM_TYPE_MALLOC_EXTERNAL;
    block->ptr = ptr;
    block->len = size;
    own(dom, block);
    dom->alloc_malloc += sizeof(*block) + size;
    return 0;
}

void *xc_dom_malloc_page_aligned(struct xc_dom_image *dom, size_t size)
{
    struct xc_dom_mem *block = calloc(1, sizeof(*block));
    void *p;

    if (!block) {
        dom_fail(dom, XC_OUT_OF_MEMORY, "no memory for %zu bytes", sizeof(*block));
        return NULL;
    }
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        dom_fail(dom, XC_OUT_OF_MEMORY, "no memory for %zu bytes", size);
        free(block);
        return NULL;
    }
    block->type = XC_DOM_MEM_TYPE_MMAP;
    block->ptr = p;
    block->len = size;
    own(dom, block);
    dom->alloc_mem_map += size;
    return p;
}

char *xc_dom_strdup(struct xc_dom_image *dom, const char *str)
{
    size_t len = strlen(str) + 1;
    char *copy = xc_dom_malloc(dom, len);

    if (copy) {
        memcpy(copy, str, len);
    }
    return copy;
}

static void release_block(struct xc_dom_mem *block)
{
    switch (block->type) {
    case XC_DOM_MEM_TYPE_MALLOC_INTERNAL:
        break;
    case XC_DOM_MEM_TYPE_MALLOC_EXTERNAL:
        free(block->ptr);
        break;
    case XC_DOM_MEM_TYPE_MMAP:
        munmap(block->ptr, block->len);
        break;
    }
    free(block);
}

/* ---- beginning and end ------------------------------------------------------------------ */

struct xc_dom_image *xc_dom_allocate(xc_interface *xch, const char *cmdline,
                                     const char *features)
{
    struct xc_dom_image *dom = calloc(1, sizeof(*dom));

    if (!dom) {
        xc_error(xch, "no memory for the domain builder");
        return NULL;
    }
    xc_dom_printf(xch, "%s: cmdline=\"%s\", features=\"%s\"", __func__, cmdline ? cmdline : "",
                  features ? features : "");
    dom->xch = xch;
    dom->max_kernel_size = XC_DOM_DECOMPRESS_MAX;
    dom->max_module_size = XC_DOM_DECOMPRESS_MAX;
    dom->max_devicetree_size = XC_DOM_DECOMPRESS_MAX;
    dom->container_type = XC_DOM_PV_CONTAINER;
    dom->max_vcpus = 1;
    if (cmdline) {
        dom->cmdline = xc_dom_strdup(dom, cmdline);
        dom->cmdline_size = strlen(cmdline) + 1;
        if (!dom->cmdline) {
            xc_dom_release(dom);
            return NULL;
        }
    }
    return dom;
}

void xc_dom_release(struct xc_dom_image *dom)
{
    struct xc_dom_mem *next;

    if (!dom) {
        return;
    }
    xc_dom_printf(dom->xch, "%s: called", __func__);
    xc_dom_unmap_all(dom);
    for (struct xc_dom_mem *block = dom->memblocks; block; block = next) {
        next = block->next;
        release_block(block);
    }
    free(dom);
}

int xc_dom_boot_xen_init(struct xc_dom_image *dom, xc_interface *xch, uint32_t domid)
{
    dom->xch = xch;
    dom->guest_domid = domid;
    dom->xen_version = xc_version(xch, XENVER_version, NULL);
    if (dom->xen_version < 0 || xc_version(xch, XENVER_capabilities, &dom->xen_caps) < 0) {
        return dom_fail(dom, XC_INTERNAL_ERROR, "could not get the host's version: %s",
                        strerror(errno));
    }
    dom->xen_caps[sizeof(dom->xen_caps) - 1] = '\0';
    xc_dom_printf(xch, "%s: ver %d.%d, caps %s", __func__, dom->xen_version >> 16,
                  dom->xen_version & 0xffff, dom->xen_caps);
    return 0;
}

bool xc_dom_translated(const struct xc_dom_image *dom)
{
    return dom->container_type != XC_DOM_PV_CONTAINER;
}

/* ---- what the kernel says --------------------------------------------------------------- */

static uint64_t note(const struct xc_dom_image *dom, enum kernel_note n)
{
    return dom->parms ? dom->parms->image.value[n] : 0;
}

uint64_t xc_dom_virt_base(struct xc_dom_image *dom)
{
    return xc_dom_translated(dom) ? 0 : note(dom, KN_VIRT_BASE);
}

uint64_t xc_dom_virt_entry(struct xc_dom_image *dom)
{
    return note(dom, xc_dom_translated(dom) ? KN_PHYS32_ENTRY : KN_ENTRY);
}

uint64_t xc_dom_virt_hypercall(struct xc_dom_image *dom)
{
    return note(dom, KN_HYPERCALL_PAGE);
}

char *xc_dom_guest_os(struct xc_dom_image *dom)
{
    return dom->parms ? dom->parms->image.guest_os : NULL;
}

/* SUPPORTED_FEATURES says it in bits; kernels before it have names, which PV alone needed. */
bool xc_dom_feature_get(struct xc_dom_image *dom, unsigned int nr)
{
    return nr < 64 && (note(dom, KN_SUPPORTED) >> nr & 1);
}
