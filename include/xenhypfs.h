/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's settings and facts as a small file system.
 */
#ifndef XENHYPFS_H
#define XENHYPFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct xentoollog_logger;

typedef struct xenhypfs_handle xenhypfs_handle;

enum xenhypfs_type {
    xenhypfs_type_dir,
    xenhypfs_type_blob,
    xenhypfs_type_string,
    xenhypfs_type_uint,
    xenhypfs_type_int,
    xenhypfs_type_bool,
};

enum xenhypfs_encoding {
    xenhypfs_enc_plain,
    xenhypfs_enc_gzip
};

struct xenhypfs_dirent {
    char *name;                 /* the last part of the path */
    size_t size;                /* of the contents, in bytes, as encoded */
    unsigned short type;        /* enum xenhypfs_type */
    unsigned short encoding;    /* enum xenhypfs_encoding */
    unsigned int flags;
#define XENHYPFS_FLAG_WRITABLE 0x00000001
};

/* No flags exist. Logs why it fails; NULL with errno. */
xenhypfs_handle *xenhypfs_open(struct xentoollog_logger *logger, unsigned int open_flags);
/* NULL is fine. Returns 0. */
int xenhypfs_close(xenhypfs_handle *fshdl);

/*
 * An entry's contents as they are, and what kind of entry it is. The caller frees both; the
 * dirent's name is part of its memory. NULL with errno.
 */
void *xenhypfs_read_raw(xenhypfs_handle *fshdl, const char *path,
                        struct xenhypfs_dirent **dirent);

/*
 * An entry's contents as text (numbers in decimal, compressed text unpacked). The caller frees it.
 * NULL with errno: EISDIR for a directory, EDOM for a blob.
 */
char *xenhypfs_read(xenhypfs_handle *fshdl, const char *path);

/*
 * A directory's entries, *num_entries of them, in one piece of memory (names included) that the
 * caller frees. NULL with errno: ENOTDIR for anything else.
 */
struct xenhypfs_dirent *xenhypfs_readdir(xenhypfs_handle *fshdl, const char *path,
                                         unsigned int *num_entries);

/* Sets an entry from text, according to its type. 0, or -1 with errno. */
int xenhypfs_write(xenhypfs_handle *fshdl, const char *path, const char *val);

#endif
