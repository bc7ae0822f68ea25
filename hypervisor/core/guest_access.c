/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/guest_access.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hypervisor/core/client.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/foreign.h"

#define PAGE 4096ull

/* Control register and page table bits (Intel SDM vol. 3, chapters 2.5 and 4). */
#define CR0_WP  (1ull << 16)
#define CR0_PG  (1ull << 31)
#define CR4_PSE (1ull << 4)
#define CR4_PAE (1ull << 5)
#define CR4_LA57 (1ull << 12)
#define EFER_LMA (1ull << 10)
#define PTE_P   1ull
#define PTE_RW  2ull
#define PTE_PS  (1ull << 7)
#define PTE_ADDR 0x000ffffffffff000ull

static int page_io(struct domain *d, uint64_t gpa, void *buf, size_t len, bool write)
{
    struct p2m_entry e = p2m_lookup(d, gpa / PAGE);
    uint64_t off = gpa % PAGE, page;
    ssize_t n;
    int fd;

    switch (e.type) {
    case P2M_RAM_RO:
    case P2M_RAM_IOREQ:
        if (write) {
            return 0;    /* lost, as a guest's own writes are */
        }
        /* fall through */
    case P2M_RAM:
        fd = page_fd(d, e.page, false, &page);
        off += page * PAGE;
        n = write ? pwrite(fd, buf, len, (off_t)off) : pread(fd, buf, len, (off_t)off);
        return n == (ssize_t)len ? 0 : -EIO;
    case P2M_XEN:
        if (write) {
            memcpy(d->xen_map + e.page * PAGE + off, buf, len);
        } else {
            memcpy(buf, d->xen_map + e.page * PAGE + off, len);
        }
        return 0;
    case P2M_FOREIGN:
        return foreign_io(&d->foreign.e[e.page], off, buf, len, write);
    default:
        return -EFAULT;
    }
}

static int gpa_io(struct domain *d, uint64_t gpa, void *buf, size_t len, bool write)
{
    uint8_t *p = buf;

    while (len) {
        size_t n = PAGE - gpa % PAGE;
        int rc;

        n = n < len ? n : len;
        rc = page_io(d, gpa, p, n, write);
        if (rc) {
            return rc;
        }
        gpa += n;
        p += n;
        len -= n;
    }
    return 0;
}

int gpa_read(struct domain *d, uint64_t gpa, void *buf, size_t len)
{
    return gpa_io(d, gpa, buf, len, false);
}

int gpa_write(struct domain *d, uint64_t gpa, const void *buf, size_t len)
{
    return gpa_io(d, gpa, (void *)(uintptr_t)buf, len, true);
}

/* The levels of a paging mode: where an index starts, how wide it is, the size of an entry. */
struct walk { unsigned levels, entry; unsigned shift[5], bits[5]; };

static void walk_mode(const struct hcall *hc, struct walk *w)
{
    if (hc->efer & EFER_LMA) {
        unsigned levels = hc->cr4 & CR4_LA57 ? 5 : 4;

        *w = (struct walk){ levels, 8, { 12, 21, 30, 39, 48 }, { 9, 9, 9, 9, 9 } };
    } else if (hc->cr4 & CR4_PAE) {
        *w = (struct walk){ 3, 8, { 12, 21, 30 }, { 9, 9, 2 } };
    } else {
        *w = (struct walk){ 2, 4, { 12, 22 }, { 10, 10 } };
    }
}

/*
 * Guest linear to guest physical with supervisor rights. Accessed and dirty bits are left alone:
 * the core cannot set them atomically against the guest, and hypercall buffers are kernel memory.
 */
static int gva_to_gpa(struct hcall *hc, uint64_t gva, bool write, uint64_t *gpa)
{
    struct walk w;
    uint64_t table;

    if (!(hc->cr0 & CR0_PG)) {
        *gpa = gva & 0xffffffffull;
        return 0;
    }
    walk_mode(hc, &w);
    table = w.entry == 8 && w.levels == 3 ? hc->cr3 & 0xffffffe0ull : hc->cr3 & PTE_ADDR;
    for (unsigned l = w.levels; l-- > 0;) {
        uint64_t index = (gva >> w.shift[l]) & ((1u << w.bits[l]) - 1);
        uint64_t pte = 0, size = 1ull << w.shift[l];

        if (gpa_read(hc->d, table + index * w.entry, &pte, w.entry) || !(pte & PTE_P)) {
            return -EFAULT;
        }
        if (write && (hc->cr0 & CR0_WP) && !(pte & PTE_RW) && !(w.levels == 3 && l == 2)) {
            return -EFAULT;
        }
        if (l == 0 || (l < 3 && !(w.levels == 3 && l == 2) && (pte & PTE_PS) &&
                       (w.entry == 8 || (hc->cr4 & CR4_PSE)))) {
            uint64_t base = pte & PTE_ADDR & ~(size - 1);

            if (w.entry == 4 && l == 1) {
                base |= ((pte >> 13) & 0xff) << 32;    /* PSE-36 */
            }
            *gpa = base | (gva & (size - 1));
            return 0;
        }
        table = pte & PTE_ADDR;
    }
    return -EFAULT;
}

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 7) >> 7) == a;    /* 57 bits: the walk rejects the rest */
}

static int guest_io(struct hcall *hc, uint64_t gva, void *buf, size_t len, bool write)
{
    uint8_t *p = buf;

    while (len) {
        size_t n = PAGE - gva % PAGE;
        uint64_t gpa;
        int rc;

        n = n < len ? n : len;
        if (hc->compat || !(hc->efer & EFER_LMA)) {
            gva &= 0xffffffffull;
        } else if (!canonical(gva)) {
            return -EFAULT;
        }
        rc = gva_to_gpa(hc, gva, write, &gpa);
        if (!rc) {
            rc = gpa_io(hc->d, gpa, p, n, write);
        }
        if (rc) {
            return -EFAULT;
        }
        gva += n;
        p += n;
        len -= n;
    }
    return 0;
}

/* Where [ptr, ptr + len) of a client's addresses lies in the core, or NULL. */
static uint8_t *arena_at(struct client *c, uint64_t ptr, uint64_t len)
{
    if (!c->arena || ptr < c->arena_va || ptr - c->arena_va > c->arena_size ||
        len > c->arena_size - (ptr - c->arena_va)) {
        return NULL;
    }
    return c->arena + (ptr - c->arena_va);
}

int copy_from_guest(struct hcall *hc, void *dst, uint64_t src, size_t len)
{
    uint8_t *at;

    if (!len) {
        return 0;
    }
    if (!hc->client) {
        return guest_io(hc, src, dst, len, false);
    }
    at = arena_at(hc->client, src, len);
    if (!at) {
        return -EFAULT;
    }
    memcpy(dst, at, len);
    return 0;
}

int copy_to_guest(struct hcall *hc, uint64_t dst, const void *src, size_t len)
{
    uint8_t *at;

    if (!len) {
        return 0;
    }
    if (!hc->client) {
        return guest_io(hc, dst, (void *)(uintptr_t)src, len, true);
    }
    at = arena_at(hc->client, dst, len);
    if (!at) {
        return -EFAULT;
    }
    memcpy(at, src, len);
    return 0;
}
