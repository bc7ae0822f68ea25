/* SPDX-License-Identifier: MIT */
/* Device model operations by the Linux kernel of a Xen host. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <xen/sys/privcmd.h>

#include "libxenctrl/devicemodel/private.h"

static int dev_open(xendevicemodel_handle *d)
{
    d->fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (d->fd < 0)
        kt_log_errno(&d->log, "xendevicemodel", "cannot open /dev/xen/privcmd");
    return d->fd < 0 ? -1 : 0;
}

static void dev_close(xendevicemodel_handle *d)
{
    close(d->fd);
    d->fd = -1;
}

static int dev_op(xendevicemodel_handle *d, domid_t domid, unsigned nr, const struct dm_buf *bufs)
{
    privcmd_dm_op_buf_t list[DM_MAX_BUFS];
    privcmd_dm_op_t a = {.dom = domid, .num = nr, .ubufs = list};

    for (unsigned i = 0; i < nr; i++)
        list[i] = (privcmd_dm_op_buf_t){bufs[i].ptr, bufs[i].size};
    return ioctl(d->fd, IOCTL_PRIVCMD_DM_OP, &a) < 0 ? -1 : 0;
}

static int dev_restrict(xendevicemodel_handle *d, domid_t domid)
{
    return ioctl(d->fd, IOCTL_PRIVCMD_RESTRICT, &domid) ? -1 : 0;
}

const struct dm_ops dm_dev_ops = {dev_open, dev_close, dev_op, dev_restrict};
