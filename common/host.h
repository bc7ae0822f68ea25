/* SPDX-License-Identifier: MIT */
/*
 * What the store and the console daemon need from the hypervisor: a page that a domain shares, its
 * event channel, and whether a domain lives. All of it behind one table, so that tests put a fake
 * below the daemon.
 *
 * Never: interprets what is on the page.
 */
#ifndef KR_COMMON_HOST_H
#define KR_COMMON_HOST_H

#include <stdbool.h>
#include <stdint.h>

struct host_domain {
    bool dying;    /* being torn down */
    bool shutdown; /* has stopped: poweroff, reboot, suspend, crash */
    uint8_t handle[16]; /* tells a domain from a later one with the same number */
};

struct host_domain_entry {
    uint16_t domid;
    struct host_domain info;
};

/* Functions return 0 (bind: a local port > 0) or a negative errno. */
struct host_ops {
    /* -ESRCH: no such domain. */
    int (*domain_info)(void *priv, uint16_t domid, struct host_domain *out);
    /* The page as granted by the domain's reserved reference gref, else by frame number. */
    int (*map_page)(void *priv, uint16_t domid, uint32_t gref, uint64_t gfn, void **page,
                    bool *granted);
    void (*unmap_page)(void *priv, void *page, bool granted);
    int (*bind)(void *priv, uint16_t domid, uint32_t remote_port);
    void (*unbind)(void *priv, uint32_t port);
    void (*notify)(void *priv, uint32_t port);
    /* The other end's port of one that is bound here, by whomever; or a negative errno. */
    int (*remote_port)(void *priv, uint32_t port);
    /* The domains from number `first` on, at most max, in order: their count, or a negative errno. */
    int (*domain_list)(void *priv, uint16_t first, unsigned max, struct host_domain_entry *out);
};

struct host {
    const struct host_ops *ops;
    void *priv;
};

/*
 * Shows fn every domain but domain 0, in order of their numbers, in a few hypercalls for all. 0 or a negative errno,
 * when some may have been shown; -ENOSYS where the host cannot list them.
 */
int host_each_domain(const struct host *host, void (*fn)(void *arg, uint16_t domid, const struct host_domain *info),
                     void *arg);

/* ---- The real one ---- */

struct host_real;

/*
 * 0, or a negative errno with *what naming the part that failed. domain_events: bind VIRQ_DOM_EXC,
 * which a host has one of, and which is the store's; others learn of deaths from the store.
 */
int host_real_open(struct host_real **out, struct host *host, bool domain_events,
                   const char **what);
/* The same for the successor of a program that had fd as its host_real_fd(); -1: there was none. */
int host_real_succeed(struct host_real **out, struct host *host, bool domain_events, int fd,
                      const char **what);
void host_real_close(struct host_real *h);
/*
 * Before exec() of a successor: the domain events are the next one's to bind, all other event
 * channels stay. keep: they are ours again. 0 or a negative errno.
 */
int host_real_hand_over(struct host_real *h, bool keep);
/* Readable when a port is pending. */
int host_real_fd(const struct host_real *h);
/*
 * The next pending port, unmasked, or -1. *domain_event: it told of a domain's death or shutdown.
 * arg is a struct host_real.
 */
int host_real_pending(void *arg, bool *domain_event);

#endif
