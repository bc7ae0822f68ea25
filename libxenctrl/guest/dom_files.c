/* SPDX-License-Identifier: MIT */
/* Kernel and module bytes: reading them, their size limits, gzip. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "libxenctrl/guest/decompress.h"
#include "libxenctrl/guest/dom.h"

/* ---- limits ----------------------------------------------------------------------------- */

int xc_dom_kernel_check_size(struct xc_dom_image *dom, size_t sz)
{
    return sz > dom->max_kernel_size;
}

int xc_dom_kernel_max_size(struct xc_dom_image *dom, size_t sz)
{
    dom->max_kernel_size = sz;
    return 0;
}

int xc_dom_module_max_size(struct xc_dom_image *dom, size_t sz)
{
    dom->max_module_size = sz;
    return 0;
}

int xc_dom_devicetree_max_size(struct xc_dom_image *dom, size_t sz)
{
    dom->max_devicetree_size = sz;
    return 0;
}

/* ---- gzip ------------------------------------------------------------------------------- */

size_t xc_dom_check_gzip(xc_interface *xch, void *blob, size_t ziplen)
{
    const uint8_t *p = blob;
    size_t size;

    /* Shorter than the fixed header and trailer: not gzip. */
    if (ziplen < 18 || dc_detect(p, ziplen) != DC_GZIP) {
        return 0;
    }
    p += ziplen - 4;
    size = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    return size > XC_DOM_DECOMPRESS_MAX ? 0 : size;
}

int xc_dom_do_gunzip(xc_interface *xch, void *src, size_t srclen, void *dst, size_t dstlen)
{
    z_stream z = { .next_in = src, .next_out = dst };
    int rc;

    if (srclen > UINT32_MAX || dstlen > UINT32_MAX) {
        errno = EFBIG;
        return -1;
    }
    z.avail_in = (uInt)srclen;
    z.avail_out = (uInt)dstlen;
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {
        errno = ENOMEM;
        return -1;
    }
    rc = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    /* Several streams behind each other unpack in part only; that is for the guest to do. */
    if (rc != Z_STREAM_END || z.avail_out || z.avail_in) {
        xc_dom_printf(xch, "%s: does not unpack to exactly %zu bytes", __func__, dstlen);
        errno = EINVAL;
        return -1;
    }
    xc_dom_printf(xch, "%s: unzip ok, 0x%zx -> 0x%zx", __func__, srclen, dstlen);
    return 0;
}

int xc_dom_try_gunzip(struct xc_dom_image *dom, void **blob, size_t *size)
{
    size_t len = xc_dom_check_gzip(dom->xch, *blob, *size);
    void *p;

    if (!len) {
        return 0;
    }
    if (xc_dom_kernel_check_size(dom, len)) {
        return 0;
    }
    p = xc_dom_malloc(dom, len);
    if (!p || xc_dom_do_gunzip(dom->xch, *blob, *size, p, len)) {
        return -1;
    }
    *blob = p;
    *size = len;
    return 0;
}

/* ---- files ------------------------------------------------------------------------------ */

/*
 * The whole file in memory of the image's own. It is read, not mapped: a file that shrinks
 * under a mapping would kill the process.
 */
static void *read_file(struct xc_dom_image *dom, const char *what, const char *filename,
                       size_t *size, size_t max_size)
{
    int fd = open(filename, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    void *p = NULL;

    if (fd < 0 || fstat(fd, &st) < 0) {
        dom_fail(dom, XC_INVALID_KERNEL, "could not open %s %s: %s", what, filename,
                 strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        dom_fail(dom, XC_INVALID_KERNEL, "%s %s is not a regular file", what, filename);
        goto out;
    }
    if (!st.st_size || (max_size && (size_t)st.st_size > max_size)) {
        errno = EFBIG;
        dom_fail(dom, XC_INVALID_KERNEL, "%s %s has %lld bytes; 1 to %zu are allowed", what,
                 filename, (long long)st.st_size, max_size);
        goto out;
    }
    p = xc_dom_malloc_page_aligned(dom, (size_t)st.st_size);
    if (!p) {
        goto out;
    }
    if (read_exact(fd, p, (size_t)st.st_size)) {
        dom_fail(dom, XC_INVALID_KERNEL, "could not read %s %s: %s", what, filename,
                 errno ? strerror(errno) : "it became shorter");
        p = NULL;
        goto out;
    }
    dom->alloc_mem_map -= (size_t)st.st_size;
    dom->alloc_file_map += (size_t)st.st_size;
    *size = (size_t)st.st_size;
 out:
    if (fd >= 0) {
        int saved = errno;

        close(fd);
        errno = saved;
    }
    return p;
}

void *xc_dom_malloc_filemap(struct xc_dom_image *dom, const char *filename, size_t *size,
                            const size_t max_size)
{
    return read_file(dom, "the file", filename, size, max_size);
}

int xc_dom_kernel_file(struct xc_dom_image *dom, const char *filename)
{
    xc_dom_printf(dom->xch, "%s: filename=\"%s\"", __func__, filename);
    dom->kernel_blob = read_file(dom, "the kernel", filename, &dom->kernel_size,
                                 dom->max_kernel_size);
    return dom->kernel_blob ? 0 : -1;
}

int xc_dom_kernel_mem(struct xc_dom_image *dom, const void *mem, size_t memsize)
{
    xc_dom_printf(dom->xch, "%s: called", __func__);
    dom->kernel_blob = (void *)(uintptr_t)mem;
    dom->kernel_size = memsize;
    return 0;
}

static int add_module(struct xc_dom_image *dom, void *blob, size_t size, const char *cmdline)
{
    struct xc_dom_module *m = &dom->modules[dom->num_modules];

    m->blob = blob;
    m->size = size;
    m->cmdline = NULL;
    if (cmdline) {
        m->cmdline = xc_dom_strdup(dom, cmdline);
        if (!m->cmdline) {
            return -1;
        }
    }
    dom->num_modules++;
    return 0;
}

static int check_modules(struct xc_dom_image *dom)
{
    if (dom->num_modules >= XG_MAX_MODULES) {
        errno = E2BIG;
        return dom_fail(dom, XC_INVALID_PARAM, "more than %d modules", XG_MAX_MODULES);
    }
    return 0;
}

int xc_dom_module_file(struct xc_dom_image *dom, const char *filename, const char *cmdline)
{
    size_t size = 0;
    void *blob;

    xc_dom_printf(dom->xch, "%s: filename=\"%s\"", __func__, filename);
    if (check_modules(dom)) {
        return -1;
    }
    blob = read_file(dom, "the ramdisk", filename, &size, dom->max_module_size);
    return blob ? add_module(dom, blob, size, cmdline) : -1;
}

int xc_dom_module_mem(struct xc_dom_image *dom, const void *mem, size_t memsize,
                      const char *cmdline)
{
    xc_dom_printf(dom->xch, "%s: called", __func__);
    if (check_modules(dom)) {
        return -1;
    }
    return add_module(dom, (void *)(uintptr_t)mem, memsize, cmdline);
}

int xc_dom_devicetree_file(struct xc_dom_image *dom, const char *filename)
{
    xc_dom_printf(dom->xch, "%s: filename=\"%s\"", __func__, filename);
    dom->devicetree_blob = read_file(dom, "the device tree", filename, &dom->devicetree_size,
                                     dom->max_devicetree_size);
    return dom->devicetree_blob ? 0 : -1;
}

int xc_dom_devicetree_mem(struct xc_dom_image *dom, const void *mem, size_t memsize)
{
    xc_dom_printf(dom->xch, "%s: called", __func__);
    dom->devicetree_blob = (void *)(uintptr_t)mem;
    dom->devicetree_size = memsize;
    return 0;
}

/* ---- modules into the guest ------------------------------------------------------------- */

/*
 * As Xen does it: a module without a place of its own that is one gzip stream is unpacked, if
 * that is within the limit; whatever else it is, it goes in as it is.
 */
int dom_build_module(struct xc_dom_image *dom, unsigned int index)
{
    struct xc_dom_module *m = &dom->modules[index];
    size_t unpacked = 0, size;
    char name[16];
    void *to;

    if (!m->seg.vstart) {
        unpacked = xc_dom_check_gzip(dom->xch, m->blob, m->size);
        if (unpacked > dom->max_module_size) {
            unpacked = 0;
        }
    }
    size = unpacked > m->size ? unpacked : m->size;
    snprintf(name, sizeof(name), index ? "module%u" : "the ramdisk", index);
    if (xc_dom_alloc_segment(dom, &m->seg, name, m->seg.vstart, size)) {
        return -1;
    }
    to = xc_dom_seg_to_ptr(dom, &m->seg);
    if (!to) {
        return dom_fail(dom, XC_INTERNAL_ERROR, "could not map the guest's memory for the "
                        "ramdisk: %s", strerror(errno));
    }
    if (unpacked && !xc_dom_do_gunzip(dom->xch, m->blob, m->size, to, unpacked)) {
        m->seg.vend = m->seg.vstart + unpacked;
        return 0;
    }
    memcpy(to, m->blob, m->size);
    if (size > m->size) {
        memset((uint8_t *)to + m->size, 0, size - m->size);
    }
    m->seg.vend = m->seg.vstart + m->size;
    return 0;
}
