/* SPDX-License-Identifier: MIT */
/*
 * The domain's cap: how much processor time all its vCPUs together may use, in per cent of one
 * CPU. A bucket that fills with time and that guest code empties; a vCPU that finds it empty waits.
 */
#ifndef KR_DOMAIN_CAP_H
#define KR_DOMAIN_CAP_H

#include "hypervisor/domain/machine.h"

/* Any thread; 0: no limit. */
void cap_set(struct machine *m, uint32_t percent);
/* On the vCPU's thread: when it may run guest code again (host monotonic ns); not after now: it may. */
uint64_t cap_wait_until(struct vcpu *v, uint64_t now);
/* On the vCPU's thread, after it has run: charges what it has used since the last time. */
void cap_charge(struct vcpu *v);

#endif
