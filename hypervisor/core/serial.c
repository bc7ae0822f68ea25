/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/serial.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "hypervisor/core/event_channel.h"
#include "hypervisor/core/wire.h"

#define INPUT_SIZE  1024u
#define OUTPUT_SIZE (1u << 18)   /* power of two */
#define DRAIN_MS    1000

struct serial {
    int fd;
    sd_event_source *src;
    bool broken;                 /* the other end is closed */
    size_t in_len;
    uint64_t prod, sent;         /* free-running byte counts of out */
    char in[INPUT_SIZE], out[OUTPUT_SIZE];
};

static void listen_to(struct core *core)
{
    struct serial *s = core->line;
    uint32_t events = (s->in_len < sizeof(s->in) ? EPOLLIN : 0) |
                      (s->sent < s->prod ? EPOLLOUT : 0);

    sd_event_source_set_io_events(s->src, s->broken ? 0 : events);
}

/* As much as the line takes now. */
static void send_some(struct core *core)
{
    struct serial *s = core->line;

    while (s->sent < s->prod && !s->broken) {
        uint64_t at = s->sent & (OUTPUT_SIZE - 1), n = OUTPUT_SIZE - at;
        ssize_t done;

        n = n < s->prod - s->sent ? n : s->prod - s->sent;
        done = send(s->fd, s->out + at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done < 0) {
            s->broken = errno != EAGAIN && errno != EINTR;
            return;
        }
        s->sent += (uint64_t)done;
    }
}

void serial_put(struct core *core, const char *text, size_t len)
{
    struct serial *s = core->line;

    if (!s) {
        return;
    }
    for (size_t i = 0; i < len; i++) {
        s->out[s->prod++ & (OUTPUT_SIZE - 1)] = text[i];
    }
    if (s->prod - s->sent > OUTPUT_SIZE) {
        kr_log_once(KR_NOTICE, "the serial line is slower than its output: some is lost");
        s->sent = s->prod - OUTPUT_SIZE;
    }
    send_some(core);
    listen_to(core);
}

size_t serial_read(struct core *core, char *buf, size_t len)
{
    struct serial *s = core->line;

    if (!s) {
        return 0;    /* nobody types at this console */
    }
    len = len < s->in_len ? len : s->in_len;
    memcpy(buf, s->in, len);
    s->in_len -= len;
    memmove(s->in, s->in + len, s->in_len);
    listen_to(core);
    return len;
}

static void receive(struct core *core)
{
    struct serial *s = core->line;
    ssize_t n = recv(s->fd, s->in + s->in_len, sizeof(s->in) - s->in_len, MSG_DONTWAIT);

    if (n > 0) {
        s->in_len += (size_t)n;
        evtchn_raise_virq(core, VIRQ_CONSOLE);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        s->broken = true;
    }
}

static int on_line(sd_event_source *src, int fd, uint32_t revents, void *opaque)
{
    struct core *core = opaque;
    struct serial *s = core->line;

    if ((revents & EPOLLIN) && s->in_len < sizeof(s->in)) {
        receive(core);
    }
    send_some(core);
    s->broken |= (revents & (EPOLLHUP | EPOLLERR)) != 0;
    listen_to(core);
    if (s->broken) {
        kr_log(KR_NOTICE, "the serial line's other end is closed: the machine is switched off");
        return sd_event_exit(core->event, KR_MACHINE_OFF);
    }
    return 0;
}

int serial_open(struct core *core, int fd)
{
    struct serial *s = calloc(1, sizeof(*s));

    if (!s || sd_event_add_io(core->event, &s->src, fd, EPOLLIN, on_line, core) < 0) {
        free(s);
        errno = ENOMEM;
        return -1;
    }
    s->fd = fd;
    core->line = s;
    return 0;
}

void serial_close(struct core *core)
{
    struct serial *s = core->line;
    uint64_t end = core_now() + DRAIN_MS * 1000000ull;

    if (!s) {
        return;
    }
    for (send_some(core); s->sent < s->prod && !s->broken && core_now() < end;) {
        struct pollfd p = { .fd = s->fd, .events = POLLOUT };

        poll(&p, 1, DRAIN_MS);
        send_some(core);
    }
    sd_event_source_disable_unref(s->src);
    close(s->fd);
    free(s);
    core->line = NULL;
}
