/* SPDX-License-Identifier: MIT */
/*
 * A creation that its program did not live to finish or to take back.
 *
 * While a domain is being made, the file creating.UUID lies in Xen's state directory, locked by the
 * program that makes it; the kernel gives up the lock when that program dies, however it dies. A
 * file without a lock therefore names a domain that nobody finishes, and whoever next opens a
 * context or creates a domain removes it. The file holds the domid once there is one.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/paths.h"
#include "libxl/domain.h"

#include <libxl_utils.h>

#define PREFIX "creating."

static const char *state_dir(struct lx_gc *gc)
{
    char buf[PATH_MAX];

    return kr_path(KR_XEN_LIB, buf, sizeof(buf)) ? lx_strdup(gc, buf) : NULL;
}

/*
 * Opens and locks the file. A reaper (below) may hold the lock for a moment, and may even take a file
 * away that we have opened and not locked yet: then again.
 */
static int lock_file(struct lx_gc *gc, struct lx_creation *c)
{
    const struct timespec moment = { .tv_nsec = 10 * 1000000 };
    struct stat st;

    for (int tries = 0; tries < 200; tries++) {
        c->fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (c->fd < 0) {
            LX_LOGE(ERROR, "cannot make %s", c->path);
            return ERROR_FAIL;
        }
        if (!flock(c->fd, LOCK_EX | LOCK_NB) && !fstat(c->fd, &st) && st.st_nlink)
            return 0;
        close(c->fd);
        c->fd = -1;
        nanosleep(&moment, NULL);
    }
    LX_LOG(ERROR, "a domain with this UUID is being created already");
    return ERROR_INVAL;
}

int lx_creation_begin(struct lx_gc *gc, const libxl_uuid *uuid, struct lx_creation *c)
{
    const char *dir = state_dir(gc);
    int rc;

    c->fd = -1;
    if (!dir || kr_path_mkdir(KR_XEN_LIB)) {
        LX_LOGE(ERROR, "cannot make the state directory");
        return ERROR_FAIL;
    }
    c->path = lx_sprintf(gc, "%s/" PREFIX LIBXL_UUID_FMT, dir, LIBXL_UUID_BYTES(*uuid));
    rc = lock_file(gc, c);
    if (rc)
        return rc;
    if (!ftruncate(c->fd, 0))
        return 0;
    LX_LOGE(ERROR, "cannot write %s", c->path);
    lx_creation_end(c);
    return ERROR_FAIL;
}

int lx_creation_domid(struct lx_gc *gc, struct lx_creation *c, uint32_t domid)
{
    const char *text = lx_sprintf(gc, "%u\n", domid);

    return libxl_write_exactly(gc->ctx, c->fd, text, (ssize_t)strlen(text), c->path, "domid")
        ? ERROR_FAIL : 0;
}

void lx_creation_end(struct lx_creation *c)
{
    if (c->fd < 0)
        return;
    unlink(c->path);
    close(c->fd);
    c->fd = -1;
}

/* ---- those of the dead */

/* A domain that was finished has its configuration kept; only one that was not is the file's. */
static bool was_finished(struct lx_gc *gc, uint32_t domid)
{
    size_t len;
    char *data;

    return !lx_userdata_retrieve(gc, domid, LX_USERDATA_CONFIG, &data, &len) && data;
}

static void remove_unfinished(struct lx_gc *gc, const libxl_uuid *uuid, uint32_t domid)
{
    xc_domaininfo_t info;
    uint32_t next = 0;

    /* killed between making the domain and writing down its number: found by its UUID */
    while (domid == LX_NO_DOMID && xc_domain_getinfolist(gc->ctx->xch, next, 1, &info) == 1) {
        if (!memcmp(info.handle, uuid->uuid, sizeof(uuid->uuid)) &&
            !was_finished(gc, info.domain))
            domid = info.domain;
        next = info.domain + 1u;
    }
    if (domid == LX_NO_DOMID || lx_domain_getinfo(gc, domid, &info) ||
        memcmp(info.handle, uuid->uuid, sizeof(uuid->uuid)))
        return;
    LX_LOGD(WARN, domid, "was left half made by a program that died, removing it");
    if (!lx_destroy(gc, domid))
        lx_xs_rm(gc, XBT_NULL, lx_sprintf(gc, "/vm/" LIBXL_UUID_FMT, LIBXL_UUID_BYTES(*uuid)));
}

static void look_at(struct lx_gc *gc, int dir, const char *name)
{
    int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    uint32_t domid = LX_NO_DOMID;
    libxl_uuid uuid;
    struct stat st;
    char text[16] = "";

    if (fd < 0)
        return;
    /* no links left: somebody else has just dealt with it */
    if (flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &st) || !st.st_nlink)
        goto out;
    if (libxl_uuid_from_string(&uuid, name + strlen(PREFIX)))
        goto out;
    if (read(fd, text, sizeof(text) - 1) > 0 && strchr(text, '\n'))
        domid = (uint32_t)strtoul(text, NULL, 10);
    remove_unfinished(gc, &uuid, domid);
    unlinkat(dir, name, 0);
 out:
    close(fd);
}

void lx_creation_reap(struct lx_gc *gc)
{
    const char *path = state_dir(gc);
    struct dirent *e;
    DIR *d = path ? opendir(path) : NULL;

    if (!d)
        return;
    while ((e = readdir(d)))
        if (!strncmp(e->d_name, PREFIX, strlen(PREFIX)))
            look_at(gc, dirfd(d), e->d_name);
    closedir(d);
}
