/* SPDX-License-Identifier: MIT */
/* libxenstore against the daemon, over real sockets and the real loop in a thread of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenstore.h>

#include "tests/unit/xs_fake.h"
#include "xenstored/loop.h"

struct world {
    struct fake f;
    struct loop *loop;
    pthread_t thread;
    int stop;
    char dir[32], path[64];
    struct xs_handle *h;
};


static void *serve(void *arg)
{
    struct world *w = arg;

    loop_run(w->loop, w->stop);
    return NULL;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    int fd;

    strcpy(w->dir, "/tmp/kr-xs-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/socket", w->dir);
    setenv("XENSTORED_PATH", w->path, 1);
    fake_init(&w->f);
    assert_int_equal(loop_new(&w->loop, &w->f.s), 0);
    fd = loop_make_socket(w->path);
    assert_true(fd >= 0);
    assert_int_equal(loop_listen(w->loop, fd), 0);
    assert_int_equal(loop_make_socket(w->path), -EADDRINUSE);
    w->stop = eventfd(0, 0);
    assert_int_equal(pthread_create(&w->thread, NULL, serve, w), 0);
    w->h = xs_open(0);
    assert_non_null(w->h);
    *state = w;
    return 0;
}

static void stop_daemon(struct world *w)
{
    uint64_t one = 1;

    assert_int_equal(write(w->stop, &one, sizeof(one)), sizeof(one));
    pthread_join(w->thread, NULL);
    close(w->stop);
    w->stop = -1;
    fake_free(&w->f);
    loop_free(w->loop);
    unlink(w->path);
    rmdir(w->dir);
}

static int teardown(void **state)
{
    struct world *w = *state;

    xs_close(w->h);
    if (w->stop >= 0)
        stop_daemon(w);
    free(w);
    return 0;
}

static void test_operations(void **state)
{
    struct xs_handle *h = ((struct world *)*state)->h;
    struct xs_permissions p[2] = { { 0, XS_PERM_NONE }, { 3, XS_PERM_READ | XS_PERM_WRITE } }, *q;
    unsigned n;

    assert_true(xs_write(h, XBT_NULL, "/a/b", "value", 5));
    char *v = xs_read(h, XBT_NULL, "/a/b", &n);
    assert_string_equal(v, "value");
    assert_int_equal(n, 5);
    free(v);
    assert_null(xs_read(h, XBT_NULL, "/a/none", &n));
    assert_int_equal(errno, ENOENT);
    assert_true(xs_mkdir(h, XBT_NULL, "/a/c"));
    char **d = xs_directory(h, XBT_NULL, "/a", &n);
    assert_int_equal(n, 2);
    assert_string_equal(d[1], "c");
    free(d);
    d = xs_directory(h, XBT_NULL, "/a/c", &n);
    assert_non_null(d);
    assert_int_equal(n, 0);
    free(d);
    assert_true(xs_set_permissions(h, XBT_NULL, "/a", p, 2));
    q = xs_get_permissions(h, XBT_NULL, "/a", &n);
    assert_int_equal(n, 2);
    assert_int_equal(q[1].id, 3);
    assert_int_equal(q[1].perms, XS_PERM_READ | XS_PERM_WRITE);
    free(q);
    assert_true(xs_rm(h, XBT_NULL, "/a"));
    assert_false(xs_rm(h, XBT_NULL, "/a/b/c"));
    assert_false(xs_restrict(h, 1));
    v = xs_get_domain_path(h, 12);
    assert_string_equal(v, "/local/domain/12");
    free(v);
    assert_false(xs_introduce_domain(h, 3, 1, 1));
    assert_int_equal(errno, ENOENT);
    v = xs_control_command(h, "check", NULL, 0);
    assert_string_equal(v, "OK");
    free(v);
    char big[5000] = "";
    assert_false(xs_write(h, XBT_NULL, "/big", big, sizeof(big)));
    assert_int_equal(errno, E2BIG);
    assert_int_equal(xs_suspend_evtchn_port(4), -1);
    xs_write(h, XBT_NULL, "/local/domain/4/device/suspend/event-channel", "17", 2);
    assert_int_equal(xs_suspend_evtchn_port(4), 17);
}

static void test_long_directory(void **state)
{
    struct xs_handle *h = ((struct world *)*state)->h;
    char path[64];
    unsigned n;

    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof(path), "/long/node-%d", i);
        assert_true(xs_write(h, XBT_NULL, path, "", 0));
    }
    char **d = xs_directory(h, XBT_NULL, "/long", &n);
    assert_int_equal(n, 2000);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(atoi(d[i] + 5), i);
    free(d);
}

static void test_transaction(void **state)
{
    struct xs_handle *h = ((struct world *)*state)->h;
    xs_transaction_t t = xs_transaction_start(h);

    assert_int_not_equal(t, XBT_NULL);
    free(xs_read(h, t, "/x", NULL));
    assert_true(xs_write(h, t, "/y", "1", 1));
    assert_true(xs_write(h, XBT_NULL, "/x", "1", 1));
    assert_false(xs_transaction_end(h, t, false));
    assert_int_equal(errno, EAGAIN);
    t = xs_transaction_start(h);
    assert_true(xs_write(h, t, "/y", "1", 1));
    assert_true(xs_transaction_end(h, t, false));
    free(xs_read(h, XBT_NULL, "/y", NULL));
}

static bool readable(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, ms) == 1;
}

static void test_watches(void **state)
{
    struct xs_handle *h = ((struct world *)*state)->h, *other = xs_open(0);
    int fd = xs_fileno(h);
    unsigned n;

    assert_null(xs_check_watch(h));
    assert_int_equal(errno, EAGAIN);
    assert_true(xs_watch(h, "/w", "token"));
    assert_true(readable(fd, 5000));
    char **e = xs_read_watch(h, &n);
    assert_int_equal(n, 2);
    assert_string_equal(e[XS_WATCH_PATH], "/w");
    assert_string_equal(e[XS_WATCH_TOKEN], "token");
    free(e);
    assert_false(readable(fd, 0));
    for (int i = 0; i < 3; i++)
        assert_true(xs_write(other, XBT_NULL, "/w/x", "1", 1));
    for (int i = 0; i < 3; i++) {
        e = xs_read_watch(h, NULL);
        assert_string_equal(e[XS_WATCH_PATH], "/w/x");
        free(e);
    }
    assert_false(readable(fd, 0));
    assert_null(xs_check_watch(h));
    assert_true(xs_unwatch(h, "/w", "token"));
    assert_false(xs_unwatch(h, "/w", "token"));
    xs_close(other);
}

static void test_unwatch_filter(void **state)
{
    struct world *w = *state;
    struct xs_handle *h = xs_open(XS_UNWATCH_FILTER);

    assert_true(xs_watch(h, "/f", "one"));
    assert_true(xs_watch(h, "/g", "two"));
    for (int i = 0; i < 10; i++)
        assert_true(xs_write(h, XBT_NULL, "/f/x", "1", 1));
    free(xs_read(w->h, XBT_NULL, "/f", NULL));
    assert_true(xs_unwatch(h, "/f", "one"));
    for (char **e; (e = xs_check_watch(h)); free(e))
        assert_string_equal(e[XS_WATCH_TOKEN], "two");
    xs_close(h);
}

/* The daemon goes away: requests fail, those who poll wake up and learn why. */
static void test_daemon_gone(void **state)
{
    struct world *w = *state;
    int fd = xs_fileno(w->h);

    assert_true(xs_watch(w->h, "/w", "token"));
    free(xs_read_watch(w->h, NULL));
    stop_daemon(w);
    assert_true(readable(fd, 5000));
    assert_null(xs_read_watch(w->h, NULL));
    assert_int_not_equal(errno, EAGAIN);
    assert_null(xs_read(w->h, XBT_NULL, "/w", NULL));
    assert_null(xs_open(0));
}

static void test_fork(void **state)
{
    struct xs_handle *h = ((struct world *)*state)->h;
    int status;

    assert_true(xs_watch(h, "/w", "token"));
    pid_t pid = fork();
    if (!pid) {
        xs_daemon_destroy_postfork(h);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_true(xs_write(h, XBT_NULL, "/w/x", "1", 1));
}

#define THREADS 4

static void *hammer(void *arg)
{
    struct xs_handle *h = arg;
    char path[64];

    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof(path), "/t/%lx/%d", (unsigned long)pthread_self(), i);
        if (!xs_write(h, XBT_NULL, path, "x", 1))
            return NULL;
        char *v = xs_read(h, XBT_NULL, path, NULL);
        if (!v || strcmp(v, "x"))
            return NULL;
        free(v);
    }
    return h;
}

/* A client that ends while another process has the daemon's side of its socket open is heard of no more. */
static void test_daemon_forked(void **state)
{
    struct world *w = *state;
    struct xs_handle *other = xs_open(0);
    int status, ready[2];
    char c;

    assert_true(xs_mkdir(other, XBT_NULL, "/forked"));
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        xs_daemon_destroy_postfork(other); /* has the daemon's side alone */
        while (write(ready[1], "", 1) == 1)
            pause();
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    xs_close(other);
    for (int i = 0; i < 100; i++)
        assert_true(xs_write(w->h, XBT_NULL, "/forked/on", "", 0));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void test_threads(void **state)
{
    struct xs_handle *h = ((struct world *)*state)->h;
    pthread_t t[THREADS];
    void *ok;

    assert_true(xs_watch(h, "/t", "token"));
    for (int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, hammer, h);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], &ok);
        assert_non_null(ok);
    }
    for (int i = 0; i < THREADS * 300 + 1; i++) {
        char **e = xs_read_watch(h, NULL);
        assert_non_null(e);
        free(e);
    }
}

/* No descriptors left: clients are turned away, those who are in are served. */
static void test_no_descriptors(void **state)
{
    struct world *w = *state;
    struct xs_handle *more = NULL;
    int hoard[2048], n = 0;

    assert_true(xs_write(w->h, XBT_NULL, "/served", "0", 1)); /* so it has been accepted */
    while (n < 2048 && (hoard[n] = dup(0)) >= 0)
        n++;
    assert_true(n < 2048);
    close(hoard[--n]); /* for the client's end; the daemon has none for its own */
    more = xs_open(0);
    assert_non_null(more);
    assert_null(xs_read(more, XBT_NULL, "/tool", NULL));
    assert_true(xs_write(w->h, XBT_NULL, "/served", "1", 1));
    while (n)
        close(hoard[--n]);
    xs_close(more);
    more = xs_open(0);
    assert_true(xs_write(more, XBT_NULL, "/served", "2", 1));
    xs_close(more);
}

/* ---- A daemon that is another ---- */

struct other {
    const char *feature;        /* what it answers to GET_FEATURE and GET_QUOTA; NULL: as Xen 4.17's to all of 4.22's */
    size_t len;
    bool bare;                  /* as Xen 4.22's it takes an empty string for a domain or a name, and a wrong one */
    unsigned watches, clones;   /* requests that it has seen */
    unsigned lives, wrong_ids;  /* the how-manieth request ends it, or is answered as another; 0: none */
    int listener;
    pthread_t thread;
    char path[64];
};

static bool get_all(int fd, void *buf, size_t len)
{
    return !len || recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static void put_message(int fd, uint32_t type, uint32_t id, const char *body, size_t len)
{
    struct xsd_sockmsg hdr = { type, id, 0, (uint32_t)len };

    xs_write_all(fd, &hdr, sizeof(hdr));
    xs_write_all(fd, body, (unsigned)len);
}

static void answer(struct other *o, int fd, const struct xsd_sockmsg *hdr, const char *body)
{
    unsigned strings = 0;

    for (uint32_t i = 0; i < hdr->len; i++)
        strings += !body[i];
    o->watches += hdr->type == XS_WATCH;
    o->clones += hdr->type == XS_KR_CLONE;
    if (o->wrong_ids && !--o->wrong_ids) {
        put_message(fd, hdr->type, hdr->req_id + 1, "OK", 3);
        return;
    }
    if (o->lives && !--o->lives) {
        shutdown(fd, SHUT_RDWR);
        return;
    }
    if (!hdr->len && !o->feature)
        return; /* oxenstored waits for something to come, for ever */
    if ((hdr->type == XS_GET_FEATURE || hdr->type == XS_GET_QUOTA) && o->bare && hdr->len == 1)
        put_message(fd, XS_ERROR, hdr->req_id, "EINVAL", 7);
    else if ((hdr->type == XS_GET_FEATURE || hdr->type == XS_GET_QUOTA) && o->feature)
        put_message(fd, hdr->type, hdr->req_id, o->feature, o->len);
    else if (hdr->type >= XS_TYPE_COUNT)
        put_message(fd, XS_ERROR, hdr->req_id, "ENOSYS", 7);
    else if (hdr->type == XS_WATCH && strings != 2)
        put_message(fd, XS_ERROR, hdr->req_id, "EINVAL", 7);
    else
        put_message(fd, hdr->type, hdr->req_id, "OK", 3);
    if (hdr->type == XS_WATCH)
        put_message(fd, XS_WATCH_EVENT, 0, body, hdr->len);
}

static void *serve_other(void *arg)
{
    struct other *o = arg;
    char body[XENSTORE_PAYLOAD_MAX];
    struct xsd_sockmsg hdr;
    int fd = accept(o->listener, NULL, NULL);
    sigset_t pipes;

    sigemptyset(&pipes); /* of this thread alone: the library is to raise none */
    sigaddset(&pipes, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipes, NULL);
    while (get_all(fd, &hdr, sizeof(hdr)) && hdr.len <= sizeof(body) && get_all(fd, body, hdr.len))
        answer(o, fd, &hdr, body);
    close(fd);
    return NULL;
}

static struct xs_handle *other_start(struct other *o, const char *feature, size_t len)
{
    memset(o, 0, sizeof(*o));
    o->feature = feature;
    o->len = len;
    snprintf(o->path, sizeof(o->path), "/tmp/kr-xs-other-%d", (int)getpid());
    setenv("XENSTORED_PATH", o->path, 1);
    o->listener = loop_make_socket(o->path);
    assert_true(o->listener >= 0);
    assert_int_equal(fcntl(o->listener, F_SETFL, 0), 0);
    assert_int_equal(pthread_create(&o->thread, NULL, serve_other, o), 0);
    struct xs_handle *h = xs_open(0);
    assert_non_null(h);
    return h;
}

static void other_stop(struct other *o, struct xs_handle *h)
{
    xs_close(h);
    pthread_join(o->thread, NULL);
    close(o->listener);
    unlink(o->path);
}

#define NOT_THERE(call) do { errno = 0; assert_false(call); assert_int_equal(errno, ENOSYS); } while (0)

/* What an old daemon does not know is said to be so, and is not taken for something else. */
static void test_old_daemon(void **state)
{
    static const struct { const char *feature; size_t len; } cases[] = { { NULL, 0 }, { "3", 2 } };

    for (size_t i = 0; i < 2; i++) {
        struct other o;
        struct xs_handle *h = other_start(&o, cases[i].feature, cases[i].len);
        unsigned v = 77;

        if (!cases[i].feature) {
            NOT_THERE(xs_get_features_supported(h, &v));
            NOT_THERE(xs_get_features_domain(h, 1, &v));
            NOT_THERE(xs_get_quota_names(h, &v));
            NOT_THERE(xs_get_global_quota(h, "nodes", &v));
            NOT_THERE(xs_get_domain_quota(h, 1, "nodes", &v));
            assert_int_equal(v, 77);
        }
        NOT_THERE(xs_set_features_domain(h, 1, 3));
        NOT_THERE(xs_set_global_quota(h, "nodes", 1));
        NOT_THERE(xs_set_domain_quota(h, 1, "nodes", 1));
        NOT_THERE(xs_clone(h, XBT_NULL, "/a", "/b"));
        assert_int_equal(o.clones, 1);
        NOT_THERE(xs_watch_depth(h, "/a", "t", 1));
        assert_int_equal(o.watches, 0); /* it would have been one of any depth */
        assert_true(xs_watch_try_depth(h, "/a", "t", 1));
        char **e = xs_read_watch(h, NULL);
        assert_non_null(e);
        assert_string_equal(e[XS_WATCH_PATH], "/a");
        assert_string_equal(e[XS_WATCH_TOKEN], "t");
        free(e);
        assert_int_equal(o.watches, 1);
        assert_true(xs_write(h, XBT_NULL, "/goes/on", "", 0));
        other_stop(&o, h);
    }
}

/* Answers that are not what they should be. */
static void test_odd_answers(void **state)
{
    static const struct { const char *text; size_t len; } numbers[] = {
        { "", 0 }, { "", 1 }, { "x", 2 }, { "-1", 3 }, { "+1", 3 }, { " 1", 3 }, { "1 ", 3 }, { "1x", 3 }, { "0x1", 4 },
        { "4294967296", 11 }, { "99999999999999999999999", 24 },
    };
    static const struct { const char *text; size_t len; unsigned n; } lists[] = {
        { "", 0, 0 }, { "", 1, 0 }, { "   ", 4, 0 }, { "one", 3, 1 }, { "one", 4, 1 }, { "one two", 8, 2 },
        { " one  two ", 11, 2 }, { "one two\0three four", 19, 2 },
    };
    struct other o;
    unsigned v = 77;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct xs_handle *h = other_start(&o, numbers[i].text, numbers[i].len);

        assert_false(xs_get_features_supported(h, &v) || errno != EIO);
        assert_false(xs_get_features_domain(h, 1, &v) || errno != EIO);
        assert_false(xs_get_global_quota(h, "nodes", &v) || errno != EIO);
        assert_false(xs_get_domain_quota(h, 1, "nodes", &v) || errno != EIO);
        assert_false(xs_watch_depth(h, "/a", "t", 1) || errno != EIO);
        assert_int_equal(v, 77);
        other_stop(&o, h);
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct xs_handle *h = other_start(&o, lists[i].text, lists[i].len);
        const char **names = xs_get_quota_names(h, &v);

        assert_non_null(names);
        assert_int_equal(v, lists[i].n);
        assert_null(names[v]);
        for (unsigned k = 0; k < v; k++)
            assert_string_equal(names[k], k ? "two" : "one");
        free(names);
        other_stop(&o, h);
    }
    struct xs_handle *h = other_start(&o, "4294967295", 10); /* without a NUL */
    assert_true(xs_get_features_supported(h, &v));
    assert_int_equal(v, 4294967295u);
    other_stop(&o, h);
}

/* A daemon that ends amid many answers, or answers another question: nothing is left of what it has said. */
static void test_odd_daemon_asked(void **state)
{
    for (int how = 0; how < 4; how++) {
        struct other o;
        struct xs_handle *h = other_start(&o, NULL, 0);
        struct xs_ask ask[150];

        if (how & 1)
            assert_true(xs_watch(h, "/a", "t")); /* with a reader beside */
        o.lives = how < 2 ? 100 : 0;
        o.wrong_ids = how < 2 ? 0 : 100;
        for (int i = 0; i < 150; i++)
            ask[i] = (struct xs_ask){ .what = XS_ASK_VALUE, .path = "/a" };
        assert_false(xs_ask_many(h, XBT_NULL, ask, 150));
        assert_int_equal(errno, how < 2 ? EBADF : EIO);
        for (int i = 0; i < 150; i++)
            assert_null(ask[i].reply);
        assert_null(xs_read(h, XBT_NULL, "/a", NULL));
        other_stop(&o, h);
    }
}

/* Xen 4.22's own. */
static void test_later_daemon(void **state)
{
    struct other o;
    struct xs_handle *h = other_start(&o, "15", 3);
    unsigned v = 0, n = 0;

    o.bare = true;
    assert_true(xs_get_features_supported(h, &v));
    assert_int_equal(v, 15);
    assert_true(xs_get_global_quota(h, "nodes", &v));
    const char **names = xs_get_quota_names(h, &n);
    assert_non_null(names);
    assert_int_equal(n, 1);
    free(names);
    NOT_THERE(xs_clone(h, XBT_NULL, "/a", "/b"));
    other_stop(&o, h);
}

static void test_helpers(void **state)
{
    struct xs_permissions p[2];

    assert_true(xs_path_is_subpath("/a", "/a/b"));
    assert_true(xs_path_is_subpath("/a", "/a"));
    assert_true(xs_path_is_subpath("/", "/a"));
    assert_false(xs_path_is_subpath("/a", "/ab"));
    assert_true(xs_strings_to_perms(p, 2, "b7\0n0"));
    assert_int_equal(p[0].id, 7);
    assert_false(xs_strings_to_perms(p, 1, "q7"));
    assert_false(xs_strings_to_perms(p, 1, "r"));
    assert_true(MAX_STRLEN(uint32_t) >= 11);
    unsetenv("XENSTORED_PATH");
    setenv("XENSTORED_RUNDIR", "/some/where", 1);
    assert_string_equal(xs_daemon_socket(), "/some/where/socket");
    unsetenv("XENSTORED_RUNDIR");
}

int main(void)
{
    struct rlimit few = { 512, 512 };

    setrlimit(RLIMIT_NOFILE, &few);
#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(operations), T(long_directory), T(transaction), T(watches), T(unwatch_filter),
        T(daemon_gone), T(fork), T(daemon_forked), T(threads), T(no_descriptors),
        cmocka_unit_test(test_old_daemon), cmocka_unit_test(test_odd_answers),
        cmocka_unit_test(test_odd_daemon_asked),
        cmocka_unit_test(test_later_daemon), cmocka_unit_test(test_helpers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
