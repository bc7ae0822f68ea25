/* SPDX-License-Identifier: MIT */
/*
 * Running cases on the host's CPU.
 *
 * A child process takes a batch: for each case it loads every register from the case's state and
 * "returns" by IRETQ to the instruction at CPL 3 (to CS 0x23 for 32-bit code). INT3, single-step
 * or a fault makes the kernel deliver a signal on another stack; its frame has the whole state. The
 * handler copies that and leaves, not by sigreturn but by going back to where the case was started.
 * A case that loops is ended by a timer; a case that kills the child loses only itself.
 */
#define _GNU_SOURCE
#include "tests/cpu/cpudiff.h"

#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define HWCAP2_FSGSBASE_ (1 << 1)

void native_enter(const struct cpu_state *s);
void native_handler(int sig, siginfo_t *info, void *uc);
int  native_capture(int sig, siginfo_t *info, void *uc);

/* Shared with the assembly below; live in the child only. */
struct {
    uint64_t rsp, fs_base;                /* the child's own */
    uint64_t case_fs_base, case_gs_base;  /* as the handler found them */
    uint16_t ds, es, fs, gs;
} native_ctx __attribute__((visibility("hidden")));

static uint8_t *code_alias, *data_alias;
static const uint8_t *data_pool;
static struct cpu_outcome *current;        /* NULL: no case is running */
static const struct cpu_case *current_case;
static volatile uint32_t *progress;        /* shared with the parent: cases begun */

_Static_assert(offsetof(struct cpu_state, rip) == 128 &&
               offsetof(struct cpu_state, fs_base) == 144 &&
               offsetof(struct cpu_state, sel) == 160 && offsetof(struct cpu_state, fx) == 192,
               "native_enter knows these");

/* sel: ES CS SS DS FS GS */
__asm__(
    "    .text\n"
    "    .globl native_enter, native_handler\n"
    "    .hidden native_enter, native_handler\n"
    "native_enter:\n"
    "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "    mov %rsp, native_ctx(%rip)\n"
    "    fxrstor64 192(%rdi)\n"
    "    mov 160(%rdi), %es\n"
    "    mov 166(%rdi), %ds\n"
    "    mov 168(%rdi), %fs\n"
    "    mov 170(%rdi), %gs\n"
    "    mov 144(%rdi), %rax\n"
    "    wrfsbase %rax\n"
    "    mov 152(%rdi), %rax\n"
    "    wrgsbase %rax\n"
    "    movzwl 164(%rdi), %eax\n"
    "    push %rax\n"                   /* SS */
    "    push 32(%rdi)\n"               /* RSP */
    "    push 136(%rdi)\n"              /* RFLAGS */
    "    movzwl 162(%rdi), %eax\n"
    "    push %rax\n"                   /* CS */
    "    push 128(%rdi)\n"              /* RIP */
    "    mov 0(%rdi), %rax\n    mov 8(%rdi), %rcx\n    mov 16(%rdi), %rdx\n"
    "    mov 24(%rdi), %rbx\n   mov 40(%rdi), %rbp\n   mov 48(%rdi), %rsi\n"
    "    mov 64(%rdi), %r8\n    mov 72(%rdi), %r9\n    mov 80(%rdi), %r10\n"
    "    mov 88(%rdi), %r11\n   mov 96(%rdi), %r12\n   mov 104(%rdi), %r13\n"
    "    mov 112(%rdi), %r14\n  mov 120(%rdi), %r15\n  mov 56(%rdi), %rdi\n"
    "    iretq\n"
    /* The kernel keeps AC as the case set it: no C code before it is cleared. */
    "native_handler:\n"
    "    pushq $2; popfq\n"
    "    mov %ds, native_ctx+32(%rip)\n"
    "    mov %es, native_ctx+34(%rip)\n"
    "    mov %fs, native_ctx+36(%rip)\n"
    "    mov %gs, native_ctx+38(%rip)\n"
    "    rdfsbase %rax\n    mov %rax, native_ctx+16(%rip)\n"
    "    rdgsbase %rax\n    mov %rax, native_ctx+24(%rip)\n"
    "    xor %eax, %eax\n"
    "    mov %eax, %ds\n    mov %eax, %es\n    mov %eax, %fs\n    mov %eax, %gs\n"
    "    mov native_ctx+8(%rip), %rax\n    wrfsbase %rax\n"
    "    sub $8, %rsp\n"
    "    call native_capture\n"
    "    add $8, %rsp\n"
    "    test %eax, %eax\n"
    "    jz 1f\n"
    "    mov native_ctx(%rip), %rsp\n"
    "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "1:  ret\n");

/* ---------------------------------------------------------------- in the child */

static void copy_gprs(struct cpu_state *s, const greg_t *g)
{
    static const int order[16] = {
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
    };
    for (int i = 0; i < 16; i++)
        s->gpr[i] = (uint64_t)g[order[i]];
    s->rip = (uint64_t)g[REG_RIP];
    s->rflags = (uint64_t)g[REG_EFL];
    s->sel[ENGINE_CS] = (uint16_t)g[REG_CSGSFS];
    s->sel[ENGINE_SS] = (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48);
}

/* Returns 1 to leave the case, 0 to return from the signal. */
int native_capture(int sig, siginfo_t *info, void *ucv)
{
    const ucontext_t *uc = ucv;
    struct cpu_outcome *o = current;

    if (!o) {
        if (sig == SIGVTALRM)
            return 0;
        _exit(98);                 /* a fault of the child's own */
    }
    current = NULL;
    copy_gprs(&o->s, uc->uc_mcontext.gregs);
    o->s.sel[ENGINE_DS] = native_ctx.ds;
    o->s.sel[ENGINE_ES] = native_ctx.es;
    o->s.sel[ENGINE_FS] = native_ctx.fs;
    o->s.sel[ENGINE_GS] = native_ctx.gs;
    o->s.fs_base = native_ctx.case_fs_base;
    o->s.gs_base = native_ctx.case_gs_base;
    memcpy(o->s.fx, uc->uc_mcontext.fpregs, sizeof(o->s.fx));
    if (sig == SIGVTALRM) {
        o->vector = VEC_HANG;
        return 1;
    }
    o->vector = (uint32_t)uc->uc_mcontext.gregs[REG_TRAPNO];
    o->error = (uint32_t)uc->uc_mcontext.gregs[REG_ERR];
    o->cr2 = o->vector == 14 ? (uint64_t)uc->uc_mcontext.gregs[REG_CR2] : 0;
    return 1;
}

static void run_case(const struct cpu_case *c, struct cpu_outcome *o)
{
    uint8_t *code = code_alias + c->code_off;
    unsigned room = CODE_SIZE - c->code_off;
    unsigned len = c->len < room ? c->len : room;

    memcpy(code, c->code, len);
    memcpy(data_alias, data_pool + c->mem_off, DATA_RW);
    memcpy(data_alias + c->patch_off, c->patch, c->patch_len);
    memset(o, 0, offsetof(struct cpu_outcome, data));
    current_case = c;
    current = o;
    native_enter(&c->in);
    memset(code, 0xcc, len);
    memcpy(o->data, data_alias, DATA_RW);
}

static void install_handlers(void)
{
    static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGVTALRM, SIGSYS };
    static uint8_t stack[128 * 1024] __attribute__((aligned(64)));
    stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
    struct sigaction sa = {
        .sa_sigaction = native_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
    };
    struct itimerval tick = { { 0, 40000 }, { 0, 40000 } };

    sigaltstack(&alt, NULL);
    for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
        sigaction(sigs[i], &sa, NULL);
    setitimer(ITIMER_VIRTUAL, &tick, NULL);
}

static void child(const struct cpu_case *cases, struct cpu_outcome *out, unsigned from, unsigned nr)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    install_handlers();
    /* A first touch would fault as "not present" where the case's fault must say "protection". */
    for (uint32_t at = 0; at < DATA_SIZE; at += 4096)
        (void)*(volatile uint8_t *)(uintptr_t)(DATA_VA + at);
    for (uint32_t at = 0; at < CODE_SIZE; at += 4096)
        (void)*(volatile uint8_t *)(uintptr_t)(CODE_VA + at);
    __asm__ volatile("rdfsbase %0" : "=r"(native_ctx.fs_base));
    for (unsigned i = from; i < nr; i++) {
        *progress = i + 1;
        /* The timer may have hit a case that was only just begun: three chances. */
        for (int tries = 0; tries < 3; tries++) {
            run_case(&cases[i], &out[i]);
            if (out[i].vector != VEC_HANG)
                break;
        }
    }
    _exit(0);
}

/* ---------------------------------------------------------------- in the parent */

void native_run(const struct cpu_case *cases, struct cpu_outcome *out, unsigned nr)
{
    unsigned from = 0;

    while (from < nr) {
        int status;
        *progress = from;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            child(cases, out, from, nr);
        if (pid < 0) {
            perror("cpudiff: fork");
            _exit(99);
        }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            return;
        from = *progress;
        if (!from) {
            fprintf(stderr, "cpudiff: the native child cannot start (status %#x)\n", status);
            _exit(99);
        }
        out[from - 1].vector = VEC_NOT_RUN;
        memset(code_alias, 0xcc, CODE_SIZE);
    }
}

static void *map(int fd, off_t off, size_t size, int prot, uintptr_t at)
{
    void *p = mmap((void *)at, size, prot, MAP_SHARED | (at ? MAP_FIXED_NOREPLACE : 0), fd, off);

    if (p == MAP_FAILED || (at && p != (void *)at)) {
        perror("cpudiff: mmap");
        return NULL;
    }
    return p;
}

int native_init(const uint8_t *pool)
{
    int code = memfd_create("cpudiff-code", 0), data = memfd_create("cpudiff-data", 0);

    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_)) {
        printf("cpudiff: skipped: the host lacks FSGSBASE\n");
        return 77;
    }
    if (code < 0 || data < 0 || ftruncate(code, CODE_SIZE) < 0 || ftruncate(data, DATA_SIZE) < 0) {
        perror("cpudiff: memfd");
        return -1;
    }
    data_pool = pool;
    code_alias = map(code, 0, CODE_SIZE, PROT_READ | PROT_WRITE, 0);
    data_alias = map(data, 0, DATA_SIZE, PROT_READ | PROT_WRITE, 0);
    if (!code_alias || !data_alias || !map(code, 0, CODE_SIZE, PROT_READ | PROT_EXEC, CODE_VA) ||
        !map(data, 0, DATA_RW, PROT_READ | PROT_WRITE, DATA_VA) ||
        !map(data, DATA_RW, DATA_SIZE - DATA_RW, PROT_READ, DATA_VA + DATA_RW))
        return -1;
    memset(code_alias, 0xcc, CODE_SIZE);
    memcpy(data_alias, pool, DATA_SIZE);
    progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    close(code);
    close(data);
    return progress == MAP_FAILED ? -1 : 0;
}
