/* SPDX-License-Identifier: MIT */
/*
 * A domain's configuration file (xl.cfg(5)) to libxl's libxl_domain_config.
 *
 * Every key that stock xl knows is a row of the table below: how it is read and for which kinds of guest,
 * or that this version does not offer it yet. A key that is in no row is an error that names the nearest
 * one: a typo in "memroy" must not become a guest with another size.
 */
#include "xl/xl.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { PV = 1, PVH = 2, HVM = 4, ANY = PV | PVH | HVM };

struct parse {
    struct xl *xl;
    XLU_Config *cfg;
    libxl_domain_config *dc;
    unsigned type;
    const struct key *key;
};

enum kind {
    K_STRING,    /* char * at offset */
    K_BOOL,      /* libxl_defbool at offset */
    K_INT,       /* int at offset, min..max */
    K_U32,       /* uint32_t at offset, min..max */
    K_FUNC,      /* set() reads it */
    K_WITH,      /* read together with another key's set(), or before the table is walked */
    K_NOTHING,   /* accepted, has no effect (stock xl ignores it too) */
    K_LATER,     /* stock xl has it; here it is an error when set to something */
};

struct key {
    const char *name;
    enum kind kind;
    unsigned types;
    const char *doc;            /* for the manual; NULL: not listed */
    size_t offset;
    long min, max;
    int (*set)(struct parse *p);   /* 0 or -1 after a message */
    int (*check)(XLU_Config *cfg, libxl_domain_config *dc);   /* of K_LATER: the value is at least well formed */
};

#define AT(field) offsetof(libxl_domain_config, field)

static int get_string(struct parse *p, const char *name, const char **v)
{
    int e = xlu_cfg_get_string(p->cfg, name, v, 0);

    return e == 0 ? 1 : e == ESRCH ? 0 : -1;
}

static int get_long(struct parse *p, const char *name, long min, long max, long *v)
{
    int e = xlu_cfg_get_bounded_long(p->cfg, name, min, max, v, 0);

    return e == 0 ? 1 : e == ESRCH ? 0 : -1;
}

static int set_name(struct parse *p)
{
    const char *name, *c;
    bool digits = true;

    if (get_string(p, "name", &name) < 0) {
        return -1;
    }
    for (c = name; *c; c++) {
        digits = digits && isdigit((unsigned char)*c);
        if ((unsigned char)*c <= ' ' || *c == '/' || *c == 0x7f) {
            xlu_cfg_complain(p->cfg, "name", "the name may not hold %s", *c == '/' ? "'/'" : "blanks or control characters");
            return -1;
        }
    }
    if (!*name || strlen(name) > 128 || digits) {
        xlu_cfg_complain(p->cfg, "name", !*name ? "the name is empty" : digits ?
                         "a name of digits only would be taken for a domid" : "the name is longer than 128 characters");
        return -1;
    }
    p->dc->c_info.name = strdup(name);
    return p->dc->c_info.name ? 0 : -1;
}

static int set_uuid(struct parse *p)
{
    const char *text;

    if (get_string(p, "uuid", &text) < 0) {
        return -1;
    }
    if (libxl_uuid_from_string(&p->dc->c_info.uuid, text)) {
        xlu_cfg_complain(p->cfg, "uuid", "'%s' is not a UUID", text);
        return -1;
    }
    return 0;
}

static int set_memory(struct parse *p)
{
    /* MiB; the bound only keeps the kiB figure from wrapping, the host's size is checked by libxl. */
    const long max = 16l << 20;
    long mem = 0, maxmem = 0;
    int have = get_long(p, "memory", 1, max, &mem), have_max = get_long(p, "maxmem", 1, max, &maxmem);

    if (have < 0 || have_max < 0) {
        return -1;
    }
    if (!have) {
        mem = maxmem;
    }
    if (!have_max) {
        maxmem = mem;
    }
    if (maxmem < mem) {
        xlu_cfg_complain(p->cfg, "maxmem", "maxmem = %ld is less than memory = %ld", maxmem, mem);
        return -1;
    }
    p->dc->b_info.target_memkb = (uint64_t)mem << 10;
    p->dc->b_info.max_memkb = (uint64_t)maxmem << 10;
    return 0;
}

static int set_vcpus(struct parse *p)
{
    long vcpus = 1, maxvcpus = 0;
    int have = get_long(p, "vcpus", 1, 128, &vcpus), have_max = get_long(p, "maxvcpus", 1, 128, &maxvcpus);
    libxl_domain_build_info *b = &p->dc->b_info;

    if (have < 0 || have_max < 0) {
        return -1;
    }
    if (!have_max) {
        maxvcpus = vcpus;
    } else if (!have) {
        vcpus = maxvcpus;
    }
    if (vcpus > maxvcpus) {
        xlu_cfg_complain(p->cfg, "maxvcpus", "maxvcpus = %ld is less than vcpus = %ld", maxvcpus, vcpus);
        return -1;
    }
    b->max_vcpus = (int)maxvcpus;
    if (libxl_cpu_bitmap_alloc(p->xl->ctx, &b->avail_vcpus, (int)maxvcpus)) {
        return -1;
    }
    for (int i = 0; i < vcpus; i++) {
        libxl_bitmap_set(&b->avail_vcpus, i);
    }
    return 0;
}

/* One string for all vCPUs, or a list with one entry per vCPU. */
static int set_affinity(struct parse *p, libxl_bitmap **maps, int *nr_maps)
{
    const char *name = p->key->name, *text;
    XLU_ConfigList *list = NULL;
    int nr = 0, vcpus = p->dc->b_info.max_vcpus, e = xlu_cfg_get_list(p->cfg, name, &list, &nr, 1);

    if (e && get_string(p, name, &text) < 0) {
        return -1;
    }
    *maps = calloc((size_t)vcpus, sizeof(**maps));
    if (!*maps) {
        return -1;
    }
    *nr_maps = vcpus;
    for (int i = 0; i < vcpus; i++) {
        libxl_bitmap_init(&(*maps)[i]);
        if (libxl_cpu_bitmap_alloc(p->xl->ctx, &(*maps)[i], 0)) {
            return -1;
        }
        if (!e) {
            text = i < nr ? xlu_cfg_get_listitem(list, i) : "all";
        }
        if (!text || xl_parse_cpus(p->xl, text, &(*maps)[i])) {
            xlu_cfg_complain(p->cfg, name, "vCPU %d has no usable CPU list", i);
            return -1;
        }
    }
    return 0;
}

static int set_cpus(struct parse *p)
{
    return set_affinity(p, &p->dc->b_info.vcpu_hard_affinity, &p->dc->b_info.num_vcpu_hard_affinity);
}

static int set_cpus_soft(struct parse *p)
{
    return set_affinity(p, &p->dc->b_info.vcpu_soft_affinity, &p->dc->b_info.num_vcpu_soft_affinity);
}

static int set_action(struct parse *p)
{
    static const struct { const char *name; size_t at; } where[] = {
        { "on_poweroff", AT(on_poweroff) }, { "on_reboot", AT(on_reboot) }, { "on_watchdog", AT(on_watchdog) },
        { "on_crash", AT(on_crash) }, { "on_soft_reset", AT(on_soft_reset) },
    };
    /* xl's words for libxl's actions. */
    static const struct { const char *word; libxl_action_on_shutdown action; } actions[] = {
        { "destroy", LIBXL_ACTION_ON_SHUTDOWN_DESTROY }, { "restart", LIBXL_ACTION_ON_SHUTDOWN_RESTART },
        { "rename-restart", LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME },
        { "preserve", LIBXL_ACTION_ON_SHUTDOWN_PRESERVE }, { "soft-reset", LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET },
        { "coredump-destroy", LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY },
        { "coredump-restart", LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART },
    };
    const size_t nr_actions = sizeof(actions) / sizeof(actions[0]);
    libxl_action_on_shutdown action;
    const char *text;
    size_t i;

    if (get_string(p, p->key->name, &text) < 0) {
        return -1;
    }
    for (i = 0; i < nr_actions && strcmp(actions[i].word, text); i++) {
    }
    if (i == nr_actions) {
        xlu_cfg_complain(p->cfg, p->key->name, "'%s' is no action: destroy, restart, rename-restart, preserve, "
                         "coredump-destroy or coredump-restart", text);
        return -1;
    }
    action = actions[i].action;
    if (action == LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET && strcmp(p->key->name, "on_soft_reset")) {
        xlu_cfg_complain(p->cfg, p->key->name, "'%s' is not offered by this version", text);
        return -1;
    }
    for (i = 0; strcmp(where[i].name, p->key->name); i++) {
    }
    *(libxl_action_on_shutdown *)((char *)p->dc + where[i].at) = action;
    return 0;
}

/* cmdline wins over root and extra, as in stock xl. */
static int set_cmdline(struct parse *p)
{
    const char *cmdline = NULL, *root = NULL, *extra = NULL;
    char *text = NULL;

    if (p->dc->b_info.cmdline) {
        return 0;   /* already done for another of the three keys */
    }
    if (get_string(p, "cmdline", &cmdline) < 0 || get_string(p, "root", &root) < 0 ||
        get_string(p, "extra", &extra) < 0) {
        return -1;
    }
    if (cmdline) {
        text = strdup(cmdline);
    } else if (asprintf(&text, "%s%s%s%s", root ? "root=" : "", root ? root : "", root && extra ? " " : "",
                        extra ? extra : "") < 0) {
        text = NULL;
    }
    p->dc->b_info.cmdline = text;
    return text ? 0 : -1;
}

static int set_weight(struct parse *p)
{
    long v;

    if (get_long(p, "cpu_weight", 1, 65535, &v) < 0) {
        return -1;
    }
    p->dc->b_info.sched_params.weight = (int)v;
    return 0;
}

static int set_cap(struct parse *p)
{
    long v;

    if (get_long(p, "cap", 0, 128 * 100, &v) < 0) {
        return -1;
    }
    p->dc->b_info.sched_params.cap = (int)v;
    return 0;
}

static int set_pool(struct parse *p)
{
    const char *text;
    uint32_t id;

    if (get_string(p, "pool", &text) < 0) {
        return -1;
    }
    if (libxl_cpupool_qualifier_to_cpupoolid(p->xl->ctx, text, &id, NULL)) {
        xlu_cfg_complain(p->cfg, "pool", "there is no CPU pool '%s'", text);
        return -1;
    }
    p->dc->c_info.poolid = id;
    return 0;
}

static int set_tsc_mode(struct parse *p)
{
    const char *text;
    long n;

    if (!xlu_cfg_get_long(p->cfg, "tsc_mode", &n, 1)) {
        if (n < 0 || n > 2) {
            xlu_cfg_complain(p->cfg, "tsc_mode", "tsc_mode must be default, always_emulate or native");
            return -1;
        }
        p->dc->b_info.tsc_mode = (libxl_tsc_mode)n;
        return 0;
    }
    if (get_string(p, "tsc_mode", &text) < 0) {
        return -1;
    }
    if (libxl_tsc_mode_from_string(text, &p->dc->b_info.tsc_mode)) {
        xlu_cfg_complain(p->cfg, "tsc_mode", "tsc_mode must be default, always_emulate or native, not '%s'", text);
        return -1;
    }
    return 0;
}

static int set_cpuid(struct parse *p)
{
    XLU_ConfigList *list;
    const char *text;
    int nr, e = xlu_cfg_get_list(p->cfg, "cpuid", &list, &nr, 1);

    if (e) {
        if (get_string(p, "cpuid", &text) < 0) {
            return -1;
        }
        nr = 1;
    }
    for (int i = 0; i < nr; i++) {
        char *copy, *save = NULL, *item;
        int rc = 0;

        if (!e) {
            text = xlu_cfg_get_listitem(list, i);
        }
        copy = text ? strdup(text) : NULL;
        if (!copy) {
            return -1;
        }
        item = strtok_r(copy, ",", &save);
        if (!e) {
            rc = libxl_cpuid_parse_config_xend(&p->dc->b_info.cpuid, text);
            item = NULL;
        } else if (item && !strcmp(item, "host")) {
            item = strtok_r(NULL, ",", &save);
        }
        for (; item && !rc; item = strtok_r(NULL, ",", &save)) {
            rc = libxl_cpuid_parse_config(&p->dc->b_info.cpuid, item);
        }
        free(copy);
        if (rc) {
            xlu_cfg_complain(p->cfg, "cpuid", "'%s' is no CPUID policy", text);
            return -1;
        }
    }
    return 0;
}

#define B(f) AT(b_info.f)

#define KEY(n, k, t, d, ...) { .name = n, .kind = k, .types = t, .doc = d, ##__VA_ARGS__ }

static const struct key keys[] = {
    KEY("name", K_FUNC, ANY, "Name of the domain. Required.", .set = set_name),
    KEY("type", K_WITH, ANY, "Kind of guest; this version runs \"pvh\"."),
    KEY("builder", K_WITH, ANY, NULL),
    KEY("uuid", K_FUNC, ANY, "UUID of the domain; a random one without it.", .set = set_uuid),
    KEY("vcpus", K_FUNC, ANY, "Number of vCPUs at start (1 to 128, default 1).", .set = set_vcpus),
    KEY("maxvcpus", K_WITH, ANY, "Number of vCPUs that the domain can have."),
    KEY("memory", K_FUNC, ANY, "Memory at start, in MiB.", .set = set_memory),
    KEY("maxmem", K_WITH, ANY, "Memory that the domain can have, in MiB."),
    KEY("kernel", K_STRING, ANY, "Path of the kernel: an ELF image or a Linux bzImage.", B(kernel)),
    KEY("ramdisk", K_STRING, ANY, "Path of the initial RAM disk.", B(ramdisk)),
    KEY("cmdline", K_FUNC, ANY, "Kernel command line; wins over root and extra.", .set = set_cmdline),
    KEY("root", K_FUNC, ANY, "Becomes the root= argument of the kernel command line.", .set = set_cmdline),
    KEY("extra", K_FUNC, ANY, "Appended to the kernel command line.", .set = set_cmdline),
    KEY("cpus", K_FUNC, ANY, "CPUs that the vCPUs may use: \"0-3,^2\", or a list with one entry per vCPU.", .set = set_cpus),
    KEY("cpus_soft", K_FUNC, ANY, "CPUs that the vCPUs should use, in the same form.", .set = set_cpus_soft),
    KEY("cpu_weight", K_FUNC, ANY, "Scheduling weight (1 to 65535, default 256).", .set = set_weight),
    KEY("cap", K_FUNC, ANY, "Most CPU time that the domain may use, in percent of one CPU; 0 is no limit.", .set = set_cap),
    KEY("pool", K_FUNC, ANY, "CPU pool, by name or number.", .set = set_pool),
    KEY("on_poweroff", K_FUNC, ANY, "What happens when the guest powers off: destroy (default), restart, rename-restart, preserve, "
        "coredump-destroy or coredump-restart.", .set = set_action),
    KEY("on_reboot", K_FUNC, ANY, "The same for a reboot; default restart.", .set = set_action),
    KEY("on_crash", K_FUNC, ANY, "The same for a crash; default destroy.", .set = set_action),
    KEY("on_watchdog", K_FUNC, ANY, "The same for a watchdog time-out; default destroy.", .set = set_action),
    KEY("on_soft_reset", K_FUNC, ANY, "What happens on a soft reset; default soft-reset.", .set = set_action),
    KEY("max_grant_frames", K_U32, ANY, "Most grant table frames.", B(max_grant_frames), 1, 1024),
    KEY("max_maptrack_frames", K_U32, ANY, "Most maptrack frames.", B(max_maptrack_frames), 0, 4096),
    KEY("max_grant_version", K_INT, ANY, "Highest grant table version offered (1 or 2).", B(max_grant_version), 1, 2),
    KEY("max_event_channels", K_U32, ANY, "Most event channels (default 1023).", B(event_channels), 1, 131071),
    KEY("tsc_mode", K_FUNC, ANY, "How the time stamp counter behaves: default, always_emulate or native.", .set = set_tsc_mode),
    KEY("cpuid", K_FUNC, ANY, "CPUID policy: \"host,feature=0|1|x|k,...\".", .set = set_cpuid),
    KEY("localtime", K_BOOL, ANY, "The guest's clock shows local time.", B(localtime)),
    KEY("rtc_timeoffset", K_U32, ANY, "Seconds to add to the guest's clock.", B(rtc_timeoffset), 0, INT_MAX),
    KEY("nomigrate", K_BOOL, ANY, "The domain cannot be migrated.", B(disable_migrate)),
    KEY("driver_domain", K_BOOL, ANY, "The domain may hold backends.", AT(c_info.driver_domain)),
    KEY("xend_suspend_evtchn_compat", K_BOOL, ANY, NULL, AT(c_info.xend_suspend_evtchn_compat)),
    KEY("acpi", K_BOOL, PVH | HVM, "Offer ACPI tables (default 1).", B(acpi)),
    KEY("apic", K_BOOL, PVH | HVM, "Offer local APICs (default 1).", B(apic)),
    KEY("pvshim", K_BOOL, PVH, "Run the kernel as a PV guest, below a shim in the container.", B(u.pvh.pvshim)),
    KEY("pvshim_path", K_STRING, PVH, "Path of the shim.", B(u.pvh.pvshim_path)),
    KEY("pvshim_cmdline", K_STRING, PVH, "The shim's command line (default \"pv-shim console=xen,pv\").", B(u.pvh.pvshim_cmdline)),
    KEY("pvshim_extra", K_STRING, PVH, "Appended to the shim's command line.", B(u.pvh.pvshim_extra)),
    KEY("hap", K_BOOL, PVH | HVM, NULL, AT(c_info.hap)),
    KEY("oos", K_BOOL, PVH | HVM, NULL, AT(c_info.oos)),

    /* accepted without effect, as in stock xl for this kind of guest */
    KEY("period", K_NOTHING, ANY, NULL), KEY("slice", K_NOTHING, ANY, NULL), KEY("latency", K_NOTHING, ANY, NULL),
    KEY("extratime", K_NOTHING, ANY, NULL), KEY("vif_other_config", K_NOTHING, ANY, NULL),

#define LATER(n, types) KEY(n, K_LATER, types, NULL)
#define DEVICE(n, function) KEY(n, K_LATER, ANY, NULL, .check = function)
    DEVICE("disk", xl_config_disk), DEVICE("vif", xl_config_vif), DEVICE("pci", xl_config_pci), DEVICE("rdm", xl_config_rdm),
    LATER("vif2", ANY), LATER("vfb", ANY), LATER("vkb", ANY), LATER("vtpm", ANY),
    LATER("p9", ANY), LATER("pvcalls", ANY), LATER("channel", ANY), LATER("usbctrl", ANY), LATER("usbdev", ANY),
    LATER("vdispl", ANY), LATER("vsnd", ANY), LATER("virtio", ANY), LATER("dtdev", ANY),
    LATER("pci_permissive", ANY), LATER("pci_msitranslate", ANY), LATER("pci_seize", ANY), LATER("pci_power_mgmt", ANY),
    LATER("rdm_mem_boundary", ANY), LATER("ioports", ANY), LATER("iomem", ANY), LATER("irqs", ANY), LATER("passthrough", ANY),
    LATER("bootloader", ANY), LATER("bootloader_args", ANY), LATER("bootloader_restrict", ANY), LATER("bootloader_user", ANY),
    LATER("firmware", ANY), LATER("seclabel", ANY), LATER("init_seclabel", ANY), LATER("vnuma", ANY),
    LATER("shadow_memory", PVH | HVM), LATER("nestedhvm", PVH | HVM), LATER("timer_mode", PVH | HVM), LATER("e820_host", PV),
    LATER("altp2m", ANY), LATER("altp2m_count", ANY), LATER("vmtrace_buf_kb", ANY), LATER("vpmu", ANY),
    LATER("xenstore_feature_mask", ANY), LATER("xenstore_quota", ANY), LATER("msr_relaxed", ANY),
    LATER("boot", HVM), LATER("bios", HVM), LATER("bios_path_override", HVM), LATER("hdtype", HVM), LATER("acpi_firmware", HVM),
    LATER("smbios_firmware", HVM), LATER("smbios", HVM), LATER("ms_vm_genid", HVM), LATER("mmio_hole", HVM), LATER("pae", HVM),
    LATER("nx", HVM), LATER("acpi_s3", HVM), LATER("acpi_s4", HVM), LATER("acpi_laptop_slate", HVM), LATER("hpet", HVM),
    LATER("altp2mhvm", HVM), LATER("viridian", HVM), LATER("mca_caps", HVM), LATER("hvm_pirq", HVM),
    LATER("xen_platform_pci", HVM), LATER("xen_platform_pci_bar_uc", HVM), LATER("vendor_device", HVM), LATER("vpt_align", HVM),
    LATER("videoram", HVM), LATER("vga", HVM), LATER("stdvga", HVM), LATER("vnc", HVM), LATER("vnclisten", HVM),
    LATER("vncdisplay", HVM), LATER("vncunused", HVM), LATER("vncpasswd", HVM), LATER("sdl", HVM), LATER("opengl", HVM),
    LATER("nographic", HVM), LATER("keymap", HVM), LATER("spice", HVM), LATER("spiceport", HVM), LATER("spicetls_port", HVM),
    LATER("spicehost", HVM), LATER("spicedisable_ticketing", HVM), LATER("spicepasswd", HVM), LATER("spiceagent_mouse", HVM),
    LATER("spicevdagent", HVM), LATER("spice_clipboard_sharing", HVM), LATER("spiceusbredirection", HVM),
    LATER("spice_image_compression", HVM), LATER("spice_streaming_video", HVM), LATER("serial", HVM), LATER("soundhw", HVM),
    LATER("usb", HVM), LATER("usbversion", HVM), LATER("usbdevice", HVM), LATER("vkb_device", HVM), LATER("gfx_passthru", HVM),
    LATER("device_model_version", HVM), LATER("device_model_override", ANY), LATER("device_model_args", ANY),
    LATER("device_model_args_pv", ANY), LATER("device_model_args_hvm", ANY), LATER("device_model_user", ANY),
    LATER("dm_restrict", ANY), LATER("device_model_stubdomain_override", HVM), LATER("device_model_stubdomain_seclabel", HVM),
    LATER("stubdomain_kernel", HVM), LATER("stubdomain_cmdline", HVM), LATER("stubdomain_ramdisk", HVM),
    LATER("stubdomain_memory", HVM), LATER("device_tree", 0), LATER("gic_version", 0), LATER("vuart", 0), LATER("sve", 0),
    LATER("tee", 0), LATER("llc_colors", 0), LATER("nr_spis", 0), LATER("trap_unmapped_accesses", 0), LATER("arm_sci", 0),
};

#define NR_KEYS (sizeof(keys) / sizeof(keys[0]))

/* Levenshtein distance, for names of sensible length. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[64], la = (unsigned)strlen(a), lb = (unsigned)strlen(b);

    if (la >= 63 || lb >= 63) {
        return 99;
    }
    for (unsigned j = 0; j <= lb; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; i <= la; i++) {
        unsigned diagonal = row[0]++;

        for (unsigned j = 1; j <= lb; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < row[j] ? change : row[j];
        }
    }
    return row[lb];
}

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < NR_KEYS; i++) {
        if (!strcmp(keys[i].name, name)) {
            return &keys[i];
        }
    }
    return NULL;
}

static const char *nearest_key(const char *name)
{
    const char *best = NULL;
    unsigned best_d = 1 + (unsigned)strlen(name) / 3, d;

    for (size_t i = 0; i < NR_KEYS; i++) {
        d = distance(name, keys[i].name);
        if (d <= best_d && (!best || d < best_d)) {
            best = keys[i].name;
            best_d = d;
        }
    }
    return best;
}

static bool is_set_to_nothing(const XLU_Config *cfg, const char *name)
{
    const char *text;
    int nr;

    if (!xlu_cfg_get_list(cfg, name, NULL, &nr, 1)) {
        return nr == 0;
    }
    return !xlu_cfg_get_string(cfg, name, &text, 1) && (!*text || !strcmp(text, "0"));
}

static int read_key(struct parse *p, const struct key *k)
{
    char *field = (char *)p->dc + k->offset;
    long v;
    int e = 0;

    p->key = k;
    switch (k->kind) {
    case K_STRING:
        e = xlu_cfg_replace_string(p->cfg, k->name, (char **)field, 0);
        break;
    case K_BOOL:
        e = xlu_cfg_get_defbool(p->cfg, k->name, (libxl_defbool *)field, 0);
        break;
    case K_INT:
    case K_U32:
        e = xlu_cfg_get_bounded_long(p->cfg, k->name, k->min, k->max, &v, 0);
        if (!e && k->kind == K_INT) {
            *(int *)field = (int)v;
        } else if (!e) {
            *(uint32_t *)field = (uint32_t)v;
        }
        break;
    case K_FUNC:
        e = k->set(p);
        break;
    case K_LATER:
        if (!is_set_to_nothing(p->cfg, k->name)) {
            if (!k->check || !k->check(p->cfg, p->dc)) {
                xlu_cfg_complain(p->cfg, k->name, "%s is not offered by this version of Krypton", k->name);
            }
            e = -1;
        }
        break;
    case K_WITH:
    case K_NOTHING:
        break;
    }
    return e ? -1 : 0;
}

/* Every key of the file must be one we know; says all that are wrong, not only the first. */
static int check_keys(struct parse *p)
{
    const char *name, *near;
    int bad = 0;

    for (int i = 0; (name = xlu_cfg_key(p->cfg, i, NULL)); i++) {
        const struct key *k = find_key(name);

        if (!k) {
            near = nearest_key(name);
            xlu_cfg_complain(p->cfg, name, "there is no key '%s'%s%s%s", name, near ? "; did you mean '" : "",
                             near ? near : "", near ? "'?" : "");
            bad = -1;
        } else if (!(k->types & p->type) && !is_set_to_nothing(p->cfg, name)) {
            xlu_cfg_complain(p->cfg, name, "warning: %s has no effect for this type of guest", name);
        }
    }
    return bad;
}

static int read_type(struct parse *p)
{
    static const struct { const char *name; libxl_domain_type type; unsigned mask; } types[] = {
        { "pvh", LIBXL_DOMAIN_TYPE_PVH, PVH }, { "hvm", LIBXL_DOMAIN_TYPE_HVM, HVM }, { "pv", LIBXL_DOMAIN_TYPE_PV, PV },
    };
    const char *text = "pv", *key = "type";
    int have = get_string(p, "type", &text);

    if (have == 0) {
        key = "builder";
        have = get_string(p, "builder", &text);
        text = have > 0 && !strcmp(text, "generic") ? "pv" : text;
    }
    if (have < 0) {
        return -1;
    }
    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(text ? text : "pv", types[i].name)) {
            continue;
        }
        if (types[i].mask != PVH) {
            xlu_cfg_complain(p->cfg, key, have ? "%s guests are not offered by this version; type = \"pvh\" is" :
                             "type is not set, which means \"%s\": this version runs type = \"pvh\"", text ? text : "pv");
            return -1;
        }
        p->type = types[i].mask;
        p->dc->c_info.type = types[i].type;
        return 0;
    }
    xlu_cfg_complain(p->cfg, key, "there is no type '%s': pvh, hvm or pv", text);
    return -1;
}

static int require(struct parse *p, bool have, const char *what)
{
    if (!have) {
        xlu_cfg_complain(p->cfg, what, "%s is required", what);
    }
    return have ? 0 : -1;
}

static int fill(struct parse *p)
{
    libxl_domain_config *dc = p->dc;
    int rc = 0;

    if (read_type(p)) {
        return -1;
    }
    rc = check_keys(p);
    libxl_domain_build_info_init_type(&dc->b_info, dc->c_info.type);
    libxl_uuid_generate(&dc->c_info.uuid);
    libxl_defbool_set(&dc->c_info.run_hotplug_scripts, p->xl->conf.run_hotplug_scripts);
    libxl_defbool_set(&dc->b_info.claim_mode, p->xl->conf.claim_mode != 0);
    if (p->xl->conf.max_grant_frames >= 0) {
        dc->b_info.max_grant_frames = (uint32_t)p->xl->conf.max_grant_frames;
    }
    if (p->xl->conf.max_maptrack_frames >= 0) {
        dc->b_info.max_maptrack_frames = (uint32_t)p->xl->conf.max_maptrack_frames;
    }
    if (p->xl->conf.max_grant_version >= 0) {
        dc->b_info.max_grant_version = (int)p->xl->conf.max_grant_version;
    }
    dc->on_poweroff = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
    dc->on_reboot = LIBXL_ACTION_ON_SHUTDOWN_RESTART;
    dc->on_watchdog = dc->on_crash = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
    dc->on_soft_reset = LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET;
    /* In the table's order, because some keys build on others (cpus needs vcpus). */
    for (size_t i = 0; i < NR_KEYS; i++) {
        const char *text;
        bool set = xlu_cfg_get_string(p->cfg, keys[i].name, &text, 1) != ESRCH;

        /* These are read even when unset or set by their partner alone. */
        if (!set && keys[i].set != set_vcpus && keys[i].set != set_memory) {
            continue;
        }
        rc = read_key(p, &keys[i]) ? -1 : rc;
    }
    rc = require(p, dc->c_info.name != NULL, "name") ? -1 : rc;
    rc = rc ? rc : require(p, dc->b_info.max_memkb != 0, "memory");
    rc = rc ? rc : require(p, dc->b_info.kernel != NULL, "kernel");
    return rc;
}

int xl_config_parse(struct xl *xl, const char *label, const char *text, int len, const char *extra,
                    libxl_domain_config *out)
{
    struct parse p = { .xl = xl, .dc = out };
    int rc = -1;

    p.cfg = xlu_cfg_init(stderr, label);
    if (!p.cfg) {
        xl_error("out of memory");
        return -1;
    }
    if (!xlu_cfg_readdata(p.cfg, text, len) &&
        !(extra && xlu_cfg_readdata_label(p.cfg, "command line", extra, (int)strlen(extra)))) {
        rc = fill(&p);
    }
    xlu_cfg_destroy(p.cfg);
    return rc;
}

void xl_config_document(FILE *out)
{
    static const char *const kinds[] = { [K_STRING] = "text", [K_BOOL] = "0|1", [K_INT] = "number", [K_U32] = "number" };

    for (size_t i = 0; i < NR_KEYS; i++) {
        if (keys[i].doc) {
            fprintf(out, ".It Ic %s", keys[i].name);
            if (keys[i].kind <= K_U32) {
                fprintf(out, " No = Ar %s", kinds[keys[i].kind]);
            }
            fputc('\n', out);
            xl_mdoc_text(out, keys[i].doc);
            fputc('\n', out);
        }
    }
    fputs(".El\n.Ss Keys not offered yet\nA file that sets one of these to something is refused:\n", out);
    for (size_t i = 0, n = 0; i < NR_KEYS; i++) {
        if (keys[i].kind == K_LATER) {
            fprintf(out, "%s.Ic %s", n++ ? " ,\n" : "", keys[i].name);
        }
    }
    fputs(" .\n", out);
}
