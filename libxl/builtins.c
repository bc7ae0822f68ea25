/* SPDX-License-Identifier: MIT */
/* JSON and descriptors of the types that the generator does not know from inside. */
#include "libxl/builtins.h"

#include <stdio.h>
#include <stdlib.h>

#include "libxl/json.h"

/* ---- defbool: -1 no, 1 yes, 0 default */

void libxl_defbool_set(libxl_defbool *db, bool b)
{
    db->val = b ? 1 : -1;
}

void libxl_defbool_unset(libxl_defbool *db)
{
    db->val = 0;
}

bool libxl_defbool_is_default(libxl_defbool db)
{
    return !db.val;
}

void libxl_defbool_setdefault(libxl_defbool *db, bool b)
{
    if (libxl_defbool_is_default(*db))
        libxl_defbool_set(db, b);
}

bool libxl_defbool_val(libxl_defbool db)
{
    return db.val > 0;
}

const char *libxl_defbool_to_string(libxl_defbool b)
{
    return b.val < 0 ? "False" : b.val > 0 ? "True" : "<default>";
}

yajl_gen_status libxl_defbool_gen_json(yajl_gen hand, libxl_defbool *p)
{
    return lx_json_gen_string(hand, libxl_defbool_to_string(*p));
}

static int parse_defbool(struct lx_parse *ps, const struct lx_json *o, void *p)
{
    static const char *const names[] = { "False", "<default>", "True" };
    libxl_defbool *db = p;

    if (o->kind == LX_JSON_BOOL) {
        libxl_defbool_set(db, o->boolean);
        return 0;
    }
    for (int i = 0; i < 3; i++) {
        if (o->kind == LX_JSON_STRING && !strcmp(o->string, names[i])) {
            db->val = i - 1;
            return 0;
        }
    }
    return lx_json_expected(ps, o, "\"True\", \"False\" or \"<default>\"");
}

static bool defbool_is_default(const void *p)
{
    return libxl_defbool_is_default(*(const libxl_defbool *)p);
}

static void defbool_copy(libxl_ctx *ctx, void *dst, const void *src)
{
    memcpy(dst, src, sizeof(libxl_defbool));
}

/* ---- uuid, mac, vm generation id, hwcap: fixed size, default all zero */

static bool all_zero(const void *p, size_t n)
{
    const char *c = p;

    while (n--)
        if (*c++)
            return false;
    return true;
}

#define FIXED_SIZE(type)                                                \
    static bool type##_is_default(const void *p)                        \
    {                                                                   \
        return all_zero(p, sizeof(libxl_##type));                       \
    }                                                                   \
    static void type##_copy(libxl_ctx *ctx, void *dst, const void *src) \
    {                                                                   \
        memcpy(dst, src, sizeof(libxl_##type));                         \
    }
FIXED_SIZE(uuid)
FIXED_SIZE(mac)
FIXED_SIZE(hwcap)
FIXED_SIZE(ms_vm_genid)

yajl_gen_status libxl_uuid_gen_json(yajl_gen hand, libxl_uuid *p)
{
    char buf[LIBXL_UUID_FMTLEN + 1];

    snprintf(buf, sizeof(buf), LIBXL_UUID_FMT, LIBXL_UUID_BYTES(*p));
    return lx_json_gen_string(hand, buf);
}

static int parse_uuid(struct lx_parse *ps, const struct lx_json *o, void *p)
{
    const char *s;
    int rc = lx_json_string(ps, o, &s);

    if (!rc && libxl_uuid_from_string(p, s))
        rc = lx_json_complain(ps, o, "\"%.40s\" is no UUID", s);
    return rc;
}

yajl_gen_status libxl_mac_gen_json(yajl_gen hand, libxl_mac *mac)
{
    char buf[LIBXL_MAC_FMTLEN + 1];

    snprintf(buf, sizeof(buf), LIBXL_MAC_FMT, LIBXL_MAC_BYTES((*mac)));
    return lx_json_gen_string(hand, buf);
}

static int parse_mac(struct lx_parse *ps, const struct lx_json *o, void *p)
{
    unsigned char *m = p;
    const char *s;
    int end = 0, rc = lx_json_string(ps, o, &s);

    if (!rc && (sscanf(s, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &m[0], &m[1], &m[2], &m[3],
                       &m[4], &m[5], &end) != 6 || s[end]))
        rc = lx_json_complain(ps, o, "\"%.40s\" is no MAC address", s);
    return rc;
}

static yajl_gen_status gen_words(yajl_gen hand, const struct lx_type *t, const void *p, unsigned n)
{
    yajl_gen_status s = yajl_gen_array_open(hand);

    for (unsigned i = 0; !s && i < n; i++)
        s = lx_type_gen_json(t, hand, (const char *)p + i * t->size);
    return s ? s : yajl_gen_array_close(hand);
}

static int parse_words(struct lx_parse *ps, const struct lx_json *o, const struct lx_type *t,
                       void *p, unsigned n)
{
    const struct lx_json *e;
    char *to = p;

    if (o->kind != LX_JSON_ARRAY)
        return lx_json_expected(ps, o, "an array");
    if (o->count != n)
        return lx_json_complain(ps, o, "expected %u elements, found %u", n, o->count);
    for (e = o->first; e; e = e->next, to += t->size) {
        uint64_t v;
        int rc = lx_json_integer(ps, e, 0, (1ULL << (t->size * 8)) - 1, &v);

        if (rc)
            return rc;
        lx_scalar_set(t, to, (int64_t)v);
    }
    return 0;
}

yajl_gen_status libxl_hwcap_gen_json(yajl_gen hand, libxl_hwcap *p)
{
    return gen_words(hand, &lx_type_uint32, *p, 8);
}

static int parse_hwcap(struct lx_parse *ps, const struct lx_json *o, void *p)
{
    /* Xen's libxl writes only the first four */
    if (o->kind == LX_JSON_ARRAY && o->count == 4)
        return parse_words(ps, o, &lx_type_uint32, p, 4);
    return parse_words(ps, o, &lx_type_uint32, p, 8);
}

yajl_gen_status libxl_ms_vm_genid_gen_json(yajl_gen hand, libxl_ms_vm_genid *p)
{
    return gen_words(hand, &lx_type_uint8, p->bytes, LIBXL_MS_VM_GENID_LEN);
}

static int parse_ms_vm_genid(struct lx_parse *ps, const struct lx_json *o, void *p)
{
    return parse_words(ps, o, &lx_type_uint8, p, LIBXL_MS_VM_GENID_LEN);
}

/* ---- bitmap: the numbers of its set bits */

/* No map of CPUs, nodes or features comes near it; a text must not make us allocate at will. */
#define BITMAP_MAX_BITS 65536

yajl_gen_status libxl_bitmap_gen_json(yajl_gen hand, libxl_bitmap *p)
{
    yajl_gen_status s = yajl_gen_array_open(hand);

    for (unsigned i = 0; !s && i < p->size * 8; i++)
        if (libxl_bitmap_test(p, (int)i))
            s = yajl_gen_integer(hand, i);
    return s ? s : yajl_gen_array_close(hand);
}

static int parse_bitmap(struct lx_parse *ps, const struct lx_json *o, void *p)
{
    uint64_t top = 0, v;
    const struct lx_json *e;

    if (o->kind != LX_JSON_ARRAY)
        return lx_json_expected(ps, o, "an array");
    for (e = o->first; e; e = e->next) {
        int rc = lx_json_integer(ps, e, 0, BITMAP_MAX_BITS - 1, &v);

        if (rc)
            return rc;
        if (v > top)
            top = v;
    }
    libxl_bitmap_dispose(p);
    if (!o->count)
        return 0;
    libxl_bitmap_alloc(ps->gc->ctx, p, (int)top + 1);
    for (e = o->first; e; e = e->next)
        libxl_bitmap_set(p, (int)e->magnitude);
    return 0;
}

static bool bitmap_is_default(const void *p)
{
    return !((const libxl_bitmap *)p)->size;
}

static void bitmap_copy(libxl_ctx *ctx, void *dst, const void *src)
{
    libxl_bitmap_copy_alloc(ctx, dst, src);
}

/* ---- lists of strings */

yajl_gen_status libxl_string_list_gen_json(yajl_gen hand, libxl_string_list *p)
{
    yajl_gen_status s = yajl_gen_array_open(hand);

    for (char **e = *p; !s && e && *e; e++)
        s = lx_json_gen_string(hand, *e);
    return s ? s : yajl_gen_array_close(hand);
}

static int parse_string_list(struct lx_parse *ps, const struct lx_json *o, void *p)
{
    libxl_string_list *list = p;
    const struct lx_json *e;
    unsigned n = 0;

    if (o->kind != LX_JSON_ARRAY)
        return lx_json_expected(ps, o, "an array");
    libxl_string_list_dispose(list);
    if (!o->count)
        return 0;
    *list = lx_calloc(NULL, (size_t)o->count + 1, sizeof(char *));
    for (e = o->first; e; e = e->next) {
        const char *s;
        int rc = lx_json_string(ps, e, &s);

        if (rc)
            return rc;
        (*list)[n++] = lx_strdup(NULL, s);
    }
    return 0;
}

yajl_gen_status libxl_key_value_list_gen_json(yajl_gen hand, libxl_key_value_list *p)
{
    yajl_gen_status s = yajl_gen_map_open(hand);

    for (char **e = *p; !s && e && *e; e += 2) {
        s = lx_json_gen_string(hand, e[0]);
        if (!s)
            s = e[1] ? lx_json_gen_string(hand, e[1]) : yajl_gen_null(hand);
    }
    return s ? s : yajl_gen_map_close(hand);
}

static int parse_key_value_list(struct lx_parse *ps, const struct lx_json *o, void *p)
{
    libxl_key_value_list *list = p;
    const struct lx_json *e;
    unsigned n = 0;

    if (o->kind != LX_JSON_MAP)
        return lx_json_expected(ps, o, "an object");
    libxl_key_value_list_dispose(list);
    if (!o->count)
        return 0;
    *list = lx_calloc(NULL, (size_t)o->count * 2 + 1, sizeof(char *));
    for (e = o->first; e; e = e->next) {
        const char *s = NULL;
        int rc = e->kind == LX_JSON_NULL ? 0 : lx_json_string(ps, e, &s);

        if (rc)
            return rc;
        (*list)[n++] = lx_strdup(NULL, e->key);
        (*list)[n++] = lx_strdup(NULL, s);
    }
    return 0;
}

static bool pointer_is_null(const void *p)
{
    return !*(void *const *)p;
}

static void string_list_copy(libxl_ctx *ctx, void *dst, const void *src)
{
    libxl_string_list_copy(ctx, dst, src);
}

static void key_value_list_copy(libxl_ctx *ctx, void *dst, const void *src)
{
    libxl_key_value_list_copy(ctx, dst, src);
}

/* ---- CPU policies: { "cpuid": [...], "msr": [...] }, or the older form, the first array alone */

static const char *const cpuid_registers[4] = { "eax", "ebx", "ecx", "edx" };

static yajl_gen_status gen_named(yajl_gen hand, const char *name, int64_t v)
{
    yajl_gen_status s = lx_json_gen_string(hand, name);

    return s ? s : yajl_gen_integer(hand, v);
}

static yajl_gen_status gen_cpuid(yajl_gen hand, const struct xc_xend_cpuid *c)
{
    yajl_gen_status s = yajl_gen_map_open(hand);

    if (!s)
        s = gen_named(hand, "leaf", c->input[0]);
    if (!s && c->input[1] != XEN_CPUID_INPUT_UNUSED)
        s = gen_named(hand, "subleaf", c->input[1]);
    for (int i = 0; !s && i < 4; i++) {
        if (!c->policy[i])
            continue;
        s = lx_json_gen_string(hand, cpuid_registers[i]);
        if (!s)
            s = lx_json_gen_string(hand, c->policy[i]);
    }
    return s ? s : yajl_gen_map_close(hand);
}

static yajl_gen_status gen_msr(yajl_gen hand, const struct xc_msr *m)
{
    yajl_gen_status s = yajl_gen_map_open(hand);

    if (!s)
        s = gen_named(hand, "index", m->index);
    if (!s)
        s = lx_json_gen_string(hand, "policy");
    if (!s)
        s = lx_json_gen_string(hand, m->policy);
    return s ? s : yajl_gen_map_close(hand);
}

static yajl_gen_status open_named_array(yajl_gen hand, const char *name)
{
    yajl_gen_status s = lx_json_gen_string(hand, name);

    return s ? s : yajl_gen_array_open(hand);
}

yajl_gen_status libxl_cpuid_policy_list_gen_json(yajl_gen hand, libxl_cpuid_policy_list *p)
{
    const struct xc_xend_cpuid *c = *p ? (*p)->cpuid : NULL;
    const struct xc_msr *m = *p ? (*p)->msr : NULL;
    yajl_gen_status s = yajl_gen_map_open(hand);

    if (!s)
        s = open_named_array(hand, "cpuid");
    for (; !s && c && c->input[0] != XEN_CPUID_INPUT_UNUSED; c++)
        s = gen_cpuid(hand, c);
    if (!s)
        s = yajl_gen_array_close(hand);
    if (!s)
        s = open_named_array(hand, "msr");
    for (; !s && m && m->index != XC_MSR_INPUT_UNUSED; m++)
        s = gen_msr(hand, m);
    if (!s)
        s = yajl_gen_array_close(hand);
    return s ? s : yajl_gen_map_close(hand);
}

/* A register's bits, most significant first: 1 0 x (as the host) k (as before) s (sticky). */
static int parse_policy(struct lx_parse *ps, const struct lx_json *o, size_t bits, const char **out)
{
    int rc = lx_json_string(ps, o, out);

    if (!rc && (strlen(*out) != bits || strspn(*out, "01xks") != bits))
        rc = lx_json_complain(ps, o, "\"%.70s\" is not %zu of the characters 0 1 x k s", *out,
                              bits);
    return rc;
}

static int parse_cpuids(struct lx_parse *ps, const struct lx_json *array,
                        libxl_cpuid_policy_list *list)
{
    if (array->kind != LX_JSON_ARRAY)
        return lx_json_expected(ps, array, "an array");
    for (const struct lx_json *o = array->first; o; o = o->next) {
        const struct lx_json *leaf = lx_json_get(o, "leaf"), *sub = lx_json_get(o, "subleaf");
        uint64_t l, s = XEN_CPUID_INPUT_UNUSED;
        struct xc_xend_cpuid *c;
        int rc;

        if (!leaf)
            return lx_json_complain(ps, o, "expected an object with a leaf");
        rc = lx_json_integer(ps, leaf, 0, UINT32_MAX - 1, &l);
        if (!rc && sub)
            rc = lx_json_integer(ps, sub, 0, UINT32_MAX, &s);
        if (rc)
            return rc;
        c = lx_cpuid_entry(list, (uint32_t)l, (uint32_t)s);
        for (int i = 0; i < 4; i++) {
            const struct lx_json *reg = lx_json_get(o, cpuid_registers[i]);
            const char *policy;

            if (!reg)
                continue;
            rc = parse_policy(ps, reg, 32, &policy);
            if (rc)
                return rc;
            free(c->policy[i]);
            c->policy[i] = lx_strdup(NULL, policy);
        }
    }
    return 0;
}

static int parse_msrs(struct lx_parse *ps, const struct lx_json *array,
                      libxl_cpuid_policy_list *list)
{
    if (array->kind != LX_JSON_ARRAY)
        return lx_json_expected(ps, array, "an array");
    for (const struct lx_json *o = array->first; o; o = o->next) {
        const struct lx_json *index = lx_json_get(o, "index"), *pol = lx_json_get(o, "policy");
        const char *policy;
        uint64_t i;
        int rc;

        if (!index || !pol)
            return lx_json_complain(ps, o, "expected an object with an index and a policy");
        rc = lx_json_integer(ps, index, 0, UINT32_MAX - 1, &i);
        if (!rc)
            rc = parse_policy(ps, pol, 64, &policy);
        if (rc)
            return rc;
        memcpy(lx_msr_entry(list, (uint32_t)i)->policy, policy, 65);
    }
    return 0;
}

static int parse_cpuid_policy_list(struct lx_parse *ps, const struct lx_json *o, void *p)
{
    const struct lx_json *cpuid = lx_json_get(o, "cpuid"), *msr = lx_json_get(o, "msr");
    int rc = 0;

    libxl_cpuid_dispose(p);
    if (o->kind == LX_JSON_ARRAY)
        return parse_cpuids(ps, o, p);
    if (o->kind != LX_JSON_MAP)
        return lx_json_expected(ps, o, "an object");
    if (cpuid)
        rc = parse_cpuids(ps, cpuid, p);
    if (!rc && msr)
        rc = parse_msrs(ps, msr, p);
    return rc;
}

static bool cpuid_policy_list_is_default(const void *p)
{
    return lx_cpuid_is_empty(p);
}

static void cpuid_policy_list_copy(libxl_ctx *ctx, void *dst, const void *src)
{
    libxl_cpuid_policy_list_copy(ctx, dst, src);
}

/* ---- descriptors */

#define GEN(t)                                                    \
    static yajl_gen_status gen_##t(yajl_gen hand, void *p)        \
    {                                                             \
        return libxl_##t##_gen_json(hand, p);                     \
    }
GEN(uuid) GEN(mac) GEN(bitmap) GEN(defbool) GEN(string_list) GEN(key_value_list) GEN(hwcap)
GEN(cpuid_policy_list) GEN(ms_vm_genid)

static void dispose_bitmap(void *p) { libxl_bitmap_dispose(p); }
static void dispose_string_list(void *p) { libxl_string_list_dispose(p); }
static void dispose_key_value_list(void *p) { libxl_key_value_list_dispose(p); }
static void dispose_cpuid_policy_list(void *p) { libxl_cpuid_dispose(p); }

#define OPAQUE(t, size_, default_, dispose_)                                              \
    static const struct lx_opaque_ops t##_ops = {                                         \
        .dispose = dispose_, .copy = t##_copy, .is_default = default_,                    \
        .gen = gen_##t, .parse = parse_##t,                                               \
    };                                                                                    \
    const struct lx_type lx_type_##t = {                                                  \
        .name = #t, .kind = LX_OPAQUE, .size = size_, .ops = &t##_ops,                    \
    };
OPAQUE(uuid, sizeof(libxl_uuid), uuid_is_default, NULL)
OPAQUE(mac, sizeof(libxl_mac), mac_is_default, NULL)
OPAQUE(hwcap, sizeof(libxl_hwcap), hwcap_is_default, NULL)
OPAQUE(ms_vm_genid, sizeof(libxl_ms_vm_genid), ms_vm_genid_is_default, NULL)
OPAQUE(bitmap, sizeof(libxl_bitmap), bitmap_is_default, dispose_bitmap)
OPAQUE(defbool, sizeof(libxl_defbool), defbool_is_default, NULL)
OPAQUE(string_list, sizeof(libxl_string_list), pointer_is_null, dispose_string_list)
OPAQUE(key_value_list, sizeof(libxl_key_value_list), pointer_is_null, dispose_key_value_list)
OPAQUE(cpuid_policy_list, sizeof(libxl_cpuid_policy_list), cpuid_policy_list_is_default,
       dispose_cpuid_policy_list)
