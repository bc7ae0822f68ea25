/* SPDX-License-Identifier: MIT */
#include "xenstored/update.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "xenstored/journal.h"

#define ARGS_MAX 64
#define DEFAULT_TIMEOUT 60

struct update {
    const struct update_host *host;
    struct conn *conn;          /* who asked; NULL: nobody has */
    unsigned conn_id;
    char *file, *cmdline;
    bool started, force;
    unsigned version;           /* 0: as needed */
    uint64_t deadline_ms;
    struct xsd_sockmsg hdr;     /* the request that waits for its answer */
};

void update_allow(struct store *s, const struct update_host *host)
{
    s->update = calloc(1, sizeof(*s->update));
    if (s->update)
        s->update->host = host;
}

static void forget(struct update *u)
{
    const struct update_host *host = u->host;

    free(u->file);
    free(u->cmdline);
    *u = (struct update){ .host = host };
}

void update_free(struct store *s)
{
    if (s->update)
        forget(s->update);
    free(s->update);
    s->update = NULL;
}

/* ---- What CONTROL says ---- */

static const char *set_file(struct update *u, const char *file)
{
    struct stat st;

    if (stat(file, &st) || !S_ISREG(st.st_mode))
        return "File not accessible.";
    if (access(file, X_OK))
        return "File not executable.";
    free(u->file);
    u->file = strdup(file);
    return u->file ? "OK" : "Out of memory.";
}

static const char *set_cmdline(struct update *u, const char *text)
{
    free(u->cmdline);
    u->cmdline = strdup(text);
    return u->cmdline ? "OK" : "Out of memory.";
}

static int parse_start(struct update *u, const char *const *arg, int nargs, uint64_t *seconds)
{
    uint64_t v;

    for (int i = 1; i < nargs; i++) {
        if (!strcmp(arg[i], "-F")) {
            u->force = true;
        } else if (!strcmp(arg[i], "-t") && i + 1 < nargs) {
            if (request_number(arg[++i], INT_MAX, seconds))
                return EINVAL;
        } else if (!strcmp(arg[i], "-v") && i + 1 < nargs) {
            if (request_number(arg[++i], UINT_MAX, &v))
                return EINVAL;
            u->version = (unsigned)v;
            if (!v || v > 2)
                return ENOTSUP;
        } else {
            return EINVAL;
        }
    }
    return 0;
}

static int start(struct request *rq, const char *const *arg, int nargs, const char **answer)
{
    struct update *u = rq->s->update;
    uint64_t seconds = DEFAULT_TIMEOUT;
    int err = parse_start(u, arg, nargs, &seconds);

    if (err == ENOTSUP)
        *answer = "Migration stream version not supported.";
    if (err)
        return err == ENOTSUP ? 0 : err;
    u->started = true;
    u->hdr = rq->hdr;
    if (rq->s->now_ms)
        u->deadline_ms = rq->s->now_ms(rq->s) + seconds * 1000;
    return 0; /* no answer now */
}

int update_control(struct request *rq, const char *const *arg, int nargs, const char **answer)
{
    struct update *u = rq->s->update;

    if (!nargs)
        return EINVAL;
    if (!u)
        *answer = "Live update is not possible here.";
    else if (!strcmp(arg[0], "-f") && nargs == 2) {
        if (u->started) {
            *answer = "A live update is under way.";
            return 0;
        }
        forget(u);
        u->conn = rq->c;
        u->conn_id = rq->c->id;
        *answer = set_file(u, arg[1]);
    } else if (!strcmp(arg[0], "-a") && nargs == 1) {
        if (!u->conn) {
            *answer = "No live update has begun.";
            return 0;
        }
        forget(u);
        *answer = "OK";
    } else if (u->conn != rq->c || u->started || !u->file) {
        *answer = "Name the program first, with -f.";
    } else if (!strcmp(arg[0], "-c") && nargs == 2) {
        *answer = set_cmdline(u, arg[1]);
    } else if (!strcmp(arg[0], "-s")) {
        return start(rq, arg, nargs, answer);
    } else {
        return EINVAL;
    }
    return 0;
}

/* ---- Doing it ---- */

static void answer(struct store *s, struct update *u, const char *text)
{
    struct request rq = { .s = s, .c = u->conn, .hdr = u->hdr };

    conn_reply(&rq, text, strlen(text) + 1);
}

/* Takes back the "OK" that was to be sent by the new program. */
static void answer_instead(struct store *s, struct update *u, const char *text)
{
    conn_unqueue_last(u->conn);
    answer(s, u, text);
}

bool update_due(struct store *s)
{
    struct update *u = s->update;
    struct conn *c;

    if (!u || !u->conn)
        return false;
    TAILQ_FOREACH(c, &s->conns, link)
        if (c == u->conn && c->id == u->conn_id && !c->dead)
            break;
    if (!c) {
        forget(u); /* whoever asked has gone */
        return false;
    }
    if (!u->started)
        return false;
    if (!u->version || !s->nr_txs)
        return true;
    uint64_t now = s->now_ms ? s->now_ms(s) : u->deadline_ms;
    if (now < u->deadline_ms) {
        store_wake_at(s, now + 100 < u->deadline_ms ? now + 100 : u->deadline_ms);
        return false;
    }
    if (u->force)
        return true;
    answer(s, u, "There are transactions under way.");
    forget(u);
    return false;
}

static int keep_open(const struct store *s, const struct state_fds *fds, bool keep)
{
    const struct conn *c;
    int err = 0;

    for (unsigned i = 0; i < fds->nr_listen; i++)
        err |= fcntl(fds->listen[i], F_SETFD, keep ? 0 : FD_CLOEXEC);
    TAILQ_FOREACH(c, &s->conns, link) {
        struct state_conn h = { .type = STATE_CONN_RING };

        if (c->transport && c->ops->save)
            c->ops->save((struct conn *)c, &h);
        if (h.type == STATE_CONN_SOCKET)
            err |= fcntl(h.u.socket_fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
    }
    return err ? EBADF : 0;
}

/* The program's arguments: the command line given, or our own, and -U. text is cut up. */
static void arguments(const struct update *u, char *text, char **out)
{
    bool has = false;
    char *save;
    int n = 0;

    out[n++] = u->file;
    if (text) {
        for (char *a = strtok_r(text, " \t", &save); a && n < ARGS_MAX; a = strtok_r(NULL, " \t", &save))
            out[n++] = a;
    } else {
        for (char **a = u->host->argv + 1; *a && n < ARGS_MAX; a++)
            out[n++] = *a;
    }
    for (int i = 1; i < n; i++)
        has |= !strcmp(out[i], "-U");
    if (!has)
        out[n++] = (char *)"-U";
    out[n] = NULL;
}

int update_dump_path(const char *dir, char *buf, size_t len)
{
    return snprintf(buf, len, "%s/state_dump", dir) >= (int)len ? ENAMETOOLONG : 0;
}

static int write_dump(struct store *s, const struct update *u, const char *path)
{
    struct sink k;

    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int err = sink_open(&k, fd);
    state_write_header(s, &k, u->version);
    struct state_fds fds = u->host->fds;
    fds.dom0_port = u->version && u->host->dom0_port ? u->host->dom0_port(u->host->arg) : 0;
    state_write(s, &k, &fds, u->version);
    state_write_end(&k);
    if (!err)
        err = k.failed;
    if (!err && ftruncate(fd, (off_t)k.used)) /* Xen's reader goes by the file's size */
        err = errno;
    sink_close(&k);
    return err;
}

void update_run(struct store *s)
{
    struct update *u = s->update;
    const struct update_host *h = u->host;
    char path[PATH_MAX], *argv[ARGS_MAX + 3], *text = u->cmdline ? strdup(u->cmdline) : NULL;
    int err = update_dump_path(h->dir, path, sizeof(path));

    arguments(u, text, argv);
    answer(s, u, "OK");
    if (!err)
        err = write_dump(s, u, path);
    if (!err)
        err = keep_open(s, &h->fds, true);
    if (!err)
        err = -h->release(h->arg);
    if (!err) {
        kr_log(KR_NOTICE, "live update to %s", u->file);
        if (u->version)
            journal_abandon(s, false); /* another implementation: our next start must not find old things */
        err = h->exec(u->file, argv) ? errno : 0;
        /* Still here. */
        journal_abandon(s, true);
        keep_open(s, &h->fds, false);
        if (h->reclaim(h->arg))
            kr_log(KR_ERR, "cannot hear of domains' deaths any more");
    }
    kr_log(KR_ERR, "live update to %s failed: %s", u->file, strerror(err));
    unlink(path);
    answer_instead(s, u, strerror(err));
    free(text);
    forget(u);
}

/* ---- On the other side ---- */

int update_dump_open(struct update_dump *d, const char *dir)
{
    char path[PATH_MAX];
    struct stat st;
    int err = update_dump_path(dir, path, sizeof(path));
    int fd = err ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    memset(d, 0, sizeof(*d));
    if (fd < 0)
        return err ? err : errno;
    if (fstat(fd, &st))
        err = errno;
    else if (st.st_uid != geteuid() || !S_ISREG(st.st_mode))
        err = EPERM;
    if (!err) {
        d->len = (size_t)st.st_size;
        d->data = mmap(NULL, d->len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
        if (d->data == MAP_FAILED) {
            d->data = NULL;
            err = errno;
        }
    }
    close(fd);
    if (!err)
        err = state_peek(d->data, d->len, &d->found);
    unlink(path);
    return err;
}

void update_dump_close(struct update_dump *d)
{
    if (d->data)
        munmap(d->data, d->len);
    d->data = NULL;
}
