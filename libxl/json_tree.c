/* SPDX-License-Identifier: MIT */
#include "libxl/json.h"

#include <stdio.h>
#include <stdlib.h>

#include <yajl/yajl_parse.h>

#include "libxl/log.h"

struct reader {
    struct lx_gc *gc;
    struct lx_json *root, *into; /* into: the innermost open map or array */
    const char *key;
    unsigned depth;
    const char *refused;         /* why the text was refused by us rather than by yajl */
};

/* ---- building the tree */

static struct lx_json *add(struct reader *r, enum lx_json_kind kind)
{
    struct lx_json *o;

    if (kind >= LX_JSON_ARRAY && r->depth == LX_JSON_MAX_DEPTH) {
        r->refused = "nested too deeply";
        return NULL;
    }
    o = LX_NEW(r->gc, struct lx_json);
    o->kind = kind;
    o->parent = r->into;
    if (!r->into) {
        r->root = o;
    } else {
        if (r->into->kind == LX_JSON_MAP)
            o->key = r->key;
        if (r->into->last)
            r->into->last->next = o;
        else
            r->into->first = o;
        r->into->last = o;
        r->into->count++;
    }
    if (kind >= LX_JSON_ARRAY) {
        r->into = o;
        r->depth++;
    }
    return o;
}

static int close_one(struct reader *r)
{
    r->into = r->into->parent;
    r->depth--;
    return 1;
}

static char *text_of(struct reader *r, const unsigned char *s, size_t len)
{
    if (memchr(s, 0, len)) {
        r->refused = "NUL character in a string";
        return NULL;
    }
    return lx_strndup(r->gc, (const char *)s, len);
}

static int on_null(void *ctx)
{
    return add(ctx, LX_JSON_NULL) != NULL;
}

static int on_boolean(void *ctx, int v)
{
    struct lx_json *o = add(ctx, LX_JSON_BOOL);

    o->boolean = v != 0;
    return 1;
}

static int on_number(void *ctx, const char *s, size_t len)
{
    struct reader *r = ctx;
    char buf[24], *end;
    struct lx_json *o = add(r, LX_JSON_REAL);

    if (len >= sizeof(buf))
        return 1;
    memcpy(buf, s, len);
    buf[len] = 0;
    errno = 0;
    o->negative = buf[0] == '-';
    o->magnitude = strtoull(buf + o->negative, &end, 10);
    if (!errno && !*end && end != buf + o->negative)
        o->kind = LX_JSON_INTEGER;
    return 1;
}

static int on_string(void *ctx, const unsigned char *s, size_t len)
{
    struct reader *r = ctx;
    char *text = text_of(r, s, len);

    if (!text)
        return 0;
    add(r, LX_JSON_STRING)->string = text;
    return 1;
}

static int on_map(void *ctx)
{
    return add(ctx, LX_JSON_MAP) != NULL;
}

static int on_key(void *ctx, const unsigned char *s, size_t len)
{
    struct reader *r = ctx;

    return (r->key = text_of(r, s, len)) != NULL;
}

static int on_array(void *ctx)
{
    return add(ctx, LX_JSON_ARRAY) != NULL;
}

static int on_close(void *ctx)
{
    return close_one(ctx);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_close,
    .yajl_start_array = on_array,
    .yajl_end_array = on_close,
};

static void log_refusal(struct lx_gc *gc, const char *what, struct reader *r, yajl_handle h,
                        const char *text, size_t len)
{
    size_t at = yajl_get_bytes_consumed(h);
    unsigned line = 1;
    unsigned char *msg = NULL;

    if (at > len)
        at = len;
    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    if (!r->refused)
        msg = yajl_get_error(h, 0, (const unsigned char *)text, len);
    if (msg)
        msg[strcspn((char *)msg, "\n")] = 0;
    LX_LOG(ERROR, "%s: not valid JSON, line %u: %s", what, line,
           r->refused ? r->refused : (char *)msg);
    if (msg)
        yajl_free_error(h, msg);
}

struct lx_json *lx_json_read(struct lx_gc *gc, const char *what, const char *text, size_t len)
{
    struct reader r = { .gc = gc };
    yajl_handle h = yajl_alloc(&callbacks, NULL, &r);
    yajl_status s;

    if (!h)
        abort();
    s = yajl_parse(h, (const unsigned char *)text, len);
    if (s == yajl_status_ok)
        s = yajl_complete_parse(h);
    if (s != yajl_status_ok)
        log_refusal(gc, what, &r, h, text, len);
    yajl_free(h);
    return s == yajl_status_ok ? r.root : NULL;
}

const struct lx_json *lx_json_get(const struct lx_json *o, const char *key)
{
    if (!o || o->kind != LX_JSON_MAP)
        return NULL;
    for (o = o->first; o; o = o->next)
        if (!strcmp(o->key, key))
            return o;
    return NULL;
}

/* ---- complaints */

static char *place_of(struct lx_gc *gc, const struct lx_json *o)
{
    const struct lx_json *up[LX_JSON_MAX_DEPTH + 1];
    unsigned n = 0;
    char *s = lx_strdup(gc, "");

    for (; o && o->parent && n < LX_JSON_MAX_DEPTH; o = o->parent)
        up[n++] = o;
    while (n--) {
        o = up[n];
        if (o->key) {
            s = lx_sprintf(gc, "%s%s%.40s", s, *s ? "." : "", o->key);
        } else {
            unsigned i = 0;

            for (const struct lx_json *e = o->parent->first; e != o; e = e->next)
                i++;
            s = lx_sprintf(gc, "%s[%u]", s, i);
        }
    }
    return s;
}

int lx_json_complain(struct lx_parse *ps, const struct lx_json *o, const char *fmt, ...)
{
    struct lx_gc *gc = ps->gc;
    char *place = place_of(gc, o), *text;
    va_list ap;

    va_start(ap, fmt);
    text = lx_vsprintf(gc, fmt, ap);
    va_end(ap);
    LX_LOG(ERROR, "%s: %s%s%s", ps->what, place, *place ? ": " : "", text);
    return ERROR_FAIL;
}

int lx_json_expected(struct lx_parse *ps, const struct lx_json *o, const char *wanted)
{
    static const char *const names[] = {
        [LX_JSON_NULL] = "null",     [LX_JSON_BOOL] = "a boolean", [LX_JSON_INTEGER] = "an integer",
        [LX_JSON_REAL] = "a number", [LX_JSON_STRING] = "a string", [LX_JSON_ARRAY] = "an array",
        [LX_JSON_MAP] = "an object",
    };

    return lx_json_complain(ps, o, "expected %s, found %s", wanted, names[o->kind]);
}
