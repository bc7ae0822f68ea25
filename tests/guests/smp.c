/* SPDX-License-Identifier: MIT */
/* Several vCPUs: both ways to start them, events and interrupts between them,
 * atomics, shootdown. */
#include "tests/guests/guest.h"

#define AP_TRAMPOLINE 0x8000ull
#define IPI_VECTOR    0x41
#define ROUNDS        5000u

extern uint8_t ap_trampoline[], ap_trampoline_end[], page_root[], gdt_ptr[];
extern uint64_t ap_stack;

enum job { JOB_NONE, JOB_ADD, JOB_READ, JOB_CODE, JOB_HALT, JOB_STOP };

static volatile uint32_t up, job[MAX_CPUS], done[MAX_CPUS], ipis[MAX_CPUS];
static volatile uint64_t counter, locked_counter;
static volatile uint32_t lock;
static volatile uint64_t *shot_at;          /* a mapping that changes under the readers */
static volatile uint64_t seen[MAX_CPUS];
static uint8_t *code;
static unsigned nr_cpus;

static unsigned cpu_id(void)
{
    uint32_t out[4];

    cpuid(0x40000004, 0, out);
    return out[1];
}

static void apic_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)(0xfee00000ull + reg) = value;
}

static uint32_t apic_read(unsigned reg)
{
    return *(volatile uint32_t *)(0xfee00000ull + reg);
}

static void hook(struct trap_frame *f)
{
    if (f->vector == IPI_VECTOR) {
        __atomic_add_fetch(&ipis[cpu_id()], 1, __ATOMIC_SEQ_CST);
        apic_write(0xb0, 0);
    }
}

/* There may be more vCPUs than host CPUs: one that waits lets others run. */
static void relax(void)
{
    static volatile uint32_t spins;

    pause();
    if (++spins % 64 == 0) {
        HC(sched_op, SCHEDOP_yield, 0, 0);
    }
}

static void job_add(void)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        __atomic_add_fetch(&counter, 1, __ATOMIC_SEQ_CST);
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {
            relax();
        }
        locked_counter++;
        __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    }
}

static void work(unsigned id, unsigned what)
{
    switch (what) {
    case JOB_ADD:
        job_add();
        break;
    case JOB_READ:
        seen[id] = *shot_at;
        break;
    case JOB_CODE:
        seen[id] = ((uint64_t (*)(void))(void *)code)();
        break;
    case JOB_HALT:
        irqs_on();
        while (!ipis[id]) {
            asm volatile("cli; cmpl $0, %0; jne 1f; sti; hlt; 1: sti"
                         :
                         : "m"(ipis[id])
                         : "memory", "cc");
        }
        irqs_off();
        break;
    }
}

void ap_main(void)
{
    unsigned id = cpu_id();

    traps_load();
    apic_write(0xf0, 0x1ff);
    __atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        unsigned what = job[id];

        if (what == JOB_STOP) {
            HC(vcpu_op, VCPUOP_down, id, 0);
        } else if (what) {
            work(id, what);
            job[id] = JOB_NONE;
            __atomic_add_fetch(&done[id], 1, __ATOMIC_SEQ_CST);
        }
        relax();
    }
}

static bool wait_for(volatile uint32_t *value, uint32_t want)
{
    uint64_t end = clock_ns(0) + 5000000000ull;

    while (*value != want && clock_ns(0) < end) {
        relax();
    }
    return *value == want;
}

static void start_by_sipi(unsigned id)
{
    memcpy((void *)AP_TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
    ap_stack = (uint64_t)page_alloc(4) + STACK_SIZE;
    apic_write(0x310, id * 2 << 24);
    apic_write(0x300, 0x4500);
    apic_write(0x310, id * 2 << 24);
    apic_write(0x300, 0x4600 | (AP_TRAMPOLINE >> 12));
}

static void start_by_hypercall(unsigned id)
{
    struct vcpu_hvm_context ctx;

    ap_context(&ctx);
    check(!HC(vcpu_op, VCPUOP_initialise, id, &ctx) && !HC(vcpu_op, VCPUOP_up, id, 0),
          "vCPU %u: initialise, up", id);
}

static void everyone(unsigned what)
{
    for (unsigned i = 1; i < nr_cpus; i++) {
        done[i] = 0;
        job[i] = what;
    }
}

static bool all_done(void)
{
    bool ok = true;

    for (unsigned i = 1; i < nr_cpus; i++) {
        ok = wait_for(&done[i], 1) && ok;
    }
    return ok;
}

static void bring_up(void)
{
    unsigned n = 1;

    while (n < MAX_CPUS && HC(vcpu_op, VCPUOP_is_up, n, 0) >= 0) {
        n++;
    }
    nr_cpus = n;
    print("%u vCPUs\n", nr_cpus);
    apic_write(0xf0, 0x1ff);
    check(apic_read(0x20) >> 24 == 0, "APIC id 0");
    for (unsigned i = 1; i < nr_cpus; i++) {
        if (i == 1) {
            start_by_sipi(i);
        } else {
            start_by_hypercall(i);
        }
        if (!check(wait_for(&up, i), "vCPU %u runs", i)) {
            nr_cpus = i;
        }
    }
}

static void test_ipis(void)
{
    everyone(JOB_HALT);
    for (unsigned i = 1; i < nr_cpus; i++) {
        while (job[i] == JOB_HALT && !done[i]) {
            apic_write(0x310, i * 2 << 24);
            apic_write(0x300, 0x4000 | IPI_VECTOR);
            if (wait_for(&done[i], 1)) {
                break;
            }
        }
        check(ipis[i] > 0, "IPI woke vCPU %u", i);
    }
    all_done();
    irqs_on();
    apic_write(0x300, 1 << 18 | IPI_VECTOR);
    check(wait_for(&ipis[0], 1), "self IPI");
    irqs_off();
}

/* Two pages that take turns behind one address; after a round of IPIs nobody may see the
 * old one. */
static void test_shootdown(void)
{
    uint64_t *a = page_alloc(1), *b = page_alloc(1), *pt = page_alloc(1), *pd = page_alloc(1),
             *root;

    a[0] = 111;
    b[0] = 222;
    asm volatile("movq %%cr3, %0" : "=r"(root));
    root[1] = (uint64_t)pd | 3;             /* linear 512 GiB on */
    pd[0] = (uint64_t)pt | 3;
    pt[0] = (uint64_t)page_alloc(1) | 3;
    ((uint64_t *)(pt[0] & ~0xfffull))[0] = (uint64_t)a | 3;
    shot_at = (uint64_t *)(1ull << 39);
    for (unsigned round = 0; round < 20; round++) {
        uint64_t *pte = (uint64_t *)(pt[0] & ~0xfffull), want = round & 1 ? 222 : 111;

        *pte = (uint64_t)(round & 1 ? b : a) | 3;
        asm volatile("invlpg (%0)" : : "r"(shot_at) : "memory");
        HC(hvm_op, HVMOP_flush_tlbs, 0, 0);
        everyone(JOB_READ);
        if (!all_done()) {
            check(false, "readers answered");
            return;
        }
        for (unsigned i = 1; i < nr_cpus; i++) {
            if (seen[i] != want) {
                check(false, "vCPU %u sees %lu, not %lu", i, seen[i], want);
                return;
            }
        }
    }
    check(true, "shootdown");
}

/* Code that one vCPU writes and the others run. */
static void test_cross_modifying(void)
{
    code = page_alloc(1);
    for (unsigned round = 1; round <= 50; round++) {
        memcpy(code, "\xb8\0\0\0\0\xc3", 6);    /* mov $round, %eax; ret */
        code[1] = (uint8_t)round;
        everyone(JOB_CODE);
        if (!all_done()) {
            check(false, "runners answered");
            return;
        }
        for (unsigned i = 1; i < nr_cpus; i++) {
            if (seen[i] != round) {
                check(false, "vCPU %u runs stale code: %lu, not %u", i, seen[i], round);
                return;
            }
        }
    }
    check(true, "cross-modifying code");
}

bool guest_main(const char *cmdline)
{
    trap_hook = hook;
    bring_up();
    everyone(JOB_ADD);
    job_add();
    check(all_done(), "adders answered");
    check(counter == (uint64_t)nr_cpus * ROUNDS && locked_counter == counter,
          "%lu atomic additions, %lu locked", counter, locked_counter);
    test_ipis();
    test_shootdown();
    test_cross_modifying();
    for (unsigned i = 1; i < nr_cpus; i++) {
        job[i] = JOB_STOP;
        while (HC(vcpu_op, VCPUOP_is_up, i, 0) == 1) {
            relax();
        }
        check(HC(vcpu_op, VCPUOP_is_up, i, 0) == 0, "vCPU %u is down", i);
    }
    return nr_cpus > 1;
}
