/* SPDX-License-Identifier: MIT */
/* Quotas and memory: every byte and object that a guest makes the store hold is counted here. */
#include <stdlib.h>

#include "common/log.h"
#include "xenstored/journal.h"
#include "xenstored/store.h"

unsigned quota_limit(const struct store *s, const struct domain *d, enum quota_id q)
{
    if (domain_privileged(d))
        return 0;
    return d->quota_own & 1u << q ? d->quota[q] : s->quota[q];
}

void quota_set(struct store *s, struct domain *d, enum quota_id q, unsigned value)
{
    if (value == QUOTA_NONE_TEXT)
        value = 0;
    if (d) {
        d->quota[q] = value;
        d->quota_own |= 1u << q;
        JOURNAL(s, journal_domain_(s, d));
    } else {
        s->quota[q] = value;
        JOURNAL(s, journal_quota_(s));
    }
    if (s->trace & TRACE_ACC)
        store_log(s, "quota %s of %s%u is %u", quota_info[q].name, d ? "domain " : "all, not ",
                  d ? d->domid : 0, value);
}

static void peak(struct store *s, const struct domain *d, enum quota_id q, int64_t value)
{
    if (value > s->peak[q] && !domain_privileged(d))
        s->peak[q] = value;
}

int quota_check(const struct store *s, const struct domain *d, enum quota_id q, uint64_t value)
{
    unsigned limit = quota_limit(s, d, q);

    return limit && value > limit ? quota_info[q].err : 0;
}

int quota_take(struct store *s, struct domain *d, enum quota_id q, unsigned n)
{
    int err = quota_check(s, d, q, (uint64_t)d->used[q] + n);

    if (!err) {
        d->used[q] += n;
        peak(s, d, q, d->used[q]);
    }
    return err;
}

void quota_give(struct domain *d, enum quota_id q, unsigned n)
{
    d->used[q] -= n < d->used[q] ? n : d->used[q];
}

static int64_t memory_used(const struct store *s, const struct domain *d)
{
    return s->books.flat[d->domid].bytes + d->memory;
}

int64_t quota_used(const struct store *s, const struct domain *d, enum quota_id q)
{
    switch (q) {
    case QUOTA_NODES: return s->books.flat[d->domid].nodes;
    case QUOTA_MEMORY: return memory_used(s, d);
    default: return d->used[q];
    }
}

/* Says once that a limit is passed, and once that it no longer is: a guest must not fill the log. */
static void warn(const struct store *s, const struct domain *d, bool *warned, bool over,
                 enum quota_id q)
{
    int64_t limit = quota_limit(s, d, q);

    if (over && !*warned)
        kr_log(KR_WARN, "domain %u is beyond its %s quota of %lld bytes", d->domid,
               quota_info[q].name, (long long)limit);
    else if (*warned && !over && memory_used(s, d) < limit - limit / 8)
        kr_log(KR_NOTICE, "domain %u is within its %s quota again", d->domid, quota_info[q].name);
    else
        return;
    *warned = over;
}

static int memory_check(struct store *s, struct domain *d, int64_t used)
{
    unsigned soft = quota_limit(s, d, QUOTA_SOFT_MEMORY);
    int err = used > 0 ? quota_check(s, d, QUOTA_MEMORY, (uint64_t)used) : 0;

    if (domain_privileged(d))
        return 0;
    warn(s, d, &d->memory_warned, err, QUOTA_MEMORY);
    warn(s, d, &d->soft_warned, soft && used > soft, QUOTA_SOFT_MEMORY);
    if (!err)
        peak(s, d, QUOTA_MEMORY, used);
    return err;
}

int quota_check_nodes(struct store *s, struct domain *d, const struct tally *tx, unsigned nodes,
                      size_t bytes)
{
    struct usage now = s->books.flat[d->domid];

    if (tx) {
        struct usage more = tally_get(tx, d->domid);
        now.nodes += more.nodes;
    }
    int64_t total = (int64_t)now.nodes + nodes;
    int err = nodes && total > 0 ? quota_check(s, d, QUOTA_NODES, (uint64_t)total) : 0;
    if (!err)
        peak(s, d, QUOTA_NODES, total);
    return err ? err : memory_check(s, d, memory_used(s, d) + (int64_t)bytes);
}

int memory_take(struct store *s, struct domain *d, size_t bytes)
{
    int err = memory_check(s, d, memory_used(s, d) + (int64_t)bytes);

    if (!err)
        d->memory += (int64_t)bytes;
    return err;
}

void memory_give(struct domain *d, size_t bytes)
{
    d->memory -= (int64_t)bytes;
}

struct cause *cause_new(struct store *s, struct domain *d)
{
    struct cause *c;

    if (domain_privileged(d))
        return NULL;
    c = malloc(sizeof(*c));
    if (!c)
        return NULL;
    *c = (struct cause){ .refs = 1, .domid = d->domid, .birth = d->birth };
    d->used[QUOTA_OUTSTANDING]++;
    return c;
}

void cause_unref(struct store *s, struct cause *c)
{
    if (!c || --c->refs)
        return;
    struct domain *d = domain_find(s, c->domid);
    if (d && d->birth == c->birth) {
        quota_give(d, QUOTA_OUTSTANDING, 1);
        if (d->conn)
            conn_wake(d->conn); /* it may have been waiting for this */
    }
    free(c);
}
