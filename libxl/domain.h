/* SPDX-License-Identifier: MIT */
/*
 * Between the files that create, look at and destroy domains.
 */
#ifndef LX_DOMAIN_H
#define LX_DOMAIN_H

#include "libxl/ctx.h"
#include "libxl/store.h"

/* Xen's limit for PVH and HVM guests, HVM_MAX_VCPUS in 4.17's public/hvm/hvm_info_table.h. */
#define LX_MAX_VCPUS 128
/* Room a guest's allocation may grow by beyond its target, for pages made outside the balloon's
 * knowledge: LIBXL_MAXMEM_CONSTANT of Xen's libxl. KiB. */
#define LX_MAXMEM_SLACK_KB 1024
/* Longest name, so that NAME.log and NAME--incoming still are file names. */
#define LX_MAX_NAME 200

/* 0, ERROR_DOMAIN_NOTFOUND, or ERROR_FAIL with a line in the log. */
int lx_domain_getinfo(struct lx_gc *gc, uint32_t domid, xc_domaininfo_t *info);
/* The kind libxl noted, or if it made no note, what the hypervisor says; INVALID if not known. */
libxl_domain_type lx_domain_type(struct lx_gc *gc, uint32_t domid);
/* Complains, with ERROR_INVAL, about a name that cannot be a domain's. */
int lx_check_name(struct lx_gc *gc, const char *name);

/* ---- half-made domains; creating.c */

/* The mark of a creation that is under way. fd -1: none. */
struct lx_creation {
    int fd;
    const char *path;
};

int lx_creation_begin(struct lx_gc *gc, const libxl_uuid *uuid, struct lx_creation *c);
int lx_creation_domid(struct lx_gc *gc, struct lx_creation *c, uint32_t domid);
void lx_creation_end(struct lx_creation *c);
/* Removes the domains of creations whose program has died. */
void lx_creation_reap(struct lx_gc *gc);

/* ---- creating; create.c drives */

struct lx_create {
    struct lx_ao *ao;
    libxl_domain_config *config;      /* the caller's */
    libxl_domain_config as_given;     /* before defaults: this is what is kept */
    libxl_asyncprogress_how console_how;
    bool report_console;
    uint32_t *domid_out;
    struct lx_creation creation;

    uint32_t domid;                   /* LX_NO_DOMID until there is one */
    const char *uuid, *path, *vm_path, *libxl_path;
    uint32_t store_domid, console_domid;
    uint32_t store_port, console_port;
    unsigned long store_gfn, console_gfn;

    struct lx_ev_xswatch tty_watch;   /* waiting for xenconsoled */
    struct lx_ev_time tty_time;
};

/* Fills in what was left to libxl, and complains (ERROR_INVAL and others) about what cannot be. */
int lx_config_setdefault(struct lx_gc *gc, libxl_domain_config *config);
/* Whether there is memory for it. ERROR_NOMEM. */
int lx_check_memory(struct lx_gc *gc, const libxl_domain_build_info *b);
int lx_need_memory(const libxl_domain_build_info *b, uint64_t *need_memkb);

/* create_store.c: the nodes of a domain, made before it is built and after. */
int lx_store_skeleton(struct lx_gc *gc, struct lx_create *cr);
int lx_store_built(struct lx_gc *gc, struct lx_create *cr);

/* build.c: vCPUs, policy and event channels; then memory and kernel. */
int lx_build_pre(struct lx_gc *gc, struct lx_create *cr);
int lx_build(struct lx_gc *gc, struct lx_create *cr);

/* console.c */
int lx_console_add(struct lx_gc *gc, struct lx_create *cr);
char *lx_console_tty_path(struct lx_gc *gc, uint32_t domid, int num, libxl_console_type type);

/* destroy.c: all that there is of a domain; goes on where it can and returns the first failure. */
int lx_destroy(struct lx_gc *gc, uint32_t domid);

/* ---- files kept with a domain; userdata.c */

/* The userid under which libxl keeps the configuration. */
#define LX_USERDATA_CONFIG "libxl-json"

int lx_userdata_store(struct lx_gc *gc, uint32_t domid, const char *userid, const void *data,
                      size_t len);
/* *data NULL if there is none. In gc, with a NUL behind it. */
int lx_userdata_retrieve(struct lx_gc *gc, uint32_t domid, const char *userid, char **data,
                         size_t *len);
/* handle: the domain's UUID, for it may be gone already. */
void lx_userdata_remove_all(struct lx_gc *gc, uint32_t domid, const uint8_t *handle);
/* After the domain's UUID has changed. */
void lx_userdata_move(struct lx_gc *gc, uint32_t domid, const char *old_uuid,
                      const char *new_uuid);
/* An exclusive lock on a domain's kept data, given up by closing; -1 with a line in the log. */
int lx_userdata_lock(struct lx_gc *gc, uint32_t domid);
void lx_userdata_unlock(int lock);

int lx_config_keep(struct lx_gc *gc, uint32_t domid, libxl_domain_config *config);
/* config is initialised by this. ERROR_JSON_CONFIG_EMPTY if none was kept. */
int lx_config_kept(struct lx_gc *gc, uint32_t domid, libxl_domain_config *config);

#endif
