/* SPDX-License-Identifier: MIT */
/* CPU policies, maps, lists, files. CPU policies are held against Debian's libxenlight if it is there. */
#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <libxl_utils.h>

#include "libxl/builtins.h"
#include "libxl/cpuid_names.h"
#include "libxl/ctx.h"
#include "libxl/json.h"

#include "tests/unit/libxl_fake.h"

static libxl_ctx ctx = { .lg = &fake_logger };
static void *stock;

/* ---- CPU policies */

static char *policy_json(libxl_cpuid_policy_list *list)
{
    yajl_gen g = libxl_yajl_gen_alloc(NULL);
    char *s;

    libxl_cpuid_policy_list_gen_json(g, list);
    s = lx_json_finish(g);
    yajl_gen_free(g);
    return s;
}

typedef int parse_fn(libxl_cpuid_policy_list *, const char *);

/* Both libraries answer alike, and have made the same of it: the representation is the same too. */
static void compare(const char *function, parse_fn *ours, const char *text)
{
    parse_fn *theirs = (parse_fn *)dlsym(stock, function);
    libxl_cpuid_policy_list a = NULL, b = NULL;
    char *ja, *jb;
    int ra, rb;

    assert_non_null(theirs);
    ra = ours(&a, text);
    rb = theirs(&b, text);
    if (ra != rb)
        fail_msg("%s: %d, stock %d", text, ra, rb);
    ja = policy_json(&a);
    jb = policy_json(&b);
    if (!ra && strcmp(ja, jb)) /* after a failure the stock list may hold an empty entry */
        fail_msg("%s: %s stock %s", text, ja, jb);
    free(ja);
    free(jb);
    libxl_cpuid_dispose(&a);
    libxl_cpuid_dispose(&b);
}

static void test_cpuid_as_stock(void **state)
{
    static const char *const values[] = { "0", "1", "x", "k", "s", "" };
    static const char *const others[] = { "sse", "nosuch=1", "=1", "vendor=abc", "family=15",
                                          "family=16", "family=255", "model=0x4f", "proccount=4",
                                          "procpkg=5", "1:ecx=0" };
    static const char *const xend[] = {
        "z:eax=0", "1,z:eax=00000000000000000000000000000000", "1eax", "1:eax",
        "1:zax=00000000000000000000000000000000", "1:eax=0",
        "0x1:eax=00000000000000000000000000000000",
        "1:eax=00000000000000000000000000000000,ebx=1111",
        "4,2:eax=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1,edx=kkkkkkkkkkkkkkkkssssssssssssssss",
    };

    if (!stock)
        skip();
    for (size_t i = 0; i < sizeof(cpuid_names) / sizeof(cpuid_names[0]); i++) {
        for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            char text[80];

            /* the stock library clears the extended family for these, rather than let it follow */
            if (!strcmp(cpuid_names[i].name, "family") && values[v][0] > '9')
                continue;
            snprintf(text, sizeof(text), "%s=%s", cpuid_names[i].name, values[v]);
            compare("libxl_cpuid_parse_config", libxl_cpuid_parse_config, text);
        }
    }
    for (size_t i = 0; i < sizeof(msr_names) / sizeof(msr_names[0]); i++) {
        char text[80];

        snprintf(text, sizeof(text), "%s=1", msr_names[i].name);
        compare("libxl_cpuid_parse_config", libxl_cpuid_parse_config, text);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        compare("libxl_cpuid_parse_config", libxl_cpuid_parse_config, others[i]);
    for (size_t i = 0; i < sizeof(xend) / sizeof(xend[0]); i++)
        compare("libxl_cpuid_parse_config_xend", libxl_cpuid_parse_config_xend, xend[i]);
}

static void test_cpuid_values(void **state)
{
    libxl_cpuid_policy_list l = NULL, copy;
    char *a, *b;

    assert_int_equal(libxl_cpuid_policy_list_length(&l), 0);
    assert_int_equal(libxl_cpuid_parse_config(&l, "sse2=2"), 3); /* 4.17 takes it for 0 */
    assert_int_equal(libxl_cpuid_parse_config(&l, "sse2=10"), 3);
    assert_int_equal(libxl_cpuid_parse_config(&l, "avx2=0"), 0);
    assert_int_equal(libxl_cpuid_parse_config(&l, "SSE2=0"), 0);
    assert_int_equal(libxl_cpuid_parse_config(&l, "sse=k"), 0);
    assert_int_equal(libxl_cpuid_parse_config(&l, "rdcl-no=1"), 0);
    assert_int_equal(libxl_cpuid_policy_list_length(&l), 2);
    assert_int_equal(l->cpuid[0].leaf, 1); /* sorted, whatever came first */
    assert_int_equal(l->cpuid[1].leaf, 7);
    assert_string_equal(l->cpuid[0].policy[3], "xxxxx0kxxxxxxxxxxxxxxxxxxxxxxxxx");
    libxl_cpuid_policy_list_copy(&ctx, &copy, &l);
    a = policy_json(&l);
    b = policy_json(&copy);
    assert_string_equal(a, b);
    free(a);
    free(b);
    libxl_cpuid_dispose(&l);
    libxl_cpuid_dispose(&l);
    libxl_cpuid_dispose(&copy);
    assert_null(l);
}

/* ---- maps */

static void test_bitmaps(void **state)
{
    libxl_bitmap a, b, c;
    char *hex;

    libxl_bitmap_init(&a);
    libxl_bitmap_init(&b);
    assert_int_equal(libxl_bitmap_alloc(&ctx, &a, -1), ERROR_INVAL);
    libxl_bitmap_alloc(&ctx, &a, 9);
    assert_int_equal(a.size, 2);
    libxl_bitmap_alloc(&ctx, &b, 24);
    libxl_bitmap_set(&a, 0);
    libxl_bitmap_set(&a, 9);
    libxl_bitmap_set(&a, 16); /* outside: nothing happens */
    libxl_bitmap_set(&a, -1);
    assert_int_equal(libxl_bitmap_count_set(&a), 2);
    assert_false(libxl_bitmap_test(&a, 16));
    libxl_bitmap_set(&b, 9);
    libxl_bitmap_set(&b, 23);
    libxl_bitmap_or(&ctx, &c, &a, &b);
    assert_int_equal(c.size, 3);
    assert_int_equal(libxl_bitmap_count_set(&c), 3);
    hex = libxl_bitmap_to_hex_string(&ctx, &c);
    assert_string_equal(hex, "0x800201");
    free(hex);
    libxl_bitmap_and(&ctx, &c, &c, &a); /* in place */
    assert_int_equal(c.size, 2);
    assert_true(libxl_bitmap_equal(&c, &a, 0));
    libxl_bitmap_copy(&ctx, &b, &a);
    assert_true(libxl_bitmap_equal(&b, &a, 0));
    libxl_bitmap_set_any(&a);
    assert_true(libxl_bitmap_is_full(&a));
    libxl_bitmap_set_none(&a);
    assert_true(libxl_bitmap_is_empty(&a));
    libxl_bitmap_dispose(&a);
    libxl_bitmap_dispose(&a);
    libxl_bitmap_dispose(&b);
    libxl_bitmap_dispose(&c);
}

static void test_topology_maps(void **state)
{
    libxl_bitmap cpus, nodes, sockets;

    libxl_bitmap_init(&cpus);
    libxl_bitmap_init(&nodes);
    libxl_bitmap_init(&sockets);
    assert_int_equal(libxl_cpu_bitmap_alloc(&ctx, &cpus, 0), 0);
    assert_int_equal(libxl_node_bitmap_alloc(&ctx, &nodes, 0), 0);
    assert_int_equal(libxl_socket_bitmap_alloc(&ctx, &sockets, 0), 0);
    assert_int_equal(libxl_get_online_socketmap(&ctx, &sockets), 0);
    assert_int_equal(libxl_bitmap_count_set(&sockets), 2);
    assert_int_equal(libxl_node_to_cpumap(&ctx, 0, &cpus), 0);
    assert_int_equal(libxl_bitmap_count_set(&cpus), 4);
    assert_int_equal(libxl_cpumap_to_nodemap(&ctx, &cpus, &nodes), 0);
    assert_int_equal(libxl_bitmap_count_set(&nodes), 1);
    libxl_bitmap_dispose(&cpus);
    libxl_bitmap_dispose(&nodes);
    libxl_bitmap_dispose(&sockets);
}

/* ---- lists, uuids, files */

static void test_lists_and_uuids(void **state)
{
    char *strings[] = { (char *)"a", (char *)"b", NULL };
    char *pairs[] = { (char *)"k", (char *)"v", (char *)"l", NULL, NULL };
    libxl_string_list sl = strings, sl2;
    libxl_key_value_list kl = pairs, kl2;
    libxl_uuid u, v;

    libxl_string_list_copy(&ctx, &sl2, &sl);
    assert_int_equal(libxl_string_list_length(&sl2), 2);
    libxl_string_list_dispose(&sl2);
    assert_int_equal(libxl_string_list_length(&sl2), 0);
    libxl_key_value_list_copy(&ctx, &kl2, &kl);
    assert_int_equal(libxl_key_value_list_length(&kl2), 2);
    libxl_key_value_list_dispose(&kl2);

    assert_int_equal(libxl_uuid_from_string(&u, "124cefe4-ff5e-4d37-a65a-0a41ee62890"), -1);
    assert_int_equal(libxl_uuid_from_string(&u, "124CEFE4-ff5e-4d37-a65a-0a41ee62890c"), 0);
    libxl_uuid_clear(&v);
    assert_true(libxl_uuid_is_nil(&v));
    assert_true(libxl_uuid_compare(&u, &v) > 0);
    libxl_uuid_copy(NULL, &v, &u);
    assert_int_equal(libxl_uuid_compare(&u, &v), 0);
}

static void test_files(void **state)
{
    char path[] = "/tmp/test-libxl-file-XXXXXX";
    int fd = mkstemp(path), len;
    void *data;
    char buf[8];

    assert_int_equal(libxl_write_exactly(&ctx, fd, "hello", 5, path, "text"), 0);
    assert_int_equal(libxl_read_file_contents(&ctx, path, &data, &len), 0);
    assert_int_equal(len, 5);
    assert_memory_equal(data, "hello", 5);
    free(data);
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(libxl_read_exactly(&ctx, fd, buf, 8, path, "text"), EPROTO);
    close(fd);
    unlink(path);
    assert_int_equal(libxl_read_file_contents(&ctx, path, &data, &len), ENOENT);
    assert_int_equal(libxl_read_file_contents(&ctx, "/tmp", &data, &len), ENOTTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpuid_as_stock),  cmocka_unit_test(test_cpuid_values),
        cmocka_unit_test(test_bitmaps),         cmocka_unit_test(test_topology_maps),
        cmocka_unit_test(test_lists_and_uuids), cmocka_unit_test(test_files),
    };

    stock = dlopen("/usr/lib/x86_64-linux-gnu/libxenlight.so.4.17.0", RTLD_NOW | RTLD_LOCAL);
    fake_reset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
