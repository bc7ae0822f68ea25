/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "hypervisor/domain/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool gfns_valid(const struct machine *m, uint64_t gfn, uint64_t nr)
{
    return nr && gfn < m->nr_gfns && nr <= m->nr_gfns - gfn;
}

int memory_init(struct machine *m, uint64_t gpa_limit, uint64_t xen_pages, int fd_ram, int fd_xen)
{
    if (!gpa_limit || gpa_limit % PAGE_SIZE || gpa_limit > 1ull << 46 ||
        xen_pages < 1 || xen_pages > 1u << 20) {
        errno = EINVAL;
        return -1;
    }
    m->gpa_limit = gpa_limit;
    m->nr_gfns = gpa_limit >> PAGE_SHIFT;
    m->fd_ram = fd_ram;
    m->fd_xen = fd_xen;
    m->ram = mmap(NULL, gpa_limit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    m->gfn_type = mmap(NULL, m->nr_gfns, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    m->foreign = mmap(NULL, (m->nr_gfns + 63) / 64 * 8, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    m->xen_pages = mmap(NULL, xen_pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd_xen, 0);
    if (m->ram == MAP_FAILED || m->gfn_type == MAP_FAILED || m->foreign == MAP_FAILED ||
        m->xen_pages == MAP_FAILED) {
        return -1;
    }
    m->shared = (struct shared_info *)m->xen_pages;
    return 0;
}

static void set_types(struct machine *m, uint64_t gfn, uint64_t nr, uint8_t type)
{
    for (uint64_t i = 0; i < nr; i++) {
        __atomic_store_n(&m->gfn_type[gfn + i], type, __ATOMIC_RELEASE);
    }
}

static bool is_foreign(const struct machine *m, uint64_t gfn)
{
    return m->foreign[gfn / 64] >> (gfn % 64) & 1;
}

static void note_foreign(struct machine *m, uint64_t gfn, uint64_t nr, bool foreign)
{
    for (uint64_t i = gfn; i < gfn + nr; i++) {
        uint64_t bit = 1ull << (i % 64), *word = &m->foreign[i / 64];

        if (!foreign && !*word) {
            i |= 63;    /* nothing to clear, and no page of the table to touch */
        } else {
            *word = foreign ? *word | bit : *word & ~bit;
        }
    }
}

/*
 * Takes other domains' pages out of [gfn, gfn + nr): empty pages take their place, so that a vCPU
 * that is still in the middle of a block reads and writes nothing of anybody's.
 */
static int drop_foreign(struct machine *m, uint64_t gfn, uint64_t nr)
{
    uint64_t end = gfn + nr, n;

    for (uint64_t at = gfn; at < end; at += n) {
        if (!m->foreign[at / 64]) {
            n = 64 - at % 64;
            continue;
        }
        if (!is_foreign(m, at)) {
            n = 1;
            continue;
        }
        for (n = 1; at + n < end && is_foreign(m, at + n); n++) {
        }
        if (mmap(m->ram + (at << PAGE_SHIFT), n << PAGE_SHIFT, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED) {
            return -1;
        }
        note_foreign(m, at, n, false);
    }
    return 0;
}

int memory_map(struct machine *m, const struct kl_run_map *run, int fd)
{
    /* Another domain's page that may only be read comes with a descriptor for reading. */
    int prot = run->mem == KL_MEM_FD && run->type == ENGINE_GFN_ROM ? PROT_READ
                                                                    : PROT_READ | PROT_WRITE;
    int from = run->mem == KL_MEM_RAM ? m->fd_ram : run->mem == KL_MEM_XEN ? m->fd_xen : fd;
    int rc = 0;

    if (!gfns_valid(m, run->gfn, run->nr) || run->mem > KL_MEM_FD || from < 0 ||
        run->type > KL_TYPE_IOREQ || run->page > (UINT64_MAX >> (PAGE_SHIFT + 1))) {
        errno = EINVAL;
        return -1;
    }
    pthread_mutex_lock(&m->mem_lock);
    if (mmap(m->ram + (run->gfn << PAGE_SHIFT), run->nr << PAGE_SHIFT, prot,
             MAP_SHARED | MAP_FIXED | MAP_NORESERVE, from,
             (off_t)(run->page << PAGE_SHIFT)) == MAP_FAILED) {
        rc = -1;
    } else {
        note_foreign(m, run->gfn, run->nr, run->mem == KL_MEM_FD);
        set_types(m, run->gfn, run->nr, (uint8_t)run->type);
    }
    pthread_mutex_unlock(&m->mem_lock);
    m->ops->invalidate_gfns(m->engine, run->gfn, run->nr);
    return rc;
}

int memory_unmap(struct machine *m, const struct kl_run_unmap *run)
{
    int rc;

    if (!gfns_valid(m, run->gfn, run->nr)) {
        errno = EINVAL;
        return -1;
    }
    pthread_mutex_lock(&m->mem_lock);
    set_types(m, run->gfn, run->nr, ENGINE_GFN_NONE);
    rc = drop_foreign(m, run->gfn, run->nr);
    pthread_mutex_unlock(&m->mem_lock);
    m->ops->invalidate_gfns(m->engine, run->gfn, run->nr);
    return rc;
}

void *memory_at(struct machine *m, uint64_t gpa, size_t len)
{
    if (gpa >= m->gpa_limit || len > PAGE_SIZE - (gpa & (PAGE_SIZE - 1)) ||
        __atomic_load_n(&m->gfn_type[gpa >> PAGE_SHIFT], __ATOMIC_ACQUIRE) != ENGINE_GFN_RAM) {
        return NULL;
    }
    return m->ram + gpa;
}
