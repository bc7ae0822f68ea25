/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/held.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xen/sched.h>

#include "common/log.h"
#include "hypervisor/core/domain.h"

#define PAGE 4096u
#define FIRST_SLOTS 64u          /* power of two */
#define HOME_PER_TURN 128u

/* Linear probing, removal by moving back what follows. */

static uint32_t slot_of(const struct held_pages *h, uint64_t page)
{
    return (uint32_t)(page * 0x9e3779b97f4a7c15ull >> 40) & (h->size - 1);
}

static struct held *find(const struct domain *d, uint64_t page)
{
    const struct held_pages *h = &d->held;

    for (uint32_t i = h->used ? slot_of(h, page) : 0; h->used; i = (i + 1) & (h->size - 1)) {
        if (!h->slot[i].used) {
            return NULL;
        }
        if (h->slot[i].page == page) {
            return &h->slot[i];
        }
    }
    return NULL;
}

static void insert(struct held_pages *h, const struct held *e)
{
    uint32_t i = slot_of(h, e->page);

    while (h->slot[i].used) {
        i = (i + 1) & (h->size - 1);
    }
    h->slot[i] = *e;
}

static int grow(struct held_pages *h)
{
    struct held *old = h->slot;
    uint32_t size = h->size;

    if (size && h->used < size / 2) {
        return 0;
    }
    h->slot = calloc(size ? size * 2 : FIRST_SLOTS, sizeof(*h->slot));
    if (!h->slot) {
        h->slot = old;
        return -ENOMEM;
    }
    h->size = size ? size * 2 : FIRST_SLOTS;
    for (uint32_t i = 0; i < size; i++) {
        if (old[i].used) {
            insert(h, &old[i]);
        }
    }
    free(old);
    return 0;
}

static void remove_slot(struct held_pages *h, struct held *e)
{
    uint32_t hole = (uint32_t)(e - h->slot), mask = h->size - 1;

    for (uint32_t i = (hole + 1) & mask; h->slot[i].used; i = (i + 1) & mask) {
        uint32_t home = slot_of(h, h->slot[i].page);

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            h->slot[hole] = h->slot[i];
            hole = i;
        }
    }
    memset(&h->slot[hole], 0, sizeof(h->slot[hole]));
    if (--h->used == 0) {
        free(h->slot);
        h->slot = NULL;
        h->size = 0;
    }
}

void memory_use(struct domain *d)
{
    d->memory_users++;
}

void memory_unuse(struct domain *d)
{
    if (--d->memory_users == 0 && d->dead) {
        domain_close_memory(d);
    }
}

/* Updates that name a descriptor which is about to go are sent while it is there. */
static void flush_users(struct core *core, int fd)
{
    for (struct domain *d = core->flush; d; d = d->flush_next) {
        if (d->batch_nr && d->batch_fd == fd) {
            p2m_flush(d);
        }
    }
}

/* Its memfd goes, with what is in it. */
static void forget_apart(struct domain *d, struct held *e)
{
    if (e->apart) {
        flush_users(d->core, e->fd);
        flush_users(d->core, e->ro_fd);
        close(e->fd);
        close(e->ro_fd);
        e->apart = false;
        d->held.nr_apart--;
        d->core->pages_apart--;
    }
}

int page_hold(struct domain *d, uint64_t page)
{
    struct held *e = find(d, page), fresh = { .page = page, .count = 1, .used = true };

    if (!e) {
        if (grow(&d->held)) {
            return -ENOMEM;
        }
        insert(&d->held, &fresh);
        d->held.used++;
        d->held.nr++;
    } else if (e->count == UINT32_MAX) {
        return -ENOMEM;
    } else if (e->count++ == 0) {
        d->held.nr++;
        d->held.nr_homeless--;
    }
    memory_use(d);
    return 0;
}

void page_unhold(struct domain *d, uint64_t page)
{
    struct held *e = find(d, page);

    if (!e || !e->count) {
        kr_log(KR_ERR, "page %llu of domain %u was not held", (unsigned long long)page, d->domid);
        return;
    }
    if (--e->count == 0) {
        bool freed = e->freed;

        d->held.nr--;
        d->held.nr_freed -= freed;
        if (e->apart && !freed) {
            d->held.nr_homeless++;
            page_bring_home(d);
        } else {
            forget_apart(d, e);
            remove_slot(&d->held, e);
        }
        if (freed) {
            p2m_free_page(d, page);
        }
    }
    memory_unuse(d);
}

uint32_t page_holds(const struct domain *d, uint64_t page)
{
    const struct held *e = find(d, page);

    return e ? e->count : 0;
}

bool page_free_later(struct domain *d, uint64_t page)
{
    struct held *e = find(d, page);

    if (!e) {
        return false;
    }
    if (!e->count) {    /* was to come home, where nobody waits for it now */
        d->held.nr_homeless--;
        forget_apart(d, e);
        remove_slot(&d->held, e);
        return false;
    }
    if (!e->freed) {
        e->freed = true;
        d->held.nr_freed++;
    }
    return true;
}

/* From slot *at on. Removing one moves only later ones back, so its place is looked at once more. */
static struct held *next_homeless(struct domain *d, uint32_t *at)
{
    for (; d->held.nr_homeless && *at < d->held.size; ++*at) {
        if (d->held.slot[*at].used && !d->held.slot[*at].count) {
            return &d->held.slot[*at];
        }
    }
    return NULL;
}

void page_free_all_later(struct domain *d)
{
    struct held *e;
    uint32_t at = 0;

    d->held.timer = sd_event_source_disable_unref(d->held.timer);
    while ((e = next_homeless(d, &at))) {
        d->held.nr_homeless--;
        forget_apart(d, e);
        remove_slot(&d->held, e);
    }
    for (uint32_t i = 0; i < d->held.size; i++) {
        d->held.slot[i].freed = d->held.slot[i].used;
    }
    d->held.nr_freed = d->held.nr;
}

bool page_is_apart(const struct domain *d, uint64_t page)
{
    const struct held *e = d->held.nr_apart ? find(d, page) : NULL;

    return e && e->apart;
}

int page_fd(const struct domain *d, uint64_t page, bool readonly, uint64_t *at)
{
    const struct held *e = d->held.nr_apart ? find(d, page) : NULL;

    if (e && e->apart) {
        *at = 0;
        return readonly ? e->ro_fd : e->fd;
    }
    *at = page;
    return readonly ? d->ram_ro_fd : d->ram_fd;
}

static int copy_page(int from, uint64_t from_page, int to, uint64_t to_page)
{
    uint8_t buf[PAGE];

    return pread(from, buf, PAGE, (off_t)(from_page * PAGE)) == PAGE &&
           pwrite(to, buf, PAGE, (off_t)(to_page * PAGE)) == PAGE ? 0 : -1;
}

void page_has_gfn(struct domain *d, uint64_t page, uint64_t gfn)
{
    struct held *e = d->held.nr_apart ? find(d, page) : NULL;

    if (e) {
        e->gfn = gfn;
    }
}

int page_put_apart(struct domain *d, uint64_t page, uint64_t gfn)
{
    struct held *e = find(d, page);
    struct p2m_entry p = p2m_lookup(d, gfn);

    if (e->apart) {
        return 0;
    }
    if (p.type != P2M_RAM || p.page != page) {
        return -EINVAL;
    }
    if (e->count > 1) {
        return -EBUSY;    /* somebody maps it where it is */
    }
    if (d->core->pages_apart >= d->core->max_pages_apart ||
        d->held.nr_apart >= d->core->max_pages_apart / 4) {
        kr_log_once(KR_NOTICE, "domain %u: too many of its pages are mapped by other guests", d->domid);
        return -ENOSPC;
    }
    if (domain_new_memfd("page", d->domid, PAGE, &e->fd, &e->ro_fd)) {
        return -ENOMEM;
    }
    if (copy_page(d->ram_fd, page, e->fd, 0)) {
        close(e->fd);
        close(e->ro_fd);
        return -ENOMEM;
    }
    e->apart = true;
    e->gfn = gfn;
    d->held.nr_apart++;
    d->core->pages_apart++;
    p2m_page_moved(d, gfn);
    p2m_flush(d);    /* before anybody runs */
    return 0;
}

/* The contents go back to where the page's number says. */
static void bring_home(struct domain *d, struct held *e)
{
    uint64_t page = e->page, gfn = e->gfn;

    if (copy_page(e->fd, 0, d->ram_fd, page)) {
        kr_log(KR_ERR, "domain %u: page %llu cannot be brought home", d->domid,
               (unsigned long long)page);
        domain_shutdown(d, SHUTDOWN_crash);    /* rather than go on with a page of old contents */
    }
    d->held.nr_homeless--;
    forget_apart(d, e);
    remove_slot(&d->held, e);
    p2m_page_moved(d, gfn);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *opaque)
{
    page_bring_home(opaque);
    return 0;
}

/* Not yet: true when somebody will be back for it. */
static bool later(struct domain *d)
{
    struct held_pages *h = &d->held;
    uint64_t now = core_now();

    if ((int64_t)(now - h->last_home) >= (int64_t)HOME_EVERY_NS) {
        return false;
    }
    h->timer = sd_event_source_disable_unref(h->timer);
    return sd_event_add_time(d->core->event, &h->timer, CLOCK_MONOTONIC,
                             (h->last_home + HOME_EVERY_NS) / 1000 + 1, 1000, on_timer, d) >= 0;
}

void page_bring_home(struct domain *d)
{
    struct held_pages *h = &d->held;
    struct held *e;
    uint32_t at = 0;

    if (d->dying || (!h->nr_homeless && !h->stopping)) {
        return;    /* a domain on its way out needs its pages no more */
    }
    if (!h->stopping && later(d)) {
        return;
    }
    if (!h->stopping) {
        h->stopping = true;
        domain_pause(d);
    }
    if (!domain_stopped(d)) {
        return;    /* on_stopped() comes here again */
    }
    for (unsigned n = 0; n < HOME_PER_TURN && (e = next_homeless(d, &at)); n++) {
        bring_home(d, e);
    }
    p2m_flush(d);    /* before anybody runs */
    h->stopping = false;
    h->last_home = core_now();
    domain_unpause(d);
    if (h->nr_homeless) {
        later(d);
    }
}
