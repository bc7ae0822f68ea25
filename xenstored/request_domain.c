/* SPDX-License-Identifier: MIT */
/* The operations about domains: their introduction, their features and quotas. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <xen/xen.h>

#include "xenstored/journal.h"
#include "xenstored/store.h"

static int domid_arg(const char *text, uint16_t *out)
{
    uint64_t v;
    int err = request_number(text, DOMID_FIRST_RESERVED - 1, &v);

    *out = err ? 0 : (uint16_t)v;
    return err;
}

int op_introduce(struct request *rq)
{
    const char *arg[3];
    uint64_t gfn, port;
    uint16_t domid;
    int err = request_strings(rq, arg, 3) == 3 ? domid_arg(arg[0], &domid) : EINVAL;

    if (!err)
        err = request_number(arg[1], UINT64_MAX >> 12, &gfn);
    if (!err)
        err = request_number(arg[2], INT32_MAX, &port);
    if (!err && !port)
        err = EINVAL;
    if (!err)
        err = domain_introduce(rq->s, domid, gfn, (uint32_t)port);
    return err ? err : request_ok(rq);
}

static int one_domid(const struct request *rq, uint16_t *domid)
{
    const char *arg;

    return request_strings(rq, &arg, 1) == 1 ? domid_arg(arg, domid) : EINVAL;
}

int op_release(struct request *rq)
{
    uint16_t domid;
    int err = one_domid(rq, &domid);

    if (!err)
        err = domain_release(rq->s, domid);
    return err ? err : request_ok(rq);
}

int op_resume(struct request *rq)
{
    uint16_t domid;
    int err = one_domid(rq, &domid);
    struct domain *d = err ? NULL : domain_find(rq->s, domid);

    if (err)
        return err;
    if (!d || !d->conn)
        return ENOENT;
    d->shutdown = false;
    JOURNAL(rq->s, journal_domain_(rq->s, d));
    return request_ok(rq);
}

int op_set_target(struct request *rq)
{
    const char *arg[2];
    uint16_t domid, target;
    int err = request_strings(rq, arg, 2) == 2 ? domid_arg(arg[0], &domid) : EINVAL;

    if (!err)
        err = domid_arg(arg[1], &target);
    if (err)
        return err;
    struct domain *d = domain_find(rq->s, domid), *t = domain_find(rq->s, target);
    if (!d || !d->conn || !t)
        return ENOENT;
    if (!target)
        return EPERM;
    d->has_target = true;
    d->target = target;
    JOURNAL(rq->s, journal_domain_(rq->s, d));
    return request_ok(rq);
}

int op_get_domain_path(struct request *rq)
{
    char path[32];
    uint16_t domid;
    int err = one_domid(rq, &domid);

    if (err)
        return err;
    int len = snprintf(path, sizeof(path), "/local/domain/%u", domid);
    return conn_reply(rq, path, (size_t)len + 1);
}

int op_is_introduced(struct request *rq)
{
    uint16_t domid;
    int err = one_domid(rq, &domid);
    const struct domain *d = err ? NULL : domain_find(rq->s, domid);

    if (err)
        return err;
    return conn_reply(rq, d && (d->conn || !domid) ? "T" : "F", 2);
}

/* ---- Features ---- */

/* Without a number: of the asker, which for a socket's client is all that there is. */
int op_get_feature(struct request *rq)
{
    struct domain *d = rq->c->dom;
    const char *arg;
    uint16_t domid;
    char text[16];
    int n = rq->hdr.len ? request_strings(rq, &arg, 1) : 0, err;

    if (n < 0)
        return EINVAL;
    if (n && *arg) {
        if (!rq->viewer.privileged)
            return EACCES;
        err = domid_arg(arg, &domid);
        if (err)
            return err;
        d = domain_meet(rq->s, domid);
    }
    if (!d)
        return ENOENT;
    return conn_reply(rq, text, (size_t)snprintf(text, sizeof(text), "%u", d->features) + 1);
}

int op_set_feature(struct request *rq)
{
    const char *arg[2];
    uint64_t features;
    uint16_t domid;
    int err = request_strings(rq, arg, 2) == 2 ? domid_arg(arg[0], &domid) : EINVAL;

    if (!err)
        err = request_number(arg[1], UINT32_MAX, &features);
    if (err)
        return err;
    struct domain *d = domain_meet(rq->s, domid);
    if (!d)
        return ENOENT;
    if (d->conn || !domid)
        return EBUSY; /* it has been told already */
    if (features & ~(uint64_t)STORE_FEATURES)
        return EINVAL;
    d->features = (uint32_t)features;
    JOURNAL(rq->s, journal_domain_(rq->s, d));
    return request_ok(rq);
}

/* ---- Quotas ---- */

static int quota_names(struct request *rq)
{
    char out[XENSTORE_PAYLOAD_MAX];
    size_t used = 0;

    for (int q = 0; q < QUOTA_COUNT; q++)
        used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%s", q ? " " : "",
                                 quota_info[q].name);
    return conn_reply(rq, out, used + 1);
}

/* [domid|]name|: *d stays NULL for the quotas of all. */
static int quota_args(struct request *rq, const char **arg, int n, struct domain **d, int *q)
{
    uint16_t domid;
    int err;

    *d = NULL;
    if (n == 2) {
        err = domid_arg(arg[0], &domid);
        if (err)
            return err;
        *d = domain_meet(rq->s, domid);
        if (!*d)
            return ENOENT;
    }
    *q = quota_by_name(arg[n - 1]);
    return *q < 0 ? EINVAL : 0;
}

int op_get_quota(struct request *rq)
{
    const char *arg[3];
    char text[16];
    struct domain *d;
    int n = rq->hdr.len ? request_strings(rq, arg, 3) : 0, q;

    if (n < 0 || n > 2)
        return EINVAL;
    if (!n || (n == 1 && !*arg[0]))
        return quota_names(rq);
    int err = quota_args(rq, arg, n, &d, &q);
    if (err)
        return err;
    unsigned value = d ? quota_limit(rq->s, d, (enum quota_id)q) : rq->s->quota[q];
    if (!value)
        value = QUOTA_NONE_TEXT;
    return conn_reply(rq, text, (size_t)snprintf(text, sizeof(text), "%u", value) + 1);
}

int op_set_quota(struct request *rq)
{
    const char *arg[4];
    uint64_t value;
    struct domain *d;
    int n = request_strings(rq, arg, 4), q;
    int err = n == 2 || n == 3 ? quota_args(rq, arg, n - 1, &d, &q) : EINVAL;

    if (!err)
        err = request_number(arg[n - 1], UINT32_MAX, &value);
    if (err)
        return err;
    quota_set(rq->s, d, (enum quota_id)q, (unsigned)value);
    return request_ok(rq);
}
