/* SPDX-License-Identifier: MIT */
/* The Xen version whose ABI this is, and our own. */
#ifndef KR_CORE_VERSION_H
#define KR_CORE_VERSION_H

#define KR_XEN_MAJOR 4
#define KR_XEN_MINOR 17
#define KR_XEN_EXTRA ".7-krypton"      /* xen_extraversion_t is 16 bytes */
#define KR_CORE_VERSION "0.1.0"

#endif
