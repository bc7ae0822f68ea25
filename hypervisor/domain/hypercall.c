/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls: which are answered here, which are the core's, and the conventions of the callers.
 * The arguments and everything they point to are the guest's: copied once, then checked.
 */
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>

#include <xen/event_channel.h>
#include <xen/hvm/hvm_op.h>
#include <xen/sched.h>
#include <xen/xen.h>

#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/control.h"
#include "hypervisor/domain/event.h"
#include "hypervisor/domain/lapic.h"
#include "hypervisor/domain/time.h"
#include "hypervisor/domain/vcpu.h"
#include "hypervisor/domain/vcpu_op.h"

#define MAX_POLL_PORTS  128             /* as Xen's SCHEDOP_poll */
#define CALLS_PER_TURN  64u             /* of a multicall: then others get their turn */
#define TIMEOUT_FAR 50 /* set_timer_op: a time whose distance has bits above is nonsense */
#define NOT_LOCAL INT64_MIN /* a local handler's answer for what is the core's after all */
#define NR_HYPERCALLS   64

/* One hypercall under way. */
struct call {
    struct vcpu *v;
    uint64_t op, arg[5];
    bool narrow;            /* the 32-bit convention: arguments are cut to 32 bits already */
    bool again; /* preempted: the instruction is to be executed again with arg as it now is */
    bool in_multicall;
};

typedef int64_t handler(struct call *c);

static bool get(struct call *c, void *to, uint64_t gva, size_t len)
{
    return c->v->m->ops->gva_read(c->v->ev, gva, to, len) == len;
}

static bool put(struct call *c, uint64_t gva, const void *from, size_t len)
{
    return c->v->m->ops->gva_write(c->v->ev, gva, from, len) == len;
}

static void block(struct vcpu *v, enum vcpu_block how)
{
    v->block = how;
    v->kicked = false;
}

/* Scheduling. */

static int64_t do_poll(struct call *c)
{
    struct vcpu *v = c->v;
    struct { uint64_t ports, timeout; uint32_t nr; } poll = { 0 };
    uint32_t ports[MAX_POLL_PORTS];
    struct sched_poll wide;
    uint32_t small[4];                  /* i386: handle, count, 64-bit timeout unaligned */

    if (!c->narrow) {
        if (!get(c, &wide, c->arg[1], sizeof(wide))) {
            return -EFAULT;
        }
        memcpy(&poll.ports, &wide.ports, 8);
        poll.nr = wide.nr_ports;
        poll.timeout = wide.timeout;
    } else {
        if (!get(c, small, c->arg[1], sizeof(small))) {
            return -EFAULT;
        }
        poll.ports = small[0];
        poll.nr = small[1];
        poll.timeout = small[2] | (uint64_t)small[3] << 32;
    }
    if (poll.nr > MAX_POLL_PORTS) {
        return -EINVAL;
    }
    if (!get(c, ports, poll.ports, poll.nr * sizeof(*ports))) {
        return -EFAULT;
    }
    v->kicked = false;
    atomic_fetch_add(&v->m->pollers, 1);
    atomic_store(&v->polling, 1);
    for (uint32_t i = 0; i < poll.nr; i++) {
        if (!event_port(v->m, ports[i]) || event_is_pending(v->m, ports[i])) {
            atomic_store(&v->polling, 0);
            atomic_fetch_sub(&v->m->pollers, 1);
            return event_port(v->m, ports[i]) ? 0 : -EINVAL;
        }
    }
    v->poll_deadline = poll.timeout ? time_host(v->m, poll.timeout) : NO_TIMER;
    v->block = VCPU_POLLING;
    return 0;
}

static int64_t do_sched_op(struct call *c)
{
    switch ((uint32_t)c->arg[0]) {
    case SCHEDOP_yield:
        sched_yield();
        return 0;
    case SCHEDOP_block:
        __atomic_store_n(&event_vcpu_info(c->v)->evtchn_upcall_mask, 0, __ATOMIC_SEQ_CST);
        block(c->v, VCPU_BLOCKED);
        return 0;
    case SCHEDOP_poll:
        return do_poll(c);
    default:
        return NOT_LOCAL;
    }
}

static int64_t do_set_timer_op(struct call *c)
{
    uint64_t timeout = c->narrow ? c->arg[0] | c->arg[1] << 32 : c->arg[0];
    uint64_t now = time_guest(c->v->m, host_now());

    if (!timeout) {
        time_stop_singleshot(c->v);
        return 0;
    }
    /* Linux once passed times before now or absurdly far ahead when it meant "soon". */
    if ((int64_t)timeout < 0 || (timeout > now && (timeout - now) >> TIMEOUT_FAR)) {
        timeout = now + 100000000u;
    }
    return time_set_singleshot(c->v, timeout, false);
}

static int64_t do_vcpu_op(struct call *c)
{
    return vcpu_op(c->v, (uint32_t)c->arg[0], (uint32_t)c->arg[1], c->arg[2], c->narrow);
}

/* Event channels. */

static int64_t do_init_control(struct call *c)
{
    struct evtchn_init_control op;
    long rc;

    if (!get(c, &op, c->arg[1], sizeof(op))) {
        return -EFAULT;
    }
    rc = event_init_control(c->v->m, &op);
    return !rc && !put(c, c->arg[1], &op, sizeof(op)) ? -EFAULT : rc;
}

static int64_t do_reset(struct call *c)
{
    struct evtchn_reset op = { .dom = DOMID_INVALID };
    int64_t rc;
    bool stop;

    get(c, &op, c->arg[1], sizeof(op));
    rc = control_hypercall(c->v, c->op, c->arg, c->narrow, &stop);
    if (!rc && (op.dom == DOMID_SELF || op.dom == c->v->m->domid)) {
        event_reset(c->v->m);
    }
    if (stop) {
        vcpu_hold(c->v);
    }
    return rc;
}

static int64_t do_event_channel_op(struct call *c)
{
    struct machine *m = c->v->m;
    union {
        struct evtchn_send send;
        struct evtchn_unmask unmask;
        struct evtchn_expand_array expand_array;
        struct evtchn_set_priority set_priority;
    } op;

    switch ((uint32_t)c->arg[0]) {
    case EVTCHNOP_send:
        return get(c, &op.send, c->arg[1], sizeof(op.send)) ? event_send(m, op.send.port) : -EFAULT;
    case EVTCHNOP_unmask:
        return get(c, &op.unmask, c->arg[1], sizeof(op.unmask)) ? event_unmask(m, op.unmask.port)
                                                                : -EFAULT;
    case EVTCHNOP_expand_array:
        return get(c, &op.expand_array, c->arg[1], sizeof(op.expand_array))
                   ? event_expand_array(m, &op.expand_array) : -EFAULT;
    case EVTCHNOP_set_priority:
        return get(c, &op.set_priority, c->arg[1], sizeof(op.set_priority))
                   ? event_set_priority(m, &op.set_priority) : -EFAULT;
    case EVTCHNOP_init_control:
        return do_init_control(c);
    case EVTCHNOP_reset:
        return do_reset(c);
    default:
        return NOT_LOCAL;
    }
}

/* HVM operations. */

static int64_t do_upcall_vector(struct call *c)
{
    struct xen_hvm_evtchn_upcall_vector op;
    struct vcpu *t;

    if (!get(c, &op, c->arg[1], sizeof(op))) {
        return -EFAULT;
    }
    if (op.vector < 16) {
        return -EINVAL;
    }
    if (op.vcpu >= c->v->m->nr_vcpus) {
        return -ENOENT;
    }
    t = &c->v->m->vcpu[op.vcpu];
    atomic_store(&t->upcall_vector, op.vector);
    lapic_post(t, op.vector);
    vcpu_kick(t);
    return 0;
}

static int64_t do_hvm_op(struct call *c)
{
    struct machine *m = c->v->m;
    struct xen_hvm_get_time now;

    switch ((uint32_t)c->arg[0]) {
    case HVMOP_set_evtchn_upcall_vector:
        return do_upcall_vector(c);
    case HVMOP_flush_tlbs:
        if (c->arg[1]) {
            return -EINVAL;
        }
        m->ops->invalidate_gfns(m->engine, 0, m->nr_gfns);
        return 0;
    case HVMOP_get_time:
        now.now = time_guest(m, host_now());
        return put(c, c->arg[1], &now, sizeof(now)) ? 0 : -EFAULT;
    default:
        return NOT_LOCAL;
    }
}

static int64_t do_vm_assist(struct call *c)
{
    /* Of all types only this one means anything to a guest with its own page tables. */
    const uint64_t bit = 1ull << VMASST_TYPE_runstate_update_flag;

    if ((uint32_t)c->arg[1] != VMASST_TYPE_runstate_update_flag) {
        return -EINVAL;
    }
    switch ((uint32_t)c->arg[0]) {
    case VMASST_CMD_enable:
        atomic_fetch_or(&c->v->m->vm_assist, bit);
        return 0;
    case VMASST_CMD_disable:
        atomic_fetch_and(&c->v->m->vm_assist, ~bit);
        return 0;
    default:
        return -ENOSYS;
    }
}

static handler do_multicall;

/*
 * The hypercalls that are answered here, at least in part. Everything else, with every number that
 * nobody knows, is the core's to answer.
 */
#define LOCAL_HYPERCALLS(X) \
    X(multicall) X(set_timer_op) X(vm_assist) X(vcpu_op) X(sched_op) X(event_channel_op) X(hvm_op)

static handler *const local[NR_HYPERCALLS] = {
#define X(name) [__HYPERVISOR_##name] = do_##name,
    LOCAL_HYPERCALLS(X)
#undef X
};

static int64_t dispatch(struct call *c)
{
    int64_t rc = NOT_LOCAL;
    bool stop;

    if (c->op < NR_HYPERCALLS && local[c->op]) {
        rc = local[c->op](c);
    }
    if (rc == NOT_LOCAL) {
        rc = control_hypercall(c->v, c->op, c->arg, c->narrow, &stop);
        if (stop) {
            vcpu_hold(c->v);
        }
    } else {
        c->v->hypercalls++;
    }
    return rc;
}

/* One entry of a multicall, in either layout. Returns false if the list cannot be read
 * or written. */
static bool multicall_entry(struct call *c, uint64_t at)
{
    struct call sub = { .v = c->v, .narrow = c->narrow, .in_multicall = true };
    struct multicall_entry wide;
    uint32_t small[8], result;

    if (!c->narrow) {
        if (!get(c, &wide, at, sizeof(wide))) {
            return false;
        }
        sub.op = wide.op;
        memcpy(sub.arg, wide.args, sizeof(sub.arg));
        wide.result = (uint64_t)dispatch(&sub);
        return put(c, at + offsetof(struct multicall_entry, result), &wide.result, 8);
    }
    if (!get(c, small, at, sizeof(small))) {
        return false;
    }
    sub.op = small[0];
    for (int i = 0; i < 5; i++) {
        sub.arg[i] = small[2 + i];
    }
    result = (uint32_t)dispatch(&sub);
    return put(c, at + 4, &result, 4);
}

static int64_t do_multicall(struct call *c)
{
    uint64_t size = c->narrow ? 32 : sizeof(struct multicall_entry);
    uint32_t nr = (uint32_t)c->arg[1], done = 0;

    if (c->in_multicall) {
        return -EINVAL;
    }
    while (done < nr) {
        if (!multicall_entry(c, c->arg[0])) {
            return -EFAULT;
        }
        done++;
        c->arg[0] += size;
        c->arg[1] = nr - done;
        if (done < nr && (done >= CALLS_PER_TURN || vcpu_needs_turn(c->v))) {
            c->again = true;
            return 0;
        }
    }
    return 0;
}

/* The conventions (public/arch-x86/xen-x86_64.h and xen-x86_32.h): number in rax,
 * arguments below. */
static const uint8_t args_wide[5] = { ENGINE_RDI, ENGINE_RSI, ENGINE_RDX, ENGINE_R10, ENGINE_R8 };
static const uint8_t args_narrow[5] = { ENGINE_RBX, ENGINE_RCX, ENGINE_RDX, ENGINE_RSI,
                                        ENGINE_RDI };

enum engine_verdict hypercall(void *opaque, unsigned vcpu, uint64_t *gpr)
{
    struct machine *m = opaque;
    struct call c = { .v = &m->vcpu[vcpu] };
    unsigned mode = m->ops->mode(c.v->ev);
    const uint8_t *reg = mode == 64 ? args_wide : args_narrow;
    int64_t rc;

    c.narrow = mode != 64;
    c.op = c.narrow ? (uint32_t)gpr[ENGINE_RAX] : gpr[ENGINE_RAX];
    for (int i = 0; i < 5; i++) {
        c.arg[i] = c.narrow ? (uint32_t)gpr[reg[i]] : gpr[reg[i]];
    }
    rc = m->ops->cpl(c.v->ev) ? -EPERM : dispatch(&c);
    if (c.again) {
        /* The rest of it comes when the guest executes the instruction again: the loop sets rip
         * back. */
        gpr[reg[0]] = c.arg[0];
        gpr[reg[1]] = c.arg[1];
        c.v->rewind = true;
        return ENGINE_STOP;
    }
    gpr[ENGINE_RAX] = c.narrow ? (uint32_t)rc : (uint64_t)rc;
    return vcpu_needs_turn(c.v) ? ENGINE_STOP : ENGINE_CONTINUE;
}

void hypercall_page_fill(struct machine *m, uint8_t page[4096])
{
    /* mov $n, %eax; vmmcall or vmcall; ret */
    const uint8_t stub[] = { 0xb8, 0, 0, 0, 0, 0x0f, 0x01, m->amd ? 0xd9 : 0xc1, 0xc3 };

    memset(page, 0xcc, PAGE_SIZE);
    for (unsigned n = 0; n < PAGE_SIZE / 32; n++) {
        uint8_t *at = page + n * 32;

        memcpy(at, stub, sizeof(stub));
        at[1] = (uint8_t)n;
        if (n == __HYPERVISOR_iret) {
            at[0] = 0x0f; /* ud2: iret is no hypercall for a guest with its own privilege levels */
            at[1] = 0x0b;
        }
    }
}
