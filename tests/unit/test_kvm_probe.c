/* SPDX-License-Identifier: MIT */
/* The KVM probe: each verdict from a made-up record, the device's failure paths from real files,
 * and the real device's verdict printed. */
#define _GNU_SOURCE     /* setresuid */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "hypervisor/engine/kvm/probe.h"

#define NO_STATUS (-1)
#define MS 1000000ull

static struct kvm_probe_result judge(struct kvm_probe_record r, int status, uint64_t now)
{
    struct kvm_probe_result out;
    memset(&out, 0x5a, sizeof(out));
    kvm_probe_judge(&r, status, now, &out);
    assert_int_equal(strchr(out.reason, '\n') == NULL, 1);
    assert_int_not_equal(strlen(out.reason), 0);
    return out;
}

static void judge_set_up_failures(void **state)
{
    static const struct { enum kvm_verdict setup; int err; const char *says; } cases[] = {
        { KVM_NO_DEVICE, ENOENT, "no /dev/kvm" },
        { KVM_NO_DEVICE, EBUSY, "cannot open" },
        { KVM_NO_PERMISSION, EACCES, "join group kvm" },
        { KVM_NOT_KVM, ENOTTY, "API version 12" },
        { KVM_NO_VM, ENOMEM, "KVM_CREATE_VM failed: Cannot allocate" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kvm_probe_record r = {
            .setup = cases[i].setup, .err = cases[i].err, .what = "KVM_CREATE_VM", .finished = true,
        };
        struct kvm_probe_result out = judge(r, 0, 0);
        assert_int_equal(out.verdict, cases[i].setup);
        assert_non_null(strstr(out.reason, cases[i].says));
        assert_int_equal(out.mips, 0);
    }
}

static void judge_runs(void **state)
{
    struct kvm_probe_record r = {
        .setup = KVM_USABLE, .step = KVM_STEP_DONE, .finished = true, .best_mips = 3000,
    };
    assert_int_equal(judge(r, 0, 0).verdict, KVM_USABLE);
    r.best_mips = KVM_PROBE_MIN_MIPS;
    assert_int_equal(judge(r, 0, 0).verdict, KVM_USABLE);
    r.best_mips = KVM_PROBE_MIN_MIPS - 1;
    assert_int_equal(judge(r, 0, 0).verdict, KVM_SLOW);

    r.finished = false;
    assert_int_equal(judge(r, 0, 0).verdict, KVM_CRASHED);
    struct kvm_probe_result out = judge(r, 11, 0);       /* killed by SIGSEGV */
    assert_int_equal(out.verdict, KVM_CRASHED);
    assert_non_null(strstr(out.reason, strsignal(11)));
}

static void judge_stops_early(void **state)
{
    struct kvm_probe_record r = {
        .setup = KVM_USABLE, .step = KVM_STEP_PAGING, .finished = true, .exit_reason = 8,
    };
    struct kvm_probe_result out = judge(r, 0, 0);
    assert_int_equal(out.verdict, KVM_WRONG);
    assert_string_equal(out.reason, "its CPU fails at IRETQ: triple fault (exit 8)");

    r.finished = false;
    out = judge(r, NO_STATUS, 0);
    assert_int_equal(out.verdict, KVM_HANGS);
    assert_non_null(strstr(out.reason, "IRETQ"));
    r.setup = KVM_HANGS;
    assert_non_null(strstr(judge(r, NO_STATUS, 0).reason, "set-up"));
}

static void judge_killed_in_loop(void **state)
{
    /* 800,000 instructions in 200 ms and not done: 4 MIPS at best. */
    struct kvm_probe_record r = {
        .setup = KVM_USABLE, .step = KVM_STEP_LOOP, .chunk_insns = 800000, .loop_start_ns = 50 * MS,
    };
    struct kvm_probe_result out = judge(r, NO_STATUS, 250 * MS);
    assert_int_equal(out.verdict, KVM_SLOW);
    assert_int_equal(out.mips, 4);
    assert_string_equal(out.reason, "runs at 4 MIPS: instructions are emulated");

    /* A busy machine may run out of time although the CPU is real. */
    r.best_mips = 900;
    assert_int_equal(judge(r, NO_STATUS, 250 * MS).verdict, KVM_USABLE);
}

static void names(void **state)
{
    for (int v = KVM_USABLE; v <= KVM_CRASHED; v++)
        assert_string_not_equal(kvm_verdict_name(v), "unknown");
    assert_string_equal(kvm_verdict_name(99), "unknown");
}

static void missing_device(void **state)
{
    struct kvm_probe_result out;
    assert_int_equal(kvm_probe("/nonexistent/kvm", &out), KVM_NO_DEVICE);
    assert_string_equal(out.reason, "no /dev/kvm");
}

static void not_a_kvm(void **state)
{
    struct kvm_probe_result out;
    char path[] = "/tmp/kvm-probe-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(kvm_probe(path, &out), KVM_NOT_KVM);
    assert_int_equal(kvm_probe("/dev/null", &out), KVM_NOT_KVM);
    close(fd);
    unlink(path);
}

/* In a child, since root must give up its power to read everything. */
static void unreadable_device(void **state)
{
    char path[] = "/tmp/kvm-probe-XXXXXX";
    int fd = mkstemp(path), status;
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0), 0);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        struct kvm_probe_result out;
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
            _exit(99);
        _exit(kvm_probe(path, &out));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    unlink(path);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), KVM_NO_PERMISSION);
}

static void real_device(void **state)
{
    struct kvm_probe_result out;
    enum kvm_verdict v = kvm_probe(NULL, &out);
    print_message("kvm: %s: %s (%llu ms)\n", kvm_verdict_name(v), out.reason,
                  (unsigned long long)(out.elapsed_ns / MS));
    assert_int_equal(v, out.verdict);
    /* The limit, the wait after a kill, and scheduling on a loaded machine. */
    assert_true(out.elapsed_ns < (KVM_PROBE_LIMIT_MS + 2000) * MS);
    if (v == KVM_USABLE)
        assert_true(out.mips >= KVM_PROBE_MIN_MIPS);
    int status;
    assert_int_equal(waitpid(-1, &status, WNOHANG), -1);   /* no child is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judge_set_up_failures), cmocka_unit_test(judge_runs),
        cmocka_unit_test(judge_stops_early), cmocka_unit_test(judge_killed_in_loop),
        cmocka_unit_test(names), cmocka_unit_test(missing_device), cmocka_unit_test(not_a_kvm),
        cmocka_unit_test(unreadable_device), cmocka_unit_test(real_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
