/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 part of the interface: flat segments, register frame, hypervisor window.
 */

#ifndef __XEN_PUBLIC_ARCH_X86_XEN_X86_64_H__
#define __XEN_PUBLIC_ARCH_X86_XEN_X86_64_H__

/* Selectors of the flat segments that every PV guest has in its GDT. Kernel and user share them. */
#define FLAT_RING3_CS32  0xe023
#define FLAT_RING3_CS64  0xe033
#define FLAT_RING3_DS32  0xe02b
#define FLAT_RING3_DS64  0x0000
#define FLAT_RING3_SS32  0xe02b
#define FLAT_RING3_SS64  0xe02b
#define FLAT_KERNEL_DS64 FLAT_RING3_DS64
#define FLAT_KERNEL_DS32 FLAT_RING3_DS32
#define FLAT_KERNEL_DS   FLAT_KERNEL_DS64
#define FLAT_KERNEL_CS64 FLAT_RING3_CS64
#define FLAT_KERNEL_CS32 FLAT_RING3_CS32
#define FLAT_KERNEL_CS   FLAT_KERNEL_CS64
#define FLAT_KERNEL_SS64 FLAT_RING3_SS64
#define FLAT_KERNEL_SS32 FLAT_RING3_SS32
#define FLAT_KERNEL_SS   FLAT_KERNEL_SS64
#define FLAT_USER_DS64   FLAT_RING3_DS64
#define FLAT_USER_DS32   FLAT_RING3_DS32
#define FLAT_USER_DS     FLAT_USER_DS64
#define FLAT_USER_CS64   FLAT_RING3_CS64
#define FLAT_USER_CS32   FLAT_RING3_CS32
#define FLAT_USER_CS     FLAT_USER_CS64
#define FLAT_USER_SS64   FLAT_RING3_SS64
#define FLAT_USER_SS32   FLAT_RING3_SS32
#define FLAT_USER_SS     FLAT_USER_SS64

/*
 * Addresses that belong to the hypervisor in a PV guest; the first part is a read-only table from
 * machine frames to the guest's own.
 */
#define __HYPERVISOR_VIRT_START 0xFFFF800000000000
#define __HYPERVISOR_VIRT_END   0xFFFF880000000000

#define __MACH2PHYS_VIRT_START 0xFFFF800000000000
#define __MACH2PHYS_VIRT_END   0xFFFF804000000000

#ifndef HYPERVISOR_VIRT_START
#define HYPERVISOR_VIRT_START xen_mk_ulong(__HYPERVISOR_VIRT_START)
#define HYPERVISOR_VIRT_END   xen_mk_ulong(__HYPERVISOR_VIRT_END)
#endif

#define MACH2PHYS_VIRT_START xen_mk_ulong(__MACH2PHYS_VIRT_START)
#define MACH2PHYS_VIRT_END   xen_mk_ulong(__MACH2PHYS_VIRT_END)
#define MACH2PHYS_NR_ENTRIES ((MACH2PHYS_VIRT_END - MACH2PHYS_VIRT_START) >> 3)

#ifndef machine_to_phys_mapping
#define machine_to_phys_mapping ((unsigned long *)HYPERVISOR_VIRT_START)
#endif

/* set_segment_base: which base. USER_SEL loads the selector in bits 0 to 15. */
#define SEGBASE_FS          0
#define SEGBASE_GS_USER     1
#define SEGBASE_GS_KERNEL   2
#define SEGBASE_GS_USER_SEL 3

/* vcpu_guest_context.flags and iret_context.flags: return by sysret, rcx and r11 being free. */
#define _VGCF_in_syscall 8
#define VGCF_in_syscall  (1 << _VGCF_in_syscall)
#define VGCF_IN_SYSCALL  VGCF_in_syscall

#ifndef __ASSEMBLY__

/* What a 64-bit PV kernel leaves on its stack for the iret hypercall. */
struct iret_context {
    uint64_t rax;
    uint64_t r11;
    uint64_t rcx;
    uint64_t flags;
    uint64_t rip;
    uint64_t cs;
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;
};

/*
 * The register frame. Tools see every name of a register (rax, eax, ax, al, ah); guests, whose
 * headers may clash with the short ones, see the 64- and 32-bit names only.
 */
#if defined(__XEN__) || defined(__XEN_TOOLS__)
struct cpu_user_regs {
    union {
        uint64_t r15;
        uint32_t r15d;
        uint16_t r15w;
        uint8_t r15b;
    };
    union {
        uint64_t r14;
        uint32_t r14d;
        uint16_t r14w;
        uint8_t r14b;
    };
    union {
        uint64_t r13;
        uint32_t r13d;
        uint16_t r13w;
        uint8_t r13b;
    };
    union {
        uint64_t r12;
        uint32_t r12d;
        uint16_t r12w;
        uint8_t r12b;
    };
    union {
        uint64_t rbp;
        uint32_t ebp;
        uint16_t bp;
        uint8_t bpl;
    };
    union {
        uint64_t rbx;
        uint32_t ebx;
        uint16_t bx;
        struct {
            uint8_t bl;
            uint8_t bh;
        };
    };
    union {
        uint64_t r11;
        uint32_t r11d;
        uint16_t r11w;
        uint8_t r11b;
    };
    union {
        uint64_t r10;
        uint32_t r10d;
        uint16_t r10w;
        uint8_t r10b;
    };
    union {
        uint64_t r9;
        uint32_t r9d;
        uint16_t r9w;
        uint8_t r9b;
    };
    union {
        uint64_t r8;
        uint32_t r8d;
        uint16_t r8w;
        uint8_t r8b;
    };
    union {
        uint64_t rax;
        uint32_t eax;
        uint16_t ax;
        struct {
            uint8_t al;
            uint8_t ah;
        };
    };
    union {
        uint64_t rcx;
        uint32_t ecx;
        uint16_t cx;
        struct {
            uint8_t cl;
            uint8_t ch;
        };
    };
    union {
        uint64_t rdx;
        uint32_t edx;
        uint16_t dx;
        struct {
            uint8_t dl;
            uint8_t dh;
        };
    };
    union {
        uint64_t rsi;
        uint32_t esi;
        uint16_t si;
        uint8_t sil;
    };
    union {
        uint64_t rdi;
        uint32_t edi;
        uint16_t di;
        uint8_t dil;
    };
    uint32_t error_code;
    uint32_t entry_vector;
    union {
        uint64_t rip;
        uint32_t eip;
        uint16_t ip;
    };
    uint16_t cs, _pad0[1];
    uint8_t saved_upcall_mask;
    uint8_t _pad1[3];
    union {
        uint64_t rflags;
        uint32_t eflags;
        uint16_t flags;
    };
    union {
        uint64_t rsp;
        uint32_t esp;
        uint16_t sp;
        uint8_t spl;
    };
    uint16_t ss, _pad2[3];
    uint16_t es, _pad3[3];
    uint16_t ds, _pad4[3];
    uint16_t fs, _pad5[3];
    uint16_t gs, _pad6[3];
};
#else
struct cpu_user_regs {
    uint64_t r15;
    uint64_t r14;
    uint64_t r13;
    uint64_t r12;
    union {
        uint64_t rbp, ebp;
        uint32_t _ebp;
    };
    union {
        uint64_t rbx, ebx;
        uint32_t _ebx;
    };
    uint64_t r11;
    uint64_t r10;
    uint64_t r9;
    uint64_t r8;
    union {
        uint64_t rax, eax;
        uint32_t _eax;
    };
    union {
        uint64_t rcx, ecx;
        uint32_t _ecx;
    };
    union {
        uint64_t rdx, edx;
        uint32_t _edx;
    };
    union {
        uint64_t rsi, esi;
        uint32_t _esi;
    };
    union {
        uint64_t rdi, edi;
        uint32_t _edi;
    };
    uint32_t error_code;
    uint32_t entry_vector;
    union {
        uint64_t rip, eip;
        uint32_t _eip;
    };
    uint16_t cs, _pad0[1];
    uint8_t saved_upcall_mask;
    uint8_t _pad1[3];
    union {
        uint64_t rflags, eflags;
        uint32_t _eflags;
    };
    union {
        uint64_t rsp, esp;
        uint32_t _esp;
    };
    uint16_t ss, _pad2[3];
    uint16_t es, _pad3[3];
    uint16_t ds, _pad4[3];
    uint16_t fs, _pad5[3];
    uint16_t gs, _pad6[3];
};
#endif
typedef struct cpu_user_regs cpu_user_regs_t;
DEFINE_XEN_GUEST_HANDLE(cpu_user_regs_t);

/* Between a frame number and the contents of CR3. */
#define xen_pfn_to_cr3(pfn) ((unsigned long)(pfn) << 12)
#define xen_cr3_to_pfn(cr3) ((unsigned long)(cr3) >> 12)

struct arch_vcpu_info {
    unsigned long cr2;
    unsigned long pad;
};
typedef struct arch_vcpu_info arch_vcpu_info_t;
typedef unsigned long xen_callback_t;

#endif /* !__ASSEMBLY__ */

#endif /* __XEN_PUBLIC_ARCH_X86_XEN_X86_64_H__ */
