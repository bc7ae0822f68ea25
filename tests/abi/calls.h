/* SPDX-License-Identifier: MIT */
/* Between calls.c and the table of calls that check-calls generates. */
#ifndef KR_TESTS_CALLS_H
#define KR_TESTS_CALLS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xenguest.h>

#define CALLS_MEMORY 8192

struct call {
    const char *name;
    void (*run)(void);
};

extern const struct call calls_table[];
extern const unsigned int calls_count;
extern xc_interface *calls_xch;

/* CALLS_MEMORY bytes for an argument: words of 2, or a text. */
void *calls_memory(void);
void *calls_text(const char *text);
void calls_show(const char *what, const void *p);
void calls_show_text(const char *what, const char *text);

/* Right before the call: a pattern where its uninitialised variables will be, and no errno. */
void calls_poison(void);

/* A call of another library: arg[0] is its handle, kinds says 'p' for pointers. */
long calls_other(const char *name, unsigned int args, const uint64_t *arg, const char *kinds);

#endif
