/* SPDX-License-Identifier: MIT */
#ifndef TESTS_LIBXL_LAYOUT_H
#define TESTS_LIBXL_LAYOUT_H

/* A type's size, a field's offset and size, or a constant's value. */
struct layout {
    const char *what;
    long value;
    unsigned long size;
};

extern const struct layout stock_layout[];
extern const unsigned stock_layout_count; /* 0 without libxen-dev */

#endif
