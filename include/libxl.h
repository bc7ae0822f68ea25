/* SPDX-License-Identifier: MIT */
/*
 * libxl: the toolstack interface, source and binary compatible with Xen 4.17's libxenlight.
 *
 * Conventions. Functions return 0 or a negative libxl_error; details go to the logger given to
 * libxl_ctx_alloc(). Types come with TYPE_init (every field at "choose for me"), TYPE_dispose
 * (frees what hangs on it; harmless twice), TYPE_copy, TYPE_to_json and TYPE_from_json; see
 * _libxl_types.h for all of them. What a function returns through char ** or as an array belongs to
 * the caller: free() or the matching _list_free().
 *
 * Slow calls take a libxl_asyncop_how. NULL: the call returns when all is done. Else it returns 0
 * as soon as the work has begun, and the outcome is given to how's callback, or without a callback
 * is queued as an OPERATION_COMPLETE event (libxl_event.h says how libxl then gets to run).
 *
 * A ctx may be used by several threads. Never: reads the program's configuration files, prints, or
 * exits; keeps state outside the ctx, except for the SIGCHLD handler it may have to install.
 */
#ifndef LIBXL_H
#define LIBXL_H

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <xentoollog.h>

typedef struct libxl__ctx libxl_ctx;

#include <libxl_have.h>
#include <libxl_uuid.h>

/* Of the older interface levels (0xVVSSEE), those since 4.5 are offered; see libxl_compat.h. */
#ifdef LIBXL_API_VERSION
#if LIBXL_API_VERSION != 0x040500 && LIBXL_API_VERSION != 0x040700 && \
    LIBXL_API_VERSION != 0x040800 && LIBXL_API_VERSION != 0x041300 && \
    LIBXL_API_VERSION != 0x041400
#error unsupported LIBXL_API_VERSION
#endif
#endif

/* Marks what callbacks out of libxl must think about before calling; libxl's own files redefine
 * it. */
#ifndef LIBXL_EXTERNAL_CALLERS_ONLY
#define LIBXL_EXTERNAL_CALLERS_ONLY
#endif

/* ---- built-in types */

typedef uint8_t libxl_mac[6];
#define LIBXL_MAC_FMT "%02hhx:%02hhx:%02hhx:%02hhx:%02hhx:%02hhx"
#define LIBXL_MAC_FMTLEN ((2 * 6) + 5)
#define LIBXL_MAC_BYTES(mac) mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]
void libxl_mac_copy(libxl_ctx *ctx, libxl_mac *dst, const libxl_mac *src);

/* Strings, ended by NULL; NULL is the empty list. */
typedef char **libxl_string_list;
void libxl_string_list_dispose(libxl_string_list *sl);
int libxl_string_list_length(const libxl_string_list *sl);
void libxl_string_list_copy(libxl_ctx *ctx, libxl_string_list *dst, const libxl_string_list *src);

/* key, value, key, value, ..., NULL. A value may be NULL. The length counts pairs. */
typedef char **libxl_key_value_list;
void libxl_key_value_list_dispose(libxl_key_value_list *kvl);
int libxl_key_value_list_length(const libxl_key_value_list *kvl);
void libxl_key_value_list_copy(libxl_ctx *ctx, libxl_key_value_list *dst,
                               const libxl_key_value_list *src);

/* CPU feature words of the host. */
typedef uint32_t libxl_hwcap[8];
void libxl_hwcap_copy(libxl_ctx *ctx, libxl_hwcap *dst, const libxl_hwcap *src);

typedef uint64_t libxl_ev_user;

typedef struct {
    uint32_t size; /* bytes in map */
    uint8_t *map;
} libxl_bitmap;
void libxl_bitmap_init(libxl_bitmap *map);
void libxl_bitmap_dispose(libxl_bitmap *map);

/* CPUID and MSR adjustments, made by libxl_cpuid_parse_config(). */
struct libxl__cpu_policy;
typedef struct libxl__cpu_policy *libxl_cpuid_policy_list;
void libxl_cpuid_dispose(libxl_cpuid_policy_list *list);
int libxl_cpuid_policy_list_length(const libxl_cpuid_policy_list *list);
void libxl_cpuid_policy_list_copy(libxl_ctx *ctx, libxl_cpuid_policy_list *dst,
                                  const libxl_cpuid_policy_list *src);

#define LIBXL_PCI_FUNC_ALL (~0U)

typedef uint32_t libxl_domid;
typedef int libxl_devid;

/* Ended by s == NULL. */
typedef struct {
    const char *s;
    int v;
} libxl_enum_string_table;

struct libxl_event;
/* How libxl keeps events in its queue; nothing for programs. */
typedef struct {
    struct libxl_event *tqe_next;
    struct libxl_event **tqe_prev;
} libxl_ev_link;

/* A yes, a no, or the default. val is private. */
typedef struct {
    int val;
} libxl_defbool;
void libxl_defbool_set(libxl_defbool *db, bool b);
void libxl_defbool_unset(libxl_defbool *db);
/* Sets it only if it is at the default. */
void libxl_defbool_setdefault(libxl_defbool *db, bool b);
bool libxl_defbool_is_default(libxl_defbool db);
/* Must not be at the default. */
bool libxl_defbool_val(libxl_defbool db);
/* "<default>", "False", "True". */
const char *libxl_defbool_to_string(libxl_defbool b);

#define LIBXL_TIMER_MODE_DEFAULT -1
#define LIBXL_MEMKB_DEFAULT ~0ULL
#define LIBXL_MAX_GRANT_DEFAULT (~(uint32_t)0)
#define LIBXL_MAX_GRANT_FRAMES_DEFAULT 32
#define LIBXL_MAX_MAPTRACK_FRAMES_DEFAULT 1024
#define LIBXL_RDM_MEM_BOUNDARY_MEMKB_DEFAULT (2048 * 1024)
#define LIBXL_MS_VM_GENID_LEN 16
typedef struct {
    uint8_t bytes[LIBXL_MS_VM_GENID_LEN];
} libxl_ms_vm_genid;

#include <_libxl_types.h>

/* ---- the context */

#define LIBXL_VERSION 0

/* version: LIBXL_VERSION. flags: 0. lg must outlive the ctx. ERROR_VERSION, or ERROR_FAIL if the
 * hypervisor's core cannot be reached (xenstore is only opened when first used). */
int libxl_ctx_alloc(libxl_ctx **pctx, int version, unsigned flags, xentoollog_logger *lg);
/* NULL is allowed. No operation may be under way. */
int libxl_ctx_free(libxl_ctx *ctx);

/* ---- asynchronous calls */

typedef struct {
    void (*callback)(libxl_ctx *ctx, int rc, void *for_callback);
    union {
        libxl_ev_user for_event; /* used if callback is NULL */
        void *for_callback;
    } u;
} libxl_asyncop_how;

typedef struct {
    void (*callback)(libxl_ctx *ctx, libxl_event *event, void *for_callback);
    libxl_ev_user for_event; /* used if callback is NULL */
    void *for_callback;
} libxl_asyncprogress_how;

/* Asks the operation begun with an equal *how to end early (ERROR_ABORTED); it may still succeed.
 * ERROR_NOTFOUND if there is none, ERROR_NI if it cannot be ended now. */
int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how) LIBXL_EXTERNAL_CALLERS_ONLY;

/* ---- a domain's life */

#define INVALID_DOMID ~0
#define RANDOM_DOMID (INVALID_DOMID - 1)

/* Builds the domain and leaves it paused; *domid tells its number (~0 if there is none). d_config's
 * defaults are filled in. aop_console_how, if not NULL, hears when the console can be attached.
 * On failure nothing of the domain is left. */
int libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *d_config, uint32_t *domid,
                            const libxl_asyncop_how *ao_how,
                            const libxl_asyncprogress_how *aop_console_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;
/* The same from a saved domain's stream. send_back_fd is for checkpointed streams, else -1. */
int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *d_config, uint32_t *domid,
                                int restore_fd, int send_back_fd,
                                const libxl_domain_restore_params *params,
                                const libxl_asyncop_how *ao_how,
                                const libxl_asyncprogress_how *aop_console_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_domain_soft_reset(libxl_ctx *ctx, libxl_domain_config *d_config, uint32_t domid,
                            const libxl_asyncop_how *ao_how,
                            const libxl_asyncprogress_how *aop_console_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;
void libxl_domain_config_init(libxl_domain_config *d_config);
void libxl_domain_config_dispose(libxl_domain_config *d_config);
/* The configuration the domain was made with, with what has changed since. d_config must be
 * initialised. */
int libxl_retrieve_domain_configuration(libxl_ctx *ctx, uint32_t domid,
                                        libxl_domain_config *d_config,
                                        const libxl_asyncop_how *ao_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;

#define LIBXL_SUSPEND_DEBUG 1
#define LIBXL_SUSPEND_LIVE 2
int libxl_domain_suspend(libxl_ctx *ctx, uint32_t domid, int fd, int flags,
                         const libxl_asyncop_how *ao_how) LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_domain_suspend_only(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_domain_resume(libxl_ctx *ctx, uint32_t domid, int suspend_cancel,
                        const libxl_asyncop_how *ao_how) LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_domain_remus_start(libxl_ctx *ctx, libxl_domain_remus_info *info, uint32_t domid,
                             int send_fd, int recv_fd, const libxl_asyncop_how *ao_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;

/* Ask the guest; they do not wait for it. ERROR_NOPARAVIRT if it cannot hear. */
int libxl_domain_shutdown(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_domain_reboot(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;
/* Removes the domain at once, with its store nodes and files. ERROR_DOMAIN_NOTFOUND. */
int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;
/* Renames a shut down domain to info->name plus name_suffix and gives it new_uuid, so that another
 * can take its name. */
int libxl_domain_preserve(libxl_ctx *ctx, uint32_t domid, libxl_domain_create_info *info,
                          const char *name_suffix, libxl_uuid new_uuid);
/* old_name NULL: whatever it is called now. ERROR_INVAL if new_name is taken or not a name. */
int libxl_domain_rename(libxl_ctx *ctx, uint32_t domid, const char *old_name,
                        const char *new_name);
int libxl_domain_pause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_domain_core_dump(libxl_ctx *ctx, uint32_t domid, const char *filename,
                           const libxl_asyncop_how *ao_how) LIBXL_EXTERNAL_CALLERS_ONLY;

/* ---- memory. All in KiB */

int libxl_domain_setmaxmem(libxl_ctx *ctx, uint32_t domid, uint64_t target_memkb);
/* relative: target_memkb is added to the present target. enforce: the limit follows as well. */
int libxl_set_memory_target(libxl_ctx *ctx, uint32_t domid, int64_t target_memkb, int relative,
                            int enforce);
int libxl_get_memory_target(libxl_ctx *ctx, uint32_t domid, uint64_t *out_target);
int libxl_get_memory_target_0x040700(libxl_ctx *ctx, uint32_t domid, uint32_t *out_target)
    LIBXL_EXTERNAL_CALLERS_ONLY;
/* What creating a domain from config would take. Fills in config's defaults. */
int libxl_domain_need_memory(libxl_ctx *ctx, libxl_domain_config *config,
                             uint32_t domid_for_logging, uint64_t *need_memkb);
int libxl_domain_need_memory_0x041200(libxl_ctx *ctx, const libxl_domain_build_info *b_info_in,
                                      uint64_t *need_memkb);
int libxl_domain_need_memory_0x040700(libxl_ctx *ctx, const libxl_domain_build_info *b_info_in,
                                      uint32_t *need_memkb) LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_get_free_memory(libxl_ctx *ctx, uint64_t *memkb);
int libxl_get_free_memory_0x040700(libxl_ctx *ctx, uint32_t *memkb) LIBXL_EXTERNAL_CALLERS_ONLY;
/* ERROR_NOMEM after wait_secs. */
int libxl_wait_for_free_memory(libxl_ctx *ctx, uint32_t domid, uint64_t memory_kb, int wait_secs);
int libxl_wait_for_memory_target(libxl_ctx *ctx, uint32_t domid, int wait_secs);

/* ---- consoles */

/* These replace the process; they return only on failure. A byte is written to notify_fd (-1: none)
 * once the console is attached. */
int libxl_vncviewer_exec(libxl_ctx *ctx, uint32_t domid, int autopass);
int libxl_console_exec(libxl_ctx *ctx, uint32_t domid, int cons_num, libxl_console_type type,
                       int notify_fd);
/* The console a user means: the PV console, of the stub domain's guest if need be. */
int libxl_primary_console_exec(libxl_ctx *ctx, uint32_t domid_vm, int notify_fd);
/* The terminal device behind a console. ERROR_FAIL while there is none. */
int libxl_console_get_tty(libxl_ctx *ctx, uint32_t domid, int cons_num, libxl_console_type type,
                          char **path);
int libxl_primary_console_get_tty(libxl_ctx *ctx, uint32_t domid_vm, char **path);

/* ---- what is there. Lists are NULL on failure */

/* ERROR_DOMAIN_NOTFOUND. info_r is initialised by this (and may be NULL). */
int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info_r, uint32_t domid);
libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *nb_domain_out);
void libxl_dominfo_list_free(libxl_dominfo *list, int nb_domain);
libxl_cpupoolinfo *libxl_list_cpupool(libxl_ctx *ctx, int *nb_pool_out);
void libxl_cpupoolinfo_list_free(libxl_cpupoolinfo *list, int nb_pool);
/* Domains other than dom0. */
libxl_vminfo *libxl_list_vm(libxl_ctx *ctx, int *nb_vm_out);
void libxl_vminfo_list_free(libxl_vminfo *list, int nb_vm);

/* Owned by the ctx, read once. NULL on failure. */
const libxl_version_info *libxl_get_version_info(libxl_ctx *ctx);
int libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *physinfo);
/* Numbers, or a negative libxl_error. */
int libxl_get_max_cpus(libxl_ctx *ctx);
int libxl_get_online_cpus(libxl_ctx *ctx);
int libxl_get_max_nodes(libxl_ctx *ctx);

#define LIBXL_CPUTOPOLOGY_INVALID_ENTRY (~(uint32_t)0)
libxl_cputopology *libxl_get_cpu_topology(libxl_ctx *ctx, int *nb_cpu_out);
void libxl_cputopology_list_free(libxl_cputopology *list, int nb_cpu);
#define LIBXL_PCITOPOLOGY_INVALID_ENTRY (~(uint32_t)0)
libxl_pcitopology *libxl_get_pci_topology(libxl_ctx *ctx, int *num_devs);
void libxl_pcitopology_list_free(libxl_pcitopology *list, int num_devs);
#define LIBXL_NUMAINFO_INVALID_ENTRY (~(uint32_t)0)
/* size and free in bytes. */
libxl_numainfo *libxl_get_numainfo(libxl_ctx *ctx, int *nr);
void libxl_numainfo_list_free(libxl_numainfo *list, int nr);
/* nr_cpus_out: how many bits the affinity maps have a meaning for. */
libxl_vcpuinfo *libxl_list_vcpu(libxl_ctx *ctx, uint32_t domid, int *nb_vcpu, int *nr_cpus_out);
void libxl_vcpuinfo_list_free(libxl_vcpuinfo *list, int nr_vcpus);

/* ---- devices */

/*
 * _add completes defaults in *dev. _remove asks the guest and waits; _destroy does not ask. _list
 * gives what the store says the domain has, NULL on failure or if there are none; _getinfo fills in
 * the live state of one.
 */
#define LIBXL__DEVICE_REMOVE(type)                                                       \
    int libxl_device_##type##_remove(libxl_ctx *ctx, uint32_t domid,                     \
                                     libxl_device_##type *dev,                           \
                                     const libxl_asyncop_how *ao_how)                    \
        LIBXL_EXTERNAL_CALLERS_ONLY;                                                     \
    int libxl_device_##type##_destroy(libxl_ctx *ctx, uint32_t domid,                    \
                                      libxl_device_##type *dev,                          \
                                      const libxl_asyncop_how *ao_how)                   \
        LIBXL_EXTERNAL_CALLERS_ONLY;
#define LIBXL__DEVICE_ADD(type)                                                          \
    int libxl_device_##type##_add(libxl_ctx *ctx, uint32_t domid,                        \
                                  libxl_device_##type *dev,                              \
                                  const libxl_asyncop_how *ao_how)                       \
        LIBXL_EXTERNAL_CALLERS_ONLY;
#define LIBXL__DEVICE_LIST(type)                                                         \
    libxl_device_##type *libxl_device_##type##_list(libxl_ctx *ctx, uint32_t domid,      \
                                                    int *num)                            \
        LIBXL_EXTERNAL_CALLERS_ONLY;                                                     \
    void libxl_device_##type##_list_free(libxl_device_##type *list, int num)             \
        LIBXL_EXTERNAL_CALLERS_ONLY;
#define LIBXL__DEVICE_GETINFO(type, infotype)                                            \
    int libxl_device_##type##_getinfo(libxl_ctx *ctx, uint32_t domid,                    \
                                      const libxl_device_##type *dev, infotype *info)    \
        LIBXL_EXTERNAL_CALLERS_ONLY;
#define LIBXL__DEVICE_ALL(type, infotype) \
    LIBXL__DEVICE_ADD(type)               \
    LIBXL__DEVICE_REMOVE(type)            \
    LIBXL__DEVICE_LIST(type)              \
    LIBXL__DEVICE_GETINFO(type, infotype)

LIBXL__DEVICE_ALL(disk, libxl_diskinfo)
LIBXL__DEVICE_ALL(nic, libxl_nicinfo)
LIBXL__DEVICE_ALL(vtpm, libxl_vtpminfo)
LIBXL__DEVICE_ALL(vdispl, libxl_vdisplinfo)
LIBXL__DEVICE_ALL(vsnd, libxl_vsndinfo)
LIBXL__DEVICE_ALL(vkb, libxl_vkbinfo)
LIBXL__DEVICE_ALL(usbctrl, libxl_usbctrlinfo)
LIBXL__DEVICE_ADD(vfb)
LIBXL__DEVICE_REMOVE(vfb)
LIBXL__DEVICE_REMOVE(p9)
LIBXL__DEVICE_REMOVE(pvcallsif)
LIBXL__DEVICE_ADD(pci)
LIBXL__DEVICE_REMOVE(pci)
LIBXL__DEVICE_LIST(pci)
LIBXL__DEVICE_ADD(usbdev)
LIBXL__DEVICE_LIST(usbdev)

#undef LIBXL__DEVICE_ALL
#undef LIBXL__DEVICE_GETINFO
#undef LIBXL__DEVICE_LIST
#undef LIBXL__DEVICE_ADD
#undef LIBXL__DEVICE_REMOVE

int libxl_device_usbdev_remove(libxl_ctx *ctx, uint32_t domid, libxl_device_usbdev *usbdev,
                               const libxl_asyncop_how *ao_how) LIBXL_EXTERNAL_CALLERS_ONLY;
/* Only if the guest agrees. */
int libxl_device_disk_safe_remove(libxl_ctx *ctx, uint32_t domid, libxl_device_disk *disk,
                                  const libxl_asyncop_how *ao_how) LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_cdrom_insert(libxl_ctx *ctx, uint32_t domid, libxl_device_disk *disk,
                       const libxl_asyncop_how *ao_how) LIBXL_EXTERNAL_CALLERS_ONLY;
libxl_device_channel *libxl_device_channel_list(libxl_ctx *ctx, uint32_t domid, int *num);
int libxl_device_channel_getinfo(libxl_ctx *ctx, uint32_t domid,
                                 const libxl_device_channel *channel,
                                 libxl_channelinfo *channelinfo);
/* In a driver domain: serve the store's requests to set up backends, for ever. */
int libxl_device_events_handler(libxl_ctx *ctx, const libxl_asyncop_how *ao_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_device_pci_assignable_add(libxl_ctx *ctx, libxl_device_pci *pci, int rebind);
int libxl_device_pci_assignable_remove(libxl_ctx *ctx, libxl_device_pci *pci, int rebind);
libxl_device_pci *libxl_device_pci_assignable_list(libxl_ctx *ctx, int *num);
void libxl_device_pci_assignable_list_free(libxl_device_pci *list, int num);

/* ---- CPUID policy */

/* Adds one "feature=value" item, or a "leaf[,subleaf]:register=bits" item. Not 0: what is wrong
 * (of the first form: 1 no "=", 2 the name, 3 the value). */
int libxl_cpuid_parse_config(libxl_cpuid_policy_list *cpuid, const char *str);
int libxl_cpuid_parse_config_xend(libxl_cpuid_policy_list *cpuid, const char *str);

/* ---- data that a program keeps with a domain; it goes when the domain goes */

/* datalen 0 removes it. userid: letters, digits, '-' and '_'; the program's own name space. */
int libxl_userdata_store(libxl_ctx *ctx, uint32_t domid, const char *userdata_userid,
                         const uint8_t *data, int datalen) LIBXL_EXTERNAL_CALLERS_ONLY;
/* Nothing stored is success with *data_r NULL and *datalen_r 0. */
int libxl_userdata_retrieve(libxl_ctx *ctx, uint32_t domid, const char *userdata_userid,
                            uint8_t **data_r, int *datalen_r) LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_userdata_unlink(libxl_ctx *ctx, uint32_t domid, const char *userdata_userid);

/* ---- CPUs and scheduling */

/* Either map may be NULL: left as it is. Fails if the maps leave the vCPU no place to run, _force
 * does not look. */
int libxl_set_vcpuaffinity(libxl_ctx *ctx, uint32_t domid, uint32_t vcpuid,
                           const libxl_bitmap *cpumap_hard, const libxl_bitmap *cpumap_soft);
int libxl_set_vcpuaffinity_force(libxl_ctx *ctx, uint32_t domid, uint32_t vcpuid,
                                 const libxl_bitmap *cpumap_hard,
                                 const libxl_bitmap *cpumap_soft);
int libxl_set_vcpuaffinity_all(libxl_ctx *ctx, uint32_t domid, unsigned int max_vcpus,
                               const libxl_bitmap *cpumap_hard, const libxl_bitmap *cpumap_soft);
int libxl_domain_set_nodeaffinity(libxl_ctx *ctx, uint32_t domid, libxl_bitmap *nodemap);
int libxl_domain_get_nodeaffinity(libxl_ctx *ctx, uint32_t domid, libxl_bitmap *nodemap);
/* Tells the guest which of its vCPUs to use. */
int libxl_set_vcpuonline(libxl_ctx *ctx, uint32_t domid, libxl_bitmap *cpumap,
                         const libxl_asyncop_how *ao_how) LIBXL_EXTERNAL_CALLERS_ONLY;

/* A libxl_scheduler, or a negative libxl_error. */
int libxl_get_scheduler(libxl_ctx *ctx);
int libxl_sched_credit_params_get(libxl_ctx *ctx, uint32_t poolid,
                                  libxl_sched_credit_params *scinfo);
int libxl_sched_credit_params_set(libxl_ctx *ctx, uint32_t poolid,
                                  libxl_sched_credit_params *scinfo);
int libxl_sched_credit2_params_get(libxl_ctx *ctx, uint32_t poolid,
                                   libxl_sched_credit2_params *scinfo);
int libxl_sched_credit2_params_set(libxl_ctx *ctx, uint32_t poolid,
                                   libxl_sched_credit2_params *scinfo);

#define LIBXL_DOMAIN_SCHED_PARAM_WEIGHT_DEFAULT -1
#define LIBXL_DOMAIN_SCHED_PARAM_CAP_DEFAULT -1
#define LIBXL_DOMAIN_SCHED_PARAM_PERIOD_DEFAULT -1
#define LIBXL_DOMAIN_SCHED_PARAM_SLICE_DEFAULT -1
#define LIBXL_DOMAIN_SCHED_PARAM_LATENCY_DEFAULT -1
#define LIBXL_DOMAIN_SCHED_PARAM_EXTRATIME_DEFAULT -1
#define LIBXL_DOMAIN_SCHED_PARAM_BUDGET_DEFAULT -1
#define LIBXL_SCHED_PARAM_VCPU_INDEX_DEFAULT -1

/* A parameter at its default is left as it is. */
int libxl_domain_sched_params_get(libxl_ctx *ctx, uint32_t domid,
                                  libxl_domain_sched_params *params);
int libxl_domain_sched_params_set(libxl_ctx *ctx, uint32_t domid,
                                  const libxl_domain_sched_params *params);
int libxl_vcpu_sched_params_get(libxl_ctx *ctx, uint32_t domid, libxl_vcpu_sched_params *params);
int libxl_vcpu_sched_params_get_all(libxl_ctx *ctx, uint32_t domid,
                                    libxl_vcpu_sched_params *params);
int libxl_vcpu_sched_params_set(libxl_ctx *ctx, uint32_t domid,
                                const libxl_vcpu_sched_params *params);
int libxl_vcpu_sched_params_set_all(libxl_ctx *ctx, uint32_t domid,
                                    const libxl_vcpu_sched_params *params);

int libxl_get_freecpus(libxl_ctx *ctx, libxl_bitmap *cpumap);
#define LIBXL_CPUPOOL_POOLID_ANY 0xFFFFFFFF
/* *poolid: the number to give it, or ANY; on success what it got. */
int libxl_cpupool_create(libxl_ctx *ctx, const char *name, libxl_scheduler sched,
                         libxl_bitmap cpumap, libxl_uuid *uuid, uint32_t *poolid);
int libxl_cpupool_destroy(libxl_ctx *ctx, uint32_t poolid);
int libxl_cpupool_rename(libxl_ctx *ctx, const char *name, uint32_t poolid);
int libxl_cpupool_cpuadd(libxl_ctx *ctx, uint32_t poolid, int cpu);
/* *cpus: how many were added or removed. */
int libxl_cpupool_cpuadd_node(libxl_ctx *ctx, uint32_t poolid, int node, int *cpus);
int libxl_cpupool_cpuadd_cpumap(libxl_ctx *ctx, uint32_t poolid, const libxl_bitmap *cpumap);
int libxl_cpupool_cpuremove(libxl_ctx *ctx, uint32_t poolid, int cpu);
int libxl_cpupool_cpuremove_node(libxl_ctx *ctx, uint32_t poolid, int node, int *cpus);
int libxl_cpupool_cpuremove_cpumap(libxl_ctx *ctx, uint32_t poolid, const libxl_bitmap *cpumap);
int libxl_cpupool_movedomain(libxl_ctx *ctx, uint32_t poolid, uint32_t domid);
/* ERROR_FAIL if there is no such pool. info must be initialised. */
int libxl_cpupool_info(libxl_ctx *ctx, libxl_cpupoolinfo *info, uint32_t poolid);

/* ---- signals to a guest or the hypervisor */

int libxl_send_trigger(libxl_ctx *ctx, uint32_t domid, libxl_trigger trigger, uint32_t vcpuid,
                       const libxl_asyncop_how *ao_how) LIBXL_EXTERNAL_CALLERS_ONLY;
int libxl_send_sysrq(libxl_ctx *ctx, uint32_t domid, char sysrq);
int libxl_send_debug_keys(libxl_ctx *ctx, char *keys);
int libxl_set_parameters(libxl_ctx *ctx, char *params);

/* The hypervisor's log, line by line. _read_line: 1 and a line (valid until the next call), 0 at
 * the end, or a negative libxl_error. clear: the log is emptied. */
typedef struct libxl__xen_console_reader libxl_xen_console_reader;
libxl_xen_console_reader *libxl_xen_console_read_start(libxl_ctx *ctx, int clear);
int libxl_xen_console_read_line(libxl_ctx *ctx, libxl_xen_console_reader *cr, char **line_r);
void libxl_xen_console_read_finish(libxl_ctx *ctx, libxl_xen_console_reader *cr);

/* Seconds since 1970, or 0 if not known. */
uint32_t libxl_vm_get_start_time(libxl_ctx *ctx, uint32_t domid);

/* ---- odds and ends */

/* Not 0 if domid is one a guest can have. */
int libxl_domid_valid_guest(uint32_t domid);
int libxl_clear_domid_history(libxl_ctx *ctx);
int libxl_fd_set_cloexec(libxl_ctx *ctx, int fd, int cloexec);
int libxl_fd_set_nonblock(libxl_ctx *ctx, int fd, int nonblock);
int libxl_qemu_monitor_command(libxl_ctx *ctx, uint32_t domid, const char *command_line,
                               char **output, const libxl_asyncop_how *ao_how)
    LIBXL_EXTERNAL_CALLERS_ONLY;

int libxl_ms_vm_genid_generate(libxl_ctx *ctx, libxl_ms_vm_genid *id);
bool libxl_ms_vm_genid_is_zero(const libxl_ms_vm_genid *id);
void libxl_ms_vm_genid_copy(libxl_ctx *ctx, libxl_ms_vm_genid *dst, const libxl_ms_vm_genid *src);

int libxl_flask_context_to_sid(libxl_ctx *ctx, char *buf, size_t len, uint32_t *ssidref);
int libxl_flask_sid_to_context(libxl_ctx *ctx, uint32_t ssidref, char **buf, size_t *len);
int libxl_flask_getenforce(libxl_ctx *ctx);
int libxl_flask_setenforce(libxl_ctx *ctx, int mode);
int libxl_flask_loadpolicy(libxl_ctx *ctx, void *policy, uint32_t size);

/* ---- platform shared resource monitoring and allocation */

int libxl_psr_cmt_attach(libxl_ctx *ctx, uint32_t domid);
int libxl_psr_cmt_detach(libxl_ctx *ctx, uint32_t domid);
int libxl_psr_cmt_domain_attached(libxl_ctx *ctx, uint32_t domid);
int libxl_psr_cmt_enabled(libxl_ctx *ctx);
int libxl_psr_cmt_get_total_rmid(libxl_ctx *ctx, uint32_t *total_rmid);
int libxl_psr_cmt_get_l3_cache_size(libxl_ctx *ctx, uint32_t socketid, uint32_t *l3_cache_size);
int libxl_psr_cmt_get_cache_occupancy(libxl_ctx *ctx, uint32_t domid, uint32_t socketid,
                                      uint32_t *l3_cache_occupancy);
int libxl_psr_cmt_type_supported(libxl_ctx *ctx, libxl_psr_cmt_type type);
int libxl_psr_cmt_get_sample(libxl_ctx *ctx, uint32_t domid, libxl_psr_cmt_type type,
                             uint64_t scope, uint64_t *sample_r, uint64_t *tsc_r);
int libxl_psr_cat_set_cbm(libxl_ctx *ctx, uint32_t domid, libxl_psr_cbm_type type,
                          libxl_bitmap *target_map, uint64_t cbm);
int libxl_psr_cat_get_cbm(libxl_ctx *ctx, uint32_t domid, libxl_psr_cbm_type type,
                          uint32_t target, uint64_t *cbm_r);
int libxl_psr_cat_get_info(libxl_ctx *ctx, libxl_psr_cat_info **info, unsigned int *nr,
                           unsigned int lvl);
int libxl_psr_cat_get_l3_info(libxl_ctx *ctx, libxl_psr_cat_info **info, int *nr);
void libxl_psr_cat_info_list_free(libxl_psr_cat_info *list, int nr);
typedef enum libxl_psr_cbm_type libxl_psr_type;
int libxl_psr_set_val(libxl_ctx *ctx, uint32_t domid, libxl_psr_type type,
                      libxl_bitmap *target_map, uint64_t val);
int libxl_psr_get_val(libxl_ctx *ctx, uint32_t domid, libxl_psr_type type, unsigned int target,
                      uint64_t *val);
int libxl_psr_get_hw_info(libxl_ctx *ctx, libxl_psr_feat_type type, unsigned int lvl,
                          unsigned int *nr, libxl_psr_hw_info **info);
void libxl_psr_hw_info_list_free(libxl_psr_hw_info *list, unsigned int nr);

#include <libxl_compat.h>
#include <libxl_event.h>

#endif
