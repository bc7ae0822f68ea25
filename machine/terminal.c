/* SPDX-License-Identifier: MIT */
/* A terminal at a machine's serial line. */
#include "machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE 0x1d              /* ^], as at Xen's consoles */

static struct {
    int signals, log;
    bool is_tty, out_tty, raw;   /* stdin, stdout are terminals; the terminal is in raw mode */
    char last;                   /* shown */
    struct termios before;
} term = { .signals = -1, .log = -1 };

/* What was typed, on its way to the line. */
struct keys {
    char buf[1024];
    size_t len;
    bool open;                   /* stdin may give more */
    bool escaped;                /* the last key was the escape key */
};

int terminal_init(const char *log)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
        (term.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
        return complain("signals: %s", strerror(errno));
    }
    if (log && (term.log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) < 0) {
        return complain("cannot open %s: %s", log, strerror(errno));
    }
    return 0;
}

/* Keys come as they are typed, and output goes as it comes. */
static void make_raw(void)
{
    struct termios t;

    term.out_tty = isatty(STDOUT_FILENO);
    term.is_tty = isatty(STDIN_FILENO);
    if (!term.is_tty || term.raw || tcgetattr(STDIN_FILENO, &term.before) < 0) {
        return;
    }
    t = term.before;
    cfmakeraw(&t);
    term.raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
}

void terminal_close(void)
{
    if (term.raw) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &term.before);
        term.raw = false;
    }
}

static bool write_all(int fd, const char *buf, size_t len)
{
    while (len) {
        ssize_t n = write(fd, buf, len);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = { .fd = fd, .events = POLLOUT };

            poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return false;
        }
        buf += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* What the machine prints: the hypervisor's lines end in a bare newline, a terminal wants more. */
static bool show(const char *buf, size_t len)
{
    size_t from = 0;

    for (size_t i = 0; term.out_tty && term.raw && i < len; i++) {
        if (buf[i] == '\n' && (i ? buf[i - 1] : term.last) != '\r') {
            if (!write_all(STDOUT_FILENO, buf + from, i - from) ||
                !write_all(STDOUT_FILENO, "\r", 1)) {
                return false;
            }
            from = i;
        }
    }
    term.last = buf[len - 1];
    return write_all(STDOUT_FILENO, buf + from, len - from);
}

static void help(void)
{
    fprintf(stderr, "\r\n[^] then q: switch the machine off; ^] ^]: send one; ^] ?: this]\r\n");
}

/* What the machine is to see of what was typed. False: the user wants to leave. */
static bool filter(struct keys *k, const char *in, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool escaped = k->escaped;

        k->escaped = term.is_tty && !escaped && in[i] == ESCAPE;
        if (escaped && in[i] == 'q') {
            return false;
        }
        if (escaped && in[i] == '?') {
            help();
        } else if (!k->escaped) {
            k->buf[k->len++] = in[i];
        }
    }
    return true;
}

static bool from_user(struct keys *k)
{
    char in[sizeof(k->buf)];
    ssize_t n = read(STDIN_FILENO, in, sizeof(in) - k->len);

    if (n > 0) {
        return filter(k, in, (size_t)n);
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        k->open = false;         /* a pipe has ended: output goes on; a terminal has gone: so do we */
        return !term.is_tty;
    }
    return true;
}

static void to_line(int line, struct keys *k)
{
    ssize_t n = send(line, k->buf, k->len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n > 0) {
        k->len -= (size_t)n;
        memmove(k->buf, k->buf + n, k->len);
    }
}

/* False: the line or stdout is closed. */
static bool from_line(int line, enum end *why)
{
    char buf[16384];
    ssize_t n = recv(line, buf, sizeof(buf), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    *why = END_CORE;
    if (n <= 0) {
        return false;
    }
    if (term.log >= 0 && !write_all(term.log, buf, (size_t)n)) {
        complain("cannot write the log: %s", strerror(errno));
        close(term.log);
        term.log = -1;
    }
    *why = END_USER;
    return show(buf, (size_t)n);
}

enum end terminal_run(int line)
{
    struct keys k = { .open = true };
    enum end why = END_USER;

    make_raw();
    for (;;) {
        struct pollfd p[3] = {
            { .fd = line, .events = (short)(POLLIN | (k.len ? POLLOUT : 0)) },
            { .fd = k.open && k.len < sizeof(k.buf) ? STDIN_FILENO : -1, .events = POLLIN },
            { .fd = term.signals, .events = POLLIN },
        };

        if (poll(p, 3, -1) < 0) {
            continue;
        }
        if (p[2].revents) {
            return END_SIGNAL;
        }
        if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) && !from_line(line, &why)) {
            return why;
        }
        if (p[1].revents && !from_user(&k)) {
            return END_USER;
        }
        if (k.len) {
            to_line(line, &k);
        }
    }
}
