/* SPDX-License-Identifier: MIT */
/*
 * The tree that the parser builds and the getters read. Only for libxl/util.
 */
#ifndef XLU_CFG_I_H
#define XLU_CFG_I_H

#include <stdio.h>

#include "libxlutil.h"

struct XLU_ConfigList {
    int nr, room;
    XLU_ConfigValue **item;
};

struct XLU_ConfigValue {
    enum XLU_ConfigValueType type;
    int line, column;
    union {
        char *string;          /* numbers are kept as they were written */
        XLU_ConfigList list;
    } u;
};

struct xlu_setting {
    struct xlu_setting *next;
    char *name;
    char *where;               /* "NAME:LINE" of the last assignment */
    XLU_ConfigValue *value;
};

struct XLU_Config {
    FILE *report;
    char *filename;
    struct xlu_setting *settings, **tail;
    char *at;                  /* xlu_cfg_at()'s place, or NULL */
};

void xlu__value_free(XLU_ConfigValue *v);
struct xlu_setting *xlu__find(const XLU_Config *cfg, const char *name);
/* Parses text; returns 0 or an errno value after reporting why. */
int xlu__parse(XLU_Config *cfg, const char *label, const char *text, size_t len);
/*
 * Says what is wrong with a device specification: "PLACE: WHAT 'SPEC': message". Returns rc.
 */
int xlu__complain(const XLU_Config *cfg, const char *what, const char *spec, int rc, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

#endif
