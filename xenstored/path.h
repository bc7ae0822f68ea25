/* SPDX-License-Identifier: MIT */
/*
 * Store paths: what is valid, and taking them apart. Never allocates.
 *
 * Limits are xs_wire.h's XENSTORE_ABS_PATH_MAX and XENSTORE_REL_PATH_MAX; characters are letters,
 * digits and "-/_@". A path that starts with '@' names an event, not a node.
 */
#ifndef XENSTORED_PATH_H
#define XENSTORED_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define PATH_ABS_MAX 3072

/* One component; len 0 after the last. */
struct path_part {
    const char *name;
    size_t len;
};

static inline struct path_part path_part_at(const char *p)
{
    return (struct path_part){ p, strcspn(p, "/") };
}

static inline struct path_part path_first(const char *path)
{
    return path_part_at(path + 1);
}

static inline struct path_part path_next(struct path_part part)
{
    const char *end = part.name + part.len;

    return *end ? path_part_at(end + 1) : (struct path_part){ end, 0 };
}

/* Length of the parent's path: 1 for a child of the root, and for the root itself. */
static inline size_t path_parent_len(const char *path)
{
    size_t at = (size_t)(strrchr(path, '/') - path);

    return at ? at : 1;
}

static inline bool path_is_special(const char *path)
{
    return path[0] == '@';
}

/* Absolute and well-formed, or special. No limit but PATH_ABS_MAX is applied. */
bool path_valid(const char *path);

/*
 * The length of what lies below the domain's own directory /local/domain/N/, or of all of path if
 * it lies elsewhere: what the path-length quota measures.
 */
size_t path_local_len(const char *path);

/* child is parent or lies below it. */
bool path_is_below(const char *parent, const char *child);

#endif
