/* SPDX-License-Identifier: MIT */
/*
 * Pages of a domain's RAM that others use, and that must not be used again before they let go, even
 * after the domain gave them up or is gone: "held". One that its owner frees, or that outlives its
 * owner, stays accounted to the owner until the last hold goes, as in Xen.
 *
 * A held page can be put apart: into a memfd of its own, so that somebody who must not reach the rest of
 * the owner's memory can be given its descriptor. It keeps its page number, and everything here that
 * reaches a page's contents asks page_fd() where they are. When nobody holds it any more it is brought
 * home, so that who had the descriptor does not see what the owner uses the page for later.
 *
 * That takes a stop of the owner's vCPUs, so it is bounded how often it is done.
 *
 * Never: moves a page while its owner's vCPUs run.
 */
#ifndef KR_CORE_HELD_H
#define KR_CORE_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

struct domain;

#define HOME_EVERY_NS 100000000ull

/* An open hash. A page apart has descriptors, and is in it even when nobody holds it. */
struct held {
    uint64_t page;
    uint64_t gfn;                /* of a page apart */
    uint32_t count;
    bool used, freed, apart;
    int fd, ro_fd;
};
struct held_pages {
    struct held *slot;
    uint32_t size, used;
    uint32_t nr;                 /* held by somebody */
    uint32_t nr_freed;           /* of these, given up by the owner */
    uint32_t nr_apart, nr_homeless;    /* in a memfd of their own; of these, held by nobody */
    bool stopping;               /* the owner is held paused, for pages to come home */
    uint64_t last_home;          /* when some did; that is not done more often than HOME_EVERY_NS */
    sd_event_source *timer;
};

/* Holds a page of d's RAM: 0 or -ENOMEM. */
int page_hold(struct domain *d, uint64_t page);
void page_unhold(struct domain *d, uint64_t page);
/* By how many. */
uint32_t page_holds(const struct domain *d, uint64_t page);
/* The owner gives up a held page (true: it stays until nobody holds it), or all that it has. */
bool page_free_later(struct domain *d, uint64_t page);
void page_free_all_later(struct domain *d);
/* Keeps d's descriptors open although d may be gone, as page_hold() does. */
void memory_use(struct domain *d);
void memory_unuse(struct domain *d);

/* Where a page's contents are: a descriptor (borrowed) and the page of it. */
int page_fd(const struct domain *d, uint64_t page, bool readonly, uint64_t *at);
bool page_is_apart(const struct domain *d, uint64_t page);
/*
 * Puts a page that is held once apart; d's vCPUs stand still. gfn is where it is mapped. 0, -EINVAL if it
 * is not, -EBUSY if others hold it too, -ENOSPC if there are too many, -ENOMEM.
 */
int page_put_apart(struct domain *d, uint64_t page, uint64_t gfn);
/* The domain moved a page that may be apart to another frame. */
void page_has_gfn(struct domain *d, uint64_t page, uint64_t gfn);
/* Brings pages home that nobody holds, now or when d's vCPUs have stopped for it. */
void page_bring_home(struct domain *d);

#endif
