/* SPDX-License-Identifier: MIT */
/*
 * Grant copies over the core: map what is granted, copy, unmap. A batch is mapped with one request
 * when all of its grants are good; if one is not, each is tried alone, so that every segment gets
 * its own status.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "libxenctrl/gnttab/private.h"

#define BATCH_SEGMENTS 64

/* One side of a segment that is a grant. */
struct side {
    const union xengnttab_copy_ptr *ptr;
    bool writes;
};

static int16_t status_of(int err)
{
    switch (err) {
    case ENOENT:
    case EINVAL:
        return GNTST_bad_gntref;
    case ESRCH:
        return GNTST_bad_domain;
    case EACCES:
    case EPERM:
        return GNTST_permission_denied;
    case EAGAIN:
        return GNTST_eagain;
    case ENOMEM:
    case ENOSPC:
        return GNTST_no_space;
    default:
        return GNTST_general_error;
    }
}

/* The granted sides of s; how many. Checks that they lie within their pages. -1: they do not. */
static int sides_of(const xengnttab_grant_copy_segment_t *s, struct side out[2])
{
    int n = 0;

    if (s->flags & GNTCOPY_source_gref)
        out[n++] = (struct side){&s->source, false};
    if (s->flags & GNTCOPY_dest_gref)
        out[n++] = (struct side){&s->dest, true};
    for (int i = 0; i < n; i++)
        if (out[i].ptr->foreign.offset + (unsigned)s->len > KT_PAGE_SIZE)
            return -1;
    return n;
}

/* Maps the one granted side of each of nr segments (checked before), copies, unmaps. */
static int copy_batch(struct xengntdev_handle *h, uint32_t nr,
                      xengnttab_grant_copy_segment_t *const *segs)
{
    uint32_t domids[BATCH_SEGMENTS] = {0}, refs[BATCH_SEGMENTS] = {0}, n = 0;
    int prot = PROT_READ;
    unsigned char *p;

    for (uint32_t i = 0; i < nr; i++) {
        struct side side[2];
        int k = sides_of(segs[i], side);

        for (int j = 0; j < k; j++, n++) {
            domids[n] = side[j].ptr->foreign.domid;
            refs[n] = side[j].ptr->foreign.ref;
            if (side[j].writes)
                prot |= PROT_WRITE;
        }
    }
    p = h->ops->map(h, n, domids, 1, refs, prot, NULL);
    if (!p)
        return -1;
    n = 0;
    for (uint32_t i = 0; i < nr; i++) {
        xengnttab_grant_copy_segment_t *s = segs[i];
        const void *from = s->source.virt;
        void *to = s->dest.virt;

        if (s->flags & GNTCOPY_source_gref)
            from = p + ((size_t)n++ << KT_PAGE_SHIFT) + s->source.foreign.offset;
        if (s->flags & GNTCOPY_dest_gref)
            to = p + ((size_t)n++ << KT_PAGE_SHIFT) + s->dest.foreign.offset;
        memcpy(to, from, s->len);
        s->status = GNTST_okay;
    }
    h->ops->unmap(h, p, n);
    return 0;
}

/* A segment with a foreign source and a foreign target needs both maps, of different protection. */
static int copy_both_foreign(struct xengntdev_handle *h, xengnttab_grant_copy_segment_t *s)
{
    uint32_t domid = s->source.foreign.domid, ref = s->source.foreign.ref;
    xengnttab_grant_copy_segment_t half = *s, *one = &half;
    unsigned char *p = h->ops->map(h, 1, &domid, 0, &ref, PROT_READ, NULL);
    int rc, saved;

    if (!p)
        return -1;
    half.flags = GNTCOPY_dest_gref;
    half.source.virt = p + s->source.foreign.offset;
    rc = copy_batch(h, 1, &one);
    saved = errno;
    h->ops->unmap(h, p, 1);
    errno = saved;
    return rc;
}

static void copy_one(struct xengntdev_handle *h, xengnttab_grant_copy_segment_t *s)
{
    const unsigned both = GNTCOPY_source_gref | GNTCOPY_dest_gref;
    int rc = (s->flags & both) == both ? copy_both_foreign(h, s) : copy_batch(h, 1, &s);

    s->status = rc ? status_of(errno) : GNTST_okay;
}

static void flush(struct xengntdev_handle *h, uint32_t *nr, xengnttab_grant_copy_segment_t **batch)
{
    if (*nr && copy_batch(h, *nr, batch))
        for (uint32_t i = 0; i < *nr; i++)
            copy_one(h, batch[i]);
    *nr = 0;
}

int gnt_core_copy(struct xengntdev_handle *h, uint32_t count, xengnttab_grant_copy_segment_t *segs)
{
    const unsigned both = GNTCOPY_source_gref | GNTCOPY_dest_gref;
    xengnttab_grant_copy_segment_t *batch[BATCH_SEGMENTS];
    unsigned direction = 0;
    uint32_t nr = 0;

    for (uint32_t i = 0; i < count; i++) {
        xengnttab_grant_copy_segment_t *s = &segs[i];
        struct side side[2];
        int n = sides_of(s, side);

        if (n <= 0 || (s->flags & ~both)) {
            s->status = n < 0 ? GNTST_bad_copy_arg : GNTST_general_error;
            continue;
        }
        /* One protection per batch: read-only grants must not be asked for writably. */
        if (nr == BATCH_SEGMENTS || (nr && direction != s->flags) || n == 2)
            flush(h, &nr, batch);
        if (n == 2) {
            copy_one(h, s);
            continue;
        }
        direction = s->flags;
        batch[nr++] = s;
    }
    flush(h, &nr, batch);
    return 0;
}
