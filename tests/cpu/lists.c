/* SPDX-License-Identifier: MIT */
/* The named lists: which CPUID bit stands for which instruction set, and what is not compared. */
#include "tests/cpu/cpudiff.h"

#include <cpuid.h>

enum { EAX, EBX, ECX, EDX };

/* Zydis' instruction sets that a CPUID bit announces (AMD APM vol. 3 appendix E). */
static const struct isa_bit { ZydisISASet isa; uint32_t leaf; uint8_t reg, bit; } isa_bits[] = {
    { ZYDIS_ISA_SET_X87, 1, EDX, 0 }, { ZYDIS_ISA_SET_CMOV, 1, EDX, 15 },
    { ZYDIS_ISA_SET_FCMOV, 1, EDX, 15 }, { ZYDIS_ISA_SET_CLFSH, 1, EDX, 19 },
    { ZYDIS_ISA_SET_PENTIUMMMX, 1, EDX, 23 }, { ZYDIS_ISA_SET_FXSAVE, 1, EDX, 24 },
    { ZYDIS_ISA_SET_FXSAVE64, 1, EDX, 24 }, { ZYDIS_ISA_SET_SSE, 1, EDX, 25 },
    { ZYDIS_ISA_SET_SSEMXCSR, 1, EDX, 25 }, { ZYDIS_ISA_SET_SSE2, 1, EDX, 26 },
    { ZYDIS_ISA_SET_SSE2MMX, 1, EDX, 26 }, { ZYDIS_ISA_SET_SSE3, 1, ECX, 0 },
    { ZYDIS_ISA_SET_SSE3X87, 1, ECX, 0 }, { ZYDIS_ISA_SET_PCLMULQDQ, 1, ECX, 1 },
    { ZYDIS_ISA_SET_MONITOR, 1, ECX, 3 }, { ZYDIS_ISA_SET_VTX, 1, ECX, 5 },
    { ZYDIS_ISA_SET_SMX, 1, ECX, 6 }, { ZYDIS_ISA_SET_SSSE3, 1, ECX, 9 },
    { ZYDIS_ISA_SET_SSSE3MMX, 1, ECX, 9 }, { ZYDIS_ISA_SET_CMPXCHG16B, 1, ECX, 13 },
    { ZYDIS_ISA_SET_SSE4, 1, ECX, 19 }, { ZYDIS_ISA_SET_SSE42, 1, ECX, 20 },
    { ZYDIS_ISA_SET_MOVBE, 1, ECX, 22 }, { ZYDIS_ISA_SET_POPCNT, 1, ECX, 23 },
    { ZYDIS_ISA_SET_AES, 1, ECX, 25 }, { ZYDIS_ISA_SET_XSAVE, 1, ECX, 27 },
    { ZYDIS_ISA_SET_RDRAND, 1, ECX, 30 },
    { ZYDIS_ISA_SET_RDWRFSGS, 7, EBX, 0 }, { ZYDIS_ISA_SET_SGX, 7, EBX, 2 },
    { ZYDIS_ISA_SET_BMI1, 7, EBX, 3 }, { ZYDIS_ISA_SET_BMI2, 7, EBX, 8 },
    { ZYDIS_ISA_SET_INVPCID, 7, EBX, 10 }, { ZYDIS_ISA_SET_RTM, 7, EBX, 11 },
    { ZYDIS_ISA_SET_RDSEED, 7, EBX, 18 }, { ZYDIS_ISA_SET_ADOX_ADCX, 7, EBX, 19 },
    { ZYDIS_ISA_SET_SMAP, 7, EBX, 20 }, { ZYDIS_ISA_SET_CLFLUSHOPT, 7, EBX, 23 },
    { ZYDIS_ISA_SET_CLWB, 7, EBX, 24 }, { ZYDIS_ISA_SET_SHA, 7, EBX, 29 },
    { ZYDIS_ISA_SET_PKU, 7, ECX, 4 }, { ZYDIS_ISA_SET_WAITPKG, 7, ECX, 5 },
    { ZYDIS_ISA_SET_GFNI, 7, ECX, 8 }, { ZYDIS_ISA_SET_RDPID, 7, ECX, 22 },
    { ZYDIS_ISA_SET_MOVDIR, 7, ECX, 27 }, { ZYDIS_ISA_SET_ENQCMD, 7, ECX, 29 },
    { ZYDIS_ISA_SET_SERIALIZE, 7, EDX, 14 },
    { ZYDIS_ISA_SET_SVM, 0x80000001, ECX, 2 }, { ZYDIS_ISA_SET_LZCNT, 0x80000001, ECX, 5 },
    { ZYDIS_ISA_SET_SSE4A, 0x80000001, ECX, 6 }, { ZYDIS_ISA_SET_MONITORX, 0x80000001, ECX, 29 },
    { ZYDIS_ISA_SET_RDTSCP, 0x80000001, EDX, 27 }, { ZYDIS_ISA_SET_AMD3DNOW, 0x80000001, EDX, 31 },
    { ZYDIS_ISA_SET_CLZERO, 0x80000008, EBX, 0 }, { ZYDIS_ISA_SET_RDPRU, 0x80000008, EBX, 4 },
};

/* What every 64-bit CPU has. LAHF is in this list for its 32-bit form; the 64-bit form has a bit
 * that all CPUs since 2006 set. */
static const ZydisISASet basic[] = {
    ZYDIS_ISA_SET_I86, ZYDIS_ISA_SET_I186, ZYDIS_ISA_SET_I286REAL, ZYDIS_ISA_SET_I286PROTECTED,
    ZYDIS_ISA_SET_I386, ZYDIS_ISA_SET_I486, ZYDIS_ISA_SET_I486REAL, ZYDIS_ISA_SET_PENTIUMREAL,
    ZYDIS_ISA_SET_PPRO, ZYDIS_ISA_SET_FAT_NOP, ZYDIS_ISA_SET_LONGMODE, ZYDIS_ISA_SET_LAHF,
    ZYDIS_ISA_SET_PAUSE, ZYDIS_ISA_SET_PREFETCH_NOP, ZYDIS_ISA_SET_SSE_PREFETCH,
};

enum offer isa_offer(ZydisISASet isa, bool host)
{
    for (size_t i = 0; i < sizeof(basic) / sizeof(basic[0]); i++)
        if (basic[i] == isa)
            return OFFER_YES;
    for (size_t i = 0; i < sizeof(isa_bits) / sizeof(isa_bits[0]); i++) {
        const struct isa_bit *b = &isa_bits[i];
        uint32_t r[4] = { 0, 0, 0, 0 };
        if (b->isa != isa)
            continue;
        if (host)
            __get_cpuid_count(b->leaf, 0, &r[0], &r[1], &r[2], &r[3]);
        else
            engine_soft.host_cpuid(b->leaf, 0, r);
        return r[b->reg] >> b->bit & 1 ? OFFER_YES : OFFER_NO;
    }
    return OFFER_UNKNOWN;
}

#define LEAVES   "leaves CPL 3 or the process: a system call on the host"
#define VALUE    "its result is the machine's, not the operands'"
#define EMULATED "the host's kernel emulates it (UMIP)"
#define HYPER    "a hypercall on one side, #UD on the other"
#define SEPARATE "the encoding is another instruction on CPUs without the feature"

#define NOT(m, why) { ZYDIS_MNEMONIC_##m, why }
static const struct { ZydisMnemonic m; const char *why; } exclusions[] = {
    NOT(SYSCALL, LEAVES), NOT(SYSENTER, LEAVES),
    NOT(SYSRET, "CPUs differ in which fault it raises at CPL 3"),
    NOT(SYSEXIT, "CPUs differ in which fault it raises in long mode"), NOT(RDTSC, VALUE),
    NOT(RDTSCP, VALUE), NOT(CPUID, VALUE), NOT(RDRAND, VALUE), NOT(RDSEED, VALUE),
    NOT(RDPMC, VALUE), NOT(RDPID, VALUE), NOT(XGETBV, VALUE), NOT(SGDT, EMULATED),
    NOT(SIDT, EMULATED), NOT(SLDT, EMULATED), NOT(STR, EMULATED), NOT(SMSW, EMULATED),
    NOT(VMCALL, HYPER), NOT(VMMCALL, HYPER), NOT(PREFETCHWT1, SEPARATE),
    NOT(INT1, "the host's kernel takes it for a hardware breakpoint"),
};

/* Where CPUs differ and the manuals leave it open, the soft CPU does as AMD's do; on other hosts
 * these are left out. */
static const ZydisMnemonic as_amd[] = {
    ZYDIS_MNEMONIC_BSF, ZYDIS_MNEMONIC_BSR,            /* destination with source 0 */
    ZYDIS_MNEMONIC_CVTPI2PS, ZYDIS_MNEMONIC_CVTPI2PD,  /* MMX state with a memory operand */
    ZYDIS_MNEMONIC_CVTPS2PI, ZYDIS_MNEMONIC_CVTTPS2PI, /* MMX state before #XM */
    ZYDIS_MNEMONIC_CVTPD2PI, ZYDIS_MNEMONIC_CVTTPD2PI,
    ZYDIS_MNEMONIC_MASKMOVQ, ZYDIS_MNEMONIC_MASKMOVDQU, /* which bytes fault */
    ZYDIS_MNEMONIC_ENTER,                              /* BP with a 66 prefix in 64-bit code */
};

static bool host_is_amd(void)
{
    uint32_t r[4] = { 0, 0, 0, 0 };

    __get_cpuid(0, &r[0], &r[1], &r[2], &r[3]);
    return r[EBX] == signature_AMD_ebx || r[EBX] == 0x6f677948;      /* "Auth", "Hygo" */
}

const char *excluded(ZydisMnemonic m)
{
    for (size_t i = 0; i < sizeof(as_amd) / sizeof(as_amd[0]) && !host_is_amd(); i++)
        if (as_amd[i] == m)
            return "CPUs differ, and the soft one follows AMD's";
    if ((m == ZYDIS_MNEMONIC_TZCNT && isa_offer(ZYDIS_ISA_SET_BMI1, false) != OFFER_YES) ||
        (m == ZYDIS_MNEMONIC_LZCNT && isa_offer(ZYDIS_ISA_SET_LZCNT, false) != OFFER_YES))
        return SEPARATE;
    for (size_t i = 0; i < sizeof(exclusions) / sizeof(exclusions[0]); i++)
        if (exclusions[i].m == m)
            return exclusions[i].why;
    return NULL;
}

const char *excluded_insn(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *ops)
{
    bool wide = i->machine_mode == ZYDIS_MACHINE_MODE_LONG_64;
    bool far = i->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;

    if (wide && (i->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) &&
        i->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE && !far)
        return "near branches with a 66 prefix in 64-bit code: 16 bits on AMD, 64 on Intel";
    if (wide && i->raw.rex.W &&
        ((far && ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY) ||
         i->mnemonic == ZYDIS_MNEMONIC_LSS || i->mnemonic == ZYDIS_MNEMONIC_LFS ||
         i->mnemonic == ZYDIS_MNEMONIC_LGS))
        return "far pointers with a 64-bit offset: Intel only";
    if (i->mnemonic == ZYDIS_MNEMONIC_MOVSXD && i->operand_width == 16)
        return "MOVSXD to 16 bits: reads 32 bits of memory on AMD, 16 on Intel";
    if (i->meta.category == ZYDIS_CATEGORY_COND_BR && i->opcode >= 0xe0 && i->opcode <= 0xe1)
        for (unsigned k = 0; k < i->raw.prefix_count; k++)
            if (i->raw.prefixes[k].value == 0xf2 || i->raw.prefixes[k].value == 0xf3)
                return "LOOPE and LOOPNE with a repeat prefix: AMD takes the condition from it";
    if (i->opcode_map == ZYDIS_OPCODE_MAP_0F && i->opcode == 0x0d && i->raw.modrm.mod == 3)
        return "0F 0D with a register operand: NOP on Intel, #UD on AMD";
    if (i->mnemonic == ZYDIS_MNEMONIC_PAUSE && i->raw.rex.B && host_is_intel())
        return "F3 90 with REX.B: XCHG with R8 on AMD and here, PAUSE on Intel";
    if (i->mnemonic == ZYDIS_MNEMONIC_INT && ops[0].imm.value.u == 0x80)
        return "INT 80: a system call on the host";
    return NULL;
}
