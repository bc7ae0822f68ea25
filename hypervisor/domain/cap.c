/* SPDX-License-Identifier: MIT */
#include "hypervisor/domain/cap.h"

#include <time.h>

#include "hypervisor/domain/vcpu.h"

/*
 * Use is paid for with time: 1 ms at a cap of 25 per cent costs 4 ms. `paid` is the moment at which
 * everything so far is paid for; at most BURST before now, which is what an idle domain may save
 * up. A domain in debt waits until it is CREDIT ahead, so that it runs and waits in stretches
 * worth the switch, as with credit2, which hands out budgets every 10 ms.
 */
#define BURST_NS  10000000u
#define CREDIT_NS  5000000u

void cap_set(struct machine *m, uint32_t percent)
{
    atomic_store(&m->cap.percent, percent);
    atomic_store(&m->cap.paid, 0);
    atomic_fetch_add(&m->cap.gen, 1);
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        vcpu_kick(&m->vcpu[i]);
    }
}

uint64_t cap_wait_until(struct vcpu *v, uint64_t now)
{
    struct cpu_cap *c = &v->m->cap;
    uint64_t paid;

    if (!atomic_load_explicit(&c->percent, memory_order_relaxed)) {
        v->cap_waits = false;
        return 0;
    }
    paid = atomic_load(&c->paid);
    /* Once in debt, out of it by a margin. */
    v->cap_waits = v->cap_waits ? paid + CREDIT_NS > now : paid > now;
    return v->cap_waits ? paid + CREDIT_NS : 0;
}

static uint64_t thread_ns(void)
{
    struct timespec t = { 0, 0 };

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void cap_charge(struct vcpu *v)
{
    struct cpu_cap *c = &v->m->cap;
    uint32_t percent = atomic_load_explicit(&c->percent, memory_order_relaxed);
    uint32_t gen = atomic_load_explicit(&c->gen, memory_order_relaxed);
    uint64_t used, cost, now, paid, next;

    if (!percent) {
        return;
    }
    used = thread_ns();
    cost = v->cap_gen == gen ? (used - v->cap_used) * 100 / percent : 0;
    v->cap_gen = gen;
    v->cap_used = used;
    now = host_now();
    paid = atomic_load(&c->paid);
    do {
        next = (paid + BURST_NS < now ? now - BURST_NS : paid) + cost;
    } while (!atomic_compare_exchange_weak(&c->paid, &paid, next));
}
