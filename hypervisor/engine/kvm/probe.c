/* SPDX-License-Identifier: MIT */
#include "hypervisor/engine/kvm/probe_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_MIN_INSNS         300000   /* shorter ones measure the exit's cost */

extern const uint8_t kvm_probe_guest[], kvm_probe_guest_end[];

struct probe_vm {
    int vm, vcpu;
    uint8_t *ram;
    struct kvm_run *run;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const char *kvm_verdict_name(enum kvm_verdict v)
{
    static const char *const names[] = {
        [KVM_USABLE] = "usable", [KVM_NO_DEVICE] = "no-device",
        [KVM_NO_PERMISSION] = "no-permission", [KVM_NOT_KVM] = "not-kvm", [KVM_NO_VM] = "no-vm",
        [KVM_WRONG] = "wrong", [KVM_SLOW] = "slow", [KVM_HANGS] = "hangs",
        [KVM_CRASHED] = "crashed",
    };
    return (unsigned)v < sizeof(names) / sizeof(names[0]) ? names[v] : "unknown";
}

static void fail(struct kvm_probe_record *r, enum kvm_verdict v, const char *what)
{
    r->err = errno;
    r->setup = v;
    strncpy(r->what, what, sizeof(r->what) - 1);
}

static void put64(uint8_t *ram, uint32_t gpa, uint64_t value)
{
    memcpy(ram + gpa, &value, sizeof(value));
}

void kvm_probe_fill_memory(uint8_t *ram)
{
    put64(ram, PROBE_GPA_PML4, PROBE_GPA_PDPT | 7);
    put64(ram, PROBE_GPA_PDPT, PROBE_GPA_PD | 7);
    put64(ram, PROBE_GPA_PD, 0x87);                            /* present, write, user, 2 MiB */
    put64(ram, PROBE_GPA_GDT + 0x08, 0x00af9b000000ffffull);   /* code 64, DPL 0 */
    put64(ram, PROBE_GPA_GDT + 0x10, 0x00cf93000000ffffull);   /* data, DPL 0 */
    put64(ram, PROBE_GPA_GDT + 0x18, 0x00cffb000000ffffull);   /* code 32, DPL 3 */
    put64(ram, PROBE_GPA_GDT + 0x20, 0x00cff3000000ffffull);   /* data, DPL 3 */
    put64(ram, PROBE_GPA_GDT + 0x28, 0x00affb000000ffffull);   /* code 64, DPL 3 */
    memcpy(ram + PROBE_GPA_CODE, kvm_probe_guest, (size_t)(kvm_probe_guest_end - kvm_probe_guest));
}

static int set_cpuid(int kvm, int vcpu)
{
    /* The entries follow a header with a flexible array. */
    static union {
        struct kvm_cpuid2 head;
        uint8_t room[sizeof(struct kvm_cpuid2) + 128 * sizeof(struct kvm_cpuid_entry2)];
    } cpuid;
    cpuid.head.nent = 128;
    if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0)
        return -1;
    return ioctl(vcpu, KVM_SET_CPUID2, &cpuid);
}

static int set_registers(int vcpu)
{
    struct kvm_sregs s;
    if (ioctl(vcpu, KVM_GET_SREGS, &s) < 0)
        return -1;
    struct kvm_segment code = {
        .limit = 0xffffffff, .selector = 0x08, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1,
    };
    struct kvm_segment data = {
        .limit = 0xffffffff, .selector = 0x10, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1,
    };
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.tr = (struct kvm_segment){ .base = PROBE_GPA_TSS, .limit = 0x67, .type = 11, .present = 1 };
    s.gdt.base = PROBE_GPA_GDT;
    s.gdt.limit = PROBE_GDT_LIMIT;
    s.idt.base = 0;
    s.idt.limit = 0;
    s.cr3 = PROBE_GPA_PML4;
    s.cr4 = PROBE_CR4;
    s.cr0 = PROBE_CR0;
    s.efer = PROBE_EFER;
    if (ioctl(vcpu, KVM_SET_SREGS, &s) < 0)
        return -1;
    struct kvm_regs regs = { .rip = PROBE_GPA_CODE, .rsp = PROBE_GPA_STACK_TOP, .rflags = 2 };
    return ioctl(vcpu, KVM_SET_REGS, &regs);
}

/* Descriptors and maps are left to the child's exit. Returns 0, or -1 with r saying why. */
static int set_up(const char *device, struct kvm_probe_record *r, struct probe_vm *p)
{
    int kvm = open(device, O_RDWR | O_CLOEXEC);
    if (kvm < 0) {
        fail(r, errno == EACCES || errno == EPERM ? KVM_NO_PERMISSION : KVM_NO_DEVICE, "open");
        return -1;
    }
    int api = ioctl(kvm, KVM_GET_API_VERSION, 0);
    if (api != KVM_API_VERSION) {
        if (api >= 0)
            errno = 0;
        fail(r, KVM_NOT_KVM, "KVM_GET_API_VERSION");
        return -1;
    }
    const char *what = "KVM_CREATE_VM";
    p->vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (p->vm < 0)
        goto out;
    what = "memory";
    p->ram = mmap(NULL, PROBE_GPA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p->ram == MAP_FAILED)
        goto out;
    kvm_probe_fill_memory(p->ram);
    struct kvm_userspace_memory_region slot = {
        .memory_size = PROBE_GPA_SIZE, .userspace_addr = (uintptr_t)p->ram,
    };
    what = "KVM_SET_USER_MEMORY_REGION";
    if (ioctl(p->vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
        goto out;
    what = "KVM_CREATE_VCPU";
    p->vcpu = ioctl(p->vm, KVM_CREATE_VCPU, 0);
    if (p->vcpu < 0)
        goto out;
    what = "KVM_GET_VCPU_MMAP_SIZE";
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < (int)sizeof(*p->run))
        goto out;
    p->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu, 0);
    if (p->run == MAP_FAILED)
        goto out;
    what = "KVM_SET_CPUID2";
    if (set_cpuid(kvm, p->vcpu) < 0)
        goto out;
    what = "KVM_SET_SREGS";
    if (set_registers(p->vcpu) < 0)
        goto out;
    return 0;
out:
    fail(r, KVM_NO_VM, what);
    return -1;
}

static void chunk_done(struct kvm_probe_record *r)
{
    uint64_t now = now_ns(), ns = now - r->loop_start_ns;
    if (r->chunk_insns >= CHUNK_MIN_INSNS && ns) {
        uint64_t mips = r->chunk_insns * 1000 / ns;
        if (mips > r->best_mips)
            r->best_mips = mips;
    }
    r->chunk_insns *= 2;
    r->loop_start_ns = now;
}

/* Returns true to go on. */
static bool port_exit(struct kvm_probe_record *r, const struct kvm_run *run)
{
    uint8_t value = *((const uint8_t *)run + run->io.data_offset);
    if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 1)
        return false;
    if (run->io.port == PROBE_PORT_CHUNK && r->step == KVM_STEP_LOOP) {
        chunk_done(r);
        return true;
    }
    if (run->io.port != PROBE_PORT_STEP || value != r->step + 1)
        return false;
    r->step = value;
    if (r->step == KVM_STEP_LOOP) {
        r->chunk_insns = PROBE_FIRST_ITERATIONS * PROBE_INSNS_PER_ITERATION;
        r->loop_start_ns = now_ns();
    }
    return r->step < KVM_STEP_DONE;
}

static void child(const char *device, struct kvm_probe_record *r)
{
    struct probe_vm p;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (set_up(device, r, &p) == 0) {
        r->setup = KVM_USABLE;
        for (;;) {
            if (ioctl(p.vcpu, KVM_RUN, 0) < 0) {
                if (errno == EINTR || errno == EAGAIN)
                    continue;
                fail(r, KVM_WRONG, "KVM_RUN");
                break;
            }
            if (p.run->exit_reason != KVM_EXIT_IO) {
                r->exit_reason = p.run->exit_reason;
                break;
            }
            if (!port_exit(r, p.run)) {
                r->exit_reason = r->step == KVM_STEP_DONE ? 0 : KVM_EXIT_IO;
                break;
            }
        }
    }
    r->finished = true;
    _exit(0);
}

/* What the guest was doing when it got no further. */
static const char *step_after(enum kvm_probe_step step)
{
    static const char *const names[KVM_NR_STEPS] = {
        "CPUID", "paging", "IRETQ", "WRMSR", "SYSRET and SYSCALL", "IRETQ to CPL 3",
        "the timed loop's start", "the timed loop", "the end",
    };
    return (unsigned)step < KVM_NR_STEPS ? names[step] : "nowhere";
}

static const char *exit_name(uint32_t reason)
{
    switch (reason) {
    case KVM_EXIT_SHUTDOWN: return "triple fault";
    case KVM_EXIT_INTERNAL_ERROR: return "KVM internal error";
    case KVM_EXIT_FAIL_ENTRY: return "VM entry failed";
    case KVM_EXIT_HLT: return "wrong result";
    case KVM_EXIT_MMIO: return "stray memory access";
    case KVM_EXIT_IO: return "wrong port output";
    default: return "unexpected exit";
    }
}

__attribute__((format(printf, 3, 4)))
static void verdict(struct kvm_probe_result *out, enum kvm_verdict v, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out->reason, sizeof(out->reason), fmt, ap);
    va_end(ap);
    out->verdict = v;
}

static void judge_setup(const struct kvm_probe_record *r, struct kvm_probe_result *out)
{
    switch (r->setup) {
    case KVM_NO_DEVICE:
        if (r->err == ENOENT || r->err == ENODEV || r->err == ENXIO)
            verdict(out, r->setup, "no /dev/kvm");
        else
            verdict(out, r->setup, "cannot open /dev/kvm: %s", strerror(r->err));
        break;
    case KVM_NO_PERMISSION:
        verdict(out, r->setup, "permission denied on /dev/kvm: join group kvm");
        break;
    case KVM_NOT_KVM:
        verdict(out, r->setup, "/dev/kvm does not speak KVM API version %d", KVM_API_VERSION);
        break;
    default:
        verdict(out, r->setup, "%.31s failed: %s", r->what, strerror(r->err));
    }
}

static void judge_speed(const struct kvm_probe_record *r, uint64_t now,
                        struct kvm_probe_result *out)
{
    /* Too slow to finish even one chunk that counts: what the one under way says at best. */
    uint64_t mips = r->best_mips;
    if (!mips && now > r->loop_start_ns)
        mips = r->chunk_insns * 1000 / (now - r->loop_start_ns);
    out->mips = mips;
    if (mips >= KVM_PROBE_MIN_MIPS)
        verdict(out, KVM_USABLE, "usable, runs at %llu MIPS", (unsigned long long)mips);
    else
        verdict(out, KVM_SLOW, "runs at %llu MIPS: instructions are emulated",
                (unsigned long long)mips);
}

void kvm_probe_judge(const struct kvm_probe_record *r, int status, uint64_t now,
                     struct kvm_probe_result *out)
{
    bool killed = status == -1;

    out->mips = 0;
    if (!killed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0 && r->finished))
        verdict(out, KVM_CRASHED, "the probe's process died%s%s at %s",
                WIFSIGNALED(status) ? ": " : "",
                WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "", step_after(r->step));
    else if (!killed && r->setup != KVM_USABLE)
        judge_setup(r, out);
    else if (!killed && r->step != KVM_STEP_DONE)
        verdict(out, KVM_WRONG, "its CPU fails at %s: %s (exit %u)", step_after(r->step),
                exit_name(r->exit_reason), (unsigned)r->exit_reason);
    else if (r->step >= KVM_STEP_LOOP)
        judge_speed(r, now, out);
    else
        verdict(out, KVM_HANGS, "no answer within %d ms at %s", KVM_PROBE_LIMIT_MS,
                r->setup == KVM_USABLE ? step_after(r->step) : "set-up");
}

/* Waits for the child until the limit. Returns its wait status, or -1 if it had to be killed. */
static int reap(pid_t pid, uint64_t start)
{
    int status = 0;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    uint64_t spent = (now_ns() - start) / 1000000;
    int left = spent < KVM_PROBE_LIMIT_MS ? (int)(KVM_PROBE_LIMIT_MS - spent) : 0;

    if (fd >= 0) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        while (poll(&p, 1, left) < 0 && errno == EINTR) {}
        close(fd);
    } else {
        for (; left > 0 && waitpid(pid, &status, WNOHANG) == 0; left--)
            usleep(1000);
        if (left > 0)
            return status;
    }
    if (waitpid(pid, &status, WNOHANG) == pid)
        return status;
    kill(pid, SIGKILL);
    /* A child stuck in the kernel cannot be waited for; it is gone when the kernel lets it. */
    for (int i = 0; i < 50 && waitpid(pid, NULL, WNOHANG) == 0; i++)
        usleep(1000);
    return -1;
}

enum kvm_verdict kvm_probe(const char *device, struct kvm_probe_result *out)
{
    uint64_t start = now_ns();
    struct kvm_probe_record *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
                                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(out, 0, sizeof(*out));
    if (r == MAP_FAILED) {
        verdict(out, KVM_CRASHED, "the probe cannot run: %s", strerror(errno));
        return out->verdict;
    }
    r->setup = KVM_HANGS;
    pid_t pid = fork();
    if (pid == 0)
        child(device ? device : KVM_PROBE_DEVICE, r);
    if (pid < 0) {
        verdict(out, KVM_CRASHED, "the probe cannot run: %s", strerror(errno));
    } else {
        int status = reap(pid, start);
        kvm_probe_judge(r, status, now_ns(), out);
    }
    munmap(r, sizeof(*r));
    out->elapsed_ns = now_ns() - start;
    return out->verdict;
}
