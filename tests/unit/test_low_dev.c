/* SPDX-License-Identifier: MIT */
/*
 * The low libraries over /dev/xen, with the kernel played by this program: its open() and ioctl()
 * stand in for the C library's, so that a device is a memfd (or a socket, for event channels) and
 * each request can be looked at.
 */
#define _GNU_SOURCE
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <xen/xen.h>
#include <xen/hypfs.h>
#include <xen/memory.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/gntalloc.h>
#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>

#include "include/xencall.h"
#include "include/xendevicemodel.h"
#include "include/xenevtchn.h"
#include "include/xenforeignmemory.h"
#include "include/xengnttab.h"
#include "include/xenhypfs.h"
#include "include/xentoolcore.h"
#include "include/xentoollog.h"

#define PAGE  4096
#define RW    (PROT_READ | PROT_WRITE)
#define PAGES 64

/* What the kernel has been asked, and what it is to answer. */
static struct {
    bool no_hypercall_device;
    int evtchn_peer;                   /* the other end of the event channel "device" */
    int gntdev_fd;
    unsigned long last_request;
    privcmd_hypercall_t call;
    privcmd_dm_op_t dm;
    struct xen_dm_op op;
    uint32_t maps, unmaps, deallocs, count, notify_action, notify_port, restricted;
    uint64_t notify_index;
    uint32_t dmabuf[4];                /* what the last request about a dma-buf said */
    int paged_out;                     /* how often a frame is reported as paged out */
    int fail_with;                     /* errno for the next request */
    char hypfs[8];
} kernel;

int open(const char *path, int flags, ...)
{
    va_list al;
    mode_t mode;
    int fd, pair[2];

    va_start(al, flags);
    mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(al, mode_t) : 0;
    va_end(al);
    if (strncmp(path, "/dev/xen/", 9))
        return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (!strcmp(path, "/dev/xen/evtchn")) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair))
            return -1;
        kernel.evtchn_peer = pair[1];
        return pair[0];
    }
    if (kernel.no_hypercall_device && !strcmp(path, "/dev/xen/hypercall")) {
        errno = ENOENT;
        return -1;
    }
    fd = memfd_create("device", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, PAGES * PAGE))
        return -1;
    if (!strcmp(path, "/dev/xen/gntdev"))
        kernel.gntdev_fd = fd;
    return fd;
}

static int do_mmapbatch(privcmd_mmapbatch_v2_t *b)
{
    int rc = 0;

    kernel.count += b->num;
    for (unsigned i = 0; i < b->num; i++) {
        b->err[i] = b->arr[i] < 1000 ? 0 : -EINVAL;
        if (b->arr[i] == 500 && kernel.paged_out-- > 0) {
            b->err[i] = -ENOENT;
            rc = -1;
        }
    }
    if (rc)
        errno = ENOENT;
    return rc;
}

/* Buffers shared with other devices: fd 42 stands for one. */
static int do_dmabuf(unsigned long request, void *arg)
{
    struct ioctl_gntdev_dmabuf_exp_from_refs *e = arg;
    struct ioctl_gntdev_dmabuf_exp_wait_released *w = arg;
    struct ioctl_gntdev_dmabuf_imp_to_refs *i = arg;
    struct ioctl_gntdev_dmabuf_imp_release *r = arg;

    switch (request) {
    case IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS:
        memcpy(kernel.dmabuf, (uint32_t[]){e->flags, e->count, e->domid, e->refs[e->count - 1]}, 16);
        e->fd = 42;
        return 0;
    case IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED:
        memcpy(kernel.dmabuf, (uint32_t[]){w->fd, w->wait_to_ms}, 8);
        return 0;
    case IOCTL_GNTDEV_DMABUF_IMP_TO_REFS:
        memcpy(kernel.dmabuf, (uint32_t[]){i->fd, i->count, i->domid}, 12);
        for (uint32_t k = 0; k < i->count; k++)
            i->refs[k] = 20 + k;
        return 0;
    case IOCTL_GNTDEV_DMABUF_IMP_RELEASE:
        kernel.dmabuf[0] = r->fd;
        return 0;
    default:
        errno = ENOTTY;
        return -1;
    }
}

static int do_gnt(unsigned long request, void *arg)
{
    struct ioctl_gntdev_map_grant_ref *m = arg;
    struct ioctl_gntdev_unmap_notify *n = arg;
    struct ioctl_gntdev_get_offset_for_vaddr *v = arg;
    struct ioctl_gntalloc_alloc_gref *a = arg;
    struct ioctl_gntdev_grant_copy *c = arg;

    switch (request) {
    case IOCTL_GNTDEV_MAP_GRANT_REF:
        for (uint32_t i = 0; i < m->count; i++)
            if (m->refs[i].domid != 3 || m->refs[i].ref != 10 + i) {
                errno = EINVAL;
                return -1;
            }
        kernel.maps++;
        kernel.count = m->count;
        m->index = 2 * PAGE;
        return 0;
    case IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR:
        v->offset = 2 * PAGE;
        v->count = kernel.count;
        return 0;
    case IOCTL_GNTDEV_UNMAP_GRANT_REF:
        kernel.unmaps++;
        return 0;
    case IOCTL_GNTDEV_SET_UNMAP_NOTIFY:    /* IOCTL_GNTALLOC_SET_UNMAP_NOTIFY as well */
        kernel.notify_index = n->index;
        kernel.notify_action = n->action;
        kernel.notify_port = n->event_channel_port;
        return 0;
    case IOCTL_GNTDEV_SET_MAX_GRANTS:
        errno = ENOTTY;
        return -1;
    case IOCTL_GNTDEV_GRANT_COPY:
        for (unsigned i = 0; i < c->count; i++)
            c->segments[i].status = -5;
        return 0;
    case IOCTL_GNTALLOC_ALLOC_GREF:
        a->index = PAGE;
        for (uint32_t i = 0; i < a->count; i++)
            a->gref_ids[i] = 100 * a->domid + 10 * a->flags + i;
        return 0;
    case IOCTL_GNTALLOC_DEALLOC_GREF:
        kernel.deallocs++;
        return 0;
    default:
        return do_dmabuf(request, arg);
    }
}

/* The hypervisor's file system holds one string, "/v". */
static long do_hypfs(const privcmd_hypercall_t *c)
{
    struct xen_hypfs_direntry *e = (void *)(uintptr_t)c->arg[3];

    if (c->arg[0] == XEN_HYPFS_OP_get_version)
        return XEN_HYPFS_VERSION;
    if (strcmp((const char *)(uintptr_t)c->arg[1], "/v")) {
        errno = ENOENT;
        return -1;
    }
    if (c->arg[0] == XEN_HYPFS_OP_write_contents) {
        memcpy(kernel.hypfs, e, c->arg[4]);
        return 0;
    }
    *e = (struct xen_hypfs_direntry){.type = XEN_HYPFS_TYPE_STRING, .content_len = 6,
                                     .max_write_len = 8};
    if (c->arg[4] < sizeof(*e) + 6) {
        errno = ENOBUFS;
        return -1;
    }
    memcpy(e + 1, kernel.hypfs, 6);
    return 0;
}

static int do_dm_op(const privcmd_dm_op_t *a)
{
    struct xen_dm_op *op = a->ubufs[0].uptr;

    kernel.dm = *a;
    memcpy(&kernel.op, op, sizeof(kernel.op));
    if (op->op == XEN_DMOP_create_ioreq_server)
        op->u.create_ioreq_server.id = 77;
    if (op->op == XEN_DMOP_nr_vcpus)
        op->u.nr_vcpus.vcpus = 5;
    if (op->op == XEN_DMOP_get_ioreq_server_info)
        op->u.get_ioreq_server_info.bufioreq_port = 9;
    if (op->op == XEN_DMOP_track_dirty_vram)
        memset(a->ubufs[1].uptr, 0xa5, a->ubufs[1].size);
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list al;
    void *arg;

    va_start(al, request);
    arg = va_arg(al, void *);
    va_end(al);
    kernel.last_request = request;
    if (kernel.fail_with) {
        errno = kernel.fail_with;
        kernel.fail_with = 0;
        return -1;
    }
    switch (request) {
    case IOCTL_PRIVCMD_HYPERCALL:
        memcpy(&kernel.call, arg, sizeof(kernel.call));
        return kernel.call.op == __HYPERVISOR_hypfs_op ? do_hypfs(arg) : 1234;
    case IOCTL_PRIVCMD_MMAPBATCH_V2:
        return do_mmapbatch(arg);
    case IOCTL_PRIVCMD_MMAP_RESOURCE:
        if (!((privcmd_mmap_resource_t *)arg)->addr)
            ((privcmd_mmap_resource_t *)arg)->num = 9;
        return 0;
    case IOCTL_PRIVCMD_DM_OP:
        return do_dm_op(arg);
    case IOCTL_PRIVCMD_RESTRICT:
    case IOCTL_EVTCHN_RESTRICT_DOMID:
        kernel.restricted++;
        return *(domid_t *)arg == 3 ? 0 : -1;
    case IOCTL_EVTCHN_BIND_UNBOUND_PORT:
        return 100 + ((struct ioctl_evtchn_bind_unbound_port *)arg)->remote_domain;
    case IOCTL_EVTCHN_BIND_INTERDOMAIN:
        return 200 + ((struct ioctl_evtchn_bind_interdomain *)arg)->remote_port;
    case IOCTL_EVTCHN_BIND_VIRQ:
        return 300 + ((struct ioctl_evtchn_bind_virq *)arg)->virq;
    case IOCTL_EVTCHN_UNBIND:
    case IOCTL_EVTCHN_NOTIFY:
        kernel.count = ((struct ioctl_evtchn_notify *)arg)->port;
        return 0;
    default:
        return do_gnt(request, arg);
    }
}

static xentoollog_logger *quiet;

static int setup(void **state)
{
    memset(&kernel, 0, sizeof(kernel));
    setenv("KRYPTON_TRANSPORT", "dev", 1);
    quiet = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_NUM_LEVELS, 0);
    return 0;
}

static int teardown(void **state)
{
    xtl_logger_destroy(quiet);
    return 0;
}

static void calls(void **state)
{
    for (int old = 0; old < 2; old++) {
        xencall_handle *x;
        char *p;

        kernel.no_hypercall_device = old;
        x = xencall_open(quiet, 0);
        assert_non_null(x);
        assert_int_equal(xencall_buffers_never_fault(x), !old);
        assert_int_equal(xencall3(x, 17, 1, 2, 3), 1234);
        assert_int_equal(kernel.call.op, 17);
        assert_int_equal(kernel.call.arg[2], 3);
        assert_int_equal(kernel.call.arg[3], 0);
        kernel.fail_with = EBUSY;
        assert_int_equal(xencall0(x, 17), -1);
        assert_int_equal(errno, EBUSY);
        p = xencall_alloc_buffer(x, 5000);
        assert_non_null(p);
        memset(p, 1, 5000);
        xencall_free_buffer(x, p);
        assert_null(xencall_alloc_buffer_pages(x, 0));
        p = xencall_alloc_buffer_pages(x, 2);
        assert_non_null(p);
        p[PAGE] = 1;
        xencall_free_buffer_pages(x, p, 2);
        assert_int_equal(xencall1(x, 20, 7), 1234);
        assert_int_equal(kernel.call.arg[0] | kernel.call.arg[1], 7);
        assert_int_equal(xencall2(x, 20, 7, 8), 1234);
        assert_int_equal(kernel.call.arg[1], 8);
        assert_int_equal(xencall2L(x, 20, 7, UINT64_MAX), 1234);
        assert_int_equal(kernel.call.arg[1], UINT64_MAX);
        assert_int_equal(xencall4(x, 20, 1, 2, 3, 4), 1234);
        assert_int_equal(kernel.call.arg[3], 4);
        assert_int_equal(xencall5(x, 20, 1, 2, 3, 4, 5), 1234);
        assert_int_equal(kernel.call.arg[4], 5);
        assert_true(xencall_fd(x) >= 0);
        assert_int_equal(xencall_close(x), 0);
    }
}

static void events(void **state)
{
    xenevtchn_handle *x = xenevtchn_open(quiet, 0);
    evtchn_port_t port = 42;

    assert_non_null(x);
    assert_int_equal(xenevtchn_bind_unbound_port(x, 3), 103);
    assert_int_equal(xenevtchn_bind_interdomain(x, 3, 7), 207);
    assert_int_equal(xenevtchn_bind_virq(x, 4), 304);
    assert_int_equal(xenevtchn_notify(x, 207), 0);
    assert_int_equal(kernel.last_request, IOCTL_EVTCHN_NOTIFY);
    assert_int_equal(kernel.count, 207);
    assert_int_equal(xenevtchn_unbind(x, 207), 0);
    assert_int_equal(kernel.last_request, IOCTL_EVTCHN_UNBIND);
    assert_int_equal(xenevtchn_pending(x), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(write(kernel.evtchn_peer, &port, sizeof(port)), sizeof(port));
    assert_int_equal(xenevtchn_pending(x), 42);
    assert_int_equal(xenevtchn_unmask(x, 43), 0);
    assert_int_equal(read(kernel.evtchn_peer, &port, sizeof(port)), sizeof(port));
    assert_int_equal(port, 43);
    assert_int_equal(xenevtchn_restrict(x, 3), 0);
    close(kernel.evtchn_peer);
    xenevtchn_close(x);
}

static void event_handle_again(void **state)
{
    int fd = open("/dev/xen/evtchn", O_RDWR);
    xenevtchn_handle *x = xenevtchn_fdopen(quiet, fd, 0);

    assert_non_null(x);
    assert_int_equal(xenevtchn_fd(x), fd);
    assert_false(fcntl(fd, F_GETFD) & FD_CLOEXEC); /* it may have to come through another exec() */
    close(kernel.evtchn_peer);
    xenevtchn_close(x);
}

static void foreign(void **state)
{
    xenforeignmemory_handle *f = xenforeignmemory_open(quiet, 0);
    const xen_pfn_t gfns[3] = {1, 500, 2000};
    xenforeignmemory_resource_handle *r;
    void *addr = NULL;
    size_t size;
    int err[3];
    char *p;

    assert_non_null(f);
    /* A frame that is paged out is asked for again until it is there. */
    kernel.paged_out = 3;
    p = xenforeignmemory_map(f, 3, RW, 3, gfns, err);
    assert_non_null(p);
    assert_int_equal(err[0], 0);
    assert_int_equal(err[1], 0);
    assert_int_equal(err[2], -EINVAL);
    assert_int_equal(kernel.count, 3 + 3);
    p[PAGE] = 1;
    assert_int_equal(xenforeignmemory_unmap(f, p, 3), 0);
    assert_null(xenforeignmemory_map(f, 3, RW, 3, gfns, NULL));
    assert_int_equal(errno, EINVAL);
    kernel.fail_with = EPERM;
    assert_null(xenforeignmemory_map(f, 3, RW, 1, gfns, err));
    assert_int_equal(errno, EPERM);

    assert_int_equal(xenforeignmemory_resource_size(f, 3, XENMEM_resource_grant_table, 0, &size),
                     0);
    assert_int_equal(size, 9 * PAGE);
    r = xenforeignmemory_map_resource(f, 3, XENMEM_resource_grant_table, 0, 0, 2, &addr, RW, 0);
    assert_true(r && addr);
    assert_int_equal(xenforeignmemory_unmap_resource(f, r), 0);
    kernel.fail_with = EOPNOTSUPP;
    assert_null(xenforeignmemory_map_resource(f, 3, 9, 0, 0, 2, &addr, RW, 0));
    assert_int_equal(errno, EOPNOTSUPP);
    /* At an address of the caller's. */
    p = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(xenforeignmemory_map2(f, 3, p + PAGE, RW, MAP_FIXED, 2, gfns, err) == p + PAGE);
    p[PAGE] = 1;
    assert_int_equal(xenforeignmemory_unmap(f, p + PAGE, 2), 0);
    munmap(p, 4 * PAGE);
    assert_int_equal(xenforeignmemory_restrict(f, 3), 0);
    xenforeignmemory_close(f);
}

static void grants(void **state)
{
    xengnttab_handle *g = xengnttab_open(quiet, 0);
    uint32_t refs[2] = {10, 11}, domids[2] = {3, 3};
    xengnttab_grant_copy_segment_t seg[2] = {{.len = 1}, {.len = 2}};
    char *p;

    assert_non_null(g);
    p = xengnttab_map_grant_refs(g, 2, domids, refs, RW);
    assert_non_null(p);
    p[PAGE] = 1;
    assert_int_equal(xengnttab_unmap(g, p, 1), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xengnttab_unmap(g, p, 2), 0);
    assert_int_equal(kernel.unmaps, 1);
    p = xengnttab_map_grant_ref_notify(g, 3, 10, RW, 5, 77);
    assert_non_null(p);
    assert_int_equal(kernel.notify_index, 2 * PAGE + 5);
    assert_int_equal(kernel.notify_action, UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT);
    assert_int_equal(kernel.notify_port, 77);
    assert_int_equal(xengnttab_unmap(g, p, 1), 0);
    refs[1] = 99;
    assert_null(xengnttab_map_domain_grant_refs(g, 2, 3, refs, RW));
    assert_int_equal(errno, EINVAL);
    /* A kernel without a limit per handle has no request to set it. */
    assert_int_equal(xengnttab_set_max_grants(g, 100), 0);
    assert_int_equal(xengnttab_grant_copy(g, 2, seg), 0);
    assert_int_equal(seg[1].status, -5);
    p = xengnttab_map_grant_ref(g, 3, 10, PROT_READ);
    assert_non_null(p);
    assert_int_equal(xengnttab_unmap(g, p, 1), 0);
    assert_int_equal(xengnttab_fd(g), kernel.gntdev_fd);
    xengnttab_close(g);
}

static void dma_buffers(void **state)
{
    xengnttab_handle *g = xengnttab_open(quiet, 0);
    uint32_t refs[3] = {10, 11, 12}, fd = 0;

    assert_non_null(g);
    assert_int_equal(xengnttab_dmabuf_exp_from_refs(g, 3, GNTDEV_DMA_FLAG_WC, 3, refs, &fd), 0);
    assert_int_equal(fd, 42);
    assert_memory_equal(kernel.dmabuf, ((uint32_t[]){GNTDEV_DMA_FLAG_WC, 3, 3, 12}), 16);
    assert_int_equal(xengnttab_dmabuf_exp_wait_released(g, 42, 500), 0);
    assert_memory_equal(kernel.dmabuf, ((uint32_t[]){42, 500}), 8);
    assert_int_equal(xengnttab_dmabuf_imp_to_refs(g, 5, 42, 2, refs), 0);
    assert_memory_equal(kernel.dmabuf, ((uint32_t[]){42, 2, 5}), 12);
    assert_int_equal(refs[1], 21);
    assert_int_equal(refs[2], 12);
    assert_int_equal(xengnttab_dmabuf_imp_release(g, 43), 0);
    assert_int_equal(kernel.dmabuf[0], 43);
    kernel.fail_with = ENOENT;
    assert_int_equal(xengnttab_dmabuf_imp_release(g, 43), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(xengnttab_dmabuf_exp_from_refs(g, 3, 0, 0, refs, &fd), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xengnttab_dmabuf_imp_to_refs(g, 3, 42, 0, refs), -1);
    assert_int_equal(errno, EINVAL);
    xengnttab_close(g);
}

static void hypervisor_files(void **state)
{
    xenhypfs_handle *h;
    struct xenhypfs_dirent *d;
    unsigned int nr;
    char *text;

    /* Mappings of the real device are pages of their own each; of this one they are the same. */
    kernel.no_hypercall_device = true;
    strcpy(kernel.hypfs, "hello");
    h = xenhypfs_open(quiet, 0);
    assert_non_null(h);
    text = xenhypfs_read(h, "/v");
    assert_string_equal(text, "hello");
    free(text);
    text = xenhypfs_read_raw(h, "/v", &d);
    assert_memory_equal(text, "hello", 6);
    assert_int_equal(d->type, xenhypfs_type_string);
    free(text);
    free(d);
    assert_int_equal(xenhypfs_write(h, "/v", "world"), 0);
    assert_string_equal(kernel.hypfs, "world");
    assert_null(xenhypfs_read(h, "/none"));
    assert_int_equal(errno, ENOENT);
    assert_null(xenhypfs_readdir(h, "/v", &nr));
    assert_int_equal(errno, ENOTDIR);
    assert_int_equal(xenhypfs_close(h), 0);
}

static void sharing(void **state)
{
    xengntshr_handle *s = xengntshr_open(quiet, 0);
    uint32_t refs[2];
    char *p;

    assert_non_null(s);
    p = xengntshr_share_pages(s, 3, 2, refs, 1);
    assert_non_null(p);
    assert_int_equal(refs[1], 311);
    assert_int_equal(kernel.deallocs, 1);
    assert_int_equal(xengntshr_unshare(s, p, 2), 0);
    p = xengntshr_share_page_notify(s, 3, refs, 0, -1, 8);
    assert_non_null(p);
    assert_int_equal(kernel.notify_action, UNMAP_NOTIFY_SEND_EVENT);
    assert_int_equal(xengntshr_unshare(s, p, 1), 0);
    assert_true(xengntshr_fd(s) >= 0);
    kernel.fail_with = ENOSPC;
    assert_null(xengntshr_share_pages(s, 3, 2, refs, 1));
    assert_int_equal(errno, ENOSPC);
    xengntshr_close(s);
}

static void device_models(void **state)
{
    xendevicemodel_handle *d = xendevicemodel_open(quiet, 0);
    struct xen_dm_op_modified_memory_extent ext = {.nr = 1};

    assert_non_null(d);
    assert_int_equal(xendevicemodel_shutdown(d, 3, 2), 0);
    assert_int_equal(kernel.dm.dom, 3);
    assert_int_equal(kernel.dm.num, 1);
    assert_int_equal(kernel.op.u.remote_shutdown.reason, 2);
    assert_int_equal(xendevicemodel_modified_memory_bulk(d, 3, &ext, 1), 0);
    assert_int_equal(kernel.dm.num, 2);
    /* Every handle that can be restricted is; one that refuses fails it all. */
    assert_int_equal(xentoolcore_restrict_all(3), 0);
    assert_int_equal(kernel.restricted, 1);
    assert_int_equal(xentoolcore_restrict_all(4), -1);
    xendevicemodel_close(d);
}

/* Each function becomes its own operation, on the domain that it names. */
static void device_model_operations(void **state)
{
    xendevicemodel_handle *d = xendevicemodel_open(quiet, 0);
    evtchn_port_t port = 0;
    unsigned long bits[1] = {0};
    xen_pfn_t gfn[2] = {1, 1};
    ioservid_t id = 0;
    unsigned n = 0;

    assert_non_null(d);
#define OP(number, call)                         \
    do {                                         \
        kernel.op.op = 0;                        \
        assert_int_equal(call, 0);               \
        assert_int_equal(kernel.op.op, number);  \
        assert_int_equal(kernel.dm.dom, 3);      \
    } while (0)
    OP(XEN_DMOP_create_ioreq_server, xendevicemodel_create_ioreq_server(d, 3, 2, &id));
    assert_int_equal(id, 77);
    OP(XEN_DMOP_get_ioreq_server_info,
       xendevicemodel_get_ioreq_server_info(d, 3, id, NULL, NULL, &port));
    assert_int_equal(port, 9);
    assert_int_equal(kernel.op.u.get_ioreq_server_info.flags, XEN_DMOP_no_gfns);
    OP(XEN_DMOP_get_ioreq_server_info,
       xendevicemodel_get_ioreq_server_info(d, 3, id, &gfn[0], &gfn[1], NULL));
    assert_int_equal(kernel.op.u.get_ioreq_server_info.flags, 0);
    OP(XEN_DMOP_map_io_range_to_ioreq_server,
       xendevicemodel_map_io_range_to_ioreq_server(d, 3, id, 1, 5, 6));
    assert_int_equal(kernel.op.u.map_io_range_to_ioreq_server.type, XEN_DMOP_IO_RANGE_MEMORY);
    OP(XEN_DMOP_unmap_io_range_from_ioreq_server,
       xendevicemodel_unmap_io_range_from_ioreq_server(d, 3, id, 0, 5, 6));
    assert_int_equal(kernel.op.u.unmap_io_range_from_ioreq_server.type, XEN_DMOP_IO_RANGE_PORT);
    OP(XEN_DMOP_map_io_range_to_ioreq_server,
       xendevicemodel_map_pcidev_to_ioreq_server(d, 3, id, 1, 2, 3, 4));
    assert_int_equal(kernel.op.u.map_io_range_to_ioreq_server.start, 0x1021c);
    OP(XEN_DMOP_unmap_io_range_from_ioreq_server,
       xendevicemodel_unmap_pcidev_from_ioreq_server(d, 3, id, 1, 2, 3, 4));
    assert_int_equal(kernel.op.u.unmap_io_range_from_ioreq_server.end, 0x1021c);
    OP(XEN_DMOP_map_mem_type_to_ioreq_server,
       xendevicemodel_map_mem_type_to_ioreq_server(d, 3, id, HVMMEM_ioreq_server, 2));
    OP(XEN_DMOP_set_ioreq_server_state, xendevicemodel_set_ioreq_server_state(d, 3, id, 5));
    assert_int_equal(kernel.op.u.set_ioreq_server_state.enabled, 1);
    OP(XEN_DMOP_destroy_ioreq_server, xendevicemodel_destroy_ioreq_server(d, 3, id));
    OP(XEN_DMOP_set_pci_intx_level, xendevicemodel_set_pci_intx_level(d, 3, 0, 0, 4, 1, 1));
    OP(XEN_DMOP_set_isa_irq_level, xendevicemodel_set_isa_irq_level(d, 3, 7, 1));
    assert_int_equal(kernel.op.u.set_isa_irq_level.isa_irq, 7);
    OP(XEN_DMOP_set_irq_level, xendevicemodel_set_irq_level(d, 3, 33, 1));
    assert_int_equal(kernel.op.u.set_irq_level.irq, 33);
    OP(XEN_DMOP_set_pci_link_route, xendevicemodel_set_pci_link_route(d, 3, 2, 11));
    assert_int_equal(kernel.op.u.set_pci_link_route.isa_irq, 11);
    OP(XEN_DMOP_inject_msi, xendevicemodel_inject_msi(d, 3, 0xfee00000, 0x41));
    assert_int_equal(kernel.op.u.inject_msi.data, 0x41);
    OP(XEN_DMOP_track_dirty_vram, xendevicemodel_track_dirty_vram(d, 3, 100, 20, bits));
    assert_int_equal(kernel.dm.num, 2);
    assert_int_equal(bits[0], 0xa5a5a5);
    OP(XEN_DMOP_modified_memory, xendevicemodel_modified_memory(d, 3, 5, 6));
    assert_int_equal(kernel.op.u.modified_memory.nr_extents, 1);
    OP(XEN_DMOP_set_mem_type, xendevicemodel_set_mem_type(d, 3, HVMMEM_ram_ro, 5, 6));
    assert_int_equal(kernel.op.u.set_mem_type.first_pfn, 5);
    OP(XEN_DMOP_inject_event, xendevicemodel_inject_event(d, 3, 1, 14, 3, 2, 0, 0x1000));
    assert_int_equal(kernel.op.u.inject_event.cr2, 0x1000);
    OP(XEN_DMOP_relocate_memory, xendevicemodel_relocate_memory(d, 3, 1, 2, 3));
    assert_int_equal(kernel.op.u.relocate_memory.dst_gfn, 3);
    OP(XEN_DMOP_pin_memory_cacheattr, xendevicemodel_pin_memory_cacheattr(d, 3, 1, 2, 6));
    assert_int_equal(kernel.op.u.pin_memory_cacheattr.type, 6);
    OP(XEN_DMOP_nr_vcpus, xendevicemodel_nr_vcpus(d, 3, &n));
    assert_int_equal(n, 5);
#undef OP
    kernel.fail_with = EBUSY;
    assert_int_equal(xendevicemodel_shutdown(d, 3, 0), -1);
    assert_int_equal(errno, EBUSY);
    assert_int_equal(xendevicemodel_restrict(d, 3), 0);
    xendevicemodel_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls, setup, teardown),
        cmocka_unit_test_setup_teardown(events, setup, teardown),
        cmocka_unit_test_setup_teardown(event_handle_again, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign, setup, teardown),
        cmocka_unit_test_setup_teardown(grants, setup, teardown),
        cmocka_unit_test_setup_teardown(sharing, setup, teardown),
        cmocka_unit_test_setup_teardown(dma_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(hypervisor_files, setup, teardown),
        cmocka_unit_test_setup_teardown(device_models, setup, teardown),
        cmocka_unit_test_setup_teardown(device_model_operations, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
