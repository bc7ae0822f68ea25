/* SPDX-License-Identifier: MIT */
/*
 * Where a Krypton host keeps its sockets, state and logs.
 *
 * As root the paths are Xen's own (/run/xenstored, /var/lib/xen, ...), so stock clients meet our
 * services where they look. As an ordinary user everything lives below one private directory:
 * $KRYPTON_RUNDIR, else $XDG_RUNTIME_DIR/krypton, else /tmp/krypton-UID. Setting KRYPTON_RUNDIR moves
 * the whole host there for root too, which is how several hosts (and tests) run side by side.
 *
 * Never: creates anything unless asked by kr_path_mkdir(), or trusts a directory that another
 * user owns.
 */
#ifndef KR_COMMON_PATHS_H
#define KR_COMMON_PATHS_H

#include <stddef.h>

enum kr_path {
    KR_RUN,               /* directory: our own sockets and pid files */
    KR_CORE_SOCKET,       /* kryptond's client socket */
    KR_XENSTORED_SOCKET,  /* the store's Unix socket */
    KR_XEN_RUN,           /* directory: Xen's /run/xen */
    KR_XEN_LIB,           /* directory: Xen's /var/lib/xen (userdata, saved state) */
    KR_XEN_DUMP,          /* directory: Xen's /var/lib/xen/dump (memory of crashed domains) */
    KR_XEN_LOG,           /* directory: Xen's /var/log/xen */
    KR_XEN_CONSOLE_LOG,   /* directory: console logs */
    KR_XEN_ETC,           /* directory: xl.conf and friends; read-only */
    KR_XL_LOCK,           /* file: xl's lock */
};

/*
 * Writes the path into buf. Returns buf, or NULL with errno ENAMETOOLONG. The directory need not
 * exist. Thread-safe; reads the environment.
 */
char *kr_path(enum kr_path which, char *buf, size_t len);

/*
 * Makes the directory (for a file: the directory it lies in), mode 0700, with its parents.
 * Returns 0, or -1 with errno; EPERM if the private root exists and is not ours alone.
 */
int kr_path_mkdir(enum kr_path which);

#endif
