/* SPDX-License-Identifier: MIT */
/*
 * The load for `scripts/bench store`: speaks the store's wire over its socket to whichever daemon
 * listens there, and prints a line "name unit value..." for each figure, a value per socket.
 *
 *   store_client small SOCKET...        operations on a small store
 *   store_client wire SOCKET...         of these, one request at a time for each client
 *   store_client echo SOCKET            serves: every request comes back as its own reply
 *   store_client domains N SOCKET...    builds N domains, then measures beside them
 *   store_client nodes N SOCKET         makes N nodes and leaves them
 *   store_client pause MS SOCKET        reads for so long; the longest wait for an answer
 *
 * With two sockets each figure is taken from both daemons in turn, in short slices: machines are noisy,
 * and the median of many slices beside each other is what can be compared.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/store_client.h"

/* ---- Single operations ---- */

struct load {
    const char *name;
    uint32_t type[2];           /* in turn */
    const char *data[2];
    size_t len[2];
};

static void one(struct client *c, const struct load *l, unsigned i)
{
    unsigned k = l->type[1] ? i & 1 : 0;

    queue(c, l->type[k], l->data[k], l->len[k]);
}

/* args->b requests outstanding on one connection. Requests per second. */
static double rate_of_one(const struct args *a)
{
    const struct load *l = a->load;
    const unsigned window = a->b;
    struct client *c = client_new();
    unsigned sent = 0;
    unsigned long done = 0;
    double start, end;

    for (unsigned k = 0; k < window; k++)
        one(c, l, sent++);
    start = now();
    flush(c);
    do {
        /* Answers come in batches; as many new requests go out. */
        unsigned got = 0;

        do {
            receive(c);
            got++;
        } while (c->in_at < c->in_len && got < window);
        done += got;
        while (got--)
            one(c, l, sent++);
        flush(c);
        end = now();
    } while (end - start < SECONDS);
    client_free(c);
    return (double)done / (end - start);
}

static double rate(const struct args *a)
{
    return a->a == 1 ? rate_of_one(a) : by_many(a->a, rate_of_one, a, NULL);
}

/*
 * With one request each in flight, clients and daemon wake each other for every request, and on few cores those
 * wake-ups are most of the time. This is what the daemon has a part in: its CPU time per request, in us.
 */
static double cost(const struct args *a)
{
    double before = daemon_cpu(), requests = rate(a) * SECONDS;

    return (daemon_cpu() - before) / requests * 1e6;
}

static const struct load loads[] = {
    { "read", { XS_READ, 0 }, { "/bench/dir/leaf5", NULL }, { 17, 0 } },
    { "write", { XS_WRITE, 0 }, { "/bench/dir/leaf6\0value", NULL }, { 22, 0 } },
    { "directory", { XS_DIRECTORY, 0 }, { "/bench/dir", NULL }, { 11, 0 } },
    { "mkdir,rm", { XS_MKDIR, XS_RM }, { "/bench/new", "/bench/new" }, { 11, 11 } },
};

static void prepare(unsigned side)
{
    socket_path = socket_paths[side];
    struct client *c = client_new();
    char buf[64];

    for (int i = 0; i < 10; i++) {
        int n = snprintf(buf, sizeof(buf), "/bench/dir/leaf%d%cvalue", i, 0);
        must(c, XS_WRITE, buf, (size_t)n);
    }
    must(c, XS_WRITE, "/bench/dir/count\0" "0", 18);
    client_free(c);
}

static void run_loads(bool single)
{
    static const struct { unsigned clients, window; const char *name; } shapes[] = {
        { 1, 1, "1 outstanding" }, { 1, 64, "64 outstanding" }, { 4, 1, "4 clients" },
        { 4, 16, "4 clients, 16 outstanding" },
    };
    char name[64];

    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
            if (single && shapes[s].window > 1)
                continue;
            snprintf(name, sizeof(name), "%s, %s", loads[i].name, shapes[s].name);
            figure(name, "1/s", rate, (struct args){ &loads[i], shapes[s].clients, shapes[s].window });
            if (shapes[s].window > 1 || !knows_daemon())
                continue;
            snprintf(name, sizeof(name), "%s, %s: daemon's CPU", loads[i].name, shapes[s].name);
            figure(name, "us", cost, (struct args){ &loads[i], shapes[s].clients, shapes[s].window });
        }
}

/* ---- Transactions ---- */

static void begin(struct client *c)
{
    c->tx = 0;
    must(c, XS_TRANSACTION_START, "", 1);
    c->tx = (uint32_t)strtoul(c->body, NULL, 10);
}

static bool end(struct client *c)
{
    bool ok = talk(c, XS_TRANSACTION_END, "T", 2);

    c->tx = 0;
    return ok;
}

static void ten_writes(struct client *c, const char *below)
{
    char buf[64];

    for (int i = 0; i < 10; i++) {
        int n = snprintf(buf, sizeof(buf), "%s/leaf%d%cvalue", below, i, 0);
        must(c, XS_WRITE, buf, (size_t)n);
    }
}

static double transactions(const struct args *args)
{
    bool contended = args->a;
    struct client *a = client_new(), *b = client_new();
    unsigned long done = 0;
    double start = now(), stop;

    do {
        begin(a);
        must(a, XS_READ, "/bench/dir/leaf0", 17);
        if (contended) {
            /* Another writes beside it, elsewhere. */
            must(b, XS_WRITE, "/bench/other\0value", 18);
        }
        ten_writes(a, "/bench/dir");
        done += end(a);
        stop = now();
    } while (stop - start < SECONDS);
    client_free(a);
    client_free(b);
    return (double)done / (stop - start);
}

#define CONTENDERS 4
#define CONTENTION 5        /* slices: a client that loses often should have the time to win */

/* Transactions that succeed, of one client of several that write the same nodes, each what it has read and more. */
static double contender(const struct args *unused)
{
    struct client *c = client_new();
    unsigned long done = 0;
    double start = now(), stop;
    char count[64];
    int n;

    do {
        begin(c);
        must(c, XS_READ, "/bench/dir/count", 17);
        n = snprintf(count, sizeof(count), "/bench/dir/count%c%lu", 0, strtoul(c->body, NULL, 10) + 1);
        ten_writes(c, "/bench/dir");
        must(c, XS_WRITE, count, (size_t)n);
        done += end(c);
        stop = now();
    } while (stop - start < SECONDS * CONTENTION);
    client_free(c);
    return (double)done / (stop - start);
}

static double contended(const struct args *args)
{
    return by_many(CONTENDERS, contender, args, NULL);
}

/* What the unluckiest client gets of its share, in %. */
static double fairness(const struct args *args)
{
    double least = 0, sum = by_many(CONTENDERS, contender, args, &least);

    return sum > 0 ? least / (sum / CONTENDERS) * 100 : 0;
}

/* What a toolstack writes for a device or two, in one transaction. */
static void sixty_nodes(struct client *c, unsigned domid, bool pipelined)
{
    char buf[96];

    for (int tries = 0; tries < 10; tries++) {
        begin(c);
        for (int i = 0; i < 60; i++) {
            int n = snprintf(buf, sizeof(buf), "/local/domain/%u/device/vif/%d/key%d%cvalue%d", domid,
                             i / 20, i, 0, i);
            if (pipelined)
                queue(c, XS_WRITE, buf, (size_t)n);
            else
                must(c, XS_WRITE, buf, (size_t)n);
        }
        if (pipelined)
            flush(c);
        for (int i = 0; i < 60 && pipelined; i++)
            receive(c);
        if (end(c))
            return;
    }
    die("no transaction succeeds");
}

static void remove_domain(struct client *c, unsigned domid)
{
    char buf[64];
    int n = snprintf(buf, sizeof(buf), "/local/domain/%u", domid);

    must(c, XS_RM, buf, (size_t)n + 1);
}

static double device_set(const struct args *args)
{
    const unsigned domid = args->a;
    struct client *c = client_new();
    double took = 0;
    unsigned n = 0;

    must(c, XS_MKDIR, "/local/domain", sizeof("/local/domain"));
    while (took < SECONDS) {
        double start = now();

        sixty_nodes(c, domid, args->b);
        took += now() - start;
        n++;
        remove_domain(c, domid);
    }
    client_free(c);
    return took / n * 1e6;
}

/* The same nodes, as a copy of another domain's: our own addition to the wire. */
static double device_copy(const struct args *args)
{
    struct client *c = client_new();
    double took = 0;
    unsigned n = 0;
    char buf[96];

    while (took < SECONDS) {
        int len = snprintf(buf, sizeof(buf), "/local/domain/1%c/local/domain/%u", 0, args->a);
        double start = now();

        must(c, XS_KR_CLONE, buf, (size_t)len + 1);
        took += now() - start;
        n++;
        remove_domain(c, args->a);
    }
    client_free(c);
    return took / n * 1e6;
}

/* ---- Watches ---- */

static double fan_out(const struct args *args)
{
    const unsigned watches = args->a;
    struct client *w = client_new(), *c = client_new();
    char buf[64];
    double took = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < watches; i++) {
        int len = snprintf(buf, sizeof(buf), "/bench/dir%ctoken%u", 0, i);
        must(w, XS_WATCH, buf, (size_t)len + 1);
    }
    receive(w); /* the last one's first event */
    while (took < SECONDS) {
        double start = now();

        queue(c, XS_WRITE, "/bench/dir/leaf7\0value", 22);
        flush(c);
        for (unsigned i = 0; i < watches; i++)
            while (receive(w) != XS_WATCH_EVENT)
                ;
        receive(c);
        took += now() - start;
        n++;
    }
    client_free(w);
    client_free(c);
    return took / n * 1e6;
}

static int run_small(unsigned unused)
{
    for (unsigned s = 0; s < nr_sockets; s++)
        prepare(s);
    run_loads(false);
    figure("transaction of 10 writes", "1/s", transactions, (struct args){ NULL, false, 0 });
    figure("transaction of 10 beside writes", "1/s", transactions, (struct args){ NULL, true, 0 });
    figure("transaction of 10 writes, 4 clients counting", "1/s", contended, (struct args){ NULL, 0, 0 });
    figure("the unluckiest of them has of its share", "%", fairness, (struct args){ NULL, 0, 0 });
    figure("transaction of 60 nodes", "us", device_set, (struct args){ NULL, 5, false });
    figure("transaction of 60 nodes, pipelined", "us", device_set, (struct args){ NULL, 5, true });
    figure("100 watches fired", "us", fan_out, (struct args){ NULL, 100, 0 });
    figure("1000 watches fired", "us", fan_out, (struct args){ NULL, 1000, 0 });
    return 0;
}

static int run_wire(unsigned unused)
{
    for (unsigned s = 0; s < nr_sockets; s++)
        prepare(s);
    run_loads(true);
    return 0;
}

/*
 * What no store can outdo: whoever answers over this socket has to take each request, and to wake its client. Knows
 * nothing of the wire but that a client which waits has sent a whole request.
 */
static int run_echo(unsigned unused)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    struct epoll_event ev = { .events = EPOLLIN }, ready[16];
    int epoll = epoll_create1(0), listener = socket(AF_UNIX, SOCK_STREAM, 0);
    static char buf[OUT_MAX];
    int n;

    snprintf(a.sun_path, sizeof(a.sun_path), "%s", socket_path);
    ev.data.fd = listener;
    if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 16) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev))
        die(socket_path);
    /* EINTR: only() has stopped us meanwhile. */
    while ((n = epoll_wait(epoll, ready, 16, -1)) >= 0 || errno == EINTR)
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;

            if (fd == listener) {
                ev.data.fd = accept(listener, NULL, NULL);
                epoll_ctl(epoll, EPOLL_CTL_ADD, ev.data.fd, &ev);
                continue;
            }
            ssize_t got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
            if (got <= 0 || send(fd, buf, (size_t)got, MSG_NOSIGNAL) != got)
                close(fd);
        }
    return 1;
}

/* ---- Many domains ---- */

static unsigned list_all(struct client *c, const char *path)
{
    char buf[64];
    unsigned names = 0, offset = 0;

    if (talk(c, XS_DIRECTORY, path, strlen(path) + 1)) {
        for (uint32_t i = 0; i < c->body_len; i++)
            names += !c->body[i];
        return names;
    }
    for (;;) {
        int n = snprintf(buf, sizeof(buf), "%s%c%u", path, 0, offset);

        must(c, XS_DIRECTORY_PART, buf, (size_t)n + 1);
        const char *p = c->body + strlen(c->body) + 1, *stop = c->body + c->body_len;
        for (; p < stop && *p; p += strlen(p) + 1) {
            offset += (unsigned)strlen(p) + 1;
            names++;
        }
        if (p < stop)
            return names;
    }
}

static unsigned long walk(struct client *c, char *path, size_t len)
{
    unsigned long n = 1;
    char *names;
    uint32_t used;

    must(c, XS_READ, path, len + 1);
    if (!talk(c, XS_DIRECTORY, path, len + 1))
        return n; /* too long for a reply; the domains below are walked one by one */
    names = malloc(c->body_len + 1);
    if (!names)
        die("malloc");
    used = c->body_len;
    memcpy(names, c->body, used);
    for (char *p = names; p < names + used; p += strlen(p) + 1) {
        size_t add = (size_t)sprintf(path + len, "/%s", p);

        n += walk(c, path, len + add);
        path[len] = 0;
    }
    free(names);
    return n;
}

static double listing(const struct args *args)
{
    struct client *c = client_new();
    unsigned reps = 0;
    double start = now();

    while (now() - start < SECONDS) {
        list_all(c, "/local/domain");
        reps++;
    }
    double took = (now() - start) / reps * 1e6;
    client_free(c);
    return took;
}

static double read_deep(const struct args *args)
{
    struct client *c = client_new();
    unsigned long reps = 0;
    double start = now();
    char path[96];

    while (now() - start < SECONDS) {
        unsigned domid = 1 + (unsigned)(reps * 7919 % args->a);
        int len = snprintf(path, sizeof(path), "/local/domain/%u/device/vif/1/key30", domid);

        must(c, XS_READ, path, (size_t)len + 1);
        reps++;
    }
    double took = (now() - start) / (double)reps * 1e6;
    client_free(c);
    return took;
}

static double ls(const struct args *args)
{
    struct client *c = client_new();
    unsigned long nodes = 0;
    double start = now();
    char path[4096];

    for (unsigned i = 1; i <= args->a && now() - start < SECONDS; i++)
        nodes += walk(c, path, (size_t)sprintf(path, "/local/domain/%u", i));
    double took = (now() - start) / (double)nodes * 1e6;
    client_free(c);
    return took;
}

static int run_domains(unsigned count)
{
    char name[64];

    for (unsigned s = 0; s < nr_sockets; s++) {
        socket_path = socket_paths[s];
        struct client *c = client_new();
        for (unsigned i = 1; i <= count; i++)
            sixty_nodes(c, i, true);
        client_free(c);
    }
    snprintf(name, sizeof(name), "%u domains: one more", count);
    figure(name, "us", device_set, (struct args){ NULL, count + 1, false });
    if (nr_sockets == 1) {
        snprintf(name, sizeof(name), "%u domains: one more, by a copy", count);
        figure(name, "us", device_copy, (struct args){ NULL, count + 1, 0 });
    }
    snprintf(name, sizeof(name), "%u domains: read", count);
    figure(name, "us", read_deep, (struct args){ NULL, count, 0 });
    snprintf(name, sizeof(name), "%u domains: list", count);
    figure(name, "us", listing, (struct args){ NULL, count, 0 });
    snprintf(name, sizeof(name), "%u domains: ls, per node", count);
    figure(name, "us", ls, (struct args){ NULL, count, 0 });
    return 0;
}

static int run_nodes(unsigned count)
{
    struct client *c = client_new();
    char buf[64];
    unsigned wait = 0;

    for (unsigned i = 0; i < count; i++) {
        int n = snprintf(buf, sizeof(buf), "/nodes/%u/%u/key%u%cvalue%u", i / 1000, i / 30, i, 0, i);

        queue(c, XS_WRITE, buf, (size_t)n);
        if (++wait == 32 || i + 1 == count) {
            flush(c);
            for (; wait; wait--)
                receive(c);
        }
    }
    client_free(c);
    return 0;
}

static int run_pause(unsigned ms)
{
    struct client *c = client_new();
    double stop = now() + ms / 1000.0, worst = 0, start;

    printf("go\n");
    fflush(stdout);
    while ((start = now()) < stop) {
        talk(c, XS_READ, "/", 2);
        if (now() - start > worst)
            worst = now() - start;
    }
    printf("longest_wait ms %.6g\n", worst * 1000);
    client_free(c);
    return 0;
}

static const struct {
    const char *name;
    bool numbered;
    int (*run)(unsigned n);
} modes[] = {
    { "small", false, run_small },      { "wire", false, run_wire },   { "echo", false, run_echo },
    { "domains", true, run_domains },   { "nodes", true, run_nodes },  { "pause", true, run_pause },
};

int main(int argc, char **argv)
{
    for (size_t m = 0; argc > 1 && m < sizeof(modes) / sizeof(modes[0]); m++) {
        int first = modes[m].numbered ? 3 : 2;

        if (strcmp(argv[1], modes[m].name))
            continue;
        for (int i = first; i < argc && nr_sockets < 2; i++)
            socket_paths[nr_sockets++] = argv[i];
        socket_path = socket_paths[0];
        return nr_sockets ? modes[m].run((unsigned)atoi(argv[2])) : 2;
    }
    fprintf(stderr, "what store_client does is said at the top of its source\n");
    return 2;
}
