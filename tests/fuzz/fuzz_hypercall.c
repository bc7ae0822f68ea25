/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls with arbitrary numbers, arguments and buffers, from a guest with or without control, from a
 * restricted client and from an unrestricted one, against a core whose domain processes are this program.
 *
 * Input: records of a caller (1 byte), op, sub-op (1 byte each), a count (2), a length (1), and
 * that many bytes, which lie where the hypercall's pointer points (dm_op: what they are is said below).
 * What must hold after each input
 * is checked at its end: pages, pins and ports add up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/core_harness.h"

#include <xen/hvm/dm_op.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RENEW 200    /* inputs per core */
#define LIST  0x2000ull

static struct th *h;
static struct tc restricted;
static domid_t guest[2];
static unsigned inputs;

/* Each has granted some frames to each, and has lists of small numbers to point at (LIST, LIST + 0x800). */
static domid_t make_guest(void)
{
    domid_t d = th_domain(h, 2, 64);
    struct grant_entry_v1 *e = (void *)(th_proc(h, d)->xen + KL_XEN_GRANT_FRAMES * 4096);
    uint64_t list[512];

    assert_int_equal(gnt_grow(domain_find(h->core, d), 1), 0);
    for (unsigned i = 0; i < 64; i++) {
        e[8 + i] = (struct grant_entry_v1){ GTF_permit_access | (i % 8 == 7 ? GTF_readonly : 0),
                                            (domid_t)(1 + i % 4), i };
    }
    for (unsigned i = 0; i < 512; i++) {
        list[i] = i < 256 ? i % 70 : i;
    }
    tg_write(h, d, LIST, list, sizeof(list));
    return d;
}

static void make_guests(void)
{
    for (int i = 0; i < 2; i++) {
        if (h->nr_procs < TEST_DOMS && (!guest[i] || !domain_find(h->core, guest[i]))) {
            guest[i] = make_guest();
        }
    }
}

static void start(void)
{
    struct kw_domid res = { { KW_RESTRICT, 0 }, 1, 0 };

    kr_log_init("fuzz", KR_ERR);
    h = th_new();
    h->ignore = true;
    guest[0] = guest[1] = 0;
    make_guests();
    tc_open(h, &restricted);
    tc_call(h, &restricted, &res, sizeof(res), NULL, 0);
}

static void stop(void)
{
    if (!h) {
        return;
    }
    tc_close(h, &restricted);
    th_free(h);
    h = NULL;
}

struct record { uint8_t caller, op, sub; uint16_t count; uint8_t len; } __attribute__((packed));

static void by_guest(const struct record *r, const uint8_t *bytes)
{
    static const uint8_t zero[256];
    struct domain *d = domain_find(h->core, guest[r->caller & 1]);
    struct kl_hypercall m = { .op = r->op, .arg = { r->sub, 0x1000, r->count, 0x2000, 64 } };

    if (!d || d->proc_gone || d->proc_killed || d->dying) {
        return;
    }
    if (r->caller & 0x10) {
        m.compat = 1;
    }
    tg_write(h, d->domid, 0x1000, zero, sizeof(zero));
    tg_write(h, d->domid, 0x1000, bytes, r->len);
    if (r->caller & 0x20) {    /* the op in the argument, as domctl; or console_io's order */
        uint32_t head[2] = { r->sub, XEN_DOMCTL_INTERFACE_VERSION };

        m.arg[0] = 0x1000;
        if (r->op == __HYPERVISOR_domctl || r->op == __HYPERVISOR_sysctl) {
            tg_write(h, d->domid, 0x1000, head, sizeof(head));
        }
    }
    d->control = r->caller & 0x40;
    tg_raw(h, d->domid, r->caller >> 1 & 1, &m, NULL);
}

/* sub: the operation; bytes: its argument; count: the size of the second buffer, which follows. */
static void dm_op_by_client(struct tc *c, const struct record *r, const uint8_t *bytes)
{
    struct xen_dm_op op = { .op = r->sub };
    struct xen_dm_op_buf list[2];
    domid_t of = r->caller & 0x10 ? r->count & 7 : guest[r->caller & 1];

    memset(list, 0, sizeof(list));
    list[0].h.p = (void *)(uintptr_t)A(1024);
    list[0].size = r->caller & 8 ? r->len : sizeof(op);
    list[1].h.p = (void *)(uintptr_t)A(2048);
    list[1].size = r->count;
    memcpy(&op.u, bytes, r->len < sizeof(op.u) ? r->len : sizeof(op.u));
    if (op.op == XEN_DMOP_relocate_memory) {
        op.u.relocate_memory.size &= 0xfff;    /* a page can be pushed through all of the address space */
    }
    memcpy(c->arena, list, sizeof(list));
    memcpy(c->arena + 1024, &op, sizeof(op));
    memset(c->arena + 2048, 0, 512);
    memcpy(c->arena + 2048, bytes, r->len);
    tc_hypercall(h, c, __HYPERVISOR_dm_op, of, r->caller & 4 ? 2 : 1, A(0), 0, 0);
}

static void by_client(struct tc *c, const struct record *r, const uint8_t *bytes)
{
    uint8_t msg[512], reply[KW_MAX_MSG];
    struct kw_req *req = (void *)msg;

    if (r->caller & 0x20 && r->op == __HYPERVISOR_dm_op) {
        dm_op_by_client(c, r, bytes);
        return;
    }
    if (r->caller & 0x20) {
        bool cmd = r->op == __HYPERVISOR_domctl || r->op == __HYPERVISOR_sysctl;

        memset(c->arena, 0, 512);
        memcpy(c->arena, bytes, r->len);
        if (cmd) {
            uint32_t head[2] = { r->sub, XEN_DOMCTL_INTERFACE_VERSION };

            memcpy(c->arena, head, sizeof(head));
        }
        tc_hypercall(h, c, r->op, cmd ? A(0) : r->sub, cmd ? 0 : A(0), r->count, A(4096), 64);
        return;
    }
    memset(msg, 0, sizeof(msg));
    memcpy(msg, bytes, r->len);
    req->op = r->op % 20;
    if (req->op == KW_HYPERCALL || req->op == KW_RESTRICT) {
        return;
    }
    tc_call(h, c, msg, r->len < sizeof(*req) ? sizeof(*req) : r->len, reply, sizeof(reply));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!h) {
        atexit(stop);
    }
    if (!h || ++inputs % RENEW == 0 || h->nr_procs > TEST_DOMS - 4) {
        stop();
        start();
    }
    make_guests();
    while (size >= sizeof(struct record)) {
        struct record r;

        memcpy(&r, data, sizeof(r));
        if (r.count < 0xff00) {
            r.count %= 600;    /* mostly short lists: most of the time is spent elsewhere */
        }
        data += sizeof(r);
        size -= sizeof(r);
        if (r.len > size) {
            r.len = (uint8_t)size;
        }
        if ((r.caller & 0xc0) == 0x80) {
            by_client(&restricted, &r, data);
        } else if ((r.caller & 0xc0) == 0xc0) {
            by_client(&h->c, &r, data);
        } else {
            by_guest(&r, data);
        }
        data += r.len;
        size -= r.len;
    }
    th_turn(h);
    th_check(h);
    return 0;
}
