/* SPDX-License-Identifier: MIT */
/*
 * The low libraries against a core that answers anything. An input is a choice of operation, then
 * packets (length, number of descriptors, bytes) that are waiting when it makes its requests.
 * Whatever comes, nothing may be read or mapped beyond what was asked for, and no descriptor kept.
 */
#define _GNU_SOURCE
#define __XEN_TOOLS__ 1
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libxenctrl/evtchn/private.h"
#include "libxenctrl/foreignmemory/private.h"
#include "libxenctrl/gnttab/private.h"

#define MAP_PAGES 6
#define MAX_PACKET 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int ram = -1;

static void send_packet(int fd, void *bytes, size_t len, unsigned nr_fds)
{
    union {
        char room[CMSG_SPACE(sizeof(int) * KW_MAX_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {bytes, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (nr_fds) {
        struct cmsghdr *cm = (void *)control.room;

        m.msg_control = control.room;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * nr_fds);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(sizeof(int) * nr_fds);
        for (unsigned i = 0; i < nr_fds; i++)
            memcpy(CMSG_DATA(cm) + i * sizeof(int), &ram, sizeof(int));
    }
    (void)!sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Queues the input's packets; unless their descriptor byte's top bit is set, with the right seq. */
static void queue_packets(int fd, const uint8_t *data, size_t size)
{
    for (uint32_t seq = 1; size >= 3 && seq <= 8; seq++) {
        uint8_t packet[MAX_PACKET] = {0};
        size_t len = (data[0] | data[1] << 8) % MAX_PACKET, have;
        unsigned fds = data[2] % (KW_MAX_FDS + 1);

        have = len < size - 3 ? len : size - 3;
        memcpy(packet, data + 3, have);
        if (!(data[2] & 0x80) && len >= sizeof(seq))
            memcpy(packet, &seq, sizeof(seq));
        send_packet(fd, packet, len, fds);
        data += 3 + have;
        size -= 3 + have;
    }
}

static void foreign(struct kt_conn *conn, uint8_t how)
{
    xenforeignmemory_handle f = {.ops = &foreignmemory_core_ops, .fd = conn->fd, .conn = *conn};
    const xen_pfn_t gfns[MAP_PAGES] = {1, 2, 3, 4, 5, 6};
    unsigned nr = how % MAP_PAGES + 1;
    uint64_t frames;
    int err[MAP_PAGES];
    void *p = kt_reserve(NULL, MAP_PAGES, 0);
    xenforeignmemory_resource_handle r = {.nr_frames = nr, .addr = p, .prot = PROT_READ};

    if (how & 0x40)
        foreignmemory_core_ops.resource_frames(&f, 1, 0, 0, &frames);
    if (how & 0x80)
        foreignmemory_core_ops.map_resource(&f, &r);
    else
        foreignmemory_core_ops.map(&f, 1, p, PROT_READ | PROT_WRITE, nr, gfns, err);
    munmap(p, MAP_PAGES << KT_PAGE_SHIFT);
}

static void grants(struct kt_conn *conn, uint8_t how)
{
    struct xengntdev_handle g = {.ops = &gnt_core_ops, .fd = conn->fd, .conn = *conn,
                                 .maps_lock = PTHREAD_MUTEX_INITIALIZER};
    const struct gnt_notify n = {5, 6};
    uint32_t refs[MAP_PAGES] = {1, 2, 3, 4, 5, 6}, domid = 1, nr = how % MAP_PAGES + 1;
    void *p;

    if (how & 0x80) {
        p = gnt_core_ops.share(&g, domid, nr, refs, 1, how & 0x40 ? &n : NULL);
        if (p)
            gnt_core_ops.unshare(&g, p, nr);
    } else {
        p = gnt_core_ops.map(&g, nr, &domid, 0, refs, PROT_READ, how & 0x40 ? &n : NULL);
        if (p)
            gnt_core_ops.unmap(&g, p, nr);
    }
}

static void events(struct kt_conn *conn, uint8_t how)
{
    xenevtchn_handle x = {.ops = &evtchn_core_ops, .fd = epoll_create1(EPOLL_CLOEXEC),
                          .conn = *conn, .cloexec = true,
                          .ports_lock = PTHREAD_MUTEX_INITIALIZER};
    int port;

    fcntl(x.fd, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 3; i++) {
        port = how & 1 ? evtchn_core_ops.bind_virq(&x, 3) : evtchn_core_ops.bind_unbound(&x, 1);
        if (port >= 0 && (how & 2))
            evtchn_core_ops.unbind(&x, port);
    }
    evtchn_core_ops.pending(&x);
    x.conn.fd = -1;          /* ours */
    evtchn_core_ops.close(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kt_conn conn;
    int pair[2], before, after;

    if (ram < 0)
        ram = memfd_create("ram", MFD_CLOEXEC);
    if (size < 2 || ftruncate(ram, 64 << KT_PAGE_SHIFT))
        return 0;
    before = dup(ram);
    close(before);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        abort();
    queue_packets(pair[1], data + 2, size - 2);
    /* What is not answered ends the connection rather than waiting for ever. */
    shutdown(pair[1], SHUT_WR);
    kt_adopt(&conn, pair[0]);
    switch (data[0] % 3) {
    case 0:
        foreign(&conn, data[1]);
        break;
    case 1:
        grants(&conn, data[1]);
        break;
    default:
        events(&conn, data[1]);
        break;
    }
    kt_disconnect(&conn);
    close(pair[1]);
    after = dup(ram);
    close(after);
    if (after != before)
        abort();             /* a descriptor was left behind */
    return 0;
}
