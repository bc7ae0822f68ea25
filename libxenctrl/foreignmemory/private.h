/* SPDX-License-Identifier: MIT */
#ifndef KR_FOREIGNMEMORY_PRIVATE_H
#define KR_FOREIGNMEMORY_PRIVATE_H

#include "include/xenforeignmemory.h"
#include "include/xentoolcore_internal.h"
#include "libxenctrl/transport/log.h"
#include "libxenctrl/transport/transport.h"

struct xenforeignmemory_resource_handle {
    domid_t domid;
    unsigned int type, id;
    unsigned long frame, nr_frames;
    void *addr;              /* a reservation when the transport gets it */
    int prot;
};

/* What a transport does. Each returns 0, or -1 with errno. */
struct foreignmemory_ops {
    int (*open)(xenforeignmemory_handle *f);
    void (*close)(xenforeignmemory_handle *f);
    /* Maps at addr, where pages pages are reserved; fills err (never NULL) with 0 or -errno. */
    int (*map)(xenforeignmemory_handle *f, uint32_t dom, void *addr, int prot, size_t pages,
               const xen_pfn_t *arr, int *err);
    int (*map_resource)(xenforeignmemory_handle *f, xenforeignmemory_resource_handle *r);
    int (*resource_frames)(xenforeignmemory_handle *f, domid_t domid, unsigned type, unsigned id,
                           uint64_t *frames);
    int (*restrict_to)(xenforeignmemory_handle *f, domid_t domid);
};

struct xenforeignmemory_handle {
    const struct foreignmemory_ops *ops;
    Xentoolcore__Active_Handle ah;
    struct kt_log log;
    int fd;                  /* the socket, or /dev/xen/privcmd; -1 while not open */
    struct kt_conn conn;     /* over the core */
};

extern const struct foreignmemory_ops foreignmemory_core_ops, foreignmemory_dev_ops;

#endif
