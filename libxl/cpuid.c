/* SPDX-License-Identifier: MIT */
/*
 * CPU policies: for a leaf's registers 32 characters each, most significant bit first: 0, 1, x (as
 * the default policy), k (as the host), s (as k, and the same after a migration). The lists are
 * sorted, so that the same policy is always written the same way.
 */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "libxl/builtins.h"
#include "libxl/cpuid_names.h"
#include "libxl/gc.h"

/* ---- the lists */

static unsigned n_cpuid(const libxl_cpuid_policy_list *list)
{
    unsigned n = 0;

    if (*list && (*list)->cpuid)
        while ((*list)->cpuid[n].input[0] != XEN_CPUID_INPUT_UNUSED)
            n++;
    return n;
}

static unsigned n_msr(const libxl_cpuid_policy_list *list)
{
    unsigned n = 0;

    if (*list && (*list)->msr)
        while ((*list)->msr[n].index != XC_MSR_INPUT_UNUSED)
            n++;
    return n;
}

bool lx_cpuid_is_empty(const libxl_cpuid_policy_list *list)
{
    return !n_cpuid(list) && !n_msr(list);
}

/* As in 4.17, which does not count MSRs. */
int libxl_cpuid_policy_list_length(const libxl_cpuid_policy_list *list)
{
    return (int)n_cpuid(list);
}

void libxl_cpuid_dispose(libxl_cpuid_policy_list *list)
{
    unsigned n = n_cpuid(list);

    if (!*list)
        return;
    for (unsigned i = 0; i < n; i++)
        for (int reg = 0; reg < 4; reg++)
            free((*list)->cpuid[i].policy[reg]);
    free((*list)->cpuid);
    free((*list)->msr);
    free(*list);
    *list = NULL;
}

void libxl_cpuid_policy_list_copy(libxl_ctx *ctx, libxl_cpuid_policy_list *dst,
                                  const libxl_cpuid_policy_list *src)
{
    *dst = NULL;
    if (lx_cpuid_is_empty(src))
        return;
    for (unsigned i = 0; i < n_cpuid(src); i++) {
        const struct xc_xend_cpuid *from = &(*src)->cpuid[i];
        struct xc_xend_cpuid *to = lx_cpuid_entry(dst, from->input[0], from->input[1]);

        for (int reg = 0; reg < 4; reg++)
            to->policy[reg] = lx_strdup(NULL, from->policy[reg]);
    }
    for (unsigned i = 0; i < n_msr(src); i++) {
        const struct xc_msr *from = &(*src)->msr[i];

        memcpy(lx_msr_entry(dst, from->index)->policy, from->policy, sizeof(from->policy));
    }
}

static void ensure_list(libxl_cpuid_policy_list *list)
{
    if (!*list)
        *list = LX_NEW(NULL, struct libxl__cpu_policy);
}

struct xc_xend_cpuid *lx_cpuid_entry(libxl_cpuid_policy_list *list, uint32_t leaf, uint32_t subleaf)
{
    unsigned n = n_cpuid(list), at = 0;
    struct xc_xend_cpuid *c;

    ensure_list(list);
    for (c = (*list)->cpuid; at < n; at++, c++) {
        if (c->input[0] == leaf && c->input[1] == subleaf)
            return c;
        if (c->input[0] > leaf || (c->input[0] == leaf && c->input[1] > subleaf))
            break;
    }
    c = (*list)->cpuid = lx_realloc(NULL, (*list)->cpuid, (n + 2) * sizeof(*c));
    memmove(c + at + 1, c + at, (n - at) * sizeof(*c));
    memset(c + at, 0, sizeof(*c));
    c[at].input[0] = leaf;
    c[at].input[1] = subleaf;
    memset(&c[n + 1], 0, sizeof(*c));
    c[n + 1].input[0] = XEN_CPUID_INPUT_UNUSED;
    return &c[at];
}

struct xc_msr *lx_msr_entry(libxl_cpuid_policy_list *list, uint32_t index)
{
    unsigned n = n_msr(list), at = 0;
    struct xc_msr *m;

    ensure_list(list);
    for (m = (*list)->msr; at < n; at++, m++) {
        if (m->index == index)
            return m;
        if (m->index > index)
            break;
    }
    m = (*list)->msr = lx_realloc(NULL, (*list)->msr, (n + 2) * sizeof(*m));
    memmove(m + at + 1, m + at, (n - at) * sizeof(*m));
    memset(&m[at], 0, sizeof(*m));
    m[at].index = index;
    memset(m[at].policy, 'x', 64);
    memset(&m[n + 1], 0, sizeof(*m));
    m[n + 1].index = XC_MSR_INPUT_UNUSED;
    return &m[at];
}

/* ---- "name=value" */

static char *register_policy(libxl_cpuid_policy_list *list, uint32_t leaf, uint32_t subleaf,
                             unsigned reg)
{
    struct xc_xend_cpuid *c = lx_cpuid_entry(list, leaf, subleaf);

    if (!c->policy[reg]) {
        c->policy[reg] = lx_alloc(NULL, 33);
        memset(c->policy[reg], 'x', 32);
    }
    return c->policy[reg];
}

/* Bits are numbered from the right. */
static void put_number(char *policy, unsigned bit, unsigned len, unsigned long v)
{
    for (unsigned i = 0; i < len; i++)
        policy[31 - bit - i] = (char)('0' + ((v >> i) & 1));
}

static void put_char(char *policy, unsigned bit, unsigned len, char c)
{
    memset(policy + 32 - bit - len, c, len);
}

/* Family and model go on in extended fields of leaf 1's eax. */
static const struct {
    const char *name;
    uint8_t bit, len;
} extended[] = { { "family", 20, 8 }, { "model", 16, 4 } };

static int extended_of(const struct cpuid_name *f)
{
    for (int i = 0; i < 2; i++)
        if (!strcmp(f->name, extended[i].name))
            return i;
    return -1;
}

static void put_value(char *policy, const struct cpuid_name *f, unsigned long v)
{
    int e = extended_of(f);
    unsigned long more = 0;

    if (e == 0 && v > 0xf) { /* the extended family is added to 15, the extended model in front */
        more = v - 0xf;
        v = 0xf;
    } else if (e == 1) {
        more = v >> 4;
    }
    if (e >= 0)
        put_number(policy, extended[e].bit, extended[e].len, more);
    put_number(policy, f->bit, f->len, v);
}

static bool is_policy_char(const char *val)
{
    return val[0] == 'x' || val[0] == 'k' || val[0] == 's';
}

static int set_msr(libxl_cpuid_policy_list *list, const struct msr_name *m, const char *val)
{
    if (strlen(val) != 1 || (!is_policy_char(val) && val[0] != '0' && val[0] != '1'))
        return 3;
    lx_msr_entry(list, m->index)->policy[63 - m->bit] = val[0];
    return 0;
}

static int set_cpuid(libxl_cpuid_policy_list *list, const struct cpuid_name *f, const char *val)
{
    char *end, *policy;
    unsigned long v;

    if (is_policy_char(val) && !val[1]) {
        int e = extended_of(f);

        policy = register_policy(list, f->leaf, f->subleaf, f->reg);
        put_char(policy, f->bit, f->len, val[0]);
        if (e >= 0)
            put_char(policy, extended[e].bit, extended[e].len, val[0]);
        return 0;
    }
    v = strtoul(val, &end, 0);
    if (!isdigit((unsigned char)val[0]) || *end || (f->len == 1 && v > 1))
        return 3;
    policy = register_policy(list, f->leaf, f->subleaf, f->reg);
    put_value(policy, f, v);
    return 0;
}

int libxl_cpuid_parse_config(libxl_cpuid_policy_list *list, const char *str)
{
    const char *eq = strchr(str, '=');
    size_t len;

    if (!eq)
        return 1;
    len = (size_t)(eq - str);
    for (size_t i = 0; i < sizeof(cpuid_names) / sizeof(cpuid_names[0]); i++)
        if (strlen(cpuid_names[i].name) == len && !strncasecmp(cpuid_names[i].name, str, len))
            return set_cpuid(list, &cpuid_names[i], eq + 1);
    for (size_t i = 0; i < sizeof(msr_names) / sizeof(msr_names[0]); i++)
        if (strlen(msr_names[i].name) == len && !strncasecmp(msr_names[i].name, str, len))
            return set_msr(list, &msr_names[i], eq + 1);
    return 2;
}

/* ---- "leaf[,subleaf]:eax=32 characters[,ebx=...]" */

int libxl_cpuid_parse_config_xend(libxl_cpuid_policy_list *list, const char *str)
{
    uint32_t leaf, subleaf = XEN_CPUID_INPUT_UNUSED;
    char *end;

    leaf = (uint32_t)strtoul(str, &end, 0);
    if (end == str)
        return 1;
    if (*end == ',') {
        str = end + 1;
        subleaf = (uint32_t)strtoul(str, &end, 0);
        if (end == str)
            return 2;
    }
    if (*end != ':')
        return 3;
    for (str = end + 1;; str++) {
        struct xc_xend_cpuid *c;
        unsigned reg;

        if (str[0] != 'e' || str[1] < 'a' || str[1] > 'd' || str[2] != 'x' || str[3] != '=')
            return 4;
        reg = (unsigned)(str[1] - 'a');
        str += 4;
        if (strspn(str, "01xks") != 32)
            return 5;
        c = lx_cpuid_entry(list, leaf, subleaf);
        free(c->policy[reg]);
        c->policy[reg] = lx_strndup(NULL, str, 32);
        str += 32;
        if (!*str)
            return 0;
        if (*str != ',')
            return 5;
    }
}
