/* SPDX-License-Identifier: MIT */
/* The event machine: times, descriptors, children in each mode, several threads, event callbacks. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "libxl/ao.h"
#include "libxl/ctx.h"
#include "libxl/event.h"

#include "tests/unit/libxl_fake.h"

static libxl_ctx *ctx;

static int setup(void **state)
{
    fake_reset();
    fake.dom[1].exists = true;
    fake.dom[2].exists = true;
    return libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &fake_logger);
}

static int teardown(void **state)
{
    libxl_ctx_free(ctx);
    return 0;
}

/* Runs libxl's loop until *done, for a few seconds at most. */
static void run_until(const int *done, int n)
{
    struct lx_poller *p;

    alarm(20); /* a loop that misses its event must not hang the build */
    lx_lock(ctx);
    p = lx_poller_get(ctx);
    while (*done < n)
        assert_int_equal(lx_loop_once(ctx, p), 0);
    lx_poller_put(ctx, p);
    lx_unlock(ctx);
    alarm(0);
}

/* ---- times */

static char order[8];
static int fired;
static struct lx_ev_time times[3];

static void on_time(struct lx_egc *egc, struct lx_ev_time *ev, int rc)
{
    assert_int_equal(rc, ERROR_TIMEDOUT);
    order[fired++] = (char)('a' + (ev - times));
    if (ev == &times[0]) /* it may end another, and start itself again */
        lx_time_deregister(&egc->gc, &times[2]);
}

static void test_times(void **state)
{
    LX_GC(ctx);

    fired = 0;
    memset(order, 0, sizeof(order));
    lx_lock(ctx);
    assert_int_equal(lx_time_register(gc, NULL, &times[2], on_time, 60), 0);
    assert_int_equal(lx_time_register(gc, NULL, &times[0], on_time, 30), 0);
    assert_int_equal(lx_time_register(gc, NULL, &times[1], on_time, 10), 0);
    lx_unlock(ctx);
    run_until(&fired, 2);
    assert_string_equal(order, "ba");
    assert_null(times[2].func);
    assert_true(TAILQ_EMPTY(&ctx->etimes));
}

/* ---- descriptors */

static struct lx_ev_fd efds[2];
static int readable;

static void on_readable(struct lx_egc *egc, struct lx_ev_fd *ev, int fd, short events, short revents)
{
    uint64_t n;

    assert_int_equal(revents, POLLIN);
    assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
    readable++;
    lx_fd_deregister(&egc->gc, &efds[0]);
    lx_fd_deregister(&egc->gc, &efds[1]);
}

/* Both are ready; the one dispatched first ends the other, whose readiness must not be acted upon. */
static void test_fd_gone_meanwhile(void **state)
{
    LX_GC(ctx);
    int fd[2];

    readable = 0;
    lx_lock(ctx);
    for (int i = 0; i < 2; i++) {
        fd[i] = eventfd(1, 0);
        lx_fd_idle(&efds[i]);
        assert_int_equal(lx_fd_register(gc, &efds[i], on_readable, fd[i], POLLIN), 0);
    }
    lx_unlock(ctx);
    run_until(&readable, 1);
    assert_int_equal(readable, 1);
    assert_true(LIST_EMPTY(&ctx->efds));
    close(fd[0]);
    close(fd[1]);
}

/* ---- children */

static int ended, end_status, strangers;

static void on_end(struct lx_egc *egc, struct lx_ev_child *ev, pid_t pid, int status)
{
    assert_int_equal(ev->pid, -1);
    end_status = status;
    ended++;
}

static pid_t start_child(struct lx_ev_child *ev, int exit_status)
{
    LX_GC(ctx);
    pid_t pid;

    lx_child_idle(ev);
    lx_lock(ctx);
    pid = lx_child_fork(gc, ev, on_end);
    if (!pid)
        _exit(exit_status);
    lx_unlock(ctx);
    assert_true(pid > 0);
    return pid;
}

static void test_child_by_default(void **state)
{
    struct lx_ev_child ev;

    ended = 0;
    start_child(&ev, 3);
    run_until(&ended, 1);
    assert_true(WIFEXITED(end_status) && WEXITSTATUS(end_status) == 3);
    assert_true(LIST_EMPTY(&ctx->children));
    assert_true(LIST_EMPTY(&ctx->efds));
}

static void test_child_reaped_by_program(void **state)
{
    static const libxl_childproc_hooks hooks = { .chldowner = libxl_sigchld_owner_mainloop };
    struct lx_ev_child ev;
    int status;
    pid_t pid;

    ended = 0;
    libxl_childproc_setmode(ctx, &hooks, NULL);
    pid = start_child(&ev, 4);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(libxl_childproc_reaped(ctx, pid + 1, status), ERROR_UNKNOWN_CHILD);
    assert_int_equal(libxl_childproc_reaped(ctx, pid, status), 0);
    assert_int_equal(ended, 1);
    assert_int_equal(WEXITSTATUS(end_status), 4);
}

static int on_stranger(pid_t pid, int status, void *user)
{
    assert_int_equal(pid, *(pid_t *)user);
    assert_int_equal(WEXITSTATUS(status), 5);
    strangers++;
    return 0;
}

static void test_all_children_are_libxls(void **state)
{
    static const libxl_childproc_hooks hooks = {
        .chldowner = libxl_sigchld_owner_libxl_always,
        .reaped_callback = on_stranger,
    };
    struct sigaction now;
    struct lx_ev_child ev;
    pid_t pid;

    ended = strangers = 0;
    libxl_childproc_setmode(ctx, &hooks, &pid);
    pid = fork();
    if (!pid)
        _exit(5);
    run_until(&strangers, 1);
    start_child(&ev, 6);
    run_until(&ended, 1);
    assert_int_equal(WEXITSTATUS(end_status), 6);
    libxl_childproc_setmode(ctx, NULL, NULL);
    sigaction(SIGCHLD, NULL, &now);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
}

/* A child that goes on without exec has libxl to itself, and disturbs nothing of its parent's. */
static void test_postfork(void **state)
{
    static const libxl_childproc_hooks hooks = {
        .chldowner = libxl_sigchld_owner_libxl_always,
        .reaped_callback = on_stranger,
    };
    libxl_ctx *other;
    pid_t pid;

    libxl_childproc_setmode(ctx, &hooks, &pid);
    strangers = 0;
    pid = fork();
    if (!pid) {
        libxl_postfork_child_noexec(ctx);
        if (libxl_ctx_alloc(&other, LIBXL_VERSION, 0, &fake_logger))
            _exit(1);
        libxl_childproc_setmode(other, &hooks, &pid);
        libxl_ctx_free(other);
        libxl_ctx_free(ctx);
        _exit(5);
    }
    run_until(&strangers, 1);
    libxl_childproc_setmode(ctx, NULL, NULL);
}

/* ---- threads */

static void *wait_for_death(void *arg)
{
    libxl_event *event = NULL;
    int rc = libxl_event_wait(ctx, &event, 1 << LIBXL_EVENT_TYPE_DOMAIN_DEATH, NULL, NULL);
    uintptr_t domid = rc ? 0 : event->domid;

    libxl_event_free(ctx, event);
    return (void *)domid;
}

/* Two threads sleep in libxl; each death wakes one of them, whichever reads the watch. */
static void test_two_waiters(void **state)
{
    libxl_evgen_domain_death *ev[2];
    pthread_t t[2];
    void *domid[2];

    alarm(20);
    assert_int_equal(libxl_evenable_domain_death(ctx, 1, 0, &ev[0]), 0);
    assert_int_equal(libxl_evenable_domain_death(ctx, 2, 0, &ev[1]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, wait_for_death, NULL), 0);
    usleep(20000);
    for (uint32_t d = 1; d <= 2; d++) {
        lx_lock(ctx); /* the fake store is only ever used under it */
        fake_domain_ends(d, -1);
        lx_unlock(ctx);
        usleep(20000);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], &domid[i]);
    alarm(0);
    assert_int_equal((uintptr_t)domid[0] + (uintptr_t)domid[1], 3);
    assert_int_not_equal((uintptr_t)domid[0], (uintptr_t)domid[1]);
    libxl_evdisable_domain_death(ctx, ev[0]);
    libxl_evdisable_domain_death(ctx, ev[1]);
}

/* ---- events by callback */

static int occurred;

static void on_event(void *user, libxl_event *event)
{
    assert_ptr_equal(user, &occurred);
    assert_int_equal(event->type, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN);
    /* callbacks run without the lock: anything may be called */
    assert_int_equal(libxl_domain_unpause(ctx, event->domid, NULL), 0);
    libxl_event_free(ctx, event);
    occurred++;
}

static const libxl_event_hooks event_hooks = {
    .event_occurs_mask = 1 << LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN,
    .event_occurs = on_event,
};

static void test_event_hooks(void **state)
{
    libxl_evgen_domain_death *ev;
    libxl_event *event;

    occurred = 0;
    libxl_event_register_callbacks(ctx, &event_hooks, &occurred);
    assert_int_equal(libxl_evenable_domain_death(ctx, 1, 0, &ev), 0);
    fake_domain_ends(1, LIBXL_SHUTDOWN_REASON_CRASH);
    run_until(&occurred, 1);
    assert_int_equal(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
                     ERROR_NOT_READY);
    /* what is not in the mask is queued as ever */
    fake_domain_ends(1, -1);
    assert_int_equal(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL), 0);
    assert_int_equal(event->type, LIBXL_EVENT_TYPE_DOMAIN_DEATH);
    libxl_event_free(ctx, event);
    libxl_evdisable_domain_death(ctx, ev);
}

/* ---- the ctx itself */

static void test_nobody_there(void **state)
{
    libxl_ctx *other;

    fake_fail(1);
    assert_int_equal(libxl_ctx_alloc(&other, LIBXL_VERSION, 0, &fake_logger), ERROR_FAIL);
    assert_null(other);
    assert_non_null(strstr(fake_log, "kryptond"));
    assert_int_equal(libxl_ctx_alloc(&other, LIBXL_VERSION + 1, 0, &fake_logger), ERROR_VERSION);
    assert_int_equal(libxl_ctx_free(NULL), 0);
}

static void test_arena(void **state)
{
    LX_GC(ctx);
    char *p[50], *q;

    for (int i = 0; i < 50; i++)
        p[i] = lx_sprintf(gc, "%d", i);
    q = lx_realloc(gc, p[25], 5000); /* moves within the chain */
    assert_string_equal(q, "25");
    q = lx_realloc(gc, p[49], 9000); /* and its head */
    assert_string_equal(q, "49");
    for (int i = 0; i < 25; i++)
        assert_int_equal(atoi(p[i]), i);
    lx_gc_empty(gc);
    assert_null(gc->blocks);
    assert_null(lx_strdup(gc, NULL));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_times),
        T(test_fd_gone_meanwhile),
        T(test_child_by_default),
        T(test_child_reaped_by_program),
        T(test_all_children_are_libxls),
        T(test_postfork),
        T(test_two_waiters),
        T(test_event_hooks),
        T(test_nobody_there),
        T(test_arena),
    };
    char dir[] = "/tmp/test-libxl-ev-XXXXXX";
    int failed;

    if (!mkdtemp(dir))
        return 1;
    setenv("KRYPTON_RUNDIR", dir, 1);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
