/* SPDX-License-Identifier: MIT */
/* Grants by Krypton's core: it passes memfds and remembers who has what; this maps them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libxenctrl/gnttab/private.h"

static int core_open(struct xengntdev_handle *h)
{
    if (kt_connect(&h->conn, true)) {
        kt_log_no_core(&h->log, h->shares ? "xengntshr" : "xengnttab");
        return -1;
    }
    h->fd = h->conn.fd;
    return 0;
}

static void core_close(struct xengntdev_handle *h)
{
    h->fd = -1;
    /* In this order: a notification says that we have let go, so we must have. */
    while (h->maps) {
        struct gnt_map *m = h->maps;

        h->maps = m->next;
        munmap(m->addr, (size_t)m->count << KT_PAGE_SHIFT);
        free(m);
    }
    kt_disconnect(&h->conn);
}

static int core_restrict(struct xengntdev_handle *h, domid_t domid)
{
    return kt_restrict(&h->conn, domid);
}

static void remember(struct xengntdev_handle *h, struct gnt_map *m)
{
    pthread_mutex_lock(&h->maps_lock);
    m->next = h->maps;
    h->maps = m;
    pthread_mutex_unlock(&h->maps_lock);
}

/* Takes the map of exactly these pages out of the list; NULL with errno EINVAL if there is none. */
static struct gnt_map *forget(struct xengntdev_handle *h, void *addr, uint32_t count)
{
    struct gnt_map **at, *m = NULL;

    pthread_mutex_lock(&h->maps_lock);
    for (at = &h->maps; *at && (*at)->addr != addr; at = &(*at)->next)
        ;
    if (*at && (*at)->count == count) {
        m = *at;
        *at = m->next;
    }
    pthread_mutex_unlock(&h->maps_lock);
    if (!m)
        errno = EINVAL;
    return m;
}

/* Tells the core that a map or share is gone. */
static int release(struct xengntdev_handle *h, enum kw_op op, uint64_t handle)
{
    struct kw_gnt_unmap req = {.h = {.op = op}, .handle = handle};
    struct kw_reply reply;

    return kt_simple(&h->conn, &req, sizeof(req), &reply, sizeof(reply));
}

static int set_notify(struct xengntdev_handle *h, uint64_t handle, const struct gnt_notify *n)
{
    struct kw_gnt_notify req = {.h = {.op = KW_GNT_NOTIFY}, .handle = handle};
    struct kw_reply reply;

    if (n && n->offset != UINT32_MAX) {
        req.action |= KW_NOTIFY_CLEAR_BYTE;
        req.offset = n->offset;
    }
    if (n && n->port != UINT32_MAX) {
        req.action |= KW_NOTIFY_SEND_EVENT;
        req.port = n->port;
    }
    if (!req.action)
        return 0;
    return kt_simple(&h->conn, &req, sizeof(req), &reply, sizeof(reply));
}

/* Maps what the reply holds at m->addr and sets the notification; on failure lets go of it all. */
static int finish_map(struct xengntdev_handle *h, struct gnt_map *m, struct kt_reply *r, int prot,
                      const struct gnt_notify *notify)
{
    const struct kw_gnt_map_reply *reply = (void *)r->buf;
    int rc, saved;

    m->handle = reply->handle;
    rc = kt_map_runs(r, reply->run, reply->nr_runs, m->addr, m->count, prot, NULL);
    if (!rc)
        rc = set_notify(h, m->handle, notify);
    saved = errno;
    kt_reply_free(r);
    if (rc)
        release(h, KW_GNT_UNMAP, m->handle);
    errno = saved;
    return rc;
}

static void *core_map(struct xengntdev_handle *h, uint32_t count, const uint32_t *domids,
                      unsigned stride, const uint32_t *refs, int prot,
                      const struct gnt_notify *notify)
{
    struct kw_gnt_map *req;
    struct kt_reply *r;
    struct gnt_map *m;
    void *addr = NULL;
    int rc = -1, saved;

    if (count > KW_MAX_GFNS) {
        errno = E2BIG;
        return NULL;
    }
    req = calloc(1, sizeof(*req) + count * sizeof(req->ref[0]));
    r = malloc(sizeof(*r));
    m = calloc(1, sizeof(*m));
    if (!req || !r || !m)
        goto out;
    m->count = count;
    m->addr = addr = kt_reserve(NULL, count, 0);
    if (!addr)
        goto out;
    req->h.op = KW_GNT_MAP;
    req->nr = count;
    req->prot = prot & (PROT_READ | PROT_WRITE);
    for (uint32_t i = 0; i < count; i++)
        req->ref[i] = (struct kw_gnt_ref){domids[i * stride], refs[i]};
    if (!kt_request(&h->conn, req, sizeof(*req) + count * sizeof(req->ref[0]), r,
                    sizeof(struct kw_gnt_map_reply)))
        rc = finish_map(h, m, r, req->prot, notify);
out:
    saved = errno;
    if (!rc) {
        remember(h, m);
    } else {
        if (addr)
            munmap(addr, (size_t)count << KT_PAGE_SHIFT);
        free(m);
        addr = NULL;
    }
    free(req);
    free(r);
    errno = saved;
    return addr;
}

static int let_go(struct xengntdev_handle *h, enum kw_op op, void *addr, uint32_t count)
{
    struct gnt_map *m = forget(h, addr, count);
    int rc;

    if (!m)
        return -1;
    munmap(addr, (size_t)count << KT_PAGE_SHIFT);
    rc = release(h, op, m->handle);
    free(m);
    return rc;
}

static int core_unmap(struct xengntdev_handle *h, void *addr, uint32_t count)
{
    return let_go(h, KW_GNT_UNMAP, addr, count);
}

/* The core has one limit for all; a wish for less is granted by not needing it. */
static int core_set_max(struct xengntdev_handle *h, uint32_t nr)
{
    return 0;
}

static int core_exp_from_refs(struct xengntdev_handle *h, uint32_t domid, uint32_t flags,
                              uint32_t count, const uint32_t *refs, uint32_t *fd)
{
    errno = ENOTSUP;
    return -1;
}

static int core_exp_wait(struct xengntdev_handle *h, uint32_t fd, uint32_t ms)
{
    errno = ENOTSUP;
    return -1;
}

static int core_imp_to_refs(struct xengntdev_handle *h, uint32_t domid, uint32_t fd,
                            uint32_t count, uint32_t *refs)
{
    errno = ENOTSUP;
    return -1;
}

static int core_imp_release(struct xengntdev_handle *h, uint32_t fd)
{
    errno = ENOTSUP;
    return -1;
}

/* Maps the one memfd of a share's reply. Consumes the reply's descriptors. */
static int finish_share(struct xengntdev_handle *h, struct gnt_map *m, struct kt_reply *r,
                        uint32_t *refs, const struct gnt_notify *notify)
{
    const struct kw_gntshr_reply *reply = (void *)r->buf;
    size_t bytes = (size_t)m->count * sizeof(reply->ref[0]);
    int rc = -1, saved;

    m->handle = reply->handle;
    if (reply->nr != m->count || r->len - sizeof(*reply) < bytes || r->nr_fds != 1) {
        errno = EPROTO;
    } else {
        m->addr = mmap(NULL, (size_t)m->count << KT_PAGE_SHIFT, PROT_READ | PROT_WRITE, MAP_SHARED,
                       r->fd[0], 0);
        if (m->addr != MAP_FAILED)
            rc = set_notify(h, m->handle, notify);
    }
    saved = errno;
    if (!rc)
        memcpy(refs, reply->ref, bytes);
    else if (m->addr && m->addr != MAP_FAILED)
        munmap(m->addr, (size_t)m->count << KT_PAGE_SHIFT);
    kt_reply_free(r);
    if (rc)
        release(h, KW_GNTSHR_UNSHARE, m->handle);
    errno = saved;
    return rc;
}

static void *core_share(struct xengntdev_handle *h, uint32_t domid, uint32_t count,
                        uint32_t *refs, int writable, const struct gnt_notify *notify)
{
    struct kw_gntshr req = {
        .h = {.op = KW_GNTSHR_SHARE}, .domid = domid, .nr = count, .writable = !!writable};
    struct kt_reply *r = malloc(sizeof(*r));
    struct gnt_map *m = calloc(1, sizeof(*m));
    void *addr = NULL;
    int saved;

    if (r && m) {
        m->count = count;
        if (!kt_request(&h->conn, &req, sizeof(req), r, sizeof(struct kw_gntshr_reply)) &&
            !finish_share(h, m, r, refs, notify)) {
            addr = m->addr;
            remember(h, m);
        }
    }
    saved = errno;
    if (!addr)
        free(m);
    free(r);
    errno = saved;
    return addr;
}

static int core_unshare(struct xengntdev_handle *h, void *addr, uint32_t count)
{
    return let_go(h, KW_GNTSHR_UNSHARE, addr, count);
}

const struct gnt_ops gnt_core_ops = {
    .open = core_open, .close = core_close, .restrict_to = core_restrict, .map = core_map,
    .unmap = core_unmap, .set_max = core_set_max, .copy = gnt_core_copy,
    .exp_from_refs = core_exp_from_refs, .exp_wait = core_exp_wait,
    .imp_to_refs = core_imp_to_refs, .imp_release = core_imp_release, .share = core_share,
    .unshare = core_unshare,
};
