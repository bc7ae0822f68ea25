/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without libFuzzer: every seed of its corpus as it is, then a fixed number of
 * random mutations of them, from a fixed random seed so that a failure comes back.
 *
 *   fuzz_NAME [-runs=N] [-seed=N] [FILE...]
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

#define MAX_SEEDS 4096
#define MAX_LEN   65536

static struct { uint8_t *data; size_t len; } seeds[MAX_SEEDS];
static size_t nr_seeds;
static uint64_t rng = 88172645463325252ull;

static uint64_t rnd(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static void load(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *buf;

    if (!f || nr_seeds == MAX_SEEDS) {
        if (f) {
            fclose(f);
        }
        return;
    }
    buf = malloc(MAX_LEN);
    if (buf) {
        seeds[nr_seeds].len = fread(buf, 1, MAX_LEN, f);
        seeds[nr_seeds++].data = buf;
    }
    fclose(f);
}

static void load_corpus(const char *argv0)
{
    const char *name = strstr(argv0, "fuzz_"), *next, *src = getenv("KR_SRCDIR");
    char dir[4096], path[8192];
    struct dirent *e;
    DIR *d;

    while (name && (next = strstr(name + 1, "fuzz_"))) {
        name = next;
    }
    if (!name) {
        return;
    }
    snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", src ? src : ".", name + 5);
    d = opendir(dir);
    while (d && (e = readdir(d))) {
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
            load(path);
        }
    }
    if (d) {
        closedir(d);
    }
}

static size_t mutate(uint8_t *buf, size_t len)
{
    static const uint64_t edge[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
                                     0x80000000, 0xffffffff, UINT64_MAX, 0x8000000000000000ull };
    unsigned rounds = 1 + rnd() % 6;

    while (rounds--) {
        size_t at = len ? rnd() % len : 0, n;

        switch (rnd() % 6) {
        case 0:
            if (len) {
                buf[at] ^= 1u << (rnd() % 8);
            }
            break;
        case 1:
            if (len) {
                buf[at] = (uint8_t)rnd();
            }
            break;
        case 2:
            n = 1u << (rnd() % 4);
            if (at + n <= len) {
                memcpy(buf + at, &edge[rnd() % (sizeof(edge) / sizeof(*edge))], n);
            }
            break;
        case 3:
            len = at;
            break;
        case 4:
            n = rnd() % 16;
            if (len + n < MAX_LEN) {
                memmove(buf + at + n, buf + at, len - at);
                for (size_t i = 0; i < n; i++) {
                    buf[at + i] = (uint8_t)rnd();
                }
                len += n;
            }
            break;
        default:
            if (nr_seeds) {
                size_t s = rnd() % nr_seeds;

                n = seeds[s].len ? rnd() % seeds[s].len : 0;
                if (at + n < MAX_LEN) {
                    memcpy(buf + at, seeds[s].data, n);
                    len = at + n > len ? at + n : len;
                }
            }
            break;
        }
    }
    return len;
}

static void one(const uint8_t *data, size_t len)
{
    /* An exact-size heap copy, so that the sanitizers see reads past the end. */
    uint8_t *copy = malloc(len ? len : 1);

    if (copy) {
        memcpy(copy, data, len);
        LLVMFuzzerTestOneInput(copy, len);
        free(copy);
    }
}

int main(int argc, char **argv)
{
    unsigned long runs = 20000;
    int files = 0;
    uint8_t *buf = malloc(MAX_LEN);

    if (!buf) {
        return 1;
    }
    if (LLVMFuzzerInitialize) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "-runs=", 6)) {
            runs = strtoul(argv[i] + 6, NULL, 0);
        } else if (!strncmp(argv[i], "-seed=", 6)) {
            rng ^= strtoull(argv[i] + 6, NULL, 0) * 0x9e3779b97f4a7c15ull;
        } else {
            load(argv[i]);
            files++;
        }
    }
    if (!files) {
        load_corpus(argv[0]);
    }
    for (size_t i = 0; i < nr_seeds; i++) {
        one(seeds[i].data, seeds[i].len);
    }
    one(buf, 0);
    for (unsigned long i = 0; !files && i < runs; i++) {
        size_t len = 0;

        if (nr_seeds) {
            size_t s = rnd() % nr_seeds;

            len = seeds[s].len;
            memcpy(buf, seeds[s].data, len);
        } else {
            len = rnd() % 512;
            for (size_t k = 0; k < len; k++) {
                buf[k] = (uint8_t)rnd();
            }
        }
        one(buf, mutate(buf, len));
    }
    printf("%zu seeds, %lu mutations: done\n", nr_seeds, files ? 0ul : runs);
    for (size_t i = 0; i < nr_seeds; i++) {
        free(seeds[i].data);
    }
    free(buf);
    return 0;
}
