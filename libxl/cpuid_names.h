/* SPDX-License-Identifier: MIT */
/* What can be said about a CPU feature by name: where CPUID or an MSR keeps it. Included by
 * cpuid.c. */

/* Bits from bit up, len of them, of reg (0 to 3: eax, ebx, ecx, edx) in a CPUID leaf. */
static const struct cpuid_name {
    const char *name;
    uint32_t leaf, subleaf;
    uint8_t reg, bit, len;
} cpuid_names[] = {
#define ANY XEN_CPUID_INPUT_UNUSED
    /* leaf 0x0, eax */
    { "maxleaf", 0x0, ANY, 0, 0, 32 },
    /* leaf 0x1, eax */
    { "stepping", 0x1, ANY, 0, 0, 4 }, { "model", 0x1, ANY, 0, 4, 4 },
    { "family", 0x1, ANY, 0, 8, 4 },
    /* leaf 0x1, ebx */
    { "brandid", 0x1, ANY, 1, 0, 8 }, { "clflush", 0x1, ANY, 1, 8, 8 },
    { "proccount", 0x1, ANY, 1, 16, 8 }, { "localapicid", 0x1, ANY, 1, 24, 8 },
    /* leaf 0x1, ecx */
    { "sse3", 0x1, ANY, 2, 0, 1 }, { "pclmulqdq", 0x1, ANY, 2, 1, 1 },
    { "dtes64", 0x1, ANY, 2, 2, 1 }, { "monitor", 0x1, ANY, 2, 3, 1 },
    { "dscpl", 0x1, ANY, 2, 4, 1 }, { "vmx", 0x1, ANY, 2, 5, 1 }, { "smx", 0x1, ANY, 2, 6, 1 },
    { "est", 0x1, ANY, 2, 7, 1 }, { "tm2", 0x1, ANY, 2, 8, 1 }, { "ssse3", 0x1, ANY, 2, 9, 1 },
    { "cntxid", 0x1, ANY, 2, 10, 1 }, { "fma", 0x1, ANY, 2, 12, 1 },
    { "cx16", 0x1, ANY, 2, 13, 1 }, { "xtpr", 0x1, ANY, 2, 14, 1 },
    { "pdcm", 0x1, ANY, 2, 15, 1 }, { "pcid", 0x1, ANY, 2, 17, 1 }, { "dca", 0x1, ANY, 2, 18, 1 },
    { "sse4.1", 0x1, ANY, 2, 19, 1 }, { "sse4_1", 0x1, ANY, 2, 19, 1 },
    { "sse4.2", 0x1, ANY, 2, 20, 1 }, { "sse4_2", 0x1, ANY, 2, 20, 1 },
    { "x2apic", 0x1, ANY, 2, 21, 1 }, { "movbe", 0x1, ANY, 2, 22, 1 },
    { "popcnt", 0x1, ANY, 2, 23, 1 }, { "aes", 0x1, ANY, 2, 25, 1 },
    { "xsave", 0x1, ANY, 2, 26, 1 }, { "osxsave", 0x1, ANY, 2, 27, 1 },
    { "avx", 0x1, ANY, 2, 28, 1 }, { "f16c", 0x1, ANY, 2, 29, 1 },
    { "rdrand", 0x1, ANY, 2, 30, 1 }, { "hypervisor", 0x1, ANY, 2, 31, 1 },
    /* leaf 0x1, edx */
    { "fpu", 0x1, ANY, 3, 0, 1 }, { "vme", 0x1, ANY, 3, 1, 1 }, { "de", 0x1, ANY, 3, 2, 1 },
    { "pse", 0x1, ANY, 3, 3, 1 }, { "tsc", 0x1, ANY, 3, 4, 1 }, { "msr", 0x1, ANY, 3, 5, 1 },
    { "pae", 0x1, ANY, 3, 6, 1 }, { "mce", 0x1, ANY, 3, 7, 1 }, { "cmpxchg8", 0x1, ANY, 3, 8, 1 },
    { "cx8", 0x1, ANY, 3, 8, 1 }, { "apic", 0x1, ANY, 3, 9, 1 }, { "sep", 0x1, ANY, 3, 11, 1 },
    { "sysenter", 0x1, ANY, 3, 11, 1 }, { "mtrr", 0x1, ANY, 3, 12, 1 },
    { "pge", 0x1, ANY, 3, 13, 1 }, { "mca", 0x1, ANY, 3, 14, 1 }, { "cmov", 0x1, ANY, 3, 15, 1 },
    { "pat", 0x1, ANY, 3, 16, 1 }, { "pse36", 0x1, ANY, 3, 17, 1 }, { "psn", 0x1, ANY, 3, 18, 1 },
    { "clfsh", 0x1, ANY, 3, 19, 1 }, { "ds", 0x1, ANY, 3, 21, 1 }, { "acpi", 0x1, ANY, 3, 22, 1 },
    { "mmx", 0x1, ANY, 3, 23, 1 }, { "fxsr", 0x1, ANY, 3, 24, 1 }, { "sse", 0x1, ANY, 3, 25, 1 },
    { "sse2", 0x1, ANY, 3, 26, 1 }, { "ss", 0x1, ANY, 3, 27, 1 }, { "htt", 0x1, ANY, 3, 28, 1 },
    { "tm", 0x1, ANY, 3, 29, 1 }, { "ia64", 0x1, ANY, 3, 30, 1 }, { "pbe", 0x1, ANY, 3, 31, 1 },
    /* leaf 0x4 subleaf 0, eax */
    { "procpkg", 0x4, 0, 0, 26, 6 },
    /* leaf 0x7 subleaf 0, ebx */
    { "fsgsbase", 0x7, 0, 1, 0, 1 }, { "tsc_adjust", 0x7, 0, 1, 1, 1 },
    { "sgx", 0x7, 0, 1, 2, 1 }, { "bmi1", 0x7, 0, 1, 3, 1 }, { "hle", 0x7, 0, 1, 4, 1 },
    { "avx2", 0x7, 0, 1, 5, 1 }, { "smep", 0x7, 0, 1, 7, 1 }, { "bmi2", 0x7, 0, 1, 8, 1 },
    { "erms", 0x7, 0, 1, 9, 1 }, { "invpcid", 0x7, 0, 1, 10, 1 }, { "rtm", 0x7, 0, 1, 11, 1 },
    { "cmt", 0x7, 0, 1, 12, 1 }, { "pqm", 0x7, 0, 1, 12, 1 }, { "no-fpu-sel", 0x7, 0, 1, 13, 1 },
    { "mpx", 0x7, 0, 1, 14, 1 }, { "pqe", 0x7, 0, 1, 15, 1 }, { "avx512f", 0x7, 0, 1, 16, 1 },
    { "avx512dq", 0x7, 0, 1, 17, 1 }, { "rdseed", 0x7, 0, 1, 18, 1 }, { "adx", 0x7, 0, 1, 19, 1 },
    { "smap", 0x7, 0, 1, 20, 1 }, { "avx512-ifma", 0x7, 0, 1, 21, 1 },
    { "clflushopt", 0x7, 0, 1, 23, 1 }, { "clwb", 0x7, 0, 1, 24, 1 },
    { "proc-trace", 0x7, 0, 1, 25, 1 }, { "avx512pf", 0x7, 0, 1, 26, 1 },
    { "avx512er", 0x7, 0, 1, 27, 1 }, { "avx512cd", 0x7, 0, 1, 28, 1 },
    { "sha", 0x7, 0, 1, 29, 1 }, { "avx512bw", 0x7, 0, 1, 30, 1 },
    { "avx512vl", 0x7, 0, 1, 31, 1 },
    /* leaf 0x7 subleaf 0, ecx */
    { "prefetchwt1", 0x7, 0, 2, 0, 1 }, { "avx512-vbmi", 0x7, 0, 2, 1, 1 },
    { "umip", 0x7, 0, 2, 2, 1 }, { "pku", 0x7, 0, 2, 3, 1 }, { "ospke", 0x7, 0, 2, 4, 1 },
    { "avx512-vbmi2", 0x7, 0, 2, 6, 1 }, { "cet-ss", 0x7, 0, 2, 7, 1 },
    { "gfni", 0x7, 0, 2, 8, 1 }, { "vaes", 0x7, 0, 2, 9, 1 }, { "vpclmulqdq", 0x7, 0, 2, 10, 1 },
    { "avx512-vnni", 0x7, 0, 2, 11, 1 }, { "avx512-bitalg", 0x7, 0, 2, 12, 1 },
    { "avx512-vpopcntdq", 0x7, 0, 2, 14, 1 }, { "rdpid", 0x7, 0, 2, 22, 1 },
    { "cldemote", 0x7, 0, 2, 25, 1 }, { "movdiri", 0x7, 0, 2, 27, 1 },
    { "movdir64b", 0x7, 0, 2, 28, 1 }, { "enqcmd", 0x7, 0, 2, 29, 1 },
    /* leaf 0x7 subleaf 0, edx */
    { "avx512-4vnniw", 0x7, 0, 3, 2, 1 }, { "avx512-4fmaps", 0x7, 0, 3, 3, 1 },
    { "fsrm", 0x7, 0, 3, 4, 1 }, { "avx512-vp2intersect", 0x7, 0, 3, 8, 1 },
    { "srbds-ctrl", 0x7, 0, 3, 9, 1 }, { "md-clear", 0x7, 0, 3, 10, 1 },
    { "rtm-always-abort", 0x7, 0, 3, 11, 1 }, { "tsx-force-abort", 0x7, 0, 3, 13, 1 },
    { "serialize", 0x7, 0, 3, 14, 1 }, { "hybrid", 0x7, 0, 3, 15, 1 },
    { "tsxldtrk", 0x7, 0, 3, 16, 1 }, { "cet-ibt", 0x7, 0, 3, 20, 1 },
    { "avx512-fp16", 0x7, 0, 3, 23, 1 }, { "ibrsb", 0x7, 0, 3, 26, 1 },
    { "stibp", 0x7, 0, 3, 27, 1 }, { "l1d-flush", 0x7, 0, 3, 28, 1 },
    { "arch-caps", 0x7, 0, 3, 29, 1 }, { "core-caps", 0x7, 0, 3, 30, 1 },
    { "ssbd", 0x7, 0, 3, 31, 1 },
    /* leaf 0x7 subleaf 1, eax */
    { "avx-vnni", 0x7, 1, 0, 4, 1 }, { "avx512-bf16", 0x7, 1, 0, 5, 1 },
    { "fzrm", 0x7, 1, 0, 10, 1 }, { "fsrs", 0x7, 1, 0, 11, 1 }, { "fsrcs", 0x7, 1, 0, 12, 1 },
    /* leaf 0x7 subleaf 1, edx */
    { "cet-sss", 0x7, 1, 3, 18, 1 },
    /* leaf 0x7 subleaf 2, edx */
    { "intel-psfd", 0x7, 2, 3, 0, 1 }, { "ipred-ctrl", 0x7, 2, 3, 1, 1 },
    { "rrsba-ctrl", 0x7, 2, 3, 2, 1 }, { "bhi-ctrl", 0x7, 2, 3, 4, 1 },
    { "mcdt-no", 0x7, 2, 3, 5, 1 },
    /* leaf 0xd subleaf 1, eax */
    { "xsaveopt", 0xd, 1, 0, 0, 1 }, { "xsavec", 0xd, 1, 0, 1, 1 },
    { "xgetbv1", 0xd, 1, 0, 2, 1 }, { "xsaves", 0xd, 1, 0, 3, 1 },
    /* leaf 0x40000000, eax */
    { "maxhvleaf", 0x40000000, ANY, 0, 0, 8 },
    /* leaf 0x80000001, ecx */
    { "lahf-lm", 0x80000001, ANY, 2, 0, 1 }, { "lahfsahf", 0x80000001, ANY, 2, 0, 1 },
    { "cmplegacy", 0x80000001, ANY, 2, 1, 1 }, { "svm", 0x80000001, ANY, 2, 2, 1 },
    { "extapic", 0x80000001, ANY, 2, 3, 1 }, { "altmovcr8", 0x80000001, ANY, 2, 4, 1 },
    { "abm", 0x80000001, ANY, 2, 5, 1 }, { "sse4a", 0x80000001, ANY, 2, 6, 1 },
    { "misalignsse", 0x80000001, ANY, 2, 7, 1 }, { "3dnowprefetch", 0x80000001, ANY, 2, 8, 1 },
    { "osvw", 0x80000001, ANY, 2, 9, 1 }, { "ibs", 0x80000001, ANY, 2, 10, 1 },
    { "xop", 0x80000001, ANY, 2, 11, 1 }, { "skinit", 0x80000001, ANY, 2, 12, 1 },
    { "wdt", 0x80000001, ANY, 2, 13, 1 }, { "lwp", 0x80000001, ANY, 2, 15, 1 },
    { "fma4", 0x80000001, ANY, 2, 16, 1 }, { "nodeid", 0x80000001, ANY, 2, 19, 1 },
    { "tbm", 0x80000001, ANY, 2, 21, 1 }, { "topoext", 0x80000001, ANY, 2, 22, 1 },
    { "perfctr_core", 0x80000001, ANY, 2, 23, 1 }, { "perfctr_nb", 0x80000001, ANY, 2, 24, 1 },
    { "monitorx", 0x80000001, ANY, 2, 29, 1 },
    /* leaf 0x80000001, edx */
    { "syscall", 0x80000001, ANY, 3, 11, 1 }, { "nx", 0x80000001, ANY, 3, 20, 1 },
    { "mmxext", 0x80000001, ANY, 3, 22, 1 }, { "ffxsr", 0x80000001, ANY, 3, 25, 1 },
    { "page1gb", 0x80000001, ANY, 3, 26, 1 }, { "rdtscp", 0x80000001, ANY, 3, 27, 1 },
    { "lm", 0x80000001, ANY, 3, 29, 1 }, { "3dnowext", 0x80000001, ANY, 3, 30, 1 },
    { "3dnow", 0x80000001, ANY, 3, 31, 1 },
    /* leaf 0x80000007, edx */
    { "invtsc", 0x80000007, ANY, 3, 8, 1 }, { "itsc", 0x80000007, ANY, 3, 8, 1 },
    /* leaf 0x80000008, ebx */
    { "clzero", 0x80000008, ANY, 1, 0, 1 }, { "rstr-fp-err-ptrs", 0x80000008, ANY, 1, 2, 1 },
    { "wbnoinvd", 0x80000008, ANY, 1, 9, 1 }, { "ibpb", 0x80000008, ANY, 1, 12, 1 },
    { "ibrs", 0x80000008, ANY, 1, 14, 1 }, { "amd-stibp", 0x80000008, ANY, 1, 15, 1 },
    { "ibrs-always", 0x80000008, ANY, 1, 16, 1 }, { "stibp-always", 0x80000008, ANY, 1, 17, 1 },
    { "ibrs-fast", 0x80000008, ANY, 1, 18, 1 }, { "ibrs-same-mode", 0x80000008, ANY, 1, 19, 1 },
    { "no-lmsl", 0x80000008, ANY, 1, 20, 1 }, { "ppin", 0x80000008, ANY, 1, 23, 1 },
    { "amd-ssbd", 0x80000008, ANY, 1, 24, 1 }, { "virt-ssbd", 0x80000008, ANY, 1, 25, 1 },
    { "ssb-no", 0x80000008, ANY, 1, 26, 1 }, { "psfd", 0x80000008, ANY, 1, 28, 1 },
    { "btc-no", 0x80000008, ANY, 1, 29, 1 }, { "ibpb-ret", 0x80000008, ANY, 1, 30, 1 },
    /* leaf 0x8000000a, edx */
    { "svm_npt", 0x8000000a, ANY, 3, 0, 1 }, { "svm_lbrv", 0x8000000a, ANY, 3, 1, 1 },
    { "svm_nrips", 0x8000000a, ANY, 3, 3, 1 }, { "svm_tscrate", 0x8000000a, ANY, 3, 4, 1 },
    { "svm_vmcbclean", 0x8000000a, ANY, 3, 5, 1 }, { "svm_decode", 0x8000000a, ANY, 3, 7, 1 },
    { "svm_pausefilt", 0x8000000a, ANY, 3, 10, 1 },
    /* leaf 0x80000021, eax */
    { "lfence+", 0x80000021, ANY, 0, 2, 1 }, { "verw-clear", 0x80000021, ANY, 0, 5, 1 },
    { "nscb", 0x80000021, ANY, 0, 6, 1 }, { "auto-ibrs", 0x80000021, ANY, 0, 8, 1 },
    { "sbpb", 0x80000021, ANY, 0, 27, 1 }, { "ibpb-brtype", 0x80000021, ANY, 0, 28, 1 },
    { "srso-no", 0x80000021, ANY, 0, 29, 1 }, { "srso-us-no", 0x80000021, ANY, 0, 30, 1 },
    /* leaf 0x80000021, ecx */
    { "tsa-sq-no", 0x80000021, ANY, 2, 1, 1 }, { "tsa-l1-no", 0x80000021, ANY, 2, 2, 1 },
#undef ANY
};

/* One bit of an MSR. */
static const struct msr_name {
    const char *name;
    uint32_t index;
    uint8_t bit;
} msr_names[] = {
    /* IA32_ARCH_CAPABILITIES */
    { "rdcl-no", 0x10a, 0 }, { "eibrs", 0x10a, 1 }, { "rsba", 0x10a, 2 },
    { "skip-l1dfl", 0x10a, 3 }, { "intel-ssb-no", 0x10a, 4 }, { "mds-no", 0x10a, 5 },
    { "if-pschange-mc-no", 0x10a, 6 }, { "tsx-ctrl", 0x10a, 7 }, { "taa-no", 0x10a, 8 },
    { "mcu-ctrl", 0x10a, 9 }, { "misc-pkg-ctrl", 0x10a, 10 }, { "doitm", 0x10a, 12 },
    { "sbdr-ssdp-no", 0x10a, 13 }, { "fbsdp-no", 0x10a, 14 }, { "psdp-no", 0x10a, 15 },
    { "fb-clear", 0x10a, 17 }, { "fb-clear-ctrl", 0x10a, 18 }, { "rrsba", 0x10a, 19 },
    { "bhi-no", 0x10a, 20 }, { "xapic-status", 0x10a, 21 }, { "ovrclk-status", 0x10a, 23 },
    { "pbrsb-no", 0x10a, 24 }, { "gds-ctrl", 0x10a, 25 }, { "gds-no", 0x10a, 26 },
    { "rfds-no", 0x10a, 27 }, { "rfds-clear", 0x10a, 28 }, { "its-no", 0x10a, 62 },
};
