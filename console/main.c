/* SPDX-License-Identifier: MIT */
/* xenconsoled: options and the loop. Always in the foreground. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "config.h"
#include "common/log.h"
#include "common/paths.h"
#include "console/daemon.h"

struct options {
    struct daemon_options d;
    const char *pid_file;
    bool verbose;
    char log_dir[PATH_MAX];
};

struct service {
    sd_event *event;
    struct host_real *real;
    struct daemon *daemon;
};

static void usage(FILE *to)
{
    fputs("usage: xenconsoled [options]\n"
          "\n"
          "  -l, --log none|guest    keep guests' output in guest-NAME.log\n"
          "  -o, --log-dir DIR       where\n"
          "  -t, --timestamp none|guest\n"
          "                          put the time before each logged line\n"
          "  -p, --pid-file FILE     write the process id there\n"
          "  -v, --verbose           say more\n"
          "  -i, --interactive       accepted; the daemon always stays in the foreground\n"
          "  -h, --help    -V, --version\n", to);
}

/* "guest" or "none"; what concerns the hypervisor's own log is not this daemon's. */
static bool parse_what(const char *option, const char *text, bool *guests)
{
    *guests = !strcmp(text, "guest") || !strcmp(text, "all");
    if (!strcmp(text, "all"))
        kr_log(KR_NOTICE, "--%s=all: the hypervisor's log is not kept here, guests' output is",
               option);
    if (*guests || !strcmp(text, "none"))
        return true;
    fprintf(stderr, "xenconsoled: --%s takes none or guest, not %s\n", option, text);
    return false;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
    static const struct option long_options[] = {
        { "log", required_argument, NULL, 'l' },
        { "log-dir", required_argument, NULL, 'o' },
        { "timestamp", required_argument, NULL, 't' },
        { "pid-file", required_argument, NULL, 'p' },
        { "overflow-data", required_argument, NULL, 'f' },
        { "verbose", no_argument, NULL, 'v' },
        { "interactive", no_argument, NULL, 'i' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { NULL, 0, NULL, 0 },
    };
    bool ok = true;
    int c;

    while (ok && (c = getopt_long(argc, argv, "l:o:t:p:f:vihV", long_options, NULL)) != -1) {
        switch (c) {
        case 'l': ok = parse_what("log", optarg, &o->d.log_guests); break;
        case 't': ok = parse_what("timestamp", optarg, &o->d.timestamps); break;
        case 'o': o->d.log_dir = optarg; break;
        case 'p': o->pid_file = optarg; break;
        case 'v': o->verbose = true; break;
        case 'i': break;
        case 'f':
            ok = !strcmp(optarg, "discard");
            if (!ok)
                fprintf(stderr, "xenconsoled: --overflow-data can only be discard\n");
            break;
        case 'h': usage(stdout); return 0;
        case 'V': puts("xenconsoled " PACKAGE_VERSION); return 0;
        default: usage(stderr); return 2;
        }
    }
    if (ok && optind < argc) {
        fprintf(stderr, "xenconsoled: unexpected argument: %s\n", argv[optind]);
        ok = false;
    }
    return ok ? -1 : 2;
}

static int prepare_logs(struct options *o)
{
    if (!o->d.log_guests || o->d.log_dir)
        return 0;
    if (!kr_path(KR_XEN_CONSOLE_LOG, o->log_dir, sizeof(o->log_dir)) ||
        kr_path_mkdir(KR_XEN_CONSOLE_LOG)) {
        kr_log(KR_ERR, "cannot make the log directory %s: %s", o->log_dir, strerror(errno));
        return -1;
    }
    o->d.log_dir = o->log_dir;
    return 0;
}

static int on_host(sd_event_source *src, int fd, uint32_t events, void *arg)
{
    struct service *s = arg;
    bool domain_event = false;

    if (events & (EPOLLHUP | EPOLLERR)) {
        kr_log(KR_ERR, "the hypervisor's connection is gone");
        return sd_event_exit(s->event, 1);
    }
    int port = host_real_pending(s->real, &domain_event);
    if (port >= 0)
        daemon_port(s->daemon, (uint32_t)port);
    return 0;
}

static int on_signal(sd_event_source *src, const struct signalfd_siginfo *si, void *arg)
{
    struct service *s = arg;

    if (si->ssi_signo != SIGHUP)
        return sd_event_exit(s->event, 0);
    daemon_reopen_logs(s->daemon);
    return 0;
}

static int catch_signals(struct service *s)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
    sigset_t set;
    int err = 0;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]) && err >= 0; i++)
        err = sd_event_add_signal(s->event, NULL, signals[i], on_signal, s);
    return err;
}

static int write_pid(const char *path)
{
    FILE *f = path ? fopen(path, "we") : NULL;

    if (!path)
        return 0;
    if (!f)
        return -errno;
    fprintf(f, "%d\n", (int)getpid());
    return fclose(f) ? -errno : 0;
}

static int serve(struct service *s, struct xs_handle *xs, const struct host *host,
                 const struct options *o)
{
    int err = catch_signals(s);

    if (err >= 0)
        err = daemon_new(&s->daemon, s->event, xs, host, &o->d);
    if (err >= 0)
        err = sd_event_add_io(s->event, NULL, host_real_fd(s->real), EPOLLIN, on_host, s);
    if (err >= 0)
        err = write_pid(o->pid_file);
    if (err < 0) {
        kr_log(KR_ERR, "cannot start: %s", strerror(-err));
        return 1;
    }
    sd_notify(0, "READY=1");
    kr_log(KR_INFO, "ready");
    err = sd_event_loop(s->event);
    sd_notify(0, "STOPPING=1");
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
    static struct options o;
    struct service s = { 0 };
    struct xs_handle *xs = NULL;
    struct host host;
    const char *what;
    int status = parse_options(argc, argv, &o), err;

    if (status >= 0)
        return status;
    status = 1;
    kr_log_init("xenconsoled", o.verbose ? KR_DEBUG : KR_INFO);
    if (prepare_logs(&o))
        return 1;
    raise_fd_limit();
    err = host_real_open(&s.real, &host, false, &what);
    if (err) {
        kr_log(KR_ERR, "no hypervisor: cannot open its %s: %s; is kryptond running?", what,
               strerror(-err));
        return 1;
    }
    xs = xs_open(0);
    if (!xs)
        kr_log(KR_ERR, "cannot reach the store at %s: %s", xs_daemon_socket(), strerror(errno));
    else if (sd_event_new(&s.event) >= 0)
        status = serve(&s, xs, &host, &o);
    if (s.daemon)
        daemon_free(s.daemon);
    else
        xs_close(xs);
    sd_event_unref(s.event);
    host_real_close(s.real);
    return status;
}
