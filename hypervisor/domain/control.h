/* SPDX-License-Identifier: MIT */
/*
 * The process's end of link.h: messages in and out, and the main thread's loop.
 *
 * The core is trusted to mean well, not to be free of errors: a message that makes no sense is
 * logged and ends the process, which the core sees as the domain's crash.
 */
#ifndef KR_DOMAIN_CONTROL_H
#define KR_DOMAIN_CONTROL_H

#include "hypervisor/domain/machine.h"

#define CONTROL_MAX_FDS 4

/* A packet as received; fd[] are the reader's to close (-1: none). */
struct control_msg {
    int fd[CONTROL_MAX_FDS];
    union {
        struct kl_hdr h;
        struct kl_setup setup;
        struct kl_vcpu vcpu;
        struct kl_map map;
        struct kl_unmap unmap;
        struct kl_port port;
        struct kl_param param;
        struct kl_cpuid cpuid;
        struct kl_trigger trigger;
        struct kl_virq virq;
        struct kl_ret ret;
        struct kl_ioreq ioreq;
        struct kl_ioreq_port ioreq_port;
        struct kl_msi msi;
        struct kl_inject inject;
        struct kl_sync sync;
        uint8_t bytes[KL_MAX_MSG];
    };
};

/* Waits for one packet. Returns 0, or -1: the other side is gone or sent no packet of ours. */
int control_recv(int sock, struct control_msg *msg);
int control_send(int sock, const void *msg, size_t len);
void control_close_fds(struct control_msg *msg);

/* Applies KL_MAP, KL_UNMAP, KL_PORT or KL_PARAM; takes the descriptors. -1: it is none of them, or
 * failed (logged). Any thread. */
int control_update(struct machine *m, struct control_msg *msg);

/* The main thread's loop: returns when the core has gone or broken the protocol. */
void control_loop(struct machine *m);

/* Own thread: the hypercall is the core's. Returns when the core has answered.
 * *stop: KL_RET_STOP. */
long control_hypercall(struct vcpu *v, uint64_t op, const uint64_t arg[5], bool narrow, bool *stop);

void control_shutdown(struct vcpu *v, unsigned reason, const char *text);
/* A byte for the debug console, sent line by line; flush sends what there is. Own thread. */
void control_debug_char(struct vcpu *v, char c);
void control_debug_flush(struct vcpu *v);

#endif
