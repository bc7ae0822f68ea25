/* SPDX-License-Identifier: MIT */
#include "xenstored/quota.h"

#include <string.h>

const struct quota_info quota_info[QUOTA_COUNT] = {
#define X(id, name, dflt, err, text) [QUOTA_##id] = { name, dflt, err, text },
    QUOTA_TABLE(X)
#undef X
};

int quota_by_name(const char *name)
{
    if (!strcmp(name, "path-length")) /* what later versions of Xen call it */
        return QUOTA_PATH;
    for (int i = 0; i < QUOTA_COUNT; i++)
        if (!strcmp(quota_info[i].name, name))
            return i;
    return -1;
}
