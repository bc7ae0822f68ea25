/* SPDX-License-Identifier: MIT */
/*
 * A machine's serial line: what the console ring gets and what domain 0 writes goes out, and what
 * comes in is domain 0's to read (CONSOLEIO_read, announced by VIRQ_CONSOLE). The other end is the
 * operator's terminal; when it is closed the machine is switched off.
 *
 * Never waits: output that the line does not take is kept, and the oldest of it is lost when it
 * comes faster than the line takes it; input that nobody reads is not taken off the line.
 */
#ifndef KR_CORE_SERIAL_H
#define KR_CORE_SERIAL_H

#include "hypervisor/core/core.h"

/* Takes over fd, a stream socket. Returns 0, or -1 with errno (fd is then still the caller's). */
int serial_open(struct core *core, int fd);
/* Gives the last output a moment (at most a second), then closes the line. Without one: nothing. */
void serial_close(struct core *core);

/* Sends bytes as they are. Without a line: nothing. */
void serial_put(struct core *core, const char *text, size_t len);
/* Takes at most len bytes that came in; returns how many. */
size_t serial_read(struct core *core, char *buf, size_t len);

#endif
