/* SPDX-License-Identifier: MIT */
/*
 * The grammar of xl's configuration files (xl.cfg(5), xl.conf(5), xlcpupool.cfg(5)):
 *
 *   file    := { setting (NEWLINE | ';') }
 *   setting := KEY ('=' | '+=') value
 *   value   := STRING | NUMBER | '[' [ value { ',' value } [','] ] ']'
 *
 * with '#' comments to the end of the line, and newlines free inside lists. One hand-written pass:
 * it knows its line and column all the time, which is what a person with a typo needs.
 */
#include "libxl/util/xlu_cfg_i.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 16      /* nested lists; no key needs more than 3 */

struct parser {
    XLU_Config *cfg;
    const char *label;
    const char *p, *end, *line_start;
    int line, depth;
    int err;              /* errno value of the first error, once reported */
};

static int complain(struct parser *ps, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int complain(struct parser *ps, int err, const char *fmt, ...)
{
    va_list ap;

    if (!ps->err) {
        ps->err = err;
        fprintf(ps->cfg->report, "%s:%d:%d: ", ps->label, ps->line, (int)(ps->p - ps->line_start) + 1);
        va_start(ap, fmt);
        vfprintf(ps->cfg->report, fmt, ap);
        va_end(ap);
        fputc('\n', ps->cfg->report);
    }
    return ps->err;
}

static int no_memory(struct parser *ps)
{
    return complain(ps, ENOMEM, "out of memory");
}

/* The next character, or -1 at the end. */
static int peek(const struct parser *ps)
{
    return ps->p < ps->end ? (unsigned char)*ps->p : -1;
}

static void advance(struct parser *ps)
{
    if (*ps->p++ == '\n') {
        ps->line++;
        ps->line_start = ps->p;
    }
}

/* How a character is named in a message. */
static const char *show(int c, char buf[8])
{
    if (c < 0) {
        return "end of file";
    }
    if (c == '\n') {
        return "end of line";
    }
    snprintf(buf, 8, isprint(c) ? "'%c'" : "\\x%02x", c);
    return buf;
}

static void skip_space(struct parser *ps, bool newlines)
{
    int c;

    while ((c = peek(ps)) >= 0) {
        if (c == '#') {
            while (ps->p < ps->end && *ps->p != '\n') {
                ps->p++;
            }
        } else if (c == ' ' || c == '\t' || c == '\r' || (c == '\n' && newlines)) {
            advance(ps);
        } else {
            break;
        }
    }
}

static int hex_digit(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* What follows a backslash: \n \t ..., \ooo, \xHH, or the character itself. Returns a byte or -1. */
static int parse_escape(struct parser *ps)
{
    static const char from[] = "abfnrtv", to[] = "\a\b\f\n\r\t\v";
    int c = peek(ps), v = 0, n;
    const char *at;

    if (c < 0 || c == '\n') {
        complain(ps, EINVAL, "a backslash needs a character after it");
        return -1;
    }
    if (c >= '0' && c <= '7') {
        for (n = 0; n < 3 && (c = peek(ps)) >= '0' && c <= '7'; n++) {
            v = v * 8 + c - '0';
            advance(ps);
        }
    } else if (c == 'x') {
        advance(ps);
        for (n = 0; n < 2 && hex_digit(peek(ps)) >= 0; n++) {
            v = v * 16 + hex_digit(peek(ps));
            advance(ps);
        }
        if (!n) {
            complain(ps, EINVAL, "\\x needs hexadecimal digits");
            return -1;
        }
    } else {
        at = strchr(from, c);
        v = at ? to[at - from] : c;
        advance(ps);
    }
    if (v <= 0 || v > 255) {
        complain(ps, EINVAL, "the escape stands for no character that a string can hold");
        return -1;
    }
    return v;
}

static char *parse_quoted(struct parser *ps)
{
    char quote = *ps->p;
    /* Escapes only shrink, so what is left of the text is room enough; trimmed at the end. */
    size_t n = 0, room = 64;
    char *s = malloc(room), *bigger;

    advance(ps);
    while (s) {
        int c = peek(ps);

        if (c < 0 || c == '\n') {
            complain(ps, EINVAL, "the string is not closed: %c is missing", quote);
            break;
        }
        if (c == '\0') {
            complain(ps, EINVAL, "a NUL byte in a string");
            break;
        }
        advance(ps);
        if (c == quote) {
            s[n] = '\0';
            return s;
        }
        if (c == '\\' && (c = parse_escape(ps)) < 0) {
            break;
        }
        s[n++] = (char)c;
        if (n == room) {
            bigger = realloc(s, room *= 2);
            if (!bigger) {
                no_memory(ps);
                break;
            }
            s = bigger;
        }
    }
    if (!s) {
        no_memory(ps);
    }
    free(s);
    return NULL;
}

/* A number is kept as text; its form is checked here so that the error has its column. */
static char *parse_number(struct parser *ps)
{
    const char *start = ps->p;
    char *text, *end;

    while (ps->p < ps->end && (isalnum((unsigned char)*ps->p) || *ps->p == '-' || *ps->p == '_')) {
        ps->p++;
    }
    text = strndup(start, (size_t)(ps->p - start));
    if (!text) {
        no_memory(ps);
        return NULL;
    }
    errno = 0;
    (void)strtol(text, &end, 0);
    if (*end || end == text) {
        ps->p = start;
        complain(ps, EINVAL, "'%s' is neither a number nor a quoted string", text);
        free(text);
        return NULL;
    }
    return text;
}

static XLU_ConfigValue *parse_value(struct parser *ps);

static int list_add(XLU_ConfigList *list, XLU_ConfigValue *item)
{
    if (list->nr == list->room) {
        int room = list->room ? list->room * 2 : 4;
        XLU_ConfigValue **bigger = realloc(list->item, (size_t)room * sizeof(*bigger));

        if (!bigger) {
            return -1;
        }
        list->item = bigger;
        list->room = room;
    }
    list->item[list->nr++] = item;
    return 0;
}

static int parse_list(struct parser *ps, XLU_ConfigList *list)
{
    int open_line = ps->line;
    char buf[8];

    if (++ps->depth > MAX_DEPTH) {
        return complain(ps, EINVAL, "lists are nested deeper than %d", MAX_DEPTH);
    }
    advance(ps);
    for (;;) {
        XLU_ConfigValue *item;

        skip_space(ps, true);
        if (peek(ps) == ']') {
            break;
        }
        if (peek(ps) < 0) {
            return complain(ps, EINVAL, "the list opened on line %d is not closed: ] is missing", open_line);
        }
        item = parse_value(ps);
        if (!item) {
            return ps->err;
        }
        if (list_add(list, item)) {
            xlu__value_free(item);
            return no_memory(ps);
        }
        skip_space(ps, true);
        if (peek(ps) == ',') {
            advance(ps);
        } else if (peek(ps) >= 0 && peek(ps) != ']') {
            return complain(ps, EINVAL, "',' or ']' expected in the list opened on line %d, not %s", open_line,
                            show(peek(ps), buf));
        }
    }
    advance(ps);
    ps->depth--;
    return 0;
}

static XLU_ConfigValue *parse_value(struct parser *ps)
{
    XLU_ConfigValue *v = calloc(1, sizeof(*v));
    int c = peek(ps);
    char buf[8];

    if (!v) {
        no_memory(ps);
        return NULL;
    }
    v->line = ps->line;
    v->column = (int)(ps->p - ps->line_start) + 1;
    if (c == '[') {
        v->type = XLU_LIST;
        parse_list(ps, &v->u.list);
    } else {
        v->type = XLU_STRING;
        if (c == '"' || c == '\'') {
            v->u.string = parse_quoted(ps);
        } else if (c == '-' || isalnum(c < 0 ? 0 : c)) {
            v->u.string = parse_number(ps);
        } else {
            complain(ps, EINVAL, "a value (\"text\", number or [list]) is expected, not %s", show(c, buf));
        }
    }
    if (ps->err) {
        xlu__value_free(v);
        return NULL;
    }
    return v;
}

/* key += value: lists grow, strings are joined. Takes over what it needs of extra. */
static int append_value(struct parser *ps, XLU_ConfigValue *v, XLU_ConfigValue *extra, const char *name)
{
    char *joined;

    if (v->type != extra->type) {
        return complain(ps, EINVAL, "%s is a %s, so += needs one too", name,
                        v->type == XLU_LIST ? "list" : "string");
    }
    if (v->type == XLU_STRING) {
        joined = malloc(strlen(v->u.string) + strlen(extra->u.string) + 1);
        if (!joined) {
            return no_memory(ps);
        }
        strcpy(joined, v->u.string);
        strcat(joined, extra->u.string);
        free(v->u.string);
        v->u.string = joined;
        return 0;
    }
    for (int i = 0; i < extra->u.list.nr; i++) {
        if (list_add(&v->u.list, extra->u.list.item[i])) {
            return no_memory(ps);
        }
        extra->u.list.item[i] = NULL;
    }
    return 0;
}

/* Takes over value. */
static int store_setting(struct parser *ps, char *name, XLU_ConfigValue *value, bool add)
{
    struct xlu_setting *s = xlu__find(ps->cfg, name);
    char *where = NULL;
    int rc;

    if (asprintf(&where, "%s:%d", ps->label, value->line) < 0) {
        where = NULL;
    }
    if (!s) {
        s = calloc(1, sizeof(*s));
        if (!s || !where || !(s->name = strdup(name))) {
            free(s);
            free(where);
            xlu__value_free(value);
            return no_memory(ps);
        }
        *ps->cfg->tail = s;
        ps->cfg->tail = &s->next;
    } else if (!where) {
        xlu__value_free(value);
        return no_memory(ps);
    }
    free(s->where);
    s->where = where;
    if (s->value && add) {
        rc = append_value(ps, s->value, value, name);
        xlu__value_free(value);
        return rc;
    }
    xlu__value_free(s->value);
    s->value = value;
    return 0;
}

static char *parse_key(struct parser *ps)
{
    const char *start = ps->p;
    char buf[8], *name;

    while (ps->p < ps->end && (islower((unsigned char)*ps->p) || (ps->p > start &&
           (isdigit((unsigned char)*ps->p) || *ps->p == '_' || *ps->p == '.')))) {
        ps->p++;
    }
    if (ps->p == start) {
        complain(ps, EINVAL, "a key (lower-case letters, digits, '_' and '.') is expected, not %s",
                 show(peek(ps), buf));
        return NULL;
    }
    name = strndup(start, (size_t)(ps->p - start));
    if (!name) {
        no_memory(ps);
    }
    return name;
}

static int parse_setting(struct parser *ps)
{
    XLU_ConfigValue *value = NULL;
    char *name = parse_key(ps), buf[8];
    bool add = false;

    if (!name) {
        return ps->err;
    }
    skip_space(ps, false);
    if (peek(ps) == '+') {
        advance(ps);
        add = true;
    }
    if (peek(ps) != '=') {
        complain(ps, EINVAL, "'=' is expected after %s, not %s", name, show(peek(ps), buf));
    } else {
        advance(ps);
        skip_space(ps, false);
        value = parse_value(ps);
    }
    if (value) {
        store_setting(ps, name, value, add);
    }
    if (!ps->err) {
        skip_space(ps, false);
        if (peek(ps) == ';' || peek(ps) == '\n') {
            advance(ps);
        } else if (peek(ps) >= 0) {
            complain(ps, EINVAL, "end of line or ';' is expected after the value of %s, not %s", name,
                     show(peek(ps), buf));
        }
    }
    free(name);
    return ps->err;
}

int xlu__parse(XLU_Config *cfg, const char *label, const char *text, size_t len)
{
    struct parser ps = { .cfg = cfg, .label = label, .p = text, .end = text + len, .line_start = text, .line = 1 };

    for (;;) {
        skip_space(&ps, true);
        if (peek(&ps) == ';') {
            advance(&ps);
        } else if (peek(&ps) < 0) {
            return 0;
        } else if (parse_setting(&ps)) {
            return ps.err;
        }
    }
}
