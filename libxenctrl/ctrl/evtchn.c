/* SPDX-License-Identifier: MIT */
/* Other domains' event channels; and our own, for callers of the old interface. */
#include "libxenctrl/ctrl/private.h"

#include <xenevtchn.h>

static int evtchn_op(xc_interface *xch, unsigned int cmd, void *arg, size_t len)
{
    return (int)do_op(xch, __HYPERVISOR_event_channel_op, cmd, arg, len);
}

xc_evtchn_port_or_error_t xc_evtchn_alloc_unbound(xc_interface *xch, uint32_t dom,
                                                  uint32_t remote_dom)
{
    struct evtchn_alloc_unbound arg = {
        .dom = (domid_t)dom, .remote_dom = (domid_t)remote_dom,
    };

    return evtchn_op(xch, EVTCHNOP_alloc_unbound, &arg, sizeof(arg)) ? -1 : (int)arg.port;
}

int xc_evtchn_reset(xc_interface *xch, uint32_t dom)
{
    struct evtchn_reset arg = { .dom = (domid_t)dom };

    return evtchn_op(xch, EVTCHNOP_reset, &arg, sizeof(arg));
}

int xc_evtchn_status(xc_interface *xch, xc_evtchn_status_t *status)
{
    return evtchn_op(xch, EVTCHNOP_status, status, sizeof(*status));
}

xc_evtchn *xc_evtchn_open(xentoollog_logger *logger, unsigned open_flags)
{
    return xenevtchn_open(logger, open_flags);
}

int xc_evtchn_close(xc_evtchn *xce)
{
    return xenevtchn_close(xce);
}

int xc_evtchn_fd(xc_evtchn *xce)
{
    return xenevtchn_fd(xce);
}

int xc_evtchn_notify(xc_evtchn *xce, evtchn_port_t port)
{
    return xenevtchn_notify(xce, port);
}

xc_evtchn_port_or_error_t xc_evtchn_bind_unbound_port(xc_evtchn *xce, uint32_t domid)
{
    return xenevtchn_bind_unbound_port(xce, domid);
}

xc_evtchn_port_or_error_t xc_evtchn_bind_interdomain(xc_evtchn *xce, uint32_t domid,
                                                     evtchn_port_t remote_port)
{
    return xenevtchn_bind_interdomain(xce, domid, remote_port);
}

xc_evtchn_port_or_error_t xc_evtchn_bind_virq(xc_evtchn *xce, unsigned int virq)
{
    return xenevtchn_bind_virq(xce, virq);
}

int xc_evtchn_unbind(xc_evtchn *xce, evtchn_port_t port)
{
    return xenevtchn_unbind(xce, port);
}

xc_evtchn_port_or_error_t xc_evtchn_pending(xc_evtchn *xce)
{
    return xenevtchn_pending(xce);
}

int xc_evtchn_unmask(xc_evtchn *xce, evtchn_port_t port)
{
    return xenevtchn_unmask(xce, port);
}
