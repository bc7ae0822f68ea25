/* SPDX-License-Identifier: MIT */
/*
 * The kernel's /dev/xen/evtchn: event channels for programs of a Xen host.
 */

#ifndef __LINUX_PUBLIC_EVTCHN_H__
#define __LINUX_PUBLIC_EVTCHN_H__

#include <stdint.h>
#include <sys/ioctl.h>

#include <xen/xen.h>

struct ioctl_evtchn_bind_virq {
    unsigned int virq;
};

#define IOCTL_EVTCHN_BIND_VIRQ _IOC(_IOC_NONE, 'E', 0, sizeof(struct ioctl_evtchn_bind_virq))

struct ioctl_evtchn_bind_interdomain {
    unsigned int remote_domain;
    unsigned int remote_port;
};

#define IOCTL_EVTCHN_BIND_INTERDOMAIN \
    _IOC(_IOC_NONE, 'E', 1, sizeof(struct ioctl_evtchn_bind_interdomain))

struct ioctl_evtchn_bind_unbound_port {
    unsigned int remote_domain;
};

#define IOCTL_EVTCHN_BIND_UNBOUND_PORT \
    _IOC(_IOC_NONE, 'E', 2, sizeof(struct ioctl_evtchn_bind_unbound_port))

struct ioctl_evtchn_unbind {
    unsigned int port;
};

#define IOCTL_EVTCHN_UNBIND _IOC(_IOC_NONE, 'E', 3, sizeof(struct ioctl_evtchn_unbind))

struct ioctl_evtchn_notify {
    unsigned int port;
};

#define IOCTL_EVTCHN_NOTIFY _IOC(_IOC_NONE, 'E', 4, sizeof(struct ioctl_evtchn_notify))

#define IOCTL_EVTCHN_RESET          _IOC(_IOC_NONE, 'E', 5, 0)

struct ioctl_evtchn_restrict_domid {
    domid_t domid;
};

#define IOCTL_EVTCHN_RESTRICT_DOMID \
    _IOC(_IOC_NONE, 'E', 6, sizeof(struct ioctl_evtchn_restrict_domid))

#endif /* __LINUX_PUBLIC_EVTCHN_H__ */
