/* SPDX-License-Identifier: MIT */
/*
 * Children. libxl's own are awaited through pidfds, which needs no signal and disturbs nobody.
 * Only a program that hands libxl all of its children (libxl_sigchld_owner_libxl_always) makes it
 * install a SIGCHLD handler; that, and the list of contexts the handler wakes, are per process by
 * nature and the one state that libxl keeps outside a ctx.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libxl/ctx.h"

static const libxl_childproc_hooks default_hooks = { .chldowner = libxl_sigchld_owner_libxl };

/* ---- SIGCHLD. The handler may run on any thread at any time, so what it uses is never taken away: a
 * slot's pipe, once made, stays open and serves the next context that needs one. */

#define SLOTS 16

static struct {
    _Atomic int write_fd; /* 0: no pipe yet */
    int read_fd;
    bool used;
} slots[SLOTS];
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction sigchld_before;

static void sigchld_arrived(int sig)
{
    int saved = errno;

    for (int i = 0; i < SLOTS; i++) {
        int fd = slots[i].write_fd;

        if (fd > 0 && write(fd, "", 1) < 0) {
            /* full: there is a wake-up in it already */
        }
    }
    errno = saved;
}

static int slots_used(void)
{
    int n = 0;

    for (int i = 0; i < SLOTS; i++)
        n += slots[i].used;
    return n;
}

/* A slot with the handler in place, or -1. */
static int slot_get(void)
{
    struct sigaction ours = { .sa_handler = sigchld_arrived,
                              .sa_flags = SA_NOCLDSTOP | SA_RESTART };
    int i, fds[2];

    pthread_mutex_lock(&slots_lock);
    for (i = 0; i < SLOTS && slots[i].used; i++)
        continue;
    if (i < SLOTS && !slots[i].write_fd) {
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK)) {
            i = SLOTS;
        } else {
            slots[i].read_fd = fds[0];
            slots[i].write_fd = fds[1];
        }
    }
    if (i < SLOTS) {
        if (!slots_used())
            sigaction(SIGCHLD, &ours, &sigchld_before);
        slots[i].used = true;
    }
    pthread_mutex_unlock(&slots_lock);
    return i < SLOTS ? i : -1;
}

static void slot_put(int i)
{
    pthread_mutex_lock(&slots_lock);
    slots[i].used = false;
    if (!slots_used())
        sigaction(SIGCHLD, &sigchld_before, NULL);
    pthread_mutex_unlock(&slots_lock);
}

/* After fork(): the pipes are the parent's. */
static void slots_forget(void)
{
    if (slots_used())
        sigaction(SIGCHLD, &sigchld_before, NULL);
    for (int i = 0; i < SLOTS; i++) {
        if (!slots[i].write_fd)
            continue;
        close(slots[i].write_fd);
        close(slots[i].read_fd);
        slots[i].write_fd = 0;
        slots[i].used = false;
    }
}

static void child_ended(struct lx_egc *egc, struct lx_ev_child *ev, int status)
{
    pid_t pid = ev->pid;

    if (lx_fd_active(&ev->pidfd)) {
        int fd = ev->pidfd.fd;

        lx_fd_deregister(&egc->gc, &ev->pidfd);
        close(fd);
    }
    LIST_REMOVE(ev, entry);
    ev->pid = -1;
    ev->func(egc, ev, pid, status);
}

static struct lx_ev_child *find_child(libxl_ctx *ctx, pid_t pid)
{
    struct lx_ev_child *ev;

    LIST_FOREACH(ev, &ctx->children, entry)
        if (ev->pid == pid)
            return ev;
    return NULL;
}

/* Reaps every child of the program. */
static void sigchld_readable(struct lx_egc *egc, struct lx_ev_fd *efd, int fd, short events,
                             short revents)
{
    struct lx_gc *gc = &egc->gc;
    libxl_ctx *ctx = gc->ctx;
    char drop[64];
    int status;
    pid_t pid;

    while (read(fd, drop, sizeof(drop)) > 0)
        continue;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct lx_ev_child *ev = find_child(ctx, pid);

        if (ev)
            child_ended(egc, ev, status);
        else if (!ctx->child_hooks->reaped_callback ||
                 ctx->child_hooks->reaped_callback(pid, status, ctx->child_user))
            LX_LOG(WARN, "unknown child %ld ended, status %d", (long)pid, status);
    }
}

/* ---- modes */

static void stop_sigchld(struct lx_gc *gc)
{
    libxl_ctx *ctx = gc->ctx;

    if (!lx_fd_active(&ctx->sigchld_efd))
        return;
    lx_fd_deregister(gc, &ctx->sigchld_efd);
    slot_put(ctx->sigchld_slot);
}

static void start_sigchld(struct lx_gc *gc)
{
    libxl_ctx *ctx = gc->ctx;
    int slot = slot_get();

    if (slot < 0) {
        LX_LOG(ERROR, "no pipe for SIGCHLD; the program's children will not be reaped");
        return;
    }
    if (lx_fd_register(gc, &ctx->sigchld_efd, sigchld_readable, slots[slot].read_fd, POLLIN)) {
        slot_put(slot);
        return;
    }
    ctx->sigchld_slot = slot;
    sigchld_arrived(SIGCHLD); /* some child may have ended before */
}

void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user)
{
    LX_GC(ctx);

    lx_lock(ctx);
    if (!LIST_EMPTY(&ctx->children))
        LX_LOG(WARN, "the program changes how children are reaped while there are some");
    stop_sigchld(gc);
    ctx->child_hooks = hooks ? hooks : &default_hooks;
    ctx->child_user = user;
    if (ctx->child_hooks->chldowner == libxl_sigchld_owner_libxl_always)
        start_sigchld(gc);
    lx_unlock(ctx);
}

void lx_children_init(libxl_ctx *ctx)
{
    LIST_INIT(&ctx->children);
    ctx->child_hooks = &default_hooks;
    lx_fd_idle(&ctx->sigchld_efd);
}

void lx_children_free(libxl_ctx *ctx)
{
    LX_GC(ctx);

    stop_sigchld(gc);
}

/* ---- one child */

void lx_child_idle(struct lx_ev_child *ev)
{
    memset(ev, 0, sizeof(*ev));
    ev->pid = -1;
    lx_fd_idle(&ev->pidfd);
}

static void pidfd_readable(struct lx_egc *egc, struct lx_ev_fd *efd, int fd, short events,
                           short revents)
{
    struct lx_gc *gc = &egc->gc;
    struct lx_ev_child *ev =
        (struct lx_ev_child *)((char *)efd - offsetof(struct lx_ev_child, pidfd));
    int status;
    pid_t r = waitpid(ev->pid, &status, WNOHANG);

    if (r == ev->pid) {
        child_ended(egc, ev, status);
    } else if (r < 0) {
        /* somebody else has reaped it against the rules: its end is known, its status is not */
        LX_LOGE(ERROR, "child %ld was reaped by the program", (long)ev->pid);
        child_ended(egc, ev, -1);
    }
}

pid_t lx_child_fork(struct lx_gc *gc, struct lx_ev_child *ev, lx_child_callback *func)
{
    libxl_ctx *ctx = gc->ctx;
    const libxl_childproc_hooks *hooks = ctx->child_hooks;
    pid_t pid = hooks->fork_replacement ? hooks->fork_replacement(ctx->child_user) : fork();
    int fd, rc;

    if (pid < 0) {
        LX_LOGE(ERROR, "fork failed");
        return ERROR_FAIL;
    }
    if (!pid)
        return 0;
    ev->pid = pid;
    ev->func = func;
    LIST_INSERT_HEAD(&ctx->children, ev, entry);
    if (hooks->chldowner == libxl_sigchld_owner_mainloop ||
        hooks->chldowner == libxl_sigchld_owner_libxl_always)
        return pid;
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    rc = fd < 0 ? ERROR_FAIL : lx_fd_register(gc, &ev->pidfd, pidfd_readable, fd, POLLIN);
    if (!rc)
        return pid;
    LX_LOGE(ERROR, "cannot watch child %ld", (long)pid);
    if (fd >= 0)
        close(fd);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    LIST_REMOVE(ev, entry);
    ev->pid = -1;
    return rc;
}

int libxl_childproc_reaped(libxl_ctx *ctx, pid_t pid, int status)
{
    struct lx_ev_child *ev;
    struct lx_egc egc;

    lx_lock(ctx);
    lx_egc_init(&egc, ctx);
    ev = find_child(ctx, pid);
    if (ev)
        child_ended(&egc, ev, status);
    lx_egc_unlock(&egc);
    return ev ? 0 : ERROR_UNKNOWN_CHILD;
}

void libxl_childproc_sigchld_occurred(libxl_ctx *ctx)
{
    struct lx_ev_child *ev, *next;
    struct lx_egc egc;
    int status;

    lx_lock(ctx);
    lx_egc_init(&egc, ctx);
    for (ev = LIST_FIRST(&ctx->children); ev; ev = next) {
        next = LIST_NEXT(ev, entry);
        if (!lx_fd_active(&ev->pidfd) && waitpid(ev->pid, &status, WNOHANG) == ev->pid)
            child_ended(&egc, ev, status);
    }
    lx_egc_unlock(&egc);
}

void libxl_postfork_child_noexec(libxl_ctx *ctx)
{
    /* The parent's connections must not be used or kept alive from here. */
    if (ctx->xsh) {
        xs_daemon_destroy_postfork(ctx->xsh);
        ctx->xsh = NULL;
    }
    slots_forget();
    ctx->sigchld_efd.fd = -1; /* the program's main loop, if it has one, is the parent's as well */
}
