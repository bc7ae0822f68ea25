/* SPDX-License-Identifier: MIT */
/*
 * Shared rings of requests and responses, used by all split drivers.
 *
 * A frontend and a backend share one page (or several) that starts with four indices and goes on
 * with an array of entries, a power of two of them. An entry holds a request on its way to the
 * backend and the response on its way back. Indices run freely and are masked on use; each side
 * keeps private copies of what it has produced and consumed, and trusts nothing in the page.
 */

#ifndef __XEN_PUBLIC_IO_RING_H__
#define __XEN_PUBLIC_IO_RING_H__

#include "../xen-compat.h"

typedef unsigned int RING_IDX;

/* The largest power of two not above _x; constant expressions, as arrays are sized by them. */
#define __RD2(_x) (((_x) & 0x00000002) ? 0x2 : ((_x) & 0x1))
#define __RD4(_x) (((_x) & 0x0000000c) ? __RD2((_x) >> 2) << 2 : __RD2(_x))
#define __RD8(_x) (((_x) & 0x000000f0) ? __RD4((_x) >> 4) << 4 : __RD4(_x))
#define __RD16(_x) (((_x) & 0x0000ff00) ? __RD8((_x) >> 8) << 8 : __RD8(_x))
#define __RD32(_x) (((_x) & 0xffff0000) ? __RD16((_x) >> 16) << 16 : __RD16(_x))

/* How many entries of ring type _s, or of the ring at _s, fit in _sz bytes. */
#define __CONST_RING_SIZE(_s, _sz) \
    __RD32(((_sz) - offsetof(struct _s##_sring, ring)) / \
           sizeof(((struct _s##_sring *)0)->ring[0]))
#define __RING_SIZE(_s, _sz) \
    __RD32(((_sz) - (unsigned long)((char *)(_s)->ring - (char *)(_s))) / sizeof((_s)->ring[0]))

/*
 * Declares the shared ring __name_sring_t and the two private views of it, __name_front_ring_t
 * and __name_back_ring_t, for requests of type __req_t and responses of type __rsp_t. The other
 * macros work on all rings declared so.
 */
#define DEFINE_RING_TYPES(__name, __req_t, __rsp_t) \
    union __name##_sring_entry { \
        __req_t req; \
        __rsp_t rsp; \
    }; \
    struct __name##_sring { \
        RING_IDX req_prod, req_event; \
        RING_IDX rsp_prod, rsp_event; \
        union { \
            struct { \
                uint8_t smartpoll_active; \
            } netif; \
            struct { \
                uint8_t msg; \
            } tapif_user; \
            uint8_t pvt_pad[4]; \
        } pvt; \
        uint8_t __pad[44]; \
        union __name##_sring_entry ring[1]; \
    }; \
    struct __name##_front_ring { \
        RING_IDX req_prod_pvt; \
        RING_IDX rsp_cons; \
        unsigned int nr_ents; \
        struct __name##_sring *sring; \
    }; \
    struct __name##_back_ring { \
        RING_IDX rsp_prod_pvt; \
        RING_IDX req_cons; \
        unsigned int nr_ents; \
        struct __name##_sring *sring; \
    }; \
    typedef struct __name##_sring __name##_sring_t; \
    typedef struct __name##_front_ring __name##_front_ring_t; \
    typedef struct __name##_back_ring __name##_back_ring_t

/* The frontend clears a fresh page; both events start at 1: tell me of the very first. */
#define SHARED_RING_INIT(_s) \
    do { \
        (_s)->req_prod = 0; \
        (_s)->rsp_prod = 0; \
        (_s)->req_event = 1; \
        (_s)->rsp_event = 1; \
        (void)memset((_s)->pvt.pvt_pad, 0, sizeof((_s)->pvt.pvt_pad)); \
        (void)memset((_s)->__pad, 0, sizeof((_s)->__pad)); \
    } while (0)

/* ATTACH takes up a ring that is in use, at index _i; INIT one that starts at 0. */
#define FRONT_RING_ATTACH(_r, _s, _i, __size) \
    do { \
        (_r)->sring = (_s); \
        (_r)->nr_ents = __RING_SIZE(_s, __size); \
        (_r)->rsp_cons = (_i); \
        (_r)->req_prod_pvt = (_i); \
    } while (0)
#define FRONT_RING_INIT(_r, _s, __size) FRONT_RING_ATTACH(_r, _s, 0, __size)
#define XEN_FRONT_RING_INIT(r, s, size) \
    do { \
        SHARED_RING_INIT(s); \
        FRONT_RING_INIT(r, s, size); \
    } while (0)

#define BACK_RING_ATTACH(_r, _s, _i, __size) \
    do { \
        (_r)->sring = (_s); \
        (_r)->nr_ents = __RING_SIZE(_s, __size); \
        (_r)->req_cons = (_i); \
        (_r)->rsp_prod_pvt = (_i); \
    } while (0)
#define BACK_RING_INIT(_r, _s, __size) BACK_RING_ATTACH(_r, _s, 0, __size)

#define RING_SIZE(_r) ((_r)->nr_ents)
#define RING_FREE_REQUESTS(_r) (RING_SIZE(_r) - ((_r)->req_prod_pvt - (_r)->rsp_cons))
#define RING_FULL(_r) (RING_FREE_REQUESTS(_r) == 0)

/*
 * What waits to be consumed. For requests the smaller of two counts: a request can only be new
 * as far as there is room to answer it, whatever the producer claims.
 */
#define XEN_RING_NR_UNCONSUMED_RESPONSES(_r) ((_r)->sring->rsp_prod - (_r)->rsp_cons)
#define XEN_RING_NR_UNCONSUMED_REQUESTS(_r) \
    __extension__({ \
        unsigned int _claimed = (_r)->sring->req_prod - (_r)->req_cons; \
        unsigned int _room = RING_SIZE(_r) - ((_r)->req_cons - (_r)->rsp_prod_pvt); \
        _claimed < _room ? _claimed : _room; \
    })
#ifdef XEN_RING_HAS_UNCONSUMED_IS_BOOL
#define RING_HAS_UNCONSUMED_RESPONSES(_r) (!!XEN_RING_NR_UNCONSUMED_RESPONSES(_r))
#define RING_HAS_UNCONSUMED_REQUESTS(_r) (!!XEN_RING_NR_UNCONSUMED_REQUESTS(_r))
#else
#define RING_HAS_UNCONSUMED_RESPONSES(_r) XEN_RING_NR_UNCONSUMED_RESPONSES(_r)
#define RING_HAS_UNCONSUMED_REQUESTS(_r) XEN_RING_NR_UNCONSUMED_REQUESTS(_r)
#endif

/* The entry itself, in shared memory: fit for writing. To read one, take a copy first. */
#define RING_GET_REQUEST(_r, _idx) (&((_r)->sring->ring[(_idx) & (RING_SIZE(_r) - 1)].req))
#define RING_GET_RESPONSE(_r, _idx) (&((_r)->sring->ring[(_idx) & (RING_SIZE(_r) - 1)].rsp))

/* Volatile, so that the compiler reads the shared entry once and here only. */
#define RING_COPY_(type, r, idx, dest) \
    do { \
        *(dest) = *(volatile __typeof__(dest))RING_GET_##type(r, idx); \
    } while (0)
#define RING_COPY_REQUEST(r, idx, req) RING_COPY_(REQUEST, r, idx, req)
#define RING_COPY_RESPONSE(r, idx, rsp) RING_COPY_(RESPONSE, r, idx, rsp)

/* True if the index is further on than an honest peer can be. */
#define RING_REQUEST_CONS_OVERFLOW(_r, _cons) (((_cons) - (_r)->rsp_prod_pvt) >= RING_SIZE(_r))
#define RING_REQUEST_PROD_OVERFLOW(_r, _prod) (((_prod) - (_r)->rsp_prod_pvt) > RING_SIZE(_r))
#define RING_RESPONSE_PROD_OVERFLOW(_r, _prod) (((_prod) - (_r)->rsp_cons) > RING_SIZE(_r))

/* Publish all that was written up to the private index; the entries first, then the index. */
#define RING_PUSH_REQUESTS(_r) \
    do { \
        xen_wmb(); \
        (_r)->sring->req_prod = (_r)->req_prod_pvt; \
    } while (0)
#define RING_PUSH_RESPONSES(_r) \
    do { \
        xen_wmb(); \
        (_r)->sring->rsp_prod = (_r)->rsp_prod_pvt; \
    } while (0)

/*
 * The same, and find out whether the peer asked to be woken by anything now published: its event
 * index lies in (old, new]. It is read after the new index is visible, or a wake-up could be lost.
 */
#define RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(_r, _notify) \
    do { \
        RING_IDX _from = (_r)->sring->req_prod, _to = (_r)->req_prod_pvt; \
        RING_PUSH_REQUESTS(_r); \
        xen_mb(); \
        (_notify) = (RING_IDX)(_to - (_r)->sring->req_event) < (RING_IDX)(_to - _from); \
    } while (0)
#define RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(_r, _notify) \
    do { \
        RING_IDX _from = (_r)->sring->rsp_prod, _to = (_r)->rsp_prod_pvt; \
        RING_PUSH_RESPONSES(_r); \
        xen_mb(); \
        (_notify) = (RING_IDX)(_to - (_r)->sring->rsp_event) < (RING_IDX)(_to - _from); \
    } while (0)

/*
 * Before sleeping: ask to be woken by the next one, then look again, as it may have come between.
 */
#define RING_FINAL_CHECK_FOR_REQUESTS(_r, _work_to_do) \
    do { \
        (_work_to_do) = RING_HAS_UNCONSUMED_REQUESTS(_r); \
        if (!(_work_to_do)) { \
            (_r)->sring->req_event = (_r)->req_cons + 1; \
            xen_mb(); \
            (_work_to_do) = RING_HAS_UNCONSUMED_REQUESTS(_r); \
        } \
    } while (0)
#define RING_FINAL_CHECK_FOR_RESPONSES(_r, _work_to_do) \
    do { \
        (_work_to_do) = RING_HAS_UNCONSUMED_RESPONSES(_r); \
        if (!(_work_to_do)) { \
            (_r)->sring->rsp_event = (_r)->rsp_cons + 1; \
            xen_mb(); \
            (_work_to_do) = RING_HAS_UNCONSUMED_RESPONSES(_r); \
        } \
    } while (0)

/*
 * Byte rings of any size (9pfs, pvcalls): one page of indices with the grants of 2^order data
 * pages; the data's first half carries bytes in, its second half bytes out.
 */
#ifndef XEN_PAGE_SHIFT
#define XEN_PAGE_SHIFT 12
#endif
#define XEN_FLEX_RING_SIZE(order) (1UL << ((order) + XEN_PAGE_SHIFT - 1))

#define DEFINE_XEN_FLEX_RING(name) \
    static inline RING_IDX name##_mask(RING_IDX idx, RING_IDX ring_size) \
    { \
        return idx & (ring_size - 1); \
    } \
    static inline unsigned char *name##_get_ring_ptr(unsigned char *buf, RING_IDX idx, \
                                                     RING_IDX ring_size) \
    { \
        return &buf[name##_mask(idx, ring_size)]; \
    } \
    static inline void name##_read_packet(void *opaque, const unsigned char *buf, size_t size, \
                                          RING_IDX masked_prod, RING_IDX *masked_cons, \
                                          RING_IDX ring_size) \
    { \
        size_t first = size; \
        if (*masked_cons >= masked_prod && size > ring_size - *masked_cons) \
            first = ring_size - *masked_cons; \
        memcpy(opaque, buf + *masked_cons, first); \
        memcpy((unsigned char *)opaque + first, buf, size - first); \
        *masked_cons = name##_mask(*masked_cons + size, ring_size); \
    } \
    static inline void name##_write_packet(unsigned char *buf, const void *opaque, size_t size, \
                                           RING_IDX *masked_prod, RING_IDX masked_cons, \
                                           RING_IDX ring_size) \
    { \
        size_t first = size; \
        if (*masked_prod >= masked_cons && size > ring_size - *masked_prod) \
            first = ring_size - *masked_prod; \
        memcpy(buf + *masked_prod, opaque, first); \
        memcpy(buf, (const unsigned char *)opaque + first, size - first); \
        *masked_prod = name##_mask(*masked_prod + size, ring_size); \
    } \
    static inline RING_IDX name##_queued(RING_IDX prod, RING_IDX cons, RING_IDX ring_size) \
    { \
        RING_IDX used; \
        if (prod == cons) \
            return 0; \
        used = name##_mask(name##_mask(prod, ring_size) - name##_mask(cons, ring_size), \
                           ring_size); \
        return used ? used : ring_size; \
    } \
    struct name##_data { \
        unsigned char *in; \
        unsigned char *out; \
    }

#define DEFINE_XEN_FLEX_RING_AND_INTF(name) \
    struct name##_data_intf { \
        RING_IDX in_cons, in_prod; \
        uint8_t pad1[56]; \
        RING_IDX out_cons, out_prod; \
        uint8_t pad2[56]; \
        RING_IDX ring_order; \
        grant_ref_t ref[]; \
    }; \
    DEFINE_XEN_FLEX_RING(name)

#endif /* __XEN_PUBLIC_IO_RING_H__ */
