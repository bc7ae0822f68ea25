/* SPDX-License-Identifier: MIT */
/*
 * What libxenctrl's parts and libxenguest share: the handle, hypercall argument copies, and one
 * function per kind of hypercall.
 *
 * Functions here follow xenctrl.h's conventions, but do not report errors: their callers, the
 * public functions, know what was being done.
 */
#ifndef XC_PRIVATE_H
#define XC_PRIVATE_H

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define XC_WANT_COMPAT_MAP_FOREIGN_API
#define XC_BUILDING_COMPAT_MAP_FOREIGN_API
#define XC_WANT_COMPAT_EVTCHN_API
#define XC_WANT_COMPAT_GNTTAB_API
#define XC_WANT_COMPAT_DEVICEMODEL_API
#include <xenctrl.h>

#include <xencall.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

/* Loggers that the handle made itself are also in the _tofree fields. */
struct xc_interface_core {
    int flags;
    xentoollog_logger *error_handler, *error_handler_tofree;
    xentoollog_logger *dombuild_logger, *dombuild_logger_tofree;
    struct xc_error last_error;              /* for XC_OPENFLAG_NON_REENTRANT handles */
    FILE *dombuild_logger_file;
    const char *currently_progress_reporting;
    xencall_handle *xcall;
    xenforeignmemory_handle *fmem;
    xendevicemodel_handle *dmod;
};

/* ---- reporting -------------------------------------------------------------------------- */

/* To logger lg (NULL: the handle's); from XTL_ERROR on also kept as the last error. errno stays. */
void xc_report(xc_interface *xch, xentoollog_logger *lg, xentoollog_level level, int code,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void xc_reportv(xc_interface *xch, xentoollog_logger *lg, xentoollog_level level, int code,
                const char *fmt, va_list args) __attribute__((format(printf, 5, 0)));
void xc_report_error(xc_interface *xch, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Returns the prefix in force before. NULL: none. */
const char *xc_set_progress_prefix(xc_interface *xch, const char *doing);
void xc_report_progress_single(xc_interface *xch, const char *doing);
void xc_report_progress_step(xc_interface *xch, unsigned long done, unsigned long total);

#define xc_debug(xch, ...)  xc_report(xch, (xch)->error_handler, XTL_DEBUG, 0, __VA_ARGS__)
#define xc_detail(xch, ...) xc_report(xch, (xch)->error_handler, XTL_DETAIL, 0, __VA_ARGS__)
#define xc_error(xch, ...)  xc_report_error(xch, XC_INTERNAL_ERROR, __VA_ARGS__)

/* The same with what errno says. */
#define xc_perror(xch, fmt, ...)                                                  \
    do {                                                                          \
        int xc_errno_ = errno;                                                    \
        xc_report_error(xch, XC_INTERNAL_ERROR, fmt ": %s", ##__VA_ARGS__,        \
                        strerror(xc_errno_));                                     \
    } while (0)

/* ---- copies of arguments ---------------------------------------------------------------- */

enum {
    XC_HYPERCALL_BUFFER_BOUNCE_NONE = 0,
    XC_HYPERCALL_BUFFER_BOUNCE_IN   = 1,
    XC_HYPERCALL_BUFFER_BOUNCE_OUT  = 2,
    XC_HYPERCALL_BUFFER_BOUNCE_BOTH = 3,
};

/*
 * _ubuf is memory of _sz bytes that is not the hypercall's kind: pre allocates a copy of the
 * right kind (nothing for NULL or zero bytes), post copies back and frees it.
 */
#define DECLARE_NAMED_HYPERCALL_BOUNCE(_name, _ubuf, _sz, _dir)            \
    xc_hypercall_buffer_t XC__HYPERCALL_BUFFER_NAME(_name) = {             \
        .hbuf = NULL, .param_shadow = NULL, .sz = (_sz), .dir = (_dir),    \
        .ubuf = (void *)(uintptr_t)(_ubuf),                                \
    }
#define DECLARE_HYPERCALL_BOUNCE(_ubuf, _sz, _dir) \
    DECLARE_NAMED_HYPERCALL_BOUNCE(_ubuf, _ubuf, _sz, _dir)

#define DECLARE_HYPERCALL_BOUNCE_IN(_ubuf, _sz) \
    DECLARE_HYPERCALL_BOUNCE(_ubuf, _sz, XC_HYPERCALL_BUFFER_BOUNCE_IN)
#define DECLARE_HYPERCALL_BOUNCE_OUT(_ubuf, _sz) \
    DECLARE_HYPERCALL_BOUNCE(_ubuf, _sz, XC_HYPERCALL_BUFFER_BOUNCE_OUT)
#define DECLARE_HYPERCALL_BOUNCE_BOTH(_ubuf, _sz) \
    DECLARE_HYPERCALL_BOUNCE(_ubuf, _sz, XC_HYPERCALL_BUFFER_BOUNCE_BOTH)

int xc__hypercall_bounce_pre(xc_interface *xch, xc_hypercall_buffer_t *b);
void xc__hypercall_bounce_post(xc_interface *xch, xc_hypercall_buffer_t *b);
#define xc_hypercall_bounce_pre(_xch, _name) \
    xc__hypercall_bounce_pre(_xch, HYPERCALL_BUFFER(_name))
#define xc_hypercall_bounce_post(_xch, _name) \
    xc__hypercall_bounce_post(_xch, HYPERCALL_BUFFER(_name))

/* ---- hypercalls ------------------------------------------------------------------------- */

/* Copies arg of len bytes both ways around hypercall nr(cmd, arg). Returns Xen's answer. */
long do_op(xc_interface *xch, unsigned int nr, unsigned int cmd, void *arg, size_t len);

int do_domctl(xc_interface *xch, struct xen_domctl *domctl);
int do_sysctl(xc_interface *xch, struct xen_sysctl *sysctl);
long do_memory_op(xc_interface *xch, unsigned int cmd, void *arg, size_t len);

/* A domctl whose arguments are all in *d already: sets command and domain. */
static inline int domctl(xc_interface *xch, struct xen_domctl *d, uint32_t cmd, uint32_t domid)
{
    d->cmd = cmd;
    d->domain = (domid_t)domid;
    return xc_domctl(xch, d);
}

/* MSR accesses that run on a CPU without interruption. Returns how many were done, or -1. */
int platform_resource_op(xc_interface *xch, uint32_t cpu, xc_resource_entry_t *e, uint32_t nr);

/* One domain: ESRCH if there is none of that number. */
static inline int get_dominfo(xc_interface *xch, uint32_t domid, xc_dominfo_t *info)
{
    int n = xc_domain_getinfo(xch, domid, 1, info);

    if (n == 1 && info->domid == domid) {
        return 0;
    }
    if (n >= 0) {
        errno = ESRCH;
    }
    return -1;
}

/* ---- files and bits --------------------------------------------------------------------- */

/* All of it, or -1 with errno; 0 at the end of the file. */
int read_exact(int fd, void *data, size_t size);
int write_exact(int fd, const void *data, size_t size);
struct iovec;
int writev_exact(int fd, const struct iovec *iov, int iovcnt);

/* Lets the page cache forget what was read or written; advice only. */
void discard_file_cache(xc_interface *xch, int fd, int flush);

/* Between arrays of bytes, as hypercalls have them, and of 64-bit words. */
void bitmap_64_to_byte(uint8_t *bp, const uint64_t *lp, int nbits);
void bitmap_byte_to_64(uint64_t *lp, const uint8_t *bp, int nbits);

/* The lowest set bit, from 1; 0 if there is none. */
int xc_ffs8(uint8_t x);
int xc_ffs16(uint16_t x);
int xc_ffs32(uint32_t x);
int xc_ffs64(uint64_t x);

/* ---- vm_event rings --------------------------------------------------------------------- */

/* op: XEN_VM_EVENT_DISABLE or _RESUME. mode: XEN_DOMCTL_VM_EVENT_OP_*. */
int xc_vm_event_control(xc_interface *xch, uint32_t domain_id, unsigned int op,
                        unsigned int mode);

/* Starts the events alone; *port receives the guest's side of their channel. */
int vm_event_start(xc_interface *xch, uint32_t domid, unsigned int mode, uint32_t *port);

/*
 * Maps the ring in the guest frame that HVM parameter param (HVM_PARAM_*_RING_PFN) names, which the
 * guest loses, and starts the events; munmap() it.
 */
void *xc_vm_event_enable(xc_interface *xch, uint32_t domain_id, int param, uint32_t *port);

/* ---- PV page tables --------------------------------------------------------------------- */

/* Updates of subject's page tables, gathered and made MMU_UPDATES_MAX at a time; free(). */
#define MMU_UPDATES_MAX 1024
struct xc_mmu {
    mmu_update_t updates[MMU_UPDATES_MAX];
    unsigned int count;
    unsigned int subject;
};
struct xc_mmu *xc_alloc_mmu_updates(xc_interface *xch, unsigned int subject);
int xc_add_mmu_update(xc_interface *xch, struct xc_mmu *mmu, unsigned long long ptr,
                      unsigned long long val);
int xc_flush_mmu_updates(xc_interface *xch, struct xc_mmu *mmu);

/* In: frame numbers. Out: the same with XEN_DOMCTL_PFINFO_* types. */
int xc_get_pfn_type_batch(xc_interface *xch, uint32_t dom, unsigned int num, xen_pfn_t *arr);

/* nentries runs of chunksize bytes each, behind each other; only each entry's mfn counts. */
struct privcmd_mmap_entry;
void *xc_map_foreign_ranges(xc_interface *xch, uint32_t dom, size_t size, int prot,
                            size_t chunksize, struct privcmd_mmap_entry *entries, int nentries);

#endif
