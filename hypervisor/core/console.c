/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/console.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/event_channel.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/serial.h"

/* What one domain may add: a burst, then so much per second. */
#define GUEST_BURST (64u << 10)
#define GUEST_BYTES_PER_S (16u << 10)
#define MAX_WRITE 16384u

void console_put(struct core *core, const char *text, size_t len)
{
    struct con_ring *r = &core->con;

    for (size_t i = 0; i < len; i++) {
        r->data[r->prod++ & (KR_CON_RING_SIZE - 1)] = text[i];
    }
    if (r->prod - r->cons > KR_CON_RING_SIZE) {
        r->cons = r->prod - KR_CON_RING_SIZE;
    }
    if (core->console_log >= 0 && write(core->console_log, text, len) < 0) {
        kr_log_once(KR_WARN, "cannot write the console log: %s", strerror(errno));
    }
    serial_put(core, text, len);
    evtchn_raise_virq(core, VIRQ_CON_RING);
}

void console_printf(struct core *core, const char *fmt, ...)
{
    char line[300];
    va_list ap;
    int n;

    memcpy(line, "(XEN) ", 6);
    va_start(ap, fmt);
    n = vsnprintf(line + 6, sizeof(line) - 8, fmt, ap);
    va_end(ap);
    if (n < 0) {
        return;
    }
    kr_log(KR_INFO, "%s", line + 6);
    n = (int)strlen(line);
    line[n++] = '\n';
    console_put(core, line, (size_t)n);
}

static bool within_rate(struct domain *d, size_t len)
{
    uint64_t allowed = GUEST_BURST +
                       (core_now() - d->core->start_ns) / 1000000 * GUEST_BYTES_PER_S / 1000;

    if (d->console_bytes + len > allowed) {
        kr_log_once(KR_NOTICE, "domain %u: its hypervisor console output is cut", d->domid);
        return false;
    }
    d->console_bytes += len;
    return true;
}

static void flush_line(struct domain *d)
{
    char line[300];
    int n = snprintf(line, sizeof(line), "(d%u) %.*s\n", d->domid, (int)d->con_len, d->con_line);

    console_put(d->core, line, (size_t)n);
    kr_log(KR_DEBUG, "(d%u) %.*s", d->domid, (int)d->con_len, d->con_line);
    d->con_len = 0;
}

void console_guest_write(struct domain *d, const char *text, size_t len)
{
    if (!within_rate(d, len)) {
        return;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char ch = (unsigned char)text[i];

        if (ch == '\n' || d->con_len == sizeof(d->con_line)) {
            flush_line(d);
        }
        if (ch == '\t' || (ch >= ' ' && ch < 0x7f)) {
            d->con_line[d->con_len++] = (char)ch;
        }
    }
}

/* What was typed is domain 0's, where that is a guest; where it is the host nobody types here. */
static long console_read(struct hcall *hc, uint32_t count)
{
    char buf[256];
    size_t n;

    if (hc->d != hc->core->dom0) {
        return 0;
    }
    n = serial_read(hc->core, buf, count < sizeof(buf) ? count : sizeof(buf));
    return copy_to_guest(hc, hc->arg[2], buf, n) ? -EFAULT : (long)n;
}

long do_console_io(struct hcall *hc)
{
    uint32_t count = (uint32_t)hc->arg[1];
    char buf[1024];

    if ((uint32_t)hc->arg[0] == CONSOLEIO_read) {
        return console_read(hc, count);
    }
    if (count > MAX_WRITE) {
        return -E2BIG;
    }
    while (hc->progress < count) {
        size_t n = count - hc->progress;

        n = n < sizeof(buf) ? n : sizeof(buf);
        if (copy_from_guest(hc, buf, hc->arg[2] + hc->progress, n)) {
            return -EFAULT;
        }
        if (hc->d == hc->core->dom0 && !hc->d->host) {
            serial_put(hc->core, buf, n);    /* as Xen without console_to_ring: not in the ring */
        } else if (hc->d->control) {
            console_put(hc->core, buf, n);
        } else {
            console_guest_write(hc->d, buf, n);
        }
        hc->progress += n;
    }
    return 0;
}
