/* SPDX-License-Identifier: MIT */
#include "common/paths.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One row per path: what a root host uses, and what hangs below the private root otherwise. */
static const struct {
    const char *system;
    const char *private;
    bool is_dir;
} paths[] = {
    [KR_RUN]              = { "/run/krypton",               "",                 true },
    [KR_CORE_SOCKET]      = { "/run/krypton/core",          "/core",            false },
    [KR_XENSTORED_SOCKET] = { "/run/xenstored/socket",      "/xenstored/socket", false },
    [KR_XEN_RUN]          = { "/run/xen",                   "/xen",             true },
    [KR_XEN_LIB]          = { "/var/lib/xen",               "/lib",             true },
    [KR_XEN_DUMP]         = { "/var/lib/xen/dump",          "/lib/dump",        true },
    [KR_XEN_LOG]          = { "/var/log/xen",               "/log",             true },
    [KR_XEN_CONSOLE_LOG]  = { "/var/log/xen/console",       "/log/console",     true },
    [KR_XEN_ETC]          = { "/etc/xen",                   NULL,               true },
    [KR_XL_LOCK]          = { "/var/lock/xl",               "/xl.lock",         false },
};

/* The private root, or NULL when this is a system host. */
static const char *private_root(char *buf, size_t len)
{
    const char *env = getenv("KRYPTON_RUNDIR");
    int n;

    if (env && *env) {
        n = snprintf(buf, len, "%s", env);
    } else if (geteuid() == 0) {
        return NULL;
    } else if ((env = getenv("XDG_RUNTIME_DIR")) && *env == '/') {
        n = snprintf(buf, len, "%s/krypton", env);
    } else {
        n = snprintf(buf, len, "/tmp/krypton-%u", (unsigned)geteuid());
    }
    if (n < 0 || (size_t)n >= len) {
        buf[0] = '\0';
    }
    return buf;
}

char *kr_path(enum kr_path which, char *buf, size_t len)
{
    char root_buf[PATH_MAX];
    const char *root = private_root(root_buf, sizeof(root_buf));
    int n;

    if (!root || !paths[which].private) {
        n = snprintf(buf, len, "%s", paths[which].system);
    } else if (!*root) {
        n = -1;
    } else {
        n = snprintf(buf, len, "%s%s", root, paths[which].private);
    }
    if (n < 0 || (size_t)n >= len) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return buf;
}

/* A private root that somebody else prepared (in /tmp, say) must not be used. */
static int check_private(const char *root)
{
    struct stat st;

    if (lstat(root, &st) < 0) {
        return -1;
    }
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022)) {
        errno = EPERM;
        return -1;
    }
    return 0;
}

int kr_path_mkdir(enum kr_path which)
{
    char path[PATH_MAX], root[PATH_MAX];
    char *p;

    if (!kr_path(which, path, sizeof(path))) {
        return -1;
    }
    if (!paths[which].is_dir) {
        p = strrchr(path, '/');
        if (p == path) {
            return 0;
        }
        *p = '\0';
    }
    for (p = path + 1;; p++) {
        char c = *p;

        if (c != '/' && c != '\0') {
            continue;
        }
        *p = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            return -1;
        }
        if (c == '\0') {
            break;
        }
        *p = c;
    }
    if (private_root(root, sizeof(root)) && paths[which].private) {
        return check_private(root);
    }
    return 0;
}
