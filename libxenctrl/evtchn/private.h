/* SPDX-License-Identifier: MIT */
#ifndef KR_EVTCHN_PRIVATE_H
#define KR_EVTCHN_PRIVATE_H

#include "include/xenevtchn.h"
#include "include/xentoolcore_internal.h"
#include "libxenctrl/transport/log.h"
#include "libxenctrl/transport/transport.h"

/* What a transport does; results as those of the public functions. */
struct evtchn_ops {
    int (*open)(xenevtchn_handle *x, bool cloexec);
    int (*fdopen)(xenevtchn_handle *x, int fd);
    void (*close)(xenevtchn_handle *x);
    int (*notify)(xenevtchn_handle *x, evtchn_port_t port);
    int (*bind_unbound)(xenevtchn_handle *x, uint32_t domid);
    int (*bind_interdomain)(xenevtchn_handle *x, uint32_t domid, evtchn_port_t remote);
    int (*bind_virq)(xenevtchn_handle *x, unsigned virq);
    int (*unbind)(xenevtchn_handle *x, evtchn_port_t port);
    int (*pending)(xenevtchn_handle *x);
    int (*unmask)(xenevtchn_handle *x, evtchn_port_t port);
    int (*restrict_to)(xenevtchn_handle *x, domid_t domid);
};

/* One bound port over the core: an eventfd to read, and one to write unless it is a VIRQ. */
struct evtchn_port {
    int recv, send;          /* -1: none */
};

struct xenevtchn_handle {
    const struct evtchn_ops *ops;
    Xentoolcore__Active_Handle ah;
    struct kt_log log;
    int fd;                  /* what xenevtchn_fd() returns; -1 while not open */

    /* Over the core: fd is an epoll set with the receiving end of every port. */
    struct kt_conn conn;
    bool cloexec;
    struct evtchn_port *port;      /* indexed by port number */
    unsigned nr_ports;
    pthread_mutex_t ports_lock;    /* for port and nr_ports */
};

extern const struct evtchn_ops evtchn_core_ops, evtchn_dev_ops;

#endif
