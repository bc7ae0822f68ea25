/* SPDX-License-Identifier: MIT */
/* Entry points of the interrupt descriptor table: one stub per vector, all to trap() in trap.c. */
    .text
    .code64

    .altmacro
    .macro stub vector
    .align 16
    /* Vectors with an error code: 8, 10-14, 17, 21. */
    .if (\vector == 8) || ((\vector >= 10) && (\vector <= 14)) || (\vector == 17) || (\vector == 21)
    .else
    pushq $0
    .endif
    pushq $\vector
    jmp trap_common
    .endm

    .globl trap_stubs
    .align 16
trap_stubs:
    .set i, 0
    .rept 256
    stub %i
    .set i, i + 1
    .endr

trap_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    movq %rsp, %rbp
    andq $-16, %rsp
    cld
    call trap
    movq %rbp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

    .section .note.GNU-stack, "", @progbits
