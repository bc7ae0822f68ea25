/* SPDX-License-Identifier: MIT */
/*
 * The soft CPU with arbitrary code and registers in every mode: whatever a guest does, the engine
 * must come back, stay within guest memory (guard pages around it) and keep its own state sound.
 *
 * Input: mode, two bytes of choices, 16 bytes that registers are made from, then code.
 */
#include <stdio.h>

#include "tests/unit/soft_machine.h"

enum { REAL, PROT32, LONG0, LONG3, COMPAT3, PAE32, PAGED32, NR_MODES };

static struct engine_state start(struct machine *m, unsigned mode)
{
    struct engine_state s;

    switch (mode) {
    case REAL: return state16(CODE_AT >> 4);
    case PROT32: return state32(CODE_AT);
    case LONG0: return state64(CODE_AT, 0);
    case LONG3: return state64(CODE_AT, 3);
    case COMPAT3:
        s = state64(CODE_AT, 3);
        s.seg[ENGINE_CS] = SEG(SEL_UCODE32 | 3, 0xcfb, 0xffffffff);
        return s;
    case PAE32:
        s = state32(CODE_AT);
        put64(m, PDPT_AT, PD_AT | 1);
        s.cr0 |= 0x80010000;
        s.cr3 = PDPT_AT;
        s.cr4 = 0x6b0;
        s.efer = 0x800;
        return s;
    default:
        s = state32(CODE_AT);
        for (unsigned i = 0; i < 8; i++)    /* 4 MiB pages, two entries per 8 bytes */
            put64(m, PML4_AT + i * 8,
                  (((uint64_t)(2 * i + 1) << 22 | 0x87) << 32) | (uint64_t)(2 * i) << 22 | 0x87);
        s.cr0 |= 0x80010000;
        s.cr3 = PML4_AT;
        s.cr4 = 0x690;
        return s;
    }
}

/* Registers that often point somewhere: small numbers, the code, the tables, the ends of memory. */
static uint64_t reg(uint8_t b)
{
    static const uint64_t places[16] = {
        0, 1, CODE_AT, CODE_AT + 0xff8, DATA_AT, DATA_AT + 0xffc, GDT_AT, IDT_AT, TSS_AT, PT_AT,
        PML4_AT,
        RAM_SIZE - 4, 0xf00000, 0x7fffffffffff, 0xffff800000000000, 0xffffffff,
    };

    return places[b & 15] + (b >> 4) - 4;
}

/* Guest floating point runs in the host's registers; back outside they must be as C code left them,
 * or some later floating point instruction of the process pays for it. */
static bool host_fp_sound(void)
{
    uint16_t fcw, fsw;
    uint32_t mxcsr;

    __asm__ volatile("fnstcw %0\n\tfnstsw %1\n\tstmxcsr %2" : "=m"(fcw), "=m"(fsw), "=m"(mxcsr));
    return fcw == 0x37f && !(fsw & 0x3880) && (mxcsr & 0xffc0) == 0x1f80;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct machine *m;
    struct engine_state s;
    size_t len;

    if (size < 20)
        return 0;
    m = machine_new(1);
    m->hypercall_verdict = data[1] & 1 ? ENGINE_CONTINUE : ENGINE_FAULT_UD;
    s = start(m, data[0] % NR_MODES);
    for (unsigned i = 0; i < 16; i++)
        if (i != ENGINE_RSP || data[1] & 2)
            s.gpr[i] = reg(data[3 + i]);
    s.cr4 |= (data[1] & 4 ? 1u << 20 : 0) | (data[1] & 8 ? 1u << 21 : 0) | 1u << 16;
    s.rflags |= (data[1] & 16 ? 1u << 8 : 0) | (data[1] & 32 ? 1u << 18 : 0) | (data[1] & 64
        ? 3u << 12 : 0) | 0x200;
    len = size - 19 < 512 ? size - 19 : 512;
    put_code(m, CODE_AT, data + 19, len);
    if (engine_soft.set_state(m->v[0], &s))
        abort();
    for (unsigned i = 0; i < 4; i++) {
        enum engine_exit x = engine_soft.run(m->v[0], 400);
        if (x == ENGINE_EXIT_ERROR && strstr(engine_soft.error(m->v[0]), "past its end"))
            abort();
        if (!host_fp_sound())
            abort();
        if (x == ENGINE_EXIT_ERROR || x == ENGINE_EXIT_SHUTDOWN)
            break;
        if (x == ENGINE_EXIT_HLT)
            engine_soft.set_halted(m->v[0], false);
        if (data[2] & 1 && engine_soft.irq_ready(m->v[0]))
            engine_soft.inject_irq(m->v[0], data[2]);
        engine_soft.want_irq_window(m->v[0], data[2] & 2);
    }
    engine_soft.get_state(m->v[0], &s);
    machine_free(m);
    return 0;
}
