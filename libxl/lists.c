/* SPDX-License-Identifier: MIT */
/* String lists, key-value lists, UUIDs and the other small value types of libxl.h. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uuid/uuid.h>

#include <libxl.h>
#include <libxl_utils.h>

#include "libxl/gc.h"
#include "libxl/log.h"

int libxl_string_list_length(const libxl_string_list *sl)
{
    int n = 0;

    while (*sl && (*sl)[n])
        n++;
    return n;
}

void libxl_string_list_dispose(libxl_string_list *sl)
{
    for (char **e = *sl; e && *e; e++)
        free(*e);
    free(*sl);
    *sl = NULL;
}

void libxl_string_list_copy(libxl_ctx *ctx, libxl_string_list *dst, const libxl_string_list *src)
{
    int n = libxl_string_list_length(src);

    *dst = NULL;
    if (!*src)
        return;
    *dst = lx_calloc(NULL, (size_t)n + 1, sizeof(char *));
    for (int i = 0; i < n; i++)
        (*dst)[i] = lx_strdup(NULL, (*src)[i]);
}

int libxl_key_value_list_length(const libxl_key_value_list *kvl)
{
    int n = 0;

    while (*kvl && (*kvl)[2 * n])
        n++;
    return n;
}

void libxl_key_value_list_dispose(libxl_key_value_list *kvl)
{
    for (char **e = *kvl; e && *e; e += 2) {
        free(e[0]);
        free(e[1]);
    }
    free(*kvl);
    *kvl = NULL;
}

void libxl_key_value_list_copy(libxl_ctx *ctx, libxl_key_value_list *dst,
                               const libxl_key_value_list *src)
{
    int n = libxl_key_value_list_length(src);

    *dst = NULL;
    if (!*src)
        return;
    *dst = lx_calloc(NULL, (size_t)n * 2 + 1, sizeof(char *));
    for (int i = 0; i < 2 * n; i++)
        (*dst)[i] = lx_strdup(NULL, (*src)[i]);
}

void libxl_string_copy(libxl_ctx *ctx, char **dst, char *const *src)
{
    *dst = lx_strdup(NULL, *src);
}

void libxl_mac_copy(libxl_ctx *ctx, libxl_mac *dst, const libxl_mac *src)
{
    memcpy(*dst, *src, sizeof(*dst));
}

void libxl_hwcap_copy(libxl_ctx *ctx, libxl_hwcap *dst, const libxl_hwcap *src)
{
    memcpy(*dst, *src, sizeof(*dst));
}

/* ---- UUIDs */

int libxl_uuid_is_nil(const libxl_uuid *uuid)
{
    return uuid_is_null(uuid->uuid);
}

void libxl_uuid_generate(libxl_uuid *uuid)
{
    uuid_generate(uuid->uuid);
}

int libxl_uuid_from_string(libxl_uuid *uuid, const char *in)
{
    uuid_t u;

    if (uuid_parse(in, u))
        return -1;
    memcpy(uuid->uuid, u, sizeof(u));
    return 0;
}

void libxl_uuid_copy(libxl_ctx *ctx, libxl_uuid *dst, const libxl_uuid *src)
{
    *dst = *src;
}

void libxl_uuid_clear(libxl_uuid *uuid)
{
    memset(uuid, 0, sizeof(*uuid));
}

int libxl_uuid_compare(const libxl_uuid *a, const libxl_uuid *b)
{
    return memcmp(a->uuid, b->uuid, sizeof(a->uuid));
}

const uint8_t *libxl_uuid_bytearray_const(const libxl_uuid *uuid)
{
    return uuid->uuid;
}

uint8_t *libxl_uuid_bytearray(libxl_uuid *uuid)
{
    return uuid->uuid;
}

/* ---- Microsoft's VM generation id: 16 random bytes */

int libxl_ms_vm_genid_generate(libxl_ctx *ctx, libxl_ms_vm_genid *id)
{
    LX_GC(ctx);

    if (getentropy(id->bytes, sizeof(id->bytes))) {
        LX_LOGE(ERROR, "no random bytes to be had");
        return ERROR_FAIL;
    }
    return 0;
}

bool libxl_ms_vm_genid_is_zero(const libxl_ms_vm_genid *id)
{
    static const libxl_ms_vm_genid zero;

    return !memcmp(id, &zero, sizeof(zero));
}

void libxl_ms_vm_genid_copy(libxl_ctx *ctx, libxl_ms_vm_genid *dst, const libxl_ms_vm_genid *src)
{
    *dst = *src;
}
