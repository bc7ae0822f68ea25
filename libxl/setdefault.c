/* SPDX-License-Identifier: MIT */
/* What a configuration means where it says nothing, and whether it can be had at all. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libxl/domain.h"

#include <libxl_utils.h>

/* Xen's libxl: 2-level event channels' worth for a 32-bit guest, less port 0. */
#define DEFAULT_EVENT_CHANNELS 1023
#define DEFAULT_MEMKB (32 * 1024)
#define DEFAULT_SHIM_CMDLINE "pv-shim console=xen,pv"
#define DEBIAN_SHIM "/usr/lib/xen-4.17/boot/xen-shim"

int lx_check_name(struct lx_gc *gc, const char *name)
{
    size_t len = name ? strlen(name) : 0;

    if (!len) {
        LX_LOG(ERROR, "a domain needs a name");
        return ERROR_INVAL;
    }
    if (len > LX_MAX_NAME) {
        LX_LOG(ERROR, "the name is %zu characters long; %d are possible", len, LX_MAX_NAME);
        return ERROR_INVAL;
    }
    for (const char *c = name; *c; c++) {
        if (*c == '/' || (unsigned char)*c < ' ' || *c == 0x7f) {
            LX_LOG(ERROR, "a name cannot contain %s", *c == '/' ? "\"/\"" : "control characters");
            return ERROR_INVAL;
        }
    }
    return 0;
}

static int c_info_setdefault(struct lx_gc *gc, libxl_domain_create_info *c,
                             const libxl_physinfo *phys)
{
    int rc = lx_check_name(gc, c->name);

    if (rc)
        return rc;
    switch (c->type) {
    case LIBXL_DOMAIN_TYPE_PVH:
        break;
    case LIBXL_DOMAIN_TYPE_PV:
    case LIBXL_DOMAIN_TYPE_HVM:
        LX_LOG(ERROR, "guests of type %s are not offered by this build; use type=\"pvh\"",
               libxl_domain_type_to_string(c->type));
        return ERROR_INVAL;
    default:
        LX_LOG(ERROR, "the domain's type is not given");
        return ERROR_INVAL;
    }
    if (libxl_uuid_is_nil(&c->uuid))
        libxl_uuid_generate(&c->uuid);
    libxl_defbool_setdefault(&c->hap, phys->cap_hap);
    libxl_defbool_setdefault(&c->oos, true);
    libxl_defbool_setdefault(&c->run_hotplug_scripts, true);
    libxl_defbool_setdefault(&c->driver_domain, false);
    libxl_defbool_setdefault(&c->xend_suspend_evtchn_compat, false);
    if (c->passthrough == LIBXL_PASSTHROUGH_DEFAULT)
        c->passthrough = LIBXL_PASSTHROUGH_DISABLED;
    if (c->passthrough != LIBXL_PASSTHROUGH_DISABLED) {
        LX_LOG(ERROR, "passthrough of devices is not available on this host");
        return ERROR_INVAL;
    }
    if (c->pool_name) {
        rc = libxl_cpupool_qualifier_to_cpupoolid(gc->ctx, c->pool_name, &c->poolid, NULL);
        if (rc || !libxl_cpupoolid_is_valid(gc->ctx, c->poolid)) {
            LX_LOG(ERROR, "there is no CPU pool \"%s\"", c->pool_name);
            return ERROR_INVAL;
        }
    }
    return 0;
}

static int vcpus_setdefault(struct lx_gc *gc, libxl_domain_build_info *b)
{
    if (!b->max_vcpus && !b->avail_vcpus.size)
        b->max_vcpus = 1;
    if (b->max_vcpus < 1 || b->max_vcpus > LX_MAX_VCPUS) {
        LX_LOG(ERROR, "%d vCPUs are not possible: a guest has 1 to %d", b->max_vcpus, LX_MAX_VCPUS);
        return ERROR_INVAL;
    }
    if (!b->avail_vcpus.size) {
        libxl_bitmap_alloc(gc->ctx, &b->avail_vcpus, 1);
        libxl_bitmap_set(&b->avail_vcpus, 0);
    }
    if (!libxl_bitmap_test(&b->avail_vcpus, 0)) {
        LX_LOG(ERROR, "vCPU 0 must be among those that are online at the start");
        return ERROR_INVAL;
    }
    for (int i = b->max_vcpus; i < (int)b->avail_vcpus.size * 8; i++) {
        if (libxl_bitmap_test(&b->avail_vcpus, i)) {
            LX_LOG(ERROR, "vCPU %d cannot be online: there are %d", i, b->max_vcpus);
            return ERROR_INVAL;
        }
    }
    return 0;
}

static int memory_setdefault(struct lx_gc *gc, libxl_domain_build_info *b)
{
    if (b->max_memkb == LIBXL_MEMKB_DEFAULT)
        b->max_memkb = b->target_memkb == LIBXL_MEMKB_DEFAULT ? DEFAULT_MEMKB : b->target_memkb;
    if (b->target_memkb == LIBXL_MEMKB_DEFAULT)
        b->target_memkb = b->max_memkb;
    b->video_memkb = 0; /* PVH has no display of its own */
    if (b->target_memkb > b->max_memkb) {
        LX_LOG(ERROR, "memory (%llu KiB) is more than maxmem (%llu KiB)",
               (unsigned long long)b->target_memkb, (unsigned long long)b->max_memkb);
        return ERROR_INVAL;
    }
    if (b->target_memkb < 1024 || b->max_memkb > (1ULL << 36)) {
        LX_LOG(ERROR, "%llu KiB of memory are not possible",
               (unsigned long long)(b->target_memkb < 1024 ? b->target_memkb : b->max_memkb));
        return ERROR_INVAL;
    }
    if (b->shadow_memkb == LIBXL_MEMKB_DEFAULT)
        b->shadow_memkb = libxl_get_required_shadow_memory((unsigned long)b->max_memkb,
                                                           (unsigned)b->max_vcpus);
    if (b->iommu_memkb == LIBXL_MEMKB_DEFAULT)
        b->iommu_memkb = 0;
    return 0;
}

/* A file that the builder will read: better said here, in one line, than from within it. */
static int check_file(struct lx_gc *gc, const char *what, const char *path)
{
    struct stat st;

    if (!path)
        return 0;
    if (stat(path, &st)) {
        LX_LOG(ERROR, "%s %s: %s", what, path, strerror(errno));
        return ERROR_INVAL;
    }
    if (!S_ISREG(st.st_mode) || access(path, R_OK)) {
        LX_LOG(ERROR, "%s %s: %s", what, path,
               S_ISREG(st.st_mode) ? strerror(errno) : "not a regular file");
        return ERROR_INVAL;
    }
    if (!st.st_size) {
        LX_LOG(ERROR, "%s %s: empty file", what, path);
        return ERROR_INVAL;
    }
    return 0;
}

/* Our own folder, and where Debian's Xen has its shim. */
static const char *default_shim(struct lx_gc *gc)
{
    const char *dir = getenv("KRYPTON_LIBEXECDIR");
    char *own = lx_sprintf(gc, "%s/boot/xen-shim", dir ? dir : KR_PKGLIBEXECDIR);

    return access(own, F_OK) && !access(DEBIAN_SHIM, F_OK) ? DEBIAN_SHIM : own;
}

/* A PV kernel in a PVH container; the command line's default is that of Xen's libxl. */
static int shim_setdefault(struct lx_gc *gc, libxl_domain_build_info *b)
{
    libxl_defbool_setdefault(&b->u.pvh.pvshim, false);
    if (!libxl_defbool_val(b->u.pvh.pvshim))
        return 0;
    if (!b->u.pvh.pvshim_path)
        b->u.pvh.pvshim_path = lx_strdup(NULL, default_shim(gc));
    if (!b->u.pvh.pvshim_cmdline)
        b->u.pvh.pvshim_cmdline = lx_strdup(NULL, DEFAULT_SHIM_CMDLINE);
    return check_file(gc, "shim", b->u.pvh.pvshim_path);
}

static int boot_setdefault(struct lx_gc *gc, libxl_domain_build_info *b)
{
    int rc;

    if (b->bootloader) {
        LX_LOG(ERROR, "bootloaders are not offered by this build; give a kernel");
        return ERROR_INVAL;
    }
    if (!b->kernel) {
        LX_LOG(ERROR, "a PVH guest needs a kernel");
        return ERROR_INVAL;
    }
    rc = shim_setdefault(gc, b);
    if (!rc)
        rc = check_file(gc, "kernel", b->kernel);
    return rc ? rc : check_file(gc, "ramdisk", b->ramdisk);
}

static int b_info_setdefault(struct lx_gc *gc, libxl_domain_build_info *b,
                             const libxl_physinfo *phys)
{
    int rc = vcpus_setdefault(gc, b);

    if (!rc)
        rc = memory_setdefault(gc, b);
    if (!rc)
        rc = boot_setdefault(gc, b);
    if (rc)
        return rc;
    libxl_defbool_setdefault(&b->numa_placement, true);
    libxl_defbool_setdefault(&b->localtime, false);
    libxl_defbool_setdefault(&b->disable_migrate, false);
    libxl_defbool_setdefault(&b->claim_mode, false);
    libxl_defbool_setdefault(&b->device_model_stubdomain, false);
    libxl_defbool_setdefault(&b->dm_restrict, false);
    libxl_defbool_setdefault(&b->acpi, true);
    libxl_defbool_setdefault(&b->apic, true);
    libxl_defbool_setdefault(&b->nested_hvm, false);
    libxl_defbool_setdefault(&b->vpmu, false);
    libxl_defbool_setdefault(&b->arch_x86.msr_relaxed, false);
    if (b->timer_mode == LIBXL_TIMER_MODE_UNKNOWN)
        b->timer_mode = LIBXL_TIMER_MODE_NO_DELAY_FOR_MISSED_TICKS;
    if (b->device_model_version == LIBXL_DEVICE_MODEL_VERSION_UNKNOWN)
        b->device_model_version = LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN;
    if (!b->event_channels)
        b->event_channels = DEFAULT_EVENT_CHANNELS;
    if (b->max_grant_version == -1)
        b->max_grant_version = phys->cap_gnttab_v2 ? 2 : phys->cap_gnttab_v1 ? 1 : 0;
    if (libxl_defbool_val(b->nested_hvm) || b->altp2m || b->num_vnuma_nodes ||
        libxl_defbool_val(b->vpmu)) {
        LX_LOG(ERROR, "%s not offered by this build",
               b->num_vnuma_nodes ? "virtual NUMA is" : b->altp2m ? "altp2m is" :
               libxl_defbool_val(b->vpmu) ? "vpmu is" : "nested virtualisation is");
        return ERROR_INVAL;
    }
    if (b->num_ioports || b->num_irqs || b->num_iomem) {
        LX_LOG(ERROR, "a guest cannot be given the host's I/O ports, interrupts or I/O memory");
        return ERROR_INVAL;
    }
    return 0;
}

static int refuse_devices(struct lx_gc *gc, const libxl_domain_config *c)
{
    const struct {
        int n;
        const char *what;
    } lists[] = {
        { c->num_disks, "disk" },       { c->num_nics, "vif" },       { c->num_pcidevs, "pci" },
        { c->num_rdms, "rdm" },         { c->num_dtdevs, "dtdev" },   { c->num_vfbs, "vfb" },
        { c->num_vkbs, "vkb" },         { c->num_vtpms, "vtpm" },     { c->num_p9s, "p9" },
        { c->num_pvcallsifs, "pvcalls" }, { c->num_vdispls, "vdispl" }, { c->num_vsnds, "vsnd" },
        { c->num_channels, "channel" }, { c->num_usbctrls, "usbctrl" },
        { c->num_usbdevs, "usbdev" },
    };

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (lists[i].n) {
            LX_LOG(ERROR, "%s devices need a backend, and this build has none yet", lists[i].what);
            return ERROR_NI;
        }
    }
    return 0;
}

int lx_config_setdefault(struct lx_gc *gc, libxl_domain_config *config)
{
    libxl_domain_build_info *b = &config->b_info;
    libxl_physinfo phys;
    int rc;

    libxl_physinfo_init(&phys);
    rc = libxl_get_physinfo(gc->ctx, &phys);
    if (!rc)
        rc = libxl__domain_build_info_copy_deprecated(gc->ctx, b);
    if (!rc)
        rc = c_info_setdefault(gc, &config->c_info, &phys);
    if (rc)
        goto out;
    if (b->type == LIBXL_DOMAIN_TYPE_INVALID)
        libxl_domain_build_info_init_type(b, config->c_info.type);
    if (b->type != config->c_info.type) {
        LX_LOG(ERROR, "c_info says the type is %s, b_info %s",
               libxl_domain_type_to_string(config->c_info.type),
               libxl_domain_type_to_string(b->type));
        rc = ERROR_INVAL;
        goto out;
    }
    rc = refuse_devices(gc, config);
    if (!rc)
        rc = b_info_setdefault(gc, b, &phys);
 out:
    libxl_physinfo_dispose(&phys);
    return rc;
}
