/* SPDX-License-Identifier: MIT */
/* kryptond: options, socket, signals, the loop. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "common/log.h"
#include "common/paths.h"
#include "hypervisor/core/client.h"
#include "hypervisor/core/console.h"
#include "hypervisor/core/core.h"
#include "hypervisor/core/cpu_share.h"
#include "hypervisor/core/domproc.h"
#include "hypervisor/core/serial.h"
#include "hypervisor/core/version.h"

struct options {
    enum kr_log_level level;
    const char *domain_program, *console_log, *cgroup;
    int serial;                  /* a machine's serial line, or -1 */
    unsigned long memory;        /* MiB; 0: what there is */
};

static const char usage[] =
    "Usage: kryptond [OPTION]...\n"
    "The Krypton core: runs Xen domains without a hypervisor underneath. Stays in the "
    "foreground.\n\n"
    "  -v, --verbose               log everything\n"
    "      --domain-program=PATH   the program that runs a domain (also $KRYPTON_DOMAIN_PROGRAM)\n"
    "      --console-log=FILE      append the hypervisor console (xl dmesg) to a file\n"
    "      --machine=FD            be a machine: the first domain made is domain 0, not the host;\n"
    "                              descriptor FD is the machine's serial line\n"
    "      --memory=MIB            the machine's memory\n"
    "      --cgroup=DIR            enforce weights and caps in this control group (v2), which is ours\n"
    "  -h, --help                  this text\n"
    "  -V, --version               the version\n";

static int parse_machine(int option, struct options *o)
{
    char *end;
    unsigned long n = strtoul(optarg, &end, 10);
    bool fd = option == 'm';

    if (*end || end == optarg || *optarg == '-' || (fd ? n > INT_MAX : !n || n > 1ul << 32)) {
        fprintf(stderr, "kryptond: --%s=%s: a %s is expected\n", fd ? "machine" : "memory", optarg,
                fd ? "descriptor" : "number of MiB");
        return -1;
    }
    o->serial = fd ? (int)n : o->serial;
    o->memory = fd ? o->memory : n;
    return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longopts[] = {
        { "verbose", no_argument, NULL, 'v' },
        { "domain-program", required_argument, NULL, 'p' },
        { "console-log", required_argument, NULL, 'c' },
        { "machine", required_argument, NULL, 'm' },
        { "memory", required_argument, NULL, 'M' },
        { "cgroup", required_argument, NULL, 'g' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "vhV", longopts, NULL)) != -1) {
        switch (c) {
        case 'v':
            o->level = KR_DEBUG;
            break;
        case 'p':
            o->domain_program = optarg;
            break;
        case 'c':
            o->console_log = optarg;
            break;
        case 'm':
        case 'M':
            if (parse_machine(c, o)) {
                return -1;
            }
            break;
        case 'g':
            o->cgroup = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return 1;
        case 'V':
            printf("kryptond %s (Xen %d.%d ABI)\n", KR_CORE_VERSION, KR_XEN_MAJOR, KR_XEN_MINOR);
            return 1;
        default:
            fprintf(stderr, "Try 'kryptond --help'.\n");
            return -1;
        }
    }
    if (o->memory && o->serial < 0) {
        fprintf(stderr, "kryptond: --memory is a machine's, with --machine\n");
        return -1;
    }
    if (optind < argc) {
        fprintf(stderr, "kryptond: unexpected argument '%s'\n", argv[optind]);
        return -1;
    }
    return 0;
}

/* Is somebody listening at the path? A socket that nobody serves is left over. */
static bool is_served(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool served = fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return served;
}

static int make_socket(char *path, size_t len)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    mode_t old;
    int fd, rc;

    if (!kr_path(KR_CORE_SOCKET, path, len) || strlen(path) >= sizeof(sa.sun_path)) {
        kr_log(KR_ERR, "the core's socket path is too long");
        return -1;
    }
    if (kr_path_mkdir(KR_CORE_SOCKET) < 0) {
        kr_log(KR_ERR, "cannot make the directory of %s: %s", path, strerror(errno));
        return -1;
    }
    memcpy(sa.sun_path, path, strlen(path) + 1);
    if (is_served(&sa)) {
        kr_log(KR_ERR, "a core is already running at %s", path);
        return -1;
    }
    unlink(path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    old = umask(0177);
    rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&sa, sizeof(sa));
    umask(old);
    if (rc < 0 || listen(fd, 128) < 0) {
        kr_log(KR_ERR, "cannot listen at %s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* The socket: systemd's, or our own (then path is not empty, to be unlinked at the end). */
static int listening_socket(char *path, size_t len)
{
    int n = sd_listen_fds(1);

    path[0] = '\0';
    if (n > 1 ||
        (n == 1 && sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0)) {
        kr_log(KR_ERR, "socket activation: one listening SEQPACKET socket is expected");
        return -1;
    }
    return n == 1 ? SD_LISTEN_FDS_START : make_socket(path, len);
}

/* Every bound event channel and every domain takes descriptors. */
static void raise_limits(void)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rl);
    }
}

/* Descriptor 3 and up must be free of accidents: domain processes get theirs by number. */
static int fill_std_fds(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    if (fd >= 0) {
        close(fd);
    }
    return fd < 0 ? -1 : 0;
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *opaque)
{
    return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int catch_signals(sd_event *event)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
        sd_event_add_signal(event, NULL, SIGTERM, on_signal, NULL) < 0 ||
        sd_event_add_signal(event, NULL, SIGINT, on_signal, NULL) < 0) {
        return -1;
    }
    return 0;
}

static void describe(struct core *core)
{
    if (domproc_describe(core) < 0) {
        kr_log(KR_ERR, "%s --describe: %s; no domain can be created", core->domain_program,
               strerror(errno));
        return;
    }
    console_printf(core, "engine %s, TSC %llu kHz; %s", core->engine,
                   (unsigned long long)core->tsc_khz, core->kvm_verdict);
}

/* What xl info shows as the hypervisor's command line. */
static void keep_cmdline(struct core *core, char **args)
{
    size_t len = 0;

    for (; *args; args++) {
        int n = snprintf(core->cmdline + len, sizeof(core->cmdline) - len, "%s%s", len ? " " : "",
                         *args);

        len += n > 0 ? (size_t)n : 0;
        if (len >= sizeof(core->cmdline)) {
            return;
        }
    }
}

/* Before the first line is printed, so that the serial line shows them all. */
static int make_machine(struct core *core, const struct options *o)
{
    if (core_make_machine(core, o->memory) < 0) {
        kr_log(KR_ERR, "a machine with %lu MiB: the host has %llu for guests", o->memory,
               (unsigned long long)(core->host.total_pages - core->host.reserve_pages) / 256);
        return -1;
    }
    if (serial_open(core, o->serial) < 0) {
        kr_log(KR_ERR, "descriptor %d as the serial line: %s", o->serial, strerror(errno));
        return -1;
    }
    return 0;
}

static int serve(const struct options *o, char **args)
{
    char path[PATH_MAX];
    sd_event *event = NULL;
    struct core *core = NULL;
    int fd, rc = 1;

    fd = listening_socket(path, sizeof(path));
    if (fd < 0) {
        return 1;
    }
    if (sd_event_new(&event) < 0 || catch_signals(event) < 0 || !(core = core_new(event))) {
        kr_log(KR_ERR, "cannot start: %s", strerror(errno));
        goto out;
    }
    keep_cmdline(core, args);
    if (o->domain_program) {
        core->domain_program = o->domain_program;
    }
    if (o->console_log) {
        core->console_log = open(o->console_log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (core->console_log < 0) {
            kr_log(KR_ERR, "cannot open %s: %s", o->console_log, strerror(errno));
            goto out;
        }
    }
    if (o->serial >= 0 && make_machine(core, o) < 0) {
        goto out;
    }
    console_printf(core, "Krypton %s, the Xen %d.%d ABI; %llu MiB, of these %llu for guests",
                   KR_CORE_VERSION, KR_XEN_MAJOR, KR_XEN_MINOR,
                   (unsigned long long)core->host.total_pages / 256,
                   (unsigned long long)(core->host.total_pages - core->host.reserve_pages) / 256);
    describe(core);
    if (share_init(core, o->cgroup)) {
        goto out;
    }
    if (client_listen(core, fd) < 0) {
        kr_log(KR_ERR, "cannot serve: %s", strerror(errno));
        goto out;
    }
    fd = -1;
    sd_notify(0, "READY=1\nSTATUS=Serving");
    rc = sd_event_loop(event);
    rc = rc < 0 ? 1 : rc;
    sd_notify(0, "STOPPING=1");
out:
    core_free(core);
    sd_event_unref(event);
    if (fd >= 0) {
        close(fd);
    }
    if (path[0]) {
        unlink(path);
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = { .level = KR_INFO, .domain_program = getenv("KRYPTON_DOMAIN_PROGRAM"),
                         .serial = -1 };
    int rc = parse(argc, argv, &o);

    if (rc) {
        return rc < 0 ? 2 : 0;
    }
    if (fill_std_fds() < 0) {
        return 1;
    }
    kr_log_init("kryptond", o.level);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    raise_limits();
    return serve(&o, argv + 1);
}
