/* SPDX-License-Identifier: MIT */
/*
 * Data kept with a domain: one file per domain and user, userdata-d.DOMID.UUID.USERID in Xen's
 * state directory, replaced atomically. The UUID keeps what belonged to an earlier domain of that
 * number from being taken for this one's. A lock file per domain orders those who read, change and
 * write.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/paths.h"
#include "libxl/ao.h"
#include "libxl/domain.h"

#include <libxl_utils.h>

/* Far more than any configuration. */
#define MAX_USERDATA (64 << 20)

static const char *state_dir(struct lx_gc *gc)
{
    char buf[PATH_MAX];

    if (!kr_path(KR_XEN_LIB, buf, sizeof(buf))) {
        LX_LOGE(ERROR, "no state directory");
        return NULL;
    }
    return lx_strdup(gc, buf);
}

static const char *domain_uuid(struct lx_gc *gc, uint32_t domid)
{
    xc_domaininfo_t info;

    if (lx_domain_getinfo(gc, domid, &info))
        return NULL;
    return lx_sprintf(gc, LIBXL_UUID_FMT, LIBXL__UUID_BYTES(info.handle));
}

static bool domain_lives(struct lx_gc *gc, uint32_t domid)
{
    xc_domaininfo_t info;

    return !lx_domain_getinfo(gc, domid, &info) && !(info.flags & XEN_DOMINF_dying);
}

/* what: 'd' for data, 'n' for data not yet in place, 'l' for the lock. NULL with a line in the
 * log. */
static const char *file_name(struct lx_gc *gc, uint32_t domid, const char *userid, char what)
{
    const char *dir = state_dir(gc), *uuid = dir ? domain_uuid(gc, domid) : NULL;

    for (const char *c = userid; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_') {
            LX_LOG(ERROR, "\"%s\" cannot name user data", userid);
            return NULL;
        }
    }
    if (!uuid) {
        LX_LOG(ERROR, "there is no domain %u to keep data with", domid);
        return NULL;
    }
    return lx_sprintf(gc, "%s/userdata-%c.%u.%s.%s", dir, what, domid, uuid, userid);
}

/* ---- store, retrieve */

static int write_file(struct lx_gc *gc, const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), rc = 0;

    if (fd < 0) {
        LX_LOGE(ERROR, "cannot make %s", path);
        return ERROR_FAIL;
    }
    if (libxl_write_exactly(gc->ctx, fd, data, (ssize_t)len, path, "user data"))
        rc = ERROR_FAIL;
    if (close(fd) && !rc) {
        LX_LOGE(ERROR, "cannot write %s", path);
        rc = ERROR_FAIL;
    }
    return rc;
}

int lx_userdata_store(struct lx_gc *gc, uint32_t domid, const char *userid, const void *data,
                      size_t len)
{
    const char *to = file_name(gc, domid, userid, 'd');
    const char *tmp = to ? file_name(gc, domid, userid, 'n') : NULL;
    int rc;

    if (!tmp)
        return ERROR_FAIL;
    if (!len)
        return unlink(to) && errno != ENOENT ? ERROR_FAIL : 0;
    if (kr_path_mkdir(KR_XEN_LIB)) {
        LX_LOGE(ERROR, "cannot make the state directory");
        return ERROR_FAIL;
    }
    rc = write_file(gc, tmp, data, len);
    if (!rc && rename(tmp, to)) {
        LX_LOGE(ERROR, "cannot put %s in place", to);
        rc = ERROR_FAIL;
    }
    if (rc)
        unlink(tmp);
    return rc;
}

int lx_userdata_retrieve(struct lx_gc *gc, uint32_t domid, const char *userid, char **data,
                         size_t *len)
{
    const char *path = file_name(gc, domid, userid, 'd');
    struct stat st;
    int fd, rc = ERROR_FAIL;

    *data = NULL;
    *len = 0;
    if (!path)
        return ERROR_FAIL;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        if (errno == ENOENT)
            return 0;
        LX_LOGE(ERROR, "cannot open %s", path);
        return ERROR_FAIL;
    }
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > MAX_USERDATA) {
        LX_LOG(ERROR, "%s is not a file that libxl has made", path);
        goto out;
    }
    *data = lx_alloc(gc, (size_t)st.st_size + 1);
    if (libxl_read_exactly(gc->ctx, fd, *data, st.st_size, path, "user data"))
        goto out;
    *len = (size_t)st.st_size;
    rc = 0;
 out:
    close(fd);
    return rc;
}

int libxl_userdata_store(libxl_ctx *ctx, uint32_t domid, const char *userid, const uint8_t *data,
                         int datalen)
{
    LX_GC(ctx);
    int lock, rc;

    if (datalen < 0)
        return ERROR_INVAL;
    lock = lx_userdata_lock(gc, domid);
    if (lock < 0)
        return ERROR_LOCK_FAIL;
    rc = lx_userdata_store(gc, domid, userid, data, (size_t)datalen);
    lx_userdata_unlock(lock);
    return rc;
}

int libxl_userdata_retrieve(libxl_ctx *ctx, uint32_t domid, const char *userid, uint8_t **data_r,
                            int *datalen_r)
{
    LX_GC(ctx);
    size_t len;
    char *data;
    int rc = lx_userdata_retrieve(gc, domid, userid, &data, &len);

    if (rc)
        return rc;
    if (data_r) {
        *data_r = data ? lx_alloc(NULL, len) : NULL;
        if (data)
            memcpy(*data_r, data, len);
    }
    if (datalen_r)
        *datalen_r = (int)len;
    return 0;
}

int libxl_userdata_unlink(libxl_ctx *ctx, uint32_t domid, const char *userid)
{
    return libxl_userdata_store(ctx, domid, userid, NULL, 0);
}

/* ---- all of a domain's files */

/* Calls act for each of the files that start with "userdata-?.DOMID.UUID.". */
static void for_each_file(struct lx_gc *gc, uint32_t domid, const char *uuid,
                          void (*act)(struct lx_gc *gc, int dir, const char *name, void *arg),
                          void *arg)
{
    const char *dir = state_dir(gc), *mine = lx_sprintf(gc, ".%u.%s.", domid, uuid);
    struct dirent *e;
    DIR *d = dir ? opendir(dir) : NULL;

    if (!d)
        return; /* nothing can have been kept */
    while ((e = readdir(d)))
        if (!strncmp(e->d_name, "userdata-", 9) && e->d_name[9] &&
            !strncmp(e->d_name + 10, mine, strlen(mine)))
            act(gc, dirfd(d), e->d_name, arg);
    closedir(d);
}

static void remove_file(struct lx_gc *gc, int dir, const char *name, void *arg)
{
    if (unlinkat(dir, name, 0) && errno != ENOENT)
        LX_LOGE(WARN, "cannot remove %s", name);
}

void lx_userdata_remove_all(struct lx_gc *gc, uint32_t domid, const uint8_t *handle)
{
    const char *uuid = lx_sprintf(gc, LIBXL_UUID_FMT, LIBXL__UUID_BYTES(handle));

    for_each_file(gc, domid, uuid, remove_file, NULL);
}

/* arg: ".DOMID.NEWUUID" */
static void move_file(struct lx_gc *gc, int dir, const char *name, void *arg)
{
    const char *new_middle = arg;
    const char *userid = name + 10 + strlen(new_middle);
    const char *to = lx_sprintf(gc, "%.10s%s%s", name, new_middle, userid);

    if (renameat(dir, name, dir, to))
        LX_LOGE(WARN, "cannot rename %s", name);
}

void lx_userdata_move(struct lx_gc *gc, uint32_t domid, const char *old_uuid, const char *new_uuid)
{
    for_each_file(gc, domid, old_uuid, move_file, lx_sprintf(gc, ".%u.%s", domid, new_uuid));
}

/* ---- the lock. The file goes with the domain, so a lock counts only if the file is still there */

int lx_userdata_lock(struct lx_gc *gc, uint32_t domid)
{
    const char *path = file_name(gc, domid, "domain-userdata-lock", 'l');
    struct stat here, there;
    int fd;

    if (!path)
        return -1;
    if (kr_path_mkdir(KR_XEN_LIB)) {
        LX_LOGE(ERROR, "cannot make the state directory");
        return -1;
    }
    for (;;) {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || (flock(fd, LOCK_EX) && errno != EINTR)) {
            LX_LOGE(ERROR, "cannot lock %s", path);
            if (fd >= 0)
                close(fd);
            return -1;
        }
        if (!fstat(fd, &here) && !stat(path, &there) && here.st_ino == there.st_ino &&
            here.st_dev == there.st_dev) {
            if (domain_lives(gc, domid))
                return fd;
            /* The domain went first, and its files with it, before we made this one again. */
            unlink(path);
            close(fd);
            LX_LOG(ERROR, "domain %u is gone", domid);
            return -1;
        }
        close(fd); /* it was removed while we waited */
        if (!domain_lives(gc, domid))
            return -1;
    }
}

void lx_userdata_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

/* ---- the configuration */

int lx_config_keep(struct lx_gc *gc, uint32_t domid, libxl_domain_config *config)
{
    char *json = libxl_domain_config_to_json(gc->ctx, config);
    int rc;

    if (!json)
        return ERROR_FAIL;
    /* the final NUL is stored as well, as Xen's libxl does */
    rc = lx_userdata_store(gc, domid, LX_USERDATA_CONFIG, json, strlen(json) + 1);
    free(json);
    return rc;
}

int lx_config_kept(struct lx_gc *gc, uint32_t domid, libxl_domain_config *config)
{
    size_t len;
    char *json;
    int rc = lx_userdata_retrieve(gc, domid, LX_USERDATA_CONFIG, &json, &len);

    libxl_domain_config_init(config);
    if (rc)
        return rc;
    if (!json || !*json)
        return ERROR_JSON_CONFIG_EMPTY;
    return libxl_domain_config_from_json(gc->ctx, config, json);
}
