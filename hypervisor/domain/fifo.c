/* SPDX-License-Identifier: MIT */
#include "hypervisor/domain/fifo.h"

#include "common/log.h"
#include "hypervisor/domain/event.h"
#include "hypervisor/domain/memory.h"

#define PENDING (1u << EVTCHN_FIFO_PENDING)
#define MASKED  (1u << EVTCHN_FIFO_MASKED)
#define LINKED  (1u << EVTCHN_FIFO_LINKED)
#define BUSY    (1u << EVTCHN_FIFO_BUSY)
#define LINK    ((uint32_t)EVTCHN_FIFO_LINK_MASK)
#define LINK_TRIES 4 /* with BUSY set; a guest that still interferes breaks its own queue */

_Atomic uint32_t *fifo_word(struct machine *m, uint32_t number)
{
    uint32_t page = number / FIFO_WORDS_PER_PAGE;
    uint64_t gpa;

    if (page >= atomic_load(&m->fifo_pages)) {
        return NULL;
    }
    gpa = atomic_load(&m->fifo_page[page]);
    return (_Atomic uint32_t *)(void *)(m->ram + gpa) + number % FIFO_WORDS_PER_PAGE;
}

/*
 * Lets word, the tail of a queue, point to next, if the guest has not taken it off yet.
 * Returns 1 if done, 0 if the word is no longer linked, -1 if it changed meanwhile (*seen is new).
 */
static int try_link(_Atomic uint32_t *word, uint32_t *seen, uint32_t next)
{
    if (!(*seen & LINKED)) {
        return 0;
    }
    return atomic_compare_exchange_strong(word, seen, (*seen & ~(BUSY | LINK)) | next) ? 1 : -1;
}

static bool link_tail(struct machine *m, _Atomic uint32_t *word, uint32_t next)
{
    uint32_t seen = atomic_load(word);
    int done = try_link(word, &seen, next);

    if (done >= 0) {
        return done;
    }
    /* BUSY keeps a well-behaved guest from changing the word. */
    atomic_fetch_or(word, BUSY);
    seen = atomic_load(word);
    for (int i = 0; i < LINK_TRIES; i++) {
        done = try_link(word, &seen, next);
        if (done > 0) {
            return true;
        }
        if (!done) {
            atomic_fetch_and(word, ~BUSY);
            return false;
        }
    }
    atomic_fetch_and(word, ~BUSY);
    kr_log_once(KR_WARN, "d%u: the guest keeps changing a busy event word: event %u is lost",
                m->domid, next);
    return true;
}

static struct evtchn_fifo_control_block *control_block(struct vcpu *v)
{
    return v->fifo_control == NO_ADDR ? NULL : (void *)(v->m->ram + v->fifo_control);
}

/* Puts the port on its queue. The caller has set LINKED. Returns true if an upcall may be due. */
static bool enqueue(struct machine *m, struct vcpu *v, struct port *p)
{
    struct evtchn_fifo_control_block *cb = control_block(v);
    uint32_t *tail = &v->fifo_tail[p->priority];
    bool linked = false;

    if (*tail) {
        _Atomic uint32_t *word = fifo_word(m, *tail);

        linked = *tail != p->number && word && link_tail(m, word, p->number);
    }
    if (!linked) {
        __atomic_store_n(&cb->head[p->priority], p->number, __ATOMIC_RELEASE);
    }
    *tail = p->number;
    p->last_vcpu = p->vcpu;
    p->last_priority = p->priority;
    return !linked;
}

/* If the port was the last of a queue that it now leaves, that queue must not link from it. */
static void forget_tail(struct machine *m, struct port *p)
{
    struct vcpu *old;

    if (p->last_vcpu == p->vcpu && p->last_priority == p->priority) {
        return;
    }
    old = &m->vcpu[p->last_vcpu];
    pthread_mutex_lock(&old->fifo_lock);
    if (old->fifo_tail[p->last_priority] == p->number) {
        old->fifo_tail[p->last_priority] = 0;
    }
    pthread_mutex_unlock(&old->fifo_lock);
}

static void make_ready(struct machine *m, struct port *p, _Atomic uint32_t *word)
{
    struct vcpu *v = &m->vcpu[p->vcpu];
    struct evtchn_fifo_control_block *cb;
    uint32_t bit = 1u << p->priority;
    bool upcall = false;

    forget_tail(m, p);
    pthread_mutex_lock(&v->fifo_lock);
    cb = control_block(v);
    if (!cb) {
        kr_log_once(KR_INFO, "d%u: an event for vCPU %u, which has no FIFO control block", m->domid,
                    v->id);
    } else if (!(atomic_fetch_or(word, LINKED) & LINKED)) {
        upcall = enqueue(m, v, p);
    }
    pthread_mutex_unlock(&v->fifo_lock);
    if (upcall && !(__atomic_fetch_or(&cb->ready, bit, __ATOMIC_SEQ_CST) & bit)) {
        event_mark_pending(v);
    }
}

void fifo_set_pending(struct machine *m, struct port *p)
{
    _Atomic uint32_t *word = fifo_word(m, p->number);
    uint32_t old;

    if (!word) {
        p->pending = true;
        return;
    }
    old = atomic_fetch_or(word, PENDING);
    if (!(old & (MASKED | LINKED))) {
        make_ready(m, p, word);
    }
}

void fifo_unmask(struct machine *m, struct port *p)
{
    _Atomic uint32_t *word = fifo_word(m, p->number);

    if (word && atomic_fetch_and(word, ~MASKED) & PENDING) {
        fifo_set_pending(m, p);
    }
}

void fifo_clear_pending(struct machine *m, struct port *p)
{
    _Atomic uint32_t *word = fifo_word(m, p->number);

    p->pending = false;
    if (word) {
        atomic_fetch_and(word, ~PENDING);
    }
}

bool fifo_is_pending(struct machine *m, uint32_t number)
{
    _Atomic uint32_t *word = fifo_word(m, number);

    return word && (atomic_load(word) & PENDING);
}
