/* SPDX-License-Identifier: MIT */
/* Taking a domain away, with everything on the host that was there because of it. */
#include <stdlib.h>

#include "libxl/ao.h"
#include "libxl/domain.h"

/* Keeps the first failure. */
static void note(int *rc, int r)
{
    if (!*rc)
        *rc = r;
}

struct device_node {
    const char *frontend, *backend, *libxl;
};

/* The nodes of one device, as libxl noted them: a guest cannot lead us to others' nodes by what it
 * writes into its own. */
static int remove_device_body(struct lx_gc *gc, xs_transaction_t t, void *arg)
{
    const struct device_node *d = arg;
    int rc = 0;

    if (d->frontend)
        rc = lx_xs_rm(gc, t, d->frontend);
    if (!rc)
        rc = lx_xs_rm_up(gc, t, d->libxl, "/libxl");
    if (!rc && d->backend)
        rc = lx_xs_rm_up(gc, t, d->backend, "/local/domain");
    return rc;
}

static int remove_devices(struct lx_gc *gc, uint32_t domid)
{
    const char *top = lx_sprintf(gc, "%s/device", lx_libxl_path(gc, domid));
    unsigned n_kinds, n_devs;
    char **kinds = lx_xs_dir(gc, top, &n_kinds), **devs;
    int rc = 0;

    for (unsigned i = 0; i < n_kinds; i++) {
        devs = lx_xs_dir(gc, lx_sprintf(gc, "%s/%s", top, kinds[i]), &n_devs);
        for (unsigned j = 0; j < n_devs; j++) {
            const char *dir = lx_sprintf(gc, "%s/%s/%s", top, kinds[i], devs[j]);
            struct device_node d = {
                .libxl = dir,
                .frontend = lx_xs_peek(gc, lx_sprintf(gc, "%s/frontend", dir)),
                .backend = lx_xs_peek(gc, lx_sprintf(gc, "%s/backend", dir)),
            };

            note(&rc, lx_xs_transaction(gc, remove_device_body, &d));
        }
    }
    return rc;
}

int lx_destroy(struct lx_gc *gc, uint32_t domid)
{
    const char *vm = lx_vm_path(gc, XBT_NULL, domid);
    xc_domaininfo_t info;
    int rc = lx_domain_getinfo(gc, domid, &info);

    if (rc)
        return rc;
    /* stopped first, so that nothing changes any more; one that is dying cannot be, and need not */
    if (xc_domain_pause(gc->ctx->xch, domid))
        LX_LOGED(DETAIL, domid, "cannot be paused");
    rc = remove_devices(gc, domid);
    lx_userdata_remove_all(gc, domid, info.handle);
    if (vm)
        note(&rc, lx_xs_rm(gc, XBT_NULL, vm));
    note(&rc, lx_xs_rm(gc, XBT_NULL, lx_dom_path(gc, domid)));
    note(&rc, lx_xs_rm(gc, XBT_NULL, lx_libxl_path(gc, domid)));
    if (xc_domain_destroy(gc->ctx->xch, domid) && errno != ESRCH) {
        LX_LOGED(ERROR, domid, "the hypervisor does not destroy the domain");
        note(&rc, ERROR_FAIL);
    } else {
        /* what somebody made who took the domain's lock meanwhile */
        lx_userdata_remove_all(gc, domid, info.handle);
    }
    return rc;
}

int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    struct lx_ao *ao = lx_ao_begin(ctx, domid, ao_how);
    struct lx_gc *gc = &ao->gc;
    int rc;

    if (!libxl_domid_valid_guest(domid)) {
        LX_LOG(ERROR, "domain %u is not one that can be destroyed", domid);
        return lx_ao_fail(ao, ERROR_INVAL);
    }
    rc = lx_destroy(gc, domid);
    if (rc == ERROR_DOMAIN_NOTFOUND) {
        LX_LOG(ERROR, "there is no domain %u", domid);
        return lx_ao_fail(ao, rc);
    }
    lx_ao_complete(&ao->egc, ao, rc);
    return lx_ao_inprogress(ao);
}
