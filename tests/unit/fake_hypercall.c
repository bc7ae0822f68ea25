/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_hypercall.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HEADER_CHANGESET 0x1234567890abcdefull

struct fake_host fake;

static const xen_cpuid_leaf_t policy[] = {
    { 0, XEN_CPUID_NO_SUBLEAF, 7, 1, 2, 3 },
    { 1, XEN_CPUID_NO_SUBLEAF, 0x600, 0, 0x80202021, 0x1fcbfbff },
    { 7, 0, 0, 0x00100080, 0, 0 },
    { 0x80000000, XEN_CPUID_NO_SUBLEAF, 0x80000008, 0, 0, 0 },
    { 0x80000001, XEN_CPUID_NO_SUBLEAF, 0, 0, 5, 0x28100800 },
    { 0x80000007, XEN_CPUID_NO_SUBLEAF, 0, 0, 0, 0x100 },
};
#define NR_POLICY (sizeof(policy) / sizeof(policy[0]))

void fake_start(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.max_pages = ~0ul;
    fake.caps = "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_64 ";
    fake.populated = calloc(1, FAKE_GFNS);
    fake.grants = calloc(1, XC_PAGE_SIZE);
    fake.mem = memfd_create("fake", MFD_CLOEXEC);
    if (!fake.populated || !fake.grants || ftruncate(fake.mem, (off_t)FAKE_GFNS << 12)) {
        abort();
    }
}

void fake_stop(void)
{
    free(fake.populated);
    free(fake.grants);
    close(fake.mem);
}

void fake_read(uint64_t gpa, void *to, size_t len)
{
    if (pread(fake.mem, to, len, (off_t)gpa) != (ssize_t)len) {
        abort();
    }
}

void fake_write(uint64_t gpa, const void *from, size_t len)
{
    for (uint64_t gfn = gpa >> XC_PAGE_SHIFT; gfn <= (gpa + len - 1) >> XC_PAGE_SHIFT; gfn++) {
        fake.populated[gfn] = 1;
    }
    if (pwrite(fake.mem, from, len, (off_t)gpa) != (ssize_t)len) {
        abort();
    }
}

static int fail(int err)
{
    errno = err;
    return -1;
}

/* ---- libxencall ------------------------------------------------------------------------- */

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    return (xencall_handle *)&fake;
}

int xencall_close(xencall_handle *xcall)
{
    return 0;
}

void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
    fake.buffers++;
    return malloc(size);
}

void xencall_free_buffer(xencall_handle *xcall, void *p)
{
    fake.buffers--;
    free(p);
}

void *xencall_alloc_buffer_pages(xencall_handle *xcall, size_t nr_pages)
{
    return xencall_alloc_buffer(xcall, nr_pages << XC_PAGE_SHIFT);
}

void xencall_free_buffer_pages(xencall_handle *xcall, void *p, size_t nr_pages)
{
    xencall_free_buffer(xcall, p);
}

static int populate(struct xen_memory_reservation *r)
{
    const xen_pfn_t *gfns = r->extent_start.p;
    unsigned int o = r->extent_order, slot = o / 9;
    unsigned long size = 1ul << o, i;

    if ((o != 0 && o != 9 && o != 18) || r->domid != FAKE_DOMID) {
        return fail(EINVAL);
    }
    if (o && fake.no_large_pages) {
        return 0;
    }
    for (i = 0; i < r->nr_extents; i++) {
        if (gfns[i] & (size - 1) || gfns[i] + size > FAKE_GFNS) {
            return fail(EINVAL);
        }
        if (fake.pages + size > fake.max_pages) {
            break;
        }
        for (unsigned long p = 0; p < size; p++) {
            if (fake.populated[gfns[i] + p]++) {
                return fail(EEXIST);
            }
        }
        fake.pages += size;
        fake.extents[slot]++;
    }
    return (int)i;
}

static int hvm_param(unsigned int op, struct xen_hvm_param *p)
{
    if (p->domid != FAKE_DOMID || p->index >= FAKE_PARAMS) {
        return fail(EINVAL);
    }
    if (op == HVMOP_set_param) {
        fake.params[p->index] = p->value;
    } else {
        p->value = fake.params[p->index];
    }
    return 0;
}

static int memory_op(unsigned int op, void *arg)
{
    struct xen_memory_reservation *r = arg;

    switch (op) {
    case XENMEM_populate_physmap:
        return populate(r);
    case XENMEM_claim_pages:
        fake.claimed = r->nr_extents;
        return 0;
    default:
        return fail(ENOSYS);
    }
}

long xencall2L(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    void *arg = (void *)(uintptr_t)arg2;

    if (++fake.calls == fake.fail_at) {
        return fail(fake.fail_errno);
    }
    if (fake.on_op) {
        int rc = fake.on_op(op, (unsigned int)arg1, arg);

        if (rc != FAKE_PASS) {
            return rc;
        }
    }
    switch (op) {
    case __HYPERVISOR_memory_op:
        return memory_op((unsigned int)arg1, arg);
    case __HYPERVISOR_hvm_op:
        return hvm_param((unsigned int)arg1, arg);
    case __HYPERVISOR_xen_version:
        if (arg1 == XENVER_capabilities) {
            strcpy(arg, fake.caps);
            return 0;
        }
        return arg1 == XENVER_version ? 4 << 16 | 17 : fail(ENOSYS);
    default:
        return fail(ENOSYS);
    }
}

static int get_context(struct xen_domctl_hvmcontext *h)
{
    struct {
        struct hvm_save_descriptor d;
        HVM_SAVE_TYPE(HEADER) header;
        struct hvm_save_descriptor end;
    } image = {
        .d = { HVM_SAVE_CODE(HEADER), 0, HVM_SAVE_LENGTH(HEADER) },
        .header = { .magic = HVM_FILE_MAGIC, .version = HVM_FILE_VERSION,
                    .changeset = HEADER_CHANGESET },
    };

    if (h->buffer.p && h->size < sizeof(image)) {
        return fail(ENOSPC);
    }
    if (h->buffer.p) {
        memcpy(h->buffer.p, &image, sizeof(image));
    }
    h->size = sizeof(image);
    return 0;
}

/* A header of ours, then records up to the end record, and no byte more. */
static int set_context(const struct xen_domctl_hvmcontext *h)
{
    const uint8_t *p = h->buffer.p;
    uint32_t at = 0;

    for (;;) {
        struct hvm_save_descriptor d;

        if (h->size - at < sizeof(d)) {
            return fail(EINVAL);
        }
        memcpy(&d, p + at, sizeof(d));
        at += sizeof(d);
        if (d.length > h->size - at || (at == sizeof(d)) != (d.typecode == 1)) {
            return fail(EINVAL);
        }
        if (d.typecode == HVM_SAVE_CODE(END)) {
            return at == h->size ? 0 : fail(EINVAL);
        }
        if (d.typecode == HVM_SAVE_CODE(HEADER)) {
            const HVM_SAVE_TYPE(HEADER) *header = (const void *)(p + at);

            if (header->changeset != HEADER_CHANGESET) {
                return fail(EINVAL);
            }
        }
        if (d.typecode == HVM_SAVE_CODE(CPU) && d.length == sizeof(fake.cpu) && !d.instance) {
            memcpy(&fake.cpu, p + at, sizeof(fake.cpu));
            fake.cpu_set = true;
        }
        at += d.length;
    }
}

static int set_policy(const struct xen_domctl_cpu_policy *c)
{
    if (c->nr_leaves > FAKE_LEAVES) {
        return fail(E2BIG);
    }
    memcpy(fake.set_leaves, c->leaves.p, c->nr_leaves * sizeof(fake.set_leaves[0]));
    fake.nr_set_leaves = c->nr_leaves;
    return 0;
}

static int do_fake_domctl(struct xen_domctl *d)
{
    if (d->interface_version != XEN_DOMCTL_INTERFACE_VERSION) {
        return fail(EACCES);
    }
    if (fake.on_domctl) {
        int rc = fake.on_domctl(d);

        if (rc != FAKE_PASS) {
            return rc;
        }
    }
    if (d->domain != FAKE_DOMID) {
        return fail(ESRCH);
    }
    switch (d->cmd) {
    case XEN_DOMCTL_gethvmcontext:
        return get_context(&d->u.hvmcontext);
    case XEN_DOMCTL_sethvmcontext:
        return set_context(&d->u.hvmcontext);
    case XEN_DOMCTL_set_cpu_policy:
        return set_policy(&d->u.cpu_policy);
    case XEN_DOMCTL_getdomaininfo:
        d->u.getdomaininfo.domain = FAKE_DOMID;
        d->u.getdomaininfo.flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_paused;
        d->u.getdomaininfo.tot_pages = fake.pages;
        return 0;
    default:
        return fail(ENOSYS);
    }
}

static int do_fake_sysctl(struct xen_sysctl *s)
{
    struct xen_sysctl_cpu_policy *c = &s->u.cpu_policy;

    if (s->interface_version != XEN_SYSCTL_INTERFACE_VERSION) {
        return fail(EACCES);
    }
    if (fake.on_sysctl) {
        int rc = fake.on_sysctl(s);

        if (rc != FAKE_PASS) {
            return rc;
        }
    }
    if (s->cmd != XEN_SYSCTL_get_cpu_policy) {
        return fail(ENOSYS);
    }
    if (c->leaves.p) {
        if (c->nr_leaves < NR_POLICY) {
            return fail(ENOBUFS);
        }
        memcpy(c->leaves.p, policy, sizeof(policy));
    }
    c->nr_leaves = NR_POLICY;
    c->nr_msrs = 0;
    return 0;
}

int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg1)
{
    void *arg = (void *)(uintptr_t)arg1;

    if (++fake.calls == fake.fail_at) {
        return fail(fake.fail_errno);
    }
    if (fake.on_op && op != __HYPERVISOR_domctl && op != __HYPERVISOR_sysctl) {
        int rc = fake.on_op(op, 0, arg);

        return rc == FAKE_PASS ? fail(ENOSYS) : rc;
    }
    switch (op) {
    case __HYPERVISOR_domctl:
        return do_fake_domctl(arg);
    case __HYPERVISOR_sysctl:
        return do_fake_sysctl(arg);
    default:
        return fail(ENOSYS);
    }
}

/* Grant table operations: nothing that a build does. */
int xencall3(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3)
{
    return fail(ENOSYS);
}

/* Of PV guests' page tables: there are none. */
int xencall4(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4)
{
    return fail(ENOSYS);
}

/* ---- libxenforeignmemory ---------------------------------------------------------------- */

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
                                               unsigned open_flags)
{
    return (xenforeignmemory_handle *)&fake;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    return 0;
}

/* Copies of what there is; err[] says of each frame whether that is anything. */
static void *map_some(size_t pages, const xen_pfn_t arr[], int err[])
{
    char *p = mmap(NULL, pages << XC_PAGE_SHIFT, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        return NULL;
    }
    for (size_t i = 0; i < pages; i++) {
        err[i] = arr[i] < FAKE_GFNS && fake.populated[arr[i]] ? 0 : -EINVAL;
        if (!err[i]) {
            fake_read(arr[i] << XC_PAGE_SHIFT, p + (i << XC_PAGE_SHIFT), XC_PAGE_SIZE);
        }
    }
    fake.maps++;
    return p;
}

/* Frames in ascending order without gaps, as the builder maps them. */
void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t arr[], int err[])
{
    void *p;

    if (++fake.calls == fake.fail_at) {
        errno = fake.fail_errno;
        return NULL;
    }
    if (fake.holes && err) {
        return map_some(pages, arr, err);
    }
    for (size_t i = 0; i < pages; i++) {
        if (arr[i] != arr[0] + i || arr[i] >= FAKE_GFNS || !fake.populated[arr[i]]) {
            errno = EINVAL;
            return NULL;
        }
    }
    p = mmap(NULL, pages << XC_PAGE_SHIFT, prot, MAP_SHARED, fake.mem,
             (off_t)(arr[0] << XC_PAGE_SHIFT));
    if (p == MAP_FAILED) {
        return NULL;
    }
    fake.maps++;
    return p;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    fake.maps--;
    return munmap(addr, pages << XC_PAGE_SHIFT);
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *fmem, domid_t domid, unsigned int type, unsigned int id,
    unsigned long frame, unsigned long nr_frames, void **paddr, int prot, int flags)
{
    if (++fake.calls == fake.fail_at) {
        errno = fake.fail_errno;
        return NULL;
    }
    if (type != XENMEM_resource_grant_table || id != XENMEM_resource_grant_table_id_shared ||
        frame || nr_frames != 1) {
        errno = EINVAL;
        return NULL;
    }
    fake.maps++;
    *paddr = fake.grants;
    return (xenforeignmemory_resource_handle *)fake.grants;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres)
{
    fake.maps--;
    return 0;
}

/* ---- libxendevicemodel ------------------------------------------------------------------ */

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    return (xendevicemodel_handle *)&fake;
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
    return 0;
}
