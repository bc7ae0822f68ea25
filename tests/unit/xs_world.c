/* SPDX-License-Identifier: MIT */
#include "tests/unit/xs_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    fake_init(&w->f);
    w->c = fake_connect(&w->f);
    *state = w;
    return 0;
}

void world_check(struct world *w)
{
    assert_int_equal(fake_talk(&w->f, w->c, 0, XS_CONTROL, 0, S("check"), &w->m), XS_CONTROL);
    assert_string_equal(w->m.body, "OK");
}

/* Every test ends with the books compared with the tree. */
int world_teardown(void **state)
{
    struct world *w = *state;

    world_check(w);
    fake_disconnect(&w->f, w->c);
    fake_free(&w->f);
    free(w);
    return 0;
}

/* From the control domain. */
void ok(struct world *w, uint32_t type, uint32_t tx, const char *data, size_t len)
{
    uint32_t got = fake_talk(&w->f, w->c, 0, type, tx, data, len, &w->m);

    if (got != type)
        print_error("op %u %s: %s\n", type, data, w->m.body);
    assert_int_equal(got, type);
}

void fails(struct world *w, uint32_t type, uint32_t tx, const char *data, size_t len,
                  const char *name)
{
    assert_int_equal(fake_talk(&w->f, w->c, 0, type, tx, data, len, &w->m), XS_ERROR);
    assert_string_equal(w->m.body, name);
}

/* From a guest. */
void guest_ok(struct world *w, uint16_t domid, uint32_t type, uint32_t tx, const char *data,
                     size_t len)
{
    uint32_t got = fake_talk(&w->f, NULL, domid, type, tx, data, len, &w->m);

    if (got != type)
        print_error("domain %u op %u %s: %s\n", domid, type, data, w->m.body);
    assert_int_equal(got, type);
}

void guest_fails(struct world *w, uint16_t domid, uint32_t type, uint32_t tx,
                        const char *data, size_t len, const char *name)
{
    assert_int_equal(fake_talk(&w->f, NULL, domid, type, tx, data, len, &w->m), XS_ERROR);
    assert_string_equal(w->m.body, name);
}

void value_is(struct world *w, uint32_t tx, const char *path, const char *value)
{
    ok(w, XS_READ, tx, path, strlen(path) + 1);
    assert_string_equal(w->m.body, value);
}

void perms_are(struct world *w, const char *path, const char *perms, size_t len)
{
    ok(w, XS_GET_PERMS, 0, path, strlen(path) + 1);
    assert_int_equal(w->m.hdr.len, len);
    assert_memory_equal(w->m.body, perms, len);
}

bool there(struct world *w, const char *path)
{
    return fake_talk(&w->f, w->c, 0, XS_READ, 0, path, strlen(path) + 1, &w->m) == XS_READ;
}

uint32_t begin(struct world *w)
{
    ok(w, XS_TRANSACTION_START, 0, S(""));
    return (uint32_t)atoi(w->m.body);
}

/* A guest with what the toolstack makes for it: a home that it may read, and data that it owns. */
void guest_up(struct world *w, uint16_t domid)
{
    char buf[128];
    int n;

    fake_domain_up(&w->f, domid);
    n = snprintf(buf, sizeof(buf), "/local/domain/%u", domid);
    ok(w, XS_MKDIR, 0, buf, (size_t)n + 1);
    n += 1 + snprintf(buf + n + 1, sizeof(buf) - (size_t)n - 1, "n0%cr%u", 0, domid);
    ok(w, XS_SET_PERMS, 0, buf, (size_t)n + 1);
    n = snprintf(buf, sizeof(buf), "/local/domain/%u/data", domid);
    ok(w, XS_MKDIR, 0, buf, (size_t)n + 1);
    n += 1 + snprintf(buf + n + 1, sizeof(buf) - (size_t)n - 1, "n%u", domid);
    ok(w, XS_SET_PERMS, 0, buf, (size_t)n + 1);
    n = snprintf(buf, sizeof(buf), "%u%c1%c7", domid, 0, 0);
    ok(w, XS_INTRODUCE, 0, buf, (size_t)n + 1);
}

/* The next event to the client; NULL if none. */
const char *event(struct world *w)
{
    while (fake_get(w->c, &w->m))
        if (w->m.hdr.type == XS_WATCH_EVENT)
            return w->m.body;
    return NULL;
}

const char *guest_event(struct world *w, uint16_t domid)
{
    while (fake_ring_get(&w->f, domid, &w->m))
        if (w->m.hdr.type == XS_WATCH_EVENT)
            return w->m.body;
    return NULL;
}

uint32_t guest_begin(struct world *w, uint16_t domid)
{
    guest_ok(w, domid, XS_TRANSACTION_START, 0, S(""));
    return (uint32_t)atoi(w->m.body);
}

void drain(struct world *w)
{
    while (event(w))
        ;
}

void guest_drain(struct world *w, uint16_t domid)
{
    while (guest_event(w, domid))
        ;
}
