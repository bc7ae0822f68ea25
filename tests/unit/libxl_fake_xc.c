/* SPDX-License-Identifier: MIT */
#include "tests/unit/libxl_fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xenguest.h>

void fake_store_reset(void);

struct fake_host fake;
char fake_log[1024];

/* ---- what the tests see */

static void keep_line(xentoollog_logger *lg, xentoollog_level level, int errnoval,
                      const char *context, const char *format, va_list al)
{
    if (level >= XTL_WARN)
        vsnprintf(fake_log, sizeof(fake_log), format, al);
    if (getenv("FAKE_VERBOSE")) {
        fputs("  log: ", stderr);
        vfprintf(stderr, format, al);
        fputc('\n', stderr);
    }
}

static void no_progress(xentoollog_logger *lg, const char *context, const char *what, int percent,
                        unsigned long done, unsigned long total)
{
}

xentoollog_logger fake_logger = { .vmessage = keep_line, .progress = no_progress };

void fake_reset(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.free_kb = 1 << 20;
    fake.dom[0].exists = true;
    fake.dom[0].vcpus = 2;
    fake.tty_appears = true;
    fake_log[0] = 0;
    fake_store_reset();
    fake_store_set("/tool/xenstored", "");
    fake_store_set("/local/domain/0/name", "Domain-0");
    fake_store_set("/vm", "");
    fake_store_set("/libxl", "");
}

void fake_fail(unsigned n)
{
    fake.calls = 0;
    fake.fail_at = n;
    fake.failed = false;
}

bool fake_fails(const char *call)
{
    if (++fake.calls != fake.fail_at)
        return false;
    fake.failed = true;
    fake.failed_call = call;
    errno = EIO;
    return true;
}

/* ---- the handle */

static xc_error last_error;

xc_interface *xc_interface_open(xentoollog_logger *l, xentoollog_logger *d, unsigned flags)
{
    return fake_fails("xc_interface_open") ? NULL : (xc_interface *)&fake;
}

int xc_interface_close(xc_interface *xch)
{
    return 0;
}

const xc_error *xc_get_last_error(xc_interface *xch)
{
    return &last_error;
}

void xc_clear_last_error(xc_interface *xch)
{
    memset(&last_error, 0, sizeof(last_error));
}

/* ---- domains */

static struct fake_domain *domain(uint32_t domid)
{
    if (domid < FAKE_DOMAINS && fake.dom[domid].exists)
        return &fake.dom[domid];
    errno = ESRCH;
    return NULL;
}

/* 0 for an existing domain, unless this is the call to fail. */
static int on(uint32_t domid, const char *call)
{
    return fake_fails(call) || !domain(domid) ? -1 : 0;
}

int xc_domain_create(xc_interface *xch, uint32_t *pdomid, struct xen_domctl_createdomain *config)
{
    uint32_t d = *pdomid;

    if (fake_fails("xc_domain_create"))
        return -1;
    if (!d)
        for (d = 1; d < FAKE_DOMAINS && fake.dom[d].exists; d++)
            continue;
    if (d >= FAKE_DOMAINS || fake.dom[d].exists) {
        errno = d < FAKE_DOMAINS ? EEXIST : ENOSPC;
        return -1;
    }
    memset(&fake.dom[d], 0, sizeof(fake.dom[d]));
    fake.dom[d].exists = true;
    memcpy(fake.dom[d].handle, config->handle, 16);
    fake.dom[d].flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_hap | XEN_DOMINF_paused;
    fake.dom[d].pause_count = 1;
    fake.dom[d].weight = 256;
    fake.dom[d].next_port = 1;
    *pdomid = d;
    return 0;
}

int xc_domain_destroy(xc_interface *xch, uint32_t domid)
{
    int r = on(domid, "xc_domain_destroy");

    if (!r)
        memset(&fake.dom[domid], 0, sizeof(fake.dom[domid]));
    return r;
}

int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
    int r = on(domid, "xc_domain_pause");

    if (!r) {
        fake.dom[domid].pause_count++;
        fake.dom[domid].flags |= XEN_DOMINF_paused;
    }
    return r;
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    int r = on(domid, "xc_domain_unpause");

    if (!r && fake.dom[domid].pause_count && !--fake.dom[domid].pause_count)
        fake.dom[domid].flags &= ~XEN_DOMINF_paused;
    return r;
}

int xc_domain_sethandle(xc_interface *xch, uint32_t domid, xen_domain_handle_t handle)
{
    int r = on(domid, "xc_domain_sethandle");

    if (!r)
        memcpy(fake.dom[domid].handle, handle, 16);
    return r;
}

int xc_domain_max_vcpus(xc_interface *xch, uint32_t domid, unsigned int max)
{
    int r = on(domid, "xc_domain_max_vcpus");

    if (!r)
        fake.dom[domid].vcpus = max;
    return r;
}

int xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb)
{
    int r = on(domid, "xc_domain_setmaxmem");

    if (!r)
        fake.dom[domid].max_memkb = max_memkb;
    return r;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned int max,
                          xc_domaininfo_t *info)
{
    unsigned n = 0;

    if (fake_fails("xc_domain_getinfolist"))
        return -1;
    for (uint32_t d = first; d < FAKE_DOMAINS && n < max; d++) {
        const struct fake_domain *f = &fake.dom[d];

        if (!f->exists)
            continue;
        memset(&info[n], 0, sizeof(info[n]));
        info[n].domain = (domid_t)d;
        info[n].flags = f->flags;
        info[n].max_vcpu_id = f->vcpus ? f->vcpus - 1 : XEN_INVALID_MAX_VCPU_ID;
        info[n].nr_online_vcpus = f->vcpus;
        info[n].tot_pages = 0x1000;
        info[n].max_pages = f->max_memkb >> 2;
        memcpy(info[n].handle, f->handle, 16);
        info[n].arch_config.emulation_flags = d ? XEN_X86_EMU_LAPIC : 0;
        n++;
    }
    return (int)n;
}

int xc_domain_set_tsc_info(xc_interface *xch, uint32_t domid, uint32_t mode, uint64_t ns,
                           uint32_t khz, uint32_t incarnation)
{
    return on(domid, "xc_domain_set_tsc_info");
}

int xc_domain_set_time_offset(xc_interface *xch, uint32_t domid, int32_t seconds)
{
    return on(domid, "xc_domain_set_time_offset");
}

int xc_set_paging_mempool_size(xc_interface *xch, uint32_t domid, uint64_t size)
{
    return on(domid, "xc_set_paging_mempool_size");
}

int xc_domain_set_memory_map(xc_interface *xch, uint32_t domid, struct e820entry entries[],
                             uint32_t n)
{
    int r = on(domid, "xc_domain_set_memory_map");

    if (!r)
        fake.dom[domid].map_entries = n;
    return r;
}

int xc_evtchn_alloc_unbound(xc_interface *xch, uint32_t domid, uint32_t remote)
{
    int r = on(domid, "xc_evtchn_alloc_unbound");

    return r ? r : (int)fake.dom[domid].next_port++;
}

int xc_hvm_param_set(xc_interface *xch, uint32_t domid, uint32_t param, uint64_t value)
{
    int r = on(domid, "xc_hvm_param_set");

    if (!r && param < 64)
        fake.dom[domid].params[param] = value;
    return r;
}

int xc_hvm_param_get(xc_interface *xch, uint32_t domid, uint32_t param, uint64_t *value)
{
    int r = on(domid, "xc_hvm_param_get");

    if (!r)
        *value = fake.dom[domid].params[param];
    return r;
}

int xc_cpuid_apply_policy(xc_interface *xch, uint32_t domid, bool restore,
                          const uint32_t *featureset, unsigned int nr_features, bool pae, bool itsc,
                          bool nested, const struct xc_xend_cpuid *xend, const struct xc_msr *msr)
{
    return on(domid, "xc_cpuid_apply_policy");
}

int xc_domain_send_trigger(xc_interface *xch, uint32_t domid, uint32_t trigger, uint32_t vcpu)
{
    return on(domid, "xc_domain_send_trigger");
}

int xc_domain_dumpcore(xc_interface *xch, uint32_t domid, const char *corename)
{
    snprintf(fake.dumped_to, sizeof(fake.dumped_to), "%s", corename);
    return on(domid, "xc_domain_dumpcore");
}

/* ---- vCPUs, affinity. One byte is enough for this host's CPUs */

int xc_vcpu_getinfo(xc_interface *xch, uint32_t domid, uint32_t vcpu, xc_vcpuinfo_t *info)
{
    memset(info, 0, sizeof(*info));
    info->vcpu = vcpu;
    info->online = 1;
    return on(domid, "xc_vcpu_getinfo");
}

int xc_vcpu_setaffinity(xc_interface *xch, uint32_t domid, int vcpu, xc_cpumap_t hard,
                        xc_cpumap_t soft, uint32_t flags)
{
    int r = on(domid, "xc_vcpu_setaffinity");

    if (!r && hard)
        fake.dom[domid].hard[vcpu][0] = hard[0] &= 0x0f;
    if (!r && soft)
        fake.dom[domid].soft[vcpu][0] = soft[0];
    return r;
}

int xc_vcpu_getaffinity(xc_interface *xch, uint32_t domid, int vcpu, xc_cpumap_t hard,
                        xc_cpumap_t soft, uint32_t flags)
{
    int r = on(domid, "xc_vcpu_getaffinity");

    if (!r) {
        hard[0] = fake.dom[domid].hard[vcpu][0];
        soft[0] = fake.dom[domid].soft[vcpu][0];
    }
    return r;
}

int xc_domain_node_setaffinity(xc_interface *xch, uint32_t domid, xc_nodemap_t map)
{
    return on(domid, "xc_domain_node_setaffinity");
}

int xc_domain_node_getaffinity(xc_interface *xch, uint32_t domid, xc_nodemap_t map)
{
    map[0] = 1;
    return on(domid, "xc_domain_node_getaffinity");
}

/* ---- the host: 4 CPUs in 2 sockets, 1 node */

int xc_get_max_cpus(xc_interface *xch) { return 4; }
int xc_get_online_cpus(xc_interface *xch) { return 4; }
int xc_get_max_nodes(xc_interface *xch) { return 1; }
long xc_sharing_freed_pages(xc_interface *xch) { return -1; }
long xc_sharing_used_frames(xc_interface *xch) { return -1; }

int xc_physinfo(xc_interface *xch, xc_physinfo_t *info)
{
    memset(info, 0, sizeof(*info));
    info->nr_cpus = 4;
    info->max_cpu_id = 3;
    info->total_pages = 1 << 20;
    info->free_pages = fake.free_kb >> 2;
    info->capabilities = XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap |
                         XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2;
    return fake_fails("xc_physinfo") ? -1 : 0;
}

int xc_version(xc_interface *xch, int cmd, void *arg)
{
    switch (cmd) {
    case XENVER_version: return 4 << 16 | 17;
    case XENVER_extraversion: strcpy(arg, ".7-fake"); return 0;
    case XENVER_pagesize: return 4096;
    default: errno = ENOSYS; return -1;
    }
}

int xc_cputopoinfo(xc_interface *xch, unsigned *max_cpus, xc_cputopo_t *topo)
{
    for (unsigned i = 0; topo && i < *max_cpus; i++)
        topo[i] = (xc_cputopo_t){ .core = i % 2, .socket = i / 2, .node = 0 };
    *max_cpus = 4;
    return 0;
}

int xc_numainfo(xc_interface *xch, unsigned *max_nodes, xc_meminfo_t *mem, uint32_t *distance)
{
    if (mem && *max_nodes)
        mem[0] = (xc_meminfo_t){ .memsize = 4ull << 30, .memfree = 1ull << 30 };
    if (distance && *max_nodes)
        distance[0] = 10;
    *max_nodes = 1;
    return 0;
}

static const char ring[] = "first line\nsecond line\nno newline";

int xc_readconsolering(xc_interface *xch, char *buffer, unsigned int *n, int clear, int incremental,
                       uint32_t *index)
{
    unsigned left = (unsigned)strlen(ring) - (index ? *index : 0);

    if (*n > left)
        *n = left;
    if (index) {
        memcpy(buffer, ring + *index, *n);
        *index += *n;
    }
    return 0;
}

int xc_send_debug_keys(xc_interface *xch, const char *keys)
{
    return fake_fails("xc_send_debug_keys") ? -1 : 0;
}

int xc_flask_sid_to_context(xc_interface *xch, int sid, char *buf, uint32_t size)
{
    errno = ENOSYS;
    return -1;
}

/* ---- scheduling: credit2, one pool */

int xc_sched_id(xc_interface *xch, int *id)
{
    *id = XEN_SCHEDULER_CREDIT2;
    return 0;
}

int xc_sched_credit2_domain_get(xc_interface *xch, uint32_t domid,
                                struct xen_domctl_sched_credit2 *s)
{
    int r = on(domid, "xc_sched_credit2_domain_get");

    if (!r) {
        s->weight = fake.dom[domid].weight;
        s->cap = fake.dom[domid].cap;
    }
    return r;
}

int xc_sched_credit2_domain_set(xc_interface *xch, uint32_t domid,
                                struct xen_domctl_sched_credit2 *s)
{
    int r = on(domid, "xc_sched_credit2_domain_set");

    if (!r) {
        fake.dom[domid].weight = s->weight;
        fake.dom[domid].cap = s->cap;
    }
    return r;
}

#define NOT_THIS_SCHEDULER(name, arg_t)                                 \
    int name(xc_interface *xch, uint32_t id, arg_t *arg)                \
    {                                                                   \
        errno = EINVAL;                                                 \
        return -1;                                                      \
    }
NOT_THIS_SCHEDULER(xc_sched_credit_domain_get, struct xen_domctl_sched_credit)
NOT_THIS_SCHEDULER(xc_sched_credit_domain_set, struct xen_domctl_sched_credit)
NOT_THIS_SCHEDULER(xc_sched_rtds_domain_get, struct xen_domctl_sched_rtds)
NOT_THIS_SCHEDULER(xc_sched_credit_params_get, struct xen_sysctl_credit_schedule)
NOT_THIS_SCHEDULER(xc_sched_credit_params_set, struct xen_sysctl_credit_schedule)
NOT_THIS_SCHEDULER(xc_sched_credit2_params_get, struct xen_sysctl_credit2_schedule)
NOT_THIS_SCHEDULER(xc_sched_credit2_params_set, struct xen_sysctl_credit2_schedule)

xc_cpupoolinfo_t *xc_cpupool_getinfo(xc_interface *xch, uint32_t poolid)
{
    xc_cpupoolinfo_t *p;

    if (poolid > 0 || fake_fails("xc_cpupool_getinfo"))
        return NULL;
    p = calloc(1, sizeof(*p));
    p->sched_id = XEN_SCHEDULER_CREDIT2;
    p->n_dom = 1;
    p->cpumap = calloc(1, 1);
    p->cpumap[0] = 0x0f;
    return p;
}

void xc_cpupool_infofree(xc_interface *xch, xc_cpupoolinfo_t *info)
{
    free(info->cpumap);
    free(info);
}

xc_cpumap_t xc_cpupool_freeinfo(xc_interface *xch) { return calloc(1, 1); }

static int no_pools(void)
{
    errno = EOPNOTSUPP;
    return -1;
}

int xc_cpupool_create(xc_interface *xch, uint32_t *id, uint32_t sched) { return no_pools(); }
int xc_cpupool_destroy(xc_interface *xch, uint32_t id) { return no_pools(); }
int xc_cpupool_addcpu(xc_interface *xch, uint32_t id, int cpu) { return no_pools(); }
int xc_cpupool_removecpu(xc_interface *xch, uint32_t id, int cpu) { return no_pools(); }
int xc_cpupool_movedomain(xc_interface *xch, uint32_t id, uint32_t domid) { return no_pools(); }

/* ---- the builder */

static int step(const char *name)
{
    if (fake.builder_fails && !strcmp(fake.builder_fails, name)) {
        last_error.code = XC_INVALID_KERNEL;
        snprintf(last_error.message, sizeof(last_error.message), "the cause that %s gives", name);
        errno = EINVAL;
        return -1;
    }
    return fake_fails(name) ? -1 : 0;
}

struct image {
    struct xc_dom_image dom;
    void *owned[16];
    int n;
};

static void load(const char *what, const char *file, const char *cmdline)
{
    size_t n = strlen(fake.loads);

    snprintf(fake.loads + n, sizeof(fake.loads) - n, "%s%s \"%s\"\n", what, file, cmdline ? cmdline : "");
}

struct xc_dom_image *xc_dom_allocate(xc_interface *xch, const char *cmdline, const char *features)
{
    if (step("xc_dom_allocate"))
        return NULL;
    fake.loads[0] = 0;
    load("image", "", cmdline);
    fake.images++;
    return &((struct image *)calloc(1, sizeof(struct image)))->dom;
}

void xc_dom_release(struct xc_dom_image *dom)
{
    struct image *i = (struct image *)dom;

    while (i->n)
        free(i->owned[--i->n]);
    free(i);
    fake.images--;
}

void *xc_dom_malloc(struct xc_dom_image *dom, size_t size)
{
    struct image *i = (struct image *)dom;

    return step("xc_dom_malloc") ? NULL : (i->owned[i->n++] = calloc(1, size));
}

int xc_dom_boot_xen_init(struct xc_dom_image *dom, xc_interface *xch, uint32_t domid)
{
    dom->guest_domid = domid;
    return step("xc_dom_boot_xen_init");
}

int xc_dom_kernel_file(struct xc_dom_image *d, const char *f)
{
    load("kernel ", f, NULL);
    return step("xc_dom_kernel_file");
}

int xc_dom_module_file(struct xc_dom_image *d, const char *f, const char *c)
{
    load("module ", f, c);
    return step("xc_dom_module_file");
}
int xc_dom_parse_image(struct xc_dom_image *d) { return step("xc_dom_parse_image"); }
int xc_dom_mem_init(struct xc_dom_image *d, unsigned mb) { return step("xc_dom_mem_init"); }
int xc_dom_boot_mem_init(struct xc_dom_image *d) { return step("xc_dom_boot_mem_init"); }
int xc_dom_build_image(struct xc_dom_image *d) { return step("xc_dom_build_image"); }
int xc_dom_gnttab_init(struct xc_dom_image *d) { return step("xc_dom_gnttab_init"); }

int xc_dom_boot_image(struct xc_dom_image *d)
{
    fake.dom[d->guest_domid].params[HVM_PARAM_STORE_PFN] = 0xfeffc;
    fake.dom[d->guest_domid].params[HVM_PARAM_CONSOLE_PFN] = 0xfefff;
    return step("xc_dom_boot_image");
}
