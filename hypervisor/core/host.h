/* SPDX-License-Identifier: MIT */
/* Facts about the host, from /proc and /sys; a file that is missing gives the modest answer. */
#ifndef KR_CORE_HOST_H
#define KR_CORE_HOST_H

#include "hypervisor/core/core.h"

void host_read(struct host_info *h);
void host_cpu_topology(uint32_t cpu, uint32_t *core, uint32_t *socket);
/* Time that a CPU was idle since boot. */
uint64_t host_idle_ns(uint32_t cpu);

#endif
