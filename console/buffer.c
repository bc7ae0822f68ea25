/* SPDX-License-Identifier: MIT */
#include "console/buffer.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 4096

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

const char *buffer_peek(const struct buffer *b, size_t *n)
{
    *n = smaller(b->len, b->room - b->start);
    return b->data + b->start;
}

/* Makes room for `need` bytes in all as far as the limit and memory allow. */
static void grow(struct buffer *b, size_t need)
{
    size_t room = b->room ? b->room : FIRST_ROOM, run;

    while (room < need && room < b->limit)
        room *= 2;
    room = smaller(room, b->limit);
    if (room <= b->room)
        return;
    char *data = malloc(room);
    if (!data)
        return;
    if (b->len) {
        const char *first = buffer_peek(b, &run);
        memcpy(data, first, run);
        memcpy(data + run, b->data, b->len - run);
    }
    free(b->data);
    b->data = data;
    b->room = room;
    b->start = 0;
}

void buffer_add(struct buffer *b, const char *data, size_t len)
{
    if (b->len + len > b->room)
        grow(b, b->len + len);
    if (len > b->room) {
        b->lost += len - b->room;
        data += len - b->room;
        len = b->room;
    }
    if (!len)
        return;
    if (b->len + len > b->room) {
        size_t excess = b->len + len - b->room;
        b->lost += excess;
        buffer_drop(b, excess);
    }
    size_t at = (b->start + b->len) % b->room, run = smaller(len, b->room - at);
    memcpy(b->data + at, data, run);
    memcpy(b->data, data + run, len - run);
    b->len += len;
}

void buffer_drop(struct buffer *b, size_t n)
{
    b->len -= n;
    b->start = b->len ? (b->start + n) % b->room : 0;
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){ .limit = b->limit };
}
