/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "libxenctrl/foreignmemory/private.h"

static int restrict_handle(Xentoolcore__Active_Handle *ah, domid_t domid)
{
    xenforeignmemory_handle *f = (void *)((char *)ah - offsetof(xenforeignmemory_handle, ah));

    return f->fd < 0 ? 0 : f->ops->restrict_to(f, domid);
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
                                               unsigned open_flags)
{
    xenforeignmemory_handle *f;
    int saved;

    if (open_flags) {
        errno = EINVAL;
        return NULL;
    }
    f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->fd = -1;
    f->ops = kt_choose() == KT_CORE ? &foreignmemory_core_ops : &foreignmemory_dev_ops;
    f->ah.restrict_callback = restrict_handle;
    xentoolcore__register_active_handle(&f->ah);
    if (!kt_log_init(&f->log, logger) && !f->ops->open(f))
        return f;
    saved = errno;
    xentoolcore__deregister_active_handle(&f->ah);
    kt_log_fini(&f->log);
    free(f);
    errno = saved;
    return NULL;
}

int xenforeignmemory_close(xenforeignmemory_handle *f)
{
    if (!f)
        return 0;
    f->ops->close(f);
    xentoolcore__deregister_active_handle(&f->ah);
    kt_log_fini(&f->log);
    free(f);
    return 0;
}

static int first_error(const int *err, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        if (err[i])
            return err[i];
    return 0;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *f, uint32_t dom, void *addr, int prot,
                            int flags, size_t pages, const xen_pfn_t arr[], int err[])
{
    int *all = err ? err : calloc(pages ? pages : 1, sizeof(*all));
    void *p = NULL;
    int saved, bad;

    if (!all)
        return NULL;
    p = kt_reserve(addr, pages, flags);
    if (!p)
        goto out;
    bad = f->ops->map(f, dom, p, prot, pages, arr, all);
    if (!bad && !err) {
        bad = first_error(all, pages);
        if (bad)
            errno = -bad;
    }
    if (bad) {
        saved = errno;
        munmap(p, pages << KT_PAGE_SHIFT);
        p = NULL;
        errno = saved;
    }
out:
    saved = errno;
    if (!err)
        free(all);
    errno = saved;
    return p;
}

void *xenforeignmemory_map(xenforeignmemory_handle *f, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t arr[], int err[])
{
    return xenforeignmemory_map2(f, dom, NULL, prot, 0, pages, arr, err);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *f, void *addr, size_t pages)
{
    return munmap(addr, pages << KT_PAGE_SHIFT);
}

int xenforeignmemory_restrict(xenforeignmemory_handle *f, domid_t domid)
{
    return f->ops->restrict_to(f, domid);
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *f, domid_t domid, unsigned int type, unsigned int id,
    unsigned long frame, unsigned long nr_frames, void **paddr, int prot, int flags)
{
    xenforeignmemory_resource_handle *r = calloc(1, sizeof(*r));
    int saved;

    if (!r)
        return NULL;
    *r = (xenforeignmemory_resource_handle){
        .domid = domid, .type = type, .id = id, .frame = frame, .nr_frames = nr_frames,
        .prot = prot};
    r->addr = kt_reserve(*paddr, nr_frames, flags);
    if (r->addr && !f->ops->map_resource(f, r)) {
        *paddr = r->addr;
        return r;
    }
    saved = errno;
    if (r->addr)
        munmap(r->addr, nr_frames << KT_PAGE_SHIFT);
    free(r);
    errno = saved;
    return NULL;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *f,
                                    xenforeignmemory_resource_handle *r)
{
    int rc = munmap(r->addr, r->nr_frames << KT_PAGE_SHIFT);

    free(r);
    return rc;
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *f, domid_t domid, unsigned int type,
                                   unsigned int id, size_t *size)
{
    uint64_t frames;

    if (f->ops->resource_frames(f, domid, type, id, &frames))
        return -1;
    if (frames > SIZE_MAX >> KT_PAGE_SHIFT) {
        errno = E2BIG;
        return -1;
    }
    *size = (size_t)frames << KT_PAGE_SHIFT;
    return 0;
}
