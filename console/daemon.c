/* SPDX-License-Identifier: MIT */
#include "console/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <xen/xen.h>

#include "common/log.h"

LIST_HEAD(guest_list, guest);

struct daemon {
    sd_event *event;
    struct xs_handle *xs;
    struct host host;
    struct daemon_options o;
    sd_event_source *xs_source; /* news from the store, or while it is gone the time to look for it */
    struct guest_list alive, dead;
    struct guest *by_domid[DOMID_FIRST_RESERVED]; /* those alive */
    struct guest **by_port;
    uint32_t nr_ports;
};

/* How often a store that is gone is looked for. */
#define RETRY_US 100000

static const char *const special_watches[] = { "@introduceDomain", "@releaseDomain" };

static struct guest *find(const struct daemon *d, uint16_t domid)
{
    return domid < DOMID_FIRST_RESERVED ? d->by_domid[domid] : NULL;
}

/* ---- The guest's nodes ---- */

static const char *node_path(char *buf, size_t len, uint16_t domid, const char *node)
{
    snprintf(buf, len, "/local/domain/%u/%s", domid, node);
    return buf;
}

static char *read_node(const struct daemon *d, xs_transaction_t t, uint16_t domid, const char *node)
{
    char path[64];

    return xs_read(d->xs, t, node_path(path, sizeof(path), domid, node), NULL);
}

/* -ENOENT if it is not there, -EINVAL if it is not a number. */
static int read_number(const struct daemon *d, uint16_t domid, const char *node, uint64_t *out)
{
    char *text = read_node(d, XBT_NULL, domid, node), *end;
    int err = 0;

    if (!text)
        return -ENOENT;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno)
        err = -EINVAL;
    free(text);
    return err;
}

/*
 * Only while the console is there: a domain that has just gone must not come back to life in the
 * store by our writing below it.
 */
static int write_tty_once(const struct daemon *d, const struct guest *g)
{
    xs_transaction_t t = xs_transaction_start(d->xs);
    char path[64], *ref, *old;
    bool ok;

    if (!t)
        return -errno;
    ref = read_node(d, t, g->domid, "console/ring-ref");
    old = read_node(d, t, g->domid, "console/tty");
    ok = ref && (!old || strcmp(old, g->tty));
    if (ok)
        ok = xs_write(d->xs, t, node_path(path, sizeof(path), g->domid, "console/tty"), g->tty,
                      (unsigned)strlen(g->tty));
    free(ref);
    free(old);
    return xs_transaction_end(d->xs, t, !ok) ? 0 : -errno;
}

static void write_tty(const struct daemon *d, const struct guest *g)
{
    int err;

    do
        err = write_tty_once(d, g);
    while (err == -EAGAIN);
    if (err)
        kr_log(KR_ERR, "domain %u: cannot publish its console: %s", g->domid, strerror(-err));
}

/* ---- Logs ---- */

/* The guest's name as part of a file's name. */
static void safe_name(char *name)
{
    for (char *p = name; *p; p++)
        if (*p == '/' || (unsigned char)*p <= ' ' || *p == 0x7f)
            *p = '_';
}

static void open_log(struct daemon *d, struct guest *g)
{
    char path[PATH_MAX], *name;

    if (!d->o.log_guests)
        return;
    name = read_node(d, XBT_NULL, g->domid, "name");
    if (name)
        safe_name(name);
    int n = name && *name ? snprintf(path, sizeof(path), "%s/guest-%s.log", d->o.log_dir, name)
                          : snprintf(path, sizeof(path), "%s/guest-%u.log", d->o.log_dir, g->domid);
    free(name);
    int fd = n < (int)sizeof(path)
                 ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600)
                 : -1;
    if (fd < 0)
        kr_log(KR_ERR, "domain %u: cannot open its log %s: %s", g->domid, path, strerror(errno));
    g->timestamps = d->o.timestamps;
    guest_set_log(g, fd);
}

void daemon_reopen_logs(struct daemon *d)
{
    struct guest *g;

    LIST_FOREACH(g, &d->alive, link)
        if (g->page)
            open_log(d, g);
}

/* ---- Ports ---- */

static void unmap_port(struct daemon *d, const struct guest *g)
{
    if (g->port && g->port < d->nr_ports)
        d->by_port[g->port] = NULL;
}

static int map_port(struct daemon *d, struct guest *g)
{
    if (g->port >= d->nr_ports) {
        uint32_t nr = g->port + 64;
        struct guest **grown = realloc(d->by_port, nr * sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        memset(grown + d->nr_ports, 0, (nr - d->nr_ports) * sizeof(*grown));
        d->by_port = grown;
        d->nr_ports = nr;
    }
    d->by_port[g->port] = g;
    return 0;
}

void daemon_port(struct daemon *d, uint32_t port)
{
    if (port < d->nr_ports && d->by_port[port])
        guest_event(d->by_port[port]);
}

/* ---- Guests ---- */

/* The console's type is for us if it says so, or nothing. */
static bool is_ours(const struct daemon *d, uint16_t domid)
{
    char *type = read_node(d, XBT_NULL, domid, "console/type");
    bool ours = !type || !strcmp(type, "xenconsoled");

    free(type);
    return ours;
}

static int connect_guest(struct daemon *d, struct guest *g, uint64_t gfn, uint32_t port)
{
    bool first = g->log_fd < 0;
    int err;

    if (first)
        open_log(d, g);
    unmap_port(d, g);
    err = guest_connect(g, gfn, port);
    if (!err)
        err = map_port(d, g);
    if (!err)
        err = guest_open_pty(g);
    return err;
}

/* The guest's nodes have changed, or may have. */
static void update_guest(struct daemon *d, struct guest *g)
{
    uint64_t gfn, port, limit;
    int err;

    if (!is_ours(d, g->domid)) {
        unmap_port(d, g);
        guest_disconnect(g);
        return;
    }
    if (read_number(d, g->domid, "console/ring-ref", &gfn) ||
        read_number(d, g->domid, "console/port", &port) || !port || port > INT_MAX)
        return; /* not yet: the watch tells when */
    if (!read_number(d, g->domid, "console/limit", &limit) && limit)
        g->out.limit = limit < GUEST_LIMIT_MAX ? limit : GUEST_LIMIT_MAX;
    err = connect_guest(d, g, gfn, (uint32_t)port);
    if (err) {
        kr_log(KR_ERR, "domain %u: cannot connect its console: %s", g->domid, strerror(-err));
        return;
    }
    write_tty(d, g);
}

static void watch_guest(struct daemon *d, uint16_t domid, bool on)
{
    char path[64], token[16];

    node_path(path, sizeof(path), domid, "console");
    snprintf(token, sizeof(token), "%u", domid);
    bool ok = on ? xs_watch(d->xs, path, token) : xs_unwatch(d->xs, path, token);
    if (!ok && on)
        kr_log(KR_ERR, "domain %u: cannot watch its console: %s", domid, strerror(errno));
}

static void meet_guest(struct daemon *d, uint16_t domid)
{
    struct host_domain info;
    struct guest *g;

    if (d->host.ops->domain_info(d->host.priv, domid, &info) || info.dying)
        return;
    g = guest_new(d->event, &d->host, domid);
    if (!g) {
        kr_log(KR_ERR, "domain %u: no memory for its console", domid);
        return;
    }
    memcpy(g->handle, info.handle, sizeof(g->handle));
    LIST_INSERT_HEAD(&d->alive, g, link);
    d->by_domid[domid] = g;
    watch_guest(d, domid, true); /* its first event leads to update_guest() */
}

static void guest_gone(struct guest *g, void *arg)
{
    LIST_REMOVE(g, link);
    guest_free(g);
}

static void bury_guest(struct daemon *d, struct guest *g)
{
    watch_guest(d, g->domid, false);
    unmap_port(d, g);
    LIST_REMOVE(g, link);
    d->by_domid[g->domid] = NULL;
    LIST_INSERT_HEAD(&d->dead, g, link);
    guest_die(g, guest_gone, d);
}

static bool same(const struct guest *g, const struct host_domain *info)
{
    return !info->dying && !memcmp(info->handle, g->handle, sizeof(g->handle));
}

static void mark_listed(void *arg, uint16_t domid, const struct host_domain *info)
{
    struct guest *g = find(arg, domid);

    if (g)
        g->listed = same(g, info);
}

/* For a host that does not list its domains. */
static bool is_there(const struct daemon *d, const struct guest *g)
{
    struct host_domain info;
    int err = d->host.ops->domain_info(d->host.priv, g->domid, &info);

    return err ? err != -ESRCH : same(g, &info);
}

/* Some domain has come, or died, or shut down. */
static void bury_dead(struct daemon *d)
{
    struct guest *g, *next;

    LIST_FOREACH(g, &d->alive, link)
        g->listed = false;
    int err = host_each_domain(&d->host, mark_listed, d);
    for (g = LIST_FIRST(&d->alive); g; g = next) {
        next = LIST_NEXT(g, link);
        if (err ? !is_there(d, g) : !g->listed)
            bury_guest(d, g);
    }
}

/* Meets every domain that the store has a home for. */
static void find_guests(struct daemon *d)
{
    unsigned n = 0;
    char **names = xs_directory(d->xs, XBT_NULL, "/local/domain", &n);

    for (unsigned i = 0; names && i < n; i++) {
        char *end;
        unsigned long domid = strtoul(names[i], &end, 10);

        if (!*end && domid && domid < DOMID_FIRST_RESERVED && !find(d, (uint16_t)domid))
            meet_guest(d, (uint16_t)domid);
    }
    free(names);
}

/* ---- Events from the store ---- */

static void store_event(struct daemon *d, const char *path, const char *token)
{
    if (*path == '@') {
        bury_dead(d); /* first: a number may have come back */
        find_guests(d);
        return;
    }
    struct guest *g = find(d, (uint16_t)strtoul(token, NULL, 10));
    if (g)
        update_guest(d, g);
}

static int on_store(sd_event_source *src, int fd, uint32_t events, void *arg);
static int on_retry(sd_event_source *src, uint64_t now, void *arg);

/* The handle becomes d's, with all watches. On failure it stays the caller's. */
static int use_store(struct daemon *d, struct xs_handle *xs)
{
    struct xs_handle *old = d->xs;
    sd_event_source *source = NULL;
    struct guest *g;
    int fd = xs_fileno(xs), err = fd < 0 ? -errno : 0;

    for (size_t i = 0; i < sizeof(special_watches) / sizeof(special_watches[0]) && !err; i++)
        if (!xs_watch(xs, special_watches[i], "domains"))
            err = -errno;
    if (!err)
        err = sd_event_add_io(d->event, &source, fd, EPOLLIN, on_store, d);
    if (err < 0)
        return err;
    sd_event_source_disable_unref(d->xs_source);
    d->xs_source = source;
    d->xs = xs;
    xs_close(old);
    LIST_FOREACH(g, &d->alive, link)
        watch_guest(d, g->domid, true); /* its first event leads to update_guest() */
    return 0;
}

/*
 * Until the store is back its old handle stays, with which everything fails. Guests' consoles go on: their
 * rings and terminals are no business of the store's.
 */
static int lose_store(struct daemon *d)
{
    sd_event_source_disable_unref(d->xs_source);
    d->xs_source = NULL;
    return sd_event_add_time_relative(d->event, &d->xs_source, CLOCK_MONOTONIC, RETRY_US, 0, on_retry, d);
}

static int on_retry(sd_event_source *src, uint64_t now, void *arg)
{
    struct daemon *d = arg;
    struct xs_handle *xs = xs_open(0);

    if (xs && !use_store(d, xs)) {
        kr_log(KR_NOTICE, "the store is back");
        return 0;
    }
    xs_close(xs);
    int err = lose_store(d);
    return err < 0 ? sd_event_exit(d->event, 1) : 0;
}

static int on_store(sd_event_source *src, int fd, uint32_t events, void *arg)
{
    struct daemon *d = arg;
    char **event;

    while ((event = xs_check_watch(d->xs))) {
        store_event(d, event[XS_WATCH_PATH], event[XS_WATCH_TOKEN]);
        free(event);
    }
    if (errno == EAGAIN)
        return 0;
    kr_log(KR_WARN, "the store is gone: %s; waiting for it", strerror(errno));
    int err = lose_store(d);
    return err < 0 ? sd_event_exit(d->event, 1) : 0;
}

/* ---- The whole ---- */

int daemon_new(struct daemon **out, sd_event *e, struct xs_handle *xs, const struct host *host,
               const struct daemon_options *o)
{
    struct daemon *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    d->event = e;
    d->host = *host;
    d->o = *o;
    int err = use_store(d, xs);
    if (err) {
        daemon_free(d);
        return err;
    }
    *out = d;
    return 0;
}

void daemon_free(struct daemon *d)
{
    struct guest_list *lists[] = { &d->alive, &d->dead };

    for (int i = 0; i < 2; i++)
        while (!LIST_EMPTY(lists[i])) {
            struct guest *g = LIST_FIRST(lists[i]);
            LIST_REMOVE(g, link);
            guest_free(g);
        }
    sd_event_source_disable_unref(d->xs_source);
    xs_close(d->xs);
    free(d->by_port);
    free(d);
}
