/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *name;
    enum kr_log_level max_level;
    bool journal;
} log_ctx = { "krypton", KR_INFO, false };

void kr_log_init(const char *name, enum kr_log_level max_level)
{
    log_ctx.name = name;
    log_ctx.max_level = max_level;
    log_ctx.journal = getenv("JOURNAL_STREAM") != NULL;
}

void kr_log(enum kr_log_level level, const char *fmt, ...)
{
    int saved_errno = errno;
    char line[1024];
    int prefix, n;
    va_list ap;

    if (level > log_ctx.max_level) {
        return;
    }
    if (log_ctx.journal) {
        prefix = snprintf(line, sizeof(line), "<%d>", level);
    } else {
        prefix = snprintf(line, sizeof(line), "%s: ", log_ctx.name);
    }
    va_start(ap, fmt);
    n = vsnprintf(line + prefix, sizeof(line) - prefix - 1, fmt, ap);
    va_end(ap);
    if (n < 0) {
        return;
    }
    n = (int)strlen(line);
    for (int i = prefix; i < n; i++) {
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0) {
        /* Nowhere left to say so. */
    }
    errno = saved_errno;
}
