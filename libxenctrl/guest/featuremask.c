/* SPDX-License-Identifier: MIT */
/*
 * What Xen 4.17 says of CPU features without asking a host: which it knows and lets which kind of
 * guest have, and which features go when one goes. Words as in xen/arch-x86/cpufeatureset.h.
 */
#include "libxenctrl/guest/cpu_policy.h"
#include "libxenctrl/guest/incidental.h"

static const uint32_t masks[][POLICY_FEATURE_WORDS] = {
    [XC_FEATUREMASK_KNOWN] = {
        0xbfebfbff, 0xfffef3ff, 0xee500800, 0x2469bfff, 0x0000000f, 0xffbfffff,
        0x3a405fdf, 0x00000780, 0x779fd205, 0xfc91ef1c, 0x00001c30, 0xf8000164,
        0x00000001, 0x00000037, 0x00000000, 0x00040000, 0x1fbeffff, 0x40000000,
        0x00000006,
    },
    [XC_FEATUREMASK_SPECIAL] = {
        0x10000200, 0xc8200000, 0x00000000, 0x00000002, 0x00000000, 0x01002850,
        0x00000010, 0x00000000, 0x02000000, 0x20000c00, 0x00000000, 0x40000020,
        0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x100a0004, 0x40000000,
        0x00000000,
    },
    [XC_FEATUREMASK_PV_MAX] = {
        0x1fc9cbf5, 0xf6d83203, 0xea500800, 0x042109e3, 0x00000007, 0xfdaf0b39,
        0x1a405f43, 0x00000100, 0x64001005, 0xac01451c, 0x00001c30, 0x78000064,
        0x00000000, 0x00000021, 0x00000000, 0x00000000, 0x1d12e173, 0x40000000,
        0x00000006,
    },
    [XC_FEATUREMASK_PV_DEF] = {
        0x1fc9cbf5, 0xf6d83203, 0xea500800, 0x042109e3, 0x00000007, 0xfdaf0b29,
        0x02405f43, 0x00000000, 0x64001005, 0xac00441c, 0x00001c30, 0x78000064,
        0x00000000, 0x00000021, 0x00000000, 0x00000000, 0x1d12e173, 0x40000000,
        0x00000006,
    },
    [XC_FEATUREMASK_HVM_SHADOW_MAX] = {
        0x1fcbfbff, 0xf7f83203, 0xea500800, 0x042109f3, 0x0000000f, 0xfdbf4bbb,
        0x1a405f47, 0x00000100, 0x751fd005, 0xbc01451c, 0x00001c30, 0x78000064,
        0x00000000, 0x00000037, 0x00000000, 0x00000000, 0x1d12e173, 0x40000000,
        0x00000006,
    },
    [XC_FEATUREMASK_HVM_SHADOW_DEF] = {
        0x1fcbfbff, 0xf7f83203, 0xea500800, 0x042109f3, 0x0000000f, 0xfdbf0bab,
        0x02405f47, 0x00000000, 0x751fd005, 0xbc00441c, 0x00001c30, 0x78000064,
        0x00000000, 0x00000037, 0x00000000, 0x00000000, 0x1d12e173, 0x40000000,
        0x00000006,
    },
    [XC_FEATUREMASK_HVM_HAP_MAX] = {
        0x1fcbfbff, 0xf7fa3223, 0xee500800, 0x042109f7, 0x0000000f, 0xfdbf4fbb,
        0x1a405f4f, 0x00000100, 0x751fd005, 0xbc01451c, 0x00001c30, 0x78000064,
        0x00000000, 0x00000037, 0x00000000, 0x00000000, 0x1d12e173, 0x40000000,
        0x00000006,
    },
    [XC_FEATUREMASK_HVM_HAP_DEF] = {
        0x1fcbfbff, 0xf7fa3203, 0xee500800, 0x042109f3, 0x0000000f, 0xfdbf0fab,
        0x02405f4f, 0x00000000, 0x751fd005, 0xbc00441c, 0x00001c30, 0x78000064,
        0x00000000, 0x00000037, 0x00000000, 0x00000000, 0x1d12e173, 0x40000000,
        0x00000006,
    },
};

const uint32_t *xc_get_static_cpu_featuremask(enum xc_static_cpu_featuremask mask)
{
    return (size_t)mask < sizeof(masks) / sizeof(masks[0]) ? masks[mask] : NULL;
}

/* Everything that needs the feature, directly or not; most words are 0. */
static const struct {
    unsigned int feature;
    uint32_t words[POLICY_FEATURE_WORDS];
} deep_deps[] = {
    { 0 * 32 + 0, { [0] = 0x00800000, [2] = 0xc0400000, [8] = 0x00000004 } },
    { 0 * 32 + 3, { [0] = 0x00020000 } },
    { 0 * 32 + 4, { [1] = 0x01000000, [2] = 0x08000000, [5] = 0x00000002, [7] = 0x00000100 } },
    { 0 * 32 + 6, { [1] = 0x00022000, [2] = 0x24100000, [3] = 0x00000001, [5] = 0x00100000,
        [6] = 0x00000008, [8] = 0x00100000 } },
    { 0 * 32 + 9, { [1] = 0x01200000, [3] = 0x00000008 } },
    { 0 * 32 + 23, { [2] = 0xc0400000 } },
    { 0 * 32 + 24, { [0] = 0x06000000, [1] = 0x021a2203, [2] = 0x26000000, [3] = 0x000000c1,
        [5] = 0x20000000, [6] = 0x00000708, [8] = 0x00100000 } },
    { 0 * 32 + 25, { [0] = 0x04000000, [1] = 0x021a2203, [2] = 0x24000000, [3] = 0x000000c1,
        [5] = 0x20000000, [6] = 0x00000708, [8] = 0x00100000 } },
    { 0 * 32 + 26, { [1] = 0x021a2203, [2] = 0x24000000, [3] = 0x00000041, [5] = 0x20000000,
        [6] = 0x00000708, [8] = 0x00100000 } },
    { 1 * 32 + 0, { [1] = 0x00180200, [3] = 0x00000040 } },
    { 1 * 32 + 1, { [6] = 0x00000400 } },
    { 1 * 32 + 9, { [1] = 0x00180000 } },
    { 1 * 32 + 19, { [1] = 0x00100000 } },
    { 1 * 32 + 25, { [6] = 0x00000200 } },
    { 1 * 32 + 26, { [1] = 0x30001000, [3] = 0x00018800, [4] = 0x0000000f, [5] = 0xdc234020,
        [6] = 0x00005e4a, [9] = 0x0080010c, [10] = 0x00000030 } },
    { 1 * 32 + 28, { [1] = 0x20001000, [3] = 0x00010800, [5] = 0xdc230020, [6] = 0x00005e42,
        [9] = 0x0080010c, [10] = 0x00000030 } },
    { 2 * 32 + 20, { [5] = 0x00100000 } },
    { 2 * 32 + 29, { [1] = 0x00022000, [2] = 0x04000000, [3] = 0x00000001, [6] = 0x00000008,
        [8] = 0x00100000 } },
    { 2 * 32 + 31, { [2] = 0x40000000 } },
    { 5 * 32 + 5, { [5] = 0xdc230000, [6] = 0x00005e42, [9] = 0x0080010c, [10] = 0x00000030 } },
    { 5 * 32 + 11, { [9] = 0x00010000 } },
    { 5 * 32 + 16, { [5] = 0xdc220000, [6] = 0x00005842, [9] = 0x0080010c, [10] = 0x00000020 } },
    { 5 * 32 + 30, { [6] = 0x00001042, [9] = 0x00800000, [10] = 0x00000020 } },
    { 8 * 32 + 12, { [8] = 0x40000000, [11] = 0x18000000 } },
    { 8 * 32 + 14, { [8] = 0x110f8000 } },
    { 8 * 32 + 15, { [8] = 0x00020000 } },
    { 9 * 32 + 26, { [9] = 0x88000000, [13] = 0x00000017, [16] = 0x00080002 } },
    { 9 * 32 + 29, { [16] = 0xffffffff, [17] = 0xffffffff } },
    { 16 * 32 + 1, { [16] = 0x00080000 } },
};

const uint32_t *x86_cpu_policy_lookup_deep_deps(uint32_t feature)
{
    for (size_t i = 0; i < sizeof(deep_deps) / sizeof(deep_deps[0]); i++) {
        if (deep_deps[i].feature == feature) {
            return deep_deps[i].words;
        }
    }
    return NULL;
}
