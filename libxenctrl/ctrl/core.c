/* SPDX-License-Identifier: MIT */
/* The handle, and how failures are reported and remembered. */
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/ctrl/private.h"

/* Failures of handles that several threads may use. */
static __thread struct xc_error thread_error;

static struct xc_error *last_error(xc_interface *xch)
{
    return xch->flags & XC_OPENFLAG_NON_REENTRANT ? &xch->last_error : &thread_error;
}

/* The connections below. On failure those already made are left for close_connections(). */
static int open_connections(xc_interface *xch)
{
    unsigned int call_flags = 0;

    if (xch->flags & XC_OPENFLAG_NON_REENTRANT) {
        call_flags |= XENCALL_OPENFLAG_NON_REENTRANT;
    }
    xch->xcall = xencall_open(xch->error_handler, call_flags);
    if (!xch->xcall) {
        return -1;
    }
    xch->fmem = xenforeignmemory_open(xch->error_handler, 0);
    if (!xch->fmem) {
        return -1;
    }
    xch->dmod = xendevicemodel_open(xch->error_handler, 0);
    return xch->dmod ? 0 : -1;
}

static int close_connections(xc_interface *xch)
{
    int rc = 0;

    if (xch->xcall && xencall_close(xch->xcall)) {
        rc = -1;
    }
    if (xch->fmem && xenforeignmemory_close(xch->fmem)) {
        rc = -1;
    }
    if (xch->dmod && xendevicemodel_close(xch->dmod)) {
        rc = -1;
    }
    return rc;
}

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
                                unsigned open_flags)
{
    xc_interface *xch = calloc(1, sizeof(*xch));
    int saved;

    if (!xch) {
        return NULL;
    }
    xch->flags = (int)open_flags;
    xch->dombuild_logger = dombuild_logger;
    xch->error_handler = logger;
    if (!logger) {
        xch->error_handler_tofree =
            (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_PROGRESS, 0);
        xch->error_handler = xch->error_handler_tofree;
        if (!xch->error_handler) {
            goto err;
        }
    }
    if (!(open_flags & XC_OPENFLAG_DUMMY) && open_connections(xch)) {
        goto err;
    }
    return xch;

 err:
    saved = errno;
    close_connections(xch);
    xtl_logger_destroy(xch->error_handler_tofree);
    free(xch);
    errno = saved;
    return NULL;
}

int xc_interface_close(xc_interface *xch)
{
    int rc, saved;

    if (!xch) {
        return 0;
    }
    rc = close_connections(xch);
    saved = errno;
    xtl_logger_destroy(xch->dombuild_logger_tofree);
    xtl_logger_destroy(xch->error_handler_tofree);
    if (xch->dombuild_logger_file) {
        fclose(xch->dombuild_logger_file);
    }
    free(xch);
    errno = saved;
    return rc;
}

struct xencall_handle *xc_interface_xcall_handle(xc_interface *xch)
{
    return xch->xcall;
}

struct xenforeignmemory_handle *xc_interface_fmem_handle(xc_interface *xch)
{
    return xch->fmem;
}

struct xendevicemodel_handle *xc_interface_dmod_handle(xc_interface *xch)
{
    return xch->dmod;
}

/* Indexed by enum xc_error_code. */
static const char *const error_names[] = {
    [XC_ERROR_NONE]     = "No error",
    [XC_INTERNAL_ERROR] = "Internal error",
    [XC_INVALID_KERNEL] = "Invalid kernel",
    [XC_INVALID_PARAM]  = "Invalid configuration",
    [XC_OUT_OF_MEMORY]  = "Out of memory",
};

const char *xc_error_code_to_desc(int code)
{
    if (code < 0 || (size_t)code >= sizeof(error_names) / sizeof(error_names[0])) {
        return "Unknown error code";
    }
    return error_names[code];
}

const char *xc_strerror(xc_interface *xch, int errcode)
{
    return strerror(errcode);
}

const xc_error *xc_get_last_error(xc_interface *xch)
{
    return last_error(xch);
}

void xc_clear_last_error(xc_interface *xch)
{
    struct xc_error *e = last_error(xch);

    e->code = XC_ERROR_NONE;
    e->message[0] = '\0';
}

void xc_reportv(xc_interface *xch, xentoollog_logger *lg, xentoollog_level level, int code,
                const char *fmt, va_list args)
{
    int saved = errno;
    char message[XC_MAX_ERROR_MSG_LEN];

    vsnprintf(message, sizeof(message), fmt, args);
    if (level >= XTL_ERROR) {
        struct xc_error *e = last_error(xch);

        e->code = code;
        memcpy(e->message, message, sizeof(message));
    }
    xtl_log(lg ? lg : xch->error_handler, level, -1, "xc", "%s%s%s", message,
            code > XC_INTERNAL_ERROR ? ": " : "",
            code > XC_INTERNAL_ERROR ? xc_error_code_to_desc(code) : "");
    errno = saved;
}

void xc_report(xc_interface *xch, xentoollog_logger *lg, xentoollog_level level, int code,
               const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    xc_reportv(xch, lg, level, code, fmt, args);
    va_end(args);
}

void xc_report_error(xc_interface *xch, int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    xc_reportv(xch, xch->error_handler, XTL_ERROR, code, fmt, args);
    va_end(args);
}

const char *xc_set_progress_prefix(xc_interface *xch, const char *doing)
{
    const char *old = xch->currently_progress_reporting;

    xch->currently_progress_reporting = doing;
    return old;
}

void xc_report_progress_single(xc_interface *xch, const char *doing)
{
    xtl_progress(xch->error_handler, "xc", doing, 0, 0);
}

void xc_report_progress_step(xc_interface *xch, unsigned long done, unsigned long total)
{
    const char *doing = xch->currently_progress_reporting;

    xtl_progress(xch->error_handler, "xc", doing ? doing : "", done, total);
}
