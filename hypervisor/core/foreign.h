/* SPDX-License-Identifier: MIT */
/*
 * Frames of a domain that show other domains' pages: foreign maps, grant maps, acquired resources. A
 * frame's entry keeps the owner's struct and holds the page (held.h).
 *
 * Never: decides who may map what (memory.c, grant_guest.c).
 */
#ifndef KR_CORE_FOREIGN_H
#define KR_CORE_FOREIGN_H

#include <stdbool.h>
#include <stdint.h>

struct domain;
struct gnt_share;

enum foreign_mem {
    FOREIGN_RAM = 1,             /* of the owner's RAM memfd */
    FOREIGN_XEN,                 /* of its Xen-owned pages */
    FOREIGN_SHARE,               /* of a host client's share */
};

struct foreign {
    uint8_t mem;                 /* enum foreign_mem; 0: free */
    bool readonly;
    bool apart;                  /* a stretch of its own: held.h */
    bool grant;                  /* only GNTTABOP_unmap_grant_ref takes it away */
    uint32_t ref;                /* the grant */
    struct domain *owner;
    struct gnt_share *share;
    uint64_t page;               /* of that memory */
    uint64_t gfn;                /* where it is; the next free entry for a free one */
};

/* An entry's index is the page number of its P2M_FOREIGN entry, and a grant's handle. */
struct foreign_table {
    struct foreign *e;
    uint32_t nr, max, first_free;
    uint32_t used, grants;
    uint32_t runs;               /* stretches that are one mmap each in the process */
};

/* What the process's mmaps allow (vm.max_map_count is 65530; a stretch costs two). */
#define FOREIGN_MAX_RUNS 28000
#define FOREIGN_MAX      (1u << 20)

/*
 * Shows what->page at d's frame gfn; what was there goes, unless it is a grant. Takes a reference of the
 * owner and holds the page; what->grant: the caller's pin of the grant goes with the entry.
 * Returns 0 with the entry's index (may be NULL), -EINVAL or -ENOMEM.
 */
int foreign_map(struct domain *d, uint64_t gfn, const struct foreign *what, uint32_t *index);
/* Takes an entry out of the p2m, and lets its page (and its grant) go. */
void foreign_unmap(struct domain *d, uint32_t index);
/* NULL if there is none with this index. */
struct foreign *foreign_get(const struct domain *d, uint64_t index);
/* Lets up to n pages go (with their grants) when d is gone; true when there are no more. */
bool foreign_drop_some(struct domain *d, uint32_t n);
void foreign_free(struct domain *d);
/* The descriptor that shows an entry's page, for the domain's process, and the page of it. Borrowed. */
int foreign_fd(const struct foreign *f, uint64_t *page);
/* For the p2m: d's entry is about to be forgotten. */
void foreign_forget(struct domain *d, uint64_t index);
/* What the core itself does with such a page: 0, or -EFAULT for a write of a read-only one, -EIO. */
int foreign_io(const struct foreign *f, uint64_t off, void *buf, uint64_t len, bool write);

#endif
