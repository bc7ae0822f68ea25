/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor console: what `xl dmesg` shows. The core's own messages and what guests print by
 * CONSOLEIO_write or the debug port, line by line, in a ring.
 */
#ifndef KR_CORE_CONSOLE_H
#define KR_CORE_CONSOLE_H

#include "hypervisor/core/core.h"

/* Adds bytes as they are; the oldest are overwritten. Raises VIRQ_CON_RING. */
void console_put(struct core *core, const char *text, size_t len);
/*
 * A guest's output: whole lines, marked with its domid, control characters removed, rate limited.
 */
void console_guest_write(struct domain *d, const char *text, size_t len);
/* A line of the core's own, "(XEN) " in front, also sent to the daemon's log. */
void console_printf(struct core *core, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
