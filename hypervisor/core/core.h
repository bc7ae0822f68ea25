/* SPDX-License-Identifier: MIT */
/*
 * The core's one context, and a hypercall in flight.
 *
 * kryptond is one thread around one sd-event loop; all state hangs off struct core, so tests can
 * run as many cores as they like in one process. Handlers never block: what must wait for a domain
 * process (pausing, destroying) or is too long for one turn of the loop gives way and is run again.
 */
#ifndef KR_CORE_CORE_H
#define KR_CORE_CORE_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ 1
#endif
#include <xen/xen.h>

#include "hypervisor/domain/link.h"

struct cgroup;
struct client;
struct cpupool;
struct domain;
struct vcpu;
struct core;
struct serial;

#define KR_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* What a handler returns besides a hypercall's own result; both lie outside -errno's range. */
#define HC_AGAIN (-0x100001L)  /* more to do: run the same call again from the event loop */
#define HC_WAIT  (-0x100002L)  /* queued by domain_wait(): run it again when that domain changed */

/*
 * One hypercall in flight, embedded in the client or the vCPU that made it (each makes one at a
 * time). stage and progress are 0 when the call begins and are the handler's own across HC_AGAIN
 * and HC_WAIT; a handler that keeps a domain paused for the duration says so in held.
 */
struct hcall {
    struct core *core;
    struct domain *d;            /* the calling domain; host_dom for clients */
    struct client *client;       /* the host client, or NULL for a guest */
    struct vcpu *v;              /* the guest's vCPU, or NULL */
    uint64_t op, arg[5];
    uint64_t cr0, cr3, cr4, efer;
    bool compat;                 /* 32-bit guest caller: 32-bit argument layouts */
    bool busy;
    bool cancelled;
    unsigned stage;
    uint64_t progress;
    struct domain *held;         /* a reference ... */
    bool held_paused;            /* ... and one hold_count */
    struct domain *waits_on;     /* whose waiters list this is on */
    struct hcall *next_waiter;
    sd_event_source *again;
    /* XEN multicall: op and arg[] above are then those of the entry under way. */
    bool in_multicall;
    uint64_t mc_list, mc_nr, mc_next;
};

/* A counter of calls that were refused as unimplemented; a row per op, made when first met. */
struct enosys_count { uint32_t hypercall; uint64_t sub, count; };
#define KR_MAX_ENOSYS 512

/* What the host has; sizes in 4 KiB pages. */
struct host_info {
    uint64_t total_pages;        /* MemTotal, or the cgroup's limit if lower */
    uint64_t reserve_pages;      /* never given to guests */
    uint64_t given_pages;        /* populated by domains plus outstanding claims */
    uint64_t claimed_pages;      /* of these, claims not yet populated */
    uint32_t nr_cpus, cores_per_socket, threads_per_core;
    uint32_t nr_cpu_ids;         /* above the highest number; there may be gaps */
    cpu_set_t cpus;              /* online, and allowed to us: nr_cpus of them */
    uint32_t cpu_khz;
};

/* Kinds of CPU policy that sysctl names; all derive from the engine's description. */
#define KR_MAX_LEAVES KL_MAX_CPUID
struct cpu_policy {
    uint32_t nr;
    struct kl_cpuid_leaf leaf[KR_MAX_LEAVES];
    uint64_t platform_info, arch_caps;         /* MSRs 0xce, 0x10a */
};

#define KR_CON_RING_SIZE 65536  /* power of two */
struct con_ring {
    uint64_t prod, cons;         /* free-running byte counts; cons moves by "clear" */
    char line[256];              /* a guest's or the core's unfinished line */
    char data[KR_CON_RING_SIZE];
};

struct core {
    sd_event *event;
    sd_event_source *listen_src, *listen_again;
    int listen_fd;
    uid_t uid;                   /* the peer uid that is the host, besides root */
    const char *domain_program;
    char cmdline[256];
    /* Makes a domain process; domproc_spawn() unless a test replaces it. Returns 0 or -1/errno. */
    int (*spawn)(struct core *core, const char *mode, int *sock, pid_t *pid);

    bool described;              /* engine, kvm_verdict and policy_max are valid */
    char engine[16], kvm_verdict[160];
    uint64_t tsc_khz;
    struct cpu_policy policy_max;

    struct domain *host_dom;     /* the domain that the host's clients are */
    struct domain *dom0;         /* domain 0: the host, or a machine's first domain; NULL until made */
    bool machine;
    int64_t wall_shift;          /* seconds that a machine's wall clock is ahead of the host's */
    struct serial *line;         /* a machine's serial line, or NULL */
    struct domain *by_domid[DOMID_FIRST_RESERVED];
    struct domain *domains;      /* by rising domid */
    unsigned nr_domains;
    domid_t last_domid;
    uint64_t serial;             /* of the last domain made: domids are used again, serials never */

    struct client *clients;
    unsigned nr_clients;
    unsigned max_fds;            /* RLIMIT_NOFILE: what clients may take of them is bounded */
    struct hcall *current;       /* the call whose handler runs now */
    struct domain *flush;        /* domains with p2m updates to send */
    uint64_t next_handle;        /* of grant maps and shares */
    unsigned guest_channels;     /* event channels between guests; bounded by max_guest_channels */
    unsigned max_guest_channels;
    unsigned pages_apart;        /* of all domains (held.h), at two descriptors each */
    unsigned max_pages_apart;
    uint64_t start_ns;

    struct host_info host;
    struct con_ring con;
    int console_log;             /* a file that gets what the ring gets, or -1 */
    struct cpupool *pools;       /* by rising id; the first is pool 0 */
    cpu_set_t free_cpus;         /* in no pool */
    struct cgroup *cgroup;       /* where weights and caps are enforced, or NULL */
    bool nice_works;             /* ... or by nice values, which we may raise again */
    int nice_own, nice_min;      /* ours, and the lowest that we may give */
    struct enosys_count enosys[KR_MAX_ENOSYS];
    unsigned nr_enosys;
    uint64_t nr_hypercalls;
    _Alignas(16) uint8_t packet[65536];   /* the packet being read; never held across turns */
};

/*
 * Makes a core around an event loop (a reference is taken): domain 0, host facts, console ring; no
 * socket, no description yet. Returns NULL with errno.
 */
struct core *core_new(sd_event *event);
/*
 * Makes a core that has no clients and domains yet a machine: the host's clients are its operator,
 * who builds domain 0, a guest, and has the machine's serial line. When domain 0 ends, so does the
 * event loop, with a KR_MACHINE_* status. mib: the machine's memory, 0 for what the host has.
 * Returns 0 or -1 with errno ERANGE if the host has less.
 */
int core_make_machine(struct core *core, uint64_t mib);
/* Domain 0 has shut down: the end of the machine. reason is one of SHUTDOWN_*. */
void core_end_machine(struct core *core, uint32_t reason);
/* Destroys every domain and client. The processes are killed, not waited for. */
void core_free(struct core *core);

/* CLOCK_MONOTONIC in ns. */
uint64_t core_now(void);

#endif
