/* SPDX-License-Identifier: MIT */
#include "xenstored/path.h"

bool path_valid(const char *path)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-/_@";
    size_t len = strlen(path);

    if (len >= PATH_ABS_MAX || strspn(path, allowed) != len)
        return false;
    if (path_is_special(path))
        return len > 1 && path[len - 1] != '/' && !strstr(path, "//");
    if (path[0] != '/' || strstr(path, "//"))
        return false;
    return len == 1 || path[len - 1] != '/';
}

size_t path_local_len(const char *path)
{
    static const char home[] = "/local/domain/";
    size_t len = strlen(path), at = sizeof(home) - 1;

    if (strncmp(path, home, at))
        return len;
    size_t digits = strspn(path + at, "0123456789");
    if (!digits || path[at + digits] != '/')
        return len;
    return len - (at + digits + 1);
}

bool path_is_below(const char *parent, const char *child)
{
    size_t len = strlen(parent);

    if (path_is_special(child) || path_is_special(parent))
        return !strcmp(parent, child);
    if (len == 1)
        return true;
    return !strncmp(parent, child, len) && (!child[len] || child[len] == '/');
}
