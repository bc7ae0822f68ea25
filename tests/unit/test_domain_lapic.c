/* SPDX-License-Identifier: MIT */
/* The local APIC: priorities, interprocessor interrupts, the timer, both access modes,
 * bad values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/lapic.h"
#include "hypervisor/domain/time.h"
#include "tests/unit/fake_engine.h"

#define BASE 0xfee00000ull

static struct fake_domain d;
static struct vcpu *v;

static void wr(unsigned reg, uint32_t value)
{
    lapic_mmio_write(v, BASE + reg, 4, value);
}

static uint32_t rd(unsigned reg)
{
    uint64_t value;

    lapic_mmio_read(v, BASE + reg, 4, &value);
    return (uint32_t)value;
}

static int setup(void **state)
{
    fake_domain_start(&d, 4);
    for (unsigned i = 0; i < 4; i++) {
        v = fake_be(&d, i);
        wr(0xf0, 0x1ff);
    }
    v = fake_be(&d, 0);
    return 0;
}

static int teardown(void **state)
{
    fake_domain_stop(&d);
    return 0;
}

static void test_reset_state(void **state)
{
    uint64_t value;

    assert_int_equal(rd(0x30), 0x50014);
    assert_int_equal(rd(0x20), 0);
    v = fake_be(&d, 3);
    assert_int_equal(rd(0x20), 6u << 24);
    assert_int_equal(rd(0x350), 0x10000);
    assert_true(lapic_rdmsr(v, 0x1b, &value));
    assert_int_equal(value, BASE | 0x800);
    v = fake_be(&d, 0);
    assert_true(lapic_rdmsr(v, 0x1b, &value));
    assert_int_equal(value, BASE | 0x900);
    assert_true(lapic_mmio_hit(v, BASE + 0x20));
    assert_false(lapic_mmio_hit(v, BASE + 0x1000));
}

static void test_priorities(void **state)
{
    lapic_post(v, 0x31);
    lapic_post(v, 0x55);
    assert_int_equal(lapic_pending(v), 0x55);
    lapic_accept(v, 0x55);
    assert_int_equal(rd(0xa0), 0x50);               /* PPR: 0x31 waits */
    assert_int_equal(lapic_pending(v), LAPIC_NO_VECTOR);
    lapic_post(v, 0x62);
    assert_int_equal(lapic_pending(v), 0x62);
    wr(0x80, 0x70);                                 /* TPR */
    assert_int_equal(lapic_pending(v), LAPIC_NO_VECTOR);
    assert_int_equal(lapic_read_cr8(v), 7);
    lapic_write_cr8(v, 0);
    lapic_accept(v, 0x62);
    wr(0xb0, 0);                                    /* EOI: 0x62, then 0x55 */
    assert_int_equal(rd(0x100 + 0x10 * 2), 1u << (0x55 - 0x40));
    wr(0xb0, 0);
    assert_int_equal(lapic_pending(v), 0x31);
    wr(0xb0, 0);
    assert_int_equal(rd(0x200 + 0x10), 1u << 0x11);
    wr(0xf0, 0xff);                                 /* software disable */
    assert_int_equal(lapic_pending(v), LAPIC_NO_VECTOR);
}

static void test_ipis(void **state)
{
    wr(0x310, 4u << 24);
    wr(0x300, 0x41);                                /* physical, to APIC id 4: vCPU 2 */
    assert_int_equal(lapic_pending(&d.m->vcpu[2]), 0x41);
    assert_int_equal(lapic_pending(&d.m->vcpu[1]), LAPIC_NO_VECTOR);
    wr(0x300, 3u << 18 | 0x42);                     /* all but self */
    assert_int_equal(lapic_pending(v), LAPIC_NO_VECTOR);
    assert_int_equal(lapic_pending(&d.m->vcpu[1]), 0x42);
    wr(0x300, 1u << 18 | 0x43);                     /* self */
    assert_int_equal(lapic_pending(v), 0x43);
    d.m->vcpu[3].lapic.regs[0xd0 / 4] = 8u << 24;   /* LDR */
    wr(0x310, 8u << 24);
    wr(0x300, 1u << 11 | 0x44);                     /* logical, flat */
    assert_int_equal(lapic_pending(&d.m->vcpu[3]), 0x44);
    wr(0x310, 0xffu << 24);
    wr(0x300, 4u << 8);                             /* NMI to all */
    assert_int_equal(d.m->vcpu[0].requests, VCPU_REQ_NMI);
    wr(0x310, 2u << 24);
    wr(0x300, 0x4500);                              /* INIT to vCPU 1 */
    wr(0x300, 0x8500);                              /* its de-assert: nothing */
    wr(0x300, 0x0699);                              /* SIPI */
    assert_int_equal(d.m->vcpu[1].requests, VCPU_REQ_NMI | VCPU_REQ_INIT | VCPU_REQ_SIPI);
    assert_int_equal(d.m->vcpu[1].sipi_vector, 0x99);
}

static void test_errors(void **state)
{
    wr(0x300, 1u << 18 | 0x05);                     /* a vector that does not exist */
    assert_int_equal(rd(0x280), 0);
    wr(0x280, 0);
    assert_int_equal(rd(0x280), 1u << 5);
    wr(0x280, 0);
    assert_int_equal(rd(0x280), 0);
    wr(0x370, 0x34);                                /* error LVT */
    wr(0x30, 1);                                    /* not a writable register */
    assert_int_equal(lapic_pending(v), 0x34);
    wr(0x370, 0x04);                                /* an error interrupt that is an error itself */
    wr(0x300, 1u << 18 | 0x05);
    wr(0x280, 0);
    assert_true(rd(0x280) & 1u << 5);
}

static void test_timer(void **state)
{
    uint64_t now;

    wr(0x3e0, 0xb);                                 /* divide by 1: 10 ns per count */
    wr(0x320, 0x61);
    wr(0x380, 100000);                              /* 1 ms */
    now = host_now();
    assert_in_range(rd(0x390), 1, 100000);
    assert_in_range(time_next_deadline(v), now, now + 1000000);
    lapic_timer_run(v, now);
    assert_int_equal(lapic_pending(v), LAPIC_NO_VECTOR);
    lapic_timer_run(v, now + 1000000);
    assert_int_equal(lapic_pending(v), 0x61);
    assert_true(time_next_deadline(v) == NO_TIMER);
    lapic_accept(v, 0x61);
    wr(0xb0, 0);
    wr(0x320, 1u << 17 | 0x62);                     /* periodic */
    wr(0x380, 100000);
    now = host_now();
    lapic_timer_run(v, now + 5500000);
    assert_int_equal(lapic_pending(v), 0x62);
    assert_true(time_next_deadline(v) > now + 5500000 && time_next_deadline(v) <= now + 6500000);
    wr(0x320, 1u << 17 | 1u << 16 | 0x62);
    lapic_accept(v, 0x62);
    wr(0xb0, 0);
    lapic_timer_run(v, now + 100000000);
    assert_int_equal(lapic_pending(v), LAPIC_NO_VECTOR);
    wr(0x380, 0);
    assert_true(time_next_deadline(v) == NO_TIMER);
}

static void test_tsc_deadline(void **state)
{
    uint64_t value, now = host_now();

    assert_true(lapic_wrmsr(v, 0x6e0, host_tsc() + 1000));
    assert_true(time_next_deadline(v) == NO_TIMER); /* not in that mode */
    wr(0x320, 2u << 17 | 0x63);
    assert_true(lapic_wrmsr(v, 0x6e0, host_tsc() + d.m->tsc_khz * 10ull));
    assert_in_range(time_next_deadline(v), now + 9900000, now + 60000000);
    assert_true(lapic_rdmsr(v, 0x6e0, &value));
    assert_true(value);
    lapic_timer_run(v, time_next_deadline(v));
    assert_int_equal(lapic_pending(v), 0x63);
    assert_true(lapic_rdmsr(v, 0x6e0, &value));
    assert_int_equal(value, 0);
    assert_true(lapic_wrmsr(v, 0x6e0, 1));          /* long past: at once */
    lapic_timer_run(v, host_now());
    assert_true(time_next_deadline(v) == NO_TIMER);
}

static void test_x2apic(void **state)
{
    uint64_t value;

    assert_false(lapic_rdmsr(v, 0x802, &value));
    assert_false(lapic_wrmsr(v, 0x1b, BASE | 0x400));           /* x2APIC without enable */
    v = fake_be(&d, 3);
    assert_true(lapic_wrmsr(v, 0x1b, BASE | 0xc00));
    assert_false(lapic_wrmsr(v, 0x1b, BASE | 0x800));           /* no way straight back */
    assert_false(lapic_mmio_hit(v, BASE));
    assert_true(lapic_rdmsr(v, 0x802, &value));
    assert_int_equal(value, 6);
    assert_true(lapic_rdmsr(v, 0x80d, &value));
    assert_int_equal(value, 1u << 6);
    assert_false(lapic_wrmsr(v, 0x802, 1));
    assert_false(lapic_wrmsr(v, 0x80d, 1));
    assert_false(lapic_rdmsr(v, 0x80e, &value));
    assert_false(lapic_rdmsr(v, 0x831, &value));
    assert_false(lapic_rdmsr(v, 0x8ff, &value));
    assert_false(lapic_wrmsr(v, 0x808, 0x100));
    assert_false(lapic_wrmsr(v, 0x80b, 1));
    assert_true(lapic_wrmsr(v, 0x80b, 0));
    assert_true(lapic_wrmsr(v, 0x83f, 0x77));
    assert_int_equal(lapic_pending(v), 0x77);
    assert_true(lapic_wrmsr(v, 0x830, 2ull << 32 | 0x78));
    assert_int_equal(lapic_pending(&d.m->vcpu[1]), 0x78);
    assert_false(lapic_wrmsr(v, 0x830, 1u << 13));
    assert_true(lapic_wrmsr(v, 0x1b, BASE));
    assert_true(lapic_wrmsr(v, 0x1b, BASE | 0x800));
}

static void test_save_load(void **state)
{
    struct hvm_hw_lapic hw;
    struct hvm_hw_lapic_regs regs;

    lapic_post(v, 0x91);
    wr(0x80, 0x20);
    wr(0x320, 0x61);
    wr(0x3e0, 0xb);
    wr(0x380, 1000000);
    lapic_save(v, &hw, &regs);
    lapic_reset(v, false);
    assert_int_equal(lapic_pending(v), LAPIC_NO_VECTOR);
    regs.data[0x200] = 0xff;                        /* vectors below 16 are not taken over */
    lapic_load(v, &hw, &regs);
    assert_int_equal(rd(0x200), 0);
    assert_int_equal(lapic_pending(v), 0x91);
    assert_int_equal(rd(0x80), 0x20);
    assert_true(time_next_deadline(v) < host_now() + 11000000);
}

static void test_any_register(void **state)
{
    uint64_t value;

    for (int mode = 0; mode < 2; mode++) {
        for (uint64_t i = 0; i < 0x1000; i++) {
            for (unsigned size = 1; size <= 8; size *= 2) {
                lapic_mmio_write(v, BASE + i, size, i * 0x9e3779b97f4a7c15ull);
                lapic_mmio_read(v, BASE + i, size, &value);
            }
        }
        for (uint32_t msr = 0x800; msr < 0x900; msr++) {
            lapic_wrmsr(v, msr, msr * 0x9e3779b97f4a7c15ull);
            lapic_wrmsr(v, msr, msr & 0xff);
            lapic_rdmsr(v, msr, &value);
        }
        lapic_pending(v);
        lapic_timer_run(v, host_now());
        lapic_wrmsr(v, 0x1b, BASE | 0xc00);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_reset_state), T(test_priorities), T(test_ipis), T(test_errors), T(test_timer),
        T(test_tsc_deadline), T(test_x2apic), T(test_save_load), T(test_any_register),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
