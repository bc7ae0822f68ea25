/* SPDX-License-Identifier: MIT */
/*
 * Guest time. The guest sees system time (host CLOCK_MONOTONIC plus the domain's offset) as a
 * line through the TSC, in vcpu_time_info; about once a second the line is bent slightly so that it
 * follows the host's clock, never backwards. Timers compare with the host's clock itself.
 */
#ifndef KR_DOMAIN_TIME_H
#define KR_DOMAIN_TIME_H

#include "hypervisor/domain/machine.h"

/* Measures the TSC against CLOCK_MONOTONIC_RAW for the given time, unless a CPUID leaf or the
 * kernel knows better. kHz. */
uint64_t time_tsc_khz(unsigned measure_ms);

/* Starts the line; khz 0: measure. */
void time_init(struct machine *m, uint64_t khz);
/* Own thread, before guest code runs: corrects the line if it is time to, and brings this vCPU's
 * (and, after a correction, every vCPU's) time records up to date. */
void time_refresh(struct vcpu *v, uint64_t now);
/* Forces the records and the wallclock to be written again (after (re)load, new areas). */
void time_publish(struct vcpu *v);
void time_publish_wallclock(struct machine *m);
/* The layout of shared_info that the guest uses; another than before gets the wallclock. */
void time_set_narrow(struct machine *m, bool narrow);

/* Guest system time <-> host monotonic time. */
uint64_t time_guest(const struct machine *m, uint64_t host_ns);
uint64_t time_host(const struct machine *m, uint64_t guest_ns);
/* Host monotonic time at which the vCPU's TSC reaches the value. */
uint64_t time_of_tsc(struct vcpu *v, uint64_t guest_tsc);

/* The earliest deadline of this vCPU's timers; fires those due at now. Own thread. */
uint64_t time_next_deadline(const struct vcpu *v);
void time_run_timers(struct vcpu *v, uint64_t now);

/* VCPUOP_set_singleshot_timer and set_timer_op: absolute guest system time in ns, 0 stops. */
long time_set_singleshot(struct vcpu *v, uint64_t guest_ns, bool must_be_future);
void time_stop_singleshot(struct vcpu *v);
/* VCPUOP_set_periodic_timer; any thread; 0 stops. */
void time_set_periodic(struct vcpu *v, uint64_t period_ns);

#endif
