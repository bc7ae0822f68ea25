/* SPDX-License-Identifier: MIT */
#include "xenstored/hash.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

static uint64_t hash_key[2];

void hash_init(void)
{
    if (getrandom(hash_key, sizeof(hash_key), GRND_NONBLOCK) == sizeof(hash_key))
        return;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    hash_key[0] = (uint64_t)ts.tv_nsec * 0x9e3779b97f4a7c15ull;
    hash_key[1] = (uintptr_t)&ts ^ ((uint64_t)ts.tv_sec << 32);
}

static inline uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

struct sip {
    uint64_t a, b, c, d;
};

static inline void sip_round(struct sip *v)
{
    v->a += v->b;
    v->b = rotl(v->b, 13) ^ v->a;
    v->a = rotl(v->a, 32);
    v->c += v->d;
    v->d = rotl(v->d, 16) ^ v->c;
    v->a += v->d;
    v->d = rotl(v->d, 21) ^ v->a;
    v->c += v->b;
    v->b = rotl(v->b, 17) ^ v->c;
    v->c = rotl(v->c, 32);
}

uint64_t hash_name(const char *name, size_t len, unsigned round)
{
    uint64_t k0 = hash_key[0] ^ round, k1 = hash_key[1];
    struct sip v = {
        k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull,
        k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull,
    };
    uint64_t last = (uint64_t)len << 56, word;

    for (; len >= 8; name += 8, len -= 8) {
        memcpy(&word, name, 8);
        v.d ^= word;
        sip_round(&v);
        v.a ^= word;
    }
    word = 0;
    memcpy(&word, name, len);
    last |= word;
    v.d ^= last;
    sip_round(&v);
    v.a ^= last;
    v.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&v);
    return v.a ^ v.b ^ v.c ^ v.d;
}
