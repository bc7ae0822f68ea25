/* SPDX-License-Identifier: MIT */
/* The configuration parser: what it accepts, what it refuses, and that it says where. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libxl_utils.h>
#include <libxlutil.h>

static char *report_text;
static size_t report_len;
static FILE *report;

static XLU_Config *parse(const char *text, int expect)
{
    XLU_Config *cfg;

    if (report) {
        fclose(report);
        free(report_text);
    }
    report = open_memstream(&report_text, &report_len);
    cfg = xlu_cfg_init(report, "t.cfg");
    assert_non_null(cfg);
    assert_int_equal(xlu_cfg_readdata(cfg, text, (int)strlen(text)), expect);
    return cfg;
}

static void assert_report(const char *part)
{
    fflush(report);
    if (!strstr(report_text, part)) {
        fail_msg("the report '%s' does not hold '%s'", report_text, part);
    }
}

static void values(void **state)
{
    XLU_Config *cfg = parse("name = \"a\\x41\\\"b\\101\"\nvcpus=2;memory = 0x100 # comment\n\n; # only\nquoted='it is'", 0);
    const char *s;
    long n;

    assert_int_equal(xlu_cfg_get_string(cfg, "name", &s, 0), 0);
    assert_string_equal(s, "aA\"bA");
    assert_int_equal(xlu_cfg_get_long(cfg, "vcpus", &n, 0), 0);
    assert_int_equal(n, 2);
    assert_int_equal(xlu_cfg_get_long(cfg, "memory", &n, 0), 0);
    assert_int_equal(n, 256);
    assert_int_equal(xlu_cfg_get_string(cfg, "quoted", &s, 0), 0);
    assert_string_equal(s, "it is");
    assert_int_equal(xlu_cfg_get_string(cfg, "absent", &s, 0), ESRCH);
    assert_int_equal(xlu_cfg_get_bounded_long(cfg, "vcpus", 3, 9, &n, 0), EINVAL);
    assert_report("t.cfg:2: vcpus = 2 is out of range (3 to 9)");
    xlu_cfg_destroy(cfg);
}

static void lists(void **state)
{
    XLU_Config *cfg = parse("disk = [ 'a', # one\n  'b',\n]\ndisk += ['c']\nv=[['x','y'],[]]\ns='1'\ns+='2'\n", 0);
    XLU_ConfigList *list, *inner;
    libxl_string_list sl = NULL;
    const char *s;
    int nr;

    assert_int_equal(xlu_cfg_get_list(cfg, "disk", &list, &nr, 0), 0);
    assert_int_equal(nr, 3);
    assert_string_equal(xlu_cfg_get_listitem(list, 2), "c");
    assert_null(xlu_cfg_get_listitem(list, 3));
    assert_null(xlu_cfg_get_listitem(list, -1));
    assert_int_equal(xlu_cfg_get_list_as_string_list(cfg, "disk", &sl, 0), 0);
    assert_int_equal(libxl_string_list_length(&sl), 3);
    libxl_string_list_dispose(&sl);
    assert_int_equal(xlu_cfg_get_list_as_string_list(cfg, "v", &sl, 0), EINVAL);
    assert_int_equal(xlu_cfg_get_list(cfg, "v", &list, &nr, 0), 0);
    assert_int_equal(xlu_cfg_value_get_list(cfg, xlu_cfg_get_listitem2(list, 0), &inner, 0), 0);
    assert_string_equal(xlu_cfg_get_listitem(inner, 1), "y");
    assert_int_equal(xlu_cfg_get_string(cfg, "s", &s, 0), 0);
    assert_string_equal(s, "12");
    xlu_cfg_destroy(cfg);
}

static void refusals(void **state)
{
    static const struct { const char *text, *report; } bad[] = {
        { "a = \"b", "t.cfg:1:7: the string is not closed" },
        { "a = 1\nb 2\n", "t.cfg:2:3: '=' is expected after b, not '2'" },
        { "a = [ 1, 2\n", "the list opened on line 1 is not closed" },
        { "a = [ 1 2 ]", "',' or ']' expected" },
        { "a = \n", "not end of line" },
        { "a = 12q\n", "'12q' is neither a number nor a quoted string" },
        { "Name = 1\n", "t.cfg:1:1: a key" },
        { "a = 1 b = 2\n", "end of line or ';' is expected" },
        { "a = [1]\na += 2\n", "a is a list, so += needs one too" },
        { "a = '\\x'\n", "needs hexadecimal digits" },
        { "a = '\\0'\n", "stands for no character" },
        { "a = [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", "nested deeper" },
        { "\x01", "not \\x01" },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        XLU_Config *cfg = parse(bad[i].text, EINVAL);

        assert_report(bad[i].report);
        xlu_cfg_destroy(cfg);
    }
}

static void wrong_kinds(void **state)
{
    XLU_Config *cfg = parse("a = 'x'\nl = [1]\nbig = 99999999999999999999\nyes = 1\ntwo = 2\n", 0);
    const char *s, *where;
    libxl_defbool b;
    long n;

    libxl_defbool_unset(&b);
    assert_int_equal(xlu_cfg_get_long(cfg, "a", &n, 0), EINVAL);
    assert_report("t.cfg:1: a must be a number, not \"x\"");
    assert_int_equal(xlu_cfg_get_string(cfg, "l", &s, 0), EINVAL);
    assert_report("t.cfg:2: l must be a single value, not a list");
    assert_int_equal(xlu_cfg_get_long(cfg, "big", &n, 1), ERANGE);
    assert_int_equal(xlu_cfg_get_defbool(cfg, "yes", &b, 0), 0);
    assert_true(libxl_defbool_val(b));
    assert_int_equal(xlu_cfg_get_defbool(cfg, "two", &b, 1), EINVAL);
    assert_string_equal(xlu_cfg_key(cfg, 2, &where), "big");
    assert_string_equal(where, "t.cfg:3");
    assert_null(xlu_cfg_key(cfg, 5, NULL));
    xlu_cfg_destroy(cfg);
}

/* A later setting wins, also one from other text with its own name in messages. */
static void several_texts(void **state)
{
    XLU_Config *cfg = parse("a = 1\nb = 2\n", 0);
    long n;

    assert_int_equal(xlu_cfg_readdata_label(cfg, "command line", "a=3", 3), 0);
    assert_int_equal(xlu_cfg_get_long(cfg, "a", &n, 0), 0);
    assert_int_equal(n, 3);
    xlu_cfg_complain(cfg, "a", "oops");
    assert_report("command line:1: oops");
    assert_int_equal(xlu_cfg_readfile(cfg, "/nonexistent"), ENOENT);
    assert_report("/nonexistent: No such file");
    xlu_cfg_destroy(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values), cmocka_unit_test(lists), cmocka_unit_test(refusals),
        cmocka_unit_test(wrong_kinds), cmocka_unit_test(several_texts),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    if (report) {
        fclose(report);
        free(report_text);
    }
    return rc;
}
