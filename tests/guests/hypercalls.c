/* SPDX-License-Identifier: MIT */
/* The hypercalls that a PVH guest lives on, from inside: results, effects and errors. */
#include "tests/guests/guest.h"

#define ENOENT  2
#define EINVAL  22
#define EEXIST  17
#define EFAULT  14
#define ENOSYS  38
#define ETIME   62
#define BAD_PTR ((void *)0x7fff00000000ull)     /* not mapped */
#define ERR(rc, e) ((rc) == -(e))
#define EVTCHN(op, arg) HC(event_channel_op, EVTCHNOP_##op, arg, 0)
#define VCPU(op, id, arg) HC(vcpu_op, VCPUOP_##op, id, arg)

static void test_version(void)
{
    char caps[1024] = "";
    struct xen_feature_info features = { .submap_idx = 0 };
    long rc = HC(xen_version, XENVER_get_features, &features, 0);

    check(HC(xen_version, XENVER_version, 0, 0) == (4 << 16 | 17), "version 4.17");
    check(HC(xen_version, XENVER_pagesize, 0, 0) == 4096, "page size");
    check(!HC(xen_version, XENVER_capabilities, caps, 0) && caps[0], "capabilities \"%s\"", caps);
    check(rc == 0 && (features.submap & 1u << 8) && (features.submap & 1u << 9),
          "features %x: callback vector, safe pvclock", features.submap);
    check(ERR(HC(xen_version, XENVER_get_features, BAD_PTR, 0), EFAULT), "bad pointer: EFAULT");
    check(ERR(HC(xen_version, 99, 0, 0), ENOSYS), "unknown version op: ENOSYS");
    check(ERR(hypercall5(60, 0, 0, 0, 0, 0), ENOSYS), "unknown hypercall: ENOSYS");
    check(ERR(hypercall5(1ull << 40, 0, 0, 0, 0, 0), ENOSYS), "absurd hypercall: ENOSYS");
}

static void test_memory(void)
{
    uint64_t *page = page_alloc(1);
    xen_pfn_t gfn = (uint64_t)page / PAGE;
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    domid_t self = DOMID_SELF;
    long pages = HC(memory_op, XENMEM_current_reservation, &self, 0);

    check(pages > 0 && HC(memory_op, XENMEM_maximum_reservation, &self, 0) >= pages,
          "reservation %ld", pages);
    set_xen_guest_handle(r.extent_start, &gfn);
    page[0] = 0x1234;
    check(HC(memory_op, XENMEM_decrease_reservation, &r, 0) == 1, "page given back");
    check(HC(memory_op, XENMEM_current_reservation, &self, 0) == pages - 1, "reservation one less");
    check(page[0] == ~0ull, "what is gone reads as ones");
    page[0] = 5;
    check(HC(memory_op, XENMEM_populate_physmap, &r, 0) == 1, "page taken");
    check(page[0] == 0, "and it is zero (%lx)", page[0]);
    page[0] = 7;
    check(page[0] == 7, "and it is memory");
    check(HC(memory_op, XENMEM_current_reservation, &self, 0) == pages, "reservation as before");
    check(ERR(HC(memory_op, XENMEM_current_reservation, BAD_PTR, 0), EFAULT),
          "bad pointer: EFAULT");
}

static uint32_t ipi_port(uint32_t vcpu)
{
    struct evtchn_bind_ipi bind = { .vcpu = vcpu };

    return EVTCHN(bind_ipi, &bind) ? 0 : bind.port;
}

static void test_events(void)
{
    struct evtchn_alloc_unbound unbound = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    struct evtchn_bind_interdomain inter = { .remote_dom = DOMID_SELF };
    struct evtchn_send send;
    struct evtchn_unmask unmask;
    struct evtchn_close close;
    struct evtchn_status status = { .dom = DOMID_SELF };
    uint32_t port = ipi_port(0);
    long rc;

    check(port != 0, "an IPI port: %u", port);
    send.port = unmask.port = close.port = status.port = port;
    irqs_on();
    rc = EVTCHN(send, &send);
    check(!rc && event_count[port] == 1, "sent to self: %u", event_count[port]);
    shared->evtchn_mask[0] |= 1ull << port;
    check(!EVTCHN(send, &send) && event_count[port] == 1, "masked: not delivered");
    check(!EVTCHN(unmask, &unmask) && event_count[port] == 2, "unmasked: delivered");
    irqs_off();
    EVTCHN(send, &send);
    check(event_count[port] == 2 && shared->vcpu_info[0].evtchn_upcall_pending,
          "interrupts off: pending");
    irqs_on();
    check(event_count[port] == 3, "interrupts on: delivered");
    check(!EVTCHN(status, &status) && status.status == EVTCHNSTAT_ipi, "status: ipi");
    check(!EVTCHN(close, &close) && ERR(EVTCHN(send, &send), EINVAL), "closed: EINVAL");
    send.port = 0xffffffff;
    check(ERR(EVTCHN(send, &send), EINVAL), "no such port: EINVAL");
    check(ERR(EVTCHN(send, BAD_PTR), EFAULT), "bad pointer: EFAULT");
    check(ERR(HC(event_channel_op, 77, &send, 0), ENOSYS), "unknown op: ENOSYS");

    check(!EVTCHN(alloc_unbound, &unbound), "alloc_unbound");
    inter.remote_port = unbound.port;
    check(!EVTCHN(bind_interdomain, &inter), "bound to ourselves");
    send.port = inter.local_port;
    event_count[unbound.port] = 0;
    EVTCHN(send, &send);
    for (unsigned i = 0; i < 100000000 && !event_count[unbound.port]; i++) {
        pause();
    }
    check(event_count[unbound.port] > 0, "an event from end to end");
}

/* FIFO: two events of different priority, taken as a guest takes them. */

static uint32_t *fifo_words;
static struct evtchn_fifo_control_block *fifo_control;
static volatile uint32_t fifo_order[8], fifo_taken, fifo_count[256];

static void fifo_upcall(void)
{
    uint32_t ready;

    __atomic_store_n(&shared->vcpu_info[0].evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
    while ((ready = __atomic_exchange_n(&fifo_control->ready, 0, __ATOMIC_SEQ_CST))) {
        unsigned q = (unsigned)__builtin_ctz(ready);
        uint32_t port = __atomic_load_n(&fifo_control->head[q], __ATOMIC_ACQUIRE);

        while (port) {
            uint32_t *w = &fifo_words[port], old = __atomic_load_n(w, __ATOMIC_SEQ_CST);

            while (!__atomic_compare_exchange_n(
                w, &old, old & ~(1u << EVTCHN_FIFO_LINKED | EVTCHN_FIFO_LINK_MASK), false,
                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            }
            if (!(old & 1u << EVTCHN_FIFO_MASKED)) {
                __atomic_fetch_and(w, ~(1u << EVTCHN_FIFO_PENDING), __ATOMIC_SEQ_CST);
                if (fifo_taken < 8) {
                    fifo_order[fifo_taken] = port;
                }
                fifo_taken++;
                fifo_count[port % 256]++;
            }
            port = old & EVTCHN_FIFO_LINK_MASK;
        }
        ready &= ready - 1;
        __atomic_fetch_or(&fifo_control->ready, ready, __ATOMIC_SEQ_CST);
    }
}

static void test_fifo(void)
{
    struct evtchn_init_control init = { .vcpu = 0 };
    struct evtchn_expand_array array;
    struct evtchn_set_priority prio;
    struct evtchn_send send;
    uint32_t a = ipi_port(0), b = ipi_port(0);

    irqs_off();
    fifo_control = page_alloc(1);
    fifo_words = page_alloc(1);
    init.control_gfn = (uint64_t)fifo_control / PAGE;
    array.array_gfn = (uint64_t)fifo_words / PAGE;
    /* Only what this test is about: the console's channel has its events too. */
    for (unsigned i = 0; i < 1024; i++) {
        fifo_words[i] = i == a || i == b ? 0 : 1u << EVTCHN_FIFO_MASKED;
    }
    check(!EVTCHN(init_control, &init) && init.link_bits == 17, "FIFO on");
    check(!EVTCHN(expand_array, &array), "event array");
    upcall_hook = fifo_upcall;
    fifo_taken = 0;
    prio.port = b;
    prio.priority = EVTCHN_FIFO_PRIORITY_MAX;
    check(!EVTCHN(set_priority, &prio), "priority");
    send.port = a;
    EVTCHN(send, &send);
    send.port = b;
    EVTCHN(send, &send);
    irqs_on();
    check(fifo_taken >= 2 && fifo_order[0] == b && fifo_order[1] == a, "urgent first: %u %u (%u)",
          fifo_order[0], fifo_order[1], fifo_taken);
    EVTCHN(send, &send);
    EVTCHN(send, &send);
    check(fifo_taken >= 4 && fifo_words[b] == 0, "again and again");
    check(ERR(EVTCHN(init_control, &init), EINVAL), "only once");
}

/* Polls until the port is pending or the time has come: a poll may end early for no reason. */
static long poll_for(struct sched_poll *poll, uint32_t port)
{
    long rc = 0;

    while (!rc && !(fifo_words[port] & 1u << EVTCHN_FIFO_PENDING) && clock_ns(0) < poll->timeout) {
        rc = HC(sched_op, SCHEDOP_poll, poll, 0);
    }
    return rc;
}

static void test_timers(void)
{
    struct evtchn_bind_virq bind = { .virq = VIRQ_TIMER, .vcpu = 0 };
    struct vcpu_set_singleshot_timer shot = { .flags = VCPU_SSHOTTMR_future };
    struct vcpu_set_periodic_timer period = { .period_ns = 2000000 };
    uint64_t start, end, taken;
    struct sched_poll poll = { .nr_ports = 1 };
    evtchn_port_t port;

    check(!EVTCHN(bind_virq, &bind), "VIRQ_TIMER");
    check(ERR(EVTCHN(bind_virq, &bind), EEXIST), "bound twice: EEXIST");
    port = bind.port;
    fifo_words[port] = 0;
    irqs_on();
    start = clock_ns(0);
    shot.timeout_abs_ns = start + 3000000;
    taken = fifo_count[port];
    check(!VCPU(set_singleshot_timer, 0, &shot), "a timer in 3 ms");
    while (fifo_count[port] == taken && clock_ns(0) < start + 1000000000) {
        asm volatile("hlt");
    }
    end = clock_ns(0);
    check(fifo_count[port] != taken && end >= start + 2999000, "HLT woke after %lu us",
          (end - start) / 1000);
    shot.timeout_abs_ns = 1;
    check(ERR(VCPU(set_singleshot_timer, 0, &shot), ETIME), "the past: ETIME");
    check(!HC(set_timer_op, clock_ns(0) + 2000000, 0, 0), "set_timer_op");
    taken = fifo_count[port];
    start = clock_ns(0);
    irqs_off();
    set_xen_guest_handle(poll.ports, &port);
    poll.timeout = start + 1000000000;
    check(!poll_for(&poll, port), "poll");
    end = clock_ns(0);
    check(end - start < 900000000, "polled for %lu us", (end - start) / 1000);
    fifo_words[port] = 1u << EVTCHN_FIFO_MASKED;
    start = clock_ns(0);
    poll.timeout = start + 2000000;
    poll_for(&poll, port);
    end = clock_ns(0);
    check(end - start >= 1999000 && end - start < 500000000, "poll timed out after %lu us",
          (end - start) / 1000);
    fifo_words[port] = 0;
    irqs_on();
    taken = fifo_count[port];
    start = clock_ns(0);
    check(!VCPU(set_periodic_timer, 0, &period), "every 2 ms");
    while (fifo_count[port] < taken + 5 && clock_ns(0) < start + 1000000000) {
        asm volatile("hlt");
    }
    end = clock_ns(0);
    VCPU(stop_periodic_timer, 0, 0);
    check(end - start > 7900000 && end - start < 900000000, "five of them in %lu us",
          (end - start) / 1000);
    period.period_ns = 100;
    check(ERR(VCPU(set_periodic_timer, 0, &period), EINVAL), "too fast: EINVAL");
}

static void test_clock(void)
{
    uint64_t tsc = rdtsc(), ns = clock_ns(0), last = ns, khz, spins = 0;
    uint32_t out[4];
    struct xen_hvm_get_time now;
    bool ok;

    while (clock_ns(0) < ns + 20000000) {
        uint64_t t = clock_ns(0);

        if (t < last) {
            check(false, "the clock went back by %lu ns", last - t);
            break;
        }
        last = t;
        spins++;
    }
    khz = (rdtsc() - tsc) * 1000000 / (clock_ns(0) - ns);
    cpuid(0x40000003, 0, out);
    check(khz > out[2] - out[2] / 500 && khz < out[2] + out[2] / 500, "TSC %lu kHz, CPUID says %u",
          khz, out[2]);
    ns = clock_ns(0);
    ok = !HC(hvm_op, HVMOP_get_time, &now, 0);
    check(ok && now.now + 1000000 > ns && now.now < ns + 1000000000,
          "HVMOP_get_time within %ld us of pvclock", (long)(now.now - ns) / 1000);
    check(shared->wc_version && !(shared->wc_version & 1) && shared->wc_sec > 1600000000,
          "wallclock %u", shared->wc_sec);
}

static void test_vcpu_op(void)
{
    struct vcpu_runstate_info *area = page_alloc(1), info;
    struct vcpu_register_runstate_memory_area reg = { .addr.v = area };
    struct vcpu_time_info *time = page_alloc(1);
    struct vcpu_register_time_memory_area treg = { .addr.v = time };
    struct vcpu_info *moved = page_alloc(1);
    struct vcpu_register_vcpu_info vreg = { .mfn = (uint64_t)moved / PAGE, .offset = 64 };
    struct vcpu_hvm_context ctx;
    bool ok;

    check(VCPU(is_up, 0, 0) == 1, "vCPU 0 is up");
    check(ERR(VCPU(is_up, 127, 0), ENOENT), "no vCPU 127");
    check(!VCPU(register_runstate_memory_area, 0, &reg) && area->state == RUNSTATE_running,
          "runstate area");
    ok = !VCPU(get_runstate_info, 0, &info);
    check(ok && info.time[0], "running for %lu us", info.time[0] / 1000);
    check(!VCPU(register_vcpu_time_memory_area, 0, &treg) && time->tsc_to_system_mul, "time area");
    memset(&ctx, 0xff, sizeof(ctx));
    check(ERR(VCPU(initialise, 1, &ctx), EINVAL), "nonsense context: EINVAL");
    vreg.offset = 4096 - 32;
    check(ERR(VCPU(register_vcpu_info, 0, &vreg), EINVAL), "vcpu_info across a page: EINVAL");
    vreg.offset = 64;
    irqs_off();
    check(!VCPU(register_vcpu_info, 0, &vreg), "vcpu_info moved");
    moved = (void *)((uint8_t *)moved + 64);
    check(moved->evtchn_upcall_pending && moved->time.tsc_to_system_mul, "and alive");
    check(ERR(VCPU(register_vcpu_info, 0, &vreg), EINVAL), "only once");
    moved->evtchn_upcall_pending = 0;
}

static void test_grants(void)
{
    struct gnttab_query_size size = { .dom = DOMID_SELF };
    struct gnttab_get_version version = { .dom = DOMID_SELF };
    grant_entry_v1_t *table = page_alloc(1);

    long rc = HC(grant_table_op, GNTTABOP_query_size, &size, 1);

    check(!rc && size.status == GNTST_okay && size.max_nr_frames,
          "grant table: %u of %u frames", size.nr_frames, size.max_nr_frames);
    check(!map_xen_page(XENMAPSPACE_grant_table, 0, table), "grant table mapped");
    check(!HC(grant_table_op, GNTTABOP_get_version, &version, 1) && version.version == 1,
          "version 1");
    table[9].domid = 0;
    table[9].frame = 5;
    table[9].flags = GTF_permit_access;
    check(table[9].frame == 5 && table[9].flags == GTF_permit_access, "an entry made");
    check(ERR(HC(grant_table_op, GNTTABOP_query_size, BAD_PTR, 1), EFAULT), "bad pointer: EFAULT");
}

static void test_params(void)
{
    uint64_t value = 0, port = 0;
    bool ok = !hvm_param(HVM_PARAM_STORE_PFN, &value) && !hvm_param(HVM_PARAM_STORE_EVTCHN, &port);

    check(ok && value && port, "store page %lx, port %lu", value, port);
    check(ERR(hvm_param(9999, &value), EINVAL), "no such parameter: EINVAL");
    check(hvm_param_set(HVM_PARAM_STORE_EVTCHN, 99) < 0, "not ours to set");
}

static void test_multicall(void)
{
    static struct multicall_entry calls[100];

    for (unsigned i = 0; i < 100; i++) {
        calls[i] =
            (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_version } };
    }
    calls[50] = (struct multicall_entry){ .op = __HYPERVISOR_vcpu_op, .args = { VCPUOP_is_up, 0 } };
    check(!HC(multicall, calls, 100, 0), "100 calls at once");
    check(calls[0].result == (4 << 16 | 17) && calls[99].result == (4 << 16 | 17) &&
              calls[50].result == 1,
          "all answered");
}

bool guest_main(const char *cmdline)
{
    test_version();
    test_memory();
    events_init();
    test_events();
    test_params();
    test_fifo();
    test_clock();
    test_timers();
    test_multicall();
    test_grants();
    test_vcpu_op();
    return true;
}
