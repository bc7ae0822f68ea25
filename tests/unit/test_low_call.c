/* SPDX-License-Identifier: MIT */
/* xencall and xentoolcore over a fake core: results, buffers, restriction, broken peers. */
#include <errno.h>
#include <fcntl.h>
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
#include "include/xencall.h"
#include "include/xentoolcore_internal.h"
#include "include/xentoollog.h"
#include "tests/unit/fake_core.h"

struct fixture {
    struct fake_core *core;
    xentoollog_logger *lg;
    xencall_handle *x;
};

/* Hypercall 40 returns its first argument; 41 writes 0x5a over [arg0, arg0 + arg1). */
static int64_t hypercall(void *arg, struct fake_conn *c, uint64_t op, const uint64_t a[5])
{
    unsigned char *p;

    if (op == 40)
        return (int64_t)(a[0] + (a[1] << 8) + (a[2] << 16) + (a[3] << 24) + (a[4] << 32));
    if (op == 42)
        return (int64_t)a[0];
    if (op != 41)
        return -ENOSYS;
    p = fake_conn_ptr(c, a[0], a[1]);
    if (!p)
        return -EFAULT;
    memset(p, 0x5a, a[1]);
    return 0;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->core = fake_core_start();
    fake_core_on_hypercall(f->core, hypercall, NULL);
    /* Messages that the tests provoke belong nowhere. */
    f->lg = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_NUM_LEVELS, 0);
    f->x = xencall_open(f->lg, 0);
    *state = f;
    return f->x ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    xencall_close(f->x);
    xtl_logger_destroy(f->lg);
    fake_core_stop(f->core);
    free(f);
    return 0;
}

static void results(void **state)
{
    xencall_handle *x = ((struct fixture *)*state)->x;

    assert_int_equal(xencall0(x, 40), 0);
    assert_int_equal(xencall1(x, 40, 7), 7);
    assert_int_equal(xencall2(x, 40, 7, 1), 0x107);
    assert_int_equal(xencall3(x, 40, 7, 1, 2), 0x20107);
    assert_int_equal(xencall4(x, 40, 7, 1, 2, 3), 0x3020107);
    assert_int_equal(xencall5(x, 40, 7, 1, 2, 3, 0), 0x3020107);
    assert_true(xencall2L(x, 42, 1ull << 40, 0) == 1l << 40);
    errno = 0;
    assert_int_equal(xencall0(x, 99), -1);
    assert_int_equal(errno, ENOSYS);
    errno = 0;
    assert_int_equal(xencall1(x, 42, (uint64_t)-EBUSY), -1);
    assert_int_equal(errno, EBUSY);
    /* A negative result that is no errno must not become one. */
    assert_int_equal(xencall1(x, 42, (uint64_t)INT64_MIN), -1);
    assert_int_equal(errno, EPROTO);
    assert_true(xencall_fd(x) >= 0);
    assert_int_equal(xencall_buffers_never_fault(x), 1);
}

static void buffers(void **state)
{
    xencall_handle *x = ((struct fixture *)*state)->x;
    unsigned char *a = xencall_alloc_buffer_pages(x, 2), *b, *c, *d;

    assert_non_null(a);
    assert_int_equal((uintptr_t)a % 4096, 0);
    assert_int_equal(a[0] | a[8191], 0);
    assert_int_equal(xencall2(x, 41, (uintptr_t)a, 8192), 0);
    assert_int_equal(a[0], 0x5a);
    assert_int_equal(a[8191], 0x5a);
    b = xencall_alloc_buffer_pages(x, 1);
    assert_true(b && (b >= a + 8192 || b + 4096 <= a));
    xencall_free_buffer_pages(x, a, 2);
    /* Reused memory is zeroed again; a run that does not fit the hole goes elsewhere. */
    c = xencall_alloc_buffer_pages(x, 3);
    assert_true(c && (c >= b + 4096 || c + 3 * 4096 <= b));
    d = xencall_alloc_buffer_pages(x, 2);
    assert_ptr_equal(d, a);
    assert_int_equal(d[0] | d[8191], 0);
    xencall_free_buffer_pages(x, c, 3);
    xencall_free_buffer_pages(x, b, 1);
    xencall_free_buffer_pages(x, d, 2);
    xencall_free_buffer_pages(x, NULL, 1);

    a = xencall_alloc_buffer(x, 1);
    assert_int_equal((uintptr_t)a % 16, 0);
    b = xencall_alloc_buffer(x, 5000);
    memset(b, 1, 5000);
    xencall_free_buffer(x, b);
    xencall_free_buffer(x, a);
    xencall_free_buffer(x, NULL);
}

static void odd_buffers(void **state)
{
    xencall_handle *x = ((struct fixture *)*state)->x;
    size_t pages = KW_MAX_ARENA / 4096;
    char *all;

    errno = 0;
    assert_null(xencall_alloc_buffer_pages(x, 0));
    assert_int_equal(errno, EINVAL);
    assert_null(xencall_alloc_buffer_pages(x, pages + 1));
    assert_int_equal(errno, ENOMEM);
    assert_null(xencall_alloc_buffer(x, SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
    /* The whole arena but for touching it all; then big runs give their memory back. */
    all = xencall_alloc_buffer_pages(x, 1000);
    assert_non_null(all);
    memset(all, 1, 1000 * 4096);
    xencall_free_buffer_pages(x, all, 1000);
    all = xencall_alloc_buffer_pages(x, 1000);
    assert_int_equal(all[999 * 4096], 0);
    xencall_free_buffer_pages(x, all, 1000);
    /* What never came from here is left alone. */
    xencall_free_buffer_pages(x, all + 4096, 1);
    xencall_free_buffer_pages(x, &pages, 1);
    /* Pointers outside the arena do not reach the core. */
    assert_int_equal(xencall2(x, 41, (uintptr_t)&pages, sizeof(pages)), -1);
    assert_int_equal(errno, EFAULT);
}

static void broken_core(void **state)
{
    struct fixture *f = *state;
    static const enum fake_fault faults[] = {FAKE_BAD_SEQ, FAKE_SHORT, FAKE_TINY, FAKE_STATUS};

    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        fake_core_fault(f->core, KW_HYPERCALL, faults[i]);
        errno = 0;
        assert_int_equal(xencall1(f->x, 40, 1), -1);
        assert_int_equal(errno, EPROTO);
        assert_int_equal(xencall1(f->x, 40, 1), 1);
    }
    fake_core_fault(f->core, KW_HYPERCALL, FAKE_EBUSY);
    assert_int_equal(xencall1(f->x, 40, 1), -1);
    assert_int_equal(errno, EBUSY);
    fake_core_fault(f->core, KW_HYPERCALL, FAKE_HANGUP);
    assert_int_equal(xencall1(f->x, 40, 1), -1);
    assert_true(errno == ECONNRESET || errno == EPIPE);
    assert_int_equal(xencall1(f->x, 40, 1), -1);
}

static void failing_opens(void **state)
{
    struct fixture *f = *state;
    char *dir = strdup(getenv("KRYPTON_RUNDIR"));

    assert_null(xencall_open(f->lg, 0x80));
    assert_int_equal(errno, EINVAL);
    fake_core_fault(f->core, KW_HELLO, FAKE_SHORT);
    assert_null(xencall_open(f->lg, 0));
    assert_int_equal(errno, EPROTO);
    fake_core_fault(f->core, KW_ARENA, FAKE_NO_FDS);
    assert_null(xencall_open(f->lg, 0));
    assert_int_equal(errno, EPROTO);
    fake_core_fault(f->core, KW_ARENA, FAKE_EBUSY);
    assert_null(xencall_open(f->lg, 0));
    assert_int_equal(errno, EBUSY);
    setenv("KRYPTON_RUNDIR", "/nonexistent", 1);
    assert_null(xencall_open(f->lg, 0));
    assert_int_equal(errno, ENOENT);
    setenv("KRYPTON_RUNDIR", dir, 1);
    assert_int_equal(xencall_close(NULL), 0);
    free(dir);
}

/* Without a core, the message names the place. */
static void says_why(void **state)
{
    char *dir = strdup(getenv("KRYPTON_RUNDIR")), *text = NULL;
    size_t len;
    FILE *m = open_memstream(&text, &len);
    xentoollog_logger *lg = (void *)xtl_createlogger_stdiostream(m, XTL_PROGRESS, 0);

    setenv("KRYPTON_RUNDIR", "/nonexistent", 1);
    assert_null(xencall_open(lg, 0));
    fflush(m);
    assert_non_null(strstr(text, "/nonexistent/core"));
    assert_non_null(strstr(text, "kryptond"));
    setenv("KRYPTON_RUNDIR", dir, 1);
    xtl_logger_destroy(lg);
    fclose(m);
    free(text);
    free(dir);
}

static void *hammer(void *arg)
{
    xencall_handle *x = arg;

    for (unsigned i = 1; i < 300; i++) {
        size_t n = i % 5 + 1;
        unsigned char *p = xencall_alloc_buffer_pages(x, n);

        if (!p || xencall1(x, 40, i) != (int)i || xencall2(x, 41, (uintptr_t)p, n * 4096) ||
            p[n * 4096 - 1] != 0x5a)
            return (void *)1;
        xencall_free_buffer_pages(x, p, n);
    }
    return NULL;
}

static void threads(void **state)
{
    xencall_handle *x = ((struct fixture *)*state)->x;
    pthread_t t[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, hammer, x), 0);
    for (int i = 0; i < 4; i++) {
        void *bad;

        pthread_join(t[i], &bad);
        assert_null(bad);
    }
}

/* A child may close what it inherited, and the parent does not notice. */
static void closed_in_child(void **state)
{
    xencall_handle *x = ((struct fixture *)*state)->x;
    void *p = xencall_alloc_buffer_pages(x, 1);
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        xencall_close(x);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(xencall2(x, 41, (uintptr_t)p, 4096), 0);
    xencall_free_buffer_pages(x, p, 1);
}

struct probe {
    Xentoolcore__Active_Handle ah;
    int calls, result;
    domid_t domid;
};

static int probe_restrict(Xentoolcore__Active_Handle *ah, domid_t domid)
{
    struct probe *p = (struct probe *)ah;

    p->calls++;
    p->domid = domid;
    if (p->result)
        errno = p->result;
    return p->result ? -1 : 0;
}

static void restrict_all(void **state)
{
    struct fixture *f = *state;
    struct probe a = {.ah.restrict_callback = probe_restrict}, b = a, c = a;

    xentoolcore__register_active_handle(&a.ah);
    xentoolcore__register_active_handle(&b.ah);
    xentoolcore__register_active_handle(&c.ah);
    xentoolcore__deregister_active_handle(&b.ah);
    assert_int_equal(xentoolcore_restrict_all(5), 0);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.domid, 5);
    assert_int_equal(b.calls, 0);
    assert_int_equal(c.calls, 1);
    /* Hypercalls are taken away altogether. */
    assert_int_equal(xencall1(f->x, 40, 1), -1);
    a.result = EOPNOTSUPP;
    assert_int_equal(xentoolcore_restrict_all(5), -1);
    assert_int_equal(errno, EOPNOTSUPP);
    xentoolcore__deregister_active_handle(&a.ah);
    xentoolcore__deregister_active_handle(&c.ah);
}

static void dup2_null(void **state)
{
    int p[2];
    char byte = 1;

    assert_int_equal(xentoolcore__restrict_by_dup2_null(-1), 0);
    assert_int_equal(pipe(p), 0);
    assert_int_equal(xentoolcore__restrict_by_dup2_null(p[0]), 0);
    assert_int_equal(read(p[0], &byte, 1), 0);
    close(p[0]);
    close(p[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(results, setup, teardown),
        cmocka_unit_test_setup_teardown(buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_core, setup, teardown),
        cmocka_unit_test_setup_teardown(failing_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(says_why, setup, teardown),
        cmocka_unit_test_setup_teardown(threads, setup, teardown),
        cmocka_unit_test_setup_teardown(closed_in_child, setup, teardown),
        cmocka_unit_test_setup_teardown(restrict_all, setup, teardown),
        cmocka_unit_test(dup2_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
