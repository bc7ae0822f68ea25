/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/unit/fake_core.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hypervisor/core/wire.h"

#define PAGE       4096u
#define MAX_CONNS  16
#define MAX_PORTS  64
#define MAX_GRANTS 256
#define NR_OPS     (KW_GNTSHR_UNSHARE + 1)

struct fake_conn {
    int fd;
    struct fake_core *core;
    bool greeted;
    int32_t only;                /* restricted to this domain, or -1 */
    unsigned char *arena;
    uint64_t arena_va, arena_size;
};

/* local: what the client reads; remote: what the client writes. */
struct fake_port {
    int local, remote;           /* -1: not bound */
    struct fake_conn *owner;
};

struct fake_grant {
    uint64_t handle;             /* 0: free */
    struct fake_conn *owner;
};

struct fake_core {
    char dir[64];
    int listen_fd, stop_fd, ram_fd;
    unsigned char *ram;
    pthread_t thread;
    pthread_mutex_t lock;        /* for all below, against the test's thread */
    struct fake_conn conn[MAX_CONNS];
    struct fake_port port[MAX_PORTS];
    struct fake_grant grant[MAX_GRANTS];
    uint64_t next_handle;
    fake_hypercall_fn hypercall;
    void *hypercall_arg;
    uint32_t fault_op;
    enum fake_fault fault;
    uint32_t last_domid;
    unsigned count[NR_OPS];
    struct kw_gnt_notify notify;
    unsigned max_foreign;
};

/* A reply being put together. */
struct out {
    uint64_t buf[KW_MAX_MSG / 8];
    size_t len;
    int fd[KW_MAX_FDS];
    unsigned nr_fds;
};

static void send_out(struct fake_conn *c, struct out *o)
{
    union {
        char room[CMSG_SPACE(sizeof(int) * KW_MAX_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {o->buf, o->len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (o->nr_fds) {
        struct cmsghdr *cm = (void *)control.room;

        m.msg_control = control.room;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * o->nr_fds);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(sizeof(int) * o->nr_fds);
        memcpy(CMSG_DATA(cm), o->fd, sizeof(int) * o->nr_fds);
    }
    (void)!sendmsg(c->fd, &m, MSG_NOSIGNAL);
}

void *fake_conn_ptr(struct fake_conn *c, uint64_t va, size_t size)
{
    if (!c->arena || va < c->arena_va || size > c->arena_size ||
        va - c->arena_va > c->arena_size - size)
        return NULL;
    return c->arena + (va - c->arena_va);
}

static bool may_name(struct fake_conn *c, uint32_t domid)
{
    c->core->last_domid = domid;
    return c->only < 0 || (uint32_t)c->only == domid;
}

/* --- one handler per request: fills o beyond the head, returns 0 or -errno --- */

static int do_hello(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_hello *r = p;
    struct kw_hello_reply *a = (void *)o->buf;

    if (len != sizeof(*r) || r->magic != KW_MAGIC || r->version != KW_VERSION)
        return -EINVAL;
    c->greeted = true;
    a->version = KW_VERSION;
    a->domid = 0;
    o->len = sizeof(*a);
    return 0;
}

static int do_arena(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_arena *r = p;
    int fd;

    if (len != sizeof(*r) || !r->size || r->size % PAGE || r->size > KW_MAX_ARENA || r->va % PAGE)
        return -EINVAL;
    if (c->arena)
        return -EBUSY;
    fd = memfd_create("arena", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, r->size))
        return -ENOMEM;
    c->arena = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    c->arena_va = r->va;
    c->arena_size = r->size;
    o->fd[o->nr_fds++] = fd;
    return 0;
}

static int do_hypercall(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_hypercall *r = p;
    struct kw_hypercall_reply *a = (void *)o->buf;
    struct fake_core *fc = c->core;

    if (len != sizeof(*r))
        return -EINVAL;
    a->ret = -ENOSYS;
    if (fc->hypercall)
        a->ret = fc->hypercall(fc->hypercall_arg, c, r->op, r->arg);
    o->len = sizeof(*a);
    return 0;
}

static int do_restrict(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_domid *r = p;

    if (len != sizeof(*r) || r->reserved)
        return -EINVAL;
    if (!may_name(c, r->domid))
        return -EACCES;
    c->only = r->domid;
    return 0;
}

static int do_bind(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_evtchn *r = p;
    struct kw_port_reply *a = (void *)o->buf;
    struct fake_core *fc = c->core;
    uint32_t port = 1;

    if (len != sizeof(*r))
        return -EINVAL;
    if (r->h.op != KW_EVTCHN_VIRQ && !may_name(c, r->domid))
        return -EACCES;
    if (r->h.op == KW_EVTCHN_VIRQ && r->port >= 24)
        return -EINVAL;
    while (port < MAX_PORTS && fc->port[port].local >= 0)
        port++;
    if (port == MAX_PORTS)
        return -ENOSPC;
    fc->port[port].local = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    fc->port[port].remote = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    fc->port[port].owner = c;
    o->fd[o->nr_fds++] = dup(fc->port[port].local);
    if (r->h.op != KW_EVTCHN_VIRQ)
        o->fd[o->nr_fds++] = dup(fc->port[port].remote);
    a->port = port;
    o->len = sizeof(*a);
    return 0;
}

static void drop_port(struct fake_port *p)
{
    if (p->local >= 0) {
        close(p->local);
        close(p->remote);
    }
    p->local = p->remote = -1;
    p->owner = NULL;
}

static int do_unbind(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_evtchn *r = p;

    if (len != sizeof(*r) || r->port >= MAX_PORTS || c->core->port[r->port].owner != c)
        return -EINVAL;
    drop_port(&c->core->port[r->port]);
    return 0;
}

/* Appends an item to runs, joining it to the last where it goes on from there. */
static void add_run(struct kw_run *runs, uint32_t *nr, int fd, uint64_t page)
{
    struct kw_run *last = *nr ? &runs[*nr - 1] : NULL;

    if (last && last->fd == fd && page == (fd < 0 ? last->page : last->page + last->nr))
        last->nr++;
    else
        runs[(*nr)++] = (struct kw_run){1, fd, page};
}

void fake_core_max_foreign(struct fake_core *fc, unsigned nr)
{
    fc->max_foreign = nr;
}

static int do_map_foreign(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_map_foreign *r = p;
    struct kw_map_reply *a = (void *)o->buf;

    if (c->core->max_foreign && len >= sizeof(*r) && r->nr > c->core->max_foreign)
        return -E2BIG;
    if (len < sizeof(*r) || r->nr > KW_MAX_GFNS || r->reserved ||
        len != sizeof(*r) + r->nr * sizeof(r->gfn[0]) || (r->prot & ~(PROT_READ | PROT_WRITE)))
        return -EINVAL;
    if (!may_name(c, r->domid))
        return -EACCES;
    for (uint32_t i = 0; i < r->nr; i++) {
        bool there = r->gfn[i] < FAKE_RAM_PAGES;

        add_run(a->run, &a->nr_runs, there ? 0 : -1,
                there ? r->gfn[i] : (uint64_t)-(int64_t)ENOENT);
    }
    o->fd[o->nr_fds++] = dup(c->core->ram_fd);
    o->len = sizeof(*a) + a->nr_runs * sizeof(a->run[0]);
    return 0;
}

static int do_map_resource(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_map_resource *r = p;
    struct kw_map_reply *a = (void *)o->buf;

    if (len != sizeof(*r))
        return -EINVAL;
    if (!may_name(c, r->domid))
        return -EACCES;
    a->size = FAKE_RESOURCE_FRAMES;
    o->len = sizeof(*a);
    if (!r->nr)
        return 0;
    if (r->frame + r->nr > FAKE_RESOURCE_FRAMES)
        return -EINVAL;
    a->nr_runs = 1;
    a->run[0] = (struct kw_run){r->nr, 0, r->frame};
    o->fd[o->nr_fds++] = dup(c->core->ram_fd);
    o->len += sizeof(a->run[0]);
    return 0;
}

static uint64_t new_grant(struct fake_conn *c)
{
    struct fake_core *fc = c->core;

    for (unsigned i = 0; i < MAX_GRANTS; i++) {
        if (!fc->grant[i].handle) {
            fc->grant[i] = (struct fake_grant){++fc->next_handle, c};
            return fc->grant[i].handle;
        }
    }
    return 0;
}

static struct fake_grant *find_grant(struct fake_conn *c, uint64_t handle)
{
    for (unsigned i = 0; handle && i < MAX_GRANTS; i++)
        if (c->core->grant[i].handle == handle && c->core->grant[i].owner == c)
            return &c->core->grant[i];
    return NULL;
}

static int do_gnt_map(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_gnt_map *r = p;
    struct kw_gnt_map_reply *a = (void *)o->buf;

    if (len < sizeof(*r) || !r->nr || r->nr > KW_MAX_GFNS ||
        len != sizeof(*r) + r->nr * sizeof(r->ref[0]))
        return -EINVAL;
    for (uint32_t i = 0; i < r->nr; i++) {
        if (!may_name(c, r->ref[i].domid))
            return -EACCES;
        if (r->ref[i].ref >= FAKE_BAD_GREF)
            return -ENOENT;
        if (r->ref[i].ref >= FAKE_RO_GREF && (r->prot & PROT_WRITE))
            return -EACCES;
        add_run(a->run, &a->nr_runs, 0, r->ref[i].ref);
    }
    a->handle = new_grant(c);
    if (!a->handle)
        return -ENOSPC;
    o->fd[o->nr_fds++] = dup(c->core->ram_fd);
    o->len = sizeof(*a) + a->nr_runs * sizeof(a->run[0]);
    return 0;
}

static int do_gnt_drop(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_gnt_unmap *r = p;
    struct fake_grant *g = len == sizeof(*r) ? find_grant(c, r->handle) : NULL;

    if (!g)
        return -EINVAL;
    memset(g, 0, sizeof(*g));
    return 0;
}

static int do_gnt_notify(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_gnt_notify *r = p;

    if (len != sizeof(*r) || !find_grant(c, r->handle) || !r->action ||
        (r->action & ~(KW_NOTIFY_CLEAR_BYTE | KW_NOTIFY_SEND_EVENT)))
        return -EINVAL;
    if ((r->action & KW_NOTIFY_SEND_EVENT) &&
        (r->port >= MAX_PORTS || c->core->port[r->port].local < 0))
        return -EINVAL;
    c->core->notify = *r;
    return 0;
}

static int do_share(struct fake_conn *c, const void *p, size_t len, struct out *o)
{
    const struct kw_gntshr *r = p;
    struct kw_gntshr_reply *a = (void *)o->buf;
    int fd;

    if (len != sizeof(*r) || !r->nr || r->nr > KW_MAX_GFNS || r->writable > 1 || r->reserved)
        return -EINVAL;
    if (!may_name(c, r->domid))
        return -EACCES;
    fd = memfd_create("share", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)r->nr * PAGE))
        return -ENOMEM;
    o->fd[o->nr_fds++] = fd;
    a->handle = new_grant(c);
    a->nr = r->nr;
    for (uint32_t i = 0; i < r->nr; i++)
        a->ref[i] = 8 + i;
    o->len = sizeof(*a) + r->nr * sizeof(a->ref[0]);
    return a->handle ? 0 : -ENOSPC;
}

static int (*const handlers[NR_OPS])(struct fake_conn *c, const void *p, size_t len,
                                     struct out *o) = {
    [KW_HELLO] = do_hello,
    [KW_ARENA] = do_arena,
    [KW_HYPERCALL] = do_hypercall,
    [KW_RESTRICT] = do_restrict,
    [KW_EVTCHN_UNBOUND] = do_bind,
    [KW_EVTCHN_INTERDOMAIN] = do_bind,
    [KW_EVTCHN_VIRQ] = do_bind,
    [KW_EVTCHN_UNBIND] = do_unbind,
    [KW_MAP_FOREIGN] = do_map_foreign,
    [KW_MAP_RESOURCE] = do_map_resource,
    [KW_GNT_MAP] = do_gnt_map,
    [KW_GNT_UNMAP] = do_gnt_drop,
    [KW_GNT_NOTIFY] = do_gnt_notify,
    [KW_GNTSHR_SHARE] = do_share,
    [KW_GNTSHR_UNSHARE] = do_gnt_drop,
};

/* Spoils a finished reply as the test wishes. False: hang up instead. */
static bool spoil(struct fake_core *fc, uint32_t op, struct out *o)
{
    struct kw_reply *h = (void *)o->buf;
    struct kw_map_reply *m = (void *)o->buf;    /* and kw_gnt_map_reply, which is laid out alike */
    enum fake_fault fault = fc->fault;

    if (fault == FAKE_OK || (fc->fault_op && fc->fault_op != op))
        return true;
    fc->fault = FAKE_OK;
    switch (fault) {
    case FAKE_BAD_SEQ:
        h->seq += 7;
        break;
    case FAKE_SHORT:
        o->len = sizeof(*h);
        break;
    case FAKE_TINY:
        o->len = 3;
        break;
    case FAKE_HANGUP:
        return false;
    case FAKE_NO_FDS:
        while (o->nr_fds)
            close(o->fd[--o->nr_fds]);
        break;
    case FAKE_BAD_RUNS:
        m->run[0].nr += 1;
        break;
    case FAKE_MANY_RUNS:
        m->nr_runs = UINT32_MAX;
        break;
    case FAKE_RUN_FD:
        m->run[0].fd = 5;
        break;
    case FAKE_STATUS:
        h->status = 77;
        break;
    case FAKE_EBUSY:
        h->status = -EBUSY;
        break;
    default:
        break;
    }
    return true;
}

static void drop_conn(struct fake_conn *c)
{
    struct fake_core *fc = c->core;

    for (unsigned i = 0; i < MAX_PORTS; i++)
        if (fc->port[i].owner == c)
            drop_port(&fc->port[i]);
    for (unsigned i = 0; i < MAX_GRANTS; i++)
        if (fc->grant[i].owner == c)
            memset(&fc->grant[i], 0, sizeof(fc->grant[i]));
    if (c->arena)
        munmap(c->arena, c->arena_size);
    close(c->fd);
    memset(c, 0, sizeof(*c));
    c->fd = -1;
}

/* One request of c: answers it, or drops the connection. */
static void serve(struct fake_conn *c)
{
    static __thread uint64_t in[KW_MAX_MSG / 8];
    struct fake_core *fc = c->core;
    struct out *o = calloc(1, sizeof(*o));
    struct kw_req *h = (void *)in;
    ssize_t len = recv(c->fd, in, sizeof(in), 0);
    int status = -ENOSYS;
    bool alive = false;

    pthread_mutex_lock(&fc->lock);
    if (len >= (ssize_t)sizeof(*h) && (c->greeted || h->op == KW_HELLO)) {
        struct kw_reply *a = (void *)o->buf;

        o->len = sizeof(*a);
        if (h->op < NR_OPS && handlers[h->op]) {
            fc->count[h->op]++;
            status = handlers[h->op](c, in, len, o);
        }
        a->seq = h->seq;
        a->status = status;
        if (status)
            o->len = sizeof(*a);
        alive = spoil(fc, h->op, o);
        if (alive)
            send_out(c, o);
        while (o->nr_fds)
            close(o->fd[--o->nr_fds]);
    }
    if (!alive)
        drop_conn(c);
    pthread_mutex_unlock(&fc->lock);
    free(o);
}

static void accept_one(struct fake_core *fc)
{
    int fd = accept4(fc->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    pthread_mutex_lock(&fc->lock);
    for (unsigned i = 0; fd >= 0 && i < MAX_CONNS; i++) {
        if (fc->conn[i].fd < 0) {
            fc->conn[i] = (struct fake_conn){.fd = fd, .core = fc, .only = -1};
            fd = -1;
        }
    }
    pthread_mutex_unlock(&fc->lock);
    if (fd >= 0)
        close(fd);
}

static void *run(void *arg)
{
    struct fake_core *fc = arg;

    for (;;) {
        struct pollfd p[MAX_CONNS + 2];

        for (unsigned i = 0; i < MAX_CONNS; i++)
            p[i] = (struct pollfd){fc->conn[i].fd, POLLIN, 0};
        p[MAX_CONNS] = (struct pollfd){fc->listen_fd, POLLIN, 0};
        p[MAX_CONNS + 1] = (struct pollfd){fc->stop_fd, POLLIN, 0};
        if (poll(p, MAX_CONNS + 2, -1) < 0)
            continue;
        if (p[MAX_CONNS + 1].revents)
            return NULL;
        for (unsigned i = 0; i < MAX_CONNS; i++)
            if (p[i].revents)
                serve(&fc->conn[i]);
        if (p[MAX_CONNS].revents)
            accept_one(fc);
    }
}

struct fake_core *fake_core_start(void)
{
    struct fake_core *fc = calloc(1, sizeof(*fc));
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    strcpy(fc->dir, "/tmp/fake-core-XXXXXX");
    if (!mkdtemp(fc->dir))
        abort();
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/core", fc->dir);
    setenv("KRYPTON_RUNDIR", fc->dir, 1);
    setenv("KRYPTON_TRANSPORT", "core", 1);
    pthread_mutex_init(&fc->lock, NULL);
    for (unsigned i = 0; i < MAX_CONNS; i++)
        fc->conn[i].fd = -1;
    for (unsigned i = 0; i < MAX_PORTS; i++)
        fc->port[i].local = fc->port[i].remote = -1;
    fc->stop_fd = eventfd(0, EFD_CLOEXEC);
    fc->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    if (ftruncate(fc->ram_fd, (off_t)FAKE_RAM_PAGES * PAGE))
        abort();
    fc->ram = mmap(NULL, (size_t)FAKE_RAM_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
                   fc->ram_fd, 0);
    fc->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fc->ram == MAP_FAILED || bind(fc->listen_fd, (void *)&sa, sizeof(sa)) ||
        listen(fc->listen_fd, 8) || pthread_create(&fc->thread, NULL, run, fc))
        abort();
    return fc;
}

void fake_core_stop(struct fake_core *fc)
{
    char path[128];

    eventfd_write(fc->stop_fd, 1);
    pthread_join(fc->thread, NULL);
    for (unsigned i = 0; i < MAX_CONNS; i++)
        if (fc->conn[i].fd >= 0)
            drop_conn(&fc->conn[i]);
    snprintf(path, sizeof(path), "%s/core", fc->dir);
    unlink(path);
    rmdir(fc->dir);
    close(fc->listen_fd);
    close(fc->stop_fd);
    close(fc->ram_fd);
    munmap(fc->ram, (size_t)FAKE_RAM_PAGES * PAGE);
    pthread_mutex_destroy(&fc->lock);
    free(fc);
}

void fake_core_on_hypercall(struct fake_core *fc, fake_hypercall_fn fn, void *arg)
{
    pthread_mutex_lock(&fc->lock);
    fc->hypercall = fn;
    fc->hypercall_arg = arg;
    pthread_mutex_unlock(&fc->lock);
}

unsigned char *fake_core_ram(struct fake_core *fc)
{
    return fc->ram;
}

void fake_core_fault(struct fake_core *fc, uint32_t op, enum fake_fault fault)
{
    pthread_mutex_lock(&fc->lock);
    fc->fault_op = op;
    fc->fault = fault;
    pthread_mutex_unlock(&fc->lock);
}

void fake_core_send(struct fake_core *fc, uint32_t port, uint64_t n)
{
    eventfd_write(fc->port[port].local, n);
}

uint64_t fake_core_take(struct fake_core *fc, uint32_t port)
{
    uint64_t n = 0;

    return eventfd_read(fc->port[port].remote, &n) ? 0 : n;
}

bool fake_core_bound(struct fake_core *fc, uint32_t port)
{
    return fc->port[port].local >= 0;
}

uint32_t fake_core_last_domid(const struct fake_core *fc)
{
    return fc->last_domid;
}

unsigned fake_core_count(const struct fake_core *fc, uint32_t op)
{
    return fc->count[op];
}

unsigned fake_core_grants_held(const struct fake_core *fc)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MAX_GRANTS; i++)
        n += fc->grant[i].handle != 0;
    return n;
}

void fake_core_last_notify(const struct fake_core *fc, uint32_t *action, uint32_t *port,
                           uint64_t *offset)
{
    *action = fc->notify.action;
    *port = fc->notify.port;
    *offset = fc->notify.offset;
}

unsigned fake_core_connections(const struct fake_core *fc)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MAX_CONNS; i++)
        n += fc->conn[i].fd >= 0;
    return n;
}
