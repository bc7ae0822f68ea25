/* SPDX-License-Identifier: MIT */
/*
 * A hostile guest. The command line's word says what it does; all but triple_fault end with SUCCESS
 * if the machine is still there.
 *   hypercalls [forever]   random hypercalls with random arguments and buffers
 *   shared_info            garbage into shared_info, vcpu_info and the event words while events go
 *   rings                  garbage into the console's and the store's rings
 *   start_info             garbage over everything the builder left
 *   triple_fault           ends the hard way
 */
#include "tests/guests/guest.h"

#define ROUNDS 20000u

static uint64_t rng = 88172645463325252ull;

static uint64_t rnd(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static void scribble(void *at, size_t n)
{
    uint8_t *p = at;

    while (n--) {
        *p++ = (uint8_t)rnd();
    }
}

/* A number that code which trusts it would trip over. */
static uint64_t nasty(void *buffer)
{
    static const uint64_t edges[] = { 0,
                                      1,
                                      2,
                                      0x7ff0,
                                      0x7fff,
                                      0xffff,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      0x7fffffffffffffff,
                                      0x8000000000000000,
                                      0xffffffffffffffff,
                                      0xffffffff81000000,
                                      0x00007ffffffff000,
                                      0xfee00000,
                                      0x1000 };

    uint64_t v;

    switch (rnd() % 4) {
    case 0:
        return edges[rnd() % (sizeof(edges) / sizeof(*edges))];
    case 1:
        return rnd() % 40;
    case 2:
        return (uint64_t)buffer + rnd() % 4096;
    default:
        v = rnd() >> (rnd() % 64);
    }
    /* Neither an address nor a frame of our own code: results written there would end the game. */
    return (v >= 0xf0000 && v < 0x130000) || (v >= 0xf0 && v < 0x130) ? v + 0x2000000 : v;
}

/* The areas that these name are written from then on, wherever a random address leads. */
static bool registers_area(uint32_t vcpu_op)
{
    return vcpu_op == VCPUOP_register_runstate_memory_area ||
           vcpu_op == VCPUOP_register_vcpu_info || vcpu_op == VCPUOP_register_vcpu_time_memory_area;
}

/* So these get addresses that are not mapped, not canonical, or ours to lose. */
static void register_areas(uint8_t *buffer)
{
    static const uint32_t ops[] = { VCPUOP_register_runstate_memory_area, VCPUOP_register_vcpu_info,
                                    VCPUOP_register_vcpu_time_memory_area };
    uint64_t *arg = (uint64_t *)(buffer + PAGE);

    arg[0] = rnd() % 2 ? (uint64_t)buffer + rnd() % 8000 : rnd() | 1ull << 40;
    arg[1] = rnd() % 8192;
    if (rnd() % 4 == 0) {
        arg[0] = (uint64_t)buffer / PAGE;
    }
    HC(vcpu_op, ops[rnd() % 3], rnd() % 4, arg);
}

/* What a guest may do to itself, which would prove nothing: ending, waiting, losing its console. */
static bool left_out(uint64_t op, uint64_t a1)
{
    switch (op) {
    case __HYPERVISOR_iret:             /* its stub is an undefined instruction */
    case __HYPERVISOR_multicall:        /* could hold any of the others: see multicalls() */
        return true;
    case __HYPERVISOR_sched_op:
        return (uint32_t)a1 != SCHEDOP_yield;
    case __HYPERVISOR_vcpu_op:
        return (uint32_t)a1 == VCPUOP_down || (uint32_t)a1 == VCPUOP_up ||
               registers_area((uint32_t)a1);
    case __HYPERVISOR_event_channel_op:
        return (uint32_t)a1 == EVTCHNOP_reset || (uint32_t)a1 == EVTCHNOP_close;
    case __HYPERVISOR_memory_op:
        return (uint32_t)a1 != XENMEM_maximum_ram_page && (uint32_t)a1 != XENMEM_memory_map &&
               (uint32_t)a1 != XENMEM_machine_memory_map;
    default:
        return false;
    }
}

/* Operations that change the guest's memory map, with arguments that mostly make sense, at frames
 * that the guest does not need: 16 MiB and more. */
static void memory_ops(uint8_t *buffer)
{
    static const uint8_t ops[] = {
        XENMEM_increase_reservation, XENMEM_decrease_reservation,
        XENMEM_populate_physmap,     XENMEM_exchange,
        XENMEM_current_reservation,  XENMEM_add_to_physmap,
        XENMEM_remove_from_physmap,  XENMEM_add_to_physmap_batch,
        XENMEM_acquire_resource,
    };
    uint64_t *words = (uint64_t *)buffer, *frames = (uint64_t *)(buffer + 2048);
    unsigned op = ops[rnd() % sizeof(ops)];

    for (unsigned i = 0; i < 64; i++) {
        frames[i] = 0x1000 + rnd() % 0x1000;
    }
    for (unsigned i = 0; i < 16; i++) {
        words[i] = rnd() % 3 ? 0x1000 + rnd() % 0x1000 : (uint64_t)frames;
    }
    words[0] = rnd() % 4 ? (uint64_t)frames : 0x1000 + rnd() % 0x1000;
    words[1] = rnd() % 8 ? rnd() % 64 : nasty(buffer);
    words[2] = rnd() % 4 ? (rnd() % 3) | (uint64_t)DOMID_SELF << 32 : nasty(buffer);
    if (op == XENMEM_add_to_physmap) {
        words[0] = DOMID_SELF | (rnd() % 8) << 16 | (rnd() % 6) << 32;
        words[1] = rnd() % 8 ? 0x1000 + rnd() % 0x1000 : nasty(buffer);
        words[2] = 0x1000 + rnd() % 0x1000;
    }
    HC(memory_op, op, buffer, 0);
}

/* An array of grant operations gets a status each: a long one at a low address would
 * overwrite us. */
static void keep_short(uint64_t op, uint64_t *at, uint64_t *count, void *buffer)
{
    if (op == __HYPERVISOR_grant_table_op) {
        *at = (uint64_t)buffer + rnd() % 1024;
        *count %= 17;
    }
}

static void multicalls(uint8_t *buffer)
{
    struct multicall_entry *e = (void *)buffer;

    for (unsigned i = 0; i < 16; i++) {
        e[i].op = rnd() % 42;
        for (unsigned k = 0; k < 6; k++) {
            e[i].args[k] = nasty(buffer);
        }
        keep_short(e[i].op, &e[i].args[1], &e[i].args[2], buffer);
        if (left_out(e[i].op, e[i].args[0])) {
            e[i].op = nasty(buffer) | 1ull << 32;
        }
    }
    HC(multicall, buffer, rnd() % 17, 0);
}

static void hypercalls(bool forever)
{
    uint8_t *buffer = page_alloc(2);

    for (unsigned i = 0; forever || i < ROUNDS; i++) {
        uint64_t op = rnd() % 8 ? rnd() % 42 : nasty(buffer), a1 = nasty(buffer), a2, a3;

        if (rnd() % 8 == 0) {
            memory_ops(buffer);
            continue;
        }
        if (rnd() % 32 == 0) {
            register_areas(buffer);
            continue;
        }
        if (rnd() % 16 == 0) {
            multicalls(buffer);
            continue;
        }
        scribble(buffer, 64 + rnd() % 256);
        for (unsigned k = 0; k < 8; k++) {
            ((uint64_t *)buffer)[rnd() % 16] = nasty(buffer);
        }
        a2 = rnd() % 3 ? (uint64_t)buffer : nasty(buffer);
        a3 = nasty(buffer);
        keep_short(op, &a2, &a3, buffer);
        if (!left_out(op, a1)) {
            hypercall5(op, a1, a2, a3, nasty(buffer), nasty(buffer));
        }
    }
}

static void shared_info(void)
{
    struct evtchn_bind_ipi bind = { .vcpu = 0 };
    struct evtchn_init_control init = { .vcpu = 0, .control_gfn = (uint64_t)page_alloc(1) / PAGE };
    struct evtchn_expand_array array = { .array_gfn = (uint64_t)page_alloc(1) / PAGE };
    struct evtchn_send send;
    struct evtchn_unmask unmask;

    HC(event_channel_op, EVTCHNOP_bind_ipi, &bind, 0);
    send.port = unmask.port = bind.port;
    for (unsigned i = 0; i < 200; i++) {
        if (i == 100) {
            HC(event_channel_op, EVTCHNOP_init_control, &init, 0);
            HC(event_channel_op, EVTCHNOP_expand_array, &array, 0);
        }
        scribble(shared, PAGE);
        scribble((void *)(init.control_gfn * PAGE), PAGE);
        scribble((void *)(array.array_gfn * PAGE), PAGE);
        for (unsigned k = 0; k < 20; k++) {
            HC(event_channel_op, EVTCHNOP_send, &send, 0);
            HC(event_channel_op, EVTCHNOP_unmask, &unmask, 0);
        }
        HC(set_timer_op, 1, 0, 0);
    }
}

static void rings(void)
{
    static const uint32_t params[][2] = {
        { HVM_PARAM_CONSOLE_PFN, HVM_PARAM_CONSOLE_EVTCHN },
        { HVM_PARAM_STORE_PFN, HVM_PARAM_STORE_EVTCHN },
    };
    uint8_t *copy = page_alloc(2);
    uint64_t pfn, port;

    for (unsigned r = 0; r < 2; r++) {
        struct evtchn_send send;

        if (hvm_param(params[r][0], &pfn) || hvm_param(params[r][1], &port) || !pfn) {
            continue;
        }
        memcpy(copy + r * PAGE, (void *)(pfn * PAGE), PAGE);
        send.port = (uint32_t)port;
        for (unsigned i = 0; i < 300; i++) {
            scribble((void *)(pfn * PAGE), PAGE);
            HC(event_channel_op, EVTCHNOP_send, &send, 0);
        }
        /* Indices that agree, so that the verdict can be said. */
        memset((void *)(pfn * PAGE + 3072), 0, 16);
    }
}

static void start_info_garbage(void)
{
    scribble((void *)start_info, sizeof(*start_info));
    scribble((void *)(uint64_t)0x1000, 0x8f000);
}

static void triple_fault(void)
{
    struct { uint16_t limit; uint64_t base; } __attribute__((packed)) none = { 0, 0 };

    asm volatile("lidt %0\n\tud2" : : "m"(none));
}

bool guest_main(const char *cmdline)
{
    if (has_word(cmdline, "triple_fault")) {
        triple_fault();
    } else if (has_word(cmdline, "shared_info")) {
        shared_info();
    } else if (has_word(cmdline, "rings")) {
        rings();
    } else if (has_word(cmdline, "start_info")) {
        start_info_garbage();
    } else {
        hypercalls(has_word(cmdline, "forever"));
    }
    return true;
}
