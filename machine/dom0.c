/* SPDX-License-Identifier: MIT */
/*
 * Building domain 0, as a PVH guest that is told (SIF_INITDOMAIN) what it is. It needs no store and
 * no console pages: its store is its own, its console the hypervisor's.
 */
#include "machine/machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <xenctrl.h>
#include <xenguest.h>

#include "firmware/pvh.h"

#define ALL_PORTS     0x1ffffu   /* the FIFO ABI's */
#define SLACK_KIB     1024u      /* the limit above its memory: special pages, tables */

/* The libraries' errors go the way of ours; their progress and chatter nowhere. */
static void on_message(xentoollog_logger *l, xentoollog_level level, int err, const char *context,
                       const char *format, va_list al)
{
    char text[600];

    if (level >= XTL_ERROR) {
        vsnprintf(text, sizeof(text), format, al);
        complain("%s%s%s", text, err > 0 ? ": " : "", err > 0 ? strerror(err) : "");
    }
}

static void on_progress(xentoollog_logger *l, const char *context, const char *doing, int percent,
                        unsigned long done, unsigned long total)
{
}

static void on_destroy(xentoollog_logger *l)
{
}

static xentoollog_logger logger = { on_message, on_progress, on_destroy };

static int make_domain(xc_interface *xch, const struct options *o, uint32_t *domid)
{
    struct xen_domctl_createdomain config = {
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
        .max_vcpus = (uint32_t)o->vcpus,
        .max_evtchn_port = ALL_PORTS,
        .max_grant_frames = -1,
        .max_maptrack_frames = -1,
        .grant_opts = XEN_DOMCTL_GRANT_version(2),
        .arch.emulation_flags = XEN_X86_EMU_LAPIC,
    };

    *domid = 0;
    if (xc_domain_create(xch, domid, &config)) {
        return complain("cannot make domain 0: %s", strerror(errno));
    }
    if (*domid) {
        errno = EEXIST;
        return complain("the core made domain %u where domain 0 was meant", *domid);
    }
    if (xc_domain_max_vcpus(xch, *domid, (unsigned)o->vcpus)) {
        return complain("cannot give domain 0 %lu vCPUs: %s", o->vcpus, strerror(errno));
    }
    if (xc_domain_setmaxmem(xch, *domid, (uint64_t)o->dom0_memory * 1024 + SLACK_KIB) ||
        xc_domain_set_tsc_info(xch, *domid, 0, 0, 0, 0) ||
        xc_cpuid_apply_policy(xch, *domid, false, NULL, 0, true, false, false, NULL, NULL)) {
        return complain("cannot set up domain 0: %s", strerror(errno));
    }
    return 0;
}

/* What was refused has been said by the library; this says at what. */
static int load(struct xc_dom_image *dom, const struct options *o)
{
    dom->flags = SIF_PRIVILEGED | SIF_INITDOMAIN;
    dom->max_vcpus = (unsigned)o->vcpus;
    pvh_set_layout(dom, (uint64_t)o->dom0_memory << 20);
    if (xc_dom_kernel_file(dom, o->kernel) || xc_dom_parse_image(dom)) {
        return complain("kernel %s cannot be domain 0's", o->kernel);
    }
    if (o->ramdisk && xc_dom_module_file(dom, o->ramdisk, NULL)) {
        return complain("ramdisk %s cannot be domain 0's", o->ramdisk);
    }
    if (xc_dom_mem_init(dom, (unsigned)o->dom0_memory) || xc_dom_boot_mem_init(dom)) {
        return complain("domain 0 cannot have %lu MiB of memory", o->dom0_memory);
    }
    if (pvh_add_acpi(dom, NULL) || pvh_set_memory_map(dom)) {
        return complain("domain 0's firmware tables: %s", strerror(errno));
    }
    if (xc_dom_build_image(dom) || xc_dom_boot_image(dom)) {
        return complain("domain 0's kernel cannot be loaded");
    }
    return 0;
}

static int build(xc_interface *xch, const struct options *o)
{
    struct xc_dom_image *dom;
    uint32_t domid;
    int rc = make_domain(xch, o, &domid);

    if (rc) {
        return rc;
    }
    dom = xc_dom_allocate(xch, o->cmdline, NULL);
    if (!dom) {
        return -1;
    }
    rc = xc_dom_boot_xen_init(dom, xch, domid) ? -1 : load(dom, o);
    xc_dom_release(dom);
    if (!rc && xc_domain_unpause(xch, domid)) {
        rc = complain("domain 0 cannot be started: %s", strerror(errno));
    }
    return rc;
}

int dom0_build(const struct options *o)
{
    xc_interface *xch = xc_interface_open(&logger, &logger, 0);
    int rc;

    if (!xch) {
        return complain("its core does not answer: %s", strerror(errno));
    }
    rc = build(xch, o);
    xc_interface_close(xch);
    return rc;
}
