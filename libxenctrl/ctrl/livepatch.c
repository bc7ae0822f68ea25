/* SPDX-License-Identifier: MIT */
/* Patches to the running hypervisor. */
#include <string.h>

#include "libxenctrl/ctrl/private.h"

/* How often the list may change under a reader before it gives up. */
#define LIST_RETRIES 3

static int livepatch_op(xc_interface *xch, struct xen_sysctl *s, uint32_t cmd)
{
    s->cmd = XEN_SYSCTL_livepatch_op;
    s->u.livepatch.cmd = cmd;
    return do_sysctl(xch, s);
}

/* 0 and the length with the final NUL, if it is a payload's possible name. */
static int name_size(const char *name, uint16_t *size)
{
    size_t len = name ? strlen(name) + 1 : 0;

    if (!len || len > XEN_LIVEPATCH_NAME_SIZE) {
        errno = EINVAL;
        return -1;
    }
    *size = (uint16_t)len;
    return 0;
}

int xc_livepatch_upload(xc_interface *xch, char *name, unsigned char *payload, uint32_t size)
{
    struct xen_sysctl s = { 0 };
    struct xen_sysctl_livepatch_upload *u = &s.u.livepatch.u.upload;
    int rc = -1;

    if (!payload || name_size(name, &u->name.size)) {
        errno = EINVAL;
        return -1;
    }
    DECLARE_HYPERCALL_BOUNCE_IN(name, u->name.size);
    DECLARE_HYPERCALL_BOUNCE_IN(payload, size);

    if (xc_hypercall_bounce_pre(xch, name) || xc_hypercall_bounce_pre(xch, payload)) {
        goto out;
    }
    u->size = size;
    set_xen_guest_handle(u->name.name, name);
    set_xen_guest_handle(u->payload, payload);
    rc = livepatch_op(xch, &s, XEN_SYSCTL_LIVEPATCH_UPLOAD);
 out:
    xc_hypercall_bounce_post(xch, name);
    xc_hypercall_bounce_post(xch, payload);
    return rc;
}

int xc_livepatch_get(xc_interface *xch, char *name, xen_livepatch_status_t *status)
{
    struct xen_sysctl s = { 0 };
    struct xen_sysctl_livepatch_get *g = &s.u.livepatch.u.get;
    int rc;

    if (name_size(name, &g->name.size)) {
        return -1;
    }
    DECLARE_HYPERCALL_BOUNCE_IN(name, g->name.size);

    if (xc_hypercall_bounce_pre(xch, name)) {
        return -1;
    }
    set_xen_guest_handle(g->name.name, name);
    rc = livepatch_op(xch, &s, XEN_SYSCTL_LIVEPATCH_GET);
    xc_hypercall_bounce_post(xch, name);
    *status = g->status;
    return rc;
}

/* ---- the list --------------------------------------------------------------------------- */

int xc_livepatch_list_get_sizes(xc_interface *xch, unsigned int *nr, uint32_t *name_total_size,
                                uint32_t *metadata_total_size)
{
    struct xen_sysctl s = { 0 };
    const struct xen_sysctl_livepatch_list *l = &s.u.livepatch.u.list;

    if (!nr || !name_total_size || !metadata_total_size) {
        errno = EINVAL;
        return -1;
    }
    if (livepatch_op(xch, &s, XEN_SYSCTL_LIVEPATCH_LIST)) {
        return -1;
    }
    *nr = l->nr;
    *name_total_size = l->name_total_size;
    *metadata_total_size = l->metadata_total_size;
    return 0;
}

static uint32_t sum(const uint32_t *v, unsigned int n)
{
    uint32_t total = 0;

    while (n--) {
        total += v[n];
    }
    return total;
}

int xc_livepatch_list(xc_interface *xch, const unsigned int max, const unsigned int start,
                      struct xen_livepatch_status *info, char *name, uint32_t *len,
                      const uint32_t name_total_size, char *metadata, uint32_t *metadata_len,
                      const uint32_t metadata_total_size, unsigned int *done, unsigned int *left)
{
    DECLARE_HYPERCALL_BOUNCE_OUT(info, max * sizeof(*info));
    DECLARE_HYPERCALL_BOUNCE_OUT(name, name_total_size);
    DECLARE_HYPERCALL_BOUNCE_OUT(len, max * sizeof(*len));
    DECLARE_HYPERCALL_BOUNCE_OUT(metadata, metadata_total_size);
    DECLARE_HYPERCALL_BOUNCE_OUT(metadata_len, max * sizeof(*metadata_len));
    unsigned int batch = max, retries = 0, version = 0;
    uint32_t names = 0, metadatas = 0;
    int rc = -1;

    if (!max || !info || !name || !len || !metadata || !metadata_len || !done || !left) {
        errno = EINVAL;
        return -1;
    }
    *done = 0;
    *left = 0;
    if (xc_hypercall_bounce_pre(xch, info) || xc_hypercall_bounce_pre(xch, name) ||
        xc_hypercall_bounce_pre(xch, len) || xc_hypercall_bounce_pre(xch, metadata) ||
        xc_hypercall_bounce_pre(xch, metadata_len)) {
        goto out;
    }
    do {
        struct xen_sysctl s = { 0 };
        struct xen_sysctl_livepatch_list *l = &s.u.livepatch.u.list;

        if (batch > max - *done) {
            batch = max - *done;
        }
        l->idx = start + *done;
        l->nr = batch;
        set_xen_guest_handle_offset(l->status, info, *done);
        set_xen_guest_handle_offset(l->name, name, names);
        set_xen_guest_handle_offset(l->len, len, *done);
        set_xen_guest_handle_offset(l->metadata, metadata, metadatas);
        set_xen_guest_handle_offset(l->metadata_len, metadata_len, *done);
        rc = livepatch_op(xch, &s, XEN_SYSCTL_LIVEPATCH_LIST);
        if (rc < 0 && errno == E2BIG && batch > 1) {
            batch /= 2;
            rc = 1;
            continue;
        }
        if (rc < 0) {
            break;
        }
        if (*done && l->version != version) {
            /* What was read so far may be of patches that are gone. */
            if (retries++ == LIST_RETRIES) {
                errno = EBUSY;
                rc = -1;
                break;
            }
            *done = 0;
            names = metadatas = 0;
            rc = 1;
            continue;
        }
        if ((unsigned int)rc > batch) {
            errno = EPROTO;
            rc = -1;
            break;
        }
        version = l->version;
        *left = l->nr;
        names += sum((uint32_t *)HYPERCALL_BUFFER(len)->hbuf + *done, (unsigned int)rc);
        metadatas += sum((uint32_t *)HYPERCALL_BUFFER(metadata_len)->hbuf + *done,
                         (unsigned int)rc);
        *done += (unsigned int)rc;
        if (names > name_total_size || metadatas > metadata_total_size) {
            errno = EPROTO;
            rc = -1;
        }
    } while (rc > 0 && *done < max && *left);
 out:
    xc_hypercall_bounce_post(xch, info);
    xc_hypercall_bounce_post(xch, name);
    xc_hypercall_bounce_post(xch, len);
    xc_hypercall_bounce_post(xch, metadata);
    xc_hypercall_bounce_post(xch, metadata_len);
    return rc < 0 ? -1 : 0;
}

/* ---- actions ---------------------------------------------------------------------------- */

static int action(xc_interface *xch, char *name, uint32_t cmd, uint32_t timeout, uint32_t flags)
{
    struct xen_sysctl s = { 0 };
    struct xen_sysctl_livepatch_action *a = &s.u.livepatch.u.action;
    int rc;

    if (name_size(name, &a->name.size)) {
        return -1;
    }
    DECLARE_HYPERCALL_BOUNCE_IN(name, a->name.size);

    if (xc_hypercall_bounce_pre(xch, name)) {
        return -1;
    }
    a->cmd = cmd;
    a->timeout = timeout;
    a->flags = flags;
    set_xen_guest_handle(a->name.name, name);
    rc = livepatch_op(xch, &s, XEN_SYSCTL_LIVEPATCH_ACTION);
    xc_hypercall_bounce_post(xch, name);
    return rc;
}

int xc_livepatch_apply(xc_interface *xch, char *name, uint32_t timeout, uint32_t flags)
{
    return action(xch, name, LIVEPATCH_ACTION_APPLY, timeout, flags);
}

int xc_livepatch_revert(xc_interface *xch, char *name, uint32_t timeout, uint32_t flags)
{
    return action(xch, name, LIVEPATCH_ACTION_REVERT, timeout, flags);
}

int xc_livepatch_unload(xc_interface *xch, char *name, uint32_t timeout, uint32_t flags)
{
    return action(xch, name, LIVEPATCH_ACTION_UNLOAD, timeout, flags);
}

int xc_livepatch_replace(xc_interface *xch, char *name, uint32_t timeout, uint32_t flags)
{
    return action(xch, name, LIVEPATCH_ACTION_REPLACE, timeout, flags);
}
