/* SPDX-License-Identifier: MIT */
/* Foreign memory by Krypton's core: it passes memfds, this maps them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libxenctrl/foreignmemory/private.h"

static int core_open(xenforeignmemory_handle *f)
{
    if (kt_connect(&f->conn, true)) {
        kt_log_no_core(&f->log, "xenforeignmemory");
        return -1;
    }
    f->fd = f->conn.fd;
    return 0;
}

static void core_close(xenforeignmemory_handle *f)
{
    f->fd = -1;
    kt_disconnect(&f->conn);
}

/* One request's worth; req has room for nr frames. */
static int map_some(xenforeignmemory_handle *f, struct kw_map_foreign *req, struct kt_reply *r,
                    void *addr, size_t nr, const xen_pfn_t *arr, int *err)
{
    const struct kw_map_reply *reply = (void *)r->buf;
    int rc, saved;

    req->nr = nr;
    for (size_t i = 0; i < nr; i++)
        req->gfn[i] = arr[i];
    if (kt_request(&f->conn, req, sizeof(*req) + nr * sizeof(req->gfn[0]), r, sizeof(*reply)))
        return -1;
    rc = kt_map_runs(r, reply->run, reply->nr_runs, addr, nr, req->prot, err);
    saved = errno;
    kt_reply_free(r);
    errno = saved;
    return rc;
}

static int core_map(xenforeignmemory_handle *f, uint32_t dom, void *addr, int prot, size_t pages,
                    const xen_pfn_t *arr, int *err)
{
    size_t most = pages < KW_MAX_GFNS ? pages : KW_MAX_GFNS;
    struct kw_map_foreign *req = calloc(1, sizeof(*req) + most * sizeof(req->gfn[0]));
    struct kt_reply *r = malloc(sizeof(*r));
    int rc = req && r ? 0 : -1, saved;

    for (size_t done = 0; !rc && done < pages;) {
        size_t nr = pages - done < most ? pages - done : most;

        req->h.op = KW_MAP_FOREIGN;
        req->domid = dom;
        req->prot = prot & (PROT_READ | PROT_WRITE);
        rc = map_some(f, req, r, (char *)addr + (done << KT_PAGE_SHIFT), nr, arr + done,
                      err + done);
        if (rc && errno == E2BIG && nr > 1) {
            most = nr / 2; /* pages in more descriptors than a reply has room for */
            rc = 0;
            continue;
        }
        done += nr;
    }
    saved = errno;
    free(req);
    free(r);
    errno = saved;
    return rc;
}

static int core_map_resource(xenforeignmemory_handle *f, xenforeignmemory_resource_handle *fres)
{
    struct kw_map_resource req = {
        .h = {.op = KW_MAP_RESOURCE}, .domid = fres->domid, .type = fres->type, .id = fres->id,
        .prot = fres->prot & (PROT_READ | PROT_WRITE), .frame = fres->frame,
        .nr = fres->nr_frames};
    struct kt_reply *r = malloc(sizeof(*r));
    const struct kw_map_reply *reply = r ? (void *)r->buf : NULL;
    int rc = -1, saved;

    if (r && !kt_request(&f->conn, &req, sizeof(req), r, sizeof(*reply))) {
        rc = kt_map_runs(r, reply->run, reply->nr_runs, fres->addr, fres->nr_frames, req.prot,
                         NULL);
        saved = errno;
        kt_reply_free(r);
        errno = saved;
    }
    saved = errno;
    free(r);
    errno = saved;
    return rc;
}

static int core_resource_frames(xenforeignmemory_handle *f, domid_t domid, unsigned type,
                                unsigned id, uint64_t *frames)
{
    struct kw_map_resource req = {
        .h = {.op = KW_MAP_RESOURCE}, .domid = domid, .type = type, .id = id};
    struct kw_map_reply reply;

    if (kt_simple(&f->conn, &req, sizeof(req), &reply, sizeof(reply)))
        return -1;
    *frames = reply.size;
    return 0;
}

static int core_restrict(xenforeignmemory_handle *f, domid_t domid)
{
    return kt_restrict(&f->conn, domid);
}

const struct foreignmemory_ops foreignmemory_core_ops = {
    core_open, core_close, core_map, core_map_resource, core_resource_frames, core_restrict,
};
