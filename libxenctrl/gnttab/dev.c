/* SPDX-License-Identifier: MIT */
/* Grants by the Linux kernel of a Xen host: gntdev maps them, gntalloc makes them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/sys/gntalloc.h>
#include <xen/sys/gntdev.h>

#include "libxenctrl/gnttab/private.h"

static int dev_open(struct xengntdev_handle *h)
{
    const char *path = h->shares ? "/dev/xen/gntalloc" : "/dev/xen/gntdev";
    int saved;

    h->fd = open(path, O_RDWR | O_CLOEXEC);
    if (h->fd >= 0)
        return 0;
    saved = errno;
    xtl_log(h->log.lg, XTL_ERROR, saved, h->shares ? "xengntshr" : "xengnttab", "cannot open %s",
            path);
    errno = saved;
    return -1;
}

static void dev_close(struct xengntdev_handle *h)
{
    close(h->fd);
    h->fd = -1;
}

/* The devices have no notion of it; what is mapped stays mapped. */
static int dev_restrict(struct xengntdev_handle *h, domid_t domid)
{
    return xentoolcore__restrict_by_dup2_null(h->fd);
}

/* gntdev and gntalloc take the same structure; their request numbers differ in name only. */
static int set_notify(struct xengntdev_handle *h, uint64_t index, const struct gnt_notify *n)
{
    struct ioctl_gntdev_unmap_notify a = {.index = index};

    if (n && n->offset != UINT32_MAX) {
        a.index += n->offset;
        a.action |= UNMAP_NOTIFY_CLEAR_BYTE;
    }
    if (n && n->port != UINT32_MAX) {
        a.event_channel_port = n->port;
        a.action |= UNMAP_NOTIFY_SEND_EVENT;
    }
    return a.action ? ioctl(h->fd, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &a) : 0;
}

static void drop_map(struct xengntdev_handle *h, uint64_t index, uint32_t count)
{
    struct ioctl_gntdev_unmap_grant_ref a = {.index = index, .count = count};
    int saved = errno;

    ioctl(h->fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &a);
    errno = saved;
}

static void *dev_map(struct xengntdev_handle *h, uint32_t count, const uint32_t *domids,
                     unsigned stride, const uint32_t *refs, int prot,
                     const struct gnt_notify *notify)
{
    struct ioctl_gntdev_map_grant_ref *a;
    void *p = MAP_FAILED;
    int saved;

    a = calloc(1, sizeof(*a) + (size_t)(count - 1) * sizeof(a->refs[0]));
    if (!a)
        return NULL;
    a->count = count;
    for (uint32_t i = 0; i < count; i++)
        a->refs[i] = (struct ioctl_gntdev_grant_ref){domids[i * stride], refs[i]};
    if (ioctl(h->fd, IOCTL_GNTDEV_MAP_GRANT_REF, a))
        goto out;
    /* EAGAIN: a granted page is paged out and on its way back. */
    do {
        p = mmap(NULL, (size_t)count << KT_PAGE_SHIFT, prot, MAP_SHARED, h->fd, a->index);
    } while (p == MAP_FAILED && errno == EAGAIN && !usleep(1000));
    if (p != MAP_FAILED && set_notify(h, a->index, notify)) {
        saved = errno;
        munmap(p, (size_t)count << KT_PAGE_SHIFT);
        p = MAP_FAILED;
        errno = saved;
    }
    if (p == MAP_FAILED)
        drop_map(h, a->index, count);
out:
    saved = errno;
    free(a);
    errno = saved;
    return p == MAP_FAILED ? NULL : p;
}

static int dev_unmap(struct xengntdev_handle *h, void *addr, uint32_t count)
{
    struct ioctl_gntdev_get_offset_for_vaddr where = {.vaddr = (uintptr_t)addr};
    struct ioctl_gntdev_unmap_grant_ref a = {0};

    if (ioctl(h->fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &where))
        return -1;
    if (where.count != count) {
        errno = EINVAL;
        return -1;
    }
    if (munmap(addr, (size_t)count << KT_PAGE_SHIFT))
        return -1;
    a.index = where.offset;
    a.count = count;
    return ioctl(h->fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &a) ? -1 : 0;
}

static int dev_set_max(struct xengntdev_handle *h, uint32_t nr)
{
    struct ioctl_gntdev_set_max_grants a = {nr};
    int rc = ioctl(h->fd, IOCTL_GNTDEV_SET_MAX_GRANTS, &a);

    /* Newer kernels have one limit for all, and no such request. */
    return rc && errno == ENOTTY ? 0 : rc;
}

static int dev_copy(struct xengntdev_handle *h, uint32_t count,
                    xengnttab_grant_copy_segment_t *segs)
{
    struct ioctl_gntdev_grant_copy a = {.count = count, .segments = (void *)segs};

    _Static_assert(sizeof(*segs) == sizeof(struct ioctl_gntdev_grant_copy_segment),
                   "the library's segment is the kernel's");
    return ioctl(h->fd, IOCTL_GNTDEV_GRANT_COPY, &a) ? -1 : 0;
}

static int dev_exp_from_refs(struct xengntdev_handle *h, uint32_t domid, uint32_t flags,
                             uint32_t count, const uint32_t *refs, uint32_t *fd)
{
    struct ioctl_gntdev_dmabuf_exp_from_refs *a;
    int rc;

    if (!count) {
        errno = EINVAL;
        return -1;
    }
    a = calloc(1, sizeof(*a) + (size_t)(count - 1) * sizeof(a->refs[0]));
    if (!a)
        return -1;
    a->flags = flags;
    a->count = count;
    a->domid = domid;
    memcpy(a->refs, refs, (size_t)count * sizeof(a->refs[0]));
    rc = ioctl(h->fd, IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, a) ? -1 : 0;
    if (!rc)
        *fd = a->fd;
    free(a);
    return rc;
}

static int dev_exp_wait(struct xengntdev_handle *h, uint32_t fd, uint32_t ms)
{
    struct ioctl_gntdev_dmabuf_exp_wait_released a = {.fd = fd, .wait_to_ms = ms};

    return ioctl(h->fd, IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED, &a) ? -1 : 0;
}

static int dev_imp_to_refs(struct xengntdev_handle *h, uint32_t domid, uint32_t fd,
                           uint32_t count, uint32_t *refs)
{
    struct ioctl_gntdev_dmabuf_imp_to_refs *a;
    int rc;

    if (!count) {
        errno = EINVAL;
        return -1;
    }
    a = calloc(1, sizeof(*a) + (size_t)(count - 1) * sizeof(a->refs[0]));
    if (!a)
        return -1;
    a->fd = fd;
    a->count = count;
    a->domid = domid;
    rc = ioctl(h->fd, IOCTL_GNTDEV_DMABUF_IMP_TO_REFS, a) ? -1 : 0;
    if (!rc)
        memcpy(refs, a->refs, (size_t)count * sizeof(refs[0]));
    free(a);
    return rc;
}

static int dev_imp_release(struct xengntdev_handle *h, uint32_t fd)
{
    struct ioctl_gntdev_dmabuf_imp_release a = {.fd = fd};

    return ioctl(h->fd, IOCTL_GNTDEV_DMABUF_IMP_RELEASE, &a) ? -1 : 0;
}

static void *dev_share(struct xengntdev_handle *h, uint32_t domid, uint32_t count, uint32_t *refs,
                       int writable, const struct gnt_notify *notify)
{
    struct ioctl_gntalloc_alloc_gref *a;
    struct ioctl_gntalloc_dealloc_gref d;
    void *p = MAP_FAILED;
    int saved;

    a = calloc(1, sizeof(*a) + (size_t)(count - 1) * sizeof(a->gref_ids[0]));
    if (!a)
        return NULL;
    a->domid = domid;
    a->flags = writable ? GNTALLOC_FLAG_WRITABLE : 0;
    a->count = count;
    if (ioctl(h->fd, IOCTL_GNTALLOC_ALLOC_GREF, a))
        goto out;
    p = mmap(NULL, (size_t)count << KT_PAGE_SHIFT, PROT_READ | PROT_WRITE, MAP_SHARED, h->fd,
             a->index);
    if (p != MAP_FAILED && set_notify(h, a->index, notify)) {
        saved = errno;
        munmap(p, (size_t)count << KT_PAGE_SHIFT);
        p = MAP_FAILED;
        errno = saved;
    }
    saved = errno;
    if (p != MAP_FAILED)
        memcpy(refs, a->gref_ids, (size_t)count * sizeof(refs[0]));
    /* The mapping holds the grants from here on; without one they go at once. */
    d = (struct ioctl_gntalloc_dealloc_gref){.index = a->index, .count = count};
    ioctl(h->fd, IOCTL_GNTALLOC_DEALLOC_GREF, &d);
    errno = saved;
out:
    saved = errno;
    free(a);
    errno = saved;
    return p == MAP_FAILED ? NULL : p;
}

static int dev_unshare(struct xengntdev_handle *h, void *addr, uint32_t count)
{
    return munmap(addr, (size_t)count << KT_PAGE_SHIFT);
}

const struct gnt_ops gnt_dev_ops = {
    .open = dev_open, .close = dev_close, .restrict_to = dev_restrict, .map = dev_map,
    .unmap = dev_unmap, .set_max = dev_set_max, .copy = dev_copy,
    .exp_from_refs = dev_exp_from_refs, .exp_wait = dev_exp_wait, .imp_to_refs = dev_imp_to_refs,
    .imp_release = dev_imp_release, .share = dev_share, .unshare = dev_unshare,
};
