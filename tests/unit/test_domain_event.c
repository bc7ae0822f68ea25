/* SPDX-License-Identifier: MIT */
/* Event delivery as the guest sees it: bits, queues and upcalls, and what bad guest words do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "hypervisor/domain/event.h"
#include "hypervisor/domain/memory.h"
#include "tests/unit/fake_engine.h"

#define CONTROL_GFN 10u
#define ARRAY_GFN   20u
#define PENDING     (1u << EVTCHN_FIFO_PENDING)
#define MASKED      (1u << EVTCHN_FIFO_MASKED)
#define LINKED      (1u << EVTCHN_FIFO_LINKED)
#define BUSY        (1u << EVTCHN_FIFO_BUSY)

static struct fake_domain d;

static int setup(void **state)
{
    fake_domain_start(&d, 2);
    fake_be(&d, 0);
    return 0;
}

static int teardown(void **state)
{
    fake_domain_stop(&d);
    return 0;
}

static struct vcpu_info *info(unsigned vcpu)
{
    return &d.m->shared->vcpu_info[vcpu];
}

static void test_2level_ipi(void **state)
{
    fake_port(&d, 5, KL_PORT_IPI, 1, 0);
    assert_int_equal(event_send(d.m, 5), 0);
    assert_int_equal(d.m->shared->evtchn_pending[0], 1u << 5);
    assert_int_equal(info(1)->evtchn_pending_sel, 1);
    assert_int_equal(info(1)->evtchn_upcall_pending, 1);
    assert_int_equal(info(0)->evtchn_upcall_pending, 0);
    assert_true(event_is_pending(d.m, 5));
}

static void test_2level_masked_then_unmasked(void **state)
{
    fake_port(&d, 70, KL_PORT_IPI, 0, 0);
    d.m->shared->evtchn_mask[1] = ~0ul;
    event_send(d.m, 70);
    assert_int_equal(d.m->shared->evtchn_pending[1], 1u << 6);
    assert_int_equal(info(0)->evtchn_upcall_pending, 0);
    assert_int_equal(event_unmask(d.m, 70), 0);
    assert_int_equal(d.m->shared->evtchn_mask[1], ~(1ul << 6));
    assert_int_equal(info(0)->evtchn_pending_sel, 2);
    assert_int_equal(info(0)->evtchn_upcall_pending, 1);
}

static void test_2level_narrow_layout(void **state)
{
    uint32_t *pending = (uint32_t *)(void *)(d.m->xen_pages + 2048);
    uint32_t *sel = (uint32_t *)(void *)((char *)info(0) + 4);

    d.m->narrow = 1;
    fake_port(&d, 40, KL_PORT_IPI, 0, 0);
    event_send(d.m, 40);
    assert_int_equal(pending[1], 1u << 8);
    assert_int_equal(*sel, 2);
    /* The 32-bit layout ends at 1024 ports. */
    fake_port(&d, 2000, KL_PORT_IPI, 0, 0);
    assert_int_equal(event_send(d.m, 2000), 0);
    assert_false(event_is_pending(d.m, 2000));
}

static void test_send_errors(void **state)
{
    fake_port(&d, 3, KL_PORT_VIRQ, 0, VIRQ_TIMER);
    fake_port(&d, 4, KL_PORT_UNBOUND, 0, 0);
    assert_int_equal(event_send(d.m, 0), -EINVAL);
    assert_int_equal(event_send(d.m, 1), -EINVAL);
    assert_int_equal(event_send(d.m, 3), -EINVAL);
    assert_int_equal(event_send(d.m, 4), 0);
    assert_int_equal(event_send(d.m, 0xffffffff), -EINVAL);
    assert_int_equal(event_unmask(d.m, 0x20000), -EINVAL);
    assert_int_equal(event_unmask(d.m, 100000), -EINVAL);
}

static void test_interdomain(void **state)
{
    struct kl_port msg = { .port = 9, .kind = KL_PORT_INTERDOMAIN, .seq = 1000 };
    int in = eventfd(0, EFD_NONBLOCK), out = eventfd(0, EFD_NONBLOCK);
    uint64_t n = 1;

    assert_int_equal(event_port_update(d.m, &msg, dup(in), dup(out)), 0);
    assert_int_equal(event_send(d.m, 9), 0);
    assert_int_equal(event_send(d.m, 9), 0);
    assert_int_equal(read(out, &n, 8), 8);
    assert_int_equal(n, 2);
    assert_false(event_is_pending(d.m, 9));
    n = 1;
    assert_int_equal(write(in, &n, 8), 8);
    event_take(&d.m->vcpu[0]);
    assert_true(event_is_pending(d.m, 9));
    /* A late message changes nothing; a newer one closes, and takes the pending bit along. */
    msg.kind = KL_PORT_CLOSED;
    msg.seq = 999;
    assert_int_equal(event_port_update(d.m, &msg, -1, -1), 0);
    assert_int_equal(event_send(d.m, 9), 0);
    msg.seq = 1001;
    assert_int_equal(event_port_update(d.m, &msg, -1, -1), 0);
    assert_int_equal(event_send(d.m, 9), -EINVAL);
    assert_false(event_is_pending(d.m, 9));
    event_take(&d.m->vcpu[0]);
    assert_false(event_is_pending(d.m, 9));
    close(in);
    close(out);
}

static bool main_thread_hears(void)
{
    struct epoll_event e;

    return epoll_wait(d.m->epoll, &e, 1, 0) == 1;
}

/* A vCPU that sleeps takes its ports' events itself, of those that it has been bound to. */
static void test_who_hears(void **state)
{
    struct kl_port msg = { .port = 11, .kind = KL_PORT_INTERDOMAIN, .seq = 1 };
    int in = eventfd(0, EFD_NONBLOCK);
    struct vcpu *v = fake_be(&d, 1);
    const uint64_t one = 1;
    uint64_t start;

    assert_int_equal(event_port_update(d.m, &msg, dup(in), -1), 0);
    msg.vcpu = 1;
    msg.seq++;
    assert_int_equal(event_port_update(d.m, &msg, -1, -1), 0);
    assert_int_equal(write(in, &one, 8), 8);
    assert_true(main_thread_hears());
    event_hear(v, true);
    assert_false(main_thread_hears());
    event_take(&d.m->vcpu[0]);
    assert_false(event_is_pending(d.m, 11));
    event_wait(v, NO_TIMER);
    assert_true(event_is_pending(d.m, 11));

    /* A kick ends the wait once; a deadline does without either, though it may take two waits. */
    assert_int_equal(write(v->kick_fd, &one, 8), 8);
    event_wait(v, NO_TIMER);
    start = host_now();
    while (host_now() < start + 5000000) {
        event_wait(v, start + 5000000);
    }
    assert_int_equal(event_port_update(d.m, &msg, -1, -1), 0);

    /* What comes while nobody looks is told to the main thread as it takes over. */
    assert_int_equal(write(in, &one, 8), 8);
    event_hear(v, false);
    assert_true(main_thread_hears());
    event_take(v);
    assert_false(main_thread_hears());
    msg.kind = KL_PORT_CLOSED;
    msg.seq++;
    assert_int_equal(event_port_update(d.m, &msg, -1, -1), 0);
    assert_int_equal(write(in, &one, 8), 8);
    assert_false(main_thread_hears());
    close(in);
}

static void test_bad_port_messages(void **state)
{
    struct kl_port msg = { .port = 0, .kind = KL_PORT_IPI, .seq = 5000 };

    assert_int_equal(event_port_update(d.m, &msg, -1, -1), -1);
    msg.port = EVTCHN_FIFO_NR_CHANNELS;
    assert_int_equal(event_port_update(d.m, &msg, -1, -1), -1);
    msg.port = 1;
    msg.vcpu = 2;
    assert_int_equal(event_port_update(d.m, &msg, -1, -1), -1);
    msg.vcpu = 0;
    msg.kind = 99;
    assert_int_equal(event_port_update(d.m, &msg, -1, -1), -1);
}

static void test_virq(void **state)
{
    fake_port(&d, 6, KL_PORT_VIRQ, 1, VIRQ_TIMER);
    event_virq(&d.m->vcpu[0], VIRQ_TIMER);
    assert_false(event_is_pending(d.m, 6));
    event_virq(&d.m->vcpu[1], VIRQ_TIMER);
    assert_true(event_is_pending(d.m, 6));
    event_virq(&d.m->vcpu[1], 4000);
    fake_port(&d, 6, KL_PORT_CLOSED, 1, 0);
    assert_false(event_is_pending(d.m, 6));
    event_virq(&d.m->vcpu[1], VIRQ_TIMER);
    assert_false(event_is_pending(d.m, 6));
}

static void test_register_vcpu_info(void **state)
{
    struct vcpu_info *moved = fake_ram(&d, 0x5040);

    fake_port(&d, 5, KL_PORT_IPI, 0, 0);
    assert_int_equal(event_register_vcpu_info(current, 60ull << 20), -EINVAL);
    assert_int_equal(event_register_vcpu_info(current, 0x5041), -ENXIO);
    assert_int_equal(event_register_vcpu_info(&d.m->vcpu[1], 0x6000), 0);
    assert_int_equal(event_register_vcpu_info(current, 0x5040), 0);
    assert_int_equal(event_register_vcpu_info(current, 0x5040), -EINVAL);
    /* Nothing that came before may be lost. */
    assert_int_equal(moved->evtchn_upcall_pending, 1);
    assert_int_equal(moved->evtchn_pending_sel, ~0ul);
    moved->evtchn_upcall_pending = 0;
    moved->evtchn_pending_sel = 0;
    event_send(d.m, 5);
    assert_int_equal(moved->evtchn_pending_sel, 1);
    assert_int_equal(moved->evtchn_upcall_pending, 1);
}

/* FIFO. */

static uint32_t *word(uint32_t port)
{
    return (uint32_t *)fake_ram(&d, ARRAY_GFN * PAGE_SIZE) + port;
}

static struct evtchn_fifo_control_block *control(unsigned vcpu)
{
    return fake_ram(&d, (CONTROL_GFN + vcpu) * PAGE_SIZE);
}

static void fifo_on(void)
{
    struct evtchn_expand_array array = { .array_gfn = ARRAY_GFN };

    for (unsigned v = 0; v < 2; v++) {
        struct evtchn_init_control c = { .control_gfn = CONTROL_GFN + v, .vcpu = v };

        assert_int_equal(event_init_control(d.m, &c), 0);
        assert_int_equal(c.link_bits, 17);
    }
    assert_int_equal(event_expand_array(d.m, &array), 0);
}

static void test_fifo_setup_errors(void **state)
{
    struct evtchn_init_control c = { .control_gfn = CONTROL_GFN };
    struct evtchn_expand_array array = { .array_gfn = ARRAY_GFN };
    struct evtchn_set_priority prio = { .port = 1, .priority = 3 };

    assert_int_equal(event_expand_array(d.m, &array), -EOPNOTSUPP);
    assert_int_equal(event_set_priority(d.m, &prio), -ENOSYS);
    c.vcpu = 2;
    assert_int_equal(event_init_control(d.m, &c), -ENOENT);
    c.vcpu = 0;
    c.offset = 4;
    assert_int_equal(event_init_control(d.m, &c), -EINVAL);
    c.offset = 4096 - 64;
    assert_int_equal(event_init_control(d.m, &c), -EINVAL);
    c.offset = 0;
    c.control_gfn = UINT64_MAX;
    assert_int_equal(event_init_control(d.m, &c), -EINVAL);
    c.control_gfn = FAKE_RAM_PAGES;
    assert_int_equal(event_init_control(d.m, &c), -EINVAL);
    fifo_on();
    c.control_gfn = CONTROL_GFN;
    assert_int_equal(event_init_control(d.m, &c), -EINVAL);
    array.array_gfn = UINT64_MAX >> 3;
    assert_int_equal(event_expand_array(d.m, &array), -EINVAL);
    array.array_gfn = ARRAY_GFN;
    for (int i = 1; i < FIFO_MAX_PAGES; i++) {
        assert_int_equal(event_expand_array(d.m, &array), 0);
    }
    assert_int_equal(event_expand_array(d.m, &array), -ENOSPC);
    fake_port(&d, 1, KL_PORT_IPI, 0, 0);
    assert_int_equal(event_set_priority(d.m, &prio), 0);
    prio.priority = 16;
    assert_int_equal(event_set_priority(d.m, &prio), -EINVAL);
    prio = (struct evtchn_set_priority){ .port = 0x7fffffff };
    assert_int_equal(event_set_priority(d.m, &prio), -EINVAL);
}

static void test_fifo_order(void **state)
{
    fifo_on();
    for (uint32_t p = 10; p < 13; p++) {
        fake_port(&d, p, KL_PORT_IPI, 0, 0);
        event_send(d.m, p);
    }
    assert_int_equal(control(0)->ready, 1u << 7);
    assert_int_equal(control(0)->head[7], 10);
    assert_int_equal(*word(10), PENDING | LINKED | 11);
    assert_int_equal(*word(11), PENDING | LINKED | 12);
    assert_int_equal(*word(12), PENDING | LINKED);
    assert_int_equal(info(0)->evtchn_upcall_pending, 1);
    /* The guest takes the first two; a new event is linked after what is left. */
    *word(10) = 0;
    *word(11) = 0;
    control(0)->head[7] = 12;
    event_send(d.m, 10);
    assert_int_equal(*word(12), PENDING | LINKED | 10);
    assert_int_equal(*word(10), PENDING | LINKED);
    /* The guest has taken all: the queue starts anew. */
    *word(12) = *word(10) = 0;
    control(0)->ready = 0;
    control(0)->head[7] = 0;
    info(0)->evtchn_upcall_pending = 0;
    event_send(d.m, 11);
    assert_int_equal(control(0)->head[7], 11);
    assert_int_equal(control(0)->ready, 1u << 7);
    assert_int_equal(info(0)->evtchn_upcall_pending, 1);
}

static void test_fifo_mask_and_priority(void **state)
{
    struct evtchn_set_priority prio = { .port = 10, .priority = 2 };

    fifo_on();
    fake_port(&d, 10, KL_PORT_IPI, 1, 0);
    *word(10) = MASKED;
    event_send(d.m, 10);
    assert_int_equal(*word(10), MASKED | PENDING);
    assert_int_equal(control(1)->ready, 0);
    assert_int_equal(event_set_priority(d.m, &prio), 0);
    assert_int_equal(event_unmask(d.m, 10), 0);
    assert_int_equal(*word(10), LINKED | PENDING);
    assert_int_equal(control(1)->ready, 1u << 2);
    assert_int_equal(control(1)->head[2], 10);
    assert_int_equal(info(1)->evtchn_upcall_pending, 1);
    fake_port(&d, 10, KL_PORT_CLOSED, 1, 0);
    assert_false(event_is_pending(d.m, 10));
}

static void test_fifo_moves_vcpu(void **state)
{
    fifo_on();
    fake_port(&d, 10, KL_PORT_IPI, 0, 0);
    event_send(d.m, 10);
    *word(10) = 0;
    control(0)->head[7] = 0;
    fake_port(&d, 10, KL_PORT_IPI, 1, 0);
    event_send(d.m, 10);
    assert_int_equal(control(1)->head[7], 10);
    /* Port 10 was the tail of vCPU 0's queue: the next one there must not be linked behind it. */
    fake_port(&d, 11, KL_PORT_IPI, 0, 0);
    event_send(d.m, 11);
    assert_int_equal(control(0)->head[7], 11);
    assert_int_equal(*word(10), PENDING | LINKED);
}

static void test_fifo_carries_over(void **state)
{
    struct evtchn_expand_array array = { .array_gfn = ARRAY_GFN };
    struct evtchn_init_control c = { .control_gfn = CONTROL_GFN };

    fake_port(&d, 10, KL_PORT_IPI, 0, 0);
    event_send(d.m, 10);
    assert_int_equal(event_init_control(d.m, &c), 0);
    fake_port(&d, 11, KL_PORT_IPI, 0, 0);
    event_send(d.m, 11);
    assert_int_equal(event_expand_array(d.m, &array), 0);
    assert_true(*word(10) & PENDING);
    assert_true(*word(11) & PENDING);
    assert_int_equal(control(0)->head[7], 10);
}

static void test_fifo_garbage_words(void **state)
{
    fifo_on();
    for (uint32_t p = 1; p < 40; p++) {
        fake_port(&d, p, KL_PORT_IPI, p & 1, 0);
    }
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t p = 1 + round % 39;

        *word(p) = round * 2654435761u;
        *word(1 + round * 7 % 39) |= BUSY | LINKED;
        control(round & 1)->head[round % 16] = round * 40503u;
        control(round & 1)->ready = round * 97;
        event_send(d.m, p);
        event_unmask(d.m, 1 + round * 5 % 39);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_2level_ipi), T(test_2level_masked_then_unmasked), T(test_2level_narrow_layout),
        T(test_send_errors), T(test_interdomain), T(test_who_hears), T(test_bad_port_messages), T(test_virq),
        T(test_register_vcpu_info), T(test_fifo_setup_errors), T(test_fifo_order),
        T(test_fifo_mask_and_priority), T(test_fifo_moves_vcpu), T(test_fifo_carries_over),
        T(test_fifo_garbage_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
