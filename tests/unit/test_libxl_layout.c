/* SPDX-License-Identifier: MIT */
/* Our types against those of Debian's libxen-dev: size of each, offset of each field, each
 * constant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/libxl_layout.h"

#include <libxl.h>

static const struct layout ours[] = {
#include "tests/unit/libxl_layout_rows.h"
};

static void test_layout(void **state)
{
    unsigned n = sizeof(ours) / sizeof(ours[0]), wrong = 0;

    if (!stock_layout_count)
        skip(); /* libxen-dev is not installed */
    assert_int_equal(n, stock_layout_count);
    assert_true(n > 900);
    for (unsigned i = 0; i < n; i++) {
        assert_string_equal(ours[i].what, stock_layout[i].what);
        if (ours[i].value != stock_layout[i].value || ours[i].size != stock_layout[i].size) {
            print_error("%s: %ld (size %lu), in 4.17 %ld (size %lu)\n", ours[i].what, ours[i].value,
                        ours[i].size, stock_layout[i].value, stock_layout[i].size);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_layout) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
