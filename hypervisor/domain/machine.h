/* SPDX-License-Identifier: MIT */
/*
 * The guest's machine, as one domain process holds it: the data that its modules share.
 *
 * Threads: one per vCPU, and the main thread, which serves the control socket and the event
 * descriptors. Who may touch what is said at each field. Lock order: port, then vcpu.fifo_lock;
 * mem_lock, ports_lock, run_lock, ioreq_lock and clock.lock are leaves, taken with no other of these
 * held.
 *
 * Guest memory is reached in two ways: by guest-linear address through the engine (only on the
 * vCPU's own thread), and by guest-physical address as ram + gpa. A frame that was once mapped
 * stays accessible at its host address for the life of the process (see memory.h), so a pointer
 * kept to guest memory can go stale but never fault.
 */
#ifndef KR_DOMAIN_MACHINE_H
#define KR_DOMAIN_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/vcpu.h>

#include "hypervisor/domain/link.h"
#include "hypervisor/engine/engine.h"

#define PAGE_SHIFT      12
#define PAGE_SIZE       4096ull
#define NO_TIMER        UINT64_MAX      /* a deadline that never comes */
#define NO_ADDR         UINT64_MAX      /* an address that is not set */
#define NR_VIRQS_MAX    24              /* NR_VIRQS of xen.h */

/* Ports live in buckets that are made on first use and never freed. */
#define PORTS_PER_BUCKET 256
#define NR_PORT_BUCKETS  (EVTCHN_FIFO_NR_CHANNELS / PORTS_PER_BUCKET)
#define FIFO_WORDS_PER_PAGE 1024        /* event_word_t in a page */
#define FIFO_MAX_PAGES   (EVTCHN_FIFO_NR_CHANNELS / FIFO_WORDS_PER_PAGE)

struct port {
    pthread_mutex_t lock;
    uint32_t seq;               /* of the last KL_PORT applied */
    uint32_t number;
    uint32_t virq;
    uint16_t vcpu;
    uint16_t last_vcpu;         /* FIFO: the queue that it was last linked on */
    uint8_t  kind;              /* enum kl_port_kind */
    uint8_t  priority;          /* FIFO */
    uint8_t  last_priority;
    bool     pending;           /* FIFO: raised while its event word did not exist yet */
    int      recv, send;        /* eventfds or -1 */
};

/* A vCPU's local APIC. All but posted belongs to the vCPU's thread. */
struct lapic {
    uint64_t base_msr;
    uint32_t regs[256];         /* the register page's first KiB, one word per 4 bytes */
    _Atomic uint32_t posted[8]; /* vectors that others sent; merged into IRR by the owner */
    uint64_t timer_deadline;    /* host monotonic ns, NO_TIMER if it does not run */
    uint64_t timer_period;      /* ns, 0 unless periodic */
    uint64_t tsc_deadline;      /* IA32_TSC_DEADLINE, 0 when disarmed */
    uint32_t esr;               /* errors since the last write of ESR */
};

/* What a vCPU that does not run guest code waits for. */
enum vcpu_block { VCPU_AWAKE, VCPU_HALTED, VCPU_BLOCKED, VCPU_POLLING };

/* Where its thread is: decides how others get its attention. */
enum vcpu_where { VCPU_OUT, VCPU_IN_LOOP, VCPU_SLEEPING, VCPU_IN_ACCESS /* ioreq.c */ };

enum vcpu_request { VCPU_REQ_NMI = 1, VCPU_REQ_INIT = 2, VCPU_REQ_SIPI = 4, VCPU_REQ_RUNSTATE = 8,
                    VCPU_REQ_INJECT = 16 };

struct machine;

struct vcpu {
    struct machine *m;
    unsigned id;
    pthread_t thread;
    int sock;                           /* to the core; -1 until KL_VCPU */
    int kick_fd;                        /* eventfd: ends a sleep, or a wait for a device model */
    int events;                         /* epoll set: its ports' recv, and kick_fd. See event.c */
    struct engine_vcpu *ev;
    struct kl_vcpu_state *st;           /* shared with the core: write only, but for load */

    /* Any thread. */
    _Atomic uint32_t work;              /* not 0 asks for a turn of the run loop */
    _Atomic uint32_t where;             /* enum vcpu_where */
    _Atomic uint32_t requests;          /* enum vcpu_request */
    _Atomic uint32_t sipi_vector;
    struct kl_inject inject;            /* with VCPU_REQ_INJECT: one at a time */
    _Atomic uint32_t online;            /* VCPUOP_up / down, INIT / SIPI */
    _Atomic uint32_t initialised;
    _Atomic uint32_t polling;
    _Atomic uint64_t info_gpa;          /* registered vcpu_info, or NO_ADDR: in shared_info */
    _Atomic uint64_t runstate_gva, time_gva;
    _Atomic uint32_t upcall_vector;     /* HVMOP_set_evtchn_upcall_vector, 0 none */
    _Atomic uint64_t periodic_ns;       /* VCPUOP_set_periodic_timer, 0 off */
    _Atomic uint32_t periodic_changed;
    _Atomic uint32_t virq_port[NR_VIRQS_MAX];
    struct vcpu_info dummy_info;        /* for vCPUs beyond shared_info that registered none */

    /* FIFO queues, under fifo_lock. */
    pthread_mutex_t fifo_lock;
    uint64_t fifo_control;              /* gpa of the control block, or NO_ADDR */
    uint32_t fifo_tail[EVTCHN_FIFO_MAX_QUEUES];

    bool parked;                        /* under the machine's run_lock */

    /* Own thread only. */
    enum vcpu_block block;
    bool kicked;                        /* since it blocked */
    bool hears;                         /* reads its own events: the main thread does not */
    bool hold;                          /* park at the next turn, KL_STOP or not */
    bool nmi_pending, window;
    bool load_later;                    /* a context came in the middle of an instruction */
    bool unmapped;                      /* this hypercall took frames away */
    bool rewind;                        /* the hypercall was cut short: execute it again */
    uint64_t singleshot, periodic_next, poll_deadline;  /* host monotonic ns */
    struct lapic lapic;
    uint32_t clock_gen;
    uint64_t tsc_offset;
    uint64_t mtrr_def_type, misc_enable, spec_ctrl, mtrr_var[16], mtrr_fixed[11];
    unsigned runstate;                  /* RUNSTATE_* */
    uint64_t runstate_since;            /* host monotonic ns */
    uint64_t runstate_time[4];
    uint64_t cpu_sampled, wall_running; /* for the runnable share of "running" */
    uint64_t hypercalls;                /* answered here, not yet told */
    uint32_t cap_gen;                   /* cap_used is from under this cap */
    uint64_t cap_used;                  /* the thread's processor time, already charged */
    bool cap_waits;                     /* in debt, until well out of it */
    char debug[120];                    /* the debug console's line so far */
    size_t debug_len;
};

/* How much processor time the vCPUs may use together. See cap.c. */
struct cpu_cap {
    _Atomic uint32_t percent;           /* of one CPU; 0: no limit */
    _Atomic uint32_t gen;               /* changes with percent */
    _Atomic uint64_t paid;              /* host monotonic ns by which all use so far is paid for */
};

/* Guest system time as a line through (tsc, ns); the same for all vCPUs. See time.c. */
struct guest_clock {
    pthread_mutex_t lock;
    uint64_t tsc, ns;                   /* host TSC and guest system time of the line's start */
    uint32_t mul;
    int8_t   shift;
    double   ns_per_tick;
    uint64_t cal_tsc, cal_ns;           /* start of the long measurement (host monotonic) */
    _Atomic int64_t wall_shift; /* settimeoffset: seconds that the guest's wallclock is ahead */
    uint64_t wall_offset;               /* wallclock at guest time 0, ns since 1970 */
    bool     set;
    _Atomic uint64_t next;              /* host monotonic ns of the next correction */
    _Atomic uint32_t gen;               /* changes with each correction */
};

struct machine {
    const struct engine_ops *ops;
    struct engine *engine;
    uint32_t domid, nr_vcpus, emulation_flags;
    int control, epoll;                 /* epoll: control, and each vCPU's events */
    struct kl_state *state;

    /* Memory. */
    pthread_mutex_t mem_lock;
    uint8_t *ram, *gfn_type;
    uint64_t gpa_limit, nr_gfns;
    int fd_ram, fd_xen;
    uint64_t *foreign;                  /* a bit per frame: another domain's page is mapped there */
    uint8_t *xen_pages;                 /* the Xen-owned memfd, whole */
    struct shared_info *shared;         /* its first page */

    /* Event channels. */
    pthread_mutex_t ports_lock;         /* makes buckets */
    struct port *_Atomic bucket[NR_PORT_BUCKETS];
    _Atomic uint32_t narrow;            /* the guest uses the 32-bit layout of shared_info */
    _Atomic uint32_t fifo;              /* FIFO ABI on */
    _Atomic uint64_t fifo_page[FIFO_MAX_PAGES];  /* gpa, or 0: not there */
    _Atomic uint32_t fifo_pages;
    _Atomic uint32_t pollers;
    _Atomic uint64_t callback_via;      /* HVM_PARAM_CALLBACK_IRQ */
    _Atomic uint64_t vm_assist;
    _Atomic uint32_t triple_fault_reason; /* SHUTDOWN_* */

    /* Device models (ioreq.c). The main thread changes the table, under ioreq_lock. */
    pthread_mutex_t ioreq_lock;
    struct ioreq_server *ioreq[KL_XEN_MAX_IOREQ_SERVERS];
    _Atomic uint32_t ioreq_enabled;     /* bit per server */
    _Atomic uint32_t pci_cf8;           /* what the guest last wrote there */

    struct guest_clock clock;
    uint64_t start_tsc, start_ns; /* host TSC and time at the latest KL_RUN: common to all vCPUs */

    /* CPU policy: sorted by (leaf, subleaf); set before the first run. */
    struct kl_cpuid_leaf cpuid[KL_MAX_CPUID];
    unsigned nr_cpuid;
    uint64_t arch_caps;             /* MSR 0x10a, where the policy has it */
    bool amd;
    uint32_t tsc_khz;

    struct cpu_cap cap;

    /* Running, under run_lock. */
    pthread_mutex_t run_lock;
    pthread_cond_t run_cond;
    uint32_t run_gen, nr_parked;
    bool stop_asked;                    /* a KL_STOP awaits its KL_STOPPED */
    _Atomic uint32_t stop;
    _Atomic uint32_t down_told;         /* that all vCPUs are down, since the latest KL_RUN */

    struct vcpu *vcpu;                  /* nr_vcpus of them */
};

/* The vCPU whose thread this is, or NULL on the main thread. */
extern __thread struct vcpu *current;

/* Host CLOCK_MONOTONIC in ns: the clock of every deadline here. */
uint64_t host_now(void);
uint64_t host_tsc(void);

#endif
