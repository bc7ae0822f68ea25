/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/p2m.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/foreign.h"
#include "hypervisor/core/held.h"
#include "hypervisor/engine/engine.h"

#define PAGE       4096ull
#define LEAF       512u
#define MID        512u
#define GIB        (MID * LEAF)    /* frames */
#define NR_GIBS    (P2M_MAX_GFN / GIB)
#define TYPE_SHIFT 28
#define PAGE_MASK28 ((1u << TYPE_SHIFT) - 1)
#define USED_BYTES (P2M_MAX_GFN / 8)

/*
 * A frame gets the RAM page of its own number up to here beyond the domain's maximum, so that the
 * hole below 4 GiB costs nothing; frames further up take the lowest free page.
 */
#define IDENTITY_SLACK (1ull << 20)

/* Reserved address space that reads as zero and takes memory where it is written. */
static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

int p2m_init(struct domain *d)
{
    struct p2m *p = &d->p2m;

    memset(p, 0, sizeof(*p));
    p->mid = calloc(NR_GIBS, sizeof(*p->mid));
    p->used = reserve(USED_BYTES);
    p->xen_gfn = calloc(KL_XEN_PAGES, sizeof(*p->xen_gfn));
    if (!p->mid || !p->used || !p->xen_gfn) {
        p2m_free(d);
        return -ENOMEM;
    }
    return 0;
}

void p2m_free(struct domain *d)
{
    struct p2m *p = &d->p2m;

    for (uint64_t i = 0; p->mid && i < NR_GIBS; i++) {
        for (uint64_t k = 0; p->mid[i] && k < MID; k++) {
            free(p->mid[i][k]);
        }
        free(p->mid[i]);
    }
    free(p->mid);
    if (p->used) {
        munmap(p->used, USED_BYTES);
    }
    free(p->xen_gfn);
    memset(p, 0, sizeof(*p));
}

static uint32_t *leaf_of(const struct domain *d, uint64_t gfn)
{
    uint32_t **mid = d->p2m.mid[gfn / GIB];

    return mid ? mid[gfn / LEAF % MID] : NULL;
}

static uint32_t raw(const struct domain *d, uint64_t gfn)
{
    const uint32_t *leaf = gfn < d->p2m.max_gfn_plus1 ? leaf_of(d, gfn) : NULL;

    return leaf ? leaf[gfn % LEAF] : 0;
}

uint64_t p2m_next(const struct domain *d, uint64_t gfn)
{
    while (gfn < d->p2m.max_gfn_plus1 && !leaf_of(d, gfn)) {
        gfn = (gfn | (d->p2m.mid[gfn / GIB] ? LEAF - 1 : GIB - 1)) + 1;
    }
    return gfn < d->p2m.max_gfn_plus1 ? gfn : d->p2m.max_gfn_plus1;
}

struct p2m_entry p2m_lookup(const struct domain *d, uint64_t gfn)
{
    uint32_t e = raw(d, gfn);

    return (struct p2m_entry){ (enum p2m_type)(e >> TYPE_SHIFT), e & PAGE_MASK28 };
}

uint64_t p2m_run(const struct domain *d, uint64_t gfn, uint64_t max)
{
    uint32_t first = raw(d, gfn);
    uint64_t n = 1;

    while (n < max && raw(d, gfn + n) == (first ? first + n : 0)) {
        n++;
    }
    return n;
}

static int set(struct domain *d, uint64_t gfn, enum p2m_type type, uint64_t page)
{
    struct p2m *p = &d->p2m;
    uint32_t ***mid = &p->mid[gfn / GIB], **leaf;

    if (!*mid) {
        *mid = calloc(MID, sizeof(**mid));
        if (!*mid) {
            return -ENOMEM;
        }
    }
    leaf = &(*mid)[gfn / LEAF % MID];
    if (!*leaf) {
        *leaf = calloc(LEAF, sizeof(**leaf));
        if (!*leaf) {
            return -ENOMEM;
        }
    }
    (*leaf)[gfn % LEAF] = type == P2M_NONE ? 0 : (uint32_t)type << TYPE_SHIFT | (uint32_t)page;
    if (gfn >= p->max_gfn_plus1) {
        p->max_gfn_plus1 = gfn + 1;
    }
    return 0;
}

static bool page_used(const struct p2m *p, uint64_t page)
{
    return p->used[page / 64] >> (page % 64) & 1;
}

static void mark_page(struct p2m *p, uint64_t page, bool used)
{
    uint64_t bit = 1ull << (page % 64);

    p->used[page / 64] = used ? p->used[page / 64] | bit : p->used[page / 64] & ~bit;
}

static uint64_t choose_page(struct domain *d, uint64_t gfn)
{
    struct p2m *p = &d->p2m;
    uint64_t page;

    if (gfn < d->max_pages + d->pod.owed + IDENTITY_SLACK && !page_used(p, gfn)) {
        return gfn;
    }
    for (page = p->next_free; page_used(p, page); page++) {
        if (p->used[page / 64] == UINT64_MAX) {
            page |= 63;
        }
    }
    p->next_free = page;
    return page;
}

/* What the process must be told; adjacent runs of one kind grow together. */
static void gather_fd(struct domain *d, uint32_t op, struct kl_run_map run, int fd)
{
    const uint32_t max = (KL_MAX_MSG - sizeof(struct kl_map)) / sizeof(*d->batch);
    struct kl_run_map *last = d->batch_nr ? &d->batch[d->batch_nr - 1] : NULL;

    if (d->batch_nr && d->batch_op == op && d->batch_fd == fd && last->gfn + last->nr == run.gfn &&
        (op == KL_UNMAP || (last->mem == run.mem && last->type == run.type &&
                            last->page + last->nr == run.page))) {
        last->nr += run.nr;
        return;
    }
    if (d->batch_nr && (d->batch_op != op || d->batch_fd != fd || d->batch_nr == max)) {
        p2m_flush(d);
    }
    if (!d->batch) {
        d->batch = malloc(max * sizeof(*d->batch));
        if (!d->batch) {
            domproc_kill(d, "out of memory for its p2m updates");
            return;
        }
    }
    d->batch_op = op;
    d->batch_fd = fd;
    d->batch[d->batch_nr++] = run;
    if (!d->on_flush) {
        d->on_flush = true;
        d->flush_next = d->core->flush;
        d->core->flush = d;
    }
}

static void gather(struct domain *d, uint32_t op, struct kl_run_map run)
{
    gather_fd(d, op, run, -1);
}

static void gather_map(struct domain *d, uint64_t gfn, uint64_t nr, enum p2m_type type,
                       uint64_t page)
{
    uint32_t as = type == P2M_RAM_RO ? ENGINE_GFN_ROM
                : type == P2M_RAM_IOREQ ? KL_TYPE_IOREQ : ENGINE_GFN_RAM;

    gather(d, KL_MAP, (struct kl_run_map){ gfn, nr, page,
                                           p2m_is_ram(type) ? KL_MEM_RAM : KL_MEM_XEN, as });
}

static void gather_foreign(struct domain *d, uint64_t gfn, const struct foreign *f)
{
    uint64_t page;
    int fd = foreign_fd(f, &page);

    gather_fd(d, KL_MAP, (struct kl_run_map){ gfn, 1, page, KL_MEM_FD,
                                              f->readonly ? ENGINE_GFN_ROM : ENGINE_GFN_RAM }, fd);
}

/* A frame of d's own RAM, wherever the page is. */
static void gather_page(struct domain *d, uint64_t gfn, uint64_t page)
{
    uint64_t at;
    int fd;

    if (page_is_apart(d, page)) {
        fd = page_fd(d, page, false, &at);
        gather_fd(d, KL_MAP, (struct kl_run_map){ gfn, 1, at, KL_MEM_FD, ENGINE_GFN_RAM }, fd);
    } else {
        gather_map(d, gfn, 1, P2M_RAM, page);
    }
}

void p2m_page_moved(struct domain *d, uint64_t gfn)
{
    gather_page(d, gfn, p2m_lookup(d, gfn).page);
}

static void gather_unmap(struct domain *d, uint64_t gfn)
{
    gather(d, KL_UNMAP, (struct kl_run_map){ .gfn = gfn, .nr = 1 });
}

void p2m_flush(struct domain *d)
{
    union {
        struct kl_map map;
        struct kl_unmap unmap;
        uint8_t bytes[KL_MAX_MSG];
    } m;
    size_t len;

    if (!d->batch_nr) {
        return;
    }
    memset(&m, 0, sizeof(m.map));
    m.map.nr = d->batch_nr;
    if (d->batch_op == KL_MAP) {
        len = sizeof(m.map) + d->batch_nr * sizeof(m.map.run[0]);
        memcpy(m.bytes + sizeof(m.map), d->batch, d->batch_nr * sizeof(m.map.run[0]));
    } else {
        struct kl_run_unmap *run = (struct kl_run_unmap *)(m.bytes + sizeof(m.unmap));

        len = sizeof(m.unmap) + d->batch_nr * sizeof(*run);
        for (uint32_t i = 0; i < d->batch_nr; i++) {
            run[i] = (struct kl_run_unmap){ d->batch[i].gfn, d->batch[i].nr };
        }
    }
    d->batch_nr = 0;
    free(d->batch);    /* large, and mostly idle once the domain is built */
    d->batch = NULL;
    domproc_send(d, d->batch_op, &m, len, &d->batch_fd, d->batch_fd >= 0);
}

void p2m_flush_all(struct core *core)
{
    while (core->flush) {
        struct domain *d = core->flush;

        core->flush = d->flush_next;
        d->on_flush = false;
        p2m_flush(d);
    }
}

static void free_run(struct domain *d, uint64_t page, uint64_t nr)
{
    struct p2m *p = &d->p2m;

    if (!nr) {
        return;
    }
    for (uint64_t i = 0; i < nr && p->used; i++) {
        mark_page(p, page + i, false);
    }
    if (page < p->next_free) {
        p->next_free = page;
    }
    if (fallocate(d->ram_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(page * PAGE),
                  (off_t)(nr * PAGE))) {
        kr_log_once(KR_WARN, "cannot free guest memory: errno %d", errno);
    }
    domain_account(d, -(int64_t)nr);
}

static void free_pages(struct domain *d, uint64_t page, uint64_t nr)
{
    uint64_t from = page;

    for (uint64_t i = page; d->held.used && i < page + nr; i++) {
        if (page_free_later(d, i)) {
            free_run(d, from, i - from);
            from = i + 1;
        }
    }
    free_run(d, from, page + nr - from);
}

void p2m_free_page(struct domain *d, uint64_t page)
{
    free_run(d, page, 1);
}

/* A grant map is taken away by its handle only. */
static bool is_grant(const struct domain *d, struct p2m_entry e)
{
    return e.type == P2M_FOREIGN && d->foreign.e[e.page].grant;
}

/* Makes frames with `run` entries from e on empty, without telling the process. */
static void take_away(struct domain *d, uint64_t gfn, struct p2m_entry e, uint64_t run)
{
    if (e.type == P2M_FOREIGN) {
        foreign_forget(d, e.page);
    }
    for (uint64_t i = 0; i < run; i++) {
        set(d, gfn + i, P2M_NONE, 0);
    }
    if (e.type == P2M_XEN) {
        d->p2m.xen_gfn[e.page] = 0;
    } else if (p2m_is_ram(e.type)) {
        free_pages(d, e.page, run);
    }
}

int p2m_remove_range(struct domain *d, uint64_t gfn, uint64_t nr)
{
    while (nr) {
        struct p2m_entry e = p2m_lookup(d, gfn);
        uint64_t run;

        if (e.type == P2M_NONE || is_grant(d, e)) {
            return -EINVAL;
        }
        run = e.type == P2M_RAM ? p2m_run(d, gfn, nr) : 1;
        take_away(d, gfn, e, run);
        gather(d, KL_UNMAP, (struct kl_run_map){ .gfn = gfn, .nr = run });
        gfn += run;
        nr -= run;
    }
    return 0;
}

int p2m_remove(struct domain *d, uint64_t gfn)
{
    return p2m_remove_range(d, gfn, 1);
}

static int populate(struct domain *d, uint64_t gfn, uint64_t nr,
                    int (*account)(struct domain *d, int64_t pages))
{
    uint64_t done, page;
    int rc;

    if (gfn >= P2M_MAX_GFN || nr > P2M_MAX_GFN - gfn) {
        return -EINVAL;
    }
    for (uint64_t i = 0; i < nr; i++) {
        if (raw(d, gfn + i)) {
            return -EEXIST;
        }
    }
    rc = account(d, (int64_t)nr);
    if (rc) {
        return rc;
    }
    for (done = 0; done < nr; done++) {
        page = choose_page(d, gfn + done);
        rc = set(d, gfn + done, P2M_RAM, page);
        if (rc) {
            break;
        }
        mark_page(&d->p2m, page, true);
        if (page >= d->p2m.ram_top) {
            d->p2m.ram_top = page + 1;
        }
    }
    if (rc) {
        /* Nothing was gathered yet: only our own books are to be put right. */
        for (uint64_t i = 0; i < done; i++) {
            mark_page(&d->p2m, p2m_lookup(d, gfn + i).page, false);
            set(d, gfn + i, P2M_NONE, 0);
        }
        account(d, -(int64_t)nr);
        return rc;
    }
    for (uint64_t i = 0, n; i < nr; i += n) {
        n = p2m_run(d, gfn + i, nr - i);
        gather_map(d, gfn + i, n, P2M_RAM, p2m_lookup(d, gfn + i).page);
    }
    return 0;
}

int p2m_populate(struct domain *d, uint64_t gfn, uint64_t nr)
{
    return populate(d, gfn, nr, domain_account);
}

int p2m_populate_on_demand(struct domain *d, uint64_t gfn, uint64_t nr)
{
    return populate(d, gfn, nr, pod_account);
}

int p2m_map_xen(struct domain *d, uint64_t gfn, uint64_t page)
{
    struct p2m_entry old;

    if (gfn >= P2M_MAX_GFN || page >= KL_XEN_PAGES) {
        return -EINVAL;
    }
    old = p2m_lookup(d, gfn);
    if (old.type == P2M_XEN && old.page == page) {
        return 0;
    }
    if (is_grant(d, old)) {
        return -EINVAL;
    }
    if (set(d, gfn, old.type, old.page)) {      /* the leaf exists from here on */
        return -ENOMEM;
    }
    p2m_unmap_xen(d, page);
    if (old.type != P2M_NONE) {
        p2m_remove(d, gfn);
    }
    set(d, gfn, P2M_XEN, page);
    d->p2m.xen_gfn[page] = (uint32_t)gfn + 1;
    gather_map(d, gfn, 1, P2M_XEN, page);
    return 0;
}

int p2m_set_ram_type(struct domain *d, uint64_t gfn, enum p2m_type type)
{
    struct p2m_entry e = p2m_lookup(d, gfn);

    if (!p2m_is_ram(e.type)) {
        return -EINVAL;
    }
    if (page_is_apart(d, e.page)) {
        return -EBUSY;    /* another guest maps it */
    }
    if (e.type != type) {
        set(d, gfn, type, e.page);
        gather_map(d, gfn, 1, type, e.page);
    }
    return 0;
}

void p2m_unmap_xen(struct domain *d, uint64_t page)
{
    if (d->p2m.xen_gfn && d->p2m.xen_gfn[page]) {
        p2m_remove(d, d->p2m.xen_gfn[page] - 1);
    }
}

/* Makes way at `to` for the RAM at `from`; *page is what lies there. */
static int begin_move(struct domain *d, uint64_t from, uint64_t to, uint64_t *page)
{
    struct p2m_entry e = p2m_lookup(d, from), old;

    if (to >= P2M_MAX_GFN || e.type != P2M_RAM) {
        return -EINVAL;
    }
    old = p2m_lookup(d, to);
    if (is_grant(d, old)) {
        return -EINVAL;
    }
    if (set(d, to, old.type, old.page)) {
        return -ENOMEM;
    }
    if (old.type != P2M_NONE) {
        p2m_remove(d, to);
    }
    *page = e.page;
    return 0;
}

int p2m_move_range(struct domain *d, uint64_t from, uint64_t to, uint64_t nr, uint64_t *done)
{
    uint64_t gap = from > to ? from - to : to - from, page[P2M_MOVES], n = 0;
    int rc = 0;

    /* What is moved as one must not lie in its own way. */
    nr = nr < P2M_MOVES ? nr : P2M_MOVES;
    nr = nr < gap ? nr : gap;
    while (n < nr && !(rc = begin_move(d, from + n, to + n, &page[n]))) {
        n++;
    }
    for (uint64_t i = 0; i < n; i++) {
        set(d, from + i, P2M_NONE, 0);
        gather_unmap(d, from + i);
    }
    for (uint64_t i = 0; i < n; i++) {
        set(d, to + i, P2M_RAM, page[i]);
        page_has_gfn(d, page[i], to + i);
        gather_page(d, to + i, page[i]);
    }
    *done = n;
    return rc;
}

int p2m_move(struct domain *d, uint64_t from, uint64_t to)
{
    uint64_t done;

    if (from == to) {
        return p2m_lookup(d, from).type == P2M_RAM ? 0 : -EINVAL;
    }
    return p2m_move_range(d, from, to, 1, &done);
}

int p2m_map_foreign(struct domain *d, uint64_t gfn, uint32_t index)
{
    struct p2m_entry old;

    if (gfn >= P2M_MAX_GFN) {
        return -EINVAL;
    }
    old = p2m_lookup(d, gfn);
    if (is_grant(d, old)) {
        return -EINVAL;
    }
    if (set(d, gfn, old.type, old.page)) {
        return -ENOMEM;
    }
    take_away(d, gfn, old, 1);
    set(d, gfn, P2M_FOREIGN, index);
    gather_foreign(d, gfn, &d->foreign.e[index]);
    return 0;
}

void p2m_unmap_foreign(struct domain *d, uint64_t gfn)
{
    take_away(d, gfn, p2m_lookup(d, gfn), 1);
    gather_unmap(d, gfn);
}
