/* SPDX-License-Identifier: MIT */
#ifndef KR_CALL_PRIVATE_H
#define KR_CALL_PRIVATE_H

#include "include/xencall.h"
#include "include/xentoolcore_internal.h"
#include "libxenctrl/transport/log.h"
#include "libxenctrl/transport/transport.h"

/* What a transport does. Each returns what the public function of its name does. */
struct call_ops {
    int (*open)(xencall_handle *x);
    void (*close)(xencall_handle *x);
    long (*call)(xencall_handle *x, uint64_t op, const uint64_t arg[5]);
    void *(*alloc_pages)(xencall_handle *x, size_t nr);
    void (*free_pages)(xencall_handle *x, void *p, size_t nr);
};

struct xencall_handle {
    const struct call_ops *ops;
    Xentoolcore__Active_Handle ah;
    struct kt_log log;
    int fd;                  /* the socket, or /dev/xen/privcmd; -1 while not open */

    struct kt_conn conn;     /* over the core */
    struct kt_arena arena;

    int buf_fd;              /* over /dev/xen: /dev/xen/hypercall, or -1 on old kernels */
};

extern const struct call_ops call_core_ops, call_dev_ops;

#endif
