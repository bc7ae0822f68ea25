/* SPDX-License-Identifier: MIT */
/* incidental.c's functions, which are no part of the public interface. */
#ifndef XG_INCIDENTAL_H
#define XG_INCIDENTAL_H

#include <xenctrl.h>
#include <xenguest.h>

/* Of a page's longs; for debugging saves. */
unsigned long csum_page(void *page);

/* type: MMUEXT_PIN_*. */
int pin_table(xc_interface *xch, unsigned int type, unsigned long mfn, uint32_t dom);

/* Of records and domains in a migration stream; never NULL. */
const char *rec_type_to_str(uint32_t type);
const char *dhdr_type_to_str(uint32_t type);

unsigned int x86_cpuid_lookup_vendor(uint32_t ebx, uint32_t ecx, uint32_t edx);
const char *x86_cpuid_vendor_to_str(unsigned int vendor);

/* Features that go with one, as words; NULL if none. */
const uint32_t *x86_cpu_policy_lookup_deep_deps(uint32_t feature);

/* malloc()ed, or in_buf itself if it is not gzip data; NULL on failure. */
char *xc_inflate_buffer(xc_interface *xch, const char *in_buf, unsigned long in_size,
                        unsigned long *out_size);

/* The file's bytes, unpacked if it is gzip data; malloc()ed. NULL on failure. */
char *xc_read_image(xc_interface *xch, const char *filename, unsigned long *size);

/* Replaces *blob if it is lz4 data; -1 if it is not. */
int xc_try_lz4_decode(struct xc_dom_image *dom, void **blob, size_t *psize);

#endif
