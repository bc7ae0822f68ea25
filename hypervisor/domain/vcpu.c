/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "hypervisor/domain/vcpu.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <xen/hvm/dm_op.h>
#include <xen/hvm/params.h>
#include <xen/sched.h>

#include "common/log.h"
#include "common/sanitizer.h"
#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/cap.h"
#include "hypervisor/domain/control.h"
#include "hypervisor/domain/event.h"
#include "hypervisor/domain/lapic.h"
#include "hypervisor/domain/state.h"
#include "hypervisor/domain/time.h"

__thread struct vcpu *current;

/*
 * Guest code runs in slices, so that a timer needs no other thread to interrupt it: the slice ends
 * about when the next deadline comes. A slow guess of the speed only makes slices shorter.
 */
#define SLICE_MAX       50000u
#define SLICE_MIN       500u
#define INSNS_PER_US    100u

#define VECTOR_PF       14
#define NO_ERROR_CODE   UINT32_MAX
#define ACCOUNT_EVERY 10000000u /* ns: how old the core's view of a busy vCPU's time may be */
/* Instrumented handlers make no tail calls: their stack grows for as long as a slice lasts. */
#if KR_ASAN
#define VCPU_STACK      (256u << 20)
#else
#define VCPU_STACK      (512u << 10)
#endif

/* Attention. */

void vcpu_kick(struct vcpu *v)
{
    uint32_t where;

    if (atomic_exchange(&v->work, 1) || v == current) {
        return;
    }
    where = atomic_load(&v->where);
    if (where == VCPU_IN_LOOP) {
        v->m->ops->kick(v->ev);
    } else if (where == VCPU_SLEEPING || where == VCPU_IN_ACCESS) {
        const uint64_t one = 1;

        (void)!write(v->kick_fd, &one, sizeof(one));
    }
}

void vcpu_request(struct vcpu *v, uint32_t bits)
{
    atomic_fetch_or(&v->requests, bits);
    vcpu_kick(v);
}

/* Run states. */

static void account(struct vcpu *v, uint64_t now)
{
    uint64_t spent = now - v->runstate_since, cpu;
    struct timespec t;

    v->runstate_since = now;
    v->runstate_time[v->runstate] += spent;
    if (v->runstate == RUNSTATE_running && clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0) {
        /* Time in which the host ran something else is the guest's stolen time. */
        cpu = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
        if (spent > cpu - v->cpu_sampled) {
            v->runstate_time[RUNSTATE_runnable] += spent - (cpu - v->cpu_sampled);
            v->runstate_time[RUNSTATE_running] -= spent - (cpu - v->cpu_sampled);
        }
        v->cpu_sampled = cpu;
    }
    memcpy(v->st->time, v->runstate_time, sizeof(v->st->time));
}

/* Counters that the core and its users may look at. */
static void tell_stats(struct vcpu *v)
{
    struct engine_stats stats = { 0 };

    v->m->ops->stats(v->ev, &stats);
    v->st->insns = stats.insns;
    v->st->exits = stats.exits;
    __atomic_add_fetch(&v->m->state->hypercalls_local, v->hypercalls, __ATOMIC_RELAXED);
    v->hypercalls = 0;
}

void vcpu_runstate_set(struct vcpu *v, unsigned runstate)
{
    static const uint32_t shown[] = { KL_RS_RUNNING, KL_RS_RUNNABLE, KL_RS_BLOCKED, KL_RS_OFFLINE };

    account(v, host_now());
    v->runstate = runstate;
    v->st->run = shown[runstate];
    vcpu_runstate_publish(v);
}

void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out)
{
    if (v == current) {
        account(v, host_now());
    }
    memset(out, 0, sizeof(*out));
    out->state = (int)v->runstate;
    out->state_entry_time = time_guest(v->m, v->runstate_since);
    memcpy(out->time, v->runstate_time, sizeof(out->time));
    if (v != current) {
        out->time[out->state & 3] += host_now() - v->runstate_since;
    }
}

/* struct vcpu_runstate_info where uint64_t is aligned to 4 (i386). */
struct narrow_runstate { uint32_t state, time[10]; };

static void put_area(struct vcpu *v, uint64_t gva, const struct vcpu_runstate_info *r)
{
    const struct engine_ops *ops = v->m->ops;
    struct narrow_runstate n = { .state = (uint32_t)r->state };

    if (!v->m->narrow) {
        ops->gva_write(v->ev, gva, r, sizeof(*r));
        return;
    }
    memcpy(&n.time[0], &r->state_entry_time, 8);
    memcpy(&n.time[2], r->time, sizeof(r->time));
    ops->gva_write(v->ev, gva, &n, sizeof(n));
}

void vcpu_runstate_publish(struct vcpu *v)
{
    uint64_t gva = atomic_load(&v->runstate_gva), at;
    struct vcpu_runstate_info r;

    if (gva == NO_ADDR) {
        return;
    }
    memset(&r, 0, sizeof(r));
    r.state = (int)v->runstate;
    r.state_entry_time = time_guest(v->m, v->runstate_since);
    memcpy(r.time, v->runstate_time, sizeof(r.time));
    if (atomic_load(&v->m->vm_assist) & 1ull << VMASST_TYPE_runstate_update_flag) {
        at = gva + (v->m->narrow ? 4 : offsetof(struct vcpu_runstate_info, state_entry_time));
        r.state_entry_time |= XEN_RUNSTATE_UPDATE;
        v->m->ops->gva_write(v->ev, at, &r.state_entry_time, 8);
        put_area(v, gva, &r);
        r.state_entry_time &= ~XEN_RUNSTATE_UPDATE;
        v->m->ops->gva_write(v->ev, at, &r.state_entry_time, 8);
        return;
    }
    put_area(v, gva, &r);
}

/* Going up and down. */

void vcpu_down(struct vcpu *v)
{
    struct machine *m = v->m;

    atomic_store(&v->online, 0);
    v->st->online = 0;
    vcpu_kick(v);
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        if (atomic_load(&m->vcpu[i].online)) {
            return;
        }
    }
    if (atomic_exchange(&m->down_told, 1)) {
        return;         /* another of the last ones was quicker */
    }
    /* As on Xen: a domain whose last vCPU goes down has powered off. */
    vcpu_shutdown(current ? current : v, SHUTDOWN_poweroff, "all vCPUs are down");
}

void vcpu_up(struct vcpu *v)
{
    atomic_store(&v->online, 1);
    v->st->online = 1;
    vcpu_kick(v);
}

static void awake(struct vcpu *v)
{
    if (v->block == VCPU_POLLING) {
        atomic_store(&v->polling, 0);
        atomic_fetch_sub(&v->m->pollers, 1);
    }
    v->block = VCPU_AWAKE;
}

static void do_init(struct vcpu *v)
{
    struct engine_state s;

    /* As on Xen: what has not been started since its last reset is reset already. */
    if (!atomic_exchange(&v->initialised, v->id == 0)) {
        return;
    }
    state_reset(&s);
    s.tsc_offset = v->tsc_offset;
    v->m->ops->set_state(v->ev, &s);
    lapic_reset(v, true);
    awake(v);
    v->nmi_pending = false;
    /* The bootstrap processor starts at the reset vector; the others wait for a SIPI. */
    if (v->id) {
        atomic_store(&v->online, 0);
        v->st->online = 0;
    }
}

static void do_sipi(struct vcpu *v)
{
    struct engine_state s;
    uint32_t vector = atomic_load(&v->upcall_vector);

    if (atomic_load(&v->initialised)) {
        return;
    }
    if (vector && event_upcall_pending(v)) {
        lapic_post(v, (uint8_t)vector);     /* an INIT may have lost it */
    }
    state_sipi(&s, (uint8_t)atomic_load(&v->sipi_vector));
    s.tsc_offset = v->tsc_offset;
    v->m->ops->set_state(v->ev, &s);
    awake(v);
    atomic_store(&v->initialised, 1);
    atomic_store(&v->online, 1);
    v->st->online = 1;
}

/* An event of a device model's, taken as if the CPU had found it; lost if another is on its way. */
static void do_inject(struct vcpu *v)
{
    struct kl_inject i = v->inject;
    struct engine_state s;

    __atomic_store_n(&v->st->inject, 0, __ATOMIC_SEQ_CST);
    v->m->ops->get_state(v->ev, &s);
    if (s.event.valid) {
        return;
    }
    s.event.valid = true;
    s.event.vector = i.vector;
    s.event.type = i.type;
    s.event.has_error = i.type == XEN_DMOP_EVENT_hw_exc && i.error != NO_ERROR_CODE;
    s.event.error = i.error;
    if (i.type == XEN_DMOP_EVENT_hw_exc && i.vector == VECTOR_PF) {
        s.cr2 = i.cr2;
    }
    if (i.type >= XEN_DMOP_EVENT_sw_int) {
        s.rip += i.insn_len;            /* such events return behind the instruction */
    }
    if (v->m->ops->set_state(v->ev, &s) < 0) {
        vcpu_shutdown(v, SHUTDOWN_crash, "a device model injected an impossible event");
    }
}

static void take_requests(struct vcpu *v)
{
    uint32_t req;

    if (!atomic_load_explicit(&v->requests, memory_order_relaxed)) {
        return;
    }
    req = atomic_exchange(&v->requests, 0);
    if (req & VCPU_REQ_NMI) {
        v->nmi_pending = true;
    }
    if (req & VCPU_REQ_INIT) {
        do_init(v);
    }
    if (req & VCPU_REQ_SIPI) {
        do_sipi(v);
    }
    if (req & VCPU_REQ_RUNSTATE) {
        vcpu_runstate_publish(v);
    }
    if (req & VCPU_REQ_INJECT) {
        do_inject(v);
    }
}

/* Stopping and running. */

static void save(struct vcpu *v)
{
    struct engine_state s;

    v->m->ops->get_state(v->ev, &s);
    s.rip = v->m->ops->rip(v->ev);      /* of the instruction, if it is in the middle of one */
    state_to_hw(&s, &v->st->cpu, host_tsc());
    lapic_save(v, &v->st->lapic, &v->st->lapic_regs);
    msr_save(v, &v->st->mtrr, s.pat);
    tell_stats(v);
    v->st->upcall_vector = atomic_load(&v->upcall_vector);
    control_debug_flush(v);
}

/* Takes over the context that the core has put into the state area. */
static void load(struct vcpu *v)
{
    struct engine_state s;
    struct hvm_hw_cpu cpu = v->st->cpu;
    struct hvm_hw_lapic lapic = v->st->lapic;
    struct hvm_hw_lapic_regs regs = v->st->lapic_regs;
    uint32_t what = v->st->load;

    v->st->load = 0;
    if (what & KL_LOAD_LAPIC) {
        lapic_load(v, &lapic, what & KL_LOAD_LAPIC_REGS ? &regs : NULL);
    }
    if (what & KL_LOAD_MTRR) {
        msr_load(v, &v->st->mtrr);
    }
    if (!(what & KL_LOAD_CPU)) {
        return;
    }
    state_from_hw(&cpu, &s, v->m->start_tsc);
    if ((what & KL_LOAD_MTRR) && v->st->mtrr.msr_pat_cr) {
        s.pat = v->st->mtrr.msr_pat_cr;
    }
    v->tsc_offset = s.tsc_offset;
    if (v->m->ops->set_state(v->ev, &s) < 0) {
        vcpu_shutdown(v, SHUTDOWN_crash, "the vCPU's context is not one that a CPU can be in");
        return;
    }
    awake(v);
    atomic_store(&v->initialised, 1);
    atomic_store(&v->online, 1);
    v->st->online = 1;
}

/* PARK_FIRST: the thread has only just started; gen 0 is before any KL_RUN. */
enum park { PARK_FIRST, PARK_BETWEEN, PARK_INSIDE };

static void park(struct vcpu *v, enum park how)
{
    struct machine *m = v->m;
    struct kl_hdr stopped = { KL_STOPPED, sizeof(stopped) };
    uint32_t gen;

    event_hear(v, false);
    atomic_store(&v->where, VCPU_OUT);
    if (how != PARK_FIRST && !v->load_later) {
        save(v);
    }
    if (how != PARK_FIRST) {
        vcpu_runstate_set(v, v->block == VCPU_AWAKE ? RUNSTATE_offline : RUNSTATE_blocked);
    }
    pthread_mutex_lock(&m->run_lock);
    gen = how == PARK_FIRST ? 0 : m->run_gen;
    v->parked = true;
    m->nr_parked++;
    if (how == PARK_FIRST) {
        pthread_cond_broadcast(&m->run_cond);
    }
    if (m->stop_asked && m->nr_parked == m->nr_vcpus) {
        m->stop_asked = false;
        control_send(m->control, &stopped, sizeof(stopped));
    }
    while (gen == m->run_gen) {
        pthread_cond_wait(&m->run_cond, &m->run_lock);
    }
    v->parked = v->hold = false;
    m->nr_parked--;
    pthread_mutex_unlock(&m->run_lock);
    if (how == PARK_INSIDE) {
        v->load_later = v->load_later || v->st->load;
    } else if (v->st->load) {
        load(v);
    }
    time_publish(v);
    vcpu_runstate_set(v, atomic_load(&v->online) ? RUNSTATE_running : RUNSTATE_offline);
}

void vcpu_park_in_access(struct vcpu *v)
{
    park(v, PARK_INSIDE);
    atomic_store(&v->where, VCPU_IN_LOOP);
}

void vcpus_run(struct machine *m)
{
    uint64_t offset;

    pthread_mutex_lock(&m->run_lock);
    m->start_tsc = host_tsc();
    m->start_ns = host_now();
    /* One TSC for all: vCPUs that start later count from the first one's zero. */
    offset = m->vcpu[0].st->load & KL_LOAD_CPU ? m->vcpu[0].st->cpu.tsc - m->start_tsc
                                               : m->vcpu[0].tsc_offset;
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        if (!atomic_load(&m->vcpu[i].initialised)) {
            m->vcpu[i].tsc_offset = offset;
        }
    }
    atomic_store(&m->stop, 0);
    atomic_store(&m->down_told, 0);
    m->run_gen++;
    pthread_cond_broadcast(&m->run_cond);
    pthread_mutex_unlock(&m->run_lock);
    time_publish_wallclock(m);
}

void vcpus_stop(struct machine *m)
{
    struct kl_hdr stopped = { KL_STOPPED, sizeof(stopped) };

    pthread_mutex_lock(&m->run_lock);
    atomic_store(&m->stop, 1);
    m->stop_asked = true;
    if (m->nr_parked == m->nr_vcpus) {
        m->stop_asked = false;
        control_send(m->control, &stopped, sizeof(stopped));
    }
    pthread_mutex_unlock(&m->run_lock);
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        vcpu_kick(&m->vcpu[i]);
    }
}

void vcpu_hold(struct vcpu *v)
{
    v->hold = true;
    atomic_store(&v->work, 1);
}

void vcpu_shutdown(struct vcpu *v, unsigned reason, const char *text)
{
    control_shutdown(v, reason, text);
    vcpu_hold(v);
}

/* Waiting. */

static void sleep_until(struct vcpu *v, uint64_t deadline, unsigned runstate)
{
    control_debug_flush(v);
    vcpu_runstate_set(v, runstate);
    event_hear(v, true);
    atomic_store(&v->where, VCPU_SLEEPING);
    while (!atomic_load(&v->work)) {
        event_wait(v, deadline);
        if (deadline != NO_TIMER && host_now() >= deadline) {
            break;
        }
    }
    atomic_store(&v->where, VCPU_IN_LOOP);
    vcpu_runstate_set(v, RUNSTATE_running);
}

/* The interrupt to deliver now: the upcall's own vector first, then the local APIC's; or -1. */
static int pending_vector(struct vcpu *v, bool *from_lapic)
{
    uint64_t via = atomic_load_explicit(&v->m->callback_via, memory_order_relaxed);

    *from_lapic = false;
    if (via >> 56 == HVM_PARAM_CALLBACK_TYPE_VECTOR && event_upcall_pending(v)) {
        return via & 0xff;
    }
    *from_lapic = true;
    return lapic_pending(v);
}

bool vcpu_needs_turn(struct vcpu *v)
{
    bool from_lapic;

    return atomic_load_explicit(&v->work, memory_order_relaxed) || v->block != VCPU_AWAKE ||
           v->nmi_pending || (!v->window && pending_vector(v, &from_lapic) >= 0);
}

/* Whether what the vCPU waits for has come. */
static bool unblocked(struct vcpu *v, uint64_t now)
{
    bool from_lapic;

    if (v->nmi_pending) {
        return true;
    }
    switch (v->block) {
    case VCPU_HALTED:
        return v->m->ops->irq_ready(v->ev) && pending_vector(v, &from_lapic) >= 0;
    case VCPU_BLOCKED:
        return v->kicked || event_upcall_pending(v) || pending_vector(v, &from_lapic) >= 0;
    case VCPU_POLLING:
        return v->kicked || now >= v->poll_deadline || event_upcall_pending(v);
    default:
        return true;
    }
}

/* Returns false if the vCPU goes on waiting (and has slept). */
static bool wait_blocked(struct vcpu *v, uint64_t now)
{
    if (v->block == VCPU_AWAKE) {
        return true;
    }
    if (!unblocked(v, now)) {
        sleep_until(v, time_next_deadline(v), RUNSTATE_blocked);
        return false;
    }
    if (v->block == VCPU_HALTED) {
        v->m->ops->set_halted(v->ev, false);
    }
    awake(v);
    return true;
}

/* Running. */

/* What else is due once one source has been served; the upcall's level is the guest's to clear. */
static bool more_pending(struct vcpu *v, bool served_lapic)
{
    bool from_lapic;

    return served_lapic ? pending_vector(v, &from_lapic) >= 0 : lapic_pending(v) >= 0;
}

static void deliver(struct vcpu *v)
{
    const struct engine_ops *ops = v->m->ops;
    bool from_lapic, want;
    int vector = pending_vector(v, &from_lapic);

    if (v->nmi_pending) {
        v->nmi_pending = false;
        ops->inject_nmi(v->ev);
        want = vector >= 0;
    } else if (vector >= 0 && ops->irq_ready(v->ev)) {
        if (from_lapic) {
            lapic_accept(v, (uint8_t)vector);
        }
        ops->inject_irq(v->ev, (uint8_t)vector);
        want = more_pending(v, from_lapic);
    } else {
        want = vector >= 0;
    }
    if (want != v->window) {
        v->window = want;
        ops->want_irq_window(v->ev, want);
    }
}

static uint64_t slice(struct vcpu *v, uint64_t now)
{
    uint64_t next = time_next_deadline(v), us;

    if (next <= now) {
        return SLICE_MIN;
    }
    us = (next - now) / 1000;
    if (us >= SLICE_MAX / INSNS_PER_US) {
        return SLICE_MAX;
    }
    return us * INSNS_PER_US > SLICE_MIN ? us * INSNS_PER_US : SLICE_MIN;
}

static void handle_exit(struct vcpu *v, enum engine_exit exit)
{
    char text[200];

    switch (exit) {
    case ENGINE_EXIT_KICK:
    case ENGINE_EXIT_IRQ_WINDOW:
        break;
    case ENGINE_EXIT_HLT:
        v->block = VCPU_HALTED;
        v->kicked = false;
        /* Nothing but an NMI could wake it: as on Xen, that is a vCPU going down. */
        if (!v->m->ops->irq_ready(v->ev) && !v->nmi_pending) {
            vcpu_down(v);
        }
        break;
    case ENGINE_EXIT_SHUTDOWN:
        snprintf(text, sizeof(text), "triple fault at rip %#llx",
                 (unsigned long long)v->m->ops->rip(v->ev));
        vcpu_shutdown(v, atomic_load(&v->m->triple_fault_reason), text);
        break;
    case ENGINE_EXIT_ERROR:
        snprintf(text, sizeof(text), "engine: %s", v->m->ops->error(v->ev));
        vcpu_shutdown(v, SHUTDOWN_crash, text);
        break;
    }
}

#define HYPERCALL_INSN_LEN 3u           /* VMCALL and VMMCALL */

static void rewind_hypercall(struct vcpu *v)
{
    struct engine_state s;

    v->rewind = false;
    v->m->ops->get_state(v->ev, &s);
    s.rip -= HYPERCALL_INSN_LEN;
    v->m->ops->set_state(v->ev, &s);
}

/* One turn of the loop: everything that may happen between two stretches of guest code. */
static void turn(struct vcpu *v)
{
    uint64_t now, until;

    atomic_store(&v->where, VCPU_IN_LOOP);
    if (v->load_later) {
        v->load_later = false;
        load(v);
    }
    if (atomic_exchange(&v->work, 0)) {
        v->kicked = true;
    }
    if (atomic_load(&v->m->stop) || v->hold) {
        park(v, PARK_BETWEEN);
        return;
    }
    take_requests(v);
    if (!atomic_load(&v->online)) {
        sleep_until(v, NO_TIMER, RUNSTATE_offline);
        return;
    }
    now = host_now();
    time_run_timers(v, now);
    if (!wait_blocked(v, now)) {
        return;
    }
    until = cap_wait_until(v, now);
    if (until > now) {
        sleep_until(v, until, RUNSTATE_runnable);
        return;
    }
    time_refresh(v, now);
    if (now - v->runstate_since > ACCOUNT_EVERY) {
        account(v, now);
        tell_stats(v);
    }
    if (atomic_load(&v->work)) {
        return;         /* a timer's event, say; others' kicks are heard only from 0 to 1 */
    }
    event_hear(v, false);
    deliver(v);
    handle_exit(v, v->m->ops->run(v->ev, slice(v, now)));
    cap_charge(v);
    if (v->rewind) {
        rewind_hypercall(v);
    }
}

static void *thread_main(void *arg)
{
    struct vcpu *v = arg;

    current = v;
    prctl(PR_SET_TIMERSLACK, 1);        /* the default lets every timer be 50 us late */
    v->st->tid = (int32_t)syscall(SYS_gettid);
    park(v, PARK_FIRST);
    for (;;) {
        turn(v);
    }
    return NULL;
}

static void vcpu_defaults(struct machine *m, struct vcpu *v, unsigned id)
{
    v->m = m;
    v->id = id;
    v->sock = -1;
    v->kick_fd = v->events = -1;
    v->st = &m->state->vcpu[id];
    v->info_gpa = v->runstate_gva = v->time_gva = NO_ADDR;
    v->fifo_control = NO_ADDR;
    v->singleshot = v->periodic_next = v->poll_deadline = NO_TIMER;
    v->runstate = RUNSTATE_offline;
    v->runstate_since = host_now();
    v->st->run = KL_RS_OFFLINE;
    v->st->vcpu_info_gpa = v->st->runstate_gva = v->st->time_info_gva = NO_ADDR;
    pthread_mutex_init(&v->fifo_lock, NULL);
    lapic_reset(v, false);
    msr_reset(v);
}

int vcpus_create(struct machine *m)
{
    m->triple_fault_reason = SHUTDOWN_reboot;
    m->vcpu = calloc(m->nr_vcpus, sizeof(*m->vcpu));
    if (!m->vcpu) {
        return -1;
    }
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        vcpu_defaults(m, &m->vcpu[i], i);
        m->vcpu[i].ev = m->ops->vcpu_create(m->engine, i);
        if (!m->vcpu[i].ev || event_vcpu_init(&m->vcpu[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

int vcpus_start(struct machine *m)
{
    pthread_attr_t attr;
    int rc = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, VCPU_STACK);
    for (unsigned i = 0; i < m->nr_vcpus && !rc; i++) {
        rc = pthread_create(&m->vcpu[i].thread, &attr, thread_main, &m->vcpu[i]);
    }
    pthread_attr_destroy(&attr);
    /* Their own set-up needs system calls that the sandbox will not have. */
    pthread_mutex_lock(&m->run_lock);
    while (!rc && m->nr_parked < m->nr_vcpus) {
        pthread_cond_wait(&m->run_cond, &m->run_lock);
    }
    pthread_mutex_unlock(&m->run_lock);
    errno = rc;
    return rc ? -1 : 0;
}
