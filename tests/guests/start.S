/* SPDX-License-Identifier: MIT */
/*
 * PVH entry (32-bit protected mode, paging off, %ebx = struct hvm_start_info): identity page tables
 * for the first 4 GiB, long mode, main(). Also where further vCPUs begin.
 */
#define CR0_PE      0x00000001
#define CR0_MP      0x00000002
#define CR0_NE      0x00000020
#define CR0_WP      0x00010000
#define CR0_PG      0x80000000
#define CR4_PAE     0x020
#define CR4_OSFXSR  0x200
#define MSR_EFER    0xc0000080
#define EFER_SCE    0x001
#define EFER_LME    0x100
#define EFER_NXE    0x800
#define PTE_RW      0x03
#define PTE_RW_HUGE 0x83
#define STACK_SIZE  16384

    /* ELF note: name "Xen", type XEN_ELFNOTE_PHYS32_ENTRY. */
    .section .note.Xen, "a", @note
    .align 4
    .long 4, 4, 18
    .asciz "Xen"
    .long _start

    .text
    .code32
    .globl _start
_start:
    cld
    movl $boot_stack + STACK_SIZE, %esp
    movl %ebx, %ebp

    /* Page directories: 2048 entries of 2 MiB. */
    movl $page_dirs, %edi
    movl $PTE_RW_HUGE, %eax
    movl $2048, %ecx
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b

    movl $page_dirs + PTE_RW, %eax
    movl $page_dir_ptrs, %edi
    movl $4, %ecx
2:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $8, %edi
    loop 2b
    movl $page_dir_ptrs + PTE_RW, page_root

    movl $boot_stack + STACK_SIZE, %esi
    movl $start64, %edi
    jmp enter_long_mode

/* %esi: stack, %edi: where to go in 64-bit mode, %ebp is kept. */
enter_long_mode:
    movl $CR4_PAE | CR4_OSFXSR, %eax
    movl %eax, %cr4
    movl $page_root, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    xorl %edx, %edx
    movl $EFER_SCE | EFER_LME | EFER_NXE, %eax
    wrmsr
    movl $CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_PE, %eax
    movl %eax, %cr0
    lgdt gdt_ptr
    ljmp $0x08, $1f
    .code64
1:  movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl %esi, %esp
    jmp *%rdi

start64:
    movl %ebp, %edi
    xorl %ebp, %ebp
    call guest_start
1:  hlt
    jmp 1b

/*
 * A vCPU started by INIT and SIPI begins here, copied to AP_TRAMPOLINE (smp.c), in real mode.
 */
    .globl ap_trampoline, ap_trampoline_end
    .code16
ap_trampoline:
    cli
    movw %cs, %ax
    movw %ax, %ds
    lgdtl ap_gdt_ptr - ap_trampoline
    movl %cr0, %eax
    orb $CR0_PE, %al
    movl %eax, %cr0
    ljmpl $0x18, $ap_protected
    .align 4
ap_gdt_ptr:
    .word gdt_end - gdt - 1
    .long gdt
ap_trampoline_end:

    .code32
ap_protected:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %ss
    movl ap_stack, %esi
    movl $ap_start64, %edi
    jmp enter_long_mode

    .code64
    .globl ap_start64
ap_start64:
    movq ap_stack(%rip), %rsp
    /* A vCPU that VCPUOP_initialise made has no descriptor tables. */
    lgdt gdt_ptr
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    pushq $0x08
    pushq $1f
    lretq
1:
    xorl %ebp, %ebp
    call ap_main
1:  hlt
    jmp 1b

    .section .data
    .align 16
    .globl gdt, gdt_tss, gdt_ptr
gdt:
    .quad 0
    .quad 0x00af9b000000ffff    /* 0x08 64-bit code */
    .quad 0x00cf93000000ffff    /* 0x10 data */
    .quad 0x00cf9b000000ffff    /* 0x18 32-bit code */
    .quad 0x00cff3000000ffff    /* 0x20 user data (SYSRET: base + 8) */
    .quad 0x00affb000000ffff    /* 0x28 user 64-bit code (SYSRET: base + 16) */
gdt_tss:
    .quad 0, 0                  /* 0x30 TSS */
gdt_end:
gdt_ptr:
    .word gdt_end - gdt - 1
    .quad gdt

    .globl ap_stack
    .align 8
ap_stack:
    .quad 0

    .section .bss
    .align 4096
    .globl page_root, page_dirs, page_dir_ptrs, boot_stack
page_root:
    .skip 4096
page_dir_ptrs:
    .skip 4096
page_dirs:
    .skip 4 * 4096
boot_stack:
    .skip STACK_SIZE

/* Hypercalls go through the page that the hypervisor fills. */
    .section .hypercall_page, "ax"
    .globl hypercall_page
    .align 4096
hypercall_page:
    .skip 4096, 0xf4

    .section .note.GNU-stack, "", @progbits
