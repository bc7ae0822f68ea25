/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/ioreq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>

#include "common/log.h"
#include "hypervisor/core/dm_op.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/event_channel.h"

#define PAGE 4096u

/* Pages of a server within the Xen-owned memfd, in the order of the resource's frames. */
enum { PAGE_BUFFERED, PAGE_SYNC };

_Static_assert(KL_MAX_VCPUS * sizeof(struct ioreq) <= PAGE, "all vCPUs' ioreqs share a page");
_Static_assert(PAGE_BUFFERED == XENMEM_resource_ioreq_server_frame_bufioreq &&
               PAGE_SYNC == XENMEM_resource_ioreq_server_frame_ioreq(0), "frames");

static uint64_t page_of(uint32_t id, unsigned which)
{
    return KL_XEN_IOREQ + 2u * id + which;
}

/* The server that `by` may act on. */
static int find(const struct domain *d, domid_t by, uint32_t id, struct ioreq_server **out)
{
    struct ioreq_server *s = d->dm && id < KL_XEN_MAX_IOREQ_SERVERS ? d->dm->server[id] : NULL;

    if (!s) {
        return -ENOENT;
    }
    *out = s;
    return s->emulator == by ? 0 : -EPERM;
}

/* Telling the process. */

static void tell(struct domain *d, uint32_t id)
{
    union {
        struct kl_ioreq m;
        uint8_t bytes[sizeof(struct kl_ioreq) +
                      KL_IOREQ_KINDS * KL_IOREQ_MAX_RANGES * sizeof(struct kl_ioreq_range)];
    } u;
    const struct ioreq_server *s = d->dm->server[id];
    size_t len = sizeof(u.m);

    memset(&u.m, 0, sizeof(u.m));
    u.m.id = id;
    u.m.state = !s ? KL_IOREQ_GONE : s->enabled ? KL_IOREQ_ENABLED : KL_IOREQ_DISABLED;
    for (unsigned k = 0; s && k < KL_IOREQ_KINDS; k++) {
        u.m.nr[k] = s->ranges[k].nr;
        memcpy(u.bytes + len, s->ranges[k].r, s->ranges[k].nr * sizeof(s->ranges[k].r[0]));
        len += s->ranges[k].nr * sizeof(s->ranges[k].r[0]);
    }
    if (s) {
        u.m.buffered = s->buffered;
        u.m.mem_writes = d->dm->mem_server == s;
    }
    domproc_send_control(d, KL_IOREQ, &u, len, NULL, 0);
}

static void tell_port(struct domain *d, uint32_t id, uint32_t vcpu, uint32_t port)
{
    struct kl_ioreq_port m = { .id = id, .vcpu = vcpu, .port = port };
    const struct evtchn *e = evtchn_from_port(d, port);
    int fds[2] = { evtchn_recv_fd(e), evtchn_send_fd(e) };

    domproc_send_control(d, KL_IOREQ_PORT, &m, sizeof(m), fds, 2);
}

/* Making and unmaking. */

/* In the page, where a device model finds out which port to bind to. */
static void show_port(struct domain *d, uint32_t id, uint32_t vcpu)
{
    struct ioreq *slot = (void *)(d->xen_map + page_of(id, PAGE_SYNC) * PAGE);

    slot[vcpu].vp_eport = d->dm->server[id]->port[vcpu];
}

static int add_port(struct domain *d, uint32_t id, uint32_t vcpu)
{
    struct ioreq_server *s = d->dm->server[id];
    int rc = evtchn_alloc_xen(d, vcpu, s->emulator, &s->port[vcpu]);

    if (!rc) {
        s->nr_ports = vcpu + 1;
        tell_port(d, id, vcpu, s->port[vcpu]);
        if (s->enabled) {
            show_port(d, id, vcpu);
        }
    }
    return rc;
}

static int add_ports(struct domain *d, uint32_t id)
{
    struct ioreq_server *s = d->dm->server[id];
    int rc = 0;

    for (uint32_t v = 0; v < d->nr_vcpus && !rc; v++) {
        rc = add_port(d, id, v);
    }
    if (!rc && s->buffered != HVM_IOREQSRV_BUFIOREQ_OFF) {
        rc = evtchn_alloc_xen(d, 0, s->emulator, &s->buf_port);
        if (!rc) {
            tell_port(d, id, KL_IOREQ_BUFFERED, s->buf_port);
        }
    }
    return rc;
}

int ioreq_add_vcpu(struct domain *d, uint32_t vcpu)
{
    int rc = 0;

    for (uint32_t id = 0; d->dm && id < KL_XEN_MAX_IOREQ_SERVERS && !rc; id++) {
        if (d->dm->server[id]) {
            rc = add_port(d, id, vcpu);
        }
    }
    return rc;
}

/* The frame gets an ordinary page again, as on Xen, where it never lost its own. */
static void release_gfn(struct domain *d, uint32_t id, unsigned which)
{
    uint64_t gfn = d->dm->server[id]->gfn[which];

    if (gfn == IOREQ_NO_GFN) {
        return;
    }
    p2m_unmap_xen(d, page_of(id, which));
    if (p2m_lookup(d, gfn).type == P2M_NONE && p2m_populate(d, gfn, 1)) {
        kr_log_once(KR_NOTICE, "domain %u: no memory for frame %#llx after a device model",
                    d->domid, (unsigned long long)gfn);
    }
    d->dm->server[id]->gfn[which] = IOREQ_NO_GFN;
}

static void drop(struct domain *d, uint32_t id)
{
    struct ioreq_server *s = d->dm->server[id];

    for (unsigned which = PAGE_BUFFERED; which <= PAGE_SYNC; which++) {
        release_gfn(d, id, which);
    }
    for (uint32_t v = 0; v < s->nr_ports; v++) {
        evtchn_close(d, s->port[v]);
    }
    if (s->buf_port) {
        evtchn_close(d, s->buf_port);
    }
    if (d->dm->mem_server == s) {
        d->dm->mem_server = NULL;
    }
    d->dm->server[id] = NULL;
    free(s->port);
    free(s);
    tell(d, id);
}

int ioreq_create(struct domain *d, domid_t by, uint8_t buffered, ioservid_t *id)
{
    struct ioreq_server *s;
    uint32_t n = 0;
    int rc;

    if (buffered > HVM_IOREQSRV_BUFIOREQ_ATOMIC) {
        return -EINVAL;
    }
    if (dm_get(d)) {
        return -ENOMEM;
    }
    while (n < KL_XEN_MAX_IOREQ_SERVERS && d->dm->server[n]) {
        n++;
    }
    if (n == KL_XEN_MAX_IOREQ_SERVERS) {
        return -ENOSPC;
    }
    s = calloc(1, sizeof(*s));
    if (!s) {
        return -ENOMEM;
    }
    s->port = calloc(d->max_vcpus, sizeof(*s->port));
    if (!s->port) {
        free(s);
        return -ENOMEM;
    }
    s->emulator = by;
    s->buffered = buffered;
    s->gfn[PAGE_BUFFERED] = s->gfn[PAGE_SYNC] = IOREQ_NO_GFN;
    memset(d->xen_map + page_of(n, PAGE_BUFFERED) * PAGE, 0, 2 * PAGE);
    d->dm->server[n] = s;
    tell(d, n);
    rc = add_ports(d, n);
    if (rc) {
        drop(d, n);
        return rc;
    }
    *id = (ioservid_t)n;
    return 0;
}

int ioreq_destroy(struct domain *d, domid_t by, ioservid_t id)
{
    struct ioreq_server *s;
    int rc = find(d, by, id, &s);

    if (!rc) {
        drop(d, id);
    }
    return rc;
}

void ioreq_free(struct domain *d)
{
    for (uint32_t id = 0; d->dm && id < KL_XEN_MAX_IOREQ_SERVERS; id++) {
        if (d->dm->server[id]) {
            free(d->dm->server[id]->port);
            free(d->dm->server[id]);
        }
    }
}

/* The pages. */

static bool gfn_in_use(const struct domain *d, uint64_t gfn)
{
    for (uint32_t id = 0; id < KL_XEN_MAX_IOREQ_SERVERS; id++) {
        const struct ioreq_server *s = d->dm->server[id];

        if (s && (s->gfn[0] == gfn || s->gfn[1] == gfn)) {
            return true;
        }
    }
    return false;
}

/* A frame that the toolstack put aside: of the range for servers, else one of the two old ones. */
static uint64_t choose_gfn(const struct domain *d)
{
    const uint64_t *p = d->hvm_param;

    for (uint64_t i = 0; i < p[HVM_PARAM_NR_IOREQ_SERVER_PAGES] && i < IOREQ_GFNS; i++) {
        uint64_t gfn = p[HVM_PARAM_IOREQ_SERVER_PFN] + i;

        if (p[HVM_PARAM_IOREQ_SERVER_PFN] && gfn < P2M_MAX_GFN && !gfn_in_use(d, gfn)) {
            return gfn;
        }
    }
    for (unsigned i = HVM_PARAM_IOREQ_PFN; i <= HVM_PARAM_BUFIOREQ_PFN; i++) {
        if (p[i] && !gfn_in_use(d, p[i])) {
            return p[i];
        }
    }
    return IOREQ_NO_GFN;
}

static int give_gfn(struct domain *d, uint32_t id, unsigned which)
{
    struct ioreq_server *s = d->dm->server[id];
    uint64_t gfn;
    int rc;

    if (s->gfn[which] != IOREQ_NO_GFN) {
        return 0;
    }
    gfn = choose_gfn(d);
    if (gfn == IOREQ_NO_GFN) {
        return -ENOMEM;
    }
    rc = s->enabled ? p2m_lookup(d, gfn).type == P2M_NONE ? 0 : p2m_remove(d, gfn)
                    : p2m_map_xen(d, gfn, page_of(id, which));
    if (!rc) {
        s->gfn[which] = gfn;
    }
    return rc;
}

int ioreq_info(struct domain *d, domid_t by, struct xen_dm_op_get_ioreq_server_info *info)
{
    bool gfns = !(info->flags & XEN_DMOP_no_gfns);
    struct ioreq_server *s;
    int rc = find(d, by, info->id, &s);

    if (!rc && gfns) {
        rc = s->handed_out ? -EPERM : give_gfn(d, info->id, PAGE_SYNC);
        if (!rc && s->buffered) {
            rc = give_gfn(d, info->id, PAGE_BUFFERED);
            if (rc) {
                release_gfn(d, info->id, PAGE_SYNC);
            }
        }
    }
    if (rc) {
        return rc;
    }
    if (gfns) {
        info->ioreq_gfn = s->gfn[PAGE_SYNC];
    }
    if (s->buffered) {
        info->bufioreq_port = s->buf_port;
        if (gfns) {
            info->bufioreq_gfn = s->gfn[PAGE_BUFFERED];
        }
    }
    return 0;
}

uint64_t ioreq_resource_size(const struct domain *d)
{
    return 1 + (d->max_vcpus * sizeof(struct ioreq) + PAGE - 1) / PAGE;
}

int ioreq_resource(struct domain *d, domid_t by, uint32_t id, uint64_t frame, uint64_t nr,
                   uint64_t *first)
{
    struct ioreq_server *s;
    int rc = id > UINT16_MAX ? -EINVAL : find(d, by, id, &s);

    if (rc) {
        return rc;
    }
    if (frame > 2 || nr > 2 - frame) {
        return -EINVAL;
    }
    if (s->gfn[PAGE_SYNC] != IOREQ_NO_GFN) {
        return -EPERM;
    }
    if (frame == PAGE_BUFFERED && nr && !s->buffered) {
        return -ENOENT;
    }
    s->handed_out = s->handed_out || nr;
    *first = page_of(id, 0);
    return 0;
}

/* While a server is enabled its pages are out of the guest's reach. */
int ioreq_set_state(struct domain *d, domid_t by, ioservid_t id, bool enabled)
{
    struct ioreq_server *s;
    int rc = find(d, by, id, &s);

    if (rc || s->enabled == enabled) {
        return rc;
    }
    for (unsigned which = PAGE_BUFFERED; which <= PAGE_SYNC; which++) {
        if (s->gfn[which] != IOREQ_NO_GFN && enabled) {
            p2m_unmap_xen(d, page_of(id, which));
        } else if (s->gfn[which] != IOREQ_NO_GFN && p2m_map_xen(d, s->gfn[which], page_of(id, which))) {
            /* A guest that has put a grant there does without, as on Xen. */
            kr_log_once(KR_NOTICE, "domain %u: frame %#llx of a device model is in use", d->domid,
                        (unsigned long long)s->gfn[which]);
        }
    }
    s->enabled = enabled;
    for (uint32_t v = 0; enabled && v < s->nr_ports; v++) {
        show_port(d, id, v);
    }
    tell(d, id);
    return 0;
}

int ioreq_map_mem_type(struct domain *d, domid_t by, ioservid_t id, uint16_t type, uint32_t flags)
{
    struct ioreq_server *s, *old;
    int rc;

    if (type != HVMMEM_ioreq_server || (flags & ~XEN_DMOP_IOREQ_MEM_ACCESS_WRITE)) {
        return -EINVAL;
    }
    rc = find(d, by, id, &s);
    if (rc) {
        return rc;
    }
    old = d->dm->mem_server;
    if (flags ? old != NULL : old != s) {
        return flags ? -EBUSY : -EINVAL;
    }
    d->dm->mem_server = flags ? s : NULL;
    tell(d, id);
    return 0;
}

bool ioreq_has_mem_server(const struct domain *d)
{
    return d->dm && d->dm->mem_server;
}

/* Ranges: sorted, disjoint, never adjacent; ends included. */

static uint32_t first_ending_at(const struct ioreq_ranges *set, uint64_t start)
{
    uint32_t i = 0;

    while (i < set->nr && set->r[i].end < start) {
        i++;
    }
    return i;
}

static int insert(struct ioreq_ranges *set, uint32_t at, struct kl_ioreq_range r)
{
    if (set->nr == KL_IOREQ_MAX_RANGES) {
        return -ENOMEM;
    }
    memmove(&set->r[at + 1], &set->r[at], (set->nr - at) * sizeof(set->r[0]));
    set->r[at] = r;
    set->nr++;
    return 0;
}

static void erase(struct ioreq_ranges *set, uint32_t at)
{
    set->nr--;
    memmove(&set->r[at], &set->r[at + 1], (set->nr - at) * sizeof(set->r[0]));
}

static int add_range(struct ioreq_ranges *set, uint64_t start, uint64_t end)
{
    uint32_t i = first_ending_at(set, start);
    bool before, after;

    if (i < set->nr && set->r[i].start <= end) {
        return -EEXIST;
    }
    before = i > 0 && set->r[i - 1].end + 1 == start;
    after = i < set->nr && end + 1 == set->r[i].start;
    if (before && after) {
        set->r[i - 1].end = set->r[i].end;
        erase(set, i);
    } else if (before) {
        set->r[i - 1].end = end;
    } else if (after) {
        set->r[i].start = start;
    } else {
        return insert(set, i, (struct kl_ioreq_range){ start, end });
    }
    return 0;
}

static int remove_range(struct ioreq_ranges *set, uint64_t start, uint64_t end)
{
    uint32_t i = first_ending_at(set, start);
    struct kl_ioreq_range r;

    if (i == set->nr || set->r[i].start > start || set->r[i].end < end) {
        return -ENOENT;
    }
    r = set->r[i];
    if (r.start == start && r.end == end) {
        erase(set, i);
    } else if (r.start == start) {
        set->r[i].start = end + 1;
    } else if (r.end == end) {
        set->r[i].end = start - 1;
    } else {
        int rc = insert(set, i + 1, (struct kl_ioreq_range){ end + 1, r.end });

        if (rc) {
            return rc;
        }
        set->r[i].end = start - 1;
    }
    return 0;
}

int ioreq_change_range(struct domain *d, domid_t by, const struct xen_dm_op_ioreq_server_range *r,
                       bool map)
{
    struct ioreq_server *s;
    int rc;

    if (r->start > r->end) {
        return -EINVAL;
    }
    rc = find(d, by, r->id, &s);
    if (rc) {
        return rc;
    }
    if (r->type >= KL_IOREQ_KINDS) {
        return -EINVAL;
    }
    rc = map ? add_range(&s->ranges[r->type], r->start, r->end)
             : remove_range(&s->ranges[r->type], r->start, r->end);
    if (!rc) {
        tell(d, r->id);
    }
    return rc;
}
