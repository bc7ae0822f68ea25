/* SPDX-License-Identifier: MIT */
/* Shared by the kernel image readers; see kernel.h for what they offer. */
#ifndef XG_KERNEL_INTERNAL_H
#define XG_KERNEL_INTERNAL_H

#include "libxenctrl/guest/kernel.h"

/* Fills *err, sets errno to EINVAL and returns -1. */
int kernel_fail(struct kernel_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
