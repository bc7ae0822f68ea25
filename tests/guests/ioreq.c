/* SPDX-License-Identifier: MIT */
/*
 * A guest whose ports, memory and PCI device are served by tests/system/device_model.c. The command
 * line says what it does; without one it tries all kinds of accesses.
 */
#include "tests/guests/guest.h"

#include "tests/system/device_model.h"

#define AP_TRAMPOLINE 0x8000ull
#define ROUNDS        300u

extern uint8_t ap_trampoline[], ap_trampoline_end[], ap_start64[], page_root[], gdt_ptr[];
extern uint64_t ap_stack;

static volatile uint32_t up, ap_done, ap_bad, interrupts;

static inline void out32(uint16_t port, uint32_t x)
{
    asm volatile("outl %0, %w1" : : "a"(x), "d"(port) : "memory");
}
static inline void out8(uint16_t port, uint8_t x)
{
    asm volatile("outb %0, %w1" : : "a"(x), "d"(port) : "memory");
}
static inline uint32_t in32(uint16_t port)
{
    uint32_t x;

    asm volatile("inl %w1, %0" : "=a"(x) : "d"(port) : "memory");
    return x;
}
static inline uint8_t in8(uint16_t port)
{
    uint8_t x;

    asm volatile("inb %w1, %0" : "=a"(x) : "d"(port) : "memory");
    return x;
}

static void rep_in16(uint16_t port, void *to, uint64_t n, bool down)
{
    if (down) {
        asm volatile("std; rep insw; cld" : "+D"(to), "+c"(n) : "d"(port) : "memory", "cc");
    } else {
        asm volatile("rep insw" : "+D"(to), "+c"(n) : "d"(port) : "memory");
    }
}

static void rep_out32(uint16_t port, const void *from, uint64_t n)
{
    asm volatile("rep outsl" : "+S"(from), "+c"(n) : "d"(port) : "memory");
}

static void apic_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)(0xfee00000ull + reg) = value;
}

static void hook(struct trap_frame *f)
{
    if (f->vector == DM_VECTOR) {
        interrupts++;
        apic_write(0xb0, 0);
    }
}

static unsigned cpu_id(void)
{
    uint32_t out[4];

    cpuid(0x40000004, 0, out);
    return out[1];
}

static void wait_for_model(void)
{
    while (in32(DM_ID) != DM_ID_VALUE) {
        HC(sched_op, SCHEDOP_yield, 0, 0);
    }
}

static void test_ports(void)
{
    bool good = true;

    out32(DM_LATCH, 0x12345678);
    good &= in32(DM_LATCH) == 0x12345678;
    good &= in8(DM_LATCH) == 0x78;
    out8(DM_LATCH, 0xaa);
    good &= in32(DM_LATCH) == 0x123456aa;
    check(good, "port I/O");
    check(in8(DM_LAST + 1) == 0xff && in32(DM_LAST) == 0xffffffff, "ports that are nobody's");
}

static void test_memory(void)
{
    volatile uint8_t *b = (volatile uint8_t *)DM_MEMORY;
    volatile uint64_t *q = (volatile uint64_t *)DM_MEMORY;
    uint32_t expected = 0x01020304;
    bool ok;

    q[1] = 0x1122334455667788;
    check(q[1] == 0x1122334455667788 && b[8] == 0x88 && *(volatile uint16_t *)(b + 11) == 0x4455,
          "memory of all sizes");
    *(volatile uint32_t *)(b + 0x20) = expected;
    __atomic_fetch_add((uint32_t *)(uintptr_t)(b + 0x20), 1, __ATOMIC_SEQ_CST);
    *(volatile uint32_t *)(b + 0x20) += 1;
    ok = __atomic_compare_exchange_n((uint32_t *)(uintptr_t)(b + 0x20), &(uint32_t){ expected + 2 }, 5,
                                     false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    check(ok && *(volatile uint32_t *)(b + 0x20) == 5, "read-modify-write");
    memcpy((void *)(uintptr_t)(b + 0x40), "a device's memory", 18);
    check(!memcmp((void *)(uintptr_t)(b + 0x40), "a device's memory", 18), "copies");
    check(*(volatile uint32_t *)(DM_MEMORY + 0x1000) == 0xffffffff, "memory that is nobody's");
}

static void test_pci(void)
{
    out32(0xcf8, 0x80000000 | DM_DEVICE << 11 | 0x10);
    check(in32(0xcfc) == (DM_PCI_MAGIC | 0x10) && in8(0xcfe) == (uint8_t)((DM_PCI_MAGIC | 0x12) & 0xff),
          "PCI configuration");
    out32(0xcf8, 0x80000000 | (DM_DEVICE + 1) << 11);
    check(in32(0xcfc) == 0xffffffff, "a PCI device that is not there");
    out32(0xcf8, 0);
}

static void test_strings(void)
{
    uint16_t *words = page_alloc(4);
    uint32_t *longs = (uint32_t *)words, sum = 0, asked = in32(DM_REQUESTS);
    bool good = true;

    /* More than a page, from the middle of one, at an odd address */
    rep_in16(DM_STREAM, (uint8_t *)words + 3001, 3000, false);
    for (unsigned i = 0; i < 3000; i++) {
        uint16_t w;

        memcpy(&w, (uint8_t *)words + 3001 + 2 * i, 2);
        good &= w == (uint16_t)i;
    }
    good &= ((uint8_t *)words)[3000] == 0 && ((uint8_t *)words)[9001] == 0;
    check(good, "rep ins");
    asked = in32(DM_REQUESTS) - asked - 1;
    check(asked < 20, "in few requests: %u", asked);
    rep_in16(DM_STREAM, words + 4000, 2500, true);
    good = true;
    for (unsigned i = 0; i < 2500; i++) {
        good &= words[4000 - i] == (uint16_t)(3000 + i);
    }
    check(good, "rep ins downwards");
    for (unsigned i = 0; i < 4096; i++) {
        longs[i] = i * 2654435761u;
        sum = sum * 31 + longs[i];
    }
    out32(DM_SUM, 0);
    rep_out32(DM_SUM, longs, 4096);
    check(in32(DM_SUM) == sum, "rep outs");
}

static void test_msi(void)
{
    trap_hook = hook;
    apic_write(0xf0, 0x1ff);
    out8(DM_MSI, DM_VECTOR);
    irqs_on();
    for (unsigned i = 0; i < 1000000 && !interrupts; i++) {
        HC(sched_op, SCHEDOP_yield, 0, 0);
    }
    irqs_off();
    trap_hook = NULL;
    check(interrupts == 1, "a message-signalled interrupt");
}

static void test_events(void)
{
    /* It may come a little after the answer. */
    TRY("movl $" DM_STR(DM_INJECT) ", %%edx; outb %%al, %%dx; movl $0xffffffff, %%ecx;"
        "2: pause; decl %%ecx; jnz 2b", "r"(0));
    check(trap_vector == 13 && trap_error == 0x18, "an exception by the device model: %lu",
          trap_vector);
}

static void test_watched(void)
{
    volatile uint64_t *page = page_alloc(1);

    page[1] = 3;
    out32(DM_WATCH, (uint32_t)((uint64_t)page / PAGE));
    page[1] = 4;
    page[2] = 5;
    check(page[1] == 3 && page[2] == 0 && in32(DM_WATCH) == 2, "memory whose writes are watched");
    out32(DM_WATCH, 0);
    page[1] = 6;
    check(page[1] == 6, "and no longer");
}

static void test_balloon(void)
{
    uint64_t gfn = (uint64_t)page_alloc(1) / PAGE;
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    uint32_t before = in32(DM_DROPPED);

    set_xen_guest_handle(r.extent_start, &gfn);
    check(HC(memory_op, XENMEM_decrease_reservation, &r, 0) == 1, "a page given back");
    check(in32(DM_DROPPED) == before + 1, "and the device model told");
}

static void hammer(uint32_t *bad)
{
    unsigned id = cpu_id();

    for (uint32_t i = 0; i < ROUNDS; i++) {
        volatile uint32_t *own = (volatile uint32_t *)(DM_MEMORY + 0x100 + 8 * id);

        *own = i;
        out32((uint16_t)(DM_CPU + 4 * id), i << 8 | id);
        *bad += in32((uint16_t)(DM_CPU + 4 * id)) != (i << 8 | id) || *own != i;
    }
}

void ap_main(void)
{
    uint32_t bad = 0;

    traps_load();
    up = 1;
    hammer(&bad);
    ap_bad = bad;
    ap_done = 1;
    for (;;) {
        HC(vcpu_op, VCPUOP_down, 1, 0);
    }
}

static void icr(uint32_t low)
{
    apic_write(0x310, 1u << 25);            /* APIC id 2: vCPU 1 */
    apic_write(0x300, low);
}

/* Two vCPUs at once, each waiting for its own answers. */
static void test_both(void)
{
    uint32_t bad = 0;

    ap_stack = (uint64_t)page_alloc(4) + 4 * PAGE;
    memcpy((void *)AP_TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
    icr(0x4500);
    icr(0x4600 | AP_TRAMPOLINE >> 12);
    while (!up) {
        HC(sched_op, SCHEDOP_yield, 0, 0);
    }
    hammer(&bad);
    while (!ap_done) {
        HC(sched_op, SCHEDOP_yield, 0, 0);
    }
    check(!bad && !ap_bad, "two vCPUs at once");
}

bool guest_main(const char *cmdline)
{
    wait_for_model();
    if (has_word(cmdline, "hang")) {
        print("asking\n");
        out8(DM_HANG, 1);                   /* answered, but nothing after it */
        print("answer %x\n", in32(DM_LATCH));
        return true;
    }
    if (has_word(cmdline, "lie")) {
        out8(DM_LIE, 1);
        print("still here\n");
        return false;
    }
    test_ports();
    test_memory();
    test_pci();
    test_strings();
    test_msi();
    test_events();
    test_watched();
    test_balloon();
    test_both();
    check(in32(DM_VCPUS) == 2, "vCPUs as the device model counts them");
    if (has_word(cmdline, "off") && !failures) {
        print("SUCCESS\n");
        out8(DM_OFF, 1);
        for (;;) {
            HC(sched_op, SCHEDOP_yield, 0, 0);
        }
    }
    return true;
}
