/* SPDX-License-Identifier: MIT */
/*
 * What the hypervisor tells about itself (__HYPERVISOR_xen_version).
 */

#ifndef __XEN_PUBLIC_VERSION_H__
#define __XEN_PUBLIC_VERSION_H__

#include "xen.h"

/* Result: major << 16 | minor. No argument. */
#define XENVER_version      0
#define XENVER_extraversion 1

/* What follows the number, as text. */
typedef char xen_extraversion_t[16];

#define XEN_EXTRAVERSION_LEN (sizeof(xen_extraversion_t))

#define XENVER_compile_info 2

struct xen_compile_info {
    char compiler[64];
    char compile_by[16];
    char compile_domain[32];
    char compile_date[32];
};
typedef struct xen_compile_info xen_compile_info_t;

/* The kinds of guests there can be, e.g. "hvm-3.0-x86_64". */
#define XENVER_capabilities 3

typedef char xen_capabilities_info_t[1024];

#define XEN_CAPABILITIES_INFO_LEN (sizeof(xen_capabilities_info_t))

#define XENVER_changeset 4

typedef char xen_changeset_info_t[64];

#define XEN_CHANGESET_INFO_LEN (sizeof(xen_changeset_info_t))

/* Where the hypervisor's part of a PV guest's address space starts. */
#define XENVER_platform_parameters 5

struct xen_platform_parameters {
    xen_ulong_t virt_start;
};
typedef struct xen_platform_parameters xen_platform_parameters_t;

#define XENVER_get_features 6

/* In: which word of feature bits. Out: the bits (XENFEAT_*). */
struct xen_feature_info {
    unsigned int submap_idx;
    uint32_t submap;
};
typedef struct xen_feature_info xen_feature_info_t;

#include "features.h"

/* Results: the page size; a 16-byte UUID of the caller; the hypervisor's command line. */
#define XENVER_pagesize     7
#define XENVER_guest_handle 8
#define XENVER_commandline  9

typedef char xen_commandline_t[1024];

#define XENVER_build_id 10

/* With a null argument the result is the length; otherwise len is the room in buf. */
struct xen_build_id {
    uint32_t len;
    unsigned char buf[XEN_FLEX_ARRAY_DIM];
};
typedef struct xen_build_id xen_build_id_t;

#endif /* __XEN_PUBLIC_VERSION_H__ */
