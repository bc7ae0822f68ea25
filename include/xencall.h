/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls from a process.
 *
 * Handles may be shared by threads. After fork() the child may only close a handle; exec() drops
 * it safely. The hypercalls themselves have rules and versions of their own: see <xen/xen.h>.
 */
#ifndef XENCALL_H
#define XENCALL_H

#include <stddef.h>
#include <stdint.h>

struct xentoollog_logger;

typedef struct xencall_handle xencall_handle;

/* The caller promises to use the handle from one thread at a time. */
#define XENCALL_OPENFLAG_NON_REENTRANT (1U << 0)

/* logger: borrowed, or NULL for messages on stderr. NULL with errno if there is no hypervisor
 * (which is logged) or a flag is unknown. */
xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned open_flags);

/* NULL is fine. Buffers should have been freed. 0, or -1 with errno. */
int xencall_close(xencall_handle *xcall);

/* The descriptor behind the handle, which keeps it: for passing on or fcntl(), not for polling. */
int xencall_fd(xencall_handle *xcall);

/*
 * Issue hypercall op. Arguments that are pointers must point into buffers of this handle. They
 * return what the hypercall returned, or -1 with errno, which is the hypercall's error or one of
 * the way there (the two cannot be told apart). They never log.
 */
int xencall0(xencall_handle *xcall, unsigned int op);
int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg1);
int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2);
int xencall3(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3);
int xencall4(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4);
int xencall5(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4, uint64_t arg5);

/* The same for hypercalls whose result is wider than an int. */
long xencall2L(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2);

/*
 * Zeroed memory that hypercalls can reach, by pages (aligned to one) or by bytes. NULL with errno.
 * Free with the counterpart and, for pages, the same number; NULL is fine.
 */
void *xencall_alloc_buffer_pages(xencall_handle *xcall, size_t nr_pages);
void xencall_free_buffer_pages(xencall_handle *xcall, void *p, size_t nr_pages);
void *xencall_alloc_buffer(xencall_handle *xcall, size_t size);
void xencall_free_buffer(xencall_handle *xcall, void *p);

/* 1 if such a buffer can always be reached, 0 if a hypercall on it may fail with EFAULT. */
int xencall_buffers_never_fault(xencall_handle *xcall);

#endif
