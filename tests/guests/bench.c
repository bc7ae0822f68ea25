/* SPDX-License-Identifier: MIT */
/* What things cost, seen from inside: lines "BENCH name value unit". */
#include "tests/guests/guest.h"

static void put(const char *name, uint64_t thousandths, const char *unit)
{
    print("BENCH %s %lu.%03lu %s\n", name, thousandths / 1000, thousandths % 1000, unit);
}

/* A loop of ten instructions, most of them memory and arithmetic as in compiled code. */
static uint64_t loop(uint64_t rounds)
{
    static uint64_t data[64];
    uint64_t insns = rounds * 10;

    asm volatile(
        "1:\n\tmovq (%1), %%rax\n\taddq %%rax, %%rdx\n\tleaq 3(%%rdx), %%rcx\n\t"
        "xorq %%rcx, %%rax\n\t"
        "movq %%rax, 8(%1)\n\tmovl 16(%1), %%ecx\n\ttestl %%ecx, %%ecx\n\t"
        "jnz 2f\n\tdecq %0\n\tjnz 1b\n2:"
        : "+r"(rounds)
        : "r"(data)
        : "rax", "rcx", "rdx", "memory", "cc");
    return insns;
}

static void instructions(void)
{
    uint64_t start, end, insns = 0;

    loop(10000);
    start = clock_ns(0);
    do {
        insns += loop(200000);
        end = clock_ns(0);
    } while (end - start < 100000000);
    put("guest-instructions", insns * 1000000 / (end - start), "M/s");
}

#define COST(name, n, call) do { \
    uint64_t start_ = clock_ns(0); \
    for (unsigned i_ = 0; i_ < (n); i_++) { \
        call; \
    } \
    put(name, (clock_ns(0) - start_) / (n), "us"); \
} while (0)

static volatile uint32_t taken;

static void count_upcall(void)
{
    shared->vcpu_info[0].evtchn_upcall_pending = 0;
    shared->vcpu_info[0].evtchn_pending_sel = 0;
    for (unsigned i = 0; i < 64; i++) {
        shared->evtchn_pending[i] = 0;
    }
    taken++;
}

static void hypercalls(void)
{
    struct evtchn_bind_ipi bind = { .vcpu = 0 };
    struct evtchn_send send;
    domid_t self = DOMID_SELF;
    uint32_t out[4];

    COST("hypercall-xen_version", 2000, HC(xen_version, XENVER_version, 0, 0));
    COST("hypercall-vcpu_is_up", 100000, HC(vcpu_op, VCPUOP_is_up, 0, 0));
    COST("hypercall-set_timer", 100000, HC(set_timer_op, clock_ns(0) + 1000000000, 0, 0));
    COST("hypercall-current_reservation", 2000,
         HC(memory_op, XENMEM_current_reservation, &self, 0));
    COST("cpuid", 100000, cpuid(0x40000000, 0, out));
    COST("rdtsc", 100000, rdtsc());
    HC(set_timer_op, 0, 0, 0);
    HC(event_channel_op, EVTCHNOP_bind_ipi, &bind, 0);
    send.port = bind.port;
    shared->evtchn_mask[0] |= 1ull << bind.port;
    COST("evtchn-send-masked", 100000, HC(event_channel_op, EVTCHNOP_send, &send, 0));
    shared->evtchn_mask[0] &= ~(1ull << bind.port);
    shared->evtchn_pending[0] = 0;
    upcall_hook = count_upcall;
    irqs_on();
    COST("evtchn-send-ipi", 100000, HC(event_channel_op, EVTCHNOP_send, &send, 0));
}

/* How late a timer wakes a halted vCPU. */
static void timer_latency(void)
{
    struct evtchn_bind_virq bind = { .virq = VIRQ_TIMER, .vcpu = 0 };
    uint64_t total = 0;

    HC(event_channel_op, EVTCHNOP_bind_virq, &bind, 0);
    for (unsigned i = 0; i < 50; i++) {
        uint64_t due = clock_ns(0) + 1000000, now;
        uint32_t before = taken;

        HC(set_timer_op, due, 0, 0);
        do {
            asm volatile("cli");
            if (taken == before) {
                asm volatile("sti; hlt");
            }
            irqs_on();
            now = clock_ns(0);
        } while (now < due);
        total += now - due;
    }
    put("timer-wakeup-late", total / 50, "us");
}

/* From one end of a channel to the other and back, both ours: through the host. */
static void evtchn_round_trip(void)
{
    struct evtchn_alloc_unbound unbound = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    struct evtchn_bind_interdomain inter = { .remote_dom = DOMID_SELF };
    struct evtchn_send send;

    HC(event_channel_op, EVTCHNOP_alloc_unbound, &unbound, 0);
    inter.remote_port = unbound.port;
    if (HC(event_channel_op, EVTCHNOP_bind_interdomain, &inter, 0)) {
        return;
    }
    send.port = inter.local_port;
    COST("evtchn-interdomain-halted", 500, {
        uint32_t before = taken;

        HC(event_channel_op, EVTCHNOP_send, &send, 0);
        do {
            asm volatile("cli");
            if (taken == before) {
                asm volatile("sti; hlt");
            }
            irqs_on();
        } while (taken == before);
    });
}

bool guest_main(const char *cmdline)
{
    events_init();
    instructions();
    hypercalls();
    timer_latency();
    evtchn_round_trip();
    return true;
}
