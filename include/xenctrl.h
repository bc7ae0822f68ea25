/* SPDX-License-Identifier: MIT */
/*
 * libxenctrl: the toolstack's view of a Xen host's hypercalls (the API of Xen 4.17).
 *
 * Conventions, unless a comment says otherwise: functions return 0 or a pointer, and on failure
 * -1 (or NULL) with errno set; a failure is also reported to the handle's logger and kept for
 * xc_get_last_error(). Frame numbers count 4 KiB pages, sizes are bytes unless the name says kb
 * or pages, maps of CPUs and nodes are little-endian bit arrays of xc_get_cpumap_size() and
 * xc_get_nodemap_size() bytes owned by the caller (free()). Domids are uint32_t for history's
 * sake; only values below DOMID_FIRST_RESERVED (and DOMID_SELF where Xen takes it) are meaningful.
 *
 * A handle may be used by several threads; xc_get_last_error() is per thread unless
 * XC_OPENFLAG_NON_REENTRANT was given. A child must not use a handle opened before fork().
 *
 * Never: caches what the host said, retries a failed operation on its own account (except where
 * Xen's ABI asks the caller to continue one), or prints anywhere but through the logger.
 */
#ifndef XENCTRL_H
#define XENCTRL_H

#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ 1
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/physdev.h>
#include <xen/sysctl.h>
#include <xen/version.h>
#include <xen/event_channel.h>
#include <xen/sched.h>
#include <xen/memory.h>
#include <xen/grant_table.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/params.h>
#include <xen/xsm/flask_op.h>
#include <xen/kexec.h>
#include <xen/platform.h>
#include <xen/foreign/x86_32.h>
#include <xen/foreign/x86_64.h>
#include <xen/arch-x86/xen-mca.h>

#include "xentoollog.h"

#define XC_PAGE_SHIFT 12
#define XC_PAGE_SIZE  (1UL << XC_PAGE_SHIFT)
#define XC_PAGE_MASK  (~(XC_PAGE_SIZE - 1))

#define INVALID_MFN (~0UL)

/* Barriers for memory shared with a guest. x86 keeps loads and stores in order by itself. */
#define xen_barrier() __asm__ volatile("" ::: "memory")
#define xen_mb()      __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_rmb()     xen_barrier()
#define xen_wmb()     xen_barrier()

/* ---- handles, errors -------------------------------------------------------------------- */

/* Tells callers that handles are pointers, not file descriptors as before Xen 4.1. */
#define XENCTRL_HAS_XC_INTERFACE 1

typedef struct xc_interface_core xc_interface;

enum xc_error_code {
    XC_ERROR_NONE     = 0,
    XC_INTERNAL_ERROR = 1,
    XC_INVALID_KERNEL = 2,
    XC_INVALID_PARAM  = 3,
    XC_OUT_OF_MEMORY  = 4,
};
typedef enum xc_error_code xc_error_code;

enum xc_open_flags {
    XC_OPENFLAG_DUMMY         = 1 << 0, /* no connection: only for functions that make no call */
    XC_OPENFLAG_NON_REENTRANT = 1 << 1, /* the caller uses the handle from one thread at a time */
};

/*
 * Connects to the host. logger: where errors go, NULL for stderr. dombuild_logger: where the
 * domain builder reports, NULL for a log file (see xc_dom_loginit()). Neither is owned.
 */
xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
                                unsigned open_flags);

/* Always frees the handle; -1 with errno if a connection did not close cleanly. NULL is fine. */
int xc_interface_close(xc_interface *xch);

/* The connections below the handle; they stay owned by it. NULL for a dummy handle. */
struct xencall_handle *xc_interface_xcall_handle(xc_interface *xch);
struct xenforeignmemory_handle *xc_interface_fmem_handle(xc_interface *xch);
struct xendevicemodel_handle *xc_interface_dmod_handle(xc_interface *xch);

#define XC_MAX_ERROR_MSG_LEN 1024
typedef struct xc_error {
    enum xc_error_code code;
    char message[XC_MAX_ERROR_MSG_LEN];
} xc_error;

/* Static texts: the name of an xc_error_code, and strerror() for one. Never NULL. */
const char *xc_error_code_to_desc(int code);
const char *xc_strerror(xc_interface *xch, int errcode);

/* The last failure reported on this handle; code XC_ERROR_NONE if there was none since cleared. */
const xc_error *xc_get_last_error(xc_interface *xch);
void xc_clear_last_error(xc_interface *xch);

/* ---- memory for hypercall arguments ----------------------------------------------------- */

/*
 * Memory that a hypercall may touch comes from xencall. Beside each such pointer lives one of
 * these, declared by the macros below under a name derived from the pointer's, so that
 * set_xen_guest_handle() accepts only pointers that have one. Treat it as opaque.
 */
struct xc_hypercall_buffer {
    void *hbuf;                                /* the memory */
    struct xc_hypercall_buffer *param_shadow;  /* the buffer that a function argument stands for */
    int dir;                                   /* bounce: when ubuf is copied; 0: not a bounce */
    void *ubuf;                                /* bounce: the caller's memory */
    size_t sz;                                 /* bounce: its size */
};
typedef struct xc_hypercall_buffer xc_hypercall_buffer_t;

#define XC__HYPERCALL_BUFFER_NAME(_name) xc__hypercall_buffer_##_name

/* The buffer that belongs to pointer _name, through one level of argument passing. */
#define HYPERCALL_BUFFER(_name)                                              \
    ({                                                                       \
        xc_hypercall_buffer_t *hcb_own_ = &XC__HYPERCALL_BUFFER_NAME(_name); \
        hcb_own_->param_shadow ? hcb_own_->param_shadow : hcb_own_;          \
    })

#define HYPERCALL_BUFFER_INIT_NO_BOUNCE .dir = 0, .sz = 0, .ubuf = (void *)-1

/* A pointer _name to _type, and its still unallocated buffer. */
#define DECLARE_HYPERCALL_BUFFER(_type, _name)                                    \
    _type *(_name) = NULL;                                                        \
    xc_hypercall_buffer_t XC__HYPERCALL_BUFFER_NAME(_name) = {                    \
        .hbuf = NULL, .param_shadow = NULL, HYPERCALL_BUFFER_INIT_NO_BOUNCE       \
    }

/* A pointer _name to _type into the allocated buffer *_hbuf. */
#define DECLARE_HYPERCALL_BUFFER_SHADOW(_type, _name, _hbuf)                      \
    _type *(_name) = (_hbuf)->hbuf;                                               \
    __attribute__((unused))                                                       \
    xc_hypercall_buffer_t XC__HYPERCALL_BUFFER_NAME(_name) = {                    \
        .hbuf = (void *)-1, .param_shadow = (_hbuf), HYPERCALL_BUFFER_INIT_NO_BOUNCE \
    }

/* Makes function argument _name, an xc_hypercall_buffer_t *, usable by the macros below. */
#define DECLARE_HYPERCALL_BUFFER_ARGUMENT(_name)                                  \
    xc_hypercall_buffer_t XC__HYPERCALL_BUFFER_NAME(_name) = {                    \
        .hbuf = (void *)-1, .param_shadow = (_name), HYPERCALL_BUFFER_INIT_NO_BOUNCE \
    }

/* The buffer's address as a hypercall argument. */
#define HYPERCALL_BUFFER_AS_ARG(_name)                                   \
    ({                                                                   \
        xc_hypercall_buffer_t *hcb_arg_ = HYPERCALL_BUFFER(_name);       \
        (unsigned long)hcb_arg_->hbuf;                                   \
    })

#define set_xen_guest_handle_impl(_hnd, _val, _byte_off)                 \
    do {                                                                 \
        xc_hypercall_buffer_t *hcb_hnd_ = HYPERCALL_BUFFER(_val);        \
        set_xen_guest_handle_raw(_hnd, hcb_hnd_->hbuf + (_byte_off));    \
    } while (0)

#undef set_xen_guest_handle
#define set_xen_guest_handle(_hnd, _val) set_xen_guest_handle_impl(_hnd, _val, 0)

/* The same for the _off'th element. */
#define set_xen_guest_handle_offset(_hnd, _val, _off) \
    set_xen_guest_handle_impl(_hnd, _val, ((sizeof(*_val) * (_off))))

/* A null handle: set_xen_guest_handle(h, HYPERCALL_BUFFER_NULL). */
extern xc_hypercall_buffer_t XC__HYPERCALL_BUFFER_NAME(HYPERCALL_BUFFER_NULL);

/*
 * Zeroed memory for a declared buffer, to be given back by the matching free (which ignores an
 * unallocated one). By bytes: any alignment a C object needs. By pages: page-aligned.
 */
void *xc__hypercall_buffer_alloc(xc_interface *xch, xc_hypercall_buffer_t *b, size_t size);
void xc__hypercall_buffer_free(xc_interface *xch, xc_hypercall_buffer_t *b);
void *xc__hypercall_buffer_alloc_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int nr_pages);
void xc__hypercall_buffer_free_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int nr_pages);
#define xc_hypercall_buffer_alloc(_xch, _name, _size) \
    xc__hypercall_buffer_alloc(_xch, HYPERCALL_BUFFER(_name), _size)
#define xc_hypercall_buffer_free(_xch, _name) \
    xc__hypercall_buffer_free(_xch, HYPERCALL_BUFFER(_name))
#define xc_hypercall_buffer_alloc_pages(_xch, _name, _nr) \
    xc__hypercall_buffer_alloc_pages(_xch, HYPERCALL_BUFFER(_name), _nr)
#define xc_hypercall_buffer_free_pages(_xch, _name, _nr)                             \
    do {                                                                             \
        if (_name) {                                                                 \
            xc__hypercall_buffer_free_pages(_xch, HYPERCALL_BUFFER(_name), _nr);     \
        }                                                                            \
    } while (0)

/* n buffers under one owner: allocate each by index, look each up again, free all at once. */
struct xc_hypercall_buffer_array;
typedef struct xc_hypercall_buffer_array xc_hypercall_buffer_array_t;
xc_hypercall_buffer_array_t *xc_hypercall_buffer_array_create(xc_interface *xch, unsigned n);
void *xc__hypercall_buffer_array_alloc(xc_interface *xch, xc_hypercall_buffer_array_t *array,
                                       unsigned index, xc_hypercall_buffer_t *hbuf, size_t size);
void *xc__hypercall_buffer_array_get(xc_interface *xch, xc_hypercall_buffer_array_t *array,
                                     unsigned index, xc_hypercall_buffer_t *hbuf);
void xc_hypercall_buffer_array_destroy(xc_interface *xc, xc_hypercall_buffer_array_t *array);
#define xc_hypercall_buffer_array_alloc(_xch, _array, _index, _name, _size) \
    xc__hypercall_buffer_array_alloc(_xch, _array, _index, HYPERCALL_BUFFER(_name), _size)
#define xc_hypercall_buffer_array_get(_xch, _array, _index, _name, _size) \
    xc__hypercall_buffer_array_get(_xch, _array, _index, HYPERCALL_BUFFER(_name))

/* ---- CPU and node maps ------------------------------------------------------------------ */

typedef uint8_t *xc_cpumap_t;
typedef uint8_t *xc_nodemap_t;

/* Counts of possible CPUs and nodes, of online CPUs, and map sizes in bytes; -1 on failure. */
int xc_get_max_cpus(xc_interface *xch);
int xc_get_online_cpus(xc_interface *xch);
int xc_get_max_nodes(xc_interface *xch);
int xc_get_cpumap_size(xc_interface *xch);
int xc_get_nodemap_size(xc_interface *xch);

/* A zeroed map of that size, for the caller to free(). */
xc_cpumap_t xc_cpumap_alloc(xc_interface *xch);
xc_nodemap_t xc_nodemap_alloc(xc_interface *xch);
void xc_cpumap_clearcpu(int cpu, xc_cpumap_t map);
void xc_cpumap_setcpu(int cpu, xc_cpumap_t map);
int xc_cpumap_testcpu(int cpu, xc_cpumap_t map);

/* ---- domains ---------------------------------------------------------------------------- */

typedef struct xc_dominfo {
    uint32_t domid;
    uint32_t ssidref;
    unsigned int dying:1, crashed:1, shutdown:1, paused:1, blocked:1, running:1, hvm:1,
                 debugged:1, xenstore:1, hap:1;
    unsigned int shutdown_reason;           /* SHUTDOWN_*, only if shutdown or crashed */
    unsigned long nr_pages;                 /* current, not maximum */
    unsigned long nr_outstanding_pages;
    unsigned long nr_shared_pages;
    unsigned long nr_paged_pages;
    unsigned long shared_info_frame;
    uint64_t cpu_time;                      /* ns */
    unsigned long max_memkb;
    unsigned int nr_online_vcpus;
    unsigned int max_vcpu_id;
    xen_domain_handle_t handle;             /* the UUID */
    unsigned int cpupool;
    uint8_t gpaddr_bits;
    struct xen_arch_domainconfig arch_config;
} xc_dominfo_t;

typedef xen_domctl_getdomaininfo_t xc_domaininfo_t;

/* Guest-visible structures of either width. */
typedef union {
    vcpu_guest_context_x86_64_t x64;
    vcpu_guest_context_x86_32_t x32;
    vcpu_guest_context_t c;
} vcpu_guest_context_any_t;

typedef union {
    shared_info_x86_64_t x64;
    shared_info_x86_32_t x32;
    shared_info_t s;
} shared_info_any_t;

typedef union {
    start_info_x86_64_t x64;
    start_info_x86_32_t x32;
    start_info_t s;
} start_info_any_t;

/*
 * *pdomid asks for a domid, 0 for any; it receives the one given. The domain has no memory and
 * no vCPUs yet, and is paused.
 */
int xc_domain_create(xc_interface *xch, uint32_t *pdomid, struct xen_domctl_createdomain *config);

/* Once per domain: vCPUs 0 to max - 1, all offline but 0. */
int xc_domain_max_vcpus(xc_interface *xch, uint32_t domid, unsigned int max);

/* Pausing counts: as many unpauses are needed. Destroying waits until the memory is given back. */
int xc_domain_pause(xc_interface *xch, uint32_t domid);
int xc_domain_unpause(xc_interface *xch, uint32_t domid);
int xc_domain_destroy(xc_interface *xch, uint32_t domid);

/* Marks the domain shut down for a reason (SHUTDOWN_*), as if it had asked for that itself. */
int xc_domain_shutdown(xc_interface *xch, uint32_t domid, int reason);

/* Tears down a domain's start-of-day state so that a crash kernel can start in it. */
int xc_domain_soft_reset(xc_interface *xch, uint32_t domid);

/* Arms (id 0: a new one), re-arms or disarms (timeout 0) the caller's own domain's watchdog. */
int xc_watchdog(xc_interface *xch, uint32_t id, uint32_t timeout);

int xc_domain_sethandle(xc_interface *xch, uint32_t domid, xen_domain_handle_t handle);
int xc_domain_setdebugging(xc_interface *xch, uint32_t domid, unsigned int enable);
int xc_domain_set_virq_handler(xc_interface *xch, uint32_t domid, int virq);

/* Makes domid privileged over target, as a stub device model needs. */
int xc_domain_set_target(xc_interface *xch, uint32_t domid, uint32_t target);

/* event channel `port` of the caller is notified when domid suspends */
int xc_domain_subscribe_for_suspend(xc_interface *xch, uint32_t domid, evtchn_port_t port);

/*
 * Up to max_doms domains with domid >= first_domid in ascending order. Returns how many were
 * found (0: none), or -1. The first asks domain by domain, the second once for all.
 */
int xc_domain_getinfo(xc_interface *xch, uint32_t first_domid, unsigned int max_doms,
                      xc_dominfo_t *info);
int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain, unsigned int max_domains,
                          xc_domaininfo_t *info);

/* ---- memory dumps (implemented by libxenguest) ------------------------------------------- */

/* The magics of a dump's header note; the structure is of dumps before they were ELF. */
#define XC_CORE_MAGIC     0xF00FEBED
#define XC_CORE_MAGIC_HVM 0xF00FEBEE

typedef struct xc_core_header {
    unsigned int xch_magic;
    unsigned int xch_nr_vcpus;
    unsigned int xch_nr_pages;
    unsigned int xch_ctxt_offset;
    unsigned int xch_index_offset;
    unsigned int xch_pages_offset;
} xc_core_header_t;

/* Takes the dump's next bytes; not 0 ends it. */
typedef int (dumpcore_rtn_t)(xc_interface *xch, void *arg, char *buffer, unsigned int length);

/* Of HVM and PVH guests, best paused; EOPNOTSUPP for PV. A file is made for its owner alone. */
int xc_domain_dumpcore(xc_interface *xch, uint32_t domid, const char *corename);
int xc_domain_dumpcore_via_callback(xc_interface *xch, uint32_t domid, void *arg,
                                    dumpcore_rtn_t dump_rtn);

/* ---- vCPUs ------------------------------------------------------------------------------ */

typedef struct xen_domctl_getvcpuinfo xc_vcpuinfo_t;
int xc_vcpu_getinfo(xc_interface *xch, uint32_t domid, uint32_t vcpu, xc_vcpuinfo_t *info);

/* CPU time of one vCPU in ns, or -1. */
long long xc_domain_get_cpu_usage(xc_interface *xch, uint32_t domid, int vcpu);

/* PV register state. HVM and PVH guests: xc_domain_hvm_getcontext(). */
int xc_vcpu_getcontext(xc_interface *xch, uint32_t domid, uint32_t vcpu,
                       vcpu_guest_context_any_t *ctxt);
int xc_vcpu_setcontext(xc_interface *xch, uint32_t domid, uint32_t vcpu,
                       vcpu_guest_context_any_t *ctxt);

/*
 * flags: XEN_VCPUAFFINITY_HARD, _SOFT, _FORCE; a map may be NULL if its flag is not given.
 * Setting returns in the maps what became effective.
 */
int xc_vcpu_setaffinity(xc_interface *xch, uint32_t domid, int vcpu,
                        xc_cpumap_t cpumap_hard_inout, xc_cpumap_t cpumap_soft_inout,
                        uint32_t flags);
int xc_vcpu_getaffinity(xc_interface *xch, uint32_t domid, int vcpu, xc_cpumap_t cpumap_hard,
                        xc_cpumap_t cpumap_soft, uint32_t flags);

int xc_domain_node_setaffinity(xc_interface *xch, uint32_t domid, xc_nodemap_t nodemap);
int xc_domain_node_getaffinity(xc_interface *xch, uint32_t domid, xc_nodemap_t nodemap);

/* XEN_DOMCTL_SENDTRIGGER_*: NMI, reset, power and sleep buttons. */
int xc_domain_send_trigger(xc_interface *xch, uint32_t domid, uint32_t trigger, uint32_t vcpu);

/* XEN_DOMCTL_DEBUG_OP_* on one vCPU. */
int xc_domain_debug_control(xc_interface *xch, uint32_t domid, uint32_t sop, uint32_t vcpu);

/*
 * The XSAVE area. size 0: only asks for xfeature_mask and size; else buffer (the caller's, of that
 * size) is filled.
 */
typedef struct xc_vcpu_extstate {
    uint64_t xfeature_mask;
    uint64_t size;
    void *buffer;
} xc_vcpu_extstate_t;
int xc_vcpu_get_extstate(xc_interface *xch, uint32_t domid, uint32_t vcpu,
                         xc_vcpu_extstate_t *extstate);

/* The frame behind a virtual address as that vCPU sees it; 0 with errno if there is none. */
unsigned long xc_translate_foreign_address(xc_interface *xch, uint32_t dom, int vcpu,
                                           unsigned long long virt);

/* Wrong entries of the maps between guest and machine frames; debug builds of Xen only. */
int xc_domain_p2m_audit(xc_interface *xch, uint32_t domid, uint64_t *orphans, uint64_t *m2p_bad,
                        uint64_t *p2m_bad);

/* Marks a guest frame's memory as lost. */
int xc_set_broken_page_p2m(xc_interface *xch, uint32_t domid, unsigned long pfn);

/* The CPU's execution trace of one vCPU: pos in bytes; options are the platform's registers. */
int xc_vmtrace_enable(xc_interface *xch, uint32_t domid, uint32_t vcpu);
int xc_vmtrace_disable(xc_interface *xch, uint32_t domid, uint32_t vcpu);
int xc_vmtrace_reset_and_enable(xc_interface *xch, uint32_t domid, uint32_t vcpu);
int xc_vmtrace_output_position(xc_interface *xch, uint32_t domid, uint32_t vcpu, uint64_t *pos);
int xc_vmtrace_get_option(xc_interface *xch, uint32_t domid, uint32_t vcpu, uint64_t key,
                          uint64_t *value);
int xc_vmtrace_set_option(xc_interface *xch, uint32_t domid, uint32_t vcpu, uint64_t key,
                          uint64_t value);

/* ---- HVM state -------------------------------------------------------------------------- */

/*
 * The domain's HVM state as a save image (xen/hvm/save.h). With a NULL buffer, returns its size
 * in bytes; else fills the buffer and returns how much was written. -1 on failure.
 */
int xc_domain_hvm_getcontext(xc_interface *xch, uint32_t domid, uint8_t *ctxt_buf, uint32_t size);

/* One record (typecode HVM_SAVE_CODE(X), instance usually the vCPU), without its descriptor. */
int xc_domain_hvm_getcontext_partial(xc_interface *xch, uint32_t domid, uint16_t typecode,
                                     uint16_t instance, void *ctxt_buf, uint32_t size);

int xc_domain_hvm_setcontext(xc_interface *xch, uint32_t domid, uint8_t *hvm_ctxt, uint32_t size);

/* HVM_PARAM_*. The older pair below truncates to a long. */
int xc_hvm_param_set(xc_interface *xch, uint32_t dom, uint32_t param, uint64_t value);
int xc_hvm_param_get(xc_interface *xch, uint32_t dom, uint32_t param, uint64_t *value);
int xc_set_hvm_param(xc_interface *xch, uint32_t dom, int param, unsigned long value);
int xc_get_hvm_param(xc_interface *xch, uint32_t dom, int param, unsigned long *value);

/* ---- time ------------------------------------------------------------------------------- */

int xc_domain_set_time_offset(xc_interface *xch, uint32_t domid, int32_t time_offset_seconds);
int xc_domain_set_tsc_info(xc_interface *xch, uint32_t domid, uint32_t tsc_mode,
                           uint64_t elapsed_nsec, uint32_t gtsc_khz, uint32_t incarnation);
int xc_domain_get_tsc_info(xc_interface *xch, uint32_t domid, uint32_t *tsc_mode,
                           uint64_t *elapsed_nsec, uint32_t *gtsc_khz, uint32_t *incarnation);

/* ---- memory ----------------------------------------------------------------------------- */

#define E820_RAM      1
#define E820_RESERVED 2
#define E820_ACPI     3
#define E820_NVS      4
#define E820_UNUSABLE 5
#define E820MAX       128

struct e820entry {
    uint64_t addr;
    uint64_t size;
    uint32_t type;
} __attribute__((packed));

/* What XENMEM_memory_map tells the guest; nr_entries at most E820MAX. */
int xc_domain_set_memory_map(xc_interface *xch, uint32_t domid, struct e820entry entries[],
                             uint32_t nr_entries);

/* The host's own map. Returns the number of entries, or -1. */
int xc_get_machine_memory_map(xc_interface *xch, struct e820entry entries[],
                              uint32_t max_entries);

int xc_reserved_device_memory_map(xc_interface *xch, uint32_t flags, uint16_t seg, uint8_t bus,
                                  uint8_t devfn, struct xen_reserved_device_memory entries[],
                                  uint32_t *max_entries);

/* The most memory the domain may own, in KiB (rounded down to pages). */
int xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb);

/* An e820 of one RAM range of that size. */
int xc_domain_set_memmap_limit(xc_interface *xch, uint32_t domid, unsigned long map_limitkb);

int xc_domain_setvnuma(xc_interface *xch, uint32_t domid, uint32_t nr_vnodes, uint32_t nr_regions,
                       uint32_t nr_vcpus, xen_vmemrange_t *vmemrange, unsigned int *vdistance,
                       unsigned int *vcpu_to_vnode, unsigned int *vnode_to_pnode);
int xc_domain_getvnuma(xc_interface *xch, uint32_t domid, uint32_t *nr_vnodes,
                       uint32_t *nr_vmemranges, uint32_t *nr_vcpus, xen_vmemrange_t *vmemrange,
                       unsigned int *vdistance, unsigned int *vcpu_to_vnode);

/* The highest guest frame in use, and one more than it. */
int xc_domain_maximum_gpfn(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns);
int xc_domain_nr_gpfns(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns);

/*
 * Extents of 2^extent_order pages. Return how many were done, -1 if none could even be tried;
 * the _exact forms return 0 only if all were, else -1 with errno ENOMEM, EINVAL (decreasing) or
 * EBUSY (populating).
 */
int xc_domain_increase_reservation(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                                   unsigned int extent_order, unsigned int mem_flags,
                                   xen_pfn_t *extent_start);
int xc_domain_increase_reservation_exact(xc_interface *xch, uint32_t domid,
                                         unsigned long nr_extents, unsigned int extent_order,
                                         unsigned int mem_flags, xen_pfn_t *extent_start);
int xc_domain_decrease_reservation(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                                   unsigned int extent_order, xen_pfn_t *extent_start);
int xc_domain_decrease_reservation_exact(xc_interface *xch, uint32_t domid,
                                         unsigned long nr_extents, unsigned int extent_order,
                                         xen_pfn_t *extent_start);
int xc_domain_populate_physmap(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                               unsigned int extent_order, unsigned int mem_flags,
                               xen_pfn_t *extent_start);
int xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                                     unsigned int extent_order, unsigned int mem_flags,
                                     xen_pfn_t *extent_start);

/* Sets pages aside for the domain until it is populated; 0 gives the rest back. */
int xc_domain_claim_pages(xc_interface *xch, uint32_t domid, unsigned long nr_pages);

int xc_domain_memory_exchange_pages(xc_interface *xch, uint32_t domid,
                                    unsigned long nr_in_extents, unsigned int in_order,
                                    xen_pfn_t *in_extents, unsigned long nr_out_extents,
                                    unsigned int out_order, xen_pfn_t *out_extents);

/* XENMAPSPACE_*. The batch form leaves a per-entry errno in errs[]. */
int xc_domain_add_to_physmap(xc_interface *xch, uint32_t domid, unsigned int space,
                             unsigned long idx, xen_pfn_t gpfn);
int xc_domain_add_to_physmap_batch(xc_interface *xch, uint32_t domid, uint32_t foreign_domid,
                                   unsigned int space, unsigned int size, xen_ulong_t *idxs,
                                   xen_pfn_t *gfpns, int *errs);
int xc_domain_remove_from_physmap(xc_interface *xch, uint32_t domid, xen_pfn_t gpfn);

/* Populate on demand; any result pointer may be NULL. */
int xc_domain_set_pod_target(xc_interface *xch, uint32_t domid, uint64_t target_pages,
                             uint64_t *tot_pages, uint64_t *pod_cache_pages,
                             uint64_t *pod_entries);
int xc_domain_get_pod_target(xc_interface *xch, uint32_t domid, uint64_t *tot_pages,
                             uint64_t *pod_cache_pages, uint64_t *pod_entries);

/* Copies one page to, or zeroes num pages of, guest memory. */
int xc_copy_to_domain_page(xc_interface *xch, uint32_t domid, unsigned long dst_pfn,
                           const char *src_page);
int xc_clear_domain_pages(xc_interface *xch, uint32_t domid, unsigned long dst_pfn, int num);
static inline int xc_clear_domain_page(xc_interface *xch, uint32_t domid, unsigned long dst_pfn)
{
    return xc_clear_domain_pages(xch, domid, dst_pfn, 1);
}

/* Nothing to do on x86, where caches are coherent: 0. */
int xc_domain_cacheflush(xc_interface *xch, uint32_t domid, xen_pfn_t start_pfn,
                         xen_pfn_t nr_pfns);

void *xc_memalign(xc_interface *xch, size_t alignment, size_t size);

/* Memory for the guest's paging structures, in bytes. */
int xc_get_paging_mempool_size(xc_interface *xch, uint32_t domid, uint64_t *size);
int xc_set_paging_mempool_size(xc_interface *xch, uint32_t domid, uint64_t size);

typedef struct xen_domctl_shadow_op_stats xc_shadow_op_stats_t;
/* XEN_DOMCTL_SHADOW_OP_*. The second covers the dirty bitmap ops (pages: its size in pages). */
int xc_shadow_control(xc_interface *xch, uint32_t domid, unsigned int sop, unsigned int *mb,
                      unsigned int mode);
long long xc_logdirty_control(xc_interface *xch, uint32_t domid, unsigned int sop,
                              xc_hypercall_buffer_t *dirty_bitmap, unsigned long pages,
                              unsigned int mode, xc_shadow_op_stats_t *stats);

int xc_domain_get_guest_width(xc_interface *xch, uint32_t domid, unsigned int *guest_width);

/* Pages that sharing saves, and pages that are shared; -ENOSYS where there is no sharing. */
long xc_sharing_freed_pages(xc_interface *xch);
long xc_sharing_used_frames(xc_interface *xch);

/* Free memory in bytes, of addresses below 2^max_width and not below 2^min_width; 0 and -1: any. */
int xc_availheap(xc_interface *xch, int min_width, int max_width, int node, uint64_t *bytes);

int xc_maximum_ram_page(xc_interface *xch, unsigned long *max_mfn);
long xc_get_tot_pages(xc_interface *xch, uint32_t domid);
int xc_machphys_mfn_list(xc_interface *xch, unsigned long max_extents, xen_pfn_t *extent_start);

/* ---- monitors --------------------------------------------------------------------------- */

/* Interface version of the rings (xen/vm_event.h). */
int xc_vm_event_get_version(xc_interface *xch);

/*
 * Maps the ring of domain_id's events, for munmap(); *port: the guest's side of its event channel.
 * NULL on failure.
 */
void *xc_monitor_enable(xc_interface *xch, uint32_t domain_id, uint32_t *port);
int xc_monitor_disable(xc_interface *xch, uint32_t domain_id);

/* Tells Xen that there are answers in the ring. */
int xc_monitor_resume(xc_interface *xch, uint32_t domain_id);

/* A bit per XEN_DOMCTL_MONITOR_EVENT_*. */
int xc_monitor_get_capabilities(xc_interface *xch, uint32_t domain_id, uint32_t *capabilities);

/* index: VM_EVENT_X86_*. sync: before the change. bitmask: changes of these bits are ignored. */
int xc_monitor_write_ctrlreg(xc_interface *xch, uint32_t domain_id, uint16_t index, bool enable,
                             bool sync, uint64_t bitmask, bool onchangeonly);
int xc_monitor_mov_to_msr(xc_interface *xch, uint32_t domain_id, uint32_t msr, bool enable,
                          bool onchangeonly);
int xc_monitor_singlestep(xc_interface *xch, uint32_t domain_id, bool enable);
int xc_monitor_software_breakpoint(xc_interface *xch, uint32_t domain_id, bool enable);
int xc_monitor_descriptor_access(xc_interface *xch, uint32_t domain_id, bool enable);
int xc_monitor_guest_request(xc_interface *xch, uint32_t domain_id, bool enable, bool sync,
                             bool allow_userspace);
int xc_monitor_inguest_pagefault(xc_interface *xch, uint32_t domain_id, bool disable);
int xc_monitor_debug_exceptions(xc_interface *xch, uint32_t domain_id, bool enable, bool sync);
int xc_monitor_cpuid(xc_interface *xch, uint32_t domain_id, bool enable);
int xc_monitor_privileged_call(xc_interface *xch, uint32_t domain_id, bool enable);
int xc_monitor_emul_unimplemented(xc_interface *xch, uint32_t domain_id, bool enable);
int xc_monitor_vmexit(xc_interface *xch, uint32_t domain_id, bool enable, bool sync);

/* Repeated instructions are reported at each step. */
int xc_monitor_emulate_each_rep(xc_interface *xch, uint32_t domain_id, bool enable);

/* Access rights of guest frames beyond the guest's own. Without a monitor: required pauses. */
int xc_domain_set_access_required(xc_interface *xch, uint32_t domid, unsigned int required);
int xc_set_mem_access(xc_interface *xch, uint32_t domain_id, xenmem_access_t access,
                      uint64_t first_pfn, uint32_t nr);
int xc_set_mem_access_multi(xc_interface *xch, uint32_t domain_id, uint8_t *access,
                            uint64_t *pages, uint32_t nr);
int xc_get_mem_access(xc_interface *xch, uint32_t domain_id, uint64_t pfn,
                      xenmem_access_t *access);

/* Alternative physical maps ("views"), each with access rights of its own; view 0 is the normal. */
int xc_altp2m_get_domain_state(xc_interface *handle, uint32_t dom, bool *state);
int xc_altp2m_set_domain_state(xc_interface *handle, uint32_t dom, bool state);
int xc_altp2m_set_vcpu_enable_notify(xc_interface *handle, uint32_t domid, uint32_t vcpuid,
                                     xen_pfn_t gfn);
int xc_altp2m_set_vcpu_disable_notify(xc_interface *handle, uint32_t domid, uint32_t vcpuid);
int xc_altp2m_create_view(xc_interface *handle, uint32_t domid, xenmem_access_t default_access,
                          uint16_t *view_id);
int xc_altp2m_destroy_view(xc_interface *handle, uint32_t domid, uint16_t view_id);
int xc_altp2m_switch_to_view(xc_interface *handle, uint32_t domid, uint16_t view_id);
int xc_altp2m_set_suppress_ve(xc_interface *handle, uint32_t domid, uint16_t view_id,
                              xen_pfn_t gfn, bool sve);
/* The first frame that could not be changed, and why; untouched if there is none. */
int xc_altp2m_set_supress_ve_multi(xc_interface *handle, uint32_t domid, uint16_t view_id,
                                   xen_pfn_t first_gfn, xen_pfn_t last_gfn, bool sve,
                                   xen_pfn_t *error_gfn, int32_t *error_code);
int xc_altp2m_get_suppress_ve(xc_interface *handle, uint32_t domid, uint16_t view_id,
                              xen_pfn_t gfn, bool *sve);
int xc_altp2m_set_mem_access(xc_interface *handle, uint32_t domid, uint16_t view_id,
                             xen_pfn_t gfn, xenmem_access_t access);
int xc_altp2m_set_mem_access_multi(xc_interface *handle, uint32_t domid, uint16_t view_id,
                                   uint8_t *access, uint64_t *gfns, uint32_t nr);
int xc_altp2m_get_mem_access(xc_interface *handle, uint32_t domid, uint16_t view_id,
                             xen_pfn_t gfn, xenmem_access_t *access);
int xc_altp2m_change_gfn(xc_interface *handle, uint32_t domid, uint16_t view_id,
                         xen_pfn_t old_gfn, xen_pfn_t new_gfn);
int xc_altp2m_get_vcpu_p2m_idx(xc_interface *handle, uint32_t domid, uint32_t vcpuid,
                               uint16_t *p2midx);
int xc_altp2m_set_visibility(xc_interface *handle, uint32_t domid, uint16_t view_id,
                             bool visible);

/* Paging guest memory out and in. The ring itself is mapped by its user. */
int xc_mem_paging_enable(xc_interface *xch, uint32_t domain_id, uint32_t *port);
int xc_mem_paging_disable(xc_interface *xch, uint32_t domain_id);
int xc_mem_paging_resume(xc_interface *xch, uint32_t domain_id);
int xc_mem_paging_nominate(xc_interface *xch, uint32_t domain_id, uint64_t gfn);
int xc_mem_paging_evict(xc_interface *xch, uint32_t domain_id, uint64_t gfn);
int xc_mem_paging_prep(xc_interface *xch, uint32_t domain_id, uint64_t gfn);
/* buffer: the page's content. */
int xc_mem_paging_load(xc_interface *xch, uint32_t domain_id, uint64_t gfn, void *buffer);

/* ---- sharing ---------------------------------------------------------------------------- */

/* Pages become candidates, known by a handle that a change of the page makes void, then shared. */
int xc_memshr_control(xc_interface *xch, uint32_t domid, int enable);
int xc_memshr_ring_enable(xc_interface *xch, uint32_t domid, uint32_t *port);
int xc_memshr_ring_disable(xc_interface *xch, uint32_t domid);
int xc_memshr_domain_resume(xc_interface *xch, uint32_t domid);
int xc_memshr_nominate_gfn(xc_interface *xch, uint32_t domid, unsigned long gfn,
                           uint64_t *handle);
int xc_memshr_nominate_gref(xc_interface *xch, uint32_t domid, grant_ref_t gref,
                            uint64_t *handle);
int xc_memshr_share_gfns(xc_interface *xch, uint32_t source_domain, unsigned long source_gfn,
                         uint64_t source_handle, uint32_t client_domain,
                         unsigned long client_gfn, uint64_t client_handle);
int xc_memshr_share_grefs(xc_interface *xch, uint32_t source_domain, grant_ref_t source_gref,
                          uint64_t source_handle, uint32_t client_domain,
                          grant_ref_t client_gref, uint64_t client_handle);
int xc_memshr_add_to_physmap(xc_interface *xch, uint32_t source_domain, unsigned long source_gfn,
                             uint64_t source_handle, uint32_t client_domain,
                             unsigned long client_gfn);
int xc_memshr_range_share(xc_interface *xch, uint32_t source_domain, uint32_t client_domain,
                          uint64_t first_gfn, uint64_t last_gfn);

/* Makes the still empty client a fork of the source; and resets a fork to what its parent is. */
int xc_memshr_fork(xc_interface *xch, uint32_t source_domain, uint32_t client_domain,
                   bool allow_with_iommu, bool block_interrupts);
int xc_memshr_fork_reset(xc_interface *xch, uint32_t forked_domain, bool reset_state,
                         bool reset_memory);

/* How many pages share the one behind that frame; and how many errors an audit found. */
int xc_memshr_debug_gfn(xc_interface *xch, uint32_t domid, unsigned long gfn);
int xc_memshr_debug_gref(xc_interface *xch, uint32_t domid, grant_ref_t gref);
int xc_memshr_audit(xc_interface *xch);

/* ---- event channels and grants ---------------------------------------------------------- */

typedef int xc_evtchn_port_or_error_t;
typedef struct evtchn_status xc_evtchn_status_t;

/* A port in dom to which remote_dom may bind; -1 on failure. */
xc_evtchn_port_or_error_t xc_evtchn_alloc_unbound(xc_interface *xch, uint32_t dom,
                                                  uint32_t remote_dom);
int xc_evtchn_reset(xc_interface *xch, uint32_t dom);
int xc_evtchn_status(xc_interface *xch, xc_evtchn_status_t *status);

int xc_gnttab_op(xc_interface *xch, int cmd, void * op, int op_size, int count);
int xc_gnttab_query_size(xc_interface *xch, struct gnttab_query_size *query);
int xc_gnttab_get_version(xc_interface *xch, uint32_t domid);

/* A domain's grant table, to be munmap()ed; *gnt_num receives the number of entries. */
grant_entry_v1_t *xc_gnttab_map_table_v1(xc_interface *xch, uint32_t domid, int *gnt_num);
grant_entry_v2_t *xc_gnttab_map_table_v2(xc_interface *xch, uint32_t domid, int *gnt_num);

/* ---- the host --------------------------------------------------------------------------- */

typedef struct xen_sysctl_physinfo xc_physinfo_t;
typedef struct xen_sysctl_cputopo xc_cputopo_t;
typedef struct xen_sysctl_numainfo xc_numainfo_t;
typedef struct xen_sysctl_meminfo xc_meminfo_t;
typedef struct xen_sysctl_pcitopoinfo xc_pcitopoinfo_t;
typedef struct xen_sysctl_cpuinfo xc_cpuinfo_t;

typedef uint32_t xc_cpu_to_node_t;
typedef uint32_t xc_cpu_to_socket_t;
typedef uint32_t xc_cpu_to_core_t;
typedef uint64_t xc_node_to_memsize_t;
typedef uint64_t xc_node_to_memfree_t;
typedef uint32_t xc_node_to_node_dist_t;

/* XENVER_*: the argument's type depends on cmd. Returns Xen's answer, -1 on failure. */
int xc_version(xc_interface *xch, int cmd, void *arg);

int xc_physinfo(xc_interface *xch, xc_physinfo_t *info);

/* *max_cpus: in, the array's length; out, how many there are. NULL arrays ask for the count. */
int xc_cputopoinfo(xc_interface *xch, unsigned *max_cpus, xc_cputopo_t *cputopo);
int xc_numainfo(xc_interface *xch, unsigned *max_nodes, xc_meminfo_t *meminfo,
                uint32_t *distance);
int xc_pcitopoinfo(xc_interface *xch, unsigned num_devs, physdev_pci_device_t *devs,
                   uint32_t *nodes);

/* Idle times; *nr_cpus receives how many were filled. */
int xc_getcpuinfo(xc_interface *xch, int max_cpus, xc_cpuinfo_t *info, int *nr_cpus);

/*
 * The hypervisor's console ring. *pnr_chars: in, the buffer's size, out, how much was read.
 * incremental: continue at *pindex, which is then updated.
 */
int xc_readconsolering(xc_interface *xch, char *buffer, unsigned int *pnr_chars, int clear,
                       int incremental, uint32_t *pindex);
int xc_send_debug_keys(xc_interface *xch, const char *keys);

int xc_cpu_online(xc_interface *xch, int cpu);
int xc_cpu_offline(xc_interface *xch, int cpu);
int xc_smt_enable(xc_interface *xch);
int xc_smt_disable(xc_interface *xch);

/* May the scheduler pack vCPUs on hyperthreads to save power? */
int xc_set_sched_opt_smt(xc_interface *xch, uint32_t value);

/* ---- power management ------------------------------------------------------------------- */

/* Frequencies in MHz, times in ns. */
struct xc_px_val {
    uint64_t freq;
    uint64_t residency;
    uint64_t count;
};

/* Of total states; trans_pt: total * total counts of changes, both arrays the caller's. */
struct xc_px_stat {
    uint8_t total;
    uint8_t usable;
    uint8_t last;
    uint8_t cur;
    uint64_t *trans_pt;
    struct xc_px_val *pt;
};

int xc_pm_get_max_px(xc_interface *xch, int cpuid, int *max_px);
int xc_pm_get_pxstat(xc_interface *xch, int cpuid, struct xc_px_stat *pxpt);
int xc_pm_reset_pxstat(xc_interface *xch, int cpuid);

/* nr, nr_pc, nr_cc: room in the caller's arrays, then how many there are. */
struct xc_cx_stat {
    uint32_t nr;
    uint32_t last;
    uint64_t idle_time;
    uint64_t *triggers;
    uint64_t *residencies;
    uint32_t nr_pc;
    uint32_t nr_cc;
    uint64_t *pc;
    uint64_t *cc;
};
typedef struct xc_cx_stat xc_cx_stat_t;

int xc_pm_get_max_cx(xc_interface *xch, int cpuid, int *max_cx);
int xc_pm_get_cxstat(xc_interface *xch, int cpuid, struct xc_cx_stat *cxpt);
int xc_pm_reset_cxstat(xc_interface *xch, int cpuid);

typedef struct xen_userspace xc_userspace_t;
typedef struct xen_ondemand xc_ondemand_t;

/*
 * The numbers say how long the caller's three arrays are (governors: names of CPUFREQ_NAME_LEN
 * bytes). If one does not fit, errno is EAGAIN and the numbers are what it takes.
 */
struct xc_get_cpufreq_para {
    uint32_t cpu_num;
    uint32_t freq_num;
    uint32_t gov_num;

    uint32_t *affected_cpus;
    uint32_t *scaling_available_frequencies;
    char *scaling_available_governors;

    char scaling_driver[CPUFREQ_NAME_LEN];

    uint32_t cpuinfo_cur_freq;
    uint32_t cpuinfo_max_freq;
    uint32_t cpuinfo_min_freq;
    uint32_t scaling_cur_freq;

    char scaling_governor[CPUFREQ_NAME_LEN];

    uint32_t scaling_max_freq;
    uint32_t scaling_min_freq;
    union {
        xc_userspace_t userspace;
        xc_ondemand_t ondemand;
    } u;

    int32_t turbo_enabled;
};

int xc_get_cpufreq_para(xc_interface *xch, int cpuid, struct xc_get_cpufreq_para *user_para);
int xc_set_cpufreq_gov(xc_interface *xch, int cpuid, char *govname);
/* SCALING_MAX_FREQ and so on. */
int xc_set_cpufreq_para(xc_interface *xch, int cpuid, int ctrl_type, int ctrl_value);
int xc_get_cpufreq_avgfreq(xc_interface *xch, int cpuid, int *avg_freq);
int xc_enable_turbo(xc_interface *xch, int cpuid);
int xc_disable_turbo(xc_interface *xch, int cpuid);

/* The deepest idle state that CPUs may enter; XEN_SYSCTL_CX_UNLIMITED. */
int xc_get_cpuidle_max_cstate(xc_interface *xch, uint32_t *value);
int xc_set_cpuidle_max_cstate(xc_interface *xch, uint32_t value);
int xc_get_cpuidle_max_csubstate(xc_interface *xch, uint32_t *value);
int xc_set_cpuidle_max_csubstate(xc_interface *xch, uint32_t value);

/* ---- the host's processors -------------------------------------------------------------- */

int xc_microcode_update(xc_interface *xch, const void *buf, size_t len);

/* The interface version is filled in; handles inside must point to hypercall memory. */
int xc_mca_op(xc_interface *xch, struct xen_mc *mc);
/* flags: XEN_MC_INJECT_*. */
int xc_mca_op_inject_v2(xc_interface *xch, unsigned int flags, xc_cpumap_t cpumap,
                        unsigned int num_cpus);

/* MSR accesses on one CPU. result: how many entries were done, or a negative errno. */
typedef xenpf_resource_entry_t xc_resource_entry_t;
struct xc_resource_op {
    uint64_t result;
    uint32_t cpu;
    uint32_t nr_entries;
    xc_resource_entry_t *entries;
};
typedef struct xc_resource_op xc_resource_op_t;
int xc_resource_op(xc_interface *xch, uint32_t nr_ops, xc_resource_op_t *ops);

/* The crash kernel (xen/kexec.h). Segments' bytes must be in hypercall memory. */
int xc_kexec_exec(xc_interface *xch, int type);
int xc_kexec_get_range(xc_interface *xch, int range, int nr, uint64_t *size, uint64_t *start);
int xc_kexec_load(xc_interface *xch, uint8_t type, uint16_t arch, uint64_t entry_maddr,
                  uint32_t nr_segments, xen_kexec_segment_t *segments);
int xc_kexec_unload(xc_interface *xch, int type);
/* 1 if one is loaded. */
int xc_kexec_status(xc_interface *xch, int type);

/* ---- what the hypervisor records -------------------------------------------------------- */

/* Trace buffers, size in pages per CPU. */
int xc_tbuf_enable(xc_interface *xch, unsigned long pages, unsigned long *mfn,
                   unsigned long *size);
int xc_tbuf_disable(xc_interface *xch);
int xc_tbuf_set_size(xc_interface *xch, unsigned long size);
int xc_tbuf_get_size(xc_interface *xch, unsigned long *size);
int xc_tbuf_set_cpu_mask(xc_interface *xch, xc_cpumap_t mask);
int xc_tbuf_set_evt_mask(xc_interface *xch, uint32_t mask);

/* Event counters: how many there are, then names and values into buffers of that size. */
typedef xen_sysctl_perfc_desc_t xc_perfc_desc_t;
typedef xen_sysctl_perfc_val_t xc_perfc_val_t;
int xc_perfc_reset(xc_interface *xch);
int xc_perfc_query_number(xc_interface *xch, int *nbr_desc, int *nbr_val);
int xc_perfc_query(xc_interface *xch, xc_hypercall_buffer_t *desc, xc_hypercall_buffer_t *val);

/* Lock statistics; *n_elems: room, then how many. */
typedef xen_sysctl_lockprof_data_t xc_lockprof_data_t;
int xc_lockprof_reset(xc_interface *xch);
int xc_lockprof_query_number(xc_interface *xch, uint32_t *n_elems);
int xc_lockprof_query(xc_interface *xch, uint32_t *n_elems, uint64_t *time,
                      xc_hypercall_buffer_t *data);

/* ---- patches to the hypervisor ---------------------------------------------------------- */

int xc_livepatch_upload(xc_interface *xch, char *name, unsigned char *payload, uint32_t size);
int xc_livepatch_get(xc_interface *xch, char *name, xen_livepatch_status_t *status);

/* How many there are, and the bytes of all their names and of all their metadata. */
int xc_livepatch_list_get_sizes(xc_interface *xch, unsigned int *nr, uint32_t *name_total_size,
                                uint32_t *metadata_total_size);

/*
 * Up to max of them from number start on; the i'th name is len[i] bytes, behind those before it.
 * *done: how many; *left: how many more there are. errno EBUSY if the list kept changing.
 */
int xc_livepatch_list(xc_interface *xch, const unsigned int max, const unsigned int start,
                      struct xen_livepatch_status *info, char *name, uint32_t *len,
                      const uint32_t name_total_size, char *metadata, uint32_t *metadata_len,
                      const uint32_t metadata_total_size, unsigned int *done,
                      unsigned int *left);

/* timeout in ns, 0: the default. flags: LIVEPATCH_ACTION_APPLY_NODEPS. */
int xc_livepatch_apply(xc_interface *xch, char *name, uint32_t timeout, uint32_t flags);
int xc_livepatch_revert(xc_interface *xch, char *name, uint32_t timeout, uint32_t flags);
int xc_livepatch_unload(xc_interface *xch, char *name, uint32_t timeout, uint32_t flags);
int xc_livepatch_replace(xc_interface *xch, char *name, uint32_t timeout, uint32_t flags);

/* ---- scheduling and pools --------------------------------------------------------------- */

int xc_sched_id(xc_interface *xch, int *sched_id);
int xc_sched_credit_domain_set(xc_interface *xch, uint32_t domid,
                               struct xen_domctl_sched_credit *sdom);
int xc_sched_credit_domain_get(xc_interface *xch, uint32_t domid,
                               struct xen_domctl_sched_credit *sdom);
int xc_sched_credit_params_set(xc_interface *xch, uint32_t cpupool_id,
                               struct xen_sysctl_credit_schedule *schedule);
int xc_sched_credit_params_get(xc_interface *xch, uint32_t cpupool_id,
                               struct xen_sysctl_credit_schedule *schedule);
int xc_sched_credit2_domain_set(xc_interface *xch, uint32_t domid,
                                struct xen_domctl_sched_credit2 *sdom);
int xc_sched_credit2_domain_get(xc_interface *xch, uint32_t domid,
                                struct xen_domctl_sched_credit2 *sdom);
int xc_sched_credit2_params_set(xc_interface *xch, uint32_t cpupool_id,
                                struct xen_sysctl_credit2_schedule *schedule);
int xc_sched_credit2_params_get(xc_interface *xch, uint32_t cpupool_id,
                                struct xen_sysctl_credit2_schedule *schedule);
int xc_sched_rtds_domain_set(xc_interface *xch, uint32_t domid,
                             struct xen_domctl_sched_rtds *sdom);
int xc_sched_rtds_domain_get(xc_interface *xch, uint32_t domid,
                             struct xen_domctl_sched_rtds *sdom);
/* Up to num_vcpus entries, each naming its vCPU. */
int xc_sched_rtds_vcpu_set(xc_interface *xch, uint32_t domid,
                           struct xen_domctl_schedparam_vcpu *vcpus, uint32_t num_vcpus);
int xc_sched_rtds_vcpu_get(xc_interface *xch, uint32_t domid,
                           struct xen_domctl_schedparam_vcpu *vcpus, uint32_t num_vcpus);
int xc_sched_arinc653_schedule_set(xc_interface *xch, uint32_t cpupool_id,
                                   struct xen_sysctl_arinc653_schedule *schedule);
int xc_sched_arinc653_schedule_get(xc_interface *xch, uint32_t cpupool_id,
                                   struct xen_sysctl_arinc653_schedule *schedule);

typedef struct xc_cpupoolinfo {
    uint32_t cpupool_id;
    uint32_t sched_id;
    uint32_t n_dom;
    xc_cpumap_t cpumap;
} xc_cpupoolinfo_t;

#define XC_CPUPOOL_POOLID_ANY 0xFFFFFFFF

/* *ppoolid: the wanted id or XC_CPUPOOL_POOLID_ANY; receives the id given. */
int xc_cpupool_create(xc_interface *xch, uint32_t *ppoolid, uint32_t sched_id);
int xc_cpupool_destroy(xc_interface *xch, uint32_t poolid);

/* The pool with the lowest id >= poolid, or NULL. Free with xc_cpupool_infofree(). */
xc_cpupoolinfo_t *xc_cpupool_getinfo(xc_interface *xch, uint32_t poolid);
void xc_cpupool_infofree(xc_interface *xch, xc_cpupoolinfo_t *info);
int xc_cpupool_addcpu(xc_interface *xch, uint32_t poolid, int cpu);
int xc_cpupool_removecpu(xc_interface *xch, uint32_t poolid, int cpu);
int xc_cpupool_movedomain(xc_interface *xch, uint32_t poolid, uint32_t domid);

/* The CPUs in no pool; free(). */
xc_cpumap_t xc_cpupool_freeinfo(xc_interface *xch);

/* ---- permissions and passthrough -------------------------------------------------------- */

int xc_domain_ioport_permission(xc_interface *xch, uint32_t domid, uint32_t first_port,
                                uint32_t nr_ports, uint32_t allow_access);
int xc_domain_irq_permission(xc_interface *xch, uint32_t domid, uint32_t pirq, bool allow_access);
int xc_domain_iomem_permission(xc_interface *xch, uint32_t domid, unsigned long first_mfn,
                               unsigned long nr_mfns, uint8_t allow_access);
int xc_domain_memory_mapping(xc_interface *xch, uint32_t domid, unsigned long first_gfn,
                             unsigned long first_mfn, unsigned long nr_mfns,
                             uint32_t add_mapping);
int xc_domain_ioport_mapping(xc_interface *xch, uint32_t domid, uint32_t first_gport,
                             uint32_t first_mport, uint32_t nr_ports, uint32_t add_mapping);
int xc_assign_device(xc_interface *xch, uint32_t domid, uint32_t machine_sbdf, uint32_t flag);
int xc_get_device_group(xc_interface *xch, uint32_t domid, uint32_t machine_sbdf,
                        uint32_t max_sdevs, uint32_t *num_sdevs, uint32_t *sdev_array);
int xc_test_assign_device(xc_interface *xch, uint32_t domid, uint32_t machine_sbdf);
int xc_deassign_device(xc_interface *xch, uint32_t domid, uint32_t machine_sbdf);
int xc_assign_dt_device(xc_interface *xch, uint32_t domid, char *path);
int xc_test_assign_dt_device(xc_interface *xch, uint32_t domid, char *path);
int xc_deassign_dt_device(xc_interface *xch, uint32_t domid, char *path);
int xc_physdev_map_pirq(xc_interface *xch, uint32_t domid, int index, int *pirq);
int xc_physdev_map_pirq_msi(xc_interface *xch, uint32_t domid, int index, int *pirq, int devfn,
                            int bus, int entry_nr, uint64_t table_base);
int xc_physdev_unmap_pirq(xc_interface *xch, uint32_t domid, int pirq);
int xc_domain_update_msi_irq(xc_interface *xch, uint32_t domid, uint32_t gvec, uint32_t pirq,
                             uint32_t gflags, uint64_t gtable);
int xc_domain_unbind_msi_irq(xc_interface *xch, uint32_t domid, uint32_t gvec, uint32_t pirq,
                             uint32_t gflags);
int xc_domain_bind_pt_irq(xc_interface *xch, uint32_t domid, uint8_t machine_irq,
                          uint8_t irq_type, uint8_t bus, uint8_t device, uint8_t intx,
                          uint8_t isa_irq);
int xc_domain_unbind_pt_irq(xc_interface *xch, uint32_t domid, uint8_t machine_irq,
                            uint8_t irq_type, uint8_t bus, uint8_t device, uint8_t intx,
                            uint8_t isa_irq);
int xc_domain_bind_pt_pci_irq(xc_interface *xch, uint32_t domid, uint8_t machine_irq, uint8_t bus,
                              uint8_t device, uint8_t intx);
int xc_domain_bind_pt_isa_irq(xc_interface *xch, uint32_t domid, uint8_t machine_irq);

/* ARM's interrupts and its emulated UART. */
int xc_domain_bind_pt_spi_irq(xc_interface *xch, uint32_t domid, uint16_t vspi, uint16_t spi);
int xc_domain_unbind_pt_spi_irq(xc_interface *xch, uint32_t domid, uint16_t vspi, uint16_t spi);
int xc_dom_vuart_init(xc_interface *xch, uint32_t type, uint32_t domid, uint32_t console_domid,
                      xen_pfn_t gfn, evtchn_port_t *evtchn);

/* Always ENOSYS: Xen has this no more. */
int xc_physdev_pci_access_modify(xc_interface *xch, uint32_t domid, int bus, int dev, int func,
                                 int enable);

/* ---- CPUID policy (implemented by libxenguest) ------------------------------------------ */

/* One leaf's changes: four registers as 32 characters each ('0', '1', 'x', 'k', 's'), or NULL. */
struct xc_xend_cpuid {
    union {
        struct {
            uint32_t leaf, subleaf;
        };
        uint32_t input[2];
    };
    char *policy[4];
};

/* One MSR's changes, 64 characters; an index of XC_MSR_INPUT_UNUSED ends a list. */
struct xc_msr {
    uint32_t index;
    char policy[65];
};
#define XC_MSR_INPUT_UNUSED 0xffffffffu

/*
 * Gives a domain its CPUID and MSR policy: Xen's default for its kind, levelled to featureset if
 * that is not NULL, then changed as xend and msr say. Before the domain runs.
 */
int xc_cpuid_apply_policy(xc_interface *xch, uint32_t domid, bool restore,
                          const uint32_t *featureset, unsigned int nr_features, bool pae,
                          bool itsc, bool nested_virt, const struct xc_xend_cpuid *xend,
                          const struct xc_msr *msr);

/* ---- cache allocation and monitoring ---------------------------------------------------- */

enum xc_psr_cmt_type {
    XC_PSR_CMT_L3_OCCUPANCY,
    XC_PSR_CMT_TOTAL_MEM_COUNT,
    XC_PSR_CMT_LOCAL_MEM_COUNT,
};
typedef enum xc_psr_cmt_type xc_psr_cmt_type;

enum xc_psr_type {
    XC_PSR_CAT_L3_CBM      = 1,
    XC_PSR_CAT_L3_CBM_CODE = 2,
    XC_PSR_CAT_L3_CBM_DATA = 3,
    XC_PSR_CAT_L2_CBM      = 4,
    XC_PSR_MBA_THRTL       = 5,
};
typedef enum xc_psr_type xc_psr_type;

enum xc_psr_feat_type {
    XC_PSR_CAT_L3,
    XC_PSR_CAT_L2,
    XC_PSR_MBA,
};
typedef enum xc_psr_feat_type xc_psr_feat_type;

union xc_psr_hw_info {
    struct {
        uint32_t cos_max;
        uint32_t cbm_len;
        bool cdp_enabled;
    } cat;
    struct {
        uint32_t cos_max;
        uint32_t thrtl_max;
        bool linear;
    } mba;
};
typedef union xc_psr_hw_info xc_psr_hw_info;

int xc_psr_cmt_attach(xc_interface *xch, uint32_t domid);
int xc_psr_cmt_detach(xc_interface *xch, uint32_t domid);
int xc_psr_cmt_get_domain_rmid(xc_interface *xch, uint32_t domid, uint32_t *rmid);
int xc_psr_cmt_get_total_rmid(xc_interface *xch, uint32_t *total_rmid);
int xc_psr_cmt_get_l3_upscaling_factor(xc_interface *xch, uint32_t *upscaling_factor);
int xc_psr_cmt_get_l3_event_mask(xc_interface *xch, uint32_t *event_mask);
int xc_psr_cmt_get_l3_cache_size(xc_interface *xch, uint32_t cpu, uint32_t *l3_cache_size);
int xc_psr_cmt_get_data(xc_interface *xch, uint32_t rmid, uint32_t cpu, xc_psr_cmt_type type,
                        uint64_t *monitor_data, uint64_t *tsc);
/* Not 0 if it is; 0 also where the host cannot tell. */
int xc_psr_cmt_enabled(xc_interface *xch);
int xc_psr_set_domain_data(xc_interface *xch, uint32_t domid, xc_psr_type type, uint32_t target,
                           uint64_t data);
int xc_psr_get_domain_data(xc_interface *xch, uint32_t domid, xc_psr_type type, uint32_t target,
                           uint64_t *data);
int xc_psr_get_hw_info(xc_interface *xch, uint32_t socket, xc_psr_feat_type type,
                       xc_psr_hw_info *hw_info);

/* ---- the security server ---------------------------------------------------------------- */

int xc_flask_op(xc_interface *xch, xen_flask_op_t *op);
int xc_flask_load(xc_interface *xch, char *buf, uint32_t size);
int xc_flask_context_to_sid(xc_interface *xch, char *buf, uint32_t size, uint32_t *sid);
int xc_flask_sid_to_context(xc_interface *xch, int sid, char *buf, uint32_t size);
int xc_flask_getenforce(xc_interface *xch);
int xc_flask_setenforce(xc_interface *xch, int mode);
int xc_flask_policyvers(xc_interface *xch);
int xc_flask_relabel_domain(xc_interface *xch, uint32_t domid, uint32_t sid);

/* May scon do req to tcon? 0, -EPERM, or -1 with errno. The results may be NULL. */
int xc_flask_access(xc_interface *xch, const char *scon, const char *tcon, uint16_t tclass,
                    uint32_t req, uint32_t *allowed, uint32_t *decided, uint32_t *auditallow,
                    uint32_t *auditdeny, uint32_t *seqno);

/* Labels of resources; ranges include both ends. */
int xc_flask_add_pirq(xc_interface *xch, unsigned int pirq, char *scontext);
int xc_flask_add_ioport(xc_interface *xch, unsigned long low, unsigned long high,
                        char *scontext);
int xc_flask_add_iomem(xc_interface *xch, unsigned long low, unsigned long high, char *scontext);
int xc_flask_add_device(xc_interface *xch, unsigned long device, char *scontext);
int xc_flask_del_pirq(xc_interface *xch, unsigned int pirq);
int xc_flask_del_ioport(xc_interface *xch, unsigned long low, unsigned long high);
int xc_flask_del_iomem(xc_interface *xch, unsigned long low, unsigned long high);
int xc_flask_del_device(xc_interface *xch, unsigned long device);

/* Booleans of the policy: as they are, and as they will be once committed. */
int xc_flask_getbool_byid(xc_interface *xch, int id, char *name, uint32_t size, int *curr,
                          int *pend);
int xc_flask_getbool_byname(xc_interface *xch, char *name, int *curr, int *pend);
int xc_flask_setbool(xc_interface *xch, char *name, int value, int commit);

/* The cache of decisions; statistics as text, cut off at size. */
int xc_flask_getavc_threshold(xc_interface *xch);
int xc_flask_setavc_threshold(xc_interface *xch, int threshold);
int xc_flask_avc_hashstats(xc_interface *xch, char *buf, int size);
int xc_flask_avc_cachestats(xc_interface *xch, char *buf, int size);

/* ---- PV page tables --------------------------------------------------------------------- */

/* MMUEXT_*; for PV domains only. */
int xc_mmuext_op(xc_interface *xch, struct mmuext_op *op, unsigned int nr_ops, uint32_t dom);

/* Exchanges a machine page for one below 4 GiB. Returns its frame; 0 on failure. */
unsigned long xc_make_page_below_4G(xc_interface *xch, uint32_t domid, unsigned long mfn);

/* ---- raw calls -------------------------------------------------------------------------- */

/* The interface version is filled in; handles inside must point to hypercall memory. */
int xc_domctl(xc_interface *xch, struct xen_domctl *domctl);
int xc_sysctl(xc_interface *xch, struct xen_sysctl *sysctl);

/* arg of len bytes is copied both ways; handles inside must point to hypercall memory. */
long xc_memory_op(xc_interface *xch, unsigned int cmd, void *arg, size_t len);

struct elf_binary;

#include "xenctrl_compat.h"

#endif
