/* SPDX-License-Identifier: MIT */
/*
 * The line between the core and a domain process (krypton-domain).
 *
 * The core starts `krypton-domain` with its control socket as descriptor 3 (SOCK_SEQPACKET
 * socketpair) and sends KL_SETUP with the descriptors of the domain's memory, then KL_VCPU for each
 * vCPU with that vCPU's own socket. The process then enters its sandbox and answers KL_READY.
 *
 * Two kinds of traffic:
 *  - control socket: core -> process commands at any time; process -> core notices.
 *  - a vCPU's socket: the vCPU thread sends KL_HYPERCALL and waits for KL_RET. Before KL_RET the
 *    core may send any number of updates (KL_MAP, KL_UNMAP, KL_PORT, KL_PARAM) on that socket: the
 *    consequences of this hypercall, which the thread applies in order, so they are in effect when the
 *    guest goes on. Updates that others caused come on the control socket.
 *
 * The core treats what comes from here as it treats a guest: checked, bounded, never waited for.
 * The core sends without blocking; a process that does not drain its socket is killed.
 * `krypton-domain --describe` (descriptor 3 = socket) instead answers one KL_DESCRIPTION and exits:
 * the core learns at start which engine is usable and what CPU it offers.
 */
#ifndef KR_DOMAIN_LINK_H
#define KR_DOMAIN_LINK_H

#include <stdint.h>

#include <xen/xen.h>
#include <xen/hvm/save.h>

#define KL_FD_CONTROL   3
#define KL_VERSION      1
#define KL_MAX_MSG      65536
#define KL_MAX_VCPUS    128          /* HVM_MAX_VCPUS */

enum kl_op {
    /* core -> process */
    KL_SETUP = 1,     /* kl_setup + fds: ram, xen, state */
    KL_VCPU,          /* kl_vcpu + fd: that vCPU's socket */
    KL_MAP,           /* kl_map [+ fd] */
    KL_UNMAP,         /* kl_unmap */
    KL_PORT,          /* kl_port [+ fds: recv [, send]] */
    KL_PARAM,         /* kl_param: an HVM parameter that concerns the machine (CALLBACK_IRQ ...) */
    KL_CPUID,         /* kl_cpuid: the domain's CPU policy, whole; before the first KL_RUN */
    KL_RUN,           /* no body: vCPUs run (state loaded from the state area where marked) */
    KL_STOP,          /* no body: all vCPUs leave guest mode, save to the state area, then KL_STOPPED */
    KL_TRIGGER,       /* kl_trigger: NMI, ... (XEN_DOMCTL_SENDTRIGGER_*) */
    KL_VIRQ,          /* kl_virq: raise a per-vCPU VIRQ (debug) */
    KL_RET,           /* kl_ret, on a vCPU's socket */
    KL_IOREQ,         /* kl_ioreq: an I/O request server as it is from now on */
    KL_IOREQ_PORT,    /* kl_ioreq_port + fds: recv, send */
    KL_MSI,           /* kl_msi: a message-signalled interrupt */
    KL_INJECT,        /* kl_inject: an exception or interrupt that a device model raises */
    KL_SYNC,          /* kl_sync: answer KL_SYNCED when all that came before is in effect */

    /* process -> core */
    KL_READY = 64,    /* no body */
    KL_STOPPED,       /* no body */
    KL_SHUTDOWN,      /* kl_shutdown: triple fault, engine error ... */
    KL_HYPERCALL,     /* kl_hypercall, on a vCPU's socket */
    KL_DESCRIPTION,   /* kl_description, for --describe */
    KL_SYNCED,        /* kl_sync, with the number of the KL_SYNC */
    KL_CONSOLE,       /* kl_text: bytes the guest wrote to the debug port 0xe9 or HVM console */
};

struct kl_hdr { uint32_t op, len; };            /* len: whole message, = packet length */

struct kl_setup {
    struct kl_hdr h;
    uint32_t version, domid;
    uint32_t max_vcpus, emulation_flags;        /* XEN_X86_EMU_* */
    uint64_t gpa_limit;                         /* bytes to reserve for guest-physical space */
    uint64_t ram_pages, xen_pages;              /* sizes of the memfds */
    uint64_t uuid[2];
    uint64_t tsc_khz;
    uint32_t flags, reserved;
};

struct kl_vcpu { struct kl_hdr h; uint32_t id, reserved; };

/*
 * Guest frames. Memory 0 is the domain's RAM memfd, 1 its Xen-owned pages (page 0 of it is
 * shared_info, see kl_xen_layout), 2 = the descriptor attached to this message (another domain's
 * granted or foreign page, or a page of its own that another guest maps: core/held.h). A KL_MEM_FD run of
 * type ROM comes with a descriptor for reading only.
 */
enum { KL_MEM_RAM, KL_MEM_XEN, KL_MEM_FD };
struct kl_run_map { uint64_t gfn, nr, page; uint32_t mem, type; };   /* type: enum engine_gfn_type, */
#define KL_TYPE_IOREQ 3             /* or ROM to the engine, whose writes go to a device model */
struct kl_map { struct kl_hdr h; uint32_t nr, reserved; struct kl_run_map run[]; };
struct kl_run_unmap { uint64_t gfn, nr; };
struct kl_unmap { struct kl_hdr h; uint32_t nr, reserved; struct kl_run_unmap run[]; };

/* Pages of the Xen-owned memfd. The core keeps it mapped (it holds no guest secrets). */
enum kl_xen_layout {
    KL_XEN_SHARED_INFO = 0,
    KL_XEN_GRANT_FRAMES = 1,        /* up to KL_XEN_MAX_GRANT_FRAMES */
    KL_XEN_MAX_GRANT_FRAMES = 1024,
    KL_XEN_STATUS_FRAMES = KL_XEN_GRANT_FRAMES + KL_XEN_MAX_GRANT_FRAMES,
    KL_XEN_IOREQ = KL_XEN_STATUS_FRAMES + KL_XEN_MAX_GRANT_FRAMES,
    KL_XEN_MAX_IOREQ_SERVERS = 8,   /* two pages each: buffered requests, then the vCPUs' ioreqs */
    KL_XEN_PAGES = KL_XEN_IOREQ + 2 * KL_XEN_MAX_IOREQ_SERVERS,
};

/*
 * A port as the process needs it. The core owns the binding; the process owns pending/mask bits
 * (they lie in guest memory), FIFO queues and delivery. recv is an eventfd that the process reads:
 * an event for this port. send is what the guest's EVTCHNOP_send adds 1 to.
 */
enum kl_port_kind { KL_PORT_CLOSED, KL_PORT_UNBOUND, KL_PORT_INTERDOMAIN, KL_PORT_VIRQ, KL_PORT_IPI, KL_PORT_XEN };
struct kl_port { struct kl_hdr h; uint32_t port, kind, vcpu, virq, seq, reserved; };
/*
 * seq: updates of one port may travel on different sockets (a vCPU's own close, a peer's close), so
 * each carries a number that grows per domain; one that is older ((int32_t)(seq - last) <= 0) than
 * the last applied to that port is dropped (its fds closed).
 *
 * fds: INTERDOMAIN recv, send; UNBOUND none (a send on it is dropped, as in Xen); VIRQ recv if the core raises it (global VIRQs), none for
 * VIRQ_TIMER and VIRQ_DEBUG (raised by the process); IPI none; XEN (consumed by the core) send only.
 * A second KL_PORT for an open port replaces kind and vcpu and, when it carries fds, the fds.
 */

struct kl_param { struct kl_hdr h; uint32_t index, reserved; uint64_t value; };
/* An index beyond the HVM parameters: seconds to add to the wall clock (settimeoffset), signed. */
#define KL_PARAM_TIME_OFFSET 0x10000
/* Another: how much processor time all vCPUs together may use, in per cent of one CPU; 0: no limit. */
#define KL_PARAM_CPU_CAP 0x10001

struct kl_cpuid_leaf { uint32_t leaf, subleaf, a, b, c, d; };        /* subleaf 0xffffffff: none */
#define KL_MAX_CPUID 256
struct kl_cpuid {
    struct kl_hdr h;
    uint32_t nr, reserved;
    uint64_t arch_caps;                         /* MSR 0x10a, for leaf 7's ARCH_CAPS */
    struct kl_cpuid_leaf leaf[];
};

/*
 * I/O request servers: device models that take a guest's accesses (xen/hvm/ioreq.h has the pages'
 * layout). KL_IOREQ tells all of a server at each change: ranges lists the three kinds one after the
 * other (XEN_DMOP_IO_RANGE_PORT, _MEMORY, _PCI; nr[] of each), sorted, disjoint, ends included.
 * Accesses that no enabled server's range holds as a whole are nobody's. Both messages come on the
 * control socket; KL_IOREQ of a new server first, then its ports.
 */
enum { KL_IOREQ_GONE, KL_IOREQ_DISABLED, KL_IOREQ_ENABLED };
#define KL_IOREQ_KINDS 3
#define KL_IOREQ_MAX_RANGES 256      /* of one kind */
struct kl_ioreq_range { uint64_t start, end; };
struct kl_ioreq {
    struct kl_hdr h;
    uint32_t id, state;
    uint32_t buffered;                          /* HVM_IOREQSRV_BUFIOREQ_* */
    uint32_t mem_writes;                        /* it gets the writes to KL_TYPE_IOREQ frames */
    uint32_t nr[KL_IOREQ_KINDS], reserved;
    struct kl_ioreq_range range[];
};
/* fds: an eventfd that says "look at the vCPU's ioreq", and what tells the device model the same. */
#define KL_IOREQ_BUFFERED UINT32_MAX            /* for vcpu: the port of the buffered requests */
struct kl_ioreq_port { struct kl_hdr h; uint32_t id, vcpu, port, reserved; };

struct kl_msi { struct kl_hdr h; uint64_t addr; uint32_t data, reserved; };
/* type: XEN_DMOP_EVENT_*; error ~0: none. The core sets the vCPU's inject mark in the state area and
 * the process clears it when it has taken the event. */
struct kl_inject {
    struct kl_hdr h;
    uint32_t vcpu, error;
    uint8_t vector, type, insn_len, pad[5];
    uint64_t cr2;
};

struct kl_sync { struct kl_hdr h; uint64_t seq; };
struct kl_trigger { struct kl_hdr h; uint32_t trigger, vcpu; };
struct kl_virq { struct kl_hdr h; uint32_t virq, vcpu; };
struct kl_shutdown { struct kl_hdr h; uint32_t reason, vcpu; char text[240]; }; /* SHUTDOWN_*; NUL-terminated */
struct kl_text { struct kl_hdr h; char text[]; };

/*
 * A hypercall that the process does not answer itself. Pointers in arguments are guest linear
 * addresses; the core walks the guest's page tables (by pread on its memfds) with these registers.
 */
struct kl_hypercall {
    struct kl_hdr h;
    uint64_t op, arg[5];
    uint64_t cr0, cr3, cr4, efer;
    uint32_t cpl, compat;                       /* compat: 32-bit caller (arguments truncated already) */
};
struct kl_ret { struct kl_hdr h; int64_t ret; uint32_t flags, reserved; };
#define KL_RET_STOP 1                           /* the vCPU must stop (domain shut down): wait for KL_RUN */
/* Long hypercalls (many extents) may be cut by the core: it then returns KL_RET with this flag and the
 * process issues the same hypercall again with the arguments as they now are in guest memory/arg0. */
#define KL_RET_AGAIN 2

/*
 * The state area: a memfd that both map. The process writes run states and times as they
 * change, and contexts when it stops; the core writes contexts (load = 1) before KL_RUN. Either side
 * treats what it reads as hostile; the core copies before it checks.
 */
enum { KL_RS_OFFLINE, KL_RS_RUNNING, KL_RS_RUNNABLE, KL_RS_BLOCKED };
/* Parts of a context in kl_vcpu_state.load; a part without its bit keeps the state it has (reset at first). */
enum { KL_LOAD_CPU = 1, KL_LOAD_LAPIC = 2, KL_LOAD_LAPIC_REGS = 4, KL_LOAD_MTRR = 8 };
struct kl_vcpu_state {
    uint32_t run;                               /* KL_RS_*; written by the process */
    uint32_t load;                              /* KL_LOAD_*: what the core has put here for the next KL_RUN */
    uint32_t online;                            /* by VCPUOP_up/down, or the core's context */
    int32_t  tid;                               /* of the vCPU thread, for affinity */
    uint64_t time[4];                           /* ns in each RUNSTATE_* (running, runnable, blocked, offline) */
    uint64_t insns, exits;                      /* engine statistics */
    struct hvm_hw_cpu cpu;
    struct hvm_hw_lapic lapic;
    struct hvm_hw_lapic_regs lapic_regs;
    uint64_t vcpu_info_gpa;                     /* ~0: in shared_info */
    uint64_t runstate_gva;                      /* ~0: not registered */
    uint64_t time_info_gva;
    uint64_t upcall_vector;
    uint64_t singleshot_ns, periodic_ns;        /* armed timers, absolute guest system time; 0 none */
    struct hvm_hw_mtrr mtrr;
    uint64_t inject;                            /* 1: a KL_INJECT is under way */
    uint64_t pad[31];
} __attribute__((aligned(4096)));
struct kl_state {
    uint64_t system_time_offset;                /* guest system time = host CLOCK_MONOTONIC + this */
    uint32_t callback_via, fifo;                /* fifo: 1 after EVTCHNOP_init_control */
    uint64_t hypercalls_local, hypercalls_core, events_in, events_out;
    uint64_t pad[500];
    struct kl_vcpu_state vcpu[KL_MAX_VCPUS];
} __attribute__((aligned(4096)));

struct kl_description {
    struct kl_hdr h;
    uint32_t version, nr;
    char engine[16];                            /* "soft", "kvm" */
    char kvm_verdict[160];                      /* why KVM is or is not used, one line */
    uint64_t tsc_khz;
    uint64_t arch_caps;                         /* engine_ops.host_arch_caps */
    struct kl_cpuid_leaf leaf[];                /* the largest policy that the engine can run */
};

#endif
