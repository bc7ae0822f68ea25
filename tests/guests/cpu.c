/* SPDX-License-Identifier: MIT */
/* The CPU as a kernel uses it: faults and their error codes, paging rights, interrupts, system
 * calls. */
#include "tests/guests/guest.h"

#define PTE_P   0x001ull
#define PTE_W   0x002ull
#define PTE_U   0x004ull
#define PTE_A   0x020ull
#define PTE_D   0x040ull
#define PTE_PS  0x080ull
#define PTE_G   0x100ull
#define PTE_NX  (1ull << 63)
#define CR0_WP  (1ull << 16)
#define CR4_DE  (1ull << 3)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define CR4_PCIDE (1ull << 17)
#define PF_P    1u
#define PF_W    2u
#define PF_U    4u
#define PF_RSVD 8u
#define PF_I    16u
#define AREA    (1ull << 39)            /* linear: one page table of ours */
#define FLAT    0x202ull

enum {
    DE = 0,
    DB = 1,
    BP = 3,
    UD = 6,
    NM = 7,
    DF = 8,
    TS = 10,
    NP = 11,
    SS = 12,
    GP = 13,
    PF = 14
};

static uint64_t *pt;                    /* maps AREA .. AREA + 2 MiB */
static uint64_t *frame[4];              /* what the test maps */

static uint64_t read_cr4(void)
{
    uint64_t v;

    asm volatile("movq %%cr4, %0" : "=r"(v));
    return v;
}

static void write_cr4(uint64_t v)
{
    asm volatile("movq %0, %%cr4" : : "r"(v) : "memory");
}

static uint64_t read_cr0(void)
{
    uint64_t v;

    asm volatile("movq %%cr0, %0" : "=r"(v));
    return v;
}

static void write_cr0(uint64_t v)
{
    asm volatile("movq %0, %%cr0" : : "r"(v) : "memory");
}

static void map(unsigned n, uint64_t pte)
{
    pt[n] = pte;
    asm volatile("invlpg (%0)" : : "r"(AREA + n * PAGE) : "memory");
}

static bool trapped(uint64_t vector, uint64_t error)
{
    return trap_vector == vector && trap_error == error;
}

static void report(bool ok, const char *what)
{
    check(ok, "%s (trap %ld error %lx cr2 %lx)", what, (long)trap_vector, trap_error, trap_cr2);
}

static void test_exceptions(void)
{
    TRY("xorl %%edx, %%edx\n\tmovl $1, %%eax\n\txorl %%ecx, %%ecx\n\tdivl %%ecx", "r"(0));
    report(trap_vector == DE, "division by zero");
    TRY("ud2", "r"(0));
    report(trap_vector == UD, "ud2");
    TRY("int3", "r"(0));
    report(trap_vector == BP, "int3");
    TRY("int $0x55", "r"(0));
    report(trap_vector == TRAP_NONE, "int 0x55 returns");
    TRY("movl $0x1000, %%eax\n\tmovl %%eax, %%ds", "r"(0));
    report(trapped(GP, 0x1000), "selector beyond the GDT");
    TRY("movq $0x8000000000000000, %%rax\n\tmovq (%%rax), %%rax", "r"(0));
    report(trapped(GP, 0), "non-canonical address");
}

static void test_privileged(void)
{
    TRY("movl $0xdead, %%ecx\n\trdmsr", "r"(0));
    report(trapped(GP, 0), "unknown MSR");
    TRY("movq %0, %%cr4", "r"(1ull << 60));
    report(trapped(GP, 0), "reserved bit in CR4");
    TRY("movq %0, %%cr0", "r"(read_cr0() & ~1ull));
    report(trapped(GP, 0), "PG without PE");
    TRY("movq %0, %%cr4", "r"(read_cr4() & ~0x20ull));
    report(trapped(GP, 0), "PAE off in long mode");
    TRY("movq %0, %%cr8", "r"(16ull));
    report(trapped(GP, 0), "CR8 out of range");
    TRY("xorl %%ecx, %%ecx\n\txgetbv", "r"(0));
    report(trap_vector == UD || trap_vector == TRAP_NONE, "xgetbv");
}

static void test_paging(void)
{
    volatile uint64_t *p = (void *)AREA;

    map(0, 0);
    TRY("movq (%0), %%rax", "r"(p));
    report(trapped(PF, 0) && trap_cr2 == AREA, "read, not present");
    TRY("movq $1, 8(%0)", "r"(p));
    report(trapped(PF, PF_W) && trap_cr2 == AREA + 8, "write, not present");
    map(0, (uint64_t)frame[0] | PTE_P);
    TRY("movq (%0), %%rax", "r"(p));
    report(trap_vector == TRAP_NONE && (pt[0] & PTE_A) && !(pt[0] & PTE_D), "read: accessed");
    TRY("movq $1, (%0)", "r"(p));
    report(trapped(PF, PF_P | PF_W), "write, read-only");
    write_cr0(read_cr0() & ~CR0_WP);
    TRY("movq $1, (%0)", "r"(p));
    report(trap_vector == TRAP_NONE && (pt[0] & PTE_D), "write without WP: dirty");
    write_cr0(read_cr0() | CR0_WP);
    map(0, (uint64_t)frame[0] | PTE_P | PTE_W | PTE_NX);
    frame[0][0] = 0xc3;
    TRY("call *%0", "r"(p));
    report(trapped(PF, PF_P | PF_I), "fetch, no-execute");
    map(0, (uint64_t)frame[0] | PTE_P | PTE_W);
    TRY("call *%0", "r"(p));
    report(trap_vector == TRAP_NONE, "fetch");
    map(0, (uint64_t)frame[0] | PTE_P | 1ull << 51);
    TRY("movq (%0), %%rax", "r"(p));
    report(trapped(PF, PF_P | PF_RSVD), "reserved bit");
    /* An access across two pages faults at the second one's first byte. */
    map(0, (uint64_t)frame[0] | PTE_P | PTE_W);
    map(1, 0);
    TRY("movq (%0), %%rax", "r"(AREA + PAGE - 3));
    report(trapped(PF, 0) && trap_cr2 == AREA + PAGE, "across a page end");
    frame[0][511] = 0x1111111111111111ull;
    TRY("movq $-1, (%0)", "r"(AREA + PAGE - 3));
    report(trapped(PF, PF_W) && frame[0][511] == 0x1111111111111111ull, "and nothing written");
}

static void test_tlb(void)
{
    volatile uint64_t *p = (void *)(AREA + 2 * PAGE);
    uint64_t cr3;

    asm volatile("movq %%cr3, %0" : "=r"(cr3));
    frame[1][0] = 1;
    frame[2][0] = 2;
    map(2, (uint64_t)frame[1] | PTE_P | PTE_W);
    check(*p == 1, "first mapping");
    map(2, (uint64_t)frame[2] | PTE_P | PTE_W);
    check(*p == 2, "invlpg");
    pt[2] = (uint64_t)frame[1] | PTE_P | PTE_W;
    asm volatile("movq %0, %%cr3" : : "r"(cr3) : "memory");
    check(*p == 1, "CR3 reload");
    pt[2] = (uint64_t)frame[2] | PTE_P | PTE_W;
    write_cr4(read_cr4() ^ 0x80);
    write_cr4(read_cr4() ^ 0x80);
    check(*p == 2, "CR4.PGE");
}

static void test_smep_smap(void)
{
    volatile uint64_t *p = (void *)(AREA + 3 * PAGE);
    extern uint64_t page_root[];
    uint32_t out[4];

    cpuid(7, 0, out);
    page_root[AREA >> 39] |= PTE_U;
    ((uint64_t *)(page_root[AREA >> 39] & ~0xfffull))[0] |= PTE_U;
    ((uint64_t *)(((uint64_t *)(page_root[AREA >> 39] & ~0xfffull))[0] & ~0xfffull))[0] |= PTE_U;
    map(3, (uint64_t)frame[3] | PTE_P | PTE_W | PTE_U);
    frame[3][0] = 0xc3;
    if (out[1] & 1u << 7) {
        write_cr4(read_cr4() | CR4_SMEP);
        TRY("call *%0", "r"(p));
        report(trapped(PF, PF_P | PF_I), "SMEP");
        write_cr4(read_cr4() & ~CR4_SMEP);
    }
    if (out[1] & 1u << 20) {
        write_cr4(read_cr4() | CR4_SMAP);
        TRY("movq (%0), %%rax", "r"(p));
        report(trapped(PF, PF_P), "SMAP, read");
        TRY("movq $0xc3, (%0)", "r"(p));
        report(trapped(PF, PF_P | PF_W), "SMAP, write");
        TRY("stac\n\tmovq (%0), %%rax\n\tclac", "r"(p));
        report(trap_vector == TRAP_NONE, "SMAP, STAC");
        write_cr4(read_cr4() & ~CR4_SMAP);
    }
    TRY("call *%0", "r"(p));
    report(trap_vector == TRAP_NONE, "neither");
}

/* A page fault on an interrupt stack table entry, with a stack that is not there. */
static volatile uint64_t ist_rsp;

static void ist_hook(struct trap_frame *f)
{
    if (f->vector == DF || f->vector == UD) {
        ist_rsp = (uint64_t)f;
    }
}

static void test_ist(void)
{
    uint8_t *stack = page_alloc(2);

    tss.ist[0] = (uint64_t)stack + 2 * PAGE;
    set_gate(UD, 1, 0);
    set_gate(DF, 1, 0);
    trap_hook = ist_hook;
    TRY("ud2", "r"(0));
    check(ist_rsp > (uint64_t)stack && ist_rsp < (uint64_t)stack + 2 * PAGE,
          "IST switches the stack");
    map(4, 0);
    ist_rsp = 0;
    /* The fault cannot be delivered on a stack that is not mapped: double fault. */
    trap_vector = TRAP_NONE;
    asm volatile(
        "movq %%rsp, %%r12\n\tleaq 1f(%%rip), %%rax\n\tmovq %%rax, trap_resume(%%rip)\n\t"
        "movq %0, %%rsp\n\tpushq $1\n1:\n\tmovq %%r12, %%rsp\n\tmovq $0, trap_resume(%%rip)"
        :
        : "r"(AREA + 5 * PAGE)
        : "rax", "r12", "memory", "cc");
    check(trap_vector == DF && trap_error == 0 && ist_rsp > (uint64_t)stack,
          "double fault (trap %lu)", trap_vector);
    trap_hook = NULL;
    set_gate(UD, 0, 0);
}

/* Single steps: one trap per instruction, none across MOV SS. */
static volatile uint64_t steps, step_rip[16];

static void step_hook(struct trap_frame *f)
{
    uint64_t dr6;

    if (f->vector == DB) {
        asm volatile("movq %%dr6, %0\n\tmovq %1, %%dr6" : "=&r"(dr6) : "r"(0xffff0ff0ull));
        if (steps < 16) {
            step_rip[steps] = dr6 & 1u << 14 ? f->rip : 0;
        }
        steps++;
        trap_resume = f->rip;   /* go on where it stopped */
    }
}

static void test_single_step(void)
{
    trap_hook = step_hook;
    steps = 0;
    asm volatile(
        "pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tnop\n\t"
        "movl %%ss, %%eax\n\tmovl %%eax, %%ss\n\tnop\n\t"
        "pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\tnop"
        :
        :
        : "rax", "memory", "cc");
    trap_hook = NULL;
    check(steps == 7, "single step: 7 traps, %lu seen", steps);
    check(step_rip[0] && step_rip[1] == step_rip[0] + 1, "after each instruction");
}

/* User mode and back by SYSCALL, SYSRET and IRETQ. */
static volatile uint64_t user_result, user_trap_cs, user_trap_error;
static uint64_t kernel_rsp __attribute__((used));

static void user_hook(struct trap_frame *f)
{
    if (f->cs & 3) {
        user_trap_cs = f->cs;
        user_trap_error = f->error;
        trap_resume =
            f->rip + (f->vector == GP ? 1 : 2); /* over the HLT, or over "mov (%rax), %al" */
    }
}

static void test_user_mode(void)
{
    /* In the user page: mov (%rax), %al; hlt; mov $7, %edi; syscall. */
    static const uint8_t code[] = { 0x8a, 0x00, 0xf4, 0xbf, 7, 0, 0, 0, 0x0f, 0x05 };
    uint8_t *stack = page_alloc(2);
    uint64_t page = AREA + 6 * PAGE, back;

    map(6, (uint64_t)frame[0] | PTE_P | PTE_W | PTE_U);
    memcpy(frame[0], code, sizeof(code));
    tss.rsp[0] = (uint64_t)stack + 2 * PAGE;
    wrmsr(0xc0000081, 0x18ull << 48 | 0x08ull << 32); /* STAR: SYSRET 0x18 + 16, SYSCALL 0x08 */
    wrmsr(0xc0000084, 0x200);
    trap_hook = user_hook;
    asm volatile(
        "leaq 1f(%%rip), %%rax\n\tmovl %%eax, %%eax\n\txorl %%edx, %%edx\n\t"
        "movl $0xc0000082, %%ecx\n\twrmsr\n\t"
        "movq %%rsp, kernel_rsp(%%rip)\n\tmovq %[page], %%rcx\n\tmovl $0x202, %%r11d\n\t"
        "leaq 4000(%[page]), %%rsp\n\tmovl $0x100000, %%eax\n\tsysretq\n"
        "1:\tmovq kernel_rsp(%%rip), %%rsp\n\tmovq %%rdi, %[result]\n\tmovq %%rcx, %[back]"
        : [result] "=&r"(user_result), [back] "=&r"(back)
        : [page] "r"(page)
        : "rax", "rcx", "rdx", "rdi", "r11", "memory", "cc");
    trap_hook = NULL;
    check(user_result == 7 && back == page + sizeof(code), "SYSRET to user mode and SYSCALL back");
    check(user_trap_cs == 0x2b, "traps came from user mode (cs %lx)", user_trap_cs);
    check(trap_vector == GP, "HLT in user mode is #GP");
}

static void test_iret(void)
{
    uint64_t ok = 0;

    asm volatile(
        "movq %%rsp, %%rax\n\tpushq $0x10\n\tpushq %%rax\n\tpushfq\n\t"
        "pushq $0x08\n\tleaq 1f(%%rip), %%rax\n\t"
        "pushq %%rax\n\tiretq\n\tud2\n1:\tmovl $1, %k0"
        : "=r"(ok)
        :
        : "rax", "memory", "cc");
    check(ok == 1, "IRETQ");
    asm volatile("movq %%rsp, %%r12" : : : "r12");
    trap_vector = TRAP_NONE;
    asm volatile(
        "movq %%rsp, %%r12\n\tleaq 1f(%%rip), %%rax\n\tmovq %%rax, trap_resume(%%rip)\n\t"
        "pushq $0x10\n\tpushq %%rsp\n\tpushfq\n\tpushq $0x77\n\tpushq $0\n\t"
        "iretq\n1:\tmovq %%r12, %%rsp\n\t"
        "movq $0, trap_resume(%%rip)"
        :
        :
        : "rax", "r12", "memory", "cc");
    report(trapped(GP, 0x74), "IRETQ to a selector beyond the GDT");
}

static void test_self_modifying(void)
{
    uint8_t *code = page_alloc(1);

    for (unsigned i = 0; i < 100; i++) {
        uint32_t got;

        memcpy(code, "\xb8\0\0\0\0\xc3", 6);
        code[1] = (uint8_t)i;
        asm volatile("call *%1" : "=a"(got) : "r"(code) : "memory");
        if (got != i) {
            check(false, "self-modifying code: %u, not %u", got, i);
            return;
        }
    }
    check(true, "self-modifying code");
}

static void test_strings_and_flags(void)
{
    uint8_t *a = page_alloc(3), *b = page_alloc(3);
    uint64_t n = 10000, hole = AREA + 8 * PAGE - 100;
    uint8_t carry;

    for (unsigned i = 0; i < n; i++) {
        a[i] = (uint8_t)(i * 7);
    }
    asm volatile("rep movsb" : "+c"(n), "+S"(a), "+D"(b) : : "memory");
    check(n == 0 && !memcmp(a - 10000, b - 10000, 10000), "rep movsb");
    asm volatile("movq $-1, %%rax\n\taddq $1, %%rax\n\tsetc %0" : "=r"(carry) : : "rax", "cc");
    check(carry == 1, "carry");
    /* A string instruction that faults in the middle goes on where it was. */
    map(7, (uint64_t)frame[0] | PTE_P | PTE_W);
    map(8, 0);
    n = 200;
    trap_vector = TRAP_NONE;
    asm volatile(
        "leaq 1f(%%rip), %%rax\n\tmovq %%rax, trap_resume(%%rip)\n\t"
        "movb $5, %%al\n\trep stosb\n1:\n\t"
        "movq $0, trap_resume(%%rip)"
        : "+c"(n), "+D"(hole)
        :
        : "rax", "memory");
    check(trap_vector == PF && n == 100 && trap_cr2 == AREA + 8 * PAGE,
          "rep stosb into a hole: %lu left", n);
}

bool guest_main(const char *cmdline)
{
    extern uint64_t page_root[];
    uint64_t *pdpt = page_alloc(1), *pd = page_alloc(1);

    pt = page_alloc(1);
    for (unsigned i = 0; i < 4; i++) {
        frame[i] = page_alloc(1);
    }
    page_root[AREA >> 39] = (uint64_t)pdpt | PTE_P | PTE_W;
    pdpt[0] = (uint64_t)pd | PTE_P | PTE_W;
    pd[0] = (uint64_t)pt | PTE_P | PTE_W;
    test_exceptions();
    test_privileged();
    test_paging();
    test_tlb();
    test_smep_smap();
    test_ist();
    test_single_step();
    test_iret();
    test_user_mode();
    test_self_modifying();
    test_strings_and_flags();
    return true;
}
