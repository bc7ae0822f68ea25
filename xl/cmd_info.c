/* SPDX-License-Identifier: MIT */
/*
 * xl info and xl dmesg: the host and its core.
 */
#include "xl/xl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <xenhypfs.h>

/* What is to be printed: all fields, or the one that the user asked for. */
struct wanted { const char *only; bool found; };

/* Prints `name : value`, or only the value when the user asked for this field. */
static void field(struct wanted *w, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void field(struct wanted *w, const char *name, const char *fmt, ...)
{
    va_list ap;

    if (w->only && strcmp(w->only, name)) {
        return;
    }
    w->found = true;
    if (!w->only) {
        printf("%-23s: ", name);
    }
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

static void info_host(struct wanted *w)
{
    struct utsname u;

    if (!uname(&u)) {
        field(w, "host", "%s", u.nodename);
        field(w, "release", "%s", u.release);
        field(w, "version", "%s", u.version);
        field(w, "machine", "%s", u.machine);
    }
}

static void info_physical(struct xl *xl, struct wanted *w, unsigned page_size)
{
    libxl_physinfo p;
    libxl_bitmap cpus;
    unsigned long per_mib = (1ul << 20) / page_size;
    unsigned unpooled = 0;

    libxl_physinfo_init(&p);
    if (libxl_get_physinfo(xl->ctx, &p)) {
        xl_error("the core does not say what the host has");
        goto out;
    }
    field(w, "nr_cpus", "%u", p.nr_cpus);
    field(w, "max_cpu_id", "%u", p.max_cpu_id);
    field(w, "nr_nodes", "%u", p.nr_nodes);
    field(w, "cores_per_socket", "%u", p.cores_per_socket);
    field(w, "threads_per_core", "%u", p.threads_per_core);
    field(w, "cpu_mhz", "%u.%03u", p.cpu_khz / 1000, p.cpu_khz % 1000);
    field(w, "hw_caps", "%08x:%08x:%08x:%08x:%08x:%08x:%08x:%08x", p.hw_cap[0], p.hw_cap[1], p.hw_cap[2],
          p.hw_cap[3], p.hw_cap[4], p.hw_cap[5], p.hw_cap[6], p.hw_cap[7]);
    field(w, "virt_caps", "%s%s%s%s%s%s%s", p.cap_pv ? "pv " : "", p.cap_hvm ? "hvm " : "",
          p.cap_hvm && p.cap_hvm_directio ? "hvm_directio " : "", p.cap_hap ? "hap " : "",
          p.cap_shadow ? "shadow " : "", p.cap_gnttab_v1 ? "gnttab-v1 " : "", p.cap_gnttab_v2 ? "gnttab-v2" : "");
    field(w, "total_memory", "%lu", (unsigned long)p.total_pages / per_mib);
    field(w, "free_memory", "%lu", (unsigned long)(p.free_pages - p.outstanding_pages) / per_mib);
    field(w, "sharing_freed_memory", "%lu", (unsigned long)p.sharing_freed_pages / per_mib);
    field(w, "sharing_used_memory", "%lu", (unsigned long)p.sharing_used_frames / per_mib);
    field(w, "outstanding_claims", "%lu", (unsigned long)p.outstanding_pages / per_mib);
    libxl_bitmap_init(&cpus);
    if (!libxl_get_freecpus(xl->ctx, &cpus)) {
        unpooled = (unsigned)libxl_bitmap_count_set(&cpus);
    }
    libxl_bitmap_dispose(&cpus);
    field(w, "free_cpus", "%u", unpooled);
out:
    libxl_physinfo_dispose(&p);
}

static void info_topology(struct xl *xl)
{
    libxl_cputopology *t;
    libxl_numainfo *n;
    int nr = 0;

    t = libxl_get_cpu_topology(xl->ctx, &nr);
    printf("cpu_topology           :\ncpu:    core    socket     node\n");
    for (int i = 0; t && i < nr; i++) {
        if (t[i].core != LIBXL_CPUTOPOLOGY_INVALID_ENTRY) {
            printf("%3d:    %4u     %4u     %4u\n", i, t[i].core, t[i].socket, t[i].node);
        }
    }
    libxl_cputopology_list_free(t, t ? nr : 0);
    n = libxl_get_numainfo(xl->ctx, &nr);
    printf("numa_info              :\nnode:    memsize    memfree    distances\n");
    for (int i = 0; n && i < nr; i++) {
        if (n[i].size == LIBXL_NUMAINFO_INVALID_ENTRY) {
            continue;
        }
        printf("%4d:    %6lu     %6lu      ", i, (unsigned long)(n[i].size >> 20), (unsigned long)(n[i].free >> 20));
        for (int j = 0; j < n[i].num_dists; j++) {
            printf("%s%u", j ? "," : "", n[i].dists[j]);
        }
        putchar('\n');
    }
    libxl_numainfo_list_free(n, n ? nr : 0);
}

static void info_version(struct xl *xl, struct wanted *w, const libxl_version_info *v)
{
    libxl_scheduler sched;

    field(w, "xen_major", "%d", v->xen_version_major);
    field(w, "xen_minor", "%d", v->xen_version_minor);
    field(w, "xen_extra", "%s", v->xen_version_extra);
    field(w, "xen_version", "%d.%d%s", v->xen_version_major, v->xen_version_minor, v->xen_version_extra);
    field(w, "xen_caps", "%s", v->capabilities);
    sched = (libxl_scheduler)libxl_get_scheduler(xl->ctx);
    field(w, "xen_scheduler", "%s", (int)sched < 0 ? "?" : libxl_scheduler_to_string(sched));
    field(w, "xen_pagesize", "%d", v->pagesize);
    field(w, "platform_params", "virt_start=0x%lx", (unsigned long)v->virt_start);
    field(w, "xen_changeset", "%s", v->changeset);
    field(w, "xen_commandline", "%s", v->commandline);
    field(w, "cc_compiler", "%s", v->compiler);
    field(w, "cc_compile_by", "%s", v->compile_by);
    field(w, "cc_compile_domain", "%s", v->compile_domain);
    field(w, "cc_compile_date", "%s", v->compile_date);
    field(w, "build_id", "%s", v->build_id);
}

/* Only a Krypton core has these; on another hypervisor the lines are absent. */
static void info_krypton(struct xl *xl, struct wanted *w)
{
    static const struct { const char *name, *path; } rows[] = {
        { "engine", "/krypton/engine" }, { "kvm", "/krypton/kvm" },
        { "cpu_weights", "/krypton/weights" }, { "cpu_caps", "/krypton/caps" },
    };
    xenhypfs_handle *h = xenhypfs_open((xentoollog_logger *)xl->logger, 0);

    for (size_t i = 0; h && i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *value = xenhypfs_read(h, rows[i].path);

        if (value) {
            field(w, rows[i].name, "%s", value);
        }
        free(value);
    }
    if (h) {
        xenhypfs_close(h);
    }
}

int main_info(struct xl *xl, int argc, char **argv)
{
    const libxl_version_info *v;
    struct wanted all = { NULL, false }, *w = &all;
    bool numa = false;
    int c;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        numa |= c == 'n';
    }
    xl_operands(xl, argc, 0, 1);
    w->only = optind < argc ? argv[optind] : NULL;
    if (xl_ctx_open(xl)) {
        return 1;
    }
    v = libxl_get_version_info(xl->ctx);
    if (!v) {
        xl_error("the core does not say its version");
        return 1;
    }
    info_host(w);
    info_physical(xl, w, (unsigned)v->pagesize);
    if (numa && !w->only) {
        info_topology(xl);
    }
    info_version(xl, w, v);
    info_krypton(xl, w);
    field(w, "xend_config_format", "4");
    if (!w->found) {
        xl_error("there is no field '%s'; `xl info` shows them", w->only);
    }
    return w->found ? 0 : 1;
}

int main_dmesg(struct xl *xl, int argc, char **argv)
{
    libxl_xen_console_reader *reader;
    int c, clear = 0, rc;
    char *line;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        clear |= c == 'c';
    }
    xl_operands(xl, argc, 0, 0);
    if (xl_ctx_open(xl)) {
        return 1;
    }
    reader = libxl_xen_console_read_start(xl->ctx, clear);
    if (!reader) {
        xl_error("cannot read the core's messages");
        return 1;
    }
    /* 1: a line; 0: no more. */
    while ((rc = libxl_xen_console_read_line(xl->ctx, reader, &line)) > 0) {
        fputs(line, stdout);
    }
    libxl_xen_console_read_finish(xl->ctx, reader);
    return rc ? 1 : 0;
}
