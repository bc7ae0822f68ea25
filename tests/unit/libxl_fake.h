/* SPDX-License-Identifier: MIT */
/*
 * A host below libxl, in memory: a hypervisor with domains (libxl_fake_xc.c) and a xenstore with
 * transactions, permissions and watches (libxl_fake_xs.c). Every call that could fail on a real
 * host is counted, and the Nth can be made to fail.
 */
#ifndef TESTS_LIBXL_FAKE_H
#define TESTS_LIBXL_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include <xentoollog.h>

struct fake_domain {
    bool exists;
    uint8_t handle[16];
    uint32_t flags;      /* XEN_DOMINF_* */
    uint32_t vcpus;
    unsigned pause_count;
    uint64_t max_memkb;
    bool introduced;     /* to xenstored */
    uint16_t weight, cap;
    uint32_t next_port;
    uint64_t params[64];
    uint8_t hard[8][1], soft[8][1];
    unsigned map_entries;
};

#define FAKE_DOMAINS 8

struct fake_host {
    struct fake_domain dom[FAKE_DOMAINS];
    uint64_t free_kb;
    unsigned calls;      /* since fake_reset() or fake_fail() */
    unsigned fail_at;    /* 0: none */
    bool failed;         /* the call that was to fail has */
    const char *failed_call;
    bool tty_appears;    /* there is an xenconsoled */
    int images;          /* builds not released */
    char loads[1024];    /* what the latest build was given, a line each */
    char dumped_to[64];
    const char *builder_fails; /* the xc_dom_ step that fails, with a cause of its own */
};

extern struct fake_host fake;

/* An empty host with dom0 and an empty store. */
void fake_reset(void);
/* Makes the nth call from now fail; 0: none. */
void fake_fail(unsigned n);
/* To be asked by each call: whether it is the one to fail; errno is set then. */
bool fake_fails(const char *call);

/* Every node with value and permissions, one per line, sorted. Caller frees. */
char *fake_store_dump(void);
const char *fake_store_get(const char *path);
void fake_store_set(const char *path, const char *value);
/* A domain shuts down (reason) or, with -1, is gone; @releaseDomain fires. */
void fake_domain_ends(uint32_t domid, int reason);

/* Keeps the last warning or error. */
extern xentoollog_logger fake_logger;
extern char fake_log[1024];

#endif
