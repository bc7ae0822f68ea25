/* SPDX-License-Identifier: MIT */
/*
 * libxenstore: what Xen 4.22 added for those who run the store, features and quotas; and our own copy of a subtree.
 * A daemon that knows an operation not answers ENOSYS.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/store/private.h"

/* A reply that is a number. EIO if it is something else; then *out is as it was. */
static bool number(char *reply, unsigned int *out)
{
    unsigned long v;
    char *end;

    if (!reply)
        return false;
    errno = 0;
    v = strtoul(reply, &end, 10);
    bool ok = *reply >= '0' && *reply <= '9' && !*end && !errno && v <= UINT_MAX;
    free(reply);
    if (ok)
        *out = (unsigned int)v;
    else
        errno = EIO;
    return ok;
}

/*
 * For requests without arguments. Xen's protocol has them without a payload, for which oxenstored, that knows
 * neither, waits for ever. So an empty string is tried first: it is ENOSYS there, and the same as nothing to our
 * daemon; to Xen 4.22's it is a wrong argument, and then nothing is right.
 */
static char *ask(struct xs_handle *h, uint32_t type)
{
    struct iovec iov = xs_string("");
    char *reply = xs_talk(h, XBT_NULL, type, &iov, 1, NULL);

    if (!reply && (errno == EINVAL || errno == EACCES))
        reply = xs_talk(h, XBT_NULL, type, NULL, 0, NULL);
    return reply;
}

/* ---- Features ---- */

bool xs_get_features_supported(struct xs_handle *h, unsigned int *features)
{
    return number(ask(h, XS_GET_FEATURE), features);
}

bool xs_get_features_domain(struct xs_handle *h, unsigned int domid, unsigned int *features)
{
    struct iovec iov = XS_DECIMAL(domid);

    return number(xs_talk(h, XBT_NULL, XS_GET_FEATURE, &iov, 1, NULL), features);
}

bool xs_set_features_domain(struct xs_handle *h, unsigned int domid, unsigned int features)
{
    struct iovec iov[] = { XS_DECIMAL(domid), XS_DECIMAL(features) };

    return xs_done(xs_talk(h, XBT_NULL, XS_SET_FEATURE, iov, 2, NULL));
}

/* ---- Quotas ---- */

/* The next of the words that spaces separate, its length in *len; NULL after the last. */
static const char *next_word(const char *p, size_t *len)
{
    p += strspn(p, " ");
    *len = strcspn(p, " ");
    return *len ? p : NULL;
}

/* One allocation: the pointers, a NULL, the names. */
const char **xs_get_quota_names(struct xs_handle *h, unsigned int *num)
{
    char *list = ask(h, XS_GET_QUOTA);
    unsigned int n = 0;
    const char **out;
    size_t len;

    if (!list)
        return NULL;
    for (const char *p = list; (p = next_word(p, &len)); p += len)
        n++;
    out = malloc((n + 1) * sizeof(*out) + strlen(list) + 1);
    if (out) {
        char *text = (char *)(out + n + 1);
        unsigned int i = 0;

        for (const char *p = list; (p = next_word(p, &len)); p += len) {
            memcpy(text, p, len);
            text[len] = 0;
            out[i++] = text;
            text += len + 1;
        }
        out[n] = NULL;
        *num = n;
    }
    free(list);
    return out;
}

bool xs_get_global_quota(struct xs_handle *h, const char *quota, unsigned int *value)
{
    struct iovec iov = xs_string(quota);

    return number(xs_talk(h, XBT_NULL, XS_GET_QUOTA, &iov, 1, NULL), value);
}

bool xs_set_global_quota(struct xs_handle *h, const char *quota, unsigned int value)
{
    struct iovec iov[] = { xs_string(quota), XS_DECIMAL(value) };

    return xs_done(xs_talk(h, XBT_NULL, XS_SET_QUOTA, iov, 2, NULL));
}

bool xs_get_domain_quota(struct xs_handle *h, unsigned int domid, const char *quota, unsigned int *value)
{
    struct iovec iov[] = { XS_DECIMAL(domid), xs_string(quota) };

    return number(xs_talk(h, XBT_NULL, XS_GET_QUOTA, iov, 2, NULL), value);
}

bool xs_set_domain_quota(struct xs_handle *h, unsigned int domid, const char *quota, unsigned int value)
{
    struct iovec iov[] = { XS_DECIMAL(domid), xs_string(quota), XS_DECIMAL(value) };

    return xs_done(xs_talk(h, XBT_NULL, XS_SET_QUOTA, iov, 3, NULL));
}

/* ---- Copies ---- */

bool xs_clone(struct xs_handle *h, xs_transaction_t t, const char *src, const char *dst)
{
    struct iovec iov[] = { xs_string(src), xs_string(dst) };

    return xs_done(xs_talk(h, t, XS_KR_CLONE, iov, 2, NULL));
}
