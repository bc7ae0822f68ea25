/* SPDX-License-Identifier: MIT */
/* Table layouts: ACPI 6.3, chapter 5.2 (FADT in its revision 5 form, MADT revision 4). */
#include "firmware/acpi.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/aml.h"

#define ALIGNMENT 16

/* FADT. */
#define FADT_SIZE             268
#define FADT_DSDT             40
#define FADT_BOOT_ARCH        109
#define FADT_FLAGS            112
#define FADT_X_DSDT           140
#define BOOT_NO_VGA           (1u << 2)
#define BOOT_NO_CMOS_RTC      (1u << 5)
#define FLAG_WBINVD           (1u << 0)
#define FLAG_PWR_BUTTON       (1u << 4)   /* set: there is no fixed power button */
#define FLAG_SLP_BUTTON       (1u << 5)
#define FLAG_HW_REDUCED       (1u << 20)

/* MADT. */
#define MADT_LAPIC            0
#define MADT_X2APIC           9
#define MADT_ENABLED          1
#define LAPIC_ADDRESS         0xfee00000u
/* 255 is the broadcast id, so the short entries end before it. */
#define LAPIC_MAX_ID          254

/* Offset and size of the fields that every table starts with. */
#define HDR_LENGTH            4
#define HDR_CHECKSUM          9
#define HDR_SIZE              36

static uint8_t checksum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;

    while (len--) {
        sum = (uint8_t)(sum + *p++);
    }
    return (uint8_t)-sum;
}

static void put(uint8_t *p, uint64_t value, unsigned int bytes)
{
    for (unsigned int i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Starts a table at the next aligned place; length and checksum come with end_table(). */
static size_t begin_table(struct aml *a, const char *signature, uint8_t revision)
{
    size_t at;

    while (!a->failed && a->len % ALIGNMENT) {
        aml_byte(a, 0);
    }
    at = a->len;
    aml_bytes(a, signature, 4);
    aml_number(a, 0, 4);
    aml_byte(a, revision);
    aml_byte(a, 0);
    aml_bytes(a, "Xen\0\0\0", 6);
    aml_bytes(a, "PVH\0\0\0\0\0", 8);
    aml_number(a, 1, 4);
    aml_bytes(a, "KRYP", 4);
    aml_number(a, 1, 4);
    return at;
}

static void end_table(struct aml *a, size_t at)
{
    size_t len = a->len - at;

    if (a->failed) {
        return;
    }
    put(a->data + at + HDR_LENGTH, len, 4);
    a->data[at + HDR_CHECKSUM] = checksum(a->data + at, len);
}

/* Four characters that differ for each vCPU: C and three base-16 digits. */
static void vcpu_name(char name[5], unsigned int vcpu)
{
    snprintf(name, 5, "C%03X", vcpu & 0xfff);
}

/* One processor device per possible vCPU, declared once and for all: no events, no _STA. */
static size_t emit_dsdt(struct aml *a, const struct acpi_config *c)
{
    size_t at = begin_table(a, "DSDT", 2);
    size_t sb = aml_begin_scope(a, "\\_SB");

    for (unsigned int i = 0; i < c->nr_vcpus; i++) {
        char name[5];
        size_t dev;

        vcpu_name(name, i);
        dev = aml_begin_device(a, name);
        aml_name_string(a, "_HID", "ACPI0007");
        aml_name_integer(a, "_UID", i);
        aml_end(a, dev);
    }
    aml_end(a, sb);
    end_table(a, at);
    return at;
}

static bool is_online(const struct acpi_config *c, unsigned int vcpu)
{
    return !c->online || (c->online[vcpu / 8] >> (vcpu % 8) & 1);
}

static size_t emit_madt(struct aml *a, const struct acpi_config *c)
{
    size_t at = begin_table(a, "APIC", 4);

    aml_number(a, LAPIC_ADDRESS, 4);
    aml_number(a, 0, 4);
    for (unsigned int i = 0; i < c->nr_vcpus; i++) {
        uint32_t flags = is_online(c, i) ? MADT_ENABLED : 0;

        if (ACPI_APIC_ID(i) <= LAPIC_MAX_ID) {
            aml_byte(a, MADT_LAPIC);
            aml_byte(a, 8);
            aml_byte(a, (uint8_t)i);
            aml_byte(a, (uint8_t)ACPI_APIC_ID(i));
            aml_number(a, flags, 4);
        } else {
            aml_byte(a, MADT_X2APIC);
            aml_byte(a, 16);
            aml_number(a, 0, 2);
            aml_number(a, ACPI_APIC_ID(i), 4);
            aml_number(a, flags, 4);
            aml_number(a, i, 4);
        }
    }
    end_table(a, at);
    return at;
}

static size_t emit_fadt(struct aml *a, uint64_t dsdt)
{
    static const uint8_t zeroes[FADT_SIZE - HDR_SIZE];
    size_t at = begin_table(a, "FACP", 5);

    aml_bytes(a, zeroes, sizeof(zeroes));
    if (a->failed) {
        return at;
    }
    put(a->data + at + FADT_DSDT, dsdt, 4);
    put(a->data + at + FADT_BOOT_ARCH, BOOT_NO_VGA | BOOT_NO_CMOS_RTC, 2);
    put(a->data + at + FADT_FLAGS,
        FLAG_WBINVD | FLAG_PWR_BUTTON | FLAG_SLP_BUTTON | FLAG_HW_REDUCED, 4);
    put(a->data + at + FADT_X_DSDT, dsdt, 8);
    end_table(a, at);
    return at;
}

/* ACPI 6.3 section 5.2.5.3; the first checksum covers the 20 bytes of the ACPI 1.0 form. */
static void make_rsdp(uint8_t *rsdp, uint64_t xsdt)
{
    memset(rsdp, 0, ACPI_RSDP_SIZE);
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "Xen\0\0\0", 6);
    rsdp[15] = 2;
    put(rsdp + 20, ACPI_RSDP_SIZE, 4);
    put(rsdp + 24, xsdt, 8);
    rsdp[8] = checksum(rsdp, 20);
    rsdp[32] = checksum(rsdp, ACPI_RSDP_SIZE);
}

int acpi_tables_build(const struct acpi_config *config, struct acpi_tables *out)
{
    struct aml a = { 0 };
    size_t dsdt, madt, fadt, xsdt;

    memset(out, 0, sizeof(*out));
    if (!config->nr_vcpus || config->nr_vcpus > ACPI_MAX_VCPUS ||
        config->tables_gpa % ALIGNMENT || config->tables_gpa >> 32) {
        errno = EINVAL;
        return -1;
    }
    dsdt = emit_dsdt(&a, config);
    madt = emit_madt(&a, config);
    fadt = emit_fadt(&a, config->tables_gpa + dsdt);
    xsdt = begin_table(&a, "XSDT", 1);
    aml_number(&a, config->tables_gpa + fadt, 8);
    aml_number(&a, config->tables_gpa + madt, 8);
    end_table(&a, xsdt);
    if (a.failed) {
        free(a.data);
        errno = ENOMEM;
        return -1;
    }
    if (config->tables_gpa + a.len > UINT32_MAX) {
        free(a.data);
        errno = EINVAL;
        return -1;
    }
    make_rsdp(out->rsdp, config->tables_gpa + xsdt);
    out->data = a.data;
    out->size = a.len;
    return 0;
}

void acpi_tables_free(struct acpi_tables *t)
{
    free(t->data);
    memset(t, 0, sizeof(*t));
}
