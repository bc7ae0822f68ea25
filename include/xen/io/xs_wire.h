/* SPDX-License-Identifier: MIT */
/*
 * The store's wire protocol and ring.
 */

#ifndef _XS_WIRE_H
#define _XS_WIRE_H

/*
 * Requests, and the two messages that only the store sends: WATCH_EVENT and ERROR. A reply has
 * its request's type.
 */
enum xsd_sockmsg_type {
    XS_CONTROL = 0,
    XS_DIRECTORY = 1,
    XS_READ = 2,
    XS_GET_PERMS = 3,
    XS_WATCH = 4,
    XS_UNWATCH = 5,
    XS_TRANSACTION_START = 6,
    XS_TRANSACTION_END = 7,
    XS_INTRODUCE = 8,
    XS_RELEASE = 9,
    XS_GET_DOMAIN_PATH = 10,
    XS_WRITE = 11,
    XS_MKDIR = 12,
    XS_RM = 13,
    XS_SET_PERMS = 14,
    XS_WATCH_EVENT = 15,
    XS_ERROR = 16,
    XS_IS_DOMAIN_INTRODUCED = 17,
    XS_RESUME = 18,
    XS_SET_TARGET = 19,
    XS_RESET_WATCHES = 21,
    XS_DIRECTORY_PART = 22,
    XS_TYPE_COUNT = 23,     /* of Xen 4.17's */
    /* Of Xen 4.22. */
    XS_GET_FEATURE = 23,
    XS_SET_FEATURE = 24,
    XS_GET_QUOTA = 25,
    XS_SET_QUOTA = 26,
    XS_INVALID = 65535,
    /*
     * Krypton's: src|dst| copies a node with all below it (xenstore.h xs_clone()). Xen numbers its
     * operations from 0 upwards, so this ("kr" in the upper half) will not be one of them, and every
     * daemon that does not know it answers ENOSYS.
     */
    XS_KR_CLONE = 0x4b720000,
};

#define XS_DEBUG             XS_CONTROL

/* Words of old protocols. */
#define XS_WRITE_NONE        "NONE"
#define XS_WRITE_CREATE      "CREATE"
#define XS_WRITE_CREATE_EXCL "CREATE|EXCL"

struct xsd_errors {
    int errnum;
    const char *errstring;
};

/* Errors travel by name. Present only where the including file knows errno.h. */
#ifdef EINVAL
#define XSD_ERROR(x) {x, #x}
static const struct xsd_errors xsd_errors[] __attribute__((unused)) = {
    XSD_ERROR(EINVAL), XSD_ERROR(EACCES), XSD_ERROR(EEXIST),    XSD_ERROR(EISDIR),
    XSD_ERROR(ENOENT), XSD_ERROR(ENOMEM), XSD_ERROR(ENOSPC),    XSD_ERROR(EIO),
    XSD_ERROR(ENOTEMPTY), XSD_ERROR(ENOSYS), XSD_ERROR(EROFS),  XSD_ERROR(EBUSY),
    XSD_ERROR(EAGAIN), XSD_ERROR(EISCONN), XSD_ERROR(E2BIG),    XSD_ERROR(EPERM),
};
#endif

/*
 * Precedes every message; len bytes follow, mostly NUL-terminated texts. tx_id 0: no transaction.
 */
struct xsd_sockmsg {
    uint32_t type;
    uint32_t req_id;
    uint32_t tx_id;
    uint32_t len;
};

/* The parts of a watch event, in order. */
enum xs_watch_type {
    XS_WATCH_PATH = 0,
    XS_WATCH_TOKEN = 1,
};

/* The page between the store and a domain: two rings of bytes, with free-running indices. */
#define XENSTORE_RING_SIZE 1024

typedef uint32_t XENSTORE_RING_IDX;

#define MASK_XENSTORE_IDX(idx) ((idx) & (XENSTORE_RING_SIZE - 1))

struct xenstore_domain_interface {
    char req[XENSTORE_RING_SIZE];
    char rsp[XENSTORE_RING_SIZE];
    XENSTORE_RING_IDX req_cons;
    XENSTORE_RING_IDX req_prod;
    XENSTORE_RING_IDX rsp_cons;
    XENSTORE_RING_IDX rsp_prod;
    uint32_t server_features;
    uint32_t connection;
    uint32_t error;
};

/* A longer message ends the connection; a longer path is an error reply. */
#define XENSTORE_PAYLOAD_MAX                 4096
#define XENSTORE_ABS_PATH_MAX                3072
#define XENSTORE_REL_PATH_MAX                2048

/* server_features: the guest can ask for a fresh start of the ring; the error field exists. */
#define XENSTORE_SERVER_FEATURE_RECONNECTION 1
#define XENSTORE_SERVER_FEATURE_ERROR        2
/* Of Xen 4.22: XS_WATCH takes a depth; permissions may name DOMID_ANY. */
#define XENSTORE_SERVER_FEATURE_WATCHDEPTH   4
#define XENSTORE_SERVER_FEATURE_DOMID_ANY    8
/* Krypton's: XS_KR_CLONE. Xen gives bits out from the lowest up; the highest is a sign to some readers. */
#define XENSTORE_SERVER_FEATURE_KR_CLONE     0x40000000

/* connection: the guest sets RECONNECT, the store sets CONNECTED when it has reset the ring. */
#define XENSTORE_CONNECTED 0
#define XENSTORE_RECONNECT 1

/* error: why the store has stopped serving the ring. */
#define XENSTORE_ERROR_NONE    0
#define XENSTORE_ERROR_COMM    1
#define XENSTORE_ERROR_RINGIDX 2
#define XENSTORE_ERROR_PROTO   3

#endif /* _XS_WIRE_H */
