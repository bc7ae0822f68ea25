/* SPDX-License-Identifier: MIT */
/*
 * A guest with control maps other domains' frames and resources into its own p2m; owners that go,
 * give up pages or are hostile to it. XSA-387 and XSA-380 as ideas.
 */
#include "tests/unit/core_harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hypervisor/core/foreign.h"
#include "hypervisor/core/guest_access.h"

#define AT    0x1000ull          /* where a guest keeps its arguments: frames 1.. */
#define LISTS 0x2000ull
#define HOLE  0x5000ull          /* frames where nothing is */
#define MEMORY(h, d, op, arg) tg_hypercall(h, d, __HYPERVISOR_memory_op, op, arg, 0)

/* A guest with a hardware domain's rights, and one without. */
static domid_t privileged(struct th *h)
{
    domid_t d = th_domain(h, 1, 64);

    domain_find(h->core, d)->control = true;
    return d;
}

static long batch(struct th *h, domid_t d, domid_t into, unsigned space, domid_t from,
                  const uint64_t *idx, const uint64_t *gfn, unsigned nr, int32_t *errs)
{
    struct xen_add_to_physmap_batch b = { .domid = into, .space = (uint16_t)space,
                                          .size = (uint16_t)nr, .u.foreign_domid = from };
    long rc;

    b.idxs.p = (void *)(uintptr_t)LISTS;
    b.gpfns.p = (void *)(uintptr_t)(LISTS + 0x1000);
    b.errs.p = (void *)(uintptr_t)(LISTS + 0x2000);
    tg_write(h, d, LISTS, idx, nr * 8);
    tg_write(h, d, LISTS + 0x1000, gfn, nr * 8);
    tg_write(h, d, AT, &b, sizeof(b));
    rc = MEMORY(h, d, XENMEM_add_to_physmap_batch, AT);
    tg_read(h, d, LISTS + 0x2000, errs, nr * 4);
    return rc;
}

static int map_one(struct th *h, domid_t d, domid_t from, uint64_t idx, uint64_t gfn)
{
    int32_t err = 12345;

    assert_int_equal(batch(h, d, DOMID_SELF, XENMAPSPACE_gmfn_foreign, from, &idx, &gfn, 1, &err), 0);
    return err;
}

static long unmap_one(struct th *h, domid_t d, uint64_t gfn)
{
    struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = gfn };

    tg_write(h, d, AT, &r, sizeof(r));
    return MEMORY(h, d, XENMEM_remove_from_physmap, AT);
}

static long reservation(struct th *h, domid_t d, unsigned op, uint64_t gfn)
{
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };

    r.extent_start.p = (void *)(uintptr_t)LISTS;
    tg_write(h, d, LISTS, &gfn, 8);
    tg_write(h, d, AT, &r, sizeof(r));
    return MEMORY(h, d, op, AT);
}

static uint64_t given(struct th *h)
{
    return h->core->host.given_pages;
}

static void test_map(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    uint64_t idx[4] = { 3, 4, 99, 9 }, gfn[4] = { HOLE, HOLE + 1, HOLE + 2, HOLE + 3 };
    uint8_t byte = 0x5a;
    int32_t errs[4];

    tg_write(h, d, 3 * 4096 + 7, &byte, 1);
    assert_int_equal(batch(h, me, DOMID_SELF, XENMAPSPACE_gmfn_foreign, d, idx, gfn, 4, errs), 0);
    assert_int_equal(errs[0], 0);
    assert_int_equal(errs[1], 0);
    assert_int_equal(errs[2], -EINVAL);    /* nothing at 99; the others do not suffer */
    assert_int_equal(errs[3], 0);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 7), 0x5a);
    assert_int_equal(tg_foreign(h, me, HOLE + 1)->page, 4);
    assert_null(tg_foreign(h, me, HOLE + 2));
    assert_int_equal(tg_foreign_put(h, me, HOLE, 8, 0xa5), 0);
    tg_read(h, d, 3 * 4096 + 8, &byte, 1);
    assert_int_equal(byte, 0xa5);
    assert_int_equal(domain_find(h->core, me)->foreign.runs, 2);    /* 3, 4 are one stretch */
    assert_int_equal(domain_find(h->core, me)->tot_pages, 64);
    assert_int_equal(domain_find(h->core, d)->held.nr, 3);

    assert_int_equal(unmap_one(h, me, HOLE), 0);
    assert_null(tg_foreign(h, me, HOLE));
    assert_int_equal(unmap_one(h, me, HOLE), -EINVAL);
    assert_int_equal(unmap_one(h, me, HOLE + 1), 0);
    /* decrease_reservation unhooks one too, without anybody's page being freed */
    assert_int_equal(reservation(h, me, XENMEM_decrease_reservation, HOLE + 3), 1);
    assert_null(tg_foreign(h, me, HOLE + 3));
    assert_int_equal(domain_find(h->core, d)->held.nr, 0);
    assert_int_equal(domain_find(h->core, d)->tot_pages, 16);
    assert_int_equal(domain_find(h->core, me)->foreign.used, 0);
    assert_int_equal(domain_find(h->core, me)->foreign.runs, 0);
}

static void test_replace(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct domain *m = domain_find(h->core, me);

    /* over RAM of its own: that goes; over another map: that goes; RAM over a map: the same */
    assert_int_equal(map_one(h, me, d, 3, 40), 0);
    assert_int_equal(m->tot_pages, 63);
    assert_int_equal(map_one(h, me, d, 5, 40), 0);
    assert_int_equal(tg_foreign(h, me, 40)->page, 5);
    assert_false(page_holds(domain_find(h->core, d), 3));
    assert_int_equal(m->foreign.used, 1);
    assert_int_equal(reservation(h, me, XENMEM_populate_physmap, 40), 0);    /* occupied */
    assert_int_equal(unmap_one(h, me, 40), 0);
    assert_int_equal(reservation(h, me, XENMEM_populate_physmap, 40), 1);
    assert_null(tg_foreign(h, me, 40));
    assert_int_equal(m->tot_pages, 64);
    /* a Xen page of its own over a map */
    assert_int_equal(map_one(h, me, d, 3, HOLE), 0);
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info,
                                    .gpfn = HOLE };
    tg_write(h, me, AT, &a, sizeof(a));
    assert_int_equal(MEMORY(h, me, XENMEM_add_to_physmap, AT), 0);
    assert_null(tg_foreign(h, me, HOLE));
    assert_int_equal(m->foreign.used, 0);
}

static void test_refused(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16), other = th_domain(h, 1, 64);
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign,
                                    .gpfn = HOLE };
    uint64_t idx = 3, gfn = HOLE;
    int32_t err;

    assert_int_equal(map_one(h, other, d, 3, HOLE), -EPERM);
    assert_int_equal(map_one(h, other, me, 3, HOLE), -EPERM);
    assert_int_equal(map_one(h, me, DOMID_SELF, 3, HOLE), -EINVAL);
    assert_int_equal(map_one(h, me, me, 3, HOLE), -EINVAL);
    assert_int_equal(map_one(h, me, 0, 3, HOLE), -EINVAL);    /* the host */
    assert_int_equal(map_one(h, me, 500, 3, HOLE), -ESRCH);
    assert_int_equal(map_one(h, me, DOMID_XEN, 3, HOLE), -ESRCH);
    assert_int_equal(map_one(h, me, d, UINT64_MAX, HOLE), -EINVAL);
    assert_int_equal(map_one(h, me, d, 3, UINT64_MAX), -EINVAL);
    assert_int_equal(map_one(h, me, d, 3, P2M_MAX_GFN), -EINVAL);
    /* into another domain's p2m: as its own rights are */
    assert_int_equal(batch(h, me, other, XENMAPSPACE_gmfn_foreign, d, &idx, &gfn, 1, &err), 0);
    assert_int_equal(err, -EPERM);
    assert_int_equal(batch(h, other, d, XENMAPSPACE_gmfn_foreign, me, &idx, &gfn, 1, &err), -EPERM);
    /* the form without an owner */
    tg_write(h, me, AT, &a, sizeof(a));
    assert_int_equal(MEMORY(h, me, XENMEM_add_to_physmap, AT), -ENOSYS);
    /* what is mapped from somebody is not there for others, nor for host clients */
    assert_int_equal(map_one(h, me, d, 3, HOLE), 0);
    domain_find(h->core, other)->control = true;
    assert_int_equal(map_one(h, other, me, HOLE, HOLE), -EINVAL);
    assert_int_equal(domain_find(h->core, d)->held.nr, 1);
}

/* A large list comes in slices, with an error for each. */
static void test_large(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 600);
    uint64_t idx[512], gfn[512];
    int32_t errs[512];

    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 512; i++) {
            idx[i] = round ? 511 - i : i;    /* backwards each is a stretch of its own */
            gfn[i] = HOLE + i;
            errs[i] = 1;
        }
        assert_int_equal(batch(h, me, DOMID_SELF, XENMAPSPACE_gmfn_foreign, d, idx, gfn, 512, errs), 0);
        for (unsigned i = 0; i < 512; i++) {
            assert_int_equal(errs[i], 0);
            assert_int_equal(tg_foreign(h, me, HOLE + i)->page, idx[i]);
        }
        assert_int_equal(domain_find(h->core, me)->foreign.runs, round ? 512 : 1);
        assert_int_equal(domain_find(h->core, d)->held.nr, 512);
    }
    for (unsigned i = 0; i < 512; i++) {
        assert_int_equal(unmap_one(h, me, HOLE + (i * 7) % 512), 0);
    }
    assert_int_equal(domain_find(h->core, d)->held.nr, 0);
    assert_int_equal(domain_find(h->core, me)->foreign.runs, 0);
    assert_int_equal(th_proc(h, me)->nr_foreign, 0);
}

/* A page that its owner gives up is not used again while it is mapped, and is accounted till then. */
static void test_owner_gives_up(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct domain *o = domain_find(h->core, d);
    uint64_t before = given(h);
    uint8_t byte = 0x77;

    tg_write(h, d, 9 * 4096, &byte, 1);
    assert_int_equal(map_one(h, me, d, 9, HOLE), 0);
    assert_int_equal(reservation(h, d, XENMEM_decrease_reservation, 9), 1);
    assert_int_equal(o->tot_pages, 16);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 0), 0x77);
    assert_int_equal(reservation(h, d, XENMEM_populate_physmap, 9), 1);    /* another page */
    assert_int_equal(p2m_lookup(o, 9).type, P2M_RAM);
    assert_int_not_equal(p2m_lookup(o, 9).page, 9);
    assert_int_equal(o->tot_pages, 17);
    assert_int_equal(tg_foreign_put(h, me, HOLE, 0, 0x78), 0);
    assert_int_equal(gpa_read(o, 9 * 4096, &byte, 1), 0);
    assert_int_equal(byte, 0);
    assert_int_equal(unmap_one(h, me, HOLE), 0);
    assert_int_equal(o->tot_pages, 16);
    assert_int_equal(given(h), before);
    assert_int_equal(o->held.nr, 0);
    /* and now it is clean for whoever gets it */
    assert_int_equal(reservation(h, d, XENMEM_decrease_reservation, 9), 1);
    assert_int_equal(reservation(h, d, XENMEM_populate_physmap, 9), 1);
    assert_int_equal(p2m_lookup(o, 9).page, 9);
    tg_read(h, d, 9 * 4096, &byte, 1);
    assert_int_equal(byte, 0);
}

static long destroy(struct th *h, domid_t by, domid_t d)
{
    struct xen_domctl op = { .cmd = XEN_DOMCTL_destroydomain, .domain = d,
                             .interface_version = XEN_DOMCTL_INTERFACE_VERSION };

    tg_write(h, by, AT, &op, sizeof(op));
    return tg_hypercall(h, by, __HYPERVISOR_domctl, AT, 0, 0);
}

/* The owner goes; what is mapped of it stays until it is unmapped, and nothing else of it does. */
static void test_owner_goes(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h);
    uint64_t before = given(h);
    domid_t d = th_domain(h, 1, 32);
    struct domain *o = domain_get(domain_find(h->core, d));
    uint8_t byte = 0x42;

    tg_write(h, d, 5 * 4096, &byte, 1);
    tg_write(h, d, 6 * 4096, &byte, 1);
    assert_int_equal(map_one(h, me, d, 5, HOLE), 0);
    assert_int_equal(map_one(h, me, d, 5, HOLE + 1), 0);
    assert_int_equal(map_one(h, me, d, 30, HOLE + 2), 0);
    assert_int_equal(destroy(h, me, d), 0);
    assert_null(domain_find(h->core, d));
    assert_true(o->dead);
    assert_int_equal(given(h), before + 2);
    assert_true(o->ram_fd >= 0);
    assert_int_equal(tg_foreign_get(h, me, HOLE, 0), 0x42);
    assert_int_equal(pread(o->ram_fd, &byte, 1, 6 * 4096), 1);
    assert_int_equal(byte, 0);    /* punched out */
    assert_int_equal(map_one(h, me, d, 5, HOLE + 3), -ESRCH);
    /* the core itself still reaches it: a hypercall's argument lies there */
    uint64_t arg = HOLE * 4096;
    assert_int_equal(tg_foreign_put(h, me, HOLE, 0, 0), 0);
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_event_channel_op, EVTCHNOP_close, arg, 0), -EINVAL);
    assert_int_equal(unmap_one(h, me, HOLE), 0);
    assert_int_equal(given(h), before + 2);
    assert_int_equal(unmap_one(h, me, HOLE + 1), 0);
    assert_int_equal(given(h), before + 1);
    assert_int_equal(unmap_one(h, me, HOLE + 2), 0);
    assert_int_equal(given(h), before);
    assert_int_equal(o->ram_fd, -1);
    assert_int_equal(o->xen_fd, -1);
    assert_int_equal(o->refs, 1);
    domain_put(o);
}

/* The mapper goes, with what it has mapped; before or after the owner does. */
static void test_mapper_goes(void **state)
{
    struct th *h = *state;
    uint64_t before = given(h);
    domid_t d = th_domain(h, 1, 32);

    for (int i = 0; i < 3; i++) {
        domid_t me = privileged(h);
        struct domain *o = domain_get(domain_find(h->core, d));

        for (unsigned k = 0; k < 30; k++) {
            assert_int_equal(map_one(h, me, d, k, HOLE + k * 2), 0);
        }
        if (i == 2) {
            assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
            assert_int_equal(given(h), before + 64 + 30);
        }
        assert_int_equal(o->held.nr, 30);
        assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, me), 0);
        assert_int_equal(o->held.nr, 0);
        assert_int_equal(o->memory_users, 0);
        assert_int_equal(o->refs, i == 2 ? 1 : 2);
        domain_put(o);
    }
    assert_int_equal(given(h), before);
}

static void test_limit(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct domain *m = domain_find(h->core, me);

    m->foreign.runs = FOREIGN_MAX_RUNS;
    assert_int_equal(map_one(h, me, d, 3, HOLE), -ENOMEM);
    assert_int_equal(domain_find(h->core, d)->held.nr, 0);
    m->foreign.runs = 0;
    assert_int_equal(map_one(h, me, d, 3, HOLE), 0);
}

static long acquire(struct th *h, domid_t d, struct xen_mem_acquire_resource *r, const uint64_t *list)
{
    long rc;

    if (list) {
        r->frame_list.p = (void *)(uintptr_t)LISTS;
        tg_write(h, d, LISTS, list, r->nr_frames * 8);
    }
    tg_write(h, d, AT, r, sizeof(*r));
    rc = MEMORY(h, d, XENMEM_acquire_resource, AT);
    tg_read(h, d, AT, r, sizeof(*r));
    return rc;
}

static void test_resource(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16), other = th_domain(h, 1, 64);
    struct xen_mem_acquire_resource r = { .domid = d, .type = XENMEM_resource_grant_table,
                                          .id = XENMEM_resource_grant_table_id_shared };
    uint64_t list[3] = { HOLE, HOLE + 1, HOLE + 2 };
    struct domain *o = domain_get(domain_find(h->core, d));

    assert_int_equal(acquire(h, me, &r, NULL), 0);
    assert_int_equal(r.nr_frames, 64);
    assert_int_equal(o->gt.nr_frames, 0);
    assert_int_equal(acquire(h, me, &r, NULL), -EINVAL);    /* a number, but no list */
    r.nr_frames = 3;
    assert_int_equal(acquire(h, me, &r, list), 0);
    assert_int_equal(o->gt.nr_frames, 3);
    assert_int_equal(tg_foreign_put(h, me, HOLE + 1, 5, 0x99), 0);
    assert_int_equal(th_proc(h, d)->xen[(KL_XEN_GRANT_FRAMES + 1) * 4096 + 5], 0x99);
    r.frame = 63;
    r.nr_frames = 2;
    assert_int_equal(acquire(h, me, &r, list), -EINVAL);
    r.frame = UINT64_MAX;
    assert_int_equal(acquire(h, me, &r, list), -EINVAL);
    r.frame = 0;
    r.nr_frames = 1;
    r.id = XENMEM_resource_grant_table_id_status;
    assert_int_equal(acquire(h, me, &r, list), -EINVAL);    /* version 1 has none */
    r.id = 7;
    assert_int_equal(acquire(h, me, &r, list), -EINVAL);
    r.id = 0;
    r.type = 99;
    assert_int_equal(acquire(h, me, &r, list), -EOPNOTSUPP);
    r.type = XENMEM_resource_grant_table;
    r.pad = 1;
    assert_int_equal(acquire(h, me, &r, list), -EINVAL);
    r.pad = 0;
    r.domid = me;
    assert_int_equal(acquire(h, me, &r, list), -EPERM);
    r.domid = 400;
    assert_int_equal(acquire(h, me, &r, list), -ESRCH);
    r.domid = d;
    assert_int_equal(acquire(h, other, &r, list), -EACCES);
    r.nr_frames = 1;
    r.frame_list.p = (void *)(uintptr_t)0x7f000000ull;
    assert_int_equal(acquire(h, me, &r, NULL), -EFAULT);
    /* the table outlives its domain while it is mapped */
    assert_int_equal(destroy(h, me, d), 0);
    assert_int_equal(tg_foreign_get(h, me, HOLE + 1, 5), 0x99);
    assert_true(o->xen_fd >= 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(unmap_one(h, me, HOLE + i), 0);
    }
    assert_int_equal(o->xen_fd, -1);
    assert_int_equal(o->refs, 1);
    domain_put(o);
}

/* Page tables, and what hypercalls point to, in mapped pages: the core reads what the guest would. */
static void test_core_reads_it(void **state)
{
    struct th *h = *state;
    domid_t me = privileged(h), d = th_domain(h, 1, 16);
    struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = 50 };

    assert_int_equal(map_one(h, me, d, 3, HOLE), 0);
    tg_write(h, d, 3 * 4096, &r, sizeof(r));
    assert_int_equal(MEMORY(h, me, XENMEM_remove_from_physmap, HOLE * 4096), 0);
    assert_int_equal(p2m_lookup(domain_find(h->core, me), 50).type, P2M_NONE);
    /* results are written there as well */
    struct gnttab_query_size q = { .dom = DOMID_SELF };
    tg_write(h, d, 3 * 4096, &q, sizeof(q));
    assert_int_equal(tg_hypercall(h, me, __HYPERVISOR_grant_table_op, GNTTABOP_query_size, HOLE * 4096, 1),
                     0);
    tg_read(h, d, 3 * 4096, &q, sizeof(q));
    assert_int_equal(q.max_nr_frames, 64);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, th_setup, th_teardown)
    static const struct CMUnitTest tests[] = {
        T(test_map), T(test_replace), T(test_refused), T(test_large), T(test_owner_gives_up),
        T(test_owner_goes), T(test_mapper_goes), T(test_limit), T(test_resource), T(test_core_reads_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
