/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/domproc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xen/sched.h>

#include "common/log.h"
#include "hypervisor/core/console.h"
#include "hypervisor/core/cpu_policy.h"
#include "hypervisor/core/cpu_share.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/sched.h"

#define DESCRIBE_TIMEOUT_MS 15000
#define MAX_FDS 4

/* A message that a socket would not take yet. */
struct queued {
    struct queued *next;
    size_t len;
    int nr_fds, fd[MAX_FDS];
    uint8_t data[];
};

struct sendq {
    struct queued *head, **tail;
    size_t bytes;
    unsigned msgs;
};

extern char **environ;

/* posix_spawn leaves no window in which the child runs our code with our descriptors. */
int domproc_spawn(struct core *core, const char *mode, int *sock, pid_t *pid)
{
    char *argv[] = { (char *)(uintptr_t)core->domain_program, (char *)(uintptr_t)mode, NULL };
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    sigset_t none;
    int sv[2], rc;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
        return -1;
    }
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&at);
    /* dup2 onto itself would leave close-on-exec set, so move the end out of the way first. */
    if (sv[1] == KL_FD_CONTROL) {
        int moved = fcntl(sv[1], F_DUPFD_CLOEXEC, 10);

        close(sv[1]);
        sv[1] = moved;
    }
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&at, &none);
    posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_adddup2(&fa, sv[1], KL_FD_CONTROL);
    rc = sv[1] < 0 ? EMFILE : posix_spawn(pid, core->domain_program, &fa, &at, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&at);
    if (sv[1] >= 0) {
        close(sv[1]);
    }
    if (rc) {
        close(sv[0]);
        errno = rc;
        return -1;
    }
    *sock = sv[0];
    return 0;
}

static int take_description(struct core *core, const uint8_t *buf, ssize_t n)
{
    struct kl_description *desc;
    uint32_t nr;

    if (n < (ssize_t)sizeof(*desc)) {
        errno = EPROTO;
        return -1;
    }
    desc = malloc((size_t)n);
    if (!desc) {
        return -1;
    }
    memcpy(desc, buf, (size_t)n);
    nr = desc->nr;
    if (desc->h.op != KL_DESCRIPTION || desc->version != KL_VERSION || nr > KL_MAX_CPUID ||
        (size_t)n < sizeof(*desc) + nr * sizeof(desc->leaf[0])) {
        free(desc);
        errno = EPROTO;
        return -1;
    }
    snprintf(core->engine, sizeof(core->engine), "%.*s", (int)sizeof(desc->engine) - 1,
             desc->engine);
    snprintf(core->kvm_verdict, sizeof(core->kvm_verdict), "%.*s",
             (int)sizeof(desc->kvm_verdict) - 1, desc->kvm_verdict);
    core->tsc_khz = desc->tsc_khz;
    cpu_policy_from_leaves(&core->policy_max, desc->leaf, nr);
    core->policy_max.arch_caps = desc->arch_caps;
    core->described = true;
    free(desc);
    return 0;
}

int domproc_describe(struct core *core)
{
    static const char mode[] = "--describe";
    uint8_t *buf = malloc(KL_MAX_MSG);
    int sock = -1, rc = -1, saved, status;
    struct pollfd p = { .events = POLLIN };
    pid_t pid = -1;
    ssize_t n;

    if (!buf || core->spawn(core, mode, &sock, &pid) < 0) {
        free(buf);
        return -1;
    }
    p.fd = sock;
    if (poll(&p, 1, DESCRIBE_TIMEOUT_MS) != 1) {
        errno = ETIMEDOUT;
        goto out;
    }
    n = recv(sock, buf, KL_MAX_MSG, MSG_DONTWAIT);
    rc = take_description(core, buf, n);
out:
    saved = errno;
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    close(sock);
    free(buf);
    errno = saved;
    return rc;
}

static struct sendq *sendq_new(void)
{
    struct sendq *q = calloc(1, sizeof(*q));

    if (q) {
        q->tail = &q->head;
    }
    return q;
}

static void sendq_pop(struct sendq *q)
{
    struct queued *m = q->head;

    q->head = m->next;
    if (!q->head) {
        q->tail = &q->head;
    }
    q->bytes -= m->len;
    q->msgs--;
    for (int i = 0; i < m->nr_fds; i++) {
        close(m->fd[i]);
    }
    free(m);
}

static void sendq_free(struct sendq *q)
{
    while (q && q->head) {
        sendq_pop(q);
    }
    free(q);
}

static int send_now(int sock, const void *msg, size_t len, const int *fds, int nr_fds)
{
    union { struct cmsghdr h; char buf[CMSG_SPACE(MAX_FDS * sizeof(int))]; } c;
    struct iovec iov = { (void *)(uintptr_t)msg, len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (nr_fds) {
        memset(&c, 0, sizeof(c));
        m.msg_control = c.buf;
        m.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
        c.h.cmsg_level = SOL_SOCKET;
        c.h.cmsg_type = SCM_RIGHTS;
        c.h.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
        memcpy(CMSG_DATA(&c.h), fds, nr_fds * sizeof(int));
    }
    return sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

/* ETOOMANYREFS: the user has as many descriptors under way in sockets as it may (unix(7)). */
static bool try_later(int err)
{
    return err == EAGAIN || err == ENOBUFS || err == ETOOMANYREFS;
}

static int sendq_put(struct sendq *q, const void *msg, size_t len, const int *fds, int nr_fds)
{
    struct queued *m;

    if (q->bytes + len > SENDQ_MAX_BYTES || q->msgs >= SENDQ_MAX_MSGS) {
        errno = ENOBUFS;
        return -1;
    }
    m = malloc(sizeof(*m) + len);
    if (!m) {
        return -1;
    }
    m->next = NULL;
    m->len = len;
    m->nr_fds = 0;
    memcpy(m->data, msg, len);
    *q->tail = m;
    q->tail = &m->next;
    q->bytes += len;
    q->msgs++;
    for (int i = 0; i < nr_fds; i++) {
        m->fd[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (m->fd[i] < 0) {
            return -1;
        }
        m->nr_fds++;
    }
    return 0;
}

/*
 * Sends what waits. Returns 0 when the queue is empty or the socket full, -1 when the peer is gone.
 */
static int sendq_run(struct sendq *q, int sock, sd_event_source *src)
{
    while (q->head) {
        struct queued *m = q->head;

        if (send_now(sock, m->data, m->len, m->fd, m->nr_fds) < 0) {
            return try_later(errno) ? 0 : -1;
        }
        sendq_pop(q);
    }
    sd_event_source_set_io_events(src, EPOLLIN);
    return 0;
}

static void send_or_queue(struct domain *d, struct sendq *q, int sock, sd_event_source *src,
                          const void *msg, size_t len, const int *fds, int nr_fds)
{
    if (sock < 0 || d->proc_gone || d->proc_killed) {
        return;
    }
    if (!q->head && send_now(sock, msg, len, fds, nr_fds) == 0) {
        return;
    }
    if (!q->head && !try_later(errno)) {
        if (errno != EPIPE && errno != ECONNRESET) {
            domproc_kill(d, strerror(errno));
        }
        return;    /* its end is noticed by its pidfd */
    }
    if (sendq_put(q, msg, len, fds, nr_fds) < 0) {
        domproc_kill(d, "it does not drain its socket");
        return;
    }
    sd_event_source_set_io_events(src, EPOLLIN | EPOLLOUT);
}

static void fill_hdr(void *msg, uint32_t op, size_t len)
{
    struct kl_hdr h = { op, (uint32_t)len };

    memcpy(msg, &h, sizeof(h));
}

void domproc_send_control(struct domain *d, uint32_t op, void *msg, size_t len, const int *fds,
                          int nr_fds)
{
    fill_hdr(msg, op, len);
    if (d->out) {
        send_or_queue(d, d->out, d->sock, d->sock_src, msg, len, fds, nr_fds);
    }
}

void domproc_send(struct domain *d, uint32_t op, void *msg, size_t len, const int *fds, int nr_fds)
{
    struct hcall *hc = d->core->current;

    if (hc && hc->v && hc->d == d && hc->v->sock >= 0) {
        fill_hdr(msg, op, len);
        send_or_queue(d, hc->v->out, hc->v->sock, hc->v->src, msg, len, fds, nr_fds);
    } else {
        domproc_send_control(d, op, msg, len, fds, nr_fds);
    }
}

uint64_t domproc_sync(struct domain *d)
{
    struct kl_sync m = { .seq = ++d->sync_sent };

    p2m_flush(d);
    domproc_send_control(d, KL_SYNC, &m, sizeof(m), NULL, 0);
    return m.seq;
}

bool domproc_synced(const struct domain *d, uint64_t seq)
{
    return d->sync_done >= seq || d->dying || d->proc_gone || d->proc_killed;
}

void domproc_reply(struct vcpu *v, int64_t ret, uint32_t flags)
{
    struct kl_ret m = { .ret = ret, .flags = flags };

    fill_hdr(&m, KL_RET, sizeof(m));
    send_or_queue(v->d, v->out, v->sock, v->src, &m, sizeof(m), NULL, 0);
}

void domproc_kill(struct domain *d, const char *why)
{
    if (d->proc_gone || d->proc_killed) {
        return;
    }
    d->proc_killed = true;
    if (!d->dying) {
        kr_log(KR_WARN, "domain %u: its process is killed: %s", d->domid, why);
    }
    if (d->pidfd >= 0) {
        syscall(SYS_pidfd_send_signal, d->pidfd, SIGKILL, NULL, 0);
    } else if (d->sock >= 0) {
        shutdown(d->sock, SHUT_RDWR);    /* no process of ours behind it */
    }
    if (!d->dying) {
        domain_shutdown(d, SHUTDOWN_crash);
    }
}

static void stop_listening(struct domain *d)
{
    d->sock_src = sd_event_source_disable_unref(d->sock_src);
    if (d->sock >= 0) {
        close(d->sock);
        d->sock = -1;
    }
    for (uint32_t i = 0; i < d->nr_vcpus; i++) {
        domproc_free_vcpu(d->vcpu[i]);
    }
}

/* The process is no more. */
static int on_exit_of(sd_event_source *s, const siginfo_t *si, void *opaque)
{
    struct domain *d = opaque;

    if (si && !d->dying && !d->is_shut_down) {
        kr_log(KR_WARN, "domain %u: its process ended (%s %d)", d->domid,
               si->si_code == CLD_EXITED ? "exit status" : "signal", si->si_status);
    }
    d->proc_gone = true;
    d->run = PROC_STOPPED;
    d->pid = -1;
    d->pid_src = sd_event_source_disable_unref(d->pid_src);
    stop_listening(d);
    domain_shutdown(d, SHUTDOWN_crash);
    domain_update_run(d);
    if (d->reaper) {
        sd_event_source_set_enabled(d->reaper, SD_EVENT_ON);
    }
    domain_wake_waiters(d);
    return 0;
}

static void on_shutdown_notice(struct domain *d, const uint8_t *buf)
{
    struct kl_shutdown m;

    memcpy(&m, buf, sizeof(m));
    m.text[sizeof(m.text) - 1] = '\0';
    kr_log(KR_NOTICE, "domain %u: vcpu %u: %s", d->domid, m.vcpu, m.text);
    domain_shutdown(d, m.reason <= SHUTDOWN_MAX ? m.reason : SHUTDOWN_crash);
}

static void on_stopped(struct domain *d)
{
    if (d->run != PROC_STOPPING) {
        domproc_kill(d, "KL_STOPPED that nobody asked for");
        return;
    }
    d->run = PROC_STOPPED;
    page_bring_home(d);
    domain_update_run(d);
    domain_wake_waiters(d);
}

static void on_synced(struct domain *d, const uint8_t *buf)
{
    struct kl_sync m;

    memcpy(&m, buf, sizeof(m));
    if (m.seq > d->sync_sent || m.seq <= d->sync_done) {
        domproc_kill(d, "KL_SYNCED that nobody asked for");
        return;
    }
    d->sync_done = m.seq;
    domain_wake_waiters(d);
}

static void on_notice(struct domain *d, const uint8_t *buf, size_t n)
{
    struct kl_hdr h;

    if (n < sizeof(h)) {
        domproc_kill(d, "a notice without a header");
        return;
    }
    memcpy(&h, buf, sizeof(h));
    if (h.len != n) {
        domproc_kill(d, "a notice with a wrong length");
    } else if (h.op == KL_READY) {
        d->proc_ready = true;
        sched_apply_all(d);
        share_apply(d);
    } else if (h.op == KL_STOPPED) {
        on_stopped(d);
    } else if (h.op == KL_SYNCED && n == sizeof(struct kl_sync)) {
        on_synced(d, buf);
    } else if (h.op == KL_SHUTDOWN && n >= sizeof(struct kl_shutdown)) {
        on_shutdown_notice(d, buf);
    } else if (h.op == KL_CONSOLE) {
        console_guest_write(d, (const char *)buf + sizeof(h), n - sizeof(h));
    } else {
        domproc_kill(d, "an unknown notice");
    }
}

/*
 * A packet, never with descriptors: those are closed. Returns its length, 0 at the end, -1/errno.
 */
static ssize_t receive(int sock, void *buf, size_t len)
{
    return recv(sock, buf, len, MSG_DONTWAIT | MSG_TRUNC);
}

static int on_control(sd_event_source *s, int fd, uint32_t revents, void *opaque)
{
    struct domain *d = opaque;
    uint8_t buf[4096];
    ssize_t n;

    domain_get(d);
    if ((revents & EPOLLOUT) && sendq_run(d->out, fd, s) < 0) {
        domproc_kill(d, "cannot send");
    }
    /* Bounded, so that a process that talks without end gets its turns only. */
    for (int i = 0; i < 16 && d->sock >= 0 && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)); i++) {
        n = receive(fd, buf, sizeof(buf));
        if (n > (ssize_t)sizeof(buf)) {
            domproc_kill(d, "a notice that is too long");
            break;
        }
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        }
        if (n <= 0) {
            domproc_kill(d, "it closed its control socket");
            sd_event_source_set_enabled(s, SD_EVENT_OFF);
            if (d->pid <= 0) {    /* no process behind it (tests) */
                on_exit_of(NULL, NULL, d);
            }
            break;
        }
        on_notice(d, buf, (size_t)n);
    }
    domain_put(d);
    return 0;
}

static void on_hypercall(struct vcpu *v, const uint8_t *buf)
{
    struct kl_hypercall m;
    struct hcall *hc = &v->hc;

    memcpy(&m, buf, sizeof(m));
    hc->op = m.op;
    memcpy(hc->arg, m.arg, sizeof(hc->arg));
    hc->cr0 = m.cr0;
    hc->cr3 = m.cr3;
    hc->cr4 = m.cr4;
    hc->efer = m.efer;
    hc->compat = m.compat;
    if (m.cpl != 0) {
        domproc_reply(v, -EPERM, 0);    /* Xen: hypercalls from CPL 0 only */
        return;
    }
    hypercall_start(hc);
}

static int on_vcpu(sd_event_source *s, int fd, uint32_t revents, void *opaque)
{
    struct vcpu *v = opaque;
    struct domain *d = v->d;
    uint8_t buf[sizeof(struct kl_hypercall)];
    struct kl_hdr h;
    ssize_t n;

    domain_get(d);
    if ((revents & EPOLLOUT) && sendq_run(v->out, fd, s) < 0) {
        domproc_kill(d, "cannot send to a vCPU");
    }
    if (v->sock >= 0 && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        n = receive(fd, buf, sizeof(buf));
        memcpy(&h, buf, sizeof(h));
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            goto out;
        }
        if (n <= 0) {
            sd_event_source_set_enabled(s, SD_EVENT_OFF);
            goto out;    /* the end of the process shows by its pidfd */
        }
        if (n != sizeof(buf) || h.op != KL_HYPERCALL || h.len != n || v->hc.busy) {
            domproc_kill(d, "a malformed hypercall message");
            goto out;
        }
        if (!d->dying) {
            on_hypercall(v, buf);
        }
    }
out:
    domain_put(d);
    return 0;
}

static void set_buffers(int sock)
{
    int size = 1 << 20;

    setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

int domproc_start(struct domain *d)
{
    struct core *core = d->core;
    struct kl_setup m = {
        .version = KL_VERSION, .domid = d->domid, .max_vcpus = d->max_vcpus,
        .emulation_flags = d->config.arch.emulation_flags, .gpa_limit = 1ull << KR_GPA_BITS,
        .ram_pages = P2M_MAX_GFN, .xen_pages = KL_XEN_PAGES, .tsc_khz = core->tsc_khz,
    };
    int fds[3] = { d->ram_fd, d->xen_fd, d->state_fd };

    d->out = sendq_new();
    if (!d->out) {
        return -ENOMEM;
    }
    memcpy(m.uuid, d->handle, sizeof(m.uuid));
    if (core->spawn(core, NULL, &d->sock, &d->pid) < 0) {
        kr_log(KR_ERR, "cannot start %s: %s", core->domain_program, strerror(errno));
        return -ENODEV;
    }
    set_buffers(d->sock);
    if (d->pid > 0) {
        d->pidfd = (int)syscall(SYS_pidfd_open, d->pid, 0);
        if (d->pidfd < 0 || sd_event_add_child_pidfd(core->event, &d->pid_src, d->pidfd, WEXITED,
                                                     on_exit_of, d) < 0) {
            kill(d->pid, SIGKILL);
            waitpid(d->pid, NULL, 0);
            d->pid = -1;
            return -ENOMEM;
        }
    }
    if (sd_event_add_io(core->event, &d->sock_src, d->sock, EPOLLIN, on_control, d) < 0) {
        return -ENOMEM;
    }
    domproc_send_control(d, KL_SETUP, &m, sizeof(m), fds, 3);
    return 0;
}

int domproc_add_vcpu(struct vcpu *v)
{
    struct kl_vcpu m = { .id = v->id };
    int sv[2];

    v->out = sendq_new();
    if (!v->out) {
        return -ENOMEM;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
        return -ENOMEM;
    }
    v->sock = sv[0];
    set_buffers(v->sock);
    if (sd_event_add_io(v->d->core->event, &v->src, v->sock, EPOLLIN, on_vcpu, v) < 0) {
        close(sv[1]);
        return -ENOMEM;
    }
    domproc_send_control(v->d, KL_VCPU, &m, sizeof(m), &sv[1], 1);
    close(sv[1]);
    return 0;
}

void domproc_free_vcpu(struct vcpu *v)
{
    hypercall_cancel(&v->hc);
    v->src = sd_event_source_disable_unref(v->src);
    if (v->sock >= 0) {
        close(v->sock);
        v->sock = -1;
    }
    sendq_free(v->out);
    v->out = NULL;
}

void domproc_free(struct domain *d)
{
    d->pid_src = sd_event_source_disable_unref(d->pid_src);
    stop_listening(d);
    sendq_free(d->out);
    d->out = NULL;
    if (d->pid > 0) {
        kill(d->pid, SIGKILL);
        waitpid(d->pid, NULL, 0);
        d->pid = -1;
    }
    if (d->pidfd >= 0) {
        close(d->pidfd);
        d->pidfd = -1;
    }
    d->proc_gone = true;
}
