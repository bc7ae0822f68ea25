/* SPDX-License-Identifier: MIT */
/*
 * What the soft CPU is, in CPUID's terms: exactly what the handlers implement. The vendor is the
 * host's, so that a guest's vendor-specific choices (SYSCALL in compatibility mode, errata) fit
 * what programs that look at the host expect; family and model are plain ones without known errata
 * work-arounds.
 */
#include <cpuid.h>
#include <string.h>

#include "hypervisor/engine/soft/internal.h"

#define BIT(n) (1u << (n))

/* FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT CLFSH MMX FXSR SSE SSE2 */
#define F1_EDX (BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | \
                BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(19) | BIT(23) | \
                BIT(24) | BIT(25) | BIT(26))
/* CX16 X2APIC MOVBE POPCNT TSC-DEADLINE RDRAND; SSE3 SSSE3 SSE4.1 SSE4.2 */
#define F1_ECX (BIT(13) | BIT(21) | BIT(22) | BIT(23) | BIT(24) | BIT(30) | \
                BIT(0) | BIT(9) | BIT(19) | BIT(20))
/* FSGSBASE BMI1 SMEP BMI2 ERMS RDSEED ADX SMAP CLFLUSHOPT; FSRM in EDX; UMIP RDPID in ECX */
#define F7_EBX (BIT(0) | BIT(3) | BIT(7) | BIT(8) | BIT(9) | BIT(18) | BIT(19) | BIT(20) | BIT(23))
#define F7_ECX (BIT(2) | BIT(22))
#define F7_EDX BIT(4)
/*
 * An interpreter runs no guest instruction before it is its turn, so what speculation leaks on other
 * CPUs it does not: guests leave out their costly precautions. RDCL SSB MDS IF_PSCHANGE_MC TAA
 * SBDR_SSDP FBSDP PSDP BHI PBRSB GDS RFDS ITS _NO, SKIP_L1DFL_VMENTRY; on AMD BTC_NO.
 */
#define F7_EDX_INTEL BIT(29)
#define ARCH_CAPS (1ull << 0 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 8 | 1ull << 13 | \
                   1ull << 14 | 1ull << 15 | 1ull << 20 | 1ull << 24 | 1ull << 26 | 1ull << 27 | \
                   1ull << 62)
#define E8_EBX_AMD BIT(29)
/* LAHF LZCNT PREFETCHW */
#define E1_ECX (BIT(0) | BIT(5) | BIT(8))
/* SYSCALL NX PDPE1GB RDTSCP LM, and on AMD copies of leaf 1 */
#define E1_EDX (BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29))
#define E1_EDX_COPIES 0x0183f3ffu

bool soft_vendor_amd(void)
{
    uint32_t a, b, c, d;

    __cpuid(0, a, b, c, d);
    return b == 0x68747541 || b == 0x6f677948;  /* "Auth", "Hygo" */
}

static void leaf_1(uint32_t out[4])
{
    /* AMD family 0x17 model 0x31 stepping 0, or Intel family 6 model 0x5e stepping 3 */
    out[0] = soft_vendor_amd() ? 0x00830f10 : 0x000506e3;
    out[1] = 8u << 8;                        /* CLFLUSH line: 8 * 8 bytes */
    out[2] = F1_ECX;
    out[3] = F1_EDX;
}

static void brand(uint32_t leaf, uint32_t out[4])
{
    static const char name[48] = "Krypton soft CPU";

    memcpy(out, name + (leaf - 0x80000002) * 16, 16);
}

void soft_host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    uint32_t b, c, d, a;

    memset(out, 0, 16);
    switch (leaf) {
    case 0:
        __cpuid(0, a, b, c, d);
        out[0] = 0xd;
        out[1] = b;
        out[2] = c;
        out[3] = d;
        break;
    case 1: leaf_1(out); break;
    case 7:
        if (subleaf == 0) {
            out[1] = F7_EBX;
            out[2] = F7_ECX;
            out[3] = F7_EDX | (soft_vendor_amd() ? 0 : F7_EDX_INTEL);
        }
        break;
    case 0x80000000:
        __cpuid(0, a, b, c, d);
        out[0] = 0x80000008;
        out[1] = b;
        out[2] = c;
        out[3] = d;
        break;
    case 0x80000001:
        out[2] = E1_ECX;
        out[3] = E1_EDX | (soft_vendor_amd() ? F1_EDX & E1_EDX_COPIES : 0);
        break;
    case 0x80000002: case 0x80000003: case 0x80000004: brand(leaf, out); break;
    case 0x80000006: out[2] = 1024u << 16 | 6u << 12 | 64; break;
    case 0x80000007: out[3] = BIT(8); break; /* invariant TSC */
    case 0x80000008:
        out[0] = 48u << 8 | 46;
        out[1] = soft_vendor_amd() ? E8_EBX_AMD : 0;
        break;
    default: break;
    }
}

uint64_t soft_host_arch_caps(void)
{
    return soft_vendor_amd() ? 0 : ARCH_CAPS;
}
