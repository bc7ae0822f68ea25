/* SPDX-License-Identifier: MIT */
/*
 * PVH containers: special pages, ACPI, start info, the first vCPU. Places and values are those of
 * Xen 4.17 (docs/misc/pvh.pandoc for the start of day, xen/arch-x86/hvm/start_info.h).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libxenctrl/guest/dom.h"

#include <xen/arch-x86/hvm/start_info.h>
#include <xen/hvm/save.h>

/* ---- special pages ---------------------------------------------------------------------- */

/* Their order below X86_HVM_END_SPECIAL_REGION. */
enum special_page {
    SPECIAL_PAGING,
    SPECIAL_MONITOR,
    SPECIAL_SHARING,
    SPECIAL_BUFIOREQ,
    SPECIAL_XENSTORE,
    SPECIAL_IOREQ,
    SPECIAL_IDENT_PT,
    SPECIAL_CONSOLE,
    SPECIAL_COUNT,
};

_Static_assert(SPECIAL_COUNT == X86_HVM_NR_SPECIAL_PAGES, "special pages");

#define SPECIAL_GFN(x) ((xen_pfn_t)X86_HVM_END_SPECIAL_REGION - X86_HVM_NR_SPECIAL_PAGES + (x))

/* Entries of a page directory: present, writable, user, accessed, dirty, 4 MiB. */
#define IDENT_PT_FLAGS   0xe7u
#define IDENT_PT_ENTRIES (XC_PAGE_SIZE / sizeof(uint32_t))

static const struct {
    uint32_t param;
    enum special_page page;
} special_params[] = {
    { HVM_PARAM_STORE_PFN,         SPECIAL_XENSTORE },
    { HVM_PARAM_BUFIOREQ_PFN,      SPECIAL_BUFIOREQ },
    { HVM_PARAM_IOREQ_PFN,         SPECIAL_IOREQ },
    { HVM_PARAM_CONSOLE_PFN,       SPECIAL_CONSOLE },
    { HVM_PARAM_PAGING_RING_PFN,   SPECIAL_PAGING },
    { HVM_PARAM_MONITOR_RING_PFN,  SPECIAL_MONITOR },
    { HVM_PARAM_SHARING_RING_PFN,  SPECIAL_SHARING },
};

static int set_param(struct xc_dom_image *dom, uint32_t param, uint64_t value)
{
    if (xc_hvm_param_set(dom->xch, dom->guest_domid, param, value)) {
        return dom_fail(dom, XC_INTERNAL_ERROR, "could not set HVM parameter %u: %s", param,
                        strerror(errno));
    }
    return 0;
}

/* An identity map of 4 GiB: hardware that cannot run without paging runs such guests on it. */
static int make_ident_pt(struct xc_dom_image *dom)
{
    uint32_t *pt = xc_dom_pfn_to_ptr(dom, SPECIAL_GFN(SPECIAL_IDENT_PT), 1);

    if (!pt) {
        return dom_fail(dom, XC_INTERNAL_ERROR, "could not map a special page: %s",
                        strerror(errno));
    }
    for (uint32_t i = 0; i < IDENT_PT_ENTRIES; i++) {
        pt[i] = i << 22 | IDENT_PT_FLAGS;
    }
    xc_dom_unmap_one(dom, SPECIAL_GFN(SPECIAL_IDENT_PT));
    return set_param(dom, HVM_PARAM_IDENT_PT,
                     (uint64_t)SPECIAL_GFN(SPECIAL_IDENT_PT) << XC_PAGE_SHIFT);
}

static int alloc_special_pages(struct xc_dom_image *dom)
{
    xen_pfn_t gfns[SPECIAL_COUNT];

    for (unsigned int i = 0; i < SPECIAL_COUNT; i++) {
        gfns[i] = SPECIAL_GFN(i);
    }
    if (xc_domain_populate_physmap_exact(dom->xch, dom->guest_domid, SPECIAL_COUNT, 0, 0, gfns)) {
        return dom_fail(dom, XC_OUT_OF_MEMORY, "could not allocate the guest's special pages: %s",
                        strerror(errno));
    }
    for (size_t i = 0; i < sizeof(special_params) / sizeof(special_params[0]); i++) {
        if (set_param(dom, special_params[i].param, SPECIAL_GFN(special_params[i].page))) {
            return -1;
        }
    }
    dom->xenstore_pfn = SPECIAL_GFN(SPECIAL_XENSTORE);
    dom->console_pfn = SPECIAL_GFN(SPECIAL_CONSOLE);
    if (set_param(dom, HVM_PARAM_STORE_EVTCHN, dom->xenstore_evtchn) ||
        set_param(dom, HVM_PARAM_CONSOLE_EVTCHN, dom->console_evtchn)) {
        return -1;
    }
    return make_ident_pt(dom);
}

/* ---- ACPI ------------------------------------------------------------------------------- */

struct gfn_range {
    xen_pfn_t first;
    xen_pfn_t count;
};

static struct gfn_range module_range(const struct xc_hvm_firmware_module *m)
{
    xen_pfn_t first = m->guest_addr_out >> XC_PAGE_SHIFT;
    xen_pfn_t last = (m->guest_addr_out + m->length - 1) >> XC_PAGE_SHIFT;

    return (struct gfn_range){ first, last - first + 1 };
}

/* Tables may share a page, which must be populated once. */
static bool is_populated(const struct xc_dom_image *dom, unsigned int module, xen_pfn_t gfn)
{
    for (unsigned int i = 0; i < module; i++) {
        struct gfn_range r = module_range(&dom->acpi_modules[i]);

        if (dom->acpi_modules[i].length && gfn >= r.first && gfn - r.first < r.count) {
            return true;
        }
    }
    return false;
}

static int load_acpi_module(struct xc_dom_image *dom, unsigned int index)
{
    const struct xc_hvm_firmware_module *m = &dom->acpi_modules[index];
    struct gfn_range r = module_range(m);
    uint8_t *p;

    for (xen_pfn_t gfn = r.first; gfn < r.first + r.count; gfn++) {
        xen_pfn_t extent = gfn;

        if (!is_populated(dom, index, gfn) &&
            xc_domain_populate_physmap_exact(dom->xch, dom->guest_domid, 1, 0, 0, &extent)) {
            return dom_fail(dom, XC_OUT_OF_MEMORY, "could not allocate a page for ACPI tables at "
                            "%#llx: %s", (unsigned long long)gfn << XC_PAGE_SHIFT,
                            strerror(errno));
        }
    }
    p = xc_dom_pfn_to_ptr(dom, r.first, r.count);
    if (!p) {
        return dom_fail(dom, XC_INTERNAL_ERROR, "could not map the ACPI tables' pages: %s",
                        strerror(errno));
    }
    memcpy(p + (m->guest_addr_out & (XC_PAGE_SIZE - 1)), m->data, m->length);
    xc_dom_printf(dom->xch, "xc_dom_load_acpi: %u bytes at address %llx", m->length,
                  (unsigned long long)m->guest_addr_out);
    return 0;
}

int dom_hvm_load_acpi(struct xc_dom_image *dom)
{
    for (unsigned int i = 0; i < MAX_ACPI_MODULES; i++) {
        if (dom->acpi_modules[i].length && load_acpi_module(dom, i)) {
            return -1;
        }
    }
    return 0;
}

/* ---- start info ------------------------------------------------------------------------- */

/* Where the parts of the start info segment are, as offsets in it. */
struct start_layout {
    size_t modlist;
    size_t memmap;
    size_t cmdline;
    size_t module_cmdline[XG_MAX_MODULES];
    size_t size;
};

static size_t text_size(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

static struct start_layout start_layout(const struct xc_dom_image *dom)
{
    struct start_layout l;
    size_t at = sizeof(struct hvm_start_info);

    l.modlist = at;
    at += XG_MAX_MODULES * sizeof(struct hvm_modlist_entry);
    l.memmap = at;
    at += dom->e820_entries * sizeof(struct hvm_memmap_table_entry);
    l.cmdline = at;
    at += text_size(dom->cmdline);
    for (unsigned int i = 0; i < XG_MAX_MODULES; i++) {
        l.module_cmdline[i] = at;
        at += i < dom->num_modules ? text_size(dom->modules[i].cmdline) : 0;
    }
    l.size = at;
    return l;
}

int dom_hvm_alloc_start_info(struct xc_dom_image *dom)
{
    if (!dom->e820) {
        dom->e820_entries = 0;
    }
    return xc_dom_alloc_segment(dom, &dom->start_info_seg, "the start info", 0,
                                start_layout(dom).size);
}

static void put_memmap(const struct xc_dom_image *dom, struct hvm_memmap_table_entry *map)
{
    for (unsigned int i = 0; i < dom->e820_entries; i++) {
        map[i].addr = dom->e820[i].addr;
        map[i].size = dom->e820[i].size;
        map[i].type = dom->e820[i].type;
    }
}

static void put_modules(const struct xc_dom_image *dom, const struct start_layout *l,
                        uint8_t *page)
{
    struct hvm_modlist_entry *list = (void *)(page + l->modlist);
    uint64_t base = dom->start_info_seg.vstart;

    for (unsigned int i = 0; i < dom->num_modules; i++) {
        const struct xc_dom_module *m = &dom->modules[i];

        list[i].paddr = m->seg.vstart;
        list[i].size = m->seg.vend - m->seg.vstart;
        if (m->cmdline) {
            strcpy((char *)page + l->module_cmdline[i], m->cmdline);
            list[i].cmdline_paddr = base + l->module_cmdline[i];
        }
        xc_dom_printf(dom->xch, "Adding module %u guest_addr %llx len %llu", i,
                      (unsigned long long)list[i].paddr, (unsigned long long)list[i].size);
    }
}

static int start_info(struct xc_dom_image *dom)
{
    struct start_layout l = start_layout(dom);
    uint64_t base = dom->start_info_seg.vstart;
    uint8_t *page = xc_dom_seg_to_ptr(dom, &dom->start_info_seg);
    struct hvm_start_info *si = (void *)page;

    if (!page || l.size > dom->start_info_seg.pages << XC_PAGE_SHIFT) {
        return dom_fail(dom, XC_INTERNAL_ERROR, "could not map the start info: %s",
                        strerror(errno));
    }
    memset(page, 0, l.size);
    si->magic = XEN_HVM_START_MAGIC_VALUE;
    si->version = 1;
    si->flags = (uint32_t)dom->flags;
    si->nr_modules = dom->num_modules;
    si->modlist_paddr = dom->num_modules ? base + l.modlist : 0;
    si->rsdp_paddr = dom->acpi_modules[0].length ? dom->acpi_modules[0].guest_addr_out : 0;
    si->memmap_entries = dom->e820_entries;
    si->memmap_paddr = dom->e820_entries ? base + l.memmap : 0;
    if (dom->cmdline) {
        strcpy((char *)page + l.cmdline, dom->cmdline);
        si->cmdline_paddr = base + l.cmdline;
    }
    put_memmap(dom, (void *)(page + l.memmap));
    put_modules(dom, &l, page);
    return 0;
}

/* ---- the first vCPU --------------------------------------------------------------------- */

#define CR0_PE_ET        0x11u
#define RFLAGS_RESERVED  0x2u
#define DR6_RESET        0xffff0ff0u
#define DR7_RESET        0x400u
#define AR_CODE32        0xc9bu   /* 4 GiB, 32-bit, present, executable, readable, accessed */
#define AR_DATA32        0xc93u
#define AR_TSS32_BUSY    0x8bu
#define TSS_LIMIT        0x67u

/* The records that make a start of day, in a save image's order. */
struct start_image {
    struct hvm_save_descriptor header_d;
    HVM_SAVE_TYPE(HEADER) header;
    struct hvm_save_descriptor cpu_d;
    HVM_SAVE_TYPE(CPU) cpu;
    struct hvm_save_descriptor end_d;
};

_Static_assert(sizeof(struct start_image) == 3 * sizeof(struct hvm_save_descriptor) +
               HVM_SAVE_LENGTH(HEADER) + HVM_SAVE_LENGTH(CPU), "records without holes");

static void set_start_state(HVM_SAVE_TYPE(CPU) *cpu, uint64_t entry, uint64_t start_info)
{
    cpu->cr0 = CR0_PE_ET;
    cpu->rflags = RFLAGS_RESERVED;
    cpu->dr6 = DR6_RESET;
    cpu->dr7 = DR7_RESET;
    cpu->rip = entry;
    cpu->rbx = start_info;
    cpu->cs_limit = cpu->ds_limit = cpu->es_limit = cpu->ss_limit = ~0u;
    cpu->cs_arbytes = AR_CODE32;
    cpu->ds_arbytes = cpu->es_arbytes = cpu->ss_arbytes = AR_DATA32;
    cpu->tr_limit = TSS_LIMIT;
    cpu->tr_arbytes = AR_TSS32_BUSY;
}

/* The header names the host's build; a context is only taken back with the one it gave. */
static int get_header(struct xc_dom_image *dom, HVM_SAVE_TYPE(HEADER) *header)
{
    const size_t need = sizeof(struct hvm_save_descriptor) + sizeof(*header);
    int size = xc_domain_hvm_getcontext(dom->xch, dom->guest_domid, NULL, 0);
    const struct hvm_save_descriptor *d;
    uint8_t *buf = NULL;
    int ret = -1;

    if (size > 0) {
        buf = calloc(1, (size_t)size);
    }
    if (!buf) {
        goto out;
    }
    size = xc_domain_hvm_getcontext(dom->xch, dom->guest_domid, buf, (uint32_t)size);
    if (size < 0) {
        goto out;
    }
    d = (const void *)buf;
    if ((size_t)size < need || d->typecode != HVM_SAVE_CODE(HEADER) ||
        d->length != sizeof(*header)) {
        errno = EPROTO;
        goto out;
    }
    memcpy(header, d + 1, sizeof(*header));
    ret = 0;
 out:
    free(buf);
    return ret;
}

static int first_vcpu(struct xc_dom_image *dom)
{
    struct start_image image = { 0 };

    xc_dom_printf(dom->xch, "vcpu_hvm: called");
    if (get_header(dom, &image.header)) {
        return dom_fail(dom, XC_INTERNAL_ERROR, "could not get the domain's HVM context: %s",
                        strerror(errno));
    }
    image.header_d.typecode = HVM_SAVE_CODE(HEADER);
    image.header_d.length = HVM_SAVE_LENGTH(HEADER);
    image.cpu_d.typecode = HVM_SAVE_CODE(CPU);
    image.cpu_d.length = HVM_SAVE_LENGTH(CPU);
    image.end_d.typecode = HVM_SAVE_CODE(END);
    image.end_d.length = 0;
    set_start_state(&image.cpu, xc_dom_virt_entry(dom), dom->start_info_seg.vstart);
    if (xc_domain_hvm_setcontext(dom->xch, dom->guest_domid, (uint8_t *)&image, sizeof(image))) {
        return dom_fail(dom, XC_INTERNAL_ERROR, "could not set the first vCPU's state: %s",
                        strerror(errno));
    }
    return 0;
}

struct xc_dom_arch dom_hvm_arch = {
    .alloc_magic_pages = alloc_special_pages,
    .start_info = start_info,
    .vcpu = first_vcpu,
    .meminit = dom_hvm_meminit,
    .guest_type = "hvm-3.0-x86_32",
    .native_protocol = "x86_32-abi",
    .page_shift = XC_PAGE_SHIFT,
    .sizeof_pfn = sizeof(uint32_t),
};
