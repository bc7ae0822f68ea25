/* SPDX-License-Identifier: MIT */
/*
 * The kernel image reader, as the domain builder drives it: unpack, parse, check, load. Memory is
 * bounded by the limits here, so anything that outgrows them is a finding too.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libxenctrl/guest/kernel.h"

#define UNPACK_LIMIT (1u << 20)
#define GUEST_LIMIT  (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(const struct kernel_image *k, const uint8_t *image)
{
    uint64_t size = k->end - k->start;
    uint8_t *mem;

    assert(k->start < k->end);
    assert(k->value[KN_PHYS32_ENTRY] >= k->start && k->value[KN_PHYS32_ENTRY] < k->end);
    if (size > GUEST_LIMIT) {
        return;
    }
    mem = malloc(size);
    if (mem) {
        kernel_load(k, image, mem);
    }
    free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kernel_error err = { "" };
    struct kernel_image k;
    uint8_t *unpacked;
    size_t len;

    if (kernel_unpack(data, size, UNPACK_LIMIT, &unpacked, &len, &err)) {
        assert(err.text[0]);
        return 0;
    }
    assert(!unpacked || len <= UNPACK_LIMIT);
    if (kernel_parse_elf(unpacked ? unpacked : data, unpacked ? len : size, &k, &err) ||
        kernel_check_pvh(&k, &err)) {
        assert(err.text[0]);
    } else {
        load(&k, unpacked ? unpacked : data);
    }
    free(unpacked);
    return 0;
}
