/* SPDX-License-Identifier: MIT */
/* libxenctrl over a fake host: what its calls ask for, what they make of answers and failures. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/uio.h>

#include <cmocka.h>

#include "tests/unit/fake_hypercall.h"

#define CPUS 12

static char logged[XC_MAX_ERROR_MSG_LEN];

static void keep_message(xentoollog_logger *l, xentoollog_level level, int err,
                         const char *context, const char *format, va_list al)
{
    vsnprintf(logged, sizeof(logged), format, al);
}

static void no_progress(xentoollog_logger *l, const char *context, const char *doing, int percent,
                        unsigned long done, unsigned long total)
{
}

static void no_destroy(xentoollog_logger *l)
{
}

static xentoollog_logger keeper = { keep_message, no_progress, no_destroy };
static xc_interface *xch;

static int start(void **state)
{
    fake_start();
    logged[0] = '\0';
    xch = xc_interface_open(&keeper, NULL, 0);
    return xch ? 0 : -1;
}

static int stop(void **state)
{
    int left = (int)fake.buffers;

    xc_interface_close(xch);
    fake_stop();
    return left ? -1 : 0;
}

static int refuse(int err)
{
    errno = err;
    return -1;
}

/* ---- errors ----------------------------------------------------------------------------- */

static void *other_thread(void *arg)
{
    /* Another thread's failure is not ours. */
    assert_int_equal(xc_get_last_error(xch)->code, XC_ERROR_NONE);
    return NULL;
}

static void test_errors(void **state)
{
    pthread_t thread;

    xc_clear_last_error(xch);
    errno = EXDEV;
    xc_report_error(xch, XC_INVALID_PARAM, "%s number %d", "error", 5);
    assert_int_equal(errno, EXDEV);
    assert_string_equal(logged, "error number 5: Invalid configuration");
    assert_int_equal(xc_get_last_error(xch)->code, XC_INVALID_PARAM);
    assert_string_equal(xc_get_last_error(xch)->message, "error number 5");
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    pthread_join(thread, NULL);
    xc_report(xch, NULL, XTL_DEBUG, 0, "only said");
    assert_string_equal(logged, "only said");
    assert_string_equal(xc_get_last_error(xch)->message, "error number 5");
    xc_clear_last_error(xch);
    assert_int_equal(xc_get_last_error(xch)->code, XC_ERROR_NONE);
    assert_string_equal(xc_error_code_to_desc(XC_OUT_OF_MEMORY), "Out of memory");
    assert_string_equal(xc_error_code_to_desc(-1), "Unknown error code");
    assert_string_equal(xc_error_code_to_desc(5), "Unknown error code");
}

/* ---- domains ---------------------------------------------------------------------------- */

/* Domains 3 and FAKE_DOMID; the first crashed. */
static int two_domains(struct xen_domctl *d)
{
    struct xen_domctl_getdomaininfo *i = &d->u.getdomaininfo;

    if (d->cmd != XEN_DOMCTL_getdomaininfo) {
        return FAKE_PASS;
    }
    if (d->domain > FAKE_DOMID) {
        return refuse(ESRCH);
    }
    memset(i, 0, sizeof(*i));
    d->domain = i->domain = d->domain <= 3 ? 3 : FAKE_DOMID;
    i->flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
    if (i->domain == 3) {
        i->flags |= XEN_DOMINF_shutdown | SHUTDOWN_crash << XEN_DOMINF_shutdownshift;
    } else {
        i->flags |= XEN_DOMINF_shutdown | SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
    }
    i->max_pages = 300;
    i->tot_pages = 200;
    i->cpu_time = 123456789;
    i->max_vcpu_id = 1;
    i->handle[15] = 0x77;
    return 0;
}

static void test_getinfo(void **state)
{
    xc_dominfo_t info[5];

    fake.on_domctl = two_domains;
    assert_int_equal(xc_domain_getinfo(xch, 0, 5, info), 2);
    assert_int_equal(info[0].domid, 3);
    assert_true(info[0].crashed && !info[0].shutdown && info[0].hvm && info[0].hap);
    assert_int_equal(info[1].domid, FAKE_DOMID);
    assert_true(!info[1].crashed && info[1].shutdown);
    assert_int_equal(info[1].shutdown_reason, SHUTDOWN_suspend);
    assert_int_equal(info[1].max_memkb, 1200);
    assert_int_equal(info[1].nr_pages, 200);
    assert_int_equal(info[1].cpu_time, 123456789);
    assert_int_equal(info[1].handle[15], 0x77);
    assert_int_equal(xc_domain_getinfo(xch, 4, 1, info), 1);
    assert_int_equal(info[0].domid, FAKE_DOMID);
    assert_int_equal(xc_domain_getinfo(xch, 8, 5, info), 0);
    assert_int_equal(xc_domain_getinfo(xch, DOMID_FIRST_RESERVED, 5, info), 0);
    assert_int_equal(xc_get_tot_pages(xch, FAKE_DOMID), 200);
    assert_int_equal(xc_get_tot_pages(xch, 5), -1);
}

static int info_list(struct xen_sysctl *s)
{
    struct xen_sysctl_getdomaininfolist *l = &s->u.getdomaininfolist;
    xc_domaininfo_t *out = l->buffer.p;

    if (s->cmd != XEN_SYSCTL_getdomaininfolist) {
        return FAKE_PASS;
    }
    l->num_domains = l->max_domains < 3 ? l->max_domains : 3;
    for (uint32_t i = 0; i < l->num_domains; i++) {
        out[i].domain = (domid_t)(l->first_domain + i);
    }
    return 0;
}

static void test_getinfolist(void **state)
{
    xc_domaininfo_t info[4];

    memset(info, 0xff, sizeof(info));
    fake.on_sysctl = info_list;
    assert_int_equal(xc_domain_getinfolist(xch, 5, 2, info), 2);
    assert_int_equal(info[1].domain, 6);
    assert_int_equal(info[2].domain, 0xffff);
    assert_int_equal(xc_domain_getinfolist(xch, 5, 4, info), 3);
    fake.on_sysctl = NULL;
    assert_int_equal(xc_domain_getinfolist(xch, 5, 4, info), -1);
    assert_int_equal(errno, ENOSYS);
}

static unsigned int tries;

static int slow_destroy(struct xen_domctl *d)
{
    if (d->cmd == XEN_DOMCTL_destroydomain) {
        return ++tries < 4 ? refuse(EAGAIN) : 0;
    }
    if (d->cmd == XEN_DOMCTL_createdomain) {
        assert_int_equal(d->u.createdomain.max_vcpus, 9);
        d->domain = 42;
        d->u.createdomain.ssidref = 17;
        return 0;
    }
    return FAKE_PASS;
}

static void test_create_destroy(void **state)
{
    struct xen_domctl_createdomain config = { .max_vcpus = 9 };
    uint32_t domid = 0;

    tries = 0;
    fake.on_domctl = slow_destroy;
    assert_int_equal(xc_domain_create(xch, &domid, &config), 0);
    assert_int_equal(domid, 42);
    assert_int_equal(config.ssidref, 17);
    assert_int_equal(xc_domain_destroy(xch, FAKE_DOMID), 0);
    assert_int_equal(tries, 4);
    fake.on_domctl = NULL;
    assert_int_equal(xc_domain_destroy(xch, FAKE_DOMID + 1), -1);
    assert_int_equal(errno, ESRCH);
}

static int remote_shutdown(unsigned int nr, unsigned int cmd, void *arg)
{
    const sched_remote_shutdown_t *s = arg;

    if (nr != __HYPERVISOR_sched_op || cmd != SCHEDOP_remote_shutdown) {
        return FAKE_PASS;
    }
    return s->domain_id == FAKE_DOMID && s->reason == SHUTDOWN_reboot ? 0 : refuse(EINVAL);
}

static void test_shutdown(void **state)
{
    fake.on_op = remote_shutdown;
    assert_int_equal(xc_domain_shutdown(xch, FAKE_DOMID, SHUTDOWN_reboot), 0);
    assert_int_equal(xc_domain_shutdown(xch, FAKE_DOMID, SHUTDOWN_crash), -1);
    assert_int_equal(errno, EINVAL);
}

/* ---- vCPUs and CPU maps ----------------------------------------------------------------- */

static int physinfo(struct xen_sysctl *s)
{
    if (s->cmd != XEN_SYSCTL_physinfo) {
        return FAKE_PASS;
    }
    s->u.physinfo.max_cpu_id = CPUS - 1;
    s->u.physinfo.nr_cpus = CPUS - 2;
    return 0;
}

/* Takes CPU 3 out of the hard map. */
static int affinity(struct xen_domctl *d)
{
    struct xen_domctl_vcpuaffinity *a = &d->u.vcpuaffinity;
    uint8_t *hard = a->cpumap_hard.bitmap.p;

    if (d->cmd != XEN_DOMCTL_setvcpuaffinity) {
        return FAKE_PASS;
    }
    if (a->vcpu != 1 || a->flags != XEN_VCPUAFFINITY_HARD || a->cpumap_soft.bitmap.p ||
        a->cpumap_hard.nr_bits != 16 || hard[0] != 0x0c || hard[1] != 0x08) {
        return refuse(EINVAL);
    }
    hard[0] &= (uint8_t)~8;
    return 0;
}

static void test_affinity(void **state)
{
    xc_cpumap_t map;

    fake.on_sysctl = physinfo;
    fake.on_domctl = affinity;
    assert_int_equal(xc_get_max_cpus(xch), CPUS);
    assert_int_equal(xc_get_online_cpus(xch), CPUS - 2);
    assert_int_equal(xc_get_cpumap_size(xch), 2);
    map = xc_cpumap_alloc(xch);
    assert_non_null(map);
    xc_cpumap_setcpu(2, map);
    xc_cpumap_setcpu(3, map);
    xc_cpumap_setcpu(7, map);
    xc_cpumap_setcpu(11, map);
    xc_cpumap_clearcpu(7, map);
    assert_true(xc_cpumap_testcpu(11, map) && !xc_cpumap_testcpu(7, map));
    assert_int_equal(xc_vcpu_setaffinity(xch, FAKE_DOMID, 1, map, NULL, XEN_VCPUAFFINITY_HARD),
                     0);
    assert_true(xc_cpumap_testcpu(2, map) && !xc_cpumap_testcpu(3, map));
    free(map);
    fake.on_sysctl = NULL;
    assert_int_equal(xc_get_max_cpus(xch), -1);
    assert_null(xc_cpumap_alloc(xch));
}

/* ---- memory ----------------------------------------------------------------------------- */

static void test_populate(void **state)
{
    xen_pfn_t gfns[4] = { 1, 2, 3, 4 };

    fake.max_pages = 3;
    assert_int_equal(xc_domain_populate_physmap(xch, FAKE_DOMID, 4, 0, 0, gfns), 3);
    fake.max_pages = 5;
    gfns[0] = 10;
    assert_int_equal(xc_domain_populate_physmap_exact(xch, FAKE_DOMID, 1, 0, 0, gfns), 0);
    gfns[0] = 11;
    gfns[1] = 12;
    assert_int_equal(xc_domain_populate_physmap_exact(xch, FAKE_DOMID, 2, 0, 0, gfns), -1);
    assert_int_equal(errno, EBUSY);
    assert_int_equal(xc_domain_populate_physmap_exact(xch, FAKE_DOMID, 1, 3, 0, gfns), -1);
    assert_int_equal(errno, EINVAL);
}

static int memory_map(unsigned int nr, unsigned int cmd, void *arg)
{
    const struct xen_foreign_memory_map *m = arg;
    const struct e820entry *e;

    if (nr != __HYPERVISOR_memory_op || cmd != XENMEM_set_memory_map) {
        return FAKE_PASS;
    }
    e = m->map.buffer.p;
    if (m->domid != FAKE_DOMID || m->map.nr_entries != 1 || e->addr || e->type != E820_RAM) {
        return refuse(EINVAL);
    }
    return e->size == 5 << 20 ? 0 : refuse(E2BIG);
}

static void test_memory_map(void **state)
{
    fake.on_op = memory_map;
    assert_int_equal(xc_domain_set_memmap_limit(xch, FAKE_DOMID, 5 << 10), 0);
    assert_int_equal(xc_domain_set_memmap_limit(xch, FAKE_DOMID, 6 << 10), -1);
}

static void test_pages(void **state)
{
    xen_pfn_t gfns[3] = { 8, 9, 10 };
    uint8_t page[XC_PAGE_SIZE], back[XC_PAGE_SIZE];
    void *p;

    memset(page, 0x5a, sizeof(page));
    assert_int_equal(xc_copy_to_domain_page(xch, FAKE_DOMID, 9, (char *)page), -1);
    assert_int_equal(xc_domain_populate_physmap_exact(xch, FAKE_DOMID, 3, 0, 0, gfns), 0);
    assert_int_equal(xc_copy_to_domain_page(xch, FAKE_DOMID, 9, (char *)page), 0);
    fake_read(9 << XC_PAGE_SHIFT, back, sizeof(back));
    assert_memory_equal(page, back, sizeof(page));
    p = xc_map_foreign_range(xch, FAKE_DOMID, 2 * XC_PAGE_SIZE, 1, 9);
    assert_non_null(p);
    assert_int_equal(*(uint8_t *)p, 0x5a);
    xenforeignmemory_unmap(xc_interface_fmem_handle(xch), p, 2);
    assert_int_equal(xc_clear_domain_pages(xch, FAKE_DOMID, 8, 3), 0);
    fake_read(9 << XC_PAGE_SHIFT, back, sizeof(back));
    assert_int_equal(back[17], 0);
    assert_null(xc_map_foreign_range(xch, FAKE_DOMID, 0, 1, 9));
    assert_int_equal(xc_clear_domain_pages(xch, FAKE_DOMID, 8, -1), -1);
}

/* ---- HVM -------------------------------------------------------------------------------- */

static void test_hvm(void **state)
{
    uint64_t value = 0;
    uint8_t buf[256];
    int size;

    assert_int_equal(xc_hvm_param_set(xch, FAKE_DOMID, 17, 0x123456789abull), 0);
    assert_int_equal(xc_hvm_param_get(xch, FAKE_DOMID, 17, &value), 0);
    assert_int_equal(value, 0x123456789abull);
    assert_int_equal(xc_hvm_param_get(xch, FAKE_DOMID + 1, 17, &value), -1);
    size = xc_domain_hvm_getcontext(xch, FAKE_DOMID, NULL, 0);
    assert_in_range(size, 16, sizeof(buf));
    assert_int_equal(xc_domain_hvm_getcontext(xch, FAKE_DOMID, buf, 4), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(xc_domain_hvm_getcontext(xch, FAKE_DOMID, buf, sizeof(buf)), size);
    assert_int_equal(xc_domain_hvm_setcontext(xch, FAKE_DOMID, buf, (uint32_t)size), 0);
    assert_int_equal(xc_domain_hvm_setcontext(xch, FAKE_DOMID, buf, (uint32_t)size - 1), -1);
}

/* ---- scheduler and pools ---------------------------------------------------------------- */

static uint16_t weight;

static int scheduler(struct xen_domctl *d)
{
    struct xen_domctl_scheduler_op *o = &d->u.scheduler_op;

    if (d->cmd != XEN_DOMCTL_scheduler_op || o->sched_id != XEN_SCHEDULER_CREDIT2) {
        return FAKE_PASS;
    }
    if (o->cmd == XEN_DOMCTL_SCHEDOP_putinfo) {
        weight = o->u.credit2.weight;
    } else {
        o->u.credit2.weight = weight;
    }
    return 0;
}

static int pools(struct xen_sysctl *s)
{
    struct xen_sysctl_cpupool_op *op = &s->u.cpupool_op;

    if (s->cmd != XEN_SYSCTL_cpupool_op) {
        return physinfo(s);
    }
    switch (op->op) {
    case XEN_SYSCTL_CPUPOOL_OP_INFO:
        if (op->cpupool_id) {
            return refuse(ENOENT);
        }
        op->sched_id = XEN_SCHEDULER_CREDIT2;
        op->n_dom = 2;
        ((uint8_t *)op->cpumap.bitmap.p)[1] = 4;
        return op->cpumap.nr_bits == 16 ? 0 : refuse(EINVAL);
    case XEN_SYSCTL_CPUPOOL_OP_ADDCPU:
        return op->cpu == XEN_SYSCTL_CPUPOOL_PAR_ANY && ++tries == 3 ? 0 : refuse(EBUSY);
    default:
        return refuse(ENOSYS);
    }
}

static void test_scheduler(void **state)
{
    struct xen_domctl_sched_credit2 c = { .weight = 300 };
    xc_cpupoolinfo_t *info;

    fake.on_domctl = scheduler;
    fake.on_sysctl = pools;
    assert_int_equal(xc_sched_credit2_domain_set(xch, FAKE_DOMID, &c), 0);
    assert_int_equal(weight, 300);
    c.weight = 0;
    assert_int_equal(xc_sched_credit2_domain_get(xch, FAKE_DOMID, &c), 0);
    assert_int_equal(c.weight, 300);
    info = xc_cpupool_getinfo(xch, 0);
    assert_non_null(info);
    assert_int_equal(info->n_dom, 2);
    assert_true(xc_cpumap_testcpu(10, info->cpumap));
    xc_cpupool_infofree(xch, info);
    assert_null(xc_cpupool_getinfo(xch, 1));
    assert_int_equal(errno, ENOENT);
    tries = 0;
    assert_int_equal(xc_cpupool_addcpu(xch, 0, -1), 0);
    assert_int_equal(tries, 3);
}

/* ---- the host --------------------------------------------------------------------------- */

static int console(struct xen_sysctl *s)
{
    struct xen_sysctl_readconsole *r = &s->u.readconsole;

    switch (s->cmd) {
    case XEN_SYSCTL_readconsole:
        assert_true(r->incremental && !r->clear && r->index == 100 && r->count == 8);
        memcpy(r->buffer.p, "hello", 5);
        r->count = 5;
        r->index = 105;
        return 0;
    case XEN_SYSCTL_debug_keys:
        assert_int_equal(s->u.debug_keys.nr_keys, 2);
        assert_memory_equal(s->u.debug_keys.keys.p, "qr", 2);
        return 0;
    default:
        return FAKE_PASS;
    }
}

static void test_host(void **state)
{
    char text[9] = "........";
    xen_commandline_t command_line;
    unsigned int count = 8;
    uint32_t index = 100;

    fake.on_sysctl = console;
    assert_int_equal(xc_readconsolering(xch, text, &count, 0, 1, &index), 0);
    assert_int_equal(count, 5);
    assert_int_equal(index, 105);
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(xc_send_debug_keys(xch, "qr"), 0);
    assert_int_equal(xc_version(xch, XENVER_version, NULL), 4 << 16 | 17);
    assert_int_equal(xc_version(xch, XENVER_commandline, command_line), -1);
    assert_int_equal(errno, ENOSYS);
}

/* ---- buffers and files ------------------------------------------------------------------ */

static void test_buffers(void **state)
{
    xc_hypercall_buffer_array_t *array = xc_hypercall_buffer_array_create(xch, 2);
    DECLARE_HYPERCALL_BUFFER(uint32_t, a);
    DECLARE_HYPERCALL_BUFFER(uint32_t, b);

    assert_non_null(array);
    a = xc_hypercall_buffer_array_alloc(xch, array, 1, a, 64);
    assert_non_null(a);
    assert_int_equal(a[15], 0);
    a[3] = 33;
    assert_null(xc_hypercall_buffer_array_alloc(xch, array, 1, a, 64));
    assert_null(xc_hypercall_buffer_array_alloc(xch, array, 2, a, 64));
    b = xc_hypercall_buffer_array_get(xch, array, 1, b, 64);
    assert_int_equal(b[3], 33);
    assert_null(xc_hypercall_buffer_array_get(xch, array, 0, b, 64));
    xc_hypercall_buffer_array_destroy(xch, array);
    assert_int_equal(fake.buffers, 0);
    b = xc_hypercall_buffer_alloc_pages(xch, b, 2);
    assert_non_null(b);
    xc_hypercall_buffer_free_pages(xch, b, 2);
}

static void test_exact(void **state)
{
    char in[1000], out[1000];
    struct iovec iov[4] = { { in, 1 }, { in + 1, 0 }, { in + 1, 500 }, { in + 501, 499 } };
    uint64_t words[2] = { 0x0123456789abcdefull, 0x3ffull }, again[2];
    uint8_t bytes[9];
    int fd[2];

    for (size_t i = 0; i < sizeof(in); i++) {
        in[i] = (char)(i * 3);
    }
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(writev_exact(fd[1], iov, 4), 0);
    assert_int_equal(read_exact(fd[0], out, sizeof(out)), 0);
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(write_exact(fd[1], in, 3), 0);
    close(fd[1]);
    assert_int_equal(read_exact(fd[0], out, 4), -1);
    assert_int_equal(errno, 0);
    close(fd[0]);
    assert_int_equal(read_exact(fd[0], out, 4), -1);
    assert_int_equal(errno, EBADF);
    bitmap_64_to_byte(bytes, words, 68);
    assert_int_equal(bytes[0], 0xef);
    assert_int_equal(bytes[8], 0x0f);
    bitmap_byte_to_64(again, bytes, 68);
    assert_int_equal(again[0], words[0]);
    assert_int_equal(again[1], 0x0f);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_errors), T(test_getinfo), T(test_getinfolist), T(test_create_destroy),
        T(test_shutdown), T(test_affinity), T(test_populate), T(test_memory_map), T(test_pages),
        T(test_hvm), T(test_scheduler), T(test_host), T(test_buffers), T(test_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
