/* SPDX-License-Identifier: MIT */
/* The tree: versions, sharing, books; compared with a plain model under random edits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenstored/hash.h"
#include "xenstored/path.h"
#include "xenstored/perms.h"
#include "xenstored/tree.h"

static struct perms *owned_by(uint16_t domid)
{
    struct perm e = { .domid = domid };

    return perms_new(&e, 1, 1);
}

static void start(struct tree *t)
{
    struct perms *p = owned_by(0);

    hash_init();
    assert_int_equal(tree_init(t, p, 1), 0);
    perms_unref(p);
}

static int create(struct tree *t, const char *path, const char *value, uint64_t gen)
{
    struct perms *p = owned_by(0);
    int err = tree_create(t, path, p, value, strlen(value), gen);

    perms_unref(p);
    return err;
}

static void assert_value(const struct tree *t, const char *path, const char *value)
{
    const struct node *n = tree_find(t, path);

    assert_non_null(n);
    assert_int_equal(n->value_len, strlen(value));
    assert_memory_equal(node_value(n), value, n->value_len);
}

static void test_versions(void **state)
{
    struct tree t, old;

    start(&t);
    assert_int_equal(create(&t, "/a/b/c", "one", 2), 0);
    assert_int_equal(create(&t, "/a/b/c", "one", 2), EEXIST);
    tree_share(&old, &t);
    assert_int_equal(tree_set_value(&t, "/a/b/c", "two", 3, 3), 0);
    assert_int_equal(create(&t, "/a/d", "new", 4), 0);
    assert_value(&old, "/a/b/c", "one");
    assert_null(tree_find(&old, "/a/d"));
    assert_value(&t, "/a/b/c", "two");
    assert_int_equal(tree_find(&t, "/a")->kids_gen, 4);
    assert_int_equal(tree_find(&t, "/a/b")->kids_gen, 2); /* a grandchild changes nothing above */
    assert_int_equal(tree_find(&t, "/a/b")->gen, 2);
    assert_int_equal(tree_remove(&t, "/a", 5), 0);
    assert_null(tree_find(&t, "/a/b/c"));
    assert_value(&old, "/a/b/c", "one");
    assert_int_equal(tree_remove(&t, "/a", 6), ENOENT);
    assert_int_equal(tree_remove(&t, "/", 6), EINVAL);
    assert_int_equal(tree_set_value(&t, "/a", "", 0, 7), ENOENT);
    tree_drop(&t);
    tree_drop(&old);
}

/* Untouched parts of a version are the very same memory. */
static void test_sharing(void **state)
{
    struct tree t, old;

    start(&t);
    create(&t, "/x/1", "", 2);
    create(&t, "/y/1", "", 3);
    tree_share(&old, &t);
    create(&t, "/x/2", "", 4);
    assert_ptr_equal(tree_find(&t, "/y"), tree_find(&old, "/y"));
    assert_ptr_equal(tree_find(&t, "/x/1"), tree_find(&old, "/x/1"));
    assert_ptr_not_equal(tree_find(&t, "/x"), tree_find(&old, "/x"));
    tree_drop(&old);
    tree_drop(&t);
}

static void test_order(void **state)
{
    struct tree t;
    char path[32];

    start(&t);
    for (int i = 0; i < 500; i++) {
        snprintf(path, sizeof(path), "/d/%d", i * 7919 % 500);
        create(&t, path, "", 2 + (uint64_t)i);
    }
    const struct node *d = tree_find(&t, "/d"), **kids = node_children(d);
    assert_int_equal(d->nkids, 500);
    for (int i = 0; i < 500; i++) {
        snprintf(path, sizeof(path), "%d", i * 7919 % 500);
        assert_int_equal(kids[i]->name_len, strlen(path));
        assert_memory_equal(kids[i]->data, path, strlen(path));
    }
    free(kids);
    tree_drop(&t);
}

/* XSA-418: depth costs heap, not stack. */
static void test_depth(void **state)
{
    char path[PATH_ABS_MAX + 1] = "";
    struct usage books[3] = { { 0 } };
    struct tally tally = { .flat = books };
    struct tree t;

    start(&t);
    t.tally = &tally;
    for (int i = 0; i < 1500; i++)
        strcat(path, "/a");
    assert_int_equal(create(&t, path, "deep", 2), 0);
    assert_value(&t, path, "deep");
    assert_int_equal(books[0].nodes, 1500);
    assert_int_equal(tree_remove(&t, "/a", 3), 0);
    assert_int_equal(books[0].nodes, 0);
    assert_int_equal(books[0].bytes, 0);
    tree_drop(&t);
}

static void test_tally(void **state)
{
    struct tally diff = { 0 };
    struct perms *p = owned_by(7), *q = owned_by(8);
    struct tree t;

    start(&t);
    t.tally = &diff;
    assert_int_equal(tree_create(&t, "/g/h", p, "xyz", 3, 2), 0);
    assert_int_equal(tally_get(&diff, 7).nodes, 2);
    assert_int_equal(tree_set_perms(&t, "/g/h", q, 3), 0);
    assert_int_equal(tally_get(&diff, 7).nodes, 1);
    assert_int_equal(tally_get(&diff, 8).nodes, 1);
    assert_int_equal(tally_get(&diff, 8).bytes, node_bytes(tree_find(&t, "/g/h")));
    assert_int_equal(tree_set_value(&t, "/g/h", "", 0, 4), 0);
    assert_int_equal(tally_get(&diff, 8).bytes, node_bytes(tree_find(&t, "/g/h")));
    assert_int_equal(tree_remove(&t, "/g", 5), 0);
    assert_int_equal(tally_get(&diff, 7).nodes, 0);
    assert_int_equal(tally_get(&diff, 7).bytes, 0);
    assert_int_equal(tally_get(&diff, 8).nodes, 0);
    assert_int_equal(tally_get(&diff, 8).bytes, 0);
    tally_free(&diff);
    perms_unref(p);
    perms_unref(q);
    tree_drop(&t);
}

/* ---- Against a model: one directory's names, with their values, in several versions ---- */

#define NAMES 300
#define VERSIONS 6

struct model {
    int value[NAMES]; /* -1: absent */
};

static uint32_t rnd(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    return *x ^= *x << 5;
}

static void compare(const struct tree *t, const struct model *m)
{
    char path[32], value[16];
    unsigned count = 0;

    for (int i = 0; i < NAMES; i++) {
        snprintf(path, sizeof(path), "/d/n%d", i);
        snprintf(value, sizeof(value), "%d", m->value[i]);
        if (m->value[i] < 0)
            assert_null(tree_find(t, path));
        else
            assert_value(t, path, value);
        count += m->value[i] >= 0;
    }
    const struct node *d = tree_find(t, "/d"), **kids = node_children(d);
    assert_int_equal(d->nkids, count);
    free(kids);
}

static void edit(struct tree *t, struct model *m, uint32_t r, uint64_t gen)
{
    int i = (int)(r >> 8) % NAMES, v = (int)(r & 0xff);
    char path[32], value[16];

    snprintf(path, sizeof(path), "/d/n%d", i);
    snprintf(value, sizeof(value), "%d", v);
    if (m->value[i] < 0) {
        assert_int_equal(create(t, path, value, gen), 0);
        m->value[i] = v;
    } else if (v & 1) {
        assert_int_equal(tree_remove(t, path, gen), 0);
        m->value[i] = -1;
    } else {
        assert_int_equal(tree_set_value(t, path, value, strlen(value), gen), 0);
        m->value[i] = v;
    }
}

static void test_model(void **state)
{
    struct tree t[VERSIONS];
    struct model m[VERSIONS];
    uint32_t seed = 20261123;
    uint64_t gen = 2;

    start(&t[0]);
    create(&t[0], "/d", "", gen++);
    memset(&m[0], 0xff, sizeof(m[0]));
    for (int i = 1; i < VERSIONS; i++) {
        tree_share(&t[i], &t[0]);
        m[i] = m[0];
    }
    for (int step = 0; step < 20000; step++) {
        uint32_t r = rnd(&seed);
        int to = (int)(r % VERSIONS), from = (int)(r / VERSIONS % VERSIONS);

        if (r % 97 == 0 && to != from) {
            tree_drop(&t[to]);
            tree_share(&t[to], &t[from]);
            m[to] = m[from];
        }
        edit(&t[to], &m[to], rnd(&seed), gen++);
        if (step % 1000 == 0)
            for (int i = 0; i < VERSIONS; i++)
                compare(&t[i], &m[i]);
    }
    for (int i = 0; i < VERSIONS; i++)
        tree_drop(&t[i]);
}

static void test_paths(void **state)
{
    static const char *const good[] = { "/", "/a", "/a/b-c_d@e", "/0", "@releaseDomain" };
    static const char *const bad[] = { "", "a", "//", "/a/", "/a//b", "/a b", "/\xff", "@", "/a.b",
                                       "/local/domain/" };
    char longest[PATH_ABS_MAX + 2];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(path_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(path_valid(bad[i]));
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    longest[PATH_ABS_MAX - 1] = 0;
    assert_true(path_valid(longest));
    longest[PATH_ABS_MAX - 1] = 'a';
    longest[PATH_ABS_MAX] = 0;
    assert_false(path_valid(longest));
    assert_int_equal(path_local_len("/local/domain/12/abc"), 3);
    assert_int_equal(path_local_len("/local/domain/x/abc"), 19);
    assert_int_equal(path_local_len("/tool"), 5);
    assert_true(path_is_below("/a", "/a/b"));
    assert_true(path_is_below("/a", "/a"));
    assert_false(path_is_below("/a", "/ab"));
    assert_true(path_is_below("/", "/ab"));
    assert_false(path_is_below("/", "@releaseDomain"));
}

static void test_perms(void **state)
{
    struct perm e[4];
    char out[32];

    assert_int_equal(perms_parse("n0\0r5\0w6\0b65535", 16, e, 4), 4);
    struct perms *p = perms_new(e, 4, 10);
    assert_int_equal(perms_print(p, out, sizeof(out)), 16);
    assert_memory_equal(out, "n0\0r5\0w6\0b65535", 16);
    assert_int_equal(perms_print(p, out, 15), 0);
    struct viewer v = { .domid = 5, .birth = 10 };
    assert_int_equal(perms_for(p, &v), PERM_READ);
    v.birth = 11; /* XSA-322: another domain of the same number */
    assert_int_equal(perms_for(p, &v), 0);
    v = (struct viewer){ .domid = 9, .has_target = true, .target = 6, .target_birth = 1 };
    assert_int_equal(perms_for(p, &v), PERM_WRITE);
    v = (struct viewer){ .domid = 0, .privileged = true };
    assert_int_equal(perms_for(p, &v), PERM_READ | PERM_WRITE | PERM_OWNER);
    perms_unref(p);
    static const char *const bad[] = { "x0", "n", "n-1", "n65536", "n1x", "", "r 1", "n000000001" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(perms_parse(bad[i], strlen(bad[i]) + 1, e, 4), 0);
    assert_int_equal(perms_parse("n0\0r1\0r2\0r3\0r4", 15, e, 4), 0);
    assert_int_equal(perms_parse("n0", 2, e, 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions), cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_order), cmocka_unit_test(test_depth), cmocka_unit_test(test_tally),
        cmocka_unit_test(test_model), cmocka_unit_test(test_paths), cmocka_unit_test(test_perms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
