/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/call/private.h"

/* A handle for hypercalls can do anything, so restricting it is taking it away. */
static int restrict_handle(Xentoolcore__Active_Handle *ah, domid_t domid)
{
    xencall_handle *x = (void *)((char *)ah - offsetof(xencall_handle, ah));

    return xentoolcore__restrict_by_dup2_null(x->fd);
}

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    xencall_handle *x;
    int saved;

    if (open_flags & ~XENCALL_OPENFLAG_NON_REENTRANT) {
        errno = EINVAL;
        return NULL;
    }
    x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->fd = -1;
    x->ops = kt_choose() == KT_CORE ? &call_core_ops : &call_dev_ops;
    x->ah.restrict_callback = restrict_handle;
    xentoolcore__register_active_handle(&x->ah);
    if (!kt_log_init(&x->log, logger) && !x->ops->open(x))
        return x;
    saved = errno;
    xentoolcore__deregister_active_handle(&x->ah);
    kt_log_fini(&x->log);
    free(x);
    errno = saved;
    return NULL;
}

int xencall_close(xencall_handle *x)
{
    if (!x)
        return 0;
    x->ops->close(x);
    xentoolcore__deregister_active_handle(&x->ah);
    kt_log_fini(&x->log);
    free(x);
    return 0;
}

int xencall_fd(xencall_handle *x)
{
    return x->fd;
}

static long call(xencall_handle *x, unsigned int op, uint64_t a1, uint64_t a2, uint64_t a3,
                 uint64_t a4, uint64_t a5)
{
    const uint64_t arg[5] = {a1, a2, a3, a4, a5};

    return x->ops->call(x, op, arg);
}

int xencall0(xencall_handle *xcall, unsigned int op)
{
    return call(xcall, op, 0, 0, 0, 0, 0);
}

int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg1)
{
    return call(xcall, op, arg1, 0, 0, 0, 0);
}

int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    return call(xcall, op, arg1, arg2, 0, 0, 0);
}

long xencall2L(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    return call(xcall, op, arg1, arg2, 0, 0, 0);
}

int xencall3(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3)
{
    return call(xcall, op, arg1, arg2, arg3, 0, 0);
}

int xencall4(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4)
{
    return call(xcall, op, arg1, arg2, arg3, arg4, 0);
}

int xencall5(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4, uint64_t arg5)
{
    return call(xcall, op, arg1, arg2, arg3, arg4, arg5);
}

void *xencall_alloc_buffer_pages(xencall_handle *x, size_t nr_pages)
{
    return x->ops->alloc_pages(x, nr_pages);
}

void xencall_free_buffer_pages(xencall_handle *x, void *p, size_t nr_pages)
{
    if (p)
        x->ops->free_pages(x, p, nr_pages);
}

/* Precedes a buffer that was asked for by size; 16 bytes keep the buffer aligned for any type. */
struct buffer_head {
    size_t pages;
    size_t reserved;
};

void *xencall_alloc_buffer(xencall_handle *x, size_t size)
{
    struct buffer_head *h;
    size_t pages;

    if (size > SIZE_MAX - sizeof(*h) - KT_PAGE_SIZE) {
        errno = ENOMEM;
        return NULL;
    }
    pages = (size + sizeof(*h) + KT_PAGE_SIZE - 1) >> KT_PAGE_SHIFT;
    h = xencall_alloc_buffer_pages(x, pages);
    if (!h)
        return NULL;
    h->pages = pages;
    return h + 1;
}

void xencall_free_buffer(xencall_handle *x, void *p)
{
    struct buffer_head *h = p;

    if (p)
        xencall_free_buffer_pages(x, h - 1, h[-1].pages);
}

int xencall_buffers_never_fault(xencall_handle *x)
{
    return x->ops == &call_core_ops || x->buf_fd >= 0;
}
