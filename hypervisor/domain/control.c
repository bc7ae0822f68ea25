/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "hypervisor/domain/control.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <xen/domctl.h>
#include <xen/hvm/params.h>

#include "common/log.h"
#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/cap.h"
#include "hypervisor/domain/event.h"
#include "hypervisor/domain/ioreq.h"
#include "hypervisor/domain/lapic.h"
#include "hypervisor/domain/memory.h"
#include "hypervisor/domain/time.h"
#include "hypervisor/domain/vcpu.h"

#define EPOLL_CONTROL UINT64_MAX    /* epoll data of the control socket; others are vCPUs */
#define EVENTS_AT_ONCE 32

int control_recv(int sock, struct control_msg *msg)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * CONTROL_MAX_FDS)];
    } control;
    struct iovec iov = { msg->bytes, sizeof(msg->bytes) };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                         .msg_controllen = sizeof(control) };
    ssize_t n;

    for (int i = 0; i < CONTROL_MAX_FDS; i++) {
        msg->fd[i] = -1;
    }
    do {
        n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -1;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            size_t len = c->cmsg_len - CMSG_LEN(0);

            memcpy(msg->fd, CMSG_DATA(c), len < sizeof(msg->fd) ? len : sizeof(msg->fd));
        }
    }
    if ((size_t)n < sizeof(msg->h) || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
        msg->h.len != n) {
        control_close_fds(msg);
        errno = n ? EPROTO : ECONNRESET;
        return -1;
    }
    return 0;
}

int control_send(int sock, const void *msg, size_t len)
{
    ssize_t n;

    do {
        n = send(sock, msg, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)len ? 0 : -1;
}

void control_close_fds(struct control_msg *msg)
{
    for (int i = 0; i < CONTROL_MAX_FDS; i++) {
        if (msg->fd[i] >= 0) {
            close(msg->fd[i]);
            msg->fd[i] = -1;
        }
    }
}

/* Whether a message holds what its header and count promise. */
static bool whole(const struct control_msg *msg, size_t fixed, size_t each, uint32_t nr)
{
    return msg->h.len >= fixed && nr <= (msg->h.len - fixed) / (each ? each : 1);
}

static int update_map(struct machine *m, struct control_msg *msg)
{
    if (!whole(msg, sizeof(msg->map), sizeof(msg->map.run[0]), msg->map.nr)) {
        errno = EPROTO;
        return -1;
    }
    for (uint32_t i = 0; i < msg->map.nr; i++) {
        if (memory_map(m, &msg->map.run[i], msg->fd[0]) < 0) {
            return -1;
        }
    }
    return 0;
}

static int update_unmap(struct machine *m, struct control_msg *msg)
{
    if (!whole(msg, sizeof(msg->unmap), sizeof(msg->unmap.run[0]), msg->unmap.nr)) {
        errno = EPROTO;
        return -1;
    }
    for (uint32_t i = 0; i < msg->unmap.nr; i++) {
        if (memory_unmap(m, &msg->unmap.run[i]) < 0) {
            return -1;
        }
    }
    if (current) {
        current->unmapped = true;
    }
    return 0;
}

static int update_port(struct machine *m, struct control_msg *msg)
{
    int recv = msg->fd[0], send = msg->fd[1];

    if (!whole(msg, sizeof(msg->port), 0, 0)) {
        errno = EPROTO;
        return -1;
    }
    if (msg->port.kind == KL_PORT_XEN && send < 0) {
        send = recv;
        recv = -1;
    }
    msg->fd[0] = msg->fd[1] = -1;
    return event_port_update(m, &msg->port, recv, send);
}

static void set_callback_via(struct machine *m, uint64_t via)
{
    atomic_store(&m->callback_via, via);
    m->state->callback_via = (uint32_t)via;
    if (current) {
        time_set_narrow(m, m->ops->mode(current->ev) != 64);
    }
    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        vcpu_kick(&m->vcpu[i]);
    }
}

static int update_param(struct machine *m, struct control_msg *msg)
{
    if (!whole(msg, sizeof(msg->param), 0, 0)) {
        errno = EPROTO;
        return -1;
    }
    switch (msg->param.index) {
    case HVM_PARAM_CALLBACK_IRQ:
        set_callback_via(m, msg->param.value);
        break;
    case HVM_PARAM_TRIPLE_FAULT_REASON:
        atomic_store(&m->triple_fault_reason, (uint32_t)msg->param.value);
        break;
    case KL_PARAM_CPU_CAP:
        cap_set(m, msg->param.value < UINT32_MAX ? (uint32_t)msg->param.value : 0);
        break;
    case KL_PARAM_TIME_OFFSET:
        atomic_store(&m->clock.wall_shift, (int64_t)msg->param.value);
        time_publish_wallclock(m);
        break;
    }
    return 0;
}

int control_update(struct machine *m, struct control_msg *msg)
{
    int rc;

    switch (msg->h.op) {
    case KL_MAP:
        rc = update_map(m, msg);
        break;
    case KL_UNMAP:
        rc = update_unmap(m, msg);
        break;
    case KL_PORT:
        rc = update_port(m, msg);
        break;
    case KL_PARAM:
        rc = update_param(m, msg);
        break;
    default:
        rc = -1;
        errno = EPROTO;
    }
    if (rc < 0) {
        kr_log(KR_ERR, "d%u: message %u from the core: %s", m->domid, msg->h.op, strerror(errno));
    }
    control_close_fds(msg);
    return rc;
}

static int take_vcpu(struct machine *m, struct control_msg *msg)
{
    if (!whole(msg, sizeof(msg->vcpu), 0, 0) || msg->vcpu.id >= m->nr_vcpus || msg->fd[0] < 0 ||
        m->vcpu[msg->vcpu.id].sock >= 0) {
        errno = EPROTO;
        return -1;
    }
    m->vcpu[msg->vcpu.id].sock = msg->fd[0];
    msg->fd[0] = -1;
    return 0;
}

static int trigger(struct machine *m, const struct kl_trigger *t)
{
    if (t->vcpu >= m->nr_vcpus) {
        errno = EPROTO;
        return -1;
    }
    switch (t->trigger) {
    case XEN_DOMCTL_SENDTRIGGER_NMI:
        vcpu_request(&m->vcpu[t->vcpu], VCPU_REQ_NMI);
        break;
    case XEN_DOMCTL_SENDTRIGGER_INIT:
        vcpu_request(&m->vcpu[t->vcpu], VCPU_REQ_INIT);
        break;
    default:
        kr_log(KR_INFO, "d%u: trigger %u is not implemented", m->domid, t->trigger);
        break;
    }
    return 0;
}

static int ioreq_port(struct machine *m, struct control_msg *msg)
{
    int recv = msg->fd[0], send = msg->fd[1];

    msg->fd[0] = msg->fd[1] = -1;
    return ioreq_update_port(m, &msg->ioreq_port, recv, send);
}

/* The core lets one event be under way per vCPU: the last one's fields are free. */
static int inject(struct machine *m, const struct kl_inject *i)
{
    if (i->vcpu >= m->nr_vcpus) {
        errno = EPROTO;
        return -1;
    }
    m->vcpu[i->vcpu].inject = *i;
    vcpu_request(&m->vcpu[i->vcpu], VCPU_REQ_INJECT);
    return 0;
}

static int command(struct machine *m, struct control_msg *msg)
{
    switch (msg->h.op) {
    case KL_VCPU:
        return take_vcpu(m, msg);
    case KL_CPUID:
        if (!whole(msg, sizeof(msg->cpuid), sizeof(msg->cpuid.leaf[0]), msg->cpuid.nr)) {
            errno = EPROTO;
            return -1;
        }
        m->arch_caps = msg->cpuid.arch_caps;
        return cpuid_set_policy(m, msg->cpuid.leaf, msg->cpuid.nr);
    case KL_RUN:
        vcpus_run(m);
        return 0;
    case KL_STOP:
        vcpus_stop(m);
        return 0;
    case KL_TRIGGER:
        if (whole(msg, sizeof(msg->trigger), 0, 0)) {
            return trigger(m, &msg->trigger);
        }
        break;
    case KL_VIRQ:
        if (whole(msg, sizeof(msg->virq), 0, 0) && msg->virq.vcpu < m->nr_vcpus) {
            event_virq(&m->vcpu[msg->virq.vcpu], msg->virq.virq);
            return 0;
        }
        break;
    case KL_IOREQ:
        if (whole(msg, sizeof(msg->ioreq), 0, 0)) {
            return ioreq_update(m, &msg->ioreq, msg->h.len);
        }
        break;
    case KL_IOREQ_PORT:
        if (whole(msg, sizeof(msg->ioreq_port), 0, 0)) {
            return ioreq_port(m, msg);
        }
        break;
    case KL_MSI:
        if (whole(msg, sizeof(msg->msi), 0, 0)) {
            lapic_msi(m, msg->msi.addr, msg->msi.data);
            return 0;
        }
        break;
    case KL_SYNC:
        if (whole(msg, sizeof(msg->sync), 0, 0)) {
            const struct kl_sync done = { { KL_SYNCED, sizeof(done) }, msg->sync.seq };

            return control_send(m->control, &done, sizeof(done));
        }
        break;
    case KL_INJECT:
        if (whole(msg, sizeof(msg->inject), 0, 0)) {
            return inject(m, &msg->inject);
        }
        break;
    default:
        return control_update(m, msg);
    }
    errno = EPROTO;
    return -1;
}

/* Returns false when the core has gone or one of its messages made no sense. */
static bool serve_control(struct machine *m, struct control_msg *msg)
{
    int rc;

    if (control_recv(m->control, msg) < 0) {
        if (errno != ECONNRESET) {
            kr_log(KR_ERR, "d%u: control socket: %s", m->domid, strerror(errno));
        }
        return false;
    }
    rc = command(m, msg);
    if (rc < 0) {
        kr_log(KR_ERR, "d%u: command %u: %s", m->domid, msg->h.op, strerror(errno));
    }
    control_close_fds(msg);
    return rc == 0;
}

void control_loop(struct machine *m)
{
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = EPOLL_CONTROL }, ready[EVENTS_AT_ONCE];
    struct control_msg *msg = malloc(sizeof(*msg));
    bool alive = msg && epoll_ctl(m->epoll, EPOLL_CTL_ADD, m->control, &e) == 0;

    while (alive) {
        int n = epoll_wait(m->epoll, ready, EVENTS_AT_ONCE, -1);

        for (int i = 0; i < n && alive; i++) {
            if (ready[i].data.u64 == EPOLL_CONTROL) {
                alive = serve_control(m, msg);
            } else {
                event_take(&m->vcpu[ready[i].data.u64]);
            }
        }
        if (n < 0 && errno != EINTR) {
            kr_log(KR_ERR, "d%u: epoll_wait: %s", m->domid, strerror(errno));
            alive = false;
        }
    }
    free(msg);
}

long control_hypercall(struct vcpu *v, uint64_t op, const uint64_t arg[5], bool narrow, bool *stop)
{
    static __thread struct control_msg msg;
    struct machine *m = v->m;
    struct kl_hypercall call = { .h = { KL_HYPERCALL, sizeof(call) }, .op = op, .compat = narrow };

    memcpy(call.arg, arg, sizeof(call.arg));
    call.cpl = m->ops->cpl(v->ev);
    m->ops->paging(v->ev, &call.cr0, &call.cr3, &call.cr4, &call.efer);
    __atomic_add_fetch(&m->state->hypercalls_core, 1, __ATOMIC_RELAXED);
    *stop = false;
    for (;;) {
        if (v->sock < 0 || control_send(v->sock, &call, sizeof(call)) < 0) {
            break;
        }
        do {
            if (control_recv(v->sock, &msg) < 0) {
                goto gone;
            }
        } while (msg.h.op != KL_RET && control_update(m, &msg) == 0);
        control_close_fds(&msg);
        if (msg.h.op != KL_RET || msg.h.len < sizeof(msg.ret)) {
            break;
        }
        if (!(msg.ret.flags & KL_RET_AGAIN)) {
            *stop = msg.ret.flags & KL_RET_STOP;
            if (v->unmapped) {
                v->unmapped = false;
                ioreq_invalidate(v);
            }
            return msg.ret.ret;
        }
    }
gone:
    /* Without the core there is no domain. */
    kr_log(KR_ERR, "d%uv%u: lost the core", m->domid, v->id);
    _exit(1);
}

void control_shutdown(struct vcpu *v, unsigned reason, const char *text)
{
    struct kl_shutdown s = { .h = { KL_SHUTDOWN, sizeof(s) }, .reason = reason, .vcpu = v->id };

    snprintf(s.text, sizeof(s.text), "%s", text);
    kr_log(KR_NOTICE, "d%uv%u: %s", v->m->domid, v->id, text);
    control_send(v->m->control, &s, sizeof(s));
}

void control_debug_flush(struct vcpu *v)
{
    struct {
        struct kl_hdr h;
        char text[sizeof(v->debug)];
    } t = { .h = { KL_CONSOLE, (uint32_t)(sizeof(struct kl_hdr) + v->debug_len) } };

    if (v->debug_len) {
        memcpy(t.text, v->debug, v->debug_len);
        v->debug_len = 0;
        control_send(v->m->control, &t, t.h.len);
    }
}

void control_debug_char(struct vcpu *v, char c)
{
    v->debug[v->debug_len++] = c;
    if (c == '\n' || v->debug_len == sizeof(v->debug)) {
        control_debug_flush(v);
    }
}
