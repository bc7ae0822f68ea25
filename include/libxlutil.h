/* SPDX-License-Identifier: MIT */
/*
 * libxlutil: parsers for what people write: xl configuration files and device specifications.
 * Source and binary compatible with Xen 4.17's. Functions return an errno value (not negative)
 * unless they say otherwise.
 *
 * Never: exits, opens anything but the file named, or keeps a reference to the caller's data.
 */
#ifndef LIBXLUTIL_H
#define LIBXLUTIL_H

#include <stdio.h>

#include "libxl.h"

#ifdef __cplusplus
extern "C" {
#endif

enum XLU_ConfigValueType { XLU_STRING, XLU_LIST };
enum XLU_Operation { XLU_OP_ASSIGNMENT = 0, XLU_OP_ADDITION };

typedef struct XLU_Config XLU_Config;
typedef struct XLU_ConfigList XLU_ConfigList;
typedef struct XLU_ConfigValue XLU_ConfigValue;

/*
 * Messages go to report (which must outlive the config) as "NAME:LINE:COLUMN: what"; report_filename is
 * copied. Returns NULL with errno when memory runs out.
 */
XLU_Config *xlu_cfg_init(FILE *report, const char *report_filename);
void xlu_cfg_destroy(XLU_Config *cfg);

/*
 * Read settings; a later setting of the same key replaces an earlier one, also across calls. After an
 * error (EINVAL: syntax; EFBIG; an errno of the file) only xlu_cfg_destroy() may follow.
 */
int xlu_cfg_readfile(XLU_Config *cfg, const char *real_filename);
int xlu_cfg_readdata(XLU_Config *cfg, const char *data, int length);
/* Krypton's addition: messages about this text name it by label (copied) instead of the file. */
int xlu_cfg_readdata_label(XLU_Config *cfg, const char *label, const char *data, int length);

/*
 * Getters: 0; ESRCH not set; EINVAL wrong kind of value; ERANGE out of bounds. The last two say so to
 * the report unless dont_warn. What is returned belongs to the config, except for
 * xlu_cfg_replace_string() (frees *value_r, then stores a copy that the caller owns).
 */
int xlu_cfg_get_string(const XLU_Config *cfg, const char *n, const char **value_r, int dont_warn);
int xlu_cfg_replace_string(const XLU_Config *cfg, const char *n, char **value_r, int dont_warn);
int xlu_cfg_get_long(const XLU_Config *cfg, const char *n, long *value_r, int dont_warn);
int xlu_cfg_get_bounded_long(const XLU_Config *cfg, const char *n, long min, long max,
                             long *value_r, int dont_warn);
int xlu_cfg_get_defbool(const XLU_Config *cfg, const char *n, libxl_defbool *b, int dont_warn);
/* list_r and entries_r may be NULL. */
int xlu_cfg_get_list(const XLU_Config *cfg, const char *n, XLU_ConfigList **list_r, int *entries_r,
                     int dont_warn);
/* The caller frees the list with libxl_string_list_dispose(). */
int xlu_cfg_get_list_as_string_list(const XLU_Config *cfg, const char *n, libxl_string_list *sl,
                                    int dont_warn);
/* NULL if out of range or not a string. */
const char *xlu_cfg_get_listitem(const XLU_ConfigList *list, int entry);
XLU_ConfigValue *xlu_cfg_get_listitem2(const XLU_ConfigList *list, int entry);

enum XLU_ConfigValueType xlu_cfg_value_type(const XLU_ConfigValue *value);
int xlu_cfg_value_get_string(const XLU_Config *cfg, XLU_ConfigValue *value, char **value_r, int dont_warn);
int xlu_cfg_value_get_list(const XLU_Config *cfg, XLU_ConfigValue *value, XLU_ConfigList **value_r,
                           int dont_warn);

/*
 * Krypton's addition: walks the keys that are set, in the order of their first setting; index from
 * 0. Returns the key, or NULL past the end; *where_r (may be NULL) is "NAME:LINE", the config's.
 */
const char *xlu_cfg_key(const XLU_Config *cfg, int index, const char **where_r);
/*
 * Krypton's addition: writes "NAME:LINE: " + message to the report, for the setting of key n; NULL: for the
 * place that xlu_cfg_at() gave.
 */
void xlu_cfg_complain(const XLU_Config *cfg, const char *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/*
 * Krypton's addition: what the parsers below complain about is item entry (from 0) of the list n, or the
 * setting n itself if it is no list; messages begin with its line and column. NULL: no place any more.
 */
void xlu_cfg_at(XLU_Config *cfg, const char *n, int entry);

/*
 * Parsers of device specifications. The struct must have been initialised; it stays the caller's, to
 * dispose of after errors too, when it may be half filled. cfg is used for its report alone; a message names
 * the specification and the part of it that is wrong.
 */

/*
 * xl-disk-configuration(5). Several strings describe one disk together. EINVAL for a bad one, and when
 * they leave out vdev or (unless it is a cdrom) target; nspecs 0 is allowed, and only sets the defaults.
 */
int xlu_disk_parse(XLU_Config *cfg, int nspecs, const char *const *specs, libxl_device_disk *disk);
/*
 * "10Mb/s@20ms" to nic's rate_bytes_per_interval and rate_interval_usecs. EINVAL, or EOVERFLOW for what is
 * too large or 0.
 */
int xlu_vif_parse_rate(XLU_Config *cfg, const char *rate, libxl_device_nic *nic);

/*
 * The next three return 0 or a negative ERROR_ code of libxl, as Xen's do.
 *
 * [DDDD:]BB:SS.F, F may be '*'. What follows in str is not looked at.
 */
int xlu_pci_parse_bdf(XLU_Config *cfg, libxl_device_pci *pci, const char *str);
/* xl-pci-configuration(5): BDF[@VSLOT] and options. */
int xlu_pci_parse_spec_string(XLU_Config *cfg, libxl_device_pci *pci, const char *str);
/* xl.cfg(5)'s rdm: "strategy=host,policy=strict|relaxed". */
int xlu_rdm_parse(XLU_Config *cfg, libxl_rdm_reserve *rdm, const char *str);

#ifdef __cplusplus
}
#endif
#endif
