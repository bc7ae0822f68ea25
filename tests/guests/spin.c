/* SPDX-License-Identifier: MIT */
/* Every vCPU computes without end: what schedulers are measured with. Says when all of them do. */
#include "tests/guests/guest.h"

extern uint8_t ap_start64[], page_root[];
extern uint64_t ap_stack;

static volatile uint32_t up;

static void spin(void) __attribute__((noreturn));
static void spin(void)
{
    uint64_t x = 1;

    for (;;) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        asm volatile("" : : "r"(x));
    }
}

void ap_main(void)
{
    __atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
    spin();
}

static bool start(unsigned id)
{
    struct vcpu_hvm_context ctx = { .mode = VCPU_HVM_MODE_64B };
    uint64_t cr;

    ap_stack = (uint64_t)page_alloc(4) + STACK_SIZE;
    asm volatile("movq %%cr0, %0" : "=r"(cr));
    ctx.cpu_regs.x86_64.cr0 = cr;
    asm volatile("movq %%cr4, %0" : "=r"(cr));
    ctx.cpu_regs.x86_64.cr4 = cr;
    ctx.cpu_regs.x86_64.cr3 = (uint64_t)page_root;
    ctx.cpu_regs.x86_64.efer = rdmsr(0xc0000080);
    ctx.cpu_regs.x86_64.rip = (uint64_t)ap_start64;
    ctx.cpu_regs.x86_64.rflags = 2;
    if (HC(vcpu_op, VCPUOP_initialise, id, &ctx) || HC(vcpu_op, VCPUOP_up, id, 0)) {
        return false;
    }
    while (up < id) {
        HC(sched_op, SCHEDOP_yield, 0, 0);
    }
    return true;
}

bool guest_main(const char *cmdline)
{
    unsigned n = 1;

    for (; n < MAX_CPUS && HC(vcpu_op, VCPUOP_is_up, n, 0) >= 0; n++) {
        if (!start(n)) {
            return false;
        }
    }
    print("%u vCPUs spin\n", n);
    spin();
}
