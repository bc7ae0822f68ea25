/* SPDX-License-Identifier: MIT */
/*
 * Grant tables of both versions with a hostile granter. XSA 226, 255, 295, 380, 448, 500, 501 as
 * ideas.
 */
#include "tests/unit/core_harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hypervisor/core/grant_table.h"

#define AT 0x400ull

static struct grant_entry_v1 *v1(struct th *h, domid_t d)
{
    return (void *)(th_proc(h, d)->xen + KL_XEN_GRANT_FRAMES * 4096);
}

static union grant_entry_v2 *v2(struct th *h, domid_t d)
{
    return (void *)(th_proc(h, d)->xen + KL_XEN_GRANT_FRAMES * 4096);
}

static uint16_t *v2_status(struct th *h, domid_t d)
{
    return (void *)(th_proc(h, d)->xen + KL_XEN_STATUS_FRAMES * 4096);
}

static void grow(struct th *h, domid_t d, uint32_t frames)
{
    assert_int_equal(gnt_grow(domain_find(h->core, d), frames), 0);
}

static int c_map(struct th *h, struct tc *c, domid_t d, const uint32_t *refs, uint32_t nr,
                 bool write, uint64_t *handle)
{
    uint8_t reply[4096];
    struct kw_gnt_map *m = calloc(1, sizeof(*m) + nr * sizeof(m->ref[0]));
    struct kw_gnt_map_reply *r = (void *)reply;
    int rc;

    m->h.op = KW_GNT_MAP;
    m->nr = nr;
    m->prot = PROT_READ | (write ? PROT_WRITE : 0);
    for (uint32_t i = 0; i < nr; i++) {
        m->ref[i].domid = d;
        m->ref[i].ref = refs[i];
    }
    rc = tc_call(h, c, m, sizeof(*m) + nr * sizeof(m->ref[0]), reply, sizeof(reply));
    *handle = rc ? 0 : r->handle;
    free(m);
    return rc;
}

static int c_unmap(struct th *h, struct tc *c, uint64_t handle)
{
    struct kw_gnt_unmap m = { { KW_GNT_UNMAP, 0 }, handle };

    return tc_call(h, c, &m, sizeof(m), NULL, 0);
}

static void test_map_v1(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct grant_entry_v1 *e = v1(h, d);
    uint32_t ref = 9, refs[3] = { 9, 10, 511 };
    uint64_t a, b;

    assert_int_equal(c_map(h, &h->c, d, &ref, 1, true, &a), -EINVAL);    /* no table yet */
    grow(h, d, 1);
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, true, &a), -EINVAL);    /* nothing granted */
    e[9] = (struct grant_entry_v1){ GTF_permit_access, 0, 3 };
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, true, &a), 0);
    assert_int_equal(e[9].flags, GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, false, &b), 0);
    assert_int_equal(c_unmap(h, &h->c, a), 0);
    assert_int_equal(e[9].flags, GTF_permit_access | GTF_reading);
    assert_int_equal(c_unmap(h, &h->c, a), -ENOENT);
    assert_int_equal(c_unmap(h, &h->c, b), 0);
    assert_int_equal(e[9].flags, GTF_permit_access);
    /* read-only, another domain's, wrong type, a frame that is not there, all or nothing */
    e[9].flags = GTF_permit_access | GTF_readonly;
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, true, &a), -EINVAL);
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, false, &a), 0);
    assert_int_equal(c_unmap(h, &h->c, a), 0);
    e[9].domid = 5;
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, false, &a), -EINVAL);
    e[9].domid = 0;
    e[9].flags = GTF_accept_transfer;
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, false, &a), -EINVAL);
    e[9] = (struct grant_entry_v1){ GTF_permit_access, 0, 0x0fffffff };
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, false, &a), -EINVAL);
    assert_int_equal(e[9].flags, GTF_permit_access);
    e[9].frame = 3;
    e[10] = (struct grant_entry_v1){ GTF_permit_access, 0, 4 };
    assert_int_equal(c_map(h, &h->c, d, refs, 3, true, &a), -EINVAL);
    assert_int_equal(e[9].flags, GTF_permit_access);
    assert_int_equal(e[10].flags, GTF_permit_access);
    refs[2] = 512;
    assert_int_equal(c_map(h, &h->c, d, refs, 3, true, &a), -EINVAL);
    refs[2] = UINT32_MAX;
    assert_int_equal(c_map(h, &h->c, d, refs, 3, true, &a), -EINVAL);
    assert_int_equal(domain_find(h->core, d)->gt.pinned, 0);
}

/* XSA-500: a pinned entry's page counts, not what the guest writes there later. */
static void test_pinned_counts(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct grant_entry_v1 *e = v1(h, d);
    uint32_t ref = 20;
    uint64_t a, b;

    grow(h, d, 1);
    e[20] = (struct grant_entry_v1){ GTF_permit_access, 0, 3 };
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, false, &a), 0);
    e[20].frame = 7;
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, false, &b), 0);
    struct client *c = h->core->clients;
    assert_int_equal(c->maps->page[0].where.page, 3);
    /* while read only, a write needs the entry's word again */
    e[20].flags |= GTF_readonly;
    uint64_t w;
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, true, &w), -EINVAL);
    assert_int_equal(c_unmap(h, &h->c, a), 0);
    assert_int_equal(c_unmap(h, &h->c, b), 0);
    assert_int_equal(domain_find(h->core, d)->gt.pinned, 0);
}

static void test_notify(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct grant_entry_v1 *e = v1(h, d);
    struct kw_gnt_notify n = { .h.op = KW_GNT_NOTIFY };
    struct kw_evtchn ev = { { KW_EVTCHN_INTERDOMAIN, 0 }, d, 0 };
    struct kw_port_reply pr;
    struct evtchn_alloc_unbound u = { .dom = DOMID_SELF, .remote_dom = 0 };
    uint32_t ref = 20;
    uint8_t byte = 0xff;
    uint64_t a, count;
    struct tc c;

    grow(h, d, 1);
    e[20] = (struct grant_entry_v1){ GTF_permit_access, 0, 3 };
    tg_write(h, d, AT, &u, sizeof(u));
    assert_int_equal(
        tg_hypercall(h, d, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, AT, 0), 0);
    tg_read(h, d, AT, &u, sizeof(u));
    ev.port = u.port;
    assert_int_equal(tc_call(h, &h->c, &ev, sizeof(ev), &pr, sizeof(pr)), 0);
    tc_open(h, &c);
    assert_int_equal(c_map(h, &c, d, &ref, 1, true, &a), 0);
    n.handle = a;
    n.action = KW_NOTIFY_CLEAR_BYTE | KW_NOTIFY_SEND_EVENT;
    n.port = pr.port;
    n.offset = 4096;
    assert_int_equal(tc_call(h, &c, &n, sizeof(n), NULL, 0), -EINVAL);
    n.offset = 100;
    assert_int_equal(tc_call(h, &c, &n, sizeof(n), NULL, 0), 0);
    tg_write(h, d, 3 * 4096 + 100, &byte, 1);
    while (read(th_proc(h, d)->port[u.port].recv, &count, 8) == 8) {
    }
    tc_close(h, &c);    /* dies without unmapping */
    tg_read(h, d, 3 * 4096 + 100, &byte, 1);
    assert_int_equal(byte, 0);
    assert_int_equal(read(th_proc(h, d)->port[u.port].recv, &count, 8), 8);
    assert_int_equal(e[20].flags, GTF_permit_access);
}

static long g_copy(struct th *h, domid_t d, struct gnttab_copy *op)
{
    long rc;

    tg_write(h, d, AT, op, sizeof(*op));
    rc = tg_hypercall(h, d, __HYPERVISOR_grant_table_op, GNTTABOP_copy, AT, 1);
    tg_read(h, d, AT, op, sizeof(*op));
    return rc;
}

static void test_copy(void **state)
{
    struct th *h = *state;
    domid_t a = th_domain(h, 1, 16), b = th_domain(h, 1, 16);
    struct grant_entry_v1 *e = v1(h, b);
    char text[16] = "from b to a", got[16] = "";
    struct gnttab_copy op = { .source = { .u.ref = 30, .domid = b, .offset = 8 },
                              .dest = { .u.gmfn = 5, .domid = DOMID_SELF, .offset = 16 },
                              .len = 16, .flags = GNTCOPY_source_gref };
    struct gnttab_copy good = op;

    grow(h, b, 1);
    e[30] = (struct grant_entry_v1){ GTF_permit_access | GTF_readonly, a, 6 };
    tg_write(h, b, 6 * 4096 + 8, text, 16);
    assert_int_equal(g_copy(h, a, &op), 0);
    assert_int_equal(op.status, GNTST_okay);
    tg_read(h, a, 5 * 4096 + 16, got, 16);
    assert_string_equal(got, text);
    assert_int_equal(e[30].flags, GTF_permit_access | GTF_readonly);
    /* into a read-only grant, beyond the page, another's frame without a grant, nothing at all */
    op = good;
    op.dest = op.source;
    op.source.u.gmfn = 5;
    op.source.domid = DOMID_SELF;
    op.flags = GNTCOPY_dest_gref;
    assert_int_equal(g_copy(h, a, &op), 0);
    assert_int_equal(op.status, GNTST_general_error);
    op = good;
    op.source.offset = 4090;
    assert_int_equal(g_copy(h, a, &op), 0);
    assert_int_equal(op.status, GNTST_bad_copy_arg);
    op = good;
    op.flags = 0;
    assert_int_equal(g_copy(h, a, &op), 0);
    assert_int_equal(op.status, GNTST_permission_denied);
    op = good;
    op.source.domid = 77;
    assert_int_equal(g_copy(h, a, &op), 0);
    assert_int_equal(op.status, GNTST_bad_domain);
    op = good;
    op.len = 0;
    assert_int_equal(g_copy(h, a, &op), 0);
    assert_int_equal(op.status, GNTST_okay);
    op = good;
    op.dest.u.gmfn = 1ull << 50;
    assert_int_equal(g_copy(h, a, &op), 0);
    assert_int_equal(op.status, GNTST_bad_page);
    assert_int_equal(domain_find(h->core, b)->gt.pinned, 0);
    /* counts that wrap, arrays that end */
    assert_int_equal(tg_hypercall(h, a, __HYPERVISOR_grant_table_op, GNTTABOP_copy, AT, UINT32_MAX),
                     -EINVAL);
    assert_int_equal(
        tg_hypercall(h, a, __HYPERVISOR_grant_table_op, GNTTABOP_copy, 15 * 4096, INT32_MAX),
        -EFAULT);
    assert_int_equal(domain_find(h->core, b)->gt.pinned, 0);
}

static long set_version(struct th *h, domid_t d, uint32_t version)
{
    struct gnttab_set_version s = { version };

    tg_write(h, d, AT, &s, sizeof(s));
    return tg_hypercall(h, d, __HYPERVISOR_grant_table_op, GNTTABOP_set_version, AT, 1);
}

static void test_v2(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    union grant_entry_v2 *e = v2(h, d);
    uint16_t *st = v2_status(h, d);
    uint32_t ref = 20;
    uint64_t a;

    grow(h, d, 2);
    v1(h, d)[GNTTAB_RESERVED_XENSTORE] = (struct grant_entry_v1){ GTF_permit_access, 0, 9 };
    v1(h, d)[20] = (struct grant_entry_v1){ GTF_permit_access, 0, 9 };
    assert_int_equal(set_version(h, d, 3), -EINVAL);
    assert_int_equal(set_version(h, d, 2), 0);
    /* the store's entry survives the change, others do not */
    assert_int_equal(e[GNTTAB_RESERVED_XENSTORE].full_page.frame, 9);
    assert_int_equal(e[GNTTAB_RESERVED_XENSTORE].hdr.flags, GTF_permit_access);
    assert_int_equal(e[20].hdr.flags, 0);
    e[20].full_page.hdr.domid = 0;
    e[20].full_page.frame = 3;
    e[20].hdr.flags = GTF_permit_access;
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, true, &a), 0);
    assert_int_equal(st[20], GTF_reading | GTF_writing);
    assert_int_equal(e[20].hdr.flags, GTF_permit_access);
    /* XSA-255: no change of version while entries are in use */
    assert_int_equal(set_version(h, d, 1), -EBUSY);
    assert_int_equal(c_unmap(h, &h->c, a), 0);
    assert_int_equal(st[20], 0);
    ref = 512;
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, true, &a), -EINVAL);    /* 256 per frame now */
    ref = 20;
    /* a sub-page grant is for copies only */
    e[20].sub_page.page_off = 100;
    e[20].sub_page.length = 50;
    e[20].hdr.flags = GTF_permit_access | GTF_sub_page;
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, false, &a), -EINVAL);
    assert_int_equal(st[20], 0);
    assert_int_equal(set_version(h, d, 1), 0);
    assert_int_equal(domain_find(h->core, d)->gt.nr_status, 0);
}

static void test_v2_transitive(void **state)
{
    struct th *h = *state;
    domid_t a = th_domain(h, 1, 16), b = th_domain(h, 1, 16), c = th_domain(h, 1, 16);
    struct gnttab_copy op = { .source = { .u.ref = 30, .domid = b },
                              .dest = { .u.gmfn = 5, .domid = DOMID_SELF },
                              .len = 8, .flags = GNTCOPY_source_gref }, good = op;
    char got[8];

    grow(h, b, 1);
    grow(h, c, 1);
    assert_int_equal(set_version(h, b, 2), 0);
    v1(h, c)[40] = (struct grant_entry_v1){ GTF_permit_access, b, 7 };
    v2(h, b)[30].transitive.trans_domid = c;
    v2(h, b)[30].transitive.gref = 40;
    v2(h, b)[30].hdr.domid = a;
    v2(h, b)[30].hdr.flags = GTF_transitive;
    tg_write(h, c, 7 * 4096, "via b..", 8);
    assert_int_equal(g_copy(h, a, &op), 0);
    assert_int_equal(op.status, GNTST_okay);
    tg_read(h, a, 5 * 4096, got, 8);
    assert_string_equal(got, "via b..");
    /* c granted to b, not to a; and chains end after one step */
    op = good;
    op.source.domid = c;
    op.source.u.ref = 40;
    assert_int_equal(g_copy(h, a, &op), 0);
    assert_int_not_equal(op.status, GNTST_okay);
    v2(h, b)[30].transitive.trans_domid = b;
    op = good;
    assert_int_equal(g_copy(h, a, &op), 0);
    assert_int_not_equal(op.status, GNTST_okay);
    assert_int_equal(domain_find(h->core, c)->gt.pinned, 0);
}

static void test_shares(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct kw_gntshr m = { { KW_GNTSHR_SHARE, 0 }, d, 2, 1, 0 };
    uint8_t reply[256];
    struct kw_gntshr_reply *r = (void *)reply;
    struct kw_gnt_unmap u = { { KW_GNTSHR_UNSHARE, 0 }, 0 };
    struct gnttab_copy op = { .dest = { .domid = DOMID_SELF, .u.gmfn = 5 },
                              .source = { .domid = 0 }, .len = 6, .flags = GNTCOPY_source_gref };
    char got[6];
    char *p;

    assert_int_equal(tc_call(h, &h->c, &m, sizeof(m), reply, sizeof(reply)), 0);
    assert_int_equal(r->nr, 2);
    assert_int_equal(h->c.nr_fds, 1);
    p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, h->c.fds[0], 0);
    assert_true(p != MAP_FAILED);
    memcpy(p + 4096, "hello", 6);
    op.source.u.ref = r->ref[1];
    assert_int_equal(g_copy(h, d, &op), 0);
    assert_int_equal(op.status, GNTST_okay);
    tg_read(h, d, 5 * 4096, got, 6);
    assert_string_equal(got, "hello");
    u.handle = r->handle;
    assert_int_equal(tc_call(h, &h->c, &u, sizeof(u), NULL, 0), 0);
    op.status = 0;
    assert_int_equal(g_copy(h, d, &op), 0);
    assert_int_equal(op.status, GNTST_general_error);
    assert_null(h->core->dom0->shares);
    m.nr = 5000;
    assert_int_equal(tc_call(h, &h->c, &m, sizeof(m), reply, sizeof(reply)), -EINVAL);
    munmap(p, 8192);
}

static void test_destroyed_granter(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    uint32_t ref = 20;
    uint64_t a;

    grow(h, d, 1);
    v1(h, d)[20] = (struct grant_entry_v1){ GTF_permit_access, 0, 3 };
    assert_int_equal(c_map(h, &h->c, d, &ref, 1, true, &a), 0);
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), 0);
    assert_int_equal(h->core->host.given_pages, 1);    /* the page stays until it is let go, as in Xen */
    assert_int_equal(c_unmap(h, &h->c, a), 0);
    assert_int_equal(h->core->host.given_pages, 0);
}

static void test_sizes(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16), e = th_domain(h, 1, 16);
    struct gnttab_query_size q = { .dom = DOMID_SELF };
    struct gnttab_setup_table s = { .dom = DOMID_SELF,
                                    .nr_frames = 4,
                                    .frame_list.p = (void *)0x800 };
    struct kw_map_resource m = {
        { KW_MAP_RESOURCE, 0 }, d, XENMEM_resource_grant_table, 0, 3, 0, 2
    };
    uint8_t reply[256];
    struct kw_map_reply *r = (void *)reply;

    tg_write(h, d, AT, &s, sizeof(s));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_grant_table_op, GNTTABOP_setup_table, AT, 1),
                     0);
    tg_write(h, d, AT, &q, sizeof(q));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_grant_table_op, GNTTABOP_query_size, AT, 1),
                     0);
    tg_read(h, d, AT, &q, sizeof(q));
    assert_int_equal(q.nr_frames, 4);
    assert_int_equal(q.max_nr_frames, 64);
    q.dom = e;
    tg_write(h, d, AT, &q, sizeof(q));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_grant_table_op, GNTTABOP_query_size, AT, 1),
                     0);
    tg_read(h, d, AT, &q, sizeof(q));
    assert_int_equal(q.status, GNTST_permission_denied);
    s.nr_frames = 65;
    tg_write(h, d, AT, &s, sizeof(s));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_grant_table_op, GNTTABOP_setup_table, AT, 1),
                     0);
    tg_read(h, d, AT, &s, sizeof(s));
    assert_int_equal(s.status, GNTST_general_error);
    assert_int_equal(tc_call(h, &h->c, &m, sizeof(m), reply, sizeof(reply)), 0);
    assert_int_equal(r->nr_runs, 1);
    assert_int_equal(r->run[0].page, KL_XEN_GRANT_FRAMES);
    m.frame = UINT64_MAX;
    assert_int_equal(tc_call(h, &h->c, &m, sizeof(m), reply, sizeof(reply)), -EINVAL);
    m.frame = 0;
    m.nr = 65;
    assert_int_equal(tc_call(h, &h->c, &m, sizeof(m), reply, sizeof(reply)), -EINVAL);
    m.nr = 0;
    assert_int_equal(tc_call(h, &h->c, &m, sizeof(m), reply, sizeof(reply)), 0);
    assert_int_equal(r->size, 64);
}

/*
 * A guest that rewrites its entries at full speed while they are mapped and copied (XSA-295's
 * idea).
 */
struct flipper { struct grant_entry_v1 *e; volatile bool stop; domid_t user; };

static void *flip(void *arg)
{
    struct flipper *f = arg;
    uint32_t x = 1;

    while (!f->stop) {
        x = x * 1664525u + 1013904223u;
        __atomic_store_n(&f->e->frame, (x >> 8) % 24, __ATOMIC_RELAXED);
        __atomic_store_n(&f->e->flags, (x & 1 ? GTF_permit_access : 0) | (x & 2 ? GTF_readonly : 0),
                         __ATOMIC_RELAXED);
        __atomic_store_n(&f->e->domid, x & 4 ? 0 : 9, __ATOMIC_RELAXED);
        /* Now and then it holds still, or no request would ever get through. */
        for (uint32_t n = 0; n < (x >> 16 & 3) * 2000 && !f->stop; n++) {
        }
    }
    return NULL;
}

static void test_flipping(void **state)
{
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 16);
    struct domain *dom = domain_find(h->core, d);
    struct flipper f = { .e = v1(h, d) + 30 };
    uint32_t ref = 30;
    unsigned mapped = 0;
    pthread_t t;

    grow(h, d, 1);
    assert_int_equal(pthread_create(&t, NULL, flip, &f), 0);
    /* On a busy machine the guest's thread may be late. */
    for (int i = 0; i < 4000 || (mapped < 20 && i < 2000000); i++) {
        uint64_t a, b;
        int rc = c_map(h, &h->c, d, &ref, 1, i & 1, &a);

        if (rc == 0) {
            struct client *c = h->core->clients;

            /* the page is one that the granter owned: 16 frames exist */
            assert_true(c->maps->page[0].where.page < 16);
            mapped++;
            if (c_map(h, &h->c, d, &ref, 1, false, &b) == 0) {
                assert_int_equal(c->maps->page[0].where.page, c->maps->next->page[0].where.page);
                assert_int_equal(c_unmap(h, &h->c, b), 0);
            }
            assert_int_equal(c_unmap(h, &h->c, a), 0);
        } else {
            assert_true(rc == -EINVAL || rc == -EPERM || rc == -EAGAIN);
        }
        assert_int_equal(dom->gt.pinned, 0);
    }
    f.stop = true;
    pthread_join(t, NULL);
    assert_true(mapped > 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, th_setup, th_teardown)
    const struct CMUnitTest tests[] = {
        T(test_map_v1), T(test_pinned_counts), T(test_notify), T(test_copy), T(test_v2),
        T(test_v2_transitive), T(test_shares), T(test_destroyed_granter), T(test_sizes),
        T(test_flipping),
    };

    return cmocka_run_group_tests_name("core_grant", tests, NULL, NULL);
}
