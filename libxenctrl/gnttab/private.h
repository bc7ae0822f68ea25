/* SPDX-License-Identifier: MIT */
#ifndef KR_GNTTAB_PRIVATE_H
#define KR_GNTTAB_PRIVATE_H

#include "include/xengnttab.h"
#include "include/xentoolcore_internal.h"
#include "libxenctrl/transport/log.h"
#include "libxenctrl/transport/transport.h"

/* A run of pages mapped or shared over this handle; found again by its address. */
struct gnt_map {
    struct gnt_map *next;
    void *addr;
    uint32_t count;
    uint64_t handle;         /* the core's name for it */
};

struct gnt_notify {
    uint32_t offset, port;   /* (uint32_t)-1: none */
};

/* What a transport does; results as those of the public functions. notify may be NULL. */
struct gnt_ops {
    int (*open)(struct xengntdev_handle *h);
    void (*close)(struct xengntdev_handle *h);
    int (*restrict_to)(struct xengntdev_handle *h, domid_t domid);

    /* refs[i] is of domain domids[i * stride]. */
    void *(*map)(struct xengntdev_handle *h, uint32_t count, const uint32_t *domids,
                 unsigned stride, const uint32_t *refs, int prot, const struct gnt_notify *notify);
    int (*unmap)(struct xengntdev_handle *h, void *addr, uint32_t count);
    int (*set_max)(struct xengntdev_handle *h, uint32_t nr);
    int (*copy)(struct xengntdev_handle *h, uint32_t count, xengnttab_grant_copy_segment_t *segs);
    int (*exp_from_refs)(struct xengntdev_handle *h, uint32_t domid, uint32_t flags,
                         uint32_t count, const uint32_t *refs, uint32_t *fd);
    int (*exp_wait)(struct xengntdev_handle *h, uint32_t fd, uint32_t ms);
    int (*imp_to_refs)(struct xengntdev_handle *h, uint32_t domid, uint32_t fd, uint32_t count,
                       uint32_t *refs);
    int (*imp_release)(struct xengntdev_handle *h, uint32_t fd);

    void *(*share)(struct xengntdev_handle *h, uint32_t domid, uint32_t count, uint32_t *refs,
                   int writable, const struct gnt_notify *notify);
    int (*unshare)(struct xengntdev_handle *h, void *addr, uint32_t count);
};

/* Both interfaces use one type; a handle serves the one that it was opened for. */
struct xengntdev_handle {
    const struct gnt_ops *ops;
    Xentoolcore__Active_Handle ah;
    struct kt_log log;
    int fd;                  /* the socket or device; -1 while not open */
    bool shares;             /* opened by xengntshr_open() */

    struct kt_conn conn;     /* over the core */
    struct gnt_map *maps;
    pthread_mutex_t maps_lock;
};

extern const struct gnt_ops gnt_core_ops, gnt_dev_ops;

/* core_copy.c */
int gnt_core_copy(struct xengntdev_handle *h, uint32_t count,
                  xengnttab_grant_copy_segment_t *segs);

#endif
