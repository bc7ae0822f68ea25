/* SPDX-License-Identifier: MIT */
#include "tests/unit/libxl_fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <xenstore.h>

struct node {
    char *path, *value;
    struct xs_permissions perms[2];
    unsigned n_perms;
};

struct tree {
    struct node *nodes; /* sorted by path */
    unsigned n;
};

struct event {
    char *path, *token;
};

static struct {
    struct tree tree, snapshot; /* snapshot: what the open transaction sees */
    bool in_transaction;
    struct event watches[16], queue[256];
    unsigned n_watches, n_queue;
    int fd;
} st = { .fd = -1 };

/* ---- the tree */

static void tree_free(struct tree *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        free(t->nodes[i].path);
        free(t->nodes[i].value);
    }
    free(t->nodes);
    memset(t, 0, sizeof(*t));
}

static void tree_copy(struct tree *to, const struct tree *from)
{
    to->n = from->n;
    to->nodes = calloc(from->n ? from->n : 1, sizeof(*to->nodes));
    for (unsigned i = 0; i < from->n; i++) {
        to->nodes[i] = from->nodes[i];
        to->nodes[i].path = strdup(from->nodes[i].path);
        to->nodes[i].value = strdup(from->nodes[i].value);
    }
}

static struct tree *tree_of(xs_transaction_t t)
{
    return t ? &st.snapshot : &st.tree;
}

static struct node *find(struct tree *t, const char *path)
{
    for (unsigned i = 0; i < t->n; i++)
        if (!strcmp(t->nodes[i].path, path))
            return &t->nodes[i];
    return NULL;
}

static struct node *make(struct tree *t, const char *path)
{
    struct node *n = find(t, path), *parent = NULL;
    char *up = strdup(path), *slash = strrchr(up, '/');
    unsigned at;

    if (n) {
        free(up);
        return n;
    }
    if (slash && slash != up) {
        *slash = 0;
        make(t, up);
    }
    for (at = 0; at < t->n && strcmp(t->nodes[at].path, path) < 0; at++)
        continue;
    t->nodes = realloc(t->nodes, (t->n + 1) * sizeof(*t->nodes));
    memmove(t->nodes + at + 1, t->nodes + at, (t->n - at) * sizeof(*t->nodes));
    t->n++;
    n = &t->nodes[at];
    *n = (struct node){ .path = strdup(path), .value = strdup(""), .n_perms = 1 };
    if (slash && slash != up)
        parent = find(t, up);
    if (parent) { /* permissions are inherited */
        memcpy(n->perms, parent->perms, sizeof(n->perms));
        n->n_perms = parent->n_perms;
    }
    free(up);
    return n;
}

static bool below(const char *path, const char *top)
{
    size_t len = strlen(top);

    return !strncmp(path, top, len) && (!path[len] || path[len] == '/');
}

/* ---- watches */

static void enqueue(const char *path, const char *token)
{
    uint64_t one = 1;

    st.queue[st.n_queue].path = strdup(path);
    st.queue[st.n_queue++].token = strdup(token);
    if (write(st.fd, &one, sizeof(one)) < 0)
        abort();
}

static void fire(const char *path)
{
    for (unsigned i = 0; i < st.n_watches; i++)
        if (below(path, st.watches[i].path))
            enqueue(path, st.watches[i].token);
}

void fake_store_set(const char *path, const char *value)
{
    struct node *n = make(&st.tree, path);

    free(n->value);
    n->value = strdup(value);
    fire(path);
}

const char *fake_store_get(const char *path)
{
    struct node *n = find(&st.tree, path);

    return n ? n->value : NULL;
}

/* xenconsoled: whoever watches a tty node that is empty gets one. */
static void play_xenconsoled(const char *watched)
{
    size_t len = strlen(watched);
    const char *now = fake_store_get(watched);

    if (fake.tty_appears && len > 12 && !strcmp(watched + len - 12, "/console/tty") && now && !*now)
        fake_store_set(watched, "/dev/pts/7");
}

void fake_domain_ends(uint32_t domid, int reason)
{
    if (reason < 0) {
        fake.dom[domid].exists = false;
    } else {
        /* XEN_DOMINF_shutdown and its reason */
        fake.dom[domid].flags |= 4u | (uint32_t)reason << 16;
    }
    fire("@releaseDomain");
}

void fake_store_reset(void)
{
    tree_free(&st.tree);
    tree_free(&st.snapshot);
    for (unsigned i = 0; i < st.n_watches; i++) {
        free(st.watches[i].path);
        free(st.watches[i].token);
    }
    for (unsigned i = 0; i < st.n_queue; i++) {
        free(st.queue[i].path);
        free(st.queue[i].token);
    }
    if (st.fd >= 0)
        close(st.fd);
    memset(&st, 0, sizeof(st));
    st.fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
}

char *fake_store_dump(void)
{
    char *out = NULL;
    size_t size;
    FILE *f = open_memstream(&out, &size);

    for (unsigned i = 0; i < st.tree.n; i++) {
        struct node *n = &st.tree.nodes[i];

        fprintf(f, "%s = \"%s\" (", n->path, n->value);
        for (unsigned j = 0; j < n->n_perms; j++)
            fprintf(f, "%s%c%u", j ? "," : "", n->perms[j].perms == XS_PERM_READ ? 'r' : 'n',
                    n->perms[j].id);
        fprintf(f, ")\n");
    }
    fclose(f);
    return out;
}

/* ---- libxenstore's functions */

struct xs_handle {
    int unused;
};

struct xs_handle *xs_open(unsigned long flags)
{
    return fake_fails("xs_open") ? NULL : calloc(1, sizeof(struct xs_handle));
}

void xs_close(struct xs_handle *h)
{
    free(h);
}

void xs_daemon_destroy_postfork(struct xs_handle *h)
{
    free(h);
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    struct node *n;

    if (fake_fails("xs_read"))
        return NULL;
    n = find(tree_of(t), path);
    if (!n) {
        errno = ENOENT;
        return NULL;
    }
    if (len)
        *len = (unsigned)strlen(n->value);
    return strdup(n->value);
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    struct tree *tree = tree_of(t);
    size_t len = strlen(path), bytes = 0;
    char **list, *names;

    if (fake_fails("xs_directory"))
        return NULL;
    if (!find(tree, path)) {
        errno = ENOENT;
        return NULL;
    }
    list = calloc(tree->n + 1, sizeof(*list) + 256);
    names = (char *)(list + tree->n + 1);
    *num = 0;
    for (unsigned i = 0; i < tree->n; i++) {
        const char *p = tree->nodes[i].path;

        if (strncmp(p, path, len) || p[len] != '/' || strchr(p + len + 1, '/'))
            continue;
        list[(*num)++] = strcpy(names + bytes, p + len + 1);
        bytes += strlen(p + len + 1) + 1;
    }
    return list;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
              unsigned int len)
{
    struct node *n;

    if (fake_fails("xs_write"))
        return false;
    n = make(tree_of(t), path);
    free(n->value);
    n->value = strndup(data, len);
    if (!t)
        fire(path);
    return true;
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    struct tree *tree = tree_of(t);
    unsigned kept = 0;

    if (fake_fails("xs_rm"))
        return false;
    if (!find(tree, path)) {
        errno = ENOENT;
        return false;
    }
    for (unsigned i = 0; i < tree->n; i++) {
        if (below(tree->nodes[i].path, path)) {
            free(tree->nodes[i].path);
            free(tree->nodes[i].value);
        } else {
            tree->nodes[kept++] = tree->nodes[i];
        }
    }
    tree->n = kept;
    return true;
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
                        struct xs_permissions *perms, unsigned int num_perms)
{
    struct node *n = find(tree_of(t), path);

    if (fake_fails("xs_set_permissions"))
        return false;
    if (!n || num_perms > 2) {
        errno = n ? EINVAL : ENOENT;
        return false;
    }
    memcpy(n->perms, perms, num_perms * sizeof(*perms));
    n->n_perms = num_perms;
    return true;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    if (fake_fails("xs_transaction_start"))
        return XBT_NULL;
    if (st.in_transaction)
        abort(); /* libxl has one at a time, and ends each */
    st.in_transaction = true;
    tree_copy(&st.snapshot, &st.tree);
    return 1;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abandon)
{
    bool fails = !abandon && fake_fails("xs_transaction_end");

    st.in_transaction = false;
    if (abandon || fails) {
        tree_free(&st.snapshot);
        return !fails;
    }
    tree_free(&st.tree);
    st.tree = st.snapshot;
    memset(&st.snapshot, 0, sizeof(st.snapshot));
    return true;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    if (fake_fails("xs_watch"))
        return false;
    st.watches[st.n_watches].path = strdup(path);
    st.watches[st.n_watches++].token = strdup(token);
    enqueue(path, token);
    play_xenconsoled(path);
    return true;
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    for (unsigned i = 0; i < st.n_watches; i++) {
        struct event *w = &st.watches[i];

        if (strcmp(w->path, path) || strcmp(w->token, token))
            continue;
        free(w->path);
        free(w->token);
        *w = st.watches[--st.n_watches];
        return true;
    }
    errno = ENOENT;
    return false;
}

int xs_fileno(struct xs_handle *h)
{
    return st.fd;
}

char **xs_check_watch(struct xs_handle *h)
{
    uint64_t one;
    char **v, *text;
    size_t n;

    if (!st.n_queue) {
        errno = EAGAIN;
        return NULL;
    }
    if (read(st.fd, &one, sizeof(one)) < 0)
        abort();
    n = strlen(st.queue[0].path) + 1;
    v = malloc(2 * sizeof(*v) + n + strlen(st.queue[0].token) + 1);
    text = (char *)(v + 2);
    v[XS_WATCH_PATH] = strcpy(text, st.queue[0].path);
    v[XS_WATCH_TOKEN] = strcpy(text + n, st.queue[0].token);
    free(st.queue[0].path);
    free(st.queue[0].token);
    memmove(st.queue, st.queue + 1, --st.n_queue * sizeof(*st.queue));
    return v;
}

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid, unsigned long mfn,
                         unsigned int eventchn)
{
    if (fake_fails("xs_introduce_domain"))
        return false;
    fake.dom[domid].introduced = true;
    return true;
}
