/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "include/xentoolcore_internal.h"

/* The one global list of the libraries: restricting a process means all of its handles. */
static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;
static Xentoolcore__Active_Handle *handles;

void xentoolcore__register_active_handle(Xentoolcore__Active_Handle *ah)
{
    pthread_mutex_lock(&handles_lock);
    ah->entry.le_next = handles;
    ah->entry.le_prev = &handles;
    if (handles)
        handles->entry.le_prev = &ah->entry.le_next;
    handles = ah;
    pthread_mutex_unlock(&handles_lock);
}

void xentoolcore__deregister_active_handle(Xentoolcore__Active_Handle *ah)
{
    pthread_mutex_lock(&handles_lock);
    *ah->entry.le_prev = ah->entry.le_next;
    if (ah->entry.le_next)
        ah->entry.le_next->entry.le_prev = ah->entry.le_prev;
    pthread_mutex_unlock(&handles_lock);
}

int xentoolcore_restrict_all(domid_t domid)
{
    int rc = 0, saved;

    pthread_mutex_lock(&handles_lock);
    for (Xentoolcore__Active_Handle *ah = handles; ah && !rc; ah = ah->entry.le_next)
        rc = ah->restrict_callback(ah, domid) ? -1 : 0;
    saved = errno;
    pthread_mutex_unlock(&handles_lock);
    errno = saved;
    return rc;
}

int xentoolcore__restrict_by_dup2_null(int fd)
{
    int null, rc, saved;

    if (fd < 0)
        return 0;
    null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0)
        return -1;
    rc = dup2(null, fd) < 0 ? -1 : 0;
    saved = errno;
    close(null);
    errno = saved;
    return rc;
}
