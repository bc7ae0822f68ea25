/* SPDX-License-Identifier: MIT */
/*
 * Disk specifications, xl-disk-configuration(5). A specification is a row of elements between commas:
 *
 *     PARAMETER=VALUE | FLAG | positional value     then, at most once and last, target=THE REST
 *
 * Positional values fill target, format, vdev and access in this order. xend's prefixes ("tap:aio:",
 * "qcow2:", "nbd:") may stand before any element; after one, format is no positional value any more.
 */
#include "libxl/util/xlu_cfg_i.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NR(a) (sizeof(a) / sizeof((a)[0]))
#define AT(field) offsetof(libxl_device_disk, field)

struct disk_parse {
    XLU_Config *cfg;
    const char *spec;              /* the whole string, for messages */
    libxl_device_disk *disk;
    bool old_prefix;               /* one of xend's prefixes was met */
    bool access_given;             /* by position */
};

struct word {
    const char *word;
    int value;
};

static const struct word formats[] = {
    { "raw", LIBXL_DISK_FORMAT_RAW }, { "qcow", LIBXL_DISK_FORMAT_QCOW }, { "qcow2", LIBXL_DISK_FORMAT_QCOW2 },
    { "vhd", LIBXL_DISK_FORMAT_VHD }, { "qed", LIBXL_DISK_FORMAT_QED }, { "empty", LIBXL_DISK_FORMAT_EMPTY },
    { "", LIBXL_DISK_FORMAT_RAW }, { NULL, 0 },
};
static const struct word accesses[] = {
    { "r", 0 }, { "ro", 0 }, { "w", 1 }, { "rw", 1 }, { "", 1 }, { NULL, 0 },
};
static const struct word devtypes[] = { { "cdrom", 1 }, { "disk", 0 }, { NULL, 0 } };
static const struct word backends[] = {
    { "phy", LIBXL_DISK_BACKEND_PHY }, { "tap", LIBXL_DISK_BACKEND_TAP }, { "qdisk", LIBXL_DISK_BACKEND_QDISK },
    { "standalone", LIBXL_DISK_BACKEND_STANDALONE }, { NULL, 0 },
};
static const struct word specifications[] = {
    { "xen", LIBXL_DISK_SPECIFICATION_XEN }, { "virtio", LIBXL_DISK_SPECIFICATION_VIRTIO }, { NULL, 0 },
};

enum kind {
    STRING,        /* char *; a non-empty one may not be given again */
    WORD,          /* int from words; the last one counts */
    WORD_ONCE,     /* the same, but a different one after it is an error; 0 is "not given" */
    PORT,
};

struct param {
    const char *name;
    enum kind kind;
    size_t at;
    const struct word *words;
};

enum { P_TARGET, P_FORMAT, P_VDEV, P_ACCESS, P_DEVTYPE, P_SCRIPT };

static const struct param params[] = {
    [P_TARGET] = { "target", STRING, AT(pdev_path), NULL },
    [P_FORMAT] = { "format", WORD_ONCE, AT(format), formats },
    [P_VDEV] = { "vdev", STRING, AT(vdev), NULL },
    [P_ACCESS] = { "access", WORD, AT(readwrite), accesses },
    [P_DEVTYPE] = { "devtype", WORD, AT(is_cdrom), devtypes },
    [P_SCRIPT] = { "script", STRING, AT(script), NULL },
    { "backend", STRING, AT(backend_domname), NULL },
    { "backendtype", WORD_ONCE, AT(backend), backends },
    { "specification", WORD_ONCE, AT(specification), specifications },
    { "colo-host", STRING, AT(colo_host), NULL },
    { "colo-port", PORT, AT(colo_port), NULL },
    { "colo-export", STRING, AT(colo_export), NULL },
    { "active-disk", STRING, AT(active_disk), NULL },
    { "hidden-disk", STRING, AT(hidden_disk), NULL },
};

/* xend's prefixes: one gives a format, a script, or nothing at all. */
static const struct {
    const char *prefix, *format, *script;
} old_prefixes[] = {
    { "raw:", "raw", NULL }, { "qcow:", "qcow", NULL }, { "qcow2:", "qcow2", NULL }, { "vhd:", "vhd", NULL },
    { "iscsi:", NULL, "block-iscsi" }, { "nbd:", NULL, "block-nbd" }, { "enbd:", NULL, "block-enbd" },
    { "drbd:", NULL, "block-drbd" },
    { "tapdisk:", NULL, NULL }, { "tap:", NULL, NULL }, { "tap2:", NULL, NULL }, { "aio:", NULL, NULL },
    { "ioemu:", NULL, NULL }, { "file:", NULL, NULL }, { "phy:", NULL, NULL },
};

#define complain(p, ...) xlu__complain((p)->cfg, "disk", (p)->spec, EINVAL, __VA_ARGS__)

static int not_a_word(struct disk_parse *p, const char *name, const struct word *words, const char *value)
{
    char all[128] = "";

    for (; words->word; words++) {
        if (*words->word) {
            strcat(all, *all ? ", " : "");
            strcat(all, words->word);
        }
    }
    return complain(p, "%s '%s' is none of: %s", name, value, all);
}

static int set_string(struct disk_parse *p, const struct param *what, const char *value)
{
    char **field = (char **)((char *)p->disk + what->at), *copy;

    if (*field && **field) {
        return complain(p, "%s is given twice: '%s' and '%s'", what->name, *field, value);
    }
    copy = strdup(value);
    if (!copy) {
        return ENOMEM;
    }
    free(*field);
    *field = copy;
    return 0;
}

static int set_word(struct disk_parse *p, const struct param *what, const char *value)
{
    int *field = (int *)((char *)p->disk + what->at);
    const struct word *w;

    for (w = what->words; w->word && strcmp(w->word, value); w++) {
    }
    if (!w->word) {
        return not_a_word(p, what->name, what->words, value);
    }
    if (what->kind == WORD_ONCE && *field && *field != w->value) {
        return complain(p, "%s '%s' contradicts the %s given before", what->name, value, what->name);
    }
    *field = w->value;
    return 0;
}

static int set_param(struct disk_parse *p, const struct param *what, const char *value)
{
    char *end;
    long port;

    if (what->kind == STRING) {
        return set_string(p, what, value);
    }
    if (what->kind != PORT) {
        return set_word(p, what, value);
    }
    port = strtol(value, &end, 10);
    if (end == value || *end || port < 1 || port > 65535) {
        return complain(p, "%s '%s' is not a port (1 to 65535)", what->name, value);
    }
    *(int *)((char *)p->disk + what->at) = (int)port;
    return 0;
}

/* 1: it was a flag. */
static int set_flag(libxl_device_disk *disk, const char *flag)
{
    if (!strcmp(flag, "cdrom")) {
        disk->is_cdrom = 1;
    } else if (!strcmp(flag, "direct-io-safe")) {
        disk->direct_io_safe = true;
    } else if (!strcmp(flag, "discard")) {
        libxl_defbool_set(&disk->discard_enable, true);
    } else if (!strcmp(flag, "no-discard")) {
        libxl_defbool_set(&disk->discard_enable, false);
    } else if (!strcmp(flag, "colo")) {
        libxl_defbool_set(&disk->colo_enable, true);
    } else if (!strcmp(flag, "no-colo")) {
        libxl_defbool_set(&disk->colo_enable, false);
    } else {
        return 0;
    }
    return 1;
}

/* A vdev by position may have xend's device type behind its last colon: "hdc:cdrom". */
static int set_vdev_and_type(struct disk_parse *p, char *value)
{
    char *colon = strrchr(value, ':');
    int rc;

    if (!colon) {
        return set_string(p, &params[P_VDEV], value);
    }
    *colon = '\0';
    rc = set_string(p, &params[P_VDEV], value);
    return rc ? rc : set_word(p, &params[P_DEVTYPE], colon + 1);
}

static int set_positional(struct disk_parse *p, char *value)
{
    libxl_device_disk *disk = p->disk;

    if (!disk->pdev_path) {
        return set_string(p, &params[P_TARGET], value);
    }
    if (!p->old_prefix && disk->format == LIBXL_DISK_FORMAT_UNKNOWN) {
        if (*disk->pdev_path || !strchr(value, ':')) {
            return set_word(p, &params[P_FORMAT], value);
        }
        /* xend's empty drive, ",hdc:cdrom,r": the format is left out. */
        disk->format = LIBXL_DISK_FORMAT_EMPTY;
        return set_vdev_and_type(p, value);
    }
    if (!disk->vdev) {
        return set_vdev_and_type(p, value);
    }
    if (!p->access_given) {
        p->access_given = true;
        return set_word(p, &params[P_ACCESS], value);
    }
    return complain(p, "'%s' is one positional value too many (after target, format, vdev, access)", value);
}

/* Takes one of xend's prefixes off *at; 0 if there is none, -1 if there is, else an error. */
static int take_old_prefix(struct disk_parse *p, const char **at)
{
    for (size_t i = 0; i < NR(old_prefixes); i++) {
        size_t len = strlen(old_prefixes[i].prefix);
        int rc = 0;

        if (strncmp(*at, old_prefixes[i].prefix, len)) {
            continue;
        }
        *at += len;
        p->old_prefix = true;
        if (old_prefixes[i].format) {
            rc = set_word(p, &params[P_FORMAT], old_prefixes[i].format);
        } else if (old_prefixes[i].script) {
            rc = set_string(p, &params[P_SCRIPT], old_prefixes[i].script);
        }
        return rc ? rc : -1;
    }
    return 0;
}

static size_t span_lower(const char *s, const char *more)
{
    size_t n = 0;

    if (*s >= 'a' && *s <= 'z') {
        while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= '0' && s[n] <= '9') || (s[n] && strchr(more, s[n]))) {
            n++;
        }
    }
    return n;
}

/* "foo:/path" looks like a prefix, "foo:bar" may be a target: the man page promises no more than that. */
static bool looks_like_prefix(const char *s, size_t *len)
{
    size_t n = span_lower(s, "");

    *len = n + 1;
    return n && s[n] == ':' && !((s[n + 1] >= 'a' && s[n + 1] <= 'z') || (s[n + 1] >= '0' && s[n + 1] <= '9'));
}

/* One element, NUL-terminated and ours to change. */
static int take_element(struct disk_parse *p, char *element)
{
    size_t name = span_lower(element, "-");
    char *equals = strchr(element, '=');

    if (name && element[name] == '=') {
        element[name] = '\0';
        for (size_t i = 0; i < NR(params); i++) {
            if (!strcmp(params[i].name, element)) {
                return set_param(p, &params[i], element + name + 1);
            }
        }
        return complain(p, "there is no parameter '%s'", element);
    }
    if (looks_like_prefix(element, &name)) {
        return complain(p, "'%.*s' is no known prefix", (int)name, element);
    }
    if (equals) {
        return complain(p, "there is no parameter '%.*s' (a target with '=' needs target=)",
                        (int)(equals - element), element);
    }
    return set_flag(p->disk, element) ? 0 : set_positional(p, element);
}

static int parse_one(struct disk_parse *p)
{
    const char *at = p->spec;
    int rc = 0;

    for (at += strspn(at, " \t\n"); *at && !rc; at += strspn(at, " \t\n")) {
        size_t len = strcspn(at, ",");
        char *element;

        rc = take_old_prefix(p, &at);
        if (rc) {
            rc = rc < 0 ? 0 : rc;
            continue;
        }
        if (!strncmp(at, "target=", strlen("target="))) {
            /* The rest, but one comma at the end still closes the element. */
            at += strlen("target=");
            len = strlen(at);
            len -= len && at[len - 1] == ',';
            element = strndup(at, len);
            rc = element ? set_string(p, &params[P_TARGET], element) : ENOMEM;
            free(element);
            return rc;
        }
        element = strndup(at, len);
        rc = element ? take_element(p, element) : ENOMEM;
        free(element);
        at += len + (at[len] == ',');
    }
    return rc;
}

int xlu_disk_parse(XLU_Config *cfg, int nspecs, const char *const *specs, libxl_device_disk *disk)
{
    struct disk_parse p = { .cfg = cfg, .spec = "", .disk = disk };
    int rc = 0;

    disk->readwrite = 1;
    for (int i = 0; i < nspecs && !rc; i++) {
        p.spec = specs[i];
        rc = parse_one(&p);
    }
    if (rc) {
        return rc;
    }
    if (disk->is_cdrom) {
        disk->removable = 1;
        disk->readwrite = 0;
        if (!disk->pdev_path || !*disk->pdev_path) {
            disk->format = LIBXL_DISK_FORMAT_EMPTY;
        }
    }
    if (disk->format == LIBXL_DISK_FORMAT_UNKNOWN) {
        disk->format = LIBXL_DISK_FORMAT_RAW;
    }
    if (nspecs && !disk->vdev) {
        return complain(&p, "no vdev is given");
    }
    if (nspecs && !disk->pdev_path && !disk->removable) {
        return complain(&p, "no target is given, and it is no cdrom");
    }
    return 0;
}
