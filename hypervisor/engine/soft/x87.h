/* SPDX-License-Identifier: MIT */
/* Between x87.c (instructions) and x87_state.c (state images). */
#ifndef KR_SOFT_X87_H
#define KR_SOFT_X87_H

#include "hypervisor/engine/soft/fp.h"

/* FLDENV/FRSTOR and FNSTENV/FNSAVE (regs) at op's operand in the format of the mode and of the
 * operand size (op->x: 2 or 4 bytes). The state is home. */
void x87_load_env(struct soft_vcpu *v, const struct soft_op *op, bool regs);
void x87_store_env(struct soft_vcpu *v, const struct soft_op *op, bool regs);
/* Rearranges st[] after TOP went from `old` to its present value with the registers in place. */
void x87_retop(struct soft_vcpu *v, unsigned old);

#endif
