/* SPDX-License-Identifier: MIT */
/*
 * Guests that map grants (backends in a domain 0 that is a guest, mostly): at guest-physical addresses,
 * since all guests here are translated ones. A map's handle is its index in foreign.h's table.
 *
 * The mapper's process gets a descriptor of the memory that the page is in. A domain with control may
 * reach all of the granter's anyway. For any other the page is first put apart (held.h), which takes
 * that the granter's vCPUs stand still for a moment; host clients' shares hold nothing else than what was
 * shared.
 */
#include <errno.h>
#include <stddef.h>

#include "hypervisor/core/domain.h"
#include "hypervisor/core/foreign.h"
#include "hypervisor/core/grant_table.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"

#define PAGE 4096u
#define OPS_PER_SLICE 128
#define HANDLES_PER_FRAME 256u   /* Xen's 16-byte records */
#define DEFAULT_FRAMES 1024      /* gnttab_max_maptrack_frames */
#define BAD_HANDLE UINT32_MAX

static uint32_t max_handles(const struct domain *d)
{
    int32_t frames = d->config.max_maptrack_frames;

    return (frames < 0 || frames > DEFAULT_FRAMES ? DEFAULT_FRAMES : (uint32_t)frames) *
           HANDLES_PER_FRAME;
}

/* With the grant taken: the map itself. */
static int show(struct domain *d, const struct gnttab_map_grant_ref *op, struct domain *rd,
                const struct gnt_page *where, bool readonly, uint32_t *handle)
{
    struct foreign what = { .mem = where->share ? FOREIGN_SHARE : FOREIGN_RAM, .readonly = readonly,
                            .grant = true, .ref = op->ref, .owner = rd, .share = where->share,
                            .page = where->page };

    if (where->len != PAGE) {
        return GNTST_general_error;    /* a part of a page can only be copied (grant_table.h) */
    }
    switch (foreign_map(d, op->host_addr / PAGE, &what, handle)) {
    case 0:
        return GNTST_okay;
    case -ENOMEM:
        return GNTST_no_space;
    default:
        return GNTST_general_error;
    }
}

/*
 * Holds the granter's vCPUs: 0, HC_WAIT, or -EAGAIN when one of them itself waits for somebody, maybe
 * for us, or somebody waits for us to stop: two guests that map each other's grants would wait for ever.
 */
static long hold_granter(struct hcall *hc, struct domain *rd)
{
    if (hc->held != rd) {
        hc_release(hc);
    }
    if (hc->d->run == PROC_STOPPING) {
        hc_release(hc);
        return -EAGAIN;
    }
    for (uint32_t i = 0; i < rd->nr_vcpus; i++) {
        const struct hcall *other = &rd->vcpu[i]->hc;

        if (other->busy && (other->held || other->waits_on)) {
            hc_release(hc);
            return -EAGAIN;
        }
    }
    return hc_hold(hc, rd);
}

static bool needs_apart(const struct domain *d, const struct domain *rd, const struct gnt_page *where)
{
    return !d->control && rd != d && !where->share && !page_is_apart(rd, where->page);
}

/* gnt_acquire(), of a page that may be shown to d. A GNTST_*, or HC_WAIT with nothing taken. */
static long acquire_for(struct hcall *hc, struct domain *rd, uint32_t ref, bool readonly,
                        struct gnt_page *where)
{
    struct domain *d = hc->d;
    long st = gnt_acquire(rd, ref, d->domid, readonly, where);

    if (st != GNTST_okay || !needs_apart(d, rd, where)) {
        return st;
    }
    if (hc->held != rd || !domain_stopped(rd)) {
        gnt_release(rd, ref, readonly, where);
        st = hold_granter(hc, rd);
        if (st) {
            return st == HC_WAIT ? st : GNTST_eagain;
        }
        st = gnt_acquire(rd, ref, d->domid, readonly, where);
        if (st != GNTST_okay) {
            return st;
        }
    }
    switch (page_put_apart(rd, where->page, where->gfn)) {
    case 0:
        return GNTST_okay;
    case -EBUSY:
        st = GNTST_eagain;    /* until the other one has let go */
        break;
    case -EINVAL:
        st = GNTST_bad_page;
        break;
    default:
        st = GNTST_no_space;
    }
    gnt_release(rd, ref, readonly, where);
    return st;
}

/* A GNTST_*, or HC_WAIT: the same again. */
static long map_one(struct hcall *hc, struct gnttab_map_grant_ref *op)
{
    bool readonly = op->flags & GNTMAP_readonly;
    struct domain *d = hc->d, *rd;
    struct gnt_page where;
    uint32_t handle;
    long st;

    op->handle = BAD_HANDLE;
    if (!(op->flags & (GNTMAP_device_map | GNTMAP_host_map))) {
        return GNTST_bad_gntref;
    }
    if ((op->flags & ~(uint32_t)GNTMAP_readonly) != GNTMAP_host_map) {
        return GNTST_general_error;    /* the other kinds are for PV guests and devices */
    }
    rd = domain_find(hc->core, op->dom);
    if (!rd) {
        return GNTST_bad_domain;
    }
    if (d->foreign.grants >= max_handles(d)) {
        return GNTST_no_space;
    }
    st = acquire_for(hc, rd, op->ref, readonly, &where);
    if (st != GNTST_okay) {
        return st;
    }
    st = show(d, op, rd, &where, readonly, &handle);
    if (st != GNTST_okay) {
        gnt_release(rd, op->ref, readonly, &where);
        return st;
    }
    op->handle = handle;
    op->dev_bus_addr = op->host_addr & ~(uint64_t)(PAGE - 1);
    return GNTST_okay;
}

static struct foreign *find_map(struct domain *d, uint32_t handle)
{
    struct foreign *f = foreign_get(d, handle);

    return f && f->grant ? f : NULL;
}

static int16_t unmap_one(struct hcall *hc, const struct gnttab_unmap_grant_ref *op)
{
    const struct foreign *f = find_map(hc->d, op->handle);

    if (!f) {
        return GNTST_bad_handle;
    }
    if (!op->host_addr) {
        return GNTST_okay;    /* nothing is asked to go */
    }
    if (op->host_addr / PAGE != f->gfn) {
        return GNTST_general_error;
    }
    foreign_unmap(hc->d, op->handle);
    return GNTST_okay;
}

/* For guests with page tables of their own to replace something in, there is no such thing. */
static int16_t replace_one(struct hcall *hc, const struct gnttab_unmap_and_replace *op)
{
    return find_map(hc->d, op->handle) ? GNTST_general_error : GNTST_bad_handle;
}

long gnt_op_guest_map(struct hcall *hc, uint32_t cmd)
{
    union {
        struct gnttab_map_grant_ref map;
        struct gnttab_unmap_grant_ref unmap;
        struct gnttab_unmap_and_replace replace;
    } op;
    size_t size = cmd == GNTTABOP_map_grant_ref ? sizeof(op.map) :
                  cmd == GNTTABOP_unmap_grant_ref ? sizeof(op.unmap) : sizeof(op.replace);

    if (hc->d->host) {
        return -EOPNOTSUPP;    /* needs descriptors: a request of wire.h (KW_GNT_MAP) */
    }
    hc->stage = 1;    /* under way: a multicall must not read its entry again after HC_WAIT */
    for (unsigned n = 0; hc->progress < hc->arg[2]; n++, hc->progress++) {
        uint64_t at = hc->arg[1] + hc->progress * size;

        if (n == OPS_PER_SLICE) {
            hc_release(hc);    /* a list can be long, and its granter wants to run */
            return HC_AGAIN;
        }
        if (copy_from_guest(hc, &op, at, size)) {
            return -EFAULT;
        }
        if (cmd == GNTTABOP_map_grant_ref) {
            long st = map_one(hc, &op.map);

            if (st == HC_WAIT) {
                return st;
            }
            op.map.status = (int16_t)st;
        } else if (cmd == GNTTABOP_unmap_grant_ref) {
            op.unmap.status = unmap_one(hc, &op.unmap);
        } else {
            op.replace.status = replace_one(hc, &op.replace);
        }
        if (copy_to_guest(hc, at, &op, size)) {
            /* It will never know the handle. */
            if (cmd == GNTTABOP_map_grant_ref && op.map.status == GNTST_okay) {
                foreign_unmap(hc->d, op.map.handle);
            }
            return -EFAULT;
        }
    }
    return 0;
}
