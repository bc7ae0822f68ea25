/* SPDX-License-Identifier: MIT */
/*
 * The low libraries against the real core and a real domain, which never runs: every function that
 * names a domain, what it does and what it refuses.
 */
#define __XEN_TOOLS__ 1
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/version.h>

#include "include/xencall.h"
#include "include/xendevicemodel.h"
#include "include/xenevtchn.h"
#include "include/xenforeignmemory.h"
#include "include/xengnttab.h"
#include "include/xenhypfs.h"
#include "include/xentoolcore.h"
#include "include/xentoolcore_internal.h"
#include "include/xentoollog.h"

#define PAGE   4096u
#define PAGES  64u
#define VCPUS  2u
#define RW     (PROT_READ | PROT_WRITE)

static char dir[64];
static pid_t core;
static xentoollog_logger *lg;
static xencall_handle *call;
static xendevicemodel_handle *dm;
static xenforeignmemory_handle *fm;
static xengnttab_handle *gt;
static xenevtchn_handle *evt;
static uint32_t domid;

static long domctl(struct xen_domctl *op)
{
    struct xen_domctl *buf = xencall_alloc_buffer(call, sizeof(*buf));
    int rc;

    assert_non_null(buf);
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    *buf = *op;
    rc = xencall1(call, __HYPERVISOR_domctl, (uintptr_t)buf);
    *op = *buf;
    xencall_free_buffer(call, buf);
    return rc;
}

static int with_arg(unsigned op, unsigned sub, void *arg, size_t size)
{
    void *buf = xencall_alloc_buffer(call, size);
    int rc;

    assert_non_null(buf);
    memcpy(buf, arg, size);
    rc = xencall2(call, op, sub, (uintptr_t)buf);
    memcpy(arg, buf, size);
    xencall_free_buffer(call, buf);
    return rc;
}

static void populate(uint64_t first, uint64_t nr)
{
    struct xen_memory_reservation *r = xencall_alloc_buffer(call, sizeof(*r));
    xen_pfn_t *list = xencall_alloc_buffer(call, nr * sizeof(*list));

    for (uint64_t i = 0; i < nr; i++)
        list[i] = first + i;
    memset(r, 0, sizeof(*r));
    set_xen_guest_handle_raw(r->extent_start, list);
    r->nr_extents = nr;
    r->domid = (domid_t)domid;
    assert_int_equal(xencall2L(call, __HYPERVISOR_memory_op, XENMEM_populate_physmap, (uintptr_t)r), nr);
    xencall_free_buffer(call, list);
    xencall_free_buffer(call, r);
}

static void set_param(uint32_t index, uint64_t value)
{
    struct xen_hvm_param p = {.domid = (domid_t)domid, .index = index, .value = value};

    assert_int_equal(with_arg(__HYPERVISOR_hvm_op, HVMOP_set_param, &p, sizeof(p)), 0);
}

static void make_domain(void)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_createdomain};
    struct xen_domctl_createdomain *c = &op.u.createdomain;

    c->flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
    c->max_vcpus = VCPUS;
    c->max_evtchn_port = 1023;
    c->max_grant_frames = 4;
    c->max_maptrack_frames = 4;
    c->grant_opts = 2;
    c->arch.emulation_flags = XEN_X86_EMU_LAPIC;
    assert_int_equal(domctl(&op), 0);
    domid = op.domain;
    op = (struct xen_domctl){.cmd = XEN_DOMCTL_max_vcpus, .domain = (domid_t)domid};
    op.u.max_vcpus.max = VCPUS;
    assert_int_equal(domctl(&op), 0);
    op = (struct xen_domctl){.cmd = XEN_DOMCTL_max_mem, .domain = (domid_t)domid};
    op.u.max_mem.max_memkb = 2 * PAGES * 4;
    assert_int_equal(domctl(&op), 0);
    populate(0, PAGES);
}

static int group_teardown(void **state)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_destroydomain, .domain = (domid_t)domid};
    char cmd[128];

    if (call && domid)
        domctl(&op);
    xenevtchn_close(evt);
    xengnttab_close(gt);
    xenforeignmemory_close(fm);
    xendevicemodel_close(dm);
    xencall_close(call);
    if (core > 0) {
        kill(core, SIGTERM);
        waitpid(core, NULL, 0);
    }
    xtl_logger_destroy(lg);
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
    return system(cmd);
}

static int group_setup(void **state)
{
    const char *build = getenv("KR_BUILDDIR");
    char exe[4096], domain[4096], path[128];

    strcpy(dir, "/tmp/low-domain-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(exe, sizeof(exe), "%s/hypervisor/core/kryptond", build ? build : ".");
    snprintf(domain, sizeof(domain), "%s/hypervisor/domain/krypton-domain", build ? build : ".");
    snprintf(path, sizeof(path), "%s/core", dir);
    setenv("KRYPTON_RUNDIR", dir, 1);
    setenv("KRYPTON_TRANSPORT", "core", 1);
    setenv("KRYPTON_DOMAIN_PROGRAM", domain, 1);
    lg = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_NUM_LEVELS, 0);
    core = fork();
    if (core == 0) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, STDERR_FILENO);
        execl(exe, exe, (char *)NULL);
        _exit(127);
    }
    /* It asks its engine first, which takes a while on a busy machine. */
    for (int i = 0; i < 3000 && !call && !waitpid(core, NULL, WNOHANG); i++) {
        usleep(10000);
        if (!access(path, F_OK))
            call = xencall_open(lg, 0);
    }
    dm = xendevicemodel_open(lg, 0);
    fm = xenforeignmemory_open(lg, 0);
    gt = xengnttab_open(lg, 0);
    evt = xenevtchn_open(lg, 0);
    if (!call || !dm || !fm || !gt || !evt) {
        fprintf(stderr, "%s does not run\n", exe);
        group_teardown(state);
        return -1;
    }
    make_domain();
    return 0;
}

static void hypercalls(void **state)
{
    xen_extraversion_t *extra = xencall_alloc_buffer_pages(call, 1);

    assert_non_null(extra);
    assert_int_equal(xencall_buffers_never_fault(call), 1);
    assert_true(xencall_fd(call) >= 0);
    assert_int_equal(xencall0(call, __HYPERVISOR_xen_version), 4 << 16 | 17);
    assert_int_equal(xencall1(call, __HYPERVISOR_xen_version, XENVER_pagesize), PAGE);
    assert_int_equal(xencall2(call, __HYPERVISOR_xen_version, XENVER_extraversion, (uintptr_t)extra), 0);
    assert_int_equal((*extra)[0], '.');
    strcpy(*extra, "hello\n");
    assert_int_equal(xencall3(call, __HYPERVISOR_console_io, CONSOLEIO_write, 6, (uintptr_t)extra), 0);
    assert_int_equal(xencall4(call, __HYPERVISOR_xen_version, XENVER_version, 0, 0, 0), 4 << 16 | 17);
    assert_int_equal(xencall5(call, __HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0), 4 << 16 | 17);
    assert_int_equal(xencall2L(call, 99, 0, 0), -1);
    assert_int_equal(errno, ENOSYS);
    xencall_free_buffer_pages(call, extra, 1);
    assert_null(xencall_open(lg, 1u << 7));
    assert_int_equal(errno, EINVAL);
}

#define FAILS(what, with)                 \
    do {                                  \
        errno = 0;                        \
        assert_int_equal((what), -1);     \
        assert_int_equal(errno, with);    \
    } while (0)

static void io_servers(void **state)
{
    struct shared_iopage *page;
    xenforeignmemory_resource_handle *r;
    evtchn_port_t buffered = 0;
    xen_pfn_t gfn[2];
    void *addr = NULL;
    ioservid_t id, other;
    unsigned n = 0;
    size_t size;
    int port;

    assert_int_equal(xendevicemodel_nr_vcpus(dm, domid, &n), 0);
    assert_int_equal(n, VCPUS);
    assert_int_equal(xendevicemodel_create_ioreq_server(dm, domid, HVM_IOREQSRV_BUFIOREQ_ATOMIC, &id), 0);
    FAILS(xendevicemodel_create_ioreq_server(dm, domid, 3, &other), EINVAL);
    FAILS(xendevicemodel_create_ioreq_server(dm, 0, 0, &other), EPERM);
    FAILS(xendevicemodel_create_ioreq_server(dm, 1234, 0, &other), ESRCH);
    assert_int_equal(xendevicemodel_get_ioreq_server_info(dm, domid, id, NULL, NULL, &buffered), 0);
    assert_true(buffered > 0);
    FAILS(xendevicemodel_get_ioreq_server_info(dm, domid, id, &gfn[0], &gfn[1], NULL), ENOMEM);
    assert_int_equal(xenforeignmemory_resource_size(fm, domid, XENMEM_resource_ioreq_server, id, &size), 0);
    assert_int_equal(size, 2 * PAGE);
    r = xenforeignmemory_map_resource(fm, domid, XENMEM_resource_ioreq_server, id, 0, 2, &addr, RW, 0);
    assert_non_null(r);
    assert_int_equal(xendevicemodel_set_ioreq_server_state(dm, domid, id, 1), 0);
    page = (void *)((char *)addr + PAGE);
    for (unsigned v = 0; v < VCPUS; v++) {
        port = xenevtchn_bind_interdomain(evt, domid, page->vcpu_ioreq[v].vp_eport);
        assert_true(port > 0);
        assert_int_equal(xenevtchn_notify(evt, port), 0);
        FAILS(xenevtchn_bind_interdomain(evt, domid, page->vcpu_ioreq[v].vp_eport), EINVAL);
        assert_int_equal(xenevtchn_unbind(evt, port), 0);
    }
    port = xenevtchn_bind_interdomain(evt, domid, buffered);
    assert_true(port > 0);
    assert_int_equal(xenevtchn_unbind(evt, port), 0);
    assert_int_equal(xenforeignmemory_unmap_resource(fm, r), 0);
    assert_null(xenforeignmemory_map_resource(fm, domid, XENMEM_resource_ioreq_server, 5, 0, 2, &addr,
                RW, 0));
    assert_int_equal(errno, ENOENT);
    assert_null(xenforeignmemory_map_resource(fm, domid, XENMEM_resource_vmtrace_buf, 0, 0, 1, &addr, RW, 0));
    assert_int_equal(errno, EINVAL);
    FAILS(xenforeignmemory_resource_size(fm, domid, 77, 0, &size), EOPNOTSUPP);

    assert_int_equal(xendevicemodel_map_io_range_to_ioreq_server(dm, domid, id, 1, 0x1000, 0x1fff), 0);
    FAILS(xendevicemodel_map_io_range_to_ioreq_server(dm, domid, id, 1, 0x1800, 0x1800), EEXIST);
    assert_int_equal(xendevicemodel_map_io_range_to_ioreq_server(dm, domid, id, 0, 0x1800, 0x1800), 0);
    assert_int_equal(xendevicemodel_unmap_io_range_from_ioreq_server(dm, domid, id, 1, 0x1000, 0x1fff), 0);
    FAILS(xendevicemodel_unmap_io_range_from_ioreq_server(dm, domid, id, 1, 0x1000, 0x1fff), ENOENT);
    assert_int_equal(xendevicemodel_map_pcidev_to_ioreq_server(dm, domid, id, 0, 0, 3, 1), 0);
    FAILS(xendevicemodel_map_pcidev_to_ioreq_server(dm, domid, id, 0, 0, 3, 1), EEXIST);
    FAILS(xendevicemodel_map_pcidev_to_ioreq_server(dm, domid, id, 0, 0, 32, 0), EINVAL);
    assert_int_equal(xendevicemodel_unmap_pcidev_from_ioreq_server(dm, domid, id, 0, 0, 3, 1), 0);
    FAILS(xendevicemodel_unmap_pcidev_from_ioreq_server(dm, domid, id, 0, 0, 3, 1), ENOENT);

    /* With frames put aside, the second one can be had by number too. */
    set_param(HVM_PARAM_IOREQ_SERVER_PFN, 60);
    set_param(HVM_PARAM_NR_IOREQ_SERVER_PAGES, 2);
    assert_int_equal(xendevicemodel_create_ioreq_server(dm, domid, HVM_IOREQSRV_BUFIOREQ_LEGACY, &other), 0);
    assert_int_equal(xendevicemodel_get_ioreq_server_info(dm, domid, other, &gfn[0], &gfn[1], &buffered), 0);
    assert_int_equal(gfn[0] + gfn[1], 121);
    addr = xenforeignmemory_map(fm, domid, RW, 2, gfn, NULL);
    assert_non_null(addr);
    assert_int_equal(xenforeignmemory_unmap(fm, addr, 2), 0);
    FAILS(xendevicemodel_get_ioreq_server_info(dm, domid, id, &gfn[0], NULL, NULL), EPERM);
    assert_int_equal(xendevicemodel_destroy_ioreq_server(dm, domid, other), 0);
    assert_int_equal(xendevicemodel_destroy_ioreq_server(dm, domid, id), 0);
    FAILS(xendevicemodel_destroy_ioreq_server(dm, domid, id), ENOENT);
}

static void device_models(void **state)
{
    struct xen_dm_op_modified_memory_extent ext[2] = {{.first_pfn = 4, .nr = 1}, {.first_pfn = 8, .nr = 2}};
    unsigned long bits = 0;
    const xen_pfn_t gfn = 5;
    ioservid_t id;
    char *p;

    assert_int_equal(xendevicemodel_create_ioreq_server(dm, domid, 0, &id), 0);
    FAILS(xendevicemodel_set_mem_type(dm, domid, HVMMEM_ioreq_server, 5, 1), EINVAL);
    assert_int_equal(xendevicemodel_map_mem_type_to_ioreq_server(dm, domid, id, HVMMEM_ioreq_server,
                                                                 XEN_DMOP_IOREQ_MEM_ACCESS_WRITE), 0);
    assert_int_equal(xendevicemodel_set_mem_type(dm, domid, HVMMEM_ioreq_server, 5, 1), 0);
    assert_int_equal(xendevicemodel_map_mem_type_to_ioreq_server(dm, domid, id, HVMMEM_ioreq_server, 0), 0);
    FAILS(xendevicemodel_map_mem_type_to_ioreq_server(dm, domid, id, HVMMEM_ram_ro, 0), EINVAL);
    assert_int_equal(xendevicemodel_destroy_ioreq_server(dm, domid, id), 0);
    assert_int_equal(xendevicemodel_set_mem_type(dm, domid, HVMMEM_ram_ro, 5, 2), 0);
    assert_int_equal(xendevicemodel_set_mem_type(dm, domid, HVMMEM_ram_rw, 5, 2), 0);
    FAILS(xendevicemodel_set_mem_type(dm, domid, HVMMEM_ram_ro, PAGES, 1), EINVAL);

    assert_int_equal(xendevicemodel_track_dirty_vram(dm, domid, 4, 8, &bits), 0);
    assert_int_equal(bits, 0xff);
    p = xenforeignmemory_map(fm, domid, RW, 1, &gfn, NULL);
    assert_non_null(p);
    p[7]++;
    xenforeignmemory_unmap(fm, p, 1);
    bits = 0;
    assert_int_equal(xendevicemodel_track_dirty_vram(dm, domid, 4, 8, &bits), 0);
    assert_int_equal(bits, 2);
    assert_int_equal(xendevicemodel_modified_memory(dm, domid, 6, 1), 0);
    assert_int_equal(xendevicemodel_modified_memory_bulk(dm, domid, ext, 2), 0);
    FAILS(xendevicemodel_modified_memory(dm, domid, PAGES - 1, 2), EINVAL);
    bits = 0;
    assert_int_equal(xendevicemodel_track_dirty_vram(dm, domid, 4, 8, &bits), 0);
    assert_int_equal(bits, 0x35);

    assert_int_equal(xendevicemodel_inject_msi(dm, domid, 0xfee00000, 0x41), 0);
    FAILS(xendevicemodel_inject_msi(dm, domid, 0xfee00000, 0), ERANGE);
    assert_int_equal(xendevicemodel_inject_event(dm, domid, 1, 14, XEN_DMOP_EVENT_hw_exc, 2, 0, 0x1000), 0);
    FAILS(xendevicemodel_inject_event(dm, domid, 1, 14, XEN_DMOP_EVENT_hw_exc, 2, 0, 0x1000), EBUSY);
    FAILS(xendevicemodel_inject_event(dm, domid, 2, 14, XEN_DMOP_EVENT_hw_exc, 2, 0, 0x1000), EINVAL);
    FAILS(xendevicemodel_set_isa_irq_level(dm, domid, 7, 1), ENODEV);
    FAILS(xendevicemodel_set_pci_intx_level(dm, domid, 0, 0, 3, 0, 1), ENODEV);
    FAILS(xendevicemodel_set_pci_link_route(dm, domid, 0, 5), ENODEV);
    FAILS(xendevicemodel_set_irq_level(dm, domid, 33, 1), EOPNOTSUPP);
    assert_int_equal(xendevicemodel_relocate_memory(dm, domid, 2, 20, 100), 0);
    assert_int_equal(xendevicemodel_relocate_memory(dm, domid, 2, 100, 20), 0);
    FAILS(xendevicemodel_relocate_memory(dm, domid, 2, 100, 20), EINVAL);
    assert_int_equal(xendevicemodel_pin_memory_cacheattr(dm, domid, 1, 2, XEN_DMOP_MEM_CACHEATTR_WC), 0);
    FAILS(xendevicemodel_pin_memory_cacheattr(dm, domid, 2, 3, XEN_DMOP_MEM_CACHEATTR_WC), EBUSY);
    assert_int_equal(xendevicemodel_pin_memory_cacheattr(dm, domid, 1, 2, XEN_DMOP_DELETE_MEM_CACHEATTR), 0);
}

static void foreign(void **state)
{
    const xen_pfn_t gfns[3] = {3, 4, 5000};
    int err[3] = {1, 1, 1};
    char *p, *q;

    p = xenforeignmemory_map(fm, domid, RW, 3, gfns, err);
    assert_non_null(p);
    assert_int_equal(err[0] | err[1], 0);
    assert_int_equal(err[2], -EINVAL);
    strcpy(p + PAGE, "shared");
    q = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_equal(xenforeignmemory_map2(fm, domid, q + PAGE, PROT_READ, MAP_FIXED, 2, gfns, NULL),
                     q + PAGE);
    assert_string_equal(q + 2 * PAGE, "shared");
    assert_int_equal(xenforeignmemory_unmap(fm, q + PAGE, 2), 0);
    munmap(q, 4 * PAGE);
    assert_int_equal(xenforeignmemory_unmap(fm, p, 3), 0);
    assert_null(xenforeignmemory_map(fm, domid, RW, 3, gfns, NULL));
    assert_int_equal(errno, EINVAL);
    assert_null(xenforeignmemory_map(fm, 1234, RW, 1, gfns, NULL));
    assert_int_equal(errno, ESRCH);
}

/* The domain grants frames 3 and 4 to domain 0, as its kernel would. */
static grant_entry_v1_t *grants(xenforeignmemory_resource_handle **r)
{
    void *addr = NULL;
    grant_entry_v1_t *e;

    *r = xenforeignmemory_map_resource(fm, domid, XENMEM_resource_grant_table,
                                       XENMEM_resource_grant_table_id_shared, 0, 1, &addr, RW, 0);
    assert_non_null(*r);
    e = addr;
    for (unsigned i = 0; i < 2; i++)
        e[10 + i] = (grant_entry_v1_t){.flags = GTF_permit_access, .domid = 0, .frame = 3 + i};
    return e;
}

static void grant_maps(void **state)
{
    xenforeignmemory_resource_handle *r;
    grant_entry_v1_t *e = grants(&r);
    uint32_t refs[2] = {10, 11}, domids[2] = {domid, domid}, fd = 0;
    xengnttab_grant_copy_segment_t seg = {.source.virt = "copied", .len = 7, .flags = GNTCOPY_dest_gref};
    struct evtchn_alloc_unbound unbound = {.dom = (domid_t)domid, .remote_dom = 0};
    int port;
    char *p;
    size_t size;

    assert_int_equal(xenforeignmemory_resource_size(fm, domid, XENMEM_resource_grant_table,
                                                    XENMEM_resource_grant_table_id_shared, &size), 0);
    assert_int_equal(size, 4 * PAGE);
    p = xengnttab_map_grant_refs(gt, 2, domids, refs, RW);
    assert_non_null(p);
    strcpy(p, "first");
    assert_true(e[10].flags & GTF_reading && e[11].flags & GTF_writing);
    assert_int_equal(xengnttab_unmap(gt, p, 2), 0);
    assert_false(e[10].flags & (GTF_reading | GTF_writing));
    p = xengnttab_map_domain_grant_refs(gt, 2, domid, refs, PROT_READ);
    assert_string_equal(p, "first");
    assert_int_equal(xengnttab_unmap(gt, p, 2), 0);
    /* The other end is told when a map goes away. */
    assert_int_equal(with_arg(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &unbound,
                     sizeof(unbound)), 0);
    port = xenevtchn_bind_interdomain(evt, domid, unbound.port);
    assert_true(port > 0);
    p = xengnttab_map_grant_ref_notify(gt, domid, 11, RW, 9, (evtchn_port_t)port);
    assert_non_null(p);
    memset(p, 0xff, 16);
    assert_int_equal(xengnttab_unmap(gt, p, 1), 0);
    assert_int_equal(xenevtchn_unbind(evt, port), 0);
    p = xengnttab_map_grant_ref(gt, domid, 11, PROT_READ);
    assert_non_null(p);
    assert_int_equal(p[9], 0);
    assert_int_equal((unsigned char)p[8], 0xff);
    assert_int_equal(xengnttab_unmap(gt, p, 1), 0);
    seg.dest.foreign.ref = 11;
    seg.dest.foreign.domid = (domid_t)domid;
    seg.dest.foreign.offset = 100;
    assert_int_equal(xengnttab_grant_copy(gt, 1, &seg), 0);
    assert_int_equal(seg.status, GNTST_okay);
    p = xengnttab_map_grant_ref(gt, domid, 11, PROT_READ);
    assert_string_equal(p + 100, "copied");
    assert_int_equal(xengnttab_unmap(gt, p, 1), 0);
    assert_null(xengnttab_map_grant_ref(gt, domid, 12, PROT_READ));
    assert_int_equal(xengnttab_set_max_grants(gt, 5), 0);
    assert_true(xengnttab_fd(gt) >= 0);
    /* There are no devices to share a buffer with. */
    FAILS(xengnttab_dmabuf_exp_from_refs(gt, domid, 0, 2, refs, &fd), EOPNOTSUPP);
    FAILS(xengnttab_dmabuf_exp_wait_released(gt, 3, 0), EOPNOTSUPP);
    FAILS(xengnttab_dmabuf_imp_to_refs(gt, domid, 3, 2, refs), EOPNOTSUPP);
    FAILS(xengnttab_dmabuf_imp_release(gt, 3), EOPNOTSUPP);
    e[10].flags = e[11].flags = 0;
    assert_int_equal(xenforeignmemory_unmap_resource(fm, r), 0);
}

static void shares(void **state)
{
    xengntshr_handle *s = xengntshr_open(lg, 0);
    uint32_t refs[2] = {0};
    char *p, *q;
    int port;

    assert_non_null(s);
    assert_true(xengntshr_fd(s) >= 0);
    p = xengntshr_share_pages(s, 0, 2, refs, 1);
    assert_non_null(p);
    q = xengnttab_map_domain_grant_refs(gt, 2, 0, refs, RW);
    assert_non_null(q);
    strcpy(q + PAGE, "to domain 0");
    assert_string_equal(p + PAGE, "to domain 0");
    assert_int_equal(xengnttab_unmap(gt, q, 2), 0);
    assert_int_equal(xengntshr_unshare(s, p, 2), 0);
    assert_null(xengnttab_map_grant_ref(gt, 0, refs[0], RW));
    port = xenevtchn_bind_unbound_port(evt, domid);
    assert_true(port > 0);
    p = xengntshr_share_page_notify(s, domid, refs, 0, 3, (evtchn_port_t)port);
    assert_non_null(p);
    assert_int_equal(xengntshr_unshare(s, p, 1), 0);
    assert_int_equal(xenevtchn_unbind(evt, port), 0);
    assert_int_equal(xengntshr_close(s), 0);
}

static bool readable(xenevtchn_handle *e)
{
    struct pollfd p = {xenevtchn_fd(e), POLLIN, 0};

    return poll(&p, 1, 5000) == 1;
}

static void events(void **state)
{
    struct evtchn_alloc_unbound unbound = {.dom = (domid_t)domid, .remote_dom = 0};
    xenevtchn_handle *e = xenevtchn_open(lg, XENEVTCHN_NO_CLOEXEC);
    int port, other, got, status;
    pid_t pid;

    assert_non_null(e);
    assert_int_equal(with_arg(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &unbound,
                     sizeof(unbound)), 0);
    port = xenevtchn_bind_interdomain(e, domid, unbound.port);
    assert_true(port > 0);
    assert_true(readable(e));
    assert_int_equal(xenevtchn_pending(e), port);
    assert_int_equal(xenevtchn_unmask(e, port), 0);
    assert_int_equal(xenevtchn_notify(e, port), 0);
    assert_int_equal(xenevtchn_unbind(e, port), 0);
    assert_true(xenevtchn_bind_unbound_port(e, domid) > 0);
    port = xenevtchn_bind_virq(e, VIRQ_DOM_EXC);
    assert_true(port > 0);
    FAILS(xenevtchn_bind_virq(evt, VIRQ_DOM_EXC), EEXIST);
    assert_int_equal(xenevtchn_unbind(e, port), 0);
    /* A program that was started with the descriptor goes on with the handle's channels. */
    port = xenevtchn_bind_unbound_port(e, 0);
    other = xenevtchn_bind_interdomain(evt, 0, port);
    assert_true(port > 0 && other > 0);
    pid = fork();
    if (!pid) {
        xenevtchn_handle *again = xenevtchn_fdopen(lg, xenevtchn_fd(e), 0);

        _exit(!again || xenevtchn_notify(again, port));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    while ((got = xenevtchn_pending(evt)) != other)
        assert_true(got > 0 && !xenevtchn_unmask(evt, got));
    assert_int_equal(xenevtchn_unmask(evt, other), 0);
    assert_int_equal(xenevtchn_unbind(evt, other), 0);
    assert_int_equal(xenevtchn_restrict(e, (domid_t)domid), 0);
    FAILS(xenevtchn_bind_unbound_port(e, 0), EPERM);
    assert_true(xenevtchn_bind_unbound_port(e, domid) > 0);
    FAILS(xenevtchn_bind_virq(e, VIRQ_DOM_EXC), EACCES);
    xenevtchn_close(e);
}

/* Handles that are restricted to the domain do for it what they did, and nothing for others. */
static void restrictions(void **state)
{
    xendevicemodel_handle *d = xendevicemodel_open(lg, 0);
    xenforeignmemory_handle *f = xenforeignmemory_open(lg, 0);
    const xen_pfn_t gfn = 3;
    ioservid_t id;
    unsigned n = 0;
    void *p;

    assert_true(d && f);
    assert_int_equal(xendevicemodel_restrict(d, (domid_t)domid), 0);
    assert_int_equal(xendevicemodel_nr_vcpus(d, domid, &n), 0);
    assert_int_equal(xendevicemodel_create_ioreq_server(d, domid, 0, &id), 0);
    assert_int_equal(xendevicemodel_destroy_ioreq_server(d, domid, id), 0);
    FAILS(xendevicemodel_nr_vcpus(d, 0, &n), EPERM);
    FAILS(xendevicemodel_nr_vcpus(d, domid + 1, &n), EPERM);
    assert_int_equal(xendevicemodel_restrict(d, (domid_t)domid), 0);
    assert_int_equal(xendevicemodel_restrict(d, (domid_t)(domid + 1)), -1);
    assert_int_equal(xenforeignmemory_restrict(f, (domid_t)domid), 0);
    p = xenforeignmemory_map(f, domid, PROT_READ, 1, &gfn, NULL);
    assert_non_null(p);
    xenforeignmemory_unmap(f, p, 1);
    assert_null(xenforeignmemory_map(f, domid + 1, PROT_READ, 1, &gfn, NULL));
    assert_int_equal(errno, EPERM);
    xenforeignmemory_close(f);
    xendevicemodel_close(d);
}

static int no_restriction(Xentoolcore__Active_Handle *ah, domid_t to)
{
    errno = EXDEV;
    return to == domid ? 0 : -1;
}

/* In a process of its own: it loses all that its handles could do besides. */
static void restrict_all(void **state)
{
    Xentoolcore__Active_Handle mine = {.restrict_callback = no_restriction};
    int status, fd;
    unsigned n;
    pid_t pid;

    pid = fork();
    if (!pid) {
        xendevicemodel_handle *d = xendevicemodel_open(lg, 0);
        xencall_handle *c = xencall_open(lg, 0);
        int bad = 0;

        /* What came from the parent shares its connections with it: not to be restricted here. */
        xencall_close(call);
        xendevicemodel_close(dm);
        xenforeignmemory_close(fm);
        xengnttab_close(gt);
        xenevtchn_close(evt);
        xentoolcore__register_active_handle(&mine);
        bad |= xentoolcore_restrict_all((domid_t)domid) != 0;
        bad |= (xentoolcore_restrict_all((domid_t)(domid + 1)) != -1) << 1;
        xentoolcore__deregister_active_handle(&mine);
        bad |= (xendevicemodel_nr_vcpus(d, domid, &n) != 0) << 2;
        bad |= (xencall0(c, __HYPERVISOR_xen_version) != -1) << 3;
        fd = open("/dev/zero", O_RDONLY);
        bad |= (xentoolcore__restrict_by_dup2_null(fd) || read(fd, &n, 1) != 0) << 4;
        _exit(bad);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void hypervisor_files(void **state)
{
    xenhypfs_handle *h = xenhypfs_open(lg, 0);
    struct xenhypfs_dirent *d, *list;
    unsigned int nr = 0;
    char *text;

    assert_non_null(h);
    list = xenhypfs_readdir(h, "/", &nr);
    assert_true(list && nr > 0);
    free(list);
    text = xenhypfs_read(h, "/buildinfo/version/major");
    assert_string_equal(text, "4");
    free(text);
    text = xenhypfs_read_raw(h, "/buildinfo/version/minor", &d);
    assert_non_null(text);
    assert_int_equal(d->size, 4);
    free(text);
    free(d);
    FAILS(xenhypfs_write(h, "/buildinfo/version/major", "5"), EACCES);
    xenhypfs_close(h);
}

static void shut_down(void **state)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_getdomaininfo, .domain = (domid_t)domid};

    assert_int_equal(xendevicemodel_shutdown(dm, domid, 1), 0);
    assert_int_equal(domctl(&op), 0);
    assert_true(op.u.getdomaininfo.flags & XEN_DOMINF_shutdown);
    assert_int_equal(op.u.getdomaininfo.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hypercalls), cmocka_unit_test(io_servers), cmocka_unit_test(device_models),
        cmocka_unit_test(foreign), cmocka_unit_test(grant_maps), cmocka_unit_test(shares),
        cmocka_unit_test(events), cmocka_unit_test(restrictions), cmocka_unit_test(restrict_all),
        cmocka_unit_test(hypervisor_files), cmocka_unit_test(shut_down),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
