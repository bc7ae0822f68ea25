/* SPDX-License-Identifier: MIT */
/* xenhypfs and xendevicemodel over a fake core: their hypercalls, and what they make of answers. */
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include <xen/xen.h>
#include <xen/hvm/dm_op.h>
#include <xen/hypfs.h>

#include "hypervisor/core/wire.h"
#include "include/xendevicemodel.h"
#include "include/xenhypfs.h"
#include "include/xentoolcore.h"
#include "include/xentoollog.h"
#include "tests/unit/fake_core.h"

struct file {
    const char *path;
    unsigned type, encoding, max_write;
    unsigned char data[6000];
    size_t len;
};

struct fixture {
    struct fake_core *core;
    xentoollog_logger *lg;
    xenhypfs_handle *h;
    xendevicemodel_handle *d;
    struct file file[8];
    unsigned nr_files;
    struct xen_dm_op op;         /* the last one */
    uint64_t domid;
    unsigned char extra[64];     /* its second buffer */
    size_t extra_size;
    int64_t dm_result;
};

static int64_t hypfs_op(struct fixture *x, struct fake_conn *c, const uint64_t a[5])
{
    const char *path = fake_conn_ptr(c, a[1], a[2]);
    unsigned char *buf = fake_conn_ptr(c, a[3], a[4]);
    struct xen_hypfs_direntry *e = (void *)buf;
    struct file *f = x->file;

    if (!path || path[a[2] - 1] || strlen(path) + 1 != a[2] || !buf)
        return -EFAULT;
    while (f < x->file + x->nr_files && strcmp(f->path, path))
        f++;
    if (f == x->file + x->nr_files)
        return -ENOENT;
    if (a[0] == XEN_HYPFS_OP_write_contents) {
        if (a[4] > f->max_write)
            return f->max_write ? -ENOSPC : -EACCES;
        memcpy(f->data, buf, a[4]);
        f->len = a[4];
        return 0;
    }
    if (a[0] != XEN_HYPFS_OP_read || a[4] < sizeof(*e))
        return -EINVAL;
    *e = (struct xen_hypfs_direntry){.type = f->type, .encoding = f->encoding,
                                     .content_len = f->len, .max_write_len = f->max_write};
    if (a[4] < sizeof(*e) + f->len)
        return -ENOBUFS;
    memcpy(e + 1, f->data, f->len);
    return 0;
}

static int64_t dm_op(struct fixture *x, struct fake_conn *c, const uint64_t a[5])
{
    xen_dm_op_buf_t *bufs = fake_conn_ptr(c, a[2], a[1] * sizeof(*bufs));
    struct xen_dm_op *op;

    x->domid = a[0];
    x->extra_size = 0;
    if (!bufs || a[1] < 1 || a[1] > 2 || bufs[0].size != sizeof(*op))
        return -EINVAL;
    op = fake_conn_ptr(c, (uintptr_t)bufs[0].h.p, bufs[0].size);
    if (!op)
        return -EFAULT;
    x->op = *op;
    if (a[1] == 2) {
        unsigned char *p = fake_conn_ptr(c, (uintptr_t)bufs[1].h.p, bufs[1].size);

        if (!p || bufs[1].size > sizeof(x->extra))
            return -EFAULT;
        x->extra_size = bufs[1].size;
        memcpy(x->extra, p, bufs[1].size);
        if (op->op == XEN_DMOP_track_dirty_vram)
            memset(p, 0xa5, bufs[1].size);
    }
    if (op->op == XEN_DMOP_create_ioreq_server)
        op->u.create_ioreq_server.id = 77;
    if (op->op == XEN_DMOP_nr_vcpus)
        op->u.nr_vcpus.vcpus = 5;
    if (op->op == XEN_DMOP_get_ioreq_server_info) {
        op->u.get_ioreq_server_info.ioreq_gfn = 0xfeff0;
        op->u.get_ioreq_server_info.bufioreq_gfn = 0xfeff1;
        op->u.get_ioreq_server_info.bufioreq_port = 9;
    }
    return x->dm_result;
}

static int64_t hypercall(void *arg, struct fake_conn *c, uint64_t op, const uint64_t a[5])
{
    if (op == __HYPERVISOR_hypfs_op)
        return hypfs_op(arg, c, a);
    if (op == __HYPERVISOR_dm_op)
        return dm_op(arg, c, a);
    return -ENOSYS;
}

static struct file *add(struct fixture *x, const char *path, unsigned type, const void *data,
                        size_t len, unsigned max_write)
{
    struct file *f = &x->file[x->nr_files++];

    *f = (struct file){.path = path, .type = type, .max_write = max_write, .len = len};
    memcpy(f->data, data, len);
    return f;
}

/* Appends a directory entry to f; last: nothing follows. */
static void add_entry(struct file *f, const char *name, unsigned type, unsigned len, bool last)
{
    struct xen_hypfs_dirlistentry d = {.e = {.type = type, .content_len = len}};
    size_t head = offsetof(struct xen_hypfs_dirlistentry, name);
    size_t size = (head + strlen(name) + 1 + 3) & ~(size_t)3;

    d.off_next = last ? 0 : size;
    memcpy(f->data + f->len, &d, head);
    strcpy((char *)f->data + f->len + head, name);
    f->len += size;
}

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));

    x->core = fake_core_start();
    fake_core_on_hypercall(x->core, hypercall, x);
    x->lg = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_NUM_LEVELS, 0);
    x->h = xenhypfs_open(x->lg, 0);
    x->d = xendevicemodel_open(x->lg, 0);
    *state = x;
    return x->h && x->d ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    xenhypfs_close(x->h);
    xendevicemodel_close(x->d);
    xtl_logger_destroy(x->lg);
    fake_core_stop(x->core);
    free(x);
    return 0;
}

static void expect_text(struct fixture *x, const char *path, const char *text)
{
    char *got = xenhypfs_read(x->h, path);

    assert_non_null(got);
    assert_string_equal(got, text);
    free(got);
}

static void hypfs_reads(void **state)
{
    struct fixture *x = *state;
    struct xenhypfs_dirent *d;
    struct file *big, *zipped;
    uint32_t u = 4000000000u;
    int16_t s = -5;
    uLongf zlen;
    z_stream z = {0};
    void *raw;

    add(x, "/text", XEN_HYPFS_TYPE_STRING, "hello", 6, 0);
    add(x, "/uint", XEN_HYPFS_TYPE_UINT, &u, sizeof(u), 0);
    add(x, "/int", XEN_HYPFS_TYPE_INT, &s, sizeof(s), 0);
    add(x, "/bool", XEN_HYPFS_TYPE_BOOL, "\1", 1, 0);
    add(x, "/blob", XEN_HYPFS_TYPE_BLOB, "\0\1", 2, 0);
    big = add(x, "/a/big", XEN_HYPFS_TYPE_STRING, "", 0, 6000);
    memset(big->data, 'x', 5999);
    big->len = 6000;
    expect_text(x, "/text", "hello");
    expect_text(x, "/uint", "4000000000");
    expect_text(x, "/int", "-5");
    expect_text(x, "/bool", "1");
    assert_null(xenhypfs_read(x->h, "/blob"));
    assert_int_equal(errno, EDOM);
    assert_null(xenhypfs_read(x->h, "/none"));
    assert_int_equal(errno, ENOENT);
    assert_null(xenhypfs_read(x->h, "relative"));
    assert_int_equal(errno, EINVAL);
    /* Beyond the first buffer. */
    raw = xenhypfs_read_raw(x->h, "/a/big", &d);
    assert_non_null(raw);
    assert_memory_equal(raw, big->data, 6000);
    assert_int_equal(d->size, 6000);
    assert_string_equal(d->name, "big");
    assert_int_equal(d->type, xenhypfs_type_string);
    assert_int_equal(d->flags, XENHYPFS_FLAG_WRITABLE);
    free(raw);
    free(d);

    zipped = add(x, "/zip", XEN_HYPFS_TYPE_STRING, "", 0, 0);
    zipped->encoding = XEN_HYPFS_ENC_GZIP;
    zlen = sizeof(zipped->data);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = big->data;
    z.avail_in = 5999;
    z.next_out = zipped->data;
    z.avail_out = zlen;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    zipped->len = z.total_out;
    deflateEnd(&z);
    big->data[5999] = 0;
    expect_text(x, "/zip", (char *)big->data);
    zipped->data[20] ^= 0xff;
    assert_null(xenhypfs_read(x->h, "/zip"));
    zipped->len = 10;
    assert_null(xenhypfs_read(x->h, "/zip"));
}

static void hypfs_directories(void **state)
{
    struct fixture *x = *state;
    struct file *f = add(x, "/dir", XEN_HYPFS_TYPE_DIR, "", 0, 0);
    struct xenhypfs_dirent *d;
    unsigned n = 99;

    d = xenhypfs_readdir(x->h, "/dir", &n);
    assert_non_null(d);
    assert_int_equal(n, 0);
    free(d);
    add_entry(f, "one", XEN_HYPFS_TYPE_UINT, 4, false);
    add_entry(f, "second", XEN_HYPFS_TYPE_DIR, 0, true);
    d = xenhypfs_readdir(x->h, "/dir", &n);
    assert_non_null(d);
    assert_int_equal(n, 2);
    assert_string_equal(d[0].name, "one");
    assert_int_equal(d[0].size, 4);
    assert_string_equal(d[1].name, "second");
    assert_int_equal(d[1].type, xenhypfs_type_dir);
    free(d);
    assert_null(xenhypfs_read(x->h, "/dir"));
    assert_int_equal(errno, EISDIR);
    /* Cut within the last name, and an entry that points nowhere or at itself. */
    f->len -= 8;
    assert_null(xenhypfs_readdir(x->h, "/dir", &n));
    assert_int_equal(errno, EBADMSG);
    f->len += 8;
    f->data[offsetof(struct xen_hypfs_dirlistentry, off_next)] = 200;
    assert_null(xenhypfs_readdir(x->h, "/dir", &n));
    f->data[offsetof(struct xen_hypfs_dirlistentry, off_next)] = 1;
    assert_null(xenhypfs_readdir(x->h, "/dir", &n));
    add(x, "/text", XEN_HYPFS_TYPE_STRING, "x", 2, 0);
    assert_null(xenhypfs_readdir(x->h, "/text", &n));
    assert_int_equal(errno, ENOTDIR);
}

static void hypfs_writes(void **state)
{
    struct fixture *x = *state;
    uint8_t one = 0;
    int16_t two = 0;

    add(x, "/text", XEN_HYPFS_TYPE_STRING, "x", 2, 10);
    add(x, "/byte", XEN_HYPFS_TYPE_UINT, &one, 1, 1);
    add(x, "/short", XEN_HYPFS_TYPE_INT, &two, 2, 2);
    add(x, "/bool", XEN_HYPFS_TYPE_BOOL, &one, 1, 1);
    add(x, "/fixed", XEN_HYPFS_TYPE_BOOL, &one, 1, 0);
    assert_int_equal(xenhypfs_write(x->h, "/text", "changed"), 0);
    expect_text(x, "/text", "changed");
    assert_int_equal(xenhypfs_write(x->h, "/text", "far too long for it"), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(xenhypfs_write(x->h, "/byte", "0xff"), 0);
    expect_text(x, "/byte", "255");
    assert_int_equal(xenhypfs_write(x->h, "/byte", "256"), -1);
    assert_int_equal(errno, ERANGE);
    assert_int_equal(xenhypfs_write(x->h, "/short", "-32768"), 0);
    expect_text(x, "/short", "-32768");
    assert_int_equal(xenhypfs_write(x->h, "/short", "32768"), -1);
    assert_int_equal(xenhypfs_write(x->h, "/short", "3x"), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xenhypfs_write(x->h, "/short", ""), -1);
    assert_int_equal(xenhypfs_write(x->h, "/bool", "enable"), 0);
    expect_text(x, "/bool", "1");
    assert_int_equal(xenhypfs_write(x->h, "/bool", "no"), 0);
    expect_text(x, "/bool", "0");
    assert_int_equal(xenhypfs_write(x->h, "/bool", "2"), -1);
    assert_int_equal(xenhypfs_write(x->h, "/fixed", "1"), -1);
    assert_int_equal(errno, EACCES);
}

static void dm_results(void **state)
{
    struct fixture *x = *state;
    ioservid_t id = 0;
    xen_pfn_t gfn = 0, buf_gfn = 0;
    evtchn_port_t port = 0;
    unsigned vcpus = 0;

    assert_int_equal(xendevicemodel_create_ioreq_server(x->d, 4, 2, &id), 0);
    assert_int_equal(id, 77);
    assert_int_equal(x->domid, 4);
    assert_int_equal(x->op.u.create_ioreq_server.handle_bufioreq, 2);
    assert_int_equal(xendevicemodel_get_ioreq_server_info(x->d, 4, 77, &gfn, &buf_gfn, &port), 0);
    assert_int_equal(gfn, 0xfeff0);
    assert_int_equal(buf_gfn, 0xfeff1);
    assert_int_equal(port, 9);
    assert_int_equal(x->op.u.get_ioreq_server_info.flags, 0);
    assert_int_equal(xendevicemodel_get_ioreq_server_info(x->d, 4, 77, NULL, NULL, &port), 0);
    assert_int_equal(x->op.u.get_ioreq_server_info.flags, XEN_DMOP_no_gfns);
    assert_int_equal(xendevicemodel_nr_vcpus(x->d, 4, &vcpus), 0);
    assert_int_equal(vcpus, 5);
    x->dm_result = -ENOENT;
    errno = 0;
    assert_int_equal(xendevicemodel_nr_vcpus(x->d, 4, &vcpus), -1);
    assert_int_equal(errno, ENOENT);
}

static void dm_arguments(void **state)
{
    struct fixture *x = *state;
    struct xen_dm_op_modified_memory_extent ext[2] = {{.nr = 1, .first_pfn = 2},
                                                      {.nr = 3, .first_pfn = 4}};
    unsigned long dirty[1] = {0};

    assert_int_equal(xendevicemodel_map_io_range_to_ioreq_server(x->d, 4, 7, 1, 0x1000, 0x1fff),
                     0);
    assert_int_equal(x->op.op, XEN_DMOP_map_io_range_to_ioreq_server);
    assert_int_equal(x->op.u.map_io_range_to_ioreq_server.type, XEN_DMOP_IO_RANGE_MEMORY);
    assert_int_equal(x->op.u.map_io_range_to_ioreq_server.end, 0x1fff);
    assert_int_equal(xendevicemodel_unmap_io_range_from_ioreq_server(x->d, 4, 7, 0, 1, 2), 0);
    assert_int_equal(x->op.op, XEN_DMOP_unmap_io_range_from_ioreq_server);
    assert_int_equal(x->op.u.unmap_io_range_from_ioreq_server.type, XEN_DMOP_IO_RANGE_PORT);
    assert_int_equal(xendevicemodel_map_pcidev_to_ioreq_server(x->d, 4, 7, 1, 2, 3, 4), 0);
    assert_int_equal(x->op.u.map_io_range_to_ioreq_server.start, 0x1021c);
    assert_int_equal(x->op.u.map_io_range_to_ioreq_server.end, 0x1021c);
    assert_int_equal(xendevicemodel_map_pcidev_to_ioreq_server(x->d, 4, 7, 1, 2, 32, 0), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xendevicemodel_set_pci_intx_level(x->d, 4, 0, 1, 2, 3, 1), 0);
    assert_int_equal(x->op.u.set_pci_intx_level.device, 2);
    assert_int_equal(x->op.u.set_pci_intx_level.level, 1);
    assert_int_equal(xendevicemodel_inject_event(x->d, 4, 1, 14, 3, ~0u, 2, 0xdead), 0);
    assert_int_equal(x->op.u.inject_event.cr2, 0xdead);
    assert_int_equal(x->op.u.inject_event.vcpuid, 1);
    assert_int_equal(xendevicemodel_shutdown(x->d, 4, 3), 0);
    assert_int_equal(x->op.u.remote_shutdown.reason, 3);

    assert_int_equal(xendevicemodel_modified_memory_bulk(x->d, 4, ext, 2), 0);
    assert_int_equal(x->op.u.modified_memory.nr_extents, 2);
    assert_int_equal(x->extra_size, sizeof(ext));
    assert_memory_equal(x->extra, ext, sizeof(ext));
    assert_int_equal(xendevicemodel_track_dirty_vram(x->d, 4, 0xf0000, 20, dirty), 0);
    assert_int_equal(x->extra_size, 3);
    assert_int_equal(dirty[0], 0xa5a5a5);
    assert_int_equal(xendevicemodel_map_mem_type_to_ioreq_server(x->d, 4, 7, 0, 0), -1);
    assert_int_equal(errno, EINVAL);
}

static void dm_restricted(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(xendevicemodel_restrict(x->d, 4), 0);
    assert_int_equal(fake_core_count(x->core, KW_RESTRICT), 1);
    assert_int_equal(xentoolcore_restrict_all(4), 0);
    /* hypfs goes through hypercalls at large, which a restricted process has not. */
    assert_null(xenhypfs_read(x->h, "/text"));
    assert_int_equal(xendevicemodel_shutdown(x->d, 4, 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hypfs_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(hypfs_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(hypfs_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(dm_results, setup, teardown),
        cmocka_unit_test_setup_teardown(dm_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(dm_restricted, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
