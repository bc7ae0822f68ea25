/* SPDX-License-Identifier: MIT */
/*
 * Two guests without privileges that share a page by a grant, as vchan does. "grant": grants pages to
 * whoever comes, and goes on when he has answered and let go. "map other=DOMID": the one who comes.
 */
#include "tests/guests/guest.h"

#define FIRST_REF 20u
#define PEERS     100u           /* domains that may be the other one: reference FIRST_REF + DOMID */
#define SPINS     4000000ul
#define HELLO     0x68656c6cu
#define ANSWER    0x616e7377u

static volatile uint32_t *page;

static bool wait_for(bool (*done)(void))
{
    for (unsigned long i = 0; i < SPINS; i++) {
        if (done()) {
            return true;
        }
        HC(sched_op, SCHEDOP_yield, 0, 0);
    }
    return false;
}

/* The granter. It works on the page all the time: a copy at the wrong moment would lose a count. */

static volatile struct grant_entry_v1 *entries;

static bool answered(void)
{
    page[1]++;
    return page[2] == ANSWER;
}

static bool in_use(void)
{
    for (unsigned i = 0; i < PEERS; i++) {
        if (entries[FIRST_REF + i].flags & (GTF_reading | GTF_writing)) {
            return true;
        }
    }
    return false;
}

static bool let_go(void)
{
    page[1]++;
    page[3]++;
    return !in_use();
}

static void grant(void)
{
    uint32_t count;

    entries = page_alloc(1);
    page = page_alloc(1);
    check(!map_xen_page(XENMAPSPACE_grant_table, 0, (void *)(uintptr_t)entries), "a grant table");
    page[0] = HELLO;
    for (unsigned i = 1; i < PEERS; i++) {
        entries[FIRST_REF + i].domid = (domid_t)i;
        entries[FIRST_REF + i].frame = (uint32_t)((uint64_t)page / PAGE);
        asm volatile("" : : : "memory");
        entries[FIRST_REF + i].flags = GTF_permit_access;
    }
    print("GRANTED\n");
    check(wait_for(answered), "an answer, after %u", page[1]);
    count = page[1];
    check(wait_for(let_go), "it is let go");
    check(page[1] - count == page[3] && page[0] == HELLO, "no write is lost");
    /* and when the page has come home, still none is */
    for (unsigned i = 0; i < 200000; i++) {
        page[4]++;
        if (i % 16 == 0) {
            HC(sched_op, SCHEDOP_yield, 0, 0);
        }
    }
    check(page[4] == 200000 && page[2] == ANSWER, "it is memory as before");
}

/* The mapper. */

static int map(domid_t d, uint32_t ref, void *at, uint32_t *handle)
{
    struct gnttab_map_grant_ref m = { .host_addr = (uint64_t)at, .flags = GNTMAP_host_map, .ref = ref,
                                      .dom = d };

    if (HC(grant_table_op, GNTTABOP_map_grant_ref, &m, 1)) {
        return -1000;
    }
    *handle = m.handle;
    return m.status;
}

static bool counts(void)
{
    static uint32_t first;

    first = first ? first : page[1] + 1;
    return page[1] - first > 1000;
}

static void map_it(domid_t d)
{
    struct gnttab_unmap_grant_ref u = { 0 };
    uint32_t handle = 0;
    bool mapped = false;

    page = page_alloc(1);
    for (unsigned i = 1; i < PEERS && !mapped; i++) {
        mapped = map(d, FIRST_REF + i, (void *)(uintptr_t)page, &handle) == GNTST_okay;
    }
    check(mapped && page[0] == HELLO, "domain %u's page", d);
    check(wait_for(counts), "it is at work on it: %u", page[1]);
    page[2] = ANSWER;
    u.host_addr = (uint64_t)page;
    u.handle = handle;
    check(!HC(grant_table_op, GNTTABOP_unmap_grant_ref, &u, 1) && u.status == GNTST_okay, "let go");
    check(page[0] == ~0u, "there is nothing of it left");
}

bool guest_main(const char *cmdline)
{
    domid_t other = 0;

    if (has_word(cmdline, "grant")) {
        grant();
        return true;
    }
    for (const char *s = cmdline; *s; s++) {
        if (*s >= '0' && *s <= '9') {
            other = (domid_t)(other * 10 + (*s - '0'));
        }
    }
    map_it(other);
    return true;
}
