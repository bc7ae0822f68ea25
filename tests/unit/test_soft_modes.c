/* SPDX-License-Identifier: MIT */
/* The soft CPU's older corners: 32-bit paging, segmentation, gates, rings, shadows, NMIs; and
 * the engine interface itself. */
#include "tests/unit/soft_machine.h"

static int setup(void **state) { *state = machine_new(1); return 0; }
static int teardown(void **state) { machine_free(*state); return 0; }

/* 32-bit protected mode with an IDT of 8-byte gates to HANDLER_AT + 16 * vector. */
static struct engine_state state32_idt(struct machine *m, uint32_t rip)
{
    struct engine_state s = state32(rip);

    for (unsigned i = 0; i < 256; i++) {
        uint64_t off = HANDLER_AT + i * 16;
        put64(m, IDT_AT + i * 8,
              (off & 0xffff) | SEL_CODE32 << 16 | 0x8e00ull << 32 | (off >> 16) << 48);
    }
    s.idtr = (struct engine_table){ IDT_AT, 0x7ff };
    s.tr = SEG(SEL_TSS, 0x8b, 0x67);
    s.tr.base = TSS_AT;
    memset(m->ram + TSS_AT, 0, 0x68);
    put64(m, TSS_AT + 4, KSTACK_TOP | (uint64_t)SEL_DATA << 32);
    return s;
}

static uint32_t get32(struct machine *m, uint64_t at) { return (uint32_t)get64(m, at); }

static uint64_t expect_vector(struct machine *m, struct engine_state *s, unsigned vector)
{
    assert_int_equal(run_from(m, s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0xee00 | vector);
    return s->gpr[ENGINE_RSP];
}

/* ---------------------------------------------------------------- paging */

static void test_paging_32(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state32_idt(m, CODE_AT);
    uint32_t *pd = (uint32_t *)(m->ram + PML4_AT), *pt = (uint32_t *)(m->ram + PT_AT);
    uint64_t f;

    /* A 4 MiB page at 0, a table at 0x400000 whose page 0 maps DATA_AT and page 1 is absent. */
    memset(pd, 0, 4096);
    memset(pt, 0, 4096);
    pd[0] = 0x87;
    pd[1] = PT_AT | 7;
    pt[0] = DATA_AT | 7;
    put64(m, DATA_AT + 8, 0x1234567);
    s.cr0 = 0x80010031;
    s.cr3 = PML4_AT;
    s.cr4 = 0x10;
    /* mov eax,[..8]; mov [..c],eax */
    CODE(m, CODE_AT, 0xa1, 8, 0, 0x40, 0, 0x89, 0x05, 0x0c, 0, 0x40, 0, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0x1234567);
    assert_int_equal(get32(m, DATA_AT + 12), 0x1234567);
    assert_int_equal(pt[0], DATA_AT | 0x67);
    assert_int_equal(pd[0] & 0x20, 0x20);
    s = state32_idt(m, CODE_AT);
    s.cr0 = 0x80010031;
    s.cr3 = PML4_AT;
    s.cr4 = 0x10;
    CODE(m, CODE_AT, 0xa1, 8, 0x10, 0x40, 0);
    f = expect_vector(m, &s, 14);
    assert_int_equal(get32(m, f), 0);
    assert_int_equal(s.cr2, 0x401008);
}

static void test_paging_pae(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state32_idt(m, CODE_AT);
    uint64_t f;

    put64(m, PDPT_AT, PD_AT | 1);
    put64(m, PT_AT + 0x51 * 8, 0x52000 | 3 | 1ull << 63);
    CODE(m, 0x52000, 0x90);
    put64(m, 0x52010, 99);
    s.cr0 = 0x80010031;
    s.cr3 = PDPT_AT;
    s.cr4 = 0x20;
    s.efer = 0x800;
    /* mov eax,[0x51010]; jmp 0x51000 */
    CODE(m, CODE_AT, 0xa1, 0x10, 0x10, 5, 0, 0xe9, 0xf6, 0x0f, 2, 0);
    f = expect_vector(m, &s, 14);
    assert_int_equal(get32(m, f), 0x11);               /* fetch from a no-execute page */
    assert_int_equal(get32(m, f + 4), 0x51000);
    /* without NXE the bit is reserved */
    s = state32_idt(m, CODE_AT);
    s.cr0 = 0x80010031;
    s.cr3 = PDPT_AT;
    s.cr4 = 0x20;
    f = expect_vector(m, &s, 14);
    assert_int_equal(get32(m, f), 9);
    assert_int_equal(s.cr2, 0x51010);
}

static void test_gigabyte_page(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    put64(m, PDPT_AT + 3 * 8, 0x83);                    /* 3 GiB linear -> 0 */
    put64(m, DATA_AT, 0x77);
    CODE(m, CODE_AT, 0xb8, 0, 0, 5, 0xc0, 0x8b, 0, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0x77);
    put64(m, PDPT_AT + 3 * 8, 0x2083);                  /* a reserved address bit */
    s = state64(CODE_AT, 0);
    assert_int_equal(get64(m, expect_vector(m, &s, 14)), 9);
}

/* A global translation survives a load of CR3; one that is not does not. */
static void test_global_pages(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    put64(m, DATA_AT, 1);
    put64(m, 0x51000, 2);
    put64(m, PT_AT + 0x50 * 8, DATA_AT | 0x67);
    /* mov ebx,[DATA]; mov qword [PTE],0x51067; mov rax,cr3; mov cr3,rax; mov eax,[DATA]; vmcall */
    CODE(m, CODE_AT, 0x8b, 0x1c, 0x25, 0, 0, 5, 0, 0x48, 0xc7, 0x04, 0x25, 0x80, 0x72, 0, 0, 0x67,
         0x10, 5, 0,
         0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0x8b, 0x04, 0x25, 0, 0, 5, 0, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 2);
    put64(m, PT_AT + 0x50 * 8, DATA_AT | 0x167);
    s = state64(CODE_AT, 0);
    s.cr4 |= 0x80;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 1);
}

/* ---------------------------------------------------------------- segments, gates, rings */

static void test_expand_down(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state32_idt(m, CODE_AT);

    s.seg[ENGINE_DS].attr = 0xc97;                      /* expand-down, writable */
    s.seg[ENGINE_DS].limit = 0x4ffff;
    put64(m, DATA_AT, 5);
    CODE(m, CODE_AT, 0xa1, 0, 0, 5, 0, 0xa1, 0xfe, 0xff, 4, 0);
    assert_int_equal(get32(m, expect_vector(m, &s, 13) + 4), CODE_AT + 5);
}

static void test_read_only_segment(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state32_idt(m, CODE_AT);

    s.seg[ENGINE_DS].attr = 0xc91;
    CODE(m, CODE_AT, 0xa1, 0, 0, 5, 0, 0xa3, 0, 0, 5, 0);
    assert_int_equal(get32(m, expect_vector(m, &s, 13) + 4), CODE_AT + 5);
}

static void test_load_seg_faults(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    static const struct { uint16_t sel; unsigned vector, error; } rows[] = {
        { 0x58, 13, 0x58 },                             /* beyond the table */
        { SEL_TSS, 13, SEL_TSS },                       /* a system descriptor */
        { 0x0c, 13, 0x0c },                             /* LDT, of which there is none */
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        /* mov ds,ax */
        CODE(m, CODE_AT, 0x8e, 0xd8);
        s = state64(CODE_AT, 0);
        s.gpr[ENGINE_RAX] = rows[i].sel;
        assert_int_equal(get64(m, expect_vector(m, &s, rows[i].vector)), rows[i].error);
    }
    m->ram[GDT_AT + SEL_DATA + 5] &= 0x7f;              /* not present */
    s = state64(CODE_AT, 0);
    s.gpr[ENGINE_RAX] = SEL_DATA;
    assert_int_equal(get64(m, expect_vector(m, &s, 11)), SEL_DATA);
}

/* Ring 3 to 0 through a 32-bit call gate with two parameters, and back by RETF 8. */
static void test_call_gate(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state32_idt(m, UCODE_AT);
    uint32_t *stack = (uint32_t *)(m->ram + STACK_TOP);

    put64(m, GDT_AT + 0x28, (CODE_AT & 0xffff) | SEL_CODE32 << 16 | 0xec02ull << 32 |
          (uint64_t)(CODE_AT >> 16) << 48);
    s.seg[ENGINE_CS] = SEG(SEL_UCODE32 | 3, 0xcfb, 0xffffffff);
    s.seg[ENGINE_SS] = s.seg[ENGINE_DS] = s.seg[ENGINE_ES] = SEG(SEL_UDATA | 3, 0xcf3, 0xffffffff);
    stack[0] = 11;
    stack[1] = 22;
    /* call 0x2b:0; vmcall    gate: mov eax,[esp+8]; shl eax,8; add eax,[esp+12]; retf 8 */
    CODE(m, UCODE_AT, 0x9a, 0, 0, 0, 0, 0x2b, 0, VMCALL);
    CODE(m, CODE_AT, 0x8b, 0x44, 0x24, 8, 0xc1, 0xe0, 8, 0x03, 0x44, 0x24, 12, 0xca, 8, 0);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 11 << 8 | 22);
    assert_int_equal(s.gpr[ENGINE_RSP], STACK_TOP + 8);
    assert_int_equal(engine_soft.cpl(m->v[0]), 3);
    assert_int_equal(get32(m, KSTACK_TOP - 4), SEL_UDATA | 3);
    assert_int_equal(get32(m, KSTACK_TOP - 8), STACK_TOP);
}

static void test_task_gate_refused(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state32_idt(m, CODE_AT);

    put64(m, IDT_AT + 0x30 * 8, SEL_TSS << 16 | 0x8500ull << 32);
    CODE(m, CODE_AT, 0xcd, 0x30);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_ERROR);
    assert_non_null(strstr(engine_soft.error(m->v[0]), "task gate"));
}

/* What the CPU's vendor decides: soft's is the host's. */
static bool vendor_amd(void)
{
    uint32_t r[4];

    engine_soft.host_cpuid(0, 0, r);
    return r[2] == 0x444d4163 /* "cAMD" */ || r[2] == 0x656e6975 /* "uine" of Hygon */;
}

/* A Linux for Intel leaves CSTAR at 0: a program's SYSCALL from 32-bit code must not go there. */
static void test_syscall_compat(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(UCODE_AT, 3);

    s.seg[ENGINE_CS].sel = SEL_UCODE32 | 3;
    s.seg[ENGINE_CS].attr = (uint16_t)((s.seg[ENGINE_CS].attr & ~(1u << 9)) | 1u << 10);
    s.star = (uint64_t)SEL_CODE64 << 32 | (uint64_t)(SEL_UDATA - 8) << 48;
    s.cstar = CODE_AT;
    CODE(m, UCODE_AT, 0x0f, 0x05);
    CODE(m, CODE_AT, 0x89, 0xc8, VMCALL);               /* mov eax,ecx */
    if (!vendor_amd()) {
        assert_int_equal(get64(m, expect_vector(m, &s, 6)), UCODE_AT);
        return;
    }
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, UCODE_AT + 2);
    assert_int_equal(engine_soft.mode(m->v[0]), 64);
}

/* SYSCALL and SYSRET look at TF as it is behind them. */
static void test_syscall_trap_flag(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(UCODE_AT, 3);
    uint64_t f;

    s.star = (uint64_t)SEL_CODE64 << 32 | (uint64_t)(SEL_UDATA - 8) << 48;
    s.lstar = CODE_AT;
    s.sfmask = 0x300;
    s.rflags |= 0x100;
    CODE(m, UCODE_AT, 0x0f, 0x05, 0xff, 0xc0);
    CODE(m, CODE_AT, 0xbb, 1, 0, 0, 0, 0x48, 0x0f, 0x07);   /* mov ebx,1; sysretq */
    f = expect_vector(m, &s, 1);
    assert_int_equal(get64(m, f), UCODE_AT + 2);        /* kernel code was not stepped through */
    assert_int_equal(get64(m, f + 8), SEL_UCODE64 | 3);
    assert_int_equal(get64(m, f + 16) & 0x100, 0x100);
    assert_int_equal(s.gpr[ENGINE_RBX], 1);
    assert_int_equal(s.dr[6] & 0x4000, 0x4000);

    s = state64(UCODE_AT, 3);                           /* not masked: traps in the kernel */
    s.star = (uint64_t)SEL_CODE64 << 32;
    s.lstar = CODE_AT;
    s.rflags |= 0x100;
    f = expect_vector(m, &s, 1);
    assert_int_equal(get64(m, f), CODE_AT);
}

static void test_sysenter_sysexit(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(UCODE_AT, 3);

    s.sysenter_cs = SEL_CODE64;
    s.sysenter_esp = KSTACK_TOP;
    s.sysenter_eip = CODE_AT;
    CODE(m, UCODE_AT, 0x0f, 0x34);
    CODE(m, CODE_AT, 0x48, 0x89, 0xe0, VMCALL);
    if (vendor_amd()) {                                 /* not in long mode */
        expect_vector(m, &s, 6);
        return;
    }
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, KSTACK_TOP);
    assert_int_equal(engine_soft.cpl(m->v[0]), 0);
}

static void test_lar_lsl(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* lsl ebx,ax; lar ecx,ax; mov ax,0x58; lsl edx,ax; setnz sil */
    CODE(m, CODE_AT, 0x0f, 0x03, 0xd8, 0x0f, 0x02, 0xc8, 0x66, 0xb8, 0x58, 0, 0x0f, 0x03, 0xd0,
         0x40, 0x0f, 0x95,
         0xc6, VMCALL);
    s.gpr[ENGINE_RAX] = SEL_CODE64;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(s.gpr[ENGINE_RBX], 0xffffffff);
    assert_int_equal(s.gpr[ENGINE_RCX], 0xaf9a00);
    assert_int_equal(s.gpr[ENGINE_RSI], 1);
}

/* ---------------------------------------------------------------- 16 bits */

/* 16-bit protected mode: sizes, SP and IP wrap at 64 KiB, 66 and 67 prefixes. */
static void test_protected_16(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state32(0x100);

    s.seg[ENGINE_CS] = SEG(SEL_CODE16, 0x9b, 0xffff);
    s.seg[ENGINE_CS].base = CODE_AT;
    s.seg[ENGINE_SS] = s.seg[ENGINE_DS] = SEG(SEL_DATA16, 0x93, 0xffff);
    s.seg[ENGINE_SS].base = s.seg[ENGINE_DS].base = DATA_AT;
    s.gpr[ENGINE_RSP] = 0xabcd0000;                     /* only SP counts */
    s.gpr[ENGINE_RBX] = 0xfff0;
    s.gpr[ENGINE_RSI] = 0x20;
    s.gpr[ENGINE_RDX] = 0x40;
    /* mov ax,0x1234; push ax; mov eax,[edx]; mov [bx+si],ax; jmp 0xfffe */
    CODE(m, CODE_AT + 0x100, 0xb8, 0x34, 0x12, 0x50, 0x66, 0x67, 0x8b, 0x02, 0x89, 0x00,
         0xe9, 0xf1, 0xfe);
    /* jmp +0x10, across the end: to 0x10; vmcall */
    CODE(m, CODE_AT + 0xfffe, 0xeb, 0x10);
    CODE(m, CODE_AT + 0x10, VMCALL);
    put64(m, DATA_AT + 0x40, 0x55667788);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0x55667788);
    assert_int_equal(s.gpr[ENGINE_RSP], 0xabcdfffe);
    assert_int_equal(get64(m, DATA_AT + 0xfffe) & 0xffff, 0x1234);
    assert_int_equal(get64(m, DATA_AT + 0x10) & 0xffff, 0x7788);
    assert_int_equal(s.rip, 0x13);
}

/* A word at offset 0xffff would wrap: #GP, or #SS on the stack; the vector table is IP, CS. */
static void test_real_mode_limits(void **state)
{
    static const struct { uint8_t modrm, vector; } row[] = { { 0x07, 13 }, { 0x46, 12 } };

    for (unsigned i = 0; i < 2; i++) {
        struct machine *m = *state;
        struct engine_state s = state16(CODE_AT >> 4);
        uint32_t at = row[i].vector * 4;
        m->ram[at] = 0;
        m->ram[at + 1] = 0x80;                          /* 0x3000:0x8000 */
        m->ram[at + 2] = 0;
        m->ram[at + 3] = 0x30;
        CODE(m, CODE_AT + 0x8000, VMCALL);
        /* mov ax,[bx] or [bp] */
        CODE(m, CODE_AT, 0x8b, row[i].modrm, 0);
        s.gpr[ENGINE_RBX] = s.gpr[ENGINE_RBP] = 0xffff;
        assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
        assert_int_equal(s.rip, 0x8003);
        assert_int_equal(s.gpr[ENGINE_RSP], 0x8000 - 6);
        assert_int_equal(get64(m, 0x8000 - 6) & 0xffffffff, (CODE_AT >> 4) << 16);
    }
}

/* ---------------------------------------------------------------- debugging */

/* TF: behind each instruction, each turn of a REP, one late after POPF and MOV SS; not within the
 * handler; real mode, too. */
static void test_trap_flag(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    uint64_t f;

    CODE(m, CODE_AT, 0xf3, 0xaa);                       /* rep stosb */
    s.rflags |= 0x100;
    s.gpr[ENGINE_RCX] = 3;
    s.gpr[ENGINE_RDI] = DATA_AT;
    f = expect_vector(m, &s, 1);
    assert_int_equal(get64(m, f), CODE_AT);
    assert_int_equal(s.gpr[ENGINE_RCX], 2);
    assert_int_equal(get64(m, f + 16) & 0x100, 0x100);
    assert_int_equal(s.rflags & 0x100, 0);
    assert_int_equal(s.dr[6] & 0x400f, 0x4000);

    s = state64(CODE_AT, 0);
    CODE(m, CODE_AT, 0x9d, 0xff, 0xc3, 0x90);           /* popfq; inc ebx; nop */
    put64(m, STACK_TOP, 0x102);
    f = expect_vector(m, &s, 1);
    assert_int_equal(get64(m, f), CODE_AT + 3);
    assert_int_equal(s.gpr[ENGINE_RBX], 1);

    s = state64(CODE_AT, 0);
    CODE(m, CODE_AT, 0x8e, 0xd0, 0xff, 0xc3, 0x90);     /* mov ss,ax; inc ebx; nop */
    s.rflags |= 0x100;
    s.gpr[ENGINE_RAX] = SEL_DATA;
    f = expect_vector(m, &s, 1);
    assert_int_equal(get64(m, f), CODE_AT + 4);

    s = state16(CODE_AT >> 4);
    put64(m, 4, 0x30008000);
    CODE(m, CODE_AT, 0x40, 0x40);                       /* inc ax */
    CODE(m, CODE_AT + 0x8000, VMCALL);
    s.rflags |= 0x100;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 1);
    assert_int_equal(get64(m, 0x8000 - 6) & 0xffff, 1);
}

/* The registers' own rules. (That breakpoints do not fire is said in exec_sys.c.) */
static void test_debug_registers(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* mov dr0,rax; mov dr7,rbx; mov dr6,rcx; mov rsi,dr5; mov rdi,dr4; mov rdx,dr0; vmcall */
    static const uint8_t code[] = {
        0x0f, 0x23, 0xc0, 0x0f, 0x23, 0xfb, 0x0f, 0x23, 0xf1, 0x0f, 0x21, 0xee, 0x0f, 0x21, 0xe7,
        0x0f, 0x21, 0xc2, VMCALL,
    };
    put_code(m, CODE_AT, code, sizeof(code));
    s.gpr[ENGINE_RAX] = 0x123456789abc;
    s.gpr[ENGINE_RBX] = 0xffffd8fc;                     /* all but GD and the enabling of DR0 */
    s.gpr[ENGINE_RCX] = 0xffffffff;
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(s.gpr[ENGINE_RDX], 0x123456789abc);
    assert_int_equal(s.gpr[ENGINE_RSI], 0xffff04fc);
    assert_int_equal(s.gpr[ENGINE_RDI], 0xffffeffful);

    s = state64(CODE_AT + 9, 0);                        /* CR4.DE: DR5 is no register */
    s.cr4 |= 8;
    assert_int_equal(get64(m, expect_vector(m, &s, 6)), CODE_AT + 9);

    s = state64(CODE_AT + 3, 0);                        /* bits 63:32 must be 0 */
    s.gpr[ENGINE_RBX] = 1ull << 32;
    assert_int_equal(get64(m, expect_vector(m, &s, 13) + 8), CODE_AT + 3);

    s = state64(CODE_AT, 0);                            /* DR7.GD: #DB before any access */
    s.dr[7] = 0x2400;
    assert_int_equal(get64(m, expect_vector(m, &s, 1)), CODE_AT);
    assert_int_equal(s.dr[6] & 0x2000, 0x2000);
    assert_int_equal(s.dr[7], 0x400);

    s = state64(CODE_AT, 3);
    assert_int_equal(get64(m, expect_vector(m, &s, 13) + 8), CODE_AT);
}

/* A device's read leaves the interpreter between the start and the end of an x87 instruction. */
static void test_x87_mmio(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    uint16_t fcw, fsw;

    /* fld1; fld qword [0xf00010]; fstp qword [DATA_AT]; fstp qword [DATA_AT+8];
     * fldcw [0xf00010]; fld tbyte [0xf00010]; vmcall */
    CODE(m, CODE_AT, 0xd9, 0xe8, 0xdd, 0x04, 0x25, 0x10, 0, 0xf0, 0,
         0xdd, 0x1c, 0x25, 0, 0, 5, 0, 0xdd, 0x1c, 0x25, 8, 0, 5, 0,
         0xd9, 0x2c, 0x25, 0x10, 0, 0xf0, 0, 0xdb, 0x2c, 0x25, 0x10, 0, 0xf0, 0, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->hypercalls, 1);
    assert_int_equal(get64(m, DATA_AT), 0x1122334455667788);
    assert_int_equal(get64(m, DATA_AT + 8), 0x3ff0000000000000);
    assert_int_equal(s.fx[1] << 8 | s.fx[0], 0x1748);   /* what FLDCW made of 0x7788 */
    assert_int_equal(s.fx[4], 0x80);                    /* one register in use, TOP is 7 */
    __asm__ volatile("fnstcw %0\n\tfnstsw %1" : "=m"(fcw), "=m"(fsw));
    assert_int_equal(fcw, 0x37f);                       /* the host's unit is at rest */
    assert_int_equal(fsw & 0x3880, 0);
}

/* ---------------------------------------------------------------- events */

static void test_mov_ss_shadow(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* mov ss,ax; inc ebx; inc ebx; hlt */
    CODE(m, CODE_AT, 0x8e, 0xd0, 0xff, 0xc3, 0xff, 0xc3, 0xf4);
    s.gpr[ENGINE_RAX] = SEL_DATA;
    s.rflags |= 0x200;
    s.mov_ss_shadow = true;                             /* one instruction is owed */
    assert_int_equal(engine_soft.set_state(m->v[0], &s), 0);
    engine_soft.want_irq_window(m->v[0], true);
    assert_int_equal(engine_soft.run(m->v[0], 1000), ENGINE_EXIT_IRQ_WINDOW);
    engine_soft.get_state(m->v[0], &s);
    assert_int_equal(s.gpr[ENGINE_RBX], 1);             /* MOV SS, then the one behind it */
    assert_int_equal(s.rip, CODE_AT + 4);
}

static void test_nmi(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    /* hlt; the handler: inc ebx; iretq. A second NMI inside the first waits for IRET. */
    CODE(m, CODE_AT, 0xf4, 0xf4, 0xf4);
    CODE(m, HANDLER_AT + 2 * 16, 0xff, 0xc3, 0xf4, 0x48, 0xcf);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_HLT);
    engine_soft.inject_nmi(m->v[0]);
    assert_int_equal(engine_soft.run(m->v[0], 1000), ENGINE_EXIT_HLT);
    engine_soft.get_state(m->v[0], &s);
    assert_int_equal(s.gpr[ENGINE_RBX], 1);
    assert_true(s.nmi_blocked);
    engine_soft.inject_nmi(m->v[0]);                    /* latched; HLT in the handler goes on */
    assert_int_equal(engine_soft.run(m->v[0], 1000), ENGINE_EXIT_HLT);
    engine_soft.get_state(m->v[0], &s);
    assert_int_equal(s.gpr[ENGINE_RBX], 2);
}

/* A guest whose every exception faults again in its handler is still interrupted. */
static void test_endless_faults(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    CODE(m, CODE_AT, 0x0f, 0x0b);
    CODE(m, HANDLER_AT + 6 * 16, 0x48, 0x83, 0xc4, 40, 0x0f, 0x0b);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
}

/* ---------------------------------------------------------------- the engine interface */

static void test_invalid_states(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0), t;

    t = s; t.cr0 &= ~1ull;                              /* PG without PE */
    assert_int_equal(engine_soft.set_state(m->v[0], &t), -1);
    t = s; t.efer &= ~0x400ull;                         /* LME and PG without LMA */
    assert_int_equal(engine_soft.set_state(m->v[0], &t), -1);
    t = s; t.cr4 &= ~0x20ull;                           /* long mode without PAE */
    assert_int_equal(engine_soft.set_state(m->v[0], &t), -1);
    t = s; t.efer |= 1u << 16;
    assert_int_equal(engine_soft.set_state(m->v[0], &t), -1);
    assert_int_equal(engine_soft.set_state(m->v[0], &s), 0);
}

static void test_state_round_trip(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 3), t;

    for (unsigned i = 0; i < 16; i++)
        s.gpr[i] = 0x1111111111111111ull * i;
    s.rflags = 0xad7;
    s.kernel_gs_base = 0xffff888000000000ull;
    s.seg[ENGINE_FS].base = 0x7f0000001000;
    s.tsc_aux = 3;
    s.cr2 = 0x1234;
    s.sti_shadow = true;
    assert_int_equal(engine_soft.set_state(m->v[0], &s), 0);
    engine_soft.get_state(m->v[0], &t);
    assert_memory_equal(&s, &t, offsetof(struct engine_state, fx));
    assert_memory_equal(s.fx, t.fx, 28);            /* behind it: which MXCSR bits exist */
    assert_true(t.sti_shadow);
}

static void test_gva_access(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    char buf[64] = "";

    put64(m, PT_AT + 0x51 * 8, 0);
    memcpy(m->ram + DATA_AT + 0xff0, "0123456789abcdef", 16);
    assert_int_equal(engine_soft.set_state(m->v[0], &s), 0);
    assert_int_equal(engine_soft.gva_read(m->v[0], DATA_AT + 0xff0, buf, 32), 16);
    assert_memory_equal(buf, "0123456789abcdef", 16);
    assert_int_equal(engine_soft.gva_write(m->v[0], DATA_AT + 0xff8, "XYZW....++", 10), 8);
    assert_memory_equal(m->ram + DATA_AT + 0xff8, "XYZW....", 8);
    assert_int_equal(engine_soft.gva_read(m->v[0], 1ull << 47, buf, 8), 0);
    assert_int_equal(engine_soft.gva_read(m->v[0], 0xf00000, buf, 8), 0);     /* MMIO */
}

static void test_hypercall_verdicts(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    m->hypercall_verdict = ENGINE_FAULT_UD;
    CODE(m, CODE_AT, 0x0f, 0x01, 0xd9);                 /* vmmcall: #UD at its own address */
    CODE(m, HANDLER_AT + 6 * 16, 0xf4);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_HLT);
    assert_int_equal(get64(m, s.gpr[ENGINE_RSP]), CODE_AT);
    /* rdmsr that the machine refuses */
    CODE(m, CODE_AT, 0xb9, 0x23, 1, 0, 0, 0x0f, 0x32);
    CODE(m, HANDLER_AT + 13 * 16, 0xf4);
    s = state64(CODE_AT, 0);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_HLT);
    assert_int_equal(get64(m, s.gpr[ENGINE_RSP] + 8), CODE_AT + 5);
}

/* Code written through one mapping and run through another. */
static void test_alias_write(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);

    put64(m, PT_AT + 0x51 * 8, 0x70007);                /* 0x51000 is 0x70000 as well */
    CODE(m, 0x70000, 0xb8, 1, 0, 0, 0, 0xc3);
    /* call 0x70000; mov ebx,eax; mov byte [0x51001],9; call 0x70000; shl eax,8; or eax,ebx;
     * vmcall */
    CODE(m, CODE_AT, 0xe8, 0xfb, 0xff, 3, 0, 0x89, 0xc3, 0xc6, 0x04, 0x25, 1, 0x10, 5, 0, 9, 0xe8,
         0xec, 0xff, 3, 0,
         0xc1, 0xe0, 8, 0x09, 0xd8, VMCALL);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    assert_int_equal(m->last_hypercall, 0x901);
}

/* Data that shares a page with running code can be written without losing the code. */
static void test_code_and_data_page(void **state)
{
    struct machine *m = *state;
    struct engine_state s = state64(CODE_AT, 0);
    struct engine_stats before, after;

    /* mov ecx,1000; 1: inc dword [CODE_AT+0x800]; dec ecx; jnz 1b; vmcall */
    CODE(m, CODE_AT, 0xb9, 0xe8, 3, 0, 0, 0xff, 0x04, 0x25, 0, 8, 3, 0, 0xff, 0xc9, 0x75, 0xf5,
         VMCALL);
    engine_soft.stats(m->v[0], &before);
    assert_int_equal(run_from(m, &s), ENGINE_EXIT_KICK);
    engine_soft.stats(m->v[0], &after);
    assert_int_equal(get32(m, CODE_AT + 0x800), 1000);
    assert_true(after.blocks_decoded - before.blocks_decoded < 10);
    assert_in_range(after.insns - before.insns, 3000, 3010);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(test_paging_32), T(test_paging_pae), T(test_gigabyte_page), T(test_global_pages),
        T(test_expand_down),
        T(test_read_only_segment), T(test_load_seg_faults), T(test_call_gate),
        T(test_task_gate_refused),
        T(test_sysenter_sysexit), T(test_syscall_compat), T(test_syscall_trap_flag), T(test_lar_lsl), T(test_protected_16),
        T(test_real_mode_limits), T(test_trap_flag), T(test_debug_registers), T(test_x87_mmio),
        T(test_mov_ss_shadow), T(test_nmi),
        T(test_endless_faults),
        T(test_invalid_states), T(test_state_round_trip), T(test_gva_access),
        T(test_hypercall_verdicts),
        T(test_alias_write), T(test_code_and_data_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
