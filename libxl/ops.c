/* SPDX-License-Identifier: MIT */
/* Simple things done to a domain that exists. */
#include <stdio.h>
#include <stdlib.h>

#include "libxl/ao.h"
#include "libxl/domain.h"

#include <libxl_utils.h>

/* Operations that take a how but are over at once. */
static int end_now(struct lx_ao *ao, int rc)
{
    if (rc)
        return lx_ao_fail(ao, rc);
    lx_ao_complete(&ao->egc, ao, 0);
    return lx_ao_inprogress(ao);
}

static int must_exist(struct lx_gc *gc, uint32_t domid)
{
    xc_domaininfo_t info;
    int rc = lx_domain_getinfo(gc, domid, &info);

    if (rc == ERROR_DOMAIN_NOTFOUND)
        LX_LOG(ERROR, "there is no domain %u", domid);
    return rc;
}

/* ---- pause, unpause */

int libxl_domain_pause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    struct lx_ao *ao = lx_ao_begin(ctx, domid, ao_how);
    struct lx_gc *gc = &ao->gc;
    int rc = must_exist(gc, domid);

    if (!rc && xc_domain_pause(ctx->xch, domid)) {
        LX_LOGED(ERROR, domid, "cannot be paused");
        rc = ERROR_FAIL;
    }
    return end_now(ao, rc);
}

int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    struct lx_ao *ao = lx_ao_begin(ctx, domid, ao_how);
    struct lx_gc *gc = &ao->gc;
    int rc = must_exist(gc, domid);

    if (!rc && xc_domain_unpause(ctx->xch, domid)) {
        LX_LOGED(ERROR, domid, "cannot be unpaused");
        rc = ERROR_FAIL;
    }
    return end_now(ao, rc);
}

/* ---- shutdown, reboot: a word in the store, which the guest's kernel acts on */

static int ask_guest(struct lx_gc *gc, uint32_t domid, const char *word)
{
    const char *control = lx_sprintf(gc, "%s/control", lx_dom_path(gc, domid)), *can;
    int rc = must_exist(gc, domid);

    if (rc)
        return rc;
    rc = lx_xs_read(gc, XBT_NULL, lx_sprintf(gc, "%s/feature-%s", control, word), &can);
    if (rc)
        return rc;
    if (!can || strcmp(can, "1")) {
        LX_LOGD(ERROR, domid, "the guest does not take requests to %s (yet)", word);
        return ERROR_NOPARAVIRT;
    }
    return lx_xs_write(gc, XBT_NULL, lx_sprintf(gc, "%s/shutdown", control), "%s", word);
}

int libxl_domain_shutdown(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    struct lx_ao *ao = lx_ao_begin(ctx, domid, ao_how);

    return end_now(ao, ask_guest(&ao->gc, domid, "poweroff"));
}

int libxl_domain_reboot(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    struct lx_ao *ao = lx_ao_begin(ctx, domid, ao_how);

    return end_now(ao, ask_guest(&ao->gc, domid, "reboot"));
}

/* ---- names */

struct rename {
    uint32_t domid;
    const char *old_name, *new_name;
};

static int rename_body(struct lx_gc *gc, xs_transaction_t t, void *arg)
{
    const struct rename *r = arg;
    const char *path = lx_sprintf(gc, "%s/name", lx_dom_path(gc, r->domid)), *now, *vm;
    int rc = lx_xs_read(gc, t, path, &now);

    if (rc)
        return rc;
    if (r->old_name && (!now || strcmp(now, r->old_name))) {
        LX_LOGD(ERROR, r->domid, "is called \"%s\", not \"%s\"", now ? now : "", r->old_name);
        return ERROR_INVAL;
    }
    rc = lx_xs_write(gc, t, path, "%s", r->new_name);
    vm = rc ? NULL : lx_vm_path(gc, t, r->domid);
    if (vm)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/name", vm), "%s", r->new_name);
    return rc;
}

/* The kept configuration follows, so that a restart makes it under its new name. */
static int rename_kept(struct lx_gc *gc, uint32_t domid, const char *name)
{
    libxl_domain_config config;
    int rc = lx_config_kept(gc, domid, &config);

    if (!rc) {
        free(config.c_info.name);
        config.c_info.name = lx_strdup(NULL, name);
        rc = lx_config_keep(gc, domid, &config);
    } else if (rc == ERROR_JSON_CONFIG_EMPTY) {
        rc = 0;
    }
    libxl_domain_config_dispose(&config);
    return rc;
}

int libxl_domain_rename(libxl_ctx *ctx, uint32_t domid, const char *old_name, const char *new_name)
{
    LX_GC(ctx);
    struct rename r = { domid, old_name, new_name };
    uint32_t other;
    int lock, rc = must_exist(gc, domid);

    if (!rc)
        rc = lx_check_name(gc, new_name);
    if (!rc && !libxl_name_to_domid(ctx, new_name, &other) && other != domid) {
        LX_LOG(ERROR, "the name \"%s\" is in use by domain %u", new_name, other);
        rc = ERROR_INVAL;
    }
    if (rc)
        return rc;
    lock = lx_userdata_lock(gc, domid);
    if (lock < 0)
        return ERROR_LOCK_FAIL;
    rc = lx_xs_transaction(gc, rename_body, &r);
    if (!rc)
        rc = rename_kept(gc, domid, new_name);
    lx_userdata_unlock(lock);
    return rc;
}

int libxl_domain_preserve(libxl_ctx *ctx, uint32_t domid, libxl_domain_create_info *info,
                          const char *name_suffix, libxl_uuid new_uuid)
{
    LX_GC(ctx);
    const char *name = lx_sprintf(gc, "%s%s", info->name, name_suffix);
    const char *uuid = lx_sprintf(gc, LIBXL_UUID_FMT, LIBXL_UUID_BYTES(new_uuid));
    const char *old_vm = lx_vm_path(gc, XBT_NULL, domid), *vm = lx_sprintf(gc, "/vm/%s", uuid);
    const char *start = old_vm ? lx_xs_peek(gc, lx_sprintf(gc, "%s/start_time", old_vm)) : NULL;
    libxl_domain_config config;
    xen_domain_handle_t handle;
    xc_domaininfo_t was;
    int rc = lx_domain_getinfo(gc, domid, &was);

    if (rc)
        return rc;
    memcpy(handle, new_uuid.uuid, sizeof(handle));
    if (xc_domain_sethandle(ctx->xch, domid, handle)) {
        LX_LOGED(ERROR, domid, "cannot be given another UUID");
        return ERROR_FAIL;
    }
    lx_userdata_move(gc, domid,
                     lx_sprintf(gc, LIBXL_UUID_FMT, LIBXL__UUID_BYTES(was.handle)), uuid);
    rc = lx_xs_put(gc, XBT_NULL, vm, "", LX_GUEST_READS, domid);
    if (!rc)
        rc = lx_xs_write(gc, XBT_NULL, lx_sprintf(gc, "%s/uuid", vm), "%s", uuid);
    if (!rc && start)
        rc = lx_xs_write(gc, XBT_NULL, lx_sprintf(gc, "%s/start_time", vm), "%s", start);
    if (!rc)
        rc = lx_xs_write(gc, XBT_NULL, lx_sprintf(gc, "%s/vm", lx_dom_path(gc, domid)), "%s", vm);
    if (!rc && old_vm && strcmp(old_vm, vm))
        rc = lx_xs_rm(gc, XBT_NULL, old_vm);
    if (rc)
        return rc;
    if (!lx_config_kept(gc, domid, &config)) {
        libxl_uuid_copy(ctx, &config.c_info.uuid, &new_uuid);
        rc = lx_config_keep(gc, domid, &config);
    }
    libxl_domain_config_dispose(&config);
    return rc ? rc : libxl_domain_rename(ctx, domid, info->name, name);
}

/* ---- signals to the guest */

static int trigger_number(libxl_trigger trigger)
{
    switch (trigger) {
    case LIBXL_TRIGGER_NMI: return XEN_DOMCTL_SENDTRIGGER_NMI;
    case LIBXL_TRIGGER_RESET: return XEN_DOMCTL_SENDTRIGGER_RESET;
    case LIBXL_TRIGGER_INIT: return XEN_DOMCTL_SENDTRIGGER_INIT;
    case LIBXL_TRIGGER_POWER: return XEN_DOMCTL_SENDTRIGGER_POWER;
    case LIBXL_TRIGGER_SLEEP: return XEN_DOMCTL_SENDTRIGGER_SLEEP;
    default: return -1;
    }
}

int libxl_domain_core_dump(libxl_ctx *ctx, uint32_t domid, const char *filename,
                           const libxl_asyncop_how *ao_how)
{
    struct lx_ao *ao = lx_ao_begin(ctx, domid, ao_how);
    struct lx_gc *gc = &ao->gc;
    int rc = must_exist(gc, domid);

    if (!rc && xc_domain_dumpcore(ctx->xch, domid, filename)) {
        LX_LOGED(ERROR, domid, "cannot write the domain's memory to %s", filename);
        rc = ERROR_FAIL;
    }
    return end_now(ao, rc);
}

int libxl_send_trigger(libxl_ctx *ctx, uint32_t domid, libxl_trigger trigger, uint32_t vcpuid,
                       const libxl_asyncop_how *ao_how)
{
    struct lx_ao *ao = lx_ao_begin(ctx, domid, ao_how);
    struct lx_gc *gc = &ao->gc;
    int number = trigger_number(trigger), rc = must_exist(gc, domid);

    if (!rc && number < 0) {
        LX_LOGD(ERROR, domid, "a PVH guest has no %s to trigger",
                trigger == LIBXL_TRIGGER_S3RESUME ? "S3 resume" : "such thing");
        rc = ERROR_INVAL;
    }
    if (!rc && xc_domain_send_trigger(ctx->xch, domid, (uint32_t)number, vcpuid)) {
        LX_LOGED(ERROR, domid, "cannot send trigger %s", libxl_trigger_to_string(trigger));
        rc = errno == EINVAL ? ERROR_INVAL : ERROR_FAIL;
    }
    return end_now(ao, rc);
}

int libxl_send_sysrq(libxl_ctx *ctx, uint32_t domid, char sysrq)
{
    LX_GC(ctx);
    int rc = must_exist(gc, domid);

    if (rc)
        return rc;
    return lx_xs_write(gc, XBT_NULL, lx_sprintf(gc, "%s/control/sysrq", lx_dom_path(gc, domid)),
                       "%c", sysrq);
}

uint32_t libxl_vm_get_start_time(libxl_ctx *ctx, uint32_t domid)
{
    LX_GC(ctx);
    const char *vm = lx_vm_path(gc, XBT_NULL, domid);
    const char *s = vm ? lx_xs_peek(gc, lx_sprintf(gc, "%s/start_time", vm)) : NULL;

    return s ? (uint32_t)strtoul(s, NULL, 10) : 0;
}
