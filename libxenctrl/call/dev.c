/* SPDX-License-Identifier: MIT */
/* Hypercalls by the Linux kernel of a Xen host. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xen/sys/privcmd.h>

#include "libxenctrl/call/private.h"

static int dev_open(xencall_handle *x)
{
    x->buf_fd = -1;
    x->fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (x->fd < 0) {
        kt_log_errno(&x->log, "xencall", "cannot open /dev/xen/privcmd");
        return -1;
    }
    /* Kernels before 4.18 have no device for buffers: plain memory then has to do. */
    x->buf_fd = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
    return 0;
}

static void dev_close(xencall_handle *x)
{
    if (x->buf_fd >= 0)
        close(x->buf_fd);
    close(x->fd);
    x->fd = x->buf_fd = -1;
}

static long dev_call(xencall_handle *x, uint64_t op, const uint64_t arg[5])
{
    privcmd_hypercall_t call = {.op = op};

    memcpy(call.arg, arg, sizeof(call.arg));
    return ioctl(x->fd, IOCTL_PRIVCMD_HYPERCALL, &call);
}

static void *dev_alloc_pages(xencall_handle *x, size_t nr)
{
    size_t size = nr << KT_PAGE_SHIFT;
    int saved;
    void *p;

    if (!nr || nr > SIZE_MAX >> (KT_PAGE_SHIFT + 1)) {
        errno = EINVAL;
        return NULL;
    }
    if (x->buf_fd >= 0) {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, x->buf_fd, 0);
        return p == MAP_FAILED ? NULL : p;
    }
    p = mmap(NULL, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    /* A fork would make the pages copy-on-write: the next hypercall would then fault. */
    if (!madvise(p, size, MADV_DONTFORK))
        return p;
    saved = errno;
    munmap(p, size);
    errno = saved;
    return NULL;
}

static void dev_free_pages(xencall_handle *x, void *p, size_t nr)
{
    int saved = errno;

    munmap(p, nr << KT_PAGE_SHIFT);
    errno = saved;
}

const struct call_ops call_dev_ops = {
    dev_open, dev_close, dev_call, dev_alloc_pages, dev_free_pages,
};
