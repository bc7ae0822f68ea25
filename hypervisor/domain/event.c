/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* ppoll */
#include "hypervisor/domain/event.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "hypervisor/domain/fifo.h"
#include "hypervisor/domain/lapic.h"
#include "hypervisor/domain/memory.h"
#include "hypervisor/domain/vcpu.h"

/*
 * The 2-level bitmaps, where a guest's word is 32 or 64 bits wide. Bits are numbered alike in both,
 * so they are always accessed as 32-bit words; only the offsets differ (arch-x86 xen.h: for i386,
 * evtchn_pending is 128 bytes at 2048 and evtchn_mask follows; the selector is at 4, not 8).
 */
#define PENDING_AT      2048u
#define MASK_AT_NARROW  2176u
#define MASK_AT_WIDE    2560u
#define SEL_AT_NARROW   4u
#define SEL_AT_WIDE     8u
_Static_assert(offsetof(struct shared_info, evtchn_pending) == PENDING_AT, "layout");
_Static_assert(offsetof(struct shared_info, evtchn_mask) == MASK_AT_WIDE, "layout");
_Static_assert(offsetof(struct vcpu_info, evtchn_pending_sel) == SEL_AT_WIDE, "layout");

static bool test_and_set(void *base, uint32_t nr)
{
    uint32_t bit = 1u << (nr % 32);

    return __atomic_fetch_or((uint32_t *)base + nr / 32, bit, __ATOMIC_SEQ_CST) & bit;
}

static bool test_and_clear(void *base, uint32_t nr)
{
    uint32_t bit = 1u << (nr % 32);

    return __atomic_fetch_and((uint32_t *)base + nr / 32, ~bit, __ATOMIC_SEQ_CST) & bit;
}

static bool test(const void *base, uint32_t nr)
{
    return __atomic_load_n((const uint32_t *)base + nr / 32, __ATOMIC_SEQ_CST) & (1u << (nr % 32));
}

static void *pending_map(struct machine *m)
{
    return m->xen_pages + PENDING_AT;
}

static void *mask_map(struct machine *m)
{
    return m->xen_pages + (m->narrow ? MASK_AT_NARROW : MASK_AT_WIDE);
}

static uint32_t two_level_channels(struct machine *m)
{
    return m->narrow ? 32 * 32 : 64 * 64;
}

struct vcpu_info *event_vcpu_info(struct vcpu *v)
{
    uint64_t gpa = atomic_load(&v->info_gpa);

    if (gpa != NO_ADDR) {
        return (struct vcpu_info *)(void *)(v->m->ram + gpa);
    }
    return v->id < XEN_LEGACY_MAX_VCPUS ? &v->m->shared->vcpu_info[v->id] : &v->dummy_info;
}

bool event_upcall_pending(struct vcpu *v)
{
    return __atomic_load_n(&event_vcpu_info(v)->evtchn_upcall_pending, __ATOMIC_SEQ_CST);
}

void event_mark_pending(struct vcpu *v)
{
    uint32_t vector;

    if (__atomic_exchange_n(&event_vcpu_info(v)->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST)) {
        return;
    }
    vector = atomic_load(&v->upcall_vector);
    if (vector) {
        lapic_post(v, (uint8_t)vector);
    }
    vcpu_kick(v);
}

static void set_pending_2level(struct machine *m, struct port *p)
{
    struct vcpu *v = &m->vcpu[p->vcpu];
    uint8_t *info = (uint8_t *)event_vcpu_info(v);

    if (p->number >= two_level_channels(m) || test_and_set(pending_map(m), p->number) ||
        test(mask_map(m), p->number)) {
        return;
    }
    if (!test_and_set(info + (m->narrow ? SEL_AT_NARROW : SEL_AT_WIDE),
                      p->number / (m->narrow ? 32 : 64))) {
        event_mark_pending(v);
    }
}

static void wake_pollers(struct machine *m)
{
    if (!atomic_load(&m->pollers)) {
        return;
    }
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        if (atomic_load(&m->vcpu[i].polling)) {
            vcpu_kick(&m->vcpu[i]);
        }
    }
}

/* Port lock held. */
static void set_pending(struct machine *m, struct port *p)
{
    if (p->kind == KL_PORT_CLOSED) {
        return;
    }
    if (m->fifo) {
        fifo_set_pending(m, p);
    } else {
        set_pending_2level(m, p);
    }
    __atomic_add_fetch(&m->state->events_in, 1, __ATOMIC_RELAXED);
    wake_pollers(m);
}

struct port *event_port(struct machine *m, uint32_t number)
{
    struct port *bucket;

    if (number >= EVTCHN_FIFO_NR_CHANNELS) {
        return NULL;
    }
    bucket = atomic_load(&m->bucket[number / PORTS_PER_BUCKET]);
    return bucket ? &bucket[number % PORTS_PER_BUCKET] : NULL;
}

static struct port *port_make(struct machine *m, uint32_t number)
{
    uint32_t b = number / PORTS_PER_BUCKET;
    struct port *bucket;

    if (number >= EVTCHN_FIFO_NR_CHANNELS) {
        errno = EINVAL;
        return NULL;
    }
    pthread_mutex_lock(&m->ports_lock);
    if (!m->bucket[b]) {
        bucket = calloc(PORTS_PER_BUCKET, sizeof(*bucket));
        for (unsigned i = 0; bucket && i < PORTS_PER_BUCKET; i++) {
            pthread_mutex_init(&bucket[i].lock, NULL);
            bucket[i].number = b * PORTS_PER_BUCKET + i;
            bucket[i].recv = bucket[i].send = -1;
            bucket[i].priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
        }
        atomic_store(&m->bucket[b], bucket);
    }
    pthread_mutex_unlock(&m->ports_lock);
    return event_port(m, number);
}

static void drop_fds(struct machine *m, struct port *p)
{
    if (p->recv >= 0) {
        /* The other end holds the same eventfd open, so closing alone would leave it watched. */
        epoll_ctl(m->vcpu[p->vcpu].events, EPOLL_CTL_DEL, p->recv, NULL);
        close(p->recv);
    }
    if (p->send >= 0) {
        close(p->send);
    }
    p->recv = p->send = -1;
}

static int watch(struct machine *m, struct port *p)
{
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = p->number };

    return p->recv < 0 ? 0 : epoll_ctl(m->vcpu[p->vcpu].events, EPOLL_CTL_ADD, p->recv, &e);
}

/* Port lock held. */
static int move(struct machine *m, struct port *p, uint32_t vcpu)
{
    if (vcpu == p->vcpu) {
        return 0;
    }
    if (p->recv >= 0) {
        epoll_ctl(m->vcpu[p->vcpu].events, EPOLL_CTL_DEL, p->recv, NULL);
    }
    p->vcpu = (uint16_t)vcpu;
    return watch(m, p);
}

static void clear_pending(struct machine *m, struct port *p)
{
    if (m->fifo) {
        fifo_clear_pending(m, p);
    } else if (p->number < two_level_channels(m)) {
        test_and_clear(pending_map(m), p->number);
    }
}

static void note_virq(struct machine *m, struct port *p, uint32_t port)
{
    if (p->kind == KL_PORT_VIRQ && p->virq < NR_VIRQS_MAX) {
        atomic_store(&m->vcpu[p->vcpu].virq_port[p->virq], port);
    }
}

/* Port lock held; takes the descriptors. */
static int apply(struct machine *m, struct port *p, const struct kl_port *msg, int recv, int send)
{
    note_virq(m, p, 0);
    int rc = 0;

    if (recv >= 0 || send >= 0 || msg->kind == KL_PORT_CLOSED || msg->kind == KL_PORT_UNBOUND) {
        drop_fds(m, p);
        p->vcpu = (uint16_t)msg->vcpu;
        p->recv = recv;
        p->send = send;
        rc = watch(m, p);
    } else {
        rc = move(m, p, msg->vcpu);
    }
    if (msg->kind == KL_PORT_CLOSED) {
        clear_pending(m, p);
        p->priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
    }
    p->kind = (uint8_t)msg->kind;
    p->virq = msg->virq;
    note_virq(m, p, p->number);
    return rc;
}

int event_port_update(struct machine *m, const struct kl_port *msg, int recv, int send)
{
    struct port *p = NULL;
    bool late;
    int rc = -1;

    if (msg->kind > KL_PORT_XEN || msg->vcpu >= m->nr_vcpus || !msg->port) {
        errno = EINVAL;
    } else {
        p = port_make(m, msg->port);
    }
    if (!p) {
        goto drop;
    }
    pthread_mutex_lock(&p->lock);
    late = (int32_t)(msg->seq - p->seq) <= 0;
    if (!late) {
        p->seq = msg->seq;
        rc = apply(m, p, msg, recv, send);
    }
    pthread_mutex_unlock(&p->lock);
    if (!late) {
        return rc;
    }
    rc = 0;
drop:
    if (recv >= 0) {
        close(recv);
    }
    if (send >= 0) {
        close(send);
    }
    return rc;
}

static void fd_ready(struct machine *m, uint32_t number)
{
    struct port *p = event_port(m, number);
    uint64_t count;

    if (!p) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    if (p->recv >= 0 && read(p->recv, &count, sizeof(count)) == sizeof(count)) {
        set_pending(m, p);
    }
    pthread_mutex_unlock(&p->lock);
}

/*
 * Who hears of events. Waking a thread takes 20 us where the machine has few CPUs, so a vCPU that sleeps waits
 * for its ports' eventfds itself, in a set of its own. While it runs guest code, the main thread does, which
 * has the set in its own one: asked for nothing while the vCPU sleeps, or both would wake.
 *
 * kick_fd is in the set for its edge alone, so it need not be read.
 */
#define KICK_MARK       UINT64_MAX      /* epoll data of kick_fd; others are port numbers */
#define EVENTS_AT_ONCE  32

int event_vcpu_init(struct vcpu *v)
{
    struct epoll_event kick = { .events = EPOLLIN | EPOLLET, .data.u64 = KICK_MARK };
    struct epoll_event set = { .events = EPOLLIN, .data.u64 = v->id };

    v->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    v->events = epoll_create1(EPOLL_CLOEXEC);
    return v->kick_fd < 0 || v->events < 0 || epoll_ctl(v->events, EPOLL_CTL_ADD, v->kick_fd, &kick) < 0 ||
           epoll_ctl(v->m->epoll, EPOLL_CTL_ADD, v->events, &set) < 0 ? -1 : 0;
}

void event_vcpu_free(struct vcpu *v)
{
    close(v->kick_fd);
    close(v->events);
}

void event_take(struct vcpu *v)
{
    struct epoll_event ready[EVENTS_AT_ONCE];
    int n = epoll_wait(v->events, ready, EVENTS_AT_ONCE, 0);

    for (int i = 0; i < n; i++) {
        if (ready[i].data.u64 != KICK_MARK) {
            fd_ready(v->m, (uint32_t)ready[i].data.u64);
        }
    }
}

void event_hear(struct vcpu *v, bool itself)
{
    struct epoll_event set = { .events = itself ? 0 : EPOLLIN, .data.u64 = v->id };

    if (v->hears != itself && epoll_ctl(v->m->epoll, EPOLL_CTL_MOD, v->events, &set) == 0) {
        v->hears = itself;
    }
}

void event_wait(struct vcpu *v, uint64_t deadline)
{
    struct pollfd p = { v->events, POLLIN, 0 };
    uint64_t now = deadline == NO_TIMER ? 0 : host_now(), left = deadline > now ? deadline - now : 0;
    struct timespec t;

    /* Linux may let a poll last longer by a thousandth (its estimate_accuracy); the last bit is waited for apart. */
    if (left > 2000000) {
        left -= left / 256;
    }
    t = (struct timespec){ (time_t)(left / 1000000000u), (long)(left % 1000000000u) };
    if (ppoll(&p, 1, deadline == NO_TIMER ? NULL : &t, NULL) > 0) {
        event_take(v);
    }
}

void event_virq(struct vcpu *v, unsigned virq)
{
    uint32_t number = virq < NR_VIRQS_MAX ? atomic_load(&v->virq_port[virq]) : 0;
    struct port *p = number ? event_port(v->m, number) : NULL;

    if (p) {
        pthread_mutex_lock(&p->lock);
        if (p->kind == KL_PORT_VIRQ && p->virq == virq) {
            set_pending(v->m, p);
        }
        pthread_mutex_unlock(&p->lock);
    }
}

long event_send(struct machine *m, uint32_t number)
{
    struct port *p = event_port(m, number);
    const uint64_t one = 1;
    long rc = 0;

    if (!p) {
        return -EINVAL;
    }
    pthread_mutex_lock(&p->lock);
    switch (p->kind) {
    case KL_PORT_INTERDOMAIN:
    case KL_PORT_XEN:
        /* A counter that is full has told its reader already. */
        if (p->send >= 0 && write(p->send, &one, sizeof(one)) < 0 && errno != EAGAIN) {
            kr_log_once(KR_WARN, "d%u: port %u: cannot notify: %s", m->domid, number,
                        strerror(errno));
        }
        __atomic_add_fetch(&m->state->events_out, 1, __ATOMIC_RELAXED);
        break;
    case KL_PORT_IPI:
        set_pending(m, p);
        break;
    case KL_PORT_UNBOUND:
        break;
    default:
        rc = -EINVAL;
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

static void unmask_2level(struct machine *m, struct port *p)
{
    struct vcpu *v = &m->vcpu[p->vcpu];
    uint8_t *info = (uint8_t *)event_vcpu_info(v);

    if (test_and_clear(mask_map(m), p->number) && test(pending_map(m), p->number) &&
        !test_and_set(info + (m->narrow ? SEL_AT_NARROW : SEL_AT_WIDE),
                      p->number / (m->narrow ? 32 : 64))) {
        event_mark_pending(v);
    }
}

long event_unmask(struct machine *m, uint32_t number)
{
    struct port *p = event_port(m, number);

    if (!p) {
        return -EINVAL;
    }
    pthread_mutex_lock(&p->lock);
    if (m->fifo) {
        fifo_unmask(m, p);
    } else if (number < two_level_channels(m)) {
        unmask_2level(m, p);
    }
    pthread_mutex_unlock(&p->lock);
    return 0;
}

bool event_is_pending(struct machine *m, uint32_t number)
{
    if (m->fifo) {
        return fifo_is_pending(m, number);
    }
    return number < two_level_channels(m) && test(pending_map(m), number);
}

/* Events that are pending in the 2-level bitmap are raised again as their FIFO words appear. */
static void carry_over(struct machine *m)
{
    for (unsigned b = 0; b < NR_PORT_BUCKETS; b++) {
        struct port *bucket = m->bucket[b];

        for (unsigned i = 0; bucket && i < PORTS_PER_BUCKET; i++) {
            struct port *p = &bucket[i];

            pthread_mutex_lock(&p->lock);
            if (p->number < two_level_channels(m) && test(pending_map(m), p->number)) {
                p->pending = true;
            }
            pthread_mutex_unlock(&p->lock);
        }
    }
}

long event_init_control(struct machine *m, struct evtchn_init_control *op)
{
    struct vcpu *v;
    bool first = false;
    long rc = 0;

    if (op->vcpu >= m->nr_vcpus) {
        return -ENOENT;
    }
    op->link_bits = EVTCHN_FIFO_LINK_BITS;
    if (op->offset > PAGE_SIZE - sizeof(struct evtchn_fifo_control_block) || (op->offset & 7) ||
        op->control_gfn >= m->nr_gfns ||
        !memory_at(m, op->control_gfn << PAGE_SHIFT, PAGE_SIZE)) {
        return -EINVAL;
    }
    v = &m->vcpu[op->vcpu];
    pthread_mutex_lock(&v->fifo_lock);
    if (v->fifo_control != NO_ADDR) {
        rc = -EINVAL;
    } else {
        v->fifo_control = (op->control_gfn << PAGE_SHIFT) + op->offset;
        memset(v->fifo_tail, 0, sizeof(v->fifo_tail));
    }
    pthread_mutex_unlock(&v->fifo_lock);
    pthread_mutex_lock(&m->ports_lock);
    if (!rc && !m->fifo) {
        m->fifo = 1;
        m->state->fifo = 1;
        first = true;
    }
    pthread_mutex_unlock(&m->ports_lock);
    if (first) {
        carry_over(m);
    }
    return rc;
}

long event_expand_array(struct machine *m, const struct evtchn_expand_array *op)
{
    struct port *bucket;
    uint32_t page;
    long rc = 0;

    if (!m->fifo) {
        return -EOPNOTSUPP;
    }
    if (op->array_gfn >= m->nr_gfns || !memory_at(m, op->array_gfn << PAGE_SHIFT, PAGE_SIZE)) {
        return -EINVAL;
    }
    pthread_mutex_lock(&m->ports_lock);
    page = m->fifo_pages;
    if (page == FIFO_MAX_PAGES) {
        rc = -ENOSPC;
    } else {
        atomic_store(&m->fifo_page[page], op->array_gfn << PAGE_SHIFT);
        atomic_store(&m->fifo_pages, page + 1);
    }
    pthread_mutex_unlock(&m->ports_lock);
    for (uint32_t n = page * FIFO_WORDS_PER_PAGE; !rc && n < (page + 1) * FIFO_WORDS_PER_PAGE;
         n++) {
        bucket = m->bucket[n / PORTS_PER_BUCKET];
        if (!bucket) {
            n |= PORTS_PER_BUCKET - 1;
            continue;
        }
        struct port *p = &bucket[n % PORTS_PER_BUCKET];

        pthread_mutex_lock(&p->lock);
        if (p->pending) {
            p->pending = false;
            set_pending(m, p);
        }
        pthread_mutex_unlock(&p->lock);
    }
    return rc;
}

long event_set_priority(struct machine *m, const struct evtchn_set_priority *op)
{
    struct port *p = event_port(m, op->port);
    long rc = 0;

    if (!m->fifo) {
        return -ENOSYS;
    }
    if (!p || op->priority > EVTCHN_FIFO_PRIORITY_MIN) {
        return -EINVAL;
    }
    pthread_mutex_lock(&p->lock);
    if (p->kind == KL_PORT_CLOSED) {
        rc = -EINVAL;
    } else {
        p->priority = (uint8_t)op->priority;
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

void event_reset(struct machine *m)
{
    pthread_mutex_lock(&m->ports_lock);
    m->fifo = 0;
    m->state->fifo = 0;
    atomic_store(&m->fifo_pages, 0);
    pthread_mutex_unlock(&m->ports_lock);
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        struct vcpu *v = &m->vcpu[i];

        pthread_mutex_lock(&v->fifo_lock);
        v->fifo_control = NO_ADDR;
        memset(v->fifo_tail, 0, sizeof(v->fifo_tail));
        pthread_mutex_unlock(&v->fifo_lock);
    }
}

long event_register_vcpu_info(struct vcpu *v, uint64_t gpa)
{
    struct vcpu_info *old = event_vcpu_info(v), *new = memory_at(v->m, gpa, sizeof(*new));
    uint32_t *sel;

    if (v->info_gpa != NO_ADDR || (v != current && atomic_load(&v->online)) || !new) {
        return -EINVAL;
    }
    if (gpa % _Alignof(struct vcpu_info)) {
        return -ENXIO;
    }
    memcpy(new, old, sizeof(*new));
    atomic_store(&v->info_gpa, gpa);
    v->st->vcpu_info_gpa = gpa;
    /* Whoever still wrote to the old place has set the port's own bit before: have all
     * looked at. */
    sel = (uint32_t *)(void *)((uint8_t *)new + (v->m->narrow ? SEL_AT_NARROW : SEL_AT_WIDE));
    __atomic_store_n(&sel[0], ~0u, __ATOMIC_SEQ_CST);
    if (!v->m->narrow) {
        __atomic_store_n(&sel[1], ~0u, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&new->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
    event_mark_pending(v);
    return 0;
}
