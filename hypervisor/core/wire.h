/* SPDX-License-Identifier: MIT */
/*
 * The line between the low libraries (xencall, xenevtchn, xenforeignmemory, xengnttab,
 * xendevicemodel, xenhypfs) and the core: what /dev/xen/{privcmd,evtchn,gntdev,gntalloc} are on a Xen
 * host. Nothing above those libraries sees it.
 *
 * AF_UNIX SOCK_SEQPACKET at KR_CORE_SOCKET; one connection per library handle; one packet per request
 * and one per reply, at most KW_MAX_MSG bytes, descriptors by SCM_RIGHTS with the reply. A peer is
 * the host if its uid is the core's or 0 (SO_PEERCRED); nobody else gets past HELLO. The host is
 * domain 0, or a machine's operator, who has hypercalls and maps but no channels and no grants (EPERM). Requests of one
 * connection are answered in order; a reply may take as long as the hypercall does (pausing a
 * domain waits for its vCPUs). A reply with descriptors is to be read before the next request is sent,
 * and no more replies may be left unread than a socket holds, or the connection ends. Closing the connection frees what it holds: ports, grant maps (with
 * their unmap notifications), the arena.
 *
 * Every field from the peer is hostile: sizes are checked against the packet's length, reserved
 * fields must be 0, an unknown request gets -ENOSYS, a packet shorter than its struct -EINVAL.
 */
#ifndef KR_CORE_WIRE_H
#define KR_CORE_WIRE_H

#include <stdint.h>

#define KW_MAGIC    0x5952504bu  /* "KPRY" in memory order */
#define KW_VERSION  1
#define KW_MAX_MSG  65536
#define KW_MAX_FDS  16

/*
 * kryptond's exit statuses as a machine (--machine): how domain 0, and with it the machine, ended.
 * 1 and 2 are its own failures, as otherwise.
 */
enum { KR_MACHINE_OFF = 0, KR_MACHINE_REBOOT = 64, KR_MACHINE_CRASHED = 65 };

enum kw_op {
    KW_HELLO = 1,          /* kw_hello -> kw_hello_reply; must be first */
    KW_ARENA,              /* kw_arena -> kw_reply + 1 fd */
    KW_HYPERCALL,          /* kw_hypercall -> kw_hypercall_reply */
    KW_RESTRICT,           /* kw_domid -> kw_reply: from now on only that domain may be named (one way),
                            * and of the hypercalls only dm_op is left */

    KW_EVTCHN_UNBOUND,     /* kw_evtchn (domid = who may bind) -> kw_port_reply + fds recv, send */
    KW_EVTCHN_INTERDOMAIN, /* kw_evtchn (domid, port = remote end) -> kw_port_reply + fds recv, send */
    KW_EVTCHN_VIRQ,        /* kw_evtchn (port = virq) -> kw_port_reply + fd recv */
    KW_EVTCHN_UNBIND,      /* kw_evtchn (port = local port) -> kw_reply */

    KW_MAP_FOREIGN,        /* kw_map_foreign -> kw_map_reply + fds */
    KW_MAP_RESOURCE,       /* kw_map_resource -> kw_map_reply + fds; nr = 0 asks for the size */

    KW_GNT_MAP,            /* kw_gnt_map -> kw_gnt_map_reply (runs as kw_map_reply) + fds */
    KW_GNT_UNMAP,          /* kw_gnt_unmap -> kw_reply */
    KW_GNT_NOTIFY,         /* kw_gnt_notify -> kw_reply: what to do when a map goes away */
    KW_GNTSHR_SHARE,       /* kw_gntshr -> kw_gntshr_reply + 1 fd: pages of domain 0 granted to domid */
    KW_GNTSHR_UNSHARE,     /* kw_gnt_unmap (handle) -> kw_reply */
};

/* First in every request. seq is echoed. */
struct kw_req { uint32_t op, seq; };
/* First in every reply. status is 0 or a negative errno; on an error nothing follows. */
struct kw_reply { uint32_t seq; int32_t status; };

struct kw_hello { struct kw_req h; uint32_t magic, version; };
struct kw_hello_reply { struct kw_reply h; uint32_t version, domid; };

/*
 * Hypercall arguments may only point into the connection's arena: a sealed memfd that the core
 * makes, which the client maps at va (it reserves the addresses first). Pointers in arguments are
 * the client's addresses within [va, va + size). At most one arena per connection; size is a
 * multiple of 4096, at most KW_MAX_ARENA; the memory is taken when it is touched.
 */
#define KW_MAX_ARENA (256ull << 20)
struct kw_arena { struct kw_req h; uint64_t va, size; };

struct kw_hypercall { struct kw_req h; uint64_t op, arg[5]; };
/* ret is the hypercall's own return value (negative Xen errno); h.status tells about the transport. */
struct kw_hypercall_reply { struct kw_reply h; int64_t ret; };

struct kw_domid { struct kw_req h; uint32_t domid, reserved; };

/*
 * Event channels: each end of a channel is an eventfd that its owner reads. recv becomes readable
 * when the port has an event; adding 1 to send notifies the other end, without the core. Masking
 * between xenevtchn_pending() and _unmask() is the client's own business. Events sent before the
 * peer has bound are kept and seen by it after binding.
 */
struct kw_evtchn { struct kw_req h; uint32_t domid, port; };
struct kw_port_reply { struct kw_reply h; uint32_t port, reserved; };

/*
 * Mappings: the reply tells, for runs of consecutive request items, which descriptor of the reply
 * and which page of it to map (MAP_SHARED), or the error of these items (fd < 0, page = -errno as
 * uint64_t). Runs cover all items in order.
 */
struct kw_run { uint32_t nr; int32_t fd; uint64_t page; };
struct kw_map_foreign {
    struct kw_req h;
    uint32_t domid, prot;           /* PROT_READ | PROT_WRITE */
    uint32_t nr, reserved;          /* <= KW_MAX_GFNS; the library cuts longer lists */
    uint64_t gfn[];
};
#define KW_MAX_GFNS 4000
struct kw_map_resource {
    struct kw_req h;
    uint32_t domid, type, id, prot; /* XENMEM_resource_* */
    uint64_t frame, nr;
};
struct kw_map_reply {
    struct kw_reply h;
    uint64_t size;                  /* KW_MAP_RESOURCE: frames that exist */
    uint32_t nr_runs, reserved;
    struct kw_run run[];
};

struct kw_gnt_ref { uint32_t domid, ref; };
struct kw_gnt_map {
    struct kw_req h;
    uint32_t nr, prot;              /* nr <= KW_MAX_GFNS; all or nothing */
    struct kw_gnt_ref ref[];
};
struct kw_gnt_map_reply {
    struct kw_reply h;
    uint64_t handle;                /* names the whole map for unmap and notify */
    uint32_t nr_runs, reserved;
    struct kw_run run[];
};
struct kw_gnt_unmap { struct kw_req h; uint64_t handle; };
#define KW_NOTIFY_CLEAR_BYTE 1
#define KW_NOTIFY_SEND_EVENT 2
struct kw_gnt_notify {
    struct kw_req h;
    uint64_t handle;
    uint32_t action, port;          /* port: local port of one of domain 0's channels */
    uint64_t offset;                /* byte within the map */
};
struct kw_gntshr { struct kw_req h; uint32_t domid, nr, writable, reserved; };
struct kw_gntshr_reply { struct kw_reply h; uint64_t handle; uint32_t nr, reserved; uint32_t ref[]; };

#endif
