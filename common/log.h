/* SPDX-License-Identifier: MIT */
/*
 * The daemons' log: one line per event on stderr, with the daemon's name; under systemd (where
 * $JOURNAL_STREAM is set) with the journal's <N> priority prefix instead.
 *
 * Never: allocates, blocks beyond the write itself, or interprets logged text.
 */
#ifndef KR_COMMON_LOG_H
#define KR_COMMON_LOG_H

#include <stdbool.h>

/* Numbers are syslog's. */
enum kr_log_level { KR_ERR = 3, KR_WARN = 4, KR_NOTICE = 5, KR_INFO = 6, KR_DEBUG = 7 };

/* name must stay valid. Lines above max_level are dropped (default KR_INFO). */
void kr_log_init(const char *name, enum kr_log_level max_level);

/* Control characters in the finished line are shown as '?': guests can reach some of the arguments. */
void kr_log(enum kr_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Logs each call site once. */
#define kr_log_once(level, ...)                                       \
    do {                                                              \
        static bool kr_logged_;                                       \
        if (!__atomic_exchange_n(&kr_logged_, true, __ATOMIC_RELAXED)) \
            kr_log(level, __VA_ARGS__);                               \
    } while (0)

#endif
