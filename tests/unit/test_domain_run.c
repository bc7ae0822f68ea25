/* SPDX-License-Identifier: MIT */
/*
 * The threads of a domain process: run, wait, be woken, stop, and what happens when either side of
 * the line to the core dies. The machine runs in a child process; the test is its core.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <xen/hvm/params.h>
#include <xen/sched.h>

#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/control.h"
#include "hypervisor/domain/vcpu.h"
#include "tests/unit/fake_engine.h"

#define TIMEOUT_MS 5000

/* What child and test both see. */
struct shared {
    _Atomic int runs[2], wakes, halts;
    _Atomic uint64_t slept_ns;
    struct hvm_hw_cpu saved;
};

static struct shared *shared;
static struct fake_domain d;
static pid_t child;
static struct kl_state *area;

static int64_t call(struct engine_vcpu *ev, uint64_t op, uint64_t a1, uint64_t a2, uint64_t a3)
{
    uint64_t gpr[16] = {
        [ENGINE_RAX] = op, [ENGINE_RDI] = a1, [ENGINE_RSI] = a2, [ENGINE_RDX] = a3
    };

    hypercall(ev->e->env.opaque, ev->id, gpr);
    return (int64_t)gpr[ENGINE_RAX];
}

/* "Guest code". */

static enum engine_exit script_spin(struct engine_vcpu *ev)
{
    shared->runs[ev->id]++;
    usleep(100);
    return ENGINE_EXIT_KICK;
}

static enum engine_exit script_halt(struct engine_vcpu *ev)
{
    shared->runs[ev->id]++;
    if (ev->nr_injected) {
        ev->nr_injected = 0;
        shared->wakes++;
        ((struct machine *)ev->e->env.opaque)->shared->vcpu_info[0].evtchn_upcall_pending = 0;
    }
    shared->halts++;
    return ENGINE_EXIT_HLT;
}

/* Sets a timer 20 ms ahead through set_timer_op, halts, and notes how long that took. */
static enum engine_exit script_timer(struct engine_vcpu *ev)
{
    static uint64_t start;
    struct machine *m = ev->e->env.opaque;

    if (ev->nr_injected) {
        shared->slept_ns = host_now() - start;
        ev->nr_injected = 0;
        m->shared->vcpu_info[0].evtchn_upcall_pending = 0;
    } else if (!start) {
        start = host_now();
        call(ev, __HYPERVISOR_set_timer_op, start + m->state->system_time_offset + 20000000, 0, 0);
    }
    return ENGINE_EXIT_HLT;
}

static enum engine_exit script_shutdown(struct engine_vcpu *ev)
{
    call(ev, __HYPERVISOR_sched_op, SCHEDOP_shutdown, 0, 0);
    return ENGINE_EXIT_KICK;
}

static enum engine_exit script_triple_fault(struct engine_vcpu *ev)
{
    return ENGINE_EXIT_SHUTDOWN;
}

static enum engine_exit script_halt_off(struct engine_vcpu *ev)
{
    ev->irqs_off = true;
    return ENGINE_EXIT_HLT;
}

static void start(enum engine_exit (*script)(struct engine_vcpu *), unsigned vcpus)
{
    fake_domain_start(&d, vcpus);
    munmap(d.m->state, sizeof(*d.m->state));
    d.m->state = area =
        mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < vcpus; i++) {
        d.m->vcpu[i].st = &area->vcpu[i];
        d.m->vcpu[i].ev->script = script;
        area->vcpu[i].load = KL_LOAD_CPU;
        area->vcpu[i].cpu.rip = 0x1000 + i;
        area->vcpu[i].cpu.rflags = 2;
    }
    child = fork();
    assert_true(child >= 0);
    if (!child) {
        close(d.core_control);
        for (unsigned i = 0; i < vcpus; i++) {
            close(d.core_sock[i]);
        }
        if (vcpus_start(d.m) < 0) {
            _exit(99);
        }
        control_loop(d.m);
        _exit(42);
    }
    close(d.m->control);
    d.m->control = -1;
}

static void finish(int signal)
{
    int status;

    if (signal) {
        kill(child, signal);
    }
    shutdown(d.core_control, SHUT_RDWR);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!signal) {
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 42);
    }
    munmap(shared, 4096);
    fake_domain_stop(&d);
}

static void tell(uint32_t op)
{
    struct kl_hdr h = { op, sizeof(h) };

    assert_int_equal(send(d.core_control, &h, sizeof(h), 0), sizeof(h));
}

/* The next message from the child on a socket; 0 on silence. */
static uint32_t hear(int sock, void *buf, size_t len)
{
    struct pollfd p = { sock, POLLIN, 0 };
    struct kl_hdr *h = buf;

    if (poll(&p, 1, TIMEOUT_MS) != 1 || recv(sock, buf, len, 0) < (ssize_t)sizeof(*h)) {
        return 0;
    }
    return h->op;
}

static bool until(_Atomic int *value, int at_least)
{
    for (int i = 0; i < TIMEOUT_MS && *value < at_least; i++) {
        usleep(1000);
    }
    return *value >= at_least;
}

static void test_run_and_stop(void **state)
{
    char buf[256];
    int at;

    start(script_spin, 2);
    for (int i = 0; i < 20; i++) {
        tell(KL_RUN);
        assert_true(until(&shared->runs[0], i + 1) && until(&shared->runs[1], i + 1));
        tell(KL_STOP);
        assert_int_equal(hear(d.core_control, buf, sizeof(buf)), KL_STOPPED);
        at = shared->runs[0];
        usleep(2000);
        assert_int_equal(shared->runs[0], at);
    }
    assert_int_equal(area->vcpu[1].cpu.rip, 0x1001);
    assert_int_equal(area->vcpu[1].load, 0);
    assert_true(area->vcpu[0].tid > 0);
    /* Stopping what is stopped is answered too. */
    tell(KL_STOP);
    assert_int_equal(hear(d.core_control, buf, sizeof(buf)), KL_STOPPED);
    finish(0);
}

static void set_param(uint32_t index, uint64_t value)
{
    struct kl_param p = { .h = { KL_PARAM, sizeof(p) }, .index = index, .value = value };

    assert_int_equal(send(d.core_control, &p, sizeof(p), 0), sizeof(p));
}

static void set_port(uint32_t port, uint32_t kind, uint32_t virq)
{
    static uint32_t seq = 1;
    struct kl_port p = {
        .h = { KL_PORT, sizeof(p) }, .port = port, .kind = kind, .virq = virq, .seq = seq++
    };

    assert_int_equal(send(d.core_control, &p, sizeof(p), 0), sizeof(p));
}

static void test_halt_and_wake(void **state)
{
    struct kl_virq virq = { .h = { KL_VIRQ, sizeof(virq) }, .virq = VIRQ_DEBUG };
    char buf[256];

    start(script_halt, 1);
    set_param(HVM_PARAM_CALLBACK_IRQ, 2ull << 56 | 0xf3);
    set_port(3, KL_PORT_VIRQ, VIRQ_DEBUG);
    tell(KL_RUN);
    assert_true(until(&shared->halts, 1));
    usleep(5000);
    assert_int_equal(area->vcpu[0].run, KL_RS_BLOCKED);
    for (int i = 1; i <= 50; i++) {
        d.m->shared->evtchn_pending[0] = 0;
        d.m->shared->vcpu_info[0].evtchn_pending_sel = 0;
        send(d.core_control, &virq, sizeof(virq), 0);
        assert_true(until(&shared->wakes, i));
    }
    tell(KL_STOP);
    assert_int_equal(hear(d.core_control, buf, sizeof(buf)), KL_STOPPED);
    assert_true(area->vcpu[0].time[RUNSTATE_blocked] > 1000000);
    finish(0);
}

static void test_timer(void **state)
{
    start(script_timer, 1);
    set_param(HVM_PARAM_CALLBACK_IRQ, 2ull << 56 | 0xf3);
    set_port(3, KL_PORT_VIRQ, VIRQ_TIMER);
    tell(KL_RUN);
    for (int i = 0; i < TIMEOUT_MS && !shared->slept_ns; i++) {
        usleep(1000);
    }
    assert_in_range(shared->slept_ns, 20000000, 2000000000);
    finish(0);
}

static void test_shutdown_by_guest(void **state)
{
    struct kl_ret ret = { .h = { KL_RET, sizeof(ret) }, .flags = KL_RET_STOP };
    union { struct kl_hypercall call; char bytes[512]; } buf;

    start(script_shutdown, 1);
    tell(KL_RUN);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hear(d.core_sock[0], &buf, sizeof(buf)), KL_HYPERCALL);
        assert_int_equal(buf.call.op, __HYPERVISOR_sched_op);
        assert_int_equal(send(d.core_sock[0], &ret, sizeof(ret), 0), sizeof(ret));
        tell(KL_STOP);
        assert_int_equal(hear(d.core_control, &buf, sizeof(buf)), KL_STOPPED);
        tell(KL_RUN);
    }
    finish(SIGKILL);
}

static void test_triple_fault(void **state)
{
    union { struct kl_shutdown s; char bytes[512]; } buf;

    start(script_triple_fault, 1);
    tell(KL_RUN);
    assert_int_equal(hear(d.core_control, &buf, sizeof(buf)), KL_SHUTDOWN);
    assert_int_equal(buf.s.reason, SHUTDOWN_reboot);
    assert_non_null(strstr(buf.s.text, "triple fault"));
    tell(KL_STOP);
    assert_int_equal(hear(d.core_control, &buf, sizeof(buf)), KL_STOPPED);
    finish(0);
}

static void test_last_vcpu_down(void **state)
{
    union { struct kl_shutdown s; char bytes[512]; } buf;

    start(script_halt_off, 2);
    tell(KL_RUN);
    assert_int_equal(hear(d.core_control, &buf, sizeof(buf)), KL_SHUTDOWN);
    assert_int_equal(buf.s.reason, SHUTDOWN_poweroff);
    finish(0);
}

static void test_bad_context(void **state)
{
    union { struct kl_shutdown s; char bytes[512]; } buf;

    start(script_spin, 1);
    area->vcpu[0].cpu.cr0 = 0x80000000;
    tell(KL_RUN);
    assert_int_equal(hear(d.core_control, &buf, sizeof(buf)), KL_SHUTDOWN);
    assert_int_equal(buf.s.reason, SHUTDOWN_crash);
    assert_int_equal(shared->runs[0], 0);
    finish(0);
}

static void test_killed(void **state)
{
    struct pollfd p;
    char c;

    start(script_spin, 2);
    tell(KL_RUN);
    assert_true(until(&shared->runs[0], 3));
    kill(child, SIGKILL);
    p = (struct pollfd){ d.core_control, POLLIN, 0 };
    assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
    assert_true(recv(d.core_control, &c, 1, 0) <= 0);
    finish(SIGKILL);
}

/* A vCPU in the middle of a hypercall when the core dies. */
static void test_core_dies(void **state)
{
    char buf[512];
    int status;

    start(script_shutdown, 1);
    close(d.m->vcpu[0].sock);
    d.m->vcpu[0].sock = -1;
    tell(KL_RUN);
    assert_int_equal(hear(d.core_sock[0], buf, sizeof(buf)), KL_HYPERCALL);
    shutdown(d.core_sock[0], SHUT_RDWR);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    munmap(shared, 4096);
    fake_domain_stop(&d);
}

static void test_nonsense_from_core(void **state)
{
    static const uint32_t ops[] = { 0,        KL_SETUP,   KL_MAP,  KL_UNMAP, KL_PORT, KL_PARAM,
                                    KL_CPUID, KL_TRIGGER, KL_VIRQ, KL_VCPU,  KL_RET,  12345 };

    for (unsigned i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
        struct {
            struct kl_hdr h;
            uint32_t body[2];
        } bad = { { ops[i], sizeof(bad) }, { 0x7fffffff, 9 } };

        start(script_spin, 1);
        send(d.core_control, &bad, sizeof(bad), 0);
        finish(0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_and_stop), cmocka_unit_test(test_halt_and_wake),
        cmocka_unit_test(test_timer), cmocka_unit_test(test_shutdown_by_guest),
        cmocka_unit_test(test_triple_fault), cmocka_unit_test(test_last_vcpu_down),
        cmocka_unit_test(test_bad_context), cmocka_unit_test(test_killed),
        cmocka_unit_test(test_core_dies), cmocka_unit_test(test_nonsense_from_core),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
