/* SPDX-License-Identifier: MIT */
/* The FIFO ABI's event words and queues; used by event.c only. Port locks are held by
 * the caller. */
#ifndef KR_DOMAIN_FIFO_H
#define KR_DOMAIN_FIFO_H

#include "hypervisor/domain/machine.h"

/* The port's event word, or NULL while the guest has not given its page. */
_Atomic uint32_t *fifo_word(struct machine *m, uint32_t number);
/* Marks the port pending and queues it unless masked. */
void fifo_set_pending(struct machine *m, struct port *p);
void fifo_unmask(struct machine *m, struct port *p);
void fifo_clear_pending(struct machine *m, struct port *p);
bool fifo_is_pending(struct machine *m, uint32_t number);

#endif
