/* SPDX-License-Identifier: MIT */
/* __HYPERVISOR_vcpu_op: all of it is answered here. */
#ifndef KR_DOMAIN_VCPU_OP_H
#define KR_DOMAIN_VCPU_OP_H

#include "hypervisor/domain/machine.h"

long vcpu_op(struct vcpu *v, uint32_t cmd, uint64_t id, uint64_t arg, bool narrow);

#endif
