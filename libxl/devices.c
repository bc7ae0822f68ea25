/* SPDX-License-Identifier: MIT */
/*
 * Devices as the store tells of them. libxl's notes (/libxl/N/device/KIND/ID) say where a device's
 * backend is; a guest can write neither those nor the backend's nodes.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "libxl/domain.h"

#include <libxl_utils.h>

/* ---- walking the notes */

/* kind as in /libxl: vbd, vif. In gc; *n paths of notes. */
static const char **notes_of(struct lx_gc *gc, uint32_t domid, const char *kind, unsigned *n)
{
    const char *dir = lx_sprintf(gc, "%s/device/%s", lx_libxl_path(gc, domid), kind);
    char **ids = lx_xs_dir(gc, dir, n);
    const char **paths = LX_ARRAY_NEW(gc, const char *, *n);

    for (unsigned i = 0; i < *n; i++)
        paths[i] = lx_sprintf(gc, "%s/%s", dir, ids[i]);
    return paths;
}

static const char *note_value(struct lx_gc *gc, const char *note, const char *name)
{
    return lx_xs_peek(gc, lx_sprintf(gc, "%s/%s", note, name));
}

static uint32_t backend_domid(const char *backend)
{
    unsigned domid = 0;

    if (backend)
        sscanf(backend, "/local/domain/%u/", &domid);
    return domid;
}

static int devid_of(const char *note)
{
    return atoi(strrchr(note, '/') + 1);
}

static int int_value(struct lx_gc *gc, const char *dir, const char *name, int missing)
{
    const char *s = dir ? note_value(gc, dir, name) : NULL;

    return s ? atoi(s) : missing;
}

/* ---- disks */

/* params is FORMAT:PATH of a qdisk or tap, or just a path. */
static void split_params(const char *params, libxl_device_disk *disk)
{
    const char *colon = strchr(params, ':');
    char format[16];

    if (colon && colon - params < (long)sizeof(format)) {
        snprintf(format, sizeof(format), "%.*s", (int)(colon - params), params);
        if (!strcmp(format, "aio"))
            snprintf(format, sizeof(format), "raw");
        if (!libxl_disk_format_from_string(format, &disk->format))
            params = colon + 1;
    }
    disk->pdev_path = lx_strdup(NULL, params);
}

static void fill_in_disk(struct lx_gc *gc, const char *note, libxl_device_disk *disk)
{
    const char *back = note_value(gc, note, "backend"), *s;

    libxl_device_disk_init(disk);
    disk->backend_domid = backend_domid(back);
    s = note_value(gc, note, "params");
    if (s && *s)
        split_params(s, disk);
    s = note_value(gc, note, "type");
    if (s)
        libxl_string_to_backend(gc->ctx, (char *)s, &disk->backend);
    disk->vdev = lx_strdup(NULL, note_value(gc, note, "dev"));
    disk->removable = int_value(gc, note, "removable", 0);
    s = note_value(gc, note, "mode");
    disk->readwrite = s && *s == 'w';
    s = note_value(gc, note, "device-type");
    disk->is_cdrom = s && !strcmp(s, "cdrom");
    if (disk->is_cdrom && !disk->pdev_path)
        disk->format = LIBXL_DISK_FORMAT_EMPTY;
    else if (disk->format == LIBXL_DISK_FORMAT_UNKNOWN)
        disk->format = LIBXL_DISK_FORMAT_RAW;
}

libxl_device_disk *libxl_device_disk_list(libxl_ctx *ctx, uint32_t domid, int *num)
{
    LX_GC(ctx);
    unsigned n;
    const char **notes = notes_of(gc, domid, "vbd", &n);
    libxl_device_disk *list = n ? LX_ARRAY_NEW(NULL, libxl_device_disk, n) : NULL;

    for (unsigned i = 0; i < n; i++)
        fill_in_disk(gc, notes[i], &list[i]);
    *num = (int)n;
    return list;
}

void libxl_device_disk_list_free(libxl_device_disk *list, int num)
{
    for (int i = 0; list && i < num; i++)
        libxl_device_disk_dispose(&list[i]);
    free(list);
}

int libxl_vdev_to_device_disk(libxl_ctx *ctx, uint32_t domid, const char *vdev,
                              libxl_device_disk *disk)
{
    int n, rc = ERROR_FAIL;
    libxl_device_disk *list = libxl_device_disk_list(ctx, domid, &n);

    libxl_device_disk_init(disk);
    for (int i = 0; rc && i < n; i++) {
        if (list[i].vdev && !strcmp(list[i].vdev, vdev)) {
            libxl_device_disk_copy(ctx, disk, &list[i]);
            rc = 0;
        }
    }
    libxl_device_disk_list_free(list, n);
    return rc;
}

/* What every _getinfo tells; paths become the caller's. */
#define FILL_IN_INFO(gc, note, info)                                                       \
    do {                                                                                   \
        const char *back_ = note_value(gc, note, "backend");                               \
        const char *front_ = note_value(gc, note, "frontend");                             \
                                                                                           \
        (info)->backend = lx_strdup(NULL, back_);                                          \
        (info)->backend_id = backend_domid(back_);                                         \
        (info)->frontend = lx_strdup(NULL, front_);                                        \
        (info)->frontend_id = (uint32_t)int_value(gc, note, "frontend-id", 0);             \
        (info)->state = int_value(gc, front_, "state", -1);                                \
        (info)->evtch = int_value(gc, front_, "event-channel", -1);                        \
    } while (0)

int libxl_device_disk_getinfo(libxl_ctx *ctx, uint32_t domid, const libxl_device_disk *disk,
                              libxl_diskinfo *info)
{
    LX_GC(ctx);
    unsigned n;
    const char **notes = notes_of(gc, domid, "vbd", &n);

    libxl_diskinfo_init(info);
    for (unsigned i = 0; i < n; i++) {
        const char *dev = note_value(gc, notes[i], "dev");

        if (!dev || !disk->vdev || strcmp(dev, disk->vdev))
            continue;
        FILL_IN_INFO(gc, notes[i], info);
        info->devid = devid_of(notes[i]);
        info->rref = int_value(gc, info->frontend, "ring-ref", -1);
        return 0;
    }
    LX_LOGD(ERROR, domid, "has no disk %s", disk->vdev ? disk->vdev : "");
    return ERROR_FAIL;
}

/* ---- network interfaces */

static void parse_mac(const char *s, libxl_mac mac)
{
    if (sscanf(s, LIBXL_MAC_FMT, &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) != 6)
        memset(mac, 0, sizeof(libxl_mac));
}

static void fill_in_nic(struct lx_gc *gc, const char *note, libxl_device_nic *nic)
{
    const char *s = note_value(gc, note, "mac");

    libxl_device_nic_init(nic);
    nic->backend_domid = backend_domid(note_value(gc, note, "backend"));
    nic->devid = devid_of(note);
    nic->mtu = int_value(gc, note, "mtu", 0);
    if (s)
        parse_mac(s, nic->mac);
    nic->ip = lx_strdup(NULL, note_value(gc, note, "ip"));
    nic->bridge = lx_strdup(NULL, note_value(gc, note, "bridge"));
    nic->script = lx_strdup(NULL, note_value(gc, note, "script"));
    nic->ifname = lx_strdup(NULL, note_value(gc, note, "vifname"));
    nic->nictype = LIBXL_NIC_TYPE_VIF;
}

libxl_device_nic *libxl_device_nic_list(libxl_ctx *ctx, uint32_t domid, int *num)
{
    LX_GC(ctx);
    unsigned n;
    const char **notes = notes_of(gc, domid, "vif", &n);
    libxl_device_nic *list = n ? LX_ARRAY_NEW(NULL, libxl_device_nic, n) : NULL;

    for (unsigned i = 0; i < n; i++)
        fill_in_nic(gc, notes[i], &list[i]);
    *num = (int)n;
    return list;
}

void libxl_device_nic_list_free(libxl_device_nic *list, int num)
{
    for (int i = 0; list && i < num; i++)
        libxl_device_nic_dispose(&list[i]);
    free(list);
}

static int find_nic(libxl_ctx *ctx, uint32_t domid, const libxl_mac *mac, int devid,
                    libxl_device_nic *nic)
{
    int n, rc = ERROR_INVAL;
    libxl_device_nic *list = libxl_device_nic_list(ctx, domid, &n);

    libxl_device_nic_init(nic);
    for (int i = 0; rc && i < n; i++) {
        if (mac ? !memcmp(list[i].mac, mac, sizeof(*mac)) : list[i].devid == devid) {
            libxl_device_nic_copy(ctx, nic, &list[i]);
            rc = 0;
        }
    }
    libxl_device_nic_list_free(list, n);
    return rc;
}

int libxl_mac_to_device_nic(libxl_ctx *ctx, uint32_t domid, const char *mac, libxl_device_nic *nic)
{
    libxl_mac m;
    int end = 0;

    if (sscanf(mac, LIBXL_MAC_FMT "%n", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5], &end) != 6 ||
        mac[end])
        return ERROR_INVAL;
    return find_nic(ctx, domid, (const libxl_mac *)&m, 0, nic);
}

int libxl_devid_to_device_nic(libxl_ctx *ctx, uint32_t domid, int devid, libxl_device_nic *nic)
{
    return find_nic(ctx, domid, NULL, devid, nic);
}

int libxl_device_nic_getinfo(libxl_ctx *ctx, uint32_t domid, const libxl_device_nic *nic,
                             libxl_nicinfo *info)
{
    LX_GC(ctx);
    const char *note = lx_sprintf(gc, "%s/device/vif/%d", lx_libxl_path(gc, domid), nic->devid);

    libxl_nicinfo_init(info);
    if (!note_value(gc, note, "backend")) {
        LX_LOGD(ERROR, domid, "has no vif %d", nic->devid);
        return ERROR_FAIL;
    }
    FILL_IN_INFO(gc, note, info);
    info->devid = nic->devid;
    info->rref_tx = int_value(gc, info->frontend, "tx-ring-ref", -1);
    info->rref_rx = int_value(gc, info->frontend, "rx-ring-ref", -1);
    return 0;
}
