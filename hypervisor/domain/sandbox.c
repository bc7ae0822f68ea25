/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "hypervisor/domain/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/sanitizer.h"

/* Two eventfds for each of the FIFO ABI's ports, and some. */
#define MAX_FILES 300000u

int sandbox_early(int keep)
{
    struct rlimit files, none = { 0, 0 };
    int null = open("/dev/null", O_RDWR);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        close_range((unsigned)keep + 1, ~0u, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
        getrlimit(RLIMIT_NOFILE, &files) < 0) {
        return -1;
    }
    if (files.rlim_max > MAX_FILES) {
        files.rlim_max = MAX_FILES;
    }
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0) {
        return -1;
    }
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0, 0, 0 } };

    for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
        prctl(PR_CAPBSET_DROP, cap); /* fails without CAP_SETPCAP, where there is nothing to drop */
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return (int)syscall(SYS_capset, &header, none);
}

/* What running a guest takes; all of it acts on what the process holds already. */
static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(futex),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(munmap),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(sched_yield),
    SCMP_SYS(membarrier),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(getrandom),
};

/* The address sanitizer's own needs, in builds with it. */
static const int sanitizer[] = {
#if KR_ASAN
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(readlink),
    SCMP_SYS(getrusage),
    SCMP_SYS(prctl),
    SCMP_SYS(ioctl),
#endif
    SCMP_SYS(exit),
};

static int add_rules(scmp_filter_ctx ctx)
{
    int rc = 0;

    for (unsigned i = 0; i < sizeof(allowed) / sizeof(*allowed) && !rc; i++) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
    }
    for (unsigned i = 0; i < sizeof(sanitizer) / sizeof(*sanitizer) && !rc; i++) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, sanitizer[i], 0);
    }
    /* Memory is never made executable. */
    if (!rc) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
    if (!rc) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
    /* free() looks at a file of /proc before it gives a heap back: told no, it takes the careful
     * way. */
    if (!rc) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
    }
    /* abort() of this process, as the C library does it; any other signal kills by the filter. */
    if (!rc) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                              SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    }
    return rc;
}

int sandbox_enter(void)
{
    scmp_filter_ctx ctx;
    int rc;

    if (drop_capabilities() < 0) {
        return -1;
    }
    /* One heap that grows by brk(): a heap per thread would grow by an mprotect() a page. */
    mallopt(M_ARENA_MAX, 1);
    ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!ctx) {
        errno = ENOMEM;
        return -1;
    }
    rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!rc) {
        rc = add_rules(ctx);
    }
    if (!rc) {
        rc = seccomp_load(ctx);
    }
    seccomp_release(ctx);
    errno = -rc;
    return rc ? -1 : 0;
}
