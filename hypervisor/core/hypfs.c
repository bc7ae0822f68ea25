/* SPDX-License-Identifier: MIT */
/*
 * hypfs: what xenhypfs shows. A read-only tree, one row per entry; paths as in Xen's
 * hypfs-paths documentation, and /krypton for what Xen has no place for.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <xen/hypfs.h>

#include "hypervisor/core/cpu_share.h"
#include "hypervisor/core/cpupool.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/guest_access.h"
#include "hypervisor/core/hypercall.h"
#include "hypervisor/core/version.h"

#define MAX_TEXT 512

enum { T_STR = XEN_HYPFS_TYPE_STRING, T_UINT = XEN_HYPFS_TYPE_UINT };

typedef int (*leaf_fn)(const struct core *core, void *buf);

static int text(void *buf, const char *s)
{
    return snprintf(buf, MAX_TEXT, "%s", s) + 1;    /* with the NUL, as Xen gives strings */
}

static int number(void *buf, uint32_t v)
{
    memcpy(buf, &v, sizeof(v));
    return sizeof(v);
}

static int compiler(const struct core *core, void *buf) { return text(buf, "cc " __VERSION__); }
static int version_extra(const struct core *core, void *buf) { return text(buf, KR_XEN_EXTRA); }
static int version_major(const struct core *core, void *buf) { return number(buf, KR_XEN_MAJOR); }
static int version_minor(const struct core *core, void *buf) { return number(buf, KR_XEN_MINOR); }
static int cmdline(const struct core *core, void *buf) { return text(buf, core->cmdline); }
static int ratelimit(const struct core *core, void *buf)
{
    return number(buf, core->pools->ratelimit_us);
}
static int core_version(const struct core *core, void *buf) { return text(buf, KR_CORE_VERSION); }
static int engine(const struct core *core, void *buf)
{
    return text(buf, core->described ? core->engine : "none");
}
static int kvm(const struct core *core, void *buf) { return text(buf, core->kvm_verdict); }
static int caps(const struct core *core, void *buf) { return text(buf, share_caps(core)); }
static int weights(const struct core *core, void *buf) { return text(buf, share_weights(core)); }
static int hypercalls(const struct core *core, void *buf)
{
    return number(buf, (uint32_t)core->nr_hypercalls);
}

/* Parents before children; a directory has no function. */
static const struct { const char *path; uint8_t type; leaf_fn get; } tree[] = {
    { "/", XEN_HYPFS_TYPE_DIR, NULL },
    { "/buildinfo", XEN_HYPFS_TYPE_DIR, NULL },
    { "/buildinfo/compile_info", XEN_HYPFS_TYPE_DIR, NULL },
    { "/buildinfo/compile_info/compiler", T_STR, compiler },
    { "/buildinfo/version", XEN_HYPFS_TYPE_DIR, NULL },
    { "/buildinfo/version/extra", T_STR, version_extra },
    { "/buildinfo/version/major", T_UINT, version_major },
    { "/buildinfo/version/minor", T_UINT, version_minor },
    { "/krypton", XEN_HYPFS_TYPE_DIR, NULL },
    { "/krypton/caps", T_STR, caps },
    { "/krypton/engine", T_STR, engine },
    { "/krypton/hypercalls", T_UINT, hypercalls },
    { "/krypton/kvm", T_STR, kvm },
    { "/krypton/version", T_STR, core_version },
    { "/krypton/weights", T_STR, weights },
    { "/params", XEN_HYPFS_TYPE_DIR, NULL },
    { "/params/cmdline", T_STR, cmdline },
    { "/params/sched_ratelimit_us", T_UINT, ratelimit },
};

static int find(const char *path)
{
    for (unsigned i = 0; i < KR_ARRAY_SIZE(tree); i++) {
        if (!strcmp(tree[i].path, path)) {
            return (int)i;
        }
    }
    return -ENOENT;
}

/* The entry's last component if it lies directly in dir, else NULL. */
static const char *child_name(int dir, unsigned i)
{
    size_t n = strlen(tree[dir].path);
    const char *rest;

    if (i == (unsigned)dir || strncmp(tree[i].path, tree[dir].path, n)) {
        return NULL;
    }
    rest = tree[i].path + n;
    if (n > 1) {
        if (*rest != '/') {
            return NULL;
        }
        rest++;
    }
    return *rest && !strchr(rest, '/') ? rest : NULL;
}

static void fill_entry(const struct core *core, unsigned i, struct xen_hypfs_direntry *e)
{
    char buf[MAX_TEXT];

    *e = (struct xen_hypfs_direntry){ .type = tree[i].type, .encoding = XEN_HYPFS_ENC_PLAIN };
    if (tree[i].get) {
        e->content_len = (uint32_t)tree[i].get(core, buf);
    }
}

/* Directory contents: xen_hypfs_dirlistentry records, 4-byte aligned. */
static size_t list_dir(const struct core *core, int dir, uint8_t *out)
{
    size_t len = 0, last = 0;

    for (unsigned i = 0; i < KR_ARRAY_SIZE(tree); i++) {
        const char *name = child_name(dir, i);
        struct xen_hypfs_dirlistentry e;
        size_t size;

        if (!name) {
            continue;
        }
        memset(&e, 0, sizeof(e));
        fill_entry(core, i, &e.e);
        size = (offsetof(struct xen_hypfs_dirlistentry, name) + strlen(name) + 1 + 3) & ~(size_t)3;
        e.off_next = (uint16_t)size;
        memset(out + len, 0, size);
        memcpy(out + len, &e, offsetof(struct xen_hypfs_dirlistentry, name));
        memcpy(out + len + offsetof(struct xen_hypfs_dirlistentry, name), name, strlen(name));
        last = len;
        len += size;
    }
    if (len) {
        uint16_t none = 0;

        memcpy(out + last + offsetof(struct xen_hypfs_dirlistentry, off_next), &none, sizeof(none));
    }
    return len;
}

static long op_read(struct hcall *hc)
{
    char path[XEN_HYPFS_MAX_PATHLEN];
    uint64_t len = hc->arg[2], buf = hc->arg[3], size = hc->arg[4];
    struct xen_hypfs_direntry e;
    uint8_t data[4096];
    size_t n;
    int i;

    if (!len || len > sizeof(path)) {
        return -EINVAL;
    }
    if (copy_from_guest(hc, path, hc->arg[1], len)) {
        return -EFAULT;
    }
    if (path[len - 1] || memchr(path, 0, len) != path + len - 1) {
        return -EINVAL;
    }
    i = find(path);
    if (i < 0) {
        return i;
    }
    fill_entry(hc->core, (unsigned)i, &e);
    n = tree[i].get ? (size_t)tree[i].get(hc->core, data) : list_dir(hc->core, i, data);
    e.content_len = (uint32_t)n;
    if (size < sizeof(e)) {
        return -ENOBUFS;
    }
    if (copy_to_guest(hc, buf, &e, sizeof(e))) {
        return -EFAULT;
    }
    if (size < sizeof(e) + n) {
        return -ENOBUFS;
    }
    return copy_to_guest(hc, buf + sizeof(e), data, n);
}

long do_hypfs_op(struct hcall *hc)
{
    switch ((uint32_t)hc->arg[0]) {
    case XEN_HYPFS_OP_get_version:
        return XEN_HYPFS_VERSION;
    case XEN_HYPFS_OP_read:
        return op_read(hc);
    case XEN_HYPFS_OP_write_contents:
        return -EACCES;    /* nothing here is writable */
    default:
        return hc_enosys(hc, __HYPERVISOR_hypfs_op, (uint32_t)hc->arg[0]);
    }
}
