/* SPDX-License-Identifier: MIT */
/*
 * libxenstore: watches, and how deep they look.
 *
 * Linux's /dev/xen/xenbus makes a watch of its own from a client's and leaves out what stands behind the token, so
 * no depth gets through. A depth only takes events away; on the device that is done here. For this all watches of
 * such a connection are remembered: an event is let through if any of them would have had it. So where watches
 * overlap that have the same token, one may hear more often than it would have by the socket.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/store/private.h"

#define ANY_DEPTH UINT_MAX

/* ---- What a device's connection remembers ---- */

static bool remember(struct xs_handle *h, const char *path, const char *token, unsigned int depth)
{
    size_t path_len = strlen(path) + 1, token_len = strlen(token) + 1;
    struct xs_watched *w;

    if (h->is_socket)
        return true;
    w = malloc(sizeof(*w) + path_len + token_len);
    if (!w)
        return false;
    w->depth = depth;
    memcpy(w->path, path, path_len);
    w->token = memcpy(w->path + path_len, token, token_len);
    pthread_mutex_lock(&h->state_lock);
    SLIST_INSERT_HEAD(&h->watches, w, link);
    pthread_mutex_unlock(&h->state_lock);
    return true;
}

/* One of those with this path and token; with this depth, unless depth is NULL. */
static void forget(struct xs_handle *h, const char *path, const char *token, const unsigned int *depth)
{
    struct xs_watched *w;

    pthread_mutex_lock(&h->state_lock);
    SLIST_FOREACH(w, &h->watches, link)
        if (!strcmp(w->path, path) && !strcmp(w->token, token) && (!depth || w->depth == *depth))
            break;
    if (w)
        SLIST_REMOVE(&h->watches, w, xs_watched, link);
    pthread_mutex_unlock(&h->state_lock);
    free(w);
}

/* How far below path, which it is below, an event's path is. */
static unsigned int levels_below(const char *path, const char *event)
{
    size_t len = strlen(path);
    unsigned int n = len && path[len - 1] == '/' && event[len]; /* the root's own slash stands for one */

    for (event += len; *event; event++)
        n += *event == '/';
    return n;
}

bool xs_is_too_deep(const struct xs_handle *h, const char *path, const char *token)
{
    const struct xs_watched *w;
    bool deep = false;

    SLIST_FOREACH(w, &h->watches, link) {
        if (strcmp(w->token, token) || !xs_path_is_subpath(w->path, path))
            continue;
        if (w->depth == ANY_DEPTH || levels_below(w->path, path) <= w->depth)
            return false;
        deep = true;
    }
    return deep;
}

/* ---- The calls ---- */

/* It is remembered first: its first event may come before its reply. */
static bool watch(struct xs_handle *h, const char *path, const char *token, const struct iovec *iov, unsigned count,
                  unsigned int depth)
{
    if (!xs_start_reader(h) || !remember(h, path, token, depth))
        return false;
    if (xs_done(xs_talk(h, XBT_NULL, XS_WATCH, iov, count, NULL)))
        return true;
    int err = errno;
    forget(h, path, token, &depth);
    errno = err;
    return false;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    struct iovec iov[] = { xs_string(path), xs_string(token) };

    return watch(h, path, token, iov, 2, ANY_DEPTH);
}

/* Whether the daemon knows of depths. False with errno if not. */
static bool has_depth(struct xs_handle *h, const char *path, unsigned int depth)
{
    unsigned int features;

    if (!xs_get_features_supported(h, &features))
        return false;
    /* What a special event says more to those who ask for a depth cannot be made here. */
    if (!(features & XENSTORE_SERVER_FEATURE_WATCHDEPTH) || (!h->is_socket && *path == '@' && depth)) {
        errno = ENOSYS;
        return false;
    }
    return true;
}

static bool watch_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth)
{
    struct iovec iov[] = { xs_string(path), xs_string(token), XS_DECIMAL(depth) };

    return watch(h, path, token, iov, 3, depth);
}

bool xs_watch_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth)
{
    return has_depth(h, path, depth) && watch_depth(h, path, token, depth);
}

bool xs_watch_try_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth)
{
    return has_depth(h, path, depth) ? watch_depth(h, path, token, depth) : xs_watch(h, path, token);
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    struct iovec iov[] = { xs_string(path), xs_string(token) };
    bool ok = xs_done(xs_talk(h, XBT_NULL, XS_UNWATCH, iov, 2, NULL));
    int err = errno;

    if (ok && !h->is_socket)
        forget(h, path, token, NULL);
    if (h->unwatch_filter) {
        pthread_mutex_lock(&h->state_lock);
        xs_filter_events(h, path, token);
        pthread_mutex_unlock(&h->state_lock);
    }
    errno = err;
    return ok;
}
