/* SPDX-License-Identifier: MIT */
/*
 * libxenctrl's calls for tools, as far as they do more than one hypercall or believe what a host says.
 * That each asks for the right thing is tests/abi/check-calls' part.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tests/unit/fake_hypercall.h"

#include <xen/hvm/save.h>
#include <xen/trace.h>
#include <xenguest.h>

static xentoollog_logger *logger;
static xc_interface *xch;

static int start(void **state)
{
    fake_start();
    logger = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_CRITICAL, 0);
    xch = xc_interface_open(logger, NULL, 0);
    return xch ? 0 : -1;
}

static int stop(void **state)
{
    int left = (int)(fake.buffers + fake.maps);

    xc_interface_close(xch);
    xtl_logger_destroy(logger);
    fake_stop();
    return left ? -1 : 0;
}

static int refuse(int err)
{
    errno = err;
    return -1;
}

/* ---- live patches ----------------------------------------------------------------------- */

/* A host with patches "p0", "p1" ... that answers for at most `most` at a time. */
static struct {
    unsigned int count, most, calls, changes_at, lies;
} patches;

static int list_patches(struct xen_sysctl *s)
{
    struct xen_sysctl_livepatch_list *l = &s->u.livepatch.u.list;
    unsigned int n = 0, at = 0;

    if (s->cmd != XEN_SYSCTL_livepatch_op || s->u.livepatch.cmd != XEN_SYSCTL_LIVEPATCH_LIST) {
        return FAKE_PASS;
    }
    patches.calls++;
    if (l->nr > patches.most) {
        return refuse(E2BIG);
    }
    l->version = patches.changes_at && patches.calls >= patches.changes_at ? patches.calls : 1;
    for (; n < l->nr && l->idx + n < patches.count; n++) {
        xen_livepatch_status_t *status = l->status.p;
        uint32_t *len = l->len.p, *metadata_len = l->metadata_len.p;
        char *name = l->name.p;

        status[n].state = LIVEPATCH_STATE_APPLIED;
        status[n].rc = (int32_t)(l->idx + n);
        len[n] = 3;
        metadata_len[n] = 0;
        name[at] = 'p';
        name[at + 1] = (char)('0' + l->idx + n);
        name[at + 2] = '\0';
        at += 3;
    }
    l->nr = patches.count - l->idx - n;
    if (patches.lies == 1) {
        return (int)n + 1;
    }
    if (patches.lies == 2) {
        ((uint32_t *)l->len.p)[0] = 0x80000000;
    }
    return (int)n;
}

static int list(unsigned int max, xen_livepatch_status_t *info, char *name, unsigned int *done,
                unsigned int *left)
{
    uint32_t len[8], metadata_len[8];
    char metadata[8];

    return xc_livepatch_list(xch, max, 0, info, name, len, 24, metadata, metadata_len, 8, done,
                             left);
}

static void test_livepatch_list(void **state)
{
    xen_livepatch_status_t info[8];
    unsigned int done, left;
    char name[24];

    fake.on_sysctl = list_patches;
    patches = (typeof(patches)){ .count = 5, .most = 2 };
    assert_int_equal(list(8, info, name, &done, &left), 0);
    assert_int_equal(done, 5);
    assert_int_equal(left, 0);
    assert_int_equal(info[4].rc, 4);
    assert_memory_equal(name, "p0\0p1\0p2\0p3\0p4", 15);

    /* One change: everything again, and right. Changes without end: an error. */
    patches = (typeof(patches)){ .count = 3, .most = 8, .changes_at = 0 };
    assert_int_equal(list(2, info, name, &done, &left), 0);
    assert_int_equal(done, 2);
    assert_int_equal(left, 1);
    patches = (typeof(patches)){ .count = 8, .most = 1, .changes_at = 2 };
    assert_int_equal(list(8, info, name, &done, &left), -1);
    assert_int_equal(errno, EBUSY);

    /* More answers than were asked for; names longer than their room. */
    patches = (typeof(patches)){ .count = 8, .most = 8, .lies = 1 };
    assert_int_equal(list(8, info, name, &done, &left), -1);
    assert_int_equal(errno, EPROTO);
    patches = (typeof(patches)){ .count = 2, .most = 8, .lies = 2 };
    assert_int_equal(list(2, info, name, &done, &left), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(list(0, info, name, &done, &left), -1);
    assert_int_equal(errno, EINVAL);
}

static void test_livepatch_names(void **state)
{
    xen_livepatch_status_t status;
    unsigned char payload[4] = "abc";
    char name[XEN_LIVEPATCH_NAME_SIZE + 1];

    memset(name, 'x', sizeof(name));
    name[XEN_LIVEPATCH_NAME_SIZE] = '\0';
    assert_int_equal(xc_livepatch_get(xch, name, &status), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(xc_livepatch_upload(xch, name, payload, 4), -1);
    assert_int_equal(errno, EINVAL);
    name[XEN_LIVEPATCH_NAME_SIZE - 1] = '\0';
    assert_int_equal(xc_livepatch_apply(xch, name, 0, 0), -1);
    assert_int_equal(errno, ENOSYS);
    assert_int_equal(xc_livepatch_upload(xch, name, NULL, 4), -1);
    assert_int_equal(errno, EINVAL);
}

/* ---- power ------------------------------------------------------------------------------ */

/* Three CPUs share a frequency, of which there are two. */
static int cpufreq(struct xen_sysctl *s)
{
    struct xen_get_cpufreq_para *p = &s->u.pm_op.u.get_para;

    if (s->cmd != XEN_SYSCTL_pm_op || s->u.pm_op.cmd != GET_CPUFREQ_PARA) {
        return FAKE_PASS;
    }
    if (p->cpu_num != 3 || p->freq_num != 2 || p->gov_num != 1) {
        p->cpu_num = 3;
        p->freq_num = 2;
        p->gov_num = 1;
        return refuse(EAGAIN);
    }
    for (uint32_t i = 0; i < 3; i++) {
        ((uint32_t *)p->affected_cpus.p)[i] = i;
    }
    memcpy(p->scaling_available_governors.p, "ondemand", 9);
    strcpy(p->scaling_governor, "ondemand");
    p->u.ondemand.up_threshold = 80;
    p->turbo_enabled = 1;
    return 0;
}

static void test_cpufreq(void **state)
{
    struct xc_get_cpufreq_para p = { .cpu_num = 0 };
    uint32_t cpus[3], freqs[2];
    char governors[CPUFREQ_NAME_LEN];

    fake.on_sysctl = cpufreq;
    assert_int_equal(xc_get_cpufreq_para(xch, 0, &p), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(p.cpu_num, 3);
    assert_int_equal(xc_get_cpufreq_para(xch, 0, &p), -1);
    assert_int_equal(errno, EINVAL);
    p.affected_cpus = cpus;
    p.scaling_available_frequencies = freqs;
    p.scaling_available_governors = governors;
    assert_int_equal(xc_get_cpufreq_para(xch, 0, &p), 0);
    assert_int_equal(cpus[2], 2);
    assert_string_equal(governors, "ondemand");
    assert_int_equal(p.u.ondemand.up_threshold, 80);
    assert_int_equal(p.turbo_enabled, 1);
}

/* ---- MSRs ------------------------------------------------------------------------------- */

static int resource(unsigned int nr, unsigned int cmd, void *arg)
{
    const struct xen_platform_op *op = arg;
    xenpf_resource_entry_t *e = op->u.resource_op.entries.p;

    if (nr != __HYPERVISOR_platform_op || op->cmd != XENPF_resource_op ||
        op->interface_version != XENPF_INTERFACE_VERSION) {
        return FAKE_PASS;
    }
    if (op->u.resource_op.cpu == 1) {
        return refuse(ENODEV);
    }
    for (uint32_t i = 0; i < op->u.resource_op.nr_entries; i++) {
        e[i].val = e[i].idx + op->u.resource_op.cpu;
    }
    return (int)op->u.resource_op.nr_entries;
}

static void test_resource_op(void **state)
{
    xc_resource_entry_t e[3][2] = { { { .idx = 0x10 }, { .idx = 0x20 } }, { { .idx = 1 } },
                                    { { .idx = 0x30 } } };
    xc_resource_op_t ops[3] = { { .cpu = 0, .nr_entries = 2, .entries = e[0] },
                                { .cpu = 1, .nr_entries = 1, .entries = e[1] },
                                { .cpu = 2, .nr_entries = 1, .entries = e[2] } };

    fake.on_op = resource;
    assert_int_equal(xc_resource_op(xch, 3, ops), 0);
    assert_int_equal(ops[0].result, 2);
    assert_int_equal((int64_t)ops[1].result, -ENODEV);
    assert_int_equal(ops[2].result, 1);
    assert_int_equal(e[0][1].val, 0x20);
    assert_int_equal(e[2][0].val, 0x32);
    fake.on_op = NULL;
    assert_int_equal(xc_resource_op(xch, 3, ops), -1);
    assert_int_equal(errno, ENOSYS);
}

/* ---- virtual addresses ------------------------------------------------------------------ */

static struct hvm_hw_cpu cpu;

static int hvm_cpu(struct xen_domctl *d)
{
    struct xen_domctl_hvmcontext_partial *p = &d->u.hvmcontext_partial;

    if (d->cmd != XEN_DOMCTL_gethvmcontext_partial || d->domain != FAKE_DOMID) {
        return FAKE_PASS;
    }
    if (p->type != HVM_SAVE_CODE(CPU) || p->instance || p->bufsz != sizeof(cpu)) {
        return refuse(EINVAL);
    }
    memcpy(p->buffer.p, &cpu, sizeof(cpu));
    return 0;
}

static void entry(uint64_t table, unsigned int index, uint64_t value, unsigned int size)
{
    static const char page[XC_PAGE_SIZE];

    if (!fake.populated[table >> XC_PAGE_SHIFT]) {
        fake_write(table & XC_PAGE_MASK, page, sizeof(page));
    }
    fake_write(table + index * size, &value, size);
}

static unsigned long translate(uint64_t virt)
{
    errno = 0;
    return xc_translate_foreign_address(xch, FAKE_DOMID, 0, virt);
}

static void test_translate_long_mode(void **state)
{
    fake.on_domctl = hvm_cpu;
    memset(&cpu, 0, sizeof(cpu));
    assert_int_equal(translate(0x12345678), 0x12345);        /* not paged */
    cpu.cr0 = 1u << 31;
    cpu.cr4 = 1 << 5;
    cpu.msr_efer = 1 << 10;
    cpu.cr3 = 0x1018;                                        /* cache bits are no address */
    entry(0x1000, 1, 0x2007, 8);
    entry(0x2000, 2, 0x3007, 8);
    entry(0x2000, 3, 0x8000000040001087, 8);                 /* 1 GiB at 0x40000000, PAT */
    entry(0x3000, 3, 0x4007, 8);
    entry(0x3000, 4, 0x200087, 8);                           /* 2 MiB at 0x200000 */
    entry(0x4000, 5, 0x8000000000abc007, 8);                 /* not executable */
    entry(0x4000, 6, 0xdef006, 8);                           /* not present */
    assert_int_equal(translate(0x8080605123), 0xabc);
    assert_int_equal(translate(0x8080606000), 0);
    assert_int_equal(errno, EADDRNOTAVAIL);
    assert_int_equal(translate(0x8080805000), 0x205);
    assert_int_equal(translate(0x80c1234000), 0x41234);
    assert_int_equal(translate(0), 0);
    assert_int_equal(errno, EADDRNOTAVAIL);
    /* A table that is not there, and one beyond all memory. */
    entry(0x2000, 4, 0x5007, 8);
    assert_int_equal(translate(0x8100000000), 0);
    assert_int_equal(errno, EINVAL);
    entry(0x2000, 4, 0x000ffffffffff007, 8);
    assert_int_equal(translate(0x8100000000), 0);
    assert_int_equal(errno, EINVAL);
    fake.on_domctl = NULL;
    assert_int_equal(xc_translate_foreign_address(xch, FAKE_DOMID + 1, 0, 0), 0);
    assert_int_equal(errno, ESRCH);
}

static void test_translate_older_modes(void **state)
{
    fake.on_domctl = hvm_cpu;
    memset(&cpu, 0, sizeof(cpu));
    cpu.cr0 = 1u << 31;
    cpu.cr3 = 0x1000;
    entry(0x1000, 1, 0x2007, 4);
    entry(0x1000, 2, 0x800087, 4);                           /* 4 MiB */
    entry(0x2000, 3, 0x5007, 4);
    assert_int_equal(translate(0x403123), 0x5);
    assert_int_equal(translate(0x812345), 0x812);
    cpu.cr4 = 1 << 5;
    cpu.cr3 = 0x6020;                                        /* PAE: 32 bytes, anywhere */
    entry(0x6020, 2, 0x7001, 8);
    entry(0x7000, 1, 0xe00087, 8);
    assert_int_equal(translate(0x80212345), 0xe12);
    assert_int_equal(translate(0xc0000000), 0);
    assert_int_equal(errno, EADDRNOTAVAIL);
}

/* ---- rings ------------------------------------------------------------------------------ */

static struct {
    unsigned int paused, enabled, taken;
    int fail_enable, fail_take;
} ring;

static int ring_domctl(struct xen_domctl *d)
{
    switch (d->cmd) {
    case XEN_DOMCTL_pausedomain:
        ring.paused++;
        return 0;
    case XEN_DOMCTL_unpausedomain:
        ring.paused--;
        return 0;
    case XEN_DOMCTL_getpageframeinfo3:
        return 0;
    case XEN_DOMCTL_vm_event_op:
        assert_int_equal(ring.paused, 1);
        assert_int_equal(d->u.vm_event_op.mode, XEN_DOMCTL_VM_EVENT_OP_MONITOR);
        if (ring.fail_enable) {
            return refuse(ring.fail_enable);
        }
        ring.enabled++;
        d->u.vm_event_op.u.enable.port = 9;
        return 0;
    default:
        return FAKE_PASS;
    }
}

static int ring_op(unsigned int nr, unsigned int cmd, void *arg)
{
    const struct xen_memory_reservation *r = arg;

    if (nr != __HYPERVISOR_memory_op || cmd != XENMEM_decrease_reservation) {
        return FAKE_PASS;
    }
    assert_int_equal(((const xen_pfn_t *)r->extent_start.p)[0], 0x77);
    if (ring.fail_take) {
        return 0;
    }
    ring.taken++;
    return 1;
}

static void test_monitor_enable(void **state)
{
    uint32_t port = 0;
    void *p;

    ring = (typeof(ring)){ 0 };
    fake.on_domctl = ring_domctl;
    fake.on_op = ring_op;
    fake.params[HVM_PARAM_MONITOR_RING_PFN] = 0x77;
    fake.populated[0x77] = 1;
    p = xc_monitor_enable(xch, FAKE_DOMID, &port);
    assert_non_null(p);
    assert_int_equal(port, 9);
    assert_int_equal(ring.paused, 0);
    assert_int_equal(ring.taken, 1);
    xenforeignmemory_unmap(xch->fmem, p, 1);

    /* Whatever fails: nothing stays mapped, the domain runs again. */
    ring = (typeof(ring)){ .fail_enable = EBUSY };
    assert_null(xc_monitor_enable(xch, FAKE_DOMID, &port));
    assert_int_equal(errno, EBUSY);
    assert_int_equal(ring.paused, 0);
    assert_int_equal(fake.maps, 0);
    ring = (typeof(ring)){ .fail_take = 1 };
    assert_null(xc_monitor_enable(xch, FAKE_DOMID, &port));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(ring.paused, 0);
    assert_int_equal(fake.maps, 0);
    fake.populated[0x77] = 0;
    assert_null(xc_monitor_enable(xch, FAKE_DOMID, &port));
    assert_int_equal(ring.paused, 0);
    assert_null(xc_monitor_enable(xch, FAKE_DOMID, NULL));
    assert_int_equal(errno, EINVAL);
    assert_null(xc_vm_event_enable(xch, FAKE_DOMID, HVM_PARAM_STORE_PFN, &port));
    assert_int_equal(errno, EINVAL);
}

/* ---- dumps ------------------------------------------------------------------------------ */

struct taken {
    uint8_t *data;
    size_t len, limit;
};

static int take(xc_interface *x, void *arg, char *buffer, unsigned int length)
{
    struct taken *t = arg;

    if (t->len + length > t->limit) {
        errno = ENOSPC;
        return -1;
    }
    memcpy(t->data + t->len, buffer, length);
    t->len += length;
    return 0;
}

static int dump_domctl(struct xen_domctl *d)
{
    switch (d->cmd) {
    case XEN_DOMCTL_getdomaininfo:
        if (d->domain != FAKE_DOMID) {
            return refuse(ESRCH);
        }
        memset(&d->u, 0, sizeof(d->u));
        d->u.getdomaininfo.domain = FAKE_DOMID;
        d->u.getdomaininfo.flags = ring.enabled ? 0 : XEN_DOMINF_hvm_guest;
        d->u.getdomaininfo.max_vcpu_id = 2;
        return 0;
    case XEN_DOMCTL_get_address_size:
        d->u.address_size.size = 64;
        return 0;
    case XEN_DOMCTL_getvcpucontext:
        return d->u.vcpucontext.vcpu == 1 ? refuse(ENODATA) : 0;
    default:
        return FAKE_PASS;
    }
}

static int dump_op(unsigned int nr, unsigned int cmd, void *arg)
{
    return nr == __HYPERVISOR_memory_op && cmd == XENMEM_maximum_gpfn ? 3000 : FAKE_PASS;
}

static void test_dump(void **state)
{
    struct taken t = { malloc(1 << 20), 0, 1 << 20 };

    ring.enabled = 0;
    fake.on_domctl = dump_domctl;
    fake.on_op = dump_op;
    fake.holes = true;
    fake_write(0x5000, "five", 5);
    fake_write(0x7d0000, "two thousand", 13);
    assert_int_equal(xc_domain_dumpcore_via_callback(xch, FAKE_DOMID, &t, take), 0);
    /* Two pages at the end, on a page's boundary, in their order. */
    assert_int_equal(t.len % XC_PAGE_SIZE, 0);
    assert_string_equal((char *)t.data + t.len - 2 * XC_PAGE_SIZE, "five");
    assert_string_equal((char *)t.data + t.len - XC_PAGE_SIZE, "two thousand");

    /* A taker that has no room; at any point. */
    for (t.limit = 1; t.limit < t.len; t.limit += 997) {
        size_t len = t.len;

        t.len = 0;
        assert_int_equal(xc_domain_dumpcore_via_callback(xch, FAKE_DOMID, &t, take), -1);
        assert_int_equal(errno, ENOSPC);
        t.len = len;
    }
    assert_int_equal(xc_domain_dumpcore(xch, FAKE_DOMID, "/nowhere/at/all"), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(xc_domain_dumpcore_via_callback(xch, 3, &t, take), -1);
    assert_int_equal(errno, ESRCH);
    ring.enabled = 1;       /* PV */
    assert_int_equal(xc_domain_dumpcore_via_callback(xch, FAKE_DOMID, &t, take), -1);
    assert_int_equal(errno, EOPNOTSUPP);
    free(t.data);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_livepatch_list), T(test_livepatch_names), T(test_cpufreq), T(test_resource_op),
        T(test_translate_long_mode), T(test_translate_older_modes), T(test_monitor_enable),
        T(test_dump),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
