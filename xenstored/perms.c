/* SPDX-License-Identifier: MIT */
#include "xenstored/perms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The letter's place is its value in PERM_READ | PERM_WRITE. */
static const char letters[] = "nrwb";

struct perms *perms_new(const struct perm *entry, unsigned count, uint64_t gen)
{
    struct perms *p = malloc(sizeof(*p) + count * sizeof(p->entry[0]));

    if (!p)
        return NULL;
    p->refs = 1;
    p->count = count;
    p->gen = gen;
    memcpy(p->entry, entry, count * sizeof(p->entry[0]));
    return p;
}

struct perms *perms_ref(struct perms *p)
{
    p->refs++;
    return p;
}

void perms_unref(struct perms *p)
{
    if (p && !--p->refs)
        free(p);
}

bool perms_equal(const struct perms *a, const struct perms *b)
{
    return a == b || (a->count == b->count &&
                      !memcmp(a->entry, b->entry, a->count * sizeof(a->entry[0])));
}

unsigned perms_for(const struct perms *p, const struct viewer *v)
{
    if (v->privileged)
        return PERM_READ | PERM_WRITE | PERM_OWNER;

    bool self = v->birth <= p->gen;
    bool target = v->has_target && v->target_birth <= p->gen;
    for (unsigned i = 0; i < p->count; i++) {
        uint16_t id = p->entry[i].domid;

        if (p->entry[i].rights & PERM_STALE)
            continue;
        if (i && id == PERM_DOMID_ANY)
            return p->entry[i].rights;
        if (!(self && id == v->domid) && !(target && id == v->target))
            continue;
        return i ? p->entry[i].rights : PERM_READ | PERM_WRITE | PERM_OWNER;
    }
    return p->entry[0].rights & PERM_RIGHTS;
}

static bool parse_one(const char *text, struct perm *out)
{
    const char *letter = *text ? strchr(letters, *text) : NULL;
    unsigned long domid = 0;

    if (!letter || !text[1] || strlen(text) > 6)
        return false;
    for (text++; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        domid = domid * 10 + (unsigned)(*text - '0');
    }
    if (domid > UINT16_MAX)
        return false;
    *out = (struct perm){ .domid = (uint16_t)domid, .rights = (uint16_t)(letter - letters) };
    return true;
}

unsigned perms_parse(const char *text, size_t len, struct perm *out, unsigned max)
{
    unsigned count = 0;
    const char *end = text + len;

    while (text < end) {
        const char *nul = memchr(text, 0, (size_t)(end - text));

        if (!nul || count == max || !parse_one(text, &out[count]))
            return 0;
        count++;
        text = nul + 1;
    }
    return count;
}

size_t perms_print(const struct perms *p, char *buf, size_t len)
{
    size_t used = 0;

    for (unsigned i = 0; i < p->count; i++) {
        int n = snprintf(buf + used, len - used, "%c%u", letters[p->entry[i].rights & PERM_RIGHTS],
                         p->entry[i].domid);
        if (n < 0 || (size_t)n >= len - used)
            return 0;
        used += (size_t)n + 1;
    }
    return used;
}
