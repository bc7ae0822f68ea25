/* SPDX-License-Identifier: MIT */
/*
 * Memory with the lifetime of a call: an arena that is emptied when the API function returns, or,
 * for an asynchronous operation, when that is over.
 *
 * All allocations are zeroed. Running out of memory ends the process with a message, as in Xen's
 * libxl: most of the interface (init, copy, dispose) has no way to report it.
 */
#ifndef LX_GC_H
#define LX_GC_H

#include <stdarg.h>
#include <stddef.h>

#include <libxl.h>

struct lx_block;

struct lx_gc {
    libxl_ctx *ctx;
    struct lx_block *blocks;
};

/* Declares gc, an arena for the rest of the enclosing block. */
#define LX_GC(ctx_)                                                                         \
    struct lx_gc lx_gc_space_ __attribute__((cleanup(lx_gc_empty))) = { .ctx = (ctx_) };    \
    struct lx_gc *gc __attribute__((unused)) = &lx_gc_space_

/* Frees everything allocated from the arena, which can be used on. */
void lx_gc_empty(struct lx_gc *gc);

/* gc NULL in these: plain memory that the caller (or the program) frees with free(). */
void *lx_alloc(struct lx_gc *gc, size_t size);
void *lx_calloc(struct lx_gc *gc, size_t n, size_t size);
/* p must come from the same gc; NULL is allowed. New bytes are not zeroed. */
void *lx_realloc(struct lx_gc *gc, void *p, size_t size);
/* NULL for NULL. */
char *lx_strdup(struct lx_gc *gc, const char *s);
char *lx_strndup(struct lx_gc *gc, const char *s, size_t n);
char *lx_sprintf(struct lx_gc *gc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *lx_vsprintf(struct lx_gc *gc, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

#define LX_NEW(gc, type) ((type *)lx_alloc((gc), sizeof(type)))
#define LX_ARRAY_NEW(gc, type, n) ((type *)lx_calloc((gc), (n), sizeof(type)))

#endif
