/* SPDX-License-Identifier: MIT */
/*
 * The keys of xl.cfg(5) that describe devices: disk, vif, pci and rdm. Each item of a list is one device,
 * given as text; what is wrong with one is said at that item's line and column.
 */
#include "xl/xl.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/*
 * Calls parse for every item of the list n, with a new element of *array (elements of size bytes, *nr of them)
 * that init has set up. Says all that is wrong; 0 or -1.
 */
static int parse_list(XLU_Config *cfg, const char *n, void *array, int *nr, size_t size, void (*init)(void *element),
                      int (*parse)(XLU_Config *cfg, const char *spec, void *element))
{
    XLU_ConfigList *list;
    int items, rc = 0, e = xlu_cfg_get_list(cfg, n, &list, &items, 0);
    char *elements;

    if (e) {
        return e == ESRCH ? 0 : -1;
    }
    elements = calloc((size_t)items + 1, size);
    if (!elements) {
        xl_error("out of memory");
        return -1;
    }
    *(void **)array = elements;
    for (int i = 0; i < items; i++) {
        const char *spec = xlu_cfg_get_listitem(list, i);

        init(elements + (size_t)(*nr) * size);
        xlu_cfg_at(cfg, n, i);
        if (!spec) {
            xlu_cfg_complain(cfg, NULL, "each item of %s must be a string", n);
            rc = -1;
        } else if (parse(cfg, spec, elements + (size_t)(*nr)++ * size)) {
            rc = -1;
        }
    }
    xlu_cfg_at(cfg, NULL, 0);
    return rc;
}

/* --- disk --- */

static void init_disk(void *disk)
{
    libxl_device_disk_init(disk);
}

static int parse_disk(XLU_Config *cfg, const char *spec, void *disk)
{
    return xlu_disk_parse(cfg, 1, &spec, disk);
}

int xl_config_disk(XLU_Config *cfg, libxl_domain_config *dc)
{
    return parse_list(cfg, "disk", &dc->disks, &dc->num_disks, sizeof(*dc->disks), init_disk, parse_disk);
}

/* --- vif --- */

#define complain(cfg, spec, fmt, ...) (xlu_cfg_complain(cfg, NULL, "vif '%s': " fmt, spec, ##__VA_ARGS__), -1)

static const struct {
    const char *name;
    size_t at;                  /* a char * of libxl_device_nic */
} nic_strings[] = {
#define S(key, field) { #key, offsetof(libxl_device_nic, field) }
#define C(key) S(key, key)
    S(bridge, bridge), S(gatewaydev, gatewaydev), S(netdev, gatewaydev), S(model, model), S(vifname, ifname),
    S(script, script), S(ip, ip), S(backend, backend_domname), S(forwarddev, coloft_forwarddev),
    C(colo_sock_mirror_id), C(colo_sock_mirror_ip), C(colo_sock_mirror_port),
    C(colo_sock_compare_pri_in_id), C(colo_sock_compare_pri_in_ip), C(colo_sock_compare_pri_in_port),
    C(colo_sock_compare_sec_in_id), C(colo_sock_compare_sec_in_ip), C(colo_sock_compare_sec_in_port),
    C(colo_sock_compare_notify_id), C(colo_sock_compare_notify_ip), C(colo_sock_compare_notify_port),
    C(colo_sock_redirector0_id), C(colo_sock_redirector0_ip), C(colo_sock_redirector0_port),
    C(colo_sock_redirector1_id), C(colo_sock_redirector1_ip), C(colo_sock_redirector1_port),
    C(colo_sock_redirector2_id), C(colo_sock_redirector2_ip), C(colo_sock_redirector2_port),
    C(colo_filter_mirror_queue), C(colo_filter_mirror_outdev),
    C(colo_filter_redirector0_queue), C(colo_filter_redirector0_indev), C(colo_filter_redirector0_outdev),
    C(colo_filter_redirector1_queue), C(colo_filter_redirector1_indev), C(colo_filter_redirector1_outdev),
    C(colo_compare_pri_in), C(colo_compare_sec_in), C(colo_compare_out), C(colo_compare_notify_dev),
    C(colo_sock_sec_redirector0_id), C(colo_sock_sec_redirector0_ip), C(colo_sock_sec_redirector0_port),
    C(colo_sock_sec_redirector1_id), C(colo_sock_sec_redirector1_ip), C(colo_sock_sec_redirector1_port),
    C(colo_filter_sec_redirector0_queue), C(colo_filter_sec_redirector0_indev), C(colo_filter_sec_redirector0_outdev),
    C(colo_filter_sec_redirector1_queue), C(colo_filter_sec_redirector1_indev), C(colo_filter_sec_redirector1_outdev),
    C(colo_filter_sec_rewriter0_queue), C(colo_checkpoint_host), C(colo_checkpoint_port),
#undef C
#undef S
};

/* Six groups of one or two hexadecimal digits. */
static bool parse_mac(const char *text, libxl_mac mac)
{
    for (int i = 0; i < 6; i++) {
        size_t len = strspn(text, "0123456789abcdefABCDEF");

        if (len < 1 || len > 2 || text[len] != (i < 5 ? ':' : '\0')) {
            return false;
        }
        mac[i] = (uint8_t)strtoul(text, NULL, 16);
        text += len + 1;
    }
    return true;
}

static bool parse_int(const char *text, long min, long max, int *out)
{
    char *end;
    long v;

    errno = 0;
    v = strtol(text, &end, 10);
    if (end == text || *end || errno || v < min || v > max) {
        return false;
    }
    *out = (int)v;
    return true;
}

static int set_nic_string(libxl_device_nic *nic, size_t i, const char *value)
{
    char **field = (char **)((char *)nic + nic_strings[i].at), *copy = strdup(value);

    if (!copy) {
        xl_error("out of memory");
        return -1;
    }
    free(*field);
    *field = copy;
    return 0;
}

static int set_nic_value(XLU_Config *cfg, const char *spec, libxl_device_nic *nic, const char *key, const char *value)
{
    for (size_t i = 0; i < sizeof(nic_strings) / sizeof(nic_strings[0]); i++) {
        if (!strcmp(key, nic_strings[i].name)) {
            return set_nic_string(nic, i, value);
        }
    }
    if (!strcmp(key, "mac")) {
        return parse_mac(value, nic->mac) ? 0 :
               complain(cfg, spec, "mac '%s' is not six groups of two hexadecimal digits, with colons between", value);
    }
    if (!strcmp(key, "type")) {
        nic->nictype = !strcmp(value, "ioemu") ? LIBXL_NIC_TYPE_VIF_IOEMU : LIBXL_NIC_TYPE_VIF;
        return nic->nictype == LIBXL_NIC_TYPE_VIF_IOEMU || !strcmp(value, "vif") ? 0 :
               complain(cfg, spec, "type '%s' is none of: ioemu, vif", value);
    }
    if (!strcmp(key, "rate")) {
        return xlu_vif_parse_rate(cfg, value, nic) ? -1 : 0;
    }
    if (!strcmp(key, "devid")) {
        return parse_int(value, 0, 65535, &nic->devid) ? 0 :
               complain(cfg, spec, "devid '%s' is no number from 0 to 65535", value);
    }
    if (!strcmp(key, "mtu")) {
        /* RFC 791: every link carries 68 bytes. */
        return parse_int(value, 68, 65535, &nic->mtu) ? 0 :
               complain(cfg, spec, "mtu '%s' is no number from 68 to 65535", value);
    }
    /* xend's; stock xl takes it without effect too */
    return !strcmp(key, "accel") ? 0 : complain(cfg, spec, "there is no parameter '%s'", key);
}

static int parse_nic(XLU_Config *cfg, const char *spec, void *element)
{
    libxl_device_nic *nic = element;
    char *copy = strdup(spec), *save = NULL;
    int rc = copy ? 0 : -1;

    for (char *item = copy ? strtok_r(copy, ",", &save) : NULL; item && !rc; item = strtok_r(NULL, ",", &save)) {
        char *value;

        item += strspn(item, " \t\n");
        value = strchr(item, '=');
        if (value) {
            *value++ = '\0';
            rc = set_nic_value(cfg, spec, nic, item, value);
        } else if (!strcmp(item, "trusted") || !strcmp(item, "untrusted")) {
            libxl_defbool_set(&nic->trusted, item[0] == 't');
        } else if (*item) {
            rc = complain(cfg, spec, "'%s' is no KEY=VALUE", item);
        }
    }
    free(copy);
    return rc;
}

static void init_nic(void *nic)
{
    libxl_device_nic_init(nic);
}

int xl_config_vif(XLU_Config *cfg, libxl_domain_config *dc)
{
    return parse_list(cfg, "vif", &dc->nics, &dc->num_nics, sizeof(*dc->nics), init_nic, parse_nic);
}

/* --- pci, rdm --- */

static void init_pci(void *pci)
{
    libxl_device_pci_init(pci);
}

static int parse_pci(XLU_Config *cfg, const char *spec, void *pci)
{
    return xlu_pci_parse_spec_string(cfg, pci, spec);
}

int xl_config_pci(XLU_Config *cfg, libxl_domain_config *dc)
{
    return parse_list(cfg, "pci", &dc->pcidevs, &dc->num_pcidevs, sizeof(*dc->pcidevs), init_pci, parse_pci);
}

int xl_config_rdm(XLU_Config *cfg, libxl_domain_config *dc)
{
    libxl_rdm_reserve rdm, *to = dc->b_info.type == LIBXL_DOMAIN_TYPE_HVM ? &dc->b_info.u.hvm.rdm : &rdm;
    const char *text;
    int rc = xlu_cfg_get_string(cfg, "rdm", &text, 0);

    libxl_rdm_reserve_init(&rdm);
    if (!rc) {
        xlu_cfg_at(cfg, "rdm", 0);
        rc = xlu_rdm_parse(cfg, to, text);
        xlu_cfg_at(cfg, NULL, 0);
    }
    libxl_rdm_reserve_dispose(&rdm);
    return rc && rc != ESRCH ? -1 : 0;
}
