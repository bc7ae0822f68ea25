/* SPDX-License-Identifier: MIT */
/*
 * xenconsole: connects the caller's terminal, or whatever its standard input and output are, with a
 * guest's console until the guest goes away or the escape character is typed.
 *
 * When input ends (a script from a pipe), output goes on until the guest goes away.
 */
#define _GNU_SOURCE /* ppoll */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <xenstore.h>

/* How long a console that is not there yet is waited for. */
#define WAIT_MS 10000
#define ESCAPE_DEFAULT 0x1d /* Ctrl-] */

struct options {
    unsigned domid, num;
    const char *type;
    int escape;         /* a character */
    int notify_fd;      /* -1: none */
};

static struct termios saved_termios;
static bool termios_saved;
static volatile sig_atomic_t stop, resized;

static int fail(const char *fmt, const char *what)
{
    int err = errno;

    fprintf(stderr, "xenconsole: ");
    fprintf(stderr, fmt, what);
    fprintf(stderr, err ? ": %s\n" : "\n", strerror(err));
    return 1;
}

/* ---- The caller's terminal ---- */

static void restore_terminal(void)
{
    if (termios_saved)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved_termios);
    termios_saved = false;
}

static void raw_terminal(void)
{
    struct termios t;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved_termios))
        return;
    termios_saved = true;
    atexit(restore_terminal);
    t = saved_termios;
    cfmakeraw(&t);
    tcsetattr(STDIN_FILENO, TCSANOW, &t); /* what was typed ahead is the guest's */
}

static void on_signal(int sig)
{
    if (sig == SIGWINCH)
        resized = 1;
    else
        stop = 1;
}

/* Signals are let in only while waiting; *during gets the mask for that. */
static void catch_signals(sigset_t *during)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGWINCH };
    struct sigaction sa = { .sa_handler = on_signal };
    sigset_t block;

    sigemptyset(&block);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaddset(&block, signals[i]);
        sigaction(signals[i], &sa, NULL);
    }
    sigprocmask(SIG_BLOCK, &block, during);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigdelset(during, signals[i]);
    signal(SIGPIPE, SIG_IGN);
}

static void copy_window_size(int tty)
{
    struct winsize w;

    resized = 0;
    if (!ioctl(STDIN_FILENO, TIOCGWINSZ, &w))
        ioctl(tty, TIOCSWINSZ, &w);
}

/* ---- Finding the console ---- */

static bool tty_path(const struct options *o, char *buf, size_t len)
{
    const char *home = "/local/domain";
    int n;

    if (!strcmp(o->type, "pv") && !o->num)
        n = snprintf(buf, len, "%s/%u/console/tty", home, o->domid);
    else if (!strcmp(o->type, "pv"))
        n = snprintf(buf, len, "%s/%u/device/console/%u/tty", home, o->domid, o->num);
    else if (!strcmp(o->type, "serial") || !strcmp(o->type, "vuart"))
        n = snprintf(buf, len, "%s/%u/%s/%u/tty", home, o->domid, o->type, o->num);
    else
        return false;
    return n > 0 && (size_t)n < len;
}

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for an event of the store until the deadline. */
static bool wait_event(struct xs_handle *xs, int64_t deadline)
{
    struct pollfd p = { .fd = xs_fileno(xs), .events = POLLIN };
    int64_t left = deadline - now_ms();
    char **event;

    if (left <= 0 || poll(&p, 1, (int)left) <= 0)
        return false;
    while ((event = xs_check_watch(xs)))
        free(event);
    return errno == EAGAIN;
}

/* XSA-57: a guest that could write the node could make us open any file. */
static bool trustworthy(struct xs_handle *xs, const char *path, unsigned domid)
{
    unsigned n = 0;
    struct xs_permissions *p = xs_get_permissions(xs, XBT_NULL, path, &n);
    bool ok = p && n && p[0].id != domid && !(p[0].perms & XS_PERM_WRITE);

    for (unsigned i = 1; ok && i < n; i++)
        ok = p[i].id != domid || !(p[i].perms & XS_PERM_WRITE);
    free(p);
    return ok;
}

/* A domain that is still being built is in the store already, but not introduced to it. */
static bool domain_in_store(struct xs_handle *xs, unsigned domid)
{
    char path[32], *value;

    snprintf(path, sizeof(path), "/local/domain/%u", domid);
    value = xs_read(xs, XBT_NULL, path, NULL);
    free(value);
    return value != NULL;
}

/* The value of the tty node, as soon as there is one. */
static char *wait_tty(struct xs_handle *xs, const char *path, unsigned domid)
{
    int64_t deadline = now_ms() + WAIT_MS;
    char *tty = NULL;

    if (!xs_watch(xs, path, "tty"))
        return NULL;
    do {
        tty = xs_read(xs, XBT_NULL, path, NULL);
        if (tty && *tty)
            break;
        free(tty);
        tty = NULL;
        if (!domain_in_store(xs, domid)) {
            errno = ESRCH;
            break;
        }
        errno = ETIMEDOUT;
    } while (wait_event(xs, deadline));
    int err = errno;
    xs_unwatch(xs, path, "tty");
    errno = err;
    return tty;
}

static int open_tty(const char *tty)
{
    int fd = -1;

    if (!strncmp(tty, "/dev/", 5) && !strstr(tty, ".."))
        fd = open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    else
        errno = EINVAL;
    if (fd >= 0 && !isatty(fd)) {
        close(fd);
        fd = -1;
        errno = ENOTTY;
    }
    return fd;
}

static int open_console(struct xs_handle *xs, const struct options *o)
{
    char path[128], *tty;
    int fd;

    if (!tty_path(o, path, sizeof(path))) {
        errno = 0;
        fail("there is no console type %s", o->type);
        return -1;
    }
    tty = wait_tty(xs, path, o->domid);
    if (!tty) {
        fail("the domain has no console at %s", path);
        return -1;
    }
    if (!trustworthy(xs, path, o->domid)) {
        errno = EPERM;
        fail("the domain itself could have written %s", path);
        free(tty);
        return -1;
    }
    fd = open_tty(tty);
    if (fd < 0) {
        fail("cannot open %s", tty);
    } else if (flock(fd, LOCK_EX | LOCK_NB)) {
        errno = EBUSY;
        fail("another client is connected with %s", tty);
        close(fd);
        fd = -1;
    }
    free(tty);
    return fd;
}

/* ---- Relaying ---- */

struct relay {
    int tty;
    int escape;
    bool in_open;           /* standard input has not ended */
    char pending[4096];     /* typed, and not yet taken by the guest */
    size_t pending_len;
};

static bool write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = { .fd = fd, .events = POLLOUT };
            poll(&p, 1, -1);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* False when it is over: the daemon has closed the pty, or nobody takes our output. */
static bool from_guest(struct relay *r)
{
    char buf[4096];
    ssize_t n = read(r->tty, buf, sizeof(buf));

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    return n > 0 && write_all(STDOUT_FILENO, buf, (size_t)n);
}

/* False when the escape character was typed. */
static bool from_user(struct relay *r)
{
    char *at = r->pending + r->pending_len;
    ssize_t n = read(STDIN_FILENO, at, sizeof(r->pending) - r->pending_len);
    const char *esc;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (!n) {
        r->in_open = false;
        return !termios_saved; /* a terminal that ends has gone away */
    }
    esc = memchr(at, r->escape, (size_t)n);
    r->pending_len += esc ? (size_t)(esc - at) : (size_t)n;
    return !esc;
}

static bool to_guest(struct relay *r)
{
    ssize_t n = write(r->tty, r->pending, r->pending_len);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    r->pending_len -= (size_t)n;
    memmove(r->pending, r->pending + n, r->pending_len);
    return true;
}

static void relay(struct relay *r, const sigset_t *during)
{
    bool go_on = true;

    while (go_on && !stop) {
        bool take = r->in_open && r->pending_len < sizeof(r->pending);
        struct pollfd p[2] = {
            { .fd = r->tty, .events = (short)(POLLIN | (r->pending_len ? POLLOUT : 0)) },
            { .fd = take ? STDIN_FILENO : -1, .events = POLLIN },
        };

        if (resized)
            copy_window_size(r->tty);
        if (ppoll(p, 2, NULL, during) < 0)
            continue;
        if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
            go_on = from_guest(r);
        if (go_on && p[1].revents)
            go_on = from_user(r);
        if (r->pending_len && (p[0].revents & POLLOUT || !go_on))
            go_on = to_guest(r) && go_on;
    }
}

/* ---- Options ---- */

static void usage(FILE *to)
{
    fputs("usage: xenconsole [options] DOMID\n"
          "\n"
          "  -n, --num N               the domain's console number N (default 0)\n"
          "  -t, --type pv|serial|vuart\n"
          "  -e, --escape CHAR         the character that leaves, as X or ^X (default ^])\n"
          "      --start-notify-fd FD  write a byte there once connected\n"
          "  -h, --help\n"
          "\n"
          "Input may be a pipe; when it ends, output goes on until the domain goes away.\n", to);
}

static bool parse_unsigned(const char *text, unsigned *out)
{
    char *end;

    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    *out = (unsigned)v;
    return *text >= '0' && *text <= '9' && !*end && !errno && v <= 0x7fffffff;
}

static bool parse_escape(const char *text, int *out)
{
    if (text[0] == '^' && text[1] && !text[2])
        *out = text[1] & 0x1f;
    else if (text[0] && !text[1])
        *out = (unsigned char)text[0];
    else
        return false;
    return true;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
    static const struct option long_options[] = {
        { "num", required_argument, NULL, 'n' },
        { "type", required_argument, NULL, 't' },
        { "escape", required_argument, NULL, 'e' },
        { "start-notify-fd", required_argument, NULL, 's' },
        { "interactive", no_argument, NULL, 'i' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    unsigned fd;
    bool ok = true;
    int c;

    while (ok && (c = getopt_long(argc, argv, "n:t:e:s:ih", long_options, NULL)) != -1) {
        switch (c) {
        case 'n': ok = parse_unsigned(optarg, &o->num); break;
        case 't': o->type = optarg; break;
        case 'e': ok = parse_escape(optarg, &o->escape); break;
        case 's':
            ok = parse_unsigned(optarg, &fd);
            o->notify_fd = (int)fd;
            break;
        case 'i': break; /* takes terminals for what they are anyway */
        case 'h': usage(stdout); return 0;
        default: usage(stderr); return 2;
        }
        if (!ok)
            fprintf(stderr, "xenconsole: bad value for -%c: %s\n", c, optarg);
    }
    if (ok && (optind + 1 != argc || !parse_unsigned(argv[optind], &o->domid))) {
        usage(stderr);
        ok = false;
    }
    return ok ? -1 : 2;
}

static void notify_start(int fd)
{
    if (fd < 0)
        return;
    if (write(fd, "", 1) != 1)
        fail("cannot tell that the console is %s", "connected");
    close(fd);
}

int main(int argc, char **argv)
{
    struct options o = { .type = "pv", .escape = ESCAPE_DEFAULT, .notify_fd = -1 };
    struct relay r = { .in_open = true };
    struct xs_handle *xs;
    sigset_t during;
    int status = parse_options(argc, argv, &o);

    if (status >= 0)
        return status;
    xs = xs_open(0);
    if (!xs)
        return fail("cannot reach the store at %s", xs_daemon_socket());
    r.tty = open_console(xs, &o);
    r.escape = o.escape;
    xs_close(xs);
    if (r.tty < 0)
        return 1;
    catch_signals(&during);
    raw_terminal();
    copy_window_size(r.tty);
    notify_start(o.notify_fd);
    relay(&r, &during);
    restore_terminal();
    return 0;
}
