/* SPDX-License-Identifier: MIT */
/*
 * A library for small guests that run on the bare PVH machine, 64-bit, with identity-mapped memory
 * below 4 GiB, no interrupts but events, and a console.
 */
#ifndef KR_TESTS_GUEST_H
#define KR_TESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define __XEN_INTERFACE_VERSION__ 0x00040e00
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>

#define PAGE        4096ull
#define UPCALL      0x30            /* the event upcall's vector */
#define MAX_CPUS    8
#define STACK_SIZE  16384

/* Each guest: true is SUCCESS. */
bool guest_main(const char *cmdline);
/* Guests without further vCPUs leave it out. */
void ap_main(void);

/* The console; "%s %c %d %u %x %lu %ld %lx %p %%", widths and zero padding for numbers. */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prints "ok" or "FAIL" with the text, remembers failures. Returns ok. */
bool check(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
extern unsigned failures;
/* Ends the domain. */
void shutdown(unsigned reason) __attribute__((noreturn));

extern const struct hvm_start_info *start_info;
extern struct shared_info *shared;
extern uint8_t hypercall_page[4096];

/* Hypercalls; the result is 0, a value, or a negative Xen errno. */
long hypercall5(uint64_t op, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
#define HC(op, a1, a2, a3) \
    hypercall5(__HYPERVISOR_##op, (uint64_t)(a1), (uint64_t)(a2), (uint64_t)(a3), 0, 0)
long hvm_param(uint32_t index, uint64_t *value);
long hvm_param_set(uint32_t index, uint64_t value);
/* Maps a Xen page (XENMAPSPACE_*) at a page of ours. */
long map_xen_page(unsigned space, uint64_t index, void *at);

/* Pages from 8 MiB on; zeroed, never given back. */
void *page_alloc(unsigned pages);

/* Traps. A trap that a test expects resumes at `trap_resume` (0: not expected: the guest fails). */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
extern volatile uint64_t trap_resume, trap_vector, trap_error, trap_cr2, trap_count;
extern void (*trap_hook)(struct trap_frame *f);   /* sees every trap first, if set */
void traps_init(void);
void traps_load(void);          /* on a further vCPU */
void set_gate(unsigned vector, unsigned ist, unsigned dpl);
struct tss {
    uint32_t r0;
    uint64_t rsp[3], r1, ist[7], r2;
    uint16_t r3, iomap;
} __attribute__((packed));
extern struct tss tss;

/* Runs one asm statement; the trap that it raises, if any, is in trap_vector (-1:
 * none) afterwards. */
#define TRAP_NONE (~0ull)
#define TRY(...) TRY_(__VA_ARGS__)
#define TRY_(code, ...) \
    do { \
        trap_vector = TRAP_NONE; \
        asm volatile( \
            "movq %%rsp, %%r12\n\tleaq 1f(%%rip), %%rax\n\t" \
            "movq %%rax, trap_resume(%%rip)\n\t" code \
            "\n1:\n\tmovq %%r12, %%rsp\n\tmovq $0, trap_resume(%%rip)" \
            : \
            : __VA_ARGS__ \
            : "rax", "rcx", "rdx", "r12", "memory", "cc"); \
    } while (0)

/* Events (2-level until fifo.c says otherwise): handlers by port, run in the upcall. */
extern void (*upcall_hook)(void);
extern volatile uint32_t event_count[256];
void events_init(void);
void upcall(void);

/* Guest system time in ns, from this vCPU's record. */
uint64_t clock_ns(unsigned vcpu);
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;

    asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}
static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;

    asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t value)
{
    asm volatile("wrmsr"
                 :
                 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                 : "memory");
}
static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    asm volatile("cpuid"
                 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                 : "a"(leaf), "c"(sub));
}
/* The instruction after STI still runs with interrupts held off. */
static inline void irqs_on(void) { asm volatile("sti; nop" : : : "memory"); }
static inline void irqs_off(void) { asm volatile("cli" : : : "memory"); }
static inline void pause(void) { asm volatile("pause" : : : "memory"); }

void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
bool has_word(const char *list, const char *word);

/* A vCPU that begins like this one, at ap_main() on a stack of its own: for VCPUOP_initialise. */
void ap_context(struct vcpu_hvm_context *ctx);

#endif
