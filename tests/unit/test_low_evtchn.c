/* SPDX-License-Identifier: MIT */
/* xenevtchn over a fake core: events, masking, exec, broken peers. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "hypervisor/core/wire.h"
#include "include/xenevtchn.h"
#include "include/xentoolcore.h"
#include "include/xentoollog.h"
#include "tests/unit/fake_core.h"

struct fixture {
    struct fake_core *core;
    xentoollog_logger *lg;
    xenevtchn_handle *x;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->core = fake_core_start();
    f->lg = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_NUM_LEVELS, 0);
    f->x = xenevtchn_open(f->lg, 0);
    if (f->x)
        fcntl(xenevtchn_fd(f->x), F_SETFL, O_NONBLOCK);
    *state = f;
    return f->x ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    xenevtchn_close(f->x);
    xtl_logger_destroy(f->lg);
    fake_core_stop(f->core);
    free(f);
    return 0;
}

static bool readable(xenevtchn_handle *x)
{
    struct pollfd p = {xenevtchn_fd(x), POLLIN, 0};

    return poll(&p, 1, 0) == 1;
}

static void events(void **state)
{
    struct fixture *f = *state;
    int a = xenevtchn_bind_unbound_port(f->x, 3), b;

    assert_true(a > 0);
    assert_int_equal(fake_core_last_domid(f->core), 3);
    b = xenevtchn_bind_interdomain(f->x, 4, 17);
    assert_true(b > 0 && b != a);
    assert_int_equal(xenevtchn_pending(f->x), -1);
    assert_int_equal(errno, EAGAIN);
    assert_false(readable(f->x));

    fake_core_send(f->core, a, 3);
    assert_true(readable(f->x));
    assert_int_equal(xenevtchn_pending(f->x), a);
    assert_false(readable(f->x));
    /* Masked now: another event waits for the unmask, and several are one. */
    fake_core_send(f->core, a, 1);
    fake_core_send(f->core, a, 1);
    assert_false(readable(f->x));
    assert_int_equal(xenevtchn_pending(f->x), -1);
    fake_core_send(f->core, b, 1);
    assert_int_equal(xenevtchn_pending(f->x), b);
    assert_int_equal(xenevtchn_unmask(f->x, a), 0);
    assert_int_equal(xenevtchn_pending(f->x), a);
    assert_int_equal(xenevtchn_unmask(f->x, a), 0);
    assert_int_equal(xenevtchn_unmask(f->x, b), 0);
    assert_false(readable(f->x));

    assert_int_equal(xenevtchn_notify(f->x, b), 0);
    assert_int_equal(xenevtchn_notify(f->x, b), 0);
    assert_int_equal(fake_core_take(f->core, b), 2);
    assert_int_equal(fake_core_take(f->core, a), 0);
}

static void unbinding(void **state)
{
    struct fixture *f = *state;
    int a = xenevtchn_bind_unbound_port(f->x, 3);

    fake_core_send(f->core, a, 1);
    assert_int_equal(xenevtchn_unbind(f->x, a), 0);
    assert_false(fake_core_bound(f->core, a));
    assert_false(readable(f->x));
    errno = 0;
    assert_int_equal(xenevtchn_unbind(f->x, a), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xenevtchn_notify(f->x, a), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xenevtchn_unmask(f->x, 4000000), -1);
    assert_int_equal(errno, EINVAL);
    /* The number may come back, as another port. */
    assert_int_equal(xenevtchn_bind_unbound_port(f->x, 3), a);
    assert_false(readable(f->x));
}

static void virqs(void **state)
{
    struct fixture *f = *state;
    int v = xenevtchn_bind_virq(f->x, 3);

    assert_true(v > 0);
    fake_core_send(f->core, v, 1);
    assert_int_equal(xenevtchn_pending(f->x), v);
    assert_int_equal(xenevtchn_notify(f->x, v), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xenevtchn_bind_virq(f->x, 100), -1);
    assert_int_equal(errno, EINVAL);
}

static void *send_later(void *arg)
{
    struct fixture *f = arg;

    usleep(20000);
    fake_core_send(f->core, 1, 1);
    return NULL;
}

static void waiting(void **state)
{
    struct fixture *f = *state;
    pthread_t t;
    int a = xenevtchn_bind_unbound_port(f->x, 3);

    assert_int_equal(a, 1);
    fcntl(xenevtchn_fd(f->x), F_SETFL, 0);
    pthread_create(&t, NULL, send_later, f);
    assert_int_equal(xenevtchn_pending(f->x), a);
    pthread_join(t, NULL);
}

static void broken_core(void **state)
{
    struct fixture *f = *state;

    fake_core_fault(f->core, KW_EVTCHN_UNBOUND, FAKE_NO_FDS);
    assert_int_equal(xenevtchn_bind_unbound_port(f->x, 3), -1);
    assert_int_equal(errno, EPROTO);
    /* And the port that the core had made was given back. */
    assert_false(fake_core_bound(f->core, 1));
    fake_core_fault(f->core, KW_EVTCHN_UNBOUND, FAKE_SHORT);
    assert_int_equal(xenevtchn_bind_unbound_port(f->x, 3), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(xenevtchn_bind_unbound_port(f->x, 3), 2);
    fake_core_fault(f->core, KW_EVTCHN_UNBOUND, FAKE_HANGUP);
    assert_int_equal(xenevtchn_bind_unbound_port(f->x, 3), -1);
    /* That the core is gone is reported, and once only. */
    assert_true(readable(f->x));
    assert_int_equal(xenevtchn_pending(f->x), -1);
    assert_int_equal(errno, EPIPE);
    assert_false(readable(f->x));
    assert_int_equal(xenevtchn_pending(f->x), -1);
    assert_int_equal(errno, EAGAIN);
}

static void restricted(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(xenevtchn_restrict(f->x, 7), 0);
    assert_int_equal(xenevtchn_bind_unbound_port(f->x, 3), -1);
    assert_int_equal(errno, EACCES);
    assert_true(xenevtchn_bind_unbound_port(f->x, 7) > 0);
    assert_int_equal(xentoolcore_restrict_all(7), 0);
    assert_int_equal(xentoolcore_restrict_all(8), -1);
    assert_int_equal(errno, EACCES);
}

static void closing(void **state)
{
    struct fixture *f = *state;
    int a = xenevtchn_bind_unbound_port(f->x, 3);

    xenevtchn_close(f->x);
    for (int i = 0; i < 1000 && fake_core_bound(f->core, a); i++)
        usleep(1000);
    assert_false(fake_core_bound(f->core, a));
    f->x = xenevtchn_open(f->lg, 0);
    assert_non_null(f->x);
    assert_int_equal(xenevtchn_close(NULL), 0);
    assert_null(xenevtchn_open(f->lg, 2));
    assert_int_equal(errno, EINVAL);
    assert_null(xenevtchn_fdopen(f->lg, 0, XENEVTCHN_NO_CLOEXEC));
    assert_int_equal(errno, EINVAL);
    assert_null(xenevtchn_fdopen(f->lg, 12345, 0));
}

/* The program after exec(): takes the handle over, answers port a on b. */
static int successor(int fd, int a, int b)
{
    xenevtchn_handle *x = xenevtchn_fdopen(NULL, fd, 0);
    int fresh;

    if (!x)
        return 1;
    if (xenevtchn_pending(x) != a)
        return 2;
    if (xenevtchn_notify(x, b) || xenevtchn_unmask(x, a))
        return 3;
    fresh = xenevtchn_bind_unbound_port(x, 9);
    if (fresh <= 0 || fresh == a || fresh == b || xenevtchn_unbind(x, b))
        return 4;
    return xenevtchn_close(x) ? 5 : 0;
}

static void across_exec(void **state)
{
    struct fixture *f = *state;
    xenevtchn_handle *keep = xenevtchn_open(f->lg, XENEVTCHN_NO_CLOEXEC);
    char fd[16], a[16], b[16], exe[4096];
    int pa = xenevtchn_bind_unbound_port(keep, 3), pb = xenevtchn_bind_interdomain(keep, 4, 5);
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    int status;
    pid_t pid;

    assert_true(pa > 0 && pb > 0 && n > 0);
    exe[n] = 0;
    snprintf(fd, sizeof(fd), "%d", xenevtchn_fd(keep));
    snprintf(a, sizeof(a), "%d", pa);
    snprintf(b, sizeof(b), "%d", pb);
    fake_core_send(f->core, pa, 1);
    pid = fork();
    if (pid == 0) {
        execl(exe, exe, "--successor", fd, a, b, (char *)NULL);
        _exit(99);
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_false(fake_core_bound(f->core, pb));
    xenevtchn_close(keep);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events, setup, teardown),
        cmocka_unit_test_setup_teardown(unbinding, setup, teardown),
        cmocka_unit_test_setup_teardown(virqs, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_core, setup, teardown),
        cmocka_unit_test_setup_teardown(restricted, setup, teardown),
        cmocka_unit_test_setup_teardown(closing, setup, teardown),
        cmocka_unit_test_setup_teardown(across_exec, setup, teardown),
    };

    if (argc == 5 && !strcmp(argv[1], "--successor"))
        return successor(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
