/* SPDX-License-Identifier: MIT */
/*
 * 9pfs file sharing.
 */

#ifndef __XEN_PUBLIC_IO_9PFS_H__
#define __XEN_PUBLIC_IO_9PFS_H__

#include "../grant_table.h"
#include "ring.h"

DEFINE_XEN_FLEX_RING_AND_INTF(xen_9pfs);

#endif /* __XEN_PUBLIC_IO_9PFS_H__ */
