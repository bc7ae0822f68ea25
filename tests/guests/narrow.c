/* SPDX-License-Identifier: MIT */
/*
 * A 32-bit guest, alone in its file: protected mode as the builder leaves it, without paging, and
 * the hypercalls in a 32-bit guest's registers and layouts.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define __XEN_INTERFACE_VERSION__ 0x00040e00
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>

_Static_assert(sizeof(void *) == 4 && offsetof(struct shared_info, wc_version) == 0x900, "32-bit layouts");

#define PAGE    4096u
#define SECOND  1000000000ull
#define EFAULT  14
#define ENOSYS  38
#define BAD_PTR ((void *)0xf0000000u)   /* no memory there */

__asm__(".pushsection .note.Xen, \"a\", @note\n"
        ".align 4\n.long 4, 4, 18\n.asciz \"Xen\"\n.long _start\n.popsection\n"
        ".globl _start\n_start:\n"
        "cld\nmovl $stack + 16384, %esp\ncall narrow_main\n1: hlt\njmp 1b\n");

uint8_t stack[16384] __attribute__((aligned(16), used));
static uint8_t hypercall_page[PAGE] __attribute__((aligned(4096)));
static uint8_t room[8][PAGE] __attribute__((aligned(4096)));
static struct shared_info *shared;
static struct xencons_interface *console;
static uint32_t console_port;
static bool failed;

void *memset(void *to, int c, size_t n);
void *memset(void *to, int c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)to)[i] = (uint8_t)c;
    return to;
}

static long hypercall(uint32_t op, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t a4)
{
    uint32_t entry = (uint32_t)(uintptr_t)hypercall_page + op * 32, ret = op;

    __asm__ volatile("call *%[entry]"
                     : "+a"(ret), "+b"(a1), "+c"(a2), "+d"(a3), "+S"(a4)
                     : [entry] "D"(entry) : "memory");
    return (int32_t)ret;
}

#define W(x) ((uint32_t)(uintptr_t)(x))
#define HC(name, a1, a2, a3) hypercall(__HYPERVISOR_##name, W(a1), W(a2), W(a3), 0)
#define EVTCHN(op, arg) HC(event_channel_op, EVTCHNOP_##op, arg, 0)

static void print(const char *s)
{
    struct evtchn_send send = { .port = console_port };

    if (!console)
        return;
    for (; *s; s++) {
        while (console->out_prod - console->out_cons >= sizeof(console->out))
            HC(sched_op, SCHEDOP_yield, 0, 0);
        console->out[MASK_XENCONS_IDX(console->out_prod, console->out)] = *s;
        __sync_synchronize();
        console->out_prod++;
    }
    EVTCHN(send, &send);
}

static void check(bool ok, const char *what)
{
    print(ok ? "ok   " : "FAIL ");
    print(what);
    print("\r\n");
    failed |= !ok;
}

static uint32_t param(uint32_t index)
{
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index };

    return HC(hvm_op, HVMOP_get_param, &p, 0) ? 0 : (uint32_t)p.value;
}

static long map_xen_page(unsigned space, uint32_t index, void *at)
{
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = space, .idx = index, .gpfn = W(at) / PAGE };

    return HC(memory_op, XENMEM_add_to_physmap, &a, 0);
}

static void set_up(void)
{
    uint64_t at = W(hypercall_page);

    __asm__ volatile("wrmsr" : : "c"(0x40000000), "A"(at));
    console = (void *)(uintptr_t)(param(HVM_PARAM_CONSOLE_PFN) * PAGE);
    console_port = param(HVM_PARAM_CONSOLE_EVTCHN);
    check(!map_xen_page(XENMAPSPACE_shared_info, 0, room[0]), "shared info");
    shared = (void *)room[0];
}

static void test_version(void)
{
    struct xen_feature_info features = { .submap_idx = 0 };
    xen_capabilities_info_t caps = "";
    xen_compile_info_t compile = { .compiler = "" };

    check(HC(xen_version, XENVER_version, 0, 0) == (4 << 16 | 17), "version 4.17");
    check(!HC(xen_version, XENVER_capabilities, caps, 0) && caps[0], "capabilities");
    check(!HC(xen_version, XENVER_compile_info, &compile, 0) && compile.compiler[0], "compile info");
    check(!HC(xen_version, XENVER_get_features, &features, 0) && features.submap & 1u << 8, "features");
    check(HC(xen_version, XENVER_get_features, BAD_PTR, 0) == -EFAULT, "bad pointer: EFAULT");
    check(hypercall(60, 0, 0, 0, 0) == -ENOSYS, "unknown hypercall: ENOSYS");
}

static void test_memory(void)
{
    xen_pfn_t gfn[2] = { W(room[1]) / PAGE, W(room[2]) / PAGE };
    struct xen_memory_reservation r = { .nr_extents = 2, .domid = DOMID_SELF };
    struct { uint64_t addr, size; uint32_t type; } __attribute__((packed)) map[16];
    struct xen_memory_map mm = { .nr_entries = 16 };
    domid_t self = DOMID_SELF;
    long pages = HC(memory_op, XENMEM_current_reservation, &self, 0);

    set_xen_guest_handle(r.extent_start, gfn);
    check(pages > 0, "reservation");
    room[1][0] = 5;
    check(HC(memory_op, XENMEM_decrease_reservation, &r, 0) == 2, "pages given back");
    check(HC(memory_op, XENMEM_current_reservation, &self, 0) == pages - 2, "reservation two less");
    check(*(volatile uint8_t *)room[1] == 0xff, "what is gone reads as ones");
    check(HC(memory_op, XENMEM_populate_physmap, &r, 0) == 2, "pages taken");
    check(*(volatile uint8_t *)room[1] == 0, "and they are zero");
    set_xen_guest_handle(mm.buffer, (void *)map);
    check(!HC(memory_op, XENMEM_memory_map, &mm, 0) && mm.nr_entries >= 2 && map[0].type == 1 && !map[0].addr,
          "memory map");
}

static uint64_t now(void);

static bool is_pending(evtchn_port_t port)
{
    return shared->evtchn_pending[port / 32] & 1u << port % 32;
}

/* Other events, such as the console's, may end a poll early; with upcalls pending it does not begin. */
static long poll_port(evtchn_port_t port, uint64_t timeout)
{
    struct sched_poll poll = { .nr_ports = 1, .timeout = timeout };
    long rc;

    set_xen_guest_handle(poll.ports, &port);
    do {
        shared->vcpu_info[0].evtchn_upcall_pending = 0;
        rc = HC(sched_op, SCHEDOP_poll, &poll, 0);
    } while (!rc && !is_pending(port) && (!timeout || now() < timeout));
    return rc;
}

static void clear_pending(evtchn_port_t port)
{
    __sync_fetch_and_and(&shared->evtchn_pending[port / 32], ~(1u << port % 32));
}

static void test_events(void)
{
    struct evtchn_alloc_unbound unbound = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    struct evtchn_bind_interdomain inter = { .remote_dom = DOMID_SELF };
    struct evtchn_send send;
    struct evtchn_close close;
    evtchn_port_t port;

    check(!EVTCHN(alloc_unbound, &unbound), "unbound port");
    inter.remote_port = unbound.port;
    check(!EVTCHN(bind_interdomain, &inter), "bound to it");
    port = unbound.port;
    shared->evtchn_mask[0] = ~0u;
    send.port = inter.local_port;
    check(!EVTCHN(send, &send), "sent");
    check(!poll_port(port, 0), "polled");
    check(is_pending(port), "pending where a 32-bit guest looks");
    clear_pending(port);
    close.port = inter.local_port;
    check(!EVTCHN(close, &close), "closed");
    check(EVTCHN(send, BAD_PTR) == -EFAULT, "bad pointer: EFAULT");
}

/* System time, by the record in shared_info. */
static uint64_t now(void)
{
    const volatile struct vcpu_time_info *t = &shared->vcpu_info[0].time;
    uint32_t version;
    uint64_t ns, tsc, delta;

    do {
        version = t->version;
        __sync_synchronize();
        __asm__ volatile("rdtsc" : "=A"(tsc));
        delta = tsc - t->tsc_timestamp;
        delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
        ns = t->system_time + (uint32_t)((uint64_t)(uint32_t)delta * t->tsc_to_system_mul >> 32) +
             (delta >> 32) * t->tsc_to_system_mul;
        __sync_synchronize();
    } while (version & 1 || version != t->version);
    return ns;
}

static void test_time(void)
{
    struct evtchn_bind_virq bind = { .virq = VIRQ_TIMER };
    struct vcpu_runstate_info state = { .state = -1 }, area = { .state = -1 };
    struct vcpu_register_runstate_memory_area reg = { .addr.v = &area };
    struct vcpu_set_singleshot_timer timer;
    evtchn_port_t port;
    uint64_t start = now(), end;

    check(shared->wc_sec > 1700000000u, "wallclock where a 32-bit guest looks");
    check(!HC(vcpu_op, VCPUOP_get_runstate_info, 0, &state) && state.state == RUNSTATE_running &&
          state.time[RUNSTATE_running], "runstate");
    check(!HC(vcpu_op, VCPUOP_register_runstate_memory_area, 0, &reg) && area.state == RUNSTATE_running &&
          area.time[RUNSTATE_running] >= state.time[RUNSTATE_running], "runstate area");
    check(!EVTCHN(bind_virq, &bind), "timer's port");
    port = bind.port;
    timer = (struct vcpu_set_singleshot_timer){ .timeout_abs_ns = start + 20000000 };
    check(!HC(vcpu_op, VCPUOP_set_singleshot_timer, 0, &timer), "single-shot timer");
    check(!poll_port(port, 0) && is_pending(port) && now() >= start + 20000000, "woken by it");
    clear_pending(port);
    end = now() + 20000000;
    check(!hypercall(__HYPERVISOR_set_timer_op, (uint32_t)end, (uint32_t)(end >> 32), 0, 0), "set_timer_op");
    check(!poll_port(port, 0) && is_pending(port) && now() >= end, "woken by it");
    clear_pending(port);
    end = now() + 20000000;
    check(!poll_port(port, end) && !is_pending(port) && now() >= end && now() < end + 60 * SECOND,
          "poll's time-out");
}

static void test_grants(void)
{
    struct gnttab_query_size size = { .dom = DOMID_SELF };
    uint32_t frames[1] = { 0 };
    struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = 1 };
    struct gnttab_copy copy = {
        .source = { .u.ref = 20, .domid = DOMID_SELF, .offset = 8 },
        .dest = { .u.gmfn = W(room[5]) / PAGE, .domid = DOMID_SELF, .offset = 16 },
        .len = 4, .flags = GNTCOPY_source_gref,
    };
    struct gnttab_get_version version = { .dom = DOMID_SELF };
    grant_entry_v1_t *table = (void *)room[3];

    check(!HC(grant_table_op, GNTTABOP_query_size, &size, 1) && size.status == GNTST_okay && size.max_nr_frames,
          "grant table's size");
    set_xen_guest_handle(setup.frame_list, (void *)frames);
    check(!HC(grant_table_op, GNTTABOP_setup_table, &setup, 1) && setup.status == GNTST_okay, "grant table");
    check(!map_xen_page(XENMAPSPACE_grant_table, 0, room[3]), "mapped");
    check(!HC(grant_table_op, GNTTABOP_get_version, &version, 1) && version.version == 1, "version 1");
    table[20].frame = W(room[4]) / PAGE;
    table[20].domid = DOMID_SELF;
    __sync_synchronize();
    table[20].flags = GTF_permit_access | GTF_readonly;
    *(uint32_t *)(void *)(room[4] + 8) = 0x12345678;
    /* The entry is for nobody: DOMID_SELF is no domid that an entry can name. */
    check(!HC(grant_table_op, GNTTABOP_copy, &copy, 1) && copy.status < 0, "copy from what is not granted");
    copy.source.u.gmfn = W(room[4]) / PAGE;
    copy.flags = 0;
    check(!HC(grant_table_op, GNTTABOP_copy, &copy, 1) && copy.status == GNTST_okay &&
          *(volatile uint32_t *)(void *)(room[5] + 16) == 0x12345678, "copy between own frames");
}

static void test_multicall(void)
{
    struct multicall_entry mc[3] = {
        { .op = __HYPERVISOR_xen_version, .args = { XENVER_version } },
        { .op = 60 },
        { .op = __HYPERVISOR_xen_version, .args = { XENVER_pagesize } },
    };

    check(!HC(multicall, mc, 3, 0), "multicall");
    check(mc[0].result == (4 << 16 | 17) && (int32_t)mc[1].result == -ENOSYS && mc[2].result == PAGE, "its results");
    check(HC(multicall, BAD_PTR, 1, 0) == -EFAULT, "bad pointer: EFAULT");
}

void narrow_main(void);
void narrow_main(void)
{
    struct sched_shutdown s = { .reason = SHUTDOWN_poweroff };

    set_up();
    test_version();
    test_memory();
    test_events();
    test_time();
    test_grants();
    test_multicall();
    print(failed ? "FAILURE\r\n" : "SUCCESS\r\n");
    HC(sched_op, SCHEDOP_shutdown, &s, 0);
}
