/* SPDX-License-Identifier: MIT */
/* Comparing what the two sides made of a case. */
#include "tests/cpu/cpudiff.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static uint64_t get(const uint8_t *p, unsigned n)
{
    uint64_t x = 0;
    memcpy(&x, p, n);
    return x;
}

/* ---------------------------------------------------------------- reporting */

static FILE *report;
static unsigned differences;

__attribute__((format(printf, 1, 2)))
static void differ(const char *fmt, ...)
{
    va_list ap;

    differences++;
    if (!report)
        return;
    fprintf(report, "    ");
    va_start(ap, fmt);
    vfprintf(report, fmt, ap);
    va_end(ap);
    fprintf(report, "\n");
}

static void field(const char *name, uint64_t in, uint64_t native, uint64_t guest)
{
    if (native != guest)
        differ("%-8s was %016" PRIx64 "  host %016" PRIx64 "  soft %016" PRIx64, name, in, native,
               guest);
}

void print_case(const struct cpu_case *c, FILE *f)
{
    ZydisDecoder d;
    ZydisFormatter fmt;
    ZydisDecodedInstruction i;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    char text[128];

    cpu_decoder(&d, c->compat);
    ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
    fprintf(f, "  %s%s ", c->compat ? "32-bit" : "64-bit", c->step ? " step" : "");
    for (unsigned k = 0; k < c->len; k++)
        fprintf(f, "%02x", c->code[k]);
    for (unsigned at = 0; at < c->len; at += i.length) {
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, c->code + at, c->len - at, &i, ops))) {
            fprintf(f, "  (undecodable)");
            break;
        }
        ZydisFormatterFormatInstruction(&fmt, &i, ops, i.operand_count_visible, text, sizeof(text),
                                        c->in.rip + at, NULL);
        fprintf(f, "%s%s", at ? "; " : "  ", text);
    }
    fprintf(f, "\n");
}

static const char *const gpr_names[16] = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
};
static const char *const sreg_names[ENGINE_NR_SREGS] = { "es", "cs", "ss", "ds", "fs", "gs" };

static void compare_fx(const struct cpu_case *c, uint8_t *n, const uint8_t *g)
{
    /* Of the pointers a CPU keeps as many bits as its addresses have. */
    static const struct { const char *name; unsigned off, len; uint64_t mask; } fields[] = {
        { "fcw", 0, 2, ~0ull }, { "fsw", 2, 2, ~0ull }, { "ftw", 4, 1, ~0ull },
        { "fop", 6, 2, ~0ull }, { "fip", 8, 8, 0xffffffffffff }, { "fdp", 16, 8, 0xffffffffffff },
        { "mxcsr", 24, 4, ~0ull },
    };
    char name[16];

    /* The exception pointers: AMD's CPUs save them only while an exception is pending (APM vol. 2,
     * 11.4.4), Intel's always. */
    bool pending = n[2] & 0x80;
    for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++)
        if (pending || fields[k].off < 6 || fields[k].off > 16)
            field(fields[k].name, get(c->in.fx + fields[k].off, fields[k].len),
                  get(n + fields[k].off, fields[k].len) & fields[k].mask,
                  get(g + fields[k].off, fields[k].len) & fields[k].mask);
    for (unsigned k = 0; k < 8; k++)
        for (unsigned part = 0; part < 2; part++) {
            unsigned off = 32 + 16 * k + 8 * part, len = part ? 2 : 8;
            snprintf(name, sizeof(name), "st%u.%s", k, part ? "se" : "m");
            field(name, get(c->in.fx + off, len), get(n + off, len), get(g + off, len));
        }
    for (unsigned k = 0; k < 32; k++) {
        unsigned off = 160 + 8 * k;
        snprintf(name, sizeof(name), "xmm%u.%c", k / 2, k % 2 ? 'h' : 'l');
        field(name, get(c->in.fx + off, 8), get(n + off, 8), get(g + off, 8));
    }
}

static void compare_data(const struct cpu_outcome *n, const struct cpu_outcome *g)
{
    unsigned shown = 0;

    if (!memcmp(n->data, g->data, DATA_RW))
        return;
    for (unsigned k = 0; k < DATA_RW && shown < 8; k += 8)
        if (memcmp(n->data + k, g->data + k, 8)) {
            differ("[%08x] host %016" PRIx64 "  soft %016" PRIx64, DATA_VA + k, get(n->data + k, 8),
                   get(g->data + k, 8));
            shown++;
        }
}

/* The kernel's return to the handler makes all null selectors 0. */
static uint16_t null_is_0(uint16_t sel)
{
    return sel < 4 ? 0 : sel;
}

unsigned compare(const struct cpu_case *c, struct cpu_outcome *n, const struct cpu_outcome *g,
                 FILE *f)
{
    uint64_t gpr_mask = c->compat ? 0xffffffff : ~0ull;
    struct open_points open;

    report = f;
    differences = 0;
    find_open_points(c, n, g, &open);
    if (n->vector != g->vector || n->error != g->error || n->cr2 != g->cr2)
        differ("fault    host %u(%x) cr2 %" PRIx64 "  soft %u(%x) cr2 %" PRIx64, n->vector,
               n->error, n->cr2, g->vector, g->error, g->cr2);
    if (n->vector != g->vector && (n->vector >= VEC_HANG || g->vector >= VEC_HANG))
        return differences;
    if (open.everything)
        return differences;
    /* The upper halves are undefined after a stay in 32-bit code (AMD APM vol. 2, 14.8). */
    for (unsigned k = 0; k < (c->compat ? 8u : 16u); k++)
        field(gpr_names[k], c->in.gpr[k], n->s.gpr[k] & gpr_mask, g->s.gpr[k] & gpr_mask);
    field("rip", c->in.rip, n->s.rip, g->s.rip);
    field("rflags", c->in.rflags, n->s.rflags & ~(uint64_t)open.flags,
          g->s.rflags & ~(uint64_t)open.flags);
    for (unsigned k = 0; k < ENGINE_NR_SREGS; k++)
        field(sreg_names[k], c->in.sel[k], null_is_0(n->s.sel[k]), null_is_0(g->s.sel[k]));
    field("fsbase", c->in.fs_base, n->s.fs_base, g->s.fs_base);
    field("gsbase", c->in.gs_base, n->s.gs_base, g->s.gs_base);
    compare_fx(c, n->s.fx, g->s.fx);
    if (!open.data)
        compare_data(n, g);
    return differences;
}
