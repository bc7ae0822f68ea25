/* SPDX-License-Identifier: MIT */
/*
 * The core's side of the wire: up to four connections that send any packets at all, with any
 * descriptors, read or do not read their replies, and end whenever they like.
 *
 * Input: records of a step (1 byte: what in bits 0-3, which connection in bits 4-5, in bits 6-7 how
 * much is right: hello said, an arena made), a length (2 bytes, little-endian) and that many bytes.
 * When all connections have ended, everything must be as it was: descriptors, clients, ports, shares,
 * pins, pages; and the client that stays is served.
 *
 * `fuzz_core_client --seeds DIR` writes the seeds of tests/fuzz/corpus/core_client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/core_harness.h"

#include <xen/version.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define RENEW 500    /* inputs per core */
#define CONNS 4
#define MAX_STEPS 200

enum step { STEP_PACKET, STEP_PACKET_FDS, STEP_READ, STEP_CLOSE, STEP_HALF_CLOSE, STEP_TURN, STEP_ARENA, NR_STEPS };
enum { GREET = 0x40, WITH_ARENA = 0x80 };

static struct th *h;
static domid_t guest;
static unsigned inputs;
static struct { int fd; uint8_t *arena; } conn[CONNS];

static void stop(void)
{
    if (h) {
        th_free(h);
        h = NULL;
    }
}

static void start(void)
{
    kr_log_init("fuzz", KR_ERR);
    h = th_new();
    h->ignore = true;
    guest = th_domain(h, 1, 64);
    for (int i = 0; i < CONNS; i++) {
        conn[i].fd = -1;
    }
}

/* Takes whatever replies there are; an arena among their descriptors is kept. */
static void read_all(unsigned n)
{
    union { struct cmsghdr h; char b[CMSG_SPACE(KW_MAX_FDS * sizeof(int))]; } c;
    static uint8_t buf[KW_MAX_MSG];
    struct iovec iov = { buf, sizeof(buf) };

    th_turn(h);
    for (;;) {
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof(c.b) };

        if (recvmsg(conn[n].fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0) {
            return;
        }
        for (struct cmsghdr *cm = CMSG_FIRSTHDR(&m); cm; cm = CMSG_NXTHDR(&m, cm)) {
            unsigned nr = (unsigned)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));

            for (unsigned i = 0; i < nr; i++) {
                int fd;

                memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
                close(fd);
            }
        }
        th_turn(h);
    }
}

static void send_packet(unsigned n, const void *bytes, size_t len, unsigned nr_fds)
{
    union { struct cmsghdr h; char b[CMSG_SPACE(KW_MAX_FDS * sizeof(int))]; } c;
    struct iovec iov = { (void *)(uintptr_t)bytes, len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (nr_fds) {
        memset(&c, 0, sizeof(c));
        m.msg_control = c.b;
        m.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
        c.h.cmsg_level = SOL_SOCKET;
        c.h.cmsg_type = SCM_RIGHTS;
        c.h.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
        for (unsigned i = 0; i < nr_fds; i++) {
            memcpy(CMSG_DATA(&c.h) + i * sizeof(int), &conn[n].fd, sizeof(int));
        }
    }
    (void)!sendmsg(conn[n].fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void end(unsigned n)
{
    close(conn[n].fd);
    if (conn[n].arena) {
        munmap(conn[n].arena, 65536);
    }
    conn[n].fd = -1;
    conn[n].arena = NULL;
}

/* A connection's first steps done right, so that what follows gets further. */
static void begin(unsigned n, unsigned right)
{
    struct kw_hello hello = { { KW_HELLO, 0 }, KW_MAGIC, KW_VERSION };
    struct kw_arena arena = { { KW_ARENA, 0 }, ARENA_VA, 65536 };
    struct client *c;
    int sv[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv)) {
        abort();
    }
    conn[n].fd = sv[1];
    c = client_new(h->core, sv[0], geteuid(), 0);
    if (!c) {
        abort();
    }
    if (right & GREET) {
        send_packet(n, &hello, sizeof(hello), 0);
        read_all(n);
        if (right & WITH_ARENA) {
            send_packet(n, &arena, sizeof(arena), 0);
            th_turn(h);
            conn[n].arena = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, c->arena_fd, 0);
            read_all(n);
        }
    }
}

static void take(unsigned step, const uint8_t *bytes, size_t len)
{
    unsigned n = step >> 4 & 3;

    if (conn[n].fd < 0) {
        begin(n, step);
    }
    switch ((step & 15) % NR_STEPS) {
    case STEP_PACKET:
        send_packet(n, bytes, len, 0);
        break;
    case STEP_PACKET_FDS:
        send_packet(n, bytes, len, len % KW_MAX_FDS + 1);
        break;
    case STEP_READ:
        read_all(n);
        break;
    case STEP_CLOSE:
        end(n);
        break;
    case STEP_HALF_CLOSE:
        shutdown(conn[n].fd, bytes && len && bytes[0] & 1 ? SHUT_RD : SHUT_WR);
        break;
    case STEP_ARENA:
        if (conn[n].arena) {
            memcpy(conn[n].arena, bytes, len < 65536 ? len : 65536);
        }
        break;
    default:
        th_turn(h);
        break;
    }
}

/* Has anything changed for good? (What hypercalls did to domains is fuzz_hypercall's matter.) */
static void check(int lowest_fd)
{
    int now = dup(0);

    close(now);
    th_check(h);
    if (now != lowest_fd || h->core->nr_clients != 1 || h->core->dom0->shares ||
        tc_hypercall(h, &h->c, __HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0) != (4 << 16 | 17)) {
        abort();
    }
    for (uint32_t b = 0; b < h->core->dom0->evt->nr_buckets; b++) {
        for (unsigned i = 0; h->core->dom0->evt->bucket[b] && i < EVT_BUCKET; i++) {
            if (h->core->dom0->evt->bucket[b][i].owner) {
                abort();
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int lowest_fd;

    if (!h) {
        atexit(stop);
    }
    if (!h || ++inputs % RENEW == 0 || h->core->nr_domains != 2 || !domain_find(h->core, guest)) {
        stop();
        start();
    }
    tc_hypercall(h, &h->c, __HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0);
    lowest_fd = dup(0);
    close(lowest_fd);
    for (unsigned i = 0; size >= 3 && i < MAX_STEPS; i++) {
        size_t len = data[1] | data[2] << 8;
        uint8_t step = data[0];

        data += 3;
        size -= 3;
        len = len < size ? len : size;
        take(step, data, len);
        data += len;
        size -= len;
    }
    for (unsigned n = 0; n < CONNS; n++) {
        if (conn[n].fd >= 0) {
            end(n);
        }
    }
    th_turn(h);
    if (h->core->nr_domains == 2 && domain_find(h->core, guest)) {
        check(lowest_fd);
    }
    return 0;
}

/* ---- seeds */

static FILE *seed;

static void put(unsigned step, const void *bytes, size_t len)
{
    uint8_t head[3] = { (uint8_t)step, (uint8_t)len, (uint8_t)(len >> 8) };

    fwrite(head, 1, sizeof(head), seed);
    if (len) {
        fwrite(bytes, 1, len, seed);
    }
}

#define RIGHT (GREET | WITH_ARENA)

static void seed_calls(void)
{
    struct kw_hypercall version = { { KW_HYPERCALL, 1 }, __HYPERVISOR_xen_version, { XENVER_version } };
    struct kw_hypercall sys = { { KW_HYPERCALL, 2 }, __HYPERVISOR_sysctl, { ARENA_VA } };
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_physinfo, .interface_version = XEN_SYSCTL_INTERFACE_VERSION };

    put(RIGHT | STEP_PACKET, &version, sizeof(version));
    put(RIGHT | STEP_ARENA, &op, sizeof(op));
    put(RIGHT | STEP_PACKET, &sys, sizeof(sys));
    put(RIGHT | STEP_READ, NULL, 0);
    put(RIGHT | STEP_PACKET_FDS, &sys, sizeof(sys));
    put(RIGHT | STEP_CLOSE, NULL, 0);
}

static void seed_ports(void)
{
    struct kw_evtchn e = { { KW_EVTCHN_UNBOUND, 1 }, 0, 0 };

    put(RIGHT | STEP_PACKET, &e, sizeof(e));
    put(RIGHT | STEP_READ, NULL, 0);
    e = (struct kw_evtchn){ { KW_EVTCHN_INTERDOMAIN, 2 }, 0, 1 };
    put(RIGHT | 0x10 | STEP_PACKET, &e, sizeof(e));
    e = (struct kw_evtchn){ { KW_EVTCHN_VIRQ, 3 }, 0, VIRQ_DEBUGGER };
    put(RIGHT | 0x10 | STEP_PACKET, &e, sizeof(e));
    e = (struct kw_evtchn){ { KW_EVTCHN_UNBIND, 4 }, 0, 1 };
    put(RIGHT | STEP_PACKET, &e, sizeof(e));
    put(RIGHT | 0x10 | STEP_HALF_CLOSE, "\1", 1);
}

static void seed_maps(void)
{
    struct { struct kw_req h; uint32_t domid, prot, nr, reserved; uint64_t gfn[3]; } f = {
        { KW_MAP_FOREIGN, 1 }, 1, PROT_READ, 3, 0, { 1, 2, 1000 } };
    struct kw_map_resource r = { { KW_MAP_RESOURCE, 2 }, 1, XENMEM_resource_grant_table, 0, PROT_READ, 0, 1 };
    struct { struct kw_req h; uint32_t nr, prot; struct kw_gnt_ref ref[2]; } g = {
        { KW_GNT_MAP, 3 }, 2, PROT_READ, { { 1, 8 }, { 0, 8 } } };
    struct kw_gntshr s = { { KW_GNTSHR_SHARE, 4 }, 0, 2, 1, 0 };
    struct kw_gnt_notify n = { { KW_GNT_NOTIFY, 5 }, 1, KW_NOTIFY_CLEAR_BYTE, 0, 5 };
    struct kw_gnt_unmap u = { { KW_GNT_UNMAP, 6 }, 1 };

    put(RIGHT | STEP_PACKET, &f, sizeof(f));
    put(RIGHT | STEP_PACKET, &r, sizeof(r));
    put(RIGHT | STEP_TURN, NULL, 0);
    put(RIGHT | STEP_READ, NULL, 0);
    put(RIGHT | STEP_PACKET, &s, sizeof(s));
    put(RIGHT | STEP_READ, NULL, 0);
    put(RIGHT | STEP_PACKET, &g, sizeof(g));
    put(RIGHT | STEP_PACKET, &n, sizeof(n));
    put(RIGHT | STEP_PACKET, &u, sizeof(u));
    u.h.op = KW_GNTSHR_UNSHARE;
    put(RIGHT | STEP_PACKET, &u, sizeof(u));
}

static void seed_rude(void)
{
    struct kw_hello hello = { { KW_HELLO, 1 }, KW_MAGIC, KW_VERSION };
    struct kw_domid restrict_to = { { KW_RESTRICT, 2 }, 1, 0 };

    put(STEP_PACKET, &hello, sizeof(hello) - 1);
    put(0x10 | STEP_PACKET, &hello, sizeof(hello));
    put(0x10 | STEP_PACKET, &restrict_to, sizeof(restrict_to));
    put(0x10 | STEP_PACKET, "abc", 3);
    put(0x20 | STEP_HALF_CLOSE, NULL, 0);
    put(0x30 | STEP_PACKET, NULL, 0);
}

static void write_seeds(const char *dir)
{
    static const struct { const char *name; void (*write)(void); } seeds[] = {
        { "calls", seed_calls }, { "maps", seed_maps }, { "ports", seed_ports }, { "rude", seed_rude },
    };
    char path[4096];

    for (unsigned i = 0; i < KR_ARRAY_SIZE(seeds); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, seeds[i].name);
        seed = fopen(path, "wb");
        if (!seed) {
            perror(path);
            exit(1);
        }
        seeds[i].write();
        fclose(seed);
    }
    exit(0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && !strcmp((*argv)[1], "--seeds")) {
        write_seeds((*argv)[2]);
    }
    return 0;
}
