/* SPDX-License-Identifier: MIT */
/*
 * Every type of the description: random values survive JSON and copying, hostile JSON is refused
 * with its place named; and where Debian's libxenlight is installed, each type starts and is
 * written exactly as there.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "libxl/builtins.h"
#include "libxl/ctx.h"
#include "libxl/types.h"

#define STRUCT_TYPE(t) extern const struct lx_type lx_type_##t;
#define ENUM_TYPE(t) extern const struct lx_type lx_type_##t;
#include "libxl/_types_layout.h"
#undef STRUCT_TYPE
#undef ENUM_TYPE

static const struct lx_type *const struct_types[] = {
#define STRUCT_TYPE(t) &lx_type_##t,
#include "libxl/_types_layout.h"
#undef STRUCT_TYPE
};
static const struct lx_type *const enum_types[] = {
#define ENUM_TYPE(t) &lx_type_##t,
#include "libxl/_types_layout.h"
#undef ENUM_TYPE
};
#define N(a) (sizeof(a) / sizeof((a)[0]))

/* ---- a logger that keeps the last line */

static char last_log[1024];

static void keep_line(xentoollog_logger *lg, xentoollog_level level, int errnoval,
                      const char *context, const char *format, va_list al)
{
    if (level >= XTL_WARN)
        vsnprintf(last_log, sizeof(last_log), format, al);
}

static void no_progress(xentoollog_logger *lg, const char *context, const char *what, int percent,
                        unsigned long done, unsigned long total)
{
}

static xentoollog_logger logger = { .vmessage = keep_line, .progress = no_progress };
static libxl_ctx ctx = { .lg = &logger };

/* ---- random values */

static uint64_t seed = 88172645463325252ULL;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static char *rnd_string(void)
{
    static const char *const some[] = { "a", "x y", "\"quoted\"", "tab\tnew\nline",
                                        "\xc3\xa4", "/dev/xvda" };

    return strdup(some[rnd() % N(some)]);
}

static void rnd_opaque(const struct lx_type *t, void *p)
{
    if (t == &lx_type_bitmap) {
        libxl_bitmap_alloc(&ctx, p, 1 + (int)(rnd() % 64));
        /* JSON tells a map's size by its highest bit */
        libxl_bitmap_set(p, ((libxl_bitmap *)p)->size * 8 - 1);
        for (int i = 0; i < 5; i++)
            libxl_bitmap_set(p, (int)(rnd() % 64));
    } else if (t == &lx_type_defbool) {
        ((libxl_defbool *)p)->val = (int)(rnd() % 3) - 1;
    } else if (t == &lx_type_string_list || t == &lx_type_key_value_list) {
        char **l = calloc(5, sizeof(*l));

        for (int i = 0; i < 4; i++)
            l[i] = rnd_string();
        *(char ***)p = l;
    } else if (t == &lx_type_cpuid_policy_list) {
        static const char *const items[] = { "sse=0", "avx2=k", "family=30", "rdcl-no=1", "nx=s" };

        for (int i = 0; i < 3; i++)
            assert_int_equal(libxl_cpuid_parse_config(p, items[rnd() % N(items)]), 0);
    } else {
        for (size_t i = 0; i < t->size; i++)
            ((uint8_t *)p)[i] = (uint8_t)(rnd() | 1);
    }
}

static void rnd_fields(const struct lx_type *t, char *base);

static void rnd_value(const struct lx_type *t, void *p)
{
    const libxl_enum_string_table *names = t->names;
    int n = 0;

    switch (t->kind) {
    case LX_ENUM:
        while (names[n].s)
            n++;
        *(int *)p = names[rnd() % (unsigned)n].v;
        break;
    case LX_STRING:
        *(char **)p = rnd_string();
        break;
    case LX_CONST_STRING:
        break; /* not owned: nothing to free after JSON */
    case LX_OPAQUE:
        rnd_opaque(t, p);
        break;
    case LX_STRUCT:
        lx_type_init(t, p);
        rnd_fields(t, p);
        break;
    default:
        /* below 2^63: the stock library writes a larger for_user of an event as negative */
        lx_scalar_set(t, p, (int64_t)(rnd() >> (1 + rnd() % 63)));
    }
}

static void rnd_fields(const struct lx_type *t, char *base)
{
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct lx_field *f = &t->fields[i];
        char *p = base + f->offset;

        if (f->role == LX_UNION) {
            const struct lx_case *c = &f->cases[rnd() % f->n_cases];
            char key[32];

            snprintf(key, sizeof(key), "%.*s", (int)strcspn(c->name, "."), c->name);
            lx_type_init_key(t, base, key, c->value);
            if (c->type)
                rnd_fields(c->type, p);
        } else if (f->role == LX_ARRAY) {
            int n = (int)(rnd() % 4);

            *(int *)(base + f->aux) = n;
            *(char **)p = n ? calloc((size_t)n, f->type->size) : NULL;
            for (int j = 0; j < n; j++)
                rnd_value(f->type, *(char **)p + (size_t)j * f->type->size);
        } else if (rnd() % 4) {
            rnd_value(f->type, p);
        }
    }
}

/* ---- tests */

static void *stock;

#define ROUNDS 40

static void test_round_trip(void **state)
{
    for (size_t i = 0; i < N(struct_types); i++) {
        const struct lx_type *t = struct_types[i];

        for (int round = 0; round < ROUNDS; round++) {
            void *a = calloc(1, t->size), *b = calloc(1, t->size), *c = calloc(1, t->size);
            char *ja, *jb, *jc;

            rnd_value(t, a);
            ja = lx_type_to_json(&ctx, t, a);
            assert_non_null(ja);
            lx_type_init(t, b);
            assert_int_equal(lx_type_from_json(&ctx, t, b, ja), 0);
            jb = lx_type_to_json(&ctx, t, b);
            assert_string_equal(ja, jb);
            lx_type_copy(&ctx, t, c, a);
            jc = lx_type_to_json(&ctx, t, c);
            assert_string_equal(ja, jc);
            /* physinfo: the stock one leaves out half of hw_cap */
            if (stock && t != &lx_type_physinfo) {
                char name[128], *js;
                char *(*to_json)(libxl_ctx *, void *);

                snprintf(name, sizeof(name), "libxl_%s_to_json", t->name);
                to_json = (char *(*)(libxl_ctx *, void *))dlsym(stock, name);
                assert_non_null(to_json);
                js = to_json(&ctx, a);
                assert_non_null(js);
                assert_string_equal(ja, js);
                free(js);
            }
            lx_type_dispose(t, a);
            lx_type_dispose(t, a);
            lx_type_dispose(t, b);
            lx_type_dispose(t, c);
            free(a), free(b), free(c), free(ja), free(jb), free(jc);
        }
    }
}

static void test_same_start_as_stock(void **state)
{
    if (!stock)
        skip();
    for (size_t i = 0; i < N(struct_types); i++) {
        const struct lx_type *t = struct_types[i];
        char name[128];
        void (*init)(void *);
        void *a = malloc(t->size), *b = malloc(t->size);

        memset(a, 0xa5, t->size);
        memset(b, 0x5a, t->size);
        snprintf(name, sizeof(name), "libxl_%s_init", t->name);
        init = (void (*)(void *))dlsym(stock, name);
        assert_non_null(init);
        lx_type_init(t, a);
        init(b);
        if (memcmp(a, b, t->size)) {
            for (size_t k = 0; k < t->size; k++)
                if (((char *)a)[k] != ((char *)b)[k])
                    print_error("%s differs from the stock one at byte %zu\n", t->name, k);
            fail();
        }
        free(a), free(b);
    }
}

static void test_union_start_as_stock(void **state)
{
    void (*init)(void *), (*init_type)(void *, int);
    libxl_domain_build_info a, b;

    if (!stock)
        skip();
    init = (void (*)(void *))dlsym(stock, "libxl_domain_build_info_init");
    init_type = (void (*)(void *, int))dlsym(stock, "libxl_domain_build_info_init_type");
    for (int type = LIBXL_DOMAIN_TYPE_HVM; type <= LIBXL_DOMAIN_TYPE_PVH; type++) {
        init(&a);
        init_type(&a, type);
        libxl_domain_build_info_init(&b);
        libxl_domain_build_info_init_type(&b, (libxl_domain_type)type);
        assert_memory_equal(&a, &b, sizeof(a));
    }
}

static void test_enums(void **state)
{
    for (size_t i = 0; i < N(enum_types); i++) {
        const struct lx_type *t = enum_types[i];
        const libxl_enum_string_table *e, *theirs = NULL;
        char name[128];
        int v;

        snprintf(name, sizeof(name), "libxl_%s_string_table", t->name);
        if (stock)
            theirs = dlsym(stock, name);
        for (e = t->names; e->s; e++) {
            assert_int_equal(lx_enum_value(t->names, e->s, &v), 0);
            assert_string_equal(lx_enum_name(t->names, v), e->s);
            if (theirs) {
                assert_string_equal(theirs->s, e->s);
                assert_int_equal(theirs->v, e->v);
                theirs++;
            }
        }
        assert_int_equal(lx_enum_value(t->names, "no such name", &v), ERROR_FAIL);
        assert_null(lx_enum_name(t->names, 12345));
    }
}

struct bad {
    const char *json, *says;
};

static const struct bad bad[] = {
    { "", "not valid JSON" },
    { "{", "not valid JSON" },
    { "{} {}", "not valid JSON" },
    { "[]", "expected an object, found an array" },
    { "{\"c_info\": 1}", "c_info: expected an object, found an integer" },
    { "{\"b_info\": {\"max_vcpus\": \"two\"}}",
      "b_info.max_vcpus: expected an integer, found a string" },
    { "{\"b_info\": {\"max_vcpus\": 2147483648}}", "out of range" },
    { "{\"b_info\": {\"max_memkb\": -1}}", "b_info.max_memkb: -1 is out of range" },
    { "{\"b_info\": {\"max_memkb\": 18446744073709551616}}",
      "expected an integer, found a number" },
    { "{\"b_info\": {\"max_memkb\": 1e3}}", "expected an integer" },
    { "{\"c_info\": {\"type\": \"vm\"}}", "c_info.type: \"vm\" is no domain_type" },
    { "{\"c_info\": {\"uuid\": \"12\"}}", "c_info.uuid: \"12\" is no UUID" },
    { "{\"c_info\": {\"hap\": \"maybe\"}}", "c_info.hap: expected" },
    { "{\"c_info\": {\"name\": \"a\\u0000b\"}}", "NUL" },
    { "{\"c_info\": {\"name\": \"a\", \"name\": \"b\"}}", "c_info.name: given twice" },
    { "{\"nics\": [{\"mac\": \"00:16:3e:00:00:01\"}, {\"mac\": \"00:16\"}]}",
      "nics[1].mac: \"00:16\" is no MAC" },
    { "{\"b_info\": {\"avail_vcpus\": [70000]}}", "out of range" },
    { "{\"b_info\": {\"type.pvh\": {}, \"type.hvm\": {}}}", "given twice" },
    { "{\"b_info\": {\"cpuid\": [{\"leaf\": 1, \"eax\": \"01\"}]}}", "b_info.cpuid[0].eax" },
    { "{\"b_info\": {\"type.hvm\": {\"ms_vm_genid\": [1, 2]}}}", "expected 16 elements, found 2" },
    { "{\"b_info\": {\"vcpu_hard_affinity\": [[0], [\"x\"]]}}", "b_info.vcpu_hard_affinity[1][0]" },
};

static void test_bad_json(void **state)
{
    for (size_t i = 0; i < N(bad); i++) {
        libxl_domain_config config;

        libxl_domain_config_init(&config);
        last_log[0] = 0;
        assert_int_equal(libxl_domain_config_from_json(&ctx, &config, bad[i].json), ERROR_FAIL);
        if (!strstr(last_log, bad[i].says))
            fail_msg("%s: said \"%s\", not \"%s\"", bad[i].json, last_log, bad[i].says);
        libxl_domain_config_dispose(&config);
    }
}

static void test_deep_json(void **state)
{
    libxl_domain_config config;
    char *deep = malloc(200001);

    memset(deep, '[', 200000);
    deep[200000] = 0;
    libxl_domain_config_init(&config);
    assert_int_equal(libxl_domain_config_from_json(&ctx, &config, deep), ERROR_FAIL);
    assert_non_null(strstr(last_log, "too deeply"));
    free(deep);
}

static void test_unknown_key(void **state)
{
    libxl_domain_config config;

    libxl_domain_config_init(&config);
    last_log[0] = 0;
    assert_int_equal(libxl_domain_config_from_json(
                         &ctx, &config, "{\"b_info\": {\"wings\": {\"a\": []}}}"), 0);
    assert_non_null(strstr(last_log, "domain_build_info has no field \"wings\""));
    libxl_domain_config_dispose(&config);
}

static void test_not_utf8(void **state)
{
    libxl_domain_config config;

    libxl_domain_config_init(&config);
    config.b_info.cmdline = strdup("caf\xe9");
    assert_null(libxl_domain_config_to_json(&ctx, &config));
    assert_non_null(strstr(last_log, "not UTF-8"));
    libxl_domain_config_dispose(&config);
}

static void test_deprecated(void **state)
{
    libxl_domain_build_info b;

    libxl_domain_build_info_init(&b);
    libxl_domain_build_info_init_type(&b, LIBXL_DOMAIN_TYPE_PV);
    b.u.pv.kernel = strdup("vmlinuz");
    assert_int_equal(libxl__domain_build_info_copy_deprecated(&ctx, &b), 0);
    assert_string_equal(b.kernel, "vmlinuz");
    assert_null(b.u.pv.kernel);
    b.u.pv.kernel = strdup("other");
    assert_int_equal(libxl__domain_build_info_copy_deprecated(&ctx, &b), ERROR_INVAL);
    assert_non_null(strstr(last_log, "kernel"));
    libxl_domain_build_info_dispose(&b);
}

/* The very text that a stock xl printed for a PVH guest (xl create -n). */
static void test_captured_config(void **state)
{
    static const char text[] =
        "{\n    \"c_info\": {\n        \"type\": \"pvh\",\n        \"name\": \"pvh1\",\n"
        "        \"uuid\": \"9eeba789-a805-41ec-a2f4-5f473ba191c1\",\n"
        "        \"run_hotplug_scripts\": \"True\"\n    },\n    \"b_info\": {\n"
        "        \"max_vcpus\": 1,\n        \"avail_vcpus\": [\n            0\n        ],\n"
        "        \"max_memkb\": 163840,\n        \"target_memkb\": 163840,\n"
        "        \"sched_params\": {\n\n        },\n        \"claim_mode\": \"True\",\n"
        "        \"kernel\": \"/guest/vmlinux\",\n"
        "        \"cmdline\": \"console=hvc0 quiet ref=stay\",\n"
        "        \"ramdisk\": \"/guest/front.gz\",\n        \"type.pvh\": {\n\n        },\n"
        "        \"arch_arm\": {\n\n        },\n        \"arch_x86\": {\n\n        }\n    },\n"
        "    \"on_reboot\": \"restart\",\n    \"on_soft_reset\": \"soft_reset\"\n}\n";
    libxl_domain_config config;
    char *json;

    libxl_domain_config_init(&config);
    assert_int_equal(libxl_domain_config_from_json(&ctx, &config, text), 0);
    assert_int_equal(config.b_info.type, LIBXL_DOMAIN_TYPE_PVH);
    assert_int_equal(config.b_info.video_memkb, LIBXL_MEMKB_DEFAULT);
    json = libxl_domain_config_to_json(&ctx, &config);
    assert_string_equal(json, text);
    free(json);
    libxl_domain_config_dispose(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_same_start_as_stock),
        cmocka_unit_test(test_union_start_as_stock),
        cmocka_unit_test(test_enums),
        cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_deep_json),
        cmocka_unit_test(test_unknown_key),
        cmocka_unit_test(test_not_utf8),
        cmocka_unit_test(test_deprecated),
        cmocka_unit_test(test_captured_config),
    };

    /* Its own libraries come along under other sonames' versions; only pure functions are called.
     * */
    stock = dlopen("/usr/lib/x86_64-linux-gnu/libxenlight.so.4.17.0", RTLD_NOW | RTLD_LOCAL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
