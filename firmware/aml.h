/* SPDX-License-Identifier: MIT */
/*
 * Emitting AML, ACPI's bytecode (ACPI 6.3, chapter 20), into a growing buffer; also used for the
 * tables around it.
 *
 * Errors stick: after one, every call does nothing, and aml.failed tells at the end.
 *
 * Never: interprets AML, or checks that names and scopes make sense.
 */
#ifndef KR_FIRMWARE_AML_H
#define KR_FIRMWARE_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Set up by zeroing; data is the owner's to free(). */
struct aml {
    uint8_t *data;
    size_t len;
    size_t cap;
    bool failed;
};

void aml_bytes(struct aml *a, const void *bytes, size_t len);
void aml_byte(struct aml *a, uint8_t byte);

/* Little-endian, `bytes` of them. */
void aml_number(struct aml *a, uint64_t value, unsigned int bytes);

/* A name of up to four characters, padded with '_'; with a leading '\\' relative to the root. */
void aml_name(struct aml *a, const char *name);

/* Name(name, <integer>) and Name(name, "text"). */
void aml_name_integer(struct aml *a, const char *name, uint64_t value);
void aml_name_string(struct aml *a, const char *name, const char *text);

/*
 * Scope(name) { ... } and Device(name) { ... }: what is emitted until aml_end() with the returned
 * value lies inside. They nest.
 */
size_t aml_begin_scope(struct aml *a, const char *name);
size_t aml_begin_device(struct aml *a, const char *name);
void aml_end(struct aml *a, size_t begin);

#endif
