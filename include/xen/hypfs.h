/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's file system of settings (__HYPERVISOR_hypfs_op).
 */

#ifndef __XEN_PUBLIC_HYPFS_H__
#define __XEN_PUBLIC_HYPFS_H__

#include "xen.h"

#define XEN_HYPFS_VERSION     1
#define XEN_HYPFS_MAX_PATHLEN 1024

/* What an entry holds. Numbers are of 1, 2, 4 or 8 bytes, texts end with NUL. */
#define XEN_HYPFS_TYPE_DIR    0
#define XEN_HYPFS_TYPE_BLOB   1
#define XEN_HYPFS_TYPE_STRING 2
#define XEN_HYPFS_TYPE_UINT   3
#define XEN_HYPFS_TYPE_INT    4
#define XEN_HYPFS_TYPE_BOOL   5

#define XEN_HYPFS_ENC_PLAIN 0
#define XEN_HYPFS_ENC_GZIP  1

/* max_write_len 0: read-only. */
struct xen_hypfs_direntry {
    uint8_t type;
    uint8_t encoding;
    uint16_t pad;
    uint32_t content_len;
    uint32_t max_write_len;
};
typedef struct xen_hypfs_direntry xen_hypfs_direntry_t;

/*
 * An entry of a directory's contents; off_next from its start, 0 at the last. name ends with NUL.
 */
struct xen_hypfs_dirlistentry {
    xen_hypfs_direntry_t e;
    uint16_t off_next;
    char name[XEN_FLEX_ARRAY_DIM];
};

/*
 * get_version: no arguments; the result is XEN_HYPFS_VERSION. read: path, its length with the
 * NUL, buffer, its size; gives a direntry and the contents, or with ENOBUFS the direntry alone.
 * write_contents: path, length, contents, their size.
 */
#define XEN_HYPFS_OP_get_version    0
#define XEN_HYPFS_OP_read           1
#define XEN_HYPFS_OP_write_contents 2

#endif /* __XEN_PUBLIC_HYPFS_H__ */
