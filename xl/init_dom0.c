/* SPDX-License-Identifier: MIT */
/*
 * xen-init-dom0: tells of the host itself what tools expect to find about a domain: nodes in the store, and
 * a stored configuration for `xl list -l`. May run again at any time; what is there already and is not fixed
 * stays as it is.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include <libxl.h>
#include <xenstore.h>
#include <xentoollog.h>

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

/* 0 or a libxl error. */
static int keep_config(libxl_ctx *ctx)
{
    libxl_domain_config dc;
    uint8_t *old = NULL;
    int rc, len = 0;
    char *json;

    rc = libxl_userdata_retrieve(ctx, 0, "libxl-json", &old, &len);
    free(old);
    if (rc || len > 0) {
        return rc;
    }
    libxl_domain_config_init(&dc);
    dc.c_info.type = LIBXL_DOMAIN_TYPE_PV;
    dc.c_info.name = strdup("Domain-0");
    libxl_domain_build_info_init_type(&dc.b_info, dc.c_info.type);
    json = libxl_domain_config_to_json(ctx, &dc);
    rc = json ? libxl_userdata_store(ctx, 0, "libxl-json", (uint8_t *)json, (int)strlen(json) + 1) : ERROR_NOMEM;
    free(json);
    libxl_domain_config_dispose(&dc);
    return rc;
}

static int store_config(void)
{
    xentoollog_logger_stdiostream *logger = xtl_createlogger_stdiostream(stderr, XTL_ERROR, 0);
    libxl_ctx *ctx = NULL;
    int rc = ERROR_NOMEM;

    if (logger && !(rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, (xentoollog_logger *)logger))) {
        rc = keep_config(ctx);
    }
    libxl_ctx_free(ctx);
    if (logger) {
        xtl_logger_destroy((xentoollog_logger *)logger);
    }
    if (rc) {
        fprintf(stderr, "xen-init-dom0: cannot keep domain 0's configuration (error %d)\n", rc);
    }
    return rc ? 1 : 0;
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
    return status ? status : store_config();
}
