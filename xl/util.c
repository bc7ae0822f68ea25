/* SPDX-License-Identifier: MIT */
#include "xl/xl.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/paths.h"

void xl_error(const char *fmt, ...)
{
    va_list ap;

    fputs("xl: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

int xl_fail(struct xl *xl, int rc, const char *fmt, ...)
{
    va_list ap;

    (void)xl;
    fputs("xl: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, " (%s)\n", libxl_error_to_string(rc));
    return rc < 0 && rc > -128 ? -rc : 1;
}

int xl_ctx_open(struct xl *xl)
{
    char sock[PATH_MAX];
    int rc;

    if (xl->ctx) {
        return 0;
    }
    rc = libxl_ctx_alloc(&xl->ctx, LIBXL_VERSION, 0, (xentoollog_logger *)xl->logger);
    if (rc) {
        xl->ctx = NULL;
        if (kr_path(KR_CORE_SOCKET, sock, sizeof(sock)) && access(sock, F_OK)) {
            xl_error("no Krypton core is running here (%s is missing): start one with `krypton start`%s", sock,
                     geteuid() ? "" : " or `systemctl start kryptond xenstored xenconsoled`");
        } else {
            xl_error("cannot reach the core or the store: `krypton status` says what runs");
        }
        return -1;
    }
    return 0;
}

static int find_by_uuid(struct xl *xl, const char *text, uint32_t *domid)
{
    libxl_uuid uuid;
    libxl_dominfo *info;
    int nr, rc = -1;

    if (strlen(text) != 36 || libxl_uuid_from_string(&uuid, text)) {
        return -1;
    }
    info = libxl_list_domain(xl->ctx, &nr);
    for (int i = 0; info && i < nr; i++) {
        if (!libxl_uuid_compare(&info[i].uuid, &uuid)) {
            *domid = info[i].domid;
            rc = 0;
        }
    }
    if (info) {
        libxl_dominfo_list_free(info, nr);
    }
    return rc;
}

int xl_find_domain(struct xl *xl, const char *who, uint32_t *domid)
{
    libxl_dominfo info;
    int rc;

    if (xl_ctx_open(xl)) {
        return -1;
    }
    if (*who && !find_by_uuid(xl, who, domid)) {
        return 0;
    }
    rc = *who ? libxl_domain_qualifier_to_domid(xl->ctx, who, domid) : ERROR_INVAL;
    if (!rc) {
        /* A number is taken as it is: see that there is such a domain. */
        libxl_dominfo_init(&info);
        rc = libxl_domain_info(xl->ctx, &info, *domid);
        libxl_dominfo_dispose(&info);
    }
    if (rc) {
        xl_error("there is no domain '%s'; `xl list` shows them", who);
        return -1;
    }
    return 0;
}

int xl_parse_number(const char *what, const char *text, long min, long max, long *out)
{
    char *end;

    errno = 0;
    *out = strtol(text, &end, 0);
    if (end == text || *end || errno || *out < min || *out > max) {
        xl_error("%s must be a number from %ld to %ld, not '%s'", what, min, max, text);
        return -1;
    }
    return 0;
}

int64_t xl_parse_mem(const char *text, char bare_unit)
{
    static const char units[] = "bkmgt";
    unsigned long long v;
    const char *at;
    char *end, unit;
    int shift;

    errno = 0;
    if (!isdigit((unsigned char)*text)) {
        return -1;
    }
    v = strtoull(text, &end, 0);
    unit = (char)tolower((unsigned char)(*end ? *end++ : bare_unit));
    at = strchr(units, unit);
    if (errno || *end || !at) {
        return -1;
    }
    shift = (int)(at - units) * 10 - 10;
    if (shift < 0) {
        return (int64_t)(v >> 10);
    }
    return v > (unsigned long long)INT64_MAX >> shift ? -1 : (int64_t)(v << shift);
}

/* "3", "1-5", "node:0-1" or "all" with an optional leading '^'. */
static int cpu_range(struct xl *xl, char *item, libxl_bitmap *map)
{
    bool clear = *item == '^', node = false;
    char *p = item + clear, *end;
    unsigned long first, last;

    if (!strcmp(p, "all")) {
        clear ? libxl_bitmap_set_none(map) : libxl_bitmap_set_any(map);
        return 0;
    }
    if (!strncmp(p, "nodes:", 6) || !strncmp(p, "node:", 5)) {
        node = true;
        p = strchr(p, ':') + 1;
    }
    if (!isdigit((unsigned char)*p)) {
        return -1;
    }
    first = last = strtoul(p, &end, 10);
    if (*end == '-' && isdigit((unsigned char)end[1])) {
        last = strtoul(end + 1, &end, 10);
    }
    if (*end || first > last || last > 4095) {
        return -1;
    }
    if (node) {
        libxl_bitmap nodes, cpus;
        int rc;

        libxl_bitmap_init(&nodes);
        libxl_bitmap_init(&cpus);
        rc = libxl_node_bitmap_alloc(xl->ctx, &nodes, 0) || libxl_cpu_bitmap_alloc(xl->ctx, &cpus, 0);
        for (unsigned long n = first; !rc && n <= last; n++) {
            libxl_bitmap_set(&nodes, (int)n);
        }
        rc = rc || libxl_nodemap_to_cpumap(xl->ctx, &nodes, &cpus);
        for (int c = 0; !rc && c < (int)cpus.size * 8; c++) {
            if (libxl_bitmap_test(&cpus, c)) {
                clear ? libxl_bitmap_reset(map, c) : libxl_bitmap_set(map, c);
            }
        }
        libxl_bitmap_dispose(&nodes);
        libxl_bitmap_dispose(&cpus);
        return rc ? -1 : 0;
    }
    for (; first <= last; first++) {
        clear ? libxl_bitmap_reset(map, (int)first) : libxl_bitmap_set(map, (int)first);
    }
    return 0;
}

int xl_parse_cpus(struct xl *xl, const char *text, libxl_bitmap *map)
{
    char *copy = strdup(text), *save = NULL, *item;
    int rc = copy ? 0 : -1, nr = 0;

    for (item = copy ? strtok_r(copy, ", ", &save) : NULL; item && !rc; item = strtok_r(NULL, ", ", &save)) {
        if (!nr++ && *item == '^') {
            libxl_bitmap_set_any(map);
        }
        rc = cpu_range(xl, item, map);
        if (rc) {
            xl_error("'%s' in '%s' is not a CPU list such as 0-3,^2", item, text);
        }
    }
    free(copy);
    if (!rc && libxl_bitmap_is_empty(map)) {
        xl_error("the CPU list '%s' leaves no CPU", text);
        rc = -1;
    }
    return rc;
}

char *xl_format_cpus(const libxl_bitmap *map, int nr_cpus, char *buf, size_t len)
{
    size_t n = 0;
    int set = 0, c, end;

    for (c = 0; c < nr_cpus; c++) {
        set += libxl_bitmap_test(map, c) != 0;
    }
    if (set == nr_cpus) {
        snprintf(buf, len, "all");
        return buf;
    }
    buf[0] = '\0';
    for (c = 0; c < nr_cpus && n < len; c = end + 1) {
        end = c;
        if (!libxl_bitmap_test(map, c)) {
            continue;
        }
        while (end + 1 < nr_cpus && libxl_bitmap_test(map, end + 1)) {
            end++;
        }
        n += (size_t)snprintf(buf + n, len - n, end > c ? "%s%d-%d" : "%s%d", n ? "," : "", c, end);
    }
    if (!n) {
        snprintf(buf, len, "none");
    }
    return buf;
}
