/* SPDX-License-Identifier: MIT */
/*
 * Host clients: connections that speak wire.h.
 *
 * A connection has one request under way; while its hypercall waits, nothing more is read from it.
 * Closing it frees its ports, maps, shares and arena.
 */
#ifndef KR_CORE_CLIENT_H
#define KR_CORE_CLIENT_H

#include "hypervisor/core/core.h"
#include "hypervisor/core/wire.h"

struct gnt_map;

struct client {
    struct client *next;         /* core->clients */
    struct core *core;
    int fd;
    sd_event_source *src;
    pid_t pid;                   /* of the process that connected; 0: not known */
    bool greeted, blocked;       /* blocked: a hypercall is under way */
    bool gave_fds;               /* the last reply had descriptors */
    bool restricted;
    domid_t restrict_domid;
    int arena_fd;
    uint8_t *arena;
    uint64_t arena_va, arena_size;
    struct hcall hc;
    uint32_t hc_seq;
    uint32_t first_port;         /* event channels owned; 0: none */
    struct gnt_map *maps;
    unsigned nr_ports, nr_shares;
};

/*
 * Serves a connected socket (owned from now on); uid and pid as its peer has them. Returns NULL with
 * errno: EPERM for another user, EMFILE when there are too many.
 */
struct client *client_new(struct core *core, int fd, uid_t uid, pid_t pid);
void client_free(struct client *c);
/* The result of its hypercall. */
void client_hypercall_done(struct client *c, long ret);
/* Accepts connections on a listening socket (owned from now on). 0 or -1/errno. */
int client_listen(struct core *core, int fd);

#endif
