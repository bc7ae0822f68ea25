/* SPDX-License-Identifier: MIT */
/*
 * A store with nothing real below it: a host whose domains and ring pages are memory, clients whose
 * sockets are buffers. Everything runs when asked to, in the caller's thread.
 */
#ifndef TESTS_XS_FAKE_H
#define TESTS_XS_FAKE_H

#include "xenstored/store.h"

#define FAKE_DOMAINS 8

struct fake_domain {
    bool exists, dying, shutdown;
    uint8_t life;               /* part of the handle: another number, another domain */
    struct xenstore_domain_interface *page;
    int mapped;
    uint32_t port;              /* bound local port, 0 if none */
    unsigned notified;
    uint32_t rsp_cons, req_prod; /* the honest guest's own indices */
};

/* A socket client: what it has sent and not been read, what it has been sent. */
struct fake_client {
    struct conn *conn;
    int fd;                     /* what the store takes for its socket's number */
    char in[65536], out[65536];
    size_t in_len, out_len;
    bool closed, stuck;         /* stuck: takes nothing */
    bool failed;                /* the daemon says that it broke the protocol */
};

#define FAKE_CLIENTS 64

struct fake {
    struct store s;
    struct fake_client *client[FAKE_CLIENTS];
    bool handing_over;          /* ports stay bound though the store lets go of them */
    struct fake_domain dom[FAKE_DOMAINS];
    uint64_t now_ms;
    bool no_gnttab, no_list;
    uint32_t req_id;
    void (*on_notify)(struct fake *f, uint16_t domid); /* a guest that acts at this moment */
};

struct fake_msg {
    struct xsd_sockmsg hdr;
    char body[XENSTORE_PAYLOAD_MAX + 1];
};

void fake_init(struct fake *f);
/* Returns with everything freed; the sanitizers tell of leaks. */
void fake_free(struct fake *f);
/* Lets the daemon run until it has nothing to do. */
void fake_run(struct fake *f);

/*
 * Another daemon goes on with what this one had: by a live update, with everything; or after its
 * death, with the journal in dir, which must have been opened, and without socket clients.
 */
void fake_update(struct fake *f);
void fake_restart(struct fake *f, const char *dir);

struct fake_client *fake_connect(struct fake *f);
void fake_disconnect(struct fake *f, struct fake_client *c);
/* Raw bytes. */
void fake_put(struct fake *f, struct fake_client *c, const void *data, size_t len);
/* The next message to the client; false if there is none. */
bool fake_get(struct fake_client *c, struct fake_msg *m);

/* A domain comes up: exists, has a page. Introduction is the test's business. */
void fake_domain_up(struct fake *f, uint16_t domid);
void fake_domain_down(struct fake *f, uint16_t domid);
/* What an honest guest does with its ring, event included. Bytes taken or given. */
size_t fake_ring_put(struct fake *f, uint16_t domid, const void *data, size_t len);
bool fake_ring_get(struct fake *f, uint16_t domid, struct fake_msg *m);
void fake_ring_kick(struct fake *f, uint16_t domid);

/* A request from a client (c) or, with c NULL, from a guest, whose reply may come later. */
void fake_ask(struct fake *f, struct fake_client *c, uint16_t domid, uint32_t type, uint32_t tx, const void *data,
              size_t len);

/*
 * A request and its reply from a client (c) or, with c NULL, from a guest. Watch events that come
 * before the reply are dropped. Returns the reply's type.
 */
uint32_t fake_talk(struct fake *f, struct fake_client *c, uint16_t domid, uint32_t type,
                   uint32_t tx, const void *data, size_t len, struct fake_msg *reply);

#endif
