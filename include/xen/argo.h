/* SPDX-License-Identifier: MIT */
/*
 * Message rings between domains (__HYPERVISOR_argo_op).
 */

#ifndef __XEN_PUBLIC_ARGO_H__
#define __XEN_PUBLIC_ARGO_H__

#include "xen.h"

#define XEN_ARGO_DOMID_ANY     DOMID_INVALID
#define XEN_ARGO_MAX_RING_SIZE (0x1000000ULL)

typedef uint32_t xen_argo_port_t;
typedef uint64_t xen_argo_gfn_t;

#define XEN_ARGO_MAXIOV 8U

struct xen_argo_iov {
    XEN_GUEST_HANDLE(uint8) iov_hnd;
    uint32_t iov_len;
    uint32_t pad;
};
typedef struct xen_argo_iov xen_argo_iov_t;
struct xen_argo_addr {
    xen_argo_port_t aport;
    domid_t domain_id;
    uint16_t pad;
};
typedef struct xen_argo_addr xen_argo_addr_t;
struct xen_argo_send_addr {
    xen_argo_addr_t src;
    xen_argo_addr_t dst;
};
typedef struct xen_argo_send_addr xen_argo_send_addr_t;

/* A ring in the receiver's memory that the hypervisor writes to. Only it moves tx_ptr. */
struct xen_argo_ring {
    uint32_t rx_ptr;
    uint32_t tx_ptr;
    uint8_t reserved[56];
    uint8_t ring[XEN_FLEX_ARRAY_DIM];
};
typedef struct xen_argo_ring xen_argo_ring_t;
struct xen_argo_register_ring {
    xen_argo_port_t aport;
    domid_t partner_id;
    uint16_t pad;
    uint32_t len;
};
typedef struct xen_argo_register_ring xen_argo_register_ring_t;
struct xen_argo_unregister_ring {
    xen_argo_port_t aport;
    domid_t partner_id;
    uint16_t pad;
};
typedef struct xen_argo_unregister_ring xen_argo_unregister_ring_t;

#define XEN_ARGO_MSG_SLOT_SIZE   0x10
#define XEN_ARGO_RING_EXISTS     (1U << 0)
#define XEN_ARGO_RING_SHARED     (1U << 1)
#define XEN_ARGO_RING_EMPTY      (1U << 2)
#define XEN_ARGO_RING_SUFFICIENT (1U << 3)
#define XEN_ARGO_RING_EMSGSIZE   (1U << 4)
#define XEN_ARGO_RING_EBUSY      (1U << 5)

struct xen_argo_ring_data_ent {
    xen_argo_addr_t ring;
    uint16_t flags;
    uint16_t pad;
    uint32_t space_required;
    uint32_t max_message_size;
};
typedef struct xen_argo_ring_data_ent xen_argo_ring_data_ent_t;
struct xen_argo_ring_data {
    uint32_t nent;
    uint32_t pad;
    xen_argo_ring_data_ent_t data[XEN_FLEX_ARRAY_DIM];
};
typedef struct xen_argo_ring_data xen_argo_ring_data_t;

/* Before each message; len counts it in. */
struct xen_argo_ring_message_header {
    uint32_t len;
    xen_argo_addr_t source;
    uint32_t message_type;
    uint8_t data[XEN_FLEX_ARRAY_DIM];
};

#define XEN_ARGO_OP_register_ring         1
#define XEN_ARGO_REGISTER_FLAG_FAIL_EXIST 0x1
#define XEN_ARGO_OP_unregister_ring       2
#define XEN_ARGO_OP_sendv                 3
#define XEN_ARGO_OP_notify                4

#endif /* __XEN_PUBLIC_ARGO_H__ */
