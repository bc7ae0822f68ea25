/* SPDX-License-Identifier: MIT */
#include "libxl/store.h"

#include <dlfcn.h>
#include <stdlib.h>

/* A guest cannot keep us from committing for ever; it is the control domain's own tools that meet.
 * */
#define MAX_RETRIES 1000

char *lx_dom_path(struct lx_gc *gc, uint32_t domid)
{
    return lx_sprintf(gc, "/local/domain/%u", domid);
}

char *lx_libxl_path(struct lx_gc *gc, uint32_t domid)
{
    return lx_sprintf(gc, "/libxl/%u", domid);
}

const char *lx_vm_path(struct lx_gc *gc, xs_transaction_t t, uint32_t domid)
{
    const char *vm;

    if (lx_xs_read(gc, t, lx_sprintf(gc, "%s/vm", lx_dom_path(gc, domid)), &vm) || !vm ||
        strncmp(vm, "/vm/", 4))
        return NULL;
    return vm;
}

/* ---- reading */

static const char *read_value(struct lx_gc *gc, xs_transaction_t t, const char *path)
{
    struct xs_handle *xsh = lx_xs(gc);
    unsigned len;
    char *raw = xsh ? xs_read(xsh, t, path, &len) : NULL;
    const char *value;

    if (!raw)
        return NULL;
    value = lx_strndup(gc, raw, len);
    free(raw);
    return value;
}

int lx_xs_read(struct lx_gc *gc, xs_transaction_t t, const char *path, const char **value)
{
    *value = NULL;
    if (!lx_xs(gc))
        return ERROR_FAIL;
    *value = read_value(gc, t, path);
    if (*value || errno == ENOENT)
        return 0;
    LX_LOGE(ERROR, "cannot read %s from xenstore", path);
    return ERROR_FAIL;
}

const char *lx_xs_peek(struct lx_gc *gc, const char *path)
{
    return read_value(gc, XBT_NULL, path);
}

typedef bool ask_many_fn(struct xs_handle *h, xs_transaction_t t, struct xs_ask *ask, unsigned n);

const char **lx_xs_peek_many(struct lx_gc *gc, const char *const *paths, unsigned n)
{
    /* By name: Xen's libxenstore may stand below us, and has it not. */
    ask_many_fn *ask_many = (ask_many_fn *)dlsym(RTLD_DEFAULT, "xs_ask_many");
    const char **out = LX_ARRAY_NEW(gc, const char *, n);
    struct xs_ask *ask = LX_ARRAY_NEW(gc, struct xs_ask, n);
    struct xs_handle *xsh = lx_xs(gc);

    for (unsigned i = 0; i < n; i++)
        ask[i] = (struct xs_ask){ .what = XS_ASK_VALUE, .path = paths[i] };
    bool all = xsh && ask_many && ask_many(xsh, XBT_NULL, ask, n);
    for (unsigned i = 0; i < n; i++) {
        out[i] = !all ? lx_xs_peek(gc, paths[i]) : ask[i].reply ? lx_strndup(gc, ask[i].reply, ask[i].len) : NULL;
        free(ask[i].reply);
    }
    return out;
}

char **lx_xs_dir(struct lx_gc *gc, const char *path, unsigned *n)
{
    struct xs_handle *xsh = lx_xs(gc);
    char **raw = xsh ? xs_directory(xsh, XBT_NULL, path, n) : NULL;
    char **names;

    if (!raw || !*n) {
        free(raw);
        *n = 0;
        return NULL;
    }
    names = LX_ARRAY_NEW(gc, char *, *n);
    for (unsigned i = 0; i < *n; i++)
        names[i] = lx_strdup(gc, raw[i]);
    free(raw);
    return names;
}

/* ---- writing */

int lx_xs_write(struct lx_gc *gc, xs_transaction_t t, const char *path, const char *fmt, ...)
{
    struct xs_handle *xsh = lx_xs(gc);
    const char *value;
    va_list ap;

    if (!xsh)
        return ERROR_FAIL;
    va_start(ap, fmt);
    value = lx_vsprintf(gc, fmt, ap);
    va_end(ap);
    if (xs_write(xsh, t, path, value, (unsigned)strlen(value)))
        return 0;
    LX_LOGE(ERROR, "cannot write %s in xenstore", path);
    return ERROR_FAIL;
}

int lx_xs_set_access(struct lx_gc *gc, xs_transaction_t t, const char *path, enum lx_access access,
                     uint32_t domid)
{
    struct xs_handle *xsh = lx_xs(gc);
    struct xs_permissions perms[2] = { { .id = 0, .perms = XS_PERM_NONE },
                                       { .id = domid, .perms = XS_PERM_READ } };
    unsigned n = access == LX_GUEST_READS || access == LX_GUEST_OWNS_HOST_READS ? 2 : 1;

    if (access == LX_GUEST_OWNS || access == LX_GUEST_OWNS_HOST_READS) {
        perms[0].id = domid;
        perms[1].id = 0;
    }
    if (xsh && xs_set_permissions(xsh, t, path, perms, n))
        return 0;
    if (xsh)
        LX_LOGE(ERROR, "cannot set permissions of %s in xenstore", path);
    return ERROR_FAIL;
}

int lx_xs_put(struct lx_gc *gc, xs_transaction_t t, const char *path, const char *value,
              enum lx_access access, uint32_t domid)
{
    int rc = lx_xs_write(gc, t, path, "%s", value);

    return rc ? rc : lx_xs_set_access(gc, t, path, access, domid);
}

int lx_xs_rm(struct lx_gc *gc, xs_transaction_t t, const char *path)
{
    struct xs_handle *xsh = lx_xs(gc);

    if (!xsh)
        return ERROR_FAIL;
    if (xs_rm(xsh, t, path) || errno == ENOENT)
        return 0;
    LX_LOGE(ERROR, "cannot remove %s from xenstore", path);
    return ERROR_FAIL;
}

int lx_xs_rm_up(struct lx_gc *gc, xs_transaction_t t, const char *path, const char *top)
{
    char *p = lx_strdup(gc, path), *slash;
    int rc;

    for (;;) {
        unsigned n = 0;
        char **left;

        rc = lx_xs_rm(gc, t, p);
        slash = strrchr(p, '/');
        if (rc || !slash || slash == p)
            return rc;
        *slash = 0;
        if (!strcmp(p, top))
            return 0;
        left = xs_directory(lx_xs(gc), t, p, &n);
        free(left);
        if (!left || n)
            return 0;
    }
}

/* ---- transactions */

int lx_xs_transaction(struct lx_gc *gc, lx_xs_body *body, void *arg)
{
    struct xs_handle *xsh = lx_xs(gc);
    int rc;

    if (!xsh)
        return ERROR_FAIL;
    for (int i = 0; i < MAX_RETRIES; i++) {
        xs_transaction_t t = xs_transaction_start(xsh);

        if (t == XBT_NULL) {
            LX_LOGE(ERROR, "cannot start a xenstore transaction");
            return ERROR_FAIL;
        }
        rc = body(gc, t, arg);
        if (rc) {
            xs_transaction_end(xsh, t, true);
            return rc;
        }
        if (xs_transaction_end(xsh, t, false))
            return 0;
        if (errno != EAGAIN) {
            LX_LOGE(ERROR, "cannot commit a xenstore transaction");
            return ERROR_FAIL;
        }
    }
    LX_LOG(ERROR, "xenstore is too busy: a transaction was refused %d times", MAX_RETRIES);
    return ERROR_FAIL;
}
