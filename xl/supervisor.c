/* SPDX-License-Identifier: MIT */
/*
 * Who carries out on_poweroff, on_reboot and on_crash: one supervisor per host, `xl supervise`, started by
 * the first create that needs it and gone when no domain needs it any more.
 *
 * What it must know is kept with the domain, not in the process: a piece of libxl userdata marks the
 * domains that are its business, and the domain's stored configuration names the actions. So it can be
 * killed and started again (`xl supervise`) at any time, and what happened meanwhile is still done.
 * It looks at the state of the domains whenever the store says that one came, went or shut down.
 *
 * Two locks: `lock` is held by the one that supervises; `gate` makes "mark a domain, see whether
 * somebody supervises" and "see that no domain is marked, stop supervising" exclude each other.
 */
#include "xl/xl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xenstore.h>

#include "common/paths.h"

#define MARK "xl-supervise"

/* A guest that ends within this many seconds is started again after them, so that a boot loop stays slow. */
#define MIN_RUN_SECONDS 2

/* How often a store that is gone is looked for. */
#define STORE_RETRY_MS 100

struct supervisor {
    struct xl *xl;
    struct xs_handle *xs;
    bool one;                 /* xl create -F: one domain alone, `only` (0 once it has ended) */
    uint32_t only;
    bool busy;                /* the last look saw a domain that is our business */
    int wait_ms;              /* until an action that was put off is due; -1: none */
};

static int open_lock(const char *name)
{
    char dir[PATH_MAX], path[PATH_MAX + 32];

    if (kr_path_mkdir(KR_RUN) || !kr_path(KR_RUN, dir, sizeof(dir))) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/xl-supervisor.%s", dir, name);
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    va_list ap;

    strftime(when, sizeof(when), "%F %T", localtime_r(&now, &tm));
    fprintf(stderr, "%s xl: ", when);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static bool is_marked(struct xl *xl, uint32_t domid)
{
    uint8_t *data = NULL;
    int len = 0;
    bool marked = !libxl_userdata_retrieve(xl->ctx, domid, MARK, &data, &len) && len > 0;

    free(data);
    return marked;
}

static int start_again(struct supervisor *s, libxl_domain_config *dc)
{
    uint32_t domid;
    int rc;

    dc->c_info.domid = INVALID_DOMID;
    rc = libxl_domain_create_new(s->xl->ctx, dc, &domid, NULL, NULL);
    if (rc) {
        say("domain '%s' could not be started again: %s", dc->c_info.name, libxl_error_to_string(rc));
        return -1;
    }
    if (!s->one) {
        libxl_userdata_store(s->xl->ctx, domid, MARK, (const uint8_t *)"1", 1);
    } else {
        s->only = domid;
    }
    rc = libxl_domain_unpause(s->xl->ctx, domid, NULL);
    say("domain '%s' runs again as domain %u", dc->c_info.name, domid);
    return rc;
}

static libxl_action_on_shutdown action_for(const libxl_domain_config *dc, libxl_shutdown_reason reason)
{
    switch (reason) {
    case LIBXL_SHUTDOWN_REASON_POWEROFF: return dc->on_poweroff;
    case LIBXL_SHUTDOWN_REASON_REBOOT: return dc->on_reboot;
    case LIBXL_SHUTDOWN_REASON_WATCHDOG: return dc->on_watchdog;
    case LIBXL_SHUTDOWN_REASON_SUSPEND: return LIBXL_ACTION_ON_SHUTDOWN_PRESERVE;
    default: return dc->on_crash;
    }
}

/* Milliseconds until a domain that ended may be started again; 0: now. */
static int hold_off(struct supervisor *s, uint32_t domid)
{
    uint32_t start = libxl_vm_get_start_time(s->xl->ctx, domid);
    time_t due = (time_t)start + MIN_RUN_SECONDS, now = time(NULL);

    return start && due > now && due <= now + MIN_RUN_SECONDS ? (int)(due - now) * 1000 : 0;
}

/* The memory of a domain that coredump-* is asked for, before it goes. A failure is said and changes nothing. */
static void dump(struct supervisor *s, uint32_t domid, const char *name)
{
    char dir[PATH_MAX], path[PATH_MAX + 256];
    int rc;

    if (kr_path_mkdir(KR_XEN_DUMP) || !kr_path(KR_XEN_DUMP, dir, sizeof(dir))) {
        say("domain %u: no place for its memory: %s", domid, strerror(errno));
        return;
    }
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    rc = libxl_domain_core_dump(s->xl->ctx, domid, path, NULL);
    say("domain %u (%s): its memory is %s %s", domid, name, rc ? "NOT in" : "in", path);
}

static libxl_action_on_shutdown without_dump(libxl_action_on_shutdown action)
{
    return action == LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY ? LIBXL_ACTION_ON_SHUTDOWN_DESTROY :
           action == LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART ? LIBXL_ACTION_ON_SHUTDOWN_RESTART : action;
}

static void act(struct supervisor *s, const libxl_dominfo *info, libxl_domain_config *dc,
                libxl_action_on_shutdown action)
{
    char suffix[32];
    libxl_uuid uuid;
    int rc;

    say("domain %u (%s) has shut down, reason %s: %s", info->domid, dc->c_info.name ? dc->c_info.name : "?",
        libxl_shutdown_reason_to_string(info->shutdown_reason), libxl_action_on_shutdown_to_string(action));
    if (without_dump(action) != action && dc->c_info.name) {
        dump(s, info->domid, dc->c_info.name);
    }
    switch (without_dump(action)) {
    case LIBXL_ACTION_ON_SHUTDOWN_PRESERVE:
        libxl_userdata_unlink(s->xl->ctx, info->domid, MARK);
        if (s->only == info->domid) {
            s->only = 0;
        }
        break;
    case LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME:
        snprintf(suffix, sizeof(suffix), "-%lld", (long long)time(NULL));
        libxl_uuid_generate(&uuid);
        libxl_userdata_unlink(s->xl->ctx, info->domid, MARK);
        rc = libxl_domain_preserve(s->xl->ctx, info->domid, &dc->c_info, suffix, uuid);
        if (rc) {
            say("domain %u cannot be renamed: %s", info->domid, libxl_error_to_string(rc));
        } else {
            start_again(s, dc);
        }
        break;
    case LIBXL_ACTION_ON_SHUTDOWN_RESTART:
        rc = libxl_domain_destroy(s->xl->ctx, info->domid, NULL);
        if (!rc) {
            start_again(s, dc);
        }
        break;
    default:
        rc = libxl_domain_destroy(s->xl->ctx, info->domid, NULL);
        if (s->only == info->domid) {
            s->only = 0;
        }
    }
}

/* 0 done, or how many milliseconds to wait before it may be. */
static int carry_out(struct supervisor *s, const libxl_dominfo *info)
{
    libxl_action_on_shutdown action = LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
    libxl_domain_config dc;
    int wait_ms = 0;

    libxl_domain_config_init(&dc);
    if (!libxl_retrieve_domain_configuration(s->xl->ctx, info->domid, &dc, NULL)) {
        action = action_for(&dc, info->shutdown_reason);
    }
    if (without_dump(action) == LIBXL_ACTION_ON_SHUTDOWN_RESTART ||
        action == LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME) {
        wait_ms = hold_off(s, info->domid);
    }
    if (!wait_ms) {
        act(s, info, &dc, action);
    }
    libxl_domain_config_dispose(&dc);
    return wait_ms;
}

static void look(struct supervisor *s)
{
    int nr = 0, ms;
    libxl_dominfo *info = libxl_list_domain(s->xl->ctx, &nr);

    s->busy = false;
    s->wait_ms = -1;
    for (int i = 0; info && i < nr; i++) {
        /* One that goes on only tells that there is something to do yet, and whose it is takes a file to be read. */
        if (s->busy && !info[i].dying && !info[i].shutdown) {
            continue;
        }
        bool mine = s->one ? info[i].domid == s->only : info[i].domid && is_marked(s->xl, info[i].domid);

        if (!mine || info[i].dying) {
            s->busy = s->busy || mine;
            continue;
        }
        s->busy = true;
        if (!info[i].shutdown) {
            continue;
        }
        ms = carry_out(s, &info[i]);
        if (ms) {
            s->wait_ms = s->wait_ms < 0 || ms < s->wait_ms ? ms : s->wait_ms;
        }
    }
    if (info) {
        libxl_dominfo_list_free(info, nr);
    }
}

/* Waits for news from the store. Returns -1 when the store is gone. */
static int wait_for_news(struct supervisor *s)
{
    struct pollfd p = { .fd = xs_fileno(s->xs), .events = POLLIN };
    char **watch;
    int r = poll(&p, 1, s->wait_ms);

    if (r < 0 && errno != EINTR) {
        return -1;
    }
    if (r > 0) {
        while ((watch = xs_check_watch(s->xs))) {
            free(watch);
        }
        if (errno != EAGAIN) {
            return -1;
        }
    }
    return 0;
}

static int watch_store(struct supervisor *s)
{
    s->xs = xs_open(0);
    if (s->xs && xs_watch(s->xs, "@introduceDomain", "in") && xs_watch(s->xs, "@releaseDomain", "out")) {
        return 0;
    }
    if (s->xs) {
        xs_close(s->xs);
    }
    s->xs = NULL;
    return -1;
}

static int supervisor_open(struct supervisor *s)
{
    if (watch_store(s)) {
        xl_error("cannot watch the store: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static bool core_answers(struct supervisor *s)
{
    int nr = 0;
    libxl_dominfo *info = libxl_list_domain(s->xl->ctx, &nr);

    if (!info) {
        return false;
    }
    libxl_dominfo_list_free(info, nr);
    return true;
}

/*
 * The store has ended. While there is a core there will be a store again; what shut down meanwhile is seen by the
 * next look. libxl's own connection to the store is gone too, and with it the context.
 */
static int wait_for_store(struct supervisor *s)
{
    say("the store is gone; waiting for it");
    xs_close(s->xs);
    while (watch_store(s)) {
        if (!core_answers(s)) {
            say("the core is gone too");
            return -1;
        }
        poll(NULL, 0, STORE_RETRY_MS);
    }
    libxl_ctx_free(s->xl->ctx);
    s->xl->ctx = NULL;
    if (xl_ctx_open(s->xl)) {
        return -1;
    }
    say("the store is back");
    return 0;
}

static void write_pid_file(void)
{
    char dir[PATH_MAX], path[PATH_MAX + 32];
    FILE *f;

    if (kr_path(KR_RUN, dir, sizeof(dir))) {
        snprintf(path, sizeof(path), "%s/xl-supervisor.pid", dir);
        f = fopen(path, "we");
        if (f) {
            fprintf(f, "%d\n", (int)getpid());
            fclose(f);
        }
    }
}

int main_supervise(struct xl *xl, int argc, char **argv)
{
    struct supervisor s = { .xl = xl };
    int lock = open_lock("lock"), gate = open_lock("gate"), rc = 1;

    xl_no_options(xl, argc, argv);
    if (lock < 0 || gate < 0) {
        xl_error("cannot open the supervisor's locks: %s", strerror(errno));
        return 1;
    }
    if (flock(lock, LOCK_EX | LOCK_NB)) {
        return 0;   /* somebody does it already */
    }
    if (xl_ctx_open(xl) || supervisor_open(&s)) {
        return 1;
    }
    write_pid_file();
    for (;;) {
        look(&s);
        if (!s.busy) {
            flock(gate, LOCK_EX);
            look(&s);
            if (!s.busy) {
                flock(lock, LOCK_UN);
                flock(gate, LOCK_UN);
                rc = 0;
                break;
            }
            flock(gate, LOCK_UN);
        }
        if (wait_for_news(&s) && wait_for_store(&s)) {
            break;
        }
    }
    xs_close(s.xs);
    close(lock);
    close(gate);
    return rc;
}

/* Starts `xl supervise` with its messages in the log, detached from this process and its terminal. */
static int start_supervisor(void)
{
    char dir[PATH_MAX], path[PATH_MAX + 32];
    int status, log, null;
    pid_t pid;

    if (kr_path_mkdir(KR_XEN_LOG) || !kr_path(KR_XEN_LOG, dir, sizeof(dir))) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/xl-supervisor.log", dir);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        null = open("/dev/null", O_RDWR);
        if (log < 0 || null < 0 || setsid() < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log, 2) < 0) {
            _exit(1);
        }
        if (fork()) {
            _exit(0);
        }
        /* Nothing else may stay open: a caller's pipe would wait for this process. */
        closefrom(3);
        execl("/proc/self/exe", "xl", "supervise", (char *)NULL);
        _exit(1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
        errno = pid < 0 ? errno : EIO;
        return -1;
    }
    return 0;
}

int xl_supervise_domain(struct xl *xl, uint32_t domid)
{
    int lock = open_lock("lock"), gate = open_lock("gate"), rc = -1;

    if (lock < 0 || gate < 0 || flock(gate, LOCK_EX)) {
        xl_error("cannot open the supervisor's locks: %s", strerror(errno));
        goto out;
    }
    if (libxl_userdata_store(xl->ctx, domid, MARK, (const uint8_t *)"1", 1)) {
        xl_error("cannot mark domain %u for the supervisor", domid);
        goto out;
    }
    rc = 0;
    if (!flock(lock, LOCK_EX | LOCK_NB)) {
        flock(lock, LOCK_UN);
        rc = start_supervisor();
        if (rc) {
            xl_error("cannot start the supervisor: %s", strerror(errno));
        }
    }
out:
    if (lock >= 0) {
        close(lock);
    }
    if (gate >= 0) {
        close(gate);
    }
    return rc;
}

int xl_supervise_here(struct xl *xl, uint32_t domid)
{
    struct supervisor s = { .xl = xl, .one = true, .only = domid };

    if (supervisor_open(&s)) {
        return 1;
    }
    for (look(&s); s.busy && s.only; look(&s)) {
        if (wait_for_news(&s) && wait_for_store(&s)) {
            xs_close(s.xs);
            return 1;
        }
    }
    xs_close(s.xs);
    return 0;
}
