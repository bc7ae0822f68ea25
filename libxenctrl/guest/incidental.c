/* SPDX-License-Identifier: MIT */
/*
 * Functions that 4.17's library exports though no header declares them. They are here with the
 * prototypes that they have there.
 */
#include "libxenctrl/guest/incidental.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libxenctrl/ctrl/private.h"

#include "libxenctrl/guest/decompress.h"

/* ---- numbers ---------------------------------------------------------------------------- */

unsigned long csum_page(void *page)
{
    const unsigned long *p = page;
    unsigned long long sum = 0;

    for (size_t i = 0; i < XC_PAGE_SIZE / sizeof(*p); i++) {
        sum += p[i];
    }
    return sum ^ (sum >> 32);
}

int pin_table(xc_interface *xch, unsigned int type, unsigned long mfn, uint32_t dom)
{
    struct mmuext_op op = { .cmd = type, .arg1.mfn = mfn };

    return xc_mmuext_op(xch, &op, 1, dom) < 0 ? -1 : 0;
}

/* ---- names ------------------------------------------------------------------------------ */

/* Types of records in a migration stream (Xen's docs/specs/libxc-migration-stream.pandoc). */
const char *rec_type_to_str(uint32_t type)
{
    static const char *const names[] = {
        "End", "Page data", "x86 PV info", "x86 PV P2M frames", "x86 PV vcpu basic",
        "x86 PV vcpu extended", "x86 PV vcpu xsave", "Shared info", "x86 TSC info",
        "HVM context", "HVM params", "Toolstack", "x86 PV vcpu msrs", "Verify", "Checkpoint",
        "Checkpoint dirty pfn list", "Static data end", "x86 CPUID policy", "x86 MSR policy",
    };

    return type < sizeof(names) / sizeof(names[0]) ? names[type] : "Reserved";
}

const char *dhdr_type_to_str(uint32_t type)
{
    static const char *const names[] = { "Reserved", "x86 PV", "x86 HVM" };

    return type < sizeof(names) / sizeof(names[0]) ? names[type] : "Reserved";
}

/* A bit for each vendor; the registers are CPUID leaf 0's. */
static const struct {
    unsigned int bit;
    const char *id;
    const char *name;
} vendors[] = {
    { 1u << 0, "GenuineIntel", "Intel" },
    { 1u << 1, "AuthenticAMD", "AMD" },
    { 1u << 2, "CentaurHauls", "Centaur" },
    { 1u << 3, "  Shanghai  ", "Shanghai" },
    { 1u << 4, "HygonGenuine", "Hygon" },
};

unsigned int x86_cpuid_lookup_vendor(uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    char id[12];

    memcpy(id, &ebx, 4);
    memcpy(id + 4, &edx, 4);
    memcpy(id + 8, &ecx, 4);
    for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
        if (!memcmp(id, vendors[i].id, sizeof(id))) {
            return vendors[i].bit;
        }
    }
    return 0;
}

const char *x86_cpuid_vendor_to_str(unsigned int vendor)
{
    for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
        if (vendors[i].bit == vendor) {
            return vendors[i].name;
        }
    }
    return "Unknown";
}

/* ---- packed images ---------------------------------------------------------------------- */

char *xc_inflate_buffer(xc_interface *xch, const char *in_buf, unsigned long in_size,
                        unsigned long *out_size)
{
    const uint8_t *in = (const void *)in_buf;
    const char *why = "";
    uint8_t *out;
    size_t size;

    if (in_size < 18 || dc_detect(in, in_size) != DC_GZIP) {
        /* Not packed: as it is. */
        if (out_size) {
            *out_size = in_size;
        }
        return (char *)(uintptr_t)in_buf;
    }
    if (dc_unpack(DC_GZIP, in, in_size, XC_DOM_DECOMPRESS_MAX, &out, &size, &why)) {
        xc_perror(xch, "the packed image %s", why);
        return NULL;
    }
    if (out_size) {
        *out_size = size;
    }
    return (char *)out;
}

char *xc_read_image(xc_interface *xch, const char *filename, unsigned long *size)
{
    int fd = filename ? open(filename, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    char *image = NULL, *out = NULL;
    struct stat st;

    if (fd < 0 || fstat(fd, &st)) {
        xc_perror(xch, "could not open %s", filename ? filename : "an image without a name");
    } else if (!S_ISREG(st.st_mode) || !st.st_size || st.st_size > XC_DOM_DECOMPRESS_MAX) {
        errno = EINVAL;
        xc_error(xch, "%s is no file of 1 byte to 1 GiB", filename);
    } else {
        image = malloc((size_t)st.st_size);
        if (!image || read_exact(fd, image, (size_t)st.st_size)) {
            xc_perror(xch, "could not read %s", filename);
        } else {
            out = xc_inflate_buffer(xch, image, (unsigned long)st.st_size, size);
        }
    }
    if (image && out != image) {
        free(image);
    }
    if (fd >= 0) {
        int saved = errno;

        close(fd);
        errno = saved;
    }
    return out;
}

int xc_try_lz4_decode(struct xc_dom_image *dom, void **blob, size_t *psize)
{
    const char *why = "";
    uint8_t *out;
    size_t size;

    if (dc_detect(*blob, *psize) != DC_LZ4) {
        errno = EINVAL;
        return -1;
    }
    if (dc_unpack(DC_LZ4, *blob, *psize, dom->max_kernel_size, &out, &size, &why)) {
        xc_dom_printf(dom->xch, "%s: %s", __func__, why);
        return -1;
    }
    if (xc_dom_register_external(dom, out, size)) {
        free(out);
        return -1;
    }
    *blob = out;
    *psize = size;
    return 0;
}
