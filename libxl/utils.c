/* SPDX-License-Identifier: MIT */
/* Names, files, descriptors. */
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/paths.h"
#include "libxl/domain.h"

#include <libxl_utils.h>

/* ---- names and ids */

char *libxl_basename(const char *name)
{
    const char *slash = strrchr(name, '/');

    return strdup(slash ? slash + 1 : name);
}

unsigned long libxl_get_required_shadow_memory(unsigned long maxmem_kb, unsigned int smp_cpus)
{
    /* Xen's rule: 1 MiB per vCPU, 1 page per MiB of RAM for the p2m, 1 per MiB for shadows */
    return 4 * (256 * smp_cpus + 2 * (maxmem_kb / 1024));
}

int libxl_domid_valid_guest(uint32_t domid)
{
    return domid > 0 && domid < DOMID_FIRST_RESERVED;
}

char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
    LX_GC(ctx);

    return lx_strdup(NULL, lx_xs_peek(gc, lx_sprintf(gc, "%s/name", lx_dom_path(gc, domid))));
}

int libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid)
{
    LX_GC(ctx);
    int n, rc = ERROR_INVAL;
    libxl_dominfo *list;
    const char **paths, **names;

    if (!name)
        return ERROR_INVAL;
    list = libxl_list_domain(ctx, &n);
    if (!list)
        return ERROR_NOMEM;
    paths = LX_ARRAY_NEW(gc, const char *, (size_t)n);
    for (int i = 0; i < n; i++)
        paths[i] = lx_sprintf(gc, "%s/name", lx_dom_path(gc, list[i].domid));
    names = lx_xs_peek_many(gc, paths, (unsigned)n);
    for (int i = 0; rc && i < n; i++)
        if (names[i] && !strcmp(names[i], name)) {
            *domid = list[i].domid;
            rc = 0;
        }
    libxl_dominfo_list_free(list, n);
    return rc;
}

int libxl_domain_qualifier_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid)
{
    const char *c = name;

    while (isdigit((unsigned char)*c))
        c++;
    if (c > name && !*c) {
        unsigned long v;

        errno = 0;
        v = strtoul(name, NULL, 10);
        if (errno || v > UINT32_MAX)
            return ERROR_INVAL;
        *domid = (uint32_t)v;
        return 0;
    }
    return libxl_name_to_domid(ctx, name, domid);
}

int libxl_get_stubdom_id(libxl_ctx *ctx, int guest_domid)
{
    LX_GC(ctx);
    const char *s = lx_xs_peek(gc, lx_sprintf(gc, "%s/image/device-model-domid",
                                              lx_dom_path(gc, (uint32_t)guest_domid)));

    return s ? atoi(s) : 0;
}

int libxl_is_stubdom(libxl_ctx *ctx, uint32_t domid, uint32_t *target_domid)
{
    LX_GC(ctx);
    const char *s = lx_xs_peek(gc, lx_sprintf(gc, "%s/target", lx_dom_path(gc, domid)));
    unsigned long v;
    char *end;

    if (!s)
        return 0;
    errno = 0;
    v = strtoul(s, &end, 10);
    if (end == s || errno || v > DOMID_FIRST_RESERVED)
        return 0;
    if (target_domid)
        *target_domid = (uint32_t)v;
    return 1;
}

int libxl_string_to_backend(libxl_ctx *ctx, char *s, libxl_disk_backend *backend)
{
    static const struct {
        const char *name;
        libxl_disk_backend backend;
    } names[] = {
        { "phy", LIBXL_DISK_BACKEND_PHY },   { "file", LIBXL_DISK_BACKEND_TAP },
        { "tap", LIBXL_DISK_BACKEND_TAP },   { "qdisk", LIBXL_DISK_BACKEND_QDISK },
        { "standalone", LIBXL_DISK_BACKEND_STANDALONE },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strcmp(s, names[i].name)) {
            *backend = names[i].backend;
            return 0;
        }
    }
    return ERROR_INVAL;
}

int libxl_clear_domid_history(libxl_ctx *ctx)
{
    return 0; /* no history is kept: a number may be used again at once */
}

/* ---- files */

#define LOG_GENERATIONS 10

int libxl_create_logfile(libxl_ctx *ctx, const char *name, char **full_name)
{
    LX_GC(ctx);
    char dir[PATH_MAX];
    const char *base;
    struct stat st;

    if (!kr_path(KR_XEN_LOG, dir, sizeof(dir)) || kr_path_mkdir(KR_XEN_LOG)) {
        LX_LOGE(ERROR, "no directory for logs");
        return ERROR_FAIL;
    }
    base = lx_sprintf(gc, "%s/%s.log", dir, name);
    if (!stat(base, &st)) {
        /* the oldest goes, the others move up, the present one becomes .1 */
        for (int i = LOG_GENERATIONS - 1; i > 0; i--) {
            const char *from = i > 1 ? lx_sprintf(gc, "%s.%d", base, i - 1) : base;

            if (rename(from, lx_sprintf(gc, "%s.%d", base, i)) && errno != ENOENT)
                LX_LOGE(WARN, "cannot rename %s", from);
        }
    } else if (errno != ENOENT) {
        LX_LOGE(WARN, "cannot look at %s", base);
    }
    *full_name = lx_strdup(NULL, base);
    return 0;
}

int libxl_read_file_contents(libxl_ctx *ctx, const char *filename, void **data_r, int *datalen_r)
{
    LX_GC(ctx);
    int fd = open(filename, O_RDONLY | O_CLOEXEC), e;
    struct stat st;
    char *data = NULL;
    ssize_t r, have = 0;

    if (data_r)
        *data_r = NULL;
    *datalen_r = 0;
    if (fd < 0) {
        e = errno;
        if (e != ENOENT)
            LX_LOGE(ERROR, "cannot open %s", filename);
        return e;
    }
    if (fstat(fd, &st)) {
        e = errno;
        goto out;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > INT_MAX - 1) {
        LX_LOG(ERROR, "%s is %s", filename,
               S_ISREG(st.st_mode) ? "too large" : "not a regular file");
        e = S_ISREG(st.st_mode) ? EFBIG : ENOTTY;
        goto out;
    }
    data = lx_alloc(NULL, (size_t)st.st_size + 1);
    while (have < st.st_size) {
        r = read(fd, data + have, (size_t)(st.st_size - have));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) {
            e = r ? errno : EPROTO;
            LX_LOGEV(ERROR, e, "cannot read %s", filename);
            goto out;
        }
        have += r;
    }
    *datalen_r = (int)have;
    if (data_r) {
        *data_r = data;
        data = NULL;
    }
    e = 0;
 out:
    free(data);
    close(fd);
    return e;
}

int libxl_read_exactly(libxl_ctx *ctx, int fd, void *data, ssize_t sz, const char *filename,
                       const char *what)
{
    LX_GC(ctx);
    char *p = data;

    while (sz > 0) {
        ssize_t r = read(fd, p, (size_t)sz);
        int e = r ? errno : EPROTO;

        if (r < 0 && e == EINTR)
            continue;
        if (r <= 0) {
            LX_LOGEV(ERROR, e, "cannot read %s from %s%s", what ? what : "",
                     filename ? filename : "", r ? "" : ": it ends too early");
            return e;
        }
        p += r;
        sz -= r;
    }
    return 0;
}

int libxl_write_exactly(libxl_ctx *ctx, int fd, const void *data, ssize_t sz, const char *filename,
                        const char *what)
{
    LX_GC(ctx);
    const char *p = data;

    while (sz > 0) {
        ssize_t r = write(fd, p, (size_t)sz);
        int e = errno;

        if (r < 0 && e == EINTR)
            continue;
        if (r < 0) {
            LX_LOGEV(ERROR, e, "cannot write %s to %s", what ? what : "", filename ? filename : "");
            return e;
        }
        p += r;
        sz -= r;
    }
    return 0;
}

/* ---- descriptors and children */

static int set_flag(libxl_ctx *ctx, int fd, int get, int set, int flag, bool on)
{
    LX_GC(ctx);
    int flags = fcntl(fd, get);

    if (flags >= 0 && fcntl(fd, set, on ? flags | flag : flags & ~flag) >= 0)
        return 0;
    LX_LOGE(ERROR, "cannot change the flags of descriptor %d", fd);
    return ERROR_FAIL;
}

int libxl_fd_set_cloexec(libxl_ctx *ctx, int fd, int cloexec)
{
    return set_flag(ctx, fd, F_GETFD, F_SETFD, FD_CLOEXEC, cloexec);
}

int libxl_fd_set_nonblock(libxl_ctx *ctx, int fd, int nonblock)
{
    return set_flag(ctx, fd, F_GETFL, F_SETFL, O_NONBLOCK, nonblock);
}

int libxl_pipe(libxl_ctx *ctx, int pipes[2])
{
    LX_GC(ctx);

    if (!pipe(pipes))
        return 0;
    pipes[0] = pipes[1] = -1;
    LX_LOGE(ERROR, "cannot make a pipe");
    return ERROR_FAIL;
}

void libxl_report_child_exitstatus(libxl_ctx *ctx, xentoollog_level level, const char *what,
                                   pid_t pid, int status)
{
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        lx_log(ctx, level, -1, __FILE__, __LINE__, __func__, LX_NO_DOMID,
               "%s [%ld] ended with status zero, unexpectedly", what, (long)pid);
    else if (WIFEXITED(status))
        lx_log(ctx, level, -1, __FILE__, __LINE__, __func__, LX_NO_DOMID,
               "%s [%ld] exited with error status %d", what, (long)pid, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        lx_log(ctx, level, -1, __FILE__, __LINE__, __func__, LX_NO_DOMID,
               "%s [%ld] died of signal %s%s", what, (long)pid, strsignal(WTERMSIG(status)),
               WCOREDUMP(status) ? " (core dumped)" : "");
    else
        lx_log(ctx, level, -1, __FILE__, __LINE__, __func__, LX_NO_DOMID,
               "%s [%ld] ended with unknown status %d", what, (long)pid, status);
}
