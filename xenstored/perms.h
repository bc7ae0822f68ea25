/* SPDX-License-Identifier: MIT */
/*
 * Node permissions: an immutable, shared list of (domid, rights).
 *
 * Entry 0 names the owner, and its rights are what every domain not named further on has. An entry
 * counts only for the domain that existed when the list was made: a domain whose birth is later
 * than the list's generation is a different domain that happens to have the same number.
 *
 * Never: looks at the tree, or at who is asking beyond the struct viewer it is given.
 */
#ifndef XENSTORED_PERMS_H
#define XENSTORED_PERMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PERM_READ = 1,
    PERM_WRITE = 2,
    PERM_STALE = 4, /* stored: there was no such domain; the entry counts for nobody */
    PERM_OWNER = 8, /* never stored; an answer of perms_for() */
};

#define PERM_RIGHTS (PERM_READ | PERM_WRITE)
/* An entry with this number counts for every domain (Xen 4.22; xen.h DOMID_ANY). */
#define PERM_DOMID_ANY 0x7ff5

/* Most entries a SET_PERMS payload of 4096 bytes can hold ("n0" and a NUL each). */
#define PERMS_MAX 1366

struct perm {
    uint16_t domid;
    uint16_t rights;
};

struct perms {
    uint32_t refs;
    uint32_t count;
    uint64_t gen; /* store generation when the list was made */
    struct perm entry[];
};

/* Who asks. A stub domain has a target, whose rights it shares. */
struct viewer {
    bool privileged;
    uint16_t domid;
    uint64_t birth;
    bool has_target;
    uint16_t target;
    uint64_t target_birth;
};

/* A new list with one reference, or NULL. count must not be 0. */
struct perms *perms_new(const struct perm *entry, unsigned count, uint64_t gen);
struct perms *perms_ref(struct perms *p);
void perms_unref(struct perms *p);
bool perms_equal(const struct perms *a, const struct perms *b);

static inline uint16_t perms_owner(const struct perms *p)
{
    return p->entry[0].domid;
}

static inline size_t perms_bytes(const struct perms *p)
{
    return sizeof(*p) + p->count * sizeof(p->entry[0]);
}

/* The PERM_* bits that v has. */
unsigned perms_for(const struct perms *p, const struct viewer *v);

/*
 * Reads len bytes of NUL-terminated "LETTERdomid" strings, letter one of n r w b. Stores at most
 * max entries; returns their number, 0 if anything is malformed or there is none or too many.
 */
unsigned perms_parse(const char *text, size_t len, struct perm *out, unsigned max);

/* Writes the same form; returns the length with all NULs, or 0 if it does not fit. */
size_t perms_print(const struct perms *p, char *buf, size_t len);

#endif
