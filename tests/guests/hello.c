/* SPDX-License-Identifier: MIT */
/* The smallest guest: says where it runs. */
#include "tests/guests/guest.h"

bool guest_main(const char *cmdline)
{
    long version = HC(xen_version, XENVER_version, 0, 0);
    char extra[XEN_EXTRAVERSION_LEN] = "";

    HC(xen_version, XENVER_extraversion, extra, 0);
    print("hello from a PVH guest on Xen %ld.%ld%s\n", version >> 16, version & 0xffff, extra);
    print("command line: \"%s\", %u memory ranges\n", cmdline, start_info->memmap_entries);
    return start_info->magic == XEN_HVM_START_MAGIC_VALUE && version == (4 << 16 | 17);
}
