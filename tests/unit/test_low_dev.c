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
#include <xen/memory.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/gntalloc.h>
#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>

#include "include/xencall.h"
#include "include/xendevicemodel.h"
#include "include/xenevtchn.h"
#include "include/xenforeignmemory.h"
#include "include/xengnttab.h"
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
    int paged_out;                     /* how often a frame is reported as paged out */
    int fail_with;                     /* errno for the next request */
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
        errno = ENOTTY;
        return -1;
    }
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
        return 1234;
    case IOCTL_PRIVCMD_MMAPBATCH_V2:
        return do_mmapbatch(arg);
    case IOCTL_PRIVCMD_MMAP_RESOURCE:
        if (!((privcmd_mmap_resource_t *)arg)->addr)
            ((privcmd_mmap_resource_t *)arg)->num = 9;
        return 0;
    case IOCTL_PRIVCMD_DM_OP:
        memcpy(&kernel.dm, arg, sizeof(kernel.dm));
        memcpy(&kernel.op, kernel.dm.ubufs[0].uptr, sizeof(kernel.op));
        return 0;
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
    xengnttab_close(g);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls, setup, teardown),
        cmocka_unit_test_setup_teardown(events, setup, teardown),
        cmocka_unit_test_setup_teardown(event_handle_again, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign, setup, teardown),
        cmocka_unit_test_setup_teardown(grants, setup, teardown),
        cmocka_unit_test_setup_teardown(sharing, setup, teardown),
        cmocka_unit_test_setup_teardown(device_models, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
