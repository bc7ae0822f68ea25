/* SPDX-License-Identifier: MIT */
/* GNTTABOP_copy: bytes from page to page, each a frame of the caller's or a grant to it. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "hypervisor/core/domain.h"
#include "hypervisor/core/foreign.h"
#include "hypervisor/core/grant_table.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"

#define PAGE 4096u
#define COPIES_PER_SLICE 128

/* One side of a copy, taken. */
struct side {
    struct domain *d;
    struct gnt_page where;
    uint32_t ref;
    bool is_ref, readonly;
};

/* A frame of s->d: its own page, or one that it has from others. */
static int frame_page(struct side *s, uint64_t gfn)
{
    struct p2m_entry e = p2m_lookup(s->d, gfn);
    const struct foreign *f = e.type == P2M_FOREIGN ? foreign_get(s->d, e.page) : NULL;

    s->where = (struct gnt_page){ .page = e.page, .len = PAGE };
    if (e.type == P2M_RAM) {
        return GNTST_okay;
    }
    if (!f || f->mem == FOREIGN_XEN || (f->readonly && !s->readonly)) {
        return GNTST_bad_page;
    }
    s->where.page = f->page;
    s->where.share = f->share;
    s->d = f->owner;
    return GNTST_okay;
}

static int take_side(struct hcall *hc, domid_t domid, uint64_t ref_or_gfn, bool is_ref,
                     bool readonly, struct side *s)
{
    domid_t user = hc->d->domid;
    int st;

    s->is_ref = is_ref;
    s->readonly = readonly;
    s->ref = (uint32_t)ref_or_gfn;
    s->d = domid == DOMID_SELF ? hc->d : domain_find(hc->core, domid);
    if (!s->d || s->d->dying) {
        return GNTST_bad_domain;
    }
    if (!is_ref) {
        if (s->d != hc->d && !hc_is_control(hc)) {
            return GNTST_permission_denied;
        }
        return frame_page(s, ref_or_gfn);
    }
    st = GNTST_okay;
    if (s->d->gt.version == 2) {
        struct domain *first = s->d;

        st = gnt_transitive(&s->d, &s->ref, user);
        user = s->d == first ? user : first->domid;
    }
    return st ? st : gnt_acquire(s->d, s->ref, user, readonly, &s->where);
}

static void give_back(struct side *s)
{
    if (s->is_ref) {
        gnt_release(s->d, s->ref, s->readonly, &s->where);
    }
}

static int16_t move_bytes(const struct side *src, uint32_t src_off, const struct side *dst,
                          uint32_t dst_off, uint32_t len)
{
    uint8_t buf[PAGE];
    uint64_t from, to;
    int src_fd = gnt_page_fd(src->d, &src->where, false, &from),
        dst_fd = gnt_page_fd(dst->d, &dst->where, false, &to);

    if (src_off < src->where.off || src_off + len > (uint32_t)src->where.off + src->where.len ||
        dst_off < dst->where.off || dst_off + len > (uint32_t)dst->where.off + dst->where.len) {
        return GNTST_general_error;
    }
    if (pread(src_fd, buf, len, (off_t)(from * PAGE + src_off)) != (ssize_t)len ||
        pwrite(dst_fd, buf, len, (off_t)(to * PAGE + dst_off)) != (ssize_t)len) {
        return GNTST_general_error;
    }
    return GNTST_okay;
}

static int16_t copy_one(struct hcall *hc, const struct gnttab_copy *op)
{
    struct side src, dst;
    bool src_ref = op->flags & GNTCOPY_source_gref, dst_ref = op->flags & GNTCOPY_dest_gref;
    int16_t st;

    if ((uint32_t)op->source.offset + op->len > PAGE ||
        (uint32_t)op->dest.offset + op->len > PAGE) {
        return GNTST_bad_copy_arg;
    }
    if ((op->source.domid != DOMID_SELF && !src_ref && !hc_is_control(hc)) ||
        (op->dest.domid != DOMID_SELF && !dst_ref && !hc_is_control(hc))) {
        return GNTST_permission_denied;
    }
    st = (int16_t)take_side(hc, op->source.domid, src_ref ? op->source.u.ref : op->source.u.gmfn,
                            src_ref, true, &src);
    if (st != GNTST_okay) {
        return st;
    }
    st = (int16_t)take_side(hc, op->dest.domid, dst_ref ? op->dest.u.ref : op->dest.u.gmfn, dst_ref,
                            false, &dst);
    if (st == GNTST_okay) {
        st = op->len ? move_bytes(&src, op->source.offset, &dst, op->dest.offset, op->len)
                     : GNTST_okay;
        give_back(&dst);
    }
    give_back(&src);
    return st;
}

/* As a 32-bit caller has it. */
struct compat_copy {
    struct { uint32_t ref_or_gmfn; domid_t domid; uint16_t offset; } source, dest;
    uint16_t len, flags;
    int16_t status;
};

static int get_copy(struct hcall *hc, uint64_t at, struct gnttab_copy *op)
{
    struct compat_copy c;

    if (!hc->compat) {
        return copy_from_guest(hc, op, at, sizeof(*op));
    }
    if (copy_from_guest(hc, &c, at, sizeof(c))) {
        return -EFAULT;
    }
    memset(op, 0, sizeof(*op));
    op->source.u.gmfn = c.source.ref_or_gmfn;      /* a reference is its lower half */
    op->source.domid = c.source.domid;
    op->source.offset = c.source.offset;
    op->dest.u.gmfn = c.dest.ref_or_gmfn;
    op->dest.domid = c.dest.domid;
    op->dest.offset = c.dest.offset;
    op->len = c.len;
    op->flags = c.flags;
    return 0;
}

long gnt_op_copy(struct hcall *hc)
{
    uint64_t size = hc->compat ? sizeof(struct compat_copy) : sizeof(struct gnttab_copy);
    uint64_t status = hc->compat ? offsetof(struct compat_copy, status)
                                 : offsetof(struct gnttab_copy, status);

    for (unsigned n = 0; hc->progress < hc->arg[2]; n++, hc->progress++) {
        struct gnttab_copy op;
        uint64_t at = hc->arg[1] + hc->progress * size;

        if (n == COPIES_PER_SLICE) {
            return HC_AGAIN;
        }
        if (get_copy(hc, at, &op)) {
            return -EFAULT;
        }
        op.status = copy_one(hc, &op);
        if (copy_to_guest(hc, at + status, &op.status, sizeof(op.status))) {
            return -EFAULT;
        }
    }
    return 0;
}
