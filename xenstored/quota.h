/* SPDX-License-Identifier: MIT */
/*
 * What a domain may make the store hold. One table: name (as CONTROL quota, SET_QUOTA and --quota take
 * it), default, the errno that a request beyond it gets, and what it is. Domain 0 and Unix socket
 * clients have no limits; 0 means no limit. A soft quota refuses nothing: it only has the log say so.
 */
#ifndef XENSTORED_QUOTA_H
#define XENSTORED_QUOTA_H

#include <errno.h>
#include <stdbool.h>

#define QUOTA_TABLE(X) \
    X(NODES,        "nodes",             1000, ENOSPC, "nodes that it owns") \
    X(WATCHES,      "watches",            128, E2BIG,  "watches") \
    X(OUTSTANDING,  "outstanding",         20, EAGAIN, "requests not answered to the end") \
    X(TRANSACTIONS, "transactions",        10, ENOSPC, "open transactions") \
    X(TX_NODES,     "transaction-nodes", 1024, ENOSPC, "nodes that a transaction touches") \
    X(PERMS,        "node-permissions",     5, ENOSPC, "permissions of a node") \
    X(PATH,         "path-max",          2048, EINVAL, "bytes of a path") \
    X(NODE_SIZE,    "node-size",         2048, ENOSPC, "bytes of a value") \
    X(MEMORY,       "memory",         2621440, ENOMEM, "bytes in all") \
    X(SOFT_MEMORY,  "soft-memory",    2097152, 0,      "bytes in all that the log tells of")

#define X(id, name, dflt, err, text) QUOTA_##id,
enum quota_id { QUOTA_TABLE(X) QUOTA_COUNT };
#undef X

struct quota_info {
    const char *name;
    unsigned dflt;
    int err;
    const char *text;
};

extern const struct quota_info quota_info[QUOTA_COUNT];

/* As SET_QUOTA and GET_QUOTA write "no limit"; 0 is understood too. */
#define QUOTA_NONE_TEXT 4294967295u

/* The quota called name, or -1. */
int quota_by_name(const char *name);

static inline bool quota_is_soft(int q)
{
    return !quota_info[q].err;
}

#endif
