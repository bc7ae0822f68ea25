/* SPDX-License-Identifier: MIT */
/*
 * Creating, changing and destroying domains, over a host in memory: the store's nodes are those
 * that a stock Xen host was seen to make, and a creation that fails, at whatever step, leaves
 * nothing.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <libxl.h>
#include <libxl_utils.h>
#include <xenctrl.h>

#include "tests/unit/libxl_fake.h"

static libxl_ctx *ctx;
static char dir[] = "/tmp/test-libxl-XXXXXX";
static char kernel[128];

/* ---- helpers */

static int files_left(void)
{
    char path[160];
    struct dirent *e;
    int n = 0;
    DIR *d;

    snprintf(path, sizeof(path), "%s/lib", dir);
    d = opendir(path);
    if (!d)
        return 0;
    while ((e = readdir(d)))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int domains_left(void)
{
    int n = 0;

    for (int i = 1; i < FAKE_DOMAINS; i++)
        n += fake.dom[i].exists;
    return n;
}

static void make_config(libxl_domain_config *c, const char *name)
{
    libxl_domain_config_init(c);
    c->c_info.type = LIBXL_DOMAIN_TYPE_PVH;
    c->c_info.name = strdup(name);
    libxl_uuid_from_string(&c->c_info.uuid, "124cefe4-ff5e-4d37-a65a-0a41ee62890c");
    libxl_defbool_set(&c->c_info.run_hotplug_scripts, true);
    libxl_domain_build_info_init_type(&c->b_info, LIBXL_DOMAIN_TYPE_PVH);
    c->b_info.max_vcpus = 1;
    c->b_info.max_memkb = c->b_info.target_memkb = 163840;
    c->b_info.kernel = strdup(kernel);
    c->b_info.cmdline = strdup("console=hvc0");
    libxl_defbool_set(&c->b_info.claim_mode, true);
    c->on_reboot = LIBXL_ACTION_ON_SHUTDOWN_RESTART;
}

static int create(const char *name, uint32_t *domid)
{
    libxl_domain_config c;
    int rc;

    make_config(&c, name);
    rc = libxl_domain_create_new(ctx, &c, domid, NULL, NULL);
    libxl_domain_config_dispose(&c);
    return rc;
}

static int setup(void **state)
{
    fake_reset();
    return libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &fake_logger);
}

static int teardown(void **state)
{
    libxl_ctx_free(ctx);
    ctx = NULL;
    return 0;
}

/* ---- creating */

/* A stock host's nodes with a PVH guest, less what is dom0's own; start_time differs. */
static const char *const captured[] = {
    "/libxl = \"\" (n0)",
    "/libxl/1 = \"\" (n0)",
    "/libxl/1/device = \"\" (n0)",
    "/libxl/1/device/console = \"\" (n0)",
    "/libxl/1/device/console/0 = \"\" (n0)",
    "/libxl/1/device/console/0/backend = \"/local/domain/0/backend/console/1/0\" (n0)",
    "/libxl/1/device/console/0/frontend = \"/local/domain/1/console\" (n0)",
    "/libxl/1/device/console/0/frontend-id = \"1\" (n0)",
    "/libxl/1/device/console/0/online = \"1\" (n0)",
    "/libxl/1/device/console/0/protocol = \"vt100\" (n0)",
    "/libxl/1/device/console/0/state = \"1\" (n0)",
    "/libxl/1/dm-version = \"qemu_xen\" (n0)",
    "/libxl/1/type = \"pvh\" (n0)",
    "/local = \"\" (n0)",
    "/local/domain = \"\" (n0)",
    "/local/domain/0 = \"\" (n0)",
    "/local/domain/0/backend = \"\" (n0)",
    "/local/domain/0/backend/console = \"\" (n0)",
    "/local/domain/0/backend/console/1 = \"\" (n0)",
    "/local/domain/0/backend/console/1/0 = \"\" (n0,r1)",
    "/local/domain/0/backend/console/1/0/frontend = \"/local/domain/1/console\" (n0,r1)",
    "/local/domain/0/backend/console/1/0/frontend-id = \"1\" (n0,r1)",
    "/local/domain/0/backend/console/1/0/online = \"1\" (n0,r1)",
    "/local/domain/0/backend/console/1/0/protocol = \"vt100\" (n0,r1)",
    "/local/domain/0/backend/console/1/0/state = \"1\" (n0,r1)",
    "/local/domain/0/name = \"Domain-0\" (n0)",
    "/local/domain/1 = \"\" (n0,r1)",
    "/local/domain/1/attr = \"\" (n1)",
    "/local/domain/1/console = \"\" (n0,r1)",
    "/local/domain/1/console/backend = \"/local/domain/0/backend/console/1/0\" (n0,r1)",
    "/local/domain/1/console/backend-id = \"0\" (n1,r0)",
    "/local/domain/1/console/limit = \"1048576\" (n0,r1)",
    "/local/domain/1/console/output = \"pty\" (n0,r1)",
    "/local/domain/1/console/port = \"2\" (n0,r1)",
    "/local/domain/1/console/ring-ref = \"1044479\" (n0,r1)",
    "/local/domain/1/console/tty = \"/dev/pts/7\" (n0,r1)",
    "/local/domain/1/console/type = \"xenconsoled\" (n0,r1)",
    "/local/domain/1/control = \"\" (n0,r1)",
    "/local/domain/1/control/feature-poweroff = \"\" (n1)",
    "/local/domain/1/control/feature-reboot = \"\" (n1)",
    "/local/domain/1/control/feature-suspend = \"\" (n1)",
    "/local/domain/1/control/platform-feature-multiprocessor-suspend = \"1\" (n0,r1)",
    "/local/domain/1/control/platform-feature-xs_reset_watches = \"1\" (n0,r1)",
    "/local/domain/1/control/shutdown = \"\" (n1)",
    "/local/domain/1/control/sysrq = \"\" (n1)",
    "/local/domain/1/cpu = \"\" (n0,r1)",
    "/local/domain/1/cpu/0 = \"\" (n0,r1)",
    "/local/domain/1/cpu/0/availability = \"online\" (n0,r1)",
    "/local/domain/1/data = \"\" (n1)",
    "/local/domain/1/device = \"\" (n0,r1)",
    "/local/domain/1/device/suspend = \"\" (n0,r1)",
    "/local/domain/1/device/suspend/event-channel = \"\" (n1)",
    "/local/domain/1/domid = \"1\" (n0,r1)",
    "/local/domain/1/drivers = \"\" (n1)",
    "/local/domain/1/error = \"\" (n1)",
    "/local/domain/1/feature = \"\" (n1)",
    "/local/domain/1/memory = \"\" (n0,r1)",
    "/local/domain/1/memory/static-max = \"163840\" (n0,r1)",
    "/local/domain/1/memory/target = \"163840\" (n0,r1)",
    "/local/domain/1/memory/videoram = \"0\" (n0,r1)",
    "/local/domain/1/name = \"pvh1\" (n0,r1)",
    "/local/domain/1/store = \"\" (n0,r1)",
    "/local/domain/1/store/port = \"1\" (n0,r1)",
    "/local/domain/1/store/ring-ref = \"1044476\" (n0,r1)",
    "/local/domain/1/vm = \"/vm/124cefe4-ff5e-4d37-a65a-0a41ee62890c\" (n0,r1)",
    "/tool = \"\" (n0)",
    "/tool/xenstored = \"\" (n0)",
    "/vm = \"\" (n0)",
    "/vm/124cefe4-ff5e-4d37-a65a-0a41ee62890c = \"\" (n0,r1)",
    "/vm/124cefe4-ff5e-4d37-a65a-0a41ee62890c/name = \"pvh1\" (n0,r1)",
    "/vm/124cefe4-ff5e-4d37-a65a-0a41ee62890c/start_time = *",
    "/vm/124cefe4-ff5e-4d37-a65a-0a41ee62890c/uuid = \"124cefe4-ff5e-4d37-a65a-0a41ee62890c\" (n0,r1)",
};

static void test_store_as_captured(void **state)
{
    uint32_t domid;
    char *dump, *line, *save;
    size_t i = 0;

    assert_int_equal(create("pvh1", &domid), 0);
    assert_int_equal(domid, 1);
    dump = fake_store_dump();
    for (line = strtok_r(dump, "\n", &save); line; line = strtok_r(NULL, "\n", &save), i++) {
        assert_true(i < sizeof(captured) / sizeof(captured[0]));
        if (strchr(captured[i], '*'))
            assert_memory_equal(line, captured[i], strlen(captured[i]) - 1);
        else
            assert_string_equal(line, captured[i]);
    }
    assert_int_equal(i, sizeof(captured) / sizeof(captured[0]));
    free(dump);
    assert_true(fake.dom[1].introduced);
    assert_int_equal(fake.dom[1].params[2], 1);  /* HVM_PARAM_STORE_EVTCHN */
    assert_int_equal(fake.dom[1].params[18], 2); /* HVM_PARAM_CONSOLE_EVTCHN */
    assert_int_equal(fake.dom[1].map_entries, 3);
    assert_int_equal(fake.images, 0);
    assert_int_equal(libxl_domain_destroy(ctx, 1, NULL), 0);
    assert_int_equal(files_left(), 0);
}

static void test_every_failure_cleans_up(void **state)
{
    char *before = fake_store_dump();
    unsigned total = 0, tolerated = 0;
    uint32_t domid;

    for (int i = 0; i < 2; i++) { /* the first also opens the store */
        fake_fail(0);
        assert_int_equal(create("pvh1", &domid), 0);
        total = fake.calls;
        assert_int_equal(libxl_domain_destroy(ctx, domid, NULL), 0);
    }
    assert_true(total > 100);

    for (unsigned n = 1; n <= total; n++) {
        char *after;
        int rc;

        fake_fail(n);
        domid = 77;
        rc = create("pvh1", &domid);
        assert_true(fake.failed);
        fake_fail(0);
        if (!rc) { /* what failed was something a domain can do without */
            tolerated++;
            assert_int_equal(libxl_domain_destroy(ctx, domid, NULL), 0);
        } else {
            assert_int_equal(domid, ~0u);
            if (!fake_log[0])
                fail_msg("%s failed, and nothing was said", fake.failed_call);
        }
        after = fake_store_dump();
        if (strcmp(before, after) || domains_left() || files_left() || fake.images)
            fail_msg("call %u (%s) failed, rc %d, and left behind: %d domains, %d files, "
                     "%d images%s and in the store\n%s", n, fake.failed_call, rc, domains_left(), files_left(),
                     fake.images, fake_log, after);
        free(after);
        fake_log[0] = 0;
    }
    assert_true(tolerated < 12);
    free(before);
}

static void test_no_console(void **state)
{
    /* nobody answers: aborted rather than waited for, which would take ten seconds */
    libxl_asyncop_how how = { .callback = NULL, .u.for_event = 9 };
    char *before = fake_store_dump(), *after;
    libxl_domain_config c;
    libxl_event *event;
    uint32_t domid;

    fake.tty_appears = false;
    make_config(&c, "pvh1");
    assert_int_equal(libxl_domain_create_new(ctx, &c, &domid, &how, NULL), 0);
    assert_int_equal(domains_left(), 1);
    assert_int_equal(libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL),
                     ERROR_NOT_READY);
    assert_int_equal(libxl_ao_abort(ctx, &how), 0);
    assert_int_equal(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL), 0);
    assert_int_equal(event->type, LIBXL_EVENT_TYPE_OPERATION_COMPLETE);
    assert_int_equal(event->for_user, 9);
    assert_int_equal(event->u.operation_complete.rc, ERROR_ABORTED);
    libxl_event_free(ctx, event);
    after = fake_store_dump();
    assert_string_equal(before, after);
    assert_int_equal(domains_left(), 0);
    assert_int_equal(files_left(), 0);
    free(before);
    free(after);
    libxl_domain_config_dispose(&c);
}

/* A program that is killed while its domain waits for a console. */
static void test_killed_half_way(void **state)
{
    char *before = fake_store_dump(), *after;
    libxl_asyncop_how how = { .callback = NULL };
    struct fake_domain half;
    libxl_domain_config c;
    libxl_ctx *other;
    uint32_t domid;
    int status;
    pid_t pid;

    fake.tty_appears = false;
    make_config(&c, "pvh1");
    assert_int_equal(libxl_domain_create_new(ctx, &c, &domid, &how, NULL), 0);
    half = fake.dom[1];
    /* it is alive: nobody touches what it makes */
    pid = fork();
    if (!pid) {
        if (libxl_ctx_alloc(&other, LIBXL_VERSION, 0, &fake_logger) || !fake.dom[1].exists)
            _exit(1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(files_left() > 1);

    /* it dies: its locks go, as closing its files does here */
    for (int fd = 3; fd < 64; fd++) {
        char link[64], target[256];
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = 0;
        if (strstr(target, "/creating."))
            close(fd);
    }
    assert_int_equal(libxl_ctx_alloc(&other, LIBXL_VERSION, 0, &fake_logger), 0);
    assert_false(fake.dom[1].exists);
    assert_int_equal(files_left(), 0);
    after = fake_store_dump();
    assert_string_equal(before, after);
    libxl_ctx_free(other);

    /* the dead program's own end, so that nothing leaks: its domain is gone already */
    fake.dom[1] = half;
    libxl_ao_abort(ctx, &how);
    libxl_domain_config_dispose(&c);
    free(before);
    free(after);
}

struct progress {
    int console, done, rc;
};

static void on_console(libxl_ctx *c, libxl_event *event, void *user)
{
    struct progress *p = user;

    assert_int_equal(event->type, LIBXL_EVENT_TYPE_DOMAIN_CREATE_CONSOLE_AVAILABLE);
    assert_int_equal(event->domid, 1);
    assert_false(p->done);
    p->console++;
    libxl_event_free(c, event);
}

static void on_done(libxl_ctx *c, int rc, void *user)
{
    struct progress *p = user;

    p->rc = rc;
    p->done++;
}

static void test_callbacks(void **state)
{
    struct progress p = { 0 };
    libxl_asyncop_how how = { .callback = on_done, .u.for_callback = &p };
    libxl_asyncprogress_how console = { .callback = on_console, .for_callback = &p };
    libxl_domain_config c;
    uint32_t domid;

    make_config(&c, "pvh1");
    assert_int_equal(libxl_domain_create_new(ctx, &c, &domid, &how, &console), 0);
    while (!p.done) {
        struct pollfd fds[8];
        struct timeval now;
        int n = 8, timeout = -1;

        gettimeofday(&now, NULL);
        assert_int_equal(libxl_osevent_beforepoll(ctx, &n, fds, &timeout, now), 0);
        assert_true(timeout > 0 && timeout <= 10000);
        assert_true(poll(fds, (nfds_t)n, timeout) > 0);
        gettimeofday(&now, NULL);
        libxl_osevent_afterpoll(ctx, n, fds, now);
    }
    assert_int_equal(p.done, 1);
    assert_int_equal(p.console, 1);
    assert_int_equal(p.rc, 0);
    assert_int_equal(domid, 1);
    libxl_domain_config_dispose(&c);
    assert_int_equal(libxl_domain_destroy(ctx, 1, NULL), 0);
}

/* ---- what is refused, and how it is said */

static void spoil(libxl_domain_config *c, int how)
{
    switch (how) {
    case 0: c->c_info.name[0] = 0; break;
    case 1: c->c_info.name[1] = '/'; break;
    case 2:
        free(c->c_info.name);
        c->c_info.name = malloc(302);
        memset(c->c_info.name, 'x', 301);
        c->c_info.name[301] = 0;
        break;
    case 3: c->b_info.max_vcpus = 129; break;
    case 4: c->b_info.max_vcpus = -1; break;
    case 5: c->b_info.max_memkb = 1 << 30; c->b_info.target_memkb = 1 << 30; break;
    case 6: c->b_info.target_memkb = c->b_info.max_memkb + 4; break;
    case 7: strcpy(c->b_info.kernel, "/nonexisting"); break;
    case 8: strcpy(c->b_info.kernel, "/tmp"); break;
    case 9: free(c->b_info.kernel); c->b_info.kernel = NULL; break;
    case 10: c->b_info.ramdisk = strdup("/nonexisting"); break;
    case 11: c->c_info.type = LIBXL_DOMAIN_TYPE_HVM; break;
    case 12: c->num_disks = 1; c->disks = calloc(1, sizeof(*c->disks)); break;
    case 13: c->b_info.bootloader = strdup("pygrub"); break;
    case 14: c->c_info.pool_name = strdup("nopool"); break;
    case 15: strcpy(c->b_info.kernel, "/dev/null"); break;
    case 16: c->b_info.max_memkb = 512; c->b_info.target_memkb = 512; break;
    case 17: strcpy(c->c_info.name, "Domain-0"); break;
    case 18: libxl_defbool_set(&c->b_info.u.pvh.pvshim, true); break;
    case 19:
        libxl_defbool_set(&c->b_info.u.pvh.pvshim, true);
        c->b_info.u.pvh.pvshim_path = strdup("/nonexisting");
        break;
    }
}

static const struct {
    int rc;
    const char *says;
} refusals[] = {
    { ERROR_INVAL, "a domain needs a name" },
    { ERROR_INVAL, "cannot contain \"/\"" },
    { ERROR_INVAL, "301 characters" },
    { ERROR_INVAL, "129 vCPUs" },
    { ERROR_INVAL, "-1 vCPUs" },
    { ERROR_NOMEM, "only 1024 MiB are free" },
    { ERROR_INVAL, "more than maxmem" },
    { ERROR_INVAL, "kernel /nonexisting: No such file" },
    { ERROR_INVAL, "kernel /tmp: not a regular file" },
    { ERROR_INVAL, "needs a kernel" },
    { ERROR_INVAL, "ramdisk /nonexisting" },
    { ERROR_INVAL, "type hvm are not offered" },
    { ERROR_NI, "disk devices need a backend" },
    { ERROR_INVAL, "bootloaders are not offered" },
    { ERROR_INVAL, "no CPU pool \"nopool\"" },
    { ERROR_INVAL, "kernel /dev/null: not a regular file" },
    { ERROR_INVAL, "512 KiB of memory" },
    { ERROR_INVAL, "is in use by domain 0" },
    { ERROR_INVAL, "boot/xen-shim: No such file" },
    { ERROR_INVAL, "shim /nonexisting: No such file" },
};

static void test_refusals(void **state)
{
    for (int i = 0; i < (int)(sizeof(refusals) / sizeof(refusals[0])); i++) {
        libxl_domain_config c;
        uint32_t domid = 5;
        int rc;

        make_config(&c, "some-name");
        spoil(&c, i);
        fake_log[0] = 0;
        rc = libxl_domain_create_new(ctx, &c, &domid, NULL, NULL);
        if (rc != refusals[i].rc || !strstr(fake_log, refusals[i].says) || domid != ~0u)
            fail_msg("refusal %d: rc %d, domid %u, \"%s\"", i, rc, domid, fake_log);
        assert_int_equal(domains_left(), 0);
        libxl_domain_config_dispose(&c);
    }
}

/* What is loaded, in which order, with which command line. */
static void check_loads(const libxl_domain_config *c, const char *wanted, ...)
{
    char expected[1024];
    uint32_t domid;
    va_list ap;

    va_start(ap, wanted);
    vsnprintf(expected, sizeof(expected), wanted, ap);
    va_end(ap);
    assert_int_equal(libxl_domain_create_new(ctx, (libxl_domain_config *)(uintptr_t)c, &domid, NULL, NULL), 0);
    assert_string_equal(fake.loads, expected);
    assert_int_equal(libxl_domain_destroy(ctx, domid, NULL), 0);
}

static void test_shim_is_loaded_first(void **state)
{
    libxl_domain_config c;
    char shim[160];
    FILE *f;

    snprintf(shim, sizeof(shim), "%s.shim", kernel);
    f = fopen(shim, "w");
    assert_non_null(f);
    fputs("shim", f);
    fclose(f);

    make_config(&c, "plain");
    c.b_info.ramdisk = strdup(kernel);
    check_loads(&c, "image \"console=hvc0\"\nkernel %s \"\"\nmodule %s \"\"\n", kernel, kernel);
    libxl_domain_config_dispose(&c);

    make_config(&c, "shimmed");
    c.b_info.ramdisk = strdup(kernel);
    libxl_defbool_set(&c.b_info.u.pvh.pvshim, true);
    c.b_info.u.pvh.pvshim_path = strdup(shim);
    c.b_info.u.pvh.pvshim_extra = strdup("loglvl=all");
    check_loads(&c, "image \"pv-shim console=xen,pv loglvl=all\"\nkernel %s \"\"\nmodule %s \"console=hvc0\"\n"
                "module %s \"\"\n", shim, kernel, kernel);
    libxl_domain_config_dispose(&c);

    make_config(&c, "own-cmdline");
    libxl_defbool_set(&c.b_info.u.pvh.pvshim, true);
    c.b_info.u.pvh.pvshim_path = strdup(shim);
    c.b_info.u.pvh.pvshim_cmdline = strdup("pv-shim sched=null");
    check_loads(&c, "image \"pv-shim sched=null\"\nkernel %s \"\"\nmodule %s \"console=hvc0\"\n", shim, kernel);
    libxl_domain_config_dispose(&c);
    unlink(shim);
}

static void test_builder_causes_are_told(void **state)
{
    static const char *const steps[] = { "xc_dom_kernel_file", "xc_dom_parse_image",
                                         "xc_dom_boot_mem_init", "xc_dom_build_image",
                                         "xc_dom_boot_image" };
    char *before = fake_store_dump();

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        char *after, says[80];
        uint32_t domid;

        fake.builder_fails = steps[i];
        assert_int_equal(create("x", &domid), ERROR_FAIL);
        snprintf(says, sizeof(says), "the cause that %s gives", steps[i]);
        assert_non_null(strstr(fake_log, says));
        after = fake_store_dump();
        assert_string_equal(before, after);
        free(after);
    }
    free(before);
}

/* ---- living with domains */

static void test_config_kept_and_merged(void **state)
{
    libxl_domain_config c;
    libxl_bitmap two;
    uint32_t domid;

    make_config(&c, "pvh1");
    c.b_info.max_vcpus = 4;
    assert_int_equal(libxl_domain_create_new(ctx, &c, &domid, NULL, NULL), 0);
    libxl_domain_config_dispose(&c);

    assert_int_equal(libxl_set_memory_target(ctx, domid, -40960, 1, 1), 0);
    assert_string_equal(fake_store_get("/local/domain/1/memory/target"), "122880");
    assert_int_equal(fake.dom[1].max_memkb, 122880 + 1024);
    assert_int_equal(libxl_set_memory_target(ctx, domid, 163844, 0, 1), ERROR_INVAL);
    assert_int_equal(libxl_domain_setmaxmem(ctx, domid, 200000), 0);
    assert_int_equal(libxl_domain_setmaxmem(ctx, domid, 100), ERROR_FAIL);
    libxl_bitmap_init(&two);
    libxl_bitmap_alloc(ctx, &two, 8);
    libxl_bitmap_set(&two, 0);
    libxl_bitmap_set(&two, 2);
    assert_int_equal(libxl_set_vcpuonline(ctx, domid, &two, NULL), 0);
    assert_string_equal(fake_store_get("/local/domain/1/cpu/2/availability"), "online");
    assert_string_equal(fake_store_get("/local/domain/1/cpu/1/availability"), "offline");
    libxl_bitmap_set(&two, 4);
    assert_int_equal(libxl_set_vcpuonline(ctx, domid, &two, NULL), ERROR_INVAL);
    assert_int_equal(libxl_domain_rename(ctx, domid, "other", "x"), ERROR_INVAL);
    assert_int_equal(libxl_domain_rename(ctx, domid, "pvh1", "Domain-0"), ERROR_INVAL);
    assert_int_equal(libxl_domain_rename(ctx, domid, "pvh1", "renamed"), 0);

    libxl_domain_config_init(&c);
    assert_int_equal(libxl_retrieve_domain_configuration(ctx, domid, &c, NULL), 0);
    assert_string_equal(c.c_info.name, "renamed");
    assert_int_equal(c.b_info.target_memkb, 122880);
    assert_int_equal(c.b_info.max_memkb, 200000);
    assert_int_equal(c.b_info.max_vcpus, 4);
    libxl_bitmap_reset(&two, 4);
    assert_true(libxl_bitmap_equal(&c.b_info.avail_vcpus, &two, 0));
    assert_int_equal(c.b_info.sched_params.sched, LIBXL_SCHEDULER_CREDIT2);
    assert_int_equal(c.b_info.sched_params.weight, 256);
    assert_int_equal(c.b_info.video_memkb, 0);
    assert_int_equal(c.on_reboot, LIBXL_ACTION_ON_SHUTDOWN_RESTART);
    libxl_domain_config_dispose(&c);
    libxl_bitmap_dispose(&two);
    assert_int_equal(libxl_domain_destroy(ctx, domid, NULL), 0);
    assert_int_equal(files_left(), 0);
}

static void test_preserve(void **state)
{
    libxl_domain_create_info info;
    libxl_domain_config c;
    libxl_uuid uuid;
    uint32_t domid;

    assert_int_equal(create("guest", &domid), 0);
    assert_int_equal(libxl_userdata_store(ctx, domid, "mine", (const uint8_t *)"abc", 3), 0);
    libxl_domain_create_info_init(&info);
    info.name = strdup("guest");
    libxl_uuid_generate(&uuid);
    assert_int_equal(libxl_domain_preserve(ctx, domid, &info, "-dead", uuid), 0);
    assert_string_equal(fake_store_get("/local/domain/1/name"), "guest-dead");
    libxl_domain_config_init(&c);
    assert_int_equal(libxl_retrieve_domain_configuration(ctx, domid, &c, NULL), 0);
    assert_int_equal(libxl_uuid_compare(&c.c_info.uuid, &uuid), 0);
    libxl_domain_config_dispose(&c);
    libxl_domain_create_info_dispose(&info);
    assert_int_equal(libxl_domain_destroy(ctx, domid, NULL), 0);
    assert_int_equal(files_left(), 0);
}

static void test_userdata(void **state)
{
    uint8_t *data;
    uint32_t domid;
    int len;

    assert_int_equal(create("guest", &domid), 0);
    assert_int_equal(libxl_userdata_retrieve(ctx, domid, "x", &data, &len), 0);
    assert_null(data);
    assert_int_equal(len, 0);
    assert_int_equal(libxl_userdata_store(ctx, domid, "x", (const uint8_t *)"a\0b", 3), 0);
    assert_int_equal(libxl_userdata_retrieve(ctx, domid, "x", &data, &len), 0);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "a\0b", 3);
    free(data);
    assert_int_equal(libxl_userdata_store(ctx, domid, "../x", (const uint8_t *)"a", 1), ERROR_FAIL);
    assert_int_equal(libxl_userdata_unlink(ctx, domid, "x"), 0);
    assert_int_equal(libxl_userdata_retrieve(ctx, domid, "x", &data, &len), 0);
    assert_null(data);
    assert_int_not_equal(libxl_userdata_store(ctx, 6, "x", (const uint8_t *)"a", 1), 0);
    assert_int_equal(libxl_domain_destroy(ctx, domid, NULL), 0);
    assert_int_equal(files_left(), 0);
}

static void test_death_events(void **state)
{
    libxl_evgen_domain_death *ev = NULL;
    libxl_event *event;
    uint32_t domid;

    assert_int_equal(create("guest", &domid), 0);
    assert_int_equal(libxl_evenable_domain_death(ctx, domid, 42, &ev), 0);
    fake_domain_ends(domid, LIBXL_SHUTDOWN_REASON_REBOOT);
    assert_int_equal(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL), 0);
    assert_int_equal(event->type, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN);
    assert_int_equal(event->u.domain_shutdown.shutdown_reason, LIBXL_SHUTDOWN_REASON_REBOOT);
    assert_int_equal(event->for_user, 42);
    libxl_event_free(ctx, event);
    fake_domain_ends(domid, -1);
    assert_int_equal(libxl_event_wait(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL), 0);
    assert_int_equal(event->type, LIBXL_EVENT_TYPE_DOMAIN_DEATH);
    libxl_event_free(ctx, event);
    libxl_evdisable_domain_death(ctx, ev);
}

/* A main loop of the program's own, as libvirt has one. */
static struct {
    int fd;
    void *for_libxl;
    bool timer;
    struct timeval when;
    void *timer_for_libxl;
} loop = { .fd = -1 };

static int hook_fd_register(void *user, int fd, void **reg, short events, void *for_libxl)
{
    loop.fd = fd;
    loop.for_libxl = for_libxl;
    *reg = &loop;
    return 0;
}

static int hook_fd_modify(void *user, int fd, void **reg, short events)
{
    return 0;
}

static void hook_fd_deregister(void *user, int fd, void *reg)
{
    assert_ptr_equal(reg, &loop);
    loop.fd = -1;
}

static int hook_timeout_register(void *user, void **reg, struct timeval abs, void *for_libxl)
{
    loop.timer = true;
    loop.when = abs;
    loop.timer_for_libxl = for_libxl;
    return 0;
}

static int hook_timeout_modify(void *user, void **reg, struct timeval abs)
{
    assert_int_equal(abs.tv_sec, 0);
    loop.when = abs;
    return 0;
}

static const libxl_osevent_hooks hooks = {
    .fd_register = hook_fd_register,
    .fd_modify = hook_fd_modify,
    .fd_deregister = hook_fd_deregister,
    .timeout_register = hook_timeout_register,
    .timeout_modify = hook_timeout_modify,
};

static void test_hooks(void **state)
{
    struct progress p = { 0 };
    libxl_asyncop_how how = { .callback = on_done, .u.for_callback = &p };
    libxl_domain_config c;
    uint32_t domid;

    libxl_osevent_register_hooks(ctx, &hooks, NULL);
    fake.tty_appears = false;
    make_config(&c, "pvh1");
    assert_int_equal(libxl_domain_create_new(ctx, &c, &domid, &how, NULL), 0);
    assert_true(loop.fd >= 0 && loop.timer);
    libxl_osevent_occurred_fd(ctx, loop.for_libxl, loop.fd, POLLIN, POLLIN);
    assert_false(p.done);
    fake_store_set("/local/domain/1/console/tty", "/dev/pts/1");
    libxl_osevent_occurred_fd(ctx, loop.for_libxl, loop.fd, POLLIN, POLLIN);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.rc, 0);
    assert_int_equal(loop.fd, -1);
    /* the timer is no longer wanted: due at once, and nothing comes of it */
    assert_int_equal(loop.when.tv_sec, 0);
    libxl_osevent_occurred_timeout(ctx, loop.timer_for_libxl);
    assert_int_equal(domains_left(), 1);

    /* and one that is wanted */
    p.done = 0;
    free(c.c_info.name);
    c.c_info.name = strdup("pvh2");
    libxl_uuid_generate(&c.c_info.uuid);
    assert_int_equal(libxl_domain_create_new(ctx, &c, &domid, &how, NULL), 0);
    libxl_osevent_occurred_timeout(ctx, loop.timer_for_libxl);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.rc, ERROR_TIMEDOUT);
    assert_non_null(strstr(fake_log, "is xenconsoled running?"));
    assert_int_equal(domains_left(), 1);
    libxl_domain_config_dispose(&c);
    assert_int_equal(libxl_domain_destroy(ctx, 1, NULL), 0);
}

static void test_ops(void **state)
{
    libxl_domain_sched_params sp;
    libxl_dominfo info;
    uint32_t domid, found;
    libxl_vcpuinfo *vcpus;
    int n, cpus;

    assert_int_equal(create("guest", &domid), 0);
    assert_int_equal(libxl_name_to_domid(ctx, "guest", &found), 0);
    assert_int_equal(found, domid);
    assert_int_equal(libxl_domain_qualifier_to_domid(ctx, "12", &found), 0);
    assert_int_equal(found, 12);
    assert_int_equal(libxl_domain_qualifier_to_domid(ctx, "none", &found), ERROR_INVAL);

    assert_int_equal(libxl_domain_unpause(ctx, domid, NULL), 0);
    libxl_dominfo_init(&info);
    assert_int_equal(libxl_domain_info(ctx, &info, domid), 0);
    assert_false(info.paused);
    assert_int_equal(info.domain_type, LIBXL_DOMAIN_TYPE_PVH);
    assert_int_equal(info.shutdown_reason, LIBXL_SHUTDOWN_REASON_UNKNOWN);
    libxl_dominfo_dispose(&info);
    assert_int_equal(libxl_domain_pause(ctx, 6, NULL), ERROR_DOMAIN_NOTFOUND);
    assert_int_equal(libxl_domain_destroy(ctx, 6, NULL), ERROR_DOMAIN_NOTFOUND);
    assert_int_equal(libxl_domain_destroy(ctx, 0, NULL), ERROR_INVAL);

    assert_int_equal(libxl_domain_shutdown(ctx, domid, NULL), ERROR_NOPARAVIRT);
    fake_store_set("/local/domain/1/control/feature-poweroff", "1");
    assert_int_equal(libxl_domain_shutdown(ctx, domid, NULL), 0);
    assert_string_equal(fake_store_get("/local/domain/1/control/shutdown"), "poweroff");
    assert_int_equal(libxl_domain_core_dump(ctx, domid, "/here/core", NULL), 0);
    assert_string_equal(fake.dumped_to, "/here/core");
    assert_int_equal(libxl_domain_core_dump(ctx, 6, "/here/core", NULL), ERROR_DOMAIN_NOTFOUND);
    fake_fail(2);
    assert_int_equal(libxl_domain_core_dump(ctx, domid, "/here/core", NULL), ERROR_FAIL);
    fake_fail(0);
    assert_int_equal(libxl_send_sysrq(ctx, domid, 'h'), 0);
    assert_string_equal(fake_store_get("/local/domain/1/control/sysrq"), "h");

    libxl_domain_sched_params_init(&sp);
    sp.weight = 512;
    assert_int_equal(libxl_domain_sched_params_set(ctx, domid, &sp), 0);
    assert_int_equal(fake.dom[1].weight, 512);
    sp.weight = 70000;
    assert_int_equal(libxl_domain_sched_params_set(ctx, domid, &sp), ERROR_INVAL);
    libxl_domain_sched_params_dispose(&sp);

    vcpus = libxl_list_vcpu(ctx, domid, &n, &cpus);
    assert_non_null(vcpus);
    assert_int_equal(n, 1);
    assert_int_equal(cpus, 4);
    libxl_vcpuinfo_list_free(vcpus, n);
    assert_int_equal(libxl_domain_destroy(ctx, domid, NULL), 0);
}

static void test_console_ring(void **state)
{
    libxl_xen_console_reader *cr = libxl_xen_console_read_start(ctx, 0);
    char *line;

    assert_int_equal(libxl_xen_console_read_line(ctx, cr, &line), 1);
    assert_string_equal(line, "first line\n");
    assert_int_equal(libxl_xen_console_read_line(ctx, cr, &line), 1);
    assert_int_equal(libxl_xen_console_read_line(ctx, cr, &line), 1);
    assert_string_equal(line, "no newline");
    assert_int_equal(libxl_xen_console_read_line(ctx, cr, &line), 0);
    libxl_xen_console_read_finish(ctx, cr);
}

static int group_setup(void **state)
{
    FILE *f;

    if (!mkdtemp(dir))
        return -1;
    setenv("KRYPTON_RUNDIR", dir, 1);
    snprintf(kernel, sizeof(kernel), "%s/kernel-image", dir);
    f = fopen(kernel, "w");
    fputs("not looked at", f);
    fclose(f);
    return 0;
}

static int group_teardown(void **state)
{
    char lib[160];

    snprintf(lib, sizeof(lib), "%s/lib", dir);
    unlink(kernel);
    rmdir(lib);
    return rmdir(dir); /* nothing else is left in it */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_store_as_captured),   T(test_every_failure_cleans_up),
        T(test_no_console),          T(test_killed_half_way),
        T(test_callbacks),
        T(test_refusals), T(test_shim_is_loaded_first),            T(test_builder_causes_are_told),
        T(test_config_kept_and_merged), T(test_preserve),
        T(test_userdata),            T(test_death_events),
        T(test_hooks),               T(test_ops),
        T(test_console_ring),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
