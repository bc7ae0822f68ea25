/* SPDX-License-Identifier: MIT */
/* xenforeignmemory and xengnttab over a fake core. */
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <xen/memory.h>

#include "hypervisor/core/wire.h"
#include "include/xenevtchn.h"
#include "include/xenforeignmemory.h"
#include "include/xengnttab.h"
#include "include/xentoolcore.h"
#include "include/xentoollog.h"
#include "tests/unit/fake_core.h"

#define PAGE 4096
#define RW   (PROT_READ | PROT_WRITE)

struct fixture {
    struct fake_core *core;
    xentoollog_logger *lg;
    xenforeignmemory_handle *f;
    xengnttab_handle *g;
    xengntshr_handle *s;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));

    x->core = fake_core_start();
    x->lg = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_NUM_LEVELS, 0);
    x->f = xenforeignmemory_open(x->lg, 0);
    x->g = xengnttab_open(x->lg, 0);
    x->s = xengntshr_open(x->lg, 0);
    for (unsigned i = 0; i < FAKE_RAM_PAGES; i++)
        memcpy(fake_core_ram(x->core) + (size_t)i * PAGE, &i, sizeof(i));
    *state = x;
    return x->f && x->g && x->s ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    xenforeignmemory_close(x->f);
    xengnttab_close(x->g);
    xengntshr_close(x->s);
    xtl_logger_destroy(x->lg);
    fake_core_stop(x->core);
    free(x);
    return 0;
}

/* Which frame a mapped page shows. */
static unsigned frame_at(const void *p, size_t page)
{
    unsigned n;

    memcpy(&n, (const char *)p + page * PAGE, sizeof(n));
    return n;
}

static void foreign_pages(void **state)
{
    struct fixture *x = *state;
    const xen_pfn_t gfns[5] = {7, 8, 9, 2, 7};
    unsigned char *p = xenforeignmemory_map(x->f, 3, RW, 5, gfns, NULL);

    assert_non_null(p);
    assert_int_equal(fake_core_last_domid(x->core), 3);
    for (int i = 0; i < 5; i++)
        assert_int_equal(frame_at(p, i), gfns[i]);
    p[4 * PAGE + 100] = 0x77;
    assert_int_equal(p[100], 0x77);
    assert_int_equal(fake_core_ram(x->core)[7 * PAGE + 100], 0x77);
    assert_int_equal(xenforeignmemory_unmap(x->f, p, 5), 0);
}

static void foreign_errors(void **state)
{
    struct fixture *x = *state;
    const xen_pfn_t gfns[4] = {1, FAKE_RAM_PAGES, 3, UINT64_MAX};
    int err[4] = {9, 9, 9, 9};
    void *p = xenforeignmemory_map(x->f, 3, RW, 4, gfns, err);

    assert_non_null(p);
    assert_int_equal(err[0], 0);
    assert_int_equal(err[1], -ENOENT);
    assert_int_equal(err[2], 0);
    assert_int_equal(err[3], -ENOENT);
    assert_int_equal(frame_at(p, 0), 1);
    assert_int_equal(frame_at(p, 2), 3);
    assert_int_equal(xenforeignmemory_unmap(x->f, p, 4), 0);

    errno = 0;
    assert_null(xenforeignmemory_map(x->f, 3, RW, 4, gfns, NULL));
    assert_int_equal(errno, ENOENT);
    assert_null(xenforeignmemory_map(x->f, 3, RW, 0, gfns, NULL));
    assert_int_equal(errno, EINVAL);
    assert_null(xenforeignmemory_map(x->f, 3, RW, SIZE_MAX, gfns, err));
    assert_int_equal(errno, EINVAL);
    assert_null(xenforeignmemory_open(x->lg, 1));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xenforeignmemory_close(NULL), 0);
}

/* Frames in more descriptors than a reply carries: shorter requests do it. */
static void foreign_far_apart(void **state)
{
    struct fixture *x = *state;
    xen_pfn_t gfns[50];
    unsigned char *p;

    for (unsigned i = 0; i < 50; i++)
        gfns[i] = FAKE_RAM_PAGES - 1 - i;
    fake_core_max_foreign(x->core, 7);
    p = xenforeignmemory_map(x->f, 3, RW, 50, gfns, NULL);
    assert_non_null(p);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(frame_at(p, i), gfns[i]);
    assert_int_equal(xenforeignmemory_unmap(x->f, p, 50), 0);
    fake_core_max_foreign(x->core, 0);
}

/* More frames than one request carries, none next to the other: as many runs. */
static void foreign_many(void **state)
{
    struct fixture *x = *state;
    const size_t n = 2 * KW_MAX_GFNS + 5;
    xen_pfn_t *gfns = calloc(n, sizeof(*gfns));
    unsigned before = fake_core_count(x->core, KW_MAP_FOREIGN);
    void *p;

    for (size_t i = 0; i < n; i++)
        gfns[i] = i * 7919 % FAKE_RAM_PAGES;
    p = xenforeignmemory_map(x->f, 3, PROT_READ, n, gfns, NULL);
    assert_non_null(p);
    assert_int_equal(fake_core_count(x->core, KW_MAP_FOREIGN) - before, 3);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(frame_at(p, i), gfns[i]);
    assert_int_equal(xenforeignmemory_unmap(x->f, p, n), 0);
    free(gfns);
}

static void foreign_placed(void **state)
{
    struct fixture *x = *state;
    const xen_pfn_t gfns[2] = {20, 21};
    char *at = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_equal(xenforeignmemory_map2(x->f, 3, at + PAGE, RW, MAP_FIXED | MAP_SHARED, 2, gfns,
                                           NULL), at + PAGE);
    assert_int_equal(frame_at(at, 2), 21);
    munmap(at, 4 * PAGE);
}

static void foreign_broken_core(void **state)
{
    struct fixture *x = *state;
    static const enum fake_fault faults[] = {FAKE_BAD_SEQ,   FAKE_SHORT, FAKE_NO_FDS,
                                             FAKE_BAD_RUNS, FAKE_MANY_RUNS, FAKE_RUN_FD};
    const xen_pfn_t gfns[3] = {1, 2, 3};

    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        fake_core_fault(x->core, KW_MAP_FOREIGN, faults[i]);
        errno = 0;
        assert_null(xenforeignmemory_map(x->f, 3, RW, 3, gfns, NULL));
        assert_int_equal(errno, EPROTO);
    }
}

static void resources(void **state)
{
    struct fixture *x = *state;
    void *addr = NULL;
    xenforeignmemory_resource_handle *r;
    size_t size = 0;

    assert_int_equal(xenforeignmemory_resource_size(x->f, 3, XENMEM_resource_grant_table, 0,
                                                    &size), 0);
    assert_int_equal(size, FAKE_RESOURCE_FRAMES * PAGE);
    r = xenforeignmemory_map_resource(x->f, 3, XENMEM_resource_grant_table, 0, 1, 2, &addr, RW, 0);
    assert_non_null(r);
    assert_int_equal(frame_at(addr, 0), 1);
    assert_int_equal(frame_at(addr, 1), 2);
    assert_int_equal(xenforeignmemory_unmap_resource(x->f, r), 0);
    addr = NULL;
    assert_null(xenforeignmemory_map_resource(x->f, 3, XENMEM_resource_grant_table, 0, 1, 3, &addr,
                                              RW, 0));
    assert_int_equal(errno, EINVAL);
    assert_null(addr);
}

static void foreign_restricted(void **state)
{
    struct fixture *x = *state;
    const xen_pfn_t gfn = 1;
    void *p;

    assert_int_equal(xenforeignmemory_restrict(x->f, 7), 0);
    assert_null(xenforeignmemory_map(x->f, 3, RW, 1, &gfn, NULL));
    assert_int_equal(errno, EACCES);
    p = xenforeignmemory_map(x->f, 7, RW, 1, &gfn, NULL);
    assert_non_null(p);
    xenforeignmemory_unmap(x->f, p, 1);
    /* The grant handles follow with everything else. */
    assert_int_equal(xentoolcore_restrict_all(7), 0);
    assert_null(xengnttab_map_grant_ref(x->g, 3, 1, RW));
    assert_int_equal(errno, EACCES);
}

static void grants(void **state)
{
    struct fixture *x = *state;
    uint32_t domids[3] = {3, 4, 5}, refs[3] = {11, 13, 12};
    unsigned char *p = xengnttab_map_grant_refs(x->g, 3, domids, refs, RW), *q, *r;

    assert_non_null(p);
    assert_int_equal(fake_core_last_domid(x->core), 5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(frame_at(p, i), refs[i]);
    q = xengnttab_map_domain_grant_refs(x->g, 2, 9, refs, PROT_READ);
    r = xengnttab_map_grant_ref(x->g, 9, 30, RW);
    assert_true(q && r);
    assert_int_equal(fake_core_last_domid(x->core), 9);
    assert_int_equal(fake_core_grants_held(x->core), 3);
    errno = 0;
    assert_int_equal(xengnttab_unmap(x->g, p, 2), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xengnttab_unmap(x->g, p + PAGE, 3), -1);
    assert_int_equal(xengnttab_unmap(x->g, p, 3), 0);
    assert_int_equal(xengnttab_unmap(x->g, p, 3), -1);
    assert_int_equal(xengnttab_unmap(x->g, q, 2), 0);
    assert_int_equal(fake_core_grants_held(x->core), 1);
    /* Closing lets go of the rest. */
    xengnttab_close(x->g);
    for (int i = 0; i < 1000 && fake_core_grants_held(x->core); i++)
        usleep(1000);
    assert_int_equal(fake_core_grants_held(x->core), 0);
    x->g = xengnttab_open(x->lg, 0);
}

static void grant_errors(void **state)
{
    struct fixture *x = *state;
    uint32_t refs[2] = {1, FAKE_BAD_GREF}, fd;

    assert_null(xengnttab_map_domain_grant_refs(x->g, 2, 3, refs, RW));
    assert_int_equal(errno, ENOENT);
    assert_null(xengnttab_map_grant_ref(x->g, 3, FAKE_RO_GREF, RW));
    assert_int_equal(errno, EACCES);
    assert_null(xengnttab_map_domain_grant_refs(x->g, 0, 3, refs, RW));
    assert_int_equal(errno, EINVAL);
    assert_null(xengnttab_map_domain_grant_refs(x->g, KW_MAX_GFNS + 1, 3, refs, RW));
    assert_int_equal(errno, E2BIG);
    fake_core_fault(x->core, KW_GNT_MAP, FAKE_BAD_RUNS);
    assert_null(xengnttab_map_grant_ref(x->g, 3, 1, RW));
    assert_int_equal(errno, EPROTO);
    assert_int_equal(fake_core_grants_held(x->core), 0);
    assert_int_equal(xengnttab_set_max_grants(x->g, 100), 0);
    assert_int_equal(xengnttab_dmabuf_exp_from_refs(x->g, 3, 0, 1, refs, &fd), -1);
    assert_int_equal(errno, ENOTSUP);
}

static void notifications(void **state)
{
    struct fixture *x = *state;
    xenevtchn_handle *e = xenevtchn_open(x->lg, 0);
    int port = xenevtchn_bind_unbound_port(e, 3);
    uint32_t action, got_port, ref;
    uint64_t offset;
    void *p;

    p = xengnttab_map_grant_ref_notify(x->g, 3, 5, RW, 44, port);
    assert_non_null(p);
    fake_core_last_notify(x->core, &action, &got_port, &offset);
    assert_int_equal(action, KW_NOTIFY_CLEAR_BYTE | KW_NOTIFY_SEND_EVENT);
    assert_int_equal(got_port, port);
    assert_int_equal(offset, 44);
    xengnttab_unmap(x->g, p, 1);
    p = xengnttab_map_grant_ref_notify(x->g, 3, 5, RW, -1, port);
    fake_core_last_notify(x->core, &action, &got_port, &offset);
    assert_int_equal(action, KW_NOTIFY_SEND_EVENT);
    xengnttab_unmap(x->g, p, 1);
    /* Neither: no request for it. */
    p = xengnttab_map_grant_ref_notify(x->g, 3, 5, RW, -1, -1);
    assert_non_null(p);
    assert_int_equal(fake_core_count(x->core, KW_GNT_NOTIFY), 2);
    xengnttab_unmap(x->g, p, 1);
    /* One that cannot be set up means no map. */
    assert_null(xengnttab_map_grant_ref_notify(x->g, 3, 5, RW, 0, 60));
    assert_int_equal(errno, EINVAL);
    assert_null(xengnttab_map_grant_ref_notify(x->g, 3, 5, RW, PAGE, -1));
    assert_int_equal(fake_core_grants_held(x->core), 0);
    p = xengntshr_share_page_notify(x->s, 3, &ref, 1, 8, -1);
    assert_non_null(p);
    fake_core_last_notify(x->core, &action, &got_port, &offset);
    assert_int_equal(action, KW_NOTIFY_CLEAR_BYTE);
    assert_int_equal(offset, 8);
    assert_int_equal(xengntshr_unshare(x->s, p, 1), 0);
    assert_null(xengntshr_share_page_notify(x->s, 3, &ref, 1, 8, 60));
    assert_int_equal(fake_core_grants_held(x->core), 0);
    xenevtchn_close(e);
}

static void sharing(void **state)
{
    struct fixture *x = *state;
    uint32_t refs[3] = {0};
    char *p = xengntshr_share_pages(x->s, 6, 3, refs, 1);

    assert_non_null(p);
    assert_int_equal(fake_core_last_domid(x->core), 6);
    assert_int_equal(refs[0], 8);
    assert_int_equal(refs[2], 10);
    assert_int_equal(p[0] | p[3 * PAGE - 1], 0);
    memset(p, 1, 3 * PAGE);
    assert_int_equal(xengntshr_unshare(x->s, p, 2), -1);
    assert_int_equal(xengntshr_unshare(x->s, p, 3), 0);
    assert_int_equal(fake_core_grants_held(x->core), 0);
    assert_null(xengntshr_share_pages(x->s, 6, 0, refs, 1));
    assert_null(xengntshr_share_pages(x->s, 6, -1, refs, 1));
    fake_core_fault(x->core, KW_GNTSHR_SHARE, FAKE_NO_FDS);
    assert_null(xengntshr_share_pages(x->s, 6, 2, refs, 0));
    assert_int_equal(errno, EPROTO);
    fake_core_fault(x->core, KW_GNTSHR_SHARE, FAKE_SHORT);
    assert_null(xengntshr_share_pages(x->s, 6, 2, refs, 0));
    assert_int_equal(errno, EPROTO);
}

static xengnttab_grant_copy_segment_t from_grant(void *to, uint32_t ref, uint16_t offset,
                                                 uint16_t len)
{
    return (xengnttab_grant_copy_segment_t){
        .source.foreign = {.ref = ref, .offset = offset, .domid = 3}, .dest.virt = to, .len = len,
        .flags = GNTCOPY_source_gref, .status = 99};
}

static void copying(void **state)
{
    struct fixture *x = *state;
    unsigned char buf[100][8], *ram = fake_core_ram(x->core);
    xengnttab_grant_copy_segment_t seg[100];
    unsigned before;

    assert_int_equal(xengnttab_grant_copy(x->g, 0, NULL), 0);
    for (int i = 0; i < 100; i++)
        seg[i] = from_grant(buf[i], 100 + i, 0, 4);
    /* One write among the reads, a grant to a grant, and one read-only. */
    seg[50] = (xengnttab_grant_copy_segment_t){
        .source.virt = "hello", .dest.foreign = {.ref = 40, .offset = 10, .domid = 3}, .len = 5,
        .flags = GNTCOPY_dest_gref};
    seg[51] = (xengnttab_grant_copy_segment_t){
        .source.foreign = {.ref = FAKE_RO_GREF + 1, .domid = 3},
        .dest.foreign = {.ref = 41, .offset = 20, .domid = 4}, .len = 4,
        .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref};
    seg[52] = from_grant(buf[52], FAKE_RO_GREF, 0, 4);
    before = fake_core_count(x->core, KW_GNT_MAP);
    assert_int_equal(xengnttab_grant_copy(x->g, 100, seg), 0);
    /* 50 in one, the write, the pair in two, 48 in one. */
    assert_int_equal(fake_core_count(x->core, KW_GNT_MAP) - before, 5);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(seg[i].status, GNTST_okay);
        if (i < 50 || i > 52)
            assert_int_equal(frame_at(buf[i], 0), 100 + i);
    }
    assert_memory_equal(ram + 40 * PAGE + 10, "hello", 5);
    assert_int_equal(frame_at(ram + 41 * PAGE + 20, 0), FAKE_RO_GREF + 1);
    assert_int_equal(frame_at(buf[52], 0), FAKE_RO_GREF);
    assert_int_equal(fake_core_grants_held(x->core), 0);
}

static void copy_errors(void **state)
{
    struct fixture *x = *state;
    unsigned char buf[8] = {0};
    xengnttab_grant_copy_segment_t seg[6] = {
        from_grant(buf, 1, 0, 4),
        from_grant(buf, FAKE_BAD_GREF, 0, 4),
        from_grant(buf, 1, PAGE - 2, 4),
        from_grant(buf, 2, 0, 4),
        from_grant(buf, 1, 0, 4),
        {.source.virt = buf, .dest.foreign = {.ref = FAKE_RO_GREF, .domid = 3}, .len = 4,
         .flags = GNTCOPY_dest_gref},
    };

    seg[4].flags = 0;
    assert_int_equal(xengnttab_grant_copy(x->g, 6, seg), 0);
    assert_int_equal(seg[0].status, GNTST_okay);
    assert_int_equal(seg[1].status, GNTST_bad_gntref);
    assert_int_equal(seg[2].status, GNTST_bad_copy_arg);
    assert_int_equal(seg[3].status, GNTST_okay);
    assert_int_equal(seg[4].status, GNTST_general_error);
    assert_int_equal(seg[5].status, GNTST_permission_denied);
    assert_int_equal(frame_at(buf, 0), 2);
    assert_int_equal(fake_core_grants_held(x->core), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(foreign_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_many, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_far_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_placed, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_broken_core, setup, teardown),
        cmocka_unit_test_setup_teardown(resources, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_restricted, setup, teardown),
        cmocka_unit_test_setup_teardown(grants, setup, teardown),
        cmocka_unit_test_setup_teardown(grant_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(notifications, setup, teardown),
        cmocka_unit_test_setup_teardown(sharing, setup, teardown),
        cmocka_unit_test_setup_teardown(copying, setup, teardown),
        cmocka_unit_test_setup_teardown(copy_errors, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
