/* SPDX-License-Identifier: MIT */
#include "common/host.h"

#include <errno.h>

#define PART 256        /* entries asked for at once */

int host_each_domain(const struct host *host, void (*fn)(void *arg, uint16_t domid, const struct host_domain *info),
                     void *arg)
{
    struct host_domain_entry part[PART];
    int n = 1;

    if (!host->ops->domain_list)
        return -ENOSYS;
    for (unsigned first = 1; n > 0 && first <= UINT16_MAX; first = part[n - 1].domid + 1u) {
        n = host->ops->domain_list(host->priv, (uint16_t)first, PART, part);
        for (int i = 0; i < n; i++)
            fn(arg, part[i].domid, &part[i].info);
        if (n <= 0)
            break;
    }
    return n < 0 ? n : 0;
}
