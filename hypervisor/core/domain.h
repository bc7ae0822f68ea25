/* SPDX-License-Identifier: MIT */
/*
 * A domain: what the core knows of it, and its life.
 *
 * Life: domain_create() (paused once) -> vCPUs, memory, parameters -> unpause -> running <-> paused
 * -> shutting down -> shut down -> domain_kill() -> gone. The host is a domain too, always there: it
 * has no process, no p2m and no vCPU state of its own. It is domain 0, unless the core is a machine
 * (core_make_machine()): then the first domain made is domain 0, and the host its operator outside.
 *
 * Never: blocks for the domain's process, or believes it; a process that dies, lies in its framing
 * or does not drain its sockets is killed and its domain is shut down with reason "crash".
 */
#ifndef KR_CORE_DOMAIN_H
#define KR_CORE_DOMAIN_H

#include "hypervisor/core/core.h"

#include <xen/domctl.h>
#include <xen/hvm/params.h>

#include "hypervisor/core/foreign.h"
#include "hypervisor/core/grant_table.h"
#include "hypervisor/core/held.h"
#include "hypervisor/core/p2m.h"
#include "hypervisor/core/pod.h"

#define KR_GPA_BITS 40           /* guest-physical address space of every domain */
#define KR_MAX_E820 128          /* E820MAX */

struct vcpu {
    uint32_t id;
    struct domain *d;
    int sock;                    /* the core's end; -1 when closed */
    sd_event_source *src;
    struct sendq *out;
    struct hcall hc;
    cpu_set_t hard, soft;        /* affinities by host CPU */
    int32_t applied_tid;         /* the thread that runs on ... */
    cpu_set_t applied;           /* ... these host CPUs */
};

/* What the process has been told and has answered about running. */
enum proc_run { PROC_STOPPED, PROC_RUNNING, PROC_STOPPING };

struct domain {
    struct core *core;
    struct domain *next;         /* core->domains */
    domid_t domid;
    uint64_t serial;
    unsigned refs;
    bool host;                   /* stands for the host's clients: no process, no p2m, no vCPUs */
    bool control;                /* may control others: the host, and a domain 0 that is a guest */

    struct xen_domctl_createdomain config;
    xen_domain_handle_t handle;
    uint32_t max_vcpus;          /* from the configuration */
    uint32_t nr_vcpus;           /* made by max_vcpus; vcpu[] has that many */
    struct vcpu **vcpu;

    /* Pausing: by the toolstack (pausedomain), and by the core around an operation. */
    unsigned pause_count, hold_count;
    bool ever_unpaused;
    bool shutting_down, is_shut_down, dying, dead;
    uint32_t shutdown_code;
    bool on_list;                /* core->domains holds a reference */
    struct hcall *waiters, *waking;

    /* The process and its memory. */
    enum proc_run run;
    pid_t pid;
    int pidfd, sock;
    sd_event_source *pid_src, *sock_src;
    struct sendq *out;
    bool proc_ready, proc_killed, proc_gone;
    sd_event_source *reaper;     /* tears the domain down in slices */
    int ram_fd, ram_ro_fd, xen_fd, state_fd;
    uint8_t *xen_map;            /* KL_XEN_PAGES pages */
    struct kl_state *state;      /* hostile: written by the process */

    struct p2m p2m;
    struct foreign_table foreign;    /* others' pages in it */
    struct held_pages held;          /* its pages that others use */
    uint64_t memory_users;           /* who needs its descriptors, dead or not */
    uint64_t tot_pages, max_pages, claim_pages;
    struct pod pod;              /* frames that are populated on demand */
    uint64_t paging_mempool;
    uint32_t nr_e820;
    uint8_t e820[KR_MAX_E820][20]; /* struct e820entry, packed: u64 addr, u64 size, u32 type */

    struct evtchn_table *evt;
    uint32_t port_seq;
    uint32_t suspend_port;       /* gets an event when the domain has shut down; 0: none */
    unsigned paid_channels;      /* channels between guests that this domain bound */
    struct grant_table gt;
    struct gnt_share *shares;    /* the host: pages that clients shared */

    uint64_t hvm_param[HVM_NR_PARAMS];
    struct dm *dm;               /* device models; NULL until one asks for something */
    uint64_t sync_sent, sync_done; /* numbers of KL_SYNC and KL_SYNCED */
    struct cpu_policy *policy;
    struct xen_domctl_tsc_info tsc;
    int64_t time_offset;
    struct cpupool *pool;
    uint16_t weight, cap;        /* credit2's; cap in per cent of one CPU, 0: none */
    bool in_cgroup;              /* has a group of its own */
    bool cap_told;               /* its process enforces a cap */
    uint64_t console_bytes;
    unsigned enosys_lines;       /* logged of its unknown hypercalls */
    struct { uint32_t timeout; uint64_t deadline; sd_event_source *src; } watchdog[2];

    /* The p2m updates of this turn, to be sent as one message. */
    struct domain *flush_next;
    bool on_flush;
    uint32_t batch_op, batch_nr;
    int batch_fd;                /* of KL_MEM_FD runs, or -1 */
    struct kl_run_map *batch;
    char con_line[256];          /* the guest's unfinished console line */
    unsigned con_len;
};

/* NULL if there is none. Borrowed. */
struct domain *domain_find(struct core *core, domid_t domid);

/* Keeps the struct (not the domain's life) while somebody holds a pointer across turns. */
struct domain *domain_get(struct domain *d);
void domain_put(struct domain *d);

/*
 * Makes a paused domain with its memfds and process. domid 0 or >= DOMID_FIRST_RESERVED: choose.
 * A machine's first domain has control and is domain 0: no other can be asked for.
 * Returns 0 or -errno (Xen's for createdomain: EEXIST, EINVAL, ENOMEM, ENODEV without an engine).
 */
int domain_create(struct core *core, domid_t domid, const struct xen_domctl_createdomain *config,
                  struct domain **out);
struct domain *domain_create_host(struct core *core);
/* Makes the host the operator of a machine: domain 0 is then free. Before anything else exists. */
void domain_free_domid0(struct domain *host);

/* Makes the vCPUs up to nr. Returns 0 or -errno. */
int domain_make_vcpus(struct domain *d, uint32_t nr);

void domain_pause(struct domain *d);            /* hold: the core's own, nests */
void domain_unpause(struct domain *d);
bool domain_stopped(const struct domain *d);    /* no vCPU runs and the state area is complete */
/* Tells the process how many seconds its wall clock is away from the host's. */
void domain_send_time(struct domain *d);
/* What the domain's system time is ahead of CLOCK_MONOTONIC, in ns, by its own account. */
uint64_t domain_time_offset(const struct domain *d);
/* Tells the process what the counts and flags now mean. */
void domain_update_run(struct domain *d);

/*
 * Holds d paused for hc's duration: 0 when its vCPUs stand still (call hc_release() when done), or
 * HC_WAIT. The hold is dropped by itself when hc ends or is cancelled.
 */
long hc_hold(struct hcall *hc, struct domain *d);
void hc_release(struct hcall *hc);
/* Queues hc until d's state changes; returns HC_WAIT. */
long domain_wait(struct hcall *hc, struct domain *d);
void domain_wake_waiters(struct domain *d);

void domain_shutdown(struct domain *d, uint32_t reason);
void domain_resume(struct domain *d);
/*
 * Begins tearing d down: its process is killed, then everything is freed in slices from the event
 * loop, then d->dead is set, waiters are woken and VIRQ_DOM_EXC is raised.
 */
int domain_kill(struct domain *d);              /* 0 or -errno */
/* All at once, waiting for nothing; when the core ends. */
void domain_kill_now(struct domain *d);

/* A checked copy of what the process says of a vCPU: never out of range. */
struct vcpu_report {
    bool online, blocked, running;
    uint32_t cpu;
    uint64_t cpu_ns;
    uint64_t time[4];
    int32_t tid;
};
void domain_vcpu_report(const struct domain *d, uint32_t vcpu, struct vcpu_report *out);

void domain_getinfo(struct domain *d, struct xen_domctl_getdomaininfo *info);

/* A sealed memfd and a descriptor of it for reading only: 0 or -ENOMEM. size in bytes. */
int domain_new_memfd(const char *what, domid_t domid, uint64_t size, int *fd, int *ro_fd);
/* Closes the descriptors of its memory; for held.c. */
void domain_close_memory(struct domain *d);
/*
 * Accounts pages to d against its maximum and the host: 0 or -ENOMEM. May be negative; what is given
 * back then goes to frames that are populated on demand first.
 */
int domain_account(struct domain *d, int64_t pages);
/* Sets the outstanding claim (pages to be populated later); 0 drops it. */
int domain_claim(struct domain *d, uint64_t pages);

#endif
