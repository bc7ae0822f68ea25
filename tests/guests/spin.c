/* SPDX-License-Identifier: MIT */
/* Every vCPU computes without end: what schedulers are measured with. Says when all of them do. */
#include "tests/guests/guest.h"

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
    struct vcpu_hvm_context ctx;

    ap_context(&ctx);
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
