/* SPDX-License-Identifier: MIT */
/* ACPI tables: checksums, links, vCPU entries; and what iasl thinks of them, where it is there. */
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

#include "firmware/acpi.h"
#include "firmware/aml.h"

#define GPA (ACPI_REGION_GPA + 0x1000)

static uint64_t num(const uint8_t *p, unsigned int bytes)
{
    uint64_t v = 0;

    for (unsigned int i = 0; i < bytes; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

static void check_sum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++) {
        sum = (uint8_t)(sum + p[i]);
    }
    assert_int_equal(sum, 0);
}

/* The table at a guest address, with its signature, bounds and checksum checked. */
static const uint8_t *table(const struct acpi_tables *t, uint64_t gpa, const char *sig)
{
    const uint8_t *p;

    assert_true(gpa >= GPA && gpa < GPA + t->size);
    p = t->data + (gpa - GPA);
    assert_memory_equal(p, sig, 4);
    assert_true(num(p + 4, 4) <= GPA + t->size - gpa);
    check_sum(p, num(p + 4, 4));
    return p;
}

static void build(unsigned int vcpus, const uint8_t *online, struct acpi_tables *t)
{
    struct acpi_config c = { .nr_vcpus = vcpus, .online = online, .tables_gpa = GPA };

    assert_int_equal(acpi_tables_build(&c, t), 0);
    assert_memory_equal(t->rsdp, "RSD PTR ", 8);
    check_sum(t->rsdp, 20);
    check_sum(t->rsdp, ACPI_RSDP_SIZE);
}

static const uint8_t *from_xsdt(const struct acpi_tables *t, const char *sig)
{
    const uint8_t *x = table(t, num(t->rsdp + 24, 8), "XSDT");

    for (size_t i = 36; i + 8 <= num(x + 4, 4); i += 8) {
        uint64_t gpa = num(x + i, 8);

        if (!memcmp(t->data + (gpa - GPA), sig, 4)) {
            return table(t, gpa, sig);
        }
    }
    fail_msg("no %s", sig);
    return NULL;
}

static void test_links(void **state)
{
    struct acpi_tables t;
    const uint8_t *fadt;

    build(2, NULL, &t);
    fadt = from_xsdt(&t, "FACP");
    assert_int_equal(num(fadt + 4, 4), 268);
    assert_int_equal(num(fadt + 40, 4), num(fadt + 140, 8));
    table(&t, num(fadt + 140, 8), "DSDT");
    assert_int_equal(num(fadt + 112, 4) >> 20 & 1, 1);
    assert_int_equal(num(fadt + 109, 2), 1 << 2 | 1 << 5);
    acpi_tables_free(&t);
    assert_null(t.data);
}

static void check_madt(unsigned int vcpus, const uint8_t *online)
{
    struct acpi_tables t;
    const uint8_t *madt;
    size_t at = 44;

    build(vcpus, online, &t);
    madt = from_xsdt(&t, "APIC");
    for (unsigned int i = 0; i < vcpus; i++) {
        const uint8_t *e = madt + at;
        uint32_t flags = !online || (online[i / 8] >> (i % 8) & 1);

        if (i < 128) {
            assert_int_equal(num(e, 2), 0x0800);
            assert_int_equal(e[2], i);
            assert_int_equal(e[3], i * 2);
            assert_int_equal(num(e + 4, 4), flags);
        } else {
            assert_int_equal(num(e, 4), 0x1009);
            assert_int_equal(num(e + 4, 4), i * 2);
            assert_int_equal(num(e + 8, 4), flags);
            assert_int_equal(num(e + 12, 4), i);
        }
        at += e[1];
    }
    assert_int_equal(at, num(madt + 4, 4));
    acpi_tables_free(&t);
}

static void test_madt(void **state)
{
    uint8_t online[1] = { 0x05 };

    check_madt(1, NULL);
    check_madt(4, online);
    check_madt(128, NULL);
    check_madt(129, NULL);
    check_madt(ACPI_MAX_VCPUS, NULL);
}

static void test_bad_config(void **state)
{
    struct acpi_config bad[] = {
        { .nr_vcpus = 0, .tables_gpa = GPA },
        { .nr_vcpus = ACPI_MAX_VCPUS + 1, .tables_gpa = GPA },
        { .nr_vcpus = 1, .tables_gpa = GPA + 8 },
        { .nr_vcpus = 1, .tables_gpa = 1ull << 32 },
        { .nr_vcpus = 64, .tables_gpa = 0xfffffff0 },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct acpi_tables t;

        errno = 0;
        assert_int_equal(acpi_tables_build(&bad[i], &t), -1);
        assert_int_equal(errno, EINVAL);
        assert_null(t.data);
    }
}

/* Package lengths at the sizes where their encoding changes. */
static void test_package_length(void **state)
{
    static const struct { size_t filler; uint8_t lead; size_t bytes; } cases[] = {
        { 58, 63, 1 }, { 59, 0x41, 2 }, { 4089, 0x4f, 2 }, { 4090, 0x81, 3 },
        { 1048568, 0x8f, 3 }, { 1048569, 0xc1, 4 },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct aml a = { 0 };
        size_t begin = aml_begin_scope(&a, "ABCD");
        uint64_t len;

        for (size_t n = 0; n < cases[i].filler; n++) {
            aml_byte(&a, 0xa3);
        }
        aml_end(&a, begin);
        assert_false(a.failed);
        assert_int_equal(a.data[1], cases[i].lead);
        len = cases[i].bytes == 1 ? a.data[1] & 0x3f
            : (a.data[1] & 0xf) | num(a.data + 2, (unsigned)cases[i].bytes - 1) << 4;
        assert_int_equal(len, a.len - 1);
        assert_memory_equal(a.data + 1 + cases[i].bytes, "ABCD", 4);
        free(a.data);
    }
}

/* iasl -d must understand the DSDT and find each vCPU in it. */
static void test_iasl(void **state)
{
    char dir[] = "/tmp/acpi-test-XXXXXX", path[64], cmd[256], line[256];
    const uint8_t *fadt, *dsdt;
    struct acpi_tables t;
    unsigned int devices = 0;
    FILE *f;

    if (system("command -v iasl >/dev/null 2>&1")) {
        skip();
    }
    assert_non_null(mkdtemp(dir));
    build(130, NULL, &t);
    fadt = from_xsdt(&t, "FACP");
    dsdt = table(&t, num(fadt + 40, 4), "DSDT");
    snprintf(path, sizeof(path), "%s/dsdt.aml", dir);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(dsdt, 1, num(dsdt + 4, 4), f), num(dsdt + 4, 4));
    fclose(f);
    snprintf(cmd, sizeof(cmd), "cd %s && iasl -d dsdt.aml >log 2>&1 && cat dsdt.dsl log", dir);
    f = popen(cmd, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        devices += strstr(line, "Device (C") != NULL;
        assert_null(strstr(line, "rror"));
    }
    assert_int_equal(pclose(f), 0);
    assert_int_equal(devices, 130);
    snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
    acpi_tables_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_madt),
        cmocka_unit_test(test_bad_config),
        cmocka_unit_test(test_package_length),
        cmocka_unit_test(test_iasl),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
