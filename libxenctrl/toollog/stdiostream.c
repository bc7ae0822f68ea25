/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "include/xentoollog.h"

struct xentoollog_logger_stdiostream {
    xentoollog_logger vtable;
    FILE *f;
    xentoollog_level min_level;
    unsigned flags;
    int progress_erase_len;   /* characters of an unfinished progress line on the terminal */
    int last_percent;         /* of the line logged last, where progress is logged line by line */
};

static bool uses_cr(const xentoollog_logger_stdiostream *lg)
{
    if (lg->flags & XTL_STDIOSTREAM_PROGRESS_NO_CR)
        return false;
    return (lg->flags & XTL_STDIOSTREAM_PROGRESS_USE_CR) || isatty(fileno(lg->f)) > 0;
}

/* Overwrites a progress line that stands there, so that a message starts on a clean one. */
static void erase_progress(xentoollog_logger_stdiostream *lg)
{
    if (lg->progress_erase_len)
        fprintf(lg->f, "\r%*s\r", lg->progress_erase_len, "");
    lg->progress_erase_len = 0;
}

static void stdiostream_vmessage(xentoollog_logger *logger, xentoollog_level level, int errnoval,
                                 const char *context, const char *format, va_list al)
{
    xentoollog_logger_stdiostream *lg = (void *)logger;

    if (level < lg->min_level)
        return;
    flockfile(lg->f);
    erase_progress(lg);
    if (lg->flags & XTL_STDIOSTREAM_SHOW_DATE) {
        time_t now = time(NULL);
        struct tm tm;
        char date[64];

        if (localtime_r(&now, &tm) && strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %Z ", &tm))
            fputs(date, lg->f);
        else
            fprintf(lg->f, "[time %lld] ", (long long)now);
    }
    if (lg->flags & XTL_STDIOSTREAM_SHOW_PID)
        fprintf(lg->f, "[%lu] ", (unsigned long)getpid());
    if (context)
        fprintf(lg->f, "%s: ", context);
    fprintf(lg->f, "%s: ", xtl_level_to_string(level));
    vfprintf(lg->f, format, al);
    if (errnoval >= 0)
        fprintf(lg->f, ": %s", strerror(errnoval));
    putc('\n', lg->f);
    fflush(lg->f);
    funlockfile(lg->f);
}

/* Without \r every step is a line: only each tenth percent is worth one. */
static void progress_line(xentoollog_logger_stdiostream *lg, const char *context,
                          const char *doing_what, int percent, unsigned long done,
                          unsigned long total)
{
    int step = percent - lg->last_percent;

    if (done && done != total && step >= 0 && step < 10)
        return;
    lg->last_percent = percent;
    xtl_log(&lg->vtable, XTL_PROGRESS, -1, context, "%s: %lu/%lu  %3d%%", doing_what, done, total,
            percent);
}

static void stdiostream_progress(xentoollog_logger *logger, const char *context,
                                 const char *doing_what, int percent, unsigned long done,
                                 unsigned long total)
{
    xentoollog_logger_stdiostream *lg = (void *)logger;
    int len, extra;

    if (lg->flags & XTL_STDIOSTREAM_HIDE_PROGRESS)
        return;
    if (!uses_cr(lg)) {
        progress_line(lg, context, doing_what, percent, done, total);
        return;
    }
    if (lg->min_level > XTL_PROGRESS)
        return;
    flockfile(lg->f);
    putc('\r', lg->f);
    len = fprintf(lg->f, "%s%s%s: %lu/%lu  %3d%%%s", context ? context : "",
                  context ? ": " : "", doing_what, done, total, percent,
                  done == total ? "\n" : "");
    extra = lg->progress_erase_len - len;
    if (done == total || len < 0) {
        len = 0;
    } else if (extra > 0) {
        /* Blank what a longer line has left, and go back to the end of this one. */
        fprintf(lg->f, "%*s", extra, "");
        while (extra-- > 0)
            putc('\b', lg->f);
    }
    lg->progress_erase_len = len;
    fflush(lg->f);
    funlockfile(lg->f);
}

static void stdiostream_destroy(xentoollog_logger *logger)
{
    xentoollog_logger_stdiostream *lg = (void *)logger;

    erase_progress(lg);
    free(lg);
}

void xtl_stdiostream_set_minlevel(xentoollog_logger_stdiostream *lg, xentoollog_level min_level)
{
    lg->min_level = min_level;
}

void xtl_stdiostream_adjust_flags(xentoollog_logger_stdiostream *lg, unsigned set_flags,
                                  unsigned clear_flags)
{
    lg->flags = (lg->flags & ~clear_flags) | set_flags;
    if (set_flags & XTL_STDIOSTREAM_HIDE_PROGRESS)
        erase_progress(lg);
}

xentoollog_logger_stdiostream *xtl_createlogger_stdiostream(FILE *f, xentoollog_level min_level,
                                                            unsigned flags)
{
    xentoollog_logger_stdiostream lg = {
        .f = f, .min_level = min_level, .flags = flags};

    return XTL_NEW_LOGGER(stdiostream, lg);
}
