/* SPDX-License-Identifier: MIT */
/*
 * dm_op: what a device model may do to the domain that it serves.
 *
 * dm_op(domid, number, list of buffers): the first buffer is a struct xen_dm_op, a second one carries
 * what is of variable length. The only hypercall that a restricted client has, on its own domain.
 */
#ifndef KR_CORE_DM_OP_H
#define KR_CORE_DM_OP_H

#include "hypervisor/core/core.h"

#define DM_MAX_PINNED 64         /* ranges of pinned cache attributes, as in Xen */

/* A part of memory whose changes a device model asks about (a display's). */
struct dm_vram {
    uint64_t first, nr;          /* frames; nr 0: nothing is tracked */
    uint64_t *sum;               /* of each page's contents when last asked; 0: changed since */
};

/* A domain's device model state, made when the first operation needs it. */
struct dm {
    struct ioreq_server *server[KL_XEN_MAX_IOREQ_SERVERS];
    struct ioreq_server *mem_server;     /* whose are the writes to HVMMEM_ioreq_server frames */
    struct dm_vram vram;
    unsigned nr_pinned;
    struct { uint64_t start, end; uint32_t type; } pinned[DM_MAX_PINNED];
};

/* Makes d->dm exist. 0 or -ENOMEM. */
int  dm_get(struct domain *d);
/* Frees it, servers included; ports go with the domain's. */
void dm_free(struct domain *d);

#endif
