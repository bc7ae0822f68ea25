/* SPDX-License-Identifier: MIT */
/*
 * xen-init-dom0: writes what tools expect to find in the store about the host itself, as domain 0.
 * May run again at any time; what is there already and is not fixed stays as it is.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include <xenstore.h>

#define HOME "/local/domain/0"

/* value NULL: the host's memory in KiB. keep: what others may have changed since. */
static const struct node {
    const char *path, *value;
    bool keep;
} nodes[] = {
    { HOME "/domid", "0", false },
    { HOME "/name", "Domain-0", true },
    { HOME "/control/feature-poweroff", "1", true },
    { HOME "/control/feature-reboot", "1", true },
    { HOME "/control/feature-suspend", "1", true },
    { HOME "/memory/target", NULL, true },
    { HOME "/memory/static-max", NULL, true },
    { "/local/pool/0/name", "Pool-0", true },
};

static const char *host_memory(char *buf, size_t len)
{
    struct sysinfo info;

    if (sysinfo(&info))
        return NULL;
    snprintf(buf, len, "%llu", (unsigned long long)info.totalram * info.mem_unit / 1024);
    return buf;
}

static bool write_node(struct xs_handle *h, const struct node *n)
{
    char memory[32];
    const char *value = n->value ? n->value : host_memory(memory, sizeof(memory));
    char *old = n->keep ? xs_read(h, XBT_NULL, n->path, NULL) : NULL;

    if (old) {
        free(old);
        return true;
    }
    return value && xs_write(h, XBT_NULL, n->path, value, (unsigned)strlen(value));
}

int main(int argc, char **argv)
{
    struct xs_handle *h;
    int status = 0;

    if (argc > 1) {
        fprintf(stderr, "usage: xen-init-dom0\n");
        return 2;
    }
    h = xs_open(0);
    if (!h) {
        fprintf(stderr, "xen-init-dom0: cannot reach the store at %s: %s\n", xs_daemon_socket(),
                strerror(errno));
        return 1;
    }
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]) && !status; i++)
        if (!write_node(h, &nodes[i])) {
            fprintf(stderr, "xen-init-dom0: cannot write %s: %s\n", nodes[i].path, strerror(errno));
            status = 1;
        }
    xs_close(h);
    return status;
}
