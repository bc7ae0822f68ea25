/* SPDX-License-Identifier: MIT */
/*
 * Reading JSON: text to a tree (json_tree.c), tree to libxl's types (json_parse.c).
 *
 * The text is hostile. Nesting is bounded, memory is proportional to the text, nothing recurses on
 * it, and every complaint names the place ("b_info.vcpu_hard_affinity[2]: ...").
 */
#ifndef LX_JSON_H
#define LX_JSON_H

#include "libxl/gc.h"
#include "libxl/types.h"

/* domain_config needs six. */
#define LX_JSON_MAX_DEPTH 32

enum lx_json_kind {
    LX_JSON_NULL,
    LX_JSON_BOOL,
    LX_JSON_INTEGER,
    LX_JSON_REAL, /* or an integer beyond 64 bits: no type of ours takes it */
    LX_JSON_STRING,
    LX_JSON_ARRAY,
    LX_JSON_MAP,
};

struct lx_json {
    enum lx_json_kind kind;
    const char *key;                     /* in a map */
    struct lx_json *parent, *next;       /* next: the following member of parent */
    struct lx_json *first, *last;        /* ARRAY, MAP */
    unsigned count;                      /* of members */
    bool boolean;
    bool negative;                       /* INTEGER: the value is -magnitude */
    uint64_t magnitude;
    const char *string;                  /* no embedded NUL */
};

struct lx_parse {
    struct lx_gc *gc;
    const char *what; /* what is being read, for messages */
};

/* The whole text, which must hold exactly one value. NULL with a line in the log. All in gc. */
struct lx_json *lx_json_read(struct lx_gc *gc, const char *what, const char *text, size_t len);

/* NULL if o is no map or has no such key. */
const struct lx_json *lx_json_get(const struct lx_json *o, const char *key);

/* Logs "what: place: message" and returns ERROR_FAIL. */
int lx_json_complain(struct lx_parse *ps, const struct lx_json *o, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Complains that o is not a wanted. */
int lx_json_expected(struct lx_parse *ps, const struct lx_json *o, const char *wanted);

/* An integer within [min, max]; min <= 0. */
int lx_json_integer(struct lx_parse *ps, const struct lx_json *o, int64_t min, uint64_t max,
                    uint64_t *out);
int lx_json_string(struct lx_parse *ps, const struct lx_json *o, const char **out);

/* "{...}" as one string: the generator's buffer, copied; NULL if it was left incomplete. */
char *lx_json_finish(yajl_gen hand);
yajl_gen_status lx_json_gen_string(yajl_gen hand, const char *s);

#endif
