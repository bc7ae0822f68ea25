/* SPDX-License-Identifier: MIT */
/*
 * How much processor time a domain gets: credit2's weight and cap, enforced by what this host lets
 * us use.
 *
 * Weights: by control group (100 for credit2's 256), else by nice values if we may raise them
 * again, else not at all. Caps: by control group, else by the domain's process itself. share_caps()
 * and share_weights() say which; xl info shows it.
 */
#ifndef KR_CORE_CPU_SHARE_H
#define KR_CORE_CPU_SHARE_H

#include "hypervisor/core/domain.h"

#define SHARE_DEFAULT_WEIGHT 256u

/*
 * Finds out what there is; says it on the console. group: a control group to use, or NULL for what
 * systemd may have delegated. 0, or -errno if group is not NULL and cannot be used.
 */
int share_init(struct core *core, const char *group);
void share_fini(struct core *core);

/* d's process has started; has ended. */
void share_begin(struct domain *d);
void share_end(struct domain *d);
/* Keeps both and puts them into effect. */
void share_set(struct domain *d, uint32_t weight, uint32_t cap);
/* Again, for threads that have come since. */
void share_apply(struct domain *d);

/* One line each. Static text, or core's. */
const char *share_weights(const struct core *core);
const char *share_caps(const struct core *core);

#endif
