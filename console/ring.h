/* SPDX-License-Identifier: MIT */
/*
 * The console's two byte rings on a page that the guest writes as it likes (io/console.h struct
 * xencons_interface: the guest's output in `out`, its input in `in`).
 *
 * Our own indices are kept here and only ever written to the page; the guest's are read once per
 * use, and a distance that cannot be is an error. Never: notifies, maps, or blocks.
 */
#ifndef CONSOLE_RING_H
#define CONSOLE_RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <xen/io/console.h>

struct ring {
    struct xencons_interface *page;
    uint32_t out_cons, in_prod;
};

/* Goes on where the page says that an earlier daemon left off. */
void ring_init(struct ring *r, struct xencons_interface *page);

/* Takes up to len bytes of output: their number, or -1 for impossible indices. */
ssize_t ring_take(struct ring *r, void *buf, size_t len);

/* Bytes of input that the guest has room for, or -1. */
ssize_t ring_room(const struct ring *r);

/* Gives up to len bytes of input: how many went in, or -1. */
ssize_t ring_give(struct ring *r, const void *buf, size_t len);

#endif
