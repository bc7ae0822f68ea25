/* SPDX-License-Identifier: MIT */
/* init, dispose and copy from descriptors. The recursion follows the types, whose depth is fixed.
 * */
#include "libxl/types.h"

#include <stdlib.h>
#include <strings.h>

#include "libxl/gc.h"
#include "libxl/log.h"

/* ---- scalars and enums */

int64_t lx_scalar_get(const struct lx_type *t, const void *p)
{
    switch (t->kind) {
    case LX_BOOL:
        return *(const bool *)p;
    case LX_INT:
    case LX_ENUM:
        return *(const int *)p;
    case LX_UINT:
        switch (t->size) {
        case 1: return *(const uint8_t *)p;
        case 2: return *(const uint16_t *)p;
        case 4: return *(const uint32_t *)p;
        default: return (int64_t)*(const uint64_t *)p;
        }
    default:
        return 0;
    }
}

void lx_scalar_set(const struct lx_type *t, void *p, int64_t v)
{
    switch (t->kind) {
    case LX_BOOL:
        *(bool *)p = v != 0;
        break;
    case LX_INT:
    case LX_ENUM:
        *(int *)p = (int)v;
        break;
    case LX_UINT:
        switch (t->size) {
        case 1: *(uint8_t *)p = (uint8_t)v; break;
        case 2: *(uint16_t *)p = (uint16_t)v; break;
        case 4: *(uint32_t *)p = (uint32_t)v; break;
        default: *(uint64_t *)p = (uint64_t)v; break;
        }
        break;
    default:
        break;
    }
}

const char *lx_enum_name(const libxl_enum_string_table *table, int v)
{
    for (; table->s; table++)
        if (table->v == v)
            return table->s;
    return NULL;
}

int lx_enum_value(const libxl_enum_string_table *table, const char *s, int *v)
{
    for (; table->s; table++) {
        if (!strcasecmp(table->s, s)) {
            *v = table->v;
            return 0;
        }
    }
    return ERROR_FAIL;
}

const struct lx_case *lx_union_case(const struct lx_field *f, const void *base)
{
    int key = *(const int *)((const char *)base + f->aux);

    for (unsigned i = 0; i < f->n_cases; i++)
        if (f->cases[i].value == key)
            return &f->cases[i];
    return NULL;
}

/* ---- init */

/* Assumes the memory is zeroed. */
static void init_fields(const struct lx_type *t, char *base)
{
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct lx_field *f = &t->fields[i];
        char *p = base + f->offset;

        if (f->role == LX_ARRAY || f->role == LX_UNION)
            continue;
        switch (f->type->kind) {
        case LX_STRUCT:
            init_fields(f->type, p);
            break;
        case LX_OPAQUE:
            if (f->type->ops->init)
                f->type->ops->init(p);
            break;
        default:
            if (f->init)
                lx_scalar_set(f->type, p, f->init);
        }
    }
}

void lx_type_init(const struct lx_type *t, void *p)
{
    memset(p, 0, t->size);
    init_fields(t, p);
}

static const struct lx_field *union_of_key(const struct lx_type *t, const char *key)
{
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct lx_field *f = &t->fields[i];

        /* case names start with the key's */
        if (f->role == LX_UNION && !strncmp(f->cases[0].name, key, strlen(key)) &&
            f->cases[0].name[strlen(key)] == '.')
            return f;
    }
    abort(); /* the generator only emits keys that exist */
}

void lx_type_init_key(const struct lx_type *t, void *p, const char *key, int value)
{
    const struct lx_field *f = union_of_key(t, key);
    const struct lx_case *c;
    char *base = p;

    *(int *)(base + f->aux) = value;
    memset(base + f->offset, 0, f->size);
    c = lx_union_case(f, base);
    if (c && c->type)
        init_fields(c->type, base + f->offset);
}

/* ---- dispose */

static void dispose_fields(const struct lx_type *t, char *base);

static void dispose_value(const struct lx_type *t, void *p)
{
    switch (t->kind) {
    case LX_STRING:
        free(*(char **)p);
        break;
    case LX_OPAQUE:
        if (t->ops->dispose)
            t->ops->dispose(p);
        break;
    case LX_STRUCT:
        dispose_fields(t, p);
        break;
    default:
        break;
    }
}

static void dispose_fields(const struct lx_type *t, char *base)
{
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct lx_field *f = &t->fields[i];
        char *p = base + f->offset;

        if (f->role == LX_UNION) {
            const struct lx_case *c = lx_union_case(f, base);

            if (c && c->type)
                dispose_fields(c->type, p);
        } else if (f->role == LX_ARRAY) {
            int n = *(int *)(base + f->aux);
            char *array = *(char **)p;

            for (int j = 0; array && j < n; j++)
                dispose_value(f->type, array + (size_t)j * f->type->size);
            free(array);
        } else {
            dispose_value(f->type, p);
        }
    }
}

void lx_type_dispose(const struct lx_type *t, void *p)
{
    if (!p)
        return;
    dispose_fields(t, p);
    memset(p, 0, t->size);
}

/* ---- copy */

static void copy_fields(libxl_ctx *ctx, const struct lx_type *t, char *dst, const char *src);

static void copy_value(libxl_ctx *ctx, const struct lx_type *t, void *dst, const void *src)
{
    switch (t->kind) {
    case LX_STRING:
        *(char **)dst = lx_strdup(NULL, *(char *const *)src);
        break;
    case LX_OPAQUE:
        t->ops->copy(ctx, dst, src);
        break;
    case LX_STRUCT:
        copy_fields(ctx, t, dst, src);
        break;
    default:
        memcpy(dst, src, t->size);
    }
}

static void copy_array(libxl_ctx *ctx, const struct lx_field *f, char *dst, const char *src)
{
    int n = *(const int *)(src + f->aux);
    const char *from = *(char *const *)(src + f->offset);
    char *to;

    if (n < 0 || !from)
        n = 0;
    to = n ? lx_calloc(NULL, (size_t)n, f->type->size) : NULL;
    for (int i = 0; i < n; i++)
        copy_value(ctx, f->type, to + (size_t)i * f->type->size,
                   from + (size_t)i * f->type->size);
    *(char **)(dst + f->offset) = to;
    *(int *)(dst + f->aux) = n;
}

static void copy_fields(libxl_ctx *ctx, const struct lx_type *t, char *dst, const char *src)
{
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct lx_field *f = &t->fields[i];

        if (f->role == LX_ARRAY) {
            copy_array(ctx, f, dst, src);
        } else if (f->role == LX_UNION) {
            const struct lx_case *c = lx_union_case(f, src);

            *(int *)(dst + f->aux) = *(const int *)(src + f->aux);
            memset(dst + f->offset, 0, f->size);
            if (c && c->type)
                copy_fields(ctx, c->type, dst + f->offset, src + f->offset);
        } else {
            copy_value(ctx, f->type, dst + f->offset, src + f->offset);
        }
    }
}

void lx_type_copy(libxl_ctx *ctx, const struct lx_type *t, void *dst, const void *src)
{
    copy_fields(ctx, t, dst, src);
}

/* ---- deprecated places */

static bool at_default(const struct lx_field *f, const void *p)
{
    switch (f->type->kind) {
    case LX_STRING:
        return !*(char *const *)p;
    case LX_OPAQUE:
        return f->type->ops->is_default(p);
    default:
        return lx_scalar_get(f->type, p) == f->init;
    }
}

static const struct lx_field *field_named(const struct lx_type *t, const char *name)
{
    for (unsigned i = 0; i < t->n_fields; i++)
        if (!strcmp(t->fields[i].name, name))
            return &t->fields[i];
    return NULL;
}

int lx_type_copy_deprecated(libxl_ctx *ctx, const struct lx_type *t, void *p)
{
    char *base = p;

    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct lx_field *u = &t->fields[i];
        const struct lx_case *c = u->role == LX_UNION ? lx_union_case(u, base) : NULL;

        for (unsigned j = 0; c && c->type && j < c->type->n_fields; j++) {
            const struct lx_field *old = &c->type->fields[j];
            const struct lx_field *now = old->deprecated ? field_named(t, old->name) : NULL;
            void *from = base + u->offset + old->offset;

            if (!now || at_default(old, from))
                continue;
            if (!at_default(now, base + now->offset)) {
                LX_LOGX(ctx, ERROR, -1, LX_NO_DOMID,
                        "%s is given both as %s and in its old place %s.%s", t->name, now->name,
                        c->name, old->name);
                return ERROR_INVAL;
            }
            /* moved, not copied: the old place goes back to its default */
            memcpy(base + now->offset, from, now->type->size);
            memset(from, 0, old->type->size);
            if (old->type->kind == LX_OPAQUE && old->type->ops->init)
                old->type->ops->init(from);
            else if (old->type->kind != LX_STRING)
                lx_scalar_set(old->type, from, old->init);
        }
    }
    return 0;
}
