/* SPDX-License-Identifier: MIT */
/* xen_version: who we say we are. The ABI is Xen 4.17's, and says so. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <xen/features.h>
#include <xen/version.h>

#include "hypervisor/core/domain.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/version.h"

/*
 * What can be created here: PVH guests, which the toolstack knows as hvm-*. The trailing space is
 * Xen's own.
 */
static const char capabilities[] = "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ";

/* Features of a PVH guest (features.h), submap 0. */
static const uint32_t features =
    1u << XENFEAT_writable_page_tables | 1u << XENFEAT_writable_descriptor_tables |
    1u << XENFEAT_auto_translated_physmap | 1u << XENFEAT_supervisor_mode_kernel |
    1u << XENFEAT_hvm_callback_vector | 1u << XENFEAT_hvm_safe_pvclock |
    1u << XENFEAT_memory_op_vnode_supported;

/* Xen copies the whole array, so the caller sees defined bytes behind the text. */
static long give_text(struct hcall *hc, const char *text, size_t size)
{
    char buf[1024];

    memset(buf, 0, sizeof(buf));
    snprintf(buf, size, "%s", text);
    return copy_to_guest(hc, hc->arg[1], buf, size);
}

static long op_compile_info(struct hcall *hc)
{
    struct xen_compile_info info;

    memset(&info, 0, sizeof(info));
    snprintf(info.compiler, sizeof(info.compiler), "%s", "cc " __VERSION__);
    snprintf(info.compile_by, sizeof(info.compile_by), "krypton");
    snprintf(info.compile_domain, sizeof(info.compile_domain), "localhost");
    snprintf(info.compile_date, sizeof(info.compile_date), "%s", "release " KR_CORE_VERSION);
    return copy_to_guest(hc, hc->arg[1], &info, sizeof(info));
}

static long op_get_features(struct hcall *hc)
{
    struct xen_feature_info fi;

    if (copy_from_guest(hc, &fi, hc->arg[1], sizeof(fi))) {
        return -EFAULT;
    }
    if (fi.submap_idx != 0) {
        return -EINVAL;
    }
    fi.submap = hc->d->host ? 1u << XENFEAT_memory_op_vnode_supported : features;
    if (hc->d->control) {
        fi.submap |= 1u << XENFEAT_dom0;
    }
    return copy_to_guest(hc, hc->arg[1], &fi, sizeof(fi));
}

long do_xen_version(struct hcall *hc)
{
    static const uint64_t virt_start = 0xffff800000000000ull;   /* HYPERVISOR_VIRT_START, 64-bit */

    switch ((uint32_t)hc->arg[0]) {
    case XENVER_version:
        return KR_XEN_MAJOR << 16 | KR_XEN_MINOR;
    case XENVER_extraversion:
        return give_text(hc, KR_XEN_EXTRA, XEN_EXTRAVERSION_LEN);
    case XENVER_compile_info:
        return op_compile_info(hc);
    case XENVER_capabilities:
        return give_text(hc, capabilities, XEN_CAPABILITIES_INFO_LEN);
    case XENVER_changeset:
        return give_text(hc, "", XEN_CHANGESET_INFO_LEN);
    case XENVER_platform_parameters:
        return copy_to_guest(hc, hc->arg[1], &virt_start, hc->compat ? 4 : 8);
    case XENVER_get_features:
        return op_get_features(hc);
    case XENVER_pagesize:
        return 4096;
    case XENVER_guest_handle:
        return copy_to_guest(hc, hc->arg[1], hc->d->handle, sizeof(hc->d->handle));
    case XENVER_commandline:
        return give_text(hc, hc_is_control(hc) ? hc->core->cmdline : "<denied>", 1024);
    case XENVER_build_id:
        return hc_is_control(hc) ? -ENODATA : -EPERM;    /* built without one */
    default:
        return hc_enosys(hc, __HYPERVISOR_xen_version, (uint32_t)hc->arg[0]);
    }
}
