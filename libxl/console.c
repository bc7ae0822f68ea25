/* SPDX-License-Identifier: MIT */
/* The guest's first console: its nodes, which xenconsoled serves, and how to get at it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libxl/domain.h"

#include <libxl_utils.h>

/* Bytes xenconsoled keeps while nobody reads. */
#define CONSOLE_LIMIT 1048576

/* XenbusStateInitialising, what a backend's node starts with. */
#define STATE_INITIALISING "1"

static int console_body(struct lx_gc *gc, xs_transaction_t t, void *arg)
{
    struct lx_create *cr = arg;
    const char *front = lx_sprintf(gc, "%s/console", cr->path);
    const char *back = lx_sprintf(gc, "%s/backend/console/%u/0",
                                  lx_dom_path(gc, cr->console_domid), cr->domid);
    const char *note = lx_sprintf(gc, "%s/device/console/0", cr->libxl_path);
    const struct {
        const char *name, *value;
        enum lx_access access;
    } front_nodes[] = {
        { "backend", back, LX_GUEST_READS },
        { "backend-id", lx_sprintf(gc, "%u", cr->console_domid), LX_GUEST_OWNS_HOST_READS },
        { "limit", lx_sprintf(gc, "%d", CONSOLE_LIMIT), LX_GUEST_READS },
        { "type", "xenconsoled", LX_GUEST_READS },
        { "output", "pty", LX_GUEST_READS },
        { "tty", "", LX_GUEST_READS },
        { "port", lx_sprintf(gc, "%u", cr->console_port), LX_GUEST_READS },
        { "ring-ref", lx_sprintf(gc, "%lu", cr->console_gfn), LX_GUEST_READS },
    };
    const struct {
        const char *name, *value;
    } back_nodes[] = {
        { "frontend", front },
        { "frontend-id", lx_sprintf(gc, "%u", cr->domid) },
        { "online", "1" },
        { "state", STATE_INITIALISING },
        { "protocol", "vt100" },
    };
    int rc;

    rc = lx_xs_rm(gc, t, note);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/frontend", note), "%s", front);
    if (!rc)
        rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/backend", note), "%s", back);
    if (!rc)
        rc = lx_xs_rm(gc, t, front);
    if (!rc)
        rc = lx_xs_put(gc, t, front, "", LX_GUEST_READS, cr->domid);
    for (size_t i = 0; !rc && i < sizeof(front_nodes) / sizeof(front_nodes[0]); i++)
        rc = lx_xs_put(gc, t, lx_sprintf(gc, "%s/%s", front, front_nodes[i].name),
                       front_nodes[i].value, front_nodes[i].access, cr->domid);
    if (!rc)
        rc = lx_xs_rm(gc, t, back);
    if (!rc)
        rc = lx_xs_put(gc, t, back, "", LX_GUEST_READS, cr->domid);
    for (size_t i = 0; !rc && i < sizeof(back_nodes) / sizeof(back_nodes[0]); i++) {
        rc = lx_xs_put(gc, t, lx_sprintf(gc, "%s/%s", back, back_nodes[i].name),
                       back_nodes[i].value, LX_GUEST_READS, cr->domid);
        if (!rc)
            rc = lx_xs_write(gc, t, lx_sprintf(gc, "%s/%s", note, back_nodes[i].name), "%s",
                             back_nodes[i].value);
    }
    return rc;
}

int lx_console_add(struct lx_gc *gc, struct lx_create *cr)
{
    return lx_xs_transaction(gc, console_body, cr);
}

/* ---- attaching */

char *lx_console_tty_path(struct lx_gc *gc, uint32_t domid, int num, libxl_console_type type)
{
    const char *dom = lx_dom_path(gc, domid);

    if (type == LIBXL_CONSOLE_TYPE_SERIAL)
        return lx_sprintf(gc, "%s/serial/%d/tty", dom, num);
    if (type == LIBXL_CONSOLE_TYPE_VUART)
        return lx_sprintf(gc, "%s/vuart/%d/tty", dom, num);
    if (num)
        return lx_sprintf(gc, "%s/device/console/%d/tty", dom, num);
    return lx_sprintf(gc, "%s/console/tty", dom);
}

int libxl_console_get_tty(libxl_ctx *ctx, uint32_t domid, int cons_num, libxl_console_type type,
                          char **path)
{
    LX_GC(ctx);
    const char *node = lx_console_tty_path(gc, domid, cons_num, type), *tty;
    int rc = lx_xs_read(gc, XBT_NULL, node, &tty);

    if (rc)
        return rc;
    if (!tty || !*tty) {
        LX_LOGD(ERROR, domid, "console %d has no terminal", cons_num);
        return ERROR_FAIL;
    }
    *path = lx_strdup(NULL, tty);
    return 0;
}

/* A guest's own first console, or if it is served by a stub domain, the stub's for that guest. */
static int primary_console(struct lx_gc *gc, uint32_t domid_vm, uint32_t *domid, int *num)
{
    int stub = libxl_get_stubdom_id(gc->ctx, (int)domid_vm);

    *domid = stub ? (uint32_t)stub : domid_vm;
    *num = stub ? 3 : 0;
    if (!stub && lx_domain_type(gc, domid_vm) == LIBXL_DOMAIN_TYPE_INVALID) {
        LX_LOG(ERROR, "there is no domain %u", domid_vm);
        return ERROR_DOMAIN_NOTFOUND;
    }
    return 0;
}

int libxl_primary_console_get_tty(libxl_ctx *ctx, uint32_t domid_vm, char **path)
{
    LX_GC(ctx);
    uint32_t domid;
    int num, rc = primary_console(gc, domid_vm, &domid, &num);

    return rc ? rc : libxl_console_get_tty(ctx, domid, num, LIBXL_CONSOLE_TYPE_PV, path);
}

int libxl_console_exec(libxl_ctx *ctx, uint32_t domid, int cons_num, libxl_console_type type,
                       int notify_fd)
{
    LX_GC(ctx);
    const char *dir = getenv("KRYPTON_LIBEXECDIR"), *type_name;
    char *program = lx_sprintf(gc, "%s/xenconsole", dir ? dir : KR_PKGLIBEXECDIR);
    const char *dom = lx_sprintf(gc, "%u", domid), *num = lx_sprintf(gc, "%d", cons_num);
    const char *fd = lx_sprintf(gc, "%d", notify_fd);

    switch (type) {
    case LIBXL_CONSOLE_TYPE_PV: type_name = "pv"; break;
    case LIBXL_CONSOLE_TYPE_SERIAL: type_name = "serial"; break;
    case LIBXL_CONSOLE_TYPE_VUART: type_name = "vuart"; break;
    default:
        LX_LOGD(ERROR, domid, "a console of this type cannot be attached to");
        return ERROR_INVAL;
    }
    if (notify_fd >= 0)
        execl(program, program, dom, "--num", num, "--type", type_name, "--start-notify-fd", fd,
              NULL);
    else
        execl(program, program, dom, "--num", num, "--type", type_name, NULL);
    LX_LOGE(ERROR, "cannot run %s", program);
    return ERROR_FAIL;
}

int libxl_primary_console_exec(libxl_ctx *ctx, uint32_t domid_vm, int notify_fd)
{
    LX_GC(ctx);
    uint32_t domid;
    int num, rc = primary_console(gc, domid_vm, &domid, &num);

    return rc ? rc : libxl_console_exec(ctx, domid, num, LIBXL_CONSOLE_TYPE_PV, notify_fd);
}

int libxl_vncviewer_exec(libxl_ctx *ctx, uint32_t domid, int autopass)
{
    LX_GC(ctx);

    LX_LOGD(ERROR, domid, "no guest of this build has a display");
    return ERROR_NI;
}
