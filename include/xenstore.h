/* SPDX-License-Identifier: MIT */
/*
 * libxenstore: a client of the store, over its Unix socket or, in a domain, /dev/xen/xenbus.
 *
 * A handle may be used by many threads; their requests take turns. Functions that return bool or a
 * pointer report failure as false or NULL with errno; returned pointers are malloc()ed and the
 * caller's to free(). Paths are absolute ("/local/domain/1/name"), or, over /dev/xen/xenbus, may be
 * relative to the domain's own directory. Limits are in xen/io/xs_wire.h; a request beyond them
 * fails with E2BIG.
 */
#ifndef XENSTORE_H
#define XENSTORE_H

#include <xenstore_lib.h>

typedef uint32_t xs_transaction_t;
struct xs_handle;

/* "Outside any transaction". */
#define XBT_NULL 0

/* Flags of xs_open(). The first two are accepted and mean nothing. */
#define XS_OPEN_READONLY   (1UL << 0)
#define XS_OPEN_SOCKETONLY (1UL << 1)
/*
 * Once xs_unwatch() has returned, xs_read_watch() delivers no event that the watch caused. Watches
 * are told apart by token and by the event's path lying below theirs.
 */
#define XS_UNWATCH_FILTER  (1UL << 2)

/* Connects: the socket first, then the device. After fork() the handle is the parent's alone. */
struct xs_handle *xs_open(unsigned long flags);
/* Ends watches, transactions and the reader thread. NULL is fine. */
void xs_close(struct xs_handle *h);

/* Older names of xs_open(0) and xs_close(). */
struct xs_handle *xs_daemon_open(void);
struct xs_handle *xs_domain_open(void);
struct xs_handle *xs_daemon_open_readonly(void);
void xs_daemon_close(struct xs_handle *h);

/* In a child after fork(): frees the child's copy and leaves the parent's connection alone. */
void xs_daemon_destroy_postfork(struct xs_handle *h);

/* Names of the children, *num of them; one free() frees all. Never NULL for an empty directory. */
char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num);

/* The value, with a NUL behind it that *len (which may be NULL) does not count. */
void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len);

/* Sets the value, making the node and those above it if need be. */
bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
              unsigned int len);

/* Makes an empty node; an existing one is left as it is. */
bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path);

/* Removes the node and all below it. One that is missing is fine if its parent exists. */
bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path);

/* Always fails with ENOSYS: the operation has left the protocol. */
bool xs_restrict(struct xs_handle *h, unsigned domid);

/* The node's permissions, *num of them. */
struct xs_permissions *xs_get_permissions(struct xs_handle *h, xs_transaction_t t,
                                          const char *path, unsigned int *num);

/* Replaces them; for the owner only, and only a control domain may change who that is. */
bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
                        struct xs_permissions *perms, unsigned int num_perms);

/*
 * Asks for an event (path, token) now and whenever the node or one below it changes.
 * "@introduceDomain" and "@releaseDomain" stand for domains' coming and going.
 */
bool xs_watch(struct xs_handle *h, const char *path, const char *token);
bool xs_unwatch(struct xs_handle *h, const char *path, const char *token);

/*
 * xs_watch() for changes no more than `depth` levels below path: with 0 of the node alone, with 1 of its children
 * too. With 1 the special names' events come with the domain's number ("@releaseDomain/7") and not plain. xs_unwatch()
 * ends either. ENOSYS: the daemon lacks XENSTORE_SERVER_FEATURE_WATCHDEPTH; or, over /dev/xen/xenbus, path is a
 * special name and depth is not 0, as the kernel does not let that through.
 */
bool xs_watch_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth);
/* The same where it can be had, else xs_watch(), whose events are more. Not for special names. */
bool xs_watch_try_depth(struct xs_handle *h, const char *path, const char *token, unsigned int depth);

/* Readable while events wait; to be polled only, and drained by xs_check_watch(). -1 with errno. */
int xs_fileno(struct xs_handle *h);

/*
 * The next event: an array indexed by XS_WATCH_PATH and XS_WATCH_TOKEN, freed by one free(). NULL
 * with EAGAIN if none waits, or with the connection's error.
 */
char **xs_check_watch(struct xs_handle *h);
/* The same, waiting for one. *num (which may be NULL) is set to 2. */
char **xs_read_watch(struct xs_handle *h, unsigned int *num);

/* Begins a transaction: a view of the store that others' changes do not reach. XBT_NULL: failed. */
xs_transaction_t xs_transaction_start(struct xs_handle *h);
/* Ends it. EAGAIN: what it read has changed; do it again from the start. */
bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort);

/* For control domains: tells the store of a domain's ring page (frame) and event channel. */
bool xs_introduce_domain(struct xs_handle *h, unsigned int domid, unsigned long mfn,
                         unsigned int eventchn);
/* Domain domid shares target's rights from now on. */
bool xs_set_target(struct xs_handle *h, unsigned int domid, unsigned int target);
/* A domain that had shut down (suspended) runs again. */
bool xs_resume_domain(struct xs_handle *h, unsigned int domid);
/* The store lets go of the domain's ring page. */
bool xs_release_domain(struct xs_handle *h, unsigned int domid);
/* "/local/domain/N". */
char *xs_get_domain_path(struct xs_handle *h, unsigned int domid);
bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid);

/*
 * What the daemon offers to the caller, or to domain domid, as a sum of XENSTORE_SERVER_FEATURE_*. A domain's may
 * be set before its introduction; ones that the daemon does not have are EINVAL. A daemon older than Xen 4.22's
 * answers ENOSYS. *features is set on success only.
 */
bool xs_get_features_supported(struct xs_handle *h, unsigned int *features);
bool xs_get_features_domain(struct xs_handle *h, unsigned int domid, unsigned int *features);
bool xs_set_features_domain(struct xs_handle *h, unsigned int domid, unsigned int features);

/*
 * What unprivileged domains may have the daemon hold: names of quotas, *num of them, in an array that one free()
 * frees with all of them; the value of one, for all domains that have none of their own, or for one domain.
 * 4294967295 is no limit (and so is 0 for our daemon). For control domains. ENOSYS as above.
 */
const char **xs_get_quota_names(struct xs_handle *h, unsigned int *num);
bool xs_get_global_quota(struct xs_handle *h, const char *quota, unsigned int *value);
bool xs_set_global_quota(struct xs_handle *h, const char *quota, unsigned int value);
bool xs_get_domain_quota(struct xs_handle *h, unsigned int domid, const char *quota, unsigned int *value);
bool xs_set_domain_quota(struct xs_handle *h, unsigned int domid, const char *quota, unsigned int value);

/*
 * Krypton's: n questions, on their way to the daemon together, where each of the calls above waits for its answer. An
 * answer is as the wire has it: a value; names, or permissions, each with its NUL. Either reply is set, for the
 * caller to free, len bytes with a NUL behind them, or err is the question's errno: E2BIG for a list of children that
 * is too long for one message, which xs_directory() gets. False with errno, and no replies, when the connection fails.
 */
enum xs_question { XS_ASK_VALUE, XS_ASK_CHILDREN, XS_ASK_PERMISSIONS };
struct xs_ask {
    enum xs_question what;
    const char *path;
    char *reply;
    unsigned int len;
    int err;
};
bool xs_ask_many(struct xs_handle *h, xs_transaction_t t, struct xs_ask *ask, unsigned int n);

/*
 * Krypton's: copies src and all below it, values and permissions, to dst, in one request; all or nothing. dst must not
 * be there (EEXIST) nor lie within src (EINVAL); what is missing above it is made as by xs_write(). Each node must
 * be readable (EACCES), and a guest owns what it makes. ENOSYS: the daemon, Xen's for one, lacks
 * XENSTORE_SERVER_FEATURE_KR_CLONE.
 */
bool xs_clone(struct xs_handle *h, xs_transaction_t t, const char *src, const char *dst);

/* child is parent or lies below it. Compares strings; no connection is involved. */
bool xs_path_is_subpath(const char *parent, const char *child);

/* Sends a command to the daemon itself; the answer as a string. len counts data's bytes. */
char *xs_control_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len);
/* Its older name. */
char *xs_debug_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len);

/* The port on which domain domid wants to be told to suspend, or -1. */
int xs_suspend_evtchn_port(int domid);

#endif
