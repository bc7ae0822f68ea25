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

/* A reading of the list in several calls, into buffers of the hypercalls' kind. */
struct reading {
    xc_hypercall_buffer_t *info, *name, *len, *metadata, *metadata_len;
    unsigned int start, max;
    uint32_t name_room, metadata_room;

    unsigned int batch;                 /* to ask for at a time */
    unsigned int done, left;
    uint32_t names, metadatas;          /* bytes of those done */
    uint32_t version;                   /* that they are of */
    unsigned int restarts;
};

/* The next part. Returns how many came; 0: no more; -1. */
static int ask(xc_interface *xch, struct reading *r, struct xen_sysctl_livepatch_list *answer)
{
    DECLARE_HYPERCALL_BUFFER_SHADOW(xen_livepatch_status_t, info, r->info);
    DECLARE_HYPERCALL_BUFFER_SHADOW(char, name, r->name);
    DECLARE_HYPERCALL_BUFFER_SHADOW(uint32_t, len, r->len);
    DECLARE_HYPERCALL_BUFFER_SHADOW(char, metadata, r->metadata);
    DECLARE_HYPERCALL_BUFFER_SHADOW(uint32_t, metadata_len, r->metadata_len);
    struct xen_sysctl s = { 0 };
    struct xen_sysctl_livepatch_list *l = &s.u.livepatch.u.list;
    int rc;

    l->idx = r->start + r->done;
    l->nr = r->batch < r->max - r->done ? r->batch : r->max - r->done;
    set_xen_guest_handle_offset(l->status, info, r->done);
    set_xen_guest_handle_offset(l->name, name, r->names);
    set_xen_guest_handle_offset(l->len, len, r->done);
    set_xen_guest_handle_offset(l->metadata, metadata, r->metadatas);
    set_xen_guest_handle_offset(l->metadata_len, metadata_len, r->done);
    rc = livepatch_op(xch, &s, XEN_SYSCTL_LIVEPATCH_LIST);
    *answer = *l;
    if (rc > 0 && (unsigned int)rc > r->max - r->done) {
        errno = EPROTO;
        return -1;
    }
    return rc;
}

/* Books what came; what the host says of lengths is not believed. */
static int take(struct reading *r, unsigned int n)
{
    const uint32_t *len = r->len->hbuf, *metadata_len = r->metadata_len->hbuf;

    for (unsigned int i = r->done; i < r->done + n; i++) {
        if (len[i] > r->name_room - r->names ||
            metadata_len[i] > r->metadata_room - r->metadatas) {
            errno = EPROTO;
            return -1;
        }
        r->names += len[i];
        r->metadatas += metadata_len[i];
    }
    r->done += n;
    return 0;
}

static int read_list(xc_interface *xch, struct reading *r)
{
    for (;;) {
        struct xen_sysctl_livepatch_list answer;
        int n = ask(xch, r, &answer);

        if (n < 0 && errno == E2BIG && r->batch > 1) {
            r->batch /= 2;
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (r->done && answer.version != r->version) {
            /* What was read so far may be of patches that are gone. */
            if (r->restarts++ == LIST_RETRIES) {
                errno = EBUSY;
                return -1;
            }
            r->done = r->left = 0;
            r->names = r->metadatas = 0;
            continue;
        }
        r->version = answer.version;
        r->left = answer.nr;
        if (take(r, (unsigned int)n)) {
            return -1;
        }
        if (!n || r->done == r->max || !r->left) {
            return 0;
        }
    }
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
    struct reading r = {
        HYPERCALL_BUFFER(info), HYPERCALL_BUFFER(name), HYPERCALL_BUFFER(len),
        HYPERCALL_BUFFER(metadata), HYPERCALL_BUFFER(metadata_len), .start = start, .max = max,
        .name_room = name_total_size, .metadata_room = metadata_total_size, .batch = max,
    };
    int rc = -1;

    if (!max || !info || !name || !len || !metadata || !metadata_len || !done || !left) {
        errno = EINVAL;
        return -1;
    }
    if (!xc_hypercall_bounce_pre(xch, info) && !xc_hypercall_bounce_pre(xch, name) &&
        !xc_hypercall_bounce_pre(xch, len) && !xc_hypercall_bounce_pre(xch, metadata) &&
        !xc_hypercall_bounce_pre(xch, metadata_len)) {
        rc = read_list(xch, &r);
    }
    *done = r.done;
    *left = r.left;
    xc_hypercall_bounce_post(xch, info);
    xc_hypercall_bounce_post(xch, name);
    xc_hypercall_bounce_post(xch, len);
    xc_hypercall_bounce_post(xch, metadata);
    xc_hypercall_bounce_post(xch, metadata_len);
    return rc;
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
