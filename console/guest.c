/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* TIOCGPTPEER, ptsname_r */
#include "console/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/grant_table.h>

#include "common/log.h"

/* A guest may have so many bytes handled per period; beyond that it waits for the next one. */
#define PERIOD_USEC  25000ull
#define PERIOD_BYTES (256u << 10)
/* sd-event's own default would stretch a period to a quarter of a second. */
#define PERIOD_ACCURACY 1000ull
/* Periods for which a dead guest's unread output waits for someone to open the pty. */
#define LINGER_UNOPENED 80
/* And for which it waits for a client that has it open but does not read. */
#define LINGER_UNREAD 12000

/* ---- Log file ---- */

void guest_set_log(struct guest *g, int fd)
{
    if (g->log_fd >= 0)
        close(g->log_fd);
    g->log_fd = fd;
    g->log_bol = true;
}

static void log_write(struct guest *g, const char *data, size_t len)
{
    if (len && write(g->log_fd, data, len) < 0)
        kr_log_once(KR_WARN, "domain %u: cannot write its log: %s", g->domid, strerror(errno));
}

static void log_timestamp(struct guest *g)
{
    char text[40];
    time_t now = time(NULL);
    struct tm tm;

    localtime_r(&now, &tm);
    log_write(g, text, strftime(text, sizeof(text), "[%Y-%m-%d %H:%M:%S] ", &tm));
}

static void log_output(struct guest *g, const char *data, size_t len)
{
    if (g->log_fd < 0)
        return;
    if (!g->timestamps) {
        log_write(g, data, len);
        return;
    }
    while (len) {
        const char *nl = memchr(data, '\n', len);
        size_t n = nl ? (size_t)(nl - data) + 1 : len;

        if (g->log_bol)
            log_timestamp(g);
        log_write(g, data, n);
        g->log_bol = nl != NULL;
        data += n;
        len -= n;
    }
}

/* ---- The pty ---- */

/* A new slave's descriptor for looking, without it becoming anyone's controlling terminal. */
static int open_slave(const struct guest *g)
{
    return ioctl(g->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
}

static void set_io(struct guest *g, uint32_t events)
{
    if (g->io && events != g->io_events && sd_event_source_set_io_events(g->io, events) >= 0)
        g->io_events = events;
}

static void flush(struct guest *g)
{
    while (g->out.len) {
        size_t n;
        const char *data = buffer_peek(&g->out, &n);
        ssize_t done = write(g->master, data, n);

        if (done <= 0)
            break;
        buffer_drop(&g->out, (size_t)done);
    }
}

/* Waits for what can be used: input when the guest has room, room when there is output. */
static void update_io(struct guest *g)
{
    uint32_t events = g->out.len ? (uint32_t)EPOLLOUT : 0;

    if (g->page && ring_room(&g->ring) > 0)
        events |= EPOLLIN;
    set_io(g, events);
}

static void notify(struct guest *g)
{
    if (g->port)
        g->host->ops->notify(g->host->priv, g->port);
}

static void take_input(struct guest *g)
{
    char buf[1024];
    ssize_t room = g->page ? ring_room(&g->ring) : 0;
    ssize_t n = room > 0 ? read(g->master, buf, (size_t)room) : 0;

    if (n > 0 && ring_give(&g->ring, buf, (size_t)n) > 0)
        notify(g);
}

static int on_pty(sd_event_source *src, int fd, uint32_t events, void *arg)
{
    struct guest *g = arg;

    if (events & EPOLLOUT)
        flush(g);
    if (events & EPOLLIN)
        take_input(g);
    if (g->dead && events & (EPOLLHUP | EPOLLERR))
        set_io(g, 0); /* the timer finds out */
    else
        update_io(g);
    return 0;
}

static int on_timer(sd_event_source *src, uint64_t usec, void *arg);

static int arm_timer(struct guest *g)
{
    int err;

    if (!g->timer)
        return sd_event_add_time_relative(g->event, &g->timer, CLOCK_MONOTONIC, PERIOD_USEC,
                                          PERIOD_ACCURACY, on_timer, g);
    err = sd_event_source_set_time_relative(g->timer, PERIOD_USEC);
    return err < 0 ? err : sd_event_source_set_enabled(g->timer, SD_EVENT_ONESHOT);
}

int guest_open_pty(struct guest *g)
{
    struct termios t;
    int err;

    if (g->master >= 0)
        return 0;
    if (openpty(&g->master, &g->slave, NULL, NULL, NULL)) {
        g->master = g->slave = -1;
        return -errno;
    }
    fcntl(g->master, F_SETFD, FD_CLOEXEC);
    fcntl(g->slave, F_SETFD, FD_CLOEXEC);
    fcntl(g->master, F_SETFL, O_RDWR | O_NONBLOCK);
    /* The guest has its own line discipline: bytes pass as they are. */
    if (tcgetattr(g->slave, &t) == 0) {
        cfmakeraw(&t);
        tcsetattr(g->slave, TCSANOW, &t);
    }
    err = ptsname_r(g->master, g->tty, sizeof(g->tty));
    if (err)
        return -err;
    err = sd_event_add_io(g->event, &g->io, g->master, 0, on_pty, g);
    g->io_events = 0;
    if (err < 0)
        return err;
    flush(g);
    update_io(g);
    return 0;
}

/* ---- The ring ---- */

/* Takes one ring's worth; true if there may be more. */
static bool take_output(struct guest *g)
{
    char buf[sizeof(((struct xencons_interface *)0)->out)];
    ssize_t n = ring_take(&g->ring, buf, sizeof(buf));

    if (n < 0 && !g->ring_wrong) {
        kr_log(KR_WARN, "domain %u: its console ring is out of order", g->domid);
        g->ring_wrong = true;
    }
    if (n <= 0)
        return false;
    g->ring_wrong = false;
    notify(g);
    g->allowance -= (size_t)n < g->allowance ? (size_t)n : g->allowance;
    log_output(g, buf, (size_t)n);
    buffer_add(&g->out, buf, (size_t)n);
    if (g->master >= 0)
        flush(g);
    return true;
}

static void pump(struct guest *g)
{
    if (!g->page || g->throttled)
        return;
    while (g->allowance && take_output(g))
        ;
    if (!g->allowance) {
        g->throttled = true;
        arm_timer(g);
    }
    update_io(g);
}

void guest_event(struct guest *g)
{
    pump(g);
}

int guest_connect(struct guest *g, uint64_t gfn, uint32_t port)
{
    const struct host_ops *ops = g->host->ops;
    int err;

    if (g->page && g->gfn == gfn && g->remote_port == port)
        return 0;
    guest_disconnect(g);
    err = ops->map_page(g->host->priv, g->domid, GNTTAB_RESERVED_CONSOLE, gfn, &g->page,
                        &g->granted);
    if (err)
        return err;
    err = ops->bind(g->host->priv, g->domid, port);
    if (err < 0) {
        ops->unmap_page(g->host->priv, g->page, g->granted);
        g->page = NULL;
        return err;
    }
    g->port = (uint32_t)err;
    g->gfn = gfn;
    g->remote_port = port;
    g->allowance = PERIOD_BYTES;
    ring_init(&g->ring, g->page);
    pump(g);
    return 0;
}

void guest_disconnect(struct guest *g)
{
    if (!g->page)
        return;
    g->host->ops->unbind(g->host->priv, g->port);
    g->host->ops->unmap_page(g->host->priv, g->page, g->granted);
    g->page = NULL;
    g->port = 0;
    update_io(g);
}

/* ---- Life and death ---- */

struct guest *guest_new(sd_event *e, const struct host *host, uint16_t domid)
{
    struct guest *g = calloc(1, sizeof(*g));

    if (!g)
        return NULL;
    g->event = e;
    g->host = host;
    g->domid = domid;
    g->master = g->slave = g->log_fd = -1;
    g->log_bol = true;
    g->out.limit = GUEST_LIMIT_DEFAULT;
    g->allowance = PERIOD_BYTES;
    return g;
}

void guest_free(struct guest *g)
{
    guest_disconnect(g);
    sd_event_source_disable_unref(g->io);
    sd_event_source_disable_unref(g->timer);
    if (g->master >= 0)
        close(g->master);
    if (g->slave >= 0)
        close(g->slave);
    guest_set_log(g, -1);
    buffer_free(&g->out);
    free(g);
}

/* Bytes on the slave that no one has read. */
static int unread(const struct guest *g)
{
    int n = 0, slave = g->slave >= 0 ? g->slave : open_slave(g);

    if (slave >= 0 && ioctl(slave, FIONREAD, &n))
        n = 0;
    if (slave >= 0 && slave != g->slave)
        close(slave);
    return n;
}

/* Without any open slave the master is hung up. */
static bool hung_up(const struct guest *g)
{
    struct pollfd p = { .fd = g->master };

    return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

/* Has everything been read, or is there nobody to read it? */
static bool pty_done(struct guest *g)
{
    if (g->master < 0)
        return true;
    if (g->linger <= LINGER_UNOPENED)
        return !g->out.len && !unread(g);
    if (g->slave >= 0)
        close(g->slave); /* from here on the readers alone keep it open */
    g->slave = -1;
    if (hung_up(g) || g->linger > LINGER_UNREAD)
        return true;
    return !g->out.len && !unread(g);
}

static int on_timer(sd_event_source *src, uint64_t usec, void *arg)
{
    struct guest *g = arg;

    if (g->dead) {
        g->linger++;
        flush(g);
        if (pty_done(g)) {
            g->gone(g, g->gone_arg);
            return 0;
        }
        update_io(g);
        return arm_timer(g);
    }
    g->allowance = PERIOD_BYTES;
    g->throttled = false;
    pump(g);
    return 0;
}

void guest_die(struct guest *g, void (*gone)(struct guest *g, void *arg), void *arg)
{
    g->throttled = false;
    g->allowance = PERIOD_BYTES;
    g->ring_wrong = true; /* its memory may have been cleared already: nothing to complain about */
    pump(g);
    guest_disconnect(g);
    g->dead = true;
    g->gone = gone;
    g->gone_arg = arg;
    if (arm_timer(g) < 0)
        gone(g, arg);
}
