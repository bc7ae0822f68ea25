/* SPDX-License-Identifier: MIT */
/*
 * A host for tests of libxenctrl and libxenguest: stands in for libxencall and
 * libxenforeignmemory, with one domain whose memory is a sparse file. It knows the calls that build
 * a PVH domain, checks their arguments, and can make any of them fail.
 */
#ifndef KR_TESTS_FAKE_HYPERCALL_H
#define KR_TESTS_FAKE_HYPERCALL_H

#include <stdbool.h>
#include <stdint.h>

#include "libxenctrl/ctrl/private.h"

#include <xen/hvm/save.h>

#define FAKE_DOMID     7
#define FAKE_GFNS      0x200000u       /* 8 GiB */
#define FAKE_PARAMS    64
#define FAKE_LEAVES    8
#define FAKE_ORDERS    3
#define FAKE_PASS      (-12345)

struct fake_host {
    /* what the test sets */
    unsigned int fail_at;              /* this call (from 1) fails with fail_errno; 0: none */
    int fail_errno;
    unsigned long max_pages;           /* that the domain may have */
    bool no_large_pages;
    bool holes;                        /* mappings may have them, as Xen's */
    const char *caps;
    /* asked before the host itself; a hook returns FAKE_PASS for what it does not know */
    int (*on_domctl)(struct xen_domctl *d);
    int (*on_sysctl)(struct xen_sysctl *s);
    int (*on_op)(unsigned int nr, unsigned int cmd, void *arg);

    /* what the test looks at */
    unsigned int calls;
    unsigned int buffers;              /* hypercall buffers not freed */
    unsigned int maps;                 /* mappings not undone */
    unsigned long pages;
    unsigned long extents[FAKE_ORDERS]; /* of order 0, 9 and 18 */
    unsigned long claimed;
    uint64_t params[FAKE_PARAMS];
    HVM_SAVE_TYPE(CPU) cpu;
    bool cpu_set;
    xen_cpuid_leaf_t set_leaves[FAKE_LEAVES];
    uint32_t nr_set_leaves;
    grant_entry_v1_t *grants;

    uint8_t *populated;                /* one byte per frame */
    int mem;
};

/* There is one, as the libraries it stands in for have no place for a second. */
extern struct fake_host fake;

void fake_start(void);
void fake_stop(void);

/* Reads guest memory; and writes it, populating what is not there. */
void fake_read(uint64_t gpa, void *to, size_t len);
void fake_write(uint64_t gpa, const void *from, size_t len);

#endif
