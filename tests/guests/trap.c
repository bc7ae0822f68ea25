/* SPDX-License-Identifier: MIT */
#include <stdint.h>

#include "tests/guests/guest.h"

volatile uint64_t trap_resume, trap_vector = TRAP_NONE, trap_error, trap_cr2, trap_count;
void (*trap_hook)(struct trap_frame *f);
void (*upcall_hook)(void);
volatile uint32_t event_count[256];
struct tss tss;

static struct { uint64_t lo, hi; } idt[256] __attribute__((aligned(16)));
extern uint8_t trap_stubs[], gdt_tss[], gdt_ptr[];

#define VECTOR_NMI 2

void trap(struct trap_frame *f);

void set_gate(unsigned vector, unsigned ist, unsigned dpl)
{
    uint64_t at = (uint64_t)trap_stubs + vector * 16;

    idt[vector].lo = (at & 0xffff) | 0x08ull << 16 | (uint64_t)ist << 32 |
                     (0x8eull | dpl << 5) << 40 | (at >> 16 & 0xffff) << 48;
    idt[vector].hi = at >> 32;
}

void traps_load(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) ptr = { sizeof(idt) - 1, (uint64_t)idt };

    asm volatile("lidt %0" : : "m"(ptr));
}

void traps_init(void)
{
    uint64_t at = (uint64_t)&tss, *desc = (uint64_t *)(void *)gdt_tss;

    for (unsigned v = 0; v < 256; v++) {
        set_gate(v, 0, v == 3 ? 3 : 0);
    }
    tss.iomap = sizeof(tss);
    desc[0] = (sizeof(tss) - 1) | (at & 0xffffff) << 16 | 0x89ull << 40 | (at >> 24 & 0xff) << 56;
    desc[1] = at >> 32;
    asm volatile("ltr %w0" : : "r"(0x30));
    traps_load();
}

/* The 2-level scan, as any guest does it. */
void upcall(void)
{
    uint32_t out[4];
    struct vcpu_info *info;
    uint64_t sel;

    cpuid(0x40000004, 0, out);
    info = &shared->vcpu_info[out[1]];
    __atomic_store_n(&info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
    sel = __atomic_exchange_n(&info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    while (sel) {
        unsigned w = (unsigned)__builtin_ctzll(sel);
        uint64_t bits = shared->evtchn_pending[w] & ~shared->evtchn_mask[w];

        sel &= sel - 1;
        while (bits) {
            unsigned b = (unsigned)__builtin_ctzll(bits);

            bits &= bits - 1;
            __atomic_fetch_and(&shared->evtchn_pending[w], ~(1ull << b), __ATOMIC_SEQ_CST);
            if (w * 64 + b < 256) {
                __atomic_add_fetch(&event_count[w * 64 + b], 1, __ATOMIC_SEQ_CST);
            }
        }
    }
}

void events_init(void)
{
    check(!hvm_param_set(HVM_PARAM_CALLBACK_IRQ,
                         (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | UPCALL),
          "callback vector");
}

void trap(struct trap_frame *f)
{
    trap_count++;
    if (trap_hook) {
        trap_hook(f);
    }
    if (f->vector == UPCALL) {
        if (upcall_hook) {
            upcall_hook();
        } else {
            upcall();
        }
        return;
    }
    if (f->vector >= 32 || f->vector == VECTOR_NMI) {
        return;
    }
    trap_vector = f->vector;
    trap_error = f->error;
    asm volatile("movq %%cr2, %0" : "=r"(trap_cr2));
    if (trap_resume) {
        f->rip = trap_resume;
        trap_resume = 0;
        return;
    }
    if (trap_hook) {
        return;
    }
    print("FAIL unexpected trap %lu error %lx rip %lx rsp %lx cr2 %lx\nFAILURE\n", f->vector,
          f->error, f->rip, f->rsp, trap_cr2);
    shutdown(SHUTDOWN_poweroff);
}
