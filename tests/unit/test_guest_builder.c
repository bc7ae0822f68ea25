/* SPDX-License-Identifier: MIT */
/* The PVH builder over a fake host: what it puts where, and how it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

#include "tests/unit/fake_hypercall.h"

#include <xenguest.h>
#include <xen/arch-x86/hvm/start_info.h>

#include "tests/unit/kernel_images.h"

#define MB          (1ull << 20)
#define GB          (1ull << 30)
#define MMIO_START  0xfc000000ull
#define RSDP_GPA    (MMIO_START + 0x1e00)
#define CMDLINE     "console=hvc0 test=1"

/* A logger that keeps quiet, so that expected errors do not fill the test's output. */
static void no_message(xentoollog_logger *l, xentoollog_level level, int err, const char *context,
                       const char *format, va_list al)
{
}

static void no_progress(xentoollog_logger *l, const char *context, const char *doing, int percent,
                        unsigned long done, unsigned long total)
{
}

static void no_destroy(xentoollog_logger *l)
{
}

static xentoollog_logger quiet = { no_message, no_progress, no_destroy };

/* What a test builds. */
struct build {
    xc_interface *xch;
    struct xc_dom_image *dom;
    struct img kernel;
    uint64_t mem, target;    /* target 0: all of it */
    const void *ramdisk;
    size_t ramdisk_size;
    struct e820entry e820[3];
    uint8_t rsdp[36];
    uint8_t tables[0x300];
};

static void open_build(struct build *b, uint64_t mem)
{
    memset(b, 0, sizeof(*b));
    b->mem = mem;
    img_make(&b->kernel);
    memset(b->rsdp, 0x11, sizeof(b->rsdp));
    memset(b->tables, 0x22, sizeof(b->tables));
    b->xch = xc_interface_open(&quiet, &quiet, 0);
    assert_non_null(b->xch);
}

static void set_layout(struct build *b)
{
    struct xc_dom_image *dom = b->dom;

    dom->container_type = XC_DOM_HVM_CONTAINER;
    dom->max_vcpus = 2;
    dom->claim_enabled = 1;
    dom->console_domid = 3;
    dom->xenstore_domid = 4;
    dom->console_evtchn = 11;
    dom->xenstore_evtchn = 12;
    dom->mmio_start = MMIO_START;
    dom->mmio_size = 4 * GB - MMIO_START;
    dom->lowmem_end = b->mem < MMIO_START ? b->mem : MMIO_START;
    dom->highmem_end = b->mem > MMIO_START ? 4 * GB + b->mem - MMIO_START : 0;
    dom->target_pages = (b->target ? b->target : b->mem) >> XC_PAGE_SHIFT;
    dom->e820 = b->e820;
    dom->e820_entries = 2;
    b->e820[0] = (struct e820entry){ 0, dom->lowmem_end, E820_RAM };
    b->e820[1] = (struct e820entry){ MMIO_START, 0x2000, E820_ACPI };
    dom->acpi_modules[0].data = b->rsdp;
    dom->acpi_modules[0].length = sizeof(b->rsdp);
    dom->acpi_modules[0].guest_addr_out = RSDP_GPA;
    dom->acpi_modules[1].data = b->tables;
    dom->acpi_modules[1].length = sizeof(b->tables);
    dom->acpi_modules[1].guest_addr_out = MMIO_START + 0x1000;
}

/* All the steps, as libxl does them; 0, or -1 at the first that fails. */
static int run_build(struct build *b)
{
    b->dom = xc_dom_allocate(b->xch, CMDLINE, NULL);
    if (!b->dom) {
        return -1;
    }
    set_layout(b);
    if (xc_dom_kernel_mem(b->dom, b->kernel.bytes, IMG_SIZE) ||
        (b->ramdisk && xc_dom_module_mem(b->dom, b->ramdisk, b->ramdisk_size, "rd")) ||
        xc_dom_boot_xen_init(b->dom, b->xch, FAKE_DOMID) || xc_dom_parse_image(b->dom) ||
        xc_dom_mem_init(b->dom, (unsigned)(b->mem / MB)) || xc_dom_boot_mem_init(b->dom) ||
        xc_dom_build_image(b->dom) || xc_dom_boot_image(b->dom) ||
        xc_dom_gnttab_init(b->dom)) {
        return -1;
    }
    return 0;
}

static void close_build(struct build *b)
{
    xc_dom_release(b->dom);
    assert_int_equal(xc_interface_close(b->xch), 0);
    assert_int_equal(fake.buffers, 0);
    assert_int_equal(fake.maps, 0);
    fake_stop();
}

static void check_error(struct build *b, const char *cause)
{
    const xc_error *e = xc_get_last_error(b->xch);

    if (e->code == XC_ERROR_NONE || !strstr(e->message, cause)) {
        fail_msg("code %d, \"%s\" does not have \"%s\"", e->code, e->message, cause);
    }
}

static void check_text(uint64_t gpa, const char *text)
{
    char buf[128];

    assert_true(strlen(text) < sizeof(buf));
    fake_read(gpa, buf, strlen(text) + 1);
    assert_string_equal(buf, text);
}

static void check_kernel(const struct build *b)
{
    uint8_t page[0x1000];

    fake_read(0x100000, page, sizeof(page));
    assert_memory_equal(page, b->kernel.bytes + IMG_DATA, sizeof(page));
    fake_read(0x102000, page, sizeof(page));
    assert_memory_equal(page, b->kernel.bytes + IMG_DATA + 0x1000, sizeof(page));
}

static void check_vcpu(void)
{
    assert_true(fake.cpu_set);
    assert_int_equal(fake.cpu.rip, IMG_ENTRY);
    assert_int_equal(fake.cpu.cr0, 0x11);
    assert_int_equal(fake.cpu.cr4, 0);
    assert_int_equal(fake.cpu.msr_efer, 0);
    assert_int_equal(fake.cpu.cs_limit, ~0u);
    assert_int_equal(fake.cpu.cs_arbytes, 0xc9b);
    assert_int_equal(fake.cpu.ss_arbytes, 0xc93);
    assert_int_equal(fake.cpu.tr_limit, 0x67);
}

/* The start info and what it points to, as the guest would read them. */
static void check_start_info(const struct build *b, const void *module, size_t module_size)
{
    static uint8_t in_guest[256 * 1024];
    struct hvm_memmap_table_entry map[2];
    struct hvm_modlist_entry mod;
    struct hvm_start_info si;

    fake_read(fake.cpu.rbx, &si, sizeof(si));
    assert_int_equal(si.magic, XEN_HVM_START_MAGIC_VALUE);
    assert_int_equal(si.version, 1);
    assert_int_equal(si.rsdp_paddr, RSDP_GPA);
    check_text(si.cmdline_paddr, CMDLINE);
    assert_int_equal(si.memmap_entries, 2);
    fake_read(si.memmap_paddr, map, sizeof(map));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(map[i].addr, b->e820[i].addr);
        assert_int_equal(map[i].size, b->e820[i].size);
        assert_int_equal(map[i].type, b->e820[i].type);
        assert_int_equal(map[i].reserved, 0);
    }
    assert_int_equal(si.nr_modules, b->ramdisk ? 1 : 0);
    if (b->ramdisk) {
        fake_read(si.modlist_paddr, &mod, sizeof(mod));
        assert_int_equal(mod.size, module_size);
        assert_int_equal(mod.paddr % XC_PAGE_SIZE, 0);
        assert_true(mod.paddr >= 0x104000);
        check_text(mod.cmdline_paddr, "rd");
        assert_true(module_size <= sizeof(in_guest));
        fake_read(mod.paddr, in_guest, module_size);
        assert_memory_equal(in_guest, module, module_size);
    }
}

static void check_special(void)
{
    uint32_t pt[1024];
    uint8_t table[0x300], rsdp[36];

    assert_int_equal(fake.params[HVM_PARAM_STORE_PFN], 0xfeffc);
    assert_int_equal(fake.params[HVM_PARAM_CONSOLE_PFN], 0xfefff);
    assert_int_equal(fake.params[HVM_PARAM_CONSOLE_EVTCHN], 11);
    assert_int_equal(fake.params[HVM_PARAM_STORE_EVTCHN], 12);
    assert_int_equal(fake.params[HVM_PARAM_IDENT_PT], 0xfeffe000);
    fake_read(0xfeffe000, pt, sizeof(pt));
    assert_int_equal(pt[0], 0xe7);
    assert_int_equal(pt[1023], 0xffc000e7);
    fake_read(RSDP_GPA, rsdp, sizeof(rsdp));
    assert_int_equal(rsdp[35], 0x11);
    fake_read(MMIO_START + 0x1000, table, sizeof(table));
    assert_int_equal(table[0x2ff], 0x22);
    assert_int_equal(fake.grants[0].flags, GTF_permit_access);
    assert_int_equal(fake.grants[0].domid, 3);
    assert_int_equal(fake.grants[0].frame, 0xfefff);
    assert_int_equal(fake.grants[1].domid, 4);
    assert_int_equal(fake.grants[1].frame, 0xfeffc);
}

/* Frames that are there: memory below and above the hole, 8 special pages, 1 for ACPI. */
static void check_memory(const struct build *b)
{
    unsigned long pages = b->mem >> XC_PAGE_SHIFT;

    assert_int_equal(fake.pages, pages + 9);
    assert_int_equal(b->dom->total_pages, pages);
    assert_int_equal(fake.claimed, 0);
    for (unsigned long gfn = 0; gfn < FAKE_GFNS; gfn++) {
        bool ram = gfn < b->dom->lowmem_end >> 12 ||
                   (gfn >= 1 << 20 && gfn < b->dom->highmem_end >> 12);
        bool special = gfn >= 0xfeff8 && gfn < 0xff000;

        assert_int_equal(fake.populated[gfn], ram || special || gfn == 0xfc001);
    }
}

/* The ramdisk, and what the guest should find of it. */
static void build_and_check(uint64_t mem, const void *ramdisk, size_t size, const void *module,
                            size_t module_size)
{
    struct build b;

    open_build(&b, mem);
    b.ramdisk = ramdisk;
    b.ramdisk_size = size;
    if (run_build(&b)) {
        fail_msg("%s", xc_get_last_error(b.xch)->message);
    }
    check_kernel(&b);
    check_vcpu();
    check_start_info(&b, module, module_size);
    check_special();
    check_memory(&b);
    close_build(&b);
}

static void test_sizes(void **state)
{
    static const uint64_t sizes[] = {
        4 * MB, 160 * MB, 1 * GB, 3 * GB + 5 * MB, MMIO_START, 5 * GB + 64 * MB,
    };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fake_start();
        build_and_check(sizes[i], NULL, 0, NULL, 0);
    }
}

static void test_extents(void **state)
{
    fake_start();
    fake.no_large_pages = true;
    build_and_check(64 * MB, NULL, 0, NULL, 0);
    fake_start();
    build_and_check(3 * MB, NULL, 0, NULL, 0);
}

static struct { unsigned long target, claimed, on_demand, at_once; } pod;

static int on_pod(unsigned int nr, unsigned int cmd, void *arg)
{
    const struct xen_memory_reservation *r = arg;
    const struct xen_pod_target *t = arg;

    if (nr == __HYPERVISOR_memory_op && cmd == XENMEM_set_pod_target) {
        assert_int_equal(t->domid, FAKE_DOMID);
        pod.target = t->target_pages;
        pod.claimed = fake.claimed;
        return 0;
    }
    if (nr == __HYPERVISOR_memory_op && cmd == XENMEM_populate_physmap) {
        *(r->mem_flags & XENMEMF_populate_on_demand ? &pod.on_demand : &pod.at_once) +=
            r->nr_extents << r->extent_order;
    }
    return FAKE_PASS;
}

/* A guest that starts with less than its maximum: its RAM on demand, out of its claim. */
static void test_on_demand(void **state)
{
    struct build b;

    fake_start();
    memset(&pod, 0, sizeof(pod));
    fake.on_op = on_pod;
    open_build(&b, 64 * MB);
    b.target = 40 * MB;
    if (run_build(&b)) {
        fail_msg("%s", xc_get_last_error(b.xch)->message);
    }
    assert_int_equal(pod.target, 40 * MB >> XC_PAGE_SHIFT);
    assert_int_equal(pod.claimed, pod.target);
    assert_int_equal(pod.on_demand, 64 * MB >> XC_PAGE_SHIFT);
    assert_int_equal(pod.at_once, 9);
    check_memory(&b);
    close_build(&b);
    /* a host that cannot; what was claimed is given back */
    fake_start();
    open_build(&b, 64 * MB);
    b.target = 40 * MB;
    assert_int_equal(run_build(&b), -1);
    assert_int_equal(errno, ENOSYS);
    assert_int_equal(fake.claimed, 0);
    close_build(&b);
}

static void test_ramdisk(void **state)
{
    static uint8_t plain[100000], packed[sizeof(plain) * 2];
    z_stream z = { 0 };
    size_t len;

    for (size_t i = 0; i < sizeof(plain); i++) {
        plain[i] = (uint8_t)(i * i >> 7);
    }
    fake_start();
    build_and_check(16 * MB, plain, sizeof(plain), plain, sizeof(plain));
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
    z.next_in = plain;
    z.avail_in = sizeof(plain);
    z.next_out = packed;
    z.avail_out = sizeof(packed);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    len = z.total_out;
    deflateEnd(&z);
    fake_start();
    build_and_check(16 * MB, packed, len, plain, sizeof(plain));
    /* Damaged or followed by more: goes in as it is. */
    packed[len / 2] ^= 0x40;
    fake_start();
    build_and_check(16 * MB, packed, len, packed, len);
    packed[len / 2] ^= 0x40;
    memcpy(packed + len, packed, 64);
    fake_start();
    build_and_check(16 * MB, packed, len + 64, packed, len + 64);
}

static void expect_failure(struct build *b, const char *cause)
{
    errno = 0;
    assert_int_equal(run_build(b), -1);
    assert_int_not_equal(errno, 0);
    check_error(b, cause);
    close_build(b);
}

static void test_failures(void **state)
{
    static uint8_t big[3 * MB];
    struct build b;

    fake_start();
    open_build(&b, 64 * MB);
    b.kernel.bytes[0] = 0;
    expect_failure(&b, "not a kernel");

    fake_start();
    open_build(&b, 64 * MB);
    b.kernel.ph[IMG_SEGMENTS].p_type = PT_NULL;
    expect_failure(&b, "cannot start as PVH");

    fake_start();
    open_build(&b, 64 * MB);
    for (int i = 0; i < IMG_SEGMENTS; i++) {
        b.kernel.ph[i].p_paddr += 256 * MB;
    }
    img_put32(b.kernel.bytes + IMG_NOTES + 16, (uint32_t)(IMG_ENTRY + 256 * MB));
    expect_failure(&b, "does not fit into the guest's 64 MB");

    fake_start();
    open_build(&b, 3 * MB);
    b.ramdisk = big;
    b.ramdisk_size = sizeof(big);
    expect_failure(&b, "the ramdisk (3 MB at");

    fake_start();
    open_build(&b, 64 * MB);
    fake.max_pages = 1000;
    expect_failure(&b, "could not allocate memory for the guest");

    fake_start();
    open_build(&b, 64 * MB);
    fake.caps = "xen-3.0-x86_64 ";
    expect_failure(&b, "does not run guests of type hvm-3.0-x86_32");
}

static void test_files(void **state)
{
    char path[] = "/tmp/guest-builder-XXXXXX";
    struct xc_dom_image *dom;
    struct build b;
    int fd;

    fake_start();
    open_build(&b, 64 * MB);
    dom = b.dom = xc_dom_allocate(b.xch, NULL, NULL);
    assert_int_equal(xc_dom_kernel_file(dom, "/nonexistent/vmlinuz"), -1);
    check_error(&b, "/nonexistent/vmlinuz: No such file");
    assert_int_equal(xc_get_last_error(b.xch)->code, XC_INVALID_KERNEL);
    assert_int_equal(xc_dom_kernel_file(dom, "/tmp"), -1);
    check_error(&b, "not a regular file");
    assert_int_equal(xc_dom_module_file(dom, "/dev/zero", NULL), -1);
    check_error(&b, "not a regular file");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(xc_dom_kernel_file(dom, path), -1);
    check_error(&b, "has 0 bytes");
    assert_int_equal(write(fd, b.kernel.bytes, IMG_SIZE), IMG_SIZE);
    xc_dom_kernel_max_size(dom, IMG_SIZE - 1);
    assert_int_equal(xc_dom_kernel_file(dom, path), -1);
    check_error(&b, "bytes; 1 to");
    xc_dom_kernel_max_size(dom, IMG_SIZE);
    assert_int_equal(xc_dom_kernel_file(dom, path), 0);
    assert_memory_equal(dom->kernel_blob, b.kernel.bytes, IMG_SIZE);
    assert_int_equal(xc_dom_module_file(dom, path, NULL), 0);
    assert_int_equal(xc_dom_module_file(dom, path, NULL), 0);
    assert_int_equal(xc_dom_module_file(dom, path, NULL), -1);
    check_error(&b, "more than 2 modules");
    close(fd);
    unlink(path);
    close_build(&b);
}

/* Whichever call fails, the build fails cleanly and says something. */
static void test_every_call_fails(void **state)
{
    unsigned int n, failed = 0;

    for (n = 1; n < 1000; n++) {
        struct build b;
        int rc;

        fake_start();
        open_build(&b, 160 * MB);
        b.ramdisk = "some ramdisk";
        b.ramdisk_size = 12;
        fake.fail_at = n;
        fake.fail_errno = EPERM;
        rc = run_build(&b);
        if (fake.calls < n) {
            assert_int_equal(rc, 0);
            close_build(&b);
            break;
        }
        if (rc) {
            check_error(&b, "");
            failed++;
        }
        close_build(&b);
    }
    assert_true(n > 20 && n < 1000);
    /* Only giving a claim back, and large extents, may fail without harm. */
    assert_true(failed + 3 >= n - 1);
}

static const xen_cpuid_leaf_t *set_leaf(uint32_t leaf)
{
    for (uint32_t i = 0; i < fake.nr_set_leaves; i++) {
        if (fake.set_leaves[i].leaf == leaf) {
            return &fake.set_leaves[i];
        }
    }
    fail_msg("leaf %#x was not set", leaf);
    return NULL;
}

static void test_cpuid(void **state)
{
    char keep[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    struct xc_xend_cpuid xend[2] = { { .leaf = 1, .subleaf = XEN_CPUID_NO_SUBLEAF } };
    xc_interface *xch;

    xend[1].leaf = XEN_CPUID_INPUT_UNUSED;
    fake_start();
    xch = xc_interface_open(&quiet, &quiet, 0);
    assert_int_equal(xc_cpuid_apply_policy(xch, FAKE_DOMID, false, NULL, 0, true, false, false,
                                           NULL, NULL), 0);
    assert_int_equal(fake.nr_set_leaves, 6);
    /* No nested virtualisation. */
    assert_int_equal(set_leaf(1)->c, 0x80202001);
    assert_int_equal(set_leaf(1)->d, 0x1fcbfbff);
    assert_int_equal(set_leaf(0x80000001)->c, 1);
    /* Bit 31 is the first character. */
    keep[0] = '0';
    keep[31] = '0';
    keep[30] = '1';
    xend[0].policy[2] = keep;
    assert_int_equal(xc_cpuid_apply_policy(xch, FAKE_DOMID, false, NULL, 0, false, true, true,
                                           xend, NULL), 0);
    assert_int_equal(set_leaf(1)->c, 0x00202022);
    assert_int_equal(set_leaf(1)->d, 0x1fcbfbbf);
    assert_int_equal(set_leaf(0x80000007)->d, 0x100);
    keep[5] = '?';
    assert_int_equal(xc_cpuid_apply_policy(xch, FAKE_DOMID, false, NULL, 0, true, false, false,
                                           xend, NULL), -1);
    xend[0].leaf = 0x12345;
    assert_int_equal(xc_cpuid_apply_policy(xch, FAKE_DOMID, false, NULL, 0, true, false, false,
                                           xend, NULL), -1);
    assert_int_equal(xc_cpuid_apply_policy(xch, FAKE_DOMID + 1, false, NULL, 0, true, false,
                                           false, NULL, NULL), -1);
    assert_int_equal(fake.buffers, 0);
    xc_interface_close(xch);
    fake_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_extents),
        cmocka_unit_test(test_on_demand),
        cmocka_unit_test(test_ramdisk),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_every_call_fails),
        cmocka_unit_test(test_cpuid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
