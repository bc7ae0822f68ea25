/* SPDX-License-Identifier: MIT */
/*
 * What all Xen tools libraries have in common: dropping privilege.
 */
#ifndef XENTOOLCORE_H
#define XENTOOLCORE_H

#include <stdint.h>
#include <xen/xen.h>

/*
 * From now on, every handle that a Xen library of this process holds open can affect domid only,
 * or nothing at all. There is no way back. Handles opened later are not restricted; an exhausted
 * host is not prevented. Thread-safe, but a handle that another thread is closing meanwhile counts
 * only when that has returned.
 *
 * Returns 0, or -1 with errno set by the first handle that could not be restricted; some may then
 * be restricted already, so the process must not go on as if nothing had happened.
 */
int xentoolcore_restrict_all(domid_t domid);

#endif
