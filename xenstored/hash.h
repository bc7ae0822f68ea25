/* SPDX-License-Identifier: MIT */
/*
 * Keyed string hash (SipHash-1-3) for names that guests choose, so that no guest can pick names
 * that fall into one bucket. Never: stable across runs; nothing may store its results.
 */
#ifndef XENSTORED_HASH_H
#define XENSTORED_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Draws the key; call once before the first hash. Falls back to address and time randomness. */
void hash_init(void);

/* round selects an independent function over the same name. */
uint64_t hash_name(const char *name, size_t len, unsigned round);

#endif
