/* SPDX-License-Identifier: MIT */
/*
 * libxenguest: builds a domain's memory, first vCPU and CPUID policy (the API of Xen 4.17).
 *
 * A build is one struct xc_dom_image, driven in this order: xc_dom_allocate, xc_dom_kernel_file (or
 * _mem), xc_dom_module_file for the ramdisk, xc_dom_boot_xen_init, xc_dom_parse_image,
 * xc_dom_mem_init, xc_dom_boot_mem_init, xc_dom_build_image, xc_dom_boot_image,
 * xc_dom_gnttab_init, xc_dom_release. Each returns 0, or -1 with errno and one cause in
 * xc_get_last_error(); after a failure only xc_dom_release may follow. The caller owns the
 * domain and destroys it.
 *
 * Kernel images, ramdisks and everything inside them are hostile: no size or offset in them is
 * trusted, decompression is bounded by max_kernel_size and max_module_size.
 *
 * Include xenctrl.h first.
 */
#ifndef XENGUEST_H
#define XENGUEST_H

#include <xenctrl.h>

#define XC_NUMA_NO_NODE (~0U)

#define XCFLAGS_LIVE  (1 << 0)
#define XCFLAGS_DEBUG (1 << 1)

#define X86_64_B_SIZE 64
#define X86_32_B_SIZE 32

/* The frames below this one serve the store, the console, ioreqs and the like. */
#define X86_HVM_NR_SPECIAL_PAGES   8
#define X86_HVM_END_SPECIAL_REGION 0xff000u
#define XG_MAX_MODULES             2

typedef uint64_t xen_vaddr_t;
typedef uint64_t xen_paddr_t;

#define PRIpfn PRI_xen_pfn

/* A part of guest memory. For PVH, virtual addresses are physical ones. */
struct xc_dom_seg {
    xen_vaddr_t vstart;
    xen_vaddr_t vend;
    xen_pfn_t pfn;
    xen_pfn_t pages;
};

/* Data to be put into the guest, and where it went. */
struct xc_hvm_firmware_module {
    uint8_t *data;
    uint32_t length;
    uint64_t guest_addr_out;
};

/* Something the image owns: freed or unmapped by xc_dom_release(). */
struct xc_dom_mem {
    struct xc_dom_mem *next;
    void *ptr;
    enum {
        XC_DOM_MEM_TYPE_MALLOC_INTERNAL,
        XC_DOM_MEM_TYPE_MALLOC_EXTERNAL,
        XC_DOM_MEM_TYPE_MMAP,
    } type;
    size_t len;
    unsigned char memory[0];
};

/* A mapped range of guest frames. */
struct xc_dom_phys {
    struct xc_dom_phys *next;
    void *ptr;
    xen_pfn_t first;
    xen_pfn_t count;
};

/* A ramdisk or the like. A seg.vstart set by the caller places it, and then it stays compressed. */
struct xc_dom_module {
    void *blob;
    size_t size;
    void *cmdline;
    struct xc_dom_seg seg;
};

/* The state of a build. Callers set and read fields directly; the order is Xen 4.17's ABI. */
struct xc_dom_image {
    /* what is to be loaded */
    void *kernel_blob;
    size_t kernel_size;
    unsigned int num_modules;
    struct xc_dom_module modules[XG_MAX_MODULES];
    void *devicetree_blob;
    size_t devicetree_size;

    /* limits in bytes, after decompression */
    size_t max_kernel_size;
    size_t max_module_size;
    size_t max_devicetree_size;

    char *cmdline;
    size_t cmdline_size;
    uint32_t f_requested[XENFEAT_NR_SUBMAPS];

    /* what the kernel's notes say */
    struct elf_dom_parms *parms;
    const char *guest_type;

    /* where things are */
    struct xc_dom_seg kernel_seg;
    struct xc_dom_seg p2m_seg;
    struct xc_dom_seg pgtables_seg;
    struct xc_dom_seg devicetree_seg;
    struct xc_dom_seg start_info_seg;
    xen_pfn_t start_info_pfn;
    xen_pfn_t console_pfn;
    xen_pfn_t xenstore_pfn;
    xen_pfn_t shared_info_pfn;
    xen_pfn_t bootstack_pfn;
    xen_pfn_t pfn_alloc_end;       /* the first frame not yet given out */
    xen_vaddr_t virt_alloc_end;
    xen_vaddr_t bsd_symtab_start;

    /* the ramdisk as the start info page names it */
    uint64_t initrd_start;
    uint64_t initrd_len;

    unsigned int alloc_bootstack;
    xen_vaddr_t virt_pgtab_end;

    uint32_t f_active[XENFEAT_NR_SUBMAPS];

    /* PV only */
    xen_pfn_t *pv_p2m;
    xen_pfn_t p2m_size;

    xen_pfn_t rambase_pfn;
    xen_pfn_t total_pages;
    struct xc_dom_phys *phys_pages;

    struct xc_dom_mem *memblocks;

    /* footprint, in bytes */
    size_t alloc_malloc;
    size_t alloc_mem_map;
    size_t alloc_file_map;
    size_t alloc_domU_map;

    unsigned long flags;
    unsigned int console_evtchn;
    unsigned int xenstore_evtchn;
    uint32_t console_domid;
    uint32_t xenstore_domid;
    xen_pfn_t shared_info_mfn;

    xc_interface *xch;
    uint32_t guest_domid;
    int claim_enabled;             /* set pages aside before populating */

    int xen_version;
    xen_capabilities_info_t xen_caps;

    struct xc_dom_loader *kernel_loader;
    void *private_loader;

    xen_vmemrange_t *vmemranges;
    unsigned int nr_vmemranges;
    unsigned int *vnode_to_pnode;
    unsigned int nr_vnodes;

    void *arch_private;

    struct xc_dom_arch *arch_hooks;
    int (*allocate)(struct xc_dom_image *dom);

    enum {
        XC_DOM_PV_CONTAINER,
        XC_DOM_HVM_CONTAINER,
    } container_type;

    /* HVM containers: pages to populate, and the hole below 4 GiB */
    xen_pfn_t target_pages;
    xen_paddr_t mmio_start;
    xen_paddr_t mmio_size;
    xen_paddr_t lowmem_end;
    xen_paddr_t highmem_end;
    xen_pfn_t vga_hole_size;

    bool device_model;             /* false: PVH */

    struct xc_hvm_firmware_module system_firmware_module;

    /*
     * ACPI tables the caller made: [0] the RSDP, [1] what it points to, ... Each is copied to the
     * guest_addr_out that the caller chose.
     */
#define MAX_ACPI_MODULES 4
    struct xc_hvm_firmware_module acpi_modules[MAX_ACPI_MODULES];

    struct xc_hvm_firmware_module smbios_module;

    /* the guest's memory map, for the start info */
    struct e820entry *e820;
    unsigned int e820_entries;

    xen_pfn_t vuart_gfn;

    unsigned int max_vcpus;
};

/*
 * What depends on the kind of guest. xc_dom_parse_image() chooses; hooks that a kind does not need
 * are NULL. The order is Xen 4.17's ABI.
 */
struct xc_dom_arch {
    int (*alloc_magic_pages)(struct xc_dom_image *dom);

    int (*alloc_pgtables)(struct xc_dom_image *dom);
    int (*alloc_p2m_list)(struct xc_dom_image *dom);
    int (*setup_pgtables)(struct xc_dom_image *dom);

#undef start_info
    int (*start_info)(struct xc_dom_image *dom);
    int (*shared_info)(struct xc_dom_image *dom, void *shared_info);
    int (*vcpu)(struct xc_dom_image *dom);
    int (*bootearly)(struct xc_dom_image *dom);
    int (*bootlate)(struct xc_dom_image *dom);

    int (*meminit)(struct xc_dom_image *dom);

    const char *guest_type;
    const char *native_protocol;
    int page_shift;
    int sizeof_pfn;
    int p2m_base_supported;
    int arch_private_size;

    struct xc_dom_arch *next;
};

#define XC_DOM_PAGE_SHIFT(dom) ((dom)->arch_hooks->page_shift)
#define XC_DOM_PAGE_SIZE(dom)  (1LL << (dom)->arch_hooks->page_shift)

/* Replaces what the library does for guests of hooks->guest_type. hooks stays in use. */
void xc_dom_register_arch_hooks(struct xc_dom_arch *hooks);

/* ---- building --------------------------------------------------------------------------- */

/* features: "name|!name" of PV features, or NULL. NULL without memory. */
struct xc_dom_image *xc_dom_allocate(xc_interface *xch, const char *cmdline,
                                     const char *features);

/* Frees the image, its memory and its mappings. */
void xc_dom_release(struct xc_dom_image *dom);

/* Where memory starts: 0 on x86. */
int xc_dom_rambase_init(struct xc_dom_image *dom, uint64_t rambase);

/* Sets the size of memory; sizes of a build in which target_pages is set are in that. */
int xc_dom_mem_init(struct xc_dom_image *dom, unsigned int mem_mb);

#ifndef XC_DOM_DECOMPRESS_MAX
#define XC_DOM_DECOMPRESS_MAX (1024 * 1024 * 1024)
#endif

/* 0 if a kernel of sz bytes is allowed, else 1. */
int xc_dom_kernel_check_size(struct xc_dom_image *dom, size_t sz);
int xc_dom_kernel_max_size(struct xc_dom_image *dom, size_t sz);
int xc_dom_module_max_size(struct xc_dom_image *dom, size_t sz);
int xc_dom_devicetree_max_size(struct xc_dom_image *dom, size_t sz);

/* The size a gzip stream says it unpacks to; 0 if it is none or the size is absurd. */
size_t xc_dom_check_gzip(xc_interface *xch, void *blob, size_t ziplen);

/* Unpacks exactly dstlen bytes. */
int xc_dom_do_gunzip(xc_interface *xch, void *src, size_t srclen, void *dst, size_t dstlen);

/* Replaces *blob by its unpacked form if it is gzip data; 0 also if it is not. */
int xc_dom_try_gunzip(struct xc_dom_image *dom, void **blob, size_t * size);

/* Files are mapped; memory is not copied and must stay valid until xc_dom_release(). */
int xc_dom_kernel_file(struct xc_dom_image *dom, const char *filename);
int xc_dom_kernel_mem(struct xc_dom_image *dom, const void *mem, size_t memsize);
int xc_dom_module_file(struct xc_dom_image *dom, const char *filename, const char *cmdline);
int xc_dom_module_mem(struct xc_dom_image *dom, const void *mem, size_t memsize,
                      const char *cmdline);

int xc_dom_devicetree_file(struct xc_dom_image *dom, const char *filename);
int xc_dom_devicetree_mem(struct xc_dom_image *dom, const void *mem, size_t memsize);

int xc_dom_parse_image(struct xc_dom_image *dom);
int xc_dom_set_arch_hooks(struct xc_dom_image *dom);
int xc_dom_build_image(struct xc_dom_image *dom);
int xc_dom_boot_xen_init(struct xc_dom_image *dom, xc_interface *xch, uint32_t domid);
int xc_dom_boot_mem_init(struct xc_dom_image *dom);
int xc_dom_boot_image(struct xc_dom_image *dom);
int xc_dom_compat_check(struct xc_dom_image *dom);

/* Grants 0 and 1: the console's and the store's page to their backends' domains. */
int xc_dom_gnttab_init(struct xc_dom_image *dom);
int xc_dom_gnttab_seed(xc_interface *xch, uint32_t guest_domid, bool is_hvm,
                       xen_pfn_t console_gfn, xen_pfn_t xenstore_gfn, uint32_t console_domid,
                       uint32_t xenstore_domid);

/* True for everything but PV. */
bool xc_dom_translated(const struct xc_dom_image *dom);

/*
 * A PV Linux guest in one call, for callers from before xc_dom_allocate(). The results are the
 * frames of the store's and the console's page.
 */
int xc_linux_build(xc_interface *xch, uint32_t domid, unsigned int mem_mb,
                   const char *image_name, const char *ramdisk_name, const char *cmdline,
                   const char *features, unsigned long flags, unsigned int store_evtchn,
                   unsigned long *store_mfn, unsigned int console_evtchn,
                   unsigned long *console_mfn);

/* ---- logging ---------------------------------------------------------------------------- */

/* Opens the default log file, domain-builder-ng.log, if no builder logger was given. */
int xc_dom_loginit(xc_interface *xch);

void xc_dom_printf(xc_interface *xch, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void xc_dom_panic_func(xc_interface *xch, const char *file, int line, xc_error_code err,
                       const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#define xc_dom_panic(xch, err, fmt, args...) \
    xc_dom_panic_func(xch, __FILE__, __LINE__, err, fmt, ##args)

#define xc_dom_trace(mark) xc_dom_printf("%s:%d: trace %s\n", __FILE__, __LINE__, mark)

void xc_elf_set_logfile(xc_interface *xch, struct elf_binary *elf, int verbose);

void xc_dom_log_memory_footprint(struct xc_dom_image *dom);

/* ---- memory of the build ---------------------------------------------------------------- */

/* All are owned by the image. xc_dom_register_external() takes over malloc()ed memory. */
void *xc_dom_malloc(struct xc_dom_image *dom, size_t size);
void *xc_dom_malloc_page_aligned(struct xc_dom_image *dom, size_t size);
void *xc_dom_malloc_filemap(struct xc_dom_image *dom, const char *filename, size_t * size,
                            const size_t max_size);
char *xc_dom_strdup(struct xc_dom_image *dom, const char *str);
int xc_dom_register_external(struct xc_dom_image *dom, void *ptr, size_t size);

/* ---- guest memory ----------------------------------------------------------------------- */

/* The next free frame, or INVALID_PFN. */
xen_pfn_t xc_dom_alloc_page(struct xc_dom_image *dom, const char *name);

/* start 0: the next free address. Pages are zeroed. */
int xc_dom_alloc_segment(struct xc_dom_image *dom, struct xc_dom_seg *seg, const char *name,
                         xen_vaddr_t start, xen_vaddr_t size);

/* A mapping of count frames, owned by the image; count 0: of the range that first lies in. */
void *xc_dom_boot_domU_map(struct xc_dom_image *dom, xen_pfn_t pfn, xen_pfn_t count);
void *xc_dom_pfn_to_ptr(struct xc_dom_image *dom, xen_pfn_t first, xen_pfn_t count);
void *xc_dom_pfn_to_ptr_retcount(struct xc_dom_image *dom, xen_pfn_t first, xen_pfn_t count,
                                 xen_pfn_t *count_out);
void *xc_dom_vaddr_to_ptr(struct xc_dom_image *dom, xen_vaddr_t vaddr, size_t *safe_region_out);
void xc_dom_unmap_one(struct xc_dom_image *dom, xen_pfn_t pfn);
void xc_dom_unmap_all(struct xc_dom_image *dom);

/* ---- what the kernel says --------------------------------------------------------------- */

/* Notes: VIRT_BASE, entry point, HYPERCALL_PAGE, GUEST_OS ("" if there is none), feature nr. */
uint64_t xc_dom_virt_base(struct xc_dom_image *dom);
uint64_t xc_dom_virt_entry(struct xc_dom_image *dom);
uint64_t xc_dom_virt_hypercall(struct xc_dom_image *dom);
char *xc_dom_guest_os(struct xc_dom_image *dom);
bool xc_dom_feature_get(struct xc_dom_image *dom, unsigned int nr);

static inline void *xc_dom_seg_to_ptr_pages(struct xc_dom_image *dom, struct xc_dom_seg *seg,
                                            xen_pfn_t *pages_out)
{
    void *ptr = xc_dom_pfn_to_ptr(dom, seg->pfn, seg->pages);

    *pages_out = ptr ? seg->pages : 0;
    return ptr;
}

static inline void *xc_dom_seg_to_ptr(struct xc_dom_image *dom, struct xc_dom_seg *seg)
{
    return xc_dom_pfn_to_ptr(dom, seg->pfn, seg->pages);
}

static inline xen_pfn_t xc_dom_p2m(struct xc_dom_image *dom, xen_pfn_t pfn)
{
    if (xc_dom_translated(dom)) {
        return pfn;
    }
    return pfn < dom->total_pages ? dom->pv_p2m[pfn] : INVALID_MFN;
}

/* ---- suspend and resume ----------------------------------------------------------------- */

/* Cooperative (fast) resume: the guest's SHUTDOWN_suspend returns 1. */
int xc_domain_resume(xc_interface *xch, uint32_t domid, int fast);

struct xenevtchn_handle;

/*
 * Binds the caller to the guest's suspend event channel `port`; returns the local port or -1.
 * *lockfd keeps others off until the release. The exclusive form also takes the notification that
 * binding itself makes; xce must then serve nothing else.
 */
int xc_suspend_evtchn_init_exclusive(xc_interface *xch, struct xenevtchn_handle *xce,
                                     uint32_t domid, int port, int *lockfd);
int xc_suspend_evtchn_init_sane(xc_interface *xch, struct xenevtchn_handle *xce, uint32_t domid,
                                int port, int *lockfd);
int xc_suspend_evtchn_release(xc_interface *xch, struct xenevtchn_handle *xce, uint32_t domid,
                              int suspend_evtchn, int *lockfd);

/* Waits for the channel, and unmasks it. */
int xc_await_suspend(xc_interface *xch, struct xenevtchn_handle *xce, int suspend_evtchn);

/* ---- save and restore ------------------------------------------------------------------- */

/* Where live migration stands, for the policy that decides how to go on. -1: not known yet. */
struct precopy_stats {
    unsigned int iteration;
    unsigned long total_written;
    long dirty_count;
};

typedef int (*precopy_policy_t)(struct precopy_stats, void *);

/* What a policy answers. */
#define XGS_POLICY_ABORT            (-1)
#define XGS_POLICY_CONTINUE_PRECOPY 0
#define XGS_POLICY_STOP_AND_COPY    1

typedef enum {
    XC_STREAM_PLAIN,
    XC_STREAM_REMUS,
    XC_STREAM_COLO,
} xc_stream_type_t;

/* What the caller does on the way: 1 for success, 0 to fail; data is theirs. */
struct save_callbacks {
    int (*suspend)(void *data);
    precopy_policy_t precopy_policy;
    int (*postcopy)(void *data);
    int (*checkpoint)(void *data);
    int (*wait_checkpoint)(void *data);
    int (*switch_qemu_logdirty)(uint32_t domid, unsigned enable, void *data);
    void *data;
};

/* The stream is written to io_fd, from recv_fd come a COLO peer's answers. */
int xc_domain_save(xc_interface *xch, int io_fd, uint32_t dom, uint32_t flags,
                   struct save_callbacks *callbacks, xc_stream_type_t stream_type, int recv_fd);

/* What checkpoint() answers, and what static_data_done() is told. */
#define XGR_CHECKPOINT_ERROR    0
#define XGR_CHECKPOINT_SUCCESS  1
#define XGR_CHECKPOINT_FAILOVER 2
#define XGR_SDD_MISSING_CPUID   (1 << 0)
#define XGR_SDD_MISSING_MSR     (1 << 1)

struct restore_callbacks {
    int (*static_data_done)(unsigned int missing, void *data);
    int (*suspend)(void *data);
    int (*postcopy)(void *data);
    int (*checkpoint)(void *data);
    int (*wait_checkpoint)(void *data);
    void (*restore_results)(xen_pfn_t store_gfn, xen_pfn_t console_gfn, void *data);
    void *data;
};

int xc_domain_restore(xc_interface *xch, int io_fd, uint32_t dom, unsigned int store_evtchn,
                      unsigned long *store_mfn, uint32_t store_domid,
                      unsigned int console_evtchn, unsigned long *console_mfn,
                      uint32_t console_domid, xc_stream_type_t stream_type,
                      struct restore_callbacks *callbacks, int send_back_fd);

/* ---- machine memory --------------------------------------------------------------------- */

/* Pages from start to end, both included; status: PG_OFFLINE_* and PG_ONLINE_* of each. */
int xc_mark_page_online(xc_interface *xch, unsigned long start, unsigned long end,
                        uint32_t *status);
int xc_mark_page_offline(xc_interface *xch, unsigned long start, unsigned long end,
                         uint32_t *status);
int xc_query_page_offline_status(xc_interface *xch, unsigned long start, unsigned long end,
                                 uint32_t *status);

/* Gives a suspended PV guest another page for mfn. Not supported: EOPNOTSUPP. */
int xc_exchange_page(xc_interface *xch, uint32_t domid, xen_pfn_t mfn);

/* A PV guest's P2M, mapped, in the guest's width, and the type of each of its p2m_size frames. */
struct xc_domain_meminfo {
    unsigned int pt_levels;
    unsigned int guest_width;
    xen_pfn_t *pfn_type;
    xen_pfn_t *p2m_table;
    unsigned long p2m_size;
    unsigned int p2m_frames;
};

/* *minfo: zeroed, or as it was left by the unmapping. EINVAL for guests that are not PV. */
int xc_map_domain_meminfo(xc_interface *xch, uint32_t domid, struct xc_domain_meminfo *minfo);
int xc_unmap_domain_meminfo(xc_interface *xch, struct xc_domain_meminfo *minfo);

/* The machine-to-physical table, for munmap(), and (if not NULL) its own first frame. */
xen_pfn_t *xc_map_m2p(xc_interface *xch, unsigned long max_mfn, int prot, unsigned long *mfn0);

/* "x86_32-abi" or "x86_64-abi". */
const char *xc_domain_get_native_protocol(xc_interface *xch, uint32_t domid);

/* ---- CPUID and MSR policies ------------------------------------------------------------- */

/* A set of CPUID leaves and MSRs, as a domain sees them. */
typedef struct xc_cpu_policy xc_cpu_policy_t;

xc_cpu_policy_t *xc_cpu_policy_init(void);
void xc_cpu_policy_destroy(xc_cpu_policy_t *policy);

/* policy_idx: XEN_SYSCTL_cpu_policy_*. */
int xc_cpu_policy_get_system(xc_interface *xch, unsigned int policy_idx, xc_cpu_policy_t *policy);
int xc_cpu_policy_get_domain(xc_interface *xch, uint32_t domid, xc_cpu_policy_t *policy);
int xc_cpu_policy_set_domain(xc_interface *xch, uint32_t domid, xc_cpu_policy_t *policy);

/*
 * Leaves and MSRs as the hypercalls have them. *nr_leaves and *nr_msrs: in, room; out, how
 * many there are; errno ENOBUFS if that was too short.
 */
int xc_cpu_policy_serialise(xc_interface *xch, const xc_cpu_policy_t *policy,
                            xen_cpuid_leaf_t *leaves, uint32_t *nr_leaves, xen_msr_entry_t *msrs,
                            uint32_t *nr_msrs);
int xc_cpu_policy_update_cpuid(xc_interface *xch, xc_cpu_policy_t *policy,
                               const xen_cpuid_leaf_t *leaves, uint32_t nr);
int xc_cpu_policy_update_msrs(xc_interface *xch, xc_cpu_policy_t *policy,
                              const xen_msr_entry_t *msrs, uint32_t nr);

/* Could a guest with that policy run on such a host? Says why not in the log. */
bool xc_cpu_policy_is_compatible(xc_interface *xch, xc_cpu_policy_t *host,
                                 xc_cpu_policy_t *guest);

int xc_get_cpu_levelling_caps(xc_interface *xch, uint32_t *caps);

/*
 * Words of features (xc_get_cpu_featureset_size() of them, static): that Xen knows, that need more
 * than a bit, and that kinds of guests may have at most and by default. NULL for other numbers.
 */
enum xc_static_cpu_featuremask {
    XC_FEATUREMASK_KNOWN,
    XC_FEATUREMASK_SPECIAL,
    XC_FEATUREMASK_PV_MAX,
    XC_FEATUREMASK_PV_DEF,
    XC_FEATUREMASK_HVM_SHADOW_MAX,
    XC_FEATUREMASK_HVM_SHADOW_DEF,
    XC_FEATUREMASK_HVM_HAP_MAX,
    XC_FEATUREMASK_HVM_HAP_DEF,
};
const uint32_t *xc_get_static_cpu_featuremask(enum xc_static_cpu_featuremask);

/* index: XEN_SYSCTL_cpu_featureset_*. *nr_features: words, in and out. */
int xc_get_cpu_featureset(xc_interface *xch, uint32_t index, uint32_t *nr_features,
                          uint32_t *featureset);
uint32_t xc_get_cpu_featureset_size(void);

/* The most leaves and MSRs a policy may have. */
int xc_cpu_policy_get_size(xc_interface *xch, uint32_t *nr_leaves, uint32_t *nr_msrs);

/* On failure *err_* receive the leaf or MSR at fault, or ~0. */
int xc_set_domain_cpu_policy(xc_interface *xch, uint32_t domid, uint32_t nr_leaves,
                             xen_cpuid_leaf_t *leaves, uint32_t nr_msrs, xen_msr_entry_t *msrs,
                             uint32_t *err_leaf_p, uint32_t *err_subleaf_p, uint32_t *err_msr_p);

#endif
