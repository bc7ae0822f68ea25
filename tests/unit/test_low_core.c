/* SPDX-License-Identifier: MIT */
/*
 * The low libraries against the real core, domain 0 talking to itself: what needs no guest. Each
 * test has a kryptond of its own in a directory of its own.
 */
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <xen/memory.h>
#include <xen/version.h>

#include "include/xencall.h"
#include "include/xenevtchn.h"
#include "include/xenforeignmemory.h"
#include "include/xengnttab.h"
#include "include/xenhypfs.h"
#include "include/xentoollog.h"

struct fixture {
    char dir[64];
    pid_t core;
    xentoollog_logger *lg;
    xenevtchn_handle *a, *b;
};

static int teardown(void **state)
{
    struct fixture *x = *state;
    char cmd[128];

    xenevtchn_close(x->a);
    xenevtchn_close(x->b);
    if (x->core > 0) {
        kill(x->core, SIGTERM);
        waitpid(x->core, NULL, 0);
    }
    xtl_logger_destroy(x->lg);
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", x->dir);
    free(x);
    return system(cmd);
}

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));
    const char *build = getenv("KR_BUILDDIR");
    char exe[4096], path[128];

    *state = x;
    strcpy(x->dir, "/tmp/low-core-XXXXXX");
    if (!mkdtemp(x->dir))
        return -1;
    setenv("KRYPTON_RUNDIR", x->dir, 1);
    setenv("KRYPTON_TRANSPORT", "core", 1);
    x->lg = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_NUM_LEVELS, 0);
    snprintf(exe, sizeof(exe), "%s/hypervisor/core/kryptond", build ? build : ".");
    snprintf(path, sizeof(path), "%s/core", x->dir);
    x->core = fork();
    if (x->core == 0) {
        int null = open("/dev/null", O_WRONLY);

        dup2(null, STDERR_FILENO);
        execl(exe, exe, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && !x->a && !waitpid(x->core, NULL, WNOHANG); i++) {
        usleep(10000);
        if (!access(path, F_OK))
            x->a = xenevtchn_open(x->lg, 0);
    }
    x->b = xenevtchn_open(x->lg, 0);
    if (x->a && x->b)
        return 0;
    fprintf(stderr, "%s does not run\n", exe);
    teardown(state);
    return -1;
}

static bool readable(xenevtchn_handle *e)
{
    struct pollfd p = {xenevtchn_fd(e), POLLIN, 0};

    return poll(&p, 1, 200) == 1;
}

static void hypercalls(void **state)
{
    struct fixture *x = *state;
    xencall_handle *c = xencall_open(x->lg, 0);
    char *extra;

    assert_non_null(c);
    assert_int_equal(xencall2(c, __HYPERVISOR_xen_version, XENVER_version, 0), 4 << 16 | 17);
    extra = xencall_alloc_buffer(c, XEN_EXTRAVERSION_LEN);
    assert_int_equal(xencall2(c, __HYPERVISOR_xen_version, XENVER_extraversion, (uintptr_t)extra),
                     0);
    assert_true(extra[0] == '.');
    xencall_free_buffer(c, extra);
    assert_int_equal(xencall2(c, __HYPERVISOR_xen_version, XENVER_extraversion,
                              (uintptr_t)&extra), -1);
    assert_int_equal(errno, EFAULT);
    assert_int_equal(xencall0(c, 47), -1);
    assert_int_equal(errno, ENOSYS);
    xencall_close(c);
}

static void events(void **state)
{
    struct fixture *x = *state;
    int pa = xenevtchn_bind_unbound_port(x->a, 0), pb;

    assert_true(pa > 0);
    pb = xenevtchn_bind_interdomain(x->b, 0, pa);
    assert_true(pb > 0 && pb != pa);
    /* Binding marks the binder's port pending, as Xen does. */
    if (readable(x->b))
        xenevtchn_unmask(x->b, xenevtchn_pending(x->b));
    assert_int_equal(xenevtchn_notify(x->b, pb), 0);
    assert_true(readable(x->a));
    assert_int_equal(xenevtchn_pending(x->a), pa);
    assert_int_equal(xenevtchn_notify(x->a, pa), 0);
    assert_true(readable(x->b));
    assert_int_equal(xenevtchn_pending(x->b), pb);
    xenevtchn_notify(x->b, pb);
    assert_false(readable(x->a));
    xenevtchn_unmask(x->a, pa);
    assert_true(readable(x->a));
    assert_int_equal(xenevtchn_unbind(x->b, pb), 0);
    assert_int_equal(xenevtchn_unbind(x->a, pa), 0);
    assert_int_equal(xenevtchn_bind_interdomain(x->b, 0, 4000), -1);
    /* As on Xen: a port may wait for a domain that does not exist yet. */
    assert_true(xenevtchn_bind_unbound_port(x->b, 999) > 0);
}

static void virqs(void **state)
{
    struct fixture *x = *state;
    int v = xenevtchn_bind_virq(x->a, VIRQ_DOM_EXC);

    assert_true(v > 0);
    assert_int_equal(xenevtchn_bind_virq(x->b, VIRQ_DOM_EXC), -1);
    assert_int_equal(errno, EEXIST);
    assert_int_equal(xenevtchn_unbind(x->a, v), 0);
    v = xenevtchn_bind_virq(x->b, VIRQ_DOM_EXC);
    assert_true(v > 0);
    assert_int_equal(xenevtchn_bind_virq(x->a, NR_VIRQS), -1);
    assert_int_equal(errno, EINVAL);
}

static void grants(void **state)
{
    struct fixture *x = *state;
    xengntshr_handle *s = xengntshr_open(x->lg, 0);
    xengnttab_handle *g = xengnttab_open(x->lg, 0);
    xengnttab_grant_copy_segment_t seg;
    uint32_t refs[3];
    char *p, *q, buf[16];

    assert_true(s && g);
    p = xengntshr_share_pages(s, 0, 3, refs, 1);
    assert_non_null(p);
    strcpy(p + 4096, "second page");
    q = xengnttab_map_domain_grant_refs(g, 3, 0, refs, PROT_READ | PROT_WRITE);
    assert_non_null(q);
    assert_string_equal(q + 4096, "second page");
    strcpy(q, "back");
    assert_string_equal(p, "back");
    seg = (xengnttab_grant_copy_segment_t){
        .source.foreign = {.ref = refs[1], .offset = 7, .domid = 0}, .dest.virt = buf, .len = 5,
        .flags = GNTCOPY_source_gref};
    assert_int_equal(xengnttab_grant_copy(g, 1, &seg), 0);
    assert_int_equal(seg.status, GNTST_okay);
    assert_string_equal(buf, "page");
    assert_int_equal(xengnttab_unmap(g, q, 3), 0);
    assert_int_equal(xengntshr_unshare(s, p, 3), 0);
    assert_null(xengnttab_map_grant_ref(g, 0, refs[0], PROT_READ));
    xengntshr_close(s);
    xengnttab_close(g);
}

static void read_only_grants(void **state)
{
    struct fixture *x = *state;
    xengntshr_handle *s = xengntshr_open(x->lg, 0);
    xengnttab_handle *g = xengnttab_open(x->lg, 0);
    uint32_t ref;
    char *p = xengntshr_share_pages(s, 0, 1, &ref, 0), *q;

    assert_non_null(p);
    assert_null(xengnttab_map_grant_ref(g, 0, ref, PROT_READ | PROT_WRITE));
    q = xengnttab_map_grant_ref(g, 0, ref, PROT_READ);
    assert_non_null(q);
    p[0] = 9;
    assert_int_equal(q[0], 9);
    /* What came for reading cannot be made writable. */
    assert_int_equal(mprotect(q, 4096, PROT_READ | PROT_WRITE), -1);
    xengnttab_close(g);
    xengntshr_close(s);
}

/* Whoever maps with a notification and dies is noticed. */
static void notifications(void **state)
{
    struct fixture *x = *state;
    int pa = xenevtchn_bind_unbound_port(x->a, 0), pb = xenevtchn_bind_interdomain(x->b, 0, pa);
    xengntshr_handle *s = xengntshr_open(x->lg, 0);
    xengnttab_handle *g;
    uint32_t ref;
    char *p = xengntshr_share_pages(s, 0, 1, &ref, 1);
    int status;
    pid_t pid;

    assert_true(pb > 0 && p);
    p[100] = 1;
    pid = fork();
    if (pid == 0) {
        g = xengnttab_open(NULL, 0);
        if (!g || !xengnttab_map_grant_ref_notify(g, 0, ref, PROT_READ | PROT_WRITE, 100, pb))
            _exit(1);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_true(readable(x->a));
    assert_int_equal(xenevtchn_pending(x->a), pa);
    assert_int_equal(p[100], 0);
    xengntshr_close(s);
}

static void no_such_domain(void **state)
{
    struct fixture *x = *state;
    xenforeignmemory_handle *f = xenforeignmemory_open(x->lg, 0);
    const xen_pfn_t gfn = 0;
    size_t size;

    assert_null(xenforeignmemory_map(f, 5, PROT_READ, 1, &gfn, NULL));
    assert_int_equal(errno, ESRCH);
    assert_int_equal(xenforeignmemory_resource_size(f, 5, XENMEM_resource_grant_table, 0, &size),
                     -1);
    assert_int_equal(errno, ESRCH);
    xenforeignmemory_close(f);
}

static void hypfs(void **state)
{
    struct fixture *x = *state;
    xenhypfs_handle *h = xenhypfs_open(x->lg, 0);
    struct xenhypfs_dirent *d;
    unsigned n;
    char *text;

    d = xenhypfs_readdir(h, "/", &n);
    assert_non_null(d);
    assert_true(n > 0);
    free(d);
    text = xenhypfs_read(h, "/buildinfo/version/major");
    assert_non_null(text);
    assert_string_equal(text, "4");
    free(text);
    assert_null(xenhypfs_read(h, "/no/such/thing"));
    assert_int_equal(errno, ENOENT);
    xenhypfs_close(h);
}

static void restricted(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(xenevtchn_restrict(x->a, 7), 0);
    assert_int_equal(xenevtchn_bind_unbound_port(x->a, 0), -1);
    assert_int_equal(xenevtchn_restrict(x->a, 8), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hypercalls, setup, teardown),
        cmocka_unit_test_setup_teardown(events, setup, teardown),
        cmocka_unit_test_setup_teardown(virqs, setup, teardown),
        cmocka_unit_test_setup_teardown(grants, setup, teardown),
        cmocka_unit_test_setup_teardown(read_only_grants, setup, teardown),
        cmocka_unit_test_setup_teardown(notifications, setup, teardown),
        cmocka_unit_test_setup_teardown(no_such_domain, setup, teardown),
        cmocka_unit_test_setup_teardown(hypfs, setup, teardown),
        cmocka_unit_test_setup_teardown(restricted, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
