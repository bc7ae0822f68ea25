/* SPDX-License-Identifier: MIT */
#include "hypervisor/core/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MOUNT "/sys/fs/cgroup"
#define CORE  "core"

struct cgroup {
    const struct cgroup_fs *fs;
    int dir;
};

static int kernel_make(int dirfd, const char *name)
{
    return mkdirat(dirfd, name, 0755) < 0 ? -errno : 0;
}

static int kernel_remove(int dirfd, const char *name)
{
    return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Control files take a value by one write(). */
static int kernel_write(int dirfd, const char *path, const char *text)
{
    int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC), rc = 0;

    if (fd < 0) {
        return -errno;
    }
    if (write(fd, text, strlen(text)) < 0) {
        rc = -errno;
    }
    close(fd);
    return rc;
}

const struct cgroup_fs cgroup_kernel = { kernel_make, kernel_remove, kernel_write };

bool cgroup_delegated(char *path, size_t len)
{
    char line[PATH_MAX], yes = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        found = !strncmp(line, "0::/", 4);    /* the unified hierarchy, cgroups(7) */
    }
    if (f) {
        fclose(f);
    }
    if (!found || (size_t)snprintf(path, len, MOUNT "%s", line + 3) >= len) {
        return false;
    }
    /* Started by a process that an earlier core has moved with it. */
    if (strlen(path) > strlen(CORE) + 1 && !strcmp(path + strlen(path) - strlen(CORE) - 1, "/" CORE)) {
        *strrchr(path, '/') = '\0';
    }
    /* How systemd marks what it has delegated, for unprivileged processes to see. */
    return getxattr(path, "user.delegate", &yes, 1) == 1 && yes == '1';
}

static bool has_cpu(int dir)
{
    char text[512];
    int fd = openat(dir, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    bool found = false;
    char *save;

    if (fd >= 0) {
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    for (char *w = strtok_r(text, " \n", &save); w && !found; w = strtok_r(NULL, " \n", &save)) {
        found = !strcmp(w, "cpu");
    }
    return found;
}

/* Groups of domains that an earlier core did not live to remove. One in use stays. */
static void clear_leftovers(struct cgroup *g)
{
    int fd = openat(g->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        if (!strncmp(e->d_name, "dom", 3)) {
            g->fs->remove(g->dir, e->d_name);
        }
    }
    if (d) {
        closedir(d);
    } else if (fd >= 0) {
        close(fd);
    }
}

static int put_process(struct cgroup *g, const char *name, pid_t pid)
{
    char path[64], text[24];

    snprintf(path, sizeof(path), "%s/cgroup.procs", name);
    snprintf(text, sizeof(text), "%d", (int)pid);
    return g->fs->write(g->dir, path, text);
}

/*
 * All processes of the group, which was given to us with them: who started us, say. They may fork
 * meanwhile, so this may have to be done again.
 */
static void move_others(struct cgroup *g)
{
    int fd = openat(g->dir, "cgroup.procs", O_RDONLY | O_CLOEXEC), pid;
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

    while (f && fscanf(f, "%d", &pid) == 1) {
        if (pid > 0) {
            put_process(g, CORE, pid);
        }
    }
    if (f) {
        fclose(f);
    } else if (fd >= 0) {
        close(fd);
    }
}

/* Into "core", so that the controller can be handed down. */
static int move_down(struct cgroup *g)
{
    int rc = g->fs->make(g->dir, CORE);

    rc = rc == -EEXIST ? 0 : rc;
    rc = rc ? rc : put_process(g, CORE, getpid());
    rc = rc ? rc : g->fs->write(g->dir, "cgroup.subtree_control", "+cpu");
    for (int i = 0; i < 10 && rc == -EBUSY; i++) {
        move_others(g);
        rc = g->fs->write(g->dir, "cgroup.subtree_control", "+cpu");
    }
    return rc;
}

struct cgroup *cgroup_open(const char *dir, const struct cgroup_fs *fs)
{
    struct cgroup *g = calloc(1, sizeof(*g));
    int rc;

    if (!g) {
        return NULL;
    }
    g->fs = fs;
    g->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    rc = g->dir < 0 ? -errno : has_cpu(g->dir) ? 0 : -ENOTSUP;
    rc = rc ? rc : move_down(g);
    if (rc) {
        cgroup_close(g);
        errno = -rc;
        return NULL;
    }
    clear_leftovers(g);
    return g;
}

void cgroup_close(struct cgroup *g)
{
    if (g && g->dir >= 0) {
        close(g->dir);
    }
    free(g);
}

static const char *name_of(unsigned domid, char buf[16])
{
    snprintf(buf, 16, "dom%u", domid);
    return buf;
}

int cgroup_add(struct cgroup *g, unsigned domid, pid_t pid)
{
    char name[16];
    int rc;

    /* What an earlier domain of that number was limited to must not be this one's limit. */
    g->fs->remove(g->dir, name_of(domid, name));
    rc = g->fs->make(g->dir, name);
    if (rc) {
        return rc;    /* -EEXIST: in use, by another core that was given the same group */
    }
    rc = put_process(g, name, pid);
    if (rc) {
        g->fs->remove(g->dir, name);
    }
    return rc;
}

int cgroup_remove(struct cgroup *g, unsigned domid)
{
    char name[16];

    return g->fs->remove(g->dir, name_of(domid, name));
}

static int set(struct cgroup *g, unsigned domid, const char *file, const char *text)
{
    char name[16], path[64];

    snprintf(path, sizeof(path), "%s/%s", name_of(domid, name), file);
    return g->fs->write(g->dir, path, text);
}

int cgroup_weight(struct cgroup *g, unsigned domid, unsigned weight)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", weight);
    return set(g, domid, "cpu.weight", text);
}

/*
 * The kernel takes quotas from 1 ms on. Credit2 hands out budgets every 10 ms; a small cap takes a
 * longer period to come out right.
 */
int cgroup_cap(struct cgroup *g, unsigned domid, unsigned percent)
{
    unsigned period_us = percent >= 10 ? 10000 : 100000;
    char text[40];

    if (!percent) {
        return set(g, domid, "cpu.max", "max 100000");
    }
    snprintf(text, sizeof(text), "%u %u", percent * (period_us / 100), period_us);
    return set(g, domid, "cpu.max", text);
}
