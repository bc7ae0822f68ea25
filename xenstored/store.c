/* SPDX-License-Identifier: MIT */
/* A store begins and ends. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "xenstored/hash.h"
#include "xenstored/journal.h"
#include "xenstored/update.h"
#include "xenstored/store.h"

const char *const special_name[SPECIAL_COUNT] = {
    [SPECIAL_INTRODUCE] = "@introduceDomain",
    [SPECIAL_RELEASE] = "@releaseDomain",
};

/* How much transactions may hold of what is no more, beside a quarter of what is. */
#define PINNED_MAX (4 << 20)

/* Nodes that a host has before anyone writes: tools look for them to see that the store is up. */
static const char *const first_nodes[] = { "/tool/xenstored" };

/* ---- The log file ---- */

void store_log(struct store *s, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (!s->log) {
        kr_log(KR_INFO, "%s", line);
        return;
    }
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    struct timespec ts;
    struct tm tm;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &ts);
    strftime(when, sizeof(when), "%Y%m%d %H:%M:%S", localtime_r(&ts.tv_sec, &tm));
    fprintf(s->log, "%s.%03ld %s\n", when, ts.tv_nsec / 1000000, line);
    fflush(s->log);
}

FILE *store_append(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "a");

    if (fd >= 0 && !f) {
        int err = errno;
        close(fd);
        errno = err;
    }
    return f;
}

int store_log_open(struct store *s, const char *path)
{
    FILE *f = path ? store_append(path) : NULL;

    if (path && !f)
        return errno;
    if (s->log)
        fclose(s->log);
    s->log = f;
    free(s->log_path);
    s->log_path = NULL;
    return 0;
}

int store_log_name(struct store *s, const char *path)
{
    char *name = strdup(path);
    int err = name ? store_log_open(s, path) : ENOMEM;

    if (err)
        free(name);
    else
        s->log_path = name;
    return err;
}

void store_log_reopen(struct store *s)
{
    char *path = s->log_path;

    if (!path)
        return;
    s->log_path = NULL;
    int err = store_log_name(s, path);
    if (err)
        kr_log(KR_ERR, "cannot go on logging to %s: %s", path, strerror(err));
    else
        kr_log(KR_NOTICE, "logging to %s, as the last daemon did", path);
    free(path);
}

/* ---- Changes ---- */

void store_publish(struct store *s, const struct tree *fresh, const struct tally *diff, struct tree *old)
{
    *old = s->tree;
    old->tally = NULL;
    s->tree = *fresh;
    s->tree.tally = &s->books;
    tally_merge(&s->books, diff);
}

/* A change while there are snapshots: the old node, and copies of all on the way to it. */
static void reckon(struct store *s, const char *path, const struct node *n)
{
    int64_t levels = 1;

    for (const char *p = path; *p; p++)
        levels += *p == '/';
    s->pinned += levels * 128 + (n ? (int64_t)node_bytes(n) : 0);
    if (s->books.total < s->last_total)
        s->pinned += s->last_total - s->books.total;
    s->last_total = s->books.total;
    if (s->pinned > PINNED_MAX + s->books.total / 4)
        tx_rebase_all(s);
}

void store_changed(struct store *s, const char *path, const struct node *n)
{
    JOURNAL(s, journal_node_(s, path, n));
    if (s->nr_txs > s->committing)
        reckon(s, path, n);
    if (s->trace & TRACE_TDB)
        store_log(s, "node %s changed", path);
}

void store_removed(struct store *s, const char *path)
{
    JOURNAL(s, journal_removed_(s, path));
    if (s->nr_txs > s->committing)
        reckon(s, path, NULL);
    if (s->trace & TRACE_TDB)
        store_log(s, "node %s removed", path);
}

/* ---- Beginning and end ---- */

static int first_tree(struct store *s)
{
    const struct perm dom0_only = { .domid = 0, .rights = 0 };
    struct perms *p = perms_new(&dom0_only, 1, store_next_gen(s));
    int err;

    if (!p)
        return ENOMEM;
    err = tree_init(&s->tree, p, store_next_gen(s));
    if (!err) {
        s->tree.tally = &s->books;
        tally_add(&s->books, 0, 1, (int64_t)node_bytes(s->tree.root));
    }
    for (size_t i = 0; i < sizeof(first_nodes) / sizeof(first_nodes[0]) && !err; i++)
        err = tree_create(&s->tree, first_nodes[i], p, "", 0, store_next_gen(s));
    for (int i = 0; i < SPECIAL_COUNT; i++)
        s->special[i] = perms_ref(p);
    perms_unref(p);
    return err;
}

int store_init(struct store *s, const struct host *host)
{
    memset(s, 0, sizeof(*s));
    hash_init();
    s->host = *host;
    s->event_timeout_ms = 20000;
    s->trace_switches = TRACE_OBJ | TRACE_IO | TRACE_WRL;
    TAILQ_INIT(&s->conns);
    TAILQ_INIT(&s->ready);
    for (int i = 0; i < QUOTA_COUNT; i++)
        s->quota[i] = quota_info[i].dflt;
    LIST_INIT(&s->domains);
    wrl_init(s);
    s->books.flat = calloc(UINT16_MAX + 1, sizeof(*s->books.flat));
    if (!s->books.flat)
        return ENOMEM;
    s->by_domid = calloc(DOMID_COUNT, sizeof(*s->by_domid));
    s->dom0 = s->by_domid ? domain_meet(s, 0) : NULL;
    if (!s->dom0)
        return ENOMEM;
    return first_tree(s);
}

void store_free(struct store *s)
{
    struct conn *c;

    journal_close(s);
    update_free(s);
    s->kick = NULL;
    TAILQ_FOREACH(c, &s->conns, link)
        conn_kill(c);
    while (!TAILQ_EMPTY(&s->ready))
        store_settle(s);
    domain_free_all(s);
    if (s->tree.root)
        tree_drop(&s->tree);
    for (int i = 0; i < SPECIAL_COUNT; i++)
        perms_unref(s->special[i]);
    free(s->watches.bucket);
    free(s->listing.names);
    free(s->by_port);
    free(s->books.flat);
    if (s->log)
        fclose(s->log);
    free(s->log_path);
}
