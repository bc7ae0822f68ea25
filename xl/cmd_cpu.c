/* SPDX-License-Identifier: MIT */
/*
 * CPU and memory of running domains: vcpu-set, vcpu-pin, mem-set, mem-max, sched-credit2, and the console.
 */
#include "xl/xl.h"

#include <stdlib.h>
#include <string.h>

int main_console(struct xl *xl, int argc, char **argv)
{
    libxl_console_type type = LIBXL_CONSOLE_TYPE_PV;
    const char *escape = NULL;
    bool have_type = false;
    uint32_t domid;
    long num = -1;
    int c;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        switch (c) {
        case 't':
            if (libxl_console_type_from_string(optarg, &type)) {
                xl_usage_error(xl, "there is no kind of console '%s'", optarg);
            }
            have_type = true;
            break;
        case 'n':
            if (xl_parse_number("the console", optarg, 0, 255, &num)) {
                return XL_USAGE;
            }
            break;
        case 'e':
            escape = optarg;
            break;
        }
    }
    xl_operands(xl, argc, 1, 1);
    if (xl_find_domain(xl, argv[optind], &domid)) {
        return 1;
    }
    if (domid == 0) {
        xl_error("domain 0 is the host: it has no console here");
        return 1;
    }
    if (escape) {
        setenv("XENCONSOLE_ESCAPE", escape, 1);
    }
    /* These return only if the client cannot be started. */
    if (have_type || num >= 0) {
        libxl_console_exec(xl->ctx, domid, num < 0 ? 0 : (int)num, type, -1);
    } else {
        libxl_primary_console_exec(xl->ctx, domid, -1);
    }
    xl_error("cannot start the console client");
    return 1;
}

int main_vcpu_set(struct xl *xl, int argc, char **argv)
{
    libxl_bitmap map;
    libxl_dominfo info;
    uint32_t domid;
    long count;
    int c, rc;
    bool ignore_host = false;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        ignore_host |= c == 'i';
    }
    xl_operands(xl, argc, 2, 2);
    if (xl_parse_number("the number of vCPUs", argv[optind + 1], 1, 128, &count) ||
        xl_find_domain(xl, argv[optind], &domid)) {
        return 1;
    }
    libxl_dominfo_init(&info);
    libxl_bitmap_init(&map);
    rc = libxl_domain_info(xl->ctx, &info, domid);
    if (rc) {
        rc = xl_fail(xl, rc, "domain %u cannot be looked at", domid);
        goto out;
    }
    if (count > (long)info.vcpu_max_id + 1) {
        xl_error("domain %u can have %u vCPUs at most", domid, info.vcpu_max_id + 1);
        rc = 1;
        goto out;
    }
    if (!ignore_host && count > libxl_get_online_cpus(xl->ctx)) {
        xl_error("%ld vCPUs are more than the host's %d CPUs; -i does it all the same", count,
                 libxl_get_online_cpus(xl->ctx));
        rc = 1;
        goto out;
    }
    rc = libxl_cpu_bitmap_alloc(xl->ctx, &map, (int)info.vcpu_max_id + 1);
    for (int i = 0; !rc && i < count; i++) {
        libxl_bitmap_set(&map, i);
    }
    rc = rc ? rc : libxl_set_vcpuonline(xl->ctx, domid, &map, NULL);
    rc = rc ? xl_fail(xl, rc, "cannot set the vCPUs of domain %u", domid) : 0;
out:
    libxl_bitmap_dispose(&map);
    libxl_dominfo_dispose(&info);
    return rc;
}

/* "-" leaves an affinity as it is: *set stays false. */
static int parse_affinity(struct xl *xl, const char *text, libxl_bitmap *map, bool *set)
{
    *set = strcmp(text, "-") != 0;
    if (!*set) {
        return 0;
    }
    return libxl_cpu_bitmap_alloc(xl->ctx, map, 0) || xl_parse_cpus(xl, text, map) ? -1 : 0;
}

int main_vcpu_pin(struct xl *xl, int argc, char **argv)
{
    libxl_bitmap hard, soft;
    bool set_hard = false, set_soft = false;
    uint32_t domid;
    long vcpu = -1;
    int c, rc = 1, nr_vcpus = 0, nr_cpus;
    libxl_vcpuinfo *v = NULL;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        xl->force |= c == 'f';
    }
    xl_operands(xl, argc, 3, 4);
    libxl_bitmap_init(&hard);
    libxl_bitmap_init(&soft);
    if ((strcmp(argv[optind + 1], "all") && xl_parse_number("the vCPU", argv[optind + 1], 0, 127, &vcpu)) ||
        xl_find_domain(xl, argv[optind], &domid) || parse_affinity(xl, argv[optind + 2], &hard, &set_hard) ||
        (argc - optind == 4 && parse_affinity(xl, argv[optind + 3], &soft, &set_soft))) {
        goto out;
    }
    v = libxl_list_vcpu(xl->ctx, domid, &nr_vcpus, &nr_cpus);
    if (!v || vcpu >= nr_vcpus) {
        xl_error("domain %u has no vCPU %ld", domid, vcpu);
        goto out;
    }
    rc = 0;
    for (int i = vcpu < 0 ? 0 : (int)vcpu; !rc && i < (vcpu < 0 ? nr_vcpus : (int)vcpu + 1); i++) {
        rc = libxl_set_vcpuaffinity(xl->ctx, domid, (uint32_t)i, set_hard ? &hard : NULL, set_soft ? &soft : NULL);
    }
    rc = rc ? xl_fail(xl, rc, "cannot pin the vCPUs of domain %u", domid) : 0;
out:
    libxl_vcpuinfo_list_free(v, v ? nr_vcpus : 0);
    libxl_bitmap_dispose(&hard);
    libxl_bitmap_dispose(&soft);
    return rc;
}

static int mem_operands(struct xl *xl, int argc, char **argv, uint32_t *domid, int64_t *kb)
{
    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 2, 2);
    *kb = xl_parse_mem(argv[optind + 1], 'm');
    if (*kb <= 0) {
        xl_error("'%s' is no size such as 512, 512m or 2g", argv[optind + 1]);
        return -1;
    }
    return xl_find_domain(xl, argv[optind], domid);
}

int main_mem_set(struct xl *xl, int argc, char **argv)
{
    uint32_t domid;
    int64_t kb;
    int rc;

    if (mem_operands(xl, argc, argv, &domid, &kb)) {
        return 1;
    }
    rc = libxl_set_memory_target(xl->ctx, domid, kb, 0, 1);
    return rc ? xl_fail(xl, rc, "cannot set the memory of domain %u", domid) : 0;
}

int main_mem_max(struct xl *xl, int argc, char **argv)
{
    uint32_t domid;
    int64_t kb;
    int rc;

    if (mem_operands(xl, argc, argv, &domid, &kb)) {
        return 1;
    }
    rc = libxl_domain_setmaxmem(xl->ctx, domid, (uint64_t)kb);
    return rc ? xl_fail(xl, rc, "cannot set the memory limit of domain %u", domid) : 0;
}

static void print_credit2(struct xl *xl, uint32_t domid)
{
    libxl_domain_sched_params p;
    char *name = libxl_domid_to_name(xl->ctx, domid);

    libxl_domain_sched_params_init(&p);
    if (!libxl_domain_sched_params_get(xl->ctx, domid, &p)) {
        printf("%-33s %4u %6d %4d\n", name ? name : "(null)", domid, p.weight, p.cap);
    }
    libxl_domain_sched_params_dispose(&p);
    free(name);
}

static int print_credit2_pools(struct xl *xl, const char *only, bool parameters_only)
{
    int nr_pools = 0, nr = 0, found = 0;
    libxl_cpupoolinfo *pool = libxl_list_cpupool(xl->ctx, &nr_pools);
    libxl_dominfo *info = libxl_list_domain(xl->ctx, &nr);
    libxl_sched_credit2_params p;

    for (int i = 0; pool && i < nr_pools; i++) {
        if ((only && (!pool[i].pool_name || strcmp(only, pool[i].pool_name))) || libxl_sched_credit2_params_get(xl->ctx, pool[i].poolid, &p)) {
            continue;
        }
        found++;
        printf("Cpupool %s: ratelimit=%dus\n", pool[i].pool_name ? pool[i].pool_name : "(no name)", p.ratelimit_us);
        if (parameters_only) {
            continue;
        }
        printf("Name                                ID Weight  Cap\n");
        for (int d = 0; info && d < nr; d++) {
            if (info[d].cpupool == pool[i].poolid) {
                print_credit2(xl, info[d].domid);
            }
        }
    }
    libxl_dominfo_list_free(info, info ? nr : 0);
    libxl_cpupoolinfo_list_free(pool, pool ? nr_pools : 0);
    if (!found) {
        xl_error(only ? "there is no CPU pool '%s'" : "there is no CPU pool", only);
    }
    return found ? 0 : 1;
}

static int set_ratelimit(struct xl *xl, const char *pool, long us)
{
    libxl_sched_credit2_params p = { .ratelimit_us = (int)us };
    uint32_t id = 0;
    int rc;

    if (pool && (libxl_cpupool_qualifier_to_cpupoolid(xl->ctx, pool, &id, NULL) ||
                 !libxl_cpupoolid_is_valid(xl->ctx, id))) {
        xl_error("there is no CPU pool '%s'", pool);
        return 1;
    }
    rc = libxl_sched_credit2_params_set(xl->ctx, id, &p);
    return rc ? xl_fail(xl, rc, "cannot set the rate limit of CPU pool %u", id) : 0;
}

int main_sched_credit2(struct xl *xl, int argc, char **argv)
{
    const char *dom = NULL, *pool = NULL;
    libxl_domain_sched_params p;
    bool schedparam = false;
    uint32_t domid;
    long weight = -1, cap = -1, ratelimit = -1;
    int c, rc;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        switch (c) {
        case 'd': dom = optarg; break;
        case 'p': pool = optarg; break;
        case 's': schedparam = true; break;
        case 'r':
            if (xl_parse_number("the rate limit", optarg, 0, 500000, &ratelimit)) {
                return 1;
            }
            break;
        case 'w':
            if (xl_parse_number("the weight", optarg, 1, 65535, &weight)) {
                return 1;
            }
            break;
        case 'c':
            if (xl_parse_number("the cap", optarg, 0, 128 * 100, &cap)) {
                return 1;
            }
            break;
        }
    }
    xl_operands(xl, argc, 0, 0);
    if (!dom && (weight >= 0 || cap >= 0)) {
        xl_usage_error(xl, "-w and -c need -d DOMAIN");
    }
    if (ratelimit >= 0 && (!schedparam || dom)) {
        xl_usage_error(xl, "-r needs -s, and sets a pool's parameter, not a domain's");
    }
    if (xl_ctx_open(xl)) {
        return 1;
    }
    if (ratelimit >= 0) {
        return set_ratelimit(xl, pool, ratelimit);
    }
    if (!dom) {
        return print_credit2_pools(xl, pool, schedparam);
    }
    if (xl_find_domain(xl, dom, &domid)) {
        return 1;
    }
    if (weight < 0 && cap < 0) {
        printf("Name                                ID Weight  Cap\n");
        print_credit2(xl, domid);
        return 0;
    }
    libxl_domain_sched_params_init(&p);
    p.sched = LIBXL_SCHEDULER_CREDIT2;
    p.weight = weight >= 0 ? (int)weight : p.weight;
    p.cap = cap >= 0 ? (int)cap : p.cap;
    rc = libxl_domain_sched_params_set(xl->ctx, domid, &p);
    libxl_domain_sched_params_dispose(&p);
    return rc ? xl_fail(xl, rc, "cannot set the scheduling of domain %u", domid) : 0;
}
