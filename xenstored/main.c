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
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "config.h"
#include "common/log.h"
#include "common/paths.h"
#include "xenstored/loop.h"

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
    { "preserve-local", no_argument, NULL, 'L' },
    { "help", no_argument, NULL, 'H' },
    { "version", no_argument, NULL, OPT_VERSION },
    { NULL, 0, NULL, 0 },
};

struct options {
    const char *pid_file, *trace_file;
    bool verbose, print_pid, no_host;
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

    while (ok && (c = getopt_long(argc, argv, "NF:T:VDPE:S:W:t:A:M:Q:q:w:I::RLKH", long_options,
                                  NULL)) != -1) {
        switch (c) {
        case 'N': case 'I': case 'R': case 'L': case 'K':
            break; /* what they ask for is how this daemon is, or means nothing to it */
        case 'F': o->pid_file = optarg; break;
        case 'T': o->trace_file = optarg; break;
        case 'V': o->verbose = true; break;
        case 'D': o->no_host = true; break;
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

static const char *socket_path(char *buf, size_t len)
{
    const char *env = getenv("XENSTORED_PATH");

    return env ? env : kr_path(KR_XENSTORED_SOCKET, buf, len);
}

static int listen_own(struct loop *l)
{
    char buf[PATH_MAX];
    const char *path = socket_path(buf, sizeof(buf));
    int fd;

    if (!path || (path == buf && kr_path_mkdir(KR_XENSTORED_SOCKET)))
        fd = -errno;
    else
        fd = loop_make_socket(path);
    if (fd < 0) {
        kr_log(KR_ERR, "cannot listen on %s: %s", path ? path : "the store's socket",
               fd == -EADDRINUSE ? "another store serves it" : strerror(-fd));
        return fd;
    }
    return loop_listen(l, fd);
}

/* *own: the socket is ours to take away again, not systemd's. */
static int listen_all(struct loop *l, bool *own)
{
    int count = sd_listen_fds(1), err = 0;

    if (count <= 0) {
        err = count ? count : listen_own(l);
        *own = !err;
        return err;
    }
    for (int i = 0; i < count && !err; i++)
        err = loop_listen(l, SD_LISTEN_FDS_START + i);
    return err;
}

static int on_signal(sd_event_source *src, const struct signalfd_siginfo *si, void *arg)
{
    return sd_event_exit(sd_event_source_get_event(src), 0);
}

static int catch_signals(sd_event *e)
{
    sigset_t set;
    int err;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    err = sd_event_add_signal(e, NULL, SIGTERM, on_signal, NULL);
    return err < 0 ? err : sd_event_add_signal(e, NULL, SIGINT, on_signal, NULL);
}

static int open_host(const struct options *o, struct host *host, struct host_real **real)
{
    const char *what;

    *host = (struct host){ &no_host_ops, NULL };
    if (o->no_host)
        return 0;
    int err = host_real_open(real, host, true, &what);
    if (err)
        kr_log(KR_ERR, "no hypervisor: cannot open its %s: %s; is kryptond running?", what,
               strerror(-err));
    return err;
}

static int serve(struct store *s, struct loop *l, struct host_real *real, const struct options *o)
{
    int err = catch_signals(loop_event(l));
    char buf[PATH_MAX];
    bool own = false;

    if (err >= 0 && real)
        err = loop_host(l, host_real_fd(real), host_real_pending, real);
    if (err >= 0)
        err = listen_all(l, &own);
    if (err >= 0 && o->pid_file)
        err = write_pid(o->pid_file);
    if (err < 0) {
        kr_log(KR_ERR, "cannot start: %s", strerror(-err));
        return 1;
    }
    if (o->print_pid) {
        printf("%d\n", (int)getpid());
        fflush(stdout);
    }
    sd_notify(0, "READY=1");
    kr_log(KR_INFO, "ready");
    err = sd_event_loop(loop_event(l));
    sd_notify(0, "STOPPING=1");
    if (own)
        unlink(socket_path(buf, sizeof(buf)));
    return err < 0 ? 1 : err;
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

int main(int argc, char **argv)
{
    static struct store s;
    struct options o = { 0 };
    struct host_real *real = NULL;
    struct host host = { &no_host_ops, NULL };
    struct loop *l = NULL;
    int status, err;

    kr_log_init("xenstored", KR_INFO);
    err = store_init(&s, &host);
    if (err) {
        kr_log(KR_ERR, "cannot start: %s", strerror(err));
        return 1;
    }
    status = parse_options(argc, argv, &o, &s);
    if (status >= 0)
        goto out;
    status = 1;
    err = o.trace_file ? store_log_open(&s, o.trace_file) : 0;
    if (err) {
        kr_log(KR_ERR, "cannot open %s: %s", o.trace_file, strerror(err));
        goto out;
    }
    s.trace = o.verbose || o.trace_file ? s.trace_switches : 0;
    if (open_host(&o, &s.host, &real))
        goto out;
    if (loop_new(&l, &s) < 0)
        goto out;
    raise_fd_limit();
    status = serve(&s, l, real, &o);
out:
    store_free(&s);
    loop_free(l);
    host_real_close(real);
    if (o.pid_file && !status)
        unlink(o.pid_file);
    return status;
}
