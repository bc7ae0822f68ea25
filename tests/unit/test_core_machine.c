/* SPDX-License-Identifier: MIT */
/* A core as a machine: who is domain 0, what its operator may do, how it ends, its serial line. */
#include "tests/unit/core_harness.h"
#include "hypervisor/core/console.h"
#include "hypervisor/core/serial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <xen/features.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/version.h>

#define MIB    64u
#define BUFFER 0x1000u           /* where dom0's arguments lie */

static int machine_setup(void **state)
{
    struct th *h = th_new();

    tc_close(h, &h->c);
    if (core_make_machine(h->core, MIB)) {
        return -1;
    }
    tc_open(h, &h->c);
    *state = h;
    return 0;
}

/* A domctl of a guest's. */
static long guest_domctl(struct th *h, domid_t d, struct xen_domctl *op)
{
    long rc;

    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    tg_write(h, d, BUFFER, op, sizeof(*op));
    rc = tg_hypercall(h, d, __HYPERVISOR_domctl, BUFFER, 0, 0);
    tg_read(h, d, BUFFER, op, sizeof(*op));
    return rc;
}

static long guest_simple(struct th *h, domid_t d, uint32_t cmd, domid_t target)
{
    struct xen_domctl op = { .cmd = cmd, .domain = target };

    return guest_domctl(h, d, &op);
}

static void fill_config(struct xen_domctl *op, domid_t domid)
{
    *op = (struct xen_domctl){ .cmd = XEN_DOMCTL_createdomain, .domain = domid };
    op->u.createdomain = (struct xen_domctl_createdomain){
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, .max_vcpus = 1, .max_evtchn_port = 1023,
        .max_grant_frames = 64, .max_maptrack_frames = 1024, .grant_opts = 2,
        .arch.emulation_flags = XEN_X86_EMU_LAPIC,
    };
}

static void test_domain_0(void **state)
{
    struct th *h = *state;
    struct xen_domctl op;
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_physinfo };

    assert_null(h->core->dom0);
    assert_int_equal(h->core->nr_domains, 0);
    fill_config(&op, 5);    /* nothing comes before domain 0 */
    assert_int_equal(tc_domctl(h, &h->c, &op), -EINVAL);
    assert_int_equal(th_domain(h, 1, 1024), 0);
    assert_ptr_equal(h->core->dom0, domain_find(h->core, 0));
    assert_true(h->core->dom0->control);
    assert_false(h->core->dom0->host);
    assert_int_equal(th_domain(h, 1, 16), 1);
    assert_false(domain_find(h->core, 1)->control);
    fill_config(&op, 7);
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(op.domain, 7);
    assert_int_equal(tc_sysctl(h, &h->c, &s), 0);
    assert_int_equal(s.u.physinfo.total_pages, MIB * 256);
    assert_int_equal(s.u.physinfo.free_pages, MIB * 256 - 1024 - 16);
    op = (struct xen_domctl){ .cmd = XEN_DOMCTL_getdomaininfo };
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(op.domain, 0);
    assert_true(op.u.getdomaininfo.flags & XEN_DOMINF_hvm_guest);
    assert_int_equal(op.u.getdomaininfo.tot_pages, 1024);
}

static void test_memory_is_there(void **state)
{
    struct th *h = *state;

    tc_close(h, &h->c);
    errno = 0;
    assert_int_equal(core_make_machine(h->core, 1ull << 40), -1);
    assert_int_equal(errno, ERANGE);
    assert_false(h->core->machine);
    tc_open(h, &h->c);
}

/* What dom0 may do from inside, and that it cannot do it to itself. */
static void test_control(void **state)
{
    static const uint32_t not_self[] = {
        XEN_DOMCTL_pausedomain, XEN_DOMCTL_destroydomain, XEN_DOMCTL_resumedomain,
        XEN_DOMCTL_max_vcpus, XEN_DOMCTL_gethvmcontext, XEN_DOMCTL_getvcpucontext,
    };
    struct th *h = *state;
    struct sched_remote_shutdown rs = { .domain_id = DOMID_SELF, .reason = SHUTDOWN_poweroff };
    struct xen_feature_info fi = { 0 };
    domid_t d = th_domain(h, 1, 64), other;
    struct xen_domctl op;

    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, d), 0);
    th_turn(h);
    for (unsigned i = 0; i < KR_ARRAY_SIZE(not_self); i++) {
        assert_int_equal(guest_simple(h, d, not_self[i], d), -EINVAL);
        assert_int_equal(guest_simple(h, d, not_self[i], DOMID_SELF), -ESRCH);
    }
    tg_write(h, d, BUFFER, &rs, sizeof(rs));
    assert_int_equal(
        tg_hypercall(h, d, __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, BUFFER, 0), -EPERM);
    tg_write(h, d, BUFFER, &fi, sizeof(fi));
    assert_int_equal(
        tg_hypercall(h, d, __HYPERVISOR_xen_version, XENVER_get_features, BUFFER, 0), 0);
    tg_read(h, d, BUFFER, &fi, sizeof(fi));
    assert_true(fi.submap & 1u << XENFEAT_dom0);
    assert_true(fi.submap & 1u << XENFEAT_auto_translated_physmap);
    fill_config(&op, 0);
    assert_int_equal(guest_domctl(h, d, &op), 0);
    other = op.domain;
    assert_int_equal(other, 1);
    assert_int_equal(guest_simple(h, d, XEN_DOMCTL_pausedomain, other), 0);
    assert_int_equal(guest_simple(h, d, XEN_DOMCTL_destroydomain, other), 0);
    assert_null(domain_find(h->core, other));
    assert_int_equal(th_simple(h, XEN_DOMCTL_destroydomain, d), -EINVAL);    /* nor from outside */
}

/* The hardware's side: a PC without disks, display, EFI. */
static void test_firmware(void **state)
{
    static const struct { uint32_t type, index; long rc; } row[] = {
        { XEN_FW_DISK_INFO, 0, -ENOENT }, { XEN_FW_DISK_MBR_SIGNATURE, 0, -ENOENT },
        { XEN_FW_VBEDDC_INFO, 0, -ESRCH }, { XEN_FW_EFI_INFO, XEN_FW_EFI_VERSION, -ENOSYS },
        { XEN_FW_KBD_SHIFT_FLAGS, 0, 0 }, { XEN_FW_KBD_SHIFT_FLAGS, 1, -ESRCH }, { 77, 0, -EINVAL },
    };
    struct th *h = *state;
    domid_t d = th_domain(h, 1, 64);

    for (unsigned i = 0; i < KR_ARRAY_SIZE(row); i++) {
        struct xen_platform_op op = { .cmd = XENPF_firmware_info,
                                      .interface_version = XENPF_INTERFACE_VERSION };

        op.u.firmware_info.type = row[i].type;
        op.u.firmware_info.index = row[i].index;
        op.u.firmware_info.u.kbd_shift_flags = 0xff;
        tg_write(h, d, BUFFER, &op, sizeof(op));
        assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_platform_op, BUFFER, 0, 0), row[i].rc);
        tg_read(h, d, BUFFER, &op, sizeof(op));
        assert_int_equal(op.u.firmware_info.u.kbd_shift_flags, row[i].rc ? 0xff : 0);
    }
}

static long set_time(struct th *h, uint64_t secs, uint32_t nsecs, uint32_t mbz)
{
    struct xen_platform_op op = { .cmd = XENPF_settime64,
                                  .interface_version = XENPF_INTERFACE_VERSION };

    /* A system time of a second ago, as if the call had taken that long. */
    op.u.settime64 = (struct xenpf_settime64){ secs, nsecs, mbz, core_now() - 1000000000u };
    tg_write(h, 0, BUFFER, &op, sizeof(op));
    return tg_hypercall(h, 0, __HYPERVISOR_platform_op, BUFFER, 0, 0);
}

/* The machine's wall clock is dom0's, to the second; that of its domains follows. */
static void test_wall_clock(void **state)
{
    struct th *h = *state;
    struct xen_domctl op = { .cmd = XEN_DOMCTL_settimeoffset };
    struct timespec now;
    domid_t d;

    th_domain(h, 1, 64);
    d = th_domain(h, 1, 64);
    clock_gettime(CLOCK_REALTIME, &now);
    assert_int_equal(set_time(h, (uint64_t)now.tv_sec - 1, (uint32_t)now.tv_nsec, 0), 0);
    assert_int_equal(h->core->wall_shift, 0);
    assert_int_equal(th_proc(h, d)->params, 0);
    op.domain = d;
    op.u.settimeoffset.time_offset_seconds = 7200;
    assert_int_equal(tc_domctl(h, &h->c, &op), 0);
    assert_int_equal(set_time(h, (uint64_t)now.tv_sec - 1 - 3600, (uint32_t)now.tv_nsec, 0), 0);
    th_turn(h);
    assert_int_equal(th_proc(h, 0)->param.index, KL_PARAM_TIME_OFFSET);
    assert_int_equal((int64_t)th_proc(h, 0)->param.value, -3600);
    assert_int_equal((int64_t)th_proc(h, d)->param.value, 3600);
    d = th_domain(h, 1, 16);    /* one that comes later */
    assert_int_equal((int64_t)th_proc(h, d)->param.value, -3600);
    assert_int_equal(set_time(h, 1, 0, 1), -EINVAL);
    assert_int_equal(set_time(h, 1, 1000000000, 0), -EINVAL);
    assert_int_equal(set_time(h, UINT64_MAX, 0, 0), -EINVAL);
    assert_int_equal(h->core->wall_shift, -3600);
    assert_int_equal(set_time(h, (uint64_t)now.tv_sec - 1, (uint32_t)now.tv_nsec, 0), 0);
    assert_int_equal(h->core->wall_shift, 0);
    assert_int_equal((int64_t)th_proc(h, d)->param.value, 0);
}

/* A guest of dom0's is a guest like any. */
static void test_others_have_none(void **state)
{
    struct th *h = *state;
    domid_t d;

    th_domain(h, 1, 64);
    d = th_domain(h, 1, 64);
    assert_int_equal(guest_simple(h, d, XEN_DOMCTL_pausedomain, 0), -EPERM);
    assert_int_equal(
        tg_hypercall(h, d, __HYPERVISOR_console_io, CONSOLEIO_read, 16, BUFFER), -EPERM);
}

static int operator_call(struct th *h, uint32_t op)
{
    _Alignas(8) uint8_t buf[64] = { 0 };
    struct kw_req *r = (void *)buf;

    r->op = op;
    return tc_call(h, &h->c, buf, sizeof(buf), NULL, 0);
}

static void test_operator(void **state)
{
    struct th *h = *state;
    uint8_t buf[sizeof(struct kw_map_foreign) + 8] = { 0 };
    struct kw_map_foreign *m = (void *)buf;
    union {
        struct kw_map_reply r;
        uint8_t bytes[sizeof(struct kw_map_reply) + 4 * sizeof(struct kw_run)];
    } reply;
    domid_t d = th_domain(h, 1, 64);

    for (uint32_t op = KW_EVTCHN_UNBOUND; op <= KW_GNTSHR_UNSHARE; op++) {
        if (op != KW_MAP_FOREIGN && op != KW_MAP_RESOURCE) {
            assert_int_equal(operator_call(h, op), -EPERM);
        }
    }
    m->h.op = KW_MAP_FOREIGN;
    m->domid = d;
    m->prot = PROT_READ | PROT_WRITE;
    m->nr = 1;
    m->gfn[0] = 3;
    assert_int_equal(tc_call(h, &h->c, m, sizeof(buf), &reply, sizeof(reply)), 0);
    assert_int_equal(reply.r.nr_runs, 1);
    assert_true(reply.r.run[0].fd >= 0);
    assert_int_equal(h->core->host_dom->domid, DOMID_XEN);
    assert_int_equal(tc_hypercall(h, &h->c, __HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0),
                     4 << 16 | 17);
}

/* Before domain 0 is there, pool 0 is empty, but where it will be. */
static void test_pool_0_stays(void **state)
{
    struct th *h = *state;
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_cpupool_op };
    unsigned n = h->core->host.nr_cpus;

    for (unsigned i = 0; i < n; i++) {
        op.u.cpupool_op = (struct xen_sysctl_cpupool_op){ .op = XEN_SYSCTL_CPUPOOL_OP_RMCPU,
                                                          .cpu = XEN_SYSCTL_CPUPOOL_PAR_ANY };
        assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    }
    op.u.cpupool_op = (struct xen_sysctl_cpupool_op){ .op = XEN_SYSCTL_CPUPOOL_OP_DESTROY };
    assert_int_equal(tc_sysctl(h, &h->c, &op), -EBUSY);
    for (unsigned i = 0; i < n; i++) {
        op.u.cpupool_op = (struct xen_sysctl_cpupool_op){ .op = XEN_SYSCTL_CPUPOOL_OP_ADDCPU,
                                                          .cpu = XEN_SYSCTL_CPUPOOL_PAR_ANY };
        assert_int_equal(tc_sysctl(h, &h->c, &op), 0);
    }
    assert_int_equal(th_domain(h, 1, 16), 0);
}

/* ---- the end */

/* A hypercall after which nothing comes any more: the loop has ended. */
static int exit_code(struct th *h, uint32_t op, uint64_t a0, uint64_t a1)
{
    struct kl_hypercall m = { .h = { KL_HYPERCALL, sizeof(m) }, .op = op, .arg = { a0, a1 } };
    int code = -1;

    assert_int_equal(send(th_proc(h, 0)->vcpu[0], &m, sizeof(m), MSG_NOSIGNAL), sizeof(m));
    while (sd_event_get_exit_code(h->event, &code) < 0) {
        assert_true(sd_event_run(h->event, 0) >= 0);
    }
    return code;
}

static void ends(void **state, unsigned reason, int code)
{
    struct th *h = *state;
    struct sched_shutdown s = { .reason = reason };

    th_domain(h, 1, 64);
    th_domain(h, 1, 64);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, 0), 0);
    assert_int_equal(th_simple(h, XEN_DOMCTL_unpausedomain, 1), 0);
    th_turn(h);
    tg_write(h, 0, BUFFER, &s, sizeof(s));
    assert_int_equal(exit_code(h, __HYPERVISOR_sched_op, SCHEDOP_shutdown, BUFFER), code);
}

static void test_power_off(void **state) { ends(state, SHUTDOWN_poweroff, KR_MACHINE_OFF); }
static void test_reboot(void **state) { ends(state, SHUTDOWN_reboot, KR_MACHINE_REBOOT); }
static void test_watchdog(void **state) { ends(state, SHUTDOWN_watchdog, KR_MACHINE_REBOOT); }
static void test_crash(void **state) { ends(state, SHUTDOWN_crash, KR_MACHINE_CRASHED); }
static void test_nonsense(void **state) { ends(state, 99, KR_MACHINE_CRASHED); }

static void test_process_dies(void **state)
{
    struct th *h = *state;
    int code = -1;

    th_domain(h, 1, 64);
    shutdown(th_proc(h, 0)->sock, SHUT_RDWR);
    while (sd_event_get_exit_code(h->event, &code) < 0) {
        assert_true(sd_event_run(h->event, 0) >= 0);
    }
    assert_int_equal(code, KR_MACHINE_CRASHED);
}

/* A guest of dom0's may end as it likes. */
static void test_guest_ends(void **state)
{
    struct th *h = *state;
    struct sched_shutdown s = { .reason = SHUTDOWN_crash };
    domid_t d;
    int code;

    th_domain(h, 1, 64);
    d = th_domain(h, 1, 64);
    tg_write(h, d, BUFFER, &s, sizeof(s));
    assert_int_equal(tg_hypercall(h, d, __HYPERVISOR_sched_op, SCHEDOP_shutdown, BUFFER, 0), 0);
    assert_true(sd_event_get_exit_code(h->event, &code) < 0);
}

/* ---- the serial line */

static int open_line(struct th *h)
{
    int sv[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    assert_int_equal(serial_open(h->core, sv[0]), 0);
    return sv[1];
}

static long dom0_write(struct th *h, const char *text)
{
    tg_write(h, 0, BUFFER, text, strlen(text));
    return tg_hypercall(h, 0, __HYPERVISOR_console_io, CONSOLEIO_write, strlen(text), BUFFER);
}

static long dom0_read(struct th *h, char *text, size_t len)
{
    long n = tg_hypercall(h, 0, __HYPERVISOR_console_io, CONSOLEIO_read, len, BUFFER);

    if (n > 0) {
        tg_read(h, 0, BUFFER, text, (size_t)n);
    }
    return n;
}

static void test_serial(void **state)
{
    struct th *h = *state;
    char buf[256] = "";
    int fd;

    th_domain(h, 1, 64);
    fd = open_line(h);
    console_put(h->core, "before\n", 7);
    assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), 7);
    assert_int_equal(dom0_write(h, "no newline\x1b["), 0);
    memset(buf, 0, sizeof(buf));
    assert_int_equal(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), 12);
    assert_string_equal(buf, "no newline\x1b[");
    /* Else dom0's xl dmesg at this console would never come to an end. */
    assert_null(memmem(h->core->con.data, sizeof(h->core->con.data), "newline", 7));
    assert_int_equal(dom0_read(h, buf, sizeof(buf)), 0);
    assert_int_equal(send(fd, "typed", 5, 0), 5);
    th_turn(h);
    assert_int_equal(dom0_read(h, buf, 3), 3);
    assert_memory_equal(buf, "typ", 3);
    assert_int_equal(dom0_read(h, buf, sizeof(buf)), 2);
    assert_memory_equal(buf, "ed", 2);
    assert_int_equal(dom0_read(h, buf, sizeof(buf)), 0);
    assert_int_equal(
        tc_hypercall(h, &h->c, __HYPERVISOR_console_io, CONSOLEIO_read, 16, A(0), 0, 0), 0);
    close(fd);
}

/* Nobody reads, nobody is held up; what is lost is the oldest. */
static void test_serial_slow(void **state)
{
    struct th *h = *state;
    static char buf[1 << 21], line[64];
    int fd = open_line(h), size = 4096;
    size_t got = 0;
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    for (unsigned i = 0; i < 60000; i++) {
        snprintf(line, sizeof(line), "line %05u ....................\n", i);
        console_put(h->core, line, strlen(line));
    }
    for (int i = 0; i < 1000; i++) {
        th_turn(h);
        n = recv(fd, buf + got, sizeof(buf) - 1 - got, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    }
    buf[got] = '\0';
    assert_non_null(strstr(buf, "line 00000"));
    assert_string_equal(buf + got - strlen(line), line);    /* the last */
    assert_true(got < sizeof(buf) - 1);
    close(fd);
}

/* More than anybody reads stays on the line; nothing of it is lost. */
static void test_serial_typing(void **state)
{
    struct th *h = *state;
    static char sent[8192], got[sizeof(sent)];
    size_t at = 0;
    int fd = open_line(h);
    long n;

    th_domain(h, 1, 64);
    for (size_t i = 0; i < sizeof(sent); i++) {
        sent[i] = (char)(i * 7 + i / 256);
    }
    assert_int_equal(send(fd, sent, sizeof(sent), MSG_DONTWAIT), sizeof(sent));
    th_turn(h);
    while ((n = dom0_read(h, got + at, sizeof(got) - at)) > 0) {
        at += (size_t)n;
        th_turn(h);
    }
    assert_int_equal(at, sizeof(sent));
    assert_memory_equal(sent, got, sizeof(sent));
    close(fd);
}

static void test_serial_closed(void **state)
{
    struct th *h = *state;
    int fd = open_line(h), code = -1;

    th_domain(h, 1, 64);
    close(fd);
    while (sd_event_get_exit_code(h->event, &code) < 0) {
        assert_true(sd_event_run(h->event, 0) >= 0);
    }
    assert_int_equal(code, KR_MACHINE_OFF);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, machine_setup, th_teardown)
    const struct CMUnitTest tests[] = {
        T(test_domain_0), T(test_control), T(test_firmware), T(test_wall_clock), T(test_others_have_none), T(test_operator),
        T(test_pool_0_stays),
        cmocka_unit_test_setup_teardown(test_memory_is_there, th_setup, th_teardown),
        T(test_power_off), T(test_reboot), T(test_watchdog), T(test_crash), T(test_nonsense),
        T(test_process_dies), T(test_guest_ends), T(test_serial), T(test_serial_slow),
        T(test_serial_typing), T(test_serial_closed),
    };

    return cmocka_run_group_tests_name("core_machine", tests, NULL, NULL);
}
