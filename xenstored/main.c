/* SPDX-License-Identifier: MIT */
/* xenstored: options, sockets, and the loop. Always in the foreground; systemd does the rest. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "config.h"
#include "common/log.h"
#include "common/paths.h"
#include "xenstored/journal.h"
#include "xenstored/loop.h"
#include "xenstored/update.h"

/* Options of Xen's daemon that set a quota by a letter of its own. */
static const struct quota_option {
    int letter;
    enum quota_id quota;
} quota_options[] = {
    { 'E', QUOTA_NODES }, { 'S', QUOTA_NODE_SIZE }, { 'W', QUOTA_WATCHES },
    { 't', QUOTA_TRANSACTIONS }, { 'A', QUOTA_PERMS }, { 'M', QUOTA_PATH },
};

enum { OPT_VERSION = 256 };

static const struct option long_options[] = {
    { "no-fork", no_argument, NULL, 'N' },
    { "pid-file", required_argument, NULL, 'F' },
    { "trace-file", required_argument, NULL, 'T' },
    { "verbose", no_argument, NULL, 'V' },
    { "no-domain-init", no_argument, NULL, 'D' },
    { "output-pid", no_argument, NULL, 'P' },
    { "entry-nb", required_argument, NULL, 'E' },
    { "entry-size", required_argument, NULL, 'S' },
    { "watch-nb", required_argument, NULL, 'W' },
    { "transaction", required_argument, NULL, 't' },
    { "perm-nb", required_argument, NULL, 'A' },
    { "path-max", required_argument, NULL, 'M' },
    { "quota", required_argument, NULL, 'Q' },
    { "timeout", required_argument, NULL, 'w' },
    { "quota-soft", required_argument, NULL, 'q' },
    { "keep-orphans", no_argument, NULL, 'K' },
    { "internal-db", optional_argument, NULL, 'I' },
    { "no-recovery", no_argument, NULL, 'R' },
    { "live-update", no_argument, NULL, 'U' },
    { "preserve-local", no_argument, NULL, 'L' },
    { "help", no_argument, NULL, 'H' },
    { "version", no_argument, NULL, OPT_VERSION },
    { NULL, 0, NULL, 0 },
};

struct options {
    const char *pid_file, *trace_file;
    bool verbose, print_pid, no_host, no_recovery, live_update;
};

/* The daemon's one context. */
struct daemon {
    struct store s;
    struct options o;
    struct loop *loop;
    struct host_real *real;
    struct update_dump dump;        /* what the last program left, with -U */
    struct update_host update;
    int listen[16];
    bool own_socket;                /* ours to take away again, not systemd's */
    char socket[PATH_MAX], dir[PATH_MAX], identity[112];
};

static void usage(FILE *to)
{
    fputs("usage: xenstored [options]\n"
          "\n"
          "  -N, --no-fork             accepted; the daemon always stays in the foreground\n"
          "  -F, --pid-file FILE       write the process id there\n"
          "  -P, --output-pid          print the process id\n"
          "  -T, --trace-file FILE     log every request and reply to FILE\n"
          "  -V, --verbose             log every request and reply\n"
          "  -D, --no-domain-init      serve sockets only, without a hypervisor\n"
          "  -R, --no-recovery         begin anew, even if the last daemon was killed\n"
          "  -U, --live-update         go on from a live update (given by the last daemon)\n"
          "  -Q, --quota NAME=N        set a quota; 0 is no limit. Names and defaults:\n", to);
    for (int i = 0; i < QUOTA_COUNT; i++)
        fprintf(to, "                              %-18s %u\n", quota_info[i].name,
                quota_info[i].dflt);
    fputs("  -E, -S, -W, -t, -A, -M N  the same for nodes, node-size, watches, transactions,\n"
          "                            node-permissions, path-max\n"
          "  -q, --quota-soft NAME=N   the same for the quota soft-NAME\n"
          "  -w, --timeout watch-event=SECONDS\n"
          "                            drop events that a guest leaves unread for so long\n"
          "  -H, --help    --version\n", to);
}

static bool parse_number(const char *text, unsigned *out)
{
    char *end;

    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || v > INT_MAX)
        return false;
    *out = (unsigned)v;
    return true;
}

/* "NAME=N": the number, with the name's length in *len. */
static bool parse_setting(const char *text, size_t *len, unsigned *out)
{
    const char *eq = strchr(text, '=');

    *len = eq ? (size_t)(eq - text) : 0;
    return eq && parse_number(eq + 1, out);
}

/* prefix: "soft-" for -q. */
static bool set_quota(struct store *s, const char *prefix, const char *text)
{
    char name[32];
    unsigned value;
    size_t len;

    if (!parse_setting(text, &len, &value))
        return false;
    if (snprintf(name, sizeof(name), "%s%.*s", prefix, (int)len, text) >= (int)sizeof(name))
        return false;
    int q = quota_by_name(name);
    if (q >= 0)
        quota_set(s, NULL, (enum quota_id)q, value);
    return q >= 0;
}

static bool set_timeout(struct store *s, const char *text)
{
    unsigned seconds;
    size_t len;

    if (!parse_setting(text, &len, &seconds) || strncmp(text, "watch-event", len) ||
        len != strlen("watch-event") || seconds > INT_MAX / 1000)
        return false;
    s->event_timeout_ms = seconds * 1000;
    return true;
}

static bool letter_quota(struct store *s, int letter, const char *text)
{
    for (size_t i = 0; i < sizeof(quota_options) / sizeof(quota_options[0]); i++)
        if (quota_options[i].letter == letter)
            return parse_number(text, &s->quota[quota_options[i].quota]);
    return false;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct options *o, struct store *s)
{
    bool ok = true;
    int c;

    while (ok && (c = getopt_long(argc, argv, "NF:T:VDPE:S:W:t:A:M:Q:q:w:I::RLKUH", long_options,
                                  NULL)) != -1) {
        switch (c) {
        case 'N': case 'I': case 'L': case 'K':
            break; /* what they ask for is how this daemon is, or means nothing to it */
        case 'F': o->pid_file = optarg; break;
        case 'T': o->trace_file = optarg; break;
        case 'V': o->verbose = true; break;
        case 'D': o->no_host = true; break;
        case 'R': o->no_recovery = true; break;
        case 'U': o->live_update = true; break;
        case 'P': o->print_pid = true; break;
        case 'Q': ok = set_quota(s, "", optarg); break;
        case 'q': ok = set_quota(s, "soft-", optarg); break;
        case 'w': ok = set_timeout(s, optarg); break;
        case 'H': usage(stdout); return 0;
        case OPT_VERSION: puts("xenstored " PACKAGE_VERSION " (protocol of Xen 4.17)"); return 0;
        case '?': usage(stderr); return 2;
        default: ok = letter_quota(s, c, optarg); break;
        }
        if (!ok)
            fprintf(stderr, "xenstored: bad value for -%c: %s\n", c, optarg);
    }
    if (ok && optind < argc) {
        fprintf(stderr, "xenstored: unexpected argument: %s\n", argv[optind]);
        ok = false;
    }
    return ok ? -1 : 2;
}

/* ---- What -D serves with: no domain exists but domain 0 ---- */

static int no_domain(void *priv, uint16_t domid, struct host_domain *out)
{
    return -ESRCH;
}

static const struct host_ops no_host_ops = { .domain_info = no_domain };

/* ---- Starting ---- */

static int write_pid(const char *path)
{
    FILE *f = fopen(path, "we");

    if (!f)
        return -errno;
    fprintf(f, "%d\n", (int)getpid());
    return fclose(f) ? -errno : 0;
}

/* Where the socket is, and beside it the state that outlives us. */
static int find_places(struct daemon *d)
{
    const char *env = getenv("XENSTORED_PATH");
    char *slash;

    if (env) {
        if (snprintf(d->socket, sizeof(d->socket), "%s", env) >= (int)sizeof(d->socket))
            return -ENAMETOOLONG;
    } else if (!kr_path(KR_XENSTORED_SOCKET, d->socket, sizeof(d->socket)) ||
               kr_path_mkdir(KR_XENSTORED_SOCKET)) {
        return -errno;
    }
    strcpy(d->dir, d->socket);
    slash = strrchr(d->dir, '/');
    if (!slash)
        strcpy(d->dir, ".");
    else
        slash[slash == d->dir] = 0;
    return 0;
}

/*
 * Names this life of the host: of the machine, by the kernel's word, and of our core, by when it
 * made its socket. Domains of another life are not those that a state tells of.
 */
static void find_identity(struct daemon *d)
{
    char boot[40] = "", core[PATH_MAX];
    struct stat st = { 0 };
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (f && fscanf(f, "%39s", boot) != 1)
        boot[0] = 0;
    if (f)
        fclose(f);
    if (d->o.no_host || !kr_path(KR_CORE_SOCKET, core, sizeof(core)) || stat(core, &st))
        st = (struct stat){ 0 };
    snprintf(d->identity, sizeof(d->identity), "%s %d %llu %lld.%09ld", boot, d->o.no_host,
             (unsigned long long)st.st_ino, (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

static int listen_on(struct daemon *d, int fd)
{
    if (d->update.fds.nr_listen == sizeof(d->listen) / sizeof(d->listen[0]))
        return -EMFILE;
    int err = loop_listen(d->loop, fd);
    if (err >= 0)
        d->listen[d->update.fds.nr_listen++] = fd;
    return err;
}

static int listen_own(struct daemon *d)
{
    int fd = loop_make_socket(d->socket);

    if (fd < 0) {
        kr_log(KR_ERR, "cannot listen on %s: %s", d->socket,
               fd == -EADDRINUSE ? "another store serves it" : strerror(-fd));
        return fd;
    }
    d->own_socket = true;
    return listen_on(d, fd);
}

static int listen_all(struct daemon *d)
{
    const struct state_found *found = &d->dump.found;
    int count, err = 0;

    if (d->o.live_update) {
        d->own_socket = !getenv("NOTIFY_SOCKET"); /* else it is systemd's */
        for (unsigned i = 0; i < found->nr_listen && err >= 0; i++)
            err = listen_on(d, found->listen[i]);
        return err;
    }
    count = sd_listen_fds(1);
    if (count <= 0)
        return count ? count : listen_own(d);
    for (int i = 0; i < count && err >= 0; i++)
        err = listen_on(d, SD_LISTEN_FDS_START + i);
    return err;
}

/* ---- What the last daemon left ---- */

static int open_log(struct daemon *d)
{
    int err = d->o.trace_file ? store_log_open(&d->s, d->o.trace_file) : 0;

    if (err)
        kr_log(KR_ERR, "cannot open %s: %s", d->o.trace_file, strerror(err));
    d->s.trace = d->o.verbose || d->o.trace_file ? d->s.trace_switches : 0;
    return -err;
}

/* Nothing may be left of what a damaged state has done to the store. */
static int begin_anew(struct daemon *d, int argc, char **argv)
{
    struct host host = d->s.host;

    loop_detach(d->loop);
    store_free(&d->s);
    optind = 1;
    if (store_init(&d->s, &host) || parse_options(argc, argv, &d->o, &d->s) >= 0)
        return -ENOMEM;
    loop_attach(d->loop, &d->s);
    return open_log(d);
}

static int take_over(struct daemon *d)
{
    d->s.keeps_ports = d->dump.found.evtchn >= 0;
    int err = state_load(&d->s, d->dump.data, d->dump.len);
    update_dump_close(&d->dump);
    if (err)
        kr_log(KR_ERR, "the live update's state cannot be read: %s", strerror(err));
    else
        kr_log(KR_NOTICE, "live update done");
    return -err;
}

static int recover(struct daemon *d, int argc, char **argv)
{
    int err = d->o.no_recovery ? ENOENT : journal_recover(&d->s, d->dir, d->identity);

    if (!err) {
        kr_log(KR_NOTICE, "going on with the store of the last daemon");
        return 0;
    }
    if (err == ENOENT)
        return 0;
    kr_log(KR_ERR, "the last daemon's store is lost, its state cannot be read: %s", strerror(err));
    return begin_anew(d, argc, argv);
}

static int load(struct daemon *d, int argc, char **argv)
{
    int err = d->o.live_update ? take_over(d) : recover(d, argc, argv);

    if (err < 0)
        return err;
    store_log_reopen(&d->s);
    domain_check_all(&d->s); /* some may have died meanwhile */
    err = journal_open(&d->s, d->dir, d->identity);
    if (err)
        kr_log(KR_WARN, "no state can be kept in %s: %s; a restart would lose the store", d->dir,
               strerror(err));
    return 0;
}

static int release_host(void *arg)
{
    struct daemon *d = arg;

    return d->real ? host_real_hand_over(d->real, false) : 0;
}

static int reclaim_host(void *arg)
{
    struct daemon *d = arg;

    return d->real ? host_real_hand_over(d->real, true) : 0;
}

/* As Xen's daemon finds it. */
static int dom0_port(void *arg)
{
    struct daemon *d = arg;
    unsigned port = 0;
    FILE *f = fopen("/proc/xen/xsd_port", "re");

    if (!f)
        return 0;
    if (fscanf(f, "%u", &port) != 1)
        port = 0;
    fclose(f);
    int local = port && d->real ? d->s.host.ops->bind(d->s.host.priv, 0, port) : 0;
    return local > 0 ? local : 0;
}

static void allow_update(struct daemon *d, char **argv)
{
    d->update.argv = argv;
    d->update.dir = d->dir;
    d->update.fds.listen = d->listen;
    d->update.fds.evtchn = d->real ? host_real_fd(d->real) : -1;
    d->update.release = release_host;
    d->update.reclaim = reclaim_host;
    d->update.exec = execv;
    d->update.dom0_port = dom0_port;
    d->update.arg = d;
    update_allow(&d->s, &d->update);
}

/* A descriptor that is readable when we are to end, or -errno. */
static int catch_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static int open_host(struct daemon *d)
{
    const char *what;

    if (d->o.no_host)
        return 0;
    int err = host_real_succeed(&d->real, &d->s.host, true,
                                d->o.live_update ? d->dump.found.evtchn : -1, &what);
    if (err)
        kr_log(KR_ERR, "no hypervisor: cannot open its %s: %s; is kryptond running?", what,
               strerror(-err));
    return err;
}

static int serve(struct daemon *d, int argc, char **argv)
{
    int stop = catch_signals(), err = stop;

    if (err >= 0 && d->real)
        err = loop_host(d->loop, host_real_fd(d->real), host_real_pending, d->real);
    if (err >= 0)
        err = load(d, argc, argv);
    if (err >= 0)
        err = listen_all(d);
    if (err >= 0 && d->o.pid_file)
        err = write_pid(d->o.pid_file);
    if (err < 0) {
        kr_log(KR_ERR, "cannot start: %s", strerror(-err));
        return 1;
    }
    allow_update(d, argv);
    if (d->o.print_pid && !d->o.live_update) {
        printf("%d\n", (int)getpid());
        fflush(stdout);
    }
    sd_notify(0, "READY=1");
    kr_log(KR_INFO, "ready");
    err = loop_run(d->loop, stop);
    close(stop);
    sd_notify(0, "STOPPING=1");
    if (d->own_socket)
        unlink(d->socket);
    return err < 0;
}

/* Every client and guest costs descriptors; what we may have, we take. */
static void raise_fd_limit(void)
{
    struct rlimit r;

    if (!getrlimit(RLIMIT_NOFILE, &r)) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

/* 0, or the exit status. */
static int prepare(struct daemon *d)
{
    int err = open_log(d);

    if (err)
        return 1;
    err = find_places(d);
    if (err) {
        kr_log(KR_ERR, "no place for the socket: %s", strerror(-err));
        return 1;
    }
    find_identity(d);
    err = d->o.live_update ? update_dump_open(&d->dump, d->dir) : 0;
    if (err) {
        kr_log(KR_ERR, "no state of a live update in %s: %s", d->dir, strerror(err));
        return 1;
    }
    raise_fd_limit();
    return open_host(d) || loop_new(&d->loop, &d->s) < 0;
}

int main(int argc, char **argv)
{
    static struct daemon d;
    struct host host = { &no_host_ops, NULL };
    int status;

    kr_log_init("xenstored", KR_INFO);
    status = store_init(&d.s, &host);
    if (status) {
        kr_log(KR_ERR, "cannot start: %s", strerror(status));
        return 1;
    }
    status = parse_options(argc, argv, &d.o, &d.s);
    if (status < 0) {
        status = prepare(&d);
        if (!status)
            status = serve(&d, argc, argv);
    }
    store_free(&d.s);
    loop_free(d.loop);
    host_real_close(d.real);
    if (d.o.pid_file && !status)
        unlink(d.o.pid_file);
    return status;
}
