/* SPDX-License-Identifier: MIT */
/* For debuggers: execution traces, address translation, audits, broken pages. */
#include <string.h>
#include <sys/mman.h>

#include "libxenctrl/ctrl/private.h"

#include <xen/hvm/save.h>

/* ---- the CPU's own traces --------------------------------------------------------------- */

static int vmtrace_op(xc_interface *xch, uint32_t cmd, uint32_t domid, uint32_t vcpu,
                      uint64_t key, uint64_t *value)
{
    struct xen_domctl d = { .u.vmtrace_op = {
        .cmd = cmd, .vcpu = vcpu, .key = key, .value = value ? *value : 0,
    } };
    int rc = domctl(xch, &d, XEN_DOMCTL_vmtrace_op, domid);

    if (!rc && value) {
        *value = d.u.vmtrace_op.value;
    }
    return rc;
}

int xc_vmtrace_enable(xc_interface *xch, uint32_t domid, uint32_t vcpu)
{
    return vmtrace_op(xch, XEN_DOMCTL_vmtrace_enable, domid, vcpu, 0, NULL);
}

int xc_vmtrace_disable(xc_interface *xch, uint32_t domid, uint32_t vcpu)
{
    return vmtrace_op(xch, XEN_DOMCTL_vmtrace_disable, domid, vcpu, 0, NULL);
}

int xc_vmtrace_reset_and_enable(xc_interface *xch, uint32_t domid, uint32_t vcpu)
{
    return vmtrace_op(xch, XEN_DOMCTL_vmtrace_reset_and_enable, domid, vcpu, 0, NULL);
}

int xc_vmtrace_output_position(xc_interface *xch, uint32_t domid, uint32_t vcpu, uint64_t *pos)
{
    uint64_t value = 0;
    int rc = vmtrace_op(xch, XEN_DOMCTL_vmtrace_output_position, domid, vcpu, 0, &value);

    if (!rc) {
        *pos = value;
    }
    return rc;
}

int xc_vmtrace_get_option(xc_interface *xch, uint32_t domid, uint32_t vcpu, uint64_t key,
                          uint64_t *value)
{
    uint64_t v = 0;
    int rc = vmtrace_op(xch, XEN_DOMCTL_vmtrace_get_option, domid, vcpu, key, &v);

    if (!rc) {
        *value = v;
    }
    return rc;
}

int xc_vmtrace_set_option(xc_interface *xch, uint32_t domid, uint32_t vcpu, uint64_t key,
                          uint64_t value)
{
    return vmtrace_op(xch, XEN_DOMCTL_vmtrace_set_option, domid, vcpu, key, &value);
}

/* ---- audits, broken pages --------------------------------------------------------------- */

int xc_domain_p2m_audit(xc_interface *xch, uint32_t domid, uint64_t *orphans, uint64_t *m2p_bad,
                        uint64_t *p2m_bad)
{
    struct xen_domctl d = { 0 };
    int rc = domctl(xch, &d, XEN_DOMCTL_audit_p2m, domid);

    *orphans = d.u.audit_p2m.orphans;
    *m2p_bad = d.u.audit_p2m.m2p_bad;
    *p2m_bad = d.u.audit_p2m.p2m_bad;
    return rc;
}

int xc_set_broken_page_p2m(xc_interface *xch, uint32_t domid, unsigned long pfn)
{
    struct xen_domctl d = { .u.set_broken_page_p2m.pfn = pfn };

    return domctl(xch, &d, XEN_DOMCTL_set_broken_page_p2m, domid) ? -1 : 0;
}

/* ---- virtual addresses ------------------------------------------------------------------ */

/* Control registers and EFER (Intel SDM volume 3, 2.5 and 2.2.1), page table bits (4.3 to 4.5). */
#define CR0_PG      (1ull << 31)
#define CR4_PAE     (1ull << 5)
#define CR4_LA57    (1ull << 12)
#define EFER_LMA    (1ull << 10)
#define PTE_PRESENT (1ull << 0)
#define PTE_LARGE   (1ull << 7)
#define PTE_FRAME   0x000ffffffffff000ull

/* How to walk a vCPU's page tables; levels 0: not paged. */
struct walk {
    unsigned int levels;
    unsigned int entry_size;
    uint64_t root;
};

static int hvm_walk(xc_interface *xch, uint32_t dom, int vcpu, struct walk *w)
{
    struct hvm_hw_cpu cpu;

    if (xc_domain_hvm_getcontext_partial(xch, dom, HVM_SAVE_CODE(CPU), (uint16_t)vcpu, &cpu,
                                         sizeof(cpu))) {
        return -1;
    }
    w->entry_size = 8;
    if (!(cpu.cr0 & CR0_PG)) {
        w->levels = 0;
    } else if (cpu.msr_efer & EFER_LMA) {
        w->levels = cpu.cr4 & CR4_LA57 ? 5 : 4;
    } else if (cpu.cr4 & CR4_PAE) {
        w->levels = 3;
    } else {
        w->levels = 2;
        w->entry_size = 4;
    }
    /* With PAE the root is a table of 32 bytes, not a page. */
    w->root = w->levels == 3 ? cpu.cr3 & 0xffffffe0 : cpu.cr3 & PTE_FRAME;
    return 0;
}

static int pv_walk(xc_interface *xch, uint32_t dom, int vcpu, struct walk *w)
{
    vcpu_guest_context_any_t c;
    unsigned int width;

    if (xc_vcpu_getcontext(xch, dom, (uint32_t)vcpu, &c) ||
        xc_domain_get_guest_width(xch, dom, &width)) {
        return -1;
    }
    w->entry_size = 8;
    if (width == 8) {
        w->levels = 4;
        w->root = (uint64_t)xen_cr3_to_pfn_x86_64(c.x64.ctrlreg[3]) << XC_PAGE_SHIFT;
    } else {
        w->levels = 3;
        w->root = (uint64_t)xen_cr3_to_pfn_x86_32(c.x32.ctrlreg[3]) << XC_PAGE_SHIFT;
    }
    return 0;
}

/* An entry of a table in guest memory; PV tables name machine frames, which are mapped alike. */
static int read_entry(xc_interface *xch, uint32_t dom, uint64_t paddr, unsigned int size,
                      uint64_t *entry)
{
    xen_pfn_t pfn = paddr >> XC_PAGE_SHIFT;
    const uint8_t *page = xenforeignmemory_map(xch->fmem, dom, PROT_READ, 1, &pfn, NULL);

    if (!page) {
        return -1;
    }
    *entry = 0;
    memcpy(entry, page + (paddr & (XC_PAGE_SIZE - 1)), size);
    xenforeignmemory_unmap(xch->fmem, (void *)(uintptr_t)page, 1);
    return 0;
}

static unsigned long walk_tables(xc_interface *xch, uint32_t dom, const struct walk *w,
                                 uint64_t virt)
{
    unsigned int index_bits = w->entry_size == 4 ? 10 : 9;
    uint64_t table = w->root, entry;

    for (unsigned int level = w->levels; level; level--) {
        unsigned int shift = XC_PAGE_SHIFT + (level - 1) * index_bits;
        uint64_t index = virt >> shift & ((1u << index_bits) - 1);

        if (w->levels == 3 && level == 3) {
            index &= 3;
        }
        if (read_entry(xch, dom, table + index * w->entry_size, w->entry_size, &entry)) {
            return 0;
        }
        if (!(entry & PTE_PRESENT)) {
            errno = EADDRNOTAVAIL;
            return 0;
        }
        table = entry & PTE_FRAME;
        if ((level == 2 || (level == 3 && w->levels > 3)) && (entry & PTE_LARGE)) {
            uint64_t low = (1ull << shift) - 1;

            /* Bits of the entry below the page's size are no address. */
            return (unsigned long)(((table & ~low) | (virt & low)) >> XC_PAGE_SHIFT);
        }
    }
    return (unsigned long)(table >> XC_PAGE_SHIFT);
}

unsigned long xc_translate_foreign_address(xc_interface *xch, uint32_t dom, int vcpu,
                                           unsigned long long virt)
{
    xc_dominfo_t info;
    struct walk w;

    if (get_dominfo(xch, dom, &info)) {
        return 0;
    }
    if (info.hvm ? hvm_walk(xch, dom, vcpu, &w) : pv_walk(xch, dom, vcpu, &w)) {
        return 0;
    }
    return w.levels ? walk_tables(xch, dom, &w, virt) : (unsigned long)(virt >> XC_PAGE_SHIFT);
}
