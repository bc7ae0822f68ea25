/* SPDX-License-Identifier: MIT */
/*
 * A domain's p2m: guest frame number -> page of one of its memfds.
 *
 * RAM page numbers index the RAM memfd, which is sparse and sealed at its full length: nobody who
 * has a descriptor can cut it under somebody else's map. A frame gets the page of its own number
 * where that is free, so that mappings stay long runs. Each Xen-owned page (shared_info, grant
 * frames) appears at one frame at most, as in Xen.
 *
 * Changes are gathered and told to the domain's process as KL_MAP / KL_UNMAP when the present
 * hypercall (or slice of one) ends. The p2m of domain 0 is empty: its frames are those of shares.
 *
 * Never: touches page contents, except that freed pages are punched out of the memfd.
 */
#ifndef KR_CORE_P2M_H
#define KR_CORE_P2M_H

#include <stdbool.h>
#include <stdint.h>

struct domain;
struct core;

enum p2m_type {
    P2M_NONE,
    P2M_RAM,                     /* page: of the RAM memfd */
    P2M_XEN,                     /* page: of the Xen-owned memfd */
    P2M_FOREIGN,                 /* page: an index of foreign.h */
    /* RAM that the guest cannot write: a write is lost, or a device model's. */
    P2M_RAM_RO = 8,
    P2M_RAM_IOREQ,
};
static inline bool p2m_is_ram(enum p2m_type t)
{
    return t == P2M_RAM || t == P2M_RAM_RO || t == P2M_RAM_IOREQ;
}
struct p2m_entry { enum p2m_type type; uint64_t page; };

#define P2M_GFN_BITS 28          /* 40-bit guest-physical addresses */
#define P2M_MAX_GFN  (1ull << P2M_GFN_BITS)

struct p2m {
    uint32_t ***mid;             /* by GiB, then by 512 frames; an entry is type:4 | page:28 */
    uint64_t *used;              /* bitmap of RAM pages in use */
    uint64_t max_gfn_plus1;      /* highest frame ever mapped, plus one */
    uint64_t ram_top;            /* no page from here on was ever used */
    uint64_t next_free;          /* hint for the search of a free page */
    uint32_t *xen_gfn;           /* per Xen page: its frame + 1, or 0 */
};

int  p2m_init(struct domain *d);                 /* 0 or -ENOMEM */
void p2m_free(struct domain *d);

struct p2m_entry p2m_lookup(const struct domain *d, uint64_t gfn);
/* The first frame from gfn on that may have something, to walk over all; max_gfn_plus1: no more. */
uint64_t p2m_next(const struct domain *d, uint64_t gfn);
/* How many frames from gfn on continue the same run, at most max. */
uint64_t p2m_run(const struct domain *d, uint64_t gfn, uint64_t max);

/*
 * Gives new zero RAM to [gfn, gfn + nr), all empty before. 0, -EINVAL, -EEXIST or -ENOMEM; all or
 * nothing.
 */
int p2m_populate(struct domain *d, uint64_t gfn, uint64_t nr);
/* The same, but accounted as pod.h says. */
int p2m_populate_on_demand(struct domain *d, uint64_t gfn, uint64_t nr);
/* Frees a RAM frame or unhooks what else is there. Returns 0, or -EINVAL: nothing, or a grant map. */
int p2m_remove(struct domain *d, uint64_t gfn);
/* The same for [gfn, gfn + nr), up to the first frame that it cannot be done for: 0 or -EINVAL. */
int p2m_remove_range(struct domain *d, uint64_t gfn, uint64_t nr);
/* Puts Xen page `page` at gfn, moving it from where it was; RAM that was at gfn is freed. */
int p2m_map_xen(struct domain *d, uint64_t gfn, uint64_t page);
/* Moves the RAM page at `from` to `to`; what was there is freed. */
int p2m_move(struct domain *d, uint64_t from, uint64_t to);
/*
 * The same for frames from `from` on, as far as one turn goes and they do not get in their own way: at
 * most P2M_MOVES of nr (> 0), *done of them. An error is that of the one after those. from != to.
 */
#define P2M_MOVES 256
int p2m_move_range(struct domain *d, uint64_t from, uint64_t to, uint64_t nr, uint64_t *done);
/* Makes a RAM frame one of another P2M_RAM* type. 0, -EINVAL: no RAM there, -EBUSY: its page is apart. */
int p2m_set_ram_type(struct domain *d, uint64_t gfn, enum p2m_type type);
/* Undoes the mapping of a Xen page wherever it is. */
void p2m_unmap_xen(struct domain *d, uint64_t page);

/* For foreign.c: shows entry `index` at gfn; what was there goes (-EINVAL: a grant). -ENOMEM. */
int p2m_map_foreign(struct domain *d, uint64_t gfn, uint32_t index);
void p2m_unmap_foreign(struct domain *d, uint64_t gfn);
/* For held.c: the page of a frame is in another memfd now. p2m_flush() before anybody runs. */
void p2m_page_moved(struct domain *d, uint64_t gfn);
/* Frees a page that is no longer at any frame; d may be dead. */
void p2m_free_page(struct domain *d, uint64_t page);

/* Sends what was gathered: one domain, or all that have something. */
void p2m_flush(struct domain *d);
void p2m_flush_all(struct core *core);

#endif
