/* SPDX-License-Identifier: MIT */
/* The operations: one table, one function each, errors by errno. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "xenstored/journal.h"
#include "xenstored/store.h"

/* ---- Taking requests apart ---- */

int request_strings(const struct request *rq, const char **out, int max)
{
    const char *p = rq->data, *end = p + rq->hdr.len;
    int n = 0;

    if (p == end || end[-1])
        return -1;
    for (; p < end && n < max; p += strlen(p) + 1)
        out[n++] = p;
    return n;
}

/* The payload's leading string must be there; *rest and *len are what follows it. */
static int split(const struct request *rq, const char **first, const char **rest, size_t *len)
{
    const char *nul = memchr(rq->data, 0, rq->hdr.len);

    if (!nul)
        return EINVAL;
    *first = rq->data;
    *rest = nul + 1;
    *len = rq->hdr.len - (size_t)(nul + 1 - rq->data);
    return 0;
}

int request_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return EINVAL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno || *end || *out > max ? EINVAL : 0;
}

/* What relative paths begin with; a socket client's are domain 0's. */
static size_t home_prefix(const struct request *rq, char *buf, size_t len)
{
    return (size_t)snprintf(buf, len, "/local/domain/%u/", rq->viewer.domid);
}

/* Puts the absolute form of arg into rq->path. */
static int path_arg(struct request *rq, const char *arg)
{
    size_t len = strlen(arg), at = 0;

    if (*arg != '/' && *arg != '@')
        at = home_prefix(rq, rq->path, sizeof(rq->path));
    if (at + len >= sizeof(rq->path))
        return EINVAL;
    memcpy(rq->path + at, arg, len + 1);
    if (!path_valid(rq->path))
        return EINVAL;
    return quota_check(rq->s, rq->c->dom, QUOTA_PATH, path_local_len(rq->path));
}

int request_node_arg(struct request *rq, const char *arg)
{
    int err = path_arg(rq, arg);

    return err ? err : path_is_special(rq->path) ? EINVAL : 0;
}

/* For the operations whose whole payload is one path. */
static int only_path(struct request *rq)
{
    const char *arg;

    return request_strings(rq, &arg, 1) == 1 && strlen(arg) + 1 == rq->hdr.len ? request_node_arg(rq, arg) : EINVAL;
}

/* ---- Reaching nodes ---- */

static int note(struct request *rq, unsigned access)
{
    return rq->tx ? tx_note(rq->c, rq->tx, rq->path, access) : 0;
}

/*
 * What a missing node may be called: ENOENT to those who could find out, EACCES to those who may
 * not even look at the nearest node above it.
 */
static int missing(const struct request *rq, unsigned need)
{
    size_t found;
    const struct node *n = tree_nearest(rq->tree, rq->path, &found);

    return (perms_for(n->perms, &rq->viewer) & need) == need ? ENOENT : EACCES;
}

int request_reach(struct request *rq, unsigned need, unsigned access, const struct node **out)
{
    const struct node *n = tree_find(rq->tree, rq->path);
    int err = note(rq, access);

    if (err)
        return err;
    if (!n)
        return missing(rq, need);
    if ((perms_for(n->perms, &rq->viewer) & need) != need)
        return EACCES;
    *out = n;
    return 0;
}

int request_ok(struct request *rq)
{
    return conn_reply(rq, "OK", 3);
}

/* ---- Reading ---- */

static int op_read(struct request *rq)
{
    const struct node *n;
    int err = only_path(rq);

    if (!err)
        err = request_reach(rq, PERM_READ, TX_READ_NODE, &n);
    return err ? err : conn_reply(rq, node_value(n), n->value_len);
}

/* Everything of a listing that has been made again: the sorted names, one after the other. */
static int listing_make(struct listing *l, const struct node *n)
{
    const struct node **kids = node_children(n);
    size_t len = 0;

    if (!kids)
        return ENOMEM;
    for (uint32_t i = 0; i < n->nkids; i++)
        len += kids[i]->name_len + 1u;
    if (len > l->room) {
        char *grown = realloc(l->names, len);
        if (!grown) {
            free(kids);
            return ENOMEM;
        }
        l->names = grown;
        l->room = len;
    }
    char *at = l->names;
    for (uint32_t i = 0; i < n->nkids; i++) {
        memcpy(at, kids[i]->data, kids[i]->name_len);
        at += kids[i]->name_len;
        *at++ = 0;
    }
    l->len = len;
    free(kids);
    return 0;
}

/*
 * The last listing is kept: who reads a long one asks for it part by part, and others ask again and
 * again for one that has not changed. A path's set of children never has the same generation twice.
 */
static int directory(struct request *rq, const struct node **n)
{
    struct listing *l = &rq->s->listing;
    int err = request_reach(rq, PERM_READ, TX_READ_LIST, n);

    if (err)
        return err;
    if (l->kids_gen == (*n)->kids_gen && !strcmp(l->path, rq->path))
        return 0;
    l->kids_gen = 0;
    err = listing_make(l, *n);
    if (err)
        return err;
    strcpy(l->path, rq->path);
    l->kids_gen = (*n)->kids_gen;
    return 0;
}

static int op_directory(struct request *rq)
{
    const struct node *n;
    int err = only_path(rq);

    if (!err)
        err = directory(rq, &n);
    return err ? err : conn_reply(rq, rq->s->listing.names, rq->s->listing.len);
}

/*
 * Reply: the list's generation, then whole names from byte `offset` of the list on, as many as fit;
 * an empty name ends the list.
 */
static int op_directory_part(struct request *rq)
{
    const struct listing *l = &rq->s->listing;
    char out[XENSTORE_PAYLOAD_MAX];
    const struct node *n;
    const char *arg[2];
    uint64_t at;
    int err = request_strings(rq, arg, 2) == 2 ? 0 : EINVAL;

    if (!err)
        err = request_node_arg(rq, arg[0]);
    if (!err)
        err = request_number(arg[1], UINT32_MAX, &at);
    if (!err)
        err = directory(rq, &n);
    if (err)
        return err;
    size_t used = (size_t)snprintf(out, sizeof(out), "%" PRIu64, n->kids_gen) + 1;
    while (at && at < l->len && l->names[at - 1])
        at++;
    while (at < l->len) {
        size_t len = strlen(l->names + at) + 1;

        if (used + len + 1 > sizeof(out))
            return conn_reply(rq, out, used);
        memcpy(out + used, l->names + at, len);
        used += len;
        at += len;
    }
    out[used++] = 0;
    return conn_reply(rq, out, used);
}

static int special_index(const char *path)
{
    for (int i = 0; i < SPECIAL_COUNT; i++)
        if (!strcmp(path, special_name[i]))
            return i;
    return -1;
}

/* Without entries whose domain is no more. */
static int reply_perms(struct request *rq, const struct perms *p)
{
    char out[XENSTORE_PAYLOAD_MAX];
    struct perms *shown = domain_perms_copy(rq->s, p);

    if (!shown)
        return ENOMEM;
    size_t len = perms_print(shown, out, sizeof(out));
    perms_unref(shown);
    return len ? conn_reply(rq, out, len) : E2BIG;
}

static int op_get_perms(struct request *rq)
{
    const struct perms *p;
    const struct node *n;
    const char *arg;
    int err = request_strings(rq, &arg, 1) == 1 ? path_arg(rq, arg) : EINVAL;

    if (err)
        return err;
    if (path_is_special(rq->path)) {
        int i = special_index(rq->path);
        if (i < 0)
            return ENOENT;
        p = rq->s->special[i];
        if (!(perms_for(p, &rq->viewer) & PERM_READ))
            return EACCES;
    } else {
        err = request_reach(rq, PERM_READ, TX_READ_PERMS, &n);
        if (err)
            return err;
        p = n->perms;
    }
    return reply_perms(rq, p);
}

/* ---- Writing ---- */

struct perms *request_inherit(struct request *rq, struct perms *from)
{
    if (rq->viewer.privileged ||
        (perms_owner(from) == rq->viewer.domid && rq->viewer.birth <= from->gen))
        return perms_ref(from);
    /* The copy is younger than the list: what had expired there must not begin to count here. */
    struct perms *p = domain_perms_copy(rq->s, from);
    if (p) /* whoever owned the other may be no more */
        p->entry[0] = (struct perm){ rq->viewer.domid, p->entry[0].rights & PERM_RIGHTS };
    return p;
}

unsigned request_missing(const char *path, size_t found)
{
    unsigned n = 0;

    for (const char *p = path + (found > 1 ? found : 0); *p; p++)
        n += *p == '/';
    return n;
}

int request_note_create(struct request *rq, size_t found, bool reserve)
{
    char *path = rq->path;
    size_t len = strlen(path), at = found;
    int err = 0;

    if (!rq->tx)
        return 0;
    for (bool top = true; !err; top = false) {
        char cut = path[at];

        path[at] = 0;
        err = tx_note(rq->c, rq->tx, path, reserve ? 0 : top ? TX_READ_PERMS : TX_READ_PERMS | TX_CREATED);
        path[at] = cut;
        if (at == len)
            break;
        at = top && at == 1 ? 1 : at + 1;
        at += strcspn(path + at, "/");
    }
    return err;
}

int request_charge(struct request *rq, size_t bytes)
{
    int err = rq->tx ? memory_take(rq->s, rq->c->dom, bytes) : 0;

    if (!err && rq->tx)
        rq->tx->charged += bytes;
    return err;
}

static int create(struct request *rq, const char *value, size_t len)
{
    size_t found, bytes;
    const struct node *near = tree_nearest(rq->tree, rq->path, &found);
    unsigned parts = request_missing(rq->path, found);
    int err;

    if (!(perms_for(near->perms, &rq->viewer) & PERM_WRITE))
        return EACCES;
    struct perms *p = request_inherit(rq, near->perms);
    if (!p)
        return ENOMEM;
    bytes = parts * (sizeof(struct node) + perms_bytes(p)) + strlen(rq->path) + len;
    err = quota_check_nodes(rq->s, rq->c->dom, rq->tx ? &rq->tx->tally : NULL, parts, bytes);
    if (!err)
        err = request_note_create(rq, found, false);
    if (!err)
        err = request_charge(rq, bytes);
    if (!err)
        err = tree_create(rq->tree, rq->path, p, value, len, store_next_gen(rq->s));
    perms_unref(p);
    return err;
}

static void changed(struct request *rq, const struct perms *old_perms)
{
    if (rq->tx)
        return;
    const struct node *n = tree_find(&rq->s->tree, rq->path);
    store_changed(rq->s, rq->path, n);
    wrl_wrote(rq->s, rq->c->dom, 1, false);
    watch_fire_node(rq->s, rq->path, n, old_perms, rq->cause);
}

static int op_write(struct request *rq)
{
    const char *arg, *value;
    size_t len;
    int err = split(rq, &arg, &value, &len);

    if (!err)
        err = request_node_arg(rq, arg);
    if (!err)
        err = quota_check(rq->s, rq->c->dom, QUOTA_NODE_SIZE, len);
    if (err)
        return err;
    const struct node *n = tree_find(rq->tree, rq->path);
    if (!n) {
        err = create(rq, value, len);
    } else {
        err = request_reach(rq, PERM_WRITE, TX_READ_PERMS, &n);
        if (!err)
            err = quota_check_nodes(rq->s, rq->c->dom, NULL, 0, len);
        if (!err)
            err = note(rq, TX_WROTE_VALUE);
        if (!err)
            err = request_charge(rq, node_bytes(n) + len);
        if (!err)
            err = tree_set_value(rq->tree, rq->path, value, len, store_next_gen(rq->s));
    }
    if (err)
        return err;
    request_ok(rq);
    changed(rq, NULL);
    return 0;
}

static int op_mkdir(struct request *rq)
{
    int err = only_path(rq);

    if (err)
        return err;
    const struct node *n = tree_find(rq->tree, rq->path);
    if (n) {
        err = request_reach(rq, PERM_WRITE, TX_READ_PERMS, &n);
        return err ? err : request_ok(rq);
    }
    err = create(rq, "", 0);
    if (err)
        return err;
    request_ok(rq);
    changed(rq, NULL);
    return 0;
}

/* Removing what is not there succeeds if its parent is, and might be written to. */
static int rm_missing(struct request *rq)
{
    size_t found;
    const struct node *near = tree_nearest(rq->tree, rq->path, &found);
    int err = note(rq, TX_READ_PERMS);

    if (err)
        return err;
    if (!(perms_for(near->perms, &rq->viewer) & PERM_WRITE))
        return EACCES;
    return found == path_parent_len(rq->path) ? request_ok(rq) : ENOENT;
}

static int op_rm(struct request *rq)
{
    struct tree old;
    const struct node *n;
    int err = only_path(rq);

    if (err)
        return err;
    if (!rq->path[1])
        return EINVAL;
    if (!tree_find(rq->tree, rq->path))
        return rm_missing(rq);
    err = request_reach(rq, PERM_WRITE, TX_READ_PERMS, &n);
    if (!err)
        err = note(rq, TX_REMOVED);
    if (err)
        return err;
    tree_share(&old, rq->tree);
    err = tree_remove(rq->tree, rq->path, store_next_gen(rq->s));
    if (!err) {
        request_ok(rq);
        if (!rq->tx) {
            store_removed(rq->s, rq->path);
            wrl_wrote(rq->s, rq->c->dom, 1, false);
            watch_fire_removed(rq->s, &old, rq->path, rq->cause);
        }
    }
    tree_drop(&old);
    return err;
}

/* ---- Permissions ---- */

static int set_special_perms(struct request *rq, struct perms *p)
{
    int i = special_index(rq->path);

    if (i < 0)
        return ENOENT;
    if (!rq->viewer.privileged)
        return EACCES;
    perms_unref(rq->s->special[i]);
    rq->s->special[i] = perms_ref(p);
    JOURNAL(rq->s, journal_special_(rq->s, i));
    return request_ok(rq);
}

static int set_node_perms(struct request *rq, struct perms *p)
{
    const struct node *n;
    int err = request_reach(rq, PERM_WRITE | PERM_OWNER, TX_READ_PERMS, &n);

    if (err)
        return err;
    /* XSA-352: a guest cannot give its nodes away, and its quota with them. */
    if (!rq->viewer.privileged && perms_owner(p) != perms_owner(n->perms))
        return EPERM;
    err = quota_check_nodes(rq->s, rq->c->dom, NULL, 0, perms_bytes(p));
    if (!err)
        err = note(rq, TX_WROTE_PERMS);
    if (!err)
        err = request_charge(rq, node_bytes(n) + perms_bytes(p));
    if (err)
        return err;
    struct perms *old = perms_ref(n->perms);
    err = tree_set_perms(rq->tree, rq->path, p, store_next_gen(rq->s));
    if (!err) {
        request_ok(rq);
        changed(rq, old);
    }
    perms_unref(old);
    return err;
}

static int op_set_perms(struct request *rq)
{
    struct perm entry[PERMS_MAX];
    const char *arg, *rest;
    size_t len;
    int err = split(rq, &arg, &rest, &len);

    if (!err)
        err = path_arg(rq, arg);
    if (err)
        return err;
    unsigned count = perms_parse(rest, len, entry, PERMS_MAX);
    if (!count)
        return EINVAL;
    err = quota_check(rq->s, rq->c->dom, QUOTA_PERMS, count);
    if (err)
        return err;
    /*
     * A domain that exists is met now, so that it is older than the list. One that does not will be
     * younger, and the entry will not count for it (XSA-417).
     */
    for (unsigned i = 0; i < count; i++) {
        if (i && entry[i].domid == PERM_DOMID_ANY) {
            if (!(rq->c->dom->features & XENSTORE_SERVER_FEATURE_DOMID_ANY))
                entry[i].rights |= PERM_STALE;
        } else if (!domain_meet(rq->s, entry[i].domid)) {
            if (!i)
                return ENOENT; /* nobody would answer for the node */
            entry[i].rights |= PERM_STALE;
        }
    }
    struct perms *p = perms_new(entry, count, store_next_gen(rq->s));
    if (!p)
        return ENOMEM;
    err = path_is_special(rq->path) ? set_special_perms(rq, p) : set_node_perms(rq, p);
    perms_unref(p);
    return err;
}

/* ---- Watches ---- */

static int watch_args(struct request *rq, const char **token, size_t *skip, uint16_t *depth)
{
    const char *arg[3];
    char home[32];
    uint64_t levels = DEPTH_ANY;
    int n = request_strings(rq, arg, 3);

    if (n < 2)
        return EINVAL;
    /* A third string means nothing without the feature, and an empty one nothing at all. */
    if (n == 3 && *arg[2] && rq->c->dom->features & XENSTORE_SERVER_FEATURE_WATCHDEPTH &&
        request_number(arg[2], DEPTH_ANY - 1, &levels))
        return EINVAL;
    *depth = (uint16_t)levels;
    *token = arg[1];
    *skip = arg[0][0] != '/' && arg[0][0] != '@' ? home_prefix(rq, home, sizeof(home)) : 0;
    return path_arg(rq, arg[0]);
}

static int op_watch(struct request *rq)
{
    struct watch *w;
    const char *token;
    uint16_t depth;
    size_t skip;
    int err = watch_args(rq, &token, &skip, &depth);

    if (!err)
        err = watch_add(rq->c, rq->path, skip, token, depth, &w);
    if (err)
        return err;
    request_ok(rq);
    watch_send(w, w->path, rq->cause); /* everyone hears once, whatever is there */
    return 0;
}

static int op_unwatch(struct request *rq)
{
    const char *token;
    uint16_t depth;
    size_t skip;
    int err = watch_args(rq, &token, &skip, &depth);

    if (!err)
        err = watch_remove(rq->c, rq->path, token);
    return err ? err : request_ok(rq);
}

static int op_reset_watches(struct request *rq)
{
    watch_remove_all(rq->c);
    while (!TAILQ_EMPTY(&rq->c->txs))
        tx_free(rq->c, TAILQ_FIRST(&rq->c->txs));
    return request_ok(rq);
}

/* ---- Transactions ---- */

static int op_transaction_start(struct request *rq)
{
    char id[16];
    struct tx *tx;
    int err = rq->tx ? EBUSY : tx_start(rq->c, &tx);

    if (err)
        return err;
    return conn_reply(rq, id, (size_t)snprintf(id, sizeof(id), "%u", tx->id) + 1);
}

static int op_transaction_end(struct request *rq)
{
    struct tx *tx = rq->tx;
    const char *arg;

    if (request_strings(rq, &arg, 1) != 1 || (strcmp(arg, "T") && strcmp(arg, "F")))
        return EINVAL;
    if (!tx)
        return ENOENT;
    rq->tx = NULL;
    if (*arg == 'F') {
        tx_free(rq->c, tx);
        return request_ok(rq);
    }
    int err = tx_commit(rq->c, tx, rq->cause);
    return err ? err : request_ok(rq);
}

/* ---- The table ---- */

#define ANYONE(op, fn)     [XS_##op] = { #op, fn, false, 0 }
#define PRIVILEGED(op, fn) [XS_##op] = { #op, fn, true, 0 }
#define WRITES(op, fn, at) [XS_##op] = { #op, fn, false, at }

static const struct op {
    const char *name;
    int (*fn)(struct request *rq);
    bool privileged;
    unsigned writes;            /* what it does at the path that it is about (enum tx_access) */
} ops[] = {
    PRIVILEGED(CONTROL, control_handle),
    ANYONE(DIRECTORY, op_directory),
    ANYONE(READ, op_read),
    ANYONE(GET_PERMS, op_get_perms),
    ANYONE(WATCH, op_watch),
    ANYONE(UNWATCH, op_unwatch),
    ANYONE(TRANSACTION_START, op_transaction_start),
    ANYONE(TRANSACTION_END, op_transaction_end),
    PRIVILEGED(INTRODUCE, op_introduce),
    PRIVILEGED(RELEASE, op_release),
    ANYONE(GET_DOMAIN_PATH, op_get_domain_path),
    WRITES(WRITE, op_write, TX_WROTE_VALUE),
    WRITES(MKDIR, op_mkdir, TX_CREATED),
    WRITES(RM, op_rm, TX_REMOVED),
    WRITES(SET_PERMS, op_set_perms, TX_WROTE_PERMS),
    PRIVILEGED(IS_DOMAIN_INTRODUCED, op_is_introduced),
    PRIVILEGED(RESUME, op_resume),
    PRIVILEGED(SET_TARGET, op_set_target),
    ANYONE(RESET_WATCHES, op_reset_watches),
    ANYONE(DIRECTORY_PART, op_directory_part),
    ANYONE(GET_FEATURE, op_get_feature),
    PRIVILEGED(SET_FEATURE, op_set_feature),
    PRIVILEGED(GET_QUOTA, op_get_quota),
    PRIVILEGED(SET_QUOTA, op_set_quota),
};

/* As a removal, it may concern all that is below the path. */
static const struct op clone_op = { "CLONE", op_clone, false, TX_CREATED | TX_REMOVED };

static const struct op *find_op(uint32_t type)
{
    if (type == XS_KR_CLONE)
        return &clone_op;
    return type < sizeof(ops) / sizeof(ops[0]) && ops[type].fn ? &ops[type] : NULL;
}

static void trace_request(const struct request *rq, const struct op *op)
{
    char text[128];
    size_t len = rq->hdr.len < sizeof(text) - 1 ? rq->hdr.len : sizeof(text) - 1;

    for (size_t i = 0; i < len; i++)
        text[i] = rq->data[i] ? rq->data[i] : ' ';
    text[len] = 0;
    store_log(rq->s, "in %u dom %u tx %u %s %s", rq->c->id, rq->c->dom->domid, rq->hdr.tx_id,
              op ? op->name : "?", text);
}

/* Puts the absolute form of the path that rq would change into rq->path. */
static int written_path(struct request *rq)
{
    const char *arg[3], *value;
    size_t len;

    if (rq->hdr.type == XS_KR_CLONE)
        return request_strings(rq, arg, 3) == 2 ? request_node_arg(rq, arg[1]) : EINVAL;
    int err = split(rq, &arg[0], &value, &len);
    return err ? err : request_node_arg(rq, arg[0]);
}

bool request_must_wait(struct conn *c, const struct xsd_sockmsg *hdr, const char *data)
{
    const struct op *op = find_op(hdr->type);
    struct request rq;
    struct tx *tx;

    if (hdr->tx_id) {
        tx = hdr->type == XS_TRANSACTION_END && hdr->len && *data == 'T' ? tx_find(c, hdr->tx_id) : NULL;
        return tx && turn_forbids_commit(c, tx);
    }
    if (!op || !op->writes)
        return false;
    rq.s = c->s;
    rq.c = c;
    rq.viewer = domain_viewer(c->s, c->dom);
    rq.hdr = *hdr;
    rq.data = data;
    return !written_path(&rq) && turn_forbids(c, rq.path, op->writes);
}

static int dispatch(struct request *rq, const struct op *op)
{
    if (!op)
        return ENOSYS;
    if (op->privileged && !rq->viewer.privileged)
        return EACCES;
    if (rq->hdr.tx_id) {
        rq->tx = tx_find(rq->c, rq->hdr.tx_id);
        if (!rq->tx)
            return ENOENT;
        rq->tree = &rq->tx->work;
    }
    return op->fn(rq);
}

void request_handle(struct conn *c, const struct xsd_sockmsg *hdr, const char *data)
{
    const struct op *op = find_op(hdr->type);
    struct request rq;

    rq.s = c->s;
    rq.c = c;
    rq.viewer = domain_viewer(c->s, c->dom);
    rq.tx = NULL;
    rq.tree = &c->s->tree;
    rq.cause = cause_new(c->s, c->dom);
    rq.hdr = *hdr;
    rq.data = data;
    rq.path[0] = 0;
    if (c->s->trace & TRACE_IO)
        trace_request(&rq, op);
    int err = dispatch(&rq, op);
    if (err)
        conn_error(&rq, err);
    cause_unref(c->s, rq.cause);
}
