/* SPDX-License-Identifier: MIT */
#include "libxl/util/xlu_cfg_i.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CONFIG_BYTES (16u << 20)

XLU_Config *xlu_cfg_init(FILE *report, const char *report_filename)
{
    XLU_Config *cfg = calloc(1, sizeof(*cfg));

    if (!cfg) {
        return NULL;
    }
    cfg->report = report;
    cfg->tail = &cfg->settings;
    cfg->filename = strdup(report_filename ? report_filename : "(config)");
    if (!cfg->filename) {
        free(cfg);
        return NULL;
    }
    return cfg;
}

void xlu__value_free(XLU_ConfigValue *v)
{
    if (!v) {
        return;
    }
    if (v->type == XLU_STRING) {
        free(v->u.string);
    } else {
        /* Depth is bounded by the parser. */
        for (int i = 0; i < v->u.list.nr; i++) {
            xlu__value_free(v->u.list.item[i]);
        }
        free(v->u.list.item);
    }
    free(v);
}

void xlu_cfg_destroy(XLU_Config *cfg)
{
    struct xlu_setting *s, *next;

    if (!cfg) {
        return;
    }
    for (s = cfg->settings; s; s = next) {
        next = s->next;
        xlu__value_free(s->value);
        free(s->name);
        free(s->where);
        free(s);
    }
    free(cfg->filename);
    free(cfg->at);
    free(cfg);
}

int xlu_cfg_readdata_label(XLU_Config *cfg, const char *label, const char *data, int length)
{
    if (length < 0 || (unsigned)length > MAX_CONFIG_BYTES) {
        fprintf(cfg->report, "%s: longer than %u MiB\n", label, MAX_CONFIG_BYTES >> 20);
        return EFBIG;
    }
    return xlu__parse(cfg, label, data, (size_t)length);
}

int xlu_cfg_readdata(XLU_Config *cfg, const char *data, int length)
{
    return xlu_cfg_readdata_label(cfg, cfg->filename, data, length);
}

int xlu_cfg_readfile(XLU_Config *cfg, const char *real_filename)
{
    FILE *f = fopen(real_filename, "re");
    char *buf = NULL, *bigger;
    size_t len = 0, room = 0;
    int rc = 0;

    if (!f) {
        rc = errno;
        fprintf(cfg->report, "%s: %s\n", real_filename, strerror(rc));
        return rc;
    }
    do {
        if (len == room) {
            room = room ? room * 2 : 4096;
            bigger = len > MAX_CONFIG_BYTES ? NULL : realloc(buf, room);
            if (!bigger) {
                rc = len > MAX_CONFIG_BYTES ? EFBIG : ENOMEM;
                fprintf(cfg->report, "%s: %s\n", real_filename, strerror(rc));
                goto out;
            }
            buf = bigger;
        }
        len += fread(buf + len, 1, room - len, f);
    } while (!feof(f) && !ferror(f));
    if (ferror(f)) {
        rc = errno ? errno : EIO;
        fprintf(cfg->report, "%s: %s\n", real_filename, strerror(rc));
        goto out;
    }
    rc = xlu_cfg_readdata(cfg, buf, len > INT_MAX ? INT_MAX : (int)len);
out:
    free(buf);
    fclose(f);
    return rc;
}

/* --- getters --- */

struct xlu_setting *xlu__find(const XLU_Config *cfg, const char *name)
{
    struct xlu_setting *s;

    for (s = cfg->settings; s; s = s->next) {
        if (!strcmp(s->name, name)) {
            return s;
        }
    }
    return NULL;
}

const char *xlu_cfg_key(const XLU_Config *cfg, int index, const char **where_r)
{
    struct xlu_setting *s = cfg->settings;

    while (s && index-- > 0) {
        s = s->next;
    }
    if (!s) {
        return NULL;
    }
    if (where_r) {
        *where_r = s->where;
    }
    return s->name;
}

void xlu_cfg_complain(const XLU_Config *cfg, const char *n, const char *fmt, ...)
{
    struct xlu_setting *s = n ? xlu__find(cfg, n) : NULL;
    va_list ap;

    fprintf(cfg->report, "%s: ", s ? s->where : !n && cfg->at ? cfg->at : cfg->filename);
    va_start(ap, fmt);
    vfprintf(cfg->report, fmt, ap);
    va_end(ap);
    fputc('\n', cfg->report);
}

void xlu_cfg_at(XLU_Config *cfg, const char *n, int entry)
{
    struct xlu_setting *s = n ? xlu__find(cfg, n) : NULL;
    const XLU_ConfigValue *item = NULL;

    free(cfg->at);
    cfg->at = NULL;
    if (s && s->value->type == XLU_LIST) {
        item = xlu_cfg_get_listitem2(&s->value->u.list, entry);
    }
    /* Without memory for it the messages name the file alone. */
    if (item && asprintf(&cfg->at, "%.*s:%d:%d", (int)(strrchr(s->where, ':') - s->where), s->where,
                         item->line, item->column) < 0) {
        cfg->at = NULL;
    } else if (s && !item) {
        cfg->at = strdup(s->where);
    }
}

int xlu__complain(const XLU_Config *cfg, const char *what, const char *spec, int rc, const char *fmt, ...)
{
    va_list ap;

    fprintf(cfg->report, "%s: %s '%s': ", cfg->at ? cfg->at : cfg->filename, what, spec);
    va_start(ap, fmt);
    vfprintf(cfg->report, fmt, ap);
    va_end(ap);
    fputc('\n', cfg->report);
    return rc;
}

static int find_typed(const XLU_Config *cfg, const char *n, enum XLU_ConfigValueType type, int dont_warn,
                      struct xlu_setting **out)
{
    static const char *const kind[] = { [XLU_STRING] = "a single value", [XLU_LIST] = "a list" };
    struct xlu_setting *s = xlu__find(cfg, n);

    if (!s) {
        return ESRCH;
    }
    if (s->value->type != type) {
        if (!dont_warn) {
            xlu_cfg_complain(cfg, n, "%s must be %s, not %s", n, kind[type], kind[s->value->type]);
        }
        return EINVAL;
    }
    *out = s;
    return 0;
}

int xlu_cfg_get_string(const XLU_Config *cfg, const char *n, const char **value_r, int dont_warn)
{
    struct xlu_setting *s;
    int rc = find_typed(cfg, n, XLU_STRING, dont_warn, &s);

    *value_r = rc ? NULL : s->value->u.string;
    return rc;
}

int xlu_cfg_replace_string(const XLU_Config *cfg, const char *n, char **value_r, int dont_warn)
{
    const char *v;
    int rc = xlu_cfg_get_string(cfg, n, &v, dont_warn);

    if (!rc) {
        char *copy = strdup(v);

        if (!copy) {
            return ENOMEM;
        }
        free(*value_r);
        *value_r = copy;
    }
    return rc;
}

int xlu_cfg_get_bounded_long(const XLU_Config *cfg, const char *n, long min, long max, long *value_r,
                             int dont_warn)
{
    const char *text;
    char *end;
    long v;
    int rc = xlu_cfg_get_string(cfg, n, &text, dont_warn);

    if (rc) {
        return rc;
    }
    errno = 0;
    v = strtol(text, &end, 0);
    if (end == text || *end) {
        if (!dont_warn) {
            xlu_cfg_complain(cfg, n, "%s must be a number, not \"%s\"", n, text);
        }
        return EINVAL;
    }
    if (errno == ERANGE || v < min || v > max) {
        if (!dont_warn) {
            xlu_cfg_complain(cfg, n, "%s = %s is out of range (%ld to %ld)", n, text, min, max);
        }
        return errno == ERANGE ? ERANGE : EINVAL;
    }
    *value_r = v;
    return 0;
}

int xlu_cfg_get_long(const XLU_Config *cfg, const char *n, long *value_r, int dont_warn)
{
    return xlu_cfg_get_bounded_long(cfg, n, LONG_MIN, LONG_MAX, value_r, dont_warn);
}

int xlu_cfg_get_defbool(const XLU_Config *cfg, const char *n, libxl_defbool *b, int dont_warn)
{
    long v;
    int rc = xlu_cfg_get_bounded_long(cfg, n, 0, 1, &v, dont_warn);

    if (!rc) {
        libxl_defbool_set(b, v != 0);
    }
    return rc;
}

int xlu_cfg_get_list(const XLU_Config *cfg, const char *n, XLU_ConfigList **list_r, int *entries_r,
                     int dont_warn)
{
    struct xlu_setting *s;
    int rc = find_typed(cfg, n, XLU_LIST, dont_warn, &s);

    if (!rc) {
        if (list_r) {
            *list_r = &s->value->u.list;
        }
        if (entries_r) {
            *entries_r = s->value->u.list.nr;
        }
    }
    return rc;
}

int xlu_cfg_get_list_as_string_list(const XLU_Config *cfg, const char *n, libxl_string_list *sl, int dont_warn)
{
    XLU_ConfigList *list;
    libxl_string_list copy;
    int nr, rc = xlu_cfg_get_list(cfg, n, &list, &nr, dont_warn);

    if (rc) {
        return rc;
    }
    copy = calloc((size_t)nr + 1, sizeof(*copy));
    if (!copy) {
        return ENOMEM;
    }
    for (int i = 0; i < nr; i++) {
        const char *item = xlu_cfg_get_listitem(list, i);

        copy[i] = item ? strdup(item) : NULL;
        if (!copy[i]) {
            if (!item && !dont_warn) {
                xlu_cfg_complain(cfg, n, "item %d of %s must be a string", i + 1, n);
            }
            libxl_string_list_dispose(&copy);
            return item ? ENOMEM : EINVAL;
        }
    }
    *sl = copy;
    return 0;
}

XLU_ConfigValue *xlu_cfg_get_listitem2(const XLU_ConfigList *list, int entry)
{
    return entry >= 0 && entry < list->nr ? list->item[entry] : NULL;
}

const char *xlu_cfg_get_listitem(const XLU_ConfigList *list, int entry)
{
    XLU_ConfigValue *v = xlu_cfg_get_listitem2(list, entry);

    return v && v->type == XLU_STRING ? v->u.string : NULL;
}

enum XLU_ConfigValueType xlu_cfg_value_type(const XLU_ConfigValue *value)
{
    return value->type;
}

static int value_typed(const XLU_Config *cfg, const XLU_ConfigValue *v, enum XLU_ConfigValueType type,
                       int dont_warn)
{
    if (v->type == type) {
        return 0;
    }
    if (!dont_warn) {
        fprintf(cfg->report, "%s:%d:%d: %s is expected here\n", cfg->filename, v->line, v->column,
                type == XLU_LIST ? "a list" : "a single value");
    }
    return EINVAL;
}

int xlu_cfg_value_get_string(const XLU_Config *cfg, XLU_ConfigValue *value, char **value_r, int dont_warn)
{
    int rc = value_typed(cfg, value, XLU_STRING, dont_warn);

    if (!rc) {
        *value_r = value->u.string;
    }
    return rc;
}

int xlu_cfg_value_get_list(const XLU_Config *cfg, XLU_ConfigValue *value, XLU_ConfigList **value_r, int dont_warn)
{
    int rc = value_typed(cfg, value, XLU_LIST, dont_warn);

    if (!rc) {
        *value_r = &value->u.list;
    }
    return rc;
}
