/* SPDX-License-Identifier: MIT */
/*
 * Helpers around libxl.h: names and ids, whole-file I/O, bitmaps, and finding a device in a list.
 *
 * Unless said otherwise functions return 0 or a negative libxl_error, and what a char ** or a
 * filled-in struct receives belongs to the caller (free(), the type's _dispose).
 */
#ifndef LIBXL_UTILS_H
#define LIBXL_UTILS_H

#include <libxl.h>

/* ---- names and ids */

/* The part of name after its last '/', in memory the caller frees; NULL only for lack of memory. */
char *libxl_basename(const char *name);
/* Shadow or HAP pool to give a domain, in KiB: 1 MiB per vCPU, 8 bytes per 4 KiB page, and page
 * tables. */
unsigned long libxl_get_required_shadow_memory(unsigned long maxmem_kb, unsigned int smp_cpus);
/* ERROR_INVAL if no domain has that name. */
int libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid);
/* As above, but a string of digits is taken as a domid without looking whether it exists. */
int libxl_domain_qualifier_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid);
/* NULL if there is no such domain. Caller frees. */
char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid);
/* was_name_r may be NULL; it tells whether p was a name rather than a number. */
int libxl_cpupool_qualifier_to_cpupoolid(libxl_ctx *ctx, const char *p, uint32_t *poolid_r,
                                         int *was_name_r);
int libxl_name_to_cpupoolid(libxl_ctx *ctx, const char *name, uint32_t *poolid);
char *libxl_cpupoolid_to_name(libxl_ctx *ctx, uint32_t poolid);
/* Not 0 if the pool exists. */
int libxl_cpupoolid_is_valid(libxl_ctx *ctx, uint32_t poolid);
/* The domid of a guest's device model domain, 0 if it has none. */
int libxl_get_stubdom_id(libxl_ctx *ctx, int guest_domid);
/* 1 if domid is some guest's device model domain; target_domid (may be NULL) is that guest. */
int libxl_is_stubdom(libxl_ctx *ctx, uint32_t domid, uint32_t *target_domid);
/* Makes room for (rotates) NAME.log in Xen's log directory; the caller frees *full_name. */
int libxl_create_logfile(libxl_ctx *ctx, const char *name, char **full_name);
int libxl_string_to_backend(libxl_ctx *ctx, char *s, libxl_disk_backend *backend);

/* ---- files and descriptors */

/* Returns 0, or an errno value (without logging ENOENT). *data_r (may be NULL) is malloc'd. */
int libxl_read_file_contents(libxl_ctx *ctx, const char *filename, void **data_r, int *datalen_r);
/* Exactly sz bytes or an errno value, EPROTO at end of file. filename and what are for the log. */
int libxl_read_exactly(libxl_ctx *ctx, int fd, void *data, ssize_t sz, const char *filename,
                       const char *what);
int libxl_write_exactly(libxl_ctx *ctx, int fd, const void *data, ssize_t sz, const char *filename,
                        const char *what);
int libxl_pipe(libxl_ctx *ctx, int pipes[2]);
/* Logs how a child ended; what names it. */
void libxl_report_child_exitstatus(libxl_ctx *ctx, xentoollog_level level, const char *what,
                                   pid_t pid, int status);

/* ---- one device out of a domain's; ERROR_INVAL or ERROR_NOTFOUND if there is none */

int libxl_mac_to_device_nic(libxl_ctx *ctx, uint32_t domid, const char *mac, libxl_device_nic *nic);
int libxl_devid_to_device_nic(libxl_ctx *ctx, uint32_t domid, int devid, libxl_device_nic *nic);
int libxl_vdev_to_device_disk(libxl_ctx *ctx, uint32_t domid, const char *vdev,
                              libxl_device_disk *disk);
int libxl_uuid_to_device_vtpm(libxl_ctx *ctx, uint32_t domid, libxl_uuid *uuid,
                              libxl_device_vtpm *vtpm);
int libxl_devid_to_device_vtpm(libxl_ctx *ctx, uint32_t domid, int devid, libxl_device_vtpm *vtpm);
int libxl_devid_to_device_usbctrl(libxl_ctx *ctx, uint32_t domid, int devid,
                                  libxl_device_usbctrl *usbctrl);
int libxl_devid_to_device_vkb(libxl_ctx *ctx, uint32_t domid, int devid, libxl_device_vkb *vkb);
int libxl_devid_to_device_vdispl(libxl_ctx *ctx, uint32_t domid, int devid,
                                 libxl_device_vdispl *vdispl);
int libxl_devid_to_device_vsnd(libxl_ctx *ctx, uint32_t domid, int devid, libxl_device_vsnd *vsnd);
int libxl_ctrlport_to_device_usbdev(libxl_ctx *ctx, uint32_t domid, int ctrl, int port,
                                    libxl_device_usbdev *usbdev);

/* ---- bitmaps: bit n is bit n%8 of byte n/8; bits past the end read as 0 */

/* Room for n_bits, all clear, rounded up to whole bytes. */
int libxl_bitmap_alloc(libxl_ctx *ctx, libxl_bitmap *bitmap, int n_bits);
void libxl_bitmap_copy_alloc(libxl_ctx *ctx, libxl_bitmap *dptr, const libxl_bitmap *sptr);
/* Both must be of one size. */
void libxl_bitmap_copy(libxl_ctx *ctx, libxl_bitmap *dptr, const libxl_bitmap *sptr);
int libxl_bitmap_is_full(const libxl_bitmap *bitmap);
int libxl_bitmap_is_empty(const libxl_bitmap *bitmap);
int libxl_bitmap_test(const libxl_bitmap *bitmap, int bit);
/* Bits outside the map are left alone. */
void libxl_bitmap_set(libxl_bitmap *bitmap, int bit);
void libxl_bitmap_reset(libxl_bitmap *bitmap, int bit);
int libxl_bitmap_count_set(const libxl_bitmap *bitmap);
/* The result is allocated, as large as the larger (or) or the smaller (and) argument; it may be
 * one of them. */
int libxl_bitmap_or(libxl_ctx *ctx, libxl_bitmap *or_map, const libxl_bitmap *map1,
                    const libxl_bitmap *map2);
int libxl_bitmap_and(libxl_ctx *ctx, libxl_bitmap *and_map, const libxl_bitmap *map1,
                     const libxl_bitmap *map2);
/* Most significant digit first, "0x..."; caller frees. */
char *libxl_bitmap_to_hex_string(libxl_ctx *ctx, const libxl_bitmap *bitmap);

static inline void libxl_bitmap_set_any(libxl_bitmap *bitmap)
{
    memset(bitmap->map, -1, bitmap->size);
}

static inline void libxl_bitmap_set_none(libxl_bitmap *bitmap)
{
    memset(bitmap->map, 0, bitmap->size);
}

static inline int libxl_bitmap_cpu_valid(libxl_bitmap *bitmap, int bit)
{
    return bit >= 0 && (uint32_t)bit < bitmap->size * 8;
}

#define libxl_for_each_bit(var, map) for (var = 0; var < (map).size * 8; var++)
#define libxl_for_each_set_bit(v, m)         \
    for (v = 0; v < (m).size * 8; v++)       \
        if (libxl_bitmap_test(&(m), v))

/* Compares the first nr_bits, or all with 0; missing bits count as clear. */
static inline int libxl_bitmap_equal(const libxl_bitmap *ba, const libxl_bitmap *bb, int nr_bits)
{
    if (nr_bits == 0)
        nr_bits = (ba->size > bb->size ? ba->size : bb->size) * 8;
    for (int i = 0; i < nr_bits; i++)
        if (libxl_bitmap_test(ba, i) != libxl_bitmap_test(bb, i))
            return 0;
    return 1;
}

/* A map for the host's CPUs, nodes, sockets; a maximum of 0 means "as many as the host has". */
int libxl_cpu_bitmap_alloc(libxl_ctx *ctx, libxl_bitmap *cpumap, int max_cpus);
int libxl_node_bitmap_alloc(libxl_ctx *ctx, libxl_bitmap *nodemap, int max_nodes);
int libxl_socket_bitmap_alloc(libxl_ctx *ctx, libxl_bitmap *socketmap, int max_sockets);
int libxl_get_online_socketmap(libxl_ctx *ctx, libxl_bitmap *socketmap);
int libxl_nodemap_to_cpumap(libxl_ctx *ctx, const libxl_bitmap *nodemap, libxl_bitmap *cpumap);
int libxl_node_to_cpumap(libxl_ctx *ctx, int node, libxl_bitmap *cpumap);
int libxl_cpumap_to_nodemap(libxl_ctx *ctx, const libxl_bitmap *cpumap, libxl_bitmap *nodemap);

static inline uint32_t libxl__sizekb_to_mb(uint32_t s)
{
    return (s + 1023) / 1024;
}

/* *dst becomes a copy, NULL for NULL. */
void libxl_string_copy(libxl_ctx *ctx, char **dst, char *const *src);

#define LIBXL_FILLZERO(object) (memset(&(object), 0, sizeof((object))))

#endif
