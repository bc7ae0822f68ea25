/* SPDX-License-Identifier: MIT */
#include "xenstored/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

#define MAGIC "krstate1"
/* Changes beyond this, and beyond the dump's own size, have a new dump written. */
#define CHANGES_MAX (4u << 20)

struct file_header {
    char magic[8];
    uint64_t committed;
    char identity[112];
};

struct journal {
    struct sink k;
    size_t dump_end;
    bool due;
    char dir[PATH_MAX - 16];
    char identity[sizeof(((struct file_header *)0)->identity)];
};

static struct file_header *header(struct journal *j)
{
    return (struct file_header *)j->k.base;
}

static void commit(struct journal *j)
{
    __atomic_store_n(&header(j)->committed, j->k.used, __ATOMIC_RELEASE);
}

/* ---- Dumps ---- */

static void path_of(const struct journal *j, const char *name, char *buf, size_t len)
{
    snprintf(buf, len, "%s/%s", j->dir, name);
}

/* Writes a new file and puts it into the old one's place. 0 or errno. */
static int dump(struct store *s, struct journal *j, struct sink *k)
{
    char fresh[PATH_MAX], name[PATH_MAX];
    struct file_header h = { .magic = { 0 } };
    int err;

    path_of(j, "state.new", fresh, sizeof(fresh));
    path_of(j, "state", name, sizeof(name));
    unlink(fresh);
    int fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    err = sink_open(k, fd);
    memcpy(h.magic, MAGIC, sizeof(h.magic));
    memcpy(h.identity, j->identity, sizeof(h.identity));
    void *at = sink_put(k, sizeof(h));
    if (at)
        memcpy(at, &h, sizeof(h));
    state_write_header(s, k, 2);
    state_write(s, k, NULL, 2);
    if (!err)
        err = k->failed;
    if (!err) {
        ((struct file_header *)k->base)->committed = k->used;
        if (rename(fresh, name))
            err = errno;
    }
    if (err) {
        sink_close(k);
        unlink(fresh);
    }
    return err;
}

/* The next start would find what is no longer true. */
static void give_up(struct store *s, int err)
{
    struct journal *j = s->journal;
    char name[PATH_MAX];

    kr_log(KR_ERR, "no journal from here on: %s; a restart would lose the store", strerror(err));
    path_of(j, "state", name, sizeof(name));
    unlink(name);
    journal_close(s);
}

void journal_abandon(struct store *s, bool keep)
{
    char name[PATH_MAX];

    if (!s->journal)
        return;
    path_of(s->journal, "state", name, sizeof(name));
    if (!keep)
        unlink(name);
    else
        s->journal->due = true;
}

void journal_settle(struct store *s)
{
    struct journal *j = s->journal;
    struct sink fresh;

    if (!j || !j->due)
        return;
    int err = dump(s, j, &fresh);
    if (err) {
        give_up(s, err);
        return;
    }
    sink_close(&j->k);
    j->k = fresh;
    j->dump_end = j->k.used;
    j->due = false;
}

int journal_open(struct store *s, const char *dir, const char *identity)
{
    struct journal *j = calloc(1, sizeof(*j));
    int err = 0;

    if (!j)
        return ENOMEM;
    if (snprintf(j->dir, sizeof(j->dir), "%s", dir) >= (int)sizeof(j->dir))
        err = ENAMETOOLONG;
    snprintf(j->identity, sizeof(j->identity), "%s", identity);
    if (!err)
        err = dump(s, j, &j->k);
    if (err) {
        free(j);
        return err;
    }
    j->dump_end = j->k.used;
    s->journal = j;
    return 0;
}

void journal_close(struct store *s)
{
    if (!s->journal)
        return;
    sink_close(&s->journal->k);
    free(s->journal);
    s->journal = NULL;
}

/* ---- The last one's ---- */

static int load_mapped(struct store *s, const uint8_t *p, size_t size, const char *identity)
{
    struct file_header h;

    if (size < sizeof(h))
        return ENOENT;
    memcpy(&h, p, sizeof(h));
    if (memcmp(h.magic, MAGIC, sizeof(h.magic)) || strncmp(h.identity, identity, sizeof(h.identity) - 1))
        return ENOENT;
    if (h.committed < sizeof(h) || h.committed > size)
        return EINVAL;
    return state_load(s, p + sizeof(h), h.committed - sizeof(h));
}

int journal_recover(struct store *s, const char *dir, const char *identity)
{
    char name[PATH_MAX];
    struct stat st;

    if (snprintf(name, sizeof(name), "%s/state", dir) >= (int)sizeof(name))
        return ENAMETOOLONG;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno;
    int err = fstat(fd, &st) ? errno : 0;
    if (!err && (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || !st.st_size))
        err = ENOENT;
    if (!err) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        err = p == MAP_FAILED ? errno : load_mapped(s, p, (size_t)st.st_size, identity);
        if (p != MAP_FAILED)
            munmap(p, (size_t)st.st_size);
    }
    close(fd);
    return err;
}

/* ---- Changes ---- */

/* For records whose bodies are already there to copy. */
static void put(struct store *s, uint32_t type, const void *data, size_t len)
{
    void *at = sink_record(&s->journal->k, type, len);

    if (at)
        memcpy(at, data, len);
}

void journal_node_(struct store *s, const char *path, const struct node *n)
{
    state_write_node(s, &s->journal->k, path, n);
}

void journal_removed_(struct store *s, const char *path)
{
    put(s, STATE_KR_REMOVED, path, strlen(path) + 1);
}

void journal_special_(struct store *s, int which)
{
    state_write_special(s, &s->journal->k, which);
}

void journal_domain_(struct store *s, const struct domain *d)
{
    if (d->domid)
        state_write_domain(&s->journal->k, d);
}

void journal_domain_gone_(struct store *s, uint16_t domid)
{
    uint32_t v = domid;

    put(s, STATE_KR_DOMAIN_GONE, &v, sizeof(v));
}

void journal_quota_(struct store *s)
{
    state_write_global_quota(s, &s->journal->k);
}

void journal_log_(struct store *s)
{
    state_write_log(s, &s->journal->k);
}

void journal_watch_(struct watch *w, bool removed)
{
    state_write_watch(&w->conn->s->journal->k, w, removed, 2);
}

void journal_tx_(struct conn *c, uint32_t id, bool ended)
{
    struct state_tx h = { c->id, id };

    put(c->s, ended ? STATE_KR_TX_END : STATE_TX, &h, sizeof(h));
}

void journal_conn_(struct conn *c, bool reset)
{
    struct state_kr_conn h = { .conn_id = c->id };

    if (reset)
        put(c->s, STATE_KR_CONN_RESET, &h, sizeof(h));
    state_write_conn(&c->s->journal->k, c);
}

void journal_conn_gone_(struct conn *c)
{
    struct state_kr_conn h = { .conn_id = c->id };

    put(c->s, STATE_KR_CONN_GONE, &h, sizeof(h));
}

void journal_ring_(struct conn *c, uint32_t type, uint32_t n, const struct iovec *iov, int count)
{
    struct state_kr_conn h = { .conn_id = c->id, .n = n };

    for (int i = 0; i < count; i++)
        h.len += (uint32_t)iov[i].iov_len;
    uint8_t *at = sink_record(&c->s->journal->k, type, sizeof(h) + h.len);
    if (!at)
        return;
    memcpy(at, &h, sizeof(h));
    at += sizeof(h);
    for (int i = 0; i < count; i++) {
        memcpy(at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
}

void journal_sent_(struct conn *c, uint32_t prod, uint32_t sent)
{
    struct state_kr_conn h = { .conn_id = c->id, .n = prod, .len = sent };

    put(c->s, STATE_KR_RING_OUT, &h, sizeof(h));
}

void journal_commit_(struct store *s)
{
    struct journal *j = s->journal;

    if (j->k.failed) {
        give_up(s, j->k.failed);
        return;
    }
    commit(j);
    size_t changes = j->k.used - j->dump_end;
    if (changes > CHANGES_MAX && changes > j->dump_end)
        j->due = true;
}
