/* SPDX-License-Identifier: MIT */
/*
 * For libraries that hold handles: how they take part in xentoolcore_restrict_all().
 */
#ifndef XENTOOLCORE_INTERNAL_H
#define XENTOOLCORE_INTERNAL_H

#include <stddef.h>

#include "xentoolcore.h"

typedef struct Xentoolcore__Active_Handle Xentoolcore__Active_Handle;

/*
 * Restricts the handle to domid, or makes it useless. Returns 0, or -1 with errno. Called with the
 * list locked: it must not register or deregister anything.
 */
typedef int Xentoolcore__Restrict_Callback(Xentoolcore__Active_Handle *ah, domid_t domid);

/* Lies inside the library's own handle. Its layout is part of the libraries' binary interface. */
struct Xentoolcore__Active_Handle {
    Xentoolcore__Restrict_Callback *restrict_callback;
    struct {
        Xentoolcore__Active_Handle *le_next, **le_prev;
    } entry;
};

/*
 * Register before the handle's descriptor is opened and deregister after it is closed (fill in
 * restrict_callback first; it must cope with a handle that is not open yet). The caller owns ah.
 */
void xentoolcore__register_active_handle(Xentoolcore__Active_Handle *ah);
void xentoolcore__deregister_active_handle(Xentoolcore__Active_Handle *ah);

/*
 * A restriction for handles that cannot be narrowed: puts /dev/null in fd's place. fd may be -1.
 * Returns 0, or -1 with errno.
 */
int xentoolcore__restrict_by_dup2_null(int fd);

#endif
