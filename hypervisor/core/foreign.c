/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/foreign.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "hypervisor/core/domain.h"

#define PAGE 4096ull
#define FIRST_ENTRIES 64u

struct foreign *foreign_get(const struct domain *d, uint64_t index)
{
    const struct foreign_table *t = &d->foreign;

    return index < t->nr && t->e[index].mem ? &t->e[index] : NULL;
}

static int new_entry(struct foreign_table *t, uint32_t *index)
{
    if (t->used >= FOREIGN_MAX) {
        return -ENOMEM;
    }
    if (t->used < t->nr) {
        *index = t->first_free;
        t->first_free = (uint32_t)t->e[*index].gfn;
        return 0;
    }
    if (t->nr == t->max) {
        uint32_t max = t->max ? t->max * 2 : FIRST_ENTRIES;
        struct foreign *e = realloc(t->e, max * sizeof(*e));

        if (!e) {
            return -ENOMEM;
        }
        t->e = e;
        t->max = max;
    }
    *index = t->nr++;
    return 0;
}

static void free_entry(struct foreign_table *t, uint32_t index)
{
    memset(&t->e[index], 0, sizeof(t->e[index]));
    t->e[index].gfn = t->first_free;
    t->first_free = index;
}

int foreign_fd(const struct foreign *f, uint64_t *page)
{
    *page = f->page;
    switch (f->mem) {
    case FOREIGN_RAM:
        return page_fd(f->owner, f->page, f->readonly, page);
    case FOREIGN_XEN:
        return f->owner->xen_fd;
    default:
        return f->readonly ? f->share->ro_fd : f->share->fd;
    }
}

static const struct foreign *at_gfn(const struct domain *d, uint64_t gfn)
{
    struct p2m_entry e = gfn < P2M_MAX_GFN ? p2m_lookup(d, gfn) : (struct p2m_entry){ P2M_NONE, 0 };

    return e.type == P2M_FOREIGN ? foreign_get(d, e.page) : NULL;
}

/* Whether frame gfn + 1 goes on where frame gfn ends, so that the process maps them as one. */
static bool joined(const struct domain *d, uint64_t gfn)
{
    const struct foreign *a = at_gfn(d, gfn), *b = a ? at_gfn(d, gfn + 1) : NULL;

    return b && a->mem == b->mem && a->owner == b->owner && a->share == b->share &&
           a->readonly == b->readonly && a->page + 1 == b->page && !a->apart && !b->apart;
}

/* How many stretches a frame's entry makes more than its neighbours alone: -1, 0 or 1. */
static int stretches(const struct domain *d, uint64_t gfn)
{
    return 1 - (gfn && joined(d, gfn - 1)) - joined(d, gfn);
}

static int take(const struct foreign *what)
{
    int rc = what->mem == FOREIGN_RAM ? page_hold(what->owner, what->page) : 0;

    if (rc) {
        return rc;
    }
    if (what->mem == FOREIGN_XEN) {
        memory_use(what->owner);
    }
    domain_get(what->owner);
    return 0;
}

static void put_back(const struct foreign *what)
{
    if (what->mem == FOREIGN_RAM) {
        page_unhold(what->owner, what->page);
    } else if (what->mem == FOREIGN_XEN) {
        memory_unuse(what->owner);
    }
    domain_put(what->owner);
}

/* The end of a map, with the grant that it stands for. */
static void let_go(const struct foreign *f)
{
    struct core *core = f->owner->core;

    if (f->grant) {
        struct gnt_page where = { .share = f->share, .page = f->page };

        gnt_release(f->owner, f->ref, f->readonly, &where);
    }
    put_back(f);
    if (f->share) {
        gnt_reap_shares(core);
    }
}

int foreign_map(struct domain *d, uint64_t gfn, const struct foreign *what, uint32_t *index)
{
    struct foreign_table *t = &d->foreign;
    uint32_t at;
    int rc;

    if (t->runs >= FOREIGN_MAX_RUNS) {
        kr_log_once(KR_NOTICE, "domain %u: too many pages of others in its memory", d->domid);
        return -ENOMEM;
    }
    rc = take(what);
    if (rc) {
        return rc;
    }
    rc = new_entry(t, &at);
    if (rc) {
        put_back(what);
        return rc;
    }
    t->e[at] = *what;
    t->e[at].gfn = gfn;
    t->e[at].apart = what->mem == FOREIGN_RAM && page_is_apart(what->owner, what->page);
    t->used++;
    t->grants += what->grant;
    rc = p2m_map_foreign(d, gfn, at);
    if (rc) {
        t->used--;
        t->grants -= what->grant;
        free_entry(t, at);
        put_back(what);
        return rc;
    }
    t->runs = (uint32_t)((int)t->runs + stretches(d, gfn));
    if (index) {
        *index = at;
    }
    return 0;
}

void foreign_forget(struct domain *d, uint64_t index)
{
    struct foreign_table *t = &d->foreign;
    struct foreign f = t->e[index];

    t->runs = (uint32_t)((int)t->runs - stretches(d, f.gfn));
    t->used--;
    t->grants -= f.grant;
    free_entry(t, (uint32_t)index);
    let_go(&f);
}

void foreign_unmap(struct domain *d, uint32_t index)
{
    p2m_unmap_foreign(d, d->foreign.e[index].gfn);
}

/* The domain is gone and its process with it: nobody is told. */
bool foreign_drop_some(struct domain *d, uint32_t n)
{
    struct foreign_table *t = &d->foreign;

    while (t->nr && n--) {
        struct foreign f = t->e[--t->nr];

        if (!f.mem) {
            continue;
        }
        t->used--;
        t->grants -= f.grant;
        let_go(&f);
    }
    return !t->nr;
}

void foreign_free(struct domain *d)
{
    while (!foreign_drop_some(d, UINT32_MAX)) {
    }
    free(d->foreign.e);
    memset(&d->foreign, 0, sizeof(d->foreign));
}

int foreign_io(const struct foreign *f, uint64_t off, void *buf, uint64_t len, bool write)
{
    uint64_t page;
    int fd = foreign_fd(f, &page);
    off_t at = (off_t)(page * PAGE + off);
    ssize_t n;

    if (write && f->readonly) {
        return -EFAULT;
    }
    n = write ? pwrite(fd, buf, len, at) : pread(fd, buf, len, at);
    return n == (ssize_t)len ? 0 : -EIO;
}
