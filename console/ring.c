/* SPDX-License-Identifier: MIT */
#include "console/ring.h"

#include <string.h>

#define OUT_SIZE sizeof(((struct xencons_interface *)0)->out)
#define IN_SIZE  sizeof(((struct xencons_interface *)0)->in)

static uint32_t load(const XENCONS_RING_IDX *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void publish(XENCONS_RING_IDX *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

void ring_init(struct ring *r, struct xencons_interface *page)
{
    r->page = page;
    r->out_cons = load(&page->out_cons);
    r->in_prod = load(&page->in_prod);
}

ssize_t ring_take(struct ring *r, void *buf, size_t len)
{
    uint32_t have = load(&r->page->out_prod) - r->out_cons;
    uint32_t at = r->out_cons & (OUT_SIZE - 1), run = OUT_SIZE - at;

    if (have > OUT_SIZE)
        return -1;
    if (have > len)
        have = (uint32_t)len;
    if (!have)
        return 0;
    if (run > have)
        run = have;
    memcpy(buf, r->page->out + at, run);
    memcpy((char *)buf + run, r->page->out, have - run);
    r->out_cons += have;
    publish(&r->page->out_cons, r->out_cons);
    return (ssize_t)have;
}

ssize_t ring_room(const struct ring *r)
{
    uint32_t used = r->in_prod - load(&r->page->in_cons);

    return used > IN_SIZE ? -1 : (ssize_t)(IN_SIZE - used);
}

ssize_t ring_give(struct ring *r, const void *buf, size_t len)
{
    ssize_t room = ring_room(r);
    uint32_t at = r->in_prod & (IN_SIZE - 1), run = IN_SIZE - at, n;

    if (room <= 0)
        return room;
    n = (size_t)room < len ? (uint32_t)room : (uint32_t)len;
    if (run > n)
        run = n;
    memcpy(r->page->in + at, buf, run);
    memcpy(r->page->in, (const char *)buf + run, n - run);
    r->in_prod += n;
    publish(&r->page->in_prod, r->in_prod);
    return (ssize_t)n;
}
