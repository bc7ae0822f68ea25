/* SPDX-License-Identifier: MIT */
/*
 * Every function of libxenstore, over both of its ways to the daemon: its socket, and the kernel's
 * device, for which this program's open() stands in. Behind that a thread does what Linux does: of a
 * watch it takes the path and the token, and passes on everything else as it is.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenstore.h>

#include "tests/unit/xs_fake.h"
#include "xenstored/loop.h"

static struct {
    struct fake f;
    struct loop *loop;
    pthread_t thread;
    int stop;
    char dir[32], path[64];
    bool device;            /* the library finds no socket */
    unsigned device_opens;
} w;

static int connect_daemon(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(addr.sun_path, w.path);
    return fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -1 : fd;
}

/* ---- Linux's drivers/xen/xenbus/xenbus_dev_frontend.c ---- */

struct kernel {
    int user, daemon;
};

static bool take(int fd, void *buf, size_t len)
{
    for (size_t n = 0; n < len;) {
        ssize_t got = recv(fd, (char *)buf + n, len - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
    }
    return true;
}

static bool give(int fd, const void *buf, size_t len)
{
    for (size_t n = 0; n < len;) {
        ssize_t put = send(fd, (const char *)buf + n, len - n, MSG_NOSIGNAL);
        if (put <= 0)
            return false;
        n += (size_t)put;
    }
    return true;
}

static bool pass_request(const struct kernel *k)
{
    struct { struct xsd_sockmsg hdr; char body[XENSTORE_PAYLOAD_MAX]; } m;

    if (!take(k->user, &m.hdr, sizeof(m.hdr)) || m.hdr.len > sizeof(m.body) || !take(k->user, m.body, m.hdr.len))
        return false;
    if (m.hdr.type == XS_WATCH) {
        size_t path = strnlen(m.body, m.hdr.len) + 1;
        m.hdr.len = (uint32_t)(path + strnlen(m.body + path, m.hdr.len - path) + 1);
    }
    return give(k->daemon, &m, sizeof(m.hdr) + m.hdr.len);
}

static bool pass_reply(const struct kernel *k)
{
    char buf[4096];
    ssize_t n = recv(k->daemon, buf, sizeof(buf), 0);

    return n > 0 && give(k->user, buf, (size_t)n);
}

static void *kernel_thread(void *arg)
{
    struct kernel k = *(struct kernel *)arg;
    struct pollfd p[2] = { { .fd = k.user, .events = POLLIN }, { .fd = k.daemon, .events = POLLIN } };
    bool ok = true;

    free(arg);
    while (ok && poll(p, 2, -1) > 0) {
        if (p[1].revents)
            ok = pass_reply(&k);
        if (ok && p[0].revents)
            ok = pass_request(&k);
    }
    close(k.user);
    close(k.daemon);
    return NULL;
}

static int open_device(void)
{
    struct kernel *k = malloc(sizeof(*k));
    pthread_t thread;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        abort();
    *k = (struct kernel){ ends[1], connect_daemon() };
    if (k->daemon < 0 || pthread_create(&thread, NULL, kernel_thread, k))
        abort();
    pthread_detach(thread);
    return ends[0];
}

int open(const char *path, int flags, ...)
{
    va_list al;
    mode_t mode;

    va_start(al, flags);
    mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(al, mode_t) : 0;
    va_end(al);
    if (!strcmp(path, "/dev/xen/xenbus")) {
        w.device_opens++;
        if (w.device)
            return open_device();
        errno = ENOENT;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void *serve(void *arg)
{
    loop_run(w.loop, w.stop);
    return NULL;
}

static int setup(void **state)
{
    int fd;

    memset(&w, 0, sizeof(w));
    w.device = *state;
    strcpy(w.dir, "/tmp/kr-xs-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.path, sizeof(w.path), "%s/socket", w.dir);
    fake_init(&w.f);
    fake_domain_up(&w.f, 3);
    fake_domain_up(&w.f, 4);
    assert_int_equal(loop_new(&w.loop, &w.f.s), 0);
    fd = loop_make_socket(w.path);
    assert_true(fd >= 0);
    assert_int_equal(loop_listen(w.loop, fd), 0);
    w.stop = eventfd(0, 0);
    assert_int_equal(pthread_create(&w.thread, NULL, serve, NULL), 0);
    setenv("XENSTORED_PATH", w.device ? "/nonexistent" : w.path, 1);
    return 0;
}

static int teardown(void **state)
{
    uint64_t one = 1;

    assert_int_equal(write(w.stop, &one, sizeof(one)), sizeof(one));
    pthread_join(w.thread, NULL);
    close(w.stop);
    fake_free(&w.f);
    loop_free(w.loop);
    unlink(w.path);
    rmdir(w.dir);
    return 0;
}

static struct xs_handle *open_store(void)
{
    unsigned before = w.device_opens;
    struct xs_handle *h = xs_open(0);

    assert_non_null(h);
    assert_int_equal(w.device_opens - before, w.device);
    return h;
}

static void expect(struct xs_handle *h, xs_transaction_t t, const char *path, const char *text)
{
    unsigned len;
    char *v = xs_read(h, t, path, &len);

    assert_non_null(v);
    assert_string_equal(v, text);
    assert_int_equal(len, strlen(text));
    free(v);
}

static void nodes(void **state)
{
    struct xs_handle *h = open_store();
    struct xs_permissions set[2] = { { 0, XS_PERM_NONE }, { 3, XS_PERM_READ } }, *got;
    xs_transaction_t t;
    unsigned n;
    char **d;

    assert_true(xs_write(h, XBT_NULL, "/a/b", "value", 5));
    expect(h, XBT_NULL, "/a/b", "value");
    assert_true(xs_mkdir(h, XBT_NULL, "/a/c"));
    d = xs_directory(h, XBT_NULL, "/a", &n);
    assert_int_equal(n, 2);
    assert_string_equal(d[1], "c");
    free(d);
    assert_true(xs_set_permissions(h, XBT_NULL, "/a", set, 2));
    got = xs_get_permissions(h, XBT_NULL, "/a", &n);
    assert_int_equal(n, 2);
    assert_int_equal(got[1].id, 3);
    free(got);
    t = xs_transaction_start(h);
    assert_int_not_equal(t, XBT_NULL);
    assert_true(xs_write(h, t, "/a/b", "other", 5));
    expect(h, XBT_NULL, "/a/b", "value");
    expect(h, t, "/a/b", "other");
    assert_true(xs_transaction_end(h, t, true));
    t = xs_transaction_start(h);
    assert_true(xs_rm(h, t, "/a/b"));
    assert_true(xs_transaction_end(h, t, false));
    assert_null(xs_read(h, XBT_NULL, "/a/b", &n));
    assert_int_equal(errno, ENOENT);
    assert_false(xs_restrict(h, 3));    /* Xen's library has not done it for a long time either */
    xs_close(h);
}

static bool readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 20000) == 1;
}

static void watches(void **state)
{
    struct xs_handle *h = open_store(), *other = open_store();
    char **e;
    unsigned n;

    assert_true(xs_watch(h, "/w", "token"));
    assert_true(readable(xs_fileno(h)));
    e = xs_read_watch(h, &n);
    assert_string_equal(e[XS_WATCH_TOKEN], "token");
    free(e);
    assert_null(xs_check_watch(h));
    assert_true(xs_write(other, XBT_NULL, "/w/x", "1", 1));
    assert_true(readable(xs_fileno(h)));
    e = xs_check_watch(h);
    assert_string_equal(e[XS_WATCH_PATH], "/w/x");
    free(e);
    assert_true(xs_unwatch(h, "/w", "token"));
    assert_false(xs_unwatch(h, "/w", "token"));
    assert_int_equal(errno, ENOENT);
    xs_close(h);
    xs_close(other);
}

static void domains(void **state)
{
    struct xs_handle *h = open_store();
    char *v;

    assert_false(xs_is_domain_introduced(h, 3));
    assert_true(xs_introduce_domain(h, 3, 1, 1));
    assert_true(xs_introduce_domain(h, 4, 1, 1));
    assert_true(xs_is_domain_introduced(h, 3));
    assert_false(xs_introduce_domain(h, 9, 1, 1));
    v = xs_get_domain_path(h, 3);
    assert_string_equal(v, "/local/domain/3");
    free(v);
    assert_true(xs_set_target(h, 3, 4));
    assert_false(xs_set_target(h, 3, 9));
    assert_true(xs_resume_domain(h, 3));
    assert_true(xs_release_domain(h, 3));
    assert_false(xs_is_domain_introduced(h, 3));
    assert_false(xs_release_domain(h, 3));
    assert_int_equal(xs_suspend_evtchn_port(4), -1);
    assert_true(xs_write(h, XBT_NULL, "/local/domain/4/device/suspend/event-channel", "17", 2));
    assert_int_equal(xs_suspend_evtchn_port(4), 17);
    xs_close(h);
}

/* ---- What Xen 4.22 and we have added ---- */

static void features(void **state)
{
    struct xs_handle *h = open_store();
    unsigned f = 0;

    assert_true(xs_get_features_supported(h, &f));
    assert_int_equal(f, STORE_FEATURES);
    assert_true(xs_get_features_domain(h, 3, &f));
    assert_int_equal(f, STORE_FEATURES);
    assert_true(xs_set_features_domain(h, 3, XENSTORE_SERVER_FEATURE_ERROR));
    assert_true(xs_get_features_domain(h, 3, &f));
    assert_int_equal(f, XENSTORE_SERVER_FEATURE_ERROR);
    f = 77;
    assert_false(xs_get_features_domain(h, 9, &f));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(f, 77);
    assert_false(xs_set_features_domain(h, 3, 1u << 20));
    assert_int_equal(errno, EINVAL);
    assert_false(xs_set_features_domain(h, 9, 1));
    assert_int_equal(errno, ENOENT);
    xs_close(h);
}

static void quotas(void **state)
{
    struct xs_handle *h = open_store();
    const char **names;
    unsigned n = 0, v = 77, nodes = 0;

    names = xs_get_quota_names(h, &n);
    assert_non_null(names);
    assert_int_equal(n, QUOTA_COUNT);
    assert_null(names[n]);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(quota_by_name(names[i]), i);
        assert_true(xs_get_global_quota(h, names[i], &v));
        assert_int_equal(v, quota_info[i].dflt);
        nodes += !strcmp(names[i], "nodes");
    }
    assert_int_equal(nodes, 1);
    free(names);
    assert_true(xs_set_global_quota(h, "nodes", 500));
    assert_true(xs_get_global_quota(h, "nodes", &v));
    assert_int_equal(v, 500);
    assert_true(xs_get_domain_quota(h, 3, "nodes", &v));
    assert_int_equal(v, 500);
    assert_true(xs_set_domain_quota(h, 3, "nodes", UINT_MAX));
    assert_true(xs_get_domain_quota(h, 3, "nodes", &v));
    assert_int_equal(v, UINT_MAX);
    assert_true(xs_get_domain_quota(h, 4, "nodes", &v));
    assert_int_equal(v, 500);
    assert_false(xs_get_global_quota(h, "nothing", &v));
    assert_int_equal(errno, EINVAL);
    assert_false(xs_set_global_quota(h, "nothing", 1));
    assert_false(xs_get_domain_quota(h, 9, "nodes", &v));
    assert_int_equal(errno, ENOENT);
    assert_false(xs_set_domain_quota(h, 9, "nodes", 1));
    assert_int_equal(v, 500);
    xs_close(h);
}

/* The next event is this one. */
static void heard(struct xs_handle *h, const char *path, const char *token)
{
    char **e = xs_read_watch(h, NULL);

    assert_non_null(e);
    assert_string_equal(e[XS_WATCH_PATH], path);
    assert_string_equal(e[XS_WATCH_TOKEN], token);
    free(e);
}

/* All events until now have come: those of what is written last are there. */
static void nothing_else(struct xs_handle *h, struct xs_handle *other)
{
    assert_true(xs_write(other, XBT_NULL, "/end", "", 0));
    heard(h, "/end", "end");
    assert_null(xs_check_watch(h));
}

/* Of two watches with one token one has it. Over the device either's event may be the other's. */
static void heard_deep(struct xs_handle *h, struct xs_handle *other)
{
    assert_true(xs_write(other, XBT_NULL, "/w/a/b", "1", 1));
    heard(h, "/w/a/b", "one");
    if (w.device)
        heard(h, "/w/a/b", "one");
}

/* By a socket the daemon, over the device the library leaves out what is too deep. */
static void depth(void **state)
{
    struct xs_handle *h = open_store(), *other = open_store();

    assert_true(xs_watch(h, "/end", "end"));
    heard(h, "/end", "end");
    assert_true(xs_watch_depth(h, "/w", "one", 1));
    heard(h, "/w", "one");
    assert_true(xs_watch_try_depth(h, "/w/a", "zero", 0));
    heard(h, "/w/a", "zero");
    assert_true(xs_watch_depth(h, "/", "root", 1));
    heard(h, "/", "root");
    assert_true(xs_write(other, XBT_NULL, "/w/a/b/c", "1", 1));
    assert_true(xs_write(other, XBT_NULL, "/wide/b", "1", 1));
    assert_true(xs_write(other, XBT_NULL, "/end", "", 0));
    heard(h, "/end", "root"); /* and nothing before */
    heard(h, "/end", "end");
    assert_true(xs_write(other, XBT_NULL, "/w/a", "1", 1));
    heard(h, "/w/a", "one");
    heard(h, "/w/a", "zero");
    assert_true(xs_write(other, XBT_NULL, "/w", "1", 1));
    heard(h, "/w", "root");
    heard(h, "/w", "one");
    assert_true(xs_rm(other, XBT_NULL, "/w"));
    heard(h, "/w", "root");
    heard(h, "/w", "one");
    heard(h, "/w/a", "zero");
    assert_true(xs_unwatch(h, "/", "root"));
    nothing_else(h, other);
    /* A watch without depth, or a deeper one, with the same token has what a shallow one has not. */
    assert_true(xs_watch(h, "/w/a", "one"));
    heard(h, "/w/a", "one");
    heard_deep(h, other);
    assert_true(xs_unwatch(h, "/w/a", "one"));
    assert_true(xs_write(other, XBT_NULL, "/w/a/b", "1", 1));
    nothing_else(h, other);
    assert_true(xs_watch_depth(h, "/w/a", "one", 1));
    heard(h, "/w/a", "one");
    heard_deep(h, other);
    assert_true(xs_write(other, XBT_NULL, "/w/a/b/c", "1", 1));
    nothing_else(h, other);
    /* One that is refused leaves nothing behind. */
    assert_false(xs_watch_depth(h, "bad path", "end", 0));
    assert_int_equal(errno, EINVAL);
    assert_false(xs_unwatch(h, "/end/none", "end"));
    nothing_else(h, other);
    xs_close(h);
    xs_close(other);
}

/* With a depth special events tell whose they are. Linux takes the depth away, so over its device it is refused. */
static void depth_special(void **state)
{
    struct xs_handle *h = open_store();

    assert_true(xs_watch_depth(h, "@introduceDomain", "plain", 0));
    heard(h, "@introduceDomain", "plain");
    assert_int_equal(xs_watch_depth(h, "@introduceDomain", "number", 1), !w.device);
    if (w.device)
        assert_int_equal(errno, ENOSYS);
    else
        heard(h, "@introduceDomain", "number");
    assert_true(xs_introduce_domain(h, 3, 1, 1));
    heard(h, "@introduceDomain", "plain");
    if (!w.device)
        heard(h, "@introduceDomain/3", "number");
    assert_null(xs_check_watch(h));
    xs_close(h);
}

static void clones(void **state)
{
    struct xs_handle *h = open_store();
    xs_transaction_t t;

    assert_true(xs_write(h, XBT_NULL, "/a/b", "value", 5));
    assert_true(xs_clone(h, XBT_NULL, "/a", "/copy/of/a"));
    expect(h, XBT_NULL, "/copy/of/a/b", "value");
    assert_false(xs_clone(h, XBT_NULL, "/a", "/copy"));
    assert_int_equal(errno, EEXIST);
    assert_false(xs_clone(h, XBT_NULL, "/a", "/a/b/c"));
    assert_int_equal(errno, EINVAL);
    assert_false(xs_clone(h, XBT_NULL, "/none", "/c"));
    assert_int_equal(errno, ENOENT);
    t = xs_transaction_start(h);
    assert_true(xs_clone(h, t, "/a", "/again"));
    expect(h, t, "/again/b", "value");
    assert_null(xs_read(h, XBT_NULL, "/again/b", NULL));
    assert_true(xs_transaction_end(h, t, false));
    expect(h, XBT_NULL, "/again/b", "value");
    xs_close(h);
}

/* More than a batch, in one transaction, good and bad among each other, while watches fire. */
#define ASKS 300

static void asks(void **state)
{
    struct xs_handle *h = open_store();
    static struct xs_ask ask[3 * ASKS + 2];
    static char path[ASKS][32], far_too_long[XENSTORE_PAYLOAD_MAX + 2];
    unsigned n = 0;

    assert_true(xs_ask_many(h, XBT_NULL, ask, 0));
    assert_true(xs_watch(h, "/ask", "t"));
    xs_transaction_t t = xs_transaction_start(h);
    memset(far_too_long, 'x', sizeof(far_too_long) - 1);
    for (int i = 0; i < ASKS; i++) {
        snprintf(path[i], sizeof(path[i]), "/ask/%d", i);
        if (i % 3)
            assert_true(xs_write(h, t, path[i], path[i], (unsigned)strlen(path[i])));
        ask[n++] = (struct xs_ask){ .what = XS_ASK_VALUE, .path = path[i] };
        ask[n++] = (struct xs_ask){ .what = XS_ASK_CHILDREN, .path = i ? path[i] : "/ask" };
        ask[n++] = (struct xs_ask){ .what = XS_ASK_PERMISSIONS, .path = path[i] };
        if (i % 150 == 1)
            ask[n++] = (struct xs_ask){ .what = XS_ASK_VALUE, .path = far_too_long };
    }
    assert_true(xs_ask_many(h, t, ask, n));
    for (unsigned k = 0, i = 0; k < n; k++) {
        if (ask[k].path == far_too_long) {
            assert_int_equal(ask[k].err, E2BIG);
            assert_null(ask[k].reply);
            continue;
        }
        bool there = i / 3 % 3 || ask[k].path != path[i / 3];
        assert_int_equal(ask[k].err, there ? 0 : ENOENT);
        assert_true(there == (ask[k].reply != NULL));
        if (there && ask[k].what == XS_ASK_VALUE)
            assert_string_equal(ask[k].reply, ask[k].path);
        if (there && ask[k].what == XS_ASK_PERMISSIONS)
            assert_string_equal(ask[k].reply, "n0");
        if (there && ask[k].what == XS_ASK_CHILDREN)
            assert_int_equal(ask[k].len > 0, ask[k].path != path[i / 3]);
        free(ask[k].reply);
        i++;
    }
    assert_true(xs_transaction_end(h, t, false));
    ask[0].what = (enum xs_question)3;
    assert_false(xs_ask_many(h, XBT_NULL, ask, 1));
    assert_int_equal(errno, EINVAL);
    for (int i = 0; i < 2 + ASKS / 3 * 2; i++) {    /* the watch's own, and each node with the one above */
        char **e = xs_read_watch(h, NULL);
        assert_non_null(e);
        free(e);
    }
    assert_null(xs_check_watch(h));
    xs_close(h);
}

static void daemon_itself(void **state)
{
    struct xs_handle *h = open_store();
    int status;
    pid_t pid;
    char *v;

    v = xs_control_command(h, "check", NULL, 0);
    assert_string_equal(v, "OK");
    free(v);
    v = xs_debug_command(h, "check", NULL, 0);
    assert_string_equal(v, "OK");
    free(v);
    assert_true(xs_watch(h, "/w", "token"));
    pid = fork();
    if (!pid) {
        xs_daemon_destroy_postfork(h);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(xs_write(h, XBT_NULL, "/still", "1", 1));
    xs_close(h);
}

/* The names from before xs_open(). */
static void old_names(void **state)
{
    struct xs_handle *(*const opens[])(void) = { xs_daemon_open, xs_daemon_open_readonly, xs_domain_open };

    for (unsigned i = 0; i < 3; i++) {
        struct xs_handle *h = opens[i]();

        assert_non_null(h);
        assert_true(xs_write(h, XBT_NULL, "/old", "1", 1));
        xs_daemon_close(h);
    }
}

static void places(void **state)
{
    struct xs_permissions p[2];
    char got[6] = "";
    int ends[2];

    unsetenv("XENSTORED_PATH");
    setenv("XENSTORED_RUNDIR", "/some/where", 1);
    assert_string_equal(xs_daemon_rundir(), "/some/where");
    assert_string_equal(xs_daemon_socket(), "/some/where/socket");
    assert_string_equal(xs_daemon_socket_ro(), "/some/where/socket");
    setenv("XENSTORED_PATH", "/dev/xen/xenbus", 1);
    assert_string_equal(xs_daemon_socket(), "/dev/xen/xenbus");
    unsetenv("XENSTORED_RUNDIR");
    unsetenv("XENSTORED_PATH");
    setenv("KRYPTON_RUNDIR", "/our/own", 1);
    assert_true(!strncmp(xs_daemon_rundir(), "/our/own", 8));
    assert_true(!strncmp(xs_daemon_socket(), "/our/own", 8));
    unsetenv("KRYPTON_RUNDIR");
    assert_int_equal(pipe(ends), 0);
    assert_true(xs_write_all(ends[1], "hello", 5));
    assert_int_equal(read(ends[0], got, 5), 5);
    assert_string_equal(got, "hello");
    close(ends[1]);
    assert_false(xs_write_all(ends[1], "hello", 5));
    close(ends[0]);
    assert_true(xs_path_is_subpath("/a", "/a/b") && !xs_path_is_subpath("/a", "/ab"));
    assert_true(xs_strings_to_perms(p, 2, "b7\0n0"));
    assert_int_equal(p[0].perms, XS_PERM_READ | XS_PERM_WRITE);
    assert_false(xs_strings_to_perms(p, 1, "q7"));
}

int main(void)
{
#define T(f) { #f " by socket", f, setup, teardown, NULL }, { #f " by device", f, setup, teardown, &w }
    const struct CMUnitTest tests[] = {
        T(nodes), T(watches), T(domains), T(daemon_itself), T(old_names), T(features), T(quotas),
        T(depth), T(depth_special), T(clones), T(asks), cmocka_unit_test(places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
