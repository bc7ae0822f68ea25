/* SPDX-License-Identifier: MIT */
/* The stack in all modes, for exec_*.c. Not for other rings' stacks (exception.c). */
#ifndef KR_SOFT_STACK_H
#define KR_SOFT_STACK_H

#include "hypervisor/engine/soft/exec.h"

static inline uint64_t soft_sp_mask(const struct soft_vcpu *v)
{
    return v->mode & SOFT_M_CODE64 ? ~0ull : v->mode & SOFT_M_STACK32 ? 0xffffffff : 0xffff;
}

static inline uint64_t soft_sp(const struct soft_vcpu *v)
{
    return v->gpr[ENGINE_RSP] & soft_sp_mask(v);
}

static inline void soft_set_sp(struct soft_vcpu *v, uint64_t sp)
{
    uint64_t mask = soft_sp_mask(v);

    if (mask == 0xffff)
        v->gpr[ENGINE_RSP] = (v->gpr[ENGINE_RSP] & ~mask) | (sp & mask);
    else
        v->gpr[ENGINE_RSP] = sp & mask;
}

/* Linear address of [off, off + size) in SS; raises #SS. */
static inline uint64_t soft_stack_va(struct soft_vcpu *v, const struct soft_op *op, uint64_t off,
                                     unsigned size, bool write)
{
    return soft_seg_linear(v, op, ENGINE_SS, off & soft_sp_mask(v), size, write);
}

static inline void soft_push(struct soft_vcpu *v, const struct soft_op *op, uint64_t x,
                             unsigned bits)
{
    uint64_t sp = soft_sp(v) - bits / 8;

    soft_st_slow(v, op, soft_stack_va(v, op, sp, bits / 8, true), bits / 8, x);
    soft_set_sp(v, sp);
}

static inline uint64_t soft_peek(struct soft_vcpu *v, const struct soft_op *op, unsigned off,
                                 unsigned bits)
{
    return soft_ld_slow(v, op, soft_stack_va(v, op, soft_sp(v) + off, bits / 8, false), bits / 8);
}

#endif
