/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/mman.h>

#include "libxenctrl/transport/transport.h"

void *kt_reserve(void *hint, size_t pages, int flags)
{
    void *p;

    if (!pages || pages > SIZE_MAX >> (KT_PAGE_SHIFT + 1)) {
        errno = EINVAL;
        return NULL;
    }
    /* The caller's idea of sharing is for the pages that come later, not for the reservation. */
    flags &= ~(MAP_SHARED | MAP_PRIVATE | MAP_POPULATE);
    p = mmap(hint, pages << KT_PAGE_SHIFT, PROT_NONE,
             flags | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Maps one run, or returns the -errno that its pages share. */
static int map_run(struct kt_reply *r, const struct kw_run *run, unsigned char *at, int prot)
{
    if (run->fd < 0) {
        int64_t e = (int64_t)run->page;

        return e < 0 && e > -4096 ? (int)e : -EPROTO;
    }
    if ((unsigned)run->fd >= r->nr_fds || run->page > INT64_MAX >> KT_PAGE_SHIFT)
        return -EPROTO;
    if (mmap(at, (size_t)run->nr << KT_PAGE_SHIFT, prot, MAP_SHARED | MAP_FIXED, r->fd[run->fd],
             (off_t)(run->page << KT_PAGE_SHIFT)) == MAP_FAILED)
        return -errno;
    return 0;
}

int kt_map_runs(struct kt_reply *r, const struct kw_run *runs, uint32_t nr_runs, void *addr,
                size_t pages, int prot, int *err)
{
    size_t head = (size_t)((const char *)runs - (const char *)r->buf);
    unsigned char *at = addr;
    size_t done = 0;

    if (head > r->len || nr_runs > (r->len - head) / sizeof(*runs)) {
        errno = EPROTO;
        return -1;
    }
    for (uint32_t i = 0; i < nr_runs; i++) {
        int bad;

        if (!runs[i].nr || runs[i].nr > pages - done) {
            errno = EPROTO;
            return -1;
        }
        bad = map_run(r, &runs[i], at + (done << KT_PAGE_SHIFT), prot);
        if (bad && !err) {
            errno = -bad;
            return -1;
        }
        for (uint32_t k = 0; err && k < runs[i].nr; k++)
            err[done + k] = bad;
        done += runs[i].nr;
    }
    if (done != pages) {
        errno = EPROTO;
        return -1;
    }
    return 0;
}
