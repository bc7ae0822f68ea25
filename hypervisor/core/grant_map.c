/* SPDX-License-Identifier: MIT */
/*
 * What gntdev and gntalloc are on Linux: host clients that map grants and share pages of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "hypervisor/core/client.h"
#include "hypervisor/core/domain.h"
#include "hypervisor/core/event_channel.h"
#include "hypervisor/core/grant_table.h"

#define PAGE 4096u
#define MAX_SHARE_PAGES 1024u

static int errno_of(int gntst)
{
    switch (gntst) {
    case GNTST_okay: return 0;
    case GNTST_bad_domain: return -ESRCH;
    case GNTST_permission_denied: return -EPERM;
    case GNTST_no_space: return -ENOSPC;
    case GNTST_eagain: return -EAGAIN;
    default: return -EINVAL;
    }
}

static void release_all(struct gnt_map *m)
{
    for (uint32_t i = 0; i < m->nr; i++) {
        gnt_release(m->page[i].d, m->page[i].ref, m->readonly, &m->page[i].where);
        domain_put(m->page[i].d);
    }
}

int gnt_client_map(struct core *core, struct client *c, const struct kw_gnt_ref *refs, uint32_t nr,
                   bool readonly, struct gnt_map **out)
{
    struct gnt_map *m = calloc(1, sizeof(*m) + nr * sizeof(m->page[0]));
    int rc = 0;

    if (!m) {
        return -ENOMEM;
    }
    m->readonly = readonly;
    for (uint32_t i = 0; i < nr && !rc; i++) {
        struct domain *d = refs[i].domid < DOMID_FIRST_RESERVED ?
                           domain_find(core, (domid_t)refs[i].domid) : NULL;

        if (!d) {
            rc = -ESRCH;
        } else {
            rc = errno_of(gnt_acquire(d, refs[i].ref, core->host_dom->domid, readonly, &m->page[i].where));
        }
        if (!rc) {
            m->page[i].d = domain_get(d);
            m->page[i].ref = refs[i].ref;
            m->nr = i + 1;
        }
        if (!rc && m->page[i].where.len != PAGE) {
            rc = -EINVAL;    /* a sub-page grant cannot be mapped (grant_table.h) */
        }
    }
    if (rc) {
        release_all(m);
        free(m);
        return rc;
    }
    m->handle = ++core->next_handle;
    m->next = c->maps;
    c->maps = m;
    *out = m;
    return 0;
}

static void notify(struct core *core, struct client *c, uint32_t action, uint32_t port)
{
    const struct evtchn *e = evtchn_from_port(core->host_dom, port);

    if ((action & KW_NOTIFY_SEND_EVENT) && e && e->state == EVTCHNSTAT_interdomain) {
        evtchn_send(core->host_dom, port);
    }
}

static void clear_byte(int fd, uint64_t offset)
{
    uint8_t zero = 0;

    if (fd >= 0 && pwrite(fd, &zero, 1, (off_t)offset) != 1) {
        kr_log_once(KR_WARN, "cannot clear a notify byte: errno %d", errno);
    }
}

static void unmap(struct core *core, struct client *c, struct gnt_map *m)
{
    uint64_t page = m->notify_offset / PAGE;

    if ((m->notify_action & KW_NOTIFY_CLEAR_BYTE) && !m->readonly) {
        struct gnt_mapped *g = &m->page[page];

        uint64_t at;
        int fd = gnt_page_fd(g->d, &g->where, false, &at);

        clear_byte(g->d->dead ? -1 : fd, at * PAGE + m->notify_offset % PAGE);
    }
    notify(core, c, m->notify_action, m->notify_port);
    release_all(m);
    free(m);
}

int gnt_client_unmap(struct core *core, struct client *c, uint64_t handle)
{
    for (struct gnt_map **p = &c->maps; *p; p = &(*p)->next) {
        struct gnt_map *m = *p;

        if (m->handle == handle) {
            *p = m->next;
            unmap(core, c, m);
            gnt_reap_shares(core);
            return 0;
        }
    }
    return -ENOENT;
}

static struct gnt_share *find_own_share(struct core *core, struct client *c, uint64_t handle)
{
    for (struct gnt_share *s = core->host_dom->shares; s; s = s->next) {
        if (s->owner == c && s->handle == handle) {
            return s;
        }
    }
    return NULL;
}

int gnt_client_notify(struct core *core, struct client *c, uint64_t handle, uint32_t action,
                      uint32_t port, uint64_t offset)
{
    const struct evtchn *e = evtchn_from_port(core->host_dom, port);
    struct gnt_share *s;
    struct gnt_map *m;
    uint64_t nr;

    if (action & ~(KW_NOTIFY_CLEAR_BYTE | KW_NOTIFY_SEND_EVENT)) {
        return -EINVAL;
    }
    if ((action & KW_NOTIFY_SEND_EVENT) && (!e || e->state == EVTCHNSTAT_closed)) {
        return -EINVAL;
    }
    for (m = c->maps; m && m->handle != handle; m = m->next) {
    }
    s = m ? NULL : find_own_share(core, c, handle);
    if (!m && !s) {
        return -ENOENT;
    }
    nr = m ? m->nr : s->nr;
    if ((action & KW_NOTIFY_CLEAR_BYTE) && (offset >= nr * PAGE || (m && m->readonly))) {
        return -EINVAL;
    }
    *(m ? &m->notify_action : &s->notify_action) = action;
    *(m ? &m->notify_port : &s->notify_port) = port;
    *(m ? &m->notify_offset : &s->notify_offset) = offset;
    return 0;
}

static struct grant_entry_v1 *dom0_entry(struct domain *dom0, uint32_t ref)
{
    return (struct grant_entry_v1 *)(dom0->xen_map + KL_XEN_GRANT_FRAMES * (size_t)PAGE) + ref;
}

/* Domain 0's table is the core's alone: an entry is free while its flags are 0. */
static int take_ref(struct domain *dom0, uint32_t *from, uint32_t *ref)
{
    for (uint32_t r = *from;; r++) {
        if (r >= gnt_nr_entries(&dom0->gt) && gnt_grow(dom0, dom0->gt.nr_frames + 1)) {
            return -ENOSPC;
        }
        if (!dom0_entry(dom0, r)->flags) {
            *ref = r;
            *from = r + 1;
            return 0;
        }
    }
}

static bool in_use(struct domain *dom0, const struct gnt_share *s)
{
    for (uint32_t i = 0; i < s->nr; i++) {
        if (dom0_entry(dom0, s->ref[i])->flags & (GTF_reading | GTF_writing)) {
            return true;
        }
    }
    return false;
}

static void free_share(struct gnt_share *s)
{
    if (s->fd >= 0) {
        close(s->fd);
    }
    if (s->ro_fd >= 0) {
        close(s->ro_fd);
    }
    free(s->ref);
    free(s);
}

static int make_share_memory(struct gnt_share *s)
{
    char path[40];

    s->fd = memfd_create("krypton-share", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (s->fd < 0 || ftruncate(s->fd, (off_t)s->nr * PAGE) < 0 ||
        fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        return -ENOMEM;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
    s->ro_fd = open(path, O_RDONLY | O_CLOEXEC);
    return s->ro_fd < 0 ? -ENOMEM : 0;
}

/* Frames of domain 0 are numbered by share; the first gap that is large enough is taken. */
static uint64_t place(struct domain *dom0, uint32_t nr)
{
    uint64_t at = 1;

    for (bool moved = true; moved;) {
        moved = false;
        for (struct gnt_share *s = dom0->shares; s; s = s->next) {
            if (at < s->frame + s->nr && s->frame < at + nr) {
                at = s->frame + s->nr;
                moved = true;
            }
        }
    }
    return at;
}

int gnt_client_share(struct core *core, struct client *c, domid_t domid, uint32_t nr, bool writable,
                     struct gnt_share **out)
{
    struct domain *dom0 = core->host_dom;
    uint32_t from = GNTTAB_NR_RESERVED_ENTRIES;
    struct gnt_share *s;
    int rc;

    if (!nr || nr > MAX_SHARE_PAGES || domid >= DOMID_FIRST_RESERVED) {
        return -EINVAL;
    }
    s = calloc(1, sizeof(*s));
    if (!s) {
        return -ENOMEM;
    }
    s->fd = s->ro_fd = -1;
    s->nr = nr;
    s->owner = c;
    s->ref = calloc(nr, sizeof(*s->ref));
    rc = s->ref ? make_share_memory(s) : -ENOMEM;
    for (uint32_t i = 0; i < nr && !rc; i++) {
        rc = take_ref(dom0, &from, &s->ref[i]);
    }
    if (rc) {
        free_share(s);
        return rc;
    }
    s->frame = place(dom0, nr);
    s->handle = ++core->next_handle;
    for (uint32_t i = 0; i < nr; i++) {
        struct grant_entry_v1 *e = dom0_entry(dom0, s->ref[i]);

        e->domid = domid;
        e->frame = (uint32_t)(s->frame + i);
        e->flags = GTF_permit_access | (writable ? 0 : GTF_readonly);
    }
    s->next = dom0->shares;
    dom0->shares = s;
    c->nr_shares++;
    *out = s;
    return 0;
}

/* No new uses; entries go when the last present use does. */
static void end_share(struct core *core, struct gnt_share *s)
{
    if (s->notify_action & KW_NOTIFY_CLEAR_BYTE) {
        clear_byte(s->fd, s->notify_offset);
    }
    notify(core, s->owner, s->notify_action, s->notify_port);
    s->owner->nr_shares--;
    s->owner = NULL;
    for (uint32_t i = 0; i < s->nr; i++) {
        struct grant_entry_v1 *e = dom0_entry(core->host_dom, s->ref[i]);

        e->domid = DOMID_INVALID;
    }
}

void gnt_reap_shares(struct core *core)
{
    struct domain *dom0 = core->host_dom;

    for (struct gnt_share **p = &dom0->shares; *p;) {
        struct gnt_share *s = *p;

        if (s->owner || in_use(dom0, s)) {
            p = &s->next;
            continue;
        }
        for (uint32_t i = 0; i < s->nr; i++) {
            memset(dom0_entry(dom0, s->ref[i]), 0, sizeof(struct grant_entry_v1));
        }
        *p = s->next;
        free_share(s);
    }
}

int gnt_client_unshare(struct core *core, struct client *c, uint64_t handle)
{
    struct gnt_share *s = find_own_share(core, c, handle);

    if (!s) {
        return -ENOENT;
    }
    end_share(core, s);
    gnt_reap_shares(core);
    return 0;
}

void gnt_client_gone(struct core *core, struct client *c)
{
    while (c->maps) {
        struct gnt_map *m = c->maps;

        c->maps = m->next;
        unmap(core, c, m);
    }
    for (struct gnt_share *s = core->host_dom->shares; s; s = s->next) {
        if (s->owner == c) {
            end_share(core, s);
        }
    }
    gnt_reap_shares(core);
}
