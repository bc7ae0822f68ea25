/* SPDX-License-Identifier: MIT */
/*
 * Output that no one has read yet: the last `limit` bytes of it. Never: grows beyond its limit.
 */
#ifndef CONSOLE_BUFFER_H
#define CONSOLE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct buffer {
    char *data;
    size_t start, len;  /* the bytes lie at start .. start + len, wrapping at room */
    size_t room;        /* allocated */
    size_t limit;
    uint64_t lost;      /* bytes dropped so far */
};

/*
 * Appends; when that would pass the limit, the oldest bytes go. If there is no memory for more,
 * what is allocated counts as the limit.
 */
void buffer_add(struct buffer *b, const char *data, size_t len);
/* The oldest bytes, *n of them in one piece; *n is 0 only if there are none. */
const char *buffer_peek(const struct buffer *b, size_t *n);
/* The first n bytes have been read. */
void buffer_drop(struct buffer *b, size_t n);
void buffer_free(struct buffer *b);

#endif
