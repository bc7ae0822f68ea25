/* SPDX-License-Identifier: MIT */
/*
 * Where the Xen tools libraries send their messages: a logger that the program chooses.
 */
#ifndef XENTOOLLOG_H
#define XENTOOLLOG_H

#include <stdarg.h>
#include <stdio.h>

typedef enum xentoollog_level {
    XTL_NONE,
    XTL_DEBUG,
    XTL_VERBOSE,
    XTL_DETAIL,
    XTL_PROGRESS,
    XTL_INFO,
    XTL_NOTICE,
    XTL_WARN,
    XTL_ERROR,
    XTL_CRITICAL,
    XTL_NUM_LEVELS
} xentoollog_level;

typedef struct xentoollog_logger xentoollog_logger;

/* Every logger starts with this; its own data follow. */
struct xentoollog_logger {
    /* errnoval: an errno, or -1. context: e.g. "xc", or NULL. format has no newline. */
    void (*vmessage)(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
                     const char *context, const char *format, va_list al)
        __attribute__((format(printf, 5, 0)));
    /* May be NULL. Called with done == 0 first for every new thing that is being done. */
    void (*progress)(struct xentoollog_logger *logger, const char *context,
                     const char *doing_what, int percent, unsigned long done,
                     unsigned long total);
    void (*destroy)(struct xentoollog_logger *logger);
};

#define XTL_STDIOSTREAM_SHOW_PID        001u
#define XTL_STDIOSTREAM_SHOW_DATE       002u
#define XTL_STDIOSTREAM_HIDE_PROGRESS   004u
#define XTL_STDIOSTREAM_PROGRESS_USE_CR 010u
#define XTL_STDIOSTREAM_PROGRESS_NO_CR  020u

typedef struct xentoollog_logger_stdiostream xentoollog_logger_stdiostream;

/*
 * A logger that writes lines to f, dropping those below min_level. Progress overwrites its own
 * line if f is a terminal, unless flags say otherwise. f is borrowed: destroying the logger does
 * not close it. NULL if there is no memory (which has then been logged to f).
 */
xentoollog_logger_stdiostream *xtl_createlogger_stdiostream(FILE *f, xentoollog_level min_level,
                                                            unsigned flags);
void xtl_stdiostream_set_minlevel(xentoollog_logger_stdiostream *lg, xentoollog_level min_level);
/* Clears, then sets. */
void xtl_stdiostream_adjust_flags(xentoollog_logger_stdiostream *lg, unsigned set_flags,
                                  unsigned clear_flags);

/* logger may be NULL. */
void xtl_logger_destroy(struct xentoollog_logger *logger);

/* For those who have something to say. All keep errno. */
void xtl_logv(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
              const char *context, const char *format, va_list al)
    __attribute__((format(printf, 5, 0)));
void xtl_log(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
             const char *context, const char *format, ...) __attribute__((format(printf, 5, 6)));
void xtl_progress(struct xentoollog_logger *logger, const char *context, const char *doing_what,
                  unsigned long done, unsigned long total);

/* A static string for any number. */
const char *xtl_level_to_string(xentoollog_level level);

/*
 * For those who write a logger called LOGGER, of type xentoollog_logger_LOGGER with a member
 * "vtable" first: fills buffer's vtable with LOGGER_vmessage, LOGGER_progress and LOGGER_destroy
 * and returns a copy of buffer from malloc(). Without memory it logs through buffer, gives NULL.
 */
#define XTL_NEW_LOGGER(LOGGER, buffer) ({ \
    xentoollog_logger_##LOGGER *xtl_new_ = malloc(sizeof(*xtl_new_)); \
    (buffer).vtable.destroy = LOGGER##_destroy; \
    (buffer).vtable.progress = LOGGER##_progress; \
    (buffer).vtable.vmessage = LOGGER##_vmessage; \
    if (xtl_new_) \
        *xtl_new_ = (buffer); \
    else \
        xtl_log((xentoollog_logger *)&(buffer), XTL_CRITICAL, errno, "xtl", \
                "no memory for a logger"); \
    xtl_new_; \
})

#endif
