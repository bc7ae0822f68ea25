/* SPDX-License-Identifier: MIT */
#include "libxl/log.h"

#include <stdio.h>
#include <stdlib.h>

#include "libxl/ctx.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

void lx_log(libxl_ctx *ctx, xentoollog_level level, int errnoval, const char *file, int line,
            const char *func, uint32_t domid, const char *fmt, ...)
{
    int saved = errno;
    char where[96] = "", who[32] = "";
    char *text = NULL;
    va_list ap;

    if (!ctx || !ctx->lg)
        return;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    if (level < XTL_WARN)
        snprintf(where, sizeof(where), "%s:%d:%s: ", base_name(file), line, func);
    if (domid != LX_NO_DOMID)
        snprintf(who, sizeof(who), "Domain %u: ", domid);
    xtl_log(ctx->lg, level, errnoval, "libxl", "%s%s%s", where, who, text ? text : fmt);
    free(text);
    errno = saved;
}
