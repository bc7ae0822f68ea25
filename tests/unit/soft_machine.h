/* SPDX-License-Identifier: MIT */
/*
 * A machine around the soft CPU for its unit tests: some RAM, identity page tables, descriptor
 * tables, and callbacks that record what they are asked.
 */
#ifndef TEST_SOFT_MACHINE_H
#define TEST_SOFT_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hypervisor/engine/engine.h"

#define RAM_SIZE   (16u << 20)
#define GFNS       (RAM_SIZE >> 12)
#define GUARD      (1u << 20)
/* Where things lie in guest-physical memory. */
#define GDT_AT     0x1000u
#define IDT_AT     0x2000u
#define TSS_AT     0x3000u
#define PML4_AT    0x4000u
#define PDPT_AT    0x5000u
#define PD_AT      0x6000u
#define PT_AT      0x7000u     /* the first 2 MiB in 4 KiB pages */
#define STACK_TOP  0x20000u
#define KSTACK_TOP 0x28000u
#define CODE_AT    0x30000u
#define UCODE_AT   0x40000u
#define DATA_AT    0x50000u
#define HANDLER_AT 0x60000u    /* 16 bytes per vector */

#define SEL_CODE64 0x08
#define SEL_DATA   0x10
#define SEL_CODE32 0x18
#define SEL_UDATA  0x20
#define SEL_UCODE64 0x28
#define SEL_TSS    0x30
#define SEL_CODE16 0x40
#define SEL_DATA16 0x48
#define SEL_UCODE32 0x50

struct machine {
    uint8_t *ram;
    uint8_t types[GFNS];
    struct engine *e;
    struct engine_vcpu *v[4];
    struct engine_env env;
    uint64_t last_hypercall, mmio_gpa, mmio_val, port_val;
    unsigned mmio_size;
    uint16_t port;
    unsigned hypercalls;
    enum engine_verdict hypercall_verdict;
};

static void m_cpuid(void *o, unsigned vcpu, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    engine_soft.host_cpuid(leaf, sub, out);
}

static enum engine_verdict m_hypercall(void *o, unsigned vcpu, uint64_t *gpr)
{
    struct machine *m = o;

    m->last_hypercall = gpr[ENGINE_RAX];
    __atomic_add_fetch(&m->hypercalls, 1, __ATOMIC_SEQ_CST);
    gpr[ENGINE_RAX] = 0x1234;
    return m->hypercall_verdict;
}

static enum engine_verdict m_rdmsr(void *o, unsigned vcpu, uint32_t msr, uint64_t *val)
{
    *val = 0xabcd00000000ull | msr;
    return msr == 0x123 ? ENGINE_FAULT_GP : ENGINE_CONTINUE;
}

static enum engine_verdict m_wrmsr(void *o, unsigned vcpu, uint32_t msr, uint64_t val)
{
    return msr == 0x123 ? ENGINE_FAULT_GP : ENGINE_CONTINUE;
}

static enum engine_verdict m_in(void *o, unsigned vcpu, uint16_t port, unsigned size, uint32_t *val)
{
    struct machine *m = o;

    m->port = port;
    *val = 0x5a5a5a5a;
    return ENGINE_CONTINUE;
}

static enum engine_verdict m_out(void *o, unsigned vcpu, uint16_t port, unsigned size, uint32_t val)
{
    struct machine *m = o;

    m->port = port;
    m->port_val = val;
    return ENGINE_CONTINUE;
}

static enum engine_verdict m_mmio_read(void *o, unsigned vcpu, uint64_t gpa, unsigned size,
                                       uint64_t *val)
{
    struct machine *m = o;

    m->mmio_gpa = gpa;
    m->mmio_size = size;
    *val = 0x1122334455667788ull;
    return ENGINE_CONTINUE;
}

static enum engine_verdict m_mmio_write(void *o, unsigned vcpu, uint64_t gpa, unsigned size,
                                        uint64_t val)
{
    struct machine *m = o;

    m->mmio_gpa = gpa;
    m->mmio_size = size;
    m->mmio_val = val;
    return ENGINE_CONTINUE;
}

static uint64_t m_read_cr8(void *o, unsigned vcpu) { return 7; }
static enum engine_verdict m_write_cr8(void *o, unsigned vcpu,
                                       uint64_t val) { return ENGINE_CONTINUE; }

static inline void put64(struct machine *m, uint64_t at, uint64_t x) { memcpy(m->ram + at, &x, 8); }
static inline uint64_t get64(struct machine *m, uint64_t at)
{
    uint64_t x;

    memcpy(&x, m->ram + at, 8);
    return x;
}

static inline void put_code(struct machine *m, uint64_t at, const void *code, size_t len)
{
    memcpy(m->ram + at, code, len);
}
#define CODE(m, at, ...) \
    put_code(m, at, (const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))
#define VMCALL 0x0f, 0x01, 0xc1

/* 16-byte interrupt gate for long mode. */
static inline void put_gate(struct machine *m, unsigned vector, uint64_t off, unsigned ist,
                            unsigned dpl)
{
    put64(m, IDT_AT + vector * 16, (off & 0xffff) | SEL_CODE64 << 16 | (uint64_t)ist << 32 |
          (0x8e00ull | dpl << 13) << 32 | (off >> 16 & 0xffff) << 48);
    put64(m, IDT_AT + vector * 16 + 8, off >> 32);
}

static inline void machine_tables(struct machine *m)
{
    static const uint64_t gdt[] = {
        0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00cf9a000000ffff, 0x00cff2000000ffff,
        0x00affa000000ffff, 0, 0, 0x00009a000000ffff, 0x000092000000ffff, 0x00cffa000000ffff,
    };

    memcpy(m->ram + GDT_AT, gdt, sizeof(gdt));
    put64(m, GDT_AT + SEL_TSS, 0x67 | (uint64_t)(TSS_AT & 0xffffff) << 16 | 0x8900ull << 32);
    put64(m, TSS_AT + 4, KSTACK_TOP);
    put64(m, TSS_AT + 0x24, KSTACK_TOP - 0x1000);
    m->ram[TSS_AT + 102] = 0x68;
    /* Each vector's handler: hypercall with the vector number in RAX's high half, then stop. */
    for (unsigned i = 0; i < 256; i++) {
        uint8_t code[] = { 0xb8, (uint8_t)i, 0xee, 0, 0, VMCALL, 0xf4 };
        put_code(m, HANDLER_AT + i * 16, code, sizeof(code));
        put_gate(m, i, HANDLER_AT + i * 16, 0, 3);
    }
    put64(m, PML4_AT, PDPT_AT | 7);
    put64(m, PDPT_AT, PD_AT | 7);
    put64(m, PD_AT, PT_AT | 7);
    for (unsigned i = 1; i < 8; i++)
        put64(m, PD_AT + i * 8, (uint64_t)i << 21 | 0x87);
    for (unsigned i = 0; i < 512; i++)
        put64(m, PT_AT + i * 8, (uint64_t)i << 12 | 7);
}

static inline struct machine *machine_new(unsigned nr_vcpus)
{
    struct machine *m = calloc(1, sizeof(*m));

    /* With unreadable room on both sides: an access outside RAM shows. */
    m->ram = mmap(NULL, RAM_SIZE + 2 * GUARD, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(m->ram != MAP_FAILED);
    m->ram += GUARD;
    assert_int_equal(mprotect(m->ram, RAM_SIZE, PROT_READ | PROT_WRITE), 0);
    memset(m->types, ENGINE_GFN_RAM, sizeof(m->types));
    m->types[0xf00] = ENGINE_GFN_NONE;      /* MMIO at 15 MiB */
    m->env = (struct engine_env){
        .opaque = m, .nr_vcpus = nr_vcpus, .ram = m->ram, .gpa_limit = RAM_SIZE, .gfn_type =
            m->types,
        .cpuid = m_cpuid, .hypercall = m_hypercall, .rdmsr = m_rdmsr, .wrmsr = m_wrmsr, .pio_in =
            m_in,
        .pio_out = m_out, .mmio_read = m_mmio_read, .mmio_write = m_mmio_write, .read_cr8 =
            m_read_cr8,
        .write_cr8 = m_write_cr8,
    };
    m->hypercall_verdict = ENGINE_STOP;
    m->e = engine_soft.create(&m->env);
    assert_non_null(m->e);
    for (unsigned i = 0; i < nr_vcpus; i++) {
        m->v[i] = engine_soft.vcpu_create(m->e, i);
        assert_non_null(m->v[i]);
    }
    machine_tables(m);
    return m;
}

static inline void machine_free(struct machine *m)
{
    engine_soft.destroy(m->e);
    munmap(m->ram - GUARD, RAM_SIZE + 2 * GUARD);
    free(m);
}

#define SEG(s, a, l) (struct engine_segment){ .sel = (s), .attr = (a), .limit = (l) }

/* 64-bit ring 0 (or 3) at rip, identity mapped, with everything set up. */
static inline struct engine_state state64(uint64_t rip, unsigned cpl)
{
    struct engine_state s = { .rip = rip, .rflags = 2 };
    uint16_t dpl = (uint16_t)(cpl << 5);

    s.gpr[ENGINE_RSP] = STACK_TOP;
    s.seg[ENGINE_CS] = SEG(cpl ? SEL_UCODE64 | 3 : SEL_CODE64, (uint16_t)(0xa9b | dpl), 0xffffffff);
    for (unsigned i = 0; i < ENGINE_NR_SREGS; i++)
        if (i != ENGINE_CS)
            s.seg[i] = SEG(cpl ? SEL_UDATA | 3 : SEL_DATA, (uint16_t)(0xc93 | dpl), 0xffffffff);
    s.tr = SEG(SEL_TSS, 0x8b, 0x2067);
    s.tr.base = TSS_AT;
    s.gdtr = (struct engine_table){ GDT_AT, 0x57 };
    s.idtr = (struct engine_table){ IDT_AT, 0xfff };
    s.cr0 = 0x80010033;
    s.cr3 = PML4_AT;
    s.cr4 = 0x6a0;
    s.efer = 0xd01;
    s.pat = 0x0007040600070406ull;
    s.fx[0] = 0x7f;
    s.fx[1] = 0x03;
    s.fx[24] = 0x80;
    s.fx[25] = 0x1f;
    return s;
}

/* Real mode at seg:0. */
static inline struct engine_state state16(uint16_t seg)
{
    struct engine_state s = state64(0, 0);

    for (unsigned i = 0; i < ENGINE_NR_SREGS; i++)
        s.seg[i] = SEG(0, 0x93, 0xffff);
    s.seg[ENGINE_CS] = SEG(seg, 0x9b, 0xffff);
    s.seg[ENGINE_CS].base = (uint32_t)seg << 4;
    s.gpr[ENGINE_RSP] = 0x8000;
    s.idtr = (struct engine_table){ 0, 0x3ff };
    s.cr0 = 0x10;
    s.cr3 = s.cr4 = s.efer = 0;
    return s;
}

/* 32-bit protected mode, flat, no paging. */
static inline struct engine_state state32(uint32_t rip)
{
    struct engine_state s = state64(rip, 0);

    s.seg[ENGINE_CS] = SEG(SEL_CODE32, 0xc9b, 0xffffffff);
    s.cr0 = 0x31;
    s.cr3 = s.cr4 = s.efer = 0;
    return s;
}

/* Runs until something other than the budget stops it. */
static inline enum engine_exit run_from(struct machine *m, struct engine_state *s)
{
    enum engine_exit x;

    assert_int_equal(engine_soft.set_state(m->v[0], s), 0);
    x = engine_soft.run(m->v[0], 1000000);
    if (x == ENGINE_EXIT_ERROR)
        print_message("engine: %s\n", engine_soft.error(m->v[0]));
    engine_soft.get_state(m->v[0], s);
    return x;
}

#endif
