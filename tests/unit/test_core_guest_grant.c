/* SPDX-License-Identifier: MIT */
/*
 * Guests that map grants: a backend in a domain 0 that is a guest, granters that change their mind or
 * go, mappers that go, and what guests without control may not. XSA-387, 228, 235, 255 as ideas.
 */
#include "tests/unit/core_harness.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hypervisor/core/foreign.h"
#include "hypervisor/core/grant_table.h"
#include "hypervisor/engine/engine.h"

#define AT   0x1000ull
#define HOLE 0x5000ull
#define GPA(gfn) ((gfn) * 4096)

static domid_t privileged(struct th *h)
{
    domid_t d = th_domain(h, 1, 64);

    domain_find(h->core, d)->control = true;
    return d;
}

static struct grant_entry_v1 *v1(struct th *h, domid_t d)
{
    assert_int_equal(gnt_grow(domain_find(h->core, d), 1), 0);
    return (void *)(th_proc(h, d)->xen + KL_XEN_GRANT_FRAMES * 4096);
}

static long op(struct th *h, domid_t d, unsigned cmd, void *arg, size_t size, unsigned nr)
{
    long rc;

    tg_write(h, d, AT, arg, size * nr);
    rc = tg_hypercall(h, d, __HYPERVISOR_grant_table_op, cmd, AT, nr);
    tg_read(h, d, AT, arg, size * nr);
    return rc;
}

static int map(struct th *h, domid_t d, domid_t from, uint32_t ref, uint64_t gfn, uint32_t flags,
               uint32_t *handle)
{
    struct gnttab_map_grant_ref m = { .host_addr = GPA(gfn), .flags = flags, .ref = ref, .dom = from,
                                      .status = 77 };

    assert_int_equal(op(h, d, GNTTABOP_map_grant_ref, &m, sizeof(m), 1), 0);
    *handle = m.handle;
    return m.status;
}

static int unmap(struct th *h, domid_t d, uint64_t gfn, uint32_t handle)
{
    struct gnttab_unmap_grant_ref u = { .host_addr = GPA(gfn), .handle = handle, .status = 77 };

    assert_int_equal(op(h, d, GNTTABOP_unmap_grant_ref, &u, sizeof(u), 1), 0);
    return u.status;
}

static void test_map(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct grant_entry_v1 *e = v1(h, d);
    uint32_t a, b;
    uint8_t byte = 0x31;

    tg_write(h, d, GPA(5) + 9, &byte, 1);
    e[20] = (struct grant_entry_v1){ GTF_permit_access, me, 5 };
    e[21] = (struct grant_entry_v1){ GTF_permit_access | GTF_readonly, me, 6 };
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_host_map, &a), GNTST_okay);
    assert_int_equal(e[20].flags, GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 9), 0x31);
    assert_int_equal(tg_foreign_put(h, me, HOLE, 9, 0x32), 0);
    tg_read(h, d, GPA(5) + 9, &byte, 1);
    assert_int_equal(byte, 0x32);
    /* read-only: by the flag, and as the entry says; the process cannot write either */
    assert_int_equal(map(h, me, d, 21, HOLE + 1, GNTMAP_host_map, &b), GNTST_general_error);
    assert_int_equal(map(h, me, d, 21, HOLE + 1, GNTMAP_host_map | GNTMAP_readonly, &b), GNTST_okay);
    assert_int_equal(e[21].flags, GTF_permit_access | GTF_readonly | GTF_reading);
    assert_int_equal(tg_foreign(h, me, HOLE + 1)->type, ENGINE_GFN_ROM);
    assert_int_equal(tg_foreign_put(h, me, HOLE + 1, 0, 1), -1);
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_memory_op, XENMEM_memory_map, GPA(HOLE + 1), 0),
                     -ENOSYS);
    struct gnttab_query_size q = { .dom = DOMID_SELF };
    tg_write(h, d, GPA(6), &q, sizeof(q));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_grant_table_op, GNTTABOP_query_size,
                                  GPA(HOLE + 1), 1), -EFAULT);    /* its result has no place there */

    assert_int_equal(unmap(h, me, HOLE + 1, a), GNTST_general_error);    /* not where it is */
    assert_int_equal(unmap(h, me, 0, a), GNTST_okay);                    /* nothing asked for */
    assert_non_null(tg_foreign(h, me, HOLE));
    assert_int_equal(unmap(h, me, HOLE, a), GNTST_okay);
    assert_null(tg_foreign(h, me, HOLE));
    assert_int_equal(e[20].flags, GTF_permit_access);
    assert_int_equal(unmap(h, me, HOLE, a), GNTST_bad_handle);
    assert_int_equal(unmap(h, me, HOLE, UINT32_MAX), GNTST_bad_handle);
    assert_int_equal(unmap(h, me, HOLE + 1, b), GNTST_okay);
    assert_int_equal(domain_find(h->core, d)->gt.pinned, 0);
    assert_int_equal(domain_find(h->core, d)->held.nr, 0);
    assert_int_equal(domain_find(h->core, me)->foreign.used, 0);
}

static void test_refused(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct grant_entry_v1 *e = v1(h, d);
    uint32_t a, b;

    e[20] = (struct grant_entry_v1){ GTF_permit_access, me, 5 };
    e[22] = (struct grant_entry_v1){ GTF_permit_access, 9, 5 };
    e[23] = (struct grant_entry_v1){ GTF_permit_access, me, 500 };
    assert_int_equal(map(h, me, d, 20, HOLE, 0, &a), GNTST_bad_gntref);
    assert_int_equal(a, UINT32_MAX);
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_device_map, &a), GNTST_general_error);
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_host_map | GNTMAP_device_map, &a), GNTST_general_error);
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_host_map | GNTMAP_contains_pte, &a),
                     GNTST_general_error);
    assert_int_equal(map(h, me, 444, 20, HOLE, GNTMAP_host_map, &a), GNTST_bad_domain);
    assert_int_equal(map(h, me, DOMID_SELF, 20, HOLE, GNTMAP_host_map, &a), GNTST_bad_domain);
    assert_int_equal(map(h, me, d, 22, HOLE, GNTMAP_host_map, &a), GNTST_general_error);
    assert_int_equal(map(h, me, d, 23, HOLE, GNTMAP_host_map, &a), GNTST_bad_page);
    assert_int_equal(map(h, me, d, 512, HOLE, GNTMAP_host_map, &a), GNTST_bad_gntref);
    assert_int_equal(map(h, me, d, UINT32_MAX, HOLE, GNTMAP_host_map, &a), GNTST_bad_gntref);
    assert_int_equal(map(h, me, d, 20, P2M_MAX_GFN, GNTMAP_host_map, &a), GNTST_general_error);
    assert_int_equal(map(h, me, d, 20, UINT64_MAX / 4096, GNTMAP_host_map, &a), GNTST_general_error);
    assert_int_equal(e[20].flags, GTF_permit_access);
    assert_int_equal(domain_find(h->core, d)->gt.pinned, 0);
    /* a frame with a grant is not for anything else until it is unmapped */
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_host_map, &a), GNTST_okay);
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_host_map, &b), GNTST_general_error);
    struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = HOLE };
    tg_write(h, me, AT, &r, sizeof(r));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_memory_op, XENMEM_remove_from_physmap, AT, 0), -EINVAL);
    struct xen_add_to_physmap p = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn, .idx = 9, .gpfn = HOLE };
    tg_write(h, me, AT, &p, sizeof(p));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, AT, 0), -EINVAL);
    p.space = XENMAPSPACE_shared_info;
    p.idx = 0;
    tg_write(h, me, AT, &p, sizeof(p));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, AT, 0), -EINVAL);
    struct gnttab_unmap_and_replace x = { .host_addr = GPA(HOLE), .handle = a };
    assert_int_equal(op(h, me, GNTTABOP_unmap_and_replace, &x, sizeof(x), 1), 0);
    assert_int_equal(x.status, GNTST_general_error);
    x.handle = 4000;
    assert_int_equal(op(h, me, GNTTABOP_unmap_and_replace, &x, sizeof(x), 1), 0);
    assert_int_equal(x.status, GNTST_bad_handle);
    assert_non_null(tg_foreign(h, me, HOLE));
    assert_int_equal(unmap(h, me, HOLE, a), GNTST_okay);
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, 0x7000000, 1),
                     -EFAULT);
}

/* Its own grants to itself, and what a host client shared with it: no page is moved for that. */
static void test_unprivileged(void **state)
{
    struct th *h = *state;
    domid_t me = th_domain(h, 1, 64);
    struct grant_entry_v1 *own = v1(h, me);
    uint8_t reply[256];
    struct kw_gntshr s = { { KW_GNTSHR_SHARE, 0 }, me, 1, 1, 0 };
    struct kw_gntshr_reply *sr = (void *)reply;
    uint32_t a;

    own[20] = (struct grant_entry_v1){ GTF_permit_access, me, 5 };
    assert_int_equal(map(h, me, me, 20, HOLE, GNTMAP_host_map, &a), GNTST_okay);
    assert_int_equal(h->core->pages_apart, 0);
    assert_int_equal(unmap(h, me, HOLE, a), GNTST_okay);
    assert_int_equal(tc_call(h, &h->c, &s, sizeof(s), reply, sizeof(reply)), 0);
    assert_int_equal(map(h, me, 0, sr->ref[0], HOLE, GNTMAP_host_map, &a), GNTST_okay);
    assert_int_equal(tg_foreign_put(h, me, HOLE, 0, 0x11), 0);
    /* the share outlives its client while the guest has it */
    struct kw_gnt_unmap un = { { KW_GNTSHR_UNSHARE, 0 }, sr->handle };
    assert_int_equal(tc_call(h, &h->c, &un, sizeof(un), NULL, 0), 0);
    assert_non_null(h->core->host_dom->shares);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 0), 0x11);
    assert_int_equal(unmap(h, me, HOLE, a), GNTST_okay);
    assert_null(h->core->host_dom->shares);
    assert_int_equal(h->core->host_dom->gt.pinned, 0);
}

static void test_limits(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct domain *m = domain_find(h->core, me);
    struct gnttab_map_grant_ref many[90];
    struct gnttab_unmap_grant_ref gone[90];
    struct grant_entry_v1 *e = v1(h, d);
    uint32_t a;

    e[20] = (struct grant_entry_v1){ GTF_permit_access, me, 5 };
    m->config.max_maptrack_frames = 0;
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_host_map, &a), GNTST_no_space);
    m->config.max_maptrack_frames = 1;
    m->foreign.grants = 255;
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_host_map, &a), GNTST_okay);
    assert_int_equal(map(h, me, d, 20, HOLE + 1, GNTMAP_host_map, &a), GNTST_no_space);
    m->foreign.grants = 1;
    for (unsigned i = 0; i < 90; i++) {
        many[i] = (struct gnttab_map_grant_ref){ .host_addr = GPA(HOLE + 2 + i), .flags = GNTMAP_host_map,
                                                 .ref = i == 44 ? 21 : 20, .dom = d };
    }
    assert_int_equal(op(h, me, GNTTABOP_map_grant_ref, many, sizeof(many[0]), 90), 0);
    for (unsigned i = 0; i < 90; i++) {
        assert_int_equal(many[i].status, i == 44 ? GNTST_general_error : GNTST_okay);
        gone[i] = (struct gnttab_unmap_grant_ref){ .host_addr = many[i].host_addr,
                                                   .handle = many[i].handle };
    }
    assert_int_equal(domain_find(h->core, d)->gt.pinned, 90);
    assert_int_equal(op(h, me, GNTTABOP_unmap_grant_ref, gone, sizeof(gone[0]), 90), 0);
    for (unsigned i = 0; i < 90; i++) {
        assert_int_equal(gone[i].status, i == 44 ? GNTST_bad_handle : GNTST_okay);
    }
    assert_int_equal(domain_find(h->core, d)->gt.pinned, 1);
    assert_int_equal(th_proc(h, me)->nr_foreign, 1);
    tg_hypercall(h, me, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, AT, UINT32_MAX);
}

/* The granter revokes, gives up the page, writes the entry, goes: what is mapped stays what it was. */
static void test_hostile_granter(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct grant_entry_v1 *e = v1(h, d);
    struct domain *o = domain_get(domain_find(h->core, d));
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    uint64_t gfn = 5, before = h->core->host.given_pages;
    uint8_t byte = 0x66;
    uint32_t a, b;

    tg_write(h, d, GPA(5), &byte, 1);
    e[20] = (struct grant_entry_v1){ GTF_permit_access, me, 5 };
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_host_map, &a), GNTST_okay);
    memset(e, 0xff, 4096);
    r.extent_start.p = (void *)(uintptr_t)0x2000;
    tg_write(h, d, 0x2000, &gfn, 8);
    tg_write(h, d, AT, &r, sizeof(r));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, AT, 0), 1);
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_memory_op, XENMEM_populate_physmap, AT, 0), 1);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 0), 0x66);
    assert_int_not_equal(p2m_lookup(o, 5).page, 5);
    memset(e, 0, 4096);
    e[21] = (struct grant_entry_v1){ GTF_permit_access, me, 6 };
    assert_int_equal(map(h, me, d, 21, HOLE + 1, GNTMAP_host_map, &b), GNTST_okay);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 0), 0x66);
    assert_int_equal(h->core->host.given_pages, before - 16 + 2);
    assert_int_equal(map(h, me, d, 21, HOLE + 2, GNTMAP_host_map, &b), GNTST_bad_domain);
    /* another domain with its number changes nothing */
    o->core->last_domid = (domid_t)(d - 1);
    assert_int_equal(th_domain(h, 1, 16), d);
    assert_int_equal(unmap(h, me, HOLE, a), GNTST_okay);
    assert_int_equal(unmap(h, me, HOLE + 1, 1), GNTST_okay);
    assert_int_equal(h->core->host.given_pages, before);
    assert_int_equal(o->refs, 1);
    assert_int_equal(o->ram_fd, -1);
    domain_put(o);
}

static void test_mapper_goes(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct grant_entry_v1 *e = v1(h, d);

    for (int i = 0; i < 2; i++) {
        domid_t me = privileged(h);
        uint32_t a;

        for (unsigned k = 0; k < 30; k++) {
            e[20 + k] = (struct grant_entry_v1){ GTF_permit_access, me, k % 16 };
            assert_int_equal(map(h, me, d, 20 + k, HOLE + k * 3, GNTMAP_host_map, &a), GNTST_okay);
        }
        if (i) {    /* its process ends first, then the granter */
            shutdown(th_proc(h, me)->sock, SHUT_RDWR);
            th_turn(h);
            assert_int_equal(e[20].flags & GTF_reading, GTF_reading);
        }
        assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, me), 0);
        for (unsigned k = 0; k < 30; k++) {
            assert_int_equal(e[20 + k].flags, GTF_permit_access);
        }
        assert_int_equal(domain_find(h->core, d)->gt.pinned, 0);
        assert_int_equal(domain_find(h->core, d)->held.nr, 0);
    }
}

/* Copies from and to frames that are maps of others' pages. */
static void test_copy(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct grant_entry_v1 *e = v1(h, d);
    struct gnttab_copy c = { .source = { .u.gmfn = HOLE, .domid = DOMID_SELF },
                             .dest = { .u.gmfn = HOLE + 1, .domid = DOMID_SELF, .offset = 8 }, .len = 1 };
    uint8_t byte = 0x51;
    uint32_t a, b;

    tg_write(h, d, GPA(5), &byte, 1);
    e[20] = (struct grant_entry_v1){ GTF_permit_access | GTF_readonly, me, 5 };
    e[21] = (struct grant_entry_v1){ GTF_permit_access, me, 6 };
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_host_map | GNTMAP_readonly, &a), GNTST_okay);
    assert_int_equal(map(h, me, d, 21, HOLE + 1, GNTMAP_host_map, &b), GNTST_okay);
    assert_int_equal(op(h, me, GNTTABOP_copy, &c, sizeof(c), 1), 0);
    assert_int_equal(c.status, GNTST_okay);
    tg_read(h, d, GPA(6) + 8, &byte, 1);
    assert_int_equal(byte, 0x51);
    c.dest.u.gmfn = HOLE;
    assert_int_equal(op(h, me, GNTTABOP_copy, &c, sizeof(c), 1), 0);
    assert_int_equal(c.status, GNTST_bad_page);
    assert_int_equal(domain_find(h->core, d)->gt.pinned, 2);
}

static void test_version_2(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct gnttab_set_version v = { 2 };
    union grant_entry_v2 *e = (void *)v1(h, d);
    uint16_t *status = (void *)(th_proc(h, d)->xen + KL_XEN_STATUS_FRAMES * 4096);
    uint32_t a;

    assert_int_equal(op(h, d, GNTTABOP_set_version, &v, sizeof(v), 1), 0);
    e[20].hdr = (struct grant_entry_header){ GTF_permit_access, me };
    e[20].full_page.frame = 5;
    e[21].hdr = (struct grant_entry_header){ GTF_permit_access | GTF_sub_page, me };
    e[21].sub_page.length = 64;
    e[21].sub_page.frame = 5;
    e[22].hdr = (struct grant_entry_header){ GTF_transitive, me };
    assert_int_equal(map(h, me, d, 20, HOLE, GNTMAP_host_map, &a), GNTST_okay);
    assert_int_equal(status[20], GTF_reading | GTF_writing);
    assert_int_equal(unmap(h, me, HOLE, a), GNTST_okay);
    assert_int_equal(status[20], 0);
    assert_int_equal(map(h, me, d, 21, HOLE, GNTMAP_host_map, &a), GNTST_general_error);
    assert_int_equal(status[21], 0);
    assert_int_equal(map(h, me, d, 22, HOLE, GNTMAP_host_map, &a), GNTST_general_error);
    assert_int_equal(domain_find(h->core, d)->gt.pinned, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, th_setup, th_teardown)
    static const struct CMUnitTest tests[] = {
        T(test_map), T(test_refused), T(test_unprivileged), T(test_limits), T(test_hostile_granter),
        T(test_mapper_goes), T(test_copy), T(test_version_2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
