/* SPDX-License-Identifier: MIT */
/*
 * A line of xlu_device_specs.txt: "L SPECIFICATION => RESULT". L is d (disk; several strings with ||| between),
 * v (vif rate), b (PCI BDF), p (PCI specification) or r (rdm); RESULT the return value and, for 0, the struct
 * as JSON on one line. Compiled against this libxlutil and against stock Xen's.
 */
#ifndef XLU_DEVICE_DUMP_H
#define XLU_DEVICE_DUMP_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxl.h>
#include <libxl_utils.h>
#include <libxlutil.h>

static int dump_disk(XLU_Config *cfg, char *text, char **json)
{
    const char *specs[16];
    libxl_device_disk d;
    char *cut;
    int n = 0, rc;

    for (specs[n++] = text; n < 16 && (cut = strstr(text, "|||")); specs[n++] = text) {
        *cut = '\0';
        text = cut + 3;
    }
    libxl_device_disk_init(&d);
    rc = xlu_disk_parse(cfg, n, specs, &d);
    *json = rc ? NULL : libxl_device_disk_to_json(NULL, &d);
    libxl_device_disk_dispose(&d);
    return rc;
}

static int dump_pci(XLU_Config *cfg, int bdf_only, const char *text, char **json)
{
    libxl_device_pci d;
    int rc;

    libxl_device_pci_init(&d);
    rc = bdf_only ? xlu_pci_parse_bdf(cfg, &d, text) : xlu_pci_parse_spec_string(cfg, &d, text);
    *json = rc ? NULL : libxl_device_pci_to_json(NULL, &d);
    libxl_device_pci_dispose(&d);
    return rc;
}

static int dump_rate(XLU_Config *cfg, const char *text, char **json)
{
    libxl_device_nic d;
    int rc;

    libxl_device_nic_init(&d);
    errno = 0;   /* stock takes an ERANGE left behind for its own */
    rc = xlu_vif_parse_rate(cfg, text, &d);
    *json = rc ? NULL : libxl_device_nic_to_json(NULL, &d);
    libxl_device_nic_dispose(&d);
    return rc;
}

static int dump_rdm(XLU_Config *cfg, const char *text, char **json)
{
    libxl_rdm_reserve d;
    int rc;

    libxl_rdm_reserve_init(&d);
    rc = xlu_rdm_parse(cfg, &d, text);
    *json = rc ? NULL : libxl_rdm_reserve_to_json(NULL, &d);
    libxl_rdm_reserve_dispose(&d);
    return rc;
}

/* The result of the specification in line (changed), malloced. */
static char *dump_spec(XLU_Config *cfg, char *line)
{
    char *json = NULL, *out = NULL, *from, *to, *text = line + 2;
    int rc;

    switch (line[0]) {
    case 'd':
        rc = dump_disk(cfg, text, &json);
        break;
    case 'v':
        rc = dump_rate(cfg, text, &json);
        break;
    case 'r':
        rc = dump_rdm(cfg, text, &json);
        break;
    default:
        rc = dump_pci(cfg, line[0] == 'b', text, &json);
        break;
    }
    if (asprintf(&out, json ? "%d %s" : "%d", rc, json) < 0) {
        abort();
    }
    free(json);
    for (from = to = out; *from; from++) {
        if (*from != '\n' && !(*from == ' ' && from[1] == ' ')) {
            *to++ = *from;
        }
    }
    *to = '\0';
    return out;
}

#endif
