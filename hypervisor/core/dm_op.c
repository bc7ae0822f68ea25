/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/dm_op.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/sched.h>

#include "common/log.h"
#include "hypervisor/core/client.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/ioreq.h"

#define PAGE            4096u
#define MAX_BUFS        2
#define FRAMES_PER_SLICE 256
#define PAGE_COST       64
#define SUMS_PER_COST   1024
#define STAGE_SYNC      UINT_MAX         /* of a call: it only waits for the domain's process */
#define MAX_VRAM        (1u << 18)       /* frames: Xen's limit of 1 GiB */

/* A call's second buffer; the first one is in op. */
struct dm_call {
    struct hcall *hc;
    struct domain *d;
    struct xen_dm_op op;
    unsigned nr_bufs;
    uint64_t ptr[MAX_BUFS], size[MAX_BUFS];
};

int dm_get(struct domain *d)
{
    if (!d->dm) {
        d->dm = calloc(1, sizeof(*d->dm));
    }
    return d->dm ? 0 : -ENOMEM;
}

void dm_free(struct domain *d)
{
    if (d->dm) {
        ioreq_free(d);
        free(d->dm->vram.sum);
        free(d->dm);
        d->dm = NULL;
    }
}

/* I/O request servers. */

static long create_server(struct dm_call *c)
{
    struct xen_dm_op_create_ioreq_server *u = &c->op.u.create_ioreq_server;

    return u->pad[0] || u->pad[1] || u->pad[2] ? -EINVAL :
           ioreq_create(c->d, c->hc->d->domid, u->handle_bufioreq, &u->id);
}

static long server_info(struct dm_call *c)
{
    struct xen_dm_op_get_ioreq_server_info *u = &c->op.u.get_ioreq_server_info;

    return u->flags & ~XEN_DMOP_no_gfns ? -EINVAL : ioreq_info(c->d, c->hc->d->domid, u);
}

static long map_range(struct dm_call *c)
{
    const struct xen_dm_op_ioreq_server_range *u = &c->op.u.map_io_range_to_ioreq_server;

    return u->pad ? -EINVAL : ioreq_change_range(c->d, c->hc->d->domid, u, true);
}

static long unmap_range(struct dm_call *c)
{
    const struct xen_dm_op_ioreq_server_range *u = &c->op.u.unmap_io_range_from_ioreq_server;

    return u->pad ? -EINVAL : ioreq_change_range(c->d, c->hc->d->domid, u, false);
}

static long server_state(struct dm_call *c)
{
    const struct xen_dm_op_set_ioreq_server_state *u = &c->op.u.set_ioreq_server_state;

    return u->pad ? -EINVAL : ioreq_set_state(c->d, c->hc->d->domid, u->id, u->enabled);
}

static long destroy_server(struct dm_call *c)
{
    const struct xen_dm_op_destroy_ioreq_server *u = &c->op.u.destroy_ioreq_server;

    return u->pad ? -EINVAL : ioreq_destroy(c->d, c->hc->d->domid, u->id);
}

/* Frames of the type of a server that is taken away become RAM again, a slice at a time. */
static long map_mem_type(struct dm_call *c)
{
    const struct xen_dm_op_map_mem_type_to_ioreq_server *u = &c->op.u.map_mem_type_to_ioreq_server;
    struct hcall *hc = c->hc;
    uint64_t gfn = hc->progress;
    int rc = 0;

    if (!hc->stage) {
        rc = ioreq_map_mem_type(c->d, hc->d->domid, u->id, u->type, u->flags);
    }
    if (rc || u->flags) {
        return rc;
    }
    hc->stage = 1;
    for (unsigned n = 0; (gfn = p2m_next(c->d, gfn)) < c->d->p2m.max_gfn_plus1; gfn++, n++) {
        if (n == 16 * FRAMES_PER_SLICE) {
            hc->progress = gfn;
            return HC_AGAIN;
        }
        if (p2m_lookup(c->d, gfn).type == P2M_RAM_IOREQ) {
            p2m_set_ram_type(c->d, gfn, P2M_RAM);
        }
    }
    return 0;
}

/* Memory. */

/* [first, first + nr) lies within what the domain has ever had. */
static bool frames_ok(const struct domain *d, uint64_t first, uint64_t nr)
{
    uint64_t last = first + nr - 1;

    return nr && last >= first && last < d->p2m.max_gfn_plus1;
}

static int change_type(struct domain *d, uint64_t gfn, uint32_t type)
{
    static const enum p2m_type as[] = {
        [HVMMEM_ram_rw] = P2M_RAM, [HVMMEM_ram_ro] = P2M_RAM_RO, [HVMMEM_ioreq_server] = P2M_RAM_IOREQ,
    };
    enum p2m_type old = p2m_lookup(d, gfn).type;

    if (type == HVMMEM_ioreq_server ? old != P2M_RAM : old == P2M_RAM_IOREQ && type != HVMMEM_ram_rw) {
        return -EINVAL;
    }
    if (type != HVMMEM_mmio_dm) {
        return p2m_set_ram_type(d, gfn, as[type]);
    }
    /* The guest sees no memory there from now on; unlike Xen's, ours does not keep the page. */
    return old == P2M_NONE ? 0 : p2m_is_ram(old) ? p2m_remove(d, gfn) : -EINVAL;
}

/* How many frames from gfn on need no look when they are to have no memory: they have none. */
static uint64_t hole(const struct domain *d, uint64_t gfn)
{
    uint64_t next = p2m_next(d, gfn);

    return next > gfn ? next - gfn : 1;
}

static long set_mem_type(struct dm_call *c)
{
    struct xen_dm_op_set_mem_type *u = &c->op.u.set_mem_type;
    struct hcall *hc = c->hc;
    int rc = 0;

    if (u->pad || u->mem_type > HVMMEM_ioreq_server || u->mem_type == HVMMEM_unused) {
        return -EINVAL;
    }
    /* Removing what is at the top must not make the rest of the call out of range. */
    if (!hc->stage++ && !frames_ok(c->d, u->first_pfn, u->nr)) {
        return -EINVAL;
    }
    if (u->mem_type == HVMMEM_ioreq_server && !ioreq_has_mem_server(c->d)) {
        return -EINVAL;
    }
    for (unsigned n = 0; hc->progress < u->nr && !rc; n++) {
        if (n == FRAMES_PER_SLICE) {
            return HC_AGAIN;
        }
        rc = change_type(c->d, u->first_pfn + hc->progress, u->mem_type);
        if (!rc) {
            hc->progress += u->mem_type == HVMMEM_mmio_dm ? hole(c->d, u->first_pfn + hc->progress) : 1;
        }
    }
    u->first_pfn += hc->progress;
    u->nr -= hc->progress < u->nr ? (uint32_t)hc->progress : u->nr;
    return rc;
}

static long relocate(struct dm_call *c)
{
    struct xen_dm_op_relocate_memory *u = &c->op.u.relocate_memory;
    struct hcall *hc = c->hc;
    uint64_t moved = 0, left, i = hc->progress;
    int rc = 0;

    if (u->pad) {
        return -EINVAL;
    }
    if (u->size && (u->src_gfn >= P2M_MAX_GFN || u->dst_gfn >= P2M_MAX_GFN)) {
        return -EINVAL;
    }
    left = i < u->size ? u->size - i : 0;
    if (left && u->src_gfn != u->dst_gfn) {
        rc = p2m_move_range(c->d, u->src_gfn + i, u->dst_gfn + i, left, &moved);
        hc->progress += moved;
        if (!rc && hc->progress < u->size) {
            return HC_AGAIN;
        }
    }
    if (!rc) {
        u->src_gfn += u->size;
        u->dst_gfn += u->size;
        u->size = 0;
    }
    return rc;
}

/*
 * Recorded for the device model that asks again; nothing here depends on it: guest memory is always
 * cached, as it is under Xen when no device is passed through.
 */
static long pin_cacheattr(struct dm_call *c)
{
    const struct xen_dm_op_pin_memory_cacheattr *u = &c->op.u.pin_memory_cacheattr;
    struct dm *dm;

    if (u->pad || u->end < u->start || (u->start | u->end) >> P2M_GFN_BITS ||
        (u->type > XEN_DMOP_MEM_CACHEATTR_UCM && u->type != XEN_DMOP_DELETE_MEM_CACHEATTR) ||
        u->type == 2 || u->type == 3) {
        return -EINVAL;
    }
    if (dm_get(c->d)) {
        return -ENOMEM;
    }
    dm = c->d->dm;
    for (unsigned i = 0; i < dm->nr_pinned; i++) {
        if (dm->pinned[i].start == u->start && dm->pinned[i].end == u->end) {
            dm->pinned[i].type = u->type;
            if (u->type == XEN_DMOP_DELETE_MEM_CACHEATTR) {
                dm->pinned[i] = dm->pinned[--dm->nr_pinned];
            }
            return 0;
        }
        if (u->type != XEN_DMOP_DELETE_MEM_CACHEATTR && dm->pinned[i].end >= u->start &&
            dm->pinned[i].start <= u->end) {
            return -EBUSY;
        }
    }
    if (u->type == XEN_DMOP_DELETE_MEM_CACHEATTR) {
        return -ENOENT;
    }
    if (dm->nr_pinned == DM_MAX_PINNED) {
        return -ENOSPC;
    }
    dm->pinned[dm->nr_pinned].start = u->start;
    dm->pinned[dm->nr_pinned].end = u->end;
    dm->pinned[dm->nr_pinned++].type = u->type;
    return 0;
}

/* What a display's memory holds, to be compared with what it held. */

/* *cost: what it took, in looks at a frame that has no page. */
static uint64_t page_sum(struct domain *d, uint64_t gfn, unsigned *cost)
{
    uint64_t w[PAGE / 8], h[4] = { 1, 2, 3, 4 };

    (*cost)++;
    if (p2m_lookup(d, gfn).type == P2M_NONE) {
        return 1;
    }
    *cost += PAGE_COST;
    if (gpa_read(d, gfn * PAGE, w, sizeof(w))) {
        return 1;
    }
    for (unsigned i = 0; i < PAGE / 8; i++) {
        uint64_t *x = &h[i % 4];

        *x = (*x ^ w[i]) * 0x9e3779b97f4a7c15ull;
        *x ^= *x >> 29;
    }
    return (h[0] ^ (h[1] << 13 | h[1] >> 51) ^ (h[2] << 27 | h[2] >> 37) ^ (h[3] << 41 | h[3] >> 23)) | 1;
}

static int begin_tracking(struct domain *d, uint64_t first, uint64_t nr)
{
    struct dm_vram *v;

    if (dm_get(d)) {
        return -ENOMEM;
    }
    v = &d->dm->vram;
    if (v->nr && v->first == first && v->nr == nr) {
        return 0;
    }
    free(v->sum);
    *v = (struct dm_vram){ .sum = nr ? calloc(nr, sizeof(*v->sum)) : NULL };
    if (nr && !v->sum) {
        return -ENOMEM;
    }
    v->first = first;
    v->nr = nr;
    return 0;
}

/*
 * A page is dirty when its contents are not what they were at the last call: no engine needs to
 * know, and what is written without being changed costs the display nothing.
 */
static long track_vram(struct dm_call *c)
{
    const struct xen_dm_op_track_dirty_vram *u = &c->op.u.track_dirty_vram;
    struct hcall *hc = c->hc;
    struct dm_vram *v;
    unsigned cost = 0;
    int rc;

    if (u->pad || c->nr_bufs < 2 || u->nr > MAX_VRAM || !c->d->nr_vcpus ||
        c->size[1] > UINT64_MAX / 8 || c->size[1] * 8 < u->nr ||
        u->first_pfn >= P2M_MAX_GFN || u->nr > P2M_MAX_GFN - u->first_pfn) {
        return -EINVAL;
    }
    rc = begin_tracking(c->d, u->first_pfn, u->nr);
    if (rc) {
        return rc;
    }
    v = &c->d->dm->vram;
    while (hc->progress < v->nr && cost < FRAMES_PER_SLICE * PAGE_COST) {
        uint64_t at = hc->progress;
        uint8_t bits = 0;

        for (unsigned b = 0; b < 8 && at + b < v->nr; b++) {
            uint64_t sum = page_sum(c->d, v->first + at + b, &cost);

            bits |= (uint8_t)((sum != v->sum[at + b]) << b);
            v->sum[at + b] = sum;
        }
        if (copy_to_guest(hc, c->ptr[1] + at / 8, &bits, 1)) {
            return -EFAULT;
        }
        hc->progress += 8;
    }
    return hc->progress < v->nr ? HC_AGAIN : 0;
}

/* Returns how many of them are tracked. */
static uint64_t mark_modified(struct domain *d, uint64_t first, uint64_t nr)
{
    struct dm_vram *v = d->dm ? &d->dm->vram : NULL;
    uint64_t from, to;

    if (!v || !v->nr) {
        return 0;
    }
    from = first > v->first ? first : v->first;
    to = first + nr < v->first + v->nr ? first + nr : v->first + v->nr;
    if (from >= to) {
        return 0;
    }
    memset(&v->sum[from - v->first], 0, (to - from) * sizeof(v->sum[0]));
    return to - from;
}

static long modified_memory(struct dm_call *c)
{
    const struct xen_dm_op_modified_memory *u = &c->op.u.modified_memory;
    struct xen_dm_op_modified_memory_extent e;
    struct hcall *hc = c->hc;

    if (c->nr_bufs < 2 || c->size[1] / sizeof(e) < u->nr_extents || u->opaque) {
        return -EINVAL;
    }
    for (uint64_t cost = 0; hc->progress < u->nr_extents; cost++, hc->progress++) {
        if (cost >= FRAMES_PER_SLICE) {
            return HC_AGAIN;
        }
        if (copy_from_guest(hc, &e, c->ptr[1] + hc->progress * sizeof(e), sizeof(e))) {
            return -EFAULT;
        }
        if (e.pad || !frames_ok(c->d, e.first_pfn, e.nr)) {
            return -EINVAL;
        }
        cost += mark_modified(c->d, e.first_pfn, e.nr) / SUMS_PER_COST;
    }
    return 0;
}

/* Interrupts and events. */

/* The emulated interrupt controllers that lines lead to, which a PVH domain does not have. */
static int has_lines(const struct domain *d)
{
    if (d->config.arch.emulation_flags & (XEN_X86_EMU_PIC | XEN_X86_EMU_IOAPIC)) {
        kr_log_once(KR_NOTICE, "domain %u: interrupt lines are not available", d->domid);
        return -EOPNOTSUPP;
    }
    return -ENODEV;
}

static long intx_level(struct dm_call *c)
{
    const struct xen_dm_op_set_pci_intx_level *u = &c->op.u.set_pci_intx_level;

    return u->domain || u->bus || u->device > 0x1f || u->intx > 3 || u->level > 1 ? -EINVAL
           : has_lines(c->d);
}

static long isa_level(struct dm_call *c)
{
    const struct xen_dm_op_set_isa_irq_level *u = &c->op.u.set_isa_irq_level;

    return u->isa_irq > 15 || u->level > 1 ? -EINVAL : has_lines(c->d);
}

static long link_route(struct dm_call *c)
{
    const struct xen_dm_op_set_pci_link_route *u = &c->op.u.set_pci_link_route;

    return u->link > 3 || u->isa_irq > 15 ? -EINVAL : has_lines(c->d);
}

static long inject_msi(struct dm_call *c)
{
    const struct xen_dm_op_inject_msi *u = &c->op.u.inject_msi;
    struct kl_msi m = { .addr = u->addr, .data = u->data };
    unsigned mode = u->data >> 8 & 7;

    if (u->pad) {
        return -EINVAL;
    }
    if (!(u->data & 0xff)) {
        /* vector 0: an event channel of the guest's instead, named by the address (a pirq) */
        uint64_t pirq = (u->addr >> 32 & 0xffffff00) | (u->addr >> 12 & 0xff);

        kr_log_once(KR_NOTICE, "domain %u: MSIs to event channels are not available", c->d->domid);
        return pirq ? -EOPNOTSUPP : -ERANGE;
    }
    if (mode > 1) {    /* fixed and lowest priority */
        return -EINVAL;
    }
    domproc_send_control(c->d, KL_MSI, &m, sizeof(m), NULL, 0);
    return 0;
}

static long inject_event(struct dm_call *c)
{
    const struct xen_dm_op_inject_event *u = &c->op.u.inject_event;
    struct kl_inject m = { .vcpu = u->vcpuid, .error = u->error_code, .vector = u->vector,
                           .type = u->type, .insn_len = u->insn_len, .cr2 = u->cr2 };
    uint64_t idle = 0;

    if (u->pad0 || u->pad1 || u->vcpuid >= c->d->nr_vcpus || u->type == 1 ||
        u->type > XEN_DMOP_EVENT_sw_exc) {
        return -EINVAL;
    }
    /* The process clears it; one that lies about it cheats itself. */
    if (!__atomic_compare_exchange_n(&c->d->state->vcpu[u->vcpuid].inject, &idle, 1, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        return -EBUSY;
    }
    domproc_send_control(c->d, KL_INJECT, &m, sizeof(m), NULL, 0);
    return 0;
}

static long remote_shutdown(struct dm_call *c)
{
    domain_shutdown(c->d, c->op.u.remote_shutdown.reason & 0xff);
    return 0;
}

static long nr_vcpus(struct dm_call *c)
{
    c->op.u.nr_vcpus.vcpus = c->d->max_vcpus;
    return 0;
}

/*
 * The operations: the size of their argument; whether it is given back; and whether it must be in
 * effect before the caller goes on, who may then answer an access that the guest's next one hangs on.
 */
enum { OUT = 1, SYNC = 2 };
struct dm_op { long (*fn)(struct dm_call *c); uint8_t size, flags; };
#define OP(f, member, flags) { f, sizeof(((struct xen_dm_op *)0)->u.member), flags }

static const struct dm_op ops[] = {
    [XEN_DMOP_create_ioreq_server] = OP(create_server, create_ioreq_server, OUT | SYNC),
    [XEN_DMOP_get_ioreq_server_info] = OP(server_info, get_ioreq_server_info, OUT),
    [XEN_DMOP_map_io_range_to_ioreq_server] = OP(map_range, map_io_range_to_ioreq_server, SYNC),
    [XEN_DMOP_unmap_io_range_from_ioreq_server] =
        OP(unmap_range, unmap_io_range_from_ioreq_server, SYNC),
    [XEN_DMOP_set_ioreq_server_state] = OP(server_state, set_ioreq_server_state, SYNC),
    [XEN_DMOP_destroy_ioreq_server] = OP(destroy_server, destroy_ioreq_server, SYNC),
    [XEN_DMOP_track_dirty_vram] = OP(track_vram, track_dirty_vram, 0),
    [XEN_DMOP_set_pci_intx_level] = OP(intx_level, set_pci_intx_level, 0),
    [XEN_DMOP_set_isa_irq_level] = OP(isa_level, set_isa_irq_level, 0),
    [XEN_DMOP_set_pci_link_route] = OP(link_route, set_pci_link_route, 0),
    [XEN_DMOP_modified_memory] = OP(modified_memory, modified_memory, 0),
    [XEN_DMOP_set_mem_type] = OP(set_mem_type, set_mem_type, OUT | SYNC),
    [XEN_DMOP_inject_event] = OP(inject_event, inject_event, SYNC),
    [XEN_DMOP_inject_msi] = OP(inject_msi, inject_msi, 0),
    [XEN_DMOP_map_mem_type_to_ioreq_server] =
        OP(map_mem_type, map_mem_type_to_ioreq_server, SYNC),
    [XEN_DMOP_remote_shutdown] = OP(remote_shutdown, remote_shutdown, 0),
    [XEN_DMOP_relocate_memory] = OP(relocate, relocate_memory, OUT | SYNC),
    [XEN_DMOP_pin_memory_cacheattr] = OP(pin_cacheattr, pin_memory_cacheattr, 0),
    [XEN_DMOP_nr_vcpus] = OP(nr_vcpus, nr_vcpus, OUT),
};

static int read_buffers(struct dm_call *c)
{
    struct xen_dm_op_buf bufs[MAX_BUFS];
    uint64_t nr = (uint32_t)c->hc->arg[1];

    if (nr > MAX_BUFS) {
        return -E2BIG;
    }
    c->nr_bufs = (unsigned)nr;
    if (copy_from_guest(c->hc, bufs, c->hc->arg[2], nr * sizeof(bufs[0]))) {
        return -EFAULT;
    }
    for (unsigned i = 0; i < nr; i++) {
        c->ptr[i] = (uint64_t)(uintptr_t)bufs[i].h.p;
        c->size[i] = bufs[i].size;
    }
    return 0;
}

/* A domain that a device model may serve: of its kind, not the caller itself. */
static int target(struct hcall *hc, struct domain **d)
{
    int rc = hc->arg[0] == DOMID_SELF ? -ESRCH : hc_target(hc, (domid_t)hc->arg[0], d);

    if (rc) {
        return rc;
    }
    if (*d == hc->d) {
        return -EPERM;
    }
    return (*d)->dying ? -ESRCH : (*d)->state ? 0 : -EINVAL;
}

static int read_op(struct dm_call *c, const struct dm_op **op)
{
    const size_t head = offsetof(struct xen_dm_op, u);

    if (!c->nr_bufs || c->size[0] < head || copy_from_guest(c->hc, &c->op, c->ptr[0], head)) {
        return -EFAULT;
    }
    if (c->op.op >= KR_ARRAY_SIZE(ops) || !ops[c->op.op].fn ||
        hc_who(__HYPERVISOR_dm_op, c->op.op) == WHO_NONE) {
        return -EOPNOTSUPP;
    }
    *op = &ops[c->op.op];
    if (c->size[0] < head + (*op)->size ||
        copy_from_guest(c->hc, &c->op.u, c->ptr[0] + head, (*op)->size)) {
        return -EFAULT;
    }
    return c->op.pad ? -EINVAL : 0;
}

/* The operation is done: 0 when the domain's process says so too, or when there is nothing to wait for. */
static long wait_synced(struct hcall *hc)
{
    return domproc_synced(hc->held, hc->progress) ? 0 : domain_wait(hc, hc->held);
}

long do_dm_op(struct hcall *hc)
{
    struct dm_call c = { .hc = hc };
    const struct dm_op *op;
    long rc = hc->compat ? -ENOSYS : 0;

    if (hc->stage == STAGE_SYNC) {
        return wait_synced(hc);
    }
    rc = rc ? rc : read_buffers(&c);
    rc = rc ? rc : target(hc, &c.d);
    rc = rc ? rc : read_op(&c, &op);
    if (rc) {
        return rc;
    }
    rc = op->fn(&c);
    if (!rc && (op->flags & OUT) &&
        copy_to_guest(hc, c.ptr[0] + offsetof(struct xen_dm_op, u), &c.op.u, op->size)) {
        rc = -EFAULT;
    }
    if (rc || !(op->flags & SYNC)) {
        return rc;
    }
    hc->stage = STAGE_SYNC;
    hc->progress = domproc_sync(c.d);
    hc->held = domain_get(c.d);    /* another may have its number by then */
    return wait_synced(hc);
}
