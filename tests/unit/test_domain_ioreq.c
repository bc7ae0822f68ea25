/* SPDX-License-Identifier: MIT */
/*
 * Accesses that device models serve. The machine runs in a child process; the test is its core and
 * the device model, and shares its Xen-owned pages.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <xen/domctl.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>
#include <xen/sched.h>

#include "hypervisor/domain/control.h"
#include "hypervisor/domain/ioreq.h"
#include "hypervisor/domain/vcpu.h"
#include "tests/unit/fake_engine.h"

#define TIMEOUT_MS 20000
#define PORT_EVT   7u

enum kind { IN, OUT, READ, WRITE, REP_IN, REP_OUT, UNMAP };

/* What child and test both see: one access of the guest at a time. */
struct shared {
    _Atomic unsigned asked, done, turns;
    enum kind kind;
    uint64_t addr, value, gpa;
    unsigned size, count;
    enum engine_verdict verdict;
    bool taken;
};

static struct shared *shared;
static struct fake_domain d;
static pid_t child;
static struct kl_state *area;
static int to_guest[8], to_model[8];    /* by server: the eventfds of vCPU 0 */
static int buf_model;

static void carry_out(const struct engine_env *env)
{
    uint32_t x = (uint32_t)shared->value;
    uint64_t gpr[16] = { [ENGINE_RAX] = __HYPERVISOR_memory_op,
                         [ENGINE_RDI] = XENMEM_decrease_reservation };

    switch (shared->kind) {
    case IN:
        shared->verdict = env->pio_in(env->opaque, 0, (uint16_t)shared->addr, shared->size, &x);
        shared->value = x;
        break;
    case OUT:
        shared->verdict = env->pio_out(env->opaque, 0, (uint16_t)shared->addr, shared->size, x);
        break;
    case READ:
        shared->verdict = env->mmio_read(env->opaque, 0, shared->addr, shared->size, &shared->value);
        break;
    case WRITE:
        shared->verdict = env->mmio_write(env->opaque, 0, shared->addr, shared->size, shared->value);
        break;
    case REP_IN:
    case REP_OUT:
        shared->taken = env->pio_rep(env->opaque, 0, (uint16_t)shared->addr, shared->size,
                                     shared->kind == REP_IN, shared->gpa, shared->count, true);
        break;
    case UNMAP:
        env->hypercall(env->opaque, 0, gpr);
        break;
    }
}

static enum engine_exit script(struct engine_vcpu *ev)
{
    shared->turns++;
    if (ev->id || shared->asked == shared->done) {
        usleep(200);
    } else {
        carry_out(&ev->e->env);
        shared->done = shared->asked;
    }
    return ENGINE_EXIT_KICK;
}

static void start(uint32_t emulation)
{
    fake_domain_start(&d, 2);
    munmap(d.m->state, sizeof(*d.m->state));
    d.m->state = area =
        mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    d.m->emulation_flags = emulation;
    for (unsigned i = 0; i < 2; i++) {
        d.m->vcpu[i].st = &area->vcpu[i];
        d.m->vcpu[i].ev->script = script;
        area->vcpu[i].load = KL_LOAD_CPU;
        area->vcpu[i].cpu.rip = 0x1000 + i;
        area->vcpu[i].cpu.rflags = 2;
    }
    child = fork();
    assert_true(child >= 0);
    if (!child) {
        if (vcpus_start(d.m) < 0) {
            _exit(99);
        }
        control_loop(d.m);
        _exit(42);
    }
    for (unsigned i = 0; i < 8; i++) {
        to_guest[i] = to_model[i] = -1;
    }
    buf_model = -1;
}

static void finish(void)
{
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    for (unsigned i = 0; i < 8; i++) {
        if (to_guest[i] >= 0) {
            close(to_guest[i]);
            close(to_model[i]);
        }
    }
    if (buf_model >= 0) {
        close(buf_model);
    }
    munmap(shared, 4096);
    fake_domain_stop(&d);
}

static void send_fds(const void *msg, size_t len, int a, int b)
{
    union { struct cmsghdr h; char buf[CMSG_SPACE(2 * sizeof(int))]; } c = { 0 };
    struct iovec iov = { (void *)(uintptr_t)msg, len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf,
                        .msg_controllen = sizeof(c.buf) };

    c.h.cmsg_level = SOL_SOCKET;
    c.h.cmsg_type = SCM_RIGHTS;
    c.h.cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(&c.h), (int[]){ a, b }, 2 * sizeof(int));
    assert_int_equal(sendmsg(d.core_control, &m, 0), len);
}

static void tell(uint32_t op)
{
    struct kl_hdr h = { op, sizeof(h) };

    assert_int_equal(send(d.core_control, &h, sizeof(h), 0), sizeof(h));
}

static struct ioreq *slot_of(uint32_t id)
{
    return (struct ioreq *)(void *)(d.m->xen_pages + (KL_XEN_IOREQ + 2 * id + 1) * 4096);
}

static struct buffered_iopage *buffer_of(uint32_t id)
{
    return (void *)(d.m->xen_pages + (KL_XEN_IOREQ + 2 * id) * 4096);
}

/* The message and its ranges (a structure that ends in an array can only be the last member). */
union server {
    struct kl_ioreq m;
    struct {
        uint8_t head[sizeof(struct kl_ioreq)];
        struct kl_ioreq_range range[8];
    };
};

/* Ports 0x500-0x50f, memory 1 GiB-, the VGA hole, PCI device 0:3.0. */
static union server usual(uint32_t id)
{
    static const struct kl_ioreq_range range[] = {
        { 0x500, 0x50f }, { 0x600, 0x600 }, { 0xa0000, 0xbffff }, { 1u << 30, (1u << 30) + 0xfff },
        { 0x18, 0x18 },
    };
    union server s;

    memset(&s, 0, sizeof(s));
    s.m = (struct kl_ioreq){ { KL_IOREQ, sizeof(s) }, .id = id, .state = KL_IOREQ_ENABLED,
                             .nr = { 2, 2, 1 } };
    memcpy(s.range, range, sizeof(range));
    return s;
}

static void tell_server(const union server *s)
{
    assert_int_equal(send(d.core_control, s, sizeof(*s), 0), sizeof(*s));
}

static void tell_ports(uint32_t id, bool buffered)
{
    struct kl_ioreq_port p = { { KL_IOREQ_PORT, sizeof(p) }, .id = id, .port = PORT_EVT };
    int other = eventfd(0, EFD_NONBLOCK);

    to_guest[id] = eventfd(0, EFD_NONBLOCK);
    to_model[id] = eventfd(0, EFD_NONBLOCK);
    slot_of(id)->vp_eport = PORT_EVT;
    send_fds(&p, sizeof(p), to_guest[id], to_model[id]);
    if (buffered) {
        buf_model = eventfd(0, EFD_NONBLOCK);
        p.vcpu = KL_IOREQ_BUFFERED;
        send_fds(&p, sizeof(p), other, buf_model);
    }
    close(other);
}

static void begin(enum kind kind, uint64_t addr, unsigned size, uint64_t value)
{
    shared->kind = kind;
    shared->addr = addr;
    shared->size = size;
    shared->value = value;
    shared->asked++;
}

static void finished(void)
{
    for (int i = 0; i < TIMEOUT_MS && shared->done != shared->asked; i++) {
        usleep(1000);
    }
    assert_int_equal(shared->done, shared->asked);
}

static bool heard(int fd)
{
    struct pollfd p = { fd, POLLIN, 0 };
    uint64_t n;

    return poll(&p, 1, TIMEOUT_MS) == 1 && read(fd, &n, sizeof(n)) == sizeof(n);
}

static void nudge(uint32_t id)
{
    uint64_t one = 1;

    assert_int_equal(write(to_guest[id], &one, sizeof(one)), sizeof(one));
}

static void expect(uint32_t id, unsigned type, uint64_t addr, unsigned size, bool read, uint64_t data)
{
    const struct ioreq *r = slot_of(id);

    assert_true(heard(to_model[id]));
    assert_int_equal(r->state, STATE_IOREQ_READY);
    assert_int_equal(r->type, type);
    assert_int_equal(r->addr, addr);
    assert_int_equal(r->size, size);
    assert_int_equal(r->dir, read);
    assert_int_equal(r->vp_eport, PORT_EVT);
    if (!read) {
        assert_int_equal(r->data, data);
    }
}

static void answer(uint32_t id, uint64_t data)
{
    struct ioreq *r = slot_of(id);

    r->state = STATE_IOREQ_INPROCESS;
    r->data = data;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    r->state = STATE_IORESP_READY;
    nudge(id);
    finished();
    assert_int_equal(r->state, STATE_IOREQ_NONE);
    assert_int_equal(shared->verdict, ENGINE_STOP);
}

static uint32_t hear(void *buf, size_t len)
{
    struct pollfd p = { d.core_control, POLLIN, 0 };
    struct kl_hdr *h = buf;

    if (poll(&p, 1, TIMEOUT_MS) != 1 || recv(d.core_control, buf, len, 0) < (ssize_t)sizeof(*h)) {
        return 0;
    }
    return h->op;
}

/* All that was told is in effect from here on. */
static void sync_up(void)
{
    static uint64_t seq;
    struct kl_sync m = { { KL_SYNC, sizeof(m) }, ++seq }, got = { .seq = 0 };

    assert_int_equal(send(d.core_control, &m, sizeof(m), 0), sizeof(m));
    assert_int_equal(hear(&got, sizeof(got)), KL_SYNCED);
    assert_int_equal(got.seq, seq);
}

static void up(uint32_t emulation)
{
    union server s = usual(0);

    start(emulation);
    s.m.buffered = HVM_IOREQSRV_BUFIOREQ_ATOMIC;
    tell_server(&s);
    tell_ports(0, true);
    tell(KL_RUN);
}

static void nobodys(enum kind kind, uint64_t addr, unsigned size, uint64_t want)
{
    begin(kind, addr, size, 0);
    finished();
    assert_int_equal(shared->verdict, ENGINE_CONTINUE);
    if (kind == IN || kind == READ) {
        assert_int_equal(shared->value, want);
    }
}

static void test_accesses(void **state)
{
    up(0);
    begin(OUT, 0x500, 2, 0x1234);
    expect(0, IOREQ_TYPE_PIO, 0x500, 2, false, 0x1234);
    answer(0, 99);
    begin(IN, 0x50c, 4, 0);
    expect(0, IOREQ_TYPE_PIO, 0x50c, 4, true, 0);
    answer(0, 0x1122334455667788);
    assert_int_equal(shared->value, 0x55667788);
    begin(IN, 0x600, 1, 0);
    expect(0, IOREQ_TYPE_PIO, 0x600, 1, true, 0);
    answer(0, 0x1122334455667788);
    assert_int_equal(shared->value, 0x88);
    begin(READ, (1u << 30) + 8, 8, 0);
    expect(0, IOREQ_TYPE_COPY, (1u << 30) + 8, 8, true, 0);
    answer(0, 0x1122334455667788);
    assert_int_equal(shared->value, 0x1122334455667788);
    begin(WRITE, (1u << 30) + 0xffc, 4, 0xdeadbeef);
    expect(0, IOREQ_TYPE_COPY, (1u << 30) + 0xffc, 4, false, 0xdeadbeef);
    answer(0, 0);
    /* outside, and across an edge */
    nobodys(IN, 0x510, 1, 0xff);
    nobodys(IN, 0x50e, 4, 0xffffffff);
    nobodys(IN, 0x4ff, 2, 0xffff);
    nobodys(READ, (1u << 30) + 0x1000, 4, UINT64_MAX);
    nobodys(WRITE, (1u << 30) - 4, 4, 0);
    nobodys(IN, 0xe9, 1, 0xe9);
    finish();
}

static void test_pci(void **state)
{
    up(0);
    nobodys(OUT, 0xcf8, 4, 0);    /* nobody's, but remembered */
    begin(OUT, 0xcf8, 4, 0x80001810);
    finished();
    begin(IN, 0xcfe, 2, 0);
    expect(0, IOREQ_TYPE_PCI_CONFIG, 0x18ull << 32 | 0x12, 2, true, 0);
    answer(0, 0x8086);
    assert_int_equal(shared->value, 0x8086);
    begin(OUT, 0xcf8, 4, 0x80002010);    /* another device */
    finished();
    nobodys(IN, 0xcfc, 4, 0xffffffff);
    begin(OUT, 0xcf8, 4, 0x1810);        /* not enabled: an ordinary port */
    finished();
    nobodys(IN, 0xcfc, 4, 0xffffffff);
    finish();
}

static void test_priorities(void **state)
{
    union server s = usual(5);

    up(0);
    tell_server(&s);
    tell_ports(5, false);
    sync_up();
    begin(OUT, 0x500, 1, 1);
    expect(5, IOREQ_TYPE_PIO, 0x500, 1, false, 1);
    answer(5, 0);
    s.m.nr[0] = 1;              /* no longer 0x600: the other one's now */
    s.range[1] = s.range[2];
    s.range[2] = s.range[3];
    s.range[3] = s.range[4];
    tell_server(&s);
    sync_up();
    begin(OUT, 0x600, 1, 2);
    expect(0, IOREQ_TYPE_PIO, 0x600, 1, false, 2);
    answer(0, 0);
    s = usual(5);
    s.m.state = KL_IOREQ_DISABLED;
    tell_server(&s);
    sync_up();
    begin(OUT, 0x500, 1, 3);
    expect(0, IOREQ_TYPE_PIO, 0x500, 1, false, 3);
    answer(0, 0);
    finish();
}

/* Stopping does not wait for the model, and loses nothing. */
static void test_stop_while_waiting(void **state)
{
    char buf[512];
    unsigned turns;

    up(0);
    begin(IN, 0x500, 4, 0);
    expect(0, IOREQ_TYPE_PIO, 0x500, 4, true, 0);
    for (int i = 0; i < 5; i++) {
        tell(KL_STOP);
        assert_int_equal(hear(buf, sizeof(buf)), KL_STOPPED);
        assert_int_equal(area->vcpu[0].cpu.rip, 0x1000);
        turns = shared->turns;
        nudge(0);               /* a false alarm */
        usleep(2000);
        assert_int_equal(shared->turns, turns);
        assert_int_not_equal(shared->done, shared->asked);
        tell(KL_RUN);
    }
    answer(0, 42);
    assert_int_equal(shared->value, 42);
    /* the answer comes while all stands still */
    begin(IN, 0x500, 4, 0);
    expect(0, IOREQ_TYPE_PIO, 0x500, 4, true, 0);
    tell(KL_STOP);
    assert_int_equal(hear(buf, sizeof(buf)), KL_STOPPED);
    slot_of(0)->data = 43;
    slot_of(0)->state = STATE_IORESP_READY;
    nudge(0);
    usleep(2000);
    assert_int_not_equal(shared->done, shared->asked);
    tell(KL_RUN);
    finished();
    assert_int_equal(shared->value, 43);
    /* a context that is loaded meanwhile waits for the end of the instruction */
    begin(IN, 0x500, 4, 0);
    expect(0, IOREQ_TYPE_PIO, 0x500, 4, true, 0);
    tell(KL_STOP);
    assert_int_equal(hear(buf, sizeof(buf)), KL_STOPPED);
    area->vcpu[0].cpu.rip = 0x7777;
    area->vcpu[0].load = KL_LOAD_CPU;
    tell(KL_RUN);
    tell(KL_STOP);
    assert_int_equal(hear(buf, sizeof(buf)), KL_STOPPED);
    assert_int_equal(area->vcpu[0].cpu.rip, 0x7777);
    tell(KL_RUN);
    answer(0, 44);
    begin(IN, 0x510, 1, 0);
    finished();
    tell(KL_STOP);
    assert_int_equal(hear(buf, sizeof(buf)), KL_STOPPED);
    assert_int_equal(area->vcpu[0].cpu.rip, 0x7777);
    assert_int_equal(area->vcpu[0].load, 0);
    finish();
}

static void test_server_goes(void **state)
{
    union server s = usual(0);

    up(0);
    begin(READ, 1u << 30, 8, 0);
    expect(0, IOREQ_TYPE_COPY, 1u << 30, 8, true, 0);
    s.m.state = KL_IOREQ_GONE;
    tell_server(&s);
    finished();
    assert_int_equal(shared->value, UINT64_MAX);
    nobodys(IN, 0x500, 1, 0xff);
    /* one that comes after it finds no trace of it; the core empties the page first */
    close(to_guest[0]);
    close(to_model[0]);
    close(buf_model);
    memset(slot_of(0), 0, 4096);
    s = usual(0);
    tell_server(&s);
    tell_ports(0, true);
    sync_up();
    begin(IN, 0x500, 1, 0);
    expect(0, IOREQ_TYPE_PIO, 0x500, 1, true, 0);
    answer(0, 5);
    assert_int_equal(shared->value, 5);
    /* a model that takes its request back has answered */
    begin(IN, 0x500, 1, 0);
    expect(0, IOREQ_TYPE_PIO, 0x500, 1, true, 0);
    slot_of(0)->state = STATE_IOREQ_NONE;
    nudge(0);
    finished();
    assert_int_equal(shared->value, 0xff);
    finish();
}

static void expect_crash(const char *why)
{
    union { struct kl_shutdown s; char bytes[512]; } buf;

    assert_int_equal(hear(&buf, sizeof(buf)), KL_SHUTDOWN);
    assert_int_equal(buf.s.reason, SHUTDOWN_crash);
    assert_non_null(strstr(buf.s.text, why));
    finished();
    tell(KL_STOP);
    assert_int_equal(hear(&buf, sizeof(buf)), KL_STOPPED);
    finish();
}

/* A device model that lies harms this domain only, and not by a hang. */
static void test_liars(void **state)
{
    static const uint8_t states[] = { 4, 7, 15 };

    for (unsigned i = 0; i < sizeof(states); i++) {
        up(0);
        begin(IN, 0x500, 4, 0);
        expect(0, IOREQ_TYPE_PIO, 0x500, 4, true, 0);
        slot_of(0)->state = states[i] & 15;
        nudge(0);
        expect_crash("does not follow");
    }
    up(0);
    begin(IN, 0x500, 4, 0);
    expect(0, IOREQ_TYPE_PIO, 0x500, 4, true, 0);
    slot_of(0)->state = STATE_IOREQ_INPROCESS;
    for (int i = 0; i < 50; i++) {      /* until it has surely been seen */
        nudge(0);
        usleep(2000);
    }
    slot_of(0)->state = STATE_IOREQ_READY;
    nudge(0);
    expect_crash("does not follow");
    up(0);
    slot_of(0)->state = STATE_IOREQ_INPROCESS;
    begin(IN, 0x500, 4, 0);
    expect_crash("state busy");
    up(0);
    slot_of(0)->vp_eport = 8;
    begin(IN, 0x500, 4, 0);
    expect_crash("event channel");
    /* what it changes besides its answer's data is not looked at */
    up(0);
    begin(IN, 0x500, 1, 0);
    expect(0, IOREQ_TYPE_PIO, 0x500, 1, true, 0);
    slot_of(0)->size = 0xffffffff;
    slot_of(0)->count = 0xffffffff;
    slot_of(0)->addr = UINT64_MAX;
    slot_of(0)->dir = 0;
    answer(0, UINT64_MAX);
    assert_int_equal(shared->value, 0xff);
    finish();
}

static void test_rep(void **state)
{
    const struct ioreq *r;

    up(0);
    r = slot_of(0);
    shared->gpa = 0x3ffc;
    shared->count = 17;
    begin(REP_IN, 0x500, 4, 0);
    expect(0, IOREQ_TYPE_PIO, 0x500, 4, true, 0);
    assert_int_equal(r->data_is_ptr, 1);
    assert_int_equal(r->df, 1);
    assert_int_equal(r->data, 0x3ffc);
    assert_int_equal(r->count, 17);
    shared->verdict = ENGINE_STOP;
    answer(0, 0);
    assert_true(shared->taken);
    begin(REP_OUT, 0x500, 2, 0);
    expect(0, IOREQ_TYPE_PIO, 0x500, 2, false, 0x3ffc);
    assert_int_equal(r->data_is_ptr, 1);
    answer(0, 0);
    begin(IN, 0x500, 4, 0);             /* and the marks are off again */
    expect(0, IOREQ_TYPE_PIO, 0x500, 4, true, 0);
    assert_int_equal(r->data_is_ptr | r->df, 0);
    assert_int_equal(r->count, 1);
    answer(0, 0);
    begin(REP_IN, 0x520, 4, 0);
    finished();
    assert_false(shared->taken);
    finish();
}

/* Writes to the VGA hole are buffered where there is an emulated VGA. */
static void test_buffered(void **state)
{
    struct buffered_iopage *b;

    up(XEN_X86_EMU_VGA);
    b = buffer_of(0);
    begin(WRITE, 0xa0010, 2, 0xabcd);
    finished();
    assert_int_equal(shared->verdict, ENGINE_STOP);
    assert_true(heard(buf_model));
    assert_int_equal(b->write_pointer, 1);
    assert_int_equal(b->buf_ioreq[0].addr, 0xa0010);
    assert_int_equal(b->buf_ioreq[0].size, 1);
    assert_int_equal(b->buf_ioreq[0].dir, IOREQ_WRITE);
    assert_int_equal(b->buf_ioreq[0].type, IOREQ_TYPE_COPY);
    assert_int_equal(b->buf_ioreq[0].data, 0xabcd);
    begin(WRITE, 0xbfff8, 8, 0x1122334455667788);
    finished();
    assert_int_equal(b->write_pointer, 3);
    assert_int_equal(b->buf_ioreq[1].size, 3);
    assert_int_equal(b->buf_ioreq[1].data, 0x55667788);
    assert_int_equal(b->buf_ioreq[2].data, 0x11223344);
    begin(READ, 0xa0010, 1, 0);         /* reads are not */
    expect(0, IOREQ_TYPE_COPY, 0xa0010, 1, true, 0);
    answer(0, 7);
    while (b->write_pointer < IOREQ_BUFFER_SLOT_NUM - 1) {
        begin(WRITE, 0xa0000, 1, b->write_pointer);
        finished();
    }
    begin(WRITE, 0xa0000, 8, 5);        /* one slot is left: the slow way */
    expect(0, IOREQ_TYPE_COPY, 0xa0000, 8, false, 5);
    answer(0, 0);
    b->read_pointer = 510;
    begin(WRITE, 0xa0000, 8, 5);
    finished();
    assert_int_equal(b->write_pointer, 512);
    /* both pointers are set back together */
    b->read_pointer = 511;
    begin(WRITE, 0xa0000, 1, 6);
    finished();
    assert_int_equal(b->read_pointer, 0);
    assert_int_equal(b->write_pointer, 2);
    /* nonsense in the page is the guest's trouble: full, or over and over */
    b->read_pointer = 0x80000000;
    b->write_pointer = 0x7fffffff;
    begin(WRITE, 0xa0000, 1, 6);
    expect(0, IOREQ_TYPE_COPY, 0xa0000, 1, false, 6);
    answer(0, 0);
    finish();
    up(0);
    begin(WRITE, 0xa0010, 2, 0xabcd);   /* PVH: an address like any other */
    expect(0, IOREQ_TYPE_COPY, 0xa0010, 2, false, 0xabcd);
    answer(0, 0);
    finish();
}

static void test_watched_memory(void **state)
{
    struct { struct kl_hdr h; uint32_t nr, reserved; struct kl_run_map run; } map = {
        { KL_MAP, sizeof(map) }, 1, 0, { 5, 1, 5, KL_MEM_RAM, KL_TYPE_IOREQ }
    };
    union server s = usual(0);

    up(0);
    assert_int_equal(send(d.core_control, &map, sizeof(map), 0), sizeof(map));
    sync_up();
    begin(WRITE, 0x5010, 8, 0x42);      /* nobody took them: RAM */
    finished();
    assert_int_equal(*(uint64_t *)fake_ram(&d, 0x5010), 0x42);
    s.m.mem_writes = 1;
    tell_server(&s);
    sync_up();
    begin(WRITE, 0x5010, 8, 0x43);
    expect(0, IOREQ_TYPE_COPY, 0x5010, 8, false, 0x43);
    answer(0, 0);
    assert_int_equal(*(uint64_t *)fake_ram(&d, 0x5010), 0x42);
    map.run.type = ENGINE_GFN_ROM;      /* and a ROM's are lost, range or not */
    assert_int_equal(send(d.core_control, &map, sizeof(map), 0), sizeof(map));
    s.range[2] = (struct kl_ioreq_range){ 0x5000, 0x5fff };
    tell_server(&s);
    sync_up();
    nobodys(WRITE, 0x5010, 8, 0);
    finish();
}

/* Frames that the guest gave back: the model lets go of them before the guest goes on. */
static void test_invalidate(void **state)
{
    struct { struct kl_hdr h; uint32_t nr, reserved; struct kl_run_unmap run; } unmap = {
        { KL_UNMAP, sizeof(unmap) }, 1, 0, { 6, 1 }
    };
    struct kl_ret ret = { .h = { KL_RET, sizeof(ret) } };
    struct pollfd p = { .fd = -1, .events = POLLIN };
    char buf[512];

    up(0);
    p.fd = d.core_sock[0];
    begin(UNMAP, 0, 0, 0);
    assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
    assert_true(recv(p.fd, buf, sizeof(buf), 0) > 0);
    assert_int_equal(send(p.fd, &unmap, sizeof(unmap), 0), sizeof(unmap));
    assert_int_equal(send(p.fd, &ret, sizeof(ret), 0), sizeof(ret));
    expect(0, IOREQ_TYPE_INVALIDATE, 0, 4, false, UINT64_MAX);
    shared->verdict = ENGINE_STOP;
    answer(0, 0);
    begin(UNMAP, 0, 0, 0);              /* without a change there is nothing to tell */
    assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
    assert_true(recv(p.fd, buf, sizeof(buf), 0) > 0);
    assert_int_equal(send(p.fd, &ret, sizeof(ret), 0), sizeof(ret));
    finished();
    finish();
}

static void test_nonsense_from_core(void **state)
{
    union server bad[6];
    struct kl_ioreq_port port = { { KL_IOREQ_PORT, sizeof(port) }, .id = 1 };
    int status;

    for (unsigned i = 0; i < 6; i++) {
        bad[i] = usual(0);
    }
    bad[0].m.id = 8;
    bad[1].m.state = 3;
    bad[2].m.nr[0] = 1000;
    bad[3].m.nr[2] = 6;
    bad[4].m.nr[0] = bad[4].m.nr[1] = bad[4].m.nr[2] = UINT32_MAX;
    bad[5].m.id = UINT32_MAX;
    for (unsigned i = 0; i < 7; i++) {
        start(0);
        if (i < 6) {
            tell_server(&bad[i]);
        } else {
            send_fds(&port, sizeof(port), STDERR_FILENO, STDERR_FILENO);    /* of no server */
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
        munmap(shared, 4096);
        fake_domain_stop(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accesses), cmocka_unit_test(test_pci), cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_stop_while_waiting), cmocka_unit_test(test_server_goes),
        cmocka_unit_test(test_liars), cmocka_unit_test(test_rep), cmocka_unit_test(test_buffered),
        cmocka_unit_test(test_watched_memory), cmocka_unit_test(test_invalidate),
        cmocka_unit_test(test_nonsense_from_core),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
