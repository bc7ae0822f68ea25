/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/core.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor/core/client.h"
#include "hypervisor/core/cpu_share.h"
#include "hypervisor/core/cpupool.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/host.h"

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
    core->max_guest_channels = descriptors() / 16;
    host_read(&core->host);
    core->dom0 = cpupool_init(core) ? NULL : domain_create_dom0(core);
    if (!core->dom0) {
        cpupool_free_all(core);
        sd_event_unref(core->event);
        free(core);
        errno = ENOMEM;
        return NULL;
    }
    return core;
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
        if (!d->control) {
            domain_kill_now(d);
        }
    }
    domain_kill_now(core->dom0);
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
