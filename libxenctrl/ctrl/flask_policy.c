/* SPDX-License-Identifier: MIT */
/* The security server's policy: decisions, labels of resources, booleans, its cache. */
#include <stdio.h>
#include <string.h>

#include "libxenctrl/ctrl/private.h"

/* What a label can be put on (xen_flask_ocontext.ocon). */
enum { OCON_PIRQ = 1, OCON_IOPORT, OCON_IOMEM, OCON_DEVICE };

static int get_sid(xc_interface *xch, const char *context, uint32_t *sid)
{
    return xc_flask_context_to_sid(xch, (char *)(uintptr_t)context, (uint32_t)strlen(context),
                                   sid);
}

int xc_flask_access(xc_interface *xch, const char *scon, const char *tcon, uint16_t tclass,
                    uint32_t req, uint32_t *allowed, uint32_t *decided, uint32_t *auditallow,
                    uint32_t *auditdeny, uint32_t *seqno)
{
    xen_flask_op_t op = { .cmd = FLASK_ACCESS };
    struct xen_flask_access *a = &op.u.access;

    a->tclass = tclass;
    a->req = req;
    if (get_sid(xch, scon, &a->ssid) || get_sid(xch, tcon, &a->tsid) || xc_flask_op(xch, &op)) {
        return -1;
    }
    if (allowed) {
        *allowed = a->allowed;
    }
    if (decided) {
        *decided = ~0u;
    }
    if (auditallow) {
        *auditallow = a->audit_allow;
    }
    if (auditdeny) {
        *auditdeny = a->audit_deny;
    }
    if (seqno) {
        *seqno = a->seqno;
    }
    return (a->allowed & req) == req ? 0 : -EPERM;
}

/* ---- labels ----------------------------------------------------------------------------- */

static int label(xc_interface *xch, uint32_t kind, uint64_t low, uint64_t high,
                 const char *context)
{
    xen_flask_op_t op = { .cmd = FLASK_ADD_OCONTEXT };

    op.u.ocontext.ocon = kind;
    op.u.ocontext.low = low;
    op.u.ocontext.high = high;
    if (get_sid(xch, context, &op.u.ocontext.sid)) {
        return -1;
    }
    return xc_flask_op(xch, &op);
}

static int unlabel(xc_interface *xch, uint32_t kind, uint64_t low, uint64_t high)
{
    xen_flask_op_t op = { .cmd = FLASK_DEL_OCONTEXT };

    op.u.ocontext.ocon = kind;
    op.u.ocontext.low = low;
    op.u.ocontext.high = high;
    return xc_flask_op(xch, &op);
}

int xc_flask_add_pirq(xc_interface *xch, unsigned int pirq, char *scontext)
{
    return label(xch, OCON_PIRQ, pirq, pirq, scontext);
}

int xc_flask_add_ioport(xc_interface *xch, unsigned long low, unsigned long high, char *scontext)
{
    return label(xch, OCON_IOPORT, low, high, scontext);
}

int xc_flask_add_iomem(xc_interface *xch, unsigned long low, unsigned long high, char *scontext)
{
    return label(xch, OCON_IOMEM, low, high, scontext);
}

int xc_flask_add_device(xc_interface *xch, unsigned long device, char *scontext)
{
    return label(xch, OCON_DEVICE, device, device, scontext);
}

int xc_flask_del_pirq(xc_interface *xch, unsigned int pirq)
{
    return unlabel(xch, OCON_PIRQ, pirq, pirq);
}

int xc_flask_del_ioport(xc_interface *xch, unsigned long low, unsigned long high)
{
    return unlabel(xch, OCON_IOPORT, low, high);
}

int xc_flask_del_iomem(xc_interface *xch, unsigned long low, unsigned long high)
{
    return unlabel(xch, OCON_IOMEM, low, high);
}

int xc_flask_del_device(xc_interface *xch, unsigned long device)
{
    return unlabel(xch, OCON_DEVICE, device, device);
}

/* ---- booleans --------------------------------------------------------------------------- */

int xc_flask_getbool_byid(xc_interface *xch, int id, char *name, uint32_t size, int *curr,
                          int *pend)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(name, size);
    xen_flask_op_t op = { .cmd = FLASK_GETBOOL };
    int rc;

    if (xc_hypercall_bounce_pre(xch, name)) {
        return -1;
    }
    op.u.boolean.bool_id = (uint32_t)id;
    op.u.boolean.size = size;
    set_xen_guest_handle(op.u.boolean.name, name);
    rc = xc_flask_op(xch, &op);
    xc_hypercall_bounce_post(xch, name);
    if (rc) {
        return rc;
    }
    if (curr) {
        *curr = op.u.boolean.enforcing;
    }
    if (pend) {
        *pend = op.u.boolean.pending;
    }
    return 0;
}

/* *op on the boolean of that name. */
static int named_boolean(xc_interface *xch, xen_flask_op_t *op, char *name)
{
    size_t len = strlen(name);
    DECLARE_HYPERCALL_BOUNCE_IN(name, len);
    int rc;

    if (xc_hypercall_bounce_pre(xch, name)) {
        return -1;
    }
    /* No number: by name. */
    op->u.boolean.bool_id = ~0u;
    op->u.boolean.size = (uint32_t)len;
    set_xen_guest_handle(op->u.boolean.name, name);
    rc = xc_flask_op(xch, op);
    xc_hypercall_bounce_post(xch, name);
    return rc;
}

int xc_flask_getbool_byname(xc_interface *xch, char *name, int *curr, int *pend)
{
    xen_flask_op_t op = { .cmd = FLASK_GETBOOL };
    int rc = named_boolean(xch, &op, name);

    if (rc) {
        return rc;
    }
    if (curr) {
        *curr = op.u.boolean.enforcing;
    }
    if (pend) {
        *pend = op.u.boolean.pending;
    }
    return 0;
}

int xc_flask_setbool(xc_interface *xch, char *name, int value, int commit)
{
    xen_flask_op_t op = { .cmd = FLASK_SETBOOL };

    op.u.boolean.new_value = (uint8_t)value;
    op.u.boolean.commit = commit != 0;
    return named_boolean(xch, &op, name);
}

/* ---- the cache of decisions ------------------------------------------------------------- */

int xc_flask_getavc_threshold(xc_interface *xch)
{
    xen_flask_op_t op = { .cmd = FLASK_GETAVC_THRESHOLD };

    return xc_flask_op(xch, &op);
}

int xc_flask_setavc_threshold(xc_interface *xch, int threshold)
{
    xen_flask_op_t op = {
        .cmd = FLASK_SETAVC_THRESHOLD, .u.setavc_threshold.threshold = (uint32_t)threshold,
    };

    return xc_flask_op(xch, &op);
}

/* As text: how many entries there are, and how they lie. */
int xc_flask_avc_hashstats(xc_interface *xch, char *buf, int size)
{
    xen_flask_op_t op = { .cmd = FLASK_AVC_HASHSTATS };
    const struct xen_flask_hash_stats *h = &op.u.hash_stats;
    int rc = xc_flask_op(xch, &op);

    snprintf(buf, (size_t)size, "entries: %u\nbuckets used: %u/%u\nlongest chain: %u\n",
             h->entries, h->buckets_used, h->buckets_total, h->max_chain_len);
    return rc;
}

/* As text: a line per CPU below a header, as many as fit. */
int xc_flask_avc_cachestats(xc_interface *xch, char *buf, int size)
{
    int at = snprintf(buf, (size_t)size,
                      "lookups hits misses allocations reclaims frees\n");

    for (uint32_t cpu = 0; at >= 0 && at < size; cpu++) {
        xen_flask_op_t op = { .cmd = FLASK_AVC_CACHESTATS, .u.cache_stats.cpu = cpu };
        const struct xen_flask_cache_stats *c = &op.u.cache_stats;

        if (xc_flask_op(xch, &op)) {
            if (cpu && errno == ENOENT) {
                /* Past the last CPU. */
                break;
            }
            return -1;
        }
        at += snprintf(buf + at, (size_t)(size - at), "%u %u %u %u %u %u\n", c->lookups, c->hits,
                       c->misses, c->allocations, c->reclaims, c->frees);
    }
    return 0;
}
