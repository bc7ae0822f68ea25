/* SPDX-License-Identifier: MIT */
#include "hypervisor/domain/describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "hypervisor/domain/control.h"
#include "hypervisor/domain/time.h"
#include "hypervisor/engine/kvm/probe.h"

#define MEASURE_MS      50
#define MAX_SUBLEAVES   64
#define NO_SUBLEAF      0xffffffffu

const struct engine_ops *describe_engine(void)
{
    const char *want = getenv("KRYPTON_ENGINE");

    if (!want || !*want || !strcmp(want, "auto") || !strcmp(want, engine_soft.name)) {
        return &engine_soft;
    }
    if (!strcmp(want, "kvm")) {
        kr_log(KR_ERR, "KRYPTON_ENGINE=kvm: this build has no KVM engine");
    } else {
        kr_log(KR_ERR, "KRYPTON_ENGINE=%s: not an engine (soft, kvm, auto)", want);
    }
    return NULL;
}

static void kvm_verdict(char *text, size_t len)
{
    struct kvm_probe_result r;

    if (kvm_probe(NULL, &r) == KVM_USABLE) {
        snprintf(text, len, "not used: usable (%llu MIPS), but this build has no KVM engine",
                 (unsigned long long)r.mips);
    } else {
        snprintf(text, len, "not used: %s", r.reason);
    }
}

static void add(struct kl_description *d, const struct engine_ops *ops, uint32_t leaf,
                uint32_t subleaf)
{
    struct kl_cpuid_leaf *l = &d->leaf[d->nr];
    uint32_t out[4];

    if (d->nr == KL_MAX_CPUID) {
        return;
    }
    ops->host_cpuid(leaf, subleaf == NO_SUBLEAF ? 0 : subleaf, out);
    *l = (struct kl_cpuid_leaf){ leaf, subleaf, out[0], out[1], out[2], out[3] };
    d->nr++;
}

/* Leaves 4, 0xb and 0x8000001d end at the first subleaf without a type; 7 says how many it has. */
static void add_subleaves(struct kl_description *d, const struct engine_ops *ops, uint32_t leaf)
{
    uint32_t out[4], last = 0;

    switch (leaf) {
    case 7:
        ops->host_cpuid(7, 0, out);
        last = out[0] < 3 ? out[0] : 3;
        break;
    case 0xd:
        last = MAX_SUBLEAVES - 1;
        break;
    case 4: case 0xb: case 0x8000001d:
        do {
            ops->host_cpuid(leaf, last, out);
        } while (((leaf == 0xb ? out[2] >> 8 : out[0]) & 0x1f) && ++last < 8);
        break;
    }
    for (uint32_t s = 0; s <= last; s++) {
        ops->host_cpuid(leaf, s, out);
        if (s < 2 || out[0] || out[1] || out[2] || out[3]) {
            add(d, ops, leaf, s);
        }
    }
}

static void add_range(struct kl_description *d, const struct engine_ops *ops, uint32_t first)
{
    uint32_t out[4];

    ops->host_cpuid(first, 0, out);
    if (out[0] < first || out[0] > first + 0xff) {
        return;
    }
    for (uint32_t leaf = first; leaf <= out[0]; leaf++) {
        switch (leaf) {
        case 4: case 7: case 0xb: case 0xd: case 0x8000001d:
            add_subleaves(d, ops, leaf);
            break;
        default:
            add(d, ops, leaf, NO_SUBLEAF);
        }
    }
}

int describe(int sock)
{
    const struct engine_ops *ops = describe_engine();
    struct kl_description *d = calloc(1, sizeof(*d) + KL_MAX_CPUID * sizeof(d->leaf[0]));
    int rc = 1;

    if (!ops || !d) {
        free(d);
        return 1;
    }
    d->h.op = KL_DESCRIPTION;
    d->version = KL_VERSION;
    snprintf(d->engine, sizeof(d->engine), "%s", ops->name);
    kvm_verdict(d->kvm_verdict, sizeof(d->kvm_verdict));
    d->tsc_khz = time_tsc_khz(MEASURE_MS);
    d->arch_caps = ops->host_arch_caps ? ops->host_arch_caps() : 0;
    add_range(d, ops, 0);
    add_range(d, ops, 0x80000000);
    d->h.len = (uint32_t)(sizeof(*d) + d->nr * sizeof(d->leaf[0]));
    if (control_send(sock, d, d->h.len) == 0) {
        rc = 0;
    }
    free(d);
    return rc;
}
