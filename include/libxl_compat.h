/* SPDX-License-Identifier: MIT */
/*
 * Older levels of libxl's interface, for programs that ask for one with LIBXL_API_VERSION. Included
 * by libxl.h alone. A function-like macro of a function's own name is not expanded again, so each
 * gives the old parameter list and calls the present function.
 */
#ifndef LIBXL_COMPAT_H
#define LIBXL_COMPAT_H

#ifdef LIBXL_API_VERSION

#if LIBXL_API_VERSION < 0x040700
#define ERROR_REMUS_DEVOPS_DOES_NOT_MATCH ERROR_CHECKPOINT_DEVOPS_DOES_NOT_MATCH
#define ERROR_REMUS_DEVICE_NOT_SUPPORTED ERROR_CHECKPOINT_DEVICE_NOT_SUPPORTED
#define libxl_domain_create_restore(ctx, config, domid, fd, params, how, console_how) \
    libxl_domain_create_restore((ctx), (config), (domid), (fd), -1, (params), (how), (console_how))
#include <uuid/uuid.h>
#endif

#if LIBXL_API_VERSION < 0x040800
#define libxl_get_memory_target libxl_get_memory_target_0x040700
#define libxl_domain_need_memory libxl_domain_need_memory_0x040700
#define libxl_get_free_memory libxl_get_free_memory_0x040700
#define libxl_console_exec(ctx, domid, num, type) \
    libxl_console_exec((ctx), (domid), (num), (type), -1)
#define libxl_primary_console_exec(ctx, domid) libxl_primary_console_exec((ctx), (domid), -1)
#elif LIBXL_API_VERSION < 0x041300
#define libxl_domain_need_memory libxl_domain_need_memory_0x041200
#endif

#if LIBXL_API_VERSION < 0x041300
#define libxl_retrieve_domain_configuration(ctx, domid, config) \
    libxl_retrieve_domain_configuration((ctx), (domid), (config), NULL)
#define libxl_domain_shutdown(ctx, domid) libxl_domain_shutdown((ctx), (domid), NULL)
#define libxl_domain_reboot(ctx, domid) libxl_domain_reboot((ctx), (domid), NULL)
#define libxl_domain_pause(ctx, domid) libxl_domain_pause((ctx), (domid), NULL)
#define libxl_domain_unpause(ctx, domid) libxl_domain_unpause((ctx), (domid), NULL)
#define libxl_set_vcpuonline(ctx, domid, map) libxl_set_vcpuonline((ctx), (domid), (map), NULL)
#define libxl_send_trigger(ctx, domid, trigger, vcpu) \
    libxl_send_trigger((ctx), (domid), (trigger), (vcpu), NULL)
#define libxl_qemu_monitor_command(ctx, domid, line, output) \
    libxl_qemu_monitor_command((ctx), (domid), (line), (output), NULL)
#endif

#if LIBXL_API_VERSION < 0x041400
/* CPUID policy is applied by domain creation since 4.14. */
#define libxl_cpuid_apply_policy(ctx, domid) ((void)(ctx), (void)(domid))
#define libxl_cpuid_set(ctx, domid, cpuid) ((void)(ctx), (void)(domid), (void)(cpuid))
#endif

#endif

#endif
