/* SPDX-License-Identifier: MIT */
/* Hypercalls: conventions, what is answered here, what the core is asked, and bad arguments. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/sched.h>

#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/control.h"
#include "hypervisor/domain/event.h"
#include "hypervisor/domain/time.h"
#include "tests/unit/fake_engine.h"

static struct fake_domain d;
static struct vcpu *v;

static int setup(void **state)
{
    fake_domain_start(&d, 2);
    v = fake_be(&d, 0);
    return 0;
}

static int teardown(void **state)
{
    fake_domain_stop(&d);
    return 0;
}

/* A core that answers one hypercall: remembers it, sends the updates given, then the result. */
struct answer {
    int sock;
    struct kl_hypercall seen;
    const void *update[2];
    int64_t ret;
    uint32_t flags;
};

static void *core_thread(void *arg)
{
    struct answer *a = arg;
    struct kl_ret ret = { .h = { KL_RET, sizeof(ret) }, .ret = a->ret, .flags = a->flags };

    if (recv(a->sock, &a->seen, sizeof(a->seen), 0) != sizeof(a->seen)) {
        return NULL;
    }
    for (int i = 0; i < 2 && a->update[i]; i++) {
        send(a->sock, a->update[i], ((const struct kl_hdr *)a->update[i])->len, 0);
    }
    send(a->sock, &ret, sizeof(ret), 0);
    return NULL;
}

static int64_t with_core(struct answer *a, uint64_t op, uint64_t a1, uint64_t a2, uint64_t a3,
                         uint64_t a4)
{
    pthread_t t;
    int64_t rc;

    a->sock = d.core_sock[0];
    pthread_create(&t, NULL, core_thread, a);
    rc = fake_hypercall(v, op, a1, a2, a3, a4);
    pthread_join(t, NULL);
    return rc;
}

static void test_forwarded_with_updates(void **state)
{
    /* A kl_map with one run. */
    struct {
        struct kl_hdr h;
        uint32_t nr, reserved;
        struct kl_run_map run;
    } map = { { KL_MAP, sizeof(map) }, 1, 0, { 5000, 2, 3, KL_MEM_RAM, ENGINE_GFN_RAM } };
    struct kl_port port = {
        .h = { KL_PORT, sizeof(port) }, .port = 8, .kind = KL_PORT_IPI, .seq = 1u << 30
    };
    struct answer a = { .update = { &map, &port }, .ret = -ENOMEM };

    v->ev->s.cr3 = 0x1234000;
    assert_int_equal(with_core(&a, __HYPERVISOR_memory_op, 1, ~0ull, 3, 4), -ENOMEM);
    assert_int_equal(a.seen.op, __HYPERVISOR_memory_op);
    assert_int_equal(a.seen.arg[1], ~0ull);
    assert_int_equal(a.seen.arg[3], 4);
    assert_int_equal(a.seen.cr3, 0x1234000);
    assert_int_equal(a.seen.compat, 0);
    assert_int_equal(d.m->gfn_type[5001], ENGINE_GFN_RAM);
    memset(fake_ram(&d, 3 * 4096), 0x5a, 1);
    assert_int_equal(*(uint8_t *)fake_ram(&d, 5000 * 4096ull), 0x5a);
    assert_int_equal(event_send(d.m, 8), 0);
}

static void test_32bit_convention(void **state)
{
    struct answer a = { .ret = -1 };

    v->ev->mode = 32;
    assert_int_equal(with_core(&a, 0xffffffff00000011ull, ~0ull, 1ull << 40, 7, 8), -1);
    assert_int_equal(a.seen.op, 0x11);
    assert_int_equal(a.seen.arg[0], 0xffffffff);
    assert_int_equal(a.seen.arg[1], 0);
    assert_int_equal(a.seen.compat, 1);
}

static void test_privilege_and_stop(void **state)
{
    struct answer a = { .flags = KL_RET_STOP };

    v->ev->cpl = 3;
    assert_int_equal(fake_hypercall(v, __HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0), -EPERM);
    v->ev->cpl = 0;
    assert_int_equal(with_core(&a, __HYPERVISOR_sched_op, SCHEDOP_shutdown, 0, 0, 0), 0);
    assert_true(v->hold);
}

static void test_page(void **state)
{
    uint8_t page[4096];

    hypercall_page_fill(d.m, page);
    assert_memory_equal(page + 32 * 29, "\xb8\x1d\x00\x00\x00\x0f\x01\xc1\xc3", 9);
    assert_memory_equal(page + 32 * __HYPERVISOR_iret, "\x0f\x0b", 2);
    assert_int_equal(msr_write(d.m, 0, 0x40000000, 0x3000), ENGINE_CONTINUE);
    assert_memory_equal(page, fake_ram(&d, 0x3000), 4096);
    assert_int_equal(msr_write(d.m, 0, 0x40000000, 0x3001), ENGINE_FAULT_GP);
    assert_int_equal(msr_write(d.m, 0, 0x40000000, 1ull << 60), ENGINE_FAULT_GP);
    assert_int_equal(msr_write(d.m, 0, 0x40000000, FAKE_GPA_LIMIT - 4096), ENGINE_FAULT_GP);
}

static void test_timers(void **state)
{
    uint64_t now = time_guest(d.m, host_now()), *arg = fake_ram(&d, 0x1000);

    fake_port(&d, 2, KL_PORT_VIRQ, 0, VIRQ_TIMER);
    assert_int_equal(fake_hypercall(v, __HYPERVISOR_set_timer_op, now + 1000000000, 0, 0, 0), 0);
    assert_true(time_next_deadline(v) != NO_TIMER);
    time_run_timers(v, host_now());
    assert_false(event_is_pending(d.m, 2));
    assert_int_equal(fake_hypercall(v, __HYPERVISOR_set_timer_op, 1, 0, 0, 0), 0);
    time_run_timers(v, host_now());
    assert_true(event_is_pending(d.m, 2));
    arg[0] = 1;
    arg[1] = VCPU_SSHOTTMR_future;
    assert_int_equal(
        fake_hypercall(v, __HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, 0x1000, 0), -ETIME);
    assert_int_equal(
        fake_hypercall(v, __HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 1, 0x1000, 0),
        -EINVAL);
    arg[0] = 999999;
    assert_int_equal(
        fake_hypercall(v, __HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 0, 0x1000, 0), -EINVAL);
    arg[0] = 2000000;
    assert_int_equal(
        fake_hypercall(v, __HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 0, 0x1000, 0), 0);
    time_run_timers(v, host_now());
    assert_true(time_next_deadline(v) <= host_now() + 2000000);
    assert_int_equal(fake_hypercall(v, __HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0, 0),
                     0);
    time_run_timers(v, host_now());
    assert_true(time_next_deadline(v) == NO_TIMER);
}

static void test_vcpu_op(void **state)
{
    struct vcpu_hvm_context *ctx = fake_ram(&d, 0x2000);
    struct vcpu_runstate_info *r = fake_ram(&d, 0x4000);

#define OP(cmd, id, arg) fake_hypercall(v, __HYPERVISOR_vcpu_op, cmd, id, arg, 0)
    assert_int_equal(OP(VCPUOP_is_up, 0, 0), 1);
    assert_int_equal(OP(VCPUOP_is_up, 1, 0), 0);
    assert_int_equal(OP(VCPUOP_is_up, 2, 0), -ENOENT);
    assert_int_equal(OP(VCPUOP_up, 1, 0), -EINVAL);
    assert_int_equal(OP(VCPUOP_initialise, 1, 1ull << 50), -EFAULT);
    ctx->mode = 9;
    assert_int_equal(OP(VCPUOP_initialise, 1, 0x2000), -EINVAL);
    ctx->mode = VCPU_HVM_MODE_64B;
    assert_int_equal(OP(VCPUOP_initialise, 1, 0x2000), -EINVAL);
    ctx->cpu_regs.x86_64.cr0 = 0x80000001;
    ctx->cpu_regs.x86_64.cr4 = 0x20;
    ctx->cpu_regs.x86_64.efer = 0x100;
    ctx->cpu_regs.x86_64.rip = 0x123456;
    assert_int_equal(OP(VCPUOP_initialise, 1, 0x2000), 0);
    assert_int_equal(OP(VCPUOP_initialise, 1, 0x2000), -EEXIST);
    assert_int_equal(d.m->vcpu[1].ev->s.rip, 0x123456);
    assert_int_equal(d.m->vcpu[1].ev->s.efer, 0x500);
    assert_int_equal(OP(VCPUOP_up, 1, 0), 0);
    assert_int_equal(OP(VCPUOP_is_up, 1, 0), 1);
    assert_int_equal(OP(VCPUOP_down, 1, 0), 0);
    assert_int_equal(OP(VCPUOP_get_runstate_info, 0, 0x4000), 0);
    assert_true(r->state <= RUNSTATE_offline);
    assert_int_equal(OP(VCPUOP_get_runstate_info, 0, 0x3fffffff), -EFAULT);
    assert_int_equal(OP(VCPUOP_send_nmi, 1, 0), 0);
    assert_true(d.m->vcpu[1].requests & VCPU_REQ_NMI);
    assert_int_equal(OP(99, 0, 0), -ENOSYS);
}

static void test_initialise_32bit(void **state)
{
    struct vcpu_hvm_context *ctx = fake_ram(&d, 0x2000);
    struct vcpu_hvm_x86_32 *r = &ctx->cpu_regs.x86_32;

    ctx->mode = VCPU_HVM_MODE_32B;
    r->cr0 = 1;
    r->eip = 0x100000;
    r->cs_limit = r->ds_limit = r->ss_limit = r->es_limit = ~0u;
    r->cs_ar = 0xc9b;
    r->ds_ar = r->ss_ar = r->es_ar = 0xc93;
    r->tr_limit = 0x67;
    r->tr_ar = 0x8b;
    r->ss_ar = 0xc9b;       /* a stack in a code segment */
    assert_int_equal(OP(VCPUOP_initialise, 1, 0x2000), -EINVAL);
    r->ss_ar = 0xc93;
    r->ds_limit = 0xfffffff0;   /* a limit that page granularity cannot express */
    assert_int_equal(OP(VCPUOP_initialise, 1, 0x2000), -EINVAL);
    r->ds_limit = ~0u;
    assert_int_equal(OP(VCPUOP_initialise, 1, 0x2000), 0);
    assert_int_equal(d.m->vcpu[1].ev->s.seg[ENGINE_CS].attr, 0xc9b);
}

static void test_areas(void **state)
{
    uint64_t *arg = fake_ram(&d, 0x1000);
    struct vcpu_time_info *t = fake_ram(&d, 0x7000);
    struct vcpu_runstate_info *r = fake_ram(&d, 0x8000);

    arg[0] = 0x7000;
    assert_int_equal(OP(VCPUOP_register_vcpu_time_memory_area, 0, 0x1000), 0);
    assert_true(t->version && !(t->version & 1) && t->tsc_to_system_mul);
    arg[0] = 0x8000;
    assert_int_equal(OP(VCPUOP_register_runstate_memory_area, 0, 0x1000), 0);
    assert_int_equal(r->state, RUNSTATE_running);
    assert_true(r->state_entry_time);
    assert_int_equal(fake_hypercall(v, __HYPERVISOR_vm_assist, VMASST_CMD_enable,
                                    VMASST_TYPE_runstate_update_flag, 0, 0), 0);
    assert_int_equal(OP(VCPUOP_register_runstate_memory_area, 0, 0x1000), 0);
    assert_false(r->state_entry_time & XEN_RUNSTATE_UPDATE);
    arg[0] = 0x9000;
    arg[1] = 4096 - 63;
    assert_int_equal(OP(VCPUOP_register_vcpu_info, 0, 0x1000), -EINVAL);
    arg[0] = UINT64_MAX;
    arg[1] = 0;
    assert_int_equal(OP(VCPUOP_register_vcpu_info, 0, 0x1000), -EINVAL);
    arg[0] = 9;
    assert_int_equal(OP(VCPUOP_register_vcpu_info, 0, 0x1000), 0);
    assert_int_equal(((struct vcpu_info *)fake_ram(&d, 0x9000))->evtchn_upcall_pending, 1);
}

static void test_poll(void **state)
{
    struct sched_poll *p = fake_ram(&d, 0x1000);
    uint32_t *ports = fake_ram(&d, 0x2000);

#define POLL() fake_hypercall(v, __HYPERVISOR_sched_op, SCHEDOP_poll, 0x1000, 0, 0)
    fake_port(&d, 4, KL_PORT_IPI, 1, 0);
    ports[0] = 4;
    set_xen_guest_handle_raw(p->ports, (evtchn_port_t *)0x2000);
    p->nr_ports = 129;
    assert_int_equal(POLL(), -EINVAL);
    p->nr_ports = 1;
    assert_int_equal(POLL(), 0);
    assert_int_equal(v->block, VCPU_POLLING);
    assert_int_equal(d.m->pollers, 1);
    v->work = 0;
    event_send(d.m, 4);
    assert_int_equal(v->work, 1);
    v->block = VCPU_AWAKE;
    v->polling = 0;
    d.m->pollers = 0;
    assert_int_equal(POLL(), 0);        /* pending already */
    assert_int_equal(v->block, VCPU_AWAKE);
    assert_int_equal(d.m->pollers, 0);
    ports[0] = 77777;
    assert_int_equal(POLL(), -EINVAL);
    set_xen_guest_handle_raw(p->ports, (evtchn_port_t *)0xffffffffff000ull);
    assert_int_equal(POLL(), -EFAULT);
}

static void test_multicall(void **state)
{
    struct multicall_entry *e = fake_ram(&d, 0x10000);

    for (int i = 0; i < 300; i++) {
        e[i] = (struct multicall_entry){ .op = __HYPERVISOR_vcpu_op,
                                         .args = { VCPUOP_is_up, i % 3 },
                                         .result = 99 };
    }
    e[5] = (struct multicall_entry){ .op = __HYPERVISOR_multicall, .args = { 0x10000, 300 } };
    v->work = 0;
    assert_int_equal(fake_hypercall(v, __HYPERVISOR_multicall, 0x10000, 300, 0, 0), 0);
    for (int i = 0; i < 300; i++) {
        int64_t want = i == 5 ? -EINVAL : i % 3 == 0 ? 1 : i % 3 == 1 ? 0 : -ENOENT;

        assert_int_equal((int64_t)e[i].result, want);
    }
    /* A list that runs out of memory before it ends. */
    e = fake_ram(&d, FAKE_RAM_PAGES * 4096 - 2 * sizeof(*e));
    e[0] = e[1] = (struct multicall_entry){ .op = __HYPERVISOR_set_timer_op };
    assert_int_equal(fake_hypercall(v, __HYPERVISOR_multicall,
                                    FAKE_RAM_PAGES * 4096 - 2 * sizeof(*e), 0xffffffff, 0, 0),
                     -EFAULT);
    assert_int_equal(fake_hypercall(v, __HYPERVISOR_multicall, 1ull << 62, 1, 0, 0), -EFAULT);
}

static void test_hvm_op(void **state)
{
    struct xen_hvm_evtchn_upcall_vector *u = fake_ram(&d, 0x1000);
    struct xen_hvm_get_time *t = fake_ram(&d, 0x2000);

#define HVM(op, arg) fake_hypercall(v, __HYPERVISOR_hvm_op, op, arg, 0, 0)
    u->vcpu = 1;
    u->vector = 15;
    assert_int_equal(HVM(HVMOP_set_evtchn_upcall_vector, 0x1000), -EINVAL);
    u->vector = 0xf3;
    u->vcpu = 2;
    assert_int_equal(HVM(HVMOP_set_evtchn_upcall_vector, 0x1000), -ENOENT);
    u->vcpu = 1;
    assert_int_equal(HVM(HVMOP_set_evtchn_upcall_vector, 0x1000), 0);
    assert_int_equal(d.m->vcpu[1].upcall_vector, 0xf3);
    assert_int_equal(HVM(HVMOP_get_time, 0x2000), 0);
    assert_true(t->now && t->now <= time_guest(d.m, host_now()));
    assert_int_equal(HVM(HVMOP_flush_tlbs, 1), -EINVAL);
    assert_int_equal(HVM(HVMOP_flush_tlbs, 0), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_forwarded_with_updates),
        T(test_32bit_convention),
        T(test_privilege_and_stop),
        T(test_page),
        T(test_timers),
        T(test_vcpu_op),
        T(test_initialise_32bit),
        T(test_areas),
        T(test_poll),
        T(test_multicall),
        T(test_hvm_op),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
