/* SPDX-License-Identifier: MIT */
/*
 * Linux bzImages and packed images, and the loading of parsed ones. The setup header's fields are
 * those of Linux's Documentation/arch/x86/boot.rst.
 */
#include "libxenctrl/guest/kernel.h"

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/guest/decompress.h"
#include "libxenctrl/guest/kernel_internal.h"

/* Offsets in the image's first sector. */
#define BZ_SETUP_SECTS    0x1f1
#define BZ_BOOT_FLAG      0x1fe
#define BZ_HEADER         0x202
#define BZ_VERSION        0x206
#define BZ_PAYLOAD_OFFSET 0x248
#define BZ_PAYLOAD_LENGTH 0x24c
#define BZ_HEADER_END     0x250

#define BZ_SECTOR           512
#define BZ_VERSION_PAYLOAD  0x0208 /* the first protocol with the payload fields */

int kernel_fail(struct kernel_error *err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    errno = EINVAL;
    return -1;
}

static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p) | le16(p + 2) << 16;
}

bool kernel_is_bzimage(const uint8_t *image, size_t size)
{
    return size >= BZ_HEADER_END && le16(image + BZ_BOOT_FLAG) == 0xaa55 &&
           !memcmp(image + BZ_HEADER, "HdrS", 4);
}

bool kernel_is_elf(const uint8_t *image, size_t size)
{
    return size >= SELFMAG && !memcmp(image, ELFMAG, SELFMAG);
}

/* Where a bzImage's packed kernel is. */
static int bzimage_payload(const uint8_t *image, size_t size, size_t *offset, size_t *len,
                           struct kernel_error *err)
{
    uint32_t version = le16(image + BZ_VERSION);
    uint32_t sects = image[BZ_SETUP_SECTS];
    uint64_t from;

    if (version < BZ_VERSION_PAYLOAD) {
        return kernel_fail(err, "the bzImage's boot protocol %u.%02u is older than 2.08",
                           version >> 8, version & 0xff);
    }
    /* A count of zero means four; the boot sector itself is not counted. */
    from = ((uint64_t)(sects ? sects : 4) + 1) * BZ_SECTOR;
    from += le32(image + BZ_PAYLOAD_OFFSET);
    *len = le32(image + BZ_PAYLOAD_LENGTH);
    if (from >= size || !*len || *len > size - from) {
        return kernel_fail(err, "the bzImage is truncated: its payload is %zu bytes at %#llx, "
                           "the file has %zu", *len, (unsigned long long)from, size);
    }
    *offset = (size_t)from;
    return 0;
}

int kernel_unpack(const uint8_t *image, size_t size, size_t limit, uint8_t **out,
                  size_t *out_size, struct kernel_error *err)
{
    const char *what = "image", *why = "";
    size_t offset = 0, len = size;
    enum dc_format format;

    *out = NULL;
    *out_size = 0;
    if (kernel_is_bzimage(image, size)) {
        what = "bzImage's payload";
        if (bzimage_payload(image, size, &offset, &len, err)) {
            return -1;
        }
    }
    format = dc_detect(image + offset, len);
    if (format == DC_NONE && (!offset || kernel_is_elf(image + offset, len))) {
        if (offset) {
            /* An uncompressed payload; the caller frees what it gets, so it gets a copy. */
            *out = malloc(len);
            if (!*out) {
                return kernel_fail(err, "no memory for a kernel of %zu bytes", len);
            }
            memcpy(*out, image + offset, len);
            *out_size = len;
        }
        return 0;
    }
    if (dc_unpack(format, image + offset, len, limit, out, out_size, &why)) {
        int saved = errno;

        kernel_fail(err, "the kernel %s (%s, %zu bytes) %s", what, dc_name(format), len, why);
        errno = saved;
        return -1;
    }
    if (offset && len >= 4 && *out_size != le32(image + offset + len - 4)) {
        /* Linux appends the size; lz4 has no checksum that would notice damage. */
        kernel_fail(err, "the bzImage is damaged: its kernel unpacks to %zu bytes, not %u",
                    *out_size, le32(image + offset + len - 4));
        free(*out);
        *out = NULL;
        return -1;
    }
    return 0;
}

int kernel_check_pvh(const struct kernel_image *k, struct kernel_error *err)
{
    uint64_t entry = k->value[KN_PHYS32_ENTRY];

    if (!(k->notes & 1u << KN_PHYS32_ENTRY)) {
        return kernel_fail(err, "the kernel cannot start as PVH: it has no Xen PHYS32_ENTRY note"
                           "%s", k->notes & 1u << KN_ENTRY ? " (it is a PV kernel)" : "");
    }
    if (entry < k->start || entry >= k->end) {
        return kernel_fail(err, "the kernel's PVH entry point %#llx lies outside its segments "
                           "%#llx-%#llx", (unsigned long long)entry,
                           (unsigned long long)k->start, (unsigned long long)k->end);
    }
    return 0;
}

void kernel_load(const struct kernel_image *k, const uint8_t *image, uint8_t *dest)
{
    for (unsigned int i = 0; i < k->nr_segments; i++) {
        const struct kernel_segment *s = &k->segments[i];
        uint8_t *to = dest + (s->paddr - k->start);

        memcpy(to, image + s->offset, s->file_size);
        memset(to + s->file_size, 0, s->mem_size - s->file_size);
    }
}
