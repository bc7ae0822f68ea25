/* SPDX-License-Identifier: MIT */
/*
 * Grant tables: a domain's shared entries (in its Xen-owned memfd, which the guest writes at any
 * time) and what the core remembers of entries in use.
 *
 * An entry that is in use is pinned: who uses it, how often, and which page it named when it was
 * first taken. As long as it is pinned those values count, never the shared entry's present ones.
 *
 * Never: trusts a shared entry beyond the one atomic step that marks it used.
 */
#ifndef KR_CORE_GRANT_TABLE_H
#define KR_CORE_GRANT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ 1
#endif
#include <xen/xen.h>
#include <xen/grant_table.h>

struct core;
struct client;
struct domain;
struct gnt_share;
struct hcall;

#define GNT_V1_PER_FRAME 512     /* 8-byte entries */
#define GNT_V2_PER_FRAME 256     /* 16-byte entries */
#define GNT_STATUS_PER_FRAME 2048
#define GNT_BUCKET 256           /* active entries per allocation */
#define GNT_MAX_BUCKETS 2048
#define GNT_DEFAULT_FRAMES 64    /* Xen's gnttab_max_frames default */

/* A page that a grant names. */
struct gnt_page {
    struct gnt_share *share;     /* domain 0's shares, or NULL: a page of the owner's RAM memfd */
    uint64_t page;               /* of that memfd */
    uint64_t gfn;                /* where the owner had it when it was first taken */
    uint16_t off, len;           /* sub-page grants; else 0, 4096 */
};

struct active_grant {
    uint32_t pins_r, pins_w;     /* read-only and writable uses */
    domid_t user;
    bool readonly;               /* the entry allowed reading only when first taken */
    struct gnt_page where;
};

struct grant_table {
    uint32_t version;            /* 1 or 2 */
    uint32_t nr_frames, max_frames, nr_status;
    uint32_t max_version;        /* from createdomain's grant_opts */
    uint64_t pinned;             /* sum of all pins */
    struct active_grant **active;
};

/* Pages of domain 0 that a client granted away (what gntalloc is on Linux). */
struct gnt_share {
    struct gnt_share *next;      /* dom0->shares */
    struct client *owner;        /* NULL once unshared and waiting for users to let go */
    uint64_t handle;
    int fd, ro_fd;
    uint32_t nr;
    uint64_t frame;              /* its first frame in domain 0's numbering */
    uint32_t *ref;
    uint32_t notify_action, notify_port;
    uint64_t notify_offset;
};

/* A client's map of some grants; unmapped as a whole. */
struct gnt_map {
    struct gnt_map *next;        /* client->maps */
    uint64_t handle;
    uint32_t nr;
    bool readonly;
    uint32_t notify_action, notify_port;
    uint64_t notify_offset;
    struct gnt_mapped { struct domain *d; uint32_t ref; struct gnt_page where; } page[];
};

int  gnt_init(struct domain *d, uint32_t max_frames, uint32_t max_version);   /* 0 or -ENOMEM */
void gnt_free(struct domain *d);

/* How many entries the table has now. */
uint32_t gnt_nr_entries(const struct grant_table *gt);
/* Makes the table at least `frames` long. 0 or -EINVAL / -ENOMEM. */
int gnt_grow(struct domain *d, uint32_t frames);
/* Makes nr status frames exist (version 2). 0 or -EINVAL. */
int gnt_grow_status(struct domain *d, uint32_t frames);

/*
 * Takes entry ref of rd for domain `user`: GNTST_okay with the page in *out, or another GNTST_*.
 * Every success holds the page (foreign.h), and is undone by one gnt_release() with the same values.
 */
int gnt_acquire(struct domain *rd, uint32_t ref, domid_t user, bool readonly, struct gnt_page *out);
void gnt_release(struct domain *rd, uint32_t ref, bool readonly, const struct gnt_page *where);
/* Follows a version-2 transitive entry once (copies only); *rd and *ref become the final ones. */
int  gnt_transitive(struct domain **rd, uint32_t *ref, domid_t user);

/* The descriptor that holds a granted page, for reading only or both, and which of its pages. Borrowed. */
int gnt_page_fd(const struct domain *owner, const struct gnt_page *p, bool readonly, uint64_t *at);

long gnt_op_copy(struct hcall *hc);
/* GNTTABOP_map_grant_ref, _unmap_grant_ref and _unmap_and_replace. */
long gnt_op_guest_map(struct hcall *hc, uint32_t cmd);

/* wire.h requests of host clients; replies are sent by the caller. All return 0 or -errno. */
struct kw_gnt_ref;
int  gnt_client_map(struct core *core, struct client *c, const struct kw_gnt_ref *refs, uint32_t nr,
                    bool readonly, struct gnt_map **out);
int  gnt_client_unmap(struct core *core, struct client *c, uint64_t handle);
int  gnt_client_notify(struct core *core, struct client *c, uint64_t handle, uint32_t action,
                       uint32_t port, uint64_t offset);
int gnt_client_share(struct core *core, struct client *c, domid_t domid, uint32_t nr, bool writable,
                     struct gnt_share **out);
int  gnt_client_unshare(struct core *core, struct client *c, uint64_t handle);
/* A client is gone: unmaps and unshares all it had, with their notifications. */
void gnt_client_gone(struct core *core, struct client *c);
/* Frees unshared pages that nobody uses any more. */
void gnt_reap_shares(struct core *core);

#endif
