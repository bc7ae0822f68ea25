/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls: dispatch, privilege, continuation.
 *
 * Every call, from a guest or a host client, goes through hypercall_start(), the privilege table
 * and one handler. Handlers read and write the caller's memory through guest_access.h only.
 */
#ifndef KR_CORE_HYPERCALL_H
#define KR_CORE_HYPERCALL_H

#include "hypervisor/core/core.h"

/* Who may issue an op. */
enum hc_who {
    WHO_NONE = 0,       /* not implemented: -ENOSYS, counted */
    WHO_GUEST,          /* names a domain: guests themselves, domain 0 any */
    WHO_ANY,            /* concerns the caller alone: any guest, domain 0 */
    WHO_CONTROL,        /* domain 0 only: -EPERM for guests */
};

/*
 * Begins the call that hc describes (op, arg, caller). Completes it now or later by hc_complete().
 */
void hypercall_start(struct hcall *hc);
/* Runs a call again after HC_AGAIN or HC_WAIT. */
void hypercall_continue(struct hcall *hc);
/* Has a call that waits look again in the next turn, before the domain that it waits for changes. */
void hypercall_retry(struct hcall *hc);
/* The caller is going away: forgets the call, undoing what it held. */
void hypercall_cancel(struct hcall *hc);
/* Sends the result to whoever made the call. */
void hc_complete(struct hcall *hc, long ret);

/* Counts and logs (once) a call that does not exist here; returns -ENOSYS. */
long hc_enosys(struct hcall *hc, uint32_t hypercall, uint64_t sub);

/*
 * The domain that an argument names, for an operation on it: DOMID_SELF is the caller. Others only
 * for domain 0, and for a restricted client only its target. 0 or -ESRCH / -EPERM.
 */
int hc_target(struct hcall *hc, domid_t domid, struct domain **out);
/* Is the caller the control domain, unrestricted? */
bool hc_is_control(const struct hcall *hc);

/* The privilege table, for the dispatcher and for tests that walk it. */
struct hc_rule { uint16_t hypercall; uint16_t sub; uint8_t who; const char *name; };
extern const struct hc_rule hc_rules[];
extern const unsigned hc_nr_rules;
enum hc_who hc_who(uint64_t hypercall, uint64_t sub);

/* Handlers, one per hypercall: the result, HC_AGAIN or HC_WAIT. */
long do_memory_op(struct hcall *hc);
long do_dm_op(struct hcall *hc);
long do_event_channel_op(struct hcall *hc);
long do_grant_table_op(struct hcall *hc);
long do_sched_op(struct hcall *hc);
long do_hvm_op(struct hcall *hc);
long do_xen_version(struct hcall *hc);
long do_console_io(struct hcall *hc);
long do_domctl(struct hcall *hc);
long do_sysctl(struct hcall *hc);
long do_hypfs_op(struct hcall *hc);
long do_physdev_op(struct hcall *hc);
long do_platform_op(struct hcall *hc);

#endif
