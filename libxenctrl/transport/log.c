/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>

#include "common/paths.h"
#include "libxenctrl/transport/log.h"

int kt_log_init(struct kt_log *l, xentoollog_logger *given)
{
    l->own = NULL;
    l->lg = given;
    if (!given) {
        l->own = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_PROGRESS, 0);
        l->lg = l->own;
    }
    return l->lg ? 0 : -1;
}

void kt_log_fini(struct kt_log *l)
{
    xtl_logger_destroy(l->own);
    l->own = NULL;
    l->lg = NULL;
}

void kt_log_errno(struct kt_log *l, const char *context, const char *what)
{
    xtl_log(l->lg, XTL_ERROR, errno, context, "%s", what);
}

void kt_log_no_core(struct kt_log *l, const char *context)
{
    char path[108];
    int e = errno;

    if (!kr_path(KR_CORE_SOCKET, path, sizeof(path)))
        path[0] = 0;
    xtl_log(l->lg, XTL_ERROR, e, context, "cannot reach the hypervisor core at %s%s", path,
            e == ENOENT || e == ECONNREFUSED ? " (is kryptond running?)" : "");
    errno = e;
}
