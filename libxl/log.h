/* SPDX-License-Identifier: MIT */
/*
 * Messages to the program's xentoollog logger, with what is known of where and about whom.
 *
 * Warnings and errors are for the person who ran the command: one line, the cause, no source
 * position. Anything finer carries file:line:function as a developer wants it.
 */
#ifndef LX_LOG_H
#define LX_LOG_H

#include <libxl.h>

/* For domid when the message is about no domain. */
#define LX_NO_DOMID (~(uint32_t)0)

/* Keeps errno. ctx NULL: nowhere to log to, dropped. errnoval -1: none. */
void lx_log(libxl_ctx *ctx, xentoollog_level level, int errnoval, const char *file, int line,
            const char *func, uint32_t domid, const char *fmt, ...)
    __attribute__((format(printf, 8, 9)));

#define LX_LOGX(ctx, level, errnoval, domid, ...)                                           \
    lx_log((ctx), XTL_##level, (errnoval), __FILE__, __LINE__, __func__, (domid), __VA_ARGS__)

/* With a gc in scope. D: about a domain. E: with errno's text. EV: with that of errnoval. */
#define LX_LOG(level, ...) LX_LOGX(gc->ctx, level, -1, LX_NO_DOMID, __VA_ARGS__)
#define LX_LOGD(level, domid, ...) LX_LOGX(gc->ctx, level, -1, domid, __VA_ARGS__)
#define LX_LOGE(level, ...) LX_LOGX(gc->ctx, level, errno, LX_NO_DOMID, __VA_ARGS__)
#define LX_LOGED(level, domid, ...) LX_LOGX(gc->ctx, level, errno, domid, __VA_ARGS__)
#define LX_LOGEV(level, errnoval, ...) LX_LOGX(gc->ctx, level, errnoval, LX_NO_DOMID, __VA_ARGS__)

#endif
