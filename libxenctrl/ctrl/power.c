/* SPDX-License-Identifier: MIT */
/* Power management of the host's CPUs: statistics, frequencies, idle states. */
#include <string.h>

#include "libxenctrl/ctrl/private.h"

/* ---- statistics ------------------------------------------------------------------------- */

static int pmstat(xc_interface *xch, struct xen_sysctl *s, uint32_t type, int cpu)
{
    s->cmd = XEN_SYSCTL_get_pmstat;
    s->u.get_pmstat.type = type;
    s->u.get_pmstat.cpuid = (uint32_t)cpu;
    return do_sysctl(xch, s);
}

int xc_pm_get_max_px(xc_interface *xch, int cpuid, int *max_px)
{
    struct xen_sysctl s = { 0 };
    int rc = pmstat(xch, &s, PMSTAT_get_max_px, cpuid);

    if (!rc) {
        *max_px = s.u.get_pmstat.u.getpx.total;
    }
    return rc;
}

int xc_pm_get_max_cx(xc_interface *xch, int cpuid, int *max_cx)
{
    struct xen_sysctl s = { 0 };
    int rc = pmstat(xch, &s, PMSTAT_get_max_cx, cpuid);

    if (!rc) {
        *max_cx = (int)s.u.get_pmstat.u.getcx.nr;
    }
    return rc;
}

int xc_pm_get_pxstat(xc_interface *xch, int cpuid, struct xc_px_stat *pxpt)
{
    struct pm_px_stat *p;
    struct xen_sysctl s = { 0 };
    int max_px, rc = -1;

    if (!pxpt->trans_pt || !pxpt->pt) {
        errno = EINVAL;
        return -1;
    }
    if (xc_pm_get_max_px(xch, cpuid, &max_px)) {
        return -1;
    }
    DECLARE_NAMED_HYPERCALL_BOUNCE(trans, pxpt->trans_pt,
                                   (size_t)max_px * (size_t)max_px * sizeof(*pxpt->trans_pt),
                                   XC_HYPERCALL_BUFFER_BOUNCE_BOTH);
    DECLARE_NAMED_HYPERCALL_BOUNCE(pt, pxpt->pt, (size_t)max_px * sizeof(*pxpt->pt),
                                   XC_HYPERCALL_BUFFER_BOUNCE_BOTH);

    if (xc_hypercall_bounce_pre(xch, trans) || xc_hypercall_bounce_pre(xch, pt)) {
        goto out;
    }
    p = &s.u.get_pmstat.u.getpx;
    p->total = (uint8_t)max_px;
    set_xen_guest_handle(p->trans_pt, trans);
    set_xen_guest_handle(p->pt, pt);
    rc = pmstat(xch, &s, PMSTAT_get_pxstat, cpuid);
    if (!rc) {
        pxpt->total = p->total;
        pxpt->usable = p->usable;
        pxpt->last = p->last;
        pxpt->cur = p->cur;
    }
 out:
    xc_hypercall_bounce_post(xch, trans);
    xc_hypercall_bounce_post(xch, pt);
    return rc;
}

int xc_pm_get_cxstat(xc_interface *xch, int cpuid, struct xc_cx_stat *cxpt)
{
    uint64_t *triggers = cxpt->triggers, *residencies = cxpt->residencies;
    uint64_t *pc = cxpt->pc, *cc = cxpt->cc;
    DECLARE_HYPERCALL_BOUNCE_OUT(triggers, cxpt->nr * sizeof(*triggers));
    DECLARE_HYPERCALL_BOUNCE_OUT(residencies, cxpt->nr * sizeof(*residencies));
    DECLARE_HYPERCALL_BOUNCE_OUT(pc, cxpt->nr_pc * sizeof(*pc));
    DECLARE_HYPERCALL_BOUNCE_OUT(cc, cxpt->nr_cc * sizeof(*cc));
    struct xen_sysctl s = { 0 };
    struct pm_cx_stat *c = &s.u.get_pmstat.u.getcx;
    int rc = -1;

    if (xc_hypercall_bounce_pre(xch, triggers) || xc_hypercall_bounce_pre(xch, residencies) ||
        xc_hypercall_bounce_pre(xch, pc) || xc_hypercall_bounce_pre(xch, cc)) {
        goto out;
    }
    c->nr = cxpt->nr;
    c->nr_pc = cxpt->nr_pc;
    c->nr_cc = cxpt->nr_cc;
    set_xen_guest_handle(c->triggers, triggers);
    set_xen_guest_handle(c->residencies, residencies);
    set_xen_guest_handle(c->pc, pc);
    set_xen_guest_handle(c->cc, cc);
    rc = pmstat(xch, &s, PMSTAT_get_cxstat, cpuid);
    if (!rc) {
        cxpt->nr = c->nr;
        cxpt->last = c->last;
        cxpt->idle_time = c->idle_time;
        cxpt->nr_pc = c->nr_pc;
        cxpt->nr_cc = c->nr_cc;
    }
 out:
    xc_hypercall_bounce_post(xch, triggers);
    xc_hypercall_bounce_post(xch, residencies);
    xc_hypercall_bounce_post(xch, pc);
    xc_hypercall_bounce_post(xch, cc);
    return rc;
}

int xc_pm_reset_pxstat(xc_interface *xch, int cpuid)
{
    struct xen_sysctl s = { 0 };

    return pmstat(xch, &s, PMSTAT_reset_pxstat, cpuid);
}

int xc_pm_reset_cxstat(xc_interface *xch, int cpuid)
{
    struct xen_sysctl s = { 0 };

    return pmstat(xch, &s, PMSTAT_reset_cxstat, cpuid);
}

/* ---- frequencies ------------------------------------------------------------------------ */

static int pm_op(xc_interface *xch, struct xen_sysctl *s, uint32_t cmd, int cpu)
{
    s->cmd = XEN_SYSCTL_pm_op;
    s->u.pm_op.cmd = cmd;
    s->u.pm_op.cpuid = (uint32_t)cpu;
    return do_sysctl(xch, s);
}

/* All but the lists, which the hypercall filled already. */
static void put_cpufreq_para(struct xc_get_cpufreq_para *to, const struct xen_get_cpufreq_para *p)
{
    to->cpu_num = p->cpu_num;
    to->freq_num = p->freq_num;
    to->gov_num = p->gov_num;
    memcpy(to->scaling_driver, p->scaling_driver, CPUFREQ_NAME_LEN);
    to->cpuinfo_cur_freq = p->cpuinfo_cur_freq;
    to->cpuinfo_max_freq = p->cpuinfo_max_freq;
    to->cpuinfo_min_freq = p->cpuinfo_min_freq;
    to->scaling_cur_freq = p->scaling_cur_freq;
    memcpy(to->scaling_governor, p->scaling_governor, CPUFREQ_NAME_LEN);
    to->scaling_max_freq = p->scaling_max_freq;
    to->scaling_min_freq = p->scaling_min_freq;
    memcpy(&to->u, &p->u, sizeof(to->u));
    to->turbo_enabled = p->turbo_enabled;
}

int xc_get_cpufreq_para(xc_interface *xch, int cpuid, struct xc_get_cpufreq_para *user_para)
{
    uint32_t *cpus = user_para->affected_cpus;
    uint32_t *freqs = user_para->scaling_available_frequencies;
    char *govs = user_para->scaling_available_governors;
    DECLARE_HYPERCALL_BOUNCE_BOTH(cpus, user_para->cpu_num * sizeof(*cpus));
    DECLARE_HYPERCALL_BOUNCE_BOTH(freqs, user_para->freq_num * sizeof(*freqs));
    DECLARE_HYPERCALL_BOUNCE_BOTH(govs, user_para->gov_num * CPUFREQ_NAME_LEN);
    struct xen_sysctl s = { 0 };
    struct xen_get_cpufreq_para *p = &s.u.pm_op.u.get_para;
    bool lists = user_para->cpu_num && user_para->freq_num && user_para->gov_num;
    int rc = -1;

    if (lists && (!cpus || !freqs || !govs)) {
        errno = EINVAL;
        return -1;
    }
    if (lists && (xc_hypercall_bounce_pre(xch, cpus) || xc_hypercall_bounce_pre(xch, freqs) ||
                  xc_hypercall_bounce_pre(xch, govs))) {
        goto out;
    }
    if (lists) {
        set_xen_guest_handle(p->affected_cpus, cpus);
        set_xen_guest_handle(p->scaling_available_frequencies, freqs);
        set_xen_guest_handle(p->scaling_available_governors, govs);
    }
    p->cpu_num = user_para->cpu_num;
    p->freq_num = user_para->freq_num;
    p->gov_num = user_para->gov_num;
    rc = pm_op(xch, &s, GET_CPUFREQ_PARA, cpuid);
    if (!rc) {
        put_cpufreq_para(user_para, p);
    } else if (errno == EAGAIN) {
        /* There are other numbers of each by now; the caller makes room and asks again. */
        user_para->cpu_num = p->cpu_num;
        user_para->freq_num = p->freq_num;
        user_para->gov_num = p->gov_num;
    }
 out:
    xc_hypercall_bounce_post(xch, cpus);
    xc_hypercall_bounce_post(xch, freqs);
    xc_hypercall_bounce_post(xch, govs);
    return rc;
}

int xc_set_cpufreq_gov(xc_interface *xch, int cpuid, char *govname)
{
    struct xen_sysctl s = { 0 };
    size_t len = strnlen(govname, CPUFREQ_NAME_LEN - 1);

    memcpy(s.u.pm_op.u.set_gov.scaling_governor, govname, len);
    return pm_op(xch, &s, SET_CPUFREQ_GOV, cpuid);
}

int xc_set_cpufreq_para(xc_interface *xch, int cpuid, int ctrl_type, int ctrl_value)
{
    struct xen_sysctl s = { 0 };

    s.u.pm_op.u.set_para.ctrl_type = (uint32_t)ctrl_type;
    s.u.pm_op.u.set_para.ctrl_value = (uint32_t)ctrl_value;
    return pm_op(xch, &s, SET_CPUFREQ_PARA, cpuid);
}

int xc_get_cpufreq_avgfreq(xc_interface *xch, int cpuid, int *avg_freq)
{
    struct xen_sysctl s = { 0 };
    int rc = pm_op(xch, &s, GET_CPUFREQ_AVGFREQ, cpuid);

    *avg_freq = (int)s.u.pm_op.u.get_avgfreq;
    return rc;
}

int xc_enable_turbo(xc_interface *xch, int cpuid)
{
    struct xen_sysctl s = { 0 };

    return pm_op(xch, &s, XEN_SYSCTL_pm_op_enable_turbo, cpuid);
}

int xc_disable_turbo(xc_interface *xch, int cpuid)
{
    struct xen_sysctl s = { 0 };

    return pm_op(xch, &s, XEN_SYSCTL_pm_op_disable_turbo, cpuid);
}

int xc_set_sched_opt_smt(xc_interface *xch, uint32_t value)
{
    struct xen_sysctl s = { 0 };

    s.u.pm_op.u.set_sched_opt_smt = value;
    return pm_op(xch, &s, XEN_SYSCTL_pm_op_set_sched_opt_smt, 0);
}

/* ---- idle states ------------------------------------------------------------------------ */

/* Where other operations name a CPU, these say which limit is meant. */
enum { LIMIT_CSTATE, LIMIT_CSUBSTATE };

static int get_idle_limit(xc_interface *xch, int which, uint32_t *value)
{
    struct xen_sysctl s = { 0 };
    int rc = pm_op(xch, &s, XEN_SYSCTL_pm_op_get_max_cstate, which);

    *value = s.u.pm_op.u.get_max_cstate;
    return rc;
}

static int set_idle_limit(xc_interface *xch, int which, uint32_t value)
{
    struct xen_sysctl s = { 0 };

    s.u.pm_op.u.set_max_cstate = value;
    return pm_op(xch, &s, XEN_SYSCTL_pm_op_set_max_cstate, which);
}

int xc_get_cpuidle_max_cstate(xc_interface *xch, uint32_t *value)
{
    return get_idle_limit(xch, LIMIT_CSTATE, value);
}

int xc_set_cpuidle_max_cstate(xc_interface *xch, uint32_t value)
{
    return set_idle_limit(xch, LIMIT_CSTATE, value);
}

int xc_get_cpuidle_max_csubstate(xc_interface *xch, uint32_t *value)
{
    return get_idle_limit(xch, LIMIT_CSUBSTATE, value);
}

int xc_set_cpuidle_max_csubstate(xc_interface *xch, uint32_t value)
{
    return set_idle_limit(xch, LIMIT_CSUBSTATE, value);
}
