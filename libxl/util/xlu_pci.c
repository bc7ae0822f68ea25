/* SPDX-License-Identifier: MIT */
/*
 * PCI devices, xl-pci-configuration(5), and the policy for reserved device memory (rdm in xl.cfg(5)).
 * These return libxl's ERROR_ codes, as stock libxlutil's do.
 */
#include "libxl/util/xlu_cfg_i.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* vfunc_mask of a device of which all functions are meant. */
#define ALL_FUNCTIONS UINT32_MAX
/* A virtual slot is the device part of a devfn. */
#define VDEVFN(slot) ((uint32_t)(slot) << 3)

struct pci_parse {
    XLU_Config *cfg;
    const char *spec;
    libxl_device_pci *pci;
    bool have_bdf;
};

#define complain(p, rc, ...) xlu__complain((p)->cfg, "pci", (p)->spec, rc, __VA_ARGS__)

/* A hexadecimal number in [0, max], blanks before it allowed; *s moves behind it. */
static bool take_hex(const char **s, unsigned long max, unsigned *out)
{
    char *end;
    unsigned long v;

    errno = 0;
    v = strtoul(*s, &end, 16);
    if (end == *s || errno || v > max) {
        return false;
    }
    *s = end;
    *out = (unsigned)v;
    return true;
}

static bool take(const char **s, char c)
{
    bool there = **s == c;

    *s += there;
    return there;
}

/* [DDDD:]BB:SS.F, F may be '*'. Returns what follows, or NULL; pci is changed only on success. */
static const char *take_bdf(libxl_device_pci *pci, const char *s)
{
    unsigned domain = 0, bus, dev, func = 0, colons = 0;
    bool all;

    for (const char *c = s; isxdigit((unsigned char)*c) || *c == ':'; c++) {
        colons += *c == ':';
    }
    /* The first digit decides that this is a BDF at all, so nothing may stand before it. */
    if (!isxdigit((unsigned char)*s) || colons < 1 || colons > 2 ||
        (colons == 2 && !(take_hex(&s, 0xffff, &domain) && take(&s, ':'))) ||
        !take_hex(&s, 0xff, &bus) || !take(&s, ':') || !take_hex(&s, 0x1f, &dev) || !take(&s, '.')) {
        return NULL;
    }
    all = take(&s, '*');
    if (!all && !take_hex(&s, 7, &func)) {
        return NULL;
    }
    pci->domain = (int)domain;
    pci->bus = (uint8_t)bus;
    pci->dev = (uint8_t)dev;
    pci->func = (uint8_t)func;
    pci->vfunc_mask = all ? ALL_FUNCTIONS : 1;
    return s;
}

static int set_bdf(struct pci_parse *p, const char *value)
{
    if (!take_bdf(p->pci, value)) {
        return complain(p, ERROR_INVAL, "'%s' is no device: [DDDD:]BB:SS.F", value);
    }
    p->have_bdf = true;
    return 0;
}

int xlu_pci_parse_bdf(XLU_Config *cfg, libxl_device_pci *pci, const char *str)
{
    struct pci_parse p = { .cfg = cfg, .spec = str, .pci = pci };

    return set_bdf(&p, str);
}

static int set_vslot(struct pci_parse *p, const char *value)
{
    unsigned slot;

    if (!take_hex(&value, 0x1f, &slot)) {
        return complain(p, ERROR_INVAL, "vslot '%s' is no slot (hexadecimal, 0 to 1f)", value);
    }
    p->pci->vdevfn = VDEVFN(slot);
    return 0;
}

static int set_name(struct pci_parse *p, const char *value)
{
    char *copy = strdup(value);

    if (!copy) {
        return ERROR_NOMEM;
    }
    free(p->pci->name);
    p->pci->name = copy;
    return 0;
}

static int set_option(struct pci_parse *p, const char *key, const char *value)
{
    const struct {
        const char *name;
        bool *field;
    } bools[] = {
        { "msitranslate", &p->pci->msitranslate }, { "permissive", &p->pci->permissive },
        { "power_mgmt", &p->pci->power_mgmt }, { "seize", &p->pci->seize },
    };

    for (size_t i = 0; i < sizeof(bools) / sizeof(bools[0]); i++) {
        if (!strcmp(key, bools[i].name)) {
            *bools[i].field = strtol(value, NULL, 10) != 0;
            return 0;
        }
    }
    if (!strcmp(key, "bdf")) {
        return set_bdf(p, value);
    }
    if (!strcmp(key, "vslot")) {
        return set_vslot(p, value);
    }
    if (!strcmp(key, "name")) {
        return set_name(p, value);
    }
    if (strcmp(key, "rdm_policy")) {
        return complain(p, ERROR_INVAL, "there is no option '%s'", key);
    }
    if (libxl_rdm_reserve_policy_from_string(value, &p->pci->rdm_policy)) {
        return complain(p, ERROR_FAIL, "rdm_policy '%s' is none of: strict, relaxed", value);
    }
    return 0;
}

/*
 * Cuts "KEY=VALUE" off *s, which moves behind the comma. 1, 0 at the end, or a libxl error (after a
 * message). *key and *value are NUL-terminated within the copy that *s walks.
 */
static int next_option(XLU_Config *cfg, const char *what, const char *spec, char **s, char **key, char **value)
{
    char *comma = strchr(*s, ','), *equals = strchr(*s, '=');

    if (!**s) {
        return 0;
    }
    if (!equals || (comma && comma < equals)) {
        return xlu__complain(cfg, what, spec, ERROR_INVAL, "'%.*s' is no KEY=VALUE", (int)strcspn(*s, ","), *s);
    }
    *equals = '\0';
    *key = *s;
    *value = equals + 1;
    *s = comma ? comma + 1 : equals + 1 + strlen(equals + 1);
    if (comma) {
        *comma = '\0';
    }
    return 1;
}

/* The part before the options: BDF[@VSLOT], up to and with its comma. */
static int take_positional(struct pci_parse *p, const char **s)
{
    const char *after = take_bdf(p->pci, *s);
    unsigned slot;

    if (!after) {
        return 0;   /* options only; bdf= or name= must be among them */
    }
    p->have_bdf = true;
    *s = after;
    if (take(s, '@')) {
        if (!take_hex(s, 0x1f, &slot)) {
            return complain(p, ERROR_INVAL, "'%s' after '@' is no slot (hexadecimal, 0 to 1f)", *s);
        }
        p->pci->vdevfn = VDEVFN(slot);
    }
    if (**s && !take(s, ',')) {
        return complain(p, ERROR_INVAL, "'%s' follows the device: a comma is expected", *s);
    }
    return 0;
}

int xlu_pci_parse_spec_string(XLU_Config *cfg, libxl_device_pci *pci, const char *str)
{
    struct pci_parse p = { .cfg = cfg, .spec = str, .pci = pci };
    const char *rest = str;
    char *copy, *s, *key, *value;
    int more, rc = take_positional(&p, &rest);

    if (rc) {
        return rc;
    }
    copy = s = strdup(rest);
    if (!copy) {
        return ERROR_NOMEM;
    }
    while (!rc && (more = next_option(cfg, "pci", str, &s, &key, &value)) != 0) {
        rc = more > 0 ? set_option(&p, key, value) : more;
    }
    free(copy);
    if (!rc && p.have_bdf == (pci->name != NULL)) {
        rc = complain(&p, ERROR_INVAL, p.have_bdf ? "both a device and a name are given" :
                      "neither a device nor a name is given");
    }
    return rc;
}

int xlu_rdm_parse(XLU_Config *cfg, libxl_rdm_reserve *rdm, const char *str)
{
    char *copy = strdup(str), *s = copy, *key, *value;
    int more, rc = 0;
    size_t len = strlen(str);

    if (!copy) {
        return ERROR_NOMEM;
    }
    if (!len || str[len - 1] == ',') {
        rc = xlu__complain(cfg, "rdm", str, ERROR_INVAL, "KEY=VALUE is expected at the end");
    }
    while (!rc && (more = next_option(cfg, "rdm", str, &s, &key, &value)) != 0) {
        if (more < 0) {
            rc = more;
        } else if (!strcmp(key, "strategy")) {
            /* "ignore" is what a missing rdm means; stock has no word for it either. */
            if (strcmp(value, "host")) {
                rc = xlu__complain(cfg, "rdm", str, ERROR_INVAL, "strategy '%s' is none of: host", value);
            } else {
                rdm->strategy = LIBXL_RDM_RESERVE_STRATEGY_HOST;
            }
        } else if (strcmp(key, "policy")) {
            rc = xlu__complain(cfg, "rdm", str, ERROR_INVAL, "there is no option '%s'", key);
        } else if (libxl_rdm_reserve_policy_from_string(value, &rdm->policy) ||
                   rdm->policy == LIBXL_RDM_RESERVE_POLICY_INVALID) {
            rc = xlu__complain(cfg, "rdm", str, ERROR_INVAL, "policy '%s' is none of: strict, relaxed", value);
        }
    }
    free(copy);
    return rc;
}
