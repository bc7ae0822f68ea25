/* SPDX-License-Identifier: MIT */
/*
 * libxl's events, and how a program lends libxl its main loop.
 *
 * A program picks one way to drive libxl:
 *   - nothing: it only makes synchronous calls, and libxl polls inside them;
 *   - libxl_event_wait(), which runs libxl's own loop until an event comes;
 *   - libxl_osevent_beforepoll()/_afterpoll() around its own poll();
 *   - libxl_osevent_register_hooks(), for a main loop with descriptors and timeouts of its own.
 *
 * Callbacks out of libxl run without its lock, on the thread that is inside libxl at that moment.
 */
#ifndef LIBXL_EVENT_H
#define LIBXL_EVENT_H

#include <libxl.h>
#include <poll.h>
#include <sys/time.h>

/* ---- events */

#define LIBXL_EVENTMASK_ALL (~(unsigned long)0)

/* Not 0 to accept the event. Must not call libxl. */
typedef int libxl_event_predicate(const libxl_event *event, void *user);

/* The first waiting event whose type's bit is in typemask and that predicate (may be NULL) accepts;
 * ERROR_NOT_READY if there is none. The caller owns *event_r and frees it with libxl_event_free. */
int libxl_event_check(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                      libxl_event_predicate *predicate, void *predicate_user)
    LIBXL_EXTERNAL_CALLERS_ONLY;
/* The same, waiting as long as it takes. */
int libxl_event_wait(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                     libxl_event_predicate *predicate, void *predicate_user)
    LIBXL_EXTERNAL_CALLERS_ONLY;
void libxl_event_free(libxl_ctx *ctx, libxl_event *event);

/* Events whose type's bit is in the mask go to event_occurs, which then owns them, and not to the
 * queue. disaster, if set, hears that events of a type may have been lost. */
typedef struct libxl_event_hooks {
    uint64_t event_occurs_mask;
    void (*event_occurs)(void *user, libxl_event *event);
    void (*disaster)(void *user, libxl_event_type type, const char *msg, int errnoval);
} libxl_event_hooks;

/* hooks stays in use until replaced; NULL ends it. */
void libxl_event_register_callbacks(libxl_ctx *ctx, const libxl_event_hooks *hooks, void *user);

/* ---- asking for events. Each carries the ev_user given here as for_user */

typedef struct libxl__evgen_domain_death libxl_evgen_domain_death;
/* DOMAIN_SHUTDOWN once when the domain shuts down, DOMAIN_DEATH once when it is gone. */
int libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid, libxl_ev_user user,
                                libxl_evgen_domain_death **evgen_out);
void libxl_evdisable_domain_death(libxl_ctx *ctx, libxl_evgen_domain_death *evgen);

typedef struct libxl__evgen_disk_eject libxl_evgen_disk_eject;
/* DISK_EJECT when the guest opens an emulated CD drive. */
int libxl_evenable_disk_eject(libxl_ctx *ctx, uint32_t domid, const char *vdev, libxl_ev_user user,
                              libxl_evgen_disk_eject **evgen_out);
void libxl_evdisable_disk_eject(libxl_ctx *ctx, libxl_evgen_disk_eject *evgen);

/* ---- a poll() loop of the program's own */

struct pollfd;

/* Fills in up to *nfds_io descriptors, sets *nfds_io to the number needed (ERROR_BUFFERFULL if that
 * is more), and lowers *timeout_upd (milliseconds, -1 = none) to libxl's next timeout. */
int libxl_osevent_beforepoll(libxl_ctx *ctx, int *nfds_io, struct pollfd *fds, int *timeout_upd,
                             struct timeval now) LIBXL_EXTERNAL_CALLERS_ONLY;
/* To be called with what poll() answered and the time now. */
void libxl_osevent_afterpoll(libxl_ctx *ctx, int nfds, const struct pollfd *fds, struct timeval now)
    LIBXL_EXTERNAL_CALLERS_ONLY;

/* ---- a main loop of the program's own */

/*
 * How libxl asks the program to watch something. The program keeps for_libxl and gives it back with
 * libxl_osevent_occurred_*; what it stores through for_app_registration is its own. The register
 * and modify hooks return 0, or not 0 if they cannot. Times are absolute (gettimeofday). A timeout
 * happens once; timeout_modify is only ever used to make it happen at once (time {0,0}), and
 * timeout_deregister is not called by libxl. The hooks are called with libxl's lock held and must
 * not call libxl.
 */
typedef struct libxl_osevent_hooks {
    int (*fd_register)(void *user, int fd, void **for_app_registration_out, short events,
                       void *for_libxl);
    int (*fd_modify)(void *user, int fd, void **for_app_registration_update, short events);
    void (*fd_deregister)(void *user, int fd, void *for_app_registration);
    int (*timeout_register)(void *user, void **for_app_registration_out, struct timeval abs,
                            void *for_libxl);
    int (*timeout_modify)(void *user, void **for_app_registration_update, struct timeval abs);
    void (*timeout_deregister)(void *user, void *for_app_registration);
} libxl_osevent_hooks;

/* Once, before anything else is asked of ctx. hooks must stay valid as long as ctx. */
void libxl_osevent_register_hooks(libxl_ctx *ctx, const libxl_osevent_hooks *hooks, void *user);
void libxl_osevent_occurred_fd(libxl_ctx *ctx, void *for_libxl, int fd, short events, short revents)
    LIBXL_EXTERNAL_CALLERS_ONLY;
/* for_libxl is spent by this call. */
void libxl_osevent_occurred_timeout(libxl_ctx *ctx, void *for_libxl) LIBXL_EXTERNAL_CALLERS_ONLY;

/* ---- children */

/* Who reaps libxl's child processes. */
typedef enum {
    /* libxl, while it has children; it then owns SIGCHLD. The default. */
    libxl_sigchld_owner_libxl,
    /* The program; it tells libxl with libxl_childproc_reaped. */
    libxl_sigchld_owner_mainloop,
    /* libxl, always, and all of the program's children as well (reaped_callback hears of them). */
    libxl_sigchld_owner_libxl_always,
    /* libxl, always, but only children that libxl started. */
    libxl_sigchld_owner_libxl_always_selective_reap,
} libxl_sigchld_owner;

typedef struct {
    libxl_sigchld_owner chldowner;
    /* In place of fork(), or NULL. */
    pid_t (*fork_replacement)(void *user);
    /* 0 if the child was the program's, ERROR_UNKNOWN_CHILD if not; NULL if it has none. */
    int (*reaped_callback)(pid_t pid, int status, void *user);
} libxl_childproc_hooks;

/* hooks NULL restores the default. Not while libxl has children. */
void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user);
/* 0, or ERROR_UNKNOWN_CHILD if it is none of libxl's. */
int libxl_childproc_reaped(libxl_ctx *ctx, pid_t pid, int status) LIBXL_EXTERNAL_CALLERS_ONLY;
/* For programs that own SIGCHLD and share it with libxl: a child may have ended. */
void libxl_childproc_sigchld_occurred(libxl_ctx *ctx) LIBXL_EXTERNAL_CALLERS_ONLY;
/* In a child that will go on without exec: gives up everything shared with the parent. After it
 * only libxl_ctx_free may be called on an old ctx. */
void libxl_postfork_child_noexec(libxl_ctx *ctx);

#endif
