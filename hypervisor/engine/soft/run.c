/* SPDX-License-Identifier: MIT */
/*
 * The run loop: entered for each event, left for each exit. Between events the handlers chain from
 * block to block and never come here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "hypervisor/engine/soft/internal.h"

void soft_trace(struct soft_vcpu *v, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fprintf(stderr, "soft vcpu %u: ", v->id);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

void soft_verdict(struct soft_vcpu *v, const struct soft_op *op, enum engine_verdict verdict)
{
    v->cb_op = NULL;
    switch (verdict) {
    case ENGINE_CONTINUE: return;
    case ENGINE_STOP: soft_attend(v, SOFT_ATT_STOP); return;
    case ENGINE_FAULT_UD: soft_raise(v, op, SOFT_UD);
    case ENGINE_FAULT_GP: break;
    }
    soft_raise_err(v, op, SOFT_GP, 0);
}

static bool irq_possible(const struct soft_vcpu *v)
{
    return v->rflags & FL_IF && !v->sti_shadow && !v->mov_ss_shadow && !v->event.valid;
}

/* Attention, exits and budget. True: leave run() with *exit. */
static bool must_exit(struct soft_vcpu *v, enum engine_exit *exit)
{
    unsigned att = atomic_load_explicit(&v->attention, memory_order_acquire);

    if (att & SOFT_ATT_INVAL) {
        atomic_fetch_and(&v->attention, ~(unsigned)SOFT_ATT_INVAL);
        soft_process_inval(v);
    }
    if (att & (SOFT_ATT_SMC | SOFT_ATT_EVENT))
        atomic_fetch_and(&v->attention, ~(unsigned)(SOFT_ATT_SMC | SOFT_ATT_EVENT));
    soft_free_dead(v);
    if (att & (SOFT_ATT_KICK | SOFT_ATT_STOP)) {
        atomic_fetch_and(&v->attention, ~(unsigned)(SOFT_ATT_KICK | SOFT_ATT_STOP));
        *exit = ENGINE_EXIT_KICK;
        return true;
    }
    /* also with an event pending: a guest may fault for ever */
    if (v->budget < 0) {
        *exit = ENGINE_EXIT_KICK;
        return true;
    }
    if (v->nmi_pending && !v->nmi_blocked && !v->event.valid && !v->mov_ss_shadow) {
        v->nmi_pending = false;
        v->event.valid = true;
        v->event.vector = SOFT_NMI;
        v->event.type = SOFT_EV_NMI;
        v->event.has_error = false;
    }
    if (v->event.valid)
        return false;
    if (v->halted) {
        *exit = ENGINE_EXIT_HLT;
        return true;
    }
    if (v->want_window && irq_possible(v)) {
        *exit = ENGINE_EXIT_IRQ_WINDOW;
        return true;
    }
    return false;
}

static void deliver_pending(struct soft_vcpu *v)
{
    if (v->event.type != SOFT_EV_SOFT && v->event.type != SOFT_EV_FAULT)
        v->halted = false;
    v->in_delivery = true;
    v->budget--;
    soft_deliver(v, v->event.vector, (enum soft_event)v->event.type, v->event.has_error,
                 v->event.error);
    v->in_delivery = false;
    v->event.valid = false;
    v->sti_shadow = v->mov_ss_shadow = false;
    if (v->event.type == SOFT_EV_NMI)
        v->nmi_blocked = true;
}

void soft_step_trap(struct soft_vcpu *v)
{
    v->dr[6] |= 1u << 14;                    /* BS */
    v->event.valid = true;
    v->event.vector = SOFT_DB;
    v->event.type = SOFT_EV_FAULT;
    v->event.has_error = false;
    soft_attend(v, SOFT_ATT_EVENT);
}

/* One instruction on its own: TF, or the one that follows STI or a load of SS. */
static void step(struct soft_vcpu *v)
{
    bool trap = v->rflags & FL_TF, sti = v->sti_shadow, mov_ss = v->mov_ss_shadow;
    struct soft_block *b;

    v->mode |= SOFT_M_STEP;
    soft_attend(v, SOFT_ATT_EVENT);
    v->sti_shadow = v->mov_ss_shadow = v->tf_settled = false;
    b = soft_find_block(v);
    v->sti_shadow = false;
    b->ops[0].fn(v, b->ops);
    if (sti && v->sti_shadow)                /* STI after STI holds nothing off for longer */
        v->sti_shadow = false;
    v->mode &= ~(uint32_t)SOFT_M_STEP;
    (void)mov_ss;
    if (trap && !v->tf_settled && !v->mov_ss_shadow && !v->event.valid)
        soft_step_trap(v);
}

static enum engine_exit loop(struct soft_vcpu *v)
{
    enum engine_exit exit;
    struct soft_block *b;

    for (;;) {
        if (must_exit(v, &exit))
            return exit;
        if (v->event.valid) {
            deliver_pending(v);
            continue;
        }
        if (v->rflags & FL_TF || v->sti_shadow || v->mov_ss_shadow) {
            step(v);
            continue;
        }
        b = soft_find_block(v);
        b->ops[0].fn(v, b->ops);
    }
}

enum engine_exit soft_run(struct engine_vcpu *ev, uint64_t max_insns)
{
    struct soft_vcpu *v = (struct soft_vcpu *)ev;
    enum engine_exit exit;
    jmp_buf env;

    if (v->failed)
        return ENGINE_EXIT_ERROR;
    v->budget = max_insns > INT64_MAX ? INT64_MAX : (int64_t)max_insns;
    v->budget_start = v->budget;
    v->env = &env;
    v->stats.exits++;
    if (setjmp(env)) {
        v->cb_op = NULL;
        if (v->failed) {
            exit = ENGINE_EXIT_ERROR;
            goto out;
        }
        v->mode &= ~(uint32_t)SOFT_M_STEP;
        if (!soft_combine(v)) {
            v->event.valid = v->in_delivery = false;
            exit = ENGINE_EXIT_SHUTDOWN;
            goto out;
        }
    }
    exit = loop(v);
out:
    soft_fp_sync(v);
    v->env = NULL;
    v->stats.insns += (uint64_t)(v->budget_start - v->budget);
    if (v->trace && exit >= ENGINE_EXIT_SHUTDOWN)
        soft_trace(v, "exit %d at rip %#llx %s", (int)exit, (unsigned long long)v->gpr[16],
                   v->failed ? v->error : "");
    return exit;
}
