/* SPDX-License-Identifier: MIT */
/* Event channels by the Linux kernel of a Xen host. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <xen/sys/evtchn.h>

#include "libxenctrl/evtchn/private.h"

static int dev_open(xenevtchn_handle *x, bool cloexec)
{
    x->fd = open("/dev/xen/evtchn", O_RDWR | (cloexec ? O_CLOEXEC : 0));
    if (x->fd < 0)
        kt_log_errno(&x->log, "xenevtchn", "cannot open /dev/xen/evtchn");
    return x->fd < 0 ? -1 : 0;
}

static int dev_fdopen(xenevtchn_handle *x, int fd)
{
    x->fd = fd;
    return 0;
}

static void dev_close(xenevtchn_handle *x)
{
    close(x->fd);
    x->fd = -1;
}

static int dev_notify(xenevtchn_handle *x, evtchn_port_t port)
{
    struct ioctl_evtchn_notify a = {port};

    return ioctl(x->fd, IOCTL_EVTCHN_NOTIFY, &a);
}

static int dev_bind_unbound(xenevtchn_handle *x, uint32_t domid)
{
    struct ioctl_evtchn_bind_unbound_port a = {domid};

    return ioctl(x->fd, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &a);
}

static int dev_bind_interdomain(xenevtchn_handle *x, uint32_t domid, evtchn_port_t remote)
{
    struct ioctl_evtchn_bind_interdomain a = {domid, remote};

    return ioctl(x->fd, IOCTL_EVTCHN_BIND_INTERDOMAIN, &a);
}

static int dev_bind_virq(xenevtchn_handle *x, unsigned virq)
{
    struct ioctl_evtchn_bind_virq a = {virq};

    return ioctl(x->fd, IOCTL_EVTCHN_BIND_VIRQ, &a);
}

static int dev_unbind(xenevtchn_handle *x, evtchn_port_t port)
{
    struct ioctl_evtchn_unbind a = {port};

    return ioctl(x->fd, IOCTL_EVTCHN_UNBIND, &a);
}

static int dev_pending(xenevtchn_handle *x)
{
    evtchn_port_t port;
    ssize_t got = read(x->fd, &port, sizeof(port));

    if (got == sizeof(port))
        return port;
    if (got >= 0)
        errno = EIO;
    return -1;
}

static int dev_unmask(xenevtchn_handle *x, evtchn_port_t port)
{
    ssize_t put = write(x->fd, &port, sizeof(port));

    if (put == sizeof(port))
        return 0;
    if (put >= 0)
        errno = EIO;
    return -1;
}

static int dev_restrict(xenevtchn_handle *x, domid_t domid)
{
    struct ioctl_evtchn_restrict_domid a = {domid};

    return ioctl(x->fd, IOCTL_EVTCHN_RESTRICT_DOMID, &a);
}

const struct evtchn_ops evtchn_dev_ops = {
    dev_open,   dev_fdopen,  dev_close,  dev_notify,   dev_bind_unbound, dev_bind_interdomain,
    dev_bind_virq, dev_unbind, dev_pending, dev_unmask, dev_restrict,
};
