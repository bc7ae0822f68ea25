/* SPDX-License-Identifier: MIT */
/*
 * Domain UUIDs: 16 bytes in the order in which they are written.
 */
#ifndef LIBXL_UUID_H
#define LIBXL_UUID_H

#include <stdint.h>

/* For printf, with LIBXL_UUID_BYTES(uuid) as the 16 arguments. */
#define LIBXL_UUID_FMT \
    "%02hhx%02hhx%02hhx%02hhx-%02hhx%02hhx-%02hhx%02hhx-%02hhx%02hhx-" \
    "%02hhx%02hhx%02hhx%02hhx%02hhx%02hhx"
#define LIBXL_UUID_FMTLEN ((2 * 16) + 4)
#define LIBXL__UUID_BYTES(u)                                                          \
    u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],  \
        u[13], u[14], u[15]
#define LIBXL_UUID_BYTES(arg) LIBXL__UUID_BYTES((arg).uuid)

/* As in libxl.h, so that this header stands alone. */
typedef struct libxl__ctx libxl_ctx;

typedef struct {
    unsigned char uuid[16];
} libxl_uuid;

/* 1 if all bytes are zero, else 0. */
int libxl_uuid_is_nil(const libxl_uuid *uuid);
/* Fills in a random (version 4) UUID. */
void libxl_uuid_generate(libxl_uuid *uuid);
/* Reads the 36-character form, either case. 0, or -1 (uuid untouched). */
int libxl_uuid_from_string(libxl_uuid *uuid, const char *in);
/* ctx may be NULL. */
void libxl_uuid_copy(libxl_ctx *ctx, libxl_uuid *dst, const libxl_uuid *src);
void libxl_uuid_clear(libxl_uuid *uuid);
/* <0, 0 or >0, as memcmp. */
int libxl_uuid_compare(const libxl_uuid *a, const libxl_uuid *b);
/* The 16 bytes themselves, owned by the uuid. */
const uint8_t *libxl_uuid_bytearray_const(const libxl_uuid *uuid);
uint8_t *libxl_uuid_bytearray(libxl_uuid *uuid);

#endif
