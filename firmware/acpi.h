/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables for a PVH guest: an RSDP and, in one block, XSDT, FADT, MADT and DSDT.
 *
 * Such a guest has local APICs and nothing else that ACPI describes: no I/O APIC, no legacy
 * devices, no power management registers (the FADT is a hardware-reduced one), so the tables
 * say which vCPUs there are and little more. A vCPU's ACPI UID is its Xen vCPU number, which is
 * what Linux takes it for; its APIC id is ACPI_APIC_ID(vcpu), as on Xen.
 *
 * Never: reads or writes guest memory. The caller puts the bytes at the addresses it named.
 */
#ifndef KR_FIRMWARE_ACPI_H
#define KR_FIRMWARE_ACPI_H

#include <stddef.h>
#include <stdint.h>

/* Where Xen 4.17 puts a PVH guest's tables; the first page was for data of Xen's own AML. */
#define ACPI_REGION_GPA 0xfc000000ull

#define ACPI_RSDP_SIZE 36

/* Largest vCPU count that the tables can describe. */
#define ACPI_MAX_VCPUS 4096

#define ACPI_APIC_ID(vcpu) ((uint32_t)(vcpu) * 2)

struct acpi_config {
    unsigned int nr_vcpus;     /* possible ones: 1 to ACPI_MAX_VCPUS */
    const uint8_t *online;     /* bit array of nr_vcpus; NULL: all */
    uint64_t tables_gpa;       /* where the block of tables will be; 16-byte aligned, below 4 GiB */
};

struct acpi_tables {
    uint8_t rsdp[ACPI_RSDP_SIZE];   /* may go anywhere 16-byte aligned that the guest is told */
    uint8_t *data;                  /* the block for tables_gpa; free with acpi_tables_free() */
    size_t size;                    /* its size, a few hundred bytes plus about 50 per vCPU */
};

/* Returns 0, or -1 with errno EINVAL (the configuration) or ENOMEM. */
int acpi_tables_build(const struct acpi_config *config, struct acpi_tables *out);

/* Frees and clears *t; an all-zero *t is fine. */
void acpi_tables_free(struct acpi_tables *t);

#endif
