/* SPDX-License-Identifier: MIT */
/*
 * Floating point under control registers that user code cannot set, where cpudiff cannot go: #NM
 * and #UD by CR0.EM, CR0.TS, CR0.MP and CR4.OSFXSR, #XM or #UD by CR4.OSXMMEXCPT, #MF, and the
 * real-mode formats of the x87 environment. Real-mode code; every vector leads to a HLT of its own.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "hypervisor/engine/engine.h"

#define RAM_SIZE  0x100000u
#define CODE_SEG  0x1000u
#define CODE_IP   0x0800u
#define DATA_SEG  0x2000u
#define STUBS     0x3000u          /* one HLT per vector, 4 bytes apart */

#define CR0_BASE  0x30u            /* NE ET */
#define CR0_MP    0x2u
#define CR0_EM    0x4u
#define CR0_TS    0x8u
#define CR4_BASE  0x600u           /* OSXMMEXCPT OSFXSR */
#define CR4_OSFXSR 0x200u
#define CR4_OSXMMEXCPT 0x400u

#define NO_FAULT  (-1)

static uint8_t *ram;
static uint8_t gfn_type[RAM_SIZE >> 12];
static struct engine *engine;
static struct engine_vcpu *vcpu;
static struct engine_state after;

static struct engine_segment real_seg(uint16_t sel, uint16_t attr)
{
    return (struct engine_segment){ .sel = sel, .base = (uint64_t)sel << 4, .limit = 0xffff,
                                    .attr = attr };
}

static int set_up(void **state)
{
    struct engine_env env = { .nr_vcpus = 1, .gpa_limit = RAM_SIZE, .gfn_type = gfn_type };

    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram == MAP_FAILED)
        return -1;
    env.ram = ram;
    memset(gfn_type, ENGINE_GFN_RAM, sizeof(gfn_type));
    for (unsigned v = 0; v < 32; v++) {
        uint16_t vector[2] = { (uint16_t)(STUBS + 4 * v), 0 };
        memcpy(ram + 4 * v, vector, 4);
        ram[STUBS + 4 * v] = 0xf4;
    }
    engine = engine_soft.create(&env);
    vcpu = engine ? engine_soft.vcpu_create(engine, 0) : NULL;
    return vcpu ? 0 : -1;
}

static int tear_down(void **state)
{
    engine_soft.vcpu_destroy(vcpu);
    engine_soft.destroy(engine);
    munmap(ram, RAM_SIZE);
    return 0;
}

/* Runs code with HLT behind it; returns the vector it raised or NO_FAULT. State in `after`. */
static int run(const char *code, size_t len, uint64_t cr0, uint64_t cr4)
{
    struct engine_state s;
    uint8_t *at = ram + CODE_SEG * 16 + CODE_IP;

    memset(&s, 0, sizeof(s));
    memcpy(at, code, len);
    at[len] = 0xf4;
    engine_soft.invalidate_gfns(engine, 0, RAM_SIZE >> 12);
    s.rip = CODE_IP;
    s.rflags = 2;
    s.gpr[ENGINE_RSP] = 0x7000;
    for (int i = 0; i < ENGINE_NR_SREGS; i++)
        s.seg[i] = real_seg(DATA_SEG, 0x093);
    s.seg[ENGINE_SS] = real_seg(0, 0x093);
    s.seg[ENGINE_CS] = real_seg(CODE_SEG, 0x09b);
    s.tr.attr = 0x8b;
    s.idtr.limit = 0x3ff;
    s.cr0 = cr0;
    s.cr4 = cr4;
    s.dr[6] = 0xffff0ff0;
    s.dr[7] = 0x400;
    s.pat = 0x0007040600070406;
    s.xcr0 = 1;
    s.fx[0] = 0x7f;
    s.fx[1] = 0x03;
    s.fx[24] = 0x80;
    s.fx[25] = 0x1f;
    assert_int_equal(engine_soft.set_state(vcpu, &s), 0);
    assert_int_equal(engine_soft.run(vcpu, 1000), ENGINE_EXIT_HLT);
    engine_soft.get_state(vcpu, &after);
    if (after.seg[ENGINE_CS].sel == CODE_SEG) {
        assert_int_equal(after.rip, CODE_IP + len + 1);
        return NO_FAULT;
    }
    return (int)(after.rip - 1 - STUBS) / 4;
}

#define RUN(code, cr0, cr4) run(code, sizeof(code) - 1, CR0_BASE | (cr0), cr4)

static const char fld1[] = "\xd9\xe8", fwait_[] = "\x9b", paddb[] = "\x0f\xfc\xc1";
static const char addps[] = "\x0f\x58\xc1", movaps[] = "\x0f\x28\xc1", paddd[] = "\x66\x0f\xfe\xc1";
static const char emms[] = "\x0f\x77", fxsave[] = "\x0f\xae\x06\x00\x01", fninit[] = "\xdb\xe3";
static const char stmxcsr[] = "\x0f\xae\x1e\x00\x01", fnstsw[] = "\xdf\xe0";

static void all_allowed(void **state)
{
    assert_int_equal(RUN(fld1, 0, CR4_BASE), NO_FAULT);
    assert_int_equal(RUN(paddb, 0, CR4_BASE), NO_FAULT);
    assert_int_equal(RUN(addps, 0, CR4_BASE), NO_FAULT);
    assert_int_equal(RUN(fxsave, 0, CR4_BASE), NO_FAULT);
    assert_int_equal(RUN(fwait_, CR0_MP, CR4_BASE), NO_FAULT);
}

static void emulation(void **state)
{
    assert_int_equal(RUN(fld1, CR0_EM, CR4_BASE), 7);
    assert_int_equal(RUN(fninit, CR0_EM, CR4_BASE), 7);
    assert_int_equal(RUN(fnstsw, CR0_EM, CR4_BASE), 7);
    assert_int_equal(RUN(fxsave, CR0_EM, CR4_BASE), 7);
    assert_int_equal(RUN(paddb, CR0_EM, CR4_BASE), 6);
    assert_int_equal(RUN(emms, CR0_EM, CR4_BASE), 6);
    assert_int_equal(RUN(addps, CR0_EM, CR4_BASE), 6);
    assert_int_equal(RUN(movaps, CR0_EM, CR4_BASE), 6);
    assert_int_equal(RUN(stmxcsr, CR0_EM, CR4_BASE), 6);
    assert_int_equal(RUN(fwait_, CR0_EM, CR4_BASE), NO_FAULT);
}

static void task_switched(void **state)
{
    assert_int_equal(RUN(fld1, CR0_TS, CR4_BASE), 7);
    assert_int_equal(RUN(fxsave, CR0_TS, CR4_BASE), 7);
    assert_int_equal(RUN(paddb, CR0_TS, CR4_BASE), 7);
    assert_int_equal(RUN(addps, CR0_TS, CR4_BASE), 7);
    assert_int_equal(RUN(paddd, CR0_TS, CR4_BASE), 7);
    assert_int_equal(RUN(stmxcsr, CR0_TS, CR4_BASE), 7);
    assert_int_equal(RUN(fwait_, CR0_TS, CR4_BASE), NO_FAULT);
    assert_int_equal(RUN(fwait_, CR0_TS | CR0_MP, CR4_BASE), 7);
    /* Emulation wins where both say something. */
    assert_int_equal(RUN(paddb, CR0_TS | CR0_EM, CR4_BASE), 6);
    assert_int_equal(RUN(addps, CR0_TS | CR0_EM, CR4_BASE), 6);
}

static void no_osfxsr(void **state)
{
    assert_int_equal(RUN(addps, 0, 0), 6);
    assert_int_equal(RUN(movaps, 0, 0), 6);
    assert_int_equal(RUN(paddd, 0, 0), 6);
    assert_int_equal(RUN(stmxcsr, 0, 0), 6);
    assert_int_equal(RUN(addps, CR0_TS, 0), 6);
    assert_int_equal(RUN(paddb, 0, 0), NO_FAULT);
    assert_int_equal(RUN(fxsave, 0, 0), NO_FAULT);
}

/* mov dword [100h], 1d80h (ZM clear); ldmxcsr [100h]; divps xmm0, xmm0 needs a nonzero dividend. */
static void simd_exception(void **state)
{
    static const char code[] =
        "\x66\xc7\x06\x00\x01\x80\x1d\x00\x00"           /* mov dword [0x100], 0x1d80 */
        "\x0f\xae\x16\x00\x01"                           /* ldmxcsr [0x100] */
        "\x66\x0f\x76\xc0"                               /* pcmpeqd xmm0, xmm0 */
        "\x66\x0f\x72\xd0\x19\x66\x0f\x72\xf0\x17"       /* psrld 25; pslld 23: 1.0f */
        "\x66\x0f\xef\xc9"                               /* pxor xmm1, xmm1 */
        "\x0f\x5e\xc1";                                  /* divps xmm0, xmm1 */
    assert_int_equal(RUN(code, 0, CR4_BASE), 19);
    assert_int_equal(after.fx[24] & 0x3f, 0x04);         /* ZE */
    assert_int_equal(after.fx[160 + 3], 0x3f);           /* the destination is as it was */
    assert_int_equal(RUN(code, 0, CR4_OSFXSR), 6);
}

/* An unmasked division by zero waits for the next waiting instruction. */
#define DIVIDE_BY_ZERO \
    "\xc7\x06\x00\x01\x7b\x03"         /* mov word [0x100], 0x37b */ \
    "\xd9\x2e\x00\x01"                 /* fldcw [0x100] */ \
    "\xd9\xe8\xd9\xee\xde\xf9"         /* fld1; fldz; fdivp */

static void x87_exception(void **state)
{
    assert_int_equal(RUN(DIVIDE_BY_ZERO, 0, CR4_BASE), NO_FAULT);
    assert_int_equal(after.fx[2] & 0x84, 0x84);          /* ES, ZE */
    assert_int_equal(RUN(DIVIDE_BY_ZERO "\xdf\xe0", 0, CR4_BASE), NO_FAULT);      /* fnstsw ax */
    assert_int_equal(RUN(DIVIDE_BY_ZERO "\x0f\xae\x06\x00\x02", 0, CR4_BASE), NO_FAULT);
    assert_int_equal(RUN(DIVIDE_BY_ZERO "\x9b", 0, CR4_BASE), 16);
    assert_int_equal(RUN(DIVIDE_BY_ZERO "\xd9\xe8", 0, CR4_BASE), 16);
    assert_int_equal(RUN(DIVIDE_BY_ZERO "\x0f\xfc\xc1", 0, CR4_BASE), 16);        /* paddb */
    assert_int_equal(RUN(DIVIDE_BY_ZERO "\x0f\x58\xc1", 0, CR4_BASE), NO_FAULT);  /* addps */
    assert_int_equal(RUN(DIVIDE_BY_ZERO "\xdb\xe2\x9b", 0, CR4_BASE), NO_FAULT);  /* fnclex */
    assert_int_equal(RUN(DIVIDE_BY_ZERO "\xdb\xe3\x9b", 0, CR4_BASE), NO_FAULT);  /* fninit */
}

static uint32_t data(unsigned off, unsigned bytes)
{
    uint32_t x = 0;
    memcpy(&x, ram + DATA_SEG * 16 + off, bytes);
    return x;
}

/* FLD m32 [0x120] at 1000:0800 reads 2000:0120; then the environment is stored at 0x200. */
static void real_environment(void **state)
{
    const uint32_t fip = CODE_SEG * 16 + CODE_IP, fdp = DATA_SEG * 16 + 0x120, fop = 0x106;

    memset(ram + DATA_SEG * 16 + 0x100, 0, 0x200);
    assert_int_equal(RUN("\xd9\x06\x20\x01\xd9\x36\x00\x02", 0, CR4_BASE), NO_FAULT);
    assert_int_equal(data(0x200, 2), 0x37f);
    assert_int_equal(data(0x202, 2), 0x3800);            /* TOP 7 */
    assert_int_equal(data(0x204, 2), 0x7fff);            /* register 7 holds zero */
    assert_int_equal(data(0x206, 2), fip & 0xffff);
    assert_int_equal(data(0x208, 2), fip >> 16 << 12 | fop);
    assert_int_equal(data(0x20a, 2), fdp & 0xffff);
    assert_int_equal(data(0x20c, 2), fdp >> 16 << 12);
    assert_int_equal(data(0x20e, 2), 0);                 /* 14 bytes and no more */

    assert_int_equal(RUN("\xd9\x06\x20\x01\x66\xd9\x36\x00\x02", 0, CR4_BASE), NO_FAULT);
    assert_int_equal(data(0x200, 2), 0x37f);
    assert_int_equal(data(0x204, 2), 0x3800);
    assert_int_equal(data(0x208, 2), 0x7fff);
    assert_int_equal(data(0x20c, 2), fip & 0xffff);
    assert_int_equal(data(0x210, 4), fip >> 16 << 12 | fop);
    assert_int_equal(data(0x214, 2), fdp & 0xffff);
    assert_int_equal(data(0x218, 4), fdp >> 16 << 12);
}

/* FNSAVE and FRSTOR bring back what was there, TOP and registers alike. */
static void save_and_restore(void **state)
{
    assert_int_equal(RUN("\xd9\xeb\xd9\xe8"              /* fldpi; fld1 */
                         "\xdd\x36\x00\x02"              /* fnsave [0x200] */
                         "\xdd\x26\x00\x02", 0, CR4_BASE), NO_FAULT);
    assert_int_equal(after.fx[3], 0x30);                 /* TOP 6 */
    assert_int_equal(after.fx[4], 0xc0);
    assert_int_equal(after.fx[32 + 9], 0x3f);            /* 1.0 */
    assert_int_equal(after.fx[48 + 8], 0x00);            /* pi: exponent 0x4000 */
    assert_int_equal(after.fx[48 + 9], 0x40);
    assert_int_equal(after.fx[48 + 7], 0xc9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_allowed), cmocka_unit_test(emulation), cmocka_unit_test(task_switched),
        cmocka_unit_test(no_osfxsr), cmocka_unit_test(simd_exception),
        cmocka_unit_test(x87_exception),
        cmocka_unit_test(real_environment), cmocka_unit_test(save_and_restore),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
