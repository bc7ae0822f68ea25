/* SPDX-License-Identifier: MIT */
/* Whole reads and writes, bit arrays, aligned memory. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "libxenctrl/ctrl/private.h"

/* What Linux takes at a time (UIO_MAXIOV). */
#define MAX_IOV 1024

int read_exact(int fd, void *data, size_t size)
{
    size_t at = 0;

    while (at < size) {
        ssize_t n = read(fd, (char *)data + at, size - at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            if (n == 0) {
                /* The end of the file is no error of the system's. */
                errno = 0;
            }
            return -1;
        }
        at += (size_t)n;
    }
    return 0;
}

int write_exact(int fd, const void *data, size_t size)
{
    struct iovec iov = { (void *)(uintptr_t)data, size };

    return writev_exact(fd, &iov, 1);
}

int writev_exact(int fd, const struct iovec *iov, int iovcnt)
{
    /* Entry i is written from offset `done` on. */
    size_t done = 0;
    int i = 0;

    while (i < iovcnt) {
        ssize_t n;

        if (done) {
            n = write(fd, (const char *)iov[i].iov_base + done, iov[i].iov_len - done);
        } else {
            n = writev(fd, iov + i, iovcnt - i < MAX_IOV ? iovcnt - i : MAX_IOV);
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        while (i < iovcnt && (size_t)n >= iov[i].iov_len - done) {
            n -= (ssize_t)(iov[i].iov_len - done);
            done = 0;
            i++;
        }
        done += (size_t)n;
    }
    return 0;
}

void discard_file_cache(xc_interface *xch, int fd, int flush)
{
    int saved = errno;

    if (flush && fsync(fd) < 0) {
        xc_debug(xch, "fsync: %s", strerror(errno));
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    errno = saved;
}

void *xc_memalign(xc_interface *xch, size_t alignment, size_t size)
{
    void *p;
    int rc = posix_memalign(&p, alignment, size);

    if (rc) {
        errno = rc;
        return NULL;
    }
    return p;
}

void bitmap_64_to_byte(uint8_t *bp, const uint64_t *lp, int nbits)
{
    for (int i = 0; i < (nbits + 7) / 8; i++) {
        uint8_t keep = i < nbits / 8 ? 0xff : (uint8_t)((1 << nbits % 8) - 1);

        bp[i] = (uint8_t)(lp[i / 8] >> (i % 8 * 8)) & keep;
    }
}

void bitmap_byte_to_64(uint64_t *lp, const uint8_t *bp, int nbits)
{
    for (int i = 0; i < (nbits + 63) / 64; i++) {
        lp[i] = 0;
    }
    for (int i = 0; i < (nbits + 7) / 8; i++) {
        lp[i / 8] |= (uint64_t)bp[i] << (i % 8 * 8);
    }
}

int xc_ffs8(uint8_t x)
{
    return ffs(x);
}

int xc_ffs16(uint16_t x)
{
    return ffs(x);
}

int xc_ffs32(uint32_t x)
{
    return ffs((int)x);
}

int xc_ffs64(uint64_t x)
{
    return ffsll((long long)x);
}

/* The most numbers of CPUs and nodes, -1 if they cannot be found out. */
int xc_get_max_cpus(xc_interface *xch)
{
    xc_physinfo_t info;

    return xc_physinfo(xch, &info) ? -1 : (int)info.max_cpu_id + 1;
}

int xc_get_online_cpus(xc_interface *xch)
{
    xc_physinfo_t info;

    return xc_physinfo(xch, &info) ? -1 : (int)info.nr_cpus;
}

int xc_get_max_nodes(xc_interface *xch)
{
    xc_physinfo_t info;

    return xc_physinfo(xch, &info) ? -1 : (int)info.max_node_id + 1;
}

int xc_get_cpumap_size(xc_interface *xch)
{
    int cpus = xc_get_max_cpus(xch);

    return cpus < 0 ? -1 : (cpus + 7) / 8;
}

int xc_get_nodemap_size(xc_interface *xch)
{
    int nodes = xc_get_max_nodes(xch);

    return nodes < 0 ? -1 : (nodes + 7) / 8;
}

xc_cpumap_t xc_cpumap_alloc(xc_interface *xch)
{
    int size = xc_get_cpumap_size(xch);

    return size <= 0 ? NULL : calloc(1, (size_t)size);
}

xc_nodemap_t xc_nodemap_alloc(xc_interface *xch)
{
    int size = xc_get_nodemap_size(xch);

    return size <= 0 ? NULL : calloc(1, (size_t)size);
}

void xc_cpumap_clearcpu(int cpu, xc_cpumap_t map)
{
    map[cpu / 8] &= (uint8_t)~(1u << (cpu % 8));
}

void xc_cpumap_setcpu(int cpu, xc_cpumap_t map)
{
    map[cpu / 8] |= (uint8_t)(1u << (cpu % 8));
}

int xc_cpumap_testcpu(int cpu, xc_cpumap_t map)
{
    return map[cpu / 8] >> (cpu % 8) & 1;
}
