/* SPDX-License-Identifier: MIT */
/*
 * A guest that tries every op of the core's privilege table on another domain ("other=DOMID" on the
 * command line), and every number of the ops whose number lies in the argument: refused, each, with
 * the error that Xen gives.
 */
#define __XEN_TOOLS__ 1
#include "tests/guests/guest.h"

#include <xen/domctl.h>
#include <xen/hvm/dm_op.h>
#include <xen/hypfs.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sysctl.h>

#include "tests/guests/named.h"

#define EPERM  1
#define ENOSYS 38
#define NUMBERS 1100u            /* beyond the last domctl, XEN_DOMCTL_gdbsx_domstatus */

enum who { WHO_NONE, WHO_GUEST, WHO_ANY, WHO_CONTROL };

/* The table itself: rules.inc is what hypervisor/core/privilege.c has. */
static const struct rule { uint16_t call, sub; uint8_t who; const char *name; } rules[] = {
#define R(call, sub, who) { __HYPERVISOR_##call, sub, who, #call " " #sub },
#include "tests/guests/rules.inc"
};
#define NR_RULES (sizeof(rules) / sizeof(rules[0]))

static uint8_t *arg;             /* a page */
static domid_t other;

static bool in_argument(uint16_t call)
{
    return call == __HYPERVISOR_domctl || call == __HYPERVISOR_sysctl ||
           call == __HYPERVISOR_platform_op || call == __HYPERVISOR_dm_op;
}

static long call(uint16_t nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    return hypercall5(nr, a0, a1, a2, 0, 0);
}

static void test_control_ops(void)
{
    unsigned tried = 0;

    for (unsigned i = 0; i < NR_RULES; i++) {
        long rc;

        if (rules[i].who != WHO_CONTROL || in_argument(rules[i].call)) {
            continue;
        }
        memset(arg, 0, PAGE);
        memcpy(arg, &other, sizeof(other));
        rc = call(rules[i].call, rules[i].sub, (uint64_t)arg, (uint64_t)arg);
        if (rc != -EPERM) {
            check(false, "%s: %ld", rules[i].name, rc);
        }
        tried++;
    }
    check(tried > 5, "%u ops of a control domain are refused", tried);
}

static void test_numbers(void)
{
    static const struct { uint16_t call; uint32_t version; const char *name; } calls[] = {
        { __HYPERVISOR_domctl, XEN_DOMCTL_INTERFACE_VERSION, "domctl" },
        { __HYPERVISOR_sysctl, XEN_SYSCTL_INTERFACE_VERSION, "sysctl" },
        { __HYPERVISOR_platform_op, XENPF_INTERFACE_VERSION, "platform_op" },
    };

    for (unsigned c = 0; c < 3; c++) {
        for (uint32_t cmd = 0; cmd < NUMBERS; cmd++) {
            uint32_t head[2] = { cmd, calls[c].version };
            long rc;

            memset(arg, 0, 256);
            memcpy(arg, head, sizeof(head));
            memcpy(arg + 8, &other, sizeof(other));
            rc = call(calls[c].call, (uint64_t)arg, 0, 0);
            if (rc != -EPERM) {
                check(false, "%s %u: %ld", calls[c].name, cmd, rc);
                break;
            }
        }
        check(true, "every %s", calls[c].name);
    }
}

/* Its op lies in the first of the buffers that the argument lists. */
static void test_dm_ops(void)
{
    struct xen_dm_op_buf buf;

    set_xen_guest_handle(buf.h, arg);
    buf.size = 256;
    for (uint32_t op = 0; op < 64; op++) {
        long rc;

        memset(arg, 0, 256);
        memcpy(arg, &op, sizeof(op));
        rc = call(__HYPERVISOR_dm_op, other, 1, (uint64_t)&buf);
        if (rc != -EPERM) {
            check(false, "dm_op %u: %ld", op, rc);
        }
    }
    check(true, "every dm_op");
}

static void test_named(void)
{
    for (unsigned i = 0; i < NR_NAMED; i++) {
        const struct named *n = &named_ops[i];
        int16_t got;

        memset(arg, 0, PAGE);
        named_fill(n, arg, other);
        got = (int16_t)call(n->call, n->sub, (uint64_t)arg, 1);
        if (n->status_at != NAMED_RC && got == 0) {
            memcpy(&got, arg + n->status_at, sizeof(got));
        }
        check(got == n->expect, "%s of another domain: %d", n->name, got);
    }
}

/* Another guest's memory, by all ways there are. */
static void test_memory(void)
{
    struct gnttab_map_grant_ref m = { .host_addr = (uint64_t)page_alloc(1), .flags = GNTMAP_host_map,
                                      .dom = other };
    struct gnttab_copy c = { .source = { .u.gmfn = 1, .domid = other },
                             .dest = { .u.gmfn = (uint64_t)arg / PAGE, .domid = DOMID_SELF }, .len = 8 };
    struct xen_add_to_physmap_batch b = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign,
                                          .size = 1, .u.foreign_domid = other };
    xen_ulong_t idx = 1;
    xen_pfn_t gfn = (uint64_t)page_alloc(1) / PAGE;
    int err = 0;

    for (uint32_t ref = 0; ref < 64; ref++) {
        m.ref = ref;
        m.status = 0;
        if (call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (uint64_t)&m, 1) || !m.status) {
            check(false, "grant %u of another domain: %d", ref, m.status);
        }
    }
    call(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (uint64_t)&c, 1);
    check(c.status == GNTST_permission_denied, "a copy by frame number: %d", c.status);
    set_xen_guest_handle(b.idxs, &idx);
    set_xen_guest_handle(b.gpfns, &gfn);
    set_xen_guest_handle(b.errs, &err);
    check(!call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, (uint64_t)&b, 0) && err == -EPERM,
          "a foreign map: %d", err);
}

static void test_unknown(void)
{
    static const uint16_t calls[] = {
        __HYPERVISOR_memory_op, __HYPERVISOR_xen_version, __HYPERVISOR_console_io,
        __HYPERVISOR_grant_table_op, __HYPERVISOR_event_channel_op, __HYPERVISOR_physdev_op,
        __HYPERVISOR_hvm_op,
    };
    unsigned unknown = 0;

    for (unsigned c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        for (uint32_t sub = 40; sub < 64; sub++) {
            bool known = false;

            for (unsigned i = 0; i < NR_RULES; i++) {
                known |= rules[i].call == calls[c] && rules[i].sub == sub;
            }
            if (!known) {
                long rc = call(calls[c], sub, (uint64_t)arg, 1);

                unknown++;
                if (rc != -ENOSYS) {
                    check(false, "hypercall %u op %u: %ld", calls[c], sub, rc);
                }
            }
        }
    }
    check(unknown > 100, "%u ops that do not exist: ENOSYS", unknown);
}

static domid_t number_after(const char *list, const char *word)
{
    domid_t n = 0;

    for (; *list; list++) {
        const char *at = list, *w = word;

        while (*w && *at == *w) {
            at++;
            w++;
        }
        if (!*w) {
            for (; *at >= '0' && *at <= '9'; at++) {
                n = (domid_t)(n * 10 + (*at - '0'));
            }
            return n;
        }
    }
    return n;
}

bool guest_main(const char *cmdline)
{
    arg = page_alloc(1);
    other = number_after(cmdline, "other=");
    print("against domain %u\n", other);
    test_control_ops();
    test_numbers();
    test_dm_ops();
    test_named();
    test_memory();
    test_unknown();
    return true;
}
