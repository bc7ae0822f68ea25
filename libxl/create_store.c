/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a new domain: which there are, what is in them and who may touch them is the
 * interface between toolstacks, guests and backends (docs/misc/xenstore-paths in Xen).
 */
#include <stdio.h>
#include <sys/time.h>

#include "libxl/domain.h"

#include <libxl_utils.h>

/* Empty nodes below /local/domain/N, in the order in which Xen's libxl makes them. */
static const struct {
    const char *name;
    enum lx_access access;
} skeleton[] = {
    { "cpu", LX_GUEST_READS },
    { "memory", LX_GUEST_READS },
    { "device", LX_GUEST_READS },
    { "device/suspend/event-channel", LX_GUEST_OWNS },
    { "control", LX_GUEST_READS },
    { "control/shutdown", LX_GUEST_OWNS },
    { "control/feature-poweroff", LX_GUEST_OWNS },
    { "control/feature-reboot", LX_GUEST_OWNS },
    { "control/feature-suspend", LX_GUEST_OWNS },
    { "control/sysrq", LX_GUEST_OWNS },
    { "data", LX_GUEST_OWNS },
    { "drivers", LX_GUEST_OWNS },
    { "feature", LX_GUEST_OWNS },
    { "attr", LX_GUEST_OWNS },
    { "error", LX_GUEST_OWNS },
};

/* Top-level nodes are made anew: a number is used again, and what an earlier domain left must go.
 * */
static int put_anew(struct lx_gc *gc, xs_transaction_t t, const char *path, enum lx_access access,
                    uint32_t domid)
{
    int rc = lx_xs_rm(gc, t, path);

    return rc ? rc : lx_xs_put(gc, t, path, "", access, domid);
}

static int put_key_values(struct lx_gc *gc, xs_transaction_t t, const char *dir,
                          libxl_key_value_list list)
{
    int rc = 0;

    for (char **kv = list; !rc && kv && *kv; kv += 2)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/%s", dir, kv[0]), "%s", kv[1] ? kv[1] : "");
    return rc;
}

static int skeleton_body(struct lx_gc *gc, xs_transaction_t t, void *arg)
{
    struct lx_create *cr = arg;
    const libxl_domain_create_info *c = &cr->config->c_info;
    uint32_t d = cr->domid;
    int rc;

    rc = put_anew(gc, t, cr->path, LX_GUEST_READS, d);
    if (!rc)
        rc = put_anew(gc, t, cr->vm_path, LX_GUEST_READS, d);
    if (!rc)
        rc = put_anew(gc, t, cr->libxl_path, LX_HOST_ONLY, d);
    if (!rc)
        rc = lx_xs_put(gc, t, lx_sprintf(gc, "%s/device", cr->libxl_path), "", LX_HOST_ONLY, d);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/vm", cr->path), "%s", cr->vm_path);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/name", cr->path), "%s", c->name);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/name", cr->vm_path), "%s", c->name);
    for (size_t i = 0; !rc && i < sizeof(skeleton) / sizeof(skeleton[0]); i++)
        rc = lx_xs_put(gc, t, lx_sprintf(gc, "%s/%s", cr->path, skeleton[i].name), "",
                       skeleton[i].access, d);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/uuid", cr->vm_path), "%s", cr->uuid);
    if (!rc)
        rc = put_key_values(gc, t, cr->path, c->xsdata);
    if (!rc)
        rc = put_key_values(gc, t, lx_sprintf(gc, "%s/platform", cr->path), c->platformdata);
    if (!rc)
        rc = lx_xs_write(gc, t,
                         lx_sprintf(gc, "%s/control/platform-feature-multiprocessor-suspend",
                                    cr->path), "1");
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/control/platform-feature-xs_reset_watches",
                                           cr->path), "1");
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/type", cr->libxl_path), "%s",
                         libxl_domain_type_to_string(c->type));
    return rc;
}

int lx_store_skeleton(struct lx_gc *gc, struct lx_create *cr)
{
    int rc = lx_xs_transaction(gc, skeleton_body, cr);

    if (rc)
        return rc;
    return lx_xs_write(gc, XBT_NULL, lx_sprintf(gc, "%s/dm-version", cr->libxl_path), "%s",
                       libxl_device_model_version_to_string(
                           cr->config->b_info.device_model_version));
}

/* ---- once the guest's memory is there */

static int built_body(struct lx_gc *gc, xs_transaction_t t, void *arg)
{
    struct lx_create *cr = arg;
    const libxl_domain_build_info *b = &cr->config->b_info;
    const char *p = cr->path;
    struct timeval now;
    int rc;

    rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/memory/static-max", p), "%llu",
                     (unsigned long long)b->max_memkb);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/memory/target", p), "%llu",
                         (unsigned long long)(b->target_memkb - b->video_memkb));
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/memory/videoram", p), "%llu",
                         (unsigned long long)b->video_memkb);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/domid", p), "%u", cr->domid);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/store/port", p), "%u", cr->store_port);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/store/ring-ref", p), "%lu", cr->store_gfn);
    for (int i = 0; !rc && i < b->max_vcpus; i++)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/cpu/%d/availability", p, i), "%s",
                         libxl_bitmap_test(&b->avail_vcpus, i) ? "online" : "offline");
    gettimeofday(&now, NULL);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/start_time", cr->vm_path), "%ld.%02d",
                         (long)now.tv_sec, (int)(now.tv_usec / 10000));
    return rc;
}

int lx_store_built(struct lx_gc *gc, struct lx_create *cr)
{
    int rc = lx_xs_transaction(gc, built_body, cr);

    if (rc)
        return rc;
    if (!xs_introduce_domain(lx_xs(gc), cr->domid, cr->store_gfn, cr->store_port)) {
        LX_LOGED(ERROR, cr->domid, "xenstored does not take the domain");
        return ERROR_FAIL;
    }
    return 0;
}
