/* SPDX-License-Identifier: MIT */
/*
 * The list of instruction forms, from the opcode space: every opcode of the four legacy maps with
 * every prefix that can select an instruction, and every ModRM.reg and register ModRM.rm, is
 * decoded by Zydis. Neighbours that decode alike become one form.
 */
#include "tests/cpu/cpudiff.h"

#include <stdlib.h>
#include <string.h>

struct form_list forms;

/* Attributes that make a difference to what may be done with the instruction. */
#define SIG_ATTRS (ZYDIS_ATTRIB_ACCEPTS_LOCK | ZYDIS_ATTRIB_ACCEPTS_REP | \
                   ZYDIS_ATTRIB_ACCEPTS_REPE | ZYDIS_ATTRIB_ACCEPTS_REPNE | \
                   ZYDIS_ATTRIB_IS_PRIVILEGED | ZYDIS_ATTRIB_HAS_MODRM)

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

/* Which instruction, on what kinds and sizes of operands: not which registers or values. */
uint64_t form_sig(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *ops)
{
    uint64_t h = mix(i->mnemonic, i->operand_width);

    h = mix(h, i->meta.isa_set);
    h = mix(h, i->attributes & SIG_ATTRS);
    h = mix(h, i->operand_count_visible);
    for (unsigned n = 0; n < i->operand_count_visible; n++) {
        h = mix(h, ops[n].type << 16 | ops[n].size);
        if (ops[n].type == ZYDIS_OPERAND_TYPE_REGISTER)
            h = mix(h, ZydisRegisterGetClass(ops[n].reg.value));
    }
    return h;
}

/* What later CPUs made of hint NOPs decodes as the NOPs that they are without the feature. */
void cpu_decoder(ZydisDecoder *d, bool compat)
{
    ZydisDecoderInit(d, compat ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_64,
                     compat ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_64);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
}

struct probe { uint64_t sig; ZydisDecodedInstruction insn; };

static unsigned opcode_bytes(const struct form *f, uint8_t *b)
{
    unsigned n = 0;

    if (f->vex) {
        b[n++] = 0xc4;
        b[n++] = 0xe0 | (f->map == ZYDIS_OPCODE_MAP_0F38 ? 2 : 3);
        b[n++] = (uint8_t)(f->rexw << 7 | 0x78 | f->pfx[0]);
        b[n++] = f->opcode;
        return n;
    }
    for (unsigned i = 0; i < f->nr_pfx; i++)
        b[n++] = f->pfx[i];
    if (f->rexw)
        b[n++] = 0x48;
    if (f->map != ZYDIS_OPCODE_MAP_DEFAULT)
        b[n++] = 0x0f;
    if (f->map == ZYDIS_OPCODE_MAP_0F38)
        b[n++] = 0x38;
    if (f->map == ZYDIS_OPCODE_MAP_0F3A)
        b[n++] = 0x3a;
    b[n++] = f->opcode;
    return n;
}

/* Of the VEX-encoded instructions only those on integer registers are of interest. */
static bool right_encoding(const struct form *f, const ZydisDecodedInstruction *i)
{
    if (!f->vex)
        return i->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
    return i->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX &&
           (i->meta.isa_set == ZYDIS_ISA_SET_BMI1 || i->meta.isa_set == ZYDIS_ISA_SET_BMI2);
}

static bool decode(const ZydisDecoder *d, const struct form *f, unsigned modrm, struct probe *out)
{
    uint8_t b[ZYDIS_MAX_INSTRUCTION_LENGTH] = { 0 };
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
    unsigned n = opcode_bytes(f, b);

    b[n++] = (uint8_t)modrm;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, b, sizeof(b), &out->insn, ops)) ||
        !right_encoding(f, &out->insn) ||
        out->insn.opcode_map != f->map || out->insn.opcode != f->opcode) {
        out->sig = 0;
        return false;
    }
    out->sig = form_sig(&out->insn, ops);
    return true;
}

static int add(struct form f, const struct probe *p, int reg, int rm, bool mem)
{
    static size_t room;

    if (forms.nr == room) {
        room = room ? room * 2 : 1024;
        struct form *more = realloc(forms.f, room * sizeof(*more));
        if (!more)
            return -1;
        forms.f = more;
    }
    f.mnemonic = p->insn.mnemonic;
    f.isa = p->insn.meta.isa_set;
    f.sig = p->sig;
    f.has_modrm = p->insn.attributes & ZYDIS_ATTRIB_HAS_MODRM;
    f.mem = mem;
    f.system = p->insn.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ||
               p->insn.attributes & (ZYDIS_ATTRIB_ACCEPTS_REP | ZYDIS_ATTRIB_ACCEPTS_REPE) ||
               p->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ||
               p->insn.meta.category == ZYDIS_CATEGORY_SEGOP ||
               p->insn.meta.category == ZYDIS_CATEGORY_INTERRUPT;
    f.reg = (int8_t)reg;
    f.rm = (int8_t)rm;
    forms.f[forms.nr++] = f;
    return 0;
}

/* One half (memory or register operands) of an opcode's ModRM space: p[reg][rm]. */
static int add_half(const struct form *f, struct probe p[8][8], unsigned rms, bool mem)
{
    bool all = true;

    for (unsigned reg = 0; reg < 8; reg++)
        for (unsigned rm = 0; rm < rms; rm++)
            all = all && p[reg][rm].sig == p[0][0].sig;
    if (all)
        return p[0][0].sig ? add(*f, &p[0][0], -1, -1, mem) : 0;
    for (unsigned reg = 0; reg < 8; reg++) {
        bool row = true;
        for (unsigned rm = 0; rm < rms; rm++)
            row = row && p[reg][rm].sig == p[reg][0].sig;
        if (row) {
            if (p[reg][0].sig && add(*f, &p[reg][0], (int)reg, -1, mem) < 0)
                return -1;
            continue;
        }
        for (unsigned rm = 0; rm < rms; rm++)
            if (p[reg][rm].sig && add(*f, &p[reg][rm], (int)reg, (int)rm, mem) < 0)
                return -1;
    }
    return 0;
}

static int add_opcode(const ZydisDecoder *d, struct form *f)
{
    static struct probe p[8][8];
    struct probe one;

    if (decode(d, f, 0, &one) && !(one.insn.attributes & ZYDIS_ATTRIB_HAS_MODRM))
        return add(*f, &one, -1, -1, false);
    /* [rBX] or, for 32-bit code, [EBX]: neither SIB nor displacement. */
    for (unsigned reg = 0; reg < 8; reg++)
        decode(d, f, reg << 3 | 3, &p[reg][0]);
    if (add_half(f, p, 1, true) < 0)
        return -1;
    for (unsigned reg = 0; reg < 8; reg++)
        for (unsigned rm = 0; rm < 8; rm++)
            decode(d, f, 0xc0 | reg << 3 | rm, &p[reg][rm]);
    return add_half(f, p, 8, false);
}

static bool same_place(const struct form *a, const struct form *b)
{
    return a->compat == b->compat && a->map == b->map && a->vex == b->vex &&
           a->opcode == b->opcode && a->mem == b->mem && a->rexw == b->rexw &&
           (a->reg == b->reg || a->reg < 0 || b->reg < 0) &&
           (a->rm == b->rm || a->rm < 0 || b->rm < 0) && a->sig == b->sig;
}

/* Forms whose prefix changes nothing, as against the same place with fewer prefixes. */
static void mark_redundant(void)
{
    for (size_t i = 0; i < forms.nr; i++) {
        struct form *f = &forms.f[i];
        for (size_t j = 0; f->nr_pfx && !f->redundant && j < forms.nr; j++)
            f->redundant = forms.f[j].nr_pfx < f->nr_pfx && same_place(f, &forms.f[j]);
    }
}

int forms_build(void)
{
    static const struct { uint8_t nr, p[2]; } pfx[] = {
        { 0, { 0, 0 } }, { 1, { 0x66, 0 } }, { 1, { 0xf3, 0 } }, { 1, { 0xf2, 0 } },
        { 2, { 0x66, 0xf2 } }, { 2, { 0x66, 0xf3 } },
    };
    static const uint8_t maps[] = {
        ZYDIS_OPCODE_MAP_DEFAULT, ZYDIS_OPCODE_MAP_0F, ZYDIS_OPCODE_MAP_0F38, ZYDIS_OPCODE_MAP_0F3A,
    };
    ZydisDecoder d[2];

    cpu_decoder(&d[0], false);
    cpu_decoder(&d[1], true);
    for (unsigned compat = 0; compat < 2; compat++)
        for (size_t m = 0; m < sizeof(maps); m++)
            for (unsigned op = 0; op < 256; op++)
                for (size_t k = 0; k < sizeof(pfx) / sizeof(pfx[0]); k++)
                    for (unsigned w = 0; w < (compat ? 1u : 2u); w++) {
                        struct form f = {
                            .compat = compat, .map = maps[m], .opcode = (uint8_t)op, .rexw = w,
                            .nr_pfx = pfx[k].nr, .pfx = { pfx[k].p[0], pfx[k].p[1] },
                        };
                        if (add_opcode(&d[compat], &f) < 0)
                            return -1;
                    }
    for (unsigned compat = 0; compat < 2; compat++)
        for (size_t m = 2; m < sizeof(maps); m++)
            for (unsigned n = 0; n < 256 * 4 * 2; n++) {
                struct form f = {
                    .compat = compat, .map = maps[m], .opcode = (uint8_t)n, .vex = true,
                    .pfx = { n >> 8 & 3 }, .rexw = n >> 10,
                };
                if (add_opcode(&d[compat], &f) < 0)
                    return -1;
            }
    mark_redundant();
    return 0;
}
