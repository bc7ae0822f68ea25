/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "libxenctrl/evtchn/private.h"

static int restrict_handle(Xentoolcore__Active_Handle *ah, domid_t domid)
{
    xenevtchn_handle *x = (void *)((char *)ah - offsetof(xenevtchn_handle, ah));

    return x->fd < 0 ? 0 : x->ops->restrict_to(x, domid);
}

/* A handle without a transport yet, or NULL with errno. */
static xenevtchn_handle *new_handle(struct xentoollog_logger *logger)
{
    xenevtchn_handle *x = calloc(1, sizeof(*x));

    if (!x)
        return NULL;
    x->fd = -1;
    if (kt_log_init(&x->log, logger)) {
        free(x);
        return NULL;
    }
    x->ops = kt_choose() == KT_CORE ? &evtchn_core_ops : &evtchn_dev_ops;
    x->ah.restrict_callback = restrict_handle;
    xentoolcore__register_active_handle(&x->ah);
    return x;
}

static void free_handle(xenevtchn_handle *x)
{
    int saved = errno;

    xentoolcore__deregister_active_handle(&x->ah);
    kt_log_fini(&x->log);
    free(x);
    errno = saved;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    xenevtchn_handle *x;

    if (flags & ~XENEVTCHN_NO_CLOEXEC) {
        errno = EINVAL;
        return NULL;
    }
    x = new_handle(logger);
    if (x && x->ops->open(x, !(flags & XENEVTCHN_NO_CLOEXEC))) {
        free_handle(x);
        x = NULL;
    }
    return x;
}

xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned open_flags)
{
    xenevtchn_handle *x;

    if (open_flags) {
        errno = EINVAL;
        return NULL;
    }
    x = new_handle(logger);
    if (x && x->ops->fdopen(x, fd)) {
        free_handle(x);
        x = NULL;
    }
    return x;
}

int xenevtchn_close(xenevtchn_handle *x)
{
    if (!x)
        return 0;
    x->ops->close(x);
    free_handle(x);
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *x)
{
    return x->fd;
}

int xenevtchn_notify(xenevtchn_handle *x, evtchn_port_t port)
{
    return x->ops->notify(x, port);
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *x, uint32_t domid)
{
    return x->ops->bind_unbound(x, domid);
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *x, uint32_t domid,
                                                     evtchn_port_t remote_port)
{
    return x->ops->bind_interdomain(x, domid, remote_port);
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *x, unsigned int virq)
{
    return x->ops->bind_virq(x, virq);
}

int xenevtchn_unbind(xenevtchn_handle *x, evtchn_port_t port)
{
    return x->ops->unbind(x, port);
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *x)
{
    return x->ops->pending(x);
}

int xenevtchn_unmask(xenevtchn_handle *x, evtchn_port_t port)
{
    return x->ops->unmask(x, port);
}

int xenevtchn_restrict(xenevtchn_handle *x, domid_t domid)
{
    return x->ops->restrict_to(x, domid);
}
