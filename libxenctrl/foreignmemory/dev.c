/* SPDX-License-Identifier: MIT */
/* Foreign memory by the Linux kernel of a Xen host: its driver fills mappings of its own file. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/sys/privcmd.h>

#include "libxenctrl/foreignmemory/private.h"

/* A page that Xen has paged out comes back in its own time. */
#define PAGED_OUT_WAIT_US 100
/* Frames per ioctl; the kernel's own limit is far higher. */
#define BATCH_PAGES 65536

static int dev_open(xenforeignmemory_handle *f)
{
    f->fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (f->fd < 0)
        kt_log_errno(&f->log, "xenforeignmemory", "cannot open /dev/xen/privcmd");
    return f->fd < 0 ? -1 : 0;
}

static void dev_close(xenforeignmemory_handle *f)
{
    close(f->fd);
    f->fd = -1;
}

/* Asks again for each page that was reported as paged out, until it is there or gone. */
static int wait_for_paged(xenforeignmemory_handle *f, uint32_t dom, char *addr, size_t nr,
                          const xen_pfn_t *arr, int *err)
{
    for (size_t i = 0; i < nr; i++) {
        while (err[i] == -ENOENT) {
            privcmd_mmapbatch_v2_t one = {
                .num = 1, .dom = dom, .addr = (uintptr_t)addr + (i << KT_PAGE_SHIFT),
                .arr = arr + i, .err = err + i};

            usleep(PAGED_OUT_WAIT_US);
            if (ioctl(f->fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &one) && errno != ENOENT)
                return -1;
        }
    }
    return 0;
}

static int dev_map(xenforeignmemory_handle *f, uint32_t dom, void *addr, int prot, size_t pages,
                   const xen_pfn_t *arr, int *err)
{
    if (mmap(addr, pages << KT_PAGE_SHIFT, prot, MAP_SHARED | MAP_FIXED, f->fd, 0) == MAP_FAILED)
        return -1;
    for (size_t done = 0; done < pages; done += BATCH_PAGES) {
        size_t nr = pages - done < BATCH_PAGES ? pages - done : BATCH_PAGES;
        privcmd_mmapbatch_v2_t batch = {
            .num = nr, .dom = dom, .addr = (uintptr_t)addr + (done << KT_PAGE_SHIFT),
            .arr = arr + done, .err = err + done};

        /* ENOENT: some pages are paged out; everything else that is wrong with one is in err. */
        if (ioctl(f->fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) && errno != ENOENT)
            return -1;
        if (wait_for_paged(f, dom, (char *)addr + (done << KT_PAGE_SHIFT), nr, arr + done,
                           err + done))
            return -1;
    }
    return 0;
}

static int dev_map_resource(xenforeignmemory_handle *f, xenforeignmemory_resource_handle *r)
{
    privcmd_mmap_resource_t a = {
        .dom = r->domid, .type = r->type, .id = r->id, .idx = r->frame, .num = r->nr_frames,
        .addr = (uintptr_t)r->addr};

    if (r->frame > UINT32_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (mmap(r->addr, r->nr_frames << KT_PAGE_SHIFT, r->prot, MAP_SHARED | MAP_FIXED, f->fd, 0) ==
        MAP_FAILED)
        return -1;
    return ioctl(f->fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &a) ? -1 : 0;
}

static int dev_resource_frames(xenforeignmemory_handle *f, domid_t domid, unsigned type,
                               unsigned id, uint64_t *frames)
{
    privcmd_mmap_resource_t a = {.dom = domid, .type = type, .id = id};

    if (ioctl(f->fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &a))
        return -1;
    *frames = a.num;
    return 0;
}

static int dev_restrict(xenforeignmemory_handle *f, domid_t domid)
{
    return ioctl(f->fd, IOCTL_PRIVCMD_RESTRICT, &domid) ? -1 : 0;
}

const struct foreignmemory_ops foreignmemory_dev_ops = {
    dev_open, dev_close, dev_map, dev_map_resource, dev_resource_frames, dev_restrict,
};
