/* SPDX-License-Identifier: MIT */
#ifndef KR_DEVICEMODEL_PRIVATE_H
#define KR_DEVICEMODEL_PRIVATE_H

#include "include/xendevicemodel.h"
#include "include/xentoolcore_internal.h"
#include "libxenctrl/transport/log.h"
#include "libxenctrl/transport/transport.h"

/* The most buffers that an operation has: itself and one more. */
#define DM_MAX_BUFS 2

struct dm_buf {
    void *ptr;
    size_t size;
};

/* What a transport does; results 0, or -1 with errno. */
struct dm_ops {
    int (*open)(xendevicemodel_handle *d);
    void (*close)(xendevicemodel_handle *d);
    /* Buffers are read, and written back. nr <= DM_MAX_BUFS. */
    int (*op)(xendevicemodel_handle *d, domid_t domid, unsigned nr, const struct dm_buf *bufs);
    int (*restrict_to)(xendevicemodel_handle *d, domid_t domid);
};

struct xendevicemodel_handle {
    const struct dm_ops *ops;
    Xentoolcore__Active_Handle ah;
    struct kt_log log;
    int fd;                  /* the socket, or /dev/xen/privcmd; -1 while not open */
    struct kt_conn conn;     /* over the core; not xencall's, so that it can be restricted */
    struct kt_arena arena;
};

extern const struct dm_ops dm_core_ops, dm_dev_ops;

#endif
