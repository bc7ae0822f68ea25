/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/core.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <xen/sched.h>

#include "hypervisor/core/client.h"
#include "hypervisor/core/console.h"
#include "hypervisor/core/cpu_share.h"
#include "hypervisor/core/cpupool.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/host.h"
#include "hypervisor/core/serial.h"
#include "hypervisor/core/wire.h"

#define PAGES_PER_MIB 256u

uint64_t core_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static unsigned descriptors(void)
{
    struct rlimit rl;

    return getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < 1u << 20 ? (unsigned)rl.rlim_cur
                                                                        : 1u << 20;
}

struct core *core_new(sd_event *event)
{
    struct core *core = calloc(1, sizeof(*core));

    if (!core) {
        return NULL;
    }
    core->event = sd_event_ref(event);
    core->listen_fd = core->console_log = -1;
    core->uid = geteuid();
    core->domain_program = KR_PKGLIBEXECDIR "/krypton-domain";
    core->spawn = domproc_spawn;
    core->start_ns = core_now();
    core->max_fds = descriptors();
    core->max_guest_channels = core->max_fds / 16;
    core->max_pages_apart = core->max_fds / 16;
    host_read(&core->host);
    core->host_dom = core->dom0 = cpupool_init(core) ? NULL : domain_create_host(core);
    if (!core->dom0) {
        cpupool_free_all(core);
        sd_event_unref(core->event);
        free(core);
        errno = ENOMEM;
        return NULL;
    }
    return core;
}

int core_make_machine(struct core *core, uint64_t mib)
{
    struct host_info *h = &core->host;

    if (mib > (h->total_pages - h->reserve_pages) / PAGES_PER_MIB) {
        errno = ERANGE;
        return -1;
    }
    if (mib) {
        /* All of it is the machine's: what the host keeps for itself lies beyond. */
        h->total_pages = mib * PAGES_PER_MIB;
        h->reserve_pages = 0;
    }
    domain_free_domid0(core->host_dom);
    core->dom0 = NULL;
    core->machine = true;
    return 0;
}

void core_end_machine(struct core *core, uint32_t reason)
{
    int status = reason == SHUTDOWN_poweroff ? KR_MACHINE_OFF :
                 reason == SHUTDOWN_reboot || reason == SHUTDOWN_watchdog ? KR_MACHINE_REBOOT :
                 KR_MACHINE_CRASHED;

    console_printf(core, "domain 0 has %s (reason %u): the machine stops",
                   status == KR_MACHINE_OFF ? "powered off" :
                   status == KR_MACHINE_REBOOT ? "asked for a reboot" : "crashed", reason);
    sd_event_exit(core->event, status);
}

void core_free(struct core *core)
{
    struct domain *d, *next;

    if (!core) {
        return;
    }
    while (core->clients) {
        client_free(core->clients);
    }
    for (d = core->domains; d; d = next) {
        next = d->next;
        if (!d->host) {
            domain_kill_now(d);
        }
    }
    domain_kill_now(core->host_dom);
    serial_close(core);
    share_fini(core);
    cpupool_free_all(core);
    sd_event_source_disable_unref(core->listen_src);
    sd_event_source_disable_unref(core->listen_again);
    if (core->listen_fd >= 0) {
        close(core->listen_fd);
    }
    if (core->console_log >= 0) {
        close(core->console_log);
    }
    sd_event_unref(core->event);
    free(core);
}
