/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/pod.h"

#include <errno.h>
#include <sys/stat.h>

#include <xen/sched.h>

#include "common/log.h"
#include "hypervisor/core/domain.h"

#define LOOK_USEC 100000u

/* Pages of the RAM memfd that exist. */
static uint64_t pages_in_use(const struct domain *d)
{
    struct stat st;

    return d->ram_fd < 0 || fstat(d->ram_fd, &st) ? 0 : (uint64_t)st.st_blocks / 8;
}

static int on_look(sd_event_source *s, uint64_t usec, void *opaque)
{
    struct domain *d = opaque;
    uint64_t used = pages_in_use(d);

    if (!d->pod.owed || d->dying) {
        return 0;    /* a one-shot: it ends here, or is armed again by what is owed next */
    }
    if (!d->shutting_down && used > d->tot_pages + POD_SLACK_PAGES) {
        kr_log(KR_NOTICE, "domain %u is out of memory on demand: it uses %llu pages of %llu, and "
               "has %llu frames more", d->domid, (unsigned long long)used,
               (unsigned long long)d->tot_pages, (unsigned long long)d->pod.owed);
        domain_shutdown(d, SHUTDOWN_crash);
    }
    sd_event_source_set_time_relative(s, LOOK_USEC);
    sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
    return 0;
}

static int watch(struct domain *d)
{
    if (d->pod.watch) {
        sd_event_source_set_time_relative(d->pod.watch, LOOK_USEC);
        return sd_event_source_set_enabled(d->pod.watch, SD_EVENT_ONESHOT) < 0 ? -ENOMEM : 0;
    }
    return sd_event_add_time_relative(d->core->event, &d->pod.watch, CLOCK_MONOTONIC, LOOK_USEC, 0,
                                      on_look, d) < 0 ? -ENOMEM : 0;
}

int pod_account(struct domain *d, int64_t frames)
{
    struct pod *p = &d->pod;
    uint64_t n = (uint64_t)(frames < 0 ? -frames : frames), k;

    if (frames < 0) {
        k = n < p->owed ? n : p->owed;
        p->owed -= k;
        p->cache += n - k;
        return 0;
    }
    k = n < p->cache ? n : p->cache;
    if (n > k && !p->owed && watch(d)) {
        return -ENOMEM;
    }
    p->cache -= k;
    p->owed += n - k;
    return 0;
}

uint64_t pod_absorb(struct domain *d, uint64_t frames)
{
    uint64_t k = frames < d->pod.owed ? frames : d->pod.owed;

    d->pod.owed -= k;
    return frames - k;
}

int pod_set_target(struct domain *d, uint64_t target)
{
    struct pod *p = &d->pod;
    uint64_t frames = d->tot_pages - p->cache + p->owed, add;
    int rc;

    if ((frames && !p->owed) || target <= d->tot_pages) {
        return 0;
    }
    add = target - d->tot_pages;
    if (frames && add > p->owed) {
        add = p->owed;
    }
    rc = domain_account(d, (int64_t)add);
    if (!rc && frames) {
        p->owed -= add;
    } else if (!rc) {
        p->cache += add;
    }
    return rc;
}

void pod_info(const struct domain *d, uint64_t *cache, uint64_t *entries)
{
    uint64_t pages = d->tot_pages - d->pod.cache, used = pages_in_use(d);

    if (!d->pod.owed) {
        used = pages;    /* nothing is left to demand */
    } else if (used > pages) {
        used = pages;
    }
    *cache = d->tot_pages - used;
    *entries = pages + d->pod.owed - used;
}

void pod_free(struct domain *d)
{
    d->pod.watch = sd_event_source_disable_unref(d->pod.watch);
    d->pod.owed = d->pod.cache = 0;
}
