/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/grant_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"

#define PAGE 4096u
#define CAS_TRIES 4    /* a guest that keeps changing an entry under us loses */

int gnt_init(struct domain *d, uint32_t max_frames, uint32_t max_version)
{
    struct grant_table *gt = &d->gt;

    gt->version = 1;
    gt->max_version = max_version;
    gt->max_frames = max_frames;
    gt->active = calloc(GNT_MAX_BUCKETS, sizeof(*gt->active));
    return gt->active ? 0 : -ENOMEM;
}

void gnt_free(struct domain *d)
{
    struct grant_table *gt = &d->gt;

    for (unsigned i = 0; gt->active && i < GNT_MAX_BUCKETS; i++) {
        free(gt->active[i]);
    }
    free(gt->active);
    memset(gt, 0, sizeof(*gt));
}

uint32_t gnt_nr_entries(const struct grant_table *gt)
{
    return gt->nr_frames * (gt->version == 2 ? GNT_V2_PER_FRAME : GNT_V1_PER_FRAME);
}

/* Status frames that go with so many version-2 frames. */
static uint32_t status_frames_for(uint32_t frames)
{
    return (frames * GNT_V2_PER_FRAME + GNT_STATUS_PER_FRAME - 1) / GNT_STATUS_PER_FRAME;
}

int gnt_grow(struct domain *d, uint32_t frames)
{
    struct grant_table *gt = &d->gt;

    if (frames > gt->max_frames || !d->xen_map) {
        return -EINVAL;
    }
    if (frames > gt->nr_frames) {
        gt->nr_frames = frames;
    }
    if (gt->version == 2) {
        gt->nr_status = status_frames_for(gt->nr_frames);
    }
    return 0;
}

int gnt_grow_status(struct domain *d, uint32_t frames)
{
    uint32_t need = frames * (GNT_STATUS_PER_FRAME / GNT_V2_PER_FRAME);

    if (d->gt.version != 2 || frames > KL_XEN_MAX_GRANT_FRAMES) {
        return -EINVAL;
    }
    return frames <= d->gt.nr_status ? 0 : gnt_grow(d, need);
}

static void *entry_at(const struct domain *d, uint32_t ref)
{
    uint8_t *frames = d->xen_map + KL_XEN_GRANT_FRAMES * (size_t)PAGE;

    return frames + (size_t)ref * (d->gt.version == 2 ? sizeof(union grant_entry_v2) :
                                                        sizeof(struct grant_entry_v1));
}

static uint16_t *status_at(const struct domain *d, uint32_t ref)
{
    return (uint16_t *)(d->xen_map + KL_XEN_STATUS_FRAMES * (size_t)PAGE) + ref;
}

static struct active_grant *active_at(struct domain *d, uint32_t ref)
{
    struct active_grant **b = &d->gt.active[ref / GNT_BUCKET];

    if (!*b) {
        *b = calloc(GNT_BUCKET, sizeof(**b));
    }
    return *b ? &(*b)[ref % GNT_BUCKET] : NULL;
}

/* flags and domid are the first 32 bits of an entry of either version; read and changed as one. */
union head { uint32_t word; struct { uint16_t flags; domid_t domid; } f; };

/* What Xen answers alike: not granted, to somebody else, or to be read only. */
static bool permits(union head h, domid_t user, bool readonly)
{
    return (h.f.flags & GTF_type_mask) == GTF_permit_access && h.f.domid == user &&
           (readonly || !(h.f.flags & GTF_readonly));
}

/* Marks a version-1 entry used, in one step with the check that it permits this use. */
static int mark_v1(void *entry, domid_t user, bool readonly, bool *entry_ro)
{
    union head old = { .word = __atomic_load_n((uint32_t *)entry, __ATOMIC_ACQUIRE) }, new;

    for (int i = 0; i < CAS_TRIES; i++) {
        if (!permits(old, user, readonly)) {
            return GNTST_general_error;
        }
        new = old;
        new.f.flags |= GTF_reading | (readonly ? 0 : GTF_writing);
        if (__atomic_compare_exchange_n((uint32_t *)entry, &old.word, new.word, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
            *entry_ro = old.f.flags & GTF_readonly;
            return GNTST_okay;
        }
    }
    return GNTST_general_error;
}

/* Version 2: the use is announced in the status word first, then the entry is looked at again. */
static int mark_v2(void *entry, uint16_t *status, domid_t user, bool readonly, bool *entry_ro)
{
    union head h = { .word = __atomic_load_n((uint32_t *)entry, __ATOMIC_ACQUIRE) };
    uint16_t bits = GTF_reading | (readonly ? 0 : GTF_writing), before;

    if (!permits(h, user, readonly)) {
        return GNTST_general_error;
    }
    before = __atomic_fetch_or(status, bits, __ATOMIC_SEQ_CST);
    h.word = __atomic_load_n((uint32_t *)entry, __ATOMIC_SEQ_CST);
    if (!permits(h, user, readonly)) {
        __atomic_fetch_and(status, (uint16_t)~(bits & ~before), __ATOMIC_SEQ_CST);
        return GNTST_general_error;
    }
    *entry_ro = h.f.flags & GTF_readonly;
    return GNTST_okay;
}

static void unmark(struct domain *d, uint32_t ref, uint16_t bits)
{
    uint16_t *word = d->gt.version == 2 ? status_at(d, ref) : (uint16_t *)entry_at(d, ref);

    __atomic_fetch_and(word, (uint16_t)~bits, __ATOMIC_SEQ_CST);
}

/* Frames of domain 0 are pages that clients shared. */
static int find_share(struct domain *dom0, uint64_t frame, struct gnt_page *out)
{
    for (struct gnt_share *s = dom0->shares; s; s = s->next) {
        if (frame >= s->frame && frame - s->frame < s->nr) {
            out->share = s;
            out->page = frame - s->frame;
            return GNTST_okay;
        }
    }
    return GNTST_bad_page;
}

/* The page behind a frame number of d's. */
static int find_page(struct domain *d, uint64_t frame, struct gnt_page *out)
{
    struct p2m_entry e;

    out->share = NULL;
    if (d->host) {
        return find_share(d, frame, out);
    }
    e = p2m_lookup(d, frame);
    if (e.type != P2M_RAM) {
        return GNTST_bad_page;
    }
    out->page = e.page;
    out->gfn = frame;
    return GNTST_okay;
}

static int read_where(struct domain *d, uint32_t ref, struct gnt_page *out)
{
    uint64_t frame;

    out->off = 0;
    out->len = PAGE;
    if (d->gt.version == 1) {
        struct grant_entry_v1 *e = entry_at(d, ref);

        frame = __atomic_load_n(&e->frame, __ATOMIC_RELAXED);
    } else {
        union grant_entry_v2 *e = entry_at(d, ref), copy;

        memcpy(&copy, e, sizeof(copy));
        frame = copy.full_page.frame;
        if (copy.hdr.flags & GTF_sub_page) {
            out->off = copy.sub_page.page_off;
            out->len = copy.sub_page.length;
            frame = copy.sub_page.frame;
            if ((uint32_t)out->off + out->len > PAGE) {
                return GNTST_bad_page;
            }
        }
    }
    return find_page(d, frame, out);
}

int gnt_acquire(struct domain *rd, uint32_t ref, domid_t user, bool readonly, struct gnt_page *out)
{
    struct active_grant *act;
    bool first, entry_ro = false;
    int st;

    if (rd->dying || !rd->xen_map || ref >= gnt_nr_entries(&rd->gt)) {
        return rd->dying ? GNTST_bad_domain : GNTST_bad_gntref;
    }
    act = active_at(rd, ref);
    if (!act || act->pins_r + act->pins_w >= UINT16_MAX) {
        return GNTST_no_space;
    }
    first = act->pins_r + act->pins_w == 0;
    if (!first && act->user != user) {
        return GNTST_general_error;
    }
    if (first || (!readonly && !act->pins_w)) {
        st = rd->gt.version == 2 ?
             mark_v2(entry_at(rd, ref), status_at(rd, ref), user, readonly, &entry_ro) :
             mark_v1(entry_at(rd, ref), user, readonly, &entry_ro);
        if (st != GNTST_okay) {
            return st;
        }
    }
    if (first) {
        memset(act, 0, sizeof(*act));
        st = read_where(rd, ref, &act->where);
        if (st != GNTST_okay) {
            unmark(rd, ref, GTF_reading | GTF_writing);
            return st;
        }
        act->user = user;
        act->readonly = entry_ro;
    }
    if (!act->where.share && page_hold(rd, act->where.page)) {
        if (first) {
            unmark(rd, ref, GTF_reading | GTF_writing);
        } else if (!readonly && !act->pins_w) {
            unmark(rd, ref, GTF_writing);
        }
        return GNTST_no_space;
    }
    *(readonly ? &act->pins_r : &act->pins_w) += 1;
    rd->gt.pinned++;
    *out = act->where;
    return GNTST_okay;
}

void gnt_release(struct domain *rd, uint32_t ref, bool readonly, const struct gnt_page *where)
{
    struct active_grant *act;
    uint32_t *pins;

    if (!where->share) {
        page_unhold(rd, where->page);
    }
    if (!rd->gt.active || !rd->xen_map) {
        return;    /* the granter is gone, and its table with it */
    }
    act = active_at(rd, ref);
    pins = act ? readonly ? &act->pins_r : &act->pins_w : NULL;
    if (!pins || !*pins) {
        kr_log(KR_ERR, "grant %u of domain %u was not in use", ref, rd->domid);
        return;
    }
    (*pins)--;
    rd->gt.pinned--;
    if (!act->pins_w && !readonly) {
        unmark(rd, ref, GTF_writing);
    }
    if (!act->pins_r && !act->pins_w) {
        unmark(rd, ref, GTF_reading);
    }
}

int gnt_transitive(struct domain **rd, uint32_t *ref, domid_t user)
{
    union grant_entry_v2 e;
    struct domain *td;

    if ((*rd)->gt.version != 2 || !(*rd)->xen_map || *ref >= gnt_nr_entries(&(*rd)->gt)) {
        return GNTST_okay;
    }
    memcpy(&e, entry_at(*rd, *ref), sizeof(e));
    if ((e.hdr.flags & GTF_type_mask) != GTF_transitive) {
        return GNTST_okay;
    }
    /* Once only: the entry it leads to must itself permit access, to the granter in between. */
    if (e.hdr.domid != user || e.transitive.trans_domid == (*rd)->domid) {
        return GNTST_permission_denied;
    }
    td = domain_find((*rd)->core, e.transitive.trans_domid);
    if (!td) {
        return GNTST_bad_domain;
    }
    *rd = td;
    *ref = e.transitive.gref;
    return GNTST_okay;
}

int gnt_page_fd(const struct domain *owner, const struct gnt_page *p, bool readonly, uint64_t *at)
{
    *at = p->page;
    if (p->share) {
        return readonly ? p->share->ro_fd : p->share->fd;
    }
    return page_fd(owner, p->page, readonly, at);
}

/* GNTTABOP arguments that name a domain: 0 or a GNTST_*. */
static int target(struct hcall *hc, domid_t domid, struct domain **d)
{
    switch (hc_target(hc, domid, d)) {
    case 0:
        return GNTST_okay;
    case -EPERM:
        return GNTST_permission_denied;
    default:
        return GNTST_bad_domain;
    }
}

static long op_query_size(struct hcall *hc)
{
    struct gnttab_query_size q;
    struct domain *d;

    if (copy_from_guest(hc, &q, hc->arg[1], sizeof(q))) {
        return -EFAULT;
    }
    q.status = (int16_t)target(hc, q.dom, &d);
    if (q.status == GNTST_okay) {
        q.nr_frames = d->gt.nr_frames;
        q.max_nr_frames = d->gt.max_frames;
    }
    return copy_to_guest(hc, hc->arg[1], &q, sizeof(q));
}

/* Where a frame of the table is mapped, as translated guests learn it; ~0 while it is nowhere. */
static uint64_t frame_gfn(const struct domain *d, uint32_t xen_page)
{
    uint32_t gfn = d->p2m.xen_gfn ? d->p2m.xen_gfn[xen_page] : 0;

    return gfn ? gfn - 1 : UINT64_MAX;
}

/* size: of an entry of the caller's list. */
static int fill_list(struct hcall *hc, struct domain *d, uint64_t list, uint32_t nr, uint32_t base,
                     uint32_t size)
{
    for (uint32_t i = 0; i < nr; i++) {
        uint64_t gfn = frame_gfn(d, base + i);

        if (copy_to_guest(hc, list + (uint64_t)i * size, &gfn, size)) {
            return -EFAULT;
        }
    }
    return 0;
}

/* As 32-bit callers have them; the second's list holds 64-bit frame numbers all the same. */
struct compat_setup_table {
    domid_t dom;
    uint32_t nr_frames;
    int16_t status;
    uint32_t frame_list;
};
struct compat_get_status_frames {
    uint32_t nr_frames;
    domid_t dom;
    int16_t status;
    uint32_t frame_list;
};

static long op_setup_table(struct hcall *hc)
{
    struct gnttab_setup_table s;
    struct compat_setup_table c;
    struct domain *d;
    uint64_t list;

    if (hc->compat) {
        if (copy_from_guest(hc, &c, hc->arg[1], sizeof(c))) {
            return -EFAULT;
        }
        s = (struct gnttab_setup_table){ .dom = c.dom, .nr_frames = c.nr_frames };
        list = c.frame_list;
    } else {
        if (copy_from_guest(hc, &s, hc->arg[1], sizeof(s))) {
            return -EFAULT;
        }
        list = (uint64_t)(uintptr_t)s.frame_list.p;
    }
    s.status = (int16_t)target(hc, s.dom, &d);
    if (s.status == GNTST_okay && gnt_grow(d, s.nr_frames)) {
        s.status = GNTST_general_error;
    }
    if (s.status == GNTST_okay &&
        fill_list(hc, d, list, s.nr_frames, KL_XEN_GRANT_FRAMES, hc->compat ? 4 : 8)) {
        return -EFAULT;
    }
    return copy_to_guest(hc, hc->arg[1] + (hc->compat ? offsetof(struct compat_setup_table, status)
                                                      : offsetof(struct gnttab_setup_table, status)),
                         &s.status, sizeof(s.status));
}

static long op_get_status_frames(struct hcall *hc)
{
    struct gnttab_get_status_frames s;
    struct compat_get_status_frames c;
    struct domain *d;
    uint64_t list;

    if (hc->compat) {
        if (copy_from_guest(hc, &c, hc->arg[1], sizeof(c))) {
            return -EFAULT;
        }
        s = (struct gnttab_get_status_frames){ .dom = c.dom, .nr_frames = c.nr_frames };
        list = c.frame_list;
    } else {
        if (copy_from_guest(hc, &s, hc->arg[1], sizeof(s))) {
            return -EFAULT;
        }
        list = (uint64_t)(uintptr_t)s.frame_list.p;
    }
    s.status = (int16_t)target(hc, s.dom, &d);
    if (s.status == GNTST_okay && (d->gt.version != 2 || s.nr_frames > d->gt.nr_status)) {
        s.status = GNTST_general_error;
    }
    if (s.status == GNTST_okay &&
        fill_list(hc, d, list, s.nr_frames, KL_XEN_STATUS_FRAMES, 8)) {
        return -EFAULT;
    }
    /* Both layouts have it at the same place. */
    return copy_to_guest(hc, hc->arg[1] + offsetof(struct gnttab_get_status_frames, status),
                         &s.status, sizeof(s.status));
}

static long op_get_version(struct hcall *hc)
{
    struct gnttab_get_version g;
    struct domain *d;
    int rc;

    if (copy_from_guest(hc, &g, hc->arg[1], sizeof(g))) {
        return -EFAULT;
    }
    rc = hc_target(hc, g.dom, &d);
    if (rc) {
        return rc;
    }
    g.version = d->gt.version;
    return copy_to_guest(hc, hc->arg[1], &g, sizeof(g));
}

/*
 * The reserved entries (GNTTAB_NR_RESERVED_ENTRIES: console, store) carry over between versions in
 * either direction; all others are cleared, as in Xen.
 */
static void convert_entries(struct domain *d, uint32_t to)
{
    struct grant_entry_v1 v1[GNTTAB_NR_RESERVED_ENTRIES];
    union grant_entry_v2 v2[GNTTAB_NR_RESERVED_ENTRIES];
    struct grant_table *gt = &d->gt;
    uint8_t *frames = d->xen_map + KL_XEN_GRANT_FRAMES * (size_t)PAGE;

    memset(v1, 0, sizeof(v1));
    memset(v2, 0, sizeof(v2));
    for (unsigned i = 0; i < GNTTAB_NR_RESERVED_ENTRIES && gt->nr_frames; i++) {
        if (to == 2) {
            memcpy(&v1[i], entry_at(d, i), sizeof(v1[i]));
            v2[i].full_page.hdr.flags = v1[i].flags & (GTF_type_mask | GTF_readonly);
            v2[i].full_page.hdr.domid = v1[i].domid;
            v2[i].full_page.frame = v1[i].frame;
        } else {
            memcpy(&v2[i], entry_at(d, i), sizeof(v2[i]));
            v1[i].flags = v2[i].hdr.flags & (GTF_type_mask | GTF_readonly);
            v1[i].domid = v2[i].hdr.domid;
            v1[i].frame = (uint32_t)v2[i].full_page.frame;
        }
    }
    memset(frames, 0, (size_t)gt->nr_frames * PAGE);
    if (gt->nr_frames) {
        memcpy(frames, to == 2 ? (void *)v2 : (void *)v1, to == 2 ? sizeof(v2) : sizeof(v1));
    }
    memset(d->xen_map + KL_XEN_STATUS_FRAMES * (size_t)PAGE, 0, (size_t)gt->nr_status * PAGE);
}

static long op_set_version(struct hcall *hc)
{
    struct gnttab_set_version s;
    struct domain *d = hc->d;
    struct grant_table *gt = &d->gt;
    uint32_t old = gt->version;
    long rc = 0;

    if (copy_from_guest(hc, &s, hc->arg[1], sizeof(s))) {
        return -EFAULT;
    }
    if (s.version != 1 && s.version != 2) {
        rc = -EINVAL;
    } else if (s.version > gt->max_version || d->host) {
        rc = -ENOSYS;
    } else if (s.version != old) {
        if (gt->pinned) {
            kr_log_once(KR_NOTICE, "domain %u: grant version change with %llu grants in use",
                        d->domid, (unsigned long long)gt->pinned);
            rc = -EBUSY;
        } else {
            convert_entries(d, s.version);
            for (uint32_t i = 0; s.version == 1 && i < gt->nr_status; i++) {
                p2m_unmap_xen(d, KL_XEN_STATUS_FRAMES + i);
            }
            gt->version = s.version;
            gt->nr_status = s.version == 2 ? status_frames_for(gt->nr_frames) : 0;
        }
    }
    s.version = rc ? old : gt->version;
    return copy_to_guest(hc, hc->arg[1], &s, sizeof(s)) ? -EFAULT : rc;
}

static int16_t swap_refs(struct domain *d, uint32_t a, uint32_t b)
{
    struct active_grant *aa, *ab;
    union grant_entry_v2 ta, tb;
    size_t size = d->gt.version == 2 ? sizeof(union grant_entry_v2) : sizeof(struct grant_entry_v1);

    if (a >= gnt_nr_entries(&d->gt) || b >= gnt_nr_entries(&d->gt)) {
        return GNTST_bad_gntref;
    }
    if (a == b) {
        return GNTST_okay;
    }
    aa = active_at(d, a);
    ab = active_at(d, b);
    if (!aa || !ab || aa->pins_r + aa->pins_w || ab->pins_r + ab->pins_w) {
        return GNTST_eagain;
    }
    memcpy(&ta, entry_at(d, a), size);
    memcpy(&tb, entry_at(d, b), size);
    memcpy(entry_at(d, a), &tb, size);
    memcpy(entry_at(d, b), &ta, size);
    return GNTST_okay;
}

static long op_swap(struct hcall *hc)
{
    for (unsigned n = 0; hc->progress < hc->arg[2]; n++, hc->progress++) {
        struct gnttab_swap_grant_ref s;
        uint64_t at = hc->arg[1] + hc->progress * sizeof(s);

        if (n == 256) {
            return HC_AGAIN;
        }
        if (copy_from_guest(hc, &s, at, sizeof(s))) {
            return -EFAULT;
        }
        s.status = swap_refs(hc->d, s.ref_a, s.ref_b);
        if (copy_to_guest(hc, at, &s, sizeof(s))) {
            return -EFAULT;
        }
    }
    return 0;
}

long do_grant_table_op(struct hcall *hc)
{
    uint32_t op = (uint32_t)hc->arg[0];
    long rc;

    if ((int32_t)hc->arg[2] < 0) {
        return -EINVAL;
    }
    hc->arg[2] = (uint32_t)hc->arg[2];
    switch (op) {
    case GNTTABOP_query_size:
        rc = hc->arg[2] == 1 ? op_query_size(hc) : -EINVAL;
        break;
    case GNTTABOP_setup_table:
        rc = hc->arg[2] == 1 ? op_setup_table(hc) : -EINVAL;
        break;
    case GNTTABOP_get_status_frames:
        rc = hc->arg[2] == 1 ? op_get_status_frames(hc) : -EINVAL;
        break;
    case GNTTABOP_get_version:
        rc = op_get_version(hc);
        break;
    case GNTTABOP_set_version:
        rc = op_set_version(hc);
        break;
    case GNTTABOP_copy:
        rc = gnt_op_copy(hc);
        break;
    case GNTTABOP_swap_grant_ref:
        rc = op_swap(hc);
        break;
    case GNTTABOP_map_grant_ref:
    case GNTTABOP_unmap_grant_ref:
    case GNTTABOP_unmap_and_replace:
        rc = gnt_op_guest_map(hc, op);
        break;
    default:
        rc = hc_enosys(hc, __HYPERVISOR_grant_table_op, op);
    }
    return rc;
}
