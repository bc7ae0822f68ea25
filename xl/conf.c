/* SPDX-License-Identifier: MIT */
/*
 * xl.conf(5): the host's defaults for xl. A missing file is fine; a wrong one is an error that stops
 * xl, because it would otherwise act on other defaults than the admin set.
 */
#include "xl/xl.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/paths.h"

enum conf_kind { C_BOOL, C_LONG, C_STRING, C_NOTHING };

static const struct conf_key {
    const char *name;
    enum conf_kind kind;
    size_t offset;
    long min, max;
    const char *doc;
} conf_keys[] = {
#define AT(f) offsetof(struct xl_conf, f)
    { "run_hotplug_scripts", C_BOOL, AT(run_hotplug_scripts), 0, 1, "Whether libxl runs hotplug scripts (default 1)." },
    { "claim_mode", C_LONG, AT(claim_mode), 0, 1, "Whether memory is claimed before a domain is built (default 1)." },
    { "max_grant_frames", C_LONG, AT(max_grant_frames), 1, 1024, "Default for the key of the same name in xl.cfg(5)." },
    { "max_maptrack_frames", C_LONG, AT(max_maptrack_frames), 0, 4096, "Default for the key of the same name." },
    { "max_grant_version", C_LONG, AT(max_grant_version), 1, 2, "Default for the key of the same name." },
    { "lockfile", C_STRING, AT(lockfile), 0, 0, "Lock taken while the supervisor is started." },
    { "autoballoon", C_NOTHING, 0, 0, 0, "Accepted; the host is not a guest and is never ballooned." },
    { "output_format", C_NOTHING, 0, 0, 0, "Accepted; output is JSON." },
    { "domid_policy", C_NOTHING, 0, 0, 0, "Accepted; the core chooses domids." },
    { "bootloader_restrict", C_NOTHING, 0, 0, 0, NULL }, { "blkdev_start", C_NOTHING, 0, 0, 0, NULL },
    { "vif.default.script", C_NOTHING, 0, 0, 0, NULL }, { "vif.default.bridge", C_NOTHING, 0, 0, 0, NULL },
    { "vif.default.backend", C_NOTHING, 0, 0, 0, NULL }, { "vif.default.gatewaydev", C_NOTHING, 0, 0, 0, NULL },
    { "vifscript", C_NOTHING, 0, 0, 0, NULL }, { "defaultbridge", C_NOTHING, 0, 0, 0, NULL },
    { "remus.default.netbufscript", C_NOTHING, 0, 0, 0, NULL }, { "colo.default.proxyscript", C_NOTHING, 0, 0, 0, NULL },
    { "vm.cpumask", C_NOTHING, 0, 0, 0, NULL }, { "vm.hvm.cpumask", C_NOTHING, 0, 0, 0, NULL },
    { "vm.pv.cpumask", C_NOTHING, 0, 0, 0, NULL },
};

#define NR_CONF (sizeof(conf_keys) / sizeof(conf_keys[0]))

static int read_conf_key(XLU_Config *cfg, const char *name, struct xl_conf *conf)
{
    const struct conf_key *k = NULL;
    long v = 0;
    int e = 0;

    for (size_t i = 0; i < NR_CONF; i++) {
        k = strcmp(conf_keys[i].name, name) ? k : &conf_keys[i];
    }
    if (!k) {
        xlu_cfg_complain(cfg, name, "there is no key '%s' in xl.conf", name);
        return -1;
    }
    if (k->kind == C_STRING) {
        e = xlu_cfg_replace_string(cfg, name, (char **)((char *)conf + k->offset), 0);
    } else if (k->kind != C_NOTHING) {
        e = xlu_cfg_get_bounded_long(cfg, name, k->min, k->max, &v, 0);
    }
    if (!e && k->kind == C_LONG) {
        *(long *)((char *)conf + k->offset) = v;
    } else if (!e && k->kind == C_BOOL) {
        *(bool *)((char *)conf + k->offset) = v != 0;
    }
    return e ? -1 : 0;
}

int xl_conf_load(struct xl *xl)
{
    char dir[PATH_MAX], path[PATH_MAX + 16];
    const char *name;
    XLU_Config *cfg;
    int rc = 0;

    xl->conf = (struct xl_conf){ .run_hotplug_scripts = true, .claim_mode = 1, .max_grant_frames = -1,
                                 .max_maptrack_frames = -1, .max_grant_version = -1 };
    if (!kr_path(KR_XEN_ETC, dir, sizeof(dir))) {
        return 0;
    }
    snprintf(path, sizeof(path), "%s/xl.conf", dir);
    if (access(path, F_OK)) {
        return 0;
    }
    cfg = xlu_cfg_init(stderr, path);
    if (!cfg || xlu_cfg_readfile(cfg, path)) {
        rc = -1;
    }
    for (int i = 0; !rc && (name = xlu_cfg_key(cfg, i, NULL)); i++) {
        rc = read_conf_key(cfg, name, &xl->conf);
    }
    xlu_cfg_destroy(cfg);
    return rc;
}

void xl_conf_free(struct xl *xl)
{
    free(xl->conf.lockfile);
    xl->conf.lockfile = NULL;
}

void xl_conf_document(FILE *out)
{
    for (size_t i = 0; i < NR_CONF; i++) {
        if (conf_keys[i].doc) {
            fprintf(out, ".It Ic %s\n", conf_keys[i].name);
            xl_mdoc_text(out, conf_keys[i].doc);
            fputc('\n', out);
        }
    }
}
