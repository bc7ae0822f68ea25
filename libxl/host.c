/* SPDX-License-Identifier: MIT */
/* The host: its version, CPUs, memory, log. */
#include <stdlib.h>

#include "libxl/domain.h"

#include <libxl_utils.h>

/* ---- version */

static int read_version(struct lx_gc *gc, libxl_version_info *v)
{
    xc_interface *xch = gc->ctx->xch;
    union {
        xen_extraversion_t extra;
        xen_compile_info_t compile;
        xen_capabilities_info_t caps;
        xen_changeset_info_t changeset;
        xen_platform_parameters_t params;
        xen_commandline_t cmdline;
        xen_build_id_t build;
        char room[XC_PAGE_SIZE];
    } u;
    int r = xc_version(xch, XENVER_version, NULL);

    if (r < 0) {
        LX_LOGE(ERROR, "cannot ask the hypervisor for its version");
        return ERROR_FAIL;
    }
    v->xen_version_major = r >> 16;
    v->xen_version_minor = r & 0xffff;
#define TEXT(field, member) v->field = lx_strndup(NULL, (char *)u.member, sizeof(u.member))
    memset(&u, 0, sizeof(u));
    if (xc_version(xch, XENVER_extraversion, &u.extra) >= 0)
        TEXT(xen_version_extra, extra);
    memset(&u, 0, sizeof(u));
    if (xc_version(xch, XENVER_compile_info, &u.compile) >= 0) {
        TEXT(compiler, compile.compiler);
        TEXT(compile_by, compile.compile_by);
        TEXT(compile_domain, compile.compile_domain);
        TEXT(compile_date, compile.compile_date);
    }
    memset(&u, 0, sizeof(u));
    if (xc_version(xch, XENVER_capabilities, &u.caps) >= 0)
        TEXT(capabilities, caps);
    memset(&u, 0, sizeof(u));
    if (xc_version(xch, XENVER_changeset, &u.changeset) >= 0)
        TEXT(changeset, changeset);
    memset(&u, 0, sizeof(u));
    if (xc_version(xch, XENVER_platform_parameters, &u.params) >= 0)
        v->virt_start = u.params.virt_start;
    v->pagesize = xc_version(xch, XENVER_pagesize, NULL);
    memset(&u, 0, sizeof(u));
    if (xc_version(xch, XENVER_commandline, &u.cmdline) >= 0)
        TEXT(commandline, cmdline);
#undef TEXT
    memset(&u, 0, sizeof(u));
    u.build.len = sizeof(u.room) - sizeof(u.build);
    r = xc_version(xch, XENVER_build_id, &u.build);
    if (r > (int)(sizeof(u.room) - sizeof(u.build)))
        r = 0;
    v->build_id = lx_alloc(NULL, r > 0 ? 2 * (size_t)r + 1 : 1);
    for (int i = 0; i < r; i++)
        snprintf(v->build_id + 2 * i, 3, "%02hhx", u.build.buf[i]);
    return 0;
}

const libxl_version_info *libxl_get_version_info(libxl_ctx *ctx)
{
    LX_GC(ctx);
    const libxl_version_info *v;

    lx_lock(ctx);
    if (!ctx->version_known)
        ctx->version_known = !read_version(gc, &ctx->version);
    v = ctx->version_known ? &ctx->version : NULL;
    lx_unlock(ctx);
    return v;
}

/* ---- CPUs and memory */

int libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *p)
{
    LX_GC(ctx);
    xc_physinfo_t x = { 0 };
    long l;

    if (xc_physinfo(ctx->xch, &x)) {
        LX_LOGE(ERROR, "cannot ask the hypervisor for the host's properties");
        return ERROR_FAIL;
    }
    p->threads_per_core = x.threads_per_core;
    p->cores_per_socket = x.cores_per_socket;
    p->max_cpu_id = x.max_cpu_id;
    p->nr_cpus = x.nr_cpus;
    p->cpu_khz = x.cpu_khz;
    p->total_pages = x.total_pages;
    p->free_pages = x.free_pages;
    p->scrub_pages = x.scrub_pages;
    p->outstanding_pages = x.outstanding_pages;
    p->max_possible_mfn = x.max_mfn;
    l = xc_sharing_freed_pages(ctx->xch);
    p->sharing_freed_pages = l < 0 ? 0 : (uint64_t)l; /* sharing may not be there */
    l = xc_sharing_used_frames(ctx->xch);
    p->sharing_used_frames = l < 0 ? 0 : (uint64_t)l;
    p->nr_nodes = x.nr_nodes;
    memcpy(p->hw_cap, x.hw_cap, sizeof(p->hw_cap));
    p->cap_hvm = x.capabilities & XEN_SYSCTL_PHYSCAP_hvm;
    p->cap_pv = x.capabilities & XEN_SYSCTL_PHYSCAP_pv;
    p->cap_hvm_directio = x.capabilities & XEN_SYSCTL_PHYSCAP_directio;
    p->cap_hap = x.capabilities & XEN_SYSCTL_PHYSCAP_hap;
    p->cap_shadow = x.capabilities & XEN_SYSCTL_PHYSCAP_shadow;
    p->cap_iommu_hap_pt_share = x.capabilities & XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share;
    p->cap_vmtrace = x.capabilities & XEN_SYSCTL_PHYSCAP_vmtrace;
    p->cap_vpmu = x.capabilities & XEN_SYSCTL_PHYSCAP_vpmu;
    p->cap_gnttab_v1 = x.capabilities & XEN_SYSCTL_PHYSCAP_gnttab_v1;
    p->cap_gnttab_v2 = x.capabilities & XEN_SYSCTL_PHYSCAP_gnttab_v2;
    return 0;
}

static int count_or_fail(int n)
{
    return n < 0 ? ERROR_FAIL : n;
}

int libxl_get_max_cpus(libxl_ctx *ctx)
{
    return count_or_fail(xc_get_max_cpus(ctx->xch));
}

int libxl_get_online_cpus(libxl_ctx *ctx)
{
    return count_or_fail(xc_get_online_cpus(ctx->xch));
}

int libxl_get_max_nodes(libxl_ctx *ctx)
{
    return count_or_fail(xc_get_max_nodes(ctx->xch));
}

libxl_cputopology *libxl_get_cpu_topology(libxl_ctx *ctx, int *nb_cpu_out)
{
    LX_GC(ctx);
    unsigned n = 0;
    xc_cputopo_t *from;
    libxl_cputopology *list;

    *nb_cpu_out = 0;
    if (xc_cputopoinfo(ctx->xch, &n, NULL))
        goto fail;
    from = LX_ARRAY_NEW(gc, xc_cputopo_t, n);
    if (xc_cputopoinfo(ctx->xch, &n, from))
        goto fail;
    list = LX_ARRAY_NEW(NULL, libxl_cputopology, n);
    for (unsigned i = 0; i < n; i++) {
        libxl_cputopology_init(&list[i]);
        list[i].core = from[i].core == XEN_INVALID_CORE_ID ? LIBXL_CPUTOPOLOGY_INVALID_ENTRY
                                                           : from[i].core;
        list[i].socket = from[i].socket == XEN_INVALID_SOCKET_ID ? LIBXL_CPUTOPOLOGY_INVALID_ENTRY
                                                                 : from[i].socket;
        list[i].node = from[i].node == XEN_INVALID_NODE_ID ? LIBXL_CPUTOPOLOGY_INVALID_ENTRY
                                                           : from[i].node;
    }
    *nb_cpu_out = (int)n;
    return list;
 fail:
    LX_LOGE(ERROR, "cannot ask the hypervisor for the CPUs' topology");
    return NULL;
}

void libxl_cputopology_list_free(libxl_cputopology *list, int nb_cpu)
{
    free(list);
}

libxl_numainfo *libxl_get_numainfo(libxl_ctx *ctx, int *nr)
{
    LX_GC(ctx);
    unsigned n = 0;
    xc_meminfo_t *mem;
    uint32_t *dist;
    libxl_numainfo *list;

    *nr = 0;
    if (xc_numainfo(ctx->xch, &n, NULL, NULL))
        goto fail;
    mem = LX_ARRAY_NEW(gc, xc_meminfo_t, n);
    dist = LX_ARRAY_NEW(gc, uint32_t, (size_t)n * n);
    if (xc_numainfo(ctx->xch, &n, mem, dist))
        goto fail;
    list = LX_ARRAY_NEW(NULL, libxl_numainfo, n);
    for (unsigned i = 0; i < n; i++) {
        libxl_numainfo_init(&list[i]);
        list[i].size = mem[i].memsize;
        list[i].free = mem[i].memfree;
        list[i].num_dists = (int)n;
        list[i].dists = LX_ARRAY_NEW(NULL, uint32_t, n);
        for (unsigned j = 0; j < n; j++)
            list[i].dists[j] = dist[i * n + j];
    }
    *nr = (int)n;
    return list;
 fail:
    LX_LOGE(ERROR, "cannot ask the hypervisor for the host's NUMA nodes");
    return NULL;
}

void libxl_numainfo_list_free(libxl_numainfo *list, int nr)
{
    for (int i = 0; list && i < nr; i++)
        libxl_numainfo_dispose(&list[i]);
    free(list);
}

libxl_pcitopology *libxl_get_pci_topology(libxl_ctx *ctx, int *num_devs)
{
    *num_devs = 0; /* the host's PCI devices are none of the hypervisor's business here */
    return NULL;
}

void libxl_pcitopology_list_free(libxl_pcitopology *list, int num_devs)
{
    free(list);
}

/* ---- the hypervisor's log and keys */

struct libxl__xen_console_reader {
    char *buffer;
    unsigned size, have, at; /* bytes in buffer, and where the next line starts */
    bool clear, read;
    uint32_t index;
    char *line;              /* the one given out last */
};

/* As much as a build of Xen keeps by default, doubled while it is not enough. */
#define RING_START 16384
#define RING_MAX (16 << 20)

libxl_xen_console_reader *libxl_xen_console_read_start(libxl_ctx *ctx, int clear)
{
    libxl_xen_console_reader *cr = LX_NEW(NULL, libxl_xen_console_reader);

    cr->size = RING_START;
    cr->buffer = lx_alloc(NULL, cr->size);
    cr->clear = clear != 0;
    return cr;
}

static int read_ring(struct lx_gc *gc, libxl_xen_console_reader *cr)
{
    for (;;) {
        unsigned room = cr->size - cr->have, got = room;

        if (xc_readconsolering(gc->ctx->xch, cr->buffer + cr->have, &got, 0, 1, &cr->index)) {
            LX_LOGE(ERROR, "cannot read the hypervisor's log");
            return ERROR_FAIL;
        }
        cr->have += got < room ? got : room;
        if (got < room || cr->size >= RING_MAX)
            break;
        cr->size *= 2;
        cr->buffer = lx_realloc(NULL, cr->buffer, cr->size);
    }
    if (cr->clear) {
        unsigned none = 0;
        char drop[1];

        if (xc_readconsolering(gc->ctx->xch, drop, &none, 1, 0, NULL)) {
            LX_LOGE(ERROR, "cannot clear the hypervisor's log");
            return ERROR_FAIL;
        }
    }
    return 0;
}

int libxl_xen_console_read_line(libxl_ctx *ctx, libxl_xen_console_reader *cr, char **line_r)
{
    LX_GC(ctx);
    const char *start, *end;
    size_t len;
    int rc;

    if (!cr->read) {
        rc = read_ring(gc, cr);
        if (rc)
            return rc;
        cr->read = true;
    }
    if (cr->at >= cr->have)
        return 0;
    start = cr->buffer + cr->at;
    end = memchr(start, '\n', cr->have - cr->at);
    len = end ? (size_t)(end - start) + 1 : cr->have - cr->at; /* its newline is part of it */
    free(cr->line);
    cr->line = lx_strndup(NULL, start, len);
    cr->at += (unsigned)len;
    *line_r = cr->line;
    return 1;
}

void libxl_xen_console_read_finish(libxl_ctx *ctx, libxl_xen_console_reader *cr)
{
    free(cr->line);
    free(cr->buffer);
    free(cr);
}

int libxl_send_debug_keys(libxl_ctx *ctx, char *keys)
{
    LX_GC(ctx);

    if (!xc_send_debug_keys(ctx->xch, keys))
        return 0;
    LX_LOGE(ERROR, "cannot send debug keys");
    return ERROR_FAIL;
}
