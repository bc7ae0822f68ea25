/* SPDX-License-Identifier: MIT */
/* Cache monitoring and allocation. */
#include "libxenctrl/ctrl/private.h"

/* MSRs of Intel's monitoring, and the error bits of the counter (Intel SDM volume 3, 17.18). */
#define MSR_QM_EVTSEL        0xc8d
#define MSR_QM_CTR           0xc8e
#define MSR_TSC              0x10
#define QM_CTR_ERROR_MASK    (3ull << 62)
#define EVTID_L3_OCCUPANCY   1
#define EVTID_TOTAL_MEM      2
#define EVTID_LOCAL_MEM      3

static int cmt_domain(xc_interface *xch, uint32_t domid, uint32_t cmd, uint32_t *data)
{
    struct xen_domctl d = { .u.psr_cmt_op.cmd = cmd };
    int rc = domctl(xch, &d, XEN_DOMCTL_psr_cmt_op, domid);

    if (!rc && data) {
        *data = d.u.psr_cmt_op.data;
    }
    return rc;
}

int xc_psr_cmt_attach(xc_interface *xch, uint32_t domid)
{
    return cmt_domain(xch, domid, XEN_DOMCTL_PSR_CMT_OP_ATTACH, NULL);
}

int xc_psr_cmt_detach(xc_interface *xch, uint32_t domid)
{
    return cmt_domain(xch, domid, XEN_DOMCTL_PSR_CMT_OP_DETACH, NULL);
}

int xc_psr_cmt_get_domain_rmid(xc_interface *xch, uint32_t domid, uint32_t *rmid)
{
    return cmt_domain(xch, domid, XEN_DOMCTL_PSR_CMT_OP_QUERY_RMID, rmid);
}

static int cmt_host(xc_interface *xch, uint32_t cmd, uint32_t cpu, uint32_t *data)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_psr_cmt_op };

    s.u.psr_cmt_op.cmd = cmd;
    s.u.psr_cmt_op.u.l3_cache.cpu = cpu;
    if (do_sysctl(xch, &s)) {
        return -1;
    }
    /* Xen answers in `data` also where the CPU was asked for beside it. */
    *data = (uint32_t)s.u.psr_cmt_op.u.data;
    return 0;
}

int xc_psr_cmt_get_total_rmid(xc_interface *xch, uint32_t *total_rmid)
{
    return cmt_host(xch, XEN_SYSCTL_PSR_CMT_get_total_rmid, 0, total_rmid);
}

int xc_psr_cmt_get_l3_upscaling_factor(xc_interface *xch, uint32_t *upscaling_factor)
{
    return cmt_host(xch, XEN_SYSCTL_PSR_CMT_get_l3_upscaling_factor, 0, upscaling_factor);
}

int xc_psr_cmt_get_l3_event_mask(xc_interface *xch, uint32_t *event_mask)
{
    return cmt_host(xch, XEN_SYSCTL_PSR_CMT_get_l3_event_mask, 0, event_mask);
}

int xc_psr_cmt_get_l3_cache_size(xc_interface *xch, uint32_t cpu, uint32_t *l3_cache_size)
{
    return cmt_host(xch, XEN_SYSCTL_PSR_CMT_get_l3_cache_size, cpu, l3_cache_size);
}

int xc_psr_cmt_enabled(xc_interface *xch)
{
    uint32_t enabled;

    return cmt_host(xch, XEN_SYSCTL_PSR_CMT_enabled, 0, &enabled) ? 0 : (int)enabled;
}

int xc_psr_cmt_get_data(xc_interface *xch, uint32_t rmid, uint32_t cpu, xc_psr_cmt_type type,
                        uint64_t *monitor_data, uint64_t *tsc)
{
    static const uint32_t event[] = {
        [XC_PSR_CMT_L3_OCCUPANCY] = EVTID_L3_OCCUPANCY,
        [XC_PSR_CMT_TOTAL_MEM_COUNT] = EVTID_TOTAL_MEM,
        [XC_PSR_CMT_LOCAL_MEM_COUNT] = EVTID_LOCAL_MEM,
    };
    xenpf_resource_entry_t e[3] = {
        { .u.cmd = XEN_RESOURCE_OP_MSR_WRITE, .idx = MSR_QM_EVTSEL },
        { .u.cmd = XEN_RESOURCE_OP_MSR_READ, .idx = MSR_QM_CTR },
        { .u.cmd = XEN_RESOURCE_OP_MSR_READ, .idx = MSR_TSC },
    };
    int done;

    if ((unsigned int)type >= sizeof(event) / sizeof(event[0])) {
        errno = EINVAL;
        return -1;
    }
    e[0].val = (uint64_t)rmid << 32 | event[type];
    done = platform_resource_op(xch, cpu, e, tsc ? 3 : 2);
    if (done < 0) {
        return -1;
    }
    if (done < (tsc ? 3 : 2) || (e[1].val & QM_CTR_ERROR_MASK)) {
        errno = EIO;
        return -1;
    }
    *monitor_data = e[1].val;
    if (tsc) {
        *tsc = e[2].val;
    }
    return 0;
}

/* XEN_DOMCTL_PSR_* for a type, in its get or set form. */
static int alloc_cmd(xc_psr_type type, bool set, uint32_t *cmd)
{
    switch (type) {
    case XC_PSR_CAT_L3_CBM:
        *cmd = set ? XEN_DOMCTL_PSR_SET_L3_CBM : XEN_DOMCTL_PSR_GET_L3_CBM;
        return 0;
    case XC_PSR_CAT_L3_CBM_CODE:
        *cmd = set ? XEN_DOMCTL_PSR_SET_L3_CODE : XEN_DOMCTL_PSR_GET_L3_CODE;
        return 0;
    case XC_PSR_CAT_L3_CBM_DATA:
        *cmd = set ? XEN_DOMCTL_PSR_SET_L3_DATA : XEN_DOMCTL_PSR_GET_L3_DATA;
        return 0;
    case XC_PSR_CAT_L2_CBM:
        *cmd = set ? XEN_DOMCTL_PSR_SET_L2_CBM : XEN_DOMCTL_PSR_GET_L2_CBM;
        return 0;
    case XC_PSR_MBA_THRTL:
        *cmd = set ? XEN_DOMCTL_PSR_SET_MBA_THRTL : XEN_DOMCTL_PSR_GET_MBA_THRTL;
        return 0;
    }
    errno = EINVAL;
    return -1;
}

int xc_psr_set_domain_data(xc_interface *xch, uint32_t domid, xc_psr_type type, uint32_t target,
                           uint64_t data)
{
    struct xen_domctl d = { .u.psr_alloc = { .target = target, .data = data } };

    if (alloc_cmd(type, true, &d.u.psr_alloc.cmd)) {
        return -1;
    }
    return domctl(xch, &d, XEN_DOMCTL_psr_alloc, domid);
}

int xc_psr_get_domain_data(xc_interface *xch, uint32_t domid, xc_psr_type type, uint32_t target,
                           uint64_t *data)
{
    struct xen_domctl d = { .u.psr_alloc.target = target };
    int rc;

    if (alloc_cmd(type, false, &d.u.psr_alloc.cmd)) {
        return -1;
    }
    rc = domctl(xch, &d, XEN_DOMCTL_psr_alloc, domid);
    if (!rc) {
        *data = d.u.psr_alloc.data;
    }
    return rc;
}

int xc_psr_get_hw_info(xc_interface *xch, uint32_t socket, xc_psr_feat_type type,
                       xc_psr_hw_info *hw_info)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_psr_alloc };

    if (type != XC_PSR_CAT_L3 && type != XC_PSR_CAT_L2 && type != XC_PSR_MBA) {
        errno = EOPNOTSUPP;
        return -1;
    }
    s.u.psr_alloc.target = socket;
    s.u.psr_alloc.cmd = type == XC_PSR_CAT_L3 ? XEN_SYSCTL_PSR_get_l3_info
                      : type == XC_PSR_CAT_L2 ? XEN_SYSCTL_PSR_get_l2_info
                                              : XEN_SYSCTL_PSR_get_mba_info;
    if (do_sysctl(xch, &s)) {
        return -1;
    }
    if (type == XC_PSR_MBA) {
        hw_info->mba.cos_max = s.u.psr_alloc.u.mba_info.cos_max;
        hw_info->mba.thrtl_max = s.u.psr_alloc.u.mba_info.thrtl_max;
        hw_info->mba.linear = s.u.psr_alloc.u.mba_info.flags & XEN_SYSCTL_PSR_MBA_LINEAR;
    } else {
        hw_info->cat.cos_max = s.u.psr_alloc.u.cat_info.cos_max;
        hw_info->cat.cbm_len = s.u.psr_alloc.u.cat_info.cbm_len;
        hw_info->cat.cdp_enabled = type == XC_PSR_CAT_L3 &&
                                   (s.u.psr_alloc.u.cat_info.flags & XEN_SYSCTL_PSR_CAT_L3_CDP);
    }
    return 0;
}
