/* SPDX-License-Identifier: MIT */
/*
 * The tree of nodes: a persistent structure whose versions share what they have in common.
 *
 * A struct tree is a pointer to a root. Copying one (tree_share) is a snapshot and costs nothing;
 * an edit copies only those nodes on the way from the root that another version also holds, and
 * edits in place what nobody else can see. A directory's children are in a hash trie that shares
 * the same way, so that an insert costs O(depth of path + log of the directory's size).
 *
 * Generations are drawn from one counter for the whole store and never repeat, so "unchanged" is
 * equality: gen changes with a node's value or permissions, kids_gen with its set of children.
 * A node deeper down changes neither.
 *
 * Every function that can fail returns 0 or a positive errno, and leaves the tree as it was then.
 * Paths are absolute, valid and without trailing slash (path.h); "/" is the root.
 * Never: checks permissions or quotas, fires watches, recurses on a path's depth.
 */
#ifndef XENSTORED_TREE_H
#define XENSTORED_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xenstored/perms.h"

struct kids;

struct node {
    uint32_t refs;
    uint32_t hash;      /* of the name, round 0 */
    uint64_t gen;       /* when value or permissions last changed */
    uint64_t kids_gen;  /* when a child was last added or removed */
    uint64_t birth;     /* when the node was made: the order of a directory listing */
    struct perms *perms;
    struct kids *kids;  /* NULL when there are none */
    uint32_t nkids;
    uint16_t name_len;
    uint16_t value_len;
    char data[];        /* name, then value; neither is terminated */
};

/*
 * What nodes cost their owners. A tally with `flat` set is the store's own books, indexed by domid;
 * else it collects differences. `failed` is set when a difference could not be recorded.
 */
struct usage {
    int32_t nodes;
    int64_t bytes;
};

struct tally_entry {
    uint16_t domid;
    struct usage diff;
};

struct tally {
    struct usage *flat;
    int64_t total;      /* bytes of all owners, of a flat one */
    struct tally_entry *entry;
    unsigned count, room;
    bool failed;
};

struct tree {
    struct node *root;
    struct tally *tally; /* told of every node gained, lost or resized; may be NULL */
};

void tally_add(struct tally *t, uint16_t domid, int nodes, int64_t bytes);
struct usage tally_get(const struct tally *t, uint16_t domid);
void tally_merge(struct tally *into, const struct tally *diffs);
void tally_free(struct tally *t);

/* An empty tree whose root has these permissions (a reference of its own is taken). */
int tree_init(struct tree *t, struct perms *perms, uint64_t gen);
/* to becomes another version equal to from, with no tally. */
void tree_share(struct tree *to, const struct tree *from);
void tree_drop(struct tree *t);

/* NULL if there is none. Valid until the tree is edited. */
const struct node *tree_find(const struct tree *t, const char *path);
/* The deepest existing node on the way to path; *found is the length of its path. */
const struct node *tree_nearest(const struct tree *t, const char *path, size_t *found);

static inline const char *node_value(const struct node *n)
{
    return n->data + n->name_len;
}

size_t node_bytes(const struct node *n);

/*
 * Makes the node, and with the same permissions and no value every missing one above it; all or
 * nothing. EEXIST: there is such a node. Takes its own references to perms.
 */
int tree_create(struct tree *t, const char *path, struct perms *perms, const void *value,
                size_t len, uint64_t gen);
int tree_set_value(struct tree *t, const char *path, const void *value, size_t len, uint64_t gen);
int tree_set_perms(struct tree *t, const char *path, struct perms *perms, uint64_t gen);
/* Removes the node and all below it. EINVAL for the root. */
int tree_remove(struct tree *t, const char *path, uint64_t gen);

/* The children in order of creation, n->nkids pointers, malloc()ed. NULL: no memory. */
const struct node **node_children(const struct node *n);

/*
 * Calls fn for the node at path and everything below, parents first. fn returns 0 to go on, else
 * its value ends the walk and is returned. skip (may be NULL) set by fn leaves out what is below.
 */
typedef int tree_visit(void *arg, const char *path, const struct node *n, bool *skip);
int tree_walk(const struct tree *t, const char *path, tree_visit *fn, void *arg);

#endif
