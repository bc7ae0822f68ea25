/* SPDX-License-Identifier: MIT */
#include "firmware/pvh.h"

#include <string.h>

#include <xenctrl.h>

#include "firmware/acpi.h"

#define FOUR_GIB      (1ull << 32)
#define MAX_RANGES    4u
#define SPECIAL_START ((uint64_t)(X86_HVM_END_SPECIAL_REGION - X86_HVM_NR_SPECIAL_PAGES) \
                       << XC_PAGE_SHIFT)
#define SPECIAL_END   ((uint64_t)X86_HVM_END_SPECIAL_REGION << XC_PAGE_SHIFT)

/* All that is not RAM below 4 GiB lies above these: the local APIC, Xen's pages, the tables. */
static uint64_t hole_start(void)
{
    return SPECIAL_START < ACPI_REGION_GPA ? SPECIAL_START : ACPI_REGION_GPA;
}

void pvh_set_layout(struct xc_dom_image *dom, uint64_t bytes)
{
    uint64_t hole = hole_start();

    dom->container_type = XC_DOM_HVM_CONTAINER;
    dom->device_model = false;
    dom->mmio_start = hole;
    dom->mmio_size = FOUR_GIB - hole;
    dom->lowmem_end = bytes < hole ? bytes : hole;
    dom->highmem_end = bytes > hole ? FOUR_GIB + bytes - hole : 0;
    dom->vga_hole_size = 0;
}

static uint64_t page_up(uint64_t gpa)
{
    return (gpa + XC_PAGE_SIZE - 1) & XC_PAGE_MASK;
}

static int add_module(struct xc_dom_image *dom, unsigned i, const void *data, size_t len,
                      uint64_t gpa)
{
    uint8_t *copy = xc_dom_malloc(dom, len);

    if (!copy) {
        return -1;
    }
    memcpy(copy, data, len);
    dom->acpi_modules[i] = (struct xc_hvm_firmware_module){
        .data = copy, .length = (uint32_t)len, .guest_addr_out = gpa };
    return 0;
}

int pvh_add_acpi(struct xc_dom_image *dom, const uint8_t *online)
{
    struct acpi_config config = {
        .nr_vcpus = dom->max_vcpus,
        .online = online,
        .tables_gpa = ACPI_REGION_GPA + XC_PAGE_SIZE,
    };
    struct acpi_tables t = { 0 };
    int rc = acpi_tables_build(&config, &t);

    if (!rc) {
        rc = add_module(dom, 0, t.rsdp, ACPI_RSDP_SIZE, page_up(config.tables_gpa + t.size));
    }
    if (!rc) {
        rc = add_module(dom, 1, t.data, t.size, config.tables_gpa);
    }
    acpi_tables_free(&t);
    return rc;
}

static void add_range(struct xc_dom_image *dom, uint64_t from, uint64_t to, uint32_t type)
{
    if (to > from) {
        dom->e820[dom->e820_entries++] =
            (struct e820entry){ .addr = from, .size = to - from, .type = type };
    }
}

int pvh_set_memory_map(struct xc_dom_image *dom)
{
    uint64_t acpi_end = ACPI_REGION_GPA;

    dom->e820_entries = 0;
    dom->e820 = xc_dom_malloc(dom, MAX_RANGES * sizeof(*dom->e820));
    if (!dom->e820) {
        return -1;
    }
    for (unsigned i = 0; i < MAX_ACPI_MODULES; i++) {
        const struct xc_hvm_firmware_module *m = &dom->acpi_modules[i];
        uint64_t end = page_up(m->guest_addr_out + m->length);

        acpi_end = m->length && end > acpi_end ? end : acpi_end;
    }
    add_range(dom, 0, dom->lowmem_end, E820_RAM);
    add_range(dom, ACPI_REGION_GPA, acpi_end, E820_ACPI);
    add_range(dom, SPECIAL_START, SPECIAL_END, E820_RESERVED);
    add_range(dom, FOUR_GIB, dom->highmem_end, E820_RAM);
    return xc_domain_set_memory_map(dom->xch, dom->guest_domid, dom->e820, dom->e820_entries);
}
