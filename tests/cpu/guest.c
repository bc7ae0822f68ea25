/* SPDX-License-Identifier: MIT */
/*
 * Running cases in a guest of engine_soft.
 *
 * The guest is a page table, descriptor tables and 32 exception handlers of one VMMCALL each, all
 * in supervisor pages in the upper half; user pages are as native.c maps them. A case starts at
 * CPL 3; whatever ends it arrives in a handler, and the stack frame there has the state.
 */
#define _GNU_SOURCE
#include "tests/cpu/cpudiff.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#define RAM_SIZE   0x400000u
#define SYS_VA     0xffff800000000000ull     /* guest-physical 0 */
enum {
    GPA_PML4 = 0x1000, GPA_PDPT_LOW = 0x2000, GPA_PD_LOW = 0x3000, GPA_PT_CODE = 0x4000,
    GPA_PT_DATA = 0x5000, GPA_PDPT_HIGH = 0x6000, GPA_PD_HIGH = 0x7000,
    GPA_GDT = 0x8000, GPA_IDT = 0x9000, GPA_TSS = 0xa000, GPA_STUBS = 0xb000,
    GPA_STACK_TOP = 0xf000, GPA_CODE = 0x10000, GPA_DATA = 0x20000,
};
#define STUB_SIZE 16
#define MAX_INSNS 400000

#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_NX (1ull << 63)

static uint8_t *ram;
static uint8_t gfn_type[RAM_SIZE >> 12];
static struct engine *engine;
static struct engine_vcpu *vcpu;
static const uint8_t *data_pool;
static uint64_t stopped_at;                  /* RIP behind the VMMCALL; 0: none yet */

static void put64(uint32_t gpa, uint64_t value)
{
    memcpy(ram + gpa, &value, 8);
}

static uint64_t get64(uint64_t gpa)
{
    uint64_t x;
    memcpy(&x, ram + gpa, 8);
    return x;
}

/* ---------------------------------------------------------------- the machine's callbacks */

static void on_cpuid(void *opaque, unsigned v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    engine_soft.host_cpuid(leaf, subleaf, out);
}

static enum engine_verdict on_hypercall(void *opaque, unsigned v, uint64_t *gpr)
{
    stopped_at = engine_soft.rip(vcpu);
    return ENGINE_STOP;
}

static enum engine_verdict on_msr_read(void *opaque, unsigned v, uint32_t msr, uint64_t *value)
{
    return ENGINE_FAULT_GP;
}

static enum engine_verdict on_msr_write(void *opaque, unsigned v, uint32_t msr, uint64_t value)
{
    return ENGINE_FAULT_GP;
}

static enum engine_verdict on_in(void *opaque, unsigned v, uint16_t port, unsigned size,
                                 uint32_t *value)
{
    *value = 0xffffffff;
    return ENGINE_CONTINUE;
}

static enum engine_verdict on_out(void *opaque, unsigned v, uint16_t port, unsigned size,
                                  uint32_t value)
{
    return ENGINE_CONTINUE;
}

static enum engine_verdict on_mmio_read(void *opaque, unsigned v, uint64_t gpa, unsigned size,
                                        uint64_t *value)
{
    *value = ~0ull;
    return ENGINE_CONTINUE;
}

static enum engine_verdict on_mmio_write(void *opaque, unsigned v, uint64_t gpa, unsigned size,
                                         uint64_t value)
{
    return ENGINE_CONTINUE;
}

static uint64_t on_read_cr8(void *opaque, unsigned v)
{
    return 0;
}

static enum engine_verdict on_write_cr8(void *opaque, unsigned v, uint64_t value)
{
    return ENGINE_CONTINUE;
}

/* ---------------------------------------------------------------- memory */

static void build_paging(void)
{
    put64(GPA_PML4, GPA_PDPT_LOW | PTE_P | PTE_W | PTE_U | PTE_A);
    put64(GPA_PML4 + 8 * 256, GPA_PDPT_HIGH | PTE_P | PTE_W | PTE_A);
    put64(GPA_PDPT_HIGH, GPA_PD_HIGH | PTE_P | PTE_W | PTE_A);
    put64(GPA_PD_HIGH, PTE_PS | PTE_P | PTE_W | PTE_A | PTE_D);
    put64(GPA_PDPT_LOW, GPA_PD_LOW | PTE_P | PTE_W | PTE_U | PTE_A);
    put64(GPA_PD_LOW + 8 * (CODE_VA >> 21), GPA_PT_CODE | PTE_P | PTE_W | PTE_U | PTE_A);
    put64(GPA_PD_LOW + 8 * (DATA_VA >> 21), GPA_PT_DATA | PTE_P | PTE_W | PTE_U | PTE_A);
    for (uint32_t p = 0; p < CODE_SIZE; p += 4096)
        put64(GPA_PT_CODE + 8 * (p >> 12), (GPA_CODE + p) | PTE_P | PTE_U | PTE_A);
    for (uint32_t p = 0; p < DATA_SIZE; p += 4096)
        put64(GPA_PT_DATA + 8 * (p >> 12), (GPA_DATA + p) | PTE_P | PTE_U | PTE_A | PTE_D | PTE_NX |
              (p < DATA_RW ? PTE_W : 0));
}

/* The descriptor in which Linux tells user code its CPU and node: limit 19:0 is node << 12 | cpu
 * (main.c keeps the process on one CPU). */
static uint64_t cpu_number_desc(void)
{
    unsigned cpu = 0, node = 0, limit;

    getcpu(&cpu, &node);
    limit = node << 12 | cpu;
    return 0x0040f50000000000 | (limit & 0xffff) | (uint64_t)(limit >> 16 & 0xf) << 48;
}

/* Linux's descriptor table for x86-64, as far as user code can tell. */
static void build_tables(void)
{
    const uint64_t gdt[16] = {
        [1] = 0x00cf9b000000ffff, [2] = 0x00af9b000000ffff, [3] = 0x00cf93000000ffff,
        [4] = 0x00cffb000000ffff, [5] = 0x00cff3000000ffff, [6] = 0x00affb000000ffff,
        [8] = 0x00008b0000000067, [15] = cpu_number_desc(),
    };
    uint8_t *tss = ram + GPA_TSS;
    uint64_t rsp0 = SYS_VA + GPA_STACK_TOP;
    uint16_t no_io_map = 0xffff;

    memcpy(ram + GPA_GDT, gdt, sizeof(gdt));
    memcpy(tss + 4, &rsp0, 8);
    memcpy(tss + 0x66, &no_io_map, 2);
    for (unsigned i = 0; i < 32; i++) {
        uint64_t stub = SYS_VA + GPA_STUBS + i * STUB_SIZE;
        unsigned dpl = i == 3 || i == 4 ? 3 : 0;
        put64(GPA_IDT + 16 * i, (stub & 0xffff) | 0x10ull << 16 | (0x8e00ull | dpl << 13) << 32 |
              (stub >> 16 & 0xffff) << 48);
        put64(GPA_IDT + 16 * i + 8, stub >> 32);
        memcpy(ram + GPA_STUBS + i * STUB_SIZE, "\x0f\x01\xd9\xf4", 4);   /* VMMCALL, HLT */
    }
    memset(ram + GPA_CODE, 0xcc, CODE_SIZE);
}

int guest_init(const uint8_t *pool)
{
    struct engine_env env = {
        .nr_vcpus = 1, .gpa_limit = RAM_SIZE, .gfn_type = gfn_type,
        .cpuid = on_cpuid, .hypercall = on_hypercall, .rdmsr = on_msr_read, .wrmsr = on_msr_write,
        .pio_in = on_in, .pio_out = on_out, .mmio_read = on_mmio_read,
        .mmio_write = on_mmio_write, .read_cr8 = on_read_cr8, .write_cr8 = on_write_cr8,
    };

    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram == MAP_FAILED)
        return -1;
    memset(gfn_type, ENGINE_GFN_RAM, sizeof(gfn_type));
    env.ram = ram;
    data_pool = pool;
    build_paging();
    build_tables();
    memcpy(ram + GPA_DATA, pool, DATA_SIZE);
    engine = engine_soft.create(&env);
    vcpu = engine ? engine_soft.vcpu_create(engine, 0) : NULL;
    return vcpu ? 0 : -1;
}

void guest_exit(void)
{
    engine_soft.vcpu_destroy(vcpu);
    engine_soft.destroy(engine);
    munmap(ram, RAM_SIZE);
}

/* ---------------------------------------------------------------- one case */

/* attr as engine.h says: the descriptor's bits 40-47 and 52-55. */
static struct engine_segment segment(uint16_t sel, uint64_t base, uint16_t attr)
{
    return (struct engine_segment){ .sel = sel, .base = base, .attr = attr,
                                    .limit = attr ? 0xffffffff : 0 };
}

static struct engine_segment data_segment(uint16_t sel, uint64_t base)
{
    return segment(sel, base, sel ? 0xcf3 : 0);
}

/* OSXMMEXCPT OSFXSR PGE PAE; FSGSBASE, which the host's kernel has on, if the engine offers it. */
static uint64_t cr4(void)
{
    uint32_t leaf7[4] = { 0 };

    engine_soft.host_cpuid(7, 0, leaf7);
    return 0x6a0 | (leaf7[1] & 1 ? 0x10000 : 0);
}

static void set_state(const struct cpu_state *s, bool compat)
{
    struct engine_state e;

    memset(&e, 0, sizeof(e));
    memcpy(e.gpr, s->gpr, sizeof(e.gpr));
    e.rip = s->rip;
    e.rflags = s->rflags;
    e.seg[ENGINE_CS] = segment(s->sel[ENGINE_CS], 0, compat ? 0xcfb : 0xafb);
    e.seg[ENGINE_SS] = data_segment(s->sel[ENGINE_SS], 0);
    e.seg[ENGINE_DS] = data_segment(s->sel[ENGINE_DS], 0);
    e.seg[ENGINE_ES] = data_segment(s->sel[ENGINE_ES], 0);
    e.seg[ENGINE_FS] = data_segment(s->sel[ENGINE_FS], s->fs_base);
    e.seg[ENGINE_GS] = data_segment(s->sel[ENGINE_GS], s->gs_base);
    e.tr = (struct engine_segment){ .base = SYS_VA + GPA_TSS, .limit = 0x67, .sel = 0x40,
                                    .attr = 0x8b };
    e.gdtr = (struct engine_table){ SYS_VA + GPA_GDT, 0x7f };
    e.idtr = (struct engine_table){ SYS_VA + GPA_IDT, 32 * 16 - 1 };
    e.cr0 = 0x80050033;            /* PG AM WP NE ET MP PE, as Linux has it */
    e.cr3 = GPA_PML4;
    e.cr4 = cr4();
    e.efer = 0xd01;                /* NXE LMA LME SCE */
    e.dr[6] = 0xffff0ff0;
    e.dr[7] = 0x400;
    e.pat = 0x0007040600070406;
    e.xcr0 = 1;
    memcpy(e.fx, s->fx, sizeof(e.fx));
    if (engine_soft.set_state(vcpu, &e) < 0)
        fprintf(stderr, "cpudiff: set_state refused\n");
}

static bool has_error(unsigned vector)
{
    return (0x27d00u >> vector & 1) != 0;     /* 8, 10-14, 17 */
}

/* The state is that of the handler's first instruction; the case's is in the stack frame. */
static void get_outcome(struct cpu_outcome *o)
{
    struct engine_state e;
    uint64_t frame;

    engine_soft.get_state(vcpu, &e);
    o->vector = (uint32_t)((stopped_at - (SYS_VA + GPA_STUBS)) / STUB_SIZE);
    frame = e.gpr[ENGINE_RSP] - SYS_VA;
    if (o->vector >= 32 || frame > GPA_STACK_TOP - 40) {
        o->vector = VEC_ENGINE_ERROR;
        return;
    }
    if (has_error(o->vector)) {
        o->error = (uint32_t)get64(frame);
        frame += 8;
    }
    o->cr2 = o->vector == 14 ? e.cr2 : 0;
    memcpy(o->s.gpr, e.gpr, sizeof(o->s.gpr));
    o->s.rip = get64(frame);
    o->s.sel[ENGINE_CS] = (uint16_t)get64(frame + 8);
    o->s.rflags = get64(frame + 16);
    o->s.gpr[ENGINE_RSP] = get64(frame + 24);
    o->s.sel[ENGINE_SS] = (uint16_t)get64(frame + 32);
    o->s.sel[ENGINE_DS] = e.seg[ENGINE_DS].sel;
    o->s.sel[ENGINE_ES] = e.seg[ENGINE_ES].sel;
    o->s.sel[ENGINE_FS] = e.seg[ENGINE_FS].sel;
    o->s.sel[ENGINE_GS] = e.seg[ENGINE_GS].sel;
    o->s.fs_base = e.seg[ENGINE_FS].base;
    o->s.gs_base = e.seg[ENGINE_GS].base;
    memcpy(o->s.fx, e.fx, sizeof(o->s.fx));
}

void guest_run(const struct cpu_case *c, struct cpu_outcome *o)
{
    uint8_t *code = ram + GPA_CODE + c->code_off;
    unsigned room = CODE_SIZE - c->code_off;
    unsigned len = c->len < room ? c->len : room;
    enum engine_exit why;

    memset(o, 0, offsetof(struct cpu_outcome, data));
    memcpy(code, c->code, len);
    engine_soft.invalidate_gfns(engine, GPA_CODE >> 12, CODE_SIZE >> 12);
    memcpy(ram + GPA_DATA, data_pool + c->mem_off, DATA_RW);
    memcpy(ram + GPA_DATA + c->patch_off, c->patch, c->patch_len);
    set_state(&c->in, c->compat);
    stopped_at = 0;
    why = engine_soft.run(vcpu, MAX_INSNS);
    if (stopped_at)
        get_outcome(o);
    else if (why == ENGINE_EXIT_KICK)
        o->vector = VEC_HANG;
    else if (why == ENGINE_EXIT_SHUTDOWN)
        o->vector = VEC_SHUTDOWN;
    else {
        o->vector = VEC_ENGINE_ERROR;
        fprintf(stderr, "cpudiff: engine: exit %d: %s\n", (int)why, engine_soft.error(vcpu));
    }
    memset(code, 0xcc, len);
    memcpy(o->data, ram + GPA_DATA, DATA_RW);
}
