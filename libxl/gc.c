/* SPDX-License-Identifier: MIT */
#include "libxl/gc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Before each allocation of an arena; doubly linked so that realloc can move one. */
struct lx_block {
    struct lx_block *prev, *next;
    max_align_t data[];
};

static void out_of_memory(size_t size)
{
    fprintf(stderr, "libxl: fatal: out of memory (%zu bytes wanted)\n", size);
    abort();
}

static void link_block(struct lx_gc *gc, struct lx_block *b)
{
    b->prev = NULL;
    b->next = gc->blocks;
    if (b->next)
        b->next->prev = b;
    gc->blocks = b;
}

static struct lx_block *block_of(void *p)
{
    return (struct lx_block *)((char *)p - offsetof(struct lx_block, data));
}

void lx_gc_empty(struct lx_gc *gc)
{
    while (gc->blocks) {
        struct lx_block *b = gc->blocks;

        gc->blocks = b->next;
        free(b);
    }
}

void *lx_alloc(struct lx_gc *gc, size_t size)
{
    size_t header = gc ? sizeof(struct lx_block) : 0;
    char *p;

    if (size > SIZE_MAX - header || !(p = calloc(1, header + (size ? size : 1))))
        out_of_memory(size);
    if (!gc)
        return p;
    link_block(gc, (struct lx_block *)p);
    return p + header;
}

void *lx_calloc(struct lx_gc *gc, size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total))
        out_of_memory(SIZE_MAX);
    return lx_alloc(gc, total);
}

void *lx_realloc(struct lx_gc *gc, void *p, size_t size)
{
    struct lx_block *b;

    if (!p)
        return lx_alloc(gc, size);
    if (!gc) {
        p = realloc(p, size ? size : 1);
        if (!p)
            out_of_memory(size);
        return p;
    }
    b = block_of(p);
    if (b->next)
        b->next->prev = b->prev;
    if (b->prev)
        b->prev->next = b->next;
    else
        gc->blocks = b->next;
    if (size > SIZE_MAX - sizeof(*b) || !(b = realloc(b, sizeof(*b) + size)))
        out_of_memory(size);
    link_block(gc, b);
    return b->data;
}

char *lx_strndup(struct lx_gc *gc, const char *s, size_t n)
{
    char *copy;

    if (!s)
        return NULL;
    n = strnlen(s, n);
    copy = lx_alloc(gc, n + 1);
    memcpy(copy, s, n);
    return copy;
}

char *lx_strdup(struct lx_gc *gc, const char *s)
{
    return s ? lx_strndup(gc, s, strlen(s)) : NULL;
}

char *lx_vsprintf(struct lx_gc *gc, const char *fmt, va_list ap)
{
    va_list again;
    char *s;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        out_of_memory(0);
    s = lx_alloc(gc, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s;
}

char *lx_sprintf(struct lx_gc *gc, const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = lx_vsprintf(gc, fmt, ap);
    va_end(ap);
    return s;
}
