/* SPDX-License-Identifier: MIT */
/* Which domains there are and how they do. */
#include <stdlib.h>

#include "libxl/domain.h"

#include <libxl_utils.h>

#define CHUNK 256
#define PAGES_TO_KB(n) ((uint64_t)(n) << (XC_PAGE_SHIFT - 10))

int lx_domain_getinfo(struct lx_gc *gc, uint32_t domid, xc_domaininfo_t *info)
{
    int r = xc_domain_getinfolist(gc->ctx->xch, domid, 1, info);

    if (r < 0) {
        LX_LOGED(ERROR, domid, "cannot ask the hypervisor for the domain's state");
        return ERROR_FAIL;
    }
    return r && info->domain == domid ? 0 : ERROR_DOMAIN_NOTFOUND;
}

/* A container with a local APIC and nothing else emulated is PVH. */
static libxl_domain_type type_of(const xc_domaininfo_t *info)
{
    if (!(info->flags & XEN_DOMINF_hvm_guest))
        return LIBXL_DOMAIN_TYPE_PV;
    return info->arch_config.emulation_flags & ~XEN_X86_EMU_LAPIC ? LIBXL_DOMAIN_TYPE_HVM
                                                                  : LIBXL_DOMAIN_TYPE_PVH;
}

libxl_domain_type lx_domain_type(struct lx_gc *gc, uint32_t domid)
{
    const char *s = lx_xs_peek(gc, lx_sprintf(gc, "%s/type", lx_libxl_path(gc, domid)));
    libxl_domain_type type;
    xc_domaininfo_t info;

    if (s && !libxl_domain_type_from_string(s, &type))
        return type;
    return lx_domain_getinfo(gc, domid, &info) ? LIBXL_DOMAIN_TYPE_INVALID : type_of(&info);
}

static void fill_in(struct lx_gc *gc, const xc_domaininfo_t *from, libxl_dominfo *to)
{
    char label[128];

    memcpy(to->uuid.uuid, from->handle, sizeof(to->uuid.uuid));
    to->domid = from->domain;
    to->ssidref = from->ssidref;
    if (from->ssidref && !xc_flask_sid_to_context(gc->ctx->xch, (int)from->ssidref, label,
                                                  sizeof(label)))
        to->ssid_label = lx_strndup(NULL, label, sizeof(label));
    to->dying = from->flags & XEN_DOMINF_dying;
    to->shutdown = from->flags & XEN_DOMINF_shutdown;
    to->paused = from->flags & XEN_DOMINF_paused;
    to->blocked = from->flags & XEN_DOMINF_blocked;
    to->running = from->flags & XEN_DOMINF_running;
    to->never_stop = from->flags & XEN_DOMINF_xs_domain;
    to->shutdown_reason = to->shutdown
        ? (libxl_shutdown_reason)((from->flags >> XEN_DOMINF_shutdownshift) &
                                  XEN_DOMINF_shutdownmask)
        : LIBXL_SHUTDOWN_REASON_UNKNOWN;
    to->outstanding_memkb = PAGES_TO_KB(from->outstanding_pages);
    to->current_memkb = PAGES_TO_KB(from->tot_pages);
    to->shared_memkb = PAGES_TO_KB(from->shr_pages);
    to->paged_memkb = PAGES_TO_KB(from->paged_pages);
    to->max_memkb = PAGES_TO_KB(from->max_pages);
    to->cpu_time = from->cpu_time;
    to->vcpu_max_id = from->max_vcpu_id;
    to->vcpu_online = from->nr_online_vcpus;
    to->cpupool = from->cpupool;
    to->gpaddr_bits = from->gpaddr_bits;
    to->domain_type = type_of(from);
}

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info_r, uint32_t domid)
{
    LX_GC(ctx);
    xc_domaininfo_t info;
    int rc = lx_domain_getinfo(gc, domid, &info);

    if (!rc && info_r) {
        libxl_dominfo_init(info_r); /* not disposed of: programs pass it as it is on their stack */
        fill_in(gc, &info, info_r);
    }
    return rc;
}

/* All domains, in gc; *n is how many. NULL on failure. */
static xc_domaininfo_t *all_domains(struct lx_gc *gc, int *n)
{
    xc_domaininfo_t *list = NULL;
    uint32_t next = 0;
    int r;

    *n = 0;
    do {
        list = lx_realloc(gc, list, (size_t)(*n + CHUNK) * sizeof(*list));
        r = xc_domain_getinfolist(gc->ctx->xch, next, CHUNK, list + *n);
        if (r < 0) {
            LX_LOGE(ERROR, "cannot list domains");
            return NULL;
        }
        *n += r;
        if (r)
            next = list[*n - 1].domain + 1u;
    } while (r == CHUNK);
    return list;
}

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *nb_domain_out)
{
    LX_GC(ctx);
    int n;
    xc_domaininfo_t *from = all_domains(gc, &n);
    libxl_dominfo *list;

    *nb_domain_out = 0;
    if (!from)
        return NULL;
    list = LX_ARRAY_NEW(NULL, libxl_dominfo, (size_t)n);
    for (int i = 0; i < n; i++) {
        libxl_dominfo_init(&list[i]);
        fill_in(gc, &from[i], &list[i]);
    }
    *nb_domain_out = n;
    return list;
}

void libxl_dominfo_list_free(libxl_dominfo *list, int nb_domain)
{
    for (int i = 0; list && i < nb_domain; i++)
        libxl_dominfo_dispose(&list[i]);
    free(list);
}

libxl_vminfo *libxl_list_vm(libxl_ctx *ctx, int *nb_vm_out)
{
    LX_GC(ctx);
    int n, m = 0;
    xc_domaininfo_t *from = all_domains(gc, &n);
    libxl_vminfo *list;

    *nb_vm_out = 0;
    if (!from)
        return NULL;
    list = LX_ARRAY_NEW(NULL, libxl_vminfo, (size_t)n);
    for (int i = 0; i < n; i++) {
        if (!from[i].domain || libxl_is_stubdom(ctx, from[i].domain, NULL))
            continue;
        memcpy(list[m].uuid.uuid, from[i].handle, sizeof(list[m].uuid.uuid));
        list[m++].domid = from[i].domain;
    }
    *nb_vm_out = m;
    return list;
}

void libxl_vminfo_list_free(libxl_vminfo *list, int nb_vm)
{
    for (int i = 0; list && i < nb_vm; i++)
        libxl_vminfo_dispose(&list[i]);
    free(list);
}

/* ---- vCPUs */

static int fill_in_vcpu(struct lx_gc *gc, uint32_t domid, uint32_t vcpu, libxl_vcpuinfo *to)
{
    xc_interface *xch = gc->ctx->xch;
    xc_vcpuinfo_t from;

    if (libxl_cpu_bitmap_alloc(gc->ctx, &to->cpumap, 0) ||
        libxl_cpu_bitmap_alloc(gc->ctx, &to->cpumap_soft, 0))
        return ERROR_FAIL;
    if (xc_vcpu_getinfo(xch, domid, vcpu, &from)) {
        LX_LOGED(ERROR, domid, "cannot ask for the state of vCPU %u", vcpu);
        return ERROR_FAIL;
    }
    if (xc_vcpu_getaffinity(xch, domid, (int)vcpu, to->cpumap.map, to->cpumap_soft.map,
                            XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)) {
        LX_LOGED(ERROR, domid, "cannot ask where vCPU %u may run", vcpu);
        return ERROR_FAIL;
    }
    to->vcpuid = vcpu;
    to->cpu = from.cpu;
    to->online = from.online;
    to->blocked = from.blocked;
    to->running = from.running;
    to->vcpu_time = from.cpu_time;
    return 0;
}

libxl_vcpuinfo *libxl_list_vcpu(libxl_ctx *ctx, uint32_t domid, int *nb_vcpu, int *nr_cpus_out)
{
    LX_GC(ctx);
    xc_domaininfo_t info;
    libxl_vcpuinfo *list;
    int n, rc = lx_domain_getinfo(gc, domid, &info);

    *nb_vcpu = 0;
    *nr_cpus_out = 0;
    if (rc) {
        if (rc == ERROR_DOMAIN_NOTFOUND)
            LX_LOG(ERROR, "there is no domain %u", domid);
        return NULL;
    }
    if (info.max_vcpu_id == XEN_INVALID_MAX_VCPU_ID) /* it has no vCPUs yet */
        return NULL;
    n = (int)info.max_vcpu_id + 1;
    list = LX_ARRAY_NEW(NULL, libxl_vcpuinfo, (size_t)n);
    for (int i = 0; i < n; i++) {
        libxl_vcpuinfo_init(&list[i]);
        if (fill_in_vcpu(gc, domid, (uint32_t)i, &list[i])) {
            libxl_vcpuinfo_list_free(list, i + 1);
            return NULL;
        }
    }
    *nb_vcpu = n;
    *nr_cpus_out = libxl_get_max_cpus(ctx);
    return list;
}

void libxl_vcpuinfo_list_free(libxl_vcpuinfo *list, int nr_vcpus)
{
    for (int i = 0; list && i < nr_vcpus; i++)
        libxl_vcpuinfo_dispose(&list[i]);
    free(list);
}
