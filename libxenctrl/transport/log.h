/* SPDX-License-Identifier: MIT */
/*
 * The logger of a library handle: the one that the caller gave, or one of our own on stderr.
 */
#ifndef KR_TRANSPORT_LOG_H
#define KR_TRANSPORT_LOG_H

#include "include/xentoollog.h"

struct kt_log {
    xentoollog_logger *lg;    /* where to log */
    xentoollog_logger *own;   /* to be destroyed with the handle, or NULL */
};

/* 0, or -1 with errno. */
int kt_log_init(struct kt_log *l, xentoollog_logger *given);
void kt_log_fini(struct kt_log *l);

/* Logs an error with the current errno, which it keeps. context: the library's name. */
void kt_log_errno(struct kt_log *l, const char *context, const char *what);

/* Logs why a handle could not be opened over the core; says where the core was looked for. */
void kt_log_no_core(struct kt_log *l, const char *context);

#endif
