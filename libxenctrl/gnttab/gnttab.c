/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "libxenctrl/gnttab/private.h"

static int restrict_handle(Xentoolcore__Active_Handle *ah, domid_t domid)
{
    struct xengntdev_handle *h = (void *)((char *)ah - offsetof(struct xengntdev_handle, ah));

    return h->fd < 0 ? 0 : h->ops->restrict_to(h, domid);
}

static struct xengntdev_handle *open_handle(struct xentoollog_logger *logger, unsigned open_flags,
                                            bool shares)
{
    struct xengntdev_handle *h;
    int saved;

    if (open_flags) {
        errno = EINVAL;
        return NULL;
    }
    h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->fd = -1;
    h->shares = shares;
    pthread_mutex_init(&h->maps_lock, NULL);
    h->ops = kt_choose() == KT_CORE ? &gnt_core_ops : &gnt_dev_ops;
    h->ah.restrict_callback = restrict_handle;
    xentoolcore__register_active_handle(&h->ah);
    if (!kt_log_init(&h->log, logger) && !h->ops->open(h))
        return h;
    saved = errno;
    xentoolcore__deregister_active_handle(&h->ah);
    kt_log_fini(&h->log);
    pthread_mutex_destroy(&h->maps_lock);
    free(h);
    errno = saved;
    return NULL;
}

static int close_handle(struct xengntdev_handle *h)
{
    if (!h)
        return 0;
    h->ops->close(h);
    xentoolcore__deregister_active_handle(&h->ah);
    kt_log_fini(&h->log);
    pthread_mutex_destroy(&h->maps_lock);
    free(h);
    return 0;
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    return open_handle(logger, open_flags, false);
}

int xengnttab_close(xengnttab_handle *xgt)
{
    return close_handle(xgt);
}

int xengnttab_fd(xengnttab_handle *xgt)
{
    return xgt->fd;
}

static void *map(xengnttab_handle *xgt, uint32_t count, const uint32_t *domids, unsigned stride,
                 const uint32_t *refs, int prot, const struct gnt_notify *notify)
{
    void *p;

    if (!count) {
        errno = EINVAL;
        return NULL;
    }
    p = xgt->ops->map(xgt, count, domids, stride, refs, prot, notify);
    if (!p) {
        int saved = errno;

        xtl_log(xgt->log.lg, XTL_ERROR, saved, "xengnttab",
                "cannot map %u grants (the first: domain %u, reference %u)", count, domids[0],
                refs[0]);
        errno = saved;
    }
    return p;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
    return map(xgt, 1, &domid, 0, &ref, prot, NULL);
}

void *xengnttab_map_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t *domids,
                               uint32_t *refs, int prot)
{
    return map(xgt, count, domids, 1, refs, prot, NULL);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid,
                                      uint32_t *refs, int prot)
{
    return map(xgt, count, &domid, 0, refs, prot, NULL);
}

void *xengnttab_map_grant_ref_notify(xengnttab_handle *xgt, uint32_t domid, uint32_t ref,
                                     int prot, uint32_t notify_offset, evtchn_port_t notify_port)
{
    struct gnt_notify n = {notify_offset, notify_port};

    if (n.offset != UINT32_MAX && n.offset >= KT_PAGE_SIZE) {
        errno = EINVAL;
        return NULL;
    }
    return map(xgt, 1, &domid, 0, &ref, prot, &n);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count)
{
    return xgt->ops->unmap(xgt, start_address, count);
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants)
{
    return xgt->ops->set_max(xgt, nr_grants);
}

int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
                         xengnttab_grant_copy_segment_t *segs)
{
    return xgt->ops->copy(xgt, count, segs);
}

int xengnttab_dmabuf_exp_from_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t flags,
                                   uint32_t count, const uint32_t *refs, uint32_t *fd)
{
    return xgt->ops->exp_from_refs(xgt, domid, flags, count, refs, fd);
}

int xengnttab_dmabuf_exp_wait_released(xengnttab_handle *xgt, uint32_t fd, uint32_t wait_to_ms)
{
    return xgt->ops->exp_wait(xgt, fd, wait_to_ms);
}

int xengnttab_dmabuf_imp_to_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t fd,
                                 uint32_t count, uint32_t *refs)
{
    return xgt->ops->imp_to_refs(xgt, domid, fd, count, refs);
}

int xengnttab_dmabuf_imp_release(xengnttab_handle *xgt, uint32_t fd)
{
    return xgt->ops->imp_release(xgt, fd);
}

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    return open_handle(logger, open_flags, true);
}

int xengntshr_close(xengntshr_handle *xgs)
{
    return close_handle(xgs);
}

int xengntshr_fd(xengntshr_handle *xgs)
{
    return xgs->fd;
}

static void *share(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs, int writable,
                   const struct gnt_notify *notify)
{
    void *p = NULL;

    if (count <= 0 || (notify && notify->offset != UINT32_MAX && notify->offset >= KT_PAGE_SIZE))
        errno = EINVAL;
    else
        p = xgs->ops->share(xgs, domid, count, refs, writable, notify);
    if (!p)
        kt_log_errno(&xgs->log, "xengntshr", "cannot share pages");
    return p;
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs,
                            int writable)
{
    return share(xgs, domid, count, refs, writable, NULL);
}

void *xengntshr_share_page_notify(xengntshr_handle *xgs, uint32_t domid, uint32_t *ref,
                                  int writable, uint32_t notify_offset,
                                  evtchn_port_t notify_port)
{
    struct gnt_notify n = {notify_offset, notify_port};

    return share(xgs, domid, 1, ref, writable, &n);
}

int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count)
{
    return xgs->ops->unshare(xgs, start_address, count);
}
