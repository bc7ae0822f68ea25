/* SPDX-License-Identifier: MIT */
/* JSON to types. The recursion follows the types, whose depth is fixed, never the text. */
#include "libxl/json.h"

#include <stdio.h>
#include <stdlib.h>

#include "libxl/log.h"

int lx_json_integer(struct lx_parse *ps, const struct lx_json *o, int64_t min, uint64_t max,
                    uint64_t *out)
{
    if (o->kind != LX_JSON_INTEGER)
        return lx_json_expected(ps, o, "an integer");
    if (o->negative ? o->magnitude > (uint64_t)-min : o->magnitude > max)
        return lx_json_complain(ps, o, "%s%llu is out of range", o->negative ? "-" : "",
                                (unsigned long long)o->magnitude);
    *out = o->negative ? -o->magnitude : o->magnitude;
    return 0;
}

int lx_json_string(struct lx_parse *ps, const struct lx_json *o, const char **out)
{
    if (o->kind != LX_JSON_STRING)
        return lx_json_expected(ps, o, "a string");
    *out = o->string;
    return 0;
}

static int parse_struct(struct lx_parse *ps, const struct lx_type *t, const struct lx_json *o,
                        char *base);

static int parse_enum(struct lx_parse *ps, const struct lx_type *t, const struct lx_json *o,
                      int *p)
{
    const char *s;
    int rc = lx_json_string(ps, o, &s);

    if (!rc && lx_enum_value(t->names, s, p))
        rc = lx_json_complain(ps, o, "\"%.40s\" is no %s", s, t->name);
    return rc;
}

static int parse_string(struct lx_parse *ps, const struct lx_json *o, char **p)
{
    const char *s = NULL;
    int rc = 0;

    if (o->kind != LX_JSON_NULL)
        rc = lx_json_string(ps, o, &s);
    if (rc)
        return rc;
    free(*p);
    *p = lx_strdup(NULL, s);
    return 0;
}

/* A pointer to text that the struct does not own has nowhere to come from here. */
static int skip_const_string(struct lx_parse *ps, const struct lx_json *o)
{
    struct lx_gc *gc = ps->gc;

    LX_LOG(WARN, "%s: \"%s\" cannot be given as JSON, ignored", ps->what, o->key ? o->key : "");
    return 0;
}

static int parse_value(struct lx_parse *ps, const struct lx_type *t, const struct lx_json *o,
                       void *p)
{
    uint64_t v = 0;
    int rc;

    switch (t->kind) {
    case LX_UINT:
        rc = lx_json_integer(ps, o, 0, t->size == 8 ? UINT64_MAX : (1ULL << (t->size * 8)) - 1, &v);
        break;
    case LX_INT:
        rc = lx_json_integer(ps, o, INT32_MIN, INT32_MAX, &v);
        break;
    case LX_BOOL:
        if (o->kind != LX_JSON_BOOL)
            return lx_json_expected(ps, o, "a boolean");
        v = o->boolean;
        rc = 0;
        break;
    case LX_ENUM:
        return parse_enum(ps, t, o, p);
    case LX_STRING:
        return parse_string(ps, o, p);
    case LX_CONST_STRING:
        return skip_const_string(ps, o);
    case LX_OPAQUE:
        return t->ops->parse(ps, o, p);
    default:
        return parse_struct(ps, t, o, p);
    }
    if (!rc)
        lx_scalar_set(t, p, (int64_t)v);
    return rc;
}

static int parse_array(struct lx_parse *ps, const struct lx_field *f, const struct lx_json *o,
                       char *base)
{
    char **array = (char **)(base + f->offset);
    int *count = (int *)(base + f->aux);
    const struct lx_json *e;
    int rc;

    if (o->kind != LX_JSON_ARRAY)
        return lx_json_expected(ps, o, "an array");
    if (*array)
        return lx_json_complain(ps, o, "already has a value");
    if (!o->count)
        return 0;
    *array = lx_calloc(NULL, o->count, f->type->size);
    for (e = o->first; e; e = e->next) {
        char *p = *array + (size_t)(*count)++ * f->type->size;

        /* counted before it is read, so that a failure leaves an array that can be disposed of */
        if (f->type->kind == LX_STRUCT)
            lx_type_init(f->type, p);
        rc = parse_value(ps, f->type, e, p);
        if (rc)
            return rc;
    }
    return 0;
}

/* One member of o. *handled says whether t has such a field. seen has a bit per field. */
static int parse_member(struct lx_parse *ps, const struct lx_type *t, const struct lx_json *o,
                        char *base, uint64_t *seen, bool *handled)
{
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct lx_field *f = &t->fields[i];
        const struct lx_case *c = NULL;

        if (f->role == LX_KEY)
            continue;
        if (f->role == LX_UNION) {
            for (unsigned j = 0; j < f->n_cases && !c; j++)
                if (!strcmp(f->cases[j].name, o->key))
                    c = &f->cases[j];
            if (!c)
                continue;
        } else if (strcmp(f->name, o->key)) {
            continue;
        }
        *handled = true;
        if (seen[i / 64] & (1ULL << (i % 64)))
            return lx_json_complain(ps, o, "given twice");
        seen[i / 64] |= 1ULL << (i % 64);
        if (f->role == LX_ARRAY)
            return parse_array(ps, f, o, base);
        if (f->role == LX_PLAIN)
            return parse_value(ps, f->type, o, base + f->offset);
        if (o->kind != LX_JSON_MAP)
            return lx_json_expected(ps, o, "an object");
        if (*(int *)(base + f->aux) != c->value) {
            char key[32];

            snprintf(key, sizeof(key), "%.*s", (int)strcspn(c->name, "."), c->name);
            lx_type_init_key(t, base, key, c->value);
        }
        return c->type ? parse_struct(ps, c->type, o, base + f->offset) : 0;
    }
    return 0;
}

static int parse_struct(struct lx_parse *ps, const struct lx_type *t, const struct lx_json *o,
                        char *base)
{
    struct lx_gc *gc = ps->gc;
    uint64_t seen[4] = { 0 };
    int rc;

    if (o->kind != LX_JSON_MAP)
        return lx_json_expected(ps, o, "an object");
    if (t->n_fields > 256)
        abort(); /* a description with so many fields needs a larger seen */
    for (const struct lx_json *m = o->first; m; m = m->next) {
        bool handled = false;

        rc = parse_member(ps, t, m, base, seen, &handled);
        if (rc)
            return rc;
        if (!handled)
            LX_LOG(WARN, "%s: %s has no field \"%.40s\", ignored", ps->what, t->name, m->key);
    }
    return 0;
}

int lx_type_from_json(libxl_ctx *ctx, const struct lx_type *t, void *p, const char *s)
{
    LX_GC(ctx);
    struct lx_parse ps = { .gc = gc, .what = t->name };
    struct lx_json *root = lx_json_read(gc, t->name, s, strlen(s));

    return root ? parse_value(&ps, t, root, p) : ERROR_FAIL;
}
