/* SPDX-License-Identifier: MIT */
#include "hypervisor/domain/vcpu_op.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <xen/hvm/hvm_vcpu.h>
#include <xen/vcpu.h>

#include "hypervisor/domain/event.h"
#include "hypervisor/domain/state.h"
#include "hypervisor/domain/time.h"
#include "hypervisor/domain/vcpu.h"

#define PERIOD_MIN_NS 1000000u          /* 1 ms, as Xen */

static bool get(struct vcpu *v, void *to, uint64_t gva, size_t len)
{
    return v->m->ops->gva_read(v->ev, gva, to, len) == len;
}

static bool put(struct vcpu *v, uint64_t gva, const void *from, size_t len)
{
    return v->m->ops->gva_write(v->ev, gva, from, len) == len;
}

static long initialise(struct vcpu *v, struct vcpu *t, uint64_t arg)
{
    struct vcpu_hvm_context ctx;
    struct engine_state s;
    uint32_t no = 0;

    if (!get(v, &ctx, arg, sizeof(ctx))) {
        return -EFAULT;
    }
    if (atomic_load(&t->initialised)) {
        return -EEXIST;
    }
    if (state_from_context(&ctx, &s) < 0) {
        return -EINVAL;
    }
    s.tsc_offset = t->tsc_offset;
    /* The target does not run: it has never been up, and INIT / SIPI by others is the
     * guest's race. */
    if (t->m->ops->set_state(t->ev, &s) < 0) {
        return -EINVAL;
    }
    return atomic_compare_exchange_strong(&t->initialised, &no, 1) ? 0 : -EEXIST;
}

static long set_singleshot(struct vcpu *v, struct vcpu *t, uint64_t arg)
{
    struct vcpu_set_singleshot_timer timer;

    if (t != v) {
        return -EINVAL;
    }
    if (!get(v, &timer, arg, sizeof(timer.timeout_abs_ns) + sizeof(timer.flags))) {
        return -EFAULT;
    }
    return time_set_singleshot(v, timer.timeout_abs_ns, timer.flags & VCPU_SSHOTTMR_future);
}

static long set_periodic(struct vcpu *v, struct vcpu *t, uint64_t arg)
{
    struct vcpu_set_periodic_timer timer;

    if (!get(v, &timer, arg, sizeof(timer))) {
        return -EFAULT;
    }
    if (timer.period_ns < PERIOD_MIN_NS) {
        return -EINVAL;
    }
    time_set_periodic(t, timer.period_ns > INT64_MAX ? INT64_MAX : timer.period_ns);
    return 0;
}

static long register_info(struct vcpu *v, struct vcpu *t, uint64_t arg)
{
    struct vcpu_register_vcpu_info info;
    long rc;

    if (!get(v, &info, arg, sizeof(info))) {
        return -EFAULT;
    }
    if (info.offset > PAGE_SIZE - sizeof(struct vcpu_info) || info.mfn >= v->m->nr_gfns) {
        return -EINVAL;
    }
    rc = event_register_vcpu_info(t, (info.mfn << PAGE_SHIFT) + info.offset);
    if (!rc && t == v) {
        time_publish(v);
    }
    return rc;
}

/* The argument of both area registrations is one address: 8 bytes, or 4 in the low half. */
static long get_address(struct vcpu *v, uint64_t arg, bool narrow, uint64_t *address)
{
    *address = 0;
    return get(v, address, arg, narrow ? 4 : 8) ? 0 : -EFAULT;
}

static long register_runstate(struct vcpu *v, struct vcpu *t, uint64_t arg, bool narrow)
{
    uint64_t address;
    long rc = get_address(v, arg, narrow, &address);

    if (!rc) {
        atomic_store(&t->runstate_gva, address ? address : NO_ADDR);
        t->st->runstate_gva = address ? address : NO_ADDR;
        if (t == v) {
            vcpu_runstate_set(v, RUNSTATE_running);
        } else {
            vcpu_request(t, VCPU_REQ_RUNSTATE);
        }
    }
    return rc;
}

static long register_time(struct vcpu *v, struct vcpu *t, uint64_t arg, bool narrow)
{
    uint64_t address;
    long rc = get_address(v, arg, narrow, &address);

    if (!rc) {
        atomic_store(&t->time_gva, address ? address : NO_ADDR);
        t->st->time_info_gva = address ? address : NO_ADDR;
        if (t == v) {
            time_publish(v);
        }
    }
    return rc;
}

static long runstate_info(struct vcpu *v, struct vcpu *t, uint64_t arg, bool narrow)
{
    struct vcpu_runstate_info r;
    uint8_t packed[44];

    vcpu_runstate_get(t, &r);
    if (!narrow) {
        return put(v, arg, &r, sizeof(r)) ? 0 : -EFAULT;
    }
    memcpy(packed, &r.state, 4);
    memcpy(packed + 4, &r.state_entry_time, 8);
    memcpy(packed + 12, r.time, 32);
    return put(v, arg, packed, sizeof(packed)) ? 0 : -EFAULT;
}

long vcpu_op(struct vcpu *v, uint32_t cmd, uint64_t id, uint64_t arg, bool narrow)
{
    struct vcpu *t;

    if (id >= v->m->nr_vcpus) {
        return -ENOENT;
    }
    t = &v->m->vcpu[id];
    switch (cmd) {
    case VCPUOP_initialise:
        return initialise(v, t, arg);
    case VCPUOP_up:
        if (!atomic_load(&t->initialised)) {
            return -EINVAL;
        }
        vcpu_up(t);
        return 0;
    case VCPUOP_down:
        vcpu_down(t);
        return 0;
    case VCPUOP_is_up:
        return atomic_load(&t->online) != 0;
    case VCPUOP_get_runstate_info:
        return runstate_info(v, t, arg, narrow);
    case VCPUOP_register_runstate_memory_area:
        return register_runstate(v, t, arg, narrow);
    case VCPUOP_set_periodic_timer:
        return set_periodic(v, t, arg);
    case VCPUOP_stop_periodic_timer:
        time_set_periodic(t, 0);
        return 0;
    case VCPUOP_set_singleshot_timer:
        return set_singleshot(v, t, arg);
    case VCPUOP_stop_singleshot_timer:
        if (t != v) {
            return -EINVAL;
        }
        time_stop_singleshot(v);
        return 0;
    case VCPUOP_register_vcpu_info:
        return register_info(v, t, arg);
    case VCPUOP_send_nmi:
        vcpu_request(t, VCPU_REQ_NMI);
        return 0;
    case VCPUOP_get_physid:
        return -EINVAL;         /* only for a domain whose vCPUs are pinned for good */
    case VCPUOP_register_vcpu_time_memory_area:
        return register_time(v, t, arg, narrow);
    default:
        return -ENOSYS;
    }
}
