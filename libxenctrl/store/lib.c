/* SPDX-License-Identifier: MIT */
/* libxenstore: what needs no connection. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenstore.h>

#include "common/paths.h"

const char *xs_daemon_rundir(void)
{
    static __thread char dir[PATH_MAX];
    const char *env = getenv("XENSTORED_RUNDIR");

    if (env)
        return env;
    if (!kr_path(KR_XENSTORED_SOCKET, dir, sizeof(dir)))
        return NULL;
    *strrchr(dir, '/') = 0;
    return dir;
}

const char *xs_daemon_socket(void)
{
    static __thread char path[PATH_MAX];
    const char *env = getenv("XENSTORED_PATH");

    if (env)
        return env;
    if (!getenv("XENSTORED_RUNDIR"))
        return kr_path(KR_XENSTORED_SOCKET, path, sizeof(path));
    if ((size_t)snprintf(path, sizeof(path), "%s/socket", xs_daemon_rundir()) >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return path;
}

const char *xs_daemon_socket_ro(void)
{
    return xs_daemon_socket();
}

bool xs_write_all(int fd, const void *data, unsigned int len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data = (const char *)data + n;
        len -= (unsigned int)n;
    }
    return true;
}

bool xs_strings_to_perms(struct xs_permissions *perms, unsigned int num, const char *strings)
{
    static const char letters[] = "nrwb";

    for (unsigned i = 0; i < num; i++, strings += strlen(strings) + 1) {
        const char *letter = *strings ? strchr(letters, *strings) : NULL;
        char *end;

        if (!letter || strings[1] < '0' || strings[1] > '9') {
            errno = EINVAL;
            return false;
        }
        errno = 0;
        unsigned long id = strtoul(strings + 1, &end, 10);
        if (*end || errno || id > UINT_MAX) {
            errno = EINVAL;
            return false;
        }
        perms[i].id = (unsigned int)id;
        perms[i].perms = (unsigned int)(letter - letters);
    }
    return true;
}

bool xs_path_is_subpath(const char *parent, const char *child)
{
    size_t len = strlen(parent);

    if (strncmp(parent, child, len))
        return false;
    return !child[len] || child[len] == '/' || (len && parent[len - 1] == '/');
}
