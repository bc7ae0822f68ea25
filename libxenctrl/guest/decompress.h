/* SPDX-License-Identifier: MIT */
/*
 * Unpacking of kernel payloads, by the system's compression libraries.
 *
 * Everything in the packed data is hostile: announced sizes are ignored, the output grows as data
 * arrives and never beyond the caller's limit, and decoders get a bounded working memory.
 *
 * Never: reads outside the input, or gives out a partial result.
 */
#ifndef XG_DECOMPRESS_H
#define XG_DECOMPRESS_H

#include <stddef.h>
#include <stdint.h>

enum dc_format {
    DC_NONE,    /* no known magic */
    DC_GZIP,
    DC_BZIP2,
    DC_LZMA,    /* .lzma, the format without a magic of its own */
    DC_XZ,
    DC_LZO,     /* known by name only */
    DC_LZ4,     /* the legacy frame that Linux uses */
    DC_ZSTD,
};

/* By the first bytes. */
enum dc_format dc_detect(const uint8_t *data, size_t len);

/* "gzip" and so on; never NULL. */
const char *dc_name(enum dc_format format);

/*
 * Unpacks the first stream in the input; what follows it is ignored (Linux appends the unpacked
 * size to its payloads). On success *out is malloc()ed and *out_len at most limit. On failure -1
 * with errno EINVAL (bad data), EFBIG (more than limit), ENOTSUP or ENOMEM, and *why, a static
 * text that goes on "the payload ...".
 */
int dc_unpack(enum dc_format format, const uint8_t *in, size_t in_len, size_t limit,
              uint8_t **out, size_t *out_len, const char **why);

#endif
