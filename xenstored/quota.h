/* SPDX-License-Identifier: MIT */
/*
 * What a domain may make the store hold. One table: name (as CONTROL quota and --quota take it),
 * default, and the errno that a request beyond it gets. Domain 0 and Unix socket clients have no
 * limits; 0 means no limit.
 */
#ifndef XENSTORED_QUOTA_H
#define XENSTORED_QUOTA_H

#include <errno.h>

#define QUOTA_TABLE(X) \
    X(NODES,        "nodes",             1000, ENOSPC) \
    X(WATCHES,      "watches",            128, E2BIG)  \
    X(OUTSTANDING,  "outstanding",         20, EAGAIN) \
    X(TRANSACTIONS, "transactions",        10, ENOSPC) \
    X(TX_NODES,     "transaction-nodes", 1024, ENOSPC) \
    X(PERMS,        "node-permissions",     5, ENOSPC) \
    X(PATH,         "path-max",          2048, EINVAL) \
    X(NODE_SIZE,    "node-size",         2048, ENOSPC) \
    X(MEMORY,       "memory",         2621440, ENOMEM)

#define X(id, name, dflt, err) QUOTA_##id,
enum quota_id { QUOTA_TABLE(X) QUOTA_COUNT };
#undef X

struct quota_info {
    const char *name;
    unsigned dflt;
    int err;
};

extern const struct quota_info quota_info[QUOTA_COUNT];

/* The quota called name, or -1. */
int quota_by_name(const char *name);

#endif
