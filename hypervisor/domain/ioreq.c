/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "hypervisor/domain/ioreq.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/domctl.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/sched.h>

#include "common/log.h"
#include "hypervisor/domain/control.h"
#include "hypervisor/domain/vcpu.h"

#define PORT_CF8        0xcf8u
#define PORT_CFC        0xcfcu
#define CF8_ENABLED     (1u << 31)
#define VGA_START       0xa0000u
#define VGA_END         0xc0000u
#define BUFFERED_SPACE  0x100000u       /* addresses that fit into a buffered request */

/* The state shares a byte with the flags (ioreq.h's bit fields, from bit 0). */
#define STATE_AT        30u
#define STATE_MASK      0xfu
#define FLAG_PTR        0x10u
#define FLAG_READ       0x20u
#define FLAG_DOWN       0x40u
_Static_assert(offsetof(struct ioreq, type) == STATE_AT + 1, "layout");

struct way { int recv, send; uint32_t port; };

struct ioreq_server {
    unsigned refs;              /* under ioreq_lock: the machine's, and accesses under way */
    _Atomic uint32_t gone;
    uint32_t id, state, buffered, nr[KL_IOREQ_KINDS];
    bool mem_writes;
    struct kl_ioreq_range *range[KL_IOREQ_KINDS];
    struct way buf, way[];      /* by vCPU */
};

/* Life of a server. */

static void close_way(struct way *w)
{
    if (w->recv >= 0) {
        close(w->recv);
    }
    if (w->send >= 0) {
        close(w->send);
    }
    w->recv = w->send = -1;
}

static void server_free(struct machine *m, struct ioreq_server *s)
{
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        close_way(&s->way[i]);
    }
    close_way(&s->buf);
    for (unsigned k = 0; k < KL_IOREQ_KINDS; k++) {
        free(s->range[k]);
    }
    free(s);
}

static struct ioreq_server *server_new(struct machine *m, uint32_t id)
{
    struct ioreq_server *s = calloc(1, sizeof(*s) + m->nr_vcpus * sizeof(s->way[0]));

    if (!s) {
        return NULL;
    }
    s->refs = 1;
    s->id = id;
    s->buf.recv = s->buf.send = -1;
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        s->way[i].recv = s->way[i].send = -1;
    }
    return s;
}

static void server_put(struct machine *m, struct ioreq_server *s)
{
    bool last;

    pthread_mutex_lock(&m->ioreq_lock);
    last = --s->refs == 0;
    pthread_mutex_unlock(&m->ioreq_lock);
    if (last) {
        server_free(m, s);
    }
}

static void server_gone(struct machine *m, uint32_t id)
{
    struct ioreq_server *s;

    pthread_mutex_lock(&m->ioreq_lock);
    s = m->ioreq[id];
    m->ioreq[id] = NULL;
    atomic_fetch_and(&m->ioreq_enabled, ~(1u << id));
    pthread_mutex_unlock(&m->ioreq_lock);
    if (!s) {
        return;
    }
    atomic_store(&s->gone, 1);
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        vcpu_kick(&m->vcpu[i]);
    }
    server_put(m, s);
}

static int copy_ranges(const struct kl_ioreq *msg, struct kl_ioreq_range *range[KL_IOREQ_KINDS])
{
    const struct kl_ioreq_range *from = msg->range;

    for (unsigned k = 0; k < KL_IOREQ_KINDS; k++) {
        range[k] = malloc(msg->nr[k] * sizeof(*from) + 1);
        if (!range[k]) {
            while (k--) {
                free(range[k]);
            }
            return -1;
        }
        memcpy(range[k], from, msg->nr[k] * sizeof(*from));
        from += msg->nr[k];
    }
    return 0;
}

int ioreq_update(struct machine *m, const struct kl_ioreq *msg, size_t len)
{
    struct kl_ioreq_range *range[KL_IOREQ_KINDS], *old[KL_IOREQ_KINDS] = { NULL };
    struct ioreq_server *s;
    uint64_t total = 0;

    for (unsigned k = 0; k < KL_IOREQ_KINDS; k++) {
        total += msg->nr[k];
    }
    if (msg->id >= KL_XEN_MAX_IOREQ_SERVERS || msg->state > KL_IOREQ_ENABLED ||
        total > KL_IOREQ_KINDS * KL_IOREQ_MAX_RANGES ||
        len < sizeof(*msg) + total * sizeof(msg->range[0])) {
        errno = EPROTO;
        return -1;
    }
    if (msg->state == KL_IOREQ_GONE) {
        server_gone(m, msg->id);
        return 0;
    }
    if (copy_ranges(msg, range) < 0) {
        return -1;
    }
    s = m->ioreq[msg->id];      /* only this thread changes the table */
    if (!s) {
        s = server_new(m, msg->id);
        if (!s) {
            memcpy(old, range, sizeof(old));
            goto out;
        }
    }
    pthread_mutex_lock(&m->ioreq_lock);
    memcpy(old, s->range, sizeof(old));
    memcpy(s->range, range, sizeof(range));
    memcpy(s->nr, msg->nr, sizeof(s->nr));
    s->state = msg->state;
    s->buffered = msg->buffered;
    s->mem_writes = msg->mem_writes;
    m->ioreq[msg->id] = s;
    if (s->state == KL_IOREQ_ENABLED) {
        atomic_fetch_or(&m->ioreq_enabled, 1u << s->id);
    } else {
        atomic_fetch_and(&m->ioreq_enabled, ~(1u << s->id));
    }
    pthread_mutex_unlock(&m->ioreq_lock);
out:
    for (unsigned k = 0; k < KL_IOREQ_KINDS; k++) {
        free(old[k]);
    }
    return s ? 0 : -1;
}

int ioreq_update_port(struct machine *m, const struct kl_ioreq_port *msg, int recv, int send)
{
    struct way got = { recv, send, msg->port }, *to;
    struct ioreq_server *s = msg->id < KL_XEN_MAX_IOREQ_SERVERS ? m->ioreq[msg->id] : NULL;

    if (!s || recv < 0 || send < 0 ||
        (msg->vcpu >= m->nr_vcpus && msg->vcpu != KL_IOREQ_BUFFERED)) {
        close_way(&got);
        errno = EPROTO;
        return -1;
    }
    to = msg->vcpu == KL_IOREQ_BUFFERED ? &s->buf : &s->way[msg->vcpu];
    if (to->recv >= 0) {        /* in use, perhaps: a port is told once */
        close_way(&got);
        errno = EEXIST;
        return -1;
    }
    pthread_mutex_lock(&m->ioreq_lock);
    *to = got;
    pthread_mutex_unlock(&m->ioreq_lock);
    return 0;
}

/* Finding the server of an access. */

static bool holds(const struct ioreq_server *s, unsigned kind, uint64_t first, uint64_t last)
{
    uint32_t lo = 0, hi = s->nr[kind];

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        const struct kl_ioreq_range *r = &s->range[kind][mid];

        if (first > r->end) {
            lo = mid + 1;
        } else if (first < r->start) {
            hi = mid;
        } else {
            return last <= r->end;
        }
    }
    return false;
}

/* An enabled server, with a reference; the youngest first, as on Xen. */
static struct ioreq_server *select_server(struct machine *m, unsigned kind, uint64_t first,
                                          uint64_t last)
{
    struct ioreq_server *found = NULL;

    if (!atomic_load_explicit(&m->ioreq_enabled, memory_order_relaxed)) {
        return NULL;
    }
    pthread_mutex_lock(&m->ioreq_lock);
    for (unsigned id = KL_XEN_MAX_IOREQ_SERVERS; id-- && !found;) {
        struct ioreq_server *s = m->ioreq[id];

        if (s && s->state == KL_IOREQ_ENABLED && holds(s, kind, first, last)) {
            found = s;
            s->refs++;
        }
    }
    pthread_mutex_unlock(&m->ioreq_lock);
    return found;
}

static struct ioreq_server *mem_server(struct machine *m)
{
    struct ioreq_server *found = NULL;

    pthread_mutex_lock(&m->ioreq_lock);
    for (unsigned id = 0; id < KL_XEN_MAX_IOREQ_SERVERS && !found; id++) {
        struct ioreq_server *s = m->ioreq[id];

        if (s && s->state == KL_IOREQ_ENABLED && s->mem_writes) {
            found = s;
            s->refs++;
        }
    }
    pthread_mutex_unlock(&m->ioreq_lock);
    return found;
}

/* An access to a port, or through ports 0xcf8 and 0xcfc to a PCI device's configuration. */
static struct ioreq_server *select_port(struct vcpu *v, uint16_t port, unsigned size,
                                        struct ioreq *req)
{
    uint32_t cf8 = atomic_load(&v->m->pci_cf8);
    struct ioreq_server *s;
    uint64_t sbdf;

    req->type = IOREQ_TYPE_PIO;
    req->addr = port;
    req->size = size;
    if ((port & ~3u) != PORT_CFC || !(cf8 & CF8_ENABLED)) {
        return select_server(v->m, XEN_DMOP_IO_RANGE_PORT, port, (uint64_t)port + size - 1);
    }
    sbdf = cf8 >> 8 & 0xffff;
    s = select_server(v->m, XEN_DMOP_IO_RANGE_PCI, sbdf, sbdf);
    if (s) {
        req->type = IOREQ_TYPE_PCI_CONFIG;
        req->addr = sbdf << 32 | (cf8 & 0xfc) | (port & 3u);
    }
    return s;
}

/* Asking and waiting. */

static uint8_t *page_of(const struct machine *m, const struct ioreq_server *s, unsigned which)
{
    return m->xen_pages + (KL_XEN_IOREQ + 2u * s->id + which) * PAGE_SIZE;
}

static void drain(int fd)
{
    uint64_t count;

    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
}

static void notify(const struct way *w)
{
    const uint64_t one = 1;

    if (w->send >= 0 && write(w->send, &one, sizeof(one)) < 0 && errno != EAGAIN) {
        kr_log_once(KR_WARN, "cannot notify a device model: %s", strerror(errno));
    }
}

/* Sleeps until the server or another thread has something to say. */
static void sleep_for(struct vcpu *v, const struct way *w, const uint8_t *at, uint8_t seen)
{
    struct pollfd fds[2] = { { w->recv, POLLIN, 0 }, { v->kick_fd, POLLIN, 0 } };

    if (v->runstate != RUNSTATE_blocked) {
        control_debug_flush(v);
        vcpu_runstate_set(v, RUNSTATE_blocked);
    }
    atomic_store(&v->where, VCPU_IN_ACCESS);
    if (!atomic_load(&v->work) && __atomic_load_n(at, __ATOMIC_SEQ_CST) == seen) {
        poll(fds, 2, -1);
    }
    atomic_store(&v->where, VCPU_IN_LOOP);
    drain(w->recv);
    drain(v->kick_fd);
}

enum answer { ANSWERED, NOBODY, BROKEN };

static enum answer await(struct vcpu *v, struct ioreq_server *s, const uint8_t *at)
{
    uint8_t last = STATE_IOREQ_READY, byte, state;
    enum answer a = ANSWERED;
    bool kicked = false;

    for (;;) {
        byte = __atomic_load_n(at, __ATOMIC_ACQUIRE);
        state = byte & STATE_MASK;
        if (state == STATE_IORESP_READY) {
            break;
        }
        if (state == STATE_IOREQ_NONE || atomic_load(&s->gone)) {
            a = NOBODY;
            break;
        }
        if (state > STATE_IORESP_READY || state < last) {
            a = BROKEN;
            break;
        }
        last = state;
        if (!atomic_exchange(&v->work, 0)) {
            sleep_for(v, &s->way[v->id], at, byte);
            continue;
        }
        kicked = true;
        if (atomic_load(&v->m->stop)) {
            vcpu_park_in_access(v);
        }
    }
    if (v->runstate != RUNSTATE_running) {
        vcpu_runstate_set(v, RUNSTATE_running);
    }
    if (kicked) {
        atomic_store(&v->work, 1);      /* for the loop, which has not seen it */
    }
    return a;
}

static void crash(struct vcpu *v, const char *why)
{
    vcpu_shutdown(v, SHUTDOWN_crash, why);
}

/*
 * Has s carry out req (addr, size, count, data and type are set) and returns the answer's data, all
 * ones if there is none. Puts the reference.
 */
static uint64_t ask(struct vcpu *v, struct ioreq_server *s, const struct ioreq *req, uint8_t flags)
{
    struct ioreq *slot = (struct ioreq *)(void *)page_of(v->m, s, 1) + v->id;
    uint8_t *at = (uint8_t *)slot + STATE_AT;
    const struct way *w = &s->way[v->id];
    uint64_t data = UINT64_MAX;

    if (w->recv < 0) {
        goto out;       /* its port has not come yet: nobody there */
    }
    if ((__atomic_load_n(at, __ATOMIC_ACQUIRE) & STATE_MASK) != STATE_IOREQ_NONE) {
        crash(v, "the device model left the request's state busy");
        goto out;
    }
    if (*(volatile uint32_t *)&slot->vp_eport != w->port) {
        crash(v, "the device model changed the request's event channel");
        goto out;
    }
    slot->addr = req->addr;
    slot->data = req->data;
    slot->count = req->count;
    slot->size = req->size;
    slot->type = req->type;
    __atomic_store_n(at, (uint8_t)(flags | STATE_IOREQ_READY), __ATOMIC_SEQ_CST);
    notify(w);
    switch (await(v, s, at)) {
    case ANSWERED:
        data = *(volatile uint64_t *)&slot->data;
        __atomic_store_n(at, STATE_IOREQ_NONE, __ATOMIC_RELEASE);
        break;
    case BROKEN:
        crash(v, "the device model set a state that does not follow");
        break;
    case NOBODY:
        break;
    }
out:
    server_put(v->m, s);
    return data;
}

/* A write that nobody waits for. False: it does not fit into the page. */
static bool buffer(struct machine *m, struct ioreq_server *s, const struct ioreq *req)
{
    struct buffered_iopage *page = (void *)page_of(m, s, 0);
    unsigned slots = req->size == 8 ? 2 : 1;
    struct buf_ioreq b = { .type = req->type, .dir = IOREQ_WRITE, .addr = (uint32_t)req->addr,
                           .size = (uint8_t)__builtin_ctz(req->size) & 3, .data = (uint32_t)req->data };
    uint32_t put, got;

    if (!s->buffered || req->addr >= BUFFERED_SPACE) {
        return false;
    }
    pthread_mutex_lock(&m->ioreq_lock);
    put = __atomic_load_n(&page->write_pointer, __ATOMIC_RELAXED);
    got = __atomic_load_n(&page->read_pointer, __ATOMIC_ACQUIRE);
    if (put - got > IOREQ_BUFFER_SLOT_NUM - slots) {
        pthread_mutex_unlock(&m->ioreq_lock);
        return false;
    }
    page->buf_ioreq[put % IOREQ_BUFFER_SLOT_NUM] = b;
    if (slots == 2) {
        b.data = (uint32_t)(req->data >> 32);
        page->buf_ioreq[(put + 1) % IOREQ_BUFFER_SLOT_NUM] = b;
    }
    __atomic_store_n(&page->write_pointer, put + slots, __ATOMIC_SEQ_CST);
    /* A reader that takes both pointers at once lets them be set back before they overflow. */
    if (s->buffered == HVM_IOREQSRV_BUFIOREQ_ATOMIC && got >= IOREQ_BUFFER_SLOT_NUM) {
        uint64_t *both = (uint64_t *)(void *)page, old = *(volatile uint64_t *)both;
        uint32_t base = (uint32_t)old / IOREQ_BUFFER_SLOT_NUM * IOREQ_BUFFER_SLOT_NUM;
        uint64_t new = ((uint32_t)old - base) | (uint64_t)((uint32_t)(old >> 32) - base) << 32;

        __atomic_compare_exchange_n(both, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&m->ioreq_lock);
    notify(&s->buf);
    return true;
}

/* What the callbacks call. */

bool ioreq_port_in(struct vcpu *v, uint16_t port, unsigned size, uint32_t *value)
{
    struct ioreq req = { .count = 1 };
    struct ioreq_server *s = select_port(v, port, size, &req);

    if (s) {
        *value = (uint32_t)ask(v, s, &req, FLAG_READ);
        *value &= size == 4 ? 0xffffffffu : (1u << size * 8) - 1;
    }
    return s;
}

bool ioreq_port_out(struct vcpu *v, uint16_t port, unsigned size, uint32_t value)
{
    struct ioreq req = { .count = 1, .data = value };
    struct ioreq_server *s;

    if (port == PORT_CF8 && size == 4) {
        atomic_store(&v->m->pci_cf8, value);
    }
    s = select_port(v, port, size, &req);
    if (s) {
        ask(v, s, &req, 0);
    }
    return s;
}

bool ioreq_port_rep(struct vcpu *v, uint16_t port, unsigned size, bool in, uint64_t gpa,
                    unsigned count, bool down)
{
    struct ioreq req = { .count = count, .data = gpa };
    struct ioreq_server *s = select_port(v, port, size, &req);

    if (s) {
        ask(v, s, &req, (uint8_t)(FLAG_PTR | (in ? FLAG_READ : 0) | (down ? FLAG_DOWN : 0)));
    }
    return s;
}

bool ioreq_read(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t *value)
{
    struct ioreq req = { .type = IOREQ_TYPE_COPY, .addr = gpa, .size = size, .count = 1 };
    struct ioreq_server *s = select_server(v->m, XEN_DMOP_IO_RANGE_MEMORY, gpa, gpa + size - 1);

    if (s) {
        *value = ask(v, s, &req, FLAG_READ);
    }
    return s;
}

/* RAM whose writes a server wants to see: without one they are ordinary writes. */
static bool write_watched(struct vcpu *v, struct ioreq *req)
{
    struct ioreq_server *s = mem_server(v->m);

    if (s) {
        ask(v, s, req, 0);
    } else {
        memcpy(v->m->ram + req->addr, &req->data, req->size);
        v->m->ops->invalidate_gfns(v->m->engine, req->addr >> PAGE_SHIFT, 1);
    }
    return true;
}

bool ioreq_write(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t value)
{
    struct ioreq req = { .type = IOREQ_TYPE_COPY, .addr = gpa, .size = size, .count = 1,
                         .data = value };
    struct ioreq_server *s;
    uint8_t type = gpa < v->m->gpa_limit
                   ? __atomic_load_n(&v->m->gfn_type[gpa >> PAGE_SHIFT], __ATOMIC_ACQUIRE) : 0;

    if (type == KL_TYPE_IOREQ) {
        return write_watched(v, &req);
    }
    if (type != ENGINE_GFN_NONE) {
        return false;
    }
    s = select_server(v->m, XEN_DMOP_IO_RANGE_MEMORY, gpa, gpa + size - 1);
    if (!s) {
        return false;
    }
    if ((v->m->emulation_flags & XEN_X86_EMU_VGA) && gpa >= VGA_START && gpa < VGA_END &&
        buffer(v->m, s, &req)) {
        server_put(v->m, s);
        return true;
    }
    ask(v, s, &req, 0);
    return true;
}

void ioreq_invalidate(struct vcpu *v)
{
    const struct ioreq req = { .type = IOREQ_TYPE_INVALIDATE, .size = 4, .data = UINT64_MAX };
    struct machine *m = v->m;

    for (unsigned id = 0; id < KL_XEN_MAX_IOREQ_SERVERS; id++) {
        struct ioreq_server *s;

        if (!(atomic_load(&m->ioreq_enabled) >> id & 1)) {
            continue;
        }
        pthread_mutex_lock(&m->ioreq_lock);
        s = m->ioreq[id];
        if (s) {
            s->refs++;
        }
        pthread_mutex_unlock(&m->ioreq_lock);
        if (s) {
            ask(v, s, &req, 0);
        }
    }
}
