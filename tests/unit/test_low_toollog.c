/* SPDX-License-Identifier: MIT */
/* xentoollog's stdio logger: what its lines look like and which it drops. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "include/xentoollog.h"

struct sink {
    FILE *f;
    char *text;
    size_t len;
    xentoollog_logger_stdiostream *s;
    xentoollog_logger *lg;
};

static int setup(void **state)
{
    struct sink *k = calloc(1, sizeof(*k));

    k->f = open_memstream(&k->text, &k->len);
    k->s = xtl_createlogger_stdiostream(k->f, XTL_PROGRESS, 0);
    k->lg = (xentoollog_logger *)k->s;
    *state = k;
    return k->lg ? 0 : -1;
}

static int teardown(void **state)
{
    struct sink *k = *state;

    xtl_logger_destroy(k->lg);
    fclose(k->f);
    free(k->text);
    free(k);
    return 0;
}

/* All that was written since the last time. */
static const char *taken(struct sink *k)
{
    static char copy[4096];

    fflush(k->f);
    snprintf(copy, sizeof(copy), "%s", k->text);
    rewind(k->f);
    memset(k->text, 0, k->len);
    return copy;
}

static void lines(void **state)
{
    struct sink *k = *state;

    xtl_log(k->lg, XTL_ERROR, -1, "ctx", "a %d", 5);
    assert_string_equal(taken(k), "ctx: error: a 5\n");
    xtl_log(k->lg, XTL_WARN, ENOENT, NULL, "b");
    assert_string_equal(taken(k), "warning: b: No such file or directory\n");
    xtl_log(k->lg, XTL_VERBOSE, -1, "ctx", "below the level");
    xtl_log(k->lg, XTL_DETAIL, -1, "ctx", "below the level");
    assert_string_equal(taken(k), "");
    xtl_stdiostream_set_minlevel(k->s, XTL_DEBUG);
    xtl_log(k->lg, XTL_DEBUG, -1, "ctx", "now");
    assert_string_equal(taken(k), "ctx: debug: now\n");
}

static void __attribute__((format(printf, 2, 3))) log_list(struct sink *k, const char *format, ...)
{
    va_list al;

    va_start(al, format);
    xtl_logv(k->lg, XTL_NOTICE, EPERM, "list", format, al);
    va_end(al);
}

static void argument_lists(void **state)
{
    struct sink *k = *state;

    log_list(k, "%s and %u", "a", 7u);
    assert_string_equal(taken(k), "list: notice: a and 7: Operation not permitted\n");
}

static void keeps_errno(void **state)
{
    struct sink *k = *state;

    errno = EXDEV;
    xtl_log(k->lg, XTL_ERROR, EIO, "ctx", "x");
    xtl_progress(k->lg, "ctx", "doing", 1, 2);
    assert_int_equal(errno, EXDEV);
}

static void flags(void **state)
{
    struct sink *k = *state;
    char want[64];
    int y, mo, d, h, mi, s, at = 0;
    const char *got;

    xtl_stdiostream_adjust_flags(k->s, XTL_STDIOSTREAM_SHOW_PID, 0);
    xtl_log(k->lg, XTL_INFO, -1, "c", "x");
    snprintf(want, sizeof(want), "[%d] c: info: x\n", (int)getpid());
    assert_string_equal(taken(k), want);
    xtl_stdiostream_adjust_flags(k->s, XTL_STDIOSTREAM_SHOW_DATE, XTL_STDIOSTREAM_SHOW_PID);
    xtl_log(k->lg, XTL_INFO, -1, "c", "x");
    got = taken(k);
    assert_int_equal(sscanf(got, "%4d-%2d-%2d %2d:%2d:%2d %*s %n", &y, &mo, &d, &h, &mi, &s, &at),
                     6);
    assert_true(y >= 2024 && at > 20);
    assert_string_equal(got + at, "c: info: x\n");
    /* What is both set and cleared is set. */
    xtl_stdiostream_adjust_flags(k->s, XTL_STDIOSTREAM_SHOW_PID,
                                 XTL_STDIOSTREAM_SHOW_PID | XTL_STDIOSTREAM_SHOW_DATE);
    xtl_log(k->lg, XTL_INFO, -1, "c", "x");
    assert_string_equal(taken(k), want);
}

static void progress_lines(void **state)
{
    struct sink *k = *state;

    xtl_stdiostream_adjust_flags(k->s, XTL_STDIOSTREAM_PROGRESS_NO_CR, 0);
    xtl_progress(k->lg, "c", "copying", 0, 1000);
    assert_string_equal(taken(k), "c: progress: copying: 0/1000    0%\n");
    xtl_progress(k->lg, "c", "copying", 50, 1000);
    assert_string_equal(taken(k), "");
    xtl_progress(k->lg, "c", "copying", 120, 1000);
    assert_string_equal(taken(k), "c: progress: copying: 120/1000   12%\n");
    xtl_progress(k->lg, "c", "copying", 1000, 1000);
    assert_string_equal(taken(k), "c: progress: copying: 1000/1000  100%\n");
    /* Products beyond 64 bits. */
    xtl_progress(k->lg, "c", "big", 1ul << 63, ~0ul);
    assert_non_null(strstr(taken(k), " 50%"));
    xtl_progress(k->lg, "c", "nothing", 0, 0);
    assert_non_null(strstr(taken(k), "0/0    0%"));
}

static void progress_in_place(void **state)
{
    struct sink *k = *state;

    xtl_stdiostream_adjust_flags(k->s, XTL_STDIOSTREAM_PROGRESS_USE_CR, 0);
    xtl_progress(k->lg, NULL, "copying", 1, 10);
    assert_string_equal(taken(k), "\rcopying: 1/10   10%");
    xtl_progress(k->lg, NULL, "cop", 2, 10);
    assert_string_equal(taken(k), "\rcop: 2/10   20%    \b\b\b\b");
    /* A message wipes the unfinished line first. */
    xtl_log(k->lg, XTL_ERROR, -1, NULL, "oh");
    assert_string_equal(taken(k), "\r               \rerror: oh\n");
    xtl_progress(k->lg, NULL, "cop", 10, 10);
    assert_string_equal(taken(k), "\rcop: 10/10  100%\n");
    xtl_stdiostream_adjust_flags(k->s, XTL_STDIOSTREAM_HIDE_PROGRESS, 0);
    xtl_progress(k->lg, NULL, "cop", 1, 10);
    assert_string_equal(taken(k), "");
}

static void level_names(void **state)
{
    assert_string_equal(xtl_level_to_string(XTL_CRITICAL), "critical");
    assert_string_equal(xtl_level_to_string(XTL_NOTICE), "notice");
    assert_non_null(xtl_level_to_string(XTL_NONE));
    assert_non_null(xtl_level_to_string((xentoollog_level)-1));
    assert_non_null(xtl_level_to_string((xentoollog_level)1000));
    xtl_logger_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines, setup, teardown),
        cmocka_unit_test_setup_teardown(argument_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_errno, setup, teardown),
        cmocka_unit_test_setup_teardown(flags, setup, teardown),
        cmocka_unit_test_setup_teardown(progress_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(progress_in_place, setup, teardown),
        cmocka_unit_test(level_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
