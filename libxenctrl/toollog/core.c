/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>

#include "include/xentoollog.h"

static const char *const level_names[] = {
    [XTL_NONE] = "[BUG:XTL_NONE]",   [XTL_DEBUG] = "debug",   [XTL_VERBOSE] = "verbose",
    [XTL_DETAIL] = "detail",     [XTL_PROGRESS] = "progress", [XTL_INFO] = "info",
    [XTL_NOTICE] = "notice",     [XTL_WARN] = "warning",  [XTL_ERROR] = "error",
    [XTL_CRITICAL] = "critical",
};

const char *xtl_level_to_string(xentoollog_level level)
{
    return (unsigned)level < XTL_NUM_LEVELS ? level_names[level] : "[BUG:unknown-level!]";
}

void xtl_logv(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
              const char *context, const char *format, va_list al)
{
    int saved = errno;

    logger->vmessage(logger, level, errnoval, context, format, al);
    errno = saved;
}

void xtl_log(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
             const char *context, const char *format, ...)
{
    va_list al;

    va_start(al, format);
    xtl_logv(logger, level, errnoval, context, format, al);
    va_end(al);
}

void xtl_progress(struct xentoollog_logger *logger, const char *context, const char *doing_what,
                  unsigned long done, unsigned long total)
{
    int saved = errno, percent = 0;

    if (!logger->progress)
        return;
    /* 128 bits, as bytes of a big machine times 100 pass 64. */
    if (total)
        percent = (int)((unsigned __int128)done * 100 / total);
    logger->progress(logger, context, doing_what, percent, done, total);
    errno = saved;
}

void xtl_logger_destroy(struct xentoollog_logger *logger)
{
    if (logger)
        logger->destroy(logger);
}
