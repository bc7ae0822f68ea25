/* SPDX-License-Identifier: MIT */
/*
 * Whether a domain lives: one domctl and one sysctl, made through libxencall. Never: anything else of libxenctrl.
 */
#ifndef KR_COMMON_DOMAIN_INFO_H
#define KR_COMMON_DOMAIN_INFO_H

#include <xencall.h>

#include "common/host.h"

/* 0, or a negative errno; -ESRCH: no such domain. */
int domain_info_get(xencall_handle *call, uint16_t domid, struct host_domain *out);
/* Those from number `first` on, at most max: their count, or a negative errno. */
int domain_info_list(xencall_handle *call, uint16_t first, unsigned max, struct host_domain_entry *out);

#endif
