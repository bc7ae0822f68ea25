/* SPDX-License-Identifier: MIT */
/*
 * The probe's guest: position-independent 64-bit code, entered at CPL 0 with paging on.
 *
 * It reports each step by writing the step's number (enum kvm_probe_step) to port 0x10, and each
 * finished chunk of the timed loop by a write to port 0x11; the host sets no interrupt table, so
 * any unexpected fault is a triple fault and ends the run. Selectors and MSR values are those of
 * probe.c's descriptor table.
 */
#define STEP(n) "    mov $" #n ", %al; out %al, $0x10\n"

__asm__(

    "    .section .rodata\n"
    "    .balign 16\n"
    "    .globl kvm_probe_guest, kvm_probe_guest_end\n"
    "    .hidden kvm_probe_guest, kvm_probe_guest_end\n"
    "kvm_probe_guest:\n"
    "    xor %eax, %eax\n"
    "    xor %ecx, %ecx\n"
    "    cpuid\n"
    "    cmp $1, %eax\n"
    "    jb fail\n"
    STEP(1)

    "    mov %cr3, %rax\n"
    "    mov %rax, %cr3\n"
    "    mov %cr0, %rax\n"
    "    bt $31, %rax\n"
    "    jnc fail\n"
    "    invlpg (%rsp)\n"
    "    movabs $0x1122334455667788, %rax\n"
    "    push %rax\n"
    "    pop %rbx\n"
    "    cmp %rax, %rbx\n"
    "    jne fail\n"
    STEP(2)

    /* Interrupt return within CPL 0. */
    "    mov %rsp, %rdx\n"
    "    lea 1f(%rip), %rax\n"
    "    pushq $0x10\n"
    "    push %rdx\n"
    "    pushfq\n"
    "    pushq $0x08\n"
    "    push %rax\n"
    "    iretq\n"
    "1:  cmp %rdx, %rsp\n"
    "    jne fail\n"
    STEP(3)

    "    mov $0xc0000081, %ecx\n"               /* STAR: SYSCALL CS 0x08, SYSRET base 0x18 */
    "    xor %eax, %eax\n"
    "    mov $0x00180008, %edx\n"
    "    wrmsr\n"
    "    mov $0xc0000082, %ecx\n"               /* LSTAR */
    "    lea entry(%rip), %rax\n"
    "    mov %rax, %rdx\n"
    "    shr $32, %rdx\n"
    "    wrmsr\n"
    "    rdmsr\n"
    "    lea entry(%rip), %rbx\n"
    "    cmp %eax, %ebx\n"
    "    jne fail\n"
    "    mov $0xc0000084, %ecx\n"               /* SFMASK */
    "    xor %eax, %eax\n"
    "    xor %edx, %edx\n"
    "    wrmsr\n"
    STEP(4)

    /* To CPL 3 by SYSRET and back by SYSCALL. */
    "    lea 2f(%rip), %r12\n"                  /* where entry goes on */
    "    lea user(%rip), %rcx\n"
    "    mov $2, %r11d\n"
    "    xor %ebx, %ebx\n"
    "    sysretq\n"
    "2:  cmp $0x2b, %ebx\n"
    "    jne fail\n"
    STEP(5)

    /* The same by IRETQ. */
    "    lea 3f(%rip), %r12\n"
    "    lea user(%rip), %rax\n"
    "    mov %rsp, %rdx\n"
    "    xor %ebx, %ebx\n"
    "    pushq $0x23\n"
    "    push %rdx\n"
    "    pushq $2\n"
    "    pushq $0x2b\n"
    "    push %rax\n"
    "    iretq\n"
    "3:  cmp $0x2b, %ebx\n"
    "    jne fail\n"
    STEP(6)

    /* Chunks of 2000, 4000 ... iterations of five instructions; probe.c knows the numbers. */
    "    mov $2000, %r9d\n"
    STEP(7)
    "4:  mov %r9d, %esi\n"
    "5:  add $3, %rbx\n"
    "    xor %rbx, %rdx\n"
    "    mov %rdx, -64(%rsp)\n"
    "    dec %esi\n"
    "    jnz 5b\n"
    "    out %al, $0x11\n"
    "    add %r9d, %r9d\n"
    "    cmp $4000000, %r9d\n"
    "    jb 4b\n"
    STEP(8)
    "fail:\n"
    "    hlt\n"
    "    jmp fail\n"

    "user:\n"
    "    mov %cs, %ebx\n"
    "    syscall\n"
    "    ud2\n"
    "entry:\n"
    "    mov %cs, %eax\n"
    "    cmp $0x08, %eax\n"
    "    jne fail\n"
    "    jmp *%r12\n"
    "kvm_probe_guest_end:\n"
    ".previous\n");
