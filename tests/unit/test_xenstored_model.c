/* SPDX-License-Identifier: MIT */
/*
 * Random operations of several clients, in and out of transactions, against a model that is too
 * simple to be wrong: an array of nodes. A transaction sees its own copy of the array. When it
 * commits, what it read must be what the array holds now, and its log is played on the array; it may
 * fail only if someone has written since it began. The store must equal the array throughout.
 *
 * One client is a guest. Now and then another daemon goes on with a live update, which nobody can see;
 * or the daemon is killed: clients connect anew, without transactions, and the guest's end with EAGAIN.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/xs_fake.h"
#include "xenstored/journal.h"

#define CLIENTS 4
#define GUEST 3     /* the index of the one that has a ring */
#define STEPS 30000
#define LOG_MAX 64
#define DIRS 3
#define LEAVES 3                        /* in each */
#define NODES (DIRS * (LEAVES + 1))     /* a directory, then its leaves */

struct model {
    int value[NODES];   /* -1: absent; a directory's own is always 0 */
};

struct log_entry {
    int op, node, value;
};

enum { OP_WRITE, OP_RM, OP_CLONE, OP_READ, OP_LIST, OP_KINDS }; /* a clone's value is where it goes */

struct client {
    struct fake_client *c;  /* NULL: domain 1 */
    bool loose;         /* others have written between its start and a live update: see update() */
    bool doomed;        /* its transaction was under way when the daemon was killed */
    uint32_t tx;        /* 0: none */
    struct model view;  /* the transaction's */
    bool wrote[NODES];  /* in the transaction: later reads say nothing about others */
    struct log_entry log[LOG_MAX];
    int nlog;
    unsigned version;   /* of the store when it began */
};

struct world {
    struct fake f;
    struct client client[CLIENTS];
    struct model now;
    unsigned version, commits, conflicts, updates, kills, clones;
    struct fake_msg m;
    uint32_t seed;
};

static uint32_t rnd(struct world *w)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 17;
    return w->seed ^= w->seed << 5;
}

static int dir_of(int node)
{
    return node - node % (LEAVES + 1);
}

static bool is_dir(int node)
{
    return node == dir_of(node);
}

static int node_path(int node, char *buf, size_t len)
{
    return is_dir(node) ? snprintf(buf, len, "/m/d%d", node)
                        : snprintf(buf, len, "/m/d%d/n%d", dir_of(node), node - dir_of(node));
}

static uint32_t talk(struct world *w, struct client *c, uint32_t type, const char *data, size_t len)
{
    return fake_talk(&w->f, c->c, c->c ? 0 : 1, type, c->tx, data, len, &w->m);
}

/* ---- The model's operations ---- */

static void model_write(struct model *m, int node, int value)
{
    m->value[dir_of(node)] = 0;
    m->value[node] = is_dir(node) ? 0 : value;
}

static void model_rm(struct model *m, int node)
{
    m->value[node] = -1;
    for (int i = 1; is_dir(node) && i <= LEAVES; i++)
        m->value[node + i] = -1;
}

/* What an attempt comes to: nothing, or the error's name. Only what is of one kind is cloned. */
static const char *model_clone_error(const struct model *m, const struct log_entry *e)
{
    if (e->value == e->node)
        return "EINVAL";
    if (m->value[e->node] < 0)
        return "ENOENT";
    return m->value[e->value] < 0 ? NULL : "EEXIST";
}

static void model_clone(struct model *m, const struct log_entry *e)
{
    for (int i = 0; i <= (is_dir(e->node) ? LEAVES : 0); i++)
        m->value[e->value + i] = m->value[e->node + i];
    m->value[dir_of(e->value)] = 0;
}

/* A bit for each leaf that is there, or -1. */
static int model_list(const struct model *m, int node)
{
    int bits = 0, dir = dir_of(node);

    if (m->value[dir] < 0)
        return -1;
    for (int i = 1; i <= LEAVES; i++)
        bits |= (m->value[dir + i] >= 0) << i;
    return bits;
}

static int model_read(const struct model *m, const struct log_entry *e)
{
    return e->op == OP_LIST ? model_list(m, e->node) : m->value[e->node];
}

/* ---- The store's ---- */

static void store_write(struct world *w, struct client *c, int node, int value)
{
    char buf[64];
    int n = node_path(node, buf, sizeof(buf)) + 1;

    if (!is_dir(node))
        n += snprintf(buf + n, sizeof(buf) - (size_t)n, "%d", value);
    uint32_t type = is_dir(node) ? XS_MKDIR : XS_WRITE;
    assert_int_equal(talk(w, c, type, buf, (size_t)n), type);
}

static void store_clone(struct world *w, struct client *c, const struct model *m, const struct log_entry *e)
{
    const char *error = model_clone_error(m, e);
    char buf[64];
    int n = node_path(e->node, buf, sizeof(buf)) + 1;

    n += node_path(e->value, buf + n, sizeof(buf) - (size_t)n) + 1;
    assert_int_equal(talk(w, c, XS_KR_CLONE, buf, (size_t)n), error ? XS_ERROR : XS_KR_CLONE);
    if (error)
        assert_string_equal(w->m.body, error);
    else
        w->clones++;
}

static bool store_rm(struct world *w, struct client *c, const struct model *m, int node)
{
    char buf[64];
    int n = node_path(node, buf, sizeof(buf)) + 1;
    bool parent = is_dir(node) || m->value[dir_of(node)] >= 0;

    uint32_t got = talk(w, c, XS_RM, buf, (size_t)n);
    if (!c->loose)
        assert_int_equal(got, parent ? XS_RM : XS_ERROR);
    return got == XS_RM;
}

static int store_read(struct world *w, struct client *c, const struct log_entry *e)
{
    char buf[64];
    int n = node_path(e->op == OP_LIST ? dir_of(e->node) : e->node, buf, sizeof(buf)) + 1, bits = 0;
    uint32_t type = e->op == OP_LIST ? XS_DIRECTORY : XS_READ;

    if (talk(w, c, type, buf, (size_t)n) != type) {
        assert_string_equal(w->m.body, "ENOENT");
        return -1;
    }
    if (e->op == OP_READ)
        return atoi(w->m.body);
    for (const char *p = w->m.body; p < w->m.body + w->m.hdr.len; p += strlen(p) + 1)
        bits |= 1 << atoi(p + 1);
    return bits;
}

static void compare(struct world *w, struct client *c, const struct model *m)
{
    for (int i = 0; i < NODES; i++) {
        struct log_entry read = { OP_READ, i, 0 }, list = { OP_LIST, i, 0 };

        assert_int_equal(store_read(w, c, &read), m->value[i]);
        assert_int_equal(store_read(w, c, &list), model_list(m, i));
    }
}

/* ---- Steps ---- */

static void play(struct model *m, const struct log_entry *e)
{
    if (e->op == OP_WRITE)
        model_write(m, e->node, e->value);
    else if (e->op == OP_RM)
        model_rm(m, e->node);
    else if (e->op == OP_CLONE)
        model_clone(m, e);
}

static void begin(struct world *w, struct client *c)
{
    assert_int_equal(talk(w, c, XS_TRANSACTION_START, "", 1), XS_TRANSACTION_START);
    c->tx = (uint32_t)atoi(w->m.body);
    c->view = w->now;
    c->version = w->version;
    c->loose = false;
    c->nlog = 0;
    memset(c->wrote, 0, sizeof(c->wrote));
}

static void end(struct world *w, struct client *c)
{
    bool ok = talk(w, c, XS_TRANSACTION_END, "T", 2) == XS_TRANSACTION_END;

    c->tx = 0;
    c->loose = false;
    if (!ok) {
        assert_string_equal(w->m.body, "EAGAIN");
        if (!c->doomed)
            assert_int_not_equal(c->version, w->version);
        c->doomed = false;
        w->conflicts++;
        return;
    }
    assert_false(c->doomed);
    for (int i = 0; i < c->nlog; i++)
        if (c->log[i].op == OP_READ || c->log[i].op == OP_LIST)
            assert_int_equal(c->log[i].value, model_read(&w->now, &c->log[i]));
    for (int i = 0; i < c->nlog; i++)
        play(&w->now, &c->log[i]);
    w->version++;
    w->commits++;
}

/* After a write, what is read there is the transaction's own doing. */
static void mark_written(struct client *c, int node)
{
    for (int i = 0; i <= LEAVES; i++)
        c->wrote[dir_of(node) + i] |= is_dir(node) || dir_of(node) + i == node || !i;
}

static void record_read(struct client *c, int op, int node)
{
    struct log_entry e = { op, node, 0 };

    e.value = model_read(&c->view, &e);
    if (!c->wrote[op == OP_LIST ? dir_of(node) : node])
        c->log[c->nlog++] = e;
}

/* A clone that is made, or finds no source, has read what it has read. */
static void record_source(struct client *c, int node)
{
    record_read(c, OP_READ, node);
    if (!is_dir(node) || c->view.value[node] < 0)
        return;
    record_read(c, OP_LIST, node);
    for (int i = 1; i <= LEAVES; i++)
        if (c->view.value[node + i] >= 0)
            record_read(c, OP_READ, node + i);
}

static void clone(struct world *w, struct client *c, struct model *m, int node)
{
    struct log_entry e = { OP_CLONE, node, 0 };

    do
        e.value = (int)(rnd(w) % NODES);
    while (is_dir(e.value) != is_dir(node));
    const char *error = model_clone_error(m, &e);
    store_clone(w, c, m, &e);
    if (c->tx && node != e.value && (!error || !strcmp(error, "ENOENT")))
        record_source(c, node);
    if (error)
        return;
    play(m, &e);
    if (!c->tx) {
        w->version++;
        return;
    }
    mark_written(c, e.value);
    c->log[c->nlog++] = e;
}

static void operate(struct world *w, struct client *c)
{
    struct log_entry e = { (int)(rnd(w) % OP_KINDS), (int)(rnd(w) % NODES), (int)(rnd(w) % 1000) };
    struct model *m = c->tx ? &c->view : &w->now;
    bool record = c->tx;

    if (e.op == OP_CLONE && !c->loose) {
        clone(w, c, m, e.node);
        return;
    }
    if (e.op == OP_CLONE)
        e.op = OP_READ;
    if (e.op == OP_RM && rnd(w) % 3)
        e.op = OP_WRITE; /* or there would never be much */
    if (e.op == OP_WRITE) {
        store_write(w, c, e.node, e.value);
    } else if (e.op == OP_RM) {
        if (!store_rm(w, c, m, e.node) && c->loose)
            return;
    } else {
        e.value = store_read(w, c, &e);
        if (!c->loose)
            assert_int_equal(e.value, model_read(m, &e));
        record &= !c->wrote[e.op == OP_LIST ? dir_of(e.node) : e.node];
    }
    play(m, &e);
    if (e.op == OP_WRITE || e.op == OP_RM) {
        if (c->tx)
            mark_written(c, e.node);
        else
            w->version++;
    }
    if (record)
        c->log[c->nlog++] = e;
}

static char dir[] = "/tmp/xs-model-XXXXXX";

/*
 * A transaction goes on with the store as it is now, below what it has written itself. If others have
 * written too, what it sees may be neither, but then it is not committed unless all that it has read
 * is as it is now.
 */
static void update(struct world *w)
{
    fake_update(&w->f);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &w->client[i];

        c->loose |= c->tx && c->version != w->version;
    }
    assert_int_equal(journal_open(&w->f.s, dir, "fake"), 0);
    w->updates++;
}

static void kill_daemon(struct world *w, struct client *reader)
{
    fake_restart(&w->f, dir);
    w->kills++;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &w->client[i];

        if (!c->c) {
            c->doomed = c->tx;
            continue;
        }
        fake_disconnect(&w->f, c->c);
        c->c = fake_connect(&w->f);
        c->loose = false;
        c->tx = 0;
    }
    fake_disconnect(&w->f, reader->c);
    reader->c = fake_connect(&w->f);
}

static void step(struct world *w)
{
    struct client *c = &w->client[rnd(w) % CLIENTS];
    uint32_t r = rnd(w) % 16;

    if (!c->tx && r < 2)
        begin(w, c);
    else if (c->tx && (r < 2 || c->nlog + LEAVES + 3 > LOG_MAX || c->doomed))
        end(w, c);
    else if (c->tx || r < 6)
        operate(w, c);
}

static void test_model(void **state)
{
    static struct world w;
    struct fake_client *reader;

    kr_log_init("test", KR_ERR);
    fake_init(&w.f);
    w.seed = 19790101;
    memset(&w.now, 0xff, sizeof(w.now));
    for (int i = 0; i < CLIENTS; i++)
        w.client[i].c = i == GUEST ? NULL : fake_connect(&w.f);
    reader = fake_connect(&w.f);
    fake_domain_up(&w.f, 1);
    fake_talk(&w.f, reader, 0, XS_MKDIR, 0, "/m", 3, &w.m);
    fake_talk(&w.f, reader, 0, XS_SET_PERMS, 0, "/m\0n0\0b1", 9, &w.m);
    fake_talk(&w.f, reader, 0, XS_INTRODUCE, 0, "1\0" "1\0" "7", 6, &w.m);
    assert_int_equal(journal_open(&w.f.s, dir, "fake"), 0);
    struct client outside = { .c = reader };
    for (int i = 0; i < STEPS; i++) {
        uint32_t r = rnd(&w) % 500;

        step(&w);
        if (r == 0)
            update(&w);
        else if (r == 1)
            kill_daemon(&w, &outside);
        if (i % 50 == 0)
            compare(&w, &outside, &w.now);
        w.f.now_ms += 10;
    }
    reader = outside.c;
    assert_int_equal(fake_talk(&w.f, reader, 0, XS_CONTROL, 0, "check", 6, &w.m), XS_CONTROL);
    assert_string_equal(w.m.body, "OK");
    /* Both ends must have been reached often for this to mean anything. */
    assert_true(w.commits > 100);
    assert_true(w.conflicts > 100);
    assert_true(w.updates > 20 && w.kills > 20);
    print_message("%u commits, %u conflicts, %u clones, %u updates, %u kills\n", w.commits, w.conflicts, w.clones,
                  w.updates, w.kills);
    assert_true(w.clones > 200);
    for (int i = 0; i < CLIENTS; i++)
        if (w.client[i].c)
            fake_disconnect(&w.f, w.client[i].c);
    fake_disconnect(&w.f, reader);
    fake_free(&w.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_model) };
    char name[64];

    if (!mkdtemp(dir))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(name, sizeof(name), "%s/state", dir);
    unlink(name);
    rmdir(dir);
    return failed;
}
