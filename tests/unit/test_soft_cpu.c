/* SPDX-License-Identifier: MIT */
/* The soft CPU running small pieces of machine code in every mode. Instruction results against a
 * real CPU are tests/cpu; here it is control flow, modes, paging, faults and the block cache. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "tests/unit/soft_machine.h"

static int setup(void **state) { *state = machine_new(2); return 0; }
static int teardown(void **state) { machine_free(*state); return 0; }

/* ---------------------------------------------------------------- modes */

static void test_long_loop(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* mov ecx,1000; xor eax,eax; 1: add rax,rcx; dec ecx; jnz 1b; vmcall */
    CODE(m, CODE_AT, 0xb9, 0xe8, 3, 0, 0, 0x31, 0xc0, 0x48, 0x01, 0xc8, 0xff, 0xc9, 0x75, 0xf9,
         VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 500500);
    assert_int_equal(s.gpr[ENGINE_RAX], 0x1234);
    assert_int_equal(s.rip, CODE_AT + 17);
}

static void test_call_ret(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* call +0x1000 (next page); lea rbx,[rax+rax*2+5]; vmcall   f: mov eax,7; push rax; pop rcx;
     * ret */
    CODE(m, CODE_AT, 0xe8, 0xfb, 0x0f, 0, 0, 0x48, 0x8d, 0x5c, 0x40, 5, VMCALL);
    CODE(m, CODE_AT + 0x1000, 0xb8, 7, 0, 0, 0, 0x50, 0x59, 0xc3);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(s.gpr[ENGINE_RBX], 26);
    assert_int_equal(s.gpr[ENGINE_RCX], 7);
    assert_int_equal(s.gpr[ENGINE_RSP], STACK_TOP);
}

static void test_rip_relative(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    put64(m, CODE_AT + 0x100, 0xdeadbeefcafef00dull);
    /* nop; mov rax,[rip+0xf8]; vmcall */
    CODE(m, CODE_AT, 0x90, 0x48, 0x8b, 0x05, 0xf8, 0, 0, 0, VMCALL);
    run_from(m, &s);
    assert_int_equal(m->last_hypercall, 0xdeadbeefcafef00dull);
}

static void test_real_to_protected_to_long(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state16(CODE_AT >> 4);
    static const uint8_t real[] = {
        0x0f, 0x01, 0x16, 0x00, 0x08,                   /* lgdt [0x800] (DS = 0) */
        0x66, 0xb8, 0x31, 0, 0, 0,                      /* mov eax,0x31 */
        0x0f, 0x22, 0xc0,                               /* mov cr0,eax */
        0x66, 0xea, 0x00, 0x01, 0x03, 0x00, SEL_CODE32, 0, /* jmp 0x18:0x30100 */
    };
    static const uint8_t prot[] = {
        /* mov ax,0x10; mov ds/ss/es,ax */
        0x66, 0xb8, SEL_DATA, 0, 0x8e, 0xd8, 0x8e, 0xd0, 0x8e, 0xc0,
        0xb8, 0xa0, 0x06, 0, 0, 0x0f, 0x22, 0xe0,       /* mov eax,0x6a0; mov cr4,eax */
        0xb8, 0x00, 0x40, 0, 0, 0x0f, 0x22, 0xd8,       /* mov eax,PML4; mov cr3,eax */
        0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x32,             /* mov ecx,EFER; rdmsr */
        0x0d, 0x01, 0x09, 0, 0, 0x0f, 0x30,             /* or eax,0x901; wrmsr */
        0x0f, 0x20, 0xc0, 0x0d, 0, 0, 0, 0x80, 0x0f, 0x22, 0xc0, /* cr0 |= PG */
        0xea, 0x00, 0x02, 0x03, 0x00, SEL_CODE64, 0,    /* jmp 0x08:0x30200 */
    };

    put64(m, 0x800, 0x57 | (uint64_t)GDT_AT << 16);
    put_code(m, CODE_AT, real, sizeof(real));
    put_code(m, CODE_AT + 0x100, prot, sizeof(prot));
    CODE(m, CODE_AT + 0x200, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0x0807060504030201ull);
    assert_int_equal(s.efer & 0x500, 0x500);
    assert_int_equal(engine_soft.mode(m->v[0]), 64);
}

static void test_real_mode_int(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state16(CODE_AT >> 4);

    /* mov ax,5; int 0x21; vmcall   handler at 0x3000:0x80: add ax,bx; iret */
    m->ram[0x84] = 0x80;
    m->ram[0x86] = 0x00;
    m->ram[0x87] = 0x30;
    CODE(m, CODE_AT, 0xb8, 5, 0, 0xcd, 0x21, VMCALL);
    CODE(m, CODE_AT + 0x80, 0x01, 0xd8, 0xcf);
    s.gpr[ENGINE_RBX] = 0x10;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall & 0xffff, 0x15);
    assert_int_equal(s.gpr[ENGINE_RSP], 0x8000);
}

static void test_segment_limit(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state32(CODE_AT);

    /* mov eax,[0x2000] with a DS limit of 0xfff: #GP through a 32-bit gate */
    s.seg[ENGINE_DS].limit = 0xfff;
    s.idtr = (struct engine_table){ IDT_AT, 0x7ff };
    put64(m, IDT_AT + 13 * 8, (HANDLER_AT & 0xffff) | SEL_CODE32 << 16 | 0x8e00ull << 32 |
          (uint64_t)(HANDLER_AT >> 16) << 48);
    CODE(m, CODE_AT, 0xa1, 0, 0x20, 0, 0);
    CODE(m, HANDLER_AT, 0xb8, 13, 0, 0, 0, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 13);
    assert_int_equal(get64(m, s.gpr[ENGINE_RSP]) & 0xffffffff, 0);       /* error code */
    assert_int_equal(get64(m, s.gpr[ENGINE_RSP] + 4) & 0xffffffff, CODE_AT);
}

/* ---------------------------------------------------------------- faults */

/* Runs code that must end in `vector`'s handler; returns the address of the frame. */
static uint64_t expect_vector(struct machine *m, struct engine_state *s, unsigned vector)
{
    assert_int_equal(run_from(m, s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0xee00 | vector);
    return s->gpr[ENGINE_RSP];
}

static void test_page_faults(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    uint64_t f;

    /* mov eax,[0x50000], not present */
    CODE(m, CODE_AT, 0x8b, 0x04, 0x25, 0, 0, 5, 0, VMCALL);
    put64(m, PT_AT + 0x50 * 8, 0);
    f = expect_vector(m, &s, 14);
    assert_int_equal(get64(m, f), 0);
    assert_int_equal(get64(m, f + 8), CODE_AT);
    assert_int_equal(s.cr2, 0x50000);

    /* Made present, it works without INVLPG; and A is set in all levels. */
    put64(m, PT_AT + 0x50 * 8, 0x50000 | 7);
    put64(m, DATA_AT, 77);
    s = state64(CODE_AT, 0);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 77);
    assert_int_equal(get64(m, PT_AT + 0x50 * 8), 0x50027);
    assert_int_equal(get64(m, PD_AT) & 0x20, 0x20);

    /* A write sets D; to a read-only page it faults with P|W because CR0.WP is set. */
    CODE(m, CODE_AT, 0x89, 0x04, 0x25, 0, 0, 5, 0, VMCALL);
    s = state64(CODE_AT, 0);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(get64(m, PT_AT + 0x50 * 8), 0x50067);
    put64(m, PT_AT + 0x50 * 8, 0x50000 | 5);
    s = state64(CODE_AT, 0);
    f = expect_vector(m, &s, 14);
    assert_int_equal(get64(m, f), 3);
    s = state64(CODE_AT, 0);
    s.cr0 &= ~0x10000ull;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(s.gpr[ENGINE_RAX], 0x1234);

    /* Reserved bit. */
    put64(m, PT_AT + 0x50 * 8, 0x50007 | 1ull << 51);
    s = state64(CODE_AT, 0);
    f = expect_vector(m, &s, 14);
    assert_int_equal(get64(m, f), 11);
}

static void test_user_faults(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(UCODE_AT, 3);
    uint64_t f;

    /* User read of a supervisor page: P|U, on the stack from the TSS. */
    CODE(m, UCODE_AT, 0x8b, 0x04, 0x25, 0, 0, 5, 0, VMCALL);
    put64(m, PT_AT + 0x50 * 8, 0x50000 | 3);
    f = expect_vector(m, &s, 14);
    assert_int_equal(f, KSTACK_TOP - 48);
    assert_int_equal(get64(m, f), 5);
    assert_int_equal(get64(m, f + 16), SEL_UCODE64 | 3);
    assert_int_equal(get64(m, f + 32), STACK_TOP);
    assert_int_equal(get64(m, f + 40), SEL_UDATA | 3);

    /* Execution of a no-execute page: P|U|I. */
    s = state64(UCODE_AT, 3);
    put64(m, PT_AT + 0x40 * 8, 0x40000 | 7 | 1ull << 63);
    f = expect_vector(m, &s, 14);
    assert_int_equal(get64(m, f), 0x15);
    put64(m, PT_AT + 0x40 * 8, 0x40000 | 7);

    /* HLT at CPL 3: #GP(0). */
    m->ram[UCODE_AT] = 0xf4;
    s = state64(UCODE_AT, 3);
    f = expect_vector(m, &s, 13);
    assert_int_equal(get64(m, f), 0);
}

static void test_smep_smap(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    uint64_t f;

    put64(m, PT_AT + 0x30 * 8, 0x30000 | 3);
    put64(m, PT_AT + 0x60 * 8, 0x60000 | 3);
    put64(m, PT_AT + 0x1f * 8, 0x1f000 | 3);
    for (unsigned i = 1; i < 8; i++)
        put64(m, PT_AT + i * 8, (uint64_t)i << 12 | 3);
    /* mov eax,[0x50000] of a user page */
    CODE(m, CODE_AT, 0x8b, 0x04, 0x25, 0, 0, 5, 0, VMCALL);
    s.cr4 |= 1u << 21 | 1u << 20;
    f = expect_vector(m, &s, 14);
    assert_int_equal(get64(m, f), 1);
    /* stac; mov; clac */
    CODE(m, CODE_AT, 0x0f, 0x01, 0xcb, 0x8b, 0x04, 0x25, 0, 0, 5, 0, 0x0f, 0x01, 0xca, VMCALL);
    put64(m, DATA_AT, 42);
    s = state64(CODE_AT, 0);
    s.cr4 |= 1u << 21 | 1u << 20;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 42);
    /* jmp to a user page */
    s = state64(UCODE_AT, 0);
    s.cr4 |= 1u << 20;
    f = expect_vector(m, &s, 14);
    assert_int_equal(get64(m, f), 0x11);
}

static void test_exceptions(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    uint64_t f;

    CODE(m, CODE_AT, 0x31, 0xc9, 0xf7, 0xf1);           /* xor ecx,ecx; div ecx */
    f = expect_vector(m, &s, 0);
    assert_int_equal(get64(m, f), CODE_AT + 2);
    assert_int_equal(get64(m, f + 16) & (1u << 16), 1u << 16);           /* RF in the image */

    CODE(m, CODE_AT, 0x0f, 0x0b);                       /* ud2 */
    s = state64(CODE_AT, 0);
    expect_vector(m, &s, 6);

    CODE(m, CODE_AT, 0xcc);                             /* int3: the next address is pushed */
    s = state64(CODE_AT, 0);
    f = expect_vector(m, &s, 3);
    assert_int_equal(get64(m, f), CODE_AT + 1);

    CODE(m, CODE_AT, 0xcd, 0x80);
    s = state64(CODE_AT, 0);
    f = expect_vector(m, &s, 0x80);
    assert_int_equal(get64(m, f), CODE_AT + 2);

    /* int 0x81 through a DPL 0 gate from ring 3 */
    put_gate(m, 0x81, HANDLER_AT, 0, 0);
    CODE(m, UCODE_AT, 0xcd, 0x81);
    s = state64(UCODE_AT, 3);
    f = expect_vector(m, &s, 13);
    assert_int_equal(get64(m, f), 0x81 * 8 + 2);
    assert_int_equal(get64(m, f + 8), UCODE_AT);

    CODE(m, CODE_AT, 0xc3);                             /* ret to a non-canonical address */
    put64(m, STACK_TOP, 1ull << 47);
    s = state64(CODE_AT, 0);
    f = expect_vector(m, &s, 13);
    assert_int_equal(get64(m, f + 8), CODE_AT);

    put_gate(m, 6, HANDLER_AT + 6 * 16, 1, 0);          /* IST */
    CODE(m, CODE_AT, 0x0f, 0x0b);
    s = state64(CODE_AT, 0);
    f = expect_vector(m, &s, 6);
    assert_int_equal(f, KSTACK_TOP - 0x1000 - 40);
}

static void test_double_and_triple_fault(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    uint64_t f;

    put64(m, IDT_AT + 13 * 16, 0);                      /* no #GP gate: #NP, so #GP -> #NP -> #DF */
    CODE(m, CODE_AT, 0xc3);
    put64(m, STACK_TOP, 1ull << 47);
    f = expect_vector(m, &s, 8);
    assert_int_equal(get64(m, f), 0);
    put64(m, IDT_AT + 8 * 16, 0);
    s = state64(CODE_AT, 0);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_SHUTDOWN);
}

static void test_single_step(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    uint64_t f;

    CODE(m, CODE_AT, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0);
    s.rflags |= 0x100;
    f = expect_vector(m, &s, 1);
    assert_int_equal(get64(m, f), CODE_AT + 2);
    assert_int_equal(s.dr[6] & 0x4000, 0x4000);
}

/* ---------------------------------------------------------------- rings */

static void test_syscall_sysret(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(UCODE_AT, 3);

    s.star = (uint64_t)SEL_CODE64 << 32 | (uint64_t)(SEL_UDATA - 8) << 48;
    s.lstar = CODE_AT;
    s.sfmask = 0x200;
    s.rflags |= 0x200;
    /* user: mov eax,9; syscall; mov ebx,1; syscall     kernel: cmp ebx,1; je 1f; sysretq; 1:
     * vmcall */
    CODE(m, UCODE_AT, 0xb8, 9, 0, 0, 0, 0x0f, 0x05, 0xbb, 1, 0, 0, 0, 0x0f, 0x05);
    CODE(m, CODE_AT, 0x83, 0xfb, 1, 0x74, 3, 0x48, 0x0f, 0x07, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 9);
    assert_int_equal(s.gpr[ENGINE_RCX], UCODE_AT + 14);
    assert_int_equal(s.gpr[ENGINE_R11] & 0x200, 0x200);
    assert_int_equal(s.rflags & 0x200, 0);
    assert_int_equal(s.seg[ENGINE_CS].sel, SEL_CODE64);
}

static void test_iret_to_user_and_compat(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* push a frame for 32-bit user code, iretq; there: mov eax,esp; vmcall */
    CODE(m, CODE_AT, 0x6a, SEL_UDATA | 3, 0x68, 0, 0, 1, 0, 0x6a, 2, 0x6a, SEL_UCODE32 | 3, 0x68, 0,
         0, 4, 0,
         0x48, 0xcf);
    CODE(m, UCODE_AT, 0x89, 0xe0, 0x40, VMCALL);        /* 0x40: inc eax in 32-bit code */
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0x10001);
    assert_int_equal(engine_soft.cpl(m->v[0]), 3);
    assert_int_equal(engine_soft.mode(m->v[0]), 32);
}

/* A null selector with an RPL, on the way to an outer ring: Intel's CPUs make it 0, AMD's do not. */
static void test_iret_null_selectors(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    uint32_t vendor[4];

    engine_soft.host_cpuid(0, 0, vendor);
    /* mov es,ebx; mov ecx,es; a frame for 64-bit user code; iretq; there: mov eax,es; vmcall */
    CODE(m, CODE_AT, 0x8e, 0xc3, 0x8c, 0xc1, 0x6a, SEL_UDATA | 3, 0x68, 0, 0, 1, 0, 0x6a, 2, 0x6a,
         SEL_UCODE64 | 3, 0x68, 0, 0, 4, 0, 0x48, 0xcf);
    CODE(m, UCODE_AT, 0x8c, 0xc0, VMCALL);
    s.gpr[ENGINE_RBX] = 3;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(s.gpr[ENGINE_RCX], 3);
    assert_int_equal(m->last_hypercall, vendor[2] == 0x6c65746e /* "ntel" */ ? 0 : 3);
}

/* ---------------------------------------------------------------- interrupts */

static void test_interrupts(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* sti; hlt; vmcall   handler 0x40: iretq */
    CODE(m, CODE_AT, 0xfb, 0xf4, VMCALL);
    CODE(m, HANDLER_AT + 0x40 * 16, 0xff, 0xc3, 0x48, 0xcf);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_HLT);
    assert_true(s.halted);
    assert_true(engine_soft.irq_ready(m->v[0]));
    engine_soft.inject_irq(m->v[0], 0x40);
    assert_int_equal(engine_soft.run(m->v[0], 1000), ENGINE_EXIT_KICK);
    engine_soft.get_state(m->v[0], &s);
    assert_int_equal(s.gpr[ENGINE_RBX], 1);
    assert_int_equal(s.rip, CODE_AT + 5);
    assert_int_equal(s.gpr[ENGINE_RSP], STACK_TOP);
}

static void test_irq_window(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* inc eax; sti; inc eax; inc eax; hlt: the window opens after the instruction behind STI */
    CODE(m, CODE_AT, 0xff, 0xc0, 0xfb, 0xff, 0xc0, 0xff, 0xc0, 0xf4);
    assert_int_equal(engine_soft.set_state(m->v[0], &s), 0);
    assert_false(engine_soft.irq_ready(m->v[0]));
    engine_soft.want_irq_window(m->v[0], true);
    assert_int_equal(engine_soft.run(m->v[0], 1000), ENGINE_EXIT_IRQ_WINDOW);
    engine_soft.get_state(m->v[0], &s);
    assert_int_equal(s.rip, CODE_AT + 5);
    assert_int_equal(s.gpr[ENGINE_RAX], 2);
}

static void *kicker(void *v)
{
    struct timespec t = { .tv_nsec = 20000000 };

    nanosleep(&t, NULL);
    engine_soft.kick(v);
    return NULL;
}

static void test_kick(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    pthread_t t;

    CODE(m, CODE_AT, 0xeb, 0xfe);
    assert_int_equal(engine_soft.set_state(m->v[0], &s), 0);
    pthread_create(&t, NULL, kicker, m->v[0]);
    assert_int_equal(engine_soft.run(m->v[0], UINT64_MAX), ENGINE_EXIT_KICK);
    pthread_join(t, NULL);
    /* and the budget */
    assert_int_equal(engine_soft.run(m->v[0], 10000), ENGINE_EXIT_KICK);
}

/* ---------------------------------------------------------------- the code cache */

static void test_self_modifying(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* mov byte [rip+1],0x2a: overwrites the immediate of the very next instruction; mov eax,1;
     * vmcall */
    CODE(m, CODE_AT, 0xc6, 0x05, 1, 0, 0, 0, 0x2a, 0xb8, 1, 0, 0, 0, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0x2a);
    /* A loop that increments its own immediate: mov eax,0; inc byte [rip-8]; dec ecx; jnz loop */
    CODE(m, CODE_AT, 0xb9, 10, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xfe, 0x05, 0xf6, 0xff, 0xff, 0xff, 0xff,
         0xc9,
         0x75, 0xf1, VMCALL);
    s = state64(CODE_AT, 0);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 9);
}

static void test_outside_write(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    CODE(m, CODE_AT, 0xb8, 1, 0, 0, 0, VMCALL);
    run_from(m, &s);
    assert_int_equal(m->last_hypercall, 1);
    m->ram[CODE_AT + 1] = 2;
    engine_soft.invalidate_gfns(m->e, CODE_AT >> 12, 1);
    s = state64(CODE_AT, 0);
    run_from(m, &s);
    assert_int_equal(m->last_hypercall, 2);
    /* With a new mapping (set_state flushes translations) even without being told. */
    m->ram[CODE_AT + 1] = 3;
    s = state64(CODE_AT, 0);
    run_from(m, &s);
    assert_int_equal(m->last_hypercall, 3);
}

static void test_remap(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* call 0x41000; change its PTE to 0x42000 and invlpg; call again; vmcall */
    CODE(m, 0x41000, 0xff, 0xc3, 0xc3);                 /* inc ebx; ret */
    CODE(m, 0x42000, 0x83, 0xc3, 0x10, 0xc3);           /* add ebx,16; ret */
    CODE(m, CODE_AT, 0xe8, 0xfb, 0x0f, 0x01, 0,
         /* mov qword [PT+0x208],0x42007 */
         0x48, 0xc7, 0x04, 0x25, 0x08, 0x72, 0, 0, 0x07, 0x20, 0x04, 0,
         0x0f, 0x01, 0x3c, 0x25, 0, 0x10, 4, 0,
         0xe8, 0xe2, 0x0f, 0x01, 0, 0x89, 0xd8, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 17);
}

static void test_page_crossing(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT + 0xffd, 0);
    static const uint8_t insn[] = { 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, VMCALL };

    put_code(m, CODE_AT + 0xffd, insn, sizeof(insn));
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0x0807060504030201ull);
    m->ram[CODE_AT + 0x1000] = 0x55;                    /* its second half changes */
    s = state64(CODE_AT + 0xffd, 0);
    run_from(m, &s);
    assert_int_equal(m->last_hypercall, 0x0807060504035501ull);
    /* and is not there */
    put64(m, PT_AT + 0x31 * 8, 0);
    s = state64(CODE_AT + 0xffd, 0);
    expect_vector(m, &s, 14);
    assert_int_equal(s.cr2, CODE_AT + 0x1000);
    /* data: a store across two pages, the second missing, changes nothing */
    put64(m, PT_AT + 0x51 * 8, 0);
    put64(m, DATA_AT + 0xff8, 0);
    CODE(m, CODE_AT, 0x48, 0x89, 0x04, 0x25, 0xfc, 0x0f, 5, 0);
    s = state64(CODE_AT, 0);
    s.gpr[0] = ~0ull;
    expect_vector(m, &s, 14);
    assert_int_equal(s.cr2, DATA_AT + 0x1000);
    assert_int_equal(get64(m, DATA_AT + 0xff8), 0);
}

/* Flags that the next instruction sets anew are left out, but never where somebody sees them. */
static void test_buried_flags(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    uint64_t f;

    /* stc; inc eax; cmp eax,ebx; jne +2; inc ecx; add edx,-1; pushfq; pop rsi; vmcall */
    CODE(m, CODE_AT, 0xf9, 0xff, 0xc0, 0x39, 0xd8, 0x75, 2, 0xff, 0xc1, 0x83, 0xc2, 0xff, 0x9c, 0x5e, VMCALL);
    s.gpr[ENGINE_RAX] = 0xffffffff00000006;
    s.gpr[ENGINE_RBX] = 7;
    s.gpr[ENGINE_RDX] = 1;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 7);             /* bits 32-63 are cleared all the same */
    assert_int_equal(s.gpr[ENGINE_RCX], 1);
    assert_int_equal(s.gpr[ENGINE_RDX], 0);
    assert_int_equal(s.gpr[ENGINE_RSI] & 0x8d5, 0x55);  /* ZF PF CF AF of 1 + -1 */

    /* add eax,ebx; cmp [rdi],eax: the second faults, and the frame shows the flags of the first */
    put64(m, PT_AT + 0x52 * 8, 0);
    CODE(m, CODE_AT, 0x01, 0xd8, 0x39, 0x07);
    s = state64(CODE_AT, 0);
    s.gpr[ENGINE_RAX] = 0x80000000;
    s.gpr[ENGINE_RBX] = 0x80000000;
    s.gpr[ENGINE_RDI] = DATA_AT + 0x2000;
    f = expect_vector(m, &s, 14);
    assert_int_equal(get64(m, f + 8), CODE_AT + 2);
    assert_int_equal(get64(m, f + 24) & 0x8d5, 0x845);  /* OF ZF PF CF */

    /* xor, or, and, sub, dec in a row, each but the last buried; then their sum of effects */
    CODE(m, CODE_AT, 0x31, 0xd8, 0x09, 0xc8, 0x21, 0xd0, 0x29, 0xf0, 0xff, 0xc8, 0x85, 0xc0, VMCALL);
    s = state64(CODE_AT, 0);
    s.gpr[ENGINE_RAX] = 0xf0f0;
    s.gpr[ENGINE_RBX] = 0x0ff0;
    s.gpr[ENGINE_RCX] = 0x1;
    s.gpr[ENGINE_RDX] = 0xff01;
    s.gpr[ENGINE_RSI] = 0x100;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, (((0xf0f0 ^ 0x0ff0) | 1) & 0xff01) - 0x100 - 1);
}

/* ---------------------------------------------------------------- strings, I/O */

static void test_rep_movs_stos(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    CODE(m, CODE_AT, 0xf3, 0xaa, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xdf, 0x48, 0x89, 0xe9, 0xf3, 0x48,
         0xa5, VMCALL);
    s.gpr[ENGINE_RAX] = 0x5c;
    s.gpr[ENGINE_RDI] = s.gpr[ENGINE_RDX] = 0x100123;
    s.gpr[ENGINE_RCX] = 10000;
    s.gpr[ENGINE_RBX] = 0x120456;
    s.gpr[ENGINE_RBP] = 1250;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(m->ram[0x120456 + i], 0x5c);
    assert_int_equal(m->ram[0x120456 + 10000], 0);
    assert_int_equal(s.gpr[ENGINE_RSI], 0x100123 + 10000);
    assert_int_equal(s.gpr[ENGINE_RCX], 0);
}

/* Downwards (DF set), from and to pages at any distance, also onto itself. */
static void test_rep_movs_down(void **state)
{
    static const struct { uint64_t from, to; uint8_t opcode; unsigned size, nr; } cases[] = {
        { 0x100123, 0x120456, 0xa4, 1, 9999 },
        { 0x100120, 0x120453, 0xa5, 8, 1250 },           /* elements that cross pages */
        { 0x100000, 0x500000, 0xa5, 8, 1024 },           /* the same slot of the TLB */
        { 0x100000, 0x500000, 0xa4, 1, 8192 },
        { 0x100100, 0x100300, 0xa4, 1, 9000 },           /* overlaps: as memmove */
        { 0x100300, 0x1002f8, 0xa4, 1, 5000 },           /* overlaps: repeats the top */
        { 0x100300, 0x1002f4, 0xa5, 8, 700 },
    };
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    uint8_t *model = malloc(RAM_SIZE);

    assert_non_null(model);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned size = cases[i].size, nr = cases[i].nr;
        uint64_t last = (uint64_t)(nr - 1) * size;

        for (unsigned b = 0x100000; b < 0x600000; b++)
            m->ram[b] = (uint8_t)(b * 7 + (b >> 8) * 31);
        memcpy(model, m->ram, RAM_SIZE);
        for (unsigned k = nr; k-- > 0;)
            memmove(model + cases[i].to + k * size, model + cases[i].from + k * size, size);
        /* std; rep movs; cld; vmcall */
        CODE(m, CODE_AT, 0xfd, 0xf3, 0x48, cases[i].opcode, 0xfc, VMCALL);
        s = state64(CODE_AT, 0);
        s.gpr[ENGINE_RSI] = cases[i].from + last;
        s.gpr[ENGINE_RDI] = cases[i].to + last;
        s.gpr[ENGINE_RCX] = nr;
        assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
        assert_int_equal(s.gpr[ENGINE_RSI], cases[i].from - size);
        assert_int_equal(s.gpr[ENGINE_RDI], cases[i].to - size);
        assert_int_equal(s.gpr[ENGINE_RCX], 0);
        assert_memory_equal(m->ram + 0x100000, model + 0x100000, 0x500000);
    }
    free(model);
}

/* What lies below is not there: the registers say how far it came. */
static void test_rep_down_fault_restart(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    put64(m, PT_AT + 0x52 * 8, 0);
    CODE(m, CODE_AT, 0xfd, 0xf3, 0xaa, VMCALL);
    s.gpr[ENGINE_RDI] = DATA_AT + 0x4010;
    s.gpr[ENGINE_RCX] = 0x3000;
    expect_vector(m, &s, 14);
    assert_int_equal(s.cr2, DATA_AT + 0x2fff);
    assert_int_equal(s.gpr[ENGINE_RDI], DATA_AT + 0x2fff);
    assert_int_equal(s.gpr[ENGINE_RCX], 0x3000 - 0x1011);
}

static void test_rep_fault_restart(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    put64(m, PT_AT + 0x52 * 8, 0);
    CODE(m, CODE_AT, 0xf3, 0xaa, VMCALL);
    s.gpr[ENGINE_RDI] = DATA_AT + 0x10;
    s.gpr[ENGINE_RCX] = 0x3000;
    expect_vector(m, &s, 14);
    assert_int_equal(s.cr2, DATA_AT + 0x2000);
    assert_int_equal(s.gpr[ENGINE_RDI], DATA_AT + 0x2000);
    assert_int_equal(s.gpr[ENGINE_RCX], 0x3000 - 0x1ff0);
}

static void test_scas_cmps(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    memcpy(m->ram + DATA_AT, "hello world", 12);
    memcpy(m->ram + DATA_AT + 0x100, "hello there", 12);
    /* repne scasb; mov rbx,rcx; mov rdi,rdx; mov ecx,20; repe cmpsb; vmcall */
    CODE(m, CODE_AT, 0xf2, 0xae, 0x48, 0x89, 0xcb, 0x48, 0x89, 0xd7, 0xb9, 20, 0, 0, 0, 0xf3, 0xa6,
         VMCALL);
    s.gpr[ENGINE_RCX] = 100;
    s.gpr[ENGINE_RDI] = DATA_AT;
    s.gpr[ENGINE_RDX] = DATA_AT;
    s.gpr[ENGINE_RSI] = DATA_AT + 0x100;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(s.gpr[ENGINE_RBX], 100 - 12);
    assert_int_equal(s.gpr[ENGINE_RCX], 20 - 7);
}

static void test_io(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* mov eax,0x77; out 0xe9,al; mov dx,0x3f8; in ax,dx; vmcall */
    CODE(m, CODE_AT, 0xb8, 0x77, 0, 0, 0, 0xe6, 0xe9, 0x66, 0xba, 0xf8, 3, 0x66, 0xed, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->port_val & 0xff, 0x77);
    assert_int_equal(m->port, 0x3f8);
    assert_int_equal(m->last_hypercall, 0x5a5a);
    /* Ring 3: the bitmap lies at 0x68 and is all 0: allowed below 0x10000; with a 1 bit, #GP. */
    CODE(m, UCODE_AT, 0xe6, 0xe9, 0xe6, 0xea);
    m->ram[TSS_AT + 0x68 + 0xea / 8] = 1 << (0xea & 7);
    s = state64(UCODE_AT, 3);
    assert_int_equal(get64(m, expect_vector(m, &s, 13) + 8), UCODE_AT + 2);
    assert_int_equal(m->port, 0xe9);
}

static void test_mmio(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* mov eax,[0xf00010]; add [0xf00020],rax; vmcall */
    CODE(m, CODE_AT, 0x8b, 0x04, 0x25, 0x10, 0, 0xf0, 0, 0x48, 0x01, 0x04, 0x25, 0x20, 0, 0xf0, 0,
         VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0x55667788);
    assert_int_equal(m->mmio_gpa, 0xf00020);
    assert_int_equal(m->mmio_size, 8);
    assert_int_equal(m->mmio_val, 0x1122334455667788ull + 0x55667788);
}

/* ---------------------------------------------------------------- two vCPUs */

struct racer { struct machine *m; unsigned i; };

static void *race(void *arg)
{
    struct racer *r = arg;
    struct engine_state s = state64(CODE_AT, 0);

    s.gpr[ENGINE_RSP] = STACK_TOP - 0x2000 * r->i;
    s.gpr[ENGINE_RCX] = 200000;
    engine_soft.set_state(r->m->v[r->i], &s);
    while (engine_soft.run(r->m->v[r->i], 1000000) == ENGINE_EXIT_KICK) {
        engine_soft.get_state(r->m->v[r->i], &s);
        if (s.gpr[ENGINE_RAX] == 0x1234)
            break;
    }
    return NULL;
}

static void test_smp_atomics(void **state)
{
    struct machine *m = *state;
    struct racer r[2] = { { m, 0 }, { m, 1 } };
    pthread_t t[2];

    /* 1: lock inc qword [DATA]; lock add qword [DATA+0xffc] (page-crossing),1; loop 1b; vmcall */
    CODE(m, CODE_AT, 0xf0, 0x48, 0xff, 0x04, 0x25, 0, 0, 5, 0, 0xf0, 0x48, 0x83, 0x04, 0x25, 0xfc,
         0x0f, 5, 0,
         1, 0xff, 0xc9, 0x75, 0xe9, VMCALL);
    put64(m, DATA_AT, 0);
    put64(m, DATA_AT + 0xffc, 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, race, &r[i]);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(get64(m, DATA_AT), 400000);
    assert_int_equal(get64(m, DATA_AT + 0xffc), 400000);
}

/* vCPU 1 patches code that vCPU 0 runs; after a store to a flag that vCPU 0 sees, it must run
 * the new. */
static void *patcher(void *arg)
{
    struct machine *m = arg;
    struct engine_state s = state64(UCODE_AT, 0);

    /* for (i = 1; i <= 200; i++) { code.imm = i; flag = i; while (ack != i) ; } vmcall */
    CODE(m, UCODE_AT, 0xb9, 1, 0, 0, 0,
         0x88, 0x0c, 0x25, 0x01, 0x00, 0x07, 0,         /* mov [0x70001],cl */
         0x89, 0x0c, 0x25, 0, 0, 5, 0,                  /* mov [DATA],ecx */
         0x3b, 0x0c, 0x25, 0x40, 0, 5, 0,               /* 2: cmp ecx,[DATA+0x40] */
         0x75, 0xf7,                                    /* jne 2b */
         0xff, 0xc1, 0x81, 0xf9, 200, 0, 0, 0, 0x76, 0xdf, /* inc ecx; cmp ecx,200; jbe */
         VMCALL);
    s.gpr[ENGINE_RSP] = STACK_TOP - 0x2000;
    engine_soft.set_state(m->v[1], &s);
    do {
        engine_soft.run(m->v[1], 1000000);
        engine_soft.get_state(m->v[1], &s);
    } while (s.gpr[ENGINE_RAX] != 0x1234);
    return NULL;
}

static void test_smp_code_patching(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    pthread_t t;

    /* ebx = 1; 1: cmp [DATA],ebx; jne 1b; cpuid-free call 0x70000 (mov al,imm8; ret); cmp al,bl;
     * jne bad; mov [DATA+0x40],ebx; inc ebx; cmp ebx,200; jbe 1b; mov eax,0x600d; vmcall; bad:
     * mov eax,0xbad; vmcall */
    CODE(m, CODE_AT, 0xbb, 1, 0, 0, 0,
         0x39, 0x1c, 0x25, 0, 0, 5, 0, 0x75, 0xf7,
         0xe8, 0xed, 0xff, 0x03, 0,
         0x38, 0xd8, 0x75, 0x1c,
         0x89, 0x1c, 0x25, 0x40, 0, 5, 0, 0xff, 0xc3,
         0x81, 0xfb, 200, 0, 0, 0, 0x76, 0xdd,
         0xb8, 0x0d, 0x60, 0, 0, VMCALL, 0xf4, 0xf4, 0xf4,
         0xb8, 0xad, 0x0b, 0, 0, VMCALL);
    CODE(m, 0x70000, 0xb0, 0, 0xc3);
    put64(m, DATA_AT, 0);
    put64(m, DATA_AT + 0x40, 0);
    pthread_create(&t, NULL, patcher, m);
    assert_int_equal(engine_soft.set_state(m->v[0], &s), 0);
    do {
        engine_soft.run(m->v[0], 1000000);
        engine_soft.get_state(m->v[0], &s);
    } while (s.gpr[ENGINE_RAX] != 0x1234);
    if (s.rip > CODE_AT + 50)
        print_message("bad: ebx %u\n", (unsigned)s.gpr[ENGINE_RBX]);
    put64(m, DATA_AT + 0x40, 200);
    pthread_join(t, NULL);
    assert_int_equal(s.gpr[ENGINE_RBX], 201);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(test_long_loop), T(test_call_ret), T(test_rip_relative),
        T(test_real_to_protected_to_long),
        T(test_real_mode_int), T(test_segment_limit), T(test_page_faults), T(test_user_faults),
        T(test_smep_smap), T(test_exceptions), T(test_double_and_triple_fault), T(test_single_step),
        T(test_syscall_sysret), T(test_iret_to_user_and_compat), T(test_iret_null_selectors), T(test_interrupts),
        T(test_irq_window),
        T(test_kick), T(test_self_modifying), T(test_outside_write), T(test_remap),
        T(test_page_crossing),
        T(test_buried_flags), T(test_rep_movs_stos), T(test_rep_movs_down), T(test_rep_down_fault_restart), T(test_rep_fault_restart), T(test_scas_cmps), T(test_io),
        T(test_mmio),
        T(test_smp_atomics), T(test_smp_code_patching),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
