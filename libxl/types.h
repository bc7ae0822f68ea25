/* SPDX-License-Identifier: MIT */
/*
 * What libxl knows about its own types: for each a descriptor, generated from idl/types.idl, and a
 * handful of functions that work from descriptors. TYPE_init, _dispose, _copy and JSON of all types
 * are these functions applied to a table, so there is one place for each rule.
 */
#ifndef LX_TYPES_H
#define LX_TYPES_H

#include <stddef.h>

#include <libxl.h>
#include <libxl_json.h>
#include <libxl_utils.h>

enum lx_kind {
    LX_UINT,         /* size bytes, unsigned */
    LX_INT,          /* C int */
    LX_BOOL,
    LX_ENUM,         /* names lists its values */
    LX_STRING,       /* owned char *, NULL by default */
    LX_CONST_STRING, /* const char *, not owned */
    LX_OPAQUE,       /* ops knows */
    LX_STRUCT,
};

struct lx_json;
struct lx_parse;

/* A type with a representation of its own. NULL init: all zero. NULL dispose: nothing hangs on it.
 * */
struct lx_opaque_ops {
    void (*init)(void *p);
    void (*dispose)(void *p);
    void (*copy)(libxl_ctx *ctx, void *dst, const void *src);
    bool (*is_default)(const void *p);
    yajl_gen_status (*gen)(yajl_gen hand, void *p);
    int (*parse)(struct lx_parse *ps, const struct lx_json *o, void *p);
};

struct lx_type {
    const char *name; /* without "libxl_" */
    enum lx_kind kind;
    size_t size;
    const libxl_enum_string_table *names;
    const struct lx_opaque_ops *ops;
    const struct lx_field *fields;
    unsigned n_fields;
};

enum lx_role {
    LX_PLAIN,
    LX_ARRAY, /* a pointer; aux is the offset of its int count */
    LX_KEY,   /* an enum that says which case of a union is live */
    LX_UNION, /* aux is the offset of its key */
};

/* One value of a union's key. name is "key.case", as in JSON; type NULL: nothing there. */
struct lx_case {
    const char *name;
    int value;
    const struct lx_type *type;
};

struct lx_field {
    const char *name;
    enum lx_role role;
    const struct lx_type *type; /* of the element for an array, NULL for a union */
    size_t offset;
    size_t aux;
    size_t size;                /* LX_UNION only */
    int64_t init;               /* scalars: what _init gives it, and JSON leaves out */
    bool deprecated;            /* the outer struct has a field of this name that replaces it */
    const struct lx_case *cases;
    unsigned n_cases;
};

void lx_type_init(const struct lx_type *t, void *p);
void lx_type_dispose(const struct lx_type *t, void *p);
void lx_type_copy(libxl_ctx *ctx, const struct lx_type *t, void *dst, const void *src);
yajl_gen_status lx_type_gen_json(const struct lx_type *t, yajl_gen hand, const void *p);
/* malloc'd, or NULL with a line in the log. */
char *lx_type_to_json(libxl_ctx *ctx, const struct lx_type *t, const void *p);
/* p must be initialised; on failure it must still be disposed of. ERROR_FAIL and a line in the log
 * that says where in the text and what was expected. Unknown keys are named in a warning. */
int lx_type_from_json(libxl_ctx *ctx, const struct lx_type *t, void *p, const char *s);
/* Sets the union's key and initialises the case that it selects. */
void lx_type_init_key(const struct lx_type *t, void *p, const char *key, int value);
/* Moves fields from a deprecated place to the present one. ERROR_INVAL if both are used. */
int lx_type_copy_deprecated(libxl_ctx *ctx, const struct lx_type *t, void *p);

/* Reads a scalar as wide as it is; sets one, cut to its width. */
int64_t lx_scalar_get(const struct lx_type *t, const void *p);
void lx_scalar_set(const struct lx_type *t, void *p, int64_t v);
/* The live case, or NULL if the key has no listed value. */
const struct lx_case *lx_union_case(const struct lx_field *f, const void *base);

const char *lx_enum_name(const libxl_enum_string_table *table, int v);
int lx_enum_value(const libxl_enum_string_table *table, const char *s, int *v);

extern const struct lx_type lx_type_bool, lx_type_int, lx_type_uint8, lx_type_uint16,
    lx_type_uint32, lx_type_uint64, lx_type_domid, lx_type_devid, lx_type_string,
    lx_type_conststring;
extern const struct lx_type lx_type_uuid, lx_type_mac, lx_type_bitmap, lx_type_defbool,
    lx_type_string_list, lx_type_key_value_list, lx_type_hwcap, lx_type_cpuid_policy_list,
    lx_type_ms_vm_genid;

/* ---- the public functions, one line per type in the generated table */

#define LX_ENUM_FUNCTIONS(t)                                                               \
    const char *libxl_##t##_to_string(libxl_##t v)                                         \
    {                                                                                      \
        return lx_enum_name(libxl_##t##_string_table, (int)v);                             \
    }                                                                                      \
    int libxl_##t##_from_string(const char *s, libxl_##t *e)                               \
    {                                                                                      \
        int v, rc = lx_enum_value(libxl_##t##_string_table, s, &v);                        \
                                                                                           \
        if (!rc)                                                                           \
            *e = (libxl_##t)v;                                                             \
        return rc;                                                                         \
    }                                                                                      \
    LX_JSON_FUNCTIONS(t, libxl_##t p, &p)

#define LX_JSON_FUNCTIONS(t, param, addr)                                                  \
    yajl_gen_status libxl_##t##_gen_json(yajl_gen hand, libxl_##t *p)                      \
    {                                                                                      \
        return lx_type_gen_json(&lx_type_##t, hand, p);                                    \
    }                                                                                      \
    char *libxl_##t##_to_json(libxl_ctx *ctx, param)                                       \
    {                                                                                      \
        return lx_type_to_json(ctx, &lx_type_##t, addr);                                   \
    }                                                                                      \
    int libxl_##t##_from_json(libxl_ctx *ctx, libxl_##t *p, const char *s)                 \
    {                                                                                      \
        return lx_type_from_json(ctx, &lx_type_##t, p, s);                                 \
    }

#define LX_STRUCT_FUNCTIONS(t)                                                             \
    void libxl_##t##_init(libxl_##t *p)                                                    \
    {                                                                                      \
        lx_type_init(&lx_type_##t, p);                                                     \
    }                                                                                      \
    void libxl_##t##_copy(libxl_ctx *ctx, libxl_##t *dst, const libxl_##t *src)            \
    {                                                                                      \
        lx_type_copy(ctx, &lx_type_##t, dst, src);                                         \
    }                                                                                      \
    LX_JSON_FUNCTIONS(t, libxl_##t *p, p)

#define LX_DISPOSE_FUNCTION(t)                                                             \
    void libxl_##t##_dispose(libxl_##t *p)                                                 \
    {                                                                                      \
        lx_type_dispose(&lx_type_##t, p);                                                  \
    }

#define LX_INIT_KEY_FUNCTION(t, key, keytype)                                              \
    void libxl_##t##_init_##key(libxl_##t *p, keytype v)                                   \
    {                                                                                      \
        lx_type_init_key(&lx_type_##t, p, #key, (int)v);                                   \
    }

#define LX_COPY_DEPRECATED_FUNCTION(t)                                                     \
    int libxl__##t##_copy_deprecated(libxl_ctx *ctx, libxl_##t *p)                         \
    {                                                                                      \
        return lx_type_copy_deprecated(ctx, &lx_type_##t, p);                              \
    }

#endif
