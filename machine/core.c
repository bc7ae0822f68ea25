/* SPDX-License-Identifier: MIT */
/* The machine's core: a kryptond with a folder, a socket and a serial line of its own. */
#include "machine/machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/paths.h"

#define FD_LISTEN   3            /* SD_LISTEN_FDS_START */
#define FD_LINE     4
#define STOP_MS     10000
#define LAST_WORDS  2000

/* A folder that only we can enter. /tmp is last: its path is short enough for a socket's. */
static int make_dir(struct core_process *c)
{
    const char *places[] = { getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp" };

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int n = places[i] && *places[i] == '/' ? snprintf(c->dir, sizeof(c->dir),
                                                          "%s/krypton-machine.XXXXXX", places[i])
                                               : -1;

        if (n > 0 && (size_t)n < sizeof(c->dir) && mkdtemp(c->dir)) {
            return setenv("KRYPTON_RUNDIR", c->dir, 1);
        }
    }
    c->dir[0] = '\0';
    return complain("no folder for it in /tmp: %s", strerror(errno));
}

static int listen_there(void)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    char path[PATH_MAX];
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd >= 0 && kr_path(KR_CORE_SOCKET, path, sizeof(path)) &&
        strlen(path) < sizeof(sa.sun_path)) {
        memcpy(sa.sun_path, path, strlen(path) + 1);
        if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 16) == 0) {
            return fd;
        }
    }
    complain("no socket for its core: %s", strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

/* In the child: descriptors where the core looks for them, and nothing else inherited. */
static void exec_core(int listener, int line, int log, const struct options *o)
{
    char pid[24], machine[24], memory[40], *argv[5] = { (char *)(uintptr_t)"kryptond", machine };
    unsigned n = 2;
    sigset_t none;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    /* Out of the way first, should they be among the numbers that are to be filled. */
    listener = fcntl(listener, F_DUPFD_CLOEXEC, 10);
    line = fcntl(line, F_DUPFD_CLOEXEC, 10);
    log = log >= 0 ? fcntl(log, F_DUPFD_CLOEXEC, 10) : -1;
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || (log >= 0 && dup2(log, STDERR_FILENO) < 0) ||
        dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || dup2(listener, FD_LISTEN) < 0 ||
        dup2(line, FD_LINE) < 0) {
        _exit(126);
    }
    setsid();                    /* the terminal's ^C is for domain 0 */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    unsetenv("LISTEN_FDNAMES");
    unsetenv("NOTIFY_SOCKET");
    snprintf(machine, sizeof(machine), "--machine=%d", FD_LINE);
    if (o->memory) {
        snprintf(memory, sizeof(memory), "--memory=%lu", o->memory);
        argv[n++] = memory;
    }
    if (o->verbose) {
        argv[n++] = (char *)(uintptr_t)"-v";
    }
    argv[n] = NULL;
    execv(KR_SBINDIR "/kryptond", argv);
    dprintf(STDERR_FILENO, "%s: %s\n", KR_SBINDIR "/kryptond", strerror(errno));
    _exit(127);
}

int core_start(struct core_process *c, const struct options *o)
{
    int sv[2] = { -1, -1 }, listener;

    *c = (struct core_process){ .pid = -1, .line = -1, .log = -1 };
    if (make_dir(c)) {
        return -1;
    }
    listener = listen_there();
    c->log = o->verbose ? -1 : memfd_create("kryptond.log", MFD_CLOEXEC);
    if (listener < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0 ||
        (c->pid = fork()) < 0) {
        if (listener >= 0) {
            complain("cannot start its core: %s", strerror(errno));
        }
    } else if (c->pid == 0) {
        exec_core(listener, sv[1], c->log, o);
    }
    c->line = sv[0];
    if (listener >= 0) {
        close(listener);
    }
    if (sv[1] >= 0) {
        close(sv[1]);
    }
    return c->pid > 0 ? 0 : -1;
}

/* Removes what lies in a folder of ours, and the folder. Nobody else puts anything there. */
static void remove_dir(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;

    while (d && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
            unlinkat(fd, e->d_name, 0) < 0 && errno == EISDIR) {
            remove_dir(fd, e->d_name);
        }
    }
    if (d) {
        closedir(d);
    } else if (fd >= 0) {
        close(fd);
    }
    unlinkat(at, name, AT_REMOVEDIR);
}

void core_hide(struct core_process *c)
{
    if (c->dir[0]) {
        remove_dir(AT_FDCWD, c->dir);
        c->dir[0] = '\0';
    }
}

/* Waits for its end, at most that long. */
static bool reap(struct core_process *c, int ms, int *status)
{
    const struct timespec step = { 0, 10000000 };

    for (; waitpid(c->pid, status, WNOHANG) == 0; ms -= 10) {
        if (ms <= 0) {
            return false;
        }
        nanosleep(&step, NULL);
    }
    return true;
}

int core_stop(struct core_process *c, bool *known)
{
    int status = 0;

    *known = c->pid > 0;
    if (c->line >= 0) {
        close(c->line);          /* the core takes it as its switch */
        c->line = -1;
    }
    if (c->pid > 0 && !reap(c, STOP_MS, &status)) {
        kill(c->pid, SIGKILL);
        waitpid(c->pid, &status, 0);
    }
    c->pid = -1;
    core_hide(c);
    return status;
}

void core_last_words(const struct core_process *c)
{
    char text[LAST_WORDS + 1], *start = text;
    off_t size = c->log >= 0 ? lseek(c->log, 0, SEEK_END) : 0;
    off_t from = size > LAST_WORDS ? size - LAST_WORDS : 0;
    ssize_t n = size > 0 ? pread(c->log, text, LAST_WORDS, from) : 0;

    if (n <= 0) {
        return;
    }
    text[n] = '\0';
    if (from && strchr(text, '\n')) {
        start = strchr(text, '\n') + 1;
    }
    fprintf(stderr, "its core said last:\n%s", start);
}
