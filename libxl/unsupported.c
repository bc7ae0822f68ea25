/* SPDX-License-Identifier: MIT */
/*
 * What the interface has and this build does not do. Each says so in the log and fails; none of
 * them pretends. A function leaves this file when it becomes true.
 */
#include <stdlib.h>

#include "libxl/ao.h"
#include "libxl/log.h"

#include <libxl_utils.h>

static int refuse(libxl_ctx *ctx, uint32_t domid, const char *what)
{
    LX_LOGX(ctx, ERROR, -1, domid, "%s: not offered by this build", what);
    return ERROR_NI;
}

/* ---- devices without a backend */

#define ONE(type, verb)                                                                       \
    int libxl_device_##type##_##verb(libxl_ctx *ctx, uint32_t domid, libxl_device_##type *dev, \
                                     const libxl_asyncop_how *how)                            \
    {                                                                                         \
        return refuse(ctx, domid, #verb " " #type);                                           \
    }
#define REMOVE(type) ONE(type, remove) ONE(type, destroy)
#define ALL(type) ONE(type, add) REMOVE(type)
ALL(disk) ALL(nic) ALL(vtpm) ALL(vdispl) ALL(vsnd) ALL(vkb) ALL(usbctrl) ALL(vfb) ALL(pci)
REMOVE(p9) REMOVE(pvcallsif)
ONE(disk, safe_remove)
ONE(usbdev, add) ONE(usbdev, remove)

int libxl_cdrom_insert(libxl_ctx *ctx, uint32_t domid, libxl_device_disk *disk,
                       const libxl_asyncop_how *how)
{
    return refuse(ctx, domid, "insert a CD");
}

int libxl_device_events_handler(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
    return refuse(ctx, LX_NO_DOMID, "serve as a driver domain");
}

/* There can be none of these: an empty list is the truth. */
#define LIST_OF_NONE(type)                                                             \
    libxl_device_##type *libxl_device_##type##_list(libxl_ctx *ctx, uint32_t domid, int *num) \
    {                                                                                  \
        *num = 0;                                                                      \
        return NULL;                                                                   \
    }                                                                                  \
    void libxl_device_##type##_list_free(libxl_device_##type *list, int num)           \
    {                                                                                  \
        for (int i = 0; list && i < num; i++)                                          \
            libxl_device_##type##_dispose(&list[i]);                                   \
        free(list);                                                                    \
    }
LIST_OF_NONE(vtpm) LIST_OF_NONE(vdispl) LIST_OF_NONE(vsnd) LIST_OF_NONE(vkb)
LIST_OF_NONE(usbctrl) LIST_OF_NONE(usbdev) LIST_OF_NONE(pci)

libxl_device_channel *libxl_device_channel_list(libxl_ctx *ctx, uint32_t domid, int *num)
{
    *num = 0;
    return NULL;
}

libxl_device_pci *libxl_device_pci_assignable_list(libxl_ctx *ctx, int *num)
{
    *num = 0;
    return NULL;
}

void libxl_device_pci_assignable_list_free(libxl_device_pci *list, int num)
{
    libxl_device_pci_list_free(list, num);
}

int libxl_device_pci_assignable_add(libxl_ctx *ctx, libxl_device_pci *pci, int rebind)
{
    return refuse(ctx, LX_NO_DOMID, "make a PCI device assignable");
}

int libxl_device_pci_assignable_remove(libxl_ctx *ctx, libxl_device_pci *pci, int rebind)
{
    return refuse(ctx, LX_NO_DOMID, "make a PCI device unassignable");
}

#define GETINFO_OF_NONE(type, info_t)                                                       \
    int libxl_device_##type##_getinfo(libxl_ctx *ctx, uint32_t domid,                       \
                                      const libxl_device_##type *dev, info_t *info)         \
    {                                                                                       \
        LX_LOGX(ctx, ERROR, -1, domid, "has no such " #type);                               \
        return ERROR_NOTFOUND;                                                              \
    }
GETINFO_OF_NONE(vtpm, libxl_vtpminfo) GETINFO_OF_NONE(vdispl, libxl_vdisplinfo)
GETINFO_OF_NONE(vsnd, libxl_vsndinfo) GETINFO_OF_NONE(vkb, libxl_vkbinfo)
GETINFO_OF_NONE(usbctrl, libxl_usbctrlinfo) GETINFO_OF_NONE(channel, libxl_channelinfo)

#define FIND_NONE(name, type, ...)                                                           \
    int name(libxl_ctx *ctx, uint32_t domid, __VA_ARGS__, libxl_device_##type *dev)          \
    {                                                                                        \
        libxl_device_##type##_init(dev);                                                     \
        LX_LOGX(ctx, ERROR, -1, domid, "has no such " #type);                                \
        return ERROR_NOTFOUND;                                                               \
    }
FIND_NONE(libxl_uuid_to_device_vtpm, vtpm, libxl_uuid *uuid)
FIND_NONE(libxl_devid_to_device_vtpm, vtpm, int devid)
FIND_NONE(libxl_devid_to_device_usbctrl, usbctrl, int devid)
FIND_NONE(libxl_devid_to_device_vkb, vkb, int devid)
FIND_NONE(libxl_devid_to_device_vdispl, vdispl, int devid)
FIND_NONE(libxl_devid_to_device_vsnd, vsnd, int devid)
FIND_NONE(libxl_ctrlport_to_device_usbdev, usbdev, int ctrl, int port)

/* ---- saving, restoring, dumping */

int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *d_config, uint32_t *domid,
                                int restore_fd, int send_back_fd,
                                const libxl_domain_restore_params *params,
                                const libxl_asyncop_how *ao_how,
                                const libxl_asyncprogress_how *aop_console_how)
{
    *domid = LX_NO_DOMID;
    return refuse(ctx, LX_NO_DOMID, "restore a domain");
}

int libxl_domain_soft_reset(libxl_ctx *ctx, libxl_domain_config *d_config, uint32_t domid,
                            const libxl_asyncop_how *ao_how,
                            const libxl_asyncprogress_how *aop_console_how)
{
    return refuse(ctx, domid, "soft reset");
}

int libxl_domain_suspend(libxl_ctx *ctx, uint32_t domid, int fd, int flags,
                         const libxl_asyncop_how *ao_how)
{
    return refuse(ctx, domid, "save");
}

int libxl_domain_suspend_only(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    return refuse(ctx, domid, "suspend");
}

int libxl_domain_resume(libxl_ctx *ctx, uint32_t domid, int suspend_cancel,
                        const libxl_asyncop_how *ao_how)
{
    return refuse(ctx, domid, "resume");
}

int libxl_domain_remus_start(libxl_ctx *ctx, libxl_domain_remus_info *info, uint32_t domid,
                             int send_fd, int recv_fd, const libxl_asyncop_how *ao_how)
{
    return refuse(ctx, domid, "remus");
}

int libxl_qemu_monitor_command(libxl_ctx *ctx, uint32_t domid, const char *command_line,
                               char **output, const libxl_asyncop_how *ao_how)
{
    return refuse(ctx, domid, "QEMU monitor (no guest has a device model)");
}

/* ---- the hypervisor */

int libxl_set_parameters(libxl_ctx *ctx, char *params)
{
    return refuse(ctx, LX_NO_DOMID, "set hypervisor parameters");
}

int libxl_flask_context_to_sid(libxl_ctx *ctx, char *buf, size_t len, uint32_t *ssidref)
{
    return refuse(ctx, LX_NO_DOMID, "security labels");
}

int libxl_flask_sid_to_context(libxl_ctx *ctx, uint32_t ssidref, char **buf, size_t *len)
{
    return refuse(ctx, LX_NO_DOMID, "security labels");
}

int libxl_flask_getenforce(libxl_ctx *ctx)
{
    return refuse(ctx, LX_NO_DOMID, "a security policy");
}

int libxl_flask_setenforce(libxl_ctx *ctx, int mode)
{
    return refuse(ctx, LX_NO_DOMID, "a security policy");
}

int libxl_flask_loadpolicy(libxl_ctx *ctx, void *policy, uint32_t size)
{
    return refuse(ctx, LX_NO_DOMID, "a security policy");
}

/* ---- cache monitoring and allocation: a matter of the host's processor, which is not ours */

#define PSR(name, ...)                                                        \
    int libxl_psr_##name(libxl_ctx *ctx, __VA_ARGS__)                         \
    {                                                                         \
        return refuse(ctx, LX_NO_DOMID, "platform shared resources");         \
    }
PSR(cmt_attach, uint32_t domid)
PSR(cmt_detach, uint32_t domid)
PSR(cmt_get_total_rmid, uint32_t *total_rmid)
PSR(cmt_get_l3_cache_size, uint32_t socketid, uint32_t *l3_cache_size)
PSR(cmt_get_cache_occupancy, uint32_t domid, uint32_t socketid, uint32_t *l3_cache_occupancy)
PSR(cmt_get_sample, uint32_t domid, libxl_psr_cmt_type type, uint64_t scope, uint64_t *sample_r,
    uint64_t *tsc_r)
PSR(cat_set_cbm, uint32_t domid, libxl_psr_cbm_type type, libxl_bitmap *target_map, uint64_t cbm)
PSR(cat_get_cbm, uint32_t domid, libxl_psr_cbm_type type, uint32_t target, uint64_t *cbm_r)
PSR(cat_get_info, libxl_psr_cat_info **info, unsigned int *nr, unsigned int lvl)
PSR(cat_get_l3_info, libxl_psr_cat_info **info, int *nr)
PSR(set_val, uint32_t domid, libxl_psr_type type, libxl_bitmap *target_map, uint64_t val)
PSR(get_val, uint32_t domid, libxl_psr_type type, unsigned int target, uint64_t *val)
PSR(get_hw_info, libxl_psr_feat_type type, unsigned int lvl, unsigned int *nr,
    libxl_psr_hw_info **info)

/* Questions with a true answer. */
int libxl_psr_cmt_domain_attached(libxl_ctx *ctx, uint32_t domid)
{
    return 0;
}

int libxl_psr_cmt_enabled(libxl_ctx *ctx)
{
    return 0;
}

int libxl_psr_cmt_type_supported(libxl_ctx *ctx, libxl_psr_cmt_type type)
{
    return 0;
}

void libxl_psr_cat_info_list_free(libxl_psr_cat_info *list, int nr)
{
    for (int i = 0; list && i < nr; i++)
        libxl_psr_cat_info_dispose(&list[i]);
    free(list);
}

void libxl_psr_hw_info_list_free(libxl_psr_hw_info *list, unsigned int nr)
{
    for (unsigned i = 0; list && i < nr; i++)
        libxl_psr_hw_info_dispose(&list[i]);
    free(list);
}
