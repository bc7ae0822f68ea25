/* SPDX-License-Identifier: MIT */
/*
 * xenstore as libxl uses it. Functions that return rc give 0 or ERROR_FAIL with a line in the log.
 * t: a transaction, or XBT_NULL.
 */
#ifndef LX_STORE_H
#define LX_STORE_H

#include "libxl/ctx.h"

/* ---- where things are */

char *lx_dom_path(struct lx_gc *gc, uint32_t domid);    /* /local/domain/N: the guest's own */
char *lx_libxl_path(struct lx_gc *gc, uint32_t domid);  /* /libxl/N: libxl's own notes */
/* The "/vm/UUID" of a domain, or NULL. */
const char *lx_vm_path(struct lx_gc *gc, xs_transaction_t t, uint32_t domid);

/* ---- reading */

/* *value NULL if there is no such node. In gc. */
int lx_xs_read(struct lx_gc *gc, xs_transaction_t t, const char *path, const char **value);
/* The value or NULL, whatever the reason; nothing in the log. */
const char *lx_xs_peek(struct lx_gc *gc, const char *path);
/* The same of each of n paths, at once where libxenstore is Krypton's: one round trip costs as much as 50 reads. */
const char **lx_xs_peek_many(struct lx_gc *gc, const char *const *paths, unsigned n);
/* Children's names, n of them; NULL and n 0 if there are none or no such node. In gc. */
char **lx_xs_dir(struct lx_gc *gc, const char *path, unsigned *n);

/* ---- writing */

/* Who may do what with a node of domain domid's, by the names of xenstore's letters. */
enum lx_access {
    LX_HOST_ONLY,   /* n0: no one but the control domain */
    LX_GUEST_READS, /* n0,rN */
    LX_GUEST_OWNS,  /* nN */
    LX_GUEST_OWNS_HOST_READS, /* nN,r0: so has Xen a console's backend-id */
};

int lx_xs_write(struct lx_gc *gc, xs_transaction_t t, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int lx_xs_set_access(struct lx_gc *gc, xs_transaction_t t, const char *path, enum lx_access access,
                     uint32_t domid);
/* Writes value ("" makes an empty node) and sets the access. */
int lx_xs_put(struct lx_gc *gc, xs_transaction_t t, const char *path, const char *value,
              enum lx_access access, uint32_t domid);
/* A node that is not there is fine. */
int lx_xs_rm(struct lx_gc *gc, xs_transaction_t t, const char *path);
/* Removes the node, and those above it that it leaves empty, up to but not including top. */
int lx_xs_rm_up(struct lx_gc *gc, xs_transaction_t t, const char *path, const char *top);

/* ---- all or nothing */

typedef int lx_xs_body(struct lx_gc *gc, xs_transaction_t t, void *arg);
/* Runs body, again if others changed what it read; its rc other than 0 undoes all. */
int lx_xs_transaction(struct lx_gc *gc, lx_xs_body *body, void *arg);

#endif
