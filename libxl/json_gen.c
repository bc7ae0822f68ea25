/* SPDX-License-Identifier: MIT */
/* Types to JSON, in the form Xen's libxl writes: what is at its default is left out. */
#include "libxl/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "libxl/log.h"

yajl_gen_status lx_json_gen_string(yajl_gen hand, const char *s)
{
    return yajl_gen_string(hand, (const unsigned char *)s, strlen(s));
}

yajl_gen_status libxl__uint64_gen_json(yajl_gen hand, uint64_t val)
{
    char num[24];
    int len = snprintf(num, sizeof(num), "%" PRIu64, val);

    return yajl_gen_number(hand, num, (size_t)len);
}

static yajl_gen_status gen_value(const struct lx_type *t, yajl_gen hand, const void *p)
{
    const char *s;

    switch (t->kind) {
    case LX_UINT:
        return libxl__uint64_gen_json(hand, (uint64_t)lx_scalar_get(t, p));
    case LX_INT:
        return yajl_gen_integer(hand, *(const int *)p);
    case LX_BOOL:
        return yajl_gen_bool(hand, *(const bool *)p);
    case LX_ENUM:
        s = lx_enum_name(t->names, *(const int *)p);
        return s ? lx_json_gen_string(hand, s) : yajl_gen_null(hand);
    case LX_STRING:
    case LX_CONST_STRING:
        s = *(const char *const *)p;
        return s ? lx_json_gen_string(hand, s) : yajl_gen_null(hand);
    case LX_OPAQUE:
        return t->ops->gen(hand, (void *)p);
    default:
        return lx_type_gen_json(t, hand, p);
    }
}

static bool left_out(const struct lx_field *f, const char *base)
{
    const void *p = base + f->offset;

    if (f->role == LX_KEY)
        return true;
    if (f->role == LX_ARRAY)
        return *(const int *)(base + f->aux) <= 0 || !*(void *const *)p;
    if (f->role == LX_UNION)
        return !lx_union_case(f, base);
    switch (f->type->kind) {
    case LX_STRUCT:
        return false;
    case LX_STRING:
    case LX_CONST_STRING:
        return !*(char *const *)p;
    case LX_OPAQUE:
        return f->type->ops->is_default(p);
    default:
        return lx_scalar_get(f->type, p) == lx_scalar_get(f->type, &f->init);
    }
}

static yajl_gen_status gen_array(const struct lx_field *f, yajl_gen hand, const char *base)
{
    int n = *(const int *)(base + f->aux);
    const char *array = *(char *const *)(base + f->offset);
    yajl_gen_status s = yajl_gen_array_open(hand);

    for (int i = 0; !s && i < n; i++)
        s = gen_value(f->type, hand, array + (size_t)i * f->type->size);
    return s ? s : yajl_gen_array_close(hand);
}

static yajl_gen_status gen_case(const struct lx_case *c, yajl_gen hand, const char *p)
{
    yajl_gen_status s = lx_json_gen_string(hand, c->name);

    if (s)
        return s;
    if (c->type)
        return lx_type_gen_json(c->type, hand, p);
    s = yajl_gen_map_open(hand);
    return s ? s : yajl_gen_map_close(hand);
}

yajl_gen_status lx_type_gen_json(const struct lx_type *t, yajl_gen hand, const void *p)
{
    const char *base = p;
    yajl_gen_status s;

    if (t->kind != LX_STRUCT)
        return gen_value(t, hand, p);
    s = yajl_gen_map_open(hand);
    for (unsigned i = 0; !s && i < t->n_fields; i++) {
        const struct lx_field *f = &t->fields[i];

        if (left_out(f, base))
            continue;
        if (f->role == LX_UNION) {
            s = gen_case(lx_union_case(f, base), hand, base + f->offset);
            continue;
        }
        s = lx_json_gen_string(hand, f->name);
        if (!s)
            s = f->role == LX_ARRAY ? gen_array(f, hand, base)
                                    : gen_value(f->type, hand, base + f->offset);
    }
    return s ? s : yajl_gen_map_close(hand);
}

char *lx_json_finish(yajl_gen hand)
{
    const unsigned char *buf;
    size_t len;

    if (yajl_gen_get_buf(hand, &buf, &len) != yajl_gen_status_ok)
        return NULL;
    return lx_strndup(NULL, (const char *)buf, len);
}

char *lx_type_to_json(libxl_ctx *ctx, const struct lx_type *t, const void *p)
{
    yajl_gen hand = libxl_yajl_gen_alloc(NULL);
    yajl_gen_status s;
    char *out = NULL;

    if (!hand)
        return NULL;
    yajl_gen_config(hand, yajl_gen_validate_utf8, 1); /* else it could not be read again */
    s = lx_type_gen_json(t, hand, p);
    if (s == yajl_gen_status_ok)
        out = lx_json_finish(hand);
    else if (s == yajl_gen_invalid_string)
        LX_LOGX(ctx, ERROR, -1, LX_NO_DOMID, "%s contains text that is not UTF-8", t->name);
    else
        LX_LOGX(ctx, ERROR, -1, LX_NO_DOMID, "%s cannot be written as JSON (yajl status %d)",
                t->name, s);
    yajl_gen_free(hand);
    return out;
}
