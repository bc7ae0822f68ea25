/* SPDX-License-Identifier: MIT */
#include "libxenctrl/guest/decompress.h"

#include <bzlib.h>
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

/* Linux packs with dictionaries of at most 128 MiB (zstd -22 --ultra, window log 27). */
#define DC_MEMLIMIT   (160ull << 20)
#define DC_WINDOW_LOG 27

/* lz4's legacy frame: blocks of at most 8 MiB unpacked, after a magic, each after its size. */
#define LZ4_LEGACY_MAGIC 0x184c2102u
#define LZ4_LEGACY_BLOCK (8u << 20)

#define GROW_MIN (1u << 20)

/* Output that grows by doubling up to a limit. */
struct sink {
    uint8_t *buf;
    size_t len;
    size_t cap;
    size_t limit;
};

static int32_t le32(const uint8_t *p)
{
    return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                     (uint32_t)p[3] << 24);
}

/* Makes room for at least one more byte (want: a wish). EFBIG at the limit. */
static int sink_grow(struct sink *s, size_t want)
{
    size_t cap = s->cap ? s->cap * 2 : GROW_MIN;
    uint8_t *buf;

    if (s->cap - s->len >= want && s->cap > s->len) {
        return 0;
    }
    if (cap - s->len < want) {
        cap = s->len + want;
    }
    if (cap > s->limit) {
        cap = s->limit;
    }
    if (cap <= s->len) {
        errno = EFBIG;
        return -1;
    }
    buf = realloc(s->buf, cap);
    if (!buf) {
        errno = ENOMEM;
        return -1;
    }
    s->buf = buf;
    s->cap = cap;
    return 0;
}

/*
 * At the limit a stream may still be about to end without another byte: let it try with one byte
 * of scratch, and call it too big only when that is used.
 */
struct room {
    uint8_t *p;
    size_t n;
    uint8_t scratch;
};

static int sink_room(struct sink *s, struct room *r)
{
    if (s->len == s->limit && s->limit) {
        r->p = &r->scratch;
        r->n = 1;
        return 0;
    }
    if (sink_grow(s, 1)) {
        return -1;
    }
    r->p = s->buf + s->len;
    r->n = s->cap - s->len;
    return 0;
}

static int sink_took(struct sink *s, const struct room *r, size_t n)
{
    if (n && r->p == &r->scratch) {
        errno = EFBIG;
        return -1;
    }
    s->len += n;
    return 0;
}

/* Sizes of the libraries' avail fields, so that more than 4 GiB is fed in pieces. */
static unsigned clamp_uint(size_t n)
{
    return n > 1u << 30 ? 1u << 30 : (unsigned)n;
}

static int unpack_gzip(const uint8_t *in, size_t in_len, struct sink *s)
{
    z_stream z;
    int rc = Z_OK, ret = -1;

    memset(&z, 0, sizeof(z));
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {
        errno = ENOMEM;
        return -1;
    }
    while (rc != Z_STREAM_END) {
        struct room r;
        unsigned fed = clamp_uint(in_len), given;

        if (sink_room(s, &r)) {
            goto out;
        }
        given = clamp_uint(r.n);
        z.next_in = (Bytef *)(uintptr_t)in;
        z.avail_in = fed;
        z.next_out = r.p;
        z.avail_out = given;
        rc = inflate(&z, Z_NO_FLUSH);
        in += fed - z.avail_in;
        in_len -= fed - z.avail_in;
        if (sink_took(s, &r, given - z.avail_out)) {
            goto out;
        }
        if (rc != Z_OK && rc != Z_STREAM_END) {
            errno = rc == Z_MEM_ERROR ? ENOMEM : EINVAL;
            goto out;
        }
    }
    ret = 0;
 out:
    inflateEnd(&z);
    return ret;
}

static int unpack_bzip2(const uint8_t *in, size_t in_len, struct sink *s)
{
    bz_stream z;
    int rc = BZ_OK, ret = -1;

    memset(&z, 0, sizeof(z));
    if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK) {
        errno = ENOMEM;
        return -1;
    }
    while (rc != BZ_STREAM_END) {
        struct room r;
        unsigned fed = clamp_uint(in_len), given;

        if (sink_room(s, &r)) {
            goto out;
        }
        given = clamp_uint(r.n);
        z.next_in = (char *)(uintptr_t)in;
        z.avail_in = fed;
        z.next_out = (char *)r.p;
        z.avail_out = given;
        rc = BZ2_bzDecompress(&z);
        in += fed - z.avail_in;
        in_len -= fed - z.avail_in;
        if (sink_took(s, &r, given - z.avail_out)) {
            goto out;
        }
        if (rc != BZ_OK && rc != BZ_STREAM_END) {
            errno = rc == BZ_MEM_ERROR ? ENOMEM : EINVAL;
            goto out;
        }
        /* Unlike zlib, bzip2 reports no error when it wants input that is not there. */
        if (rc == BZ_OK && !in_len && z.avail_out == given && fed == z.avail_in) {
            errno = EINVAL;
            goto out;
        }
    }
    ret = 0;
 out:
    BZ2_bzDecompressEnd(&z);
    return ret;
}

static int unpack_lzma(const uint8_t *in, size_t in_len, struct sink *s, enum dc_format format)
{
    lzma_stream z = LZMA_STREAM_INIT;
    lzma_ret rc;
    int ret = -1;

    rc = format == DC_XZ ? lzma_stream_decoder(&z, DC_MEMLIMIT, 0)
                         : lzma_alone_decoder(&z, DC_MEMLIMIT);
    if (rc != LZMA_OK) {
        errno = ENOMEM;
        return -1;
    }
    z.next_in = in;
    z.avail_in = in_len;
    while (rc != LZMA_STREAM_END) {
        struct room r;

        if (sink_room(s, &r)) {
            goto out;
        }
        z.next_out = r.p;
        z.avail_out = r.n;
        rc = lzma_code(&z, LZMA_RUN);
        if (sink_took(s, &r, r.n - z.avail_out)) {
            goto out;
        }
        if (rc != LZMA_OK && rc != LZMA_STREAM_END) {
            errno = rc == LZMA_MEM_ERROR || rc == LZMA_MEMLIMIT_ERROR ? ENOMEM : EINVAL;
            goto out;
        }
    }
    ret = 0;
 out:
    lzma_end(&z);
    return ret;
}

static int unpack_zstd(const uint8_t *in, size_t in_len, struct sink *s)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer src = { in, in_len, 0 };
    size_t rc;
    int ret = -1;

    if (!z) {
        errno = ENOMEM;
        return -1;
    }
    ZSTD_initDStream(z);
    ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, DC_WINDOW_LOG);
    do {
        size_t before = src.pos;
        struct room r;
        ZSTD_outBuffer dst;

        if (sink_room(s, &r)) {
            goto out;
        }
        dst = (ZSTD_outBuffer){ r.p, r.n, 0 };
        rc = ZSTD_decompressStream(z, &dst, &src);
        if (sink_took(s, &r, dst.pos)) {
            goto out;
        }
        if (ZSTD_isError(rc) || (rc && src.pos == before && !dst.pos)) {
            errno = EINVAL;
            goto out;
        }
    } while (rc);
    ret = 0;
 out:
    ZSTD_freeDStream(z);
    return ret;
}

static int unpack_lz4(const uint8_t *in, size_t in_len, struct sink *s)
{
    size_t at = 4;

    while (in_len - at >= 4) {
        uint32_t packed = (uint32_t)le32(in + at);
        size_t room;
        int n;

        at += 4;
        if (packed == LZ4_LEGACY_MAGIC) {
            continue;
        }
        if (at == in_len && s->len) {
            /* Not a block but the unpacked size that Linux appends. */
            return 0;
        }
        if (!packed || packed > in_len - at ||
            packed > (uint32_t)LZ4_compressBound(LZ4_LEGACY_BLOCK)) {
            errno = EINVAL;
            return -1;
        }
        room = s->limit - s->len < LZ4_LEGACY_BLOCK ? s->limit - s->len : LZ4_LEGACY_BLOCK;
        if (!room) {
            errno = EFBIG;
            return -1;
        }
        if (sink_grow(s, room)) {
            return -1;
        }
        n = LZ4_decompress_safe((const char *)in + at, (char *)s->buf + s->len, (int)packed,
                                (int)room);
        if (n < 0) {
            errno = room < LZ4_LEGACY_BLOCK ? EFBIG : EINVAL;
            return -1;
        }
        s->len += n;
        at += packed;
    }
    if (at != in_len || !s->len) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

/* Leading bytes of each format; .lzma has its usual properties byte and a dictionary of 2^n. */
static const struct {
    enum dc_format format;
    const char *name;
    uint8_t len;
    uint8_t magic[6];
} formats[] = {
    { DC_GZIP,  "gzip",  3, { 0x1f, 0x8b, 0x08 } },
    { DC_BZIP2, "bzip2", 3, { 'B', 'Z', 'h' } },
    { DC_XZ,    "xz",    6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
    { DC_LZO,   "lzo",   4, { 0x89, 'L', 'Z', 'O' } },
    { DC_LZ4,   "lz4",   4, { 0x02, 0x21, 0x4c, 0x18 } },
    { DC_ZSTD,  "zstd",  4, { 0x28, 0xb5, 0x2f, 0xfd } },
    { DC_LZMA,  "lzma",  3, { 0x5d, 0x00, 0x00 } },
};

enum dc_format dc_detect(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (len >= formats[i].len && !memcmp(data, formats[i].magic, formats[i].len)) {
            return formats[i].format;
        }
    }
    return DC_NONE;
}

const char *dc_name(enum dc_format format)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (formats[i].format == format) {
            return formats[i].name;
        }
    }
    return "unknown";
}

static int unpack(enum dc_format format, const uint8_t *in, size_t in_len, struct sink *s)
{
    switch (format) {
    case DC_GZIP:
        return unpack_gzip(in, in_len, s);
    case DC_BZIP2:
        return unpack_bzip2(in, in_len, s);
    case DC_LZMA:
    case DC_XZ:
        return unpack_lzma(in, in_len, s, format);
    case DC_LZ4:
        return unpack_lz4(in, in_len, s);
    case DC_ZSTD:
        return unpack_zstd(in, in_len, s);
    case DC_LZO:
    case DC_NONE:
        break;
    }
    errno = ENOTSUP;
    return -1;
}

int dc_unpack(enum dc_format format, const uint8_t *in, size_t in_len, size_t limit,
              uint8_t **out, size_t *out_len, const char **why)
{
    struct sink s = { .limit = limit };
    int saved, rc;

    *out = NULL;
    *out_len = 0;
    if (format != dc_detect(in, in_len) || format == DC_NONE) {
        *why = "is in no known compression format";
        errno = ENOTSUP;
        return -1;
    }
    rc = unpack(format, in, in_len, &s);
    if (!rc && s.len) {
        *out = s.buf;
        *out_len = s.len;
        return 0;
    }
    saved = rc ? errno : EINVAL;
    *why = saved == EFBIG   ? "unpacks to more than is allowed"
         : saved == ENOMEM  ? "needs more memory to unpack than there is"
         : saved == ENOTSUP ? "is in a compression format that is not supported"
                            : "is damaged or truncated";
    free(s.buf);
    errno = saved;
    return -1;
}
