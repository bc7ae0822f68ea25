/* SPDX-License-Identifier: MIT */
#include "firmware/aml.h"

#include <stdlib.h>
#include <string.h>

/* Opcodes, ACPI 6.3 section 20.3. */
#define OP_ZERO       0x00
#define OP_ONE        0x01
#define OP_NAME       0x08
#define OP_BYTE       0x0a
#define OP_WORD       0x0b
#define OP_DWORD      0x0c
#define OP_STRING     0x0d
#define OP_QWORD      0x0e
#define OP_SCOPE      0x10
#define OP_EXT        0x5b
#define OP_EXT_DEVICE 0x82

/* A package length has 28 bits at most; no buffer of ours comes near. */
#define AML_MAX (16u << 20)

static bool reserve(struct aml *a, size_t more)
{
    size_t cap = a->cap ? a->cap : 1024;
    uint8_t *data;

    if (a->failed || more > AML_MAX - a->len) {
        a->failed = true;
        return false;
    }
    while (cap < a->len + more) {
        cap *= 2;
    }
    if (cap == a->cap) {
        return true;
    }
    data = realloc(a->data, cap);
    if (!data) {
        a->failed = true;
        return false;
    }
    a->data = data;
    a->cap = cap;
    return true;
}

void aml_bytes(struct aml *a, const void *bytes, size_t len)
{
    if (len && reserve(a, len)) {
        memcpy(a->data + a->len, bytes, len);
        a->len += len;
    }
}

void aml_byte(struct aml *a, uint8_t byte)
{
    aml_bytes(a, &byte, 1);
}

void aml_number(struct aml *a, uint64_t value, unsigned int bytes)
{
    for (unsigned int i = 0; i < bytes; i++) {
        aml_byte(a, (uint8_t)(value >> (8 * i)));
    }
}

void aml_name(struct aml *a, const char *name)
{
    char seg[4] = { '_', '_', '_', '_' };
    size_t len;

    if (*name == '\\') {
        aml_byte(a, '\\');
        name++;
    }
    len = strlen(name);
    memcpy(seg, name, len < 4 ? len : 4);
    aml_bytes(a, seg, sizeof(seg));
}

static void integer(struct aml *a, uint64_t value)
{
    if (value <= 1) {
        aml_byte(a, value ? OP_ONE : OP_ZERO);
    } else if (value <= UINT8_MAX) {
        aml_byte(a, OP_BYTE);
        aml_number(a, value, 1);
    } else if (value <= UINT16_MAX) {
        aml_byte(a, OP_WORD);
        aml_number(a, value, 2);
    } else if (value <= UINT32_MAX) {
        aml_byte(a, OP_DWORD);
        aml_number(a, value, 4);
    } else {
        aml_byte(a, OP_QWORD);
        aml_number(a, value, 8);
    }
}

void aml_name_integer(struct aml *a, const char *name, uint64_t value)
{
    aml_byte(a, OP_NAME);
    aml_name(a, name);
    integer(a, value);
}

void aml_name_string(struct aml *a, const char *name, const char *text)
{
    aml_byte(a, OP_NAME);
    aml_name(a, name);
    aml_byte(a, OP_STRING);
    aml_bytes(a, text, strlen(text) + 1);
}

size_t aml_begin_scope(struct aml *a, const char *name)
{
    size_t begin;

    aml_byte(a, OP_SCOPE);
    begin = a->len;
    aml_name(a, name);
    return begin;
}

size_t aml_begin_device(struct aml *a, const char *name)
{
    size_t begin;

    aml_byte(a, OP_EXT);
    aml_byte(a, OP_EXT_DEVICE);
    begin = a->len;
    aml_name(a, name);
    return begin;
}

/*
 * The length of a package includes the length field itself: one byte up to 63, else a byte with
 * the count of further bytes in its top two bits and four bits of the length.
 */
void aml_end(struct aml *a, size_t begin)
{
    uint8_t field[4];
    size_t inside, n = 1, len;

    if (a->failed) {
        return;
    }
    inside = a->len - begin;
    if (inside + 1 > 0x3f) {
        for (n = 2; n < 4 && inside + n >= 1u << (4 + 8 * (n - 1)); n++) {
        }
    }
    len = inside + n;
    if (n == 1) {
        field[0] = (uint8_t)len;
    } else {
        field[0] = (uint8_t)((n - 1) << 6 | (len & 0xf));
        for (size_t i = 1; i < n; i++) {
            field[i] = (uint8_t)(len >> (4 + 8 * (i - 1)));
        }
    }
    if (reserve(a, n)) {
        memmove(a->data + begin + n, a->data + begin, inside);
        memcpy(a->data + begin, field, n);
        a->len += n;
    }
}
