/* SPDX-License-Identifier: MIT */
/*
 * The write rate of guests, as Xen has it: a write costs COST, a guest earns RATE per millisecond
 * and keeps at most BURST of it; what it cannot keep goes into a reserve that all draw on who have
 * less than nothing. So one busy guest among idle ones may write more than its share.
 */
#include "common/log.h"
#include "xenstored/store.h"

enum {
    COST = 1000,
    RATE = 200,                 /* per ms: 200 writes per second */
    BURST = 10 * COST,
    RESERVE_MAX = 1000 * COST,
    NEW_DOMAIN = 5 * COST,
};

void wrl_init(struct store *s)
{
    s->wrl_reserve = RESERVE_MAX;
}

void wrl_new_domain(struct domain *d)
{
    d->credit = NEW_DOMAIN;
}

static void earn(struct store *s, struct domain *d)
{
    uint64_t now = s->now_ms ? s->now_ms(s) : 0;
    uint64_t ms = now > d->credit_ms ? now - d->credit_ms : 0;

    d->credit_ms = now;
    d->credit += (int64_t)(ms < 60000 ? ms : 60000) * RATE;
    if (d->credit > BURST) {
        s->wrl_reserve += d->credit - BURST;
        d->credit = BURST;
        if (s->wrl_reserve > RESERVE_MAX)
            s->wrl_reserve = RESERVE_MAX;
    } else if (d->credit < 0) {
        int64_t lent = -d->credit < s->wrl_reserve ? -d->credit : s->wrl_reserve;
        d->credit += lent;
        s->wrl_reserve -= lent;
    }
}

void wrl_wrote(struct store *s, struct domain *d, size_t times, bool own)
{
    if (domain_privileged(d) || s->nr_txs <= own)
        return;
    earn(s, d);
    d->credit -= COST * (int64_t)times;
    if (s->trace & TRACE_WRL)
        store_log(s, "wrl dom %u credit %lld reserve %lld", d->domid, (long long)d->credit,
                  (long long)s->wrl_reserve);
}

bool wrl_blocked(struct store *s, struct domain *d)
{
    if (d->credit >= 0)
        return false;
    earn(s, d);
    if (d->credit >= 0)
        return false;
    if (!s->wrl_limiting) {
        s->wrl_limiting = true;
        kr_log(KR_NOTICE, "domain %u writes too often, its requests wait", d->domid);
    }
    store_wake_at(s, d->credit_ms + (uint64_t)(-d->credit + RATE - 1) / RATE);
    return true;
}
