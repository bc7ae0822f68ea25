/* SPDX-License-Identifier: MIT */
/* Device model operations by Krypton's core: the hypercall, with its buffers in the arena. */
#include <errno.h>
#include <string.h>

#include "libxenctrl/devicemodel/private.h"

static int core_open(xendevicemodel_handle *d)
{
    int saved;

    if (kt_connect(&d->conn, true)) {
        kt_log_no_core(&d->log, "xendevicemodel");
        return -1;
    }
    if (kt_arena_open(&d->arena, &d->conn)) {
        kt_log_errno(&d->log, "xendevicemodel", "cannot map the memory for hypercall buffers");
        saved = errno;
        kt_disconnect(&d->conn);
        errno = saved;
        return -1;
    }
    d->fd = d->conn.fd;
    return 0;
}

static void core_close(xendevicemodel_handle *d)
{
    d->fd = -1;
    kt_disconnect(&d->conn);
    kt_arena_close(&d->arena);
}

static int core_op(xendevicemodel_handle *d, domid_t domid, unsigned nr, const struct dm_buf *bufs)
{
    xen_dm_op_buf_t *list;
    size_t bytes = DM_MAX_BUFS * sizeof(*list);
    unsigned char *at;
    int64_t ret;
    int rc;

    for (unsigned i = 0; i < nr; i++)
        bytes += (bufs[i].size + 7) & ~(size_t)7;
    list = kt_arena_alloc(&d->arena, (bytes + KT_PAGE_SIZE - 1) >> KT_PAGE_SHIFT);
    if (!list)
        return -1;
    at = (unsigned char *)(list + DM_MAX_BUFS);
    for (unsigned i = 0; i < nr; i++) {
        set_xen_guest_handle_raw(list[i].h, at);
        list[i].size = bufs[i].size;
        memcpy(at, bufs[i].ptr, bufs[i].size);
        at += (bufs[i].size + 7) & ~(size_t)7;
    }
    rc = kt_hypercall(&d->conn, __HYPERVISOR_dm_op,
                      (const uint64_t[5]){domid, nr, (uintptr_t)list}, &ret);
    at = (unsigned char *)(list + DM_MAX_BUFS);
    for (unsigned i = 0; !rc && i < nr; i++) {
        memcpy(bufs[i].ptr, at, bufs[i].size);
        at += (bufs[i].size + 7) & ~(size_t)7;
    }
    kt_arena_free(&d->arena, list);
    return rc || kt_result(ret) < 0 ? -1 : 0;
}

static int core_restrict(xendevicemodel_handle *d, domid_t domid)
{
    return kt_restrict(&d->conn, domid);
}

const struct dm_ops dm_core_ops = {core_open, core_close, core_op, core_restrict};
