/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <xen/xen.h>
#include <xen/hypfs.h>

#include "include/xencall.h"
#include "include/xenhypfs.h"
#include "libxenctrl/transport/log.h"

/* A reply beyond this is not believed: hypfs holds settings, not data. */
#define MAX_CONTENTS (16u << 20)

struct xenhypfs_handle {
    struct kt_log log;
    xencall_handle *xcall;
};

xenhypfs_handle *xenhypfs_open(struct xentoollog_logger *logger, unsigned int open_flags)
{
    xenhypfs_handle *h;
    int saved;

    if (open_flags) {
        errno = EINVAL;
        return NULL;
    }
    h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    if (!kt_log_init(&h->log, logger)) {
        h->xcall = xencall_open(h->log.lg, 0);
        if (h->xcall)
            return h;
    }
    saved = errno;
    kt_log_fini(&h->log);
    free(h);
    errno = saved;
    return NULL;
}

int xenhypfs_close(xenhypfs_handle *h)
{
    if (!h)
        return 0;
    xencall_close(h->xcall);
    kt_log_fini(&h->log);
    free(h);
    return 0;
}

/* The path in hypercall memory, or NULL with errno. */
static char *path_buffer(xenhypfs_handle *h, const char *path)
{
    size_t len = strlen(path) + 1;
    char *p;

    if (path[0] != '/') {
        errno = EINVAL;
        return NULL;
    }
    if (len > XEN_HYPFS_MAX_PATHLEN) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    p = xencall_alloc_buffer(h->xcall, len);
    if (p)
        memcpy(p, path, len);
    return p;
}

/* Reads the entry into hypercall memory: a direntry, then content_len bytes. NULL with errno. */
static struct xen_hypfs_direntry *read_entry(xenhypfs_handle *h, const char *path)
{
    size_t size = 4096;

    for (;;) {
        char *p = path_buffer(h, path);
        struct xen_hypfs_direntry *e = p ? xencall_alloc_buffer(h->xcall, size) : NULL;
        size_t need;
        int rc = -1;

        if (e)
            rc = xencall5(h->xcall, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_read, (uintptr_t)p,
                          strlen(path) + 1, (uintptr_t)e, size);
        xencall_free_buffer(h->xcall, p);
        need = e ? (size_t)e->content_len + sizeof(*e) : 0;
        if (rc >= 0 && need <= size)
            return e;
        if (rc >= 0)
            errno = EPROTO;
        if (!e || rc >= 0 || errno != ENOBUFS || need <= size || need > MAX_CONTENTS) {
            xencall_free_buffer(h->xcall, e);
            return NULL;
        }
        xencall_free_buffer(h->xcall, e);
        size = need;
    }
}

static void fill_dirent(struct xenhypfs_dirent *d, const struct xen_hypfs_direntry *e)
{
    d->size = e->content_len;
    d->type = e->type;
    d->encoding = e->encoding;
    d->flags = e->max_write_len ? XENHYPFS_FLAG_WRITABLE : 0;
}

void *xenhypfs_read_raw(xenhypfs_handle *h, const char *path, struct xenhypfs_dirent **dirent)
{
    struct xen_hypfs_direntry *e = read_entry(h, path);
    struct xenhypfs_dirent *d = NULL;
    const char *name = strrchr(path, '/');
    void *contents = NULL;

    if (!e)
        return NULL;
    name = name ? name + 1 : path;
    d = calloc(1, sizeof(*d) + strlen(name) + 1);
    contents = malloc(e->content_len ? e->content_len : 1);
    if (d && contents) {
        memcpy(contents, e + 1, e->content_len);
        fill_dirent(d, e);
        d->name = (char *)(d + 1);
        strcpy(d->name, name);
        *dirent = d;
    } else {
        free(d);
        free(contents);
        contents = NULL;
        errno = ENOMEM;
    }
    xencall_free_buffer(h->xcall, e);
    return contents;
}

/* Unpacks gzip data into text with a final NUL. NULL with errno. */
static char *gunzip(const void *in, size_t len)
{
    z_stream z = {.next_in = (Bytef *)in, .avail_in = len};
    size_t size = 4096, used = 0;
    char *out = malloc(size + 1);
    int rc = Z_OK;

    if (!out || inflateInit2(&z, MAX_WBITS + 16) != Z_OK) {
        free(out);
        errno = ENOMEM;
        return NULL;
    }
    while (rc == Z_OK && used < MAX_CONTENTS) {
        if (used == size) {
            char *bigger = realloc(out, size * 2 + 1);

            if (!bigger)
                break;
            out = bigger;
            size *= 2;
        }
        z.next_out = (Bytef *)out + used;
        z.avail_out = size - used;
        rc = inflate(&z, Z_NO_FLUSH);
        used = size - z.avail_out;
    }
    inflateEnd(&z);
    if (rc == Z_STREAM_END) {
        out[used] = 0;
        return out;
    }
    free(out);
    errno = rc == Z_OK ? ENOMEM : EBADMSG;
    return NULL;
}

/* A number of 1, 2, 4 or 8 bytes as text. NULL with errno. */
static char *number_text(const void *p, size_t size, bool is_signed)
{
    uint64_t v = 0;
    unsigned shift;
    char text[24];

    if (size != 1 && size != 2 && size != 4 && size != 8) {
        errno = EDOM;
        return NULL;
    }
    memcpy(&v, p, size);    /* little endian, as all of x86 is */
    shift = 64 - 8 * size;
    if (is_signed)
        snprintf(text, sizeof(text), "%lld", (long long)((int64_t)(v << shift) >> shift));
    else
        snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    return strdup(text);
}

static char *contents_text(const void *p, const struct xenhypfs_dirent *d)
{
    switch (d->type) {
    case xenhypfs_type_dir:
        errno = EISDIR;
        return NULL;
    case xenhypfs_type_string:
        if (d->encoding == xenhypfs_enc_gzip)
            return gunzip(p, d->size);
        return strndup(p, d->size);
    case xenhypfs_type_uint:
    case xenhypfs_type_bool:
        return number_text(p, d->size, false);
    case xenhypfs_type_int:
        return number_text(p, d->size, true);
    default:
        errno = EDOM;
        return NULL;
    }
}

char *xenhypfs_read(xenhypfs_handle *h, const char *path)
{
    struct xenhypfs_dirent *d;
    void *p = xenhypfs_read_raw(h, path, &d);
    char *text;
    int saved;

    if (!p)
        return NULL;
    text = contents_text(p, d);
    saved = errno;
    free(p);
    free(d);
    errno = saved;
    return text;
}

/*
 * Walks a directory's contents, which are as hostile as any: counts the entries and the bytes of
 * their names, and with out and names fills these. Returns the number, or -1.
 */
static int walk_dir(const char *p, size_t size, struct xenhypfs_dirent *out, char *names,
                    size_t *name_bytes)
{
    const size_t head = offsetof(struct xen_hypfs_dirlistentry, name);
    size_t off = 0;
    int n = 0;

    *name_bytes = 0;
    while (size) {
        struct xen_hypfs_direntry e;
        uint16_t off_next;
        size_t len;

        if (off > size || size - off <= head)
            return -1;
        memcpy(&e, p + off, sizeof(e));
        memcpy(&off_next, p + off + offsetof(struct xen_hypfs_dirlistentry, off_next),
               sizeof(off_next));
        len = strnlen(p + off + head, size - off - head) + 1;
        if (len > size - off - head || (off_next && off_next <= head))
            return -1;
        if (out) {
            memcpy(names + *name_bytes, p + off + head, len);
            fill_dirent(&out[n], &e);
            out[n].name = names + *name_bytes;
        }
        *name_bytes += len;
        n++;
        if (!off_next)
            break;
        off += off_next;
    }
    return n;
}

struct xenhypfs_dirent *xenhypfs_readdir(xenhypfs_handle *h, const char *path,
                                         unsigned int *num_entries)
{
    struct xenhypfs_dirent *d, *out = NULL;
    char *p = xenhypfs_read_raw(h, path, &d);
    size_t bytes;
    int n, saved;

    if (!p)
        return NULL;
    if (d->type != xenhypfs_type_dir) {
        errno = ENOTDIR;
        goto out;
    }
    n = walk_dir(p, d->size, NULL, NULL, &bytes);
    if (n < 0) {
        errno = EBADMSG;
        goto out;
    }
    /* At least one entry's room, so that an empty directory is not taken for a failure. */
    out = calloc(1, (n ? n : 1) * sizeof(*out) + bytes);
    if (!out)
        goto out;
    walk_dir(p, d->size, out, (char *)(out + (n ? n : 1)), &bytes);
    *num_entries = n;
out:
    saved = errno;
    free(p);
    free(d);
    errno = saved;
    return out;
}

/* 1, 0, or -1: not a truth value. */
static int parse_bool(const char *val)
{
    static const struct {
        const char *word;
        int value;
    } words[] = {{"1", 1},  {"on", 1},  {"yes", 1},   {"true", 1},    {"enable", 1},
                 {"0", 0},  {"off", 0}, {"no", 0},    {"false", 0},   {"disable", 0}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(val, words[i].word))
            return words[i].value;
    return -1;
}

/* Turns val into the size bytes of a number at out. 0, or -1 with errno. */
static int parse_number(const char *val, unsigned type, void *out, size_t size)
{
    unsigned long long u = 0;
    long long s = 0;
    char *end = NULL;
    int b = type == xenhypfs_type_bool ? parse_bool(val) : -1;

    errno = 0;
    if (b >= 0)
        u = b;
    else if (type == xenhypfs_type_int)
        u = s = strtoll(val, &end, 0);
    else
        u = strtoull(val, &end, 0);
    if (b < 0 && (errno || end == val || *end)) {
        errno = errno ? errno : EINVAL;
        return -1;
    }
    if (type == xenhypfs_type_bool && u > 1) {
        errno = EINVAL;
        return -1;
    }
    if (size < 8) {
        long long limit = 1ll << (8 * size - 1);

        if (type == xenhypfs_type_int ? s < -limit || s >= limit : u >> (8 * size)) {
            errno = ERANGE;
            return -1;
        }
    }
    memcpy(out, &u, size);
    return 0;
}

/* The value in hypercall memory, in *size bytes. NULL with errno. */
static void *encode(xenhypfs_handle *h, const char *val, const struct xenhypfs_dirent *d,
                    size_t *size)
{
    void *p;
    int saved;

    if (d->type == xenhypfs_type_string) {
        *size = strlen(val) + 1;
        p = xencall_alloc_buffer(h->xcall, *size);
        if (p)
            memcpy(p, val, *size);
        return p;
    }
    if (d->type != xenhypfs_type_uint && d->type != xenhypfs_type_int &&
        d->type != xenhypfs_type_bool) {
        errno = d->type == xenhypfs_type_dir ? EISDIR : EDOM;
        return NULL;
    }
    *size = d->size;
    if (*size != 1 && *size != 2 && *size != 4 && *size != 8) {
        errno = EDOM;
        return NULL;
    }
    p = xencall_alloc_buffer(h->xcall, *size);
    if (p && parse_number(val, d->type, p, *size)) {
        saved = errno;
        xencall_free_buffer(h->xcall, p);
        errno = saved;
        return NULL;
    }
    return p;
}

int xenhypfs_write(xenhypfs_handle *h, const char *path, const char *val)
{
    struct xenhypfs_dirent *d;
    void *old = xenhypfs_read_raw(h, path, &d), *value;
    char *p = NULL;
    size_t size;
    int rc = -1, saved;

    if (!old)
        return -1;
    value = encode(h, val, d, &size);
    if (value)
        p = path_buffer(h, path);
    if (p)
        rc = xencall5(h->xcall, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_write_contents, (uintptr_t)p,
                      strlen(path) + 1, (uintptr_t)value, size);
    saved = errno;
    xencall_free_buffer(h->xcall, p);
    xencall_free_buffer(h->xcall, value);
    free(old);
    free(d);
    errno = saved;
    return rc < 0 ? -1 : 0;
}
