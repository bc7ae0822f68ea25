/* SPDX-License-Identifier: MIT */
/*
 * The daemon's event loop: listening sockets, their clients, the hypervisor's events, a timer, a
 * descriptor that ends it. One epoll set; all that is ready is looked at before the store settles, so
 * that many clients cost no more system calls than they need.
 * Functions return 0 or a negative errno. Never: looks into messages.
 */
#ifndef XENSTORED_LOOP_H
#define XENSTORED_LOOP_H

#include "xenstored/store.h"

struct loop;

int loop_new(struct loop **out, struct store *s);
void loop_free(struct loop *l);
/* The store is to be freed while the loop stays, for another. */
void loop_detach(struct loop *l);
void loop_attach(struct loop *l, struct store *s);
/* Until fd, which stays the caller's, is readable: 0; or something failed. */
int loop_run(struct loop *l, int fd);
/* Takes over the listening socket. */
int loop_listen(struct loop *l, int fd);
/* A client's connected socket, taken over in any case. */
int loop_client(struct loop *l, int fd);
/*
 * fd is readable when an event channel port is pending; pending() takes the next one (-1: none
 * after all), *domain_event says that it told of a domain's death or shutdown.
 */
int loop_host(struct loop *l, int fd, int (*pending)(void *arg, bool *domain_event), void *arg);
/* Makes and binds the socket, mode 0600, replacing one that nobody listens on. Its fd or -errno. */
int loop_make_socket(const char *path);

#endif
