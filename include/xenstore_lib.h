/* SPDX-License-Identifier: MIT */
/*
 * libxenstore: what clients and tools of the store share beyond the connection itself.
 */
#ifndef XENSTORE_LIB_H
#define XENSTORE_LIB_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

/* One entry of a node's permissions. Entry 0 is the owner, with the rights of all others. */
struct xs_permissions {
    unsigned int id;    /* domid */
    unsigned int perms; /* XS_PERM_* */
};

#define XS_PERM_NONE      0x00
#define XS_PERM_READ      0x01
#define XS_PERM_WRITE     0x02
/* Not for clients; the values are reserved. */
#define XS_PERM_ENOENT_OK 0x04
#define XS_PERM_OWNER     0x08
#define XS_PERM_IGNORE    0x10

/* Bytes enough to print any value of x's type in decimal, with sign and terminator. */
#define MAX_STRLEN(x) ((sizeof(x) * CHAR_BIT + CHAR_BIT - 1) / 10 * 3 + 2)

/* Directory of the store's socket: $XENSTORED_RUNDIR, else the host's. Static storage. */
const char *xs_daemon_rundir(void);
/* The socket's path: $XENSTORED_PATH, else "socket" in the directory above. Static storage. */
const char *xs_daemon_socket(void);
/* The same: there is no read-only socket. */
const char *xs_daemon_socket_ro(void);

/* Writes all of data, however many calls it takes. False with errno. */
bool xs_write_all(int fd, const void *data, unsigned int len);

/*
 * Reads num consecutive NUL-terminated strings, a letter (n, r, w, b) and a domid each, into perms.
 * False with errno EINVAL if one is malformed.
 */
bool xs_strings_to_perms(struct xs_permissions *perms, unsigned int num, const char *strings);

#endif
