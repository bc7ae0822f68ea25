/* SPDX-License-Identifier: MIT */
/* The rate of a network interface, xl-network-configuration(5): "10Mb/s", "250KB/s@20ms". */
#include "libxl/util/xlu_cfg_i.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_INTERVAL_US 50000u

#define complain(rc, ...) xlu__complain(cfg, "vif rate", rate, rc, __VA_ARGS__)

/*
 * A run of digits to *v, octal after a leading 0 like every number in a configuration file; returns what
 * follows, or NULL when there is none.
 */
static const char *digits(const char *s, uint64_t *v)
{
    size_t len = strspn(s, "0123456789");
    char *end;

    if (!len) {
        return NULL;
    }
    *v = strtoull(s, &end, 0);   /* too large is ULLONG_MAX, which is refused */
    if (end < s + len) {
        *v = 0;                  /* so is an 8 or 9 in an octal number */
    }
    return s + len;
}

/* NUMBER[K|M|G]b/s or B/s: bits or bytes in a second, by thousands. */
static int parse_bytes_per_sec(const char *text, size_t len, uint64_t *out)
{
    const char *s = digits(text, out);
    uint64_t unit = 1;

    if (!s || s > text + len) {
        return EINVAL;
    }
    if (*s == 'K' || *s == 'M' || *s == 'G') {
        unit = *s == 'K' ? 1000u : *s == 'M' ? 1000000u : 1000000000u;
        s++;
    }
    if ((size_t)(text + len - s) != 3 || (*s != 'b' && *s != 'B') || strncmp(s + 1, "/s", 2)) {
        return EINVAL;
    }
    if (*out == 0 || *out > UINT32_MAX || __builtin_mul_overflow(*out, unit, out)) {
        return EOVERFLOW;
    }
    *out /= *s == 'b' ? 8 : 1;
    return 0;
}

/* NUMBER[us|ms|s], seconds without a unit; the 's' of a unit may be left out. */
static int parse_interval(const char *text, uint32_t *usecs)
{
    uint64_t v, unit = 1000000u;
    const char *s = digits(text, &v);

    if (!s) {
        return EINVAL;
    }
    if (*s == 'u' || *s == 'm') {
        unit = *s++ == 'u' ? 1 : 1000;
    }
    s += *s == 's';
    if (*s) {
        return EINVAL;
    }
    if (v == 0 || __builtin_mul_overflow(v, unit, &v) || v > UINT32_MAX) {
        return EOVERFLOW;
    }
    *usecs = (uint32_t)v;
    return 0;
}

int xlu_vif_parse_rate(XLU_Config *cfg, const char *rate, libxl_device_nic *nic)
{
    size_t len = strcspn(rate, "@");
    uint32_t usecs = DEFAULT_INTERVAL_US;
    uint64_t bytes;
    int rc;

    if (!len) {
        return complain(EINVAL, "no rate is given");
    }
    rc = parse_bytes_per_sec(rate, len, &bytes);
    if (rc) {
        return complain(rc, rc == EINVAL ?
                        "'%.*s' is no rate: NUMBER, then b/s, Kb/s, Mb/s, Gb/s, B/s, KB/s, MB/s or GB/s" :
                        "the rate '%.*s' is 0 or too large (a leading 0 makes it octal)", (int)len, rate);
    }
    rc = rate[len] ? parse_interval(rate + len + 1, &usecs) : 0;
    if (rc) {
        return complain(rc, rc == EINVAL ? "'%s' is no interval: NUMBER, then us, ms or s" :
                        "the interval '%s' is 0 or too long (a leading 0 makes it octal)", rate + len + 1);
    }
    if (__builtin_mul_overflow(bytes, (uint64_t)usecs, &bytes)) {
        return complain(EOVERFLOW, "the rate is too large for this interval");
    }
    nic->rate_bytes_per_interval = bytes / 1000000u;
    nic->rate_interval_usecs = usecs;
    return 0;
}
