/* SPDX-License-Identifier: MIT */
/* The two-operand arithmetic, by operand size: result and lazy flags. For exec_*.c. */
#ifndef KR_SOFT_ALU_H
#define KR_SOFT_ALU_H

#include "hypervisor/engine/soft/exec.h"

#define SOFT_ALU(b) \
SOFT_INLINE uint##b##_t alu_add##b(struct soft_vcpu *v, uint##b##_t x, uint##b##_t y) \
{ uint##b##_t r = x + y; soft_set_cc(v, CC_OP(CC_ADD, b), sx##b(r), y); return r; } \
SOFT_INLINE uint##b##_t alu_sub##b(struct soft_vcpu *v, uint##b##_t x, uint##b##_t y) \
{ uint##b##_t r = x - y; soft_set_cc(v, CC_OP(CC_SUB, b), sx##b(r), y); return r; } \
SOFT_INLINE uint##b##_t alu_adc##b(struct soft_vcpu *v, uint##b##_t x, uint##b##_t y) \
{ bool c = soft_cf(v); uint##b##_t r = x + y + c; \
  soft_set_cc(v, c ? CC_OP(CC_ADC, b) : CC_OP(CC_ADD, b), sx##b(r), y); return r; } \
SOFT_INLINE uint##b##_t alu_sbb##b(struct soft_vcpu *v, uint##b##_t x, uint##b##_t y) \
{ bool c = soft_cf(v); uint##b##_t r = x - y - c; \
  soft_set_cc(v, c ? CC_OP(CC_SBB, b) : CC_OP(CC_SUB, b), sx##b(r), y); return r; } \
SOFT_INLINE uint##b##_t alu_and##b(struct soft_vcpu *v, uint##b##_t x, uint##b##_t y) \
{ uint##b##_t r = x & y; soft_set_cc(v, CC_OP(CC_LOGIC, b), sx##b(r), 0); return r; } \
SOFT_INLINE uint##b##_t alu_or##b(struct soft_vcpu *v, uint##b##_t x, uint##b##_t y) \
{ uint##b##_t r = x | y; soft_set_cc(v, CC_OP(CC_LOGIC, b), sx##b(r), 0); return r; } \
SOFT_INLINE uint##b##_t alu_xor##b(struct soft_vcpu *v, uint##b##_t x, uint##b##_t y) \
{ uint##b##_t r = x ^ y; soft_set_cc(v, CC_OP(CC_LOGIC, b), sx##b(r), 0); return r; } \
SOFT_INLINE uint##b##_t alu_inc##b(struct soft_vcpu *v, uint##b##_t x) \
{ uint##b##_t r = x + 1; soft_set_cc_keep_cf(v, CC_OP(CC_INC, b), sx##b(r)); return r; } \
SOFT_INLINE uint##b##_t alu_dec##b(struct soft_vcpu *v, uint##b##_t x) \
{ uint##b##_t r = x - 1; soft_set_cc_keep_cf(v, CC_OP(CC_DEC, b), sx##b(r)); return r; } \
SOFT_INLINE uint##b##_t alu_neg##b(struct soft_vcpu *v, \
                                   uint##b##_t x) { return alu_sub##b(v, 0, x); } \
SOFT_INLINE uint##b##_t alu_not##b(struct soft_vcpu *v, uint##b##_t x) { (void)v; return ~x; }
SOFT_ALU(8)
SOFT_ALU(16)
SOFT_ALU(32)
SOFT_ALU(64)
#undef SOFT_ALU

#endif
