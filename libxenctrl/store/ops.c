/* SPDX-License-Identifier: MIT */
/* libxenstore: one function per operation of the wire. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/store/private.h"

/* Requests whose payload is one string. */
static void *talk1(struct xs_handle *h, xs_transaction_t t, uint32_t type, const char *arg,
                   unsigned int *len)
{
    struct iovec iov = xs_string(arg);

    return xs_talk(h, t, type, &iov, 1, len);
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    return talk1(h, t, XS_READ, path, len);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
              unsigned int len)
{
    struct iovec iov[] = { xs_string(path), { (void *)data, len } };

    return xs_done(xs_talk(h, t, XS_WRITE, iov, 2, NULL));
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    return xs_done(talk1(h, t, XS_MKDIR, path, NULL));
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    return xs_done(talk1(h, t, XS_RM, path, NULL));
}

bool xs_restrict(struct xs_handle *h, unsigned domid)
{
    (void)h;
    (void)domid;
    errno = ENOSYS;
    return false;
}

/* ---- Directories ---- */

static unsigned count_strings(const char *p, size_t len)
{
    unsigned n = 0;

    for (size_t i = 0; i < len; i++)
        n += !p[i];
    return n;
}

/* One allocation: the pointers, a NULL, the names. list is len bytes of NUL-terminated names. */
static char **string_array(const char *list, size_t len, unsigned int *num)
{
    unsigned n = count_strings(list, len);
    char **out = malloc((n + 1) * sizeof(*out) + len);

    if (!out)
        return NULL;
    char *text = (char *)(out + n + 1);
    memcpy(text, list, len);
    for (unsigned i = 0; i < n; i++) {
        out[i] = text;
        text += strlen(text) + 1;
    }
    out[n] = NULL;
    *num = n;
    return out;
}

struct listing {
    char *names;
    size_t len;
    char generation[24];
};

/* One more part of a list that is too long for a reply: 1 when it was the last, -1 with errno. */
static int next_part(struct xs_handle *h, xs_transaction_t t, const char *path, struct listing *l)
{
    char offset[24];
    unsigned int len;

    snprintf(offset, sizeof(offset), "%zu", l->len);
    struct iovec iov[] = { xs_string(path), xs_string(offset) };
    char *part = xs_talk(h, t, XS_DIRECTORY_PART, iov, 2, &len);
    if (!part)
        return -1;
    size_t gen = strlen(part) + 1;
    if (gen > len || gen > sizeof(l->generation)) {
        free(part);
        errno = EIO;
        return -1;
    }
    if (!l->len)
        strcpy(l->generation, part);
    if (strcmp(part, l->generation)) {
        l->len = 0; /* it has changed meanwhile: again from the start */
        free(part);
        return 0;
    }
    size_t add = len - gen;
    bool last = add && !part[len - 1] && (add == 1 || !part[len - 2]);
    add -= last;
    char *grown = add ? realloc(l->names, l->len + add) : l->names;
    if (add && grown) {
        memcpy(grown + l->len, part + gen, add);
        l->names = grown;
        l->len += add;
    }
    free(part);
    if (add && !grown)
        return -1;
    if (!last && !add) {
        errno = EIO;
        return -1;
    }
    return last;
}

static char **directory_by_parts(struct xs_handle *h, xs_transaction_t t, const char *path,
                                 unsigned int *num)
{
    struct listing l = { 0 };
    char **out = NULL;
    int got;

    do
        got = next_part(h, t, path, &l);
    while (!got);
    if (got > 0)
        out = string_array(l.names ? l.names : "", l.len, num);
    int err = errno;
    free(l.names);
    errno = err;
    return out;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    unsigned int len;
    char *list = talk1(h, t, XS_DIRECTORY, path, &len), **out;

    if (!list)
        return errno == E2BIG ? directory_by_parts(h, t, path, num) : NULL;
    /* Every name must end within the reply. */
    out = string_array(list, len && !list[len - 1] ? len : 0, num);
    free(list);
    return out;
}

/* ---- Permissions ---- */

struct xs_permissions *xs_get_permissions(struct xs_handle *h, xs_transaction_t t,
                                          const char *path, unsigned int *num)
{
    unsigned int len;
    char *text = talk1(h, t, XS_GET_PERMS, path, &len);
    struct xs_permissions *perms = NULL;

    if (!text)
        return NULL;
    unsigned n = count_strings(text, len);
    perms = calloc(n ? n : 1, sizeof(*perms));
    if (perms && !xs_strings_to_perms(perms, n, text)) {
        free(perms);
        perms = NULL;
        errno = EIO;
    }
    if (perms)
        *num = n;
    int err = errno;
    free(text);
    errno = err;
    return perms;
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
                        struct xs_permissions *perms, unsigned int num_perms)
{
    static const char letters[] = "nrwb";
    char text[XENSTORE_PAYLOAD_MAX];
    size_t used = 0;

    for (unsigned i = 0; i < num_perms; i++) {
        if (perms[i].perms > (XS_PERM_READ | XS_PERM_WRITE)) {
            errno = EINVAL;
            return false;
        }
        int n = snprintf(text + used, sizeof(text) - used, "%c%u", letters[perms[i].perms],
                         perms[i].id);
        if ((size_t)n >= sizeof(text) - used) {
            errno = E2BIG;
            return false;
        }
        used += (size_t)n + 1;
    }
    struct iovec iov[] = { xs_string(path), { text, used } };
    return xs_done(xs_talk(h, t, XS_SET_PERMS, iov, 2, NULL));
}

/* ---- Transactions ---- */

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    char *id = talk1(h, XBT_NULL, XS_TRANSACTION_START, "", NULL);
    unsigned long t = id ? strtoul(id, NULL, 10) : 0;

    free(id);
    return (xs_transaction_t)t;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    return xs_done(talk1(h, t, XS_TRANSACTION_END, abort ? "F" : "T", NULL));
}

/* ---- Domains ---- */

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid, unsigned long mfn,
                         unsigned int eventchn)
{
    struct iovec iov[] = { XS_DECIMAL(domid), XS_DECIMAL(mfn), XS_DECIMAL(eventchn) };

    return xs_done(xs_talk(h, XBT_NULL, XS_INTRODUCE, iov, 3, NULL));
}

bool xs_set_target(struct xs_handle *h, unsigned int domid, unsigned int target)
{
    struct iovec iov[] = { XS_DECIMAL(domid), XS_DECIMAL(target) };

    return xs_done(xs_talk(h, XBT_NULL, XS_SET_TARGET, iov, 2, NULL));
}

static void *talk_domid(struct xs_handle *h, uint32_t type, unsigned int domid)
{
    struct iovec iov = XS_DECIMAL(domid);

    return xs_talk(h, XBT_NULL, type, &iov, 1, NULL);
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
    return xs_done(talk_domid(h, XS_RESUME, domid));
}

bool xs_release_domain(struct xs_handle *h, unsigned int domid)
{
    return xs_done(talk_domid(h, XS_RELEASE, domid));
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
    return talk_domid(h, XS_GET_DOMAIN_PATH, domid);
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
    char *reply = talk_domid(h, XS_IS_DOMAIN_INTRODUCED, domid);
    bool yes = reply && *reply == 'T';

    free(reply);
    return yes;
}

/* ---- The daemon itself ---- */

char *xs_control_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len)
{
    struct iovec iov[] = { xs_string(cmd), { data, len } };

    return xs_talk(h, XBT_NULL, XS_CONTROL, iov, 2, NULL);
}

char *xs_debug_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len)
{
    return xs_control_command(h, cmd, data, len);
}

int xs_suspend_evtchn_port(int domid)
{
    char path[64];
    struct xs_handle *h = xs_open(0);
    int port = -1;

    if (!h)
        return -1;
    snprintf(path, sizeof(path), "/local/domain/%d/device/suspend/event-channel", domid);
    char *text = xs_read(h, XBT_NULL, path, NULL);
    if (text && *text >= '0' && *text <= '9')
        port = (int)strtol(text, NULL, 10);
    free(text);
    xs_close(h);
    return port;
}
