/* SPDX-License-Identifier: MIT */
/*
 * Domain 0 of a machine, as bare as it gets: makes a domain and fills it, sees its memory by foreign
 * maps, by a grant and by its grant table's frames, and what is left of each when the domain is
 * gone. What Linux's privcmd, gntdev and evtchn drivers ask of the core, without Linux.
 */
#define __XEN_TOOLS__ 1
#include "tests/guests/guest.h"

#include <xen/domctl.h>
#include <xen/sysctl.h>

#define EPERM  1
#define ESRCH  3
#define EINVAL 22
#define PAGES  64u
#define GRANT_REF 20u

static struct xen_domctl op;

static long domctl(uint32_t cmd, domid_t d)
{
    op.cmd = cmd;
    op.domain = d;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    return HC(domctl, &op, 0, 0);
}

/* A frame of ours with nothing in it, for a map to go to. */
static uint8_t *hole(void)
{
    uint8_t *at = page_alloc(1);
    xen_pfn_t gfn = (uint64_t)at / PAGE;
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };

    set_xen_guest_handle(r.extent_start, &gfn);
    HC(memory_op, XENMEM_decrease_reservation, &r, 0);
    return at;
}

static int map(domid_t d, uint64_t frame, void *at)
{
    struct xen_add_to_physmap_batch b = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign,
                                          .size = 1, .u.foreign_domid = d };
    xen_ulong_t idx = frame;
    xen_pfn_t gfn = (uint64_t)at / PAGE;
    int err = 1;
    long rc;

    set_xen_guest_handle(b.idxs, &idx);
    set_xen_guest_handle(b.gpfns, &gfn);
    set_xen_guest_handle(b.errs, &err);
    rc = HC(memory_op, XENMEM_add_to_physmap_batch, &b, 0);
    return rc ? (int)rc : err;
}

static long unmap(const void *at)
{
    struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = (uint64_t)at / PAGE };

    return HC(memory_op, XENMEM_remove_from_physmap, &r, 0);
}

static domid_t create(void)
{
    struct xen_domctl_createdomain *c = &op.u.createdomain;
    struct xen_memory_reservation r = { .nr_extents = PAGES };
    xen_pfn_t *gfns = page_alloc(1);
    domid_t d;

    memset(&op, 0, sizeof(op));
    c->flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
    c->max_vcpus = 1;
    c->max_evtchn_port = 1023;
    c->max_grant_frames = 4;
    c->max_maptrack_frames = 16;
    c->grant_opts = 1;
    c->arch.emulation_flags = XEN_X86_EMU_LAPIC;
    check(!domctl(XEN_DOMCTL_createdomain, 0), "createdomain");
    d = op.domain;
    check(d > 0 && d < DOMID_FIRST_RESERVED, "a domain: %u", d);
    memset(&op, 0, sizeof(op));
    op.u.max_vcpus.max = 1;
    check(!domctl(XEN_DOMCTL_max_vcpus, d), "max_vcpus");
    op.u.max_mem.max_memkb = PAGES * 4;
    check(!domctl(XEN_DOMCTL_max_mem, d), "max_mem");
    for (unsigned i = 0; i < PAGES; i++) {
        gfns[i] = i;
    }
    r.domid = d;
    set_xen_guest_handle(r.extent_start, gfns);
    check(HC(memory_op, XENMEM_populate_physmap, &r, 0) == PAGES, "populated");
    memset(&op, 0, sizeof(op));
    check(!domctl(XEN_DOMCTL_getdomaininfo, d) && op.u.getdomaininfo.tot_pages == PAGES,
          "getdomaininfo: all of them");
    return d;
}

static void test_foreign(domid_t d, uint8_t *a)
{
    uint8_t *b = hole();

    check(a[0] == 0xff, "nothing there: ones");
    check(!map(d, 3, a) && !map(d, 3, b), "frame 3 mapped twice");
    check(a[0] == 0 && b[4095] == 0, "it is empty");
    a[7] = 0x5a;
    memcpy(b + 100, "hello", 6);
    check(b[7] == 0x5a && !memcmp(a + 100, "hello", 6), "what is written in one is in the other");
    check(!map(d, 4, b) && b[7] == 0, "another frame in its place");
    check(map(d, PAGES + 5, b) == -EINVAL && map(999, 3, b) == -ESRCH && map(0, 3, b) == -EINVAL,
          "no such frame, no such domain, itself");
    check(!unmap(b) && b[0] == 0xff && unmap(b) == -EINVAL, "unmapped");
    check(a[7] == 0x5a, "the first one is still there");
}

/* The domain's grant table, mapped as a resource; what is written there is granted to us. */
static struct grant_entry_v1 *test_resource(domid_t d)
{
    struct xen_mem_acquire_resource r = { .domid = d, .type = XENMEM_resource_grant_table };
    struct grant_entry_v1 *entries = (void *)hole();
    xen_pfn_t gfn = (uint64_t)entries / PAGE;

    check(!HC(memory_op, XENMEM_acquire_resource, &r, 0) && r.nr_frames == 4,
          "a table of 4 frames");
    r.nr_frames = 1;
    set_xen_guest_handle(r.frame_list, &gfn);
    check(!HC(memory_op, XENMEM_acquire_resource, &r, 0), "its first frame");
    check(entries[GRANT_REF].flags == 0, "is empty");
    entries[GRANT_REF] = (struct grant_entry_v1){ .domid = 0, .frame = 3 };
    entries[GRANT_REF].flags = GTF_permit_access;
    return entries;
}

static int map_grant(domid_t d, void *at, uint32_t flags, uint32_t *handle)
{
    struct gnttab_map_grant_ref m = { .host_addr = (uint64_t)at, .flags = flags, .ref = GRANT_REF,
                                      .dom = d };

    if (HC(grant_table_op, GNTTABOP_map_grant_ref, &m, 1)) {
        return -1000;
    }
    *handle = m.handle;
    return m.status;
}

static int unmap_grant(void *at, uint32_t handle)
{
    struct gnttab_unmap_grant_ref u = { .host_addr = (uint64_t)at, .handle = handle };

    return HC(grant_table_op, GNTTABOP_unmap_grant_ref, &u, 1) ? -1000 : u.status;
}

static uint32_t test_grant(domid_t d, volatile struct grant_entry_v1 *entries, volatile uint8_t *a,
                           uint8_t **kept)
{
    volatile uint8_t *g = hole(), *ro = hole();
    uint32_t handle = 0, second = 0;

    check(map_grant(d, (void *)(uintptr_t)g, GNTMAP_host_map, &handle) == GNTST_okay, "a grant mapped");
    check(entries[GRANT_REF].flags == (GTF_permit_access | GTF_reading | GTF_writing), "it is in use");
    check(g[7] == 0x5a, "it is the same page");
    g[8] = 0x77;
    check(a[8] == 0x77, "and it can be written");
    check(map_grant(d, (void *)(uintptr_t)ro, GNTMAP_host_map | GNTMAP_readonly, &second) == GNTST_okay &&
          ro[8] == 0x77, "mapped once more, to read");
    ro[8] = 0x11;
    check(ro[8] == 0x77 && a[8] == 0x77, "a write goes nowhere");
    check(unmap((void *)(uintptr_t)g) == -EINVAL, "not to be unmapped by frame number");
    check(unmap_grant((void *)(uintptr_t)ro, second) == GNTST_okay && ro[8] == 0xff, "one unmapped");
    check(unmap_grant((void *)(uintptr_t)ro, second) == GNTST_bad_handle, "once");
    *kept = (uint8_t *)(uintptr_t)g;
    return handle;
}

static void test_channel(domid_t d)
{
    struct evtchn_alloc_unbound u = { .dom = d, .remote_dom = DOMID_SELF };
    struct evtchn_bind_interdomain b = { .remote_dom = d };
    struct evtchn_status st = { .dom = d };

    check(!HC(event_channel_op, EVTCHNOP_alloc_unbound, &u, 0), "a port for it");
    b.remote_port = u.port;
    check(!HC(event_channel_op, EVTCHNOP_bind_interdomain, &b, 0), "bound to it");
    st.port = u.port;
    check(!HC(event_channel_op, EVTCHNOP_status, &st, 0) && st.status == EVTCHNSTAT_interdomain &&
          st.u.interdomain.port == b.local_port, "its end leads to ours");
}

static uint32_t bind_virq(void)
{
    struct evtchn_bind_virq v = { .virq = VIRQ_DOM_EXC };

    check(!HC(event_channel_op, EVTCHNOP_bind_virq, &v, 0), "VIRQ_DOM_EXC");
    return v.port;
}

static void test_self(void)
{
    memset(&op, 0, sizeof(op));
    check(domctl(XEN_DOMCTL_destroydomain, 0) == -EINVAL, "not itself");
    check(domctl(XEN_DOMCTL_pausedomain, 0) == -EINVAL, "nor paused");
}

static void test_end(domid_t d, uint32_t virq, uint8_t *a, uint8_t *g, uint32_t handle,
                     volatile struct grant_entry_v1 *entries)
{
    memset(&op, 0, sizeof(op));
    irqs_on();
    event_count[virq] = 0;
    check(!domctl(XEN_DOMCTL_destroydomain, d), "destroyed");
    check(domctl(XEN_DOMCTL_destroydomain, d) == -ESRCH, "gone");
    for (unsigned i = 0; i < 100000000 && !event_count[virq]; i++) {
        pause();
    }
    check(event_count[virq] > 0, "we were told");
    irqs_off();
    check(a[7] == 0x5a && g[8] == 0x77, "what we map of it is still there");
    a[9] = 0x33;
    check(g[9] == 0x33, "as one page");
    check(entries[GRANT_REF].frame == 3, "its table as well");
    check(map(d, 3, a) == -ESRCH && a[7] == 0x5a, "nothing more of it");
    check(!unmap(a) && a[7] == 0xff && g[7] == 0x5a, "one unmapped");
    check(unmap_grant(g, handle) == GNTST_okay && g[7] == 0xff, "and the grant");
    check(!unmap((void *)(uintptr_t)entries), "and the table");
}

/* The verdict by hypercall too: it is said before the machine stops, whatever has become of the rest. */
static void say(bool ok)
{
    static const char good[] = "PRIVILEGED-OK\n", bad[] = "PRIVILEGED-FAILED\n";

    HC(console_io, CONSOLEIO_write, ok ? sizeof(good) - 1 : sizeof(bad) - 1, ok ? good : bad);
}

bool guest_main(const char *cmdline)
{
    volatile struct grant_entry_v1 *entries;
    uint8_t *a = hole(), *g;
    uint32_t handle, virq;
    domid_t d;

    events_init();
    virq = bind_virq();
    for (unsigned round = 0; round < 3; round++) {
        d = create();
        test_foreign(d, a);
        entries = test_resource(d);
        handle = test_grant(d, entries, a, &g);
        test_channel(d);
        test_self();
        test_end(d, virq, a, g, handle, entries);
    }
    say(!failures);
    return true;
}
