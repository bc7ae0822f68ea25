/* SPDX-License-Identifier: MIT */
/*
 * What libxl can wait for: a descriptor, a time, a change in xenstore, the end of a child. Each is
 * a struct that its owner embeds, sets idle with the _idle function, registers, and deregisters
 * (harmless when idle). Callbacks run with the lock held and may deregister anything, themselves
 * included.
 *
 * An egc ("event gc") accompanies every entry from a main loop: it collects what must be told to
 * the program, which happens after the lock is given up.
 */
#ifndef LX_EV_H
#define LX_EV_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/time.h>

#include <libxl.h>
#include <libxl_event.h>

#include "libxl/gc.h"

struct lx_ao;
struct lx_egc;
struct lx_nexus;
struct lx_progress;

struct lx_egc {
    struct lx_gc gc;
    TAILQ_HEAD(, libxl_event) events;      /* for the program's event_occurs */
    TAILQ_HEAD(, lx_ao) aos;               /* for their completion callbacks */
    TAILQ_HEAD(, lx_progress) progress;    /* for progress callbacks */
};

void lx_egc_init(struct lx_egc *egc, libxl_ctx *ctx);
/* Gives up the lock (taken once), runs the program's callbacks, frees the egc's memory. */
void lx_egc_unlock(struct lx_egc *egc);

/* ---- descriptors */

struct lx_ev_fd;
typedef void lx_fd_callback(struct lx_egc *egc, struct lx_ev_fd *ev, int fd, short events,
                            short revents);

struct lx_ev_fd {
    int fd; /* -1: idle */
    short events;
    lx_fd_callback *func;
    struct lx_nexus *nexus; /* the program's registration, if it has hooks */
    LIST_ENTRY(lx_ev_fd) entry;
};

void lx_fd_idle(struct lx_ev_fd *ev);
/* ERROR_OSEVENT_REG_FAIL if the program's hook fails. */
int lx_fd_register(struct lx_gc *gc, struct lx_ev_fd *ev, lx_fd_callback *func, int fd,
                   short events);
void lx_fd_deregister(struct lx_gc *gc, struct lx_ev_fd *ev);
static inline bool lx_fd_active(const struct lx_ev_fd *ev)
{
    return ev->fd >= 0;
}

/* ---- times */

struct lx_ev_time;
/* rc: ERROR_TIMEDOUT, or ERROR_ABORTED if the operation is being aborted. ev is idle by then. */
typedef void lx_time_callback(struct lx_egc *egc, struct lx_ev_time *ev, int rc);

struct lx_ev_time {
    lx_time_callback *func; /* NULL: idle */
    struct timeval abs;
    struct lx_ao *ao;       /* whose abort ends the wait, or NULL */
    struct lx_nexus *nexus;
    TAILQ_ENTRY(lx_ev_time) entry;
    LIST_ENTRY(lx_ev_time) ao_entry;
};

void lx_time_idle(struct lx_ev_time *ev);
int lx_time_register(struct lx_gc *gc, struct lx_ao *ao, struct lx_ev_time *ev,
                     lx_time_callback *func, unsigned milliseconds);
void lx_time_deregister(struct lx_gc *gc, struct lx_ev_time *ev);

/* ---- xenstore */

struct lx_ev_xswatch;
/* path: the node that changed, at or below the one watched. */
typedef void lx_watch_callback(struct lx_egc *egc, struct lx_ev_xswatch *ev, const char *watched,
                               const char *path);

struct lx_ev_xswatch {
    char *path; /* NULL: idle */
    unsigned slot;
    uint32_t count;
    lx_watch_callback *func;
};

void lx_watch_idle(struct lx_ev_xswatch *ev);
/* The callback comes once at the start, as xenstore has it. */
int lx_watch_register(struct lx_gc *gc, struct lx_ev_xswatch *ev, lx_watch_callback *func,
                      const char *path);
void lx_watch_deregister(struct lx_gc *gc, struct lx_ev_xswatch *ev);

/* ---- children */

struct lx_ev_child;
typedef void lx_child_callback(struct lx_egc *egc, struct lx_ev_child *ev, pid_t pid, int status);

struct lx_ev_child {
    pid_t pid; /* -1: idle */
    lx_child_callback *func;
    struct lx_ev_fd pidfd;
    LIST_ENTRY(lx_ev_child) entry;
};

void lx_child_idle(struct lx_ev_child *ev);
/* As fork(): the pid, 0 in the child, or a negative libxl_error. There is no deregistering: a child
 * that is no longer wanted is to be killed, and awaited. */
pid_t lx_child_fork(struct lx_gc *gc, struct lx_ev_child *ev, lx_child_callback *func);

/* ---- between the files of the event machine */

/* Dispatches to times that have come, at most those of now. */
void lx_time_dispatch(struct lx_egc *egc, struct timeval now);
void lx_time_fire(struct lx_egc *egc, struct lx_ev_time *ev, int rc);
struct timeval lx_now(void);

/* osevent.c: tell the program's hooks, if any. */
int lx_hook_fd_register(struct lx_gc *gc, struct lx_ev_fd *ev);
void lx_hook_fd_deregister(struct lx_gc *gc, struct lx_ev_fd *ev);
int lx_hook_time_register(struct lx_gc *gc, struct lx_ev_time *ev);
/* fired: the program itself reported it. */
void lx_hook_time_deregister(struct lx_gc *gc, struct lx_ev_time *ev, bool fired);
void lx_hooks_free(libxl_ctx *ctx);

void lx_children_init(libxl_ctx *ctx);
void lx_children_free(libxl_ctx *ctx);

#endif
