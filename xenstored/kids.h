/* SPDX-License-Identifier: MIT */
/*
 * A directory's children: a persistent hash trie from name to node, 32 ways per level.
 *
 * Private to the tree. Functions edit through a struct kids ** whose holder owns one reference;
 * levels that others hold too are copied on the way. 0 or a positive errno.
 */
#ifndef XENSTORED_KIDS_H
#define XENSTORED_KIDS_H

#include "xenstored/tree.h"

struct kids {
    uint32_t refs;
    uint32_t leaf;  /* bit set: a node there */
    uint32_t sub;   /* bit set: a further level there */
    void *slot[];   /* the nodes in bit order, then the levels in bit order */
};

struct kids_key {
    const char *name;
    size_t len;
    uint32_t hash;
};

struct kids_key kids_key(const char *name, size_t len);
struct node *kids_find(const struct kids *k, const struct kids_key *key);
/* The place that holds the node, with every level above it unshared, so that it may be replaced. */
int kids_slot(struct kids **k, const struct kids_key *key, struct node ***slot);
/* Takes over the caller's reference to n if it succeeds. The name must be new. */
int kids_insert(struct kids **k, struct node *n);
/* Hands the trie's reference to the node to the caller. */
int kids_remove(struct kids **k, const struct kids_key *key, struct node **removed);
/* Copies all node pointers to out; returns the position after the last. */
const struct node **kids_collect(const struct kids *k, const struct node **out);
/* Drops a reference; nodes that end with it are passed to lost() with refs 0. */
void kids_unref(struct kids *k, void (*lost)(void *arg, struct node *n), void *arg);

#endif
