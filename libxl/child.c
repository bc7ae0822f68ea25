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

/* ---- SIGCHLD */

static pthread_mutex_t sigchld_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, libxl__ctx) sigchld_ctxs = LIST_HEAD_INITIALIZER(sigchld_ctxs);
static struct sigaction sigchld_before;

static void sigchld_arrived(int sig)
{
    libxl_ctx *ctx;
    int saved = errno;

    /* the list only changes with SIGCHLD blocked and not while a handler can run: see below */
    LIST_FOREACH(ctx, &sigchld_ctxs, sigchld_entry)
        if (write(ctx->sigchld_pipe[1], "", 1) < 0) {
            /* full: there is a wake-up in it already */
        }
    errno = saved;
}

/* Other threads may be in the handler, so the handler is out of place while the list changes; a
 * signal lost meanwhile is made up for by a wake-up of all. */
static void change_sigchld_ctxs(libxl_ctx *ctx, bool add)
{
    struct sigaction ours = { .sa_handler = sigchld_arrived,
                              .sa_flags = SA_NOCLDSTOP | SA_RESTART };
    bool had;

    pthread_mutex_lock(&sigchld_lock);
    had = !LIST_EMPTY(&sigchld_ctxs);
    if (had)
        sigaction(SIGCHLD, &sigchld_before, NULL);
    if (add)
        LIST_INSERT_HEAD(&sigchld_ctxs, ctx, sigchld_entry);
    else
        LIST_REMOVE(ctx, sigchld_entry);
    if (!LIST_EMPTY(&sigchld_ctxs)) {
        sigaction(SIGCHLD, &ours, had ? NULL : &sigchld_before);
        sigchld_arrived(SIGCHLD);
    }
    pthread_mutex_unlock(&sigchld_lock);
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
    change_sigchld_ctxs(ctx, false);
    lx_fd_deregister(gc, &ctx->sigchld_efd);
    close(ctx->sigchld_pipe[0]);
    close(ctx->sigchld_pipe[1]);
}

static void start_sigchld(struct lx_gc *gc)
{
    libxl_ctx *ctx = gc->ctx;

    if (pipe2(ctx->sigchld_pipe, O_CLOEXEC | O_NONBLOCK)) {
        LX_LOGE(ERROR, "no pipe for SIGCHLD; the program's children will not be reaped");
        return;
    }
    if (lx_fd_register(gc, &ctx->sigchld_efd, sigchld_readable, ctx->sigchld_pipe[0], POLLIN)) {
        close(ctx->sigchld_pipe[0]);
        close(ctx->sigchld_pipe[1]);
        return;
    }
    change_sigchld_ctxs(ctx, true);
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
    if (lx_fd_active(&ctx->sigchld_efd)) {
        sigaction(SIGCHLD, &sigchld_before, NULL);
        close(ctx->sigchld_pipe[0]);
        close(ctx->sigchld_pipe[1]);
    }
}
