/* SPDX-License-Identifier: MIT */
/*
 * TPM devices.
 */

#ifndef __XEN_PUBLIC_IO_TPMIF_H__
#define __XEN_PUBLIC_IO_TPMIF_H__

#include "../grant_table.h"

struct tpmif_tx_request {
    unsigned long addr;
    grant_ref_t ref;
    uint16_t unused;
    uint16_t size;
};
typedef struct tpmif_tx_request tpmif_tx_request_t;
typedef uint32_t TPMIF_RING_IDX;

#define TPMIF_TX_RING_SIZE 1

struct tpmif_ring {
    struct tpmif_tx_request req;
};
typedef struct tpmif_ring tpmif_ring_t;

struct tpmif_tx_interface {
    struct tpmif_ring ring[TPMIF_TX_RING_SIZE];
};
typedef struct tpmif_tx_interface tpmif_tx_interface_t;

enum tpmif_state {
    TPMIF_STATE_IDLE = 0,
    TPMIF_STATE_SUBMIT = 1,
    TPMIF_STATE_FINISH = 2,
    TPMIF_STATE_CANCEL = 3,
};

struct tpmif_shared_page {
    uint32_t length;
    uint8_t state;
    uint8_t locality;
    uint8_t pad;
    uint8_t nr_extra_pages;
    uint32_t extra_pages[0];
};
typedef struct tpmif_shared_page tpmif_shared_page_t;

#endif /* __XEN_PUBLIC_IO_TPMIF_H__ */
