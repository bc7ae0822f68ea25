/* SPDX-License-Identifier: MIT */
/* The console daemon's parts: rings of lying guests, the bounded buffer, a guest from birth to
 * death with a real pty, and the daemon against a real store. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "console/daemon.h"
#include "console/guest.h"
#include "tests/unit/xs_fake.h"
#include "xenstored/loop.h"

/* ---- Ring ---- */

static void test_ring(void **state)
{
    struct xencons_interface page = { .out_cons = 0xfffffff0, .out_prod = 0xfffffff0,
                                      .in_prod = 0xffffff00, .in_cons = 0xffffff00 };
    char in[3000], out[3000];
    struct ring r;
    uint32_t taken = 0, put = 0;

    ring_init(&r, &page);
    assert_int_equal(ring_take(&r, out, sizeof(out)), 0);
    for (int step = 0; step < 5000; step++) { /* over the end of the ring and of the index */
        for (int i = step % 700; i; i--)
            page.out[page.out_prod++ & 2047] = (char)put++;
        ssize_t n = ring_take(&r, out, sizeof(out));
        assert_int_equal(n, step % 700);
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(out[i], (char)taken++);
        assert_int_equal(page.out_cons, page.out_prod);
    }
    memset(in, 'x', sizeof(in));
    assert_int_equal(ring_room(&r), 1024);
    assert_int_equal(ring_give(&r, in, 1000), 1000);
    assert_int_equal(ring_give(&r, in, 1000), 24);
    assert_int_equal(ring_give(&r, in, 1000), 0);
    page.in_cons += 10;
    assert_int_equal(ring_give(&r, in, 1000), 10);
    assert_int_equal(page.in_prod - page.in_cons, 1024);
}

static void test_ring_hostile(void **state)
{
    static const uint32_t far[] = { 2049, 4096, 0x80000000, 0xffffffff };
    struct xencons_interface page = { .out_prod = 5 };
    struct ring r;
    char buf[4096];

    ring_init(&r, &page);
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        page.out_prod = r.out_cons + far[i];
        assert_int_equal(ring_take(&r, buf, sizeof(buf)), -1);
        page.in_cons = r.in_prod - far[i];
        assert_int_equal(ring_room(&r), -1);
        assert_int_equal(ring_give(&r, buf, 10), -1);
    }
    /* What the guest writes over our indices changes nothing. */
    page.out_prod = r.out_cons + 7;
    page.out_cons = 12345;
    page.in_cons = r.in_prod;
    page.in_prod = 54321;
    assert_int_equal(ring_take(&r, buf, sizeof(buf)), 7);
    assert_int_equal(page.out_cons, r.out_cons);
    assert_int_equal(ring_give(&r, buf, 3), 3);
    assert_int_equal(page.in_prod, r.in_prod);
}

/* ---- Buffer ---- */

static void test_buffer(void **state)
{
    struct buffer b = { .limit = 10000 };
    uint64_t put = 0, got = 0;
    uint32_t seed = 1;

    for (int step = 0; step < 3000; step++) {
        char chunk[3000];
        seed = seed * 1103515245 + 12345;
        size_t n = seed >> 16 & 2047, m;

        for (size_t i = 0; i < n; i++)
            chunk[i] = (char)(put++ * 31);
        buffer_add(&b, chunk, n);
        assert_in_range(b.len, 0, 10000);
        assert_int_equal(b.lost + got + b.len, put);
        if (seed >> 20 & 7)
            continue;
        const char *p = buffer_peek(&b, &m);
        for (size_t i = 0; i < m; i++)
            assert_int_equal(p[i], (char)((b.lost + got + i) * 31));
        buffer_drop(&b, m);
        got += m;
    }
    assert_true(b.lost > 0);
    char big[20000] = { 0 };
    buffer_add(&b, big, sizeof(big));
    assert_int_equal(b.len, 10000);
    buffer_free(&b);
    b.limit = 0;
    buffer_add(&b, "x", 1);
    assert_int_equal(b.len, 0);
}

/* ---- A guest on a fake host ---- */

struct world {
    struct host host;
    struct xencons_interface *page;
    bool exists, dying, lists; /* lists: the host can list its domains */
    uint8_t life;
    unsigned notified, mapped, bound;
    uint32_t gref;
    sd_event *event;
    struct guest *g;
    bool gone;
};

static int w_info(void *priv, uint16_t domid, struct host_domain *out)
{
    struct world *w = priv;

    if (!w->exists || domid != 5)
        return -ESRCH;
    *out = (struct host_domain){ .dying = w->dying, .handle = { w->life } };
    return 0;
}

static int w_map(void *priv, uint16_t domid, uint32_t gref, uint64_t gfn, void **page,
                 bool *granted)
{
    struct world *w = priv;

    if (gfn == 666)
        return -EINVAL;
    w->gref = gref;
    w->mapped++;
    *page = w->page;
    *granted = true;
    return 0;
}

static void w_unmap(void *priv, void *page, bool granted)
{
    ((struct world *)priv)->mapped--;
}

static int w_bind(void *priv, uint16_t domid, uint32_t port)
{
    struct world *w = priv;

    if (port == 666)
        return -EINVAL;
    w->bound++;
    return 70;
}

static void w_unbind(void *priv, uint32_t port)
{
    assert_int_equal(port, 70);
    ((struct world *)priv)->bound--;
}

static void w_notify(void *priv, uint32_t port)
{
    ((struct world *)priv)->notified++;
}

static int w_list(void *priv, uint16_t first, unsigned max, struct host_domain_entry *out)
{
    struct world *w = priv;

    if (!w->lists)
        return -ENOSYS;
    out->domid = 5;
    return first <= 5 && !w_info(priv, 5, &out->info);
}

static const struct host_ops w_ops = { w_info, w_map, w_unmap, w_bind, w_unbind, w_notify, NULL, w_list };

static void world_init(struct world *w)
{
    w->host = (struct host){ &w_ops, w };
    w->page = calloc(1, 4096);
    w->exists = true;
    w->life = 1;
    assert_true(sd_event_new(&w->event) >= 0);
}

static void world_end(struct world *w)
{
    sd_event_unref(w->event);
    assert_int_equal(w->mapped, 0);
    assert_int_equal(w->bound, 0);
    free(w->page);
    free(w);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    kr_log_init("test", KR_ERR);
    world_init(w);
    w->g = guest_new(w->event, &w->host, 5);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    if (!w->gone)
        guest_free(w->g);
    world_end(w);
    return 0;
}

/* Runs the loop until it has been idle for so long. */
static void spin(sd_event *e, uint64_t ms)
{
    while (sd_event_run(e, ms * 1000) > 0)
        ;
}

static size_t guest_prints(struct world *w, const char *text, size_t len)
{
    size_t n = 0;

    for (; n < len && w->page->out_prod - w->page->out_cons < sizeof(w->page->out); n++)
        w->page->out[w->page->out_prod++ & 2047] = text[n];
    return n;
}

static void connect_all(struct world *w)
{
    assert_int_equal(guest_connect(w->g, 7, 3), 0);
    assert_int_equal(w->gref, 0);
    assert_int_equal(guest_open_pty(w->g), 0);
}

static int open_tty(const struct guest *g)
{
    int fd = open(g->tty, O_RDWR | O_NOCTTY | O_NONBLOCK);

    assert_true(fd >= 0);
    return fd;
}

static void test_guest_both_ways(void **state)
{
    struct world *w = *state;
    char buf[64];

    guest_prints(w, "early\n", 6); /* before anyone was there */
    connect_all(w);
    int tty = open_tty(w->g);
    assert_int_equal(read(tty, buf, sizeof(buf)), 6);
    guest_prints(w, "more\n", 5);
    guest_event(w->g);
    assert_int_equal(read(tty, buf, sizeof(buf)), 5);
    assert_memory_equal(buf, "more\n", 5); /* no carriage return added */
    assert_int_equal(write(tty, "typed\003", 6), 6); /* control characters are the guest's */
    spin(w->event, 20);
    assert_int_equal(w->page->in_prod, 6);
    assert_memory_equal(w->page->in, "typed\003", 6);
    assert_true(w->notified >= 3);
    close(tty);
}

static void test_guest_connect(void **state)
{
    struct world *w = *state;

    assert_int_equal(guest_connect(w->g, 666, 3), -EINVAL);
    assert_int_equal(guest_connect(w->g, 7, 666), -EINVAL);
    assert_int_equal(w->mapped, 0);
    connect_all(w);
    assert_int_equal(guest_connect(w->g, 7, 3), 0);
    assert_int_equal(guest_connect(w->g, 7, 4), 0);
    assert_int_equal(w->mapped, 1);
    assert_int_equal(w->bound, 1);
}

/* The guest has no room: input waits in the pty, then goes on. */
static void test_guest_input_waits(void **state)
{
    struct world *w = *state;
    char text[2000];

    connect_all(w);
    int tty = open_tty(w->g);
    memset(text, 'i', sizeof(text));
    assert_int_equal(write(tty, text, sizeof(text)), sizeof(text));
    spin(w->event, 20);
    assert_int_equal(w->page->in_prod, 1024);
    w->page->in_cons = 1024;
    guest_event(w->g);
    spin(w->event, 20);
    assert_int_equal(w->page->in_prod, 2000);
    close(tty);
}

/* Nobody reads: the last bytes are kept, and come first when someone does. */
static void test_guest_limit(void **state)
{
    struct world *w = *state;
    char line[32], buf[65536];
    size_t total = 0, got = 0;
    ssize_t n;

    w->g->out.limit = 20000;
    connect_all(w);
    for (int i = 0; i < 10000; i++) {
        int len = snprintf(line, sizeof(line), "line %d\n", i);
        total += (size_t)len;
        if (guest_prints(w, line, (size_t)len) < (size_t)len || i % 50 == 0)
            guest_event(w->g);
        w->g->throttled = false;
        w->g->allowance = 1 << 20;
    }
    guest_event(w->g);
    assert_in_range(w->g->out.len, 1, 20000);
    int tty = open_tty(w->g);
    for (int idle = 0; idle < 3; idle++) {
        while ((n = read(tty, buf + got, sizeof(buf) - got)) > 0) {
            got += (size_t)n;
            idle = 0;
        }
        spin(w->event, 10);
    }
    assert_in_range(got, 20000, total - 1); /* the kernel's own buffer and ours */
    assert_memory_equal(buf + got - 10, "line 9999\n", 10);
    close(tty);
}

/* A flood ends at the period's allowance, and goes on with the next one. */
static void test_guest_flood(void **state)
{
    struct world *w = *state;
    static const char flood[2048];
    size_t in_one_go = 0;

    connect_all(w);
    while (!w->g->throttled && in_one_go < 100 << 20) {
        in_one_go += guest_prints(w, flood, sizeof(flood));
        guest_event(w->g);
    }
    assert_in_range(in_one_go, 100 << 10, 1 << 20);
    guest_prints(w, flood, sizeof(flood));
    guest_event(w->g);
    assert_int_not_equal(w->page->out_prod, w->page->out_cons);
    spin(w->event, 60);
    assert_int_equal(w->page->out_prod, w->page->out_cons);
    assert_false(w->g->throttled);
}

static void test_guest_hostile(void **state)
{
    struct world *w = *state;

    connect_all(w);
    for (uint32_t i = 0; i < 1000; i++) {
        w->page->out_prod = i * 2654435761u;
        w->page->in_cons = ~w->page->out_prod * 40503;
        w->page->out_cons = i;
        guest_event(w->g);
        w->g->throttled = false;
        w->g->allowance = 1 << 20;
    }
    w->page->out_prod = w->g->ring.out_cons;
    guest_prints(w, "still here", 0);
    w->page->out_cons = w->page->out_prod;
    int tty = open_tty(w->g);
    close(tty);
}

static void test_guest_log(void **state)
{
    struct world *w = *state;
    FILE *f = tmpfile();
    char buf[256] = "";

    guest_set_log(w->g, dup(fileno(f)));
    w->g->timestamps = true;
    connect_all(w);
    guest_prints(w, "one\ntw", 6);
    guest_event(w->g);
    guest_prints(w, "o\nthree\n", 8);
    guest_event(w->g);
    rewind(f);
    assert_non_null(fgets(buf, sizeof(buf), f));
    assert_int_equal(buf[0], '[');
    assert_string_equal(buf + 22, "one\n");
    assert_non_null(fgets(buf, sizeof(buf), f));
    assert_string_equal(buf + 22, "two\n");
    fclose(f);
}

static void on_gone(struct guest *g, void *arg)
{
    struct world *w = arg;

    w->gone = true;
    guest_free(g);
}

static void run_until_gone(struct world *w, int ms)
{
    for (int i = 0; i < ms / 10 && !w->gone; i++)
        sd_event_run(w->event, 10000);
}

/* Its last words are read after its death, by who was there and by who comes at once. */
static void test_guest_dies(void **state)
{
    struct world *w = *state;
    char text[12000], buf[12000];
    size_t got = 0;
    ssize_t n;

    connect_all(w);
    memset(text, 'o', sizeof(text));
    for (size_t put = 0; put < sizeof(text);) {
        put += guest_prints(w, text + put, sizeof(text) - put);
        if (put < sizeof(text))
            guest_event(w->g);
    }
    guest_die(w->g, on_gone, w);
    assert_int_equal(w->mapped, 0);
    run_until_gone(w, 200);
    assert_false(w->gone);
    int tty = open_tty(w->g);
    while (got < sizeof(buf) && !w->gone) {
        n = read(tty, buf + got, sizeof(buf) - got);
        got += n > 0 ? (size_t)n : 0;
        sd_event_run(w->event, 1000);
    }
    assert_int_equal(got, sizeof(text));
    run_until_gone(w, 5000);
    assert_true(w->gone);
    struct pollfd p = { .fd = tty, .events = POLLIN };
    assert_int_equal(poll(&p, 1, 5000), 1); /* and the client learns that it is over */
    n = read(tty, buf, sizeof(buf));
    assert_true(n == 0 || (n < 0 && errno != EAGAIN));
    close(tty);
}

static void test_guest_dies_alone(void **state)
{
    struct world *w = *state;

    connect_all(w);
    guest_prints(w, "bye\n", 4);
    guest_die(w->g, on_gone, w);
    run_until_gone(w, 10000);
    assert_true(w->gone);
}

/* ---- The daemon and the client against a store in a thread ---- */

struct service {
    struct world *w;
    struct fake store;
    struct loop *loop;
    pthread_t thread;
    int stop;
    char dir[32], path[64];
    struct xs_handle *tools;
    struct daemon *d;
};

static void *serve_store(void *arg)
{
    struct service *s = arg;

    loop_run(s->loop, s->stop);
    return NULL;
}

static int service_setup(void **state)
{
    struct service *s = calloc(1, sizeof(*s));

    kr_log_init("test", KR_ERR);
    strcpy(s->dir, "/tmp/kr-con-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->path, sizeof(s->path), "%s/socket", s->dir);
    setenv("XENSTORED_PATH", s->path, 1);
    fake_init(&s->store);
    assert_int_equal(loop_new(&s->loop, &s->store.s), 0);
    assert_int_equal(loop_listen(s->loop, loop_make_socket(s->path)), 0);
    s->stop = eventfd(0, 0);
    fake_domain_up(&s->store, 5);
    assert_int_equal(pthread_create(&s->thread, NULL, serve_store, s), 0);
    s->w = calloc(1, sizeof(*s->w));
    world_init(s->w);
    s->tools = xs_open(0);
    struct daemon_options o = { .log_guests = true, .log_dir = s->dir };
    assert_int_equal(daemon_new(&s->d, s->w->event, xs_open(0), &s->w->host, &o), 0);
    *state = s;
    return 0;
}

static int service_setup_listing(void **state)
{
    int rc = service_setup(state);

    ((struct service *)*state)->w->lists = true;
    return rc;
}

static int service_teardown(void **state)
{
    struct service *s = *state;
    uint64_t one = 1;
    char path[80];

    daemon_free(s->d);
    xs_close(s->tools);
    assert_int_equal(write(s->stop, &one, sizeof(one)), sizeof(one));
    pthread_join(s->thread, NULL);
    close(s->stop);
    fake_free(&s->store);
    loop_free(s->loop);
    world_end(s->w);
    unlink(s->path);
    snprintf(path, sizeof(path), "%s/guest-na_me.log", s->dir);
    unlink(path);
    assert_int_equal(rmdir(s->dir), 0);
    free(s);
    return 0;
}

static void node(struct service *s, const char *name, const char *value)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/5/%s", name);
    assert_true(xs_write(s->tools, XBT_NULL, path, value, (unsigned)strlen(value)));
}

static char *tty_node(struct service *s)
{
    return xs_read(s->tools, XBT_NULL, "/local/domain/5/console/tty", NULL);
}

/* What libxl writes, in its order. */
static void create_domain(struct service *s)
{
    struct xs_permissions p[2] = { { 0, XS_PERM_NONE }, { 5, XS_PERM_READ } };

    assert_true(xs_mkdir(s->tools, XBT_NULL, "/local/domain/5"));
    assert_true(xs_set_permissions(s->tools, XBT_NULL, "/local/domain/5", p, 2));
    node(s, "name", "na/me");
    assert_true(xs_introduce_domain(s->tools, 5, 1, 1));
    node(s, "console/limit", "65536");
    node(s, "console/type", "xenconsoled");
    node(s, "console/output", "pty");
    node(s, "console/tty", "");
    node(s, "console/port", "2");
    node(s, "console/ring-ref", "1044479");
}

static char *wait_for_tty(struct service *s)
{
    for (int i = 0; i < 500; i++) {
        char *tty = tty_node(s);

        if (tty && *tty)
            return tty;
        free(tty);
        sd_event_run(s->w->event, 10000);
    }
    return NULL;
}

static void test_daemon(void **state)
{
    struct service *s = *state;
    char path[80], log[64] = "";

    create_domain(s);
    char *tty = wait_for_tty(s);
    assert_non_null(tty);
    int fd = open(tty, O_RDWR | O_NOCTTY | O_NONBLOCK);
    assert_true(fd >= 0);
    free(tty);
    guest_prints(s->w, "hello\n", 6);
    daemon_port(s->d, 70);
    daemon_port(s->d, 71);
    daemon_port(s->d, 1000000);
    assert_int_equal(read(fd, log, sizeof(log)), 6);
    snprintf(path, sizeof(path), "%s/guest-na_me.log", s->dir);
    int logfd = open(path, O_RDONLY);
    assert_int_equal(read(logfd, log, sizeof(log)), 6);
    close(logfd);
    /* Another one's console. */
    node(s, "console/type", "ioemu");
    for (int i = 0; i < 100 && s->w->mapped; i++)
        sd_event_run(s->w->event, 10000);
    assert_int_equal(s->w->mapped, 0);
    node(s, "console/type", "xenconsoled");
    for (int i = 0; i < 100 && !s->w->mapped; i++)
        sd_event_run(s->w->event, 10000);
    assert_int_equal(s->w->mapped, 1);
    /* Death: the ring goes, the reader is told, nothing comes back to the store. */
    assert_true(xs_rm(s->tools, XBT_NULL, "/local/domain/5"));
    s->w->exists = false;
    assert_true(xs_release_domain(s->tools, 5));
    struct pollfd p = { .fd = fd, .events = POLLIN };
    for (int i = 0; i < 500 && poll(&p, 1, 0) == 0; i++)
        sd_event_run(s->w->event, 10000);
    assert_int_equal(s->w->mapped, 0);
    assert_true(read(fd, log, sizeof(log)) <= 0);
    close(fd);
    assert_null(xs_read(s->tools, XBT_NULL, "/local/domain/5", NULL));
}

/* The same number again, before the daemon has noticed the end of the first. */
static void test_daemon_reuse(void **state)
{
    struct service *s = *state;

    create_domain(s);
    char *first = wait_for_tty(s), *second;
    s->w->life++;
    assert_true(xs_rm(s->tools, XBT_NULL, "/local/domain/5"));
    assert_true(xs_release_domain(s->tools, 5));
    create_domain(s);
    second = wait_for_tty(s);
    assert_non_null(first);
    assert_non_null(second);
    free(first);
    free(second);
    assert_int_equal(s->w->mapped, 1);
}

static bool client_program(char *buf, size_t len)
{
    const char *build = getenv("KR_BUILDDIR");

    snprintf(buf, len, "%s/console/xenconsole", build ? build : ".");
    return access(buf, X_OK) == 0;
}

/* Waits for a child while the daemon works; its wait status, or -1 if it does not end. */
static int wait_child(struct service *s, pid_t pid)
{
    int status;

    for (int i = 0; i < 1000; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        sd_event_run(s->w->event, 10000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
}

/* The client as a program, fed by a pipe; it ends with the domain. */
static void test_client(void **state)
{
    struct service *s = *state;
    char program[4096], out[256] = "";
    int in[2], from[2], status;
    size_t got = 0;

    if (!client_program(program, sizeof(program)))
        skip();
    create_domain(s);
    free(wait_for_tty(s));
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC | O_NONBLOCK), 0);
    pid_t pid = fork();
    if (!pid) {
        dup2(in[0], 0);
        dup2(from[1], 1);
        execl(program, program, "5", "--num", "0", "--type", "pv", NULL);
        _exit(127);
    }
    close(in[0]);
    close(from[1]);
    assert_int_equal(write(in[1], "uname\n", 6), 6);
    close(in[1]); /* the script ends; the output does not */
    for (int i = 0; i < 500 && s->w->page->in_prod < 6; i++)
        sd_event_run(s->w->event, 10000);
    assert_memory_equal(s->w->page->in, "uname\n", 6);
    guest_prints(s->w, "Linux\n", 6);
    daemon_port(s->d, 70);
    for (int i = 0; i < 500 && got < 6; i++) {
        ssize_t n = read(from[0], out + got, sizeof(out) - got);
        got += n > 0 ? (size_t)n : 0;
        sd_event_run(s->w->event, 10000);
    }
    assert_string_equal(out, "Linux\n");
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    s->w->exists = false;
    assert_true(xs_release_domain(s->tools, 5));
    for (int i = 0; i < 1000 && waitpid(pid, &status, WNOHANG) == 0; i++)
        sd_event_run(s->w->event, 10000);
    assert_int_equal(status, 0);
    close(from[0]);
}

/* On a terminal: raw while it runs, as it was afterwards; Ctrl-] leaves; one client at a time. */
static void test_client_terminal(void **state)
{
    struct service *s = *state;
    char program[4096], c;
    struct termios before, during, after;
    struct winsize size = { .ws_row = 33, .ws_col = 77 };
    int user, tty, started[2];

    if (!client_program(program, sizeof(program)))
        skip();
    create_domain(s);
    char *path = wait_for_tty(s);
    assert_int_equal(openpty(&user, &tty, NULL, NULL, &size), 0);
    tcgetattr(tty, &before);
    assert_int_equal(pipe(started), 0);
    pid_t pid = fork();
    if (!pid) {
        char fd[16];
        snprintf(fd, sizeof(fd), "%d", started[1]);
        dup2(tty, 0);
        dup2(tty, 1);
        close(started[0]);
        execl(program, program, "--start-notify-fd", fd, "5", NULL);
        _exit(127);
    }
    close(started[1]);
    assert_int_equal(read(started[0], &c, 1), 1);
    assert_int_equal(read(started[0], &c, 1), 0); /* and closed */
    tcgetattr(tty, &during);
    assert_int_equal(during.c_lflag & (ICANON | ECHO | ISIG), 0);
    int guest_tty = open(path, O_RDWR | O_NOCTTY);
    memset(&size, 0, sizeof(size));
    ioctl(guest_tty, TIOCGWINSZ, &size);
    assert_int_equal(size.ws_col, 77);
    pid_t second = fork();
    if (!second) {
        dup2(open("/dev/null", O_WRONLY), 2);
        execl(program, program, "5", NULL);
        _exit(127);
    }
    assert_int_equal(WEXITSTATUS(wait_child(s, second)), 1);
    assert_int_equal(write(user, "ls\003\035rest", 8), 8);
    assert_int_equal(wait_child(s, pid), 0);
    for (int i = 0; i < 100 && s->w->page->in_prod < 3; i++)
        sd_event_run(s->w->event, 10000);
    assert_int_equal(s->w->page->in_prod, 3);
    assert_memory_equal(s->w->page->in, "ls\003", 3);
    tcgetattr(tty, &after);
    assert_int_equal(after.c_lflag, before.c_lflag);
    assert_int_equal(after.c_iflag, before.c_iflag);
    assert_int_equal(after.c_oflag, before.c_oflag);
    close(guest_tty);
    close(started[0]);
    close(user);
    close(tty);
    free(path);
}

/* XSA-57: a node that the guest could have written is not followed. */
static void test_client_xsa_57(void **state)
{
    static const struct {
        const char *tty;
        struct xs_permissions p[2];
        int status;
    } cases[] = {
        { "/dev/null", { { 0, XS_PERM_NONE }, { 5, XS_PERM_READ } }, 1 },   /* no terminal */
        { "/etc/passwd", { { 0, XS_PERM_NONE }, { 5, XS_PERM_READ } }, 1 },
        { NULL, { { 5, XS_PERM_NONE }, { 0, XS_PERM_READ } }, 1 },
        { NULL, { { 0, XS_PERM_NONE }, { 5, XS_PERM_WRITE } }, 1 },
        { NULL, { { 0, XS_PERM_WRITE }, { 6, XS_PERM_READ } }, 1 },
        { NULL, { { 0, XS_PERM_NONE }, { 5, XS_PERM_READ } }, 0 },
    };
    struct service *s = *state;
    char program[4096];

    if (!client_program(program, sizeof(program)))
        skip();
    create_domain(s);
    char *path = wait_for_tty(s);
    node(s, "console/type", "ioemu"); /* so that the daemon leaves the node alone */
    spin(s->w->event, 50);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct xs_permissions p[2];

        memcpy(p, cases[i].p, sizeof(p));
        node(s, "console/tty", cases[i].tty ? cases[i].tty : path);
        assert_true(xs_set_permissions(s->tools, XBT_NULL, "/local/domain/5/console/tty", p, 2));
        pid_t pid = fork();
        if (!pid) {
            int in[2];

            dup2(open("/dev/null", O_WRONLY), 2);
            if (pipe(in))
                _exit(126);
            dup2(in[0], 0);
            if (write(in[1], "\035", 1) != 1)
                _exit(126);
            execl(program, program, "5", NULL);
            _exit(127);
        }
        int status = wait_child(s, pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), cases[i].status);
    }
    free(path);
}

int main(void)
{
#define G(name) cmocka_unit_test_setup_teardown(test_guest_##name, setup, teardown)
#define D(name) cmocka_unit_test_setup_teardown(test_##name, service_setup, service_teardown)
#define L(name) cmocka_unit_test_setup_teardown(test_##name, service_setup_listing, service_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring), cmocka_unit_test(test_ring_hostile),
        cmocka_unit_test(test_buffer), G(both_ways), G(connect), G(input_waits), G(limit), G(flood),
        G(hostile), G(log), G(dies), G(dies_alone), D(daemon), D(daemon_reuse),
        L(daemon), L(daemon_reuse), D(client), D(client_terminal), D(client_xsa_57),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
