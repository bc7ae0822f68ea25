/* SPDX-License-Identifier: MIT */
/* The suspend event channel, by which a guest is asked to suspend and says that it has. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "common/paths.h"
#include "libxenctrl/ctrl/private.h"

#include <xenevtchn.h>
#include <xenguest.h>

/*
 * Two migrations of one domain must not bind its channel at the same time: a lock file for each
 * domain. Its holder removes it, so after locking it must still be the one that is there.
 */
static int lock_domain(uint32_t domid, char *path, size_t size)
{
    char dir[PATH_MAX];

    if (kr_path_mkdir(KR_XEN_RUN) || !kr_path(KR_XEN_RUN, dir, sizeof(dir))) {
        return -1;
    }
    snprintf(path, size, "%s/suspend-evtchn-%u.lock", dir, domid);
    for (;;) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct stat here, there;
        int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0) {
            return -1;
        }
        if (fcntl(fd, F_SETLK, &lock) < 0 || fstat(fd, &here) < 0) {
            int saved = errno;

            close(fd);
            errno = saved == EACCES ? EAGAIN : saved;
            return -1;
        }
        if (!stat(path, &there) && here.st_dev == there.st_dev && here.st_ino == there.st_ino) {
            return fd;
        }
        close(fd);
    }
}

static void unlock_domain(uint32_t domid, int *lockfd)
{
    char dir[PATH_MAX], path[PATH_MAX + 64];
    int saved = errno;

    if (*lockfd >= 0 && kr_path(KR_XEN_RUN, dir, sizeof(dir))) {
        snprintf(path, sizeof(path), "%s/suspend-evtchn-%u.lock", dir, domid);
        unlink(path);
        close(*lockfd);
    }
    *lockfd = -1;
    errno = saved;
}

int xc_suspend_evtchn_release(xc_interface *xch, struct xenevtchn_handle *xce, uint32_t domid,
                              int suspend_evtchn, int *lockfd)
{
    if (suspend_evtchn >= 0) {
        xenevtchn_unbind(xce, (evtchn_port_t)suspend_evtchn);
    }
    unlock_domain(domid, lockfd);
    return 0;
}

int xc_suspend_evtchn_init_sane(xc_interface *xch, struct xenevtchn_handle *xce, uint32_t domid,
                                int port, int *lockfd)
{
    char path[PATH_MAX + 64] = "";
    int local;

    *lockfd = lock_domain(domid, path, sizeof(path));
    if (*lockfd < 0) {
        xc_perror(xch, "could not lock domain %u's suspend event channel (%s)", domid, path);
        return -1;
    }
    local = xenevtchn_bind_interdomain(xce, domid, (evtchn_port_t)port);
    if (local < 0) {
        xc_perror(xch, "could not bind to domain %u's suspend event channel %d", domid, port);
    } else if (xc_domain_subscribe_for_suspend(xch, domid, (evtchn_port_t)port)) {
        xc_perror(xch, "could not subscribe to domain %u's suspending", domid);
        xenevtchn_unbind(xce, (evtchn_port_t)local);
        local = -1;
    }
    if (local < 0) {
        unlock_domain(domid, lockfd);
    }
    return local;
}

int xc_suspend_evtchn_init_exclusive(xc_interface *xch, struct xenevtchn_handle *xce,
                                     uint32_t domid, int port, int *lockfd)
{
    int local = xc_suspend_evtchn_init_sane(xch, xce, domid, port, lockfd);

    /* Binding marks the channel pending once; that is not the guest's doing. */
    if (local >= 0 && xc_await_suspend(xch, xce, local) < 0) {
        xc_suspend_evtchn_release(xch, xce, domid, local, lockfd);
        return -1;
    }
    return local;
}

int xc_await_suspend(xc_interface *xch, struct xenevtchn_handle *xce, int suspend_evtchn)
{
    int port;

    do {
        port = xenevtchn_pending(xce);
        if (port < 0) {
            xc_perror(xch, "could not wait for the suspend event channel");
            return -1;
        }
    } while (port != suspend_evtchn);
    if (xenevtchn_unmask(xce, (evtchn_port_t)port) < 0) {
        xc_perror(xch, "could not unmask the suspend event channel");
        return -1;
    }
    return 0;
}
