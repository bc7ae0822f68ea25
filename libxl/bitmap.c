/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include <libxl_utils.h>

#include "libxl/gc.h"

void libxl_bitmap_init(libxl_bitmap *map)
{
    memset(map, 0, sizeof(*map));
}

void libxl_bitmap_dispose(libxl_bitmap *map)
{
    if (!map)
        return;
    free(map->map);
    memset(map, 0, sizeof(*map));
}

int libxl_bitmap_alloc(libxl_ctx *ctx, libxl_bitmap *bitmap, int n_bits)
{
    int size = n_bits < 0 ? 0 : n_bits / 8 + (n_bits % 8 != 0);

    if (n_bits < 0)
        return ERROR_INVAL;
    bitmap->map = lx_alloc(NULL, (size_t)size);
    bitmap->size = (uint32_t)size;
    return 0;
}

void libxl_bitmap_copy_alloc(libxl_ctx *ctx, libxl_bitmap *dptr, const libxl_bitmap *sptr)
{
    dptr->map = sptr->size ? lx_alloc(NULL, sptr->size) : NULL;
    dptr->size = sptr->size;
    if (sptr->size)
        memcpy(dptr->map, sptr->map, sptr->size);
}

void libxl_bitmap_copy(libxl_ctx *ctx, libxl_bitmap *dptr, const libxl_bitmap *sptr)
{
    uint32_t n = dptr->size < sptr->size ? dptr->size : sptr->size;

    if (n)
        memcpy(dptr->map, sptr->map, n);
    if (dptr->size > n)
        memset(dptr->map + n, 0, dptr->size - n);
}

int libxl_bitmap_is_full(const libxl_bitmap *bitmap)
{
    for (uint32_t i = 0; i < bitmap->size; i++)
        if (bitmap->map[i] != 0xff)
            return 0;
    return 1;
}

int libxl_bitmap_is_empty(const libxl_bitmap *bitmap)
{
    for (uint32_t i = 0; i < bitmap->size; i++)
        if (bitmap->map[i])
            return 0;
    return 1;
}

int libxl_bitmap_test(const libxl_bitmap *bitmap, int bit)
{
    if (bit < 0 || (uint32_t)bit / 8 >= bitmap->size)
        return 0;
    return (bitmap->map[bit / 8] >> (bit % 8)) & 1;
}

void libxl_bitmap_set(libxl_bitmap *bitmap, int bit)
{
    if (bit >= 0 && (uint32_t)bit / 8 < bitmap->size)
        bitmap->map[bit / 8] |= (uint8_t)(1 << (bit % 8));
}

void libxl_bitmap_reset(libxl_bitmap *bitmap, int bit)
{
    if (bit >= 0 && (uint32_t)bit / 8 < bitmap->size)
        bitmap->map[bit / 8] &= (uint8_t)~(1 << (bit % 8));
}

int libxl_bitmap_count_set(const libxl_bitmap *bitmap)
{
    int n = 0;

    for (uint32_t i = 0; i < bitmap->size; i++)
        n += __builtin_popcount(bitmap->map[i]);
    return n;
}

/* The result may be one of the arguments, whose map is then replaced. */
static int combine(libxl_bitmap *result, const libxl_bitmap *a, const libxl_bitmap *b, bool and)
{
    const libxl_bitmap *large = a->size > b->size ? a : b, *small = large == a ? b : a;
    uint32_t size = and ? small->size : large->size;
    uint8_t *map = size ? lx_alloc(NULL, size) : NULL;

    for (uint32_t i = 0; i < size; i++) {
        uint8_t s = i < small->size ? small->map[i] : 0;

        map[i] = and ? s & large->map[i] : s | large->map[i];
    }
    if (result == a || result == b)
        free(result->map);
    result->map = map;
    result->size = size;
    return 0;
}

int libxl_bitmap_or(libxl_ctx *ctx, libxl_bitmap *or_map, const libxl_bitmap *map1,
                    const libxl_bitmap *map2)
{
    return combine(or_map, map1, map2, false);
}

int libxl_bitmap_and(libxl_ctx *ctx, libxl_bitmap *and_map, const libxl_bitmap *map1,
                     const libxl_bitmap *map2)
{
    return combine(and_map, map1, map2, true);
}

char *libxl_bitmap_to_hex_string(libxl_ctx *ctx, const libxl_bitmap *bitmap)
{
    static const char digits[] = "0123456789abcdef";
    char *s = lx_alloc(NULL, (size_t)bitmap->size * 2 + 3), *p = s;

    *p++ = '0';
    *p++ = 'x';
    for (uint32_t i = bitmap->size; i-- > 0;) {
        *p++ = digits[bitmap->map[i] >> 4];
        *p++ = digits[bitmap->map[i] & 15];
    }
    return s;
}
