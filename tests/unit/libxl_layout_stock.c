/* SPDX-License-Identifier: MIT */
/* Compiled without our include path: what libxen-dev's header says. */
#include <stddef.h>

#include "tests/unit/libxl_layout.h"

#if __has_include("/usr/include/_libxl_types.h")
#include "/usr/include/libxl.h"

const struct layout stock_layout[] = {
#include "tests/unit/libxl_layout_rows.h"
};
const unsigned stock_layout_count = sizeof(stock_layout) / sizeof(stock_layout[0]);
#else
const struct layout stock_layout[] = { { "", 0, 0 } };
const unsigned stock_layout_count;
#endif
