/* SPDX-License-Identifier: MIT */
/*
 * Commands that list domains and vCPUs. Scripts parse the columns: they are stock xl's to the byte.
 */
#include "xl/xl.h"

#include <libxl_json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct list_opts { bool verbose, context, cpupool, numa; };

static void print_heading(const struct list_opts *o)
{
    printf("Name                                        ID   Mem VCPUs\tState\tTime(s)");
    if (o->verbose) {
        printf("   UUID                            Reason-Code\tSecurity Label");
    }
    if (o->context && !o->verbose) {
        printf("   Security Label");
    }
    if (o->cpupool) {
        printf("         Cpupool");
    }
    if (o->numa) {
        printf(" NODE Affinity");
    }
    putchar('\n');
}

static void print_flags(const libxl_dominfo *d)
{
    static const char by_reason[] = { '-', 'r', 's', 'c', 'w', 'S' };
    char why = '-';

    if (d->shutdown) {
        why = (unsigned)d->shutdown_reason < sizeof(by_reason) ? by_reason[d->shutdown_reason] : '?';
    }
    printf("     %c%c%c%c%c%c", d->running ? 'r' : '-', d->blocked ? 'b' : '-', d->paused ? 'p' : '-',
           d->shutdown ? 's' : '-', why, d->dying ? 'd' : '-');
}

static void print_node_affinity(struct xl *xl, uint32_t domid)
{
    libxl_bitmap nodes;
    libxl_physinfo host;
    char buf[256];

    libxl_bitmap_init(&nodes);
    libxl_physinfo_init(&host);
    if (!libxl_get_physinfo(xl->ctx, &host) && !libxl_node_bitmap_alloc(xl->ctx, &nodes, 0) &&
        !libxl_domain_get_nodeaffinity(xl->ctx, domid, &nodes)) {
        printf(" %s", xl_format_cpus(&nodes, (int)host.nr_nodes, buf, sizeof(buf)));
    }
    libxl_physinfo_dispose(&host);
    libxl_bitmap_dispose(&nodes);
}

static void print_domain(struct xl *xl, const libxl_dominfo *d, const struct list_opts *o)
{
    char *name = libxl_domid_to_name(xl->ctx, d->domid), *pool;

    printf("%-40s %5d %5lu %5d", name ? name : "(null)", (int)d->domid,
           (unsigned long)((d->current_memkb + d->outstanding_memkb) / 1024), (int)d->vcpu_online);
    print_flags(d);
    printf("  %8.1f", (double)d->cpu_time / 1e9);
    if (o->verbose) {
        printf(" " LIBXL_UUID_FMT, LIBXL_UUID_BYTES(d->uuid));
        d->shutdown ? printf(" %8x", (unsigned)d->shutdown_reason) : printf(" %8s", "-");
    }
    if (o->verbose || o->context) {
        printf(" %16s", d->ssid_label ? d->ssid_label : "-");
    }
    if (o->cpupool) {
        pool = libxl_cpupoolid_to_name(xl->ctx, d->cpupool);
        printf("%16s", pool ? pool : "?");
        free(pool);
    }
    if (o->numa) {
        print_node_affinity(xl, d->domid);
    }
    putchar('\n');
    free(name);
}

static yajl_gen_status put_string(yajl_gen g, const char *s)
{
    return yajl_gen_string(g, (const unsigned char *)s, strlen(s));
}

/* {"domid": N, "config": {...}} */
static int gen_domain(struct xl *xl, yajl_gen g, uint32_t domid)
{
    libxl_domain_config dc;
    int rc;

    libxl_domain_config_init(&dc);
    rc = libxl_retrieve_domain_configuration(xl->ctx, domid, &dc, NULL);
    if (!rc) {
        yajl_gen_map_open(g);
        put_string(g, "domid");
        yajl_gen_integer(g, domid);
        put_string(g, "config");
        rc = libxl_domain_config_gen_json(g, &dc) ? ERROR_FAIL : 0;
        yajl_gen_map_close(g);
    }
    libxl_domain_config_dispose(&dc);
    return rc;
}

static int list_long(struct xl *xl, const libxl_dominfo *info, int nr)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    const unsigned char *text;
    size_t len;
    int rc = 1;

    if (!g) {
        return 1;
    }
    yajl_gen_config(g, yajl_gen_beautify, 1);
    yajl_gen_config(g, yajl_gen_indent_string, "    ");
    yajl_gen_array_open(g);
    for (int i = 0; i < nr; i++) {
        /* A domain that goes away while we list is no error. */
        int e = info[i].dying ? 0 : gen_domain(xl, g, info[i].domid);

        if (e && !libxl_domain_info(xl->ctx, NULL, info[i].domid)) {
            xl_error("domain %u: its configuration cannot be read", info[i].domid);
            goto out;
        }
    }
    yajl_gen_array_close(g);
    if (yajl_gen_get_buf(g, &text, &len) == yajl_gen_status_ok) {
        printf("%.*s\n", (int)len, text);
        rc = 0;
    }
out:
    yajl_gen_free(g);
    return rc;
}

/* The domains named on the command line, or all. The caller frees with libxl_dominfo_list_free. */
static libxl_dominfo *pick_domains(struct xl *xl, int argc, char **argv, int *nr)
{
    libxl_dominfo *info;
    uint32_t domid;

    if (xl_ctx_open(xl)) {
        return NULL;
    }
    if (optind >= argc) {
        info = libxl_list_domain(xl->ctx, nr);
        if (!info) {
            xl_error("cannot list the domains");
        }
        return info;
    }
    *nr = 0;
    info = calloc((size_t)(argc - optind), sizeof(*info));
    for (int i = optind; info && i < argc; i++, (*nr)++) {
        libxl_dominfo_init(&info[*nr]);
        if (xl_find_domain(xl, argv[i], &domid) || libxl_domain_info(xl->ctx, &info[*nr], domid)) {
            libxl_dominfo_list_free(info, *nr);
            return NULL;
        }
    }
    return info;
}

int main_list(struct xl *xl, int argc, char **argv)
{
    struct list_opts o = { 0 };
    bool as_json = false;
    libxl_dominfo *info;
    int c, nr, rc = 0;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        as_json |= c == 'l';
        o.verbose |= c == 'v';
        o.context |= c == 'Z';
        o.cpupool |= c == 'c';
        o.numa |= c == 'n';
    }
    info = pick_domains(xl, argc, argv, &nr);
    if (!info) {
        return 1;
    }
    if (as_json) {
        rc = list_long(xl, info, nr);
    } else {
        print_heading(&o);
        for (int i = 0; i < nr; i++) {
            print_domain(xl, &info[i], &o);
        }
    }
    libxl_dominfo_list_free(info, nr);
    return rc;
}

int main_vm_list(struct xl *xl, int argc, char **argv)
{
    libxl_dominfo *info;
    int nr;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 0, 0);
    info = pick_domains(xl, argc, argv, &nr);
    if (!info) {
        return 1;
    }
    printf("UUID                                  ID    name\n");
    for (int i = 0; i < nr; i++) {
        char *name = libxl_domid_to_name(xl->ctx, info[i].domid);

        printf(LIBXL_UUID_FMT "  %d    %-30s\n", LIBXL_UUID_BYTES(info[i].uuid), (int)info[i].domid,
               name ? name : "-");
        free(name);
    }
    libxl_dominfo_list_free(info, nr);
    return 0;
}

static void print_vcpus(struct xl *xl, uint32_t domid)
{
    int nr_vcpus = 0, nr_cpus = 0;
    libxl_vcpuinfo *v = libxl_list_vcpu(xl->ctx, domid, &nr_vcpus, &nr_cpus);
    char *name = libxl_domid_to_name(xl->ctx, domid), hard[512], soft[512];

    if (!v) {
        xl_error("cannot list the vCPUs of domain %u", domid);
    }
    for (int i = 0; v && i < nr_vcpus; i++) {
        printf("%-32s %5u %5u", name ? name : "(null)", domid, v[i].vcpuid);
        if (v[i].online) {
            printf(" %4u   %c%c-", v[i].cpu, v[i].running ? 'r' : '-', v[i].blocked ? 'b' : '-');
        } else {
            printf(" %4s   --p", "-");
        }
        printf(" %9.1f  %s / %s\n", (double)v[i].vcpu_time / 1e9,
               xl_format_cpus(&v[i].cpumap, nr_cpus, hard, sizeof(hard)),
               xl_format_cpus(&v[i].cpumap_soft, nr_cpus, soft, sizeof(soft)));
    }
    libxl_vcpuinfo_list_free(v, v ? nr_vcpus : 0);
    free(name);
}

int main_vcpu_list(struct xl *xl, int argc, char **argv)
{
    libxl_dominfo *info;
    int nr;

    xl_no_options(xl, argc, argv);
    info = pick_domains(xl, argc, argv, &nr);
    if (!info) {
        return 1;
    }
    printf("Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n");
    for (int i = 0; i < nr; i++) {
        print_vcpus(xl, info[i].domid);
    }
    libxl_dominfo_list_free(info, nr);
    return 0;
}

int main_domid(struct xl *xl, int argc, char **argv)
{
    uint32_t domid;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 1, 1);
    if (xl_ctx_open(xl)) {
        return 1;
    }
    if (libxl_name_to_domid(xl->ctx, argv[optind], &domid)) {
        xl_error("there is no domain named '%s'; `xl list` shows them", argv[optind]);
        return 1;
    }
    printf("%u\n", domid);
    return 0;
}

int main_domname(struct xl *xl, int argc, char **argv)
{
    uint32_t domid;
    char *name;
    long n;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 1, 1);
    if (xl_parse_number("the domid", argv[optind], 0, 0x7fef, &n) || xl_find_domain(xl, argv[optind], &domid)) {
        return 1;
    }
    name = libxl_domid_to_name(xl->ctx, domid);
    if (!name) {
        xl_error("domain %u has no name", domid);
        return 1;
    }
    puts(name);
    free(name);
    return 0;
}

static void format_uptime(char *buf, size_t len, long long s)
{
    if (s >= 86400) {
        snprintf(buf, len, "%lld day%s, %2lld:%02lld:%02lld", s / 86400, s >= 172800 ? "s" : "", s % 86400 / 3600,
                 s % 3600 / 60, s % 60);
    } else {
        snprintf(buf, len, "%2lld:%02lld:%02lld", s / 3600, s % 3600 / 60, s % 60);
    }
}

/* Seconds that a domain has run; the host's own for domain 0. -1: unknown. */
static long long uptime_of(struct xl *xl, uint32_t domid, time_t now)
{
    double host;
    uint32_t start;
    FILE *f;

    if (domid == 0) {
        f = fopen("/proc/uptime", "re");
        if (!f || fscanf(f, "%lf", &host) != 1) {
            host = -1;
        }
        if (f) {
            fclose(f);
        }
        return (long long)host;
    }
    start = libxl_vm_get_start_time(xl->ctx, domid);
    return start && start != (uint32_t)-1 ? (long long)now - start : -1;
}

int main_uptime(struct xl *xl, int argc, char **argv)
{
    bool brief = false;
    libxl_dominfo *info;
    time_t now = time(NULL);
    char text[64], clock[16];
    struct tm tm;
    int c, nr, rc = 0;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        brief |= c == 's';
    }
    info = pick_domains(xl, argc, argv, &nr);
    if (!info) {
        return 1;
    }
    strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
    if (!brief) {
        printf("Name                                ID Uptime\n");
    }
    for (int i = 0; i < nr; i++) {
        char *name = libxl_domid_to_name(xl->ctx, info[i].domid);
        long long up = uptime_of(xl, info[i].domid, now);

        if (up < 0) {
            xl_error("domain %u: its start time is not known", info[i].domid);
            rc = 1;
        } else {
            format_uptime(text, sizeof(text), up);
            if (brief) {
                printf(" %s up %s, %s (%u)\n", clock, text, name ? name : "(null)", info[i].domid);
            } else {
                printf("%-32s %5u %s\n", name ? name : "(null)", info[i].domid, text);
            }
        }
        free(name);
    }
    libxl_dominfo_list_free(info, nr);
    return rc;
}
