/* SPDX-License-Identifier: MIT */
/* The guest's clock, read as a guest reads it, and CPUID, whose leaves describe it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/event.h"
#include "hypervisor/domain/time.h"
#include "tests/unit/fake_engine.h"

static struct fake_domain d;
static struct vcpu *v;

static int setup(void **state)
{
    fake_domain_start(&d, 2);
    v = fake_be(&d, 0);
    d.m->state->system_time_offset = -5000000000ull;
    v->tsc_offset = v->ev->s.tsc_offset = 12345 - host_tsc();
    time_publish(v);
    time_publish_wallclock(d.m);
    return 0;
}

static int teardown(void **state)
{
    fake_domain_stop(&d);
    return 0;
}

static uint64_t guest_clock(const volatile struct vcpu_time_info *t, uint64_t guest_tsc)
{
    uint64_t delta = guest_tsc - t->tsc_timestamp;

    delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
    return t->system_time + (uint64_t)((unsigned __int128)delta * t->tsc_to_system_mul >> 32);
}

static int64_t error_now(void)
{
    uint64_t best = UINT64_MAX;
    int64_t err = 0;

    for (int i = 0; i < 20; i++) {
        uint64_t tsc = host_tsc(), now = host_now(), took = host_tsc() - tsc;

        if (took < best) {
            best = took;
            err = (int64_t)(guest_clock(&event_vcpu_info(v)->time, tsc + took / 2 + v->tsc_offset) -
                            time_guest(d.m, now));
        }
    }
    return err;
}

static void test_follows_host(void **state)
{
    struct vcpu_time_info *t = &event_vcpu_info(v)->time;
    uint32_t version = t->version;

    assert_int_equal(version & 1, 0);
    assert_true(t->tsc_to_system_mul >> 31);
    assert_in_range(error_now() + 20000, 0, 40000);
    usleep(100000);
    /* 100 ms on, a frequency that is 100 ppm off would show as 10 us. */
    assert_in_range(error_now() + 50000, 0, 100000);
    atomic_store(&d.m->clock.next, 0);
    time_refresh(v, host_now());
    assert_true(t->version != version);
    assert_int_equal(t->version & 1, 0);
    assert_in_range(error_now() + 50000, 0, 100000);
}

/* Whatever corrections do, the clock never goes back, on either vCPU's record. */
static void test_never_back(void **state)
{
    uint64_t last = 0;

    d.m->vcpu[1].tsc_offset = v->tsc_offset;
    for (int i = 0; i < 2000; i++) {
        uint64_t now, before = guest_clock(&event_vcpu_info(v)->time, host_tsc() + v->tsc_offset);

        assert_true(before >= last);
        atomic_store(&d.m->clock.next, 0);
        if (i % 100 == 0) {
            d.m->state->system_time_offset += i % 200 ? 300000 : -300000;
        }
        time_refresh(v, host_now());
        now = guest_clock(&event_vcpu_info(&d.m->vcpu[1])->time, host_tsc() + v->tsc_offset);
        assert_true(now >= before);
        last = now;
    }
}

static void test_catches_up(void **state)
{
    uint64_t before = guest_clock(&event_vcpu_info(v)->time, host_tsc() + v->tsc_offset), after;

    d.m->state->system_time_offset += 1000000000;
    atomic_store(&d.m->clock.next, 0);
    time_refresh(v, host_now());
    after = guest_clock(&event_vcpu_info(v)->time, host_tsc() + v->tsc_offset);
    assert_true(after - before >= 1000000000);
    assert_true(after - before < 1500000000);
}

static void test_wallclock(void **state)
{
    struct shared_info *s = d.m->shared;
    struct timespec now;
    const uint32_t *wc;
    uint64_t guest;

    clock_gettime(CLOCK_REALTIME, &now);
    guest = ((uint64_t)s->wc_sec_hi << 32 | s->wc_sec) * 1000000000ull + s->wc_nsec +
            time_guest(d.m, host_now());
    assert_int_equal(s->wc_version & 1, 0);
    assert_in_range(guest - ((uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec) +
                        1000000,
                    0, 2000000);
    /* A 32-bit guest, which shows itself only later, looks elsewhere: wc_version at 0x900. */
    time_set_narrow(d.m, true);
    wc = (const uint32_t *)(const void *)((const uint8_t *)s + 0x900);
    assert_int_equal(wc[0] & 1, 0);
    assert_int_not_equal(wc[0], 0);
    assert_int_equal(wc[1], s->wc_sec);
    assert_in_range(wc[2] - s->wc_nsec + 1000000, 0, 2000000);
    time_set_narrow(d.m, false);
    d.m->clock.wall_shift = 3600;
    time_publish_wallclock(d.m);
    guest = ((uint64_t)s->wc_sec_hi << 32 | s->wc_sec) + time_guest(d.m, host_now()) / 1000000000;
    assert_in_range(guest, (uint64_t)now.tv_sec + 3598, (uint64_t)now.tv_sec + 3602);
}

/* ARCH_CAPABILITIES is there when CPUID says so, and cannot be written. */
static void test_arch_caps(void **state)
{
    struct kl_cpuid_leaf policy[] = {
        { 0, 0xffffffff, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69 },
        { 7, 0, 0, 0, 0, 0 },
    };
    uint64_t x = 0;

    d.m->arch_caps = 0x4000000000000021ull;
    assert_int_equal(cpuid_set_policy(d.m, policy, 2), 0);
    assert_int_equal(msr_read(d.m, 0, 0x10a, &x), ENGINE_FAULT_GP);
    policy[1].d = 1u << 29;
    assert_int_equal(cpuid_set_policy(d.m, policy, 2), 0);
    assert_int_equal(msr_read(d.m, 0, 0x10a, &x), ENGINE_CONTINUE);
    assert_int_equal(x, 0x4000000000000021ull);
    assert_int_equal(msr_write(d.m, 0, 0x10a, x), ENGINE_FAULT_GP);
}

static void test_cpuid(void **state)
{
    const struct kl_cpuid_leaf policy[] = {
        { 0, 0xffffffff, 0xd, 0x68747541, 0x444d4163, 0x69746e65 },
        { 1, 0xffffffff, 0xa20f12, 0x800, 0x80000000, 0x1783fbff },
        { 7, 0, 0, 0x281, 0, 0 }, { 0xd, 1, 5, 0, 0, 0 }, { 0xd, 0, 7, 0x240, 0x340, 0 },
        { 0x40000000, 0xffffffff, 0x40000100, 1, 2, 3 },
        { 0x80000000, 0xffffffff, 0x80000008, 0, 0, 0 },
    };
    uint32_t out[4];

    assert_int_equal(cpuid_set_policy(d.m, policy, sizeof(policy) / sizeof(*policy)), 0);
    assert_true(d.m->amd);
    assert_int_equal(cpuid_set_policy(d.m, policy, KL_MAX_CPUID + 1), -1);
    cpuid_read(d.m, 1, 0x40000000, 0, out);
    assert_int_equal(out[0], 0x40000004);
    assert_memory_equal(&out[1], "XenVMMXenVMM", 12);
    cpuid_read(d.m, 1, 0x40000001, 0, out);
    assert_int_equal(out[0], 4u << 16 | 17);
    cpuid_read(d.m, 1, 0x40000003, 0, out);
    assert_int_equal(out[2], d.m->tsc_khz);
    cpuid_read(d.m, 1, 0x40000004, 0, out);
    assert_int_equal(out[1], 1);
    assert_int_equal(out[2], 7);
    cpuid_read(d.m, 1, 0x40000005, 0, out);
    assert_int_equal(out[0], 0);
    cpuid_read(d.m, 1, 1, 55, out);
    assert_int_equal(out[1] >> 24, 2);
    assert_false(out[2] & 1u << 27);
    v->m->vcpu[1].ev->s.cr4 = 1u << 18;
    cpuid_read(d.m, 1, 1, 0, out);
    assert_true(out[2] & 1u << 27);
    cpuid_read(d.m, 1, 0xb, 1, out);
    assert_int_equal(out[0], 2);
    assert_int_equal(out[1], 2);
    assert_int_equal(out[2], 0x201);
    assert_int_equal(out[3], 2);
    cpuid_read(d.m, 0, 0xd, 1, out);
    assert_int_equal(out[0], 5);
    cpuid_read(d.m, 0, 0xd, 9, out);
    assert_int_equal(out[0], 0);
    cpuid_read(d.m, 0, 0xe, 0, out);
    assert_int_equal(out[0] | out[1] | out[2] | out[3], 0);
    cpuid_read(d.m, 0, 0xffffffff, 0, out);
    assert_int_equal(out[0], 0);
}

static void test_msrs(void **state)
{
    uint64_t value;

    assert_int_equal(msr_read(d.m, 0, 0xfe, &value), ENGINE_CONTINUE);
    assert_int_equal(value, 0x508);
    assert_int_equal(msr_read(d.m, 0, 0x2ff, &value), ENGINE_CONTINUE);
    assert_int_equal(value, 0x806);
    assert_int_equal(msr_write(d.m, 0, 0x201, 0xff000800), ENGINE_CONTINUE);
    assert_int_equal(msr_read(d.m, 0, 0x201, &value), ENGINE_CONTINUE);
    assert_int_equal(value, 0xff000800);
    assert_int_equal(msr_write(d.m, 0, 0x200, 0x123), ENGINE_FAULT_GP);
    assert_int_equal(msr_write(d.m, 0, 0xfe, 0), ENGINE_CONTINUE);
    assert_int_equal(msr_write(d.m, 0, 0xfe, 1), ENGINE_FAULT_GP);
    assert_int_equal(msr_read(d.m, 0, 0x12345, &value), ENGINE_FAULT_GP);
    assert_int_equal(msr_write(d.m, 0, 0x12345, 0), ENGINE_FAULT_GP);
    assert_int_equal(msr_read(d.m, 0, 0xc0011029, &value), ENGINE_FAULT_GP);   /* AMD's */
    d.m->amd = true;
    assert_int_equal(msr_read(d.m, 0, 0xc0011029, &value), ENGINE_CONTINUE);
    assert_int_equal(msr_read(d.m, 0, 0x1a0, &value), ENGINE_FAULT_GP);        /* Intel's */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_follows_host), T(test_never_back), T(test_catches_up),
        T(test_wallclock),    T(test_cpuid),      T(test_msrs), T(test_arch_caps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
