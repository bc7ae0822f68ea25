/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/hypercall.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/log.h"
#include "hypervisor/core/client.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/guest_access.h"

#define MC_ENTRIES_PER_SLICE 64

/* A hypercall's handler, and whether its sub-op (for privilege) is in arg[0]. */
struct call { long (*fn)(struct hcall *hc); bool sub_in_arg; };

static const struct call calls[] = {
    [__HYPERVISOR_memory_op] = { do_memory_op, true },
    [__HYPERVISOR_xen_version] = { do_xen_version, true },
    [__HYPERVISOR_console_io] = { do_console_io, true },
    [__HYPERVISOR_grant_table_op] = { do_grant_table_op, true },
    [__HYPERVISOR_sched_op] = { do_sched_op, true },
    [__HYPERVISOR_event_channel_op] = { do_event_channel_op, true },
    [__HYPERVISOR_physdev_op] = { do_physdev_op, true },
    [__HYPERVISOR_hvm_op] = { do_hvm_op, true },
    [__HYPERVISOR_hypfs_op] = { do_hypfs_op, true },
    [__HYPERVISOR_domctl] = { do_domctl, false },
    [__HYPERVISOR_sysctl] = { do_sysctl, false },
    [__HYPERVISOR_platform_op] = { do_platform_op, false },
    [__HYPERVISOR_dm_op] = { do_dm_op, false },
};

/* memory_op carries a continuation's start above its command (MEMOP_EXTENT_SHIFT). */
#define MEMOP_CMD_MASK 63u

static uint64_t sub_of(const struct hcall *hc)
{
    uint64_t sub = (uint32_t)hc->arg[0];

    return hc->op == __HYPERVISOR_memory_op ? sub & MEMOP_CMD_MASK : sub;
}

bool hc_is_control(const struct hcall *hc)
{
    return hc->d->control && !(hc->client && hc->client->restricted);
}

int hc_target(struct hcall *hc, domid_t domid, struct domain **out)
{
    if (domid == DOMID_SELF) {
        domid = hc->d->domid;
    }
    if (hc->client && hc->client->restricted && domid != hc->client->restrict_domid) {
        return -EPERM;
    }
    if (domid != hc->d->domid && !hc->d->control) {
        return -EPERM;
    }
    *out = domid == hc->d->domid ? hc->d : domain_find(hc->core, domid);
    return *out ? 0 : -ESRCH;
}

/* What no table of Xen's has is one row each: a guest can make up any number of numbers. */
#define MAX_CALL 64
#define MAX_SUB 1100    /* domctls reach 1003 */

/* A guest's unknown calls are worth a few lines, whatever it goes on to try. */
#define LINES_PER_DOMAIN 8

static struct enosys_count *enosys_row(struct core *core, uint32_t hypercall, uint64_t sub)
{
    struct enosys_count *e = core->enosys;
    unsigned i;

    if (hypercall >= MAX_CALL) {
        hypercall = UINT32_MAX;
        sub = 0;
    } else if (sub >= MAX_SUB) {
        sub = UINT32_MAX;
    }
    for (i = 0; i < core->nr_enosys; i++) {
        if (e[i].hypercall == hypercall && e[i].sub == sub) {
            return &e[i];
        }
    }
    if (i == KR_MAX_ENOSYS) {
        return &e[i - 1];
    }
    e[i] = (struct enosys_count){ hypercall, sub, 0 };
    core->nr_enosys++;
    return &e[i];
}

long hc_enosys(struct hcall *hc, uint32_t hypercall, uint64_t sub)
{
    struct enosys_count *e = enosys_row(hc->core, hypercall, sub);

    if (e->count++ == 0 && hc->d->enosys_lines < LINES_PER_DOMAIN) {
        hc->d->enosys_lines++;
        kr_log(KR_INFO, "hypercall %" PRIu32 " op %" PRIu64 " (from domain %u) is not implemented",
               hypercall, sub, hc->d->domid);
    }
    return -ENOSYS;
}

/* Privilege first, then the handler. */
static long dispatch(struct hcall *hc)
{
    const struct call *c = hc->op < KR_ARRAY_SIZE(calls) ? &calls[hc->op] : NULL;
    enum hc_who who;

    if (hc->client && hc->client->restricted) {
        /* wire.h: it has its maps and channels, and dm_op on its domain */
        return hc->op == __HYPERVISOR_dm_op && (domid_t)hc->arg[0] == hc->client->restrict_domid
               ? do_dm_op(hc) : -EPERM;
    }
    if (!c || !c->fn) {
        /* The first argument may be a pointer: only a small number is an op. */
        return hc_enosys(hc, hc->op < MAX_CALL ? (uint32_t)hc->op : MAX_CALL,
                         hc->arg[0] < 64 ? hc->arg[0] : 0);
    }
    if (!c->sub_in_arg) {
        /* The op lies in the argument: nobody but domain 0 gets as far as having it read. */
        return hc_is_control(hc) ? c->fn(hc) : -EPERM;
    }
    who = hc_who(hc->op, sub_of(hc));
    if (who == WHO_NONE) {
        return hc_enosys(hc, (uint32_t)hc->op, sub_of(hc));
    }
    if (who == WHO_CONTROL && !hc_is_control(hc)) {
        return -EPERM;
    }
    return c->fn(hc);
}

static long run_handler(struct hcall *hc)
{
    struct core *core = hc->core;
    struct hcall *outer = core->current;
    long ret;

    core->current = hc;
    core->nr_hypercalls++;
    ret = dispatch(hc);
    p2m_flush_all(core);
    core->current = outer;
    return ret;
}

static int on_again(sd_event_source *s, void *opaque)
{
    hypercall_continue(opaque);
    return 0;
}

static long schedule_again(struct hcall *hc)
{
    /* Of the same priority as all I/O: neither starves the other. */
    if (!hc->again && sd_event_add_defer(hc->core->event, &hc->again, on_again, hc) < 0) {
        return -ENOMEM;
    }
    sd_event_source_set_enabled(hc->again, SD_EVENT_ONESHOT);
    return HC_AGAIN;
}

static void reset_progress(struct hcall *hc)
{
    hc_release(hc);
    hc->stage = 0;
    hc->progress = 0;
}

/* The caller's multicall_entry, 64-bit (xen.h): op, result, args[6]. */
struct mc_entry { uint64_t op, result, args[6]; };
struct mc_entry32 { uint32_t op, result, args[6]; };

static int load_entry(struct hcall *hc)
{
    struct mc_entry e;
    struct mc_entry32 e32;

    if (hc->compat) {
        if (copy_from_guest(hc, &e32, hc->mc_list + hc->mc_next * sizeof(e32), sizeof(e32))) {
            return -EFAULT;
        }
        hc->op = e32.op;
        for (int i = 0; i < 5; i++) {
            hc->arg[i] = e32.args[i];
        }
        return 0;
    }
    if (copy_from_guest(hc, &e, hc->mc_list + hc->mc_next * sizeof(e), sizeof(e))) {
        return -EFAULT;
    }
    hc->op = e.op;
    memcpy(hc->arg, e.args, sizeof(hc->arg));
    return 0;
}

static int store_result(struct hcall *hc, long ret)
{
    if (hc->compat) {
        uint32_t r = (uint32_t)ret;
        uint64_t at = hc->mc_list + hc->mc_next * sizeof(struct mc_entry32);

        return copy_to_guest(hc, at + offsetof(struct mc_entry32, result), &r, sizeof(r));
    }
    return copy_to_guest(hc, hc->mc_list + hc->mc_next * sizeof(struct mc_entry) +
                         offsetof(struct mc_entry, result), &ret, sizeof(ret));
}

/* A list of calls made in order; each is checked as if made alone. They do not nest. */
static long run_multicall(struct hcall *hc)
{
    for (unsigned n = 0; hc->mc_next < hc->mc_nr; n++) {
        long ret;

        if (n == MC_ENTRIES_PER_SLICE) {
            return schedule_again(hc);
        }
        /* stage, progress and held tell a call under way from one to be begun */
        if (!hc->stage && !hc->progress && !hc->held && load_entry(hc)) {
            return -EFAULT;
        }
        ret = hc->op == __HYPERVISOR_multicall ? -EINVAL : run_handler(hc);
        if (ret == HC_WAIT) {
            return ret;
        }
        if (ret == HC_AGAIN) {
            return schedule_again(hc);
        }
        reset_progress(hc);
        if (store_result(hc, ret)) {
            return -EFAULT;
        }
        hc->mc_next++;
    }
    return 0;
}

static void begin_multicall(struct hcall *hc)
{
    hc->in_multicall = true;
    hc->mc_list = hc->arg[0];
    hc->mc_nr = (uint32_t)hc->arg[1];
    hc->mc_next = 0;
}

void hypercall_continue(struct hcall *hc)
{
    long ret;

    if (hc->in_multicall) {
        ret = run_multicall(hc);
    } else {
        ret = run_handler(hc);
        if (ret == HC_AGAIN) {
            ret = schedule_again(hc);
        }
    }
    if (ret != HC_AGAIN && ret != HC_WAIT) {
        reset_progress(hc);
        hc->busy = false;
        hc_complete(hc, ret);
    }
}

void hypercall_start(struct hcall *hc)
{
    hc->busy = true;
    hc->stage = 0;
    hc->progress = 0;
    hc->in_multicall = false;
    if (hc->op == __HYPERVISOR_multicall) {
        if (hc->client && hc->client->restricted) {
            hc->busy = false;
            hc_complete(hc, -EPERM);
            return;
        }
        begin_multicall(hc);
    }
    hypercall_continue(hc);
}

static bool drop_from(struct hcall **list, struct hcall *hc)
{
    for (; *list; list = &(*list)->next_waiter) {
        if (*list == hc) {
            *list = hc->next_waiter;
            return true;
        }
    }
    return false;
}

void hypercall_retry(struct hcall *hc)
{
    struct domain *d = hc->waits_on;

    if (d && schedule_again(hc) == HC_AGAIN) {
        drop_from(&d->waiters, hc);
        drop_from(&d->waking, hc);
        hc->waits_on = NULL;
        domain_put(d);
    }
}

void hypercall_cancel(struct hcall *hc)
{
    struct domain *d = hc->waits_on;

    if (d && (drop_from(&d->waiters, hc) || drop_from(&d->waking, hc))) {
        hc->waits_on = NULL;
        domain_put(d);
    }
    hc->again = sd_event_source_disable_unref(hc->again);
    reset_progress(hc);
    hc->busy = false;
}

void hc_complete(struct hcall *hc, long ret)
{
    if (hc->client) {
        client_hypercall_done(hc->client, ret);
    } else {
        domproc_reply(hc->v, ret, hc->d->shutting_down ? KL_RET_STOP : 0);
    }
}
