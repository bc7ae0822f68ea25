/* SPDX-License-Identifier: MIT */
/* Quotas and memory: every byte and object that a guest makes the store hold is counted here. */
#include <stdlib.h>

#include "common/log.h"
#include "xenstored/store.h"

unsigned quota_limit(const struct store *s, const struct domain *d, enum quota_id q)
{
    return domain_privileged(d) ? 0 : s->quota[q];
}

int quota_check(const struct store *s, const struct domain *d, enum quota_id q, uint64_t value)
{
    unsigned limit = quota_limit(s, d, q);

    return limit && value > limit ? quota_info[q].err : 0;
}

int quota_take(const struct store *s, struct domain *d, enum quota_id q, unsigned n)
{
    int err = quota_check(s, d, q, (uint64_t)d->used[q] + n);

    if (!err)
        d->used[q] += n;
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

static int memory_check(const struct store *s, struct domain *d, int64_t used)
{
    int err = used > 0 ? quota_check(s, d, QUOTA_MEMORY, (uint64_t)used) : 0;

    if (err && !d->memory_warned) {
        kr_log(KR_WARN, "domain %u has reached its memory quota of %u bytes", d->domid,
               quota_limit(s, d, QUOTA_MEMORY));
        d->memory_warned = true;
    }
    return err;
}

int quota_check_nodes(const struct store *s, struct domain *d, const struct tally *tx,
                      unsigned nodes, size_t bytes)
{
    struct usage now = s->books.flat[d->domid];

    if (tx) {
        struct usage more = tally_get(tx, d->domid);
        now.nodes += more.nodes;
    }
    int64_t total = (int64_t)now.nodes + nodes;
    int err = nodes && total > 0 ? quota_check(s, d, QUOTA_NODES, (uint64_t)total) : 0;
    return err ? err : memory_check(s, d, memory_used(s, d) + (int64_t)bytes);
}

int memory_take(const struct store *s, struct domain *d, size_t bytes)
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
