/* SPDX-License-Identifier: MIT */
/* The daemons' host through the low libraries, on our core or on Xen. */
#include "common/host.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include "common/domain_info.h"

struct host_real {
    xencall_handle *call;
    xenevtchn_handle *evtchn;
    xengnttab_handle *gnttab;
    xenforeignmemory_handle *fmem;
    int virq_port; /* 0: not bound */
};

static int real_domain_info(void *priv, uint16_t domid, struct host_domain *out)
{
    struct host_real *h = priv;

    return domain_info_get(h->call, domid, out);
}

static int real_map_page(void *priv, uint16_t domid, uint32_t gref, uint64_t gfn, void **page,
                         bool *granted)
{
    struct host_real *h = priv;
    xen_pfn_t pfn = gfn;
    int err = 0;

    *page = NULL;
    if (h->gnttab)
        *page = xengnttab_map_grant_ref(h->gnttab, domid, gref, PROT_READ | PROT_WRITE);
    *granted = *page != NULL;
    if (*page)
        return 0;
    /* A toolstack of old made no grant; privilege reaches the frame itself. */
    *page = xenforeignmemory_map(h->fmem, domid, PROT_READ | PROT_WRITE, 1, &pfn, &err);
    if (*page && err) {
        xenforeignmemory_unmap(h->fmem, *page, 1);
        *page = NULL;
        errno = err < 0 ? -err : err;
    }
    return *page ? 0 : -(errno ? errno : EINVAL);
}

static void real_unmap_page(void *priv, void *page, bool granted)
{
    struct host_real *h = priv;

    if (granted)
        xengnttab_unmap(h->gnttab, page, 1);
    else
        xenforeignmemory_unmap(h->fmem, page, 1);
}

static int real_bind(void *priv, uint16_t domid, uint32_t remote_port)
{
    struct host_real *h = priv;
    int port = xenevtchn_bind_interdomain(h->evtchn, domid, remote_port);

    return port < 0 ? -errno : port;
}

static void real_unbind(void *priv, uint32_t port)
{
    struct host_real *h = priv;

    xenevtchn_unbind(h->evtchn, port);
}

static void real_notify(void *priv, uint32_t port)
{
    struct host_real *h = priv;

    xenevtchn_notify(h->evtchn, port);
}

static int real_domain_list(void *priv, uint16_t first, unsigned max, struct host_domain_entry *out)
{
    struct host_real *h = priv;

    return domain_info_list(h->call, first, max, out);
}

static int real_remote_port(void *priv, uint32_t port)
{
    struct host_real *h = priv;
    struct evtchn_status *s = xencall_alloc_buffer(h->call, sizeof(*s));
    int rc;

    if (!s)
        return -ENOMEM;
    *s = (struct evtchn_status){ .dom = DOMID_SELF, .port = port };
    if (xencall2(h->call, __HYPERVISOR_event_channel_op, EVTCHNOP_status, (uintptr_t)s))
        rc = -errno;
    else
        rc = s->status == EVTCHNSTAT_interdomain ? (int)s->u.interdomain.port : -ENOTCONN;
    xencall_free_buffer(h->call, s);
    return rc;
}

static const struct host_ops real_ops = {
    .domain_info = real_domain_info, .map_page = real_map_page, .unmap_page = real_unmap_page,
    .bind = real_bind, .unbind = real_unbind, .notify = real_notify,
    .remote_port = real_remote_port, .domain_list = real_domain_list,
};

int host_real_open(struct host_real **out, struct host *host, bool domain_events, const char **what)
{
    return host_real_succeed(out, host, domain_events, -1, what);
}

int host_real_succeed(struct host_real **out, struct host *host, bool domain_events, int fd,
                      const char **what)
{
    struct host_real *h = calloc(1, sizeof(*h));
    int err;

    *what = "memory";
    if (!h)
        return -ENOMEM;
    errno = 0;
    *what = "hypercalls";
    h->call = xencall_open(NULL, 0);
    if (!h->call)
        goto fail;
    *what = "event channels";
    /* Only a program that hears of domains' deaths, the store, has successors. */
    h->evtchn = fd >= 0 ? xenevtchn_fdopen(NULL, fd, 0)
                        : xenevtchn_open(NULL, domain_events ? XENEVTCHN_NO_CLOEXEC : 0);
    if (!h->evtchn)
        goto fail;
    *what = "guest memory";
    h->fmem = xenforeignmemory_open(NULL, 0);
    if (!h->fmem)
        goto fail;
    h->gnttab = xengnttab_open(NULL, 0); /* it can do without */
    *what = "domain events (VIRQ_DOM_EXC)";
    h->virq_port = domain_events ? xenevtchn_bind_virq(h->evtchn, VIRQ_DOM_EXC) : 0;
    if (h->virq_port < 0)
        goto fail;
    *out = h;
    *host = (struct host){ &real_ops, h };
    return 0;

fail:
    err = errno ? errno : EIO;
    host_real_close(h);
    return -err;
}

void host_real_close(struct host_real *h)
{
    if (!h)
        return;
    if (h->gnttab)
        xengnttab_close(h->gnttab);
    if (h->fmem)
        xenforeignmemory_close(h->fmem);
    if (h->evtchn)
        xenevtchn_close(h->evtchn);
    if (h->call)
        xencall_close(h->call);
    free(h);
}

int host_real_hand_over(struct host_real *h, bool keep)
{
    if (!keep) {
        int port = h->virq_port;

        h->virq_port = 0;
        return xenevtchn_unbind(h->evtchn, (evtchn_port_t)port) ? -errno : 0;
    }
    h->virq_port = xenevtchn_bind_virq(h->evtchn, VIRQ_DOM_EXC);
    return h->virq_port < 0 ? -errno : 0;
}

int host_real_fd(const struct host_real *h)
{
    return xenevtchn_fd(h->evtchn);
}

int host_real_pending(void *arg, bool *domain_event)
{
    struct host_real *h = arg;
    int port = xenevtchn_pending(h->evtchn);

    if (port < 0)
        return -1;
    *domain_event = h->virq_port && port == h->virq_port;
    xenevtchn_unmask(h->evtchn, (evtchn_port_t)port);
    return port;
}
