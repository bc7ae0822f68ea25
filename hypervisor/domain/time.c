/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "hypervisor/domain/time.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <cpuid.h>
#include <x86intrin.h>

#include "hypervisor/domain/event.h"
#include "hypervisor/domain/lapic.h"
#include "hypervisor/domain/vcpu.h"

#define SECOND          1000000000ull
#define CORRECT_EVERY   SECOND
#define MAX_SLEW        500e-6          /* as NTP's: the guest's clock bends no faster */
#define STEP_OVER_NS    1000000         /* farther behind than that, the clock jumps ahead */
#define WALL_STEP_NS    1000000         /* the host's wallclock was set */
#define CAL_KEEP        (64 * SECOND)   /* the long measurement starts anew from its middle */
#define PERIOD_MIN      1000000ull      /* VCPUOP_set_periodic_timer: 1 ms */

uint64_t host_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

uint64_t host_tsc(void)
{
    return __rdtsc();
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* The TSC and a clock read at the same moment: of a few tries the one that took least. */
static void sample(clockid_t id, uint64_t *tsc, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;

    *tsc = *ns = 0;

    for (int i = 0; i < 5; i++) {
        uint64_t before = __rdtsc(), at = clock_ns(id), after = __rdtsc();

        if (after - before < best) {
            best = after - before;
            *tsc = before + (after - before) / 2;
            *ns = at;
        }
    }
}

/* What the CPU or the hypervisor below says; 0: nothing. */
static uint64_t khz_from_cpuid(void)
{
    uint32_t a, b, c, d;

    __cpuid(0, a, b, c, d);
    if (a >= 0x15) {
        uint32_t den, num, crystal, unused;

        __cpuid(0x15, den, num, crystal, unused);
        (void)unused;
        if (den && num && crystal) {
            return (uint64_t)crystal * num / den / 1000;
        }
    }
    __cpuid(1, a, b, c, d);
    if (c & 1u << 31) {
        __cpuid(0x40000000, a, b, c, d);
        if (a >= 0x40000010 && a < 0x40010000) {
            __cpuid(0x40000010, a, b, c, d);
            return a;
        }
    }
    return 0;
}

uint64_t time_tsc_khz(unsigned measure_ms)
{
    uint64_t known = khz_from_cpuid(), t0, n0, t1, n1, measured;
    struct timespec wait = { .tv_nsec = (long)measure_ms * 1000000 };

    sample(CLOCK_MONOTONIC_RAW, &t0, &n0);
    nanosleep(&wait, NULL);
    sample(CLOCK_MONOTONIC_RAW, &t1, &n1);
    measured = (uint64_t)((double)(t1 - t0) * 1e6 / (double)(n1 - n0));
    /* A leaf that is off by more than 0.1 % describes another clock. */
    if (known && known > measured - measured / 1000 && known < measured + measured / 1000) {
        return known;
    }
    return measured;
}

static uint64_t scale(const struct guest_clock *c, uint64_t ticks)
{
    if (c->shift < 0) {
        ticks >>= -c->shift;
    } else {
        ticks <<= c->shift;
    }
    return (uint64_t)((unsigned __int128)ticks * c->mul >> 32);
}

/* ns per tick as mul and shift, with mul's top bit set. */
static void set_rate(struct guest_clock *c, double ns_per_tick)
{
    int shift = 0;

    while (ns_per_tick >= 1.0) {
        ns_per_tick /= 2;
        shift++;
    }
    while (ns_per_tick < 0.5) {
        ns_per_tick *= 2;
        shift--;
    }
    c->mul = (uint32_t)(ns_per_tick * 4294967296.0);
    c->shift = (int8_t)shift;
}

void time_init(struct machine *m, uint64_t khz)
{
    struct guest_clock *c = &m->clock;
    uint64_t ns;

    m->tsc_khz = (uint32_t)(khz ? khz : time_tsc_khz(20));
    pthread_mutex_init(&c->lock, NULL);
    sample(CLOCK_MONOTONIC, &c->tsc, &ns);
    c->cal_tsc = c->tsc;
    c->cal_ns = ns;
    c->ns_per_tick = 1e6 / m->tsc_khz;
    set_rate(c, c->ns_per_tick);
    c->ns = ns;
    atomic_store(&c->next, ns + CORRECT_EVERY);
    atomic_store(&c->gen, 1);
}

uint64_t time_guest(const struct machine *m, uint64_t host_ns)
{
    return host_ns + m->state->system_time_offset;
}

uint64_t time_host(const struct machine *m, uint64_t guest_ns)
{
    return guest_ns - m->state->system_time_offset;
}

uint64_t time_of_tsc(struct vcpu *v, uint64_t guest_tsc)
{
    uint64_t tsc = guest_tsc - v->tsc_offset, now_tsc = __rdtsc(), now = host_now();
    int64_t ahead = (int64_t)(tsc - now_tsc);

    if (ahead <= 0) {
        return now;
    }
    return now + (uint64_t)((double)ahead * v->m->clock.ns_per_tick);
}

/* Lock held. Bends (or once starts) the line so that in a second it meets the host's clock. */
static void correct(struct machine *m)
{
    struct guest_clock *c = &m->clock;
    uint64_t tsc, mono, real, predicted;
    double bend;
    int64_t err;

    sample(CLOCK_MONOTONIC, &tsc, &mono);
    if (mono - c->cal_ns >= SECOND / 2 && tsc > c->cal_tsc) {
        c->ns_per_tick = (double)(mono - c->cal_ns) / (double)(tsc - c->cal_tsc);
        if (mono - c->cal_ns > CAL_KEEP) {
            c->cal_tsc += (tsc - c->cal_tsc) / 2;
            c->cal_ns += (mono - c->cal_ns) / 2;
        }
    }
    real = time_guest(m, mono);
    predicted = c->ns + scale(c, tsc - c->tsc);
    err = (int64_t)(real - predicted);
    if (!c->set || err > STEP_OVER_NS) {
        predicted = real;
        err = 0;
        c->set = true;
    }
    bend = (double)err / SECOND;
    bend = bend > MAX_SLEW ? MAX_SLEW : bend < -MAX_SLEW ? -MAX_SLEW : bend;
    set_rate(c, c->ns_per_tick * (1 + bend));
    c->tsc = tsc;
    c->ns = predicted;
    atomic_store(&c->next, mono + CORRECT_EVERY);
    atomic_fetch_add(&c->gen, 1);
}

static void fill(const struct vcpu *v, struct vcpu_time_info *t)
{
    const struct guest_clock *c = &v->m->clock;

    t->tsc_timestamp = c->tsc + v->tsc_offset;
    t->system_time = c->ns;
    t->tsc_to_system_mul = c->mul;
    t->tsc_shift = c->shift;
    t->flags = XEN_PVCLOCK_TSC_STABLE_BIT;
}

/* Clock lock held: one vCPU's record in its vcpu_info, by the version protocol. */
static void write_record(struct vcpu *v)
{
    struct vcpu_time_info *t = &event_vcpu_info(v)->time, new = { 0 };
    uint32_t version = __atomic_load_n(&t->version, __ATOMIC_RELAXED) | 1;

    fill(v, &new);
    __atomic_store_n(&t->version, version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&t->tsc_timestamp, new.tsc_timestamp, __ATOMIC_RELAXED);
    __atomic_store_n(&t->system_time, new.system_time, __ATOMIC_RELAXED);
    __atomic_store_n(&t->tsc_to_system_mul, new.tsc_to_system_mul, __ATOMIC_RELAXED);
    __atomic_store_n(&t->tsc_shift, new.tsc_shift, __ATOMIC_RELAXED);
    __atomic_store_n(&t->flags, new.flags, __ATOMIC_RELAXED);
    __atomic_store_n(&t->version, version + 1, __ATOMIC_RELEASE);
}

/* The copy that the guest asked for at a linear address (own thread only: it needs the paging). */
static void write_area(struct vcpu *v)
{
    const struct engine_ops *ops = v->m->ops;
    uint64_t gva = atomic_load(&v->time_gva);
    struct vcpu_time_info t = { 0 };
    uint32_t version;

    if (gva == NO_ADDR || ops->gva_read(v->ev, gva, &version, sizeof(version)) != sizeof(version)) {
        return;
    }
    fill(v, &t);
    version |= 1;
    ops->gva_write(v->ev, gva, &version, sizeof(version));
    t.version = version;
    ops->gva_write(v->ev, gva, &t, sizeof(t));
    version++;
    ops->gva_write(v->ev, gva, &version, sizeof(version));
}

static void publish_all(struct machine *m)
{
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        write_record(&m->vcpu[i]);
        if (&m->vcpu[i] != current && atomic_load(&m->vcpu[i].time_gva) != NO_ADDR) {
            vcpu_kick(&m->vcpu[i]);
        }
    }
}

void time_publish(struct vcpu *v)
{
    struct guest_clock *c = &v->m->clock;

    pthread_mutex_lock(&c->lock);
    if (!c->set) {
        correct(v->m);
    }
    v->clock_gen = atomic_load(&c->gen);
    write_record(v);
    write_area(v);
    pthread_mutex_unlock(&c->lock);
}

void time_refresh(struct vcpu *v, uint64_t now)
{
    struct machine *m = v->m;
    struct guest_clock *c = &m->clock;
    struct engine_state s;
    bool corrected = false;

    if (now < atomic_load_explicit(&c->next, memory_order_relaxed) &&
        v->clock_gen == atomic_load_explicit(&c->gen, memory_order_relaxed)) {
        return;
    }
    m->ops->get_state(v->ev, &s);
    pthread_mutex_lock(&c->lock);
    v->tsc_offset = s.tsc_offset;
    if (now >= atomic_load(&c->next)) {
        correct(m);
        publish_all(m);
        corrected = true;
    } else {
        write_record(v);
    }
    v->clock_gen = atomic_load(&c->gen);
    write_area(v);
    pthread_mutex_unlock(&c->lock);
    if (corrected) {
        time_publish_wallclock(m);
    }
}

void time_publish_wallclock(struct machine *m)
{
    uint64_t shift = (uint64_t)atomic_load(&m->clock.wall_shift) * SECOND;
    uint64_t boot = clock_ns(CLOCK_REALTIME) + shift - time_guest(m, host_now());
    int64_t moved = (int64_t)(boot - m->clock.wall_offset);
    uint32_t *wc = m->narrow ? (uint32_t *)(void *)(m->xen_pages + 2304) : &m->shared->wc_version;
    uint32_t version;

    pthread_mutex_lock(&m->clock.lock);
    if (m->clock.wall_offset && moved > -WALL_STEP_NS && moved < WALL_STEP_NS && wc[0] &&
        wc[1] == (uint32_t)(m->clock.wall_offset / SECOND)) {
        pthread_mutex_unlock(&m->clock.lock);
        return;
    }
    m->clock.wall_offset = boot;
    version = __atomic_load_n(&wc[0], __ATOMIC_RELAXED) | 1;
    __atomic_store_n(&wc[0], version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    wc[1] = (uint32_t)(boot / SECOND);
    wc[2] = (uint32_t)(boot % SECOND);
    if (!m->narrow) {
        wc[3] = (uint32_t)(boot / SECOND >> 32);
    }
    __atomic_store_n(&wc[0], version + 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&m->clock.lock);
}

void time_set_narrow(struct machine *m, bool narrow)
{
    if (atomic_exchange(&m->narrow, narrow) != narrow) {
        time_publish_wallclock(m);
    }
}

/* Timers. */

uint64_t time_next_deadline(const struct vcpu *v)
{
    uint64_t next = v->lapic.timer_deadline;

    next = v->singleshot < next ? v->singleshot : next;
    next = v->periodic_next < next ? v->periodic_next : next;
    return v->block == VCPU_POLLING && v->poll_deadline < next ? v->poll_deadline : next;
}

void time_run_timers(struct vcpu *v, uint64_t now)
{
    if (atomic_load_explicit(&v->periodic_changed, memory_order_relaxed) &&
        atomic_exchange(&v->periodic_changed, 0)) {
        uint64_t period = atomic_load(&v->periodic_ns);

        v->periodic_next = period ? now + period : NO_TIMER;
    }
    if (now >= v->singleshot) {
        v->singleshot = NO_TIMER;
        v->st->singleshot_ns = 0;
        event_virq(v, VIRQ_TIMER);
    }
    if (now >= v->periodic_next) {
        uint64_t period = atomic_load(&v->periodic_ns);

        /* Ticks that were missed are not made up for. */
        v->periodic_next = period ? now + period - (now - v->periodic_next) % period : NO_TIMER;
        event_virq(v, VIRQ_TIMER);
    }
    lapic_timer_run(v, now);
}

long time_set_singleshot(struct vcpu *v, uint64_t guest_ns, bool must_be_future)
{
    uint64_t now = time_guest(v->m, host_now());

    if (must_be_future && guest_ns < now) {
        return -ETIME;
    }
    v->singleshot = guest_ns <= now ? 0 : time_host(v->m, guest_ns);
    v->st->singleshot_ns = guest_ns;
    return 0;
}

void time_stop_singleshot(struct vcpu *v)
{
    v->singleshot = NO_TIMER;
    v->st->singleshot_ns = 0;
}

void time_set_periodic(struct vcpu *v, uint64_t period_ns)
{
    atomic_store(&v->periodic_ns, period_ns && period_ns < PERIOD_MIN ? PERIOD_MIN : period_ns);
    atomic_store(&v->periodic_changed, 1);
    v->st->periodic_ns = period_ns;
    vcpu_kick(v);
}
