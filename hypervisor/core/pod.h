/* SPDX-License-Identifier: MIT */
/*
 * Populate on demand: a domain that is given more frames than pages, so that it can start with less
 * memory than its maximum. Its balloon driver is expected to give frames back before it runs out.
 *
 * Xen backs such a frame when it is first touched, from a cache of pages that the domain was given.
 * Here a frame's page in the RAM memfd is the host's to make when it is first touched, so only the
 * books are kept: the domain's pages (tot_pages) are what it may touch, its frames may be more by
 * `owed`, and a frame that is given back lowers what is owed before it lowers the pages. While
 * something is owed the memory that really is in use is looked at several times a second; a domain
 * that uses more than its pages has crashed, as one whose cache is empty has on Xen.
 */
#ifndef KR_CORE_POD_H
#define KR_CORE_POD_H

#include <stdint.h>
#include <systemd/sd-event.h>

struct domain;

struct pod {
    uint64_t cache;              /* pages that were accounted for frames that are yet to come */
    uint64_t owed;               /* frames beyond the pages */
    sd_event_source *watch;      /* looks at the memory in use while something is owed */
};

/* What a domain may use beyond its pages, and between two looks as much as it can. */
#define POD_SLACK_PAGES 4096     /* 16 MiB */

/* Frames come (or, negative, go again at once): paid from the cache, else owed. 0 or -ENOMEM. */
int pod_account(struct domain *d, int64_t frames);
/* Frames were given back: returns how many of them are to be taken off the domain's pages. */
uint64_t pod_absorb(struct domain *d, uint64_t frames);
/*
 * Gives the domain pages for what is owed, up to `target` in all; a domain without frames yet gets
 * them as its cache. Never takes any: that is for its balloon driver. 0 or -ENOMEM.
 */
int pod_set_target(struct domain *d, uint64_t target);
/* Pages in the cache, and frames that nothing has touched yet, as Xen would count them. */
void pod_info(const struct domain *d, uint64_t *cache, uint64_t *entries);
void pod_free(struct domain *d);

#endif
