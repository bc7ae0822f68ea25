/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libxenctrl/transport/transport.h"

/* Freed runs of this many pages give their memory back at once. */
#define ARENA_RETURN_PAGES 64

static int map_arena(struct kt_arena *a, struct kt_conn *c)
{
    struct kw_arena req = {.h = {.op = KW_ARENA}, .va = (uintptr_t)a->base,
                           .size = (uint64_t)a->pages << KT_PAGE_SHIFT};
    struct kt_reply *r = malloc(sizeof(*r));
    int rc = -1, saved;

    if (!r)
        return -1;
    if (kt_request(c, &req, sizeof(req), r, sizeof(struct kw_reply)))
        goto out;
    if (r->nr_fds != 1) {
        errno = EPROTO;
    } else if (mmap(a->base, req.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r->fd[0],
                    0) != MAP_FAILED) {
        rc = 0;
    }
    saved = errno;
    kt_reply_free(r);
    errno = saved;
out:
    free(r);
    return rc;
}

int kt_arena_open(struct kt_arena *a, struct kt_conn *c)
{
    int saved;

    memset(a, 0, sizeof(*a));
    pthread_mutex_init(&a->lock, NULL);
    /* All that the core allows: addresses cost nothing, memory is taken when it is touched. */
    a->pages = KW_MAX_ARENA >> KT_PAGE_SHIFT;
    a->used = calloc(a->pages / 64, sizeof(*a->used));
    a->run = calloc(a->pages, sizeof(*a->run));
    if (a->used && a->run)
        a->base = kt_reserve(NULL, a->pages, 0);
    if (a->base && !map_arena(a, c))
        return 0;
    saved = errno;
    kt_arena_close(a);
    errno = saved;
    return -1;
}

void kt_arena_close(struct kt_arena *a)
{
    if (a->base)
        munmap(a->base, a->pages << KT_PAGE_SHIFT);
    free(a->used);
    free(a->run);
    pthread_mutex_destroy(&a->lock);
    memset(a, 0, sizeof(*a));
}

/* The first free run of the wanted length, or a->pages. */
static size_t find_run(const struct kt_arena *a, size_t want)
{
    size_t start = 0, len = 0;

    for (size_t i = 0; i < a->pages;) {
        uint64_t w = a->used[i / 64];

        if (i % 64 == 0 && w == ~UINT64_C(0)) {
            len = 0;
            i += 64;
            continue;
        }
        if (w >> (i % 64) & 1) {
            len = 0;
        } else {
            if (!len++)
                start = i;
            if (len == want)
                return start;
        }
        i++;
    }
    return a->pages;
}

static void mark(struct kt_arena *a, size_t first, size_t nr, bool used)
{
    for (size_t i = first; i < first + nr; i++) {
        if (used)
            a->used[i / 64] |= UINT64_C(1) << (i % 64);
        else
            a->used[i / 64] &= ~(UINT64_C(1) << (i % 64));
    }
    a->run[first] = used ? nr : 0;
}

void *kt_arena_alloc(struct kt_arena *a, size_t pages)
{
    size_t first;
    void *p = NULL;

    if (!pages) {
        errno = EINVAL;
        return NULL;
    }
    pthread_mutex_lock(&a->lock);
    first = find_run(a, pages);
    if (first < a->pages) {
        mark(a, first, pages, true);
        p = a->base + (first << KT_PAGE_SHIFT);
    }
    pthread_mutex_unlock(&a->lock);
    if (p)
        memset(p, 0, pages << KT_PAGE_SHIFT);
    else
        errno = ENOMEM;
    return p;
}

void kt_arena_free(struct kt_arena *a, void *p)
{
    uintptr_t off = (uintptr_t)p - (uintptr_t)a->base;
    size_t first = off >> KT_PAGE_SHIFT;
    int saved = errno;

    if (!p || first >= a->pages || off % KT_PAGE_SIZE)
        return;
    pthread_mutex_lock(&a->lock);
    if (a->run[first]) {
        /* While the run is still marked used: nobody may get these pages before they are gone. */
        if (a->run[first] >= ARENA_RETURN_PAGES)
            madvise(p, (size_t)a->run[first] << KT_PAGE_SHIFT, MADV_REMOVE);
        mark(a, first, a->run[first], false);
    }
    pthread_mutex_unlock(&a->lock);
    errno = saved;
}
