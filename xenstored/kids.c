/* SPDX-License-Identifier: MIT */
#include "xenstored/kids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xenstored/hash.h"

#define LEVEL_BITS 5
#define LEVELS_PER_ROUND 6 /* of the 32 bits of a hash */
/* Names alike in this many levels (4 independent hashes) do not occur; it bounds recursion. */
#define LEVELS_MAX (4 * LEVELS_PER_ROUND)

struct kids_key kids_key(const char *name, size_t len)
{
    return (struct kids_key){ name, len, (uint32_t)hash_name(name, len, 0) };
}

static struct kids_key node_key(const struct node *n)
{
    return (struct kids_key){ n->data, n->name_len, n->hash };
}

static uint32_t level_bit(const struct kids_key *key, unsigned level)
{
    unsigned round = level / LEVELS_PER_ROUND;
    uint32_t h = round ? (uint32_t)hash_name(key->name, key->len, round) : key->hash;

    return 1u << (h >> level % LEVELS_PER_ROUND * LEVEL_BITS & 31);
}

static unsigned leaf_index(const struct kids *k, uint32_t bit)
{
    return (unsigned)__builtin_popcount(k->leaf & (bit - 1));
}

static unsigned sub_index(const struct kids *k, uint32_t bit)
{
    return (unsigned)(__builtin_popcount(k->leaf) + __builtin_popcount(k->sub & (bit - 1)));
}

static unsigned leaf_count(const struct kids *k)
{
    return (unsigned)__builtin_popcount(k->leaf);
}

static unsigned slot_count(const struct kids *k)
{
    return leaf_count(k) + (unsigned)__builtin_popcount(k->sub);
}

static struct kids *kids_alloc(unsigned slots)
{
    struct kids *k = malloc(sizeof(*k) + slots * sizeof(k->slot[0]));

    if (k)
        *k = (struct kids){ .refs = 1 };
    return k;
}

static bool is_node(const struct node *n, const struct kids_key *key)
{
    return n->hash == key->hash && n->name_len == key->len && !memcmp(n->data, key->name, key->len);
}

struct node *kids_find(const struct kids *k, const struct kids_key *key)
{
    for (unsigned level = 0; k; level++) {
        uint32_t bit = level_bit(key, level);

        if (k->leaf & bit) {
            struct node *n = k->slot[leaf_index(k, bit)];
            return is_node(n, key) ? n : NULL;
        }
        if (!(k->sub & bit))
            return NULL;
        k = k->slot[sub_index(k, bit)];
    }
    return NULL;
}

/* Another holder has appeared for everything in k. */
static void ref_slots(struct kids *k)
{
    unsigned i = 0, leaves = leaf_count(k), all = slot_count(k);

    for (; i < leaves; i++)
        ((struct node *)k->slot[i])->refs++;
    for (; i < all; i++)
        ((struct kids *)k->slot[i])->refs++;
}

static int kids_unshare(struct kids **kp)
{
    struct kids *k = *kp;

    if (k->refs == 1)
        return 0;
    struct kids *copy = kids_alloc(slot_count(k));
    if (!copy)
        return ENOMEM;
    copy->leaf = k->leaf;
    copy->sub = k->sub;
    memcpy(copy->slot, k->slot, slot_count(k) * sizeof(k->slot[0]));
    ref_slots(copy);
    k->refs--;
    *kp = copy;
    return 0;
}

int kids_slot(struct kids **kp, const struct kids_key *key, struct node ***slot)
{
    if (!kids_find(*kp, key))
        return ENOENT;
    for (unsigned level = 0;; level++) {
        uint32_t bit = level_bit(key, level);

        if (kids_unshare(kp))
            return ENOMEM;
        struct kids *k = *kp;
        if (k->leaf & bit) {
            *slot = (struct node **)&k->slot[leaf_index(k, bit)];
            return 0;
        }
        kp = (struct kids **)&k->slot[sub_index(k, bit)];
    }
}

/* A level that holds two nodes whose hashes agree above `level`. */
static struct kids *kids_pair(struct node *a, struct node *b, unsigned level)
{
    struct kids_key ka = node_key(a), kb = node_key(b);

    if (level == LEVELS_MAX)
        return NULL;
    uint32_t bit_a = level_bit(&ka, level), bit_b = level_bit(&kb, level);
    struct kids *k = kids_alloc(bit_a == bit_b ? 1 : 2);
    if (!k)
        return NULL;
    if (bit_a == bit_b) {
        k->sub = bit_a;
        k->slot[0] = kids_pair(a, b, level + 1);
        if (!k->slot[0]) {
            free(k);
            return NULL;
        }
    } else {
        k->leaf = bit_a | bit_b;
        k->slot[bit_a > bit_b] = a;
        k->slot[bit_a < bit_b] = b;
    }
    return k;
}

/* Frees the shell of an unshared level whose slots live on elsewhere. */
static int kids_replace(struct kids **kp, struct kids *with)
{
    free(*kp);
    *kp = with;
    return 0;
}

static int add_leaf(struct kids **kp, uint32_t bit, struct node *n)
{
    struct kids *k = *kp, *grown = kids_alloc(slot_count(k) + 1);
    unsigned at = leaf_index(k, bit), count = slot_count(k);

    if (!grown)
        return ENOMEM;
    grown->leaf = k->leaf | bit;
    grown->sub = k->sub;
    memcpy(grown->slot, k->slot, at * sizeof(k->slot[0]));
    grown->slot[at] = n;
    memcpy(grown->slot + at + 1, k->slot + at, (count - at) * sizeof(k->slot[0]));
    return kids_replace(kp, grown);
}

/* The leaf at bit and n move one level down. The number of slots stays. */
static int split_leaf(struct kids *k, uint32_t bit, struct node *n, unsigned level)
{
    unsigned from = leaf_index(k, bit), to = sub_index(k, bit) - 1;
    struct kids *pair = kids_pair(k->slot[from], n, level + 1);

    if (!pair)
        return ENOMEM;
    memmove(k->slot + from, k->slot + from + 1, (to - from) * sizeof(k->slot[0]));
    k->slot[to] = pair;
    k->leaf &= ~bit;
    k->sub |= bit;
    return 0;
}

int kids_insert(struct kids **kp, struct node *n)
{
    struct kids_key key = node_key(n);

    if (!*kp) {
        struct kids *k = kids_alloc(1);
        if (!k)
            return ENOMEM;
        k->leaf = level_bit(&key, 0);
        k->slot[0] = n;
        *kp = k;
        return 0;
    }
    for (unsigned level = 0;; level++) {
        uint32_t bit = level_bit(&key, level);

        if (kids_unshare(kp))
            return ENOMEM;
        struct kids *k = *kp;
        if (k->leaf & bit)
            return split_leaf(k, bit, n, level);
        if (!(k->sub & bit))
            return add_leaf(kp, bit, n);
        kp = (struct kids **)&k->slot[sub_index(k, bit)];
    }
}

/*
 * Takes a slot out of an unshared level. A level is never left empty below the top, and one that is
 * left with a single node hands it up, so that a trie's shape depends on its contents alone.
 */
static void cut_slot(struct kids *k, unsigned at)
{
    memmove(k->slot + at, k->slot + at + 1, (slot_count(k) - at - 1) * sizeof(k->slot[0]));
}

static void pull_up(struct kids *k, uint32_t bit)
{
    unsigned from = sub_index(k, bit), to = leaf_index(k, bit);
    struct kids *sub = k->slot[from];

    if (sub->sub || leaf_count(sub) != 1)
        return;
    struct node *only = sub->slot[0];
    memmove(k->slot + to + 1, k->slot + to, (from - to) * sizeof(k->slot[0]));
    k->slot[to] = only;
    k->leaf |= bit;
    k->sub &= ~bit;
    free(sub);
}

int kids_remove(struct kids **kp, const struct kids_key *key, struct node **removed)
{
    struct kids *way[LEVELS_MAX];
    struct kids **top = kp;
    unsigned level = 0;

    if (!kids_find(*kp, key))
        return ENOENT;
    for (;; level++) {
        uint32_t bit = level_bit(key, level);

        if (kids_unshare(kp))
            return ENOMEM;
        struct kids *k = way[level] = *kp;
        if (k->leaf & bit) {
            unsigned at = leaf_index(k, bit);
            *removed = k->slot[at];
            cut_slot(k, at);
            k->leaf &= ~bit;
            break;
        }
        kp = (struct kids **)&k->slot[sub_index(k, bit)];
    }
    while (level--)
        pull_up(way[level], level_bit(key, level));
    if (!(*top)->leaf && !(*top)->sub) {
        free(*top);
        *top = NULL;
    }
    return 0;
}

/* Recursion here and below is bounded by LEVELS_MAX. */
const struct node **kids_collect(const struct kids *k, const struct node **out)
{
    if (!k)
        return out;
    unsigned i = 0, leaves = leaf_count(k), all = slot_count(k);
    for (; i < leaves; i++)
        *out++ = k->slot[i];
    for (; i < all; i++)
        out = kids_collect(k->slot[i], out);
    return out;
}

void kids_unref(struct kids *k, void (*lost)(void *arg, struct node *n), void *arg)
{
    if (!k || --k->refs)
        return;
    unsigned i = 0, leaves = leaf_count(k), all = slot_count(k);
    for (; i < leaves; i++) {
        struct node *n = k->slot[i];
        if (!--n->refs)
            lost(arg, n);
    }
    for (; i < all; i++)
        kids_unref(k->slot[i], lost, arg);
    free(k);
}
