/* SPDX-License-Identifier: MIT */
/*
 * The store's wire: a script of what two socket clients, one guest and its hypervisor do.
 *
 * Each step is a byte that says what, and more bytes as it needs: well-formed requests made of
 * pieces that occur in the store, raw bytes, ring words, deaths, live updates. Afterwards the books
 * must agree.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "tests/unit/xs_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct script {
    const uint8_t *p, *end;
    struct fake f;
    struct fake_client *c[2];
};

static uint8_t next(struct script *s)
{
    return s->p < s->end ? *s->p++ : 0;
}

static const char *const pieces[] = {
    "/", "/a", "/a/b", "/a/b/c", "/local/domain/1/data", "/local/domain/1/data/x", "data",
    "data/y", "data/y/z", "@releaseDomain", "@introduceDomain", "/local/domain/1", "n0", "b1",
    "r1", "w2", "T", "F", "1", "2", "7", "0", "tok", "check", "quota", "set", "nodes", "", "//",
    "/a/", "data\xff", "@releaseDomain/1", "r32757", "w1", "memory", "soft-memory", "max", "-r",
    "4294967295", "watches", "log", "+io", "memreport", "live-update", "-s", "-f", "15", "3", "/a/c", "/b", "data/c", "1073741839",
};

/* Up to four pieces, each with its NUL except sometimes the last. */
static size_t payload(struct script *s, char *out, size_t room)
{
    uint8_t how = next(s);
    size_t used = 0;

    for (unsigned i = 0; i <= (how & 3u); i++) {
        const char *piece = pieces[next(s) % (sizeof(pieces) / sizeof(pieces[0]))];
        size_t len = strlen(piece) + 1;

        if (used + len > room)
            break;
        memcpy(out + used, piece, len);
        used += len;
    }
    return used && how & 4 ? used - 1 : used;
}

static void put(struct script *s, unsigned to, const void *data, size_t len)
{
    if (to < 2)
        fake_put(&s->f, s->c[to], data, len);
    else if (s->f.dom[1].page)
        fake_ring_put(&s->f, 1, data, len);
}

/* The transaction that a client has begun last, where a script says 3. */
static uint32_t tx_of(struct script *s, unsigned to, unsigned id)
{
    const struct conn *c = to < 2 ? s->c[to]->conn : NULL;

    return id == 3 && c ? c->next_tx - 1 : id;
}

/* A client loses three times in a row, and has its turn. */
static void lose(struct script *s, unsigned who)
{
    struct fake_client *c = s->c[who & 1], *other = s->c[!(who & 1)];
    static const char *const writes[] = { "/a\0x", "/a\0y", "/a\0z" };
    struct fake_msg m;

    for (int i = 0; i < 4; i++) {
        fake_talk(&s->f, c, 0, XS_TRANSACTION_START, 0, "", 1, &m);
        uint32_t tx = (uint32_t)atoi(m.body);
        fake_talk(&s->f, c, 0, XS_READ, tx, "/a", 3, &m);
        if (i == 3)
            break;
        fake_talk(&s->f, other, 0, XS_WRITE, 0, writes[i], 4, &m);
        fake_talk(&s->f, c, 0, XS_TRANSACTION_END, tx, "T", 2, &m);
    }
}

static void request(struct script *s, unsigned to)
{
    static const char report[] = "memreport";
    char buf[sizeof(struct xsd_sockmsg) + 256];
    struct xsd_sockmsg hdr = { .type = next(s) % 32u, .tx_id = tx_of(s, to, next(s) & 3u) };

    if (hdr.type >= 28)
        hdr.type = XS_KR_CLONE;
    hdr.len = (uint32_t)payload(s, buf + sizeof(hdr), 256);
    /* Not to a file: a script's files would be real ones, wherever it is run. */
    if (hdr.type == XS_CONTROL && hdr.len > sizeof(report) && !memcmp(buf + sizeof(hdr), report, sizeof(report)))
        hdr.len = sizeof(report);
    memcpy(buf, &hdr, sizeof(hdr));
    put(s, to, buf, sizeof(hdr) + hdr.len);
}

static void raw(struct script *s, unsigned to)
{
    char buf[64];
    unsigned n = next(s) % sizeof(buf);

    for (unsigned i = 0; i < n; i++)
        buf[i] = (char)next(s);
    put(s, to, buf, n);
}

static void ring_word(struct script *s)
{
    struct xenstore_domain_interface *page = s->f.dom[1].page;
    unsigned which = next(s);
    uint32_t v = (uint32_t)(int8_t)next(s) * (which & 8 ? 512u : 1u);

    if (!page)
        return;
    uint32_t *words[] = { (uint32_t *)&page->req_cons, (uint32_t *)&page->req_prod,
                          (uint32_t *)&page->rsp_cons, (uint32_t *)&page->rsp_prod,
                          (uint32_t *)&page->connection, (uint32_t *)&page->error };
    *words[which % 6] = which & 16 ? *words[which % 6] + v : v;
    fake_ring_kick(&s->f, 1);
}

static void drain(struct script *s, unsigned from)
{
    struct fake_msg m;

    while (from < 2 ? fake_get(s->c[from], &m) : s->f.dom[1].page && fake_ring_get(&s->f, 1, &m))
        ;
    fake_run(&s->f);
}

static void reopen(struct script *s, unsigned which)
{
    if (which > 1)
        return;
    fake_disconnect(&s->f, s->c[which]);
    s->c[which] = fake_connect(&s->f);
}

static void introduce(struct script *s)
{
    struct fake_msg m;

    if (!s->f.dom[1].exists)
        fake_domain_up(&s->f, 1);
    struct fake_client *c = fake_connect(&s->f);
    fake_talk(&s->f, c, 0, XS_MKDIR, 0, "/local/domain/1/data", 21, &m);
    fake_talk(&s->f, c, 0, XS_SET_PERMS, 0, "/local/domain/1\0r1", 19, &m);
    fake_talk(&s->f, c, 0, XS_SET_PERMS, 0, "/local/domain/1/data\0b1", 24, &m);
    fake_talk(&s->f, c, 0, XS_INTRODUCE, 0, "1\0" "1\0" "7", 6, &m);
    fake_disconnect(&s->f, c);
}

static void step(struct script *s)
{
    uint8_t what = next(s);
    unsigned who = what >> 6 ? (what >> 6) - 1u : 0;

    switch (what & 15) {
    case 6: lose(s, who); break;
    case 8: raw(s, who); break;
    case 9: drain(s, who); break;
    case 10: ring_word(s); break;
    case 11: reopen(s, who); break;
    case 12: introduce(s); break;
    case 13:
        s->f.dom[1].shutdown = next(s) & 1;
        s->f.dom[1].dying = next(s) & 1;
        domain_check_all(&s->f.s);
        fake_run(&s->f);
        break;
    case 14:
        if (who)
            fake_domain_down(&s->f, 1);
        break;
    case 7:
        if (!s->f.s.settling)
            fake_update(&s->f);
        break;
    case 15:
        s->f.now_ms += 7000;
        store_tick(&s->f.s);
        fake_run(&s->f);
        break;
    default: request(s, who); break;
    }
}

/* No script names a domain above this one as an owner. */
#define OWNERS 8

static int count(void *arg, const char *path, const struct node *n, bool *skip)
{
    struct usage *found = arg;
    uint16_t owner = perms_owner(n->perms);

    if (owner >= OWNERS)
        abort();
    found[owner].nodes++;
    found[owner].bytes += (int64_t)node_bytes(n);
    return 0;
}

static void check(struct script *s)
{
    struct usage found[OWNERS] = { { 0 } };

    if (tree_walk(&s->f.s.tree, "/", count, found))
        abort();
    for (int i = 0; i < OWNERS; i++)
        if (found[i].nodes != s->f.s.books.flat[i].nodes ||
            found[i].bytes != s->f.s.books.flat[i].bytes) {
            fprintf(stderr, "domain %d: the books are wrong\n", i);
            abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct script s;

    kr_log_init("fuzz", KR_ERR);
    s.p = data;
    s.end = data + size;
    fake_init(&s.f);
    s.f.s.quota[QUOTA_NODES] = 12;
    s.f.s.quota[QUOTA_MEMORY] = 8192;
    s.c[0] = fake_connect(&s.f);
    s.c[1] = fake_connect(&s.f);
    introduce(&s);
    for (unsigned i = 0; i < 400 && s.p < s.end; i++)
        step(&s);
    check(&s);
    for (int i = 0; i < 2; i++)
        fake_disconnect(&s.f, s.c[i]);
    fake_free(&s.f);
    for (int i = 0; i < FAKE_DOMAINS; i++)
        if (s.f.dom[i].mapped || s.f.dom[i].port)
            abort();
    return 0;
}
