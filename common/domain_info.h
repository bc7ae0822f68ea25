/* SPDX-License-Identifier: MIT */
/*
 * Whether a domain lives: one domctl, made through libxencall. Never: anything else of libxenctrl.
 */
#ifndef KR_COMMON_DOMAIN_INFO_H
#define KR_COMMON_DOMAIN_INFO_H

#include <xencall.h>

#include "common/host.h"

/* 0, or a negative errno; -ESRCH: no such domain. */
int domain_info_get(xencall_handle *call, uint16_t domid, struct host_domain *out);

#endif
