/* SPDX-License-Identifier: MIT */
/*
 * The probe's guest: its memory and start state, shared by the probe and by the test that runs the
 * same guest on the soft engine. Private to engine/kvm otherwise.
 */
#ifndef KR_ENGINE_KVM_PROBE_GUEST_H
#define KR_ENGINE_KVM_PROBE_GUEST_H

#include "hypervisor/engine/kvm/probe.h"

/* Guest-physical layout; one 2 MiB page maps it all, for CPL 0 and 3. */
enum {
    PROBE_GPA_PML4 = 0x1000, PROBE_GPA_PDPT = 0x2000, PROBE_GPA_PD = 0x3000, PROBE_GPA_GDT = 0x4000,
    PROBE_GPA_TSS = 0x4800, PROBE_GPA_CODE = 0x5000, PROBE_GPA_STACK_TOP = 0x8000,
    PROBE_GPA_SIZE = 0x10000,
};
enum { PROBE_PORT_STEP = 0x10, PROBE_PORT_CHUNK = 0x11 };

#define PROBE_GDT_LIMIT 0x2f
#define PROBE_CR0  0x80000033ull       /* PG NE ET MP PE */
#define PROBE_CR4  0x20ull             /* PAE */
#define PROBE_EFER 0x501ull            /* LMA LME SCE */

/* The timed loop: chunks of 2000, 4000 ... iterations of five instructions. */
#define PROBE_FIRST_ITERATIONS    2000
#define PROBE_INSNS_PER_ITERATION 5
#define PROBE_CHUNKS              11

/* Page tables, descriptor table and code into ram (PROBE_GPA_SIZE zero bytes). */
void kvm_probe_fill_memory(uint8_t *ram);

#endif
