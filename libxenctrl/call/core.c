/* SPDX-License-Identifier: MIT */
/* Hypercalls by Krypton's core. */
#include <errno.h>

#include "libxenctrl/call/private.h"

static int core_open(xencall_handle *x)
{
    int saved;

    x->buf_fd = -1;
    if (kt_connect(&x->conn, true)) {
        kt_log_no_core(&x->log, "xencall");
        return -1;
    }
    x->fd = x->conn.fd;
    if (kt_arena_open(&x->arena, &x->conn)) {
        kt_log_errno(&x->log, "xencall", "cannot map the memory for hypercall buffers");
        saved = errno;
        x->fd = -1;
        kt_disconnect(&x->conn);
        errno = saved;
        return -1;
    }
    return 0;
}

static void core_close(xencall_handle *x)
{
    x->fd = -1;
    kt_disconnect(&x->conn);
    kt_arena_close(&x->arena);
}

static long core_call(xencall_handle *x, uint64_t op, const uint64_t arg[5])
{
    int64_t ret;

    if (kt_hypercall(&x->conn, op, arg, &ret))
        return -1;
    return kt_result(ret);
}

static void *core_alloc_pages(xencall_handle *x, size_t nr)
{
    return kt_arena_alloc(&x->arena, nr);
}

static void core_free_pages(xencall_handle *x, void *p, size_t nr)
{
    kt_arena_free(&x->arena, p);
}

const struct call_ops call_core_ops = {
    core_open, core_close, core_call, core_alloc_pages, core_free_pages,
};
